"""One resolution for every band: Gaussian matching kernels, and the matching of sci and its variance."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from hstcube._blocks import over_bands
from hstcube._convolution import convolver, coverage_of_full_frame
from hstcube._correlation import correlated_spread
from hstcube.bands import band_name
from hstcube.cube import in_band_order, updated, validate
from hstcube.errors import PSFError
from hstcube.grids import Grid
from hstcube.noise import pixel_acf, with_matched_noise

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Image64 = NDArray[np.float64]

__all__ = ["gaussian_kernel", "gaussian_kernels", "psf_match"]

FWHM_OF_SIGMA = 2 * np.sqrt(2 * np.log(2))

_REACH = 8.5  # a Gaussian is cut at this many sigma: 1e-16 of its peak
_SUM_TOLERANCE = 1e-6
_AS_NARROW = 1e-9  # arcsec: widths closer than this are equal
_STALE = ("psf",)  # what describes the unmatched images only


def psf_match(
    cube: xr.Dataset, *, to: str = "f160w", kernels: xr.DataArray | None = None, min_coverage: float = 0.25
) -> xr.Dataset:
    """Bring every band to one resolution.

    Each image is convolved with its kernel and each variance with the squared kernel, both normalised by the part of
    the kernel that saw data (Knutsson & Westin 1993, CVPR, 515), so that a constant stays constant at edges and beside
    holes; correlations of the noise are carried along. Holes are not filled. Bands that are matched to the target
    already pass through bit for bit.

    Parameters
    ----------
    cube : Dataset
    to : str
        The band to match, or a width: ``"0.6arcsec"`` is a Gaussian of that FWHM.
    kernels : DataArray, (band, ky, kx), optional
        Unit sum, odd sizes, on the cube's pixels; `to` then names what they lead to. Without them, Gaussian kernels
        from ``psf_fwhm``.
    min_coverage : float
        A pixel keeps its data when at least this share of the kernel's absolute sum saw data. A corner of the frame
        sees 0.3 or more.

    Returns
    -------
    Dataset
        The same cube at one resolution: new ``sci``, ``wht``, ``psf_fwhm`` [arcsec] and ``matched_to``; ``noise_scale``
        and ``noise_acf`` say how the matching correlated the pixels.

    Raises
    ------
    PSFError
        If the target is not in the cube, a width is unknown, a band is broader than the target, or a kernel is even
        or does not sum to one.
    """
    validate(cube, data=False)
    to = to if _width(to) else band_name(to)
    chosen = gaussian_kernels(cube, to=to).variable if kernels is None else _checked(kernels, cube)
    chosen = _identity_where(cube.matched_to.values == to, chosen)
    sci, wht = over_bands(
        lambda sci, wht, kernel, acf: match_plane(sci, wht, kernel, min_coverage, acf),
        cube.sci.variable,
        cube.wht.variable,
        parameters=(chosen, pixel_acf(cube)),
        outputs=2,
        halo=(chosen.sizes["ky"] // 2, chosen.sizes["kx"] // 2),
    )
    number = cube.sizes["band"]
    stale = [name for name in _STALE if name in cube.coords]
    return updated(
        with_matched_noise(cube.drop_vars(stale) if stale else cube, chosen),
        f"psf_match(to={to!r}, min_coverage={min_coverage})",
        sci=sci,
        wht=wht,
        mask=cube.mask.data & (wht > 0),
        psf_fwhm=np.full(number, _target_width(cube, to)),
        matched_to=np.full(number, to, object),
    )


def gaussian_kernels(cube: xr.Dataset, *, to: str, sampled: bool = False) -> xr.DataArray:
    """Return the Gaussian kernels that widen every band to the target.

    Parameters
    ----------
    cube : Dataset
        With ``psf_fwhm`` [arcsec].
    to : str
        A band of the cube, or a width such as ``"0.6arcsec"``.
    sampled : bool
        Sample the Gaussian as it is, as the original pipeline did, even where it is too narrow for the pixels.

    Returns
    -------
    DataArray, (band, ky, kx)
        Unit sum, odd sizes; the identity for a band as broad as the target.

    Raises
    ------
    PSFError
        If a width is unknown, or a band is broader than the target.
    """
    target = _target_width(cube, to)
    fwhm = np.where(cube.matched_to.values == to, target, cube.psf_fwhm.values)
    if (unknown := np.isnan(fwhm)).any() or np.isnan(target):
        name = str(cube.band.values[unknown][0]) if unknown.any() else to
        raise PSFError(
            "HC-P01",
            "the width of its PSF is not known (the survey is in no table)",
            f"give it: psf_fwhm={{'{name}': 0.18}} (FWHM in arcsec), or psf_fwhm in a field file",
            band=name,
        )
    if (broader := fwhm > target + _AS_NARROW).any():
        name, width = str(cube.band.values[broader][0]), fwhm[broader][0]
        widest = str(cube.band.values[np.argmax(fwhm)])
        raise PSFError(
            "HC-B06",
            f"cannot match {name} (FWHM {width:.3f} arcsec) to the sharper {to} ({target:.3f} arcsec): "
            "that is a deconvolution",
            f"choose to={widest!r}, or leave the band out",
            band=name,
        )
    extra = np.sqrt(np.clip(target**2 - fwhm**2, 0, None)) / FWHM_OF_SIGMA
    extra[target - fwhm <= _AS_NARROW] = 0.0
    steps = Grid.of(cube).steps
    pairs = [(width / steps[0], width / steps[1]) for width in extra.tolist()]
    reach = [tuple(int(np.ceil(_REACH * sigma)) for sigma in pair) for pair in pairs]  # of each band for itself
    radius = np.max(reach, axis=0)
    stack = np.zeros((len(pairs), *(2 * radius + 1)))
    for plane, pair, (ry, rx) in zip(stack, pairs, reach, strict=True):
        inner = (slice(radius[0] - ry, radius[0] + ry + 1), slice(radius[1] - rx, radius[1] + rx + 1))
        plane[inner] = gaussian_kernel(pair, (ry, rx), sampled=sampled)
    return xr.DataArray(stack, dims=("band", "ky", "kx"), coords={"band": cube.band})


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


def match_plane(
    sci: Any, wht: Any, kernel: Image64, min_coverage: float = 0.25, acf: Image64 | None = None
) -> tuple[Any, Any]:
    """Match one image: the convolution of sci, and the weights whose variance is convolved with the squared kernel.

    Parameters
    ----------
    sci, wht : array, (y, x)
        Image and inverse variance; wht = 0 is no data.
    kernel : array, (ky, kx)
        Unit sum, odd sizes.
    min_coverage : float
        See `psf_match`.
    acf : array, (dy, dx), optional
        Autocorrelation of the noise, where it is not white.

    Returns
    -------
    tuple of array, (y, x)
        sci' = (K conv v sci)/(K conv v) and wht' = (K conv v)^2/(K^2 conv v/wht), with v = (wht > 0); NaN and 0 where
        there is no data. For correlated noise `correlated_spread` stands for K^2 conv v/wht. The inputs themselves
        when the kernel is the identity.
    """
    kernel = _trimmed(kernel)  # so that the kernels of other bands do not change its rounding
    if _is_identity(kernel):
        return sci, wht
    valid = wht > 0
    whole = bool(valid.all())
    signed = bool((kernel < 0).any())
    convolve = convolver(kernel, sci.shape)
    if whole:
        seen = coverage_of_full_frame(kernel, sci.shape)
        share = coverage_of_full_frame(np.abs(kernel), sci.shape) if signed else seen
        signal, noise = sci, 1 / wht.astype(np.float64)
    else:
        seen = convolve(valid)
        share = convolver(np.abs(kernel), sci.shape)(valid) if signed else seen
        signal, noise = np.where(valid, sci, 0), np.divide(1.0, wht, where=valid, out=np.zeros(sci.shape), dtype=float)
    keep = valid & (share >= min_coverage * np.abs(kernel).sum()) & (seen > 0)
    matched = convolve(signal)
    spread = convolver(kernel**2, sci.shape)(noise) if acf is None else correlated_spread(noise, kernel, acf)
    least = noise.min(where=valid, initial=np.inf) / kernel.size
    with np.errstate(divide="ignore", invalid="ignore"):
        np.divide(matched, seen, out=matched)
        np.square(seen, out=seen)
        # Cauchy-Schwarz: K^2 conv var >= min(var) (K conv v)^2 / size. Below it is the rounding of a transform.
        np.maximum(spread, np.multiply(seen, least, out=noise), out=spread)
        weights = np.divide(seen, spread, out=spread)
    drop = ~keep
    matched[drop], weights[drop] = np.nan, 0
    return matched.astype(sci.dtype, copy=False), weights.astype(wht.dtype, copy=False)


def _trimmed(kernel: Image64) -> Image64:
    """Return the kernel without its borders of zeros, centred as before."""
    cut = []
    for axis, n in enumerate(kernel.shape):
        used = np.flatnonzero(kernel.any(axis=1 - axis))
        cut.append(int(min(used[0], n - 1 - used[-1])) if used.size and n % 2 else 0)
    return kernel[cut[0] : kernel.shape[0] - cut[0], cut[1] : kernel.shape[1] - cut[1]]


def _is_identity(kernel: Image64) -> bool:
    middle = kernel[kernel.shape[0] // 2, kernel.shape[1] // 2]
    return bool(middle == 1.0 and np.count_nonzero(kernel) == 1)


def _identity_where(done: NDArray[np.bool_], kernels: xr.Variable) -> xr.Variable:
    """Replace the kernels of finished bands: a band that is at the target already passes through."""
    values = kernels.values.astype(np.float64)
    values[done] = 0
    values[done, values.shape[1] // 2, values.shape[2] // 2] = 1
    return kernels.copy(data=values)


def _checked(kernels: xr.DataArray, cube: xr.Dataset) -> xr.Variable:
    stack = in_band_order(cube, kernels.rename("kernels")).transpose("band", "ky", "kx")
    if stack.sizes["ky"] % 2 == 0 or stack.sizes["kx"] % 2 == 0:
        raise PSFError(
            "HC-P04",
            f"the kernels have shape {stack.shape[1:]}; their centre is not a pixel",
            "give kernels of odd sizes, centred on the middle pixel",
        )
    errors = np.abs(stack.values.astype(np.float64).sum((1, 2)) - 1)
    if not np.all(errors < _SUM_TOLERANCE):
        worst = int(np.argmax(np.nan_to_num(errors, nan=np.inf)))
        raise PSFError(
            "HC-P05",
            f"the kernel's sum is {errors[worst]:.3g} away from 1, so it does not keep the flux",
            "divide it by its sum",
            band=str(cube.band.values[worst]),
        )
    return stack


def _target_width(cube: xr.Dataset, to: str) -> float:
    if width := _width(to):
        return width
    if to in (names := cube.band.values.tolist()):
        return float(cube.psf_fwhm.values[names.index(to)])
    if (already := cube.matched_to.values == to).any():
        return float(cube.psf_fwhm.values[already][0])
    known = ", ".join(cube.band.values)
    raise PSFError(
        "HC-B05", f"the target {to!r} is not in the cube", f"choose to= from {known}, or a width such as '0.3arcsec'"
    )


def _width(to: str) -> float | None:
    found = re.fullmatch(r"\s*(\d+\.?\d*|\.\d+)\s*arcsec\s*", to)
    return float(found[1]) if found else None
