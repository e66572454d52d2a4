"""The door for files of every kind: regular, on this machine, and of a size that is known before.

What is no FITS file (recipes, catalogues, levels, curves, results, netCDF) comes in here; images go
on through `opening`. Nothing that a path can name makes a reader wait or fills the memory: pipes
and devices, addresses on the network, a compressed text that unpacks to gigabytes.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import tempfile
import threading
import weakref
from importlib import import_module
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from hstcube.errors import FileError
from hstcube.fits.reads import note_read

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = [
    "PACKERS",
    "Copied",
    "Extension",
    "Stored",
    "as_path",
    "changed",
    "entries",
    "kind_of",
    "missing",
    "not_there",
    "read_bytes",
    "read_text",
    "require_local",
    "split_extension",
    "version_of",
]

Extension = str | int | tuple[str, int]  # of a FITS file: name, number, name and version
PACKERS = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\xfd7zXZ": "lzma"}
_PIECE = 2**22  # bytes that are read at once
TEXT = 64 * 2**20  # bytes: a catalogue of half a million objects

_LONGEST_PATH = 4096  # characters: what Linux follows
_EXTENSION = re.compile(r"(.+\.\w+)\[\s*([^,\[\]]+?)\s*(?:,\s*(\d+)\s*)?\]")
_ONE = threading.Lock()  # of images that are read whole: one is in memory at a time
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


def missing(
    what: str, fix: str, *, file: str | Path = "", band: str = "", verb: str = "is"
) -> FileError:
    """Return the error for a file, folder, field or image that is needed and not there.

    Parameters
    ----------
    what : str
        What there is none of: "such file", "image of field 7".
    fix : str
        What to do.
    file, band : str
        Where it was looked for.
    verb : {"is", "are"}
        Of `what`.
    """
    return FileError("HC-F01", f"there {verb} no {what}", fix, str(file), band)


def unreadable(path: str | Path, error: Any, *, band: str = "", verb: str = "read") -> FileError:
    """Return the error for a file that may be there, but that the system does not give.

    Parameters
    ----------
    path : path
    error : OSError
        What the system said.
    band : str
        Whose file it is.
    verb : str
        What could not be done with it.
    """
    reason = f"cannot be {verb}: {getattr(error, 'strerror', None) or error}"
    return FileError("HC-F01", reason, "check the path and its permissions", str(path), band)


def as_path(path: Any) -> Path:
    """Return a path, of what can be one.

    Raises
    ------
    FileError
        If it is a number, None, bytes or anything else that names no file, or longer than any is.
    """
    try:
        named = Path(os.fspath(path))
    except TypeError as error:
        reason = f"{type(path).__name__} is not a path"
        raise FileError("HC-F01", reason, "give the name of a file") from error
    if len(str(named)) > _LONGEST_PATH:
        raise not_there(str(named), OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG)))
    return named


def entries(folder: Path, holding: str = "") -> list[Path]:
    """Return what a folder holds, by name; nothing where there is no such folder.

    Parameters
    ----------
    folder : Path
    holding : str
        Only what has this text in its name.

    Raises
    ------
    FileError
        If it may not be looked into.
    """
    try:
        there = folder.iterdir() if kind_of(folder) == "folder" else []
        found = [path for path in there if holding in path.name]
    except OSError as error:
        raise not_there(str(folder), error) from error
    return sorted(found, key=lambda path: path.name)  # paths themselves take five times as long


def kind_of(path: Path) -> str:
    """Return "folder", "file" or "other" (a pipe, a device); "" where there is nothing.

    Raises
    ------
    FileError
        If the system does not say: `Path.exists` raises its own errors there.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except (OSError, ValueError) as error:
        raise not_there(str(path), error) from error
    return "folder" if stat.S_ISDIR(mode) else "file" if stat.S_ISREG(mode) else "other"


def split_extension(path: Any) -> tuple[Path, Extension | None]:
    """Return the path of a FITS file and the extension that is named behind it, if one is.

    Examples
    --------
    >>> split_extension("jw_i2d.fits[SCI,1]")
    (PosixPath('jw_i2d.fits'), ('SCI', 1))
    >>> split_extension("a_drc.fits[2]"), split_extension("a[2]/b.fits")
    ((PosixPath('a_drc.fits'), 2), (PosixPath('a[2]/b.fits'), None))
    """
    named = as_path(path)
    found = _EXTENSION.fullmatch(named.name)
    if found is None or kind_of(named):
        return named, None
    file, name, version = found.groups()
    extension = int(name) if name.isdigit() else name
    return named.with_name(file), (name, int(version)) if version else extension


