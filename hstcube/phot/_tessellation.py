"""Bins of pixels that reach a signal to noise: weighted Voronoi tessellation, trading of pixels, merging.

Plain arrays; `bins` has the public function. A bin is a number 0, 1, ... for each pixel of a list
of pixels. Its noise is the double sum of sigma_i sigma_j rho(i - j) over its pixels, as in `noise`,
over the lags that matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Values = NDArray[np.float64]
    Bins = NDArray[np.intp]
    Sums = tuple[Values, Values, Values]

__all__ = [
    "Field",
    "Spectra",
    "absorbed",
    "freed",
    "halved",
    "make_field",
    "merged",
    "pieces",
    "taken_in",
    "tessellated",
    "traded",
    "whole",
]

# correlations below this are no matter here; the bins are judged with all of them at the end
_SHORT = 0.01
_CLOSE = 12  # generators that a pixel may belong to
_SETTLED = 0.03  # share of pixels that change their bin when the tessellation has settled
_ROUNDS = 12  # of the tessellation
_PASSES = 4  # of trading
_TRIES = 4  # with fewer bins each time
_FOR_TWO = 1.25  # of the target: what bins need to be cut in two
_CUTS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)  # shares of the pixels
_ABOVE = 1.1  # of the target: where the S/N of bins should lie, so that few are below
# between seeds, of the side of a bin: as dense as bins of that area where the next free pixel is
# taken
_SPACING = 0.85
_RING = (
    (-1, -1),
    (-1, 0),
    (-1, 1),
    (0, 1),
    (1, 1),
    (1, 0),
    (1, -1),
    (0, -1),
)  # around a pixel, in order
_SIDES = (1, 3, 5, 7)  # of these, those that share a side with it


@dataclass(frozen=True)
class Field:
    """Pixels to put into bins, in some bands.

    ``place`` is where each pixel is in ``index``, the flat padded frame that holds pixels' numbers
    (``size`` where there is none, which has sigma 0). ``offsets`` are those of the lags, one of
    each pair first, then their opposites.
    """

    rows: Bins
    columns: Bins
    place: Bins
    index: Bins
    width: int
    signal: Values  # (band, pixel)
    sigma: Values  # (band, pixel + 1)
    offsets: Bins
    acf: Values  # (band, lag)
    tails: Values  # (band, side): what the lags left out add to the variance of a square bin
    sky_error: Values  # (band,)
    any_band: bool  # one band has to reach the target; else all
    region: Bins  # (pixel + 1,): bins stay within one

    @property
    def size(self) -> int:
        """The number of pixels."""
        return self.rows.size

    def ratio(self, signal: Values, variance: Values, count: Values) -> Values:
        """Return what is judged: the S/N of the best band, or of the worst."""
        variance = variance * self.tails[:, np.rint(np.sqrt(count)).astype(np.intp)]
        noise = np.sqrt(np.maximum(variance + self.sky_error[:, None] ** 2 * count**2, 1e-300))
        each: Values = signal / noise
        return np.asarray(each.max(axis=0) if self.any_band else each.min(axis=0))

    def ratio_of_one(self, signal: Values, variance: Values, count: float) -> float:
        """Return the same of one bin, with its signal and variance (band,)."""
        variance = variance * self.tails[:, round(count**0.5)]
        each = signal / np.sqrt(np.maximum(variance + (self.sky_error * count) ** 2, 1e-300))
        return float(each.max() if self.any_band else each.min())

    def sums(self, bins: Bins, number: int) -> Sums:
        """Return signal and variance (band, bin) and the number of pixels (bin,)."""
        count = np.bincount(bins, minlength=number).astype(float)
        signal = np.stack([np.bincount(bins, s, minlength=number) for s in self.signal])
        variance = np.stack([np.bincount(bins, s[:-1] ** 2, minlength=number) for s in self.sigma])
        padded = np.append(bins, -1)
        for lag in range(self.offsets.size // 2):
            other = self.index[self.place + self.offsets[lag]]
            one = np.flatnonzero(padded[other] == bins)
            if one.size:
                owner, two = bins[one], other[one]
                for band, sigma in enumerate(self.sigma):
                    both = np.bincount(owner, sigma[one] * sigma[two], minlength=number)
                    variance[band] += 2 * self.acf[band, lag] * both
        return np.asarray(signal, float), np.asarray(variance, float), count

    def around(self, pixels: Bins | int) -> Bins:
        """Return the neighbours of pixels within their regions, (pixel, 8), or of one, (8,); `size` for none."""
        ring = np.array([dy * self.width + dx for dy, dx in _RING])
        near = self.index[np.asarray(self.place[pixels])[..., None] + ring]
        return np.asarray(
            np.where(
                self.region[near] == np.asarray(self.region[pixels])[..., None], near, self.size
            )
        )


class Spectra(NamedTuple):
    """Fluxes of pixels and their errors in all bands, (band, pixel)."""

    flux: Values
    noise: Values

    @staticmethod
    def apart(flux: Values, model: Values, noise: Values) -> Values:
        """Return the reduced chi square of spectra (band, ...) against models at their best scale s; infinite if s < 0.

        chi2 = sum (f - s g)^2 / sigma^2, s = sum(f g / sigma^2) / sum(g^2 / sigma^2) (Abdurro'uf et
        al. 2021, ApJS 254, 15).
        """
        weight = noise**-2
        scale = (flux * model * weight).sum(axis=0) / (model**2 * weight).sum(axis=0)
        chi = ((flux - scale * model) ** 2 * weight).sum(axis=0)
        return np.asarray(np.where(scale > 0, chi / max(len(flux) - 1, 1), np.inf))


def make_field(
    inside: NDArray[np.bool_],
    signal: Values,
    sigma: Values,
    acf: Values,
    sky_error: Values,
    *,
    any_band: bool,
) -> Field:
    """Collect the pixels of a mask.

    Parameters
    ----------
    inside : array of bool, (y, x)
    signal, sigma : array, (band, y, x)
    acf : array, (band, dy, dx)
        Autocorrelation of the noise.
    sky_error : array, (band,)
    any_band : bool
    """
    rows, columns = np.nonzero(inside)
    ry, rx = (n // 2 for n in acf.shape[1:])
    lags = np.argwhere(np.abs(acf).max(axis=0) >= _SHORT) - (ry, rx)
    lags = lags[(lags[:, 0] > 0) | ((lags[:, 0] == 0) & (lags[:, 1] > 0))]
    lags = np.concatenate([lags, -lags])
    margin = max(int(np.abs(lags).max(initial=0)), 1)
    width = inside.shape[1] + 2 * margin
    index = np.full((inside.shape[0] + 2 * margin, width), rows.size)
    index[rows + margin, columns + margin] = np.arange(rows.size)
    return Field(
        rows,
        columns,
        (rows + margin) * width + columns + margin,
        index.ravel(),
        width,
        signal[:, rows, columns],
        np.pad(sigma[:, rows, columns], ((0, 0), (0, 1))),
        lags[:, 0] * width + lags[:, 1],
        acf[:, lags[:, 0] + ry, lags[:, 1] + rx],
        _tails(acf, lags, int(np.ceil(np.sqrt(rows.size))) + 1),
        sky_error,
        any_band,
        np.append(np.zeros(rows.size, np.intp), -1),
    )


def _tails(acf: Values, lags: Bins, largest: int) -> Values:
    """Return the variance of square bins of 0, 1, ... pixels a side, over that of the given lags; (band, side)."""
    kept = np.zeros(acf.shape[1:], bool)
    ry, rx = (n // 2 for n in acf.shape[1:])
    kept[ry, rx] = True
    kept[lags[:, 0] + ry, lags[:, 1] + rx] = True
    y, x = (np.abs(np.arange(length) - length // 2) for length in acf.shape[1:])
    out = np.ones((len(acf), largest + 1))
    for side in range(2, largest + 1):
        overlap = np.outer(np.clip(1 - y / side, 0, None), np.clip(1 - x / side, 0, None))
        out[:, side] = (acf * overlap).sum((1, 2)) / (acf * overlap * kept).sum((1, 2))
    return np.clip(out, 0.1, 10)


def tessellated(field: Field, target: float) -> Bins:
    """Return a weighted Voronoi tessellation of pixels (Diehl & Statler 2006, MNRAS 368, 497).

    A pixel that reaches the target is a bin. The others belong to the generator that is nearest in
    units of its length scale, (area target/(S/N))^(1/2) (their equation 4); generators move to the
    middles of their bins until bins stay. Seeds are as dense as the boxes that reach the target are
    large.
    """
    everyone = np.arange(field.size)
    alone = _alone(field) >= target
    faint = np.flatnonzero(~alone)
    bins = np.zeros(field.size, np.intp)
    bins[alone] = np.arange(alone.sum())
    if not faint.size:
        return everyone
    apart = field.region[faint] * float(
        field.index.size
    )  # far enough that no bin is in two regions
    places = np.stack([field.rows[faint], field.columns[faint], apart], axis=1).astype(float)
    area = _areas(field, target)[faint]
    for _ in range(_TRIES):
        bins[faint] = alone.sum() + _voronoi(
            field, places, area, (faint, bins, int(alone.sum())), target
        )
        ratio = field.ratio(*field.sums(bins, int(bins.max()) + 1))[alone.sum() :] / target
        if (level := float(np.median(ratio))) >= 1:
            break
        area = area * np.clip(_ABOVE / max(level, 0.1), 1.05, 2) ** 2
    return bins


def _voronoi(
    field: Field, places: Values, area: Values, frame: tuple[Bins, Bins, int], target: float
) -> Bins:
    """Return the bin of each of the faint pixels when the tessellation has settled.

    Parameters
    ----------
    places, area : array, (faint, 3) and (faint,)
        Where they are, and how large bins are there to begin with.
    frame : tuple
        Which of all pixels they are, the bins of all, and how many of these are single bright
        pixels.
    """
    faint, bins, bright = frame
    bins = bins.copy()
    seeds = _seeds(places, area)
    middles, scales = places[seeds], np.sqrt(area[seeds])
    before = np.full(len(places), -1)
    for _ in range(_ROUNDS):
        used, owner = np.unique(_nearest(places, middles, scales), return_inverse=True)
        bins[faint] = bright + owner
        signal, variance, count = (
            part[..., bright:] for part in field.sums(bins, bright + used.size)
        )
        ratio = np.clip(field.ratio(signal, variance, count) / target, 0.2, 5)
        middles = np.stack([np.bincount(owner, axis) for axis in places.T], axis=1) / count[:, None]
        scales = np.sqrt(count / ratio)
        if np.mean(owner != before) < _SETTLED:
            break
        before = owner
    return np.asarray(owner)


def _areas(field: Field, target: float) -> Values:
    """Return how many pixels around each one reach the target together: those of the smallest such box."""
    from scipy import ndimage

    height = field.index.size // field.width
    side_limit = int(max(np.ptp(field.rows), np.ptp(field.columns))) + 1
    sides = np.unique(np.minimum(np.rint(1.2 ** np.arange(60)).astype(int) | 1, side_limit | 1))

    def image(values: Values) -> Values:
        out = np.zeros(field.index.size)
        out[field.place] = values
        return np.asarray(out.reshape(height, field.width))

    dy, dx = _lags(field)
    planes = [image(s) for s in field.signal], [image(s[:-1] ** 2) for s in field.sigma]
    ones = image(np.ones(field.size))
    before, previous, out = None, None, np.full(field.size, float(field.size))
    for side in sides.tolist():
        signal, variance = (
            np.stack(
                [
                    ndimage.uniform_filter(p, side, mode="constant").ravel()[field.place] * side**2
                    for p in part
                ]
            )
            for part in planes
        )
        count = ndimage.uniform_filter(ones, side, mode="constant").ravel()[field.place] * side**2
        overlap = np.clip(1 - np.abs(dy) / side, 0, None) * np.clip(1 - np.abs(dx) / side, 0, None)
        gain = 1 + field.acf @ overlap
        ratio = field.ratio(signal, variance * gain[:, None], count) / target
        reached = (ratio >= 1) & (out == field.size)
        if before is not None and previous is not None:  # between two sizes of the box
            part = np.clip((1 - before) / np.where(ratio > before, ratio - before, 1), 0, 1)
            out[reached] = (previous + part * (count - previous))[reached]
        else:
            out[reached] = count[reached]
        before, previous = ratio, count
        if (out < field.size).all():
            break
    return np.asarray(np.maximum(out, 1))


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
    from scipy.spatial import KDTree

    distance, candidates = KDTree(middles).query(places, k=min(_CLOSE, len(middles)))
    if distance.ndim == 1:
        return np.asarray(candidates)
    best = np.argmin(distance / scales[candidates], axis=1)
    return np.asarray(candidates[np.arange(len(places)), best])


def whole(field: Field, bins: Bins, target: float) -> Bins:
    """Return the bins in one piece each: pieces other than the largest go to the bins around them."""
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
    """Give loose pixels to bins that they touch, rim first: to the nearest in units of its size, or the most alike.

    Loose pixels that touch no bin, not even through others, become a bin for each piece.
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
        far = np.where(owner >= 0, distance(waiting[:, None], owner), np.inf)
        best = far.argmin(axis=1)
        touch = (owner >= 0).any(axis=1)
        if not touch.any():
            break
        best[np.isinf(far.min(axis=1))] = (owner >= 0)[np.isinf(far.min(axis=1))].argmax(axis=1)
        bins[waiting[touch]] = owner[np.arange(waiting.size), best][touch]
    return _islands(field, bins)


