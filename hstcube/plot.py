"""Pictures, for where people would rather look than read. They return matplotlib figures and touch no global state."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from hstcube.sky import sky_pixels

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr
    from matplotlib.figure import Figure

__all__ = ["bands", "figure_bytes", "growth", "homogeneous", "psf_images", "sky_histograms", "stars"]

_COLUMNS = 5
_GREY, _BLUE, _RED = "0.75", "#3465a4", "#cc0000"
_VERDICTS = {"used": "#4e9a06", "core only": "#c4a000", "wings only": "#f57900", "rejected": _RED}


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


def stars(examined: xr.Dataset) -> Figure:
    """Draw stamps of stars, each with its verdict.

    Parameters
    ----------
    examined : Dataset, (star, band)
        What `examine_stars` returned.

    Returns
    -------
    Figure
        A row a star, a column a band; the cleaned stamps, logarithmic from the peak down by 1e5. Green: used; orange:
        wings only; yellow: core only; red: rejected.
    """
    from matplotlib.figure import Figure

    shape = (examined.sizes["star"], examined.sizes["band"])
    figure = Figure(figsize=(1.25 * shape[1] + 0.4, 1.25 * shape[0] + 0.4), layout="constrained")
    axes = figure.subplots(*shape, squeeze=False)
    for i, name in enumerate(examined.star.values):
        axes[i, 0].set_ylabel(f"star {name}", fontsize=8)
        for j, band in enumerate(examined.band.values):
            axis, verdict = axes[i, j], str(examined.verdict.values[i, j])
            _draw_psf(axis, examined.image.values[i, j])
            axis.set_title(str(band) if i == 0 else "", fontsize=8)
            axis.set_xlabel(verdict, fontsize=6, color=_VERDICTS[verdict], labelpad=1)
            for spine in axis.spines.values():
                spine.set(color=_VERDICTS[verdict], linewidth=1.5)
    return figure


def psf_images(psf: xr.DataArray, kernels: xr.DataArray | None = None) -> Figure:
    """Draw PSFs, and below them the kernels that match them.

    Parameters
    ----------
    psf : DataArray, (band, ky, kx)
    kernels : DataArray, (band, ky, kx), optional
        From `matching_kernels`.

    Returns
    -------
    Figure
        PSFs logarithmic from the peak down by 1e5; kernels too, by 1e3 on either side of zero, red is negative.
    """
    from matplotlib.colors import SymLogNorm
    from matplotlib.figure import Figure

    number, rows = psf.sizes["band"], 1 if kernels is None else 2
    figure = Figure(figsize=(1.4 * number, 1.6 * rows), layout="constrained")
    axes = figure.subplots(rows, number, squeeze=False)
    for i, band in enumerate(psf.band.values):
        _draw_psf(axes[0, i], psf.values[i])
        axes[0, i].set_title(str(band), fontsize=8)
        if kernels is not None:
            kernel = kernels.values[i]
            half, reach = kernel.shape[0] // 2, min(12, kernel.shape[0] // 2)
            core = kernel[half - reach : half + reach + 1, half - reach : half + reach + 1]
            top = np.abs(core).max()
            norm = SymLogNorm(1e-3 * top, vmin=-top, vmax=top)
            axes[1, i].imshow(core, origin="lower", cmap="RdBu", norm=norm, interpolation="nearest")
            said = f"negative {float(kernels.negative[i]):.2f}" if "negative" in kernels.coords else ""
            axes[1, i].set_xlabel(said, fontsize=6)
            axes[1, i].set_xticks([])
            axes[1, i].set_yticks([])
    return figure


def growth(*qualities: xr.Dataset, names: Sequence[str] = ("before", "after"), span: float | None = None) -> Figure:
    """Draw the encircled energy of every band over that of the target, a panel for each table of `psf_quality`.

    Parameters
    ----------
    *qualities : Dataset
        From `psf_quality`, e.g. of a cube before and after `psf_match`.
    names : sequence of str
        Titles of the panels.
    span : float, optional
        Half height of the panels; what the curves need when not given, each panel for itself.

    Returns
    -------
    Figure
        The grey band is 1 %.
    """
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.6 * len(qualities) + 1.0, 3.4), layout="constrained")
    colours = colormaps["turbo"](np.linspace(0.05, 0.95, qualities[0].sizes["band"]))
    axes = figure.subplots(1, len(qualities), squeeze=False)[0]
    for axis, quality, name in zip(axes, qualities, names, strict=False):
        axis.axhspan(0.99, 1.01, color=_GREY, alpha=0.6, lw=0)
        for band, curve, colour in zip(quality.band.values, quality.ee_ratio.values, colours, strict=True):
            axis.plot(quality.radius.values, curve, color=colour, label=str(band), lw=1.2)
        low, high = (1 - span, 1 + span) if span else _limits(quality.ee_ratio.values)
        axis.set(ylim=(low, high), xlabel="radius [arcsec]", title=name)
    axes[0].set_ylabel(f"encircled energy / that of {qualities[0].attrs['to']}")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center", fontsize=7, frameon=False)
    return figure


def _limits(curves: Any) -> tuple[float, float]:
    """Return limits that show all curves and at least 2 % on either side of one."""
    low, high = min(float(np.min(curves)), 0.98), max(float(np.max(curves)), 1.02)
    return low - 0.05 * (high - low), high + 0.05 * (high - low)


def _draw_psf(axis: Any, image: Any) -> None:
    top = np.nanmax(image)
    shown = np.log10(np.clip(image / top, 1e-5, None)) if top > 0 else image
    axis.imshow(shown, origin="lower", cmap="magma", vmin=-5, vmax=0, interpolation="nearest")
    axis.set_xticks([])
    axis.set_yticks([])


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
