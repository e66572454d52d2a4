"""The same work on many things, in one process or in several."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING, Literal, TypeVar

from hstcube.errors import HstCubeError, language
from hstcube.fleet.start import dask_when_needed, one_thread
from hstcube.inputs.quantities import whole_number

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

__all__ = ["each", "processes"]

T = TypeVar("T")
R = TypeVar("R")

_ALL_LOAD = ("astropy.io.fits", "scipy.fft", "scipy.ndimage", "scipy.optimize")  # once for all
_AHEAD = 2  # tasks that wait for each process


def processes(jobs: int) -> int:
    """Return a number of processes; 0 stands for all cores.

    Raises
    ------
    RecipeError
        If it is no whole number, or negative.
    """
    return whole_number(jobs, "jobs", least=0) or len(os.sched_getaffinity(0))


def each(work: Callable[[T], R], things: Iterable[T], jobs: int = 1) -> Generator[R]:
    """Yield what `work` makes of each thing: in order with one job, else as it is done.

    Processes are started anew, not forked, for libraries hold threads and locks; each uses one
    thread, for there is one for each core. When the caller closes this or is interrupted, what runs
    is finished and nothing new begins.

    Parameters
    ----------
    work : callable
        Of a module, so that processes find it.
    things : iterable
    jobs : int
        Processes.

    Raises
    ------
    HstCubeError
        If a process ends before its time: out of memory, mostly; or because it runs the script
        that called this, which every process reads anew.
    """
    if jobs == 1:
        yield from map(work, things)
        return
    with _one_thread_each():
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([work.__module__, *_ALL_LOAD])
        pool = ProcessPoolExecutor(
            jobs, mp_context=context, initializer=_start, initargs=(language.get(),)
        )
        waiting: set[Future[R]] = set()
        try:
            for thing in things:
                waiting.add(pool.submit(work, thing))
                if len(waiting) >= _AHEAD * jobs:
                    done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    yield from (one.result() for one in done)
            while waiting:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield from (one.result() for one in done)
        except BrokenProcessPool as error:
            reason = "a process of the run ended before its time, as for want of memory"
            fix = "use fewer with [[-j|jobs=]], and go on with [[--resume|resume=True]]"
            fix += "[[|; in a script, call it under: if __name__ == '__main__':]]"
            raise HstCubeError("HC-R02", reason, fix) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _start(words: Literal["python", "shell"]) -> None:
    """Leave Ctrl-C to the process that started the others, and speak as it does."""
    language.set(words)
    dask_when_needed()
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextlib.contextmanager
def _one_thread_each() -> Iterator[None]:
    """Let processes that start now use one thread."""
    ours = one_thread()
    try:
        yield
    finally:
        for name in ours:
            del os.environ[name]
