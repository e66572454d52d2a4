"""What the headers of a field's images say: bands, cameras, zero points, widths of PSFs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from hstcube.core.bands import band as find_band
from hstcube.core.bands import cameras, name_among, plain
from hstcube.errors import BandError, GridError, PSFError
from hstcube.fits.opening import located
from hstcube.inputs.cards import card_text, card_value
from hstcube.inputs.units import RATE
from hstcube.phot.units import AGREE, header_zeropoints, stale_zeropoints, unread_cards
from hstcube.surveys.filters import camera_of, camera_said, instruments_in
from hstcube.surveys.known import recognised, survey_of
from hstcube.surveys.rates import exposure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hstcube.core.grids import Grid
    from hstcube.errors import Note
    from hstcube.surveys.known import Survey
    from hstcube.surveys.names import FieldFiles
    from hstcube.surveys.rates import BandImages

__all__ = [
    "BandState",
    "band_state",
    "camera_notes",
    "common_survey",
    "file_notes",
    "of_bands",
    "photons_in",
    "require_scale",
    "said_width",
]

_SCALES_AGREE = 0.01  # relative
_PIVOTS_AGREE = 0.005  # relative: of one filter in one camera
_ONE_FILTER = 0.05  # relative: two cameras' filters of one name


class BandState(NamedTuple):
    """What headers, field files and tables say of all bands; NaN where nothing does."""

    zeropoint: list[float]
    psf_fwhm: list[float]
    pivot: list[float]
    exposure: list[float]
    instrument: list[str]
    detector: list[str]
    tables: set[str]
    """What was taken from the tables of surveys, e.g. "zero points of NAME"."""
    notes: list[Note]


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


def common_survey(images: list[BandImages]) -> tuple[str, bool]:
    """Return the survey that all headers name ('' for none), and whether all images are its own."""
    found = [recognised(image.sci.header) for image in images]
    if len({one.survey for one in found}) > 1:
        return "", False
    return found[0].survey, all(one.own for one in found)


def photons_in(images: list[BandImages]) -> list[str]:
    """Return what each header says of photon noise in the weights: our products, ERR of JWST."""
    return [card_text(image.wht.header, "POISSON") for image in images]


def file_notes(images: list[BandImages]) -> list[Note]:
    """Say what is odd about the files, each thing once with the bands it was found in."""
    found: dict[Note, list[str]] = {}
    for image in images:
        for note in image.sci.notes:
            found.setdefault(note, []).append(f"{image.name} sci")
        for note in image.wht.notes:
            found.setdefault(note, []).append(f"{image.name} wht")
    return [(code, f"{', '.join(places)}: {text}") for (code, text), places in found.items()]


def _camera(image: BandImages) -> tuple[str, str]:
    """Return instrument and detector: of the camera that has the filter, else as the header says.

    Detectors of one camera that are alike, those of NIRCam say, are as the header says.
    """
    header = image.sci.header
    said = card_text(header, "INSTRUME").upper(), card_text(header, "DETECTOR").upper()
    owner = camera_of(image.name, header)
    if owner is None:
        return said
    return owner.instrument, owner.detector or (said[1] if said[0] == owner.instrument else "")


def camera_notes(files: FieldFiles, images: list[BandImages]) -> list[Note]:
    """Say which bands name a camera that has no such filter, or another than their files do."""
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
    return notes + [note for image in images for note in _other_camera(files, image)]


def _other_camera(files: FieldFiles, image: BandImages) -> list[Note]:
    """Say where the name of a file tells of another camera that has the filter than its header."""
    path = files.one(image.name, "sci")
    named = instruments_in(path.name) & {one.instrument for one in cameras(plain(image.name))}
    said = camera_said(image.name, image.sci.header) if named else None
    if said is None or said.instrument in named:
        return []
    text = f"{image.name}: {path.name} is of {' and '.join(sorted(named))} by its name, of "
    return [("HC-B04", f"{text}{said.instrument} by its header, which is taken")]


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
    state = BandState([], [], [], [], [], [], set(), [])
    for image in images:
        survey = survey_of(image.sci.header, scale)
        pivot = _pivot(files, image)
        zeropoint = _zeropoint(files, image, pivot.value, units, survey)
        width = _width(files, image, given, survey)
        state.zeropoint.append(zeropoint.value)
        state.psf_fwhm.append(width.value)
        state.pivot.append(pivot.value)
        state.exposure.append(exposure(files, image))
        camera = _camera(image)
        state.instrument.append(camera[0])
        state.detector.append(camera[1])
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
    found = {name_among(name, bands): value for name, value in given.items()}
    if unknown := sorted(set(found) - set(bands)):
        reason = f"{what} names {unknown[0]}, which is not in the cube"
        raise BandError("HC-B01", reason, f"there are {', '.join(bands)}", band=unknown[0])
    return found


def _pivot(files: FieldFiles, image: BandImages) -> _Said:
    """Return the pivot that was given; else the header's, where it is another; else the table's."""
    name, header = image.name, image.sci.header
    given = files.bands[name].pivot
    if given is not None:
        return _given_pivot(name, float(given), image)
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
    if _is_foreign(name, header):
        told = f"{text}: that of another filter; not used, nor is PHOTFLAM"
        return _Said(known, notes=[("HC-B35", told)])
    return _Said(said, notes=[("HC-B35", f"{text}: PHOTPLAM is used")])


def _is_foreign(name: str, header: Mapping[str, Any]) -> bool:
    """Say whether the PHOTPLAM of a header is far from the filter's: that of another one."""
    said, known = card_value(header, "PHOTPLAM"), camera_of(name, header)
    return _is_positive(said) and known is not None and abs(said / known.pivot - 1) > _ONE_FILTER


