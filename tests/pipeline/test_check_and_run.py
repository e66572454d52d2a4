"""`check` and `run` see the same: the same options, the same findings, all of what is refused."""

from __future__ import annotations

import inspect
import json
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from defects import DEFECTS, Defect, nothing
from stamps import NEIGHBOUR, OBJECT, label_map, rewrite, sky_file, stamp, write_field
from typer.testing import CliRunner

from hstcube.cli import field as commands
from hstcube.cli.app import app
from hstcube.errors import HstCubeError
from hstcube.pipeline import runs
from hstcube.pipeline.findings import examine
from hstcube.pipeline.options import Options
from hstcube.pipeline.plan import plan

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hstcube.pipeline.record import Report

pytestmark = pytest.mark.filterwarnings("ignore::hstcube.errors.HstCubeWarning")

# what may differ, and why
DIFFERENT = {
    "jobs": "check computes little",
    "scheduler": "check computes little",
    "resume": "check writes nothing",
    "report": "check writes nothing",
    "out": "check looks at a folder of products only if one is named",
}
# one defect of each code that a field of files can have
ONE_EACH = {d.code: d for d in DEFECTS.values() if d.make is not nothing}


def parameters(command: Any) -> dict[str, tuple[Any, Any]]:
    told = inspect.signature(command).parameters.values()
    return {one.name: (one.annotation, one.default) for one in told}


def errors(report: Report) -> set[str]:
    return {finding.code for finding in report.of("error")}


def check(folder: Path, *options: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["check", str(folder), *options])
    return result.exit_code, result.output


def test_check_and_run_have_the_same_options_with_the_same_values() -> None:
    one, other = parameters(commands.run), parameters(commands.check)
    unlike = {name for name in {*one, *other} if one.get(name) != other.get(name)}
    assert unlike == set(DIFFERENT)


@pytest.mark.slow
@pytest.mark.parametrize("defect", ONE_EACH.values(), ids=ONE_EACH)
def test_check_names_what_run_refuses_and_warns_of_the_same(defect: Defect, tmp_path: Path) -> None:
    folder = write_field(tmp_path / "data")
    defect.make(folder)
    try:
        targets = plan(folder, [], [], scale="60mas")
    except HstCubeError:
        return  # both of them, before there is a target
    options = Options(netcdf=False)
    for outcome in runs.run(targets, tmp_path / "out", options):
        report = examine(outcome.target, options)
        if outcome.error:
            assert outcome.error.code in errors(report)
        else:
            assert not errors(report)
            said = {note.code for note in outcome.notes}
            assert {one.code for one in report.of("warning")} - {"HC-D24"} == said  # check's own


def three_faults(folder: Path) -> None:
    """Spoil an image, the map, and a sky level."""
    rewrite(stamp(folder, "f435w"), cards={"CTYPE1": None, "CTYPE2": None})
    label_map(folder).write_bytes(b"<html>")
    sky_file(folder, "f160w").write_text("not a number")


def test_faults_that_have_nothing_to_do_with_each_other_are_all_named(tmp_path: Path) -> None:
    folder = write_field(tmp_path / "data")
    three_faults(folder)
    rewrite(stamp(folder, "f850lp", "wht"), cards={"FILTER": "F606W"})
    (target,) = plan(folder, [], [], scale="60mas")
    found = {(one.code, one.band) for one in examine(target, Options()).of("error")}
    assert {("HC-W02", "f435w"), ("HC-F04", ""), ("HC-K02", "f160w"), ("HC-B03", "f850lp")} <= found


def test_faults_of_all_bands_hide_neither_map_nor_levels(tmp_path: Path) -> None:
    folder = write_field(tmp_path / "data")
    three_faults(folder)
    for band in ("f850lp", "f160w"):
        stamp(folder, band, "wht").unlink()
    (target,) = plan(folder, [], [], scale="60mas")
    report = examine(target, Options())
    assert {"HC-W02", "HC-F04", "HC-K02", "HC-F01"} <= errors(report)
    assert not report.bands


def test_both_images_of_a_band_and_two_levels_are_named(tmp_path: Path) -> None:
    folder = write_field(tmp_path / "data")
    rewrite(stamp(folder, "f435w"), cards={"ABZP": "text", "CRVAL2": 120.0})
    stamp(folder, "f435w", "wht").write_bytes(b"")
    for band in ("f850lp", "f160w"):
        sky_file(folder, band).write_text("nan")
    (target,) = plan(folder, [], [], scale="60mas")
    found = [(one.code, one.band) for one in examine(target, Options()).of("error")]
    assert {("HC-W06", "f435w"), ("HC-D22", "f435w"), ("HC-F04", "f435w")} <= {*found}
    assert {("HC-K03", "f850lp"), ("HC-K03", "f160w")} <= {*found}
    assert len(found) == len(set(found))


def test_what_is_asked_for_does_not_hide_what_is_there(tmp_path: Path) -> None:
    folder = write_field(tmp_path / "data")
    stamp(folder, "f435w").write_bytes(b"<html>")
    code, said = check(folder, "--psf", str(tmp_path / "no.fits"), "--sky", "measure")
    assert code == 3
    assert "no.fits" in said
    assert "1_60mas_f435w_sci.fits" in said


