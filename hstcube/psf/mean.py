"""The mean of stars in one band: core and wings from those that show them, and its noise."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hstcube.errors import PSFError
from hstcube.psf.one_star import APERTURE, BRIGHT
from hstcube.psf.profiles import CORE, encircled_energy, radius_map

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

    Image64 = NDArray[np.float64]
    Mask = NDArray[np.bool_]

__all__ = ["Mean", "mean_star", "shows"]

_SCATTER = 0.05  # by which true PSFs differ from star to star, per pixel (of its value)
_CLIP = 3.0
_ALONE = 1e-3  # 1 - sum of squared weights, where one star is as good as alone


class Mean(NamedTuple):
    """The PSF of one band."""

    image: Image64  # unit sum
    stars: str  # the names of those used
    variance: Image64  # of its pixels, by the noise of the stars; units of image**2
    level: float  # standard error of its background, which all pixels have in common
    deviations: Image64  # (star, ny, nx): their squares, summed over the stars, are its variance


def shows(one: xr.Dataset) -> tuple[Mask, Mask]:
    """Return which stars show the core of a band's PSF, and which its wings, (star,)."""
    verdict = one.verdict.values
    core = (verdict == "used") | (verdict == "core only")
    wings = (verdict == "used") | (verdict == "wings only")
    return core, wings if wings.any() else core


def mean_star(one: xr.Dataset, scale: float) -> Mean:
    """Return the mean of the stars in one band: core and wings from those that show them.

    Parameters
    ----------
    one : Dataset
        One band of what `examine_stars` returned.
    scale : float
        Arcsec per pixel.

    Raises
    ------
    PSFError
        If no star shows the core.
    """
    core, wings = shows(one)
    if not core.any():
        raise PSFError(
            "HC-P10",
            f"no star shows the core of its PSF ({_reasons(one)})",
            "give more stars",
            band=str(one.band.item()),
        )
    images = one.image.values.astype(np.float64)
    distance = radius_map(images.shape[1:])
    # beyond, a saturated star is sound
    inner = 2 * CORE * float(np.nanmin(one.fwhm.values[core])) / scale
    reference = images[core].mean(0)
    ring = (distance > inner) & (distance <= APERTURE / scale)
    for i in np.flatnonzero(wings & ~core):
        images[i] *= reference[ring].sum() / images[i][ring].sum()
    noise = _noise(one, scale)
    spread = np.hypot(noise[:, None, None], _SCATTER * np.abs(reference))
    sound = np.where(distance <= inner, core[:, None, None], wings[:, None, None])
    weight = _weights(images, spread, sound & np.isfinite(images))
    mean = (weight * np.nan_to_num(images)).sum(0)
    total = mean.sum()
    apertures = noise * one["spread"].values * _share_in_aperture(reference, scale)
    variance = (weight**2 * apertures[:, None, None] ** 2).sum(0)
    level = _level(one, scale, apertures, wings)
    names = " ".join(map(str, one.star.values[core | wings]))
    deviations = _deviations(images - mean, weight)
    return Mean(mean / total, names, variance / total**2, level / total, deviations / total)


def _deviations(apart: Image64, weight: Image64) -> Image64:
    """Return what each star pulls the weighted mean by, (star, ny, nx), as a jackknife has it.

    Without star i the mean is x_i = x - w_i / (1 - w_i) (star_i - x). For equal weights the sum of
    squares of what is returned is (n - 1)/n sum (x_i - x)^2 (Tukey 1958, Ann. Math. Stat. 29, 614);
    for others each counts (1 - w_i)^2 (Hinkley 1977, Technometrics 19, 285), and n/(n - 1) becomes
    1/(1 - sum w^2), which makes it unbiased for weights of inverse variance.
    """
    alone = 1 - (weight**2).sum(0)
    return np.nan_to_num(weight * apart) * np.where(alone > _ALONE, alone, np.inf) ** -0.5


def _noise(one: xr.Dataset, scale: float) -> Image64:
    """Return the noise of a pixel over the light within BRIGHT, (star,)."""
    noise = np.maximum(1 / one.snr.values, 1e-6) / (math.sqrt(math.pi) * BRIGHT / scale)
    return np.asarray(noise)


def _share_in_aperture(image: Image64, scale: float) -> float:
    """Return the light within BRIGHT over that within the aperture that stars are scaled by."""
    near, whole = encircled_energy(image, [BRIGHT / scale, APERTURE / scale])
    return float(near / whole) if whole > 0 else 1.0


def _level(one: xr.Dataset, scale: float, noise: Image64, wings: Mask) -> float:
    """Return the standard error of the background of the mean, one of each star's pixels."""
    area = math.pi * (APERTURE / scale) ** 2
    share = noise / one["spread"].values  # as the weights say it, of which compactness_error is
    relative = (one.compactness_error.values / share) ** 2 - area
    levels = np.sqrt(np.clip(relative, 0, None)) / area * noise
    weight = np.where(wings, 1 / noise**2, 0.0)
    return float(np.sqrt((weight**2 * levels**2).sum()) / weight.sum())


def _reasons(one: xr.Dataset) -> str:
    pairs = zip(one.star.values, one.reason.values, strict=True)
    return "; ".join(f"{name}: {reason}" for name, reason in pairs)


def _weights(images: Image64, spread: Image64, sound: Mask) -> Image64:
    """Return the weights of a mean of images where they are sound, without what is 3 sigma off it.

    Their sum over the stars is one, or nothing where no star is sound.
    """
    for _ in range(3):
        weight = _normalised(sound / spread**2)
        mean = (weight * np.nan_to_num(images)).sum(0)
        clipped = sound & (np.abs(images - mean) <= _CLIP * spread)
        sound = np.where(clipped.any(0), clipped, sound)
    return weight


def _normalised(weight: Image64) -> Image64:
    return np.asarray(weight / np.maximum(weight.sum(0), 1e-300))
