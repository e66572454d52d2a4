"""Matching kernels and matching with measured PSFs: known truth, laws, the gate, files, and all that is refused."""  # noqa: E501

from __future__ import annotations

import warnings

import dask
import numpy as np
import pytest
import xarray as xr
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st
from stamps import BANDS as STAMP_BANDS
from stamps import rewrite, stamp, write_field
from strategies import (
    NIRCAM,
    a_folder,
    cubes,
    examples,
    peak_of,
    picture,
    plain_grid,
    read_only,
    same_bits,
    same_to_float32,
    snapshot,
)
from telescope import SCALE, SIZE, noisy, telescope

from hstcube import (
    Grid,
    HstCubeError,
    HstCubeWarning,
    build,
    matching_kernels,
    open_cube,
    open_field,
    open_psf,
    prepare_psf,
    psf_match,
    psf_quality,
    save_cube,
    save_psf,
    with_psf,
)
from hstcube.files.fields import open_stars
from hstcube.matching.solver import convolved, gaussian_kernel, matching_kernel
from hstcube.psf.preparation import on_one_frame
from hstcube.psf.profiles import FWHM_OF_SIGMA, centroid, encircled_energy, fwhm, radius_map
from hstcube.surveys.models import survey_psf

ACS, IR = ("f435w", "f606w", "f814w", "f850lp"), ("f105w", "f125w", "f140w")
PIXELS = np.arange(1.0, 33)  # radii
INSIDE = radius_map((SIZE, SIZE)) <= 20  # 1.2 arcsec


