"""One star in one band: cut out, centred by a fit of its core, and cleaned."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hstcube.psf.profiles import (
    CORE,
    CoreFit,
    core_centre,
    core_fit,
    fwhm,
    integrated_gaussian,
    odd,
    placed,
    radius_map,
    shifted,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import xarray as xr
    from numpy.typing import NDArray

    Image64 = NDArray[np.float64]
    Mask = NDArray[np.bool_]

__all__ = [
    "FLATTENED",
    "CleanStar",
    "Stamp",
    "Star",
    "cleaned",
]

FLATTENED = 1.17  # core width over that of the narrowest star: saturated, or broadened otherwise

_RING = 0.85  # of half a stamp: the background is measured beyond
_INNER_RING = (0.5, 0.7)  # ... and what is left of the wings there, by comparison with this one
_POINT = 0.25  # a neighbour is a point source when less of its light is left by a PSF
_OF_MEDIAN = 1.25  # its error over that of a mean
_OPPOSITE = np.ones((3, 3))  # neighbours are at least that large, and touch at corners too


@dataclass(frozen=True, eq=False)
class Stamp:
    """A star in one band as it was cut out; lengths in pixels."""

    raw: Image64  # 0 where there is no data
    weight: Image64
    scale: float  # arcsec, of one pixel
    noise: float  # sigma of one pixel
    centre: tuple[float, float]  # (y, x)
    sharpness: float  # FWHM


@dataclass(frozen=True, eq=False)
class Star(Stamp):
    """A stamp whose star's core is fitted, and centred by that."""

    core: float  # radius within which it was fitted
    fit: CoreFit
    misfit: float  # rms of what the fit leaves, noise taken off, over the peak

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.raw.shape[0], self.raw.shape[1]

    @property
    def distance(self) -> Image64:
        """Of every pixel from the star."""
        return radius_map(self.shape, self.centre)

    @property
    def outermost(self) -> Mask:
        """The ring that tells the background."""
        return np.asarray((self.distance > _RING * min(self.shape) / 2) & (self.weight > 0))

    @property
    def background(self) -> float:
        """The median of that ring, neighbours included."""
        return float(np.median(self.raw[self.outermost])) if self.outermost.any() else 0.0

    def opposite(self) -> Image64:
        """Return the stamp turned by 180 degrees about the star; NaN beyond the frame."""
        from scipy import ndimage

        rows, columns = np.indices(self.shape)
        places = [2 * self.centre[0] - rows, 2 * self.centre[1] - columns]
        return np.asarray(
            ndimage.map_coordinates(self.raw, places, order=3, mode="constant", cval=math.nan)
        )

    def excess(self) -> Mask:
        """Return pixels that are twice as bright as those across the star."""
        from scipy import ndimage

        smooth = ndimage.gaussian_filter(self.raw, 1.0)
        across = self.opposite()
        across = np.where(np.isfinite(across), across, smooth.max())
        across = ndimage.gaussian_filter(across, 1.0)
        brighter = (smooth - across > 3 * self.noise) & (smooth > 2 * across)
        return np.asarray(
            ndimage.binary_opening(brighter & (self.distance > 2 * self.core), _OPPOSITE)
        )


@dataclass(frozen=True, eq=False)
class CleanStar:
    """A star without its background and its neighbours."""

    star: Star
    image: Image64
    neighbours: int  # so many were taken out
    level_error: float  # of the background, over the noise of a pixel

    def centred(self, side: int) -> Image64:
        """Return (side, side) pixels with the star in the middle."""
        return shifted(self.image, self.star.centre, side)


class Neighbours(NamedTuple):
    """What is near a star, in all its bands."""

    places: list[tuple[float, float]]  # (y, x) relative to the star
    pixels: Mask


