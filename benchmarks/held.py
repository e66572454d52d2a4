"""Held: the memory that functions take of a cube in blocks, beyond that of the program and labels.

    python benchmarks/held.py [--sides 4096 6144] [--bands 3] [--folder /tmp] [--what detect ...]

The images are those of `mosaics.py`, opened in blocks of 1024 pixels on two threads. Every function
runs in a process of its own; what is counted is the peak of the process, less what it was once
everything was imported, the images opened and the labels made. "planes" are planes of one band in
float64. Labels are squares of 24 pixels, as many as fit.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import mosaics
import numpy as np

STEP, SQUARE = 64, 24


def labels_on(side: int) -> Any:
    """Return a map of squares, numbered."""
    number = side // STEP
    labels = np.zeros((side, side), np.int32)
    cells = labels[: number * STEP, : number * STEP].reshape(number, STEP, number, STEP)
    numbers = np.arange(1, number**2 + 1, dtype=np.int32).reshape(number, 1, number, 1)
    cells[:, 20 : 20 + SQUARE, :, 20 : 20 + SQUARE] = numbers
    return labels


def _binned(hstcube: Any, cube: Any, labels: Any) -> Any:
    keep = np.zeros(labels.shape, bool)  # one object, where four blocks meet
    keep[1000:1050, 1000:1050] = True
    return hstcube.bin_pixels(hstcube.mask(cube, keep), snr=5.0)


def _halved(hstcube: Any, cube: Any, _: Any) -> Any:
    grid = hstcube.Grid.of(cube).coarsen(2)
    return hstcube.regrid(cube, grid).sci[0].values


FUNCTIONS = {
    "measure_sky": lambda h, cube, labels: h.measure_sky(cube, background=labels == 0),
    "calibrate_noise": lambda h, cube, _: h.calibrate_noise(cube),
    "noise_check": lambda h, cube, _: h.noise_check(cube),
    "group_errors": lambda h, cube, labels: h.group_errors(cube, labels),
    "photometry": lambda h, cube, labels: h.photometry(cube, labels),
    "bin_pixels": _binned,
    "detect": lambda h, cube, _: h.detect(cube),
    "regrid": _halved,
    "plot.quicklook": lambda h, cube, _: h.plot.figure_bytes(h.plot.quicklook(cube)),
    "plot.snr_maps": lambda h, cube, _: h.plot.figure_bytes(h.plot.snr_maps(cube)),
    "plot.rgb": lambda h, cube, _: h.plot.figure_bytes(h.plot.rgb(cube)),
    "plot.colour_map": lambda h, cube, _: h.plot.figure_bytes(
        h.plot.colour_map(cube, "f606w", "f160w")
    ),
    "plot.mask_overlay": lambda h, cube, _: h.plot.figure_bytes(h.plot.mask_overlay(cube)),
    "plot.compare": lambda h, cube, _: h.plot.figure_bytes(h.plot.compare(cube, cube)),
}


def run(folder: Path, what: str) -> dict[str, float]:
    """Run one function in this process; return its CPU [s] and the memory that it took [MB]."""
    import warnings

    import dask
    import distributed  # noqa: F401  dask imports it when it computes for the first time

    import hstcube

    warnings.simplefilter("ignore")
    for name in hstcube.__all__:
        getattr(hstcube, name)
    dask.config.set(num_workers=mosaics.THREADS)
    small = hstcube.example()  # what is imported or looked up once is no part of it
    FUNCTIONS[what](hstcube, small, labels_on(small.sizes["y"])) if what != "bin_pixels" else None
    cube = hstcube.open_field(folder, "mos", chunks=mosaics.CHUNKS)
    labels = labels_on(cube.sizes["y"])
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak begins anew
    base, start = mosaics.peak(), time.process_time()
    FUNCTIONS[what](hstcube, cube, labels)
    held, planes = mosaics.peak() - base, labels.size * 8 / 2**20
    return {"cpu": time.process_time() - start, "held": held, "planes": held / planes}


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sides", type=int, nargs="+", default=[4096, 6144])
    parser.add_argument("--bands", type=int, default=3)
    parser.add_argument("--what", nargs="+", default=list(FUNCTIONS), choices=list(FUNCTIONS))
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--one")
    asked = parser.parse_args()
    if asked.one:
        sys.stdout.write(json.dumps(run(asked.folder, asked.one)) + "\n")
        return
    for side in asked.sides:
        with tempfile.TemporaryDirectory(dir=asked.folder) as place:
            images = Path(place) / "images"
            mosaics.make(images, side, mosaics.BANDS[: asked.bands])
            for what in asked.what:
                command = [sys.executable, __file__, "--one", what, "--folder", str(images)]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                if done.returncode:
                    raise RuntimeError(done.stderr[-2000:])
                found = json.loads(done.stdout.splitlines()[-1])
                sys.stdout.write(
                    f"{side}^2 x {asked.bands} {what:18} CPU {found['cpu']:7.2f} s, "
                    f"{found['held']:5d} MB, {found['planes']:5.2f} planes\n"
                )
                sys.stdout.flush()


if __name__ == "__main__":
    main()
