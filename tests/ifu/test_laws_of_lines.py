"""What holds of every fit and model, whatever cube and map: the laws of the steps, for lines."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from line_scene import Truth, cube, line
from strategies import read_only, snapshot

import hstcube

PSF = "0.65arcsec,beta=2.8"
REVERSED = slice(None, None, -1)


@pytest.fixture(scope="module")
def given():
    """Return a cube with labels and a mask, and a map, both with noise."""
    rng = np.random.default_rng(8)
    made = cube(0.02, rng)
    inside = np.hypot(*np.mgrid[-49.5:50, -49.5:50]) < 30
    made = hstcube.mask(made, inside).assign(labels=(("y", "x"), np.where(inside, 7, 0)))
    return made, line(Truth(), 100, rng)


def fit_of(cube_, line_):
    return hstcube.fit_line(cube_, line_, psf=PSF)


def registration(cube_, line_):
    return hstcube.register_map(cube_.sel(band=["f435w"]), line_, psf=PSF)


def model(onto):
    return lambda cube_, line_: hstcube.line_model(cube_, fit_of(cube_, line_), onto=onto)


STEPS = {
    "fit_line": fit_of,
    "register_map": registration,
    **{f"line_model onto {onto}": model(onto) for onto in ("hst", "fine", "map")},
}
every_step = pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)


@pytest.mark.slow
@every_step
def test_a_step_leaves_its_input_alone(step, given):
    before = [snapshot(one) for one in given]
    after = step(*given)
    assert [snapshot(one) for one in given] == before
    for name in after.variables:  # nor does anybody who writes into the result
        after[name].attrs["seen"] = 1
    after.attrs["seen"] = 1
    assert [snapshot(one) for one in given] == before


@pytest.mark.slow
@every_step
def test_a_step_gives_the_same_bits_every_time_also_of_arrays_that_cannot_be_written_to(
    step, given
):
    once = step(*given)
    xr.testing.assert_identical(step(*given), once)
    xr.testing.assert_identical(step(*map(read_only, given)), once)


@pytest.mark.slow
@every_step
def test_a_chunked_cube_gives_the_same_result(step, given):
    lazy = [one.chunk({"y": 20, "x": 31}) for one in given]
    xr.testing.assert_identical(step(*lazy).compute(), step(*given))


@pytest.mark.parametrize("onto", ["hst", "fine", "map"])
def test_a_model_is_a_cube(onto, given):
    made = hstcube.validate(model(onto)(*given))
    assert made.sci.attrs["units"] == "1e-20 erg s-1 cm-2"
    assert made.sizes["band"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("dims", [("y",), ("x",), ("y", "x")])
def test_a_flipped_cube_and_a_flipped_map_give_the_same_fit(dims, given):
    made, seen = given
    expected = fit_of(made, seen)
    flips = dict.fromkeys(dims, REVERSED)
    for found in (fit_of(made.isel(flips), seen), fit_of(made, seen.isel(flips))):
        np.testing.assert_allclose(found.weights, expected.weights, rtol=1e-5)
        np.testing.assert_allclose(found.weight_error, expected.weight_error, rtol=1e-4)
    back = fit_of(made.isel(flips), seen)
    np.testing.assert_allclose(back[["dy", "dx"]].to_array(), expected[["dy", "dx"]].to_array(),
                               atol=1e-6)  # fmt: skip
    turned = fit_of(made, seen.isel(flips))
    for dim in ("y", "x"):  # a shift is along the axes of the map
        sign = -1 if dim in dims else 1
        assert float(turned[f"d{dim}"]) == pytest.approx(
            sign * float(expected[f"d{dim}"]), abs=1e-6
        )
    sharp = hstcube.line_model(made.isel(flips), back).isel(flips)
    np.testing.assert_allclose(sharp.sci, hstcube.line_model(made, expected).sci, rtol=1e-3,
                               atol=1e-3)  # fmt: skip


def test_permuted_bands_give_the_permuted_weights(given):
    made, seen = given
    expected, found = fit_of(made, seen), fit_of(made.isel(band=[1, 0]), seen)
    assert found.band.values.tolist() == ["f160w", "f435w"]
    np.testing.assert_allclose(found.weights[::-1], expected.weights, rtol=1e-6)


def test_other_units_give_the_same_fit(given):
    made, seen = given
    expected = fit_of(made, seen)
    scaled = seen.assign(
        sci=(seen.sci * 1e-3).assign_attrs(units="1e-17 erg s-1 cm-2"),
        wht=(seen.wht * 1e6).assign_attrs(units="1e34 erg-2 s2 cm4"),
    )
    for found in (fit_of(made, scaled), fit_of(hstcube.to_flux(made, "nJy"), seen)):
        np.testing.assert_allclose(found.weights, expected.weights, rtol=1e-4)
        np.testing.assert_allclose(found.weight_error, expected.weight_error, rtol=1e-4)
        assert float(found.chi2) == pytest.approx(float(expected.chi2), rel=1e-4)


def test_a_cube_cut_around_the_object_gives_the_same_fit(given):
    made, seen = given
    cut = made.isel(y=slice(8, 94), x=slice(10, 90))
    np.testing.assert_allclose(fit_of(cut, seen).weights, fit_of(made, seen).weights, rtol=2e-3)
