"""What all pictures are drawn with: figures of panels, colours, stretches, labels."""

from __future__ import annotations

import io
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hstcube.errors import RecipeError
from hstcube.inputs.arrays import several, shown
from hstcube.views.overview import averages_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import xarray as xr
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

__all__ = [
    "BLUE",
    "GREY",
    "ORANGE",
    "RED",
    "Axes",
    "bare",
    "colours",
    "field_name",
    "headed",
    "image_panel",
    "labelled",
    "named",
    "new_figure",
    "on_axes",
    "one_panel",
    "panels",
    "plain_ticks",
    "png",
    "require_made",
    "room_of",
    "sides",
    "stretched",
    "ticks_of",
]

Axes = tuple["Figure", list[Any]]
Layout = Literal["constrained", "compressed"]

# of Okabe and Ito (2008): told apart by colour-blind people too
GREY, BLUE, RED, ORANGE = "0.75", "#0072b2", "#d55e00", "#e69f00"
_COLUMNS = 5
_NARROWEST, _ONE_LINE = 4.0, 7.0  # inches: a figure of images; one whose heading has one line
_SLIMMEST, _WIDEST = 0.9, 1.3  # of a square image: the width of one that is tall, or flat
_IMAGE = 3.3  # inches: a square image that stands alone
_SECOND_LINE = 0.4  # inches: of the heading of a figure of few images, which has two
_TOP = 99.7  # percentile of an image in its mask that is drawn darkest
_FAINTEST_TOP = 5.0  # noises of the sky: an image of nothing but noise stays light
_LINEAR = 2.0  # noises of the sky that the stretch is linear in
_LONGEST_NAME = 48  # letters: what fits over one image
_APART = 0.14  # of a colour bar: two ticks


