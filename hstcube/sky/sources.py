"""Sources: where a cube shows them, for want of a segmentation map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xarray as xr

from hstcube.basics.robust import robust_sigma, without_background
from hstcube.core.grids import Grid
from hstcube.inputs.choices import require_choice

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Image64 = NDArray[np.float64]
    Mask = NDArray[np.bool_]

__all__ = ["connected", "detect_sources", "renumber", "sizes_of"]

# arcsec: the scale on which the background is removed, so that faint sources do not count as noise
BACKGROUND = 0.6

_SURE = 3.0  # robust standard deviations above the background: what is a source
_CONNECTED = 5  # pixels of it
_PIXELS = 1 << 20  # of a map, at a time

Touching = Literal["corners", "sides"]


def detect_sources(cube: xr.Dataset) -> xr.DataArray:
    """Return where a cube shows sources, for want of a segmentation map.

    Five pixels that touch, each 3 robust standard deviations above the local background in the mean
    signal to noise of all bands, smoothed by a pixel.

    Parameters
    ----------
    cube : Dataset

    Returns
    -------
    DataArray of bool, (y, x)
    """
    from scipy import ndimage

    signal = np.nan_to_num(cube.sci.values * np.sqrt(cube.wht.values)).sum(axis=0, dtype=np.float64)
    smooth = ndimage.gaussian_filter(signal, 1.0)
    there = (cube.wht.values > 0).any(axis=0)
    scale = 3 * BACKGROUND / float(np.mean(Grid.of(cube).steps))
    flat = without_background(smooth, there, scale)
    sources = ~there
    for _ in range(3):  # what was found no longer raises the background
        found = _above_background(smooth, flat, there, sources, scale)
        if not found.any():
            break
        sources = ndimage.binary_dilation(found, iterations=2) | ~there
    return xr.DataArray(sources & there, {"y": cube.y, "x": cube.x}, ("y", "x"), "sources")


def _above_background(
    smooth: Image64, flat: Image64, there: Mask, sources: Mask, scale: float
) -> Mask:
    """Return the sources above a background that is measured beside those known already.

    `flat` is without one that is measured on them, too.
    """
    quiet = there & ~sources
    if not quiet.any():
        return quiet
    rest = smooth - np.where(there, smooth - flat, 0)
    none = np.array_equal(quiet, there)
    rest = (flat if none else without_background(smooth, quiet, scale)) + np.where(sources, rest, 0)
    sure = there & (rest > _SURE * robust_sigma(rest[quiet]))
    return connected(sure, fewest=_CONNECTED) > 0


def connected(
    seen: Mask, *, fewest: int = 1, touching: Touching = "corners"
) -> NDArray[np.integer[Any]]:
    """Return a map with its pieces numbered.

    Parameters
    ----------
    seen : array of bool, (y, x)
    fewest : int
        Pixels of a piece; smaller ones are left out.
    touching : {"corners", "sides"}
        How pixels of one piece touch.

    Returns
    -------
    array of int32, (y, x)
        1, 2, ... for the pieces, 0 elsewhere.
    """
    from scipy import ndimage

    require_choice("touching", touching, Touching)
    structure = ndimage.generate_binary_structure(2, 2 if touching == "corners" else 1)
    pieces, _ = ndimage.label(seen, structure)
    large = sizes_of(pieces) >= fewest
    large[0] = False
    return renumber(pieces, np.where(large, np.cumsum(large), 0))


def sizes_of(labels: NDArray[np.integer[Any]]) -> NDArray[np.intp]:
    """Return how many pixels have each label from 0 up to the largest."""
    number = int(labels.max(initial=0)) + 1
    sizes = np.zeros(number, np.intp)
    for rows in _rows(labels):  # `bincount` makes 8 bytes of each pixel
        sizes += np.bincount(rows.ravel(), minlength=number)
    return sizes


def renumber(labels: NDArray[Any], table: NDArray[Any]) -> NDArray[Any]:
    """Return the labels after each became what the table has in its place; they are replaced."""
    for rows in _rows(labels):
        rows[:] = table[rows]
    return labels


def _rows(labels: NDArray[Any]) -> Iterator[NDArray[Any]]:
    step = max(_PIXELS // max(labels.shape[1], 1), 1)
    return (labels[top : top + step] for top in range(0, len(labels), step))
