"""What every code needs of a table of photometry, and the writers that make their input of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hstcube import __version__
from hstcube.core.bands import band_name
from hstcube.errors import BandError, LabelError, RecipeError
from hstcube.sed.curves import Curve, curve_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from astropy.table import QTable
    from numpy.typing import NDArray

__all__ = [
    "FLOOR",
    "Catalogue",
    "TableWriter",
    "catalogue",
    "curve_files",
    "curve_text",
    "in_turn",
    "no_names",
    "rows",
]

# of the flux: what zero points, PSFs and templates are good to; EAZY's users take 0.01 to 0.1
FLOOR = 0.05
_LARGEST = 20.0  # redshift


@dataclass(frozen=True)
class Catalogue:
    """The photometry of a table's rows.

    What is not known, or no measurement, is NaN; of a measurement both flux and error.
    """

    id: NDArray[np.int64]  # (object,)
    ra: NDArray[np.float64]  # deg
    dec: NDArray[np.float64]
    redshift: NDArray[np.float64]
    flux: NDArray[np.float64]  # (object, band), uJy
    error: NDArray[np.float64]
    curves: tuple[Curve, ...]  # in the order of the bands
    field: str
    names: Mapping[str, str]  # of filters, by band, where they were given

    @property
    def bands(self) -> list[str]:
        """The names of the bands."""
        return [curve.band.name for curve in self.curves]

    def columns(self, flux: str, error: str) -> list[str]:
        """Return names of columns, those of the flux and the error of each band in turn."""
        return [f"{what}_{band}" for band in self.bands for what in (flux, error)]


@dataclass(frozen=True)
class TableWriter:
    """The writer of the input of one code: it is called like a function, with a table.

    Parameters
    ----------
    code : str
        What the code is called.
    texts : function of a Catalogue
        Returns the files, by name.
    readme : sequence of str
        What the README says of them.
    takes_names : bool
        Whether filters may have names of their own.
    """

    code: str
    texts: Callable[[Catalogue], dict[str, str]]
    readme: Sequence[str]
    takes_names: bool = False

    def __call__(
        self,
        table: QTable,
        *,
        redshift: Any = None,
        floor: float | Mapping[str, float] = FLOOR,
        curves: Mapping[str, str | Path] | None = None,
        names: Mapping[str, str] | None = None,
    ) -> dict[str, bytes]:
        """Return the input of the code for the rows of a table of photometry.

        Parameters
        ----------
        table : QTable
            As `photometry` returns it; ids must be unique.
        redshift, floor, curves, names
            As for `to_sed`.

        Returns
        -------
        dict of str to bytes
            The files by name, a README with them.

        Raises
        ------
        BandError
            If the table has no fluxes, or a band no curve.
        LabelError
            If ids are not unique.
        RecipeError
            If a redshift or a floor is impossible, there is not one redshift for each row, or the
            code takes no names.
        """
        if names and not self.takes_names:
            raise no_names(self.code)
        source = catalogue(table, redshift=redshift, floor=floor, curves=curves, names=names)
        files = self.texts(source) | {"README": _readme(source, self.code, self.readme)}
        return {name: text.encode() for name, text in files.items()}


def no_names(code: str) -> RecipeError:
    """Return the error of a code that knows no names of filters."""
    reason = f"{code} takes no names of filters"
    return RecipeError("HC-B30", reason, "leave names out, or choose cigale")


def catalogue(
    table: QTable,
    *,
    redshift: Any = None,
    floor: float | Mapping[str, float] = FLOOR,
    curves: Mapping[str, str | Path] | None = None,
    names: Mapping[str, str] | None = None,
) -> Catalogue:
    """Return what the writers need of a table of photometry.

    Its arguments and errors are those of a `TableWriter`. A measurement is there when its flux is
    finite and its error finite and above 0. Fluxes stay as they are: a non-detection has its flux,
    which may be negative, and its error.
    """
    bands = [name.removeprefix("flux_") for name in table.colnames if name.startswith("flux_")]
    if not bands or "id" not in table.colnames:
        fix = "give the table that hstcube.photometry returns"
        raise BandError("HC-E07", "the table has no ids and fluxes", fix)
    ids = _unique_ids(table)
    flux, error = _fluxes(table, "flux", bands), _fluxes(table, "error", bands)
    error = np.hypot(error, _floors(bands, floor) * np.abs(flux))
    there = np.isfinite(flux) & np.isfinite(error) & (error > 0)
    return Catalogue(
        id=ids,
        ra=_degrees(table, "ra"),
        dec=_degrees(table, "dec"),
        redshift=_redshifts(ids, redshift),
        flux=np.where(there, flux, np.nan),
        error=np.where(there, error, np.nan),
        curves=_curves(table, bands, curves),
        field=str(table.meta.get("field", "")),
        names={band_name(band): name for band, name in (names or {}).items()},
    )


def _unique_ids(table: QTable) -> NDArray[np.int64]:
    ids = np.asarray(table["id"], np.int64)
    number, times = np.unique(ids, return_counts=True)
    if (times > 1).any():
        reason = f"ids are not unique: {number[times > 1][0]} stands in {times.max()} rows"
        fix = "number the rows of joined tables anew: table['id'] = range(1, len(table) + 1)"
        raise LabelError("HC-E01", reason, fix)
    return ids


def _degrees(table: QTable, name: str) -> NDArray[np.float64]:
    if name not in table.colnames:
        return np.full(len(table), np.nan)
    return np.asarray(getattr(table[name], "value", table[name]), float)


def _curves(
    table: QTable, bands: Sequence[str], files: Mapping[str, str | Path] | None
) -> tuple[Curve, ...]:
    pivots = table.meta.get("pivot", {})
    return tuple(
        curve_of(band, pivot=float(pivots.get(band, np.nan)), files=files) for band in bands
    )


def _fluxes(table: QTable, what: str, bands: Sequence[str]) -> NDArray[np.float64]:
    """Return the columns of all bands, (object, band)."""
    return np.stack([_micro_jansky(table[f"{what}_{band}"]) for band in bands], axis=1)


def _micro_jansky(column: Any) -> NDArray[np.float64]:
    values = column.to_value("uJy") if getattr(column, "unit", None) is not None else column
    return np.asarray(np.ma.filled(np.ma.asarray(values, dtype=np.float64), np.nan))


def _floors(bands: Sequence[str], floor: float | Mapping[str, float]) -> NDArray[np.float64]:
    shares = np.zeros(len(bands))
    if isinstance(floor, Mapping):
        for name, share in floor.items():
            shares[_place(bands, band_name(name))] = share
    else:
        shares[:] = floor
    if not ((shares >= 0) & (shares < 1)).all():
        reason = f"the floor of errors is {floor!r}"
        raise RecipeError("HC-B31", reason, "give a share of the flux, e.g. floor=0.05")
    return shares


def _place(bands: Sequence[str], name: str) -> int:
    if name not in bands:
        fix = f"choose from {', '.join(bands)}"
        raise BandError("HC-B01", f"there is no band {name}", fix, band=name)
    return bands.index(name)


def _redshifts(ids: NDArray[np.int64], redshift: Any) -> NDArray[np.float64]:
    if redshift is None:
        return np.full(ids.size, np.nan)
    if isinstance(redshift, Mapping):
        values = np.array([redshift.get(number, np.nan) for number in ids.tolist()], dtype=float)
    else:
        values = np.asarray(getattr(redshift, "value", redshift), dtype=float)
    if values.shape not in ((), ids.shape):
        reason = f"there are {ids.size} rows, but {values.size} redshifts"
        fix = "give one for all, one for each row, or a mapping of id to redshift"
        raise RecipeError("HC-E03", reason, fix)
    possible = np.isnan(values) | ((values >= 0) & (values < _LARGEST))
    if not possible.all():
        reason = f"a redshift is {values[~possible].flat[0]:g}"
        raise RecipeError(
            "HC-E03", reason, "give redshifts from 0 to 20, NaN where it is not known"
        )
    return np.array(np.broadcast_to(values, ids.shape))


def in_turn(flux: NDArray[np.float64], error: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return one array (object, 2 band): the flux and the error of each band in turn."""
    return np.stack([flux, error], axis=2).reshape(len(flux), -1)


