"""Groups that grow: over pixels that are alike, by loose pixels, by all of a bin below the target.

Plain arrays; `bins` has the public function.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hstcube.phot._field import by_bin

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from hstcube.phot._field import Bins, Field, Spectra, Values

    Distance = Callable[[Bins, Bins], Values]  # of pixels from bins, broadcast

__all__ = ["merged", "pieces", "regions_alike", "taken_in", "whole"]

_PASSES = 4  # of taking in


def regions_alike(field: Field, spectra: Spectra, limit: float) -> Bins:
    """Return connected regions of pixels whose spectra have one shape, that of the brightest pixel.

    The brightest free pixel begins a region, which takes all free pixels that touch it and are
    alike. Like the bins of Abdurro'uf et al. 2021, ApJS 254, 15, but without regard to signal to
    noise: that is for bins within a region.

    Parameters
    ----------
    field : Field
    spectra : Spectra
        In all bands.
    limit : float
        Largest reduced chi square between spectra of one shape.

    Returns
    -------
    array of int, (pixel,)
    """
    regions = np.append(np.full(field.size, -1), -2)  # the last stands for what is beyond the mask
    brightness = (spectra.flux / spectra.noise).sum(axis=0)
    around = field.around(np.arange(field.size))
    number = 0
    for first in np.argsort(-brightness, kind="stable").tolist():
        if regions[first] == -1:
            regions[_region(first, regions, around, spectra, limit)] = number
            number += 1
    return regions[:-1]


def _region(first: int, regions: Bins, around: Bins, spectra: Spectra, limit: float) -> Bins:
    """Return the free pixels that are alike the first one and hang together with it."""
    front = np.array([first])
    found, looked_at = [front], {first}
    while front.size:
        near = np.unique(around[front])
        near = near[regions[near] == -1]
        fresh = [pixel for pixel in near.tolist() if pixel not in looked_at]
        looked_at.update(fresh)
        front = _alike(spectra, first, np.array(fresh, dtype=np.intp), limit)
        found.append(front)
    return np.concatenate(found)


def _alike(spectra: Spectra, first: int, others: Bins, limit: float) -> Bins:
    """Return those of the pixels whose spectra have the shape of the first one's."""
    noise = np.hypot(spectra.noise[:, others], spectra.noise[:, [first]])
    return others[spectra.apart(spectra.flux[:, others], spectra.flux[:, [first]], noise) <= limit]


def whole(field: Field, bins: Bins, target: float) -> Bins:
    """Return the bins in one piece each: smaller pieces go to the bins around them."""
    piece = pieces(field, bins)
    number = int(piece.max()) + 1
    sizes = np.bincount(piece, minlength=number)
    owner = np.zeros(number, np.intp)
    owner[piece] = bins
    order = np.lexsort((-sizes, owner))
    largest = np.zeros(number, bool)
    largest[order[np.r_[True, owner[order][1:] != owner[order][:-1]]]] = True
    return absorbed(field, bins, ~largest[piece], target)


def pieces(field: Field, bins: Bins) -> Bins:
    """Return the number of the piece, of pixels of one bin that touch, that each pixel is in."""
    from scipy import sparse

    around = field.around(np.arange(field.size))[:, :4]
    one, which = np.nonzero(np.append(bins, -1)[around] == bins[:, None])
    graph = sparse.coo_matrix(
        (np.ones(one.size, bool), (one, around[one, which])), shape=(field.size,) * 2
    )
    return np.asarray(sparse.csgraph.connected_components(graph, directed=False)[1])


def absorbed(
    field: Field,
    bins: Bins,
    loose: NDArray[np.bool_],
    target: float = 1.0,
    spectra: Spectra | None = None,
) -> Bins:
    """Give loose pixels to bins that they touch, rim first.

    Each goes to the nearest in units of its size, or with `spectra` to the most alike. Loose pixels
    that touch no bin, not even through others, become a bin for each piece.
    """
    kept, place = np.unique(bins[~loose], return_inverse=True)
    bins = np.full(field.size, -1)
    bins[~loose] = place
    if not kept.size:
        return _islands(field, bins)
    distance = (
        _near(field, bins, kept.size, target)
        if spectra is None
        else _like(bins, kept.size, spectra)
    )
    while (waiting := np.flatnonzero(bins < 0)).size:
        owner = np.append(bins, -1)[field.around(waiting)]
        touch = (owner >= 0).any(axis=1)
        if not touch.any():
            break
        bins[waiting[touch]] = _closest(waiting, owner, distance)[touch]
    return _islands(field, bins)


