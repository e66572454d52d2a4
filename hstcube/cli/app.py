"""The command line: the commands by their names, and what becomes of errors."""

from __future__ import annotations

import errno
import gc
import os
import signal
import sys
from typing import TYPE_CHECKING, Annotated, NoReturn, cast

import typer

from hstcube import __version__
from hstcube.cli import cube, demo, field, looking, maps, psf
from hstcube.errors import HstCubeError, WriteError, language
from hstcube.fits.local import missing, unreadable
from hstcube.terminal.panels import with_examples
from hstcube.terminal.show import warn
from hstcube.terminal.streams import flush, open_streams

if TYPE_CHECKING:
    from collections.abc import Callable

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
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="HST images of a field, in many bands, as one homogeneous cube: same pixels, same "
    "resolution, sky subtracted.",
)
STAMPS = "hstcube_demo/stamps"
_COMMANDS: dict[str, tuple[Callable[..., None], tuple[str, ...]]] = {
    "ls": (field.ls, (f"hstcube ls {STAMPS}", f"hstcube ls {STAMPS} --json")),
    "check": (
        field.check,
        (f"hstcube check {STAMPS}", f"hstcube check {STAMPS} --to 0.3arcsec --json"),
    ),
    "run": (
        field.run,
        (
            f"hstcube run {STAMPS}",
            f"hstcube run {STAMPS} -b f606w -b f160w --no-netcdf -o out_two",
            f"hstcube run {STAMPS} --ids pair=demo:101,102 -o out_merger",
            f"hstcube run {STAMPS} --labels detect -o out_detected",
        ),
    ),
    "info": (
        looking.info,
        (
            f"hstcube info {STAMPS}/new_stamps/demo_60mas_f160w_sci.fits",
            "hstcube info hstcube_out/demo.nc",
        ),
    ),
    "phot": (
        cube.phot,
        (
            "hstcube phot hstcube_out/demo.nc -o object.csv",
            "hstcube phot hstcube_out/demo.nc --groups bins.fits -o bins.ecsv",
        ),
    ),
    "bin": (cube.bin_, ("hstcube bin hstcube_out/demo.nc --snr 5 -o bins.fits",)),
    "export": (
        cube.export,
        ("hstcube export hstcube_out/demo.nc --code eazy --redshift 1.2 -o eazy",),
    ),
    "compare": (looking.compare, ("hstcube compare hstcube_out out_levels --rtol 10",)),
    "sky": (
        maps.sky,
        (f"hstcube sky {STAMPS} -o levels", f"hstcube run {STAMPS} --sky levels -o out_levels"),
    ),
    "detect": (maps.detect, (f"hstcube detect {STAMPS} -o maps",)),
    "report": (cube.report, ("hstcube report hstcube_out",)),
    "line": (
        maps.line,
        ("hstcube line hstcube_out/demo.nc hstcube_demo/ifu.fits --psf 0.65arcsec -o ifu",),
    ),
    "noise": (cube.noise, (f"hstcube noise {STAMPS} -o noise.png",)),
    "cutout": (demo.cutout, ()),
    "fetch": (demo.fetch, ()),
    "demo": (demo.demo, ("hstcube demo hstcube_demo",)),
}
for _name, (_function, _examples) in _COMMANDS.items():
    app.command(_name, cls=with_examples(*_examples))(_function)

psf_app = typer.Typer(no_args_is_help=True, help="Measure PSFs from stars, and look at them.")
psf_app.command(
    "measure", cls=with_examples(f"hstcube psf measure {STAMPS}/psf_stars -o psf.fits")
)(psf.measure)
psf_app.command("show", cls=with_examples("hstcube psf show psf.fits -o kernels.png"))(psf.show)
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
    again = "; the same line with --resume goes on" if sys.argv[1:2] == ["run"] else ""
    warn(f"interrupted; files that are there are whole{again}")
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
    warn(f"error: {said}")
    sys.exit(code)


def _terminate(*_: object) -> NoReturn:
    sys.exit(TERMINATED)
