"""What is sky and what is object: levels and masks."""
