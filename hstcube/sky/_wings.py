"""Light of sources that raises the level of the sky far from them: wings of PSFs and of galaxies.

Everything here serves the level only; nothing is taken off the images.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hstcube.basics.convolution import convolver
from hstcube.basics.memory import remembered
from hstcube.basics.robust import away_from_sources, block_error, clip_bounds, median

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Image64 = NDArray[np.float64]
    Mask = NDArray[np.bool_]

__all__ = ["Field", "Found", "levels_without_wings"]

# arcsec: the core of a PSF stays where it is. What it spreads ends before the pixels that the level
# is measured on, and the images have been spread by it once already
CORE = 0.3
FAR = 0.45  # arcsec from sources: the pixels of the last level
WINGS_END = 6.0  # arcsec: what STScI calls all light of a star ends at 5.5 to 6
_RIM = 0.6  # of half the frame of a PSF: the ring from there on tells its wings beyond the frame
_LAW = 0.5  # arcsec: wings fall like r^-3 from there on
_COARSE = 0.18  # arcsec: pixels that wings are spread on
_RING = 0.06  # arcsec: width of the rings of a profile
_SCALES = np.geomspace(0.12, 0.5, 16)  # arcsec, that are tried
# what is known of the scale before it is fitted, arcsec and e-folds; broader wings are no different
# from a level in a frame of 6 arcsec
_EXPECTED, _SPREAD = 0.45, 0.4
_CLIP = 4.0  # robust standard deviations of the stack
_LEFT = 0.2  # of what was taken off: the bias that may be left; in tests it was 0 to 0.2 of it
_TINY = 1e-300


class Field(NamedTuple):
    """Images, and which of their pixels are blank sky."""

    sci: NDArray[Any]
    """(band, y, x)."""
    valid: Mask
    """(band, y, x)."""
    blank: Mask
    """(y, x)."""
    distance: Image64
    """(y, x), from what is not blank [arcsec]."""
    block: NDArray[np.intp]
    """(pixel,): the block of sky that each pixel lies in."""
    scale: float
    """Size of a pixel [arcsec]."""


class Found(NamedTuple):
    """Levels without wings, and the wings, (band,)."""

    level: Image64
    error: Image64
    amplitude: Image64
    scale: float
    """NaN where there are no wings beyond those of PSFs."""


def levels_without_wings(
    field: Field,
    psf: NDArray[Any],
    energy: Image64,
    first: Image64,
    error: Image64,
    used: Mask,
) -> Found:
    """Return levels of the sky from which the light around sources was taken off.

    First what the PSF spreads of the light inside labels, after a first level and once more after
    the one that this gives; then an exponential, where the stack of bands shows it.

    Parameters
    ----------
    field : Field
    psf : array, (band, ky, kx)
    energy : array, (band,)
        The share of a star's light inside its frame; NaN where it is not known.
    first, error : array, (band,)
        The first level and its scatter.
    used : array of bool, (band, y, x)
        The pixels that it was measured on.
    """
    sky = _Sky.of(field, away_from_sources(field.blank, field.distance, FAR))
    second, flux = sky.without_spread(field, psf, energy, first, used)
    number = used.sum(axis=(1, 2))
    tail = sky.tail(second, flux, error**2 * number * 2 / np.pi)
    amplitude = tail.amplitude * flux
    third, noise, shape = sky.levels(amplitude, tail.scale)
    left = _LEFT * (first - third)
    spread = np.sqrt(noise**2 + (tail.error * flux * shape) ** 2 + left**2)
    return Found(third, spread, amplitude, tail.scale if (amplitude > 0).any() else math.nan)


class _Sky:
    """The blank pixels of all bands."""

    def __init__(self, values: list[NDArray[Any]], valid: list[Mask], places: _Places) -> None:
        self.values, self.valid, self.places = values, valid, places

    @classmethod
    def of(cls, field: Field, far: Mask) -> _Sky:
        """Return the blank pixels of a field; `far` are those that the level is measured on."""
        where = np.flatnonzero(field.blank)
        values = [plane.ravel()[where] for plane in field.sci]
        valid = [there.ravel()[where] for there in field.valid]
        distance = field.distance.ravel()[where]
        return cls(values, valid, _Places(where, distance, far.ravel()[where], field.block[where]))

    def without_spread(
        self, field: Field, psf: NDArray[Any], energy: Image64, level: Image64, used: Mask
    ) -> tuple[Image64, Image64]:
        """Take what PSFs spread off the pixels; return levels, and the light inside the labels.

        Another level changes what is spread by little: a mean PSF serves all bands for that.
        """
        side = max(round(_COARSE / field.scale), 1)
        onto = _coarse_places(self.places.where, field.blank.shape, side)
        pairs = zip(psf, energy.tolist(), strict=True)
        kernels = [_spreading(plane, share, field.scale, side) for plane, share in pairs]
        lit = field.distance <= CORE  # and what the core of the PSF moved out of the labels
        area = _blocks(lit.astype(np.float64), side)
        raised = convolver(np.mean(kernels, axis=0), area.shape)(area).ravel()[onto]
        levels, flux = np.empty(level.size), np.empty(level.size)
        for i, (kernel, plane) in enumerate(zip(kernels, field.sci, strict=True)):
            light = np.where(lit & field.valid[i], plane - level[i], 0.0)
            coarse = _blocks(light, side)
            self.values[i] -= convolver(kernel, coarse.shape)(coarse).ravel()[onto]
            levels[i] = median(self.values[i][used[i].ravel()[self.places.where]])
            self.values[i] += (levels[i] - level[i]) * raised
            flux[i] = coarse.sum() - (levels[i] - level[i]) * area.sum()
        return levels, np.clip(flux, 0, None)

    def tail(self, level: Image64, flux: Image64, variance: Image64) -> _Tail:
        """Return the wings that are left in the stack of bands.

        The stack weighs bands by the light inside their labels, which tells what colour wings have,
        over the variance of a pixel, as large sums have it.
        """
        known = np.flatnonzero((variance > 0) & (flux > 0))
        there = np.logical_and.reduce([self.valid[i] for i in known])
        if not known.size or not there.any():
            return _NONE
        weight = flux[known] / variance[known]
        weight /= (weight * flux[known]).sum()
        pairs = zip(weight, known, strict=True)
        stack = sum((w * (self.values[i][there] - level[i]) for w, i in pairs), np.zeros(1))
        return _tail_of(
            stack, self.places.distance[there], float((weight**2 * variance[known]).sum())
        )

    def levels(self, amplitude: Image64, scale: float) -> tuple[Image64, Image64, Image64]:
        """Return levels without wings, their scatter, and the mean of exp(-d/h) where they are."""
        shape = np.exp(-self.places.distance / scale)
        found = []
        for values, valid, a in zip(self.values, self.valid, amplitude, strict=True):
            there = valid & self.places.far
            rest = values[there].astype(np.float64) - a * shape[there]
            block = self.places.block[there]
            kept = _kept(rest)
            error = block_error(rest[kept], block[kept])
            found.append((median(rest[kept]), error, shape[there][kept].mean()))
        level, error, mean = np.array(found).T
        return level, error, mean


class _Places(NamedTuple):
    """Where blank pixels are, (pixel,)."""

    where: NDArray[np.intp]
    distance: Image64
    far: Mask
    block: NDArray[np.intp]


class _Tail(NamedTuple):
    """Wings A exp(-d/h), d the distance from the nearest label, of the light inside the labels."""

    amplitude: float
    """A over that light, at least 0."""
    error: float
    scale: float
    """h [arcsec]."""


_NONE = _Tail(0.0, 0.0, _EXPECTED)


def _tail_of(values: Image64, distance: Image64, variance: float) -> _Tail:
    """Return the exponential in the profile of pixels over their distance [arcsec] from labels.

    Its scale is the mean over what is known of it before and the likelihood.
    """
    near = np.abs(values - median(values)) < _CLIP * _robust(values)
    ring = (distance[near] / _RING + 1e-6).astype(np.intp)
    number = np.bincount(ring).astype(np.float64)
    there = number > 0
    mean, far = (
        np.bincount(ring, one)[there] / number[there] for one in (values[near], distance[near])
    )
    weight = number[there] / max(variance, _TINY)
    chi2 = _line(np.exp(-far / _SCALES[:, None]), mean, weight)[2]
    before = (np.log(_SCALES / _EXPECTED) / _SPREAD) ** 2
    chance = np.exp(-0.5 * (chi2 - chi2.min() + before))
    scale = float((chance * _SCALES).sum() / chance.sum())
    slope, error, _ = _line(np.exp(-far / scale)[None], mean, weight)
    return _Tail(float(slope[0]), float(error[0]), scale)


def _robust(values: Image64) -> float:
    return float(1.4826 * median(np.abs(values - median(values)))) if values.size else 0.0


def _line(shape: Image64, mean: Image64, weight: Image64) -> tuple[Image64, Image64, Image64]:
    """Return amplitudes of shapes (scale, ring), at least 0, beside a level; errors, and chi2."""
    total = max(weight.sum(), _TINY)
    x = shape - (shape @ weight / total)[:, None]
    y = mean - (mean @ weight) / total
    width = np.maximum(x**2 @ weight, _TINY)
    slope = np.clip((x * y) @ weight / width, 0, None)
    return slope, width**-0.5, (y - slope[:, None] * x) ** 2 @ weight


def _kept(values: Image64) -> Mask:
    bounds = clip_bounds(values)
    return np.zeros(0, bool) if bounds is None else (values >= bounds[0]) & (values <= bounds[1])


def _blocks(image: NDArray[np.floating], side: int) -> Image64:
    """Return the sums of blocks of pixels; the last may be smaller."""
    rows, columns = (np.arange(0, n, side) for n in image.shape)
    sums = np.add.reduceat(image, columns, axis=1, dtype=np.float64)
    return np.asarray(np.add.reduceat(sums, rows, axis=0))


def _coarse_places(where: NDArray[np.intp], shape: tuple[int, ...], side: int) -> NDArray[np.intp]:
    """Return the block that each pixel lies in, as a place in the image of blocks."""
    rows, columns = np.divmod(where, shape[1])
    return np.asarray(rows // side * -(-shape[1] // side) + columns // side)


@remembered(64)
def _spreading(psf: NDArray[Any], energy: float, scale: float, side: int) -> Image64:
    """Return what a PSF spreads beyond its core, of blocks of `side` pixels over such blocks.

    Wings go on beyond the frame from the PSF's own rim like r^-3, to 6 arcsec: scattering by a
    mirror's roughness, and the mean of diffraction rings (King 1971, PASP 83, 199). They hold no
    more than the energy leaves. It may leave too much: the subtraction of the sky takes a part of
    far wings out of mosaics, and so out of the rims of the stars in them.

    Parameters
    ----------
    psf : array, (ky, kx)
        Zeros around a smaller frame are not of it.
    energy : float
        The share of all light in the frame; NaN where it is not known.
    scale : float
        Size of a pixel [arcsec].
    side : int

    Returns
    -------
    array, (ky, kx)
        The light that a pixel gets of a block with unit light.
    """
    psf = psf.astype(np.float64)
    filled = [np.flatnonzero((psf != 0).any(axis=axis)) for axis in (1, 0)]
    pairs = zip(psf.shape, filled, strict=True)
    half = max(int(np.abs(at - n // 2).max(initial=0)) for n, at in pairs)
    rim, beyond = _wings(psf, energy, half, scale)
    whole = _with_wings(psf, rim, half, half + 2 * side)
    reach = math.ceil(WINGS_END / (scale * side))
    places = np.arange(-reach, reach + 1) * side
    radius = np.hypot(places[:, None], places)
    out = rim * np.maximum(radius, 1.0) ** -3.0
    near = np.flatnonzero(np.abs(places) < half + side)
    steps = np.abs(places[near, None] - (np.arange(len(whole)) - len(whole) // 2))
    weights = np.clip(side - steps, 0, None) / side**2  # the mean over a pair of blocks
    out[np.ix_(near, near)] = weights @ whole @ weights.T
    out[(radius <= CORE / scale) | (radius > WINGS_END / scale)] = 0.0
    return np.asarray(out / max(psf.sum() + beyond, _TINY))


def _with_wings(psf: Image64, rim: float, half: int, reach: int) -> Image64:
    """Return a PSF on a larger frame, wings A r^-3 around it."""
    offset = np.arange(-reach, reach + 1)
    square = (offset[:, None] ** 2 + offset**2).astype(np.float64)
    out = rim * np.maximum(square, 1.0) ** -1.5
    inside = slice(reach - half, reach + half + 1)
    ny, nx = psf.shape
    out[inside, inside] = psf[
        ny // 2 - half : ny // 2 + half + 1, nx // 2 - half : nx // 2 + half + 1
    ]
    return np.asarray(out)


def _wings(psf: Image64, energy: float, half: int, scale: float) -> tuple[float, float]:
    """Return A of the wings A r^-3 of a PSF, r in pixels, and their light beyond its frame."""
    end = WINGS_END / scale
    # the integral of r^-3 outside of a square, less what is beyond the end
    whole = 8 * math.sin(math.pi / 4) / (half + 0.5) - 2 * math.pi / end
    if whole <= 0:
        return 0.0, 0.0
    y, x = (np.arange(n) - n // 2 for n in psf.shape)
    radius = np.hypot(y[:, None], x)
    ring = (radius >= max(_RIM * half, _LAW / scale)) & (radius <= half)
    rim = max(float(psf[ring].sum() / (radius[ring] ** -3.0).sum()), 0.0) if ring.any() else 0.0
    if energy > 0:
        rim = min(rim, float(psf.sum()) * max(1 / energy - 1, 0.0) / whole)
    return rim, rim * whole
