"""Physical units: count rates to flux densities by zero points, and the Milky Way's dust off."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hstcube.core.grids import Grid
from hstcube.core.rules import inverse_variance_unit, taken
from hstcube.core.state import updated, warn
from hstcube.errors import BandError, CubeError
from hstcube.inputs.cards import NOTHING, card_value
from hstcube.inputs.choices import require_choice
from hstcube.inputs.quantities import number_in
from hstcube.inputs.units import RATE, is_surface_brightness, parsed_unit, read_unit

if TYPE_CHECKING:
    from collections.abc import Mapping

    import xarray as xr
    from numpy.typing import NDArray

__all__ = [
    "AGREE",
    "Law",
    "deredden",
    "header_zeropoints",
    "pixel_area",
    "stale_zeropoints",
    "to_flux",
    "unit_zeropoint",
    "unread_cards",
    "with_extinction",
]

Law = Literal["F19", "CCM89"]

AGREE = 0.03  # mag: zero points farther apart are told of
R_V = 3.1  # of the diffuse Milky Way

_REDDEST = 10.0  # mag, of E(B-V)
_AB = -48.60  # mag of 1 erg s-1 cm-2 Hz-1 (Oke & Gunn 1983, ApJ 266, 713): 1 uJy has 23.9
_FAINTEST_ZERO = 100.0  # AB mag; a unit of 1e-30 Jy has 84
_MAG_OF_JY = 8.90  # AB, of 1 Jy: -2.5 log10(1e-23) + _AB
# AB mag of 1 erg s-1 cm-2 AA-1 at a pivot of 1 Angstrom
_MAG_OF_FLAM = _AB + 2.5 * math.log10(2.99792458e18)  # c [Angstrom/s]
# negative fluxes have no magnitude, so images have none
_MAGNITUDES = (
    "convert to 'uJy' and measure[[|: hstcube.to_magnitudes(cube), or of a table of fluxes, gives "
    "-2.5 log10(flux) + 23.9 with errors; one column is table['flux_f160w'].to(units.ABmag)]]"
)
_MAGNITUDE_CARDS = ("ABZP", "ZEROPNT", "MAGZERO")  # never PHOTZPT, which is in STMAG
_STALE = "ZP"  # of thumbnails of the DJA: from before their images were rescaled
_CARDS = (*_MAGNITUDE_CARDS, "PHOTFLAM", "PHOTPLAM", "PHOTFNU")
_SHRINK = 1e25  # weights that grow by more do not fit float32, which ends at 3e38
_SMALL = "1e-20"  # the unit, then: what flux densities per wavelength are usually counted in


def to_flux(cube: xr.Dataset, unit: Any = "uJy") -> xr.Dataset:
    """Convert a cube to a flux density, by the zero points of its bands.

    Parameters
    ----------
    cube : Dataset
        In count rates, with ``zeropoint`` [AB mag of one unit of sci]; or in a flux density
        already.
    unit : str or unit of astropy
        A flux density, per frequency (``"uJy"``, ``"nJy"``, ``"erg s-1 cm-2 Hz-1"``) or, at the
        pivot, per wavelength (``"erg s-1 cm-2 AA-1"``): sci is then the flux in a pixel. With a
        solid angle (``"MJy sr-1"``, ``"uJy arcsec-2"``) sci is a surface brightness, the flux in a
        pixel over its area on the sky. Either is made from either.

    Returns
    -------
    Dataset
        ``sci``, ``wht``, ``sky`` and ``sky_error`` are in the new unit, and ``zeropoint`` is the
        unit's: 23.9 for uJy; of a surface brightness that of an arcsec2, 20.47 for MJy sr-1. So are
        ``electrons``, where the cube has them: those of one unit each second. Where
        float32 cannot hold the weights (in erg s-1 cm-2 AA-1 they are 1e45) the cube is in 1e-20 of
        the unit, as its ``units`` and a warning say.

    Raises
    ------
    BandError
        If a band has no zero point.
    CubeError
        If `unit` is not a flux density.

    Examples
    --------
    >>> import hstcube
    >>> flux = hstcube.to_flux(hstcube.example(), "nJy")
    >>> flux.sci.attrs["units"], round(flux.sci.sel(band="f160w", y=50, x=50).item(), 1)
    ('nJy', 70.1)
    """
    cube = taken(cube)
    if "mag" in str(unit).lower():
        raise CubeError(
            "HC-D33", f"{unit!r} is a magnitude, and negative fluxes have none", _MAGNITUDES
        )
    unit = read_unit(unit)
    given, pivot = cube.sci.attrs["units"], cube.pivot.values
    if (wanted := unit_zeropoint(unit, pivot)) is None:
        reason = f"{unit!r} is not a flux density, nor one per solid angle"
        raise CubeError(
            "HC-D33", reason, "choose e.g. 'uJy', 'nJy', 'erg s-1 cm-2 AA-1' or 'MJy sr-1'"
        )
    if np.isnan(wanted).any():
        name = str(cube.band.values[np.isnan(wanted)][0])
        reason = f"its pivot wavelength is not known, which {unit!r} needs"
        raise CubeError(
            "HC-D36",
            reason,
            "give it: [[pivot in a field file|build(..., pivot=[...]), or choose 'uJy']]",
            band=name,
        )
    cube = _of_known_zeropoint(cube)
    factor = 10 ** (-0.4 * (cube.zeropoint.values - wanted))
    areas = int(is_surface_brightness(given)) - int(is_surface_brightness(unit))
    factor = factor * pixel_area(cube) ** areas
    if (factor**-2 > _SHRINK).any():
        said = f"float32 cannot hold weights in {unit!r}; the cube is in {_SMALL} of it"
        cube = warn(cube, "HC-D32", said)
        unit, factor = f"{_SMALL} {unit}", factor / float(_SMALL)
        wanted = wanted - 2.5 * math.log10(float(_SMALL))
    electrons = _electrons(cube, 10 ** (0.4 * (cube.zeropoint.values - wanted)))
    new = _scaled(cube, factor, f"to_flux({unit!r})", zeropoint=wanted, **electrons)
    new.variables["sci"].attrs["units"] = unit
    new.variables["wht"].attrs["units"] = inverse_variance_unit(unit)
    return new


def unit_zeropoint(unit: str, pivot: Any) -> NDArray[np.float64] | None:
    """Return the AB magnitude of one `unit` of flux density.

    Of a surface brightness it is that of one arcsec2.

    Parameters
    ----------
    unit : str
    pivot : array, (band,) [Angstrom]
        Ties densities per wavelength to those per frequency: f_nu = f_lambda pivot^2 / c.

    Returns
    -------
    array, (band,), or None
        None if the unit is not a flux density.
    """
    from astropy import units

    one = parsed_unit(unit)
    if is_surface_brightness(unit):
        one = one * units.arcsec**2
    at = units.spectral_density(np.asarray(pivot, dtype=float) * units.AA)
    try:
        density = (np.ones(np.shape(pivot)) * one).to_value("erg s-1 cm-2 Hz-1", at)
    except units.UnitConversionError:
        return None
    with np.errstate(divide="ignore"):
        return np.asarray(
            np.round(-2.5 * np.log10(density) + _AB, 10)
        )  # 23.9, not 23.900000000000002


def header_zeropoints(header: Mapping[str, Any], units: str, pivot: float) -> dict[str, float]:
    """Return the AB zero points that the header of an image gives, by what gives them.

    The first is the one to take. They are the unit itself, where it is a flux density; ABZP,
    ZEROPNT (HLF) or MAGZERO; PHOTFLAM and PHOTPLAM (STScI); PHOTFNU [Jy s/e-], which is kept to
    fewer digits. A card that holds no number gives none.

    Parameters
    ----------
    header : mapping of FITS cards
    units : str
        Unit of the pixels.
    pivot : float
        Pivot wavelength [Angstrom].

    Raises
    ------
    CubeError
        If there is none and a card is not a number, or a zero point is impossible.
    """
    said = _numbers(header)
    found: dict[str, float] = {}
    if (of_unit := _zeropoint_of(units, pivot)) is not None:
        found["its unit"] = of_unit
    found |= {card: float(said[card]) for card in _MAGNITUDE_CARDS if card in said}
    flam, plam = said.get("PHOTFLAM", 0), said.get("PHOTPLAM", 0)
    if flam > 0 and plam > 0:
        magnitude = -2.5 * math.log10(flam) - 5 * math.log10(plam) + _MAG_OF_FLAM
        found["PHOTFLAM and PHOTPLAM"] = magnitude
    if (density := said.get("PHOTFNU", 0)) > 0:
        found["PHOTFNU"] = -2.5 * math.log10(density) + _MAG_OF_JY
    for source, zeropoint in found.items():
        if abs(zeropoint) > _FAINTEST_ZERO:
            reason = f"the zero point is {zeropoint:g} mag by {source}"
            raise CubeError("HC-D22", reason, _REPAIR)
    if not found and (odd := unread_cards(header)):
        raise CubeError("HC-D22", f"the card {odd[0]}, not a finite number", _REPAIR)
    return found


def stale_zeropoints(header: Mapping[str, Any]) -> dict[str, float]:
    """Return the zero point of a card that is never taken, to be compared with the one that is."""
    value = card_value(header, _STALE)
    return {_STALE: float(value)} if _is_number(value) and 0 < value < _FAINTEST_ZERO else {}


_REPAIR = (
    "repair the header, or give the zero point: [[zeropoint = 25.94 in a field file|"
    "open_bands(..., zeropoint={'f160w': 25.94})]]"
)


def unread_cards(header: Mapping[str, Any]) -> list[str]:
    """Return the photometric cards that hold something but no number, as "ABZP is 'X'"."""
    odd = []
    for key in _CARDS:
        value = card_value(header, key)
        nothing = value is None or (isinstance(value, str) and value.strip().upper() in NOTHING)
        if not nothing and not _is_number(value):
            odd.append(f"{key} is {value!r}")
    return odd


def _is_number(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value)


def _numbers(header: Mapping[str, Any]) -> dict[str, float]:
    """Return the photometric cards of a header."""
    return {key: header[key] for key in _CARDS if _is_number(header.get(key))}


def _zeropoint_of(units: str, pivot: float) -> float | None:
    """Return the zero point of a unit, where it is a flux density."""
    if units == RATE:  # the common case is known, and astropy's units take time
        return None
    try:
        zeropoint = unit_zeropoint(units, [pivot])
    except CubeError:  # a unit that is none is refused when the cube is built
        return None
    return None if zeropoint is None else float(zeropoint[0])


def pixel_area(cube: xr.Dataset) -> float:
    """Return the area of a pixel on the sky, arcsec2."""
    return Grid.of(cube).scale ** 2


def deredden(cube: xr.Dataset, ebv: Any, *, law: Law = "F19") -> xr.Dataset:
    """Correct a cube for the dust of the Milky Way.

    Each band is multiplied by 10**(0.4 A), A the extinction at its pivot wavelength for R_V = 3.1.
    A spectrum's slope within a wide filter changes A by some percent of itself.

    Parameters
    ----------
    cube : Dataset
    ebv : float or Quantity
        Reddening E(B-V) of the field [mag]; not negative.
    law : {"F19", "CCM89"}
        Fitzpatrick et al. 2019, ApJ 886, 108, or Cardelli, Clayton & Mathis 1989, ApJ 345, 245.

    Returns
    -------
    Dataset
        ``sci``, ``wht``, ``sky`` and ``sky_error`` corrected; the zero points stay, for the unit
        does. A coordinate ``extinction`` (band,) [mag] says what was taken off.

    Raises
    ------
    CubeError
        If the cube was corrected before, or a band's pivot is unknown or out of the law's range.
    RecipeError
        If `ebv` is not a reddening, or there is no such law.

    Examples
    --------
    >>> import hstcube
    >>> cube = hstcube.example()
    >>> hstcube.deredden(cube, 0.008).extinction.round(3).values[[0, -1]].tolist()  # mag
    [0.033, 0.005]
    """
    require_choice("law", law, Law, code="HC-B30")
    cube = taken(cube)
    if "extinction" in cube.coords:
        reason = "the cube is corrected for extinction already"
        raise CubeError("HC-D34", reason, "leave one of the two steps out")
    # a reddening of 10 mag dims F435W by 40 mag: nothing of a galaxy is seen through that
    reddening = number_in("mag", ebv, "ebv", least=0, most=_REDDEST, code="HC-D35")
    extinction = reddening * R_V * _curve(law, cube)
    factor = 10 ** (0.4 * extinction)
    electrons = _electrons(cube, 1 / factor)
    new = _scaled(cube, factor, f"deredden(ebv={reddening!r}, law={law!r})", **electrons)
    return with_extinction(new, extinction)


def with_extinction(cube: xr.Dataset, extinction: Any) -> xr.Dataset:
    """Return the cube with a coordinate of the extinction [mag], (band,), sci is corrected for."""
    attrs = {"units": "mag", "long_name": "extinction that sci is corrected for"}
    return cube.assign_coords(extinction=("band", np.asarray(extinction, dtype=np.float64), attrs))


def _curve(law: Law, cube: xr.Dataset) -> NDArray[np.float64]:
    """Return A / A_V at the pivots."""
    from astropy import units
    from dust_extinction.parameter_averages import CCM89, F19

    model = {"F19": F19, "CCM89": CCM89}[law](Rv=R_V)
    low, high = model.x_range  # 1/micron
    with np.errstate(divide="ignore"):
        inverse = 1e4 / cube.pivot.values
    if (outside := ~((inverse >= low) & (inverse <= high))).any():
        name, pivot = str(cube.band.values[outside][0]), cube.pivot.values[outside][0]
        limits = f"{1e4 / high:.0f} to {1e4 / low:.0f}"
        reason = f"its pivot, {pivot:.0f} Angstrom, is not within those of {law}, {limits}"
        raise CubeError("HC-D36", reason, "leave the band out, or choose another law", band=name)
    return np.asarray(model(inverse / units.micron), dtype=np.float64)


def _of_known_zeropoint(cube: xr.Dataset) -> xr.Dataset:
    """Return the cube with the zero point of its unit, where that is a flux density.

    Else all bands must have one.
    """
    known = cube.zeropoint.values
    of_unit = unit_zeropoint(cube.sci.attrs["units"], cube.pivot.values)
    if of_unit is not None:
        if (apart := np.abs(known - of_unit) > AGREE).any():
            first = int(apart.argmax())
            name, given, meant = cube.band.values[first], known[first], of_unit[first]
            said = f"the zero point {given:.2f} contradicts the unit's, {meant:.2f}, which is used"
            cube = warn(cube, "HC-D31", f"{name}: {said}")
        return cube.assign_coords(zeropoint=cube.zeropoint.copy(data=of_unit))
    if (lacking := ~np.isfinite(known)).any():
        name = str(cube.band.values[lacking][0])
        fix = (
            "give it: [[|"
            f"open_bands(..., zeropoint={{{name!r}: 25.94}}), or ]]"
            "zeropoint = 25.94 in a field file"
        )
        raise BandError("HC-D30", "has no zero point, so its flux is not known", fix, band=name)
    return cube


def _electrons(cube: xr.Dataset, factor: NDArray[np.float64]) -> dict[str, Any]:
    """Return how many electrons each second one unit is that is `factor` of the old ones."""
    known = cube.coords.variables.get("electrons")
    return {} if known is None else {"electrons": known.values * factor}


def _scaled(cube: xr.Dataset, factor: NDArray[np.float64], step: str, **coords: Any) -> xr.Dataset:
    """Return the cube with sci and all that is in its unit multiplied by a factor a band."""
    wide = factor[:, None, None]
    with np.errstate(all="ignore"):  # `updated` refuses what float32 does not hold
        return updated(
            cube,
            step,
            sci=(cube.sci.data * wide).astype(np.float32),
            wht=(cube.wht.data / wide**2).astype(np.float32),
            sky=cube.sky.values * factor,
            sky_error=cube.sky_error.values * factor,
            **coords,
        )
