"""The noise of the sources' own photons."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from hstcube.basics.blocks import over_bands
from hstcube.core.bands import name_among
from hstcube.core.grids import Grid
from hstcube.core.rules import require_same_grid, taken
from hstcube.core.state import attribute, in_band_order, updated
from hstcube.errors import NoiseError
from hstcube.inputs.quantities import number_in, numbers_in
from hstcube.inputs.units import RATE, is_surface_brightness

__all__ = ["add_by_times", "add_poisson", "electrons_of", "light_share", "with_electrons"]

_WRONG: dict[str, Any] = {"code": "HC-N11", "error": NoiseError}


def add_poisson(cube: xr.Dataset, *, exposure: Any = None) -> xr.Dataset:
    """Add the noise of the sources' own photons, which the weights of drizzled images leave out.

    The variance of sci/(exposure electrons) [units of sci squared] is added to 1/wht where sci is
    positive. It was drizzled like the rest of the noise, so ``noise_scale`` and ``noise_acf`` hold
    for it, too. `homogenize` calls it where exposure times are known.

    Parameters
    ----------
    cube : Dataset
        In electrons per second, or with a coordinate ``electrons`` (band,) that says how many one
        unit of sci is (of a surface brightness, in an arcsec2); its sky subtracted, before
        `psf_match`. Bands whose coordinate ``photons`` says that their weights have the noise stay
        as they are.
    exposure : float or Quantity, mapping of band to these, or array (band,), (y, x), (band, y, x)
        Exposure time [s]: TEXPTIME of the header, or a map. The coordinate ``exposure`` of the
        cube when not given: bands where it is NaN stay as they are.

    Returns
    -------
    Dataset
        The same cube; its attribute ``poisson`` says what was added: ``"1200 s"``, the times of
        the bands where they differ (``"none"`` for a band that stayed as it was), or ``"map"``.

    Raises
    ------
    NoiseError
        If the cube was matched or has the term already, is in other units, or an exposure time is
        not positive where there is data, or none is given and none known.

    Examples
    --------
    >>> import hstcube
    >>> cube = hstcube.example().pipe(hstcube.subtract_sky, 0.0)
    >>> noisy = hstcube.add_poisson(cube)  # by its exposure times
    >>> round((noisy.wht / cube.wht).sel(band="f160w", y=50, x=50).item(), 2)
    0.36
    """
    cube = taken(cube)
    _require_early(cube)
    return _added(cube, _known(cube) if exposure is None else _exposure(cube, exposure))


def add_by_times(cube: xr.Dataset, time: xr.Variable) -> xr.Dataset:
    """Return a cube with the term, by exposure times [s] (band,), (y, x) or (band, y, x).

    Bands where they are infinite stay as they are. Errors are those of `add_poisson`.
    """
    cube = taken(cube)
    _require_early(cube)
    return _added(cube, time)


def _added(cube: xr.Dataset, time: xr.Variable) -> xr.Dataset:
    if not {"y", "x"} & {*time.dims}:
        _require_positive(time.values)
    time = _where_lacking(cube, time)
    told, wht = _told(time), _with_noise(cube, _counted(cube, time))
    new = updated(cube, f"add_poisson({told})", wht=wht)
    new.attrs["poisson"] = told
    return new


def _with_noise(cube: xr.Dataset, time: xr.Variable) -> Any:
    """Return the weights (band, y, x) with the term."""
    sci, wht = cube.variables["sci"], cube.variables["wht"]
    if wht.chunks and time.dims == ("band",):
        return over_bands(_noisier, sci, wht, parameters=(time,))[0]
    if not (sci.chunks or wht.chunks or time.chunks):
        numbers = time.transpose(*(dim for dim in sci.dims if dim in time.dims)).values
        return _noisier(
            sci.values, wht.values, numbers.reshape([time.sizes.get(dim, 1) for dim in sci.dims])
        )
    added = xr.apply_ufunc(
        _noisier, sci, wht, time, dask="parallelized", output_dtypes=[np.float32]
    )
    return added.transpose("band", "y", "x").data


def electrons_of(cube: xr.Dataset) -> xr.Variable:
    """Return how many electrons each second one unit of sci in a pixel is, (band,).

    NaN where that is not known: in other units than electrons per second, unless the cube says it.
    """
    units, known = cube.sci.attrs["units"], cube.coords.variables.get("electrons")
    if known is None:
        value = 1.0 if units == RATE else np.nan
        return xr.Variable("band", np.full(cube.sizes["band"], value))
    area = Grid.of(cube).scale ** 2 if is_surface_brightness(units) else 1.0
    return known.copy(data=known.values * area)


def with_electrons(cubes: list[xr.Dataset]) -> list[xr.Dataset]:
    """Return cubes that are to be in one unit, each with what is known of its photons.

    That is how many electrons each second one unit of sci is, and, where some cubes' weights have
    the noise of photons and others' have not, which bands they are: their attribute ``poisson`` is
    empty then, so that `add_poisson` adds it to the others.
    """
    told = [_photons_in(cube) for cube in cubes]
    words = np.concatenate(told)
    apart = (words != "").any() and not (words != "").all()
    found = []
    for cube, said in zip(cubes, told, strict=True):
        known = cube.assign_coords(electrons=electrons_of(cube))
        if apart:
            known = known.assign_coords(photons=("band", said)).assign_attrs(poisson="")
        found.append(known)
    return found


def _photons_in(cube: xr.Dataset) -> Any:
    """Return what photons the weights of each band hold the noise of, (band,)."""
    known = cube.coords.variables.get("photons")
    if known is not None:
        return known.values
    return np.full(cube.sizes["band"], attribute(cube, "poisson"), object)


def _where_lacking(cube: xr.Dataset, time: xr.Variable) -> xr.Variable:
    """Return times that are infinite where the weights have the noise already."""
    photons = cube.coords.variables.get("photons")
    if photons is None or not (photons.values != "").any():
        return time
    return time.where(photons == "", np.inf)  # type: ignore[no-untyped-call, no-any-return]


def _counted(cube: xr.Dataset, time: xr.Variable) -> xr.Variable:
    """Return times in which one unit of sci is so many electrons."""
    electrons = electrons_of(cube)
    if (electrons.values == 1).all():
        return time
    missing = np.isnan(electrons.values)
    finite = np.isfinite(time.values) if "band" in time.dims else np.array(True)
    used = finite.reshape(*finite.shape[:1], -1).any(axis=-1) if finite.ndim else finite
    if (missing & used).any():
        name = str(cube.band.values[missing & used][0])
        reason = f"how many electrons a unit of sci ({cube.sci.attrs['units']}) is is not known"
        raise NoiseError("HC-N11", reason, "[[leave --poisson out|leave the step out]]", band=name)
    return time * electrons.copy(data=np.where(missing, 1.0, electrons.values))


def light_share(sci: Any, wht: Any, exposure: Any) -> Any:
    """Return the variance of the light's own photons in units of the variance 1/wht.

    Parameters
    ----------
    sci, wht : array or Variable
        In some unit, and its inverse variance.
    exposure : array or Variable
        Seconds, times the electrons per second that one unit is.
    """
    return wht * (sci / exposure)


def _noisier(sci: Any, wht: Any, time: Any) -> Any:
    """Return weights with the term."""
    sci, wht = sci.astype(np.float64), wht.astype(np.float64)
    has_data = wht > 0
    _require_positive(np.where(has_data, time, 1.0))
    with np.errstate(all="ignore"):  # where there is no data
        share = np.where(has_data & (sci > 0), light_share(sci, wht, time), 0.0)
    return (wht / (1 + share)).astype(np.float32)


def _require_positive(time: Any) -> None:
    if not (time > 0).all():
        raise NoiseError(
            "HC-N11",
            "an exposure time is not a positive number",
            "give seconds: TEXPTIME of the header",
        )


def _known(cube: xr.Dataset) -> xr.Variable:
    """Return the exposure times that the cube knows; infinite where it does not."""
    time = cube.coords.variables.get("exposure")
    if time is None or np.isnan(time.values).all():
        fix = "give it in seconds: [[--poisson SECONDS|exposure=]]"
        raise NoiseError("HC-N11", "no exposure time of a band is known", fix)
    return time.copy(data=np.where(np.isnan(time.values), np.inf, time.values))


def _require_early(cube: xr.Dataset) -> None:
    """Raise NoiseError unless the cube is as observed."""
    done = attribute(cube, "poisson")
    if done or (cube.matched_to.values != "").any():
        raise NoiseError(
            "HC-N10",
            "the noise of the sources is in the weights already"
            if done
            else "the images were matched already",
            "[[leave --poisson out|call add_poisson once, before psf_match]]",
        )
    if cube.sci.attrs["units"] != RATE and "electrons" not in cube.coords:
        raise NoiseError(
            "HC-N11",
            f"sci is in {cube.sci.attrs['units']!r}, not in {RATE!r}",
            "[[leave --poisson out|call it before to_flux]]",
        )


def _exposure(cube: xr.Dataset, exposure: Any) -> xr.Variable:
    """Return times that were given; 0, which is none, where they are not finite."""
    time = _given(cube, exposure)
    finite: xr.Variable = time.where(np.isfinite(time), 0.0)  # type: ignore[no-untyped-call]
    return finite


def _given(cube: xr.Dataset, exposure: Any) -> xr.Variable:
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
        keys = [*exposure.keys()]  # a table iterates over its rows
        bands = np.array([name_among(str(key), names) for key in keys], object)
        times = [number_in("s", exposure[key], "exposure", **_WRONG) for key in keys]
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
    return ", ".join("none" if np.isinf(number) else f"{number:g} s" for number in numbers)
