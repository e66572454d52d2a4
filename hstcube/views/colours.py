"""The colour of every pixel."""

from __future__ import annotations

import numpy as np
import xarray as xr

from hstcube.core.cube import variance
from hstcube.core.state import warn
from hstcube.phot.groups import of_bands
from hstcube.phot.units import to_flux
from hstcube.views.magnitudes import magnitude_errors

__all__ = ["colour", "colours_of", "tell_if_unmatched"]

_SAME = 0.02  # of a width: PSFs that are taken as one


def colour(cube: xr.Dataset, blue: str, red: str) -> xr.Dataset:
    """Return the colour of every pixel, blue minus red in AB magnitudes, and its error.

    Parameters
    ----------
    cube : Dataset
        With zero points; matched, else the colours near edges are those of the PSFs: a warning
        says so.
    blue, red : str
        The two bands: the colour is the magnitude in the first minus that in the second.

    Returns
    -------
    Dataset
        ``colour`` and ``error`` [mag], (y, x): the error of a single pixel, to first order. Both
        are NaN where the flux in one of the bands is not above 0: choose by signal to noise before
        you average. Whole objects have colours by the fluxes of `photometry`.

    Raises
    ------
    BandError
        If the cube has no such band, or no zero point of one.

    Examples
    --------
    >>> import hstcube
    >>> cube = hstcube.example(matched=True)
    >>> found = hstcube.colour(cube, "f606w", "f160w")
    >>> found.colour.where(cube.mask.all("band")).median().round(2).item()
    0.78
    """
    pair = of_bands(cube, [blue, red])
    tell_if_unmatched(pair)
    return colours_of(to_flux(pair, "uJy"))


def colours_of(pair: xr.Dataset) -> xr.Dataset:
    """Return `colour` of a cube of two bands, in a flux density, whatever their PSFs."""
    flux = pair.sci.astype(np.float64)
    flux = flux.where((flux > 0).all("band"))
    blue, red = (flux.isel(band=i, drop=True) for i in (0, 1))
    errors = magnitude_errors(flux, variance(pair).astype(np.float64) ** 0.5)
    found = xr.Dataset(
        {
            "colour": -2.5 * np.log10(blue / red),
            "error": np.sqrt((errors**2).sum("band", skipna=False)),
        }
    ).drop_attrs(deep=False)
    names = " - ".join(pair.band.values.tolist())
    found.variables["colour"].attrs.update(units="mag(AB)", long_name=names)
    found.variables["error"].attrs.update(units="mag", long_name=f"1 sigma error of {names}")
    return found.reset_coords(drop=True).assign_coords(wcs=pair.wcs)


def tell_if_unmatched(cube: xr.Dataset) -> None:
    """Warn of bands that have, or may have, PSFs of other widths."""
    widths = cube.psf_fwhm.values
    done = set(cube.matched_to.values.tolist())
    if len(done) == 1 and "" not in done:
        return
    if np.isfinite(widths).all() and np.ptp(widths) <= _SAME * widths.min():
        return
    said = ", ".join(
        f"{name} {width:.2f} arcsec" for name, width in zip(cube.band.values, widths, strict=True)
    )
    warn(cube, "HC-P43", f"colours near edges are those of the PSFs, which differ: {said}")
