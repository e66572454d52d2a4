"""Beside holes: errors hold what kernels missed, and the cube says what each pixel saw."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
import xarray as xr
from made import cube_on
from strategies import plain_grid
from telescope import telescope

import hstcube
from hstcube import Grid
from hstcube.errors import CubeError
from hstcube.matching.solver import matching_kernel
from hstcube.psf.preparation import on_one_frame

N = 101
SHARP = ("f435w", "f814w", "f105w")
OFFSETS = np.arange(-8, 9)
KERNEL = np.exp(-0.5 * np.hypot(*np.meshgrid(OFFSETS, OFFSETS)) ** 2 / 1.6**2)
KERNEL /= KERNEL.sum()


@lru_cache(1)
def kernels():
    made = [matching_kernel(telescope(b), telescope("f160w")) for b in SHARP]
    return np.stack(on_one_frame(*made))


def as_kernels(images):
    names = np.array(SHARP[: len(images)], object)
    return xr.DataArray(np.asarray(images), {"band": names}, ("band", "ky", "kx"))


def matched(sci, hole, images, *, chunks=None, sigma=1.0):
    """Return images (band, y, x) matched, with a hole in all of them."""
    cube = cube_on(
        plain_grid(sci.shape[1:]),
        SHARP[: len(sci)],
        np.where(hole, np.nan, sci),
        np.where(hole, 0, sigma**-2) + np.zeros(sci.shape),
    )
    cube = cube.chunk(chunks) if chunks else cube
    return hstcube.psf_match(cube, kernels=as_kernels(images), to="0.2arcsec")


def hole_at(y, x, side, n=N):
    hole = np.zeros((n, n), bool)
    hole[y - side // 2 : y + side // 2 + 1, x - side // 2 : x + side // 2 + 1] = True
    return hole


def stars(flux, shift, rng):
    light = [flux * telescope(band, size=N, shift=shift) for band in SHARP]
    return np.stack(light) + rng.normal(size=(len(SHARP), N, N))


def sigmas_away(made, whole, wht=None):
    """Return how far the kept pixels are from those of images without holes, in their errors."""
    wht = made.wht.values if wht is None else wht
    kept = made.wht.values > 0
    return (np.abs(made.sci.values - whole.sci.values) * np.sqrt(wht))[kept]


@pytest.mark.parametrize("side", [3, 5, 7, 9])
@pytest.mark.parametrize("flux", [1e5, 1e7])
def test_no_pixel_beside_a_saturated_core_is_wrong_beyond_its_error(flux, side):
    rng = np.random.default_rng(700 + side)
    sci = stars(flux, tuple(rng.uniform(-0.5, 0.5, 2)), rng)
    whole = matched(sci, np.zeros((N, N), bool), kernels())
    made = matched(sci, hole_at(N // 2, N // 2, side), kernels())
    assert (sigmas_away(made, whole, whole.wht.values) > 5).sum() > 1000  # with errors as they were
    assert sigmas_away(made, whole).max() < 5


@pytest.mark.parametrize("side", [1, 3, 5, 9])
def test_on_blank_sky_no_pixel_is_dropped_beside_a_hole_and_few_errors_grow(side):
    sci = np.random.default_rng(70 + side).normal(size=(len(SHARP), N, N))
    hole = hole_at(N // 2, N // 2, side)
    made, level = matched(sci, hole, kernels()), matched(sci * 0, hole, kernels())
    assert (level.wht.values[:, ~hole] > 0).all()
    np.testing.assert_array_equal(made.wht.values > 0, level.wht.values > 0)
    kept = made.wht.values > 0
    assert (level.wht.values[kept] > 1.001 * made.wht.values[kept]).sum() < 120 * len(SHARP)
    whole = matched(sci, np.zeros((N, N), bool), kernels())
    assert sigmas_away(made, whole).max() < 2


def test_a_hole_in_a_galaxy_leaves_most_of_its_errors():
    y, x = np.indices((N, N)) - N // 2
    galaxy = 60 * np.exp(-np.hypot(y / 0.7, x) / 6) + np.zeros((len(SHARP), 1, 1))
    made = matched(galaxy, hole_at(N // 2 + 5, N // 2, 3), kernels())
    level = matched(galaxy * 0, hole_at(N // 2 + 5, N // 2, 3), kernels())
    assert (level.wht.values > 1.001 * made.wht.values).mean() < 0.02


def test_a_constant_keeps_its_errors_beside_holes():
    flat = np.zeros((1, N, N))
    made, at_0 = (matched(flat + c, hole_at(20, 20, 3), [KERNEL], sigma=0.01) for c in (1e3, 0))
    np.testing.assert_allclose(made.wht.values, at_0.wht.values, rtol=1e-5)
    kept = made.wht.values > 0
    np.testing.assert_allclose(made.sci.values[kept], 1e3, rtol=1e-6)


def test_errors_are_those_of_noise_scale_too():
    """Weights may be known but for a factor, which noise_scale holds."""
    rng = np.random.default_rng(5)
    sci = stars(1e3, (0.2, 0.1), rng)[:1]
    hole = hole_at(N // 2, N // 2, 3)
    cube = cube_on(
        plain_grid((N, N)), SHARP[:1], np.where(hole, np.nan, sci), np.where(hole, 0, 1.0)[None]
    )
    told = {"noise_acf": (("band", "dy", "dx"), np.ones((1, 1, 1), np.float32))}
    told |= {"dy": [0.0], "dx": [0.0]}
    found = []
    for factor in (1.0, 7.0):
        other = cube.assign(wht=cube.wht * np.float32(factor**2))
        other = other.assign_coords(noise_scale=("band", [factor]), **told)
        made = hstcube.psf_match(other, kernels=as_kernels(kernels()[:1]), to="0.2arcsec")
        found.append(np.sqrt(made.wht.values) / made.noise_scale.values[:, None, None])
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5)


def test_coverage_is_the_share_of_the_kernel_that_saw_data_inside_the_frame():
    hole = hole_at(20, 20, 3)
    made = matched(np.zeros((1, N, N)), hole, [KERNEL])
    padded = np.pad(np.where(hole, 0.0, 1.0), 8)
    windows = np.lib.stride_tricks.sliding_window_view(padded, KERNEL.shape)
    expected = np.where(made.wht.values[0] > 0, np.einsum("yxij,ij->yx", windows, KERNEL), 0)
    assert made.coverage.dtype == np.float32
    np.testing.assert_allclose(made.coverage.values[0], expected, atol=1e-6)
    assert made.coverage.values[0, 0, 0] == pytest.approx(KERNEL[8:, 8:].sum(), abs=1e-6)
    assert made.coverage.values[0, N // 2, N // 2] == pytest.approx(1, abs=1e-6)
    hstcube.validate(made)


def test_what_was_missed_before_counts_when_a_cube_is_matched_again():
    once = matched(np.zeros((1, N, N)), hole_at(50, 50, 3), [KERNEL])
    again = hstcube.psf_match(once, kernels=as_kernels([KERNEL]), to="0.3arcsec")
    assert (again.coverage.values[0, 40:60, 52] < once.coverage.values[0, 40:60, 52]).all()
    same = hstcube.psf_match(once, to="0.2arcsec")  # there already
    np.testing.assert_array_equal(same.coverage.values, once.coverage.values)


def test_chunked_cubes_have_the_same_errors_and_coverage():
    n = 170
    hole = hole_at(84, 84, 7, n) | hole_at(20, 20, 33, n) | hole_at(120, 86, 3, n)
    y, x = np.indices((n, n))
    sci = 1e4 * np.exp(-0.5 * np.hypot(y - 84, x - 84))[None] + np.random.default_rng(2).normal(
        size=(1, n, n)
    )
    eager = matched(sci, hole, [KERNEL])
    lazy = matched(sci, hole, [KERNEL], chunks={"y": 85, "x": 85}).compute()
    assert (eager.wht.values[0] == 0).sum() > hole.sum()  # something was dropped
    np.testing.assert_array_equal(lazy.wht.values > 0, eager.wht.values > 0)
    np.testing.assert_array_equal(lazy.mask.values, eager.mask.values)
    np.testing.assert_allclose(lazy.wht.values, eager.wht.values, rtol=1e-4)
    np.testing.assert_allclose(lazy.coverage.values, eager.coverage.values, atol=1e-6)


@pytest.fixture(scope="module")
def cube():
    """Return a matched cube of two bands, with a hole."""
    sci = np.random.default_rng(8).normal(size=(2, 40, 40))
    made = matched(sci, hole_at(20, 22, 3, 40), [KERNEL, KERNEL])
    return made.assign_attrs(field="holed")


@pytest.mark.parametrize("layout", ["files", "mef"])
@pytest.mark.parametrize("noise", ["wht", "variance"])
def test_coverage_comes_back_from_fits(cube, layout, noise, tmp_path):
    hstcube.to_fits(cube, tmp_path, layout=layout, noise=noise)
    back = hstcube.open_field(tmp_path, "holed")
    np.testing.assert_array_equal(back.coverage.values, cube.coverage.values)
    assert back.coverage.attrs == cube.coverage.attrs


def test_coverage_comes_back_from_netcdf(cube, tmp_path):
    path = hstcube.save_cube(cube, tmp_path / "one.nc")
    for chunks in (None, {"y": 20, "x": 20}):
        back = hstcube.open_cube(path or tmp_path / "one.nc", chunks=chunks)
        np.testing.assert_array_equal(back.coverage.values, cube.coverage.values)


def test_coverage_goes_along_to_other_grids_and_cubes(cube):
    part = cube.isel(y=slice(5, 30))
    np.testing.assert_array_equal(
        hstcube.regrid(cube, Grid.of(part)).coverage.values, part.coverage.values
    )
    binned = hstcube.rebin(cube, 2)
    blocks = cube.coverage.values.reshape(2, 20, 2, 20, 2)
    full = (cube.wht.values.reshape(blocks.shape) > 0).all((2, 4))
    np.testing.assert_allclose(binned.coverage.values[full], blocks.mean((2, 4))[full], rtol=1e-6)
    turned = hstcube.regrid(cube, Grid.of(cube).coarsen(2), method="adaptive")
    kept = turned.wht.values > 0
    assert (turned.coverage.values[~kept] == 0).all()
    assert 0.5 < turned.coverage.values[kept].min() < turned.coverage.values[kept].max() <= 1
    lazy = hstcube.rebin(cube.chunk(y=20, x=20), 2).coverage
    assert lazy.chunks
    np.testing.assert_array_equal(lazy.values, binned.coverage.values)


def test_stacks_and_bands_keep_coverage(cube):
    one = cube.sel(band=["f435w"])
    np.testing.assert_array_equal(one.coverage.values, cube.coverage.values[:1])
    bare = cube.isel(band=[1]).drop_vars("coverage")
    joined = hstcube.stack_bands([one, bare])
    np.testing.assert_array_equal(joined.coverage.values[0], one.coverage.values[0])
    np.testing.assert_array_equal(joined.coverage.values[1], bare.wht.values[0] > 0)


def test_a_coverage_that_is_none_is_refused(cube):
    with pytest.raises(CubeError, match="coverage") as found:
        hstcube.validate(cube.assign(coverage=cube.coverage * np.float32(2)))
    assert found.value.code == "HC-C09"
    with pytest.raises(CubeError, match="coverage"):
        hstcube.validate(cube.assign(coverage=cube.coverage.astype(float)))
