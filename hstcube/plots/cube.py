"""Pictures, for where people would rather look than read. They return matplotlib figures and touch no global state."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from hstcube.core.cube import variance
from hstcube.phot.bins import group_snr
from hstcube.phot.groups import paint
from hstcube.sky.level import sky_pixels

if TYPE_CHECKING:
    import xarray as xr
    from astropy.table import Table
    from matplotlib.figure import Figure

    from hstcube.sky.level import Method

__all__ = [
    "bands",
    "bin_map",
    "figure_bytes",
    "growth",
    "homogeneous",
    "sed",
    "sky_histograms",
    "snr_map",
]

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
        figure.subplots(2, number, squeeze=False),
        (native, cube),
        ("as observed", "homogeneous"),
        strict=True,
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


def sky_histograms(
    cube: xr.Dataset, *, background: Any, levels: xr.DataArray, method: Method = "clipped"
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
    method : str
        The method that was used.

    Returns
    -------
    Figure
        Grey: all blank pixels; blue: those the level was taken from; red: the level and its
        standard error.
    """
    figure, axes = _panels(cube.sizes["band"], size=2.6)
    blank = np.asarray(background, dtype=bool)
    used = sky_pixels(cube, background=background, method=method)
    for i, axis in enumerate(axes):
        image = cube.sci.values[i]
        level, error = float(levels.values[i]), float(levels.sky_error.values[i])
        edges = _edges(image[used[i]])
        axis.hist(image[blank & np.isfinite(image)], edges, color=_GREY, label="blank")
        axis.hist(
            image[used[i]],
            edges,
            histtype="step",
            color=_BLUE,
            label=f"used: {int(used[i].sum())} px",
        )
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
    from matplotlib.colors import LogNorm

    if groups is None:
        ratio = cube.sci.values / np.sqrt(variance(cube).values)
    else:
        ratio = np.stack(
            [paint(cube, groups, values).values for values in group_snr(cube, groups).values]
        )
    figure, axes = _panels(cube.sizes["band"], size=2.4)
    for axis, name, image in zip(axes, cube.band.values, ratio, strict=True):
        shown = np.where(image >= 1, image, np.nan)
        top = max(np.nanpercentile(shown, 99.5), 2.0) if np.isfinite(shown).any() else 2.0
        drawn = axis.imshow(
            shown, origin="lower", norm=LogNorm(1, top), cmap="viridis", interpolation="nearest"
        )
        figure.colorbar(drawn, ax=axis, shrink=0.7).ax.tick_params(labelsize=6)
        _bare(axis, f"{name}  S/N")
    return figure


