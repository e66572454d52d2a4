"""How the cost of a run grows with the side of the images, and with the number of fields.

    python benchmarks/growth.py [--sides 200 6400] [--fields 1 1000] [--folder /tmp]
    python benchmarks/growth.py --draw                              # the picture of the CSV alone

writes growth.csv beside it and docs/images/growth.png. Each point is one `hstcube run` in a process
of its own, from FITS to FITS that are verified, without netCDF, in one thread: its CPU (user and
system), the peak of its memory, and what it left on disk. Images by side are those of mosaics.py in
three bands; from a quarter of the memory on they are made in blocks, as `run` does by itself.
Fields are stamps of 100x100 in nine bands with maps: the XDF's of HSTCUBE_XDF, or made up; each is
moved on the sky, so that no two have one grid.
"""

from __future__ import annotations

import argparse
import csv
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

import numpy as np  # noqa: E402  the threads are told before

HERE = Path(__file__).parent
TABLE, PICTURE = HERE / "growth.csv", HERE.parent / "docs" / "images" / "growth.png"
SIDES = [200, 400, 800, 1600, 3200, 6400]
NUMBERS = [1, 10, 30, 100, 300]
IN_BLOCKS = 6400  # pixels: from this side on, so that the picture shows both ways
BANDS = 3
COLUMNS = ("series", "number", "bands", "cpu_s", "peak_mb", "files", "output_mb")
HEADER = 40_000  # bytes of a file in which its WCS stands
STEP = 1e-5  # degrees by which a field is moved
FOLDERS = ("new_stamps", "segment_maps", "NEW_SKY")

Row = dict[str, Any]


