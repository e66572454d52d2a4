"""Apertures and rings that hold shares of pixels: photutils' areas and sums, and exact errors."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from made import code_of, cube_on
from strategies import plain_grid

import hstcube
from hstcube import Grid

SHAPE = (41, 43)


@pytest.fixture
def cube():
    rng = np.random.default_rng(8)
    sci, wht = rng.normal(5, 1, (1, *SHAPE)), rng.uniform(1, 3, (1, *SHAPE))
    return cube_on(plain_grid(SHAPE), ("f160w",), sci, wht, zeropoint=[23.9])


def sky(cube, y, x):
    return Grid.of(cube).wcs.pixel_to_world(x, y)


def theirs(y, x, a, b, turn):
    """Return the shares of photutils, for a major axis turned from +x [rad]."""
    from photutils.aperture import EllipticalAperture

    return EllipticalAperture((x, y), a, b, theta=turn).to_mask(method="exact").to_image(SHAPE)


@pytest.mark.parametrize(
    ("radius", "ratio"), [(0.3, 1), (1.7, 1), (3.3, 1), (9.2, 0.5), (6.0, 0.15)]
)
def test_shares_are_the_areas_of_photutils(cube, radius, ratio):
    """Position angle 0 is north, +y on this grid."""
    scale = Grid.of(cube).scale
    place = sky(cube, 19.3, 21.6)
    for angle in (0.0, 33.0, 120.0):
        made = hstcube.apertures(
            cube, place, radius=radius * scale, ratio=ratio, angle=angle, overlap="exact"
        )
        turn = np.deg2rad(90 + angle)
        expected = theirs(19.3, 21.6, radius, radius * ratio, turn)
        np.testing.assert_allclose(made.values[0], expected, atol=1e-6)


def test_sums_and_errors_are_those_of_photutils(cube):
    from photutils.aperture import CircularAperture, aperture_photometry

    scale = Grid.of(cube).scale
    made = hstcube.apertures(cube, sky(cube, 20.4, 18.1), radius=3.4 * scale, overlap="exact")
    table = hstcube.photometry(cube, made, pixels="data")
    sci, sigma = cube.sci.values[0].astype(float), cube.wht.values[0].astype(float) ** -0.5
    aperture = CircularAperture((18.1, 20.4), 3.4)
    flux = aperture_photometry(sci, aperture, method="exact")["aperture_sum"][0]
    assert table["flux_f160w"][0].value == pytest.approx(flux, rel=1e-6)
    assert table["npix"][0] == pytest.approx(np.pi * 3.4**2, rel=1e-6)
    assert table["area"][0].value == pytest.approx(np.pi * (3.4 * scale) ** 2, rel=1e-6)
    # the weights of a sum stand in its variance as squares
    error = np.sqrt(np.sum((theirs(20.4, 18.1, 3.4, 3.4, 0) * sigma) ** 2))
    assert table["error_f160w"][0].value == pytest.approx(error, rel=1e-6)
    middle = SkyCoord(table["ra"], table["dec"])[0]
    # that of the pixels' shares, each at its pixel's centre
    assert middle.separation(sky(cube, 20.4, 18.1)).arcsec < 0.01 * scale


def test_errors_of_shares_in_correlated_noise_are_exact(cube):
    """Of two overlapping apertures, against the covariance matrix of all pixels."""
    lags = np.exp(-0.5 * (np.hypot(*np.mgrid[-4:5, -4:5]) / 1.3) ** 2)
    steps = np.arange(-4, 5) * Grid.of(cube).scale
    noisy = cube.assign_coords(
        noise_scale=("band", [1.4]),
        noise_acf=(("band", "dy", "dx"), lags[None].astype(np.float32)),
        dy=steps,
        dx=steps,
        sky_error=("band", [0.01]),
    )
    places = [sky(cube, 20.2, 20.7), sky(cube, 23.1, 21.9)]
    radii = np.array([2.6, 3.1]) * Grid.of(cube).scale
    shares = hstcube.apertures(noisy, SkyCoord(places), radius=radii, overlap="exact")
    y, x = np.divmod(np.arange(np.prod(SHAPE)), SHAPE[1])
    dy, dx = y[:, None] - y, x[:, None] - x
    near = (np.abs(dy) <= 4) & (np.abs(dx) <= 4)
    rho = np.where(near, lags[np.clip(dy + 4, 0, 8), np.clip(dx + 4, 0, 8)], 0)
    weights = shares.values.reshape(2, -1)
    sigma = weights * 1.4 / np.sqrt(cube.wht.values.ravel().astype(float))
    number = weights.sum(1)
    expected = sigma @ rho @ sigma.T + np.outer(number, number) * 0.01**2
    made = hstcube.group_errors(noisy, shares, covariance=True).values[0]
    np.testing.assert_allclose(made, expected, rtol=1e-5)
    alone = hstcube.group_errors(noisy, shares).values[0]
    np.testing.assert_allclose(alone, np.sqrt(np.diag(expected)), rtol=1e-5)


def test_rings_of_shares_add_up_to_the_disc(cube):
    place, scale = sky(cube, 20.4, 18.1), Grid.of(cube).scale
    edges = np.array([0, 1.2, 2.9, 5.3]) * scale
    rings = hstcube.annuli(cube, place, edges=edges, overlap="exact")
    disc = hstcube.apertures(cube, place, radius=edges[-1], overlap="exact")
    np.testing.assert_allclose(rings.sum("group").values, disc.values[0], atol=1e-12)
    profile = hstcube.radial_profile(cube, place, edges=edges, overlap="exact")
    growth = hstcube.curve_of_growth(cube, place, radii=edges[1:], overlap="exact")
    summed = np.cumsum(profile.brightness.values * profile.npix.values * scale**2, axis=1)
    np.testing.assert_allclose(summed, growth.flux.values, rtol=1e-6)


def test_a_sum_of_shares_does_not_depend_on_the_place_in_the_pixel(cube):
    """Whole pixels scatter by several percent at three pixels of radius."""
    flat = cube.assign(sci=cube.sci * 0 + 1)
    flat.sci.attrs.update(cube.sci.attrs)
    found = {"exact": [], "center": []}
    for y, x in np.random.default_rng(2).uniform(19, 22, (30, 2)):
        for overlap, sums in found.items():
            groups = hstcube.apertures(flat, sky(cube, y, x), radius="200mas", overlap=overlap)
            sums.append(hstcube.photometry(flat, groups)["flux_f160w"][0].value)
    scatter = {name: np.std(sums) / np.mean(sums) for name, sums in found.items()}
    assert scatter["exact"] < 1e-6
    assert scatter["center"] > 0.02


def test_an_aperture_over_the_rim_is_cut_and_one_outside_refused(cube):
    scale = Grid.of(cube).scale
    rim = hstcube.apertures(cube, sky(cube, 1.0, 20), radius=2 * scale, overlap="exact")
    assert rim.attrs["cut"] == [1]
    inside = hstcube.apertures(cube, sky(cube, 1.6, 20), radius=2 * scale, overlap="exact")
    assert "cut" not in inside.attrs
    assert np.isnan(hstcube.photometry(cube, rim)["flux_f160w"][0])
    away = sky(cube, -9.0, 20)
    assert code_of(lambda: hstcube.apertures(cube, away, radius=0.1, overlap="exact")) == "HC-S20"


def test_whole_pixels_are_wanted_where_shares_are_no_answer(cube):
    shares = hstcube.apertures(cube, sky(cube, 20, 20), radius=0.3, overlap="exact")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert code_of(lambda: hstcube.paint(cube, shares, [1.0])) == "HC-N01"
    wrong = shares * 2
    assert code_of(lambda: hstcube.photometry(cube, wrong)) == "HC-N01"
    assert code_of(lambda: hstcube.photometry(cube, shares * 0)) == "HC-N02"
