"""A made-up galaxy in two bands and its line, whose truth is known: sums of Gaussians.

The cube and the map are computed from the same components by different ways: the cube's pixels are
values of Gaussians widened by its PSF, those of the map sums over a grid ten times finer that was
convolved with a Moffat profile, then smoothed as maps are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage, signal

import hstcube
from hstcube.core.grids import Grid
from hstcube.core.mappings import pixel_mapping

if TYPE_CHECKING:
    import xarray as xr

WIDTH = 0.19  # arcsec, FWHM of the cube's PSF
SIGMA = WIDTH / 2.3548200450309493
SMOOTHED = 0.4  # arcsec
FINE = 10
EDGE = 10  # pixels of the map on each side that are made and cut off
BETA = 2.8
UNIT = "1e-20 erg s-1 cm-2"
WEIGHTS = np.array([40.0, 10.0])  # Angstrom


@dataclass(frozen=True)
class Truth:
    """What is made: the map's FWHM and shift [arcsec], how its grid is turned, which hand."""

    fwhm: float = 0.65
    shift: tuple[float, float] = (0.04, -0.03)
    turned: float = 42.0
    flipped: bool = False


def grids(truth: Truth) -> tuple[Grid, Grid]:
    """Return the grids of the cube and of the map."""
    hst = Grid.around((53.16, -27.78), 6.0, 0.06)
    seen = Grid.around((53.16, -27.78), 6.2, 0.2, angle=truth.turned)
    if truth.flipped:
        cards = dict(seen.cards)
        cards["CD1_1"], cards["CD2_1"] = -cards["CD1_1"], -cards["CD2_1"]
        seen = Grid.from_header(cards, shape=seen.shape)
    return hst, seen


@lru_cache
def components() -> list[tuple[int, float, float, float, float, float, float]]:
    """Return (band, flux, dy, dx, the two sigmas, angle): knots and a disk; a disk and a bulge."""
    rng = np.random.default_rng(1)
    found = []
    for _ in range(14):
        r, t = rng.exponential(0.45), rng.uniform(0, 2 * np.pi)
        light = rng.uniform(2, 9)
        found.append((0, light, r * np.sin(t), 0.6 * r * np.cos(t), 0.08, 0.06, t))
    return [
        *found,
        (0, 40.0, 0.0, 0.0, 0.5, 0.3, 0.3),
        (1, 60.0, 0.0, 0.0, 0.45, 0.3, 0.3),
        (1, 36.0, 0.02, 0.0, 0.12, 0.1, 0.0),
    ]


def light(band: int, y: np.ndarray, x: np.ndarray, wider: float) -> np.ndarray:
    """Return the flux per arcsec2 at places [arcsec], everything widened by a Gaussian."""
    out = np.zeros(np.broadcast(y, x).shape)
    for one, flux, dy, dx, a, b, t in components():
        if one != band:
            continue
        turn = np.array([[np.cos(t), -np.sin(t)], [np.sin(t), np.cos(t)]])
        spread = turn @ np.diag([a**2, b**2]) @ turn.T + wider**2 * np.eye(2)
        inverse = np.linalg.inv(spread)
        u, v = y - dy, x - dx
        square = inverse[0, 0] * u * u + 2 * inverse[0, 1] * u * v + inverse[1, 1] * v * v
        out += flux / (2 * np.pi * np.sqrt(np.linalg.det(spread))) * np.exp(-0.5 * square)
    return out


@lru_cache
def images() -> np.ndarray:
    """Return the two bands on the cube's pixels, in 1e-20 erg s-1 cm-2 AA-1, without noise."""
    hst, _ = grids(Truth())
    y, x = ((np.arange(n) - (n - 1) / 2) * 0.06 for n in hst.shape)
    return np.array([light(band, y[:, None], x[None, :], SIGMA) * 0.06**2 for band in (0, 1)])


