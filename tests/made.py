"""Cubes, sources and golden numbers that tests of several folders share."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from strategies import plain_grid

import hstcube

XDF = (53.122751, -27.805089)  # RA and Dec of the tangent point of its mosaics, degrees

# SCIENCE.md 2: galaxy 37, the bare label, NEW_SKY levels, no matching, uJy
FLUXES_37 = {
    "f435w": 0.268,
    "f606w": 0.283,
    "f775w": 0.450,
    "f814w": 0.454,
    "f850lp": 0.565,
    "f105w": 0.601,
    "f125w": 0.623,
    "f140w": 0.629,
    "f160w": 0.582,
}


def cube_on(grid, bands=("f606w", "f160w"), sci=None, wht=None, **state):
    """Return a cube in electron/s whose sky is subtracted and whose zero points are 25."""
    shape = (len(bands), *grid.shape)
    state = {"zeropoint": [25.0] * len(bands), "sky": [0.0] * len(bands)} | state
    return hstcube.build(
        np.ones(shape) if sci is None else sci,
        np.full(shape, 4.0) if wht is None else wht,
        bands=list(bands),
        grid=grid,
        units="electron s-1",
        field="made up",
        **state,
    )


def images_on(grid, sci=None, wht=1.0, *, units="electron s-1", bands=("f160w",), **state):
    """Return a cube of which nothing is known but its images; `sci` and `wht` are broadcast."""
    shape = (len(bands), *grid.shape)
    sci = np.zeros(shape) if sci is None else np.broadcast_to(sci, shape)
    return hstcube.build(
        sci, np.broadcast_to(np.float64(wht), shape), bands=bands, grid=grid, units=units, **state
    )


def galaxy(bands, *, rim, side=60, seed=1, colour=0.0, correlated=True):
    """Return an exponential disc in noise of unit variance, with S/N `rim` at its mask's rim.

    The noise is white noise through Gaussians of 1.3 pixels in the bluer half of the bands and 0.8
    in the others.
    """
    rng = np.random.default_rng(seed)
    y, x = np.indices((side, side)) - (side - 1) / 2
    radius = np.hypot(y, x)
    keep = radius < 0.48 * side
    light = rim * np.exp((0.48 * side - radius) / (side / 8))
    k = np.arange(-8, 9)
    sci, acf = [], []
    for i in range(len(bands)):
        width = 1.3 if i < len(bands) / 2 else 0.8
        noise = rng.normal(size=(side, side))
        if correlated:
            noise = ndimage.gaussian_filter(noise, width, mode="wrap")
        tilt = 1 + colour * (i / max(len(bands) - 1, 1) - 0.5) * np.sign(x)
        sci.append(light * tilt + noise / noise.std())
        acf.append(np.exp(-(k[:, None] ** 2 + k**2) / 4 / width**2))
    cube = cube_on(
        plain_grid((side, side)), bands, np.stack(sci), np.ones((len(bands), side, side))
    )
    if correlated:
        cube = cube.assign_coords(
            noise_acf=(("band", "dy", "dx"), np.stack(acf)), dy=k * 0.06, dx=k * 0.06
        )
    return hstcube.mask(cube, keep)


def gaussian(grid, y, x, fwhm):
    """Return the flux of a source of unit sum in every pixel.

    Integrated over the pixels, not sampled.
    """
    from scipy.special import erf

    sigma = fwhm / grid.scale / 2.3548
    iy, ix = (np.arange(n + 1) - 0.5 for n in grid.shape)
    rows, columns = (
        np.diff(erf((edge - at) / sigma / np.sqrt(2))) / 2 for edge, at in ((iy, y), (ix, x))
    )
    return rows[:, None] * columns


def code_of(action):
    """Return the code of the error that an action raises."""
    with pytest.raises(hstcube.HstCubeError) as caught:
        action()
    return caught.value.code


def levels_of(cube, files):
    """Return the sky levels of 2022 that lie beside a field of the XDF."""
    from hstcube.files.levels import read_levels

    return {band: level for band, (level, _) in read_levels(files, cube.band.values).items()}
