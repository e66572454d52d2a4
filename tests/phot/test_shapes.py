"""Places, regions and apertures are measured by their shares of pixels; they may overlap."""

from __future__ import annotations

import math

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from made import cube_on
from photutils.aperture import CircularAperture, SkyCircularAperture
from regions import (
    CircleAnnulusPixelRegion,
    CirclePixelRegion,
    CircleSkyRegion,
    EllipseSkyRegion,
    LinePixelRegion,
    PixCoord,
    PolygonPixelRegion,
    RectanglePixelRegion,
    Regions,
)
from strategies import plain_grid

import hstcube
from hstcube import Grid, HstCubeError

GRID = plain_grid((40, 44))
MIDDLE = PixCoord(20.3, 18.6)


@pytest.fixture(scope="module")
def cube():
    """Return a cube in which a pixel has the flux 1 electron/s, that is 10**(-0.44) uJy."""
    return cube_on(GRID)


UJY = 10 ** (-0.4 * (25.0 - 23.9))


def code_of(do):
    with pytest.raises(HstCubeError) as caught:
        do()
    assert caught.value.fix
    return caught.value.code


def flux(cube, shapes, **how):
    return hstcube.photometry(cube, shapes, **how)["flux_f160w"].value / UJY


def sky_of(x, y):
    return GRID.wcs.pixel_to_world(x, y)


AREAS = {
    "a circle": (CirclePixelRegion(MIDDLE, 5.3), math.pi * 5.3**2),
    "a small circle": (CirclePixelRegion(MIDDLE, 0.4), math.pi * 0.4**2),
    "a rectangle": (RectanglePixelRegion(MIDDLE, 7.2, 3.1, 30 * u.deg), 7.2 * 3.1),
    "a polygon": (PolygonPixelRegion(PixCoord([10.0, 20, 15], [10.0, 10, 20])), 50.0),
    "an aperture of photutils": (CircularAperture((20.3, 18.6), 5.3), math.pi * 5.3**2),
}
SAMPLED = {
    "a ring": (CircleAnnulusPixelRegion(MIDDLE, 2.0, 4.0), math.pi * 12),
    "two circles": (
        CirclePixelRegion(MIDDLE, 3.0) | CirclePixelRegion(PixCoord(30.0, 30.0), 3.0),
        2 * math.pi * 9,
    ),
}


@pytest.mark.parametrize("name", AREAS)
def test_the_flux_of_a_flat_image_is_the_area(cube, name) -> None:
    shape, area = AREAS[name]
    np.testing.assert_allclose(flux(cube, shape), area, rtol=2e-3)


@pytest.mark.parametrize("name", SAMPLED)
def test_shapes_that_know_points_only_are_good_to_a_percent(cube, name) -> None:
    """Ten points along a pixel: 0.1 to 0.4 % were measured."""
    shape, area = SAMPLED[name]
    np.testing.assert_allclose(flux(cube, shape), area, rtol=0.01)


def test_places_regions_and_apertures_on_the_sky_are_one(cube) -> None:
    sky = sky_of(20.3, 18.6)
    radius = 4 * GRID.scale * u.arcsec
    expected = flux(cube, sky, radius=radius)
    np.testing.assert_allclose(expected, math.pi * 16, rtol=1e-6)
    for shape in (CircleSkyRegion(sky, radius), SkyCircularAperture(sky, radius)):
        np.testing.assert_allclose(flux(cube, shape), expected, rtol=1e-6)
    place = (sky.icrs.ra.deg, sky.icrs.dec.deg)
    np.testing.assert_allclose(flux(cube, place, radius=4 * u.pix), expected, rtol=1e-6)


def test_an_ellipse_lies_as_it_is_drawn(cube) -> None:
    sky = sky_of(20.3, 18.6)
    drawn = EllipseSkyRegion(
        sky, 12 * GRID.scale * u.arcsec, 4 * GRID.scale * u.arcsec, 0 * u.deg
    )  # fmt: skip
    np.testing.assert_allclose(flux(cube, drawn), math.pi * 12, rtol=1e-3)


