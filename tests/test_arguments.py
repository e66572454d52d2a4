"""Every number of every public function is taken in its unit, or refused by name."""

from __future__ import annotations

import inspect
import re
import warnings
from typing import Any

import numpy as np
import pytest
import xarray as xr
from astropy import units as u
from astropy.io import fits
from everything import World

import hstcube
from hstcube.core.grids import Grid
from hstcube.errors import HstCubeError
from hstcube.jobs.catalogue import Position

pytestmark = pytest.mark.filterwarnings("ignore::hstcube.HstCubeWarning")

# each number with a unit: the function, the argument, and one value said in several ways
WITH_UNITS = {
    ("annuli", "edges"): ([0.06, 0.36], [60, 360] * u.mas, [1, 6] * u.pix, ["60mas", 6 * u.pix]),
    ("annuli", "angle"): (30.0, 30 * u.deg, 0.5 * u.hourangle * 4, "1800arcmin"),
    ("apertures", "radius"): (0.36, 360 * u.mas, 6 * u.pix, "360mas", [0.36], 1e-4 * u.deg),
    ("apertures", "angle"): (30.0, 30 * u.deg, np.radians(30) * u.rad),
    ("curve_of_growth", "radii"): ([0.12, 0.36], [120, 360] * u.mas, [2 * u.pix, 0.36]),
    ("curve_of_growth", "angle"): (30.0, 30 * u.deg),
    ("radial_profile", "edges"): ([0.0, 0.36], [0, 360] * u.mas, [0, 6] * u.pix),
    ("radial_profile", "angle"): (30.0, 30 * u.deg),
    ("bin_pixels", "min_area"): (0.036, 3.6e4 * u.mas**2, "36000mas2"),
    ("photometry", "radius"): (0.36, 360 * u.mas, 6 * u.pix, "360mas", [0.36]),
    ("cutout", "size"): (1.2, 1200 * u.mas, 20 * u.pix, "0.02arcmin", (1.2, 1200 * u.mas)),
    ("star_stamps", "size"): (0.9, 900 * u.mas, 15 * u.pix),
    ("find_stars", "isolation"): (0.6, 600 * u.mas, 10 * u.pix),
    ("add_poisson", "exposure"): (1200.0, 20 * u.min, "1200s", [1200.0] * 3),
    ("deredden", "ebv"): (0.02, 0.02 * u.mag, "0.02mag"),
    ("subtract_sky", "level"): (1e-3, 1e-3 * u.electron / u.s, 3.6 * u.electron / u.hour),
    ("psf_match", "to"): ("0.3arcsec", 0.3 * u.arcsec, "300mas", 5 * u.pix, "0.005arcmin"),
    ("homogenize", "poisson"): (
        1200.0, 20 * u.min, "1200s", "1200", [1200.0] * 3,
        {"F160W": "20min", "f435w": 1200.0, "f850lp": 20 * u.min},
    ),
    ("homogenize", "to"): ("0.3arcsec", 0.3 * u.arcsec, "300mas"),
    ("psf_quality", "to"): ("0.3arcsec", 0.3 * u.arcsec, "300mas"),
    ("matching_kernels", "to"): ("0.3arcsec", 0.3 * u.arcsec, "300mas"),
    ("open_field", "psf_fwhm"): (
        {"f435w": 0.1}, {"f435w": 100 * u.mas}, {"F435W": "100mas"}, {"435": 0.1 * u.arcsec},
    ),
    ("open_bands", "psf_fwhm"): ({"f160w": 0.2}, {"F160W": 200 * u.mas}),
    ("open_bands", "exposure"): ({"f160w": 1200.0}, {"F160W": 20 * u.min}, {"160": "1200s"}),
    ("open_bands", "zeropoint"): (
        {"f160w": 25.9}, {"F160W": 25.9 * u.mag}, {"f160w": u.Magnitude(25.9, u.ABmag)},
    ),
    ("prepare_psf", "scale"): (0.06, 60 * u.mas, "60mas"),
    ("prepare_psf", "to_scale"): (0.12, 120 * u.mas),
    ("prepare_psf", "pixel"): (0.06, 60 * u.mas, "60mas"),
    ("prepare_psf", "drop"): (0.06, 60 * u.mas, "60mas"),
    ("prepare_psf", "angle"): (30.0, 30 * u.deg, "1800arcmin"),
    ("open_psf", "scale"): (0.06, 60 * u.mas, "60mas"),
    ("open_psf", "angle"): (30.0, 30 * u.deg, "1800arcmin"),
    ("cut_stamps", "size"): (1.2, 1200 * u.mas, "1200mas"),
    ("Grid.around", "size"): (1.2, 1200 * u.mas, (1.2, "1200mas")),
    ("Grid.around", "scale"): (0.06, 60 * u.mas),
    ("Grid.around", "angle"): (30.0, 30 * u.deg),
    ("moffat", "fwhm"): (0.65, 650 * u.mas, "650mas"),
    ("moffat", "scale"): (0.06, 60 * u.mas, "60mas"),
    ("moffat", "radius"): (1.2, 1200 * u.mas, "1.2arcsec"),
    ("moffat", "pixel"): (0.06, 60 * u.mas, "60mas"),
    ("fsf_psf", "wavelength"): (6000.0, 600 * u.nm, "0.6um"),
    ("fit_line", "psf"): ("0.65arcsec", 650 * u.mas, "650mas,beta=2.8"),
    ("register_map", "psf"): ("0.65arcsec", 650 * u.mas, "650mas,beta=2.8"),
    ("open_map", "smoothed"): (0.4, 400 * u.mas, "400mas"),
    ("open_map", "wavelength"): (6000.0, 600 * u.nm, "0.6um"),
    ("line_map", "wavelength"): (6000.0, 600 * u.nm, "0.6um"),
    ("line_map", "width"): (10.0, 1 * u.nm, "1nm"),
    ("line_map", "continuum"): (
        [[5980.0, 5990.0], [6010.0, 6020.0]], [[598, 599], [601, 602]] * u.nm,
    ),
    ("build", "psf_fwhm"): ([0.1, 0.2], [100, 200] * u.mas, {"F435W": 0.1, "f160w": "200mas"}),
    ("build", "zeropoint"): ([25.0, 26.0], [25.0, 26.0] * u.mag),
    ("build", "exposure"): ([600.0, 1200.0], [10, 20] * u.min, {"F435W": 600.0, "f160w": "20min"}),
    ("build", "pivot"): ([4e3, 1.5e4], [0.4, 1.5] * u.micron),
    ("build", "sky"): ([0.0, 1.0], [0.0, 1000.0] * u.nJy),
}  # fmt: skip

