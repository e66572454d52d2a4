"""Segmentation maps: whole numbers that are names, on a grid of their own."""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from hstcube.core.grids import Grid
from hstcube.errors import LabelError
from hstcube.fits.images import chosen_unit, image_shape, image_unit, require_whole
from hstcube.fits.local import as_path, read_text
from hstcube.fits.opening import located, opened
from hstcube.fits.sets import require_one_set
from hstcube.regridding.labels import NOT_COVERED
from hstcube.sky.masks import NOT_AN_INTEGER

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["IN_NO_REGION", "open_labels", "open_regions"]

IN_NO_REGION = -3  # what a source is that no region holds: no object, no sky
_BELOW = re.compile(r"BELOW\d+")  # cards of maps of bins: those that do not reach their target
_LARGEST_INT32 = 2**31
_LARGEST_FLOAT32_ID = 2**24  # beyond, neighbouring ids are one number


def open_labels(path: str | Path, *, hdu: str | int | None = None) -> xr.DataArray:
    """Open a segmentation map on its own grid.

    Parameters
    ----------
    path : path
    hdu : str or int, optional
        The extension; the only image, or the one called DATA, SEGMAP or SEG, when not given.

    Returns
    -------
    DataArray of int32, (y, x)
        0 is sky. Values that are not integers (maps that were interpolated) become -2 and are
        counted in ``attrs["interpolated"]``: they belong to nobody here; the default recipe gives
        each the label that most of its neighbours have. NaN becomes -1, not covered.
        ``attrs["below_target"]`` lists the bins that a map of bins says are below their target.

    Raises
    ------
    FileError
        If the file is missing, damaged or foreign.
    LabelError
        If it holds ids too large to be told apart.
    GridError
        If its WCS cannot be used.
    """
    path = as_path(path)
    with located(path), opened(path) as hdus:
        told_of_set = require_one_set(path, hdus[0].header)
        unit = image_unit(hdus, "labels", path) if hdu is None else chosen_unit(hdus, hdu)
        notes = require_whole(path, unit)
        shape = image_shape(unit)
        values = np.asarray(unit.data).reshape(shape)
        grid = Grid.from_header(unit.header, shape=shape)
        labels, attrs = _whole_numbers(values)
        told = str(unit.header.get("RAF_ID", hdus[0].header.get("RAF_ID", ""))).strip()
        if "NBELOW" in unit.header:
            attrs["below_target"] = _below_target(unit.header)
    for warning in told_of_set:
        warnings.warn(warning, stacklevel=2)
    if told.isdecimal():
        attrs["central_id"] = int(told)
    if lost := int(((values < 0) & np.isfinite(values)).sum()):
        text = f"{lost} pixels of the map have negative labels; they belong to no object"
        notes.append(("HC-S06", text))
    if notes:
        attrs["notes"] = "\n".join(f"{code} {text}" for code, text in notes)
    return xr.DataArray(labels, grid.coords(), ("y", "x"), "labels", attrs)


def _below_target(header: Any) -> list[int]:
    """Return the bins below their target that the header of a map of bins lists."""
    lines = [str(value) for key, value in header.items() if _BELOW.fullmatch(key)]
    return [int(number) for number in " ".join(lines).split() if number.isdecimal()]


def _whole_numbers(values: NDArray[Any]) -> tuple[NDArray[np.int32], dict[str, Any]]:
    """Return the labels, those that are nobody's marked, and the attributes that tell of them."""
    known = np.isfinite(values)
    largest = _LARGEST_FLOAT32_ID if values.dtype.name == "float32" else np.iinfo(np.int32).max
    if (most := values.max(where=known, initial=0)) > largest:
        raise LabelError(
            "HC-S05",
            f"holds ids up to {most:.0f}; {values.dtype.name} as int32 tells apart up to {largest}",
            "store the map as int32, with ids that fit into it",
        )
    # float64 does not tell large integers apart
    whole = values.dtype.kind in "iu"
    interpolated = np.zeros_like(known) if whole else known & (np.rint(values) != values)
    named = known & ~interpolated & (values >= 0)
    # negative labels too are nobody's: -1 has a meaning of ours, and unsigned maps cannot hold it
    labels = np.where(known, np.int32(NOT_AN_INTEGER), np.int32(NOT_COVERED))
    np.copyto(labels, values, where=named, casting="unsafe")
    return labels, {"interpolated": int(interpolated.sum()), "long_name": "segmentation map"}


