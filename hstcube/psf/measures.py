"""What is measured of a clean star in one band."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hstcube.psf.profiles import elongation, encircled_energy

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hstcube.psf.one_star import CleanStar, Star

    Image64 = NDArray[np.float64]

__all__ = ["APERTURE", "BRIGHT", "COMPACT", "Measures", "measured"]

APERTURE = 1.2  # arcsec: stars are compared, and scaled to one another, within it
COMPACT = 0.45  # arcsec: light within it, over that in the aperture, tells stars from galaxies
BRIGHT = 0.3  # arcsec: the signal to noise is that of the light within it

_COARSE = 2.0  # pixels of an FWHM, of which fewer let a core look elongated
_FAR = 0.6  # of half a stamp: noise is measured beyond
_BLOCK = 5  # pixels a side of what is summed there
_FEW_BLOCKS = 12  # tell no scatter
_MAD = 0.6745  # median of the absolute deviations of a Gaussian, in sigma
_LEAST_SPREAD = 0.3


class Measures(NamedTuple):
    """What the verdict on a star in one band needs; widths in arcsec, places in pixels."""

    core_width: float
    fwhm: float
    compactness: float
    compactness_error: float
    misfit: float
    core_weight: float
    snr: float
    neighbours: int
    elongation: float
    spread: float
    y: float
    x: float
    star: CleanStar
    light: float  # within the aperture

    def image(self, side: int) -> Image64:
        """Return (side, side) pixels with the star in the middle, unit light in the aperture."""
        return self.star.centred(side) / (self.light if self.light > 0 else 1.0)


def measured(clean: CleanStar) -> Measures:
    """Measure a clean star."""
    star, scale = clean.star, clean.star.scale
    aperture = min(APERTURE / scale, min(star.shape) / 2 - 1)
    radii = [aperture, COMPACT / scale, BRIGHT / scale]
    light, inner, near = encircled_energy(clean.image, radii, star.centre)
    area = math.pi * aperture**2
    error = star.noise * math.hypot(math.sqrt(area), area * clean.level_error) / max(light, 1e-30)
    inside = star.distance <= star.core
    seen = star.weight[star.weight > 0]
    return Measures(
        core_width=star.fit.sigma * scale,
        fwhm=star.sharpness * scale,
        compactness=inner / light if light > 0 else 0.0,
        compactness_error=error,
        misfit=star.misfit,
        core_weight=float(star.weight[inside].min() / np.median(seen)) if seen.size else 0.0,
        snr=near / (star.noise * math.sqrt(math.pi) * BRIGHT / scale),
        neighbours=clean.neighbours,
        elongation=_elongation(star),
        spread=_spread(clean),
        y=star.centre[0],
        x=star.centre[1],
        star=clean,
        light=light,
    )


def _elongation(star: Star) -> float:
    """Return the elongation of a core, less where pixels are too coarse for it.

    They elongate a core that lies between two of them: by 0.2 where its FWHM is 1.5 pixels.
    """
    told = elongation(star.raw - star.background, star.centre, star.sharpness)
    return told * min(1.0, star.sharpness / _COARSE) ** 4


def _spread(clean: CleanStar) -> float:
    """Return the scatter of sums over blocks of pixels far from a star, over what weights say.

    More than 1 where the noise of pixels is correlated, or larger than the weights say. Blocks are
    compared with those across the star, so that its wings do not count.
    """
    star = clean.star
    rows, columns = np.indices(star.shape)
    y, x = (round(2 * c) - i for c, i in zip(star.centre, (rows, columns), strict=True))
    there = (y >= 0) & (y < star.shape[0]) & (x >= 0) & (x < star.shape[1])
    far = there & (star.distance > _FAR * min(star.shape) / 2) & (star.weight > 0)
    y, x = np.where(there, y, 0), np.where(there, x, 0)
    ny, nx = (n // _BLOCK for n in star.shape)
    across = np.where(far & (star.weight[y, x] > 0), clean.image - clean.image[y, x], np.nan)
    blocks = across[: ny * _BLOCK, : nx * _BLOCK].reshape(ny, _BLOCK, nx, _BLOCK)
    sums = blocks.sum((1, 3))
    sums = sums[np.isfinite(sums)]
    if sums.size < _FEW_BLOCKS or not np.isfinite(star.noise):
        return 1.0
    scatter = float(np.median(np.abs(sums))) / _MAD
    return max(scatter / (math.sqrt(2) * _BLOCK * star.noise), _LEAST_SPREAD)
