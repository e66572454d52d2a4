"""Profiles around a place: surface brightness in rings, flux within growing apertures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import xarray as xr

from hstcube.core.cube import told_of_gaps
from hstcube.core.grids import Grid
from hstcube.core.rules import taken
from hstcube.errors import RecipeError
from hstcube.inputs.choices import require_choice
from hstcube.inputs.quantities import numbers_in
from hstcube.noise.correlation import part_of
from hstcube.noise.groups import errors_of, groups_in
from hstcube.phot.groups import Pixels, Rings, annuli, apertures, increasing, one_place

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["curve_of_growth", "radial_profile"]


class _Measured(NamedTuple):
    """Sums over groups, their errors, and the pixels that went into them; (band, group)."""

    total: NDArray[np.float64]
    error: NDArray[np.float64]
    npix: NDArray[Any]


def radial_profile(
    cube: xr.Dataset,
    centre: Any,
    *,
    edges: Any,
    ratio: Any = 1.0,
    angle: Any = 0.0,
    pixels: Pixels = "data",
    overlap: Rings = "center",
) -> xr.Dataset:
    """Measure the surface brightness in rings.

    Parameters
    ----------
    cube : Dataset
    centre, edges, ratio, angle
        As in `annuli`.
    pixels : {"data", "mask"}
        All pixels that have data, or those of the cube's mask.
    overlap : {"center", "exact"}
        Whole pixels, or the share of each that lies within, as in `annuli`; ``npix`` is then the
        sum of the shares.

    Returns
    -------
    Dataset
        ``brightness`` and ``error`` (band, radius) [units of sci per arcsec2], ``npix`` (band,
        radius); ``radius`` [arcsec] is the middle of the ring. NaN where a ring has no pixel.
        Errors are those of `group_errors`.

    Examples
    --------
    >>> import hstcube
    >>> cube = hstcube.example().pipe(hstcube.subtract_sky, 0.0)
    >>> found = hstcube.radial_profile(cube, (53.16, -27.78), edges=[0, 0.2, 0.4])
    >>> found.brightness.sel(band="f160w").round(1).values.tolist()  # electron s-1 arcsec-2
    [98.9, 49.3]
    """
    cube = taken(cube)
    require_choice("pixels", pixels, Pixels)
    limits = increasing(edges, Grid.of(cube))
    groups = annuli(cube, centre, edges=limits, ratio=ratio, angle=angle, overlap=overlap)
    found = _measured(cube, groups, limits.size - 1, pixels)
    area = found.npix * Grid.of(cube).scale ** 2
    per_area = np.divide(1.0, area, where=area > 0, out=np.full(area.shape, np.nan))
    per_area_found = found._replace(total=found.total * per_area, error=found.error * per_area)
    units = f"{cube.sci.attrs['units']} arcsec-2"
    return _profile(cube, "brightness", per_area_found, units, (limits[1:] + limits[:-1]) / 2)


def curve_of_growth(
    cube: xr.Dataset,
    centre: Any,
    *,
    radii: Any,
    ratio: Any = 1.0,
    angle: Any = 0.0,
    pixels: Pixels = "data",
    overlap: Rings = "center",
) -> xr.Dataset:
    """Measure the flux within growing apertures.

    Parameters
    ----------
    cube : Dataset
    centre : SkyCoord, or (RA, Dec) [deg]
    radii : sequence of float, or Quantity
        Semi-major axes [arcsec]; Quantities may be in pixels.
    ratio, angle
        As in `apertures`.
    pixels : {"data", "mask"}
        All pixels that have data, or those of the cube's mask.
    overlap : {"center", "exact"}
        Whole pixels, or the share of each that lies within, as in `annuli`; ``npix`` is then the
        sum of the shares.

    Returns
    -------
    Dataset
        ``flux`` and ``error`` (band, radius) [units of sci], ``npix`` (band, radius). Errors are
        those of `group_errors`; those of growing apertures are not independent.

    Examples
    --------
    >>> import hstcube
    >>> cube = hstcube.example().pipe(hstcube.subtract_sky, 0.0)
    >>> curve = hstcube.curve_of_growth(cube, (53.16, -27.78), radii=[0.2, 0.4, 0.8])
    >>> (curve.flux / curve.flux.isel(radius=-1)).sel(band="f160w").round(2).values.tolist()
    [0.23, 0.59, 1.0]
    """
    cube = told_of_gaps(taken(cube))
    require_choice("pixels", pixels, Pixels)
    require_choice("overlap", overlap, Rings)
    place = one_place(centre)
    reaches = np.ravel(numbers_in("arcsec", radii, "radii", pixel=Grid.of(cube).scale, above=0))
    if not reaches.size:
        raise RecipeError("HC-B31", "radii are empty", "give some in arcsec[[|: radii=[0.2, 0.4]]]")
    steps = []
    for radius in reaches:
        aperture = apertures(cube, place, radius=radius, ratio=ratio, angle=angle, overlap=overlap)
        steps.append(_measured(cube, aperture, 1, pixels))
    found = _Measured(*(np.concatenate(column, axis=1) for column in zip(*steps, strict=True)))
    return _profile(cube, "flux", found, cube.sci.attrs["units"], reaches)


def _measured(cube: xr.Dataset, groups: xr.DataArray, number: int, pixels: Pixels) -> _Measured:
    """Measure groups 1, 2, ..., `number`; one without pixels has NaN and 0."""
    shape = (cube.sizes["band"], number)
    inside = groups_in(cube, groups)
    found = _Measured(np.full(shape, np.nan), np.full(shape, np.nan), np.zeros(shape))
    for i in range(shape[0]):
        one = cube.isel(band=[i])
        use = (one.mask if pixels == "mask" else one.wht > 0).values[0]
        had = part_of(inside, use[inside.rows, inside.columns])
        if had.ids.size:
            image = one.sci.values[0, had.rows, had.columns].astype(np.float64)
            found.total[i, had.ids - 1] = had.sums(image)
            found.error[i, had.ids - 1] = errors_of(one, had).values[0]
            found.npix[i, had.ids - 1] = had.sums(np.ones(image.size))
    if inside.weight is None:
        return found._replace(npix=found.npix.astype(np.int64))
    return found


def _profile(cube: xr.Dataset, what: str, found: _Measured, units: str, radius: Any) -> xr.Dataset:
    dims = ("band", "radius")
    radius = np.asarray(radius, dtype=float)
    return xr.Dataset(
        {
            what: (dims, found.total, {"units": units}),
            "error": (dims, found.error, {"units": units}),
            "npix": (dims, found.npix),
        },
        {"band": cube.band, "radius": ("radius", radius, {"units": "arcsec"})},
    )
