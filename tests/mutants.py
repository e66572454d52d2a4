"""Break the code as a hand would, one mistake at a time, and count what the tests catch.

    python tests/mutants.py                       60 for each of three seeds; docs/mutants.md
    python tests/mutants.py --folders psf         of a folder, by its own tests; not written
    python tests/mutants.py --folders psf --list  all candidates of a folder

A mutant is one edit of one expression: a wrong sign, a dropped square, an off-by-one, a skipped
check. Which are drawn follows from the seed and from the text of the code alone, so that a change
of one function leaves the draw of all others as it was. Every mutant is tried in a copy of this
repository, on the tests that run its line: a coverage map, made once, says which these are. Those
of its own folder come first, the quick ones before the slow ones, and the first failure ends it.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import io
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tokenize
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "mutants.md"
FOLDERS = ("basics", "core", "psf", "noise", "phot", "regridding")
SEEDS, NUMBER = (1, 2, 3), 60
BUDGET = 150.0  # s: the tests that a mutant is tried on took no longer than that unspoiled
PATIENCE, START = 5.0, 60.0  # a mutant hangs after so many times that, and s to start Python
COPIED = ("hstcube", "tests", "docs", "benchmarks", "notebooks", ".ci", ".github")
_STATEMENT = 10  # lines
_COSTS = "HSTCUBE_MUTANTS_COSTS"  # where the map's run writes what every test took

# Mutants that change nothing that a user could see, found among survivors: (file's name, line of
# code before, after) and why. They are not drawn again.
EQUIVALENT: dict[tuple[str, str, str], str] = {}


class Mutant(NamedTuple):
    """One edit: the characters from `start` to `end` of a file become `new`."""

    path: str
    function: str
    line: int
    start: int
    end: int
    new: str
    kind: str

    def source(self) -> str:
        return _source(self.path)

    def text(self) -> str:
        source = self.source()
        return source[: self.start] + self.new + source[self.end :]

    def change(self) -> tuple[str, str]:
        """Return the line before and after, in one piece each."""
        source, first = self.source(), self.start
        begin = source.rfind("\n", 0, first) + 1
        stop = source.find("\n", self.end)
        before = source[begin:stop]
        after = source[begin:first] + self.new + source[self.end : stop]
        return " ".join(before.split()), " ".join(after.split())

    def known(self) -> tuple[str, str, str]:
        return Path(self.path).name, *self.change()


@cache
def _source(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


class Verdict(NamedTuple):
    """What became of a mutant: caught, hangs, survives, or is reached by no test."""

    mutant: Mutant
    outcome: str
    test: str
    seconds: float

    @property
    def caught(self) -> bool:
        return self.outcome in ("caught", "hangs")


# -- what may be broken

_SWAPPED_OPERATORS = {
    ast.Add: ("+", "-", "a wrong sign"),
    ast.Sub: ("-", "+", "a wrong sign"),
    ast.Mult: ("*", "/", "times for by"),
    ast.Div: ("/", "*", "by for times"),
    ast.BitAnd: ("&", "|", "or for and"),
    ast.BitOr: ("|", "&", "and for or"),
}
_SWAPPED_COMPARISONS = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
}
_PAIRS = "min max, minimum maximum, nanmin nanmax, argmin argmax, any all, floor ceil"
_AXES = "y x, ny nx, dy dx, ky kx, iy ix, y0 x0, row column, rows columns, height width"
_NOT_NUMBERS = (ast.Constant, ast.JoinedStr, ast.List, ast.Tuple, ast.Dict, ast.Set)


def _both_ways(pairs: str) -> dict[str, str]:
    split = [pair.split() for pair in pairs.split(",")]
    return {one: other for a, b in split for one, other in ((a, b), (b, a))}


SWAPPED_CALLS, SWAPPED_AXES = _both_ways(_PAIRS), _both_ways(_AXES)


def candidates(folders: Iterable[str] = FOLDERS) -> list[Mutant]:
    """Return every mutant of these folders that is not known to be equivalent."""
    found = []
    for folder in folders:
        for path in sorted((ROOT / "hstcube" / folder).rglob("*.py")):
            found += Search(path, ROOT).mutants
    return [mutant for mutant in found if mutant.known() not in EQUIVALENT]


def _is_python(mutant: Mutant) -> bool:
    try:
        ast.parse(mutant.text())
    except SyntaxError:
        return False
    return mutant.text() != mutant.source()


class Search(ast.NodeVisitor):
    """Walk the code of a file; leave out docstrings, messages, annotations and decorators."""

    def __init__(self, path: Path, root: Path) -> None:
        self.path = path.relative_to(root).as_posix()
        self.source = path.read_text(encoding="utf-8")
        lengths = (len(line) for line in self.source.splitlines(keepends=True))
        self.starts = [0, *itertools.accumulate(lengths)]
        self.lines = self.source.splitlines(keepends=True)
        reader = io.StringIO(self.source).readline
        self.tokens = [
            (self.starts[token.start[0] - 1] + token.start[1], token.string)
            for token in tokenize.generate_tokens(reader)
            if token.type in (tokenize.OP, tokenize.NAME)
        ]
        self.mutants: list[Mutant] = []
        self.functions: list[str] = []
        self.names: list[set[str]] = [set()]
        self.visit(ast.parse(self.source))

    # where things are

    def place(self, line: int, column: int) -> int:
        """Return the character at a line and a column of bytes."""
        text = self.lines[line - 1].encode()[:column].decode()
        return self.starts[line - 1] + len(text)

    def span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return (
            self.place(node.lineno, node.col_offset),
            self.place(node.end_lineno, node.end_col_offset),
        )

    def operator(self, left: ast.expr, right: ast.expr, symbol: str) -> int:
        """Return where the operator between two expressions stands."""
        after, before = self.span(left)[1], self.span(right)[0]
        return next(at for at, text in self.tokens if after <= at < before and text == symbol)

    def add(self, node: ast.expr | ast.stmt, start: int, end: int, new: str, kind: str) -> None:
        function = ".".join(self.functions) if len(self.names) > 1 else ""
        self.mutants.append(Mutant(self.path, function, node.lineno, start, end, new, kind))

    # what is walked

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        for default in (*node.args.defaults, *node.args.kw_defaults):
            if default is not None:
                self.visit(default)
        self.functions.append(node.name)
        inside = {one.id for one in ast.walk(node) if isinstance(one, ast.Name)
                  and isinstance(one.ctx, ast.Store)}  # fmt: skip
        inside |= {one.arg for one in ast.walk(node.args) if isinstance(one, ast.arg)}
        self.names.append(self.names[-1] | inside)
        self.visit_body(node.body)
        self.names.pop()
        self.functions.pop()

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.functions.append(node.name)
        self.visit_body(node.body)
        self.functions.pop()

    def visit_Module(self, node: ast.Module) -> None:
        self.visit_body(node.body)

    def visit_body(self, body: list[ast.stmt]) -> None:
        for statement in body:
            if not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)):
                self.visit(statement)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_Assign(self, node: ast.Assign) -> None:
        if not any(isinstance(to, ast.Name) and to.id == "__all__" for to in node.targets):
            self.visit(node.value)

    def visit_Raise(self, node: ast.Raise) -> None:
        """Leave messages alone."""

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Leave texts alone."""

    # what is broken

    def visit_If(self, node: ast.If) -> None:
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return
        if isinstance(node.body[-1], ast.Raise):
            self.add(node.test, *self.span(node.test), "False", "a skipped check")
        self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> None:
        name = _called(node.value)
        if name.lstrip("_").startswith(("require", "check", "validate", "warn")):
            self.add(node, *self.span(node), "pass", "a skipped check")
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        text = isinstance(node.left, _NOT_NUMBERS) and not _number(node.left)
        text |= isinstance(node.right, _NOT_NUMBERS) and not _number(node.right)
        if type(node.op) in _SWAPPED_OPERATORS and not text:
            old, new, kind = _SWAPPED_OPERATORS[type(node.op)]
            at = self.operator(node.left, node.right, old)
            self.add(node, at, at + len(old), new, kind)
            if isinstance(node.op, (ast.Mult, ast.Div)):
                self.add(node, at, self.span(node)[1], "", "a dropped factor")
            for side in (node.left, node.right):
                if isinstance(node.op, (ast.Add, ast.Sub)):
                    self.one_more(side)
        if isinstance(node.op, ast.Pow):
            at = self.operator(node.left, node.right, "**")
            self.add(node, at, self.span(node)[1], "", "a dropped power")
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        kinds = {ast.USub: "a wrong sign", ast.Not: "not left out", ast.Invert: "not left out"}
        if type(node.op) in kinds:
            start, stop = self.span(node)[0], self.span(node.operand)[0]
            while self.source[stop - 1] == "(":
                stop -= 1
            self.add(node, start, stop, "", kinds[type(node.op)])
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        old, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in itertools.pairwise(node.values):
            at = self.operator(left, right, old)
            self.add(node, at, at + len(old), new, f"{new} for {old}")
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        sides = [node.left, *node.comparators]
        for (left, right), operator in zip(itertools.pairwise(sides), node.ops, strict=True):
            if type(operator) in _SWAPPED_COMPARISONS:
                old, new = _SWAPPED_COMPARISONS[type(operator)]
                at = self.operator(left, right, old)
                self.add(node, at, at + len(old), new, f"{new} for {old}")
                self.one_more(right)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        name = _called(node)
        if name.endswith(("Error", "Warning")) or name == "warn":
            return  # a message
        if name in SWAPPED_CALLS:
            stop = self.span(node.func)[1]
            self.add(node, stop - len(name), stop, SWAPPED_CALLS[name], "an extreme for its other")
        if name == "range":
            for argument in node.args:
                self.one_more(argument)
        self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        index = node.slice
        if isinstance(index, ast.Constant) and type(index.value) is int and index.value in (0, 1):
            self.add(node, *self.span(index), str(1 - index.value), "x for y")
        self.generic_visit(node)

    def visit_Slice(self, node: ast.Slice) -> None:
        for bound in (node.lower, node.upper):
            if bound is not None:
                self.one_more(bound)
        self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        other = SWAPPED_AXES.get(node.id)
        if isinstance(node.ctx, ast.Load) and other in self.names[-1]:
            self.add(node, *self.span(node), str(other), "x for y")

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if node.attr in SWAPPED_AXES and isinstance(node.ctx, ast.Load):
            stop = self.span(node)[1]
            self.add(node, stop - len(node.attr), stop, SWAPPED_AXES[node.attr], "x for y")
        self.generic_visit(node)

    def one_more(self, node: ast.expr) -> None:
        if isinstance(node, ast.Constant) and type(node.value) is int:
            self.add(node, *self.span(node), str(node.value + 1), "an off-by-one")


