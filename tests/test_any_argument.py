"""Whatever a public function is given, it returns something or says by name what is wrong."""

from __future__ import annotations

import inspect
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from astropy.table import Table
from everything import World

import hstcube
from hstcube.errors import BandError, FileError, HstCubeError, LabelError, RecipeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import xarray as xr

pytestmark = pytest.mark.filterwarnings("ignore::hstcube.HstCubeWarning")

KINDS: dict[str, Callable[[xr.Dataset], Any]] = {
    "a cube": lambda cube: cube,
    "an image": lambda cube: cube.sci[0],
    "an array": lambda _: np.ones((5, 4)),
    "a word": lambda _: "a word",
    "a number": lambda _: 3.7,
    "None": lambda _: None,
    "nothing": lambda _: [],
    "a table": lambda _: Table({"a": [1.0]}),
    "an object": lambda _: object(),
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("any"))


def others(world: World) -> dict[str, tuple[tuple[Any, ...], dict[str, Any]]]:
    """Return the arguments of functions and pictures that `World` has not."""
    cube, matched, blank = world.cube, world.matched, world.seen <= 0
    saved = hstcube.save_cube(cube, next(world.out).with_suffix(".nc"))
    levels = hstcube.measure_sky(cube, background=blank)
    table = hstcube.photometry(matched, world.groups)
    header = {"FSFMODE": "MOFFAT1", "FSF00BET": 2.8, "FSF00FWA": 0.7, "FSF00FWB": -2e-5}
    return {
        "band": (("f160w",), {}),
        "build": (
            (cube.sci.values, cube.wht.values),
            {"bands": cube.band.values, "grid": world.grid, "units": "electron s-1"},
        ),
        "compare": ((saved, saved), {}),
        "cut_stamps": (
            (world.folder, [("a", *world.centre)], next(world.out)),
            {"size": 1.0, "scale": "60mas"},
        ),
        "example": ((), {}),
        "from_nddata": ((hstcube.to_nddata(cube.isel(band=[0])),), {}),
        "fsf_psf": ((header, 7000.0), {}),
        "list_fields": ((world.folder,), {}),
        "moffat": ((0.65,), {"scale": 0.06, "radius": 1.2}),
        "object_mask": ((world.labels,), {}),
        "prepare_psf": ((cube.psf[0].values,), {"scale": 0.06}),
        "regrid_labels": ((world.labels, world.grid), {}),
        "save_psf": ((cube.psf, next(world.out).with_suffix(".fits")), {}),
        "with_psf": ((cube, cube.psf), {}),
        "write_table": ((table, next(world.out).with_suffix(".csv")), {}),
        "plot.before_after": ((cube, matched), {}),
        "plot.bins": ((matched, world.groups), {}),
        "plot.colour_map": ((matched, "f435w", "f160w"), {}),
        "plot.kernels": ((hstcube.matching_kernels(cube.psf),), {}),
        "plot.mask_overlay": ((cube,), {}),
        "plot.psf_curves": ((hstcube.psf_quality(matched),), {}),
        "plot.quicklook": ((cube,), {}),
        "plot.rgb": ((matched,), {}),
        "plot.sed": ((table,), {}),
        "plot.sky_histograms": ((cube,), {"background": blank, "levels": levels}),
        "plot.snr_maps": ((matched,), {}),
    }  # fmt: skip


@pytest.mark.slow
def test_the_arguments_of_the_others_are_good(world: World) -> None:
    for name, (given, named) in others(world).items():
        assert attrgetter(name)(hstcube)(*given, **named) is not None, name


