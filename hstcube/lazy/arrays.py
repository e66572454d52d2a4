"""Images that dask holds in blocks, read in any region of them.

A step that looks around each pixel needs blocks with a margin. Where all that was done to images is
done to each pixel alone, or by such steps, a block with its margin is made of what the files hold
there, in one task: steps are composed, and their margins add up. dask's own overlap cuts every
block into pieces and hands these around, 44 tasks a block.

What cannot be read so (images that another program gave to dask, or rearranged) is not: `region_of`
says None, and dask's overlap serves.
"""

from __future__ import annotations

import contextlib
import operator
import uuid
from contextvars import ContextVar
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from hstcube import __version__
from hstcube.lazy.nodes import (
    At,
    Done,
    Held,
    Level,
    Memo,
    Node,
    Output,
    Pixels,
    Shown,
    Stacked,
    Stage,
)
from hstcube.lazy.versions import require_version

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence

    Each = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]

__all__ = [
    "SIDE",
    "At",
    "Node",
    "Stage",
    "arrays_of",
    "as_read",
    "blocks_of",
    "evaluated",
    "in_blocks_of",
    "lazily",
    "lazy_stack",
    "made_by",
    "pointwise",
    "region_of",
    "regions_of",
    "sources_of",
]

SIDE = 1024  # pixels of a block, where nobody says another number

F = TypeVar("F", bound="Callable[..., Any]")

_OPERATORS = {
    getattr(operator, name)
    for name in (
        *("abs", "add", "and_", "eq", "floordiv", "ge", "gt", "invert", "le", "lt", "mod", "mul"),
        *("ne", "neg", "or_", "pos", "pow", "sub", "truediv", "xor"),
    )
}

_each: ContextVar[Each | None] = ContextVar("each", default=None)


def pointwise(function: F) -> F:
    """Mark a function that makes each pixel of the same pixel alone, whatever block it is in."""
    function.__dict__["pointwise"] = True
    return function


def arrays_of(stage: Node, like: Any) -> tuple[Any, ...]:
    """Return what a stage gives as dask arrays in the blocks of another, one task a block."""
    from dask.task_spec import Task, TaskRef

    if stage.outputs == 1:
        return (_blocks_of_node(Output(stage, 0), like.chunks, like.dtype),)
    name = f"hstcube-stage-{uuid.uuid4().hex}"
    places = _places(like.chunks)
    tasks = {(name, *key): Task((name, *key), _together, stage, at) for key, at in places}
    arrays = []
    for i in range(stage.outputs):
        own = f"{name}-{i}"
        items = {
            (own, *key): Task((own, *key), operator.getitem, TaskRef((name, *key)), i)
            for key, _ in places
        }
        layers = {name: tasks, own: items}
        arrays.append(_array(layers, Output(stage, i), like.chunks, like.dtype))
    return tuple(arrays)


def lazily(source: Any, sizes: tuple[int, ...] = (1, SIDE, SIDE)) -> Any:
    """Return what can be read in pieces, an image (y, x) or several, as an array of dask."""
    import dask.array as da

    return da.from_array(
        source,
        sizes[-source.ndim :],
        name=f"hstcube-source-{uuid.uuid4().hex}",
        inline_array=True,
        asarray=False,
        meta=np.empty((0,) * source.ndim, source.dtype),
    )


def in_blocks_of(like: Any, values: Any) -> Any:
    """Return pixels in memory, (y, x) or (band, y, x), in the blocks of an array of dask."""
    return lazily(Shown(values, like.shape), like.chunks)


def lazy_stack(planes: Sequence[Any], chunks: Mapping[str, int]) -> Any:
    """Return dask's planes (y, x) as one array (band, y, x), in blocks of so many pixels."""
    import dask.array as da

    sizes = (chunks.get("band", 1), chunks.get("y", SIDE), chunks.get("x", SIDE))
    nodes = [region_of(plane) for plane in planes]
    found = [node for node in nodes if node is not None]
    if len(found) < len(nodes) or sizes[0] != 1:
        return da.stack(planes).rechunk(dict(enumerate(sizes)))
    shape = (len(planes), *planes[0].shape)
    blocks = da.core.normalize_chunks(sizes, shape, dtype=planes[0].dtype)
    return _blocks_of_node(Stacked(found), blocks, planes[0].dtype)