def _near(field: Field, bins: Bins, number: int, target: float) -> Callable[[Bins, Bins], Values]:
    """Return the function that gives the distance of pixels from the middles of bins, in units of the bins' sizes."""
    signal, variance, count = (
        part[..., :number] for part in field.sums(np.where(bins < 0, number, bins), number + 1)
    )
    scale = np.sqrt(count / np.clip(field.ratio(signal, variance, count) / target, 0.2, 5))
    there = bins >= 0
    y, x = (
        np.bincount(bins[there], axis[there], minlength=number) / count
        for axis in (field.rows, field.columns)
    )

    def distance(pixels: Bins, owners: Bins) -> Values:
        away = np.hypot(field.rows[pixels] - y[owners], field.columns[pixels] - x[owners])
        return np.asarray(away / scale[owners])

    return distance


def _like(bins: Bins, number: int, spectra: Spectra) -> Callable[[Bins, Bins], Values]:
    """Return the function that gives how far the shapes of pixels' spectra are from those of bins."""
    there = bins >= 0
    sums = np.stack(
        [np.bincount(bins[there], flux[there], minlength=number) for flux in spectra.flux]
    ).astype(float)

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
    """Dissolve bins below the target into those around them, until none is left that touches another.

    Parameters
    ----------
    below : array of bool, (bin,), optional
        Bins to dissolve in the first round; those below the target when not given.
    spectra : Spectra, optional
        Their pixels go to the bins that are most alike; else to the nearest.
    """
    while True:
        number = int(bins.max()) + 1
        ratio = field.ratio(*field.sums(bins, number))
        below = ratio < target if below is None else below
        one, two = _contacts(field, bins)
        touching = np.zeros(number, bool)
        touching[one] = True
        below = below & touching
        if not below.any():
            return bins
        rank = np.where(below, ratio, np.inf)
        rank = np.argsort(np.argsort(rank, kind="stable"), kind="stable")
        first = below.copy()  # of two that touch, the worse one
        both = below[one] & below[two]
        first[one[both & (rank[one] > rank[two])]] = False
        bins = absorbed(field, bins, first[bins], target, spectra)
        below = None


