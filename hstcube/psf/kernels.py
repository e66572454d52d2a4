"""PSFs with bands and offsets: the kernels between them, and what kernels make of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import xarray as xr

from hstcube.basics.choices import require_choice
from hstcube.basics.memory import remembered
from hstcube.core.grids import Grid
from hstcube.core.psf_coords import psf_offsets
from hstcube.errors import PSFError
from hstcube.psf.preparation import scale_of
from hstcube.psf.profiles import FWHM_OF_SIGMA
from hstcube.psf.quality import Quality, measured_quality, target_psf, width_of
from hstcube.psf.solver import (
    KernelMethod,
    convolved,
    gaussian_kernel,
    is_identity,
    matching_kernel,
    on_one_frame,
    trimmed,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Image64 = NDArray[np.float64]

__all__ = ["gaussian_kernels", "matched_psf", "matched_psfs", "matching_kernels", "target_width"]

_REACH = 8.5  # a Gaussian is cut at this many sigma: 1e-16 of its peak
_AS_NARROW = 1e-9  # arcsec: widths closer than this are equal


def matching_kernels(
    psf: xr.DataArray,
    *,
    to: str | xr.DataArray = "f160w",
    method: KernelMethod = "mge-wiener",
    regularization: float | None = None,
) -> xr.DataArray:
    """Return the kernels that bring PSFs to one resolution, and say how well they do it.

    Parameters
    ----------
    psf : DataArray, (band, ky, kx)
        PSFs of odd size with offsets ``ky``, ``kx`` [arcsec], as `measure_psf` gives them.
    to : str or DataArray
        A band; a width such as ``"0.6arcsec"``, a Gaussian of that FWHM; or a PSF (ky, kx) with
        offsets in arcsec, of any scale.
    method, regularization
        As for `matching_kernel`, which has the sources.

    Returns
    -------
    DataArray, (band, ky, kx)
        Unit sum; the identity for the target's own band. Coordinates on the band axis: ``sum``,
        ``negative`` (minus the sum of the negative pixels), ``sum_of_squares``, ``centroid_y`` and
        ``centroid_x`` [arcsec], ``residual`` (sum of |K * S - T| within 1.2 arcsec),
        ``half_light_ratio``, and ``ee_error``: the largest error of the encircled energy at 0.18
        arcsec and beyond.

    Raises
    ------
    PSFError
        If the target is not there, or a PSF is even, not centred, or empty.
    """
    require_choice("method", method, KernelMethod, code="HC-P06", error=PSFError)
    scale = scale_of(psf)
    target = target_psf(psf, to, scale)
    images = psf.transpose("band", "ky", "kx").values.astype(np.float64)
    pairs = []
    for band, image in zip(psf.band.values.tolist(), images, strict=True):
        if isinstance(to, str) and band == to:
            pairs.append(_identity_pair(image, target, scale))
        else:
            pairs.append(_pair(image, target, scale, method, regularization))
    stack = np.stack(on_one_frame(*(pair.kernel for pair in pairs)))
    coords = {"band": psf.band.values, **psf_offsets(stack.shape, scale)}
    for key in Quality._fields:
        coords[key] = ("band", [getattr(pair.quality, key) for pair in pairs])
    return xr.DataArray(stack, coords, ("band", "ky", "kx"), "kernels", {"method": method})


class _Pair(NamedTuple):
    """The kernel between two PSFs, and what it does."""

    kernel: Image64
    quality: Quality


def _identity_pair(image: Image64, target: Image64, scale: float) -> _Pair:
    identity = np.ones((1, 1))
    return _Pair(identity, measured_quality(image, target, identity, scale))


@remembered(64)
def _pair(
    image: Image64,
    target: Image64,
    scale: float,
    method: KernelMethod,
    regularization: float | None,
) -> _Pair:
    """Return one pair; a survey has one set of PSFs for thousands of targets."""
    kernel = matching_kernel(image, target, method=method, regularization=regularization)
    return _Pair(kernel, measured_quality(image, target, kernel, scale))


def gaussian_kernels(cube: xr.Dataset, *, to: str, sampled: bool = False) -> xr.DataArray:
    """Return the Gaussian kernels that widen every band to the target.

    Parameters
    ----------
    cube : Dataset
        With ``psf_fwhm`` [arcsec].
    to : str
        A band of the cube, or a width such as ``"0.6arcsec"``.
    sampled : bool
        Sample the Gaussian as it is, as the original pipeline did, even where it is too narrow for
        the pixels.

    Returns
    -------
    DataArray, (band, ky, kx)
        Unit sum, odd sizes; the identity for a band as broad as the target.

    Raises
    ------
    PSFError
        If a width is unknown, or a band is broader than the target.
    """
    steps = Grid.of(cube).steps
    sigmas = [(extra / steps[0], extra / steps[1]) for extra in _widening(cube, to).tolist()]
    # of each band for itself, so that it is the same whatever the other bands are
    reaches = [(int(np.ceil(_REACH * y)), int(np.ceil(_REACH * x))) for y, x in sigmas]
    largest_y, largest_x = np.max(reaches, axis=0)
    stack = np.zeros((len(sigmas), 2 * largest_y + 1, 2 * largest_x + 1))
    for plane, sigma, (ry, rx) in zip(stack, sigmas, reaches, strict=True):
        rows = slice(largest_y - ry, largest_y + ry + 1)
        columns = slice(largest_x - rx, largest_x + rx + 1)
        plane[rows, columns] = gaussian_kernel(sigma, (ry, rx), sampled=sampled)
    return xr.DataArray(stack, dims=("band", "ky", "kx"), coords={"band": cube.band})


def _widening(cube: xr.Dataset, to: str) -> NDArray[np.float64]:
    """Return the sigma [arcsec] of the Gaussian that widens every band to the target."""
    target = target_width(cube, to)
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
            f"cannot match {name} (FWHM {width:.3f} arcsec) to the sharper {to} "
            f"({target:.3f} arcsec): that is a deconvolution",
            f"choose to={widest!r}, or leave the band out",
            band=name,
        )
    extra = np.sqrt(np.clip(target**2 - fwhm**2, 0, None)) / FWHM_OF_SIGMA
    return np.where(target - fwhm <= _AS_NARROW, 0.0, extra)


def target_width(cube: xr.Dataset, to: str) -> float:
    """Return the FWHM [arcsec] of a band of the cube, of what it is matched to, or of a width."""
    if width := width_of(to):
        return width
    if to in (names := cube.band.values.tolist()):
        return float(cube.psf_fwhm.values[names.index(to)])
    if (already := cube.matched_to.values == to).any():
        return float(cube.psf_fwhm.values[already][0])
    known = ", ".join(cube.band.values)
    raise PSFError(
        "HC-B05",
        f"the target {to!r} is not in the cube",
        f"choose to= from {known}, or a width such as '0.3arcsec'",
    )


def matched_psf(psf: xr.DataArray, kernels: xr.DataArray) -> xr.DataArray:
    """Return PSFs convolved with their kernels, (band, ky, kx), as `psf_match` leaves them."""
    return psf.transpose("band", "ky", "kx").copy(data=matched_psfs(psf, kernels.variable))


def matched_psfs(psf: xr.DataArray, kernels: xr.Variable) -> Any:
    """Return PSFs convolved with their kernels, (band, ky, kx) float32."""
    images = psf.transpose("band", "ky", "kx").values
    pairs = zip(images, kernels.values, strict=True)
    return np.stack([_matched_psf(image, kernel) for image, kernel in pairs])


@remembered(64)
def _matched_psf(image: NDArray[np.float32], kernel: Image64) -> NDArray[np.float32]:
    kernel = trimmed(kernel)
    if is_identity(kernel):
        return image
    made = convolved(image.astype(np.float64), _squared(kernel))
    return np.asarray(made / made.sum(), dtype=np.float32)


def _squared(kernel: Image64) -> Image64:
    """Return a centred kernel on a square frame."""
    side = max(kernel.shape)
    return np.pad(kernel, [((side - n) // 2, (side - n) // 2) for n in kernel.shape])
