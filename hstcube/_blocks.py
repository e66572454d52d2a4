"""The one engine that runs a function on every band of a cube, eager or lazily with dask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["over_bands"]


def over_bands(
    function: Callable[..., tuple[Any, ...]],
    *planes: xr.DataArray,
    parameters: tuple[xr.DataArray, ...] = (),
    halo: tuple[int, int] = (0, 0),
    outputs: int = 1,
) -> tuple[xr.DataArray, ...]:
    """Apply a function of 2-d images to every band.

    Parameters
    ----------
    function : callable
        Takes one (y, x) array for each plane, then one array for each parameter; returns `outputs` (y, x) arrays.
    *planes : DataArray, (band, y, x)
        Of one dtype, which the outputs have too.
    parameters : DataArray, (band, ...)
        What differs from band to band.
    halo : (int, int)
        How far along y and x the function looks. Images in several chunks are handed over in blocks with that margin,
        filled with zeros beyond the frame.
    outputs : int
        How many planes the function returns.

    Returns
    -------
    tuple of DataArray, (band, y, x)
        Lazy where the planes are.
    """
    if any(len(chunks) > 1 for plane in planes if plane.chunks for chunks in plane.chunks[1:]):
        return _in_blocks(function, planes, parameters, halo, outputs)
    core = [["y", "x"]] * len(planes) + [[str(d) for d in p.dims if d != "band"] for p in parameters]
    result = xr.apply_ufunc(
        function,
        *planes,
        *parameters,
        input_core_dims=core,
        output_core_dims=[["y", "x"]] * outputs,
        vectorize=True,
        join="exact",
        dask="parallelized",
        output_dtypes=[planes[0].dtype] * outputs,
        keep_attrs=False,
    )
    return result if outputs > 1 else (result,)


def _in_blocks(
    function: Callable[..., tuple[Any, ...]],
    planes: tuple[xr.DataArray, ...],
    parameters: tuple[xr.DataArray, ...],
    halo: tuple[int, int],
    outputs: int,
) -> tuple[xr.DataArray, ...]:
    import dask.array as da

    first, *others = xr.align(*planes, join="exact", copy=False)
    values = [np.asarray(p.reindex(band=first.band, copy=False).values) for p in parameters]
    dtype = first.dtype
    bands = []
    for i in range(first.sizes["band"]):

        def one(block: Any, arguments: tuple[Any, ...] = tuple(v[i] for v in values)) -> Any:
            results = function(*block, *arguments)
            return np.stack(results if outputs > 1 else [results]).astype(dtype, copy=False)

        stacked = da.stack([plane.isel(band=i).data for plane in (first, *others)])
        margin = {0: 0, 1: halo[0], 2: halo[1]}
        spread = da.overlap.overlap(stacked.rechunk({0: -1}), margin, boundary=dict.fromkeys(margin, 0))
        chunks = ((outputs,), *spread.chunks[1:])
        bands.append(da.overlap.trim_internal(spread.map_blocks(one, dtype=dtype, chunks=chunks), margin, boundary=0))
    stack = da.stack(bands, axis=1)
    return tuple(first.copy(data=stack[i]).drop_attrs(deep=False) for i in range(outputs))
