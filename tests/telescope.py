"""PSFs of known truth: telescopes of the size of HST and JWST, their pixels, and stars they see.

An obstructed aperture with spiders and a little astigmatism, computed four times finer than the
pixels of the mosaic, then convolved with the detector's pixel, its charge diffusion and the drop of
drizzle, and sampled. That of JWST is round, of the area's width, without its segments.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy import ndimage
from strategies import plain_grid

from hstcube import build

SCALE = 0.06  # arcsec, pixels of the mosaic
SIZE = 65
BANDS = ("f435w", "f814w", "f105w", "f160w")
WAVELENGTH = {
    "f435w": 0.43,
    "f606w": 0.60,
    "f775w": 0.77,
    "f814w": 0.80,
    "f850lp": 0.90,
    "f105w": 1.05,
    "f125w": 1.25,
    "f140w": 1.40,
    "f160w": 1.537,
    "f150w": 1.50,
    "f277w": 2.77,
    "f444w": 4.40,
}  # micron


class Camera(NamedTuple):
    """A telescope (m, of the diameter, waves, radian) and its detector (arcsec, shares)."""

    pixel: float
    drop: float
    diffusion: float
    turn: float = 0.0
    diameter: float = 2.4
    obstruction: float = 0.33
    spider: float = 0.011
    astigmatism: float = 0.03


_ACS = Camera(0.05, 0.06, 0.02)
_WFC3_IR = Camera(0.128, 0.128, 0.025, turn=0.3)
_SHORT = Camera(0.031, 0.031, 0.01, diameter=6.5, obstruction=0.2, spider=0.007, astigmatism=0.02)
_LONG = _SHORT._replace(pixel=0.063, drop=0.063)
_CAMERAS = dict.fromkeys(("f105w", "f125w", "f140w", "f160w"), _WFC3_IR)
_CAMERAS |= {"f150w": _SHORT, "f277w": _LONG, "f444w": _LONG}
_FINE = 4
_OPTICS = 0.0075  # arcsec, samples of `optics`
_SIDE = 1024  # periodic: 15 arcsec for mosaics of 60 mas, so that no wings come back at a rim
_MARGIN = 16  # samples around what is moved


def camera(band):
    """Return the telescope and the detector that a band is seen with."""
    return _CAMERAS.get(band, _ACS)


def telescope(band, *, size=SIZE, shift=(0.0, 0.0), scale=SCALE, sharp=True):
    """Return the true PSF of a band, (size, size), unit sum over the frame.

    `shift` (y, x) in pixels.

    The pixels of the mosaic are too coarse for ACS: what a star looks like depends on where in a
    pixel it lies. The mean over all places, which is what can be measured, has no frequencies
    beyond those of the pixels (`sharp` False).
    """
    half = _FINE * (size // 2) + _MARGIN
    image = _seen(band, scale, sharp)[_SIDE // 2 - half :, _SIDE // 2 - half :]
    image = image[: 2 * half + 1, : 2 * half + 1]
    if any(shift):
        image = _moved(image, _FINE * np.array(shift))
    cut = image[_MARGIN::_FINE, _MARGIN::_FINE][:size, :size]
    return cut / cut.sum()


def _moved(image, shift):
    """Return fine samples moved by (y, x) of them."""
    ky, kx = (np.fft.fftfreq(n) for n in image.shape)
    phase = np.exp(-2j * np.pi * (ky[:, None] * shift[0] + kx * shift[1]))
    return np.fft.ifft2(np.fft.fft2(image) * phase).real


@lru_cache(maxsize=64)
def _seen(band, scale, sharp):
    seen_with = camera(band)
    pixel, diffusion = seen_with.pixel, seen_with.diffusion
    step = scale / _FINE
    transfer = np.fft.fft2(np.fft.ifftshift(_airy(WAVELENGTH[band], step, seen_with)))
    cycles = np.fft.fftfreq(_SIDE) / step  # per arcsec
    for box in (pixel, seen_with.drop, scale):
        transfer *= np.sinc(cycles * box)[:, None] * np.sinc(cycles * box)
    beside = np.cos(2 * np.pi * cycles * pixel)
    transfer *= 1 - 4 * diffusion + 2 * diffusion * (beside[:, None] + beside)
    transfer *= np.exp(
        -2 * np.pi**2 * 0.007**2 * (cycles[:, None] ** 2 + cycles**2)
    )  # jitter of 7 mas
    if not sharp:
        inside = abs(cycles) < 0.5 / scale
        transfer *= inside[:, None] & inside
    return np.fft.fftshift(np.fft.ifft2(transfer).real)


@lru_cache(maxsize=16)
def _airy(micron, step, camera):
    side = micron * 1e-6 / (_SIDE * np.deg2rad(step / 3600))  # m, of a pixel of the pupil
    y, x = (np.mgrid[:_SIDE, :_SIDE] - _SIDE / 2) * side
    radius, turn = np.hypot(y, x) / (camera.diameter / 2), camera.turn
    open_ = (radius < 1) & (radius > camera.obstruction)
    for a, b in ((x, y), (-y, x)):
        open_ &= abs(np.cos(turn) * a + np.sin(turn) * b) > camera.spider * camera.diameter
    wave = np.exp(2j * np.pi * camera.astigmatism * np.cos(2 * np.arctan2(y, x)) * radius**2)
    return abs(np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(open_ * wave)))) ** 2


def optics(band, *, scale, size, boxes=()):
    """Return what the optics alone make, (size, size) samples, convolved with square boxes.

    The light is centred on the pixel `size` // 2 for odd sizes, between pixels for even ones.
    """
    transfer = np.fft.fft2(np.fft.ifftshift(_airy(WAVELENGTH[band], _OPTICS, camera(band))))
    cycles = np.fft.fftfreq(_SIDE) / _OPTICS
    for box in boxes:
        transfer = transfer * np.sinc(cycles * box)[:, None] * np.sinc(cycles * box)
    image = np.fft.fftshift(np.fft.ifft2(transfer).real)
    places = _SIDE // 2 + (np.arange(size) - (size - 1) / 2) * scale / _OPTICS
    return ndimage.map_coordinates(image, np.meshgrid(places, places, indexing="ij"), order=5)


def noisy(psf, rng, *, noise=1e-5):
    """Return a PSF with noise, of its sum per pixel."""
    return psf + rng.normal(0, noise, psf.shape)


def star(
    rng, *, bands=BANDS, flux=1000.0, noise=1e-3, shift=None, size=71, scale=SCALE, spoil=None
):
    """Return the stamp of a star as a cube.

    `spoil` changes (band, sci, wht) in place before the noise is added.

    Noise is per pixel, in the units of `flux`; a shift of up to half a pixel is drawn when not
    given.
    """
    shift = tuple(rng.uniform(-0.5, 0.5, 2)) if shift is None else shift
    sci = np.stack([flux * telescope(band, size=size, shift=shift, scale=scale) for band in bands])
    wht = np.full(sci.shape, noise**-2)
    for i, band in enumerate(bands):
        if spoil:
            spoil(band, sci[i], wht[i])
    sci += rng.normal(0, noise, sci.shape)
    return build(
        sci, wht, bands=bands, grid=plain_grid((size, size), scale=scale), units="electron s-1"
    )


def stars(rng, number, **how):
    """Return so many good stars, named "1", "2", ..."""
    return {str(i + 1): star(rng, **how) for i in range(number)}