def require_local(path: str | Path, *, most: int | None = None) -> Path:
    """Return the path of a regular file of this machine.

    Parameters
    ----------
    path : path
    most : int, optional
        Bytes that it may have.

    Raises
    ------
    FileError
        If it is an address, is not there, is a folder, pipe or device, or is larger.
    """
    path = as_path(path)
    try:
        found = path.stat()
    except (OSError, ValueError) as error:  # a name of 5000 characters; a NUL in it
        raise not_there(str(path), error) from error
    if not stat.S_ISREG(found.st_mode):
        what = "a folder" if stat.S_ISDIR(found.st_mode) else "a pipe or a device"
        raise FileError("HC-F24", f"is {what}, not a file", "give a file", file=str(path))
    if most is not None and found.st_size > most:
        raise _too_large(path, found.st_size, most)
    note_read(path, found)
    return path


def read_text(path: str | Path, *, most: int = TEXT, unpack: bool = False) -> str:
    """Return a text file, UTF-8; see `read_bytes`.

    Raises
    ------
    FileError
        As `read_bytes`; and if it is not text.
    """
    data = read_bytes(path, most=most, unpack=unpack)
    try:
        text = data.decode("utf-8-sig")
        return text.replace("\r\n", "\n").replace("\r", "\n")  # lines of Windows, and of old Macs
    except UnicodeDecodeError as error:
        fix = "save it as text, UTF-8"
        raise FileError("HC-F30", f"is not text: {error.reason}", fix, file=str(path)) from error


def read_bytes(path: str | Path, *, most: int = TEXT, unpack: bool = False) -> bytes:
    """Return what a file holds.

    Parameters
    ----------
    path : path
    most : int
        Bytes that it may hold, also once it is unpacked.
    unpack : bool
        Unpack what gzip, bzip2 or xz packed.

    Raises
    ------
    FileError
        As `require_local`; if it cannot be read, or its packing is damaged.
    """
    path = require_local(path, most=most)
    try:
        data = path.read_bytes()
        packer = next((name for mark, name in PACKERS.items() if data.startswith(mark)), None)
        if not unpack or packer is None:
            return data
        with import_module(packer).open(path) as stream:
            data = stream.read(most + 1)
    except EOFError as error:
        reason = "is truncated: the compressed data break off"
        raise FileError("HC-F02", reason, "get it again", file=str(path)) from error
    except OSError as error:
        raise unreadable(path, error) from error
    except Exception as error:  # zlib.error, LZMAError: every packer has its own
        reason = f"is damaged: it cannot be unpacked ({error})"
        raise FileError("HC-F02", reason, "get it again", file=str(path)) from error
    if len(data) > most:
        raise _too_large(path, len(data), most)
    return bytes(data)


def not_there(path: str, error: Exception, what: str = "file") -> FileError:
    """Return the error for a path that the system does not follow."""
    if _ADDRESS.match(path):
        protocol, _, rest = path.partition(":")
        address = f"{protocol}://{rest.lstrip('/')}"  # of which a Path lost a slash
        copy = f"[[hstcube fetch {address} -o FOLDER|hstcube.fetch({address!r}, 'FOLDER')]]"
        reason = "is an address on the network; only what is on this machine is read"
        return FileError("HC-F21", reason, f"copy it: {copy}, and give the copy", file=path)
    shown = path if len(path) <= 200 else f"{path[:200]}..."  # noqa: PLR2004  a few lines
    if isinstance(error, FileNotFoundError):
        return missing(f"such {what}", "check the path", file=shown)
    return unreadable(repr(shown), error)


def _too_large(path: Path, size: int, most: int) -> FileError:
    reason = f"holds {size / 1e6:.3g} MB or more; files of its kind hold {most / 1e6:.3g} at most"
    return FileError("HC-F29", reason, "check that it is the file that is meant", file=str(path))


