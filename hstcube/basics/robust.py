"""What estimates without being led astray: scatters, clipped pixels, images less their background.

Plain arrays, (y, x): an image z of unit-free noise, a mask of blank pixels, and the scale of the
background in pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Image64 = NDArray[np.float64]
    Mask = NDArray[np.bool_]

__all__ = ["clipped", "gaussian_mean", "gaussian_weights", "robust_sigma", "without_background"]

MAD_TO_SIGMA = 1.482602218505602  # of a Gaussian: 1 / the normal quantile of 3/4
CLIP = 4.0  # robust standard deviations: Gaussian noise loses 0.05 % of its rms beyond


def robust_sigma(deviations: Any, axis: int | None = None) -> Any:
    """Return the standard deviation from the median of absolute deviations."""
    return MAD_TO_SIGMA * np.median(np.abs(deviations), axis=axis)


def clipped(z: Image64, blank: Mask, scale: float) -> Mask:
    """Return the blank pixels within 4 robust standard deviations of their local background."""
    for _ in range(3):
        rest = without_background(z, blank, scale)
        width = robust_sigma(rest[blank]) if blank.any() else 0.0
        kept = blank & (np.abs(rest) <= CLIP * width)
        if np.array_equal(kept, blank):
            break
        blank = kept
    return blank


def without_background(z: Image64, blank: Mask, scale: float) -> Image64:
    """Return z less its Gaussian mean over the blank pixels around; 0 where nothing is blank."""
    mean = gaussian_mean(np.where(blank, z, 0), scale)
    level = np.divide(mean, gaussian_weights(blank, scale))
    return np.where(blank, z - level, 0)


def gaussian_mean(image: Image64, scale: float) -> Image64:
    """Return an image smoothed with a Gaussian; beyond the frame there is nothing."""
    from scipy import ndimage

    return np.asarray(ndimage.gaussian_filter(image, scale, mode="constant", truncate=4.0))


def gaussian_weights(blank: Mask, scale: float) -> Image64:
    """Return which share of the Gaussian around every pixel is blank; never 0, so it divides."""
    share = gaussian_mean(blank.astype(np.float64), scale)
    return np.maximum(share, np.finfo(np.float64).tiny)
