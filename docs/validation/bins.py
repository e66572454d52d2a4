"""Shapes of bins and their signal to noise, on galaxies by GalSim that nothing was set by."""

from __future__ import annotations

import contextlib
import io
import time
import warnings
from typing import Any

import galsim
import numpy as np
from scipy import ndimage

import hstcube
from hstcube import Grid, build

warnings.simplefilter("ignore", UserWarning)  # vorbin's word on its successor
SIDE, SCALE, SIGMA = 81, 0.06, 0.06
TARGETS = (10, 25, 60)
SEEDS = (30, 31, 32)
GRID = Grid.around((53.16, -27.78), (SIDE * SCALE, SIDE * SCALE), SCALE)


def galaxy(seed: int) -> tuple[Any, Any]:
    """Return an image of a disc with a bulge, and the pixels to bin."""
    rng = np.random.default_rng(seed)
    disc = galsim.Exponential(half_light_radius=rng.uniform(0.4, 0.6), flux=600.0)
    disc = disc.shear(q=rng.uniform(0.4, 0.8), beta=rng.uniform(0, 180) * galsim.degrees)
    bulge = galsim.Sersic(n=2.5, half_light_radius=0.15, flux=rng.uniform(50, 200))
    seen = galsim.Convolve([disc + bulge, galsim.Gaussian(fwhm=0.19)])
    light = seen.drawImage(nx=SIDE, ny=SIDE, scale=SCALE, dtype=float).array
    islands, _ = ndimage.label(light > 0.5 * SIGMA)
    return light + SIGMA * rng.normal(size=light.shape), islands == islands[SIDE // 2, SIDE // 2]


def ours(image: Any, inside: Any, target: float) -> Any:
    """Return the map of bins by hstcube."""
    wht = np.full((1, SIDE, SIDE), SIGMA**-2)
    cube = build(image[None], wht, bands=["f160w"], grid=GRID, units="uJy", mask=inside[None])
    return hstcube.bin_pixels(cube, snr=target).values


def vorbin(image: Any, inside: Any, target: float) -> Any:
    """Return the map of bins by vorbin."""
    from vorbin.voronoi_2d_binning import voronoi_2d_binning

    y, x = np.nonzero(inside)
    noise = np.full(y.size, SIGMA)
    with contextlib.redirect_stdout(io.StringIO()):
        number = voronoi_2d_binning(
            x * 1.0, y * 1.0, image[inside], noise, target, plot=False, quiet=True, pixelsize=1
        )[0]
    bins = np.zeros(image.shape, int)
    bins[inside] = number + 1
    return bins


def figures(image: Any, bins: Any, target: float) -> list[float]:
    """Return roughness (95 %), scatter [%], and bins below the target [%], of several pixels."""
    ratio, rough = [], []
    for k in range(1, int(bins.max()) + 1):
        y, x = np.nonzero(bins == k)
        if y.size > 1:
            ratio.append(image[y, x].sum() / (SIGMA * y.size**0.5))
            rough.append(np.sqrt((y.var() + x.var() + 1 / 6) * 2 * np.pi / y.size))
    found = np.array(ratio)
    below = np.mean(found < target * 0.999)
    return [float(np.percentile(rough, 95)), 100 * found.std() / found.mean(), 100 * below]


if __name__ == "__main__":
    for snr in TARGETS:
        for how in (ours, vorbin):
            start, rows = time.process_time(), []
            try:
                for one in SEEDS:
                    seen, mask = galaxy(one)
                    rows.append(figures(seen, how(seen, mask, snr), snr))
            except ImportError:
                print("vorbin is not installed")
                continue
            rough, scatter, below = np.mean(rows, 0)
            print(
                f"{how.__name__}, S/N {snr}: roughness {rough:.2f} (95 %), scatter {scatter:.1f} %,"
                f" {below:.0f} % below, {(time.process_time() - start) / len(SEEDS):.2f} s"
            )
