"""What a header says of the filter that an image was taken through."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hstcube.core.bands import band_name
from hstcube.errors import BandError
from hstcube.inputs.cards import card_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

__all__ = ["filters_said", "require_band"]

_FILTER = re.compile(r"F\d{3,4}[A-Z]{1,2}\d?")
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
    """Refuse an image whose header names another filter than its file's name does.

    Raises
    ------
    BandError
    """
    said = filters_said(header)
    if said and name not in said:
        raise BandError(
            "HC-B03",
            f"the header says {' and '.join(said)}, the file name {name}",
            "rename the file, or repair the card",
        )
