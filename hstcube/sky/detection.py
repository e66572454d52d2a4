"""Detection: a segmentation map made from the cube itself, where nobody made one."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import xarray as xr

from hstcube.basics.robust import gaussian_mean, gaussian_weights, robust_sigma
from hstcube.core.grids import Grid
from hstcube.core.rules import taken
from hstcube.inputs.quantities import number_in, whole_number
from hstcube.sky.sources import connected

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Image64 = NDArray[np.float64]
    Mask = NDArray[np.bool_]
    Labels = NDArray[np.integer[Any]]

__all__ = ["detect"]

# arcsec: tried on six real galaxies and twenty fields of known truth; wider ones join close pairs,
# narrower ones cut clumps off
KERNEL = 0.09
BACKGROUND = 1.2  # arcsec: the scale of the local background; galaxies are smaller, halos larger
AREA = 0.036  # arcsec^2: 10 pixels of 60 mas
FEWEST = 5  # pixels, whatever their scale
GROW = 2  # pixels around what the first look found that tell no background in the second
CONTRAST = 0.005  # of deblending: the share of its light that parts a piece from a source

_EMPTY = -1  # as in maps that cover part of a frame


def detect(
    cube: xr.Dataset,
    *,
    snr: float = 3.0,
    min_pixels: int | None = None,
    deblend: bool = True,
) -> xr.DataArray:
    """Detect sources, for want of a segmentation map.

    Parameters
    ----------
    cube : Dataset
        As `open_field` gives it; the sky may be in it.
    snr : float
        How far every pixel of a source stands above the local background, in standard deviations of
        the smoothed stack.
    min_pixels : int, optional
        Fewest pixels of a source that touch; 0.036 square arcsec, and at least 5, when not given.
    deblend : bool
        Part sources that touch.

    Returns
    -------
    DataArray of int32, (y, x)
        A segmentation map on the grid of the cube: 1, 2, ... for the sources, 0 sky, -1 no data.

    Raises
    ------
    RecipeError
        If `snr` is not above 0, or `min_pixels` is no number of pixels.
    CubeError
        If `cube` is none.

    Notes
    -----
    The bands are stacked by their signal to noise, sum(sci sqrt(wht)), as Szalay, Connolly &
    Szokoly (1999, AJ 117, 68) combine bands (they add squares; the sum tells sources from holes),
    and smoothed with a Gaussian of 0.09 arcsec. Its noise is the robust scatter of what is left
    beside the sources, which holds for correlated pixels and for faint halos, but no less than
    ``noise_scale`` and ``noise_acf`` tell where they are known. A second look measures the
    background (1.2 arcsec) beside what the first one found. Sources that touch are parted as Bertin
    & Arnouts (1996, A&AS 117, 393) do it, by `photutils.segmentation`.

    Examples
    --------
    >>> import numpy as np
    >>> import hstcube
    >>> grid = hstcube.Grid.around((53.16, -27.78), 3.6, scale=0.06)
    >>> y, x = np.indices(grid.shape)
    >>> image = np.random.default_rng(1).normal(size=(1, *grid.shape))
    >>> for row, column in ((15, 20), (40, 45)):
    ...     image += 30 * np.exp(-((y - row) ** 2 + (x - column) ** 2) / 8)
    >>> cube = hstcube.build(
    ...     image, np.ones(image.shape), bands=["f160w"], grid=grid, units="electron s-1"
    ... )
    >>> labels = hstcube.detect(cube)
    >>> labels.values[15, 20].item(), labels.values[40, 45].item(), labels.values.max().item()
    (1, 2, 2)
    """
    cube = taken(cube)
    snr = number_in("", snr, "snr", above=0)
    grid = Grid.of(cube)
    if min_pixels is None:
        min_pixels = max(round(AREA / float(np.prod(grid.steps))), FEWEST)
    min_pixels = whole_number(min_pixels, "min_pixels")
    stack, there = _stacked(cube)
    labels: Labels = np.zeros(there.shape, np.int32)
    if there.any():
        scale = float(np.mean(grid.steps))
        smooth = _beside(stack, there, KERNEL / scale)
        look = _Look(there, snr, min_pixels, _known_noise(cube))
        height, labels = _looked_twice(smooth, look, BACKGROUND / scale)
        if deblend and labels.any():
            labels = _deblended(height, labels, min_pixels)
    labels = np.where(there, labels, _EMPTY).astype(np.int32)
    attrs = {
        "long_name": "segmentation map",
        "detected": f"{labels.max()} sources, snr {snr:g}, {min_pixels} pixels or more",
    }
    return xr.DataArray(labels, grid.coords(), ("y", "x"), "labels", attrs)


def _stacked(cube: xr.Dataset) -> tuple[Image64, Mask]:
    """Return the sum of all bands in units of their noise, and where any band has data."""
    stack = np.zeros((cube.sizes["y"], cube.sizes["x"]))
    there = np.zeros(stack.shape, bool)
    for i in range(cube.sizes["band"]):  # one band in memory, where the cube is lazy
        wht = cube.wht.isel(band=i).values
        stack += np.nan_to_num(cube.sci.isel(band=i).values * np.sqrt(wht))
        there |= wht > 0
    return stack, there


def _beside(image: Image64, where: Mask, scale: float) -> Image64:
    """Return the Gaussian mean over some of the pixels around every pixel."""
    return gaussian_mean(np.where(where, image, 0), scale) / gaussian_weights(where, scale)


def _known_noise(cube: xr.Dataset) -> float:
    """Return the standard deviation of the smoothed stack that is known; 0 where it is not.

    A Gaussian's correlation with itself is a Gaussian of twice its variance.
    """
    if "noise_acf" not in cube.coords or "noise_scale" not in cube.coords:
        return 0.0
    dy, dx = cube.dy.values[:, None], cube.dx.values[None, :]
    lags = np.exp(-(dy**2 + dx**2) / (4 * KERNEL**2))
    pixel = float(np.prod(Grid.of(cube).steps))
    each = (cube.noise_acf.values * lags).sum((1, 2)) * pixel / (4 * np.pi * KERNEL**2)
    return float(np.sqrt(np.nansum(np.clip(each, 0, None) * cube.noise_scale.values**2)))


class _Look(NamedTuple):
    """What sources are sought in, and what makes one."""

    there: Mask
    snr: float
    fewest: int
    noise: float
    """The least that it can be."""


def _looked_twice(smooth: Image64, look: _Look, scale: float) -> tuple[Image64, Labels]:
    """Return how high everything stands above its background, and the sources, numbered."""
    from scipy import ndimage

    height, found = _sources_in(smooth, look, look.there)
    quiet = look.there & ~ndimage.binary_dilation(found > 0, iterations=GROW)
    if not found.any() or not quiet.any():
        return height, found
    return _sources_in(smooth - _beside(smooth, quiet, scale), look, quiet)


def _sources_in(image: Image64, look: _Look, quiet: Mask) -> tuple[Image64, Labels]:
    """Return how high everything stands above what is quiet, and the sources, numbered."""
    height = image - np.median(image[quiet])
    noise = max(float(robust_sigma(height[quiet])), look.noise)
    return height, connected(look.there & (height > look.snr * noise), fewest=look.fewest)


def _deblended(height: Image64, labels: Labels, fewest: int) -> Labels:
    """Return a map in which what touches is parted."""
    from photutils.segmentation import SegmentationImage, deblend_sources

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what could not be parted its way
        parted = deblend_sources(
            height,
            SegmentationImage(labels.astype(np.int32)),
            fewest,
            contrast=CONTRAST,
            progress_bar=False,
        )
    return np.asarray(parted.data)
