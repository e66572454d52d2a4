"""`hstcube bin`, `phot` and `noise`, the pictures that go with them, and dereddened cubes on disk."""  # noqa: E501

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pytest
from astropy.table import QTable
from made import code_of, cube_on, galaxy
from stamps import label_map, write_field
from strategies import plain_grid

import hstcube
from hstcube import Grid, plot
from hstcube.phot.bins import bin_pixels
from hstcube.pipeline.sources import open_groups, open_source

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore::hstcube.errors.HstCubeWarning")


@pytest.fixture(scope="module")
def products(tmp_path_factory) -> Path:
    """Return a folder with stamps of two fields, and the products of one: FITS and netCDF."""
    place = tmp_path_factory.mktemp("fields")
    write_field(place / "stamps", "1", shape=(80, 84))
    write_field(place / "stamps", "2", shape=(80, 84))
    cube = hstcube.open_field(place / "stamps", "1")
    cube = hstcube.homogenize(cube, labels=hstcube.open_labels(label_map(place / "stamps")))
    hstcube.to_fits(cube, place / "out")
    hstcube.save_cube(cube, place / "out" / "1.nc")
    return place


def test_bin_writes_a_map_that_phot_reads(products: Path, tmp_path: Path, call: Callable) -> None:
    said = call("bin", products / "out", "-o", tmp_path / "bins.fits", "-b", "f160w", "--snr", 10)
    assert said.code == 0, said.err
    cube = hstcube.open_cube(products / "out" / "1.nc")
    bins = bin_pixels(cube, bands=["f160w"], snr=10, min_area="psf")
    assert np.array_equal(hstcube.open_labels(tmp_path / "bins.fits"), bins)
    assert re.match(rf"{int(bins.max())} bins of {int((bins > 0).sum())} pixels", said.out)
    assert (tmp_path / "bins.png").stat().st_size > 1000
    said = call(
        "phot",
        products / "out" / "1.nc",
        "--groups",
        tmp_path / "bins.fits",
        "-o",
        tmp_path / "bins.ecsv",
    )
    assert said.code == 0, said.err
    table = QTable.read(tmp_path / "bins.ecsv")
    expected = hstcube.photometry(cube, bins)
    assert table["flux_f160w"].value == pytest.approx(expected["flux_f160w"].value)
    assert call("bin", products / "out", "-o", tmp_path / "bins.fits").err.startswith(
        "error: HC-O04"
    )


def test_phot_measures_the_object_of_the_mask(
    products: Path, tmp_path: Path, call: Callable
) -> None:
    said = call("phot", products / "out", "-f", "1", "-o", tmp_path / "one.fits", "--ebv", 0.02)
    assert said.code == 0, said.err
    table = QTable.read(tmp_path / "one.fits")
    cube = hstcube.deredden(hstcube.open_field(products / "out", "1"), 0.02)
    assert len(table) == 1
    inside = cube.mask.values[0]
    flux = cube.sci.values[2][inside].sum() * 10 ** (-0.4 * (25.94 - 23.9))
    assert table["flux_f160w"].value[0] == pytest.approx(flux, rel=1e-5)
    assert f"{flux:.4g}" in said.out


def test_phot_measures_the_objects_of_a_map_on_its_own_grid(
    products: Path, tmp_path: Path, call: Callable
) -> None:
    labels = label_map(products / "stamps")
    said = call("phot", products / "out" / "1.nc", "--labels", labels, "-o", tmp_path / "all.ecsv")
    assert said.code == 0, said.err
    table = QTable.read(tmp_path / "all.ecsv")
    assert table["id"].tolist() == [4001, 4002]
    assert (table["flux_f160w"].value > 0).all()


