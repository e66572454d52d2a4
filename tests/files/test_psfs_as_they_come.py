"""PSFs as people have them: one file a band, models of stpsf, bare images of any size."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
from astropy.io import fits
from scipy import ndimage
from stamps import BANDS, label_map, rewrite, stamp, write_field
from telescope import optics, stars

import hstcube
from hstcube import open_field, open_psf, prepare_psf, psf_match
from hstcube.errors import BandError, HstCubeWarning, PSFError
from hstcube.psf.profiles import fwhm

NATIVE, FOLD = 0.063, 4
WIDTHS = {"f435w": 0.105, "f850lp": 0.11, "f160w": 0.19}


def round_psf(width, *, scale=0.06, size=65):
    y, x = (np.mgrid[:size, :size] - (size - 1) / 2) * scale
    image = (
        np.exp(-(x**2 + y**2) * 4 * np.log(2) / width**2) + 1e-3 / (1 + (x**2 + y**2) / 0.1) ** 2
    )
    return image / image.sum()


def bare(path, band, *, scale=0.06, size=65, cards=()):
    """Write a PSF as many are: an image in the primary unit, even or odd, no cards."""
    unit = fits.PrimaryHDU(round_psf(WIDTHS[band], scale=scale, size=size).astype("f4"))
    for key, value in dict(cards).items():
        unit.header[key] = value
    unit.writeto(path)
    return path


def stpsf(path, *, turn=0.0, band="F444W"):
    """Write a file as stpsf does: the optics four times finer than pixels, and as they see it."""
    # as WFC3's own pixels and drizzle see it, or as no pixels have seen it
    wide = (0.128, 0.08) if band == "F160W" else ()
    fine = optics(band.lower(), scale=NATIVE / FOLD, size=256, boxes=wide)
    if turn:
        fine = ndimage.rotate(fine, turn, reshape=False, order=5)
    pixels = fine.reshape(64, FOLD, 64, FOLD).sum((1, 3))
    units = []
    for name, image, scale in (
        ("OVERSAMP", fine, NATIVE / FOLD), ("DET_SAMP", pixels, NATIVE),
        ("OVERDIST", fine, NATIVE / FOLD), ("DET_DIST", pixels, NATIVE),
    ):  # fmt: skip
        unit = (fits.ImageHDU if units else fits.PrimaryHDU)(image)
        unit.header.update(
            EXTNAME=name, PIXELSCL=scale, FILTER=band, INSTRUME="NIRCam", OVERSAMP=FOLD,
            DET_SAMP=FOLD if name.startswith("OVER") else 1,
        )  # fmt: skip
        units.append(unit)
    fits.HDUList(units).writeto(path)
    return path


def of_no_survey(folder):
    for band in BANDS:
        camera = ("WFC3", "IR") if band == "f160w" else ("ACS", "WFC")
        cards = dict(zip(("INSTRUME", "DETECTOR"), camera, strict=True))
        rewrite(stamp(folder, band), cards={"XDFVER": None, **cards})
        rewrite(stamp(folder, band, "wht"), cards=cards)
    return folder


@pytest.fixture
def field(tmp_path):
    return of_no_survey(write_field(tmp_path / "field"))


@pytest.fixture
def files(tmp_path):
    return {
        "f435w": bare(tmp_path / "blue.fits", "f435w", cards={"PIXSCALE": 0.06}),
        "f850lp": bare(tmp_path / "f850lp_psf.fits", "f850lp", scale=0.015, size=260,
                       cards={"PIXELSCL": 0.015}),
        "f160w": bare(tmp_path / "ir.fits", "f160w", size=64, cards={"FILTER": "F160W",
                                                                     "PIXSCALE": 0.06}),
    }  # fmt: skip


def test_one_file_a_band_gives_a_cube_its_psfs(field, files):
    cube = open_field(field, "1", psf=files)
    blocks = round_psf(WIDTHS["f850lp"], scale=0.015, size=260).reshape(65, 4, 65, 4).sum((1, 3))
    for band in BANDS:
        image = cube.psf.sel(band=band).values.astype(float)
        assert image.sum() == pytest.approx(1, abs=1e-5)
        # finer pixels are summed
        wanted = blocks if band == "f850lp" else round_psf(WIDTHS[band])
        assert fwhm(image) == pytest.approx(fwhm(wanted), rel=0.02)
    matched = psf_match(cube)
    assert set(matched.matched_to.values) == {"f160w"}
    assert "psf of f850lp from f850lp_psf.fits (f850lp: " in cube.attrs["history"]


def test_a_band_without_one_is_an_error_that_names_it(field, files):
    with pytest.raises(PSFError) as caught:
        open_field(field, "1", psf={"f435w": files["f435w"]})
    assert (caught.value.code, caught.value.band) == ("HC-P36", "f850lp")
    with pytest.raises(BandError, match="f999w"):
        open_field(field, "1", psf={"f999w": files["f435w"]})


def test_other_bands_keep_what_a_file_or_their_survey_has(tmp_path, files):
    xdf = write_field(tmp_path / "xdf")
    own = open_field(xdf, "1", psf="xdf")
    cube = open_field(xdf, "1", psf={"f435w": files["f435w"], "others": "xdf"})
    half = own.sizes["ky"] // 2, cube.sizes["ky"] // 2
    inner = slice(half[1] - half[0], half[1] + half[0] + 1)
    np.testing.assert_array_equal(
        cube.psf.sel(band="f160w").values[inner, inner], own.psf.sel(band="f160w").values
    )
    assert abs(cube.psf_fwhm.sel(band="f435w") - own.psf_fwhm.sel(band="f435w")) > 1e-3


def test_a_psf_of_another_band_is_refused(field, files):
    with pytest.raises(BandError) as caught:
        open_field(field, "1", psf=files | {"f435w": files["f160w"]})
    assert caught.value.code == "HC-B03"


def test_pixels_that_a_file_does_not_say_are_those_of_the_images_and_that_is_told(
    field, files, tmp_path
):
    plain = bare(tmp_path / "plain.fits", "f435w")
    with pytest.warns(HstCubeWarning, match="HC-P37.*taken for those of the images, 0.06 arcsec"):
        cube = open_field(field, "1", psf=files | {"f435w": plain})
    assert cube.psf_fwhm.sel(band="f435w") == pytest.approx(0.11, abs=0.03)


def test_the_command_line_and_a_field_file_take_them_too(field, files, call, tmp_path):
    given = [f"--psf={band}={path}[0]" for band, path in files.items()]
    done = call(
        "run", field, "-o", tmp_path / "a", "--labels", label_map(field), *given, "--sky", "measure"
    )
    assert done.code == 0, done.err
    lines = [f'[bands.{b}]\nsci = "{stamp(field, b)}"\nwht = "{stamp(field, b, "wht")}"\n'
             f'psf = "{path}[0]"\n' for b, path in files.items()]  # fmt: skip
    toml = tmp_path / "1.toml"
    toml.write_text(f'{"".join(lines)}[labels]\npath = "{label_map(field)}"\n')
    done = call("run", toml, "-o", tmp_path / "b", "--sky", "measure")
    assert done.code == 0, done.err
    one, other = (hstcube.open_cube(tmp_path / out / "1.nc") for out in "ab")
    np.testing.assert_array_equal(one.psf.values, other.psf.values)
    np.testing.assert_array_equal(one.sci.values, other.sci.values)
    said = call("run", field, "-o", tmp_path / "c", "--psf", "a.fits", "--psf", "b.fits")
    assert said.code == 2
    assert "name the bands" in said.err


def truth(size, *, pixfrac=1.0, scale=0.03):
    """Return the PSF of the mosaic by another way: all boxes at once, in Fourier space."""
    return optics("f444w", scale=scale, size=size, boxes=(NATIVE, pixfrac * NATIVE, scale))


@pytest.mark.parametrize("drop", [1.0, 0.7])
def test_a_model_of_stpsf_becomes_the_psf_of_a_mosaic(tmp_path, drop):
    psf = open_psf(stpsf(tmp_path / "f444w.fits"), angle=0, drop=drop)
    assert psf.band.values.tolist() == ["f444w"]
    assert psf.attrs["notes"].startswith("f444w: OVERDIST, a model in the frame of the detector;")
    assert "assumed" not in psf.attrs
    found = prepare_psf(psf.values[0], scale=NATIVE / FOLD, to_scale=0.03, size=101).values
    wanted = truth(101, pixfrac=drop)
    assert np.abs(found / found.sum() - wanted / wanted.sum()).sum() < 0.01
    # without the pixels it is far from it: the test can tell
    bare_model = prepare_psf(
        fits.getdata(tmp_path / "f444w.fits"), scale=NATIVE / FOLD, to_scale=0.03, size=101
    ).values
    assert np.abs(bare_model - wanted / wanted.sum()).sum() > 0.1


def test_a_model_is_turned_as_the_detector_lay(tmp_path):
    straight = open_psf(stpsf(tmp_path / "a.fits"), angle=0, drop=1)
    # turned in the file by 30 degrees one way, and back by the angle
    turned = open_psf(stpsf(tmp_path / "b.fits", turn=30), angle=30, drop=1)
    left = open_psf(tmp_path / "b.fits", angle=0, drop=1)
    middle = slice(128 - 60, 128 + 61)

    def apart(one, other):
        one, other = (psf.values[0] for psf in (one, other))
        side = min(one.shape[0], other.shape[0])
        cut = [image[(len(image) - side) // 2 :][:side, (len(image) - side) // 2 :][:, :side]
               for image in (one, other)]  # fmt: skip
        return np.abs(cut[0] - cut[1])[middle, middle].sum()

    assert apart(straight, turned) < 0.01
    assert apart(straight, left) > 0.05


def test_angle_and_drop_come_from_the_header_of_the_mosaic_else_they_are_warned_of(field, tmp_path):
    model = stpsf(tmp_path / "model.fits", band="F160W")
    psf = dict.fromkeys(BANDS, hstcube.prepare_psf(round_psf(0.1), scale=0.06)) | {"f160w": model}
    with pytest.warns(HstCubeWarning, match="HC-P37 f160w.*angle 0 and pixfrac 1 assumed"):
        assumed = open_field(field, "1", psf=psf)
    rewrite(stamp(field, "f160w"), cards={"PA_APER": 50.0, "D001PIXF": 0.8})
    with warnings.catch_warnings():
        warnings.simplefilter("error", HstCubeWarning)
        known = open_field(field, "1", psf=psf)
    assert "drops of 0.0504 arcsec; turned by" in known.attrs["history"]
    assert np.abs(known.psf - assumed.psf).sel(band="f160w").sum() > 0.01


def test_the_angle_is_that_of_the_detector_on_the_sky(field, tmp_path):
    """A detector whose y axis points to the mosaic's +y needs no turn, whatever the sky's is."""
    from hstcube.assembly.psfs import _position_angle
    from hstcube.core.grids import Grid

    grid = Grid.of(open_field(field, "1"))
    above = grid.wcs.pixel_to_world(20, [10, 30])
    angle = above[0].position_angle(above[1]).deg
    assert (_position_angle(grid) - angle + 180) % 360 - 180 == pytest.approx(0, abs=0.01)


def test_extensions_and_bands_are_named(tmp_path):
    path = stpsf(tmp_path / "f444w.fits")
    coarse = open_psf(f"{path}[DET_DIST]", drop=1, angle=0)
    assert coarse.ky.values[1] - coarse.ky.values[0] == pytest.approx(NATIVE)
    assert "seen by pixels" not in coarse.attrs["notes"]
    assert open_psf(path).attrs["assumed"] == "angle 0 and pixfrac 1"
    with pytest.raises(BandError, match="is of f444w, not of f160w"):
        open_psf(path, band="f160w")
    bare(tmp_path / "goodss_F160W_psf.fits", "f160w", cards={"PIXSCALE": 0.06})
    assert open_psf(tmp_path / "goodss_F160W_psf.fits").band.values.tolist() == ["f160w"]
    with pytest.raises(PSFError, match="names no band"):
        open_psf(bare(tmp_path / "star.fits", "f160w", cards={"PIXSCALE": 0.06}))


def test_a_psf_in_memory_is_that_of_its_band(field, files):
    stack = open_field(field, "1", psf=files).psf
    f435w = stack.sel(band="f435w")  # knows the name of its band
    cube = open_field(field, "1", psf=files | {"f435w": f435w})
    np.testing.assert_array_equal(cube.psf, stack)
    for one in (stack, stack.isel(band=[0]), f435w.drop_vars("band")):
        cube = open_field(field, "1", psf=files | {"f435w": one})
        np.testing.assert_array_equal(cube.psf.sel(band="f435w"), f435w)
    for one in (stack.sel(band="f160w"), stack.sel(band=["f160w"])):
        with pytest.raises(BandError, match="is of f160w") as caught:
            open_field(field, "1", psf=files | {"f435w": one})
        assert caught.value.code == "HC-B03"


def test_what_serves_the_others_need_not_have_the_bands_that_are_given(field, files, tmp_path):
    stack = open_field(field, "1", psf=files).psf
    hstcube.save_psf(stack.sel(band=["f850lp", "f160w"]), tmp_path / "two.fits")
    psf = {"f435w": files["f435w"], "others": tmp_path / "two.fits"}
    np.testing.assert_allclose(open_field(field, "1", psf=psf).psf, stack, atol=1e-7)


def pointer(path):
    """Write a model of stpsf whose light points up: a spot beside the core, at +y."""
    y, x = (np.mgrid[:255, :255] - 127) * NATIVE / FOLD
    core = np.exp(-(x**2 + y**2) / 0.1**2) + 0.2 * np.exp(-(x**2 + (y - 0.6) ** 2) / 0.05**2)
    unit = fits.PrimaryHDU(core)
    unit.header.update(EXTNAME="OVERDIST", PIXELSCL=NATIVE / FOLD, FILTER="F160W", DET_SAMP=FOLD)
    unit.writeto(path)
    return path


@pytest.mark.parametrize("turn", [0.0, 90.0, 215.0])
def test_a_detector_whose_y_axis_points_somewhere_on_the_sky_points_there_in_the_psf(
    field, tmp_path, turn
):
    cards = {"PA_APER": turn, "D001PIXF": 1.0}
    rewrite(stamp(field, "f160w"), cards=cards)
    psf = dict.fromkeys(BANDS, prepare_psf(round_psf(0.1), scale=0.06))
    psf["f160w"] = pointer(tmp_path / "model.fits")
    cube = open_field(field, "1", psf=psf)
    image = cube.psf.sel(band="f160w")
    far = image.where(np.hypot(image.ky, image.kx) > 0.35, 0.0)
    y, x = float((far * image.ky).sum() / far.sum()), float((far * image.kx).sum() / far.sum())
    wcs = hstcube.Grid.of(cube).wcs
    here, there = wcs.pixel_to_world([20, 20 + x / 0.06], [20, 20 + y / 0.06])
    apart = (here.position_angle(there).deg - turn + 180) % 360 - 180
    assert apart == pytest.approx(0, abs=3)


def test_in_a_mirrored_mosaic_the_angle_is_not_known(field, tmp_path):
    for band in BANDS:
        for kind in ("sci", "wht"):
            path = stamp(field, band, kind)
            columns = [fits.getval(path, key) for key in ("CD1_1", "CD2_1")]
            cards = {"CD1_1": -columns[0], "CD2_1": -columns[1], "PA_APER": 10.0, "D001PIXF": 1.0}
            rewrite(path, cards=cards)
    psf = dict.fromkeys(BANDS, prepare_psf(round_psf(0.1), scale=0.06))
    psf["f160w"] = pointer(tmp_path / "model.fits")
    with pytest.warns(HstCubeWarning, match="HC-P37 f160w.*angle 0 assumed"):
        open_field(field, "1", psf=psf)


def test_check_run_and_headers_say_what_stars_tell_of_psfs(field, tmp_path, call):
    made = hstcube.measure_psf(stars(np.random.default_rng(3), 2, bands=BANDS, flux=100.0))
    path = hstcube.save_psf(made, tmp_path / "two_stars.fits")
    how = ("--psf", path, "--to", "f160w")
    checked = call("check", field, *how)
    assert "note: HC-P41 unverified: " in checked.out
    assert "f435w (2)" in checked.out
    ran = call("run", field, "--out", tmp_path / "out", *how)
    assert ran.code == 0, ran.out
    record = json.loads((tmp_path / "out" / "run.json").read_text())["targets"]["1"]
    assert any("HC-P41 unverified" in note for note in record["notes"])
    image = next((tmp_path / "out").rglob("*f435w*.fits"))
    header = fits.getheader(image)
    assert header["PSFSTARS"] == 2
    assert header["PSFERR"] == pytest.approx(made.psf_error.values[0], rel=1e-4)
    assert header["PSFEEERR"] > header["PSFERR"]
