"""Make hstcube/surveys/psf_surveys.csv.

Circular multi-Gaussian models of the XDF's PSFs, from its stars.

    HSTCUBE_XDF=FOLDER python docs/make_psf_table.py

Emsellem, Monnet & Bacon 1994, A&A 285, 723: weights >= 0 of Gaussians of fixed widths, here
integrated over pixels and fitted to the encircled energies (relative errors) of what
`hstcube.measure_psf` makes of the stars.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
from scipy.optimize import nnls
from scipy.special import erf

import hstcube
from hstcube.psf.profiles import encircled_energy

TABLE = Path(hstcube.__file__).parent / "surveys" / "psf_surveys.csv"
LEAST = 1e-6  # weight
SIGMAS = np.geomspace(0.015, 1.5, 32)  # arcsec


def model(image: np.ndarray, scale: float) -> list[tuple[float, float]]:
    """Return sigma [arcsec] and weight of the Gaussians of one PSF."""
    half = len(image) // 2
    offset = np.arange(-half, half + 1) * scale
    radii = np.concatenate([np.arange(0.5, 6, 0.25), np.arange(6, half, 1.0)])
    columns = []
    for sigma in SIGMAS:
        edges = [(offset + side * scale / 2) / (np.sqrt(2) * sigma) for side in (-1, 1)]
        profile = 0.5 * (erf(edges[1]) - erf(edges[0]))
        columns.append(encircled_energy(np.outer(profile, profile), radii))
    aim = encircled_energy(image, radii)
    weights, _ = nnls(np.array(columns).T / aim[:, None], np.ones(aim.size))
    return [
        (float(s), float(w))
        for s, w in zip(SIGMAS, weights / weights.sum(), strict=True)
        if w > LEAST
    ]


def main() -> None:
    """Write the table."""
    warnings.simplefilter("ignore", hstcube.HstCubeWarning)
    stars = Path(os.environ["HSTCUBE_XDF"]) / "psf_stars"
    lines = [
        "# Circular multi-Gaussian models of PSFs as they are in the mosaics, pixels included; "
        "sigma in arcsec. "
        "Made by docs/make_psf_table.py.",
        "survey,scale,band,sigma,weight,reference",
    ]
    for scale, label in ((0.06, "60mas"), (0.03, "30mas")):
        psf = hstcube.measure_psf(hstcube.open_stars(stars, scale=label))
        for band in psf.band.values.tolist():
            image = psf.sel(band=band).values.astype(float)
            said = (
                f"XDF V1.0 stars {psf.stars.sel(band=band).item()}; hstcube {hstcube.__version__}"
            )
            parts = model(image, scale)
            lines += [
                f"xdf,{scale},{band},{sigma:.5f},{weight:.6f},{said}" for sigma, weight in parts
            ]
            lines[-len(parts) + 1 :] = [
                line.rsplit(",", 1)[0] + "," for line in lines[-len(parts) + 1 :]
            ]
    TABLE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    from hstcube.surveys.models import survey_psf

    for scale, label in ((0.06, "60mas"), (0.03, "30mas")):
        psf = hstcube.measure_psf(hstcube.open_stars(stars, scale=label))
        made = survey_psf("xdf", scale, tuple(psf.band.values.tolist()))
        radii = np.array([0.06, 0.12, 0.18, 0.3, 0.6, 0.9, 1.2]) / scale
        for band in psf.band.values.tolist():
            one, two = (
                encircled_energy(p.sel(band=band).values.astype(float), radii) for p in (psf, made)
            )
            print(label, band, np.round(100 * (two / two[-1] / (one / one[-1]) - 1), 2))


if __name__ == "__main__":
    main()
