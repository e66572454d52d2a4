"""Write the shipped table of the XDF's noise, from its stamps in the folder HSTCUBE_XDF."""

from __future__ import annotations

import csv
import os
import warnings
from pathlib import Path

import numpy as np

import hstcube
from hstcube.noise.calibration import calibrate_noise
from hstcube.surveys.names import find_field

FIELDS = ("3", "15", "37", "912", "919", "982")
SCALE = 0.06
SOURCE = (
    "calibrate_noise on the blank sky of six stamps of the XDF v1.0 "
    "(Illingworth et al. 2013, ApJS 209, 6)"
)


def stamps() -> tuple[list, list]:
    """Return the cubes of the fields, and their segmentation maps on the cubes' pixels."""
    folder = Path(os.environ["HSTCUBE_XDF"])
    cubes, maps = [], []
    for field in FIELDS:
        cubes.append(hstcube.open_field(folder, field))
        labels = hstcube.open_labels(find_field(folder, field).labels)
        maps.append(hstcube.regrid_labels(labels, hstcube.Grid.of(cubes[-1])).values)
    return cubes, maps


def main() -> None:
    """Measure, and write one row for each band and lag of a half plane.

    The other half is the same.
    """
    warnings.simplefilter("ignore")
    cubes, maps = stamps()
    noise = calibrate_noise(cubes, background=maps)
    middle = noise.sizes["dy"] // 2
    with (Path(hstcube.__file__).parent / "surveys" / "noise.csv").open(
        "w", newline="", encoding="utf-8"
    ) as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("survey", "scale", "band", "noise_scale", "dy", "dx", "rho", "reference"))
        for band in noise.band.values:
            one = noise.sel(band=band)
            for y, x in np.argwhere(one.noise_acf.values != 0):
                if (y, x) >= (middle, middle):
                    row = (
                        "xdf",
                        SCALE,
                        band,
                        f"{float(one.noise_scale):.3f}",
                        y - middle,
                        x - middle,
                    )
                    table.writerow(
                        (
                            *row,
                            f"{float(one.noise_acf.values[y, x]):.4f}",
                            SOURCE if y == x == middle else "",
                        )
                    )


if __name__ == "__main__":
    main()