def main() -> None:
    """Measure, write the table, draw it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--sides", type=int, nargs="*", default=SIDES)
    parser.add_argument("--fields", type=int, nargs="*", default=NUMBERS)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--draw", action="store_true")
    asked = parser.parse_args()
    if not asked.draw:
        rows: list[Row] = []
        at = commit()  # before it is measured: it may move on
        with tempfile.TemporaryDirectory(dir=asked.folder) as place:
            rows += [by_side(Path(place), side) for side in asked.sides]
            rows += by_number(Path(place), asked.fields)
        write(rows, at)
    rows, at = read()
    print(told(rows))
    draw(rows, at)


def by_side(place: Path, side: int) -> Row:
    """Measure a run on images of so many pixels a side."""
    from mosaics import BANDS as NAMES
    from mosaics import make

    images = place / "images"
    make(images, side, NAMES[:BANDS])
    recipe = place / "recipe.toml"
    recipe.write_text("sky = 0.0\n", encoding="utf-8")
    how = ["--no-mask", "--recipe", str(recipe)]
    how += ["--chunks", "1024" if side >= IN_BLOCKS else "none"]
    row = {"series": "side", "number": side, "bands": BANDS}
    row |= measured([str(images), *how], place / "out")
    shutil.rmtree(images)
    return row


def by_number(place: Path, numbers: list[int]) -> list[Row]:
    """Measure runs on so many fields."""
    if not numbers:
        return []
    stamps = place / "fields"
    write_fields(place, stamps, max(numbers))
    rows = []
    for number in numbers:
        names = place / "names.txt"
        names.write_text("\n".join(map(name_of, range(number))) + "\n", encoding="utf-8")
        row = {"series": "fields", "number": number, "bands": 9}
        rows.append(row | measured([str(stamps), "--fields", str(names)], place / "out"))
    return rows


def name_of(number: int) -> str:
    """Return the name of a field."""
    return str(20_000 + number)


def write_fields(place: Path, stamps: Path, number: int) -> None:
    """Write so many fields: copies of the six, each moved on the sky."""
    sys.path.insert(0, str(HERE))
    from run import FIELDS, find_stamps

    source, _, _ = find_stamps(place)
    for folder in FOLDERS:
        (stamps / folder).mkdir(parents=True)
    paths = {
        field: [
            *source.glob(f"new_stamps/{field}_60mas_*.fits"),
            *source.glob(f"segment_maps/*_{field}_*.fits"),
            *source.glob(f"NEW_SKY/sky_{field}_*.txt"),
        ]
        for field in FIELDS
    }
    for i in range(number):
        field = FIELDS[i % len(FIELDS)]
        for path in paths[field]:
            name = re.sub(rf"(^|_){field}_", rf"\g<1>{name_of(i)}_", path.name, count=1)
            data = path.read_bytes()
            target = stamps / path.parent.name / name
            target.write_bytes(moved(data, i * STEP) if path.suffix == ".fits" else data)


def moved(data: bytes, by: float) -> bytes:
    """Return a FITS file whose images lie elsewhere: their CRVAL are larger by so many degrees."""

    def card(found: re.Match[bytes]) -> bytes:
        key, value = found[1].decode(), float(found[2]) + by
        return f"{key}  = {value:20.12f}".ljust(80).encode()

    cards = [data[at : at + 80] for at in range(0, min(len(data), HEADER), 80)]
    known = re.compile(rb"(CRVAL[12]) *= *([-+0-9.Ee]+).*", re.DOTALL)
    start = b"".join(known.sub(card, one) if known.match(one) else one for one in cards)
    return start + data[len(start) :]


def measured(how: list[str], out: Path) -> Row:
    """Run hstcube; return what it cost and left."""
    command = [sys.executable, "-m", "hstcube", "run", *how, "--no-netcdf", "-o", str(out)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        msg = f"{' '.join(command)} ended with {process.returncode}"
        raise RuntimeError(msg)
    files = [path for path in out.iterdir() if path.suffix == ".fits"]
    row = {
        "cpu_s": round(used.ru_utime + used.ru_stime, 2),
        "peak_mb": round(used.ru_maxrss / 1024),
        "files": len(files),
        "output_mb": round(sum(path.stat().st_size for path in files) / 1e6, 1),
    }
    shutil.rmtree(out)
    print(how[-1], row, file=sys.stderr, flush=True)
    return row


# -- the table and its picture


def write(rows: list[Row], at: str) -> None:
    """Write the table; its first line names the commit."""
    with TABLE.open("w", encoding="utf-8", newline="") as file:
        file.write(f"# commit {at}\n")
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def read() -> tuple[list[Row], str]:
    """Return the table and the commit."""
    with TABLE.open(encoding="utf-8") as file:
        at = file.readline().split()[-1]
        rows = [
            {key: text if key == "series" else float(text) for key, text in row.items()}
            for row in csv.DictReader(file)
        ]
    return rows, at


def told(rows: list[Row]) -> str:
    """Return what one more field costs, and a million pixels of a band, by the largest points."""
    lines = []
    for series in ("side", "fields"):
        some = [row for row in rows if row["series"] == series]
        if len(some) > 1:
            one, two = some[-2:] if series == "side" else (some[0], some[-1])
            work = [pixels(row) if series == "side" else row["number"] for row in (one, two)]
            more = (two["cpu_s"] - one["cpu_s"]) / (work[1] - work[0])
            lines.append(f"{series}: {more:.3g} s of CPU for one more")
    return "; ".join(lines)


def pixels(row: Row) -> float:
    """Return the million pixels of all bands."""
    return float(row["bands"] * row["number"] ** 2 / 1e6)


def commit() -> str:
    """Return the commit that is measured."""
    command = ["git", "-C", str(HERE), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def draw(rows: list[Row], at: str) -> None:
    """Draw CPU and memory against the side, and against the number of fields."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6.2), layout="constrained")
    figure.suptitle(f"hstcube run, FITS to verified FITS, one thread; commit {at}", fontsize=11)
    panels = figure.subplots(2, 2, sharex="col")
    names = {"cpu_s": "CPU [s]", "peak_mb": "peak memory [MB]"}
    for column, (series, what) in enumerate(
        (("side", f"side [pixels], {BANDS} bands"), ("fields", "fields of 100x100, 9 bands"))
    ):
        some = [row for row in rows if row["series"] == series]
        number = np.array([row["number"] for row in some])
        for row, (key, name) in enumerate(names.items()):
            axes, values = panels[row, column], np.array([one[key] for one in some])
            axes.loglog(number, values, "o-", color="C0", label="measured")
            axes.set_ylabel(name)
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_major_formatter("{x:g}")
            axes.grid(alpha=0.3, which="both", linewidth=0.5)
            if key == "cpu_s" and number.size > 1:
                power = 2 if series == "side" else 1
                line = values[-1] * (number / number[-1]) ** power
                label = "as the number of " + ("pixels" if power > 1 else "fields")
                axes.plot(number, line, ":", color="0.4", label=label)
            if key == "peak_mb":
                axes.set_ylim(100, 10_000)
            if series == "side" and (number >= IN_BLOCKS).any():
                axes.axvspan(IN_BLOCKS * 0.75, IN_BLOCKS * 1.3, color="C1", alpha=0.15)
                where = {"ha": "center", "va": "bottom", "fontsize": 8, "rotation": 90}
                side = axes.get_xaxis_transform()
                axes.text(IN_BLOCKS * 0.97, 0.04, "in blocks", transform=side, **where)
            axes.legend(fontsize=8, loc="upper left")
        panels[1, column].set_xlabel(what)
    PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(PICTURE, dpi=110)


if __name__ == "__main__":
    main()
