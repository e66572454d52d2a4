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

__all__ = ["common", "over_windows", "tiles", "widened", "within"]

SIDE = 1024  # pixels of a tile, at most


def tiles(shape: tuple[int, int], side: int | None = None) -> list[Window]:
    """Return windows that cover an image once, row by row, nearly as large as one another."""
    edges = []
    for n in shape:
        number = max(math.ceil(n / (side or SIDE)), 1)
        edges.append(np.linspace(0, n, number + 1).round().astype(int).tolist())
    rows, columns = ([*map(slice, ends[:-1], ends[1:])] for ends in edges)
    return [(row, column) for row in rows for column in columns]


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
