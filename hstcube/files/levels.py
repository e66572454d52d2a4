"""Sky levels as text files: one number, and comments that say what it belongs to."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hstcube import __version__
from hstcube.errors import FileError, SkyError
from hstcube.fits.local import missing, read_text
from hstcube.fits.opening import located

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hstcube.surveys.names import FieldFiles

__all__ = ["Level", "level_text", "read_levels"]

_PIXEL = re.compile(r"per pixel of (\S+) arcsec")
_ERROR = re.compile(r"^# standard error:(.*)$", re.MULTILINE)
_SET = re.compile(r"^#.*, SETID ([0-9a-f]{16})$", re.MULTILINE)
_LARGEST = 2**20  # bytes of a file: one number, and comments
_FINEST, _COARSEST = 1e-6, 1e6  # arcsec: pixels of images lie between
_MEASURE_AGAIN = "measure the sky again[[: hstcube sky FOLDER -o OUT|]]"
_ONE_SCALE = 0.01  # relative: scales closer than this are one


class Level(NamedTuple):
    """A sky level [units of the images, per pixel]."""

    value: float
    error: float
    """Standard error; NaN where the file does not give it."""


def level_text(
    level: float, error: float, *, field: str, band: str, units: str, scale: float, method: str
) -> str:
    """Return the text of a level, as `read_levels` reads it; `scale` is the pixel scale, arcsec."""
    return (
        f"# sky of field {field}, {band}: {units} per pixel of {scale:.4g} arcsec, {method}, "
        f"hstcube {__version__}\n"
        f"# standard error: {error!r}\n{level!r}\n"
    )


def read_levels(
    files: FieldFiles, bands: Iterable[str], *, scale: float | None = None, to: float | None = None
) -> dict[str, Level]:
    """Read the sky levels of a field.

    Parameters
    ----------
    files : FieldFiles
    bands : iterable of str
        Those without a level are left out.
    scale : float, optional
        Pixel scale of the images, arcsec: a level that says that it belongs to another one is
        refused.
    to : float, optional
        Pixel scale that levels are wanted for, arcsec: they are multiplied by the ratio of the
        pixels' areas. Then a level may belong to any scale; one that does not say so belongs to
        `scale`.

    Returns
    -------
    dict of band to Level

    Raises
    ------
    SkyError
        If a file does not hold one finite number, belongs to another pixel scale, or says a
        standard error that is negative or infinite.
    FileError
        If it cannot be read, or is no text file.
    """
    levels = {}
    sets: dict[str, str] = {}
    for name in bands:
        place = files.bands[name].sky
        if isinstance(place, Path):
            with located(place, name):
                text = _text_of(place)
                levels[name] = _parsed(text, scale, to)
                _require_one_set(text, sets)
        elif place is not None:
            level = _number(str(place))
            levels[name] = Level(_finite(level * _area(to, scale)), math.nan)
    return levels


def _text_of(place: Path) -> str:
    try:
        return read_text(place, most=_LARGEST)
    except FileError as error:
        if error.code == "HC-F24" and place.is_dir():  # the file that belongs there is missing
            what = "such file, but a folder"
            raise missing(what, "give the file of the level") from error
        raise


def _require_one_set(text: str, sets: dict[str, str]) -> None:
    """Refuse levels of one pixel scale that were not written together; `sets` fill."""
    pixel, of_set = _PIXEL.search(text), _SET.search(text)
    if pixel and of_set and sets.setdefault(pixel[1], of_set[1]) != of_set[1]:
        raise SkyError(
            "HC-O20",
            "was not written together with the levels of the other bands: one may be of another "
            "method, or of other images",
            "measure the sky again[[: hstcube sky FOLDER -o OUT --overwrite|]]",
        )


def _area(to: float | None, scale: float | None) -> float:
    return 1.0 if to is None or scale is None else (to / scale) ** 2


def _parsed(text: str, scale: float | None, to: float | None) -> Level:
    level = _one_number(text)
    pixel = _PIXEL.search(text)
    if pixel and (to is not None or scale is not None):
        said = _number(pixel[1])
        if not _FINEST < said < _COARSEST:
            reason = f"is the level of a pixel of {pixel[1][:40]} arcsec, which no image has"
            raise SkyError("HC-K07", reason, _MEASURE_AGAIN)
        if to is not None:
            scale = said
        elif scale is not None:
            _require_scale(said, pixel[1], scale)
    area = _area(to, scale)
    return Level(_finite(level * area), _standard_error(text) * area)


def _standard_error(text: str) -> float:
    """Return what the comment says; NaN where there is none, or it is not known."""
    said = _ERROR.search(text)
    error = _number(said[1].strip()) if said else math.nan
    if error < 0 or error == math.inf:
        fix = "write what is known of it, 0 or more, or remove the line"
        raise SkyError("HC-K03", f"the standard error of the sky level is {error}", fix)
    return error


def _one_number(text: str) -> float:
    """Return what stands outside of comments."""
    numbers = " ".join(line.split("#")[0] for line in text.splitlines()).split()
    if len(numbers) != 1:
        fix = f"write one number, or {_MEASURE_AGAIN}"
        raise SkyError("HC-K02", f"holds {len(numbers)} values, not one sky level", fix)
    return _finite(_number(numbers[0]))


def _finite(level: float) -> float:
    if not math.isfinite(level):
        raise SkyError("HC-K03", f"the sky level is {level}", _MEASURE_AGAIN)
    return level


def _require_scale(said: float, text: str, scale: float) -> None:
    if not abs(said / scale - 1) <= _ONE_SCALE:
        factor = f"; or multiply it by {(scale / said) ** 2:.4g}"
        reason = f"is the level of a pixel of {text[:40]} arcsec, the images have {scale:.4g}"
        raise SkyError("HC-K07", reason, f"measure it at this scale{factor}")


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        comma = re.fullmatch(r"[-+]?\d+,\d+(e[-+]?\d+)?", text, re.IGNORECASE)
        fix = f"decimal comma? write {text.replace(',', '.')[:40]}" if comma else "write one number"
        raise SkyError("HC-K06", f"holds {text[:40]!r}, not a number", fix) from error
