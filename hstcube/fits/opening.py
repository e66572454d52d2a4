"""A FITS file opened: unpacked, and its headers walked, byte by byte, before astropy sees them.

Sizes that headers declare are compared with a memory budget here, before anything is allocated; and
this is where what astropy and the system raise becomes errors of ours.
"""

from __future__ import annotations

import errno
import io
import os
import stat
import warnings
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hstcube.errors import FileError, HstCubeError, is_slip
from hstcube.fits.headers import data_sizes, padded, plain_header
from hstcube.fits.local import PACKERS, not_there, unreadable
from hstcube.fits.reads import note_read
from hstcube.fits.units import BLOCK

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from astropy.io import fits
    from numpy.typing import NDArray

__all__ = [
    "PlainImage",
    "headers_of",
    "located",
    "opened",
    "opened_by_header",
    "plain_image",
    "require_budget",
]

# bytes that one image may take in memory, and one compressed file once it is unpacked
LARGEST_PLANE = 4 * 2**30

_PIECE = 2**20  # bytes unpacked at a time
_OF_THE_SYSTEM = (
    errno.ENOENT,
    errno.EACCES,
    errno.EPERM,
    errno.EISDIR,
    errno.ENOTDIR,
    errno.ELOOP,
    errno.EIO,
    errno.EMFILE,
)


class located:  # noqa: N801  a context manager, used like a function
    """Add file and band to errors of ours, and turn what astropy and the system raise into them.

    What is raised by a line of hstcube itself says nothing about the file: it is a mistake of ours,
    and passed on as it is.
    """

    def __init__(self, path: Path, band: str = "") -> None:
        self.path = path
        self.band = band

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> None:
        if isinstance(error, HstCubeError):
            error.at(file=str(self.path), band=self.band)
        elif isinstance(error, Exception) and not is_slip(error):
            raise _as_ours(error, str(self.path), self.band) from error


def _as_ours(error: Exception, file: str, band: str) -> FileError:
    """Return what astropy or the system raised as an error of ours."""
    if isinstance(error, OSError) and error.errno in _OF_THE_SYSTEM:
        return unreadable(file, error, band=band)
    if isinstance(error, MemoryError):
        fix = "cut the piece that is wanted out of it, or use a machine with more memory"
        return FileError("HC-O15", "does not fit into the memory that is left", fix, file, band)
    reason = f"is not a FITS file that can be read ({type(error).__name__}: {error})"
    return FileError("HC-F04", reason, "open it with astropy.io.fits, or get it again", file, band)


class opened:  # noqa: N801  a context manager, used like a function
    """Open a FITS file; what astropy warns of is either judged here or of no consequence.

    A compressed file is unpacked first, as far as its headers declare. The headers of any other are
    walked, since astropy may loop for ever over sizes that are impossible. `how` goes to
    `astropy.io.fits.open`.
    """

    def __init__(self, path: Path, **how: Any) -> None:
        self.path = path
        self.how = how
        self.quiet = warnings.catch_warnings()

    def __enter__(self) -> fits.HDUList:
        from astropy.io import fits

        _require_regular(self.path)
        # ours to close: astropy leaves it open when it fails
        self.handle: IO[bytes] = self.path.open("rb")
        note_read(self.path, os.fstat(self.handle.fileno()))
        start = self.handle.read(80)
        self.handle.seek(0)
        if not start.startswith((b"SIMPLE  =", *PACKERS)):
            self.handle.close()
            said = f"starts with {start[:20]!r}" if start else "is empty"
            raise FileError("HC-F04", f"is not a FITS file ({said})", "get it again")
        self.quiet.__enter__()
        warnings.simplefilter("ignore")
        try:
            self._prepare(start)
            self.hdus = fits.open(self.handle, memmap=False, lazy_load_hdus=True, **self.how)
        except BaseException:
            self._close()
            raise
        return self.hdus

    def __exit__(self, *error: object) -> None:
        try:
            self.hdus.close()
        finally:
            self._close()

    def _prepare(self, start: bytes) -> None:
        """Unpack a compressed file; walk the headers of a plain one."""
        packer = next((name for mark, name in PACKERS.items() if start.startswith(mark)), None)
        if packer is not None:
            with self.handle as packed:
                self.handle = _unpacked(packed, packer)
        else:
            for size in data_sizes(self.handle):
                self.handle.seek(padded(size), io.SEEK_CUR)
            self.handle.seek(0)

    def _close(self) -> None:
        self.handle.close()
        self.quiet.__exit__(None, None, None)


class PlainImage(NamedTuple):
    """A file that is one image, to the byte: what there is of it where astropy has an HDU."""

    header: dict[str, Any]
    shape: tuple[int, int]
    data: NDArray[np.float32] | None
    """None where the pixels were not asked for."""
    is_image: bool = True