def _number(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, (int, float))


def _called(node: ast.expr) -> str:
    """Return the last word of what a call calls, or nothing."""
    if not isinstance(node, ast.Call):
        return ""
    return getattr(node.func, "id", getattr(node.func, "attr", ""))


def drawn(mutants: Sequence[Mutant], seed: int, number: int) -> list[Mutant]:
    """Draw mutants by a seed: each has a lot of its own, which other mutants do not change."""
    twins: Counter[tuple[Any, ...]] = Counter()

    def lot(mutant: Mutant) -> str:
        who = (Path(mutant.path).parent.name, mutant.function, mutant.kind, *mutant.change())
        twins[who] += 1
        return hashlib.sha256(repr((seed, *who, twins[who])).encode()).hexdigest()

    return list(itertools.islice(filter(_is_python, sorted(mutants, key=lot)), number))


# -- which tests run a line


class Map(NamedTuple):
    """Tests by the lines that they run, and what each test takes."""

    lines: dict[str, dict[int, set[str]]]
    costs: dict[str, float]

    def tests(self, mutant: Mutant) -> list[str]:
        """Return the tests to try, the most telling first, as many as the budget allows."""
        of_file = self.lines.get(mutant.path, {})
        if mutant.function:  # a line inside a statement may be counted with the statement's first
            lines = range(mutant.line, max(mutant.line - _STATEMENT, 0), -1)
            names = next((of_file[line] for line in lines if of_file.get(line)), set())
        else:  # runs when the module is imported
            names = set().union(*of_file.values())
        own = f"tests/{mutant.path.split('/')[1]}/"
        ordered = sorted(names, key=lambda name: (not name.startswith(own), self.costs[name]))
        spent = itertools.accumulate(self.costs[name] for name in ordered)
        return [name for name, sum_ in zip(ordered, spent, strict=True) if sum_ <= BUDGET]


