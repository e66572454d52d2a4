"""What SED-fitting codes found, read back and put on the pixels."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hstcube.basics.choices import require_choice
from hstcube.errors import FileError, LabelError, RecipeError
from hstcube.phot.groups import checked_groups, group_ids, paint

if TYPE_CHECKING:
    from pathlib import Path

    import xarray as xr
    from astropy.table import Table

__all__ = ["paint_fit", "read_fit"]

Fitted = Literal["eazy", "bagpipes"]
_IDS = {"eazy": "id", "bagpipes": "#ID"}  # what their tables of results call it


def read_fit(code: Fitted, path: str | Path) -> Table:
    """Read the table of results of a code.

    Parameters
    ----------
    code : {"eazy", "bagpipes"}
    path : path
        EAZY: ``photz.zout.fits``; bagpipes: ``pipes/cats/RUN.fits``.

    Returns
    -------
    Table
        As the code wrote it, with whole numbers in its column ``id``. Columns of other codes are
        put on the pixels by `paint`.

    Raises
    ------
    FileError
        If it cannot be read, or has no ids.
    LabelError
        If ids are not unique.
    RecipeError
        If results of that code cannot be read.
    """
    from astropy.table import Table

    require_choice("code", code, Fitted, code="HC-B30")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # units that FITS does not know
            table = Table.read(path)
        table["id"] = [int(number) for number in table[_IDS[code]]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        what = f"table of results of {code}, with whole numbers in its column {_IDS[code]!r}"
        fix = "give photz.zout.fits of EAZY, or pipes/cats/RUN.fits of bagpipes"
        raise FileError("HC-E06", f"is no {what} ({error})", fix, file=str(path)) from error
    _require_unique(np.asarray(table["id"]))
    return table


def paint_fit(cube: xr.Dataset, groups: Any, fit: Table, column: str) -> xr.DataArray:
    """Put one column of results on the pixels of the groups, joined by id.

    Parameters
    ----------
    cube : Dataset
    groups : DataArray or array of int, (y, x)
        Those that were fitted.
    fit : Table
        As `read_fit` returns it; its rows may be in any order, and some be missing.
    column : str

    Returns
    -------
    DataArray of float64, (y, x)
        NaN outside the groups, and in groups without a result.

    Raises
    ------
    LabelError
        If ids are not unique, or none of them is a group's.
    RecipeError
        If there is no such column.
    """
    if column not in fit.colnames:
        raise RecipeError(
            "HC-B30", f"there is no column {column!r}", f"choose from {', '.join(fit.colnames)}"
        )
    numbers = np.asarray(fit["id"], np.int64)
    _require_unique(numbers)
    there = group_ids(checked_groups(cube, groups))
    if not np.isin(numbers, there).any():
        raise LabelError(
            "HC-E08", "no id of the results is a group's", "give the groups that were fitted"
        )
    found: Any = np.ma.filled(np.ma.asarray(fit[column], float), np.nan)
    values = dict.fromkeys(there.tolist(), np.nan)
    values |= dict(zip(numbers.tolist(), found.tolist(), strict=True))
    painted = paint(cube, groups, values).rename(column)
    unit = getattr(fit[column], "unit", None)
    return painted.assign_attrs(units=str(unit)) if unit is not None else painted


def _require_unique(numbers: Any) -> None:
    number, times = np.unique(numbers, return_counts=True)
    if (times > 1).any():
        reason = f"ids are not unique: {number[times > 1][0]} stands in {times.max()} rows"
        raise LabelError("HC-E01", reason, "give the results of one run")
