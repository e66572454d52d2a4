"""Many fields: processes, what is done before, what goes on where a run ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from astropy.table import Table
from stamps import rewrite, stamp, write_field

import hstcube
from hstcube.fleet.ledger import Ledger
from hstcube.fleet.workers import each

BANDS = ("f850lp", "f160w")
if TYPE_CHECKING:
    from pathlib import Path

NAMES = [str(number) for number in range(1, 5)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write four fields of two bands."""
    tmp_path = tmp_path / "images"
    for name in NAMES:
        write_field(tmp_path, name, bands=BANDS)
    return tmp_path


def products(out: Path) -> dict[str, bytes]:
    """Return what each product holds; of netCDF that it is there, for HDF5 writes the time.

    Parts of writers that were killed are swept once the system does not list those any more.
    """
    files = [one for one in out.iterdir() if not one.name.startswith(("run.", "summary", "."))]
    return {f.name: f.read_bytes() if f.suffix == ".fits" else b"" for f in files}


def told(out: Path) -> dict[str, dict]:
    return json.loads((out / "run.json").read_text())["targets"]


def made(folder: Path, out: Path, **how) -> dict[str, str]:
    table = hstcube.run_fields(folder, out, **how)
    return dict(zip(table["target"].tolist(), table["status"].tolist(), strict=True))


# -- processes


def test_processes_make_the_same_files(folder, tmp_path):
    assert made(folder, tmp_path / "one") == dict.fromkeys(NAMES, "ok")
    assert made(folder, tmp_path / "two", jobs=2) == dict.fromkeys(NAMES, "ok")
    assert products(tmp_path / "one") == products(tmp_path / "two")
    assert told(tmp_path / "one").keys() == told(tmp_path / "two").keys()


def test_a_bad_field_stops_no_other_and_is_told_in_the_words_of_the_caller(folder, tmp_path, call):
    stamp(folder, "f160w", field="2").unlink()
    done = call("run", folder, "-o", tmp_path / "out", "-j", 2)
    assert done.code == 5
    assert "3 of 4 targets" in done.out
    assert told(tmp_path / "out")["2"]["code"].startswith("HC-")
    table = Table.read(tmp_path / "out" / "summary.ecsv")
    assert dict(zip(table["target"].tolist(), table["status"].tolist(), strict=True)) == {
        "1": "ok", "2": "failed", "3": "ok", "4": "ok"
    }  # fmt: skip


def test_a_process_that_is_killed_is_told(folder, tmp_path):
    with pytest.raises(hstcube.HstCubeError, match=r"HC-R02 a process of the run ended"):
        list(each(_dies, [1, 2, 3], jobs=2))
    assert list(each(abs, [-1, 2], jobs=1)) == [1, 2]
    assert sorted(each(abs, [-1, 2, -3], jobs=2)) == [1, 2, 3]


def _dies(number: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_a_script_without_a_guard_is_told_of_it(folder, tmp_path):
    script = tmp_path / "mine.py"
    script.write_text(f"import hstcube\nhstcube.run_fields({str(folder)!r}, 'out', jobs=2)\n")
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "in a script, call it under: if __name__ == '__main__':" in done.stderr


@pytest.mark.parametrize("jobs", [-1, 1.5, "two"])
def test_a_number_of_processes_that_cannot_be_is_refused(folder, tmp_path, jobs):
    with pytest.raises(hstcube.HstCubeError, match=r"HC-B3\d jobs"):
        hstcube.run_fields(folder, tmp_path / "out", jobs=jobs)


# -- done before


def test_what_was_done_is_not_made_again(folder, tmp_path, call):
    out = tmp_path / "out"
    assert set(made(folder, out).values()) == {"ok"}
    times = {path: path.stat().st_mtime_ns for path in out.glob("*.fits")}
    assert set(made(folder, out).values()) == {"before"}
    done = call("run", folder, "-o", out)
    assert done.code == 0
    assert done.out.count("done before") == len(NAMES)
    assert {path: path.stat().st_mtime_ns for path in out.glob("*.fits")} == times


def test_without_resume_what_is_not_proven_is_not_replaced(folder, tmp_path):
    out = tmp_path / "out"
    made(folder, out)
    rewrite(stamp(folder, "f160w", field="3"), cards={"HISTORY": "changed"})
    table = hstcube.run_fields(folder, out)
    assert table["status"].tolist() == ["before", "before", "failed", "before"]
    assert table["code"].tolist()[2] == "HC-O04"
    assert told(out)["3"]["status"] == "ok"  # what is there was made


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda folder, _: rewrite(stamp(folder, "f160w", field="3"), cards={"A": 1}), "3_60mas"),
        (lambda _, out: (out / "3_f160w_sci.fits").unlink(), "3_f160w_sci.fits"),
    ],
)
def test_resume_makes_what_is_not_done(folder, tmp_path, call, change, why):
    out = tmp_path / "out"
    made(folder, out)
    change(folder, out)
    done = call("run", folder, "-o", out, "--resume")
    assert done.code == 0
    assert f"3: ok, made again: {why}" in done.err
    assert done.err.count("done before") == len(NAMES) - 1
    assert set(made(folder, out).values()) == {"before"}


