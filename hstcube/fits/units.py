"""FITS as bytes: cards, header-data units, checksums.

FITS standard 4.0, sections 3, 4 and appendix J.
astropy spends 3 ms on a file of this kind, most of it on the header's bookkeeping; a run writes 27
files a target. What is written here is read back by astropy in the tests, checksums included.
"""

from __future__ import annotations

import io
import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from astropy.io import fits
    from astropy.table import Table
    from numpy.typing import NDArray

    Cards = Iterable[tuple[str, Any, str]]

__all__ = [
    "BLOCK",
    "card",
    "checksummed",
    "hdu",
    "history_cards",
    "history_lines",
    "ones_sum",
    "table_as_fits",
    "with_cards",
    "words_sum",
]

BLOCK, CARD = 2880, 80  # bytes
_BITPIX = {"f4": -32, "f8": -64, "u1": 8, "i4": 32}
# characters of a long text in one card: all of them may be quotes, which are doubled
_LONG_PIECE = 33
_LONGEST = 40  # of a text beside a long keyword
_TEXT_WIDTH = 70  # of a HISTORY card, after its two marks
# characters an encoded checksum must not hold
_PUNCTUATION = {*range(0x3A, 0x41), *range(0x5B, 0x61)}


def hdu(data: NDArray[Any] | None, cards: Cards, *, extname: str = "") -> bytes:
    """Return one header-data unit, with CHECKSUM and DATASUM.

    Parameters
    ----------
    data : array, (y, x), or None
        float32, float64, uint8 or int32; None for an empty primary header.
    cards : iterable of (keyword, value, comment)
        Without those that describe the data. A value None leaves the card out.
    extname : str
        The unit is an IMAGE extension of that name; a primary one without.
    """
    body = b"" if data is None else data.astype(data.dtype.newbyteorder(">"), copy=False).tobytes()
    body += b"\0" * (-len(body) % BLOCK)
    image = None if data is None else (data.dtype, data.shape)
    return checksummed(image, cards, _ones_sum(body), extname=extname) + body


def checksummed(
    image: tuple[np.dtype[Any], tuple[int, ...]] | None,
    cards: Cards,
    datasum: int,
    *,
    extname: str = "",
) -> bytes:
    """Return the header of a unit whose pixels have that type, shape and sum; see `hdu`."""
    entries = (entry for entry in (*_description(image, extname), *cards) if entry[1] is not None)
    text = "".join(
        [
            *(card(*entry) for entry in entries),
            card("DATASUM", str(datasum), "data unit checksum"),
            card("CHECKSUM", "0" * 16, "HDU checksum"),
            "END".ljust(CARD),
        ]
    )
    header = text.ljust(len(text) + -len(text) % BLOCK).encode("ascii")
    return _signed(header, datasum)


def with_cards(data: bytes, cards: Cards) -> bytes:
    """Return a FITS file with more cards in its first header; its checksum, if any, is renewed."""
    lines = _first_header(data)
    end = CARD * (len(lines) + 1)
    sums = {line[:8].rstrip(): line for line in lines if line.startswith(("DATASUM", "CHECKSUM"))}
    kept = [line for line in lines if line not in sums.values()]
    kept += [card(*entry) for entry in cards if entry[1] is not None]
    if "CHECKSUM" in sums:
        kept += [sums["DATASUM"], card("CHECKSUM", "0" * 16, "HDU checksum")]
    text = "".join([*kept, "END".ljust(CARD)])
    header = text.ljust(len(text) + -len(text) % BLOCK).encode("ascii")
    if "CHECKSUM" in sums:
        header = _signed(header, int(sums["DATASUM"].split("'")[1]))
    return header + data[end + -end % BLOCK :]


def _first_header(data: bytes) -> list[str]:
    """Return the cards of the first header of a file, up to END."""
    lines: list[str] = []
    while (line := data[CARD * len(lines) : CARD * (len(lines) + 1)]) and line.rstrip() != b"END":
        lines.append(line.decode("ascii"))
    return lines


