"""A SHA-256 of arrays and attributes that is the same for the same values, on every machine."""

from __future__ import annotations

import hashlib
import json
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    import xarray as xr
    from numpy.typing import NDArray

__all__ = ["ROWS", "TEXTS", "bytes_of", "canonical", "digests_of", "slab_sums"]

ROWS = 256  # of a slab
TEXTS = "OUST"  # objects, bytes, texts of fixed and (from zarr) of any length


def digests_of(dataset: xr.Dataset) -> dict[str, str]:
    """Return the SHA-256 of the values in memory, by variable, and, by "", of the attributes.

    What a variable says of itself (dims, type, attributes) is by its name and a colon.
    """
    found = {"": hashlib.sha256(canonical(dataset.attrs)).hexdigest()}
    for name, variable in dataset.variables.items():
        found[f"{name}:"] = hashlib.sha256(_said(variable)).hexdigest()
        if not variable.chunks:
            found[str(name)] = hashlib.sha256(bytes_of(variable.values)).hexdigest()
    return found


def slab_sums(values: NDArray[Any]) -> list[list[int]]:
    """Return a CRC-32 of every slab of images (band, y, x): of so many rows of a band."""
    return [
        [zlib.crc32(bytes_of(plane[row : row + ROWS])) for row in range(0, len(plane), ROWS)]
        for plane in values
    ]


def _said(variable: xr.Variable) -> bytes:
    said = [list(variable.dims), list(variable.shape), _kind(variable.dtype)]
    return json.dumps(said).encode() + canonical(variable.attrs)


def _kind(dtype: np.dtype[Any]) -> str:
    return "text" if dtype.kind in TEXTS else dtype.newbyteorder("<").str


def bytes_of(values: NDArray[Any]) -> bytes:
    """Return values as bytes that are the same for the same values, on every machine."""
    if values.dtype.kind in TEXTS:
        return json.dumps([str(value) for value in values.ravel()]).encode()
    values = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
    if values.dtype.kind == "f" and (unknown := np.isnan(values)).any():
        values = np.where(unknown, values.dtype.type(np.nan), values)  # one NaN for all
    return values.tobytes()


def canonical(attrs: Mapping[Any, Any]) -> bytes:
    """Return attributes as bytes; netCDF gives numbers back as numpy's."""
    plain = {str(key): _plain(value) for key, value in attrs.items()}
    return json.dumps(plain, sort_keys=True, default=str).encode()


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    return value[0] if isinstance(value, list) and len(value) == 1 else value
