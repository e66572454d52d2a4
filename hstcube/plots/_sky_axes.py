"""What every image is drawn on: arcsec from the object, a scale bar, north and east, the PSF."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hstcube.core.grids import Grid

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

__all__ = ["Place", "colour_bar", "compass", "finish", "outline", "psf_circle", "scale_bar"]

Pair = tuple[float, float]

_LATITUDES = ("EC-", "LAT")  # axes of CTYPE1 that are no longitude
_ROUND = np.outer(10.0 ** np.arange(-3, 6), (1, 2, 5)).ravel()
_LONGEST = 0.3  # of the width: a scale bar
_FLAT = 0.5  # height over width of an image beside which a long label does not fit
_LEAST, _MOST = 0.05, 0.25  # of the longer side, and of the shorter: an arrow in a flat image
_ARROW, _LETTER, _MARGIN = 0.12, 1.4, 0.05  # of the smaller side; of the arrow; of the side


@dataclass(frozen=True)
class Place:
    """How pixels become arcsec from an object, to the right and up, and where north is.

    Attributes
    ----------
    steps : (float, float)
        Size of a pixel along y and x, arcsec.
    shape : (int, int)
        Rows and columns.
    origin : (float, float)
        Row and column of the object.
    north, east : (float, float)
        Unit vectors (right, up) on the image.
    """

    steps: Pair
    shape: tuple[int, int]
    origin: Pair
    north: Pair
    east: Pair

    @classmethod
    def of(cls, cube: xr.Dataset) -> Place:
        """Return the place of a cube, whose object is the light in the mask of its reddest band.

        The middle of the frame where the mask keeps everything, or nothing.
        """
        last = cube[["sci", "mask"]].isel(band=-1).compute()
        return cls.around(Grid.of(cube), last.sci.values, last.mask.values)

    @classmethod
    def around(cls, grid: Grid, image: NDArray[Any], keep: NDArray[np.bool_]) -> Place:
        """Return the place of an image, whose object is the light that a mask keeps."""
        north, east = _directions(grid)
        return cls(grid.steps, grid.shape, _middle(image, keep), north, east)

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """Left, right, bottom and top edge of the image, arcsec."""
        (sy, sx), (ny, nx), (y, x) = self.steps, self.shape, self.origin
        return (-0.5 - x) * sx, (nx - 0.5 - x) * sx, (-0.5 - y) * sy, (ny - 0.5 - y) * sy

    @property
    def tall(self) -> float:
        """Height over width of the image, between a fifth and 3: beyond, its figure is not."""
        (sy, sx), (ny, nx) = self.steps, self.shape
        return round(min(max(ny * sy / (nx * sx), 0.2), 3.0), 2)

    @property
    def flat(self) -> bool:
        """Whether long words do not fit beside the image."""
        return self.tall <= _FLAT

    @property
    def centres(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Pixel centres along x and along y, arcsec."""
        (sy, sx), (ny, nx), (y, x) = self.steps, self.shape, self.origin
        return np.arange(nx, dtype=float) * sx - x * sx, np.arange(ny, dtype=float) * sy - y * sy


def _directions(grid: Grid) -> tuple[Pair, Pair]:
    """Return north and east as unit vectors on the image, by the linear part of the WCS."""
    first, second = grid.matrix
    latitude_first = str(dict(grid.cards)["CTYPE1"]).strip()[1:4] in _LATITUDES
    matrix = np.array([second, first] if latitude_first else [first, second])
    columns = np.linalg.inv(matrix).T * np.array(grid.steps)[::-1]  # east, then north
    east, north = (one / np.hypot(*one) for one in columns)
    return (float(north[0]), float(north[1])), (float(east[0]), float(east[1]))


def _middle(image: NDArray[Any], keep: NDArray[np.bool_]) -> Pair:
    """Return the row and column of the object: the middle of its light."""
    light = np.where(keep, np.clip(np.nan_to_num(image), 0, None), 0.0).astype(float)
    if keep.all() or not light.sum() > 0:
        return (image.shape[0] - 1) / 2, (image.shape[1] - 1) / 2
    rows, columns = np.indices(image.shape)
    return float((rows * light).sum() / light.sum()), float((columns * light).sum() / light.sum())


def finish(axis: Any, place: Place, *, title: str = "", label: bool = True) -> None:
    """Give an image its limits, its title and its ticks in arcsec from the object."""
    from matplotlib.ticker import MaxNLocator

    left, right, bottom, top = place.extent
    axis.set(xlim=(left, right), ylim=(bottom, top), aspect="equal")
    for one in (axis.xaxis, axis.yaxis):
        one.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    axis.tick_params(labelsize=7, direction="out", length=2.5)
    axis.set_title(title, fontsize=8, pad=3)
    if label:
        axis.set_xlabel("arcsec from the object", fontsize=8)
        of = "" if place.flat else " from the object"
        axis.set_ylabel(f"arcsec{of}", fontsize=8)


