"""What the headers of a field's images say: bands, units, cameras, zero points, widths of PSFs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from hstcube.core.bands import band as find_band
from hstcube.core.bands import band_name, cameras
from hstcube.errors import BandError, CubeError, GridError, PSFError
from hstcube.fits.opening import located
from hstcube.inputs.cards import NOTHING, card_text, card_value
from hstcube.inputs.units import RATE, counts_in, read_unit
from hstcube.phot.units import AGREE, header_zeropoints, unread_cards
from hstcube.surveys.known import recognised, survey_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from astropy.io import fits

    from hstcube.core.grids import Grid
    from hstcube.errors import Note
    from hstcube.fits.images import Plane
    from hstcube.inputs.units import Counts
    from hstcube.surveys.known import Survey
    from hstcube.surveys.names import FieldFiles

__all__ = [
    "BandImages",
    "BandState",
    "Units",
    "band_state",
    "camera_notes",
    "common_survey",
    "common_units",
    "exposure_times",
    "file_notes",
    "of_bands",
    "photons_in",
    "require_scale",
    "said_width",
]

# cards of the exposure time [s]; EXPTIME is 1 in images that are rates
_EXPOSURE = ("TEXPTIME", "EXPTIME")
_LONGEST = 1e8  # s
_SCALES_AGREE = 0.01  # relative
_PIVOTS_AGREE = 0.005  # relative: of one filter in one camera
_ONE_FILTER = 0.05  # relative: two cameras' filters of one name


class BandImages(NamedTuple):
    """The two images of one band, as they are in their files."""

    name: str
    sci: Plane
    wht: Plane
    wht_kind: str = "ivar"


class BandState(NamedTuple):
    """What headers, field files and tables say of all bands; NaN where nothing does."""

    zeropoint: list[float]
    psf_fwhm: list[float]
    pivot: list[float]
    exposure: list[float]
    tables: set[str]
    """What was taken from the tables of surveys, e.g. "zero points of NAME"."""
    notes: list[Note]


class Units(NamedTuple):
    """The unit of all bands, and what the images of each are divided by to be in it [s]."""

    unit: str
    seconds: list[float]
    notes: list[Note]


class _Unit(NamedTuple):
    """The unit of one band."""

    unit: str
    seconds: float = 1.0
    notes: Sequence[Note] = ()


class _Said(NamedTuple):
    """One number of one band."""

    value: float
    table: str = ""
    notes: Sequence[Note] = ()


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


def common_units(files: FieldFiles, images: list[BandImages]) -> Units:
    """Return the unit of all science images, and what is odd about how they say it.

    Electrons become electrons per second. What a detector counts else (DN, counts) can only be
    understood where somebody says what one of them is: a zero point that was given.

    Raises
    ------
    CubeError
        If a unit is none, an image in counts cannot become one in rates, or bands are in different
        units.
    """
    found: dict[str, _Unit] = {}
    for image in images:
        said = files.bands[image.name]
        given = said.exposure if isinstance(said.exposure, int | float) else None
        with located(files.one(image.name, "sci"), image.name):
            found[image.name] = _unit_of(image, given, said.zeropoint is not None)
    units = {name: one.unit for name, one in found.items()}
    if len(set(units.values())) > 1:
        raise CubeError(
            "HC-D21",
            f"bands are in different units: {units}",
            "choose the unit of the cube: [[--units uJy|units='uJy']]",
        )
    notes = [note for one in found.values() for note in one.notes]
    return Units(next(iter(units.values())), [one.seconds for one in found.values()], notes)


def _unit_of(image: BandImages, given: float | None, has_zeropoint: bool) -> _Unit:
    name, header = image.name, image.sci.header
    said = card_text(header, "BUNIT")
    if said.upper() in NOTHING:
        return _Unit(RATE, notes=[("HC-D20", f"{name}: no BUNIT; taken as {RATE}")])
    unit = read_unit(said)
    counts = counts_in(unit)
    if counts is None or unit == RATE:
        return _Unit(unit)
    if (counts.what != "electron" or counts.scale != 1) and not has_zeropoint:
        raise CubeError("HC-D26", f"BUNIT is {said!r}, and {_NO_GAIN}", _gain_fix(name, counts))
    if counts.per_second:
        return _Unit(unit)
    card = _exposure_card(header)
    if not card and given is None:
        listed = ", ".join(f"{key} = {card_text(header, key) or None}" for key in _EXPOSURE)
        reason = f"BUNIT is {said!r}, and no exposure time is known to divide it by ({listed})"
        raise CubeError("HC-D26", reason, _EXPOSURE_FIX)
    source, seconds = ("the exposure", given) if given else (card, float(header[card]))
    rate = read_unit(f"{unit} s-1")
    text = f"{name}: sci was divided by {source} = {seconds:g} s, wht by its inverse square"
    return _Unit(rate, seconds, [("HC-D27", f"{text}: BUNIT is {said!r}; now {rate}")])


_NO_GAIN = "how many electrons one of them is, is not known"
_EXPOSURE_FIX = (
    "write it into the header of the science image, in seconds, e.g. TEXPTIME = 1200.0; or give "
    "it, [[exposure = 1200.0 of the band in a field file|exposure= in open_bands]]; or divide its "
    "pixels by it, multiply its weights by its square, and write BUNIT = 'ELECTRONS/S'"
)


def _gain_fix(name: str, counts: Counts) -> str:
    one = f"{counts.what} s-1"
    return (
        "multiply sci by the gain, divide wht by its square, and write BUNIT = 'ELECTRONS/S'; or "
        f"give the AB magnitude of one {one}: [[zeropoint = 25.94 for {name} in a field file|"
        f"open_bands(..., zeropoint={{{name!r}: 25.94}})]]"
    )


def exposure_times(header: fits.Header) -> list[float]:
    """Return the exposure times [s] that a header says, the total one first."""
    return [float(header[key]) for key in _EXPOSURE if _is_exposure(header, key)]


def _exposure_card(header: fits.Header) -> str:
    """Return the card of the exposure time, the total one first; '' where none can be one."""
    return next((key for key in _EXPOSURE if _is_exposure(header, key)), "")


def _exposure(files: FieldFiles, image: BandImages) -> float:
    """Return the exposure time [s] that was given, else that of the header; NaN where neither.

    That of a band whose exposure is a map is no one number.
    """
    given = files.bands[image.name].exposure
    if given is not None:
        return float(given) if isinstance(given, int | float) else math.nan
    card = _exposure_card(image.sci.header)
    seconds = float(image.sci.header[card]) if card else math.nan
    return seconds if seconds > 1 else math.nan  # of a mosaic: as little as 1 s is a placeholder


def _is_exposure(header: fits.Header, key: str) -> bool:
    """Say whether a card can be an exposure time; 1 s stands in the headers of rates."""
    value = card_value(header, key)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and 0 < value < _LONGEST and value != 1


def common_survey(images: list[BandImages]) -> tuple[str, bool]:
    """Return the survey that all headers name ('' for none), and whether all images are its own."""
    found = [recognised(image.sci.header) for image in images]
    if len({one.survey for one in found}) > 1:
        return "", False
    return found[0].survey, all(one.own for one in found)


def photons_in(images: list[BandImages]) -> str:
    """Return what the headers say of photon noise that is in the weights already: our products."""
    told = dict.fromkeys(card_text(image.wht.header, "POISSON") for image in images)
    return "; ".join(text or "none" for text in told) if any(told) else ""


def file_notes(images: list[BandImages]) -> list[Note]:
    """Say what is odd about the files, each thing once with the bands it was found in."""
    found: dict[Note, list[str]] = {}
    for image in images:
        for note in image.sci.notes:
            found.setdefault(note, []).append(f"{image.name} sci")
        for note in image.wht.notes:
            found.setdefault(note, []).append(f"{image.name} wht")
    return [(code, f"{', '.join(places)}: {text}") for (code, text), places in found.items()]


def camera_notes(images: list[BandImages]) -> list[Note]:
    """Say which bands name a camera that has no such filter."""
    wrong: dict[tuple[str, str], list[str]] = {}
    for name, sci, *_ in images:
        if not cameras(name):
            continue  # its pivot was given
        instrument = card_text(sci.header, "INSTRUME").upper()
        detector = card_text(sci.header, "DETECTOR").upper()
        owner = find_band(name, instrument=instrument, detector=detector)
        if instrument and not owner.is_of(instrument, detector or owner.detector):
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
    """Return zero points, widths, pivots and exposure times of bands, and what is odd about them.

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
    given = of_bands("psf_fwhm", psf_fwhm, [image.name for image in images])
    state = BandState([], [], [], [], set(), [])
    for image in images:
        survey = survey_of(image.sci.header, scale)
        pivot = _pivot(files, image)
        zeropoint = _zeropoint(files, image, pivot.value, units, survey)
        width = _width(files, image, given, survey)
        state.zeropoint.append(zeropoint.value)
        state.psf_fwhm.append(width.value)
        state.pivot.append(pivot.value)
        state.exposure.append(_exposure(files, image))
        state.tables.update({zeropoint.table, width.table} - {""})
        state.notes.extend([*pivot.notes, *zeropoint.notes])
    return state


