"""From the pixels of one grid to those of another: by an affine map, or through the sky."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hstcube.core.wcs_cards import projection_of
from hstcube.errors import GridError
from hstcube.inputs.arrays import shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from hstcube.core.grids import Grid

    PixelMapping = Callable[[Any, Any], tuple[NDArray[np.float64], NDArray[np.float64]]]

__all__ = ["affine_mapping", "pixel_mapping", "require_grid"]

TOLERANCE = 1e-4  # pixels: two places closer than this are one

_STEP = 64  # pixels between nodes


def require_grid(grid: Any) -> None:
    """Raise GridError unless this is a Grid: a cube has one, and so has a header."""
    if hasattr(grid, "cards") and hasattr(grid, "matrix"):
        return
    fix = "give that of a cube[[|: hstcube.Grid.of(cube)]], or of a header"
    raise GridError("HC-W25", f"grid is {shown(grid)}, no Grid", fix)


def pixel_mapping(source: Grid, target: Grid) -> PixelMapping:
    """Return the function that takes pixels (y, x) on `source` to (y, x) on `target`, both 0-based.

    Two grids with one projection and one reference point are tied by an exact affine map; any other
    pair goes through the sky with astropy: for the rows and columns of a large image at nodes 64
    pixels apart, interpolated where that is good to 1e-4 pixels. ICRS and FK5 are told apart.
    """
    affine = affine_mapping(source, target)
    if affine is None:
        return _through_the_sky(source, target)
    ((yy, yx), (xy, xx)), (y0, x0) = affine
    return lambda y, x: (yx * x + yy * y + y0, xx * x + xy * y + x0)


def affine_mapping(
    source: Grid, target: Grid
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Return matrix and origin that take (y, x) on `source` to (y, x) on `target`, exactly.

    None for grids whose projections or reference points differ: those are tied by the sky only.
    """
    a, b = dict(source.cards), dict(target.cards)
    if projection_of(a) != projection_of(b):
        return None
    step = np.asarray(np.linalg.solve(target.matrix, source.matrix), dtype=np.float64)
    start, end = (
        np.array([float(cards.get(f"CRPIX{i}", 0.0)) - 1 for i in (1, 2)]) for cards in (a, b)
    )
    return step[::-1, ::-1], (end - step @ start)[::-1]


def _through_the_sky(source: Grid, target: Grid) -> PixelMapping:
    from astropy.wcs.utils import pixel_to_pixel

    def exact(y: Any, x: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        there_x, there_y = pixel_to_pixel(source.wcs, target.wcs, *np.broadcast_arrays(x, y))
        return there_y, there_x

    return exact if min(source.shape) < 2 * _STEP else _interpolated(exact, source.shape)


def _interpolated(exact: PixelMapping, shape: tuple[int, int]) -> PixelMapping:
    """Return `exact` for rows and columns of a large image, bilinear between nodes.

    Itself where that is not enough.
    """
    y, x = (np.arange(-1.0, n + _STEP, _STEP) for n in shape)
    nodes = exact(y[:, None], x[None, :])

    def mapping(rows: Any, columns: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        if np.shape(rows)[1:] != (1,) or np.shape(columns)[:1] != (1,):
            return exact(rows, columns)
        left = np.clip(1 - np.abs(rows - y[None, :]) / _STEP, 0, None)
        right = np.clip(1 - np.abs(x[:, None] - columns) / _STEP, 0, None)
        return left @ nodes[0] @ right, left @ nodes[1] @ right

    def good(rows: Any, columns: Any) -> bool:
        return all(
            np.abs(near - true).max() < TOLERANCE
            for near, true in zip(mapping(rows, columns), exact(rows, columns), strict=True)
        )

    half = _STEP / 2  # at the middles of a cell's sides each of the two curvatures shows alone
    sides = ((y[:, None], x[None, :-1] + half), (y[:-1, None] + half, x[None, :]))
    return mapping if all(good(*side) for side in sides) else exact
