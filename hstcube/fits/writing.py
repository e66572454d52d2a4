"""Writing files so that each is whole or absent, whatever happens in between."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Self

from hstcube.errors import WriteError
from hstcube.fits.reads import was_read
from hstcube.fits.sets import marked
from hstcube.inputs.choices import flag

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

Content = bytes | Callable[[Path], None]  # of a file: what it holds, or what makes it

__all__ = [
    "Content",
    "Parts",
    "add_file",
    "discard",
    "make_ready",
    "require_free_names",
    "require_room_after_all",
    "sweep",
    "write_files",
    "write_set",
    "write_verified",
    "written_folder",
    "written_whole",
]

_PART = re.compile(r"\.(.+)\.part-(\d+)-[0-9a-f]+")  # name, process
_PROBE = 1 << 20  # bytes
_SPARE = 1.1  # room asked for, over what is written


def write_files(files: Mapping[Path, Content], *, overwrite: bool = False) -> list[Path]:
    """Write files: every one is on disk and verified before the first gets its name.

    What killed writers left in their folders is removed.

    Parameters
    ----------
    files : mapping of path to bytes, or to a function
        A function makes the file, and verifies it, under the name that it is given. Folders are
        made.
    overwrite : bool
        Replace files that exist.

    Raises
    ------
    WriteError
        If a file exists, is a link, was read by this job, or the disk refuses; files of before are
        untouched then.
    """
    require_free_names(files, overwrite=overwrite)
    folders = {path.parent for path in files}
    with _our_errors(next(iter(files), Path())):
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
            sweep(folder)
            here = [data for path, data in files.items() if path.parent == folder]
            _require_room(folder, sum(len(data) for data in here if isinstance(data, bytes)))
        _write_and_name(files)
        for folder in folders:
            _sync_folder(folder)
    return list(files)


def write_set(files: Mapping[Path, bytes], *, overwrite: bool = False) -> list[Path]:
    """Write files that belong together: `write_files`, with the id of the set in each of them.

    Raises
    ------
    WriteError
        As `write_files`.
    """
    return write_files(marked(files), overwrite=overwrite)


def _write_and_name(files: Mapping[Path, Content]) -> None:
    parts: dict[Path, Path] = {}
    try:
        for path, data in files.items():
            parts[path] = part = _part_of(path)
            if isinstance(data, bytes):
                write_verified(part, data)
                continue
            data(part)
            with part.open("rb") as file:
                os.fsync(file.fileno())
        for path, part in parts.items():
            part.replace(path)
    finally:
        for part in parts.values():
            _remove(part)


def written_whole(path: Path, write: Callable[[Path], None], *, overwrite: bool = False) -> Path:
    """Let `write` make a file under another name, then give it its own.

    Raises
    ------
    WriteError
        As `write_files`.
    """
    return write_files({path: write}, overwrite=overwrite)[0]


def make_ready(folder: Path, size: int = 0) -> None:
    """Make a folder, remove what killed writers left in it, and require room for `size` bytes.

    Raises
    ------
    WriteError
        If there is no room, or the system refuses.
    """
    with _our_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder)
        _require_room(folder, size)


def add_file(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` make one of many files, and verify it; the folder is ready, the name free.

    Raises
    ------
    WriteError
        If the disk refuses.
    """
    with _our_errors(path):
        _write_and_name({path: write})


def written_folder(
    path: Path, fill: Callable[[Path], None], *, mark: str, overwrite: bool = False
) -> Path:
    """Let `fill` fill a folder under another name, then give it its own.

    Where a folder is replaced, the old one is moved away when the new one is whole; a process that
    is killed between these two renamings leaves it under a name that ends in ``.before``.

    Parameters
    ----------
    path : path
    fill : function
        Writes and syncs all files; the folder that it is given is empty.
    mark : str
        The name of a file that is in every folder of this kind; no other folder is replaced.
    overwrite : bool
        Replace a folder that exists.

    Raises
    ------
    WriteError
        As `write_files`.
    """
    with _our_errors(path):
        kept = path.is_dir() and not path.is_symlink() and (path / mark).exists()
    if kept:
        require_free_names([path / mark], overwrite=True)
        if not flag("overwrite", overwrite):
            raise _exists(path)
    else:
        require_free_names([path], overwrite=False)
    with _our_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent)
        part, old = _part_of(path), path.with_name(f"{path.name}.{os.getpid()}.before")
        try:
            part.mkdir()
            fill(part)
            for folder, _, _ in os.walk(part):
                _sync_folder(Path(folder))
            if kept:
                path.rename(old)
            part.rename(path)
            _sync_folder(path.parent)
        except OSError as error:
            if str(error.filename).startswith(str(part)):
                error.filename = str(path)
            raise
        finally:
            if old.exists() and not path.exists():
                old.rename(path)
            discard(part)
            discard(old)
    return path


def discard(folder: Path) -> None:
    """Remove a folder under another name: threads that still write into it do not find it."""
    with contextlib.suppress(OSError):
        shutil.rmtree(folder.rename(_part_of(folder.with_name("gone"))), ignore_errors=True)


