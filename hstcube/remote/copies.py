"""Copies of files of stores in a folder: each whole or absent, and known again by its version."""

from __future__ import annotations

import json
import os
import threading
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import TYPE_CHECKING, Any

from hstcube.fits.local import kind_of, read_text
from hstcube.fits.writing import add_file, make_ready, require_free_names

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from hstcube.remote.stores import Remote

__all__ = ["RECORD", "Copies"]

RECORD = "fetched.jsonl"
_AT_ONCE = 8  # files: the time of a small one is that of the way to the store and back
_LARGEST_RECORD = 2**30  # bytes: of five million files


class Copies:
    """The copies in a folder, and ``fetched.jsonl``: a line for each, with its size and version.

    A line is synced before the copy gets its name, so that whatever ends a fetch, a copy that is
    there has its line; a line without a copy tells nothing.

    Raises
    ------
    HstCubeError
        If the record cannot be read, or is a link or a folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / RECORD
        self.lock = threading.Lock()
        self.known: dict[str, tuple[int, str]] = {}
        require_free_names([self.path], overwrite=True)
        text = read_text(self.path, most=_LARGEST_RECORD) if kind_of(self.path) else ""
        self.torn = bool(text) and not text.endswith("\n")
        for line in text.splitlines():
            self._take(line)

    def _take(self, line: str) -> None:
        """Take a line of the record; one that is torn, or none of ours, vouches for no copy."""
        try:
            said = json.loads(line)
            self.known[said["file"]] = (said["size"], said["mark"])
        except (ValueError, KeyError, TypeError, RecursionError):
            return

    def has(self, name: str, remote: Remote) -> bool:
        """Say whether the copy of this very version is there, of the size that it had."""
        size, mark = self.known.get(name, (None, ""))
        path = self.folder / name
        if not mark or mark != remote.mark or size != (remote.size or size):
            return False
        return kind_of(path) == "file" and path.stat().st_size == size

    def make(
        self, wanted: Mapping[str, Remote], *, overwrite: bool, tell: Callable[[str], None]
    ) -> None:
        """Copy files; those that are whole stay, whatever becomes of the others.

        Parameters
        ----------
        wanted : mapping of name to Remote
            Names are relative to the folder.
        overwrite : bool
            Replace files that exist.
        tell : callable
            Called with each name when its copy is there.

        Raises
        ------
        FileError
            If one does not come.
        WriteError
            If a file exists, the disk is too small for all, or refuses.
        """
        require_free_names([self.folder / name for name in wanted], overwrite=overwrite)
        make_ready(self.folder, sum(remote.size or 0 for remote in wanted.values()))
        for folder in {(self.folder / name).parent for name in wanted} - {self.folder}:
            make_ready(folder)
        stop = threading.Event()
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            left = iter(wanted.items())
            going: dict[Future[None], str] = {}
            try:
                while True:
                    for name, remote in islice(left, 2 * _AT_ONCE - len(going)):
                        going[pool.submit(self._copy, name, remote, stop)] = name
                    if not going:
                        return
                    for done in wait(going, return_when=FIRST_COMPLETED).done:
                        name = going.pop(done)
                        done.result()
                        tell(name)
            except BaseException:
                stop.set()
                pool.shutdown(cancel_futures=True)
                raise

    def _copy(self, name: str, remote: Remote, stop: threading.Event) -> None:
        path = self.folder / name

        def write(part: Path) -> None:
            remote.store.copy(remote, part, stop)
            line = {"file": name, "size": part.stat().st_size, "mark": remote.mark}
            path.unlink(missing_ok=True)  # else the line would vouch for the file of before
            self._note(line | {"address": remote.address})

        add_file(path, write)

    def _note(self, line: Mapping[str, Any]) -> None:
        with self.lock, self.path.open("a", encoding="utf-8") as file:
            file.write("\n" * self.torn + json.dumps(line) + "\n")
            self.torn = False
            file.flush()
            os.fsync(file.fileno())
