"""Bins that change: trading pixels of their rims, freeing bright pixels, cutting in two.

Plain arrays; `bins` has the public function.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hstcube.phot._field import SIDES, by_bin

if TYPE_CHECKING:
    from hstcube.phot._field import Bins, Field, Values

__all__ = ["freed", "halved", "traded"]

_PASSES = 4  # of trading
# what a bin loses by not being round, beside log(S/N over target)^2: rims stay straight, and the
# S/N of bins scatters no more for it
_SHAPE = 0.08
_FOR_TWO = 1.25  # of the target: what bins need to be cut in two
_TINY = 1e-300  # a variance, so that nothing is divided by 0
_CUTS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)  # shares of the pixels


def traded(field: Field, bins: Bins, target: float) -> Bins:
    """Let bins give pixels of their rim to neighbours: nearer to the target, and rounder.

    A bin above the target gives to a weaker one; one that has a pixel of the target's S/N by itself
    gives all others to bins that have not. None falls below the target by it or apart, and a pixel
    is taken only by a bin beside it.
    """
    bins = np.append(bins, -1)
    state = _State(field, bins, target)
    around = field.around(np.arange(field.size))
    for _ in range(_PASSES):
        moved = False
        for pixel in _donors(state, bins[around]).tolist():
            moved |= state.trade(pixel, bins[around[pixel]].tolist())
        if not moved:
            break
    return bins[:-1]


def _donors(state: _State, labels: Bins) -> Bins:
    """Return the pixels on rims, (pixel, 8) around them, that bins above the target can give.

    Those of the strongest bins come first.
    """
    own = state.bins[:-1]
    rim = (labels[:, SIDES] != own[:, None]) & (labels[:, SIDES] >= 0)
    ratio = np.array(state.ratio)[own]
    several = np.array([one.size > 1 for one in state.held])[own]
    donors = np.flatnonzero(rim.any(axis=1) & several & (ratio > state.target))
    return np.asarray(donors[np.argsort(-ratio[donors], kind="stable")])


def freed(field: Field, bins: Bins, target: float) -> Bins:
    """Make bins of pixels that reach the target alone; what they leave stays whole and good."""
    bins = np.append(bins, -1)
    alone = field.ratio_of_pixels()
    bright = np.flatnonzero(alone >= target)
    # the faintest first: more of them can go
    bright = bright[np.argsort(alone[bright], kind="stable")]
    number = int(bins.max()) + 1
    state = _State(field, bins, target, spare=bright.size)
    for _ in range(_PASSES):
        before = number
        for pixel in bright.tolist():
            if state.held[bins[pixel]].size > 1:
                number += state.free(pixel, bins[field.around(pixel)].tolist(), number)
        if number == before:
            break
    return bins[:-1]


class _Moments(NamedTuple):
    """Sums over the pixels of a bin."""

    y: float
    x: float
    square: float
    """Of y^2 + x^2."""

    def spread(self, number: float) -> float:
        """Return the mean square distance from the middle over that in a disc of the same area."""
        square = self.square / number - (self.y**2 + self.x**2) / number**2
        return 2 * math.pi * square / number


class _Bin(NamedTuple):
    """What one bin holds."""

    signal: list[float]  # (band,)
    variance: list[float]
    size: float
    ratio: float
    moments: _Moments


class _State:
    """What bins hold, kept up to date while pixels move from one to another.

    They may also move into one of `spare` empty bins. A pixel's ring are the bins of the eight
    around it, -1 for none. Numbers are Python's: arrays of few bands take ten times as long.
    """

    def __init__(self, field: Field, bins: Bins, target: float, *, spare: int = 0) -> None:
        number = int(bins.max()) + 1 + spare
        self.field, self.bins, self.target = field, bins, target
        sums = field.sums(bins[:-1], number)
        self.ratio: list[float] = field.ratio(sums).tolist()
        self.held = [
            _Bin(*one)
            for one in zip(
                sums.signal.T.tolist(),
                sums.variance.T.tolist(),
                sums.size.tolist(),
                self.ratio,
                _moments(field, bins[:-1], number),
                strict=True,
            )
        ]
        self.place = list(zip(field.rows.tolist(), field.columns.tolist(), strict=True))
        self.pixels = field.signal.T.tolist(), field.sigma.T.tolist()
        self.tails, self.sky_error = field.tails.T.tolist(), field.sky_error.tolist()
        alone = field.ratio_of_pixels() >= target
        self.bright = np.bincount(bins[:-1], alone, minlength=number) > 0

    def free(self, pixel: int, ring: list[int], empty: int) -> bool:
        """Move a pixel to an empty bin, where that is good; return whether it was."""
        return self._may_leave(pixel, ring) and self._give(pixel, empty, always=True)

    def trade(self, pixel: int, ring: list[int]) -> bool:
        """Move a pixel to a neighbour, where that is good; return whether it was."""
        if not self._may_leave(pixel, ring):
            return False
        giver = int(self.bins[pixel])
        beside = _beside(ring, giver)
        if self.bright[giver] and self._give_to_dim(pixel, beside):
            return True
        taker = min(beside, key=self.ratio.__getitem__, default=-1)
        return taker >= 0 and self.ratio[taker] < self.ratio[giver] and self._give(pixel, taker)

    def _may_leave(self, pixel: int, ring: list[int]) -> bool:
        giver = int(self.bins[pixel])
        return self.held[giver].size > 1 and _stays_whole(ring, giver)

    def _give_to_dim(self, pixel: int, beside: set[int]) -> bool:
        """Give a pixel to the strongest that can take it of the bins without a bright pixel."""
        for taker in sorted(beside, key=self.ratio.__getitem__, reverse=True):
            if not self.bright[taker] and self._give(pixel, taker, always=True):
                return True
        return False

    def _give(self, pixel: int, taker: int, *, always: bool = False) -> bool:
        """Give a pixel away if the giver stays above the target, and both are better for it.

        With `always` the taker must reach the target; how good they are does not matter then.
        """
        giver = int(self.bins[pixel])
        less = self._with(giver, -1.0, pixel)
        if less.ratio < self.target:
            return False
        more = self._with(taker, 1.0, pixel)
        if more.ratio < (self.target if always else min(self.target, self.ratio[taker])):
            return False
        if not always and self._energy(less, more) >= self._energy(
            self.held[giver], self.held[taker]
        ):
            return False
        self.held[giver], self.held[taker] = less, more
        self.ratio[giver], self.ratio[taker] = less.ratio, more.ratio
        self.bins[pixel] = taker
        return True

    def _with(self, who: int, sign: float, pixel: int) -> _Bin:
        """Return a bin with one pixel more (sign 1) or less (-1)."""
        old, light, sigma = self.held[who], self.pixels[0][pixel], self.pixels[1][pixel]
        signal = [have + sign * one for have, one in zip(old.signal, light, strict=True)]
        variance = [
            have + sign * (2 * common + one * one)
            for have, common, one in zip(old.variance, self._common(who, pixel), sigma, strict=True)
        ]
        count = old.size + sign
        (y, x), was = self.place[pixel], old.moments
        moments = _Moments(was.y + sign * y, was.x + sign * x, was.square + sign * (y * y + x * x))
        return _Bin(signal, variance, count, self._ratio(signal, variance, count), moments)

    def _common(self, who: int, pixel: int) -> list[float]:
        """Return what the noise of a pixel has in common with that of a bin's others, (band,)."""
        field = self.field
        if not field.offsets.size:
            return [0.0] * len(field.signal)
        near = field.index[field.place[pixel] + field.offsets]
        there = self.bins[near] == who
        common = (field.sigma[:, near[there]] * field.acf[:, there]).sum(axis=1)
        each: list[float] = (common * field.sigma[:, pixel]).tolist()
        return each

    def _ratio(self, signal: list[float], variance: list[float], count: float) -> float:
        """Return what `Field.ratio` does, of one bin."""
        tails = self.tails[round(count**0.5)]
        each = [
            light / math.sqrt(max(one * tail + (sky * count) * (sky * count), _TINY))
            for light, one, tail, sky in zip(signal, variance, tails, self.sky_error, strict=True)
        ]
        return min(max(each) if self.field.any_band else min(each), self.field.worth * count)

    def _energy(self, one: _Bin, other: _Bin) -> float:
        """Return how far two bins are from the target, and how far from round."""
        far = _distance(one.ratio / self.target) + _distance(other.ratio / self.target)
        spread = one.moments.spread(one.size) + other.moments.spread(other.size)
        return far + _SHAPE * spread


