"""Kernels that turn one PSF into another: plain arrays in, plain arrays out.

The kernel K that makes K * S = T (S and T the two PSFs, * the convolution) amplifies noise where S
has no power. Three methods keep it tame:

``mge-wiener``
    K0, a sum of centred Gaussians and a delta with coefficients >= 0 fitted to T (multi-Gaussian
    expansion, Emsellem, Monnet & Bacon 1994, A&A 285, 723), carries the bulk; what is left, T - S
    K0, is added by a Wiener filter with a Laplacian penalty, ``K = K0 + F^-1[ S^* (T - S K0) /
    (|S|^2 + lambda |L|^2) ]`` in Fourier space. Where S has no power K falls back to K0, which is
    smooth and positive, instead of to zero. The positive part of K is then taken for K0, and the
    filter applied again, with ever weaker penalties: iterated Tikhonov regularisation (Hanke &
    Groetsch 1998, J. Optim. Theory Appl. 98, 37) with projections onto what is positive (Bertero &
    Boccacci 1998, Introduction to Inverse Problems in Imaging, 6.2). Between bands of WFC3/IR this
    makes the negative part up to a quarter smaller.
``wiener``
    The filter alone, K0 = 0 (Boucaud et al. 2016, A&A 596, A63).
``gaussian``
    The Gaussian that widens one FWHM to the other; it knows nothing of wings.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hstcube.basics.memory import remembered
from hstcube.errors import PSFError
from hstcube.inputs.choices import require_choice
from hstcube.psf.preparation import checked_psf
from hstcube.psf.profiles import FWHM_OF_SIGMA, encircled_energy, fwhm

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Image64 = NDArray[np.float64]

__all__ = [
    "KernelMethod",
    "convolved",
    "gaussian_kernel",
    "is_identity",
    "matching_kernel",
    "trimmed",
]

KernelMethod = Literal["mge-wiener", "wiener", "gaussian"]

STRENGTHS = tuple(
    10**exponent for exponent in np.linspace(-2.5, -4, 7)
)  # of the penalty, the strongest first
PASSES = 3  # at each strength
# of the encircled energy of K * S against T at one and two pixels, that the penalty may cost
NEAR_ERROR = 0.008
FAR_ERROR = 0.004  # ... from three pixels outwards
COST_OF_NEGATIVE = 0.05  # misplaced light that is as bad as a negative part of one

_CUT = 0.001  # share of encircled energy that the kernel's frame may cost
_GAUSSIANS = 16
_NARROWEST = 0.35  # pixels, sigma
_BROAD = 1.5  # pixels: a Gaussian of that sigma, sampled, has the right moment to 1e-15
_SHOWN = 0.1  # transforms of PSFs above this tell their widths


def matching_kernel(
    source: Any,
    target: Any,
    *,
    method: KernelMethod = "mge-wiener",
    regularization: float | None = None,
) -> Image64:
    """Return the kernel that turns one PSF into another.

    Parameters
    ----------
    source, target : array, (n, n) and (m, m)
        Two PSFs on pixels of one size, odd, centred on the middle pixel. Their sums are set to one.
    method : {"mge-wiener", "wiener", "gaussian"}
        See the module.
    regularization : float, optional
        Strength of the last penalty. When not given, the one between 3e-3 and 1e-4 with the least
        sum of misplaced light, |K * S - T|, and a twentieth of the negative part, among those with
        which K * S agrees with T in encircled energy to 0.8 % at one and two pixels and to 0.4 %
        from three pixels outwards; if none does, 1e-4.

    Returns
    -------
    array, (k, k)
        Unit sum, odd, as large as the larger PSF, or larger where a cut would cost 0.1 % of
        encircled energy.

    Raises
    ------
    PSFError
        If a PSF has an even size, is not centred, holds NaN or no light, or there is no such
        method.
    """
    require_choice("method", method, KernelMethod, code="HC-P06", error=PSFError)
    source, target = checked_psf(source, "source"), checked_psf(target, "target")
    if method == "gaussian":
        return _gaussian_from_widths(source, target)
    size = max(*source.shape, *target.shape)
    side = _fast_size(3 * size)
    s, t = _transfer(source, side), _transfer(target, side)
    chosen = _solved(s, t, size, regularization, positive=method == "mge-wiener")
    return _framed(chosen, s, size)


def _solved(s: Any, t: Any, size: int, regularization: float | None, *, positive: bool) -> Image64:
    """Return the periodic kernel with the least cost, or that of the penalty that is asked for.

    Each penalty starts with the positive part of what the one before it gave.
    """
    side = s.shape[0]
    radii = _radii(size)
    aim = encircled_energy(_around_origin(t, size), radii)
    start = _expansion(s, t, size, side) if positive else np.zeros_like(s)
    kernel, least = None, math.inf
    for strength in _strengths(regularization):
        if positive and kernel is not None:
            start = _positive_part(kernel)
        transfer = _filtered(s, t, start, strength, PASSES if positive else 1)
        kernel = np.fft.irfft2(transfer, s=(side, side))
        cost = _cost(kernel, transfer * s - t, radii, aim)
        if cost <= least or regularization is not None:
            least, chosen = cost, kernel
    return chosen


def convolved(psf: Image64, kernel: Image64) -> Image64:
    """Return a PSF convolved with a kernel, on the frame of the PSF."""
    side = _fast_size(psf.shape[0] + kernel.shape[0])
    return _around_origin(_transfer(psf, side) * _transfer(kernel, side), psf.shape[0])


@remembered(256)
def gaussian_kernel(
    sigma: tuple[float, float], radius: tuple[int, int], *, sampled: bool = False
) -> Image64:
    """Return a Gaussian of `sigma` (y, x) pixels, (2 ry + 1, 2 rx + 1), unit sum, read-only.

    A Gaussian narrower than about 0.7 pixels, sampled at pixel centres, is narrower than it should
    be (in the limit a delta). Unless `sampled`, its width is adjusted until its second moment is
    sigma squared to 1e-12, which is what adds up when PSFs are convolved.
    """
    y, x = (_profile(s, r, sampled) for s, r in zip(sigma, radius, strict=True))
    kernel = np.outer(y, x)
    kernel /= kernel.sum()
    return np.asarray(kernel, dtype=np.float64)


def _profile(sigma: float, radius: int, sampled: bool) -> Image64:
    n = np.arange(-radius, radius + 1.0)
    if sigma == 0 or radius == 0:
        return np.asarray(n == 0, dtype=np.float64)
    if sampled or sigma > _BROAD:
        return np.asarray(np.exp(-0.5 * (n / sigma) ** 2))
    low, high = 0.0, 2.0
    for _ in range(60):  # bisection: the second moment grows with the width
        width = (low + high) / 2
        profile = np.exp(-0.5 * (n / width) ** 2)
        if profile @ n**2 < sigma**2 * profile.sum():
            low = width
        else:
            high = width
    return np.asarray(profile / profile.sum())


def _strengths(last: float | None) -> tuple[float, ...]:
    """Return the strengths of the penalty, one after another."""
    if last is None:
        return STRENGTHS
    return (*(strength for strength in STRENGTHS if strength > last), last)


def _filtered(s: Any, t: Any, start: Any, strength: float, passes: int) -> Any:
    """Return K of the module's formula; K0 is `start`, in further passes the positive part of K."""
    side = s.shape[0]
    gain = np.conj(s) / (_power(s) + strength * _laplacian(side))
    transfer = _added(s, t, start, gain)
    for _ in range(passes - 1):
        start = _positive_part(np.fft.irfft2(transfer, s=(side, side)))
        transfer = _added(s, t, start, gain)
    return transfer


