"""Photon noise of sources: added where times are known, noted where not, told where it lacks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from made import code_of
from stamps import label_map, rewrite, stamp, write_field
from typer.testing import CliRunner

import hstcube
from hstcube.cli.app import app
from hstcube.core.stack import stack_bands
from hstcube.pipeline.findings import examine
from hstcube.pipeline.options import Options
from hstcube.pipeline.plan import plan
from hstcube.pipeline.recipe import read_recipe
from hstcube.pipeline.runs import run

if TYPE_CHECKING:
    from pathlib import Path

    import xarray as xr

pytestmark = pytest.mark.filterwarnings("ignore::hstcube.HstCubeWarning")

BANDS = ("f606w", "f160w")
SECONDS = 5e4  # the light of the made-up object raises errors by up to 20 % with it
LIES = {"TEXPTIME": None, "EXPTIME": 1.0}
UNKNOWN = "photon noise is not added to the weights, for no exposure time is known"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    data = write_field(tmp_path / "data", bands=BANDS)
    for band in BANDS:
        rewrite(stamp(data, band), cards={"TEXPTIME": SECONDS})
    return data


def opened(folder: Path, **how: Any) -> xr.Dataset:
    return hstcube.open_field(folder, "1", **how)


def made(folder: Path, **how: Any) -> xr.Dataset:
    how = {"to": "0.3arcsec", **how}
    return hstcube.homogenize(opened(folder), labels=hstcube.open_labels(label_map(folder)), **how)


def by_hand(folder: Path, exposure: Any) -> xr.Dataset:
    cube, labels = opened(folder), hstcube.open_labels(label_map(folder))
    background = (hstcube.regrid_labels(labels, hstcube.Grid.of(cube)) == 0).values
    cube = hstcube.subtract_sky(cube, hstcube.measure_sky(cube, background=background))
    if exposure is not None:
        cube = hstcube.add_poisson(cube, exposure=exposure)
    return hstcube.psf_match(cube, to="0.3arcsec")


def same_weights(one: xr.Dataset, other: xr.Dataset) -> None:
    np.testing.assert_array_equal(one.wht.values, other.wht.values)


# -- truth: photons counted elsewhere


@pytest.mark.slow
def test_the_errors_are_the_scatter_of_images_whose_photons_were_counted(tmp_path: Path) -> None:
    """400 exposures of 2e4 s: counts of source and sky by numpy's Poisson, read noise on top."""
    rng = np.random.default_rng(7)
    seconds, sky, read = 2e4, 0.02, 12.0  # s, e/s, e
    y, x = np.mgrid[:24, :24] - 11.5
    truth = 0.5 * np.exp(-(x**2 + y**2) / 18)  # e/s: at its peak 25 times the sky
    counts = rng.poisson((truth + sky) * seconds, (400, 24, 24))
    counts = counts + rng.normal(0, read, counts.shape)
    images = counts / seconds - sky
    grid = hstcube.Grid.around((53.1, -27.8), size=24 * 0.06, scale=0.06)
    weight = seconds**2 / (sky * seconds + read**2)  # as drizzle has it: of sky and read noise
    wht = np.full((1, 24, 24), weight)
    claimed, without = [], []
    for image in images[:60]:  # what is claimed hardly differs between them
        cube = hstcube.build(
            image[None], wht, bands=["f160w"], grid=grid, units="electron s-1",
            exposure=[seconds], psf_fwhm=[0.3],
        )  # fmt: skip
        how = {"sky": None, "to": "f160w"}
        claimed.append(hstcube.homogenize(cube, **how).wht.values[0])
        without.append(hstcube.homogenize(cube, poisson="none", **how).wht.values[0])
    scatter = images.var(axis=0, ddof=1)
    bright = truth > 0.2
    ratio = np.mean((1 / np.array(claimed)).mean(0)[bright] / scatter[bright])
    lacking = np.mean((1 / np.array(without)).mean(0)[bright] / scatter[bright])
    assert abs(np.sqrt(ratio) - 1) < 0.02  # 100 pixels of 400 draws: 0.4 %
    assert np.sqrt(lacking) < 0.4
    faint = truth < 1e-4  # where there is no light nothing is to change
    assert abs(np.sqrt(np.mean((1 / np.array(claimed)).mean(0)[faint] / scatter[faint])) - 1) < 0.03


