"""Units as people and programs write them: read as they stand, and their case folded only then."""

from __future__ import annotations

import re
import warnings
from functools import lru_cache
from itertools import islice, product
from typing import Any, NamedTuple

from hstcube.errors import CubeError

__all__ = [
    "KNOWN_UNITS",
    "RATE",
    "Counts",
    "counts_in",
    "is_surface_brightness",
    "parsed_unit",
    "read_unit",
]

RATE = "electron s-1"
KNOWN_UNITS = (RATE, "uJy", "nJy", "Jy", "electron", "MJy sr-1")

# what detectors count: the name that astropy has for it
_COUNTED = {
    **dict.fromkeys(("electron", "electrons", "e", "e-"), "electron"),
    **dict.fromkeys(("count", "counts", "ct", "cts"), "ct"),
    **dict.fromkeys(("dn", "dns"), "DN"),
    **dict.fromkeys(("adu", "adus"), "adu"),
    **dict.fromkeys(("photon", "photons", "ph"), "ph"),
}
_SECOND = r"s(?:ecs?|econds?)?"
_COUNTS = re.compile(
    rf"(?P<what>{'|'.join(map(re.escape, sorted(_COUNTED, key=len, reverse=True)))})"
    rf"(?P<rate>\s*(?:/|\bper\b)\s*{_SECOND}|[ .*]+{_SECOND}\s*(?:\*\*|\^)?\s*\(?-1\)?)?",
    re.IGNORECASE,
)
_PER_SECOND = {"cps": "ct"}

_WORD = re.compile(r"(?<![\d.A-Za-z])([A-Za-z]+)")
# astropy reads siemens and ampere, in which no image is
_MEANT = {"S": "s", "A": "Angstrom", "Ang": "Angstrom"}
_SHORT = {"sec": "s", "secs": "s"}
_MOST_READINGS = 64


class Counts(NamedTuple):
    """What the pixels of an image count."""

    what: str
    """"electron", "ct", "DN", "adu" or "ph"."""
    per_second: bool
    scale: float = 1.0
    """How many of them the unit is."""


def read_unit(said: Any) -> str:
    """Return a unit as text that astropy reads, `KNOWN_UNITS` in their own spelling.

    It is read as it stands (mJy/sr is not MJy/sr); only where astropy cannot do that, capitals and
    small letters are not told apart (UJY, ELECTRONS/S).

    Parameters
    ----------
    said : str or Unit
        BUNIT, ``attrs["units"]``, or an argument.

    Raises
    ------
    CubeError
        If it is no unit, or its case decides between several (MJY, pjy).

    Examples
    --------
    >>> read_unit("ELECTRONS/S"), read_unit("mJy/sr"), read_unit("MJY/SR")
    ('electron s-1', 'mJy/sr', 'MJy sr-1')
    """
    if hasattr(said, "to_string"):
        said = said.to_string()
    if not isinstance(said, str):
        raise _no_unit(said)
    return _read(" ".join(said.split()))


@lru_cache(maxsize=256)
def _read(said: str) -> str:
    if said in KNOWN_UNITS:
        return said
    if counted := _COUNTS.fullmatch(said):
        what = _COUNTED[counted["what"].lower()]
        return f"{what} s-1" if counted["rate"] else what
    if (what := _PER_SECOND.get(said.lower(), "")) != "":
        return f"{what} s-1"
    text = _WORD.sub(lambda word: _MEANT.get(word[0], word[0]), said)
    unit = _parsed(text)
    if unit is None:
        text = _folded(said, text)
        unit = _parsed(text)
    return next((known for known in KNOWN_UNITS if _parsed(known) == unit), text)


def _folded(said: str, text: str) -> str:
    """Return a unit with words that astropy knows, whatever the case of their letters."""
    parts = _WORD.split(text)
    ways = [_spellings(part) if i % 2 else [part] for i, part in enumerate(parts)]
    found: dict[Any, str] = {}
    for way in islice(product(*ways), _MOST_READINGS):
        if (unit := _parsed("".join(way))) is not None:
            found.setdefault(unit, "".join(way))
    if not found:
        raise _no_unit(said)
    # in capitals it is the unit of infrared images
    usual = [spelt for unit, spelt in found.items() if unit == _parsed("MJy sr-1")]
    if len(found) > 1 and not (usual and said.isupper()):
        listed = " or ".join(repr(spelt) for spelt in found.values())
        reason = f"the unit {said!r} may be {listed}: its letters' case decides"
        raise CubeError("HC-D25", reason, f"write the one that is meant: {listed}")
    return usual[0] if len(found) > 1 else next(iter(found.values()))


def _spellings(word: str) -> list[str]:
    """Return the units of astropy that are spelt like a word but for the case of letters."""
    from astropy.units import get_current_unit_registry

    known = get_current_unit_registry().registry
    if word in known:
        return [word]
    low = _SHORT.get(word.lower(), word.lower())
    alike = sorted(name for name in known if name.lower() == low)
    if not alike and low.endswith("s"):
        alike = sorted(name for name in known if name.lower() == low[:-1])
    return alike


@lru_cache(maxsize=256)
def _parsed(text: str) -> Any:
    """Return the astropy unit, None where it does not read it."""
    from astropy.units import Unit

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # several slashes, which are read all the same
        try:
            return Unit(text)
        except (ValueError, TypeError):
            return None


def parsed_unit(units: Any) -> Any:
    """Return the astropy unit of a text that must be one as it stands.

    Raises
    ------
    CubeError
        If astropy does not read it.
    """
    unit = _parsed(units) if isinstance(units, str) else None
    if unit is None:
        raise _no_unit(units)
    return unit


def counts_in(unit: str) -> Counts | None:
    """Return what an image in a unit counts, None where it is in physical units."""
    if unit == RATE:
        return Counts("electron", per_second=True)
    one = parsed_unit(unit).decompose()
    powers = {str(base): power for base, power in zip(one.bases, one.powers, strict=True)}
    for what in dict.fromkeys(_COUNTED.values()):
        if powers.get(what) == 1 and powers.keys() <= {what, "s"}:
            return Counts(what, per_second=powers.get("s", 0) == -1, scale=one.scale)
    return None


def is_surface_brightness(unit: str) -> bool:
    """Return whether a unit is per solid angle."""
    if unit == RATE:  # astropy's units take time
        return False
    from astropy import units

    bases = parsed_unit(unit).decompose()
    return (units.rad, -2) in zip(bases.bases, bases.powers, strict=True)


def _no_unit(said: Any) -> CubeError:
    return CubeError(
        "HC-C04",
        f"sci has units {said!r}, which astropy does not read",
        "write e.g. BUNIT[[|, or cube.sci.attrs['units'],]] as 'electron s-1' or 'uJy'",
    )
