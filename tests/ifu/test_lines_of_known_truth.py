"""Weights, shift and errors on a made-up galaxy, and the forward model against a finer scene.

Bounds are those of docs/ifu.md, where the same is done with more draws.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import xarray as xr
from line_scene import BETA, UNIT, WEIGHTS, Truth, cube, grids, images, line, seen, turned

import hstcube
from hstcube.core.grids import Grid
from hstcube.forward.psfs import Moffat, as_psf, gaussian_transfer
from hstcube.ifu.scenes import bands_of, line_of, scene_of

if TYPE_CHECKING:
    from hstcube.forward.scene import Scene

KEEP = np.ones((100, 100), bool)


def scene(truth: Truth) -> tuple[Scene, np.ndarray]:
    whole = line(truth, 100, cut=-np.inf)
    return scene_of(bands_of(cube()), KEEP, line_of(whole), Moffat(truth.fwhm))


@pytest.mark.parametrize(
    "truth",
    [Truth(), turned(0, flipped=False), turned(42, flipped=True), turned(200, flipped=True)],
)
def test_the_forward_model_is_a_ten_times_finer_scene(truth):
    made, used = scene(truth)
    model = WEIGHTS @ made.seen(Moffat(truth.fwhm, BETA), truth.shift)
    expected = seen(truth)[used]
    assert np.abs(model - expected).max() < 2e-3 * expected.max()
    assert abs(model.sum() / expected.sum() - 1) < 1e-3


def test_an_image_of_a_psf_is_seen_like_its_formula():
    made, _ = scene(Truth())
    image = as_psf(hstcube.moffat(0.65, scale=0.1, radius=5.0))
    formula = made.seen(Moffat(0.65), (0.1, 0.0))
    np.testing.assert_allclose(made.seen(image, (0.1, 0.0)), formula, atol=1e-3 * formula.max())


def test_a_series_around_a_shift_is_the_shifted_model():
    made, _ = scene(Truth())
    series = made.expanded(Moffat(0.65), (0.05, 0.0))
    there = made.seen(Moffat(0.65), (0.15, -0.05))
    np.testing.assert_allclose(series.at(np.array([0.15, -0.05])), there, atol=1e-4 * there.max())
    step, weights = 1e-4, np.array([2.0, 3.0])
    ahead, behind = (series.at(np.array([0.05 + s, 0.0])) for s in (step, -step))
    slope = series.slope(np.array([0.05, 0.0]), weights)[0]
    np.testing.assert_allclose(slope, weights @ (ahead - behind) / (2 * step), rtol=1e-4, atol=1e-3)


def test_what_pixels_add_to_sums_over_the_map_is_the_model_turned_round():
    made, used = scene(Truth())
    rows = np.random.default_rng(2).normal(size=(3, used.sum()))
    added = made.weighed(rows, Moffat(0.65), (0.05, 0.02), 1)
    sums = (added * images()[1][made.box]).sum((1, 2))
    np.testing.assert_allclose(sums, rows @ made.seen(Moffat(0.65), (0.05, 0.02))[1], rtol=1e-6)


def draws(snr: float, number: int, noise: float = 0.02) -> tuple[np.ndarray, np.ndarray]:
    """Return (dy, dx, flux) over the truth of many draws, and their pulls."""
    rng, found, pulls = np.random.default_rng(3), [], []
    total = float(WEIGHTS @ images().sum((1, 2)))
    expected = np.array([*Truth().shift, total])
    for _ in range(number):
        fit = hstcube.fit_line(
            cube(noise, rng), line(Truth(), snr, rng), psf="0.65arcsec", keep=KEEP, ridge=0.0
        )
        # the light of the galaxy itself: what lies on noise is none
        flux = float(fit.weights.values @ images().sum((1, 2)))
        error = images().sum((1, 2)) @ fit.covariance.values[2:, 2:] @ images().sum((1, 2))
        values = np.array([float(fit.dy), float(fit.dx), flux])
        spread = np.array([float(fit.dy_error), float(fit.dx_error), np.sqrt(error)])
        found.append(values - expected)
        pulls.append((values - expected) / spread)
    return np.array(found), np.array(pulls)


@pytest.mark.slow
def test_shift_and_flux_of_a_bright_line_are_unbiased_and_their_errors_hold():
    found, pulls = draws(100, 24)
    assert np.abs(found[:, :2].mean(0)).max() < 2e-3
    assert abs(found[:, 2].mean() / (WEIGHTS @ images().sum((1, 2)))) < 5e-3
    assert (np.sqrt((pulls**2).mean(0)) > 0.65).all()  # 24 draws tell a width to 14 %
    assert (np.sqrt((pulls**2).mean(0)) < 1.4).all()


@pytest.mark.slow
def test_the_flux_of_a_faint_line_is_right():
    found, _ = draws(25, 12)
    assert abs(found[:, 2].mean() / (WEIGHTS @ images().sum((1, 2)))) < 0.03


def test_three_resolutions_are_one_model():
    fit = hstcube.fit_line(cube(), line(Truth(), 100, cut=-np.inf), psf="0.65arcsec", keep=KEEP)
    fine, on_map = (hstcube.line_model(cube(), fit, onto=onto) for onto in ("fine", "map"))
    sharp = hstcube.line_model(cube(), fit)
    times = fine.sizes["y"] // on_map.sizes["y"]
    assert times == 4
    again = hstcube.rebin(fine, times).sci.values[0]
    expected = on_map.sci.values[0]
    there = np.isfinite(expected)
    there[[0, -1]] = there[:, [0, -1]] = False  # corners lie outside the cube
    inner = there & np.roll(there, 1, 0) & np.roll(there, -1, 0) & np.roll(there, 1, 1)
    assert np.abs(again - expected)[inner].max() < 3e-3 * np.nanmax(expected)
    assert abs(again[inner].sum() / expected[inner].sum() - 1) < 3e-3
    assert fine.psf_fwhm[0] == on_map.psf_fwhm[0] > sharp.psf_fwhm[0]
    assert on_map.matched_to[0] == "0.65arcsec,beta=2.8"
    np.testing.assert_allclose(fit.model, np.where(fit.model.isnull(), np.nan, expected), rtol=1e-4)
    assert abs(float(sharp.sci.sum()) / float(fit.flux) - 1) < 1e-5


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::hstcube.HstCubeWarning")
def test_the_model_on_the_map_is_what_matching_and_regridding_make_of_it():
    """By other ways: kernels to the map's PSF on the cube's pixels, then shared areas."""
    still = Truth(shift=(0.0, 0.0))
    fit = hstcube.fit_line(
        cube(), line(still, 100), psf="0.65arcsec", keep=KEEP, shift=(0.0, 0.0), positive=True
    )
    sharp = hstcube.line_model(cube(), fit)
    on_map = hstcube.line_model(cube(), fit, onto="map")
    offsets = (np.arange(151) - 75) * 0.06
    k = np.fft.fftfreq(151, 0.06)
    transfer = Moffat(0.65).transfer(k[:, None], k[None, : 151 // 2 + 1])
    transfer = transfer * gaussian_transfer(np.hypot(k[:, None], k[None, : 151 // 2 + 1]), 0.4)
    target = np.roll(np.fft.irfft2(transfer, (151, 151)), (75, 75), (0, 1))
    psf = xr.DataArray(target / target.sum(), {"ky": offsets, "kx": offsets}, ("ky", "kx"))
    broad = hstcube.psf_match(in_a_wider_frame(sharp), to=psf.rename("map"), allow="all")
    other = hstcube.regrid(broad, grids(still)[1])
    inner = np.hypot(*np.mgrid[-15:16, -15:16]) < 10
    expected = on_map.sci.values[0]
    assert np.abs(other.sci.values[0] - expected)[inner].max() < 3e-3 * np.nanmax(expected)
    ratio = other.sci.values[0][inner].sum() / expected[inner].sum()
    assert abs(ratio - 1) < 1e-3


def in_a_wider_frame(cube: xr.Dataset) -> xr.Dataset:
    """Return a cube in dark sky, native: at the rim of a frame matching takes the light to go on.

    (In the frame of 6 arcsec that adds 3.2e-3 of the flux.)
    """
    grid, rim = Grid.of(cube).stepped((-40, -40), (1, 1), (180, 180)), ((0, 0), (40, 40), (40, 40))
    return hstcube.build(
        np.pad(cube.sci.values, rim), np.pad(cube.wht.values, rim, mode="edge"), bands=["line"],
        grid=grid, units=UNIT, pivot=[6000.0], psf_fwhm=cube.psf_fwhm.values, sky=[0.0],
        sky_error=[0.0],
    ).assign_coords(psf=cube.psf.variable, ky=cube.ky.variable, kx=cube.kx.variable)  # fmt: skip


def test_a_fit_can_be_looked_at():
    fit = hstcube.fit_line(cube(), line(Truth(), 100), psf="0.65arcsec", keep=KEEP)
    figure = hstcube.plot.line(fit)
    titles = {axis.get_title() for axis in figure.axes}
    assert {"map", "model", "residual / error"} <= titles
    assert fit.attrs["verdict"] in figure.get_suptitle()
    assert hstcube.plot.figure_bytes(figure).startswith(b"\x89PNG")


@pytest.mark.slow
def test_the_model_at_the_cube_is_the_line_and_knows_its_errors():
    rng, fits = np.random.default_rng(4), []
    for _ in range(12):
        noisy = cube(0.02, rng)
        fit = hstcube.fit_line(noisy, line(Truth(), 100, rng), psf="0.65arcsec", keep=KEEP, ridge=0)
        fits.append(hstcube.line_model(noisy, fit))
    truth = np.tensordot(WEIGHTS, images(), 1)
    pulls = np.array([(one.sci.values[0] - truth) * np.sqrt(one.wht.values[0]) for one in fits])
    assert 0.85 < np.sqrt((pulls**2).mean()) < 1.2
    assert fits[0].sci.attrs["units"] == UNIT
    assert fits[0].band.values.tolist() == ["line"]


@pytest.mark.slow
def test_the_errors_of_the_model_on_the_map_hold_for_noise_of_the_bands():
    rng, values = np.random.default_rng(5), []
    fit = hstcube.fit_line(cube(), line(Truth(), 100), psf="0.65arcsec", keep=KEEP)
    fit["covariance"] = fit.covariance * 0
    for _ in range(40):
        made = hstcube.line_model(cube(0.05, rng), fit, onto="map")
        values.append(made.sci.values[0])
    ratio = np.std(values, axis=0) * np.sqrt(made.wht.values[0])
    inside = np.isfinite(values[0])
    inside[:4] = inside[-4:] = inside[:, :4] = inside[:, -4:] = False
    assert np.median(ratio[inside]) == pytest.approx(1, abs=0.1)


def test_weights_that_cancel_are_held_down_and_told():
    fit = hstcube.fit_line(cube(), line(Truth(), 100), psf="0.65arcsec", keep=KEEP, ridge=0.0)
    np.testing.assert_allclose(fit.weights, WEIGHTS, rtol=0.01)
    held = hstcube.fit_line(cube(), line(Truth(), 100), psf="0.65arcsec", keep=KEEP, ridge=1.0)
    assert float((held.weights**2).sum()) < float((fit.weights**2).sum())
    assert (held.weight_error > fit.weight_error).all()  # what the ridge does is in the errors
    only = hstcube.fit_line(cube(), line(Truth(), 100), psf="0.65arcsec", keep=KEEP, positive=True)
    assert (only.weights >= 0).all()


def test_the_continuum_tells_shift_and_width():
    truth, rng = Truth(), np.random.default_rng(6)
    one = cube(0.005, rng).sel(band=["f435w"])
    whole = line(truth, 100, rng, cut=-np.inf)
    found = hstcube.register_map(one, whole, psf="0.6arcsec", fit=("dy", "dx", "fwhm"))
    # the line holds a fifth of the other band, whose middle is 4 mas away
    assert abs(float(found.dy) - truth.shift[0]) < 0.03
    assert abs(float(found.dx) - truth.shift[1]) < 0.03
    fit = hstcube.fit_line(cube(), line(truth, 100), psf="0.65arcsec", keep=KEEP, prior=found)
    assert abs(float(fit.dy) - truth.shift[0]) < 0.005


def test_a_moffat_profile_keeps_its_total_and_has_its_width():
    image = hstcube.moffat(0.65, scale=0.02, radius=1.92)
    y, x = np.meshgrid(image.ky, image.kx, indexing="ij")
    inside = float(image.values[np.hypot(y, x) < 1.92].sum())
    assert 1 - inside == pytest.approx(0.0138, abs=2e-4)  # (1 + r^2 / alpha^2)^(1 - beta)
    assert as_psf(image).fwhm == pytest.approx(0.65, rel=2e-3)
    pixels = hstcube.moffat(0.65, scale=0.2, radius=12.0, pixel=0.2)
    assert float(pixels.sum()) == pytest.approx(1, abs=1e-3)


def test_the_cards_of_a_header_give_a_psf():
    cards = {
        "FSFMODE": 2, "FSFLB1": 5000.0, "FSFLB2": 9000.0, "FSF00FNC": 2, "FSF00F00": -0.2,
        "FSF00F01": 0.6, "FSF00BNC": 1, "FSF00B00": 2.8,
    }  # fmt: skip
    assert hstcube.fsf_psf(cards, 5000.0) == "0.7arcsec,beta=2.8"
    assert hstcube.fsf_psf(cards, 7000.0) == "0.6arcsec,beta=2.8"
    old = {"FSFMODE": "MOFFAT1", "FSF00BET": 2.5, "FSF00FWA": 0.8, "FSF00FWB": -3e-5}
    assert hstcube.fsf_psf(old, 6000.0) == "0.62arcsec,beta=2.5"


def test_grids_are_turned_as_they_say():
    for truth in (turned(42, flipped=True), turned(0, flipped=False)):
        _, grid = grids(truth)
        hand = np.sign(np.linalg.det(grid.matrix))
        assert hand == (1 if truth.flipped else -1)
