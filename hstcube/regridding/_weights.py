"""The linear operators from one pixel grid to another: which input pixels each output pixel sees.

One sparse matrix a tile of the output, shared by all bands. The squares of its elements carry the
variance, pixel by pixel: a constant factor would be wrong by up to 50 % where the two lattices
beat.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = [
    "COARSER",
    "SNAP",
    "Method",
    "Taps",
    "in_frame",
    "offsets_of",
    "reach_of",
    "snapped",
    "sparse_weights",
    "taps_around",
]

Method = Literal["adaptive", "exact", "bilinear", "nearest"]

COARSER = 1.5  # times the input's scale: output pixels larger than that see several input pixels

# pixels, the larger of the two: the default of reproject_adaptive, whose kernel_width is 2 sigma
_KERNEL_SIGMA = 0.65
_KERNEL_REACH = 4 * _KERNEL_SIGMA
SNAP = 1e-9  # pixels: closer to a pixel's centre than that is on it
_FLAT = 1e-7  # a side with that slope counts as level: a difference would lose its digits


class Taps(NamedTuple):
    """Input pixels of each output pixel, (pixel, tap); their weights are not normalised."""

    y: NDArray[np.int64]
    x: NDArray[np.int64]
    weight: Array


def taps_around(y: Array, x: Array, jacobian: Array, method: Method) -> Taps:
    """Return the weights of the input pixels around each place.

    Parameters
    ----------
    y, x : array, (pixel,)
        Places on the input grid.
    jacobian : array, (2, 2)
        Change of (y, x) on the input for a step along y and along x of the output.
    method : str
        nearest; bilinear; exact: the shared area (as drizzle does it, Fruchter & Hook 2002, PASP
        114, 144); adaptive: a Gaussian of sigma 0.65 pixels, of the larger of the two in any
        direction (DeForest 2004, Solar Physics 219, 3).
    """
    offsets_y, offsets_x = offsets_of(jacobian, method)
    corner = np.floor if method == "bilinear" else np.rint
    base_y, base_x = corner(y).astype(np.int64), corner(x).astype(np.int64)
    tap_y, tap_x = base_y[:, None] + offsets_y, base_x[:, None] + offsets_x
    if method == "nearest":
        return Taps(tap_y, tap_x, np.ones(tap_y.shape))
    away_y, away_x = tap_y - y[:, None], tap_x - x[:, None]
    if method == "bilinear":
        weight = (1 - np.abs(away_y)) * (1 - np.abs(away_x))
    elif method == "exact":
        weight = _shared_area(away_y, away_x, jacobian)
    else:
        weight = _gaussian(away_y, away_x, jacobian)
    return Taps(tap_y, tap_x, weight)


def _gaussian(away_y: Array, away_x: Array, jacobian: Array) -> Array:
    """Return a Gaussian that is 0.65 pixels wide, of the larger of the two in any direction."""
    inverse = _padded_inverse(jacobian)
    u = inverse[0, 0] * away_y + inverse[0, 1] * away_x
    v = inverse[1, 0] * away_y + inverse[1, 1] * away_x
    distance = u * u + v * v
    weight = np.exp(distance * (-0.5 / _KERNEL_SIGMA**2)) * (distance <= _KERNEL_REACH**2)
    return np.asarray(weight)


def offsets_of(jacobian: Array, method: Method) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return which pixels can have a weight, from the nearest one (bilinear: the one below)."""
    if method == "nearest":
        return np.zeros(1, np.int64), np.zeros(1, np.int64)
    if method == "bilinear":
        return np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    ry, rx = reach_of(jacobian, method)
    dy, dx = (axis.ravel() for axis in np.mgrid[-ry : ry + 1, -rx : rx + 1])
    if method == "exact":
        near = _touching(dy, dx, jacobian)
    else:
        u, v = _padded_inverse(jacobian) @ np.stack([dy, dx])
        # a place is up to half a diagonal off its pixel, and the inverse makes no way longer
        near = np.hypot(u, v) < _KERNEL_REACH + math.sqrt(0.5)
    return dy[near], dx[near]


