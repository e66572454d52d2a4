"""PSFs and kernels as xarray: images on offsets ``ky``, ``kx`` [arcsec] from their middle pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["psf_array", "psf_offsets", "with_psf_coords", "without_psf"]

UNIT_SUM = "point spread function, unit sum"

_OF_THE_PSF = ("psf", "ky", "kx", "psf_ee_error", "psf_negative")


def psf_offsets(shape: Sequence[int], scale: float | tuple[float, float]) -> dict[str, Any]:
    """Return the coordinates ``ky``, ``kx`` of images of PSFs or kernels.

    Parameters
    ----------
    shape : (..., ny, nx)
        Of the images.
    scale : float or (float, float)
        Size of a pixel, or its height and width [arcsec].

    Returns
    -------
    dict of (dim, values, attributes)
        Ready to be coordinates; 0 in the middle pixel.
    """
    height, width = scale if isinstance(scale, tuple) else (scale, scale)
    return {"ky": _offsets("ky", shape[-2], height), "kx": _offsets("kx", shape[-1], width)}


def _offsets(dim: str, number: int, step: float) -> tuple[str, NDArray[np.float64], dict[str, str]]:
    offsets = (np.arange(number, dtype=np.float64) - number // 2) * step
    return dim, offsets, {"units": "arcsec"}


def psf_array(
    images: NDArray[np.floating],
    scale: float,
    *,
    bands: Any = None,
    name: str | None = None,
    attrs: Mapping[str, Any] | None = None,
) -> xr.DataArray:
    """Return images of PSFs or kernels as an array that knows its pixels.

    Parameters
    ----------
    images : array, (ky, kx) or (band, ky, kx)
    scale : float
        Size of a pixel [arcsec].
    bands : sequence of str, optional
        Names of the bands, where there is such an axis.
    name : str, optional
    attrs : mapping, optional
    """
    coords = psf_offsets(images.shape, scale)
    if bands is not None:
        coords = {"band": bands, **coords}
    return xr.DataArray(images, coords, ("band", "ky", "kx")[-images.ndim :], name, attrs)


def with_psf_coords(
    cube: xr.Dataset, images: NDArray[np.float32], scale: float | tuple[float, float]
) -> xr.Dataset:
    """Return the cube with ``psf``, ``ky``, ``kx``: images (band, ky, kx) on pixels of `scale`."""
    psf = (("band", "ky", "kx"), images, {"long_name": UNIT_SUM})
    return cube.assign_coords({**psf_offsets(images.shape, scale), "psf": psf})


def without_psf(cube: xr.Dataset) -> xr.Dataset:
    """Return the cube without its PSFs, and without what was said of their quality."""
    there = [name for name in _OF_THE_PSF if name in cube.coords]
    return cube.drop_vars(there) if there else cube
