"""Tables in and out: every table that is read comes in here, every column by one function.

Out: ECSV, CSV, FITS and parquet, each whole or absent. In: ECSV, CSV and other plain text, FITS.
"""

from __future__ import annotations

import io
import re
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import numpy as np

from hstcube.errors import FileError, WriteError
from hstcube.fits.images import require_whole
from hstcube.fits.local import TEXT, as_path, read_bytes, read_text
from hstcube.fits.opening import located, opened
from hstcube.fits.units import table_as_fits
from hstcube.fits.writing import write_files, written_whole
from hstcube.inputs.arrays import shown
from hstcube.inputs.choices import require_choice
from hstcube.inputs.rows import NUMBER, refuse_table, rows_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from astropy.table import QTable, Table
    from numpy.typing import NDArray

    from hstcube.errors import HstCubeError

    _Column = np.ma.MaskedArray[Any, Any]

__all__ = ["Cells", "column", "read_table", "table_bytes", "write_table"]

Cells = Literal["numbers", "whole numbers", "text"]

_FORMATS = (".ecsv", ".csv", ".fits", ".parquet")

_PLAIN = (".csv", ".txt", ".dat", ".cat", ".tsv", ".tab", ".ascii", "")  # endings of plain text
_PACKED = (".gz", ".bz2", ".xz")
_ROWS = 10**6  # of plain text
_LARGEST = 256 * 2**20  # bytes of a FITS table: 10^5 objects with 300 columns
# what a cell says that is none
_NOTHING = ("", "--", "nan", "none", "null", "n/a", "na", "masked")
_NO_NAME = (*_NOTHING, "inf", "+inf", "-inf", "infinity")  # a number that was lost is no name
_WHOLE = re.compile(r"[+-]?\d{1,18}(\.0*)?", re.ASCII)
_EXACT = {2: 2**11, 4: 2**24, 8: 2**53}  # by bytes: floats hold whole numbers up to here


def read_table(path: str | Path) -> Table:
    """Read a table: ECSV or FITS by what the file holds, anything else as plain text.

    Plain text is CSV, or columns that tabs, semicolons, bars or spaces divide; its first line, or a
    comment just above its first row, names the columns. Its cells stay the text that they are (an
    id ``001`` or ``1e5`` too) until `column` reads them as something else; empty ones are masked.
    Lines that begin with ``#`` are comments.

    Parameters
    ----------
    path : path
        Plain, or packed by gzip, bzip2 or xz.

    Raises
    ------
    FileError
        If the file is missing, no regular one, or too large; or is no table.
    """
    with located(Path(path) if isinstance(path, str) else path):
        if read_bytes(path, most=_LARGEST, unpack=True).startswith(b"SIMPLE  ="):
            return _of_fits(Path(path))
        text = read_text(path, most=TEXT, unpack=True)
        if re.match(r"# *%ECSV", text):
            return _of_ecsv(text)
        ending = next((end for end in Path(path).suffixes[::-1] if end not in _PACKED), "")
        if ending.lower() not in _PLAIN:
            refuse_table(f"starts with {text[:20]!r}, and ends in {ending!r}")
        return _of_text(text)


def column(
    table: Table,
    names: str | Sequence[str],
    cells: Cells,
    *,
    unit: str | None = None,
    code: str = "HC-F35",
    error: type[HstCubeError] = FileError,
) -> _Column:
    """Return a column of a table, one value a row; what is missing is masked.

    Parameters
    ----------
    table : Table
        As `read_table` returns it, or any other of astropy's.
    names : str, or sequence of str
        What the column may be called, in upper or lower case; the first one that is there is taken.
    cells : {"numbers", "whole numbers", "text"}
        What it must hold: numbers become float64, whole numbers int64, text str. Numbers may also
        stand as text, whole numbers as floats; the text of a whole number is its digits. Empty
        cells, NaN and words such as ``None`` are missing.
    unit : str, optional
        What the numbers are wanted in, "" for none; a column that says another unit is converted.
    code, error : str and type
        Of what is raised.

    Raises
    ------
    HstCubeError
        Of the class `error`, if there is no such column, or it holds something else; it names the
        row, counted from 1.
    """
    require_choice("cells", cells, Cells)
    try:
        name = _name_in(table, [names] if isinstance(names, str) else list(names))
        values = _one_a_row(table[name], name)
        if cells == "text":
            return _as_text(values, name)
        numbers = _as_numbers(values, name)
        if unit is not None:
            numbers = _in_unit(numbers, getattr(table[name], "unit", None), unit, name)
        return _as_whole(values, numbers, name) if cells == "whole numbers" else numbers
    except _BadColumnError as bad:
        raise error(code, bad.reason, bad.fix) from bad.__cause__


class _BadColumnError(Exception):
    """A column that is not what is wanted, before its code is known."""

    def __init__(self, reason: str, fix: str) -> None:
        super().__init__(reason, fix)
        self.reason = reason
        self.fix = fix


