"""Measures of a PSF image: encircled energy, widths, centre, a Gaussian fitted to its core.

Radii and widths are in pixels.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from hstcube.errors import PSFError
from hstcube.inputs.arrays import shown
from hstcube.inputs.choices import require_choice

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Image64 = NDArray[np.float64]

__all__ = [
    "CORE",
    "FWHM_OF_SIGMA",
    "NEAR",
    "RADII",
    "CoreFit",
    "WidthMethod",
    "as_image",
    "centroid",
    "core_centre",
    "core_fit",
    "elongation",
    "encircled_energy",
    "fit_width",
    "fwhm",
    "half_light_radius",
    "integrated_gaussian",
    "middle",
    "odd",
    "placed",
    "radius_map",
    "shifted",
]

FWHM_OF_SIGMA = 2 * math.sqrt(2 * math.log(2))
CORE = 1.2  # radius of the core, in FWHM
# arcsec, of encircled energies
RADII = (0.06, 0.09, 0.12, 0.18, 0.24, 0.3, 0.36, 0.45, 0.6, 0.75, 0.9, 1.05, 1.2)
NEAR = 0.18  # arcsec: from here outwards encircled energies decide

WidthMethod = Literal["original", "core", "profile"]

_RADII = 160  # of a profile that are looked at together: most PSFs have fallen to half by then
_SUBPIXELS = 25  # on a side, where a circle cuts a pixel: areas to 1e-3 of a pixel
_ELONGATION_WINDOW = 0.8  # sigma, in FWHM: a neighbour at 0.5 arcsec is outside
_SEEN = 2.0  # pixels of an FWHM: a narrower window would show the pixels
_WINDOW = 1.0  # sigma of the window of the centroid, in FWHM


def middle(shape: tuple[int, int]) -> tuple[float, float]:
    """Return the centre (y, x) of an image."""
    return (shape[0] - 1) / 2, (shape[1] - 1) / 2


def radius_map(shape: tuple[int, int], centre: tuple[float, float] | None = None) -> Image64:
    """Return the distance of every pixel from `centre`, the middle of the image when not given."""
    y, x = middle(shape) if centre is None else centre
    return np.asarray(np.hypot(np.arange(shape[0])[:, None] - y, np.arange(shape[1])[None, :] - x))


def encircled_energy(
    image: Image64, radii: ArrayLike, centre: tuple[float, float] | None = None
) -> Image64:
    """Return the sum of an image within circles.

    Parameters
    ----------
    image : array, (ny, nx)
    radii : array, (n,)
        Pixels.
    centre : (y, x), optional
        Pixels; the middle of the image when not given.

    Returns
    -------
    array, (n,)
        Pixels that a circle cuts count by the share of their area, to 1e-3.
    """
    centre = (
        middle((image.shape[0], image.shape[1]))
        if centre is None
        else (float(centre[0]), float(centre[1]))
    )
    radii = tuple(float(r) for r in np.atleast_1d(np.asarray(radii, dtype=float)))
    shares = _shares((image.shape[0], image.shape[1]), centre, radii)
    return np.asarray(shares @ np.asarray(image, dtype=np.float64).ravel())


@lru_cache(maxsize=64)
def _shares(shape: tuple[int, int], centre: tuple[float, float], radii: tuple[float, ...]) -> Any:
    """Return the share of every pixel that lies in each circle, a sparse matrix (radii, pixels)."""
    from scipy.sparse import csr_matrix

    distance = radius_map(shape, centre).ravel()
    y, x = np.divmod(np.arange(distance.size), shape[1])
    fine = (np.arange(_SUBPIXELS) + 0.5) / _SUBPIXELS - 0.5
    rows = []
    for radius in radii:
        share = (distance <= radius).astype(np.float64)
        cut = np.flatnonzero(np.abs(distance - radius) < 0.75)  # noqa: PLR2004  half a diagonal, and a bit
        dy = (y[cut] - centre[0])[:, None, None] + fine[None, :, None]
        dx = (x[cut] - centre[1])[:, None, None] + fine[None, None, :]
        share[cut] = (dy**2 + dx**2 <= radius**2).mean((1, 2))
        rows.append(share)
    return csr_matrix(np.array(rows))


def half_light_radius(image: Image64, outer: float) -> float:
    """Return the radius that holds half of what the circle of radius `outer` holds, pixels."""
    radii = np.linspace(0.1, outer, 400)
    grown = encircled_energy(image, radii)
    return float(np.interp(0.5, grown / grown[-1], radii))


def fwhm(image: Image64) -> float:
    """Return the full width at half maximum of the azimuthal mean around the middle, pixels.

    The image is interpolated with a quintic spline, so that the width of undersampled PSFs is
    smooth in their position.

    Raises
    ------
    PSFError
        If there is no light in the middle, or the image is but a pixel wide.
    """
    reach = min(image.shape) // 2
    if not reach:
        raise PSFError(
            "HC-P08",
            f"an image of {image.shape[0]}x{image.shape[1]} pixels does not show how wide a PSF is",
            "cut it larger, 3 arcsec or more around the star",
        )
    radii = np.arange(0, reach, 0.05)
    profile = np.empty(0)
    while profile.size < radii.size and not (profile < profile[:1] / 2).any():
        further = radii[profile.size : profile.size + _RADII]
        profile = np.concatenate([profile, _profile(image, further)])
    if not profile[0] > 0:
        raise PSFError(
            "HC-P08",
            "there is no light in the middle of the PSF",
            "centre the image on the star[[|: prepare_psf(image, scale=0.06)]]",
        )
    below = np.flatnonzero(profile < profile[0] / 2)
    if not below.size:
        return float(2 * reach)
    last = below[0] - 1
    return 2 * float(np.interp(-profile[0] / 2, -profile[last : last + 2], radii[last : last + 2]))


def _profile(image: Image64, radii: Image64) -> Image64:
    """Return the mean of an image on circles around its middle."""
    from scipy import ndimage

    turn = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    y0, x0 = middle((image.shape[0], image.shape[1]))
    places = [y0 + np.outer(radii, np.sin(turn)), x0 + np.outer(radii, np.cos(turn))]
    values = ndimage.map_coordinates(
        np.asarray(image, dtype=float), places, order=5, mode="nearest"
    )
    return np.asarray(values.mean(1))


def centroid(
    image: Image64, start: tuple[float, float] | None = None, width: float | None = None
) -> tuple[float, float]:
    """Return the centroid (y, x) under a Gaussian window that moves with it.

    That is XWIN_IMAGE of SExtractor; NaN where it runs out of the frame.

    Parameters
    ----------
    image : array, (ny, nx)
    start : (y, x), optional
        The middle when not given.
    width : float, optional
        Sigma of the window, pixels; the FWHM of the image when not given.
    """
    y, x = middle((image.shape[0], image.shape[1])) if start is None else start
    width = max(fwhm(image) * _WINDOW, 1.0) if width is None else width
    rows, columns = np.arange(image.shape[0])[:, None], np.arange(image.shape[1])[None, :]
    for _ in range(100):
        weight = np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * width**2)) * image
        total = weight.sum()
        step = (2 * ((rows - y) * weight).sum() / total, 2 * ((columns - x) * weight).sum() / total)
        y, x = y + step[0], x + step[1]
        if not np.isfinite(y + x) or not (-1 < y < image.shape[0] and -1 < x < image.shape[1]):
            return float("nan"), float("nan")
        if max(map(abs, step)) < 1e-6:  # noqa: PLR2004
            break
    return float(y), float(x)


def elongation(image: Image64, centre: tuple[float, float], width: float) -> float:
    """Return (a^2 - b^2)/(a^2 + b^2) of the axes of a core; 0 where there is no light.

    Of second moments under a Gaussian window.

    Parameters
    ----------
    image : array, (ny, nx)
        Without background.
    centre : (y, x)
    width : float
        FWHM of the core, pixels.
    """
    sigma = _ELONGATION_WINDOW * max(width, _SEEN)
    y, x = (i - c for i, c in zip(np.indices(image.shape), centre, strict=True))
    light = np.exp(-0.5 * (y**2 + x**2) / sigma**2) * image
    yy, xx, xy = ((light * moment).sum() for moment in (y * y, x * x, x * y))
    return float(math.hypot(yy - xx, 2 * xy) / (yy + xx)) if yy + xx > 0 else 0.0


# -- a Gaussian fitted to the core


class CoreFit(NamedTuple):
    """A circular Gaussian and a constant, fitted to a star; lengths in pixels."""

    y: float
    x: float
    flux: float
    sigma: float
    constant: float


def fit_width(star: Any, mask: Any = None, *, method: WidthMethod = "original") -> float:
    """Return the width of a star, sigma in pixels (FWHM = 2.355 sigma).

    Parameters
    ----------
    star : array, (ny, nx)
    mask : array, (ny, nx), optional
        Pixels that are fitted (not 0); all when not given.
    method : {"original", "core", "profile"}
        ``"original"``: least squares of a circular Gaussian plus a constant, sampled at pixel
        centres, as in HST_data_processing (2022). Its result depends on the mask, as a Gaussian is
        no PSF. ``"core"``: a Gaussian integrated over the pixels, fitted within 1.2 FWHM.
        ``"profile"``: the FWHM of the azimuthal mean.

    Returns
    -------
    float

    Raises
    ------
    PSFError
        If there is no such method, or no star in the mask.

    Examples
    --------
    >>> import hstcube
    >>> psf = hstcube.example().psf.sel(band="f160w")
    >>> round(hstcube.fit_width(psf.values), 1)  # pixels
    1.4
    """
    require_choice("method", method, WidthMethod, code="HC-P06", error=PSFError)
    image = as_image("star", star)
    use = np.ones(image.shape, bool) if mask is None else as_image("mask", mask) > 0
    if use.shape != image.shape:
        reason = f"mask has the shape {use.shape}, star {image.shape}"
        raise PSFError("HC-P08", reason, "give a mask on the pixels of the star")
    if not np.isfinite(image[use]).all() or not use.any() or not image[use].max() > 0:
        raise PSFError(
            "HC-P08", "there is no star in the mask", "check that image and mask show one star"
        )
    if method == "original":
        return _fitted_gaussian(image, use, _brightest(image, use), _sampled_gaussian).sigma
    image = np.where(use, image, 0)
    centre = core_centre(image, 2.0)
    width = fwhm(shifted(image, centre, odd(min(image.shape))))
    if method == "profile":
        return width / FWHM_OF_SIGMA
    return core_fit(image, CORE * width, centre).sigma


def as_image(name: str, given: Any) -> Image64:
    """Return an image of a star, of a PSF, or a mask, as numbers (ny, nx)."""
    try:
        image = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        image = np.empty(0)
    if image.ndim != 2:  # noqa: PLR2004
        raise PSFError("HC-P08", f"{name} is {shown(given)}, not an image", "give one (y, x)")
    return image


def core_centre(image: Image64, width: float) -> tuple[float, float]:
    """Return a first centre: the peak nearest to the middle of what is smoothed by `width`."""
    from scipy import ndimage

    smooth = ndimage.gaussian_filter(image, max(width, 1.0))
    away = radius_map((image.shape[0], image.shape[1]))
    return _brightest(smooth, away <= min(image.shape) / 4)


def _brightest(image: Image64, use: NDArray[np.bool_]) -> tuple[float, float]:
    peak = np.unravel_index(np.argmax(np.where(use, image, -np.inf)), image.shape)
    return float(peak[0]), float(peak[1])


def core_fit(image: Image64, radius: float, start: tuple[float, float]) -> CoreFit:
    """Fit a Gaussian integrated over pixels, within `radius` of its centre."""
    centre = start
    for _ in range(3):
        use = radius_map((image.shape[0], image.shape[1]), centre) <= radius
        fit = _fitted_gaussian(image, use, centre, integrated_gaussian)
        centre = (fit.y, fit.x)
    return fit


def _fitted_gaussian(
    image: Image64, use: NDArray[np.bool_], start: tuple[float, float], shape: Any
) -> CoreFit:
    from scipy import optimize

    places, values = np.nonzero(use), image[use]
    peak = float(values.max(initial=0.0))
    if not 0 < peak < np.inf:
        raise PSFError(
            "HC-P08", "there is no star: no pixel near the middle is bright", "leave this star out"
        )

    def misfit(p: Any) -> Any:
        return p[2] * shape(places, p[0], p[1], p[3]) + p[4] - values / peak

    bounds = ([start[0] - 3, start[1] - 3, 0, 0.2, -1], [start[0] + 3, start[1] + 3, 1e3, 30, 1])
    fit = optimize.least_squares(
        misfit, [*start, 1.0, 1.2, 0.0], bounds=bounds, xtol=1e-12, ftol=1e-12, gtol=1e-12
    )
    y, x, amplitude, sigma, constant = map(float, fit.x)
    return CoreFit(y, x, amplitude * peak, sigma, constant * peak)


def _sampled_gaussian(places: Any, y: float, x: float, sigma: float) -> Any:
    return np.exp(-0.5 * ((places[0] - y) ** 2 + (places[1] - x) ** 2) / sigma**2)


def integrated_gaussian(places: Any, y: float, x: float, sigma: float) -> Any:
    """Return the share of a Gaussian's light on the pixels at `places` (rows, columns)."""
    return _share(places[0] - y, sigma) * _share(places[1] - x, sigma)


def _share(offset: Any, sigma: float) -> Any:
    from scipy.special import erf

    width = math.sqrt(2) * sigma
    return 0.5 * (erf((offset + 0.5) / width) - erf((offset - 0.5) / width))


# -- stars moved on their pixels


def shifted(image: Image64, centre: tuple[float, float], side: int) -> Image64:
    """Return (side, side) pixels with `centre` in the middle, by a quintic spline.

    What lies beyond the frame is zero.
    """
    from scipy import ndimage

    offset = np.arange(side) - side // 2
    places = np.meshgrid(centre[0] + offset, centre[1] + offset, indexing="ij")
    return np.asarray(ndimage.map_coordinates(image, places, order=5, mode="constant"))


def placed(psf: Image64, centre: tuple[float, float], shape: tuple[int, ...]) -> Image64:
    """Return a PSF at `centre` of an empty frame."""
    from scipy import ndimage

    rows, columns = np.indices(shape)
    half = psf.shape[0] // 2
    places = [rows - centre[0] + half, columns - centre[1] + half]
    return np.asarray(ndimage.map_coordinates(psf, places, order=3, mode="constant"))


def odd(n: float) -> int:
    """Return the odd number nearest to `n`."""
    return 2 * round((n - 1) / 2) + 1
