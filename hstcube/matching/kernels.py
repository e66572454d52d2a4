"""PSFs with bands and offsets: the kernels between them, and what kernels make of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from hstcube.basics.memory import remembered
from hstcube.core.grids import Grid
from hstcube.core.offsets import psf_offsets
from hstcube.core.state import in_band_order
from hstcube.errors import PSFError
from hstcube.inputs.choices import require_choice
from hstcube.inputs.quantities import number_in, short
from hstcube.matching.beyond import ratios
from hstcube.matching.choice import chosen_among
from hstcube.matching.pairs import pair, same_pair
from hstcube.matching.quality import Quality, predicted
from hstcube.matching.solver import (
    KernelMethod,
    convolved,
    gaussian_kernel,
    is_identity,
    trimmed,
)
from hstcube.matching.targets import as_target, require_width, target_psf, width_of
from hstcube.psf.known import tell_doubts
from hstcube.psf.preparation import SAME_SCALE, on_one_frame, scale_of
from hstcube.psf.profiles import FWHM_OF_SIGMA, fwhm

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Image64 = NDArray[np.float64]

__all__ = [
    "checked_kernels",
    "gaussian_kernels",
    "kernels_of",
    "matched_psf",
    "matched_psfs",
    "matching_kernels",
    "reached_widths",
    "require_in_frame",
    "require_scale",
    "target_width",
]

_REACH = 8.5  # a Gaussian is cut at this many sigma: 1e-16 of its peak
_SUM_TOLERANCE = 1e-6
_FRAMES = 2  # sides of the frame: targets are not wider
# a kernel is judged that has so much of the target's width to add, and may be so far off
_MUCH, _OFF = 0.5, 0.3
_SAME_WIDTH = 1e-4  # arcsec
_AS_NARROW = 1e-9  # arcsec: widths closer than this are equal


def matching_kernels(
    psf: xr.DataArray,
    *,
    to: Any = None,
    method: KernelMethod = "mge-wiener",
    regularization: float | None = None,
) -> xr.DataArray:
    """Return the kernels that bring PSFs to one resolution, and say how well they do it.

    Parameters
    ----------
    psf : DataArray, (band, ky, kx)
        PSFs of odd size with offsets ``ky``, ``kx`` [arcsec], as `measure_psf` gives them.
    to : str, Quantity or DataArray, optional
        A band; when not given, the broadest that all others reach; a width such as ``"0.6arcsec"``
        or ``600 * u.mas``, a Gaussian of that FWHM; or a PSF (ky, kx) with offsets in arcsec, of
        any scale.
    method, regularization
        As for `matching_kernel`, which has the sources.

    Returns
    -------
    DataArray, (band, ky, kx)
        Unit sum; the identity for the target's own band. Coordinates on the band axis: ``sum``,
        ``negative`` (minus the sum of the negative pixels), ``sum_of_squares``, ``centroid_y`` and
        ``centroid_x`` [arcsec], ``residual`` (sum of ``|K * S - T|`` within 1.2 arcsec),
        ``half_light_ratio``, and ``ee_error``: the largest error of the encircled energy at 0.18
        arcsec and beyond; ``predicted_error``: the same with the errors of both PSFs in it, where
        they tell them (``psf_error``), and ``fewest_stars`` that either was measured from.
        ``energy_ratio``, where PSFs say ``psf_energy``: the target's share of a star's light inside
        the frame over the band's, which `psf_match` multiplies with.

    Raises
    ------
    PSFError
        If the target is not there or much wider than the PSFs' images, or a PSF is even, not
        centred, or empty.
    RecipeError
        If `to` is no target, or `regularization` is not positive.

    Examples
    --------
    >>> import hstcube
    >>> cube = hstcube.example()
    >>> kernels = hstcube.matching_kernels(cube.psf, to="f160w")
    >>> kernels.ee_error.max().item() < 0.01  # of the PSFs' encircled energy
    True
    """
    if regularization is not None:
        regularization = number_in("", regularization, "regularization", above=0)
    require_choice("method", method, KernelMethod, code="HC-P06", error=PSFError)
    stack, figures = kernels_of(psf, to, method, regularization)
    coords = {"band": psf.band.values, **psf_offsets(stack.shape, scale_of(psf))}
    coords |= {name: ("band", values.copy()) for name, values in figures.items()}
    attrs = {"method": method, "frame": psf.sizes["ky"]}
    return xr.DataArray(stack.copy(), coords, ("band", "ky", "kx"), "kernels", attrs)


def kernels_of(
    psf: xr.DataArray, to: Any, method: KernelMethod, regularization: float | None = None
) -> tuple[Image64, dict[str, Any]]:
    """Return kernels (band, ky, kx), and figures (band,) of each by their names.

    Everything as in `matching_kernels`, but read-only arrays, which are kept.
    """
    scale = scale_of(psf)
    if "matched_to" not in psf.coords:  # those of a cube were looked at when it got them
        tell_doubts(psf)
    if to is None:
        to = chosen_among(psf, method=method).name
    to = as_target(to, psf.band.values, pixel=scale)
    own = psf.band.values == (to if isinstance(to, str) else None)
    target = target_psf(psf, to, scale)
    images = psf.variable.transpose("band", "ky", "kx").values
    stack, qualities = _kept_kernels(images, own, target, scale, method, regularization)
    figures: dict[str, Any] = dict(zip(Quality._fields, qualities, strict=True))
    figures["predicted_error"], figures["fewest_stars"] = predicted(psf, to, figures["ee_error"])
    if "psf_energy" in psf.coords:
        share = np.broadcast_to(psf.psf_energy.values.astype(np.float64), own.shape)
        figures["energy_ratio"] = ratios(share, own, to)
    return stack, figures


@remembered(16)  # one set of PSFs serves thousands of targets
def _kept_kernels(
    images: NDArray[Any],
    own: NDArray[np.bool_],
    target: Image64,
    scale: float,
    method: KernelMethod,
    regularization: float | None,
) -> tuple[Image64, Image64]:
    """Return kernels (band, ky, kx) to a target, which is a band's `own`, and their qualities."""
    pairs = []
    for image, same in zip(images.astype(np.float64), own, strict=True):
        if same:
            pairs.append(same_pair(image, target, scale))
        else:
            pairs.append(pair(image, target, scale, method, regularization))
    stack = np.stack(on_one_frame(*(one.kernel for one in pairs)))
    return stack, np.array([one.quality for one in pairs], dtype=np.float64).T


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
    itself = (cube.band.values == to) | (cube.matched_to.values == to)  # nothing is to be done
    fwhm = np.where(itself, target, cube.psf_fwhm.values)
    unknown = np.isnan(fwhm) & ~itself
    if unknown.any() or (np.isnan(target) and not itself.all()):
        name = str(cube.band.values[unknown][0]) if unknown.any() else to
        raise PSFError(
            "HC-P01",
            "the width of its PSF is not known (the survey is in no table)",
            f"give it, FWHM in arcsec: [[--psf-fwhm {name}=0.18|psf_fwhm={{'{name}': 0.18}}]], "
            "or psf_fwhm in a field file",
            band=name,
        )
    if (broader := fwhm > target + _AS_NARROW).any():
        name, width = str(cube.band.values[broader][0]), fwhm[broader][0]
        widest = str(cube.band.values[np.argmax(fwhm)])
        raise PSFError(
            "HC-B06",
            f"cannot match {name} (FWHM {width:.3f} arcsec) to the sharper {to} "
            f"({target:.3f} arcsec): that is a deconvolution",
            f"choose [[--to {widest}|to={widest!r}]], or leave the band out",
            band=name,
        )
    if (target - fwhm > _AS_NARROW).any():
        require_in_frame(cube, target)
    extra = np.sqrt(np.clip(target**2 - fwhm**2, 0, None)) / FWHM_OF_SIGMA
    return np.where(itself | (target - fwhm <= _AS_NARROW), 0.0, extra)


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
        f"choose [[--to|to=]] from {known}, or a width such as '0.3arcsec'",
    )


