"""Sky levels as text files: one number, and comments that say what it belongs to."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hstcube import __version__
from hstcube.core.grids import Grid
from hstcube.errors import CubeError, FileError, SkyError
from hstcube.files.fields import of_headers
from hstcube.files.headers import band_state
from hstcube.fits.local import missing, read_text
from hstcube.fits.opening import located
from hstcube.inputs.units import is_surface_brightness, read_unit
from hstcube.phot.units import unit_zeropoint
from hstcube.surveys.rates import common_units

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import xarray as xr

    from hstcube.surveys.names import FieldFiles

    Factor = Callable[[str, str, float], float]

__all__ = ["Level", "level_factor", "level_text", "read_levels"]

_PIXEL = re.compile(r"per pixel of (\S+) arcsec")
_UNIT = re.compile(r"^#[^\n]*: ([^:\n]+) per pixel of", re.MULTILINE)
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
    files: FieldFiles,
    bands: Iterable[str],
    *,
    scale: float | Mapping[str, float] | None = None,
    to: float | None = None,
    factor: Factor | None = None,
) -> dict[str, Level]:
    """Read the sky levels of a field.

    Parameters
    ----------
    files : FieldFiles
    bands : iterable of str
        Those without a level are left out.
    scale : float or mapping of band to float, optional
        Pixel scale of the images, arcsec: a level that says that it belongs to another one is
        refused.
    to : float, optional
        Pixel scale that levels are wanted for, arcsec: they are multiplied by the ratio of the
        pixels' areas. Then a level may belong to any scale; one that does not say so belongs to
        `scale`.
    factor : callable of (band, unit, area) to float, optional
        What a level in that unit, '' where the file says none, is multiplied by beside the ratio
        `area` of the pixels' areas; nothing when not given.

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
        own = scale.get(name) if isinstance(scale, Mapping) else scale
        if isinstance(place, Path):
            with located(place, name):
                text = _text_of(place)
                level, area = _parsed(text, own, to)
                _require_one_set(text, sets)
                said = _unit_in(text)
        elif place is not None:
            area, said = _area(to, own), ""
            level = Level(_finite(_number(str(place)) * area), math.nan)
        else:
            continue
        times = 1.0
        if factor is not None:
            with located(Path(place) if isinstance(place, Path) else files.one(name, "sci"), name):
                times = factor(name, said, area)
        levels[name] = Level(level.value * times, level.error * times)
    return levels


def _unit_in(text: str) -> str:
    """Return the unit that a level says, '' where it says none."""
    said = _UNIT.search(text)
    return said[1].strip() if said else ""


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


def _parsed(text: str, scale: float | None, to: float | None) -> tuple[Level, float]:
    """Return a level, and the area by which it was multiplied."""
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
    return Level(_finite(level * area), _standard_error(text) * area), area


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


def level_factor(
    files: FieldFiles, cube: xr.Dataset, converted: bool, name: str, said: str, area: float
) -> float:
    """Return what a level is multiplied by to be in the unit of a cube.

    Parameters
    ----------
    files : FieldFiles
    cube : Dataset
        With its images.
    converted : bool
        Whether the cube is in another unit than they are.
    name : str
        The band.
    said : str
        The unit of the level; '' for that of the images.
    area : float
        Area of a pixel of the cube in those of the level, by which it was multiplied: what is per
        solid angle is the same in any pixel.

    Raises
    ------
    SkyError
        If one of the units is no flux density, and the band has no zero point.
    """
    wanted = cube.sci.attrs["units"]
    unit = _read(said) or (_of_images(files, cube, name)[0] if converted else wanted)
    factor = 1 / area if is_surface_brightness(unit) else 1.0
    if unit == wanted:
        return factor
    zeropoint, to = _zeropoint(files, cube, name, unit), cube.zeropoint.sel(band=name).item()
    if math.isnan(zeropoint - to):
        reason = f"is a level in {unit}, the cube is in {wanted}, and no zero point ties them"
        raise SkyError("HC-K14", reason, "measure it: [[--sky measure|sky='measure']]", band=name)
    areas = int(is_surface_brightness(unit)) - int(is_surface_brightness(wanted))
    return factor * float(10 ** (-0.4 * (zeropoint - to))) * Grid.of(cube).scale ** (2 * areas)


def _read(said: str) -> str:
    """Return a unit as it is known; '' where a text is none: it is a comment of somebody's."""
    try:
        return read_unit(said) if said else ""
    except CubeError:
        return ""


def _zeropoint(files: FieldFiles, cube: xr.Dataset, name: str, unit: str) -> float:
    """Return the AB magnitude of one unit of a level; NaN where it is not known."""
    try:
        of_unit = unit_zeropoint(unit, [cube.pivot.sel(band=name).item()])
    except CubeError:
        return math.nan
    if of_unit is not None:
        return float(of_unit[0])
    of_images, zeropoint = _of_images(files, cube, name)
    return zeropoint if unit == of_images else math.nan


def _of_images(files: FieldFiles, cube: xr.Dataset, name: str) -> tuple[str, float]:
    """Return the unit of a band's images, and its zero point."""
    part = next((one for one in files.parts if name in one.bands), files)
    image = of_headers(part, name)
    unit = common_units(part, [image]).unit
    state = band_state(part, [image], psf_fwhm={}, units=unit, scale=Grid.of(cube).scale)
    return unit, state.zeropoint[0]
