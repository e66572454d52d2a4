from hstcube.plots.colours import before_after as before_after
from hstcube.plots.colours import colour_map as colour_map
from hstcube.plots.colours import rgb as rgb
from hstcube.plots.cube import bands as bands
from hstcube.plots.cube import compare as compare
from hstcube.plots.cube import figure_bytes as figure_bytes
from hstcube.plots.cube import homogeneous as homogeneous
from hstcube.plots.cube import quicklook as quicklook
from hstcube.plots.fluxes import growth as growth
from hstcube.plots.fluxes import growth_curve as growth_curve
from hstcube.plots.fluxes import radial_profile as radial_profile
from hstcube.plots.fluxes import sed as sed
from hstcube.plots.lines import line as line
from hstcube.plots.maps import bin_map as bin_map
from hstcube.plots.maps import bins as bins
from hstcube.plots.maps import mask_overlay as mask_overlay
from hstcube.plots.maps import snr_map as snr_map
from hstcube.plots.maps import snr_maps as snr_maps
from hstcube.plots.psf import kernels as kernels
from hstcube.plots.psf import psf_curves as psf_curves
from hstcube.plots.sky import noise_curve as noise_curve
from hstcube.plots.sky import sky_histograms as sky_histograms

__all__: list[str]
