"""Arrays of every kind as they come in: masked is no data, units are those that are said."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from astropy.nddata import CCDData, InverseVariance, StdDevUncertainty, UnknownUncertainty
from made import cube_on
from strategies import plain_grid

import hstcube
from hstcube import HstCubeError, HstCubeWarning
from hstcube.inputs.arrays import shown

GRID = plain_grid((20, 22))
HOLE = (0, 4, 5)


@pytest.fixture
def cube():
    return cube_on(GRID)


@pytest.fixture
def images():
    return np.arange(440.0).reshape(1, 20, 22)


@pytest.fixture
def hole():
    mask = np.zeros((1, 20, 22), bool)
    mask[HOLE] = True
    return mask


def built(sci, wht, **more):
    return hstcube.build(
        sci, wht, bands=["f160w"], grid=GRID, **{"units": "electron s-1"} | more
    )  # fmt: skip


def code_of(do):
    with pytest.raises(HstCubeError) as caught:
        do()
    assert len(str(caught.value)) < 500
    assert caught.value.fix
    return caught.value.code


@pytest.mark.filterwarnings("ignore::hstcube.HstCubeWarning")
def test_masked_pixels_of_numpy_have_no_data(images, hole):
    one = np.ones_like(images)
    expected = built(np.where(hole, np.nan, images), one)
    for sci in (np.ma.array(images, mask=hole), [np.ma.array(images[0], mask=hole[0])],
                np.ma.array(images.astype(int), mask=hole)):  # fmt: skip
        assert np.isnan(built(sci, one).sci.values[HOLE])
        assert built(sci, one).equals(expected)
    assert built(images, np.ma.array(one, mask=hole)).equals(expected)
    kept = built(images, one, mask=np.ma.array(~hole, mask=hole))
    assert not kept.mask.values[HOLE]
    assert kept.mask.values.sum() == 439


@pytest.mark.filterwarnings("ignore::hstcube.HstCubeWarning")
def test_images_of_astropy_keep_their_mask_unit_and_uncertainty(images, hole):
    sigma = StdDevUncertainty(np.full(images.shape, 0.5))
    ccd = CCDData(images * 1000, mask=hole, unit="nJy", uncertainty=sigma)
    cube = built(ccd, ccd.uncertainty, units="uJy")
    assert np.isnan(cube.sci.values[HOLE])
    assert cube.sci.values[0, 3, 3] == pytest.approx(images[0, 3, 3])
    assert cube.wht.values[0, 3, 3] == pytest.approx((0.5e-3) ** -2)
    plain = built(images, InverseVariance(np.full(images.shape, 4.0)))
    assert plain.wht.values[0, 3, 3] == 4
    weights = np.full(images.shape, 4.0) / u.uJy**2
    assert built(images * u.uJy, weights, units="nJy").wht.values[0, 3, 3] == pytest.approx(4e-6)


def test_a_unit_or_an_uncertainty_that_does_not_fit_is_refused(images):
    one = np.ones_like(images)
    assert code_of(lambda: built(images * u.uJy, one)) == "HC-C04"
    ccd = CCDData(images, unit="uJy", uncertainty=StdDevUncertainty(one))
    assert code_of(lambda: built(ccd, one, units="uJy")) == "HC-D16"
    assert code_of(lambda: built(images, UnknownUncertainty(one))) == "HC-D16"


def test_a_mask_of_numbers_leaves_out_what_is_neither_true_nor_false(cube):
    keep = np.ones((20, 22))
    keep[:15] = np.nan
    with pytest.warns(HstCubeWarning, match="HC-S31 330 pixels of keep are NaN"):
        chosen = hstcube.mask(cube, keep)
    assert chosen.mask.values.sum() == 2 * (440 - 330)
    some = cube.mask.isel(band=0, drop=True)
    with pytest.warns(HstCubeWarning, match="HC-S31 22 pixels"):
        lost = hstcube.mask(cube, some.where(some.y > 0))
    assert not lost.mask.values[:, 0].any()
    assert lost.mask.values[:, 1:].all()
    masked = np.ma.array(np.ones((20, 22), bool), mask=keep != 1)
    assert np.array_equal(hstcube.mask(cube, masked).mask, chosen.mask)


@pytest.mark.parametrize(
    "keep",
    [None, 3, "all", np.full((20, 22), 4001), np.full((20, 22), -1), np.full((20, 22), 0.5),
     np.full((20, 22), "a"), np.ones((20, 22), complex)],
)  # fmt: skip
def test_what_is_no_mask_is_refused(keep, cube):
    assert code_of(lambda: hstcube.mask(cube, keep)) == "HC-S30"
    if keep is not None:
        assert code_of(lambda: hstcube.measure_sky(cube, background=keep)) == "HC-S30"


def test_a_mask_of_other_pixels_is_refused(cube):
    assert code_of(lambda: hstcube.mask(cube, np.ones((5, 20, 22), bool))) == "HC-D01"
    assert code_of(lambda: hstcube.mask(cube, np.ones((20, 20), bool))) == "HC-D01"


def test_a_segmentation_map_as_background_is_not_taken_for_blank_sky(cube):
    labels = np.zeros((20, 22), np.int32)
    labels[5:9, 5:9] = 1
    assert code_of(lambda: hstcube.measure_sky(cube, background=labels)) == "HC-S30"


def test_masked_pixels_of_a_map_belong_to_no_group(cube):
    labels = np.ones((20, 22), np.int32)
    masked = np.ma.array(labels, mask=np.zeros((20, 22), bool))
    masked[:10] = np.ma.masked
    plain = np.where(np.arange(20)[:, None] < 10, 0, labels)
    assert hstcube.group_errors(cube, masked).equals(hstcube.group_errors(cube, plain))
    assert hstcube.photometry(cube, masked)["npix"][0] == 220


def test_a_map_with_its_axes_turned_is_turned_back():
    cube = cube_on(plain_grid((20, 20)))
    labels = cube.mask.isel(band=0, drop=True).astype("int32").where(cube.x < 5, 0)
    assert hstcube.group_errors(cube, labels.transpose("x", "y")).equals(
        hstcube.group_errors(cube, labels)
    )


def test_a_background_that_varies_is_taken_as_an_array(cube):
    sky = np.linspace(0, 1, 440).reshape(20, 22)
    bare = cube.assign_coords(sky=("band", [np.nan, np.nan]))
    for level in (
        sky,
        np.ma.array(sky),
        np.stack([sky, sky]),
        cube.sci[0].drop_vars("band") * 0 + sky,
    ):
        left = hstcube.subtract_sky(bare, level)
        assert np.allclose(left.sci, cube.sci - sky)
        assert np.allclose(left.sky, sky.mean())
    with pytest.raises(HstCubeError) as caught:
        hstcube.subtract_sky(bare, np.zeros((30, 30)))
    assert caught.value.code == "HC-D01"
    assert len(str(caught.value)) < 300


def test_arrays_are_never_printed_whole(cube):
    assert shown(np.zeros((100, 100))) == "an array of float64 of shape (100, 100)"
    assert len(shown("x" * 1000)) <= 60
    assert len(shown(cube)) <= 60
    bare = cube.assign_coords(sky=("band", [np.nan, np.nan]))
    for level in (np.arange(1000.0), ["a"] * 500, {"f160w": "x" * 900}):
        with pytest.raises(HstCubeError) as caught:
            hstcube.subtract_sky(bare, level)
        assert len(str(caught.value)) < 300
