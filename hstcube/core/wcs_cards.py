"""The FITS cards that place an image on the sky: read, checked, and what they say.

Greisen & Calabretta 2002, A&A 395, 1061; Calabretta & Greisen 2002, A&A 395, 1077.
"""

from __future__ import annotations

import hashlib
import math
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from hstcube.errors import GridError
from hstcube.inputs.cards import card_text, card_value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Card = tuple[str, float | str]
    Cards = dict[str, float | str]

__all__ = [
    "CARDS",
    "checked_cards",
    "fingerprint_of",
    "leftovers",
    "matrix_of",
    "plain_value",
    "projection_of",
    "stepped_cards",
]

_TEXT = ("CTYPE1", "CTYPE2", "CUNIT1", "CUNIT2", "RADESYS")
_NUMBERS = (
    *("CRPIX1", "CRPIX2", "CRVAL1", "CRVAL2", "CDELT1", "CDELT2"),
    *("CD1_1", "CD1_2", "CD2_1", "CD2_2", "PC1_1", "PC1_2", "PC2_1", "PC2_2"),
    *("LONPOLE", "LATPOLE", "EQUINOX"),
)
CARDS = ("WCSAXES", *_TEXT, *_NUMBERS)

# of FITS before 2002; wcslib reads them too
_OLD_NAMES = {"RADESYS": "RADECSYS", "EQUINOX": "EPOCH"}

_DISTORTION = re.compile(r"PV\d+_\d+|PS\d+_\d+")
# of the exposures that an image was drizzled from: without -SIP, or the tables in the file, they
# move nothing (IRAF's WAT goes with a CTYPE of its own)
_TABLES = re.compile(r"CPDIS\d|DP\d.*|D2IM.*")
_LEFTOVER = re.compile(rf"(A|B|AP|BP)_(ORDER|\d_\d)|WAT\d_\d+|{_TABLES.pattern}")
_DISTORTED = ("TPV", "TNX", "ZPX", "ZPN", "DSS")
_PLAIN_TYPE = 8  # characters of a CTYPE; a longer one names a distortion

# pixels along a third axis that move the sky
_BESIDE_THE_SKY = re.compile(r"(CD|PC)([12]_[3-9]|[3-9]_[12])")
_MOST_AXES = 9

# what a card can say; beyond, it is damaged
_BETWEEN = {
    **dict.fromkeys(("CRPIX1", "CRPIX2"), (-1e9, 1e9)),
    # a longitude is an angle: 360.0005 is one beside RA 0
    **dict.fromkeys(("CRVAL1", "CRVAL2"), (-720.0, 720.0)),
    "LONPOLE": (-360.0, 360.0),
    "LATPOLE": (-90.0, 90.0),
    "EQUINOX": (1800.0, 2200.0),
}

_ZENITHAL = ("TAN", "SIN", "STG", "ARC", "ZEA")
_LATITUDES = ("DEC-", "GLAT", "ELAT")
# those that need no further numbers
_PROJECTIONS = (*_ZENITHAL, "CAR", "CEA", "MER", "SFL", "PAR", "MOL", "AIT")
# system, axis: 0 for a longitude, 1 for a latitude
_SYSTEMS = {
    "RA": (0, 0),
    "DEC": (0, 1),
    "GLON": (1, 0),
    "GLAT": (1, 1),
    "ELON": (2, 0),
    "ELAT": (2, 1),
}
_FRAMES = ("ICRS", "FK5", "FK4", "FK4-NO-E")
_SINGULAR = 1e-8  # of a matrix whose columns have unit length
_SAME = 1e-8  # of the largest element: two matrices are one


def checked_cards(header: Mapping[str, Any], *, tables: bool = False) -> tuple[Card, ...]:
    """Return the cards of a header's celestial WCS, verbatim.

    Parameters
    ----------
    header : FITS header or any mapping of cards
    tables : bool
        Whether the file holds the look-up tables of a distortion.

    Raises
    ------
    GridError
        If there is none, it is impossible, or it has distortions.
    """
    _refuse_distortion(header, tables=tables)
    cards: Cards = {}
    for key in CARDS:
        value = card_value(header, key) if key in header else None
        if value is None and key in _OLD_NAMES:  # a card without a value says as much as none
            value = card_value(header, _OLD_NAMES[key])
        if value is not None:
            cards[key] = plain_value(key, value)
    cards = _said_once(cards)
    _check(tuple(cards.items()))
    if "WCSAXES" in cards:
        _require_two_axes(header, cards["WCSAXES"])
        cards["WCSAXES"] = 2
    return tuple(cards.items())


