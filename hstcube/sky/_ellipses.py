"""Sources as means on ellipses: how far their light reaches, and what it is where others lie.

Sources are numbered 1, 2, ... in an image of integers, (y, x), that is 0 elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Image64 = NDArray[np.float64]
    Mask = NDArray[np.bool_]
    Numbers = NDArray[np.integer[Any]]

__all__ = ["Ellipse", "Profiles", "ellipse_of"]

_SURE = 3.0  # standard errors of the mean: below it the light of a source is lost in noise
_FEW = 8  # pixels of an ellipse: fewer do not tell their scatter
_RISES = 2.0  # times the faintest light inside of it: what is brighter is something else's
_SIZES = 2.0  # radii of a source, and a quarter of the reach: as far as wings are followed
_MANY = 50  # pixels far from a source: fewer do not tell the level there
_BRIGHT = 0.3  # of its brightest pixel: what tells the centre of a source


class Profiles(NamedTuple):
    """Sources and the object, each as its mean on ellipses.

    Their shapes, and how far they reach, are the same in all bands: else colours would change where
    a shallow band loses a source earlier than a deep one.
    """

    sources: Numbers
    """(y, x)."""
    clear: Mask
    """(y, x): the pixels of no source."""
    mine: Mask
    """(y, x): the object."""
    others: dict[int, Ellipse]
    """By their numbers, the brightest first."""
    own: Ellipse | None

    @classmethod
    def of(
        cls, light: Image64, valid: Mask, sources: Numbers, clear: Mask, mine: Mask, reach: int
    ) -> Profiles:
        """Return the profiles of sources by their light.

        Parameters
        ----------
        light : array, (y, x)
            In units of its noise: all bands together.
        valid : array of bool, (y, x)
        sources : array of int, (y, x)
        clear, mine : array of bool, (y, x)
        reach : int
            How far beyond a source its light is followed at most, pixels.
        """
        own = ellipse_of(light, mine) if mine.any() else None
        found = cls(sources, clear, mine, _ellipses(light, sources), own)
        left = np.where(valid, light, 0.0)
        ends = {}
        for number, ellipse in found.others.items():
            window = ellipse.window(reach, left.shape)
            seen = found.alone(number, valid, window)
            ends[number] = ellipse.ending(left[window], seen, window, reach)
            found._take(number, ends[number], left, valid)
        found = found._replace(others=ends)
        if own is None:
            return found
        window = own.window(reach, left.shape)
        seen = (valid & (clear | mine))[window]
        return found._replace(own=own.ending(left[window], seen, window, reach))

    def alone(self, number: int, valid: Mask, window: tuple[slice, slice]) -> Mask:
        """Return where a source is seen alone: on the side that is turned away from the object."""
        mine = self.sources[window] == number
        seen = np.asarray(valid[window] & (self.clear[window] | mine))
        if self.own is None:
            return seen
        away = _turned_away(window, self.others[number].centre, self.own.centre)
        return np.asarray(seen & away)

    def _take(self, number: int, ellipse: Ellipse, left: Image64, valid: Mask) -> None:
        """Subtract the light of a source outside of all sources, in place."""
        window = ellipse.window(ellipse.reach, left.shape)
        light = ellipse.mean(left[window], self.alone(number, valid, window), window)
        left[window] -= np.where(self.sources[window] == 0, light, 0.0)

    def wings(self, plane: Image64, valid: Mask) -> Image64:
        """Return the light of all sources beyond their own pixels, (y, x), 0 in these.

        The brightest comes first, and the next one is measured on what is left.
        """
        left = np.where(valid, plane, 0.0)
        for number, ellipse in self.others.items():
            self._take(number, ellipse, left, valid)
        return np.asarray(np.where(valid, plane, 0.0) - left)

    def under(self, plane: Image64, valid: Mask) -> Image64:
        """Return the light of the object, (y, x), where it is seen and where it is not.

        The plane is one without the wings of the others.
        """
        out = np.zeros(plane.shape)
        if self.own is not None:
            window = self.own.window(self.own.reach, plane.shape)
            seen = (valid & (self.clear | self.mine))[window]
            out[window] = self.own.mean(plane[window], seen, window)
        return out


class Ellipse(NamedTuple):
    """The place and shape of a source: radii around it are those along its major axis."""

    centre: NDArray[np.float64]
    """(y, x)."""
    matrix: Image64
    """r^2 = d matrix d for an offset d from the centre."""
    box: tuple[slice, slice]
    """Rows and columns of the source."""
    size: float = 0.0
    """The radius along its major axis of an ellipse of as many pixels as the source has."""
    end: float = 0.0
    """The radius from which on its light is lost in noise, pixels."""
    reach: float = 0.0
    """How far beyond the source it was looked for, pixels."""

    def window(self, reach: float, shape: tuple[int, ...]) -> tuple[slice, slice]:
        """Return the part of an image that lies within a distance from the source."""
        rows, columns = (
            slice(max(side.start - int(reach), 0), min(side.stop + int(reach), size))
            for side, size in zip(self.box, shape, strict=True)
        )
        return rows, columns

    def radii(self, window: tuple[slice, slice]) -> Image64:
        """Return the radii of the pixels of a window, (y, x)."""
        y, x = np.mgrid[window].astype(np.float64)
        y, x = y - self.centre[0], x - self.centre[1]
        (yy, yx), (_, xx) = self.matrix
        return np.asarray(np.sqrt(yy * y**2 + 2 * yx * y * x + xx * x**2))

    def mean(self, plane: Image64, seen: Mask, window: tuple[slice, slice]) -> Image64:
        """Return the mean on ellipses over the pixels that are seen, 0 beyond the end.

        All are of the window, (y, x).
        """
        radii = self.radii(window)
        level = _level(plane[seen], radii[seen], self.reach)
        seen = seen & (radii <= self.end)
        if not seen.any():
            return np.zeros(plane.shape)
        _, mean, _, radius = _rings(plane[seen] - level, radii[seen])
        return np.asarray(np.where(radii <= self.end, np.interp(radii, radius, mean), 0.0))

    def ending(
        self, plane: Image64, seen: Mask, window: tuple[slice, slice], reach: float
    ) -> Ellipse:
        """Return the ellipse that knows from which radius on its light is lost in noise."""
        if not seen.any():
            return self._replace(reach=reach)
        radii = self.radii(window)[seen]
        level = _level(plane[seen], radii, reach)
        number, mean, error, radius = _rings(plane[seen] - level, radii)
        lost = (mean < _SURE * error) & (number > _FEW)
        lost |= mean > _RISES * np.minimum.accumulate(np.maximum(mean, 0.0))
        # and who could be seen from so far would have a larger label; where too little is seen to
        # tell the level around, what is far may be of another source
        lost |= radius > _SIZES * self.size + (reach / 4 if _tells_level(radii, reach) else 0)
        first = int(np.argmax(lost)) if lost.any() else len(radius)
        return self._replace(end=float(radius[first - 1]) if first else 0.0, reach=reach)


def _ellipses(light: Image64, sources: Numbers) -> dict[int, Ellipse]:
    """Return the ellipses of sources by their numbers, the brightest first."""
    from scipy import ndimage

    numbers = np.arange(1, int(sources.max(initial=0)) + 1)
    sums = ndimage.sum_labels(np.clip(light, 0, None), sources, numbers)
    boxes = ndimage.find_objects(sources)
    found = {}
    for number in numbers[np.argsort(-sums, kind="stable")].tolist():
        box = boxes[number - 1]
        inside = ellipse_of(light[box], sources[box] == number)
        start = np.array([side.start for side in box], float)
        found[number] = inside._replace(centre=inside.centre + start, box=box)
    return found


def ellipse_of(light: Image64, source: Mask) -> Ellipse:
    """Return the ellipse of a source, by the moments of its light.

    The centre is that of its pixels above 0.3 of the brightest one; moments are taken over pixels
    whose mirror image through it belongs to the source too: a label that is cut on the side of a
    neighbour has the shape of the whole.

    Parameters
    ----------
    light : array, (y, x)
        In any unit.
    source : array of bool, (y, x)
    """
    places = np.argwhere(source)
    low, high = places.min(axis=0).tolist(), (places.max(axis=0) + 1).tolist()
    box = (slice(low[0], high[0]), slice(low[1], high[1]))
    weights = np.clip(light[source], 0, None).astype(np.float64)
    if not weights.any():
        weights = np.ones(len(places))
    bright = weights > _BRIGHT * weights.max()
    centre = np.average(places[bright], axis=0, weights=weights[bright])
    mirrored = np.rint(2 * centre - places).astype(np.intp)
    inside = np.asarray(((mirrored >= 0) & (mirrored < source.shape)).all(axis=1))
    inside[inside] = source[tuple(mirrored[inside].T)]
    offsets, weights = places[inside] - centre, weights[inside]
    moments = np.eye(2) / 12  # a pixel's own
    if weights.sum() > 0:
        moments = moments + (offsets.T * weights) @ offsets / weights.sum()
    major = np.linalg.eigvalsh(moments)[-1]
    ratio = float(np.sqrt(np.linalg.det(moments)) / major)  # of minor to major axis
    size = float(np.sqrt(len(places) / np.pi / ratio))
    return Ellipse(centre, np.linalg.inv(moments) * major, box, size)


def _level(values: Image64, radii: Image64, reach: float) -> float:
    """Return the level around a source, which is no light of its own: what other wings leave."""
    return float(np.median(values[radii > reach / 2])) if _tells_level(radii, reach) else 0.0


def _tells_level(radii: Image64, reach: float) -> bool:
    return bool(np.count_nonzero(radii > reach / 2) > _MANY)


def _rings(values: Image64, radii: Image64) -> tuple[Image64, Image64, Image64, Image64]:
    """Return number, mean, its error and mean radius of the pixels of every ring that has some."""
    ring = np.rint(radii).astype(np.intp)
    number = np.bincount(ring).astype(np.float64)
    there = np.flatnonzero(number)
    number = number[there]
    mean, square, radius = (
        np.bincount(ring, weights)[there] / number for weights in (values, values**2, radii)
    )
    return number, mean, np.sqrt(np.clip(square - mean**2, 0, None) / number), radius


def _turned_away(
    window: tuple[slice, slice], centre: NDArray[np.float64], other: NDArray[np.float64]
) -> Mask:
    """Return the half of a window that lies beyond a centre as seen from another place."""
    y, x = np.mgrid[window]
    towards = other - centre
    return np.asarray((y - centre[0]) * towards[0] + (x - centre[1]) * towards[1] < 0)