def _touching(dy: Array, dx: Array, jacobian: Array) -> NDArray[np.bool_]:
    """Return which pixels, moved by up to half a pixel, can meet the image of an output pixel.

    Two of the separating axes are those of the output pixel; the others are the rows and columns.
    """
    inverse = np.linalg.inv(jacobian)
    u, v = inverse @ np.stack([dy, dx])
    slack = 0.5 + np.abs(inverse).sum(1)
    return np.asarray((np.abs(u) < slack[0]) & (np.abs(v) < slack[1]))


def reach_of(jacobian: Array, method: Method) -> tuple[int, int]:
    """Return how far along y and x the weights can reach from the nearest pixel."""
    if method in ("nearest", "bilinear"):
        return 1, 1
    if method == "exact":
        far = np.abs(jacobian).sum(1) / 2 + 1.0
    else:
        far = _KERNEL_REACH * np.linalg.norm(np.linalg.inv(_padded_inverse(jacobian)), axis=1) + 0.5
    return math.floor(far[0]), math.floor(far[1])


def _padded_inverse(jacobian: Array) -> Array:
    """Return the map from the input to the output, shrunk nowhere below one input pixel."""
    left, sizes, right = np.linalg.svd(jacobian)
    return np.asarray((right.T / np.maximum(sizes, 1.0)) @ left.T)


def _shared_area(away_y: Array, away_x: Array, jacobian: Array) -> Array:
    """Return the area that unit squares share with the image of an output pixel around the origin.

    The sum over the sides of that parallelogram of the signed area between the side and the
    square's lower edge.
    """
    along_y, along_x = jacobian[:, 0] / 2, jacobian[:, 1] / 2
    corners = [s * along_y + t * along_x for s, t in ((-1, -1), (-1, 1), (1, 1), (1, -1))]
    area = np.zeros(away_y.shape)
    low_y, low_x = away_y - 0.5, away_x - 0.5
    for (y0, x0), (y1, x1) in zip(corners, [*corners[1:], corners[0]], strict=True):
        if abs(x1 - x0) < SNAP:
            continue  # an upright side has no area below it
        slope = (y1 - y0) / (x1 - x0)
        left, right = np.clip(x0 - low_x, 0, 1), np.clip(x1 - low_x, 0, 1)
        start, end = (y0 - low_y + slope * (edge + low_x - x0) for edge in (left, right))
        if abs(slope) < _FLAT:
            area += (right - left) * np.clip((start + end) / 2, 0, 1)
        else:
            area += (_below(end) - _below(start)) / slope
    return np.abs(area)


def _below(y: Array) -> Array:
    """Return the integral of clip(y, 0, 1) from 0 to y."""
    cut = np.clip(y, 0, 1)
    return np.asarray(cut * (y - cut / 2))


# -- what is made of them


def sparse_weights(taps: Taps, shape: tuple[int, int]) -> tuple[Any, Any, Array]:
    """Return the weights and their squares, sparse, and the sum of each pixel's in the frame."""
    from scipy.sparse import csr_array

    ny, nx = shape
    inside = in_frame(taps.y, taps.x, shape)
    whole = bool(inside.all())
    weight = taps.weight if whole else np.where(inside, taps.weight, 0.0)
    index = taps.y * nx + taps.x if whole else np.where(inside, taps.y * nx + taps.x, 0)
    size, number = weight.shape
    pointers = np.arange(0, size * number + 1, number, dtype=np.int32)
    index = index.astype(np.int32).ravel()

    def matrix(elements: Array) -> Any:
        return csr_array((elements.ravel(), index, pointers), shape=(size, ny * nx))

    return matrix(weight), matrix(weight**2), weight.sum(1)


def in_frame(y: NDArray[Any], x: NDArray[Any], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return which pixels lie on an image of that shape."""
    return (y >= 0) & (y < shape[0]) & (x >= 0) & (x < shape[1])


def snapped(place: Array) -> Array:
    """Return places, those at a pixel's centre but for rounding put there: shifts are exact."""
    nearest = np.rint(place)
    close = np.abs(place - nearest) < SNAP * np.maximum(1, np.abs(nearest))
    return np.where(close, nearest, place)
