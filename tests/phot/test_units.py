"""Physical units: zero points from the header, flux densities, brightness, the Galaxy's dust."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import xarray as xr
from astropy import constants
from astropy import units as u
from stamps import rewrite, stamp, write_field
from strategies import plain_grid

import hstcube
from hstcube import HstCubeError, HstCubeWarning
from hstcube.phot.units import header_zeropoints, unit_zeropoint

BANDS = ["f435w", "f814w", "f160w"]
ZEROPOINTS = [25.68, 25.94, 25.94]  # XDF, Illingworth et al. 2013


@pytest.fixture
def cube():
    rng = np.random.default_rng(1)
    shape = (3, 12, 13)
    return hstcube.build(
        rng.normal(size=shape), np.full(shape, 1e6), bands=BANDS, grid=plain_grid(shape[1:]),
        units="electron s-1",
        zeropoint=ZEROPOINTS, sky=[1e-3, 2e-3, 3e-3], sky_error=[1e-5, 2e-5, 3e-5],
    )  # fmt: skip


def code_of(action):
    with pytest.raises(HstCubeError) as caught:
        action()
    return caught.value.code


def test_one_count_of_a_zero_point_is_its_magnitude_in_microjansky(cube):
    flux = hstcube.to_flux(cube, "uJy")
    factor = (np.array(ZEROPOINTS) * u.ABmag).to_value("uJy")  # astropy's AB system
    assert np.allclose(flux.sci.values, cube.sci.values * factor[:, None, None], rtol=1e-6)
    assert np.allclose(flux.wht.values, cube.wht.values / factor[:, None, None] ** 2, rtol=1e-6)
    assert np.allclose(flux.sky.values, cube.sky.values * factor)
    assert np.allclose(flux.sky_error.values, cube.sky_error.values * factor)
    assert flux.zeropoint.values.tolist() == [23.9] * 3
    assert (flux.sci.attrs["units"], flux.wht.attrs["units"]) == ("uJy", "uJy-2")
    assert cube.sci.attrs["units"] == "electron s-1"


@pytest.mark.parametrize(
    "unit",
    [
        "nJy",
        "Jy",
        "erg s-1 cm-2 Hz-1",
        "1e-20 erg s-1 cm-2 AA-1",
        "MJy sr-1",
        "uJy arcsec-2",
        "W m-2 um-1",
    ],
)
@pytest.mark.filterwarnings("ignore:.*HC-D32")
def test_every_unit_leads_back_to_the_same_flux(cube, unit):
    flux = hstcube.to_flux(cube, "uJy")
    back = hstcube.to_flux(hstcube.to_flux(cube, unit), "uJy")
    assert np.allclose(back.sci.values, flux.sci.values, rtol=2e-6)
    assert np.allclose(back.wht.values, flux.wht.values, rtol=2e-6)
    assert np.allclose(back.zeropoint.values, 23.9)


def test_a_flux_per_wavelength_is_that_of_astropy_at_the_pivot(cube):
    flux = hstcube.to_flux(cube, "1e-20 erg s-1 cm-2 AA-1")
    one = (np.array(ZEROPOINTS) * u.ABmag).to(
        "erg s-1 cm-2 AA-1", u.spectral_density(cube.pivot.values * u.AA)
    )
    assert np.allclose(
        flux.sci.values, cube.sci.values * one.value[:, None, None] * 1e20, rtol=1e-5
    )


def test_weights_too_large_for_float32_make_the_unit_smaller_and_say_so(cube):
    with pytest.warns(HstCubeWarning, match="HC-D32"):
        flux = hstcube.to_flux(cube, "erg s-1 cm-2 AA-1")
    assert u.Unit(flux.sci.attrs["units"]) == u.Unit("1e-20 erg s-1 cm-2 AA-1")
    assert flux.identical(flux.pipe(hstcube.validate))
    assert np.allclose(flux.sci.values, hstcube.to_flux(cube, "1e-20 erg s-1 cm-2 AA-1").sci.values)


def test_surface_brightness_is_the_flux_over_the_area_of_a_pixel(cube):
    per_pixel, per_area = hstcube.to_flux(cube, "uJy"), hstcube.to_flux(cube, "uJy arcsec-2")
    assert np.allclose(per_area.sci.values * 0.06**2, per_pixel.sci.values, rtol=1e-6)
    assert np.allclose(per_area.wht.values / 0.06**4, per_pixel.wht.values, rtol=1e-6)
    mega = hstcube.to_flux(cube, "MJy sr-1")
    assert np.allclose(
        mega.sci.values * (1 * u.MJy / u.sr).to_value("uJy arcsec-2"),
        per_area.sci.values,
        rtol=1e-5,
    )


def test_the_same_unit_changes_no_bit(cube):
    flux = hstcube.to_flux(cube, "uJy")
    again = hstcube.to_flux(flux, "uJy")
    assert again.sci.values.tobytes() == flux.sci.values.tobytes()
    assert again.wht.values.tobytes() == flux.wht.values.tobytes()


def test_units_are_changed_lazily(cube):
    lazy = cube.chunk({"y": 5, "x": 6})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        flux = hstcube.deredden(hstcube.to_flux(lazy, "nJy"), 0.01)
    assert flux.sci.chunks
    xr.testing.assert_allclose(flux.compute(), hstcube.deredden(hstcube.to_flux(cube, "nJy"), 0.01))


def test_a_band_without_a_zero_point_is_named(cube):
    unknown = cube.assign_coords(zeropoint=("band", [25.0, np.nan, 26.0], cube.zeropoint.attrs))
    with pytest.raises(HstCubeError, match="f814w") as caught:
        hstcube.to_flux(unknown)
    assert caught.value.code == "HC-D30"


def test_what_is_no_flux_density_is_refused(cube):
    assert code_of(lambda: hstcube.to_flux(cube, "electron s-1")) == "HC-D33"
    assert code_of(lambda: hstcube.to_flux(cube, "L_sun")) == "HC-D33"
    assert code_of(lambda: hstcube.to_flux(cube, "microjanskies")) == "HC-C04"
    lost = cube.assign_coords(pivot=("band", [np.nan, 8e3, 1.5e4], cube.pivot.attrs))
    assert code_of(lambda: hstcube.to_flux(lost, "erg s-1 cm-2 AA-1")) == "HC-D36"
    assert hstcube.to_flux(lost, "uJy").zeropoint.values.tolist() == [23.9] * 3


def test_the_unit_of_a_flux_wins_over_a_zero_point_that_contradicts_it(cube):
    flux = hstcube.to_flux(cube, "uJy")
    odd = flux.assign_coords(zeropoint=("band", [23.9, 25.0, 23.9], flux.zeropoint.attrs))
    with pytest.warns(HstCubeWarning, match="HC-D31 f814w"):
        again = hstcube.to_flux(odd, "nJy")
    assert np.allclose(again.sci.values, flux.sci.values * 1e3, rtol=1e-6)


@pytest.mark.parametrize(
    ("cards", "zeropoint"),
    [
        ({"ABZP": 25.9463}, 25.9463),
        # WFC3/IR F160W as its pipeline writes it: 25.94 AB (WFC3 ISR 2020-10)
        ({"PHOTFLAM": 1.9429001e-20, "PHOTPLAM": 15369.17}, 25.94),
        ({"PHOTFNU": 1.51949e-07}, 25.946),
    ],
)
def test_zero_points_are_read_from_the_header(tmp_path, cards, zeropoint):
    write_field(tmp_path, bands=("f160w",))
    rewrite(stamp(tmp_path, "f160w"), cards=cards)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HstCubeWarning)
        cube = hstcube.open_field(tmp_path, "1")
    assert float(cube.zeropoint[0]) == pytest.approx(zeropoint, abs=0.01)


# PHOTFLAM and PHOTPLAM of images, and STScI's tables: WFC3/IR of March 2012, ACS/WFC since 2009
@pytest.mark.parametrize(
    ("flam", "plam", "published"),
    [(1.9275602e-20, 15369.176, 25.9463), (7.8624958e-20, 5921.1, 26.4911)],
    ids=["f160w", "f606w"],
)
def test_the_zero_point_by_photflam_is_the_ab_magnitude_of_its_flux(flam, plam, published):
    """AB: -2.5 log10(f_nu) - 48.60, f_nu in erg s-1 cm-2 Hz-1 (Oke & Gunn 1983, ApJ 266, 713)."""
    flux = (flam * u.Unit("erg s-1 cm-2 AA-1") * (plam * u.AA) ** 2 / constants.c).cgs
    cards = {"PHOTFLAM": flam, "PHOTPLAM": plam}
    (zeropoint,) = header_zeropoints(cards, "electron s-1", plam).values()
    assert zeropoint == pytest.approx(-2.5 * np.log10(flux.value) - 48.60, abs=1e-3)
    assert zeropoint == pytest.approx(published, abs=1e-3)


def test_the_cards_of_one_image_give_one_zero_point():
    """PHOTFLAM, PHOTPLAM and PHOTFNU of WFC3/IR F160W, as calwf3 wrote them in 2012."""
    cards = {"PHOTFLAM": 1.9275602e-20, "PHOTPLAM": 15369.176, "PHOTFNU": 1.5187570e-07}
    one, two = header_zeropoints(cards, "electron s-1", 15369.2).values()
    assert one == pytest.approx(two, abs=1e-3)


def test_a_zero_point_that_no_unit_has_is_refused():
    assert header_zeropoints({"ABZP": 99.5}, "electron s-1", 1e4) == {"ABZP": 99.5}
    assert code_of(lambda: header_zeropoints({"ABZP": 100.5}, "electron s-1", 1e4)) == "HC-D22"


def test_two_zero_points_that_disagree_are_told(tmp_path):
    write_field(tmp_path, bands=("f160w",))
    rewrite(stamp(tmp_path, "f160w"), cards={"ABZP": 25.94, "PHOTFNU": 1.6e-7, "XDFVER": ""})
    with pytest.warns(HstCubeWarning, match="HC-D31"):
        cube = hstcube.open_field(tmp_path, "1")
    assert float(cube.zeropoint[0]) == 25.94
    assert (
        "HC-D31 f160w: the zero point by ABZP is 25.94, by PHOTFNU 25.89" in cube.attrs["warnings"]
    )
    rewrite(
        stamp(tmp_path, "f160w"), cards={"PHOTFNU": 10 ** (-0.4 * (25.94 - 8.90 + 0.02))}
    )  # within 0.03 mag
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HstCubeWarning)
        assert "HC-D31" not in hstcube.open_field(tmp_path, "1").attrs["warnings"]


def test_a_flux_unit_in_the_header_is_a_zero_point(tmp_path):
    write_field(tmp_path, bands=("f160w",))
    for kind in ("sci", "wht"):
        rewrite(stamp(tmp_path, "f160w", kind), cards={"BUNIT": "nJy"})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HstCubeWarning)
        assert float(hstcube.open_field(tmp_path, "1").zeropoint[0]) == pytest.approx(31.4)
    assert header_zeropoints({"PHOTFNU": -1.0}, "electron s-1", 1e4) == {}
    with pytest.raises(hstcube.HstCubeError, match="HC-D22"):
        header_zeropoints({"ABZP": "a text"}, "electron s-1", 1e4)
    assert unit_zeropoint("electron s-1", [1e4]) is None


def test_extinction_follows_the_laws_of_the_papers(cube):
    """A_V = 3.1 E(B-V); CCM89 table 3: A/A_V is 0.190 in H (1.65 micron), 1.337 in B (0.44)."""
    made = cube.assign_coords(pivot=("band", [4400.0, 5500.0, 16500.0], cube.pivot.attrs))
    curve = hstcube.deredden(made, 1.0, law="CCM89").extinction.values / 3.1
    assert curve == pytest.approx([1.337, 1.0, 0.190], abs=0.02)
    assert hstcube.deredden(made, 1.0).extinction.values / 3.1 == pytest.approx(
        [1.33, 1.0, 0.19], abs=0.05
    )


def test_where_the_law_is_normalized_the_extinction_is_3_1_times_the_reddening(cube):
    """CCM89, eq. 3: a = 1 and b = 0 at 1.82 per micron, so A is A_V = R_V E(B-V) there."""
    made = cube.assign_coords(pivot=("band", [4400.0, 1e4 / 1.82, 16500.0], cube.pivot.attrs))
    extinction = hstcube.deredden(made, 0.1, law="CCM89").extinction.values
    assert extinction[1] == pytest.approx(0.31, rel=1e-3)


def test_dereddening_brightens_all_that_is_a_flux_and_nothing_else(cube):
    clean = hstcube.deredden(cube, 0.1, law="CCM89")
    gain = 10 ** (0.4 * clean.extinction.values)
    assert (gain > 1).all()
    assert np.allclose(clean.sci.values, cube.sci.values * gain[:, None, None], rtol=1e-6)
    assert np.allclose(clean.wht.values, cube.wht.values / gain[:, None, None] ** 2, rtol=1e-6)
    assert np.allclose(clean.sky_error.values, cube.sky_error.values * gain)
    assert clean.zeropoint.identical(cube.zeropoint.assign_coords(extinction=clean.extinction))
    assert "deredden(ebv=0.1, law='CCM89')" in clean.attrs["history"]
    assert hstcube.deredden(cube, 0.0).sci.values.tobytes() == cube.sci.values.tobytes()


def test_an_impossible_extinction_is_refused(cube):
    once = hstcube.deredden(cube, 0.01)
    assert code_of(lambda: hstcube.deredden(once, 0.01)) == "HC-D34"
    for value in (np.nan, -0.1, "0.1", np.inf):
        assert code_of(lambda value=value: hstcube.deredden(cube, value)) == "HC-D35"
    with pytest.raises(HstCubeError, match="choose law= from 'F19', 'CCM89'") as caught:
        hstcube.deredden(cube, 0.1, law="F99")
    assert caught.value.code == "HC-B30"
    assert code_of(lambda: hstcube.deredden(cube, 0.1, law="SMC")) == "HC-B30"
    far = cube.assign_coords(pivot=("band", [500.0, 8e3, 1.5e4], cube.pivot.attrs))
    assert code_of(lambda: hstcube.deredden(far, 0.1)) == "HC-D36"