def of_bands(what: str, given: Mapping[str, float], bands: Sequence[str]) -> dict[str, float]:
    """Return what was given for bands, by their own names.

    Raises
    ------
    BandError
        If a band is named that is not there: what was said of it would be lost.
    """
    found = {band_name(name): value for name, value in given.items()}
    if unknown := sorted(set(found) - set(bands)):
        reason = f"{what} names {unknown[0]}, which is not in the cube"
        raise BandError("HC-B01", reason, f"there are {', '.join(bands)}", band=unknown[0])
    return found


def _pivot(files: FieldFiles, image: BandImages) -> _Said:
    """Return the pivot that was given; else the header's, where it is another; else the table's."""
    name, header = image.name, image.sci.header
    given = files.bands[name].pivot
    if given is not None:
        return _Said(float(given))
    said = card_value(header, "PHOTPLAM")
    said = float(said) if _is_positive(said) else math.nan
    if not cameras(name) and said > 0:
        text = f"{name}: the filter is in no table; its pivot is PHOTPLAM, {said:.1f} Angstrom"
        return _Said(said, notes=[("HC-B35", text)])
    with located(files.one(name, "sci"), name):
        camera = (card_text(header, "INSTRUME"), card_text(header, "DETECTOR"))
        known = find_band(name, instrument=camera[0], detector=camera[1]).pivot
    if math.isnan(said) or abs(said / known - 1) <= _PIVOTS_AGREE:
        return _Said(known)
    text = f"{name}: PHOTPLAM is {said:.1f} Angstrom, the filter's pivot {known:.1f}"
    if abs(said / known - 1) > _ONE_FILTER:
        return _Said(known, notes=[("HC-B35", f"{text}: that of another filter; not used")])
    return _Said(said, notes=[("HC-B35", f"{text}: PHOTPLAM is used")])