# -- where times come from


@pytest.mark.parametrize(
    ("cards", "seconds"),
    [
        ({"TEXPTIME": 3e4, "EXPTIME": 1200.0}, 3e4),
        ({"TEXPTIME": None, "EXPTIME": 1200.0}, 1200.0),
        ({"TEXPTIME": 1.0, "EXPTIME": 1200.0}, 1200.0),
        ({"TEXPTIME": "many", "EXPTIME": 1200.0}, 1200.0),
        (LIES, None),
        ({"TEXPTIME": None, "EXPTIME": 0.5}, None),
        ({"TEXPTIME": -5.0, "EXPTIME": 0.0}, None),
        ({"TEXPTIME": 1e12, "EXPTIME": True}, None),
        ({"TEXPTIME": None, "EXPTIME": None}, None),
    ],
)
def test_the_total_time_goes_before_that_of_an_image_and_one_second_is_none(
    folder: Path, cards: dict[str, Any], seconds: float | None
) -> None:
    rewrite(stamp(folder, "f160w"), cards=cards)
    told = float(opened(folder).exposure.sel(band="f160w"))
    assert np.isnan(told) if seconds is None else told == seconds


def test_times_that_are_given_go_before_the_header(folder: Path) -> None:
    files = {band: (stamp(folder, band), stamp(folder, band, "wht")) for band in BANDS}
    cube = hstcube.open_bands(files, field="1", exposure={"F160W": 20 * u.min})
    assert cube.exposure.values.tolist() == [SECONDS, 1200.0]
    assert cube.exposure.attrs["units"] == "s"
    given = {"f105w": 1.0}
    assert code_of(lambda: hstcube.open_bands(files, field="1", exposure=given)) == "HC-B01"
    for wrong, code in ((-5.0, "HC-B31"), (np.nan, "HC-B31"), ("20mag", "HC-B33")):
        with pytest.raises(hstcube.HstCubeError) as caught:
            hstcube.open_bands(files, field="1", exposure={"f160w": wrong})
        assert caught.value.code == code


def test_images_in_electrons_are_divided_by_the_time_that_is_given(folder: Path) -> None:
    rewrite(stamp(folder, "f160w"), cards={**LIES, "BUNIT": "ELECTRONS"})
    files = {"f160w": (stamp(folder, "f160w"), stamp(folder, "f160w", "wht"))}
    assert code_of(lambda: hstcube.open_bands(files, field="1")) == "HC-D26"
    cube = hstcube.open_bands(files, field="1", exposure={"f160w": 1200.0})
    assert "divided by the exposure = 1200 s" in cube.attrs["warnings"]
    assert float(cube.exposure[0]) == 1200.0


# -- what is added


def test_auto_adds_it_where_times_are_known_and_says_so(folder: Path) -> None:
    cube = made(folder)
    same_weights(cube, by_hand(folder, SECONDS))
    assert cube.attrs["poisson"] == "50000 s"
    assert "add_poisson(50000 s)" in cube.attrs["history"]
    assert "HC-N21" not in cube.attrs["history"]
    assert "HC-N13" not in cube.attrs["warnings"]


def test_bands_without_a_time_stay_as_they_are_and_one_note_names_them(folder: Path) -> None:
    rewrite(stamp(folder, "f160w"), cards=LIES)
    cube = made(folder)
    assert cube.attrs["poisson"] == "50000 s, none"
    same_weights(cube.isel(band=[0]), by_hand(folder, SECONDS).isel(band=[0]))
    same_weights(cube.isel(band=[1]), by_hand(folder, None).isel(band=[1]))
    assert f"note HC-N21 f160w: {UNKNOWN}" in cube.attrs["history"].splitlines()
    rewrite(stamp(folder, "f606w"), cards=LIES)
    cube = made(folder)
    assert cube.attrs["poisson"] == ""
    assert cube.attrs["history"].count("HC-N21") == 1
    assert f"note HC-N21 f606w, f160w: {UNKNOWN}" in cube.attrs["history"]
    assert code_of(lambda: hstcube.add_poisson(opened(folder))) == "HC-N11"


