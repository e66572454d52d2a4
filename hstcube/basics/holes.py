"""What a convolution cannot see: light in holes, and the share of its kernel a pixel saw.

A matched pixel is sum over what has data of K s, over the part of K that saw it. It is wrong by sum
over the hole of K (s - m), m the pixel's own value, which stands for what the hole hides. How large
that may be is told by what lies beside the hole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hstcube.basics.convolution import convolver, in_full, margin_of, parts_seen

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Image64 = NDArray[np.float64]

__all__ = ["LOOKS", "judged", "share_seen", "sums_seen"]

_NEAR = 5  # pixels, side of the box: within 2 pixels of a hole
_AROUND = 9  # ... within 4, where the light of a star has fallen off
_CORE = 3  # pixels from data: nothing beside the hole tells what is there
_BESIDE = 4  # pixels from a hole: these are dropped where it hides the core of a star
_DEEPEST = 8  # ... what is deeper is the rim of the images, not the core of a star
LOOKS = 3 * _DEEPEST + _AROUND  # pixels: how far what is filled in depends on others
_RISE, _PEAK = 5.0, 100.0  # the core of a PSF is some 100 times what it has 2 to 5 pixels away
_STEEP = 3.0  # ... so that three times the step from 4 to 2 pixels is all of the light there
_OF_NOISE = 3.0  # sigma: such a step may be noise
_SAFETY = 3.0
_FELT = 1e-3  # of the kernel's sum: what a hole has of it at least, where it is felt
_ROUNDED = 1e-9


class _Plane(NamedTuple):
    """An image with holes, and how deep they are."""

    sci: Any
    """0 where there is no data."""
    wht: Any
    data: NDArray[np.bool_]
    depth: NDArray[np.uint8]
    """Pixels from data, along rows, columns and diagonals; what is deeper than a hole is alike."""
    empty: NDArray[np.bool_]
    """No data, inside the frame: images in blocks have margins."""
    hole: NDArray[np.bool_]
    bounded: NDArray[np.bool_]
    """Of the holes: those that are no rim of the images."""


class _Hidden(NamedTuple):
    """What holes may hide."""

    largest: Image64
    """Of the pixels of holes, one after another."""
    least: Image64
    steep: NDArray[np.bool_]
    """(y, x): where light rises, or falls, towards the hole."""


def judged(
    matched: Any,
    weights: Any,
    sci: Any,
    wht: Any,
    inside: Any,
    kernel: Image64,
    scale: float,
    scale_after: float,
) -> tuple[Any, Any]:
    """Return a matched image and its weights: errors that hold what was missed, or no data.

    Where 3 times abs(sum over the hole of K (s - m)) exceeds the error, that is the error. For s
    stand the largest and the least value within 2 pixels of the hole, of which the worse counts.
    Where light rises towards the hole by more than noise does, as beside the lost core of a star,
    it is taken to rise on with the fifth power of the depth, up to 100 times. All this is nothing
    on a constant, whatever its level. Where light rises towards a hole that is 5 pixels across or
    more, too little is seen of it: within 4 pixels of such a hole pixels are dropped. What lies
    beyond the frame is no hole, nor what is more than 8 pixels from data.

    Parameters
    ----------
    matched, weights : array, (y, x)
        After the convolution.
    sci, wht : array, (y, x)
        Before, with or without a margin around.
    inside : array, (y, x)
        Above 0 inside the frame; of the shape of `sci`.
    kernel : array, (ky, kx)
    scale, scale_after : float
        Sigma of a pixel times sqrt(weight), before and after.
    """
    plane = _plane(sci, wht, inside > 0)
    if not plane.hole.any():
        return matched, weights
    margin = margin_of(sci, matched)
    hidden = _hidden(plane, scale)
    missed, share = _missed(plane, kernel, hidden, margin)
    with np.errstate(divide="ignore", over="ignore"):
        most = np.maximum((scale_after / missed) ** 2, np.finfo(weights.dtype).tiny)
    (rows, columns), (ny, nx) = margin, sci.shape
    beside = _beside_cores(plane, hidden)[rows : ny - rows, columns : nx - columns]
    drop = beside & (share > _FELT)
    kept = np.where(drop, 0, np.minimum(weights, most)).astype(weights.dtype)
    return np.where(drop, np.nan, matched).astype(matched.dtype), kept


def _plane(sci: Any, wht: Any, inside: NDArray[np.bool_]) -> _Plane:
    """Return an image, and its holes; none where all is data, or nothing."""
    data = wht > 0
    if data.all() or not data.any():
        none = np.zeros(data.shape, bool)
        return _Plane(sci, wht, data, none.view(np.uint8), none, none, none)
    from scipy import ndimage

    distance = ndimage.distance_transform_cdt(~data, "chessboard")
    depth = np.minimum(distance, _DEEPEST + 1).astype(np.uint8)
    empty = inside & ~data
    hole = empty & (depth <= _DEEPEST)
    deep = _largest(empty & (depth > _DEEPEST), 2 * _DEEPEST + 1)
    return _Plane(np.where(data, sci, 0), wht, data, depth, empty, hole, hole & ~deep)


def _hidden(plane: _Plane, scale: float) -> _Hidden:
    """Return what holes may hide."""
    # the largest sigma nearby is that of the least weight
    weights = -_largest(np.where(plane.data, -plane.wht, -np.inf), _AROUND)[plane.hole]
    noise = scale / np.sqrt(weights, dtype=np.float64)
    largest, rising = _upper(plane, plane.sci, noise)
    least, falling = _upper(plane, -plane.sci, noise)
    steep = plane.hole.copy()
    steep[plane.hole] = rising | falling
    return _Hidden(largest, -least, steep)


def _upper(plane: _Plane, values: Any, noise: Image64) -> tuple[Image64, NDArray[np.bool_]]:
    """Return the largest that holes may hide of `values`, and where these rise towards them."""
    data, hole = plane.data, plane.hole
    near = _inwards(np.where(data, values, -np.inf), hole, _NEAR)
    least = -_inwards(np.where(data, -values, -np.inf), hole, _AROUND)
    away = data & ~_largest(plane.empty, _NEAR)
    far = _inwards(np.where(away, values, -np.inf), hole, _AROUND)
    there = plane.bounded[hole] & np.isfinite(far) & np.isfinite(near)
    step = np.subtract(near, far, where=there, out=np.zeros(near.shape)) - _OF_NOISE * noise
    rising = there & (step > 0)
    light = np.minimum(_STEEP * step, near - least, where=rising, out=np.zeros(near.shape))
    depth = plane.depth[hole].astype(np.float64)
    return near + light * (np.clip(depth**_RISE, 1, _PEAK) - 1), rising


def _inwards(values: Any, hole: NDArray[np.bool_], box: int) -> Image64:
    """Return the largest value in the box around each pixel of a hole, one after another.

    Where there is none, that of the pixels of the hole which are a step nearer to one.
    """
    found = _largest(values, box)
    found[~hole] = -np.inf
    for _ in range(_DEEPEST):
        empty = hole & np.isneginf(found)
        if not empty.any():
            break
        found[empty] = _largest(found, 3)[empty]
    return np.asarray(found[hole], np.float64)


def _largest(values: Any, box: int) -> Any:
    """Return the largest value in the box around each pixel; there is none beyond the frame."""
    from scipy import ndimage

    none = False if values.dtype == bool else -np.inf
    return ndimage.maximum_filter(values, box, mode="constant", cval=none)


def _beside_cores(plane: _Plane, hidden: _Hidden) -> NDArray[np.bool_]:
    """Return the pixels beside holes that may hide the core of a star."""
    core = plane.bounded & (plane.depth >= _CORE) & hidden.steep
    return np.asarray(plane.data & _largest(core, 2 * (_CORE - 1 + _BESIDE) + 1))


def _missed(
    plane: _Plane, kernel: Image64, hidden: _Hidden, margin: tuple[int, int]
) -> tuple[Image64, Image64]:
    """Return the bound to the light that each pixel misses, and the holes' share of its kernel."""
    shape = plane.sci.shape
    convolve = convolver(kernel, shape, margin)
    absolute = convolver(np.abs(kernel), shape, margin)
    share = absolute(plane.hole)
    # not the matched image, which is rounded: the differences below are small
    own = _mean(convolve(plane.sci), convolve(plane.data))
    own *= share
    worse = np.zeros(share.shape)
    filled = np.zeros(shape)
    for values in (hidden.largest, hidden.least):
        filled[plane.hole] = values
        missed = absolute(filled)
        missed -= own
        np.maximum(worse, np.abs(missed, out=missed), out=worse)
    worse *= _SAFETY
    worse[share <= _ROUNDED] = 0  # a transform rounds where the kernel meets no hole
    return worse, share


