"""From one pixel grid to another, and whether images lie where they should."""
