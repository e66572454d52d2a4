"""Draw the picture of the README from real stamps.

HSTCUBE_XDF=FOLDER python docs/make_picture.py OUT.png.
"""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

import hstcube
from hstcube.files.levels import read_levels
from hstcube.surveys.names import find_field

if TYPE_CHECKING:
    import xarray as xr

FIELD = "15"
BANDS = ("f435w", "f606w", "f814w", "f105w", "f160w")
RGB = ("f160w", "f814w", "f435w")


def main(out: Path) -> None:
    """Draw the observed bands above the homogeneous ones."""
    folder = os.environ["HSTCUBE_XDF"]
    files = find_field(folder, FIELD)
    warnings.simplefilter("ignore", hstcube.HstCubeWarning)
    cube = hstcube.open_field(folder, FIELD)
    cube = hstcube.with_psf(
        cube, cube.psf
    )  # widths of the measured profiles, not of the Gaussians of 2022
    levels = {band: level for band, (level, _) in read_levels(files, cube.band.values).items()}
    native = hstcube.subtract_sky(cube, levels)
    matched = hstcube.homogenize(cube, sky=levels, labels=hstcube.open_labels(files.labels))
    figure = Figure(figsize=(12, 4.2), layout="constrained")
    axes = figure.subplots(2, len(BANDS) + 1)
    rows = ((native, "as observed"), (matched, "homogeneous, with mask"))
    for line, (one, name) in zip(axes, rows, strict=True):
        for axis, band in zip(line, BANDS, strict=False):
            plane = one.sel(band=band)
            axis.imshow(
                np.arcsinh(3 * plane.sci.values / peak(native, band) * 10),
                origin="lower",
                cmap="gray_r",
                vmin=-0.4,
                vmax=3.2,
            )
            axis.set_title(f"{band}  {float(plane.psf_fwhm):.2f}″", fontsize=9)
        line[-1].imshow(colour(one), origin="lower")
        line[-1].set_title("colour", fontsize=9)
        line[0].set_ylabel(name, fontsize=9)
        for axis in line:
            axis.set_xticks([])
            axis.set_yticks([])
    for axis in axes[1]:
        axis.contour(matched.mask.values[-1].astype(float), [0.5], colors="#cc0000", linewidths=0.8)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=80)


def peak(cube: xr.Dataset, band: str) -> float:
    """Return the brightness that is drawn nearly black."""
    return float(np.percentile(cube.sel(band=band).sci.values, 99.7))


def colour(cube: xr.Dataset) -> np.ndarray:
    """Return an RGB image in flux, asinh-stretched alike in all bands (Lupton et al.

    2004, PASP 116, 133).
    """
    from astropy.visualization import make_lupton_rgb

    flux = [
        cube.sel(band=band).sci.values
        * 10 ** (-0.4 * (float(cube.zeropoint.sel(band=band)) - 23.9))
        for band in RGB
    ]
    flux = [np.nan_to_num(plane) * gain for plane, gain in zip(flux, (1.0, 1.2, 2.2), strict=True)]
    return make_lupton_rgb(*flux, stretch=0.003, Q=8)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
