"""The noise of new pixels that saw a part of their input: against the whole covariance matrix."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import hstcube
from hstcube import Grid, build, rebin, regrid

SIDE = 24
GAUSSIAN = np.exp(-0.5 * (np.arange(-6, 7) / 1.4) ** 2)
KERNEL = np.outer(GAUSSIAN, GAUSSIAN) / GAUSSIAN.sum() ** 2
# a pixel, two beside one another, two across, three, and a bay at the rim of the frame
HOLES = [(10, 10), (4, 4), (4, 5), (16, 6), (17, 7), (8, 16), (8, 17), (9, 16), (0, 12)]


def correlation():
    """Return the correlation of two pixels by their lag, as KERNEL makes it of white noise."""
    one = np.convolve(GAUSSIAN, GAUSSIAN) / (GAUSSIAN**2).sum()
    return np.outer(one, one)


def with_holes(units="electron s-1"):
    """Return a matched cube with ragged holes, and sigma of its pixels."""
    grid = Grid.around((53.16, -27.78), (SIDE * 0.06, SIDE * 0.06), 0.06)
    wht = np.ones((1, SIDE, SIDE))
    cube = build(np.zeros_like(wht), wht, bands=["f435w"], grid=grid, units=units, psf_fwhm=[0.1])
    kernel = xr.DataArray(KERNEL[None], {"band": np.array(["f435w"], object)}, ("band", "ky", "kx"))
    cube = hstcube.psf_match(hstcube.with_noise(cube, "white"), kernels=kernel, to="0.3arcsec")
    hole = np.zeros((1, SIDE, SIDE), bool)
    for y, x in HOLES:
        hole[0, y, x] = True
    sci, wht = cube.sci.where(~hole), np.where(hole, 0, cube.wht.values)
    cube = cube.assign(
        sci=sci.astype("f4").assign_attrs(cube.sci.attrs),
        wht=(cube.wht.dims, wht, cube.wht.attrs),
        mask=cube.mask & (wht > 0),
    )
    sigma = np.zeros(wht.shape)
    np.divide(cube.noise_scale.item(), np.sqrt(wht), where=wht > 0, out=sigma)
    return cube, sigma[0]


def exact_sigma(weights, sigma):
    """Return the sigma of weighted means of pixels, from the covariances of all of them."""
    rho = correlation()
    middle = rho.shape[0] // 2
    y, x = np.divmod(np.arange(SIDE * SIDE), SIDE)
    covariance = rho[
        np.clip(y[:, None] - y + middle, 0, 2 * middle),
        np.clip(x[:, None] - x + middle, 0, 2 * middle),
    ]
    seen = weights * (sigma.ravel() > 0)
    share = seen / seen.sum(1, keepdims=True) * sigma.ravel()
    return np.sqrt(np.einsum("pi,ij,pj->p", share, covariance, share))


def block_weights(n):
    rows = SIDE // n
    weights = np.zeros((rows, rows, SIDE, SIDE))
    for i in range(rows):
        for j in range(rows):
            weights[i, j, i * n : (i + 1) * n, j * n : (j + 1) * n] = 1
    return weights.reshape(rows * rows, -1)


@pytest.mark.slow
@pytest.mark.parametrize("n", [2, 3, 4])
@pytest.mark.parametrize("units", ["electron s-1", "MJy sr-1"])
def test_the_sigma_of_blocks_full_or_not_is_exact(n, units):
    cube, sigma = with_holes(units)
    made = rebin(cube, n)
    have = made.wht.values[0] > 0
    told = made.noise_scale.item() / np.sqrt(made.wht.values[0][have])
    area = n * n if units == "electron s-1" else 1
    expected = area * exact_sigma(block_weights(n), sigma).reshape(have.shape)
    partly = (block_weights(n) @ (sigma.ravel() > 0)).reshape(have.shape) < n * n
    assert (partly & have).sum() >= 4
    np.testing.assert_allclose(told, expected[have], rtol=0.01)


@pytest.mark.parametrize("method", ["exact", "adaptive"])
def test_the_sigma_of_a_regridded_pixel_beside_a_hole_is_exact(method):
    """On pixels twice as large, all of which lie alike on those of the input."""
    cube, sigma = with_holes()
    grid = Grid.of(cube).coarsen(2)
    made = regrid(cube, grid, method=method, min_coverage=0.3)
    number = SIDE * SIDE
    impulses = build(
        np.eye(number).reshape(number, SIDE, SIDE),
        np.ones((number, SIDE, SIDE)),
        grid=Grid.of(cube),
        bands=[f"b{i}" for i in range(number)],
        units="MJy sr-1",
        pivot=1 + np.arange(number),
    )
    weights = regrid(impulses, grid, method=method).sci.values.reshape(number, -1).T.astype(float)
    have = made.wht.values[0] > 0
    told = made.noise_scale.item() / np.sqrt(made.wht.values[0][have])
    expected = 4 * exact_sigma(weights, sigma).reshape(have.shape)
    np.testing.assert_allclose(told, expected[have], rtol=0.01)


def test_white_noise_beside_holes_stays_what_it_was():
    cube, _ = with_holes()
    white = cube.drop_vars(["noise_acf", "noise_scale", "dy", "dx"])
    valid = (white.wht.values[0] > 0).reshape(SIDE // 2, 2, SIDE // 2, 2)
    variance = np.divide(
        1, white.wht.values[0].reshape(valid.shape), where=valid, out=np.zeros(valid.shape)
    )
    spread = variance.sum((1, 3)) * (4 / valid.sum((1, 3))) ** 2
    made = rebin(white, 2).wht.values[0]
    np.testing.assert_allclose(made[made > 0], 1 / spread[made > 0], rtol=1e-6)
    assert (made > 0).sum() == made.size - 1


def test_chunked_blocks_have_the_same_sigma():
    cube, _ = with_holes()
    for step in (lambda c: rebin(c, 2), lambda c: regrid(c, Grid.of(c).coarsen(2))):
        lazy = step(cube.chunk(band=1, y=12)).compute()
        np.testing.assert_array_equal(lazy.wht.values, step(cube).wht.values)
