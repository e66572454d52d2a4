"""Plain text as a table: the names of its columns, and rows of cells as they stand."""

from __future__ import annotations

import csv
import re
from typing import NoReturn

from hstcube.errors import FileError

__all__ = ["NUMBER", "refuse_table", "rows_of"]

NUMBER = re.compile(
    r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?inf(inity)?", re.ASCII | re.IGNORECASE
)
_DELIMITERS = ",\t;|"


def refuse_table(reason: str, cause: Exception | None = None) -> NoReturn:
    """Raise the error of a file that is no table."""
    fix = "save it as CSV, as ECSV, or as a FITS table"
    raise FileError("HC-F04", f"is no table that can be read: {reason[:200]}", fix) from cause


def rows_of(text: str) -> tuple[list[str], list[list[str]]]:
    """Return the names of the columns, and the cells of every row.

    Cells are divided by what the line of the names holds: commas, or else tabs, semicolons, bars,
    or spaces. The names stand in the first line, or in a comment just above the first row.

    Raises
    ------
    FileError
        If the text is empty, or rows have other numbers of cells than there are names.
    """
    lines = [(i, line) for i, line in enumerate(text.split("\n"), start=1) if line.strip()]
    if not lines:
        refuse_table("it is empty")
    first = next((at for at, (_, line) in enumerate(lines) if line[0] != "#"), len(lines))
    body = [(i, line) for i, line in lines[first:] if line[0] != "#"]
    comment = lines[first - 1][1].lstrip("# ") if first else ""
    head = body[0][1] if body else comment
    delimiter = next((mark for mark in _DELIMITERS if mark in head), None)
    rows = [_cells(line, delimiter, i) for i, line in body]
    above = _cells(comment, delimiter, 0) if comment else []
    if not body or (len(above) == len(rows[0]) and _has_number(rows[0]) and not _has_number(above)):
        names = above
    else:
        names = rows.pop(0)
    for (i, _), row in zip(body[len(body) - len(rows) :], rows, strict=True):
        if len(row) != len(names):
            refuse_table(f"line {i} holds {len(row)} cells, its header {len(names)}")
    return names, rows


def _has_number(cells: list[str]) -> bool:
    return any(NUMBER.fullmatch(cell) for cell in cells)


def _cells(line: str, delimiter: str | None, number: int) -> list[str]:
    if delimiter is None:
        return line.split()
    try:
        row = next(csv.reader([line], delimiter=delimiter, skipinitialspace=True, strict=True))
    except csv.Error as error:
        refuse_table(f"line {number}: {error}", error)
    return [cell.strip() for cell in row]
