"""A cube as netCDF that says when it is damaged, and that threads cannot crash.

FITS has CHECKSUM and DATASUM; netCDF has nothing for a whole file. Here an attribute of the file
holds a SHA-256 of each variable (values; and dims, type, attributes) and of the file's own
attributes, and what is read is compared with it; a seal behind the end is looked at first, for a
damaged file may crash the library. Blocks of images bear HDF5's Fletcher-32 besides. netCDF-C is
not thread-safe: whatever touches it here does so under one lock.
"""

from __future__ import annotations

import json
import threading
import zlib
from itertools import product
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hstcube.basics.digests import ROWS, TEXTS, bytes_of, canonical, digests_of, slab_sums
from hstcube.core.grids import Grid
from hstcube.core.rules import REPLACED, taken, validate
from hstcube.core.state import warn
from hstcube.core.wcs_cards import checked_cards, plain_value
from hstcube.errors import FileError, HstCubeError, WriteError, is_slip
from hstcube.fits.local import as_path, kind_of, require_local
from hstcube.fits.reads import is_broken, seal
from hstcube.fits.writing import require_room_after_all, written_whole
from hstcube.inputs.arrays import chunk_sizes
from hstcube.interrupts import held_back
from hstcube.mosaics import zarr_store
from hstcube.mosaics.stored import (
    AGAIN,
    IN_CHUNKS,
    as_written,
    require_loadable,
    with_plain_attrs,
    with_state,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import xarray as xr
    from numpy.typing import NDArray

__all__ = ["CUBES", "DIGESTS", "netcdf_writer", "open_cube", "read", "save_cube", "set_of", "write"]

CUBES = (".nc", zarr_store.SUFFIX)  # how the names of saved cubes end
SET = "hstcube_set"  # the attribute that names the set of files that one was written with

DIGESTS = "hstcube_digests"  # the attribute that holds them, as JSON: name to SHA-256
SLABS = "hstcube_slabs"  # CRC-32 of rows of images, for who reads them piece by piece
SEALED = 2**28  # bytes: the seal of larger files that are read lazily is not looked at

_LOCK = threading.RLock()
_MOST_PACKED = 1100  # deflate packs at most 1032 bytes into one (zlib's own documentation)
_ROOM = 2**20  # bytes that any file may hold


def save_cube(cube: xr.Dataset, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write a cube as one netCDF file or one zarr store, compressed without loss.

    Parameters
    ----------
    cube : Dataset
        One in chunks is written to a zarr store block by block, and never whole in memory.
    path : path
        Ends in ``.nc``, or in ``.zarr`` for a store (zarr v3), which is a folder.
    overwrite : bool
        Replace what exists: a file, or the whole store.

    Raises
    ------
    WriteError
        If the file or store exists or cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> import hstcube
    >>> path = hstcube.save_cube(hstcube.example(), tempfile.mkdtemp() + "/demo.nc")
    >>> hstcube.open_cube(path).equals(hstcube.example())
    True
    """
    cube = taken(cube)
    path = as_path(path)
    if path.suffix == zarr_store.SUFFIX:
        return zarr_store.save(with_plain_attrs(with_state(cube)), path, overwrite=overwrite)
    return written_whole(path, netcdf_writer(cube, path), overwrite=overwrite)


def netcdf_writer(cube: xr.Dataset, path: Path, *, of_set: str = "") -> Callable[[Path], None]:
    """Return what writes a cube as netCDF; the errors that it raises name `path`.

    Parameters
    ----------
    cube : Dataset
    path : path
        The name that the file gets.
    of_set : str
        What `set_id` says of the files that it is written with.
    """
    whole = with_plain_attrs(with_state(cube)).compute()
    if of_set:
        whole = whole.assign_attrs({SET: of_set})

    def into(part: Path) -> None:
        fix = "write FITS instead, and report it"
        try:
            same = write(whole, part)
        except (OSError, RuntimeError) as error:
            # the HDF5 library's words do not tell a full disk
            require_room_after_all(part.parent)
            reason = f"cannot be written: {error}"
            raise WriteError(
                "HC-O02", reason, "make room, or choose another folder", str(path)
            ) from error
        except (TypeError, ValueError, OverflowError) as error:
            reason = f"netCDF cannot hold what the cube does: {error}"
            raise WriteError("HC-O21", reason, fix, str(path)) from error
        if not same:
            raise WriteError("HC-O21", "what was read back differs from the cube", fix, str(path))

    return into


def open_cube(
    path: str | Path, *, chunks: Mapping[str, int] | int | Literal["auto"] | None = None
) -> xr.Dataset:
    """Open a cube that `save_cube` wrote.

    Parameters
    ----------
    path : path
    chunks : mapping, int or "auto", optional
        Open lazily with dask, in chunks of so many pixels: ``{"y": 1024, "x": 1024}``. Of a zarr
        store, coordinates and the presence and size of all blocks are compared with what was
        written now, each block itself when it is first read.

    Returns
    -------
    Dataset
        Its warnings say so where nothing in the file tells whether it is whole: one that another
        program wrote, or hstcube 0.1.

    Raises
    ------
    FileError
        If the file is missing, damaged or foreign, or holds more than memory may take.
    CubeError, GridError, BandError, NoiseError
        If it holds no cube, or an impossible one.

    Examples
    --------
    >>> import tempfile
    >>> import hstcube
    >>> path = hstcube.save_cube(hstcube.example(), tempfile.mkdtemp() + "/demo.nc")
    >>> hstcube.open_cube(path).sizes["band"]
    9
    >>> hstcube.open_cube(path, chunks={"y": 50}).sci.chunks is not None
    True
    """
    path = as_path(path)
    store = path.suffix == zarr_store.SUFFIX and kind_of(path) == "folder"
    path = path if store else require_local(path)
    try:
        sizes = chunk_sizes(chunks)
        found, vouched = (zarr_store.read if store else read)(path, chunks=sizes)
        found.attrs.pop(SET, None)
        cube = with_state(found)
        cube = cube.assign({n: cube[n].astype(bool) for n in {"mask", REPLACED} & {*cube}})
        validate(cube)
        _require_place(cube)
    except HstCubeError as error:
        error.at(file=str(path))
        raise
    except MemoryError as error:
        reason = "does not fit into the memory that is left"
        raise FileError("HC-O15", reason, IN_CHUNKS, str(path)) from error
    except Exception as error:  # what the libraries raise for what is damaged is anything
        if is_slip(error):
            raise
        what = "a zarr store" if store else "a netCDF file"
        reason = f"is not {what} that can be read ({error})"
        raise FileError("HC-F04", reason, AGAIN, str(path)) from error
    if not vouched:
        text = f"{path.name} has no digests: nothing tells whether it is whole"
        cube = warn(cube, "HC-F31", text)
    return cube


def set_of(path: Path) -> str:
    """Return what ties a netCDF file to others that were written with it; "" where nothing does."""
    import netCDF4

    try:
        with _LOCK, netCDF4.Dataset(path) as file:
            return str(file.getncattr(SET)) if SET in file.ncattrs() else ""
    except (OSError, RuntimeError):
        return ""


def _require_place(cube: xr.Dataset) -> None:
    """Refuse a WCS that wcslib does, and one that is not the one that was written."""
    checked_cards(dict(Grid.of(cube).cards))
    written = Grid((0, 0), tuple((k, plain_value(k, v)) for k, v in cube.wcs.attrs.items()))
    if written.fingerprint != int(cube.wcs):
        raise FileError("HC-F05", "is damaged: its WCS is not what was written", AGAIN)


def write(cube: xr.Dataset, path: Path) -> bool:
    """Write a cube whose pixels are in memory; return whether what was read back is the same.

    Parameters
    ----------
    cube : Dataset
        With attributes that netCDF can hold: texts and numbers.
    path : path
        There must be no file yet.

    Raises
    ------
    OSError, RuntimeError
        As the libraries say that the disk is full.
    TypeError, ValueError, OverflowError
        If netCDF cannot hold what the cube does.
    """
    images = {str(name): image.values for name, image in cube.data_vars.items() if image.ndim > 2}  # noqa: PLR2004
    sums = {name: slab_sums(image) for name, image in images.items()}
    told = cube.drop_encoding().assign_attrs({SLABS: json.dumps(sums)})  # of zarr, say
    packed = {"zlib": True, "complevel": 1, "shuffle": True, "fletcher32": True}
    encoding: dict[str, dict[str, Any]] = {str(name): packed for name in cube.data_vars}
    vouched = told.assign_attrs({DIGESTS: json.dumps(digests_of(told))})
    with _LOCK, held_back():
        vouched.to_netcdf(path, engine="netcdf4", encoding=encoding)
        seal(path)
        if _on_disk(path, told):
            return True
    try:  # what xarray writes otherwise than it gives it back, such as times
        return read(path)[0].identical(cube)
    except FileError:
        return False


def read(path: Path, *, chunks: Mapping[str, int] | None = None) -> tuple[xr.Dataset, bool]:
    """Return the Dataset of a file, and whether digests vouch for it.

    Parameters
    ----------
    path : path
    chunks : mapping, optional
        Leave images on disk until they are computed, in chunks of so many pixels; only coordinates
        and attributes are compared with their digests then, blocks of images with their Fletcher-32
        when they are read. A file that is not the one that was opened is refused then.

    Raises
    ------
    FileError
        If the file declares more than it can hold or memory may take, or is damaged.
    """
    import xarray as xr

    if (chunks is None or path.stat().st_size < SEALED) and is_broken(path):
        raise FileError("HC-F05", "is damaged: it is not what was written", AGAIN)
    with _LOCK, held_back(), xr.open_dataset(path, engine="netcdf4", cache=False) as opened:
        _require_possible(opened, path, eager=chunks is None)
        if chunks is None:
            found = opened.load()
        else:
            sums = json.loads(opened.attrs.get(SLABS, "{}"))
            images = {n: _lazy(path, opened[n], chunks, sums.get(n)) for n in opened.data_vars}
            found = opened.drop_vars(images).load().assign(images)
    found = as_written(found)
    known = found.attrs.pop(DIGESTS, None)
    if known is not None:
        _require_digests(found, known)
    found.attrs.pop(SLABS, None)
    return found, known is not None


def _require_possible(opened: xr.Dataset, path: Path, *, eager: bool) -> None:
    """Refuse a file that declares more than it can hold, before anything is allocated."""
    size, declared = path.stat().st_size, opened.nbytes
    if declared > _ROOM + _MOST_PACKED * size:
        reason = f"declares {declared / 1e6:.3g} MB, more than its {size / 1e6:.3g} MB can hold"
        raise FileError("HC-F17", reason, AGAIN)
    if eager:
        require_loadable(declared)


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
        what = wrong[0].rstrip(":") or "its list of attributes"
        raise FileError("HC-F05", f"is damaged: {what} is not what was written", AGAIN)


def _on_disk(path: Path, cube: xr.Dataset) -> bool:
    """Return whether a file holds the cube bit for bit, read with netCDF4 alone: that is faster."""
    import netCDF4

    with netCDF4.Dataset(path) as file:
        file.set_auto_maskandscale(False)
        if set(file.variables) != set(map(str, cube.variables)) or not _says(file, cube.attrs):
            return False
        return all(
            _says(file.variables[str(name)], variable.attrs)
            and bytes_of(
                np.asarray(file.variables[str(name)][...]).astype(_raw(variable), copy=False)
            )
            == bytes_of(variable.values)
            for name, variable in cube.variables.items()
        )


def _says(holder: Any, attrs: Mapping[Any, Any]) -> bool:
    """Return whether a file or a variable has these attributes, beside those that xarray adds."""
    there = set(holder.ncattrs())
    if not there.issuperset(map(str, attrs)):
        return False
    return canonical({key: holder.getncattr(str(key)) for key in attrs}) == canonical(attrs)


def _raw(variable: xr.Variable) -> Any:
    return object if variable.dtype.kind in TEXTS else variable.dtype


class _OnDisk:
    """A variable of a file, read in pieces, each under the lock: what dask takes for an array."""

    def __init__(self, path: Path, variable: xr.DataArray, sums: Any) -> None:
        self.path, self.name, self.state = path, str(variable.name), _state(path)
        self.shape, self.dtype, self.ndim = variable.shape, variable.dtype, variable.ndim
        self.sums = sums  # of slabs; those that were compared are None

    def __getitem__(self, key: Any) -> NDArray[Any]:
        import netCDF4

        try:
            with _LOCK, netCDF4.Dataset(self.path) as file:
                if _state(self.path) != self.state:
                    reason = "was replaced or changed since it was opened"
                    raise FileError("HC-F32", reason, "open it again", str(self.path))
                file.set_auto_maskandscale(False)
                self._compare(file.variables[self.name], key)
                return np.asarray(file.variables[self.name][key]).astype(self.dtype, copy=False)
        except (OSError, RuntimeError, KeyError) as error:
            reason = f"is damaged: {self.name} cannot be read ({error})"
            raise FileError("HC-F05", reason, AGAIN, str(self.path)) from error

    def _compare(self, variable: Any, key: Any) -> None:
        """Compare the slabs that a piece lies in with their sums, each once."""
        bands, rows = (np.atleast_1d(np.arange(n)[k]) for n, k in zip(self.shape, key[:2]))  # noqa: B905
        for band, slab in product(bands.tolist() if self.sums else (), {*(rows // ROWS).tolist()}):
            wanted = self.sums[band][slab]
            if wanted is None:
                continue
            values = np.asarray(variable[band, slab * ROWS : (slab + 1) * ROWS])
            if zlib.crc32(bytes_of(values.astype(self.dtype, copy=False))) != wanted:
                reason = f"is damaged: {self.name} is not what was written"
                raise FileError("HC-F05", reason, AGAIN, str(self.path))
            self.sums[band][slab] = None


def _state(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _lazy(path: Path, variable: xr.DataArray, chunks: Mapping[str, int], sums: Any) -> Any:
    import dask.array as da

    sizes = tuple(chunks.get(str(dim), -1) for dim in variable.dims)
    source = _OnDisk(path, variable, sums)
    name = "-".join(map(str, (path.name, variable.name, *source.state)))
    array = da.from_array(source, sizes, name=name, asarray=True, lock=False)
    return variable.dims, array, variable.attrs