def _refuse(name: str, what: str, fix: str, cause: Exception | None = None) -> NoReturn:
    reason = f"its column {name} {what}"
    raise _BadColumnError(reason, fix) from cause


def _name_in(table: Table, names: list[str]) -> str:
    for name in names:
        if name in table.colnames:
            return name
        there = [other for other in table.colnames if other.lower() == name.lower()]
        if len(there) > 1:
            _refuse(name, f"is there twice, as {' and '.join(there)}", "remove one of them")
        if there:
            return str(there[0])
    shown = ", ".join(other[:40] for other in table.colnames[:30])
    reason = f"has the columns {shown}; {names[0]} is missing"
    raise _BadColumnError(reason, f"name a column {' or '.join(names)}")


def _one_a_row(found: Any, name: str) -> _Column:
    """Return the cells of a column as they are, without a unit."""
    fix = "give one number or text a row"
    plain = getattr(found, "unmasked", found)  # of a masked Quantity
    plain = getattr(plain, "value", plain)
    if not isinstance(plain, np.ndarray):
        _refuse(name, f"holds {type(found).__name__}", fix)
    values = np.asarray(plain)
    if values.ndim != 1:
        _refuse(name, f"holds {'x'.join(map(str, values.shape[1:]))} values a row", fix)
    if values.dtype.kind not in "iufSUO":
        _refuse(name, f"holds {values.dtype}", fix)
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8", "replace")
    hidden = np.zeros(values.shape, bool) | np.asarray(getattr(found, "mask", False))
    if values.dtype.kind == "O":
        hidden |= np.array([one is None or one is np.ma.masked for one in values], bool)
        if not all(isinstance(one, str) for one in values[~hidden]):
            _refuse(name, "holds objects", fix)
    return np.ma.array(values, mask=hidden)


def _as_text(values: _Column, name: str, nothing: tuple[str, ...] = _NO_NAME) -> _Column:
    """Return cells as text; a whole number is its digits."""
    hidden = np.ma.getmaskarray(values)
    if values.dtype.kind == "f" and (endless := np.isinf(values.data) & ~hidden).any():
        row = int(np.flatnonzero(endless)[0]) + 1
        _refuse(name, f"is infinite in row {row}", "give text or whole numbers")
    texts = [
        "" if gone else _text_of(one)
        for one, gone in zip(values.data.tolist(), hidden.tolist(), strict=True)
    ]
    missing = np.array([text.lower() in nothing for text in texts], bool)
    return np.ma.array(np.array(texts, object), mask=missing)


def _text_of(one: Any) -> str:
    return str(int(one)) if isinstance(one, float) and one.is_integer() else str(one).strip()


def _as_numbers(values: _Column, name: str) -> _Column:
    """Return cells as float64."""
    if values.dtype.kind not in "UO":
        numbers = values.data.astype(np.float64)
        return np.ma.array(numbers, mask=np.ma.getmaskarray(values) | np.isnan(numbers))
    texts = _as_text(values, name, _NOTHING)
    numbers = np.full(texts.size, np.nan)
    for row in np.flatnonzero(~texts.mask):
        if not NUMBER.fullmatch(texts.data[row]):
            said = texts.data[row][:40]
            comma = re.fullmatch(r"[+-]?\d+,\d+", said)
            fix = f"decimal comma? write {said.replace(',', '.')}" if comma else "write a number"
            _refuse(name, f"is {said!r} in row {row + 1}, no number", fix)
        numbers[row] = float(texts.data[row])
    return np.ma.array(numbers, mask=texts.mask)


def _in_unit(numbers: _Column, said: Any, unit: str, name: str) -> _Column:
    from astropy import units

    if said is None:
        return numbers
    try:
        factor = units.Unit(said).to(unit)
    except (units.UnitsError, ValueError, TypeError) as error:
        fix = f"give it in {unit}" if unit else "give it without a unit"
        _refuse(name, f"is in {said}, which is not {unit or 'a plain number'}", fix, error)
    return np.ma.array(numbers.data * factor, mask=numbers.mask)


def _as_whole(values: _Column, numbers: _Column, name: str) -> _Column:
    """Return cells as int64, not by way of floats where they are none."""
    hidden = np.ma.getmaskarray(numbers)
    wrong = ~(_are_whole(values) | hidden)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        said = str(values.data[row])[:40]
        _refuse(name, f"is {said} in row {row + 1}, no whole number", "give whole numbers")
    whole = np.zeros(values.size, np.int64)
    there = values.data[~hidden]
    if values.dtype.kind in "UO":
        there = np.array([int(str(one).strip().split(".")[0]) for one in there], np.int64)
    whole[~hidden] = there.astype(np.int64)
    return np.ma.array(whole, mask=hidden)


def _are_whole(values: _Column) -> NDArray[np.bool_]:
    data = values.data
    if data.dtype.kind in "UO":
        return np.array([bool(_WHOLE.fullmatch(str(one).strip())) for one in data], bool)
    if data.dtype.kind == "f":
        near = np.abs(data) < _EXACT.get(data.dtype.itemsize, 2**53)
        return np.asarray(near & (data == np.rint(data)))
    return np.asarray(data <= np.iinfo(np.int64).max)