def test_other_options_are_another_question(folder, tmp_path):
    out = tmp_path / "out"
    made(folder, out)
    assert set(made(folder, out, recipe={"sky": 0.0}, resume=True).values()) == {"ok"}
    assert set(made(folder, out, recipe={"sky": 0.0}).values()) == {"before"}
    assert set(made(folder, out, strict=True).values()) == {"failed"}


def test_resume_replaces_nothing_that_others_wrote_or_changed(folder, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    mine = out / "1_f160w_sci.fits"
    mine.write_bytes(b"mine")
    assert made(folder, out, resume=True)["1"] == "failed"
    assert mine.read_bytes() == b"mine"
    changed = out / "2_f160w_sci.fits"
    changed.write_bytes(changed.read_bytes()[:-2880] + b"\0" * 2880)
    kept = changed.read_bytes()
    table = hstcube.run_fields(folder, out, resume=True)
    assert table["code"].tolist()[:2] == ["HC-O04", "HC-O04"]
    assert changed.read_bytes() == kept
    assert set(made(folder, out, overwrite=True).values()) == {"ok"}


# -- the ledger


def test_a_torn_last_line_is_passed_over_and_a_torn_middle_refused(folder, tmp_path):
    out = tmp_path / "out"
    made(folder, out, fields=["1", "2"])
    lines = out / "run.jsonl"
    whole = lines.read_bytes()
    (out / "run.json").unlink()
    lines.write_bytes(whole[:-40])
    assert [name for name, _ in Ledger(out).everything()] == ["1"]
    assert made(folder, out, fields=["1", "2"], resume=True) == {"1": "before", "2": "ok"}
    assert set(made(folder, out, fields=["1", "2"]).values()) == {"before"}
    lines.write_bytes(b"no line\n" + whole)
    with pytest.raises(hstcube.HstCubeError, match=r"HC-O09 .*run.jsonl.*'no line"):
        Ledger(out)


@pytest.mark.slow
def test_a_record_of_many_thousand_fields_is_read(tmp_path):
    target = {"status": "ok", "message": "m" * 2**26}  # beyond what a table of the user may hold
    (tmp_path / "run.json").write_text(json.dumps({"targets": {"1": target}}))
    assert Ledger(tmp_path).told("1") == target
    Ledger(tmp_path).done("1", target | {"code": "HC-A01"}, replaces=True)
    assert Ledger(tmp_path).told("1")["code"] == "HC-A01"
    assert Ledger(tmp_path).told("2") == {}


def test_a_ledger_tells_what_other_processes_wrote_since(tmp_path):
    first, second = Ledger(tmp_path), Ledger(tmp_path)
    second.done("1", {"status": "ok", "pixels": 5})
    first.done("2", {"status": "failed"})
    assert dict(first.everything()) == {
        "1": {"status": "ok", "pixels": 5},
        "2": {"status": "failed"},
    }
    first.done("1", {"status": "failed"})  # what was made is still there
    assert first.told("1")["pixels"] == 5
    first.done("1", {"status": "failed"}, replaces=True)
    assert Ledger(tmp_path).told("1") == {"status": "failed"}


@pytest.mark.slow
def test_two_runs_into_one_folder_lose_no_line(folder, tmp_path):
    out = tmp_path / "out"
    program = (
        "import sys, hstcube; hstcube.run_fields(sys.argv[1], sys.argv[2], fields=sys.argv[3:])"
    )
    runs = [
        subprocess.Popen([sys.executable, "-W", "ignore", "-c", program, folder, out, *names])
        for names in (NAMES[:2], NAMES[2:])
    ]
    assert [one.wait(120) for one in runs] == [0, 0]
    assert set(made(folder, out).values()) == {"before"}
    assert {name: one["status"] for name, one in told(out).items()} == dict.fromkeys(NAMES, "ok")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(0, 4, 2))
