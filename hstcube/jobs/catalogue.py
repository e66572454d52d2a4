"""Names and positions of a catalogue: what stamps are cut around."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hstcube.errors import GridError, RecipeError
from hstcube.files.tables import column, read_table
from hstcube.fits.opening import located
from hstcube.inputs.arrays import shown
from hstcube.inputs.names import checked_name

if TYPE_CHECKING:
    from astropy.table import Table

    from hstcube.files.tables import Cells

__all__ = ["Position", "positions_of", "read_catalogue"]

_ID = ("id", "name", "field", "number", "source_id", "objid")
_RA = ("ra", "ra_deg", "raj2000", "alpha_j2000")
_DEC = ("dec", "dec_deg", "dej2000", "decj2000", "delta_j2000")
_POLE, _TURN = 90, 360  # degrees


class Position(NamedTuple):
    """A row of a catalogue: the name of the stamps, and where they are wanted, degrees ICRS."""

    name: str
    ra: float
    dec: float


def positions_of(catalogue: Any) -> list[Position]:
    """Return the rows of a catalogue: those of a file, or as they are given.

    Raises
    ------
    HstCubeError
        If it is no catalogue, or as `read_catalogue` raises it.
    """
    if isinstance(catalogue, str | Path):
        return read_catalogue(catalogue)
    try:
        return [Position(str(name), float(ra), float(dec)) for name, ra, dec in catalogue]
    except (TypeError, ValueError) as error:
        fix = "give the name of a table, or (name, ra, dec) [degrees] of each stamp"
        raise GridError("HC-B31", f"catalogue is {shown(catalogue)}", fix) from error


def read_catalogue(path: str | Path) -> list[Position]:
    """Read names and positions from a table: ECSV, CSV or other plain text, or FITS.

    Columns: ``id`` (or ``name``), ``ra`` and ``dec`` in degrees or in the unit that the table says;
    ICRS. Ids in plain text are taken as they stand there: ``001`` stays ``001``.

    Raises
    ------
    FileError
        If the file is missing or no table.
    RecipeError
        If it lacks a column, or a name or position is missing or cannot be used.
    """
    table = read_table(path)
    with located(Path(path)):
        names = _cells(table, _ID, "text").tolist()
        degrees = [_cells(table, words, "numbers", unit="deg").tolist() for words in (_RA, _DEC)]
        if not names:
            raise RecipeError("HC-B23", "the catalogue is empty", "give it at least one row")
        positions = list(map(Position, names, *degrees))
        _require_usable(positions)
    return positions


def _cells(table: Table, words: tuple[str, ...], cells: Cells, unit: str | None = None) -> Any:
    """Return the first column that one of the words names, complete."""
    found = column(table, words, cells, unit=unit, code="HC-B23", error=RecipeError)
    if (missing := np.ma.getmaskarray(found)).any():
        row = int(np.flatnonzero(missing)[0]) + 1
        raise RecipeError(
            "HC-B23", f"row {row} has no {words[0]}", "give every row an id, ra and dec (degrees)"
        )
    return found.data


def _require_usable(positions: list[Position]) -> None:
    """Refuse names that cannot be those of files, names that are there twice, and no places."""
    seen: set[str] = set()
    for row, (name, ra, dec) in enumerate(positions, start=1):
        checked_name(name)
        if name.lower() in seen:
            raise RecipeError(
                "HC-O07", f"two rows are called {name}", "give every row an id of its own"
            )
        seen.add(name.lower())
        if not (-_TURN / 2 <= ra <= _TURN and abs(dec) <= _POLE):
            said = f"{name}, row {row}, is at ({ra:.10g}, {dec:.10g}), which is not on the sky"
            raise RecipeError("HC-B23", said, "give ra and dec in degrees")
