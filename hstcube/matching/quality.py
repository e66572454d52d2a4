"""Targets of the matching, and how near PSFs come to them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import xarray as xr

from hstcube.basics.memory import remembered
from hstcube.core.bands import name_among
from hstcube.core.rules import taken
from hstcube.errors import PSFError, RecipeError
from hstcube.inputs.quantities import number_in, short
from hstcube.matching.solver import convolved, gaussian_kernel
from hstcube.psf.preparation import on_one_frame, prepare_psf, scale_of
from hstcube.psf.profiles import (
    FWHM_OF_SIGMA,
    encircled_energy,
    fwhm,
    half_light_radius,
    radius_map,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    Image64 = NDArray[np.float64]

__all__ = [
    "RADII",
    "Quality",
    "as_target",
    "failing",
    "fwhm_of",
    "measured_quality",
    "psf_quality",
    "require_width",
    "target_psf",
    "width_of",
]

# arcsec, of encircled energies
RADII = (0.06, 0.09, 0.12, 0.18, 0.24, 0.3, 0.36, 0.45, 0.6, 0.75, 0.9, 1.05, 1.2)

# A band passes when it agrees with the target as well as real HST stars agree with one another
# (docs/psf.md)
LARGEST_EE_ERROR = 0.025  # at 0.18 arcsec and beyond
LARGEST_RESIDUAL = 0.12
LARGEST_NEGATIVE = 1.0

_STAMPS = 4  # sides of the PSFs' images: targets are not wider

_NUMBER = re.compile(r"\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*")
_LENGTH = re.compile(rf"({_NUMBER.pattern})([A-Za-z]\w*)\s*")

_NEAR = 0.18  # arcsec: from here outwards encircled energies decide


def psf_quality(cube: xr.Dataset | xr.DataArray, *, to: Any = None) -> xr.Dataset:
    """Compare the PSF of every band with the one that the cube is matched to.

    Parameters
    ----------
    cube : Dataset or DataArray
        With the coordinate ``psf``, as it is after `psf_match`; before, the table shows how unlike
        the bands are. Or PSFs (band, ky, kx) alone.
    to : str, Quantity or DataArray, optional
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
    if not isinstance(cube, xr.DataArray):
        cube = taken(cube, pixels=False)
    psf = _psf_of(cube)
    scale = scale_of(psf)
    images = psf.transpose("band", "ky", "kx").values.astype(np.float64)
    if to is None:
        to = _matched_to(cube) or _broadest(psf.band.values.tolist(), images)
    to = as_target(to, psf.band.values, pixel=scale)
    target = target_psf(psf, to, scale)
    unknown = np.full(len(images), np.nan)
    negative = cube.psf_negative.values if "psf_negative" in cube.coords else unknown
    identity = np.ones((1, 1))
    ratios, widths, residuals, verdicts = [], [], [], []
    for image, share in zip(images, np.nan_to_num(negative), strict=True):
        quality = measured_quality(image, target, identity, scale)
        ratios.append(_ee_ratio(image, target, scale))
        widths.append(quality.half_light_ratio)
        residuals.append(quality.residual)
        verdicts.append(failing(quality.ee_error, quality.residual, share) or "good")
    return xr.Dataset(
        {
            "ee_ratio": (("band", "radius"), ratios),
            "half_light_ratio": ("band", widths),
            "residual": ("band", residuals),
            "negative": ("band", negative),
            "verdict": ("band", np.array(verdicts, object)),
        },
        {"band": psf.band.values, "radius": ("radius", list(RADII), {"units": "arcsec"})},
        {"to": to if isinstance(to, str) else str(to.name or "psf")},
    )


def _psf_of(cube: xr.Dataset | xr.DataArray) -> xr.DataArray:
    if isinstance(cube, xr.DataArray):
        return cube
    if "psf" not in cube.coords:
        raise PSFError(
            "HC-P09",
            "the cube has no PSF",
            "give it one: [[--psf FILE|with_psf(cube, measure_psf(stars))]]",
        )
    psf: xr.DataArray = cube.psf
    return psf


def _matched_to(cube: xr.Dataset | xr.DataArray) -> str:
    return str(cube.matched_to.values[0]) if "matched_to" in cube.coords else ""


def _broadest(bands: list[str], images: Image64) -> str:
    """Return F160W, or the band with the broadest PSF where that is not there."""
    if "f160w" in bands:
        return "f160w"
    return bands[int(np.argmax([fwhm(image) for image in images]))]


class Quality(NamedTuple):
    """What a kernel is, and how near it comes to its target; centroids in arcsec."""

    sum: float
    negative: float
    sum_of_squares: float
    centroid_y: float
    centroid_x: float
    ee_error: float
    residual: float
    half_light_ratio: float


