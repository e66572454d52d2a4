"""The same work on many things, by the workers of a dask cluster that share the file system."""

from __future__ import annotations

import contextlib
import os
import pickle
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from hstcube import __version__
from hstcube.errors import HstCubeError, HstCubeWarning, language, warn_caller
from hstcube.lazy.versions import require_version

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

__all__ = ["NO_CLUSTER", "connected", "on_cluster"]

T = TypeVar("T")
R = TypeVar("R")

NO_CLUSTER = ("HC-R04", "HC-R05", "HC-R06")  # what no other field would escape
_AHEAD = 2  # tasks that wait for each thread of the cluster
_PATIENCE = 30  # seconds until a scheduler answers
_ONE_AT_A_TIME = threading.Lock()  # netCDF-C and lists of warnings serve one thread


@contextlib.contextmanager
def connected(scheduler: Any) -> Iterator[Any]:
    """Yield the client of a cluster: a `dask.distributed.Client`, or one for the address given.

    Raises
    ------
    HstCubeError
        If dask.distributed is not installed, no scheduler answers at the address, or it is neither
        address nor client.
    """
    if not isinstance(scheduler, str):
        if not hasattr(scheduler, "submit") or getattr(scheduler, "asynchronous", False):
            reason = f"is {type(scheduler).__name__}, not the client of a cluster"
            fix = "give an address, as tcp://host:8786, or a dask.distributed.Client"
            raise HstCubeError("HC-R04", f"scheduler {reason}", fix)
        yield scheduler
        return
    try:
        import distributed
    except ImportError as error:
        reason = "dask.distributed, which speaks with a cluster, is not installed"
        raise HstCubeError("HC-R03", reason, 'pip install "hstcube[distributed]"') from error
    try:
        client: Any = distributed.Client(scheduler, timeout=_PATIENCE, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:  # nobody there; no address
        reason = f"no scheduler answers at {scheduler!r} ({type(error).__name__}: {error})"
        fix = "start one with: dask scheduler; give its address, as tcp://host:8786"
        raise HstCubeError("HC-R04", reason, fix) from error
    with client:
        yield client


def on_cluster(work: Callable[[T], R], things: Iterable[T], client: Any) -> Generator[R]:
    """Yield what `work` makes of each thing, as it is done by any worker.

    What a worker that dies was doing is done by another one. A worker does one thing at a time,
    in the folder that the caller is in. When the caller closes this or is interrupted, what was
    handed out is finished and nothing new begins.

    Parameters
    ----------
    work : callable
        It may be asked twice for one thing.
    things : iterable
    client : dask.distributed.Client

    Raises
    ------
    HstCubeError
        If workers die of a thing again and again, have no hstcube or one of another version, do not
        see the folder, or if the scheduler is gone.
    """
    from distributed import CancelledError, KilledWorker, wait
    from distributed.comm.core import CommClosedError
    from distributed.protocol.pickle import dumps  # takes functions within functions, too

    task = pickle.dumps(_Task(dumps(work), str(Path.cwd()), language.get(), __version__))
    waiting: set[Any] = set()

    def done(packed: bytes, thing: bytes) -> R:
        """Go to workers by value: one that has no hstcube fails here, where it can be told."""
        import pickle

        made: R = pickle.loads(packed)(pickle.loads(thing))
        return made

    def finished() -> Iterator[R]:
        nonlocal waiting
        with client.as_current():
            ready, waiting = wait(waiting, return_when="FIRST_COMPLETED")
        yield from (one.result() for one in ready)

    try:
        threads = sum(client.nthreads().values())
        _tell_of_workers(client)
        shared = client.submit(bytes, task, pure=False)  # once for each worker, not for each thing
        for thing in things:
            waiting.add(client.submit(done, shared, pickle.dumps(thing), pure=False))
            if len(waiting) >= _AHEAD * max(threads, 1):
                yield from finished()
                threads = sum(client.nthreads().values())  # workers come and go
        while waiting:
            yield from finished()
    except KilledWorker as error:
        reason = "a field ended the workers that tried it, as for want of memory"
        fix = "give workers more memory, and go on with [[--resume|resume=True]]"
        raise HstCubeError("HC-R02", reason, fix) from error
    except (CancelledError, CommClosedError, TimeoutError) as error:
        waiting = set()
        reason = f"the scheduler of the cluster is gone ({type(error).__name__}: {error})"
        fix = "start it again, and go on with [[--resume|resume=True]]"
        raise HstCubeError("HC-R04", reason, fix) from error
    except ModuleNotFoundError as error:
        reason = f"a worker of the cluster lacks a package: {error}"
        raise HstCubeError("HC-R05", reason, _SAME) from error
    finally:
        with client.as_current():
            wait(waiting)


_SAME = f"install hstcube {__version__} for the workers, as it is here"


@dataclass(frozen=True)
class _Task:
    """What a worker does with a thing, as the caller would in its own folder and words."""

    work: bytes
    """Unpacked where the version is the same."""
    folder: str
    words: Literal["python", "shell"]
    version: str

    def __call__(self, thing: Any) -> Any:
        require_version(self.version)
        import dask

        alone = dask.config.set(scheduler="synchronous")  # not the tasks of tasks of the cluster
        with _ONE_AT_A_TIME, _in_folder(self.folder), alone:
            language.set(self.words)
            return pickle.loads(self.work)(thing)


@contextlib.contextmanager
def _in_folder(folder: str) -> Iterator[None]:
    """Be in a folder for a while: paths are meant as the caller meant them."""
    before = Path.cwd()
    try:
        os.chdir(folder)
    except OSError as error:
        reason = f"a worker of the cluster does not see {folder} ({error.strerror})"
        fix = "run in a folder of a file system that the workers share"
        raise HstCubeError("HC-R06", reason, fix) from error
    try:
        yield
    finally:
        os.chdir(before)


def _tell_of_workers(client: Any) -> None:
    """Say what the user would wait for, or pay, without knowing."""
    workers = client.nthreads()
    said = []
    if not workers:
        said = [("HC-R07", "the cluster has no worker yet; the run waits for the first")]
    elif max(workers.values()) > 1:
        text = "workers with several threads make one field at a time; start them with one each"
        said = [("HC-R08", text)]
    for code, text in said:
        warn_caller(HstCubeWarning(code, text))
