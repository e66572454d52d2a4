"""FITS headers as bytes: walked, and compared with the file, before astropy reads them."""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import TYPE_CHECKING, Any, NoReturn

from hstcube.core.wcs_cards import CARDS
from hstcube.errors import FileError, GridError
from hstcube.fits.units import BLOCK, CARD

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hstcube.errors import Note

__all__ = ["data_sizes", "notes_on_bytes", "padded", "plain_header"]

LARGEST_HEADER = 10 * 2**20  # bytes

_MOST_AXES = 999
_DEPTHS = (8, 16, 32, 64, -32, -64)
_OF_THE_STRUCTURE = re.compile(
    rb"SIMPLE|XTENSION|BITPIX|NAXIS\d*|PCOUNT|GCOUNT|GROUPS|BSCALE|BZERO|BLANK"
)
_NUMBER = re.compile(
    rb"= *[+-]? *(\d+\.?\d*|\.\d+) *([ED] *[+-]? *\d+)? *(/.*)?", re.DOTALL | re.IGNORECASE
)
_WHOLE_NUMBER = re.compile(rb"= +([+-]?\d{1,18}) *(/.*)?", re.DOTALL)
# keywords that may be there many times
_REPEATED = {b"", b"COMMENT", b"HISTORY", b"CONTINUE", b"HIERARCH"}
_RECORDS = re.compile(rb"(D2IM|DP|DQ)\d")  # each card is a record of its own: FITS paper IV
_OF_THE_WCS = {key.encode() for key in CARDS}

# a card of the standard's own grammar; quotes within texts and their comments are left to astropy
_PLAIN_CARD = re.compile(
    r"(?=.{8}= )([A-Z0-9_-]+) *= +(?:'([ -&(-~]*)' *(?:/[ -&(-~]*)?"
    r"|(?:([TF])|([+-]?\d{1,18})|([+-]?(?:\d+\.\d*|\.\d+|\d+(?=[ED]))(?:[ED][+-]?\d+)?))"
    r" *(?:/[ -~]*)?)",
    re.ASCII,
)
_PLAIN_START = (
    "SIMPLE  =                    T",
    "BITPIX  =                  -32",
    "NAXIS   =                    2",
    "NAXIS1  = ",
    "NAXIS2  = ",
)
# what has a meaning for how a file is read, or is no card of a value
_NOT_PLAIN = re.compile(
    r"NAXIS\d*|[PG]COUNT|GROUPS|BSCALE|BZERO|BLANK|XTENSION|EXT(NAME|VER|LEVEL)|INHERIT|Z[A-Z]+\d*"
    r"|CHECKSUM|DATASUM|COMMENT|HISTORY|CONTINUE|HIERARCH|END"
)


def data_sizes(source: Any) -> Iterator[int]:
    """Read the headers of a file one by one; give the size of the data after each [bytes].

    The caller skips the data.

    Raises
    ------
    FileError
        If a header is larger than any that is meant, has no end, or declares what cannot be.
    """
    while (block := source.read(BLOCK)).startswith((b"SIMPLE  =", b"XTENSION")):
        header = bytearray(block)
        while not _ends(block):
            if len(header) > LARGEST_HEADER:
                reason = f"has a header of more than {LARGEST_HEADER / 2**20:.0f} MB"
                raise FileError(
                    "HC-F18", reason, "remove HISTORY and COMMENT cards, or get it again"
                )
            if not (block := source.read(BLOCK)):
                _refuse("its header has no END")
            header += block
        yield _declared_size(bytes(header))


def plain_header(source: Any) -> dict[str, Any] | None:
    """Read the header of one image of 32-bit real numbers, if it is as plain as most are.

    That is: each card is one of the standard's own grammar (FITS standard 4.0, section 4.2 and
    appendix A), is there once, and has no meaning for how the file is read. astropy takes nine
    times as long, and is asked about any other.

    Returns
    -------
    dict of keyword to value, or None
        As `astropy.io.fits.Header` gives them.
    """
    header: dict[str, Any] = {}
    while (block := source.read(BLOCK)).isascii() and len(block) == BLOCK:
        text = block.decode("ascii")
        for at in range(0, BLOCK, CARD):
            line = text[at : at + CARD]
            if line.startswith("END") and not text[at + 3 :].strip(" "):
                return header if len(header) >= len(_PLAIN_START) else None
            if not _add_plain(header, line):
                return None
    return None


def _add_plain(header: dict[str, Any], line: str) -> bool:
    """Add a card to those before it; return whether it is a plain one."""
    match = _PLAIN_CARD.fullmatch(line)
    if match is None:
        return False
    key, text, truth, whole, real = match.groups()
    number = len(header)
    if number < len(_PLAIN_START):
        if not line.startswith(_PLAIN_START[number]) or line[30] not in " /":
            return False
    elif key in header or _NOT_PLAIN.fullmatch(key):
        return False
    if text is not None:
        header[key] = text.rstrip()
        return ": " not in text  # which may be a record (FITS paper IV)
    if truth:
        header[key] = truth == "T"
    else:
        header[key] = int(whole) if whole else float(real.replace("D", "E"))
    return True


