"""Arrays of which only ranges can be read, cut like any other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["picked"]


def picked(
    index: tuple[Any, ...],
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    read: Callable[..., NDArray[Any]],
) -> NDArray[Any]:
    """Return what an index picks: along each axis a number, a slice, or numbers in any order.

    Parameters
    ----------
    index : tuple
        An entry for each axis.
    shape, dtype
        Of the whole.
    read : callable
        Takes (begin, end) along each axis, the end left out; returns what lies there.
    """
    picks = [np.arange(n)[one] for n, one in zip(shape, index, strict=True)]
    sizes = [n for pick in picks for n in pick.shape]
    if not all(pick.size for pick in picks):
        return np.empty(sizes, dtype)
    ranges = [(int(pick.min()), int(pick.max()) + 1) for pick in picks]
    box = read(*ranges)
    if not all(
        np.array_equal(pick, np.arange(*ends)) for pick, ends in zip(picks, ranges, strict=True)
    ):
        inner = [
            np.atleast_1d(pick) - start for pick, (start, _) in zip(picks, ranges, strict=True)
        ]
        box = box[np.ix_(*inner)]
    return box.reshape(sizes)
