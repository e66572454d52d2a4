"""Sums of correlated noise: the error of every group of pixels, and what a kernel does to noise.

The model: noise_i = sigma_i g_i, with g stationary, of unit variance and autocorrelation rho. Then
the sum over the pixels of a group has the variance sum_ij sigma_i sigma_j rho(i - j). Plain arrays;
`noise` has the public functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hstcube.basics.convolution import convolver
from hstcube.basics.memory import remembered
from hstcube.lazy.windows import tiles

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from hstcube.lazy.windows import Window

    Image64 = NDArray[np.float64]
    Integers = NDArray[np.intp]

__all__ = [
    "Groups",
    "covariances",
    "find_groups",
    "find_shares",
    "part_of",
    "parted_groups",
    "propagated",
    "resized",
    "sorted_groups",
    "variances",
]

_AT_ONCE = 1 << 18  # numbers in one batch: what fits into the cache is fastest
_PAIR_COST = 2  # a pair of pixels costs as much as half a pixel of a transform
# of transforms; few different ones, so that many boxes go together
_USUAL_LENGTHS = (
    *(1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 18, 20, 24, 27),
    *(30, 36, 40, 48, 54, 60, 72, 80, 96, 108, 128),
)
_DIGITS = 8  # of a correlation


class Groups(NamedTuple):
    """The pixels of an image, group by group.

    ``ids`` are the labels, increasing; ``rows`` and ``columns`` the pixels, sorted by group; those
    of group k are ``first[k] : first[k] + number[k]``; ``corner`` and ``sides`` (group, 2) are the
    bounding boxes. ``weight``, where there is one, is the share of each pixel that counts; a pixel
    may then be in several groups.
    """

    ids: NDArray[np.int64]
    rows: Integers
    columns: Integers
    first: Integers
    number: Integers
    corner: Integers
    sides: Integers
    weight: Image64 | None = None

    @property
    def owner(self) -> Integers:
        """Return the place of each pixel's group among ``ids``."""
        return np.repeat(np.arange(self.ids.size), self.number)

    def sums(self, values: Any) -> Image64:
        """Return the sums over the groups of one value for each pixel, (group,)."""
        weighted = values if self.weight is None else values * self.weight
        return np.bincount(self.owner, weighted, minlength=self.ids.size).astype(np.float64)


def find_groups(labels: NDArray[np.integer]) -> Groups:
    """Sort the pixels of an integer map by their label; 0 and negative ones belong to no group."""
    rows, columns = np.nonzero(labels > 0)
    values = labels[rows, columns]
    order = np.argsort(values, kind="stable")
    return sorted_groups(values[order], rows[order], columns[order])


def parted_groups(labels: NDArray[np.integer]) -> Iterator[Groups]:
    """Yield the groups of a map in parts: those whose first pixels lie in one tile of it."""
    table = np.concatenate([_boxes(labels, i, part) for i, part in enumerate(tiles(labels.shape))])
    table = table[np.lexsort((table[:, 1], table[:, 0]))]
    _, first = np.unique(table[:, 0], return_index=True)
    least = np.minimum.reduceat(table, first) if first.size else table
    most = np.maximum.reduceat(table, first) if first.size else table
    for tile in np.unique(least[:, 1]).tolist():
        own = least[:, 1] == tile
        top, left = least[own][:, 2:4].min(axis=0)
        bottom, right = most[own][:, 4:].max(axis=0)
        here = labels[top:bottom, left:right]
        rows, columns = np.nonzero(np.isin(here, least[own, 0]))
        values = here[rows, columns]
        order = np.argsort(values, kind="stable")
        yield sorted_groups(values[order], rows[order] + top, columns[order] + left)


def _boxes(labels: NDArray[np.integer], i: int, part: Window) -> NDArray[np.int64]:
    """Return the groups in a tile: number, tile, and where they begin and end along y and x."""
    from scipy import ndimage

    rows, columns = part
    numbers, place = np.unique(labels[part], return_inverse=True)
    boxes = ndimage.find_objects(place.reshape(labels[part].shape) + 1)
    found = [
        (n, i, y.start + rows.start, x.start + columns.start, y.stop + rows.start,
         x.stop + columns.start)
        for n, (y, x) in zip(numbers.tolist(), boxes, strict=True)
        if n > 0
    ]  # fmt: skip
    return np.array(found, np.int64).reshape(-1, 6)


