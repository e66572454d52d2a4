"""Circular measures of a PSF image: encircled energy, widths, centre. Radii and widths in pixels."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Image64 = NDArray[np.float64]

__all__ = ["centroid", "encircled_energy", "fwhm", "half_light_radius", "middle", "radius_map"]

_SUBPIXELS = 25  # on a side, where a circle cuts a pixel: areas to 1e-3 of a pixel
_CORE = 1.0  # sigma of the window of the centroid, in FWHM


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
    """
    from scipy import ndimage

    reach = min(image.shape) // 2
    radii = np.arange(0, reach, 0.05)
    turn = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    y0, x0 = middle((image.shape[0], image.shape[1]))
    places = [y0 + np.outer(radii, np.sin(turn)), x0 + np.outer(radii, np.cos(turn))]
    profile = ndimage.map_coordinates(
        np.asarray(image, dtype=float), places, order=5, mode="nearest"
    ).mean(1)
    below = np.flatnonzero(profile < profile[0] / 2)
    if not below.size:
        return float(2 * reach)
    last = below[0] - 1
    return 2 * float(np.interp(-profile[0] / 2, -profile[last : last + 2], radii[last : last + 2]))


def centroid(
    image: Image64, start: tuple[float, float] | None = None, width: float | None = None
) -> tuple[float, float]:
    """Return the centroid (y, x) under a Gaussian window that moves with it (as XWIN of SExtractor).

    Parameters
    ----------
    image : array, (ny, nx)
    start : (y, x), optional
        The middle when not given.
    width : float, optional
        Sigma of the window, pixels; the FWHM of the image when not given.
    """
    y, x = middle((image.shape[0], image.shape[1])) if start is None else start
    width = max(fwhm(image) * _CORE, 1.0) if width is None else width
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
