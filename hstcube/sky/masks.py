"""Masks: which pixels belong to the object."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xarray as xr

from hstcube.core.rules import require_same_grid, taken, usable
from hstcube.core.state import in_band_order, updated, warn
from hstcube.errors import GridError, LabelError
from hstcube.inputs.arrays import keep_of, require_image, shown
from hstcube.inputs.choices import flag, require_choice
from hstcube.inputs.quantities import whole_number
from hstcube.lazy.arrays import in_blocks_of
from hstcube.sky.sources import connected

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "NOT_AN_INTEGER",
    "Shape",
    "central",
    "ends_reached",
    "grow",
    "grown",
    "mask",
    "object_mask",
    "object_notes",
    "repaired",
]

Shape = Literal["square", "diamond"]

NOT_AN_INTEGER = -2
_NOT_COVERED = -1
_AROUND = [(dy, dx) for dy in (0, 1, 2) for dx in (0, 1, 2) if (dy, dx) != (1, 1)]  # in a frame

_MEANING = {
    0: "sky",
    _NOT_COVERED: "not covered by the map",
    NOT_AN_INTEGER: "an interpolated edge, not an integer in the file",
    -3: "in no region, or in one that is left out",
}
_LISTED = 12
# share of an object outside its largest piece: less is what interpolation leaves at its rim
_SCATTERED = 0.01


def mask(cube: xr.Dataset, keep: Any) -> xr.Dataset:
    """Choose the pixels to use; the images themselves stay as they are.

    Parameters
    ----------
    cube : Dataset
    keep : DataArray or array of bool, (y, x) or (band, y, x)
        True = use. On the cube's grid.

    Returns
    -------
    Dataset
        The same cube; its new ``mask`` replaces the old one, and is False where there is no data,
        and where `replace_neighbours` replaced it.

    Raises
    ------
    GridError
        If `keep` lies on other pixels.
    LabelError
        If `keep` holds something else than True and False, 1 and 0; NaN counts as False and is
        told.

    Examples
    --------
    >>> import hstcube
    >>> cube = hstcube.example()
    >>> galaxy = hstcube.mask(cube, cube.labels == 101)
    >>> int(galaxy.mask.sel(band="f160w").sum())
    1618
    """
    cube = taken(cube)
    keep, unknown = keep_of("keep", keep)
    require_same_grid(cube, keep)
    if unknown:
        cube = warn(cube, "HC-S31", f"{unknown} pixels of keep are NaN; they are not used")
    there, kept = usable(cube, cube.variables["wht"]), _on_bands(cube, keep)
    if there.chunks and not kept.chunks:
        kept = kept.transpose(*(dim for dim in there.dims if dim in kept.dims))
        kept = there.copy(data=in_blocks_of(there.data, kept.values))
    chosen = there & kept  # keeps (band, y, x)
    return updated(cube, "mask", mask=chosen.data)


def _on_bands(cube: xr.Dataset, keep: Any) -> xr.Variable:
    """Return a map of pixels as a variable, with the bands of the cube where it has some."""
    if isinstance(keep, xr.DataArray) and {"y", "x"} <= {*keep.dims} <= {"band", "y", "x"}:
        return in_band_order(cube, keep) if "band" in keep.dims else keep.variable
    if not isinstance(keep, xr.DataArray) and keep.shape in (cube.sci.shape, cube.sci.shape[1:]):
        return xr.Variable(("band", "y", "x")[-keep.ndim :], keep)
    reason = f"keep is {shown(keep)}, the images are {cube.sci.shape}"
    raise GridError("HC-D01", reason, "give it as (y, x) or (band, y, x)")


def object_mask(labels: xr.DataArray, *ids: int, largest: bool = False) -> xr.DataArray:
    """Return where a segmentation map shows the given objects.

    Parameters
    ----------
    labels : DataArray of int, (y, x)
        0 sky, -1 not covered, -2 not an integer in the file.
    *ids : int
        Labels of the object, several for a merger; the one at the centre of the map when none is
        given.
    largest : bool
        Keep only the largest piece of each object; pieces that touch at corners are one.

    Returns
    -------
    DataArray of bool, (y, x)
        On the grid of the labels.

    Raises
    ------
    GridError
        If the labels are no DataArray (y, x).
    LabelError
        If the centre shows no object, or an id is not in the map.

    Examples
    --------
    >>> import hstcube
    >>> labels = hstcube.example().labels
    >>> [int(hstcube.object_mask(labels, *ids).sum()) for ids in ((101,), (101, 102))]
    [1618, 1878]
    """
    require_image("labels", labels)
    values = labels.values
    chosen = ids or (central(values),)
    for label in (
        whole_number(one, "ids", least=-(2**31), code="HC-S12", error=LabelError) for one in chosen
    ):
        if label <= 0 or not (values == label).any():
            raise LabelError(
                "HC-S12",
                f"the map has no object {label}; it has {_sizes(values)}",
                _nearest_id(values, label),
            )
    seen = np.isin(values, chosen)
    if flag("largest", largest):
        seen = np.logical_or.reduce([_largest_piece(values == label) for label in chosen])
    return labels.copy(deep=False, data=seen).drop_attrs(deep=False).rename("mask")


def repaired(labels: xr.DataArray) -> xr.DataArray:
    """Give the pixels of a map that was interpolated once the label that most neighbours have.

    Of the eight around, only whole numbers count; of labels as frequent an object goes before the
    sky, which is to be free of light. It is repeated inwards until nothing changes.

    Parameters
    ----------
    labels : DataArray of int, (y, x)
        -2 where the file holds no integer.

    Returns
    -------
    DataArray of int, (y, x)
        The same map, ``attrs["repaired"]`` the number of pixels; itself where nothing is to be
        done.
    """
    values = labels.values
    first = int((values == NOT_AN_INTEGER).sum())
    if not first:
        return labels
    values = values.copy()
    left = 0
    while left != (left := int((values == NOT_AN_INTEGER).sum())):
        rows, columns = np.nonzero(values == NOT_AN_INTEGER)
        values[rows, columns] = _majority(values, rows, columns)
    return labels.copy(deep=False, data=values).assign_attrs(repaired=first - left)


def _majority(
    values: NDArray[Any], rows: NDArray[np.intp], columns: NDArray[np.intp]
) -> NDArray[Any]:
    """Return the label that most of the eight neighbours of every given pixel have."""
    framed = np.pad(values, 1, constant_values=NOT_AN_INTEGER)
    around = np.stack([framed[rows + dy, columns + dx] for dy, dx in _AROUND])
    best, most = np.full(rows.size, NOT_AN_INTEGER, values.dtype), np.zeros(rows.size)
    for one in around:
        votes = ((around == one) & (one >= 0)).sum(0) + 0.5 * (one > 0)
        best, most = np.where(votes > most, one, best), np.maximum(votes, most)
    return best


def object_notes(labels: xr.DataArray, *ids: int, largest: bool = False) -> list[tuple[str, str]]:
    """Say, as (code, text), what is odd about a segmentation map and the given objects in it.

    Parameters
    ----------
    labels : DataArray of int, (y, x)
        As `open_labels` gives it.
    *ids, largest
        As in `object_mask`.
    """
    values = labels.values
    told = labels.attrs.get("notes", "").splitlines()
    notes = [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in told]
    told_id = labels.attrs.get("central_id")
    if not ids and told_id is not None and central(values) != told_id:
        text = f"the map's header says RAF_ID = {told_id}, its centre shows {central(values)}"
        notes.append(("HC-S07", text))
    for label in () if largest else ids or (central(values),):
        number, share = _scattered(values == label)
        if share > _SCATTERED:
            text = f"object {label} is in {number} pieces; {share:.1%} lie outside the largest"
            notes.append(("HC-S11", text))
    return notes


def _largest_piece(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the piece of most pixels; of several as large the one that comes first."""
    pieces = connected(mask)
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return np.asarray(pieces == np.argmax(sizes))


