"""One FITS image: opened, checked against what its header declares, and read; or refused with file and reason."""

from __future__ import annotations

import errno
import io
import math
import re
import warnings
from collections import Counter
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hstcube.errors import CubeError, FileError, HstCubeError
from hstcube.grids import Grid

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from astropy.io import fits
    from numpy.typing import NDArray

    Note = tuple[str, str]  # code and text of a warning

__all__ = [
    "Plane",
    "chosen_unit",
    "image_unit",
    "inverse_variance",
    "located",
    "odd_pixels",
    "opened",
    "read_plane",
    "require_whole",
]

LARGEST_PLANE = 4 * 2**30  # bytes that one image may take in memory, and one compressed file once it is unpacked
LARGEST_HEADER = 10 * 2**20  # bytes
NOISE_UNIT = "NOISEACF"  # what our own weight images have beside them

_WEIGHTS = ("ivar", "rms", "variance")
_BLOCK = 2880  # bytes
_PIECE = 2**20  # bytes unpacked at a time
_PACKERS = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\xfd7zXZ": "lzma"}
_REPEATED = {b"", b"COMMENT", b"HISTORY", b"CONTINUE", b"HIERARCH"}  # keywords that may be there many times
_LIKELY_FLOATS = (1e-20, 1e20)  # between these lie the pixels of images and weights in any unit
_UNLIKELY_WEIGHT = 1e6  # times smaller or larger than the median; the edges of a drizzled image reach 1e3
_UNLIKELY_SIGNAL = 1e9  # times the noise; a star that just saturates reaches 1e5, a wrong bit of an exponent up to 1e38
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


class Plane(NamedTuple):
    """An image as it is in its file: (y, x) float32, native byte order."""

    data: Any
    header: fits.Header
    grid: Grid
    notes: tuple[Note, ...] = ()


def read_plane(path: Path, kind: str, *, band: str = "", lazy: bool = False) -> Plane:
    """Read one image.

    Parameters
    ----------
    path : Path
    kind : {"sci", "wht", "mask"}
        Which extension to take where a file has several.
    band : str
        Named in errors.
    lazy : bool
        Give the pixels as a dask array.

    Raises
    ------
    FileError
        If the file is missing, damaged or foreign.
    GridError
        If its WCS cannot be used.
    """
    with located(path, band), opened(path) as hdus:
        unit = image_unit(hdus, kind, path)
        header = unit.header
        header.tostring()  # astropy mends the cards that it can, and refuses the file for those that it cannot
        notes = require_whole(path, unit)
        shape = image_shape(unit)
        if kind == "sci" and str(header.get("FILETYPE", "")).strip().upper() in ("WHT", "VAR", "RMS"):
            raise FileError(
                "HC-D14", f"is a {header['FILETYPE']} image by its FILETYPE, not a science image", "swap sci and wht"
            )
        grid = Grid.from_header(header, shape=shape)
        bits = _bits_of_integers(header) if kind != "mask" else 0
        if bits:
            text = f"its {kind} pixels are whole numbers of {bits} bits without a scale (BSCALE, BZERO)"
            notes.append(("HC-D15", text))
        if lazy:
            return Plane(_lazy_pixels(path, kind, shape), header, grid, tuple(notes))
        _refuse_floats_as_integers(unit, bits)
        pixels = _pixels(unit, shape)
        if kind == "wht" and str(header.get("FILETYPE", "")).strip().upper() == "SCI" and (pixels < 0).any():
            raise FileError("HC-D14", "is a SCI image by its FILETYPE and its negative pixels", "give the weight image")
        return Plane(pixels, header, grid, tuple(notes))


class located:  # noqa: N801  a context manager, used like a function
    """Add file and band to errors of ours, and turn what astropy and the system raise into them."""

    def __init__(self, path: Path, band: str = "") -> None:
        self.path = path
        self.band = band

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, HstCubeError):
            error.at(file=str(self.path), band=self.band)
        elif isinstance(error, OSError) and error.errno in _OF_THE_SYSTEM:
            raise FileError(
                "HC-F01",
                f"cannot be read: {error.strerror}",
                "check the path and its permissions",
                str(self.path),
                self.band,
            ) from error
        elif isinstance(error, MemoryError):
            raise FileError(
                "HC-O15",
                "does not fit into the memory that is left",
                "cut the piece that is wanted out of it, or use a machine with more memory",
                str(self.path),
                self.band,
            ) from error
        elif isinstance(error, Exception):
            raise FileError(
                "HC-F04",
                f"is not a FITS file that can be read ({type(error).__name__}: {error})",
                "open it with astropy.io.fits, or get it again",
                str(self.path),
                self.band,
            ) from error


