"""What replacing sources needs of plain arrays: their surroundings, their wings, noise to fill in.

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

__all__ = ["Ellipses", "correlated_noise", "light_under", "local_medians", "wings_around"]

_BRIGHT = 0.3  # of its brightest pixel: what tells the centre of a source


def local_medians(plane: NDArray[Any], used: Mask, sources: Numbers, nearest: int) -> Image64:
    """Return the median of the pixels to use that are nearest to each source, (source + 1,).

    Parameters
    ----------
    plane : array, (y, x)
    used : array of bool, (y, x)
    sources : array of int, (y, x)
    nearest : int
        How many of the pixels; all where there are fewer.

    Returns
    -------
    array
        The first is that of all pixels to use.
    """
    from scipy import ndimage, spatial

    places = np.argwhere(used)
    values = plane[used].astype(np.float64)
    number = int(sources.max(initial=0))
    middles = ndimage.center_of_mass(sources > 0, sources, np.arange(1, number + 1))
    out = [np.median(values)]
    if number:
        _, near = spatial.cKDTree(places).query(middles, k=min(nearest, len(places)))
        out += np.median(values[near].reshape(number, -1), axis=1).tolist()
    return np.array(out)


def correlated_noise(acf: Image64, shape: tuple[int, int], rng: np.random.Generator) -> Image64:
    """Return noise of unit variance and a given autocorrelation, (y, x).

    White noise is coloured by the root of the power spectrum, the transform of the autocorrelation
    (Wiener-Khinchin), on a frame that is larger by its reach: nothing wraps around.

    Parameters
    ----------
    acf : array, (dy, dx)
        Odd sizes, 1 in the middle.
    shape : (int, int)
    rng : Generator
    """
    from scipy import fft

    ny, nx = (fft.next_fast_len(n + m, real=True) for n, m in zip(shape, acf.shape, strict=True))
    wrapped = np.zeros((ny, nx))
    wrapped[: acf.shape[0], : acf.shape[1]] = acf
    wrapped = np.roll(wrapped, (-(acf.shape[0] // 2), -(acf.shape[1] // 2)), (0, 1))
    # an autocorrelation that was measured, or cut, may have a power below 0 somewhere
    power = np.clip(fft.rfft2(wrapped).real, 0, None)
    white = fft.rfft2(rng.normal(size=(ny, nx)))
    noise = fft.irfft2(white * np.sqrt(power), s=(ny, nx))
    variance = fft.irfft2(power, s=(ny, nx))[0, 0]
    return np.asarray(noise[: shape[0], : shape[1]] / np.sqrt(variance))


class Ellipse(NamedTuple):
    """The place and shape of a source: radii around it are those along its major axis."""

    centre: NDArray[np.float64]
    """(y, x)."""
    matrix: Image64
    """r^2 = d matrix d for an offset d from the centre."""
    box: tuple[slice, slice]
    """Rows and columns of the source."""

    def radii(self, window: tuple[slice, slice]) -> Image64:
        """Return the radii of the pixels of a window, (y, x)."""
        y, x = np.mgrid[window].astype(np.float64)
        y, x = y - self.centre[0], x - self.centre[1]
        (yy, yx), (_, xx) = self.matrix
        return np.asarray(np.sqrt(yy * y**2 + 2 * yx * y * x + xx * x**2))


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
    return Ellipse(centre, np.linalg.inv(moments) * major, box)


class Ellipses(NamedTuple):
    """Those of sources by their numbers, the brightest first, and that of the object."""

    others: dict[int, Ellipse]
    own: Ellipse | None

    @classmethod
    def of(cls, light: Image64, sources: Numbers, mine: Mask) -> Ellipses:
        """Return the ellipses of sources (y, x) and object (y, x) by their light (y, x)."""
        from scipy import ndimage

        numbers = np.arange(1, int(sources.max(initial=0)) + 1)
        sums = ndimage.sum_labels(np.clip(light, 0, None), sources, numbers)
        boxes = ndimage.find_objects(sources)
        others = {}
        for number in numbers[np.argsort(-sums, kind="stable")].tolist():
            box = boxes[number - 1]
            found = ellipse_of(light[box], sources[box] == number)
            start = np.array([side.start for side in box], float)
            others[number] = found._replace(centre=found.centre + start, box=box)
        return cls(others, ellipse_of(light, mine) if mine.any() else None)


def profile_around(plane: NDArray[Any], used: Mask, radii: Image64, reach: float) -> Image64:
    """Return a source as its mean on ellipses, (y, x), 0 beyond `reach`.

    Parameters
    ----------
    plane : array, (y, x)
    used : array of bool, (y, x)
        Where the source alone can be seen.
    radii : array, (y, x)
        Along the major axis, pixels.
    reach : float
        The largest of them.
    """
    used = used & (radii <= reach)
    ring = np.rint(radii[used]).astype(np.intp)
    number = np.bincount(ring)
    there = number > 0
    if not there.any():
        return np.zeros(plane.shape)
    mean = np.bincount(ring, plane[used].astype(np.float64))[there] / number[there]
    radius = np.bincount(ring, radii[used])[there] / number[there]
    return np.asarray(np.where(radii <= reach, np.interp(radii, radius, mean), 0.0))


def wings_around(
    plane: Image64, valid: Mask, sources: Numbers, blank: Mask, ellipses: Ellipses, reach: int
) -> Image64:
    """Return the light of sources beyond their own pixels, (y, x), 0 in these.

    Of every source it is the mean on its ellipses, measured on the side that is turned away from
    the object; the brightest comes first, and the next one is measured on what is left.

    Parameters
    ----------
    plane : array, (y, x)
        Less the level of the sky.
    valid : array of bool, (y, x)
    sources : array of int, (y, x)
    blank : array of bool, (y, x)
        The pixels of no source.
    ellipses : Ellipses
    reach : int
        How far wings are followed, pixels.
    """
    left = np.where(valid, plane, 0.0)
    for number, ellipse in ellipses.others.items():
        window = _grown(ellipse.box, reach, plane.shape)
        part = sources[window]
        seen = valid[window] & (blank[window] | (part == number))
        if ellipses.own is not None:
            seen &= _turned_away(window, ellipse.centre, ellipses.own.centre)
        wings = profile_around(left[window], seen, ellipse.radii(window), reach)
        left[window] -= np.where(part == 0, wings, 0.0)
    return np.asarray(np.where(valid, plane, 0.0) - left)


def light_under(plane: Image64, used: Mask, ellipses: Ellipses, reach: int) -> Image64:
    """Return the object as its mean on ellipses, (y, x).

    Parameters
    ----------
    plane : array, (y, x)
        Less the sky and the wings of other sources.
    used : array of bool, (y, x)
        Where nothing else is seen.
    ellipses : Ellipses
    reach : int
        How far it is followed, pixels.
    """
    out = np.zeros(plane.shape)
    if ellipses.own is not None:
        window = _grown(ellipses.own.box, reach, plane.shape)
        radii = ellipses.own.radii(window)
        out[window] = profile_around(plane[window], used[window], radii, reach)
    return out


def _grown(box: tuple[slice, slice], by: float, shape: tuple[int, ...]) -> tuple[slice, slice]:
    rows, columns = (
        slice(max(side.start - int(by), 0), min(side.stop + int(by), size))
        for side, size in zip(box, shape, strict=True)
    )
    return rows, columns


def _turned_away(
    window: tuple[slice, slice], centre: NDArray[np.float64], other: NDArray[np.float64]
) -> Mask:
    """Return the half of a window that lies beyond a centre as seen from another place."""
    y, x = np.mgrid[window]
    towards = other - centre
    return np.asarray((y - centre[0]) * towards[0] + (x - centre[1]) * towards[1] < 0)
