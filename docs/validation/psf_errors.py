"""Whether the predicted error of a match is its true one: stars of known truth, many sets of them.

`python docs/validation/psf_errors.py [sets]`. Stars are made by tests/telescope.py (an obstructed
pupil seen by pixels and drizzle, not by hstcube): each set at its own places within a pixel, with
its own noise. The true error is that of the true PSF matched by the measured kernel, from 0.18
arcsec on.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from telescope import star, telescope

from hstcube import matching_kernels, measure_psf
from hstcube.matching.quality import measured_quality

BANDS = ("f814w", "f160w")
TO = "f160w"


def errors(number: int, seed: int, faintest: float = 4.0) -> list[tuple[float, float]]:
    """Return true and predicted errors of the matches of one set of `number` stars.

    Fluxes go over a factor of 20, evenly in their logarithm; signal to noise 400 to 8000.
    """
    rng = np.random.default_rng([seed, number])
    fluxes = np.exp(rng.uniform(np.log(faintest), np.log(20 * faintest), number))
    stars = {str(i): star(rng, flux=flux, bands=BANDS) for i, flux in enumerate(fluxes)}
    kernels = matching_kernels(measure_psf(stars), to=TO)
    target = telescope(TO, sharp=False)
    found = []
    for band in BANDS[:-1]:
        kernel = kernels.sel(band=band)
        made = measured_quality(telescope(band, sharp=False), target, kernel.values, 0.06)
        found.append((made.ee_error, float(kernel.predicted_error)))
    return found


def summary(pairs: list[tuple[float, float]]) -> tuple[float, float, float, float]:
    """Return rms of the true, of the predicted, their ratio, and the share below twice it."""
    true, said = np.array(pairs).T
    rms = np.sqrt((true**2).mean()), np.sqrt((said**2).mean())
    return float(rms[0]), float(rms[1]), float(rms[0] / rms[1]), float((true < 2 * said).mean())


def main(sets: int) -> None:
    """Print a line for each number of stars."""
    warnings.simplefilter("ignore")
    print("stars  rms true  rms predicted  ratio (0.67-1.5)  below twice the predicted (0.90)")
    for number in (3, 4, 6):
        pairs = [pair for seed in range(1000, 1000 + sets) for pair in errors(number, seed)]
        true, said, ratio, share = summary(pairs)
        print(f"{number:5d}  {true:8.4f}  {said:13.4f}  {ratio:16.2f}  {share:10.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
