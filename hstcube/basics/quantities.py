"""Lengths, angles, times, fluxes as arguments: numbers in the unit that is meant, or Quantities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hstcube.errors import RecipeError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["number_in", "numbers_in"]


def number_in(unit: str, value: Any, name: str, *, pixel: float | None = None) -> float:
    """Return one number in a unit; see `numbers_in`.

    Raises
    ------
    RecipeError
        As `numbers_in`; and if there are several numbers.

    Examples
    --------
    >>> from astropy import units as u
    >>> number_in("arcsec", 360 * u.mas, "radius")
    0.36
    >>> number_in("arcsec", 6 * u.pix, "radius", pixel=0.06)
    0.36
    >>> number_in("arcsec", 0.36, "radius")
    0.36
    """
    numbers = numbers_in(unit, value, name, pixel=pixel)
    if numbers.size != 1:
        reason = f"{name} holds {numbers.size} numbers where one is needed"
        raise RecipeError("HC-B31", reason, f"give one number [{unit}]")
    return float(numbers.reshape(-1)[0])


def numbers_in(
    unit: str, value: Any, name: str, *, pixel: float | None = None
) -> NDArray[np.float64]:
    """Return numbers in a unit, whatever they were given as.

    Parameters
    ----------
    unit : str
        What plain numbers are in, and what comes out, as astropy.units reads it.
    value : number, Quantity, text such as "0.3arcsec", array, or sequence of these
        Numbers, or quantities that can be converted to `unit`.
    name : str
        The argument, as its caller knows it.
    pixel : float, optional
        Arcsec of a pixel, where quantities in pixels can be meant too.

    Returns
    -------
    array of float64
        Of the shape of `value`.

    Raises
    ------
    RecipeError
        If there are no numbers, some are masked, or their unit is of another kind.
    """
    if isinstance(value, list | tuple) and any(map(_has_unit, value)):
        parts = [numbers_in(unit, one, name, pixel=pixel) for one in value]
        return np.array(parts, dtype=np.float64)
    if _has_unit(value):
        value = _converted(unit, value, name, pixel)
    if np.ma.is_masked(value):
        reason = f"{name} holds masked values"
        raise RecipeError("HC-B31", reason, f"leave them out, or fill {name} with numbers [{unit}]")
    numbers = _array(value)
    if numbers is None:
        reason = f"{name} is {_short(value)}, not numbers"
        raise RecipeError("HC-B31", reason, f"give {name} in {unit}, as numbers or as a Quantity")
    return numbers.astype(np.float64)


def _array(value: Any) -> NDArray[Any] | None:
    """Return real numbers as an array, None where they are none."""
    try:
        numbers = np.asarray(value)
    except ValueError:  # rows of unequal lengths
        return None
    return numbers if numbers.dtype.kind in "iuf" else None


def _has_unit(value: Any) -> bool:
    return isinstance(value, str) or hasattr(value, "unit")


def _converted(unit: str, value: Any, name: str, pixel: float | None) -> Any:
    from astropy import units

    ways = [] if pixel is None else units.pixel_scale(pixel * units.arcsec / units.pix)
    try:
        # a text without a unit is a number in quotes: it may be in any unit, so it is none
        return units.Quantity(value).to_value(unit, ways)
    except (units.UnitsError, ValueError, TypeError, AttributeError) as error:
        reason = f"{name} is {_short(value)}, which is not in {unit} or a unit like it"
        raise RecipeError(
            "HC-B33", reason, f"give {name} as a number [{unit}] or a Quantity"
        ) from error


def _short(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."  # noqa: PLR2004  a line
