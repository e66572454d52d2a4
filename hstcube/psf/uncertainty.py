"""How far a PSF that was measured from stars may be from the truth."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hstcube.psf.mean import Mean, mean_star, shows
from hstcube.psf.profiles import NEAR, RADII, encircled_energy, radius_map

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

    Image64 = NDArray[np.float64]

__all__ = ["FEWEST", "Uncertainty", "error_of"]

_COMMON = 0.002  # what centring and interpolation leave in all stars, as bright as they may be
FEWEST = 3  # stars, whose differences tell an error that holds


class Uncertainty(NamedTuple):
    """The standard error of the encircled energy at NEAR and beyond, and how many stars tell it."""

    error: float
    stars: int


def error_of(one: xr.Dataset, mean: Mean, scale: float) -> Uncertainty:
    """Return how far the mean of stars in one band may be from the band's PSF.

    Of three stars and more: the jackknife over the stars, sigma^2 = (n - 1)/n sum (x_i - x)^2
    (Tukey 1958, Ann. Math. Stat. 29, 614), x_i the curve of growth without star i; not less than
    what their noise makes. Of two, that noise and half their difference are added in quadrature;
    of one there is the noise alone. What all stars have in common (a pedestal, the pixel scale) is
    in none of these.

    Parameters
    ----------
    one : Dataset
        One band of what `examine_stars` returned.
    mean : Mean
        The mean of these stars.
    scale : float
        Arcsec per pixel.
    """
    core, wings = shows(one)
    noise = _noise(mean, scale)
    curves = _without_one(one, core, wings, scale)
    number = int(min(core.sum(), wings.sum()))
    if len(curves) > 1:
        count = len(curves)
        deviations = curves - curves.mean(0)
        jackknife = np.sqrt((count - 1) / count * (deviations**2).sum(0))
        noise = np.maximum(noise, jackknife) if number >= FEWEST else np.hypot(noise, jackknife)
    return Uncertainty(math.hypot(float(noise.max()), _COMMON), number)


def _without_one(
    one: xr.Dataset, core: NDArray[np.bool_], wings: NDArray[np.bool_], scale: float
) -> Image64:
    """Return the curves of growth without each star that others can stand for, (n, radius)."""
    curves = []
    for i in np.flatnonzero(core | wings):
        left = np.arange(core.size) != i
        if core[left].any() and wings[left].any():
            curves.append(_growth(mean_star(one.isel(star=left), scale).image, scale))
    return np.array(curves)


def _growth(image: Image64, scale: float) -> Image64:
    """Return encircled energies at NEAR and beyond, over that at the last radius."""
    radii = _radii(image, scale)
    grown = encircled_energy(image, radii)
    return np.asarray(grown / grown[-1])


def _radii(image: Image64, scale: float) -> Image64:
    far = np.array(RADII)[np.array(RADII) >= NEAR] / scale
    return np.asarray(np.minimum(far, (min(image.shape) - 1) / 2))


def _noise(mean: Mean, scale: float) -> Image64:
    """Return the relative error of the curve of growth by the noise of pixels and background."""
    radii = _radii(mean.image, scale)
    grown = encircled_energy(mean.image, radii)
    distance = radius_map((mean.image.shape[0], mean.image.shape[1]))
    whole = (distance <= radii[-1]) / grown[-1]
    errors = []
    for radius, light in zip(radii, grown, strict=True):
        share = (distance <= radius) / light - whole
        errors.append(math.hypot(math.sqrt(float((share**2 * mean.variance).sum())),
                                 float(share.sum()) * mean.level))  # fmt: skip
    return np.array(errors)
