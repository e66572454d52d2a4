"""The filters of HST and JWST: their names, their instruments and their pivot wavelengths."""

from __future__ import annotations

import difflib
import math
import re
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

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
    "is_filter",
    "name_among",
    "names_among",
    "names_apart",
    "names_in",
    "numbers_by_band",
    "plain",
    "require_by_band",
]

# as releases write filters: with what stands in the pupil, or a letter of the camera (u: UVIS,
# n: NIRISS) behind
_WRITTEN = re.compile(
    r"(?:clearp?-)?(?P<name>f\d{3,4}(?:lp|[wmnx]2?))(?P<letter>[un])?"
    r"(?:-(?:clearp?|(?P<pupil>f\d{3,4}[wmn]2?)n?))?"
)
_OF_LETTER = {"u": "uvis", "n": "niriss"}
# one filter of several cameras in one cube: f606w-uvis; a field file may write f606w_uvis
_OF_CAMERA = re.compile(r"(?P<name>f\d{3,4}(?:lp|[wmnx]2?))[-_](?P<camera>[a-z]+\d?)")

_PIVOT = (
    "give its pivot wavelength [Angstrom]: [[--pivot BAND=15000, or pivot = 15000.0 with its sci "
    "and wht in a field file|"
    "pivot= in open_bands or build, or pivot = 15000.0 in a field file]]"
)


class Band(NamedTuple):
    """A filter as one camera has it; ``pivot`` is its pivot wavelength, Angstrom.

    ``width`` is its rectangular width, Angstrom: the integral of its throughput over the maximum
    (NaN where no curve of it ships).
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
    width: float = math.nan

    @property
    def words(self) -> tuple[str, ...]:
        """What names its camera, lower case: the instrument, and the detector where it has one."""
        return tuple(word.lower() for word in (self.instrument, self.detector) if word)

    @property
    def camera(self) -> str:
        """What stands behind the name where another camera has a filter of it: "uvis"."""
        return (self.detector or self.instrument).lower()

    def is_of(self, instrument: str, detector: str = "") -> bool:
        """Say whether it is of the camera that a header names.

        A row without a detector is of all that the instrument has; so is a header without one.
        """
        same = str(instrument).strip().upper() == self.instrument
        return same and (not self.detector or str(detector).strip().upper() == self.detector)


def band(name: str, *, instrument: str = "", detector: str = "") -> Band:
    """Return the filter of that name, of that camera where several have one.

    Parameters
    ----------
    name : str
        ``"f160w"``, ``"F160W"`` or the digits alone, ``"160"``; ``"f606w-uvis"`` of one camera.
    instrument, detector : str, optional
        What a header says; ignored when that camera has no such filter, or the name says another.

    Raises
    ------
    BandError
        If no camera has it.

    Examples
    --------
    >>> import hstcube
    >>> hstcube.band("F160W").pivot
    15369.2
    >>> hstcube.band("606").detector
    'WFC'
    """
    name = band_name(name)
    cameras = _entries(name)
    if not cameras:
        close = difflib.get_close_matches(name, _table(), n=3)
        raise BandError(
            "HC-B07",
            f"no camera in the table has a filter {name!r}",
            (f"did you mean {', '.join(close)}? Else " if close else "") + _PIVOT,
            band=name,
        )
    return next((one for one in cameras if one.is_of(instrument, detector)), cameras[0])


def band_name(text: str) -> str:
    """Return the lower-case name of a filter, as the table has it.

    ``"F160W"`` and ``"160"`` are ``"f160w"``; grizli's ``"f606wu"`` is ``"f606w"``,
    ``"F115W-CLEAR"`` and ``"f115wn-clear"`` are ``"f115w"``. Of two filters in the light the narrow
    one counts: ``"f444w-f470n"`` is ``"f470n"``. A camera that is named behind stays there, by its
    detector where it has several: ``"F606W_UVIS"`` is ``"f606w-uvis"``, ``"f606w-acs"`` is
    ``"f606w-wfc"``; see `names_apart`.
    """
    name = str(text).strip().lower()  # the digits may come as a number
    if name.isdigit():
        return next((known for known in _wide() if digits(known) == name), name)
    if name in _table():
        return name
    if of_camera := _named_camera(name):
        return of_camera
    if not (written := _WRITTEN.fullmatch(name)):
        return name
    found = [written["name"], written["pupil"] or written["name"]]
    narrow = found[0] if "w" not in found[0] else found[1]
    return narrow if narrow in _table() else name


def names_apart(texts: Iterable[str]) -> list[str]:
    """Return the names of the bands of one cube, those of one filter by two cameras told apart.

    A letter of a camera counts where its filter is there twice: grizli's ``f606wu`` (UVIS) and
    ``f115wn`` (NIRISS).

    Examples
    --------
    >>> names_apart(["f606w", "f606wu"]), names_apart(["f606wu"])
    (['f606w', 'f606w-uvis'], ['f606w'])
    """
    given = [*texts]
    names = [band_name(text) for text in given]
    return [
        _by_letter(text, name) if names.count(name) > 1 else name
        for text, name in zip(given, names, strict=True)
    ]


def plain(name: str) -> str:
    """Return the filter of a band's name: ``f606w`` of ``f606w-uvis``."""
    return name.partition("-")[0] if _entries(name) else name