def _mean(total: Image64, seen: Image64) -> Image64:
    return np.divide(total, seen, where=seen > _ROUNDED, out=np.zeros(seen.shape))


# -- coverage


def sums_seen(
    kernel: Image64, valid: Any, min_coverage: float
) -> tuple[Image64, NDArray[np.bool_]]:
    """Return the sum of a kernel over the pixels with data, and where these are enough.

    Parameters
    ----------
    kernel : array, (ky, kx)
    valid : array of bool, (y, x)
        Pixels with data.
    min_coverage : float
        Share of the kernel's absolute sum that is enough, in a pixel that has data itself.
    """
    absolute = np.abs(kernel)
    whole = bool(valid.all())

    def summed(kernel: Image64) -> Image64:
        shape = (valid.shape[0], valid.shape[1])
        return parts_seen(kernel, shape) if whole else convolver(kernel, shape)(valid)

    seen = summed(kernel)
    share = summed(absolute) if (kernel < 0).any() else seen
    enough = (share >= min_coverage * absolute.sum()) & (seen > 0)
    if whole:
        return in_full(seen, valid.shape), in_full(enough, valid.shape)
    return seen, valid & enough


def share_seen(seen: Any, kernel: Image64) -> Any:
    """Return the share of a kernel's absolute sum that each pixel of an image saw.

    Parameters
    ----------
    seen : array of float32 or bool, (y, x)
        Of each pixel before the convolution: 1 with data, 0 without, or what it saw itself.
    kernel : array, (ky, kx)
    """
    kernel = np.abs(kernel)
    whole = bool((seen == 1).all())
    share = parts_seen(kernel, seen.shape) if whole else convolver(kernel, seen.shape)(seen)
    share = np.clip(share / kernel.sum(), 0, 1).astype(np.float32)
    return in_full(share, seen.shape) if whole else share
