"""A cube as a zarr store (version 3) that is written block by block, and says when it is damaged.

Other programs read it as any zarr store. xarray writes what describes the arrays, and the small
ones; each block of an image is a file, packed by Blosc, made by the task that computes the block,
and compared with it. A marker that is written last holds size and SHA-256 of every file: a store
without it is not whole, for zarr itself takes a block that is missing for zeros.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hstcube.basics.digests import canonical, digests_of
from hstcube.core.rules import DIMS, PLANES, validate
from hstcube.errors import FileError, WriteError
from hstcube.fits.local import read_bytes, require_local
from hstcube.fits.writing import write_verified, written_folder
from hstcube.lazy.arrays import evaluated, lazily, sources_of
from hstcube.lazy.picks import picked
from hstcube.mosaics.stored import AGAIN, as_written, require_loadable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import xarray as xr
    from numpy.typing import NDArray

    from hstcube.lazy.nodes import At

    Sums = dict[str, list[Any]]  # size and SHA-256 of files, by their paths in the store

__all__ = ["MARKER", "SUFFIX", "read", "save"]

SUFFIX = ".zarr"
MARKER = "sci/hstcube.json"  # beside its blocks: zarr warns of what it does not know in a group
_ROOT = "zarr.json"  # what every zarr store of version 3 holds, and every array in it
_VERSION = 1  # of the marker, and of how blocks are packed
_SIDE, _WIDEST = 1024, 4096  # pixels of a block
_DIFFERS = "what was read back differs from what was written"
_FOREIGN = "[[|; xarray.open_zarr opens what another program wrote]]"
_MOST = 2**28  # bytes of a marker: of a million blocks


def save(cube: xr.Dataset, path: Path, *, overwrite: bool) -> Path:
    """Write a cube, of which every block is computed once; see `hstcube.save_cube`.

    Parameters
    ----------
    cube : Dataset
        With attributes that JSON can hold.
    path : path
    overwrite : bool

    Raises
    ------
    WriteError
        If the store exists or cannot be written, or JSON cannot hold what the cube does.
    FileError
        If a file that the pixels come from is not what its checksum says.
    """
    return written_folder(path, partial(_fill, cube, path), mark=_ROOT, overwrite=overwrite)


def _fill(cube: xr.Dataset, path: Path, part: Path) -> None:
    images = {str(name): image for name, image in cube.data_vars.items() if _is_image(image)}
    small = cube.drop_vars(images).compute().drop_encoding()
    sides = _sides(cube.variables["sci"])
    fix = "write FITS instead, and report it"
    try:
        _outline(small, {name: image.variable for name, image in images.items()}, sides, part)
    except (TypeError, ValueError, OverflowError) as error:
        reason = f"zarr cannot hold what the cube does: {error}"
        raise WriteError("HC-O21", reason, fix, str(path)) from error
    sums = {str(file.relative_to(part)): _synced(file) for file in _files(part)}
    if not _holds(_opened(part), small, images):
        raise WriteError("HC-O21", "what was read back differs from the cube", fix, str(path))
    for dims in (DIMS, DIMS[1:]):
        alike = {name: image.data for name, image in images.items() if image.dims == dims}
        sums |= _written(alike, sides, part)
    told = {"version": _VERSION, "variables": [str(name) for name in cube.data_vars], "files": sums}
    data = json.dumps(told).encode()
    line = json.dumps({"sha256": hashlib.sha256(data).hexdigest()}).encode()
    write_verified(part / MARKER, line + b"\n" + data)


def _is_image(variable: xr.DataArray) -> bool:
    return variable.dims in (DIMS, DIMS[1:]) and variable.dtype.kind in "biuf"


def _sides(image: xr.Variable) -> tuple[int, int]:
    """Return rows and columns of a block: the image's own where zarr can have them."""
    own = (image.chunks or ((),) * image.ndim)[-2:]
    sides = []
    for size, lengths in zip(image.shape[-2:], own, strict=True):
        even = lengths and len({*lengths[:-1], max(lengths)}) == 1 and lengths[0] <= _WIDEST
        sides.append(min(lengths[0] if even else _SIDE, size))
    return sides[0], sides[1]


def _outline(
    small: xr.Dataset, images: Mapping[str, xr.Variable], sides: tuple[int, int], part: Path
) -> None:
    """Write what is small, and what describes the images, of which there are no pixels yet."""
    import dask.array as da
    from zarr.codecs import BloscCodec

    light = BloscCodec(cname="lz4", clevel=1, shuffle="shuffle")
    encoding: dict[Any, Any] = {name: {"_FillValue": None} for name in small.variables}
    planes = {}
    for name, image in images.items():
        blocks = (1, *sides)[-image.ndim :]
        kind = image.dtype.newbyteorder("<")
        empty = da.empty(image.shape, dtype=kind, chunks=blocks)
        planes[name] = (image.dims, empty, image.attrs)
        encoding[name] = {"_FillValue": None, "chunks": blocks, "compressors": [light]}
    told = small.assign(planes)
    told.to_zarr(part, zarr_format=3, consolidated=False, compute=False, encoding=encoding)