def _zeropoint(
    files: FieldFiles, image: BandImages, pivot: float, units: str, survey: Survey | None
) -> _Said:
    """Return the zero point that the field file says; else the header; else the survey's table."""
    name, said = image.name, files.bands[image.name].zeropoint
    if said is not None:  # whatever the header says
        return _Said(float(said))
    with located(files.one(name, "sci"), name):
        known = header_zeropoints(image.sci.header, units, pivot)
        known = known or header_zeropoints(image.wht.header, units, pivot)  # HLF says it there
    notes = []
    if odd := unread_cards(image.sci.header):
        notes.append(("HC-D22", f"{name}: not used, for no numbers: {', '.join(odd)}"))
    table = ""
    if survey and name in survey.zeropoint and units == RATE:
        table = "" if known else f"zero points of {survey.name}"
        known[f"the table of {survey.name}"] = survey.zeropoint[name]
    value = next(iter(known.values()), math.nan)
    return _Said(float(value), table, [*notes, *_zeropoint_notes(name, known)])


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
    name = image.name
    width = given.get(name, said_width(files, image))
    if width is not None and not _is_positive(width):
        reason = f"the FWHM of its PSF is {width!r} arcsec"
        raise PSFError(
            "HC-P02", reason, "give a positive number", str(files.one(name, "sci")), name
        )
    if width is not None:
        return _Said(float(width))  # whatever the survey
    if survey and name in survey.psf_fwhm:
        return _Said(survey.psf_fwhm[name], f"PSF widths of {survey.name}")
    return _Said(math.nan)


def said_width(files: FieldFiles, image: BandImages) -> Any:
    """Return the FWHM [arcsec] that the field file says, else the header; None where neither."""
    said = files.bands[image.name].psf_fwhm
    return card_value(image.sci.header, "PSFFWHM") if said is None else said


def _is_positive(width: Any) -> bool:
    number = isinstance(width, int | float) and not isinstance(width, bool)
    return number and 0 < width < math.inf
