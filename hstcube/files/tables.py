"""Tables out: ECSV, FITS and parquet, each whole or absent."""

from __future__ import annotations

import io
import math
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hstcube.errors import WriteError
from hstcube.fits.writing import write_files, written_whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    from astropy.io import fits
    from astropy.table import QTable, Table

__all__ = ["table_bytes", "write_table"]

_FORMATS = (".ecsv", ".fits", ".parquet")
_WIDTH = 40  # of a text beside a long keyword


def write_table(table: QTable, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write a table, in the format that the file's name ends in.

    Parameters
    ----------
    table : QTable
        As `photometry` returns it.
    path : path
        ``.ecsv`` (text; everything), ``.fits`` (a binary table; metadata as cards ``HIERARCH
        zeropoint f160w``, history and warnings as HISTORY) or ``.parquet`` (needs pyarrow).
        astropy's ``QTable.read(path)`` reads each.
    overwrite : bool
        Replace a file that exists.

    Raises
    ------
    WriteError
        If the format is not one of these, pyarrow is missing, or the file exists or cannot be
        written.
    """
    path = Path(path)
    ending = _ending(path)
    if ending == ".fits":
        return write_files({path: table_bytes(table, path)}, overwrite=overwrite)[0]
    form = "ascii.ecsv" if ending == ".ecsv" else "parquet"
    return written_whole(path, lambda part: table.write(part, format=form), overwrite=overwrite)


def table_bytes(table: Table, path: Path) -> bytes:
    """Return what `write_table` writes as ``.ecsv`` or ``.fits``."""
    if path.suffix.lower() == ".fits":
        return _fits_bytes(table)
    text = io.StringIO()
    table.write(text, format="ascii.ecsv")
    return text.getvalue().encode()


def _ending(path: Path) -> str:
    """Return the ending of a table's name, if it is a format that can be written here."""
    ending = path.suffix.lower()
    if ending not in _FORMATS:
        reason = f"{path.name!r} does not end in the name of a format"
        raise WriteError("HC-O30", reason, f"choose from {', '.join(_FORMATS)}", file=str(path))
    if ending == ".parquet" and find_spec("pyarrow") is None:
        reason = "parquet is written by pyarrow, which is not installed"
        raise WriteError(
            "HC-O31",
            reason,
            "pip install 'hstcube[parquet]', or write .ecsv or .fits",
            file=str(path),
        )
    return ending


def _fits_bytes(table: Table) -> bytes:
    from astropy.io import fits

    bare = table.copy(copy_data=False)
    bare.meta = {}
    hdu = fits.table_to_hdu(bare)
    hdu.name = "PHOTOMETRY"
    for card in _cards(table.meta):
        hdu.header.append(card, end=True)
    for key, mark in (("history", "*"), ("warnings", "!")):
        for line in table.meta.get(key, ()):
            hdu.header.add_history(f"{mark} {_printable(line)}")
    buffer = io.BytesIO()
    units = [fits.PrimaryHDU(), hdu]
    for unit in units:
        unit.add_checksum(when="HDU checksum")  # astropy's own comment holds the time
    fits.HDUList(units).writeto(buffer)
    return buffer.getvalue()


def _cards(meta: dict[str, Any]) -> Iterator[fits.Card]:
    """Yield a card for each number and text of the metadata; FITS has none for NaN."""
    from astropy.io import fits

    for key, value in meta.items():
        entries = value if isinstance(value, dict) else {"": value}
        for name, entry in entries.items():
            if isinstance(entry, list) or (isinstance(entry, float) and math.isnan(entry)):
                continue
            text = _printable(entry)[:_WIDTH] if isinstance(entry, str) else entry
            yield fits.Card(f"HIERARCH {key} {name}".strip(), text)


def _printable(text: str) -> str:
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in text)
