"""Fields of galaxies that the package did not make: Sersic models, optics, drizzled noise.

The sky of all is 0. Galaxies are drawn by astropy, PSFs by `telescope` and wings that fall like
r^-3 beyond its frame, the noise by drops of detector pixels that are laid over the pixels of the
mosaic. Of every field it is known which light is that of galaxies with labels, and which is not.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import xarray as xr
from astropy.modeling.models import Sersic2D
from scipy import ndimage, signal, special
from telescope import WAVELENGTH, telescope

import hstcube

SIDE, SCALE, FINE = 100, 0.06, 5
SIGMA = {"f435w": 6.7e-4, "f775w": 5.6e-4, "f125w": 7.8e-4, "f160w": 8.9e-4}
ZEROPOINT = {"f435w": 25.68, "f775w": 25.69, "f125w": 26.23, "f160w": 25.94}
BANDS = tuple(SIGMA)
HALF, REACH = 32, 100  # pixels: of the frame that a PSF is known on, and of all its light
# share of the light beyond that frame, as older handbooks of the cameras have it
BEYOND = {"f435w": 0.011, "f775w": 0.021, "f125w": 0.028, "f160w": 0.031}


class Scene(NamedTuple):
    """A field: images (band, y, x), the light that is in them, and labels (y, x), 0 is sky."""

    mapped: np.ndarray
    """Light of galaxies whose centres lie in a label."""
    unmapped: np.ndarray
    noise: np.ndarray
    labels: np.ndarray

    def cube(self, psf=None):
        """Return the cube, with PSFs or without."""
        sigma = np.array([SIGMA[band] for band in BANDS])
        cube = hstcube.build(
            self.mapped + self.unmapped + self.noise,
            np.ones(self.noise.shape) / sigma[:, None, None] ** 2,
            bands=BANDS,
            grid=hstcube.Grid.around((53.16, -27.78), SIDE * SCALE, scale=SCALE),
            units="electron s-1",
        )
        return cube if psf is None else hstcube.with_psf(cube, psf)


def galaxies(rng):
    """Return (magnitude, y, x, n, radius, ellipticity, angle, slope): one of 22 to 24 mag, more."""

    def one(mag, far, index, radius):
        angle = rng.uniform(0, 2 * np.pi)
        y, x = far * np.sin(angle), far * np.cos(angle)
        shape = rng.uniform(0.1, 0.6), rng.uniform(0, np.pi)
        return (mag, y, x, index, radius, *shape, rng.uniform(0, 2))

    found = [one(rng.uniform(22, 24), 0.0, rng.choice([1.0, 1.0, 1.5, 2.5]), rng.uniform(0.3, 0.6))]
    for _ in range(3):
        index = rng.choice([1.0, 1.0, 2.5])
        found.append(
            one(rng.uniform(24, 26.5), rng.uniform(1.6, 3.2), index, rng.uniform(0.1, 0.3))
        )
    for mag in np.arange(26.5, 30, 0.5):
        number = rng.poisson(1.2 * 10 ** (0.2 * (mag - 27)))
        found += [
            one(mag + rng.uniform(0, 0.5), 4.2 * rng.uniform() ** 0.5, 1.0, 0.12)
            for _ in range(number)
        ]
    return found


def light_of(found):
    """Return the light of galaxies as a telescope sees it, electron/s, (band, SIDE, SIDE)."""
    places = (np.arange(SIDE * FINE) - (SIDE * FINE - 1) / 2) * SCALE / FINE
    y, x = np.meshgrid(places, places, indexing="ij")
    total = np.zeros((len(BANDS), SIDE, SIDE))
    for mag, y0, x0, index, radius, flat, angle, slope in found:
        shape = Sersic2D(1.0, radius, index, x0, y0, flat, angle)(x, y)
        image = shape.reshape(SIDE, FINE, SIDE, FINE).sum(axis=(1, 3))
        image /= 2 * np.pi * radius**2 * _light_of(index) * (1 - flat) * (FINE / SCALE) ** 2
        for i, band in enumerate(BANDS):
            total[i] += image * flux_of(mag, slope, band)
    pairs = zip(total, BANDS, strict=True)
    return np.stack([signal.fftconvolve(plane, whole_psf(band), "same") for plane, band in pairs])


def flux_of(mag, slope, band):
    """Return the flux of a galaxy, electron/s, from its magnitude at 1.537 micron."""
    return 10 ** (-0.4 * (mag - ZEROPOINT[band])) * (WAVELENGTH[band] / 1.537) ** slope


def _light_of(index):
    """Return the light of a round Sersic model, over 2 pi radius**2 and its value at the radius."""
    b = special.gammaincinv(2 * index, 0.5)
    return index * np.exp(b) * b ** (-2 * index) * special.gamma(2 * index)


@lru_cache
def whole_psf(band):
    """Return the PSF of a band with all its light, within 6 arcsec."""
    offset = np.arange(-REACH, REACH + 1)
    square = offset[:, None] ** 2 + offset**2
    inside = np.maximum(abs(offset)[:, None], abs(offset)) <= HALF
    wings = np.where(~inside & (square <= REACH**2), np.maximum(square, 1) ** -1.5, 0.0)
    out = BEYOND[band] * wings / wings.sum()
    out[inside] = (1 - BEYOND[band]) * telescope(band, size=2 * HALF + 1).ravel()
    return out


def drizzled(rng, band, exposures=12):
    """Return noise of dithered exposures, drizzled; 1 for sums over large areas."""
    pixel = 0.128 if WAVELENGTH[band] > 1 else 0.05
    total = np.zeros((SIDE, SIDE))
    for _ in range(exposures):
        number = int(SIDE * SCALE / pixel) + 6
        shifts = rng.uniform(-pixel, pixel, 2)
        rows, columns = (_overlap(number, pixel, one) for one in shifts)
        total += rows @ rng.standard_normal((number, number)) @ columns.T
    return total / np.sqrt(exposures * (SCALE / pixel) ** 2)


def _overlap(number, pixel, shift):
    """Return how much of each detector pixel's drop falls on each pixel, (SIDE, number)."""
    middle = (np.arange(number) - (number - 1) / 2) * pixel + shift
    edge = (np.arange(SIDE) - SIDE / 2)[:, None] * SCALE
    low, high = (
        np.maximum(middle - 0.4 * pixel, edge),
        np.minimum(middle + 0.4 * pixel, edge + SCALE),
    )
    return np.clip(high - low, 0, None) / (0.8 * pixel)


