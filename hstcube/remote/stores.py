"""The only door through which anything comes from a network: fsspec, at the wish of `fetch` alone.

A store is a bucket, a server, or whatever else fsspec has a driver for. What it and its driver say
becomes errors of ours here.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import re
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urlsplit

from hstcube.errors import FileError, HstCubeError, is_slip

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterable, Iterator
    from pathlib import Path

__all__ = ["Remote", "Store", "local_name"]

_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(?!.*::).+")
_HERE = ("file", "local")
_SERVERS = ("http", "https")
_EXTRA = "pip install 'hstcube[remote]'"
_MARKS = ("ETag", "etag", "Content-MD5", "Digest", "LastModified", "Last-Modified", "last_modified",
          "mtime", "created")  # fmt: skip
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FORBIDDEN, _GONE = {401, 403, 407}, {404, 410}  # of HTTP, RFC 9110
_NO_KEYS = ("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError")
_PATIENCE = 60.0  # seconds without a byte, after which a server is given up
_GLANCE = 0.2  # seconds between two looks at whether the copying is to stop
_LONGEST_NAME = 255  # bytes, of Linux


class Remote(NamedTuple):
    """One file of a store."""

    store: Store
    path: str
    """As the driver knows it."""
    size: int | None
    """Bytes; None where the store tells it with the file only."""
    mark: str
    """What tells this version from others: the etag, or the time it was made; '' for nothing."""

    @property
    def address(self) -> str:
        """The whole address, for people."""
        return self.store.full(self.path)


class Store:
    """An address, opened: a folder of a store, or one file.

    Parameters
    ----------
    address : str
        ``"s3://bucket/folder"``, ``"https://server/file.fits"``.
    **options
        For the driver of fsspec, such as ``anon=True``.

    Raises
    ------
    FileError
        If it is no address, its driver is not installed, or the store refuses.
    """

    def __init__(self, address: str, **options: Any) -> None:
        self.address = str(address)
        self.protocol = _protocol_of(self.address)
        self.is_server = self.protocol in _SERVERS
        driver = _driver(self.protocol, self.address)
        with self._errors():
            # as it is asked for, never as an earlier call saw it
            self.system = driver(**self._options(options))
            self.system.invalidate_cache()
            self.root = str(driver._strip_protocol(self.address))  # noqa: SLF001  fsspec means it
            if not self.is_server:
                self.root = self.root.rstrip("/")

    def _options(self, given: dict[str, Any]) -> dict[str, Any]:
        if self.protocol in ("s3", "s3a"):
            return {"max_concurrency": 1} | given  # a file is one stream: its size tells it whole
        if not self.is_server:
            return given
        import aiohttp

        given = {name: value for name, value in given.items() if name != "anon"}
        # bytes as they lie there: a .gz stays one; and a large file may take hours
        wait = aiohttp.ClientTimeout(total=None, sock_connect=_PATIENCE, sock_read=_PATIENCE)
        client = {"auto_decompress": False, "timeout": wait} | given.pop("client_kwargs", {})
        headers = {"Accept-Encoding": "identity"} | given.pop("headers", {})
        return {"client_kwargs": client, "headers": headers} | given

    def full(self, path: str) -> str:
        """Return the address of a path."""
        return path if "://" in path else f"{self.protocol}://{path.lstrip('/')}"

    def is_folder(self) -> bool:
        """Say whether the address is a folder; a server has files only.

        Raises
        ------
        FileError
            If there is nothing.
        """
        if self.is_server:
            return False
        with self._errors():
            return bool(self.system.info(self.root)["type"] == "directory")

    def listed(self, folders: Iterable[str] = ()) -> dict[str, Remote]:
        """Return the files of the folder, and of some folders in it, by their names from it."""
        found = {}
        for folder in ("", *folders):
            place = f"{self.root}/{folder}" if folder else self.root
            there: list[dict[str, Any]] = []
            with self._errors(), contextlib.suppress(*([FileNotFoundError] if folder else [])):
                there = self.system.ls(place, detail=True)
            for one in there:
                name = one["name"].rsplit("/", 1)[-1]
                if one["type"] == "file" and _is_name(name):
                    found[f"{folder}/{name}" if folder else name] = self._remote(one["name"], one)
        return found

    def beside(self, name: str, *, inside: bool) -> Remote:
        """Return a file by its name from the folder that is the address, or that holds the file."""
        folder = urlsplit(self.root)._replace(query="", fragment="").geturl()
        folder = self.root if inside else folder.rpartition("/")[0]
        return self._asked(f"{folder}/{name}")

    def itself(self) -> Remote:
        """Return the file that is the address."""
        return self._asked(self.root)

    def _asked(self, path: str) -> Remote:
        with self._errors(path):
            said = self.system.info(path)
        if said["type"] != "file":
            fix = "fetch folders one by one"
            raise FileError("HC-F42", "is a folder among files", fix, self.full(path))
        if said.get("mimetype") == "text/html":
            fix = (
                "give the addresses of the files themselves: pages that list them have no standard"
            )
            raise FileError("HC-F42", "is a page of a server, not a file", fix, self.full(path))
        return self._remote(path, said)

    def _remote(self, path: str, said: dict[str, Any]) -> Remote:
        mark = next((str(said[name]) for name in _MARKS if said.get(name)), "")
        return Remote(self, path, said.get("size"), mark.strip('"'))

    def read(self, remote: Remote, most: int) -> bytes:
        """Return a small file.

        Raises
        ------
        FileError
            If it is larger than `most` bytes.
        """
        with self._errors(remote.path):
            data = bytes(self.system.cat_file(remote.path)) if (remote.size or 0) <= most else b""
        if len(data) != remote.size:
            raise _not_whole(remote, f"{len(data)} of {remote.size} bytes were read")
        return data

    def copy(self, remote: Remote, part: Path, stop: threading.Event) -> None:
        """Copy a file, as a stream, to a place on this machine.

        Raises
        ------
        FileError
            If it does not come whole; that it did is known by its size.
        OSError
            If the disk refuses.
        """
        from fsspec.callbacks import Callback

        told = Callback()
        with self._errors(remote.path):
            self._stream(remote.path, part, told, stop)
        size, came = remote.size if remote.size is not None else told.size, part.stat().st_size
        if size is None:
            raise _not_whole(remote, "the server does not tell its size")
        if came != size:
            raise _not_whole(remote, f"{came} of {size} bytes came")

    def _stream(self, path: str, part: Path, told: Any, stop: threading.Event) -> None:
        if not self.system.async_impl:
            self.system.get_file(path, str(part), callback=told)
            return
        job = self.system._get_file(path, str(part), callback=told)  # noqa: SLF001  to be cancelled
        going = asyncio.run_coroutine_threadsafe(job, self.system.loop)
        while True:
            try:
                going.result(_GLANCE)
            except TimeoutError:
                if going.done():  # it is the store's own
                    raise
                if stop.is_set():
                    going.cancel()
                    raise
            else:
                return

    @contextlib.contextmanager
    def _errors(self, path: str = "") -> Iterator[None]:
        """Turn what a driver raises into an error of ours; what the disk says is passed on."""
        try:
            yield
        except HstCubeError:
            raise
        except Exception as error:
            if is_slip(error) or _of_the_disk(error):
                raise
            raise _as_ours(error, self.full(path) if path else self.address) from error


def local_name(address: str) -> str:
    """Return the name that the file of an address gets on this machine.

    Raises
    ------
    FileError
        If it ends in no name.

    Examples
    --------
    >>> local_name("https://server/files/a%20b.fits?download=1"), local_name("s3://bucket/1%.fits")
    ('a b.fits', '1%.fits')
    """
    path = address
    if _protocol_of(address) in _SERVERS:
        path = unquote(urlsplit(address).path.rpartition("/")[2])
    name = path.rpartition("/")[2] if "://" in path else path
    if not _is_name(name):
        fix = "give the address of a file"
        raise FileError("HC-F42", "ends in no name of a file", fix, address)
    return name


def _is_name(name: str) -> bool:
    """Say whether a name of a store can be one here, and leads nowhere else."""
    plain = not {"/", "\0"} & {*name} and not name.startswith(".")
    return plain and 0 < len(name.encode(errors="replace")) <= _LONGEST_NAME


def _protocol_of(address: str) -> str:
    found = _ADDRESS.fullmatch(address)
    if found is None or found[1].lower() in _HERE:
        reason = "is no address of a store"
        fix = "write s3://BUCKET/FOLDER or https://SERVER/FILE; what is here needs no fetching"
        raise FileError("HC-F41", reason, fix, address)
    return found[1].lower()


def _driver(protocol: str, address: str) -> Any:
    """Return the class of fsspec for a protocol."""
    try:
        from fsspec import get_filesystem_class

        return get_filesystem_class(protocol)
    except ImportError as error:
        reason = f"{protocol} is read by packages that are not installed ({error})"
        raise FileError("HC-F40", reason, _EXTRA, address) from error
    except ValueError as error:
        reason, fix = f"fsspec knows no protocol {protocol}", "give an address of s3 or https"
        raise FileError("HC-F41", reason, fix, address) from error


def _not_whole(remote: Remote, reason: str) -> FileError:
    fix = "fetch again: what came whole is kept"
    return FileError("HC-F44", f"did not come whole: {reason}", fix, remote.address)


def _of_the_disk(error: Exception) -> bool:
    """Say whether an error is one of this machine: those of stores name no file of it."""
    return isinstance(error, OSError) and bool(error.errno in _DISK or error.filename)


def _as_ours(error: Exception, address: str) -> FileError:
    chain = list(_causes(error))
    said = {_status(one) for one in chain}
    last = f"{type(chain[-1]).__name__}: {str(chain[-1])[:200]}"
    names = {type(one).__name__ for one in chain}
    if said & _FORBIDDEN or names & {*_NO_KEYS, "PermissionError"}:
        fix = "check your keys; of a store that is open to all: [[--anon|anon=True]]"
        return FileError("HC-F43", f"may not be read ({last})", fix, address)
    if said & _GONE or isinstance(chain[-1], FileNotFoundError):
        return FileError("HC-F42", "there is nothing at this address", "check it", address)
    if isinstance(chain[-1], TypeError):
        fix = "give what its driver of fsspec knows"
        return FileError("HC-F41", f"cannot be opened like this ({last})", fix, address)
    fix = "check the network, and fetch again: what came whole is kept"
    return FileError("HC-F44", f"the store does not answer, or broke off ({last})", fix, address)


def _causes(error: BaseException) -> Iterator[BaseException]:
    at: BaseException | None = error
    while at is not None:
        yield at
        at = at.__cause__


def _status(error: BaseException) -> int | None:
    """Return the status of HTTP that an error of aiohttp or of botocore has."""
    answer = getattr(error, "response", None)
    meta = answer.get("ResponseMetadata", {}) if isinstance(answer, dict) else {}
    found = getattr(error, "status", None) or meta.get("HTTPStatusCode")
    return found if isinstance(found, int) else None