def is_filter(name: str) -> bool:
    """Say whether a table has a filter of that name; see `band_name`."""
    return bool(_entries(name))


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
    if (of_letter := _by_letter(text, wanted)) in names:  # beside that of another camera
        return of_letter
    return next((name for name in names if band_name(name) == wanted), wanted)


def names_among(given: Any, there: Iterable[str], argument: str = "bands") -> list[str]:
    """Return the bands that are meant, as `name_among`; all that there are where none is named.

    Parameters
    ----------
    given : str, or several
        See `names_in`.
    there : iterable of str
        The bands that there are.
    argument : str
        What was given, as its caller knows it.
    """
    known = [*there]
    return [name_among(text, known) for text in names_in(given, argument)] or known


def names_in(given: Any, argument: str = "bands") -> list[str]:
    """Return the names that an argument holds, one or several: words, digits, an array of them.

    Raises
    ------
    BandError
        If it holds something else.

    Examples
    --------
    >>> names_in("f160w"), names_in(["F606W", 160]), names_in(None)
    (['f160w'], ['F606W', '160'], [])
    """
    if given is None:
        return []
    one = isinstance(given, str | int | np.integer)
    try:
        several = [given] if one else np.ravel(given) if hasattr(given, "shape") else [*given]
        listed = [getattr(name, "item", lambda name=name: name)() for name in several]
    except (TypeError, ValueError):
        listed = [None]
    if isinstance(given, bytes) or not all(type(name) in (str, int) for name in listed):
        fix = f"give names[[|: {argument}=['f606w', 'f160w']]]"
        raise BandError("HC-B01", f"{argument} is {short(given)}, not names of bands", fix)
    return [str(name) for name in listed]


def require_by_band(argument: str, given: Any, what: str) -> None:
    """Raise RecipeError unless an argument holds a thing, as "a number", for each of its bands."""
    if hasattr(given, "keys") and not hasattr(given, "colnames"):
        return
    reason = f"{argument} is {short(given)}, not {what} for each band"
    fix = f"give [[{what} for each band|a mapping: {argument}={{'f160w': ...}}]]"
    raise RecipeError("HC-B31", reason, fix)


def numbers_by_band(
    unit: str, given: Any, name: str, *, there: Iterable[str] = (), **limits: Any
) -> dict[str, float]:
    """Return numbers that are given band by band, by the bands' names.

    Parameters
    ----------
    unit : str
        See `numbers_in`.
    given : mapping of band to number or Quantity, or None
        None is none of them.
    name : str
        The argument, as its caller knows it.
    there : iterable of str
        The bands that there are; see `name_among`.
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
    require_by_band(name, given, "a number")
    found: dict[str, float] = {}
    known = [*there]
    for key in given:
        band = name_among(str(key), known)
        if band in found:
            raise BandError("HC-B02", f"{name} names it twice", "keep one of the two", band=band)
        found[band] = number_in(unit, given[key], f"{name} of {band}", **limits)
    return found


def pivot(name: str) -> float:
    """Return the pivot wavelength of a filter [Angstrom].

    Infinite, so that it sorts last, when it is in no table.
    """
    cameras = _entries(band_name(name))
    return cameras[0].pivot if cameras else float("inf")


def cameras(name: str | None = None) -> tuple[Band, ...]:
    """Return a filter as each camera has it; all filters when none is named.

    Where a camera stands behind the name, ``"f606w-uvis"`` or ``"f115w-niriss"``, it is that alone.
    """
    if name is None:
        return tuple(entry for entries in _table().values() for entry in entries)
    return _entries(band_name(name))


def digits(name: str) -> str:
    """Return the digits of a filter's name, by which the original pipeline calls it."""
    return "".join(filter(str.isdigit, plain(name)))


def _entries(name: str) -> tuple[Band, ...]:
    """Return the rows of a name as `band_name` gives it: all cameras', or the one's it names."""
    known, behind, camera = name.partition("-")
    rows = _table().get(known, ())
    return tuple(row for row in rows if row.camera == camera) if behind else rows


def _named_camera(name: str) -> str:
    """Return the name of a filter and the camera that it names, '' where it names none."""
    if not (said := _OF_CAMERA.fullmatch(name)):
        return ""
    rows = _table().get(said["name"], ())
    by = (row for row in rows if said["camera"] in (row.camera, row.instrument.lower()))
    found = next(by, None)
    return f"{found.name}-{found.camera}" if found else ""


def _by_letter(text: str, name: str) -> str:
    """Return the name of a band with the camera that a letter of a text stands for, if any."""
    written = _WRITTEN.fullmatch(text.strip().lower())
    letter = written["letter"] if written else None
    of_camera = f"{name}-{_OF_LETTER[letter]}" if letter else name
    return of_camera if _entries(of_camera) else name


@cache
def _wide() -> tuple[str, ...]:
    """Return the filters that digits alone stand for: the wide ones of ACS and WFC3."""
    return tuple(
        name
        for name, (first, *_) in _table().items()
        if first.detector in ("WFC", "UVIS", "IR") and re.fullmatch(r"f\d{3}w|f098m|f850lp", name)
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
            width=float(row["width"] or math.nan),
        )
        table[entry.name] = (*table.get(entry.name, ()), entry)
    return table


def each_once(names: list[str]) -> list[str]:
    """Refuse a band that is named twice."""
    for name in names:
        if names.count(name) > 1:
            raise BandError(
                "HC-B02", f"the band is there twice: {', '.join(names)}", "name it once", band=name
            )
    return names
