"""A FITS file opened: unpacked, and its headers walked, byte by byte, before astropy sees them.

Sizes that headers declare are compared with the file and with a memory budget here, before anything
is allocated; and this is where what astropy and the system raise becomes errors of ours.
"""

from __future__ import annotations

import errno
import io
import math
import re
import warnings
from collections import Counter
from typing import IO, TYPE_CHECKING, Any, NoReturn

from hstcube.core.wcs_cards import CARDS
from hstcube.errors import FileError, GridError, HstCubeError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from astropy.io import fits

    Note = tuple[str, str]  # code and text of a warning

__all__ = ["located", "notes_on_bytes", "opened", "require_budget"]

LARGEST_PLANE = (
    4 * 2**30
)  # bytes that one image may take in memory, and one compressed file once it is unpacked
LARGEST_HEADER = 10 * 2**20  # bytes

_BLOCK, _CARD = 2880, 80  # bytes
_PIECE = 2**20  # bytes unpacked at a time
_MOST_AXES = 999
_DEPTHS = (8, 16, 32, 64, -32, -64)
_OF_THE_STRUCTURE = re.compile(
    rb"SIMPLE|XTENSION|BITPIX|NAXIS\d*|PCOUNT|GCOUNT|GROUPS|BSCALE|BZERO|BLANK"
)
_NUMBER = re.compile(
    rb"= *[+-]? *(\d+\.?\d*|\.\d+) *([ED] *[+-]? *\d+)? *(/.*)?", re.DOTALL | re.IGNORECASE
)
_WHOLE_NUMBER = re.compile(rb"= +([+-]?\d{1,18}) *(/.*)?", re.DOTALL)
_PACKERS = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\xfd7zXZ": "lzma"}
_REPEATED = {
    b"",
    b"COMMENT",
    b"HISTORY",
    b"CONTINUE",
    b"HIERARCH",
}  # keywords that may be there many times
_OF_THE_WCS = {key.encode() for key in CARDS}
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
    """Add file and band to errors of ours, and turn what astropy and the system raise into them."""

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

        if not self.path.exists():
            if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", str(self.path)):
                raise FileError(
                    "HC-F21",
                    "is an address on the network, not a file",
                    "download it, and give its path",
                )
            raise FileError("HC-F01", "there is no such file", "check the path")
        if not self.path.is_file():
            raise FileError("HC-F24", "is not a regular file", "give a FITS file")
        self.handle: IO[bytes] = self.path.open(
            "rb"
        )  # ours to close: astropy leaves it open when it fails
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
        """Unpack a compressed file; walk the headers of a plain one."""
        packer = next((name for mark, name in _PACKERS.items() if start.startswith(mark)), None)
        if packer is not None:
            with self.handle as packed:
                self.handle = _unpacked(packed, packer)
        else:
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
                require_budget(content.tell() + size, "the file declares")
                source.skip(_padded(size))
            if source.read(_BLOCK) and stream.read(1):
                reason = f"goes on, once unpacked, beyond the {content.tell() / 1e6:.3g} MB that its headers declare"
                raise FileError(
                    "HC-F17", reason, "get it again; do not unpack it: it may fill the disk"
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


def _data_sizes(source: Any) -> Iterator[int]:
    """Read the headers of a file one by one; give the size of the data after each, which the caller skips [bytes].

    Raises
    ------
    FileError
        If a header is larger than any that is meant, has no end, or declares what cannot be.
    """
    while (block := source.read(_BLOCK)).startswith((b"SIMPLE  =", b"XTENSION")):
        header = bytearray(block)
        while not _ends(block):
            if len(header) > LARGEST_HEADER:
                reason = f"has a header of more than {LARGEST_HEADER / 2**20:.0f} MB"
                raise FileError(
                    "HC-F18", reason, "remove HISTORY and COMMENT cards, or get it again"
                )
            if not (block := source.read(_BLOCK)):
                _refuse("its header has no END")
            header += block
        yield _declared_size(bytes(header))


def _ends(block: bytes) -> bool:
    for at in range(0, len(block), _CARD):
        card = block[at : at + _CARD]
        if re.match(rb"END($|[^A-Z0-9_-])", card):  # what astropy takes for the end
            if card != b"END".ljust(_CARD):
                _refuse(f"the card {card.decode('latin-1').strip()!r} should be END alone")
            return True
    return False


def _declared_size(header: bytes) -> int:
    """Return the size of the data that a header declares, without padding (FITS standard 4.0, section 4.4.1)."""
    cards = _structure(header)

    def number(key: str, default: int | None = None) -> int:
        if (card := cards.get(key.encode())) is None and default is not None:
            return default
        match = _WHOLE_NUMBER.fullmatch(card or b"")
        value = int(match[1]) if match else -1
        if value < 0 and not (match and key == "BITPIX"):
            said = (
                "missing"
                if card is None
                else repr(card[1:].partition(b"/")[0].decode("latin-1").strip())
            )
            _refuse(f"{key} is {said} in its header")
        return value

    depth, axes = number("BITPIX"), number("NAXIS")
    if depth not in _DEPTHS or axes > _MOST_AXES:
        _refuse(f"BITPIX = {depth} and NAXIS = {axes} in its header cannot be")
    for key in ("BSCALE", "BZERO", *(("BLANK",) if depth > 0 else ())):
        if not _NUMBER.fullmatch(cards.get(key.encode(), b"= 1")):
            _refuse(f"{key} is not a number in its header")
    sizes = [number(f"NAXIS{axis}") for axis in range(1, axes + 1)]
    if not sizes:
        return 0
    return abs(depth) // 8 * number("GCOUNT", 1) * (number("PCOUNT", 0) + math.prod(sizes))


def _structure(header: bytes) -> dict[bytes, bytes]:
    """Return the cards, from the ninth character on, that say how pixels are stored.

    Of two such cards astropy takes the first in some places and the last in others, and it reads
    some that are shifted.
    """
    cards: dict[bytes, bytes] = {}
    for at in range(0, len(header), _CARD):
        card = header[at : at + _CARD]
        key = _keyword(card)
        if _OF_THE_STRUCTURE.fullmatch(key):
            said = card[8:].partition(b"/")[0].rstrip()
            if (
                card[:8].rstrip() != key
                or cards.setdefault(key, card[8:]).partition(b"/")[0].rstrip() != said
            ):
                _refuse(f"{key.decode()} is there in two ways in its header, or is shifted")
    return cards


def _keyword(card: bytes) -> bytes:
    """Return the keyword of a card as astropy reads it, which need not fill eight characters."""
    return card[:9].partition(b"= ")[0][:8].strip().upper()


def _refuse(what: str) -> NoReturn:
    raise FileError("HC-F04", f"is not a FITS file that can be read: {what}", "get it again")


def _padded(size: int) -> int:
    return size + -size % _BLOCK


def require_budget(size: int, what: str) -> None:
    """Raise FileError if an image would take more memory than one may [bytes]; `what` begins the reason."""
    if size > LARGEST_PLANE:
        raise FileError(
            "HC-F07",
            f"{what} {size / 1e9:.3g} GB, more than the {LARGEST_PLANE / 1e9:.3g} GB that an image may take",
            "cut the piece that is wanted out of it; or raise hstcube.fits.opening.LARGEST_PLANE",
        )


def notes_on_bytes(place: dict[str, Any]) -> list[Note]:
    """Judge the bytes of one header and its data, whose `place` is the unit's `fileinfo()`.

    Returns
    -------
    list of (code, text)
        What is odd, but does no harm to the pixels.

    Raises
    ------
    FileError
        If the file ends before the data do.
    GridError
        If a card of the WCS holds bytes that are no text.
    """
    file = place["file"]
    file.seek(place["hdrLoc"])
    header = file.read(place["datLoc"] - place["hdrLoc"])
    end = place["datLoc"] + _declared_size(header)
    if end > file.size:
        raise FileError("HC-F02", f"is truncated: {file.size} of {end} bytes", "get it again")
    notes = _header_notes(header)
    file.seek(end)
    rest = file.read(-end % _BLOCK + 8)
    padding, beyond = rest[: -end % _BLOCK], rest[-end % _BLOCK :]
    if len(padding) < -end % _BLOCK:
        notes.append(
            (
                "HC-F03",
                f"the last block of the file is not filled up ({file.size} of {_padded(end)} bytes)",
            )
        )
    if padding.strip(b"\0 ") or (beyond.strip(b"\0 ") and beyond != b"XTENSION"):
        notes.append(
            (
                "HC-F08",
                "the file goes on with something else than zeros where its pixels should end",
            )
        )
    return notes


def _header_notes(raw: bytes) -> list[Note]:
    notes = []
    cards = [raw[at : at + _CARD] for at in range(0, len(raw), _CARD)]
    for card in cards:
        if (key := _keyword(card)) in _OF_THE_WCS:
            value = card[8:].partition(b"/")[0]
            if card[:8].rstrip().upper() != key or not (
                value.isascii() and value.decode("ascii").isprintable()
            ):
                reason = f"the WCS card {key.decode()} is shifted, or holds bytes that are no text"
                raise GridError("HC-W06", reason, "repair the header")
    keys = Counter(card[:8].rstrip().upper() for card in cards)
    if twice := [
        key.decode("ascii", "replace") for key, n in keys.items() if n > 1 and key not in _REPEATED
    ]:
        notes.append(
            (
                "HC-F20",
                f"cards are there more than once, the first one counts: {', '.join(sorted(twice))}",
            )
        )
    if not raw.isascii():
        odd = {card[:8].decode("ascii", "replace").strip() for card in cards if not card.isascii()}
        notes.append(
            ("HC-F19", f"cards hold bytes that are no text, read as '?': {', '.join(sorted(odd))}")
        )
    return notes