def gaussian(sigma, size=65):
    return gaussian_kernel((sigma, sigma), (size // 2, size // 2))


def moffat(width, *, beta=2.5, size=129):
    """Return a Moffat profile of a FWHM in pixels, as MUSE has it."""
    radius = radius_map((size, size))
    image = (1 + (radius / (width / 2)) ** 2 * (2 ** (1 / beta) - 1)) ** -beta
    return image / image.sum()


def ratio(made, target):
    made, target = on_one_frame(made, target)
    return encircled_energy(made, PIXELS) / encircled_energy(target, PIXELS)


def refuses(code, do, *said):
    """Assert that something is refused with a code, a reason that says what is wrong, and a fix."""
    with pytest.raises(HstCubeError) as caught:
        do()
    assert caught.value.code == code
    assert caught.value.fix
    for text in said:
        assert text in str(caught.value)
    return caught.value


# -- one kernel


@pytest.mark.slow
@pytest.mark.parametrize("band", [*ACS, *IR])
def test_kernels_of_noisy_psfs_reach_the_true_target(band):
    """The kernel sees noise of 1e-5 per pixel; what it makes of the true PSF is compared with the true F160W."""  # noqa: E501
    rng = np.random.default_rng(1)
    source, target = telescope(band), telescope("f160w")
    kernel = matching_kernel(noisy(source, rng), noisy(target, rng))
    made = convolved(source, kernel)
    error = abs(ratio(made, target) - 1)
    assert error[2:].max() <= 0.005  # from 0.18 arcsec
    assert error[0] <= 0.01  # at one pixel
    assert abs(made - target)[INSIDE].sum() <= 0.03
    assert -kernel[kernel < 0].sum() <= (0.2 if band in ACS else 0.35)


@pytest.mark.parametrize("method", ["mge-wiener", "wiener", "gaussian"])
def test_a_delta_is_turned_into_the_target(method):
    delta = np.zeros((SIZE, SIZE))
    delta[SIZE // 2, SIZE // 2] = 1
    target = gaussian(2.0) if method == "gaussian" else telescope("f160w")
    kernel, wanted = on_one_frame(matching_kernel(delta, target, method=method), target)
    assert (
        abs(kernel - wanted).sum() < {"mge-wiener": 1e-9, "wiener": 0.02, "gaussian": 0.3}[method]
    )


@pytest.mark.parametrize("band", ["f435w", "f160w"])
def test_a_psf_is_turned_into_itself_by_nearly_a_delta(band):
    kernel = matching_kernel(telescope(band), telescope(band))
    middle = kernel[kernel.shape[0] // 2, kernel.shape[0] // 2]
    assert middle == pytest.approx(1, abs=1e-6)
    assert abs(kernel).sum() - middle < 1e-6


@pytest.mark.parametrize(("narrow", "broad"), [(1.0, 3.0), (1.5, 2.0), (2.0, 4.0), (1.2, 1.9)])
def test_between_gaussians_the_kernel_is_the_analytic_gaussian(narrow, broad):
    made = matching_kernel(gaussian(narrow), gaussian(broad))
    wanted = gaussian(np.sqrt(broad**2 - narrow**2), made.shape[0])
    assert abs(made - wanted).max() < 1e-3 * wanted.max()
    assert (matching_kernel(gaussian(narrow), gaussian(broad), method="gaussian") >= 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("band", [*ACS, *IR])
@pytest.mark.parametrize("target", ["0.6 arcsec", "MUSE"])
def test_every_band_reaches_a_broad_target_to_a_percent(band, target):
    aim = moffat(0.7 / SCALE) if target == "MUSE" else gaussian(0.6 / SCALE / FWHM_OF_SIGMA, 129)
    source, aim = on_one_frame(telescope(band), aim)
    kernel = matching_kernel(source, aim)
    assert abs(ratio(convolved(source, kernel), aim) - 1).max() < 0.01
    assert -kernel[kernel < 0].sum() < 0.1


@pytest.mark.parametrize("band", ["f435w", "f606w", "f850lp", "f105w"])
def test_no_kernel_is_cut_where_that_costs_encircled_energy(band):
    """Of a kernel on a frame twice as large, the part that is left out costs less than 0.2 %."""
    source, target = telescope(band), telescope("f160w")
    kernel = matching_kernel(source, target)
    whole = matching_kernel(*(np.pad(image, 32) for image in (source, target)))
    made, wanted = (convolved(np.pad(source, 64), k) for k in (kernel, whole))
    assert kernel.shape[0] >= SIZE
    assert abs(ratio(made, wanted) - 1).max() < 0.002


def test_a_weaker_penalty_comes_nearer_and_sharpens_more():
    source, target = telescope("f105w"), telescope("f160w")
    kernels = [
        matching_kernel(source, target, regularization=strength) for strength in (1e-2, 1e-3, 1e-4)
    ]
    residuals = [abs(convolved(source, kernel) - target)[INSIDE].sum() for kernel in kernels]
    negatives = [-kernel[kernel < 0].sum() for kernel in kernels]
    assert residuals == sorted(residuals, reverse=True)
    assert negatives == sorted(negatives)


@examples(12)
@given(data=st.data())
def test_every_kernel_keeps_the_flux_and_the_centre(data):
    narrow, wings = data.draw(st.floats(0.8, 1.6)), data.draw(st.floats(0, 0.3))
    source = (1 - wings) * gaussian(narrow, 41) + wings * gaussian(3 * narrow, 41)
    target = convolved(source, gaussian(data.draw(st.floats(0.5, 2.0)), 41))
    kernel = matching_kernel(
        source, target, method=data.draw(st.sampled_from(["mge-wiener", "wiener", "gaussian"]))
    )
    assert kernel.shape[0] % 2 == 1
    assert kernel.sum() == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose(kernel, kernel[::-1, ::-1], atol=1e-9)
    offset = np.arange(len(kernel)) - len(kernel) // 2
    assert abs(kernel.sum(0) @ offset) + abs(kernel.sum(1) @ offset) < 1e-8


def test_psfs_that_are_not_ready_are_refused():
    good = telescope("f160w")
    for bad, code in {
        "even": (good[:-1, :-1], "HC-P07"),
        "oblong": (good[:, 1:-1], "HC-P07"),
        "off centre": (np.roll(good, 1, 0), "HC-P07"),
        "off by half a pixel": (telescope("f160w", shift=(0.5, 0)), "HC-P07"),
        "with NaN": (np.where(good > 0.01, np.nan, good), "HC-P08"),
        "empty": (good * 0, "HC-P08"),
    }.values():
        refuses(code, lambda bad=bad: matching_kernel(bad, good), "source")
        refuses(code, lambda bad=bad: matching_kernel(good, bad), "target")
    refuses("HC-P06", lambda: matching_kernel(good, good, method="best"), "best")


# -- kernels of a cube


def psfs(*bands, size=SIZE, scale=SCALE):
    """Return true PSFs as `measure_psf` gives them."""
    offset = (np.arange(size) - size // 2) * scale
    return xr.DataArray(
        np.stack([telescope(band, size=size, scale=scale) for band in bands]),
        {"band": np.array(bands, object), "ky": offset, "kx": offset}, ("band", "ky", "kx"),
    )  # fmt: skip


def field(*bands, shape=(60, 64), seed=1, scale=SCALE):
    """Return a cube with noise and sources, and the true PSFs of its bands."""
    rng = np.random.default_rng(seed)
    sci = np.stack([picture(rng, shape) for _ in bands])
    cube = build(
        sci, np.ones(sci.shape), bands=bands, grid=plain_grid(shape, scale=scale), units="uJy"
    )
    return with_psf(cube, psfs(*bands, scale=scale))


def test_kernels_say_how_good_they_are():
    kernels = matching_kernels(psfs("f435w", "f105w", "f160w"))
    assert kernels.dims == ("band", "ky", "kx")
    np.testing.assert_allclose(kernels["sum"], 1, atol=1e-12)
    own = kernels.sel(band="f160w")
    assert float(own.max()) == 1.0
    assert float(own.negative) == 0
    assert float(own.ee_error) + float(own.residual) < 1e-12
    for band in ("f435w", "f105w"):
        one = kernels.sel(band=band)
        values = one.values
        assert float(one.negative) == pytest.approx(-values[values < 0].sum())
        assert float(one.sum_of_squares) == pytest.approx((values**2).sum())
        assert abs(float(one.centroid_y)) + abs(float(one.centroid_x)) < 0.05 * SCALE
        assert float(one.ee_error) < 0.005
        assert float(one.half_light_ratio) == pytest.approx(1, abs=0.01)


def test_a_target_is_a_band_a_width_or_an_image():
    native = psfs("f435w", "f160w")
    to_width = matching_kernels(native, to="0.6arcsec")
    image = prepare_psf(
        gaussian(0.6 / 0.2 / FWHM_OF_SIGMA, 41), scale=0.2, to_scale=0.2, name="muse"
    )
    to_image = matching_kernels(native, to=image)
    assert float(to_width.ee_error.max()) < 0.001
    assert float(to_image.ee_error.max()) < 0.01
    refuses("HC-B05", lambda: matching_kernels(native, to="f140w"), "f140w")


@pytest.mark.parametrize("to", ["f160w", "0.6arcsec", "moffat"])
def test_a_cube_is_matched_with_its_psfs(to):
    cube = field("f435w", "f814w", "f160w")
    target = (
        prepare_psf(moffat(0.7 / SCALE, size=101), scale=SCALE, name="moffat")
        if to == "moffat"
        else to
    )
    matched = psf_match(cube, to=target)
    assert set(matched.matched_to.values) == {to}
    assert np.unique(matched.psf_fwhm).size == 1
    if to == "f160w":
        assert float(matched.psf_fwhm[0]) == pytest.approx(
            fwhm(telescope("f160w")) * SCALE, rel=1e-3
        )
        assert matched.psf.values[-1].tobytes() == cube.psf.values[-1].tobytes()
        same_bits(matched.sel(band=["f160w"]), cube.sel(band=["f160w"]))
    elif to == "0.6arcsec":
        assert float(matched.psf_fwhm[0]) == 0.6
    assert float(matched.psf_ee_error.max()) < 0.01
    quality = psf_quality(matched, to=target)
    assert set(quality.verdict.values) == {"good"}
    assert abs(quality.ee_ratio - 1).max() < 0.01


def test_quality_shows_what_matching_did():
    cube = field("f435w", "f105w", "f160w")
    before, after = psf_quality(cube), psf_quality(psf_match(cube))
    assert before.attrs["to"] == after.attrs["to"] == "f160w"
    assert "encircled energy" in before.verdict.sel(band="f435w").item()
    assert set(after.verdict.values) == {"good"}
    assert float(before.ee_ratio.sel(band="f435w", radius=0.12)) > 1.3
    assert np.isnan(before.negative).all()
    assert (after.negative >= 0).all()
    assert after.to_dataframe().shape[0] == after.sizes["band"] * after.sizes["radius"]


def test_stars_in_a_cube_become_the_target():
    """A star of F435W, matched, is the star of F160W: the convolution of the image itself, not of its PSF."""  # noqa: E501
    size = 101
    sci = np.stack([1000 * telescope(band, size=size) for band in ("f435w", "f160w")])
    cube = build(
        sci,
        np.ones(sci.shape),
        bands=["f435w", "f160w"],
        grid=plain_grid((size, size)),
        units="uJy",
    )
    matched = psf_match(with_psf(cube, psfs("f435w", "f160w", size=65)))
    made, target = matched.sci.values.astype(float)
    radii = np.array([1, 2, 3, 5, 10, 15, 20])  # the last is where PSFs are set to one
    growth = encircled_energy(made, radii) / encircled_energy(target, radii)
    assert abs(growth / growth[-1] - 1).max() < 0.006


def test_gaussian_widths_warn_and_never_fail():
    cube = field("f435w", "f160w").drop_vars(["psf", "ky", "kx"])
    with pytest.warns(HstCubeWarning, match="HC-P12.*up to 20 %"):
        matched = psf_match(cube)
    assert "HC-P12" in matched.attrs["warnings"]


# -- the gate


def broad_f277w():
    """Return a cube whose F277W has a PSF broader than F160W: no kernel helps without sharpening."""  # noqa: E501
    cube = field("f435w", "f277w", "f160w").drop_vars(["psf", "ky", "kx"])
    given_ = psfs("f435w", "f277w", "f160w")
    given_[1] = convolved(telescope("f160w"), gaussian(1.5))
    return with_psf(cube, given_)


def test_a_band_that_misses_the_target_is_an_error_that_names_it():
    error = refuses("HC-P13", lambda: psf_match(broad_f277w(), to="f160w"), "f160w")
    assert error.band == "f277w"
    assert "allow=['f277w']" in error.fix


@pytest.mark.parametrize("allow", [["f277w"], ["F277W"], "all"])
def test_what_was_allowed_is_recorded(allow):
    with pytest.warns(HstCubeWarning, match="HC-P13.*f277w"):
        matched = psf_match(broad_f277w(), to="f160w", allow=allow)
    assert "f277w: matched to f160w although" in matched.attrs["warnings"]
    assert psf_quality(matched).verdict.sel(band="f277w").item() != "good"
    refuses("HC-P13", lambda: psf_match(broad_f277w(), to="f160w", allow=["f435w"]))


def test_psfs_come_before_matching_and_are_there_when_needed():
    cube = field("f435w", "f160w")
    refuses("HC-P09", lambda: with_psf(psf_match(cube), psfs("f435w", "f160w")), "matched already")
    without = cube.drop_vars(["psf", "ky", "kx"])
    refuses("HC-P09", lambda: psf_quality(without))
    image = prepare_psf(moffat(10.0), scale=SCALE)
    refuses("HC-P09", lambda: psf_match(without, to=image))
    refuses("HC-B05", lambda: psf_match(cube, to="f140w"))


def test_psfs_are_on_the_pixels_of_the_images():
    cube = field("f435w", "f160w")
    refuses(
        "HC-P14",
        lambda: psf_match(cube.isel(y=slice(None, None, 2), x=slice(None, None, 2))),
        "thin out",
    )
    refuses("HC-P14", lambda: psf_match(cube.isel(y=slice(None, None, -1))), "flipped")
    refuses("HC-P14", lambda: matching_kernels(cube.psf.drop_vars("ky")), "offsets ky")
    uneven = cube.psf.assign_coords(kx=cube.kx**3)
    refuses("HC-P14", lambda: matching_kernels(uneven), "not even")


def test_psfs_of_another_scale_are_resampled():
    fine = psfs("f435w", "f160w", size=121, scale=0.03)
    cube = field("f435w", "f160w").drop_vars(["psf", "ky", "kx"])
    with_fine = with_psf(cube, fine)
    assert float(with_fine.ky[1] - with_fine.ky[0]) == pytest.approx(SCALE)
    radii = np.array([3, 5, 10, 20])
    for band in ("f435w", "f160w"):
        made, true = with_fine.psf.sel(band=band).values.astype(float), telescope(band)
        # the pixels of 30 mas are summed: what was drizzled to them has a drop of 60 mas, and
        # pixels of 60 on top
        grown = encircled_energy(made, radii) / encircled_energy(true, radii)
        assert abs(grown / grown[-1] - 1).max() < 0.02


def test_a_band_without_a_psf_is_refused():
    cube = field("f435w", "f160w").drop_vars(["psf", "ky", "kx"])
    refuses("HC-B01", lambda: with_psf(cube, psfs("f435w")), "f160w")


# -- laws


@st.composite
def cubes_with_psf(draw, **how):
    """Draw a cube whose bands have PSFs with wings; each but the broadest reaches every broader one."""  # noqa: E501
    cube = draw(cubes(sides=st.integers(12, 40), names=NIRCAM, **how))
    sigma = draw(st.permutations(np.linspace(0.5, 1.2, cube.sizes["band"]).tolist()))
    core = 0.9 * gaussian(0.8, 25) + 0.1 * gaussian(2.0, 25)
    images = np.stack([convolved(core, gaussian(width, 25)) for width in sigma])
    images /= images.sum((1, 2), keepdims=True)
    offset = (np.arange(25) - 12) * Grid.of(cube).scale
    psf = xr.DataArray(
        images, {"band": cube.band.values, "ky": offset, "kx": offset}, ("band", "ky", "kx")
    )
    return with_psf(cube, psf)


def poorest(cube):
    return str(cube.band.values[int(np.argmax(cube.psf_fwhm.values))])


def matched_quietly(cube, **how):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HstCubeWarning)
        return psf_match(cube, allow="all", **how)


@pytest.mark.slow
@examples(8)
@given(cube=cubes_with_psf())
def test_the_input_is_left_as_it_was(cube):
    frozen = read_only(cube)
    before = snapshot(frozen)
    psf_match(frozen, to=poorest(cube))
    psf_quality(frozen)
    matching_kernels(frozen.psf, to=poorest(cube))
    with_psf(frozen, frozen.psf)
    assert snapshot(frozen) == before


@examples(8)
@given(cube=cubes_with_psf())
def test_matching_twice_is_matching_once(cube):
    to = poorest(cube)
    once = psf_match(cube, to=to)
    twice = psf_match(once, to=to)
    xr.testing.assert_identical(twice.assign_attrs(history=""), once.assign_attrs(history=""))
    same_bits(twice, once)


@examples(8)
@given(cube=cubes_with_psf(bands=(2, 5)), data=st.data())
def test_permuted_bands_give_the_permuted_result(cube, data):
    order = data.draw(st.permutations(range(cube.sizes["band"])))
    to = poorest(cube)
    xr.testing.assert_identical(
        psf_match(cube.isel(band=order), to=to), psf_match(cube, to=to).isel(band=order)
    )


@examples(8)
@given(cube=cubes_with_psf(bands=(2, 5)), data=st.data())
def test_another_band_changes_none_of_the_others(cube, data):
    to = poorest(cube)
    others = data.draw(st.sets(st.sampled_from(cube.band.values.tolist()))) | {to}
    few = cube.sel(band=[name for name in cube.band.values if name in others])
    same_bits(
        psf_match(few, to=to),
        psf_match(cube, to=to).sel(band=few.band),
        names=("sci", "wht", "mask", "psf"),
    )


@pytest.mark.slow
@examples(8)
@given(cube=cubes_with_psf(), chunk=st.integers(4, 30))
def test_a_chunked_cube_gives_the_same_result_and_is_computed_when_asked(cube, chunk):
    lazy = cube.assign(
        {
            name: cube[name].chunk({"band": 1, "y": chunk, "x": chunk})
            for name in ("sci", "wht", "mask")
        }
    )
    to = poorest(cube)

    def refuse(*args, **kwargs):
        msg = "something was computed while the graph was built"
        raise AssertionError(msg)

    with dask.config.set(scheduler=refuse):
        later = psf_match(lazy, to=to)
    assert later.sci.chunks is not None
    with dask.config.set(scheduler="synchronous"):
        now = later.compute()
    eager = psf_match(cube, to=to)
    same_to_float32(now, eager, peak=peak_of(cube))
    xr.testing.assert_identical(now.psf.reset_coords(drop=True), eager.psf.reset_coords(drop=True))


@examples(8)
@given(cube=cubes_with_psf(kinds=["none", "islands"]), data=st.data())
def test_a_cut_out_is_equal_beyond_the_kernel_from_the_cut(cube, data):
    to = poorest(cube)
    cube = cube.assign_coords(psf_energy=("band", np.ones(cube.sizes["band"])))  # no wings
    reach = matching_kernels(cube.psf, to=to).sizes["ky"] // 2
    whole = psf_match(cube, to=to)
    low = data.draw(st.integers(0, 4))
    part = psf_match(cube.isel(y=slice(low, None)), to=to)
    rows = slice(low + reach, None)
    if whole.sizes["y"] > low + reach:
        same_to_float32(part.isel(y=slice(reach, None)), whole.isel(y=rows), peak=peak_of(cube))
    np.testing.assert_array_equal(part.y, whole.y[low:])


@examples(6)
@given(cube=cubes_with_psf(), matched=st.booleans())
def test_a_cube_with_psfs_comes_back_from_netcdf(cube, matched):
    made = psf_match(cube, to=poorest(cube)) if matched else cube
    with a_folder() as folder:
        save_cube(made, folder / "cube.nc")
        xr.testing.assert_identical(open_cube(folder / "cube.nc"), made)


@pytest.mark.slow
@examples(8)
@given(cube=cubes_with_psf(), sigma=st.floats(0.2, 1.5))
def test_every_width_that_is_broad_enough_is_reached(cube, sigma):
    width = 1.6 * float(cube.psf_fwhm.max()) * (1 + sigma)
    matched = matched_quietly(cube, to=f"{width:.6f}arcsec")
    assert np.allclose(matched.psf_fwhm, width, rtol=1e-5)
    assert float(matched.psf_ee_error.max()) < 0.025


# -- images of PSFs


@pytest.mark.parametrize("size", [64, 65])
@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.37, -1.2)])
def test_any_image_of_a_psf_becomes_one_that_can_be_used(size, shift):
    image = 7.5 * telescope("f160w", size=73, shift=shift)[4:, 4:][:size, :size]
    psf = prepare_psf(image, scale=SCALE)
    assert psf.dims == ("ky", "kx")
    assert psf.sizes["ky"] == psf.sizes["kx"]
    assert psf.sizes["ky"] % 2 == 1
    assert float(psf.sum()) == pytest.approx(1, abs=1e-9)
    y, x = centroid(psf.values)
    assert np.hypot(y - psf.sizes["ky"] // 2, x - psf.sizes["kx"] // 2) < 0.01
    assert "sum 7" in psf.attrs["notes"]
    if size == 64 or shift != (0.0, 0.0):
        assert "moved by" in psf.attrs["notes"]
    made = psf.values
    true = telescope("f160w", size=made.shape[0])
    assert abs(ratio(made, true) - 1)[:25].max() < 0.01


def test_a_good_image_is_left_as_it_is():
    psf = prepare_psf(telescope("f160w"), scale=SCALE)
    np.testing.assert_allclose(psf.values, telescope("f160w"), atol=2e-5)
    assert float(psf.ky[0]) == pytest.approx(-32 * SCALE)


@pytest.mark.parametrize("to_scale", [0.03, 0.06, 0.1, 0.2])
def test_a_psf_keeps_its_width_on_other_pixels(to_scale):
    """Variances add: a Gaussian summed over pixels is broader by their variance, one that is only sampled is not."""  # noqa: E501
    sigma, scale = 0.25, 0.05  # arcsec
    psf = prepare_psf(gaussian(sigma / scale, 101), scale=scale, to_scale=to_scale)
    offset = psf.ky.values
    wide = np.sqrt(psf.sum("kx").values @ offset**2)
    summed = max(to_scale**2 - scale**2, 0) / 12 if to_scale > scale else 0
    assert wide == pytest.approx(np.sqrt(sigma**2 + summed), rel=0.01)
    assert float(psf.ky[1] - psf.ky[0]) == pytest.approx(to_scale)


def test_images_that_show_no_psf_are_refused():
    good = telescope("f160w")
    refuses("HC-P08", lambda: prepare_psf(good * np.nan, scale=SCALE))
    refuses("HC-P08", lambda: prepare_psf(good * 0, scale=SCALE))
    refuses("HC-P08", lambda: prepare_psf(good[0], scale=SCALE))


# -- files


def test_psfs_come_back_from_their_file(tmp_path):
    psf = psfs("f435w", "f160w").astype(np.float32)
    path = save_psf(psf, tmp_path / "psf.fits")
    back = open_psf(path)
    np.testing.assert_allclose(back.values, psf.values, rtol=1e-5, atol=1e-9)
    assert back.band.values.tolist() == ["f435w", "f160w"]
    assert back.attrs["notes"] == ""
    assert back.attrs["source"] == "psf.fits"
    np.testing.assert_allclose(back.ky, psf.ky, atol=1e-9)
    refuses("HC-O04", lambda: save_psf(psf, path))
    save_psf(psf, path, overwrite=True)


def write_psfs(path, images, **cards):
    units = [fits.ImageHDU(image, name=name) for name, image in images.items()]
    for unit in units:
        unit.header.update(cards)
    fits.HDUList([fits.PrimaryHDU(), *units]).writeto(path)
    return path


def test_foreign_files_are_made_usable_and_say_so(tmp_path):
    even = 3 * telescope("f435w", size=73, shift=(0.4, 0.2))[3:, 4:][:64, :64]
    path = write_psfs(
        tmp_path / "psf.fits", {"F435W": even, "F160W": telescope("f160w")}, PIXELSCL=SCALE
    )
    psf = open_psf(path)
    assert psf.attrs["notes"].startswith("f435w: moved by")
    assert "f160w" not in psf.attrs["notes"]
    assert psf.sizes["ky"] == 65
    for image in psf.values:
        y, x = centroid(image.astype(float))
        assert np.hypot(y - 32, x - 32) < 0.02
    psf_match(with_psf(field("f435w", "f160w").drop_vars(["psf", "ky", "kx"]), psf))


def test_files_that_leave_something_open_are_refused(tmp_path):
    image = telescope("f160w")
    fits.PrimaryHDU(image).writeto(tmp_path / "no_band.fits")
    refuses("HC-P15", lambda: open_psf(tmp_path / "no_band.fits"), "names no band")
    path = write_psfs(tmp_path / "no_scale.fits", {"F160W": image})
    refuses("HC-P15", lambda: open_psf(path), "size of its pixels")
    assert open_psf(path, scale=SCALE).shape == (1, 65, 65)
    fits.PrimaryHDU().writeto(tmp_path / "empty.fits")
    refuses("HC-F04", lambda: open_psf(tmp_path / "empty.fits"))
    refuses("HC-F01", lambda: open_psf(tmp_path / "missing.fits"))
    units = [fits.ImageHDU(image, name="F160W"), fits.ImageHDU(image, name="F160W", ver=2)]
    fits.HDUList([fits.PrimaryHDU(), *units]).writeto(tmp_path / "twice.fits")
    refuses("HC-B02", lambda: open_psf(tmp_path / "twice.fits", scale=SCALE))
    mixed = [fits.ImageHDU(image, name=name) for name in ("F160W", "F435W")]
    for unit, scale in zip(mixed, (0.06, 0.03), strict=True):
        unit.header["PIXSCALE"] = scale
    fits.HDUList([fits.PrimaryHDU(), *mixed]).writeto(tmp_path / "mixed.fits")
    refuses("HC-P11", lambda: open_psf(tmp_path / "mixed.fits"), "0.03")


def test_the_scale_comes_from_the_wcs_too(tmp_path):
    unit = fits.PrimaryHDU(telescope("f160w"), plain_grid((SIZE, SIZE)).header())
    unit.header["FILTER"] = "F160W"
    unit.writeto(tmp_path / "psf.fits")
    psf = open_psf(tmp_path / "psf.fits")
    assert float(psf.ky[1] - psf.ky[0]) == pytest.approx(SCALE, rel=1e-6)


# -- fields and their PSFs


@pytest.fixture
def stamps(tmp_path):
    folder = write_field(tmp_path / "stamps")
    for band in STAMP_BANDS:
        for kind in ("sci", "wht"):
            rewrite(stamp(folder, band, kind), cards={"XDFVER": "HST eXtreme Deep Field V1.0"})
    return folder


quiet = pytest.mark.filterwarnings("ignore::hstcube.errors.HstCubeWarning")


@quiet
def test_a_field_of_the_xdf_gets_psfs_from_the_table(stamps):
    cube = open_field(stamps, "1")
    known = survey_psf("xdf", 0.06, tuple(cube.band.values))
    np.testing.assert_array_equal(cube.psf.values, known.values)
    assert "psf of xdf" in cube.history
    assert "psf" not in open_field(stamps, "1", psf="gaussian").coords
    assert "psf" not in open_field(stamps, "1", psf=None).coords
    assert "psf" not in open_field(stamps, "1", psf_fwhm=dict.fromkeys(STAMP_BANDS, 0.2)).coords
    assert set(psf_quality(psf_match(cube)).verdict.values) == {"good"}


@quiet
def test_psfs_are_given_as_a_file_or_an_array(stamps, tmp_path):
    mine = psfs(*STAMP_BANDS)
    acs = [i for i, band in enumerate(STAMP_BANDS) if band in ACS]
    mine[acs] = [convolved(mine.values[i], gaussian(0.4)) for i in acs]  # as drizzle does in XDF
    path = save_psf(mine, tmp_path / "psf.fits")
    from_file, from_array = open_field(stamps, "1", psf=path), open_field(stamps, "1", psf=mine)
    np.testing.assert_allclose(from_file.psf.values, from_array.psf.values, rtol=1e-5, atol=1e-9)
    assert float(from_file.psf_fwhm.sel(band="f160w")) == pytest.approx(
        fwhm(telescope("f160w")) * SCALE, rel=1e-3
    )


@quiet
def test_the_table_says_where_it_has_no_psfs(tmp_path):
    folder = write_field(tmp_path, scale="50mas")
    refuses("HC-P16", lambda: open_field(folder, "1", scale="50mas", psf="xdf"), "50 mas")
    assert survey_psf("xdf", 0.06, ("f098m",)) is None
    assert survey_psf("goods", 0.06, ("f160w",)) is None


@pytest.mark.parametrize("scale", [0.03, 0.06])
def test_psfs_of_the_table_are_psfs(scale):
    bands = (
        ("f606w", "f775w", "f814w", "f850lp")
        if scale == 0.03
        else ("f435w", "f606w", "f105w", "f160w")
    )
    psf = survey_psf("xdf", scale, bands)
    np.testing.assert_allclose(psf.sum(("ky", "kx")), 1, atol=1e-6)
    assert psf.sizes["ky"] % 2 == 1
    np.testing.assert_array_equal(psf.values, psf.values[:, ::-1, ::-1])
    assert (psf.values >= 0).all()


@quiet
def test_stars_are_opened_as_fields_are(tmp_path):
    folder = write_field(tmp_path, "1")
    write_field(tmp_path, "2", bands=STAMP_BANDS[:2])
    opened = open_stars(folder)
    assert list(opened) == ["1", "2"]
    assert opened["1"].band.values.tolist() == list(STAMP_BANDS[:2])
    assert "psf" not in opened["1"].coords
    for kind in ("sci", "wht"):
        stamp(folder, STAMP_BANDS[0], kind, field="2").rename(
            stamp(folder, "f125w", kind, field="2")
        )
    stamp(folder, STAMP_BANDS[1], "sci", field="2").unlink()
    stamp(folder, STAMP_BANDS[1], "wht", field="2").unlink()
    refuses("HC-P11", lambda: open_stars(folder), "no band that all stars have")


def test_a_misspelt_method_is_refused_also_where_no_kernel_is_made():
    cube = field("f160w")  # the target alone: it passes through
    refuses("HC-P06", lambda: psf_match(cube, method="wienr"), "'wienr'", "choose method=")
    refuses("HC-P06", lambda: matching_kernels(cube.psf, method="wienr"), "'wienr'")


def test_pixels_much_finer_than_the_psf_are_told_of():
    """On a grid eight times finer: what to do instead is said before the long work."""
    for side, width, told in ((600, 0.19, False), (33, 0.19 * 8, False), (600, 0.19 * 8, True)):
        flat = np.ones((1, side, side), np.float32)
        cube = build(
            flat, flat, bands=["f160w"], psf_fwhm=[width],
            grid=Grid.around((53.16, -27.78), side * 0.06, 0.06), units="uJy",
        )  # fmt: skip
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            after = psf_match(cube, to=f"{1.02 * width:.4f}arcsec")
        codes = {one.message.code for one in caught}
        assert ("HC-P44" in codes) is told
        assert ("HC-P44 the narrowest PSF is 25 pixels" in after.attrs["warnings"]) is told
