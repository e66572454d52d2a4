"""What is read beside images: catalogues, results, curves, levels, recipes and field files.

Each comes in through one door: a regular file of this machine, of a bounded size.
"""

from __future__ import annotations

import os
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from astropy.table import MaskedColumn, Table
from made import cube_on
from strategies import plain_grid

import hstcube
from hstcube import HstCubeError
from hstcube.assembly.opening import open_bands, open_files
from hstcube.files.levels import read_levels
from hstcube.jobs.catalogue import read_catalogue
from hstcube.pipeline.findings import check
from hstcube.pipeline.plan import plan
from hstcube.pipeline.recipe import read_recipe
from hstcube.pipeline.record import heard
from hstcube.sed.curves import two_columns
from hstcube.surveys.field_file import read_field_file
from hstcube.surveys.names import BandFiles, FieldFiles


def small():
    return cube_on(plain_grid((8, 8)), psf_fwhm=[0.1, 0.2])


def code_of(call):
    with pytest.raises(HstCubeError) as caught:
        call()
    assert caught.value.fix
    return caught.value.code


def written(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def level_of(path, scale=0.06, to=None):
    files = FieldFiles("1", "60mas", {"f160w": BandFiles(sky=Path(path))})
    return read_levels(files, ["f160w"], scale=scale, to=to)["f160w"]


READERS = {
    "catalogue": read_catalogue,
    "eazy": partial(hstcube.read_fit, "eazy"),
    "bagpipes": partial(hstcube.read_fit, "bagpipes"),
    "curve": two_columns,
    "level": level_of,
    "recipe": read_recipe,
    "field file": read_field_file,
}


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_every_reader_refuses_what_is_no_file_of_this_machine(read, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero"):
        assert code_of(lambda path=path: read(path)) == "HC-F24"
    assert code_of(lambda: read(tmp_path)) in ("HC-F24", "HC-F01")
    assert code_of(lambda: read("http://localhost:9/it.txt")) == "HC-F21"
    for path in ("a\0b", "x" * 20000, tmp_path / "none.txt"):
        assert code_of(lambda path=path: read(path)) in ("HC-F01", "HC-E05", "HC-E06")


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_every_reader_refuses_what_is_not_text_or_too_large(read, tmp_path):
    (tmp_path / "it.csv").write_bytes("id,ra,dec\n".encode("utf-16"))
    assert code_of(lambda: read(tmp_path / "it.csv")) in ("HC-F30", "HC-B15", "HC-E05", "HC-E06")
    with (tmp_path / "large.csv").open("wb") as stream:
        stream.truncate(2**33)
    assert code_of(lambda: read(tmp_path / "large.csv")) == "HC-F29"


# -- catalogues


@pytest.mark.parametrize(
    "row",
    [
        ",53.1,-27",
        "b,,-27",
        "b,53.1,",
        "nan,53.1,-27",
        "None,53.1,-27",
        "--,53.1,-27",
        "null,53.1,-27",
        "b,nan,-27",
        "b,inf,-27",
        "b,1e308,-27",
        "b,361,-27",
        "b,-181,-27",
        "b,53.1,90.1",
        'b,"53,1",-27',
        "b,1_0,-27",
        "b,True,-27",
        "b,53:10:2,-27",
    ],
)
def test_a_cell_that_is_missing_or_no_place_is_refused_with_its_row(tmp_path, row):
    path = written(tmp_path / "cat.csv", f"id,ra,dec\na,53.1,-27\n{row}\n")
    with pytest.raises(HstCubeError, match="row 2") as caught:
        read_catalogue(path)
    assert (caught.value.code, caught.value.file) == ("HC-B23", str(path))


def test_hours_beyond_a_day_are_refused(tmp_path):
    table = Table({"id": ["a"], "ra": [25.0], "dec": [0.0]}, units={"ra": "hourangle"})
    table.write(tmp_path / "cat.ecsv")
    assert code_of(lambda: read_catalogue(tmp_path / "cat.ecsv")) == "HC-B23"


@pytest.mark.parametrize("name", ["001", "1e5", "0x10", "1_000", "7.0", "12345678901234567890"])
@pytest.mark.parametrize("ending", ["csv", "txt", "tsv"])
def test_ids_are_text_as_they_stand(tmp_path, name, ending):
    mark = {"csv": ",", "txt": " ", "tsv": "\t"}[ending]
    lines = [("id", "ra", "dec"), (name, "53.1", "-27")]
    path = written(tmp_path / f"cat.{ending}", "\n".join(map(mark.join, lines)))
    assert [position.name for position in read_catalogue(path)] == [name]


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("id", MaskedColumn([1, 2], mask=[False, True])),
        ("ra", MaskedColumn([1.0, 2.0], mask=[True, False])),
        ("ra", np.ones((2, 2))),
        ("ra", [1j, 2j]),
        ("ra", [True, False]),
        ("id", np.ones((2, 2), int)),
        ("id", [1j, 2j]),
        ("id", [np.nan, 1]),
        ("id", [np.inf, 1]),
        ("id", ["", "b"]),
    ],
)
def test_columns_that_are_no_places_or_names_are_refused(tmp_path, column, values):
    table = Table({"id": ["a", "b"], "ra": [1.0, 2.0], "dec": [0.0, 0.0], column: values})
    table.write(tmp_path / "cat.fits")
    assert code_of(lambda: read_catalogue(tmp_path / "cat.fits")) == "HC-B23"