class opened:  # noqa: N801  a context manager, used like a function
    """Open a FITS file; what astropy warns of is either judged here or of no consequence.

    A compressed file is unpacked first, as far as its headers declare. `how` goes to `astropy.io.fits.open`.
    """

    def __init__(self, path: Path, **how: Any) -> None:
        self.path = path
        self.how = how
        self.quiet = warnings.catch_warnings()

    def __enter__(self) -> fits.HDUList:
        from astropy.io import fits

        if not self.path.exists():
            if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", str(self.path)):
                raise FileError("HC-F21", "is an address on the network, not a file", "download it, and give its path")
            raise FileError("HC-F01", "there is no such file", "check the path")
        if not self.path.is_file():
            raise FileError("HC-F24", "is not a regular file", "give a FITS file")
        self.handle: IO[bytes] = self.path.open("rb")  # ours to close: astropy leaves it open when it fails
        start = self.handle.read(80)
        self.handle.seek(0)
        if not start.startswith((b"SIMPLE  =", *_PACKERS)):
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
        """Unpack a compressed file; look at the headers of a large one. A small one holds nothing large."""
        packer = next((name for mark, name in _PACKERS.items() if start.startswith(mark)), None)
        if packer is not None:
            with self.handle as packed:
                self.handle = _unpacked(packed, packer)
        elif self.path.stat().st_size > LARGEST_HEADER:
            for size in _data_sizes(self.handle):
                self.handle.seek(_padded(size), io.SEEK_CUR)
            self.handle.seek(0)

    def _close(self) -> None:
        self.handle.close()
        self.quiet.__exit__(None, None, None)


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
            for size in _data_sizes(source):
                _require_budget(content.tell() + size, "the file declares")
                source.skip(_padded(size))
            if source.read(_BLOCK) and stream.read(1):
                reason = f"goes on, once unpacked, beyond the {content.tell() / 1e6:.3g} MB that its headers declare"
                raise FileError("HC-F17", reason, "get it again; do not unpack it: it may fill the disk")
        except EOFError as error:
            raise FileError("HC-F02", "is truncated: the compressed data break off", "get it again") from error
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


def _data_sizes(source: Any) -> Iterator[int]:
    """Read the headers of a file one by one; give the size of the data after each, which the caller skips [bytes].

    Raises
    ------
    FileError
        If a header is larger than any that is meant.
    """
    from astropy.io import fits

    while (block := source.read(_BLOCK)).startswith((b"SIMPLE  =", b"XTENSION")):
        header = bytearray(block)
        while not _ends(block):
            if len(header) > LARGEST_HEADER:
                reason = f"has a header of more than {LARGEST_HEADER / 2**20:.0f} MB"
                raise FileError("HC-F18", reason, "remove HISTORY and COMMENT cards, or get it again")
            if not (block := source.read(_BLOCK)):
                return  # astropy says that the header has no end
            header += block
        yield _bytes_of(fits.Header.fromstring(bytes(header)))


def _ends(block: bytes) -> bool:
    return any(block.startswith(b"END" + b" " * 5, at) for at in range(0, len(block), 80))


def _padded(size: int) -> int:
    return size + -size % _BLOCK


def _require_budget(size: int, what: str) -> None:
    if size > LARGEST_PLANE:
        raise FileError(
            "HC-F07",
            f"{what} {size / 1e9:.3g} GB, more than the {LARGEST_PLANE / 1e9:.3g} GB that an image may take",
            "cut the piece that is wanted out of it; or raise hstcube.images.LARGEST_PLANE",
        )


def image_unit(hdus: fits.HDUList, kind: str, path: Path) -> Any:
    """Return the unit that holds the image: the only one, or the one that is named so."""
    if path.suffix != ".fz" and hdus[0].header.get("NAXIS", 0) > 0 and hdus[0].is_image and kind != "labels":
        place = hdus[0].fileinfo()  # the usual case: looking for more units would read the file twice
        if place["file"].size - place["datLoc"] - place["datSpan"] < _BLOCK:
            return hdus[0]
    images = [unit for unit in hdus if unit.is_image and len(unit.shape) >= 2 and unit.name != NOISE_UNIT]  # noqa: PLR2004
    names = {"sci": ("SCI",), "wht": ("WHT", "VAR"), "labels": ("DATA", "SEGMAP", "SEG"), "mask": ("MASK",)}[kind]
    if len(images) == 1:
        return images[0]
    if not images:
        raise FileError("HC-F14", "holds no image", "give a file with a 2-d image")
    named = [unit for unit in images if unit.name in names]
    if len(named) != 1:
        raise FileError(
            "HC-F12",
            f"holds {len(images)} images ({', '.join(unit.name or 'unnamed' for unit in images)}) and "
            f"{len(named)} of them are called {names[0]}",
            "split the file, or name the extension",
        )
    return named[0]