class Parts:
    """Many files, each written beside its place, and named together when the block ends well.

    They are not verified one by one, which would take longer than writing them: for copies that can
    be made again.
    """

    def __init__(self, folder: Path, size: int) -> None:
        self.folder = folder
        self.size = size
        self.parts: dict[Path, Path] = {}
        self.swept: set[Path] = set()

    def __enter__(self) -> Self:
        make_ready(self.folder, self.size)
        return self

    def write(self, path: Path, *pieces: bytes) -> None:
        """Write one file; it has no name yet."""
        with _our_errors(path):
            if path.parent not in (part.parent for part in list(self.parts)[-1:]):
                path.parent.mkdir(parents=True, exist_ok=True)
                if path.parent not in self.swept:
                    self.swept.add(path.parent)
                    sweep(path.parent)
            self.parts[path] = part = _part_of(path)
            with part.open("xb", buffering=0) as file:
                file.write(b"".join(pieces))

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                with _our_errors(self.folder):
                    for path, part in self.parts.items():
                        part.replace(path)
        finally:
            for part in self.parts.values():
                part.unlink(missing_ok=True)


def require_free_names(paths: Iterable[Path], *, overwrite: bool) -> None:
    """Refuse names that cannot be written.

    Raises
    ------
    WriteError
        If a path is a link, a folder, there twice, a file that this job has read or, unless
        `overwrite`, exists.
    """
    paths, overwrite = list(paths), flag("overwrite", overwrite)
    if twice := next((path for path, number in Counter(paths).items() if number > 1), None):
        raise WriteError(
            "HC-O08",
            "is the name of two outputs",
            "choose another one with [[-o|out=]]: the picture ends in .png, the table in .ecsv",
            file=str(twice),
        )
    there = []
    for path in paths:
        with _our_errors(path):
            if os.path.lexists(path):
                _require_free(path, overwrite=overwrite)
                there.append(path)
    if (known := was_read(there)) is not None:
        raise WriteError(
            "HC-O06",
            "is an input of this very job",
            "choose another place with [[-o|out=]]",
            file=str(known),
        )


def _require_free(path: Path, *, overwrite: bool) -> None:
    if path.is_symlink():
        raise WriteError(
            "HC-O05",
            "is a symbolic link; writing would replace the link",
            "remove the link, or choose another folder",
            file=str(path),
        )
    if path.is_dir():
        raise WriteError(
            "HC-O01",
            "is a folder",
            "remove it, or choose another folder[[ with -o|]]",
            file=str(path),
        )
    if path.exists() and not overwrite:
        raise _exists(path)


def _exists(path: Path) -> WriteError:
    return WriteError(
        "HC-O04",
        "exists already",
        "choose another folder, or [[--overwrite|overwrite=True]]",
        file=str(path),
    )


def sweep(folder: Path) -> list[Path]:
    """Remove what killed runs left behind: parts whose process is gone. Return what was removed."""
    gone = []
    for name in os.listdir(folder) if folder.is_dir() else ():  # noqa: PTH208  of a million stamps
        match = _PART.fullmatch(name) if name.startswith(".") else None
        if match and not _alive(int(match[2])):
            part = folder / name
            with contextlib.suppress(OSError):  # another user's, perhaps
                shutil.rmtree(part) if part.is_dir() else part.unlink(missing_ok=True)
                gone.append(part)
    return gone


def _part_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.part-{os.getpid()}-{secrets.token_hex(4)}")


def write_verified(part: Path, data: bytes) -> None:
    """Write a new file, and see that it is on disk."""
    with part.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    if part.read_bytes() != data:
        raise OSError(errno.EIO, "what was read back differs from what was written", str(part))


def _remove(part: Path) -> None:
    """Remove a part, emptied first: HDF5 keeps open what it could not finish, and its room."""
    with contextlib.suppress(OSError):
        os.truncate(part, 0)
    part.unlink(missing_ok=True)


def _require_room(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < _SPARE * size:
        raise WriteError(
            "HC-O02",
            f"the disk has {free / 1e6:.1f} MB left, {size / 1e6:.1f} MB are needed",
            "make room, or choose another folder[[ with -o|]]",
            file=str(folder),
        )


def require_room_after_all(folder: Path) -> None:
    """Let the system say, as an OSError, why the folder takes no more: some libraries do not."""
    probe = _part_of(folder / "room")
    try:
        write_verified(probe, bytes(_PROBE))
    finally:
        probe.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


@contextlib.contextmanager
def _our_errors(path: Path) -> Iterator[None]:
    """Turn what the operating system says into a WriteError that names the file and the fix."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        name = str(error.filename2 or error.filename or path)
        final = _PART.fullmatch(Path(name).name)
        code, fix = (
            ("HC-O02", "make room") if full else ("HC-O01", "check the folder and its permissions")
        )
        name = str(Path(name).with_name(final[1])) if final else name
        raise WriteError(
            code,
            f"cannot be written: {error.strerror or error}",
            f"{fix}, or choose another folder[[ with -o|]]",
            file=name,
        ) from error