def test_a_catalogue_of_excel_is_read(tmp_path):
    path = tmp_path / "cat.csv"
    path.write_bytes("id;ra;dec\r\n001;53.1;-27\r\n".encode("utf-8-sig"))
    assert read_catalogue(path) == [("001", 53.1, -27.0)]


# -- results


@pytest.mark.parametrize(
    "ids",
    [
        [1.7, 2.2],
        [1.0, np.inf],
        [1.0, np.nan],
        ["a", "b"],
        [1j, 2],
        np.ones((2, 2), int),
        [True, False],
        MaskedColumn([1, 2], mask=[False, True]),
        [1e300, 2],
    ],
)
@pytest.mark.parametrize("code", ["eazy", "bagpipes"])
def test_ids_that_are_no_whole_numbers_are_refused_not_rounded(tmp_path, code, ids):
    path = tmp_path / "it.fits"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the sign in bagpipes' "#ID"
        Table({"id" if code == "eazy" else "#ID": ids, "z": [1.0, 2.0]}).write(path)
    assert code_of(lambda: hstcube.read_fit(code, path)) == "HC-E06"


def test_results_as_text_hold_numbers_all_the_same(tmp_path):
    path = written(tmp_path / "run.csv", "#ID,z,kind\n2,1.5,star\n1,,galaxy\n")
    fit = hstcube.read_fit("bagpipes", path)
    bins = np.zeros((8, 8), int)
    bins[2], bins[3] = 1, 2
    painted = hstcube.paint_fit(small(), bins, fit, "z").values[2:4, 0]
    assert np.isnan(painted[0])
    assert painted[1] == 1.5
    assert code_of(lambda: hstcube.paint_fit(small(), bins, fit, "kind")) == "HC-B30"


def test_columns_that_cannot_be_painted_are_refused():
    bins = np.zeros((8, 8), int)
    bins[2], bins[3] = 1, 2
    fit = Table(
        {
            "id": [1, 2],
            "pdf": np.ones((2, 3)),
            "text": ["a", "b"],
            "z": [1j, 2],
            "ok": [True, False],
        }
    )
    for name in ("pdf", "text", "z", "none"):
        assert code_of(lambda name=name: hstcube.paint_fit(small(), bins, fit, name)) == "HC-B30"
    assert hstcube.paint_fit(small(), bins, fit, "ok").values[2:4, 0].tolist() == [1, 0]
    for odd in (None, "photz.zout.fits", {"id": [1]}):
        assert code_of(lambda odd=odd: hstcube.paint_fit(small(), bins, odd, "z")) == "HC-B30"
    fit["id"] = [1.7, 2.2]
    assert code_of(lambda: hstcube.paint_fit(small(), bins, fit, "ok")) == "HC-E06"


