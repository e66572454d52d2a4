"""What pixels of images count, their units and exposure times, and what their weights are."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hstcube.errors import CubeError
from hstcube.fits.opening import located
from hstcube.fits.weights import apparent_noise, inverse_variance, odd_pixels, odd_weights
from hstcube.inputs.cards import NOTHING, card_text, card_value
from hstcube.inputs.units import RATE, counts_in, parsed_unit, read_unit
from hstcube.surveys.filters import camera_of, drop_said, native_pixel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from astropy.io import fits

    from hstcube.errors import Note
    from hstcube.fits.images import Plane
    from hstcube.inputs.units import Counts
    from hstcube.surveys.names import FieldFiles

__all__ = [
    "IN_ERR",
    "BandImages",
    "Units",
    "common_units",
    "drizzled",
    "exposure",
    "exposure_times",
    "in_rates",
    "pixel_notes",
    "weights_of",
]

IN_ERR = "in ERR"  # what weights of JWST say of their photons

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
    told: list[Note] = []
    if said.upper() in NOTHING:
        drizzled_to = card_text(header, "D001OUUN")
        if not drizzled_to.lower().startswith("count"):
            return _Unit(RATE, notes=[("HC-D20", f"{name}: no BUNIT; taken as {RATE}")])
        said = "electron"
        text = f"{name}: no BUNIT, D001OUUN is {drizzled_to!r}; taken as {said}"
        told.append(("HC-D20", text))
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
    told.append(("HC-D27", f"{text}: BUNIT is {said!r}; now {rate}"))
    return _Unit(rate, seconds, told)


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


def in_rates(images: list[BandImages], units: Units) -> list[BandImages]:
    """Return the images in their common unit: those of counts are divided by the time they took."""
    rates = []
    for image, seconds in zip(images, units.seconds, strict=True):
        data = image.sci.data if seconds == 1 else image.sci.data / np.float32(seconds)
        rates.append(image._replace(sci=image.sci._replace(data=data)))
    return rates


def weights_of(files: FieldFiles, images: list[BandImages], units: Units) -> list[Any]:
    """Return inverse variances in the common unit."""
    weights = []
    for image, seconds in zip(images, units.seconds, strict=True):
        with located(files.one(image.name, "wht"), image.name):
            _require_as_called(image)
            shrink = apparent_noise(*drizzled(image))
            wht = inverse_variance(
                image.wht.data, image.wht_kind, image.name, sci=image.sci.data, shrink=shrink
            )
            _require_held(wht, units.unit, image.wht_kind)
        counted = seconds != 1 and image.wht_kind != "exptime"  # those are by the rates' scatter
        weights.append(wht * np.float32(seconds**2) if counted else wht)
    return weights


def _require_held(wht: Any, unit: str, kind: str) -> None:
    """Refuse weights that float32 does not hold: of images in erg s-1 cm-2 AA-1 they are 1e42."""
    if not isinstance(wht, np.ndarray) or 2 * np.isinf(wht).sum() <= np.count_nonzero(wht):
        return
    power = {"ivar": "divide wht by its square", "rms": "wht by it"}.get(kind, "wht by its square")
    digits = 30 if "Hz" in unit else 20
    raise CubeError(
        "HC-D40",
        f"the inverse variances in {unit!r} are beyond what float32 holds",
        f"multiply sci by 1e{digits}, {power}, and write BUNIT = '1e-{digits} {unit}'",
    )


# extensions whose names say what the weights in them are
_CALLED = {"VAR": "variance", "ERR": "rms", "RMS": "rms"}


def _require_as_called(image: BandImages) -> None:
    """Refuse weights that their extension calls another kind, and errors in another unit."""
    header, kind = image.wht.header, image.wht_kind
    name = card_text(header, "EXTNAME").upper()
    meant = _CALLED.get(name, kind)
    if kind in ("ivar", "exptime", *_CALLED.values()) and kind != meant:
        reason = f"the weights are taken for {kind!r}, but their extension is called {name}"
        fix = f"[[wht_kind = {meant!r} of the band in a field file|wht_kind={meant!r}]]"
        raise CubeError("HC-D13", reason, f"say what they are: {fix}")
    units = [card_text(plane.header, "BUNIT") for plane in (image.sci, image.wht)]
    if kind != "rms" or any(unit.upper() in NOTHING for unit in units):
        return
    try:
        read = [read_unit(unit) for unit in units]
    except CubeError:  # what is no unit says nothing
        return
    # beside counts BUNIT is often that of the image that they were made of
    if not any(map(counts_in, read)) and parsed_unit(read[0]) != parsed_unit(read[1]):
        reason = f"the errors are in {units[1]!r} by BUNIT, their image in {units[0]!r}"
        raise CubeError("HC-D21", reason, "bring both to one unit, or repair BUNIT")


def pixel_notes(images: list[BandImages], weights: list[Any]) -> list[Note]:
    """Say what is odd about pixels and weights [inverse variances], by the bands' names."""
    notes = []
    for image, wht in zip(images, weights, strict=True):
        odd = odd_pixels(image.sci.data, wht)
        if image.wht_kind != "exptime" and image.wht.header.get("POISSON") != IN_ERR:
            step, drop = drizzled(image)
            times = exposure_times(image.sci.header) if image.wht_kind == "ivar" else []
            pixels = image.sci.data, wht, image.wht.data
            odd += odd_weights(*pixels, times=times, step=step, drop=drop, kind=image.wht_kind)
        notes += [(code, f"{image.name}: {text}") for code, text in odd]
    return notes


def drizzled(image: BandImages) -> tuple[float, float]:
    """Return pixel and drop of an image in pixels of its detector; NaN and 1 where not known."""
    header = image.sci.header
    native = native_pixel(camera_of(image.name, header))
    return image.sci.grid.scale / native, drop_said(header) or 1.0
