"""Write docs/psf.md and its pictures, from the stars of the XDF.

HSTCUBE_XDF=FOLDER python docs/make_psf.py.
"""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

import hstcube
from hstcube.matching.kernels import gaussian_kernels
from hstcube.matching.solver import convolved, matching_kernel
from hstcube.plots import cube as plot
from hstcube.plots import psf as psf_plot
from hstcube.psf import stars
from hstcube.psf.profiles import RADII, encircled_energy, radius_map

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS.parent / "tests"), str(DOCS.parent / "tests" / "psf"), str(DOCS)]

from make_errors import table  # noqa: E402
from telescope import noisy, telescope  # noqa: E402
from test_stars import FAR, left_out, measured_kernels  # noqa: E402

TARGET = "f160w"
WAYS = {  # and the limits of the panel
    "unmatched": (0.9, 2.9),
    "Gaussians of the widths of 2022": (0.85, 1.25),
    "measured PSFs": (0.95, 1.05),
}


def main() -> None:
    """Write the page and its pictures."""
    warnings.simplefilter("ignore", hstcube.HstCubeWarning)
    opened = hstcube.open_stars(Path(os.environ["HSTCUBE_XDF"]) / "psf_stars")
    looked_at = hstcube.examine_stars(opened)
    psf = hstcube.measure_psf(looked_at)
    scores = {
        way: left_out(opened, looked_at, kernels) for way, kernels in ways(opened["2"]).items()
    }
    for name, figure in {
        "psf_stars": psf_plot.stars(looked_at),
        "psf_growth": drawn_growth(scores),
    }.items():
        (DOCS / "images" / f"{name}.png").write_bytes(plot.figure_bytes(figure))
    page = TEXT.format(
        limits=", ".join(f"`{name}` {getattr(stars, name):g}" for name in LIMITS),
        verdicts="\n".join(verdicts(looked_at)),
        psfs="\n".join(measured(psf)),
        left_out="\n".join(left_out_table(scores)),
        truth="\n".join(truth()),
    )
    (DOCS / "psf.md").write_text(page, encoding="utf-8")


LIMITS = ("FLATTENED", "DAMAGED", "LOW_WEIGHT", "EXTENDED", "FAINT", "NO_WINGS")


def ways(cube: Any) -> dict[str, Any]:
    """Return what gives kernels from stars, for each way to match."""
    gaussian = gaussian_kernels(cube, to=TARGET)
    fixed = {band: gaussian.sel(band=band).values for band in cube.band.values if band != TARGET}
    nothing = dict.fromkeys(fixed, np.ones((1, 1)))
    return dict(zip(WAYS, (lambda _: nothing, lambda _: fixed, measured_kernels), strict=True))


# -- tables


def verdicts(looked_at: Any) -> list[str]:
    """Return the table of stars: what the limits are applied to, and what came out."""
    best = {}
    good = looked_at.verdict != "rejected"
    sound = good & (looked_at.core_weight >= stars.LOW_WEIGHT)
    best["misfit"] = looked_at.misfit.where(sound).min("star")
    sound &= looked_at.misfit <= stars.DAMAGED * best["misfit"]
    width = looked_at.core_width / looked_at.core_width.where(sound).min("star")
    misfit = looked_at.misfit / best["misfit"]
    compact = looked_at.compactness / looked_at.compactness.max("star")
    rows = [
        (
            str(star),
            str(band),
            *(
                f"{float(c.sel(star=star, band=band)):.2f}"
                for c in (width, misfit, looked_at.core_weight, compact)
            ),
            f"{float(looked_at.snr.sel(star=star, band=band)):.0f}",
            str(looked_at.verdict.sel(star=star, band=band).item()),
            short(str(looked_at.reason.sel(star=star, band=band).item())),
        )
        for star in looked_at.star.values
        for band in looked_at.band.values
    ]
    return table(
        ("star", "band", "width", "misfit", "weight", "compactness", "S/N", "verdict", "why"), rows
    )


def short(reason: str) -> str:
    """Return a reason without the figures that stand beside it."""
    return reason.split(";", maxsplit=1)[0].split(":", maxsplit=1)[0].split(",", maxsplit=1)[0]