def new_figure(width: float, height: float, layout: Layout = "constrained") -> Figure:
    """Return a figure, in inches, that a notebook shows though pyplot was never imported."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout=layout)
    vars(figure)["_repr_png_"] = partial(png, figure)
    return figure


def png(figure: Figure, dpi: float = 100) -> bytes:
    """Return a figure as PNG, the same bytes for the same figure."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def panels(
    number: int, *, size: float, extra: float = 0.0, tall: float = 1.0, heading: bool = False
) -> Axes:
    """Return a figure of so many panels, `size` inches wide, `extra` for what is around.

    They are square, or of images that are `tall` times as high as they are wide; with room for
    what `headed` writes.
    """
    rows = -(-number // _COLUMNS)
    columns = -(-number // rows)  # rows that are alike full
    wide, high = sides(max(size, _NARROWEST / columns), tall)
    over = _SECOND_LINE if heading and rows == 1 and wide * columns < _ONE_LINE else 0
    figure = new_figure(wide * columns, (high + extra + room_of(tall)) * rows + over)
    axes = np.atleast_1d(figure.subplots(rows, columns)).ravel().tolist()
    for axis in axes[number:]:
        axis.remove()
    return figure, axes[:number]


def sides(size: float, tall: float) -> tuple[float, float]:
    """Return the sides [inches] of an image, as large as a square of `size` where that fits."""
    wide = size * min(max(tall**-0.5, _SLIMMEST), _WIDEST)
    return wide, wide * tall


def room_of(tall: float) -> float:
    """Return what a flat image needs above and below it [inches]; a square one shrinks for it."""
    return 0.5 * max(1 - tall, 0)


def image_panel(size: tuple[float, float], tall: float) -> Axes:
    """Return a figure of one image, of that size if it is square, with room for a bar beside it."""
    wide, high = sides(_IMAGE, tall)
    figure, axis = one_panel((size[0] + wide - _IMAGE, size[1] + high - _IMAGE))
    return figure, [axis]


def one_panel(size: tuple[float, float] = (4.5, 3.4)) -> tuple[Figure, Any]:
    """Return a figure of one panel."""
    figure = new_figure(*size)
    return figure, figure.subplots()


def on_axes(axes: Any, number: int, otherwise: Callable[[], Axes]) -> Axes:
    """Return the axes that were given, as many as are needed, or those of a new figure."""
    if axes is None:
        return otherwise()
    given = several(axes)
    if len(given) != number or not all(hasattr(one, "figure") for one in given):
        holds = len(given) if len(given) != number else shown(axes)
        reason = f"the picture has {number} panels, and axes= holds {holds}"
        raise RecipeError("HC-B42", reason, f"give {number} axes of matplotlib, or none")
    return given[0].figure, given


def stretched(image: NDArray[Any], keep: NDArray[np.bool_]) -> Any:
    """Return the stretch of an image in units of the noise of its sky.

    asinh from twice the noise below zero to the 99.7th percentile inside the mask.
    """
    from matplotlib.colors import AsinhNorm

    inside = image[keep & np.isfinite(image)]
    inside = inside if inside.size else image[np.isfinite(image)]
    top = float(np.percentile(inside, _TOP)) if inside.size else 0.0
    return AsinhNorm(_LINEAR, vmin=-_LINEAR, vmax=max(top, _FAINTEST_TOP))


def ticks_of(norm: Any) -> list[float]:
    """Return round numbers that lie apart on a colour bar of that stretch."""
    ticks: list[float] = [] if norm.vmin > 0 else [0.0]
    for tick in np.outer(10.0 ** np.arange(-3, 8), (1, 3)).ravel():
        if not max(norm.vmin, 0) <= tick <= norm.vmax:
            continue
        if not ticks or float(norm(tick)) - float(norm(ticks[-1])) >= _APART:
            ticks.append(float(f"{tick:.0e}"))
    return ticks


def field_name(cube: xr.Dataset) -> str:
    """Return what a field is called in a picture: its survey, name and title."""
    said = (cube.attrs.get(key, "") for key in ("survey", "field", "title"))
    name = "  ".join(str(word) for word in said if word)
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"


def headed(figure: Figure, cube: xr.Dataset, what: str) -> None:
    """Write over a figure of images which field it is and what its colours mean, and below it."""
    apart = "   " if figure.get_figwidth() >= _ONE_LINE else "\n"
    said = ", ".join(filter(None, (what, averages_of(cube))))
    figure.suptitle(apart.join(filter(None, (field_name(cube), f"({said})"))), fontsize=9)
    figure.supxlabel("arcsec from the object", fontsize=8)


def named(axis: Any, cube: xr.Dataset, what: str) -> None:
    """Write over one image which field it is, and what of it."""
    lines = (field_name(cube), what, averages_of(cube))
    axis.set_title("\n".join(filter(None, lines)), fontsize=8)


def plain_ticks(*along: Any) -> None:
    """Write the numbers of logarithmic axes as they are, and few of them."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    for one in along:
        one.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=12))
        one.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        one.set_minor_formatter(NullFormatter())


def bare(axis: Any, title: str) -> None:
    """Give an image its title and no ticks."""
    axis.set_title(title, fontsize=8)
    axis.set_xticks([])
    axis.set_yticks([])


def labelled(axis: Any, x: str, y: str) -> None:
    """Name the axes of a panel of curves."""
    axis.set_xlabel(x, fontsize=8)
    axis.set_ylabel(y, fontsize=8)
    axis.tick_params(labelsize=7)


def colours(number: int) -> list[Any]:
    """Return colours from blue to yellow, as bands are, that colour-blind people tell apart."""
    from matplotlib import colormaps

    return [colormaps["plasma"](0.88 * i / max(number - 1, 1)) for i in range(number)]


def require_made(given: Any, names: set[str], how: str, *, single: bool = False) -> None:
    """Raise RecipeError unless a picture was given what a function makes.

    Parameters
    ----------
    given : Dataset, DataArray or Table
    names : set of str
        Of its variables, coordinates or columns.
    how : str
        What makes it, as the fix ends.
    single : bool
        Refuse a Dataset, too: it makes a DataArray.
    """
    there = {*getattr(given, "coords", ()), *getattr(given, "colnames", ())}
    many = hasattr(given, "data_vars")
    if many:
        there |= {*given.data_vars}
    if names <= there and not (single and many):
        return
    reason = f"this is {shown(given)}, not what the picture shows"
    raise RecipeError("HC-B42", reason, f"make it anew{how}")
