"""Sigmas of partly filled blocks, and fractional apertures: against exact operators, photutils."""

from __future__ import annotations

import numpy as np
import xarray as xr
from photutils.aperture import CircularAperture, aperture_photometry

import hstcube
from hstcube import Grid, build, psf_match, rebin, with_noise

SIDE, SCALE = 40, 0.06
ONE = np.exp(-0.5 * (np.arange(-10, 11) / 1.4) ** 2)
KERNEL = np.outer(ONE, ONE) / ONE.sum() ** 2
RHO = np.outer(*[np.convolve(ONE, ONE) / (ONE**2).sum()] * 2)


def blocks() -> None:
    """Print the sigma of blocks of 2x2 pixels over the exact one, by how many have data."""
    grid = Grid.around((53.16, -27.78), (SIDE * SCALE, SIDE * SCALE), SCALE)
    empty = np.zeros((1, SIDE, SIDE))
    cube = build(empty, empty + 1, bands=["f435w"], grid=grid, units="electron s-1")
    kernel = xr.DataArray(KERNEL[None], {"band": np.array(["f435w"], object)}, ("band", "ky", "kx"))
    cube = psf_match(with_noise(cube, "white"), kernels=kernel, to="0.2arcsec")
    holes = {4: [], 3: [(20, 20)], 2: [(20, 20), (21, 21)]}
    for number, gone in holes.items():
        wht = cube.wht.values.copy()
        for y, x in gone:
            wht[0, y, x] = 0
        seen = xr.DataArray(wht > 0, dims=cube.wht.dims)
        holed = cube.assign(
            sci=cube.sci.where(seen), wht=cube.wht.where(seen, 0), mask=cube.mask & seen
        )
        made = rebin(holed, 2)
        told = made.noise_scale.item() / np.sqrt(made.wht.values[0, 10, 10])
        there = [(y, x) for y in (20, 21) for x in (20, 21) if (y, x) not in gone]
        middle = len(RHO) // 2
        pairs = sum(RHO[middle + a[0] - b[0], middle + a[1] - b[1]] for a in there for b in there)
        sigma = cube.noise_scale.item() / np.sqrt(cube.wht.values[0, 20, 20])
        ratio = told / (4 / number * sigma * pairs**0.5)
        print(f"rebin, {number} of 4 pixels: told/exact {ratio:.4f}")


def apertures() -> None:
    """Print the largest difference to photutils' sums, and the scatter of whole pixels."""
    grid = Grid.around((53.16, -27.78), (SIDE * SCALE, SIDE * SCALE), SCALE)
    flat = np.ones((1, SIDE, SIDE))
    cube = build(flat, flat, bands=["f160w"], grid=grid, units="uJy", zeropoint=[23.9], sky=[0.0])
    sums: dict[str, list[float]] = {"exact": [], "center": []}
    away = []
    for y, x in np.random.default_rng(1).uniform(19, 21, (100, 2)):
        place = grid.wcs.pixel_to_world(x, y)
        for overlap, found in sums.items():
            groups = hstcube.apertures(cube, place, radius=0.2, overlap=overlap)
            found.append(hstcube.photometry(cube, groups)["flux_f160w"][0].value)
        theirs = aperture_photometry(flat[0], CircularAperture((x, y), 0.2 / SCALE))
        away.append(abs(sums["exact"][-1] / theirs["aperture_sum"][0] - 1))
    print(f"apertures of 0.2 arcsec: exact over photutils - 1 at most {max(away):.1e}")
    for overlap, found in sums.items():
        print(f"apertures of 0.2 arcsec, {overlap}: scatter {np.std(found) / np.mean(found):.2%}")


if __name__ == "__main__":
    blocks()
    apertures()