class Stored:
    """Pixels of an image in a file, read in pieces: what dask takes for an array of float32."""

    in_regions = True
    ndim = 2

    def __init__(
        self, path: Path, start: int, shape: tuple[int, int], kind: str, datasum: str
    ) -> None:
        self.path, self.start, self.kind, self.datasum = path, start, np.dtype(kind), datasum
        self.shape, self.dtype = shape, np.dtype(np.float32)
        self.state = version_of(path.stat())

    def __getitem__(self, key: tuple[slice, slice]) -> Any:
        (top, bottom, _), (left, right, _) = (
            one.indices(n) for one, n in zip(key, self.shape, strict=True)
        )
        piece = np.empty((max(bottom - top, 0), max(right - left, 0)), self.kind)
        start = self.start + self.kind.itemsize * (top * self.shape[1] + left)
        with self._opened() as file:
            if not _fill(piece, file.fileno(), start, self.shape[1]):
                raise FileError("HC-F02", "is truncated", "get it again", str(self.path))
        return piece.astype(np.float32)

    def require_sum(self) -> None:
        """Raise FileError if the pixels are not those of the card DATASUM, where there is one."""
        if not self.datasum.isdigit():
            return
        total, left = 0, self.kind.itemsize * self.shape[0] * self.shape[1]
        with self._opened() as file:
            file.seek(self.start)
            while left and (piece := file.read(min(left, _PIECE))):
                left -= len(piece)
                piece += b"\0" * (-len(piece) % 4)
                total += int(np.frombuffer(piece, ">u4").sum(dtype=np.uint64))
        if left or (total - int(self.datasum)) % (2**32 - 1):
            reason = "is damaged: DATASUM does not agree with the pixels"
            raise FileError("HC-F05", reason, "get it again", str(self.path))

    def _opened(self) -> IO[bytes]:
        try:
            file = self.path.open("rb", buffering=0)
        except OSError as error:
            raise unreadable(str(self.path), error) from error
        if version_of(os.fstat(file.fileno())) != self.state:
            file.close()
            raise changed(self.path)
        return file


class Copied:
    """An image that can only be read whole, in pieces: it is read once, and kept in a file.

    Another process makes a copy of its own. The file has no name: it ends with the image.
    """

    in_regions = True
    ndim = 2

    def __init__(self, read: Callable[[], NDArray[np.float32]], shape: tuple[int, int]) -> None:
        self.read, self.shape, self.dtype = read, shape, np.dtype(np.float32)
        self.copy: IO[bytes] | None = None

    def __getitem__(self, key: tuple[slice, slice]) -> Any:
        (top, bottom, _), (left, right, _) = (
            one.indices(n) for one, n in zip(key, self.shape, strict=True)
        )
        piece = np.empty((max(bottom - top, 0), max(right - left, 0)), self.dtype)
        start = self.dtype.itemsize * (top * self.shape[1] + left)
        if not _fill(piece, self._kept().fileno(), start, self.shape[1]):
            raise OSError(errno.EIO, "was cut short", tempfile.gettempdir())
        return piece

    def _kept(self) -> IO[bytes]:
        with _ONE:
            if self.copy is None:
                pixels = np.ascontiguousarray(self.read(), self.dtype)
                copy = tempfile.TemporaryFile()  # noqa: SIM115  as long as the image
                weakref.finalize(self, copy.close)
                pixels.tofile(copy)
                self.copy = copy
        return self.copy

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "copy": None}


def _fill(piece: NDArray[Any], file: int, start: int, width: int) -> bool:
    """Read a piece of an image in a file; return False where the file ends before it does.

    Parameters
    ----------
    piece : array, (y, x)
        To be filled.
    file : int
    start : int
        Where its first pixel lies [bytes].
    width : int
        Of the image [pixels].
    """
    if not piece.size:
        return True
    parts: Any = [piece] if piece.shape[1] == width else piece
    for part in parts:
        view, at = memoryview(part).cast("B"), start
        while view:
            number = os.preadv(file, [view], at)
            if not number:
                return False
            view, at = view[number:], at + number
        start += width * piece.itemsize
    return True


def changed(path: Path) -> FileError:
    """Return the error for a file that is not the one that was opened."""
    reason = "was replaced or changed since it was opened"
    return FileError("HC-F32", reason, "open it again", str(path))


def version_of(found: os.stat_result) -> tuple[int, int, int]:
    """Return what tells whether a file is the one that was opened, on other machines, too."""
    return found.st_ino, found.st_size, found.st_mtime_ns
