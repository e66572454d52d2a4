"""A cube as netCDF that says when it is damaged, and that threads cannot crash.

FITS has CHECKSUM and DATASUM; netCDF has nothing for a whole file. Here an attribute of the file
holds a SHA-256 of each variable (values, dims, type, attributes) and of the file's own attributes,
and what is read is compared with it. The blocks of images bear HDF5's Fletcher-32 besides, which is
checked whenever one of them is read. The netCDF-C library is not thread-safe: whatever touches it
here does so under one lock.
"""

from __future__ import annotations

import hashlib
import json
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from hstcube.errors import FileError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import xarray as xr
    from numpy.typing import NDArray

__all__ = ["DIGESTS", "digests_of", "read", "write"]

DIGESTS = "hstcube_digests"  # the attribute that holds them, as JSON: name to SHA-256
LARGEST = 4 * 2**30  # bytes that a file may hold when all of it is read at once

_TEXTS = "OUST"  # objects, bytes, texts of fixed and (from zarr) of any length
_LOCK = threading.RLock()
_MOST_PACKED = 1100  # deflate packs at most 1032 bytes into one (zlib's own documentation)
_ROOM = 2**20  # bytes that any file may hold


def write(cube: xr.Dataset, path: Path) -> bool:
    """Write a cube whose pixels are in memory; return whether what was read back is the same.

    Parameters
    ----------
    cube : Dataset
        With attributes that netCDF can hold: texts and numbers.
    path : path
        There must be no file yet.
    """
    digests = digests_of(cube)
    packed = {"zlib": True, "complevel": 1, "shuffle": True, "fletcher32": True}
    encoding: dict[str, dict[str, Any]] = {str(name): packed for name in cube.data_vars}
    told = cube.assign_attrs({DIGESTS: json.dumps(digests)})
    told = told.drop_encoding()  # of the file that it was read from, which may be zarr
    with _LOCK:
        told.to_netcdf(path, engine="netcdf4", encoding=encoding)
        return _on_disk(path, cube)


def read(path: Path, *, chunks: Mapping[str, int] | None = None) -> tuple[xr.Dataset, bool]:
    """Return the Dataset of a file, and whether digests vouch for it.

    Parameters
    ----------
    path : path
    chunks : mapping, optional
        Leave images on disk until they are computed, in chunks of so many pixels; only the
        coordinates and attributes are compared with their digests then, the blocks of images with
        their Fletcher-32 when they are read.

    Raises
    ------
    FileError
        If the file declares more than it can hold or memory may take, or is damaged.
    """
    import xarray as xr

    with _LOCK, xr.open_dataset(path, engine="netcdf4", cache=False) as opened:
        _require_possible(opened, path, eager=chunks is None)
        if chunks is None:
            found = opened.load()
        else:
            images = {name: _lazy(path, opened[name], chunks) for name in opened.data_vars}
            found = opened.drop_vars(images).load().assign(images)
    found = _as_written(found)
    known = found.attrs.pop(DIGESTS, None)
    if known is None:
        return found, False
    _require_digests(found, known)
    return found, True


def digests_of(dataset: xr.Dataset) -> dict[str, str]:
    """Return the SHA-256 of each variable in memory, and, as "", of the file's attributes."""
    found = {"": hashlib.sha256(_canonical(dataset.attrs)).hexdigest()}
    for name, variable in dataset.variables.items():
        if not variable.chunks:
            found[str(name)] = _digest(variable)
    return found


def _digest(variable: xr.Variable) -> str:
    said = [list(variable.dims), list(variable.shape), _kind(variable.dtype)]
    digest = hashlib.sha256(json.dumps(said).encode())
    digest.update(_canonical(variable.attrs))
    digest.update(_bytes(variable.values))
    return digest.hexdigest()


def _kind(dtype: np.dtype[Any]) -> str:
    return "text" if dtype.kind in _TEXTS else dtype.newbyteorder("<").str


def _bytes(values: NDArray[Any]) -> bytes:
    """Return values as bytes that are the same for the same values, on every machine."""
    if values.dtype.kind in _TEXTS:
        return json.dumps([str(value) for value in values.ravel()]).encode()
    values = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
    if values.dtype.kind == "f" and (unknown := np.isnan(values)).any():
        values = np.where(unknown, values.dtype.type(np.nan), values)  # one NaN for all
    return values.tobytes()


