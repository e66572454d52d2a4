"""The line of the made-up galaxy as an integral-field unit sees it: a map with its errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hstcube.core.bands import band as find_band
from hstcube.demo.cameras import FINE
from hstcube.demo.field import light_of_galaxy, stamp_grid
from hstcube.fits.units import hdu
from hstcube.forward.psfs import moffat

if TYPE_CHECKING:
    from hstcube.core.grids import Grid

__all__ = ["WIDTH", "line_map_file"]

FWHM = 0.65  # arcsec, of a Moffat profile with the usual wings
WIDTH = 50.0  # Angstrom: the line is that part of what F606W sees
MERGED = 7  # pixels of 30 mas on a side of the map's
SIDE = 28  # pixels of the map
SNR = 100.0  # of the brightest pixel

_LIGHT = 2.99792458e18  # Angstrom/s
_UNIT = "1e-20 erg s-1 cm-2"


def _grid() -> Grid:
    """Return the grid of the map: its middle is that of the stamps."""
    return stamp_grid((SIDE, SIDE), MERGED * FINE)


def line_map_file(seed: int = 1) -> bytes:
    """Return a FITS file with the flux of a line (DATA) and its variance (STAT).

    The galaxy and its companion, 50 Angstrom times their flux density in F606W, at a Moffat PSF of
    0.65 arcsec, on pixels of 0.21 arcsec, with white noise.
    """
    band = "f606w"
    psf = moffat(FWHM, scale=FINE, radius=4).values
    pivot = find_band(band).pivot
    # 1 uJy is 1e-29 erg s-1 cm-2 Hz-1
    fine = light_of_galaxy(band, psf, seed) * 1e-29 / 1e-20 * _LIGHT / pivot**2 * WIDTH
    edge = (fine.shape[0] - SIDE * MERGED) // 2
    inner = fine[edge : edge + SIDE * MERGED, edge : edge + SIDE * MERGED]
    flux = inner.reshape(SIDE, MERGED, SIDE, MERGED).sum((1, 3))
    sigma = flux.max() / SNR
    seen = flux + np.random.default_rng(seed).normal(size=flux.shape) * sigma
    cards = [("BUNIT", _UNIT, ""), *((key, value, "") for key, value in _grid().cards)]
    squared = [("BUNIT", f"({_UNIT})2", ""), *cards[1:]]
    return (
        hdu(None, [("OBJECT", "line of a made-up galaxy", "")])
        + hdu(seen.astype(np.float32), cards, extname="DATA")
        + hdu(np.full(flux.shape, sigma**2, np.float32), squared, extname="STAT")
    )
