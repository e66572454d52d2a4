"""Segmentation maps: whole numbers that are names, on a grid of their own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from hstcube.core.grids import Grid
from hstcube.errors import LabelError, warn_caller
from hstcube.fits.images import chosen_unit, image_shape, image_unit, require_whole
from hstcube.fits.local import as_path
from hstcube.fits.opening import located, opened
from hstcube.fits.sets import require_one_set
from hstcube.regridding.labels import NOT_COVERED
from hstcube.sky.masks import NOT_AN_INTEGER

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["open_labels"]

_BELOW = re.compile(r"BELOW\d+")  # cards of maps of bins: those that do not reach their target
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

    Examples
    --------
    >>> import tempfile
    >>> import hstcube
    >>> from hstcube.demo.field import simulate
    >>> folder = tempfile.mkdtemp()
    >>> _ = simulate(folder)
    >>> labels = hstcube.open_labels(folder + "/segment_maps/udf_mosaic_demo_HST_SEGMAP.fits")
    >>> int((labels == 101).sum()), labels.attrs["interpolated"] > 0
    (6470, True)
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
        warn_caller(warning)
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