def taken_in(field: Field, bins: Bins, low: NDArray[np.bool_], target: float) -> Bins:
    """Give bins below the target to the strongest one beside each, where that stays above the target."""
    for _ in range(_PASSES):
        number = int(bins.max()) + 1
        ratio = field.ratio(*field.sums(bins, number))
        one, two = _contacts(field, bins)
        near = low[one] & ~low[two]
        if not near.any():
            break
        one, two = one[near], two[near]
        order = np.argsort(ratio[two], kind="stable")
        host = np.arange(number)
        host[one[order]] = two[order]  # the last, strongest, stays
        after = field.ratio(*field.sums(host[bins], number))
        host = np.where(after[host] >= target, host, np.arange(number))
        if (host == np.arange(number)).all():
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


def traded(field: Field, bins: Bins, target: float) -> Bins:
    """Let bins give pixels of their rim to neighbours, so that the S/N of both gets nearer to the target.

    A bin above the target gives to a weaker one; one that has a pixel of the target's S/N by itself
    gives all others to bins that have not. None falls below the target by it or apart, and a pixel
    is taken only by a bin beside it.
    """
    bins = np.append(bins, -1)
    state = _State(field, bins, target)
    around = field.around(np.arange(field.size))
    for _ in range(_PASSES):
        labels = bins[around]
        rim = (labels[:, _SIDES] != bins[:-1, None]) & (labels[:, _SIDES] >= 0)
        ratio = state.ratio[bins[:-1]]
        donors = np.flatnonzero(rim.any(axis=1) & (state.count[bins[:-1]] > 1) & (ratio > target))
        moves = [
            state.move(pixel, bins[around[pixel]].tolist())
            for pixel in donors[np.argsort(-ratio[donors], kind="stable")]
        ]
        if not any(moves):
            break
    return bins[:-1]


