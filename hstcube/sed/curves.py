"""Throughput curves of filters: those that come with the package, those of sedpy, and files of two columns."""

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
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["Curve", "curve_of", "pivot_of", "two_columns"]

Curves = dict[str, tuple["NDArray[np.float64]", "NDArray[np.float64]"]]


class Curve(NamedTuple):
    """The throughput of a band: ``wavelength`` [Angstrom], increasing, and photons that are counted of those that come.

    ``file`` is what a file of it is called.
    """

    band: Band
    file: str
    wavelength: NDArray[np.float64]
    throughput: NDArray[np.float64]


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
    given = {band_name(band): path for band, path in (files or {}).items()}
    known = cameras(name)
    band = (
        min(known, key=lambda one: abs(one.pivot - pivot))
        if known
        else Band(name, "", "", pivot, "")
    )
    if name in given:
        wavelength, throughput = two_columns(given[name])
        if not known:
            band = band._replace(pivot=pivot_of(wavelength, throughput))
        return Curve(band, band.sedpy or name, wavelength, throughput)
    if (points := _ours().get(band.sedpy) or _from_sedpy(band.sedpy)) is None:
        camera = f" of {band.instrument}/{band.detector}" if known else ""
        fix = f"give a file of wavelength and throughput: curves={{{name!r}: 'FILE'}}, or --curve {name}=FILE"
        if band.sedpy:
            fix = f"pip install 'hstcube[sed]', or {fix}"
        raise BandError(
            "HC-E02", f"there is no throughput curve for {name}{camera}", fix, band=name
        )
    return Curve(band, band.sedpy, *points)


def pivot_of(wavelength: NDArray[np.float64], throughput: NDArray[np.float64]) -> float:
    """Return the pivot wavelength of a photon throughput (Tokunaga & Vacca 2005, PASP 117, 421, eq. A16)."""
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
        raise FileError(
            "HC-E05",
            reason,
            "give wavelength [Angstrom] and throughput, one pair a line",
            file=str(path),
        ) from error
    wavelength, throughput = values.T
    if (
        len(values) < 2  # noqa: PLR2004
        or not (np.diff(wavelength) > 0).all()
        or not (np.isfinite(values).all() and throughput.max() > 0)
    ):
        reason = "is no throughput curve: wavelengths must increase, and some throughput be above 0"
        raise FileError(
            "HC-E05",
            reason,
            "sort it by wavelength [Angstrom], and remove what is doubled",
            file=str(path),
        )
    return wavelength, throughput


@cache
def _ours() -> Curves:
    """Return the curves of the package, by sedpy's names (docs/make_filters.py)."""
    points: dict[str, list[tuple[float, float]]] = {}
    for row in shipped.table("hstcube.sed", "filters.csv"):
        points.setdefault(row["filter"], []).append(
            (float(row["wavelength"]), float(row["throughput"]))
        )
    return {
        name: (values[:, 0], values[:, 1])
        for name, values in ((n, np.array(p)) for n, p in points.items())
    }


def _from_sedpy(name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    if not name or find_spec("sedpy") is None:
        return None
    from sedpy.observate import Filter

    curve = Filter(name)
    return np.asarray(curve.wavelength, float), np.asarray(curve.transmission, float)