def measured_quality(source: Image64, target: Image64, kernel: Image64, scale: float) -> Quality:
    """Return what `matching_kernels` says of a kernel between two PSFs on pixels of `scale`."""
    source, target = on_one_frame(source / source.sum(), target / target.sum())
    outer = _outer(target, scale)
    made = convolved(source, kernel)
    made = made / encircled_energy(made, outer)[0]
    target = target / encircled_energy(target, outer)[0]
    far = np.array(RADII) >= _NEAR
    inside = radius_map((target.shape[0], target.shape[1])) <= outer
    offset = (np.arange(kernel.shape[0]) - kernel.shape[0] // 2) * scale
    return Quality(
        sum=float(kernel.sum()),
        negative=float(np.abs(kernel[kernel < 0].sum())),
        sum_of_squares=float((kernel**2).sum()),
        centroid_y=float(kernel.sum(1) @ offset),
        centroid_x=float(kernel.sum(0) @ offset),
        ee_error=float(np.abs(_ee_ratio(made, target, scale) - 1)[far].max()),
        residual=float(np.abs(made - target)[inside].sum()),
        half_light_ratio=half_light_radius(made, outer) / half_light_radius(target, outer),
    )


def _ee_ratio(made: Image64, target: Image64, scale: float) -> Image64:
    """Return encircled energies over the target's at RADII, both set to one at 1.2 arcsec."""
    made, target = on_one_frame(made, target)
    radii = np.minimum(np.array(RADII) / scale, _outer(target, scale))
    ee, aim = encircled_energy(made, radii), encircled_energy(target, radii)
    return np.asarray(ee / ee[-1] / (aim / aim[-1]))


def _outer(image: Image64, scale: float) -> float:
    """Return the radius at which light is set to one, pixels: 1.2 arcsec, or the image's own."""
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


def target_psf(psf: xr.DataArray, to: str | xr.DataArray, scale: float) -> Image64:
    """Return the target on pixels of `scale`."""
    if not isinstance(to, str):
        given = prepare_psf(to.values, scale=scale_of(to), to_scale=scale)
        return np.asarray(given.values, dtype=np.float64)
    if width := width_of(to):
        side = max(psf.sizes["ky"], psf.sizes["kx"]) * scale
        require_width(
            width, _STAMPS * side, f"{_STAMPS} times the PSFs' images, {side:.3g} arcsec,"
        )
        sigma = width / scale / FWHM_OF_SIGMA
        half = max(psf.sizes["ky"] // 2, int(np.ceil(5 * sigma)))
        return gaussian_kernel((sigma, sigma), (half, half))
    names = psf.band.values.tolist()
    if to not in names:
        raise PSFError(
            "HC-B05",
            f"the target {to!r} has no PSF here",
            f"choose [[--to|to=]] from {', '.join(map(str, names))}, or a width, e.g. '0.3arcsec'",
        )
    return np.asarray(psf.isel(band=names.index(to)).values, dtype=np.float64)


def require_width(width: float, most: float, what: str) -> None:
    """Refuse a target so wide that its image would fill the memory, and show nothing.

    Raises
    ------
    PSFError
        If the FWHM, `width`, is above `most` [arcsec].
    """
    if width > most:
        reason = f"a target of {width:g} arcsec FWHM is wider than {what} which show nothing of it"
        raise PSFError("HC-P19", reason, f"choose a width below {most:.3g} arcsec")


@remembered(64)
def fwhm_of(image: Image64) -> float:
    """Return the FWHM of a PSF, pixels; kept, for it takes as long as a step of the recipe."""
    return fwhm(image)


def as_target(
    to: Any, bands: Iterable[str] = (), *, pixel: float | None = None
) -> str | xr.DataArray:
    """Return a target of the matching as it is remembered.

    Parameters
    ----------
    to : str, Quantity or DataArray
        A band; a width, ``0.3 * u.arcsec``, ``"300mas"``; or a PSF.
    bands : iterable of str
        The bands that there are: F160W and f160w are one.
    pixel : float, optional
        Arcsec of a pixel, where there is one.

    Returns
    -------
    str or DataArray
        The name of a band, ``"0.3arcsec"``, or the PSF.

    Raises
    ------
    RecipeError
        If it is a number without a unit, or none of these.
    """
    if isinstance(to, xr.DataArray) and "ky" in to.dims:
        return to
    if isinstance(to, str):
        there = [str(name) for name in bands]
        name = name_among(to, there)
        if name in there or not _is_width(to):
            return name
        if width_of(to):
            return to  # as it was written
    bare = isinstance(to, str) and _NUMBER.fullmatch(to)
    if bare or (np.ndim(to) == 0 and np.asarray(to).dtype.kind in "iuf" and not _unit_of(to)):
        fix = f'say the unit: [[--to {to}arcsec|to="{to}arcsec"]]'
        raise RecipeError("HC-B33", f"to is {to}, a number without a unit", fix)
    if not isinstance(to, str) and not _unit_of(to):
        fix = 'give a band, "0.3arcsec"[[|, or a PSF with offsets: prepare_psf(image, scale=0.06)]]'
        raise RecipeError("HC-B31", f"to is {short(to)}, no target", fix)
    width = number_in("arcsec", to, "to", pixel=pixel, above=0)
    return f"{width:.12g}arcsec"


def _is_width(text: str) -> bool:
    """Return whether a text is a length rather than the name of a band."""
    if _NUMBER.fullmatch(text):
        return re.fullmatch(r"\s*\d{3,4}\s*", text) is None  # the digits of a band
    found = _LENGTH.fullmatch(text)
    if found is None:
        return False
    from astropy import units

    try:
        unit = units.Unit(found[2])
    except ValueError:
        return False
    return bool(unit == units.pix or unit.is_equivalent("arcsec"))


def _unit_of(to: Any) -> Any:
    return getattr(to, "unit", None)


def width_of(to: str) -> float | None:
    """Return the FWHM [arcsec] of a target such as ``"0.6arcsec"``, None where it is no width."""
    found = re.fullmatch(r"\s*(\d+\.?\d*(?:e[+-]?\d+)?|\.\d+)\s*arcsec\s*", to)
    return float(found[1]) if found else None
