"""Lengths, angles, times, fluxes as arguments: numbers in the unit that is meant, or Quantities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hstcube.errors import RecipeError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hstcube.errors import HstCubeError

__all__ = ["number_in", "numbers_in", "short", "whole_number"]

_INTEGERS = (int, np.integer)


def number_in(unit: str, value: Any, name: str, **limits: Any) -> float:
    """Return one number in a unit; `limits` are the named arguments of `numbers_in`.

    Raises
    ------
    HstCubeError
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
    numbers = numbers_in(unit, value, name, **limits)
    if numbers.size != 1:
        reason = f"{name} holds {numbers.size} numbers where one is needed"
        raise _error(limits)(limits.get("code", "HC-B31"), reason, f"give one number{_in(unit)}")
    return float(numbers.reshape(-1)[0])


def numbers_in(
    unit: str,
    value: Any,
    name: str,
    *,
    pixel: float | None = None,
    above: float | None = None,
    least: float | None = None,
    most: float | None = None,
    nan: bool = False,
    code: str = "HC-B31",
    error: type[HstCubeError] = RecipeError,
) -> NDArray[np.float64]:
    """Return numbers in a unit, whatever they were given as.

    Parameters
    ----------
    unit : str
        What plain numbers are in, and what comes out, as astropy.units reads it; empty for what has
        none.
    value : number, Quantity, text such as "0.3arcsec", array, or sequence of these
        Numbers, or quantities that can be converted to `unit`; an array of xarray with ``units``
        among its attributes is one.
    name : str
        The argument, as its caller knows it.
    pixel : float, optional
        Arcsec of a pixel, where quantities in pixels can be meant too.
    above, least, most : float, optional
        What the numbers must be above, and what they are at least and at most.
    nan : bool
        NaN may stand for what is not known. Without it every number is finite.
    code, error : str, type
        The code and the class of the error where a number is impossible.

    Returns
    -------
    array of float64
        Of the shape of `value`.

    Raises
    ------
    HstCubeError
        Of the class `error`, if there are no numbers, some are masked, not finite or beyond the
        limits, or their unit is of another kind.
    """
    if _is_masked(value):
        fix = f"leave them out, or fill {name} with numbers{_in(unit)}"
        raise error(code, f"{name} holds masked values", fix)
    numbers = _plain(unit, value, name, pixel, code, error)
    limits = {"above": above, "at least": least, "at most": most}
    bad = ~np.isfinite(numbers) & ~(nan & np.isnan(numbers))
    for word, limit in limits.items():
        if limit is not None:
            bad |= _beyond(numbers, word, limit)
    if bad.any():
        said = " and ".join(
            f"{word} {limit:g}" for word, limit in limits.items() if limit is not None
        )
        fix = f"give {name} as a finite number{_in(unit)}{said and ', '}{said}"
        raise error(code, f"{name} is {short(value)}", fix)
    return numbers


def whole_number(
    value: Any,
    name: str,
    *,
    least: int = 1,
    most: int | None = None,
    code: str = "HC-B31",
    error: type[HstCubeError] = RecipeError,
) -> int:
    """Return a number that counts something.

    Parameters
    ----------
    value : int
        No bool, no text; a whole number of another type, such as 2.0, is none.
    name : str
        The argument, as its caller knows it.
    least, most : int
        What it may be.
    code, error : str, type
        The code and the class of the error.

    Raises
    ------
    HstCubeError
        Of the class `error`, if it is no whole number, or beyond the limits.

    Examples
    --------
    >>> whole_number(2.5, "pixels")
    Traceback (most recent call last):
    hstcube.errors.RecipeError: HC-B31 pixels is 2.5
      fix: give pixels as a whole number, at least 1
    """
    whole = isinstance(value, _INTEGERS) and not isinstance(value, bool)
    if whole and value >= least and (most is None or value <= most):
        return int(value)
    limit = f"at least {least}" + ("" if most is None else f" and at most {most}")
    fix = f"give {name} as a whole number, {limit}"
    raise error(code, f"{name} is {short(value)}", fix)


