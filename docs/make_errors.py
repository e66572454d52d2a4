"""Write docs/errors.md from the codes, docs/catalogue.md from tests/test_catalogue.py."""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hstcube.errors import TWO_WAYS, codes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

DOCS = Path(__file__).parent
SECTIONS = {
    "F": "Files",
    "D": "Pixels and weights",
    "B": "Bands, names, recipes",
    "W": "WCS",
    "S": "Segmentation and masks",
    "K": "Sky",
    "P": "Resolution",
    "N": "Noise",
    "C": "Cubes",
    "E": "SED fitting",
    "L": "Maps of lines",
    "O": "Output and environment",
    "R": "Runs",
}
KINDS = {
    "E": "stops with an error",
    "W": "goes on with a warning, kept in the cube",
    "H": "handled, and right",
    "later": "concerns what is not built yet",
}


def errors_page() -> str:
    """Return the page that explains every code."""
    lines = [
        "# Errors and warnings",
        "",
        "Each message begins with a code, and ends with a fix. E stops what was asked for (the",
        'other fields of a run go on); W is a warning, kept in `cube.attrs["warnings"]`, in the',
        "headers of products and in `run.json`. A fix that is *applied* was applied by a test",
        "(`tests/mends.py`), and the fault was gone; the others are advice.",
        "",
        "*Written by `docs/make_errors.py` from `hstcube/codes.csv`.*",
    ]
    for letter, title in SECTIONS.items():
        rows = [code for code in codes().values() if code.code[3] == letter]
        cells = (
            (code.code, code.kind, code.meaning, code.cause, both(code.fix), code.mend)
            for code in rows
        )
        lines += ["", f"## {title}", "", *table(("code", "", "meaning", "cause", "fix", ""), cells)]
    return "\n".join(lines) + "\n"


def catalogue_page(rows: Mapping[str, Any]) -> str:
    """Return the page that says what becomes of bad input, case by case."""
    counts = Counter(row.kind for row in rows.values())
    untested = [key for key, row in rows.items() if row.kind != "later" and not (row.do or row.see)]
    lines = [
        "# What becomes of bad input",
        "",
        f"{len(rows)} cases. Each that concerns what is built has a test that makes the input.",
        "",
        *table(
            ("class", "", "cases"),
            ((kind, said, str(counts[kind])) for kind, said in KINDS.items()),
        ),
        "",
        f"Silently wrong: {len(untested)}. (A case counts as such unless a test shows its class.)",
        "",
        "*Written by `docs/make_errors.py` from the table in `tests/test_catalogue.py`; the codes",
        "are in `errors.md`.*",
        "",
        "Where pixels are chunked (`chunks=`), they are not looked at when a field is opened:",
        "warnings about pixels (HC-D07, HC-D12, HC-F06) and the share of bad weights (HC-D10) are",
        "for images in memory. Pixels that are not finite, or whose weight is not positive and",
        "finite, have no data either way.",
    ]
    for letter, title in SECTIONS.items():
        cells = [
            (key, row.case, row.kind, row.here, row.code, shown_by(key, row))
            for key, row in rows.items()
            if key.startswith(letter)
        ]
        if cells:
            lines += [
                "",
                f"## {title}",
                "",
                *table(("case", "input", "class", "here", "code", "test"), cells),
            ]
    return "\n".join(lines) + "\n"


def shown_by(key: str, row: Any) -> str:
    """Return the names of the tests of a row."""
    here = [f"`test_catalogue.py[{key}]`"] if row.do else []
    there = [f"`{name}`" if "::" in name else f"`test_errors.py[{name}]`" for name in row.see]
    return ", ".join([*here, *there])


def both(text: str) -> str:
    """Return what is said in two ways, on the command line and in Python, as one text."""

    def one(found: re.Match[str]) -> str:
        shell, python = found.groups()
        if not (shell and python):
            return shell or python
        return f"{shell} (in Python {python[0].lower()}{python[1:]})"

    return TWO_WAYS.sub(one, text)


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    """Return the lines of a Markdown table."""
    return [line(head), line(("---",) * len(head)), *map(line, rows)]


def line(cells: Iterable[str]) -> str:
    """Return one line of a table.

    Marks that Markdown would take for its own are escaped outside of code.
    """
    return "| " + " | ".join(map(escaped, cells)) + " |"


def escaped(text: str) -> str:
    """Escape bars everywhere, and other marks outside of code."""
    pieces = re.split(r"(`[^`]*`)", text.replace("|", "\\|"))
    return "".join(
        piece if piece.startswith("`") else re.sub(r"([*_<>])", r"\\\1", piece) for piece in pieces
    )


if __name__ == "__main__":
    sys.path.insert(0, str(DOCS.parent / "tests"))
    from test_catalogue import ROWS

    (DOCS / "errors.md").write_text(errors_page(), encoding="utf-8")
    (DOCS / "catalogue.md").write_text(catalogue_page(ROWS), encoding="utf-8")
