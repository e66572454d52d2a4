"""Autocorrelation of the noise of blank sky whose local background was removed, without the bias that this leaves.

Plain arrays, (y, x). An image z of unit-free noise, a mask of blank pixels, and the scale of the
background in pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    Image64 = NDArray[np.float64]
    Mask = NDArray[np.bool_]

__all__ = ["clipped", "pair_sums", "removal_bias", "unbiased", "without_background"]

_CLIP = 4.0  # robust standard deviations: Gaussian noise loses 0.05 % of its rms beyond
_MAD_TO_SIGMA = 1.482602218505602


def without_background(z: Image64, blank: Mask, scale: float) -> Image64:
    """Return z less its mean over the blank pixels around, weighted with a Gaussian; 0 where nothing is blank."""
    level = np.divide(_smoothed(np.where(blank, z, 0), scale), _weights(blank, scale))
    return np.where(blank, z - level, 0)


def clipped(z: Image64, blank: Mask, scale: float) -> Mask:
    """Return the blank pixels within 4 robust standard deviations of their local background."""
    for _ in range(3):
        rest = without_background(z, blank, scale)
        width = _MAD_TO_SIGMA * np.median(np.abs(rest[blank])) if blank.any() else 0.0
        kept = blank & (np.abs(rest) <= _CLIP * width)
        if np.array_equal(kept, blank):
            break
        blank = kept
    return blank


def pair_sums(z: Image64, blank: Mask, reach: tuple[int, int]) -> tuple[Image64, Image64]:
    """Return the sum of z(i) z(i + l) over pairs of blank pixels, and their number, for every lag l.

    Returns
    -------
    array, (2 ry + 1, 2 rx + 1); array, (2 ry + 1, 2 rx + 1)
    """
    return _correlated(np.where(blank, z, 0), reach), np.rint(
        _correlated(blank.astype(np.float64), reach)
    )


def removal_bias(blank: Mask, scale: float, reach: tuple[int, int]) -> Image64:
    """Return the sum over pairs of blank pixels of what removing the background takes from their covariance.

    In units of the sum of the covariances over all lags, which must be short against the scale of
    the background: for weights g_i(j) = G(i - j) m_j/D_i, D = G conv m, the mean over j that is
    subtracted at i,

        cov(z_i - sum_j g_i(j) z_j, z_k - sum_j g_k(j) z_j) = C(i - k) - S (g_k(i) + g_i(k) - sum_j
        g_i(j) g_k(j)).

    White noise sent through the same mask has S = 1: this is its expectation, without the scatter
    of a simulation. The last sum is exp(-l^2/4 scale^2) (G^2 conv m)/(D_i D_k), taken half-way
    between i and k.

    Returns
    -------
    array, (2 ry + 1, 2 rx + 1)
    """
    inverse = np.where(blank, 1 / _weights(blank, scale), 0)
    profile = _profile(scale)
    norm = (profile**2).sum() ** 2
    middle = _smoothed(blank.astype(np.float64), scale / np.sqrt(2)) * norm
    either = _correlated(inverse, reach, blank.astype(np.float64))
    out = np.empty_like(either)
    for (y, x), (dy, dx) in _lags(reach):
        near = np.exp(-(dy**2 + dx**2) / (2 * scale**2)) * profile[profile.size // 2] ** 2
        first, second, between = _ends(inverse, middle, dy, dx)
        both = np.exp(-(dy**2 + dx**2) / (4 * scale**2)) * (first * second * between).sum()
        out[y, x] = near * (either[y, x] + either[-1 - y, -1 - x]) - both
    return out


def unbiased(raw: Image64, bias: Image64, within: Mask) -> Image64:
    """Return the covariances from those that were left once the background was removed.

    C(l) = raw(l) + bias(l) S, S the sum of C over the lags that count: S = sum(raw)/(1 - sum(bias))
    over them.

    Parameters
    ----------
    raw, bias : array, (2 ry + 1, 2 rx + 1)
        Means over pairs.
    within : array of bool
        The lags that count; beyond them C is 0.
    """
    total = raw[within].sum() / (1 - bias[within].sum())
    return np.where(within, raw + bias * total, 0)


def _profile(scale: float) -> Image64:
    radius = int(4 * scale + 0.5)
    profile = np.exp(-0.5 * (np.arange(-radius, radius + 1) / scale) ** 2)
    return np.asarray(profile / profile.sum())


def _smoothed(image: Image64, scale: float) -> Image64:
    from scipy import ndimage

    return np.asarray(ndimage.gaussian_filter(image, scale, mode="constant", truncate=4.0))


def _weights(blank: Mask, scale: float) -> Image64:
    """Return the share of the Gaussian around every pixel that is blank; never 0, so that it divides."""
    return np.maximum(_smoothed(blank.astype(np.float64), scale), np.finfo(np.float64).tiny)


def _correlated(first: Image64, reach: tuple[int, int], second: Image64 | None = None) -> Image64:
    """Return the sum over i of first(i) second(i + l) for every lag l up to the reach; zeros beyond the frame."""
    from scipy import fft

    size = [fft.next_fast_len(n + r, real=True) for n, r in zip(first.shape, reach, strict=True)]
    one = fft.rfft2(first, size)
    other = one if second is None else fft.rfft2(second, size)
    circle = fft.irfft2(np.conj(one) * other, size)
    return np.asarray(circle[np.ix_(*(np.arange(-r, r + 1) for r in reach))])


def _lags(reach: tuple[int, int]) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    for y in range(2 * reach[0] + 1):
        for x in range(2 * reach[1] + 1):
            yield (y, x), (y - reach[0], x - reach[1])


def _ends(image: Image64, middle: Image64, dy: int, dx: int) -> Sequence[Image64]:
    """Return the image at i and at i + l, and `middle` half-way, for all i of which i + l is in the frame."""
    starts = [(max(-d, 0), max(-d, 0) + d, max(-d, 0) + d // 2) for d in (dy, dx)]
    height, width = (max(n - abs(d), 0) for n, d in zip(image.shape, (dy, dx), strict=True))
    return [
        source[y : y + height, x : x + width]
        for source, y, x in zip((image, image, middle), *starts, strict=True)
    ]
