"""The level of the sky, freed of the light that mapped sources have beyond their labels."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import pytest
import xarray as xr
from crowded import SCALE, SIDE, SIGMA, crowded_field, known_psfs

import hstcube
from hstcube.demo.cameras import BANDS
from hstcube.demo.field import simulate
from hstcube.pipeline.recipe import blank_pixels

if TYPE_CHECKING:
    from pathlib import Path

FIELDS, DEMOS = 24, 12
LIMIT = 0.02  # of a pixel's noise: the bias that is allowed
# seeds that did not serve to find the method
FIRST, FIRST_DEMO = 5000, 1


def both(cube, psf, blank, true, sigma):
    """Return (without and with PSFs, level - truth and claimed error, band) in a pixel's noise."""
    levels = [
        hstcube.measure_sky(one, background=blank) for one in (cube, hstcube.with_psf(cube, psf))
    ]
    return np.array([[(level - true) / sigma, level.sky_error / sigma] for level in levels])


def of_crowded(seed):
    """Return the same of a field that the package did not make."""
    scene = crowded_field(seed)
    return both(scene.cube(), known_psfs(), scene.labels == 0, 0.0, np.array([*SIGMA.values()]))


def of_demo(folder, seed):
    """Return the same of a demo field."""
    simulate(folder, seed=seed)
    cube = hstcube.open_field(folder, "demo")
    psf = hstcube.measure_psf(hstcube.examine_stars(hstcube.open_stars(folder / "psf_stars")))
    (place,) = (folder / "segment_maps").glob("*demo*")
    blank = blank_pixels(hstcube.open_labels(place), hstcube.Grid.of(cube)).values
    true = np.array([BANDS[band].sky for band in cube.band.values])
    return both(cube, psf, blank, true, 1 / np.sqrt(np.median(cube.wht.values, axis=(1, 2))))


@lru_cache(maxsize=1)
def crowded():
    return np.array([of_crowded(seed) for seed in range(FIRST, FIRST + FIELDS)])


@pytest.fixture(scope="module")
def demos(tmp_path_factory):
    folder: Path = tmp_path_factory.mktemp("demos")
    seeds = range(FIRST_DEMO, FIRST_DEMO + DEMOS)
    return np.array([of_demo(folder / str(seed), seed) for seed in seeds])


@pytest.fixture(params=["crowded", "demo"])
def rows(request):
    """(field, without and with PSFs, level - truth and claimed error, band)."""
    return crowded() if request.param == "crowded" else request.getfixturevalue("demos")


@pytest.mark.slow
def test_no_band_has_a_bias_of_more_than_a_fiftieth_of_its_noise(rows):
    before, after = rows[:, :, 0].mean(axis=0)
    assert np.abs(before).max() > 2 * LIMIT
    assert np.abs(after).max() <= LIMIT


@pytest.mark.slow
def test_levels_scatter_less_about_the_truth_than_without_psfs_in_every_band(rows):
    before, after = np.sqrt((rows[:, :, 0] ** 2).mean(axis=0))
    assert (after / before).mean() <= 0.95
    assert (after / before).max() <= 1.1


@pytest.mark.slow
def test_the_level_scatters_by_no_more_than_its_error(rows):
    found, claimed = np.sqrt((rows[:, 1] ** 2).mean(axis=0))
    sampling = 2 / np.sqrt(2 * len(rows))  # two standard errors of the rms of so many fields
    assert ((found / claimed) < 1.2 * (1 + sampling)).all()
    assert np.mean(found / claimed) < 1.2


@pytest.mark.slow
def test_the_error_of_the_level_is_what_it_scatters_by():
    found, claimed = np.sqrt((crowded()[:, 1] ** 2).mean(axis=0))
    assert 0.8 < np.mean(found / claimed) < 1.2


