"""Sky levels as text files: one number, and comments that say what it belongs to."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING

from hstcube import __version__
from hstcube.errors import SkyError
from hstcube.fits.opening import located

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hstcube.surveys.names import FieldFiles

__all__ = ["level_text", "read_levels"]

_PIXEL = re.compile(r"per pixel of (\S+) arcsec")
_ERROR = re.compile(r"^# standard error:(.*)$", re.MULTILINE)
_ONE_SCALE = 0.01  # relative: scales closer than this are one


def level_text(
    level: float, error: float, *, field: str, band: str, units: str, scale: float, method: str
) -> str:
    """Return the text of a level, as `read_levels` reads it; `scale` is the pixel scale, arcsec."""
    return (
        f"# sky of field {field}, {band}: {units} per pixel of {scale:.4g} arcsec, {method}, hstcube {__version__}\n"
        f"# standard error: {error!r}\n{level!r}\n"
    )


def read_levels(
    files: FieldFiles, bands: Iterable[str], *, scale: float | None = None, to: float | None = None
) -> dict[str, tuple[float, float]]:
    """Read the sky levels of a field: band to (level, standard error), NaN for an error that the file does not give.

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

    Raises
    ------
    SkyError
        If a file does not hold one finite number, or belongs to another pixel scale.
    FileError
        If it cannot be read.
    """
    levels = {}
    for name in bands:
        place = files.bands[name].sky
        if isinstance(place, Path):
            with located(place, name):
                levels[name] = _parsed(
                    place.read_text(encoding="utf-8", errors="replace"), scale, to
                )
        elif place is not None:
            levels[name] = (float(place) * _area(to, scale), math.nan)
    return levels


def _area(to: float | None, scale: float | None) -> float:
    return 1.0 if to is None or scale is None else (to / scale) ** 2


def _parsed(text: str, scale: float | None, to: float | None) -> tuple[float, float]:
    numbers = " ".join(line.split("#")[0] for line in text.splitlines()).split()
    if len(numbers) != 1:
        fix = "write one number, or measure the sky again"
        raise SkyError("HC-K02", f"holds {len(numbers)} values, not one sky level", fix)
    level = _number(numbers[0])
    if not math.isfinite(level):
        raise SkyError(
            "HC-K03",
            f"the sky level is {level}",
            "measure the sky again: hstcube sky FOLDER -o OUT",
        )
    if (pixel := _PIXEL.search(text)) and to is not None and _number(pixel[1]) > 0:
        scale = _number(pixel[1])
    elif pixel and scale is not None:
        _require_scale(_number(pixel[1]), pixel[1], scale)
    error, area = _ERROR.search(text), _area(to, scale)
    return level * area, _number(error[1].strip()) * area if error else math.nan


def _require_scale(said: float, text: str, scale: float) -> None:
    if not abs(said / scale - 1) <= _ONE_SCALE:
        factor = f"; or multiply it by {(scale / said) ** 2:.4g}" if said > 0 else ""
        reason = f"is the level of a pixel of {text} arcsec, the images have {scale:.4g}"
        raise SkyError("HC-K07", reason, f"measure it at this scale{factor}")


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        comma = re.fullmatch(r"[-+]?\d+,\d+(e[-+]?\d+)?", text, re.IGNORECASE)
        fix = f"decimal comma? write {text.replace(',', '.')}" if comma else "write one number"
        raise SkyError("HC-K06", f"holds {text!r}, not a number", fix) from error