def _scattered(mask: NDArray[np.bool_]) -> tuple[int, float]:
    """Return the number of pieces, and the share of the pixels outside the largest."""
    sizes = np.bincount(connected(mask).ravel())[1:]
    return sizes.size, 1 - sizes.max(initial=0) / max(sizes.sum(), 1)


def grow(mask: xr.DataArray, *, pixels: int = 1, shape: Shape = "square") -> xr.DataArray:
    """Grow a mask by so many pixels of its own grid.

    Parameters
    ----------
    mask : DataArray of bool, (y, x)
    pixels : int
        How often the mask is dilated with a 3x3 square or diamond.
    shape : {"square", "diamond"}

    Returns
    -------
    DataArray of bool, (y, x)

    Raises
    ------
    GridError
        If the mask is no DataArray (y, x).
    LabelError
        If the mask holds something else than True and False, 1 and 0; NaN counts as False.
    RecipeError
        If `pixels` is negative or no whole number, or there is no such shape.

    Examples
    --------
    >>> import hstcube
    >>> galaxy = hstcube.object_mask(hstcube.example().labels, 101)
    >>> int(galaxy.sum()), int(hstcube.grow(galaxy, pixels=2).sum())
    (1618, 2061)
    """
    require_image("mask", mask)
    kept, _ = keep_of("mask", mask)
    return mask.copy(deep=False, data=grown(kept.values, pixels, shape))


