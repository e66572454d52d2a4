"""What the images of the made-up field are like, band by band, and their PSFs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Image = NDArray[np.float64]

__all__ = ["BANDS", "FINE", "SCALE", "WIDE", "Camera", "psf_image"]

SCALE, FINE = 0.06, 0.03  # arcsec per pixel
WIDE = 131  # pixels of 30 mas: PSFs of the scene, as wide as those that stars show


@dataclass(frozen=True)
class Camera:
    """What the images of one band are like; lengths in arcsec, levels per pixel of 60 mas."""

    core: float  # sigma of the PSF's core
    wings: float  # share of the light in the wings
    wht: float  # (electron/s)**-2, the median of the XDF
    sky: float  # electron/s
    exposure: float  # s


BANDS = {
    "f435w": Camera(0.045, 0.22, 2.2e6, 2e-5, 195429.0),
    "f606w": Camera(0.046, 0.20, 1.0e6, -3e-5, 250040.0),
    "f775w": Camera(0.045, 0.20, 3.2e6, 2e-5, 452360.0),
    "f814w": Camera(0.044, 0.21, 3.7e5, 6e-4, 183825.0),
    "f850lp": Camera(0.045, 0.24, 5.2e6, -1e-5, 598937.0),
    "f105w": Camera(0.078, 0.16, 1.0e6, 1e-5, 342278.0),
    "f125w": Camera(0.078, 0.17, 5.5e5, -2e-5, 208298.0),
    "f140w": Camera(0.079, 0.18, 3.9e5, 3e-5, 96108.0),
    "f160w": Camera(0.080, 0.19, 1.27e6, 1e-5, 330624.0),
}


def psf_image(camera: Camera, scale: float, size: int, *, shift: Any = (0.0, 0.0)) -> Image:
    """Return a PSF, (size, size), unit sum on a much larger frame.

    A Gaussian core and Moffat wings (beta = 2).

    Parameters
    ----------
    camera : Camera
    scale : float
        Arcsec per pixel; a pixel is the sum of what 30 mas pixels show.
    size : int
        Odd.
    shift : (y, x)
        Of the centre, in pixels.
    """
    fold = round(scale / FINE)
    offset = (np.arange(size * fold) - (size * fold - 1) / 2) * FINE
    square = (offset[:, None] - shift[0] * scale) ** 2 + (offset[None, :] - shift[1] * scale) ** 2
    core = np.exp(-0.5 * square / camera.core**2) / (2 * np.pi * camera.core**2)
    alpha = 2.2 * camera.core
    wings = 1 / (np.pi * alpha**2) / (1 + square / alpha**2) ** 2
    image = ((1 - camera.wings) * core + camera.wings * wings) * FINE**2
    return np.asarray(image.reshape(size, fold, size, fold).sum((1, 3)))