def measured(psf: Any) -> list[str]:
    """Return the table of what was measured: widths, and encircled energies of the PSFs."""
    radii = (0.06, 0.12, 0.18, 0.3, 0.6)
    rows = []
    for band in psf.band.values:
        image = psf.sel(band=band).values.astype(float)
        grown = encircled_energy(image, np.array([*radii, 1.2]) / 0.06)
        rows.append(
            (
                str(band),
                f"{float(psf.fwhm.sel(band=band)):.3f}",
                *(f"{e / grown[-1]:.3f}" for e in grown[:-1]),
            )
        )
    return table(("band", "FWHM, arcsec", *(f'within {r}"' for r in radii)), rows)


def left_out_table(scores: dict[str, Any]) -> list[str]:
    """Return the table of what matching does to a star that had no part in it."""
    rows = []
    for band in scores["measured PSFs"]:
        cells = []
        for way in WAYS:
            found = scores[way][band]
            error = np.array([row[0] for row in found])
            cells.append(f"{100 * np.median(abs(error[:, FAR]).max(1)):.1f}")
        rms = 100 * np.median(np.sqrt((error**2).mean(1)))
        residual, negative = np.median([row[1:] for row in found], axis=0)
        together = 100 * abs(np.median(error, 0)[FAR]).max()
        cells += [f"{rms:.1f}", f"{together:.1f}", f"{100 * residual:.1f}", f"{negative:.2f}"]
        rows.append((str(band), str(len(found)), *cells))
    head = (
        "band",
        "stars",
        *WAYS,
        "rms, %",
        "of the median curve, %",
        "residual, %",
        "negative part",
    )
    return table(head, rows)


def truth() -> list[str]:
    """Return the table of kernels between PSFs that are known."""
    rng = np.random.default_rng(1)
    target = telescope(TARGET)
    inside = radius_map(target.shape) <= RADII[-1] / 0.06
    rows = []
    for band in ("f435w", "f606w", "f814w", "f850lp", "f105w", "f125w", "f140w"):
        kernel = matching_kernel(noisy(telescope(band), rng), noisy(target, rng))
        made = convolved(telescope(band), kernel)
        radii = np.arange(1.0, 33)
        error = 100 * np.abs(encircled_energy(made, radii) / encircled_energy(target, radii) - 1)
        figures = (error[2:].max(), error[0], 100 * np.abs(made - target)[inside].sum())
        rows.append(
            (band, *(f"{figure:.2f}" for figure in figures), f"{-kernel[kernel < 0].sum():.2f}")
        )
    return table(("band", 'from 0.18", %', "at one pixel, %", "residual, %", "negative part"), rows)


# -- pictures


def drawn_growth(scores: dict[str, Any]) -> Figure:
    """Draw encircled energies over F160W's, the median of the stars, for each way."""
    figure = Figure(figsize=(11, 4), layout="constrained")
    colours = [f"C{i}" for i in range(9)]
    for axis, (way, limits) in zip(figure.subplots(1, len(WAYS)), WAYS.items(), strict=True):
        axis.axhspan(0.99, 1.01, color="0.88", lw=0)
        axis.axhline(1, color="0.5", lw=0.8)
        for colour, (band, found) in zip(
            colours, sorted(scores["unmatched"].items(), key=wavelength), strict=False
        ):
            rows = scores[way].get(band)
            if rows:
                curve = 1 + np.median([row[0] for row in rows], axis=0)
                axis.plot(RADII, curve, color=colour, lw=1.2, marker="o", ms=2.5, label=band)
            else:
                axis.plot(
                    [],
                    [],
                    color=colour,
                    lw=1.2,
                    ls=":",
                    label=f"{band}: {len(found)} star, none to leave out",
                )
        axis.set_ylim(*limits)
        axis.set_xlim(0.03, 1.2)
        axis.set_title(way, fontsize=10)
        axis.set_xlabel("radius, arcsec", fontsize=9)
        axis.tick_params(labelsize=8)
    figure.axes[0].set_ylabel("encircled energy over that of F160W", fontsize=9)
    figure.axes[-1].legend(fontsize=6.5, ncols=2, loc="lower right", frameon=False)
    return figure


