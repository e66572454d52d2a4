"""Measure what docs/robustness.md says, and write its tables.

Python docs/robustness.py [--only kills disk ...].

Writers are killed, run out of room, get folders that take nothing, and write into one folder at
once; `open_field` gets mutated headers. Each table of the page stands between two marks that bear
its name; the text around them stays. The program ends with 1 if a product was ever half written,
accepted though mixed, or lost, or an input came out wrong.

The table of the doors takes 15 minutes on two cores, that of the headers ten, the others three.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import multiprocessing
import os
import platform
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np

PAGE = Path(__file__).with_suffix(".md")
sys.path[:0] = [str(PAGE.parent.parent / "tests"), str(PAGE.parent.parent / "tests" / "fuzz")]

import doors  # noqa: E402
import fuzz_headers  # noqa: E402
import kills as killing  # noqa: E402
from test_faults import Folder, a_cube, contents, killed, leftovers, write_fits, write_netcdf  # noqa: E402

import hstcube  # noqa: E402
from hstcube.errors import HstCubeError, codes  # noqa: E402
from hstcube.fits import writing  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WRITERS = {"FITS, 9 files": write_fits, "netCDF": write_netcdf}
KILLS, ROOMS, WRITERS_AT_ONCE, ROUNDS = 200, 20, 3, 50
NOBODY = 65534  # user and group


class Table:
    """Rows of text, and how many of what they count must not happen."""

    def __init__(self, *head: str) -> None:
        self.rows = [head, tuple("---" for _ in head)]
        self.bad = 0

    def add(self, *row: object) -> None:
        """Add a row."""
        self.rows.append(tuple(map(str, row)))

    def __str__(self) -> str:
        return "\n".join(f"| {' | '.join(row)} |" for row in self.rows)


def main() -> int:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    tables = {
        "kills": kills,
        "commands": killed_commands,
        "disk": full_disks,
        "folders": closed_folders,
        "writers": writers_at_once,
        "doors": every_door,
        "fuzz": fuzz,
    }
    parser.add_argument("--only", nargs="+", choices=tables, default=list(tables))
    parser.add_argument("--runs", type=int, default=100_000, help="mutated headers")
    parser.add_argument("--seed", type=int, default=1, help="of the mutations")
    parser.add_argument("--jobs", type=int, default=2, help="processes that try them")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    bad = 0
    for name in asked.only:
        with tempfile.TemporaryDirectory(prefix="hstcube-") as place:
            Path(place).chmod(0o755)
            fuzzing = name in ("doors", "fuzz")
            table = tables[name](asked) if fuzzing else tables[name](Path(place))
        print(f"\n{name}\n{table}", flush=True)
        write_table(name, f"{table}\n\n{conditions()}")
        bad += table.bad
    return 1 if bad else 0


def write_table(name: str, text: str) -> None:
    """Put a table between its marks."""
    page = PAGE.read_text(encoding="utf-8")
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
    page, found = pattern.subn(lambda match: f"{match[1]}\n{text}\n\n{match[2]}", page)
    if found != 1:
        raise SystemExit(f"{PAGE.name} has {found} places for {name}")  # noqa: EM102
    PAGE.write_text(page, encoding="utf-8")


def conditions() -> str:
    """Say what was measured with what."""
    versions = ", ".join(
        f"{name} {importlib.metadata.version(name)}" for name in ("numpy", "astropy", "netCDF4")
    )
    ours = f"hstcube {hstcube.__version__} ({commit()}), Python {platform.python_version()}"
    return f"*{ours}, {versions}, {os.cpu_count()} cores.*"


def commit() -> str:
    """Return the commit that is measured."""
    asked = ["git", "-C", str(PAGE.parent), "rev-parse", "--short", "HEAD"]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()


# -- killed


def kills(place: Path) -> Table:
    """Kill writers at all times of the clock."""
    table = Table(
        "writer",
        "killed",
        "old product",
        "new product",
        "of both: refused (HC-O20)",
        "left over",
        "bad",
    )
    columns = ("killed", "old", "new", "mixed", "left", "bad")
    for name, write in WRITERS.items():
        folder = Folder(place / write.__name__, write, a_cube(1, (200, 210)), a_cube(2, (200, 210)))
        start = time.perf_counter()
        folder.write()
        whole = time.perf_counter() - start
        folder.restore()
        states: Counter[str] = Counter()
        trial = 0
        while states["killed"] < KILLS:
            trial += 1
            when = (
                trial * 0.6180339887 % 1
            )  # golden ratio: spread evenly, however many trials there are
            if not killed(folder.write, after=1.1 * whole * when):
                folder.restore()
                continue
            count(folder, states)
        table.add(f"{name}, at any time", *(states[key] for key in columns))
        table.bad += states["bad"]
        states = Counter()
        while killed(folder.write, at_event=states["killed"]):
            count(folder, states)
        folder.restore()
        table.add(f"{name}, at every sync and renaming", *(states[key] for key in columns))
        table.bad += states["bad"]
    return table


def killed_commands(_: Path) -> Table:
    """Kill every command that writes, at each of its renamings."""
    table = Table("command", "killed", "of both", "noticed", "left over after the next", "bad")
    for command, found in killing.counted(list(killing.WAYS), KILLS):
        unnoticed = len(found.unnoticed)
        seen = (found.kills, found.mixtures, found.mixtures - unnoticed, found.leftovers)
        table.add(command, *seen, unnoticed + found.leftovers)
        table.bad += unnoticed + found.leftovers
    return table


def count(folder: Folder, states: Counter[str]) -> None:
    """Count what a killed writer left, and put the old product back."""
    states["killed"] += 1
    states[state_of(folder)] += 1
    left = leftovers(folder.path)
    states["left"] += bool(left)
    states["bad"] += len(writing.sweep(folder.path)) != len(left) or bool(leftovers(folder.path))
    folder.restore()


def state_of(folder: Folder) -> str:
    """Say "old", "new" or "mixed", which `open_field` must refuse; "bad" for anything else."""
    try:
        state = folder.state()
    except AssertionError:
        return "bad"
    return state if state != "mixed" or opened(folder.path) == "HC-O20" else "bad"


def opened(folder: Path) -> Any:
    """Return the cube of a folder, or the code of the error."""
    try:
        files = list(folder.glob("*.nc"))
        return hstcube.open_cube(files[0]) if files else hstcube.open_field(folder, "x")
    except HstCubeError as error:
        return error.code


# -- no room


def full_disks(place: Path) -> Table:
    """Write with more and more room."""
    table = Table(
        "writer",
        "no room by",
        "free space",
        "trials",
        "refused (HC-O02), old whole",
        "written",
        "bad",
    )
    for name, write in WRITERS.items():
        for how, limited in {
            "a full disk": small_disk,
            "a limit on the size of files": small_files,
        }.items():
            for known in (True, False):
                states: Counter[str] = Counter()
                folder = Folder(
                    place / f"{write.__name__}-{limited.__name__}-{known}",
                    write,
                    a_cube(1),
                    a_cube(2),
                )
                largest = max(map(len, folder.new.values()))
                needed = (
                    largest if limited is small_files else 2 * sum(map(len, folder.new.values()))
                )
                for room in (int(1.5 * needed * i / ROOMS) // 4096 * 4096 for i in range(ROOMS)):
                    with disk_usage(known), limited(folder, room) as possible:
                        states[
                            in_a_child(lambda f=folder: written(f)) if possible else "not possible"
                        ] += 1
                    folder.restore()
                bad = ROOMS - states["old"] - states["new"] - states["not possible"]
                seen = (ROOMS, states["old"], states["new"], bad)
                told = "is told" if known else "is not told"
                table.add(
                    name,
                    how,
                    told,
                    *(seen if not states["not possible"] else ("needs root", "", "", "")),
                )
                table.bad += bad
        folder = Folder(place / f"{write.__name__}-again", write, a_cube(1), a_cube(2))
        with (
            small_disk(folder, max(map(len, folder.new.values())) // 8192 * 4096) as possible,
            disk_usage(known=False),
        ):
            if possible:
                end = in_a_child(
                    lambda f=folder: (
                        "old" if {written(f) for _ in range(ROOMS)} == {"old"} else "bad"
                    )
                )
                seen = (ROOMS if end == "old" else end, 0, int(end != "old"))
                table.add(name, "a full disk, all in one process", "is not told", ROOMS, *seen)
                table.bad += end != "old"
    return table


@contextlib.contextmanager
def disk_usage(known: bool) -> Iterator[None]:
    """Let the system tell the free space, or tell a wrong one, as with quotas."""
    plenty = shutil.disk_usage("/")._replace(free=2**40)
    with (
        contextlib.nullcontext()
        if known
        else mock.patch.object(shutil, "disk_usage", return_value=plenty)
    ):
        yield


@contextlib.contextmanager
def small_disk(folder: Folder, room: int) -> Iterator[bool]:
    """Mount a disk over the folder that has the old product on it, and room for so many bytes."""
    size = sum(-(-len(data) // 4096) * 4096 for data in folder.old.values()) + room
    with mounted(folder.path, f"size={size}") as possible:
        if possible:
            for name, data in folder.old.items():
                (folder.path / name).write_bytes(data)
        yield possible


@contextlib.contextmanager
def mounted(path: Path, options: str) -> Iterator[bool]:
    """Mount a small disk, if that is allowed."""
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)]
    possible = subprocess.run(command, capture_output=True, check=False).returncode == 0
    try:
        yield possible
    finally:
        if possible:
            subprocess.run(["umount", "--lazy", str(path)], check=True)


@contextlib.contextmanager
def small_files(_: Folder, room: int) -> Iterator[bool]:
    """Limit the size of a file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        yield True
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def written(folder: Folder) -> str:
    """Write; say "old" if that was refused as it must be, "new" if it worked, "bad" otherwise."""
    try:
        folder.write()
        expected = "new"
    except HstCubeError as error:
        expected = "old" if error.code == "HC-O02" else "bad"
    return expected if state_of(folder) == expected and not leftovers(folder.path) else "bad"


