"""Blank pixels as plain arrays: how far from sources they are, which are clipped, their scatter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hstcube.basics.robust import MAD_TO_SIGMA

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Image64 = NDArray[np.float64]
    Mask = NDArray[np.bool_]

__all__ = [
    "ENOUGH",
    "away_from_sources",
    "block_error",
    "clip_bounds",
    "distance_from_sources",
    "median",
]

ENOUGH = 500  # blank pixels: where fewer are that far, the farthest so many are used
CLIP = 3.0  # robust standard deviations


def distance_from_sources(blank: Mask, steps: tuple[float, float]) -> Image64:
    """Return how far every blank pixel is from all that is not, in units of `steps`."""
    from scipy import ndimage

    if blank.all():
        return np.full(blank.shape, np.inf)
    return np.asarray(ndimage.distance_transform_edt(blank, sampling=steps))


def away_from_sources(blank: Mask, distance: Image64, least: float) -> Mask:
    """Return the blank pixels at least so far from sources, or the farthest where they are few."""
    inside = distance[blank]
    farthest = np.partition(inside, -ENOUGH)[-ENOUGH] if inside.size > ENOUGH else 0.0
    return np.asarray(blank & (distance >= min(least, farthest)))


def clip_bounds(values: NDArray[Any]) -> tuple[float, float] | None:
    """Return the ends of what lies within 3 robust standard deviations; None of nothing."""
    values = np.sort(values)
    while values.size:
        # the median: they are sorted
        middle = values[(values.size - 1) // 2 : values.size // 2 + 1].mean()
        far = np.abs(values - middle)  # from the ends of sorted values inwards
        kept = values[far <= CLIP * MAD_TO_SIGMA * median(far)]
        if kept.size == values.size:
            return values[0], values[-1]
        values = kept
    return None


def median(values: NDArray[Any]) -> Any:
    """Return what `np.median` does of one axis without NaN, in half its time for a few thousand."""
    low, high = (values.size - 1) // 2, values.size // 2
    parted = np.partition(values, (low, high) if low != high else low)
    return (parted[low] + parted[high]) / 2


def block_error(values: Image64, block: NDArray[np.intp]) -> float:
    """Return the standard error of the median level, from the block that each value lies in."""
    counts = np.bincount(block)
    sums = np.bincount(block, weights=values - values.mean())[counts > 0]
    n = sums.size
    if n < 2:  # noqa: PLR2004
        return float("nan")
    efficiency = np.pi / 2  # variance of the median over that of the mean, for Gaussian noise
    return float(np.sqrt(efficiency * n / (n - 1) * np.sum(sums**2)) / values.size)