def rows(*columns: Any, formats: Iterable[str]) -> str:
    """Return a table as text, a line a row; NaN is written ``nan``."""
    import io

    out = io.StringIO()
    values = np.column_stack([np.asarray(column, dtype=object) for column in columns])
    np.savetxt(out, values, fmt=list(formats))
    return out.getvalue()


def curve_text(curve: Curve, *comments: str) -> str:
    """Return a curve as a file of two columns, below comment lines."""
    lines = [f"# {line}\n" for line in comments]
    for at, value in zip(curve.wavelength, curve.throughput, strict=True):
        lines.append(f"{at:.2f} {value:.6e}\n")
    return "".join(lines)


def curve_files(curves: Iterable[Curve]) -> dict[str, str]:
    """Return the curves as files of a folder ``filters``, by name."""
    return {f"filters/{curve.file}.txt": curve_text(curve) for curve in curves}


def _readme(source: Catalogue, code: str, lines: Sequence[str]) -> str:
    """Return five lines about a folder."""
    known = int(np.isfinite(source.redshift).sum())
    what = (
        f"Input of {code}, written by hstcube {__version__}: {source.id.size} objects of field "
        f"{source.field or '?'}, {known} of them with a redshift, in {' '.join(source.bands)}."
    )
    return "\n".join((what, *lines, ""))