def find_shares(shares: Image64, ids: NDArray[np.int64]) -> Groups:
    """Return the pixels of groups that hold shares of them, (group, y, x)."""
    order = np.argsort(ids)
    owner, rows, columns = np.nonzero(shares[order])
    return sorted_groups(ids[order][owner], rows, columns, shares[order][owner, rows, columns])


def part_of(groups: Groups, keep: NDArray[np.bool_]) -> Groups:
    """Return the groups with some of their pixels only; those without any are left out."""
    if keep.all():
        return groups
    weight = None if groups.weight is None else groups.weight[keep]
    numbers = np.repeat(groups.ids, groups.number)[keep]
    return sorted_groups(numbers, groups.rows[keep], groups.columns[keep], weight)


def sorted_groups(
    values: NDArray[np.integer], rows: Integers, columns: Integers, weight: Image64 | None = None
) -> Groups:
    """Return groups of pixels, given in the order of their labels."""
    ids, first, count = np.unique(values, return_index=True, return_counts=True)
    ids = ids.astype(np.int64)
    if not ids.size:
        none = np.zeros((0, 2), np.intp)
        return Groups(ids, rows, columns, first, count, none, none, weight)
    low = np.stack([np.minimum.reduceat(axis, first) for axis in (rows, columns)], axis=1)
    high = np.stack([np.maximum.reduceat(axis, first) for axis in (rows, columns)], axis=1)
    return Groups(ids, rows, columns, first, count, low, high - low + 1, weight)


def variances(sigma: Image64, groups: Groups, acf: Image64) -> Image64:
    """Return the variance of the sum over every group.

    Compact groups: the power spectrum of sigma in the bounding box, padded by the reach of the
    correlations, times that of the noise (Wiener-Khinchin), many boxes in one transform. Small or
    scattered ones: all pairs of pixels.

    Parameters
    ----------
    sigma : array, (y, x), or (pixel,) of those of the groups
        Standard deviation of single pixels; 0 where there is no data.
    groups : Groups
    acf : array, (2 ry + 1, 2 rx + 1)
        Autocorrelation of the noise, 1 at zero lag.

    Returns
    -------
    array, (group,)
    """
    values = _weighted(sigma, groups)
    reach = np.array(acf.shape) // 2
    padded = _lengths(groups.sides + np.minimum(reach, groups.sides - 1))
    as_pairs = groups.number**2 <= _PAIR_COST * padded.prod(axis=1)
    out = np.empty(groups.ids.size)
    for members in _alike(groups.number[as_pairs, None], np.flatnonzero(as_pairs)):
        for part in _batches(members, int(groups.number[members[0]])):
            out[part] = _from_pairs(values, groups, part, acf)
    for members in _alike(padded[~as_pairs], np.flatnonzero(~as_pairs)):
        shape = (int(padded[members[0], 0]), int(padded[members[0], 1]))
        power = _half_spectrum_weights(acf, shape)
        for part in _batches(members, shape[0] * shape[1]):
            out[part] = _from_spectra(values, groups, part, power, shape)
    return out


def _weighted(sigma: Image64, groups: Groups) -> Image64:
    values = sigma if sigma.ndim == 1 else sigma[groups.rows, groups.columns]
    return values if groups.weight is None else values * groups.weight


def _lengths(wanted: Integers) -> Integers:
    """Return lengths of transforms, not shorter than wanted."""
    from scipy import fft

    steps = np.array(_USUAL_LENGTHS)
    large = wanted > steps[-1]
    found = steps[np.searchsorted(steps, np.where(large, 1, wanted))]
    sizes, place = np.unique(wanted[large], return_inverse=True)
    fast = [fft.next_fast_len(int(n), real=True) for n in sizes]
    found[large] = np.array(fast, dtype=np.intp)[place]
    return found


def _alike(keys: Integers, members: Integers) -> Iterator[Integers]:
    """Yield the members whose keys are equal."""
    order = np.lexsort(keys.T)
    keys, members = keys[order], members[order]
    edges = np.flatnonzero((keys[1:] != keys[:-1]).any(axis=1)) + 1
    yield from (part for part in np.split(members, edges) if part.size)