def image_shape(unit: Any) -> tuple[int, int]:
    """Return (ny, nx) of a unit, axes of length one beyond the first two left out.

    Raises
    ------
    FileError
        If it holds anything but one image.
    """
    if not unit.is_image or len(unit.shape) == 0:
        raise FileError("HC-F14", "holds no image there", "give the extension with a 2-d image")
    shape = tuple(unit.shape)
    while len(shape) > 2 and shape[0] == 1:  # noqa: PLR2004
        shape = shape[1:]
    if len(shape) != 2 or 0 in shape or (1 in shape and "HSTCUBE" not in unit.header):  # noqa: PLR2004  a cut cube may
        raise FileError("HC-F13", f"holds an array of shape {unit.shape}, not an image", "give one 2-d image a file")
    return shape


def chosen_unit(hdus: fits.HDUList, hdu: str | int) -> Any:
    """Return the unit of that name or number."""
    try:
        return hdus[hdu]
    except (KeyError, IndexError) as error:
        raise FileError("HC-F12", f"has no extension {hdu!r}", f"choose from {[unit.name for unit in hdus]}") from error


def _bytes_of(header: fits.Header) -> int:
    """Return the size of the data that a header declares, without padding (FITS standard 4.0, section 4.4.1)."""
    axes = [int(header[f"NAXIS{axis}"]) for axis in range(1, int(header.get("NAXIS", 0)) + 1)]
    if not axes:
        return 0
    groups, extra = int(header.get("GCOUNT", 1)), int(header.get("PCOUNT", 0))
    return abs(int(header.get("BITPIX", 8))) // 8 * groups * (extra + math.prod(axes))


def require_whole(path: Path, unit: Any) -> list[Note]:
    """Compare what the header declares with what the file holds, before anything is allocated; verify checksums.

    Parameters
    ----------
    path : Path
    unit : HDU
        An image of that file.

    Returns
    -------
    list of (code, text)
        What is odd, but does no harm to the pixels.

    Raises
    ------
    FileError
        If the file is cut off or damaged, or the image too large.
    """
    header = unit.header
    depth, pixels = abs(int(header.get("BITPIX", 8))) // 8, math.prod(unit.shape if unit.is_image else ())
    if type(unit).__name__ == "CompImageHDU":
        notes = _stored_notes(path)
    else:
        notes = _unit_notes(unit.fileinfo(), pixels * depth if unit.is_image and unit.shape else _bytes_of(header))
    _require_budget(pixels * max(depth, 4), "the header declares an image of")
    if "DATASUM" in header and not unit.verify_datasum():
        raise FileError("HC-F05", "is damaged: DATASUM does not agree with the pixels", "get it again")
    if "CHECKSUM" in header and not unit.verify_checksum():
        raise FileError("HC-F05", "is damaged or was edited: CHECKSUM does not agree with the file", "get it again")
    return notes


def _stored_notes(path: Path) -> list[Note]:
    """Say whether the tables in which a file keeps compressed images are whole, and whether pixels were rounded."""
    notes: list[Note] = []
    with opened(path, disable_image_compression=True) as hdus:
        for table in (unit for unit in hdus if unit.header.get("ZIMAGE")):
            notes += _unit_notes(table.fileinfo(), _bytes_of(table.header))
            names = {str(value).strip() for key, value in table.header.items() if key.startswith("TTYPE")}
            options = [
                f"ZVAL{key[5:]}" for key, value in table.header.items() if (key[:5], value) == ("ZNAME", "SCALE")
            ]
            if "ZSCALE" in names or any(
                float(table.header.get(key, 0)) > 0 for key in options
            ):  # the latter: HCOMPRESS
                notes.append(("HC-F15", "its pixels were rounded when the file was compressed (fpack -q)"))
    return notes


def _unit_notes(place: dict[str, Any], size: int) -> list[Note]:
    """Judge the bytes of one header and its data; `size` is that of the data without padding."""
    file, end = place["file"], place["datLoc"] + size
    if end > file.size:
        raise FileError("HC-F02", f"is truncated: {file.size} of {end} bytes", "get it again")
    file.seek(place["hdrLoc"])
    notes = _header_notes(file.read(place["datLoc"] - place["hdrLoc"]))
    file.seek(end)
    rest = file.read(-end % _BLOCK + 8)
    padding, beyond = rest[: -end % _BLOCK], rest[-end % _BLOCK :]
    if len(padding) < -end % _BLOCK:
        notes.append(("HC-F03", f"the last block of the file is not filled up ({file.size} of {_padded(end)} bytes)"))
    if padding.strip(b"\0 ") or (beyond.strip(b"\0 ") and beyond != b"XTENSION"):
        notes.append(("HC-F08", "the file goes on with something else than zeros where its pixels should end"))
    return notes


