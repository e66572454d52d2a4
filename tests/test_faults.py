"""Outputs are whole or absent.

Whatever kills the writer or fills the disk, a file is the old one or the new one.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import xarray as xr
from astropy.io import fits
from stamps import BANDS, OBJECT, write_field

import hstcube
from hstcube.cli import app as cli
from hstcube.core import grids
from hstcube.errors import FileError, HstCubeError, WriteError
from hstcube.files import netcdf as netcdf_files
from hstcube.fits import writing as _files
from hstcube.pipeline import runs
from hstcube.pipeline.options import Options
from hstcube.pipeline.plan import plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.filterwarnings("ignore::hstcube.errors.HstCubeWarning")

KILLS = int(
    os.environ.get("HSTCUBE_KILLS", "12")
)  # how often a writer is killed at a time of the clock


@pytest.fixture(scope="module")
def before() -> xr.Dataset:
    return a_cube(1)


@pytest.fixture(scope="module")
def after() -> xr.Dataset:
    return a_cube(2)


def a_cube(seed: int, shape: tuple[int, int] = (60, 64)) -> xr.Dataset:
    rng = np.random.default_rng(seed)
    cards = {
        "CTYPE1": "RA---TAN",
        "CTYPE2": "DEC--TAN",
        "CRVAL1": 53.1,
        "CRVAL2": -27.8,
        "CRPIX1": 30.5,
        "CRPIX2": 30.5,
        "CD1_1": -0.06 / 3600,
        "CD2_2": 0.06 / 3600,
    }
    sci, wht = rng.normal(size=(len(BANDS), *shape)), rng.uniform(1, 2, (len(BANDS), *shape))
    grid = grids.Grid.from_header(cards, shape=shape)
    return hstcube.build(
        sci.astype(np.float32),
        wht.astype(np.float32),
        bands=BANDS,
        grid=grid,
        units="electron s-1",
        field="x",
    )


def write_fits(cube: xr.Dataset, folder: Path) -> None:
    hstcube.to_fits(cube, folder, overwrite=True)


def write_netcdf(cube: xr.Dataset, folder: Path) -> None:
    hstcube.save_cube(cube, folder / "x.nc", overwrite=True)


WRITERS = [write_fits, write_netcdf]


def contents(folder: Path) -> dict[str, bytes]:
    """Return all files of a folder but those of unfinished writers."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if ".part-" not in path.name}


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if ".part-" in path.name)


class Folder:
    """A folder with an old product; what it holds before and after that is written again."""

    def __init__(
        self,
        place: Path,
        write: Callable[[xr.Dataset, Path], None],
        before: xr.Dataset,
        after: xr.Dataset,
    ) -> None:
        self.path = place / "out"
        self.write = lambda: write(after, self.path)
        self.old, self.new = {}, {}
        for cube, kept in ((after, self.new), (before, self.old)):
            self.path.mkdir(parents=True, exist_ok=True)
            write(cube, self.path)
            kept.update(contents(self.path))
        assert self.old.keys() == self.new.keys()
        assert all(self.old[name] != self.new[name] for name in self.old if "mask" not in name)

    def state(self) -> str:
        """Say whether the product is "old", "new" or "mixed"; no file may be neither."""
        there = contents(self.path)
        assert there.keys() == self.old.keys()
        for name, data in there.items():
            assert data in (self.old[name], self.new[name]), f"{name} is half written"
        return "old" if there == self.old else "new" if there == self.new else "mixed"

    def restore(self) -> None:
        for path in self.path.iterdir():
            path.unlink()
        for name, data in self.old.items():
            (self.path / name).write_bytes(data)


def killed(
    action: Callable[[], None], *, after: float | None = None, at_event: int | None = None
) -> bool:
    """Run `action` in a child that dies of SIGKILL, after so many seconds or at its n-th event.

    Return whether it died.

    Events are the moments at which the order of things on disk is decided: a file is made durable,
    or gets its name.
    """
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", DeprecationWarning
        )  # of a fork beside idle threads of numerical libraries
        child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            if at_event is not None:
                die_at(at_event)
            action()
        os._exit(0)
    if after is not None:
        time.sleep(after)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def die_at(event: int) -> None:
    """Make this process kill itself at its n-th event, for good: only for a child."""
    left = event

    def dying(function: Callable[..., object]) -> Callable[..., object]:
        def wrapper(*args: object, **kwargs: object) -> object:
            nonlocal left
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
            return function(*args, **kwargs)

        return wrapper

    os.fsync = dying(os.fsync)
    Path.replace = dying(Path.replace)


# -- killed