# numbers that have no unit, and what they may be; Quantities of a unit are refused
WITHOUT_UNITS = {
    ("open_psf", "drop"): 0.8,
    ("sed_at", "x"): 30.0,
    ("sed_at", "y"): 20.0,
    ("annuli", "ratio"): 0.5,
    ("apertures", "ratio"): 0.5,
    ("curve_of_growth", "ratio"): 0.5,
    ("radial_profile", "ratio"): 0.5,
    ("bin_pixels", "snr"): 20.0,
    ("bin_pixels", "sed_shape"): 4.0,
    ("detect", "snr"): 3.0,
    ("psf_match", "min_coverage"): 0.3,
    ("regrid", "min_coverage"): 0.3,
    ("to_sed", "floor"): 0.1,
    ("to_sed", "redshift"): 0.5,
    ("matching_kernels", "regularization"): 1e-3,
    ("moffat", "beta"): 2.5,
    ("fit_line", "ridge"): 0.02,
}
WHOLE = {
    ("detect", "min_pixels"): 10,
    ("find_stars", "brightest"): 2,
    ("grow", "pixels"): 2,
    ("homogenize", "grow"): 2,
    ("homogenize", "ids"): 1,
    ("measure_psf", "size"): 33,
    ("examine_stars", "size"): 33,
    ("noise_check", "sizes"): [1, 2],
    ("object_mask", "ids"): 1,
    ("prepare_psf", "size"): 33,
    ("rebin", "factor"): 2,
    ("replace_neighbours", "keep"): 4001,
    ("replace_neighbours", "seed"): 2,
    ("photometry", "first"): 1,
    ("group_errors", "first"): 1,
    ("paint", "first"): 1,
    ("paint_fit", "first"): 1,
    ("to_sed", "first"): 1,
    ("Grid.coarsen", "factor"): 2,
}
ARRAYS = ("background", "groups", "labels", "values")
# numbers with names of their own: the extension of a file; chunks are dask's; ids of a table
# or tested elsewhere: tests/fleet
NOT_OURS = (
    {("open_labels", "hdu"), ("open_map", "hdu"), ("open_bands", "hdu"), ("open_bands", "wht_hdu")}
    | {("run_fields", "jobs"), ("run_fields", "scheduler")}
    | {(name, "chunks") for name in ("open_bands", "open_cube", "open_field")}
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("arguments"))


