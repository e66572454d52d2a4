"""Pictures of large cubes in blocks: averages of squares, at the same places, and said."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from made import images_on
from strategies import plain_grid

import hstcube
from hstcube import plot
from hstcube.views import overview

SHAPE, SIDE = (50, 61), 4
SAID = "averages of 4 x 4 pixels"


@pytest.fixture
def cube():
    rng = np.random.default_rng(1)
    sci, wht = rng.normal(5, 1, (2, *SHAPE)), rng.uniform(1, 2, (2, *SHAPE))
    wht[:, 8:12, 20:27] = 0
    wht[:, 12:14, 20:24] = 0
    keep = np.zeros(SHAPE, bool)
    keep[8:30, 9:40] = True
    state = {"psf_fwhm": [0.2, 0.2], "matched_to": ["f160w"] * 2, "zeropoint": [25.0, 26.0]}
    grid = plain_grid(SHAPE)
    return hstcube.mask(
        images_on(grid, sci, wht, bands=("f606w", "f160w"), sky=[0.0, 0.0], **state), keep
    )


@pytest.fixture(autouse=True)
def small_pictures():
    with mock.patch.object(overview, "LARGEST", 16):
        yield


def test_squares_hold_the_means_of_the_pixels_that_have_data(cube):
    (small,) = overview.overviews(cube.chunk({"y": 17, "x": 23}))
    assert (small.sizes["y"], small.sizes["x"]) == (13, 16)
    hstcube.validate(small)
    data = cube.wht.values > 0
    for row, column in np.ndindex(13, 16):
        at = (slice(None), slice(4 * row, 4 * row + 4), slice(4 * column, 4 * column + 4))
        for i in range(2):
            there, kept = data[at][i], cube.mask.values[at][i]
            if not there.any():
                assert small.wht.values[i, row, column] == 0
                assert np.isnan(small.sci.values[i, row, column])
                continue
            for name in ("sci", "wht"):
                mean = cube[name].values[at][i][there].mean()
                assert small[name].values[i, row, column] == pytest.approx(mean, rel=1e-6)
            assert small.mask.values[i, row, column] == (2 * kept.sum() >= there.sum())


def test_squares_lie_where_their_pixels_do(cube):
    (small,) = overview.overviews(cube.chunk({"y": 17}))
    fine, coarse = hstcube.Grid.of(cube), hstcube.Grid.of(small)
    for y, x in ((0, 0), (7, 11)):
        expected = fine.wcs.pixel_to_world(4 * x + 1.5, 4 * y + 1.5)
        assert coarse.wcs.pixel_to_world(x, y).separation(expected).arcsec < 1e-6
    assert coarse.scale == pytest.approx(4 * fine.scale)


def test_cubes_in_memory_and_small_ones_are_drawn_as_they_are(cube):
    assert overview.overviews(cube)[0] is cube
    few = cube.isel(y=slice(16), x=slice(16)).chunk({"y": 8})
    assert overview.overviews(few)[0] is few


def heading(figure):
    """Return what stands over a figure and its panels."""
    over = figure.get_suptitle()
    return "\n".join([over, *(axis.get_title() for axis in figure.axes)])


PICTURES = {
    "quicklook": plot.quicklook,
    "homogeneous": lambda cube: plot.homogeneous(cube, cube),
    "compare": lambda cube: plot.compare(cube, cube),
    "snr_maps": plot.snr_maps,
    "snr_maps of groups": lambda cube: plot.snr_maps(cube, groups=cube.mask[0].values.astype(int)),
    "colour_map": lambda cube: plot.colour_map(cube, "f606w", "f160w"),
    "mask_overlay": plot.mask_overlay,
    "bins": lambda cube: plot.bins(cube, cube.mask[0].values.astype(int)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_says_what_it_shows(cube, name):
    assert SAID in heading(PICTURES[name](cube.chunk({"y": 17, "x": 23})))
    assert "averages" not in heading(PICTURES[name](cube))
