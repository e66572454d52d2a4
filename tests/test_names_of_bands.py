"""F160W and f160w are one band: as an argument, and as the name that a cube has."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import xarray as xr
from everything import World

import hstcube

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.filterwarnings("ignore::hstcube.HstCubeWarning")
SPELLINGS = ("F160W", "160")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    with warnings.catch_warnings():
        one = World(tmp_path_factory.mktemp("names"))
        assert one.cube.band.values.tolist() == ["f435w", "f850lp", "f160w"]
        return one


# every argument that names a band
NAMED: dict[str, Callable[[World, str], Any]] = {
    "band": lambda _, name: hstcube.band(name),
    "bin_pixels": lambda w, name: hstcube.bin_pixels(w.cube, snr=20, bands=[name]),
    "bin_pixels, one": lambda w, name: hstcube.bin_pixels(w.cube, snr=20, bands=name),
    "colour": lambda w, name: hstcube.colour(w.cube, "f435w", name),
    "common_mask": lambda w, name: hstcube.common_mask(w.cube, bands=[name]),
    "find_stars": lambda _, name: len(hstcube.find_stars(hstcube.example(), band=name)),
    "homogenize": lambda w, name: hstcube.homogenize(w.cube, labels=w.labels, to=name),
    "homogenize, poisson": lambda w, name: hstcube.homogenize(
        w.cube, labels=w.labels, poisson={name: 1200.0}
    ),
    "homogenize, original": lambda w, name: hstcube.homogenize(
        w.cube, labels=w.labels, to=name, recipe="original"
    ),
    "matching_kernels": lambda w, name: hstcube.matching_kernels(w.cube.psf, to=name),
    "open_field": lambda w, name: hstcube.open_field(w.folder, "1", bands=[name]),
    "open_field, widths": lambda w, name: hstcube.open_field(w.folder, "1", psf_fwhm={name: 0.2}),
    "psf_match": lambda w, name: hstcube.psf_match(w.cube, to=name),
    "psf_match, allow": lambda w, name: hstcube.psf_match(w.cube, to="f850lp", allow=[name]),
    "psf_quality": lambda w, name: hstcube.psf_quality(w.cube, to=name),
    "subtract_sky": lambda w, name: hstcube.subtract_sky(w.cube.sel(band=["f160w"]), {name: 1e-4}),
}


def numbers(result: Any) -> list[Any]:
    if isinstance(result, xr.Dataset):
        named = [*result.data_vars, *result.coords]
        return [result[name].values for name in named if result[name].dtype.kind in "fib"]
    return [result.values] if isinstance(result, xr.DataArray) else [result]


def same(one: Any, other: Any) -> None:
    for left, right in zip(numbers(one), numbers(other), strict=True):
        np.testing.assert_array_equal(left, right)


@pytest.mark.slow
@pytest.mark.parametrize("spelt", SPELLINGS)
@pytest.mark.parametrize("case", NAMED)
def test_an_argument_names_a_band_however_it_is_spelt(world: World, case: str, spelt: str) -> None:
    same(NAMED[case](world, "f160w"), NAMED[case](world, spelt))


def in_capitals(cube: xr.Dataset) -> xr.Dataset:
    names = [str(name).upper() for name in cube.band.values]
    return cube.assign_coords(band=np.array(names, object))


@pytest.mark.slow
def test_a_cube_whose_bands_are_in_capitals_is_the_same_cube(world: World) -> None:
    for name, (args, named) in world.calls(world.cube).items():
        if name in ("stack_bands", "to_nddata", "to_sed", "find_stars", "describe", "star_stamps"):
            continue  # lists, files and texts
        positional, how = world.calls(in_capitals(world.cube))[name]
        expected = getattr(hstcube, name)(*args, **named)
        found = getattr(hstcube, name)(*positional, **how)
        if isinstance(expected, xr.Dataset | xr.DataArray):
            same(expected, found)