def _ends(block: bytes) -> bool:
    for at in range(0, len(block), CARD):
        card = block[at : at + CARD]
        if re.match(rb"END($|[^A-Z0-9_-])", card):  # what astropy takes for the end
            if card != b"END".ljust(CARD):
                _refuse(f"the card {card.decode('latin-1').strip()!r} should be END alone")
            return True
    return False


def _declared_size(header: bytes) -> int:
    """Return the size of the data that a header declares, without padding.

    FITS standard 4.0, section 4.4.1.
    """
    cards = _structure(header)

    depth, axes = _whole_number(cards, "BITPIX"), _whole_number(cards, "NAXIS")
    if depth not in _DEPTHS or axes > _MOST_AXES:
        _refuse(f"BITPIX = {depth} and NAXIS = {axes} in its header cannot be")
    for key in ("BSCALE", "BZERO", *(("BLANK",) if depth > 0 else ())):
        if not _NUMBER.fullmatch(cards.get(key.encode(), b"= 1")):
            _refuse(f"{key} is not a number in its header")
    sizes = [_whole_number(cards, f"NAXIS{axis}") for axis in range(1, axes + 1)]
    if not sizes:
        return 0
    groups, more = _whole_number(cards, "GCOUNT", 1), _whole_number(cards, "PCOUNT", 0)
    return abs(depth) // 8 * groups * (more + math.prod(sizes))


def _whole_number(cards: dict[bytes, bytes], key: str, default: int | None = None) -> int:
    card = cards.get(key.encode())
    if card is None and default is not None:
        return default
    match = _WHOLE_NUMBER.fullmatch(card or b"")
    value = int(match[1]) if match else -1
    if value < 0 and not (match and key == "BITPIX"):
        said = "missing" if card is None else repr(_uncommented(card[1:]).decode("latin-1").strip())
        _refuse(f"{key} is {said} in its header")
    return value


def _structure(header: bytes) -> dict[bytes, bytes]:
    """Return the cards, from the ninth character on, that say how pixels are stored.

    Of two such cards astropy takes the first in some places and the last in others, and it reads
    some that are shifted.
    """
    cards: dict[bytes, bytes] = {}
    for at in range(0, len(header), CARD):
        card = header[at : at + CARD]
        key = _keyword(card)
        if _OF_THE_STRUCTURE.fullmatch(key):
            first = cards.setdefault(key, card[8:])
            if card[:8].rstrip() != key or _uncommented(first) != _uncommented(card[8:]):
                _refuse(f"{key.decode()} is there in two ways in its header, or is shifted")
    return cards


def _keyword(card: bytes) -> bytes:
    """Return the keyword of a card as astropy reads it, which need not fill eight characters."""
    return card[:9].partition(b"= ")[0][:8].strip().upper()


def _refuse(what: str) -> NoReturn:
    raise FileError("HC-F04", f"is not a FITS file that can be read: {what}", "get it again")


def _uncommented(value: bytes) -> bytes:
    return value.partition(b"/")[0].rstrip()


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
    room = padded(end) - end
    rest = file.read(room + 8)
    padding, beyond = rest[:room], rest[room:]
    if len(padding) < room:
        sizes = f"{file.size} of {padded(end)} bytes"
        notes.append(("HC-F03", f"the last block of the file is not filled up ({sizes})"))
    if padding.strip(b"\0 ") or (beyond.strip(b"\0 ") and beyond != b"XTENSION"):
        text = "the file goes on with something else than zeros where its pixels should end"
        notes.append(("HC-F08", text))
    return notes


def _header_notes(raw: bytes) -> list[Note]:
    cards = [raw[at : at + CARD] for at in range(0, len(raw), CARD)]
    _require_plain_wcs(cards)
    notes = []
    keys = Counter(card[:8].rstrip().upper() for card in cards)
    repeated = [key for key, n in keys.items() if n > 1 and key not in _REPEATED]
    twice = [key for key in repeated if not _RECORDS.fullmatch(key)]
    if twice:
        listed = _listed(twice)
        notes.append(("HC-F20", f"cards are there more than once, the first one counts: {listed}"))
    if not raw.isascii():
        listed = _listed({card[:8].strip() for card in cards if not card.isascii()})
        notes.append(("HC-F19", f"cards hold bytes that are no text, read as '?': {listed}"))
    return notes


def _require_plain_wcs(cards: list[bytes]) -> None:
    """Raise GridError if a card of the WCS is shifted, or holds bytes that are no text."""
    for card in cards:
        key = _keyword(card)
        if key not in _OF_THE_WCS:
            continue
        value = card[8:].partition(b"/")[0]
        shifted = card[:8].rstrip().upper() != key
        if shifted or not (value.isascii() and value.decode("ascii").isprintable()):
            reason = f"the WCS card {key.decode()} is shifted, or holds bytes that are no text"
            raise GridError("HC-W06", reason, "repair the header")


def _listed(keys: Iterable[bytes]) -> str:
    return ", ".join(sorted({key.decode("ascii", "replace") for key in keys}))


def padded(size: int) -> int:
    """Return the size of the whole blocks that so many bytes fill."""
    return size + -size % BLOCK
