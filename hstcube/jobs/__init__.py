"""Jobs on folders besides the run: PSFs, bins, fluxes, exports; stamps; comparisons."""