@pytest.mark.slow
@pytest.mark.parametrize("write", WRITERS)
def test_a_writer_that_is_killed_at_any_step_leaves_whole_files(
    write: Callable, before: xr.Dataset, after: xr.Dataset, tmp_path: Path
) -> None:
    folder = Folder(tmp_path, write, before, after)
    states = []
    event = 0
    while killed(folder.write, at_event=event):
        states.append(folder.state())
        assert all(_files._PART.fullmatch(name) for name in leftovers(folder.path))  # noqa: SLF001  what sweep knows them by
        if states[-1] == "mixed":
            with pytest.raises(FileError) as caught:
                hstcube.open_field(folder.path, "x")
            assert caught.value.code == "HC-O20"
        assert len(_files.sweep(folder.path)) >= (states[-1] != "new")
        assert not leftovers(folder.path)
        folder.restore()
        event += 1
    assert folder.state() == "new"  # nobody was killed any more
    expected = ["old", "mixed", "new"] if write is write_fits else ["old", "new"]
    assert list(dict.fromkeys(states)) == expected


@pytest.mark.slow
@pytest.mark.parametrize("write", WRITERS)
def test_a_writer_that_is_killed_at_any_time_leaves_whole_files(
    write: Callable, tmp_path: Path
) -> None:
    folder = Folder(tmp_path, write, a_cube(1, (200, 210)), a_cube(2, (200, 210)))
    start = time.perf_counter()
    folder.write()
    whole = time.perf_counter() - start
    folder.restore()
    died = 0
    for i in range(KILLS):
        died += killed(folder.write, after=1.2 * whole * i / KILLS)
        folder.state()
        _files.sweep(folder.path)
        assert not leftovers(folder.path)
        folder.restore()
    assert died


def test_a_first_write_that_is_killed_is_no_product(after: xr.Dataset, tmp_path: Path) -> None:
    for event in range(100):
        folder = tmp_path / str(event)
        if not killed(lambda folder=folder: write_fits(after, folder), at_event=event):
            break
        if len(contents(folder)) < 3 * len(BANDS):
            with pytest.raises(HstCubeError):
                hstcube.open_field(folder, "x")
        else:
            hstcube.open_field(folder, "x")
    assert 2 * 3 * len(BANDS) < event < 100


def test_the_next_run_sweeps_what_a_killed_one_left(tmp_path: Path) -> None:
    folder, out = write_field(tmp_path / "data"), tmp_path / "out"
    targets = plan(folder, [], [], scale="60mas")
    assert killed(lambda: runs.run(targets, out, Options()), at_event=7)
    assert leftovers(out)
    theirs = (
        out / f".x_f160w_sci.fits.part-{os.getpid()}-0123abcd"
    )  # of a writer that is alive: of us
    foreign = out / ".notes.part-of-a-book"
    for path in (theirs, foreign):
        path.touch()
    assert [outcome.error for outcome in runs.run(targets, out, Options(overwrite=True))] == [None]
    assert leftovers(out) == sorted([theirs.name, foreign.name])


def test_a_run_that_is_killed_before_its_first_file_leaves_nothing_that_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, out = write_field(tmp_path / "data"), tmp_path / "out"
    targets = plan(folder, [], [], scale="60mas")
    with monkeypatch.context() as patch:
        patch.setattr(
            Path, "unlink", lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
        )  # the probe of the folder
        assert killed(lambda: runs.run(targets, out, Options()))
    runs.run(targets, out, Options())
    assert not [path.name for path in out.iterdir() if path.name.startswith(".")]


# -- the disk