def _signed(header: bytes, datasum: int) -> bytes:
    """Return a header whose CHECKSUM is all zeros with the right one."""
    checksum = f"CHECKSUM= '{_encoded(ones_sum(_ones_sum(header) + datasum))}'"
    return header.replace(b"CHECKSUM= '0000000000000000'", checksum.encode(), 1)


def _description(
    image: tuple[np.dtype[Any], tuple[int, ...]] | None, extname: str
) -> list[tuple[str, Any, str]]:
    """Return the cards that say what kind of unit it is, and how its data are stored."""
    cards: list[tuple[str, Any, str]] = [("SIMPLE", True, "conforms to the FITS standard")]
    if extname:
        cards = [("XTENSION", "IMAGE", "image extension")]
    bits, sizes = (8, ()) if image is None else (_BITPIX[image[0].str[1:]], image[1][::-1])
    cards += [("BITPIX", bits, "array data type"), ("NAXIS", len(sizes), "number of axes")]
    cards += [(f"NAXIS{i}", n, "") for i, n in enumerate(sizes, start=1)]
    if extname:
        cards += [("PCOUNT", 0, ""), ("GCOUNT", 1, ""), ("EXTNAME", extname, "")]
    if image is None:
        cards.append(("EXTEND", True, "extensions may follow"))
    return cards


@lru_cache(maxsize=4096)
def card(key: str, value: Any, comment: str = "") -> str:
    """Return one card of 80 characters, or several for a long text; numbers keep every digit."""
    if key in ("HISTORY", "COMMENT"):
        return f"{key:<8}{value}"[:CARD].ljust(CARD)
    if isinstance(value, bool | np.bool_):
        field = f"{'T' if value else 'F':>20}"
    elif isinstance(value, str):
        quoted = _ascii(value).replace("'", "''")
        if len(quoted) > CARD - 12:
            return _long_text(key, _ascii(value))
        field = f"'{quoted:<8}'".ljust(20)
    elif isinstance(value, int | np.integer):
        field = f"{int(value):>20}"
    else:
        field = f"{repr(float(value)).upper():>20}"
    return (f"{key:<8}= {field}" + (f" / {comment}" if comment else ""))[:CARD].ljust(CARD)


def _long_text(key: str, text: str) -> str:
    """Return a text as a card and its CONTINUE cards (FITS standard 4.0, section 4.2.1.2)."""
    pieces = [text[at : at + _LONG_PIECE] for at in range(0, len(text), _LONG_PIECE)]
    quoted = [piece.replace("'", "''") for piece in pieces]
    first, *others = [*(f"'{piece}&'" for piece in quoted[:-1]), f"'{quoted[-1]}'"]
    cards = [f"{key:<8}= {first}", *(f"CONTINUE  {piece}" for piece in others)]
    return "".join(card.ljust(CARD) for card in cards)


def history_cards(history: str, warnings: str) -> list[tuple[str, str, str]]:
    """Return a cube's history and warnings as HISTORY cards.

    '* ' and '! ' begin a line of the one and the other, '  ' goes on with it.
    """
    cards = []
    for mark, text in (("* ", history), ("! ", warnings)):
        for line in text.splitlines():
            for i, piece in enumerate(_pieces(_ascii(line))):
                cards.append(("HISTORY", (mark if i == 0 else "  ") + piece, ""))
    return cards


def history_lines(cards: Iterable[str]) -> tuple[str, str]:
    """Return (history, warnings) as `history_cards` wrote them."""
    lines: list[str] = []
    for text in map(str, cards):
        if text[:2] in ("* ", "! "):
            lines.append(text)
        elif lines:
            lines[-1] += text[2:]
    history = [line[2:] for line in lines if line.startswith("*")]
    warnings = [line[2:] for line in lines if line.startswith("!")]
    return "\n".join(history), "\n".join(warnings)


