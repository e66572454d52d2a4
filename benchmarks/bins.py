"""How long binning and photometry take.

CPU time on one thread, against the limits that they must keep.
"""

from __future__ import annotations

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"  # before numpy is loaded

import statistics  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
import warnings  # noqa: E402
from typing import TYPE_CHECKING, Any  # noqa: E402

import numpy as np  # noqa: E402
from scipy import ndimage  # noqa: E402

import hstcube  # noqa: E402
from hstcube.phot.bins import group_snr  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

REPEATS = 3
SIDE = 108  # the round mask has 9,000 pixels
NINE = ("f435w", "f606w", "f775w", "f814w", "f850lp", "f105w", "f125w", "f140w", "f160w")


def main() -> None:
    """Measure, and print a table; fail where a limit is not kept."""
    warnings.simplefilter("ignore")
    print("| what | rim | bins | scatter | CPU [s] | limit [s] | kept |\n" + "|---" * 7 + "|")
    late = False
    for bands, limit in ((("f160w",), 2.0), (("f435w", "f160w"), 2.0), (NINE, 8.0)):
        for rim in (0.3, 2.0):
            cube = galaxy(bands, rim)
            for what, settings in (("", {}), (", one shape of spectra", {"sed_shape": 4.0})):
                if settings and len(bands) == 1:
                    continue
                spent, bins = cpu_of(
                    lambda cube=cube, settings=settings: hstcube.bin_pixels(cube, **settings)
                )
                late |= not settings and spent > limit
                bound = (
                    ("", "") if settings else (f"{limit:.0f}", "yes" if spent <= limit else "NO")
                )
                size = f"{int((bins > 0).sum())} px in {len(bands)} bands{what}"
                print(
                    f"| {size} | {rim} | {int(bins.max())} | {scatter(cube, bins):.1%} | "
                    f"{spent:.2f} | {bound[0]} | {bound[1]} |",
                    flush=True,
                )
    spent, _ = cpu_of(lambda: hstcube.photometry(cube, bins))
    print(f"| photometry of {int(bins.max())} bins in 9 bands | {rim} | | | {spent:.2f} | | |")
    if late:
        sys.exit(1)


def galaxy(bands: tuple[str, ...], rim: float) -> Any:
    """Return an exponential disc with S/N `rim` at its mask's rim, in noise after psf_match."""
    rng = np.random.default_rng(1)
    y, x = np.indices((SIDE, SIDE)) - (SIDE - 1) / 2
    radius = np.hypot(y, x)
    light = rim * np.exp((SIDE / 2 - radius) / (SIDE / 8))
    lags = np.arange(-16, 17)
    widths = [
        1.3 if i < len(bands) / 2 else 0.8 for i in range(len(bands))
    ]  # pixels: of matching kernels
    noise = [
        ndimage.gaussian_filter(rng.normal(size=light.shape), width, mode="wrap")
        for width in widths
    ]
    step = 0.06 / 3600
    cards = {
        "CTYPE1": "RA---TAN",
        "CTYPE2": "DEC--TAN",
        "CRPIX1": 1.0,
        "CRPIX2": 1.0,
        "CRVAL1": 53.16,
        "CRVAL2": -27.79,
        "CD1_1": -step,
        "CD1_2": 0.0,
        "CD2_1": 0.0,
        "CD2_2": step,
    }
    cube = hstcube.build(
        np.stack([light + one / one.std() for one in noise]),
        np.ones((len(bands), SIDE, SIDE)),
        bands=bands,
        grid=hstcube.Grid.from_header(cards, shape=(SIDE, SIDE)),
        units="electron s-1",
        zeropoint=[25.0] * len(bands),
        sky=[0.0] * len(bands),
    )
    acf = np.stack([np.exp(-(lags[:, None] ** 2 + lags**2) / 4 / width**2) for width in widths])
    cube = cube.assign_coords(noise_acf=(("band", "dy", "dx"), acf), dy=lags * 0.06, dx=lags * 0.06)
    return hstcube.mask(cube, radius < np.sqrt(9000 / np.pi))


def scatter(cube: Any, bins: Any) -> float:
    """Return the scatter of the S/N of bins with several pixels, over their mean."""
    ratio = group_snr(cube, bins).values.min(axis=0)
    several = np.bincount(bins.values.ravel())[1:] > 1
    return float(ratio[several].std() / ratio[several].mean())


def cpu_of(function: Callable[[], Any]) -> tuple[float, Any]:
    """Return the median CPU time of a call, and what it returned."""
    times, result = [], None
    for _ in range(REPEATS):
        began = time.process_time()
        result = function()
        times.append(time.process_time() - began)
    return statistics.median(times), result


if __name__ == "__main__":
    main()
