"""Pictures of PSFs: the stars they come from, kernels that match them, and what matching does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hstcube.inputs.arrays import several, shown
from hstcube.inputs.quantities import number_in
from hstcube.plots._drawing import (
    GREY,
    colours,
    labelled,
    new_figure,
    on_axes,
    panels,
    require_made,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr
    from matplotlib.figure import Figure

__all__ = ["images", "kernels", "psf_curves", "stars"]

_NARROWEST = 3.2  # inches: a figure of one band
_FAINTEST = 1e-5  # of the peak of a PSF
_SHARES = (1, 0.1, 0.01, 1e-3, 1e-4, _FAINTEST)
_REACH = 12  # pixels from the middle of a kernel that are drawn
_DECADES = (-1, -0.1, -0.01, 0, 0.01, 0.1, 1)
_VERDICTS = {
    "used": "#4e9a06",
    "core only": "#c4a000",
    "wings only": "#f57900",
    "rejected": "#cc0000",
}


def stars(examined: xr.Dataset) -> Figure:
    """Draw stamps of stars, each with its verdict.

    Parameters
    ----------
    examined : Dataset, (star, band)
        What `examine_stars` returned.

    Returns
    -------
    Figure
        A row a star, a column a band; the cleaned stamps, logarithmic from the peak down by 1e5.
        Green: used; orange: wings only; yellow: core only; red: rejected.
    """
    shape = (examined.sizes["star"], examined.sizes["band"])
    figure = new_figure(max(1.25 * shape[1] + 1.0, _NARROWEST), 1.4 * shape[0] + 0.6)
    axes = figure.subplots(*shape, squeeze=False)
    for i, name in enumerate(examined.star.values):
        axes[i, 0].set_ylabel(f"star {name}", fontsize=8)
        for j, band in enumerate(examined.band.values):
            axis, verdict = axes[i, j], str(examined.verdict.values[i, j])
            drawn = _draw_psf(axis, examined.image[i, j], str(band) if i == 0 else "")
            axis.set_xlabel(verdict, fontsize=7, color=_VERDICTS[verdict], labelpad=1)
            for spine in axis.spines.values():
                spine.set(color=_VERDICTS[verdict], linewidth=1.5)
    _outer_ticks(axes)
    _shares(figure, axes, drawn, _SHARES)
    figure.supxlabel("arcsec", fontsize=8)
    return figure


def images(psf: xr.DataArray, kernels: xr.DataArray | None = None) -> Figure:
    """Draw PSFs, and below them the kernels that match them.

    Parameters
    ----------
    psf : DataArray, (band, ky, kx)
    kernels : DataArray, (band, ky, kx), optional
        From `matching_kernels`.

    Returns
    -------
    Figure
        PSFs logarithmic from the peak down by 1e5; kernels too, by 1e3 on either side of zero, red
        is negative.
    """
    number, rows = psf.sizes["band"], 1 if kernels is None else 2
    figure = new_figure(max(1.4 * number + 1.0, _NARROWEST), 1.8 * rows + 0.2)
    axes = figure.subplots(rows, number, squeeze=False)
    for i, band in enumerate(psf.band.values):
        drawn = [_draw_psf(axes[0, i], psf[i], str(band))]
        if kernels is not None:
            drawn.append(_draw_kernel(axes[1, i], kernels.isel(band=i)))
            axes[1, i].set_title(_negative(kernels.isel(band=i)), fontsize=7, pad=3)
    for row, one in zip(axes, drawn, strict=True):
        _outer_ticks(row[None])
        _shares(figure, row, one, _DECADES if one.norm.vmin < 0 else _SHARES)
    figure.supxlabel("arcsec", fontsize=8)
    return figure


def kernels(kernels: xr.DataArray, *, axes: Any = None) -> Figure:
    """Draw matching kernels.

    Parameters
    ----------
    kernels : DataArray, (band, ky, kx)
        From `matching_kernels`.
    axes : array of matplotlib axes, optional
        One for each band; a new figure when not given.

    Returns
    -------
    Figure
        In units of the peak: logarithmic down to 1e-3 on either side of zero, blue positive, red
        negative. Above each how much of it is negative.
    """
    require_made(kernels, {"band", "ky", "kx"}, "[[|: hstcube.matching_kernels]]", single=True)
    number = kernels.sizes["band"]
    figure, all_axes = on_axes(axes, number, lambda: panels(number, size=1.9, extra=0.35))
    for i, axis in enumerate(all_axes):
        one = kernels.isel(band=i)
        drawn = _draw_kernel(axis, one)
        axis.set_title(f"{one.band.item()}  {_negative(one)}".strip(), fontsize=8)
        if axes is None:
            axis.tick_params(labelleft=axis.get_subplotspec().is_first_col())
    if axes is None:
        _shares(figure, all_axes, drawn, _DECADES)
        figure.supxlabel("arcsec", fontsize=8)
        figure.supylabel("arcsec", fontsize=8)
    return figure


def psf_curves(
    *qualities: xr.Dataset,
    names: Sequence[str] = ("before", "after"),
    span: float | None = None,
    axes: Any = None,
) -> Figure:
    """Draw the encircled energy of every band over that of the target.

    A panel for each table of `psf_quality`.

    Parameters
    ----------
    *qualities : Dataset
        From `psf_quality`, e.g. of a cube before and after `psf_match`.
    names : sequence of str
        Titles of the panels; those for which there is none have none.
    span : float, optional
        Half height of the panels; what the curves need when not given, each panel for itself.
    axes : array of matplotlib axes, optional
        One for each table; a new figure when not given.

    Returns
    -------
    Figure
        The grey band is 1 %.
    """
    for quality in qualities:
        require_made(quality, {"ee_ratio", "radius", "band"}, "[[|: hstcube.psf_quality]]")
    number = len(qualities)
    span = None if span is None else number_in("", span, "span", above=0)
    figure, all_axes = on_axes(axes, number, lambda: _row(number))
    named = [name if isinstance(name, str) else shown(name) for name in several(names)]
    titles = [*named, *[""] * number]
    for axis, quality, name in zip(all_axes, qualities, titles, strict=False):
        axis.axhspan(0.99, 1.01, color=GREY, alpha=0.6, lw=0)
        for i, colour in enumerate(colours(quality.sizes["band"])):
            curve, band = quality.ee_ratio.values[i], str(quality.band.values[i])
            axis.plot(quality.radius.values, curve, color=colour, label=band, lw=1.2)
        low, high = (1 - span, 1 + span) if span else _limits(quality.ee_ratio.values)
        axis.set(ylim=(low, high))
        axis.set_title(name if number > 1 else "", fontsize=8)
        labelled(axis, "radius [arcsec]", f"encircled energy / that of {quality.attrs['to']}")
    if axes is None:
        handles = all_axes[0].get_legend_handles_labels()
        figure.legend(*handles, loc="outside right center", fontsize=7, frameon=False)
    return figure


def _row(number: int) -> Any:
    figure = new_figure(3.6 * number + 1.0, 3.4)
    return figure, figure.subplots(1, number, squeeze=False)[0].tolist()


def _limits(curves: Any) -> tuple[float, float]:
    """Return limits that show all curves and at least 2 % on either side of one."""
    low, high = min(float(np.min(curves)), 0.98), max(float(np.max(curves)), 1.02)
    return low - 0.05 * (high - low), high + 0.05 * (high - low)


def _draw_kernel(axis: Any, kernel: xr.DataArray) -> Any:
    """Draw the middle of a kernel in units of its peak, in arcsec from its centre."""
    from matplotlib.colors import SymLogNorm

    half = kernel.sizes["ky"] // 2, kernel.sizes["kx"] // 2
    ky, kx = (slice(max(n - _REACH, 0), n + _REACH + 1) for n in half)
    core = kernel.isel(ky=ky, kx=kx)
    norm = SymLogNorm(1e-3, vmin=-1, vmax=1)
    return _draw_on_sky(axis, core, core.values / np.abs(core.values).max(), "RdBu", norm)


def _negative(kernel: xr.DataArray) -> str:
    """Say how much of a kernel is negative, where that is known."""
    return f"negative {float(kernel.negative):.2f}" if "negative" in kernel.coords else ""


def _draw_psf(axis: Any, image: xr.DataArray, title: str) -> Any:
    """Draw a PSF in units of its peak, in arcsec from its centre."""
    from matplotlib.colors import LogNorm

    top = float(np.nanmax(image.values))
    shown = np.clip(image.values / top, _FAINTEST, None) if top > 0 else image.values
    axis.set_title(title, fontsize=8, pad=3)
    return _draw_on_sky(axis, image, shown, "magma", LogNorm(_FAINTEST, 1))


def _draw_on_sky(axis: Any, image: xr.DataArray, values: Any, cmap: str, norm: Any) -> Any:
    from matplotlib.ticker import MaxNLocator, NullLocator

    edges: list[float] = []
    for lag in (image.kx.values, image.ky.values):
        half = (lag[1] - lag[0]) / 2 if lag.size > 1 else 0.5
        edges += [lag[0] - half, lag[-1] + half]
    drawn = axis.imshow(
        values, origin="lower", cmap=cmap, norm=norm, interpolation="nearest", extent=edges
    )
    axis.tick_params(labelsize=7, length=2)
    for one, number in zip((axis.xaxis, axis.yaxis), values.shape[::-1], strict=True):
        # how large the pixel of a kernel of one is nobody says
        one.set_major_locator(MaxNLocator(3) if number > 1 else NullLocator())
    return drawn


def _outer_ticks(axes: Any) -> None:
    """Leave the numbers of the axes at the left and at the bottom alone."""
    for i, j in np.ndindex(axes.shape):
        axes[i, j].tick_params(labelleft=j == 0, labelbottom=i == len(axes) - 1)


def _shares(figure: Figure, axes: Any, drawn: Any, ticks: Sequence[float]) -> None:
    """Draw what the colours mean, to the right of several panels."""
    bar = figure.colorbar(drawn, ax=axes, shrink=0.8, aspect=24, pad=0.01)
    bar.set_ticks(list(ticks), labels=[f"{one:g}" for one in ticks])
    bar.ax.minorticks_off()
    bar.ax.tick_params(labelsize=7)
    bar.set_label("in units of the peak", fontsize=8)
