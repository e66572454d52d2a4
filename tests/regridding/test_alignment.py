"""Shifts between pixel scales and between bands: against known truth, and on the XDF stamps."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import xarray as xr
from made import XDF, gaussian
from made import images_on as cube_on

import hstcube
from hstcube import Grid, HstCubeError, HstCubeWarning, apply_shifts, build, check_alignment, regrid
from hstcube.core.mappings import pixel_mapping
from hstcube.regridding import image_shifts
from hstcube.regridding.align import warn_of_shifts

BANDS = ("f435w", "f606w", "f160w")


def pair(rng, shift, *, noise=(0.0, 0.0), angle=0.0):
    """Return a field at 30 and at 60 mas; the contents of the finer image lie `shift` coarse pixels too far along y, x.

    The coarser image is broader and in other units, as if drizzled otherwise.
    """  # noqa: E501
    coarse = Grid.around(XDF, (48 * 0.06, 50 * 0.06), 0.06)
    fine = Grid.around(XDF, (110 * 0.03, 112 * 0.03), 0.03, angle=angle)
    images = [np.zeros(fine.shape), np.zeros(coarse.shape)]
    for y, x, flux, fwhm in (
        (23.2, 24.7, 20.0, 0.3),
        (14.6, 33.1, 8.0, 0.15),
        (32.3, 16.4, 4.0, 0.12),
    ):
        fy, fx = pixel_mapping(coarse, fine)(y + shift[0], x + shift[1])
        images[0] += flux * gaussian(fine, float(fy), float(fx), fwhm)
        images[1] += 1.1 * flux * gaussian(coarse, y, x, np.hypot(fwhm, 0.07))
    images = [
        image + rng.normal(size=image.shape) * sigma
        for image, sigma in zip(images, noise, strict=True)
    ]
    wht = [1 / max(sigma, 1e-4) ** 2 for sigma in noise]
    return cube_on(fine, images[0], wht[0]), cube_on(coarse, images[1] + 0.3, wht[1])


@pytest.mark.slow
@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.25, -0.25), (-0.5, 0.13), (0.9, -0.7)])
@pytest.mark.parametrize("angle", [0.0, 42.0])
def test_a_shift_between_scales_is_found_and_undone(shift, angle):
    fine, coarse = pair(np.random.default_rng(0), shift, angle=angle)
    found = check_alignment(fine, coarse)
    turned = (
        np.linalg.solve(Grid.of(fine).matrix, Grid.of(coarse).matrix)[::-1, ::-1]
        @ np.array(shift)
        * 0.03
    )
    np.testing.assert_allclose([found.dy.item(), found.dx.item()], -turned, atol=0.03 * 0.06)
    assert found.shifted.item() == (shift != (0.0, 0.0))
    back = check_alignment(coarse, fine)
    np.testing.assert_allclose(
        [back.dy.item(), back.dx.item()], np.array(shift) * 0.06, atol=0.03 * 0.06
    )
    for left in (
        check_alignment(apply_shifts(fine, found), coarse),
        check_alignment(fine, apply_shifts(coarse, back)),
    ):
        assert left.pixels.item() < 0.03
        assert not left.shifted.item()


@pytest.mark.slow
def test_errors_of_shifts_between_scales_are_those_of_the_noise():
    rng = np.random.default_rng(1)
    pulls = []
    for _ in range(60):
        shift = rng.uniform(-0.5, 0.5, 2)
        found = check_alignment(*pair(rng, shift, noise=(0.04, 0.12)))
        error = np.array([found.dy_error.item(), found.dx_error.item()]) / 0.06
        assert error.min() > 0.025  # the least error, 0.02 pixels, plays no part here
        pulls.append((np.array([found.dy.item(), found.dx.item()]) / 0.06 + shift) / error)
    assert 0.8 < np.std(pulls) < 1.2  # issue 7
    assert abs(np.mean(pulls)) < 0.3


def test_no_error_is_below_a_fiftieth_of_a_pixel():
    found = check_alignment(*pair(np.random.default_rng(0), (0.0, 0.0)))
    assert found.dy_error.item() == pytest.approx(0.02 * 0.06)


def test_noise_that_is_scaled_makes_larger_errors():
    fine, coarse = pair(np.random.default_rng(1), (0.1, 0.1), noise=(0.04, 0.12))
    plain = check_alignment(fine, coarse)
    loud = check_alignment(*(c.assign_coords(noise_scale=("band", [2.0])) for c in (fine, coarse)))
    assert loud.dy_error.item() == pytest.approx(2 * plain.dy_error.item(), rel=1e-3)


def test_holes_do_not_disturb_a_shift():
    fine, coarse = pair(np.random.default_rng(0), (0.25, -0.25))
    holed = fine.copy(deep=True)
    holed["sci"][:, 30:33, 70:74], holed["wht"][:, 30:33, 70:74], holed["mask"][:, 30:33, 70:74] = (
        np.nan,
        0,
        False,
    )
    found = check_alignment(holed, coarse)
    np.testing.assert_allclose(
        [found.dy.item(), found.dx.item()], [-0.015, 0.015], atol=0.03 * 0.06
    )


def test_of_large_images_the_middle_of_what_they_share_is_compared(monkeypatch):
    fine, coarse = pair(np.random.default_rng(0), (0.25, -0.25))
    monkeypatch.setattr(image_shifts, "_LARGEST", 30)
    sizes = []
    monkeypatch.setattr(image_shifts, "_least_squares", lambda p, fit=image_shifts._least_squares: sizes.append(  # noqa: E501, SLF001
        (p.fine.shape, p.coarse.shape)) or fit(p))  # fmt: skip
    found = check_alignment(fine, coarse)
    np.testing.assert_allclose(
        [found.dy.item(), found.dx.item()], [-0.015, 0.015], atol=0.03 * 0.06
    )
    ((small, pixels),) = sizes
    assert max(pixels) == 30
    assert max(small) < 100


def test_one_shift_for_all_bands_moves_the_grid_and_no_pixel():
    fine, coarse = pair(np.random.default_rng(0), (0.25, -0.25))
    moved = apply_shifts(fine, check_alignment(fine, coarse))
    np.testing.assert_array_equal(moved.sci.values, fine.sci.values)
    assert Grid.of(moved).shift(Grid.of(fine)) == pytest.approx(0.5 * np.sqrt(2), abs=0.03)
    assert moved.attrs["history"].splitlines()[-1].startswith("apply_shifts(all bands: dy -15")


# -- between bands


def field_of_stars(rng, offsets, *, stars=12, bands=BANDS):
    """Return a cube whose bands show the same stars, each band's moved by an offset in pixels."""
    grid = Grid.around(XDF, 120 * 0.06, 0.06)
    y, x = np.mgrid[20:110:30, 20:110:22].reshape(2, -1)[:, :stars] + rng.uniform(-3, 3, (2, stars))
    sci = [
        sum(30 * gaussian(grid, a + dy, b + dx, 0.2) for a, b in zip(y, x, strict=True))
        + rng.normal(0, 0.05, grid.shape)
        for dy, dx in offsets
    ]
    return build(
        sci,
        np.full((len(sci), *grid.shape), 400.0),
        bands=bands[: len(sci)],
        grid=grid,
        units="uJy",
    )


