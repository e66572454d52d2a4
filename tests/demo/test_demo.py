"""The demo field: fast, the same for the same seed, faulty like the real one, and met by the whole job."""  # noqa: E501

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from astropy.io import fits

import hstcube
from hstcube.demo.cameras import BANDS
from hstcube.demo.field import (
    BRIGHTEST,
    GAP,
    IR_RMS,
    MARGIN,
    MERGER,
    SIZE,
    STARS,
    TARGET,
    simulate,
)
from hstcube.demo.line import WIDTH
from hstcube.demo.truth import demonstrate

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::hstcube.HstCubeWarning")]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    rows, places = demonstrate(tmp_path_factory.mktemp("demo") / "out")
    return {row.band: row for row in rows}, places


@pytest.fixture(scope="module")
def truth(made):
    with xr.open_dataset(made[1]["stamps"] / "truth.nc", engine="netcdf4") as opened:
        return opened.load()


def test_fluxes_in_the_mask_are_within_half_a_percent_of_the_truth(made):
    for row in made[0].values():
        assert abs(row.flux - 1) < 0.005, row
        assert abs(row.flux - 1) < 4 * row.noise, row


def test_the_rim_has_no_colour_bias_where_masking_first_has(made):
    """SCIENCE.md 3: masking before the convolution shows 0.06 to 0.42 mag."""
    for row in made[0].values():
        assert abs(row.rim) < 0.02, row
    worst = max(row.rim_masked_first for row in made[0].values())
    assert 0.06 < worst < 0.5


def test_the_true_scene_is_reached_with_psfs_from_the_fields_own_stars(made):
    """Issue 4: fluxes in the mask within 0.5 %, colours of its outermost ring within 0.02 mag, noise-free."""  # noqa: E501
    assert max(abs(row.scene - 1) for row in made[0].values()) < 0.005
    assert max(abs(row.scene_rim) for row in made[0].values()) < 0.02


def test_gaussian_kernels_leave_errors_in_the_core_that_measured_psfs_do_not(made):
    """The PSFs have wings that no Gaussian kernel moves."""
    for row in made[0].values():
        assert abs(row.core - 1) < 0.003
    assert max(abs(row.core_gaussian - 1) for row in made[0].values()) > 0.01


def test_the_same_seed_gives_the_same_field_and_another_seed_another(tmp_path):
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        simulate(tmp_path / name, seed=seed)
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.fits"))
    assert len(files) == 2 * (9 + 4) + 1 + STARS * 18
    for path in files:
        assert (tmp_path / "a" / path).read_bytes() == (tmp_path / "b" / path).read_bytes()
    assert (tmp_path / "a" / files[0]).read_bytes() != (tmp_path / "c" / files[0]).read_bytes()


def test_the_stamps_are_the_truth_with_sky_and_noise(made, truth):
    cube = hstcube.open_field(made[1]["stamps"], "demo")
    inside = truth.native.values[:, MARGIN:-MARGIN, MARGIN:-MARGIN]
    for i, (band, camera) in enumerate(BANDS.items()):
        pull = (cube.sci.values[i] - inside[i] - camera.sky) * np.sqrt(cube.wht.values[i])
        blank = pull[inside[-1] < 1e-4]  # next to no photon noise there
        expected = IR_RMS if band in ("f105w", "f125w", "f140w", "f160w") else 1.0
        assert np.nanstd(blank) == pytest.approx(expected, rel=0.05), (
            band
        )  # some thousand pixels, correlated in the IR
        assert abs(np.nanmedian(pull)) < 0.05


def test_infrared_noise_is_correlated_like_that_of_the_xdf(made, truth):
    """SCIENCE.md 2: rho(0,1) = 0.54, rho(1,1) = 0.30, rho(0,2) = 0.10."""
    cube = hstcube.open_field(made[1]["stamps"], "demo").sel(band="f160w")
    noise = (
        cube.sci.values - truth.native.sel(band="f160w").values[MARGIN:-MARGIN, MARGIN:-MARGIN]
    )[:35]
    noise = noise - noise.mean()
    rho = [
        (noise[dy:, dx:] * noise[: 35 - dy, : SIZE - dx]).mean() / noise.var()
        for dy, dx in ((0, 1), (1, 1), (0, 2))
    ]
    assert np.allclose(rho, (0.54, 0.30, 0.10), atol=0.06)


