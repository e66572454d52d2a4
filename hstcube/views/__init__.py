"""A cube as people look at it: colours, magnitudes, a spectrum at a place, a summary, NDData."""