def _moments(field: Field, bins: Bins, number: int) -> list[_Moments]:
    """Return the moments of each bin."""
    y, x = field.rows.astype(float), field.columns.astype(float)
    sums = by_bin(bins, np.stack([y, x, y * y + x * x]), number)
    return [_Moments(*one) for one in sums.T.tolist()]


def _distance(ratio: float) -> float:
    """Return how far a S/N is from the target, given over it; what lacks counts four times."""
    log = np.log(max(ratio, 0.01))
    return float(log**2 if log >= 0 else 4 * log**2)


def _beside(ring: list[int], giver: int) -> set[int]:
    """Return the other bins at the sides of a pixel; only those that touch it twice, if any."""
    beside = {ring[i] for i in SIDES} - {giver, -1}
    twice = {who for who in beside if ring.count(who) > 1}
    return twice or beside


def _stays_whole(ring: list[int], giver: int) -> bool:
    """Return whether the giver hangs together without the pixel: it is one run of the ring."""
    starts, before = 0, ring[-1] == giver
    for who in ring:
        own = who == giver
        starts += own and not before
        before = own
    return starts == 1 or ring.count(giver) == len(ring)


def halved(field: Field, bins: Bins, target: float) -> Bins:
    """Cut bins that are enough for two along or across their longest direction.

    The cut is where the weaker half is strongest, and only made where both reach the target.
    """
    number = int(bins.max()) + 1
    sums = field.sums(bins, number)
    count = sums.size
    enough = (field.ratio(sums) >= _FOR_TWO * target) & (count > 1)
    if not enough.any():
        return bins
    best, cut = np.full(number, target), np.zeros(field.size, bool)
    for along in _directions(field, bins, count):
        rank = _ranks(bins, along, count)
        for share in _CUTS:
            second = enough[bins] & (rank >= np.maximum(share * count, 1)[bins])
            halves = field.ratio(field.sums(np.where(second, bins + number, bins), 2 * number))
            weaker = np.minimum(halves[:number], halves[number:])
            better = enough & (weaker > best)
            best[better] = weaker[better]
            cut = np.where(better[bins], second, cut)
    cut_bins = np.unique(bins[cut])
    place = np.zeros(number, np.intp)
    place[cut_bins] = number + np.arange(cut_bins.size)
    return np.asarray(np.where(cut, place[bins], bins))


def _ranks(bins: Bins, along: Values, count: Values) -> Values:
    """Return the rank 0, 1, ... of each pixel within its bin, in the order of `along`."""
    rank = np.empty(bins.size)
    before = np.cumsum(count) - count
    rank[np.lexsort((along, bins))] = np.arange(bins.size) - np.repeat(before, count.astype(int))
    return rank


def _directions(field: Field, bins: Bins, count: Values) -> tuple[Values, Values]:
    """Return where each pixel is along the longest direction of its bin, and across it."""
    places = np.stack([field.rows, field.columns])
    middles = by_bin(bins, places, count.size) / np.maximum(count, 1)
    y, x = places - middles[:, bins]
    yy, xx, xy = by_bin(bins, np.stack([y * y, x * x, x * y]), count.size)
    turn = (0.5 * np.arctan2(2 * xy, xx - yy))[bins]
    return x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