def _closest(pixels: Bins, owner: Bins, distance: Distance) -> Bins:
    """Return the nearest of the bins around each pixel, (pixel, 8), -1 for none; any if lost."""
    far = np.where(owner >= 0, distance(pixels[:, None], owner), np.inf)
    best = far.argmin(axis=1)
    lost = np.isinf(far.min(axis=1))
    best[lost] = (owner >= 0)[lost].argmax(axis=1)
    return np.asarray(owner[np.arange(pixels.size), best])


def _near(field: Field, bins: Bins, number: int, target: float) -> Distance:
    """Return the distance of pixels from the middles of bins, in units of the bins' sizes."""
    sums = field.sums(np.where(bins < 0, number, bins), number + 1).of(slice(number))
    scale = np.sqrt(sums.size / np.clip(field.ratio(sums) / target, 0.2, 5))
    there = bins >= 0
    places = np.stack([field.rows[there], field.columns[there]])
    y, x = by_bin(bins[there], places, number) / sums.size

    def distance(pixels: Bins, owners: Bins) -> Values:
        away = np.hypot(field.rows[pixels] - y[owners], field.columns[pixels] - x[owners])
        return np.asarray(away / scale[owners])

    return distance


def _like(bins: Bins, number: int, spectra: Spectra) -> Distance:
    """Return how far the shapes of pixels' spectra are from those of bins."""
    there = bins >= 0
    sums = by_bin(bins[there], spectra.flux[:, there], number)

    def distance(pixels: Bins, owners: Bins) -> Values:
        return spectra.apart(spectra.flux[:, pixels], sums[:, owners], spectra.noise[:, pixels])

    return distance


def _islands(field: Field, bins: Bins) -> Bins:
    """Make each piece of what is left (-1) a bin."""
    number = bins.max(initial=-1) + 1
    for pixel in np.flatnonzero(bins < 0):
        if bins[pixel] < 0:
            front = np.array([pixel])
            while front.size:
                bins[front] = number
                near = np.unique(field.around(front))
                near = near[near < field.size]
                front = near[bins[near] < 0]
            number += 1
    return bins


def merged(
    field: Field,
    bins: Bins,
    target: float,
    *,
    below: NDArray[np.bool_] | None = None,
    spectra: Spectra | None = None,
) -> Bins:
    """Dissolve bins below the target into those around them.

    Until none is left that touches another.

    Parameters
    ----------
    below : array of bool, (bin,), optional
        Bins to dissolve in the first round; those below the target when not given.
    spectra : Spectra, optional
        Their pixels go to the bins that are most alike; else to the nearest.
    """
    while True:
        ratio = field.ratio_of_bins(bins)
        below = ratio < target if below is None else below
        first = _first_to_go(field, bins, ratio, below)
        if not first.any():
            return bins
        bins = absorbed(field, bins, first[bins], target, spectra)
        below = None


def _first_to_go(
    field: Field, bins: Bins, ratio: Values, below: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Return the bins below the target that touch another one; of two that touch, the worse one."""
    one, two = _contacts(field, bins)
    touching = np.zeros(ratio.size, bool)
    touching[one] = True
    first = below & touching
    both = first[one] & first[two]
    rank = np.where(first, ratio, np.inf)
    rank = np.argsort(np.argsort(rank, kind="stable"), kind="stable")
    first[one[both & (rank[one] > rank[two])]] = False
    return first


def taken_in(field: Field, bins: Bins, low: NDArray[np.bool_], target: float) -> Bins:
    """Give bins below the target to the strongest one beside each, where that stays above it."""
    for _ in range(_PASSES):
        ratio = field.ratio_of_bins(bins)
        one, two = _contacts(field, bins)
        near = low[one] & ~low[two]
        if not near.any():
            break
        one, two = one[near], two[near]
        order = np.argsort(ratio[two], kind="stable")
        itself = np.arange(ratio.size)
        host = itself.copy()
        host[one[order]] = two[order]  # the last, strongest, stays
        after = field.ratio(field.sums(host[bins], ratio.size))
        host = np.where(after[host] >= target, host, itself)
        if (host == itself).all():
            break
        kept, bins = np.unique(host[bins], return_inverse=True)
        low = low[kept]
    return bins


def _contacts(field: Field, bins: Bins) -> tuple[Bins, Bins]:
    """Return pairs of bins that touch, each in both orders."""
    other = np.append(bins, -1)[field.around(np.arange(field.size))]
    here = np.broadcast_to(bins[:, None], other.shape)
    touch = (other >= 0) & (other != here)
    number = int(bins.max()) + 1
    one, two = np.divmod(np.unique(here[touch] * number + other[touch]), number)
    return one, two