def plain_image(path: Path, *, pixels: bool = True) -> PlainImage | None:
    """Read a file that is a plain header and its pixels, to the byte; None for any other.

    What is None here, and what cannot be read, is for `opened`.
    """
    try:
        if path.suffix == ".fz" or not stat.S_ISREG(path.stat().st_mode):
            return None
        with path.open("rb") as file:
            header = plain_header(file)
            return None if header is None else _plain_pixels(path, file, header, pixels=pixels)
    except (OSError, ValueError, MemoryError):
        return None


def _plain_pixels(
    path: Path, file: IO[bytes], header: dict[str, Any], *, pixels: bool
) -> PlainImage | None:
    shape = header["NAXIS2"], header["NAXIS1"]
    if any(type(side) is not int or side < 2 for side in shape):  # noqa: PLR2004  no image
        return None
    found, size = os.fstat(file.fileno()), 4 * shape[0] * shape[1]
    start = file.tell()
    if size > LARGEST_PLANE or found.st_size != start + padded(size):
        return None
    image = np.fromfile(file, ">f4", size // 4) if pixels else None
    file.seek(start + size)
    if file.read() != bytes(padded(size) - size):
        return None
    note_read(path, found)
    native = None if image is None else image.reshape(shape).astype(np.float32)
    return PlainImage(header, shape, native)


def headers_of(path: Path) -> Iterator[fits.Header]:
    """Yield the headers of a FITS file, one by one; no pixels are kept, of a packed file either.

    Raises
    ------
    FileError
        If the file is missing, or a header is none.
    """
    import importlib

    from astropy.io import fits

    _require_regular(path)
    with path.open("rb") as file:
        start = file.read(8)
        file.seek(0)
        packer = next((name for mark, name in PACKERS.items() if start.startswith(mark)), None)
        stream = importlib.import_module(packer).open(file) if packer else file
        kept = io.BytesIO()
        for size in data_sizes(_Kept(stream, kept)):
            yield fits.Header.fromstring(kept.getvalue())
            stream.seek(padded(size), io.SEEK_CUR)
            kept.seek(0)
            kept.truncate()


def _require_regular(path: Path) -> None:
    try:
        there = path.exists()
    except (OSError, ValueError) as error:  # a name of 5000 characters; a NUL in it
        raise not_there(str(path), error) from error
    if not there:
        raise not_there(str(path), FileNotFoundError())
    if not path.is_file():
        raise FileError("HC-F24", "is not a regular file", "give a FITS file")


def _unpacked(packed: IO[bytes], packer: str) -> io.BytesIO:
    """Decompress a file as far as its headers declare pixels, and no further.

    Raises
    ------
    FileError
        If it ends earlier, goes on for longer, or is larger than the budget.
    """
    import importlib

    content = io.BytesIO()
    with importlib.import_module(packer).open(packed) as stream:
        source = _Kept(stream, content)
        try:
            for size in data_sizes(source):
                require_budget(content.tell() + size, "the file declares")
                source.skip(padded(size))
            if source.read(BLOCK) and stream.read(1):
                declared = f"the {content.tell() / 1e6:.3g} MB that its headers declare"
                raise FileError(
                    "HC-F17",
                    f"goes on, once unpacked, beyond {declared}",
                    "get it again; do not unpack it: it may fill the disk",
                )
        except EOFError as error:
            raise FileError(
                "HC-F02", "is truncated: the compressed data break off", "get it again"
            ) from error
    content.seek(0)
    return content


class _Kept:
    """A stream whose bytes are kept as they are read."""

    def __init__(self, stream: IO[bytes], content: io.BytesIO) -> None:
        self.stream = stream
        self.content = content

    def read(self, size: int) -> bytes:
        piece = self.stream.read(size)
        self.content.write(piece)
        return piece

    def skip(self, size: int) -> None:
        while size > 0 and (piece := self.read(min(size, _PIECE))):
            size -= len(piece)


def require_budget(size: int, what: str) -> None:
    """Raise FileError if an image would take more memory than one may.

    Parameters
    ----------
    size : int
        Of the image [bytes].
    what : str
        The beginning of the reason, to which the size is added.
    """
    if size > LARGEST_PLANE:
        raise FileError(
            "HC-F07",
            f"{what} {size / 1e9:.3g} GB, more than the {LARGEST_PLANE / 1e9:.3g} GB that an image "
            "may take",
            "cut the piece that is wanted out of it"
            "[[|; or raise hstcube.fits.opening.LARGEST_PLANE]]",
        )


def opened_by_header(path: Path) -> Any:
    """Open a FITS file for its headers; refuse one that must be unpacked to find its pixels.

    Raises
    ------
    FileError
        If it is compressed.
    """
    if path.suffix in (".gz", ".fz", ".bz2", ".xz"):
        raise FileError(
            "HC-F28",
            "is compressed: its pixels cannot be read piece by piece",
            f"unpack it: {path.stem}",
        )
    return opened(path)
