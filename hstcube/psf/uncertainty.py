"""How far a PSF that was measured from stars may be from the truth."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hstcube.psf.mean import Mean, shows
from hstcube.psf.profiles import NEAR, RADII, encircled_energy, radius_map, shifted

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

    Image64 = NDArray[np.float64]

__all__ = ["FEWEST", "Uncertainty", "error_of"]

_OF_PLACES = 0.25  # of a shift there and back; 0.15 to 0.29 in six bands of HST and JWST
FEWEST = 3  # stars, whose differences tell an error that holds


class Uncertainty(NamedTuple):
    """The standard error of the encircled energy at NEAR and beyond, and how many stars tell it."""

    error: float
    stars: int


def error_of(one: xr.Dataset, mean: Mean, scale: float) -> Uncertainty:
    """Return how far the mean of stars in one band may be from the band's PSF.

    Of three stars and more: what the mean changes by without each star in turn, a jackknife
    (`mean_star`); not less than what their noise makes. Of two, that noise and half their
    difference are added in quadrature; of one there is the noise alone. What all stars have in
    common (a pedestal, the pixel scale) is in none of these.

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
    number = int(min(core.sum(), wings.sum()))
    shares = _shares(mean.image, scale)
    noise = np.hypot(
        np.sqrt((shares**2 * mean.variance).sum((1, 2))), shares.sum((1, 2)) * mean.level
    )
    noise = np.hypot(noise, _by_places(mean.image, shares))
    pulls = np.einsum("ryx,syx->rs", shares, mean.deviations)
    jackknife = np.sqrt((pulls**2).sum(1))
    both = np.maximum(noise, jackknife) if number >= FEWEST else np.hypot(noise, jackknife)
    return Uncertainty(float(both.max()), number)


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
