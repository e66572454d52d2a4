"""Write docs/noise.md from the XDF stamps in the folder that HSTCUBE_XDF names; and its picture."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from make_noise_table import stamps

import hstcube
from hstcube.basics.convolution import convolver
from hstcube.matching.kernels import gaussian_kernels
from hstcube.noise.empty_apertures import noise_check
from hstcube.plots.cube import figure_bytes
from hstcube.plots.sky import noise_curve
from hstcube.sky.sources import detect_sources

DOCS = Path(__file__).parent
SIZES = (1, 2, 3, 5, 7, 10)
TRIALS = 3
BOXES = (1, 3, 5, 10)

TEXT = """# Errors of groups of pixels

*Written by `docs/make_noise.py` from six stamps of the XDF.*

The noise of a band is described by two things: the standard deviation of a single pixel,
`noise_scale / sqrt(wht)`, and the autocorrelation `noise_acf`, the same everywhere in the band. The
sum over a group of pixels has the variance

    sum over i, j of sigma_i sigma_j rho(i - j)  +  N^2 sky_error^2

    noise = hstcube.calibrate_noise(cubes, background=maps)   # fields of one survey, as observed
    cube = hstcube.with_noise(cube, noise)      # or with_noise(cube): a known survey's table
    cube = hstcube.add_poisson(cube)            # sources' own photons, by the times of the headers
    cube = hstcube.psf_match(cube)              # carries wht, noise_scale and noise_acf along
    errors = hstcube.group_errors(cube, bins)                 # (band, group)

