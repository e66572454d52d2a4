"""Throughput curves of filters: the package's own, those of sedpy, and files of two columns."""

from __future__ import annotations

import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hstcube import shipped
from hstcube.core.bands import Band, band_name, cameras, plain
from hstcube.errors import BandError, FileError
from hstcube.fits.local import read_text
from hstcube.fits.opening import located
from hstcube.inputs.rows import NUMBER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["Curve", "curve_file", "curve_of", "pivot_of", "two_columns", "word"]

_COLUMNS = 2
_LARGEST = 8 * 2**20  # bytes of a file: 200,000 wavelengths
_SAME = 0.05  # of the pivot: what cameras with a filter of one name differ by, and less
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
    name: str,
    *,
    pivot: float = np.nan,
    camera: tuple[str, str] = ("", ""),
    files: Mapping[str, str | Path] | None = None,
) -> Curve:
    """Return the curve of a band.

    Parameters
    ----------
    name : str
        As in the cube.
    pivot : float
        Of the band [Angstrom]: where `camera` does not tell several cameras with a filter of that
        name apart, the nearest is taken. A curve whose own pivot is more than 5 % away from it is
        refused.
    camera : (str, str)
        Instrument and detector, as headers say them.
    files : mapping of band to path, optional
        Files of two columns, wavelength [Angstrom] and throughput, that come before any other
        curve.

    Raises
    ------
    BandError
        If neither a file, nor the package, nor sedpy has it; or if the filter of that name is
        another one.
    FileError
        If a file is not two columns of numbers, with wavelengths [Angstrom] that increase, or is
        that of another band.
    """
    name = band_name(name)
    band = _of_camera(name, cameras(name), pivot, camera)
    for other, path in (files or {}).items():
        if band_name(other) == name:
            return _from_file(name, path, band, pivot)
    if band is None or _is_other(band.pivot, pivot):
        raise _no_curve(name, Band(name, "", "", pivot, ""))
    points = _ours().get(curve_file(band)) or _from_sedpy(band.sedpy)
    if points is None:
        raise _no_curve(name, band)
    return Curve(band, curve_file(band), *points)


def _is_other(found: float, pivot: float) -> bool:
    """Say whether a pivot is that of another band; not where there is none to compare with."""
    return abs(found / pivot - 1) > _SAME


def curve_file(band: Band) -> str:
    """Return what the file of a band's curve is called: as in sedpy, or by camera and filter."""
    return band.sedpy or word("_".join((*band.words, plain(band.name))))


def word(text: str) -> str:
    """Return a text as one word, which columns, lists and files of all codes can be called."""
    return re.sub(r"[^\w.+-]", "_", text) or "-"


def _of_camera(
    name: str, known: Sequence[Band], pivot: float, camera: tuple[str, str]
) -> Band | None:
    """Return the band as its camera has it, under its own name; None if no camera has it.

    It is the camera's whose pivot is nearest where nothing else says.
    """
    mine = [one for one in known if camera[0] and one.is_of(*camera)] or known
    found = min(mine, key=lambda one: abs(one.pivot - pivot), default=None)
    return None if found is None else found._replace(name=name)


def _from_file(name: str, path: str | Path, band: Band | None, pivot: float) -> Curve:
    wavelength, throughput = two_columns(path)
    found = pivot_of(wavelength, throughput)
    wanted = band.pivot if band and np.isnan(pivot) else pivot
    if _is_other(found, wanted):
        reason = f"is no curve of {name}: its pivot is {found:.1f} Angstrom, that of the band"
        fix = "give the curve of this band, with its wavelengths in Angstrom"
        raise FileError("HC-E05", f"{reason} {wanted:.1f}", fix, file=str(path))
    if band is None or _is_other(found, band.pivot):
        band = Band(name, "", "", found, "")
    return Curve(band, band.sedpy or word(name), wavelength, throughput, given=True)


def _no_curve(name: str, band: Band) -> BandError:
    camera = f" of {band.instrument}" if band.instrument else ""
    camera += f"/{band.detector}" if band.detector else ""
    camera = camera or (f" with its pivot at {band.pivot:.1f} Angstrom" if band.pivot > 0 else "")
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
