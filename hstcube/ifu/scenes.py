"""What a fit is made of: the bands of a matched cube on an object, and the pixels of a map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hstcube.basics.convolution import convolver
from hstcube.core.bands import names_among
from hstcube.core.grids import Grid
from hstcube.core.mappings import pixel_mapping
from hstcube.core.offsets import noise_scale, pixel_acf
from hstcube.core.rules import require_same_grid, taken
from hstcube.errors import BandError, CubeError, GridError, LabelError, PSFError
from hstcube.forward.scene import Scene
from hstcube.ifu.maps import FLUX, FLUX_DENSITY, SMOOTHED
from hstcube.inputs.arrays import keep_of
from hstcube.inputs.units import parsed_unit
from hstcube.matching.solver import gaussian_kernel
from hstcube.phot.units import to_flux
from hstcube.psf.profiles import FWHM_OF_SIGMA
from hstcube.sky.masks import central, grown

if TYPE_CHECKING:
    from collections.abc import Callable

    import xarray as xr
    from numpy.typing import NDArray

    from hstcube.forward.psfs import Moffat, Sampled

    Array = NDArray[np.float64]
    Bool = NDArray[np.bool_]

__all__ = [
    "Bands",
    "Line",
    "bands_of",
    "correlated",
    "flux_density_at",
    "kept",
    "line_of",
    "neighbours_in",
    "scene_of",
    "total_fwhm",
]

_GROWN = 0.5  # arcsec: how far beyond its mask an object's light matters to a broad PSF
_MISSED = 0.02  # share of a map's bright pixels that a band may leave without data
_NEAR = 2.0  # FWHM of the map: farther from the object there is none of its light
_BRIGHT = 3.0  # standard deviations
_ALL = 0.9  # share of the frame: a mask of more shows no object
_SAME = 0.995  # of the cube's width: a map's PSF is not narrower than that


class Bands(NamedTuple):
    """The images of a cube in 1e-20 erg s-1 cm-2 AA-1, 0 where there is no data."""

    names: list[str]
    sci: Array
    sigma: Array
    """Of single pixels."""
    acf: Array
    valid: Bool
    psfs: list[tuple[Array, tuple[float, float]]]
    fwhm: float
    grid: Grid
    pivot: Array


class Line(NamedTuple):
    """A map in 1e-20 erg s-1 cm-2."""

    name: str
    sci: Array
    sigma: Array
    good: Bool
    acf: Array
    smoothed: float
    grid: Grid
    pivot: float
    assumed: bool


def bands_of(cube: xr.Dataset, names: Any = None, *, single: bool = False) -> Bands:
    """Return the bands of a cube, which must be matched, its sky subtracted, its flux known.

    Raises
    ------
    CubeError
        If a band is not matched, still has its sky, or no width of its PSF is known.
    """
    if names is not None:
        there = cube.band.values.tolist()
        wanted = names_among(names, there)
        if unknown := [name for name in wanted if name not in there]:
            reason = f"the cube has no such band, only {', '.join(there)}"
            raise BandError("HC-B01", reason, "choose some of these", band=unknown[0])
        cube = cube.isel(band=[there.index(name) for name in there if name in wanted])
    matched = set(cube.matched_to.values.tolist())
    if not single and cube.sizes["band"] > 1 and (len(matched) > 1 or "" in matched):
        raise CubeError(
            "HC-L08",
            "the bands are not matched to one resolution",
            "match them first: [[hstcube run FOLDER|psf_match(cube)]]",
        )
    if np.isnan(cube.sky.values).any():
        name = str(cube.band.values[np.isnan(cube.sky.values)][0])
        fix = "subtract it first: [[hstcube run FOLDER|subtract_sky(cube, measure_sky(...))]]"
        raise CubeError("HC-L08", "its sky was not subtracted", fix, band=name)
    if cube.sci.attrs["units"] != FLUX_DENSITY:
        cube = to_flux(cube, FLUX_DENSITY)
    wht = cube.wht.values.astype(np.float64)
    valid = wht > 0
    sigma = np.divide(1, np.sqrt(wht), where=valid, out=np.zeros(wht.shape))
    return Bands(
        [str(name) for name in cube.band.values],
        np.where(valid, cube.sci.values, 0).astype(np.float64),
        sigma * noise_scale(cube).values[:, None, None],
        np.asarray(pixel_acf(cube).values, dtype=np.float64),
        valid,
        _psfs(cube),
        float(np.max(cube.psf_fwhm.values)),
        Grid.of(cube),
        np.asarray(cube.pivot.values, dtype=np.float64),
    )


def _psfs(cube: xr.Dataset) -> list[tuple[Array, tuple[float, float]]]:
    """Return the PSF of each band and the size of its pixels; a Gaussian where none is shown."""
    grid = Grid.of(cube)
    if "psf" in cube.coords:
        steps = [
            float(np.diff(cube[dim].values).mean()) if dim in cube.coords else step
            for dim, step in zip(("ky", "kx"), grid.steps, strict=True)
        ]
        images = cube.psf.transpose("band", "ky", "kx").values.astype(np.float64)
        return [(image, (steps[0], steps[1])) for image in images]
    found = []
    for name, width in zip(cube.band.values, cube.psf_fwhm.values, strict=True):
        if not np.isfinite(width):
            fix = "give it: [[--psf FILE|with_psf(cube, psf)]]"
            raise PSFError("HC-L08", "neither its PSF nor its width is known", fix, band=str(name))
        sigma = width / FWHM_OF_SIGMA
        half = int(np.ceil(5 * sigma / min(grid.steps)))
        spread = (sigma / grid.steps[0], sigma / grid.steps[1])
        found.append((gaussian_kernel(spread, (half, half)), grid.steps))
    return found


def line_of(line: xr.Dataset) -> Line:
    """Return the map that a cube of one band is; ``continuum`` beside it is left out.

    Raises
    ------
    CubeError
        If there are several bands, or no pixel has data.
    """
    line = taken(line)
    names = [name for name in line.band.values.tolist() if name != "continuum"]
    names = names or line.band.values.tolist()
    if len(names) != 1:
        reason = f"the map has the bands {', '.join(names)}"
        raise CubeError("HC-L05", reason, "give one line[[|: line.sel(band=['name'])]]")
    assumed = line.attrs.get("errors") == "assumed"
    line = line.isel(band=[line.band.values.tolist().index(names[0])])
    unit = parsed_unit(line.sci.attrs["units"])
    if not unit.is_equivalent(parsed_unit(FLUX)):
        reason = f"the map is in {line.sci.attrs['units']!r}, not the flux of a line"
        raise CubeError(
            "HC-L04", reason, "say what it is in: [[--unit|unit=]] '1e-20 erg s-1 cm-2'"
        )
    factor = float(unit.to(parsed_unit(FLUX)))
    wht = line.wht.values[0].astype(np.float64)
    good = (wht > 0) & line.mask.values[0]
    if not (line.sci.values[0][good] != 0).any():
        reason = "the map is zero everywhere" if good.any() else "no pixel of the map has data"
        raise CubeError("HC-L05", reason, "give a map with data")
    sigma = np.divide(factor, np.sqrt(wht), where=good, out=np.zeros(wht.shape))
    smoothed = float(line[SMOOTHED].values[0]) if SMOOTHED in line.coords else 0.0
    return Line(
        names[0],
        np.where(good, line.sci.values[0], 0).astype(np.float64) * factor,
        sigma * float(noise_scale(line).values[0]),
        good,
        np.asarray(pixel_acf(line).values[0], dtype=np.float64),
        smoothed,
        Grid.of(line),
        float(line.pivot.values[0]),
        assumed,
    )


def kept(cube: xr.Dataset, keep: Any) -> Bool:
    """Return the pixels of a cube whose light is the object's.

    When nothing is said: the cube's mask, grown by 0.5 arcsec, without the pixels that its labels
    give to others.

    Raises
    ------
    LabelError
        If no pixel is left, or `keep` is no map on the cube's pixels.
    """
    if keep is None:
        pixels = round(_GROWN / Grid.of(cube).scale)
        chosen = grown(cube.mask.values.any(0), pixels) & ~_others(cube)
    else:
        found, _ = keep_of("keep", keep)
        if "band" in getattr(found, "dims", ()):
            found = found.any("band")
        if hasattr(found, "dims"):
            require_same_grid(cube, found)
            found = found.transpose("y", "x")
        chosen = np.asarray(found)
    shape = (cube.sizes["y"], cube.sizes["x"])
    if chosen.shape != shape:
        reason = f"keep has the shape {chosen.shape}, the cube {shape}"
        raise LabelError("HC-L17", reason, "give a map on the pixels of the cube")
    if not chosen.any():
        fix = "give the pixels of the object: [[mask the cube|keep=]]"
        raise LabelError("HC-L17", "no pixel is kept", fix)
    return chosen


def neighbours_in(cube: xr.Dataset, keep: Bool) -> int:
    """Return how many of the pixels that are kept the labels of a cube give to others."""
    return int(np.sum(keep & _others(cube)))


def _others(cube: xr.Dataset) -> Bool:
    """Return the pixels that the labels of a cube give to others than what its mask shows."""
    shape = (cube.sizes["y"], cube.sizes["x"])
    if "labels" not in cube.variables:
        return np.zeros(shape, bool)
    labels = cube["labels"].transpose("y", "x").values
    own = cube.mask.values.any(0)
    if own.mean() > _ALL:  # not masked yet
        mine = [central(labels)]
    else:  # a grown mask meets others at its rim
        ids, number = np.unique(labels[labels > 0], return_counts=True)
        mine = [one for one, n in zip(ids, number, strict=True) if own[labels == one].sum() > n / 2]
    return np.asarray((labels > 0) & ~np.isin(labels, mine))


def scene_of(
    bands: Bands, keep: Bool, line: Line, psf: Moffat | Sampled, *, whole: bool = True
) -> tuple[Scene, Bool]:
    """Return the bands as the map can see them, and which of its pixels are used.

    What is bright of the map must lie on the bands, unless it need not be `whole`: what lies within
    a width of the PSF from the edge of the images is then left out too.

    Raises
    ------
    GridError
        If the map and the cube do not overlap.
    CubeError
        If a band has no data under a part of the map.
    PSFError
        If the map is sharper than the cube.
    """
    if total_fwhm(psf, line.smoothed) < _SAME * bands.fwhm:
        reason = (
            f"the map's PSF, {total_fwhm(psf, line.smoothed):.3g} arcsec, is narrower than the "
            f"cube's, {bands.fwhm:.3g} arcsec"
        )
        raise PSFError(
            "HC-L10", reason, "match the cube to a sharper band, or leave broad ones out"
        )
    used = _covered(bands, line, 0.0 if whole else psf.fwhm, whole=whole)
    used &= _near(keep, bands.grid, line.grid, _NEAR * total_fwhm(psf, line.smoothed))
    if not used.any():
        reason = "no pixel of the map with data lies near the object's"
        raise GridError("HC-W15", reason, "give images and a map of one object")
    images = bands.sci * keep
    scene = Scene(
        images, bands.psfs, bands.grid, line.grid, used, smoothed=line.smoothed, reach=psf.fwhm
    )
    return scene, used


def _near(keep: Bool, grid: Grid, seen: Grid, away: float) -> Bool:
    """Return the pixels of a map around the rows and columns that are kept; the others see none."""
    y, x = pixel_mapping(seen, grid)(*np.ogrid[: seen.shape[0], : seen.shape[1]])
    near = np.ones(seen.shape, bool)
    for place, step, axis in ((y, grid.steps[0], 1), (x, grid.steps[1], 0)):
        kept_there = np.flatnonzero(keep.any(axis))
        near &= place > kept_there[0] - away / step
        near &= place < kept_there[-1] + away / step
    return near


def _covered(bands: Bands, line: Line, rim: float, *, whole: bool) -> Bool:
    """Return the pixels of the map that all bands have data under."""
    rows, columns = np.nonzero(line.good)
    y, x = pixel_mapping(line.grid, bands.grid)(rows, columns)
    iy, ix = np.rint(y).astype(int), np.rint(x).astype(int)
    ny, nx = bands.grid.shape
    ry, rx = (rim / step for step in bands.grid.steps)
    inside = (iy >= ry) & (iy < ny - ry) & (ix >= rx) & (ix < nx - rx)
    if not inside.any():
        reason = "the map and the cube do not overlap on the sky"
        raise GridError("HC-W15", reason, "give images and a map of one object")
    there = bands.valid[:, np.clip(iy, 0, ny - 1), np.clip(ix, 0, nx - 1)] & inside
    bright = line.sci[line.good] > _BRIGHT * line.sigma[line.good]
    missed = 1 - there[:, bright].mean(1) if bright.any() else np.zeros(len(there))
    if whole and missed.max() > _MISSED:
        name = bands.names[int(missed.argmax())]
        reason = f"has no data under {missed.max():.0%} of the pixels where the map is bright"
        fix = "cut a larger stamp, or leave the band out: [[--bands|bands=]]"
        raise CubeError("HC-L12", reason, fix, band=name)
    used = line.good.copy()
    used[rows, columns] = there.all(0)
    return used


def total_fwhm(psf: Moffat | Sampled, smoothed: float) -> float:
    """Return the FWHM of a map's PSF with its smoothing, added in quadrature [arcsec]."""
    return float(np.hypot(psf.fwhm, smoothed))


def flux_density_at(wavelength: float, pivot: Array, flux: Array) -> float:
    """Return the flux density at a wavelength, a straight line between those of the bands.

    The nearest band's where the wavelength is beyond all of them.
    """
    order = np.argsort(pivot)
    return float(np.interp(wavelength, pivot[order], flux[order]))


def correlated(line: Line, used: Bool) -> Callable[[Array], Array]:
    """Return what multiplies rows of the map's pixels with the covariance of its noise."""
    sigma = line.sigma[used]
    if line.acf.size == 1:
        return lambda rows: rows * sigma**2
    spread = convolver(line.acf, used.shape)

    def multiplied(rows: Array) -> Array:
        out = np.empty(rows.shape)
        for one, row in zip(out, rows, strict=True):
            image = np.zeros(used.shape)
            image[used] = row * sigma
            one[...] = spread(image)[used] * sigma
        return out

    return multiplied