def test_what_cannot_be_measured_is_told(products: Path, tmp_path: Path, call: Callable) -> None:
    assert "HC-B32" in call("phot", products / "stamps", "-o", tmp_path / "a.ecsv").err
    lost = hstcube.open_cube(products / "out" / "1.nc")
    hstcube.save_cube(lost.assign_coords(zeropoint=lost.zeropoint * np.nan), products / "lost.nc")
    assert "HC-D30" in call("phot", products / "lost.nc", "-o", tmp_path / "a.ecsv").err
    assert "HC-O30" in call("phot", products / "out", "-o", tmp_path / "a.txt").err
    assert "HC-D01" in call("phot", products / "out", "--groups", label_map(products / "stamps"), "-o",  # noqa: E501
                            tmp_path / "a.ecsv").err  # fmt: skip
    both = call(
        "phot",
        products / "out",
        "--groups",
        "a.fits",
        "--labels",
        "b.fits",
        "-o",
        tmp_path / "a.ecsv",
    )
    assert both.code == 2
    assert call("noise", tmp_path, "-o", tmp_path / "n.png").err.startswith("error: HC-F01")
    assert not list(tmp_path.iterdir())


def test_a_sky_left_in_is_told_on_the_command_line(
    products: Path, tmp_path: Path, call: Callable
) -> None:
    bare = hstcube.open_field(products / "stamps", "1")
    hstcube.save_cube(bare, tmp_path / "bare.nc")
    said = call("phot", tmp_path / "bare.nc", "-o", tmp_path / "a.ecsv")
    assert said.code == 0
    assert "warning: 1: HC-K13" in said.err


def test_noise_tests_empty_apertures(products: Path, tmp_path: Path, call: Callable) -> None:
    said = call("noise", products / "stamps", "-o", tmp_path / "noise.png", "--measure")
    assert said.code == 0, said.err
    table = QTable.read(tmp_path / "noise.ecsv")
    assert set(table["band"]) == {"f435w", "f850lp", "f160w"}
    assert (tmp_path / "noise.png").stat().st_size > 1000
    assert "noise of 2 fields" in said.out


def test_a_source_is_a_cube_or_a_field(products: Path) -> None:
    saved = open_source(products / "out" / "1.nc")
    assert open_source(products / "out", field="1").sci.identical(saved.sci)
    assert open_source(products / "stamps", field="2").attrs["field"] == "2"
    assert np.array_equal(open_groups(saved), saved.mask.values.any(axis=0))
    assert code_of(lambda: open_source(products / "stamps")) == "HC-B32"
    assert code_of(lambda: open_source(products / "nowhere")) == "HC-F01"


@pytest.mark.slow
def test_the_cubes_of_a_folder_are_found_however_they_were_written(
    products: Path, tmp_path: Path, call: Callable
) -> None:
    cube = hstcube.open_cube(products / "out" / "1.nc")
    folders = [tmp_path / name for name in ("files", "mef", "netcdf", "zarr")]
    hstcube.to_fits(cube, folders[0])
    hstcube.to_fits(cube, folders[1], layout="mef")
    for folder, ending in zip(folders[2:], ("nc", "zarr"), strict=True):
        folder.mkdir()
        hstcube.save_cube(cube, folder / f"1.{ending}")
    for folder in folders:
        assert open_source(folder).sci.equals(cube.sci), folder
        said = call("report", folder)
        assert said.code == 0, said.err
        assert "1 field in" in said.out
        assert (folder / "1.html").exists()
        assert call("info", folder).out == call("info", folders[0]).out
    for command in ("ls", "check"):
        assert f"hstcube info {folders[1]} -f 1" in " ".join(call(command, folders[1]).err.split())
    (tmp_path / "empty").mkdir()
    assert "there are no images" in call("info", tmp_path / "empty").err


@pytest.mark.parametrize("command", ["ls", "noise"])
def test_a_field_file_in_place_of_a_folder_is_called_a_file(
    command: str, tmp_path: Path, call: Callable
) -> None:
    (tmp_path / "field.toml").write_text('field = "1"')
    said = call(command, tmp_path / "field.toml")
    assert said.code == 3
    assert "is a file" in said.err
    assert "hstcube check" in said.err