def calls_with(world: World, thing: Any) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield each public function with one argument replaced, and what it is called."""

    def all_of_them() -> dict[str, tuple[tuple[Any, ...], dict[str, Any]]]:
        return {**world.calls(world.cube), **world.others(), **more}

    more = others(world)
    for name in all_of_them():
        function = attrgetter(name)(hstcube)
        for place, one in enumerate(inspect.signature(function).parameters.values()):
            if one.kind in (one.VAR_KEYWORD, one.VAR_POSITIONAL):
                continue
            if thing is None and one.default is None:
                continue
            given, named = all_of_them()[name]
            many, by_name = list(given), dict(named)
            if place < len(many):
                many[place] = thing
            else:
                by_name[one.name] = thing
            yield f"{name}({one.name}=)", lambda f=function, a=many, k=by_name: f(*a, **k)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_no_kind_of_thing_ends_in_an_error_of_python(
    world: World, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # "a word" is a fine name for a file
    wrong = []
    for called, call in calls_with(world, KINDS[kind](world.cube)):
        try:
            call()
        except HstCubeError as error:
            if len(str(error).splitlines()[0]) > 600:
                wrong.append(f"{called}: {len(str(error))} letters")
        except Exception as error:
            wrong.append(f"{called}: {type(error).__name__}: {error}"[:120])
    assert not wrong, "\n".join(wrong)


NAMED: dict[str, Any] = {
    "a word": "f160w",
    "capitals": ["F160W"],
    "digits": [160],
    "a number": 160,
    "an array": np.array(["f160w"]),
    "a set": {"f160w"},
}


@pytest.mark.parametrize("how", [*NAMED, "of a cube"])
def test_bands_are_named_by_a_word_a_list_or_what_a_cube_holds(world: World, how: str) -> None:
    given = NAMED.get(how, world.cube.band[-1:])
    opened = hstcube.open_field(world.folder, "1", bands=given)
    assert opened.band.values.tolist() == ["f160w"]
    assert hstcube.common_mask(world.matched, bands=given).any()
    assert hstcube.psf_match(world.cube, allow=given).sizes["band"] == 3


@pytest.mark.parametrize("given", [[3.7], b"f160w", [None], object(), {"f160w": 1}.items()])
def test_what_names_no_band_is_refused(world: World, given: Any) -> None:
    for call in (
        lambda: hstcube.open_field(world.folder, "1", bands=given),
        lambda: hstcube.common_mask(world.matched, bands=given),
        lambda: hstcube.psf_match(world.cube, allow=given),
    ):
        with pytest.raises(BandError, match=r"HC-B01 .* not names of bands"):
            call()


def test_a_band_in_place_of_another_is_named_whole(world: World) -> None:
    """It was taken apart: there is no band f."""
    with pytest.raises(HstCubeError, match="f999w"):
        hstcube.open_field(world.folder, "1", bands="f999w")


@pytest.mark.parametrize("word", ["no", "yes", None, 2, [True]])
def test_a_flag_is_true_or_false(world: World, word: Any, tmp_path: Path) -> None:
    """Each would count as True: "no" deleted the file."""
    path = hstcube.save_cube(world.cube, tmp_path / "cube.nc")
    before = path.read_bytes()
    groups = world.groups
    calls: dict[str, Callable[[], Any]] = {
        "overwrite": lambda: hstcube.save_cube(world.cube, path, overwrite=word),
        "deblend": lambda: hstcube.detect(world.cube, deblend=word),
        "partial": lambda: hstcube.photometry(world.cube, groups, partial=word),
        "total": lambda: hstcube.photometry(world.cube, groups, total=word),
        "covariance": lambda: hstcube.group_errors(world.cube, groups, covariance=word),
        "largest": lambda: hstcube.object_mask(world.labels, largest=word),
        "again": lambda: hstcube.subtract_sky(world.cube, 0.0, again=word),
        "apply_mask": lambda: hstcube.to_fits(world.cube, tmp_path, apply_mask=word),
        "positive": lambda: hstcube.fit_line(
            world.matched, world.line, psf="0.65arcsec", positive=word
        ),
    }
    for name, call in calls.items():
        with pytest.raises(RecipeError, match=f"HC-B22 {name} is .*, neither True nor False"):
            call()
    assert path.read_bytes() == before


@pytest.mark.parametrize("flag", [1, np.True_])
def test_what_equals_true_is_true(world: World, flag: Any) -> None:
    again = hstcube.subtract_sky(world.matched, 0.0, again=flag)
    assert again.sci.equals(world.matched.sci)


def test_chunks_are_said_as_xarray_takes_them(world: World) -> None:
    for chunks, side in (("auto", 64), (32, 32), ({"y": 32}, 32), (-1, 64), (np.int64(32), 32)):
        cube = hstcube.open_field(world.folder, "1", chunks=chunks)
        assert cube.sci.chunks[1][0] == side
    for wrong in ("some", 0, 2.5, {"y": "all"}, {"row": 32}, True, [32]):
        with pytest.raises(RecipeError, match=r"HC-B30 chunks (are|is)"):
            hstcube.open_field(world.folder, "1", chunks=wrong)


def test_a_pair_of_images_is_two_paths(world: World) -> None:
    with pytest.raises(FileError, match=r"f160w: this is 'sci\.fits', not its science"):
        hstcube.open_bands({"f160w": "sci.fits"}, field="1")
    with pytest.raises(RecipeError, match=r"HC-B31 files is .*for each band"):
        hstcube.open_bands([("sci.fits", "wht.fits")], field="1")


def test_pixels_that_are_kept_lie_on_the_grid_of_the_cube(world: World) -> None:
    """Those of a flipped cube were taken in their own order."""
    keep = (world.seen > 0).isel(y=slice(None, None, -1))
    with pytest.raises(HstCubeError, match="HC-D02"):
        hstcube.fit_line(world.matched, world.line, psf="0.65arcsec", keep=keep)
    with pytest.raises(LabelError, match="HC-L17 keep has the shape"):
        hstcube.register_map(
            world.matched.sel(band=["f160w"]), world.line, psf="0.65arcsec", keep=np.ones((5, 4))
        )


def test_every_table_of_psfs_has_its_panel_and_every_band_its_level(world: World) -> None:
    """Of three tables two were drawn; levels in another order were drawn in their own."""
    quality = hstcube.psf_quality(world.matched)
    figure = hstcube.plot.psf_curves(quality, quality, quality)
    assert [len(axes.lines) > 0 for axes in figure.axes] == [True] * 3
    assert [axes.get_title() for axes in figure.axes] == ["before", "after", ""]
    blank = world.seen <= 0
    levels = hstcube.measure_sky(world.cube, background=blank)
    pictures = [
        hstcube.plot.sky_histograms(world.cube, background=blank, levels=some)
        for some in (levels, levels[::-1])
    ]
    right, turned = ([axes.lines[0].get_xdata()[0] for axes in one.axes] for one in pictures)
    assert right == turned == levels.values.tolist()


def test_the_fields_and_places_of_a_run_are_named_as_people_name_them(world: World) -> None:
    def run(**named: Any) -> Any:
        return hstcube.run_fields(world.folder, next(world.out), bands=("f160w",), **named)

    for fields in ([1], np.array(["1"]), {"1"}):
        assert run(fields=fields, netcdf=False)["status"].tolist() == ["ok"]
    assert run(ids="m=1:4001", netcdf=False)["target"].tolist() == ["1", "m"]
    for wrong in (
        {"fields": [3.7]}, {"ids": [None]}, {"resume": "no"}, {"places": {"label": "x"}},
        {"places": 3}, {"recipe": {"too": "f160w"}}, {"recipe": "f160w"},
    ):  # fmt: skip
        with pytest.raises(RecipeError):
            run(**wrong)
