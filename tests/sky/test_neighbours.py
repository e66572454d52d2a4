"""Neighbours are replaced before the matching: what stands there, and what travels."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from made import code_of, cube_on
from strategies import snapshot

import hstcube
from hstcube.core.offsets import with_noise_coords
from hstcube.core.state import notes_of
from hstcube.errors import HstCubeError

GRID = hstcube.Grid.around((53.16, -27.78), 3.6, scale=0.06)
LABELS = np.zeros(GRID.shape, np.int32)
LABELS[20:40, 12:28], LABELS[22:38, 34:46], LABELS[2:8, 2:8] = 1, 2, 3
OTHERS = LABELS > 1


def scene(**state):
    """Return a cube of two bands: noise of unit variance, an object, two neighbours."""
    rng = np.random.default_rng(7)
    sci = rng.normal(size=(2, *GRID.shape)) + 40.0 * (LABELS > 0)
    return cube_on(GRID, sci=sci, wht=np.ones(sci.shape), psf_fwhm=[0.1, 0.19], **state)


def replaced(cube, **how):
    return hstcube.replace_neighbours(cube, LABELS, **{"keep": 1} | how)


# -- what stands in the pixels


def test_other_sources_get_the_level_of_the_sky_and_keep_its_weight():
    cube = scene()
    new = replaced(cube)
    for band in (0, 1):
        assert (new.sci.values[band][OTHERS] == 0).all()
        np.testing.assert_array_equal(new.sci.values[band][~OTHERS], cube.sci.values[band][~OTHERS])
    np.testing.assert_array_equal(new.wht.values, cube.wht.values)
    np.testing.assert_array_equal(new.replaced.values, np.stack([OTHERS, OTHERS]))
    np.testing.assert_array_equal(new.mask.values, ~new.replaced.values)
    assert "replaced" not in cube


def test_the_object_is_named_by_ids_by_its_pixels_or_by_the_centre_of_the_map():
    cube = scene()
    by_pixels = replaced(cube, keep=LABELS == 1)
    by_map = hstcube.replace_neighbours(
        cube, xr.DataArray(LABELS, {"y": cube.y, "x": cube.x}, ("y", "x")), keep=[1]
    )
    xr.testing.assert_identical(by_pixels, by_map)
    merger = replaced(cube, keep=(1, 2))
    np.testing.assert_array_equal(merger.replaced.values[0], LABELS == 3)
    middle = np.where(LABELS == 1, 0, np.roll(LABELS, 12, axis=1))
    assert middle[30, 30] == 1
    alone = hstcube.replace_neighbours(cube, middle)
    np.testing.assert_array_equal(alone.replaced.values[0], middle > 1)


def test_pixels_of_no_source_and_pixels_without_data_are_not_replaced():
    labels = LABELS.copy()
    labels[50:, :5], labels[50:, 50:] = -1, -3
    wht = np.ones((2, *GRID.shape))
    wht[0, 30, 40] = 0
    new = hstcube.replace_neighbours(cube_on(GRID, wht=wht), labels, keep=1)
    assert not new.replaced.values[:, labels <= 0].any()
    assert not new.replaced.values[0, 30, 40]
    assert new.replaced.values[1, 30, 40]
    assert np.isnan(new.sci.values[0, 30, 40])


def test_the_edges_that_an_interpolation_left_go_with_their_neighbours():
    labels = LABELS.copy()
    labels[23:37, 34] = -2
    new = hstcube.replace_neighbours(scene(), labels, keep=1)
    np.testing.assert_array_equal(new.replaced.values[0], OTHERS)


def test_where_the_sky_is_in_the_images_its_level_around_is_put_there_and_told():
    grid = hstcube.Grid.around((53.16, -27.78), 9.0, scale=0.06)
    labels = np.zeros(grid.shape, int)
    labels[70:80, 70:80], labels[70:80, 5:15], labels[70:80, 135:145] = 1, 2, 3
    ramp = np.broadcast_to(np.linspace(5.0, 8.0, grid.shape[1]), (2, *grid.shape))
    noise = 0.1 * np.random.default_rng(2).normal(size=ramp.shape)
    cube = cube_on(grid, sci=ramp + noise + 40 * (labels > 0), sky=[np.nan, 0.0])
    new = hstcube.replace_neighbours(cube, labels, keep=1)
    assert (new.sci.values[1][labels > 1] == 0).all()
    for label, column in ((2, 10), (3, 140)):
        put = np.unique(new.sci.values[0][labels == label])
        assert put.size == 1
        assert put[0] == pytest.approx(ramp[0, 0, column], abs=0.25)  # across, it changes by 3
    ((_, text),) = [one for one in notes_of(new.history) if one[0] == "HC-S50"]
    assert "not subtracted in f606w" in text


def test_without_blank_pixels_the_level_of_the_sky_is_asked_for():
    cube = scene().assign_coords(sky=("band", [np.nan, np.nan]))
    labels = np.where(LABELS > 0, LABELS, 9)
    with pytest.raises(HstCubeError, match="subtract_sky") as caught:
        hstcube.replace_neighbours(cube, labels, keep=1)
    assert caught.value.code == "HC-K11"


def correlated(cube):
    """Return the cube with correlated noise in its second band, and the autocorrelation."""
    acf = np.zeros((2, 5, 5))
    acf[:, 2, 2] = 1
    taps = np.convolve([0.5, 1, 0.5], [0.5, 1, 0.5]) / 1.5
    acf[1] = np.outer(taps, taps)
    return with_noise_coords(cube, [1.0, 0.5], acf, (0.06, 0.06)), taps


def test_noise_that_is_filled_in_has_the_variance_and_the_correlation_of_the_sky():
    grid = hstcube.Grid.around((53.16, -27.78), 18.0, scale=0.06)
    labels = np.ones(grid.shape, int)
    labels[:10] = 2
    cube, taps = correlated(cube_on(grid, wht=np.full((2, *grid.shape), 4.0)))
    new = hstcube.replace_neighbours(cube, labels, keep=2, fill="noise", seed=3)
    white, coloured = new.sci.values[:, 10:].astype(float)
    assert white.std() == pytest.approx(0.5, rel=0.01)  # 1/sqrt(wht)
    assert coloured.std() == pytest.approx(0.25, rel=0.02)  # noise_scale/sqrt(wht)
    for image, expected in ((white, 0.0), (coloured, taps[3])):
        assert np.mean(image[1:] * image[:-1]) / image.var() == pytest.approx(expected, abs=0.015)


def test_noise_comes_from_a_seed_and_from_the_band_alone():
    cube = scene()
    once = replaced(cube, fill="noise", seed=5)
    xr.testing.assert_identical(once, replaced(cube, fill="noise", seed=5))
    one = replaced(cube.isel(band=[1]), fill="noise", seed=5)
    np.testing.assert_array_equal(one.sci.values[0], once.sci.values[1])
    other = replaced(cube, fill="noise", seed=6)
    assert (other.sci.values[:, OTHERS] != once.sci.values[:, OTHERS]).all()
    assert code_of(lambda: replaced(cube, fill="noise")) == "HC-B17"


def test_weights_lose_the_photon_noise_of_what_was_replaced():
    cube = scene()
    new = replaced(hstcube.add_poisson(cube, exposure=10.0))
    np.testing.assert_allclose(new.wht.values[:, OTHERS], 1.0, rtol=0.03)
    assert (new.wht.values[:, LABELS == 1] < 0.3).all()
    # and where it is added later, there is no light
    later = hstcube.add_poisson(replaced(cube), exposure=10.0)
    np.testing.assert_array_equal(later.wht.values[:, OTHERS], 1.0)


def test_after_the_matching_it_is_too_late():
    matched = hstcube.psf_match(scene(), to="f160w")
    assert code_of(lambda: replaced(matched)) == "HC-S51"


@pytest.mark.parametrize("labels", [LABELS * 1.0, LABELS[:9], "map", None])
def test_what_is_no_map_of_integers_on_the_pixels_is_refused(labels):
    assert code_of(lambda: hstcube.replace_neighbours(scene(), labels, keep=1)).startswith("HC-")


def test_chunked_images_give_the_same_pixels():
    cube, _ = correlated(scene())
    lazy = cube.chunk({"y": 20, "x": 20})
    for how in ({}, {"fill": "noise", "seed": 2}, {"wings": "subtract"}):
        eager, late = replaced(cube, **how), replaced(lazy, **how)
        assert late.sci.chunks
        for name in ("sci", "wht", "mask", "replaced"):
            np.testing.assert_array_equal(eager[name].values, late[name].values)


@pytest.mark.parametrize("how", [{}, {"fill": "noise", "seed": 2}, {"wings": "subtract"}])
def test_the_order_of_the_bands_does_not_matter_and_nothing_given_is_changed(how):
    cube, _ = correlated(scene())
    before, labels = snapshot(cube), LABELS.copy()
    once = hstcube.replace_neighbours(cube, labels, keep=1, **how)
    assert snapshot(cube) == before
    np.testing.assert_array_equal(labels, LABELS)
    turned = replaced(cube.isel(band=[1, 0]), **how)
    xr.testing.assert_allclose(turned, once.isel(band=[1, 0]), rtol=1e-6)
    assert turned.history == once.history


@pytest.mark.parametrize("wings", ["stay", "subtract"])
def test_a_flipped_cube_gives_the_flipped_result(wings):
    cube, flip = scene(), {"x": slice(None, None, -1)}
    turned = hstcube.replace_neighbours(cube.isel(flip), LABELS[:, ::-1], keep=1, wings=wings)
    xr.testing.assert_allclose(
        turned.isel(flip).drop_attrs(), replaced(cube, wings=wings).drop_attrs(), atol=1e-4
    )


@pytest.mark.parametrize("fill", ["sky", "noise"])
def test_replaced_once_more_it_is_the_same(fill):
    how = {"fill": fill} | ({"seed": 1} if fill == "noise" else {})
    once = replaced(scene(), **how)
    twice = replaced(once, **how)
    for name in ("sci", "wht", "mask", "replaced"):
        np.testing.assert_array_equal(once[name], twice[name])
    more = hstcube.replace_neighbours(once, LABELS, keep=(1, 2))
    np.testing.assert_array_equal(more.replaced, once.replaced)  # what is gone stays gone


# -- what travels


def same_flags(one, other):
    assert one.replaced.dtype == bool
    np.testing.assert_array_equal(one.replaced.values, other.replaced.values)
    np.testing.assert_array_equal(one.mask.values, other.mask.values)


def test_every_step_carries_it_and_no_mask_covers_it():
    cube = replaced(scene())
    matched = hstcube.psf_match(cube, to="f160w")
    np.testing.assert_array_equal(matched.replaced, cube.replaced)
    every = hstcube.mask(matched, np.ones(GRID.shape, bool))
    np.testing.assert_array_equal(every.mask, ~cube.replaced)
    hstcube.validate(every)
    broken = every.assign(mask=every.mask | every.replaced)
    assert code_of(lambda: hstcube.validate(broken)) == "HC-C06"
    assert (
        code_of(lambda: hstcube.validate(every.assign(replaced=every.replaced * 1.0))) == "HC-C03"
    )
    part = hstcube.cutout(matched, (53.16, -27.78), 1.8).isel(band=[1], y=slice(3, 20))
    np.testing.assert_array_equal(
        part.replaced, cube.replaced.isel(band=[1]).sel(y=part.y, x=part.x)
    )


@pytest.mark.parametrize("chunks", [None, {"y": 25, "x": 25}])
def test_new_pixels_are_replaced_where_the_nearest_old_one_is(chunks):
    cube = replaced(scene())
    cube = cube if chunks is None else cube.chunk(chunks)
    flags = xr.DataArray(OTHERS.astype(np.int32), GRID.coords(), ("y", "x"))
    finer = hstcube.Grid.around((53.16, -27.78), 2.6, scale=0.05, angle=20.0)
    moved = hstcube.regrid(cube, finer, method="exact")
    expected = (hstcube.regrid_labels(flags, finer) == 1).values & (moved.wht.values > 0)
    np.testing.assert_array_equal(moved.replaced.values, expected)
    assert not (moved.mask & moved.replaced).values.any()
    shifted = hstcube.regrid(cube, hstcube.Grid.around((53.16, -27.78), 2.4, scale=0.06))
    np.testing.assert_array_equal(shifted.replaced.values[0], OTHERS[10:50, 10:50])
    binned = hstcube.rebin(cube, 3)
    np.testing.assert_array_equal(binned.replaced.values[0], OTHERS[1::3, 1::3])
    for one in (moved, shifted, binned):
        assert one.replaced.dtype == one.mask.dtype == bool
        hstcube.validate(one)


def test_bands_without_it_join_those_that_have_it():
    cube = scene()
    joined = hstcube.stack_bands([cube.isel(band=[0]), replaced(cube).isel(band=[1])])
    assert not joined.replaced.values[0].any()
    np.testing.assert_array_equal(joined.replaced.values[1], OTHERS)


def test_files_hold_it(tmp_path):
    cube = replaced(scene(), wings="subtract").assign_attrs(field="x")
    hstcube.save_cube(cube, tmp_path / "x.nc")
    xr.testing.assert_identical(hstcube.open_cube(tmp_path / "x.nc"), cube)
    same_flags(hstcube.open_cube(tmp_path / "x.nc", chunks={"y": 20, "x": 20}), cube)
    for layout in ("files", "mef"):
        hstcube.to_fits(cube, tmp_path / layout, layout=layout)
        same_flags(hstcube.open_field(tmp_path / layout, "x"), cube)
    whole = scene().assign_attrs(field="x")
    hstcube.to_fits(whole, tmp_path / "whole")
    assert "replaced" not in hstcube.open_field(tmp_path / "whole", "x")


def test_a_zarr_store_holds_it(tmp_path):
    pytest.importorskip("zarr")
    cube = replaced(scene())
    cube.to_zarr(tmp_path / "x.zarr", zarr_format=2)
    same_flags(hstcube.validate(xr.open_zarr(tmp_path / "x.zarr").load()), cube)


def test_products_that_lost_it_in_a_band_are_refused(tmp_path):
    from astropy.io import fits

    hstcube.to_fits(replaced(scene()).assign_attrs(field="x"), tmp_path)
    path = tmp_path / "x_f606w_mask.fits"
    with fits.open(path) as hdus:
        first = fits.HDUList(hdus[:1])
        first.writeto(tmp_path / "short.fits")
    (tmp_path / "short.fits").replace(path)
    assert code_of(lambda: hstcube.open_field(tmp_path, "x")) == "HC-O20"
