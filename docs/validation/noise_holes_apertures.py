"""Partly filled blocks, apertures, holes, covariances: against operators, photutils, drawn images.

The stars are those of `light_beyond`, by GalSim: nothing in hstcube was set by them.
"""

from __future__ import annotations

import warnings
from typing import Any

import galsim
import numpy as np
import xarray as xr
from light_beyond import STAMP as STARS
from light_beyond import drawn, psfs
from photutils.aperture import CircularAperture, aperture_photometry
from scipy.signal import fftconvolve

import hstcube
from hstcube import Grid, build, psf_match, rebin, with_noise

warnings.simplefilter("ignore", hstcube.HstCubeWarning)

SIDE, SCALE = 40, 0.06
LIMIT = 5  # sigma
ONE = np.exp(-0.5 * (np.arange(-10, 11) / 1.4) ** 2)
KERNEL = np.outer(ONE, ONE) / ONE.sum() ** 2
RHO = np.outer(*[np.convolve(ONE, ONE) / (ONE**2).sum()] * 2)


def blocks() -> None:
    """Print the sigma of blocks of 2x2 pixels over the exact one, by how many have data."""
    grid = Grid.around((53.16, -27.78), (SIDE * SCALE, SIDE * SCALE), SCALE)
    empty = np.zeros((1, SIDE, SIDE))
    cube = build(empty, empty + 1, bands=["f435w"], grid=grid, units="electron s-1")
    kernel = xr.DataArray(KERNEL[None], {"band": np.array(["f435w"], object)}, ("band", "ky", "kx"))
    cube = psf_match(with_noise(cube, "white"), kernels=kernel, to="0.2arcsec")
    holes = {4: [], 3: [(20, 20)], 2: [(20, 20), (21, 21)]}
    for number, gone in holes.items():
        wht = cube.wht.values.copy()
        for y, x in gone:
            wht[0, y, x] = 0
        seen = xr.DataArray(wht > 0, dims=cube.wht.dims)
        holed = cube.assign(
            sci=cube.sci.where(seen), wht=cube.wht.where(seen, 0), mask=cube.mask & seen
        )
        made = rebin(holed, 2)
        told = made.noise_scale.item() / np.sqrt(made.wht.values[0, 10, 10])
        there = [(y, x) for y in (20, 21) for x in (20, 21) if (y, x) not in gone]
        middle = len(RHO) // 2
        pairs = sum(RHO[middle + a[0] - b[0], middle + a[1] - b[1]] for a in there for b in there)
        sigma = cube.noise_scale.item() / np.sqrt(cube.wht.values[0, 20, 20])
        ratio = told / (4 / number * sigma * pairs**0.5)
        print(f"rebin, {number} of 4 pixels: told/exact {ratio:.4f}")


def apertures() -> None:
    """Print the largest difference to photutils' sums, and the scatter of whole pixels."""
    grid = Grid.around((53.16, -27.78), (SIDE * SCALE, SIDE * SCALE), SCALE)
    flat = np.ones((1, SIDE, SIDE))
    cube = build(flat, flat, bands=["f160w"], grid=grid, units="uJy", zeropoint=[23.9], sky=[0.0])
    sums: dict[str, list[float]] = {"exact": [], "center": []}
    away = []
    for y, x in np.random.default_rng(1).uniform(19, 21, (100, 2)):
        place = grid.wcs.pixel_to_world(x, y)
        for overlap, found in sums.items():
            groups = hstcube.apertures(cube, place, radius=0.2, overlap=overlap)
            found.append(hstcube.photometry(cube, groups)["flux_f160w"][0].value)
        theirs = aperture_photometry(flat[0], CircularAperture((x, y), 0.2 / SCALE))
        away.append(abs(sums["exact"][-1] / theirs["aperture_sum"][0] - 1))
    print(f"apertures of 0.2 arcsec: exact over photutils - 1 at most {max(away):.1e}")
    for overlap, found in sums.items():
        print(f"apertures of 0.2 arcsec, {overlap}: scatter {np.std(found) / np.mean(found):.2%}")


