"""The model of a line's map as the companion pipeline of 2022 made it, step by step.

For comparison only. It takes a width in arcsec for one in pixels, so that nothing is smoothed;
combines the images as they were before their sky was taken off and their widths made equal; and
sums over NaN, so that its last two maps are empty.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from hstcube.core.grids import Grid
from hstcube.core.mappings import pixel_mapping
from hstcube.core.rules import taken
from hstcube.errors import CubeError
from hstcube.psf.profiles import FWHM_OF_SIGMA

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hstcube.ifu.scenes import Line

    Array = NDArray[np.float64]

__all__ = ["original_model"]

# Juan-Pineda (2022), Models_HST_MUSE, config.py: FWHM [arcsec] of the images of then
_WIDTHS = {
    "f105w": 0.208, "f125w": 0.211, "f140w": 0.219, "f160w": 0.220, "f435w": 0.110,
    "f606w": 0.134, "f775w": 0.123, "f814w": 0.129, "f850lp": 0.120,
}  # fmt: skip
_WEIGHTS = (1.0, -0.2)  # of its example
_FINER = 8
_SMOOTHED = 0.4  # arcsec, its maps


def original_model(cubes: Any, line: Line, width: float) -> xr.Dataset:
    """Return the ten arrays of the companion pipeline.

    Parameters
    ----------
    cubes : two Datasets
        One band each on its own pixels, its sky subtracted: the first counts once, the second -0.2
        times.
    line : Line
        The map.
    width : float
        FWHM of the map's PSF [arcsec].

    Returns
    -------
    Dataset
        ``data``, ``model``, ``residual``, ``rebinned_model`` (y, x) on the map;
        ``highres_model``, ``smoothed_model`` and ``{band}_interpolated`` (fine_y, fine_x) on pixels
        eight times finer; ``{band}_input`` on the cubes' pixels.

    Raises
    ------
    CubeError
        If there are not two cubes of one band of those of 2022.
    """
    cubes = [cubes] if hasattr(cubes, "data_vars") else [taken(cube) for cube in cubes]
    names = [str(name) for cube in cubes for name in cube.band.values.tolist()]
    if len(cubes) != len(_WEIGHTS) or len(names) != len(_WEIGHTS) or not {*names} <= {*_WIDTHS}:
        reason = f"the model of 2022 is made of two cubes of one band, these are {', '.join(names)}"
        raise CubeError("HC-L18", reason, "give two of these bands, each on its own pixels")
    grid, widths = line.grid, [_WIDTHS[name] for name in names]
    told: dict[str, Any] = {}
    fine = []
    for cube, name, own in zip(cubes, names, widths, strict=True):
        plain = np.nan_to_num(cube.sci.values[0].astype(np.float64))
        smoother = math.sqrt(max(widths) ** 2 - own**2) / Grid.of(cube).scale
        dims = (f"{name}_y", f"{name}_x")
        told[f"{name}_input"] = (dims, _smoothed(plain, smoother) if smoother else plain)
        fine.append(_interpolated(plain + float(cube.sky.values[0]), Grid.of(cube), grid))
        told[f"{name}_interpolated"] = (("fine_y", "fine_x"), fine[-1])
    sharp = np.maximum(sum(w * one for w, one in zip(_WEIGHTS, fine, strict=True)), 0)
    broad = math.sqrt(width**2 + _SMOOTHED**2 - max(widths) ** 2)
    smoothed = _smoothed(sharp, broad)  # which takes pixels
    ny, nx = grid.shape
    rebinned = smoothed.reshape(ny, _FINER, nx, _FINER).mean((1, 3))
    data = np.where(line.good, line.sci, np.nan)
    model = rebinned * (data.sum() / rebinned.sum())  # a sum over NaN, as it was
    told |= {
        "highres_model": (("fine_y", "fine_x"), sharp),
        "smoothed_model": (("fine_y", "fine_x"), smoothed),
        "rebinned_model": (("y", "x"), rebinned),
        "data": (("y", "x"), data),
        "model": (("y", "x"), model),
        "residual": (("y", "x"), data - model),
    }
    return xr.Dataset(told, grid.coords(), {"recipe": "original"})


def _smoothed(image: Array, width: float) -> Array:
    """Return an image convolved with a Gaussian of that FWHM [pixels] on a circle.

    Of zeros around it there are as many as one width, no more.
    """
    rim = int(width) + 1
    wide = np.pad(image, rim)
    y, x = (np.arange(n) - n / 2 for n in wide.shape)
    sigma = width / FWHM_OF_SIGMA
    kernel = np.exp(-(y[:, None] ** 2 + x**2) / (2 * sigma**2))
    transfer = np.fft.rfft2(np.fft.fftshift(kernel / kernel.sum()))
    made = np.fft.irfft2(np.fft.rfft2(wide) * transfer, wide.shape)
    return np.asarray(made[rim:-rim, rim:-rim])


def _interpolated(image: Array, grid: Grid, seen: Grid) -> Array:
    """Return an image at the middles of pixels eight times finer than a map's, linearly; 0 outside.

    Fluxes per pixel stay what they are in pixels of the image.
    """
    from scipy import ndimage

    y, x = ((np.arange(n * _FINER) + 0.5) / _FINER - 0.5 for n in seen.shape)
    places = pixel_mapping(seen, grid)(y[:, None], x[None, :])
    return np.asarray(ndimage.map_coordinates(image, places, order=1, mode="constant", cval=0.0))