def made_map(there: Path, tests: Sequence[str]) -> Map:
    """Run tests once in a copy, and see which lines each of them runs."""
    from coverage import CoverageData

    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "mutants",
        "-n",
    ]
    command += [str(os.cpu_count() or 1), "--dist", "loadfile", "--ignore=hstcube", "--cov=hstcube"]
    command += ["--cov-context=test", "--cov-report=", "--cov-fail-under=0", *tests]
    done = subprocess.run(
        command, cwd=there, env=environment(there), capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"the tests fail before anything is broken:\n{done.stdout[-3000:]}")
    data = CoverageData(str(there / ".coverage"))
    data.read()
    lines: dict[str, dict[int, set[str]]] = {}
    for name in data.measured_files():
        by_line = data.contexts_by_lineno(name)
        lines[Path(name).relative_to(there).as_posix()] = {
            line: {context.rsplit("|", 1)[0] for context in contexts if "::" in context}
            for line, contexts in by_line.items()
        }
    return Map(lines, json.loads((there / "costs.json").read_text(encoding="utf-8")))


def environment(there: Path) -> dict[str, str]:
    """Return the environment in which the copy is imported, and not this repository."""
    paths = os.pathsep.join([str(there), str(there / "tests")])
    return {**os.environ, "PYTHONPATH": paths, _COSTS: str(there / "costs.json")}