def open_regions(path: str | Path, grid: Grid) -> xr.DataArray:
    """Draw the regions of a DS9 file as labels.

    Parameters
    ----------
    path : path
        Regions in sky or image coordinates; those of images are pixels of `grid`, the first is 1.
        A region that DS9 shows as excluded (``-circle``) is a hole in all the others.
    grid : Grid
        Where the labels are wanted.

    Returns
    -------
    DataArray of int32, (y, x)
        The regions by their texts, where all of these are different whole numbers, else by their
        order: 1, 2, ...; 0 outside. A pixel belongs to the first region that holds its centre.

    Raises
    ------
    LabelError
        If the package `regions` is not installed, the file cannot be read by it, or no region
        holds a pixel of the grid.
    """
    path = as_path(path)
    values = np.zeros(grid.shape, np.int32)
    hole = np.zeros(grid.shape, bool)
    with located(path):
        shapes = _shapes(read_text(path))
        drawn = [(shape, _inside(shape, grid)) for shape in shapes]
        for _, inside in (one for one in drawn if _is_hole(one[0])):
            hole |= inside
        kept = [one for one in drawn if not _is_hole(one[0])]
        numbers = _numbers([shape for shape, _ in kept])
        for number, (_, inside) in zip(numbers, kept, strict=True):
            values[inside & ~hole & (values == 0)] = number
        if not values.any():
            fix = "draw it on these images, in sky coordinates (fk5 or icrs)"
            raise LabelError("HC-S42", "no region holds a pixel of the images", fix)
    attrs = {"long_name": "regions"}
    return xr.DataArray(values, grid.coords(), ("y", "x"), "labels", attrs)


def _shapes(text: str) -> list[Any]:
    """Return the regions of a DS9 file."""
    try:
        from regions import Regions
    except ImportError as error:
        reason = "regions of DS9 are read by the package regions, which is not installed"
        raise LabelError("HC-S41", reason, 'pip install "hstcube[regions]"') from error
    with warnings.catch_warnings(record=True) as told:  # what it cannot read, it leaves out
        warnings.simplefilter("always")
        try:
            shapes = list(Regions.parse(text, format="ds9"))
        except Exception as error:  # whatever foreign text makes of its parser
            raise _unread(str(error)) from error
    if told:
        raise _unread(str(told[0].message))
    return shapes


def _unread(said: str) -> LabelError:
    reason = f"is no file of DS9 regions that can be used: {said}"
    fix = "save it from DS9 as ds9, in fk5, icrs or image coordinates"
    return LabelError("HC-S42", reason, fix)


def _inside(shape: Any, grid: Grid) -> NDArray[np.bool_]:
    """Return which pixels have their centres in a region, whether it is a hole or not."""
    from regions import PixCoord

    shape = shape.copy()
    shape.meta["include"] = True
    y, x = np.indices(grid.shape)
    try:
        drawn = shape.to_pixel(grid.wcs) if hasattr(shape, "to_pixel") else shape
        return np.asarray(drawn.contains(PixCoord(x, y)))
    except NotImplementedError as error:
        raise _unread(str(error)) from error


def _is_hole(shape: Any) -> bool:
    return not shape.meta.get("include", True)


def _numbers(shapes: list[Any]) -> list[int]:
    """Return the label of every region: its text, or its place in the file."""
    texts = [str(shape.meta.get("text", "")).strip() for shape in shapes]
    told = [int(text) for text in texts if text.isdecimal() and 0 < int(text) < _LARGEST_INT32]
    if len(set(told)) == len(shapes):
        return told
    return list(range(1, len(shapes) + 1))