def freed(field: Field, bins: Bins, target: float) -> Bins:
    """Make bins of pixels that reach the target by themselves, where what they leave stays whole and reaches it too."""
    bins = np.append(bins, -1)
    alone = _alone(field)
    bright = np.flatnonzero(alone >= target)
    bright = bright[
        np.argsort(alone[bright], kind="stable")
    ].tolist()  # the faintest first: more of them can go
    number = int(bins.max()) + 1
    state = _State(field, bins, target, spare=len(bright))
    for _ in range(_PASSES):
        before = number
        for pixel in bright:
            if state.count[bins[pixel]] > 1 and state.move(
                pixel, bins[field.around(pixel)].tolist(), to=number
            ):
                number += 1
        if number == before:
            break
    return bins[:-1]


def _alone(field: Field) -> Values:
    """Return the S/N of single pixels."""
    return field.ratio(field.signal, field.sigma[:, :-1] ** 2, np.ones(field.size))


class _State:
    """What bins hold, kept up to date while pixels move from one to another, or into one of `spare` empty ones."""

    def __init__(self, field: Field, bins: Bins, target: float, *, spare: int = 0) -> None:
        number = int(bins.max()) + 1 + spare
        self.field, self.bins, self.target = field, bins, target
        self.signal, self.variance, self.count = field.sums(bins[:-1], number)
        self.ratio = field.ratio(self.signal, self.variance, self.count)
        self.bright = np.bincount(bins[:-1], _alone(field) >= target, minlength=number) > 0

    def move(self, pixel: int, ring: list[int], *, to: int | None = None) -> bool:
        """Give a pixel to a neighbour, or to an empty bin, where that is good; return whether it was."""
        giver = int(self.bins[pixel])
        if self.count[giver] == 1 or not _stays_whole(ring, giver):
            return False
        if to is not None:
            return self._done(pixel, giver, to, always=True)
        beside = {ring[i] for i in _SIDES} - {giver, -1}
        beside = {who for who in beside if ring.count(who) > 1} or beside
        if self.bright[giver]:
            for taker in sorted(beside, key=lambda who: -self.ratio[who]):
                if not self.bright[taker] and self._done(pixel, giver, taker, always=True):
                    return True
        taker = min(beside, key=lambda who: self.ratio[who], default=-1)
        return (
            taker >= 0 and self.ratio[taker] < self.ratio[giver] and self._done(pixel, giver, taker)
        )

    def _done(self, pixel: int, giver: int, taker: int, *, always: bool = False) -> bool:
        field, target = self.field, self.target
        near = field.index[field.place[pixel] + field.offsets]
        owner, own = self.bins[near], field.sigma[:, pixel]
        after = []
        for who, sign in ((giver, -1.0), (taker, 1.0)):
            there = owner == who
            common = (field.sigma[:, near[there]] * field.acf[:, there]).sum(axis=1) * own
            spread = self.variance[:, who] + sign * (2 * common + own**2)
            total = self.signal[:, who] + sign * field.signal[:, pixel]
            after.append((who, total, spread, self.count[who] + sign))
        ratios = [field.ratio_of_one(*new[1:]) for new in after]
        least = target if always else min(target, self.ratio[taker])
        if ratios[0] < target or ratios[1] < least:
            return False
        if not always and _energy(ratios[0], ratios[1], target) >= _energy(
            self.ratio[giver], self.ratio[taker], target
        ):
            return False
        for (who, total, spread, pixels), ratio in zip(after, ratios, strict=True):
            self.signal[:, who], self.variance[:, who], self.count[who] = total, spread, pixels
            self.ratio[who] = ratio
        self.bins[pixel] = taker
        return True


