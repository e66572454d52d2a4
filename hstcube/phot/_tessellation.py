"""The first bins: a weighted Voronoi tessellation, seeded by boxes that reach the target."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hstcube.phot._field import Sums

if TYPE_CHECKING:
    from hstcube.phot._field import Bins, Field, Values

__all__ = ["tessellated"]

_CLOSE = 12  # generators that a pixel may belong to
_SETTLED = 0.03  # share of pixels that change their bin when the tessellation has settled
_ROUNDS = 12  # of the tessellation
_TRIES = 4  # with fewer bins each time
_ABOVE = 1.1  # of the target: where the S/N of bins should lie, so that few are below
# between seeds, of the side of a bin: as dense as bins of that area where the next free pixel is
# taken
_SPACING = 0.85


class _Faint(NamedTuple):
    """The pixels to tessellate, beside bright ones that are bins by themselves."""

    pixels: Bins  # their numbers in the field
    places: Values  # (pixel, 3); far apart along the last where regions differ
    bright: int  # bins before theirs


class _Box(NamedTuple):
    """What a box around each pixel holds."""

    ratio: Values  # S/N over the target
    area: Values  # its pixels in the field


def tessellated(field: Field, target: float) -> Bins:
    """Return a weighted Voronoi tessellation of pixels (Diehl & Statler 2006, MNRAS 368, 497).

    A pixel that reaches the target is a bin. The others belong to the generator that is nearest in
    units of its length scale, (area target/(S/N))^(1/2) (their equation 4); generators move to the
    middles of their bins until bins stay. Seeds are as dense as the boxes that reach the target are
    large.
    """
    alone = field.ratio_of_pixels() >= target
    if alone.all():
        return np.arange(field.size)
    faint = _faint(field, np.flatnonzero(~alone))
    bins = np.zeros(field.size, np.intp)
    bins[alone] = np.arange(faint.bright)
    area = _areas(field, target)[faint.pixels]
    for _ in range(_TRIES):
        bins[faint.pixels] = _voronoi(field, faint, bins, area, target)
        ratio = field.ratio_of_bins(bins)[faint.bright :] / target
        if (level := float(np.median(ratio))) >= 1:
            break
        area = area * np.clip(_ABOVE / max(level, 0.1), 1.05, 2) ** 2
    return bins


def _faint(field: Field, pixels: Bins) -> _Faint:
    # far enough that no bin is in two regions
    apart = field.region[pixels] * float(field.index.size)
    places = np.stack([field.rows[pixels], field.columns[pixels], apart], axis=1).astype(float)
    return _Faint(pixels, places, field.size - pixels.size)


def _voronoi(field: Field, faint: _Faint, bins: Bins, area: Values, target: float) -> Bins:
    """Return the bin of each of the faint pixels when the tessellation has settled.

    Parameters
    ----------
    bins : array, (pixel,)
        Those of all pixels; only the bright ones' matter.
    area : array, (faint,)
        How large bins are there to begin with.
    """
    bins = bins.copy()
    seeds = _seeds(faint.places, area)
    middles, scales = faint.places[seeds], np.sqrt(area[seeds])
    before = np.full(faint.pixels.size, -1)
    for _ in range(_ROUNDS):
        nearest = _nearest(faint.places, middles, scales)
        used, owner = np.unique(nearest, return_inverse=True)
        bins[faint.pixels] = faint.bright + owner
        sums = field.sums(bins, faint.bright + used.size).of(slice(faint.bright, None))
        ratio = np.clip(field.ratio(sums) / target, 0.2, 5)
        middles = _totals(owner, faint.places) / sums.size[:, None]
        scales = np.sqrt(sums.size / ratio)
        if np.mean(owner != before) < _SETTLED:
            break
        before = owner
    return np.asarray(bins[faint.pixels])


def _totals(owner: Bins, places: Values) -> Values:
    """Return the sums of places (pixel, 3) by owner, (owner, 3)."""
    return np.stack([np.bincount(owner, axis) for axis in places.T], axis=1)


def _areas(field: Field, target: float) -> Values:
    """Return how many pixels around each one reach the target: those of the smallest such box."""
    values = np.concatenate([field.signal, field.sigma[:, :-1] ** 2, np.ones((1, field.size))])
    out = np.full(field.size, float(field.size))
    smaller = None
    for side in _sides(field):
        box = _box(field, values, side, target)
        reached = (box.ratio >= 1) & (out == field.size)
        out[reached] = _between(smaller, box)[reached]
        smaller = box
        if (out < field.size).all():
            break
    return np.asarray(np.maximum(out, 1))


def _sides(field: Field) -> list[int]:
    """Return sides of boxes, odd and growing by a fifth, up to one that holds all pixels."""
    largest = int(max(np.ptp(field.rows), np.ptp(field.columns))) + 1
    sides = np.minimum(np.rint(1.2 ** np.arange(60)).astype(int) | 1, largest | 1)
    return [int(side) for side in np.unique(sides)]


def _box(field: Field, values: Values, side: int, target: float) -> _Box:
    """Return what the boxes of one side hold: signal and variance of each band, and pixels."""
    from scipy import ndimage

    image, sums = np.zeros(field.index.size), np.empty(values.shape)
    for held, one in zip(sums, values, strict=True):
        image[field.place] = one
        means = ndimage.uniform_filter(image.reshape(-1, field.width), side, mode="constant")
        held[:] = means.ravel()[field.place] * side**2
    number = len(field.signal)
    dy, dx = _lags(field)
    overlap = np.clip(1 - np.abs(dy) / side, 0, None) * np.clip(1 - np.abs(dx) / side, 0, None)
    gain = 1 + field.acf @ overlap
    signal, variance, count = sums[:number], sums[number:-1] * gain[:, None], sums[-1]
    return _Box(field.ratio(Sums(signal, variance, count)) / target, count)


def _between(smaller: _Box | None, box: _Box) -> Values:
    """Return the area at which the target is reached, between two sizes of the box."""
    if smaller is None:
        return box.area
    rise = np.where(box.ratio > smaller.ratio, box.ratio - smaller.ratio, 1)
    part = np.clip((1 - smaller.ratio) / rise, 0, 1)
    return np.asarray(smaller.area + part * (box.area - smaller.area))


def _lags(field: Field) -> tuple[Values, Values]:
    """Return the lags along y and x."""
    half = field.width // 2
    dx = (field.offsets + half) % field.width - half
    return ((field.offsets - dx) // field.width).astype(float), dx.astype(float)


def _seeds(places: Values, area: Values) -> Bins:
    """Return pixels to begin bins with: the smallest bins first, none in the reach of another."""
    from scipy.spatial import KDTree

    tree = KDTree(places)
    reach = _SPACING * np.sqrt(area)
    free = np.ones(len(places), bool)
    seeds = []
    for pixel in np.lexsort((places[:, 1], places[:, 0], np.rint(4 * np.log2(area)))).tolist():
        if free[pixel]:
            seeds.append(pixel)
            free[tree.query_ball_point(places[pixel], reach[pixel])] = False
    return np.array(seeds)


def _nearest(places: Values, middles: Values, scales: Values) -> Bins:
    """Return the generator of each place, the nearest in units of its length scale."""
    from scipy.spatial import KDTree

    distance, candidates = KDTree(middles).query(places, k=min(_CLOSE, len(middles)))
    if distance.ndim == 1:
        return np.asarray(candidates)
    best = np.argmin(distance / scales[candidates], axis=1)
    return np.asarray(candidates[np.arange(len(places)), best])