def scale_bar(axis: Any, place: Place, *, ink: str = "black") -> None:
    """Draw a bar of a round number of arcsec at the lower left."""
    left, right, bottom, top = place.extent
    length = _ROUND[max(_LONGEST * (right - left), _ROUND[0]) >= _ROUND][-1]
    x, y = left + _MARGIN * (right - left), bottom + _MARGIN * (top - bottom)
    effects = _halo(ink)
    axis.plot(
        [x, x + length], [y, y], color=ink, lw=1.8, solid_capstyle="butt", path_effects=effects,
        gid="scale bar",
    )  # fmt: skip
    axis.annotate(
        f"{length:g}″", (x + length / 2, y), (0, 3), textcoords="offset points", ha="center",
        va="bottom", fontsize=7, color=ink, path_effects=effects, snap=False,
    )  # fmt: skip


def compass(axis: Any, place: Place, *, ink: str = "black") -> None:
    """Draw where north and east are, at the upper right."""
    left, right, bottom, top = place.extent
    wide, high = right - left, top - bottom
    length = max(_ARROW * min(wide, high), min(_LEAST * max(wide, high), _MOST * min(wide, high)))
    tips = np.array([place.north, place.east]) * length
    reach = np.vstack([[0, 0], tips * _LETTER])
    pad = 0.45 * length
    x = right - pad - reach[:, 0].max()
    y = top - pad - reach[:, 1].max()
    effects = _halo(ink)
    for (dx, dy), letter in zip(tips, "NE", strict=True):
        arrow = {"arrowstyle": "-|>", "color": ink, "lw": 1.0, "shrinkA": 0, "shrinkB": 0,
                 "mutation_scale": 6, "path_effects": effects}  # fmt: skip
        axis.annotate("", (x + dx, y + dy), (x, y), arrowprops=arrow, zorder=3)
        axis.text(
            x + dx * _LETTER, y + dy * _LETTER, letter, ha="center", va="center", fontsize=7,
            color=ink, path_effects=effects, zorder=4, snap=False,
        )  # fmt: skip


def psf_circle(axis: Any, place: Place, fwhm: float, *, ink: str = "black") -> None:
    """Draw a circle as wide as the PSF at the lower right; none where its width is not known."""
    from matplotlib.patches import Circle

    if not fwhm > 0:
        return
    _, right, bottom, top = place.extent
    pad = _MARGIN * (top - bottom)
    middle = (right - pad - fwhm / 2, bottom + pad + fwhm / 2)
    circle = Circle(
        middle, fwhm / 2, fill=False, edgecolor=ink, lw=1.0, path_effects=_halo(ink), gid="PSF"
    )
    axis.add_patch(circle)


def outline(axis: Any, place: Place, keep: Any, *, colour: Any, width: float = 0.9) -> None:
    """Draw the border of a mask along the edges of its pixels; none where it keeps all or none."""
    from matplotlib.collections import LineCollection

    keep = np.asarray(keep, dtype=bool)
    if keep.all() or not keep.any():
        return
    (sy, sx), (y0, x0) = place.steps, place.origin
    wide = np.pad(keep, 1)
    rows, columns = np.nonzero(wide[1:, 1:-1] != wide[:-1, 1:-1])  # edges that lie flat
    flat = np.stack([columns - 0.5, rows - 0.5, columns + 0.5, rows - 0.5], axis=1)
    rows, columns = np.nonzero(wide[1:-1, 1:] != wide[1:-1, :-1])
    upright = np.stack([columns - 0.5, rows - 0.5, columns - 0.5, rows + 0.5], axis=1)
    edges = np.vstack([flat, upright]).reshape(-1, 2, 2)
    lines = (edges - (x0, y0)) * (sx, sy)
    for ink, more in (("white", 0.8), (colour, 0.0)):  # seen on dark ground too
        edge = LineCollection(
            list(lines), colors=ink, linewidths=width + more, capstyle="projecting", gid="outline"
        )
        axis.add_collection(edge)


def colour_bar(
    drawn: Any,
    axis: Any,
    label: str = "",
    *,
    ticks: Any = None,
    below: bool = False,
    number: int = 5,
) -> None:
    """Draw what the colours of an image mean, to its right or below it."""
    from matplotlib.ticker import MaxNLocator, NullLocator

    bar = axis.figure.colorbar(
        drawn, ax=axis, location="bottom" if below else "right", pad=0.02,
        aspect=18 if below else 24, shrink=0.9,
    )  # fmt: skip
    along = bar.ax.xaxis if below else bar.ax.yaxis
    if ticks is None:
        along.set_major_locator(MaxNLocator(number))
    else:
        bar.set_ticks(ticks, labels=[f"{tick:g}" for tick in ticks])
    along.set_minor_locator(NullLocator())
    bar.ax.tick_params(labelsize=7, length=2)
    bar.outline.set_linewidth(0.5)
    if label:
        bar.set_label(label, fontsize=8 if not below else 7)


def _halo(ink: str) -> list[Any]:
    """Return what keeps dark lines seen on dark ground, and bright ones on bright."""
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=3, foreground="white" if ink == "black" else "black", alpha=0.9)]
