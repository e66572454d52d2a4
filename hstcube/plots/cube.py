"""Pictures of cubes, as matplotlib figures; they touch no global state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hstcube.core.rules import require_same_grid, taken
from hstcube.errors import BandError, CubeError
from hstcube.inputs.choices import flag, require_choice
from hstcube.plots._drawing import (
    RED,
    Axes,
    headed,
    new_figure,
    on_axes,
    panels,
    png,
    room_of,
    sides,
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
from hstcube.views.overview import overviews

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

__all__ = [
    "bands",
    "compare",
    "figure_bytes",
    "homogeneous",
    "plane",
    "quicklook",
    "require_alike",
    "sky_noise",
]

How = Literal["sigmas", "difference", "ratio"]

_SIZE, _ROOM = 1.9, 0.55  # inches: a panel, and its title and colour bar
_COLUMNS, _NARROWEST = 5, 3.7
_SEEN, _TOP = 3.0, 99.7  # noises that a ratio is drawn from; percentile
_NOISE = "signal / noise of the sky"


def quicklook(
    cube: xr.Dataset, *, before: xr.Dataset | None = None, mask: bool = True, axes: Any = None
) -> Figure:
    """Draw every band of a cube, and above it the band as it was before.

    Parameters
    ----------
    cube : Dataset
    before : Dataset, optional
        The same bands and pixels, e.g. as observed.
    mask : bool
        Draw the border of the mask of `cube`.
    axes : array of matplotlib axes, optional
        As many as there are images, those of `before` first; a new figure when not given.

    Returns
    -------
    Figure
        In units of the noise of the sky (of `before`, where there is one, so that the two share
        their greys): asinh from twice the noise below zero to the 99.7th percentile inside the
        mask. The circle is as wide as the PSF. A cube in blocks that is larger than 1024 pixels a
        side is drawn as averages of squares of pixels, in this and all other pictures, and says so.

    Raises
    ------
    BandError
        If the two cubes have other bands.
    GridError
        If they lie on other pixels.
    """
    cube = taken(cube)
    number = cube.sizes["band"]
    if before is not None:
        before, cube = overviews(require_alike(before, cube), cube)
    else:
        (cube,) = overviews(cube)
    place = Place.of(cube)
    if before is None:
        figure, below = on_axes(axes, number, lambda: _panels(number, place))
        above: list[Any] = [None] * number
    else:
        figure, both = on_axes(axes, 2 * number, lambda: _pairs(number, place))
        above, below = both[:number], both[number:]
    for i in range(number):
        one, old = plane(cube, i), plane(cube if before is None else before, i)
        noise = sky_noise(old)
        norm = stretched(old.sci.values / noise, one.mask.values)
        if before is not None:
            _draw(above[i], old, old.sci.values / noise, place, norm, first=i == 0)
        drawn = _draw(below[i], one, one.sci.values / noise, place, norm, first=i == 0)
        colour_bar(drawn, below[i], ticks=ticks_of(norm), below=True)
        if flag("mask", mask):
            outline(below[i], place, one.mask.values, colour=RED)
    if axes is None:
        _name_rows(above, below)
        headed(figure, cube, _NOISE)
    return figure


def compare(
    first: xr.Dataset, second: xr.Dataset, *, how: How = "sigmas", axes: Any = None
) -> Figure:
    """Draw by how much the images of a second cube differ from those of a first.

    Parameters
    ----------
    first, second : Dataset
        The same bands, pixels and unit.
    how : {"sigmas", "difference", "ratio"}
        Second minus first over the noise of the first; second minus first, in the unit of both; or
        second over first where the first is 3 times its noise, grey elsewhere.
    axes : array of matplotlib axes, optional
        One for each band; a new figure when not given.

    Returns
    -------
    Figure
        Red: the second is brighter; blue: fainter. The ends are alike on both sides of no
        difference: its 99.7th percentile inside the mask, at least 3 noises of the sky or 5 %.

    Raises
    ------
    BandError
        If the two cubes have other bands.
    GridError
        If they lie on other pixels.
    CubeError
        If they are in different units.
    """
    require_choice("how", how, How)
    first, second = require_alike(first, second), taken(second)
    units = [one.sci.attrs["units"] for one in (first, second)]
    if units[0] != units[1]:
        reason = f"the two cubes are in different units, {units[0]} and {units[1]}"
        raise CubeError("HC-D21", reason, "bring both to one[[|: hstcube.to_flux(cube)]]")
    first, second = overviews(first, second)
    number, place = first.sizes["band"], Place.of(first)
    figure, all_axes = on_axes(axes, number, lambda: _panels(number, place))
    for i, axis in enumerate(all_axes):
        one = plane(first, i)
        image = _difference(one, plane(second, i), how)
        least = {"sigmas": 3.0, "difference": 3 * sky_noise(one), "ratio": 0.05}[how]
        middle = float(how == "ratio")
        _draw_difference(axis, one, image, place, middle=middle, least=least, first=i == 0)
    if axes is None:
        _name_rows([None] * number, all_axes)
        what = {"sigmas": "difference / noise of a pixel", "difference": f"difference [{units[0]}]"}
        headed(figure, first, what.get(how, how))
    return figure


def bands(cube: xr.Dataset, *, outline: bool = True) -> Figure:
    """Draw every band of a cube, with the outline of its mask; see `quicklook`.

    Parameters
    ----------
    cube : Dataset
    outline : bool
        Draw the border of the mask.

    Returns
    -------
    Figure
    """
    return quicklook(cube, mask=outline)


def homogeneous(native: xr.Dataset, cube: xr.Dataset) -> Figure:
    """Draw every band as observed above the same band made homogeneous; see `quicklook`.

    Parameters
    ----------
    native, cube : Dataset
        The same bands and pixels, before and after.

    Returns
    -------
    Figure
    """
    return quicklook(cube, before=native)


def figure_bytes(figure: Figure) -> bytes:
    """Return a figure as PNG, the same bytes for the same figure."""
    return png(figure, dpi=120)


def require_alike(first: xr.Dataset, second: xr.Dataset) -> xr.Dataset:
    """Return the first of two cubes if both have the same bands on the same pixels."""
    first = taken(first)
    require_same_grid(second, first)
    if first.band.values.tolist() != second.band.values.tolist():
        raise BandError(
            "HC-B01", "the two cubes have other bands", "give one cube before and after"
        )
    return first


def plane(cube: xr.Dataset, i: int) -> xr.Dataset:
    """Return one band in memory: of a lazy cube no other is computed."""
    return cube[["sci", "wht", "mask"]].isel(band=i).compute()


def sky_noise(one: xr.Dataset) -> float:
    """Return the noise of the sky in a pixel of one band, by the median of its weights."""
    wht = one.wht.values
    return float(1 / np.sqrt(np.median(wht[wht > 0]))) if (wht > 0).any() else 1.0


def _draw(
    axis: Any, one: xr.Dataset, image: NDArray[Any], place: Place, norm: Any, *, first: bool
) -> Any:
    """Draw one image in grey, with what tells how large it is and where north is."""
    drawn = axis.imshow(
        image, origin="lower", cmap="gray_r", norm=norm, extent=place.extent,
        interpolation="nearest",
    )  # fmt: skip
    fwhm = float(one.psf_fwhm)
    finish(axis, place, title=f"{one.band.item()}  {_width(fwhm)}", label=False)
    psf_circle(axis, place, fwhm)
    if first:
        scale_bar(axis, place)
        compass(axis, place)
    return drawn


def _difference(one: xr.Dataset, other: xr.Dataset, how: How) -> NDArray[Any]:
    """Return how the second image differs from the first, NaN where one has no data."""
    first, second = one.sci.values.astype(float), other.sci.values.astype(float)
    if how == "difference":
        return np.asarray(second - first)
    if how == "sigmas":
        return np.asarray((second - first) * np.sqrt(one.wht.values))
    seen = np.nan_to_num(first) * np.sqrt(one.wht.values) >= _SEEN
    ratio = np.full(first.shape, np.nan)
    ratio[seen] = second[seen] / first[seen]
    return ratio


def _draw_difference(
    axis: Any,
    one: xr.Dataset,
    image: NDArray[Any],
    place: Place,
    *,
    middle: float,
    least: float,
    first: bool,
) -> None:
    """Draw a difference in blue and red, white in the middle."""
    from matplotlib import colormaps

    inside = np.abs(image - middle)[one.mask.values & np.isfinite(image)]
    end = max(float(np.percentile(inside, _TOP)) if inside.size else 0.0, least)
    drawn = axis.imshow(
        image, origin="lower", extent=place.extent, interpolation="nearest", vmin=middle - end,
        vmax=middle + end, cmap=colormaps["RdBu_r"].with_extremes(bad="0.85"),
    )  # fmt: skip
    finish(axis, place, title=str(one.band.item()), label=False)
    psf_circle(axis, place, float(one.psf_fwhm))
    if first:
        scale_bar(axis, place)
        compass(axis, place)
    outline(axis, place, one.mask.values, colour="0.4")
    colour_bar(drawn, axis, below=True, number=3)


def _width(fwhm: float) -> str:
    return f"{fwhm:.2f}″" if fwhm > 0 else ""


def _panels(number: int, place: Place) -> Axes:
    return panels(number, size=_SIZE, extra=_ROOM, tall=place.tall, heading=True)


def _pairs(number: int, place: Place) -> Axes:
    """Return panels in pairs, one above the other: all of the upper ones, then the lower ones."""
    blocks = -(-number // _COLUMNS)
    columns = -(-number // blocks)
    wide, high = sides(max(_SIZE, _NARROWEST / columns), place.tall)
    room = 0.5 + 2 * room_of(place.tall)
    figure = new_figure(wide * columns + 0.3, (2 * high + room) * blocks + 0.5)
    grid = figure.subplots(2 * blocks, columns, squeeze=False)
    above, below = grid[::2].ravel().tolist(), grid[1::2].ravel().tolist()
    for axis in (*above[number:], *below[number:]):
        axis.remove()
    return figure, above[:number] + below[:number]


def _name_rows(above: list[Any], below: list[Any]) -> None:
    """Say which row is which, and leave ticks to the first column and the lowest row of each."""
    paired = above[0] is not None
    for axes, name in ((above, "before"), (below, "after")):
        for axis in axes:
            if axis is None:
                continue
            first = axis.get_subplotspec().is_first_col()
            axis.tick_params(labelleft=first, labelbottom=axes is below)
            if first:
                axis.set_ylabel(name if paired else "arcsec", fontsize=8)
