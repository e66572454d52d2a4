"""PSFs with bands and offsets: the kernels between them, and how near those come to the target."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from hstcube.errors import PSFError
from hstcube.psf.profiles import centroid, encircled_energy, fwhm, half_light_radius, radius_map
from hstcube.psf.solver import (
    FWHM_OF_SIGMA,
    convolved,
    gaussian_kernel,
    is_identity,
    matching_kernel,
    on_one_frame,
    trimmed,
)
from hstcube.psf.solver import Method as KernelMethod

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Image64 = NDArray[np.float64]

__all__ = [
    "RADII",
    "failing",
    "fwhm_of",
    "matched_psf",
    "matched_psfs",
    "matching_kernels",
    "prepare_psf",
    "psf_quality",
    "scale_of",
    "target_psf",
    "width_of",
]

RADII = (
    0.06,
    0.09,
    0.12,
    0.18,
    0.24,
    0.3,
    0.36,
    0.45,
    0.6,
    0.75,
    0.9,
    1.05,
    1.2,
)  # arcsec, of encircled energies

# A band passes when it agrees with the target as well as real HST stars agree with one another
# (docs/psf.md)
LARGEST_EE_ERROR = 0.025  # at 0.18 arcsec and beyond
LARGEST_RESIDUAL = 0.12
LARGEST_NEGATIVE = 1.0
SAME_SCALE = 1e-3  # relative

_NEAR = 0.18  # arcsec: from here outwards encircled energies decide


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
    scale = scale_of(psf)
    target = target_psf(psf, to, scale)
    bands = psf.band.values.tolist()
    identity = np.ones((1, 1))
    pairs = [
        (identity, _measured(image, target, identity, scale))
        if isinstance(to, str) and band == to
        else _pair(image, target, scale, method, regularization)
        for band, image in zip(
            bands, psf.transpose("band", "ky", "kx").values.astype(np.float64), strict=True
        )
    ]
    stack = np.stack(on_one_frame(*(kernel for kernel, _ in pairs)))
    offsets = (np.arange(stack.shape[1]) - stack.shape[1] // 2) * scale
    coords = {
        "band": psf.band.values,
        "ky": ("ky", offsets, {"units": "arcsec"}),
        "kx": ("kx", offsets, {"units": "arcsec"}),
        **{key: ("band", [quality[key] for _, quality in pairs]) for key in pairs[0][1]},
    }
    return xr.DataArray(stack, coords, ("band", "ky", "kx"), "kernels", {"method": method})


def psf_quality(
    cube: xr.Dataset | xr.DataArray, *, to: str | xr.DataArray | None = None
) -> xr.Dataset:
    """Compare the PSF of every band with the one that the cube is matched to.

    Parameters
    ----------
    cube : Dataset or DataArray
        With the coordinate ``psf``, as it is after `psf_match`; before, the table shows how unlike
        the bands are. Or PSFs (band, ky, kx) alone.
    to : str or DataArray, optional
        What to compare with, as for `psf_match`; what ``matched_to`` says when not given, else
        F160W or the broadest band.

    Returns
    -------
    Dataset
        ``ee_ratio`` (band, radius): encircled energy over the target's, both set to one at 1.2
        arcsec; on the band axis ``half_light_ratio``, ``residual``, ``negative`` (of the kernel
        that was used; NaN before matching) and ``verdict``. `to_dataframe` makes a table of it.

    Raises
    ------
    PSFError
        If the cube has no PSF, or the target is not known.
    """
    if isinstance(cube, xr.Dataset) and "psf" not in cube.coords:
        raise PSFError(
            "HC-P09", "the cube has no PSF", "give it one: with_psf(cube, measure_psf(stars))"
        )
    psf = cube.psf if isinstance(cube, xr.Dataset) else cube
    scale = scale_of(psf)
    images = psf.transpose("band", "ky", "kx").values.astype(np.float64)
    if to is None:
        matched, names = (
            str(cube.matched_to.values[0]) if "matched_to" in cube.coords else "",
            psf.band.values.tolist(),
        )
        to = matched or (
            "f160w"
            if "f160w" in names
            else names[int(np.argmax([fwhm(image) for image in images]))]
        )
    target = target_psf(psf, to, scale)
    identity = np.ones((1, 1))
    qualities = [_measured(image, target, identity, scale) for image in images]
    negative = (
        cube.psf_negative.values if "psf_negative" in cube.coords else np.full(len(images), np.nan)
    )
    worst = [q["ee_error"] for q in qualities]
    residual = [q["residual"] for q in qualities]
    verdict = [
        failing(ee, rest, n) or "good"
        for ee, rest, n in zip(worst, residual, np.nan_to_num(negative), strict=True)
    ]
    return xr.Dataset(
        {
            "ee_ratio": (("band", "radius"), [_ee_ratio(image, target, scale) for image in images]),
            "half_light_ratio": ("band", [q["half_light_ratio"] for q in qualities]),
            "residual": ("band", residual),
            "negative": ("band", negative),
            "verdict": ("band", np.array(verdict, object)),
        },
        {"band": psf.band.values, "radius": ("radius", list(RADII), {"units": "arcsec"})},
        {"to": to if isinstance(to, str) else str(to.name or "psf")},
    )


def prepare_psf(
    image: Any,
    *,
    scale: float,
    to_scale: float | None = None,
    size: int | None = None,
    name: str = "psf",
) -> xr.DataArray:
    """Make a PSF that can be used of any image of one: cut, centre, resample, normalise; say what was done.

    Parameters
    ----------
    image : array, (ny, nx)
        Odd or even, the PSF somewhere near the brightest pixel.
    scale : float
        Arcsec per pixel.
    to_scale : float, optional
        Of the result; a PSF is summed, not sampled, on coarser pixels. The same when not given.
    size : int, optional
        Side of the result in its pixels, odd; as much as the image shows on all sides when not
        given.
    name : str
        What cubes that are matched to it will say.

    Returns
    -------
    DataArray, (ky, kx)
        Unit sum, odd, centred to 0.01 pixels; offsets in arcsec; ``attrs["notes"]`` says what was
        done to the image.

    Raises
    ------
    PSFError
        If the image is not of two dimensions, holds NaN, or no light.
    """
    from scipy import ndimage

    given = np.asarray(image, dtype=np.float64)
    if (
        given.ndim != 2
        or not np.isfinite(given).all()
        or not given.sum() > 0
        or min(given.shape) < 3
    ):
        raise PSFError(
            "HC-P08",
            f"the PSF image {given.shape} holds NaN or no light, or is no image",
            "repair the image",
            band="",
        )
    to_scale = to_scale or scale
    peak = np.unravel_index(np.argmax(ndimage.gaussian_filter(given, 1.0)), given.shape)
    centre = centroid(given, (float(peak[0]), float(peak[1])), max(2.0, 0.1 / scale))
    if not np.isfinite(centre).all():
        raise PSFError(
            "HC-P08", "the PSF image has no peak", "cut the image around the star", band=""
        )
    reach = min(
        centre[0], centre[1], given.shape[0] - 1 - centre[0], given.shape[1] - 1 - centre[1]
    )
    largest = 2 * int((reach + 0.5) * scale / to_scale - 0.5) + 1
    side = max(largest if size is None else size, 3)
    offset = np.arange(side) - side // 2
    fold = max(round(3 * to_scale / scale), 1) if to_scale > scale * (1 + SAME_SCALE) else 1
    fine = ((np.arange(side * fold) + 0.5) / fold - 0.5 - side // 2) * to_scale / scale
    places = np.meshgrid(centre[0] + fine, centre[1] + fine, indexing="ij")
    values = ndimage.map_coordinates(given, places, order=5, mode="constant")
    values = values.reshape(side, fold, side, fold).sum((1, 3))
    off = float(
        np.hypot(centre[0] - (given.shape[0] - 1) / 2, centre[1] - (given.shape[1] - 1) / 2)
    )
    notes = [f"moved by {off:.2f} pixels"] if off > 0.01 else []  # noqa: PLR2004
    notes += (
        [f"resampled from {scale:.4g} to {to_scale:.4g} arcsec"]
        if abs(to_scale / scale - 1) > SAME_SCALE
        else []
    )
    notes += [f"cut from {given.shape} to {(side, side)}"] if (side, side) != given.shape else []
    notes += [f"sum {given.sum():.4g} set to 1"] if abs(given.sum() - 1) > 1e-3 else []  # noqa: PLR2004
    if (negative := -values[values < 0].sum() / values.sum()) > 0.01:  # noqa: PLR2004
        notes.append(f"{negative:.1%} of its light is negative")
    axis = {"units": "arcsec"}
    return xr.DataArray(
        values / values.sum(),
        {"ky": ("ky", offset * to_scale, axis), "kx": ("kx", offset * to_scale, axis)},
        ("ky", "kx"),
        name,
        {"notes": "; ".join(notes)},
    )


def matched_psf(psf: xr.DataArray, kernels: xr.DataArray) -> xr.DataArray:
    """Return PSFs convolved with their kernels, (band, ky, kx), as they are in a cube after `psf_match`."""
    return psf.transpose("band", "ky", "kx").copy(data=matched_psfs(psf, kernels.variable))


def _pair(
    image: Image64,
    target: Image64,
    scale: float,
    method: KernelMethod,
    regularization: float | None,
) -> tuple[Image64, dict[str, float]]:
    """Return the kernel of one pair and what it does; a survey has one set of PSFs for thousands of targets."""
    arrays = (
        np.ascontiguousarray(image, dtype=np.float64),
        np.ascontiguousarray(target, dtype=np.float64),
    )
    return _remembered(*((a.tobytes(), a.shape[0]) for a in arrays), scale, method, regularization)


@lru_cache(maxsize=64)
def _remembered(
    source: tuple[bytes, int],
    target: tuple[bytes, int],
    scale: float,
    method: KernelMethod,
    regularization: float | None,
) -> tuple[Image64, dict[str, float]]:
    one, other = (np.frombuffer(data).reshape(n, n) for data, n in (source, target))
    kernel = matching_kernel(one, other, method=method, regularization=regularization)
    return kernel, _measured(one, other, kernel, scale)


def _measured(source: Image64, target: Image64, kernel: Image64, scale: float) -> dict[str, float]:
    """Return what `matching_kernels` says of a kernel."""
    source, target = on_one_frame(source / source.sum(), target / target.sum())
    made = convolved(source, kernel)
    outer = _outer(target, scale)
    made, target = (image / encircled_energy(image, outer)[0] for image in (made, target))
    radii = np.array(RADII)
    inside = radius_map((target.shape[0], target.shape[1])) <= outer
    offset = (np.arange(kernel.shape[0]) - kernel.shape[0] // 2) * scale
    return {
        "sum": float(kernel.sum()),
        "negative": float(np.abs(kernel[kernel < 0].sum())),
        "sum_of_squares": float((kernel**2).sum()),
        "centroid_y": float(kernel.sum(1) @ offset),
        "centroid_x": float(kernel.sum(0) @ offset),
        "ee_error": float(np.abs(_ee_ratio(made, target, scale) - 1)[radii >= _NEAR].max()),
        "residual": float(np.abs(made - target)[inside].sum()),
        "half_light_ratio": half_light_radius(made, outer) / half_light_radius(target, outer),
    }


def _ee_ratio(made: Image64, target: Image64, scale: float) -> Any:
    """Return encircled energies over the target's at RADII, both set to one at 1.2 arcsec."""
    made, target = on_one_frame(made, target)
    radii = np.minimum(np.array(RADII) / scale, _outer(target, scale))
    ee, aim = encircled_energy(made, radii), encircled_energy(target, radii)
    return ee / ee[-1] / (aim / aim[-1])


