"""What a message tells people to do exists: options, arguments, functions, commands."""

from __future__ import annotations

import ast
import inspect
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import typer

import hstcube
from hstcube.cli.app import app
from hstcube.errors import codes, language, spoken

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(hstcube.__file__).parent
# methods and functions of other libraries, and words of ordinary language before a bracket
FOREIGN = {"print", "with_name", "pixel_to_world", "sel", "isel", "where", "assign", "drop_vars",
           "assign_coords", "astype", "transpose", "index", "convert", "to", "filled", "chunk",
           "wavelength", "rename", "compute", "load", "arange", "read", "Table", "SkyCoord"}  # fmt: skip  # noqa: E501


def texts() -> Iterator[tuple[str, str]]:
    """Yield every fix that the sources hold, and those of the registry, with the place."""
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            yield from ((f"{path.name}:{node.lineno}", text) for text in fixes_of(node))
    for code in codes().values():
        yield code.code, code.fix


def fixes_of(node: ast.AST) -> list[str]:
    """Return the third argument of an error, or what is called fix."""
    if isinstance(node, ast.Call) and getattr(node.func, "id", "").endswith("Error"):
        given = [*node.args[2:3], *(k.value for k in node.keywords if k.arg == "fix")]
        return [literal(one) for one in given if literal(one)]
    names = [getattr(t, "id", "") for t in node.targets] if isinstance(node, ast.Assign) else []
    return [literal(node.value)] if names == ["fix"] and literal(node.value) else []


def literal(node: ast.expr) -> str:
    """Return the text of a string; what is put into it stands as X."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(literal(part) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        return "X"
    if isinstance(node, ast.BinOp):
        return literal(node.left) + literal(node.right)
    return ""


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
    """Return the arguments of all public functions, and keys of field and recipe files."""
    found = {"checksum", "wcs", "chunks", "hdu", "ids", "path", "sky", "wht_kind", "psf", "pivot"}
    for name in hstcube.__all__:
        if callable(getattr(hstcube, name)):
            found |= set(inspect.signature(getattr(hstcube, name)).parameters)
    return found


FIXES = sorted(set(texts()))


@pytest.mark.parametrize(("place", "text"), FIXES, ids=[f"{p}" for p, _ in FIXES])
def test_what_a_fix_names_exists(place: str, text: str) -> None:
    every = set().union(*commands().values())
    for half in ("python", "shell"):
        asked = language.set(half)  # type: ignore[arg-type]
        said = spoken(text)
        language.reset(asked)
        assert set(re.findall(r"(?<![\w-])--[a-z][\w-]*", said)) <= every, said
        for command, sub in re.findall(r"hstcube ([a-z]+)(?: ([a-z]+))?", said):
            assert command in commands(), said
            assert command != "psf" or sub in commands(), said
        for name in re.findall(r"(?<![\w'\"./])([a-z_]+)=(?!=)", said):
            assert name in arguments() or name in said.partition("dtype")[2], f"{name}= in {said}"
        for name in re.findall(r"hstcube\.([a-z_]+)\(", said):
            assert name in hstcube.__all__, said
        for name in re.findall(r"(?<![\w.])([a-z]+_[a-z_]+)\(", said):
            assert name in hstcube.__all__ or name in FOREIGN, said


def test_fixes_are_found() -> None:
    assert len(FIXES) > 300
