"""What knows nothing of cubes: checked arguments, kept results, estimates from plain arrays."""
