"""What became of targets, one line of JSON each, written as it happens; run.json is made of it.

A line is appended and synced before the next target begins, so a run that is killed loses none. A
line that says ``writing`` stands before products get their names: what a killed run left of them is
known as its own. The last line may be torn, and is passed over.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from typing import TYPE_CHECKING, Any

from hstcube import __version__
from hstcube.errors import FileError, WriteError
from hstcube.fits.local import read_text
from hstcube.fits.writing import require_free_names, write_files
from hstcube.fleet.proof import hashes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Ledger", "read_record"]

RECORD, LINES = "run.json", "run.jsonl"

Targets = dict[str, dict[str, Any]]


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
        self.known = read_record(folder)
        self.begun: dict[str, list[str]] = {}
        for line in self._lines():
            self._take(line)

    def _lines(self) -> Iterator[dict[str, Any]]:
        path = self.folder / LINES
        require_free_names([path], overwrite=True)
        if not path.exists():
            return
        *whole, torn = read_text(path).split("\n")
        for number, text in enumerate([*whole, *([torn] if torn else [])], 1):
            line = _line_of(text)
            if line is not None:
                yield line
            elif number <= len(whole) and text.strip("\0 "):
                raise _no_record(path, f"line {number} tells of no target")
            # else the writer was killed there

    def _take(self, line: dict[str, Any]) -> None:
        """Take a line into what is known: a failure replaces what was made only where it may."""
        name, target = line["name"], line["target"]
        if target.get("status") == "writing":
            self.begun[name] = [str(one) for one in target.get("outputs", [])]
            return
        made = self.known.get(name, {}).get("status") == "ok"
        if target.get("status") == "ok":
            self.begun.pop(name, None)
        if target.get("status") == "ok" or line.get("replaces") or not made:
            self.known[name] = target

    def may_replace(self, name: str, path: Path) -> bool:
        """Say whether nobody's work is lost with a product: it is as a run of here left it."""
        if path.name in self.begun.get(name, []):
            return True
        told = self.known.get(name, {}).get("sha256", {}).get(path.name)
        return told is not None and told == hashes([path]).get(path.name)

    def begin(self, name: str, outputs: list[Path]) -> None:
        """Say what is about to be written."""
        names = [path.name for path in outputs]
        self._append({"name": name, "target": {"status": "writing", "outputs": names}})

    def done(self, name: str, target: dict[str, Any], *, replaces: bool = False) -> None:
        """Write down what became of a target; `replaces` is whether a failure counts more."""
        line = {"name": name, "target": target, "replaces": replaces}
        self._append(line)
        self._take(line)

    def _append(self, line: dict[str, Any]) -> None:
        path = self.folder / LINES
        try:
            with path.open("ab") as file, _locked(file.fileno()):
                torn = file.tell() and not _ends_line(path)
                file.write(b"\n" * bool(torn) + json.dumps(line).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            fix = "free some space, or choose another folder[[ with -o|]]"
            reason = f"cannot be written: {error.strerror}"
            raise WriteError("HC-O01", reason, fix, file=str(path)) from error

    def close(self) -> None:
        """Make run.json of all lines, also of those that other runs wrote meanwhile."""
        path = self.folder / RECORD
        try:
            now = Ledger(self.folder)
        except WriteError:  # another file was put there meanwhile: it is kept under another name
            path.rename(path.with_name(f"{RECORD}.{os.getpid()}.kept"))
            now = self
        text = json.dumps({"hstcube": __version__, "targets": now.known}, indent=1)
        write_files({path: text.encode()}, overwrite=True)


def _line_of(text: str) -> dict[str, Any] | None:
    """Return what a line tells, None where it tells of no target."""
    try:
        line = json.loads(text)
    except (ValueError, RecursionError):
        return None
    told = isinstance(line, dict) and isinstance(line.get("target"), dict)
    return line if told and isinstance(line.get("name"), str) else None


@contextlib.contextmanager
def _locked(number: int) -> Iterator[None]:
    with contextlib.suppress(OSError):  # file systems without locks: lines are short
        fcntl.flock(number, fcntl.LOCK_EX)
    yield


def _ends_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() == b"\n"


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
        told = json.loads(read_text(path))
    except (FileError, ValueError, RecursionError) as error:  # no text, no JSON, too deep
        raise _no_record(path, f"{type(error).__name__}: {error}") from error
    targets = told.get("targets") if isinstance(told, dict) else None
    if not isinstance(targets, dict):
        raise _no_record(path, "it tells of no targets")
    for name, target in targets.items():
        if not isinstance(target, dict):
            raise _no_record(path, f"what it tells of {name[:60]!r} is {type(target).__name__}")
    return targets


def _no_record(path: Path, why: str) -> WriteError:
    return WriteError(
        "HC-O09",
        f"is not the record of a run ({why})",
        "move it away, or choose another folder with [[-o|out=]]",
        file=str(path),
    )