def as_read(array: Any) -> Any:
    """Return an array (band, y, x) of dask that makes no more of its blocks than is cut of them.

    dask joins its cuts with what reads files. What looks around each pixel stays as it is: several
    arrays that are made of one stage would make it once each; and what cannot be read in regions.
    """
    from dask.array.core import getter
    from dask.task_spec import DataNode, Task

    (node,) = regions_of([array]) or (None,)
    if node is None or node.looks_around():
        return array
    pixels = DataNode(f"{array.name}-pixels", Pixels(node, array.shape, array.dtype))
    tasks = {
        (array.name, *key): Task((array.name, *key), getter, pixels, at.slices)
        for key, at in _places(array.chunks)
    }
    return _array({array.name: tasks}, node, array.chunks, array.dtype)


def _blocks_of_node(node: Node, chunks: Any, dtype: Any) -> Any:
    from dask.task_spec import Task

    name = f"hstcube-regions-{uuid.uuid4().hex}"
    places = _places(chunks)
    tasks = {(name, *key): Task((name, *key), _together, node, at) for key, at in places}
    return _array({name: tasks}, node, chunks, dtype)


def _array(layers: Mapping[str, dict[Any, Any]], node: Node, chunks: Any, dtype: Any) -> Any:
    """Return the last of some layers as an array; it bears the node that gives its regions."""
    import dask.array as da
    from dask.highlevelgraph import HighLevelGraph, MaterializedLayer

    made = {name: MaterializedLayer(tasks) for name, tasks in layers.items()}
    *first, last = made
    made[last].hstcube = node
    needs: dict[str, set[str]] = {name: set() for name in first} | {last: set(first)}
    graph = HighLevelGraph(made, needs)
    return da.Array(graph, last, chunks, dtype=dtype, meta=np.empty((0,) * len(chunks), dtype))


def _together(stage: Node, at: At) -> Any:
    return Memo([stage], at).given(stage, at)


@contextlib.contextmanager
def made_by(each: Each) -> Iterator[None]:
    """Let others than dask make the blocks that are `evaluated` inside.

    Parameters
    ----------
    each : callable
        Yields what a function makes of each of some things, in any order.
    """
    token = _each.set(each)
    try:
        yield
    finally:
        _each.reset(token)


def blocks_of(arrays: Sequence[Any], sides: tuple[int, int] | None = None) -> list[At]:
    """Return the blocks that `evaluated` makes of arrays, in its order."""
    return [at for _, at in _places(_chunks_of(arrays, sides))]


def _chunks_of(arrays: Sequence[Any], sides: tuple[int, int] | None) -> Any:
    import dask.array as da

    if sides is not None:
        return da.core.normalize_chunks((1, *sides), arrays[0].shape)
    like = next(array for array in arrays if hasattr(array, "dask"))
    return like.rechunk({0: 1}).chunks


def evaluated(
    function: Callable[..., Any],
    arrays: Sequence[Any],
    sides: tuple[int, int] | None = None,
    *,
    leave: Container[At] = (),
) -> list[Any]:
    """Return what a function makes of each block (1, y, x) of some arrays, in the order of blocks.

    Parameters
    ----------
    function : callable
        Takes the place of the block, and the block of every array.
    arrays : sequence of array, (band, y, x)
        Of numpy or dask, one of dask at least without `sides`. Where they can be read in regions,
        one task makes all of a block.
    sides : (int, int), optional
        Rows and columns of a block; as in the first array of dask when not given.
    leave : container of At
        Blocks that are left out.
    """
    import dask
    import dask.array as da

    chunks = _chunks_of(arrays, sides)
    function = partial(_in_version, __version__, function)
    nodes = [
        region_of(array) if hasattr(array, "dask") else Held(np.asarray(array)) for array in arrays
    ]
    places = [(key, at) for key, at in _places(chunks) if at not in leave]
    known = [node for node in nodes if node is not None]
    each = _each.get()
    if len(known) == len(nodes) and each is not None:
        numbered = enumerate(at for _, at in places)
        made = dict(each(partial(_numbered_block, function, known), numbered))
        return [made[number] for number in range(len(places))]
    if len(known) == len(nodes):
        # what all tasks share is one piece of the graph: a cluster gets it once, not for each block
        work = dask.delayed(partial(_block, function, known), pure=False, traverse=False)
        return list(dask.compute(*(work(at) for _, at in places)))
    blocks = [da.asarray(array).rechunk(chunks).to_delayed() for array in arrays]
    run = dask.delayed(function, pure=False)
    return list(dask.compute(*[run(at, *(one[key] for one in blocks)) for key, at in places]))


def _in_version(asked: str, function: Callable[..., Any], *given: Any) -> Any:
    require_version(asked)  # on a cluster
    return function(*given)


