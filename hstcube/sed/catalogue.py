"""What every code needs of a table of photometry: ids, redshifts, fluxes, errors with their floor, curves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

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

__all__ = ["FLOOR", "Catalogue", "catalogue", "curve_text", "readme", "rows"]

# of the flux: what zero points, PSFs and templates are good to; EAZY's users take 0.01 to 0.1
FLOOR = 0.05
_LARGEST = 20.0  # redshift


class Catalogue(NamedTuple):
    """The photometry of a table's rows.

    ``id`` and ``redshift`` (object,), NaN where it is not known; ``flux`` and ``error`` (object,
    band) [uJy], both NaN where there is no measurement; ``curves`` in the order of the bands.
    """

    id: NDArray[np.int64]
    redshift: NDArray[np.float64]
    flux: NDArray[np.float64]
    error: NDArray[np.float64]
    curves: tuple[Curve, ...]
    field: str

    @property
    def bands(self) -> list[str]:
        """Return the names of the bands."""
        return [curve.band.name for curve in self.curves]


def catalogue(
    table: QTable,
    *,
    redshift: Any = None,
    floor: float | Mapping[str, float] = FLOOR,
    curves: Mapping[str, str | Path] | None = None,
) -> Catalogue:
    """Return what the writers need of a table of photometry.

    Parameters
    ----------
    table : QTable
        As `photometry` returns it.
    redshift : float, sequence, or mapping of id to float, optional
        Of all rows, of each, or of those that are named. Unknown where it is not given or NaN.
    floor : float, or mapping of band to float
        Smallest relative error: it is added in quadrature, as this share of the flux. 0 in bands
        that are not named.
    curves : mapping of band to path, optional
        Files of curves, as for `curve_of`.

    Returns
    -------
    Catalogue
        A measurement is there when its flux is finite and its error finite and above 0. Fluxes stay
        as they are: a non-detection has its flux, which may be negative, and its error.

    Raises
    ------
    BandError
        If the table has no fluxes, or a band no curve.
    LabelError
        If ids are not unique.
    RecipeError
        If a redshift or a floor is impossible, or there is not one redshift for each row.
    """
    bands = [name.removeprefix("flux_") for name in table.colnames if name.startswith("flux_")]
    if not bands or "id" not in table.colnames:
        raise BandError(
            "HC-E07",
            "the table has no ids and fluxes",
            "give the table that hstcube.photometry returns",
        )
    ids = np.asarray(table["id"], np.int64)
    number, times = np.unique(ids, return_counts=True)
    if (times > 1).any():
        reason = f"ids are not unique: {number[times > 1][0]} stands in {times.max()} rows"
        raise LabelError(
            "HC-E01",
            reason,
            "number the rows of joined tables anew: table['id'] = range(1, len(table) + 1)",
        )
    pivots = table.meta.get("pivot", {})
    flux, error = (
        np.stack([_micro_jansky(table[f"{what}_{band}"]) for band in bands], axis=1)
        for what in ("flux", "error")
    )
    error = np.hypot(error, _floors(bands, floor) * np.abs(flux))
    there = np.isfinite(flux) & np.isfinite(error) & (error > 0)
    return Catalogue(
        ids,
        _redshifts(ids, redshift),
        np.where(there, flux, np.nan),
        np.where(there, error, np.nan),
        tuple(
            curve_of(band, pivot=float(pivots.get(band, np.nan)), files=curves) for band in bands
        ),
        str(table.meta.get("field", "")),
    )


def _micro_jansky(column: Any) -> NDArray[np.float64]:
    values = column.to_value("uJy") if getattr(column, "unit", None) is not None else column
    return np.asarray(np.ma.filled(np.ma.asarray(values, dtype=np.float64), np.nan))


def _floors(bands: Sequence[str], floor: float | Mapping[str, float]) -> NDArray[np.float64]:
    named = (
        {band_name(band): share for band, share in floor.items()}
        if isinstance(floor, Mapping)
        else {}
    )
    if unknown := [band for band in named if band not in bands]:
        raise BandError(
            "HC-B01",
            f"there is no band {unknown[0]}",
            f"choose from {', '.join(bands)}",
            band=unknown[0],
        )
    shares = np.array(
        [named.get(band, 0.0) if isinstance(floor, Mapping) else floor for band in bands],
        dtype=float,
    )
    if not ((shares >= 0) & (shares < 1)).all():
        raise RecipeError(
            "HC-B31",
            f"the floor of errors is {floor!r}",
            "give a share of the flux, e.g. floor=0.05",
        )
    return shares


def _redshifts(ids: NDArray[np.int64], redshift: Any) -> NDArray[np.float64]:
    if redshift is None:
        return np.full(ids.size, np.nan)
    if isinstance(redshift, Mapping):
        values = np.array([redshift.get(number, np.nan) for number in ids.tolist()], dtype=float)
    else:
        values = np.asarray(getattr(redshift, "value", redshift), dtype=float)
    if values.shape not in ((), ids.shape):
        reason = f"there are {ids.size} rows, but {values.size} redshifts"
        raise RecipeError(
            "HC-E03", reason, "give one for all, one for each row, or a mapping of id to redshift"
        )
    if not (np.isnan(values) | ((values >= 0) & (values < _LARGEST))).all():
        wrong = values[~(np.isnan(values) | ((values >= 0) & (values < _LARGEST)))].flat[0]
        raise RecipeError(
            "HC-E03",
            f"a redshift is {wrong:g}",
            "give redshifts from 0 to 20, NaN where it is not known",
        )
    return np.array(np.broadcast_to(values, ids.shape))


def rows(*columns: Any, formats: Iterable[str]) -> str:
    """Return a table as text, a line a row; NaN is written ``nan``."""
    import io

    out = io.StringIO()
    np.savetxt(
        out,
        np.column_stack([np.asarray(column, dtype=object) for column in columns]),
        fmt=list(formats),
    )
    return out.getvalue()


def curve_text(curve: Curve, *comments: str, power: int = 0) -> str:
    """Return a curve as a file of two columns, below comment lines."""
    head = "".join(f"# {line}\n" for line in comments)
    values = curve.throughput * curve.wavelength**power
    return head + "".join(
        f"{at:.2f} {value:.6e}\n" for at, value in zip(curve.wavelength, values, strict=True)
    )


def readme(source: Catalogue, code: str, *lines: str) -> bytes:
    """Return five lines about a folder."""
    known = int(np.isfinite(source.redshift).sum())
    what = (
        f"Input of {code}, written by hstcube {__version__}: {source.id.size} objects of field {source.field or '?'}, "
        f"{known} of them with a redshift, in {' '.join(source.bands)}."
    )
    return "\n".join((what, *lines, "")).encode()
