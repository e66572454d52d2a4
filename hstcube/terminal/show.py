"""What commands print: tables, progress, findings, warnings; no control characters."""

from __future__ import annotations

import contextlib
import gc
import math
import os
import shlex
import sys
import textwrap
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import typer

from hstcube.errors import HstCubeWarning, codes, spoken

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from rich.console import Console

    from hstcube.pipeline.record import Finding, Note, Outcome, Report
    from hstcube.report.fields import Made

__all__ = [
    "Progress",
    "collect_again",
    "counted",
    "of_outcome",
    "plain",
    "say",
    "show_failures",
    "show_json",
    "show_outcomes",
    "show_report",
    "show_reports",
    "show_table",
    "told_warnings",
    "typed",
    "warn",
]

# options that change no result, with a value or without
_VALUED = ("-o", "--out", "-j", "--jobs", "--scheduler")
_FLAGS = ("--overwrite", "--resume", "--report", "--json")
_BETWEEN = 3  # columns of the terminal, between two of a table
_USUAL = 80  # columns of a terminal that does not say how many it has
_TOLD, _LISTED = 2, 8  # warnings of one kind, and targets of one warning, that the summary shows


def plain(text: str) -> str:
    """Return text without control characters: headers and file names may hold escape codes."""
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in text)


def say(text: str, *, folded: bool = True) -> None:
    """Print lines, to stdout; lines that are pasted, commands, are not folded."""
    typer.echo(_fitted(plain(text), sys.stdout) if folded else plain(text))


def warn(text: str) -> None:
    """Print lines, to stderr."""
    print(_fitted(plain(text), sys.stderr), file=sys.stderr)  # noqa: T201


def _fitted(text: str, stream: Any) -> str:
    """Return lines folded between words to the width of a terminal; elsewhere programs read them.

    What a line goes on in is indented deeper than it.
    """
    if not stream.isatty():
        return text
    width = _columns(stream)
    return "\n".join(_folded(line, width) for line in text.split("\n"))


def _columns(stream: Any) -> int:
    given = os.environ.get("COLUMNS", "")
    if given.isdigit() and int(given):
        return int(given)
    try:
        return os.get_terminal_size(stream.fileno()).columns or _USUAL
    except OSError:
        return _USUAL


def _folded(line: str, width: int) -> str:
    if len(line) <= width:
        return line
    indent = " " * (len(line) - len(line.lstrip()) + 2)
    wrapped = textwrap.wrap(
        line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return "\n".join(wrapped)


def show_table(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]], *, title: str) -> None:
    """Print a table; columns in which nothing stands are left out.

    What is wider than the terminal goes on below, in a table that begins with the same first
    column: no cell is cut, and none is folded.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    console = _console(sys.stdout)
    say(title)  # a table folds its own title to its width
    keep = [i for i in range(len(columns)) if any(row[i] for row in rows)]
    widths = {i: _width_of(columns[i], [row[i] for row in rows]) for i in keep}
    room = console.width - 1
    for part in _parts(widths, room):
        table = Table(box=box.SIMPLE_HEAD)
        fold = sum(max(widths[i], len(columns[i]) + _BETWEEN) for i in part) > room
        for i in part:
            # text, no markup: rich takes [mag] for a style; and it cuts what it cannot fold
            table.add_column(Text(columns[i]), width=widths[i] - _BETWEEN if fold else None)
        for row in rows:
            table.add_row(*(Text(plain(row[i])) for i in part))
        console.print(table)


def _parts(widths: dict[int, int], width: int) -> list[list[int]]:
    """Return the columns that stand beside one another; the first leads each part."""
    if not widths:
        return []
    first, *others = widths
    parts, room = [[first]], width - widths[first]
    for i in others:
        if widths[i] > room and len(parts[-1]) > 1:
            parts.append([first])
            room = width - widths[first]
        parts[-1].append(i)
        room -= widths[i]
    return parts


def _width_of(header: str, cells: list[str]) -> int:
    """Return the width of a column: of its widest cell, or the widest word of its header."""
    words = [len(word) for word in header.split()]
    return max([*words, *map(len, cells)]) + _BETWEEN


@contextlib.contextmanager
def told_warnings() -> Iterator[None]:
    """Say warnings in one line each, on stderr."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    ours = [str(one.message) for one in caught if issubclass(one.category, HstCubeWarning)]
    for text in dict.fromkeys(ours):
        warn(f"warning: {text}")


