"""Pieces of images around places on the sky."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hstcube.core.grids import Grid
from hstcube.core.rules import taken
from hstcube.core.state import record, warn
from hstcube.errors import GridError
from hstcube.inputs.places import OF_PIXELS, height_and_width, sky_position

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

__all__ = ["cutout", "spans_around"]

_FAR = 1e9  # pixels: what lies beyond the horizon of a projection is that far away


def cutout(cube: xr.Dataset, position: Any, size: Any) -> xr.Dataset:
    """Cut a rectangle of pixels around a place on the sky; pixels keep values and labels.

    Parameters
    ----------
    cube : Dataset
    position : (ra, dec) in degrees, or SkyCoord
        The middle of the piece, to the nearest pixel.
    size : float, Quantity, or two of them
        Height and width [arcsec]; a Quantity may be in pixels.

    Returns
    -------
    Dataset
        Smaller, with a warning, where the piece reaches beyond the frame.

    Raises
    ------
    GridError
        If no part of it lies in the frame, or place or size cannot be.

    Examples
    --------
    >>> import hstcube
    >>> piece = hstcube.cutout(hstcube.example(), (53.16, -27.78), 1.2)
    >>> piece.sizes["y"], piece.sizes["x"]
    (20, 20)
    """
    cube = taken(cube)
    source, (ra, dec) = Grid.of(cube), sky_position(position)
    sides = height_and_width(size, source.scale)
    spans, wanted = spans_around(source, np.array([ra]), np.array([dec]), sides)
    rows, columns = spans[0].tolist()
    if rows[0] >= rows[1] or columns[0] >= columns[1]:
        raise GridError(
            "HC-W15",
            f"the images do not show the position ({ra:.6f}, {dec:.6f})",
            f"give (ra, dec) in degrees, ICRS; {OF_PIXELS}",
        )
    said = f"{sides[0]:g}" if sides[0] == sides[1] else f"({sides[0]:g}, {sides[1]:g})"
    piece = cube.isel(y=slice(*rows), x=slice(*columns))
    cube = record(piece, f"cutout(({ra:.6f}, {dec:.6f}), {said} arcsec)")
    share = (rows[1] - rows[0]) * (columns[1] - columns[0]) / (wanted[0] * wanted[1])
    if share < 1:
        cube = warn(cube, "HC-W16", f"{share:.0%} of the piece lie in the frame")
    return cube


def spans_around(
    grid: Grid, ra: NDArray[np.float64], dec: NDArray[np.float64], size: Any
) -> tuple[NDArray[np.int64], tuple[int, int]]:
    """Return the pixels of pieces of one size around positions.

    Parameters
    ----------
    grid : Grid
    ra, dec : array, (piece,)
        Degrees, ICRS.
    size : float, Quantity, or two of them
        Height and width [arcsec].

    Returns
    -------
    array of int, (piece, 2, 2)
        First and last + 1 of rows and columns, cut at the frame: not in order where the piece lies
        outside.
    (int, int)
        Rows and columns of a whole piece.

    Raises
    ------
    GridError
        If the size cannot be.
    """
    from astropy.coordinates import SkyCoord

    sides = height_and_width(size, grid.scale)
    x, y = grid.wcs.world_to_pixel(SkyCoord(ra, dec, unit="deg", frame="icrs"))
    places = zip((y, x), sides, grid.steps, grid.shape, strict=True)
    wanted, spans = [], []
    for place, side, step, length in places:
        number = max(round(side / step), 1)
        first = np.rint(np.nan_to_num(place, nan=-_FAR) - (number - 1) / 2).clip(-_FAR, _FAR)
        start = first.astype(np.int64)
        span = [np.clip(start, 0, None), np.clip(start + number, None, length)]
        wanted.append(number)
        spans.append(np.stack(span, axis=-1))
    return np.stack(spans, axis=-2), (wanted[0], wanted[1])