def _of_fits(path: Path) -> Table:
    """Read the one table of a FITS file."""
    from astropy.table import Table

    with opened(path) as hdus:
        units = [unit for unit in hdus if type(unit).__name__ in ("BinTableHDU", "TableHDU")]
        if len(units) != 1:
            refuse_table(f"it holds {len(units)} FITS tables, not one")
        require_whole(path, units[0])
        if units[0].header["NAXIS1"] == 0:
            refuse_table("its rows hold nothing")
        try:
            return Table.read(units[0])
        except Exception as error:  # what astropy raises for cards that are impossible is anything
            refuse_table(f"{type(error).__name__}: {error}", error)


def _of_ecsv(text: str) -> Table:
    from astropy.table import Table

    lines = text.split("\n")
    if len(lines) * max(map(len, lines)) > _LARGEST:  # each cell is as wide as the widest
        refuse_table("a line of it is very long")
    try:
        return Table.read(lines, format="ascii.ecsv")
    except Exception as error:  # YAML, JSON and astropy each have their own
        refuse_table(f"{type(error).__name__}: {error}", error)


def _of_text(text: str) -> Table:
    """Read plain text; every cell stays the text that it is."""
    from astropy.table import Table

    if text.count("\n") > _ROWS:
        refuse_table(f"it has more than {_ROWS} lines")
    names, rows = rows_of(text)
    names = [name or f"col{i}" for i, name in enumerate(names, start=1)]
    if twice := [name for name in names if names.count(name) > 1]:
        refuse_table(f"two of its columns are called {twice[0]!r}")
    columns = [np.array([*cells, None], object)[:-1] for cells in zip(*rows, strict=True)]
    if not rows:
        columns = [np.array([], object)] * len(names)
    return Table([np.ma.array(cells, mask=cells == "") for cells in columns], names=names)


def write_table(table: QTable, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write a table, in the format that the file's name ends in.

    Parameters
    ----------
    table : QTable
        As `photometry` returns it.
    path : path
        ``.ecsv`` (text; everything), ``.csv`` (text; columns are named ``flux_f160w [uJy]``, what
        else is known is left out), ``.fits`` (metadata as cards ``HIERARCH zeropoint f160w``,
        history and warnings as HISTORY) or ``.parquet``. ``QTable.read(path)`` reads each.
    overwrite : bool
        Replace a file that exists.

    Raises
    ------
    WriteError
        If it is no table, the format is not one of these, pyarrow is missing, or the file exists or
        cannot be written.

    Examples
    --------
    >>> import hstcube
    >>> import tempfile
    >>> table = hstcube.photometry(hstcube.example(matched=True), (53.16, -27.78), radius=0.3)
    >>> hstcube.write_table(table, tempfile.mkdtemp() + "/galaxy.csv").name
    'galaxy.csv'
    """
    path = as_path(path)
    if not hasattr(table, "colnames"):
        reason = f"this is {shown(table)}, no table"
        raise WriteError("HC-O30", reason, "give what photometry returns", file=str(path))
    if _ending(path) == ".parquet":
        write = partial(table.write, format="parquet")
        return written_whole(path, write, overwrite=overwrite)
    return write_files({path: table_bytes(table, path)}, overwrite=overwrite)[0]


def table_bytes(table: Table, path: Path) -> bytes:
    """Return what `write_table` writes as ``.ecsv``, ``.csv`` or ``.fits``."""
    ending = path.suffix.lower()
    if ending == ".fits":
        return table_as_fits(table)
    text = io.StringIO()
    if ending == ".csv":
        _with_units_in_names(table, path).write(text, format="ascii.csv")
    else:
        table.write(text, format="ascii.ecsv")
    return text.getvalue().encode()


def _with_units_in_names(table: Table, path: Path) -> Table:
    """Return the table for CSV, which has no other place for units, and one value a cell."""
    bare = table.copy(copy_data=False)
    bare.meta = {}
    for name in table.colnames:
        if table[name].ndim > 1:
            reason = f"its column {name} has several values a row, a cell of CSV holds one"
            raise WriteError("HC-O30", reason, "write .ecsv, .fits or .parquet", file=str(path))
        if unit := str(getattr(table[name], "unit", None) or ""):
            bare.rename_column(name, f"{name} [{unit}]")
    return bare


def _ending(path: Path) -> str:
    """Return the ending of a table's name, if it is a format that can be written here."""
    ending = path.suffix.lower()
    if ending not in _FORMATS:
        reason = f"{path.name!r} does not end in the name of a format"
        raise WriteError("HC-O30", reason, f"choose from {', '.join(_FORMATS)}", file=str(path))
    if ending == ".parquet" and find_spec("pyarrow") is None:
        reason = "parquet is written by pyarrow, which is not installed"
        fix = "pip install 'hstcube[parquet]', or write .ecsv or .fits"
        raise WriteError("HC-O31", reason, fix, file=str(path))
    return ending
