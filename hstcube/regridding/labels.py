"""Labels and masks on another pixel grid: always by the nearest pixel."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xarray as xr

from hstcube.core.grids import Grid
from hstcube.core.mappings import pixel_mapping, require_grid
from hstcube.errors import GridError, LabelError
from hstcube.inputs.arrays import keep_of, require_image
from hstcube.inputs.choices import require_choice

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["NOT_COVERED", "Outside", "coverage", "regrid_labels", "regrid_mask"]

NOT_COVERED = -1

Outside = Literal["uncovered", "nearest"]

_NOWHERE = -1e9  # pixels: what lies beyond the horizon of a projection has no place on the map
_ROWS = 64  # rows mapped at a time: coordinates of a block stay in the processor's cache


def regrid_labels(labels: xr.DataArray, grid: Grid) -> xr.DataArray:
    """Look labels up on another grid, by the nearest pixel: names are never averaged.

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
        If the two grids do not overlap at all, or the labels do not say where they lie.
    LabelError
        If labels are no integers, or beyond those of 32 bits.

    Examples
    --------
    >>> import hstcube
    >>> cube = hstcube.example()
    >>> grid = hstcube.Grid.of(cube).coarsen(2)
    >>> sorted(set(hstcube.regrid_labels(cube.labels, grid).values.ravel().tolist()))
    [-2, -1, 0, 101, 102, 201, 202, 203, 301]
    """
    require_image("labels", labels)
    require_grid(grid)
    values = _same_numbers(labels.variable.transpose("y", "x").values)
    found = _nearest(values, Grid.of(labels), grid, outside=np.int32(NOT_COVERED))
    return xr.DataArray(found, grid.coords(), ("y", "x"), name="labels", attrs=labels.attrs)


def _same_numbers(labels: NDArray[Any]) -> NDArray[np.int32]:
    """Return labels as int32, none of them rounded or wrapped around."""
    with np.errstate(invalid="ignore"):
        found = labels.astype(np.int32)
    if (changed := found != labels).any():
        raise LabelError(
            "HC-S05",
            f"the map holds {labels[changed][0]}, which is no integer of 32 bits",
            "store the map as int32, with ids that fit into it",
        )
    return found


def regrid_mask(mask: xr.DataArray, grid: Grid, *, outside: Outside = "uncovered") -> xr.DataArray:
    """Look a mask up on another grid, by the nearest pixel.

    Parameters
    ----------
    mask : DataArray of bool, (y, x)
        On its own grid.
    grid : Grid
        Where the mask is wanted.
    outside : {"uncovered", "nearest"}
        What pixels outside the map get: False, or the map's nearest pixel (which is what the
        original pipeline did).

    Returns
    -------
    DataArray of bool, (y, x)
        On `grid`.

    Raises
    ------
    GridError
        If the two grids do not overlap at all, or the mask does not say where it lies.
    LabelError
        If the mask holds something else than True and False, 1 and 0; NaN counts as False.
    RecipeError
        If there is no such choice for what is outside.

    Examples
    --------
    >>> import hstcube
    >>> galaxy = hstcube.object_mask(hstcube.example().labels, 101)
    >>> fine = hstcube.Grid.around((53.16, -27.78), size=6, scale=0.03)
    >>> shown = hstcube.regrid_mask(galaxy, fine)
    >>> round(float(shown.sum() / galaxy.sum()), 1)  # pixels of a quarter of the area
    4.0
    """
    require_choice("outside", outside, Outside)
    require_image("mask", mask)
    require_grid(grid)
    values = mask.variable.transpose("y", "x").values
    fill = None if outside == "nearest" else np.False_
    found, _ = keep_of("mask", _nearest(values, Grid.of(mask), grid, outside=fill))
    return xr.DataArray(found, grid.coords(), ("y", "x"), name=mask.name)


def coverage(source: Grid, grid: Grid) -> float:
    """Return the share of the pixels of `grid` whose centres lie on `source`."""
    everywhere = np.ones(source.shape, dtype=bool)
    return float(_nearest(everywhere, source, grid, outside=np.False_).mean())


def _nearest(values: NDArray[Any], source: Grid, grid: Grid, *, outside: Any) -> NDArray[Any]:
    """Return the values of the nearest pixels.

    Beyond the map that is `outside`, or the nearest pixel of the map where `outside` is None.
    """
    if source == grid:
        return values.copy()
    out = np.empty(grid.shape, dtype=values.dtype)
    flat = values.ravel()
    touched = False
    for top in range(0, grid.shape[0], _ROWS):
        places, inside = _looked_up(source, grid, top)
        block = flat[places]
        touched = touched or bool(inside.any())
        out[top : top + len(block)] = block if outside is None else np.where(inside, block, outside)
    if not touched:
        raise GridError(
            "HC-W15",
            "the map and the images do not overlap on the sky",
            "check that the map belongs to this field",
        )
    return out


_kept_mapping = lru_cache(maxsize=2)(pixel_mapping)


@lru_cache(maxsize=2)  # the map of a stamp is looked up four times; that of a mosaic gains nothing
def _looked_up(source: Grid, grid: Grid, top: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return where rows of a grid lie in a map that is flattened, and whether they lie on it."""
    ny, nx = source.shape
    rows = np.arange(top, min(top + _ROWS, grid.shape[0]), dtype=float)
    y, x = _kept_mapping(grid, source)(rows[:, None], np.arange(grid.shape[1], dtype=float))
    iy, ix = _nearest_pixel(y), _nearest_pixel(x)
    near_y, near_x = np.clip(iy, 0, ny - 1), np.clip(ix, 0, nx - 1)
    return near_y * nx + near_x, (near_y == iy) & (near_x == ix)


def _nearest_pixel(place: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.rint(np.nan_to_num(place, nan=_NOWHERE)).astype(np.int64)