def test_auto_on_other_units_or_matched_images_is_a_note_that_says_why(folder: Path) -> None:
    cube = hstcube.to_flux(opened(folder).assign_coords(zeropoint=("band", [26.0, 26.0])))
    done = hstcube.homogenize(cube, sky=None, to="0.3arcsec")
    assert "for sci is in 'uJy', not in 'electron s-1'" in done.attrs["history"]
    assert done.attrs["poisson"] == ""
    again = hstcube.homogenize(made(folder, poisson="none"), sky=None, to="0.3arcsec")
    assert "for the images were matched before" in again.attrs["history"]


def test_what_is_demanded_and_cannot_be_is_an_error(folder: Path) -> None:
    cube = hstcube.to_flux(opened(folder).assign_coords(zeropoint=("band", [26.0, 26.0])))
    how = {"sky": None, "to": "0.3arcsec"}
    assert code_of(lambda: hstcube.homogenize(cube, poisson=1200.0, **how)) == "HC-N11"
    twice = hstcube.add_poisson(opened(folder))
    assert code_of(lambda: hstcube.homogenize(twice, poisson=1200.0, **how)) == "HC-N10"
    assert hstcube.homogenize(twice, **how).attrs["poisson"] == "50000 s"  # auto: it is there


@pytest.mark.parametrize(
    ("poisson", "same_as"),
    [
        (1200.0, 1200.0),
        (20 * u.min, 1200.0),
        ("1200", 1200.0),
        ("20min", 1200.0),
        ([1200.0, 600.0], [1200.0, 600.0]),
        ({"F160W": 600.0}, [SECONDS, 600.0]),
        ({"f160w": np.full((40, 44), 600.0), "f606w": 20 * u.min}, [1200.0, 600.0]),
        ("auto", SECONDS),
        ("none", None),
        (None, None),
    ],
    ids=str,
)
def test_what_is_asked_for_is_what_add_poisson_does(
    folder: Path, poisson: Any, same_as: Any
) -> None:
    same_weights(made(folder, poisson=poisson), by_hand(folder, same_as))


@pytest.mark.parametrize(
    ("poisson", "code"),
    [
        ("automatic", "HC-B22"),
        ("", "HC-B22"),
        ("20mag", "HC-N11"),
        (0.0, "HC-N11"),
        (-1200.0, "HC-N11"),
        (np.nan, "HC-N11"),
        ({"f105w": 5.0}, "HC-B01"),
        ({"f160w": "much"}, "HC-B22"),
        ({"f160w": np.ones((3, 3))}, "HC-D01"),
        ({"f160w": -np.ones((40, 44))}, "HC-N11"),
        (np.zeros((40, 44)), "HC-N11"),
        ([1.0, 2.0, 3.0], "HC-N11"),
        ("nowhere.fits", "HC-F01"),
    ],
    ids=str,
)
@pytest.mark.parametrize("chunks", [None, {}])
def test_what_is_no_time_is_refused(folder: Path, poisson: Any, code: str, chunks: Any) -> None:
    cube = opened(folder, chunks=chunks)

    def tried() -> None:
        hstcube.homogenize(cube, sky=None, to="0.3arcsec", poisson=poisson).compute()

    assert code_of(tried) == code


def test_chunked_cubes_get_the_same(folder: Path) -> None:
    whole, pieces = opened(folder), opened(folder, chunks={"y": 16, "x": 16})
    for poisson in ("auto", 1200.0, np.full((40, 44), 1200.0), {"f606w": 5.0}):
        how = {"sky": 0.0, "to": "0.3arcsec", "poisson": poisson}
        lazy = hstcube.homogenize(pieces, **how)
        assert lazy.wht.chunks
        np.testing.assert_allclose(
            lazy.compute().wht, hstcube.homogenize(whole, **how).wht, rtol=1e-5
        )