@pytest.mark.parametrize(
    ("command", "options"),
    [(command, ["--field", "7"]) for command in ("phot", "bin", "export", "info", "line")]
    + [(command, ["--scale", "30mas"]) for command in ("phot", "bin", "export")],
)
def test_a_saved_cube_is_refused_where_another_is_asked_for(
    command: str, options: list[str], products: Path, tmp_path: Path, call: Callable
) -> None:
    saved = products / "out" / "1.nc"
    more = {"phot": ["-o", tmp_path / "a.ecsv"], "bin": ["-o", tmp_path / "b.fits", "--snr", "9"]}
    more |= {"export": ["--code", "eazy", "-o", tmp_path / "c"]}
    more |= {"line": [saved, "--psf", "0.6arcsec", "-o", tmp_path / "d"]}
    told = call(command, saved, *more.get(command, []), *options)
    assert "HC-F01" in told.err
    assert "only" in told.err


def test_an_area_of_bins_is_asked_for_with_bins(products: Path, call: Callable) -> None:
    told = call("export", products / "out", "--code", "eazy", "--min-area", "0.1")
    assert "HC-B22" in told.err


def test_a_dereddened_cube_comes_back_from_fits(products: Path, tmp_path: Path) -> None:
    cube = hstcube.deredden(hstcube.open_field(products / "out", "1"), 0.05)
    hstcube.to_fits(cube, tmp_path)
    back = hstcube.open_field(tmp_path, "1")
    assert back.extinction.identical(cube.extinction)
    assert code_of(lambda: hstcube.deredden(back, 0.05)) == "HC-D34"


# -- pictures


@pytest.mark.slow
def test_pictures_are_drawn_and_the_same_each_time() -> None:
    cube = galaxy(("f435w", "f814w", "f160w"), rim=0.5, side=40)
    bins = bin_pixels(cube, snr=10)
    middle = Grid.of(cube).wcs.pixel_to_world(19.5, 19.5)
    curve = hstcube.curve_of_growth(cube, middle, radii=[0.2, 0.4, 0.8])
    table = hstcube.photometry(cube, bins)
    for draw in (
        lambda: plot.snr_map(cube),
        lambda: plot.snr_map(cube, groups=bins),
        lambda: plot.bin_map(cube, bins),
        lambda: plot.growth(curve),
        lambda: plot.sed(table),
        lambda: plot.sed(table, 1, 2),
    ):
        one, two = plot.figure_bytes(draw()), plot.figure_bytes(draw())
        assert one == two
        assert one.startswith(b"\x89PNG")


def test_the_sed_of_a_table_is_drawn_at_the_pivots_also_when_it_comes_from_fits(
    tmp_path: Path,
) -> None:
    cube = cube_on(plain_grid((9, 9)), ("f435w", "f160w"), zeropoint=[23.9, 23.9])
    table = hstcube.photometry(cube, np.ones((9, 9), int))
    path = hstcube.write_table(table, tmp_path / "one.fits")
    for source in (table, QTable.read(path)):
        (line,) = plot.sed(source).axes[0].containers[0][:1]
        assert line.get_xdata() == pytest.approx(cube.pivot.values / 1e4)
        assert line.get_ydata() == pytest.approx([81.0, 81.0])


def test_the_map_of_signal_to_noise_is_that_of_the_pixels() -> None:
    cube = cube_on(plain_grid((9, 9)), ("f160w",), np.full((1, 9, 9), 3.0), np.full((1, 9, 9), 4.0))
    image = plot.snr_map(cube).axes[0].images[0].get_array()
    assert np.allclose(image, 6.0)
    whole = plot.snr_map(cube, groups=np.ones((9, 9), int)).axes[0].images[0].get_array()
    assert np.allclose(whole, 3 * 81 / (9 * 0.5))


# -- info


def test_info_says_what_a_cube_is(products: Path, call: Callable) -> None:
    said = call("info", products / "out" / "1.nc")
    assert said.code == 0
    assert "yes, all bands to f160w" in said.out


@pytest.mark.parametrize("command", ["info", "phot", "bin"])
def test_a_file_that_is_no_cube_is_called_one(command: str, tmp_path: Path, call: Callable) -> None:
    other = tmp_path / "run.json"
    other.write_text("{}")
    said = call(command, other)
    assert said.code == 3
    assert "HC-F04" in said.err
    assert "neither a saved cube" in said.err
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_info_of_an_image_that_is_missing_speaks_of_a_file(tmp_path: Path, call: Callable) -> None:
    said = call("info", tmp_path / "no.fits")
    assert said.code == 3
    assert "there is no such file" in said.err
