"""Images as one cube: read, given PSFs and noise, moved, brought to one grid."""
