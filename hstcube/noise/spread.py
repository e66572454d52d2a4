"""The variance of single pixels of convolved and of regridded images, correlated before.

The model is that of `correlation`. Plain arrays. ``noise_scale`` says how much larger the sigma of
a new pixel is than without correlations: that of a pixel that saw all of its input, with equal
weights. One beside a hole has fewer neighbours that scatter with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hstcube.basics.convolution import sum_convolver
from hstcube.basics.memory import remembered
from hstcube.noise.correlation import find_groups, variances

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Image64 = NDArray[np.float64]

__all__ = ["Noise", "correlated_spread", "gain_of_blocks", "gain_of_weights"]

_AT_ONCE = 1 << 20  # numbers in one batch
_IN_CACHE = 1 << 15  # numbers in one batch of what memory is slower than to compute
_ROUNDED = 1e-9  # of C(0): a lag at which C is larger by less needs no convolution of its own
_SHORT = 0.03  # correlations below this are no matter for the variance of one pixel


def correlated_spread(noise: Image64, kernel: Image64, acf: Image64) -> Image64:
    """Return the variance of a convolved image, over what correlations add where it is constant.

    var_i = sum over lags l of rho(l) [K(m) K(m - l)] conv [sigma(j) sigma(j + l)], divided by (rho
    conv C)(0)/C(0): for white noise, K^2 conv var. Lags whose correlation is below 0.03 are left
    out of the sum and of the divisor.

    The product K(m) K(m - l) of a Gaussian is that of the lag l mod 2 (0 or 1 along each axis),
    times C(l)/C(l mod 2), moved by (l - l mod 2)/2. So four convolutions do for all lags; of other
    kernels, a lag at which C is larger than at l mod 2 gets a convolution of its own.

    Parameters
    ----------
    noise : array, (y, x)
        Variance of single pixels, 0 where there is no data.
    kernel : array, (ky, kx)
    acf : array, (2 ry + 1, 2 rx + 1)

    Returns
    -------
    array, (y, x)
    """
    gain, lags, products = _lags_of(kernel, acf)
    reach = (acf.shape[0] // 2, acf.shape[1] // 2)
    sigma = np.pad(np.sqrt(noise), [(n, n) for n in reach])  # beyond the frame there is nothing

    def terms(rows: slice, columns: slice) -> Iterator[Image64]:
        for base, _ in products:
            term = noise[rows, columns]
            term = np.zeros(term.shape) if base != (0, 0) else term.copy()
            here = (rows.start + reach[0], columns.start + reach[1])
            _add_pairs(term, sigma, here, [lag for lag in lags if lag.base == base])
            yield term

    return sum_convolver([product for _, product in products], noise.shape)(terms) / gain


def _add_pairs(term: Image64, sigma: Image64, here: tuple[int, int], lags: list[_Lag]) -> None:
    """Add to a term what lags add to it: the pixel (0, 0) of the term is `here` in sigma."""
    step = max(_IN_CACHE // term.shape[1], 1)
    for start in range(0, len(term), step):
        rows = term[start : start + step]
        height, width = rows.shape
        product = np.empty(rows.shape)
        for lag in lags:
            y, x = here[0] + start - lag.move[0], here[1] - lag.move[1]
            first = sigma[y : y + height, x : x + width]
            y, x = y + lag.lag[0], x + lag.lag[1]
            np.multiply(first, sigma[y : y + height, x : x + width], out=product)
            product *= lag.weight
            rows += product


class _Lag(NamedTuple):
    """What one lag adds to the image that the products of `base` are convolved with.

    `weight` times the products of sigma at that lag, moved.
    """

    lag: tuple[int, int]
    base: tuple[int, int]
    move: tuple[int, int]
    weight: float


@remembered(maxsize=32)  # the bands of a cube: the same for thousands of targets
def _lags_of(
    kernel: Image64, acf: Image64
) -> tuple[float, tuple[_Lag, ...], tuple[tuple[tuple[int, int], Image64], ...]]:
    """Return the gain of the variance, what each lag adds, and the kernel's products with itself.

    Products are those of the kernel with itself moved by a lag.
    """
    white, gain, parts = float((kernel**2).sum()), 1.0, []
    for lag, rho in _half_of_lags(acf):
        share = float(_product_with_shifted(kernel, *lag).sum())
        gain += 2 * rho * share / white
        parity = (lag[0] % 2, lag[1] % 2)
        of_parity = float(_product_with_shifted(kernel, *parity).sum())
        if parity != lag and abs(share) > abs(of_parity) + _ROUNDED * white:
            parity, of_parity = lag, share
        move = ((lag[0] - parity[0]) // 2, (lag[1] - parity[1]) // 2)
        parts.append(_Lag(lag, parity, move, 2 * rho * share / of_parity if of_parity else 0.0))
    bases = dict.fromkeys(((0, 0), *(part.base for part in parts)))
    products = tuple((lag, _product_with_shifted(kernel, *lag)) for lag in bases)
    return gain, tuple(parts), products


def _half_of_lags(acf: Image64) -> Iterator[tuple[tuple[int, int], float]]:
    """Yield the lags that matter and their correlation, one of each pair l and -l."""
    ry, rx = acf.shape[0] // 2, acf.shape[1] // 2
    for y, x in np.argwhere(np.abs(acf) >= _SHORT).tolist():
        if (y, x) > (ry, rx):
            yield (y - ry, x - rx), float(acf[y, x] + acf[2 * ry - y, 2 * rx - x]) / 2


def _product_with_shifted(image: Image64, dy: int, dx: int) -> Image64:
    """Return image(m) image(m - l) at m; beyond the frame there is nothing."""
    return image * _moved(image, dy, dx)


def _moved(image: Image64, dy: int, dx: int) -> Image64:
    """Return image(m - l) at m; beyond the frame there is nothing."""
    out = np.zeros(image.shape)
    ny, nx = image.shape
    if abs(dy) >= ny or abs(dx) >= nx:
        return out
    out[max(dy, 0) : ny + min(dy, 0), max(dx, 0) : nx + min(dx, 0)] = image[
        max(-dy, 0) : ny + min(-dy, 0), max(-dx, 0) : nx + min(-dx, 0)
    ]
    return out


class Noise(NamedTuple):
    """Correlations of the input's noise.

    ``acf`` (band, dy, dx), and ``gain`` (band,): how much larger the variance of a new pixel is by
    them where it saw all of its input, which ``noise_scale`` says.
    """

    acf: Image64
    gain: Image64


def gain_of_blocks(noise: Image64, partly: NDArray[np.bool_], acf: Image64) -> Image64:
    """Return the variance of the sums of blocks over that for white noise; 1 where not asked for.

    Parameters
    ----------
    noise : array, (row, n, column, n)
        Variance of single pixels; 0 where there is no data.
    partly : array of bool, (row, column)
        The blocks that are asked for.
    acf : array, (dy, dx)
        Autocorrelation of the noise, 1 in the middle.
    """
    gain = np.ones(partly.shape)
    rows, n, columns, _ = noise.shape
    if acf.size == 1 or not partly.any():
        return gain
    numbers = np.zeros(partly.shape, np.int64)
    numbers[partly] = np.arange(1, np.count_nonzero(partly) + 1)
    plane = noise.reshape(rows * n, columns * n)
    labels = np.repeat(np.repeat(numbers, n, axis=0), n, axis=1)
    found = find_groups(np.where(plane > 0, labels, 0))
    gain[partly] = variances(np.sqrt(plane), found, acf) / noise.sum((1, 3))[partly]
    return gain


def gain_of_weights(weights: Image64, offsets: tuple[Any, Any], acf: Image64) -> Image64:
    """Return the variance of weighted sums of pixels over that for white noise.

    Parameters
    ----------
    weights : array, (sum, tap)
        Weight times sigma of each pixel.
    offsets : (array, array), (tap,)
        Where the pixels lie along y and x.
    acf : array, (dy, dx)
    """
    dy, dx = (axis[:, None] - axis[None, :] for axis in offsets)
    ry, rx = acf.shape[0] // 2, acf.shape[1] // 2
    near = (np.abs(dy) <= ry) & (np.abs(dx) <= rx)
    rho = np.where(near, acf[np.where(near, dy + ry, 0), np.where(near, dx + rx, 0)], 0.0)
    out = np.empty(len(weights))
    step = max(_AT_ONCE // weights.shape[1], 1)
    for start in range(0, len(weights), step):
        part = weights[start : start + step]
        out[start : start + step] = np.einsum("pi,pi->p", part @ rho, part)
    return np.asarray(out / np.einsum("pi,pi->p", weights, weights))
