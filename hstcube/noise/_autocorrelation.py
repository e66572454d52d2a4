"""Autocorrelation of the noise of blank sky, without the bias of removing the local background.

Plain arrays, (y, x). An image z of unit-free noise, a mask of blank pixels, and the scale of the
background in pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hstcube.basics.robust import gaussian_mean, gaussian_weights

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Image64 = NDArray[np.float64]
    Mask = NDArray[np.bool_]

__all__ = ["pair_sums", "removal_bias", "unbiased"]


def pair_sums(z: Image64, blank: Mask, reach: tuple[int, int]) -> tuple[Image64, Image64]:
    """Return the sum of z(i) z(i + l) over pairs of blank pixels, and their number, for all lags.

    Returns
    -------
    array, (2 ry + 1, 2 rx + 1); array, (2 ry + 1, 2 rx + 1)
    """
    number = _correlated(blank.astype(np.float64), reach)
    return _correlated(np.where(blank, z, 0), reach), np.rint(number)


def removal_bias(blank: Mask, scale: float, reach: tuple[int, int]) -> Image64:
    """Return what removing the background takes from the covariance, summed over pairs of pixels.

    For pairs of blank pixels, in units of the sum of the covariances over all lags, which must be
    short against the scale of the background: for weights g_i(j) = G(i - j) m_j/D_i, D = G conv m,
    the mean over j that is subtracted at i,

        cov(z_i - sum_j g_i(j) z_j, z_k - sum_j g_k(j) z_j) = C(i - k) - S (g_k(i) + g_i(k) - sum_j
        g_i(j) g_k(j)).

    White noise sent through the same mask has S = 1: this is its expectation, without the scatter
    of a simulation. The last sum is exp(-l^2/4 scale^2) (G^2 conv m)/(D_i D_k), taken half-way
    between i and k.

    Returns
    -------
    array, (2 ry + 1, 2 rx + 1)
    """
    inverse = np.where(blank, 1 / gaussian_weights(blank, scale), 0)
    profile = _profile(scale)
    norm = (profile**2).sum() ** 2
    middle = gaussian_mean(blank.astype(np.float64), scale / np.sqrt(2)) * norm
    either = _correlated(inverse, reach, blank.astype(np.float64))
    out, scratch = np.empty_like(either), np.empty(blank.size)
    for (y, x), (dy, dx) in _half_of_lags(reach):
        near = np.exp(-(dy**2 + dx**2) / (2 * scale**2)) * profile[profile.size // 2] ** 2
        first, second, between = _ends(inverse, middle, dy, dx)
        product = np.multiply(first, second, out=scratch[: first.size].reshape(first.shape))
        product *= between
        both = np.exp(-(dy**2 + dx**2) / (4 * scale**2)) * product.sum()
        out[y, x] = out[-1 - y, -1 - x] = near * (either[y, x] + either[-1 - y, -1 - x]) - both
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


def _correlated(first: Image64, reach: tuple[int, int], second: Image64 | None = None) -> Image64:
    """Return the sum over i of first(i) second(i + l) for every lag l up to the reach.

    Beyond the frame there are zeros.
    """
    from scipy import fft

    size = [fft.next_fast_len(n + r, real=True) for n, r in zip(first.shape, reach, strict=True)]
    one = fft.rfft2(first, size)
    other = one if second is None else fft.rfft2(second, size)
    circle = fft.irfft2(np.conj(one) * other, size)
    return np.asarray(circle[np.ix_(*(np.arange(-r, r + 1) for r in reach))])


def _half_of_lags(
    reach: tuple[int, int],
) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Yield lags and their places, one of each pair l and -l: these are of the same pixels."""
    for y in range(reach[0] + 1):
        for x in range(2 * reach[1] + 1 if y < reach[0] else reach[1] + 1):
            yield (y, x), (y - reach[0], x - reach[1])


def _ends(image: Image64, middle: Image64, dy: int, dx: int) -> list[Image64]:
    """Return the image at i and at i + l, and `middle` half-way, where i + l is in the frame."""
    starts = [(max(-d, 0), max(-d, 0) + d, max(-d, 0) + d // 2) for d in (dy, dx)]
    height, width = (max(n - abs(d), 0) for n, d in zip(image.shape, (dy, dx), strict=True))
    return [
        source[y : y + height, x : x + width]
        for source, y, x in zip((image, image, middle), *starts, strict=True)
    ]
