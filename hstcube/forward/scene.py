"""The forward model: images of a known PSF, as a map of a broader PSF and other pixels shows them.

In Fourier space each image is multiplied by the map's PSF, by what smoothed the map and by its
pixels, and divided by the image's own PSF; a cubic spline takes it to the middles of the map's
pixels. All of that keeps flux. A shift is a phase, so that a Taylor series around one shift gives
the images at all others nearby.
"""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hstcube.core.mappings import pixel_mapping
from hstcube.forward.psfs import gaussian_transfer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from hstcube.core.grids import Grid
    from hstcube.forward.psfs import Moffat, Sampled

    Array = NDArray[np.floating]

__all__ = ["Expansion", "Scene", "image_transfer"]

_LEAST = 1e-4  # of the power of an image's PSF: below, it is not divided by (Wiener)
_ORDER = 6  # of the Taylor series: at a quarter of the PSF's FWHM it is good to 1e-6
_AWAY = 5.0  # FWHM of the map between an image and its copies around the circle


class Expansion(NamedTuple):
    """The images around one shift: `terms` (power, band, pixel), `powers` (power, 2) of y and x."""

    centre: Array
    terms: Array
    powers: NDArray[np.intp]

    def at(self, shift: Array, bands: Any = slice(None)) -> Array:
        """Return the images (band, pixel) at a shift [arcsec]."""
        return np.tensordot(self._monomials(shift), self.terms[:, bands], 1)

    def slope(self, shift: Array, weights: Array, bands: Any = slice(None)) -> Array:
        """Return how the weighted sum of the images changes along y and along x, (2, pixel)."""
        summed = np.einsum("b,tbp->tp", weights, self.terms[:, bands])
        return np.stack([self._monomials(shift, along) @ summed for along in (0, 1)])

    def _monomials(self, shift: Array, along: int | None = None) -> Array:
        away, powers = np.asarray(shift) - self.centre, self.powers
        factor = np.ones(len(powers))
        if along is not None:
            factor = powers[:, along].astype(float)
            powers = powers.copy()
            powers[:, along] = np.maximum(powers[:, along] - 1, 0)
        return np.asarray(factor * (away**powers).prod(1))


