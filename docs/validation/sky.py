"""The level of the sky on fields whose sky is known: how far it is off, and what it claims.

    python docs/validation/sky.py [number of fields]

Fields of Sersic models (astropy; PSFs of a pupil with wings that fall like r^-3; noise of drizzled
drops; `tests/crowded.py`), the same galaxies drawn by GalSim with its own PSFs, where it is
installed, and those of `hstcube demo`. Units: the noise of a pixel, 1/sqrt(wht). Without PSFs the
level is measured as it was before wings were taken off. Seeds are others than those that served to
find the method. The energies that STScI lists are not those of the PSFs of Sersic fields: they
differ by 0.1 to 0.8 % of the light.

The truth is the level without any light: that of galaxies in no label counts as bias too.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from functools import lru_cache
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

import crowded
from crowded import BANDS, SCALE, SIDE

import hstcube
from hstcube.demo.cameras import BANDS as OF_DEMO
from hstcube.demo.field import simulate
from hstcube.pipeline.recipe import blank_pixels

LIMIT = 0.02  # of a pixel's noise: the bias that is allowed
FIRST, FIRST_DEMO = 5000, 1


def made(number, draw=crowded.light_of, psf=None):
    """Yield cubes with their PSFs, blank pixels, true levels: not made by hstcube."""
    psf = crowded.known_psfs() if psf is None else psf
    for seed in range(FIRST, FIRST + number):
        scene = crowded.crowded_field(seed, draw)
        yield scene.cube(), psf, scene.labels == 0, np.zeros(len(BANDS))


def of_the_demo(number):
    """Yield the same of demo fields."""
    for seed in range(FIRST_DEMO, FIRST_DEMO + number):
        with tempfile.TemporaryDirectory() as folder:
            simulate(folder, seed=seed)
            cube = hstcube.open_field(folder, "demo")
            stars = hstcube.open_stars(Path(folder) / "psf_stars")
            psf = hstcube.measure_psf(hstcube.examine_stars(stars))
            (place,) = (Path(folder) / "segment_maps").glob("*demo*")
            blank = blank_pixels(hstcube.open_labels(place), hstcube.Grid.of(cube)).values
            yield cube, psf, blank, np.array([OF_DEMO[band].sky for band in cube.band.values])


@lru_cache
def optics(band):
    """Return a PSF of GalSim: 2.4 m with four vanes, the detector's pixel, its drop, wings."""
    import galsim

    infrared = crowded.WAVELENGTH[band] > 1
    exact = galsim.GSParams(maximum_fft_size=16384, folding_threshold=2e-3, kvalue_accuracy=1e-5)
    pupil = galsim.OpticalPSF(
        lam=1e3 * crowded.WAVELENGTH[band],
        diam=2.4,
        obscuration=0.33,
        nstruts=4,
        strut_thick=0.009,
        astig1=0.02,
        coma1=0.015,
        pad_factor=2.0,
        gsparams=exact,
    )
    pixel, drop = (0.128, 0.076) if infrared else (0.05, 0.03)
    blur = galsim.Gaussian(sigma=0.03 if infrared else 0.022)
    parts = [pupil, blur, galsim.Pixel(pixel), galsim.Pixel(drop)]
    core = galsim.Convolve(parts, gsparams=exact)
    scattered = galsim.Moffat(beta=1.9, half_light_radius=0.45, trunc=4.0, gsparams=exact)
    return 0.95 * core + 0.05 * scattered, exact


def drawn_by_galsim(found):
    """Return the light of galaxies, electron/s, (band, SIDE, SIDE)."""
    import galsim

    out = np.zeros((len(BANDS), SIDE, SIDE))
    for i, band in enumerate(BANDS):
        psf, exact = optics(band)
        bodies = []
        for mag, y, x, index, radius, flat, angle, slope in found:
            flux = crowded.flux_of(mag, slope, band)
            body = galsim.Sersic(n=index, half_light_radius=radius, flux=flux, trunc=8 * radius)
            turned = body.shear(q=1 - flat, beta=angle * galsim.radians)
            bodies.append(turned.shift(x, y))
        if bodies:
            scene = galsim.Convolve([galsim.Sum(bodies), psf], gsparams=exact)
            out[i] = scene.drawImage(nx=SIDE, ny=SIDE, scale=SCALE, dtype=float).array
    return out


def psfs_of_galsim():
    """Return the PSFs of all bands on the frame that a cube has them on, and their energies."""
    near, far = (2 * half + 1 for half in (crowded.HALF, crowded.REACH))
    shape = {"nx": far, "ny": far, "scale": SCALE, "dtype": float}
    whole = np.stack([optics(band)[0].drawImage(**shape).array for band in BANDS])
    offset = np.arange(far) - far // 2
    whole *= np.hypot(offset[:, None], offset) <= far // 2
    inside = slice(far // 2 - near // 2, far // 2 + near // 2 + 1)
    images = whole[:, inside, inside]
    share = images.sum(axis=(1, 2)) / whole.sum(axis=(1, 2))
    return crowded.known_psfs(images).assign_coords(psf_energy=("band", share))


def measured(fields):
    """Return bands, and (field, before or after, level - truth or claimed error, band)."""
    rows = []
    for cube, psf, blank, true in fields:
        noise = 1 / np.sqrt([np.median(wht[wht > 0]) for wht in cube.wht.values])
        both = (cube, hstcube.with_psf(cube, psf))
        levels = [hstcube.measure_sky(one, background=blank) for one in both]
        rows.append([[(one - true) / noise, one.sky_error / noise] for one in levels])
    return cube.band.values.tolist(), np.array(rows)


def table(title, bands, rows):
    """Print biases, scatter and claims of every band."""
    rms, claimed = (np.sqrt((rows[:, :, i] ** 2).mean(axis=0)) for i in (0, 1))
    bias, error = (f(rows[:, :, 0], axis=0) for f in (np.mean, np.std))
    error /= np.sqrt(len(rows))
    print(f"\n{title}, {len(rows)} fields; in units of a pixel's noise")
    print(
        "band    bias before      after            rms: before  after  ratio   rms/claimed b., a."
    )
    for i, name in enumerate(bands):
        biases = "  ".join(f"{bias[k, i]:+.3f} +- {error[k, i]:.3f}" for k in (0, 1))
        ratio = rms[1, i] / rms[0, i]
        told = " ".join(f"{rms[k, i] / claimed[k, i]:.2f}" for k in (0, 1))
        print(f"{name:7s} {biases}   {rms[0, i]:.3f}  {rms[1, i]:.3f}  {ratio:.2f}    {told}")
    worst, ratios = np.abs(bias[1]).max(), rms[1] / rms[0]
    print(f"largest bias {worst:.3f} (limit {LIMIT}); rms over before: mean {ratios.mean():.2f} "
          f"(limit 0.95), largest {ratios.max():.2f} (limit 1.1)")  # fmt: skip


def main():
    """Measure and print."""
    warnings.simplefilter("ignore")
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 24
    table("Sersic models", *measured(made(number)))
    try:
        psf = psfs_of_galsim()
    except ImportError:
        print("\nGalSim is not installed: pip install galsim")
    else:
        table("GalSim", *measured(made(number, drawn_by_galsim, psf)))
    table("demo", *measured(of_the_demo(12)))


if __name__ == "__main__":
    main()
