"""What the noise of images is like: measured on blank sky, or taken from a table; and the noise of the sources."""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import xarray as xr

from hstcube import shipped
from hstcube.core.bands import band as find_band
from hstcube.core.cube import in_band_order, record, require_same_grid, updated, validate, warn
from hstcube.core.grids import Grid
from hstcube.errors import BandError, NoiseError
from hstcube.noise._autocorrelation import (
    clipped,
    pair_sums,
    removal_bias,
    unbiased,
    without_background,
)
from hstcube.noise.groups import pixel_acf, with_noise_coords

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Image64 = NDArray[np.float64]
    Mask = NDArray[np.bool_]

__all__ = ["add_poisson", "blank_sky", "calibrate_noise", "detect_sources", "with_noise"]

GROW = 0.4  # arcsec: how far the pixels that are used keep from sources
# arcsec: the scale on which the background is removed, so that faint sources do not count as noise
BACKGROUND = 0.6
REACH = {
    "IR": 0.18,
    "WFC": 0.30,
    "UVIS": 0.30,
}  # arcsec: the lags that six stamps of 6 arcsec support
FEWEST, ENOUGH = 500, 10_000  # blank pixels: fewer give no result; fewer, one with a warning

_SURE = 3.0  # robust standard deviations above the background: what is a source
_CONNECTED = 5  # pixels of it
_MAD_TO_SIGMA = 1.482602218505602
_UNITS = "electron s-1"


