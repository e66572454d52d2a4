"""Places on the sky, and sizes there, as they are given: coordinates, numbers, quantities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hstcube.errors import GridError, HstCubeError
from hstcube.inputs.quantities import numbers_in, short

if TYPE_CHECKING:
    from numpy.typing import NDArray


__all__ = ["OF_PIXELS", "height_and_width", "sky_position", "sky_positions"]

_TURNS = 720  # degrees: right ascensions beyond are slips

OF_PIXELS = "of pixels[[|: hstcube.Grid.of(cube).wcs.pixel_to_world(x, y)]]"  # for fixes


def height_and_width(size: Any, pixel: float | None = None) -> tuple[float, float]:
    """Return the sides [arcsec] of what has one size, or a height and a width.

    Raises
    ------
    GridError
        If a side is not a positive length.
    """
    wrong: dict[str, Any] = {"code": "HC-W25", "error": GridError}
    sides = numbers_in("arcsec", size, "size", pixel=pixel, above=0, **wrong).ravel()
    if sides.size not in (1, 2):
        reason = f"size holds {sides.size} numbers"
        raise GridError("HC-W25", reason, "give one side, or height and width [arcsec]")
    return float(sides[0]), float(sides[-1])


def sky_position(center: Any, frame: str = "ICRS") -> tuple[float, float]:
    """Return right ascension and declination in degrees of one place, in `frame`.

    Raises
    ------
    GridError
        If it is no place on the sky, or several.
    """
    places = sky_positions(center, frame)
    if len(places) != 1:
        reason = f"there are {len(places)} positions where one is needed"
        raise GridError("HC-W25", reason, "give one, e.g. (53.16, -27.79) or positions[0]")
    ra, dec = places[0].tolist()
    return ra % 360, dec


def sky_positions(
    centres: Any,
    frame: str = "ICRS",
    *,
    code: str = "HC-W25",
    error: type[HstCubeError] = GridError,
) -> NDArray[np.float64]:
    """Return places on the sky in degrees, (place, 2).

    Parameters
    ----------
    centres : SkyCoord, pair or pairs of (ra, dec), or a table or a row of one with ra and dec
        Numbers are degrees in `frame`; Quantities are converted.
    frame : str
        Of the result.
    code, error : str, type
        The code and the class of the error.

    Raises
    ------
    HstCubeError
        Of the class `error`, if there is none, or one of them is no place on the sky.
    """
    if hasattr(centres, "transform_to"):
        there = centres.transform_to(frame.lower())
        centres = np.stack([np.ravel(there.ra.deg), np.ravel(there.dec.deg)], axis=-1)
    elif {"ra", "dec"} <= {*getattr(centres, "colnames", ())}:  # a table, or a row of one
        columns = [numbers_in("deg", centres[name], name, nan=True) for name in ("ra", "dec")]
        centres = np.stack(columns, axis=-1)
    try:
        places = np.atleast_2d(numbers_in("deg", centres, "the position"))
    except HstCubeError:
        places = np.empty(0)
    pairs = places.ndim == 2 and places.size > 0 and places.shape[1] == 2  # noqa: PLR2004
    if not (pairs and bool((np.abs(places) <= (_TURNS, 90)).all())):
        fix = f"give (ra, dec) in degrees, e.g. (53.16, -27.79), or a SkyCoord; {OF_PIXELS}"
        raise error(code, f"{short(centres)} is no position on the sky", fix)
    return places
