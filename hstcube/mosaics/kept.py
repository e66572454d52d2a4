"""Blocks of a mosaic that outlive the run that wrote them, so that the next one goes on with them.

A run makes the files of a field in blocks in a hidden folder, ``.TARGET.blocks/JOB``, and they are
handed over when they are whole. JOB is a digest of all that they are made of: files, options,
versions. A journal has a line for each block that was written: where it is, and the SHA-256 of its
pixels. What is read back and has that digest is done; where a line is torn, or pixels never reached
the disk, the block is made anew. Who works in the folder holds a lock on the journal, which the
system takes back when the process ends, whatever ends it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
from typing import TYPE_CHECKING, Any

from hstcube.fits.writing import discard
from hstcube.lazy.nodes import At

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = ["Kept", "digest_of", "kept_blocks", "note_block"]

_JOURNAL = "journal"
_LINE = re.compile(r"(\d+) (\d+) (\d+) (\d+) (\d+) ([0-9a-f]{64})")


class Kept:
    """A folder that a run works in, and of how many blocks it found how many done."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()  # workers of a cluster are elsewhere
        self.journal = self.folder / _JOURNAL
        self.found = self.blocks = 0

    def file(self, path: Path) -> Path:
        """Return where a file is made; no search for FITS files finds it."""
        return self.folder / f"{path.name}.part"

    def told(self) -> dict[At, str]:
        """Return the digest of every block of which the journal tells; the last word counts."""
        lines = self.journal.read_text(encoding="ascii", errors="replace").split("\n")
        found = [match.groups() for match in map(_LINE.fullmatch, lines) if match]
        return {At(*map(int, where)): digest for *where, digest in found}


def digest_of(at: At, images: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the images of a block, by their names, as they lie on disk."""
    digest = hashlib.sha256(repr(tuple(at)).encode())
    for name in sorted(images):
        digest.update(name.encode())
        digest.update(images[name])
    return digest.hexdigest()


def note_block(journal: Path, at: At, digest: str) -> None:
    """Write down that a block was written; it is believed when its pixels are read back."""
    line = f"\n{' '.join(map(str, at))} {digest}\n"  # the one before it may be torn
    file = os.open(journal, os.O_WRONLY | os.O_APPEND)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)


@contextlib.contextmanager
def kept_blocks(out: Path, name: str, job: str, *, go_on: bool) -> Iterator[Kept | None]:
    """Yield the folder in which the files of a target are made, and remove it when all went well.

    What earlier runs left of the target, and no run works on, is removed; but, if this one goes on,
    not what is of the same job. What this one leaves when it fails is kept where there are blocks.

    Parameters
    ----------
    out : Path
        Folder of the products.
    name : str
        Of the target.
    job : str
        A digest of all that the files are made of; "" where there is none: nothing is kept then.
    go_on : bool

    Yields
    ------
    Kept or None
        None where nothing can be kept: another run is at the same job, or there are no locks.
    """
    place = out / f".{name}.blocks"
    own = place / job
    with contextlib.suppress(OSError):  # it is not there, mostly
        for folder in list(place.iterdir()):
            if not (go_on and folder == own) and (other := _locked(folder)) is not None:
                discard(folder)
                os.close(other)
    lock = _locked(own) if job else None
    done = False
    try:
        yield None if lock is None else Kept(own)
        done = True
    finally:
        if lock is not None:
            if done or not os.fstat(lock).st_size:
                discard(own)
            os.close(lock)
        with contextlib.suppress(OSError):  # it is not there, or not empty
            place.rmdir()


def _locked(folder: Path) -> int | None:
    """Return the journal of a folder, made where it is not there; None if another run has it."""
    number = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        number = os.open(folder / _JOURNAL, os.O_RDWR | os.O_CREAT, 0o666)
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(number), (folder / _JOURNAL).stat()):
            return number  # else it was removed meanwhile
    except OSError:  # of a full disk, too: who writes the files says so
        pass
    if number is not None:
        os.close(number)
    return None
