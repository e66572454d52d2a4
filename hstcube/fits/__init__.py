"""FITS as bytes: opening, images, header-data units, files that are whole or absent. Knows nothing of cubes."""