def _added(s: Any, t: Any, start: Any, gain: Any) -> Any:
    """Return ``start + gain * (t - s * start)``, in one array."""
    out = s * start
    np.subtract(t, out, out=out)
    out *= gain
    out += start
    return out


def _cost(kernel: Image64, left: Any, radii: Image64, aim: Image64) -> float:
    """Return what is bad about a kernel; infinite when it misses the energies `aim` of T.

    `left` is the transform of K * S - T.
    """
    misplaced = _around_origin(left, 2 * len(radii) + 1)
    error = np.abs(encircled_energy(misplaced, radii) / aim)
    if error.max() > NEAR_ERROR or error[2:].max(initial=0) > FAR_ERROR:
        return math.inf
    negative = -np.minimum(kernel, 0).sum()
    return float(np.abs(misplaced).sum() + COST_OF_NEGATIVE * negative)


def _positive_part(kernel: Image64) -> Any:
    return np.fft.rfft2(np.maximum(kernel, 0))


@remembered(128)
def trimmed(kernel: Image64) -> Image64:
    """Return the kernel without its borders of zeros, centred as before."""
    cut = []
    for axis, n in enumerate(kernel.shape):
        used = np.flatnonzero(kernel.any(axis=1 - axis))
        cut.append(int(min(used[0], n - 1 - used[-1])) if used.size and n % 2 else 0)
    return kernel[cut[0] : kernel.shape[0] - cut[0], cut[1] : kernel.shape[1] - cut[1]]


