"""What a header says of the filter that an image was taken through."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from hstcube.core.bands import Band, band, band_name, cameras, plain
from hstcube.errors import BandError
from hstcube.inputs.cards import card_text, card_value

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

__all__ = [
    "camera_of",
    "camera_said",
    "drop_said",
    "filters_said",
    "instruments_in",
    "native_pixel",
    "require_band",
]

_FILTER = re.compile(r"F\d{3,4}[A-Z]{1,2}\d?")
# pixels of detectors [arcsec]: the handbooks of the instruments
_PIXELS = {
    ("ACS", "WFC"): 0.05,
    ("ACS", "HRC"): 0.026,
    ("WFC3", "UVIS"): 0.0396,
    ("WFC3", "IR"): 0.1283,
    ("WFPC2", ""): 0.0996,
    ("NIRCAM", ""): 0.031,
    ("NIRISS", ""): 0.0656,
    ("MIRI", ""): 0.11,
}
_LONG_CHANNEL = 24000.0, 0.063  # NIRCam: from this pivot on [Angstrom], pixels of this size
# words of file names, alone or with the detector behind: acs, acswfc, wfc3ir
_IN_NAMES = re.compile(
    r"(?<![a-z])(acs|wfc3|wfpc2|nircam|niriss|miri)(?:wfc|hrc|uvis|ir|long|short)?(?![a-z])",
    re.IGNORECASE,
)
_BETWEEN = re.compile(r"[^A-Za-z0-9]+")


def filters_said(header: Mapping[str, Any]) -> list[str]:
    """Return the filters that a header names, lower case; what comes first in the light decides.

    A narrow filter of NIRCam stands in the wheel of pupils before a broad one, and one of NIRISS
    there alone; ACS has two wheels, of which one is clear; WFPC2 gives numbers, and its name in
    PHOTMODE only. ``F606W;CLEAR2L`` and ``F160W-CLEAR`` name one filter.
    """
    for keys in (("PUPIL",), ("FILTER",), ("FILTER1", "FILTER2"), ("PHOTMODE",)):
        words = [word for key in keys for word in _BETWEEN.split(card_text(header, key).upper())]
        if found := [word.lower() for word in words if _FILTER.fullmatch(word)]:
            return found
    other = card_text(header, "FILTER")  # of a ground-based telescope, say
    return [] if other.upper().startswith("CLEAR") or not other else [band_name(other)]


def require_band(name: str, header: Mapping[str, Any]) -> None:
    """Refuse an image whose header names another filter, or camera, than its band's name does.

    Raises
    ------
    BandError
    """
    said = filters_said(header)
    if said and plain(name) not in said:
        raise BandError(
            "HC-B03",
            f"the header says {' and '.join(said).upper()}, the file name {name}",
            "rename the file, or repair the card",
        )
    other = camera_said(name, header) if name != plain(name) else None
    if other is not None and other not in cameras(name):
        raise BandError(
            "HC-B03",
            f"the header says {other.instrument}/{other.detector or '-'}, the name {name}",
            f"call the band {other.name}-{other.camera}, or repair the card",
        )


def instruments_in(name: str) -> set[str]:
    """Return the instruments that the name of a file tells of.

    Examples
    --------
    >>> sorted(instruments_in("hlsp_relics_hst_acs-wfc3ir-60mas_a_multi_v1_segm.fits"))
    ['ACS', 'WFC3']
    """
    return {word.upper() for word in _IN_NAMES.findall(name)}


def camera_said(name: str, header: Mapping[str, Any]) -> Band | None:
    """Return the filter of a band as the camera has it that a header says; None where none has."""
    camera = card_text(header, "INSTRUME"), card_text(header, "DETECTOR")
    return next((one for one in cameras(plain(name)) if one.is_of(*camera)), None)


def camera_of(name: str, header: Mapping[str, Any]) -> Band | None:
    """Return a filter as the camera has it that a header names; None where no table has it."""
    if not cameras(name):
        return None
    camera = {
        "instrument": card_text(header, "INSTRUME"),
        "detector": card_text(header, "DETECTOR"),
    }
    return band(name, **camera)


def drop_said(header: Mapping[str, Any]) -> float | None:
    """Return the size of the drops that an image was drizzled with, in pixels of the detector.

    It stands in D001PIXF of HST, PIXFRAC of JWST; None where neither says it.
    """
    said = (card_value(header, key) for key in ("D001PIXF", "PIXFRAC"))
    return next((float(one) for one in said if isinstance(one, int | float) and 0 < one <= 1), None)


def native_pixel(filter_of: Band | None) -> float:
    """Return the size of a detector's pixels [arcsec]; NaN where it is not known."""
    if filter_of is None:
        return math.nan
    if filter_of.instrument == "NIRCAM" and filter_of.pivot > _LONG_CHANNEL[0]:
        return _LONG_CHANNEL[1]
    return _PIXELS.get((filter_of.instrument, filter_of.detector), math.nan)