def _pieces(line: str) -> list[str]:
    """Cut a line into parts that fit a card; none ends in a space, which FITS would drop."""
    pieces = []
    while len(line) > _TEXT_WIDTH:
        cut = _TEXT_WIDTH
        while cut > 1 and line[cut - 1] == " ":
            cut -= 1
        pieces.append(line[:cut])
        line = line[cut:]
    return [*pieces, line]


def _ascii(text: str) -> str:
    """Return text that FITS can hold: printable ASCII."""
    plain = text.encode("ascii", "backslashreplace").decode()
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in plain)


def _ones_sum(data: bytes) -> int:
    """Return the 32-bit ones' complement sum of bytes."""
    return ones_sum(int(np.frombuffer(data, ">u4").sum(dtype=np.uint64)))


def words_sum(pixels: NDArray[Any], top: int, left: int, width: int) -> int:
    """Return what a piece of an image adds to the sum of its words of 4 bytes, not folded.

    Parameters
    ----------
    pixels : array, (y, x)
        As they go to disk, of 4 bytes or of one.
    top, left : int
        Where the piece begins.
    width : int
        Of the image.
    """
    if pixels.dtype.itemsize > 1:
        return int(pixels.view(">u4").sum(dtype=np.uint64))
    total = 0
    for first in range(min(4, len(pixels))):  # of every fourth row bytes stand alike in words
        columns = pixels[first::4].sum(axis=0, dtype=np.uint64)
        start = (top + first) * width + left
        for i in range(min(4, columns.size)):
            total += int(columns[i::4].sum()) << 8 * (3 - (start + i) % 4)
    return total


def ones_sum(total: int) -> int:
    """Return a sum of words as one of 32 bits in ones' complement."""
    while total >> 32:
        total = (total & 0xFFFFFFFF) + (total >> 32)
    return total


def _encoded(total: int) -> str:
    """Return the complement of a sum as 16 letters and digits (appendix J of the standard)."""
    letters = [0] * 16
    for i, byte in enumerate((~total & 0xFFFFFFFF).to_bytes(4, "big")):
        quotient, remainder = divmod(byte, 4)
        four = [quotient + remainder + 48, *[quotient + 48] * 3]
        while _PUNCTUATION.intersection(four):
            for a, b in ((0, 1), (2, 3)):
                if four[a] in _PUNCTUATION or four[b] in _PUNCTUATION:
                    four[a] += 1
                    four[b] -= 1
        letters[i::4] = four
    return bytes(letters[-1:] + letters[:-1]).decode()


def table_as_fits(table: Table) -> bytes:
    """Return the bytes of a FITS file of a table: metadata as cards, history as HISTORY."""
    from astropy.io import fits

    bare = table.copy(copy_data=False)
    bare.meta = {}
    hdu = fits.table_to_hdu(bare)
    hdu.name = "PHOTOMETRY"
    for card in _cards(table.meta):
        hdu.header.append(card, end=True)
    for key, mark in (("history", "*"), ("warnings", "!")):
        for line in table.meta.get(key, ()):
            hdu.header.add_history(f"{mark} {_printable(line)}")
    buffer = io.BytesIO()
    units = [fits.PrimaryHDU(), hdu]
    for unit in units:
        unit.add_checksum(when="HDU checksum")  # astropy's own comment holds the time
    fits.HDUList(units).writeto(buffer)
    return buffer.getvalue()


def _cards(meta: dict[str, Any]) -> Iterator[fits.Card]:
    """Yield a card for each number and text of the metadata; FITS has none for NaN."""
    from astropy.io import fits

    for key, value in meta.items():
        entries = value if isinstance(value, dict) else {"": value}
        for name, entry in entries.items():
            if isinstance(entry, list) or (isinstance(entry, float) and math.isnan(entry)):
                continue
            text = _printable(entry)[:_LONGEST] if isinstance(entry, str) else entry
            yield fits.Card(f"HIERARCH {key} {name}".strip(), text)


def _printable(text: str) -> str:
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in text)
