"""What every code needs of a table of photometry, and the writers that make their input of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hstcube import __version__
from hstcube.core.bands import band_name, cameras
from hstcube.errors import BandError, HstCubeWarning, LabelError, RecipeError, warn_caller
from hstcube.files.tables import column
from hstcube.inputs.quantities import number_in, numbers_in, short
from hstcube.sed.curves import Curve, curve_of, word

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
_LISTED = 8  # ids in a message
_REDSHIFT = ("z", "redshift", "z_spec", "zspec", "z_best", "z_phot", "zphot")  # of tables


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
        """The names of the bands, each a word."""
        return [word(curve.band.name) for curve in self.curves]

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
    notes : function of a Catalogue, optional
        Returns what the README says of this table alone.
    """

    code: str
    texts: Callable[[Catalogue], dict[str, str]]
    readme: Sequence[str]
    takes_names: bool = False
    notes: Callable[[Catalogue], Sequence[str]] = lambda _: ()

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
            If the table has no fluxes, a band twice, or upper limits that are no measurements; or
            a band has no curve.
        LabelError
            If ids are not unique.
        RecipeError
            If a redshift or a floor is impossible, there is not one redshift for each row, or the
            code takes no names.
        """
        if names and not self.takes_names:
            raise no_names(self.code)
        source = catalogue(table, redshift=redshift, floor=floor, curves=curves, names=names)
        files = self.texts(source)
        lines = [*self.readme, *self.notes(source)]
        if "below_target" in table.colnames:
            files["below_target.txt"] = _flags(table)
            number = int(np.count_nonzero(table["below_target"]))
            lines.append(f"below_target.txt: 1 for the {number} bins that miss the S/N or area.")
        files["README"] = _readme(source, self.code, lines)
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
    which may be negative, and its error. A positive flux with a negative error, as some codes write
    upper limits, is refused: it would be no measurement.
    """
    bands = [name.removeprefix("flux_") for name in table.colnames if name.startswith("flux_")]
    if not bands or "id" not in table.colnames:
        fix = "give the table that [[hstcube phot writes|hstcube.photometry returns]]"
        raise BandError("HC-E07", "the table has no ids and fluxes", fix)
    ids = _unique_ids(table)
    flux, error = _fluxes(table, "flux", bands), _fluxes(table, "error", bands)
    _refuse_limits(bands, (flux > 0) & (error < 0))
    there = np.isfinite(flux) & np.isfinite(error) & (error > 0)  # before the floor makes it so
    error = np.hypot(error, _floors(bands, floor) * np.abs(flux))
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


def _refuse_limits(bands: Sequence[str], limits: NDArray[np.bool_]) -> None:
    if limits.any():
        band = bands[int(np.argmax(limits.any(axis=0)))]
        reason = f"{np.count_nonzero(limits)} fluxes have a negative error, the first of {band}"
        fix = (
            "give the flux that was measured and its error; of a limit of n sigma: 0 and limit / n"
        )
        raise BandError("HC-E11", reason, fix, band=band)


def _unique_ids(table: QTable) -> NDArray[np.int64]:
    ids = np.asarray(table["id"], np.int64)
    number, times = np.unique(ids, return_counts=True)
    if (times > 1).any():
        reason = f"ids are not unique: {number[times > 1][0]} stands in {times.max()} rows"
        fix = "number the rows of joined tables anew[[|: table['id'] = range(1, len(table) + 1)]]"
        raise LabelError("HC-E01", reason, fix)
    return ids


def _degrees(table: QTable, name: str) -> NDArray[np.float64]:
    if name not in table.colnames:
        return np.full(len(table), np.nan)
    return np.asarray(getattr(table[name], "value", table[name]), float)


def _curves(
    table: QTable, bands: Sequence[str], files: Mapping[str, str | Path] | None
) -> tuple[Curve, ...]:
    pivots = [float(table.meta.get("pivot", {}).get(band, np.nan)) for band in bands]
    cameras_of = [_camera_of(table, band) for band in bands]
    curves = tuple(
        curve_of(band, pivot=pivot, camera=camera, files=files)
        for band, pivot, camera in zip(bands, pivots, cameras_of, strict=True)
    )
    names = [curve.band.name for curve in curves]
    for name in names:
        if names.count(name) > 1:
            fix = "keep one of the two, or name their cameras: f606w-wfpc2"
            raise BandError("HC-B02", "the table has it twice", fix, band=name)
    _tell_of_cameras(curve for curve, pivot in zip(curves, pivots, strict=True) if np.isnan(pivot))
    return curves


def _camera_of(table: QTable, band: str) -> tuple[str, str]:
    """Return instrument and detector of a band, empty where the table does not say them."""
    instrument, detector = (
        str(table.meta.get(key, {}).get(band, "")) for key in ("instrument", "detector")
    )
    return instrument, detector


def _tell_of_cameras(curves: Iterable[Curve]) -> None:
    """Tell of bands of which nothing says which of several cameras they are of."""
    doubtful = [
        f"{curve.band.name} as {'/'.join(curve.band.words).upper()}'s"
        for curve in curves
        if not curve.given and len(cameras(curve.band.name)) > 1
    ]
    if doubtful:
        text = f"nothing says whose filters these are; taken: {', '.join(doubtful)}"
        for note in [("HC-E10", text)]:
            warn_caller(HstCubeWarning(*note))


