"""Every choice of every public function is refused when misspelt, and the choices are told."""

from __future__ import annotations

import ast
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from everything import World

import hstcube
from hstcube.errors import HstCubeError

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(hstcube.__file__).parent
TREES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): (
        ast.parse(path.read_text(encoding="utf-8"))
    )
    for path in PACKAGE.rglob("*.py")
}


def words_of(node: ast.expr) -> tuple[str, ...]:
    """Return the words of ``Literal["a", "b"]``; nothing where it is none."""
    if not (isinstance(node, ast.Subscript) and getattr(node.value, "id", "") == "Literal"):
        return ()
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    return tuple(part.value for part in parts if isinstance(part, ast.Constant))


def names_of_choices() -> dict[str, set[tuple[str, ...]]]:
    """Return what names such as Layout stand for in the package; two modules may use one name."""
    found: dict[str, set[tuple[str, ...]]] = {}
    for tree in TREES.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and (words := words_of(node.value)):
                found.setdefault(getattr(node.targets[0], "id", ""), set()).add(words)
    return found


def choices() -> Iterator[tuple[str, str]]:
    """Yield every public function and argument that is a choice."""
    known = names_of_choices()
    for module, tree in TREES.items():
        for function in tree.body:
            if isinstance(function, ast.FunctionDef) and is_public(function.name, module):
                for argument in (*function.args.args, *function.args.kwonlyargs):
                    said = ast.unparse(argument.annotation) if argument.annotation else ""
                    names = set(re.findall(r"\w+", said))
                    if "Literal" in names or names & known.keys() - {"Any"}:
                        yield function.name, argument.arg


def is_public(name: str, module: str) -> bool:
    return name in hstcube.__all__ and getattr(hstcube, name).__module__ == module


CHOICES = sorted(set(choices()))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"))


def test_there_are_choices() -> None:
    assert len(CHOICES) >= 18
    assert ("to_fits", "layout") in CHOICES


@pytest.mark.parametrize(("function", "argument"), CHOICES)
def test_a_misspelt_choice_is_refused(function: str, argument: str, world: World) -> None:
    arguments, named = (world.calls(world.cube) | world.others())[function]
    with pytest.raises(HstCubeError) as caught:
        called(function, arguments, named, argument)
    assert "misspeltt" in caught.value.reason
    assert re.search(r"choose|'\w+'", caught.value.fix)


def called(function: str, arguments: Any, named: dict[str, Any], argument: str) -> Any:
    """Call a public function with one argument misspelt, whether it is given by name or not."""
    given = getattr(hstcube, function)
    position = list(given.__code__.co_varnames[: given.__code__.co_argcount])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if argument in position:
            arguments = tuple(
                "misspeltt" if name == argument else value
                for name, value in zip(position, arguments, strict=False)
            )
            return given(*arguments, **named)
        return given(*arguments, **named | {argument: "misspeltt"})
