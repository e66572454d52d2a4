"""Runs in blocks that end in the middle: the next one goes on where they were."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask
import numpy as np
import pytest
from mosaic_images import write_images
from typer.testing import CliRunner

import hstcube
from hstcube.cli.app import app
from hstcube.fits import writing
from hstcube.mosaics import kept, streams

if TYPE_CHECKING:
    from collections.abc import Callable

    from hstcube.lazy.nodes import At

BLOCKS = 3 * 3 * 3  # bands, rows, columns
HOW: dict[str, Any] = {"chunks": 128, "masked": False, "sky": "none"}
ENDED = "hstcube.run_fields(*sys.argv[1:3], chunks=128, masked=False, sky='none', resume=True)"


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("going on") / "images")


@pytest.fixture(scope="module")
def undisturbed(images: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("undisturbed")
    hstcube.run_fields(images, out, **HOW)
    assert not left_in(out)
    return products(out)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[At]:
    """Return a list that gets the blocks that are computed and written."""
    seen: list[At] = []
    note = kept.note_block

    def noted(journal: Path, at: At, digest: str) -> None:
        seen.append(at)
        note(journal, at, digest)

    monkeypatch.setattr(streams, "note_block", noted)
    return seen


def products(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.glob("*.fits")}


def left_in(out: Path) -> list[str]:
    return sorted(path.name for path in out.iterdir() if path.name.startswith("."))


def run(images: Path, out: Path, **options: Any) -> Any:
    """Make the one field; return what became of it."""
    outcomes: list[Any] = []
    hstcube.run_fields(images, out, tell=outcomes.append, **HOW | options)
    return outcomes[0]


def interrupted(images: Path, out: Path, error: BaseException, after: int = 10) -> list[At]:
    """Let the run end with an error when so many blocks are written; return these."""
    done: list[At] = []
    note = kept.note_block

    def noted(journal: Path, at: At, digest: str) -> None:
        if len(done) >= after:
            raise error
        done.append(at)
        note(journal, at, digest)

    one_thread = dask.config.set(scheduler="synchronous")  # others would go on a while
    with pytest.MonkeyPatch.context() as patch, one_thread, contextlib.suppress(KeyboardInterrupt):
        patch.setattr(streams, "note_block", noted)
        assert run(images, out).error is not None
    assert left_in(out) == [".mos.blocks"]
    assert not products(out)
    return done


FULL = OSError(28, "No space left on device")


@pytest.mark.slow
@pytest.mark.parametrize("error", [FULL, KeyboardInterrupt()], ids=["full disk", "Ctrl-C"])
def test_a_run_goes_on_where_one_ended(
    images: Path, tmp_path: Path, undisturbed: Any, written: list[At], error: BaseException
) -> None:
    done = interrupted(images, tmp_path, error)
    written.clear()
    outcome = run(images, tmp_path, resume=True)
    assert outcome.blocks == f"{len(done)} of {BLOCKS} blocks"
    assert not {*written} & {*done}
    assert len(written) == BLOCKS - len(done)
    assert products(tmp_path) == undisturbed
    assert not left_in(tmp_path)
    assert run(images, tmp_path, resume=True).before


def test_a_full_disk_is_told_of_the_product(images: Path, tmp_path: Path, monkeypatch: Any) -> None:
    def full(place: Any, *_: Any) -> None:
        raise OSError(28, "No space left on device", str(place.path))

    monkeypatch.setattr(streams, "_write_pixels", full)
    outcome = run(images, tmp_path)
    assert outcome.error.code == "HC-O02"
    assert Path(outcome.error.file).parent == tmp_path
    assert Path(outcome.error.file).suffix == ".fits"
    assert not left_in(tmp_path)  # no block is there to go on with


@pytest.mark.slow
def test_without_resume_a_run_begins_anew(
    images: Path, tmp_path: Path, undisturbed: Any, written: list[At]
) -> None:
    interrupted(images, tmp_path, FULL)
    written.clear()
    assert run(images, tmp_path).blocks == ""
    assert len(written) == BLOCKS
    assert products(tmp_path) == undisturbed
    assert not left_in(tmp_path)


def other_input(images: Path, monkeypatch: Any) -> dict[str, Any]:
    path = images / "mos_60mas_f814w_sci.fits"
    data = bytearray(path.read_bytes())
    offset = len(data) - 2880 * 20
    data[offset : offset + 8] = data[offset + 4 : offset + 8] + data[offset : offset + 4]
    path.write_bytes(data)
    return {}


def other_option(images: Path, monkeypatch: Any) -> dict[str, Any]:
    return {"recipe": {"to": "0.3arcsec"}}


def other_version(images: Path, monkeypatch: Any) -> dict[str, Any]:
    monkeypatch.setattr("hstcube.pipeline.record.__version__", "0.0.1")
    return {}


def other_library(images: Path, monkeypatch: Any) -> dict[str, Any]:
    monkeypatch.setattr("scipy.__version__", "0.0.1")
    return {}


def other_detection(images: Path, monkeypatch: Any) -> dict[str, Any]:
    known = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: known(name) + "!" * (name == "photutils"))
    return {}


def other_blocks(images: Path, monkeypatch: Any) -> dict[str, Any]:
    return {"chunks": 150}


def whole_images(images: Path, monkeypatch: Any) -> dict[str, Any]:
    return {"chunks": None, "netcdf": False}


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        other_input,
        other_option,
        other_version,
        other_library,
        other_detection,
        other_blocks,
        whole_images,
    ],
)
def test_what_is_of_another_job_is_not_gone_on_with(
    tmp_path: Path, monkeypatch: Any, change: Callable[..., dict[str, Any]]
) -> None:
    images, out = write_images(tmp_path / "images"), tmp_path / "out"
    interrupted(images, out, FULL)
    how = change(images, monkeypatch)
    outcome = run(images, out, resume=True, **how)
    assert (outcome.error, outcome.blocks) == (None, "")
    run(images, tmp_path / "anew", **how)
    assert products(out) == products(tmp_path / "anew")
    assert not left_in(out)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sci", "wht", "mask"])
def test_a_block_that_is_damaged_is_made_anew(
    images: Path, tmp_path: Path, undisturbed: Any, written: list[At], kind: str
) -> None:
    done = interrupted(images, tmp_path, FULL)
    written.clear()
    at = done[4]
    band = hstcube.open_field(images, "mos").band.values[at.band]
    (path,) = tmp_path.rglob(f"mos_{band}_{kind}.fits.part")
    depth = 1 if kind == "mask" else 4
    start = undisturbed[f"mos_{band}_{kind}.fits"].index(b"END" + b" " * 77) // 2880 * 2880 + 2880
    with path.open("r+b") as file:
        file.seek(start + depth * ((at.bottom - 1) * 300 + at.right - 1))
        last = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([last[0] ^ 1]))
    outcome = run(images, tmp_path, resume=True)
    assert outcome.blocks == f"{len(done) - 1} of {BLOCKS} blocks"
    assert at in written
    assert products(tmp_path) == undisturbed


def torn(journal: Path) -> int:
    text = journal.read_bytes()
    journal.write_bytes(text[:-20])
    return 1


def forged(journal: Path) -> int:
    """Add a place that is none, one of another shape, and words."""
    lines = journal.read_text().split()
    digest = lines[5]
    wrong = ["9 0 128 0 128", "0 0 999999999 0 128", "0 1 129 0 128"]
    journal.write_text(
        journal.read_text() + "".join(f"{one} {digest}\n" for one in wrong) + "\nwhat?\n"
    )
    return 0


def emptied(journal: Path) -> int:
    """Cut files of the product off, as a loss of power does."""
    for path in journal.parent.glob("*_wht.fits.part"):
        os.truncate(path, 0)
    return 10


@pytest.mark.slow
@pytest.mark.parametrize("change", [torn, forged, emptied])
def test_a_journal_is_believed_only_where_the_pixels_agree(
    images: Path, tmp_path: Path, undisturbed: Any, change: Callable[[Path], int]
) -> None:
    done = interrupted(images, tmp_path, FULL)
    (journal,) = tmp_path.rglob("journal")
    still = len(done) - change(journal)
    outcome = run(images, tmp_path, resume=True)
    assert outcome.blocks == (f"{still} of {BLOCKS} blocks" if still else "")
    assert products(tmp_path) == undisturbed


@pytest.mark.slow
def test_a_second_interruption_keeps_what_both_wrote(
    images: Path, tmp_path: Path, undisturbed: Any, monkeypatch: Any
) -> None:
    first = interrupted(images, tmp_path, FULL, after=7)
    (journal,) = tmp_path.rglob("journal")
    torn(journal)
    monkeypatch.setitem(HOW, "resume", True)
    second = interrupted(images, tmp_path, FULL, after=5)
    outcome = run(images, tmp_path)
    assert outcome.blocks == f"{len(first) - 1 + len(second)} of {BLOCKS} blocks"
    assert products(tmp_path) == undisturbed


@pytest.mark.slow
def test_two_runs_at_once_do_not_meet(images: Path, tmp_path: Path, undisturbed: Any) -> None:
    interrupted(images, tmp_path, FULL)
    (journal,) = tmp_path.rglob("journal")
    job, told = journal.parent.name, journal.read_bytes()
    with kept.kept_blocks(tmp_path, "mos", job, go_on=True) as mine:
        assert mine is not None
        with kept.kept_blocks(tmp_path, "mos", job, go_on=True) as other:
            assert other is None
        outcome = run(images, tmp_path, resume=True)  # beside it, as before
        assert outcome.blocks == ""
        assert products(tmp_path) == undisturbed
        assert journal.read_bytes() == told
    assert not left_in(tmp_path)


def test_other_writers_leave_what_is_kept(images: Path, tmp_path: Path) -> None:
    interrupted(images, tmp_path, FULL)
    dead = tmp_path / ".mos_f160w_sci.fits.part-4194305-00"
    dead.touch()
    assert writing.sweep(tmp_path) == [dead]
    assert left_in(tmp_path) == [".mos.blocks"]


def test_without_locks_nothing_is_kept(
    images: Path, tmp_path: Path, undisturbed: Any, monkeypatch: Any
) -> None:
    def none(*_: Any) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(kept.fcntl, "flock", none)
    with kept.kept_blocks(tmp_path, "mos", "job", go_on=True) as mine:
        assert mine is None


@pytest.mark.slow
def test_the_command_says_what_it_goes_on_with(images: Path, tmp_path: Path) -> None:
    how = ["--chunks", "128", "--no-mask", "--sky", "none", "--resume"]
    interrupted(images, tmp_path, FULL)
    done = CliRunner().invoke(app, ["run", str(images), "-o", str(tmp_path), *how])
    assert done.exit_code == 0
    assert f"mos: ok, went on with 10 of {BLOCKS} blocks" in done.stderr


KILLED = """
import os, signal, sys
import hstcube
from hstcube.mosaics import streams
from pathlib import Path

