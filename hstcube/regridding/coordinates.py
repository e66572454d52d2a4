"""What the coordinates of a cube become on another pixel grid, and the cube put together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from hstcube.core.offsets import psf_offsets
from hstcube.core.rules import COVERAGE, DIMS, PLANES, REPLACED
from hstcube.core.state import held, in_band_order
from hstcube.noise.spread import Noise
from hstcube.regridding._averages import (
    added_variance,
    regrid_noise,
    regrid_psf,
    typical_blur,
)
from hstcube.regridding.labels import regrid_labels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hstcube.core.grids import Grid
    from hstcube.regridding._averages import Blur
    from hstcube.regridding._weights import Method

__all__ = ["assembled", "carried_along", "noise_before", "planes_of"]

_FWHM2_OF_VARIANCE = 8 * np.log(2)
_LEVELS = ("sky", "sky_error")  # of sci, in its units
_WAS_REPLACED = 2  # among the flags of a pixel
_AXES = {"noise_acf": ("dy", "dx"), "psf": ("ky", "kx")}  # that coordinates have of their own


def carried_along(
    cube: xr.Dataset, source: Grid, grid: Grid, method: Method, *, flux: bool
) -> dict[str, Any]:
    """Return the coordinates that change with the pixels."""
    blur = typical_blur(source, grid, method)
    steps = np.array(source.steps)
    widening = float(np.mean(added_variance(blur) * steps**2)) * _FWHM2_OF_VARIANCE
    widths = np.sqrt(cube.psf_fwhm.values**2 + widening)
    new: dict[str, Any] = {"psf_fwhm": ("band", widths, cube.psf_fwhm.attrs)}
    if flux:
        area = (grid.scale / source.scale) ** 2
        for name in _LEVELS:
            new[name] = ("band", cube[name].values * area, cube[name].attrs)
    if "noise_scale" in cube.coords or "noise_acf" in cube.coords:
        new |= _noise(cube, grid, blur)
    if "psf" in cube.coords:
        new |= _psf(cube, source, grid, blur)
    return new


def _noise(cube: xr.Dataset, grid: Grid, blur: Blur) -> dict[str, Any]:
    """Carry scale and autocorrelation of the noise along; without the latter it is white."""
    acf, scale, attrs = _acf(cube), np.ones(cube.sizes["band"]), {}
    if "noise_scale" in cube.coords:
        scale, attrs = cube.noise_scale.values, cube.noise_scale.attrs
    after, widened = regrid_noise(acf, blur)
    return {
        "noise_scale": ("band", scale * widened, attrs),
        "noise_acf": (("band", "dy", "dx"), after.astype(np.float32)),
        "dy": _lags("y", after.shape[1], grid.steps[0]),
        "dx": _lags("x", after.shape[2], grid.steps[1]),
    }


def _acf(cube: xr.Dataset) -> NDArray[np.float64]:
    """Return the autocorrelation of the noise, (band, dy, dx)."""
    if "noise_acf" not in cube.coords:
        return np.ones((cube.sizes["band"], 1, 1))
    variable = in_band_order(cube, cube.noise_acf).transpose("band", "dy", "dx")
    return np.asarray(np.nan_to_num(variable.values.astype(np.float64)))


def noise_before(cube: xr.Dataset, new: dict[str, Any]) -> Noise:
    """Return the correlations before, and what the new ``noise_scale`` holds of them."""
    gain = np.ones(cube.sizes["band"])
    if "noise_acf" in cube.coords:
        before = cube.noise_scale.values if "noise_scale" in cube.coords else 1.0
        gain = (new["noise_scale"][1] / before) ** 2
    return Noise(_acf(cube), gain)


def _lags(axis: str, number: int, step: float) -> tuple[str, Any, dict[str, str]]:
    lags = (np.arange(number) - number // 2) * step
    return f"d{axis}", lags, {"units": "arcsec", "long_name": f"lag along {axis}"}


def _psf(cube: xr.Dataset, source: Grid, grid: Grid, blur: Blur) -> dict[str, Any]:
    variable = in_band_order(cube, cube.psf).transpose("band", "ky", "kx")
    steps = (_psf_step(cube, "ky", source.steps[0]), _psf_step(cube, "kx", source.steps[1]))
    psf = regrid_psf(variable.values.astype(np.float64), steps, blur)
    images = (("band", "ky", "kx"), psf.astype(np.float32))
    return {"psf": images, **psf_offsets(psf.shape, (grid.steps[0], grid.steps[1]))}


def _psf_step(cube: xr.Dataset, dim: str, step: float) -> float:
    """Return the size of the PSF's pixels, in pixels of the images; one where it is not said."""
    if dim not in cube.coords or cube.sizes[dim] < 2:  # noqa: PLR2004
        return 1.0
    return float(np.diff(cube[dim].values).mean()) / step


def planes_of(cube: xr.Dataset) -> list[Any]:
    """Return images, weights, flags, and coverage if there is one, which go to pixels together.

    The flags are the mask; 1 for it and 2 for replaced pixels where the cube has such.
    """
    sci, wht, flags = (cube[name].data for name in PLANES)
    if REPLACED in cube.variables:
        flags = flags + np.uint8(_WAS_REPLACED) * cube[REPLACED].data
    return [sci, wht, flags, *([cube[COVERAGE].data] if COVERAGE in cube.variables else [])]


def assembled(cube: xr.Dataset, grid: Grid, planes: list[Any], new: dict[str, Any]) -> xr.Dataset:
    """Return a cube on `grid`: new planes and coordinates, and all others that have no pixels.

    The planes are those that `planes_of` gives.
    """
    made = dict(zip((*PLANES, COVERAGE), planes, strict=False))
    if REPLACED in cube.variables:
        made["mask"], made[REPLACED] = planes[2] == 1, planes[2] >= _WAS_REPLACED
    variables: dict[str, Any] = {
        name: (DIMS, plane, cube[name].attrs) for name, plane in made.items()
    }
    if "labels" in cube:
        found = regrid_labels(cube.labels, grid)
        variables["labels"] = (("y", "x"), found.values, cube.labels.attrs)
    coords = {**_without_pixels(cube, new), **new, **grid.coords()}
    return held(xr.Dataset(variables, coords, cube.attrs))


def _without_pixels(cube: xr.Dataset, new: dict[str, Any]) -> dict[str, Any]:
    """Return the coordinates that do not change with the pixels."""
    replaced = {"wcs", "y", "x"}
    for name in _AXES.keys() & new.keys():
        replaced |= {name, *_AXES[name]}
    kept = {}
    for key, variable in cube.coords.variables.items():
        if key not in replaced and not {"y", "x"} & set(variable.dims):
            kept[str(key)] = variable
    return kept