@pytest.fixture(params=["disk", "limit"])
def no_room(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable]:
    """Give a function that makes a folder without room.

    (folder with old files, bytes left) -> context.
    """
    mounted = []

    @contextlib.contextmanager
    def small_disk(folder: Path, room: int) -> Iterator[None]:
        kept = contents(folder)
        size = sum(-(-len(data) // 4096) * 4096 for data in kept.values()) + room
        mount = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder],
            capture_output=True,
            check=False,
        )
        if mount.returncode:
            pytest.skip("mounting a small disk needs root")
        mounted.append(folder)
        for name, data in kept.items():
            (folder / name).write_bytes(data)
        yield

    @contextlib.contextmanager
    def small_files(folder: Path, room: int) -> Iterator[None]:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    yield small_disk if request.param == "disk" else small_files
    for folder in mounted:
        subprocess.run(
            ["umount", "--lazy", folder], check=True
        )  # HDF5 keeps a file open that it could not write


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("warned", [True, False], ids=["free space known", "free space unknown"])
def test_a_full_disk_leaves_the_old_files(
    write: Callable,
    warned: bool,
    no_room: Callable,
    before: xr.Dataset,
    after: xr.Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = Folder(tmp_path, write, before, after)
    if not warned:  # as on a disk with quotas, whose free space is not the user's
        usage = shutil._ntuple_diskusage(2**40, 0, 2**40)  # noqa: SLF001
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    room = max(map(len, folder.new.values())) // 8192 * 4096
    with no_room(folder.path, room):
        for _ in ("once", "and again, for what failed before takes no room"):
            with pytest.raises(WriteError) as caught:
                folder.write()
            error = caught.value
            assert (error.code, error.exit_code) == ("HC-O02", 4)
            assert Path(error.file).parent == folder.path or Path(error.file) == folder.path
            assert "room" in error.fix
            assert folder.state() == "old"
            assert not leftovers(folder.path)
            if folder.path.is_mount():  # a disk of our own: nobody else takes room
                assert os.statvfs(folder.path).f_bavail * 4096 == room


def test_a_run_on_a_full_disk_ends_with_four(
    no_room: Callable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    folder, out = write_field(tmp_path / "data"), tmp_path / "out"
    out.mkdir()
    monkeypatch.setattr(sys, "argv", ["hstcube", "run", str(folder), "-o", str(out)])
    with no_room(out, 8192), pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 4
    assert "HC-O02" in capsys.readouterr().err
    assert contents(out).keys() <= {"run.json", "run.jsonl", "summary.ecsv"}
    assert not leftovers(out)


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("step", ["fsync", "replace", "mkdir"])
def test_an_error_of_the_disk_at_any_step_leaves_whole_files(
    write: Callable,
    step: str,
    before: xr.Dataset,
    after: xr.Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = Folder(tmp_path, write, before, after)
    owner = os if step == "fsync" else Path
    for event in range(100):
        with monkeypatch.context() as patch:
            patch.setattr(owner, step, broken_at(event, getattr(owner, step)))
            error = refusal(folder.write)
        if error is None:
            break
        assert (error.code, error.exit_code) == ("HC-O01", 4)
        assert error.file
        folder.state()
        assert not leftovers(folder.path)
        folder.restore()
    assert event > 0
    assert folder.state() == "new"


def broken_at(event: int, works: Callable[..., object]) -> Callable[..., object]:
    """Return a function that does what another does, but fails like a disk on its n-th call."""
    calls = iter(range(1000))

    def wrapper(*args: object, **kwargs: object) -> object:
        if next(calls) == event:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return works(*args, **kwargs)

    return wrapper


def refusal(action: Callable[[], None]) -> WriteError | None:
    try:
        action()
    except WriteError as error:
        return error
    return None


def test_what_reads_back_otherwise_is_not_kept(
    before: xr.Dataset, after: xr.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netcdf = Folder(tmp_path / "a", write_netcdf, before, after)
    files = Folder(tmp_path / "b", write_fits, before, after)
    with monkeypatch.context() as patch:
        patch.setattr(netcdf_files, "bytes_of", lambda values: values.tobytes() + os.urandom(1))
        patch.setattr(xr.Dataset, "identical", lambda *_: False)
        with pytest.raises(WriteError) as caught:
            netcdf.write()
        assert caught.value.code == "HC-O21"
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", lambda _: b"something else")
        with pytest.raises(WriteError) as caught:
            files.write()
        assert caught.value.code == "HC-O01"
    for folder in (netcdf, files):
        assert folder.state() == "old"
        assert not leftovers(folder.path)


# -- what is there already


@pytest.mark.parametrize(
    "write",
    [hstcube.to_fits, lambda cube, out: hstcube.save_cube(cube, out / "x.nc")],
    ids=["fits", "netcdf"],
)
def test_what_exists_stays_unless_it_may_be_replaced(
    write: Callable, before: xr.Dataset, after: xr.Dataset, tmp_path: Path
) -> None:
    write(before, tmp_path)
    old = contents(tmp_path)
    with pytest.raises(WriteError) as caught:
        write(after, tmp_path)
    assert caught.value.code == "HC-O04"
    assert "overwrite" in caught.value.fix
    assert contents(tmp_path) == old


def test_one_file_that_exists_keeps_all_others_from_being_written(
    after: xr.Dataset, tmp_path: Path
) -> None:
    last = tmp_path / "x_f160w_mask.fits"
    last.write_text("mine")
    with pytest.raises(WriteError) as caught:
        hstcube.to_fits(after, tmp_path)
    assert (caught.value.code, caught.value.file) == ("HC-O04", str(last))
    assert contents(tmp_path) == {last.name: b"mine"}


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("target", ["elsewhere", "nowhere"])
def test_a_link_is_not_replaced(
    write: Callable, target: str, before: xr.Dataset, after: xr.Dataset, tmp_path: Path
) -> None:
    folder = Folder(tmp_path, write, before, after)
    name = max(folder.old)
    kept = tmp_path / "elsewhere"
    (folder.path / name).rename(kept)
    (folder.path / name).symlink_to(tmp_path / target)
    with pytest.raises(WriteError) as caught:
        folder.write()
    assert (caught.value.code, caught.value.file) == ("HC-O05", str(folder.path / name))
    assert (folder.path / name).is_symlink()
    assert kept.read_bytes() == folder.old[name]
    (folder.path / name).unlink()
    kept.rename(folder.path / name)
    assert folder.state() == "old"


@pytest.mark.parametrize("write", WRITERS)
def test_a_folder_in_the_place_of_a_file_changes_nothing(
    write: Callable, before: xr.Dataset, after: xr.Dataset, tmp_path: Path
) -> None:
    folder = Folder(tmp_path, write, before, after)
    name = max(folder.old)
    (folder.path / name).unlink()
    (folder.path / name).mkdir()
    with pytest.raises(WriteError) as caught:
        folder.write()
    assert (caught.value.code, caught.value.file) == ("HC-O01", str(folder.path / name))
    (folder.path / name).rmdir()
    (folder.path / name).write_bytes(folder.old[name])
    assert folder.state() == "old"
    assert not leftovers(folder.path)


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_file_in_the_place_of_the_folder_stays(
    write: Callable, place: str, after: xr.Dataset, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(WriteError) as caught:
        write(after, tmp_path / place)
    assert caught.value.code == "HC-O01"
    assert (tmp_path / "file").read_text() == "mine"


def test_a_run_into_a_file_computes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_field(tmp_path / "data")
    (tmp_path / "out").write_text("mine")
    monkeypatch.setattr(runs, "images_for", lambda *_, **__: pytest.fail("a file was opened"))
    with pytest.raises(WriteError) as caught:
        runs.run(plan(folder, [], [], scale="60mas"), tmp_path / "out", Options())
    assert (caught.value.code, caught.value.file) == ("HC-O01", str(tmp_path / "out"))
    assert (tmp_path / "out").read_text() == "mine"


@pytest.mark.parametrize("command", ["run", "sky"])
@pytest.mark.parametrize("inside", [".", "out", "new_stamps/deep/out"])
def test_nothing_is_written_into_the_folder_of_the_input(
    command: str,
    inside: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    folder = write_field(tmp_path)
    there = sorted(folder.rglob("*"))
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["hstcube", command, ".", "-o", inside])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 4
    assert "HC-O06" in capsys.readouterr().err
    assert sorted(folder.rglob("*")) == there


# -- interrupted


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"]
)
def test_an_interrupted_run_says_so_and_leaves_whole_files(
    sent: signal.Signals, code: int, tmp_path: Path
) -> None:
    folder, out = write_field(tmp_path / "data"), tmp_path / "out"
    many = [part for i in range(400) for part in ("--ids", f"m{i}=1:{OBJECT}")]
    command = [
        sys.executable,
        "-m",
        "hstcube",
        "run",
        str(folder),
        "-o",
        str(out),
        "--no-netcdf",
        *many,
    ]
    pipes = {"stderr": subprocess.PIPE, "stdout": subprocess.DEVNULL, "text": True}
    heard = {
        "preexec_fn": lambda: signal.signal(sent, signal.SIG_DFL)
    }  # a job in the background ignores SIGINT
    with subprocess.Popen(command, **pipes, **heard) as process:
        said = ""
        while not said.startswith("[3/401]"):
            said = process.stderr.readline()
            assert said, "the run ended before it was interrupted"
        process.send_signal(sent)
        rest = process.stderr.read()
    assert process.returncode == code
    assert "Traceback" not in rest
    assert "401]" not in rest.splitlines()[-1:]
    assert "of 401 were done" in rest
    assert ("--resume goes on" in rest) == (sent == signal.SIGINT)
    assert not leftovers(out)
    written = [path for path in out.iterdir() if path.suffix == ".fits"]
    assert 3 * 9 <= len(written) < 401 * 9
    for path in written:
        with fits.open(
            path, checksum=True
        ) as hdus:  # a mismatch is a warning, which is an error here
            assert hdus[0].data.shape == (40, 44)


@pytest.mark.parametrize("write", WRITERS)
def test_a_name_that_the_system_refuses_is_an_error_of_ours(write, tmp_path):
    with pytest.raises(WriteError) as caught:
        write(a_cube(1), tmp_path / ("x" * 300))
    assert caught.value.code == "HC-O01"