def _given_pivot(name: str, given: float, image: BandImages) -> _Said:
    """Return the pivot that was given, and tell where it is that of another filter."""
    known = camera_of(name, image.sci.header)
    if known is None or abs(given / known.pivot - 1) <= _ONE_FILTER:
        return _Said(given)
    text = f"{name}: a pivot of {given:.1f} Angstrom was given and is used, the filter's is"
    return _Said(given, notes=[("HC-B35", f"{text} {known.pivot:.1f}")])


def _zeropoint(
    files: FieldFiles, image: BandImages, pivot: float, units: str, survey: Survey | None
) -> _Said:
    """Return the zero point that the field file says; else the header; else the survey's table."""
    name, said = image.name, files.bands[image.name].zeropoint
    if said is not None:  # whatever the header says
        return _Said(float(said))
    with located(files.one(name, "sci"), name):
        known = _by_header(name, image.sci.header, units, pivot)
        known = known or _by_header(name, image.wht.header, units, pivot)  # HLF says it there
    known = _in_order(known, files.bands[name].zero)
    notes = []
    if odd := unread_cards(image.sci.header):
        notes.append(("HC-D22", f"{name}: not used, for no numbers: {', '.join(odd)}"))
    table = ""
    if survey and name in survey.zeropoint and units == RATE:
        table = "" if known else f"zero points of {survey.name}"
        known[f"the table of {survey.name}"] = survey.zeropoint[name]
    value = next(iter(known.values()), math.nan)
    stale = stale_zeropoints(image.sci.header) if known else {}
    return _Said(float(value), table, [*notes, *_zeropoint_notes(name, known | stale)])


def _by_header(name: str, header: Mapping[str, Any], units: str, pivot: float) -> dict[str, float]:
    """Return the zero points that a header gives, but that of another filter's cards."""
    known = header_zeropoints(header, units, pivot)
    if _is_foreign(name, header):
        known.pop("PHOTFLAM and PHOTPLAM", None)
    return known


def _in_order(known: dict[str, float], first: str) -> dict[str, float]:
    """Return zero points by what says them, that which a release is known to mean the first."""
    return {first: known[first], **known} if first in known else known


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
