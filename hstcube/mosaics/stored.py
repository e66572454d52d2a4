"""What a cube takes along to disk, and how it is when it comes back, in whatever format."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from hstcube.basics.digests import TEXTS
from hstcube.core.state import attribute
from hstcube.errors import FileError

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["AGAIN", "IN_CHUNKS", "as_written", "require_loadable", "with_plain_attrs", "with_state"]

AGAIN = "get it again, or write it again[[: hstcube run FOLDER| with save_cube]]"
IN_CHUNKS = "[[cut out a piece|open it in chunks: open_cube(path, chunks={'y': 1024, 'x': 1024})]]"
LARGEST = 4 * 2**30  # bytes that a file may hold when all of it is read at once


def with_state(cube: xr.Dataset) -> xr.Dataset:
    """Return the cube with the attributes that steps look at, empty where they are not there."""
    names = ("survey", "poisson", "history", "warnings")
    return cube.assign_attrs({name: attribute(cube, name) for name in names})


def with_plain_attrs(cube: xr.Dataset) -> xr.Dataset:
    """Return the cube with attributes that files cannot hold (None, True, a dict) as JSON text."""
    plain = cube.copy()  # shallow
    for holder in _holders(plain):
        attrs = dict(holder.attrs)
        for key, value in attrs.items():
            if value is None or isinstance(value, bool | dict):
                attrs[key] = json.dumps(value, default=str)
        holder.attrs = attrs
    return plain


def _holders(cube: xr.Dataset) -> list[Any]:  # all that have attributes of their own
    return [cube, *cube.variables.values()]


def as_written(found: xr.Dataset) -> xr.Dataset:
    """Return a Dataset as it was before it was a file: texts as objects, plain attributes."""
    named = [name for name, variable in found.coords.items() if variable.dtype.kind in TEXTS]
    texts = {name: found.coords[name].astype(object) for name in named}
    found = found.assign_coords(texts)
    for holder in _holders(found):
        holder.encoding = {}
        holder.attrs = {
            key: value.item() if isinstance(value, np.generic) else value
            for key, value in holder.attrs.items()
        }
    return found


def require_loadable(declared: int) -> None:
    """Refuse what is too large to be read at once.

    Raises
    ------
    FileError
        If it holds more bytes than that.
    """
    if declared > LARGEST:
        reason = f"holds {declared / 1e9:.3g} GB, more than {LARGEST / 1e9:.3g} GB"
        raise FileError("HC-F07", reason, IN_CHUNKS)
