"""Write the shipped curves of the wide filters of ACS/WFC and WFC3/IR, from astro-sedpy's.

pip install astro-sedpy
python docs/make_filters.py
"""

from __future__ import annotations

import csv
import importlib.metadata
from pathlib import Path

import numpy as np
from sedpy.observate import Filter

import hstcube
from hstcube.core.bands import cameras

POINTS = 150
FAINTEST = 1e-4  # of the peak: what is kept
CAMERAS = {("ACS", "WFC"), ("WFC3", "IR"), ("NIRCAM", ""), ("NIRISS", ""), ("MIRI", "")}


def main() -> None:
    """Resample every curve, and say how far pivots are from those of bands.csv."""
    distribution = importlib.metadata.distribution("astro-sedpy")
    notice = next(file for file in distribution.files or () if file.name.startswith("LICENSE"))
    place = Path(hstcube.__file__).with_name("sed") / "filters.csv"
    with place.open("w", newline="", encoding="utf-8") as file:
        file.write(
            f"# Throughputs (photons) of HST filters, resampled to {POINTS} points "
            "by docs/make_filters.py.\n"
        )
        file.write(
            f"# From astro-sedpy {distribution.version} (https://github.com/bd-j/sedpy), "
            "whose licence is:\n#\n"
        )
        file.writelines(
            f"# {line}".rstrip() + "\n"
            for line in Path(str(notice.locate())).read_text().splitlines()
        )
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("filter", "wavelength", "throughput"))
        for band in cameras():
            if (band.instrument, band.detector) not in CAMERAS or not band.sedpy:
                continue
            curve = Filter(band.sedpy)
            wavelength, throughput = resampled(curve.wavelength, curve.transmission)
            table.writerows(
                (band.sedpy, f"{at:.1f}", f"{value:.6g}")
                for at, value in zip(wavelength, throughput, strict=True)
            )
            found = pivot(wavelength, throughput)
            print(
                f"{band.sedpy:16s} {found / curve.wave_pivot - 1:+.1e} of sedpy's,"
                f" {found / band.pivot - 1:+.2%}"
            )


def resampled(wavelength: np.ndarray, throughput: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the means of a curve over equal steps, at their middles; the ends are 0."""
    bright = wavelength[throughput > FAINTEST * throughput.max()]
    step = (bright[-1] - bright[0]) / (POINTS - 3)
    at = np.round(bright[0] + step * np.arange(-1, POINTS - 1), 1)
    fine = np.linspace(at[0] - step / 2, at[-1] + step / 2, POINTS * 200 + 1)
    middle = (fine[1:] + fine[:-1]) / 2
    means = (
        np.interp(middle, wavelength, throughput, left=0, right=0).reshape(POINTS, 200).mean(axis=1)
    )
    means[[0, -1]] = 0
    return at, means


def pivot(wavelength: np.ndarray, throughput: np.ndarray) -> float:
    """Return the pivot wavelength of a photon throughput."""
    return float(
        np.sqrt(
            np.trapezoid(throughput * wavelength, wavelength)
            / np.trapezoid(throughput / wavelength, wavelength)
        )
    )


if __name__ == "__main__":
    main()
