"""Sky levels: measured on blank pixels, and subtracted once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xarray as xr

from hstcube.basics.robust import robust_sigma
from hstcube.core.bands import band as find_band
from hstcube.core.bands import name_among
from hstcube.core.grids import Grid
from hstcube.core.rules import require_same_grid, taken
from hstcube.core.state import in_band_order, note, updated
from hstcube.errors import BandError, GridError, LabelError, SkyError
from hstcube.inputs.arrays import filled, keep_of, shown
from hstcube.inputs.choices import require_choice
from hstcube.inputs.quantities import number_in, numbers_in
from hstcube.sky._blank import (
    ENOUGH,
    away_from_sources,
    block_error,
    clip_bounds,
    distance_from_sources,
)
from hstcube.sky._wings import Field, levels_without_wings
from hstcube.sky.detection import detect

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ENOUGH", "FEWEST", "Method", "left_over", "measure_sky", "sky_pixels", "subtract_sky"]

# arcsec: how far the clipped method keeps from sources; the wings of galaxies reach farther than
# 0.3
GROW = 0.6
BLOCK = 0.6  # arcsec: blocks of sky that are independent of one another
FEWEST = 100  # blank pixels: fewer do not give a level

Method = Literal["clipped", "original"]

_WRONG: dict[str, Any] = {"code": "HC-K03", "error": SkyError}

# robust standard deviations of blank pixels; the levels of 2022 are within 0.7 of the median of
# blank pixels
FAR = 1.0
LOOKED_AT = 1000  # blank pixels: so many tell their median to 4 % of the noise

_EROSIONS, _EROSION = 5, np.ones((5, 5))  # what the original did to the background of WFC3/IR bands


def measure_sky(
    cube: xr.Dataset, *, background: Any = None, method: Method = "clipped"
) -> xr.DataArray:
    """Measure the level of the blank sky in every band.

    Parameters
    ----------
    cube : Dataset
    background : DataArray or array of bool, (y, x), optional
        True = blank, on the cube's grid: a segmentation map that is 0. The method itself keeps away
        from sources. What is free of sources that `detect` finds, when not given.
    method : {"clipped", "original"}
        ``"clipped"``: median of the blank pixels with data, within 3 robust standard deviations,
        that are at least 0.6 arcsec from all others, or the 500 farthest where fewer are. Where the
        cube has PSFs, what their wings spread of the light beside the blank pixels is taken off
        before, and A exp(-d/h), d the distance from these sources, where the stack of bands shows
        it; then pixels from 0.45 arcsec on are used. The images stay as they are.
        ``"original"``: median of all blank pixels; in WFC3/IR bands after five erosions with a 5x5
        square (Models_HST_MUSE, 2022), beyond the frame counting as blank.

    Returns
    -------
    DataArray, (band,) [units of sci]
        With a coordinate ``sky_error``, the standard error: the scatter of 0.6 arcsec blocks of sky
        among each other (delete-a-block jackknife; Kunsch 1989, Ann. Statist. 17, 1217), which
        holds for correlated noise too. Where the cube has PSFs the bias that may be left is in it,
        and a coordinate ``wings`` is A, 0 where none was fitted, ``attrs["wings_scale"]`` h
        [arcsec]. ``attrs["local"]`` says that sources leave fewer than 500 pixels so far away.

    Raises
    ------
    SkyError
        If fewer than 100 blank pixels are left in a band, or there is no such method.
    GridError
        If `background` lies on other pixels.

    Examples
    --------
    >>> import hstcube
    >>> cube = hstcube.example()
    >>> sky = hstcube.measure_sky(cube, background=cube.labels == 0)
    >>> sky.sel(band="f814w").round(5).item()  # its truth is 6e-4 electron/s
    0.00057
    """
    cube = taken(cube)
    require_choice("method", method, Method, code="HC-K12", error=SkyError)
    if background is None:
        background = detect(cube, deblend=False) == 0
    background = _blank(cube, background)
    distance = _distance(cube, background, method)
    samples = _used(cube, background, distance, method)
    block = _block_of_pixels(cube).ravel()
    levels, errors = [], []
    for name, sci, used in zip(cube.band.values, cube.sci.values, samples, strict=True):
        where = np.flatnonzero(used)
        if where.size < FEWEST:
            raise SkyError(
                "HC-K11",
                f"only {where.size} blank pixels are left to measure the sky on",
                "give the level: [[--sky FOLDER|sky=]]",
                band=str(name),
            )
        values = sci.ravel()[where]
        levels.append(float(np.median(values)))
        errors.append(block_error(values.astype(np.float64), block[where]))
    attrs: dict[str, Any] = {"units": str(cube.sci.attrs["units"]), "method": method}
    if method == "original":
        return _told(cube, attrs, levels, errors)
    attrs |= _local(background, distance)
    if "psf" not in cube.coords:
        return _told(cube, attrs, levels, errors)
    there = np.asarray(cube.wht.values > 0)
    field = Field(cube.sci.values, there, background, distance, block, Grid.of(cube).scale)
    psf = cube.psf.transpose("band", "ky", "kx").values
    energy = np.full(len(levels), np.nan)
    if "psf_energy" in cube.coords:
        energy = cube.psf_energy.values.astype(np.float64)
    found = levels_without_wings(field, psf, energy, np.array(levels), np.array(errors), samples)
    if not np.isnan(found.scale):
        attrs["wings_scale"] = round(found.scale, 4)
    return _told(cube, attrs, found.level, found.error, found.amplitude)


def _told(
    cube: xr.Dataset, attrs: dict[str, Any], level: Any, error: Any, wings: Any = None
) -> xr.DataArray:
    """Return levels as `measure_sky` does."""
    units = attrs["units"]
    told = {"units": units, "long_name": "standard error of the sky level"}
    coords = {"band": cube.band.values, "sky_error": ("band", error, told)}
    if wings is not None:
        of = {"units": units, "long_name": "A of the wings A exp(-d/h) beyond the PSF's"}
        coords["wings"] = ("band", wings, of)
    return xr.DataArray(level, coords, ("band",), "sky", attrs)


def _local(blank: NDArray[np.bool_], distance: NDArray[np.float64]) -> dict[str, str]:
    """Say, as an attribute, where sources leave so little that the level is one beside them."""
    far = np.count_nonzero(blank & (distance >= GROW))
    text = f"{far} pixels are {GROW} arcsec from sources: the level is a local background"
    return {"local": f"{text}, which may hold light of a large galaxy"} if far < ENOUGH else {}


def _blank(cube: xr.Dataset, background: Any) -> NDArray[np.bool_]:
    """Return which pixels are blank, (y, x)."""
    if getattr(filled(background, 0), "dtype", np.dtype(bool)).kind in "iu":
        raise LabelError(
            "HC-S30",
            "background holds integers, as a segmentation map does",
            "say which pixels are blank[[|: background=labels == 0]]",
        )
    blank, _ = keep_of("background", background)
    require_same_grid(cube, blank)
    if isinstance(blank, xr.DataArray) and set(blank.dims) == {"y", "x"}:
        blank = blank.transpose("y", "x")
    if blank.ndim != 2:  # noqa: PLR2004
        reason = f"background is {shown(background)}, not one image"
        raise GridError("HC-D01", reason, "give it as (y, x), for all bands")
    return np.asarray(blank)


def _block_of_pixels(cube: xr.Dataset) -> NDArray[np.intp]:
    """Return the number of the block of sky that each pixel lies in, (y, x)."""
    ny, nx = cube.sizes["y"], cube.sizes["x"]
    scale = float(np.sqrt(np.prod(Grid.of(cube).steps)))
    size = max(round(BLOCK / scale), 1)
    rows, columns = np.ogrid[:ny, :nx]
    return np.asarray(rows // size * (nx // size + 1) + columns // size)


def left_over(cube: xr.Dataset, *, background: Any) -> list[tuple[str, str]]:
    """Say in which bands the blank sky is not near zero after its level was subtracted.

    Parameters
    ----------
    cube : Dataset
    background : DataArray or array of bool, (y, x)
        True = blank.

    Returns
    -------
    list of (code, text)
    """
    blank = np.flatnonzero(_blank(cube, background) & (cube.wht.values > 0).all(axis=0))
    if blank.size < FEWEST:
        return []
    some = blank[:: max(blank.size // LOOKED_AT, 1)]
    looked_at = cube.variables["sci"].values.reshape(cube.sizes["band"], -1)[:, some]
    middle = np.median(looked_at, axis=1)
    width = robust_sigma(looked_at - middle[:, None], axis=1)
    notes = []
    for name, m, w in zip(cube.band.values.tolist(), middle.tolist(), width.tolist(), strict=True):
        if abs(m) > FAR * w > 0:
            text = f"{name}: after its level was subtracted the blank sky is at {m:.2e}, "
            notes.append(("HC-K09", f"{text}{abs(m) / w:.1f} times its noise"))
    return notes


def sky_pixels(cube: xr.Dataset, *, background: Any, method: Method) -> NDArray[np.bool_]:
    """Return the pixels that `measure_sky` takes its first level from, (band, y, x).

    Raises
    ------
    SkyError
        If there is no such method.
    """
    require_choice("method", method, Method, code="HC-K12", error=SkyError)
    blank = _blank(cube, background)
    return _used(cube, blank, _distance(cube, blank, method), method)


def _distance(cube: xr.Dataset, blank: NDArray[np.bool_], method: Method) -> NDArray[np.float64]:
    """Return how far pixels are from sources [arcsec]; the original did not ask."""
    if method == "original":
        return np.empty(0)
    return distance_from_sources(blank, Grid.of(cube).steps)


def _used(
    cube: xr.Dataset, blank: NDArray[np.bool_], distance: NDArray[np.float64], method: Method
) -> NDArray[np.bool_]:
    has_data = np.asarray(cube.variables["wht"].values > 0)
    if method == "original":
        eroded = np.stack([_eroded_as_the_original(blank, str(name)) for name in cube.band.values])
        return np.asarray(eroded & has_data)
    far = away_from_sources(blank, distance, GROW)
    return np.stack(
        [_clipped(sci, far & there) for sci, there in zip(cube.sci.values, has_data, strict=True)]
    )


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
        bands = np.array([name_among(str(name), names) for name in level], object)
        values = [_number_of(unit, level[name], str(name)) for name in level]
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


def _clipped(sci: NDArray[Any], used: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Leave out what lies more than 3 robust standard deviations off, until nothing changes."""
    bounds = clip_bounds(sci.ravel()[np.flatnonzero(used)])
    if bounds is None:
        return np.zeros_like(used)
    return np.asarray(used & (sci >= bounds[0]) & (sci <= bounds[1]))


def _eroded_as_the_original(blank: NDArray[np.bool_], name: str) -> NDArray[np.bool_]:
    if find_band(name).detector != "IR":
        return blank
    from scipy import ndimage

    return np.asarray(ndimage.binary_erosion(blank, _EROSION, _EROSIONS, border_value=1))
