"""What the headers of a field's images say: bands, units, cameras, zero points, widths of PSFs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from hstcube.core.bands import band as find_band
from hstcube.core.bands import band_name
from hstcube.core.rules import KNOWN_UNITS
from hstcube.errors import BandError, CubeError, GridError, PSFError
from hstcube.fits.opening import located
from hstcube.phot.units import AGREE, header_zeropoints
from hstcube.surveys.known import recognised, survey_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from astropy.io import fits

    from hstcube.core.grids import Grid
    from hstcube.fits.images import Plane
    from hstcube.surveys.known import Survey
    from hstcube.surveys.names import FieldFiles

    Note = tuple[str, str]  # code and text of a warning

__all__ = [
    "BandImages",
    "BandState",
    "band_state",
    "camera_notes",
    "common_survey",
    "common_units",
    "file_notes",
    "require_band",
    "require_scale",
]

_UNITS = {
    "ELECTRONS/S": "electron s-1",
    "ELECTRON/S": "electron s-1",
    "E-/S": "electron s-1",
    "E/S": "electron s-1",
    "ELECTRON S-1": "electron s-1",
    "UJY": "uJy",
    "NJY": "nJy",
    "JY": "Jy",
    "MJY/SR": "MJy sr-1",
}
_SCALES_AGREE = 0.01  # relative


class BandImages(NamedTuple):
    """The two images of one band, as they are in their files."""

    name: str
    sci: Plane
    wht: Plane


class BandState(NamedTuple):
    """What headers, field files and tables say of all bands; NaN where nothing does."""

    zeropoint: list[float]
    psf_fwhm: list[float]
    pivot: list[float]
    tables: set[str]
    """What was taken from the tables of surveys, e.g. "zero points of NAME"."""
    notes: list[Note]


class _Said(NamedTuple):
    """One number of one band."""

    value: float
    table: str = ""
    notes: Sequence[Note] = ()


def require_band(name: str, header: fits.Header) -> None:
    """Refuse an image whose FILTER is another band than its file's name says."""
    said = str(header.get("FILTER", "")).strip()
    if said and band_name(said) != name:
        raise BandError(
            "HC-B03",
            f"the header says FILTER = {said!r}, the file name {name}",
            "rename the file, or repair the card",
        )


def require_scale(label: str, grid: Grid) -> None:
    """Refuse an image whose WCS has another pixel scale than its file's name says."""
    if not label.endswith("mas"):
        return
    said = float(label[:-3])
    if abs(grid.scale * 1000 / said - 1) > _SCALES_AGREE:
        raise GridError(
            "HC-W23",
            f"the name says {label}, the WCS {grid.scale * 1000:.2f} mas per pixel",
            "rename the file, or repair its WCS",
        )


def common_units(images: list[BandImages]) -> tuple[str, list[Note]]:
    """Return the unit of all science images, and what is odd about how they say it.

    Raises
    ------
    CubeError
        If bands are in different units.
    """
    units: dict[str, str] = {}
    notes: list[Note] = []
    for name, sci, _ in images:
        said = " ".join(str(sci.header.get("BUNIT", "")).split())
        units[name] = _UNITS.get(said.upper(), said)
        if not said:
            units[name] = KNOWN_UNITS[0]
            notes.append(("HC-D20", f"{name}: no BUNIT; taken as {KNOWN_UNITS[0]}"))
    if len(set(units.values())) > 1:
        raise CubeError(
            "HC-D21", f"bands are in different units: {units}", "convert them to one unit first"
        )
    return next(iter(units.values())), notes


def common_survey(images: list[BandImages]) -> tuple[str, bool]:
    """Return the survey that all headers name ('' for none), and whether all images are its own."""
    found = [recognised(image.sci.header) for image in images]
    if len({one.survey for one in found}) > 1:
        return "", False
    return found[0].survey, all(one.own for one in found)


def file_notes(images: list[BandImages]) -> list[Note]:
    """Say what is odd about the files, each thing once with the bands it was found in."""
    found: dict[Note, list[str]] = {}
    for name, sci, wht in images:
        for note in sci.notes:
            found.setdefault(note, []).append(f"{name} sci")
        for note in wht.notes:
            found.setdefault(note, []).append(f"{name} wht")
    return [(code, f"{', '.join(places)}: {text}") for (code, text), places in found.items()]


