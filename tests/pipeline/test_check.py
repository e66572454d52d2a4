"""A look before the run: it finds what a run would refuse or assume, and writes nothing."""

from __future__ import annotations

import json
import re
import weakref

import numpy as np
import pytest
from astropy.io import fits
from made import code_of
from stamps import BANDS, label_map, rewrite, stamp, write_field
from typer.testing import CliRunner

import hstcube
from hstcube.cli.app import app
from hstcube.pipeline.findings import check, examine
from hstcube.pipeline.plan import plan


def report_of(folder, **how):
    return check(plan(folder, [], [], scale="60mas")[0], **how)


def found(report, kind):
    return {finding.code for finding in report.of(kind)}


def test_a_good_field_passes_and_says_what_is_assumed(tmp_path):
    report = report_of(write_field(tmp_path))
    assert not report.fails()
    assert report.bands == BANDS
    assert found(report, "warning") == {"HC-P12"}
    assert found(report, "note") == {"", "HC-B04", "HC-N20", "HC-S04", "HC-S14"}
    assert any("zero points of xdf" in finding.text for finding in report.of("note"))
    assert report.fails(strict=True)


def test_what_list_fields_returns_is_looked_at(tmp_path):
    folder = write_field(tmp_path)
    (files,) = hstcube.list_fields(folder, scale="60mas")
    assert hstcube.check(files).findings == report_of(folder).findings
    assert code_of(lambda: hstcube.check(folder)) == "HC-B17"


def test_every_broken_band_is_named_not_only_the_first(tmp_path):
    folder = write_field(tmp_path)
    stamp(folder, "f435w").write_bytes(b"<html>")
    rewrite(stamp(folder, "f850lp"), cards={"CTYPE1": None, "CTYPE2": None})
    report = report_of(folder)
    assert {(finding.code, finding.band) for finding in report.of("error")} >= {
        ("HC-F04", "f435w"),
        ("HC-W02", "f850lp"),
    }
    assert all(finding.fix and finding.file for finding in report.of("error"))
    assert report.bands == ("f160w",)


def test_map_and_sky_are_looked_at_too(tmp_path):
    folder = write_field(tmp_path, sky=False)
    label_map(folder).unlink()
    assert found(report_of(folder), "error") == {"HC-S16", "HC-K01"}
    assert found(report_of(folder, masked=False), "error") == {"HC-K01"}


@pytest.mark.parametrize(
    "wrong", [lambda wht: wht / wht.max() * 2e4, lambda wht: 1 / np.sqrt(wht), lambda wht: wht * 10]
)
def test_weights_that_are_something_else_are_noticed(tmp_path, wrong):
    """Exposure times of 2e4 s, rms, weights that promise a third of the noise; not 0.3 to 1.3."""
    folder = write_field(tmp_path, shape=(80, 80))
    assert "HC-D24" not in found(report_of(folder), "warning")
    rewrite(stamp(folder, "f850lp", "wht"), pixels=wrong)
    odd = [finding for finding in report_of(folder).of("warning") if finding.code == "HC-D24"]
    assert [finding.band for finding in odd] == ["f850lp"]
    assert odd[0].file.endswith("f850lp_wht.fits")