def require_in_frame(cube: xr.Dataset, width: float) -> None:
    """Refuse a target much wider than the images.

    Raises
    ------
    PSFError
        Naming both sizes.
    """
    grid = Grid.of(cube)
    side = max(grid.shape) * max(grid.steps)
    require_width(width, _FRAMES * side, f"{_FRAMES} times the frame, {side:.3g} arcsec,")


def checked_kernels(kernels: Any, cube: xr.Dataset) -> xr.Variable:
    """Return kernels that were given, in the order of the cube's bands.

    Raises
    ------
    PSFError
        If they are even, do not keep the flux, or are not on the cube's pixels.
    """
    if not (isinstance(kernels, xr.DataArray) and {"ky", "kx"} <= {*kernels.dims}):
        fix = "give a DataArray (band, ky, kx)[[|: matching_kernels(cube.psf, to=...)]]"
        raise PSFError("HC-P04", f"the kernels are {short(kernels)}, no kernels", fix)
    stack = in_band_order(cube, kernels.rename("kernels")).transpose("band", "ky", "kx")
    if stack.sizes["ky"] % 2 == 0 or stack.sizes["kx"] % 2 == 0:
        raise PSFError(
            "HC-P04",
            f"the kernels have shape {stack.shape[1:]}; their centre is not a pixel",
            "give kernels of odd sizes, centred on the middle pixel",
        )
    for dim, axis, step in zip(("ky", "kx"), ("y", "x"), Grid.of(cube).steps, strict=True):
        if dim in kernels.coords and kernels.sizes[dim] > 1:
            _require_on_pixels(kernels[dim].values, cube[axis].values, step, axis)
    errors = np.abs(stack.values.astype(np.float64).sum((1, 2)) - 1)
    if not np.all(errors < _SUM_TOLERANCE):
        worst = int(np.argmax(np.nan_to_num(errors, nan=np.inf)))
        raise PSFError(
            "HC-P05",
            f"the kernel's sum is {errors[worst]:.3g} away from 1, so it does not keep the flux",
            "divide it by its sum, if it is on the pixels of the images",
            band=str(cube.band.values[worst]),
        )
    return stack


