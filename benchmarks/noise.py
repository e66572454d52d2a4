"""How long the errors of groups of pixels take.

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
from scipy.spatial import cKDTree  # noqa: E402

import hstcube  # noqa: E402
from hstcube.noise.description import survey_noise  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

REPEATS = 5
BANDS = ("f435w", "f606w", "f775w", "f814w", "f850lp", "f105w", "f125w", "f140w", "f160w")
FWHM = (0.11, 0.13, 0.12, 0.13, 0.12, 0.21, 0.21, 0.218, 0.22)  # arcsec, those of the XDF


def main() -> None:
    """Measure, and print a table; fail where a limit is not kept."""
    warnings.simplefilter("ignore")
    rows = [
        ("group_errors of 400 bins, 100x100, one band", cpu_of(errors(100, 400)), 0.05),
        ("group_errors of 10,000 bins, 2048x2048, one band", cpu_of(errors(2048, 10_000)), 3.0),
        (
            "covariances of 400 bins, 100x100, one band",
            cpu_of(errors(100, 400, covariance=True)),
            None,
        ),
        ("psf_match of 9 bands of 100x100, white noise", cpu_of(matching("white")), None),
        ("psf_match of 9 bands of 100x100, noise of the XDF", cpu_of(matching("xdf")), None),
        (
            "psf_match of 2 bands of 2048x2048, noise of the XDF",
            cpu_of(matching("xdf", 2048, (0, 5))),
            None,
        ),
    ]
    print("| what | CPU [ms] | limit [ms] | kept |\n|---|---|---|---|")
    for what, spent, limit in rows:
        bound, kept = (
            ("", "")
            if limit is None
            else (f"{1000 * limit:.0f}", "yes" if spent <= limit else "NO")
        )
        print(f"| {what} | {1000 * spent:.1f} | {bound} | {kept} |")
    if any(limit is not None and spent > limit for _, spent, limit in rows):
        sys.exit(1)


def cpu_of(function: Callable[[], Any]) -> float:
    """Return the median CPU time of a call, after one that is not counted."""
    function()
    times = []
    for _ in range(REPEATS):
        began = time.process_time()
        function()
        times.append(time.process_time() - began)
    return statistics.median(times)


def errors(side: int, bins: int, *, covariance: bool = False) -> Callable[[], Any]:
    """Return a call of group_errors.

    Bins of a Voronoi tessellation, noise of F435W matched to F160W.
    """
    cube = matching("xdf", side, (0, 8))().isel(band=[0])
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:side, :side]
    tree = cKDTree(rng.uniform(0, side, (bins, 2)))
    groups = (
        (tree.query(np.stack([y.ravel(), x.ravel()], axis=1))[1] + 1)
        .reshape(side, side)
        .astype(np.int32)
    )
    return lambda: hstcube.group_errors(cube, groups, covariance=covariance)


def matching(
    noise: str, side: int = 100, bands: tuple[int, ...] = tuple(range(9))
) -> Callable[[], Any]:
    """Return a call of psf_match on images of noise."""
    rng = np.random.default_rng(2)
    shape = (len(bands), side, side)
    header = {
        "CTYPE1": "RA---TAN",
        "CTYPE2": "DEC--TAN",
        "CRPIX1": 1.0,
        "CRPIX2": 1.0,
        "CRVAL1": 53.16,
        "CRVAL2": -27.79,
        "CD1_1": -0.06 / 3600,
        "CD1_2": 0.0,
        "CD2_1": 0.0,
        "CD2_2": 0.06 / 3600,
    }
    cube = hstcube.build(
        rng.normal(size=shape).astype(np.float32),
        rng.uniform(1, 2, shape).astype(np.float32),
        bands=[BANDS[i] for i in bands],
        grid=hstcube.Grid.from_header(header, shape=(side, side)),
        units="electron s-1",
        psf_fwhm=[FWHM[i] for i in bands],
    )
    to = BANDS[bands[-1]]
    cube = (
        cube
        if noise == "white"
        else hstcube.with_noise(cube, survey_noise(noise, hstcube.Grid.of(cube)))
    )
    return lambda: hstcube.psf_match(cube, to=to)


if __name__ == "__main__":
    main()