# -- folders that take nothing


def closed_folders(place: Path) -> Table:
    """Write where nothing can be written."""
    table = Table("folder", *WRITERS, "what was there")
    cube = a_cube(1)
    for write in WRITERS.values():
        code_of(
            write, cube, Path("/proc/self")
        )  # who is nobody may not import what the refusal needs
    for name, (prepare, where) in FOLDERS.items():
        said, kept = [], []
        for write in WRITERS.values():
            base = place / f"{list(FOLDERS).index(name)}-{write.__name__}"
            base.mkdir()
            with prepare(base) as possible:
                before = everything(base)
                target = where(base)
                said.append(
                    in_a_child(lambda w=write, t=target: code_of(w, cube, t), name)
                    if possible
                    else "not possible here"
                )
                kept.append(everything(base) == before)
            table.bad += said[-1] not in (*codes(), "not possible here") or not kept[-1]
        table.add(name, *said, "untouched" if all(kept) else "CHANGED")
    return table


def everything(base: Path) -> list[tuple[str, bytes]]:
    """Return all paths below a folder, and what is in the files."""
    return sorted((str(p), p.read_bytes() if p.is_file() else b"") for p in base.rglob("*"))


def in_a_child(action: Callable[[], str], name: str = "") -> str:
    """Run in a process of its own, as nobody where permissions are what is tried.

    Return what it returns.
    """
    receive, send = multiprocessing.Pipe(duplex=False)
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            if "permission" in name and os.getuid() == 0:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            if "removed" in name:
                gone = tempfile.mkdtemp()
                os.chdir(gone)
                Path(gone).rmdir()
            send.send(action())
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    died = f"died of {signal.Signals(status).name}" if os.WIFSIGNALED(status) else "died"
    return receive.recv() if receive.poll() else died