def _holds(found: xr.Dataset, small: xr.Dataset, images: Mapping[str, xr.DataArray]) -> bool:
    """Return whether what is there is the same, the pixels of images left out."""
    alike = all(canonical(found[name].attrs) == canonical(images[name].attrs) for name in images)
    return alike and digests_of(found.drop_vars(images).load()) == digests_of(small)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _synced(path: Path) -> list[Any]:
    with path.open("rb") as file:
        os.fsync(file.fileno())
        return _sum_of(file.read())


def _sum_of(data: bytes) -> list[Any]:
    return [len(data), hashlib.sha256(data).hexdigest()]


def _written(images: Mapping[str, Any], sides: tuple[int, int], part: Path) -> Sums:
    """Compute all blocks of images of one shape, each once, and write them."""
    if not images:
        return {}
    for source in sources_of(images.values()):
        source.require_sum()
    arrays = [image if image.ndim == len(DIMS) else image[None] for image in images.values()]
    bands = range(arrays[0].shape[0])
    rows = range(-(-arrays[0].shape[1] // sides[0]))
    places = {name: _Place(part, name, image.ndim, sides) for name, image in images.items()}
    for place, band, row in product(places.values(), bands, rows):
        # now, for a task that outlives an error must not make them again
        (part / place.key(band, row, 0)).parent.mkdir(parents=True, exist_ok=True)
    kinds = [image.dtype for image in images.values()]
    write = partial(_write_block, list(places.values()), kinds)
    found: Sums = {}
    for sums in evaluated(write, arrays, sides):
        found |= sums
    return found


class _Place(NamedTuple):
    """Where the blocks of an image lie."""

    store: Path
    name: str
    ndim: int
    sides: tuple[int, int]

    def key(self, band: int, row: int, column: int) -> str:
        """Return the path of a block in the store, by its number."""
        return "/".join(map(str, (self.name, "c", *(band, row, column)[-self.ndim :])))


def _write_block(places: list[_Place], kinds: list[Any], at: At, *blocks: Any) -> Sums:
    sums = {}
    for place, kind, block in zip(places, kinds, blocks, strict=True):
        tile = np.zeros(place.sides, np.dtype(kind).newbyteorder("<"))  # blocks of zarr are full
        tile[: at.bottom - at.top, : at.right - at.left] = block[0]
        data = bytes(_packer().encode(tile))
        key = place.key(at.band, at.top // place.sides[0], at.left // place.sides[1])
        write_verified(place.store / key, data)
        if _packer().decode(data) != tile.tobytes():
            raise OSError(errno.EIO, _DIFFERS, str(place.store / key))
        sums[key] = _sum_of(data)
    return sums


def _packer() -> Any:
    from numcodecs import Blosc

    return Blosc(cname="lz4", clevel=1, shuffle=Blosc.SHUFFLE)


def read(path: Path, *, chunks: Mapping[str, int] | None = None) -> tuple[xr.Dataset, bool]:
    """Return the Dataset of a store, and True: digests vouch for it.

    Parameters
    ----------
    path : path
    chunks : mapping, optional
        Leave images on disk until they are computed, in chunks of so many pixels. What is small is
        compared with its digests now, as is the size of every block; a block when it is first read.

    Raises
    ------
    FileError
        If there is no marker, or the store is not what it tells, or too large to be read at once.
    CubeError
        If there is no marker, and what is there is no cube.
    """
    import xarray as xr

    if not any((path / name).exists() for name in (_ROOT, ".zgroup")):
        raise FileError("HC-F04", f"is not a zarr store: it has no {_ROOT}", AGAIN)
    if not (path / MARKER).exists():
        if not (path / PLANES[0]).is_dir():
            validate(xr.Dataset())  # says that this is no cube
        reason = f"has no {MARKER}: nothing tells whether it is whole"
        raise FileError("HC-F36", reason, f"{AGAIN}{_FOREIGN}")
    require_local(path / _ROOT)
    names, sums = _told(path)
    images = {name for name in names if f"{name}/c/0/0/0" in sums or f"{name}/c/0/0" in sums}
    _require_files(path, sums, images)
    found = _opened(path)
    if chunks is None:
        require_loadable(found.nbytes)
    sources = {name: _OnDisk(path, found[name], sums) for name in images & {*names}}
    small = found.drop_vars(images).load()
    planes = {}
    for name, source in sources.items():
        sizes = tuple((chunks or {}).get(dim, -1) for dim in source.dims)
        pixels = source[(slice(None),) * source.ndim] if chunks is None else lazily(source, sizes)
        planes[name] = (source.dims, pixels, found[name].attrs)
    cube = as_written(small.assign(planes))
    return cube[names].assign_coords(cube.coords), True


def _told(path: Path) -> tuple[list[str], Sums]:
    """Return what the marker says: the variables, and the sums of all files."""
    line, _, data = read_bytes(path / MARKER, most=_MOST).partition(b"\n")
    try:
        whole = json.loads(line)["sha256"] == hashlib.sha256(data).hexdigest()
        told = json.loads(data) if whole else {}
    except (ValueError, KeyError, TypeError, RecursionError):
        told = {}
    if not told:
        raise FileError("HC-F05", f"is damaged: {MARKER} is not what was written", AGAIN)
    if told["version"] != _VERSION:
        reason = f"is of another version of hstcube ({MARKER} says {told['version']})"
        raise FileError("HC-F04", reason, "open it with a newer version of hstcube")
    return list(told["variables"]), dict(told["files"])


def _require_files(path: Path, sums: Sums, images: set[str]) -> None:
    """Refuse files that are missing or of another size; and small ones that were changed."""
    for key, (size, _) in sums.items():
        try:
            found = (path / key).stat()
        except OSError as error:
            reason = f"is damaged: {key} is missing ({error.strerror})"
            raise FileError("HC-F05", reason, AGAIN) from error
        if not stat.S_ISREG(found.st_mode) or found.st_size != size:
            raise _changed(key, path)
    for key in sums:
        name, *rest = key.split("/")
        if name not in images or rest[0] != "c":
            _require_sum((path / key).read_bytes(), sums[key], key, path)


def _require_sum(data: bytes, known: Any, key: str, path: Path) -> None:
    if _sum_of(data) != known:
        raise _changed(key, path)


def _changed(key: str, path: Path) -> FileError:
    return FileError("HC-F05", f"is damaged: {key} is not what was written", AGAIN, str(path))


def _opened(path: Path) -> xr.Dataset:
    import xarray as xr

    found: xr.Dataset = xr.open_zarr(path, zarr_format=3, consolidated=False, chunks=None)
    return found


class _OnDisk:
    """An image of a store, read in pieces: what dask takes for an array."""

    in_regions = True

    def __init__(self, path: Path, image: xr.DataArray, sums: Sums) -> None:
        self.path, self.state = path, _state_of(path)
        self.shape, self.dtype, self.ndim = image.shape, image.dtype, image.ndim
        self.dims = tuple(map(str, image.dims))
        rows, columns = image.encoding["chunks"][-2:]
        self.place = _Place(path, str(image.name), self.ndim, (rows, columns))
        self.sums = {key: known for key, known in sums.items() if key.startswith(f"{image.name}/c")}
        self.compared: set[str] = set()

    def __getitem__(self, key: Any) -> NDArray[Any]:
        return picked(key, self.shape, self.dtype, self._read)

    def _read(self, *ranges: tuple[int, int]) -> NDArray[Any]:
        whole = [np.arange(*ends) for ends in ranges]
        return self._box(*whole) if self.ndim == len(DIMS) else self._box(np.arange(1), *whole)[0]

    def _box(self, bands: Any, rows: Any, columns: Any) -> NDArray[Any]:
        """Return what the blocks hold in a range of bands, rows and columns."""
        box = np.empty((len(bands), len(rows), len(columns)), self.dtype)
        tall, wide = self.place.sides
        for band, j, k in product(bands, {*(rows // tall)}, {*(columns // wide)}):
            top, left = max(rows[0], j * tall), max(columns[0], k * wide)
            bottom = min(rows[-1] + 1, (j + 1) * tall)
            right = min(columns[-1] + 1, (k + 1) * wide)
            tile = self._tile(self.place.key(band, j, k))
            inner = tile[top - j * tall : bottom - j * tall, left - k * wide : right - k * wide]
            into = box[band - bands[0], top - rows[0] : bottom - rows[0]]
            into[:, left - columns[0] : right - columns[0]] = inner
        return box

    def _tile(self, key: str) -> NDArray[Any]:
        """Return a block; it is compared with its digest when it is read for the first time."""
        try:
            if _state_of(self.path) != self.state:
                reason = "was replaced or changed since it was opened"
                raise FileError("HC-F32", reason, "open it again", str(self.path))
            data = (self.path / key).read_bytes()
        except OSError as error:
            reason = f"is damaged: {key} cannot be read ({error.strerror})"
            raise FileError("HC-F05", reason, AGAIN, str(self.path)) from error
        if key not in self.compared:
            _require_sum(data, self.sums.get(key), key, self.path)
            self.compared.add(key)
        kind = self.dtype.newbyteorder("<")
        tile: NDArray[Any] = np.frombuffer(_packer().decode(data), kind)
        return tile.reshape(self.place.sides)


def _state_of(path: Path) -> tuple[int, int]:
    found = (path / MARKER).stat()
    return found.st_ino, found.st_mtime_ns