def labels_of(light, rng):
    """Return what a survey would find in other images of a field: 0 is sky, (SIDE, SIDE)."""
    red = [(BANDS.index(band), band) for band in ("f775w", "f160w")]
    noise = ndimage.gaussian_filter(sum(drizzled(rng, band) for _, band in red), 1.5)
    stack = ndimage.gaussian_filter(sum(light[i] / SIGMA[band] for i, band in red), 1.5) + noise
    found, _ = ndimage.label(stack > 2.5 * noise.std())
    few = np.bincount(found.ravel()) < 12
    return np.where(few[found], 0, found)


def crowded_field(seed, light_of=light_of):
    """Return a scene by its seed; `light_of` draws galaxies."""
    rng = np.random.default_rng(seed)
    found = galaxies(rng)
    light = light_of(found)
    labels = labels_of(light, rng)

    def has_label(y, x):
        row, column = (int(np.floor(place / SCALE + SIDE / 2)) for place in (y, x))
        return 0 <= row < SIDE and 0 <= column < SIDE and labels[row, column] > 0

    unmapped = light_of([one for one in found if not has_label(one[1], one[2])])
    noise = np.stack([SIGMA[band] * drizzled(rng, band) for band in BANDS])
    return Scene(light - unmapped, unmapped, noise, labels)


def known_psfs(images=None):
    """Return PSFs on the frame that a cube has them on, unit sum, (band, ky, kx)."""
    offsets = np.arange(-HALF, HALF + 1) * SCALE
    if images is None:
        images = [telescope(band, size=2 * HALF + 1) for band in BANDS]
    images = np.stack([image / image.sum() for image in images]).astype(np.float32)
    told = {"units": "arcsec"}
    coords = {"band": list(BANDS), "ky": ("ky", offsets, told), "kx": ("kx", offsets, told)}
    return xr.DataArray(images, coords, ("band", "ky", "kx"), "psf")