def wavelength(entry: tuple[str, Any]) -> float:
    """Return what bands are sorted by."""
    return hstcube.core.bands.band(entry[0]).pivot


TEXT = """# PSFs: how they are measured, and what matching with them achieves

*Written by `docs/make_psf.py` from the stars of the XDF, stamps of 60 mas.*

    stars = hstcube.open_stars(FOLDER)          # or star_stamps(cube, find_stars(cube))
    looked_at = hstcube.examine_stars(stars)    # which star can be trusted where (star, band)
    hstcube.star_table(looked_at)               # ... as a table
    psf = hstcube.measure_psf(looked_at)        # (band, ky, kx)
    cube = hstcube.psf_match(hstcube.with_psf(cube, psf))
    hstcube.psf_quality(cube)

## Stars

![Every star in every band, cleaned and centred, with its verdict](images/psf_stars.png)

A star is centred by a Gaussian fitted to its core. Pixels that are twice as bright as those across
the star, in at least two bands, are neighbours: a point source is subtracted, anything else is
replaced by what lies opposite. The median of the outermost ring is the background. Then a star can
be

- *rejected*: too faint, or extended, i.e. with less light within 0.45 arcsec (of that within 1.2)
  than the most compact star;
- *wings only*: its core is wider than that of the narrowest star (saturated), fits a Gaussian much
  worse than the best one does, or has pixels of little weight (damaged);
- *core only*: its wings drown in noise;
- *used*.

The limits stand at the top of `hstcube/stars.py`: {limits}. In the table the width of the core is
over that of the narrowest star, the misfit over the least, the weight is the least one in the core
over the stamp's median, and compactness is over that of the most compact star. A verdict can be
changed before `measure_psf` is called: `looked_at.verdict.loc["3", "f105w"] = "used"`.

{verdicts}

The PSF is the mean of the stars, weighted by signal to noise and clipped at 3 sigma; core and wings
may come from different stars. What is measured is the mean PSF over all places within a pixel, as
sources have it, and as kernels need it: a star of ACS looks different at the middle of a pixel of
60 mas and at its corner.

{psfs}

## Matching

![Encircled energy over F160W's: native, with Gaussians, with measured PSFs](images/psf_growth.png)

Each star in turn is left out: kernels come from the other stars and are applied to its stamp as it
was observed. The curves are medians over the stars of a band, set to one at 1.2 arcsec; the grey
band is 1 %. The scales differ: the last panel shows 5 %. In the table, the three ways stand with
their largest error of encircled energy, in %, at 0.18 arcsec and beyond, the median over the stars;
the other columns are of measured PSFs: the rms error over 0.06 to 1.2 arcsec, the largest error of
the median curve (what is left when stars are averaged), the light that is misplaced within 1.2
arcsec, and the negative part of the kernel. F606W has one star that is not saturated, and cannot be
tested so.

{left_out}

## Known truth

The same of PSFs that are known (`tests/telescope.py`: an obstructed aperture with spiders and some
astigmatism, computed four times finer than the pixels, drizzled), when what the kernel is made of
has noise of 1e-5 per pixel.

{truth}

## What to know

- Fluxes are set to one within the frame of the PSF (3.9 arcsec for 65 pixels of 60 mas). The light
  beyond it, which differs from band to band by a percent or two for point sources, is not matched.
- The outermost ring of a stamp still holds a little light of the star, which the background takes
  with it. In simulated stars encircled energies come out too high by 0.3 to 0.45 % within 1.2
  arcsec, in all bands alike.
- Four stars do not show all places within a pixel: in ACS at 60 mas single pixels of the measured
  PSF scatter (misplaced light of 10 to 15 % in simulations with four stars), while encircled
  energies are right to 1 % from one pixel on.
- In WFC3/IR the spikes of stars 2 and 4 lie at other angles than those of 3 and 5, and not every
  band of a star shows the same: the mosaic mixes exposures at several roll angles, differently from
  place to place. The mean has all of them, and no kernel is right for each place.
- Kernels are made by `hstcube.matching_kernel`; its module says how, and `benchmarks/README.md` how
  it compares.
"""


if __name__ == "__main__":
    main()
