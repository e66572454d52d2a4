"""Draw docs/images/truth.png: made-up fields against their truth.

python docs/make_truth.py [number of fields]
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

import hstcube
from hstcube.demo.truth import demonstrate
from hstcube.regridding.labels import regrid_labels
from hstcube.surveys.names import find_field

if TYPE_CHECKING:
    import xarray as xr

IMAGE = Path(__file__).parent / "images" / "truth.png"
BLUE, RED, GREY = "#0072b2", "#d55e00", "0.85"
SIZES = (1, 2, 3, 5, 7)


def main(number: int = 8) -> None:
    """Make the fields one by one, and draw what came of them."""
    warnings.simplefilter("ignore", hstcube.HstCubeWarning)
    rows, ratios = [], []
    for seed in range(1, number + 1):
        with tempfile.TemporaryDirectory() as folder:
            table, places = demonstrate(folder, seed=seed)
            measured = hstcube.open_cube(places["products"] / "demo.nc")
            rows.append(table)
            ratios.append(scatter(measured, places["stamps"]))
    figure = Figure(figsize=(10.5, 3.4), layout="constrained")
    one, two, three = figure.subplots(1, 3)
    bands = [row.band for row in rows[0]]
    flux, error, ours, before = (
        np.array([[getattr(row, name) for row in table] for table in rows])
        for name in ("flux", "noise", "scene_rim", "rim_masked_first")
    )
    one.axhspan(-0.2, 0.2, color=GREY, lw=0)
    dots(one, bands, 100 * (flux - 1), BLUE, "", 100 * error)
    one.set_ylabel("flux in the mask - truth [%]")
    two.axhline(0, color=GREY)
    dots(two, bands, before, RED, "masked first, Gaussians")
    dots(two, bands, ours, BLUE, "hstcube")
    two.set_ylabel("colour of the rim - truth [mag]")
    for k, (label, colour) in enumerate((("taken as white", RED), ("measured", BLUE))):
        values = np.array([one[k] for one in ratios])
        three.plot(SIZES, values.T, ".", color=colour, alpha=0.4)
        three.plot(SIZES, values.mean(axis=0), color=colour, label=f"noise {label}")
    three.axhspan(0.95, 1.05, color=GREY, lw=0, zorder=0)
    three.set(xlabel="side of the aperture [pixels]", ylabel="scatter of F160W / its error")
    for axis in (two, three):
        axis.legend(fontsize=8, frameon=False)
    figure.savefig(IMAGE, dpi=100, metadata={"Software": None})


def dots(axis: Any, bands: list[str], values: Any, colour: str, label: str, error: Any = 0) -> None:
    """Draw the values of all fields, and their mean with the error that is predicted of it."""
    place = np.arange(len(bands))
    axis.plot(place, values.T, ".", color=colour, alpha=0.4, ms=5)
    predicted = np.sqrt(np.mean(np.square(error) * np.ones(values.shape), axis=0) / len(values))
    axis.errorbar(place, values.mean(axis=0), predicted, fmt="_", ms=12, color=colour, label=label)
    axis.set_xticks(place, bands, rotation=60, fontsize=8)


def scatter(measured: xr.Dataset, stamps: Path) -> list[Any]:
    """Return how empty apertures scatter over their errors, of white and of measured noise."""
    labels = hstcube.open_labels(find_field(stamps, "demo", scale="60mas").labels)
    white = hstcube.homogenize(hstcube.open_field(stamps, "demo"), labels=labels)
    found = []
    for cube in (white, measured):
        sky = regrid_labels(labels, hstcube.Grid.of(cube))
        table = hstcube.noise_check(cube, background=sky, sizes=SIZES)
        found.append(np.array(table["ratio"][table["band"] == "f160w"]))
    return found


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