# -- curves and levels


@pytest.mark.parametrize(
    "text",
    [
        "1000 0\n1100 -1\n1200 1\n",
        "-1 0\n2 1\n",
        "1 0\n2 1e31\n",
        "1000 0\n1_100 1\n",
        "1000,5 0,1\n1100,5 0,2\n",
        "1000 0\n1100\n",
        "1000 0\n1100 inf\n",
    ],
)
def test_what_no_filter_lets_through_is_no_curve(tmp_path, text):
    assert code_of(lambda: two_columns(written(tmp_path / "curve.txt", text))) == "HC-E05"


def test_the_name_of_a_field_or_column_is_not_taken_for_a_curve(tmp_path):
    wavelength, throughput = two_columns(
        written(tmp_path / "curve.txt", "# a, b\n1000 0 7 # x\n\n1100 0.5 7\n")
    )
    assert wavelength.tolist() == [1000, 1100]
    assert throughput.tolist() == [0, 0.5]


@pytest.mark.parametrize("error", ["-1e308", "-1e-9", "inf", "-inf"])
def test_a_standard_error_that_cannot_be_is_refused(tmp_path, error):
    path = written(tmp_path / "sky.txt", f"# standard error: {error}\n1e-5\n")
    assert code_of(lambda: level_of(path)) == "HC-K03"


@pytest.mark.parametrize("pixel", ["1e-200", "1e-320", "nan", "inf", "-0.06", "0", "1e200"])
@pytest.mark.parametrize("to", [None, 0.06])
def test_a_level_of_a_pixel_that_cannot_be_is_refused(tmp_path, pixel, to):
    path = written(tmp_path / "sky.txt", f"# sky: e/s per pixel of {pixel} arcsec\n1e-5\n")
    for scale in (None, 0.06):
        if (to, scale) != (None, None):
            assert code_of(lambda scale=scale: level_of(path, scale=scale, to=to)) == "HC-K07"


def test_a_level_that_grows_beyond_numbers_is_refused(tmp_path):
    path = written(tmp_path / "sky.txt", "# sky: e/s per pixel of 0.00001 arcsec\n1e300\n")
    assert code_of(lambda: level_of(path, to=10)) == "HC-K03"


def test_a_standard_error_may_be_unknown(tmp_path):
    assert np.isnan(level_of(written(tmp_path / "a", "# standard error: nan\n1e-5\n")).error)
    assert level_of(written(tmp_path / "b", "# standard error: 1e-7\n1e-5\n")).error == 1e-7


# -- TOML


@pytest.mark.parametrize(
    "number", ["9" * 400, "9" * 5000, "1e301", "-" + "9" * 400, "0x" + "f" * 5000]
)
@pytest.mark.parametrize("key", ["psf_fwhm", "zeropoint", "sky"])
def test_numbers_of_a_field_file_are_bounded(tmp_path, key, number):
    path = written(tmp_path / "f.toml", f"[bands.f160w]\n{key} = {number}\n")
    assert code_of(lambda: read_field_file(path)) in ("HC-B17", "HC-B15")


@pytest.mark.parametrize(
    "line", [f"grow = {10**22}", "grow = true", f"ids = [{10**22}]", "largest = 1"]
)
def test_numbers_of_a_recipe_are_bounded(tmp_path, line):
    assert code_of(lambda: read_recipe(written(tmp_path / "r.toml", line))) == "HC-B17"


def test_ids_of_a_target_are_bounded(tmp_path):
    path = written(tmp_path / "f.toml", "[bands.f160w]\nsci = 'a'\nwht = 'b'\n")
    for ids in ("1" * 5000, "٣"):
        assert code_of(lambda ids=ids: plan(path, [], [f"f={ids}"], scale="")) == "HC-B20"