def cleaned(
    cubes: Mapping[str, xr.Dataset], bands: Sequence[str], scale: float
) -> dict[tuple[str, str], CleanStar]:
    """Fit the cores, take neighbours out, and subtract the background in every band.

    Parameters
    ----------
    cubes : mapping of name to Dataset
        One a star.
    bands : sequence of str
    scale : float
        Size of a pixel [arcsec].

    Returns
    -------
    dict of (name, band) to CleanStar
    """
    stars = _with_cores(cubes, bands, scale)
    around = {name: _neighbours([stars[name, band] for band in bands]) for name in cubes}
    clean = {}
    for band in bands:
        for name, star in _alone({name: stars[name, band] for name in cubes}, around).items():
            clean[name, band] = star
    return clean


def _with_cores(
    cubes: Mapping[str, xr.Dataset], bands: Sequence[str], scale: float
) -> dict[tuple[str, str], Star]:
    """Cut all stars out and fit their cores, in one band as far out as the sharpest one's."""
    stars = {}
    for band in bands:
        stamps = {name: _cut_out(cube, band, scale) for name, cube in cubes.items()}
        sharpest = min(stamp.sharpness for stamp in stamps.values())
        for name, stamp in stamps.items():
            stars[name, band] = _with_core(stamp, CORE * sharpest)
    return stars


def _cut_out(cube: xr.Dataset, band: str, scale: float) -> Stamp:
    """Return one band of a star's cube, and where its light peaks."""
    plane = cube.sel(band=band)
    weight = plane.wht.values.astype(np.float64)
    raw = np.where(weight > 0, plane.sci.values.astype(np.float64), 0.0)
    seen = weight[weight > 0]
    noise = 1 / math.sqrt(float(np.median(seen))) if seen.size else math.inf
    centre = core_centre(raw, 0.1 / scale)
    return Stamp(raw, weight, scale, noise, centre, fwhm(shifted(raw, centre, odd(1.0 / scale))))


def _with_core(stamp: Stamp, radius: float) -> Star:
    """Fit the core within `radius` pixels, and measure what the fit leaves."""
    fit = core_fit(stamp.raw, radius, stamp.centre)
    shape = integrated_gaussian(np.indices(stamp.raw.shape), fit.y, fit.x, fit.sigma)
    model = fit.flux * shape + fit.constant
    centre = (fit.y, fit.x)
    inside = radius_map((stamp.raw.shape[0], stamp.raw.shape[1]), centre) <= radius
    unexplained = max(float(np.mean((stamp.raw - model)[inside] ** 2)) - stamp.noise**2, 0.0)
    misfit = math.sqrt(unexplained) / float(stamp.raw[inside].max(initial=1e-30))
    return Star(**{**vars(stamp), "centre": centre}, core=radius, fit=fit, misfit=misfit)


def _neighbours(stars: list[Star]) -> Neighbours:
    """Return the neighbours of one star: what exceeds its opposite in two bands.

    Bands of one star are offset by their own centres, as stamps of different cameras may be.
    """
    from scipy import ndimage

    first, needed = stars[0], min(len(stars), 2)
    votes = np.zeros(first.shape)
    light = np.zeros(first.shape)
    for star in stars:
        shift = (first.centre[0] - star.centre[0], first.centre[1] - star.centre[1])
        wide = ndimage.binary_dilation(star.excess()).astype(float)
        votes += ndimage.shift(wide, shift, order=0)
        light += np.clip(star.raw, 0, None) / star.noise
    exceeding = votes >= needed
    labels, number = ndimage.label(exceeding, _OPPOSITE)
    peaks = ndimage.maximum_position(light, labels, range(1, number + 1))
    places = [(float(y) - first.centre[0], float(x) - first.centre[1]) for y, x in peaks]
    return Neighbours(places, np.asarray(ndimage.binary_dilation(exceeding, iterations=2)))


def _alone(stars: Mapping[str, Star], around: Mapping[str, Neighbours]) -> dict[str, CleanStar]:
    """Take neighbours out of the stars of one band: those without any show what the others hide."""
    first = {}
    for name, star in stars.items():
        first[name] = _mended(star, star.raw, around[name], around[name].pixels)
    template = _template([clean for clean in first.values() if not clean.neighbours])
    return {
        name: _without_companions(clean, template, around[name]) for name, clean in first.items()
    }