def leftovers(header: Mapping[str, Any]) -> list[str]:
    """Return cards of distortions that were taken out when the image was drizzled."""
    found = _matching(_LEFTOVER, tuple(header))
    return [key for key in found if (card_value(header, key) or 0) != 0]


@lru_cache(maxsize=256)
def _matching(pattern: re.Pattern[str], keys: tuple[str, ...]) -> tuple[str, ...]:
    """Return the keywords that a pattern fits: those of a field's images are the same."""
    return tuple(str(key) for key in keys if pattern.fullmatch(str(key)))


def _said_once(cards: Cards) -> Cards:
    """Leave out PC and CDELT where they say what CD says: cut-outs of drizzled images hold both."""
    if not (_has_cd(cards) and any(key.startswith("PC") for key in cards)):
        return cards
    without = {key: value for key, value in cards.items() if not key.startswith(("PC", "CDELT"))}
    other = {key: value for key, value in cards.items() if not key.startswith(("CD1_", "CD2_"))}
    meant = matrix_of(without)
    apart = np.abs(meant - matrix_of(other)).max()
    return without if apart <= _SAME * np.abs(meant).max() else cards


def plain_value(key: str, value: Any) -> float | str:
    """Return the value of a card as a plain Python number or string.

    Raises
    ------
    GridError
        If it should be a finite number, and is none.
    """
    value = value.item() if isinstance(value, np.generic) else value
    if key in _TEXT:
        return str(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        reason = f"the WCS card {key} is {value!r}, not a finite number"
        raise GridError("HC-W06", reason, "repair the header")
    return value


@lru_cache(maxsize=256)
def _check(known: tuple[Card, ...]) -> None:
    """Refuse an impossible WCS; that of one field is judged once, not for each of its images.

    Nothing is kept but that it is possible: 1 and 1.0 are one to the memory.
    """
    cards = dict(known)
    latitude = _checked_axes(cards)
    _require_place(cards)
    _require_degrees(cards)
    if (frame := _frame(cards)) not in _FRAMES:
        raise GridError(
            "HC-W06",
            f"RADESYS is {frame!r}",
            f"choose from {', '.join(_FRAMES)}, or remove the card",
        )
    _require_possible(cards, latitude)
    _require_invertible(cards)
    _refuse_contradiction(cards)


def _checked_axes(cards: Cards) -> int:
    """Return the number of the axis that is a latitude, once both axes make sense together."""
    types = [str(cards.get(f"CTYPE{i}", "")).rstrip() for i in (1, 2)]
    if not any(types):
        raise GridError(
            "HC-W02",
            "the header has no CTYPE1, CTYPE2: it does not say what its axes are",
            "give the image a celestial WCS, e.g. CTYPE1 = 'RA---TAN'",
        )
    (first, axis), (second, other) = (_SYSTEMS.get(t[:5].rstrip("-"), (-1, 0)) for t in types)
    projections = {t[5:] for t in types}
    if first != second or {axis, other} != {0, 1} or len(projections) > 1:
        raise GridError(
            "HC-W12",
            f"CTYPE1, CTYPE2 = {types} are not a longitude and a latitude of one system and "
            "projection",
            "give the image a celestial WCS, e.g. 'RA---TAN', 'DEC--TAN'",
        )
    if not projections <= {*_PROJECTIONS}:
        known = ", ".join(_PROJECTIONS)
        reason = f"CTYPE1, CTYPE2 = {types} name no projection that is known"
        raise GridError("HC-W12", reason, f"there are {known}")
    return 1 if axis == 1 else 2


def _require_place(cards: Cards) -> None:
    if missing := [key for key in ("CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2") if key not in cards]:
        raise GridError("HC-W01", f"the WCS lacks {', '.join(missing)}", "repair the header")
    # without them the standard's default is a degree a pixel
    if not any(key.startswith(("CD", "PC")) for key in cards):
        reason = "the WCS has no pixel scale: no CD, and no CDELT"
        raise GridError("HC-W01", reason, "repair the header")


def _require_degrees(cards: Cards) -> None:
    units = {str(cards.get(f"CUNIT{i}", "deg")).strip().lower() or "deg" for i in (1, 2)}
    if not units <= {"deg", "degree", "degrees"}:
        reason = f"the WCS is in {sorted(units)}, not in degrees"
        raise GridError("HC-W06", reason, "write CRVAL and CD in degrees")


def _require_possible(cards: Cards, latitude: int) -> None:
    """Refuse numbers that no image can have: wcslib computes with them, or drops them, silently."""
    for key, (low, high) in {**_BETWEEN, f"CRVAL{latitude}": (-90.0, 90.0)}.items():
        if key in cards and not low <= float(cards[key]) <= high:
            reason = f"the WCS card {key} is {cards[key]}, not between {low:g} and {high:g}"
            raise GridError("HC-W06", reason, "repair the header")


def _require_invertible(cards: Cards) -> None:
    matrix = matrix_of(cards)
    sizes = np.hypot(*matrix)
    usable = np.isfinite(matrix).all() and (sizes > 0).all()
    if not (usable and abs(np.linalg.det(matrix / sizes)) > _SINGULAR):
        raise GridError(
            "HC-W03",
            f"the CD (or PC, CDELT) matrix is singular: {matrix.tolist()}",
            "repair the header: no pixel scale can be read from it",
        )


def _refuse_contradiction(cards: Cards) -> None:
    """CD with PC, or CD with a CDELT of another size: which one is right cannot be known."""
    if not _has_cd(cards):
        return
    if any(key.startswith("PC") for key in cards):
        reason = "the header holds both CD and PC cards"
        raise GridError("HC-W05", reason, "remove the one that is not meant")
    sizes = np.hypot(*matrix_of(cards))
    for size, key in zip(sizes, ("CDELT1", "CDELT2"), strict=True):
        delta = abs(float(cards.get(key, 1.0)))
        if delta != 1.0 and abs(delta / size - 1) > 1e-6:  # noqa: PLR2004
            raise GridError(
                "HC-W05",
                f"{key} = {delta} contradicts the CD matrix, whose pixel is {size:.6g} deg",
                f"remove {key}, or repair the CD cards",
            )


def _require_two_axes(header: Mapping[str, Any], number: float | str) -> None:
    """Refuse a number of axes that cannot be, and further axes that the sky depends on."""
    if number not in range(2, _MOST_AXES + 1):
        raise GridError(
            "HC-W06",
            f"WCSAXES is {number}: an image has two axes",
            "write WCSAXES = 2, or remove it",
        )
    for key in _matching(_BESIDE_THE_SKY, tuple(header)):
        if (card_value(header, key) or 0) != 0:
            reason = f"{key} ties the sky to a third axis"
            raise GridError("HC-W06", reason, "remove the third axis")


def _refuse_distortion(header: Mapping[str, Any], *, tables: bool) -> None:
    if any((card_value(header, key) or 0) != 0 for key in ("CROTA1", "CROTA2")):
        raise GridError(
            "HC-W24",
            "the WCS is rotated by CROTA, which the standard gave up",
            "write CD cards instead",
        )
    found = _distortions(header)
    if tables:
        found += [key for key in leftovers(header) if _TABLES.fullmatch(key)]
    if found:
        raise GridError(
            "HC-W07",
            f"the WCS is distorted ({', '.join(found[:3])})",
            "drizzle the image onto an undistorted grid first",
        )


def _distortions(header: Mapping[str, Any]) -> list[str]:
    types = [card_text(header, f"CTYPE{i}").upper() for i in (1, 2)]
    found = [t for t in types if len(t) > _PLAIN_TYPE]
    found += [t for t in types if t.endswith(_DISTORTED)]
    keys = _matching(_DISTORTION, tuple(header))
    return found + [key for key in keys if _moves_pixels(header, key, types)]


def _moves_pixels(header: Mapping[str, Any], key: str, types: list[str]) -> bool:
    """Say whether a card of a distortion or projection has an effect.

    That of a PV card may have one when it is 0.
    """
    value = card_value(header, key) or 0
    if value != 0 or not key.startswith("PV"):
        return bool(value != 0)
    for axis, kind in enumerate(types, start=1):
        harmless = kind[:4] in _LATITUDES and kind[5:] in _ZENITHAL
        if harmless and key.startswith(f"PV{axis}_"):
            return False
    return True


def stepped_cards(
    cards: tuple[Card, ...], start: tuple[float, float], step: tuple[float, float]
) -> tuple[Card, ...]:
    """Return the cards of pixels that are centred on start + step * (i, j) of the given ones."""
    new: Cards = dict(cards)
    if not _has_cd(new):  # the standard's defaults, which a step must scale too
        new = {"PC1_1": 1.0, "PC2_2": 1.0, **new}
    for axis, p0, s in ((1, start[1], step[1]), (2, start[0], step[0])):
        new[f"CRPIX{axis}"] = (float(new[f"CRPIX{axis}"]) - 1 - p0) / s + 1
        for key in (f"CD1_{axis}", f"CD2_{axis}", f"PC1_{axis}", f"PC2_{axis}"):
            if key in new:
                new[key] = float(new[key]) * s
    return tuple(new.items())


def matrix_of(cards: Mapping[str, float | str]) -> NDArray[np.float64]:
    """Return the linear part, (2, 2): degrees on the sky per pixel; columns are x and y."""
    if _has_cd(cards):
        return _elements(cards, "CD", (0.0, 0.0, 0.0, 0.0))
    delta = np.array([[float(cards.get(f"CDELT{i}", 1.0))] for i in (1, 2)])
    return np.asarray(delta * _elements(cards, "PC", (1.0, 0.0, 0.0, 1.0)))


def _elements(
    cards: Mapping[str, float | str], kind: str, defaults: tuple[float, ...]
) -> NDArray[np.float64]:
    places = ("1_1", "1_2", "2_1", "2_2")
    found = [cards.get(f"{kind}{p}", value) for p, value in zip(places, defaults, strict=True)]
    return np.array([float(value) for value in found]).reshape(2, 2)


def _has_cd(cards: Mapping[str, float | str]) -> bool:
    return any(key.startswith(("CD1_", "CD2_")) for key in cards)


def projection_of(cards: Mapping[str, float | str]) -> tuple[object, ...]:
    """Return all that fixes the map from the tangent plane to the sky, with the defaults.

    Two images of one projection are tied by an affine map of their pixels.
    """
    types = (str(cards["CTYPE1"]).strip(), str(cards["CTYPE2"]).strip())
    latitude = cards["CRVAL2"] if types[0].startswith(("RA", "GLON", "ELON")) else cards["CRVAL1"]
    zenithal = types[0][5:8] in _ZENITHAL
    pole = 0.0 if float(latitude) >= (90.0 if zenithal else 0.0) else 180.0
    return (
        *types,
        cards["CRVAL1"],
        cards["CRVAL2"],
        cards.get("LONPOLE", pole),
        None if zenithal else cards.get("LATPOLE"),
        _frame(cards),
        _equinox(cards),
    )


def _equinox(cards: Mapping[str, float | str]) -> float | None:
    """EQUINOX, or what the standard assumes without it; None where it has no meaning."""
    if _frame(cards) == "ICRS":
        return None
    return float(cards.get("EQUINOX", 2000.0 if _frame(cards) == "FK5" else 1950.0))


def _frame(cards: Mapping[str, float | str]) -> str:
    """RADESYS, or what the standard assumes without it."""
    if "RADESYS" in cards:
        return str(cards["RADESYS"]).strip().upper()
    if "EQUINOX" not in cards:
        return "ICRS"
    return "FK5" if float(cards["EQUINOX"]) >= 1984.0 else "FK4"  # noqa: PLR2004  the standard's year


@lru_cache(maxsize=256)
def fingerprint_of(cards: tuple[Card, ...]) -> int:
    """Return cards as one 64-bit number, the same in every process."""
    text = "\n".join(
        f"{key}={value.strip() if isinstance(value, str) else repr(float(value) + 0.0)}"
        for key, value in cards
    )
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big", signed=True)