def function_of(name: str) -> Any:
    found: Any = hstcube
    for part in name.split("."):
        found = getattr(found, part)
    return found


def arguments(world: World, name: str) -> tuple[list[Any], dict[str, Any]]:
    """Return good arguments of a public function."""
    if name in OTHERS:
        return OTHERS[name](world)
    positional, named = (world.calls(world.cube) | world.others())[name]
    return list(positional), dict(named)


def psf_file(world: World) -> Any:
    path = world.folder / "psf.fits"
    if not path.exists():
        hstcube.save_psf(world.cube.psf, path)
    return path


def arrays(world: World) -> dict[str, Any]:
    """Return what a cube is built of."""
    return {
        "sci": np.ones((2, 10, 10)),
        "wht": np.ones((2, 10, 10)),
        "bands": ["f435w", "f160w"],
        "grid": Grid.around(world.centre, size=0.6, scale=0.06),
        "units": "uJy",
    }


def spectra_file(world: World) -> Any:
    """Return a file with a small cube of spectra and its variance."""
    path = world.folder / "spectra.fits"
    if not path.exists():
        grid = world.grid.coarsen(4)
        header = fits.Header([*grid.cards, ("BUNIT", "1e-20 erg s-1 cm-2 AA-1")])
        header.update(CRVAL3=5970.0, CRPIX3=1.0, CD3_3=1.25, CUNIT3="Angstrom")
        values = np.ones((50, *grid.shape))
        fits.HDUList(
            [
                fits.PrimaryHDU(),
                fits.ImageHDU(values, header, name="DATA"),
                fits.ImageHDU(values, name="STAT"),
            ]
        ).writeto(path)
    return path


def map_file(world: World) -> Any:
    """Return a file with the map of a line."""
    path = world.folder / "map.fits"
    if not path.exists():
        header = fits.Header([*world.grid.coarsen(3).cards, ("BUNIT", "1e-20 erg s-1 cm-2")])
        fits.PrimaryHDU(np.ones(world.grid.coarsen(3).shape), header).writeto(path)
    return path


FSF = {"FSFMODE": 2, "FSFLB1": 5000.0, "FSFLB2": 9000.0, "FSF00FNC": 2, "FSF00F00": -0.1,
       "FSF00F01": 0.65, "FSF00BNC": 1, "FSF00B00": 2.8}  # fmt: skip

