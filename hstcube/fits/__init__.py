"""FITS as bytes: opening, images, header-data units, whole files. Knows nothing of cubes."""
