"""Stars in a cube: where they are, and stamps of them."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from hstcube.core.bands import name_among
from hstcube.core.grids import Grid
from hstcube.core.rules import taken
from hstcube.errors import BandError, PSFError, RecipeError
from hstcube.inputs.places import sky_positions
from hstcube.inputs.quantities import number_in, numbers_in, short, whole_number
from hstcube.psf.profiles import encircled_energy, odd

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

    Image64 = NDArray[np.float64]

__all__ = ["find_stars", "star_stamps"]

STAMP = 4.2  # arcsec, side of a stamp: that of a PSF image, and a rim

_NARROW, _WIDE = 0.15, 0.6  # arcsec: radii whose light tells stars from galaxies
_COMPACT = 0.85  # light within the narrow over that within the wide one, over that of a star
_AS_BRIGHT = 0.2  # a neighbour with that share of a star's light disturbs it
_SIGNIFICANT = 50.0  # sigma of a peak
_WIDTH = 0.18  # arcsec, FWHM where it is not known


def find_stars(
    cube: xr.Dataset, *, band: str = "f160w", brightest: int = 20, isolation: Any = 1.0
) -> Image64:
    """Find what looks like a star in one band of a cube; `examine_stars` judges it in all bands.

    Local maxima (photutils' DAOFIND, Stetson 1987, PASP 99, 191) whose light is as compact as that
    of the most compact bright sources, to 15 %, and without a brighter neighbour.

    Parameters
    ----------
    cube : Dataset
    band : str
    brightest : int
        So many at most.
    isolation : float or Quantity
        Nothing as bright may lie nearer [arcsec].

    Returns
    -------
    array, (n, 2)
        (y, x) in pixels, the brightest first.

    Raises
    ------
    BandError
        If there is no such band.
    PSFError
        If there is none.
    RecipeError
        If a number cannot be.

    Examples
    --------
    >>> import hstcube
    >>> hstcube.find_stars(hstcube.example(), band="f160w").round().tolist()  # rows and columns
    [[34.0, 86.0]]
    """
    cube = taken(cube)
    scale = Grid.of(cube).scale
    brightest = whole_number(brightest, "brightest")
    isolation = number_in("arcsec", isolation, "isolation", pixel=scale, above=0)
    there = cube.band.values.tolist()
    if (name := name_among(str(band), there)) not in there:
        fix = f"choose from {', '.join(map(str, there))}"
        raise BandError("HC-B01", f"there is no band {name}", fix, band=name)
    band, plane = name, cube.isel(band=there.index(name))
    image = np.nan_to_num(plane.sci.values.astype(float))
    places = _maxima(plane, image, scale, isolation)
    if places is None:
        raise PSFError(
            "HC-P10", "nothing bright enough was found", "give the places of stars", band=band
        )
    near = np.array([_light(image, place, _NARROW / scale) for place in places])
    far = np.array([_light(image, place, _WIDE / scale) for place in places])
    ratio = np.divide(near, far, out=np.zeros_like(near), where=far > 0)
    compact = (ratio > _COMPACT * np.quantile(ratio, 0.95)) & (far > 0)
    alone = _without_neighbours(places, far, isolation / scale)
    order = np.argsort(-far)
    kept = order[(compact & alone)[order]]
    if not kept.size:
        raise PSFError(
            "HC-P10", "no compact source without a neighbour", "give the places of stars", band=band
        )
    return np.asarray(places[kept[:brightest]])


def _maxima(plane: xr.Dataset, image: Image64, scale: float, isolation: float) -> Image64 | None:
    """Return the places (y, x) of bright local maxima; None if there is none."""
    from photutils.detection import DAOStarFinder
    from photutils.utils.exceptions import NoDetectionsWarning

    weight = plane.wht.values
    seen = weight[weight > 0]
    noise = 1 / math.sqrt(float(np.median(seen))) if seen.size else 1.0
    width = float(plane.psf_fwhm) if np.isfinite(plane.psf_fwhm) else _WIDTH
    finder = DAOStarFinder(
        _SIGNIFICANT * noise, width / scale, min_separation=isolation / scale / 2
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NoDetectionsWarning)  # an error of ours follows
        found = finder(image)
    if found is None:
        return None
    new = "y_centroid" in found.colnames  # photutils 3
    names = ("y_centroid", "x_centroid") if new else ("ycentroid", "xcentroid")
    return np.column_stack([np.asarray(found[name]) for name in names])


def _without_neighbours(places: Image64, light: Image64, reach: float) -> NDArray[np.bool_]:
    """Return which sources have no other within `reach` pixels that is nearly as bright."""
    alone = np.ones(len(places), bool)
    for i, place in enumerate(places):
        apart = np.hypot(*(places - place).T)
        disturbing = (apart < reach) & (light >= _AS_BRIGHT * light[i])
        disturbing[i] = False
        alone[i] = not disturbing.any()
    return alone


def _light(image: Image64, place: Image64, radius: float) -> float:
    """Return the sum within a circle around (y, x)."""
    half = math.ceil(radius) + 1
    row, column = round(float(place[0])), round(float(place[1]))
    top, left = max(row - half, 0), max(column - half, 0)
    cut = image[top : row + half + 1, left : column + half + 1]
    if not cut.size:
        return 0.0
    return float(encircled_energy(cut, [radius], (place[0] - top, place[1] - left))[0])


def star_stamps(cube: xr.Dataset, positions: Any, *, size: Any = STAMP) -> dict[str, xr.Dataset]:
    """Cut stars out of a cube.

    Parameters
    ----------
    cube : Dataset
    positions : array, (n, 2), or SkyCoord
        (y, x) in pixels of the cube (0-based, of its own rows and columns), or places on the sky.
    size : float or Quantity
        Side of the stamps [arcsec].

    Returns
    -------
    dict of name to Dataset
        Names are "1", "2", ...; stars nearer than half a stamp to the frame are left out.

    Raises
    ------
    RecipeError
        If the positions are neither places nor pixels, or the size cannot be.

    Examples
    --------
    >>> import hstcube
    >>> cube = hstcube.example()
    >>> stamps = hstcube.star_stamps(cube, hstcube.find_stars(cube, band="f160w"), size=1.0)
    >>> [(name, stamp.sizes["x"]) for name, stamp in stamps.items()]
    [('1', 17)]
    """
    cube = taken(cube)
    grid = Grid.of(cube)
    half = odd(number_in("arcsec", size, "size", pixel=grid.scale, above=0) / grid.scale) // 2
    stamps = {}
    for number, (y, x) in enumerate(_pixels(grid, positions), 1):
        row, column = round(float(y)), round(float(x))
        rows = slice(row - half, row + half + 1)
        columns = slice(column - half, column + half + 1)
        inside = half <= row < grid.shape[0] - half and half <= column < grid.shape[1] - half
        if inside:
            stamps[str(number)] = cube.isel(y=rows, x=columns)
    return stamps


def _pixels(grid: Grid, positions: Any) -> Image64:
    """Return positions as (y, x) in pixels, (n, 2)."""
    on_sky = hasattr(positions, "transform_to") or hasattr(positions, "colnames")
    if on_sky:
        from astropy.coordinates import SkyCoord

        ra, dec = sky_positions(positions, code="HC-B31", error=RecipeError).T
        x, y = grid.wcs.world_to_pixel(SkyCoord(ra, dec, unit="deg", frame="icrs"))
        return np.column_stack([np.atleast_1d(y), np.atleast_1d(x)])
    if isinstance(positions, list | tuple | np.ndarray) and np.size(positions) == 0:
        return np.zeros((0, 2))
    places = np.atleast_2d(numbers_in("pix", positions, "positions"))
    if places.ndim != 2 or places.shape[1] != 2:  # noqa: PLR2004
        fix = "give (y, x) in pixels, e.g. [(50, 45)], or a SkyCoord"
        raise RecipeError("HC-B31", f"positions are {short(positions)}", fix)
    return places
