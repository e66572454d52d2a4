"""What commands print fits: on a terminal of 80 columns, of 200, and read by a program."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from typing import TYPE_CHECKING

import numpy as np
import pytest
from astropy.io import fits
from commands import leaves

from hstcube.core.grids import Grid
from hstcube.demo.field import simulate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.slow

WIDTHS = (80, 200, 0)  # columns; 0: no terminal
LINES = [
    "ls stamps",
    "check stamps",
    "check stamps --no-mask --sky none",
    "run two --psf-fwhm f606w=0.11 -o out --report",
    "run two -o out",  # it exists
    "run two --ids pair=demo:101,102 -o merger --layout mef",
    "info out/demo.nc",
    "info two/new_stamps/demo_60mas_f160w_sci.fits",
    "phot out/demo.nc -o fluxes.csv",
    "bin out/demo.nc --snr 50 -o bins.fits",
    "export out/demo.nc --code eazy -o eazy",
    "compare out merger",
    "compare out out",
    "sky two -o levels",
    "detect two -o maps",
    "noise two -o noise.png",
    "noise two -o measured.png --measure",
    "report out --overwrite",
    "psf measure two/psf_stars -o psf.fits",
    "psf show psf.fits -o kernels.png",
    "line out/demo.nc line.fits -o line --psf 0.6arcsec,beta=2.8",
    "run a_folder_with_a_long_name/that_is_not_there/and_is_named_in_the_message -o nowhere",
    "compare out/demo.nc two/new_stamps/demo_60mas_f160w_sci.fits",
    "--help",
    "psf --help",
    *(" ".join([*words, "--help"]) for words in leaves()),
]
PROGRAM = """
import json, sys, time
from hstcube.cli.app import main
time.sleep(0.3)  # until the terminal has its size
for line in json.loads(sys.argv[1]):
    print("\\n@", line, flush=True)
    print("\\n@", line, file=sys.stderr, flush=True)
    sys.argv = ["hstcube", *line.split()]
    try:
        main()
    except SystemExit:
        pass
"""
PROGRESS = re.compile(r"\u2501|^\[\d+/\d+\] ")
STYLE = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], dict[str, list[str]]]:
    """Return what gives the lines that each command prints, by the columns of the terminal."""
    folder = tmp_path_factory.mktemp("widths")
    simulate(folder / "stamps")
    for path in (folder / "stamps").rglob("*.fits"):
        if "60mas" not in path.name or "f606w" in path.name or "f160w" in path.name:
            place = folder / "two" / path.relative_to(folder / "stamps")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(path)
    write_map(folder / "line.fits")
    known: dict[int, dict[str, list[str]]] = {}

    def of(columns: int) -> dict[str, list[str]]:
        if columns not in known:
            place = folder / str(columns)
            place.mkdir()
            for name in ("stamps", "two", "line.fits"):
                (place / name).symlink_to(folder / name)
            known[columns] = by_command(printed(place, columns))
        return known[columns]

    return of


def write_map(path: Path) -> None:
    """Write the map of a line: a blob where the galaxy is, on pixels of 0.2 arcsec, and noise."""
    grid = Grid.around((53.16, -27.78), 6.2, 0.2, angle=42.0)
    y, x = np.indices(grid.shape) - (np.array(grid.shape)[:, None, None] - 1) / 2
    light = 100 * np.exp(-(y**2 + x**2) / 18)
    noise = np.random.default_rng(1).normal(size=grid.shape)
    header = fits.Header([*grid.cards, ("BUNIT", "1e-20 erg s-1 cm-2")])
    fits.PrimaryHDU((light + noise).astype(np.float32), header).writeto(path)


def printed(place: Path, columns: int) -> str:
    """Return what all commands print, one after the other in one process."""
    program = [sys.executable, "-c", PROGRAM, json.dumps(LINES)]
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    if not columns:
        done = subprocess.run(
            program, cwd=place, env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout + done.stderr
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    with subprocess.Popen(
        program, cwd=place, env=environment, stdin=theirs, stdout=theirs, stderr=theirs
    ):
        os.close(theirs)
        pieces = []
        with os.fdopen(ours, "rb", buffering=0) as stream:
            try:
                while piece := stream.read(65536):
                    pieces.append(piece)
            except OSError:  # Linux: nobody writes any more
                pass
    return b"".join(pieces).decode()


def by_command(text: str) -> dict[str, list[str]]:
    """Return the lines that are seen, by the command that printed them."""
    seen: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in STYLE.sub("", text).replace("\r\n", "\n").split("\n"):
        if line.startswith("@ "):
            lines = seen.setdefault(line.removeprefix("@ "), [])
        else:
            lines += line.split("\r")  # a bar is drawn over itself
    return seen


@pytest.mark.parametrize("columns", WIDTHS)
@pytest.mark.parametrize("line", LINES)
def test_what_a_command_prints_fits(
    told: Callable[[int], dict[str, list[str]]], line: str, columns: int
) -> None:
    lines = told(columns)[line]
    assert any(lines)
    assert not any("internal:" in one or "Traceback" in one for one in lines)
    cut = [one for one in lines if "\u2026" in one or ("..." in one and "Usage: " not in one)]
    assert not cut
    if columns:
        assert [one for one in lines if len(one.rstrip()) > columns] == []


@pytest.mark.parametrize("line", [line for line in LINES if "help" not in line])
def test_every_width_tells_the_same(told: Callable[[int], dict[str, list[str]]], line: str) -> None:
    """Tables go on below where they are wide: their words are the same, their order is not."""
    words = []
    for columns in WIDTHS:
        kept = [one for one in told(columns)[line] if not PROGRESS.search(one)]
        words.append({word for one in kept for word in one.split() if "\u2500" not in word})
    assert words[0] == words[1] == words[2]
