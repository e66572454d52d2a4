"""Throughput curves of filters: the package's own, those of sedpy, and files of two columns."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hstcube import shipped
from hstcube.core.bands import Band, band_name, cameras
from hstcube.errors import BandError, FileError
from hstcube.fits.local import read_text
from hstcube.fits.opening import located
from hstcube.inputs.rows import NUMBER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["Curve", "curve_of", "pivot_of", "two_columns"]

_COLUMNS = 2
_LARGEST = 8 * 2**20  # bytes of a file: 200,000 wavelengths
_BELOW = 0.1  # of the peak: measured wings may go a little below zero
_MOST = 1e30  # what no wavelength [Angstrom] and no throughput reaches
_NO_COLUMNS = "cannot be read as two columns of numbers"
_FIX = "give wavelength [Angstrom] and throughput, one pair a line, divided by spaces"

Curves = dict[str, tuple["NDArray[np.float64]", "NDArray[np.float64]"]]


class Curve(NamedTuple):
    """The throughput of a band."""

    band: Band
    file: str  # what a file of it is called
    wavelength: NDArray[np.float64]  # Angstrom, increasing
    throughput: NDArray[np.float64]  # photons that are counted of those that come
    given: bool = False  # whether it is the user's own


def curve_of(
    name: str, *, pivot: float = np.nan, files: Mapping[str, str | Path] | None = None
) -> Curve:
    """Return the curve of a band.

    Parameters
    ----------
    name : str
        As in the cube.
    pivot : float
        Of the band [Angstrom]: of several cameras with a filter of that name the nearest is taken.
    files : mapping of band to path, optional
        Files of two columns, wavelength [Angstrom] and throughput, that come before any other
        curve.

    Raises
    ------
    BandError
        If neither a file, nor the package, nor sedpy has it.
    FileError
        If a file is not two columns of numbers, with wavelengths that increase.
    """
    known = cameras(name)
    for other, path in (files or {}).items():
        if band_name(other) == name:
            return _from_file(name, path, _nearest(known, pivot))
    band = _nearest(known, pivot) or Band(name, "", "", pivot, "")
    points = _ours().get(band.sedpy) or _from_sedpy(band.sedpy)
    if points is None:
        raise _no_curve(name, band)
    return Curve(band, band.sedpy, *points)


def _nearest(known: Sequence[Band], pivot: float) -> Band | None:
    """Return the band of the camera whose pivot is nearest; None if no camera has it."""
    return min(known, key=lambda one: abs(one.pivot - pivot), default=None)


def _from_file(name: str, path: str | Path, band: Band | None) -> Curve:
    wavelength, throughput = two_columns(path)
    if band is None:
        band = Band(name, "", "", pivot_of(wavelength, throughput), "")
    return Curve(band, band.sedpy or name, wavelength, throughput, given=True)


def _no_curve(name: str, band: Band) -> BandError:
    camera = f" of {band.instrument}/{band.detector}" if band.instrument else ""
    ways = f"[[--curve {name}=FILE|curves={{{name!r}: 'FILE'}}]]"
    fix = f"give a file of wavelength and throughput: {ways}"
    if band.sedpy:
        fix = f"pip install 'hstcube[sed]', or {fix}"
    return BandError("HC-E02", f"there is no throughput curve for {name}{camera}", fix, band=name)


def pivot_of(wavelength: NDArray[np.float64], throughput: NDArray[np.float64]) -> float:
    """Return the pivot wavelength of a photon throughput.

    Tokunaga & Vacca 2005, PASP 117, 421, eq. A16.
    """
    above = np.trapezoid(throughput * wavelength, wavelength)
    return float(np.sqrt(above / np.trapezoid(throughput / wavelength, wavelength)))


def two_columns(path: str | Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Read wavelengths [Angstrom] and throughputs from a file of two columns.

    Raises
    ------
    FileError
        If it cannot be read as that.
    """
    try:
        text = read_text(path, most=_LARGEST, unpack=True)
    except FileError as error:
        if error.code not in ("HC-F01", "HC-F30"):  # not there, no text
            raise
        raise FileError("HC-E05", f"{_NO_COLUMNS}: {error.reason}", _FIX, error.file) from error
    with located(Path(path)):
        wavelength, throughput = _points(text).T
    if not _is_curve(wavelength, throughput):
        reason = (
            "is no throughput curve: wavelengths must be positive and increase, some throughput"
        )
        reason += " be above 0, and none far below"
        fix = "sort it by wavelength [Angstrom], and remove what is doubled or negative"
        raise FileError("HC-E05", reason, fix, file=str(path))
    return wavelength, throughput


def _points(text: str) -> NDArray[np.float64]:
    """Return the first two columns of a text, (row, 2); what follows a # is a comment."""
    rows = []
    for i, line in enumerate(text.split("\n"), start=1):
        cells = line.split("#")[0].split()
        if not cells:
            continue
        if len(cells) < _COLUMNS or not all(map(NUMBER.fullmatch, cells[:_COLUMNS])):
            reason = f"{_NO_COLUMNS}: line {i} is {line.strip()[:40]!r}"
            raise FileError("HC-E05", reason, _FIX)
        rows.append([float(cell) for cell in cells[:_COLUMNS]])
    return np.array(rows, dtype=float).reshape(-1, _COLUMNS)


def _is_curve(wavelength: NDArray[np.float64], throughput: NDArray[np.float64]) -> bool:
    if len(wavelength) < 2:  # noqa: PLR2004  a curve has a width
        return False
    peak = throughput.max()
    possible = (wavelength > 0) & (wavelength < _MOST) & (throughput >= -_BELOW * peak)
    increase = (np.diff(wavelength) > 0).all()
    return bool(increase and possible.all() and 0 < peak < _MOST)


@cache
def _ours() -> Curves:
    """Return the curves of the package, by sedpy's names (docs/make_filters.py)."""
    points: dict[str, list[tuple[float, float]]] = {}
    for row in shipped.table("hstcube.sed", "filters.csv"):
        point = float(row["wavelength"]), float(row["throughput"])
        points.setdefault(row["filter"], []).append(point)
    curves = {}
    for name, listed in points.items():
        wavelength, throughput = np.array(listed).T
        curves[name] = wavelength, throughput
    return curves


def _from_sedpy(name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    if not name or find_spec("sedpy") is None:
        return None
    from sedpy.observate import Filter

    curve = Filter(name)
    return np.asarray(curve.wavelength, float), np.asarray(curve.transmission, float)