def stars_in_holes() -> None:
    """Print pixels beyond 5 sigma beside the lost cores of stars, without the bound and with it."""
    sharp = ["f435w", "f775w", "f105w"]
    kernels = hstcube.matching_kernels(psfs(), to="f160w").sel(band=sharp)
    grid = Grid.around((53.16, -27.78), (STARS * SCALE, STARS * SCALE), SCALE)
    for side in (3, 5, 9):
        for flux in (1e5, 1e7, 0):
            found = []
            for seed in range(920, 926):
                rng = np.random.default_rng(seed)
                shift = rng.uniform(-0.5, 0.5, 2) * SCALE
                star = galsim.Gaussian(sigma=1e-3, flux=flux or 1e-9).shift(*shift)
                light = [drawn(star, band) for band in sharp]
                sci = np.stack(light) + rng.normal(size=(len(sharp), STARS, STARS))
                found.append(_beside(sci, side, kernels, grid))
            without, kept, worst, dropped = np.max(found, 0)
            what = f"star of {flux:.0e} sigma" if flux else "blank sky"
            print(
                f"hole of {side}x{side}, {what}: beyond 5 sigma {without:.0f} without,"
                f" {kept:.0f} now (worst {worst:.1f}), dropped {dropped:.0f} of each band"
            )


def _beside(sci: Any, side: int, kernels: Any, grid: Any) -> tuple[float, ...]:
    hole = np.zeros(sci.shape[1:], bool)
    middle = slice(STARS // 2 - side // 2, STARS // 2 + side // 2 + 1)
    hole[middle, middle] = True
    made = []
    for gone in (hole & False, hole):
        wht = np.where(gone, 0, np.ones(sci.shape))
        bands = kernels.band.values.tolist()
        cube = build(np.where(gone, np.nan, sci), wht, bands=bands, grid=grid, units="uJy")
        made.append(psf_match(cube, kernels=kernels, to="0.2arcsec"))
    whole, holed = made
    kept = holed.wht.values > 0
    away = np.abs(holed.sci.values - whole.sci.values)[kept]
    before = away * np.sqrt(whole.wht.values[kept])
    after = away * np.sqrt(holed.wht.values[kept])
    dropped = (~hole & ~kept).sum((1, 2)).max()
    return (before > LIMIT).sum(), (after > LIMIT).sum(), after.max(), dropped


def covariances() -> None:
    """Print covariances of bins side by side over those of drawn images."""
    grid = Grid.around((53.16, -27.78), (SIDE * SCALE, SIDE * SCALE), SCALE)
    flat = np.zeros((1, SIDE, SIDE))
    cube = build(flat, flat + 1, bands=["f435w"], grid=grid, units="uJy", zeropoint=[23.9], sky=[0])
    kernel = xr.DataArray(KERNEL[None], {"band": np.array(["f435w"], object)}, ("band", "ky", "kx"))
    cube = psf_match(with_noise(cube, "white"), kernels=kernel, to="0.2arcsec")
    groups = np.zeros((SIDE, SIDE), np.int32)
    groups[14:26, 14:26] = np.arange(1, 10).reshape(3, 3).repeat(4, 0).repeat(4, 1)
    told = hstcube.photometry(cube, groups, covariance=True)["covariance_f435w"].value
    noise = np.random.default_rng(3).normal(size=(20000, SIDE, SIDE))
    noise = fftconvolve(noise, KERNEL[None], mode="same", axes=(1, 2))
    sums = noise[:, 14:26, 14:26].reshape(-1, 3, 4, 3, 4).sum((2, 4)).reshape(-1, 9)
    measured = np.cov(sums.T)
    error = np.sqrt((told**2 + np.outer(np.diag(told), np.diag(told))) / len(sums))
    away = (measured - told) / error
    print(f"bins side by side: correlation {told[0, 1] / told[0, 0]:.3f}, drawn", end=" ")
    print(f"{measured[0, 1] / measured[0, 0]:.3f}; all 81 pairs: rms of the difference", end=" ")
    print(f"{away.std():.2f} of what 20000 images allow, largest {abs(away).max():.1f}")


if __name__ == "__main__":
    blocks()
    apertures()
    stars_in_holes()
    covariances()
