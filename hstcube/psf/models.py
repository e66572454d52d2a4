"""PSFs of surveys as sums of Gaussians, from the table that ships with the package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hstcube import shipped

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Gaussian = tuple[float, float]  # sigma [arcsec] and weight

__all__ = ["gaussian_models", "model_image", "models_of_band"]

_SAME_SCALE = 1e-3  # relative


def gaussian_models(survey: str, scale: float) -> dict[str, list[Gaussian]]:
    """Return the Gaussians of each band that the table has at a pixel scale."""
    models: dict[str, list[Gaussian]] = {}
    for row in shipped.table("hstcube.surveys", "psf_surveys.csv"):
        if row["survey"] == survey and abs(float(row["scale"]) / scale - 1) < _SAME_SCALE:
            models.setdefault(row["band"], []).append((float(row["sigma"]), float(row["weight"])))
    return models


def model_image(model: list[Gaussian], offset: NDArray[np.floating], scale: float) -> Any:
    """Return the sum of the Gaussians, integrated over the pixels at these offsets [arcsec]."""
    from scipy.special import erf

    image = np.zeros((offset.size, offset.size))
    for sigma, weight in model:
        low, high = ((offset + side * scale / 2) / (np.sqrt(2) * sigma) for side in (-1, 1))
        profile = 0.5 * (erf(high) - erf(low))
        image += weight * np.outer(profile, profile)
    return image / image.sum()


def models_of_band(band: str) -> dict[tuple[str, float], list[Gaussian]]:
    """Return what the table has of a band: by survey and pixel scale [arcsec]."""
    models: dict[tuple[str, float], list[Gaussian]] = {}
    for row in shipped.table("hstcube.surveys", "psf_surveys.csv"):
        if row["band"] == band:
            key = row["survey"], float(row["scale"])
            models.setdefault(key, []).append((float(row["sigma"]), float(row["weight"])))
    return models