def is_identity(kernel: Image64) -> bool:
    """Return whether a kernel leaves images as they are, bit for bit."""
    middle = kernel[kernel.shape[0] // 2, kernel.shape[1] // 2]
    return bool(middle == 1.0 and np.count_nonzero(kernel) == 1)


def _gaussian_from_widths(source: Image64, target: Image64) -> Image64:
    size = max(*source.shape, *target.shape)
    sigma = math.sqrt(max(fwhm(target) ** 2 - fwhm(source) ** 2, 0)) / FWHM_OF_SIGMA
    return gaussian_kernel((sigma, sigma), (size // 2, size // 2))


def _expansion(s: Any, t: Any, size: int, side: int) -> Any:
    """Return the transfer function of K0: the Gaussians and the delta with S K0 nearest to T.

    Their coefficients are >= 0. One of the Gaussians is the one that turns S into T if they are
    Gaussians themselves.

    By Parseval's theorem least squares on pixels are least squares on transforms, where the Gram
    matrix is small. Those of the Gaussians are real, and the same at frequencies k and -k along y.
    """
    from scipy.optimize import nnls

    columns = np.concatenate([_gaussian_columns(size, side), [_gaussian_between(s, t, side)]])
    flat = columns.reshape(len(columns), -1)
    weight = np.full(s.shape[1], 2.0)  # the half of the transform that is not stored
    weight[0] = 1.0
    if side % 2 == 0:
        weight[-1] = 1.0
    matrix = flat * np.sqrt(_folded(_power(s) * weight)).ravel()
    gram = matrix @ matrix.T
    right = flat @ _folded((s.real * t.real + s.imag * t.imag) * weight).ravel()
    lower = np.linalg.cholesky(gram + 1e-12 * np.trace(gram) * np.eye(len(gram)))
    coefficients, _ = nnls(lower.T, np.linalg.solve(lower, right))
    half = (coefficients @ flat).reshape(columns.shape[1:])
    return np.concatenate([half, half[(side - 1) // 2 : 0 : -1]])


def _power(transfer: Any) -> Image64:
    return np.asarray(transfer.real**2 + transfer.imag**2)


def _folded(values: Image64) -> Image64:
    """Return the sums of what there is at frequencies k and -k along y, for k >= 0."""
    side = len(values)
    half = values[: side // 2 + 1].copy()
    half[1 : (side + 1) // 2] += values[: side // 2 : -1]
    return half


@remembered(8)
def _gaussian_columns(size: int, side: int) -> Image64:
    """Return the real transforms of a delta, and of Gaussians up to a fifth of the frame.

    For frequencies >= 0 along y.
    """
    square = _square_frequency(side)[: side // 2 + 1]
    sigmas = np.geomspace(_NARROWEST, max(size / 5.4, 1.0), _GAUSSIANS)
    gaussians = [np.exp(-0.5 * sigma**2 * square) for sigma in sigmas]
    return np.stack([np.ones_like(square), *gaussians])


def _gaussian_between(s: Any, t: Any, side: int) -> Image64:
    """Return the transform of the Gaussian between two PSFs, for frequencies >= 0 along y.

    Its width is the median of what the frequencies say, each for itself.
    """
    square = _square_frequency(side)
    shown = (np.abs(s) > _SHOWN) & (np.abs(t) > _SHOWN) & (square > 0)
    variance = 0.0
    if shown.any():
        variance = np.median(-2 * np.log(np.abs(t[shown] / s[shown])) / square[shown])
    return np.asarray(np.exp(-0.5 * max(variance, 0.0) * square[: side // 2 + 1]))


@remembered(8)
def _square_frequency(side: int) -> Image64:
    row = 2 * np.pi * np.fft.fftfreq(side)
    column = 2 * np.pi * np.fft.rfftfreq(side)
    return np.asarray(row[:, None] ** 2 + column[None, :] ** 2)


@remembered(8)
def _laplacian(side: int) -> Image64:
    """Return |L|^2, L the transfer function of the discrete Laplacian."""
    row = 2 - 2 * np.cos(2 * np.pi * np.fft.fftfreq(side))
    column = 2 - 2 * np.cos(2 * np.pi * np.fft.rfftfreq(side))
    return np.asarray((row[:, None] + column[None, :]) ** 2)


def _framed(kernel: Image64, s: Any, size: int) -> Image64:
    """Return the kernel on the smallest frame that costs less than 0.1 % of encircled energy.

    Frames are tried from `size` upwards.
    """
    side = kernel.shape[0]

    def growth(transfer: Any) -> Image64:
        return encircled_energy(_around_origin(transfer * s, size), _radii(size))

    whole = growth(np.fft.rfft2(kernel))
    for frame in range(size, side - 1, max(2 * (size // 8), 2)):
        cut = _cut_out(kernel, frame)
        cut = cut / cut.sum()
        if np.abs(growth(_transfer(cut, side)) / whole - 1).max() < _CUT:
            break
    return cut


def _radii(size: int) -> Image64:
    return np.arange(1.0, size / 2, 1.0)


def _transfer(image: Image64, side: int) -> Any:
    """Return the transform of a centred image, padded to (side, side)."""
    n = image.shape[0]
    padded = np.zeros((side, side))
    padded[:n, :n] = image
    return np.fft.rfft2(np.roll(padded, (-(n // 2), -(n // 2)), (0, 1)))


def _cut_out(image: Image64, size: int) -> Image64:
    """Return the (size, size) pixels around the origin of a periodic image."""
    return np.asarray(np.roll(image, (size // 2, size // 2), (0, 1))[:size, :size])


def _around_origin(transfer: Any, size: int) -> Image64:
    """Return the (size, size) pixels around the origin of the image of a transform."""
    rows = np.roll(np.fft.ifft(transfer, axis=0), size // 2, 0)[:size]
    image = np.fft.irfft(rows, transfer.shape[0], axis=1)
    return np.asarray(np.roll(image, size // 2, 1)[:, :size])


def _fast_size(n: int) -> int:
    from scipy.fft import next_fast_len

    return int(next_fast_len(n, real=True))