def test_a_band_that_is_off_is_found_by_its_neighbour_and_moved_back():
    cube = field_of_stars(np.random.default_rng(2), [(0, 0), (0.8, -0.5), (0.8, -0.5)])
    found = check_alignment(cube)
    assert found.shifted.values.tolist() == [False, True, False]
    np.testing.assert_allclose(found.dy.values / 0.06, [0, -0.8, 0], atol=0.05)
    np.testing.assert_allclose(found.dx.values / 0.06, [0, 0.5, 0], atol=0.05)
    assert (found.sources.values[1:] >= 10).all()
    moved = apply_shifts(cube, found)
    assert Grid.of(moved) == Grid.of(cube)
    np.testing.assert_array_equal(moved.sci.values[0], cube.sci.values[0])
    assert not check_alignment(moved).shifted.any()
    assert sum("apply_shifts(" in line for line in moved.attrs["history"].splitlines()) == 2


@pytest.mark.parametrize("holed", [None, 0, 2, 3])
def test_a_band_is_compared_with_its_neighbour_alone(holed):
    """The bands beside a pair, and their holes, change nothing."""
    offsets, bands = [(0, 0), (0.4, 0), (0.4, 0.3), (0.1, 0.3)], (*BANDS[:2], "f850lp", "f160w")
    cube = field_of_stars(np.random.default_rng(2), offsets, bands=bands)
    if holed is not None:
        hole = xr.zeros_like(cube.wht, bool)
        hole[holed, :40] = True
        cube = cube.assign(sci=cube.sci.where(~hole), wht=cube.wht.where(~hole, 0))
        cube = cube.assign(mask=cube.mask & ~hole)
    found = check_alignment(cube)
    for i in range(1, 4):
        alone = check_alignment(cube.isel(band=[i - 1, i])).isel(band=[1])
        xr.testing.assert_identical(found.isel(band=[i]), alone)
    assert (found.sources[1:] > 2).all()


