"""Pictures, for where people would rather look than read. They return matplotlib figures and touch no global state."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from hstcube.sky import sky_pixels

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

__all__ = ["bands", "figure_bytes", "homogeneous", "sky_histograms"]

_COLUMNS = 5
_GREY, _BLUE, _RED = "0.75", "#3465a4", "#cc0000"


def bands(cube: xr.Dataset, *, outline: bool = True) -> Figure:
    """Draw every band of a cube, with the outline of its mask.

    Parameters
    ----------
    cube : Dataset
    outline : bool
        Draw the border of the mask.

    Returns
    -------
    Figure
        Grey levels are asinh of the signal over the noise of the sky, the same in all bands.
    """
    figure, axes = _panels(cube.sizes["band"], size=2.0)
    for i, axis in enumerate(axes):
        one = cube.isel(band=i)
        _draw_band(axis, one, reference=one)
        if outline and one.mask.values.any() and not one.mask.values.all():
            axis.contour(one.mask.values.astype(float), [0.5], colors=_RED, linewidths=0.8)
    return figure


def homogeneous(native: xr.Dataset, cube: xr.Dataset) -> Figure:
    """Draw every band as observed above the same band made homogeneous, with its mask.

    Parameters
    ----------
    native, cube : Dataset
        The same bands and pixels, before and after.

    Returns
    -------
    Figure
    """
    from matplotlib.figure import Figure

    number = cube.sizes["band"]
    figure = Figure(figsize=(1.5 * number, 3.4), layout="constrained")
    for line, one, name in zip(
        figure.subplots(2, number, squeeze=False), (native, cube), ("as observed", "homogeneous"), strict=True
    ):
        line[0].set_ylabel(name, fontsize=8)
        for i, axis in enumerate(line):
            _draw_band(axis, one.isel(band=i), reference=native.isel(band=i))
            if one is cube:
                axis.contour(cube.mask.values[i].astype(float), [0.5], colors=_RED, linewidths=0.7)
    return figure


def _draw_band(axis: Any, one: xr.Dataset, reference: xr.Dataset) -> None:
    """Draw one image in grey; `reference` sets the noise that is one step of grey."""
    noise = 1 / np.sqrt(np.median(reference.wht.values[reference.wht.values > 0]))
    image = np.arcsinh(one.sci.values / noise / 2)
    axis.imshow(image, origin="lower", cmap="gray_r", vmin=-1, vmax=5, interpolation="nearest")
    axis.set_title(f"{one.band.item()}  {float(one.psf_fwhm):.2f}″", fontsize=8)
    axis.set_xticks([])
    axis.set_yticks([])


def sky_histograms(cube: xr.Dataset, *, background: Any, levels: xr.DataArray, method: str = "clipped") -> Figure:
    """Draw the histogram of the background pixels of every band, and the level in it.

    Parameters
    ----------
    cube : Dataset
        Before the sky is subtracted.
    background : DataArray of bool, (y, x)
        As `measure_sky` was given it.
    levels : DataArray, (band,)
        What `measure_sky` returned.
    method : str
        The method that was used.

    Returns
    -------
    Figure
        Grey: all blank pixels; blue: those the level was taken from; red: the level and its standard error.
    """
    figure, axes = _panels(cube.sizes["band"], size=2.6)
    blank = np.asarray(background, dtype=bool)
    used = sky_pixels(cube, background=background, method=method)
    for i, axis in enumerate(axes):
        image = cube.sci.values[i]
        level, error = float(levels.values[i]), float(levels.sky_error.values[i])
        edges = _edges(image[used[i]])
        axis.hist(image[blank & np.isfinite(image)], edges, color=_GREY, label="blank")
        axis.hist(image[used[i]], edges, histtype="step", color=_BLUE, label=f"used: {int(used[i].sum())} px")
        axis.axvspan(level - error, level + error, color=_RED, alpha=0.3, lw=0)
        axis.axvline(level, color=_RED, lw=1)
        axis.set_title(f"{cube.band.values[i]}: {level:.2e} $\\pm$ {error:.0e}", fontsize=8)
        axis.tick_params(labelsize=6)
        axis.xaxis.get_offset_text().set_fontsize(6)
        axis.ticklabel_format(axis="x", style="sci", scilimits=(0, 0))
        axis.locator_params(axis="x", nbins=4)
        axis.legend(fontsize=5, loc="upper right", frameon=False)
    figure.supxlabel(f"{cube.sci.attrs['units']} per pixel", fontsize=8)
    return figure


def figure_bytes(figure: Figure) -> bytes:
    """Return a figure as PNG, the same bytes for the same figure."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120, metadata={"Software": None})
    return buffer.getvalue()


def _panels(number: int, *, size: float) -> tuple[Figure, list[Any]]:
    from matplotlib.figure import Figure

    columns = min(number, _COLUMNS)
    rows = -(-number // columns)
    figure = Figure(figsize=(size * columns, size * rows), layout="constrained")
    axes = np.atleast_1d(figure.subplots(rows, columns)).ravel().tolist()
    for axis in axes[number:]:
        axis.remove()
    return figure, axes[:number]


def _edges(values: Any) -> Any:
    middle, spread = np.median(values), np.percentile(values, 84) - np.percentile(values, 16)
    return np.linspace(middle - 3 * spread, middle + 3 * spread, 60)
