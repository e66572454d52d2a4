"""Apertures, annuli, profiles and curves of growth; values put back on the pixels."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from astropy import units as u
from astropy.coordinates import SkyCoord
from hypothesis import given
from hypothesis import strategies as st
from made import code_of, cube_on
from strategies import examples, grids, plain_grid

import hstcube
from hstcube import Grid, HstCubeError
from hstcube.phot.bins import group_snr

SHAPE = (41, 43)
RA, DEC = (
    53.16 - 20 * 0.06 / 3600 / np.cos(np.deg2rad(-27.79)),
    -27.79 + 20 * 0.06 / 3600,
)  # pixel (20, 20), nearly


@pytest.fixture
def cube():
    return cube_on(plain_grid(SHAPE))


def test_a_circular_aperture_holds_the_pixels_that_photutils_finds(cube):
    from photutils.aperture import SkyCircularAperture

    place = SkyCoord(RA, DEC, unit="deg")
    found = hstcube.apertures(cube, place, radius=0.61)
    pixels = (
        SkyCircularAperture(place, 0.61 * u.arcsec)
        .to_pixel(Grid.of(cube).wcs)
        .to_mask(method="center")
    )
    assert np.array_equal(found.values > 0, pixels.to_image(SHAPE) > 0)
    assert found.dtype == np.int32
    assert "cut" not in found.attrs


def test_an_ellipse_turns_with_its_position_angle_as_photutils_does(cube):
    from photutils.aperture import SkyEllipticalAperture

    place = SkyCoord(RA, DEC, unit="deg")
    for angle in (0.0, 30.0, 100.0):
        found = hstcube.apertures(cube, place, radius=0.9, ratio=0.4, angle=angle)
        shape = SkyEllipticalAperture(place, 0.9 * u.arcsec, 0.36 * u.arcsec, theta=angle * u.deg)
        image = shape.to_pixel(Grid.of(cube).wcs).to_mask(method="center").to_image(SHAPE)
        assert np.mean((found.values > 0) != (image > 0)) < 0.003


@examples(25)
@given(grid=grids(shape=(31, 33)), angle=st.floats(0, 180))
def test_an_aperture_is_the_same_on_every_grid(grid, angle):
    """North and east are on the sky: turned, flipped or sliced pixels show the same ellipse."""
    made = cube_on(grid, bands=("f160w",))
    middle = grid.wcs.pixel_to_world(16, 15)
    found = hstcube.apertures(made, middle, radius=9 * grid.scale, ratio=0.5, angle=angle).values
    y, x = np.nonzero(found)
    sky = grid.wcs.pixel_to_world(x, y)
    turn = middle.position_angle(sky).rad - np.deg2rad(angle)
    away = middle.separation(sky).arcsec
    inside = np.hypot(away * np.cos(turn), away * np.sin(turn) / 0.5)
    assert inside.max() <= 9 * grid.scale * 1.01
    assert found.sum() == pytest.approx(np.pi * 81 * 0.5, rel=0.12)
    part = made.isel(y=slice(4, None), x=slice(None, None, -1))
    again = hstcube.apertures(part, middle, radius=9 * grid.scale, ratio=0.5, angle=angle).values
    assert np.mean(again != found[4:, ::-1]) < 0.01


def test_apertures_that_overlap_are_refused_or_shared_out(cube):
    places = [(RA, DEC), (RA, DEC + 0.4 / 3600)]
    assert code_of(lambda: hstcube.apertures(cube, places, radius=0.3)) == "HC-S21"
    shared = hstcube.apertures(cube, places, radius=0.3, overlap="nearest").values
    rows = np.nonzero(shared == 1)[0], np.nonzero(shared == 2)[0]
    assert rows[0].max() <= rows[1].min() + 3
    assert set(np.unique(shared)) == {0, 1, 2}


def test_an_aperture_beyond_the_frame_is_marked_and_one_outside_refused(cube):
    corner = Grid.of(cube).wcs.pixel_to_world(1, 1)
    assert hstcube.apertures(cube, corner, radius=0.5).attrs["cut"] == [1]
    assert code_of(lambda: hstcube.apertures(cube, (RA + 1, DEC), radius=0.5)) == "HC-S20"
    assert code_of(lambda: hstcube.annuli(cube, (RA + 1, DEC), edges=[0, 0.5])) == "HC-S20"


def test_impossible_apertures_are_refused(cube):
    for radius in (0.0, -1.0, np.nan):
        assert (
            code_of(lambda radius=radius: hstcube.apertures(cube, (RA, DEC), radius=radius))
            == "HC-B31"
        )
    assert code_of(lambda: hstcube.apertures(cube, (RA, DEC), radius=0.3, ratio=0)) == "HC-B31"
    assert code_of(lambda: hstcube.apertures(cube, "the centre", radius=0.3)) == "HC-B31"
    assert code_of(lambda: hstcube.annuli(cube, (RA, DEC), edges=[0.3, 0.2])) == "HC-B31"


def test_annuli_share_out_the_disc(cube):
    rings = hstcube.annuli(cube, (RA, DEC), edges=[0, 0.2, 0.5, 0.9])
    disc = hstcube.apertures(cube, (RA, DEC), radius=0.9)
    assert np.array_equal(rings.values > 0, disc.values > 0)
    assert np.array_equal(
        rings.values == 1, hstcube.apertures(cube, (RA, DEC), radius=0.2).values > 0
    )


def test_a_constant_has_a_flat_profile_and_a_growing_curve(cube):
    profile = hstcube.radial_profile(cube, (RA, DEC), edges=[0, 0.2, 0.5, 0.9])
    assert np.allclose(profile.brightness, 1 / 0.06**2)
    assert profile.brightness.attrs["units"] == "electron s-1 arcsec-2"
    assert np.allclose(profile.error, 0.5 / np.sqrt(profile.npix) / 0.06**2)  # white noise
    curve = hstcube.curve_of_growth(cube, (RA, DEC), radii=[0.2, 0.5, 0.9])
    assert np.allclose(curve.flux, curve.npix)
    assert np.allclose(curve.error, 0.5 * np.sqrt(curve.npix))
    assert np.allclose(curve.npix[0], np.cumsum(profile.npix[0]))


def test_a_ring_without_pixels_or_data_is_nan(cube):
    empty = cube.wht.where(cube.band != "f606w", 0)
    lost = cube.assign(wht=empty, sci=cube.sci.where(empty > 0), mask=empty > 0)
    profile = hstcube.radial_profile(lost, (RA, DEC), edges=[0, 0.5, 0.501, 0.9])
    assert np.isnan(profile.brightness.sel(band="f606w")).all()
    assert np.isnan(profile.brightness.sel(band="f160w").values[1])
    assert profile.npix.values.tolist()[0] == [0, 0, 0]


def test_the_common_mask_is_what_all_bands_have(cube):
    wht = cube.wht.values.copy()
    wht[0, :5], wht[1, :, :7] = 0, 0
    made = cube_on(Grid.of(cube), wht=wht, sci=np.where(wht > 0, 1.0, np.nan))
    assert np.array_equal(hstcube.common_mask(made), (wht > 0).all(axis=0))
    assert np.array_equal(hstcube.common_mask(made, bands=["F160W"]), wht[1] > 0)
    assert code_of(lambda: hstcube.common_mask(made, bands=["f999w"])) == "HC-B01"
    assert code_of(lambda: hstcube.common_mask(made, bands=[])) == "HC-B01"


def test_painting_puts_each_value_on_its_pixels(cube):
    groups = np.zeros(SHAPE, np.int32)
    groups[3:6, 4:9], groups[10:12, :3] = 7, 2
    painted = hstcube.paint(cube, groups, [0.5, -1.5] * u.arcsec)
    assert (painted.values[groups == 2] == 0.5).all()
    assert (painted.values[groups == 7] == -1.5).all()
    assert np.isnan(painted.values[groups == 0]).all()
    assert painted.attrs["units"] == "arcsec"
    assert Grid.of(painted) == Grid.of(cube)
    xr.testing.assert_equal(hstcube.paint(cube, groups, {2: 0.5, 7: -1.5, 9: 0.0}), painted)
    assert code_of(lambda: hstcube.paint(cube, groups, [1.0])) == "HC-S23"
    assert code_of(lambda: hstcube.paint(cube, groups, {2: 1.0})) == "HC-S23"


def test_maps_that_are_no_group_maps_are_refused(cube):
    whole = np.ones(SHAPE, np.int32)
    assert code_of(lambda: hstcube.photometry(cube, whole[1:])) == "HC-D01"
    other = hstcube.apertures(cube.isel(y=slice(1, None)), (RA, DEC), radius=0.5)
    assert code_of(lambda: hstcube.photometry(cube, other)) == "HC-D02"
    turned = xr.DataArray(whole, plain_grid(SHAPE, scale=0.03).coords(), ("y", "x"))
    assert code_of(lambda: hstcube.photometry(cube, turned)) == "HC-D02"
    assert code_of(lambda: hstcube.photometry(cube, whole * 1.5)) == "HC-N01"
    assert code_of(lambda: hstcube.photometry(cube, whole * 0)) == "HC-N02"
    assert code_of(lambda: group_snr(cube, whole[1:])) == "HC-D01"


@pytest.mark.parametrize(
    "action",
    [
        lambda cube, place: hstcube.apertures(cube, place, radius=0.3, overlap="first"),
        lambda cube, place: hstcube.radial_profile(cube, place, edges=[0, 0.3], pixels="masks"),
        lambda cube, place: hstcube.curve_of_growth(cube, place, radii=[0.3], pixels="masked"),
        lambda cube, place: hstcube.photometry(
            cube, hstcube.apertures(cube, place, radius=0.3), pixels="masks"
        ),
    ],
    ids=["overlap", "radial_profile", "curve_of_growth", "photometry"],
)
def test_a_misspelt_choice_is_refused_with_the_choices(cube, action):
    with pytest.raises(HstCubeError, match=r"HC-B22 there is no .*\s+fix: choose \w+= from"):
        action(cube, (RA, DEC))