def code_of(write: Callable[[Any, Path], None], cube: Any, folder: Path) -> str:
    """Write; return the code of the error, or what happened instead."""
    try:
        write(cube, folder)
    except HstCubeError as error:
        return error.code
    except Exception as error:  # what must not come out
        return type(error).__name__
    return "written"


@contextlib.contextmanager
def as_it_is(_: Path) -> Iterator[bool]:
    """Prepare nothing."""
    yield True


@contextlib.contextmanager
def without_permission(base: Path) -> Iterator[bool]:
    """Make a folder that only root may write into."""
    (base / "out").mkdir(mode=0o555)
    (base / "out" / "kept").write_text("mine")
    yield True


@contextlib.contextmanager
def not_to_be_entered(base: Path) -> Iterator[bool]:
    """Make a folder that only root may look into."""
    (base / "out").mkdir(mode=0)
    yield True


@contextlib.contextmanager
def mounted_read_only(base: Path) -> Iterator[bool]:
    """Mount a disk that takes nothing."""
    (base / "out").mkdir()
    with mounted(base / "out", "ro") as possible:
        yield possible


@contextlib.contextmanager
def a_file_there(base: Path) -> Iterator[bool]:
    """Put a file in the place of the folder."""
    (base / "out").write_text("mine")
    yield True


