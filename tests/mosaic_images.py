"""Images of a mosaic, small enough to be made in memory, too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from astropy.io import fits

if TYPE_CHECKING:
    from pathlib import Path

SIDE, SIGMA = 300, 1e-3
BANDS = ("f606w", "f814w", "f160w")


def write_images(folder: Path) -> Path:
    """Write bands with noise, a bright star where blocks meet, and a hole beside it."""
    folder.mkdir()
    y, x = np.mgrid[:SIDE, :SIDE]
    for i, band in enumerate(BANDS):
        rng = np.random.default_rng(i)
        star = 10 * (1 + ((x - 150) ** 2 + (y - 150) ** 2) / 4) ** -2.5
        sci = (rng.normal(0, SIGMA, (SIDE, SIDE)) + star).astype(np.float32)
        wht = np.full((SIDE, SIDE), SIGMA**-2, np.float32)
        wht[154:157, 120:160] = 0
        wht[:7] = 0
        header = fits.Header(
            {
                "TELESCOP": "HST",
                "INSTRUME": "WFC3" if band == "f160w" else "ACS",
                "DETECTOR": "IR" if band == "f160w" else "WFC",
                "FILTER": band.upper(),
                "BUNIT": "ELECTRONS/S",
                "CTYPE1": "RA---TAN",
                "CTYPE2": "DEC--TAN",
                "CRVAL1": 53.16,
                "CRVAL2": -27.79,
                "CRPIX1": 150.0,
                "CRPIX2": 150.0,
                "CD1_1": -0.06 / 3600,
                "CD2_2": 0.06 / 3600,
                "TEXPTIME": 3e5,
                "XDFVER": "Hubble eXtreme Deep Field (ACS/WFC) V1.0. 22 March 2013",
            }
        )
        for kind, plane in (("sci", sci), ("wht", wht)):
            path = folder / f"mos_60mas_{band}_{kind}.fits"
            fits.writeto(path, plane, header, checksum=True)
    return folder
