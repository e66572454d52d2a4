"""The one door of cubes: what is none is refused, and NaN where there is a weight is no data."""

from __future__ import annotations

import inspect
import warnings

import dask
import numpy as np
import pytest
import xarray as xr
from everything import World
from made import cube_on
from strategies import plain_grid

import hstcube
from hstcube import Grid, HstCubeError, HstCubeWarning, validate
from hstcube.core.rules import taken

GRID = plain_grid((24, 26))


@pytest.fixture
def cube():
    return cube_on(GRID, psf_fwhm=[0.1, 0.18])


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with warnings.catch_warnings():
        world = World(tmp_path_factory.mktemp("world"))
        assert world.cube.sizes["band"] == 3
        yield world


def code_of(do):
    with pytest.raises(HstCubeError) as caught:
        do()
    assert caught.value.fix
    return caught.value.code


def with_pixels(cube, name, value, where=(0, 3, 4)):
    values = cube[name].values.copy()
    values[where] = value
    return cube.assign({name: cube[name].copy(data=values)})


@pytest.mark.parametrize(
    "given", [None, 3, "cube.nc", np.zeros((2, 3, 4)), [], {}, xr.DataArray([1.0], name="sci")],
    ids=["None", "a number", "a path", "numpy", "a list", "a dict", "a DataArray"],
)  # fmt: skip
def test_every_function_that_takes_a_cube_says_what_it_got_instead(given, world):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        calls = world.calls(world.cube)
    for name, (args, kwargs) in calls.items():
        with pytest.raises(HstCubeError) as caught:
            getattr(hstcube, name)(given, *args[1:], **kwargs)
        assert caught.value.code in ("HC-C01", "HC-N08", "HC-D02", "HC-W01", "HC-P14"), name
        assert caught.value.fix, name
        assert len(str(caught.value)) < 400, name


def test_every_public_function_with_a_cube_is_walked(world):
    calls = world.calls(world.cube)
    for name in sorted(set(hstcube.__all__) - {"plot", "__version__"}):
        function = getattr(hstcube, name)
        if inspect.isfunction(function) and "cube" in inspect.signature(function).parameters:
            assert name in calls or name in (
                "apply_shifts",
                "fit_line",
                "line_model",
                "register_map",
                "with_psf",
            ), name


@pytest.mark.parametrize(
    ("edit", "code", "said"),
    [
        (lambda c: c.isel(band=0), "HC-C02", "sel(band=["),
        (lambda c: c.isel(y=3), "HC-C02", "slice"),
        (lambda c: c.expand_dims(field=2), "HC-C02", "isel(field=0)"),
        (lambda c: c.isel(band=[]), "HC-C01", "band"),
        (lambda c: c.isel(x=slice(0, 0)), "HC-C01", "x"),
        (lambda c: c.drop_vars("y"), "HC-C07", "'y'"),
        (lambda c: c.isel(x=[0, 1, 5]), "HC-W22", "slice"),
        (lambda c: c.assign_coords(wcs=("band", [int(c.wcs)] * 2, c.wcs.attrs)), "HC-W26", "band"),
        (lambda c: c.assign_coords(wcs=((), int(c.wcs))), "HC-W01", "attributes"),
        (lambda c: c.assign_coords(wcs=((), c.wcs.values, c.wcs.attrs | {"CRVAL1": 3.0})),
         "HC-W26", "fingerprint"),
        (lambda c: c.assign_coords(band=["../../../evil", "f160w"]), "HC-B12", "evil"),
        (lambda c: c.assign_coords(band=[606, 160]), "HC-B12", "606"),
        (lambda c: c.assign_coords(pivot=("band", [-1.0, 15000.0])), "HC-C08", "pivot"),
        (lambda c: c.assign_coords(psf_fwhm=0.1), "HC-C02", "psf_fwhm"),
        (lambda c: c.assign_coords(sky=("band", ["a", "b"])), "HC-C03", "sky"),
        (lambda c: c.assign_coords(matched_to=("band", np.array([None, ""], object))), "HC-C08",
         "matched_to"),
        (lambda c: c.assign(sci=c.sci.assign_attrs(units=3)), "HC-C04", "text"),
        (lambda c: with_pixels(c, "wht", -1.0), "HC-D10", "negative"),
        (lambda c: with_pixels(c, "wht", np.nan), "HC-D10", "NaN"),
        (lambda c: with_pixels(c, "sci", np.nan, 0), "HC-D08", "no pixel"),
        (lambda c: c.assign(labels=("band", [1, 2])), "HC-C02", "labels"),
    ],
)  # fmt: skip
def test_what_is_no_cube_any_more_is_refused_with_the_way_back(edit, code, said, cube):
    with pytest.raises(HstCubeError) as caught:
        taken(edit(cube))
    assert caught.value.code == code
    assert said in str(caught.value)


def test_bands_on_two_grids_joined_by_xarray_are_refused(cube):
    moved = cube.assign_coords(Grid.of(cube).stepped((7, 0), (1, 1), GRID.shape).coords())
    joined = xr.concat(
        [cube.isel(band=[0]), moved.isel(band=[1])], "band", data_vars="minimal",
        coords="different", compat="equals",
    )  # fmt: skip
    assert joined.wcs.dims == ("band",)
    assert code_of(lambda: hstcube.psf_match(joined)) == "HC-W26"
    assert code_of(lambda: Grid.of(joined.sci)) == "HC-W26"


