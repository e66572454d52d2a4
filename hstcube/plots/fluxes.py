"""Pictures of what is measured of groups of pixels: signal to noise, bins, growth, spectra."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hstcube.core.cube import variance
from hstcube.core.rules import taken
from hstcube.phot.bins import group_snr
from hstcube.phot.groups import paint
from hstcube.plots._drawing import BLUE, GREY, RED, bare, colours, labelled, one_panel, panels

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

__all__ = ["bin_map", "growth", "sed", "snr_map"]


def snr_map(cube: xr.Dataset, *, groups: Any = None) -> Figure:
    """Draw the signal to noise of every band: of single pixels, or of groups of them.

    Parameters
    ----------
    cube : Dataset
    groups : DataArray or array of int, (y, x), optional
        Bins or apertures; their errors are those of `group_errors`.

    Returns
    -------
    Figure
        Logarithmic from 1 to the 99.5th percentile; below 1, and where there is no data, white.
    """
    cube = taken(cube)
    from matplotlib.colors import LogNorm

    ratio = _ratio(cube, groups)
    figure, axes = panels(cube.sizes["band"], size=2.4)
    for axis, name, image in zip(axes, cube.band.values, ratio, strict=True):
        shown = np.where(image >= 1, image, np.nan)
        top = max(np.nanpercentile(shown, 99.5), 2.0) if np.isfinite(shown).any() else 2.0
        drawn = axis.imshow(
            shown, origin="lower", norm=LogNorm(1, top), cmap="viridis", interpolation="nearest"
        )
        figure.colorbar(drawn, ax=axis, shrink=0.7).ax.tick_params(labelsize=6)
        bare(axis, f"{name}  S/N")
    return figure


def _ratio(cube: xr.Dataset, groups: Any) -> NDArray[np.floating[Any]]:
    """Return the signal to noise of pixels, or of the groups on their pixels, (band, y, x)."""
    if groups is None:
        return np.asarray(cube.sci.values / np.sqrt(variance(cube).values))
    painted = [paint(cube, groups, values).values for values in group_snr(cube, groups).values]
    return np.stack(painted)


def bin_map(cube: xr.Dataset, bins: Any) -> Figure:
    """Draw bins, each in a colour of its own, and their S/N in the bands they are for.

    Parameters
    ----------
    cube : Dataset
    bins : DataArray of int, (y, x)
        As `bin_pixels` returns it.

    Returns
    -------
    Figure
        The bins, and the S/N of every bin against its number of pixels; red: islands below the
        target.
    """
    cube = taken(cube)
    labels = np.asarray(bins)
    attrs = getattr(bins, "attrs", {})
    figure, (left, right) = panels(2, size=3.6)
    ids, number = np.unique(labels[labels > 0], return_counts=True)
    _draw_bins(left, labels, ids)
    names = str(attrs.get("bands", "")).split() or cube.band.values.tolist()
    ratio = group_snr(cube.sel(band=names), labels).values
    best = attrs.get("mode") == "any"
    judged = np.maximum(ratio.max(axis=0) if best else ratio.min(axis=0), 0.1)
    low = np.isin(ids, attrs.get("below_target", ()))
    right.loglog(number[~low], judged[~low], ".", color=BLUE, ms=3)
    right.loglog(number[low], judged[low], "x", color=RED, ms=4)
    if "snr" in attrs:
        right.axhline(float(attrs["snr"]), color=GREY, lw=1)
    labelled(right, "pixels of a bin", "")
    right.set_ylabel(f"S/N ({'best' if best else 'worst'} of {', '.join(names)})", fontsize=7)
    return figure


def _draw_bins(axis: Any, labels: Any, ids: Any) -> None:
    """Draw a map of bins in colours that neighbours hardly share."""
    colour = np.random.default_rng(1).permutation(ids.size)
    shown = np.full(labels.shape, np.nan)
    shown[labels > 0] = colour[np.searchsorted(ids, labels[labels > 0])]
    axis.imshow(shown, origin="lower", cmap="prism", interpolation="nearest")
    bare(axis, f"{ids.size} bins")


def growth(curve: xr.Dataset) -> Figure:
    """Draw curves of growth, in units of the flux in the largest aperture.

    Parameters
    ----------
    curve : Dataset
        As `curve_of_growth` returns it.

    Returns
    -------
    Figure
    """
    figure, axis = one_panel()
    for i, colour in enumerate(colours(curve.sizes["band"])):
        total = float(curve.flux.values[i, -1])
        axis.errorbar(
            curve.radius.values, curve.flux.values[i] / total, curve.error.values[i] / total,
            color=colour, lw=1, elinewidth=0.7, label=str(curve.band.values[i]),
        )  # fmt: skip
    axis.axhline(1, color=GREY, lw=0.8)
    labelled(axis, "radius [arcsec]", "flux within / in the largest")
    axis.legend(fontsize=6, frameon=False)
    return figure


def sed(table: Any, *ids: int) -> Figure:
    """Draw the spectral energy distributions of groups.

    Parameters
    ----------
    table : QTable
        As `photometry` returns it.
    *ids : int
        Which groups; the first eight rows when none is given.

    Returns
    -------
    Figure
        Flux [uJy] at the pivot wavelengths with 1 sigma errors; negative fluxes are where they are.
    """
    pivot = _pivots(table)
    microns = [value / 1e4 for value in pivot.values()]
    chosen = ids or tuple(table["id"][:8].tolist())
    figure, axis = one_panel()
    for number, colour in zip(chosen, colours(len(chosen)), strict=True):
        row = table[table["id"] == number][0]
        flux = [float(row[f"flux_{name}"].value) for name in pivot]
        error = [float(row[f"error_{name}"].value) for name in pivot]
        axis.errorbar(microns, flux, error, fmt="o-", ms=3, lw=0.7, color=colour, label=str(number))
    axis.axhline(0, color=GREY, lw=0.8)
    labelled(axis, "wavelength [micron]", "flux [uJy]")
    axis.legend(fontsize=6, frameon=False, title="group", title_fontsize=6)
    return figure


def _pivots(table: Any) -> dict[str, float]:
    """Return the pivot wavelengths of a table's bands, increasing."""
    said = dict(table.meta.get("pivot") or {})
    if not said:  # those of a FITS table stand one in a card
        for key, value in table.meta.items():
            if key.lower().startswith("pivot "):
                said[key.split()[1]] = value
    return {str(name): float(said[name]) for name in sorted(said, key=said.__getitem__)}
