"""What replacing sources needs of plain arrays: the sky around them, and noise to fill in.

Sources are numbered 1, 2, ... in an image of integers, (y, x), that is 0 elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Image64 = NDArray[np.float64]
    Mask = NDArray[np.bool_]
    Numbers = NDArray[np.integer[Any]]

__all__ = ["correlated_noise", "local_medians"]


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
