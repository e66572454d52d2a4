"""Draw the picture of the README from real stamps.

HSTCUBE_XDF=FOLDER python docs/make_picture.py OUT.png.
"""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

from matplotlib.figure import Figure

import hstcube
from hstcube import plot
from hstcube.surveys.names import find_field

FIELD, OBJECT = "3", 24353
BANDS = ["f606w", "f814w", "f160w"]


def main(out: Path) -> None:
    """Draw a galaxy in colour and its colour map, as observed and homogeneous, side by side."""
    folder = os.environ["HSTCUBE_XDF"]
    warnings.simplefilter("ignore", hstcube.HstCubeWarning)
    labels = hstcube.open_labels(find_field(folder, FIELD, scale="60mas").labels)
    native = hstcube.open_field(folder, FIELD, scale="60mas")
    cube = hstcube.homogenize(native, labels=labels, ids=[OBJECT], largest=True)
    figure = Figure(figsize=(12, 3.3), layout="constrained")
    axes = figure.subplots(1, 4)
    plot.before_after(hstcube.subtract_sky(native, cube.sky), cube, BANDS, axes=axes)
    for axis in axes[1:]:
        axis.set_ylabel("")
        axis.tick_params(labelleft=False)
    figure.savefig(out, dpi=110, metadata={"Software": None})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