def bin_map(cube: xr.Dataset, bins: Any) -> Figure:
    """Draw bins: each in a colour that its neighbours do not have by chance, and their S/N in the bands they are for.

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
    labels = np.asarray(bins)
    attrs = getattr(bins, "attrs", {})
    figure, (left, right) = _panels(2, size=3.6)
    ids = np.unique(labels[labels > 0])
    colour = np.random.default_rng(1).permutation(ids.size)
    shown = np.full(labels.shape, np.nan)
    shown[labels > 0] = colour[np.searchsorted(ids, labels[labels > 0])]
    left.imshow(shown, origin="lower", cmap="prism", interpolation="nearest")
    _bare(left, f"{ids.size} bins")
    names = str(attrs.get("bands", "")).split() or cube.band.values.tolist()
    ratio = group_snr(cube.sel(band=names), labels).values
    judged = ratio.max(axis=0) if attrs.get("mode") == "any" else ratio.min(axis=0)
    number = np.bincount(labels[labels > 0])[ids]
    low = np.isin(ids, attrs.get("below_target", ()))
    right.loglog(number[~low], np.maximum(judged[~low], 0.1), ".", color=_BLUE, ms=3)
    right.loglog(number[low], np.maximum(judged[low], 0.1), "x", color=_RED, ms=4)
    if "snr" in attrs:
        right.axhline(float(attrs["snr"]), color=_GREY, lw=1)
    right.set_xlabel("pixels of a bin", fontsize=8)
    right.set_ylabel(
        f"S/N ({'best' if attrs.get('mode') == 'any' else 'worst'} of {', '.join(names)})",
        fontsize=7,
    )
    right.tick_params(labelsize=7)
    return figure


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
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.5, 3.4), layout="constrained")
    axis = figure.subplots()
    colours = _colours(curve.sizes["band"])
    for i, name in enumerate(curve.band.values):
        total = float(curve.flux.values[i, -1])
        flux, error = (curve[kind].values[i] / total for kind in ("flux", "error"))
        axis.errorbar(
            curve.radius.values,
            flux,
            error,
            color=colours[i],
            lw=1,
            elinewidth=0.7,
            label=str(name),
        )
    axis.axhline(1, color=_GREY, lw=0.8)
    axis.set_xlabel("radius [arcsec]", fontsize=8)
    axis.set_ylabel("flux within / in the largest", fontsize=8)
    axis.tick_params(labelsize=7)
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
    from matplotlib.figure import Figure

    pivot = _pivots(table)
    chosen = ids or tuple(table["id"][:8].tolist())
    figure = Figure(figsize=(4.5, 3.4), layout="constrained")
    axis = figure.subplots()
    for number, colour in zip(chosen, _colours(len(chosen)), strict=True):
        row = table[table["id"] == number][0]
        flux, error = (
            [float(row[f"{kind}_{name}"].value) for name in pivot] for kind in ("flux", "error")
        )
        axis.errorbar([value / 1e4 for value in pivot.values()], flux, error, fmt="o-", ms=3, lw=0.7, color=colour,
                      label=str(number))  # fmt: skip
    axis.axhline(0, color=_GREY, lw=0.8)
    axis.set_xlabel("wavelength [micron]", fontsize=8)
    axis.set_ylabel("flux [uJy]", fontsize=8)
    axis.tick_params(labelsize=7)
    axis.legend(fontsize=6, frameon=False, title="group", title_fontsize=6)
    return figure


def _pivots(table: Any) -> dict[str, float]:
    """Return the pivot wavelengths of a table's bands, in their order; those of a FITS table stand one in a card."""
    said = table.meta.get("pivot") or {
        key.split()[1]: value
        for key, value in table.meta.items()
        if key.lower().startswith("pivot ")
    }
    return {
        str(name): float(value) for name, value in sorted(said.items(), key=lambda pair: pair[1])
    }


def _colours(number: int) -> list[Any]:
    from matplotlib import colormaps

    return [colormaps["turbo"](0.05 + 0.9 * i / max(number - 1, 1)) for i in range(number)]


def _bare(axis: Any, title: str) -> None:
    axis.set_title(title, fontsize=8)
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


def noise_curve(check: Table) -> Figure:
    """Draw how empty apertures scatter, over what the noise of a cube predicts, against their size.

    Parameters
    ----------
    check : Table
        What `noise_check` returned.

    Returns
    -------
    Figure
        Blue: the local background removed; red: a constant sky, where faint sources count as noise.
        1 is right.
    """
    names = list(dict.fromkeys(check["band"]))
    figure, axes = _panels(len(names), size=2.0)
    for name, axis in zip(names, axes, strict=True):
        rows = check[check["band"] == name]
        error = 1 / np.sqrt(2 * np.maximum(rows["number"], 1))  # of a standard deviation
        axis.axhline(1, color=_GREY, lw=1)
        axis.errorbar(
            rows["size"], rows["ratio"], error * rows["ratio"], fmt="o-", color=_BLUE, ms=3, lw=1
        )
        axis.plot(rows["size"], rows["constant"], "s--", color=_RED, ms=3, lw=1)
        axis.set_title(name, fontsize=8)
        axis.set_ylim(0.5, 2)
        axis.tick_params(labelsize=6)
    figure.supxlabel("side of the aperture [pixels]", fontsize=8)
    figure.supylabel("scatter over prediction", fontsize=8)
    return figure
