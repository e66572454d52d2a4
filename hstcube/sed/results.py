"""What SED-fitting codes found, read back and put on the pixels."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hstcube.core.rules import taken
from hstcube.errors import FileError, LabelError, RecipeError
from hstcube.files.tables import column as cells_of
from hstcube.files.tables import read_table
from hstcube.fits.opening import located
from hstcube.inputs.arrays import shown
from hstcube.inputs.choices import require_choice
from hstcube.noise.groups import group_ids, group_map
from hstcube.views.painting import paint

if TYPE_CHECKING:
    import xarray as xr
    from astropy.table import Table
    from numpy.typing import NDArray

__all__ = ["paint_fit", "read_fit"]

Fitted = Literal["eazy", "bagpipes"]
# what their tables of results call it; as text a leading mark is that of a comment
_IDS = {"eazy": ("id",), "bagpipes": ("#ID", "ID")}
_FIX = "give photz.zout.fits of EAZY, or pipes/cats/RUN.fits of bagpipes"
_NO_RESULTS = ("HC-F01", "HC-F04", "HC-F30")  # not there, no table, no text


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
        If it cannot be read, or its ids are missing or no whole numbers.
    LabelError
        If ids are not unique.
    RecipeError
        If results of that code cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> from astropy.table import Table
    >>> import hstcube
    >>> path = tempfile.mkdtemp() + "/photz.zout.fits"
    >>> Table({"id": [1, 2], "z_phot": [0.9, 1.1]}).write(path)
    >>> hstcube.read_fit("eazy", path)["z_phot"].tolist()
    [0.9, 1.1]
    """
    require_choice("code", code, Fitted, code="HC-B30")
    what = f"table of results of {code}, with whole numbers in its column {_IDS[code][0]!r}"
    try:
        table = read_table(path)
    except FileError as error:
        if error.code not in _NO_RESULTS:
            raise
        raise FileError("HC-E06", f"is no {what}: {error.reason}", _FIX, error.file) from error
    with located(Path(path)):
        known = [name for name in _IDS[code] if name in table.colnames]  # codes differ in its case
        if not known:
            raise FileError("HC-E06", f"is no {what}", _FIX)
        ids = _ids_of(table, known[0])
        return _with_numbers(table, ids)


def _with_numbers(table: Table, ids: NDArray[np.int64]) -> Table:
    """Return results whose columns of text become numbers where all their cells are numbers."""
    for name in table.colnames:
        if table[name].dtype.kind == "O":
            with suppress(FileError):
                table[name] = cells_of(table, name, "numbers")
    table["id"] = ids
    return table


def paint_fit(
    cube: xr.Dataset, groups: Any, fit: Table, column: str, *, first: int = 1
) -> xr.DataArray:
    """Put one column of results on the pixels of the groups, joined by id.

    Parameters
    ----------
    cube : Dataset
    groups : DataArray or array of int, (y, x)
        Those that were fitted.
    fit : Table
        As `read_fit` returns it; its rows may be in any order, and some be missing.
    column : str
    first : {1, 0}
        The least number that is a group; see `photometry`.

    Returns
    -------
    DataArray of float64, (y, x)
        NaN outside the groups, and in groups without a result.

    Raises
    ------
    LabelError
        If ids are not unique, or none of them is a group's.
    FileError
        If ids are missing or no whole numbers.
    RecipeError
        If there is no such column, or it does not hold one number a row.

    Examples
    --------
    >>> from astropy.table import Table
    >>> import hstcube
    >>> cube = hstcube.example(matched=True)
    >>> discs = hstcube.apertures(cube, [(53.16, -27.78), (53.1598, -27.7802)], radius=0.2)
    >>> fit = Table({"id": [2, 1], "z_phot": [0.9, 1.1]})
    >>> hstcube.paint_fit(cube, discs, fit, "z_phot").max().item()
    1.1
    """
    cube = taken(cube, pixels=False)
    if not isinstance(column, str) or column not in getattr(fit, "colnames", ()):
        listed = ", ".join(getattr(fit, "colnames", ())) or "those of the table of results"
        raise RecipeError("HC-B30", f"there is no column {shown(column)}", f"choose from {listed}")
    numbers = _ids_of(fit, "id")
    there = group_ids(group_map(cube, groups, first=first)) + first - 1
    if not np.isin(numbers, there).any():
        raise LabelError(
            "HC-E08", "no id of the results is a group's", "give the groups that were fitted"
        )
    found = _numbers_of(fit, column)
    values = dict.fromkeys(there.tolist(), np.nan)
    values |= dict(zip(numbers.tolist(), found.tolist(), strict=True))
    painted = paint(cube, groups, values, first=first).rename(column)
    unit = getattr(fit[column], "unit", None)
    return painted.assign_attrs(units=str(unit)) if unit is not None else painted


def _ids_of(table: Table, name: str) -> NDArray[np.int64]:
    """Return the ids of results: whole numbers, each there and there once."""
    ids = cells_of(table, name, "whole numbers", code="HC-E06")
    if (missing := np.ma.getmaskarray(ids)).any():
        reason = f"row {int(np.flatnonzero(missing)[0]) + 1} of the results has no id"
        raise FileError("HC-E06", reason, _FIX)
    _require_unique(ids.data)
    return np.asarray(ids.data, np.int64)


def _numbers_of(fit: Table, name: str) -> NDArray[np.float64]:
    """Return a column to be painted; NaN where there is none. Yes and no are 1 and 0."""
    if fit[name].dtype.kind == "b" and fit[name].ndim == 1:
        return np.ma.filled(np.ma.asarray(fit[name]).astype(float), np.nan)
    found = cells_of(fit, name, "numbers", code="HC-B30", error=RecipeError)
    return np.asarray(found.filled(np.nan), np.float64)


def _require_unique(numbers: Any) -> None:
    number, times = np.unique(numbers, return_counts=True)
    if (times > 1).any():
        reason = f"ids are not unique: {number[times > 1][0]} stands in {times.max()} rows"
        raise LabelError("HC-E01", reason, "give the results of one run")
