"""The sky of a large chunked cube is measured in windows, and no more of it is held."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from made import code_of, images_on
from strategies import plain_grid

import hstcube
from hstcube.sky import level

SHAPE, SKY = (700, 800), (2e-4, -1e-4)
pytestmark = pytest.mark.filterwarnings("ignore::hstcube.HstCubeWarning")


def a_mosaic(seed=1, tilt=0.0):
    """Return noise of 1e-3 on two skies, which rise along y by `tilt`, and stars on a lattice."""
    rng = np.random.default_rng(seed)
    sci = rng.normal(0, 1e-3, (2, *SHAPE)) + np.array(SKY)[:, None, None]
    sci += tilt * (np.arange(SHAPE[0]) / SHAPE[0] - 0.5)[:, None]
    blank = np.ones(SHAPE, bool)
    for y, x in np.ndindex(7, 8):
        where = (..., slice(100 * y + 40, 100 * y + 52), slice(100 * x + 40, 100 * x + 52))
        sci[where] += 0.1
        blank[where] = False
    grid = plain_grid(SHAPE)
    cube = images_on(grid, sci, 1e6, bands=("f606w", "f160w"))
    return cube, blank


def sampled(cube, blank, **how):
    with (
        mock.patch.object(level, "LARGE", 10_000),
        mock.patch.object(level, "WINDOW", 150),
        mock.patch.object(level, "WINDOWS", 8),
    ):
        return hstcube.measure_sky(cube.chunk({"y": 256, "x": 256}), background=blank, **how)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["clipped", "original"])
def test_windows_tell_the_level_of_the_whole(method):
    pulls = []
    for seed in range(6):
        cube, blank = a_mosaic(seed)
        found = sampled(cube, blank, method=method)
        pulls += list((found.values - SKY) / found.sky_error.values)
    assert found.attrs["sample"] == "8 windows of 150 x 150 pixels"
    assert np.sqrt(np.mean(np.square(pulls))) < 1.6
    whole = hstcube.measure_sky(cube, background=blank, method=method)
    assert "sample" not in whole.attrs
    assert (found.sky_error > whole.sky_error).all()


def test_a_sky_that_is_no_level_has_a_larger_error():
    flat = sampled(*a_mosaic())
    tilted = sampled(*a_mosaic(tilt=1e-3))
    assert (tilted.sky_error > 3 * flat.sky_error).all()
    assert (abs(tilted.values - SKY) < 4 * tilted.sky_error).all()


def test_a_small_chunked_cube_is_measured_whole():
    cube, blank = a_mosaic()
    lazy = hstcube.measure_sky(cube.chunk({"y": 256}), background=blank)
    whole = hstcube.measure_sky(cube, background=blank)
    np.testing.assert_array_equal(lazy, whole)


def test_a_mosaic_without_blank_sky_says_so():
    cube, blank = a_mosaic()
    assert code_of(lambda: sampled(cube, blank & False)) == "HC-K11"
