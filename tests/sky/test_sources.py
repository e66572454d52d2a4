"""Sources: pieces of a map, against photutils; and what counts as one."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import xarray as xr
from photutils.segmentation import detect_sources as of_photutils

import hstcube
from hstcube.errors import RecipeError
from hstcube.sky.sources import connected


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("touching", "connectivity"), [("corners", 8), ("sides", 4)])
@pytest.mark.parametrize("fewest", [1, 5])
def test_pieces_are_those_of_photutils(seed, touching, connectivity, fewest):
    rng = np.random.default_rng(seed)
    image = rng.normal(size=(40, 30))
    seen = image > 0.5
    with warnings.catch_warnings(action="ignore"):
        found = of_photutils(image, 0.5, fewest, connectivity=connectivity)
    pieces = connected(seen, fewest=fewest, touching=touching)
    np.testing.assert_array_equal(pieces, found.data)


def test_a_map_without_pieces_is_empty():
    assert not connected(np.zeros((4, 5), bool)).any()
    assert not connected(np.eye(4, dtype=bool), fewest=5).any()
    assert connected(np.eye(4, dtype=bool)).max() == 1
    assert connected(np.eye(4, dtype=bool), touching="sides").max() == 4


def test_words_that_are_no_choice_are_refused():
    with pytest.raises(RecipeError, match="HC-B22"):
        connected(np.ones((3, 3), bool), touching="edges")
    with pytest.raises(RecipeError, match="HC-B22 there is no shape 'disk'"):
        hstcube.grow(xr.DataArray(np.ones((3, 3), bool), dims=("y", "x")), shape="disk")
