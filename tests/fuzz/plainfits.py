"""FITS written and read by hand: what astropy makes of a file is judged by something else."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["BLOCK", "Unit", "card", "hdu", "physical", "units_of"]

BLOCK, CARD = 2880, 80


class Unit(NamedTuple):
    """One header with its data, as they stand in a file; the first card of a keyword counts."""

    cards: dict[str, str]  # keyword to what stands behind "= "
    data: bytes

    def number(self, key: str, default: float = math.nan) -> float:
        text = self.cards.get(key, "").partition("/")[0].strip().replace("D", "E")
        return float(text) if re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)(E[-+]?\d+)?", text) else default

    def text(self, key: str) -> str:
        found = re.match(r" *'((?:[^']|'')*)'", self.cards.get(key, ""))
        return found[1].replace("''", "'").rstrip() if found else ""

    @property
    def shape(self) -> tuple[int, ...]:
        axes = int(self.number("NAXIS", 0))
        return tuple(int(self.number(f"NAXIS{i}")) for i in range(axes, 0, -1))


def units_of(data: bytes) -> list[Unit]:
    """Return the units of a file that is whole."""
    units, at = [], 0
    while at < len(data) and data[at : at + 8] in (b"SIMPLE  ", b"XTENSION"):
        cards: dict[str, str] = {}
        while (text := data[at : at + CARD].decode("latin-1")).rstrip() != "END":
            cards.setdefault(text[:8].rstrip(), text[10:])
            at += CARD
            if at > len(data):
                msg = "no END"
                raise ValueError(msg)
        at += CARD
        at += -at % BLOCK
        unit = Unit(cards, b"")
        size = abs(int(unit.number("BITPIX"))) // 8 * math.prod(unit.shape) if unit.shape else 0
        units.append(Unit(cards, data[at : at + size]))
        at += size + -size % BLOCK
    return units


def physical(unit: Unit) -> np.ndarray:
    """Return what the pixels of an image mean: float64, NaN where they are BLANK."""
    bits = int(unit.number("BITPIX"))
    kind = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}[bits]
    stored = np.frombuffer(unit.data, kind).reshape(unit.shape)
    values = stored.astype(np.float64)
    blank = unit.number("BLANK")
    with np.errstate(all="ignore"):
        values = values * unit.number("BSCALE", 1) + unit.number("BZERO", 0)
    return np.where(stored == blank, np.nan, values) if bits > 0 else values


def card(key: str, value: Any) -> bytes:
    """Return a card; texts that are bytes are put down as they are."""
    if isinstance(value, bytes):
        said = value
    elif isinstance(value, bool):
        said = b"T" if value else b"F"
        said = said.rjust(20)
    elif isinstance(value, str):
        said = f"'{value.replace(chr(39), chr(39) * 2):8}'".encode("latin-1", "replace")
    else:
        said = repr(value).upper().encode().rjust(20)
    return (key.ljust(8).encode() + b"= " + said).ljust(CARD)[:CARD]


def hdu(
    image: np.ndarray | None = None,
    cards: Mapping[str, Any] | None = None,
    *,
    name: str | None = None,
    shape: tuple[int, ...] = (),
    bitpix: int = 8,
) -> bytes:
    """Return a unit: primary, or an extension if it has a name; without an image only a header."""
    data = b""
    if image is not None:
        shape = image.shape
        bitpix = image.dtype.itemsize * (-8 if image.dtype.kind == "f" else 8)
        data = image.astype(image.dtype.newbyteorder(">")).tobytes()
    first = {"SIMPLE": True} if name is None else {"XTENSION": "IMAGE"}
    axes = {f"NAXIS{i + 1}": n for i, n in enumerate(reversed(shape))}
    last = {"EXTEND": True} if name is None else {"PCOUNT": 0, "GCOUNT": 1, "EXTNAME": name}
    every = {**first, "BITPIX": bitpix, "NAXIS": len(shape), **axes, **last, **(cards or {})}
    head = b"".join(card(key, value) for key, value in every.items()) + b"END".ljust(CARD)
    return head + b" " * (-len(head) % BLOCK) + data + bytes(-len(data) % BLOCK)


def read(path: Path) -> list[Unit]:
    """Return the units of a file."""
    return units_of(path.read_bytes())
