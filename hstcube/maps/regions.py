"""Regions that people draw in DS9, as labels."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from hstcube.errors import LabelError
from hstcube.fits.local import as_path, read_text
from hstcube.fits.opening import located

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from hstcube.core.grids import Grid

__all__ = ["IN_NO_REGION", "open_regions"]

IN_NO_REGION = -3  # what a source is that no region holds: no object, no sky
_LARGEST_INT32 = 2**31


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
