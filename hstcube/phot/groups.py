"""Groups of pixels: integer maps (y, x) of apertures and annuli, and values painted on them.

In a group map a positive number is the name of a group; 0 and negative numbers are no group. A
pixel belongs to a group when its centre lies in it. Where shares of pixels are wanted, each group
has an image of its own.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xarray as xr

from hstcube.basics.ellipses import Ellipses
from hstcube.core.bands import name_among, names_in
from hstcube.core.grids import Grid
from hstcube.core.rules import taken
from hstcube.errors import BandError, LabelError, RecipeError
from hstcube.inputs.choices import require_choice
from hstcube.inputs.places import OF_PIXELS, sky_positions
from hstcube.inputs.quantities import number_in, numbers_in, short
from hstcube.noise.groups import shares_map

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


__all__ = [
    "annuli",
    "apertures",
    "common_mask",
    "increasing",
    "of_bands",
    "one_place",
]

Overlap = Literal["center", "error", "nearest", "exact"]
Rings = Literal["center", "exact"]
Pixels = Literal["mask", "data"]  # those of the cube's mask, or all that have data


def apertures(
    cube: xr.Dataset,
    centres: Any,
    *,
    radius: Any,
    ratio: Any = 1.0,
    angle: Any = 0.0,
    overlap: Overlap = "error",
) -> xr.DataArray:
    """Return circular or elliptical apertures as a group map.

    Parameters
    ----------
    cube : Dataset
    centres : SkyCoord, (RA, Dec) or array (n, 2) of RA and Dec [deg], or a table with ra and dec
        One place, or several.
    radius : float or Quantity, or one for each centre
        Semi-major axis [arcsec]; a Quantity may be in pixels.
    ratio : float
        Minor over major axis, at most 1.
    angle : float or Quantity
        Position angle of the major axis [deg], from north through east.
    overlap : {"error", "center", "nearest", "exact"}
        How apertures overlap pixels, and one another. ``"center"``, or ``"error"``: whole pixels,
        those whose centre lies within; a pixel is in one group only, and apertures that overlap are
        refused. ``"nearest"``: such a pixel goes to the nearest centre in units of its radius.
        ``"exact"``: the share of each pixel that lies within, which may be in several apertures;
        `photometry` and `group_errors` weight with the shares.

    Returns
    -------
    DataArray of int32, (y, x)
        1, 2, ... in the order of `centres`; ``attrs["cut"]`` names those that reach beyond the
        frame. With ``overlap="exact"`` float64, (group, y, x): the shares.

    Raises
    ------
    LabelError
        If an aperture has no pixel in the frame, or two overlap.
    RecipeError
        If a radius or the ratio is not positive, centres are not understood, there is not one
        radius for each, or there is no such `overlap`.

    Examples
    --------
    >>> import hstcube
    >>> cube = hstcube.example()
    >>> hstcube.apertures(cube, (53.16, -27.78), radius=0.3).sum().item()  # pixels
    81
    >>> exact = hstcube.apertures(cube, (53.16, -27.78), radius=0.3, overlap="exact")
    >>> exact.sum().round(2).item()
    78.54
    """
    cube = taken(cube, pixels=False)
    require_choice("overlap", overlap, Overlap)
    grid = Grid.of(cube)
    places = sky_positions(centres, code="HC-B31", error=RecipeError)
    radii = _one_each(_lengths("radius", radius, grid, above=0), len(places))
    if overlap == "exact":
        shapes = [_ellipses(grid, place, ratio, angle) for place in places]
        return _discs(cube, shapes, places, radii)
    nearest = np.full(grid.shape, np.inf)
    found = np.zeros(grid.shape, np.int32)
    cut = []
    for i, (place, reach) in enumerate(zip(places, radii, strict=True), start=1):
        ellipses = _ellipses(grid, place, ratio, angle)
        window = ellipses.window(reach)
        distance = ellipses.distance(window) / reach
        inside = distance <= 1
        if not inside.any():
            raise _outside(i, place)
        claimed = found[window][inside & (found[window] > 0)]
        if claimed.size and overlap != "nearest":
            reason = f"apertures {claimed[0]} and {i} overlap, but a pixel is in one group only"
            fix = "measure them one by one[[|, or choose overlap='nearest', or 'exact']]"
            raise LabelError("HC-S21", reason, fix)
        closer = inside & (distance < nearest[window])
        found[window][closer], nearest[window][closer] = i, distance[closer]
        if not ellipses.lies_within(reach):
            cut.append(i)
    return _map(cube, found, "apertures", cut)


def annuli(
    cube: xr.Dataset,
    centre: Any,
    *,
    edges: Any,
    ratio: Any = 1.0,
    angle: Any = 0.0,
    overlap: Rings = "center",
) -> xr.DataArray:
    """Return concentric rings as a group map.

    Parameters
    ----------
    cube : Dataset
    centre : SkyCoord, or (RA, Dec) [deg]
    edges : sequence of float, or Quantity
        Semi-major axes [arcsec], increasing; ring i lies between edge i - 1 and edge i. The first
        may be 0.
    ratio, angle : float
        As in `apertures`.
    overlap : {"center", "exact"}
        Whole pixels, or the share of each that lies within.

    Returns
    -------
    DataArray of int32, (y, x)
        1, 2, ... from the inside; ``attrs["cut"]`` names those that reach beyond the frame. A ring
        thinner than a pixel may have none. With ``overlap="exact"`` float64, (group, y, x).

    Raises
    ------
    LabelError
        If no ring has a pixel in the frame.
    RecipeError
        If the edges do not increase, or there is no such `overlap`.

    Examples
    --------
    >>> import hstcube
    >>> cube = hstcube.example()
    >>> rings = hstcube.annuli(cube, (53.16, -27.78), edges=[0, 0.2, 0.4])
    >>> [int((rings == i).sum()) for i in (1, 2)]
    [34, 104]
    """
    cube = taken(cube, pixels=False)
    require_choice("overlap", overlap, Rings)
    grid = Grid.of(cube)
    limits = increasing(edges, grid)
    ellipses = _ellipses(grid, one_place(centre), ratio, angle)
    if overlap == "exact":
        return _rings(cube, ellipses, limits)
    distance = ellipses.distance((slice(0, grid.shape[0]), slice(0, grid.shape[1])))
    found = np.searchsorted(limits, distance, side="left").astype(np.int32)
    found[distance == limits[0]] = 1
    found[found == limits.size] = 0
    if not found.any():
        raise _no_ring()
    cut = [i for i, edge in enumerate(limits[1:], start=1) if not ellipses.lies_within(edge)]
    return _map(cube, found, "annuli", cut)


def common_mask(cube: xr.Dataset, *, bands: Sequence[str] | None = None) -> xr.DataArray:
    """Return the pixels that the mask holds in all of the bands.

    Parameters
    ----------
    cube : Dataset
    bands : sequence of str, optional
        All when not given.

    Returns
    -------
    DataArray of bool, (y, x)

    Raises
    ------
    BandError
        If a band is not in the cube.

    Examples
    --------
    >>> import hstcube
    >>> cube = hstcube.example()
    >>> int(hstcube.common_mask(cube).sum())
    9640
    >>> int(hstcube.common_mask(cube, bands=["f160w"]).sum())
    10000
    """
    common: xr.DataArray = of_bands(cube, bands).mask.all("band")
    return common.rename("mask").drop_attrs(deep=False)


def of_bands(cube: xr.Dataset, bands: Sequence[str] | str | None) -> xr.Dataset:
    """Return the cube with these bands only."""
    cube = taken(cube)
    if bands is None:
        return cube
    there = cube.band.values.tolist()
    names = [name_among(name, there) for name in names_in(bands)]
    fix = f"choose from {', '.join(there)}"
    if not names:
        raise BandError("HC-B01", "no band is named", fix)
    for name in names:
        if name not in there:
            raise BandError("HC-B01", f"there is no band {name}", fix, band=name)
    return cube.isel(band=[there.index(name) for name in names])


def _lengths(name: str, given: Any, grid: Grid, **limits: Any) -> NDArray[np.float64]:
    """Return lengths [arcsec], which may be given in pixels too."""
    return np.ravel(numbers_in("arcsec", given, name, pixel=grid.scale, **limits))


def increasing(edges: Any, grid: Grid) -> NDArray[np.float64]:
    """Return the edges of rings [arcsec] as an array.

    Raises
    ------
    RecipeError
        If they are no lengths, or do not increase.
    """
    limits = _lengths("edges", edges, grid, least=0)
    if limits.size < 2 or not (np.diff(limits) > 0).all():  # noqa: PLR2004
        fix = "give increasing radii in arcsec[[|, e.g. edges=[0, 0.2, 0.4]]]"
        raise RecipeError("HC-B31", f"edges are {short(edges)}", fix)
    return limits


def _pixel(grid: Grid, place: NDArray[np.float64]) -> tuple[float, float]:
    """Return the pixel coordinates (y, x) of a place."""
    from astropy.coordinates import SkyCoord

    x, y = grid.wcs.world_to_pixel(SkyCoord(*place, unit="deg", frame="icrs"))
    return float(y), float(x)


def one_place(centre: Any) -> NDArray[np.float64]:
    """Return RA and Dec [deg] of one place.

    Raises
    ------
    RecipeError
        If it is none, or there are several.
    """
    places = sky_positions(centre, code="HC-B31", error=RecipeError)
    if len(places) != 1:
        reason = f"there are {len(places)} positions where one is needed"
        raise RecipeError("HC-B31", reason, "give one[[|, e.g. centre=(53.16, -27.78)]]")
    return np.asarray(places[0])


def _one_each(radii: NDArray[np.float64], number: int) -> NDArray[np.float64]:
    if radii.size not in (1, number):
        reason = f"radius holds {radii.size} numbers, but there are {number} places"
        raise RecipeError("HC-B31", reason, "give one radius for all, or one for each place")
    return np.array(np.broadcast_to(radii, number))


def _ellipses(grid: Grid, place: NDArray[np.float64], ratio: Any, angle: Any) -> Ellipses:
    """Return the ellipses [arcsec] around a place on the sky."""
    share = number_in("", ratio, "ratio", above=0, most=1)
    turn = number_in("deg", angle, "angle")
    steps = [_axes(grid, *step, turn) for step in ((0.0, 1.0), (1.0, 0.0))]  # a column, a row
    return Ellipses(np.array(steps).T, grid.shape, _pixel(grid, place), share)


def _axes(grid: Grid, rows: Any, columns: Any, angle: float) -> tuple[Any, Any]:
    """Turn offsets in pixels into offsets [arcsec] along and across the position angle."""
    first, second = grid.matrix * 3600
    latitude_first = str(dict(grid.cards)["CTYPE1"]).strip()[1:4] in ("EC-", "LAT")
    east, north = (second, first) if latitude_first else (first, second)
    turn = np.deg2rad(angle)
    along = np.sin(turn) * east + np.cos(turn) * north
    across = np.cos(turn) * east - np.sin(turn) * north
    return along[0] * columns + along[1] * rows, across[0] * columns + across[1] * rows


def _map(cube: xr.Dataset, found: NDArray[np.int32], name: str, cut: list[int]) -> xr.DataArray:
    coords = {key: cube.coords[key] for key in ("y", "x", "wcs")}
    return xr.DataArray(found, coords, ("y", "x"), name=name, attrs={"cut": cut} if cut else {})


def _discs(cube: xr.Dataset, shapes: list[Ellipses], places: Any, radii: Any) -> xr.DataArray:
    """Return the shares of pixels that lie in ellipses."""
    found = [shape.shares(reach) for shape, reach in zip(shapes, radii, strict=True)]
    for i, (place, shares) in enumerate(zip(places, found, strict=True), start=1):
        if not shares.any():
            raise _outside(i, place)
    whole = [shape.is_whole(reach) for shape, reach in zip(shapes, radii, strict=True)]
    cut = [i for i, yes in enumerate(whole, start=1) if not yes]
    return shares_map(cube, found, cut, "apertures")


def _rings(cube: xr.Dataset, ellipses: Ellipses, limits: NDArray[np.float64]) -> xr.DataArray:
    """Return the shares of pixels that lie between ellipses."""
    discs = [ellipses.shares(edge) for edge in limits]
    found = [np.clip(outer - inner, 0, 1) for inner, outer in itertools.pairwise(discs)]
    if not np.any(found):
        raise _no_ring()
    cut = [i for i, edge in enumerate(limits[1:], start=1) if not ellipses.is_whole(edge)]
    return shares_map(cube, found, cut, "annuli")


def _outside(i: int, place: NDArray[np.float64]) -> LabelError:
    reason = f"aperture {i}, at {place[0]:.6f} {place[1]:.6f}, has no pixel in the frame"
    fix = f"check the place, (RA, Dec) in degrees, or choose a larger radius; {OF_PIXELS}"
    return LabelError("HC-S20", reason, fix)


def _no_ring() -> LabelError:
    fix = f"check the place, (RA, Dec) in degrees, or choose wider rings; {OF_PIXELS}"
    return LabelError("HC-S20", "no ring has a pixel in the frame", fix)