def test_every_target_that_cannot_be_is_named(tmp_path: Path) -> None:
    folder = write_field(tmp_path / "data")
    ids = ["--ids", "nonsense", "--ids", "m3=77:1", "--ids", "1=x"]
    code, said = check(folder, "-f", "1", "-f", "8", *ids)
    assert code == 5
    for named in ("'8'", "'nonsense'", "'77'", "'1=x'"):
        assert named in said
    assert "1: ok" in said
    with pytest.raises(HstCubeError, match="'8'"):
        plan(folder, ["1", "8"], ["nonsense"], scale="60mas")


def test_check_names_what_stands_in_the_way_of_the_products(tmp_path: Path) -> None:
    folder, out = write_field(tmp_path / "data"), tmp_path / "out"
    assert check(folder, "-o", str(out))[0] == 0
    assert not out.exists()
    run = ["run", str(folder), "-o", str(out)]
    assert CliRunner().invoke(app, run).exit_code == 0
    code, said = check(folder, "-o", str(out))
    assert (code, "HC-O04" in said) == (3, True)
    assert check(folder, "-o", str(out), "--overwrite")[0] == 0
    (out / "run.json").write_text("[]")
    code, said = check(folder, "-o", str(out), "--overwrite")
    assert "HC-O09" in said
    assert "HC-O06" in check(folder, "-o", str(folder / "out"))[1]
    refused = CliRunner().invoke(app, [*run, "--overwrite"]).exception
    assert getattr(refused, "code", "") == "HC-O09"


def test_widths_of_the_command_line_are_those_of_the_run(tmp_path: Path) -> None:
    folder = write_field(tmp_path / "data")
    for band in ("f435w", "f850lp", "f160w"):
        for kind in ("sci", "wht"):
            rewrite(stamp(folder, band, kind), cards={"INSTRUME": None, "DETECTOR": None})
            path = stamp(folder, band, kind)
            rewrite(path, cards={"TARGNAME": None, "SURVEY": None})
    widths = ["--psf-fwhm", "f435w=0.1", "--psf-fwhm", "F850LP=0.11", "--psf-fwhm", "f160w=0.25"]
    assert check(folder, *widths)[0] == 0
    out = tmp_path / "out"
    said = CliRunner().invoke(app, ["run", str(folder), "-o", str(out), *widths])
    assert said.exit_code == 0, said.output
    told = json.loads((out / "run.json").read_text())["targets"]["1"]
    assert told["options"]["psf_fwhm"] == {"f435w": 0.1, "F850LP": 0.11, "f160w": 0.25}
    assert "0.25" in json.dumps(told)
    for wrong in ("f435w", "=0.1", "f435w=wide"):
        assert check(folder, "--psf-fwhm", wrong)[0] == 2
    assert "HC-B01" in check(folder, "--psf-fwhm", "f999w=0.1")[1]


def test_too_little_blank_sky_is_found_before_the_run(tmp_path: Path) -> None:
    folder = write_field(tmp_path / "data", sky=False)
    rewrite(label_map(folder), pixels=lambda labels: np.where(labels == 0, 7, labels))
    (target,) = plan(folder, [], [], scale="60mas")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (outcome,) = runs.run([target], tmp_path / "out", Options())
        assert outcome.error
        assert outcome.error.code in errors(examine(target, Options()))


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        ["--ids", f"1={OBJECT}"],
        ["--ids", f"m=1:{OBJECT}"],
        ["--largest"],
        ["--neighbours", "replace"],
        ["--recipe", "original"],
    ],
    ids=" ".join,
)
def test_all_pixels_and_a_choice_of_some_are_not_asked_for_together(
    options: list[str], tmp_path: Path, call: Callable
) -> None:
    folder = write_field(tmp_path / "data")
    for command in (("check",), ("run", "-o", tmp_path / "out")):
        told = call(*command, folder, "--no-mask", *options)
        assert told.code != 0
        assert "HC-S16" in told.out + told.err
    for command in (("check",), ("run", "-o", tmp_path / "other")):
        assert call(*command, folder, *options).code == 0


def test_with_all_pixels_nothing_is_said_of_an_object(tmp_path: Path, call: Callable) -> None:
    folder = write_field(tmp_path / "data")
    rewrite(label_map(folder), pixels=lambda map_: np.where(map_ == NEIGHBOUR, map_, 0))
    assert "HC-S01" in call("check", folder).out
    for command in (("check",), ("run", "-o", tmp_path / "out")):
        assert call(*command, folder, "--no-mask").code == 0


def test_what_a_field_file_says_of_the_object_is_no_question_with_all_pixels(
    tmp_path: Path, call: Callable
) -> None:
    folder = write_field(tmp_path / "data", bands=["f606w"])
    path, images = folder / "mine.toml", "new_stamps/1_60mas_f606w"
    path.write_text(
        f'[bands.f606w]\nsci = "{images}_sci.fits"\nwht = "{images}_wht.fits"\n'
        f'[labels]\npath = "{label_map(folder).relative_to(folder)}"\nids = [7]\nlargest = true\n'
        'neighbours = "replace"\n'
    )
    for command in (("check",), ("run", "-o", tmp_path / "out")):
        assert call(*command, path, "--no-mask").code == 0


def test_something_is_left_to_write(tmp_path: Path, call: Callable) -> None:
    told = call("run", write_field(tmp_path / "data"), "--layout", "netcdf", "--no-netcdf")
    assert "neither FITS nor netCDF" in told.err
