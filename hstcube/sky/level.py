"""Sky levels, measured on blank pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xarray as xr

from hstcube.basics.blocks import windows_of
from hstcube.basics.robust import (
    ENOUGH,
    away_from_sources,
    block_error,
    clip_bounds,
    distance_from_sources,
    robust_sigma,
)
from hstcube.core.bands import band as find_band
from hstcube.core.grids import Grid
from hstcube.core.rules import require_same_grid, taken
from hstcube.errors import GridError, LabelError, SkyError
from hstcube.inputs.arrays import filled, keep_of, shown
from hstcube.inputs.choices import require_choice
from hstcube.sky._wings import Field, levels_without_wings
from hstcube.sky.detection import detect

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ENOUGH", "FEWEST", "Method", "left_over", "measure_sky", "sky_pixels", "sky_samples"]

# arcsec: how far the clipped method keeps from sources; the wings of galaxies reach farther than
# 0.3
GROW = 0.6
BLOCK = 0.6  # arcsec: blocks of sky that are independent of one another
FEWEST = 100  # blank pixels: fewer do not give a level

LARGE = 4_000_000  # pixels: a chunked image of more is sampled, by windows of so many a side
WINDOW, WINDOWS = 512, 16

Method = Literal["clipped", "original"]

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
        [arcsec]. ``attrs["local"]`` says that sources leave fewer than 500 pixels so far away. Of
        chunked images of more than 4 million pixels 16 windows of 512 x 512 are measured, which
        ``attrs["sample"]`` says: the sky is to be one level for the whole.

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
    if _is_sampled(cube):
        return _in_windows(cube, background, method)
    if background is None:
        # plain: a map has its own grid, and a slice of a cube the labels of its pixels
        background = detect(cube, deblend=False).values == 0
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


def _in_windows(cube: xr.Dataset, background: Any, method: Method) -> xr.DataArray:
    """Measure the sky of a large chunked cube in windows: the mean, weighted by their errors.

    Its error is larger where the windows differ by more than theirs (Birge 1932, Phys. Rev. 40,
    207).
    """
    blank = None if background is None else _blank(cube, background)
    found: list[xr.DataArray] = []
    lacking = SkyError("HC-K11", "no window of it has data", "give the level[[: --sky FOLDER|]]")
    for rows, columns in windows_of((cube.sizes["y"], cube.sizes["x"]), WINDOW, 0):
        here = None if blank is None else blank[rows, columns]
        try:
            part = cube.isel(y=rows, x=columns).compute()
            found.append(measure_sky(part, background=here, method=method))
        except SkyError as few:  # blank pixels
            lacking = few
        if len(found) == WINDOWS:
            break
    if not found:
        raise lacking
    levels = np.array([one.values for one in found])
    weights = np.array([one.sky_error.values for one in found]) ** -2.0
    level = (weights * levels).sum(axis=0) / weights.sum(axis=0)
    excess = (weights * (levels - level) ** 2).sum(axis=0) / max(len(found) - 1, 1)
    error = np.sqrt(np.maximum(excess, 1) / weights.sum(axis=0))
    wings = None
    if all("wings" in one.coords for one in found):
        wings = np.average([one.wings.values for one in found], axis=0, weights=weights)
    attrs = {"units": str(cube.sci.attrs["units"]), "method": method}
    attrs["sample"] = f"{len(found)} windows of {WINDOW} x {WINDOW} pixels"
    return _told(cube, attrs, level, error, wings)


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


def sky_samples(cube: xr.Dataset, background: Any) -> tuple[list[tuple[xr.Dataset, Any]], str]:
    """Return what `measure_sky` looks at, with where it is blank; and what of the cube that is."""
    if not _is_sampled(cube):
        return [(cube, _blank(cube, background))], ""
    blank = _blank(cube, background)
    every = windows_of((cube.sizes["y"], cube.sizes["x"]), WINDOW, 0)
    some = [(rows, columns) for rows, columns in every if blank[rows, columns].any()]
    parts = [
        (cube.isel(y=rows, x=columns).compute(), blank[rows, columns])
        for rows, columns in (some or every)[:WINDOWS]
    ]
    return parts, f"{len(parts)} windows of {WINDOW} x {WINDOW} pixels"


def _is_sampled(cube: xr.Dataset) -> bool:
    large = cube.sizes["y"] * cube.sizes["x"] > LARGE
    return large and cube.variables["sci"].chunks is not None


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
