"""What a message tells people to do exists, and is said in the language of who called."""

from __future__ import annotations

import inspect
import re
from functools import cache
from typing import TYPE_CHECKING

import pytest
import typer
from messages import Text, fixes

import hstcube
from hstcube.cli.app import app
from hstcube.errors import codes, language, spoken

if TYPE_CHECKING:
    from collections.abc import Iterable

# methods and functions of other libraries, and words of ordinary language before a bracket
FOREIGN = {"pixel_to_world", "to_pixel", "to_mask", "to_image", "drop_vars", "assign_coords"}
REGISTRY = [Text(code.code, code.fix) for code in codes().values()]
FIXES = [*fixes(), *REGISTRY]


@cache
def commands() -> dict[str, set[str]]:
    """Return every command of the command line with its options."""
    root = typer.main.get_command(app)
    found: dict[str, set[str]] = {"": {option for p in root.params for option in p.opts}}
    for name, command in root.commands.items():  # type: ignore[attr-defined]
        for path, one in [(name, command), *getattr(command, "commands", {}).items()]:
            found[path] = {o for p in one.params for o in (*p.opts, *p.secondary_opts)} | {"--help"}
    return found


@cache
def arguments() -> set[str]:
    """Return the arguments of all public functions."""
    # those of the xarray and astropy calls that fixes show, and of the pipeline's own functions
    found = {"wcs", "checksum", "strict", "labels", "sky"}
    for name in hstcube.__all__:
        if callable(getattr(hstcube, name)):
            found |= set(inspect.signature(getattr(hstcube, name)).parameters)
    return found


def said_in(text: str, who: str) -> str:
    before = language.set(who)  # type: ignore[arg-type]
    try:
        return spoken(text)
    finally:
        language.reset(before)


def options_in(said: str) -> list[str]:
    return re.findall(r"(?<![\w-])--?[a-z][\w-]*", said)


def python_in(said: str) -> list[str]:
    """Return what only Python understands: arguments, calls, attributes, functions of ours."""
    plain = re.sub(r"--?[a-z][\w-]* \S+", "", said)  # options with values, as in f160w=0.18
    found = re.findall(r"(?<![\w'\"./-])\w+=(?!=)", plain)
    found += re.findall(r"[\w.]+\(", said)
    found += re.findall(r"\b(?:cube|np|xr|hstcube)\.[a-zA-Z]\w*", said)
    return found + [
        word for word in re.findall(r"\w+", said) if "_" in word and word in hstcube.__all__
    ]


def ids(texts: Iterable[Text]) -> list[str]:
    return [text.place for text in texts]


@pytest.mark.parametrize("text", FIXES, ids=ids(FIXES))
def test_what_a_fix_names_exists(text: Text) -> None:
    every = set().union(*commands().values())
    for half in ("python", "shell"):
        said = said_in(text.said, half)
        assert set(options_in(said)) <= every, said
        for command, sub in re.findall(r"(?:^|\W)hstcube ([a-z]+)(?: ([a-z]+))?", said):
            assert command in commands(), said
            assert command != "psf" or sub in commands(), said
            _, _, rest = said.partition(f"hstcube {command}")
            own = commands()[sub if command == "psf" else command]
            assert set(options_in(re.split(r"[,;]| then ", rest)[0])) <= own, said
    said = said_in(text.said, "python")
    for name in re.findall(r"(?<![\w'\"./])([a-z_]+)=(?!=)", said):
        assert name in arguments() or name in said.partition("dtype")[2], f"{name}= in {said}"
    for name in re.findall(r"hstcube\.([a-z_]+)\(", said):
        assert name in hstcube.__all__, said
    for name in re.findall(r"(?<![\w])([a-z]+_[a-z_]+)\(", said):
        assert name in hstcube.__all__ or name in FOREIGN, said


@pytest.mark.parametrize("text", FIXES, ids=ids(FIXES))
def test_a_fix_speaks_the_language_of_who_called(text: Text) -> None:
    """The command line knows no arguments and functions, Python no options and commands."""
    shell, python = said_in(text.said, "shell"), said_in(text.said, "python")
    assert not python_in(shell), shell
    if not text.place.startswith("cli/"):  # which nobody calls from Python
        assert not options_in(python), python
        named = re.findall(r"\bhstcube ([a-z]+)", python)
        assert not commands().keys() & set(named), python
    assert "[[" not in shell
    assert "]]" not in python.replace("]]]", "")


def test_advice_names_nothing_that_a_test_could_apply() -> None:
    for code in codes().values():
        if code.mend == "advice":
            shell, python = said_in(code.fix, "shell"), said_in(code.fix, "python")
            named = [*options_in(shell), *python_in(python), *re.findall(r"hstcube \w+", shell)]
            assert not named, f"{code.code}: {code.fix}"


def test_fixes_are_found() -> None:
    assert len(FIXES) > 500
