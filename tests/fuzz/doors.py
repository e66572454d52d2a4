"""Fuzzing of every door: what comes in is refused with an HstCubeError, or gives the right result.

    python tests/fuzz/doors.py levels --runs 20000 --seed 1 --jobs 2
    python tests/fuzz/doors.py levels --replay 1/4711        one input again, as a finding printed it
    python tests/fuzz/doors.py --list

A door is an object in one of the modules door_*.py beside this file. An input is drawn from a
number alone, so that the same seed gives the same inputs. Right is what the door itself judges
right, by means of its own; a refusal is an HstCubeError with a known code and a fix. Anything else
is a finding: another exception, also one that arose in a line of hstcube and came out as a damaged
file; a wrong result; more than 5 s; a gigabyte of memory. A finding is printed, and the program
ends with 1.
"""

from __future__ import annotations

import argparse
import importlib
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any, Protocol

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

PACKAGE = Path(find_spec("hstcube").origin).parent
SECONDS, MEGABYTES = 5.0, 1000.0
BATCH = 100  # runs


class Door(Protocol):
    """A way in: how inputs are drawn, what is done with one, and what is right."""

    name: str

    def prepare(self, folder: Path) -> None:
        """Make once what all runs need."""

    def draw(self, random: Random, folder: Path) -> Any:
        """Return an input; files go into the folder, which is empty before each run."""

    def use(self, given: Any) -> Any:
        """Do what a user does with it."""

    def wrong(self, given: Any, result: Any) -> str:
        """Return what is wrong with the result; nothing where it is right."""


class Hang(BaseException):
    """The time for one input is up."""


@dataclass
class Summary:
    """What came out of how many runs."""

    runs: int = 0
    slowest: float = 0.0
    megabytes: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter)
    findings: dict[str, str] = field(default_factory=dict)  # the first of each kind

    def add(self, other: Summary) -> None:
        self.runs += other.runs
        self.slowest = max(self.slowest, other.slowest)
        self.megabytes = max(self.megabytes, other.megabytes)
        self.outcomes += other.outcomes
        self.findings = {**other.findings, **self.findings}

    def count(self, start: str) -> int:
        return sum(n for kind, n in self.outcomes.items() if kind.startswith(start))

    def __str__(self) -> str:
        refused = sorted(kind for kind in self.outcomes if kind.startswith("refused"))
        return (
            f"{self.runs} runs: {self.count('right')} right, {self.count('refused')} refused "
            f"({len(refused)} codes), {self.count('WRONG')} silently wrong, "
            f"{self.count('FINDING')} other findings; slowest {self.slowest:.2f} s, "
            f"at most {self.megabytes:.0f} MB"
        )


def doors() -> dict[str, Door]:
    """Return all doors by name."""
    modules = [importlib.import_module(path.stem) for path in sorted(HERE.glob("door_*.py"))]
    return {door.name: door for module in modules for door in module.DOORS}


def tried(door: Door, seed: int, numbers: range, folder: Path) -> Summary:
    """Try inputs one after another."""
    warnings.simplefilter("ignore")
    summary = Summary()
    door.prepare(folder / "prepared")
    for number in numbers:
        place = folder / f"run_{number}"
        place.mkdir()
        start, before = time.perf_counter(), peak_megabytes()
        kind, what = outcome(door, Random(f"{door.name}/{seed}/{number}"), place)
        summary.runs += 1
        summary.slowest = max(summary.slowest, time.perf_counter() - start)
        summary.megabytes = max(summary.megabytes, peak_megabytes() - before)
        if peak_megabytes() - before > MEGABYTES:
            kind = f"FINDING: more than {MEGABYTES:.0f} MB"
        summary.outcomes[kind] += 1
        if not kind.startswith(("right", "refused")):
            replay = f"replay: {door.name} --replay {seed}/{number}"
            summary.findings.setdefault(kind, f"{replay}\n{what}")
        remove(place)
    return summary


def outcome(door: Door, random: Random, place: Path) -> tuple[str, str]:
    """Return what came out of one input: a kind, and more to read where it is a finding."""
    from hstcube.errors import HstCubeError, codes

    given = door.draw(random, place)
    try:
        with deadline():
            result = door.use(given)
    except HstCubeError as error:
        if error.code not in codes() or not error.fix:
            return "FINDING: an error without a known code or a fix", f"{given!r}\n{error}"
        if slip := slip_of_ours(error.__cause__):
            return f"FINDING: {slip} passed off as {error.code}", f"{given!r}\n{error}"
        return f"refused: {error.code}", ""
    except Hang:
        return f"FINDING: longer than {SECONDS:.0f} s", repr(given)
    except Exception as error:
        place_of = next(
            (f.name for f in reversed(traceback.extract_tb(error.__traceback__)) if is_ours(f)), "?"
        )
        kind = f"FINDING: {type(error).__name__} in {place_of}"
        return kind, f"{given!r}\n{traceback.format_exc()}"
    if wrong := door.wrong(given, result):
        return f"WRONG: {wrong.partition(' | ')[0]}", f"{given!r}\n{wrong}"
    return "right", ""


def slip_of_ours(cause: BaseException | None) -> str:
    """Say which slip of our own was passed off as a fault of the input."""
    if not isinstance(cause, AttributeError | NameError | TypeError | IndexError | AssertionError):
        return ""
    frame = traceback.extract_tb(cause.__traceback__)[-1]
    return f"{type(cause).__name__} in {frame.name}" if is_ours(frame) else ""


def is_ours(frame: traceback.FrameSummary) -> bool:
    return Path(frame.filename).is_relative_to(PACKAGE)


def peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def remove(place: Path) -> None:
    import shutil

    shutil.rmtree(place, ignore_errors=True)


class deadline:  # noqa: N801  a context manager, used like a function
    """Raise Hang when the time is up."""

    def __enter__(self) -> None:
        signal.signal(signal.SIGALRM, self.ring)
        signal.setitimer(signal.ITIMER_REAL, SECONDS)

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)

    @staticmethod
    def ring(*_: object) -> None:
        raise Hang


def batch(name: str, seed: int, first: int, last: int) -> Summary:
    with tempfile.TemporaryDirectory() as folder:
        return tried(doors()[name], seed, range(first, last), Path(folder))


def fuzzed(name: str, *, runs: int, seed: int, jobs: int) -> Summary:
    """Try so many inputs at a door, in batches, in several processes."""
    batches = [(name, seed, at, min(at + BATCH, runs)) for at in range(0, runs, BATCH)]
    summary = Summary()
    if jobs == 1:
        for one in batches:
            summary.add(batch(*one))
        return summary
    with ProcessPoolExecutor(jobs) as pool:
        for done in pool.map(batch, *zip(*batches, strict=True)):
            summary.add(done)
    return summary


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("door", nargs="?")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--replay", metavar="SEED/NUMBER")
    asked = parser.parse_args()
    if asked.list or asked.door not in doors():
        print("doors:", ", ".join(sorted(doors())))
        return 0 if asked.list else 2
    if asked.replay:
        seed, number = map(int, asked.replay.split("/"))
        summary = batch(asked.door, seed, number, number + 1)
    else:
        summary = fuzzed(asked.door, runs=asked.runs, seed=asked.seed, jobs=asked.jobs)
    for kind, n in summary.outcomes.most_common():
        print(f"{n:8}  {kind}")
    for kind, what in summary.findings.items():
        print(f"\n{kind}\n{what[:3000]}")
    print(f"\n{asked.door}: {summary}")
    return 1 if summary.findings else 0


if __name__ == "__main__":
    sys.exit(main())
