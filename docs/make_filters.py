"""Write the shipped curves of filters, from those of astro-sedpy and, where it has none, of pyphot.

pip install astro-sedpy
pip install --no-deps pyphot
python docs/make_filters.py

pyphot's curves of WFC3 are those of the glass alone. What the mirrors and the detector do to them
is the ratio of sedpy's curves to them, in the filters that both have; beyond these it is not known,
and taken for zero. The pivots that result are compared with those of the handbooks in bands.csv,
and a curve that is off is left out.
"""

from __future__ import annotations

import csv
import importlib.metadata
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sedpy.observate import Filter

import hstcube
from hstcube.core.bands import Band, cameras
from hstcube.sed.curves import curve_file, pivot_of

POINTS = 150
FAINTEST = (1e-4, 1e-5, 1e-3, 1e-2)  # of the peak: what is kept, in the order that is tried
SLOPES = (-3.0, 3.0)  # of spectra, whose flux must stay
SAME_FLUX = 1e-3
SAME_PIVOT = 2e-3
CLEAR = 0.3  # of a glass's peak: where its ratio to the whole curve is taken
SOURCES = {
    "astro-sedpy": "https://github.com/bd-j/sedpy",
    "pyphot": "https://github.com/mfouesneau/pyphot",
}
MICROMETRES = 100.0  # what wavelengths in them stay below, and those in Angstrom do not
NARROW = 2.0  # Angstrom: steps below it are rounded less
PYPHOT = {
    ("ACS", "WFC"): "hst_acs_wfc",
    ("WFC3", "UVIS"): "hst_wfc3",
    ("WFC3", "IR"): "hst_wfc3",
    ("WFPC2", ""): "hst_wfpc2",
    ("NIRCAM", ""): "jwst_nircam",
}


class Points(NamedTuple):
    """A curve: wavelength [Angstrom] and throughput of photons."""

    wavelength: np.ndarray
    throughput: np.ndarray

    def flux(self, slope: float) -> float:
        """Return the mean f_nu of a power law of the wavelength."""
        at = self.wavelength
        above = np.trapezoid(self.throughput * at ** (slope - 1), at)
        return float(above / np.trapezoid(self.throughput / at, at))


def main() -> None:
    """Resample every curve, and say how far pivots are from those of bands.csv."""
    responses = {detector: response(detector) for detector in ("UVIS", "IR")}
    place = Path(hstcube.__file__).with_name("sed") / "filters.csv"
    with place.open("w", newline="", encoding="utf-8") as file:
        file.writelines(f"# {line}".rstrip() + "\n" for line in head())
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("filter", "wavelength", "throughput"))
        for band in cameras():
            whole = of_sedpy(band) if band.sedpy else of_pyphot(band, responses)
            curve = whole and resampled(whole)
            off = pivot_of(*curve) / band.pivot - 1 if curve else np.nan
            print(f"{curve_file(band):20s} {off:+.2%} of the pivot of bands.csv", end="")
            if curve is None or abs(off) > SAME_PIVOT:
                print(": left out")
                continue
            print()
            table.writerows(
                (curve_file(band), repr(float(at)), f"{value:.6g}")
                for at, value in zip(*curve, strict=True)
            )


def head() -> list[str]:
    """Return what the file says of itself: sources and licences."""
    lines = [
        f"Throughputs (photons) of filters of HST and JWST, resampled to {POINTS} points by",
        "docs/make_filters.py.",
    ]
    for name, address in SOURCES.items():
        distribution = importlib.metadata.distribution(name)
        files = distribution.files or ()
        notice = next(file for file in files if file.name.startswith("LICENSE"))
        lines += ["", f"From {name} {distribution.version} ({address}), whose licence is:", ""]
        lines += Path(str(notice.locate())).read_text(encoding="utf-8").splitlines()
    return lines


def of_sedpy(band: Band) -> Points:
    """Return sedpy's curve of a band."""
    curve = Filter(band.sedpy)
    return Points(np.asarray(curve.wavelength, float), np.asarray(curve.transmission, float))


def of_pyphot(band: Band, responses: dict[str, Points]) -> Points | None:
    """Return pyphot's curve of a band, times the response of the camera where it lacks that."""
    curve = read_pyphot(band)
    if curve is None or band.instrument != "WFC3":
        return curve
    seen = np.interp(curve.wavelength, *responses[band.detector], left=0, right=0)
    return Points(curve.wavelength, curve.throughput * seen)


def read_pyphot(band: Band) -> Points | None:
    """Return pyphot's curve of a band as it is; None where it has none."""
    name = f"{PYPHOT.get((band.instrument, band.detector))}_{band.name}.csv"
    files = importlib.metadata.distribution("pyphot").files or ()
    found = next((file for file in files if file.name == name), None)
    if found is None:
        return None
    text = Path(str(found.locate())).read_text(encoding="utf-8")
    rows = [line.split(",")[:2] for line in text.splitlines() if line[:1].isdigit()]
    wavelength, throughput = np.array(rows, float).T
    scale = 1e4 if wavelength.max() < MICROMETRES else 1.0
    order = np.argsort(wavelength)
    return Points(wavelength[order] * scale, throughput[order])


def response(detector: str) -> Points:
    """Return what a camera of WFC3 makes of light besides its filters."""
    at = np.arange(1800.0, 18000.0, 10.0)
    whole, glass = np.zeros_like(at), np.zeros_like(at)
    for band in cameras():
        if band.detector == detector and band.sedpy and (bare := read_pyphot(band)):
            through = np.interp(at, *bare, left=0, right=0)
            clear = through > CLEAR * through.max()
            glass += clear * through
            whole += clear * np.interp(at, *of_sedpy(band), left=0, right=0)
    there = glass > 0
    return Points(at[there], whole[there] / glass[there])


def resampled(curve: Points) -> Points:
    """Return the curve on few points, with wings that these can follow."""
    made = (means(curve, faintest) for faintest in FAINTEST)
    return next(
        (
            few
            for few in made
            if all(abs(few.flux(slope) / curve.flux(slope) - 1) < SAME_FLUX for slope in SLOPES)
        ),
        means(curve, FAINTEST[0]),
    )


def means(curve: Points, faintest: float) -> Points:
    """Return the means of a curve over equal steps, at their middles; the ends are 0."""
    bright = curve.wavelength[curve.throughput > faintest * curve.throughput.max()]
    step = (bright[-1] - bright[0]) / (POINTS - 3)
    at = np.round(bright[0] + step * np.arange(-1, POINTS - 1), 1 if step > NARROW else 2)
    fine = np.linspace(at[0] - step / 2, at[-1] + step / 2, POINTS * 200 + 1)
    middle = (fine[1:] + fine[:-1]) / 2
    seen = np.interp(middle, *curve, left=0, right=0).reshape(POINTS, 200).mean(axis=1)
    seen[[0, -1]] = 0
    return Points(at, seen)


if __name__ == "__main__":
    main()
