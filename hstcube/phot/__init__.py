"""Units, groups of pixels, profiles, bins, and the table of fluxes."""