def _block(function: Callable[..., Any], nodes: list[Node], at: At) -> Any:
    memo = Memo(nodes, at)
    return function(at, *(memo.given(node, at) for node in nodes))


def _numbered_block(
    function: Callable[..., Any], nodes: list[Node], numbered: tuple[int, At]
) -> tuple[int, Any]:
    number, at = numbered
    return number, _block(function, nodes, at)


def sources_of(arrays: Iterable[Any]) -> list[Any]:
    """Return what arrays are read from, each once, where that can check itself."""
    found: dict[int, Any] = {}
    waiting = [region_of(array) for array in arrays if hasattr(array, "dask")]
    seen: set[int] = set()
    while waiting:
        node = waiting.pop()
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        waiting += node.below()
        source = getattr(node, "source", None)
        if hasattr(source, "require_sum"):
            found[id(source)] = source
    return list(found.values())


def _places(chunks: Any) -> list[tuple[tuple[int, ...], At]]:
    """Return the blocks of an array (band, y, x), one band each, by their number."""
    ends = [np.cumsum((0, *sizes)).tolist() for sizes in chunks[1:]]
    numbers = product(*(range(len(sizes)) for sizes in chunks))
    return [
        ((i, j, k), At(i, ends[0][j], ends[0][j + 1], ends[1][k], ends[1][k + 1]))
        for i, j, k in numbers
    ]


def regions_of(arrays: Sequence[Any]) -> list[Node] | None:
    """Return what gives the regions of arrays (band, y, x) in blocks of one band; None without."""
    if len({getattr(array, "chunks", None) for array in arrays}) != 1:
        return None
    nodes = [region_of(array) if {*array.chunks[0]} == {1} else None for array in arrays]
    found = [node for node in nodes if node is not None]
    return found if len(found) == len(nodes) else None


def region_of(array: Any) -> Node | None:
    """Return what gives the regions of an array of dask; None where nothing does."""
    return _Walk(array.dask, array.shape[-2:], array.numblocks).node(array.name)


class _Walk:
    """The way from an array back to what its pixels are made of."""

    def __init__(self, graph: Any, shape: tuple[int, int], blocks: tuple[int, ...]) -> None:
        self.graph, self.shape, self.blocks = graph, shape, blocks
        self.known: dict[str, Node | None] = {}

    def node(self, name: str) -> Node | None:
        if name not in self.known:
            self.known[name] = self._found(name)
        return self.known[name]

    def _found(self, name: str) -> Node | None:
        from dask.blockwise import Blockwise

        layer = self.graph.layers[name]
        marked = getattr(layer, "hstcube", None)
        if isinstance(marked, Node):
            return marked
        if not isinstance(layer, Blockwise):
            return None
        if layer.io_deps:
            return self._held(layer)
        plain = not layer.new_axes and not layer.concatenate
        if not plain or not _is_pointwise(getattr(layer.task, "func", None)):
            return None
        return self._done(name, layer)

    def _held(self, layer: Any) -> Node | None:
        """Return the array that a layer cuts its blocks out of."""
        sources = [value for value, index in layer.indices if index is None]
        if len(sources) != 1 or not getattr(sources[0], "in_regions", False):
            return None
        return Held(sources[0]) if sources[0].shape[-2:] == self.shape else None

    def _done(self, name: str, layer: Any) -> Node | None:
        from dask.blockwise import blockwise_token

        given: dict[str, Any] = {}
        for i, (value, index) in enumerate(layer.indices):
            one = value
            if index is not None:
                if index != layer.output_indices[-len(index) :]:
                    return None
                one = self._argument(value, layer.numblocks[value])
                if one is None:
                    return None
            given[blockwise_token(i)] = one
        return Done(name, layer.task, given)

    def _argument(self, name: str, blocks: tuple[int, ...]) -> Node | None:
        if blocks == self.blocks[-len(blocks) :]:
            return self.node(name)
        return self._level(name, blocks)

    def _level(self, name: str, blocks: tuple[int, ...]) -> Node | None:
        """Return an array that has one value a band."""
        import dask

        if blocks[-2:] != (1, 1):
            return None
        keys = [(name, *key) for key in product(*map(range, blocks))]
        values = list(dask.get(self.graph.cull(set(keys)), keys))
        if any(np.shape(value) != (1,) * len(blocks) for value in values):
            return None
        return Level(values)


def _is_pointwise(function: Any) -> bool:
    from dask.array import chunk

    if isinstance(function, np.ufunc) or getattr(function, "pointwise", False):
        return True
    try:
        return function in {*_OPERATORS, np.where, chunk.astype}
    except TypeError:  # of a kind that sets do not take
        return False
