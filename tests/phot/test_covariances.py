"""Covariances of groups beside the table of fluxes; groups that saw too little of their kernels."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from astropy.io import fits
from astropy.table import QTable
from made import cube_on
from scipy.signal import fftconvolve
from strategies import plain_grid

import hstcube
from hstcube.noise.description import with_noise

N = 48
ONE = np.exp(-0.5 * (np.arange(-6, 7) / 1.3) ** 2)
KERNEL = np.outer(ONE, ONE) / ONE.sum() ** 2
BANDS = ("f606w", "f814w")
TO_UJY = 10 ** (-0.4 * (25 - 23.9))
SKY_ERROR = 0.02


def bins():
    """Return squares of 4x4 pixels side by side, one far away, and one of two pieces."""
    found = np.zeros((N, N), np.int32)
    found[16:28, 16:28] = np.arange(1, 10).reshape(3, 3).repeat(4, 0).repeat(4, 1)
    found[40:43, 40:43], found[8:10, 20:24], found[30:32, 20:24] = 20, 30, 30
    return found


@pytest.fixture(scope="module")
def cube():
    """Return two bands of white noise, the first one matched: its pixels are correlated."""
    sigma = np.array([1.0, 0.5])[:, None, None] * np.ones((1, N, N))
    sci = np.random.default_rng(1).normal(size=(2, N, N)) * sigma
    made = cube_on(plain_grid((N, N)), BANDS, sci, sigma**-2, zeropoint=[25.0, 25.0])
    made = made.assign_coords(sky=("band", [0.0, 0.0]), sky_error=("band", [SKY_ERROR, 0.0]))
    delta = np.zeros(KERNEL.shape)
    delta[6, 6] = 1
    kernels = np.stack([KERNEL, delta])
    names = {"band": np.array(BANDS, object)}
    kernels = xr.DataArray(kernels, names, ("band", "ky", "kx"))
    return hstcube.psf_match(with_noise(made, "white"), kernels=kernels, to="0.2arcsec")


def test_covariances_are_those_of_many_drawn_images(cube):
    groups, number = bins(), 3000
    table = hstcube.photometry(cube, groups, covariance=True)
    found = table["covariance_f606w"].value / TO_UJY**2
    member = np.array([groups.ravel() == one for one in table["id"]], float)
    rng = np.random.default_rng(2)
    drawn = fftconvolve(rng.normal(size=(number, N, N)), KERNEL[None], mode="same", axes=(1, 2))
    drawn += SKY_ERROR * rng.normal(size=(number, 1, 1))
    sums = drawn.reshape(number, -1) @ member.T
    measured = sums.T @ sums / number
    expected = np.sqrt((np.outer(np.diag(found), np.diag(found)) + found**2) / number)
    away = (measured - found) / expected
    assert abs(away).max() < 4.5
    assert 0.6 < away.std() < 1.4
    neighbours = found[0, 1] / np.sqrt(found[0, 0] * found[1, 1])
    assert neighbours > 0.15  # it matters: bins side by side are not independent
    white = table["covariance_f814w"].value
    np.testing.assert_allclose(white, np.diag(np.diag(white)), atol=1e-12)


def test_the_diagonal_is_the_square_of_the_errors(cube):
    for partial in (False, True):
        holed = cube.isel(band=[0, 1]).copy(deep=True)
        holed.sci.values[1, 17, 17], holed.wht.values[1, 17, 17] = np.nan, 0
        holed.mask.values[1, 17, 17] = False
        table = hstcube.photometry(holed, bins(), covariance=True, partial=partial)
        for band in BANDS:
            both = table[f"covariance_{band}"].value
            np.testing.assert_allclose(
                np.diag(both), table[f"error_{band}"].value ** 2, rtol=1e-6, equal_nan=True
            )
            np.testing.assert_array_equal(both, both.T)
            lost = np.isnan(table[f"flux_{band}"].value)
            assert lost.any() == (band == "f814w" and not partial)
            np.testing.assert_array_equal(np.isnan(both), lost[:, None] | lost[None, :])


def test_apertures_that_overlap_share_their_noise(cube):
    grid = hstcube.Grid.of(cube)
    places = grid.wcs.pixel_to_world([24, 25], [24, 24])
    discs = hstcube.apertures(cube, places, radius=0.2, overlap="exact")
    table = hstcube.photometry(cube, discs, covariance=True)
    found = table["covariance_f814w"].value / TO_UJY**2
    shares = discs.values.reshape(2, -1)
    np.testing.assert_allclose(found, 0.25 * shares @ shares.T, rtol=1e-6)


def test_a_correction_to_totals_holds_for_covariances_too(cube):
    psf = np.stack([KERNEL, KERNEL])
    with_psf = cube.assign_coords(psf=(("band", "ky", "kx"), psf))
    bare, whole = (
        hstcube.photometry(with_psf, bins(), covariance=True, total=total)
        for total in (False, True)
    )
    share = (bare["error_f606w"] / whole["error_f606w"]).value
    known = np.ix_(share > 0, share > 0)  # the group of two pieces has its middle in neither
    assert (share > 0).sum() == 10
    both = whole["covariance_f606w"].value * np.outer(share, share)
    np.testing.assert_allclose(both[known], bare["covariance_f606w"].value[known], rtol=1e-9)


@pytest.mark.parametrize("ending", ["ecsv", "fits"])
@pytest.mark.parametrize("number", [1, 11])
def test_covariances_come_back_from_files(cube, ending, number, tmp_path):
    groups = bins() if number > 1 else (bins() > 0).astype(np.int32)
    table = hstcube.photometry(cube, groups, covariance=True)
    assert len(table) == number
    path = hstcube.write_table(table, tmp_path / f"one.{ending}")
    back = QTable.read(path)["covariance_f606w"]
    assert str(back.unit) == "uJy2"
    np.testing.assert_array_equal(
        back.value.reshape(number, number), table["covariance_f606w"].value
    )
    if ending == "fits":
        plain = fits.getdata(path, "PHOTOMETRY")["covariance_f606w"]
        np.testing.assert_array_equal(plain.reshape(number, number), back.value.reshape(-1, number))


def test_groups_that_saw_too_little_of_their_kernels_are_flagged():
    sci = np.zeros((1, N, N))
    hole = np.zeros((N, N), bool)
    hole[20:23, 20:23] = True
    groups = np.zeros((N, N), np.int32)
    groups[17:20, 20:23], groups[35:38, 30:33], groups[0:2, 35:37] = 1, 2, 3
    flags = []
    kernel = xr.DataArray(KERNEL[None], {"band": np.array(["f606w"], object)}, ("band", "ky", "kx"))
    for gone in (hole, hole & False):
        grid, wht = plain_grid((N, N)), np.where(gone, 0, 1.0)[None]
        made = cube_on(grid, BANDS[:1], np.where(gone, np.nan, sci), wht, zeropoint=[23.9])
        assert "low_coverage" not in hstcube.photometry(made, groups).colnames
        matched = hstcube.psf_match(made, kernels=kernel, to="0.2arcsec")
        flags.append(hstcube.photometry(matched, groups)["low_coverage"].tolist())
        shares = np.stack([groups == one for one in (1, 2, 3)]).astype(float)
        shares = xr.DataArray(
            shares, {"group": [1, 2, 3], "y": made.y, "x": made.x}, ("group", "y", "x")
        )
        assert hstcube.photometry(matched, shares)["low_coverage"].tolist() == flags[-1]
    assert flags == [[True, False, True], [False, False, True]]  # the third is at the frame


def test_the_command_line_writes_covariances(cube, tmp_path, capsys):
    from hstcube.jobs.fluxes import phot_cube

    hstcube.save_cube(cube.assign_attrs(field="one"), tmp_path / "one.nc")
    table, _ = phot_cube(tmp_path / "one.nc", tmp_path / "one.fits", covariance=True)
    assert table["covariance_f606w"].shape == (1, 1)
    assert "covariance_f606w" in QTable.read(tmp_path / "one.fits").colnames
