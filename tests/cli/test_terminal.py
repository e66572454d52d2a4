"""What people see: nothing is cut or taken for markup, on terminals of any width."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from typing import TYPE_CHECKING

import pytest

from hstcube.terminal.show import show_table

if TYPE_CHECKING:
    from pathlib import Path

COMMANDS = [
    "ls",
    "sky",
    "run",
    "cutout",
    "check",
    "compare",
    "demo",
    "export",
    "bin",
    "phot",
    "noise",
]
STYLE = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


def seen(code: str, columns: int) -> str:
    """Return what a program of Python prints on a terminal so many columns wide."""
    pid, end = pty.fork()
    if pid == 0:
        os.environ.pop("COLUMNS", None)
        os.execv(sys.executable, [sys.executable, "-c", code])
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    text = b""
    while True:
        try:
            piece = os.read(end, 65536)
        except OSError:
            break
        if not piece:
            break
        text += piece
    os.waitpid(pid, 0)
    return STYLE.sub("", text.decode()).replace("\r", "")


TABLE = """
import sys, time
time.sleep(0.3)  # until the terminal has its size
from hstcube.terminal.show import show_table
columns = ("band", "flux [uJy]", "error [mag]", *(f"a column with a long name {i}" for i in range(9)))
rows = [("f160w", "1.0012 ± 0.0022", "x" * 30, *("value of cell " + str(i) for i in range(9)))]
show_table(columns, rows, title="a table [arcsec]")
"""  # noqa: E501


@pytest.mark.parametrize("columns", [80, 200])
def test_a_table_is_neither_cut_nor_folded_on_a_terminal(columns: int) -> None:
    text = seen(TABLE, columns)
    assert "..." not in text
    assert "…" not in text
    assert all(len(line) <= columns for line in text.splitlines())
    for cell in (
        "a table [arcsec]",
        "1.0012 ± 0.0022",
        "x" * 30,
        *(f"value of cell {i}" for i in range(9)),
    ):
        assert cell in text


def test_units_in_headers_are_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    columns = ("band", "flux [uJy]", "rim [mag]", "size [arcsec]", "[px]")
    show_table(columns, [("f160w", "1", "2", "3", "4")], title="[bold] title")
    text = capsys.readouterr().out
    for word in ("[bold] title", "[uJy]", "[mag]", "[arcsec]", "[px]"):
        assert word in text


@pytest.mark.slow
@pytest.mark.parametrize("columns", [80, 200])
def test_no_summary_of_a_command_is_cut(columns: int) -> None:
    for group in ("", "psf"):
        text = seen(
            "import sys, time; time.sleep(0.3)\n"
            f"sys.argv = ['hstcube', *{group!r}.split(), '--help']\n"
            "from hstcube.cli.app import main; main()",
            columns,
        )
        assert "..." not in text.partition("Commands:")[2]
        if not group:
            assert [name for name in COMMANDS if f"\n  {name} " not in text] == []


@pytest.mark.slow
def test_own_names_without_a_scale_run_into_the_default_folder(tmp_path: Path) -> None:
    """`run . --images 'data/{field}_{band}_{kind}.fits'`: FOLDER means nothing then."""
    from stamps import label_map, stamp, write_field

    folder = write_field(tmp_path / "stamps")
    (tmp_path / "data").mkdir()
    (tmp_path / "maps").mkdir()
    for band in ("f435w", "f160w"):
        for kind in ("sci", "wht"):
            stamp(folder, band, kind).rename(tmp_path / "data" / f"1_{band}_{kind}.fits")
    label_map(folder).rename(tmp_path / "maps" / "1.fits")
    command = [
        sys.executable,
        "-m",
        "hstcube",
        "run",
        ".",
        "--images",
        "data/{field}_{band}_{kind}.fits",
    ]
    done = subprocess.run(
        [*command, "--labels", "maps/{field}.fits"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "hstcube_out" / "1.nc").exists()
    inside = subprocess.run(
        [*command, "-o", "data/out"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert inside.returncode == 4
    assert "HC-O06" in inside.stderr
