"""Mosaics: CPU and peak memory of FITS to FITS, and to zarr, lazily and in memory.

    python benchmarks/mosaics.py [--sides 4096 6144] [--bands 3] [--folder /tmp]

The images are made up: noise, stars and a hole, with headers of the XDF, so that its PSFs and noise
are attached. Every way runs in a process of its own, in blocks of 1024 pixels on two threads; its
memory is the peak of the process. "cut" opens the images and cuts 100x100 pixels of each band out
of them, for the second time: the first one looks up the survey's PSFs and loads modules. What was
made is removed at the end; two bands of 20,000 pixels a side take 17 GB.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

import numpy as np  # noqa: E402  the threads are told before

BANDS = ("f606w", "f814w", "f160w", "f435w", "f775w", "f850lp", "f105w", "f125w", "f140w")
SCALE, TILE, ROWS = 0.06, 512, 512
THREADS, CHUNKS = 2, {"y": 1024, "x": 1024}
SIGMA = {"sci": 1e-3}
WAYS = ("eager", "lazy", "eager-zarr", "zarr", "cut")


def header(band: str, side: int) -> dict[str, object]:
    """Return the cards of an image of the XDF at 60 mas."""
    wfc3 = band in ("f105w", "f125w", "f140w", "f160w")
    return {
        "TELESCOP": "HST",
        "INSTRUME": "WFC3" if wfc3 else "ACS",
        "DETECTOR": "IR" if wfc3 else "WFC",
        "FILTER": band.upper(),
        "BUNIT": "ELECTRONS/S",
        "CTYPE1": "RA---TAN",
        "CTYPE2": "DEC--TAN",
        "CRVAL1": 53.1625,
        "CRVAL2": -27.7914,
        "CRPIX1": side / 2,
        "CRPIX2": side / 2,
        "CD1_1": -SCALE / 3600,
        "CD1_2": 0.0,
        "CD2_1": 0.0,
        "CD2_2": SCALE / 3600,
        "EXPTIME": 1.0,
        "TEXPTIME": 3.0e5,
        "XDFVER": "Hubble eXtreme Deep Field (ACS/WFC) V1.0. 22 March 2013",
    }


def make(folder: Path, side: int, bands: tuple[str, ...]) -> None:
    """Write the images row by row."""
    from astropy.io import fits

    folder.mkdir(parents=True)
    y, x = np.mgrid[-40:41, -40:41]
    star = (1 + (x**2 + y**2) / 4.0) ** -2.5
    rng = np.random.default_rng(1)
    tile = rng.normal(0, SIGMA["sci"], (ROWS, side)).astype(np.float32)
    places = [(int(a), int(b)) for a, b in rng.integers(60, 450, (side // 64, 2))]
    for i, (row, column) in enumerate(places):
        at = (i * 64 + column) % (side - 100) + 50
        tile[row - 40 : row + 41, at - 40 : at + 41] += (10.0 ** -(i % 4) * star).astype("f4")
    weights = np.full((ROWS, side), SIGMA["sci"] ** -2, np.float32)
    for band in bands:
        for kind, plane in (("sci", tile), ("wht", weights)):
            cards = fits.Header()
            cards["SIMPLE"], cards["BITPIX"], cards["NAXIS"] = True, -32, 2
            cards["NAXIS1"], cards["NAXIS2"] = side, side
            cards.update(header(band, side))
            with (folder / f"mos_60mas_{band}_{kind}.fits").open("wb") as file:
                file.write(cards.tostring().encode())
                for top in range(0, side, ROWS):
                    rows = plane[: min(ROWS, side - top)].copy()
                    if kind == "wht" and top == side // 2 // ROWS * ROWS:
                        rows[200:207, 1020:1030] = 0  # a hole, on a seam
                    file.write(rows.astype(">f4").tobytes())
                file.write(b"\0" * (-file.tell() % 2880))


def run(folder: Path, way: str, out: Path) -> dict[str, float]:
    """Run one way in this process; return its CPU [s] and its peak memory [MB]."""
    import warnings

    import dask.array
    import distributed  # noqa: F401  dask imports it when it computes for the first time

    import hstcube

    warnings.simplefilter("ignore")
    for name in hstcube.__all__:
        getattr(hstcube, name)  # imports are no part of it
    dask.config.set(num_workers=THREADS)
    if way == "cut":
        _cut(folder, 0)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak begins anew
    base, start, wall = peak(), time.process_time(), time.time()
    if way == "cut":
        _cut(folder, 3000)
    else:
        chunks = None if way.startswith("eager") else CHUNKS
        cube = hstcube.open_field(folder, "mos", chunks=chunks)
        cube = hstcube.homogenize(cube, sky=[0.0] * cube.sizes["band"])
        if way.endswith("zarr"):
            hstcube.save_cube(cube, out.with_suffix(".zarr"))
        else:
            hstcube.to_fits(cube, out)
    used = time.process_time() - start
    return {"cpu": used, "wall": time.time() - wall, "peak": peak(), "base": base}


def _cut(folder: Path, start: int) -> None:
    import hstcube

    cube = hstcube.open_field(folder, "mos", chunks=CHUNKS)
    cube.sci[:, start : start + 100, start : start + 100].compute()


def peak() -> int:
    """Return the peak memory of this process [MB]."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if "VmHWM" in line) // 1024


def measured(folder: Path, way: str, out: Path) -> dict[str, float]:
    """Run one way in a process of its own, and remove what it made."""
    command = [sys.executable, __file__, "--one", way, "--folder", str(folder), "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    for made in (out, out.with_suffix(".zarr")):
        shutil.rmtree(made, ignore_errors=True)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sides", type=int, nargs="+", default=[4096, 6144])
    parser.add_argument("--bands", type=int, default=3)
    parser.add_argument("--ways", nargs="+", default=list(WAYS))
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--one")
    asked = parser.parse_args()
    if asked.one:
        sys.stdout.write(json.dumps(run(asked.folder, asked.one, asked.out)) + "\n")
        return
    for side in asked.sides:
        with tempfile.TemporaryDirectory(dir=asked.folder) as place:
            images = Path(place) / "images"
            make(images, side, BANDS[: asked.bands])
            for way in asked.ways:
                found = measured(images, way, Path(place) / "out")
                sys.stdout.write(
                    f"{side}^2 x {asked.bands} {way:12} CPU {found['cpu']:7.2f} s, "
                    f"wall {found['wall']:6.1f} s, peak {found['peak']:5d} MB "
                    f"(before: {found['base']})\n"
                )
                sys.stdout.flush()


if __name__ == "__main__":
    main()