def _fluxes(table: QTable, what: str, bands: Sequence[str]) -> NDArray[np.float64]:
    """Return the columns of all bands, (object, band)."""
    return np.stack([_micro_jansky(table[f"{what}_{band}"]) for band in bands], axis=1)


def _micro_jansky(column: Any) -> NDArray[np.float64]:
    values = column.to_value("uJy") if getattr(column, "unit", None) is not None else column
    return np.asarray(np.ma.filled(np.ma.asarray(values, dtype=np.float64), np.nan))


def _floors(bands: Sequence[str], floor: Any) -> NDArray[np.float64]:
    fix = "give a share of the flux, e.g. [[--floor 0.05|floor=0.05]]"
    given = floor if isinstance(floor, Mapping) else dict.fromkeys(bands, floor)
    shares = np.zeros(len(bands))
    for name, share in given.items():
        shares[_place(bands, band_name(str(name)))] = number_in("", share, "floor", least=0)
    if not (shares < 1).all():
        raise RecipeError("HC-B31", f"the floor of errors is {short(floor)}", fix)
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
        return _of_groups(ids, _by_id([*redshift], _possible([*redshift.values()])))
    if {"id"} & {str(name).lower() for name in getattr(redshift, "colnames", ())}:
        wrong: dict[str, Any] = {"code": "HC-E03", "error": RecipeError}
        numbers = column(redshift, "id", "whole numbers", **wrong)
        found = column(redshift, _REDSHIFT, "numbers", unit="", **wrong)
        known = _by_id(numbers.tolist(), _possible(found))
        _tell_of_lacking([number for number in ids.tolist() if number not in known], ids.size)
        return _of_groups(ids, known)
    values = _possible(redshift)
    if values.shape not in ((), ids.shape):
        reason = f"there are {ids.size} rows, but {values.size} redshifts"
        fix = "give one for all, one for each row, a mapping of id to redshift, or a table"
        raise RecipeError("HC-E03", reason, fix)
    return np.array(np.broadcast_to(values, ids.shape))


def _possible(redshift: Any) -> NDArray[np.float64]:
    """Return redshifts as numbers; NaN where they are masked or None."""
    if isinstance(redshift, list):
        redshift = [np.nan if value is None else value for value in redshift]
    elif np.ma.isMaskedArray(redshift):
        redshift = np.ma.filled(redshift.astype(np.float64), np.nan)
    values = numbers_in("", redshift, "redshift", nan=True, code="HC-E03")
    impossible = (values < 0) | (values >= _LARGEST)
    if impossible.any():
        reason = f"a redshift is {values[impossible].flat[0]:g}"
        fix = "give redshifts from 0 to 20, NaN where it is not known"
        raise RecipeError("HC-E03", reason, fix)
    return values


def _by_id(named: Sequence[Any], values: NDArray[np.float64]) -> dict[int, float]:
    known: dict[int, float] = {}
    for name, value in zip(named, values.ravel().tolist(), strict=True):
        number = int(name) if str(name).isdecimal() else None
        if number is None or number in known:
            why = "is no number of a group" if number is None else "is there twice"
            reason = f"redshifts are given by id, but {short(name)} {why}"
            raise RecipeError("HC-E03", reason, "give one redshift for each group, by its number")
        known[number] = value
    return known


def _of_groups(ids: NDArray[np.int64], known: dict[int, float]) -> NDArray[np.float64]:
    """Return the redshifts of the groups; NaN of those that are not named."""
    if known and not known.keys() & {*ids.tolist()}:
        listed = ", ".join(map(str, [*known][:5]))
        reason = f"no group is among the ids of the redshifts, {listed}"
        raise RecipeError("HC-E03", reason, "give those of these groups, by their numbers")
    return np.array([known.get(number, np.nan) for number in ids.tolist()])


def _tell_of_lacking(lacking: list[int], number: int) -> None:
    if lacking:
        listed = ", ".join(map(str, lacking[:_LISTED])) + ", ..." * (len(lacking) > _LISTED)
        text = f"{len(lacking)} of {number} groups have no redshift: {listed}"
        for note in [("HC-E09", text)]:
            warn_caller(HstCubeWarning(*note))


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


def _flags(table: QTable) -> str:
    """Return which rows are bins below their target, a line a row."""
    flags = np.asarray(table["below_target"], np.int64)
    return "# id below_target\n" + rows(table["id"], flags, formats=["%d", "%d"])


def _readme(source: Catalogue, code: str, lines: Sequence[str]) -> str:
    """Return some lines about a folder."""
    known = int(np.isfinite(source.redshift).sum())
    what = (
        f"Input of {code}, written by hstcube {__version__}: {source.id.size} objects of field "
        f"{source.field or '?'}, {known} of them with a redshift, in {' '.join(source.bands)}."
    )
    return "\n".join((what, *lines, ""))
