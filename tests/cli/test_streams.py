"""A good run ends with 0, whoever listens; what ends it early says so."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from stamps import write_field

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from commands import Said

COMMAND = [sys.executable, "-m", "hstcube"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_field(tmp_path_factory.mktemp("data"))


def shell(line: str, **how: str) -> subprocess.CompletedProcess[str]:
    line = line.replace("hstcube", f"'{sys.executable}' -m hstcube")
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False,
                          env=os.environ | how)  # fmt: skip


@pytest.mark.slow
def test_closed_streams_do_not_end_a_run(data: Path, tmp_path: Path) -> None:
    assert shell(f"hstcube run '{data}' -o '{tmp_path}' >&- 2>&-").returncode == 0
    assert (tmp_path / "run.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize("command", ["ls", "check"])
def test_a_reader_that_leaves_is_no_error(command: str, data: Path) -> None:
    done = shell(f"hstcube {command} '{data}' | head -c1; exit ${{PIPESTATUS[0]}}")
    assert (done.returncode, done.stderr) == (0, "")


def test_an_ascii_terminal_gets_question_marks(data: Path) -> None:
    done = shell(f"hstcube ls '{data}'", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_full_disk_behind_stdout_is_told(data: Path) -> None:
    done = shell(f"hstcube ls '{data}' > /dev/full")
    assert done.returncode in (3, 4)
    assert "stdout" in done.stderr


def test_a_working_folder_that_was_removed_is_named(tmp_path: Path, data: Path) -> None:
    (tmp_path / "gone").mkdir()
    done = shell(f"cd '{tmp_path}/gone'; rmdir ../gone; hstcube run '{data}' -o x")
    assert done.returncode in (3, 4)
    assert "working folder was removed" in done.stderr


@pytest.mark.parametrize("command", ["ls", "run", "bin", "phot", "cutout"])
def test_a_path_that_is_too_long_is_an_error_of_ours(
    command: str, call: Callable[..., Said]
) -> None:
    more = ("--catalogue", "x", "-o", "y") if command == "cutout" else ()
    said = call(command, "a/" * 2500, *more)
    assert said.code in (3, 4)
    assert "internal" not in said.err
    assert len(said.err) < 1000


def test_ctrl_c_is_told(
    data: Path, call: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "hstcube.surveys.names.list_fields", lambda *_, **__: signal.raise_signal(signal.SIGINT)
    )
    said = call("ls", data)
    assert said.code == 130
    assert "interrupted; files that are there are whole" in said.err


def test_ctrl_c_while_modules_are_loaded_is_told() -> None:
    code = "import os, signal, sys; sys.modules['hstcube.cli.app'] = None\n" \
        "import hstcube.__main__ as m, builtins; load = builtins.__import__\n" \
        "def late(name, *a, **k):\n" \
        "    name == 'hstcube.cli.app' and signal.raise_signal(signal.SIGINT)\n" \
        "    return load(name, *a, **k)\n" \
        "builtins.__import__ = late; m.main()"  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "interrupted; nothing was begun\n")
