"""Bins: each reaches its signal to noise, none is in two pieces, no pixel is left out."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made import code_of, cube_on, galaxy
from scipy import ndimage
from strategies import examples, plain_grid

import hstcube
from hstcube.phot.bins import bin_pixels, group_snr
from hstcube.surveys.names import find_field

NINE = ("f435w", "f606w", "f775w", "f814w", "f850lp", "f105w", "f125w", "f140w", "f160w")
SCATTER = 0.15  # of the S/N of bins with several pixels


def judged(cube, bins):
    """Return S/N, number of pixels, and whether it is below the target, of each bin."""
    mine = cube.sel(band=bins.attrs["bands"].split())
    ratio = group_snr(mine, bins).values
    ratio = ratio.max(axis=0) if bins.attrs["mode"] == "any" else ratio.min(axis=0)
    number = np.bincount(bins.values.ravel())[1:]
    return ratio, number, np.isin(np.arange(1, number.size + 1), bins.attrs["below_target"])


def require_good(cube, bins, inside, *, scatter=SCATTER):
    assert bins.dtype == np.int32
    assert np.array_equal(bins.values > 0, inside), "a pixel was left out, or one too many taken"
    ratio, number, low = judged(cube, bins)
    assert (number > 0).all(), "numbers have gaps"
    assert (ratio[~low] >= bins.attrs["snr"] * (1 - 1e-6)).all(), "a bin is below its target"
    islands = ndimage.label(inside, np.ones((3, 3)))[0]
    whole, _, _ = judged(cube, bins.copy(data=islands))
    for k in bins.attrs["below_target"]:
        assert whole[islands[bins.values == k][0] - 1] < bins.attrs["snr"] * 1.01, (
            "its island would have reached it"
        )
    pieces = [ndimage.label(part == k, np.ones((3, 3)))[1] for k, part in _boxes(bins.values)]
    assert set(pieces) == {1}, "a bin is in several pieces"
    several = (number > 1) & ~low
    if scatter and several.sum() > 5:
        assert ratio[several].std() / ratio[several].mean() <= scatter


def _boxes(labels):
    return [(k, labels[box]) for k, box in enumerate(ndimage.find_objects(labels), start=1)]


@pytest.mark.slow
@pytest.mark.parametrize("bands", [("f160w",), ("f435w", "f160w"), NINE], ids=len)
@pytest.mark.parametrize("rim", [0.1, 0.5, 2.0])
def test_every_bin_reaches_its_target_and_few_are_much_better(bands, rim):
    cube = galaxy(bands, rim=rim)
    bins = hstcube.bin_pixels(cube, snr=5)
    require_good(cube, bins, cube.mask.values.all(axis=0))


@pytest.mark.slow
@pytest.mark.parametrize("correlated", [True, False])
@pytest.mark.parametrize("snr", [3, 20])
def test_the_target_is_judged_with_the_noise_of_groups(snr, correlated):
    cube = galaxy(("f160w",), rim=0.5, correlated=correlated)
    require_good(cube, bin_pixels(cube, snr=snr), cube.mask.values[0])


def roughness(bins):
    """Return of each bin of several pixels the rms radius over that of a disc of its area."""
    found = []
    for k in range(1, int(bins.values.max()) + 1):
        y, x = np.nonzero(bins.values == k)
        square = y.var() + x.var() + 1 / 6  # of the pixels themselves
        if y.size > 1:
            found.append(np.sqrt(square * 2 * np.pi / y.size))
    return np.array(found)


@pytest.mark.parametrize("snr", [10, 25, 60])
def test_bins_are_as_compact_as_those_of_others_and_none_is_below_the_target(snr):
    """Vorbin and powerbin have a 95th percentile of 1.14, with 20-50 % of bins below the target."""
    y, x = np.indices((81, 81)) - 40
    light = 12 * np.exp(-np.hypot(y / 0.6, x) / 6) + 40 * np.exp(-np.hypot(y, x) / 1.5)
    rng = np.random.default_rng(40 + snr)
    sci, inside = light + 0.06 * rng.normal(size=light.shape), light > 0.03
    wht = np.full((1, 81, 81), 0.06**-2)
    cube = cube_on(plain_grid((81, 81)), ("f160w",), sci[None], wht)
    bins = bin_pixels(hstcube.mask(cube, inside), snr=snr)
    require_good(cube, bins, inside, scatter=0.1)
    assert not bins.attrs["below_target"]
    assert np.percentile(roughness(bins), 95) < 1.25


def test_correlated_noise_asks_for_larger_bins():
    white, correlated = (galaxy(("f435w",), rim=0.5, correlated=flag) for flag in (False, True))
    assert bin_pixels(white, snr=20).max() > 1.5 * bin_pixels(correlated, snr=20).max()


@pytest.mark.slow
def test_one_band_several_or_any_may_have_to_reach_it():
    cube = galaxy(("f435w", "f814w", "f160w"), rim=0.3)
    one, two = bin_pixels(cube, bands="f160w"), bin_pixels(cube, bands=["F435W", "f160w"])
    every, some = bin_pixels(cube), bin_pixels(cube, mode="any")
    for bins in (one, two, every, some):
        require_good(cube, bins, cube.mask.values.all(axis=0))
    assert some.max() > one.max() > two.max() >= every.max()


@examples(12)
@given(data=st.data())
def test_no_mask_is_too_odd(data):
    """Any mask, with holes, islands, single pixels; any signal, also negative; any weights."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    shape = data.draw(st.tuples(st.integers(2, 25), st.integers(2, 25)))
    number = data.draw(st.integers(1, 3))
    wht = rng.uniform(0.5, 4, (number, *shape)) * (rng.random((number, *shape)) > 0.1)
    wht[:, 0, 0] = 1
    sci = np.where(wht > 0, data.draw(st.floats(-1, 3)) + rng.normal(size=(number, *shape)), np.nan)
    cube = cube_on(plain_grid(shape), NINE[:number], sci, wht)
    inside = cube.mask.values.all(axis=0)
    bins = bin_pixels(
        cube, snr=data.draw(st.floats(0.5, 20)), mode=data.draw(st.sampled_from(["all", "any"]))
    )
    require_good(cube, bins, inside, scatter=None)