OTHERS: dict[str, Any] = {
    "photometry": lambda world: ([world.cube, world.centre], {"radius": 0.36}),
    "moffat": lambda _: ([0.65], {"scale": 0.06, "radius": 1.2}),
    "fsf_psf": lambda _: ([FSF], {}),
    "open_map": lambda world: ([map_file(world)], {}),
    "line_map": lambda world: (
        [spectra_file(world), 6000.0, 10.0, [[5980.0, 5990.0], [6010.0, 6020.0]]], {}
    ),
    "find_stars": lambda world: ([bright_stars(world)["a"]], {}),
    "measure_psf": lambda world: ([bright_stars(world)], {}),
    "examine_stars": lambda world: ([bright_stars(world)], {}),
    "prepare_psf": lambda world: ([world.cube.psf.values[2].astype(float)], {"scale": 0.06}),
    "open_psf": lambda world: ([psf_file(world)], {}),
    "object_mask": lambda world: ([world.labels], {}),
    "cut_stamps": lambda world: (
        [world.folder, [Position("a", *world.centre)], next(world.out)], {"size": 1.2}
    ),
    "Grid.around": lambda world: ([world.centre], {"size": 1.2, "scale": 0.06}),
    "Grid.coarsen": lambda world: ([world.grid], {}),
    "build": lambda world: ([], arrays(world)),
}  # fmt: skip


def bright_stars(world: World) -> dict[str, xr.Dataset]:
    """Return a cube that shows nothing but the PSF, very bright, as the stamp of a star."""
    cube = world.cube.isel(y=slice(2, 63), x=slice(2, 63))
    psf = cube.psf.values[:, 3:-3, 3:-3]
    side = min(psf.shape[1], cube.sizes["y"])
    assert side % 2
    stamp = cube.isel(y=slice(0, side), x=slice(0, side))
    cut = (psf.shape[1] - side) // 2
    sci = 1e4 * psf[:, cut : cut + side, cut : cut + side]
    return {"a": stamp.assign(sci=(stamp.sci.dims, sci.astype(np.float32), stamp.sci.attrs))}


def called(world: World, name: str, argument: str, value: Any) -> Any:
    positional, named = arguments(world, name)
    function = function_of(name)
    if name == "object_mask":
        return function(*positional, value)
    if name in {"to_sed", "cut_stamps"}:
        positional[2] = next(world.out)
    names = list(inspect.signature(function).parameters)
    if name == "Grid.coarsen":
        return positional[0].coarsen(value)
    place = names.index(argument) if argument in names else len(positional)
    if place < len(positional):
        positional[place] = value
    else:
        named[argument] = value
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*positional, **named)


def pixels_of(result: Any) -> list[Any]:
    """Return what came of a call as arrays that can be compared."""
    if isinstance(result, dict) or hasattr(result, "colnames"):  # a table's columns
        return [array for one in result.values() for array in pixels_of(one)]
    if isinstance(result, xr.Dataset):
        return [result[name].values for name in (*result.data_vars, *result.coords)]
    if isinstance(result, xr.DataArray):
        return [result.values, *(c.values for c in result.coords.values())]
    if isinstance(result, Grid):
        return [[value for _, value in result.cards], result.shape]
    if isinstance(result, list):
        return [len(result)]
    return [np.asarray(result)]


def same(one: Any, other: Any) -> None:
    for left, right in zip(pixels_of(one), pixels_of(other), strict=True):
        if np.asarray(left).dtype.kind in "fc":
            np.testing.assert_allclose(left, right, rtol=1e-6, atol=1e-12)
        else:
            np.testing.assert_array_equal(left, right)


@pytest.mark.slow
@pytest.mark.parametrize("case", WITH_UNITS, ids=".".join)
def test_a_quantity_is_the_number_that_it_is(world: World, case: tuple[str, str]) -> None:
    number, *others = WITH_UNITS[case]
    expected = called(world, *case, number)
    for other in others:
        same(called(world, *case, other), expected)


def wrong_unit(value: Any) -> Any:
    if isinstance(value, dict):
        return dict.fromkeys(value, 3 * u.kg)
    return 3 * u.kg if np.ndim(value) == 0 else [1, 3] * u.kg


def refused(world: World, case: tuple[str, str], value: Any) -> HstCubeError:
    with pytest.raises(HstCubeError) as caught:
        called(world, *case, value)
    assert len(str(caught.value)) < 600
    return caught.value


