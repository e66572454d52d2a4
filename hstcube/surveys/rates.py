"""What the pixels of images count: their units, and the times that they were exposed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from hstcube.errors import CubeError
from hstcube.fits.opening import located
from hstcube.inputs.cards import NOTHING, card_text, card_value
from hstcube.inputs.units import RATE, counts_in, read_unit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from astropy.io import fits

    from hstcube.errors import Note
    from hstcube.fits.images import Plane
    from hstcube.inputs.units import Counts
    from hstcube.surveys.names import FieldFiles

__all__ = ["BandImages", "Units", "common_units", "exposure", "exposure_times"]

# cards of the exposure time [s]; EXPTIME is 1 in images that are rates
_EXPOSURE = ("TEXPTIME", "EXPTIME")
_LONGEST = 1e8  # s


class BandImages(NamedTuple):
    """The two images of one band, as they are in their files."""

    name: str
    sci: Plane
    wht: Plane
    wht_kind: str = "ivar"


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


def exposure(files: FieldFiles, image: BandImages) -> float:
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
