"""Windows of images in blocks: what a function makes of each, a few of them in memory at a time."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from hstcube.lazy.arrays import region_of
from hstcube.lazy.nodes import At, Held, Memo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from hstcube.lazy.nodes import Node

    Window = tuple[slice, slice]
    Function = Callable[[int, Iterator[tuple[Any, ...]]], Any]

__all__ = ["at_pixels", "common", "lazily_at", "over_windows", "tiles", "widened", "within"]

SIDE = 1024  # pixels of a tile, at most


def tiles(shape: tuple[int, int], parts: int = 1) -> list[Window]:
    """Return windows that cover an image once, row by row, nearly as large as one another.

    Where each pixel stands for a square of `parts` pixels a side, they are that much smaller.
    """
    rows, columns = _axes(shape, max(SIDE // parts, 1))
    return [(row, column) for row in rows for column in columns]


def _axes(shape: tuple[int, int], side: int) -> list[list[slice]]:
    """Return the rows and the columns of tiles."""
    axes = []
    for n in shape:
        ends = np.linspace(0, n, max(math.ceil(n / side), 1) + 1).round().astype(int).tolist()
        axes.append([*map(slice, ends[:-1], ends[1:])])
    return axes


def widened(window: Window, rim: int, shape: tuple[int, int]) -> Window:
    """Return a window with so many pixels around it, as far as there are any."""
    rows, columns = (
        slice(max(one.start - rim, 0), min(one.stop + rim, n))
        for one, n in zip(window, shape, strict=True)
    )
    return rows, columns


def within(window: Window, around: Window) -> Window:
    """Return where a window lies in one around it."""
    rows, columns = (
        slice(one.start - wide.start, one.stop - wide.start)
        for one, wide in zip(window, around, strict=True)
    )
    return rows, columns


def common(one: Window, other: Window) -> Window:
    """Return where two windows overlap."""
    rows, columns = (
        slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(one, other, strict=True)
    )
    return rows, columns


def over_windows(
    function: Function, arrays: Sequence[Any], windows: Sequence[Window], bands: Any = None
) -> list[Any]:
    """Return what a function makes of windows of images, in their order.

    Parameters
    ----------
    function : callable
        Takes the number of the window, and for each band the pixels (y, x) of all arrays in it.
    arrays : sequence of array, (band, y, x)
        Of numpy; or of dask: then windows are read, and the function is run, in the tasks of dask.
    windows : sequence of (slice, slice)
        Rows and columns.
    bands : sequence of int, optional
        All when not given.
    """
    chosen = range(len(arrays[0])) if bands is None else bands
    if not any(hasattr(array, "dask") for array in arrays):
        return [
            function(i, (tuple(array[band][window] for array in arrays) for band in chosen))
            for i, window in enumerate(windows)
        ]
    import dask
    import dask.array as da

    nodes = [
        region_of(array) if hasattr(array, "dask") else Held(np.asarray(array)) for array in arrays
    ]
    known = [node for node in nodes if node is not None]
    if len(known) == len(nodes):
        # what all tasks share is one piece of the graph: a cluster gets it once, not for each
        work = dask.delayed(partial(_read, function, known, chosen), pure=False, traverse=False)
        return list(dask.compute(*(work(i, window) for i, window in enumerate(windows))))
    whole = [da.asarray(array)[list(chosen)] for array in arrays]
    run = dask.delayed(partial(_given, function), pure=False, traverse=False)
    cuts = ([array[(slice(None), *window)] for array in whole] for window in windows)
    return list(dask.compute(*(run(i, cut) for i, cut in enumerate(cuts))))


def at_pixels(arrays: Sequence[Any], rows: Any, columns: Any) -> list[Any]:
    """Return the values of arrays (band, y, x) at some pixels, (band, pixel), in memory.

    Of arrays of dask no more is held than the tiles that are being read.
    """
    if not any(hasattr(array, "dask") for array in arrays):
        return [array[:, rows, columns] for array in arrays]
    groups = list(_by_tile(arrays[0].shape[1:], rows, columns))

    def picked(i: int, bands: Iterator[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        (tall, wide), some = groups[i]
        y, x = rows[some] - tall.start, columns[some] - wide.start
        return [tuple(array[y, x] for array in band) for band in bands]

    found = over_windows(picked, arrays, [window for window, _ in groups])
    values = [np.empty((array.shape[0], rows.size), array.dtype) for array in arrays]
    for (_, some), bands in zip(groups, found, strict=True):
        for band, held in enumerate(bands):
            for array, one in zip(values, held, strict=True):
                array[band, some] = one
    return values


def lazily_at(array: Any, rows: Any, columns: Any) -> Any:
    """Return the values of an array (band, y, x) at some pixels, (band, pixel), of its kind."""
    if not hasattr(array, "dask"):
        return array[:, rows, columns]
    import dask
    import dask.array as da

    node = region_of(array)
    if node is None:
        return da.stack([plane.vindex[rows, columns] for plane in array]).rechunk((1, -1))
    groups = list(_by_tile(array.shape[1:], rows, columns))
    work = dask.delayed(partial(_picked, node, groups, rows, columns), pure=False, traverse=False)
    size = (rows.size,)
    return da.stack(
        [da.from_delayed(work(band), size, array.dtype) for band in range(array.shape[0])]
    )


def _picked(
    node: Node, groups: list[tuple[Window, Any]], rows: Any, columns: Any, band: int
) -> Any:
    values = []
    for (tall, wide), some in groups:
        (plane,) = next(_bands([node], [band], (tall, wide)))
        values.append(plane[rows[some] - tall.start, columns[some] - wide.start])
    order = np.concatenate([some for _, some in groups])
    made = np.concatenate(values)
    made[order] = made.copy()
    return made


def _by_tile(shape: tuple[int, int], rows: Any, columns: Any) -> Iterator[tuple[Window, Any]]:
    """Give the windows around the pixels of each tile, and the numbers of these pixels."""
    ends = [np.cumsum([one.stop - one.start for one in axis]) for axis in _axes(shape, SIDE)]
    down, across = (
        np.searchsorted(end, one, side="right")
        for end, one in zip(ends, (rows, columns), strict=True)
    )
    tile = down * ends[1].size + across
    order = np.argsort(tile, kind="stable")
    edges = np.flatnonzero(np.diff(tile[order])) + 1
    for some in np.split(order, edges) if order.size else ():
        y, x = rows[some], columns[some]
        window = slice(int(y.min()), int(y.max()) + 1), slice(int(x.min()), int(x.max()) + 1)
        yield window, some


def _read(function: Function, nodes: list[Node], bands: Sequence[int], i: int, at: Window) -> Any:
    return function(i, _bands(nodes, bands, at))


def _bands(nodes: list[Node], bands: Sequence[int], window: Window) -> Iterator[tuple[Any, ...]]:
    rows, columns = window
    for band in bands:
        at = At(band, rows.start, rows.stop, columns.start, columns.stop)
        memo = Memo(nodes, at)
        yield tuple(memo.given(node, at)[0] for node in nodes)


def _given(function: Function, i: int, cuts: list[Any]) -> Any:
    return function(i, zip(*cuts, strict=True))