def test_the_original_recipe_adds_nothing_by_itself_and_does_not_complain(folder: Path) -> None:
    how = {"recipe": "original", "to": "f160w"}
    by_itself, none = made(folder, **how), made(folder, poisson="none", **how)
    same_weights(by_itself, none)
    for cube in (by_itself, none):
        assert cube.attrs["poisson"] == ""
        assert "HC-N13" not in cube.attrs["warnings"]
        assert "HC-N21" not in cube.attrs["history"]
    assert made(folder, poisson=1200.0, **how).attrs["poisson"] == "1200 s"


# -- the warning


def test_light_that_matters_and_is_left_out_is_a_warning(folder: Path) -> None:
    cube = made(folder, poisson="none")
    (line,) = [line for line in cube.attrs["warnings"].splitlines() if "HC-N13" in line]
    observed = hstcube.subtract_sky(opened(folder), cube.sky)
    share = (observed.sci * observed.wht / SECONDS).where(cube.mask).sel(band="f160w")
    number, most = int((share > 0.21).sum()), float(np.sqrt(1 + share.max()) - 1)
    assert number > 3
    assert f"f160w {number} pixels, by up to {most:.0%}" in line


def test_light_that_does_not_matter_or_is_there_or_cannot_be_told_is_none(folder: Path) -> None:
    assert "HC-N13" not in made(folder).attrs["warnings"]
    for cards in ({"TEXPTIME": 1e6}, LIES):
        for band in BANDS:
            rewrite(stamp(folder, band), cards=cards)
        assert "HC-N13" not in made(folder, poisson="none").attrs["warnings"]


# -- on the command line, in recipes and field files


def findings(folder: Path, source: Path | None = None, **recipe: Any) -> set[tuple[str, str]]:
    (target,) = plan(source or folder, [], [], scale="60mas")
    how = {"to": "0.3arcsec", **recipe}
    report = examine(target, Options(recipe=how, sky="measure"))
    return {(one.kind, one.code) for one in report.findings if one.code[:4] == "HC-N"} - {
        ("note", "HC-N20")
    }


def ran(folder: Path, source: Path | None = None, **recipe: Any) -> dict[str, Any]:
    out = folder.parent / "out"
    how = {"to": "0.3arcsec", **recipe}
    run(
        plan(source or folder, [], [], scale="60mas"),
        out,
        Options(recipe=how, sky="measure", overwrite=True),
    )
    (record,) = json.loads((out / "run.json").read_text())["targets"].values()
    return record


@pytest.mark.parametrize(
    ("poisson", "told", "found"),
    [
        ("auto", "50000 s", set()),
        ("none", "", {("warning", "HC-N13")}),
        (1200.0, "1200 s", set()),
    ],
)
def test_check_and_run_say_the_same(
    folder: Path, poisson: Any, told: str, found: set[tuple[str, str]]
) -> None:
    assert findings(folder, poisson=poisson) == found
    record = ran(folder, poisson=poisson)
    assert (record["poisson"], record["options"]["poisson"]) == (told, poisson)
    assert {("warning", line[:6]) for line in record["warnings"] if "HC-N" in line} == found


def test_check_counts_the_pixels_that_run_counts(folder: Path) -> None:
    (target,) = plan(folder, [], [], scale="60mas")
    how = Options(recipe={"to": "0.3arcsec", "poisson": "none"}, sky="measure")
    (said,) = [one.text for one in examine(target, how).findings if one.code == "HC-N13"]
    assert f"HC-N13 {said}" in ran(folder, poisson="none")["warnings"]


def test_check_and_run_note_the_bands_without_a_time(folder: Path) -> None:
    rewrite(stamp(folder, "f160w"), cards=LIES)
    assert findings(folder) == {("note", "HC-N21")}
    record = ran(folder)
    assert record["poisson"] == "50000 s, none"
    assert f"HC-N21 f160w: {UNKNOWN}" in record["notes"]


def test_check_and_run_refuse_the_same(folder: Path) -> None:
    for poisson, code in (("nowhere.fits", "HC-F01"), ("sometimes", "HC-B22"), (-2.0, "HC-N11")):
        (target,) = plan(folder, [], [], scale="60mas")
        how = Options(recipe={"to": "0.3arcsec", "poisson": poisson}, sky="measure")
        assert code in {one.code for one in examine(target, how).of("error")}
        assert ran(folder, poisson=poisson)["code"] == code


