"""How stars are weighted in their mean: by their noise, and by how much true PSFs differ."""

from __future__ import annotations

import numpy as np
import pytest
from telescope import stars

from hstcube import examine_stars, measure_psf
from hstcube.psf.profiles import radius_map


@pytest.mark.parametrize("brighter", [1, 30])
def test_one_bright_star_does_not_outweigh_others_where_stars_differ(brighter):
    """All four are bright: what their cores differ by is no noise, and each counts alike there."""
    looked_at = examine_stars(stars(np.random.default_rng(5), 4, bands=("f160w",)))
    core = radius_map(looked_at.image.shape[2:]) <= 1.5
    plain = measure_psf(looked_at).values[0][core].sum()
    looked_at.image.values[0, 0][core] *= 1.04  # less than 3 times the 5 % that stars differ by
    looked_at.snr.values[0] *= brighter
    changed = measure_psf(looked_at).values[0][core].sum()
    quarter = 1.01 / (1 + 0.01 * plain)  # the mean of 1.04, 1, 1, 1, at unit sum
    assert changed / plain == pytest.approx(quarter, abs=0.002)
