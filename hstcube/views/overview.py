"""Large cubes as small as a picture of them: averages of squares of pixels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from hstcube.core.rules import taken
from hstcube.lazy.windows import over_windows, tiles

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import xarray as xr
    from numpy.typing import NDArray

__all__ = ["at_middles", "averages_of", "overviews", "square_of"]

LARGEST = 1024  # pixels a side: what a picture shows
_SAID = "averages_of"


def averages_of(cube: xr.Dataset) -> str:
    """Return, in words, what the pixels of an overview are; "" of another cube."""
    return str(cube.attrs.get(_SAID, ""))


def square_of(cube: xr.Dataset) -> int:
    """Return the side of the squares of pixels that a picture averages: 1 of cubes in memory."""
    if not cube.variables["sci"].chunks:
        return 1
    return math.ceil(max(cube.sizes["y"], cube.sizes["x"]) / LARGEST)


def overviews(*cubes: xr.Dataset, of: Sequence[xr.Dataset] | None = None) -> list[xr.Dataset]:
    """Return cubes of the same pixels as pictures show them.

    Parameters
    ----------
    *cubes : Dataset
    of : sequence of Dataset, optional
        Those whose bands they are, or some of them: what dask has cut is read in more tasks.

    Returns
    -------
    list of Dataset
        The cubes themselves; where one is in blocks and larger than 1024 pixels a side, all of
        them averaged over squares of pixels, in memory: ``sci``, and ``wht``, which is that of a
        single pixel, over those that have data; ``mask`` is True where half of them or more are in
        it.
    """
    side = max(map(square_of, cubes))
    if side == 1:
        return [*cubes]
    pairs = zip(cubes, of or cubes, strict=True)
    return [_averaged(cube, taken(whole), side) for cube, whole in pairs]


def at_middles(image: NDArray[Any], side: int) -> NDArray[Any]:
    """Return what an image (y, x) holds in the middle of every square."""
    if side == 1:
        return image
    rows, columns = (np.minimum(np.arange(0, n, side) + side // 2, n - 1) for n in image.shape)
    return np.asarray(image[np.ix_(rows, columns)])


def _averaged(cube: xr.Dataset, whole: xr.Dataset, side: int) -> xr.Dataset:
    every = {"y": slice(None, None, side), "x": slice(None, None, side)}
    small = cube[["sci", "wht", "mask"]].isel(every)
    shape = (small.sizes["y"], small.sizes["x"])
    parts = tiles(shape, side)
    windows = [
        (slice(y.start * side, min(y.stop * side, cube.sizes["y"])),
         slice(x.start * side, min(x.stop * side, cube.sizes["x"])))
        for y, x in parts
    ]  # fmt: skip

    def averages(_: int, bands: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        return [_of_squares(sci, wht, mask, side) for sci, wht, mask in bands]

    numbers = [whole.band.values.tolist().index(band) for band in cube.band.values]
    arrays = [whole[name].data for name in ("sci", "wht", "mask")]
    made = [np.empty((cube.sizes["band"], *shape), array.dtype) for array in arrays]
    found = over_windows(averages, arrays, windows, numbers)
    for part, bands in zip(parts, found, strict=True):
        for i, planes in enumerate(bands):
            for image, plane in zip(made, planes, strict=True):
                image[(i, *part)] = plane
    new = {
        name: (cube[name].dims, image, cube[name].attrs)
        for name, image in zip(("sci", "wht", "mask"), made, strict=True)
    }
    places = {
        dim: (dim, _middles(cube[dim].values, side, small.sizes[dim]), cube[dim].attrs)
        for dim in ("y", "x")
    }
    said = f"averages of {side} x {side} pixels"
    return small.assign(new).assign_coords(places).assign_attrs({_SAID: said})


def _middles(labels: NDArray[Any], side: int, number: int) -> NDArray[Any]:
    """Return the middles of squares, the last of which may reach beyond the frame."""
    if labels.size == 1:
        return labels
    step = (labels[-1] - labels[0]) / (labels.size - 1)
    return np.asarray(labels[0] + step * (np.arange(number) * side + (side - 1) / 2))


def _of_squares(
    sci: NDArray[Any], wht: NDArray[Any], mask: NDArray[Any], side: int
) -> tuple[NDArray[Any], ...]:
    """Return the averages of one band over the pixels that have data."""
    there = wht > 0
    number = _sums(there, side)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = _sums(np.where(there, sci, 0), side) / number
    weight = _sums(wht, side) / np.maximum(number, 1)
    inside = (number > 0) & (2 * _sums(mask, side) >= number)
    return mean.astype(sci.dtype), weight.astype(wht.dtype), inside


def _sums(image: NDArray[Any], side: int) -> NDArray[np.float64]:
    starts = [np.arange(0, n, side) for n in image.shape]
    rows = np.add.reduceat(image, starts[0], axis=0, dtype=np.float64)
    return np.asarray(np.add.reduceat(rows, starts[1], axis=1))
