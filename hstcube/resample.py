"""From one pixel grid to another: labels and masks, by the nearest pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xarray as xr

from hstcube.errors import GridError
from hstcube.grids import Grid, pixel_mapping

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["NOT_COVERED", "regrid_labels", "regrid_mask"]

NOT_COVERED = -1

_NOWHERE = -1e9  # pixels: what lies beyond the horizon of a projection has no place on the map
_ROWS = 64  # rows mapped at a time: coordinates of a block stay in the processor's cache


def regrid_labels(labels: xr.DataArray, grid: Grid) -> xr.DataArray:
    """Look labels up on another grid, by the nearest pixel. Labels are names: they are never averaged.

    Parameters
    ----------
    labels : DataArray of int, (y, x)
        On its own grid, as `open_labels` gives it.
    grid : Grid
        Where the labels are wanted.

    Returns
    -------
    DataArray of int32, (y, x)
        On `grid`; -1 outside the map.

    Raises
    ------
    GridError
        If the two grids do not overlap at all.
    """
    labels = labels.transpose("y", "x")
    found = _nearest(np.asarray(labels.values, dtype=np.int32), Grid.of(labels), grid, outside=np.int32(NOT_COVERED))
    return xr.DataArray(found, grid.coords(), ("y", "x"), name="labels", attrs=labels.attrs)


def regrid_mask(
    mask: xr.DataArray, grid: Grid, *, outside: Literal["uncovered", "nearest"] = "uncovered"
) -> xr.DataArray:
    """Look a mask up on another grid, by the nearest pixel.

    Parameters
    ----------
    mask : DataArray of bool, (y, x)
        On its own grid.
    grid : Grid
        Where the mask is wanted.
    outside : {"uncovered", "nearest"}
        What pixels outside the map get: False, or the map's nearest pixel (which is what the original pipeline did).

    Returns
    -------
    DataArray of bool, (y, x)
        On `grid`.

    Raises
    ------
    GridError
        If the two grids do not overlap at all.
    """
    mask = mask.transpose("y", "x")
    values = np.asarray(mask.values, dtype=bool)
    found = _nearest(values, Grid.of(mask), grid, outside=None if outside == "nearest" else np.False_)
    return xr.DataArray(found, grid.coords(), ("y", "x"), name=mask.name)


def coverage(source: Grid, grid: Grid) -> float:
    """Return the share of the pixels of `grid` whose centres lie on `source`."""
    return float(_nearest(np.ones(source.shape, dtype=bool), source, grid, outside=np.False_).mean())


def _nearest(values: NDArray[Any], source: Grid, grid: Grid, *, outside: Any) -> NDArray[Any]:
    """Return values[nearest pixel]; `outside` beyond the map, or the clipped look-up where it is None."""
    if source == grid:
        return values.copy()
    mapping = pixel_mapping(grid, source)
    ny, nx = source.shape
    out = np.empty(grid.shape, dtype=values.dtype)
    columns = np.arange(grid.shape[1], dtype=float)
    flat = values.ravel()
    touched = False
    for top in range(0, grid.shape[0], _ROWS):
        rows = np.arange(top, min(top + _ROWS, grid.shape[0]), dtype=float)
        y, x = (np.nan_to_num(place, nan=_NOWHERE) for place in mapping(rows[:, None], columns[None, :]))
        iy, ix = np.rint(y).astype(np.int64), np.rint(x).astype(np.int64)
        near_y, near_x = np.clip(iy, 0, ny - 1), np.clip(ix, 0, nx - 1)
        block = flat[near_y * nx + near_x]
        inside = (near_y == iy) & (near_x == ix)
        touched = touched or bool(inside.any())
        out[top : top + len(rows)] = block if outside is None else np.where(inside, block, outside)
    if not touched:
        raise GridError(
            "HC-W15", "the map and the images do not overlap on the sky", "check that the map belongs to this field"
        )
    return out
