"""What is known of the PSFs of bands, and which PSFs are not so: in width, or by a pedestal."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hstcube import shipped
from hstcube.basics.memory import remembered
from hstcube.core.bands import cameras
from hstcube.core.state import attribute, warn
from hstcube.errors import HstCubeWarning, warn_caller
from hstcube.psf.profiles import fwhm, radius_map

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

    Image64 = NDArray[np.float64]
    Gaussian = tuple[float, float]  # sigma [arcsec] and weight

__all__ = [
    "Known",
    "doubts",
    "gaussian_models",
    "known_width",
    "model_image",
    "tell_doubts",
    "told_doubts",
]

_SAME = 0.05  # relative: how far widths of one release, scale and drizzle may differ
_OTHER = 0.10  # ... and others of the band
_HALF = 1.92  # arcsec: half the frame on which a model's width is measured
_SAME_SCALE = 1e-3
_BOX = 0.68  # FWHM of the Gaussian that has the variance of a box, over the box's side
_SAMPLED = 2.6  # pixels of an FWHM: narrower cores depend on drizzle and place more than on optics
_JWST = ("NIRCAM", "NIRISS", "MIRI")
_DIAMETERS = {True: 6.5, False: 2.4}  # m, of JWST and HST
_COARSEST = 0.13  # arcsec: pixels of WFC3/IR
_WIDE = 2.5  # times what diffraction and the coarsest pixels make
_ARCSEC = 180 * 3600 / math.pi

# the light of a pixel at the rim over that further in: r^-3 makes 0.28, PSFs of HST have 0.1 to 0.4
_INNER, _RIM = (1.0, 1.3), (1.6, 1.9)  # arcsec
_FLAT = 0.5
_FAINT = 4e-6  # per arcsec2 / 0.06**2: a rim fainter than that is no pedestal that matters
_SIGNIFICANT = 3.0


class Known(NamedTuple):
    """Between which widths a PSF of a band lies, FWHM [arcsec], and what says so."""

    least: float
    most: float
    by: str


def doubts(psf: xr.DataArray, survey: str = "") -> list[tuple[str, str]]:
    """Return the codes and texts of what is wrong with PSFs, by what is known of their bands.

    Parameters
    ----------
    psf : DataArray, (band, ky, kx)
        With offsets [arcsec].
    survey : str
        Of the images that they are of, "" where it is not known.

    Returns
    -------
    list of (code, text)
        HC-P38 of widths, HC-P39 of pedestals.
    """
    if psf.sizes["ky"] < 3:  # noqa: PLR2004
        return []
    scale = float(psf.ky[1] - psf.ky[0])
    wrong, flat = [], []
    images = psf.transpose("band", "ky", "kx").values
    for name, image in zip(psf.band.values.tolist(), images, strict=True):
        width, known = _width(image) * scale, known_width(name, scale, survey)
        if known and not known.least <= width <= known.most:
            wrong.append(f"{name} {width:.3f}, not {_between(known)}")
        if level := _pedestal(image, scale):
            flat.append(f"{name} {level:.1g} of its light per pixel")
    found = []
    if wrong:
        text = "PSFs have other widths than are known of their bands [arcsec]: "
        text += f"{', '.join(sorted(wrong))}"
        found.append(("HC-P38", text))
    if flat:
        text = "PSFs do not fall off at the rim as PSFs do, as by a pedestal: "
        text += f"{', '.join(sorted(flat))}"
        found.append(("HC-P39", text))
    return found


def told_doubts(cube: xr.Dataset) -> xr.Dataset:
    """Return the cube with a warning of each PSF that is not what is known of its band."""
    for code, text in doubts(cube.psf, attribute(cube, "survey")):
        cube = warn(cube, code, text)
    return cube


def tell_doubts(psf: xr.DataArray, survey: str = "") -> None:
    """Warn of PSFs that are not what is known of their bands, and belong to no cube."""
    for code, text in doubts(psf, survey):
        warn_caller(HstCubeWarning(code, text))


def _between(known: Known) -> str:
    return f"{known.least:.3f} to {known.most:.3f} ({known.by})"


@remembered(64)
def _width(image: NDArray[np.float32]) -> float:
    return fwhm(image.astype(np.float64))


def known_width(band: str, scale: float, survey: str = "") -> Known | None:
    """Return between which widths the PSF of a band lies; None where nothing is known of it.

    Of the same survey and scale within 5 % (10 % where its core is undersampled: single stars
    differ by up to 5 % by their places within a pixel); else within 10 % of what the table has of
    the band at any scale, the box of the pixel exchanged. Where the core is undersampled, there or
    here, drizzle and the place within a pixel change it by more: it is no narrower than diffraction
    makes it, and no wider than where it lies between pixels. Of bands of which the table has
    nothing, diffraction and the coarsest pixels of a camera tell it.
    """
    known = {key: _model_width(band, *key) for key in _models_of_band(band)}
    for (name, of), width in known.items():
        if name == survey and abs(of / scale - 1) <= _SAME_SCALE:
            apart = _SAME if width >= _SAMPLED * scale else _OTHER
            return Known(width * (1 - apart), width * (1 + apart), f"PSFs of {survey.upper()}")
    least, most = _optics(band, scale)
    if not known:
        return Known(least, most, "diffraction") if least else None
    moved = {
        math.sqrt(max(width**2 + _BOX**2 * (scale**2 - of**2), 0)): width / of
        for (_, of), width in known.items()
    }
    narrow, wide = min(moved), max(moved) * (1 + _OTHER)
    if narrow >= _SAMPLED * scale and moved[narrow] >= _SAMPLED:
        least = narrow * (1 - _OTHER)
    elif narrow < _SAMPLED * scale:
        wide = max(wide, _SAMPLED * scale)
    return Known(least, wide, "PSFs of stars in other releases")


@lru_cache(maxsize=64)
def _model_width(band: str, survey: str, scale: float) -> float:
    half = round(_HALF / scale)
    offset = np.arange(-half, half + 1) * scale
    return fwhm(model_image(_models_of_band(band)[survey, scale], offset, scale)) * scale


def _optics(band: str, scale: float) -> tuple[float, float]:
    """Return the least FWHM [arcsec] that diffraction and the pixel of an image make, and the most.

    The FWHM of an obstructed aperture is 0.98 to 1.03 lambda/D; what detectors and drizzle add is
    less than the coarsest pixels, so that no star is so wide as the most.
    """
    spots = [
        one.pivot * 1e-10 / _DIAMETERS[one.instrument in _JWST] * _ARCSEC for one in cameras(band)
    ]
    if not spots:
        return 0.0, math.inf
    least = math.hypot(min(spots), _BOX * scale) * (1 - _OTHER)
    return least, _WIDE * math.hypot(max(spots), _COARSEST, scale)


def _pedestal(image: NDArray[np.floating], scale: float) -> float:
    """Return the light per pixel at the rim of a PSF that falls off there as none does, else 0.

    It is too flat, or negative.
    """
    distance = radius_map((image.shape[0], image.shape[1])) * scale
    rings = [image[(distance > low) & (distance <= high)] for low, high in (_INNER, _RIM)]
    if distance[distance.shape[0] // 2].max() < _RIM[1] or min(ring.size for ring in rings) < 3:  # noqa: PLR2004
        return 0.0
    total = float(image.sum(dtype=np.float64))
    inner, rim = (float(ring.mean(dtype=np.float64)) / total for ring in rings)
    error = float(rings[1].std()) / total / math.sqrt(rings[1].size)
    faint = _FAINT * (scale / 0.06) ** 2
    flat = rim - _SIGNIFICANT * error > _FLAT * inner and rim > faint
    return rim if flat or rim + _SIGNIFICANT * error < -faint else 0.0


# -- the table that ships: PSFs as sums of Gaussians


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


def _models_of_band(band: str) -> dict[tuple[str, float], list[Gaussian]]:
    """Return what the table has of a band: by survey and pixel scale [arcsec]."""
    models: dict[tuple[str, float], list[Gaussian]] = {}
    for row in shipped.table("hstcube.surveys", "psf_surveys.csv"):
        if row["band"] == band:
            key = row["survey"], float(row["scale"])
            models.setdefault(key, []).append((float(row["sigma"]), float(row["weight"])))
    return models