def _require_on_pixels(offsets: Any, labels: Any, step: float, axis: str) -> None:
    """Require offsets [arcsec] of kernels that are those of an image's pixels, in its direction."""
    steps = np.diff(offsets.astype(np.float64))
    way = -1 if labels.size > 1 and labels[1] < labels[0] else 1
    even = np.abs(steps / (way * step) - 1).max() <= SAME_SCALE
    if even and abs(offsets[offsets.size // 2]) <= SAME_SCALE * step:
        return
    raise PSFError(
        "HC-P14",
        f"the kernels are on steps of {steps.mean():.4g} arcsec along {axis}, the images on pixels "
        f"of {way * step:.4g}, or their offsets are not 0 in the middle",
        "make kernels of PSFs on these pixels"
        "[[|: matching_kernels(with_psf(cube, psf).psf, to=...)]]",
    )


def require_scale(cube: xr.Dataset) -> None:
    """Require PSFs that lie as the images do: a cube may have been thinned out or flipped."""
    have, steps = scale_of(cube.psf), Grid.of(cube).steps
    flipped = [axis for axis in ("y", "x") if _is_flipped(cube[axis].values)]
    if flipped:
        found = f"the images are flipped in {flipped[0]}"
    elif any(abs(step / have - 1) > SAME_SCALE for step in steps):
        found = f"the images on pixels of {steps[0]:.4g}"
    else:
        return
    raise PSFError(
        "HC-P14",
        f"the PSFs are on pixels of {have:.4g} arcsec, {found}",
        "match first, thin out later; or give PSFs for these pixels"
        "[[: --psf FILE|: with_psf(cube, psf)]]",
    )


def _is_flipped(places: NDArray[np.float64]) -> bool:
    return len(places) > 1 and bool(places[1] < places[0])


def reached_widths(cube: xr.Dataset, to: str, kernels: xr.Variable) -> dict[str, float]:
    """Return the FWHM [arcsec] of bands that kernels do not bring to the target, by their widths.

    Only those are judged that have much to do, and kernels that look like some between PSFs: the
    brightest pixel in the middle. Those on pixels of another size are twice as wide, or half.
    """
    target, step = target_width(cube, to), Grid.of(cube).scale
    out: dict[str, float] = {}
    for i, name in enumerate(cube.band.values.tolist()):
        width, kernel = float(cube.psf_fwhm.values[i]), trimmed(kernels.values[i])
        asked = np.sqrt(max(target**2 - width**2, 0.0))
        middle = np.ravel_multi_index((kernel.shape[0] // 2, kernel.shape[1] // 2), kernel.shape)
        judged = asked > _MUCH * target and kernel.argmax() == middle and not is_identity(kernel)
        if cube.matched_to.values[i] == to:  # it passes as it is
            out |= {name: width} if abs(width - target) > _SAME_WIDTH else {}
            continue
        if not judged:
            continue
        found = _own_width(kernel, width / step) * step
        if not abs(found / asked - 1) <= _OFF:
            out[name] = round(float(np.hypot(width, found)), 4)
    return out


def _own_width(kernel: Image64, width: float) -> float:
    """Return what a kernel adds to the FWHM of a Gaussian, in quadrature; pixels."""
    radius = int(np.ceil(2 * width)) + max(kernel.shape)
    image = gaussian_kernel((width / FWHM_OF_SIGMA,) * 2, (radius, radius))
    return float(np.sqrt(max(fwhm(convolved(image, _squared(kernel))) ** 2 - width**2, 0.0)))


def matched_psf(psf: xr.DataArray, kernels: xr.DataArray) -> xr.DataArray:
    """Return PSFs convolved with their kernels, (band, ky, kx), as `psf_match` leaves them."""
    return psf.transpose("band", "ky", "kx").copy(data=matched_psfs(psf, kernels.variable))


def matched_psfs(psf: xr.DataArray, kernels: xr.Variable) -> Any:
    """Return PSFs convolved with their kernels, (band, ky, kx) float32."""
    images = psf.variable.transpose("band", "ky", "kx").values
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
