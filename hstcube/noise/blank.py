"""Blank sky: the pixels that show nothing but noise, of one cube or of several together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import xarray as xr

from hstcube.core.grids import Grid
from hstcube.core.rules import require_dataset, require_same_grid, taken
from hstcube.errors import NoiseError
from hstcube.inputs.arrays import filled, keep_of
from hstcube.sky.sources import detect_sources

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]

__all__ = ["BlankSky", "blank_skies"]

GROW = 0.4  # arcsec: how far the pixels that are used keep from sources


class BlankSky(NamedTuple):
    """A cube, and where its sky is blank, (y, x)."""

    cube: xr.Dataset
    blank: Mask


def blank_skies(cubes: Any, background: Any) -> list[BlankSky]:
    """Return cubes of one pixel scale with their blank sky, away from sources.

    Parameters
    ----------
    cubes : Dataset, or sequence of Dataset
    background : array of bool or int, (y, x), or one for each cube, or None
        As in `calibrate_noise`.

    Raises
    ------
    NoiseError
        If there is not one map for each cube, or the pixel scales differ.
    """
    given, maps = _paired(cubes, background)
    cubes = [taken(cube).compute() for cube in given]
    for cube in cubes:
        if not np.allclose(Grid.of(cube).steps, Grid.of(cubes[0]).steps, rtol=1e-3):
            raise NoiseError(
                "HC-N04",
                "the pixel scales of the cubes differ",
                "measure the noise of each scale apart",
            )
    return [BlankSky(cube, _blank(cube, sky)) for cube, sky in zip(cubes, maps, strict=True)]


def _paired(cubes: Any, background: Any) -> tuple[list[xr.Dataset], list[Any]]:
    """Return as many maps as cubes."""
    if isinstance(cubes, xr.Dataset):
        return [cubes], [background]
    if not isinstance(cubes, list | tuple):
        require_dataset(cubes)
    cubes = list(cubes)
    maps = [None] * len(cubes) if background is None else list(background)
    if not cubes or len(maps) != len(cubes):
        raise NoiseError(
            "HC-N08",
            f"there are {len(cubes)} cubes and {len(maps)} maps of the background",
            "give one map for each",
        )
    return cubes, maps


def _blank(cube: xr.Dataset, sky: Any) -> Mask:
    from scipy import ndimage

    blank = ~detect_sources(cube).values
    if sky is not None:
        require_same_grid(cube, sky)
        if isinstance(sky, xr.DataArray) and set(sky.dims) == {"y", "x"}:
            sky = sky.transpose("y", "x")
        known = np.asarray(filled(sky, 1 if np.ma.getdata(sky).dtype.kind in "iu" else 0))
        if known.dtype.kind in "iu":
            blank &= (known == 0) | (known == -1)
        else:
            blank &= keep_of("background", known)[0]
    if blank.all():
        return blank
    return np.asarray(ndimage.distance_transform_edt(blank, sampling=Grid.of(cube).steps) >= GROW)
