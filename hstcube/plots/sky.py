"""Pictures of blank sky: the pixels its level is measured on, and how their noise scatters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hstcube.core.rules import taken
from hstcube.core.state import in_band_order
from hstcube.errors import RecipeError
from hstcube.inputs.arrays import shown
from hstcube.inputs.choices import require_choice
from hstcube.plots._drawing import BLUE, GREY, RED, labelled, on_axes, panels, require_made
from hstcube.sky.level import sky_pixels, sky_samples

if TYPE_CHECKING:
    import xarray as xr
    from astropy.table import Table
    from matplotlib.figure import Figure

__all__ = ["noise_curve", "sky_histograms"]

Method = Literal["clipped", "original"]

_SIDE, _SCATTER = "side of the aperture [pixels]", "scatter over prediction"


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
        standard error. Of large images in blocks the windows that `measure_sky` looks at.
    """
    cube = taken(cube)
    require_choice("method", method, Method)
    require_made(levels, {"sky_error"}, "[[|: hstcube.measure_sky]]", single=True)
    if levels.dims != ("band",):
        reason = f"levels is {shown(levels)}, not one for each band"
        raise RecipeError("HC-B42", reason, "make it anew[[|: hstcube.measure_sky]]")
    ours = [in_band_order(cube, one).values for one in (levels, levels.sky_error)]
    number = cube.sizes["band"]
    figure, all_axes = on_axes(axes, number, lambda: panels(number, size=2.1))
    parts, sample = sky_samples(cube, background)
    used = [sky_pixels(part, background=blank, method=method) for part, blank in parts]
    for i, axis in enumerate(all_axes):
        images = [part.sci[i].values for part, _ in parts]  # of a lazy cube no other is computed
        seen = [
            image[np.asarray(blank) & np.isfinite(image)]
            for image, (_, blank) in zip(images, parts, strict=True)
        ]
        taken_from = [image[here[i]] for image, here in zip(images, used, strict=True)]
        _draw_histograms(axis, np.concatenate(seen), np.concatenate(taken_from))
        level, error = (float(one[i]) for one in ours)
        axis.axvspan(level - error, level + error, color=RED, alpha=0.3, lw=0)
        axis.axvline(level, color=RED, lw=1)
        axis.set_title(f"{cube.band.values[i]}: {level:.2e} ± {error:.0e}", fontsize=8)
        axis.legend(fontsize=6, loc="upper right", frameon=False)
        axis.set_yticks([])
        axis.set_ylim(0, 1.3 * axis.get_ylim()[1])  # room for the legend
    if axes is None:
        said = (f"{cube.sci.attrs['units']} per pixel", sample)
        figure.supxlabel("   ".join(filter(None, said)), fontsize=8)
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


def noise_curve(check: Table, *, axes: Any = None) -> Figure:
    """Draw how empty apertures scatter, over what the noise of a cube predicts, against their size.

    Parameters
    ----------
    check : Table
        What `noise_check` returned.
    axes : array of matplotlib axes, optional
        One for each band; a new figure when not given.

    Returns
    -------
    Figure
        Blue: the local background removed; orange: a constant sky, where faint sources count as
        noise. 1 is right.
    """
    require_made(check, {"band", "size"}, "[[|: hstcube.noise_check]]")
    names = list(dict.fromkeys(check["band"]))
    figure, all_axes = on_axes(axes, len(names), lambda: panels(len(names), size=2.0))
    for name, axis in zip(names, all_axes, strict=True):
        rows = check[check["band"] == name]
        axis.axhline(1, color=GREY, lw=1)
        axis.errorbar(
            rows["size"],
            rows["ratio"],
            rows["error"],
            fmt="o-",
            color=BLUE,
            ms=3,
            lw=1,
            label="local background off",
        )
        axis.plot(
            rows["size"], rows["constant"], "s--", color=RED, ms=3, lw=1, label="constant sky"
        )
        axis.set_title(name, fontsize=8)
        axis.set_ylim(0.5, 2)
        axis.tick_params(labelsize=7)
        if axes is None:
            axis.tick_params(labelleft=axis.get_subplotspec().is_first_col())
        else:
            labelled(axis, _SIDE, _SCATTER)
    all_axes[0].legend(fontsize=6.5, frameon=False, loc="upper left")
    if axes is None:
        figure.supxlabel(_SIDE, fontsize=8)
        figure.supylabel(_SCATTER, fontsize=8)
    return figure