def test_a_field_chosen_from_fields_that_were_joined_is_not_placed_on_another(cube):
    moved = cube.assign_coords(Grid.of(cube).stepped((300, 0), (1, 1), GRID.shape).coords())
    fields = xr.concat([cube, moved], "field", data_vars="all", coords="different", compat="equals")
    groups = np.ones(GRID.shape, np.int32)
    second = fields.isel(field=1)
    assert code_of(lambda: hstcube.photometry(second, groups)) == "HC-W26"
    assert code_of(lambda: hstcube.require_same_grid(moved, second.sci)) in ("HC-D02", "HC-W26")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_pixel_without_a_value_stays_one_pixel_in_every_step(value, cube):
    broken = with_pixels(cube, "sci", value, (0, 10, 10))
    before = broken.copy(deep=True)
    told = pytest.warns(HstCubeWarning, match="HC-D07 f606w: 1 pixels")
    with told:
        matched = hstcube.psf_match(broken, to="0.25arcsec", method="gaussian")
    assert validate(matched)
    good = np.isfinite(matched.sci.values)
    assert not good[0, 10, 10]
    assert good.sum() == good.size - 1
    assert "HC-D07" in matched.attrs["warnings"]
    with pytest.warns(HstCubeWarning, match="HC-D07"):
        assert validate(hstcube.mask(broken, np.ones(GRID.shape, bool)))
    with pytest.warns(HstCubeWarning, match="HC-D07"):
        assert validate(hstcube.rebin(broken, 2))
    assert broken.identical(before)


def test_pixels_without_weight_may_keep_a_value_or_a_nan(cube):
    hole = (..., slice(5, 8), slice(5, 8))
    emptied = with_pixels(cube, "wht", 0.0, hole)
    assert validate(taken(emptied))
    assert np.isnan(taken(emptied).sci.values[hole]).all()
    both = with_pixels(with_pixels(cube, "wht", np.nan, hole), "sci", np.nan, hole)
    assert taken(both).identical(taken(emptied))


def test_a_cube_that_keeps_the_rules_passes_as_it_is(cube):
    assert taken(cube) is cube
    assert taken(cube.drop_attrs(deep=False)) is not None


def test_chunked_pixels_are_looked_at_when_they_are_computed(cube):
    def refuse(*args, **kwargs):
        raise AssertionError

    chunks = {"y": 7, "x": 26}
    lazy = with_pixels(cube, "sci", np.nan, (0, 10, 10)).chunk(chunks)
    wrong = with_pixels(cube, "wht", -1.0).chunk(chunks)
    with dask.config.set(scheduler=refuse):
        planes = ("sci", "wht", "mask")
        lazy = lazy.assign_coords({n: v.compute(scheduler="sync") for n, v in lazy.coords.items()})
        wrong = wrong.assign_coords(
            {n: v.compute(scheduler="sync") for n, v in wrong.coords.items()}
        )
        made = hstcube.subtract_sky(lazy, 0.0, again=True)
        spoilt = hstcube.subtract_sky(wrong, 0.0, again=True)
        assert all(made[name].chunks for name in planes)
        again = taken(made)
        assert again is made
    with (
        dask.config.set(scheduler="synchronous"),
        pytest.warns(HstCubeWarning, match="HC-D07 1 pixels of a block"),
    ):
        assert validate(made.compute())
    with dask.config.set(scheduler="synchronous"):
        assert code_of(spoilt.compute) == "HC-D10"


def test_what_float32_does_not_hold_is_refused_by_the_step_that_makes_it(cube):
    assert code_of(lambda: hstcube.deredden(cube, 100.0)) == "HC-D35"
    tiny = cube.assign(
        sci=cube.sci.copy(data=cube.sci.values * np.float32(1e-38)),
        wht=cube.wht.copy(data=np.full_like(cube.wht.values, 1e37)),
    )
    assert code_of(lambda: hstcube.to_flux(tiny, "Jy")) == "HC-D40"
    lazy = hstcube.to_flux(tiny.chunk({"y": 7}), "Jy")
    with dask.config.set(scheduler="synchronous"), np.errstate(all="ignore"):
        assert code_of(lazy.compute) == "HC-D40"


@pytest.mark.filterwarnings("ignore:.*HC-N06")
def test_noise_is_measured_on_chunked_cubes_too():
    rng = np.random.default_rng(1)
    grid = plain_grid((60, 60))
    cube = cube_on(grid, ("f160w",), rng.normal(size=(1, 60, 60)) / 2)
    eager = hstcube.calibrate_noise(cube)
    assert hstcube.calibrate_noise(cube.chunk({"y": 17})).equals(eager)


def test_a_corrected_band_and_one_that_is_not_are_stacked_with_what_was_taken_off(cube):
    one, other = hstcube.deredden(cube.isel(band=[0]), 0.1), cube.isel(band=[1])
    both = hstcube.stack_bands([one, other])
    assert both.extinction.values.tolist() == [one.extinction.item(), 0.0]
    assert code_of(lambda: hstcube.deredden(both, 0.1)) == "HC-D34"
    odd = other.assign_coords(depth=("band", [3.0]))
    assert code_of(lambda: hstcube.stack_bands([cube.isel(band=[0]), odd])) == "HC-C07"


def test_pictures_of_cubes_that_do_not_belong_together_are_refused(cube):
    assert code_of(lambda: hstcube.plot.homogeneous(cube, cube.isel(y=slice(0, 5)))) == "HC-D02"
    assert code_of(lambda: hstcube.plot.homogeneous(cube, cube.isel(band=[0]))) == "HC-B01"