left = int(sys.argv[3])

def killing(name, holder):
    done = getattr(holder, name)
    def counted(*arguments, **named):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return done(*arguments, **named)
    setattr(holder, name, counted)

for name in sys.argv[4].split(","):
    killing(name, Path if name == "replace" else streams)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("note_block", 0),
        ("note_block", 1),
        ("_write_pixels", 31),
        ("note_block", BLOCKS - 1),
        ("_sum_on_disk", 2),
        ("_write_back", 4),
        ("replace", 0),
        ("replace", 5),
        ("replace", 14),
    ],
)
def test_after_a_kill_at_any_moment_the_files_are_the_same(
    images: Path, tmp_path: Path, undisturbed: Any, written: list[At], moment: str, number: int
) -> None:
    command = [sys.executable, "-c", KILLED + ENDED, images, tmp_path, str(number), moment]
    ended = subprocess.run(command, capture_output=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()[-2000:]
    (journal,) = tmp_path.rglob("journal")
    told = journal.read_text().split("\n")
    done = len([line for line in told if line])
    outcome = run(images, tmp_path, resume=True)
    if moment == "replace":  # files are whole, and leave the folder: what is left of a band counts
        done = BLOCKS - len(written)
        assert done == BLOCKS // 3 * (3 - -(-min(number, 9) // 3))
    assert outcome.blocks == (f"{done} of {BLOCKS} blocks" if done else "")
    assert len(written) == BLOCKS - done
    assert products(tmp_path) == undisturbed
    assert not left_in(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_after_kills_by_the_clock_the_files_are_the_same(
    images: Path, tmp_path: Path, undisturbed: Any, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    slow = "import sys, time, hstcube; from hstcube.mosaics import streams\n"
    slow += "note = streams.note_block\n"
    slow += "def late(*told): note(*told); time.sleep(0.05)\n"
    slow += "streams.note_block = late\n"
    for _ in range(2):
        command = [sys.executable, "-c", slow + ENDED, images, tmp_path]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(rng.uniform(1.5, 5))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    outcome = run(images, tmp_path, resume=True)
    assert outcome.error is None
    assert products(tmp_path) == undisturbed
    assert not left_in(tmp_path)
