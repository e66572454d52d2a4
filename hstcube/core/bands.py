"""The filters of HST and JWST: their names, their instruments and their pivot wavelengths."""

from __future__ import annotations

import difflib
import re
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from hstcube import shipped
from hstcube.errors import BandError, RecipeError
from hstcube.inputs.quantities import number_in, short

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "Band",
    "band",
    "band_name",
    "cameras",
    "filter_of",
    "is_filter",
    "name_among",
    "numbers_by_band",
]

# as releases write filters: with what stands in the pupil, or a letter of the camera (u: UVIS,
# n: NIRISS) behind
_WRITTEN = re.compile(
    r"(?:clearp?-)?(?P<name>f\d{3,4}(?:lp|[wmnx]2?))[un]?"
    r"(?:-(?:clearp?|(?P<pupil>f\d{3,4}[wmn]2?)n?))?"
)

_PIVOT = (
    "give its pivot wavelength [Angstrom]: [[pivot = 15000.0 with its sci and wht in a field file|"
    "pivot= in open_bands or build, or pivot = 15000.0 in a field file]]"
)


class Band(NamedTuple):
    """A filter as one camera has it; ``pivot`` is its pivot wavelength, Angstrom.

    ``eazy`` is its number in EAZY's FILTER.RES.latest (0 where it is not known), the others are its
    names in sedpy, CIGALE and piXedfit (empty where they have none).
    """

    name: str
    instrument: str
    detector: str
    pivot: float
    reference: str
    eazy: int = 0
    sedpy: str = ""
    cigale: str = ""
    pixedfit: str = ""

    @property
    def words(self) -> tuple[str, ...]:
        """What may stand behind its name to say which camera's it is."""
        return tuple(word.lower() for word in (self.instrument, self.detector) if word)

    def is_of(self, instrument: str, detector: str = "") -> bool:
        """Say whether it is of the camera that a header names.

        A row without a detector is of all that the instrument has; so is a header without one.
        """
        same = instrument.strip().upper() == self.instrument
        return same and (not self.detector or detector.strip().upper() == self.detector)


def band(name: str, *, instrument: str = "", detector: str = "") -> Band:
    """Return the filter of that name, of that camera where several have one.

    Parameters
    ----------
    name : str
        ``"f160w"``, ``"F160W"`` or the digits alone, ``"160"``; with a camera behind where a cube
        has a filter twice, ``"f606w-wfpc2"``.
    instrument, detector : str, optional
        What a header says; ignored when that camera has no such filter.

    Raises
    ------
    BandError
        If no camera has it.
    """
    name = band_name(name)
    known = cameras(name)
    if not known:
        close = difflib.get_close_matches(name, _table(), n=3)
        raise BandError(
            "HC-B07",
            f"no camera in the table has a filter {name!r}",
            (f"did you mean {', '.join(close)}? Else " if close else "") + _PIVOT,
            band=name,
        )
    return next((one for one in known if one.is_of(instrument, detector)), known[0])


def band_name(text: str) -> str:
    """Return the lower-case name of a filter, as the table has it.

    ``"F160W"`` and ``"160"`` are ``"f160w"``; grizli's ``"f606wu"`` is ``"f606w"``,
    ``"F115W-CLEAR"`` and ``"f115wn-clear"`` are ``"f115w"``. Of two filters in the light the narrow
    one counts: ``"f444w-f470n"`` is ``"f470n"``.
    """
    name = text.strip().lower()
    if name.isdigit():
        return next((known for known in _wide() if digits(known) == name), name)
    if name in _table() or not (written := _WRITTEN.fullmatch(name)):
        return name
    found = [written["name"], written["pupil"] or written["name"]]
    narrow = found[0] if "w" not in found[0] else found[1]
    return narrow if narrow in _table() else name


def is_filter(name: str) -> bool:
    """Say whether a table has a filter of that name; see `band_name`."""
    return bool(cameras(name)) and name == band_name(name)


