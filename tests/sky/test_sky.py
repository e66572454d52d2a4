"""Sky levels against known truth."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy import ndimage

import hstcube
from hstcube.core.grids import Grid

SKY = 3e-4  # units of sci
NOISE = 1e-3
GRID = Grid.from_header(
    {
        "CTYPE1": "RA---TAN",
        "CTYPE2": "DEC--TAN",
        "CRPIX1": 40.0,
        "CRPIX2": 40.0,
        "CRVAL1": 53.1,
        "CRVAL2": -27.8,
        "CD1_1": -1.6667e-5,
        "CD1_2": 0.0,
        "CD2_1": 0.0,
        "CD2_2": 1.6667e-5,
    },
    shape=(80, 80),
)


def blank_field(rng, *, smooth=0.0, bands=("f606w", "f160w")):
    """Return a cube of pure sky; the noise of a pixel is NOISE, correlated over `smooth` pixels."""
    white = rng.normal(size=(len(bands), 80, 80))
    noise = (
        np.stack([ndimage.gaussian_filter(plane, smooth, mode="wrap") for plane in white])
        if smooth
        else white
    )
    sci = SKY + NOISE * noise / noise.std(axis=(1, 2), keepdims=True)
    return hstcube.build(
        sci,
        np.full(sci.shape, NOISE**-2),
        bands=bands,
        grid=GRID,
        units="electron s-1",
        field="sky",
    )


@pytest.mark.parametrize("smooth", [0.0, 1.0])
def test_the_level_is_right_within_its_error_and_the_error_is_the_scatter(smooth):
    rng = np.random.default_rng(1)
    found = [
        hstcube.measure_sky(blank_field(rng, smooth=smooth), background=np.ones((80, 80), bool))
        for _ in range(60)
    ]
    levels = np.array([level.values for level in found]).ravel()
    errors = np.array([level.sky_error.values for level in found]).ravel()
    assert abs(levels.mean() - SKY) < 3 * levels.std() / np.sqrt(levels.size)
    # 120 levels: their scatter is known to 6.5 %; the median is between 1 and sqrt(pi/2) as noisy
    # as the mean
    assert 0.85 < errors.mean() / levels.std() < 1.45


def test_sources_with_wings_do_not_raise_the_level():
    rng = np.random.default_rng(2)
    cube = blank_field(rng)
    y, x = np.mgrid[:80, :80]
    radius = np.hypot(y - 40, x - 40)
    source = 0.5 * np.exp(-radius / 2.5)  # a disc whose light goes on beyond its label
    labels_say_sky = radius > 10
    cube = cube.assign(
        sci=(cube.sci + source.astype(np.float32)).astype(np.float32).assign_attrs(cube.sci.attrs)
    )
    measured = hstcube.measure_sky(cube, background=labels_say_sky)
    naive = cube.sci.where(xr.DataArray(labels_say_sky, dims=("y", "x"))).median(("y", "x"))
    assert np.all(np.abs(measured - SKY) < 4 * measured.sky_error)
    assert np.all(np.abs(naive - SKY) > np.abs(measured - SKY))


def test_a_flat_patch_of_light_moves_the_level_by_just_that_much():
    cube = blank_field(np.random.default_rng(3))
    background = np.ones((80, 80), bool)
    brighter = cube.assign(sci=(cube.sci + np.float32(2.0**-10)).assign_attrs(cube.sci.attrs))
    shift = hstcube.measure_sky(brighter, background=background) - hstcube.measure_sky(
        cube, background=background
    )
    assert np.allclose(shift, 2.0**-10, rtol=0, atol=1e-9)  # float32 pixels of size 1e-3


def test_hot_pixels_and_pixels_without_data_do_not_count():
    rng = np.random.default_rng(4)
    sci = SKY + NOISE * rng.normal(size=(1, 80, 80))
    wht = np.full(sci.shape, NOISE**-2)
    want = hstcube.measure_sky(
        hstcube.build(sci, wht, bands=["f160w"], grid=GRID, units="electron s-1"),
        background=np.ones((80, 80), bool),
    )
    sci[0, 10:20, 10] = 1e3
    wht[0, 30:40, :] = 0
    spoiled = hstcube.build(sci, wht, bands=["f160w"], grid=GRID, units="electron s-1")
    got = hstcube.measure_sky(spoiled, background=np.ones((80, 80), bool))
    assert abs(float(got[0] - want[0])) < 2 * float(want.sky_error[0])


def test_the_original_erodes_the_background_of_infrared_bands_only():
    cube = blank_field(np.random.default_rng(5))
    background = np.ones((80, 80), bool)
    background[35:45, 35:45] = False
    eroded = ndimage.binary_erosion(background, np.ones((5, 5)), 5, border_value=1)
    measured = hstcube.measure_sky(cube, background=background, method="original")
    assert measured.values[0] == np.median(cube.sci.values[0][background])
    assert measured.values[1] == np.median(cube.sci.values[1][eroded])
    assert eroded.sum() == 80 * 80 - 30 * 30  # five times two pixels on every side


def test_a_level_subtracted_twice_adds_up_and_so_do_the_errors():
    cube = blank_field(np.random.default_rng(6))
    level = xr.DataArray(
        [1e-4, 2e-4], {"band": ["f606w", "f160w"], "sky_error": ("band", [3e-6, 4e-6])}, ("band",)
    )
    once = hstcube.subtract_sky(cube, level)
    twice = hstcube.subtract_sky(once, level, again=True)
    assert np.allclose(twice.sky, 2 * level, rtol=1e-12)
    assert np.allclose(twice.sky_error, np.sqrt(2) * level.sky_error, rtol=1e-12)
    assert np.allclose(twice.sci, cube.sci - 2 * level, atol=2e-10)


def test_a_level_of_every_pixel_is_subtracted_there():
    cube = blank_field(np.random.default_rng(7))
    plane = cube.sci.astype(float) * 0 + xr.DataArray(np.linspace(0, 1e-3, 80), dims="x")
    flat = hstcube.subtract_sky(cube, plane)
    assert np.allclose(flat.sci, cube.sci - plane, atol=1e-9)
    assert np.allclose(flat.sky, 5e-4)


def test_a_slice_without_a_map_has_the_sky_of_its_pixels():
    cube = blank_field(np.random.default_rng(1))
    part = cube.isel(y=slice(20, None), x=slice(None, None, -1))
    found = hstcube.measure_sky(part)
    plain = hstcube.measure_sky(part, background=np.ones((60, 80), bool))
    assert found.values == pytest.approx(plain.values, abs=3 * NOISE / 60)
