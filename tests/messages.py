"""The texts that messages are made of, found in the sources: no list that could be forgotten."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import hstcube

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(hstcube.__file__).parent
# of what is called with a message: where among its arguments the fix is, and its name
SPEAKERS = {"missing": (1, "fix"), "warn": (2, "text"), "note": (2, "text"), "Note": (1, "text"),
            "HstCubeWarning": (1, "text"), "Finding": (3, "fix")}  # fmt: skip
OF_ERRORS = (2, "fix")


class Text(NamedTuple):
    """A text that goes into a message; what is put into it when it is said stands as X."""

    place: str
    said: str


class Source(NamedTuple):
    name: str
    around: dict[ast.AST, ast.FunctionDef | None]  # the function that a node is in
    calls: dict[str, list[ast.Call]]
    returned: dict[str, list[ast.expr]]
    assigned: list[tuple[ast.FunctionDef | None, ast.expr, ast.expr]]


def fixes() -> list[Text]:
    """Return what every error is given as its fix, and every warning and note as its text."""
    sources = [_source(path) for path in sorted(PACKAGE.rglob("*.py"))]
    todo = [(one, node) for one in sources for node in _messages(one)]
    seen: set[tuple[str, str]] = set()
    found: set[Text] = set()
    while todo:  # from what is said back to where it comes from
        source, node = todo.pop()
        found |= {Text(f"{source.name}:{node.lineno}", said) for said in literals(node)}
        for name, called in _names(node):
            key = (f"{source.name}:{name}", getattr(source.around.get(node), "name", ""))
            if key not in seen:
                seen.add(key)
                todo += _origins(sources, source, node, name, called=called)
    return sorted(found)


def _source(path: Path) -> Source:
    source = Source(str(path.relative_to(PACKAGE)), {}, defaultdict(list), defaultdict(list), [])

    def go(node: ast.AST, function: ast.FunctionDef | None) -> None:
        source.around[node] = function
        if isinstance(node, ast.Call):
            source.calls[getattr(node.func, "id", getattr(node.func, "attr", ""))].append(node)
        elif isinstance(node, ast.Return) and node.value is not None and function:
            source.returned[function.name].append(node.value)
        elif isinstance(node, ast.Assign):
            source.assigned.extend((function, target, node.value) for target in node.targets)
        elif isinstance(node, ast.AnnAssign | ast.AugAssign) and node.value is not None:
            source.assigned.append((function, node.target, node.value))
        inside = node if isinstance(node, ast.FunctionDef) else function
        for child in ast.iter_child_nodes(node):
            go(child, inside)

    go(ast.parse(path.read_text(encoding="utf-8")), None)
    return source


def _messages(source: Source) -> Iterator[ast.expr]:
    """Yield what errors, warnings and notes are called with."""
    for name, calls in source.calls.items():
        where = OF_ERRORS if name.lower().endswith("error") else SPEAKERS.get(name)
        for call in calls if where else ():
            yield from _arguments(call, *where)


def _arguments(call: ast.Call, position: int, name: str) -> list[ast.expr]:
    given = call.args[position : position + 1]
    return [*given, *(one.value for one in call.keywords if one.arg == name)]


def literals(node: ast.AST) -> list[str]:
    """Return the texts that stand in an expression, those of one string as one."""
    if (said := literal(node)) is not None:
        return [said]
    if isinstance(node, ast.Call):
        return []  # what it makes of its arguments is its own
    return [text for child in ast.iter_child_nodes(node) for text in literals(child)]


def literal(node: ast.AST) -> str | None:
    """Return the text of a string; what is put into it stands as X."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(literal(part) or "" for part in node.values)
    if isinstance(node, ast.FormattedValue):
        return "X"
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        parts = literal(node.left), literal(node.right)
        return None if None in parts else "".join(part or "" for part in parts)
    return None


def _names(node: ast.AST) -> Iterator[tuple[str, bool]]:
    """Yield the names that a message is made of, and whether they are functions it calls."""
    if isinstance(node, ast.Call):
        if isinstance(node.func, ast.Name):
            yield node.func.id, True
        return
    if isinstance(node, ast.Name):
        yield node.id, False
    for child in ast.iter_child_nodes(node):
        yield from _names(child)


def _origins(
    sources: list[Source], source: Source, node: ast.AST, name: str, *, called: bool
) -> Iterator[tuple[Source, ast.expr]]:
    """Yield what a name may stand for: what is assigned, returned, or given as an argument."""
    if called:
        yield from ((source, value) for value in source.returned[name])
        return
    function = source.around.get(node)
    parameters = _parameters(function) if function else []
    if function and name in parameters:
        for other in sources:
            for call in other.calls[function.name]:
                for value in _arguments(call, parameters.index(name), name):
                    yield other, value
        return
    for around, target, value in source.assigned:
        if around in (function, None):
            yield from ((source, part) for part in _parts(target, value, name))


def _parameters(function: ast.FunctionDef) -> list[str]:
    return [one.arg for one in (*function.args.args, *function.args.kwonlyargs)]


def _parts(target: ast.expr, value: ast.expr, name: str) -> Iterator[ast.expr]:
    """Yield what of a value a name gets, also where several are assigned at once."""
    if isinstance(target, ast.Name) and target.id == name:
        yield value
    if isinstance(target, ast.Tuple):
        pairs = _rows(value, len(target.elts))
        for row in pairs:
            for one, part in zip(target.elts, row, strict=True):
                yield from _parts(one, part, name)


def _rows(value: ast.expr, size: int) -> list[list[ast.expr]]:
    """Return the tuples that an expression may be."""
    if isinstance(value, ast.Tuple) and len(value.elts) == size:
        return [value.elts]
    if isinstance(value, ast.IfExp):
        return [*_rows(value.body, size), *_rows(value.orelse, size)]
    return []
