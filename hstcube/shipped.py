"""The tables that ship with the package, beside the modules that know what they mean."""

from __future__ import annotations

import csv
from functools import cache
from importlib import resources

__all__ = ["table"]


@cache
def table(folder: str, name: str) -> list[dict[str, str]]:
    """Return the rows of a CSV file of the package; lines that begin with # are comments.

    Parameters
    ----------
    folder : str
        Dotted name of the package folder that holds it, such as ``"hstcube.core"``.
    name : str
        Name of the file.
    """
    text = resources.files(folder).joinpath(name).read_text(encoding="utf-8")
    return list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))