def test_the_light_of_galaxies_with_labels_is_what_the_level_is_freed_of():
    scene = crowded_field(FIRST)
    blank, psf = scene.labels == 0, known_psfs()
    dark = scene._replace(mapped=0 * scene.mapped)
    for known, most in ((None, np.inf), (psf, 0.35)):
        lit, without = (
            hstcube.measure_sky(one.cube(known), background=blank) for one in (scene, dark)
        )
        raised = ((lit - without) / np.array([*SIGMA.values()])).values
        if known is None:
            first = raised
            assert (first[2:] > 0.05).all()  # of the infrared bands
        assert (np.abs(raised[2:]) < most * first[2:]).all()


def a_galaxy(radius=5.0, *, size=SIDE, edge=15, seed=1):
    """Return a cube of a disc that goes on beyond its label, with PSFs, and its label."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] - size // 2
    far = np.hypot(y, x)
    sci = np.stack([5 * c * np.exp(-far / radius) + rng.normal(0, 0.05, far.shape) for c in (1, 2)])
    cube = hstcube.build(
        sci,
        np.full(sci.shape, 400.0),
        bands=["f606w", "f160w"],
        grid=hstcube.Grid.around((53.16, -27.78), size * SCALE, scale=SCALE),
        units="electron s-1",
    )
    k = np.arange(-16, 17)
    rounds = [np.exp(-0.5 * (k[:, None] ** 2 + k**2) / width**2) for width in (0.8, 1.35)]
    told = {"units": "arcsec"}
    coords = {
        "band": cube.band.values,
        "ky": ("ky", k * SCALE, told),
        "kx": ("kx", k * SCALE, told),
    }
    images = np.stack([one / one.sum() for one in rounds])
    psf = xr.DataArray(images, coords, ("band", "ky", "kx"))
    return hstcube.with_psf(cube, psf), (far < edge).astype(int)


def without_psf(cube):
    return cube.drop_vars(["psf", "ky", "kx"])


def test_amplitude_and_scale_of_wings_are_told_and_the_images_stay():
    cube, labels = a_galaxy()
    images = cube.sci.values.copy()
    level = hstcube.measure_sky(cube, background=labels == 0)
    assert level.wings.attrs["units"] == cube.sci.attrs["units"]
    # the disc's scale is 0.3 arcsec, and at the edge of its label it is A
    assert 0.25 < level.attrs["wings_scale"] < 0.35
    np.testing.assert_allclose(level.wings, 5 * np.exp(-15 / 5) * np.array([1, 2]), rtol=0.25)
    np.testing.assert_array_equal(cube.sci.values, images)
    cleaned = hstcube.subtract_sky(cube, level)
    np.testing.assert_allclose(cleaned.sci, cube.sci - level, atol=1e-6)


def test_a_disc_that_goes_on_beyond_its_label_does_not_raise_the_level():
    cube, labels = a_galaxy()
    known, unknown = (
        hstcube.measure_sky(one, background=labels == 0) for one in (cube, without_psf(cube))
    )
    assert (np.abs(known) < 3 * known.sky_error).all()
    assert (unknown > 3 * unknown.sky_error).any()


@pytest.mark.parametrize("side", [33, 49])
@pytest.mark.parametrize("told", [True, False])
def test_a_star_spreads_light_beyond_the_frame_of_its_psf(side, told):
    """Wings fall like r^-3 everywhere: the frame ends at 1 arcsec, the light does not.

    A PSF that says what share of the light its frame holds, and one that does not, whose rim tells.
    """
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:201, :201] - 100
    profile = np.where(np.hypot(y, x) < 100, (1.0 + y**2 + x**2) ** -1.5, 0.0)
    frame = profile[84:117, 84:117]
    inside = slice(50, 151)
    y, x, seen = y[inside, inside], x[inside, inside], profile[inside, inside]
    sci = 2e5 * seen / frame.sum() + rng.normal(0, 1, seen.shape)
    cube = hstcube.build(
        sci[None],
        np.ones((1, 101, 101)),
        bands=["f702w"],  # of no list
        grid=hstcube.Grid.around((53.16, -27.78), 101 * SCALE, scale=SCALE),
        units="electron s-1",
    )
    k = (np.arange(side) - side // 2) * SCALE
    unit = {"units": "arcsec"}
    coords = {"band": ["f702w"], "ky": ("ky", k, unit), "kx": ("kx", k, unit)}
    if told:
        coords["psf_energy"] = ("band", [frame.sum() / profile.sum()])
    image = np.pad(frame / frame.sum(), (side - 33) // 2)  # a smaller frame among larger ones
    psf = xr.DataArray(image[None], coords, ("band", "ky", "kx"))
    blank = np.hypot(y, x) > 20
    without = hstcube.measure_sky(cube, background=blank)
    level = hstcube.measure_sky(hstcube.with_psf(cube, psf), background=blank)
    assert without.item() > 0.3
    assert abs(level.item()) < 0.15 * without.item()


def test_where_there_is_no_source_nothing_is_taken_off():
    cube, labels = a_galaxy()
    blank = np.ones_like(labels, bool)
    known = hstcube.measure_sky(cube, background=blank)
    unknown = hstcube.measure_sky(without_psf(cube), background=blank)
    assert (known.wings == 0).all()
    assert "wings_scale" not in known.attrs
    np.testing.assert_allclose(known.values, unknown.values, rtol=1e-6)  # float32 images
    np.testing.assert_allclose(known.sky_error.values, unknown.sky_error.values, rtol=1e-5)


def test_the_original_method_knows_no_wings():
    cube, labels = a_galaxy()
    how = {"background": labels == 0, "method": "original"}
    xr.testing.assert_identical(
        hstcube.measure_sky(cube, **how), hstcube.measure_sky(without_psf(cube), **how)
    )


def test_a_band_without_weight_in_places_and_values_there_change_nothing():
    cube, labels = a_galaxy()
    wht = cube.wht.values.copy()
    wht[:, 45:50, 45:50] = 0
    wht[1, :20] = 0
    sci = [np.where(wht > 0, cube.sci.values, one).astype(np.float32) for one in (0, np.nan)]
    levels = [
        hstcube.measure_sky(
            cube.assign(
                sci=(cube.sci.dims, one, cube.sci.attrs), wht=(cube.wht.dims, wht, cube.wht.attrs)
            ),
            background=labels == 0,
        )
        for one in sci
    ]
    assert np.isfinite(levels[0]).all()
    xr.testing.assert_identical(*levels)


def test_chunks_and_the_order_of_bands_do_not_change_the_level():
    cube, labels = a_galaxy()
    blank = labels == 0
    level = hstcube.measure_sky(cube, background=blank)
    lazy = hstcube.measure_sky(cube.chunk({"y": 32, "x": 32}), background=blank)
    np.testing.assert_allclose(lazy, level, rtol=1e-6)
    turned = hstcube.measure_sky(cube.isel(band=[1, 0]), background=blank)
    np.testing.assert_allclose(turned.values[::-1], level, rtol=1e-6)


def test_beside_a_big_galaxy_the_level_is_said_to_be_local():
    for edge, said in ((56, True), (15, False)):
        cube, labels = a_galaxy(edge=edge)
        level = hstcube.measure_sky(cube, background=labels == 0)
        cleaned = hstcube.subtract_sky(cube, level)
        assert ("HC-K15" in cleaned.attrs["history"]) is said
        assert ("local" in level.attrs) is said


@pytest.mark.real
@pytest.mark.filterwarnings("ignore::hstcube.HstCubeWarning")
def test_levels_of_real_fields_beside_two_maps_agree_where_psfs_are_known(xdf):
    """The survey's map, which leaves out corners of some stamps, and what `detect` finds."""
    off = []
    fields = {files.field: files for files in hstcube.list_fields(xdf) if files.labels}
    for name, files in fields.items():
        cube = hstcube.open_field(xdf, name)
        blank = hstcube.regrid_labels(hstcube.open_labels(files.labels), hstcube.Grid.of(cube)) == 0
        noise = 1 / np.sqrt(np.median(cube.wht.sel(band="f160w").values))
        for one in (without_psf(cube), cube):
            levels = [hstcube.measure_sky(one, background=b) for b in (blank, None)]
            off.append(float(np.diff([level.sel(band="f160w") for level in levels])[0] / noise))
    before, after = np.abs(np.reshape(off, (-1, 2))).T
    assert after.mean() < before.mean() / 2
    assert after.max() < 0.15
