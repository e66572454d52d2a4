"""Fields for reports: one that is good in every respect, and one that is bad in each."""

from __future__ import annotations

import warnings
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from made import gaussian
from strategies import plain_grid

import hstcube

if TYPE_CHECKING:
    from collections.abc import Callable

BANDS = ("f606w", "f814w", "f125w", "f160w")
FLUX = (40.0, 70.0, 110.0, 150.0)  # electron/s of the galaxy; a pixel's noise is 0.05
FWHM = 0.2  # arcsec, of every band
NOISE = 0.05
STARS = ((20, 22), (24, 96), (97, 25), (99, 93), (60, 15))
SIDE = 120


def psfs() -> xr.DataArray:
    offsets = (np.arange(41) - 20) * 0.06
    image = gaussian(plain_grid((41, 41)), 20, 20, FWHM)
    images = np.repeat(image[None] / image.sum(), len(BANDS), axis=0)
    coords = {"band": list(BANDS), "ky": offsets, "kx": offsets}
    return xr.DataArray(images, coords, ("band", "ky", "kx"))


@cache
def parts(seed: int = 4) -> tuple[xr.Dataset, xr.DataArray]:
    """Return the images of a galaxy and stars as they were observed, and their map."""
    grid, rng = plain_grid((SIDE, SIDE)), np.random.default_rng(seed)
    disc = gaussian(grid, 60, 62, 0.9)
    stars = sum(gaussian(grid, y, x, FWHM) for y, x in STARS)
    sci = np.stack([flux * disc + 6 * stars for flux in FLUX])
    sci = sci + rng.normal(0, NOISE, sci.shape)
    cube = hstcube.build(
        sci, np.full(sci.shape, NOISE**-2), bands=list(BANDS), grid=grid, units="electron s-1",
        field="made", sky=[0.0] * 4, sky_error=[1e-4] * 4, zeropoint=[25.0] * 4,
    )  # fmt: skip
    y, x = np.indices(grid.shape)
    labels = np.where(np.hypot(y - 60, x - 62) < 22, 1, 0)
    for number, (row, column) in enumerate(STARS, start=2):
        labels = np.where(np.hypot(y - row, x - column) < 6, number, labels)
    found = xr.DataArray(labels.astype(np.int32), grid.coords(), ("y", "x"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # these bands have other PSFs
        return hstcube.with_psf(cube, psfs()), found


@cache
def good() -> tuple[xr.Dataset, xr.DataArray]:
    """Return the cube of that field, which is good in every respect, and its map."""
    observed, labels = parts()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        matched = hstcube.psf_match(observed, to="f160w")
        return hstcube.mask(matched, labels == 1), labels


def _with_noise_off(cube: xr.Dataset) -> xr.Dataset:
    return cube.assign(wht=cube.wht * np.float32(2.0))  # errors too small by a factor of 1.4


def _with_sky(cube: xr.Dataset) -> xr.Dataset:
    return cube.assign(sci=cube.sci + np.float32(0.01))


def _at_the_frame(cube: xr.Dataset) -> xr.Dataset:
    return hstcube.mask(cube, cube.mask.any("band") | (cube.x < 62) & (abs(cube.y - 60) < 5))


def _shifted(cube: xr.Dataset) -> xr.Dataset:
    sci = cube.sci.copy(deep=True)
    sci.values[2] = np.roll(sci.values[2], 1, axis=1)
    return cube.assign(sci=sci)


def _badly_matched(cube: xr.Dataset) -> xr.Dataset:
    return cube.assign_coords(psf_ee_error=("band", [0.0, 0.013, 0.0, 0.0]))


def _of_one_star(cube: xr.Dataset) -> xr.Dataset:
    stars = {"psf_stars": ("band", [1.0] * 4), "psf_error": ("band", [1e-3] * 4)}
    return cube.assign_coords(stars)


# what the report says, and the field it says it of
BAD: dict[str, Callable[[xr.Dataset], xr.Dataset]] = {
    "match error": _badly_matched,
    "PSF unverified": _of_one_star,
    "sky left over": _with_sky,
    "noise off": _with_noise_off,
    "mask at the edge": _at_the_frame,
    "bands shifted": _shifted,
}