def pytest_sessionfinish(session: Any) -> None:
    """Write what every test took: a hook of the run that makes the map."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if hasattr(session.config, "workerinput") or _COSTS not in os.environ or reporter is None:
        return
    costs: Counter[str] = Counter()
    for report in itertools.chain(*reporter.stats.values()):
        if hasattr(report, "nodeid") and hasattr(report, "duration"):
            costs[report.nodeid] += report.duration
    Path(os.environ[_COSTS]).write_text(json.dumps(costs), encoding="utf-8")


# -- trying


def copy_of(place: Path) -> Path:
    """Copy what the tests need to a place of its own."""
    place.mkdir()
    leave = shutil.ignore_patterns("__pycache__", ".*cache")
    for name in COPIED:
        shutil.copytree(ROOT / name, place / name, ignore=leave)
    for path in ROOT.iterdir():
        if path.is_file() and path.name != ".coverage":
            shutil.copy(path, place)
    return place


def tried(mutant: Mutant, tests: list[str], seconds: float, there: Path) -> Verdict:
    """Put a mutant into a copy, run tests until one fails, and take it out again."""
    if not tests:
        return Verdict(mutant, "not reached", "", 0.0)
    (there / "tests.txt").write_text("\n".join(tests), encoding="utf-8")
    (there / mutant.path).write_text(mutant.text(), encoding="utf-8")
    command = [sys.executable, "-B", "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
    start = time.monotonic()
    try:
        done = subprocess.run(
            [*command, "--no-header", "--tb=no", "@tests.txt"], cwd=there, env=environment(there),
            capture_output=True, text=True, check=False, timeout=START + PATIENCE * seconds,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Verdict(mutant, "hangs", "", time.monotonic() - start)
    finally:
        (there / mutant.path).write_text(mutant.source(), encoding="utf-8")
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    outcome = "caught" if done.returncode else "survives"
    return Verdict(mutant, outcome, (failed or [""])[0], time.monotonic() - start)


def verdicts(mutants: Iterable[Mutant], known: Map, copies: list[Path]) -> Iterator[Verdict]:
    """Try mutants side by side, each in a copy that is free."""
    free: SimpleQueue[Path] = SimpleQueue()
    for copy in copies:
        free.put(copy)

    def one(mutant: Mutant) -> Verdict:
        there, tests = free.get(), known.tests(mutant)
        try:
            return tried(mutant, tests, sum(known.costs[name] for name in tests), there)
        finally:
            free.put(there)

    with ThreadPoolExecutor(len(copies)) as pool:
        yield from pool.map(one, mutants)


def main() -> None:
    """Draw, try, and tell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[])
    parser.add_argument("--number", type=int, default=NUMBER)
    parser.add_argument("--folders", nargs="+", default=[], choices=FOLDERS)
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    found = candidates(options.folders or FOLDERS)
    if options.list:
        for mutant in found:
            print(f"{mutant.path}:{mutant.line}  {mutant.kind}:  {' -> '.join(mutant.change())}")
        return
    with tempfile.TemporaryDirectory() as name:
        copies = [copy_of(Path(name).resolve() / f"copy{i}") for i in range(os.cpu_count() or 1)]
        print(f"{len(found)} candidates; making the map of what tests run ...", flush=True)
        known = made_map(copies[0], [f"tests/{one}" for one in options.folders] or ["tests"])
        results = {}
        for seed in options.seeds or SEEDS:
            results[seed] = []
            for verdict in verdicts(drawn(found, seed, options.number), known, copies):
                results[seed].append(verdict)
                print(told(seed, verdict), flush=True)
    for seed, of_seed in results.items():
        print(f"seed {seed}: {sum(one.caught for one in of_seed)} of {len(of_seed)} caught")
    if not options.seeds and not options.folders and options.number == NUMBER:
        PAGE.write_text(page(results, len(found)), encoding="utf-8")


