"""Fail when a field costs more CPU than it did: `python benchmarks/gate.py [--record]`.

The cost of a field of the demo (nine bands with PSFs and noise; default recipe, FITS and netCDF,
verified) in units of a fixed piece of numpy, both taken in turns in one process with one thread;
the least of several. ``gate.json`` holds the ratio that was recorded, and at which commit.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[threads] = "1"

import numpy as np  # noqa: E402

import hstcube  # noqa: E402
from hstcube.demo.field import simulate  # noqa: E402

KEPT = Path(__file__).with_name("gate.json")
GROWTH = 1.3
TURNS = 9


def cost(work) -> float:
    """Return the CPU time that something takes, seconds."""
    start = time.process_time()
    work()
    return time.process_time() - start


def unit() -> None:
    """Transform, sort and add up, as a field does."""
    random = np.random.default_rng(1)
    for _ in range(4):
        image = random.normal(size=(512, 512))
        np.fft.irfft2(np.fft.rfft2(image) ** 2)
        np.sort(image, axis=None).cumsum()


def measured() -> float:
    """Return the cost of a field in units."""
    with tempfile.TemporaryDirectory() as place:
        images, out = Path(place, "images"), Path(place, "out")
        simulate(images)

        def field() -> None:
            table = hstcube.run_fields(images, out, overwrite=True)
            if set(table["status"]) != {"ok"}:
                sys.exit(f"the field was not made: {table['message'][0]}")

        both = [(cost(unit), cost(field)) for _ in range(TURNS + 1)][1:]  # the first warms up
    units, fields = zip(*both, strict=True)
    return min(fields) / min(units)


def main() -> None:
    """Compare, or record."""
    warnings.simplefilter("ignore", hstcube.HstCubeWarning)
    ratio = round(measured(), 2)
    if "--record" in sys.argv[1:]:
        commit = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
        ).stdout.strip()
        KEPT.write_text(json.dumps({"commit": commit, "ratio": ratio}) + "\n", encoding="utf-8")
    kept = json.loads(KEPT.read_text(encoding="utf-8"))
    print(f"a field costs {ratio} units; {kept['ratio']} at {kept['commit']}")
    if ratio > GROWTH * kept["ratio"] and measured() > GROWTH * kept["ratio"]:  # not by chance
        sys.exit(f"more than {GROWTH} times what it did: find out why, or record it with --record")


if __name__ == "__main__":
    main()
