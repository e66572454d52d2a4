"""What `noise_check` takes from its prediction is what removing the local background takes away."""

from __future__ import annotations

import numpy as np
import pytest
from strategies import plain_grid

import hstcube
from hstcube.noise.empty_apertures import noise_check


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
