"""What lies on offsets [arcsec] from a middle pixel: PSFs and kernels, correlations of the noise.

The offsets of the former are ``ky``, ``kx``, the lags of the latter ``dy``, ``dx``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import xarray as xr

from hstcube.core.grids import Grid
from hstcube.core.state import is_autocorrelation
from hstcube.errors import NoiseError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Image64 = NDArray[np.float64]

Cube = TypeVar("Cube", xr.Dataset, xr.DataArray)

__all__ = [
    "direction",
    "noise_scale",
    "pixel_acf",
    "psf_array",
    "psf_errors",
    "psf_offsets",
    "with_errors",
    "with_noise_coords",
    "with_psf_coords",
    "without_psf",
]

UNIT_SUM = "point spread function, unit sum"

_TOLD = ("standard error of its encircled energies", "stars that it was measured from")

# how far rho(0) may be from 1, rho(l) from rho(-l), and a lag from a whole number of pixels
_AS_EQUAL = 1e-3
_MEASURED = ("psf_error", "psf_stars")
_OF_THE_PSF = (
    "psf", "ky", "kx", "psf_ee_error", "psf_negative", "psf_energy", "psf_energy_error", *_MEASURED,
)  # fmt: skip


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


def with_errors(data: Cube, error: Any, stars: Any) -> Cube:
    """Return PSFs, or their cube, that say how well they were measured; see `psf_errors`.

    Where nothing of that is known of any band, they say nothing.
    """
    there = [name for name in _MEASURED if name in data.coords]
    data = data.drop_vars(there) if there else data
    known = {
        name: ("band", np.asarray(values, np.float64), {"long_name": text})
        for name, values, text in zip(_MEASURED, (error, stars), _TOLD, strict=True)
        if not np.isnan(np.asarray(values, np.float64)).all()
    }
    return data.assign_coords(known) if known else data


def psf_errors(data: Any, bands: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """Return what PSFs say of their errors, for these bands; NaN where they do not.

    ``psf_error``: the standard error of encircled energies; ``psf_stars``: how many stars tell it.
    """
    there = np.atleast_1d(data.band.values).tolist() if "band" in data.coords else []
    out = {}
    for name in _MEASURED:
        told = np.atleast_1d(data.coords[name].values).tolist() if name in data.coords else []
        known: dict[Any, float] = dict(zip(there, told, strict=False))
        out[name] = np.array([float(known.get(band, np.nan)) for band in bands])
    return out


def without_psf(cube: xr.Dataset) -> xr.Dataset:
    """Return the cube without its PSFs, and without what was said of their quality."""
    there = [name for name in _OF_THE_PSF if name in cube.coords]
    return cube.drop_vars(there) if there else cube


def with_noise_coords(
    cube: xr.Dataset, scale: Any, acf: Image64, steps: tuple[float, float], **others: Any
) -> xr.Dataset:
    """Return the cube with ``noise_scale`` and ``noise_acf``, and `others`: one merge for all.

    Lags are pixels, whose `steps` along y and x are in arcsec.
    """
    old = [name for name in ("noise_scale", "noise_acf", "dy", "dx") if name in cube.coords]
    lags: dict[str, Any] = {}
    for name, n, step in zip(("dy", "dx"), acf.shape[1:], steps, strict=True):
        # rounded: a header's pixel is 0.06 arcsec but for the last digits
        values = np.round(np.arange(-(n // 2), n // 2 + 1) * round(step, 10), 10)
        lags[name] = (name, values, {"units": "arcsec", "long_name": f"lag along {name[1]}"})
    return (cube.drop_vars(old) if old else cube).assign_coords(
        **others,
        noise_scale=(
            "band",
            np.asarray(scale, np.float64),
            {"long_name": "sigma of one pixel times sqrt(wht)"},
        ),
        noise_acf=(
            ("band", "dy", "dx"),
            acf.astype(np.float32),
            {"long_name": "autocorrelation of the noise"},
        ),
        **lags,
    )


def direction(cube: xr.Dataset, axis: str) -> int:
    """Return -1 where the labels of an axis decrease: lags go where labels increase."""
    labels = cube[axis].values
    return -1 if labels.size > 1 and bool(labels[1] < labels[0]) else 1


def noise_scale(cube: xr.Dataset) -> xr.Variable:
    """Return sigma sqrt(wht) of single pixels, (band,); 1 where the cube does not say."""
    if "noise_scale" not in cube.coords:
        return xr.Variable("band", np.ones(cube.sizes["band"]))
    scale = cube.coords["noise_scale"].variable.astype(np.float64)
    if scale.dims != ("band",) or not (np.isfinite(scale.values) & (scale.values > 0)).all():
        raise NoiseError(
            "HC-N03",
            "noise_scale is not a positive number for each band",
            "[[make the cube again: hstcube run FOLDER|measure it: calibrate_noise]]",
        )
    return scale


def pixel_acf(cube: xr.Dataset) -> xr.Variable:
    """Return the autocorrelation of the noise at lags of whole pixels, (band, dy, dx).

    That of white noise where the cube does not say. A cube that was cut, strided or flipped has
    other pixels than those on which the noise was described.

    Raises
    ------
    NoiseError
        If ``noise_acf`` is no autocorrelation, or its lags are not those of the pixels.
    """
    if "noise_acf" not in cube.coords:
        return xr.Variable(("band", "dy", "dx"), np.ones((cube.sizes["band"], 1, 1)))
    given = cube.coords["noise_acf"]
    acf = given.variable.transpose("band", "dy", "dx").astype(np.float64)
    values = acf.values
    if not is_autocorrelation(values):
        raise NoiseError(
            "HC-N03",
            "noise_acf is no autocorrelation: of odd sizes, finite, 1 at zero lag, the same at "
            "opposite lags",
            "[[make the cube again: hstcube run FOLDER|measure it: calibrate_noise]]",
        )
    dy, dx = Grid.of(cube).steps
    places = {
        "dy": _whole_pixels(cube, given, "y", dy),
        "dx": _whole_pixels(cube, given, "x", dx),
    }
    return acf.isel(places)


def _whole_pixels(cube: xr.Dataset, acf: xr.DataArray, axis: str, step: float) -> NDArray[np.intp]:
    """Return where along one axis the lags of whole pixels are, in the order of the labels."""
    lags = acf[f"d{axis}"].values
    if lags.size == 1:
        return np.zeros(1, np.intp)
    ratio = step / (lags[1] - lags[0])
    fold = round(ratio)
    if fold < 1 or abs(ratio - fold) > _AS_EQUAL * fold:
        raise NoiseError(
            "HC-N04",
            f"the lags of noise_acf are {lags[1] - lags[0]:.4g} arcsec apart, the pixels "
            f"{step:.4g} arcsec",
            "measure the noise on images of this scale, or drop it"
            "[[|: cube.drop_vars('noise_acf')]]",
        )
    half = lags.size // 2
    return np.asarray(
        half + direction(cube, axis) * fold * np.arange(-(half // fold), half // fold + 1)
    )