def filter_of(name: str) -> str:
    """Return the name of a band's filter, without the camera that may stand behind it.

    Examples
    --------
    >>> filter_of("f606w-wfpc2"), filter_of("f606w")
    ('f606w', 'f606w')
    """
    name = band_name(name)
    return name.rpartition("-")[0] if name not in _table() and cameras(name) else name


def name_among(text: str, there: Iterable[str]) -> str:
    """Return the one of the bands that is meant; `band_name` of it where it is none of them.

    Examples
    --------
    >>> name_among("F160W", ["f606w", "f160w"]), name_among("f160w", ["F160W"])
    ('f160w', 'F160W')
    """
    names = [str(name) for name in there]
    if text in names:
        return text
    wanted = band_name(text)
    return next((name for name in names if band_name(name) == wanted), wanted)


def numbers_by_band(unit: str, given: Any, name: str, **limits: Any) -> dict[str, float]:
    """Return numbers that are given band by band, by the bands' names.

    Parameters
    ----------
    unit : str
        See `numbers_in`.
    given : mapping of band to number or Quantity, or None
        None is none of them.
    name : str
        The argument, as its caller knows it.
    **limits
        As for `numbers_in`.

    Raises
    ------
    BandError
        If a band is named twice.
    HstCubeError
        As `numbers_in`; or if it is no mapping.
    """
    if given is None:
        return {}
    if not hasattr(given, "keys"):
        reason = f"{name} is {short(given)}, not a number for each band"
        fix = f"give [[a number for each band|a mapping: {name}={{'f160w': ...}}]]"
        raise RecipeError("HC-B31", reason, fix)
    found: dict[str, float] = {}
    for key in given:
        band = band_name(str(key))
        if band in found:
            raise BandError("HC-B02", f"{name} names it twice", "keep one of the two", band=band)
        found[band] = number_in(unit, given[key], f"{name} of {band}", **limits)
    return found


def pivot(name: str) -> float:
    """Return the pivot wavelength of a filter [Angstrom].

    Infinite, so that it sorts last, when it is in no table.
    """
    known = cameras(name)
    return known[0].pivot if known else float("inf")


def cameras(name: str | None = None) -> tuple[Band, ...]:
    """Return a filter as each camera has it; all filters when none is named.

    Where a camera stands behind the name, ``"f606w-uvis"`` or ``"f115w-niriss"``, it is that alone.
    """
    if name is None:
        return tuple(entry for entries in _table().values() for entry in entries)
    name = band_name(name)
    if name in _table():
        return _table()[name]
    plain, _, camera = name.rpartition("-")
    of_all = _table().get(plain, ())
    return tuple(one._replace(name=name) for one in of_all if camera in one.words)


def digits(name: str) -> str:
    """Return the digits of a filter's name, by which the original pipeline calls it."""
    return "".join(filter(str.isdigit, filter_of(name)))


@cache
def _wide() -> tuple[str, ...]:
    """Return the filters that digits alone stand for: the wide ones of ACS and WFC3."""
    return tuple(
        name
        for name, (first, *_) in _table().items()
        if first.instrument in ("ACS", "WFC3") and re.fullmatch(r"f\d{3}w|f098m|f850lp", name)
    )


@cache
def _table() -> dict[str, tuple[Band, ...]]:
    table: dict[str, tuple[Band, ...]] = {}
    for row in shipped.table("hstcube.core", "bands.csv"):
        entry = Band(
            name=row["name"],
            instrument=row["instrument"],
            detector=row["detector"],
            pivot=float(row["pivot"]),
            reference=row["reference"],
            eazy=int(row["eazy"] or 0),
            sedpy=row["sedpy"],
            cigale=row["cigale"],
            pixedfit=row["pixedfit"],
        )
        table[entry.name] = (*table.get(entry.name, ()), entry)
    return table
