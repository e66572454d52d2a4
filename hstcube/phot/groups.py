"""Groups of pixels: integer maps (y, x) of apertures and annuli, profiles over them, and their values on the pixels.

In a group map a positive number is the name of a group; 0 and negative numbers are no group. A
pixel belongs to a group when its centre lies in it: whole pixels are what errors of correlated
noise are known for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xarray as xr

from hstcube.core.bands import band_name
from hstcube.core.grids import Grid
from hstcube.core.rules import require_same_grid, validate
from hstcube.errors import BandError, LabelError, NoiseError, RecipeError
from hstcube.noise.groups import group_errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = [
    "annuli",
    "apertures",
    "checked_groups",
    "common_mask",
    "curve_of_growth",
    "group_ids",
    "group_sums",
    "of_bands",
    "paint",
    "radial_profile",
]

Pixels = Literal["mask", "data"]


def apertures(
    cube: xr.Dataset,
    centres: Any,
    *,
    radius: Any,
    ratio: float = 1.0,
    angle: float = 0.0,
    overlap: Literal["error", "nearest"] = "error",
) -> xr.DataArray:
    """Return circular or elliptical apertures as a group map.

    Parameters
    ----------
    cube : Dataset
    centres : SkyCoord, or array (n, 2) of RA and Dec [deg]
        One place, or several.
    radius : float, or one for each centre
        Semi-major axis [arcsec].
    ratio : float
        Minor over major axis.
    angle : float
        Position angle of the major axis, degrees from north through east.
    overlap : {"error", "nearest"}
        A pixel is in one group only: where apertures overlap, stop, or give it to the nearest
        centre in units of its radius.

    Returns
    -------
    DataArray of int32, (y, x)
        1, 2, ... in the order of `centres`; ``attrs["cut"]`` names those that reach beyond the
        frame.

    Raises
    ------
    LabelError
        If an aperture has no pixel in the frame, or two overlap.
    RecipeError
        If a radius or the ratio is not positive, or centres are not understood.
    """
    places = _places(centres)
    radii = _positive("radius", np.broadcast_to(np.asarray(radius, dtype=float), (len(places),)))
    grid = Grid.of(cube)
    nearest = np.full(grid.shape, np.inf)
    found = np.zeros(grid.shape, np.int32)
    cut = []
    for i, (place, reach) in enumerate(zip(places, radii, strict=True), start=1):
        centre = _pixel(grid, place)
        window, whole = _window(grid, centre, reach, ratio, angle)
        distance = _distance(grid, centre, window, ratio=ratio, angle=angle) / reach
        inside = distance <= 1
        if not inside.any():
            reason = f"aperture {i}, at {place[0]:.6f} {place[1]:.6f}, has no pixel in the frame"
            raise LabelError("HC-S20", reason, "check the place, or choose a larger radius")
        if (taken := found[window][inside & (found[window] > 0)]).size and overlap != "nearest":
            reason = f"apertures {taken[0]} and {i} overlap, but a pixel is in one group only"
            raise LabelError(
                "HC-S21", reason, "measure them one by one, or choose overlap='nearest'"
            )
        closer = inside & (distance < nearest[window])
        found[window][closer], nearest[window][closer] = i, distance[closer]
        cut += [] if whole else [i]
    return _map(cube, found, "apertures", cut)


def annuli(
    cube: xr.Dataset, centre: Any, *, edges: Sequence[float], ratio: float = 1.0, angle: float = 0.0
) -> xr.DataArray:
    """Return concentric rings as a group map.

    Parameters
    ----------
    cube : Dataset
    centre : SkyCoord, or (RA, Dec) [deg]
    edges : sequence of float
        Semi-major axes [arcsec], increasing; ring i lies between edge i - 1 and edge i. The first
        may be 0.
    ratio, angle : float
        As in `apertures`.

    Returns
    -------
    DataArray of int32, (y, x)
        1, 2, ... from the inside; ``attrs["cut"]`` names those that reach beyond the frame. A ring
        thinner than a pixel may have none.

    Raises
    ------
    LabelError
        If no ring has a pixel in the frame.
    RecipeError
        If the edges do not increase.
    """
    limits = np.asarray(edges, dtype=float)
    if limits.ndim != 1 or limits.size < 2 or not (np.diff(limits) > 0).all() or limits[0] < 0:  # noqa: PLR2004
        raise RecipeError(
            "HC-B31",
            f"edges are {edges!r}",
            "give increasing radii in arcsec, e.g. edges=[0, 0.2, 0.4]",
        )
    grid = Grid.of(cube)
    middle = _pixel(grid, _places(centre)[0])
    everything = (slice(0, grid.shape[0]), slice(0, grid.shape[1]))
    distance = _distance(grid, middle, everything, ratio=ratio, angle=angle)
    found = np.searchsorted(limits, distance, side="left").astype(np.int32)
    found[distance == limits[0]] = 1
    found[found == limits.size] = 0
    if not found.any():
        raise LabelError(
            "HC-S20", "no ring has a pixel in the frame", "check the place, or choose wider rings"
        )
    cut = [
        i
        for i, edge in enumerate(limits[1:], start=1)
        if not _window(grid, middle, edge, ratio, angle)[1]
    ]
    return _map(cube, found, "annuli", cut)


def radial_profile(
    cube: xr.Dataset, centre: Any, *, edges: Sequence[float], ratio: float = 1.0, angle: float = 0.0,
    pixels: Pixels = "data",
) -> xr.Dataset:  # fmt: skip
    """Measure the surface brightness in rings.

    Parameters
    ----------
    cube : Dataset
    centre, edges, ratio, angle
        As in `annuli`.
    pixels : {"data", "mask"}
        All pixels that have data, or those of the cube's mask.

    Returns
    -------
    Dataset
        ``brightness`` and ``error`` (band, radius) [units of sci per arcsec2], ``npix`` (band,
        radius); ``radius`` [arcsec] is the middle of the ring. NaN where a ring has no pixel.
        Errors are those of `group_errors`.
    """
    groups = annuli(cube, centre, edges=edges, ratio=ratio, angle=angle)
    limits = np.asarray(edges, dtype=float)
    number = limits.size - 1
    total, error, npix = _measured(cube, groups, range(1, number + 1), pixels)
    area = npix * Grid.of(cube).scale ** 2
    per_area = np.divide(1.0, area, where=npix > 0, out=np.full(area.shape, np.nan))
    units = {"units": f"{cube.sci.attrs['units']} arcsec-2"}
    return xr.Dataset(
        {
            "brightness": (("band", "radius"), total * per_area, units),
            "error": (("band", "radius"), error * per_area, units),
            "npix": (("band", "radius"), npix),
        },
        {
            "band": cube.band,
            "radius": ("radius", (limits[1:] + limits[:-1]) / 2, {"units": "arcsec"}),
        },
    )


def curve_of_growth(
    cube: xr.Dataset, centre: Any, *, radii: Sequence[float], ratio: float = 1.0, angle: float = 0.0,
    pixels: Pixels = "data",
) -> xr.Dataset:  # fmt: skip
    """Measure the flux within growing apertures.

    Parameters
    ----------
    cube : Dataset
    centre : SkyCoord, or (RA, Dec) [deg]
    radii : sequence of float
        Semi-major axes [arcsec].
    ratio, angle : float
        As in `apertures`.
    pixels : {"data", "mask"}
        All pixels that have data, or those of the cube's mask.

    Returns
    -------
    Dataset
        ``flux`` and ``error`` (band, radius) [units of sci], ``npix`` (band, radius). Errors are
        those of `group_errors`; those of growing apertures are not independent.
    """
    rows = [
        _measured(
            cube, apertures(cube, centre, radius=radius, ratio=ratio, angle=angle), [1], pixels
        )
        for radius in radii
    ]
    flux, error, npix = (np.concatenate(column, axis=1) for column in zip(*rows, strict=True))
    units = {"units": cube.sci.attrs["units"]}
    return xr.Dataset(
        {
            "flux": (("band", "radius"), flux, units),
            "error": (("band", "radius"), error, units),
            "npix": (("band", "radius"), npix),
        },
        {
            "band": cube.band,
            "radius": ("radius", np.asarray(radii, dtype=float), {"units": "arcsec"}),
        },
    )


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
    """
    common: xr.DataArray = (
        of_bands(cube, bands).mask.all("band").rename("mask").drop_attrs(deep=False)
    )
    return common


