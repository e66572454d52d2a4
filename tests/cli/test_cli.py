"""The command line: what it writes, what it says where, and how it ends."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import xarray as xr
from astropy.io import fits
from stamps import (
    ALL_BANDS,
    BANDS,
    NEIGHBOUR,
    OBJECT,
    SKY,
    label_map,
    rewrite,
    sky_file,
    stamp,
    write_field,
)

import hstcube
from hstcube.cli import app as cli
from hstcube.errors import codes
from hstcube.pipeline import plan
from hstcube.sky.masks import repaired

if TYPE_CHECKING:
    from collections.abc import Callable

    from commands import Said

pytestmark = pytest.mark.filterwarnings("ignore::hstcube.errors.HstCubeWarning")

RECORDS = {"run.json", "run.jsonl", "summary.ecsv"}
PRODUCTS = {f"1_{band}_{kind}.fits" for band in BANDS for kind in ("sci", "wht", "mask")}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_field(tmp_path / "data")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def record(out: Path) -> dict:
    return json.loads((out / "run.json").read_text(encoding="utf-8"))["targets"]


def mask_of(out: Path, target: str = "1") -> np.ndarray:
    return hstcube.open_field(out, target).mask.values[0]


def rows(said: Said) -> list[list[str]]:
    """Return the lines of the table on stdout, cut into columns, without title and head."""
    lines = [re.split(r"\s{2,}", line.strip()) for line in said.out.splitlines() if line.strip()]
    rule = next(i for i, line in enumerate(lines) if set(line[0]) <= {"─", " "})
    return lines[rule + 1 :]


# -- ls


def test_ls_tells_what_a_folder_holds(folder: Path, call: Callable) -> None:
    write_field(folder, "10", bands=ALL_BANDS, labels=False, sky=False)
    write_field(folder, "2", scale="30mas", bands=("f850lp", "f606w"))
    sky_file(folder, "f160w").unlink()
    stamp(folder, "f435w", "wht").unlink()
    said = call("ls", folder)
    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines()[0].strip() == f"3 in {folder}"
    assert rows(said) == [
        ["1", "60mas", "f850lp f160w", "f435w: check files", "yes", "2/3"],
        ["2", "30mas", "f606w f850lp", "yes", "0/2"],
        ["10", "60mas", " ".join(ALL_BANDS), "no", "0/9"],
    ]


def test_ls_looks_at_one_scale_when_asked(folder: Path, call: Callable) -> None:
    write_field(folder, scale="30mas")
    assert [row[1] for row in rows(call("ls", folder))] == ["30mas", "60mas"]
    assert [row[1] for row in rows(call("ls", folder, "--scale", "30mas"))] == ["30mas"]


def test_ls_looks_into_no_other_folder(folder: Path, out: Path, call: Callable) -> None:
    for name in ("psf_stars", "new_stamps/deeper"):  # stars of the XDF bear the names of galaxies
        shutil.copytree(
            folder / "new_stamps",
            folder / name,
            ignore=shutil.ignore_patterns("deeper"),
            dirs_exist_ok=True,
        )
    assert [row[:4] for row in rows(call("ls", folder))] == [["1", "60mas", " ".join(BANDS), "yes"]]
    assert call("run", folder, "-o", out).code == 0


def test_products_are_no_input(folder: Path, out: Path, call: Callable) -> None:
    assert call("run", folder, "-o", out).code == 0
    said = call("run", out, "-o", out.with_name("again"))
    assert said.code == 3
    assert "HC-F01" in said.err


# -- sky


def test_sky_writes_levels_with_their_errors_and_a_picture(
    folder: Path, out: Path, call: Callable
) -> None:
    said = call("sky", folder, "-o", out)
    assert (said.code, said.err) == (0, "")
    assert names(out) == {"sky_1.png", *(f"sky_1_{band}.txt" for band in BANDS)}
    assert (out / "sky_1.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    cube, labels = hstcube.open_field(folder, "1"), hstcube.open_labels(label_map(folder))
    background = hstcube.regrid_labels(labels, hstcube.Grid.of(cube)) == 0
    levels = hstcube.measure_sky(cube, background=background)
    for i, band in enumerate(BANDS):
        comment, error, level = (out / f"sky_1_{band}.txt").read_text().splitlines()
        assert float(level) == levels.values[i]
        assert error == f"# standard error: {levels.sky_error.values[i]!r}".replace(
            "np.float64(", ""
        ).replace(")", "")
        assert comment.startswith(
            f"# sky of field 1, {band}: electron s-1 per pixel of 0.06 arcsec, clipped"
        )
        assert abs(levels.values[i] - SKY[band]) < 5 * levels.sky_error.values[i]
    assert [row[:2] for row in rows(said)] == [["1", band] for band in BANDS]


def test_levels_that_sky_wrote_are_what_run_would_measure(
    folder: Path, tmp_path: Path, call: Callable
) -> None:
    levels = tmp_path / "levels"
    assert call("sky", folder, "-o", levels).code == 0
    assert call("run", folder, "-o", tmp_path / "read", "--sky", levels).code == 0
    assert call("run", folder, "-o", tmp_path / "measured", "--sky", "measure").code == 0
    assert (
        call(
            "run", folder, "-o", tmp_path / "pattern", "--sky", levels / "sky_{field}_{band}.txt"
        ).code
        == 0
    )
    for name in PRODUCTS:  # what is noted of the measuring (HC-K15) is not in files of levels
        written = set()
        for place in ("read", "measured", "pattern"):
            with fits.open(tmp_path / place / name) as units:
                images = [unit.data.tobytes() for unit in units if unit.data is not None]
                written.add((*images, units[0].header["SKY"], units[0].header["SKYERR"]))
        assert len(written) == 1, name
    assert record(tmp_path / "read")["1"]["sky"]["origin"] == "from files"
    assert record(tmp_path / "measured")["1"]["sky"]["origin"] == "measured"


def test_sky_as_the_original_measured_it(folder: Path, out: Path, call: Callable) -> None:
    assert call("sky", folder, "-o", out, "--method", "original").code == 0
    cube, labels = hstcube.open_field(folder, "1"), hstcube.open_labels(label_map(folder))
    blank = hstcube.regrid_mask(labels == 0, hstcube.Grid.of(cube), outside="nearest").values
    level = float((out / "sky_1_f435w.txt").read_text().splitlines()[-1])
    assert level == np.median(
        cube.sci.values[0][blank]
    )  # ACS: the plain median of all blank pixels


def test_sky_goes_on_past_a_field_without_a_map(folder: Path, out: Path, call: Callable) -> None:
    write_field(folder, "2", labels=False)
    said = call("sky", folder, "-o", out)
    assert said.code == 5
    assert (out / "sky_1_f435w.txt").exists()
    assert not (out / "sky_2_f435w.txt").exists()
    assert "HC-K01" in said.out + said.err


def test_sky_replaces_levels_only_when_told(folder: Path, out: Path, call: Callable) -> None:
    assert call("sky", folder, "-o", out).code == 0
    (out / "sky_1_f435w.txt").write_text("1.0\n")
    said = call("sky", folder, "-o", out)
    assert said.code == 4
    assert "HC-O04" in said.out + said.err
    assert (out / "sky_1_f435w.txt").read_text() == "1.0\n"
    assert call("sky", folder, "-o", out, "--overwrite").code == 0
    assert (out / "sky_1_f435w.txt").read_text() != "1.0\n"


# -- run


def test_run_writes_every_band_a_cube_and_a_record(folder: Path, out: Path, call: Callable) -> None:
    said = call("run", folder, "-o", out)
    assert said.code == 0
    assert names(out) == {*PRODUCTS, "1.nc", *RECORDS}
    cube = hstcube.open_cube(out / "1.nc")
    assert cube.matched_to.values.tolist() == ["f160w"] * 3
    assert np.ptp(cube.psf_fwhm.values) == 0
    np.testing.assert_allclose(cube.sky.values, [SKY[band] for band in BANDS])
    assert cube.mask.values[:, 20, 22].all()
    xr.testing.assert_identical(
        hstcube.open_field(out, "1").drop_attrs(deep=False), cube.drop_attrs(deep=False)
    )


def test_run_says_progress_on_stderr_and_its_summary_on_stdout(
    folder: Path, out: Path, call: Callable
) -> None:
    write_field(folder, "2", bands=("f160w",))
    said = call("run", folder, "-o", out)
    assert said.err.splitlines()[:2] == ["[1/2] 1: ok", "[2/2] 2: ok"]
    assert "\x1b" not in said.err + said.out
    assert rows(said) == [
        ["1", "ok", "3", str(mask_of(out).sum()), "from files", "HC-P12"],
        ["2", "ok", "1", str(mask_of(out, "2").sum()), "from files"],
    ]
    assert said.out.splitlines()[0].strip() == f"2 of 2 targets in {out}"
    noted = "note: HC-B04, HC-N20, HC-S04, HC-S14, of which run.json tells more"
    assert said.err.splitlines().count(noted) == 1  # two fields, one line
    assert "HC-S14" not in said.out


def test_a_terminal_gets_a_bar_instead_of_lines(
    folder: Path, out: Path, call: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    assert call("run", folder, "-o", out).code == 0
    assert "[1/1]" not in terminal.getvalue()
    assert "1/1" in terminal.getvalue()


def test_a_missing_level_is_measured_and_the_summary_says_so(
    folder: Path, out: Path, call: Callable
) -> None:
    sky_file(folder, "f850lp").unlink()
    said = call("run", folder, "-o", out)
    assert said.code == 0
    assert "measured in f850lp, else from files" in said.out
    levels = record(out)["1"]["sky"]["levels"]
    assert levels["f435w"] == pytest.approx(SKY["f435w"])
    assert levels["f850lp"] != pytest.approx(SKY["f850lp"])
    assert call("run", folder, "-o", out, "--overwrite", "--sky", "none").code == 0
    assert record(out)["1"]["sky"] == {"origin": "not subtracted", "levels": dict.fromkeys(BANDS)}


def test_a_missing_map_is_an_error_with_two_ways_out(
    folder: Path, out: Path, call: Callable
) -> None:
    elsewhere = label_map(folder).rename(folder / "map.fits")
    said = call("run", folder, "-o", out)
    assert said.code == 3
    assert "HC-S16" in said.err
    assert "--labels FILE" in said.err
    assert "--no-mask" in said.err
    assert call("run", folder, "-o", out, "--labels", elsewhere).code == 0
    masked = mask_of(out)
    assert call("run", folder, "-o", out, "--no-mask", "--overwrite").code == 0
    assert mask_of(out).all()
    assert 0 < masked.sum() < masked.size


def test_the_original_recipe_writes_what_it_wrote(folder: Path, out: Path, call: Callable) -> None:
    assert call("run", folder, "-o", out, "--recipe", "original").code == 0
    assert {name for name in names(out) if "f435w" in name} == {
        f"1_f435w_{kind}.fits" for kind in ("sci", "var", "mask")
    }
    keep = fits.getdata(out / "1_f435w_mask.fits") > 0
    for kind in ("sci", "var"):
        image = fits.getdata(out / f"1_f435w_{kind}.fits")
        assert (image[~keep] == 0).all()
        assert (image[keep] != 0).all()
    assert fits.getval(out / "1_f435w_sci.fits", "RECIPE") == "original"


def test_a_recipe_file_holds_the_options_of_homogenize(
    folder: Path, out: Path, call: Callable
) -> None:
    recipe = folder.with_name("recipe.toml")
    recipe.write_text(f'to = "0.3arcsec"\ngrow = 0\nids = [{NEIGHBOUR}]\nsky = 0.001\n')
    assert call("run", folder, "-o", out, "--recipe", recipe).code == 0
    cube = hstcube.open_cube(out / "1.nc")
    assert cube.psf_fwhm.values.tolist() == [0.3] * 3
    assert cube.sky.values.tolist() == [0.001] * 3
    labels = hstcube.open_labels(label_map(folder))
    expected = hstcube.regrid_mask(repaired(labels) == NEIGHBOUR, hstcube.Grid.of(cube))
    np.testing.assert_array_equal(cube.mask.values[0], expected.values)


def test_a_field_file_stands_for_a_folder(folder: Path, out: Path, call: Callable) -> None:
    bands = "".join(
        f'[bands.{band}]\nsci = "{stamp(folder, band).name}"\nwht = "{stamp(folder, band, "wht").name}"\n'  # noqa: E501
        f'sky = "../NEW_SKY/{sky_file(folder, band).name}"\n'
        for band in BANDS
    )
    path = folder / "new_stamps" / "mine.toml"
    path.write_text(
        f'name = "1"\n{bands}[labels]\npath = "../segment_maps/{label_map(folder).name}"\n'
        f'hdu = "DATA"\nids = [{OBJECT}]\n'
    )
    assert call("run", path, "-o", out).code == 0
    assert call("run", folder, "-o", out.with_name("from_folder")).code == 0
    for name in PRODUCTS:
        assert (out / name).read_bytes() == (out.with_name("from_folder") / name).read_bytes()


def test_a_field_file_overrules_headers_and_tables(folder: Path, out: Path, call: Callable) -> None:
    rewrite(stamp(folder, "f435w", "wht"), pixels=lambda wht: wht**-0.5)
    path = folder / "mine.toml"
    path.write_text(
        '[bands.f435w]\nsci = "new_stamps/1_60mas_f435w_sci.fits"\nwht = "new_stamps/1_60mas_f435w_wht.fits"\n'  # noqa: E501
        'wht_kind = "rms"\nzeropoint = 25.0\npsf_fwhm = 0.2\nsky = 1e-3\n'
    )
    recipe = folder / "recipe.toml"
    recipe.write_text('to = "f435w"\n')
    assert call("run", path, "-o", out, "--no-mask", "--recipe", recipe).code == 0
    cube = hstcube.open_cube(out / "mine.nc")
    assert [float(cube[name].item()) for name in ("zeropoint", "psf_fwhm", "sky")] == [
        25.0,
        0.2,
        1e-3,
    ]
    expected = hstcube.open_field(write_field(folder.with_name("good")), "1", bands=["f435w"])
    expected = hstcube.add_poisson(hstcube.subtract_sky(expected, 1e-3))  # by TEXPTIME, as run does
    np.testing.assert_allclose(
        cube.wht.values, expected.wht.values, rtol=4e-7
    )  # twice the rounding of float32


def test_ids_choose_the_object_or_make_a_further_target(
    folder: Path, out: Path, call: Callable
) -> None:
    said = call(
        "run",
        folder,
        "-o",
        out,
        "--ids",
        f"n=1:{NEIGHBOUR}",
        "--ids",
        f"m = 1 : {OBJECT}, {NEIGHBOUR}",
    )
    assert said.code == 0
    assert [row[0] for row in rows(said)] == ["1", "n", "m"]
    one, other, both = (mask_of(out, name) for name in ("1", "n", "m"))
    assert not (one & other).any()
    np.testing.assert_array_equal(both, one | other)  # growing a union is the union of what grew
    assert call("run", folder, "-o", out.with_name("chosen"), "--ids", f"1={NEIGHBOUR}").code == 0
    np.testing.assert_array_equal(mask_of(out.with_name("chosen")), other)
    assert fits.getval(out / "m_f160w_sci.fits", "OBJECT") == "m"


def test_noise_layout_and_masking_of_the_files_are_options(
    folder: Path, tmp_path: Path, call: Callable
) -> None:
    def written(*options: str) -> Path:
        out = tmp_path / "-".join(["out", *options])
        assert call("run", folder, "-o", out, "--no-netcdf", *options).code == 0
        return out

    plain, variance, mef = written(), written("--noise", "variance"), written("--layout", "mef")
    assert names(plain) == {*PRODUCTS, *RECORDS}
    wht, var = fits.getdata(plain / "1_f435w_wht.fits"), fits.getdata(variance / "1_f435w_var.fits")
    np.testing.assert_allclose(var, 1 / wht, rtol=2e-7)  # the rounding of float32
    assert names(mef) == {*(f"1_{band}.fits" for band in BANDS), *RECORDS}
    with fits.open(mef / "1_f435w.fits", checksum=True) as hdus:
        assert [unit.name for unit in hdus] == [
            "PRIMARY",
            "SCI",
            "WHT",
            "MASK",
            "NOISEACF",
            "COVERAGE",
        ]
        np.testing.assert_array_equal(hdus["SCI"].data, fits.getdata(plain / "1_f435w_sci.fits"))
    keep = fits.getdata(plain / "1_f435w_mask.fits") > 0
    masked = fits.getdata(written("--apply-mask") / "1_f435w_sci.fits")
    np.testing.assert_array_equal(np.isfinite(masked), keep)
    assert np.isfinite(fits.getdata(plain / "1_f435w_sci.fits")).all()
    for out in (variance, mef):
        np.testing.assert_allclose(
            hstcube.open_field(out, "1").wht.values,
            hstcube.open_field(plain, "1").wht.values,
            rtol=2e-7,
        )


def test_bands_are_chosen_under_any_of_their_names(folder: Path, out: Path, call: Callable) -> None:
    assert call("run", folder, "-o", out, "--band", "F160W", "-b", "850").code == 0
    assert hstcube.open_cube(out / "1.nc").band.values.tolist() == ["f850lp", "f160w"]
    assert record(out)["1"]["bands"] == ["f850lp", "f160w"]


def test_fields_are_chosen_by_name(folder: Path, out: Path, call: Callable) -> None:
    for name in ("2", "10"):
        write_field(folder, name, bands=("f160w",))
    said = call("run", folder, "-o", out, "-f", "10", "--field", "1")
    assert [row[0] for row in rows(said)] == ["10", "1"]
    said = call("run", folder, "-o", out, "-f", "7")
    assert said.code == 3
    assert "there are fields 1, 2, 10" in said.err


def test_images_may_have_names_of_their_own(folder: Path, out: Path, call: Callable) -> None:
    for path in list((folder / "new_stamps").iterdir()):
        field, scale, band, kind = path.stem.split("_")
        path.rename(folder / f"{kind}-{band}-{field}-{scale}.fits")
    pattern = folder / "sci-{band}-{field}-{scale}.fits"
    assert call("run", folder, "-o", out).code == 3
    assert call("run", folder, "-o", out, "--images", pattern).code == 0
    assert names(out) == {*PRODUCTS, "1.nc", *RECORDS}


def test_the_output_folder_is_beside_the_work_and_never_in_the_input(
    folder: Path, call: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    assert call("run", folder).code == 0
    assert (folder.parent / "hstcube_out" / "run.json").exists()
    monkeypatch.chdir(folder)
    assert call("run", ".").code == 4
    assert not (folder / "hstcube_out").exists()


def test_a_second_run_adds_its_targets_to_the_record(
    folder: Path, out: Path, call: Callable
) -> None:
    write_field(folder, "2", bands=("f160w",))
    assert call("run", folder, "-o", out, "-f", "1").code == 0
    first = record(out)["1"]
    assert call("run", folder, "-o", out, "-f", "2").code == 0
    assert record(out).keys() == {"1", "2"}
    assert record(out)["1"] == first


def test_a_run_is_repeated_only_when_told(folder: Path, out: Path, call: Callable) -> None:
    assert call("run", folder, "-o", out).code == 0

    def written() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in out.iterdir() if path.suffix != ".jsonl"}

    first = written()
    assert call("run", folder, "-o", out).out.count("done before") == 1
    said = call("run", folder, "-o", out, "--recipe", "original")
    assert said.code == 4
    assert "HC-O04" in said.err
    assert "--overwrite" in said.err
    assert written() == first
    assert call("run", folder, "-o", out, "--overwrite").code == 0
    assert written() == first


# -- the record


def test_the_record_names_what_went_in_and_how(folder: Path, out: Path, call: Callable) -> None:
    assert (
        call("run", folder, "-o", out, "--ids", f"m=1:{OBJECT},{NEIGHBOUR}", "--apply-mask").code
        == 0
    )
    said = record(out)
    assert said.keys() == {"1", "m"}
    for name, target in said.items():
        assert target["status"] == "ok"
        assert target["field"] == "1"
        assert target["ids"] == ([] if name == "1" else [OBJECT, NEIGHBOUR])
        expected = {
            str(path)
            for place in ("new_stamps", "segment_maps", "NEW_SKY")
            for path in (folder / place).iterdir()
        }
        assert target["inputs"].keys() == expected
        for path, digest in target["inputs"].items():
            assert digest == hashlib.sha256(Path(path).read_bytes()).hexdigest()
        assert set(target["outputs"]) == {f"{name}{product[1:]}" for product in (*PRODUCTS, "1.nc")}
        assert (
            target["warnings"]
            == hstcube.open_cube(out / f"{name}.nc").attrs["warnings"].splitlines()
        )
        assert target["pixels"] == mask_of(out, name).sum()
        assert target["options"]["recipe"] == "default"
        assert target["options"]["apply_mask"] is True
        assert target["versions"]["hstcube"] == hstcube.__version__
        assert {"python", "numpy", "xarray", "astropy", "scipy"} <= target["versions"].keys()


# -- how it ends


def test_one_broken_band_does_not_stop_the_other_fields(
    folder: Path, out: Path, call: Callable
) -> None:
    for name in ("2", "3"):
        write_field(folder, name)
    os.truncate(stamp(folder, "f850lp", field="2"), 5000)
    said = call("run", folder, "-o", out)
    assert said.code == 5
    assert said.err.splitlines()[:3] == ["[1/3] 1: ok", "[2/3] 2: failed, HC-F02", "[3/3] 3: ok"]
    assert [row[:2] for row in rows(said)] == [["1", "ok"], ["2", "failed"], ["3", "ok"]]
    assert "2 of 3 targets" in said.out
    assert stamp(folder, "f850lp", field="2").name in said.err
    assert "f850lp" in said.err
    assert "fix:" in said.err
    assert not [name for name in names(out) if name.startswith("2_")]
    assert {name: target["status"] for name, target in record(out).items()} == {
        "1": "ok",
        "2": "failed",
        "3": "ok",
    }
    assert record(out)["2"]["code"] == "HC-F02"
    sound = out.with_name("sound")
    assert call("run", folder, "-o", sound, "-f", "3").code == 0
    assert (sound / "3_f850lp_sci.fits").read_bytes() == (out / "3_f850lp_sci.fits").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--help"], 0, ""),
        (["--version"], 0, ""),
        (["run", "--help"], 0, ""),
        ([], 2, "Usage"),
        (["nothing"], 2, "No such command"),
        (["run"], 2, "Missing argument"),
        (["sky", "{folder}"], 2, "Missing option"),
        (["run", "{folder}", "--sharp"], 2, "No such option"),
        (["run", "{folder}", "--noise", "rms"], 2, "'rms' is not one of"),
        (["run", "{folder}", "--layout", "cube"], 2, "'cube' is not one of"),
        (
            ["run", "{folder}", "--recipe", "orignal"],
            2,
            "'orignal' is not one of default, original",
        ),
        (["sky", "{folder}", "-o", "{out}", "--method", "mode"], 2, "'mode' is not one of"),
        (["ls", "{folder}/nowhere"], 3, "HC-F01"),
        (["ls", "{folder}/NEW_SKY"], 3, "HC-F01"),
        (["run", "{folder}", "--scale", "30mas"], 3, "HC-F01"),
        (["run", "{folder}", "-b", "f606w"], 3, "HC-F01"),
        (["run", "{folder}", "-f", "../data/1"], 3, "HC-B12"),
        (["run", "{folder}", "--ids", "1"], 3, "HC-B20"),
        (["run", "{folder}", "--ids", "1=7"], 3, "HC-S12"),
        (["run", "{folder}/field.toml"], 3, "HC-F01"),
        (["run", "{folder}", "--recipe", "{folder}/recipe.toml"], 3, "HC-F01"),
        (["run", "{folder}", "--sky", "{folder}/none_{{band}}.txt"], 3, "HC-F01"),
        (["run", "{folder}", "--labels", "{folder}/none.fits"], 3, "HC-F01"),
        (["run", "{folder}", "-o", "{file}"], 4, "HC-O01"),
        (["sky", "{folder}", "-o", "{file}"], 4, "HC-O01"),
        (["run", "{folder}", "-o", "{folder}/out"], 4, "HC-O06"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_the_exit_code_says_what_went_wrong(
    arguments: list[str], code: int, said: str, folder: Path, out: Path, call: Callable
) -> None:
    file = folder.with_name("file")
    file.touch()
    filled = [argument.format(folder=folder, out=out, file=file) for argument in arguments]
    if filled[:1] == ["run"] and "-o" not in filled and code != 0:
        filled += ["-o", str(out)]
    result = call(*filled)
    assert result.code == code, result
    assert said in result.err
    if code >= 3:
        assert "fix: " in result.err
        assert re.search(r"HC-\w\d\d", result.err)[0] in codes()
    assert not out.exists() or names(out) <= RECORDS


def test_a_bug_is_one_line_without_a_traceback(
    folder: Path, out: Path, call: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "plan", lambda *_, **__: {}["missing"])
    said = call("run", folder, "-o", out)
    assert said.code == 1
    assert (
        said.err == "error: internal: KeyError: 'missing' (--debug shows where; please report it)\n"
    )


def test_debug_shows_where(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["hstcube", "--debug", "ls", str(folder / "nowhere")])
    with pytest.raises(hstcube.HstCubeError):
        cli.main()
    monkeypatch.setattr(sys, "argv", ["hstcube", "ls", str(folder / "nowhere")])
    with pytest.raises(SystemExit):  # and only when it is asked for
        cli.main()


def test_a_name_cannot_write_on_the_terminal(tmp_path: Path, call: Callable) -> None:
    said = call("ls", tmp_path / "\x1b[31mred")
    assert said.code == 3
    assert "\x1b" not in said.err
    folder = write_field(tmp_path / "\x1b[2Jdata")
    said = call("ls", folder)
    assert said.code == 0
    assert "\x1b" not in said.out


# -- the same from Python, anywhere


def test_the_command_gives_what_the_functions_give(
    folder: Path, tmp_path: Path, call: Callable
) -> None:
    assert call("run", folder, "-o", tmp_path / "command").code == 0
    assert (
        call(
            "run",
            folder,
            "-o",
            tmp_path / "command",
            "--recipe",
            "original",
            "--ids",
            f"m=1:{OBJECT},{NEIGHBOUR}",
            "-f",
            "1",
            "--overwrite",
        ).code
        == 0
    )
    cube, labels = hstcube.open_field(folder, "1"), hstcube.open_labels(label_map(folder))
    levels = {band: float(sky_file(folder, band).read_text()) for band in BANDS}
    whole = hstcube.homogenize(
        cube, labels=labels, sky=levels, recipe="original", ids=[OBJECT, NEIGHBOUR]
    ).assign_attrs(field="m")
    for path in hstcube.to_fits(whole, tmp_path / "python", noise="variance"):
        assert path.read_bytes() == (tmp_path / "command" / path.name).read_bytes(), path.name
    xr.testing.assert_identical(hstcube.open_cube(tmp_path / "command" / "m.nc"), whole)
    assert call("run", folder, "-o", tmp_path / "default").code == 0
    step_by_step = cube.pipe(hstcube.subtract_sky, levels).pipe(hstcube.psf_match, to="f160w")
    one_call = hstcube.homogenize(cube, labels=labels, sky=levels)
    np.testing.assert_array_equal(step_by_step.sci, one_call.sci)
    for path in hstcube.to_fits(one_call, tmp_path / "python"):
        assert path.read_bytes() == (tmp_path / "default" / path.name).read_bytes(), path.name
    xr.testing.assert_identical(hstcube.open_cube(tmp_path / "default" / "1.nc"), one_call)


@pytest.mark.slow
def test_results_do_not_depend_on_time_zone_language_or_home(
    folder: Path, out: Path, call: Callable
) -> None:
    assert call("run", folder, "-o", out).code == 0
    there = out.with_name("elsewhere")
    strange = {
        "TZ": "Pacific/Kiritimati",
        "LC_ALL": "de_DE.UTF-8",
        "PYTHONHASHSEED": "7",
        "OMP_NUM_THREADS": "1",
        "NO_COLOR": "1",
    }
    kept = {key: os.environ[key] for key in ("PATH", "PYTHONPATH") if key in os.environ}
    command = [sys.executable, "-m", "hstcube", "run", str(folder), "-o", str(there)]
    done = subprocess.run(command, env=kept | strange, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert names(there) == names(out)
    for name in names(out):
        assert (there / name).read_bytes() == (out / name).read_bytes(), name
