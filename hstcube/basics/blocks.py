"""The one engine that runs a function on every band, eager or lazily; windows that sample."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from hstcube.lazy.arrays import arrays_of, regions_of
from hstcube.lazy.nodes import Stage

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["over_bands", "windows_of"]

_SPREAD = (math.sqrt(5) - 1) / 2  # of windows, the next is so far on: none is near the last


def over_bands(
    function: Callable[..., tuple[Any, ...]],
    *planes: xr.Variable,
    parameters: tuple[xr.Variable, ...] = (),
    halo: tuple[int, int] = (0, 0),
    outputs: int = 1,
    alone: int = 0,
) -> tuple[Any, ...]:
    """Apply a function of 2-d images to every band.

    Parameters
    ----------
    function : callable
        Takes one (y, x) array for each plane, then one array for each parameter; returns `outputs`
        (y, x) arrays.
    *planes : Variable, (band, y, x)
        Of one dtype, which the outputs have too.
    parameters : Variable, (band, ...)
        What differs from band to band, in the order of the planes (variables have no labels to
        align).
    halo : (int, int)
        How far along y and x the function looks. Images in several chunks are handed over in blocks
        with that margin, filled with zeros beyond the frame.
    outputs : int
        How many planes the function returns.
    alone : int
        Of so many planes, the first ones, the function looks at the pixel itself alone: these are
        handed over without the margin, and what it returns is of their shape.

    Returns
    -------
    tuple of array, (band, y, x)
        dask arrays where the planes are.
    """
    if any(map(_is_cut, planes)):
        if halo[0] < planes[0].sizes["y"] and halo[1] < planes[0].sizes["x"]:
            return _in_blocks(function, planes, parameters, halo, outputs, alone)
        # every pixel sees all others
        planes = tuple(plane.chunk({"y": -1, "x": -1}) for plane in planes)
    if not any(plane.chunks for plane in planes):
        return _one_by_one(function, planes, parameters, outputs)
    core = [["y", "x"]] * len(planes)
    core += [[str(dim) for dim in one.dims if dim != "band"] for one in parameters]
    result = xr.apply_ufunc(
        function,
        *planes,
        *parameters,
        input_core_dims=core,
        output_core_dims=[["y", "x"]] * outputs,
        vectorize=True,
        dask="parallelized",
        output_dtypes=[planes[0].dtype] * outputs,
    )
    return tuple(variable.data for variable in (result if outputs > 1 else (result,)))


def _one_by_one(
    function: Callable[..., tuple[Any, ...]],
    planes: tuple[xr.Variable, ...],
    parameters: tuple[xr.Variable, ...],
    outputs: int,
) -> tuple[Any, ...]:
    """Apply the function to images in memory: on stamps `apply_ufunc` takes longer than it does."""
    made = tuple(np.empty(planes[0].shape, planes[0].dtype) for _ in range(outputs))
    arrays = [variable.values for variable in (*planes, *parameters)]
    for i in range(len(arrays[0])):
        results = function(*(array[i] for array in arrays))
        for whole, result in zip(made, results if outputs > 1 else (results,), strict=True):
            whole[i] = result
    return made


def _is_cut(plane: xr.Variable) -> bool:
    """Say whether images are in several chunks along y or x."""
    return any(len(chunks) > 1 for chunks in (plane.chunks or ())[1:])


def _in_blocks(
    function: Callable[..., tuple[Any, ...]],
    planes: tuple[xr.Variable, ...],
    parameters: tuple[xr.Variable, ...],
    halo: tuple[int, int],
    outputs: int,
    alone: int,
) -> tuple[Any, ...]:
    """Run the function on blocks with their margins: one task a block where that can be."""
    like = planes[0].data
    values = [one.values for one in parameters]
    nodes = regions_of([plane.data for plane in planes])
    if nodes is None:
        return _overlapping(function, planes, values, halo, outputs, alone)
    stage = Stage(function, nodes, values, like.shape[1:], halo, outputs, alone)
    return arrays_of(stage, like)


def _overlapping(
    function: Callable[..., tuple[Any, ...]],
    planes: tuple[xr.Variable, ...],
    parameters: list[Any],
    halo: tuple[int, int],
    outputs: int,
    alone: int,
) -> tuple[Any, ...]:
    import dask.array as da

    dtype = planes[0].dtype
    margin = {0: 0, 1: halo[0], 2: halo[1]}
    bands = []
    for i in range(planes[0].sizes["band"]):

        def one(block: Any, arguments: tuple[Any, ...] = tuple(p[i] for p in parameters)) -> Any:
            inner = [plane[_within(halo, plane.shape)] for plane in block[:alone]]
            results = function(*inner, *block[alone:], *arguments)
            made = np.stack(results if outputs > 1 else [results]).astype(dtype, copy=False)
            return made if alone else made[(slice(None), *_within(halo, made.shape[1:]))]

        stacked = da.stack([plane.data[i] for plane in planes]).rechunk({0: -1})
        spread = da.overlap.overlap(stacked, margin, boundary=dict.fromkeys(margin, 0))
        pairs = zip(spread.chunks[1:], halo, strict=True)
        inner = [tuple(size - 2 * n for size in sizes) for sizes, n in pairs]
        bands.append(spread.map_blocks(one, dtype=dtype, chunks=((outputs,), *inner)))
    whole = da.stack(bands, axis=1)
    return tuple(whole[i] for i in range(outputs))


def _within(halo: tuple[int, int], shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Return where the pixels inside the margin are."""
    rows, columns = (slice(n, size - n) for n, size in zip(halo, shape, strict=True))
    return rows, columns


def windows_of(shape: tuple[int, int], side: int, rim: int) -> list[tuple[slice, slice]]:
    """Return windows that cover an image but for its rim, in an order that spreads them over it.

    Those of one row follow one another; each next one is taken 0.618 of them further on (the
    golden ratio: Weyl 1916, Math. Ann. 77, 313). Neighbours overlap by twice the rim.
    """
    starts = []
    for n in shape:
        width = min(side, n)
        number = max(math.ceil((n - 2 * rim) / (side - 2 * rim)), 1)
        places = np.linspace(0, n - width, number).round().astype(int).tolist()
        starts.append([slice(place, place + width) for place in places])
    every = [(rows, columns) for rows in starts[0] for columns in starts[1]]
    order = np.argsort(np.arange(len(every)) * _SPREAD % 1, kind="stable")
    return [every[i] for i in order.tolist()]