@lru_cache
def seen(truth: Truth) -> np.ndarray:
    """Return the map without noise, in 1e-20 erg s-1 cm-2."""
    hst, grid = grids(truth)
    side = grid.shape[0] + 2 * EDGE
    place = (np.arange(side * FINE) + 0.5) / FINE - 0.5 - EDGE
    y, x = np.meshgrid(place - truth.shift[0] / 0.2, place - truth.shift[1] / 0.2, indexing="ij")
    there_y, there_x = pixel_mapping(grid, hst)(y, x)
    middle = [(n - 1) / 2 for n in hst.shape]
    line = sum(
        weight * light(band, (there_y - middle[0]) * 0.06, (there_x - middle[1]) * 0.06, 0.0)
        for band, weight in enumerate(WEIGHTS)
    )
    alpha = truth.fwhm / 2 / np.sqrt(2 ** (1 / BETA) - 1)
    step = (np.arange(side * FINE - 1) - (side * FINE - 1) // 2) * 0.2 / FINE
    psf = (1 + (step[:, None] ** 2 + step**2) / alpha**2) ** -BETA
    psf *= (BETA - 1) / (np.pi * alpha**2) * (0.2 / FINE) ** 2
    blurred = signal.fftconvolve(line * (0.2 / FINE) ** 2, psf, mode="same")
    pixels = blurred.reshape(side, FINE, side, FINE).sum((1, 3))
    return ndimage.gaussian_filter(pixels, SMOOTHED / 0.2 / 2.3548200450309493, truncate=6)[
        EDGE:-EDGE, EDGE:-EDGE
    ]


def cube(noise: float = 1e-4, rng: np.random.Generator | None = None) -> xr.Dataset:
    """Return the cube: matched, without sky, of a Gaussian PSF."""
    hst, _ = grids(Truth())
    sci = images() + (0 if rng is None else rng.normal(size=images().shape) * noise)
    offsets = (np.arange(33) - 16) * 0.06
    psf = np.exp(-0.5 * (offsets[:, None] ** 2 + offsets**2) / SIGMA**2)
    made = hstcube.build(
        sci, np.full(sci.shape, noise**-2.0), bands=["f435w", "f160w"], grid=hst,
        units=f"{UNIT} AA-1", matched_to=["f160w"] * 2, psf_fwhm=[WIDTH] * 2, sky=[0.0] * 2,
        sky_error=[0.0] * 2, field="made",
    )  # fmt: skip
    images_ = np.repeat((psf / psf.sum())[None], 2, axis=0).astype(np.float32)
    return made.assign_coords(
        psf=(("band", "ky", "kx"), images_), ky=("ky", offsets), kx=("kx", offsets)
    )


def line(
    truth: Truth, snr: float, rng: np.random.Generator | None = None, cut: float = 5.0
) -> xr.Dataset:
    """Return the map, smoothed with its noise; without pixels of a lower S/N than `cut`."""
    _, grid = grids(truth)
    clean = seen(truth)
    sigma = clean.max() / snr
    spread = SMOOTHED / 0.2 / 2.3548200450309493
    sci = clean.copy()
    if rng is not None:
        raw = rng.normal(size=(grid.shape[0] + 2 * EDGE, grid.shape[1] + 2 * EDGE))
        smooth = ndimage.gaussian_filter(raw, spread, truncate=6)[EDGE:-EDGE, EDGE:-EDGE]
        sci = sci + smooth * sigma * np.sqrt(4 * np.pi) * spread
    wht = np.where(sci > cut * sigma, sigma**-2.0, 0)
    made = hstcube.build(
        sci[None], wht[None], bands=["line"], grid=grid, units=UNIT, pivot=[6000.0]
    )
    from hstcube.ifu.maps import with_smoothing

    return with_smoothing(made, SMOOTHED)


def turned(angle: float, *, flipped: bool) -> Truth:
    """Return the truth on another grid."""
    return replace(Truth(), turned=angle, flipped=flipped)