def test_nothing_is_written_and_the_command_speaks_json(tmp_path):
    folder = write_field(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    result = CliRunner().invoke(app, ["check", str(folder), "--json"])
    assert result.exit_code == 0
    told = json.loads(result.stdout)
    assert [report["target"] for report in told] == ["1"]
    assert {finding["kind"] for finding in told[0]["findings"]} == {"warning", "note"}
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_exit_codes_tell_all_failed_from_some(tmp_path):
    folder = write_field(write_field(tmp_path), "2")
    runner = CliRunner()
    assert runner.invoke(app, ["check", str(folder)]).exit_code == 0
    assert runner.invoke(app, ["check", str(folder), "--strict"]).exit_code == 3
    stamp(folder, "f160w", field="2").unlink()
    result = runner.invoke(app, ["check", str(folder)])
    assert result.exit_code == 5
    assert "2: will fail" in result.stdout
    assert "fix:" in result.stdout


def test_a_field_is_told_before_the_next_is_examined_and_forgotten_then(
    call, tmp_path, monkeypatch, capsys
):
    folder, told, reports = tmp_path, [], []
    for name in "123":
        folder = write_field(folder, name)

    def watched(target, *options, **where):
        kept = sum(known() is not None for known in reports)
        told.append((target.name, capsys.readouterr().out.partition(";")[0], kept))
        report = examine(target, *options, **where)
        reports.append(weakref.ref(report))
        return report

    monkeypatch.setattr("hstcube.pipeline.findings.examine", watched)
    assert call("check", folder).out.startswith("3: ok;")
    assert told == [("1", "", 0), ("2", "1: ok", 1), ("3", "2: ok", 1)]


@pytest.mark.parametrize("kind", ["check", "run"])
def test_what_check_refuses_run_refuses_too(tmp_path, kind):
    folder = write_field(tmp_path / "data")
    rewrite(stamp(folder, "f435w"), cards={"FILTER": "F606W"})
    out = [] if kind == "check" else ["-o", str(tmp_path / "out"), "--no-netcdf"]
    assert "HC-B03" in (result := CliRunner().invoke(app, [kind, str(folder), *out])).output
    assert result.exit_code == 3


def test_a_strict_run_writes_no_cube_that_carries_warnings(tmp_path):
    folder = write_field(tmp_path / "data")
    result = CliRunner().invoke(app, ["run", str(folder), "--strict", "-o", str(tmp_path / "out")])
    assert result.exit_code == 3
    assert "HC-R01" in result.output
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".json", ".jsonl", ".ecsv"}


def test_check_takes_the_options_of_run(tmp_path):
    folder = write_field(tmp_path, sky=False)
    runner = CliRunner()
    one = runner.invoke(app, ["check", str(folder), "-b", "f160w", "--recipe", "original"])
    assert one.exit_code == 0, one.output
    assert "1 bands: f160w" in one.stdout
    assert "HC-P12" not in one.stdout  # that recipe matches with Gaussians by its nature
    assert "sky levels of f160w will be measured" in one.stdout
    for options in (["--sky", "none"], ["--onto", "labels"], ["--allow", "f435w", "--to", "f160w"]):
        said = runner.invoke(app, ["check", str(folder), *options])
        assert said.exit_code == 0, said.output
    aligned = runner.invoke(app, ["check", str(folder), "--align", "apply"])
    assert aligned.exit_code == 3
    assert "HC-B22" in aligned.stdout
    misspelt = runner.invoke(app, ["check", str(folder), "--recipe", "orignal"])
    assert misspelt.exit_code == 2


def test_check_counts_the_object_as_it_is_and_as_the_run_will_take_it(call, tmp_path):
    write_field(tmp_path / "data")
    notes = [finding.text for finding in report_of(tmp_path / "data").of("note")]
    (note,) = [text for text in notes if "object of" in text]
    call("run", tmp_path / "data", "-o", tmp_path / "out")
    (made,) = json.loads((tmp_path / "out" / "run.json").read_text())["targets"].values()
    bare, used = map(int, re.findall(r"object of (\d+) pixels.*mask has (\d+)", note)[0])
    assert bare < used == made["pixels"]


@pytest.mark.filterwarnings("ignore:Invalid 'BLANK'")
def test_the_largest_piece_is_proposed_and_taken(call, tmp_path):
    folder = write_field(tmp_path / "data")
    path = label_map(folder, "1")
    with fits.open(path) as hdus:
        unit = next(unit for unit in hdus if unit.data is not None)
        data, cards = unit.data.copy(), unit.header.copy()
    cards.pop("BLANK", None)
    data[:6, :6] = data[data.shape[0] // 2, data.shape[1] // 2]
    fits.writeto(path, data, cards, overwrite=True)
    said = call("check", folder)
    assert "HC-S11" in said.out + said.err
    assert "--largest" in said.out + said.err
    said = call("check", folder, "--largest")
    assert "HC-S11" not in said.out + said.err