@pytest.mark.parametrize("case", [*WITH_UNITS, *WITHOUT_UNITS, *WHOLE], ids=".".join)
def test_a_quantity_of_another_kind_is_refused(world: World, case: tuple[str, str]) -> None:
    given = (WITH_UNITS.get(case) or (WITHOUT_UNITS | WHOLE).get(case),)[0]
    first = given[0] if isinstance(given, tuple) else given
    error = refused(world, case, wrong_unit(first))
    assert error.fix
    assert said(case, error)


def said(case: tuple[str, str], error: HstCubeError) -> bool:
    """Return whether an error names the argument, or what it is."""
    words = {"edges": "edges", "level": "sky level", "ids": "object|ids", "radii": "radi"}
    return bool(re.search(words.get(case[1], case[1]), str(error)))


IMPOSSIBLE = [np.nan, np.inf, -1.0, True, "wide", None, 1j, object(), [], np.ma.masked]
NONE_IS = {("detect", "min_pixels"), ("photometry", "radius"), ("sed_at", "y"),
           ("open_psf", "scale"), ("open_psf", "angle"), ("open_psf", "drop"),
           ("prepare_psf", "to_scale"), ("prepare_psf", "size"),
           ("measure_psf", "size"), ("examine_stars", "size"), ("to_sed", "redshift"),
           ("bin_pixels", "sed_shape"), ("bin_pixels", "min_area"), ("psf_quality", "to"),
           ("matching_kernels", "regularization"), ("build", "psf_fwhm"), ("build", "zeropoint"),
           ("psf_match", "to"), ("homogenize", "to"), ("matching_kernels", "to"),
           ("build", "pivot"), ("build", "sky"), ("open_field", "psf_fwhm"),
           ("open_bands", "psf_fwhm"), ("open_bands", "zeropoint"),
           ("open_bands", "exposure"), ("build", "exposure"), ("add_poisson", "exposure"),
           ("homogenize", "poisson"), ("moffat", "pixel"), ("open_map", "smoothed"),
           ("open_map", "wavelength")}  # fmt: skip
SEVERAL = {("homogenize", "ids"), ("noise_check", "sizes"), ("replace_neighbours", "keep")}
NAN_IS = {("to_sed", "redshift")}  # not known


def impossible(case: tuple[str, str]) -> list[Any]:
    """Return what an argument cannot be."""
    out = []
    for value in IMPOSSIBLE:
        negative = isinstance(value, float) and value == -1.0
        if negative and case[1] in ("angle", "level", "sky", "zeropoint"):
            continue
        if value is None and case in NONE_IS:
            continue
        if case in NAN_IS and (value is np.ma.masked or value != value):  # noqa: PLR0124
            continue
        if isinstance(value, list) and case in SEVERAL:
            continue  # none of them
        out.append(value)
    return out


@pytest.mark.slow
@pytest.mark.parametrize("case", [*WITH_UNITS, *WITHOUT_UNITS, *WHOLE], ids=".".join)
def test_what_is_no_number_is_refused(world: World, case: tuple[str, str]) -> None:
    by_band = case[1] in ("psf_fwhm", "zeropoint", "exposure") and case[0] != "build"
    for value in impossible(case):
        if case[0] == "build" and isinstance(value, float) and np.isnan(value):
            continue  # not known
        given = {"f160w": value} if by_band else value
        if case[0] == "build":
            given = [value, value]
        if case[0] == "build" and value is None:
            continue
        error = refused(world, case, given)
        assert error.fix, value


def test_every_number_of_every_public_function_is_here() -> None:
    listed = {*WITH_UNITS, *WITHOUT_UNITS, *WHOLE, *NOT_OURS}
    lacking = []
    for name in hstcube.__all__:
        function = getattr(hstcube, name)
        if not inspect.isfunction(function):
            continue
        documented = re.findall(
            r"(?m)^    ([\w, ]+) : [^\n]*\b(?:float|int|Quantity)\b", function.__doc__ or ""
        )
        for entry in documented:
            for argument in map(str.strip, entry.split(",")):
                known = argument in inspect.signature(function).parameters
                if known and (name, argument) not in listed and argument not in ARRAYS:
                    lacking.append((name, argument))
    assert not lacking