def _energy(one: float, two: float, target: float) -> float:
    """Return how far two bins are from the target; what lacks counts four times."""
    logs = [np.log(max(value / target, 0.01)) for value in (one, two)]
    return float(sum(log**2 if log >= 0 else 4 * log**2 for log in logs))


def halved(field: Field, bins: Bins, target: float) -> Bins:
    """Cut bins that are enough for two: along or across their longest direction, where the weaker half is strongest.

    Only where both halves reach the target.
    """
    number = int(bins.max()) + 1
    signal, variance, count = field.sums(bins, number)
    enough = (field.ratio(signal, variance, count) >= _FOR_TWO * target) & (count > 1)
    if not enough.any():
        return bins
    best, cut = np.full(number, target), np.zeros(field.size, bool)
    for along in _directions(field, bins, number, count):
        order = np.lexsort((along, bins))
        rank = np.empty(field.size)
        rank[order] = np.arange(field.size) - np.repeat(np.cumsum(count) - count, count.astype(int))
        for share in _CUTS:
            second = enough[bins] & (rank >= np.maximum(share * count, 1)[bins])
            halves = field.ratio(*field.sums(np.where(second, bins + number, bins), 2 * number))
            weaker = np.minimum(halves[:number], halves[number:])
            better = enough & (weaker > best)
            best[better] = weaker[better]
            cut = np.where(better[bins], second, cut)
    cut_bins = np.unique(bins[cut])
    place = np.zeros(number, np.intp)
    place[cut_bins] = number + np.arange(cut_bins.size)
    return np.asarray(np.where(cut, place[bins], bins))


def _directions(field: Field, bins: Bins, number: int, count: Values) -> tuple[Values, Values]:
    """Return where each pixel is along the longest direction of its bin, and across it."""
    y, x = (
        axis - (np.bincount(bins, axis, minlength=number) / np.maximum(count, 1))[bins]
        for axis in (field.rows, field.columns)
    )
    yy, xx, xy = (np.bincount(bins, product, minlength=number) for product in (y * y, x * x, x * y))
    turn = (0.5 * np.arctan2(2 * xy, xx - yy))[bins]
    return x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)


def _stays_whole(ring: list[int], giver: int) -> bool:
    """Return whether the giver's pixels around the pixel hang together without it: they are one run of the ring."""
    own = [who == giver for who in ring]
    starts = sum(own[i] and not own[i - 1] for i in range(8))
    return starts == 1 or all(own)
