"""What gives the pixels of any region of images, and what is made for one block of them.

Steps that look around each pixel ask others for wider regions: so margins add up.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hstcube.lazy.picks import picked

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Range = tuple[int, int]

__all__ = [
    "At",
    "Done",
    "Held",
    "Level",
    "Memo",
    "Node",
    "Output",
    "Pixels",
    "Shown",
    "Stacked",
    "Stage",
]


class At(NamedTuple):
    """A piece of one band: rows and columns from (top, left) up to (bottom, right)."""

    band: int
    top: int
    bottom: int
    left: int
    right: int

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """What cuts the piece out of an array (band, y, x)."""
        rows, columns = slice(self.top, self.bottom), slice(self.left, self.right)
        return slice(self.band, self.band + 1), rows, columns


class Memo:
    """What is made for one block: of each node once, in the widest region that is asked of it.

    It is kept as long as somebody will ask for it again.
    """

    def __init__(self, nodes: Sequence[Node], at: At) -> None:
        self.regions: dict[str | int, At] = {node.key: at for node in nodes}
        self.asks: dict[str | int, int] = Counter(node.key for node in nodes)
        self.made: dict[str | int, Any] = {}
        self.nodes: dict[str | int, Node] = {}
        for node in _consumers_first(nodes, at):
            self.nodes[node.key] = node
            for other, region in node.asks(self.regions[node.key]):
                key = other.key
                self.asks[key] = self.asks.get(key, 0) + 1
                self.regions[key] = _around(self.regions.get(key, region), region)

    def given(self, node: Node, at: At) -> Any:
        """Return the pixels of a node."""
        key = node.key
        whole = self.regions[key]
        made = self.made.pop(key) if key in self.made else self.nodes[key].made(whole, self)
        self.asks[key] -= 1
        if self.asks[key]:
            self.made[key] = made
        return made if whole == at else _cut(made, whole, at)


def _consumers_first(nodes: Sequence[Node], at: At) -> list[Node]:
    """Return all that some nodes need, and them, each before what it needs itself."""
    done: list[Node] = []
    seen: set[str | int] = set()
    waiting = [(node, False) for node in nodes]
    while waiting:
        node, is_last = waiting.pop()
        if is_last:
            done.append(node)
        elif node.key not in seen:
            seen.add(node.key)
            waiting.append((node, True))
            waiting += [(other, False) for other, _ in node.asks(at)]
    return done[::-1]


def _around(one: At, other: At) -> At:
    return At(
        one.band,
        min(one.top, other.top),
        max(one.bottom, other.bottom),
        min(one.left, other.left),
        max(one.right, other.right),
    )


def _cut(made: Any, whole: At, at: At) -> Any:
    """Return the part of what was made for a region that lies in another."""
    if isinstance(made, tuple):
        return tuple(_cut(one, whole, at) for one in made)
    if made.shape[-2:] == (1, 1) != (whole.bottom - whole.top, whole.right - whole.left):
        return made
    rows = slice(at.top - whole.top, at.bottom - whole.top)
    return made[..., rows, at.left - whole.left : at.right - whole.left]


class Node:
    """What gives the pixels of a region: arrays (1, y, x), or (y, x) of one plane.

    Where `outputs` is above 1 it gives a tuple of so many.
    """

    outputs = 1

    @property
    def key(self) -> str | int:
        """What it has in common with all others that give the same."""
        return id(self)

    def below(self) -> list[Node]:
        """Return what it is made of."""
        return []

    def asks(self, at: At) -> list[tuple[Node, At]]:
        """Return what it asks of others for a region, as often as it asks."""
        return [(node, at) for node in self.below()]

    def looks_around(self) -> bool:
        """Say whether a pixel is made of others than itself."""
        return any(node.looks_around() for node in self.below())

    def made(self, at: At, memo: Memo) -> Any:
        """Return the pixels; `memo` gives those of others."""
        raise NotImplementedError


class Held(Node):
    """An array on disk or in memory that is read in pieces."""

    def __init__(self, source: Any) -> None:
        self.source = source

    def made(self, at: At, memo: Memo) -> Any:
        """Return the pixels of a region."""
        del memo
        return np.asarray(self.source[at.slices[-self.source.ndim :]])


class Level(Node):
    """One number a band, or one for all."""

    def __init__(self, values: list[Any]) -> None:
        self.values = values

    def made(self, at: At, memo: Memo) -> Any:
        """Return the pixels of a region."""
        del memo
        return self.values[at.band if len(self.values) > 1 else 0]


class Done(Node):
    """What a function of single pixels makes of others."""

    def __init__(self, name: str, task: Any, given: dict[str, Any]) -> None:
        self.name, self.task, self.given = name, task, given

    @property
    def key(self) -> str:
        """The name of dask's array: each way back to it makes nodes of its own."""
        return self.name

    def below(self) -> list[Node]:
        """Return what it is made of."""
        return [one for one in self.given.values() if isinstance(one, Node)]

    def made(self, at: At, memo: Memo) -> Any:
        """Return the pixels of a region."""
        values = {
            name: memo.given(one, at) if isinstance(one, Node) else one
            for name, one in self.given.items()
        }
        return self.task(values)


