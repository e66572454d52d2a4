"""What a segmentation map, on its own grid, says of a cube: which sources are not the object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from hstcube.core.grids import Grid
from hstcube.regridding.labels import regrid_labels, regrid_mask
from hstcube.sky.masks import central, object_mask, repaired
from hstcube.sky.neighbours import replace_neighbours

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr

__all__ = ["Neighbours", "without_neighbours"]

Neighbours = Literal["mask", "replace", "subtract"]


def without_neighbours(
    cube: xr.Dataset, labels: xr.DataArray, ids: Sequence[int], how: Neighbours
) -> xr.Dataset:
    """Replace the sources of a map that are not the object; see `replace_neighbours`.

    Parameters
    ----------
    cube : Dataset
        Its sky subtracted, nothing added or matched yet.
    labels : DataArray of int, (y, x)
        On its own grid.
    ids : sequence of int
        Labels of the object; the one at the centre of the map when empty. Where none of them shows
        on the cube, all sources are others.
    how : {"mask", "replace", "subtract"}
        Leave them to a mask; put sky in their place; and subtract the light around them, too.
    """
    if how == "mask":
        return cube
    grid = Grid.of(cube)
    mine = object_mask(repaired(labels), *(ids or (central(labels.values),)))
    others = regrid_labels(repaired(labels), grid).values
    return replace_neighbours(
        cube,
        others,
        keep=regrid_mask(mine, grid).values,
        wings="subtract" if how == "subtract" else "stay",
    )
