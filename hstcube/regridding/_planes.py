"""Images, weights and masks on another grid: its tiles, and what each of them sees."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hstcube.core.mappings import affine_mapping, pixel_mapping
from hstcube.noise.spread import Noise, gain_of_weights
from hstcube.regridding._weights import (
    COARSER,
    SNAP,
    Method,
    Taps,
    in_frame,
    offsets_of,
    reach_of,
    snapped,
    sparse_weights,
    taps_around,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from hstcube.core.grids import Grid

    Array = NDArray[np.float64]
    Block = tuple[slice, slice]

__all__ = ["regrid_planes", "side_of_tiles", "window_of"]

_ELEMENTS = 2_000_000  # of the matrix of one tile
_TILE = 256  # pixels along one side of a tile, at most
_NOWHERE = -1e9  # pixels: the place of what lies beyond the horizon of a projection


class _Tile(NamedTuple):
    """A rectangle of the output, and where its pixels lie on the input."""

    rows: slice
    columns: slice
    y: Array
    x: Array
    jacobian: Array
    area: Array  # of each pixel, in pixels of the input


class _Window(NamedTuple):
    """The part of the input that a tile sees."""

    rows: slice
    columns: slice

    @property
    def shape(self) -> tuple[int, int]:
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start


def regrid_planes(
    *planes: Any,
    noise: Noise,
    source: Grid,
    grid: Grid,
    method: Method,
    flux: bool,
    min_coverage: float,
    block: Block | None = None,
) -> list[Any]:
    """Take images, weights and masks to another grid, and coverage if there is one.

    Parameters
    ----------
    *planes : array, (band, y, x)
        Images sci, weights wht, a mask and, if there is one, coverage, on `source`; wht = 0 is no
        data. The mask may hold more than two values, 0 where there is no data.
    noise : Noise
        Of the pixels of `source`.
    source, grid : Grid
    method : str
        One of `METHODS`.
    flux : bool
        Multiply by the area of a pixel of `grid` in pixels of `source`.
    min_coverage : float
        A pixel has data where at least this share of its weights inside the frame saw data, its
        centre lies in the frame and, unless it is larger than 1.5 pixels of the input, on a pixel
        that has data.
    block : (slice, slice), optional
        Rows and columns of `grid` that are wanted, from one tile's edge to another's; all when not
        given.

    Returns
    -------
    list of array, (band, y, x)
        sci' = A (W v sci) / (W v) and wht' = (W v)^2 / (A^2 (W^2 v/wht)), with v = (wht > 0) and A
        = 1 or the area.
    """
    number = len(planes[0])
    down, along = block or (slice(0, grid.shape[0]), slice(0, grid.shape[1]))
    shape = (number, down.stop - down.start, along.stop - along.start)
    out = [np.zeros(shape, plane.dtype) for plane in planes]
    out[0][...] = np.nan
    for tile in _tiles(source, grid, method, (down, along)):
        window = _window(tile, method, source.shape)
        if window is None:
            continue
        found = _regrid_tile(planes, noise, tile, window, method, min_coverage, source.shape)
        factor = tile.area.reshape(-1, 1) if flux else 1.0
        values, weights, *more = found
        rows = slice(tile.rows.start - down.start, tile.rows.stop - down.start)
        columns = slice(tile.columns.start - along.start, tile.columns.stop - along.start)
        for plane, part in zip(out, (values * factor, weights / factor**2, *more), strict=True):
            plane[:, rows, columns] = part.T.reshape(number, *tile.y.shape)
    return out


def window_of(source: Grid, grid: Grid, method: Method, block: Block) -> Block | None:
    """Return which rows and columns of the input a block of `grid` sees; None for none."""
    tiles = _tiles(source, grid, method, block)
    windows = [_window(tile, method, source.shape) for tile in tiles]
    some = [window for window in windows if window is not None]
    if not some:
        return None
    rows, columns = (
        slice(min(one.start for one in axis), max(one.stop for one in axis))
        for axis in zip(*some, strict=True)
    )
    return rows, columns


def _regrid_tile(
    planes: tuple[Any, ...],
    correlated: Noise,
    tile: _Tile,
    window: _Window,
    method: Method,
    min_coverage: float,
    frame: tuple[int, int],
) -> list[Any]:
    """Regrid the bands of one tile: planes (band, y, x) to (output pixel, band)."""
    rows, columns = window
    sci, wht, mask, *share = (plane[:, rows, columns].reshape(len(plane), -1).T for plane in planes)
    y, x = (tile.y - rows.start).ravel(), (tile.x - columns.start).ravel()
    taps = taps_around(y, x, tile.jacobian, method)
    matrix, squared, total = sparse_weights(taps, window.shape)
    valid = wht > 0
    whole = bool(valid.all())
    noise = np.divide(1.0, wht, where=valid, out=np.zeros(wht.shape), dtype=float)
    seen = total[:, None] if whole else matrix @ valid.astype(float)
    signal = matrix @ (sci.astype(float) if whole else np.where(valid, sci, 0).astype(float))
    spread = squared @ noise
    iy, ix = np.rint(y).astype(np.int64), np.rint(x).astype(np.int64)
    inside = in_frame(iy + rows.start, ix + columns.start, frame)
    ny, nx = window.shape
    centre = np.clip(iy, 0, ny - 1) * nx + np.clip(ix, 0, nx - 1)
    keep = inside[:, None] & (seen >= (min_coverage - SNAP) * total[:, None]) & (seen > 0)
    if not whole and abs(np.linalg.det(tile.jacobian)) < COARSER**2:
        keep = keep & valid[centre]
    keep = np.broadcast_to(keep, signal.shape)
    partly = keep & (seen < (1 - SNAP) * taps.weight.sum(1)[:, None])
    offsets = offsets_of(tile.jacobian, method)
    spread *= _gains(partly, noise.T.reshape(-1, *window.shape), taps, offsets, correlated)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.where(keep, signal / seen, np.nan)
        weights = np.where(keep, seen**2 / spread, 0.0)
        means = [(matrix @ np.where(valid, one, 0)) / seen for one in share]
    shares = [np.where(keep, np.clip(mean, 0, 1), 0) for mean in means]
    return [values, weights, np.where(keep, mask[centre], mask.dtype.type(0)), *shares]


def _gains(
    partly: NDArray[np.bool_],
    noise: Array,
    taps: Taps,
    offsets: tuple[NDArray[np.int64], NDArray[np.int64]],
    correlated: Noise,
) -> Array:
    """Return what the variance of white noise is short of beside what ``noise_scale`` holds.

    1 where all of the pixels were seen.

    Parameters
    ----------
    partly : array of bool, (output pixel, band)
    noise : array, (band, y, x)
        Variances of the input's pixels, 0 where there is no data.
    """
    out = np.ones(partly.shape)
    if correlated.acf.shape[1:] == (1, 1):
        return out
    for i in np.flatnonzero(partly.any(0)):
        some = partly[:, i]
        y, x, weight = taps.y[some], taps.x[some], taps.weight[some]
        inside = in_frame(y, x, noise.shape[1:])
        variance = noise[i, np.where(inside, y, 0), np.where(inside, x, 0)] * inside
        gain = gain_of_weights(weight * np.sqrt(variance), offsets, correlated.acf[i])
        out[some, i] = gain / correlated.gain[i]
    return out


# -- places


def side_of_tiles(source: Grid, grid: Grid, method: Method) -> int:
    """Return how many rows and columns a tile of `grid` has, but for the last ones."""
    affine = affine_mapping(grid, source)
    if affine is None:
        return _TILE
    taps = len(offsets_of(affine[0], method)[0])
    return int(np.clip(math.isqrt(_ELEMENTS // taps), 32, _TILE))


def _tiles(source: Grid, grid: Grid, method: Method, block: Block) -> Iterator[_Tile]:
    """Yield tiles of a block; of what lies beyond the horizon of the projection there is none."""
    rectangles = _rectangles(block, side_of_tiles(source, grid, method))
    affine = affine_mapping(grid, source)
    if affine is None:
        return _curved_tiles(source, grid, rectangles)
    return _affine_tiles(source, grid, affine[0], rectangles)


def _affine_tiles(
    source: Grid, grid: Grid, jacobian: Array, rectangles: Iterator[Block]
) -> Iterator[_Tile]:
    mapping = pixel_mapping(grid, source)
    for rows, columns in rectangles:
        down, along = (
            np.arange(float(rows.start), rows.stop),
            np.arange(float(columns.start), columns.stop),
        )
        y, x = mapping(down[:, None], along[None, :])
        area = np.full(y.shape, abs(np.linalg.det(jacobian)))
        yield _Tile(rows, columns, snapped(y), snapped(x), jacobian, area)


def _curved_tiles(source: Grid, grid: Grid, rectangles: Iterator[Block]) -> Iterator[_Tile]:
    """Yield tiles with the median of their pixels' Jacobians, and each pixel's own area."""
    mapping = pixel_mapping(grid, source)
    for rows, columns in rectangles:
        down = np.arange(rows.start - 1.0, rows.stop + 1.0)  # differences need one pixel around
        along = np.arange(columns.start - 1.0, columns.stop + 1.0)
        places = mapping(down[:, None], along[None, :])
        slopes = np.array([[_slope(place, axis) for axis in (0, 1)] for place in places])
        if not np.isfinite(slopes).any(axis=(2, 3)).all():
            continue
        area = np.abs(slopes[0, 0] * slopes[1, 1] - slopes[0, 1] * slopes[1, 0])
        y, x = (np.where(np.isfinite(area), place[1:-1, 1:-1], _NOWHERE) for place in places)
        yield _Tile(rows, columns, y, x, np.nanmedian(slopes, axis=(2, 3)), area)


def _rectangles(block: Block, side: int) -> Iterator[Block]:
    rows, columns = block
    for top in range(rows.start, rows.stop, side):
        for left in range(columns.start, columns.stop, side):
            bottom, right = min(top + side, rows.stop), min(left + side, columns.stop)
            yield slice(top, bottom), slice(left, right)


def _slope(place: Array, axis: int) -> Array:
    """Return central differences along an axis of the inner pixels."""
    inner = [slice(1, -1), slice(1, -1)]
    ahead, behind = list(inner), list(inner)
    ahead[axis], behind[axis] = slice(2, None), slice(None, -2)
    return np.asarray((place[tuple(ahead)] - place[tuple(behind)]) / 2)


def _window(tile: _Tile, method: Method, shape: tuple[int, int]) -> _Window | None:
    """Return the part of the input that a tile sees; None where it lies outside the frame."""
    reach = reach_of(tile.jacobian, method)
    spans = []
    for place, r, n in zip((tile.y, tile.x), reach, shape, strict=True):
        there = place[place > _NOWHERE / 10]
        if not there.size:
            return None
        low, high = max(math.floor(there.min()) - r, 0), min(math.ceil(there.max()) + r + 1, n)
        if low >= high:
            return None
        spans.append(slice(low, high))
    return _Window(*spans)