@contextlib.contextmanager
def a_link_to_nowhere(base: Path) -> Iterator[bool]:
    """Put a link without a target in the place of the folder."""
    (base / "out").symlink_to(base / "nowhere")
    yield True


FOLDERS: dict[str, tuple[Callable[[Path], Any], Callable[[Path], Path]]] = {
    "without permission to write": (without_permission, lambda base: base / "out"),
    "below one without permission to enter": (
        not_to_be_entered,
        lambda base: base / "out" / "below",
    ),
    "on a disk that is mounted read-only": (mounted_read_only, lambda base: base / "out"),
    "in a system's own folder (/proc)": (as_it_is, lambda _: Path("/proc/hstcube")),
    "a file has its name": (a_file_there, lambda base: base / "out"),
    "below a file": (a_file_there, lambda base: base / "out" / "below"),
    "a link to nowhere has its name": (a_link_to_nowhere, lambda base: base / "out"),
    "the working folder, removed meanwhile": (as_it_is, lambda _: Path()),
    "its name has 300 characters": (as_it_is, lambda base: base / ("x" * 300)),
}


# -- several writers


def writers_at_once(place: Path) -> Table:
    """Let several processes write the same names."""
    table = Table(
        "writers",
        "rounds",
        "whole, of one writer",
        "of several: refused (HC-O20)",
        "refused writes",
        "reads meanwhile",
        "whole",
        "refused",
        "bad",
    )
    for name, write in WRITERS.items():
        counts = meet(place / write.__name__, write)
        columns = (
            "rounds",
            "whole",
            "mixed",
            "failed",
            "reads",
            "read whole",
            "read refused",
            "bad",
        )
        table.add(f"{WRITERS_AT_ONCE} of {name}", *(counts[key] for key in columns))
        table.bad += counts["bad"]
    return table