def short(value: Any) -> str:
    """Return what was given as a text of one line."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."  # noqa: PLR2004  a line


def _is_masked(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return any(map(_is_masked, value))
    return bool(np.ma.is_masked(value) or np.any(getattr(value, "mask", False)))


def _error(limits: dict[str, Any]) -> type[HstCubeError]:
    error: type[HstCubeError] = limits.get("error", RecipeError)
    return error


def _in(unit: str) -> str:
    return f" [{unit}]" if unit else ""


def _beyond(numbers: NDArray[np.float64], word: str, limit: float) -> NDArray[np.bool_]:
    if word == "above":
        return numbers <= limit
    return numbers < limit if word == "at least" else numbers > limit


def _plain(
    unit: str, value: Any, name: str, pixel: float | None, code: str, error: type[HstCubeError]
) -> NDArray[np.float64]:
    """Return the numbers, each converted from its own unit."""
    if isinstance(value, list | tuple) and any(map(_has_unit, value)):
        parts = [_plain(unit, one, name, pixel, code, error) for one in value]
        if len({part.shape for part in parts}) == 1:
            return np.array(parts, dtype=np.float64)
    elif _has_unit(value):
        value = _converted(unit, value, name, pixel, code, error)
    numbers = _array(value)
    if numbers is None:
        fix = f"give {name} as numbers{_in(unit)}" + ("[[| or as a Quantity]]" if unit else "")
        raise error(code, f"{name} is {short(value)}, not numbers", fix)
    return numbers.astype(np.float64)


def _array(value: Any) -> NDArray[Any] | None:
    """Return real numbers as an array, None where they are none."""
    try:
        numbers = np.asarray(value)
    except (ValueError, TypeError):  # rows of unequal lengths
        return None
    return numbers if numbers.dtype.kind in "iuf" else None


def _has_unit(value: Any) -> bool:
    return isinstance(value, str) or _unit_of(value) is not None


def _unit_of(value: Any) -> Any:
    """Return the unit that a Quantity, a column or an array of xarray says; None if none."""
    return getattr(value, "unit", None) or getattr(value, "attrs", {}).get("units") or None


def _converted(
    unit: str,
    value: Any,
    name: str,
    pixel: float | None,
    code: str,
    error: type[HstCubeError],
) -> Any:
    from astropy import units

    ways = [] if pixel is None else units.pixel_scale(pixel * units.arcsec / units.pix)
    wanted = units.Unit(unit)
    try:
        return _quantity(value, wanted).to_value(wanted, ways)
    except (units.UnitsError, ValueError, TypeError, AttributeError) as wrong:
        reason = f"{name} is {short(value)}, which is not in {unit or 'plain numbers'}"
        also = " or a unit like it" if unit else ""
        wanted_as = f"number{_in(unit)}[[| or a Quantity]]" if unit else "plain number"
        fix = f"give {name} as a {wanted_as}"
        if unit and isinstance(value, str) and value.strip(" +-").replace(".", "", 1).isdigit():
            fix = f"say its unit: {value.strip()}{unit}"
        # a text that is no quantity is no number: what that is called where the number is wanted
        text = isinstance(value, str) and code != "HC-B31"
        raise error(code if text else "HC-B33", reason + also, fix) from wrong


def _quantity(value: Any, wanted: Any) -> Any:
    """Return a value as a Quantity.

    A text without a unit is a number in quotes: it may be in any unit, so it is in none. AB
    magnitudes are magnitudes.
    """
    from astropy import units

    if isinstance(value, str):
        read = units.Quantity(value)
        if read.unit == units.dimensionless_unscaled:
            raise units.UnitsError(value)
        return read
    if isinstance(value, units.Magnitude) and wanted == units.mag:
        return value.to_value(units.ABmag) * units.mag
    return units.Quantity(getattr(value, "values", value), _unit_of(value))
