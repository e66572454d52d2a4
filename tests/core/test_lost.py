"""Pixels that had data and have none after a step are counted, and told where they are many."""

from __future__ import annotations

import numpy as np
import pytest
from made import cube_on
from strategies import plain_grid

import hstcube
from hstcube import Grid, HstCubeWarning, validate

GRID = plain_grid((40, 44))


@pytest.mark.filterwarnings("ignore:.*HC-P")
def test_matching_tells_how_many_pixels_it_leaves_without_data():
    wht = np.zeros((2, 40, 44))
    wht[:, ::3, ::3] = 4.0
    cube = cube_on(GRID, wht=wht, psf_fwhm=[0.1, 0.18])
    with pytest.warns(HstCubeWarning, match=r"HC-D41 .* f606w 210 of 210$"):
        hstcube.psf_match(cube, "f160w", min_coverage=0.5)


@pytest.mark.filterwarnings("error:.*HC-D41", "ignore:.*HC-P")
def test_matching_a_full_frame_or_one_with_a_hole_tells_nothing():
    whole = cube_on(GRID, psf_fwhm=[0.1, 0.18])
    wht = np.full((2, 40, 44), 4.0)
    wht[:, 5:9, 5:9] = 0
    for cube in (whole, cube_on(GRID, wht=wht, psf_fwhm=[0.1, 0.18])):
        assert validate(hstcube.psf_match(cube))


def test_a_new_grid_and_blocks_tell_it_too():
    checkered = np.where(np.indices((40, 44)).sum(0) % 2, 4.0, 0.0)
    cube = cube_on(GRID, wht=np.stack([checkered, np.full((40, 44), 4.0)]))
    turned = GRID.stepped((0.3, 0.4), (1.0, 1.0), (39, 43))
    with pytest.warns(HstCubeWarning, match="HC-D41.*f606w"):
        hstcube.regrid(cube, turned, method="exact", min_coverage=0.9)
    few = np.zeros((40, 44))
    few[::2, ::2] = 4.0
    cube = cube_on(GRID, wht=np.stack([few, np.full((40, 44), 4.0)]))
    with pytest.warns(HstCubeWarning, match=r"HC-D41.*f606w 440 of 440$"):
        hstcube.rebin(cube, 2)


@pytest.mark.filterwarnings("error:.*HC-D41", "ignore:.*HC-W16")
def test_the_rim_of_a_full_frame_is_no_loss():
    cube = cube_on(GRID)
    for grid in (Grid.of(cube).coarsen(2), GRID.stepped((0.4, -0.4), (1.0, 1.0), (42, 46)),
                 GRID.stepped((0, 0), (0.5, 0.5), (80, 88))):  # fmt: skip
        assert validate(hstcube.regrid(cube, grid))