def test_shifts_that_colours_could_mimic_get_no_verdict():
    cube = field_of_stars(np.random.default_rng(2), [(0, 0), (0.25, 0)])
    found = check_alignment(cube)
    assert found.dy.values[1] / 0.06 == pytest.approx(-0.25, abs=0.05)
    assert not found.shifted.any()
    assert apply_shifts(cube, found) is cube


def test_errors_between_bands_are_the_scatter_of_the_sources():
    rng = np.random.default_rng(3)
    pulls = []
    for _ in range(25):
        offset = rng.uniform(-0.5, 0.5, 2)
        cube = field_of_stars(rng, [(0, 0), offset])
        noisy = cube.assign(sci=cube.sci + rng.normal(0, 0.35, cube.sci.shape).astype(np.float32))
        found = check_alignment(noisy.assign(wht=noisy.wht * 0 + 8.0)).isel(band=1)
        error = np.array([found.dy_error.item(), found.dx_error.item()]) / 0.06
        pulls.append((np.array([found.dy.item(), found.dx.item()]) / 0.06 + offset) / error)
    assert 0.7 < np.std(pulls) < 1.4  # of 50, from 12 sources each


def test_fewer_than_three_sources_tell_nothing():
    cube = field_of_stars(np.random.default_rng(2), [(0, 0), (2, 0)], stars=2)
    found = check_alignment(cube)
    assert np.isnan(found.dy.values[1])
    assert not found.shifted.any()
    empty = cube.assign(wht=cube.wht * 0, sci=cube.sci * np.nan, mask=cube.mask & False)
    assert check_alignment(empty).sources.values.tolist() == [0, 0]


def test_sources_at_the_edge_are_left_out():
    grid = Grid.around(XDF, 30 * 0.06, 0.06)
    image = 30 * (gaussian(grid, 2.0, 15.0, 0.2) + gaussian(grid, 27.0, 15.0, 0.2))
    noise = np.random.default_rng(0).normal(0, 0.05, (2, *grid.shape))
    cube = build(
        image + noise, np.full(noise.shape, 400.0), bands=BANDS[:2], grid=grid, units="uJy"
    )
    assert check_alignment(cube).sources.values.tolist() == [0, 0]


# -- what is told and refused


def test_a_shift_is_told_in_words_and_kept_in_the_cube():
    fine, coarse = pair(np.random.default_rng(0), (0.25, -0.25))
    said = "HC-W20 the images at 30mas lie elsewhere than those at 60mas: to be moved by dy -15.0 mas, dx \\+15.0 mas"  # noqa: E501
    with pytest.warns(HstCubeWarning, match=said):
        told = warn_of_shifts(fine, check_alignment(fine, coarse), scales=("30mas", "60mas"))
    assert "0.25 pixels; open the field with align='apply'" in told.attrs["warnings"]
    cube = field_of_stars(np.random.default_rng(2), [(0, 0), (0.8, -0.5), (0.8, -0.5)])
    with pytest.warns(HstCubeWarning, match="HC-W20 f606w lies elsewhere than its bluer neighbour"):
        told = warn_of_shifts(cube, check_alignment(cube))
    assert len(told.attrs["warnings"].splitlines()) == 1
    assert warn_of_shifts(fine, check_alignment(fine, fine)) is fine


