"""Where the work on many things is done: here, in processes, or by the workers of a cluster."""

from __future__ import annotations

from contextlib import closing, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from hstcube.fleet.cluster import connected, on_cluster
from hstcube.fleet.workers import each
from hstcube.lazy.arrays import made_by

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

__all__ = ["spread"]

T = TypeVar("T")
R = TypeVar("R")


@contextmanager
def spread(
    work: Callable[[T], R],
    things: Sequence[T],
    *,
    jobs: int,
    scheduler: Any,
    in_blocks: Callable[[T], bool],
) -> Iterator[Iterable[R]]:
    """Yield what `work` makes of each thing.

    On a cluster each worker makes a thing at a time. Where things in blocks are fewer than the
    workers, these come last: each is opened here, and all workers make its blocks.

    Parameters
    ----------
    work : callable
        Of a module.
    things : sequence
    jobs : int
        Processes.
    scheduler : str or dask.distributed.Client, optional
        Of a cluster, which goes before processes.
    in_blocks : callable
        Whether `work` computes a thing in blocks.
    """
    if scheduler is None:
        with closing(each(work, things, jobs)) as made:
            yield made
        return
    with connected(scheduler) as client, closing(_workers(work, things, client, in_blocks)) as made:
        yield made


def _workers(
    work: Callable[[T], R], things: Sequence[T], client: Any, in_blocks: Callable[[T], bool]
) -> Generator[R]:
    pieces: list[T] = []

    def whole() -> Iterator[T]:
        for thing in things:
            if not in_blocks(thing):
                yield thing
            else:
                pieces.append(thing)

    yield from on_cluster(work, whole(), client)
    if len(pieces) >= max(sum(client.nthreads().values()), 2):
        yield from on_cluster(work, pieces, client)
        return
    for thing in pieces:
        yield _by_blocks(work, thing, client)


def _by_blocks(work: Callable[[T], R], thing: T, client: Any) -> R:
    """Return what `work` makes here of a thing, whose blocks the workers make."""
    import dask

    others = dask.config.set(scheduler="threads")  # of this process, whatever the client is
    with others, made_by(partial(on_cluster, client=client)):
        return work(thing)
