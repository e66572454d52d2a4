"""Throughput curves of filters: the package's own, those of sedpy, and files of two columns."""

from __future__ import annotations

import warnings
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hstcube import shipped
from hstcube.core.bands import Band, band_name, cameras
from hstcube.errors import BandError, FileError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["Curve", "curve_of", "pivot_of", "two_columns"]

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
    ways = f"curves={{{name!r}: 'FILE'}}, or --curve {name}=FILE"
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
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of an empty file: it is told below
            values = np.loadtxt(path, usecols=(0, 1), ndmin=2)
    except (OSError, ValueError, IndexError) as error:
        reason = f"cannot be read as two columns of numbers: {error}"
        fix = "give wavelength [Angstrom] and throughput, one pair a line"
        raise FileError("HC-E05", reason, fix, file=str(path)) from error
    wavelength, throughput = values.T
    if len(values) < 2 or not _is_curve(wavelength, throughput):  # noqa: PLR2004
        reason = "is no throughput curve: wavelengths must increase, and some throughput be above 0"
        fix = "sort it by wavelength [Angstrom], and remove what is doubled"
        raise FileError("HC-E05", reason, fix, file=str(path))
    return wavelength, throughput


def _is_curve(wavelength: NDArray[np.float64], throughput: NDArray[np.float64]) -> bool:
    finite = np.isfinite(wavelength).all() and np.isfinite(throughput).all()
    return bool(finite and (np.diff(wavelength) > 0).all() and throughput.max() > 0)


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
