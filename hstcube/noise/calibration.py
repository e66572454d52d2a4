"""What the noise of images is like, measured on blank sky."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import xarray as xr

from hstcube.basics.robust import clipped, without_background
from hstcube.core.bands import band as find_band
from hstcube.core.grids import Grid
from hstcube.core.offsets import with_noise_coords
from hstcube.core.state import record, warn
from hstcube.errors import BandError, NoiseError
from hstcube.noise._autocorrelation import pair_sums, removal_bias, unbiased
from hstcube.noise.blank import blank_skies
from hstcube.sky.sources import BACKGROUND

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Image64 = NDArray[np.float64]
    Mask = NDArray[np.bool_]

__all__ = ["calibrate_noise"]

# arcsec: the lags that six stamps of 6 arcsec support
REACH = {"IR": 0.18, "WFC": 0.30, "UVIS": 0.30}
FEWEST, ENOUGH = 500, 10_000  # blank pixels: fewer give no result; fewer, one with a warning


def calibrate_noise(
    cubes: xr.Dataset | Sequence[xr.Dataset], *, background: Any = None
) -> xr.Dataset:
    """Measure on blank sky how large the noise of pixels is, and how pixels are correlated.

    The local background (a Gaussian mean over 0.6 arcsec) is removed, so that faint sources do not
    count as noise; the covariances are corrected for what that takes away from them (see
    `removal_bias`). A stamp of 100x100 pixels gives ``noise_scale`` to 8 %: give several fields of
    one survey, and their pixels are pooled. An image of more than a million pixels is sampled:
    windows that are spread over it, the same ones each time, until they hold a million blank
    pixels; ``history`` says how many.

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

    Examples
    --------
    >>> import warnings
    >>> import hstcube
    >>> cube = hstcube.example()
    >>> with warnings.catch_warnings(action="ignore"):  # one stamp has few blank pixels
    ...     noise = hstcube.calibrate_noise(cube, background=cube.labels == 0)
    >>> noise.noise_scale.sel(band=["f606w", "f160w"]).round(1).values.tolist()
    [1.0, 0.5]
    """
    skies = blank_skies(cubes, background)
    first = skies.parts[0].cube
    steps = Grid.of(first).steps
    found = []
    for name in first.band.values.tolist():
        planes = [_plane(cube, blank, name) for cube, blank in skies.parts]
        found.append(_measured(name, planes, steps))
    reach = np.max([np.array(noise.acf.shape) // 2 for noise in found], axis=0)
    acf = np.stack([_padded(noise.acf, (int(reach[0]), int(reach[1]))) for noise in found])
    pixels = [noise.pixels for noise in found]
    out = xr.Dataset(attrs={"field": ", ".join(skies.fields)}).assign_coords(
        band=first.band.variable
    )
    out = with_noise_coords(out, [noise.scale for noise in found], acf, steps)
    out = out.reset_coords(["noise_scale", "noise_acf"]).assign(pixels=("band", pixels))
    told = f"{len(skies.fields)} cubes" + (f", {skies.sample}" if skies.sample else "")
    return record(_warned_of_few(out, min(pixels)), f"calibrate_noise({told})")


def _warned_of_few(cube: xr.Dataset, few: int) -> xr.Dataset:
    if few >= ENOUGH:
        return cube
    # per cent: a stamp of 100x100 pixels has 3000 blank ones, and gives 8 %
    good = 8 * np.sqrt(3000 / few)
    text = f"the noise was measured on {few} pixels only: good to {good:.0f} %"
    return warn(cube, "HC-N06", text)


def _padded(acf: Image64, reach: tuple[int, int]) -> Image64:
    return np.pad(acf, [(r - n // 2,) * 2 for r, n in zip(reach, acf.shape, strict=True)])


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
            f"the images were matched to {one.matched_to.item()}: their noise is no longer that of "
            "the survey",
            "measure it before [[the images are matched|psf_match, which carries it along]]",
            band=name,
        )
    noise = np.nan_to_num(one.sci.values.astype(np.float64) * np.sqrt(one.wht.values))
    return _Plane(noise, blank & (one.wht.values > 0))


class _Noise(NamedTuple):
    """Of one band: sigma sqrt(wht) of a pixel, its autocorrelation, and how many pixels tell it."""

    scale: float
    acf: Image64
    pixels: int


def _measured(name: str, planes: list[_Plane], steps: tuple[float, float]) -> _Noise:
    scale = BACKGROUND / float(np.mean(steps))
    far = REACH[_detector(name)]
    reach = (max(round(far / steps[0]), 1), max(round(far / steps[1]), 1))
    products, pairs, bias = np.zeros((3, 2 * reach[0] + 1, 2 * reach[1] + 1))
    number = 0
    for noise, sky in planes:
        blank = clipped(noise, sky, scale)
        rest = without_background(noise, blank, scale)
        number += int(blank.sum())
        added = pair_sums(rest, blank, reach)
        products += added[0]
        pairs += added[1]
        bias += removal_bias(blank, scale, reach)
    if number < FEWEST:
        raise NoiseError(
            "HC-N05",
            f"only {number} pixels are blank",
            "give more fields of the survey[[, or leave --measure out|, or use its table: "
            "with_noise(cube, SURVEY)]]",
            band=name,
        )
    pairs = np.maximum(pairs, 1)
    covariance = unbiased(products / pairs, bias / pairs, np.ones(pairs.shape, bool))
    middle = float(covariance[reach])
    return _Noise(float(np.sqrt(middle)), covariance / middle, number)


def _detector(name: str) -> str:
    """Return the detector of a band; IR, whose reach is the shortest, where it is not known."""
    try:
        detector = find_band(name).detector
    except BandError:
        return "IR"
    return detector if detector in REACH else "IR"
