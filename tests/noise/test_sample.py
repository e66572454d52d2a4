"""Large images are sampled: by windows that are spread over them, and tell what the whole does."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from scipy import ndimage
from strategies import plain_grid

import hstcube
from hstcube.basics.blocks import windows_of
from hstcube.errors import HstCubeWarning
from hstcube.noise import blank
from hstcube.noise.empty_apertures import noise_check

SHAPE, FEW, SIDE = (420, 500), 60_000, 110


def a_field(right=1.0, seed=3):
    """Return noise of correlated neighbours; in the right half its sigma is so much larger."""
    rng = np.random.default_rng(seed)
    sci = ndimage.gaussian_filter(rng.normal(size=SHAPE), 0.6, mode="wrap")
    sci /= sci.std()
    sci[:, SHAPE[1] // 2 :] *= right
    return hstcube.build(
        sci[None],
        np.ones((1, *SHAPE)),
        bands=["f435w"],
        grid=plain_grid(SHAPE),
        units="electron s-1",
    )


def sampled():
    """Sample images as if they were large."""
    return mock.patch.multiple(blank, SAMPLE=FEW, WINDOW=SIDE)


@pytest.mark.slow
@pytest.mark.parametrize("right", [1.0, 1.5])
def test_a_sample_agrees_with_the_whole_within_its_error(right):
    cube = a_field(right)
    whole = hstcube.calibrate_noise(cube)
    with sampled():
        part = hstcube.calibrate_noise(cube)
        again = hstcube.calibrate_noise(cube.chunk({"y": 150, "x": 170}))
    used = part.pixels.item()
    assert FEW <= used < 1.5 * FEW
    assert whole.pixels.item() > 2 * used
    error = 0.08 * np.sqrt(3000 / used)  # as its documentation has it
    assert part.noise_scale.item() == pytest.approx(whole.noise_scale.item(), rel=2 * error)
    np.testing.assert_allclose(part.noise_acf, whole.noise_acf, atol=0.02)
    assert "windows of 110 pixels" in part.attrs["history"]
    assert "windows" not in whole.attrs["history"]
    assert again.identical(part)  # the same windows each time, and in chunks, too


def test_the_apertures_of_a_sample_scatter_as_those_of_the_whole():
    cube = a_field()
    whole = noise_check(cube, sizes=(1, 3, 5))
    with sampled():
        part = noise_check(cube, sizes=(1, 3, 5))
    assert "windows of 110 pixels" in part.meta["sample"]
    assert "sample" not in whole.meta
    for one, all_of_them in zip(part, whole, strict=True):
        assert one["number"] < all_of_them["number"] / 2
        error = 1 / np.sqrt(2 * one["number"])
        assert one["ratio"] == pytest.approx(all_of_them["ratio"], rel=4 * error), one["size"]
        assert one["predicted"] == pytest.approx(all_of_them["predicted"], rel=1e-6)


@pytest.mark.parametrize("shape", [SHAPE, (90, 2000), (111, 110)])
def test_windows_cover_an_image_but_for_its_rim(shape):
    rim = 15
    seen = np.zeros(shape, int)
    with sampled():
        for rows, columns in windows_of(shape, blank.WINDOW, rim):
            seen[rows, columns][rim:-rim, rim:-rim] += 1
    assert (seen[rim:-rim, rim:-rim] > 0).all()


def test_a_field_with_little_sky_is_looked_at_until_it_is_found():
    cube = a_field()
    sky = np.zeros(SHAPE, bool)
    sky[300:400, 380:490] = True
    with sampled(), pytest.warns(HstCubeWarning, match="HC-N06"):
        found = hstcube.calibrate_noise(cube, background=sky)
    assert 4000 < found.pixels.item() < 11_000


def test_small_images_are_used_as_a_whole():
    cube = a_field().isel(y=slice(200), x=slice(200))
    whole = hstcube.calibrate_noise(cube)
    with sampled():
        assert hstcube.calibrate_noise(cube).identical(whole)