class Stacked(Node):
    """Planes (y, x) as the bands of one array."""

    def __init__(self, planes: Sequence[Node]) -> None:
        self.planes = planes

    def below(self) -> list[Node]:
        """Return what it is made of."""
        return list(self.planes)

    def asks(self, at: At) -> list[tuple[Node, At]]:
        """Return what it asks of others for a region."""
        return [(self.planes[at.band], at)]

    def made(self, at: At, memo: Memo) -> Any:
        """Return the pixels of a region."""
        return memo.given(self.planes[at.band], at)[None]


class Stage(Node):
    """A function of images, run on regions with a margin; it gives a tuple of arrays (1, y, x).

    The first planes, as many as `alone` says, come without the margin: the results have none then.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        planes: Sequence[Node],
        parameters: Sequence[Any],
        shape: tuple[int, int],
        halo: tuple[int, int],
        outputs: int,
        alone: int = 0,
    ) -> None:
        self.function, self.planes, self.parameters = function, planes, parameters
        self.shape, self.halo, self.outputs, self.alone = shape, halo, outputs, alone

    def below(self) -> list[Node]:
        """Return what it is made of."""
        return list(self.planes)

    def asks(self, at: At) -> list[tuple[Node, At]]:
        """Return what it asks of others for a region."""
        wider = self._wider(at)
        return [(plane, at if i < self.alone else wider) for i, plane in enumerate(self.planes)]

    def looks_around(self) -> bool:
        """Say whether a pixel is made of others than itself."""
        return any(self.halo) or super().looks_around()

    def _wider(self, at: At) -> At:
        (tall, wide), (ny, nx) = self.halo, self.shape
        return At(
            at.band,
            max(at.top - tall, 0),
            min(at.bottom + tall, ny),
            max(at.left - wide, 0),
            min(at.right + wide, nx),
        )

    def made(self, at: At, memo: Memo) -> Any:
        """Return the pixels of a region."""
        (tall, wide), wider = self.halo, self._wider(at)
        # beyond the frame there is nothing: zeros, no data
        margin = (
            (tall - at.top + wider.top, tall + at.bottom - wider.bottom),
            (wide - at.left + wider.left, wide + at.right - wider.right),
        )
        planes = [memo.given(plane, place)[0] for plane, place in self.asks(at)]
        if any(map(any, margin)):
            around = [np.pad(plane, margin) for plane in planes[self.alone :]]
            planes[self.alone :] = around
        dtype = planes[0].dtype
        made = self.function(*planes, *(parameter[at.band] for parameter in self.parameters))
        inner = (slice(tall, tall + at.bottom - at.top), slice(wide, wide + at.right - at.left))
        results = made if self.outputs > 1 else (made,)
        return tuple(
            np.ascontiguousarray(one if self.alone else one[inner])[None].astype(dtype, copy=False)
            for one in results
        )


class Output(Node):
    """One of the arrays that a stage gives."""

    def __init__(self, stage: Node, number: int) -> None:
        self.stage, self.number = stage, number

    def below(self) -> list[Node]:
        """Return what it is made of."""
        return [self.stage]

    def made(self, at: At, memo: Memo) -> Any:
        """Return the pixels of a region."""
        return memo.given(self.stage, at)[self.number]


class Pixels:
    """What a node gives, cut like an array (band, y, x)."""

    ndim = 3

    def __init__(self, node: Node, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.node, self.shape, self.dtype = node, shape, dtype

    def __getitem__(self, index: tuple[Any, ...]) -> Any:
        """Return what an index picks; see `picked`."""
        return picked(index, self.shape, self.dtype, self._box)

    def _box(self, bands: Range, rows: Range, columns: Range) -> Any:
        places = [At(band, *rows, *columns) for band in range(*bands)]
        made = [Memo([self.node], at).given(self.node, at) for at in places]
        return made[0] if len(made) == 1 else np.concatenate(made)


class Shown:
    """Pixels in memory, cut like an array (band, y, x): those of one plane are shown by each."""

    in_regions, ndim = True, 3

    def __init__(self, values: Any, shape: tuple[int, ...]) -> None:
        self.values, self.shape, self.dtype = values, shape, values.dtype

    def __getitem__(self, index: tuple[Any, ...]) -> Any:
        """Return what an index picks."""
        return np.broadcast_to(self.values, self.shape)[index]
