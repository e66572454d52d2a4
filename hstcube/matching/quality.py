"""How near a kernel brings a PSF to its target, and what is to be said of that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hstcube.core.offsets import psf_errors
from hstcube.core.state import note, warn
from hstcube.matching.solver import convolved
from hstcube.psf.mean import FEWEST
from hstcube.psf.preparation import on_one_frame
from hstcube.psf.profiles import NEAR, RADII, encircled_energy, half_light_radius, radius_map

if TYPE_CHECKING:
    from collections.abc import Mapping

    import xarray as xr
    from numpy.typing import NDArray

    Image64 = NDArray[np.float64]

__all__ = [
    "LARGEST_EE_ERROR",
    "UNVERIFIED",
    "Quality",
    "ee_ratio",
    "failing",
    "measured_quality",
    "predicted",
    "shortfall",
    "unproven",
    "with_doubts",
]

# A band passes when it agrees with the target as well as real HST stars agree with one another
# (docs/psf.md)
LARGEST_EE_ERROR = 0.025  # at 0.18 arcsec and beyond
LARGEST_RESIDUAL = 0.12
LARGEST_NEGATIVE = 1.0

UNVERIFIED = "unverified"  # the verdict on PSFs of one or two stars


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
    far = np.array(RADII) >= NEAR
    inside = radius_map((target.shape[0], target.shape[1])) <= outer
    offset = (np.arange(kernel.shape[0]) - kernel.shape[0] // 2) * scale
    return Quality(
        sum=float(kernel.sum()),
        negative=float(np.abs(kernel[kernel < 0].sum())),
        sum_of_squares=float((kernel**2).sum()),
        centroid_y=float(kernel.sum(1) @ offset),
        centroid_x=float(kernel.sum(0) @ offset),
        ee_error=float(np.abs(ee_ratio(made, target, scale) - 1)[far].max()),
        residual=float(np.abs(made - target)[inside].sum()),
        half_light_ratio=half_light_radius(made, outer) / half_light_radius(target, outer),
    )


def ee_ratio(made: Image64, target: Image64, scale: float) -> Image64:
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


def predicted(psf: xr.DataArray, to: Any, ee_error: Any) -> tuple[Image64, Image64]:
    """Return the predicted errors of the matches of PSFs, and the fewest stars that tell each.

    What its kernel leaves and the errors of both PSFs, (band,); those of PSFs add nothing where
    they are not known (NaN). The target itself is no match: its error is that of its kernel, and
    its stars are its own.
    """
    names = [str(name) for name in psf.band.values]
    errors, stars = psf_errors(psf, names).values()
    own = np.array([isinstance(to, str) and name == to for name in names])
    of_target = float(np.nan_to_num(errors[own]).sum())
    fewest = np.fmin(stars, stars[own][0]) if own.any() else stars
    together = np.sqrt(np.square(ee_error) + np.nan_to_num(errors) ** 2 + of_target**2)
    return np.where(own, ee_error, together), fewest


def unproven(error: float, stars: float) -> str:
    """Return "unverified" for a match of PSFs of too few stars, and how wrong others may be.

    "" where nothing is to be said. The number of stars is NaN where it is not known: PSFs of models
    have none.
    """
    if error > LARGEST_EE_ERROR:
        return f"encircled energy may be off by {error:.1%}, by the noise of the stars"
    return UNVERIFIED if stars < FEWEST else ""


def shortfall(ee_error: float, residual: float, negative: float) -> float:
    """Return the largest of these figures of a match, as a share of what is allowed of it."""
    return max(
        ee_error / LARGEST_EE_ERROR, residual / LARGEST_RESIDUAL, negative / LARGEST_NEGATIVE
    )


def with_doubts(
    cube: xr.Dataset, figures: Mapping[str, Any], done: NDArray[np.bool_]
) -> xr.Dataset:
    """Return the cube with what is to be said of the PSFs that kernels were made of.

    A warning where they may be wrong by more than the gate allows of a kernel; a note where too few
    stars tell it.

    Parameters
    ----------
    cube : Dataset
        With its PSFs.
    figures : mapping of str to array, (band,)
        Of its kernels, as `kernels_of` returns them.
    done : array, (band,)
        Bands that are matched already.
    """
    few = []
    rows = zip(
        cube.band.values.tolist(), done, figures["predicted_error"],
        figures["ee_error"], figures["fewest_stars"], strict=True,
    )  # fmt: skip
    for band, finished, error, of_kernel, stars in rows:
        said = "" if finished else unproven(error if error > of_kernel else 0.0, stars)
        if said == UNVERIFIED:
            few.append(f"{band} ({stars:.0f})")
        elif said:
            cube = warn(cube, "HC-P40", f"{band}: {said}")
    if few:
        text = f"{UNVERIFIED}: PSFs of one or two stars tell little of their own errors: "
        cube = note(cube, "HC-P41", text + ", ".join(sorted(few)))
    return cube
