"""The command `hstcube`, run in a process of its own; what the fixture `call` returns."""

from __future__ import annotations

import multiprocessing
import os
import sys
import traceback
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

# processes are forked from one that has loaded what most commands load: a second of CPU each
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(
    ["hstcube.cli.app", "hstcube.pipeline.runs", "hstcube.report", "hstcube.plots", "dask.array",
     "distributed", "matplotlib.figure", "netCDF4", "photutils.segmentation", "scipy.stats"]
)  # fmt: skip


class Said(NamedTuple):
    """How a command ended, and what it wrote to where."""

    code: int
    out: str
    err: str


def hstcube(*arguments: str, folder: Path | str) -> str:
    """Run a command in a folder as a user would; return what it printed."""
    return _said(_command, arguments, folder)


def python(code: str, folder: Path | str) -> str:
    """Run a script in a folder; return what it printed."""
    return _said(_script, code, folder)


def _said(work: Callable[[Any], None], what: Any, folder: Path | str) -> str:
    """Do work in a process of its own, which must end well; return what it printed."""
    with TemporaryDirectory() as place:
        said = Path(place) / "out", Path(place) / "err"
        process = _FORKS.Process(target=_work, args=(work, what, str(folder), said))
        process.start()
        process.join()
        out, err = (path.read_text(encoding="utf-8") for path in said)
    assert process.exitcode == 0, err
    return out


def _work(work: Callable[[Any], None], what: Any, folder: str, said: tuple[Path, Path]) -> None:
    """Do work with the streams and the folder of a process that a shell has started."""
    os.chdir(folder)
    for stream, path in zip((1, 2), said, strict=True):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), stream)
    try:
        work(what)
    except Exception:
        traceback.print_exc()
        sys.exit(1)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def _command(arguments: tuple[str, ...]) -> None:
    from hstcube.__main__ import main

    sys.argv = ["hstcube", *arguments]
    main()


def _script(code: str) -> None:
    sys.argv = ["-c"]
    exec(compile(code, "<page>", "exec"), {"__name__": "__main__"})


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