def of_bands(cube: xr.Dataset, bands: Sequence[str] | str | None) -> xr.Dataset:
    """Return the cube with these bands only."""
    validate(cube, data=False)
    if bands is None:
        return cube
    names = [band_name(name) for name in ([bands] if isinstance(bands, str) else bands)]
    there = cube.band.values.tolist()
    if missing := [name for name in names if name not in there]:
        raise BandError(
            "HC-B01",
            f"there is no band {missing[0]}",
            f"choose from {', '.join(there)}",
            band=missing[0],
        )
    if not names:
        raise BandError("HC-B01", "no band is named", f"choose from {', '.join(there)}")
    return cube.isel(band=[there.index(name) for name in names])


def paint(cube: xr.Dataset, groups: Any, values: Any) -> xr.DataArray:
    """Put one value for each group back on the pixels.

    Parameters
    ----------
    cube : Dataset
    groups : DataArray or array of int, (y, x)
    values : array, Quantity, table column or mapping
        One value for each group, in the order of their numbers (that of the rows of `photometry`);
        or a mapping from number to value.

    Returns
    -------
    DataArray of float64, (y, x)
        NaN where there is no group; ``attrs["units"]`` are those of a Quantity.

    Raises
    ------
    LabelError
        If there is not one value for each group.
    """
    labels = checked_groups(cube, groups)
    ids = group_ids(labels)
    if isinstance(values, Mapping):
        lacking = [number for number in ids.tolist() if number not in values]
        column = np.array(
            [np.nan if number in lacking else values[number] for number in ids.tolist()],
            dtype=float,
        )
    else:
        column = np.ma.filled(np.ma.asarray(getattr(values, "value", values), dtype=float), np.nan)
        lacking = [] if column.shape == ids.shape else ids.tolist()
    if lacking:
        reason = f"there are {ids.size} groups, but {np.size(column) - len(lacking) * isinstance(values, Mapping)} values"
        raise LabelError(
            "HC-S23", reason, "give one value for each group, in the order of their numbers"
        )
    painted = np.full(labels.shape, np.nan)
    inside = labels > 0
    painted[inside] = column[np.searchsorted(ids, labels[inside])]
    attrs = {"units": str(values.unit)} if getattr(values, "unit", None) is not None else {}
    coords = {name: cube.coords[name] for name in ("y", "x", "wcs")}
    return xr.DataArray(
        painted, coords, ("y", "x"), name=getattr(values, "name", None), attrs=attrs
    )


