"""Maps made of small cubes of spectra: linear, unbiased, with errors that hold."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

import hstcube
from hstcube.core.grids import Grid
from hstcube.errors import HstCubeError, HstCubeWarning

LINE, STEP = 6000.0, 1.25
SIDES = ((5970.0, 5985.0), (6015.0, 6030.0))


def spectra(path, data, variance, unit="1e-20 erg s-1 cm-2 AA-1", **cards):
    grid = Grid.around((53.16, -27.78), 2.0, 0.2)
    header = fits.Header([*grid.cards, ("BUNIT", unit)])
    header["WCSAXES"] = 3
    header.update(CTYPE3="AWAV", CUNIT3="Angstrom", CRVAL3=LINE, CRPIX3=26.0, CD3_3=STEP)
    header.update(cards)
    fits.HDUList(
        [
            fits.PrimaryHDU(),
            fits.ImageHDU(data, header, name="DATA"),
            fits.ImageHDU(variance, name="STAT"),
        ]
    ).writeto(path, overwrite=True)
    return path


def made_of(flux, level, slope, noise=0.0, seed=0):
    """Return channels of a Gaussian line of sigma 2 Angstrom on a straight continuum."""
    x = (np.arange(51) - 25) * STEP
    profile = np.exp(-0.5 * (x / 2) ** 2) / (2 * np.sqrt(2 * np.pi))
    one = (flux * profile + level + slope * x)[:, None, None]
    return one + noise * np.random.default_rng(seed).normal(size=(51, 10, 10))


def test_a_line_on_a_sloping_continuum_comes_out_whole(tmp_path):
    path = spectra(tmp_path / "c.fits", made_of(50.0, 3.0, 0.1), np.ones((51, 10, 10)))
    made = hstcube.line_map(path, LINE, 20.0, SIDES, name="halpha")
    assert made.band.values.tolist() == ["halpha", "continuum"]
    np.testing.assert_allclose(made.sci.values[0], 50.0, rtol=1e-4)
    np.testing.assert_allclose(made.sci.values[1], 60.0, rtol=1e-4)  # of 3 in 20 Angstrom
    parts = hstcube.line_map(path, LINE, 19.3, SIDES)  # parts of channels
    np.testing.assert_allclose(parts.sci.values[1], 3 * 19.3, rtol=1e-4)


def test_errors_are_those_of_the_sum(tmp_path):
    data = made_of(0.0, 1.0, 0.0, noise=0.5)
    path = spectra(tmp_path / "c.fits", data, np.full((51, 10, 10), 0.25))
    made = hstcube.line_map(path, LINE, 20.0, SIDES)
    pulls = made.sci.values[0] * np.sqrt(made.wht.values[0])
    assert abs(pulls.mean()) < 0.3
    assert pulls.std() == pytest.approx(1, abs=0.2)


def test_a_pixel_that_lacks_a_channel_has_no_data(tmp_path):
    data = made_of(50.0, 3.0, 0.0)
    data[25, 4, 4] = np.nan
    data[0, 5, 5] = np.nan  # not used
    made = hstcube.line_map(
        spectra(tmp_path / "c.fits", data, np.ones(data.shape)), LINE, 20, SIDES
    )
    assert made.wht.values[0][4, 4] == 0
    assert made.wht.values[0][5, 5] > 0


@pytest.mark.parametrize(
    "given",
    [
        {"width": 200.0},
        {"wavelength": 9000.0},
        {"continuum": ((5998.0, 6030.0),)},
        {"continuum": ((7000.0, 7010.0),)},
        {"continuum": ((6030.0, 6015.0),)},
    ],
)
def test_channels_that_are_not_there_are_refused(tmp_path, given):
    path = spectra(tmp_path / "c.fits", made_of(1.0, 1.0, 0.0), np.ones((51, 10, 10)))
    asked = {"wavelength": LINE, "width": 20.0, "continuum": SIDES} | given
    with pytest.raises(HstCubeError, match="HC-L16"):
        hstcube.line_map(path, **asked)


def test_an_axis_without_wavelengths_and_a_map_are_refused(tmp_path):
    data = made_of(1.0, 1.0, 0.0)
    path = spectra(tmp_path / "c.fits", data, np.ones(data.shape), CUNIT3="Hz")
    with pytest.raises(HstCubeError, match="HC-L16"):
        hstcube.line_map(path, LINE, 20, SIDES)
    flat = spectra(tmp_path / "f.fits", data[0], np.ones((10, 10)))
    with pytest.raises(HstCubeError, match="HC-L16"):
        hstcube.line_map(flat, LINE, 20, SIDES)
    odd = spectra(tmp_path / "o.fits", data, np.ones(data.shape), unit="1e-20 erg s-1 cm-2")
    with pytest.raises(HstCubeError, match="HC-L04"):
        hstcube.line_map(odd, LINE, 20, SIDES)


@pytest.mark.parametrize("per", ["Jy", "MJy sr-1"])
def test_a_density_per_frequency_is_one_per_wavelength(tmp_path, per):
    data = made_of(50.0, 3.0, 0.1)
    wavelength = LINE + (np.arange(51) - 25)[:, None, None] * STEP
    jansky = data * 1e-20 * wavelength**2 / 2.99792458e18 * 1e23
    pixel = (0.2 / 206264.806247) ** 2  # sr
    scaled = {"Jy": jansky, "MJy sr-1": jansky * 1e-6 / pixel}[per]
    path = spectra(tmp_path / "c.fits", scaled, np.full(data.shape, scaled.max() ** 2), unit=per)
    made = hstcube.line_map(path, LINE, 20.0, SIDES)
    np.testing.assert_allclose(made.sci.values[0], 50.0, rtol=2e-4)
    np.testing.assert_allclose(made.sci.values[1], 60.0, rtol=2e-4)


def test_errors_are_found_as_those_of_a_map_are(tmp_path):
    data = made_of(50.0, 3.0, 0.1)
    path = spectra(tmp_path / "c.fits", data, np.full(data.shape, 4.0))
    expected = hstcube.line_map(path, LINE, 20.0, SIDES).wht
    with fits.open(path) as hdus:
        hdus["STAT"].name = "ERR"
        hdus["ERR"].data = np.full(data.shape, 2.0)
        hdus.writeto(tmp_path / "err.fits")
        del hdus["ERR"]
        hdus.writeto(tmp_path / "bare.fits")
    found = hstcube.line_map(tmp_path / "err.fits", LINE, 20.0, SIDES).wht
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    with pytest.warns(HstCubeWarning, match="HC-L06"):
        hstcube.line_map(tmp_path / "bare.fits", LINE, 20.0, SIDES)