def exposure_map(folder: Path, seconds: float = 600.0, **cards: Any) -> Path:
    place = folder / "exposure.fits"
    with fits.open(stamp(folder, "f160w")) as hdus:
        hdus[0].data = np.full_like(hdus[0].data, seconds)
        hdus[0].header.update(FILETYPE="EXP", BUNIT="s", **cards)
        hdus.writeto(place, overwrite=True)
    return place


def test_a_map_of_times_is_a_file_on_the_pixels_of_the_cube(folder: Path) -> None:
    same_weights(made(folder, poisson=exposure_map(folder)), by_hand(folder, 600.0))
    assert ran(folder, poisson=str(exposure_map(folder)))["poisson"] == "map"
    moved = exposure_map(folder, CRPIX1=3.0)
    assert code_of(lambda: made(folder, poisson=moved)) == "HC-D02"


def field_file(folder: Path, *, of_field: str = "", of_band: str = "") -> Path:
    place = folder / "field.toml"
    bands = "".join(
        f'[bands.{band}]\nsci = "new_stamps/{stamp(folder, band).name}"\n'
        f'wht = "new_stamps/{stamp(folder, band, "wht").name}"\n'
        + (of_band if band == "f160w" else "")
        for band in BANDS
    )
    labels = f'[labels]\npath = "segment_maps/{label_map(folder).name}"\n'
    place.write_text(f"{of_field}\n{bands}{labels}")
    return place


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"of_band": "exposure = 600\n"}, "50000 s, 600 s"),
        ({"of_band": 'exposure = "exposure.fits"\n'}, "map"),
        ({"of_field": 'poisson = "none"\n'}, ""),
        ({"of_field": "poisson = 600\n"}, "600 s"),
        ({"of_field": 'poisson = "exposure.fits"\n'}, "map"),
        ({"of_field": 'poisson = "none"\n', "of_band": "exposure = 600\n"}, ""),
    ],
    ids=str,
)
def test_a_field_file_can_say_it(folder: Path, said: dict[str, str], told: str) -> None:
    exposure_map(folder)
    record = ran(folder, field_file(folder, **said))
    assert record["poisson"] == told
    used = any(name.endswith("exposure.fits") for name in record["inputs"])
    assert used == (told == "map")
    cube = hstcube.open_cube(folder.parent / "out" / "field.nc")
    expected = {"map": [SECONDS, 600.0] if "of_band" in said else 600.0, "": None, "600 s": 600.0}
    same_weights(cube, by_hand(folder, expected.get(told, [SECONDS, 600.0])))


def test_options_go_before_the_recipe_and_the_recipe_before_the_field_file(folder: Path) -> None:
    source = field_file(folder, of_field="poisson = 600\n")
    recipe = folder / "recipe.toml"
    recipe.write_text('to = "0.3arcsec"\npoisson = 700\n')
    out = folder.parent / "out"
    for option, told in (([], "700 s"), (["--poisson", "800"], "800 s")):
        call = ["run", source, "-o", out, "--overwrite", "--recipe", recipe, *option]
        said = CliRunner().invoke(app, [*map(str, call), "--sky", "measure"])
        assert said.exit_code == 0, said.output
        assert hstcube.open_cube(out / "field.nc").attrs["poisson"] == told


@pytest.mark.parametrize("value", ['"sometimes"', "-5", "true", "[1.0]", "inf"])
def test_a_recipe_and_a_field_file_with_no_time_are_refused(folder: Path, value: str) -> None:
    recipe = folder / "recipe.toml"
    recipe.write_text(f"poisson = {value}\n")
    assert code_of(lambda: read_recipe(recipe)) == "HC-B17"
    source = field_file(folder, of_field=f"poisson = {value}\n")
    assert code_of(lambda: plan(source, [], [], scale="60mas")) == "HC-B17"


