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

__all__ = ["Rings", "correlated_noise", "local_medians", "rings_around"]


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


class Rings(NamedTuple):
    """The pixels around sources: whose they are, how far, and which show nothing else."""

    place: NDArray[np.intp]
    """(y, x): source and distance in one number, 0 in the sources and beyond the last ring."""
    blank: Mask
    """Where the light of the source alone can be seen on blank sky."""
    counts: Image64
    """Pixels of every ring, whatever they show."""

    def means(self, plane: NDArray[Any], valid: Mask) -> Image64:
        """Return the mean of every ring over its blank pixels, (ring,).

        Where a ring has none, that of the next one inside is its own.
        """
        seen = self.blank & valid
        number = np.bincount(self.place[seen], minlength=self.counts.size)
        total = np.bincount(
            self.place[seen], plane[seen].astype(np.float64), minlength=self.counts.size
        )
        there = np.where(number > 0, np.arange(number.size), 0)
        return np.asarray((total / np.maximum(number, 1))[np.maximum.accumulate(there)])


def rings_around(sources: Numbers, blank: Mask, mine: Mask, reach: int) -> Rings:
    """Return rings of a pixel's width around every source.

    Parameters
    ----------
    sources : array of int, (y, x)
    blank : array of bool, (y, x)
        What shows no source at all.
    mine : array of bool, (y, x)
        The object that is kept: blank pixels that are nearer to it show its own wings.
    reach : int
        Number of the rings.
    """
    from scipy import ndimage

    seen = sources > 0
    distance, index = ndimage.distance_transform_edt(~seen, return_indices=True)
    whose = sources[tuple(index)]
    far = ndimage.distance_transform_edt(~mine) if mine.any() else np.full(seen.shape, np.inf)
    step = np.rint(distance).astype(np.intp)
    place = np.where((step > 0) & (step <= reach), whose * (reach + 1) + step, 0)
    size = (int(sources.max(initial=0)) + 1) * (reach + 1)
    counts = np.bincount(place.ravel(), minlength=size).astype(np.float64)
    counts[0] = 0
    return Rings(place, blank & (distance < far) & (place > 0), counts)


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
