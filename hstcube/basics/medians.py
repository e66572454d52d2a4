"""The median of values that come in parts, and their scatter around it, without holding them all.

A guess from some of the values says where both lie; of each part the values that could be the
median are kept, and the others are counted. The result is that of all values, or none where the
guess was wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    Values = NDArray[np.float64]

__all__ = ["Guess", "Part", "guesses", "medians", "part_of"]

# of all values, on either side of the median: what a guess keeps, and the next if it is wrong
_SPANS = (0.02, 0.1)
_ROOM = 1e-6  # by which distances may be farther: differences round


class Guess(NamedTuple):
    """Between which values the median lies, and that of the distances from it; all there are."""

    low: float = -np.inf
    high: float = np.inf
    near: float = 0.0
    far: float = np.inf


def guesses(sample: Values) -> Iterator[Guess]:
    """Yield guesses from some of the values, each wider than the last; of none, or at last, all."""
    for span in _SPANS if sample.size else ():
        ends = 0.5 - span, 0.5, 0.5 + span
        low, middle, high = np.quantile(sample, ends).tolist()
        near, _, far = np.quantile(np.abs(sample - middle), ends).tolist()
        yield Guess(low, high, near * (1 - _ROOM), far * (1 + _ROOM))
    yield Guess()


class Part(NamedTuple):
    """What a part of the values holds: how many, how many below, and those that may matter."""

    number: int
    below: int
    middle: Values
    nearer: int
    edges: Values


def part_of(values: Values, guess: Guess) -> Part:
    """Return what matters of some values."""
    low, high, near, far = guess
    middle = values[(values >= low) & (values <= high)]
    nearer = (values > high - near) & (values < low + near)
    edges = values[~nearer & (values >= low - far) & (values <= high + far)]
    below = np.count_nonzero(values < low)
    return Part(values.size, int(below), middle, int(np.count_nonzero(nearer)), edges)


def medians(parts: Sequence[Part], guess: Guess) -> tuple[float, float] | None:
    """Return the median of all values and of their distances from it; None if the guess is wrong.

    They are those that `np.median` finds.
    """
    number, below, _, nearer, _ = (
        sum(one) if isinstance(one[0], int) else one for one in zip(*parts, strict=True)
    )
    middle = _ranked([part.middle for part in parts], number, below)
    if middle is None:
        return None
    spread = _ranked([np.abs(part.edges - middle) for part in parts], number, nearer)
    if spread is None or not guess.near <= spread <= guess.far:
        return None
    return middle, spread


def _ranked(kept: list[Values], number: Any, before: Any) -> float | None:
    """Return the median of so many values, of which the smallest ones are not there."""
    values = np.concatenate(kept)
    low, high = (number - 1) // 2 - before, number // 2 - before
    if low < 0 or high >= values.size:
        return None
    values.partition((low, high))
    return float(values[low : high + 1].mean())
