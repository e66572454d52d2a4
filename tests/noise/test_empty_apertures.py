"""What `noise_check` takes from its prediction is what removing the local background takes away."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy.ndimage import gaussian_filter
from strategies import plain_grid

import hstcube
from hstcube.noise.empty_apertures import noise_check

STEP = plain_grid((9, 9)).scale


def white(rng, shape=(200, 200)):
    sci = rng.normal(0, 0.5, (1, *shape))
    return hstcube.build(
        sci, np.full(sci.shape, 4.0), bands=["f435w"], grid=plain_grid(shape), units="electron s-1"
    )


def test_wide_apertures_scatter_less_once_the_background_is_removed_and_are_told_to():
    rng = np.random.default_rng(12)
    blank = np.ones((200, 200), bool)
    table = noise_check([white(rng) for _ in range(4)], background=[blank] * 4, sizes=(5, 20))
    small, wide = table
    assert small["ratio"] == pytest.approx(1, abs=0.02)
    assert wide["predicted"] == pytest.approx(0.5 * 20, rel=1e-3)
    assert wide["number"] >= 300
    assert wide["ratio"] == pytest.approx(1, abs=0.05)  # 0.69 if nothing were taken off
    assert wide["constant"] == pytest.approx(1, abs=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("width", [0.0, 1.5])
def test_the_error_of_a_ratio_is_how_ratios_of_equal_skies_scatter(width: float):
    lags = np.arange(-12, 13)
    alike = np.exp(-(lags[:, None] ** 2 + lags**2) / (4 * max(width, 0.01) ** 2))
    noise = xr.Dataset(
        {"noise_scale": ("band", [1.0]), "noise_acf": (("band", "dy", "dx"), alike[None])},
        {"band": ["f435w"], "dy": STEP * lags, "dx": STEP * lags},
    )
    ratios, errors = [], []
    for seed in range(100):
        cube = white(np.random.default_rng(seed), (100, 100))
        if width:
            smooth = gaussian_filter(cube.sci.values[0], width, mode="wrap")
            smooth *= np.sqrt(4 * np.pi) * width  # the variance of single pixels as before
            cube = cube.assign(sci=cube.sci.copy(data=smooth[None]))
        cube = hstcube.with_noise(cube, noise)
        table = noise_check(cube, background=np.ones((100, 100), bool), sizes=(1, 3, 7))
        ratios.append(table["ratio"])
        errors.append(table["error"])
    assert np.mean(ratios, axis=0) == pytest.approx(1, abs=0.02)
    assert np.std(ratios, axis=0) / np.mean(errors, axis=0) == pytest.approx(1, abs=0.25)