def told(seed: int, verdict: Verdict) -> str:
    mutant = verdict.mutant
    where = f"{mutant.path}:{mutant.line} {mutant.function}"
    line = f"{seed}  {verdict.outcome}  {verdict.seconds:.0f} s  {where}  {mutant.kind}"
    if verdict.caught:
        return f"{line}  {verdict.test}"
    return "\n    ".join([line, *mutant.change()])


# -- the page


def page(results: dict[int, list[Verdict]], number: int) -> str:
    """Return docs/mutants.md."""
    lines = [
        "# What the tests catch", "",
        f"{number} places of {', '.join(FOLDERS)} can be broken by one mistake of a hand. For each",
        f"seed {NUMBER} of them were, one at a time; caught is what makes a test fail.", "",
        "*Written by `make mutants` (`tests/mutants.py`).*", "",
        "| seed | " + " | ".join(FOLDERS) + " | all |", "|" + " --- |" * (len(FOLDERS) + 2),
    ]  # fmt: skip
    for seed, of_seed in results.items():
        cells = [_share(one for one in of_seed if _folder(one) == folder) for folder in FOLDERS]
        lines.append(f"| {seed} | {' | '.join([*cells, _share(of_seed)])} |")
    together = list(itertools.chain(*results.values()))
    lines += ["", "| mistake | caught |", "| --- | --- |"]
    for kind in sorted({one.mutant.kind for one in together}):
        lines.append(f"| {kind} | {_share(one for one in together if one.mutant.kind == kind)} |")
    lines += ["", "## Survivors", ""]
    for one in together:
        if not one.caught:
            before, after = one.mutant.change()
            where = f"{one.mutant.path}, {one.mutant.function}"
            lines.append(f"- {where}, {one.outcome}: `{before}` became `{after}`")
    lines += ["", "## Not drawn: mutants that change nothing", ""]
    for (name, before, after), why in EQUIVALENT.items():
        lines.append(f"- {name}: `{before}` for `{after}`: {why}")
    return "\n".join(lines) + "\n"


def _folder(verdict: Verdict) -> str:
    return verdict.mutant.path.split("/")[1]


def _share(some: Iterable[Verdict]) -> str:
    some = list(some)
    return f"{sum(one.caught for one in some)} of {len(some)}"


if __name__ == "__main__":
    main()
