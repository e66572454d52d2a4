from hstcube.plots.cube import bands as bands
from hstcube.plots.cube import figure_bytes as figure_bytes
from hstcube.plots.cube import homogeneous as homogeneous
from hstcube.plots.fluxes import bin_map as bin_map
from hstcube.plots.fluxes import growth as growth
from hstcube.plots.fluxes import sed as sed
from hstcube.plots.fluxes import snr_map as snr_map
from hstcube.plots.noise import noise_curve as noise_curve
from hstcube.plots.sky import sky_histograms as sky_histograms

__all__: list[str]