def test_a_recipe_names_a_map_by_its_own_place(folder: Path) -> None:
    exposure_map(folder)
    recipe = folder / "recipe.toml"
    recipe.write_text('poisson = "exposure.fits"\n')
    same_weights(made(folder, **read_recipe(recipe)), by_hand(folder, 600.0))


@pytest.mark.slow
@pytest.mark.parametrize("command", ["run", "check"])
def test_the_command_line_takes_a_word_seconds_or_a_file(folder: Path, command: str) -> None:
    out = ["-o", str(folder.parent / "out"), "--overwrite"] if command == "run" else []
    place = exposure_map(folder)
    for value, code in (("auto", 0), ("none", 0), ("1200", 0), ("20min", 0), (place, 0)):
        call = [command, folder, "--poisson", value, "--to", "0.3arcsec", *out]
        assert CliRunner().invoke(app, [*map(str, call)]).exit_code == code, value
    for value, error in (("most", "HC-B22"), ("-3", "HC-N11"), ("nan", "HC-N11"), ("", "HC-B22")):
        call = [command, str(folder), f"--poisson={value}", "--to", "0.3arcsec", *out]
        with pytest.raises(hstcube.HstCubeError) as caught:
            CliRunner().invoke(app, call, catch_exceptions=False)
        assert caught.value.code == error


# -- it stays with the cube


def test_times_stay_with_a_cube_through_every_file_and_step(folder: Path, tmp_path: Path) -> None:
    rewrite(stamp(folder, "f606w"), cards=LIES)
    cube = made(folder)
    times = [np.nan, SECONDS]
    hstcube.to_fits(cube, tmp_path / "fits")
    hstcube.to_fits(cube, tmp_path / "mef", layout="mef")
    hstcube.save_cube(cube, tmp_path / "1.nc")
    grid = hstcube.Grid.of(cube)
    later = {
        "fits": hstcube.open_field(tmp_path / "fits", "1"),
        "mef": hstcube.open_field(tmp_path / "mef", "1"),
        "netcdf": hstcube.open_cube(tmp_path / "1.nc"),
        "regrid": hstcube.regrid(cube, grid, method="exact"),
        "slice": cube.isel(x=slice(5, 20)),
        "flux": hstcube.to_flux(cube.assign_coords(zeropoint=("band", [26.0, 26.0]))),
        "stack": stack_bands([cube.isel(band=[1]), cube.isel(band=[0])]),
    }
    for step, same in later.items():
        np.testing.assert_array_equal(same.exposure.values, times, err_msg=step)
        assert same.attrs["poisson"] == "none, 50000 s", step
    hstcube.validate(later["stack"])
    assert fits.getval(tmp_path / "fits" / "1_f160w_sci.fits", "TEXPTIME") == SECONDS


def test_products_that_have_the_noise_do_not_get_it_twice(folder: Path, tmp_path: Path) -> None:
    cube = hstcube.add_poisson(opened(folder))
    hstcube.to_fits(cube, tmp_path / "fits")
    files = {
        band: tuple(tmp_path / "fits" / f"1_{band}_{kind}.fits" for kind in ("sci", "wht"))
        for band in BANDS
    }
    again = hstcube.open_bands(files, field="1")
    assert again.attrs["poisson"] == "50000 s"
    done = hstcube.homogenize(again, sky=None, to="0.3arcsec")
    same_weights(done, hstcube.homogenize(cube, sky=None, to="0.3arcsec"))


def test_a_cube_of_before_has_no_times_and_is_one_all_the_same(folder: Path) -> None:
    old = opened(folder).drop_vars("exposure")
    hstcube.validate(old)
    cube = hstcube.homogenize(old, sky=0.0, to="0.3arcsec")
    assert f"HC-N21 f606w, f160w: {UNKNOWN}" in cube.attrs["history"]
    both = stack_bands([old.isel(band=[0]), opened(folder).isel(band=[1])])
    np.testing.assert_array_equal(both.exposure.values, [np.nan, SECONDS])
    wrong = opened(folder).assign_coords(exposure=("band", [-1.0, 5.0]))
    assert code_of(lambda: hstcube.validate(wrong)) == "HC-C08"