def test_regions_that_overlap_are_measured_each_by_itself(cube) -> None:
    circles = [CirclePixelRegion(PixCoord(20 + i, 20.0), 5.0) for i in range(3)]
    together = flux(cube, circles)
    np.testing.assert_allclose(together, [flux(cube, one)[0] for one in circles])
    table = hstcube.photometry(cube, circles, covariance=True)
    matrix = table["covariance_f160w"].value
    # of white noise the covariance of two sums is that of the pixels that they share
    assert matrix[0, 1] > 0.5 * matrix[0, 0]
    assert matrix[0, 2] < matrix[0, 1]
    places = SkyCoord([sky_of(20 + i, 20.0) for i in range(3)])
    np.testing.assert_allclose(flux(cube, places, radius=5 * u.pix), together, rtol=1e-5)


def test_the_error_is_that_of_the_shares(cube) -> None:
    """White noise: the variance of a sum is that of the pixels, by their squared shares."""
    found = hstcube.photometry(cube, CirclePixelRegion(MIDDLE, 5.3))
    shares = CirclePixelRegion(MIDDLE, 5.3).to_mask(mode="exact").data
    expected = math.sqrt((shares**2).sum()) * 0.5 * UJY  # wht is 4
    np.testing.assert_allclose(found["error_f160w"].value, expected, rtol=1e-5)
    group = hstcube.group_errors(cube, [CirclePixelRegion(MIDDLE, 5.3)])
    np.testing.assert_allclose(group.sel(band="f160w") * UJY, expected, rtol=1e-5)


def test_excluded_regions_of_ds9_are_holes(cube) -> None:
    text = "image\ncircle(21.3,19.6,5)\n-circle(21.3,19.6,2)\ncircle(35,30,3)"
    regions = Regions.parse(text, format="ds9")
    np.testing.assert_allclose(flux(cube, regions), [math.pi * 21, math.pi * 9], rtol=1e-3)
    assert code_of(lambda: flux(cube, Regions([regions[1]]))) == "HC-S20"


def test_a_region_that_reaches_beyond_the_frame_has_no_flux(cube) -> None:
    for shape in (
        CirclePixelRegion(PixCoord(1.0, 20.0), 5.0),
        CircleAnnulusPixelRegion(PixCoord(1.0, 20.0), 2.0, 5.0),
        CircularAperture((1.0, 20.0), 5.0),
    ):
        assert np.isnan(flux(cube, shape)).all()
        assert (flux(cube, shape, partial=True) > 30).all()
    assert np.isnan(flux(cube, sky_of(1.0, 20.0), radius=5 * u.pix)).all()


def test_what_holds_no_pixel_is_refused(cube) -> None:
    far = CirclePixelRegion(PixCoord(500.0, 20.0), 5.0)
    assert code_of(lambda: flux(cube, far)) == "HC-S20"
    assert code_of(lambda: flux(cube, [CirclePixelRegion(MIDDLE, 3.0), far])) == "HC-S20"
    line = LinePixelRegion(MIDDLE, PixCoord(30.0, 30.0))
    assert code_of(lambda: flux(cube, line)) == "HC-S20"
    assert code_of(lambda: flux(cube, sky_of(500.0, 20.0), radius=0.3)) == "HC-S20"
    assert code_of(lambda: flux(cube, sky_of(20.0, 20.0))) == "HC-N01"


def test_an_aperture_of_several_places_is_several(cube) -> None:
    several = CircularAperture([(10.0, 10.0), (30.0, 30.0)], 3.0)
    np.testing.assert_allclose(flux(cube, several), [math.pi * 9] * 2, rtol=1e-6)


def test_a_slice_measures_the_same_sky(cube) -> None:
    sky = sky_of(20.3, 18.6)
    piece = cube.isel(y=slice(5, 35), x=slice(8, 40))
    shape = CircleSkyRegion(sky, 4 * GRID.scale * u.arcsec)
    np.testing.assert_allclose(flux(piece, shape), flux(cube, shape), rtol=1e-6)
    assert Grid.of(piece) != GRID
