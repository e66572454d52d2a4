"""AB magnitudes, of pixels and of tables of fluxes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from hstcube.core.cube import variance
from hstcube.core.rules import taken
from hstcube.errors import CubeError
from hstcube.inputs.arrays import shown
from hstcube.phot.units import to_flux

if TYPE_CHECKING:
    from astropy.table import QTable

__all__ = ["ZERO", "magnitude_errors", "magnitudes", "to_magnitudes"]

ZERO = 23.9  # AB magnitude of 1 uJy (Oke & Gunn 1983, ApJ 266, 713)
_PER_SHARE = 2.5 / math.log(10)  # mag of a flux that is a small share larger


def to_magnitudes(fluxes: xr.Dataset | QTable) -> Any:
    """Return AB magnitudes and their errors, of a cube's pixels or of a table's groups.

    The error is 2.5/ln(10) that of the flux over the flux, to first order: at a signal to noise of
    5, magnitudes scatter by 6 % more, and the interval that holds 68 % of them is 1 % wider.

    Parameters
    ----------
    fluxes : Dataset or QTable
        A cube with zero points; or what `photometry` returns.

    Returns
    -------
    Dataset or QTable
        Of a cube ``magnitude`` and ``error`` (band, y, x) [mag] of single pixels, the flux in a
        pixel being meant. Of a table the same table with ``mag_{band}`` and ``mag_error_{band}``
        [mag] behind its columns. NaN where a flux is not above 0, which no magnitude is of: fit
        and average fluxes, not magnitudes.

    Raises
    ------
    BandError
        If a band of the cube has no zero point.
    CubeError
        If it is neither a cube nor such a table.

    Examples
    --------
    >>> import hstcube
    >>> cube = hstcube.example(matched=True)
    >>> table = hstcube.photometry(cube, (53.16, -27.78), radius=0.3)
    >>> hstcube.to_magnitudes(table)["mag_f160w"].round(2)
    <Quantity [22.59] mag>
    """
    if hasattr(fluxes, "colnames"):
        return _with_columns(fluxes)
    flux = to_flux(taken(fluxes), "uJy")
    sigma = variance(flux).astype(np.float64) ** 0.5
    found = xr.Dataset(
        {"magnitude": magnitudes(flux.sci), "error": magnitude_errors(flux.sci, sigma)}
    )
    kept = {name: flux.coords[name].variable for name in ("pivot", "wcs")}
    return found.reset_coords(drop=True).assign_coords(kept)


def magnitudes(flux: xr.DataArray) -> xr.DataArray:
    """Return the AB magnitudes of fluxes [uJy]; NaN where one is not above 0."""
    seen = flux.astype(np.float64)
    found: xr.DataArray = xr.apply_ufunc(np.log10, seen.where(seen > 0), dask="allowed")
    found = ZERO - 2.5 * found
    return found.drop_attrs(deep=False).assign_attrs(units="mag(AB)").rename("magnitude")


def magnitude_errors(flux: xr.DataArray, error: xr.DataArray) -> xr.DataArray:
    """Return the errors [mag] of the magnitudes of fluxes; NaN where they have none."""
    seen = flux.astype(np.float64)
    found: xr.DataArray = _PER_SHARE * error / seen.where(seen > 0)
    return found.drop_attrs(deep=False).assign_attrs(units="mag").rename("error")


def _with_columns(table: QTable) -> QTable:
    from astropy import units

    names = [name.removeprefix("flux_") for name in table.colnames if name.startswith("flux_")]
    if not names or any(f"error_{name}" not in table.colnames for name in names):
        reason = f"the table has no fluxes with errors: {shown(table.colnames)}"
        fix = "give a table of fluxes[[|, as hstcube.photometry returns it]]"
        raise CubeError("HC-C01", reason, fix)
    found = table.copy()
    for name in names:
        flux = xr.DataArray(np.asarray(units.Quantity(table[f"flux_{name}"], "uJy").value))
        error = xr.DataArray(np.asarray(units.Quantity(table[f"error_{name}"], "uJy").value))
        found[f"mag_{name}"] = magnitudes(flux).values * units.mag
        found[f"mag_error_{name}"] = magnitude_errors(flux, error).values * units.mag
    return found