def grown(values: NDArray[np.bool_], pixels: int, shape: Shape = "square") -> NDArray[np.bool_]:
    """Dilate a plain array; beyond its edges there is nothing."""
    require_choice("shape", shape, Shape)
    pixels = whole_number(pixels, "pixels", least=0, code="HC-B17")
    if pixels == 0:
        return values.copy()
    from scipy import ndimage

    structure = ndimage.generate_binary_structure(2, 2 if shape == "square" else 1)
    steps = min(int(pixels), sum(values.shape))  # then a diamond has grown from corner to corner
    return np.asarray(ndimage.binary_dilation(values, structure, iterations=steps))


def central(values: NDArray[Any]) -> int:
    """Return the label of the object at the centre of a map.

    Raises
    ------
    LabelError
        If the centre shows none.
    """
    label = int(values[values.shape[0] // 2, values.shape[1] // 2])
    if label <= 0:
        reason = f"the centre of the map is {label} ({_MEANING.get(label, 'no object')}); the map "
        reason += f"has {_sizes(values)}"
        fix = "give a map that has objects[[: --labels FILE; or take all pixels: --no-mask|]]"
        for largest, _ in _objects(values)[:1]:
            fix = f"name the object: [[--ids FIELD={largest}|ids=[{largest}]]]"
        raise LabelError("HC-S01", reason, fix)
    return label


def ends_reached(keep: NDArray[np.bool_], labels: NDArray[Any]) -> list[str]:
    """Return the ends of what was looked at that a mask touches: of frame (y upwards) and map."""
    sides = {"top": keep[-1], "bottom": keep[0], "left": keep[:, 0], "right": keep[:, -1]}
    reached = [side for side, pixels in sides.items() if pixels.any()]
    ends = [f"the {' and '.join(reached)} of the frame"] if reached else []
    unknown = labels == _NOT_COVERED
    if unknown.any() and (unknown & grown(keep, 1)).any():
        ends.append("the end of the segmentation map")
    return ends


def _objects(values: NDArray[Any]) -> list[tuple[int, int]]:
    """Return (id, number of pixels), largest first."""
    labels, counts = np.unique(values[values > 0], return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return list(zip(labels[order].tolist(), counts[order].tolist(), strict=True))


def _sizes(values: NDArray[Any]) -> str:
    found = _objects(values)
    listed = ", ".join(f"{label} ({n} px)" for label, n in found[:_LISTED])
    more = f" and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
    return f"the objects {listed}{more}" if found else "no object at all"


def _nearest_id(values: NDArray[Any], wanted: int) -> str:
    names = [str(label) for label, _ in _objects(values)]
    close = difflib.get_close_matches(str(wanted), names, n=1) or names[:1]
    return f"did you mean {close[0]}?" if close else "give another map"
