"""The spectrum of the pixel at a place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from hstcube.core.cube import variance
from hstcube.core.grids import Grid
from hstcube.core.rules import taken
from hstcube.errors import GridError
from hstcube.inputs.places import sky_position
from hstcube.inputs.quantities import number_in
from hstcube.phot.units import to_flux
from hstcube.views.magnitudes import magnitude_errors, magnitudes

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["sed_at"]


def sed_at(cube: xr.Dataset, x: Any, y: Any = None) -> xr.Dataset:
    """Return the spectral energy distribution of one pixel.

    Parameters
    ----------
    cube : Dataset
        With zero points; matched, else the bands show different parts of the sky around it.
    x : float, SkyCoord or (RA, Dec) [deg]
        The label of a column, as the coordinate ``x`` has it, so that a slice of a cube names its
        pixels as the whole does; or, without `y`, a place on the sky. The nearest pixel is taken.
    y : float, optional
        The label of a row.

    Returns
    -------
    Dataset
        ``flux`` and ``error`` [uJy], ``magnitude`` and ``magnitude_error`` [AB mag] on the dim
        band; ``pivot`` [Angstrom], ``ra`` and ``dec`` [deg, ICRS] and the labels ``y`` and ``x`` of
        the pixel. Errors hold the noise of the pixel and that of the sky level, as those of
        `photometry`, which measures larger parts of the sky. NaN where a band has no data.

    Raises
    ------
    BandError
        If a band has no zero point.
    GridError
        If it is no place, or the images do not show it.

    Examples
    --------
    >>> import hstcube
    >>> cube = hstcube.example(matched=True)
    >>> hstcube.sed_at(cube, 50, 50).flux.sel(band="f160w").round(4).item()
    0.0701
    >>> hstcube.sed_at(cube, (53.16, -27.78)).magnitude.values[[0, -1]].round(1).tolist()
    [28.1, 26.8]
    """
    cube = taken(cube, pixels=False)
    row, column = _pixel(cube, x, y)
    # two pixels, because a single one does not tell its size
    first = min(column, max(cube.sizes["x"] - 2, 0))
    piece = cube.isel(y=[row], x=slice(first, first + 2))
    if piece.sizes["x"] == 1:
        top = min(row, max(cube.sizes["y"] - 2, 0))
        piece, row = cube.isel(y=slice(top, top + 2), x=[column]), row - top
    else:
        row = 0
    flux = to_flux(piece, "uJy")
    there = {"y": row, "x": column - first}
    value = flux.sci.isel(there).astype(np.float64).compute()
    single = variance(flux).isel(there).astype(np.float64).compute()
    error = np.sqrt(single + np.nan_to_num(flux.sky_error) ** 2)
    ra, dec = _sky(cube, value)
    found = xr.Dataset(
        {
            "flux": value.assign_attrs(units="uJy", long_name="flux in the pixel"),
            "error": error.drop_attrs(deep=False).assign_attrs(units="uJy"),
            "magnitude": magnitudes(value),
            "magnitude_error": magnitude_errors(value, error),
        }
    )
    kept: dict[str, Any] = {name: found.coords[name].variable for name in ("pivot", "y", "x")}
    return found.reset_coords(drop=True).assign_coords(
        **kept, ra=((), ra, {"units": "deg"}), dec=((), dec, {"units": "deg"})
    )


def _pixel(cube: xr.Dataset, x: Any, y: Any) -> tuple[int, int]:
    """Return row and column of the nearest pixel."""
    grid = Grid.of(cube)
    if y is None:
        if np.ndim(x) == 0 and not hasattr(x, "transform_to") and not hasattr(x, "colnames"):
            fix = "give both[[|, sed_at(cube, x, y)]], or a SkyCoord, or (ra, dec) in degrees"
            raise GridError("HC-W25", f"x is {x!r}, and there is no y", fix)
        from astropy.coordinates import SkyCoord

        place = SkyCoord(*sky_position(x), unit="deg", frame="icrs")
        column, row = (float(one) for one in grid.wcs.world_to_pixel(place))
    else:
        wrong: dict[str, Any] = {"code": "HC-W25", "error": GridError}
        row = _step_of(cube.y.values, number_in("", y, "y", **wrong), grid.shape[0])
        column = _step_of(cube.x.values, number_in("", x, "x", **wrong), grid.shape[1])
    nearest = round(row), round(column)
    if not all(0 <= one < number for one, number in zip(nearest, grid.shape, strict=True)):
        labels = [f"{dim} from {cube[dim].values[0]:g} to {cube[dim].values[-1]:g}" for dim in "xy"]
        reason = f"the images do not show the place x = {x!r}, y = {y!r}"
        raise GridError("HC-W15", reason, f"choose {' and '.join(labels)}, or a place on the sky")
    return nearest


def _step_of(labels: NDArray[Any], label: float, number: int) -> float:
    """Return where a label lies among those of the pixels, counted from 0."""
    step = float(labels[1] - labels[0]) if number > 1 else 1.0
    return (label - float(labels[0])) / step


def _sky(cube: xr.Dataset, value: xr.DataArray) -> tuple[float, float]:
    grid = Grid.of(cube)
    rows, columns = (
        _step_of(cube[dim].values, float(value[dim]), cube.sizes[dim]) for dim in ("y", "x")
    )
    sky = grid.wcs.pixel_to_world(columns, rows).icrs
    return float(sky.ra.deg), float(sky.dec.deg)
