"""piXedfit (Abdurro'uf et al. 2021, ApJS 254, 15): its maps of fluxes. It is not run here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from hstcube.core.cube import variance
from hstcube.core.grids import Grid
from hstcube.errors import LabelError, RecipeError
from hstcube.fits.units import hdu
from hstcube.inputs.quantities import number_in
from hstcube.noise.groups import group_map
from hstcube.phot.units import to_flux
from hstcube.sed.catalogue import curve_text
from hstcube.sed.curves import curve_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import xarray as xr
    from numpy.typing import NDArray

    from hstcube.sed.curves import Curve

    Card = tuple[str, Any, str]

__all__ = ["pixedfit_files"]

UNIT = 1e-20  # erg s-1 cm-2 AA-1: of the numbers in the maps; card UNIT
LIGHT = 2.99792458e18  # Angstrom s-1
CGS = 1e-29  # erg s-1 cm-2 Hz-1 of 1 uJy


def pixedfit_files(
    cube: xr.Dataset,
    groups: Any,
    *,
    redshift: Any = None,
    curves: Mapping[str, str | Path] | None = None,
    first: int = 1,
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
    first : {1, 0}
        The least number that is a group; see `photometry`.

    Returns
    -------
    dict of str to bytes
        By file name: ``fluxmap.fits`` with the extensions FLUX and FLUX_ERR (band, y, x)
        [erg/s/cm2/Angstrom, over the card UNIT], GALAXY_REGION (1 inside) and STAMP_IMAGE (the last
        band, with its WCS); ``filters/*.txt``; and ``README``. Errors are those of single pixels,
        without a floor: piXedfit adds them up as if pixels were independent.
    """
    redshift = _one_redshift(redshift)
    labels = group_map(cube, groups, first=first)
    flux = to_flux(cube, "uJy")
    chosen = _curves(flux, curves)
    region = (labels > 0) & (flux.wht.values > 0).all(axis=0) & flux.mask.values.any(axis=0)
    if not region.any():
        reason = "no pixel of the galaxy has data in all bands"
        raise LabelError("HC-S24", reason, "leave out the bands that lack data")
    texts = {f"filters/{curve.file}.txt": curve_text(curve) for curve in chosen}
    texts["README"] = "\n".join(_readme(cube, region))
    maps = _maps(flux, region, chosen, _cards(cube, region, chosen, redshift))
    return {"fluxmap.fits": maps} | {name: text.encode() for name, text in texts.items()}


def _one_redshift(redshift: Any) -> float | None:
    if redshift is None:
        return None
    if isinstance(redshift, Mapping) or hasattr(redshift, "colnames") or np.ndim(redshift):
        reason = "piXedfit takes one redshift, that of the galaxy"
        raise RecipeError("HC-E03", reason, "give one: [[--redshift 0.98|redshift=0.98]]")
    found = number_in("", redshift, "redshift", nan=True, code="HC-E03", least=0, most=20)
    return None if np.isnan(found) else found


def _curves(flux: xr.Dataset, files: Mapping[str, str | Path] | None) -> list[Curve]:
    names, nowhere = flux.band.values.tolist(), [""] * flux.sizes["band"]
    keys = ("instrument", "detector")
    words = [flux[key].values.tolist() if key in flux.coords else nowhere for key in keys]
    cameras = zip(*words, strict=True)
    return [
        curve_of(name, pivot=pivot, camera=camera, files=files)
        for name, pivot, camera in zip(names, flux.pivot.values.tolist(), cameras, strict=True)
    ]


def _maps(
    flux: xr.Dataset, region: NDArray[np.bool_], curves: Sequence[Curve], cards: Sequence[Card]
) -> bytes:
    """Return the FITS file of the maps; `cards` are those of the first."""
    pivot = np.array([curve.band.pivot for curve in curves])
    scale = (CGS * LIGHT / pivot**2 / UNIT)[:, None, None]
    sci, error = flux.sci.values.astype(np.float64), np.sqrt(variance(flux).values)
    primary = [("EXTEND", True, "extensions follow"), ("EXTNAME", "FLUX", ""), *cards]
    stamp = np.nan_to_num(flux.sci.values[-1])
    return b"".join(
        (
            hdu(np.where(region, sci * scale, 0.0), primary),
            hdu(np.where(region, error.astype(np.float64) * scale, 0.0), [], extname="FLUX_ERR"),
            hdu(region.astype(np.int32), [], extname="GALAXY_REGION"),
            hdu(stamp, Grid.of(flux).header_cards(), extname="STAMP_IMAGE"),
        )
    )


def _cards(
    cube: xr.Dataset, region: NDArray[np.bool_], curves: Sequence[Curve], redshift: float | None
) -> list[Card]:
    """Return what piXedfit reads of the maps."""
    grid = Grid.of(cube)
    y, x = np.nonzero(region)
    middle = grid.wcs.pixel_to_world(x.mean(), y.mean()).icrs
    fwhm = float(np.nan_to_num(np.nanmax(cube.psf_fwhm.values, initial=0.0)))
    cards = [
        ("NFILTERS", len(curves), "number of bands"),
        ("RA", float(middle.ra.deg), "[deg] middle of the region"),
        ("DEC", float(middle.dec.deg), "[deg] middle of the region"),
        ("Z", float(redshift or 0.0), "redshift; 0 is not known"),
        ("UNIT", UNIT, "of the numbers, in BUNIT"),
        ("BUNIT", "erg/s/cm^2/A", ""),
        ("GALEBV", 0.0, "nothing is left to correct"),
        ("STRUCT", "(band,y,x)", ""),
        ("PIXSIZE", grid.scale, "[arcsec]"),
        ("FPSFMTCH", str(cube.matched_to.values[0]), "PSFs are matched to"),
        ("PSFFWHM", fwhm, "[arcsec]; 0 is not known"),
        ("SPECPHOT", 0, "photometry only"),
    ]
    for i, curve in enumerate(curves):
        cards.append((f"FIL{i}", curve.band.pixedfit or curve.file, ""))
    return cards


def _readme(cube: xr.Dataset, region: NDArray[np.bool_]) -> tuple[str, ...]:
    field, bands = cube.attrs.get("field") or "?", " ".join(cube.band.values)
    return (
        f"Input of piXedfit (experimental): {region.sum()} pixels of field {field} in {bands}.",
        "fluxmap.fits: maps as piXedfit_images writes them; fluxes are times the card UNIT.",
        "Run: piXedfit_bin.pixel_binning('fluxmap.fits'), then piXedfit_fitting; it bins itself.",
        "Filters are FIL0, FIL1, ... in the header; filters/ has what piXedfit lacks (add_filter).",
        "The format follows piXedfit's own readers; hstcube's tests do not run piXedfit.",
        "",
    )