def checked_groups(cube: xr.Dataset, groups: Any) -> NDArray[np.int64]:
    """Return a group map as a plain array.

    Raises
    ------
    GridError
        If it lies on other pixels.
    NoiseError
        If it is not a (y, x) map of integers, or holds no group.
    """
    require_same_grid(cube, groups)
    if isinstance(groups, xr.DataArray) and set(groups.dims) == {"y", "x"}:
        groups = groups.transpose("y", "x")
    values = np.asarray(groups)
    if values.ndim != 2 or values.dtype.kind not in "iub":  # noqa: PLR2004
        reason = f"the map of groups holds {values.dtype} of shape {values.shape}, not one integer for each pixel (y, x)"
        raise NoiseError(
            "HC-N01", reason, "convert it: groups.astype('int32'); 0 is for pixels of no group"
        )
    values = values.astype(np.int64)
    if not (values > 0).any():
        reason = "the map has no group: no value above 0"
        raise NoiseError("HC-N02", reason, "number the groups from 1; 0 is for pixels of none")
    return values


def group_ids(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the numbers of the groups of a map, increasing."""
    return np.unique(labels[labels > 0])


def group_sums(
    labels: NDArray[np.int64], ids: NDArray[np.int64], image: Any
) -> NDArray[np.float64]:
    """Return the sum of an image over each group, in float64; pixels that are not finite count as 0."""
    inside = labels > 0
    place = np.searchsorted(ids, labels[inside])
    weights = np.nan_to_num(
        np.asarray(image[inside], dtype=np.float64), nan=0.0, posinf=0.0, neginf=0.0
    )
    return np.asarray(np.bincount(place, weights, minlength=ids.size), dtype=float)


def _measured(
    cube: xr.Dataset, groups: xr.DataArray, ids: Any, pixels: Pixels
) -> tuple[Any, Any, Any]:
    """Return sums, their errors and numbers of pixels, (band, id); NaN and 0 for a group without pixels."""
    labels = groups.values
    wanted = np.asarray(list(ids))
    shape = (cube.sizes["band"], wanted.size)
    total, error, npix = np.full(shape, np.nan), np.full(shape, np.nan), np.zeros(shape, np.int64)
    for i in range(shape[0]):
        one = cube.isel(band=[i])
        use = (one.mask if pixels == "mask" else one.wht > 0).values[0]
        had = np.where(use & (labels > 0), labels, 0)
        there = np.unique(had[had > 0])
        if not there.size:
            continue
        place = np.searchsorted(wanted, there)
        total[i, place] = group_sums(had, there, one.sci.values[0])
        error[i, place] = group_errors(one, had).values[0]
        npix[i] = np.bincount(np.searchsorted(wanted, had[had > 0]), minlength=wanted.size)
    return total, error, npix


def _places(centres: Any) -> NDArray[np.float64]:
    """Return RA and Dec [deg], (n, 2), ICRS."""
    if hasattr(centres, "icrs"):
        sky = centres.icrs
        return np.stack([np.atleast_1d(sky.ra.deg), np.atleast_1d(sky.dec.deg)], axis=1)
    try:
        places = np.atleast_2d(np.asarray(centres, dtype=float))
    except (TypeError, ValueError):
        places = np.empty(0)
    if places.ndim != 2 or places.shape[1] != 2 or not np.isfinite(places).all():  # noqa: PLR2004
        reason = f"places are {str(centres)[:60]!r}, not pairs of RA and Dec"
        raise RecipeError("HC-B31", reason, "give degrees, e.g. [(53.16, -27.78)], or a SkyCoord")
    return places


def _positive(what: str, values: NDArray[np.float64]) -> NDArray[np.float64]:
    if not ((values > 0) & np.isfinite(values)).all():
        raise RecipeError(
            "HC-B31", f"{what} is {values.tolist()}", f"give {what} as a positive number, in arcsec"
        )
    return values


def _pixel(grid: Grid, place: NDArray[np.float64]) -> tuple[float, float]:
    """Return the pixel coordinates (y, x) of a place."""
    from astropy.coordinates import SkyCoord

    x, y = grid.wcs.world_to_pixel(SkyCoord(*place, unit="deg", frame="icrs"))
    return float(y), float(x)


def _distance(
    grid: Grid,
    centre: tuple[float, float],
    window: tuple[slice, slice],
    *,
    ratio: float,
    angle: float,
) -> NDArray[np.float64]:
    """Return the semi-major axis [arcsec] of the ellipse around `centre` that the centre of each pixel lies on."""
    rows, columns = (
        np.arange(part.start, part.stop) - c for part, c in zip(window, centre, strict=True)
    )
    major, minor = _axes(grid, rows[:, None], columns[None, :], angle)
    return np.asarray(np.hypot(major, minor / _positive("ratio", np.asarray([ratio]))[0]))


def _axes(grid: Grid, rows: Any, columns: Any, angle: float) -> tuple[Any, Any]:
    """Turn offsets in pixels into offsets [arcsec] along and across the position angle."""
    first, second = grid.matrix * 3600
    east, north = (
        (second, first)
        if str(dict(grid.cards)["CTYPE1"]).strip()[1:4] in ("EC-", "LAT")
        else (first, second)
    )
    turn = np.deg2rad(angle)
    along = np.sin(turn) * east + np.cos(turn) * north
    across = np.cos(turn) * east - np.sin(turn) * north
    return along[0] * columns + along[1] * rows, across[0] * columns + across[1] * rows


def _window(
    grid: Grid, centre: tuple[float, float], reach: float, ratio: float, angle: float
) -> tuple[tuple[slice, slice], bool]:
    """Return the part of the frame that an ellipse reaches, and whether all of it lies within the frame."""
    turn = np.linspace(0, 2 * np.pi, 721)
    basis = np.array(
        [[_axes(grid, 0.0, 1.0, angle)[k], _axes(grid, 1.0, 0.0, angle)[k]] for k in (0, 1)]
    )
    x, y = np.linalg.solve(basis, np.stack([reach * np.cos(turn), reach * ratio * np.sin(turn)]))
    limits = [(c + axis.min(), c + axis.max()) for c, axis in zip(centre, (y, x), strict=True)]
    whole = all(
        low > -1 and high < size for (low, high), size in zip(limits, grid.shape, strict=True)
    )
    first = [
        (int(np.clip(low - 1, 0, n)), int(np.clip(high + 3, 0, n)))
        for (low, high), n in zip(limits, grid.shape, strict=True)
    ]
    return (slice(*first[0]), slice(*first[1])), whole


def _map(cube: xr.Dataset, found: NDArray[np.int32], name: str, cut: list[int]) -> xr.DataArray:
    coords = {key: cube.coords[key] for key in ("y", "x", "wcs")}
    return xr.DataArray(found, coords, ("y", "x"), name=name, attrs={"cut": cut} if cut else {})
