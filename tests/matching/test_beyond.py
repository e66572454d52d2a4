"""Light beyond the frames of PSFs: scenes whose PSFs have wings that no frame holds."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import xarray as xr
from numpy.testing import assert_allclose
from scipy import signal
from strategies import plain_grid
from telescope import BANDS, SCALE, telescope

import hstcube
from hstcube.matching.beyond import whole_kernel
from hstcube.psf.energy import energy_inside, wings

SIZE, HALF = 65, 32  # pixels of the PSFs' frames
STAMP, FAR = 101, 150  # pixels: 6 arcsec, and what lies around it
WINGS = {"f435w": 0.035, "f814w": 0.055, "f105w": 0.06, "f160w": 0.085}  # shares of the light
ALPHA = 0.8  # arcsec


@cache
def true_psf(band):
    """Return a PSF on a frame of 18 arcsec whose wings fall like r^-3: a Moffat of beta 1.5."""
    offset = np.arange(-FAR, FAR + 1) * SCALE
    square = offset[:, None] ** 2 + offset**2
    far = SCALE**2 / (2 * np.pi * ALPHA**2) * (1 + square / ALPHA**2) ** -1.5  # of all light
    inner = telescope(band, size=127)
    psf = WINGS[band] * far
    cut = slice(FAR - 63, FAR + 64)
    psf[cut, cut] += (1 - WINGS[band]) * inner
    return psf


def in_frame(band):
    """Return the part of a PSF in its frame, unit sum, and its share of the light."""
    cut = slice(FAR - HALF, FAR + HALF + 1)
    part = true_psf(band)[cut, cut]
    return part / part.sum(), part.sum()


def psfs(*, energy=True):
    offsets = (np.arange(SIZE) - HALF) * SCALE
    images, shares = zip(*map(in_frame, BANDS), strict=True)
    coords = {"band": list(BANDS), "ky": offsets, "kx": offsets}
    psf = xr.DataArray(np.stack(images), coords, ("band", "ky", "kx"))
    return psf.assign_coords(psf_energy=("band", list(shares))) if energy else psf


def scene(kind, size=STAMP):
    """Return a disc of 1.5 arcsec with a bulge, a star, or an even source of 20 arcsec."""
    y, x = (np.indices((size, size)) - size // 2) * SCALE
    if kind == "star":
        return ((y == 0) & (x == 0)).astype(float)
    if kind == "even":
        return (np.hypot(y, x) < 10).astype(float)
    disc = np.exp(-np.hypot(y / 0.4, x) / 0.4) * (np.hypot(y, x) < 1.5)
    return disc + 3 * np.exp(-np.hypot(y, x) / 0.1)


def seen(image, band):
    return signal.fftconvolve(image, true_psf(band), mode="same")


def cube_of(kind, *, size=STAMP, sky=0.0, energy=True):
    image = scene(kind, size)
    sci = np.stack([seen(image, band) for band in BANDS]) + (sky or 0)
    wht = np.full(sci.shape, 1e4)
    cube = hstcube.build(
        sci, wht, bands=BANDS, grid=plain_grid((size, size), scale=SCALE), units="uJy", field="1"
    )
    cube = hstcube.with_psf(cube, psfs(energy=energy))
    return cube if sky is None else hstcube.subtract_sky(cube, sky)


def colours(cube, kind, where):
    """Return how wrong fluxes against F160W are [mmag], and fluxes over the truth."""
    truth = seen(scene(kind, cube.sizes["y"]), "f160w")[where].sum()
    flux = np.array([plane[where].sum() for plane in cube.sci.values.astype(float)]) / truth
    return -2500 * np.log10(flux / flux[-1]), flux


def circle(radius, size=STAMP):
    y, x = (np.indices((size, size)) - size // 2) * SCALE
    return np.hypot(y, x) <= radius


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["disc", "star"])
@pytest.mark.parametrize("radius", [0.2, 0.5, 1.5])
def test_colours_are_right_where_bands_keep_different_shares_in_their_frames(kind, radius):
    wrong = colours(hstcube.psf_match(cube_of(kind), "f160w"), kind, circle(radius))[0]
    without = cube_of(kind).assign_coords(psf_energy=("band", np.ones(len(BANDS))))
    before = colours(hstcube.psf_match(without, "f160w"), kind, circle(radius))[0]
    assert abs(wrong).max() < 4
    assert abs(before).max() > 10


@pytest.mark.parametrize("to", ["f160w", "0.6arcsec"])
def test_an_even_source_larger_than_the_frame_stays(to):
    size = 501
    cube = hstcube.psf_match(cube_of("even", size=size), to)
    inside = circle(1.0, size)
    before = cube_of("even", size=size).sci.values[:, inside]
    assert_allclose(cube.sci.values[:, inside], before, atol=1e-3)


@pytest.mark.parametrize("hole", [False, True])
def test_a_constant_stays_one_where_the_sky_is_in(hole):
    cube = cube_of("disc", sky=None)
    cube = cube.assign(sci=cube.sci * 0 + 5)
    if hole:
        cube.sci.values[:, 40:50, 60:70] = np.nan
        cube.wht.values[:, 40:50, 60:70] = 0
    matched = hstcube.psf_match(cube, "f160w").sci.values
    assert_allclose(matched[np.isfinite(matched)], 5, rtol=2e-6)


def test_matching_first_and_subtracting_the_sky_later_gives_the_same_colours():
    before = hstcube.psf_match(cube_of("disc"), "f160w")
    after = hstcube.psf_match(cube_of("disc", sky=None), "f160w")
    for radius in (0.2, 1.5):
        first = colours(before, "disc", circle(radius))[0]
        assert_allclose(colours(after, "disc", circle(radius))[0], first, atol=3)


def test_the_total_of_a_star_is_that_of_all_its_light():
    cube = hstcube.psf_match(cube_of("star"), "f160w")
    groups = circle(0.2).astype(int)
    table = hstcube.photometry(cube, groups, total=True)
    for band in BANDS:
        assert table[f"flux_{band}"][0].value == pytest.approx(1, abs=5e-3)


def test_errors_are_those_of_what_was_multiplied():
    cube = cube_of("disc")
    plain = cube.assign_coords(psf_energy=("band", np.ones(len(BANDS))))
    ratio = cube.psf_energy.sel(band="f160w") / cube.psf_energy
    weights = hstcube.psf_match(cube, "f160w").wht / hstcube.psf_match(plain, "f160w").wht
    assert_allclose(weights, (ratio**-2 + 0 * weights).transpose(*weights.dims), rtol=1e-6)


def test_the_error_of_what_lies_beyond_is_one_of_colours():
    errors = {"f435w": 0.009, "f814w": 0.009, "f105w": 0.003, "f160w": 0.004}
    cube = cube_of("disc").assign_coords(psf_energy_error=("band", [*errors.values()]))
    told = hstcube.psf_quality(hstcube.psf_match(cube, "f160w")).colour_error
    share = dict(zip(BANDS, cube.psf_energy.values, strict=True))
    for band in BANDS[:3]:
        beyond = np.hypot(errors[band] / share[band], errors["f160w"] / share["f160w"])
        match = hstcube.psf_match(cube, "f160w").psf_ee_error.sel(band=band)
        assert float(told.sel(band=band)) == pytest.approx(np.hypot(beyond, match))
    assert told.values[3] == 0
    bare = cube.psf.drop_vars(["psf_energy", "psf_energy_error"])
    assert np.isnan(hstcube.psf_quality(bare).colour_error).all()


def test_kernels_that_know_the_light_beyond_give_what_psfs_give():
    cube = cube_of("disc")
    kernels = hstcube.matching_kernels(cube.psf, to="f160w")
    made = hstcube.psf_match(cube, "f160w", kernels=kernels)
    assert_allclose(made.sci, hstcube.psf_match(cube, "f160w").sci, rtol=1e-6, atol=1e-9)


def test_a_cut_out_is_equal_beyond_the_wings_from_the_cut():
    cube = cube_of("disc", size=301)
    whole = hstcube.psf_match(cube, "f160w")
    part = hstcube.psf_match(cube.isel(y=slice(20, None)), "f160w")
    reach = wings(HALF, SCALE).shape[0] // 2
    rows = slice(20 + reach, None)
    assert_allclose(part.sci.values[:, reach:], whole.sci.values[:, rows], atol=1e-6)


def test_lazy_and_eager_images_are_the_same():
    cube = cube_of("disc", size=301)
    lazy = hstcube.psf_match(cube.chunk(y=128, x=128), "f160w")
    assert lazy.sci.chunks
    eager = hstcube.psf_match(cube, "f160w")
    assert_allclose(lazy.sci.values, eager.sci.values, atol=1e-6 * float(cube.sci.max()))
    assert_allclose(lazy.wht.values, eager.wht.values, rtol=1e-6)


def test_a_cube_without_psfs_takes_kernels_that_know_the_light_beyond():
    cube = cube_of("disc")
    kernels = hstcube.matching_kernels(cube.psf, to="f160w")
    bare = cube.drop_vars(["psf", "ky", "kx", "psf_energy", "psf_energy_error"])
    made = hstcube.psf_match(bare, "f160w", kernels=kernels)
    assert_allclose(made.sci, hstcube.psf_match(cube, "f160w").sci, rtol=1e-6, atol=1e-9)


def test_one_kernel_is_the_sum_of_both_parts():
    cube = cube_of("star")
    kernels = hstcube.matching_kernels(cube.psf, to="f160w")
    matched = hstcube.psf_match(cube, "f160w")
    far = 40  # pixels from the middle: no kernel of the frame reaches beyond the stamp's edge
    middle = slice(STAMP // 2 - far // 2, STAMP // 2 + far // 2)
    for i, plane in enumerate(cube.sci.values.astype(float)):
        whole = whole_kernel(kernels.values[i], float(kernels.energy_ratio[i]), HALF, SCALE)
        assert whole.sum() == pytest.approx(1)
        made = signal.fftconvolve(plane, whole, mode="same")
        assert_allclose(matched.sci.values[i, middle, middle], made[middle, middle], atol=1e-7)


# -- what is known


@pytest.mark.parametrize("half", [1.0, 1.95, 3.0])
def test_lists_give_the_squares_of_frames(half):
    """Photons are drawn from the list of F435W, and those in the square counted."""
    rng = np.random.default_rng(1)
    radii, shares = np.array([0.5, 1, 2, 5.5]), np.array([0.907, 0.941, 0.979, 1])
    level, turn = rng.random(400_000), rng.random(400_000) * np.pi / 4
    outside = np.interp(level, shares, 1 / radii, left=10)  # wings that fall like r^-3
    inside = (np.cos(turn) / outside < half).mean()
    assert energy_inside("f435w", half).share == pytest.approx(inside, abs=1e-3)


def test_lists_know_cameras_and_their_limits():
    assert energy_inside("f606w", 1.95, instrument="WFC3", detector="UVIS").share == pytest.approx(
        energy_inside("f606w-uvis", 1.95).share
    )
    assert np.isnan(energy_inside("f770w", 2.0).share)
    assert np.isnan(energy_inside("f160w", 0.3).share)
    assert energy_inside("f160w", 7.0).share == 1


@pytest.mark.parametrize("share", [1.7, -0.1, 0, np.inf, "a", [0.9, 0.9, 0.9, 2]])
def test_shares_that_cannot_be_are_refused(share):
    cube = cube_of("disc")
    along = share if np.isscalar(share) else ("band", share)
    with pytest.raises(hstcube.HstCubeError, match=r"HC-P08.*psf_energy"):
        hstcube.with_psf(cube, psfs(energy=False).assign_coords(psf_energy=along))


def test_wings_hold_all_light_beyond_the_frame_and_none_inside():
    light = wings(HALF, SCALE)
    half = light.shape[0] // 2
    assert light.sum() == pytest.approx(1)
    assert light[half - HALF : half + HALF + 1, half - HALF : half + HALF + 1].max() == 0
    assert half * SCALE == pytest.approx(6)


def test_bands_of_no_list_are_told():
    cube = cube_of("disc", energy=False)
    cube = cube.assign_coords(
        instrument=("band", np.array(["ACS", "WFPC2", "WFC3", "WFC3"], object)),
        psf_energy=("band", [0.98, np.nan, 0.97, 0.96]),
    )
    matched = hstcube.psf_match(cube, "f160w")
    said = "HC-P42 f814w: how much of a star's light lies beyond the frame of its PSF is not known"
    assert f"{said}; it is taken to be as much as in f160w" in matched.attrs["history"]
    assert np.isnan(matched.psf_energy.values[1])
    assert_allclose(matched.psf_energy.values[[0, 2, 3]], 0.96)


def test_what_is_known_travels(tmp_path):
    matched = hstcube.psf_match(cube_of("disc"), "f160w")
    hstcube.to_fits(matched, tmp_path / "fits")
    hstcube.save_cube(matched, tmp_path / "1.nc")
    for back in (hstcube.open_field(tmp_path / "fits", "1"), hstcube.open_cube(tmp_path / "1.nc")):
        for name in ("psf_energy", "psf_energy_error"):
            assert_allclose(back[name].values, matched[name].values, rtol=1e-9)


def test_files_of_psfs_say_what_they_hold(tmp_path):
    psf = psfs()
    hstcube.save_psf(psf, tmp_path / "psf.fits")
    assert_allclose(hstcube.open_psf(tmp_path / "psf.fits").psf_energy, psf.psf_energy)
    hstcube.save_psf(psfs(energy=False), tmp_path / "bare.fits")
    assert "psf_energy" not in hstcube.open_psf(tmp_path / "bare.fits").coords
