"""What people see of the command line: help, tables, progress, findings; its streams."""
