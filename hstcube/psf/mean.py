"""The mean of stars in one band: core and wings from those that show them, and its error."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hstcube.errors import PSFError
from hstcube.psf.measures import APERTURE, BRIGHT
from hstcube.psf.profiles import CORE, NEAR, RADII, encircled_energy, radius_map, shifted

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

    Image64 = NDArray[np.float64]
    Mask = NDArray[np.bool_]

__all__ = ["FEWEST", "Mean", "Uncertainty", "error_of", "mean_star"]

_SCATTER = 0.05  # by which true PSFs differ from star to star, per pixel (of its value)
_CLIP = 3.0
_OF_PLACES = 0.25  # of a shift there and back; 0.15 to 0.29 in six bands of HST and JWST
_RIM, _OF_WINGS = 0.85, 1 / 3  # of half an image; of their light there: 0.16 to 0.54 in four bands
FEWEST = 3  # stars, whose differences tell an error that holds
_ALONE = 1e-3  # 1 - sum of squared weights, where one star is as good as alone


class Mean(NamedTuple):
    """The PSF of one band."""

    image: Image64  # unit sum
    stars: str  # the names of those used
    variance: Image64  # of its pixels, by the noise of the stars; units of image**2
    level: float  # standard error of its background, which all pixels have in common
    deviations: Image64  # (star, ny, nx): their squares, summed over the stars, are its variance


def _shows(one: xr.Dataset) -> tuple[Mask, Mask]:
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
    core, wings = _shows(one)
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
    apertures = noise * _spread(one) * _share_in_aperture(reference, scale)
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


def _spread(one: xr.Dataset) -> Image64:
    """Return the scatter of the noise over what weights say, (star,); 1 where not looked at."""
    known = one["spread"].values if "spread" in one else np.ones(one.sizes["star"])
    return np.asarray(known)


def _share_in_aperture(image: Image64, scale: float) -> float:
    """Return the light within BRIGHT over that within the aperture that stars are scaled by."""
    near, whole = encircled_energy(image, [BRIGHT / scale, APERTURE / scale])
    return float(near / whole) if whole > 0 else 1.0


def _level(one: xr.Dataset, scale: float, noise: Image64, wings: Mask) -> float:
    """Return the standard error of the background of the mean, one of each star's pixels."""
    area = math.pi * (APERTURE / scale) ** 2
    share = noise / _spread(one)  # as the weights say it, of which compactness_error is
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


# -- how far it may be from the truth


class Uncertainty(NamedTuple):
    """The standard error of the encircled energy at NEAR and beyond, and how many stars tell it."""

    error: float
    stars: int


def error_of(one: xr.Dataset, mean: Mean, scale: float) -> Uncertainty:
    """Return how far the mean of stars in one band may be from the band's PSF.

    Of three stars and more: what the mean changes by without each star in turn, a jackknife
    (`mean_star`); not less than what their noise makes. Of two, that noise and half their
    difference are added in quadrature; of one there is the noise alone. What
    interpolation, and wings in the background, do to all stars alike is added; what else they have
    in common (a pedestal, the pixel scale, the focus) is in none of these.

    Parameters
    ----------
    one : Dataset
        One band of what `examine_stars` returned.
    mean : Mean
        The mean of these stars.
    scale : float
        Arcsec per pixel.
    """
    core, wings = _shows(one)
    number = int(min(core.sum(), wings.sum()))
    shares = _shares(mean.image, scale)
    noise = np.hypot(
        np.sqrt((shares**2 * mean.variance).sum((1, 2))), shares.sum((1, 2)) * mean.level
    )
    pulls = np.einsum("ryx,syx->rs", shares, mean.deviations)
    jackknife = np.sqrt((pulls**2).sum(1))
    both = np.maximum(noise, jackknife) if number >= FEWEST else np.hypot(noise, jackknife)
    common = np.hypot(_by_places(mean.image, shares), _by_wings(mean.image, shares))
    return Uncertainty(float(np.hypot(both, common).max()), number)


def _by_places(image: Image64, shares: Image64) -> Image64:
    """Return how much relative encircled energies differ from star to star by places in a pixel.

    Where pixels are too coarse for a PSF, interpolation changes it, at worst by half of what a
    shift by half a pixel and back does, (radius,). It does not average out: a spline loses some of
    what is near the highest frequency of the pixels in all stars alike.
    """
    middle, side = image.shape[0] // 2, image.shape[0]
    there = shifted(image, (middle + 0.5, middle + 0.5), side)
    back = shifted(there, (middle - 0.5, middle - 0.5), side)
    return np.asarray(_OF_PLACES * np.abs((shares * (back - image)).sum((1, 2))))


def _by_wings(image: Image64, shares: Image64) -> Image64:
    """Return what is wrong where a background held wings that do not fall off as r^-3, (radius,).

    Those of a star are taken out of its background as if they did; they have spikes and rings.
    """
    half = image.shape[0] / 2
    rim = image[radius_map((image.shape[0], image.shape[1])) > _RIM * half]
    return np.asarray(_OF_WINGS * abs(float(rim.mean())) * np.abs(shares.sum((1, 2))))


def _shares(image: Image64, scale: float) -> Image64:
    """Return by how much each pixel raises the relative curve of growth, (radius, ny, nx).

    Encircled energies at NEAR and beyond, over that at the last radius.
    """
    far = np.array(RADII)[np.array(RADII) >= NEAR] / scale
    radii = np.minimum(far, (min(image.shape) - 1) / 2)
    grown = encircled_energy(image, radii)
    distance = radius_map((image.shape[0], image.shape[1]))
    inside = (distance <= radii[:, None, None]) / grown[:, None, None]
    return np.asarray(inside - inside[-1])