def test_cubes_without_a_common_band_or_sky_are_refused():
    fine, coarse = pair(np.random.default_rng(0), (0.0, 0.0))
    with pytest.raises(HstCubeError, match="HC-B01"):
        check_alignment(fine, coarse.assign_coords(band=["f606w"]))
    away = cube_on(Grid.around((XDF[0], XDF[1] + 0.01), 3.0, 0.06))
    with pytest.raises(HstCubeError, match="HC-W15"):
        check_alignment(fine, away)
    cube = field_of_stars(np.random.default_rng(2), [(0, 0), (2, 0)])
    with pytest.raises(HstCubeError, match="HC-B01"):
        apply_shifts(cube, check_alignment(cube).isel(band=[0]))


# -- the XDF stamps

GALAXIES = ("3", "15", "37", "912", "919", "982")


@pytest.fixture(scope="module")
def stamps(xdf):
    kept = {}

    def get(name):
        if name not in kept:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", HstCubeWarning)
                kept[name] = tuple(
                    hstcube.open_field(xdf, name, scale=scale) for scale in ("30mas", "60mas")
                )
        return kept[name]

    return get


@pytest.mark.real
@pytest.mark.parametrize("name", GALAXIES)
def test_stamps_of_two_scales_are_off_by_nothing_or_half_a_pixel_where_their_headers_say_a_quarter(
    stamps, name
):
    fine, coarse = stamps(name)
    found = check_alignment(fine, coarse)
    y, x = pixel_mapping(Grid.of(fine), Grid.of(coarse))(
        0.5, 0.5
    )  # the middle of the first block of 2 x 2
    assert (float(y), float(x)) == pytest.approx((0.25, 0.25), abs=1e-3)
    for shift, said in ((found.dy.values, float(y)), (found.dx.values, float(x))):
        true = shift / 0.06 + said
        assert (np.minimum(np.abs(true), np.abs(true - 0.5)) < 0.03).all()  # issue 7
    assert found.shifted.all()


@pytest.mark.real
@pytest.mark.parametrize("name", ["3", "15", "37"])
def test_rebinned_after_the_shift_30_mas_is_60_mas(stamps, xdf, name):
    fine, coarse = stamps(name)
    labels = hstcube.open_labels(xdf / "segment_maps" / f"udf_mosaic_{name}_HST_SEGMAP.fits")
    grid = Grid.of(coarse)
    here = hstcube.regrid_mask(hstcube.object_mask(labels), grid).values
    blank = hstcube.regrid_labels(labels, grid).values == 0
    moved = regrid(apply_shifts(fine, check_alignment(fine, coarse)), grid, method="exact")
    missed = regrid(fine, grid, method="exact")
    for band in fine.band.values:
        native = coarse.sel(band=band)
        gaps = []
        for image in (moved.sel(band=band).sci.values, missed.sel(band=band).sci.values):
            difference = (image - native.sci.values).astype(float)
            data = np.isfinite(difference)
            difference -= np.median(difference[data & blank])  # at equal sky
            level = np.median(native.sci.values[data & blank])
            keep = data & here
            flux = difference[keep].sum() / (native.sci.values[keep] - level).sum()
            gaps.append((flux, np.sqrt(np.mean(difference[keep] ** 2 * native.wht.values[keep]))))
        assert abs(gaps[0][0]) < 0.002  # issue 7
        assert gaps[0][1] < 0.3  # issue 7; measured 0.06 to 0.17
        assert gaps[1][1] > 0.65  # missed: 0.7 to 3.0


@pytest.mark.real
@pytest.mark.parametrize("name", GALAXIES)
def test_no_band_of_a_stamp_is_said_to_be_shifted(stamps, name):
    assert not check_alignment(stamps(name)[1]).shifted.any()


def test_a_misspelt_method_is_refused_also_where_no_band_is_resampled():
    fine, coarse = pair(np.random.default_rng(0), (0.25, -0.25))
    shifts = check_alignment(fine, coarse)
    with pytest.raises(HstCubeError, match="HC-B22 there is no method 'adaptiv'"):
        apply_shifts(fine, shifts, method="adaptiv")
