"""Maps on the pixels of a cube: masks and labels, signal to noise, bins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hstcube.core.grids import Grid
from hstcube.core.rules import taken
from hstcube.noise.groups import group_ids, group_map
from hstcube.phot.bins import group_snr
from hstcube.phot.groups import of_bands
from hstcube.plots._drawing import (
    BLUE,
    GREY,
    RED,
    headed,
    image_panel,
    labelled,
    named,
    new_figure,
    on_axes,
    panels,
    plain_ticks,
    stretched,
    ticks_of,
)
from hstcube.plots._sky_axes import (
    Place,
    colour_bar,
    compass,
    finish,
    outline,
    psf_circle,
    scale_bar,
)
from hstcube.plots.cube import plane, sky_noise
from hstcube.regridding.labels import NOT_COVERED, regrid_labels
from hstcube.views.overview import at_middles, overviews, square_of

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

__all__ = ["bin_map", "bins", "mask_overlay", "snr_map", "snr_maps"]

# the light colours of Tol (2021, SRON/EPS/TN/09-002), told apart by colour-blind people too
_LIGHT = ("#77aadd", "#ee8866", "#eedd88", "#ffaabb", "#99ddff", "#44bb99", "#bbcc33", "#aaaa00")
_NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))
_CLEAR = 0.45  # how much of the image a label lets through


def mask_overlay(
    cube: xr.Dataset, labels: xr.DataArray | None = None, *, band: str | None = None,
    axes: Any = None,
) -> Figure:  # fmt: skip
    """Draw what the mask keeps on one band, the labels it came from, and what they do not cover.

    Parameters
    ----------
    cube : Dataset
    labels : DataArray of int, (y, x), optional
        A segmentation map, on the cube's pixels or on its own, as `open_labels` gives it.
    band : str, optional
        The image and the mask to draw; the reddest when not given.
    axes : matplotlib axes, optional
        A new figure when not given.

    Returns
    -------
    Figure
        Orange line: the border of the mask. Each label has a colour, no neighbours the same.
        Hatched: outside the segmentation map, or without data.
    """
    (cube,) = overviews(of_bands(cube, band).isel(band=[-1]), of=[cube])
    place, one = Place.of(cube), plane(cube, 0)
    figure, (axis,) = on_axes(axes, 1, lambda: image_panel((4.8, 4.4), place.tall))
    noise = sky_noise(one)
    norm = stretched(one.sci.values / noise, one.mask.values)
    drawn = axis.imshow(
        one.sci.values / noise, origin="lower", cmap="gray_r", norm=norm, extent=place.extent,
        interpolation="nearest",
    )  # fmt: skip
    unknown = one.wht.values == 0
    if labels is not None:
        found = regrid_labels(labels, Grid.of(cube)).values
        unknown |= found == NOT_COVERED
        _draw_colours(axis, place, found, alpha=_CLEAR)
    _hatch(axis, place, unknown)
    outline(axis, place, one.mask.values, colour=RED, width=1.4)
    _furnish(axis, place, float(one.psf_fwhm))
    colour_bar(drawn, axis, "signal / noise of the sky", ticks=ticks_of(norm))
    share = f"mask: {one.mask.values.mean():.0%} of the pixels"
    named(axis, cube, f"{one.band.item()}   {share}")
    return figure


def snr_maps(cube: xr.Dataset, *, groups: Any = None, axes: Any = None) -> Figure:
    """Draw the signal to noise of every band: of single pixels, or of groups of them.

    Parameters
    ----------
    cube : Dataset
    groups : DataArray or array of int, (y, x), optional
        Bins or apertures; their errors are those of `group_errors`.
    axes : array of matplotlib axes, optional
        One for each band; a new figure when not given.

    Returns
    -------
    Figure
        Logarithmic from 1 to the 99.5th percentile; below 1, and where there is no data, white.
    """
    from matplotlib.colors import LogNorm

    cube = taken(cube)
    number, painted = cube.sizes["band"], _painted(cube, groups)
    (cube,) = overviews(cube)
    place = Place.of(cube)
    figure, all_axes = on_axes(
        axes, number, lambda: panels(number, size=1.9, extra=0.55, tall=place.tall, heading=True)
    )
    for i, axis in enumerate(all_axes):
        image = _ratio(cube, i) if painted is None else painted[i]
        shown = np.where(image >= 1, image, np.nan)
        top = max(np.nanpercentile(shown, 99.5), 2.0) if np.isfinite(shown).any() else 2.0
        norm = LogNorm(1, top)
        drawn = axis.imshow(
            shown, origin="lower", norm=norm, cmap="viridis", interpolation="nearest",
            extent=place.extent,
        )  # fmt: skip
        finish(axis, place, title=str(cube.band.values[i]), label=False)
        psf_circle(axis, place, float(cube.psf_fwhm.values[i]))
        if i == 0:
            scale_bar(axis, place)
            compass(axis, place)
        colour_bar(drawn, axis, ticks=ticks_of(norm), below=True)
        if axes is None:
            axis.tick_params(labelleft=axis.get_subplotspec().is_first_col())
    if axes is None:
        what = "a pixel" if painted is None else "a group"
        headed(figure, cube, f"signal / noise of {what}")
    return figure


def snr_map(cube: xr.Dataset, *, groups: Any = None) -> Figure:
    """Draw the signal to noise of every band; see `snr_maps`."""
    return snr_maps(cube, groups=groups)


def _ratio(cube: xr.Dataset, i: int) -> NDArray[np.floating[Any]]:
    """Return the signal to noise of the pixels of one band, NaN where there is no data."""
    one = plane(cube, i)
    return np.asarray(one.sci.values * np.sqrt(one.wht.values))


def _painted(cube: xr.Dataset, groups: Any) -> NDArray[np.floating[Any]] | None:
    """Return the signal to noise of groups on their pixels, (band, y, x)."""
    if groups is None:
        return None
    labels = group_map(cube, groups)
    ids, ratio = group_ids(labels), group_snr(cube, labels).values
    shown = at_middles(labels, square_of(cube))
    painted, inside = np.full((len(ratio), *shown.shape), np.nan), shown > 0
    painted[:, inside] = ratio[:, np.searchsorted(ids, shown[inside])]
    return painted


def bins(cube: xr.Dataset, labels: Any, *, axes: Any = None) -> Figure:
    """Draw bins or other groups, no two neighbours in one colour.

    Parameters
    ----------
    cube : Dataset
    labels : DataArray or array of int, (y, x)
        As `bin_pixels` or `apertures` returns it; 0 is no group.
    axes : matplotlib axes, optional
        A new figure when not given.

    Returns
    -------
    Figure
    """
    cube = taken(cube)
    found = group_map(cube, labels)
    (small,) = overviews(cube.isel(band=[-1]), of=[cube])
    place = Place.of(small)
    figure, (axis,) = on_axes(axes, 1, lambda: image_panel((4.2, 4.4), place.tall))
    _draw_colours(axis, place, at_middles(found, square_of(cube)))
    _furnish(axis, place, float(np.max(cube.psf_fwhm.values)))
    named(axis, small, f"{group_ids(found).size} groups")
    return figure


def bin_map(cube: xr.Dataset, bins: Any) -> Figure:
    """Draw bins, no two neighbours in one colour, and their S/N in the bands they are for.

    Parameters
    ----------
    cube : Dataset
    bins : DataArray of int, (y, x)
        As `bin_pixels` returns it.

    Returns
    -------
    Figure
        The bins, and the S/N of every bin against its number of pixels; orange: islands below the
        target.
    """
    cube = taken(cube)
    found, attrs = group_map(cube, bins), getattr(bins, "attrs", {})
    figure = new_figure(8.0, 4.0)
    left, right = figure.subplots(1, 2)
    (small,) = overviews(cube.isel(band=[-1]), of=[cube])
    place = Place.of(small)
    ids, number = np.unique(found[found > 0], return_counts=True)
    _draw_colours(left, place, at_middles(found, square_of(cube)))
    _furnish(left, place, float(np.max(cube.psf_fwhm.values)))
    named(left, small, f"{ids.size} bins")
    names = str(attrs.get("bands", "")).split() or cube.band.values.tolist()
    ratio = group_snr(cube.sel(band=names), found).values
    best = attrs.get("mode") == "any"
    judged = np.maximum(ratio.max(axis=0) if best else ratio.min(axis=0), 0.1)
    low = np.isin(ids, attrs.get("below_target", ()))
    right.loglog(number[~low], judged[~low], ".", color=BLUE, ms=4)
    right.loglog(number[low], judged[low], "x", color=RED, ms=5)
    if "snr" in attrs:
        right.axhline(float(attrs["snr"]), color=GREY, lw=1)
    which = names[0] if len(names) == 1 else f"{'best' if best else 'worst'} of {len(names)} bands"
    labelled(right, "pixels of a bin", f"S/N ({which})")
    plain_ticks(right.xaxis, right.yaxis)
    return figure


def _draw_colours(axis: Any, place: Place, labels: NDArray[Any], *, alpha: float = 1.0) -> None:
    """Draw labels above 0, each in a colour that none of its neighbours has."""
    from matplotlib.colors import to_rgba

    ids = np.unique(labels[labels > 0])
    image = np.zeros((*labels.shape, 4))
    if ids.size:
        inside = labels > 0
        colour = colours_apart(labels)[np.searchsorted(ids, labels[inside])]
        table = np.array([to_rgba(one, alpha) for one in _LIGHT])
        image[inside] = table[colour % len(_LIGHT)]
    axis.imshow(image, origin="lower", extent=place.extent, interpolation="nearest")


def colours_apart(labels: NDArray[Any]) -> NDArray[np.int64]:
    """Return a number for each label above 0, in their order, that no neighbour has.

    The label with the fewest neighbours is taken away first and coloured last (smallest last:
    Matula & Beck 1983, J. ACM 30, 417), so that few numbers are enough.
    """
    ids = np.unique(labels[labels > 0])
    beside: list[set[int]] = [set() for _ in ids]
    for first, second in _touching(labels):
        one, other = np.searchsorted(ids, (first, second)).tolist()
        beside[one].add(other)
        beside[other].add(one)
    colour = np.full(ids.size, -1)
    for one in _smallest_last(beside):
        used = {int(colour[other]) for other in beside[one]}
        start = one % len(_LIGHT)  # not 0 each time: labels that lie alone differ too
        free = [i for i in (*range(start, len(_LIGHT)), *range(start)) if i not in used]
        colour[one] = free[0] if free else next(i for i in range(ids.size) if i not in used)
    return colour


def _touching(labels: NDArray[Any]) -> NDArray[Any]:
    """Return the pairs of labels above 0 that meet at an edge or a corner, each once."""
    found = [np.empty((0, 2), labels.dtype)]
    for dy, dx in _NEIGHBOURS:
        rows = labels.shape[0] - dy
        here = labels[:rows, max(-dx, 0) : labels.shape[1] - max(dx, 0)]
        there = labels[dy:, max(dx, 0) : labels.shape[1] - max(-dx, 0)]
        meet = (here != there) & (here > 0) & (there > 0)
        found.append(np.sort(np.stack([here[meet], there[meet]], axis=1), axis=1))
    return np.unique(np.vstack(found), axis=0)


def _smallest_last(beside: list[set[int]]) -> list[int]:
    """Return the order to colour in: each has few neighbours among those before it."""
    from heapq import heapify, heappop, heappush

    degree = [len(others) for others in beside]
    heap = [(number, one) for one, number in enumerate(degree)]
    heapify(heap)
    gone: dict[int, None] = {}
    while heap:
        number, one = heappop(heap)
        if one in gone or number != degree[one]:
            continue
        gone[one] = None
        for other in beside[one] - gone.keys():
            degree[other] -= 1
            heappush(heap, (degree[other], other))
    return list(gone)[::-1]


def _hatch(axis: Any, place: Place, where: NDArray[np.bool_]) -> None:
    """Hatch the pixels of which nothing is known."""
    from matplotlib.colors import ListedColormap

    if not where.any():
        return
    axis.imshow(
        np.where(where, 0.0, np.nan), origin="lower", extent=place.extent, alpha=0.5,
        cmap=ListedColormap(["0.85"]), interpolation="nearest",
    )  # fmt: skip
    (sy, sx), (x, y) = place.steps, place.centres
    x = np.array([x[0] - sx, *x, x[-1] + sx])  # up to the edges of the outer pixels
    y = np.array([y[0] - sy, *y, y[-1] + sy])
    wide = np.pad(where.astype(float), 1, mode="edge")
    hatch = axis.contourf(x, y, wide, [0.5, 1.5], colors="none", hatches=["///"])
    hatch.set_edgecolor("0.5")
    hatch.set_linewidth(0)


def _furnish(axis: Any, place: Place, fwhm: float) -> None:
    finish(axis, place)
    scale_bar(axis, place)
    compass(axis, place)
    psf_circle(axis, place, fwhm)
