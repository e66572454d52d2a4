"""What became of targets, one line of JSON each, written as it happens; run.json is made of it.

A line is appended and synced before the next target begins, so a run that is killed loses none. A
line that says ``writing`` stands before products get their names: what a killed run left of them is
known as its own. The last line may be torn, and is passed over.
"""

from __future__ import annotations

import contextlib
import csv
import fcntl
import io
import json
import os
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from hstcube import __version__
from hstcube.errors import FileError, WriteError
from hstcube.fits.local import read_text
from hstcube.fits.opening import located
from hstcube.fits.writing import require_free_names, write_files
from hstcube.fleet.proof import hashes

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Ledger", "Targets", "read_record"]

RECORD, LINES, SUMMARY = "run.json", "run.jsonl", "summary.ecsv"
_PIECE = 2**16  # bytes that are read at once
_LARGEST = 2**31  # bytes of a run.json: 300,000 targets
_COLUMNS = {
    "target": "string", "status": "string", "code": "string", "bands": "int64", "pixels": "int64",
    "sky": "string", "warnings": "string", "message": "string",
}  # fmt: skip

_KINDS: dict[Any, tuple[str, ...]] = {  # of what is read again
    dict: ("inputs", "sha256", "sky", "versions"),
    list: ("bands", "notes", "outputs", "warnings"),
    int: ("pixels",),
    str: ("status", "code", "message", "asked"),
}

Targets = dict[str, dict[str, Any]]


class _Begun(NamedTuple):
    """What a run was about to write of a target when it was last heard of."""

    run: str
    outputs: list[str]


