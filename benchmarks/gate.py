"""Fail when a field costs more CPU than it did: `python benchmarks/gate.py [--record]`.

The cost of a field of the demo (nine bands with PSFs and noise; default recipe, FITS and netCDF,
verified) in units of a fixed piece of numpy, both taken in turns in one process with one thread;
the least of several. Machines differ in what files cost beside numpy (the same code took 2.0 units
on one and 4.7 on another), so the commit in ``gate.json`` is measured in the same run.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
import warnings
from pathlib import Path

for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[threads] = "1"

import numpy as np  # noqa: E402

import hstcube  # noqa: E402
from hstcube.demo.field import simulate  # noqa: E402

ROOT = Path(__file__).parents[1]
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


def units_of(package: Path) -> float:
    """Return the cost of a field made by the hstcube of a folder, in a process of its own."""
    command = [sys.executable, __file__, "--units"]
    there = os.environ | {"PYTHONPATH": str(package)}
    told = subprocess.run(command, env=there, stdout=subprocess.PIPE, text=True, check=True)
    return float(told.stdout)


def main() -> None:
    """Compare, or record."""
    warnings.simplefilter("ignore", hstcube.HstCubeWarning)
    if "--units" in sys.argv[1:]:
        print(round(measured(), 2))
        return
    if "--record" in sys.argv[1:]:
        head = git("rev-parse", "--short", "HEAD").decode().strip()
        KEPT.write_text(json.dumps({"commit": head}) + "\n", encoding="utf-8")
    commit = json.loads(KEPT.read_text(encoding="utf-8"))["commit"]
    if subprocess.run(["git", "cat-file", "-e", commit], cwd=ROOT, check=False).returncode:
        print(
            f"NOT COMPARED: this clone does not hold {commit}; a field costs {units_of(ROOT)} units"
        )
        return
    with tempfile.TemporaryDirectory() as place:
        with tarfile.open(fileobj=io.BytesIO(git("archive", commit, "hstcube"))) as package:
            package.extractall(place, filter="data")
        for _ in range(2):  # not by chance
            new, old = units_of(ROOT), units_of(Path(place))
            print(f"a field costs {new} units, {old} at {commit}")
            if new <= GROWTH * old:
                return
    sys.exit(f"more than {GROWTH} times what it did: find out why, or record it with --record")


def git(*words: str) -> bytes:
    """Return what git says."""
    return subprocess.run(["git", *words], cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout


if __name__ == "__main__":
    main()
