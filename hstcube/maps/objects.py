"""The object that a segmentation map shows, on the pixels of a cube, and what is odd about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from hstcube.core.grids import Grid
from hstcube.errors import LabelError
from hstcube.regridding.labels import coverage, regrid_labels, regrid_mask
from hstcube.sky.masks import central, ends_reached, object_mask, object_notes, repaired
from hstcube.sky.masks import grow as grow_mask

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr

__all__ = ["map_notes", "object_on", "objects_of"]

Outside = Literal["uncovered", "nearest"]


def objects_of(labels: xr.DataArray, recipe: str) -> xr.DataArray:
    """Return a map as a recipe takes its objects: the original repaired nothing.

    What is sky is taken from the map as it is: pixels between object and sky hold light.
    """
    return labels if recipe == "original" else repaired(labels)


def object_on(
    grid: Grid,
    labels: xr.DataArray,
    ids: Sequence[int],
    *,
    grow: int = 1,
    largest: bool = False,
    recipe: str = "default",
    objects: xr.DataArray | None = None,
) -> xr.DataArray:
    """Return the object's pixels, (y, x) bool, on the cube's grid.

    Parameters
    ----------
    grid : Grid
    labels, ids, grow, largest, recipe
        As in `homogenize`.
    objects : DataArray, optional
        What `objects_of` makes of the labels, where that is there already.

    Raises
    ------
    LabelError
        If no pixel of the grid belongs to the object.
    """
    outside: Outside = "nearest" if recipe == "original" else "uncovered"
    chosen = ids or (central(labels.values),)  # what lies between objects is not guessed there
    objects = objects_of(labels, recipe) if objects is None else objects
    seen = object_mask(objects, *chosen, largest=largest)
    keep = regrid_mask(grow_mask(seen, pixels=grow), grid, outside=outside)
    if not keep.values.any():
        raise LabelError(
            "HC-S09",
            "no pixel of the cube belongs to the object",
            "check that map and images show one field",
        )
    return keep


def map_notes(
    labels: xr.DataArray,
    ids: Sequence[int],
    keep: xr.DataArray,
    grid: Grid,
    *,
    largest: bool = False,
    recipe: str = "default",
    objects: xr.DataArray | None = None,
) -> list[tuple[str, str]]:
    """Say, as (code, text), what is odd about a segmentation map and the object in it.

    What the map leaves unknown, and where the object meets the frame, matter to the default recipe
    only: the original took the map's nearest pixel, and said nothing.

    Parameters
    ----------
    labels, ids, largest, recipe
        As in `homogenize`.
    keep : DataArray of bool, (y, x)
        The object, from `object_on`.
    grid : Grid
        Of the cube.
    objects : DataArray, optional
        As in `object_on`.
    """
    labels = objects_of(labels, recipe) if objects is None else objects
    notes = object_notes(labels, *ids, largest=largest)
    if found := labels.attrs.get("detected"):
        notes.append(("HC-S40", f"the map was detected in the images: {found}"))
    if recipe == "original":
        return notes
    if (share := coverage(Grid.of(labels), grid)) < 1:
        text = f"the segmentation map covers {share:.1%} of the frame"
        notes.append(("HC-S14", f"{text}; outside it nothing is masked in"))
    if interpolated := labels.attrs.get("interpolated", 0):
        text = f"{interpolated} of the map's pixels ({interpolated / labels.size:.1%}) are not "
        text += "integers (it was interpolated once); each gets the label that most of its"
        lost = interpolated - labels.attrs.get("repaired", 0)
        text += " neighbours have" + (f", {lost} without any belong to no object" if lost else "")
        notes.append(("HC-S04", text))
    if ends := ends_reached(keep.values, regrid_labels(labels, grid).values):
        text = f"the object reaches {' and '.join(ends)}"
        notes.append(("HC-S08", f"{text}: part of it may be missing"))
    if keep.values.all():
        notes.append(("HC-S10", "the object fills the whole frame: no pixel is masked out"))
    return notes