def _header_notes(raw: bytes) -> list[Note]:
    notes = []
    keys = Counter(raw[at : at + 8].rstrip() for at in range(0, len(raw), 80))
    if twice := [key.decode("ascii", "replace") for key, n in keys.items() if n > 1 and key not in _REPEATED]:
        notes.append(("HC-F20", f"cards are there more than once, the first one counts: {', '.join(sorted(twice))}"))
    if not raw.isascii():
        cards = [raw[at : at + 80] for at in range(0, len(raw), 80)]
        odd = {card[:8].decode("ascii", "replace").strip() for card in cards if not card.isascii()}
        notes.append(("HC-F19", f"cards hold bytes that are no text, read as '?': {', '.join(sorted(odd))}"))
    return notes


def _bits_of_integers(header: fits.Header) -> int:
    """Return BITPIX of an image of integers that no card gives a meaning to, else 0."""
    bits = int(header["BITPIX"])
    return 0 if bits < 0 or "BSCALE" in header or "BZERO" in header else bits


def _refuse_floats_as_integers(unit: Any, bits: int) -> None:
    """Raise FileError where a header has lost the minus sign of BITPIX: real numbers read as huge integers."""
    if bits not in (32, 64):
        return
    low, high = np.array(_LIKELY_FLOATS, f"f{bits // 8}").view(f"i{bits // 8}").tolist()
    set_pixels = unit.data[unit.data != 0].astype(np.float64)
    if set_pixels.size and low < np.median(set_pixels % 2.0 ** (bits - 1)) < high:  # without the sign
        reason = f"BITPIX is {bits}, but the pixels are real numbers by their bits"
        raise FileError("HC-F09", reason, f"write BITPIX = -{bits} into the header, or get the file again")


def _pixels(unit: Any, shape: tuple[int, ...]) -> NDArray[np.float32]:
    return np.ascontiguousarray(unit.data.reshape(shape), dtype=np.float32)


def _lazy_pixels(path: Path, kind: str, shape: tuple[int, ...]) -> Any:
    import dask
    import dask.array

    plane = dask.delayed(lambda: read_plane(path, kind).data, pure=False)()
    return dask.array.from_delayed(plane, shape, dtype=np.float32)


def inverse_variance(wht: Any, kind: str, band: str) -> Any:
    """Return weights as inverse variance; `kind` says what they are: "ivar", "rms" or "variance"."""
    if kind == "ivar":
        return wht
    if kind not in _WEIGHTS:
        raise CubeError("HC-D13", f"wht_kind is {kind!r}", f"choose from {', '.join(_WEIGHTS)}", band=band)
    good = (wht > 0) & np.isfinite(wht)
    return np.where(good, 1 / np.where(good, wht, 1) ** (1 if kind == "variance" else 2), 0)


def odd_pixels(sci: Any, wht: Any) -> list[Note]:
    """Say where single weights or values cannot be what they are meant to be; they are kept as they are.

    Parameters
    ----------
    sci : array, (y, x)
    wht : array, (y, x)
        Inverse variance.
    """
    notes = []
    most = float(wht.max())
    if float(wht.min()) * _UNLIKELY_WEIGHT < most < np.inf:
        positive = wht[wht > 0].astype(np.float64)
        middle = np.median(positive)
        if odd := int(np.sum((positive * _UNLIKELY_WEIGHT < middle) | (positive > middle * _UNLIKELY_WEIGHT))):
            text = f"{odd} weights are more than {_UNLIKELY_WEIGHT:.0e} times smaller or larger than the median"
            notes.append(("HC-D12", text))
    if most > 0 and not max(sci.max(), -sci.min()) * most**0.5 <= _UNLIKELY_SIGNAL:
        good = np.isfinite(sci) & (wht > 0) & np.isfinite(wht)
        signal = np.abs(sci[good], dtype=np.float64) * np.sqrt(wht[good], dtype=np.float64)
        if wild := int(np.sum(signal > _UNLIKELY_SIGNAL)):
            notes.append(("HC-F06", f"{wild} pixels are more than {_UNLIKELY_SIGNAL:.0e} times their noise"))
    return notes
