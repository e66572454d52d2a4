"""piXedfit (Abdurro'uf et al. 2021, ApJS 254, 15): its maps of fluxes. Experimental; it is not run here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hstcube.core.cube import variance
from hstcube.core.grids import Grid
from hstcube.errors import LabelError, RecipeError
from hstcube.fits.units import hdu
from hstcube.phot.groups import checked_groups
from hstcube.phot.units import to_flux
from hstcube.sed.catalogue import curve_text
from hstcube.sed.curves import curve_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import xarray as xr

__all__ = ["pixedfit_files"]

UNIT = 1e-20  # erg s-1 cm-2 AA-1: of the numbers in the maps; card UNIT
LIGHT = 2.99792458e18  # Angstrom s-1
CGS = 1e-29  # erg s-1 cm-2 Hz-1 of 1 uJy


def pixedfit_files(
    cube: xr.Dataset,
    groups: Any,
    *,
    redshift: float | None = None,
    curves: Mapping[str, str | Path] | None = None,
) -> dict[str, bytes]:
    """Return the input of piXedfit: maps, not a table, for it bins pixels itself.

    Parameters
    ----------
    cube : Dataset
    groups : DataArray or array of int, (y, x)
        Where it is above 0 is the galaxy; of that, the pixels that have data in all bands.
    redshift : float, optional
        Of the galaxy; 0, piXedfit's word for not known, where it is not given.
    curves : mapping of band to path, optional
        As for `to_sed`.

    Returns
    -------
    dict of str to bytes
        By file name: ``fluxmap.fits`` with the extensions FLUX and FLUX_ERR (band, y, x)
        [erg/s/cm2/Angstrom, over the card UNIT], GALAXY_REGION (1 inside) and STAMP_IMAGE (the last
        band, with its WCS); ``filters/*.txt``; and ``README``. Errors are those of single pixels,
        without a floor: piXedfit adds them up as if pixels were independent.
    """
    if redshift is not None and np.ndim(redshift):
        raise RecipeError(
            "HC-E03", "piXedfit takes one redshift, that of the galaxy", "give redshift=0.98"
        )
    labels = checked_groups(cube, groups)
    flux = to_flux(cube, "uJy")
    bands = flux.band.values.tolist()
    chosen = [
        curve_of(band, pivot=float(at), files=curves)
        for band, at in zip(bands, flux.pivot.values, strict=True)
    ]
    region = (labels > 0) & (flux.wht.values > 0).all(axis=0) & flux.mask.values.any(axis=0)
    if not region.any():
        raise LabelError(
            "HC-S24",
            "no pixel of the galaxy has data in all bands",
            "leave out the bands that lack data",
        )
    scale = np.array([CGS * LIGHT / curve.band.pivot**2 / UNIT for curve in chosen])[:, None, None]
    maps = [
        np.where(region, values.astype(np.float64) * scale, 0.0)
        for values in (flux.sci.values, np.sqrt(variance(flux).values))
    ]
    place = Grid.of(cube)
    y, x = np.nonzero(region)
    middle = place.wcs.pixel_to_world(x.mean(), y.mean()).icrs
    cards = [
        ("NFILTERS", len(bands), "number of bands"),
        ("RA", float(middle.ra.deg), "[deg] middle of the region"),
        ("DEC", float(middle.dec.deg), "[deg] middle of the region"),
        ("Z", float(redshift or 0.0), "redshift; 0 is not known"),
        ("UNIT", UNIT, "of the numbers, in BUNIT"),
        ("BUNIT", "erg/s/cm^2/A", ""),
        ("GALEBV", 0.0, "nothing is left to correct"),
        ("STRUCT", "(band,y,x)", ""),
        ("PIXSIZE", place.scale, "[arcsec]"),
        ("FPSFMTCH", str(cube.matched_to.values[0]), "PSFs are matched to"),
        (
            "PSFFWHM",
            float(np.nan_to_num(np.nanmax(cube.psf_fwhm.values, initial=0.0))),
            "[arcsec]; 0 is not known",
        ),
        ("SPECPHOT", 0, "photometry only"),
        *((f"FIL{i}", curve.band.pixedfit or curve.file, "") for i, curve in enumerate(chosen)),
    ]
    stamp = np.nan_to_num(flux.sci.values[-1])
    image = b"".join(
        (
            hdu(maps[0], [("EXTEND", True, "extensions follow"), ("EXTNAME", "FLUX", ""), *cards]),
            hdu(maps[1], [], extname="FLUX_ERR"),
            hdu(region.astype(np.int32), [], extname="GALAXY_REGION"),
            hdu(stamp, place.header_cards(), extname="STAMP_IMAGE"),
        )
    )
    field = cube.attrs.get("field") or "?"
    lines = (
        f"Input of piXedfit (experimental): {region.sum()} pixels of field {field} in {' '.join(bands)}.",
        "fluxmap.fits: FLUX, FLUX_ERR, GALAXY_REGION, STAMP_IMAGE, as piXedfit_images writes it; times the card UNIT.",
        "Run: piXedfit_bin.pixel_binning('fluxmap.fits'), then piXedfit_fitting; bins come from piXedfit itself.",
        "Filters are named FIL0, FIL1, ... in the header; add those that piXedfit lacks from filters/ (add_filter).",
        "The format follows piXedfit's own readers; hstcube's tests do not run piXedfit.",
        "",
    )
    return {
        "fluxmap.fits": image,
        **{f"filters/{curve.file}.txt": curve_text(curve).encode() for curve in chosen},
        "README": "\n".join(lines).encode(),
    }