def test_islands_that_cannot_reach_the_target_are_named():
    cube = galaxy(("f160w",), rim=1.0)
    keep = cube.mask.values[0].copy()
    keep[0, 0], keep[57:, 57:] = True, True
    faint = hstcube.mask(cube, keep).copy()
    sci = faint.sci.values.copy()
    sci[0, 0, 0], sci[0, 57:, 57:] = -3.0, 0.01
    faint = faint.assign(sci=faint.sci.copy(data=sci))
    bins = bin_pixels(faint)
    require_good(faint, bins, keep)
    assert bins.attrs["below_target"] == [bins.values[0, 0], bins.values[59, 59]]


def test_a_rim_too_faint_for_the_target_leaves_the_good_bins_alone():
    """An uncertain sky: all pixels together are below the target, single bright ones above it."""
    cube = galaxy(("f160w",), rim=0.1).assign_coords(sky_error=("band", [0.5]))
    bins = bin_pixels(cube, snr=5)
    require_good(cube, bins, cube.mask.values[0], scatter=None)
    _, number, low = judged(cube, bins)
    assert low.any()
    alone = cube.sci.values[0] / np.hypot(1, 0.5) >= 5
    assert number[~low].sum() >= alone.sum()


def test_spectra_of_a_bin_have_one_shape():
    """A galaxy blue on one side and red on the other: bins with `sed_shape` mix the sides less."""
    cube = galaxy(("f435w", "f775w", "f125w", "f160w"), rim=3.0, colour=1.5)
    plain, alike = bin_pixels(cube, snr=20), bin_pixels(cube, snr=20, sed_shape=2.0)
    require_good(cube, alike, cube.mask.values.all(axis=0))
    right = np.broadcast_to(np.arange(60) >= 30, (60, 60))

    def mixed(bins):
        share = ndimage.mean(right, bins.values, np.arange(1, int(bins.max()) + 1))
        number = np.bincount(bins.values.ravel())[1:]
        return (number * np.minimum(share, 1 - share)).sum() / number.sum()

    assert mixed(plain) > 0.03
    assert mixed(alike) < 0.01


def test_binning_twice_gives_the_same_bins_and_the_input_stays():
    cube = galaxy(("f435w", "f160w"), rim=0.5)
    before = cube.copy(deep=True)
    assert bin_pixels(cube).identical(bin_pixels(cube))
    assert cube.identical(before)


def test_the_unit_of_the_cube_does_not_change_the_bins():
    cube = galaxy(("f435w", "f160w"), rim=0.5)
    assert np.array_equal(bin_pixels(hstcube.to_flux(cube, "nJy")), bin_pixels(cube))


def test_impossible_targets_are_refused():
    cube = galaxy(("f160w",), rim=1.0, side=20)
    for snr in (0, -1, np.nan, np.inf):
        assert code_of(lambda snr=snr: bin_pixels(cube, snr=snr)) == "HC-B31"
    assert code_of(lambda: bin_pixels(cube, sed_shape=-1.0)) == "HC-B31"
    assert code_of(lambda: bin_pixels(cube, mode="some")) == "HC-B30"
    assert code_of(lambda: bin_pixels(cube, bands="f999w")) == "HC-B01"
    assert code_of(lambda: bin_pixels(hstcube.mask(cube, np.zeros((20, 20), bool)))) == "HC-S24"


@pytest.mark.slow
def test_nine_thousand_pixels_are_binned_within_their_time():
    """Issue 5: 2 s for one or two bands, 8 s for nine; here twice that, for busy machines."""
    for bands, limit in ((("f435w", "f160w"), 4.0), (NINE, 16.0)):
        cube = galaxy(bands, rim=0.3, side=112)
        assert cube.mask.values[0].sum() > 9000
        start = time.process_time()
        bins = bin_pixels(cube)
        assert time.process_time() - start < limit
        require_good(cube, bins, cube.mask.values[0])


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.filterwarnings("ignore::hstcube.HstCubeWarning")
@pytest.mark.parametrize("name", ["3", "15", "37", "912", "919", "982"])
def test_galaxies_of_the_xdf_are_binned(xdf, name):
    labels = hstcube.open_labels(find_field(xdf, name).labels)
    cube = hstcube.homogenize(hstcube.open_field(xdf, name), labels=labels)
    for bands, snr in (("f160w", 20), (["f435w", "f160w"], 5), (None, 5)):
        require_good(
            cube,
            bin_pixels(cube, bands=bands, snr=snr),
            hstcube.common_mask(cube, bands=bands and np.atleast_1d(bands)).values,
        )


@pytest.mark.parametrize(("signal", "low"), [(4.99, [1]), (5.0, []), (5.01, [])])
def test_a_bin_just_below_the_target_is_told_and_one_that_just_reaches_it_is_not(signal, low):
    sci, keep = np.zeros((1, 9, 9)), np.zeros((9, 9), bool)
    sci[0, 4, 4], keep[4, 4] = signal, True
    cube = hstcube.mask(cube_on(plain_grid((9, 9)), ["f160w"], sci, np.ones((1, 9, 9))), keep)
    assert bin_pixels(cube, snr=5.0).attrs["below_target"] == low