def show_json(found: Any) -> None:
    """Print what was found as JSON: null for a number that is none, names for paths."""
    import json

    typer.echo(json.dumps(_jsonable(found), indent=1, allow_nan=False))


def _jsonable(found: Any) -> Any:
    if hasattr(found, "item"):  # numpy's
        found = found.item()
    if isinstance(found, Mapping):
        return {str(key): _jsonable(value) for key, value in found.items()}
    if isinstance(found, list | tuple):
        return [_jsonable(value) for value in found]
    if isinstance(found, float) and not math.isfinite(found):
        return None
    return found if found is None or isinstance(found, bool | int | float | str) else str(found)


def of_outcome(outcome: Outcome) -> dict[str, Any]:
    """Return what became of a target as the record tells it, and why where it failed."""
    error = outcome.error
    return {
        "target": outcome.target.name,
        "result": "failed" if error else "done before" if outcome.before else "ok",
        "bands": outcome.bands,
        "pixels": outcome.pixels,
        "sky": outcome.sky,
        "files": outcome.files,
        "warnings": [note._asdict() for note in outcome.notes],
        "error": error and {"code": error.code, "text": str(error)},
    }


def show_outcomes(outcomes: list[Outcome], out: Path) -> None:
    """Print a line for every target of a run, and what there is to say of them."""
    rows = []
    for outcome in outcomes:
        name = outcome.target.name
        if outcome.error:
            rows.append((name, "failed", "", "", "", outcome.error.code))
            continue
        counts = ", ".join(sorted({note.code for note in outcome.notes}))
        size = (str(len(outcome.bands)), str(outcome.pixels))
        result = "done before" if outcome.before else "ok"
        rows.append((name, result, *size, outcome.sky, counts))
    done = sum(outcome.error is None for outcome in outcomes)
    columns = ("target", "result", "bands", "pixels", "sky", "warnings")
    show_table(columns, rows, title=f"{done} of {len(rows)} targets in {out}")
    show_failures(outcomes)
    for outcome in outcomes:
        if outcome.blocks:
            warn(f"{outcome.target.name}: went on with {outcome.blocks} of the run before")
    _show_notes(outcomes)
    if done:
        warn(f"cubes, images and the record (run.json) are in {out}")


def counted(number: int, what: str) -> str:
    """Return a number of things: "1 field", "2 fields"."""
    return f"{number} {what}" + "s" * (number != 1)


def show_reports(reports: Sequence[Made], out: Path) -> None:
    """Print what the pages of fields say, and where they are."""
    rows = []
    for made in reports:
        if made.error:
            warn(f"{made.field}: no report: {made.error}")
            continue
        rows.append((made.field, made.state, ", ".join(made.faults), str(made.page)))
    if rows:
        columns = ("field", "verdict", "why", "page")
        show_table(columns, rows, title=f"reports of {counted(len(rows), 'field')} in {out}")


def typed() -> str:
    """Return the command as it was typed, without what changes no result; "" in Python."""
    program, *said = sys.argv
    kept, words = [], iter(said)
    for word in words:
        name = word.partition("=")[0] if word.startswith("--") else word[:2]
        if name in _VALUED and word == name:
            next(words, None)
        elif name not in (*_VALUED, *_FLAGS):
            kept.append(word)
    return shlex.join(["hstcube", *kept]) if "hstcube" in program else ""


def _of_done(outcome: Outcome) -> str:
    if outcome.before:
        return "done before"
    if outcome.blocks:
        return f"ok, went on with {outcome.blocks}"
    return f"ok, made again: {outcome.why}" if outcome.why not in {"", "new"} else "ok"


def show_failures(outcomes: list[Outcome]) -> None:
    """Say why targets failed."""
    for outcome in outcomes:
        if outcome.error:
            warn(f"{outcome.target.name}: {outcome.error}")