def _mended(star: Star, image: Image64, around: Neighbours, replaced: Mask) -> CleanStar:
    """Replace pixels by what lies opposite them, and subtract the background."""
    if replaced.any():
        # the fainter of the two: the other may be a neighbour too
        image = np.where(replaced, np.fmin(star.opposite(), image), image)
    level, error = _background(star, image, ~around.pixels)
    return CleanStar(star, image - level, len(around.places), error)


def _background(star: Star, image: Image64, free: Mask) -> tuple[float, float]:
    """Return the level of the outermost ring, and its error over the noise of a pixel.

    Without what the wings of the star leave there: they fall off as r^-3 beyond the first rings of
    diffraction, so that a ring further in tells how much that is.
    """
    half = min(star.shape) / 2
    inner = (star.distance > _INNER_RING[0] * half) & (star.distance <= _INNER_RING[1] * half)
    outer, inner = (free & ring & (star.weight > 0) for ring in (star.outermost, inner))
    if not outer.any():
        return 0.0, 0.0
    level, share = float(np.median(image[outer])), 0.0
    if inner.any():
        near, far = (float(np.median(star.distance[ring] ** -3)) for ring in (inner, outer))
        share = far / (near - far)
        level -= share * (float(np.median(image[inner])) - level)
    variance = (1 + share) ** 2 / outer.sum() + share**2 / max(int(inner.sum()), 1)
    return level, _OF_MEDIAN * math.sqrt(variance)


def _template(stars: list[CleanStar]) -> Image64 | None:
    """Return a first PSF, of stars without neighbours: the median of those with narrow cores."""
    if not stars:
        return None
    side = odd(min(*stars[0].star.shape) - 2)
    narrowest = min(clean.star.fit.sigma for clean in stars)
    images = []
    for clean in stars:
        if clean.star.fit.sigma <= FLATTENED * narrowest:
            image = clean.centred(side)
            images.append(image / image.sum())
    return np.asarray(np.median(images, axis=0))


def _without_companions(
    clean: CleanStar, template: Image64 | None, around: Neighbours
) -> CleanStar:
    """Subtract neighbours that are point sources; the others stay replaced by their opposites."""
    from scipy import ndimage

    if template is None or not around.places:
        return clean
    star = clean.star
    rest, left = star.raw.copy(), around.pixels.copy()
    labels, _ = ndimage.label(around.pixels, _OPPOSITE)
    for place in around.places:
        start = np.array([star.centre[0] + place[0], star.centre[1] + place[1]])
        companion = _companion(clean, template, start)
        if companion is not None:
            rest -= companion
            if _inside(start, labels.shape):
                left &= labels != labels[round(start[0]), round(start[1])]
    return _mended(star, rest, around, left)


def _companion(clean: CleanStar, template: Image64, start: NDArray[np.float64]) -> Image64 | None:
    """Return the image of the point source near `start`; None if what is there is none.

    Its place and its flux are fitted together with the flux of the star.
    """
    from scipy import optimize

    star, flux = clean.star, clean.image.sum()
    own = flux * placed(template, star.centre, star.shape)
    near = radius_map(star.shape, (start[0], start[1])) <= 2 * star.core

    def other(p: Any) -> Any:
        return p[2] * flux * placed(template, (p[0], p[1]), star.shape)

    def misfit(p: Any) -> Any:
        return ((star.raw - (p[3] * own + other(p)))[near] / flux).ravel()

    fit = optimize.least_squares(
        misfit,
        [*start, 0.03, 1.0],
        bounds=([*(start - star.core), 0, 0.5], [*(start + star.core), 1, 1.5]),
        x_scale=[1, 1, 0.03, 1],
    )
    companion = other(fit.x)
    missed = np.abs(misfit(fit.x)).sum() * flux
    return np.asarray(companion) if missed < _POINT * companion[near].sum() else None


def _inside(place: Any, shape: tuple[int, ...]) -> bool:
    return bool(0 <= round(place[0]) < shape[0] and 0 <= round(place[1]) < shape[1])