def _batches(members: Integers, size: int) -> Iterator[Integers]:
    step = max(_AT_ONCE // size, 1)
    yield from (members[start : start + step] for start in range(0, members.size, step))


def _pixels_of(groups: Groups, members: Integers) -> tuple[Integers, Integers]:
    """Return the places of the members' pixels in the sorted order, and whose each is."""
    count = groups.number[members]
    owner = np.repeat(np.arange(members.size), count)
    inside = np.arange(owner.size) - np.repeat(np.cumsum(count) - count, count)
    return groups.first[members][owner] + inside, owner


def _from_pairs(values: Image64, groups: Groups, members: Integers, acf: Image64) -> Image64:
    """Return sum_ij sigma_i sigma_j rho(i - j) of groups that have one number of pixels."""
    number = int(groups.number[members[0]])
    places = groups.first[members][:, None] + np.arange(number)
    y, x, sigma = groups.rows[places], groups.columns[places], values[places]
    ry, rx = acf.shape[0] // 2, acf.shape[1] // 2
    out = (sigma**2).sum(axis=1) * acf[ry, rx]
    for k in range(1, number):  # the pairs (i, i + k)
        dy, dx = y[:, k:] - y[:, :-k], x[:, k:] - x[:, :-k]
        near = (np.abs(dy) <= ry) & (np.abs(dx) <= rx)
        rho = np.where(near, acf[np.where(near, dy + ry, 0), np.where(near, dx + rx, 0)], 0)
        out += 2 * np.einsum("gp,gp,gp->g", rho, sigma[:, k:], sigma[:, :-k])
    return np.asarray(out)


def _from_spectra(
    values: Image64, groups: Groups, members: Integers, power: Image64, shape: tuple[int, int]
) -> Image64:
    from scipy import fft

    boxes = np.zeros((members.size, *shape))
    places, owner = _pixels_of(groups, members)
    corner = groups.corner[members][owner]
    boxes[owner, groups.rows[places] - corner[:, 0], groups.columns[places] - corner[:, 1]] = (
        values[places]
    )
    spectra = fft.rfft2(boxes, overwrite_x=True)
    parts = (spectra.real, spectra.imag)
    return np.asarray(sum(np.einsum("gyx,gyx,yx->g", part, part, power) for part in parts))


def _wrapped(acf: Image64, shape: tuple[int, int]) -> Image64:
    """Return the autocorrelation on a circle, zero lag at the origin; far lags are cut."""
    ry, rx = (min(n // 2, (size - 1) // 2) for n, size in zip(acf.shape, shape, strict=True))
    y, x = np.arange(-ry, ry + 1), np.arange(-rx, rx + 1)
    out = np.zeros(shape)
    out[np.ix_(y, x)] = acf[np.ix_(y + acf.shape[0] // 2, x + acf.shape[1] // 2)]
    return out


def _half_spectrum_weights(acf: Image64, shape: tuple[int, int]) -> Image64:
    """Return the weights of |rfft2|^2.

    The noise's power over the number of pixels, twice for what stands for two.
    """
    from scipy import fft

    power = fft.rfft2(_wrapped(acf, shape)).real / (shape[0] * shape[1])
    power[:, 1 : (shape[1] + 1) // 2] *= 2
    return np.asarray(power)


def covariances(sigma: Image64, groups: Groups, acf: Image64) -> Image64:
    """Return the covariance of the sums over every two groups, (group, group).

    sigma of one group convolved with the autocorrelation is summed over the pixels of all groups
    within its reach.
    """
    values = _weighted(sigma, groups)
    if groups.weight is not None:
        return _of_shares(values, groups, acf)
    number = groups.ids.size
    ry, rx = acf.shape[0] // 2, acf.shape[1] // 2
    first = groups.corner.min(axis=0)  # of the frame that holds all groups
    tall, wide = (groups.corner + groups.sides).max(axis=0) - first
    y, x = groups.rows - first[0] + ry, groups.columns - first[1] + rx
    owner = np.full((tall + 2 * ry, wide + 2 * rx), number)
    noise = np.zeros(owner.shape)
    owner[y, x] = np.repeat(np.arange(number), groups.number)
    noise[y, x] = values
    out = np.empty((number, number))
    for k, ((top, left), (height, width)) in enumerate(
        zip(groups.corner - first, groups.sides, strict=True)
    ):
        window = (slice(top, top + height + 2 * ry), slice(left, left + width + 2 * rx))
        own = np.where(owner[window] == k, noise[window], 0)
        field = convolver(acf, (own.shape[0], own.shape[1]))(own)
        seen = np.bincount(
            owner[window].ravel(), weights=(field * noise[window]).ravel(), minlength=number + 1
        )
        out[k] = seen[:number]
    return np.asarray((out + out.T) / 2)  # what transforms round differently


def _of_shares(values: Image64, groups: Groups, acf: Image64) -> Image64:
    """Return the covariances of groups that may have pixels in common."""
    reach, owner = np.array(acf.shape) // 2, groups.owner
    out = np.empty((groups.ids.size, groups.ids.size))
    for k, (corner, sides) in enumerate(zip(groups.corner, groups.sides, strict=True)):
        top, left = corner - reach
        height, width = sides + 2 * reach
        y, x = groups.rows - top, groups.columns - left
        near = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        own = np.zeros((height, width))
        members = slice(groups.first[k], groups.first[k] + groups.number[k])
        own[y[members], x[members]] = values[members]
        field = convolver(acf, (int(height), int(width)))(own)
        seen = field[y[near], x[near]] * values[near]
        out[k] = np.bincount(owner[near], seen, minlength=groups.ids.size)
    return np.asarray((out + out.T) / 2)


@remembered(maxsize=8)  # one set of kernels serves thousands of targets
def propagated(kernels: Image64, acf: Image64) -> tuple[Image64, Image64]:
    """Return the autocorrelation of convolved noise, and the gain of its variance over white noise.

    With C = K corr K: acf' = (rho conv C)/(rho conv C)(0), and the gain is (rho conv C)(0)/C(0).

    Parameters
    ----------
    kernels : array, (band, ky, kx)
        Odd sizes.
    acf : array, (band, 2 ry + 1, 2 rx + 1)

    Returns
    -------
    array, (band, 2 ry + 2 ky - 1, 2 rx + 2 kx - 1); array, (band,)
    """
    from scipy import fft

    ry, rx = (n // 2 + k - 1 for n, k in zip(acf.shape[1:], kernels.shape[1:], strict=True))
    size = [fft.next_fast_len(2 * r + 1, real=True) for r in (ry, rx)]
    power = np.abs(fft.rfft2(kernels, size)) ** 2
    before = np.stack([_wrapped(one, (size[0], size[1])) for one in acf])
    circle = fft.irfft2(power * fft.rfft2(before).real, size)
    spread = circle[:, np.arange(-ry, ry + 1)][:, :, np.arange(-rx, rx + 1)]
    middle, squares = circle[:, 0, 0], (kernels**2).sum((1, 2))
    # rounded, and no -0: the last digits of a transform are no result, and need not be the same
    # everywhere
    after = np.round(spread / middle[:, None, None], _DIGITS) + 0.0
    gain = np.round(middle / squares, 12)
    # a kernel of one pixel changes nothing, not even the rounding
    same = (np.count_nonzero(kernels, axis=(1, 2)) == 1) & (squares == 1)
    after[same], gain[same] = resized(acf[same], (ry, rx)), 1
    return after, gain


def resized(acf: Image64, radius: tuple[int, int]) -> Image64:
    """Return autocorrelations, (band, 2 ry + 1, 2 rx + 1), with another reach: cut, or zeros."""
    out = np.zeros((acf.shape[0], 2 * radius[0] + 1, 2 * radius[1] + 1))
    (ty, tx), (fy, fx) = ([n // 2 for n in array.shape[1:]] for array in (out, acf))
    ry, rx = min(ty, fy), min(tx, fx)
    out[:, ty - ry : ty + ry + 1, tx - rx : tx + rx + 1] = acf[
        :, fy - ry : fy + ry + 1, fx - rx : fx + rx + 1
    ]
    return out