def _outer(image: Image64, scale: float) -> float:
    """Return the radius at which light is set to one, pixels: 1.2 arcsec, or what the image shows."""
    return float(min(RADII[-1] / scale, (image.shape[0] - 1) / 2))


def failing(ee_error: float, residual: float, negative: float) -> str:
    """Return what is wrong with a match, "" if nothing is."""
    if not ee_error <= LARGEST_EE_ERROR:
        return f"encircled energy off by {ee_error:.1%} at 0.18 arcsec or beyond"
    if not residual <= LARGEST_RESIDUAL:
        return f"{residual:.0%} of the light is in the wrong place"
    if not negative <= LARGEST_NEGATIVE:
        return f"the kernel's negative part is {negative:.2f}: it sharpens"
    return ""


def matched_psfs(psf: xr.DataArray, kernels: xr.Variable) -> Any:
    """Return PSFs convolved with their kernels, (band, ky, kx) float32."""
    images = psf.transpose("band", "ky", "kx").values
    pairs = zip(images, kernels.values, strict=True)
    return np.stack(
        [
            _matched_psf(image.tobytes(), image.shape[0], kernel.tobytes(), kernel.shape)
            for image, kernel in pairs
        ]
    )


@lru_cache(maxsize=64)
def _matched_psf(psf: bytes, size: int, kernel: bytes, shape: tuple[int, int]) -> Any:
    image = np.frombuffer(psf, np.float32).reshape(size, size)
    matrix = trimmed(np.frombuffer(kernel).reshape(shape))
    if is_identity(matrix):
        return image
    square = (
        on_one_frame(matrix, np.zeros((1, 1)))[0]
        if matrix.shape[0] == matrix.shape[1]
        else _squared(matrix)
    )
    made = convolved(image.astype(np.float64), square)
    return (made / made.sum()).astype(np.float32)


