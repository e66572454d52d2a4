"""The index of the reports in a folder: a row a field, the bad ones first."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from hstcube.errors import WriteError
from hstcube.fits.writing import write_files
from hstcube.report.page import rendered
from hstcube.report.pictures import address

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["write_index"]

_MARK = b"<title>hstcube: reports</title>"
_NUMBERS = ".qa.json"


class _Row(NamedTuple):
    field: str
    page: str
    picture: str
    state: str
    bad: list[str]
    cells: list[tuple[str, float | None]]
    """As text, and as what is sorted by."""


def write_index(path: Path) -> Path:
    """Write the index of the reports that lie beside `path`, as their numbers tell them.

    Raises
    ------
    WriteError
        If a file of that name is there, and is no such index.
    """
    if path.exists() and _MARK not in path.read_bytes()[:2000]:
        raise WriteError(
            "HC-O02", "exists", "move it away: the index of the reports goes there", file=str(path)
        )
    rows = [_row(one) for one in sorted(path.parent.glob(f"*{_NUMBERS}"))]
    rows.sort(key=lambda row: (-len(row.bad), _natural(row.field)))
    bad = sum(row.state == "bad" for row in rows)
    page = rendered("index.html", "index.js", rows=rows, columns=list(_COLUMNS), bad=bad)
    return write_files({path: page.encode()}, overwrite=True)[0]


def _row(numbers: Path) -> _Row:
    told = json.loads(numbers.read_bytes())
    stem = numbers.name.removesuffix(_NUMBERS)
    picture = numbers.with_name(f"{stem}.png")
    return _Row(
        field=told["field"],
        page=quote(f"{stem}.html"),
        picture=address(picture.read_bytes()) if picture.exists() else "",
        state=told["verdict"],
        bad=[one["question"] for one in told["answers"] if one["state"] == "bad"],
        cells=[measure(told) for measure in _COLUMNS.values()],
    )


def _natural(name: str) -> list[Any]:
    """Return a key that sorts m9 before m10."""
    parts = re.split(r"(\d+)", name)
    return [(int(part), "") if part.isdigit() else (math.inf, part) for part in parts]


def _worst(
    key: str, form: str, far: Callable[[float], float] = abs, factor: float = 1.0
) -> Callable[[dict[str, Any]], tuple[str, float | None]]:
    """Return what tells the band in which a number is farthest off."""

    def measure(told: dict[str, Any]) -> tuple[str, float | None]:
        known = [band for band in told["bands"] if band[key] is not None]
        if not known:
            return "", None
        worst = max(known, key=lambda band: far(band[key]))
        return f"{form.format(factor * worst[key])} {worst['name']}", worst[key]

    return measure


def _sky(told: dict[str, Any]) -> tuple[str, float | None]:
    known = [
        (band["sky_left"] / band["sky_left_error"], band["name"])
        for band in told["bands"]
        if band["sky_left"] is not None and band["sky_left_error"]
    ]
    value, name = max(known, key=lambda one: abs(one[0]), default=(None, ""))
    return ("", None) if value is None else (f"{value:+.1f} {name}", value)


def _flux(told: dict[str, Any]) -> tuple[str, float | None]:
    band = told["bands"][-1]
    return ("", None) if band["flux"] is None else (f"{band['flux']:.4g} {band['name']}", band["flux"])


def _pixels(told: dict[str, Any]) -> tuple[str, float | None]:
    return str(told["pixels"]), told["pixels"]


_COLUMNS = {
    "pixels": _pixels,
    "flux": _flux,
    "match error [%]": _worst("match_error", "{:.2f}", factor=100),
    "noise ratio": _worst("noise", "{:.2f}", lambda value: abs(math.log(value))),
    "sky left [σ]": _sky,
    "shift [px]": _worst("shift", "{:.2f}"),
    "depth [AB]": _worst("depth", "{:.2f}", lambda value: -value),
}