def _show_notes(outcomes: list[Outcome]) -> None:
    """Say what was assumed: of each kind of warning the first few, the rest is in the record."""
    told: dict[str, dict[Note, list[str]]] = {}
    for outcome in outcomes:
        for note in outcome.notes:
            told.setdefault(note.code, {}).setdefault(note, []).append(outcome.target.name)
    for code, notes in told.items():
        for note, names in list(notes.items())[:_TOLD]:
            warn(f"warning: {note} [{_listed(names)}]")
        if len(notes) > _TOLD:
            warn(f"warning: {code} in {len(notes) - _TOLD} more forms, see run.json")
        warn(f"  why: {codes()[code].cause}\n  what to do: {spoken(codes()[code].fix)}")
    noted = {note.split()[0] for outcome in outcomes for note in outcome.record.get("notes", ())}
    if noted:
        warn(f"note: {', '.join(sorted(noted))}, of which run.json tells more")


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def show_report(report: Report, *, failed: bool) -> None:
    """Print what was found of one target: errors with their fixes, warnings, assumptions."""
    result = "will fail" if failed else "ok"
    say(f"{report.target}: {result}; {len(report.bands)} bands: {' '.join(report.bands)}")
    for one in report.found:
        say(f"  found: {_found(one)}")
    usual = [one for one in report.of("note") if one.code and not one.fix]
    for kind in ("error", "warning", "note"):
        for finding in report.of(kind):
            if finding not in usual:
                _show_finding(finding)
    if usual:
        say("  note: as everywhere in this survey:")
    for finding in usual:
        say(f"    {finding.code} {finding.text}")


def _found(one: Mapping[str, Any]) -> str:
    """Return what was found of a band as a line."""
    camera = "/".join(filter(None, (one["instrument"], one["detector"]))) or "camera unknown"
    zero = one["zeropoint"]
    parts = [
        f"{one['band']} {camera}",
        str(one["unit"]),
        "no zero point" if zero is None else f"zero point {zero:.2f}",
        f"weights {one['weights']}",
        "exposure unknown" if one["exposure"] is None else f"{one['exposure']:g} s",
    ]
    return ", ".join(parts)


def _show_finding(finding: Finding) -> None:
    band = f"band {finding.band}" if finding.band else ""
    where = ", ".join(part for part in (finding.file, band) if part)
    code = f"{finding.code} " if finding.code else ""
    say(f"  {finding.kind}: {code}{where}{': ' if where else ''}{finding.text}")
    if finding.fix:
        say(f"    fix: {finding.fix}")


class Progress:
    """A bar on a terminal, a line for each target otherwise; to stderr."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.done = 0
        self.bar: Any = None

    def __enter__(self) -> Any:
        if sys.stderr.isatty():
            self._start()
        return self.tell

    def _start(self) -> None:
        from rich import progress

        self.bar = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TimeRemainingColumn(),
            console=_console(sys.stderr),
            transient=True,
        )
        self.task = self.bar.add_task("targets", total=self.total)
        self.bar.start()

    def tell(self, outcome: Outcome) -> None:
        """Say what became of one more target."""
        self.done += 1
        collect_again()
        said = f"failed, {outcome.error.code}" if outcome.error else _of_done(outcome)
        self._show(outcome.target.name, said)

    def tell_file(self, number: int, total: int, name: str) -> None:
        """Say that one more file was fetched, of a total that is known only now."""
        self.done, self.total = number, total
        self._show(name, "fetched")

    def _show(self, name: str, said: str) -> None:
        if self.bar is not None:
            self.bar.update(self.task, completed=self.done, total=self.total, description=name)
            return
        line = f"[{self.done}/{self.total}] {plain(name)}: {said}"
        print(line, file=sys.stderr, flush=True)  # noqa: T201

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self.bar is not None:
            self.bar.stop()
        if kind is not None and not issubclass(kind, Exception):  # Ctrl-C, or a signal to end
            warn(f"{self.done} of {self.total} were done")


def collect_again() -> None:
    """Look for garbage again, after the first target: what is loaded by then stays as it is."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()


def _console(file: Any) -> Console:
    from rich.console import Console

    width = None if file.isatty() else 160
    return Console(file=file, width=width, highlight=False, soft_wrap=False)
