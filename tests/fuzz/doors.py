"""Fuzzing of every door: what comes in is refused with an HstCubeError, or gives the right result.

    python tests/fuzz/doors.py levels --runs 20000 --seed 1 --jobs 2
    python tests/fuzz/doors.py all --runs 3000 --jobs 2       every door, and a table of it all
    python tests/fuzz/doors.py levels --replay 1/4711         one input again, as it was printed
    python tests/fuzz/doors.py --list

A door is an object in one of the modules door_*.py beside this file. An input is drawn from a
number alone, so that the same seed gives the same inputs. Right is what the door itself judges
right, by means of its own; a refusal is an HstCubeError with a known code, a fix, and a message
that can be read. Anything else is a finding: another exception, also one that arose in a line of
hstcube and came out as a damaged file; a wrong result; an input that is good and was refused; more
than 5 s of CPU, or 8 s of waiting; a gigabyte of memory; a look at the network; a file outside the
folder that was given. A finding is printed, and the program ends with 1.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import resource
import shutil
import signal
import socket
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any
from unittest import mock

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

PACKAGE = Path(find_spec("hstcube").origin).parent
SECONDS, WAIT, MEGABYTES = 5.0, 8.0, 1000.0
ROOM = 1500 * 2**20  # bytes that one input may ask for; beyond, MemoryError
BATCH = 100  # runs
LONGEST = 2000  # characters of a message
EXAMPLES = 20  # of each kind of finding that are kept
SLIPS = (  # of our own, where they come out as a file that is damaged
    AttributeError, NameError, AssertionError, RecursionError, TypeError, LookupError,
    ArithmeticError,
)  # fmt: skip


class Lot(Random):
    """Random numbers of one input, which knows its own number."""

    def __init__(self, door: str, seed: int, number: int) -> None:
        super().__init__(f"{door}/{seed}/{number}")
        self.number = number


class Door:
    """A way in: how inputs are drawn, what is done with one, and what is right."""

    name = ""
    long = 20_000
    """Inputs of a long run: fewer where each of them is a set of images."""

    def prepare(self, folder: Path) -> None:
        """Make once what all runs need."""

    def draw(self, lot: Lot, folder: Path) -> Any:
        """Return an input; files go into the folder, which is empty before each run."""
        raise NotImplementedError

    def use(self, given: Any) -> Any:
        """Do what a user does with it."""
        raise NotImplementedError

    def wrong(self, given: Any, result: Any) -> Iterator[str]:
        """Yield what is wrong with the result: a few words, and after a bar the details."""
        raise NotImplementedError

    def good(self, _given: Any) -> bool:
        """Say whether it is wrong to refuse this input."""
        return False

    def spoilt(self, _given: Any) -> str:
        """Say what using it has changed that must stay, whatever came out."""
        return ""


class Hang(BaseException):
    """The time for one input is up."""


class Network(BaseException):
    """Something tried to reach the network."""


@dataclass
class Summary:
    """What came out of how many runs."""

    runs: int = 0
    cpu: float = 0.0
    slowest: float = 0.0
    megabytes: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter)
    findings: dict[str, list[str]] = field(default_factory=dict)  # some of each kind

    def add(self, other: Summary) -> None:
        self.runs += other.runs
        self.cpu += other.cpu
        self.slowest = max(self.slowest, other.slowest)
        self.megabytes = max(self.megabytes, other.megabytes)
        self.outcomes += other.outcomes
        for kind, found in other.findings.items():
            self.find(kind, *found)

    def find(self, kind: str, *what: str) -> None:
        kept = self.findings.setdefault(kind, [])
        kept += what[: EXAMPLES - len(kept)]

    def count(self, start: str) -> int:
        return sum(n for kind, n in self.outcomes.items() if kind.startswith(start))

    def row(self) -> tuple[str, ...]:
        codes = sum(kind.startswith("refused") for kind in self.outcomes)
        return (
            f"{self.runs:,}", f"{self.count('right'):,}", f"{self.count('refused'):,}", f"{codes}",
            f"{self.count('WRONG')}", f"{self.count('FINDING')}", f"{self.slowest:.2f}",
            f"{self.megabytes:.0f}",
        )  # fmt: skip


HEAD = (
    "door", "inputs", "right", "refused", "codes", "silently wrong", "other findings",
    "slowest [s]", "memory, at most [MB]",
)  # fmt: skip


def doors() -> dict[str, Door]:
    """Return all doors by name."""
    modules = [importlib.import_module(path.stem) for path in sorted(HERE.glob("door_*.py"))]
    return {door.name: door for module in modules for door in module.DOORS}


def tried(door: Door, seed: int, numbers: range, root: Path) -> Summary:
    """Try inputs one after another; `root` is an empty folder."""
    summary, places = Summary(), root / "a" / "b"
    places.mkdir(parents=True)
    (root / "prepared").mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        door.prepare(root / "prepared")
        there = entries(root)
        for number in numbers:
            (root.parent / f"{root.name}.at").write_text(str(number))
            place = places / f"run_{number}"
            place.mkdir()
            kind, what = watched(door, Lot(door.name, seed, number), place, summary)
            shutil.rmtree(place, ignore_errors=True)
            if outside := entries(root) - there:
                kind, what = "FINDING: writes outside its folder", f"{sorted(outside)}\n{what}"
                there |= outside
            summary.outcomes[kind] += 1
            if not kind.startswith(("right", "refused")):
                replay = f"replay: {door.name} --replay {seed}/{number}"
                summary.find(kind, f"{replay}\n{what}")
    return summary


def entries(root: Path) -> set[Path]:
    return {path for place in (root, root / "a", root / "a" / "b") for path in place.iterdir()}


def watched(door: Door, lot: Lot, place: Path, summary: Summary) -> tuple[str, str]:
    """Return what came out of one input, and measure what it took."""
    given = door.draw(lot, place)
    before, start = peak_megabytes(), time.process_time()
    kind, what = outcome(door, given)
    took, more = time.process_time() - start, peak_megabytes() - before
    summary.runs += 1
    summary.cpu += took
    summary.slowest = max(summary.slowest, took)
    summary.megabytes = max(summary.megabytes, more)
    return (f"FINDING: more than {MEGABYTES:.0f} MB", repr(given)) if more > MEGABYTES else (
        kind, what
    )  # fmt: skip


def outcome(door: Door, given: Any) -> tuple[str, str]:
    """Return what came out of one input: a kind, and more to read where it is a finding."""
    from hstcube.errors import HstCubeError

    try:
        with deadline(), bounded_memory(), offline(), contextlib.redirect_stderr(io.StringIO()):
            result = door.use(given)
    except HstCubeError as error:
        kind = unfit(error) or ("FINDING: refused though good" if door.good(given) else "")
        kind = kind and f"{kind}: {error.code}"
        what = f"{given!r}\n{error}\n{cause_of(error)}"
        result = error
    except (Hang, Network) as error:
        return f"FINDING: {error}", f"{given!r}\n{traceback.format_exc()}"
    except Exception as error:
        place = next((f for f in reversed(frames(error)) if is_ours(f)), None)
        where = f"{Path(place.filename).stem}.{place.name}" if place else "?"
        kind, what = f"FINDING: {type(error).__name__} in {where}", f"{given!r}\n{short_trace()}"
        result = error
    else:
        wrong = judged(door, given, result)
        kind = f"WRONG: {wrong.partition(' | ')[0]}" if wrong else ""
        what = f"{given!r}\n{wrong}"
    if not kind and (spoilt := door.spoilt(given)):
        return f"WRONG: {spoilt.partition(' | ')[0]}", f"{given!r}\n{spoilt}"
    if kind:
        return kind, what
    return (f"refused: {result.code}" if isinstance(result, HstCubeError) else "right"), ""


def judged(door: Door, given: Any, result: Any) -> str:
    """Return what is wrong; what the judge cannot make sense of should not have come out."""
    try:
        return next(iter(door.wrong(given, result)), "")
    except Exception as error:
        where = frames(error)[-1]
        return (
            f"accepted, and the judge stumbles: {type(error).__name__} | {where}\n{short_trace()}"
        )


def unfit(error: Any) -> str:
    """Say why an error is no good answer."""
    from hstcube.errors import codes

    if error.code not in codes() or not error.fix:
        return "FINDING: an error without a known code or a fix"
    if " object at 0x" in str(error) or len(str(error)) > LONGEST:
        return "FINDING: a message that cannot be read"
    cause = error.__cause__ if error.code == "HC-F04" else None
    while cause is not None:
        if isinstance(cause, SLIPS) and is_ours(frames(cause)[-1]):
            return f"FINDING: {type(cause).__name__} in {frames(cause)[-1].name} passed off"
        cause = cause.__cause__
    return ""


def frames(error: BaseException) -> list[traceback.FrameSummary]:
    return list(traceback.extract_tb(error.__traceback__)) or [traceback.FrameSummary("?", 0, "?")]


def cause_of(error: BaseException) -> str:
    lines = traceback.format_exception(error.__cause__) if error.__cause__ else []
    return "".join(lines)[-1500:]


def short_trace() -> str:
    return traceback.format_exc()[-2500:]


def is_ours(frame: traceback.FrameSummary) -> bool:
    return Path(frame.filename).is_relative_to(PACKAGE)


def peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


@contextlib.contextmanager
def deadline() -> Iterator[None]:
    """Raise Hang when the time is up."""

    def ring(number: int, _: object) -> None:
        much = f"longer than {SECONDS:.0f} s" if number == signal.SIGPROF else "waits for ever"
        raise Hang(much)

    timers = (
        (signal.SIGPROF, signal.ITIMER_PROF, SECONDS),
        (signal.SIGALRM, signal.ITIMER_REAL, WAIT),
    )
    for bell, timer, seconds in timers:
        signal.signal(bell, ring)
        signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        for _, timer, _ in timers:
            signal.setitimer(timer, 0)


@contextlib.contextmanager
def bounded_memory() -> Iterator[None]:
    """Let what asks for too much get a MemoryError, where the system tells how much there is."""
    told = Path("/proc/self/statm")
    if not told.exists():
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    now = int(told.read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + ROOM, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@contextlib.contextmanager
def offline() -> Iterator[None]:
    """Raise Network where anything opens a connection or asks for a name."""

    def refuse(*_: object, **__: object) -> None:
        what = "reaches for the network"
        raise Network(what)

    with (
        mock.patch.object(socket, "create_connection", refuse),
        mock.patch.object(socket, "getaddrinfo", refuse),
        mock.patch.object(socket.socket, "connect", refuse),
    ):
        yield


def batch(name: str, seed: int, numbers: range, folder: Path) -> Summary:
    root = folder / mark_of(numbers)
    root.mkdir()
    try:
        return tried(doors()[name], seed, numbers, root)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def fuzzed(name: str, *, runs: int, seed: int, jobs: int = 1, first: int = 0) -> Summary:
    """Try so many inputs at a door, in batches; in several processes if `jobs` is not 0."""
    stop = first + runs
    todo = [range(at, min(at + BATCH, stop)) for at in range(first, stop, BATCH)]
    summary = Summary()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        if jobs == 0:
            return batch(name, seed, range(first, stop), folder)
        while todo and jobs:
            broken = in_processes(name, seed, todo, folder, jobs, summary)
            todo = [
                numbers for numbers in broken if not (folder / f"{mark_of(numbers)}.at").exists()
            ]
            for numbers in broken:
                todo += without_the_deadly(name, seed, numbers, folder, summary)
    return summary


def mark_of(numbers: range) -> str:
    return f"{numbers.start}_{numbers.stop}"


def in_processes(
    name: str, seed: int, todo: list[range], folder: Path, jobs: int, summary: Summary
) -> list[range]:
    """Do batches in processes; return those that were under way, or waited, when a process died."""
    left = []
    with ProcessPoolExecutor(jobs) as pool:
        futures = [pool.submit(batch, name, seed, numbers, folder) for numbers in todo]
        for numbers, future in zip(todo, futures, strict=True):
            try:
                summary.add(future.result())
            except BrokenProcessPool:
                left.append(numbers)
                shutil.rmtree(folder / mark_of(numbers), ignore_errors=True)
    return left


def without_the_deadly(
    name: str, seed: int, numbers: range, folder: Path, summary: Summary
) -> list[range]:
    """Try the last input of a broken batch alone; return what is left of the batch."""
    mark = folder / f"{mark_of(numbers)}.at"
    if not mark.exists():
        return []
    at = int(mark.read_text())
    mark.unlink()
    if in_processes(name, seed, [range(at, at + 1)], folder, 1, summary):
        summary.runs += 1
        summary.outcomes["FINDING: the process died"] += 1
        replay = f"replay: {name} --replay {seed}/{at}"
        summary.find("FINDING: the process died", replay)
    pieces = (range(numbers.start, at), range(at + 1, numbers.stop))
    return [piece for piece in pieces if piece]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("door", nargs="?", help="or: all")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--runs", type=int, help="inputs a door; those of a long run, if not said")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--examples", type=int, default=1, help="of each kind of finding")
    parser.add_argument("--replay", metavar="SEED/NUMBER")
    asked = parser.parse_args()
    known = sorted(doors())
    if asked.list or asked.door not in (*known, "all"):
        say(f"doors: {', '.join(known)}")
        return 0 if asked.list else 2
    table, found = [HEAD, tuple("---" for _ in HEAD)], False
    for name in known if asked.door == "all" else [asked.door]:
        if asked.replay:
            seed, number = map(int, asked.replay.split("/"))
            summary = fuzzed(name, runs=1, seed=seed, first=number)
        else:
            runs = asked.runs or doors()[name].long
            summary = fuzzed(name, runs=runs, seed=asked.seed, jobs=asked.jobs)
        say(f"\n{name}: {1000 * summary.cpu / max(summary.runs, 1):.1f} ms an input")
        for kind, n in summary.outcomes.most_common():
            say(f"{n:8}  {kind}")
        for kind, examples in summary.findings.items():
            for what in examples[: asked.examples]:
                say(f"\n{kind}\n{what[:4000]}")
        table.append((name, *summary.row()))
        found = found or bool(summary.findings)
    say("")
    for row in table:
        say(f"| {' | '.join(row)} |")
    return 1 if found else 0


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
