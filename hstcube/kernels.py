"""Kernels that turn one PSF into another: plain arrays in, plain arrays out.

The kernel K that makes K * S = T (S and T the two PSFs, * the convolution) amplifies noise where S has no power.
Three methods keep it tame:

``mge-wiener``
    K0, a sum of centred Gaussians and a delta with coefficients >= 0 fitted to T (multi-Gaussian expansion, Emsellem,
    Monnet & Bacon 1994, A&A 285, 723), carries the bulk; what is left, T - S K0, is added by a Wiener filter with a
    Laplacian penalty, ``K = K0 + F^-1[ S^* (T - S K0) / (|S|^2 + lambda |L|^2) ]`` in Fourier space. Where S has no
    power K falls back to K0, which is smooth and positive, instead of to zero.
``wiener``
    The filter alone, K0 = 0 (Boucaud et al. 2016, A&A 596, A63).
``gaussian``
    The Gaussian that widens one FWHM to the other; it knows nothing of wings.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hstcube._profiles import centroid, encircled_energy, fwhm
from hstcube.errors import PSFError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Image64 = NDArray[np.float64]

__all__ = ["Method", "checked_psf", "convolved", "gaussian_kernel", "matching_kernel", "on_one_frame"]

FWHM_OF_SIGMA = 2 * math.sqrt(2 * math.log(2))

Method = Literal["mge-wiener", "wiener", "gaussian"]

STRENGTHS = tuple(10**exponent for exponent in np.linspace(-2, -4, 9))  # of the penalty, the strongest first
# Encircled energy of K * S against T that the penalty may cost: at one pixel, and from three pixels outwards. The first
# pair of these that some strength keeps decides.
SELF_ERRORS = ((0.003, 0.003), (0.008, 0.003))

_OFF_CENTRE = 0.25  # pixels
_CUT = 0.001  # share of encircled energy that the kernel's frame may cost
_GAUSSIANS = 16
_NARROWEST = 0.35  # pixels, sigma


def matching_kernel(
    source: Any, target: Any, *, method: Method = "mge-wiener", regularization: float | None = None
) -> Image64:
    """Return the kernel that turns one PSF into another.

    Parameters
    ----------
    source, target : array, (n, n) and (m, m)
        Two PSFs on pixels of one size, odd, centred on the middle pixel. Their sums are set to one.
    method : {"mge-wiener", "wiener", "gaussian"}
        See the module.
    regularization : float, optional
        Strength of the penalty. When not given, the largest between 1e-4 and 1e-2 with which K * S agrees with T in
        encircled energy to 0.3 % from one pixel outwards; if none does, to 0.8 % at one and 0.3 % from three pixels
        outwards; if none does, 1e-4.

    Returns
    -------
    array, (k, k)
        Unit sum, odd, as large as the larger PSF, or larger where a cut would cost 0.1 % of encircled energy.

    Raises
    ------
    PSFError
        If a PSF has an even size, is not centred, holds NaN or no light, or there is no such method.
    """
    source, target = checked_psf(source, "source"), checked_psf(target, "target")
    if method == "gaussian":
        return _gaussian_from_widths(source, target)
    if method not in ("mge-wiener", "wiener"):
        raise PSFError("HC-P06", f"there is no method {method!r}", "choose 'mge-wiener', 'wiener' or 'gaussian'")
    size = max(*source.shape, *target.shape)
    side = _fast_size(3 * size)
    s, t = _transfer(source, side), _transfer(target, side)
    start = _expansion(s, t, size, side) if method == "mge-wiener" else np.zeros_like(s)
    power, rest, penalty = np.abs(s) ** 2, np.conj(s) * (t - s * start), _laplacian(side)
    radii = _radii(size)
    if regularization is None:
        aim = encircled_energy(_cut_out(np.fft.irfft2(t, s=(side, side)), size), radii)

        def error(strength: float) -> Image64:
            made = np.fft.irfft2((start + rest / (power + strength * penalty)) * s, s=(side, side))
            return np.abs(encircled_energy(_cut_out(made, size), radii) / aim - 1)

        regularization = _strongest({strength: error(strength) for strength in STRENGTHS})
    transfer = start + rest / (power + regularization * penalty)
    return _framed(np.fft.irfft2(transfer, s=(side, side)), s, size, radii)


def convolved(psf: Image64, kernel: Image64) -> Image64:
    """Return a PSF convolved with a kernel, on the frame of the PSF."""
    side = _fast_size(psf.shape[0] + kernel.shape[0])
    product = _transfer(psf, side) * _transfer(kernel, side)
    return _cut_out(np.fft.irfft2(product, s=(side, side)), psf.shape[0])


def on_one_frame(*images: Image64) -> list[Image64]:
    """Return centred images on the frame of the largest."""
    size = max(image.shape[0] for image in images)
    return [np.pad(image, (size - image.shape[0]) // 2) for image in images]


def checked_psf(image: Any, what: str) -> Image64:
    """Return a PSF as float64 with unit sum.

    Raises
    ------
    PSFError
        If it is not square and odd, not centred to a quarter of a pixel, or holds NaN or no light.
    """
    psf = np.asarray(image, dtype=np.float64)
    fix = "centre and resample it with hstcube.prepare_psf(image, ...)"
    if psf.ndim != 2 or psf.shape[0] != psf.shape[1] or psf.shape[0] % 2 == 0:  # noqa: PLR2004
        raise PSFError("HC-P07", f"the {what} PSF has shape {psf.shape}, not square and odd", fix)
    if not np.isfinite(psf).all() or not psf.sum() > 0:
        raise PSFError("HC-P08", f"the {what} PSF holds NaN or no light", "repair the image, or measure the PSF anew")
    psf = psf / psf.sum()
    y, x = centroid(psf)
    distance = math.hypot(y - psf.shape[0] // 2, x - psf.shape[1] // 2)
    if not distance <= _OFF_CENTRE:
        raise PSFError("HC-P07", f"the {what} PSF is {distance:.2f} pixels off the middle pixel", fix)
    return np.asarray(psf)


@lru_cache(maxsize=256)
def gaussian_kernel(sigma: tuple[float, float], radius: tuple[int, int], *, sampled: bool = False) -> Image64:
    """Return a Gaussian of `sigma` (y, x) pixels, (2 ry + 1, 2 rx + 1), unit sum, read-only.

    A Gaussian narrower than about 0.7 pixels, sampled at pixel centres, is narrower than it should be (in the limit a
    delta). Unless `sampled`, its width is adjusted until its second moment is sigma squared to 1e-12, which is what
    adds up when PSFs are convolved.
    """
    y, x = (_profile(s, r, sampled) for s, r in zip(sigma, radius, strict=True))
    kernel = np.outer(y, x)
    kernel /= kernel.sum()
    kernel.flags.writeable = False
    return np.asarray(kernel, dtype=np.float64)


def _profile(sigma: float, radius: int, sampled: bool) -> Image64:
    n = np.arange(-radius, radius + 1.0)
    if sigma == 0 or radius == 0:
        return np.asarray(n == 0, dtype=np.float64)
    if sampled or sigma > 1.5:  # noqa: PLR2004  a sampled Gaussian that broad has the right moment to 1e-15
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


def _strongest(errors: dict[float, Image64]) -> float:
    """Return the strongest penalty of those that cost little enough."""
    for near, far in SELF_ERRORS:
        for strength, error in errors.items():
            if error.max() <= near and error[2:].max() <= far:
                return float(strength)
    return float(STRENGTHS[-1])


def _gaussian_from_widths(source: Image64, target: Image64) -> Image64:
    size = max(*source.shape, *target.shape)
    sigma = math.sqrt(max(fwhm(target) ** 2 - fwhm(source) ** 2, 0)) / FWHM_OF_SIGMA
    return gaussian_kernel((sigma, sigma), (size // 2, size // 2))


def _expansion(s: Any, t: Any, size: int, side: int) -> Any:
    """Return the transfer function of K0: Gaussians and a delta, coefficients >= 0, such that S K0 comes nearest to T.

    By Parseval's theorem least squares on pixels are least squares on transforms, where the Gram matrix is small.
    """
    from scipy.optimize import nnls

    columns = _gaussian_columns(size, side)
    weight = np.full(s.shape[1], 2.0)  # the half of the transform that is not stored
    weight[0] = 1.0
    if side % 2 == 0:
        weight[-1] = 1.0
    weight = np.sqrt(weight)
    matrix = (columns * (s * weight)).reshape(len(columns), -1)
    aim = (t * weight).ravel()
    gram = np.einsum("ip,jp->ij", matrix.real, matrix.real) + np.einsum("ip,jp->ij", matrix.imag, matrix.imag)
    right = np.einsum("ip,p->i", matrix.real, aim.real) + np.einsum("ip,p->i", matrix.imag, aim.imag)
    lower = np.linalg.cholesky(gram + 1e-12 * np.trace(gram) * np.eye(len(gram)))
    coefficients, _ = nnls(lower.T, np.linalg.solve(lower, right))
    return np.einsum("i,iyx->yx", coefficients, columns)


@lru_cache(maxsize=8)
def _gaussian_columns(size: int, side: int) -> Image64:
    """Return the transforms (real) of a delta and of Gaussians from 0.35 pixels to a fifth of the frame."""
    row = 2 * np.pi * np.fft.fftfreq(side)
    column = 2 * np.pi * np.fft.rfftfreq(side)
    square = row[:, None] ** 2 + column[None, :] ** 2
    sigmas = np.geomspace(_NARROWEST, max(size / 5.4, 1.0), _GAUSSIANS)
    return np.stack([np.ones_like(square), *(np.exp(-0.5 * sigma**2 * square) for sigma in sigmas)])


@lru_cache(maxsize=8)
def _laplacian(side: int) -> Image64:
    """Return |L|^2, L the transfer function of the discrete Laplacian."""
    row = 2 - 2 * np.cos(2 * np.pi * np.fft.fftfreq(side))
    column = 2 - 2 * np.cos(2 * np.pi * np.fft.rfftfreq(side))
    return np.asarray((row[:, None] + column[None, :]) ** 2)


def _framed(kernel: Image64, s: Any, size: int, radii: Image64) -> Image64:
    """Return the kernel on the smallest frame, from `size` upwards, that costs less than 0.1 % of encircled energy."""
    side = kernel.shape[0]
    whole = encircled_energy(_cut_out(np.fft.irfft2(np.fft.rfft2(kernel) * s, s=kernel.shape), size), radii)
    for frame in range(size, side - 1, max(2 * (size // 8), 2)):
        cut = _cut_out(kernel, frame)
        cut = cut / cut.sum()
        made = encircled_energy(_cut_out(np.fft.irfft2(_transfer(cut, side) * s, s=(side, side)), size), radii)
        if np.abs(made / whole - 1).max() < _CUT:
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


def _fast_size(n: int) -> int:
    from scipy.fft import next_fast_len

    return int(next_fast_len(n, real=True))