class Scene:
    """Images of bands on their pixels, ready to be seen on those of a map.

    Parameters
    ----------
    images : array, (band, y, x)
        Flux in a pixel, 0 where nothing is to be seen.
    psfs : sequence of (array (ky, kx), (float, float))
        Of each band, with the size of its pixels along y and x [arcsec].
    grid, seen : Grid
        Of the images and of the map.
    pixels : array of bool, (y, x)
        Which pixels of the map are wanted.
    smoothed : float
        FWHM [arcsec] of a Gaussian that smoothed the map.
    reach : float
        FWHM of the map's PSF [arcsec].
    """

    def __init__(
        self,
        images: Array,
        psfs: Sequence[tuple[Array, tuple[float, float]]],
        grid: Grid,
        seen: Grid,
        pixels: NDArray[np.bool_],
        *,
        smoothed: float = 0.0,
        reach: float = 1.0,
    ) -> None:
        self.number = len(images)
        box = _box_of(images, grid)
        y, x = pixel_mapping(seen, grid)(*np.nonzero(pixels))
        size = _circle(box, y, x, [_AWAY * reach / step for step in grid.steps])
        self.size = size
        self._box = box
        jacobian = _jacobian(seen, grid)
        fy, fx = np.fft.fftfreq(size[0])[:, None], np.fft.rfftfreq(size[1])[None, :]
        self._fy, self._fx = fy, fx
        u, v = (jacobian[0, i] * fy + jacobian[1, i] * fx for i in (0, 1))  # 1/pixel of the map
        self.fy, self.fx = u / seen.steps[0], v / seen.steps[1]  # 1/arcsec along its axes
        k = np.hypot(fy / grid.steps[0], fx / grid.steps[1])
        fixed = np.sinc(u) * np.sinc(v) * gaussian_transfer(k, smoothed)
        fixed = fixed * 9 / ((2 + np.cos(2 * np.pi * fy)) * (2 + np.cos(2 * np.pi * fx)))
        self.area = float(abs(np.linalg.det(jacobian)))  # of the map's pixels, in those of `grid`
        self._fixed = fixed * self.area
        self._inverse = [_inverse(image_transfer(*psf, grid, fy, fx)) for psf in psfs]
        self._spectra = self._transformed(images)
        self._taps = _spline_taps(y - box[0].start, x - box[1].start, size)

    def _transformed(self, images: Array) -> NDArray[np.complex128]:
        cut = images[:, self._box[0], self._box[1]]
        found = np.fft.rfft2(cut, self.size)
        return np.asarray(found * np.stack(self._inverse) * self._fixed)

    def of(self, images: Array) -> Scene:
        """Return the same with other images, in the same box."""
        other = copy.copy(self)
        other._spectra = other._transformed(images)  # noqa: SLF001  one of its own kind
        return other

    def power(self, psf: Moffat | Sampled, acf: Array) -> Array:
        """Return the variance of a pixel of the map for noise of variance one, (band,).

        Parameters
        ----------
        acf : array, (band, dy, dx)
            Autocorrelation of the noise of the images.
        """
        plain = 9 / ((2 + np.cos(2 * np.pi * self._fy)) * (2 + np.cos(2 * np.pi * self._fx)))
        transfer = psf.transfer(self.fy, self.fx) * self._fixed / plain
        twice = np.where((self._fx == 0) | (self._fx == 0.5), 1.0, 2.0)  # noqa: PLR2004  half plane
        found = []
        for rho, inverse in zip(acf, self._inverse, strict=True):
            lags = [np.arange(n) - n // 2 for n in rho.shape]
            down = np.exp(-2j * np.pi * self._fy * lags[0])
            along = np.exp(-2j * np.pi * lags[1][:, None] * self._fx)
            spectrum = np.clip((down @ rho @ along).real, 0, None)
            found.append(float((np.abs(transfer * inverse) ** 2 * spectrum * twice).mean()))
        return np.array(found) * self._fx.size / self.size[1]

    def seen(self, psf: Moffat | Sampled, shift: Any = (0.0, 0.0)) -> Array:
        """Return the images (band, pixel) as the map shows them, moved by `shift` [arcsec]."""
        return self._sampled(self._spectra * (psf.transfer(self.fy, self.fx) * self._phase(shift)))

    def expanded(self, psf: Moffat | Sampled, shift: Any) -> Expansion:
        """Return the Taylor series of `seen` around a shift."""
        moved = psf.transfer(self.fy, self.fx) * self._phase(shift)
        powers = [(a, b) for a in range(_ORDER + 1) for b in range(_ORDER + 1 - a)]
        terms = np.empty((len(powers), self.number, self._taps.shape[0]))
        dy, dx = (-2j * np.pi * f for f in (self.fy, self.fx))
        for term, (a, b) in zip(terms, powers, strict=True):
            scale = math.factorial(a) * math.factorial(b)
            term[...] = self._sampled(self._spectra * (moved * dy**a * dx**b / scale))
        return Expansion(np.asarray(shift, float), terms, np.array(powers))

    def weighed(self, rows: Array, psf: Moffat | Sampled, shift: Any, band: int) -> Array:
        """Return what each pixel of an image adds to sums over the map, (row, y, x) of its box.

        Parameters
        ----------
        rows : array, (row, pixel)
            The weights of the map's pixels in these sums.
        """
        transfer = psf.transfer(self.fy, self.fx) * self._phase(shift)
        transfer = np.conj(transfer * self._fixed * self._inverse[band])
        spread = (self._taps.T @ rows.T).T.reshape(len(rows), *self.size)
        back = np.fft.irfft2(np.fft.rfft2(spread) * transfer, self.size)
        rows_, columns = (slice(0, part.stop - part.start) for part in self._box)
        return np.asarray(back[:, rows_, columns])

    @property
    def box(self) -> tuple[slice, slice]:
        """The rows and columns of the images that hold anything."""
        return self._box

    def _phase(self, shift: Any) -> NDArray[np.complex128]:
        return np.asarray(np.exp(-2j * np.pi * (self.fy * shift[0] + self.fx * shift[1])))

    def _sampled(self, spectra: NDArray[np.complex128]) -> Array:
        images = np.fft.irfft2(spectra, self.size)
        return np.asarray((self._taps @ images.reshape(self.number, -1).T).T)


def image_transfer(
    image: Array, steps: tuple[float, float], grid: Grid, fy: Array, fx: Array
) -> NDArray[np.complex128]:
    """Return the Fourier transform of a PSF image at the frequencies [1/pixel] of a grid.

    Parameters
    ----------
    image : array, (ky, kx)
        Its light is taken for the whole.
    steps : (float, float)
        Size of its pixels along y and x [arcsec].
    """
    middle = [n // 2 for n in image.shape]
    y, x = (
        (np.arange(n) - m) * step / pixel
        for n, m, step, pixel in zip(image.shape, middle, steps, grid.steps, strict=True)
    )
    down = np.exp(-2j * np.pi * fy.reshape(-1, 1) * y)
    along = np.exp(-2j * np.pi * x[:, None] * fx.reshape(1, -1))
    return np.asarray(down @ (image / image.sum()) @ along)


def _inverse(transfer: NDArray[np.complex128]) -> NDArray[np.complex128]:
    power = transfer.real**2 + transfer.imag**2
    return np.asarray(np.conj(transfer) / (power + _LEAST) * (1 + _LEAST))


def _jacobian(seen: Grid, grid: Grid) -> Array:
    """Return the change of (y, x) on `grid` for a step along y and x of the middle of `seen`."""
    i, j = ((n - 1) / 2 for n in seen.shape)
    y, x = pixel_mapping(seen, grid)(np.array([i + 1, i - 1, i, i]), np.array([j, j, j + 1, j - 1]))
    return np.array([[y[0] - y[1], y[2] - y[3]], [x[0] - x[1], x[2] - x[3]]]) / 2


def _box_of(images: Array, grid: Grid) -> tuple[slice, slice]:
    """Return the rows and columns that hold light."""
    used = (images != 0).any(0)
    if not used.any():
        return slice(0, grid.shape[0]), slice(0, grid.shape[1])
    rows, columns = np.flatnonzero(used.any(1)), np.flatnonzero(used.any(0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _circle(box: tuple[slice, slice], y: Array, x: Array, away: list[float]) -> tuple[int, int]:
    """Return a size that keeps everything `away` pixels from its copies."""
    from scipy import fft

    sizes = []
    for part, places, far in zip(box, (y, x), away, strict=True):
        low, high = min(part.start, places.min()), max(part.stop, places.max())
        sizes.append(int(fft.next_fast_len(math.ceil(high - low + far), real=True)))
    return sizes[0], sizes[1]


def _spline_taps(y: Array, x: Array, size: tuple[int, int]) -> Any:
    """Return the cubic spline at places on a circle, sparse: (place, pixel), 16 pixels each."""
    from scipy.sparse import csr_array

    rows, along_y = _cubic(y)
    columns, along_x = _cubic(x)
    index = (rows % size[0])[:, :, None] * size[1] + (columns % size[1])[:, None, :]
    weight = along_y[:, :, None] * along_x[:, None, :]
    pointers = np.arange(0, index.size + 1, 16)
    shape = (y.size, size[0] * size[1])
    return csr_array((weight.ravel(), index.ravel(), pointers), shape=shape)


def _cubic(place: Array) -> tuple[NDArray[np.int64], Array]:
    """Return the four pixels around places, and their weights in a cubic B-spline."""
    base = np.floor(place).astype(np.int64)
    t = place - base
    weights = [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]
    return base[:, None] + np.arange(-1, 3), np.stack(weights, axis=1) / 6