def calibrate_noise(
    cubes: xr.Dataset | Sequence[xr.Dataset], *, background: Any = None
) -> xr.Dataset:
    """Measure how large the noise of single pixels is, and how pixels are correlated, on the blank sky of images.

    The local background (a Gaussian mean over 0.6 arcsec) is removed, so that faint sources do not
    count as noise; the covariances are corrected for what that takes away from them (see
    `removal_bias`). A stamp of 100x100 pixels gives ``noise_scale`` to 8 %: give several fields of
    one survey, and their pixels are pooled.

    Parameters
    ----------
    cubes : Dataset, or sequence of Dataset
        Of one survey, bands and pixel scale, as observed: before `psf_match`.
    background : array of bool or int, (y, x), or one for each cube, optional
        True = blank, or a segmentation map on the cube's grid, 0 = blank and -1 = not covered by
        the map. What `detect_sources` finds beside it, or without a map, is left out, too; the
        method keeps 0.4 arcsec from sources.

    Returns
    -------
    Dataset
        ``noise_scale`` (band,), sigma sqrt(wht) of single pixels; ``noise_acf`` (band, dy, dx), 1
        at zero lag [lags in arcsec]; ``pixels`` (band,), how many were used. Hand it to
        `with_noise`.

    Raises
    ------
    NoiseError
        If images were matched already, their pixel scales differ, or fewer than 500 pixels are
        blank.
    """
    pairs = blank_sky(cubes, background)
    first = pairs[0][0]
    names, steps = first.band.values.tolist(), Grid.of(first).steps
    found = [
        _measured(name, [_plane(cube, blank, name) for cube, blank in pairs], steps)
        for name in names
    ]
    reach = np.max([np.array(acf.shape) // 2 for _, acf, _ in found], axis=0)
    out = xr.Dataset(
        attrs={"field": ", ".join(str(cube.attrs["field"]) for cube, _ in pairs)}
    ).assign_coords(band=first.band.variable)
    stack = np.stack([_padded(acf, (int(reach[0]), int(reach[1]))) for _, acf, _ in found])
    out = with_noise_coords(out, [scale for scale, _, _ in found], stack, steps)
    out = out.reset_coords(["noise_scale", "noise_acf"]).assign(
        pixels=("band", [number for *_, number in found])
    )
    out = _warned_of_few(out, min(number for *_, number in found))
    return record(out, f"calibrate_noise({len(pairs)} cubes)")


def _warned_of_few(cube: xr.Dataset, few: int) -> xr.Dataset:
    if few >= ENOUGH:
        return cube
    good = 8 * np.sqrt(
        3000 / few
    )  # per cent: a stamp of 6 arcsec has so many blank pixels, and gives 8 %
    return warn(
        cube, "HC-N06", f"the noise was measured on {few} pixels only: good to {good:.0f} %"
    )


def _padded(acf: Image64, reach: tuple[int, int]) -> Image64:
    return np.pad(acf, [(r - n // 2,) * 2 for r, n in zip(reach, acf.shape, strict=True)])


def blank_sky(cubes: Any, background: Any) -> list[tuple[xr.Dataset, Mask]]:
    """Return the cubes and where their sky is blank, away from sources."""
    single = isinstance(cubes, xr.Dataset)
    cubes = [cubes] if single else list(cubes)
    maps = [background] if single or background is None else list(background)
    maps = maps * len(cubes) if background is None else maps
    if not cubes or len(maps) != len(cubes):
        raise NoiseError(
            "HC-N08",
            f"there are {len(cubes)} cubes and {len(maps)} maps of the background",
            "give one map for each",
        )
    for cube in cubes:
        validate(cube, data=False)
        if not np.allclose(Grid.of(cube).steps, Grid.of(cubes[0]).steps, rtol=1e-3):
            raise NoiseError(
                "HC-N04",
                "the pixel scales of the cubes differ",
                "measure the noise of each scale apart",
            )
    return [(cube, _blank(cube, sky)) for cube, sky in zip(cubes, maps, strict=True)]


def _blank(cube: xr.Dataset, sky: Any) -> Mask:
    from scipy import ndimage

    blank = ~detect_sources(cube).values
    if sky is not None:
        require_same_grid(cube, sky)
        known = np.asarray(sky)
        blank &= (known == 0) | (known == -1) if known.dtype.kind in "iu" else known.astype(bool)
    if blank.all():
        return blank
    return np.asarray(ndimage.distance_transform_edt(blank, sampling=Grid.of(cube).steps) >= GROW)


def detect_sources(cube: xr.Dataset) -> xr.DataArray:
    """Return where a cube shows sources, for want of a segmentation map.

    Five pixels that touch, each 3 robust standard deviations above the local background in the mean
    signal to noise of all bands, smoothed by a pixel (photutils.segmentation; Bradley et al.).

    Parameters
    ----------
    cube : Dataset

    Returns
    -------
    DataArray of bool, (y, x)
    """
    from photutils.segmentation import detect_sources as detect
    from scipy import ndimage

    signal = np.nan_to_num(cube.sci.values * np.sqrt(cube.wht.values)).sum(axis=0, dtype=np.float64)
    there = (cube.wht.values > 0).any(axis=0)
    scale = BACKGROUND / float(np.mean(Grid.of(cube).steps))
    sources = ~there
    smooth = ndimage.gaussian_filter(signal, 1.0)
    for _ in range(3):  # what was found no longer raises the background
        rest = smooth - np.where(there, smooth - without_background(smooth, there, 3 * scale), 0)
        rest = without_background(smooth, there & ~sources, 3 * scale) + np.where(sources, rest, 0)
        width = (
            _MAD_TO_SIGMA * np.median(np.abs(rest[there & ~sources]))
            if (there & ~sources).any()
            else np.inf
        )
        with warnings.catch_warnings(action="ignore"):  # that there is none
            found = (
                detect(rest, _SURE * width, _CONNECTED, mask=~there) if np.isfinite(width) else None
            )
        if found is None:
            break
        sources = ndimage.binary_dilation(found.data > 0, iterations=2) | ~there
    return xr.DataArray(sources & there, {"y": cube.y, "x": cube.x}, ("y", "x"), "sources")


class _Plane(NamedTuple):
    """Noise in units of what the weights say, and its blank pixels."""

    noise: Image64
    blank: Mask


def _plane(cube: xr.Dataset, blank: Mask, name: str) -> _Plane:
    if name not in cube.band.values:
        raise BandError(
            "HC-B01", "one of the cubes has no such band", "give cubes of the same bands", band=name
        )
    one = cube.isel(band=cube.band.values.tolist().index(name))
    if one.matched_to.item():
        raise NoiseError(
            "HC-N07",
            f"the images were matched to {one.matched_to.item()}: their noise is no longer that of the survey",
            "measure it before psf_match, which carries it along",
            band=name,
        )
    noise = np.nan_to_num(one.sci.values.astype(np.float64) * np.sqrt(one.wht.values))
    return _Plane(noise, blank & (one.wht.values > 0))


def _measured(
    name: str, planes: list[_Plane], steps: tuple[float, float]
) -> tuple[float, Image64, int]:
    """Return noise_scale, the autocorrelation, and the number of pixels of one band."""
    scale = BACKGROUND / float(np.mean(steps))
    far = REACH.get(find_band(name).detector, REACH["IR"]) if _known(name) else REACH["IR"]
    reach = (max(round(far / steps[0]), 1), max(round(far / steps[1]), 1))
    sums = np.zeros((3, 2 * reach[0] + 1, 2 * reach[1] + 1))
    number = 0
    for noise, sky in planes:
        blank = clipped(noise, sky, scale)
        number += int(blank.sum())
        products, pairs = pair_sums(without_background(noise, blank, scale), blank, reach)
        sums += products, pairs, removal_bias(blank, scale, reach)
    if number < FEWEST:
        raise NoiseError(
            "HC-N05",
            f"only {number} pixels are blank",
            "give more fields of the survey, or use its table: with_noise(cube, SURVEY)",
            band=name,
        )
    products, pairs, bias = sums
    pairs = np.maximum(pairs, 1)
    covariance = unbiased(products / pairs, bias / pairs, np.ones(pairs.shape, bool))
    middle = float(covariance[reach])
    return float(np.sqrt(middle)), covariance / middle, number


def _known(name: str) -> bool:
    try:
        find_band(name)
    except BandError:
        return False
    return True


def with_noise(cube: xr.Dataset, noise: xr.Dataset | str | None = None) -> xr.Dataset:
    """Return the cube with a description of its noise, which `psf_match` carries along and `group_errors` uses.

    Parameters
    ----------
    cube : Dataset
        As observed: before `psf_match`.
    noise : Dataset or str, optional
        What `calibrate_noise` measured, the name of a survey of the package's table, or
        ``"white"``. When not given: the survey whose zero points or PSF widths the cube has, else
        white noise.

    Returns
    -------
    Dataset
        The same cube, with ``noise_scale`` and ``noise_acf``.

    Raises
    ------
    NoiseError
        If the cube was matched already, the table has no such survey or pixel scale.
    BandError
        If `noise` lacks a band.
    """
    validate(cube, data=False)
    matched = cube.matched_to.values != ""
    if matched.any():
        raise NoiseError(
            "HC-N07",
            f"the images were matched to {cube.matched_to.values[matched][0]}",
            "describe their noise before psf_match, which carries it along",
            band=str(cube.band.values[matched][0]),
        )
    if noise is None:
        named = re.search(r"\b(?:zero points|PSF widths) of (\w+)", cube.attrs["history"])
        noise = named[1] if named else "white"
    if isinstance(noise, str):
        what, noise = (
            noise,
            survey_noise(noise, Grid.of(cube)) if noise != "white" else _white(cube),
        )
    else:
        what = "measured"
    scale = in_band_order(cube, noise.noise_scale).values
    acf = in_band_order(cube, noise.noise_acf.transpose("band", "dy", "dx")).values
    steps = [
        float(np.diff(noise[lag].values[:2]).sum()) or step
        for lag, step in zip(("dy", "dx"), Grid.of(cube).steps, strict=True)
    ]
    described = with_noise_coords(cube, scale, acf, (steps[0], steps[1]))
    pixel_acf(described)  # refuses lags that are not those of the pixels
    return record(described, f"with_noise({what})")


def _white(cube: xr.Dataset) -> xr.Dataset:
    return with_noise_coords(
        cube, np.ones(cube.sizes["band"]), np.ones((cube.sizes["band"], 1, 1)), (0.0, 0.0)
    )


def survey_noise(survey: str, grid: Grid) -> xr.Dataset:
    """Return the noise of a survey at the pixel scale of a grid, from the package's table."""
    rows = [
        row
        for row in shipped.table("hstcube.surveys", "noise.csv")
        if row["survey"] == survey and abs(float(row["scale"]) / grid.scale - 1) < 0.01
    ]
    if not rows:
        known = sorted(
            {
                f"{row['survey']} at {row['scale']} arcsec"
                for row in shipped.table("hstcube.surveys", "noise.csv")
            }
        )
        raise NoiseError(
            "HC-N09",
            f"no table has the noise of {survey!r} at {grid.scale:.3g} arcsec per pixel, only {', '.join(known)}",
            "measure it: with_noise(cube, calibrate_noise(cube, background=labels == 0))",
        )
    names = list(dict.fromkeys(row["band"] for row in rows))
    reach = max(max(abs(int(row["dy"])), abs(int(row["dx"]))) for row in rows)
    acf, scale = np.zeros((len(names), 2 * reach + 1, 2 * reach + 1)), np.zeros(len(names))
    for row in rows:
        i, dy, dx, rho = names.index(row["band"]), int(row["dy"]), int(row["dx"]), float(row["rho"])
        acf[i, reach + dy, reach + dx] = acf[i, reach - dy, reach - dx] = rho
        scale[i] = float(row["noise_scale"])
    step = float(rows[0]["scale"])
    return with_noise_coords(
        xr.Dataset(coords={"band": np.array(names, object)}), scale, acf, (step, step)
    )


def add_poisson(cube: xr.Dataset, *, exposure: Any) -> xr.Dataset:
    """Add the noise of the sources' own photons, which the weights of drizzled images leave out.

    The variance of sci/exposure electrons per second squared is added to 1/wht where sci is
    positive. It was drizzled like the rest of the noise, so ``noise_scale`` and ``noise_acf`` hold
    for it, too.

    Parameters
    ----------
    cube : Dataset
        In electrons per second, its sky subtracted, before `psf_match`.
    exposure : float, mapping of band to float, or DataArray (band,), (y, x) or (band, y, x)
        Exposure time [s]: TEXPTIME of the header, or a map.

    Returns
    -------
    Dataset

    Raises
    ------
    NoiseError
        If the cube was matched or has the term already, is in other units, or an exposure time is
        not positive where there is data.
    """
    validate(cube, data=False)
    done = any(line.startswith("add_poisson") for line in cube.attrs["history"].splitlines())
    if (cube.matched_to.values != "").any() or done:
        raise NoiseError(
            "HC-N10",
            "the noise of the sources is in the weights already"
            if done
            else "the images were matched already",
            "call add_poisson once, before psf_match",
        )
    if cube.sci.attrs["units"] != _UNITS:
        raise NoiseError(
            "HC-N11",
            f"sci is in {cube.sci.attrs['units']!r}, not in {_UNITS!r}",
            "call it before to_flux",
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
    return updated(cube, "add_poisson", wht=added.transpose("band", "y", "x").data)


def _exposure(cube: xr.Dataset, exposure: Any) -> xr.Variable:
    if isinstance(exposure, xr.DataArray):
        if "y" in exposure.dims:
            require_same_grid(cube, exposure)
        return in_band_order(cube, exposure) if "band" in exposure.coords else exposure.variable
    if hasattr(exposure, "keys"):
        times = {str(name): float(time) for name, time in exposure.items()}
        bands = np.array(list(times), object)
        return in_band_order(
            cube, xr.DataArray(list(times.values()), {"band": bands}, ("band",), "exposure")
        )
    if np.ndim(exposure):
        require_same_grid(cube, exposure)
    return xr.Variable(("band", "y", "x")[3 - np.ndim(exposure) :], exposure)
