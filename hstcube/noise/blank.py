"""Blank sky: the pixels that show nothing but noise, of one cube or of several together."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import xarray as xr

from hstcube.basics.blocks import windows_of
from hstcube.core.grids import Grid
from hstcube.core.rules import require_dataset, require_same_grid, taken
from hstcube.core.state import attribute
from hstcube.errors import NoiseError
from hstcube.inputs.arrays import filled, keep_of, require_image
from hstcube.sky.sources import detect_sources

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]

__all__ = ["BlankSky", "Skies", "blank_skies"]

GROW = 0.4  # arcsec: how far the pixels that are used keep from sources

# an image of more pixels is sampled: so many blank ones tell its noise as well as the method can
SAMPLE = 1_000_000
WINDOW = 388  # pixels: the side of what is looked at of such an image at a time
_FRINGE = 8  # pixels of a window's rim, beyond GROW, where sources outside it may reach in


class BlankSky(NamedTuple):
    """A cube, or a window of a large one, and where its sky is blank, (y, x)."""

    cube: xr.Dataset
    blank: Mask


class Skies(NamedTuple):
    """The blank sky of cubes."""

    parts: list[BlankSky]
    fields: list[str]
    sample: str
    """What of the cubes was looked at, in words: "" for all."""


def blank_skies(cubes: Any, background: Any) -> Skies:
    """Return cubes of one pixel scale with their blank sky, away from sources.

    Of images of more than a million pixels a sample of a million blank ones: windows that are
    spread over the image, the same ones each time.

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
    cubes = [taken(cube) for cube in given]
    for cube in cubes:
        if not np.allclose(Grid.of(cube).steps, Grid.of(cubes[0]).steps, rtol=1e-3):
            raise NoiseError(
                "HC-N04",
                "the pixel scales of the cubes differ",
                "measure the noise of each scale apart",
            )
    parts, windows = [], 0
    for cube, sky in zip(cubes, maps, strict=True):
        known = _known(cube, sky)
        if cube.sizes["y"] * cube.sizes["x"] <= SAMPLE:
            parts.append(_whole(cube, known))
            continue
        sampled = _sampled(cube, known)
        windows += len(sampled)
        parts += sampled
    sample = f"{windows} windows of {WINDOW} pixels a side of large images" if windows else ""
    return Skies(parts, [attribute(cube, "field") for cube in cubes], sample)


def _whole(cube: xr.Dataset, known: Mask | None) -> BlankSky:
    cube = cube.compute()
    return BlankSky(cube, _blank(cube, known))


def _sampled(cube: xr.Dataset, known: Mask | None) -> list[BlankSky]:
    """Return windows of a large cube that hold as many blank pixels as are asked for."""
    rim = math.ceil(GROW / min(Grid.of(cube).steps)) + _FRINGE
    parts, found = [], 0
    for rows, columns in windows_of((cube.sizes["y"], cube.sizes["x"]), WINDOW, rim):
        if found >= SAMPLE:
            break
        here = None if known is None else known[rows, columns]
        if here is not None and not here.any():
            continue
        part = cube.isel(y=rows, x=columns).compute()
        if not (part.wht.values > 0).any():
            continue
        blank = _blank(part, here)
        blank[:rim], blank[-rim:], blank[:, :rim], blank[:, -rim:] = (False,) * 4
        parts.append(BlankSky(part, blank))
        found += int((blank & (part.wht.values > 0).any(axis=0)).sum())
    return parts


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


def _known(cube: xr.Dataset, sky: Any) -> Mask | None:
    """Return what a map of the background says is blank."""
    if sky is None:
        return None
    if isinstance(sky, xr.Dataset):
        require_image("background", sky)
    require_same_grid(cube, sky)
    if isinstance(sky, xr.DataArray) and set(sky.dims) == {"y", "x"}:
        sky = sky.transpose("y", "x")
    known = np.asarray(filled(sky, 1 if np.ma.getdata(sky).dtype.kind in "iu" else 0))
    if known.dtype.kind in "iu":
        return np.asarray((known == 0) | (known == -1))
    return np.asarray(keep_of("background", known)[0])


def _blank(cube: xr.Dataset, known: Mask | None) -> Mask:
    from scipy import ndimage

    blank = ~detect_sources(cube).values
    if known is not None:
        blank &= known
    if blank.all():
        return blank
    return np.asarray(ndimage.distance_transform_edt(blank, sampling=Grid.of(cube).steps) >= GROW)