def _canonical(attrs: Mapping[Any, Any]) -> bytes:
    """Return attributes as bytes; netCDF gives numbers back as numpy's."""
    plain = {str(key): _plain(value) for key, value in attrs.items() if key != DIGESTS}
    return json.dumps(plain, sort_keys=True, default=str).encode()


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _as_written(found: xr.Dataset) -> xr.Dataset:
    """Return a Dataset as it was before netCDF: texts as objects, plain attributes, no encoding."""
    texts = {
        name: variable.astype(object)
        for name, variable in found.coords.items()
        if variable.dtype.kind in _TEXTS
    }
    found = found.assign_coords(texts)
    holders: tuple[Any, ...] = (found, *found.variables.values())
    for holder in holders:
        holder.encoding = {}
        holder.attrs = {
            key: value.item() if isinstance(value, np.generic) else value
            for key, value in holder.attrs.items()
        }
    return found


def _require_possible(opened: xr.Dataset, path: Path, *, eager: bool) -> None:
    """Refuse a file that declares more than it can hold, before anything is allocated."""
    size, declared = path.stat().st_size, opened.nbytes
    if declared > _ROOM + _MOST_PACKED * size:
        reason = f"declares {declared / 1e6:.3g} MB, more than its {size / 1e6:.3g} MB can hold"
        raise FileError("HC-F17", reason, "get it again, or write it again with save_cube")
    if eager and declared > LARGEST:
        reason = f"holds {declared / 1e9:.3g} GB, more than {LARGEST / 1e9:.3g} GB"
        fix = "open it in chunks: open_cube(path, chunks={'y': 1024, 'x': 1024})"
        raise FileError("HC-F07", reason, fix)


def _require_digests(found: xr.Dataset, known: str) -> None:
    try:
        expected = dict(json.loads(known))
    except (ValueError, TypeError):
        expected = {}
    seen = digests_of(found)
    lazy = {str(name) for name, variable in found.variables.items() if variable.chunks}
    there = expected.keys() - lazy
    wrong = [name for name in sorted({*seen, *there}) if seen.get(name) != expected.get(name)]
    if wrong:
        what = wrong[0] or "its list of attributes"
        fix = "get it again, or write it again with save_cube"
        raise FileError("HC-F05", f"is damaged: {what} is not what was written", fix)


def _on_disk(path: Path, cube: xr.Dataset) -> bool:
    """Return whether the variables of a file are bit for bit those of the cube (netCDF4 alone)."""
    import netCDF4

    with netCDF4.Dataset(path) as file:
        file.set_auto_maskandscale(False)
        if set(file.variables) != set(map(str, cube.variables)):
            return False
        return all(
            _bytes(np.asarray(file.variables[str(name)][...]).astype(_raw(variable), copy=False))
            == _bytes(variable.values)
            for name, variable in cube.variables.items()
        )


def _raw(variable: xr.Variable) -> Any:
    return object if variable.dtype.kind in _TEXTS else variable.dtype


class _OnDisk:
    """A variable of a file, read in pieces, each under the lock: what dask takes for an array."""

    def __init__(self, path: Path, variable: xr.DataArray) -> None:
        self.path, self.name = path, str(variable.name)
        self.shape, self.dtype, self.ndim = variable.shape, variable.dtype, variable.ndim

    def __getitem__(self, key: Any) -> NDArray[Any]:
        import netCDF4

        with _LOCK, netCDF4.Dataset(self.path) as file:
            file.set_auto_maskandscale(False)
            return np.asarray(file.variables[self.name][key]).astype(self.dtype, copy=False)


def _lazy(path: Path, variable: xr.DataArray, chunks: Mapping[str, int]) -> tuple[Any, ...]:
    import dask.array as da

    sizes = tuple(chunks.get(str(dim), -1) for dim in variable.dims)
    source = _OnDisk(path, variable)
    name = f"{path.name}-{variable.name}-{path.stat().st_mtime_ns}-{path.stat().st_ino}"
    array = da.from_array(source, sizes, name=name, asarray=True, lock=False)
    return variable.dims, array, variable.attrs
