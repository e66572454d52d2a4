"""The command `hstcube`, run in a process of its own; what the fixture `call` returns."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path


class Said(NamedTuple):
    """How a command ended, and what it wrote to where."""

    code: int
    out: str
    err: str


def hstcube(*arguments: str, folder: Path) -> str:
    """Run a command in a folder as a user would; return what it printed."""
    command = [sys.executable, "-m", "hstcube", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def leaves(group: Any = None, before: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Return every command by its words."""
    from typer.main import get_command

    from hstcube.cli.app import app

    found = {}
    for name, command in (group or get_command(app)).commands.items():
        words = (*before, name)
        inner = hasattr(command, "commands")
        found |= leaves(command, words) if inner else {words: command}
    return found
