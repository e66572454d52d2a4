"""The index of the reports in a folder: a row a field, the bad ones first."""

from __future__ import annotations

import contextlib
import json
import math
import re
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from hstcube.errors import WriteError
from hstcube.fits.writing import write_files
from hstcube.report.page import rendered
from hstcube.report.pixels import address

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

__all__ = ["write_index"]

_MARK = b"<title>hstcube: reports</title>"
_NUMBERS = ".qa.json"


class _Row(NamedTuple):
    field: str
    page: str
    picture: str
    state: str
    bad: list[str]
    cells: list[_Cell]


class _Cell(NamedTuple):
    value: float | None
    """What is sorted by; None where it is not known."""
    text: str = ""
    band: str = ""


def write_index(path: Path, *, failed: Mapping[str, str] | None = None) -> Path:
    """Write the index of the reports that lie beside `path`, as their numbers tell them.

    Of fields that `failed` it tells why, by their names: pages that an earlier run left of them
    are no rows.

    Raises
    ------
    WriteError
        If a file of that name is there, and is no such index.
    """
    if path.exists() and _MARK not in path.read_bytes()[:2000]:
        raise WriteError(
            "HC-O04", "exists already, and is no index of reports", "move it away", file=str(path)
        )
    failed = failed or {}
    found = [_row(one) for one in sorted(path.parent.glob(f"*{_NUMBERS}"))]
    rows = [row for row in found if row is not None and row.field not in failed]
    rows.sort(key=lambda row: (-len(row.bad), _natural(row.field)))
    bad = sum(row.state == "bad" for row in rows)
    page = rendered(
        "index.html", "index.js", rows=rows, columns=list(_COLUMNS), bad=bad, failed=failed
    )
    return write_files({path: page.encode()}, overwrite=True)[0]


def _row(numbers: Path) -> _Row | None:
    """Return the row of a report; None where a file of such a name holds no numbers of one."""
    try:
        return _told_by(json.loads(numbers.read_bytes()), numbers)
    except (ValueError, KeyError, TypeError):
        return None


def _told_by(told: dict[str, Any], numbers: Path) -> _Row:
    stem = numbers.name.removesuffix(_NUMBERS)
    picture = numbers.with_name(f"{stem}.png")
    return _Row(
        field=told["field"],
        page=quote(f"{stem}.html"),
        picture=address(picture.read_bytes()) if picture.exists() else "",
        state=told["verdict"],
        bad=[one["fault"] for one in told["answers"] if one["fault"]],
        cells=[measure(told) for measure in _COLUMNS.values()],
    )


def _natural(name: str) -> list[Any]:
    """Return a key that sorts m9 before m10."""
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdigit() else (math.inf, part) for part in parts]


def _told_of(
    measure: Callable[[dict[str, Any]], float], form: str, far: Callable[[float], float] = abs
) -> Callable[[dict[str, Any]], _Cell]:
    """Return what makes the cell of a number: of the band in which it is farthest off."""

    def cell(told: dict[str, Any]) -> _Cell:
        known = []
        for band in told["bands"]:
            with contextlib.suppress(TypeError, ZeroDivisionError):  # None: not known
                known.append((measure(band), band["name"]))
        if not known:
            return _Cell(None)
        value, name = max(known, key=lambda one: far(one[0]))
        return _Cell(value, form.format(value), name)

    return cell


_COLUMNS: dict[str, Callable[[dict[str, Any]], _Cell]] = {
    "pixels": lambda told: _Cell(told["pixels"], str(told["pixels"])),
    "signal to noise": _told_of(
        lambda band: band["flux"] / band["error"], "{:.0f}", lambda value: -value
    ),
    "match error [%]": _told_of(lambda band: 100 * band["match_error"], "{:.2f}"),
    "noise ratio": _told_of(
        lambda band: 1.0 * band["noise"], "{:.2f}", lambda value: abs(math.log(value))
    ),
    "sky left [errors]": _told_of(
        lambda band: band["sky_left"] / band["sky_left_error"], "{:+.1f}"
    ),
    "shift [px]": _told_of(lambda band: 1.0 * band["shift"], "{:.2f}"),
    "depth [AB]": _told_of(lambda band: 1.0 * band["depth"], "{:.2f}", lambda value: -value),
}