def meet(folder: Path, write: Callable[[Any, Path], None]) -> Counter[str]:
    """Let three processes write their cubes into one folder at once, and read meanwhile."""
    cubes = [a_cube(seed, (200, 210)) for seed in range(WRITERS_AT_ONCE)]
    products = []
    for i, cube in enumerate(cubes):
        write(cube, folder / str(i))
        products.append(contents(folder / str(i)))
    out = folder / "out"
    write(cubes[0], out)
    context = multiprocessing.get_context("fork")
    gate, done, failed = (
        context.Barrier(WRITERS_AT_ONCE + 1),
        context.Value("i", 0),
        context.Value("i", 0),
    )

    def writer(cube: Any) -> None:
        for _ in range(ROUNDS):
            gate.wait()
            try:
                write(cube, out)
            except HstCubeError:
                with failed.get_lock():
                    failed.value += 1
            finally:
                with done.get_lock():
                    done.value += 1

    processes = [context.Process(target=writer, args=(cube,)) for cube in cubes]
    for process in processes:
        process.start()
    counts: Counter[str] = Counter()
    for _ in range(ROUNDS):
        done.value = 0
        gate.wait()
        while done.value < WRITERS_AT_ONCE:
            counts["reads"] += 1
            counts[f"read {seen(opened(out), cubes)}"] += 1
        counts["rounds"] += 1
        there = contents(out)
        code = opened(out)
        if any(there == product for product in products):
            counts["whole" if seen(code, cubes) == "whole" else "bad"] += 1
        else:
            pieces = all(any(data == p.get(name) for p in products) for name, data in there.items())
            counts["mixed" if pieces and code == "HC-O20" else "bad"] += 1
        counts["bad"] += bool(leftovers(out))
    for process in processes:
        process.join()
        counts["bad"] += process.exitcode != 0
    counts["failed"] = failed.value
    counts["bad"] += counts["read bad"]
    return counts


def seen(result: Any, cubes: list[Any]) -> str:
    """Say whether a reader saw one writer's cube, or was refused; anything else is bad."""
    if isinstance(result, str):
        return "refused" if result == "HC-O20" else "bad"
    same = (
        all(np.array_equal(result[name], cube[name], equal_nan=True) for name in ("sci", "wht"))
        for cube in cubes
    )
    return "whole" if any(same) else "bad"


# -- every door


def every_door(asked: argparse.Namespace) -> Table:
    """Try every way in."""
    table = Table(*doors.HEAD)
    for name, door in sorted(doors.doors().items()):
        summary = doors.fuzzed(name, runs=door.long, seed=asked.seed, jobs=asked.jobs)
        table.add(name, *summary.row())
        table.bad += summary.count("FINDING") + summary.count("WRONG")
        for kind, examples in summary.findings.items():
            print(f"{kind}\n{examples[0]}")
    table.add("seed", asked.seed, *[""] * (len(doors.HEAD) - 2))
    return table


# -- mutated headers


def fuzz(asked: argparse.Namespace) -> Table:
    """Open fields with mutated headers."""
    summary = fuzz_headers.fuzz(runs=asked.runs, seed=asked.seed, jobs=asked.jobs, keep_going=True)
    print(fuzz_headers.report(summary))
    corpus = "real and made-up" if os.environ.get("HSTCUBE_XDF") else "made-up"
    table = Table(f"outcome, headers of {corpus} stamps", "inputs")
    for outcome, number in sorted(
        summary.outcomes.items(), key=lambda item: (item[0].split(":")[0], -item[1])
    ):
        code = outcome.rpartition(" ")[2]
        meaning = f" {codes()[code].meaning}" if code in codes() else ""
        table.add(f"{outcome}{meaning}", f"{number:,}")
    table.add("**all**", f"{summary.runs:,}")
    table.add("**silently wrong**", summary.count("WRONG"))
    table.add("**other findings**", summary.count("FINDING"))
    table.add("slowest `open_field` [s]", f"{summary.slowest:.2f}")
    table.add("memory, at most [MB]", f"{summary.megabytes:.0f}")
    table.add("inputs per second of CPU", f"{summary.runs / summary.cpu:.0f}")
    table.add("seed", asked.seed)
    table.bad = summary.count("FINDING") + summary.count("WRONG")
    return table


if __name__ == "__main__":
    sys.exit(main())
