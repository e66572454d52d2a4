"""Bad input of line maps and fits: each is refused, or told of, with a code and what to do."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from astropy.io import fits
from line_scene import UNIT, Truth, cube, grids, line, seen

import hstcube
from hstcube.core.grids import Grid
from hstcube.errors import HstCubeError, HstCubeWarning
from hstcube.forward.solution import Tried
from hstcube.ifu import results

KEEP = np.ones((100, 100), bool)
PSF = "0.65arcsec,beta=2.8"


@pytest.fixture(scope="module")
def whole():
    return line(Truth(), 100)


def write(path, data, *, unit=UNIT, checksum=False, axes=2, **more):
    header = fits.Header([*grids(Truth())[1].cards, ("BUNIT", unit)])
    if axes == 3:
        header["WCSAXES"] = 3
        header.update(CTYPE3="AWAV", CUNIT3="Angstrom", CRVAL3=4750.0, CRPIX3=1.0, CD3_3=1.25)
        header.update(CD1_3=0.0, CD2_3=0.0, CD3_1=0.0, CD3_2=0.0)
    header.update(more)
    fits.PrimaryHDU(np.asarray(data, np.float32), header).writeto(path, checksum=checksum)
    return path


def refused(code, call, *words):
    with pytest.raises(HstCubeError, match=code) as caught:
        call()
    assert caught.value.code == code
    assert caught.value.fix
    for word in words:
        assert word in str(caught.value)


def fitted(one, **given):
    return hstcube.fit_line(cube(), one, **{"psf": PSF, "keep": KEEP, **given})


@pytest.mark.parametrize(
    "psf", ["0.65", 0.65, "-0.6arcsec", "0.65arcsec,beta=0.9", "0.65arcsec,beta=x", "wide", "", 3]
)
def test_a_psf_says_its_unit_and_can_be(whole, psf):
    refused("HC-L01", lambda: fitted(whole, psf=psf))


def test_a_psf_image_holds_light(whole):
    image = hstcube.moffat(0.65, scale=0.1, radius=1.0)
    refused("HC-L01", lambda: fitted(whole, psf=image * np.nan))
    refused("HC-L01", lambda: fitted(whole, psf=image.expand_dims("band")))
    refused("HC-L01", lambda: hstcube.register_map(cube(), whole, psf=image, fit=["fwhm"]))


def test_a_header_without_psf_says_so():
    refused("HC-L02", lambda: hstcube.fsf_psf({}, 6000.0))
    refused("HC-L02", lambda: hstcube.fsf_psf({"FSF00BET": "x", "FSF00FWB": 0.0}, 6000.0))
    refused("HC-L02", lambda: hstcube.fsf_psf({"FSF00FNC": 1}, 6000.0))
    wide = {"FSF00BET": 2.8, "FSF00FWB": 0.0, "FSF00FWA": -1.0}
    refused("HC-L02", lambda: hstcube.fsf_psf(wide, 6000.0))


@pytest.mark.parametrize("spoilt", ["zero", "negative", "shape"])
def test_errors_that_are_none_are_refused(tmp_path, spoilt):
    data = np.ones((31, 31))
    errors = {"zero": data * 0, "negative": -data, "shape": np.ones((30, 31))}[spoilt]
    one, other = write(tmp_path / "map.fits", data), write(tmp_path / "err.fits", errors)
    refused("HC-L03", lambda: hstcube.open_map(one, error=other))
    refused("HC-L03", lambda: hstcube.open_map([one, one], error=[other]))


def test_a_map_per_wavelength_is_refused_and_its_unit_can_be_said(tmp_path):
    path = write(tmp_path / "map.fits", np.ones((31, 31)), unit=f"{UNIT} AA-1")
    refused("HC-L04", lambda: hstcube.open_map(path), "per wavelength", "unit=")
    with pytest.warns(HstCubeWarning, match="HC-L06"):
        made = hstcube.open_map(path, unit="erg s-1 cm-2")
    assert float(made.sci.max()) == pytest.approx(1e20)
    odd = write(tmp_path / "odd.fits", np.ones((31, 31)), unit="electron s-1")
    refused("HC-L04", lambda: hstcube.open_map(odd))
    refused("HC-L04", lambda: fitted(cube().isel(band=[0])))


def test_a_map_of_nothing_is_refused(tmp_path, whole):
    path = write(tmp_path / "map.fits", np.full((31, 31), np.nan))
    refused("HC-L05", lambda: hstcube.open_map(path))
    empty = whole.assign(mask=whole.mask & False)
    refused("HC-L05", lambda: fitted(empty))
    refused("HC-L05", lambda: fitted(whole.assign(sci=whole.sci * 0)), "zero")
    refused("HC-L05", lambda: fitted(cube()))


@pytest.mark.filterwarnings("ignore::hstcube.HstCubeWarning")
def test_a_map_without_errors_is_fitted_and_its_residuals_tell_them(tmp_path, whole):
    path = write(
        tmp_path / "map.fits", np.where(whole.wht.values[0] > 0, whole.sci.values[0], np.nan)
    )
    made = hstcube.open_map(path, smoothed="0.4arcsec")
    assert "HC-L06" in made.attrs["warnings"]
    fit = fitted(made)
    assert float(fit.inflation) < 0.1  # of a map without noise
    assert fit.attrs["verdict"].startswith("the errors are what the residuals tell")
    assert float(fit.dy) == pytest.approx(0.04, abs=2e-3)


@pytest.mark.filterwarnings("ignore::hstcube.HstCubeWarning")
def test_maps_of_a_doublet_are_summed_and_that_is_told(tmp_path):
    clean = seen(Truth())
    one = write(tmp_path / "a.fits", clean * 0.4, axes=3)
    two = write(tmp_path / "b.fits", np.where(clean < 0.1, np.nan, clean * 0.6), axes=3)
    error = write(tmp_path / "e.fits", clean * 0 + 3.0)
    made = hstcube.open_map([one, two], error=[error, error])
    assert "HC-L07" in made.attrs["history"]
    known = made.wht.values[0] > 0
    np.testing.assert_array_equal(known, clean >= 0.1)
    np.testing.assert_allclose(made.sci.values[0][known], clean[known], rtol=1e-6)
    np.testing.assert_allclose(made.wht.values[0][known], 1 / 18, rtol=1e-6)
    for unit in (f"({UNIT})2", f"({UNIT})**2", "1e-40 erg2 s-2 cm-4"):
        squared = write(tmp_path / f"{len(unit)}.fits", clean * 0 + 9.0, unit=unit)
        again = hstcube.open_map(one, error=squared)
        assert float(again.wht.max()) == pytest.approx(1 / 9)
    odd = write(tmp_path / "odd.fits", clean * 0 + 9.0, unit="mJy")
    refused("HC-L03", lambda: hstcube.open_map(one, error=odd))


def test_a_stale_checksum_is_told(tmp_path):
    path = write(tmp_path / "map.fits", np.ones((31, 31)), checksum=True)
    with fits.open(path, mode="update", checksum="remove") as hdus:
        sums = {"DATASUM": "17", "CHECKSUM": "0" * 16}
        hdus[0].data[3, 3] = np.nan
    with fits.open(path, mode="update") as hdus:
        hdus[0].header.update(sums)
    error = write(tmp_path / "err.fits", np.ones((31, 31)))
    with pytest.warns(HstCubeWarning, match="HC-L19"):
        hstcube.open_map(path, error=error)


def test_bands_must_be_matched_with_their_sky_off_and_their_flux_known(whole):
    plain = cube()
    loose = plain.assign_coords(matched_to=("band", np.array(["", ""], object)))
    refused("HC-L08", lambda: hstcube.fit_line(loose, whole, psf=PSF, keep=KEEP))
    dark = plain.assign_coords(sky=("band", [0.0, np.nan]))
    refused("HC-L08", lambda: hstcube.fit_line(dark, whole, psf=PSF, keep=KEEP), "f160w")
    unknown = plain.drop_vars(["psf", "ky", "kx"]).assign_coords(psf_fwhm=("band", [np.nan] * 2))
    refused("HC-L08", lambda: hstcube.fit_line(unknown, whole, psf=PSF, keep=KEEP))
    rates = plain.assign(
        sci=plain.sci.assign_attrs(units="electron s-1"),
        wht=plain.wht.assign_attrs(units="(electron s-1)-2"),
    ).assign_coords(zeropoint=("band", [np.nan] * 2))
    refused("HC-D30", lambda: hstcube.fit_line(rates, whole, psf=PSF, keep=KEEP))


def test_few_pixels_are_refused(whole):
    few = whole.assign(mask=whole.mask & (np.arange(31) < 15) & (np.arange(31)[:, None] == 15))
    refused("HC-L09", lambda: fitted(few))


def test_a_map_that_is_sharper_than_the_cube_is_refused(whole):
    sharp = whole.assign_coords(smoothed=("band", [0.0]))
    refused("HC-L10", lambda: fitted(sharp, psf="0.1arcsec,beta=2.8"), "narrower")


def test_a_shift_at_the_end_of_its_range_is_refused():
    far = line(Truth(shift=(1.7, 0.0)), 100)
    refused("HC-L11", lambda: fitted(far))
    one = cube().sel(band=["f435w"])
    refused("HC-L11", lambda: hstcube.register_map(one, far, psf=PSF))


def test_a_band_that_misses_a_part_of_the_map_is_named(whole):
    plain = cube()
    half = (np.arange(100) < 55)[None, :] & np.array([True, False])[:, None, None]
    wht = plain.wht.where(~half, 0)
    lost = plain.assign(
        wht=wht.assign_attrs(plain.wht.attrs), sci=plain.sci.where(wht > 0), mask=wht > 0
    )
    refused("HC-L12", lambda: hstcube.fit_line(lost, whole, psf=PSF, keep=KEEP), "f435w")
    fit = hstcube.fit_line(lost, whole, psf=PSF, keep=KEEP, bands="f160w")
    assert np.isfinite(fit.weights).all()


def test_neighbours_inside_the_mask_are_told(whole):
    labels = np.zeros((100, 100), np.int32)
    labels[40:60, 40:60], labels[70:75, 70:75] = 7, 8
    masked = cube().assign(labels=(("y", "x"), labels))
    masked = masked.assign(mask=masked.mask & (labels == 7))
    with pytest.warns(HstCubeWarning, match="HC-L13 25 pixels"):
        fit = hstcube.fit_line(masked, whole, psf=PSF, keep=KEEP)
    assert "HC-L13 25 pixels" in fit.attrs["warnings"]
    assert "HC-L13 25 pixels" in hstcube.line_model(masked, fit).attrs["warnings"]
    fit = hstcube.fit_line(masked, whole, psf=PSF)
    keep = fit.keep.values
    assert keep[50, 35]  # grown
    assert not keep[72, 72]
    touching = np.where(labels == 8, 0, labels)
    touching[40:60, 60:75] = 8
    rim = np.zeros((100, 100), bool)
    rim[39:61, 39:61] = True  # grown by a pixel, into the neighbour
    met = cube().assign(labels=(("y", "x"), touching))
    met = met.assign(mask=met.mask & rim)
    assert not hstcube.fit_line(met, whole, psf=PSF).keep.values[50, 60:75].any()
    no_mask = cube().assign(labels=(("y", "x"), touching))
    assert not hstcube.fit_line(no_mask, whole, psf=PSF).keep.values[50, 60:75].any()


@pytest.mark.parametrize(("simple", "told"), [(0.08, True), (0.095, False), (0.103, False)])
def test_a_simpler_set_that_predicts_better_is_told(whole, monkeypatch, simple, told):
    """Galaxy 37 of tests/ifu/test_real_lines.py shows that it happens."""
    tried = [Tried("all", (0, 1), 0.1), Tried("f435w", (0,), simple), Tried("f160w", (1,), 0.3)]
    monkeypatch.setattr(results, "sets_tried", lambda *_: tried)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit = fitted(whole)
    codes = [one.message.code for one in caught if isinstance(one.message, HstCubeWarning)]
    assert codes == (["HC-L14"] if told else [])
    assert ("f435w predicts it as well" in fit.attrs["verdict"]) is not told


@pytest.mark.parametrize(
    ("name", "bands", "advice"),
    [
        ("f435w", (0,), "bands=['f435w']"),
        ("all, positive", (0, 1), "positive=True"),
        ("all, shift not fitted", (0, 1), "shift="),
    ],
)
def test_the_advice_of_a_better_set_is_how_to_fit_it(whole, monkeypatch, name, bands, advice):
    tried = [Tried("all", (0, 1), 0.1), Tried(name, bands, 0.05)]
    monkeypatch.setattr(results, "sets_tried", lambda *_: tried)
    with pytest.warns(HstCubeWarning, match="HC-L14") as caught:
        fitted(whole)
    assert advice in str(caught[0].message)


def test_a_fit_keeps_what_was_done_to_cube_and_map_and_told_of_them(whole):
    told = {"history": "open_map(2 maps)", "warnings": "HC-L19 a checksum"}
    fit = fitted(whole.assign_attrs(told))
    assert fit.attrs["warnings"] == "HC-L19 a checksum"
    model = hstcube.line_model(cube(), fit)
    steps = [line.partition("(")[0] for line in model.attrs["history"].splitlines()]
    assert steps == ["open_map", "fit_line", "line_model"]


def test_what_a_map_cannot_tell_is_said(whole):
    assert "negative" in fitted(whole.assign(sci=-whole.sci)).attrs["verdict"]
    noise = whole.sci.copy(data=np.random.default_rng(1).normal(size=whole.sci.shape) * 0.1)
    noise = noise.where(whole.wht > 0).astype(np.float32)
    assert "do not show" in fitted(whole.assign(sci=noise)).attrs["verdict"]


def test_a_line_far_from_where_it_was_expected_is_told(whole):
    far = fitted(whole, prior=(0.24, -0.03, 0.02)).attrs["verdict"]
    assert "the line lies 0.2" in far
    assert "expected" not in fitted(whole, prior=(0.05, -0.03, 0.02)).attrs["verdict"]


def test_that_neighbours_are_not_known_is_noted(whole):
    labels = (("y", "x"), np.full((100, 100), 7, np.int32))
    for one, keep, told in (
        (cube(), None, True), (cube(), KEEP, False), (cube().assign(labels=labels), None, False)
    ):  # fmt: skip
        history = hstcube.fit_line(one, whole, psf=PSF, keep=keep).attrs["history"]
        assert ("HC-L20" in history) is told


def test_signs_that_could_imitate_a_shift_are_told(whole):
    with pytest.warns(HstCubeWarning, match="HC-L15"):
        fit = fitted(whole, shift=(0.04, -0.03))
    assert (float(fit.dy), float(fit.dx), float(fit.dy_error)) == (0.04, -0.03, 0.0)


def test_what_does_not_belong_together_is_refused(whole):
    refused("HC-L18", lambda: fitted(whole, shift=(0.1,)))
    refused("HC-L18", lambda: fitted(whole, prior=(0.1, 0.2)))
    refused("HC-L18", lambda: hstcube.line_model(cube(), whole))
    fit = fitted(whole)
    refused("HC-L18", lambda: hstcube.line_model(cube().isel(y=slice(0, 90)), fit))
    refused("HC-L18", lambda: hstcube.line_model(cube().sel(band=["f160w"]), fit))
    refused("HC-L18", lambda: hstcube.register_map(cube(), whole, psf=PSF))


def test_pixels_of_the_object_must_be_given(whole):
    refused("HC-L17", lambda: fitted(whole, keep=KEEP & False))
    refused("HC-L17", lambda: fitted(whole, keep=KEEP[:50]))


def test_a_band_that_is_not_there_is_named(whole):
    refused("HC-B01", lambda: fitted(whole, bands=["f435w", "f999w"]), "f999w")
    one = fitted(whole, bands=["F160W"], keep=cube().mask)
    assert one.band.values.tolist() == ["f160w"]


def test_a_map_of_another_place_is_refused(whole):
    grid = Grid.around((53.2, -27.78), 6.2, 0.2)
    away = whole.assign_coords(grid.coords())
    refused("HC-W15", lambda: fitted(away))


def test_nan_never_reaches_a_sum(whole):
    plain = cube()
    hole = np.zeros((2, 100, 100), bool)
    hole[:, 10:12, 10:12] = True
    wht = plain.wht.where(~hole, 0).assign_attrs(plain.wht.attrs)
    holed = plain.assign(wht=wht, sci=plain.sci.where(~hole), mask=plain.mask & ~hole)
    fit = hstcube.fit_line(holed, whole, psf=PSF, keep=KEEP)
    for name in ("weights", "covariance", "chi2", "dof", "set_nrms", "nrms"):
        assert np.isfinite(fit[name]).all(), name
    for onto in ("hst", "fine", "map"):
        assert np.isfinite(hstcube.line_model(holed, fit, onto=onto).sci).any()


def test_the_model_of_2022_wants_two_cubes_of_one_band(whole):
    one = cube().sel(band=["f160w"])
    for given in (cube(), [cube()], [one], [one, one, one]):
        refused("HC-L18", lambda g=given: hstcube.fit_line(g, whole, psf=PSF, recipe="original"))


@pytest.mark.parametrize(
    ("unit", "scale"),
    [
        ("10**(-20)*erg/s/cm**2", 1.0),
        ("1e-17 erg/s/cm^2/spaxel", 1e-3),
        ("1e-20 erg s-1 cm-2 pixel-1", 1.0),
        ("1e-20 erg s-1 cm-2 arcsec-2", 25.0),
        ("1e-23 W m-2", 1.0),
    ],
)
def test_a_unit_is_read_as_people_write_it(tmp_path, unit, scale):
    """Also of a solid angle; pixels of 0.2 arcsec."""
    path = write(tmp_path / "map.fits", np.full((31, 31), 5 * scale), unit=unit)
    error = write(tmp_path / "err.fits", np.full((31, 31), scale), unit=unit)
    made = hstcube.open_map(path, error=error)
    np.testing.assert_allclose(made.sci, 5, rtol=1e-6)
    np.testing.assert_allclose(made.wht, 1, rtol=1e-6)


def test_a_unit_that_is_not_read_can_be_said(tmp_path):
    path = write(tmp_path / "map.fits", np.full((31, 31), 5), unit="x10^-20 cgs")
    error = write(tmp_path / "err.fits", np.full((31, 31), 1), unit="x10^-20 cgs")
    refused("HC-L04", lambda: hstcube.open_map(path, error=error), "map.fits", "unit=")
    made = hstcube.open_map(path, error=error, unit=UNIT)
    np.testing.assert_allclose(made.wht, 1, rtol=1e-6)


def test_errors_count_in_a_unit_of_their_own(tmp_path):
    path = write(tmp_path / "map.fits", np.full((31, 31), 5), unit=UNIT)
    error = write(tmp_path / "err.fits", np.full((31, 31), 0.02), unit="1e-18 erg s-1 cm-2")
    np.testing.assert_allclose(hstcube.open_map(path, error=error).wht, 0.25, rtol=1e-6)
    error = write(tmp_path / "var.fits", np.full((31, 31), 4e-4), unit="(1e-18 erg s-1 cm-2)**2")
    np.testing.assert_allclose(hstcube.open_map(path, error=error).wht, 0.25, rtol=1e-6)


@pytest.mark.parametrize("unit", [UNIT, f"({UNIT})**2", "1e-40 erg2 s-2 cm-4", ""])
def test_the_extension_stat_is_a_variance_also_with_the_card_of_the_map(tmp_path, unit):
    cards = fits.Header(grids(Truth())[1].cards)
    data = fits.ImageHDU(np.full((31, 31), 5.0), cards, "DATA")
    stat = fits.ImageHDU(np.full((31, 31), 4.0), cards, "STAT")
    data.header["BUNIT"], stat.header["BUNIT"] = UNIT, unit
    fits.HDUList([fits.PrimaryHDU(), data, stat]).writeto(tmp_path / "map.fits")
    np.testing.assert_allclose(hstcube.open_map(tmp_path / "map.fits").wht, 0.25, rtol=1e-6)


def test_a_cube_is_no_map_unless_it_has_one_channel(tmp_path):
    error = write(tmp_path / "err.fits", np.ones((1, 31, 31)), axes=3)
    one = write(tmp_path / "one.fits", np.full((1, 31, 31), 5.0), axes=3)
    assert hstcube.open_map(one, error=error).sizes["y"] == 31
    many = write(tmp_path / "many.fits", np.full((4, 31, 31), 5.0), axes=3)
    refused("HC-L05", lambda: hstcube.open_map(many), "many.fits", "line_map")
