"""Line maps of IFUs: the forward model, weights, shift, width and errors on a made-up galaxy.

The galaxy is a sum of Gaussians in two bands, its line a sum of these (`tests/ifu/line_scene.py`);
the map is made on a grid ten times finer and convolved with a Moffat profile. With HSTCUBE_XDF set,
also the six galaxies of the XDF with line maps: what predicts blocks that were left out.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

import hstcube
from hstcube.core.grids import Grid
from hstcube.errors import HstCubeWarning
from hstcube.forward.psfs import Moffat
from hstcube.ifu.scenes import bands_of, line_of, scene_of

TESTS = Path(__file__).parents[2] / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "ifu")]
import line_scene as made  # noqa: E402  made for the tests

warnings.simplefilter("ignore", HstCubeWarning)
KEEP = np.ones((100, 100), bool)
GALAXIES = ("3", "15", "37", "912", "919", "982")
LINES = ("OII3726", "OII3729")
NOISE = 0.02  # of a pixel of the bands, whose peaks are 1 and 4
HALF = ("f435w", "f160w")


def forward_model() -> None:
    """Compare the forward model with the finer scene on three grids."""
    print("Forward model against the ten times finer scene")
    print(f"{'grid':24} {'largest / peak':>15} {'sum - 1':>10}")
    cases = {"turned by 42 deg": (42, False), "flipped, 42 deg": (42, True), "as it is": (0, False)}
    for name, (angle, flipped) in cases.items():
        truth = made.turned(angle, flipped=flipped)
        whole = line_of(made.line(truth, 100, cut=-np.inf))
        scene, used = scene_of(bands_of(made.cube()), KEEP, whole, Moffat(0.65))
        model = made.WEIGHTS @ scene.seen(Moffat(0.65), truth.shift)
        true = made.seen(truth)[used]
        off = np.abs(model - true).max() / true.max()
        print(f"{name:24} {off:15.1e} {model.sum() / true.sum() - 1:10.1e}")


def fits(snr: float, number: int, *, cut: float) -> None:
    """Fit draws of the map and of the bands."""
    rng, found, pulls = np.random.default_rng(11), [], []
    light = made.images().sum((1, 2))
    true = np.array([*made.Truth().shift, *made.WEIGHTS, made.WEIGHTS @ light])
    for _ in range(number):
        fit = hstcube.fit_line(
            made.cube(NOISE, rng), made.line(made.Truth(), snr, rng, cut), psf="0.65arcsec",
            keep=KEEP,
        )  # fmt: skip
        covariance = fit.covariance.values
        flux = float(fit.weights.values @ light)
        error = np.sqrt(light @ covariance[2:, 2:] @ light)
        values = np.array([float(fit.dy), float(fit.dx), *fit.weights.values, flux])
        errors = np.array([*np.sqrt(np.diag(covariance)), error])
        found.append(values - true)
        pulls.append((values - true) / errors)
    print(f"\nfit_line, S/N {snr:g} at the peak, {number} draws, pixels above S/N {cut:g}")
    print(f"{'':12} {'bias':>10} {'scatter':>9} {'width of pulls':>15}")
    for i, name in enumerate(("dy [arcsec]", "dx [arcsec]", "w1 [A]", "w2 [A]", "flux / true")):
        values = np.array(found)[:, i] / (true[-1] if i == 4 else 1)  # noqa: PLR2004
        width = np.sqrt(np.mean(np.array(pulls)[:, i] ** 2))
        print(f"{name:12} {values.mean():+10.4f} {values.std():9.4f} {width:15.2f}")


def registrations(snr: float, number: int) -> None:
    """Register draws of an image of one band."""
    rng, found, pulls = np.random.default_rng(12), [], []
    truth = made.Truth()
    weights = made.WEIGHTS.copy()
    made.WEIGHTS[:] = (0, 20)
    made.seen.cache_clear()
    try:
        for _ in range(number):
            one = made.cube(NOISE, rng).sel(band=["f160w"])
            image = made.line(truth, snr, rng, cut=-np.inf)
            fit = hstcube.register_map(
                one, image, psf="0.6arcsec,beta=2.8", fit=("dy", "dx", "fwhm")
            )
            values = np.array([float(fit[name]) for name in ("dy", "dx", "fwhm", "scale")])
            errors = np.array([float(fit[f"{n}_error"]) for n in ("dy", "dx", "fwhm", "scale")])
            off = values - [*truth.shift, truth.fwhm, 20.0]
            found.append(off)
            pulls.append(off / errors)
    finally:
        made.WEIGHTS[:] = weights
        made.seen.cache_clear()
    print(f"\nregister_map, S/N {snr:g} at the peak, {number} draws, begun at 0.6 arcsec")
    print(f"{'':12} {'bias':>10} {'scatter':>9} {'width of pulls':>15}")
    for i, name in enumerate(("dy [arcsec]", "dx [arcsec]", "fwhm", "scale/true")):
        values = np.array(found)[:, i] / (20.0 if i == 3 else 1)  # noqa: PLR2004
        width = np.sqrt(np.mean(np.array(pulls)[:, i] ** 2))
        print(f"{name:12} {values.mean():+10.4f} {values.std():9.4f} {width:15.2f}")


def galaxy(root: Path, name: str) -> tuple[Any, Any, Any, Any]:
    """Return the matched cube, the pixels without neighbours, those of the object, the map."""
    cube = hstcube.open_field(root, name)
    grid = Grid.of(cube)
    labels = hstcube.open_labels(root / "segment_maps" / f"udf_mosaic_{name}_HST_SEGMAP.fits")
    seen = hstcube.regrid_labels(labels, grid)
    cube = hstcube.subtract_sky(cube, hstcube.measure_sky(cube, background=seen == 0))
    cube = hstcube.psf_match(cube, to="f160w", allow="all")
    own = hstcube.regrid_mask(hstcube.grow(hstcube.object_mask(labels), pixels=3), grid).values
    (place,) = (root / "muse").glob(f"*_{name}_o2_*")
    flux, error = (
        [f"{place}/{place.name}_ssmooth_{kind}_common_{one}_mclean5.0.fits" for one in LINES]
        for kind in ("flux", "eflux")
    )
    at = 3728.8 * (1 + float(place.name.split("_Z_")[1]))
    line = hstcube.open_map(flux, error=error, unit=made.UNIT, smoothed="0.4arcsec", wavelength=at)
    return cube, own | (seen.values <= 0), own, line


def companion(cube: Any, raw: Any) -> Any:
    """Return a cube of one band: what 2022 made of two, put right; negative light is none."""
    names = cube.band.values.tolist()
    flux = hstcube.to_flux(cube, f"{made.UNIT} AA-1")
    first, second = (names.index(name) for name in ("f160w", "f814w"))
    unit = 10 ** (-0.4 * (raw.zeropoint.values + 48.6)) * 2.99792458e18 / raw.pivot.values**2 * 1e20
    sci = flux.sci.values[first] / unit[first] - 0.2 * flux.sci.values[second] / unit[second]
    one = flux.isel(band=[first])
    return one.assign(sci=one.sci.copy(data=np.maximum(sci, 0)[None].astype(np.float32)))


def timed(*args: Any, **given: Any) -> tuple[Any, float]:
    """Return a fit, and the least CPU time of three [s]."""
    found, seconds = None, []
    for _ in range(3):
        start = time.process_time()
        found = hstcube.fit_line(*args, **given)
        seconds.append(time.process_time() - start)
    return found, min(seconds)


def real(root: Path) -> None:
    """Tell what predicts the maps of the XDF's galaxies."""
    lines = (root / "muse" / "psf_fwhm.txt").read_text().splitlines()
    widths = {q.split()[0]: 0.2 * float(q.split()[1]) for q in lines if not q.startswith("#")}
    print("\nThe galaxies of the XDF; left out: rms residual over rms signal of blocks left out")
    head = (
        "left out",
        "2022",
        "dy",
        "dx",
        "resid.",
        "negative",
        "blank",
        "cancel",
        "CPU 2",
        "CPU 9",
    )
    print(f"{'':6}" + "".join(f"{word:>10}" for word in head))
    found, before = [], []
    for name in GALAXIES:
        cube, keep, own, line = galaxy(root, name)
        psf = f"{widths[name]}arcsec,beta=2.8"
        _, two = timed(cube, line, psf=psf, keep=keep, bands=HALF)
        fit, nine = timed(cube, line, psf=psf, keep=keep)
        old = hstcube.fit_line(
            companion(cube, hstcube.open_field(root, name)), line, psf=psf, keep=keep
        )
        model = hstcube.line_model(cube, fit).sci.values[0].astype(float)
        blank = model[keep & ~own]
        rms = 1.4826 * np.median(np.abs(blank - np.median(blank))) / model[own].max()
        negative = -model[own & (model < 0)].sum() / model[own].sum()
        found.append(float(fit.set_nrms[0]))
        before.append(float(old.set_nrms[0]))
        numbers = (
            f"{found[-1]:10.3f}{before[-1]:10.3f}{float(fit.dy):10.3f}{float(fit.dx):10.3f}"
            f"{float(fit.residual_rms):10.2f}{negative:10.3f}{rms:10.4f}"
            f"{float(fit.cancelling):10.1f}{two:10.2f}{nine:10.2f}"
        )
        print(f"{name:6}{numbers}")
    means = (np.exp(np.mean(np.log(one))) for one in (found, before))
    print(f"{'mean':6}" + "".join(f"{mean:10.3f}" for mean in means))


def tables() -> None:
    """Print all tables."""
    forward_model()
    fits(100, 60, cut=5)
    fits(25, 30, cut=-np.inf)
    registrations(100, 60)
    registrations(25, 30)
    if "HSTCUBE_XDF" in os.environ:
        real(Path(os.environ["HSTCUBE_XDF"]))


def main() -> None:
    """Print all tables, or write them into docs/ifu.md."""
    if "--page" not in sys.argv:
        tables()
        return
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        tables()
    page = Path(__file__).parents[1] / "ifu.md"
    before, _, rest = page.read_text(encoding="utf-8").partition("```text\n")
    after = rest.partition("```\n")[2]
    page.write_text(f"{before}```text\n{said.getvalue()}```\n{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