class Ledger:
    """The record of the runs into one folder: ``run.jsonl``, and ``run.json`` made of it.

    Several processes, and several runs, may write at once: a line is whole, under a lock.

    Raises
    ------
    WriteError
        If there is a ``run.json`` or ``run.jsonl`` that is no record of runs.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.begun: dict[str, _Begun] = {}
        self._older = read_record(folder)
        self._lines: dict[str, tuple[int, bool]] = {}  # where in run.jsonl it is told; is it made?
        self._read = 0  # bytes of run.jsonl
        require_free_names([folder / LINES], overwrite=True)
        self._catch_up()
        for name in self._lines:
            self._older.pop(name, None)

    def told(self, name: str) -> dict[str, Any]:
        """Return the record of a target, empty where there is none."""
        if name not in self._lines:
            return self._older.get(name, {})
        path = self.folder / LINES
        with located(path), path.open("rb") as file:
            file.seek(self._lines[name][0])
            line = _line_of(file.readline()) or {}
        return line["target"] if line.get("name") == name else {}  # spoilt meanwhile

    def everything(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield all targets that are known and their records, the oldest first."""
        for name in dict.fromkeys([*self._older, *self._lines]):
            yield name, self.told(name)

    def _catch_up(self) -> None:
        """Take in what was written to run.jsonl since it was last looked at."""
        path = self.folder / LINES
        if not path.exists():
            return
        with located(path), path.open("rb") as file:
            file.seek(self._read)
            for text in file:
                if not text.endswith(b"\n"):
                    break  # the writer was killed there
                line = _line_of(text)
                if line is not None:
                    self._take(line, self._read)
                elif text.strip(b"\0 \n"):
                    raise _no_record(path, f"{text[:40]!r} tells of no target")
                self._read += len(text)

    def _take(self, line: dict[str, Any], at: int) -> None:
        """Take a line into what is known: a failure replaces what was made only where it may."""
        name, target = line["name"], line["target"]
        if target.get("status") == "writing":
            names = [str(one) for one in target.get("outputs", [])]
            self.begun[name] = _Begun(str(target.get("run", "")), names)
            return
        before = self._older.get(name, {}).get("status") == "ok"
        made = target.get("status") == "ok"
        self.begun.pop(name, None)  # it ended, so that nothing is left of it half done
        if made or line.get("replaces") or not self._lines.get(name, (0, before))[1]:
            self._lines[name] = at, made

    def may_replace(self, name: str, path: Path) -> bool:
        """Say whether nobody's work is lost with a product: it is as a run of here left it."""
        if name in self.begun and path.name in self.begun[name].outputs:
            return True
        told = self.told(name).get("sha256", {}).get(path.name)
        return told is not None and told == hashes([path]).get(path.name)

    def began(self, name: str, run: str) -> bool:
        """Say whether a run was about to write a target, in a process that has died since."""
        self._catch_up()
        return name in self.begun and self.begun[name].run == run

    def begin(self, name: str, outputs: list[Path], run: str) -> None:
        """Say what is about to be written, and by which run."""
        names = [path.name for path in outputs]
        told = {"status": "writing", "outputs": names, "run": run}
        self._append({"name": name, "target": told})

    def done(self, name: str, target: dict[str, Any], *, replaces: bool = False) -> None:
        """Write down what became of a target; `replaces` is whether a failure counts more."""
        self._append({"name": name, "target": target, "replaces": replaces})
        self._catch_up()

    def _append(self, line: dict[str, Any]) -> None:
        path = self.folder / LINES
        try:
            with path.open("a+b") as file, _locked(file.fileno()):
                _cut_torn(file)
                file.write(json.dumps(line).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            fix = "free some space, or choose another folder[[ with -o|]]"
            reason = f"cannot be written: {error.strerror}"
            raise WriteError("HC-O01", reason, fix, file=str(path)) from error

    def close(self) -> None:
        """Make run.json and the summary of all lines, also of those of other runs meanwhile."""
        lines = self.folder / LINES
        if not lines.exists():
            self._write_tables()
            return
        with lines.open("rb") as file, _locked(file.fileno()):  # no other run writes an older one
            self._write_tables()

    def _write_tables(self) -> None:
        path = self.folder / RECORD
        try:
            now = Ledger(self.folder)
        except WriteError as error:  # what was put there meanwhile is kept under another name
            other = Path(error.file)
            other.rename(other.with_name(f"{other.name}.{os.getpid()}.kept"))
            now = Ledger(self.folder)
        targets = dict(now.everything())
        text = json.dumps({"hstcube": __version__, "targets": targets}, indent=1)
        table = self.folder / SUMMARY
        write_files({path: text.encode(), table: _summary(targets)}, overwrite=True)


def _line_of(text: bytes) -> dict[str, Any] | None:
    """Return what a line tells, None where it tells of no target."""
    try:
        line = json.loads(text)
    except (ValueError, RecursionError):
        return None
    told = isinstance(line, dict) and isinstance(line.get("name"), str)
    return line if told and not _odd(line.get("target")) else None


def _odd(target: Any) -> str:
    """Return what of a target's record is not what a run writes, "" where all is."""
    if not isinstance(target, dict):
        return f"is {type(target).__name__}"
    kinds = ((kind, name) for kind, names in _KINDS.items() for name in names)
    odd = [name for kind, name in kinds if not isinstance(target.get(name, kind()), kind)]
    return f"has {odd[0]} as {type(target[odd[0]]).__name__}" if odd else ""


@contextlib.contextmanager
def _locked(number: int) -> Iterator[None]:
    with contextlib.suppress(OSError):  # file systems without locks: lines are short
        fcntl.flock(number, fcntl.LOCK_EX)
    yield


def _cut_torn(file: IO[bytes]) -> None:
    """Cut the line off that a killed writer began: a line is whole, or is not there."""
    size = file.seek(0, os.SEEK_END)
    for back in range(0, size, _PIECE):
        start = max(size - back - _PIECE, 0)
        file.seek(start)
        end = file.read(size - back - start).rfind(b"\n")
        if end >= 0:
            size = start + end + 1
            break
    else:
        size = 0
    file.truncate(size)
    file.seek(0, os.SEEK_END)


def _summary(targets: Targets) -> bytes:
    """Return a table of all targets, ECSV (astropy's APE 6), which takes 0.1 s to load to write."""
    text = io.StringIO()
    text.write("# %ECSV 1.0\n# ---\n# delimiter: ','\n# datatype:\n")
    text.writelines(f"# - {{name: {n}, datatype: {t}}}\n" for n, t in _COLUMNS.items())
    rows = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    text.write(",".join(_COLUMNS) + "\n")
    for name, told in targets.items():
        codes = sorted({str(line).partition(" ")[0] for line in told.get("warnings", [])})
        row = (name, told.get("status", ""), told.get("code", ""), len(told.get("bands", [])))
        rest = (told.get("pixels", 0), told.get("sky", {}).get("origin", ""), " ".join(codes))
        rows.writerow((*row, *rest, " ".join(str(told.get("message", "")).split())))
    return text.getvalue().encode()


def read_record(folder: Path) -> Targets:
    """Return the targets of earlier runs into a folder, as its run.json tells them.

    Raises
    ------
    WriteError
        If there is such a file, but it is no record of a run, or may not be replaced.
    """
    path = folder / RECORD
    require_free_names([path], overwrite=True)
    if not path.exists():
        return {}
    try:
        told = json.loads(read_text(path, most=_LARGEST))
    except (FileError, ValueError, RecursionError) as error:  # no text, no JSON, too deep
        raise _no_record(path, f"{type(error).__name__}: {error}") from error
    targets = told.get("targets") if isinstance(told, dict) else None
    if not isinstance(targets, dict):
        raise _no_record(path, "it tells of no targets")
    for name, target in targets.items():
        if odd := _odd(target):
            raise _no_record(path, f"what it tells of {name[:60]!r} {odd}")
    return targets


def _no_record(path: Path, why: str) -> WriteError:
    return WriteError(
        "HC-O09",
        f"is not the record of a run ({why})",
        "move it away, or choose another folder with [[-o|out=]]",
        file=str(path),
    )