def test_after_a_kill_at_any_moment_a_run_goes_on_to_the_same_files(folder, tmp_path, seed):
    made(folder, tmp_path / "whole")
    out = tmp_path / "out"
    program = (
        "import sys, hstcube; hstcube.run_fields(sys.argv[1], sys.argv[2], jobs=2, resume=True)"
    )
    for turn in range(3):
        run = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", f"if __name__ == '__main__':\n {program}",
             folder, out], start_new_session=True, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        time.sleep(1.5 + 0.35 * seed + 0.8 * turn)
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
    statuses = made(folder, out, resume=True)
    assert set(statuses.values()) <= {"ok", "before"}
    assert products(out) == products(tmp_path / "whole")
    assert set(made(folder, out).values()) == {"before"}


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_after_ctrl_c_the_record_is_whole_and_a_run_goes_on(folder, tmp_path, jobs):
    out = tmp_path / "out"
    command = [sys.executable, "-m", "hstcube", "run", folder, "-o", out, "-j", str(jobs)]
    how = {"stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    with subprocess.Popen(command, **how) as run:
        for line in run.stderr:
            if ": ok" in line:
                break
        os.killpg(run.pid, signal.SIGINT)
        said = run.stderr.read()
        assert run.wait(60) == 130
    assert "files that are there are whole" in said
    done = {name for name, one in told(out).items() if one["status"] == "ok"}
    assert done
    assert {path.name.split("_")[0] for path in out.glob("*_sci.fits")} == done
    assert made(folder, out, resume=True) == {n: "before" if n in done else "ok" for n in NAMES}


@pytest.mark.slow
def test_what_processes_finish_after_the_caller_stopped_is_in_the_record(folder, tmp_path):
    class StopError(Exception):
        pass

    def stop(outcome):
        raise StopError

    out = tmp_path / "out"
    with pytest.raises(StopError):
        hstcube.run_fields(folder, out, jobs=2, tell=stop)
    done = {name for name, one in told(out).items() if one["status"] == "ok"}
    assert {path.name.split("_")[0] for path in out.glob("*_sci.fits")} == done


@pytest.mark.parametrize(
    ("key", "odd"),
    [("sky", 5), ("bands", 3), ("warnings", "a"), ("sha256", []), ("versions", 1), ("status", {})],
)
def test_a_record_that_tells_odd_things_is_refused_and_kept(folder, tmp_path, key, odd):
    out = tmp_path / "out"
    out.mkdir()
    target = {"status": "ok", key: odd}
    for name, text in (
        ("run.jsonl", json.dumps({"name": "9", "target": target}) + "\n"),
        ("run.json", json.dumps({"targets": {"9": target}})),
    ):
        (out / name).write_text(text)
        with pytest.raises(hstcube.HstCubeError, match=rf"HC-O09 .*{name}"):
            hstcube.run_fields(folder, out)
        assert (out / name).read_text() == text
        (out / name).unlink()


def test_what_a_failed_run_was_about_to_write_is_not_its_own(folder, tmp_path):
    ledger = Ledger(tmp_path)
    mine = tmp_path / "1_f160w_sci.fits"
    ledger.begin("1", [mine], "a run")
    mine.write_bytes(b"")
    assert Ledger(tmp_path).may_replace("1", mine)  # it may have been killed there
    ledger.done("1", {"status": "failed"})
    assert not Ledger(tmp_path).may_replace("1", mine)


def test_a_ledger_that_is_spoilt_meanwhile_is_kept_aside(folder, tmp_path):
    out = tmp_path / "out"

    def spoil(outcome):
        (out / "run.jsonl").write_text("spoilt\n")

    hstcube.run_fields(folder, out, fields=["1"], tell=spoil)
    (kept,) = out.glob("run.jsonl.*.kept")
    assert kept.read_text() == "spoilt\n"


# -- which fields


def test_fields_are_named_by_a_list_or_a_table(folder, tmp_path, call):
    names = tmp_path / "some.txt"
    names.write_text("# mine\n2\n\n4  # the last\n2\n")
    done = call("run", folder, "-o", tmp_path / "a", "--fields", names, "--no-netcdf")
    assert done.code == 0
    assert told(tmp_path / "a").keys() == {"2", "4"}
    table = tmp_path / "some.ecsv"
    Table({"ID": ["3"], "ra": [53.1]}).write(table)
    assert made(folder, tmp_path / "b", fields=table) == {"3": "ok"}


@pytest.mark.parametrize(
    ("text", "code"), [("", "HC-B23"), ("a/b\n", "HC-B12"), ("99\n", "HC-F01")]
)
def test_a_list_that_names_no_field_is_refused(folder, tmp_path, call, text, code):
    names = tmp_path / "some.txt"
    names.write_text(text)
    done = call("run", folder, "-o", tmp_path / "out", "--fields", names)
    assert done.code == 3
    assert code in done.err
