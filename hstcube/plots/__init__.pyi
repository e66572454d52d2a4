from hstcube.plots.cube import bands as bands
from hstcube.plots.cube import bin_map as bin_map
from hstcube.plots.cube import figure_bytes as figure_bytes
from hstcube.plots.cube import growth as growth
from hstcube.plots.cube import homogeneous as homogeneous
from hstcube.plots.cube import noise_curve as noise_curve
from hstcube.plots.cube import sed as sed
from hstcube.plots.cube import sky_histograms as sky_histograms
from hstcube.plots.cube import snr_map as snr_map

__all__: list[str]