def test_the_stamps_have_the_faults_of_the_real_ones(made):
    stamps = made[1]["stamps"]
    for band in BANDS:
        header = fits.getheader(stamps / "new_stamps" / f"demo_60mas_{band}_sci.fits")
        assert (header["INSTRUME"], header["DETECTOR"], header["EXPTIME"]) == ("WFC3", "IR", 1.0)
        assert header["TEXPTIME"] == BANDS[band].exposure
        assert not {"PHOTFLAM", "PHOTFNU", "ABZP"} & set(header)
    assert (fits.getdata(stamps / "new_stamps" / "demo_60mas_f435w_wht.fits")[GAP] == 0).all()
    values = fits.getdata(
        stamps / "segment_maps" / "udf_mosaic_demo_HST_SEGMAP.fits", extname="DATA"
    )
    odd = np.mean(values != np.round(values))
    assert 0.01 < odd < 0.05
    assert {0, TARGET, MERGER} <= set(np.unique(values).tolist())
    grid = hstcube.Grid.from_header(
        fits.getheader(stamps / "segment_maps" / "udf_mosaic_demo_HST_SEGMAP.fits", extname="DATA")
    )
    assert np.degrees(np.arctan2(grid.matrix[1, 0], grid.matrix[1, 1])) == pytest.approx(42)


def test_bands_at_30_mas_show_the_same_light(made, truth):
    fine = hstcube.open_field(made[1]["stamps"], "demo", scale="30mas")
    assert list(fine.band.values) == ["f606w", "f775w", "f814w", "f850lp"]
    for band in fine.band.values:
        inside = truth.native.sel(band=band).values[MARGIN:-MARGIN, MARGIN:-MARGIN].sum()
        total = float(fine.sci.sel(band=band).sum()) - BANDS[band].sky * SIZE**2
        assert total == pytest.approx(inside, rel=0.02), band  # noise of 1e4 pixels


def test_star_stamps_are_point_sources_of_the_bands_psf(made, truth):
    for star in range(1, STARS + 1):
        for band in ("f435w", "f160w"):
            cube = hstcube.open_field(made[1]["stamps"] / "psf_stars", str(star), bands=[band])
            image = cube.sci.values[0] - BANDS[band].sky
            core = image[31:36, 31:36].sum() / (BRIGHTEST / star)
            expected = truth.psf.sel(band=band).values[30:35, 30:35].sum()
            assert core == pytest.approx(
                expected, rel=0.05
            )  # the star lies up to half a pixel off the middle


def test_the_merger_is_larger_than_the_galaxy(made):
    one, pair = (hstcube.open_cube(made[1]["products"] / f"{name}.nc") for name in ("demo", "pair"))
    assert (pair.mask.sum(("y", "x")) > one.mask.sum(("y", "x"))).all()
    assert not (one.mask & ~pair.mask).any()


def test_nothing_is_replaced_unasked(made, tmp_path):
    simulate(tmp_path)
    with pytest.raises(hstcube.HstCubeError, match="HC-O04"):
        simulate(tmp_path)
    simulate(tmp_path, overwrite=True)


# -- the same field without files


def test_the_example_is_the_field_that_is_written(made):
    opened = hstcube.open_field(made[1]["stamps"], "demo")
    cube = hstcube.example()
    for name in ("sci", "wht", "mask", "zeropoint", "exposure", "instrument", "wcs"):
        np.testing.assert_array_equal(cube[name].values, opened[name].values)
    assert hstcube.Grid.of(cube) == hstcube.Grid.of(opened)
    labels = hstcube.open_labels(next((made[1]["stamps"] / "segment_maps").iterdir()))
    seen = hstcube.regrid_labels(labels, hstcube.Grid.of(cube))
    np.testing.assert_array_equal(cube.labels.values, seen.values)


@pytest.mark.parametrize("matched", [False, True])
def test_what_is_done_to_an_example_changes_no_other(matched):
    first = hstcube.example(matched=matched)
    first.sci.values[:] = 0
    first.labels.values[:] = 0
    first.attrs["field"] = "mine"
    again = hstcube.validate(hstcube.example(matched=matched))
    assert again.sci.values.any()
    assert again.labels.values.any()
    assert again.attrs["field"] == "demo"
    assert set(again.matched_to.values.tolist()) == ({"f160w"} if matched else {""})


def test_the_map_of_the_line_is_what_the_cube_predicts_by_its_true_width(made):
    """The map is drawn at its own PSF, the model made of the matched images: two ways."""
    products = hstcube.open_cube(made[1]["products"] / "demo.nc")
    line = hstcube.open_map(made[1]["line"])
    fit = hstcube.fit_line(products, line, psf="0.65arcsec", bands=["f606w"])
    assert abs(float(fit.weights[0]) - WIDTH) < max(0.02 * WIDTH, 3 * float(fit.weight_error[0]))
    assert abs(float(fit.dy)) < 0.02
    assert abs(float(fit.dx)) < 0.02
    assert 0.7 < float(fit.chi2 / fit.dof) < 1.4
