"""What comes from a network: stores that are listed, and copies of their files in a folder."""
