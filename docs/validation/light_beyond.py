"""Colours where bands keep different shares of their light in the frames of PSFs: by GalSim."""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import galsim
import numpy as np
import xarray as xr

import hstcube

warnings.simplefilter("ignore", hstcube.HstCubeWarning)
SCALE, STAMP, FRAME = 0.06, 101, 65
WAVELENGTHS = {"f435w": 433, "f775w": 769, "f105w": 1055, "f160w": 1537}  # nm
GS = galsim.GSParams(maximum_fft_size=16384, folding_threshold=2e-3, kvalue_accuracy=1e-5)


@cache
def psf_of(band: str) -> Any:
    """Return an obstructed pupil of 2.4 m with spiders, a detector, and a Moffat for the mirror."""
    infrared = band in {"f105w", "f160w"}
    pupil = galsim.OpticalPSF(
        lam=WAVELENGTHS[band], diam=2.4, obscuration=0.33, nstruts=4, strut_thick=0.01,
        astig1=0.02, coma1=0.01, pad_factor=2, gsparams=GS,
    )  # fmt: skip
    detector = [galsim.Pixel(0.128 if infrared else 0.05), galsim.Gaussian(sigma=0.025)]
    core = galsim.Convolve([pupil, *detector], gsparams=GS)
    share = 0.05 if infrared else 0.03
    wings = galsim.Moffat(beta=1.9, half_light_radius=0.45, trunc=5.5, gsparams=GS)
    return (1 - share) * core + share * wings


def drawn(source: Any, band: str, side: int = STAMP) -> np.ndarray:
    """Return an image of a source through the PSF of a band."""
    seen = galsim.Convolve([source, psf_of(band)], gsparams=GS)
    image: np.ndarray = seen.drawImage(nx=side, ny=side, scale=SCALE, dtype=float).array
    return image


def psfs() -> xr.DataArray:
    """Return the PSFs in frames of 3.9 arcsec, unit sums, with the light that the frames hold."""
    star = galsim.Gaussian(sigma=1e-3)
    images = np.stack([drawn(star, band, FRAME) for band in WAVELENGTHS])
    held = images.sum((1, 2))
    offsets = (np.arange(FRAME) - FRAME // 2) * SCALE
    coords = {"band": list(WAVELENGTHS), "ky": offsets, "kx": offsets, "psf_energy": ("band", held)}
    return xr.DataArray(images / held[:, None, None], coords, ("band", "ky", "kx"))


def main() -> None:
    """Print how wrong colours against F160W are, with and without the light beyond the frame."""
    disc = galsim.InclinedExponential(
        inclination=80 * galsim.degrees, scale_radius=0.4, scale_h_over_r=0.1
    )
    bulge = galsim.Sersic(n=2.5, half_light_radius=0.18, flux=0.5)
    sources = {"edge-on galaxy": disc + bulge, "star": galsim.Gaussian(sigma=1e-3)}
    y, x = (np.indices((STAMP, STAMP)) - STAMP // 2) * SCALE
    grid = hstcube.Grid.around((53.16, -27.78), (STAMP * SCALE,) * 2, SCALE)
    held = psfs()
    shares = " ".join(f"{share:.4f}" for share in held.psf_energy.values)
    print(f"{' '.join(WAVELENGTHS)}: shares of the light in 3.9 arcsec {shares}")
    for name, source in sources.items():
        native = np.stack([drawn(source, band) for band in WAVELENGTHS])
        truth = drawn(source, "f160w")
        cube = hstcube.build(
            native, native * 0 + 1e6, bands=list(WAVELENGTHS), grid=grid, units="uJy", sky=[0.0] * 4
        )
        for how, share in (("before", 1.0), ("now", held.psf_energy.values)):
            given = held.assign_coords(psf_energy=("band", share + 0 * held.psf_energy.values))
            matched = hstcube.psf_match(hstcube.with_psf(cube, given), "f160w").sci.values
            for radius in (0.2, 1.5):
                inside = np.hypot(y, x) <= radius
                flux = matched[:, inside].astype(float).sum(1) / truth[inside].sum()
                wrong = " ".join(f"{value:+.1f}" for value in -2500 * np.log10(flux / flux[-1]))
                print(f"{name}, r = {radius} arcsec, {how}: {wrong} mmag")


if __name__ == "__main__":
    main()
