"""The noise of the sources' own photons."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from hstcube.core.bands import name_among
from hstcube.core.rules import require_same_grid, taken
from hstcube.core.state import attribute, in_band_order, updated
from hstcube.errors import NoiseError
from hstcube.inputs.quantities import number_in, numbers_in

__all__ = ["add_poisson"]

_WRONG: dict[str, Any] = {"code": "HC-N11", "error": NoiseError}
_UNITS = "electron s-1"


def add_poisson(cube: xr.Dataset, *, exposure: Any) -> xr.Dataset:
    """Add the noise of the sources' own photons, which the weights of drizzled images leave out.

    The variance of sci/exposure electrons per second squared is added to 1/wht where sci is
    positive. It was drizzled like the rest of the noise, so ``noise_scale`` and ``noise_acf`` hold
    for it, too.

    Parameters
    ----------
    cube : Dataset
        In electrons per second, its sky subtracted, before `psf_match`.
    exposure : float or Quantity, mapping of band to these, or array (band,), (y, x), (band, y, x)
        Exposure time [s]: TEXPTIME of the header, or a map.

    Returns
    -------
    Dataset
        The same cube; its attribute ``poisson`` says what was added: ``"1200 s"``, the times of
        the bands where they differ, or ``"map"``.

    Raises
    ------
    NoiseError
        If the cube was matched or has the term already, is in other units, or an exposure time is
        not positive where there is data.
    """
    cube = taken(cube)
    _require_early(cube)
    if cube.sci.attrs["units"] != _UNITS:
        raise NoiseError(
            "HC-N11",
            f"sci is in {cube.sci.attrs['units']!r}, not in {_UNITS!r}",
            "[[add it before the unit is changed|call it before to_flux]]",
        )
    time = _exposure(cube, exposure)
    sci, wht = cube.sci.variable.astype(np.float64), cube.wht.variable.astype(np.float64)
    has_data = wht > 0
    if not cube.wht.chunks and not bool((np.isfinite(time) & (time > 0) | ~has_data).all()):
        raise NoiseError(
            "HC-N11",
            "an exposure time is not a positive number",
            "give seconds: TEXPTIME of the header",
        )
    own = (sci / time).where(has_data & (sci > 0), 0.0)
    added = (wht / (1 + wht * own)).astype(np.float32)
    noisier = updated(cube, "add_poisson", wht=added.transpose("band", "y", "x").data)
    return noisier.assign_attrs(poisson=_told(time))


def _require_early(cube: xr.Dataset) -> None:
    """Raise NoiseError unless the cube is as observed."""
    done = attribute(cube, "poisson")
    if done or (cube.matched_to.values != "").any():
        raise NoiseError(
            "HC-N10",
            "the noise of the sources is in the weights already"
            if done
            else "the images were matched already",
            "[[add it once, before the images are matched|"
            "call add_poisson once, before psf_match]]",
        )


def _exposure(cube: xr.Dataset, exposure: Any) -> xr.Variable:
    if isinstance(exposure, xr.DataArray):
        if exposure.attrs.get("units", "s") != "s":
            exposure = exposure * number_in(
                "s", f"1 {exposure.attrs['units']}", "exposure", **_WRONG
            )
        if "y" in exposure.dims:
            require_same_grid(cube, exposure)
        return in_band_order(cube, exposure) if "band" in exposure.coords else exposure.variable
    if hasattr(exposure, "keys"):
        names = cube.band.values.tolist()
        bands = np.array([name_among(str(name), names) for name in exposure], object)
        times = [number_in("s", exposure[name], "exposure", **_WRONG) for name in exposure]
        return in_band_order(cube, xr.DataArray(times, {"band": bands}, ("band",), "exposure"))
    if not hasattr(exposure, "chunks"):  # what is not finite is judged where there is data
        finite = _finite(exposure)
        exposure = numbers_in("s", finite, "exposure", **_WRONG)
    if np.ndim(exposure) == 1:
        if len(exposure) != cube.sizes["band"]:
            reason = f"there are {len(exposure)} exposure times for {cube.sizes['band']} bands"
            raise NoiseError("HC-N11", reason, "give one for all, or one for each band")
        return xr.Variable(("band",), exposure)
    if np.ndim(exposure):
        require_same_grid(cube, exposure)
    return xr.Variable(("band", "y", "x")[3 - np.ndim(exposure) :], exposure)


def _finite(exposure: Any) -> Any:
    """Return a map without infinite times and with 0 for what is masked: no exposure."""
    if np.ndim(exposure) < 2:  # noqa: PLR2004
        return exposure
    filled = np.ma.filled(exposure, 0.0) if np.ma.isMaskedArray(exposure) else exposure
    return np.nan_to_num(filled, nan=0.0, posinf=0.0, neginf=0.0)


def _told(time: xr.Variable) -> str:
    """Return exposure times in words: different ones in the order of the bands."""
    if time.chunks or {"y", "x"} & {*time.dims}:
        return "map"
    numbers = dict.fromkeys(np.ravel(time.values).tolist())
    return ", ".join(f"{number:g} s" for number in numbers)