def test_a_field_file_none_of_whose_images_is_there_says_so(tmp_path):
    path = written(tmp_path / "f.toml", "[bands.f160w]\nsci = 'a.fits'\nwht = 'b.fits'\n")
    assert code_of(lambda: open_files(read_field_file(path))) == "HC-F01"
    (target,) = plan(path, [], [], scale="")
    assert {found.code for found in check(target).of("error")} >= {"HC-F01"}
    assert code_of(lambda: open_bands({}, field="f")) == "HC-F01"


# -- the object


def pieces():
    """Return a map with object 3 in a large and a small piece, and object 5 in one."""
    cube = small()
    labels = np.zeros(cube.sci.shape[1:], np.int32)
    labels[2:6, 2:6], labels[0, 0], labels[7, 7] = 3, 3, 5
    return cube, xr.DataArray(labels, {n: cube[n] for n in ("y", "x", "wcs")}, ("y", "x"))


def test_the_largest_piece_of_each_object_is_kept_where_asked():
    _, labels = pieces()
    assert hstcube.object_mask(labels, 3).sum() == 17
    assert hstcube.object_mask(labels, 3, largest=True).sum() == 16
    assert hstcube.object_mask(labels, 3, 5, largest=True).sum() == 17
    assert hstcube.object_mask(labels, largest=True).sum() == 16


def test_homogenize_and_recipes_and_field_files_keep_the_largest_piece(tmp_path):
    cube, labels = pieces()
    how = {"labels": labels, "sky": None, "grow": 0, "ids": (3,), "to": str(cube.band.values[-1])}
    with heard() as told:
        whole = hstcube.homogenize(cube, **how)
    with heard() as told_of_one:
        one = hstcube.homogenize(cube, largest=True, **how)
    assert "HC-S11" in [note.code for note in told]
    assert "HC-S11" not in [note.code for note in told_of_one]
    assert not one.mask.values[:, 0, 0].any()
    assert whole.mask.values[:, 0, 0].any()
    assert read_recipe(written(tmp_path / "r.toml", "largest = true\n")) == {"largest": True}
    text = "[bands.f160w]\nsci = 'a'\n[labels]\npath = 'm.fits'\nlargest = true\n"
    assert read_field_file(written(tmp_path / "f.toml", text)).largest


@pytest.mark.parametrize("pixels", [10**22, 2**63, 10**9])
def test_a_mask_that_grows_beyond_its_map_fills_it_at_once(pixels):
    _, labels = pieces()
    for shape in ("square", "diamond"):
        assert hstcube.grow(hstcube.object_mask(labels, 5), pixels=pixels, shape=shape).all()


@pytest.mark.parametrize("pixels", [-1, 1.5, True, None, "1"])
def test_a_mask_grows_by_whole_numbers_of_pixels(pixels):
    _, labels = pieces()
    assert code_of(lambda: hstcube.grow(labels > 0, pixels=pixels)) == "HC-B17"


def test_the_original_recipe_refuses_a_width_and_says_what_to_take():
    cube, labels = pieces()
    with pytest.raises(HstCubeError) as caught:
        hstcube.homogenize(
            cube, labels=labels, sky=None, ids=(3,), to="0.5 arcsec", recipe="original"
        )
    assert caught.value.code == "HC-B39"
    assert f"to={str(cube.band.values[np.argmax(cube.psf_fwhm.values)])!r}" in caught.value.fix


def test_lines_that_end_as_on_old_macs_are_lines(tmp_path):
    (tmp_path / "curve.txt").write_bytes(b"1000 0\r1100 0.5\r1200 1 7\r\n1300 0\n")
    assert two_columns(tmp_path / "curve.txt")[0].tolist() == [1000, 1100, 1200, 1300]
    (tmp_path / "cat.csv").write_bytes(b"id,ra,dec\ra,53.1,-27\rb,53.2,-27\r")
    assert [position.name for position in read_catalogue(tmp_path / "cat.csv")] == ["a", "b"]