def camera_notes(images: list[BandImages]) -> list[Note]:
    """Say which bands name a camera that has no such filter."""
    wrong: dict[tuple[str, str], list[str]] = {}
    for name, sci, _ in images:
        instrument = str(sci.header.get("INSTRUME", "")).strip().upper()
        detector = str(sci.header.get("DETECTOR", "")).strip().upper()
        owner = find_band(name, instrument=instrument, detector=detector)
        agrees = instrument == owner.instrument and detector in ("", owner.detector)
        if instrument and not agrees:
            said = f"{instrument}/{detector}" if detector else instrument
            wrong.setdefault((said, f"{owner.instrument}/{owner.detector}"), []).append(name)
    notes = []
    for (said, taken), names in wrong.items():
        text = f"the headers say {said}, which has no such filter; taken as {taken}"
        notes.append(("HC-B04", f"{', '.join(names)}: {text}"))
    return notes


def band_state(
    files: FieldFiles,
    images: list[BandImages],
    *,
    psf_fwhm: Mapping[str, float],
    units: str,
    scale: float,
) -> BandState:
    """Return zero points, widths and pivots of the bands, and what is odd about them.

    Parameters
    ----------
    files : FieldFiles
        What it says goes before headers and tables.
    images : list of BandImages
    psf_fwhm : mapping of band to float
        FWHM [arcsec]; goes before all else.
    units : str
        Of the science images.
    scale : float
        Pixel scale, arcsec.

    Raises
    ------
    BandError
        If `psf_fwhm` names a band that is not there.
    PSFError
        If a width is not a positive number.
    """
    given = {band_name(name): width for name, width in psf_fwhm.items()}
    if unknown := sorted(set(given) - {image.name for image in images}):
        reason = f"psf_fwhm names {unknown[0]}, which is not in the cube"
        raise BandError("HC-B01", reason, f"there are {', '.join(files.bands)}", band=unknown[0])
    state = BandState([], [], [], set(), [])
    for image in images:
        survey = survey_of(image.sci.header, scale)
        pivot = _pivot(image)
        zeropoint = _zeropoint(files, image, pivot, units, survey)
        width = _width(files, image, given, survey)
        state.zeropoint.append(zeropoint.value)
        state.psf_fwhm.append(width.value)
        state.pivot.append(pivot)
        state.tables.update({zeropoint.table, width.table} - {""})
        state.notes.extend(zeropoint.notes)
    return state


def _pivot(image: BandImages) -> float:
    header = image.sci.header
    return find_band(
        image.name,
        instrument=str(header.get("INSTRUME", "")),
        detector=str(header.get("DETECTOR", "")),
    ).pivot


def _zeropoint(
    files: FieldFiles, image: BandImages, pivot: float, units: str, survey: Survey | None
) -> _Said:
    """Return the zero point that the field file says; else the header; else the survey's table."""
    name, said = image.name, files.bands[image.name].zeropoint
    with located(files.one(name, "sci"), name):
        known = header_zeropoints(image.sci.header, units, pivot)
    if said is not None:
        return _Said(float(said))
    table = ""
    if survey and name in survey.zeropoint and units == KNOWN_UNITS[0]:
        table = "" if known else f"zero points of {survey.name}"
        known[f"the table of {survey.name}"] = survey.zeropoint[name]
    value = next(iter(known.values()), math.nan)
    return _Said(float(value), table, _zeropoint_notes(name, known))


def _zeropoint_notes(name: str, found: Mapping[str, float]) -> list[Note]:
    """Say which zero points disagree with the one that is taken, the first."""
    taken, value = next(iter(found.items()), ("", 0.0))
    apart = []
    for source, other in found.items():
        if abs(other - value) > AGREE:
            apart.append(f"{source} {other:.2f}")
    if not apart:
        return []
    return [("HC-D31", f"{name}: the zero point by {taken} is {value:.2f}, by {', '.join(apart)}")]


def _width(
    files: FieldFiles, image: BandImages, given: Mapping[str, Any], survey: Survey | None
) -> _Said:
    """Return the FWHM that was given; else by the field file; the header; the survey's table."""
    name, said = image.name, files.bands[image.name].psf_fwhm
    width = given.get(name, image.sci.header.get("PSFFWHM") if said is None else said)
    if width is not None and not _is_positive(width):
        reason = f"the FWHM of its PSF is {width!r} arcsec"
        raise PSFError(
            "HC-P02", reason, "give a positive number", str(files.one(name, "sci")), name
        )
    if width is not None:
        return _Said(float(width))
    if survey and name in survey.psf_fwhm:
        return _Said(survey.psf_fwhm[name], f"PSF widths of {survey.name}")
    return _Said(math.nan)


def _is_positive(width: Any) -> bool:
    return isinstance(width, int | float) and 0 < width < math.inf
