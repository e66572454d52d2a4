"""Draw the pictures of docs/plots.md from real stamps.

HSTCUBE_XDF=FOLDER python docs/make_plots.py.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import hstcube
from hstcube import Grid, plot
from hstcube.surveys.names import find_field

FIELD = "15"
IMAGES = Path(__file__).parent / "images"


def main() -> None:
    """Write three pictures."""
    warnings.simplefilter("ignore", hstcube.HstCubeWarning)
    folder = os.environ["HSTCUBE_XDF"]
    labels = hstcube.open_labels(find_field(folder, FIELD, scale="60mas").labels)
    native = hstcube.open_field(folder, FIELD, scale="60mas")
    cube = hstcube.homogenize(native, labels=labels)
    native = hstcube.subtract_sky(native, cube.sky)
    places = Grid.of(cube).wcs.pixel_to_world([48, 38, 60], [50, 65, 36])
    groups = hstcube.apertures(cube, places, radius=0.3)
    table = hstcube.photometry(cube, groups)
    figures = {
        "quicklook": plot.quicklook(cube, before=native),
        "before_after": plot.before_after(native, cube, ["f606w", "f814w", "f160w"]),
        "sed": plot.sed(table, scale="log", cube=cube, groups=groups),
    }
    for name, figure in figures.items():
        figure.savefig(IMAGES / f"plots_{name}.png", dpi=100, metadata={"Software": None})


if __name__ == "__main__":
    main()
