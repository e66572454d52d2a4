"""The command line: the commands by their names, and what becomes of errors."""

from __future__ import annotations

import errno
import gc
import os
import signal
import sys
from typing import Annotated, NoReturn, cast

import typer

from hstcube import __version__
from hstcube.cli import cube, demo, field, maps, psf
from hstcube.cli.show import plain
from hstcube.cli.streams import flush, open_streams
from hstcube.errors import HstCubeError, WriteError, language
from hstcube.fits.local import missing, unreadable

__all__ = ["app", "main"]

_LONGEST_NAME = 200  # characters of a path that an error shows

INTERNAL, USAGE, INTERRUPTED, TERMINATED = 1, 2, 130, 143

# click's, or that of the copy of click that newer typers bring
_UsageError = cast(
    "type[typer.BadParameter]",
    next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException"),
)

_state = {"debug": False}

app = typer.Typer(
    name="hstcube",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="HST images of a field, in many bands, as one homogeneous cube: same pixels, same "
    "resolution, sky subtracted.",
)
app.command("ls")(field.ls)
app.command("sky")(maps.sky)
app.command("detect")(maps.detect)
app.command("run")(field.run)
app.command("cutout")(field.cutout)
app.command("check")(field.check)
app.command("compare")(field.compare)
app.command("fetch")(demo.fetch)
app.command("demo")(demo.demo)
app.command("export")(cube.export)
app.command("bin")(cube.bin_)
app.command("phot")(cube.phot)
app.command("noise")(cube.noise)
app.command("report")(cube.report)

psf_app = typer.Typer(no_args_is_help=True, help="Measure PSFs from stars, and look at them.")
psf_app.command("measure")(psf.measure)
psf_app.command("show")(psf.show)
app.add_typer(psf_app, name="psf")


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"hstcube {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[  # noqa: ARG001  its callback answers
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    _state["debug"] = debug


def main() -> NoReturn:
    """Run the command line; errors become one message and an exit code."""
    before = language.set("shell")
    try:
        _prepare()
        code = _run()
        flush()
    except (KeyboardInterrupt, typer.Abort):
        code = _interrupted()
    except OSError as error:
        _fail(_of_the_system(error), WriteError.exit_code)
    finally:  # who calls this from Python goes on in Python
        language.reset(before)
    sys.exit(code)


def _prepare() -> None:
    open_streams()
    # until the first target is done: looking through what modules load takes a quarter of the start
    gc.disable()
    signal.signal(signal.SIGTERM, _terminate)
    if signal.getsignal(signal.SIGINT) not in (signal.SIG_IGN, signal.SIG_DFL):
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _run() -> int:
    try:
        result = app(standalone_mode=False)
    except HstCubeError as error:
        _fail(error, error.exit_code)
    except _UsageError as error:
        error.show()
        return USAGE
    except (KeyboardInterrupt, typer.Abort):
        return _interrupted()
    except OSError as error:
        _fail(_of_the_system(error), HstCubeError.exit_code)
    except Exception as error:
        _fail(error, INTERNAL)
    if result == INTERRUPTED:  # what typer makes of Ctrl-C
        return _interrupted()
    return result if isinstance(result, int) else 0


def _interrupted() -> int:
    print("interrupted; files that are there are whole", file=sys.stderr)  # noqa: T201
    return INTERRUPTED


def _of_the_system(error: OSError) -> Exception:
    """Return what the system raised as an error of ours, as far as its words tell what to do."""
    if _state["debug"]:
        return error
    try:
        os.getcwd()  # noqa: PTH109  Path.cwd does the same
    except OSError:
        return missing("such place: the working folder was removed", "cd to a folder that exists")
    name = str(error.filename or ("stdout" if error.errno == errno.ENOSPC else ""))
    shown = name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}..."
    return unreadable(shown, error, verb="read or written")


def _fail(error: Exception, code: int) -> NoReturn:
    if _state["debug"]:
        raise error
    said = (
        str(error)
        if isinstance(error, HstCubeError)
        else f"internal: {type(error).__name__}: {error} (--debug shows where; please report it)"
    )
    print(plain(f"error: {said}"), file=sys.stderr)  # noqa: T201
    sys.exit(code)


def _terminate(*_: object) -> NoReturn:
    sys.exit(TERMINATED)
