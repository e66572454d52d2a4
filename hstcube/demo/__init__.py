"""A made-up field with known truth, and the whole job on it."""