The noise of a survey that no table knows is taken as white, which a note says (HC-N20). `hstcube
run --measure-noise` measures it on each field's own blank sky: of the made-up stamp of `hstcube
demo`, 100 x 100 pixels of which 4000 are blank, to 4 %, where white noise is off by a factor of
two in the IR; empty apertures of the matched cube then scatter by 0.96 to 1.06 of their errors.

## What `wht` and `noise_scale` say after matching

Let rho be the autocorrelation before, and C = K corr K. `noise_acf` becomes (rho conv C)/(rho conv
C)(0), and `noise_scale` grows by the square root of (rho conv C)(0)/C(0), one number a band. `wht`
is noise_scale^2 over the variance of each pixel, var_i = sum over lags l of rho(l) [K(m) K(m - l)]
conv [sigma(j) sigma(j + l)], divided by (K conv v)^2. So

- the variance of one pixel is `noise_scale^2 / wht` everywhere, also at edges, holes and steps of
  the weights;
- for white noise `wht` is what the squared kernel gives, bit for bit, and `noise_scale` stays 1;
- where the weights are constant `wht` stays white-equivalent: it is what the squared kernel would
  give for white noise.

A cube of which nothing is known has white noise before the matching; afterwards `noise_acf` is that
of the kernels.

The autocorrelation is kept to 0.96 arcsec (16 pixels of 60 mas), or as far as it exceeds 0.001.
Cutting, striding and flipping a cube keep its meaning. netCDF and zarr hold the coordinates
`noise_scale`, `noise_acf`, `dy`, `dx`; in FITS `NSCALE` is a card and the autocorrelation an
extension `NOISEACF` beside the weights.

## How exact

Against the exact form, the sum over input pixels of var_j (K^T 1_group)_j^2: single pixels 0.5 %,
also at edges, holes and steps of x10; groups 2.2 % for constant weights (boxes of 1x1 to 20x20
pixels, rings, irregular and scattered groups, in the middle and at edges; 4.3 % in the corner of a
frame), 5.0 % at holes and steps. There the correlations are those of a truncated kernel, which one
autocorrelation a band cannot know. These are the worst of white and drizzled noise and of four
kernels, three Gaussians and one with a negative ring; the tests hold them to 1, 3 and 6 %.

## The sky of the XDF

Scatter of empty square apertures over what is predicted. *scatter*: the local background (0.6
arcsec) is removed from the images, and what that takes away from the noise is removed from the
prediction; *simulated*: the same on noise made from the description; *constant sky*: nothing is
removed but one level, so that faint sources and gradients count; *plain sum*: the scatter over the
quadrature sum of 1/wht. 1 is right.

"""

MATCHED = """
## After matching to F160W

What two customary errors give, over the true one, for boxes in the middle of a stamp. *quadrature*:
the right variance of single pixels, summed; *unsquared*: the variance convolved with K instead of
K^2, summed.

"""

LIMITS = """
## Limits

- `noise_acf` is measured to 0.30 arcsec in ACS and UVIS and 0.18 in the IR, and is zero beyond:
  boxes of ten pixels scatter up to 17 % more than predicted. Part of that is the prediction of what
  the removed background takes away, which holds for boxes smaller than that background's scale:
  simulated ones scatter up to 16 % more, too.
- In the infrared the sky of the XDF is confused: what faint sources are left after masking is part
  of the noise, and of `noise_scale` (0.47 to 0.50) and `noise_acf`. It depends on the mask: with
  the maps of fewer sources it is larger.
- `calibrate_noise` without a map is worse than with one: `detect_sources` finds fewer sources than
  the survey's own map.
- A measured autocorrelation need not be one of any noise: for a group to which it gives a negative
  variance the error is NaN.
"""


def main() -> None:
    """Write the page and the picture."""
    warnings.simplefilter("ignore")
    cubes, maps = stamps()
    noise = hstcube.calibrate_noise(cubes, background=maps)
    described = [hstcube.with_noise(cube, noise) for cube in cubes]
    check = noise_check(described, background=maps, sizes=SIZES)
    blank = [
        ((sky == 0) | (sky == -1)) & ~detect_sources(cube).values
        for cube, sky in zip(cubes, maps, strict=True)
    ]
    made = simulated(described, blank)
    lines = [
        "| band | noise_scale | sum of rho | side | apertures | scatter | simulated | constant sky "
        "| plain sum |"
    ]
    lines += ["|---|---|---|---|---|---|---|---|---|"]
    for i, row in enumerate(check):
        one = noise.sel(band=row["band"])
        total, scale = float(one.noise_acf.sum()), float(one.noise_scale)
        plain = row["constant"] * row["predicted"] / quadrature(cubes, row["band"], row["size"])
        cells = (
            row["band"],
            f"{scale:.3f}",
            f"{total:.2f}",
            row["size"],
            row["number"],
            *map(number, (row["ratio"], made[i])),
        )
        lines.append(
            "| " + " | ".join(map(str, (*cells, number(row["constant"]), number(plain)))) + " |"
        )
    (DOCS / "images" / "noise.png").write_bytes(figure_bytes(noise_curve(check)))
    lines += [
        "",
        "![scatter over prediction](images/noise.png)",
        "",
        "Blue: scatter; red: constant sky.",
        "",
    ]
    text = (
        TEXT + "\n".join(lines) + MATCHED + "\n".join(after_matching(described[0])) + "\n" + LIMITS
    )
    (DOCS / "noise.md").write_text(text, encoding="utf-8")


def number(value: float) -> str:
    """Return a cell of the tables."""
    return f"{value:.2f}"


def quadrature(cubes: list, band: str, size: int) -> float:
    """Return what the weights alone say of a square, the median over the stamps."""
    return float(np.median([size / np.sqrt(np.median(cube.wht.sel(band=band))) for cube in cubes]))


def simulated(cubes: list, blank: list) -> list[float]:
    """Return scatter over prediction of noise that is as described, for rows of the check."""
    rng = np.random.default_rng(1)
    ratios = []
    for _ in range(TRIALS):
        images = [cube.assign(sci=cube.sci.copy(data=noise_of(cube, rng))) for cube in cubes]
        ratios.append(noise_check(images, background=blank, sizes=SIZES)["ratio"])
    return np.mean(ratios, axis=0).tolist()


def noise_of(cube, rng) -> np.ndarray:
    """Return noise of a cube's description.

    White noise through the square root of its power spectrum.
    """
    side = 2 * max(cube.sizes["y"], cube.sizes["x"])
    images = []
    for i in range(cube.sizes["band"]):
        acf, circle = cube.noise_acf.values[i], np.zeros((side, side))
        lags = np.arange(acf.shape[0]) - acf.shape[0] // 2
        circle[np.ix_(lags, lags)] = acf
        power = np.clip(np.fft.fft2(circle).real, 0, None)
        image = np.fft.ifft2(np.fft.fft2(rng.normal(size=circle.shape)) * np.sqrt(power)).real
        image = image[: cube.sizes["y"], : cube.sizes["x"]]
        images.append(image * cube.noise_scale.values[i] / np.sqrt(cube.wht.values[i]))
    return np.array(images, np.float32)


def after_matching(cube) -> list[str]:
    """Return the table of what two customary errors give after matching."""
    matched, kernels = hstcube.psf_match(cube), gaussian_kernels(cube, to="f160w").values
    variance = hstcube.variance(matched).values
    head = [f"{what} {size}x{size}" for what in ("quadrature", "unsquared") for size in BOXES]
    lines = ["| band | " + " | ".join(head) + " |", "|---" * (len(head) + 1) + "|"]
    for i, band in enumerate(cube.band.values):
        native = cube.noise_scale.values[i] ** 2 / cube.wht.values[i].astype(float)
        unsquared = convolver(kernels[i], native.shape)(native)
        ratios: list[list[float]] = [[], []]
        for size in BOXES:
            box = np.zeros(native.shape, int)
            box[40 : 40 + size, 40 : 40 + size] = 1
            true = hstcube.group_errors(matched.isel(band=[i]), box).item()
            for kind, image in zip(ratios, (variance[i], unsquared), strict=True):
                kind.append(np.sqrt(image[box > 0].sum()) / true)
        lines.append(
            f"| {band} | " + " | ".join(number(value) for kind in ratios for value in kind) + " |"
        )
    return lines


if __name__ == "__main__":
    main()
