"""Which files a job has read, as they were then: none of them is replaced by what the job writes.

Whatever opens a file for reading says so here. While `remembering` lasts, the writer refuses to
replace such a file, whatever links lead to it, and a record can tell whether one was changed since.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import os
from contextvars import ContextVar
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = [
    "State",
    "is_broken",
    "keeps",
    "note_read",
    "read_as",
    "remembering",
    "same_file",
    "seal",
    "state_of",
    "was_read",
]

P = ParamSpec("P")
R = TypeVar("R")

_SEAL = b"\nhstcube sha256 "
_HEX = 64  # digits of a SHA-256
_PIECE = 2**20  # bytes that are read at once


class State(NamedTuple):
    """What tells a file, and that it was not changed: device and inode, size, times [ns]."""

    device: int
    inode: int
    size: int
    modified: int
    changed: int


_reads: ContextVar[dict[str, State] | None] = ContextVar("reads", default=None)


@contextlib.contextmanager
def remembering(*inputs: str | Path | None) -> Iterator[None]:
    """Remember what is read inside, and `inputs`; the outermost such block counts."""
    outer = _reads.get()
    token = _reads.set({} if outer is None else outer)
    try:
        for place in inputs:
            with contextlib.suppress(OSError, ValueError, TypeError):
                if place is not None and Path(place).is_file():
                    note_read(place, Path(place).stat())
        yield
    finally:
        _reads.reset(token)


def keeps(*inputs: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a job that replaces no file that it reads; `inputs` are the arguments that name files.

    Those are known from the start, so that nothing is computed in vain.
    """

    def decorated(job: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(job)

        @wraps(job)
        def careful(*arguments: P.args, **named: P.kwargs) -> R:
            given = signature.bind_partial(*arguments, **named).arguments
            with remembering(*(given.get(name) for name in inputs)):
                return job(*arguments, **named)

        return careful

    return decorated


def note_read(path: str | Path, found: os.stat_result) -> None:
    """Say that a file is read, and how it was found; the first time counts."""
    reads = _reads.get()
    if reads is not None:
        reads.setdefault(str(path), state_of(found))


def read_as(path: str | Path) -> State | None:
    """Return how a file was when it was read; None where that is not known."""
    return (_reads.get() or {}).get(str(path))


def state_of(found: os.stat_result) -> State:
    """Return what tells a file."""
    return State(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def was_read(paths: Iterable[Path]) -> Path | None:
    """Return the first of some paths that is a file that was read, under any name."""
    return _first_of(paths, {state[:2] for state in (_reads.get() or {}).values()})


def same_file(paths: Iterable[Path], others: Iterable[Path]) -> Path | None:
    """Return the first of some paths that is one of the other files, whatever links lead to it."""
    known = set()
    for other in others:
        with contextlib.suppress(OSError, ValueError):
            known.add(state_of(other.stat())[:2])
    return _first_of(paths, known)


def _first_of(paths: Iterable[Path], known: set[tuple[int, int]]) -> Path | None:
    for path in paths if known else ():
        with contextlib.suppress(OSError, ValueError):
            if state_of(path.stat())[:2] in known:
                return path
    return None


def seal(path: Path) -> None:
    """Append the SHA-256 of a file to it, behind the end that its format knows of.

    A library in C may crash on a damaged file before it can say so; who reads looks here first.
    """
    with path.open("r+b") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0, os.SEEK_END)
        file.write(_SEAL + digest.encode())


def is_broken(path: Path) -> bool:
    """Return whether a file is not what its seal vouches for; not where it has none."""
    length = len(_SEAL) + _HEX
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(size - length, 0))
        end = file.read()
        if not end.startswith(_SEAL):
            return False
        file.seek(0)
        digest, left = hashlib.sha256(), size - length
        while left > 0 and (piece := file.read(min(left, _PIECE))):
            digest.update(piece)
            left -= len(piece)
    return digest.hexdigest().encode() != end[len(_SEAL) :]