def _squared(kernel: Image64) -> Image64:
    side = max(kernel.shape)
    return np.pad(kernel, [((side - n) // 2, (side - n) // 2) for n in kernel.shape])


def target_psf(psf: xr.DataArray, to: str | xr.DataArray, scale: float) -> Image64:
    """Return the target on pixels of `scale`."""
    if not isinstance(to, str):
        scale_of(to)
        return np.asarray(
            prepare_psf(to.values, scale=scale_of(to), to_scale=scale).values, dtype=np.float64
        )
    if width := width_of(to):
        sigma = width / scale / FWHM_OF_SIGMA
        half = max(psf.sizes["ky"] // 2, int(np.ceil(5 * sigma)))
        return gaussian_kernel((sigma, sigma), (half, half))
    names = psf.band.values.tolist()
    if to not in names:
        raise PSFError(
            "HC-B05",
            f"the target {to!r} has no PSF here",
            f"choose to= from {', '.join(map(str, names))}, or a width such as '0.3arcsec'",
        )
    return np.asarray(psf.isel(band=names.index(to)).values, dtype=np.float64)


def scale_of(psf: xr.DataArray) -> float:
    """Return the size of a PSF's pixels [arcsec].

    Raises
    ------
    PSFError
        If its offsets do not say it.
    """
    for axis in ("ky", "kx"):
        if axis not in psf.coords or psf.sizes.get(axis, 0) < 3:  # noqa: PLR2004
            raise PSFError(
                "HC-P14",
                f"the PSF has no offsets {axis} in arcsec",
                "make it with prepare_psf(image, scale=0.06)",
            )
    steps = [np.diff(psf[axis].values) for axis in ("ky", "kx")]
    step = float(steps[0].mean())
    if not step > 0 or any(np.abs(s / step - 1).max() > SAME_SCALE for s in steps):
        raise PSFError(
            "HC-P14",
            "the offsets ky, kx of the PSF are not even",
            "make it with prepare_psf(image, scale=0.06)",
        )
    return step


def fwhm_of(image: Image64) -> float:
    """Return the FWHM of a PSF, pixels; remembered, for it takes as long as a step of the recipe."""
    return _remembered_fwhm(
        np.ascontiguousarray(image, dtype=np.float64).tobytes(), (image.shape[0], image.shape[1])
    )


@lru_cache(maxsize=64)
def _remembered_fwhm(image: bytes, shape: tuple[int, int]) -> float:
    return fwhm(np.frombuffer(image).reshape(shape))


def width_of(to: str) -> float | None:
    """Return the FWHM [arcsec] that a target such as ``"0.6arcsec"`` names, None where it is no width."""
    found = re.fullmatch(r"\s*(\d+\.?\d*|\.\d+)\s*arcsec\s*", to)
    return float(found[1]) if found else None
