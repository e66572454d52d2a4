"""Pictures of the sky of a cube: the pixels it is measured on, and the level."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hstcube.core.rules import taken
from hstcube.inputs.arrays import keep_of
from hstcube.inputs.choices import require_choice
from hstcube.plots._drawing import BLUE, GREY, RED, on_axes, panels
from hstcube.sky.level import sky_pixels

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

__all__ = ["sky_histograms"]

Method = Literal["clipped", "original"]


def sky_histograms(
    cube: xr.Dataset,
    *,
    background: Any,
    levels: xr.DataArray,
    method: Method = "clipped",
    axes: Any = None,
) -> Figure:
    """Draw the histogram of the background pixels of every band, and the level in it.

    Parameters
    ----------
    cube : Dataset
        Before the sky is subtracted.
    background : DataArray of bool, (y, x)
        As `measure_sky` was given it.
    levels : DataArray, (band,)
        What `measure_sky` returned.
    method : {"clipped", "original"}
        The method that was used.
    axes : array of matplotlib axes, optional
        One for each band; a new figure when not given.

    Returns
    -------
    Figure
        Grey: all blank pixels; blue: those the level was taken from; orange: the level and its
        standard error.
    """
    cube = taken(cube)
    require_choice("method", method, Method)
    number = cube.sizes["band"]
    figure, all_axes = on_axes(axes, number, lambda: panels(number, size=2.1))
    blank = keep_of("background", background)[0]
    used = sky_pixels(cube, background=background, method=method)
    for i, axis in enumerate(all_axes):
        image = cube.sci[i].values  # of a lazy cube no other is computed
        _draw_histograms(axis, image[blank & np.isfinite(image)], image[used[i]])
        level, error = float(levels.values[i]), float(levels.sky_error.values[i])
        axis.axvspan(level - error, level + error, color=RED, alpha=0.3, lw=0)
        axis.axvline(level, color=RED, lw=1)
        axis.set_title(f"{cube.band.values[i]}: {level:.2e} ± {error:.0e}", fontsize=8)
        axis.legend(fontsize=6, loc="upper right", frameon=False)
        axis.set_yticks([])
        axis.set_ylim(0, 1.3 * axis.get_ylim()[1])  # room for the legend
    if axes is None:
        figure.supxlabel(f"{cube.sci.attrs['units']} per pixel", fontsize=8)
    return figure


def _draw_histograms(axis: Any, blank: Any, used: Any) -> None:
    edges = _edges(used) if used.size else 60
    axis.hist(blank, edges, color=GREY, label="blank")
    axis.hist(used, edges, histtype="step", color=BLUE, label=f"used: {used.size} px")
    axis.tick_params(labelsize=6)
    axis.xaxis.get_offset_text().set_fontsize(6)
    axis.ticklabel_format(axis="x", style="sci", scilimits=(0, 0))
    axis.locator_params(axis="x", nbins=4)


def _edges(values: Any) -> Any:
    middle, spread = np.median(values), np.percentile(values, 84) - np.percentile(values, 16)
    return np.linspace(middle - 3 * spread, middle + 3 * spread, 60)
