"""Sky levels subtracted, once: what is given for them, in whatever unit and shape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from hstcube.core.bands import name_among
from hstcube.core.rules import require_same_grid, taken
from hstcube.core.state import in_band_order, note, updated
from hstcube.errors import BandError, GridError, SkyError
from hstcube.inputs.choices import flag
from hstcube.inputs.quantities import number_in, numbers_in

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["subtract_sky"]

_WRONG: dict[str, Any] = {"code": "HC-K03", "error": SkyError}


def subtract_sky(cube: xr.Dataset, level: Any, *, again: bool = False) -> xr.Dataset:
    """Subtract the sky.

    Parameters
    ----------
    cube : Dataset
    level : DataArray (band,) or (band, y, x), mapping of band to float, float, or Quantity
        Level to subtract [units of sci]; what says another unit, as Quantities and what
        `measure_sky` returns do, is converted. A coordinate ``sky_error`` is kept.
    again : bool
        Subtract although a level was subtracted before; the two add up.

    Returns
    -------
    Dataset
        The same cube; ``sky`` and ``sky_error`` say what was subtracted.

    Raises
    ------
    SkyError
        If a band has no level, a level is not finite or in a unit of another kind, or a sky was
        subtracted before.

    Examples
    --------
    >>> import hstcube
    >>> cube = hstcube.example()
    >>> clean = hstcube.subtract_sky(cube, hstcube.measure_sky(cube, background=cube.labels == 0))
    >>> clean.sky.sel(band="f814w").round(5).item()  # electron/s in a pixel
    0.00057
    """
    again = flag("again", again)
    cube = taken(cube)
    values, error = _levels(cube, _in_unit_of(cube, level))
    done = ~np.isnan(cube.variables["sky"].values)
    if done.any() and not again:
        raise SkyError(
            "HC-K10",
            "a sky level was subtracted already",
            "leave one out[[|, or pass again=True to subtract one more]]",
            band=str(cube.variables["band"].values[done][0]),
        )
    # the order keeps (band, y, x)
    sci = (cube.variables["sci"].astype(np.float64) - values).astype(np.float32)
    mean = values.mean(set(values.dims) - {"band"}).values
    error = np.where(done, np.hypot(error, np.nan_to_num(cube.sky_error.values)), error)
    cube = updated(
        cube,
        "subtract_sky",
        sci=sci.data,
        sky=np.where(done, cube.variables["sky"].values, 0) + mean,
        sky_error=error,
    )
    local = getattr(level, "attrs", {}).get("local", "")
    return note(cube, "HC-K15", local) if local else cube


def _in_unit_of(cube: xr.Dataset, given: Any) -> xr.DataArray:
    """Return levels, and their errors, in the unit of the cube; plain numbers are in it."""
    unit = str(cube.sci.attrs["units"])
    if not isinstance(given, xr.DataArray):
        return _level_array(given, cube, unit)
    lacks_bands = "band" not in given.coords and given.ndim > 1
    level: xr.DataArray = _on_the_grid(cube, given) if lacks_bands else given
    said = level.attrs.get("units", unit)
    if said == unit:
        return level
    factor = number_in(unit, f"1 {said}", "the sky level", **_WRONG)
    scaled: xr.DataArray = level.copy(data=level.data * factor)
    if "sky_error" in level.coords:
        error = level.coords["sky_error"]
        scaled = scaled.assign_coords(sky_error=(error.dims, error.data * factor))
    return scaled


def _on_the_grid(cube: xr.Dataset, level: xr.DataArray) -> xr.DataArray:
    """Return one image (y, x) on the pixels of the cube as the background of every band."""
    require_same_grid(cube, level)
    if set(level.dims) != {"y", "x"}:
        raise GridError(
            "HC-D01", f"the sky level has dims {level.dims}", "give it as (y, x) or (band, y, x)"
        )
    return level.expand_dims(band=cube.variables["band"].values).transpose("band", "y", "x")


def _levels(cube: xr.Dataset, level: Any) -> tuple[xr.Variable, NDArray[np.float64]]:
    """Return the level of each band of the cube, in its order, and the levels' standard errors."""
    names = cube.variables["band"].values.tolist()
    try:
        values = in_band_order(cube, level).astype(np.float64)
    except BandError as lacking:
        raise SkyError(
            "HC-K08",
            "there is no sky level for it",
            "give one for each band, or leave the band out",
            band=lacking.band,
        ) from lacking
    if values.ndim > 1:
        require_same_grid(cube, level)
    bad = ~np.isfinite(values.values.reshape(len(names), -1)).all(axis=1)
    if bad.any():
        raise SkyError(
            "HC-K03",
            f"its sky level is {values[np.argmax(bad)]:g}, not a finite number",
            "measure it again",
            band=names[int(np.argmax(bad))],
        )
    error = np.full(len(names), np.nan)
    if "sky_error" in level.coords and level.coords["sky_error"].dims == ("band",):
        error = in_band_order(cube, level.coords["sky_error"]).values
    return values, np.asarray(error, dtype=np.float64)


def _level_array(level: Any, cube: xr.Dataset, unit: str) -> xr.DataArray:
    """Return levels that no DataArray holds: of bands by name or in order, of all, of pixels."""
    names = cube.variables["band"].values.tolist()
    if hasattr(level, "keys"):
        keys = [*level.keys()]  # a table iterates over its rows
        bands = np.array([name_among(str(key), names) for key in keys], object)
        values = [_number_of(unit, level[key], str(key)) for key in keys]
        return xr.DataArray(values, {"band": bands}, ("band",))
    numbers = numbers_in(unit, level, "the sky level", **_WRONG)
    if numbers.ndim > 1:
        require_same_grid(cube, numbers)
    if numbers.ndim == 1:
        numbers = numbers[:, None, None]
    try:
        each = np.broadcast_to(numbers, (len(names), *numbers.shape[-2:]))
    except ValueError as error:
        reason = f"the sky level has shape {np.shape(level)}, that of neither bands nor pixels"
        fix = "give one level, one for each band, or an image (y, x)"
        raise SkyError("HC-K03", reason, fix) from error
    image = each.ndim == 3 and each.shape[1:] != (1, 1)  # noqa: PLR2004
    coords = {dim: cube[dim] for dim in (("band", "y", "x") if image else ("band",))}
    return xr.DataArray(each if image else each.reshape(len(names)), coords, [*coords])


def _number_of(unit: str, level: Any, band: str) -> float:
    try:
        return number_in(unit, level, "the sky level", nan=True, **_WRONG)
    except SkyError as error:
        error.at(band=band)
        raise
