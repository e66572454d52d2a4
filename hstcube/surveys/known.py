"""The surveys that are known: how each is recognised, its zero points and the widths of its PSFs.

A survey is its rows in the tables of this folder: recognition.csv, surveys.csv, psf_surveys.csv and
noise.csv.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from hstcube import shipped
from hstcube.core.state import attribute, note, warn
from hstcube.errors import codes
from hstcube.inputs.cards import card_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import xarray as xr

    from hstcube.surveys.names import FieldFiles

__all__ = [
    "SURVEYS",
    "Recognised",
    "Survey",
    "facts",
    "known_survey",
    "recognised",
    "survey_of",
    "told_oddities",
    "traits",
]

_FOLDER = "hstcube.surveys"
_ONE_SCALE = 0.01  # relative: scales closer than this are one
# of each band
_TOLD = ("instrument", "detector", "pivot", "zeropoint", "exposure", "psf_fwhm")
_TO_FWHM = 2.3548200450309493  # 2 sqrt(2 ln 2)

SURVEYS = tuple(row["survey"] for row in shipped.table(_FOLDER, "recognition.csv"))


class Recognised(NamedTuple):
    """The survey that a header names, and how much of it holds for the image."""

    survey: str
    """Its name; '' for none that is known."""
    own: bool
    """The image is the survey's own, not made in its manner: its PSFs and noise hold, too."""


class Survey(NamedTuple):
    """What is known of a survey's images at one pixel scale."""

    name: str
    psf_fwhm: dict[str, float]
    """FWHM of the PSF [arcsec] of each band; empty at a scale where none were measured."""
    zeropoint: dict[str, float]
    """AB magnitude of one electron per second, of each band."""


def recognised(header: Mapping[str, Any]) -> Recognised:
    """Return the survey that an image's header names."""
    for row in shipped.table(_FOLDER, "recognition.csv"):
        if said := card_text(header, row["card"]):
            return Recognised(row["survey"], row["own"] in said)
    return Recognised("", own=False)


def known_survey(name: str, scale: float) -> Survey:
    """Return what the table says of a survey.

    Parameters
    ----------
    name : str
        One of `SURVEYS`.
    scale : float
        Pixel scale, arcsec; widths are given for the scale they were measured on.
    """
    widths: dict[str, float] = {}
    zeropoints: dict[str, float] = {}
    for row in shipped.table(_FOLDER, "surveys.csv"):
        if row["survey"] != name:
            continue
        zeropoints[row["band"]] = float(row["zeropoint"])
        if abs(float(row["scale"]) / scale - 1) < _ONE_SCALE:
            widths[row["band"]] = float(row["sigma"]) * _TO_FWHM * float(row["scale"])
    return Survey(name, widths, zeropoints)


def survey_of(header: Mapping[str, Any], scale: float) -> Survey | None:
    """Return the survey that an image's header names, or None; see `known_survey`."""
    name = recognised(header).survey
    return known_survey(name, scale) if name else None


def traits(survey: str) -> frozenset[str]:
    """Return the codes of warnings that hold for every field of a survey: nobody can act on them.

    Parameters
    ----------
    survey : str
        One of `SURVEYS`; '' has none.
    """
    for row in shipped.table(_FOLDER, "recognition.csv"):
        if row["survey"] == survey:
            return frozenset(row["traits"].split())
    return frozenset()


def told_oddities(cube: xr.Dataset, oddities: Iterable[tuple[str, str]]) -> xr.Dataset:
    """Return the cube that tells oddities: as notes what its survey is known for, else as warnings.

    Parameters
    ----------
    cube : Dataset
    oddities : iterable of (code, text)
    """
    usual = traits(attribute(cube, "survey"))
    for code, text in oddities:
        harmless = code in usual or codes()[code].kind == "N"
        cube = (note if harmless else warn)(cube, code, text)
    return cube


def facts(files: FieldFiles, cube: xr.Dataset) -> list[dict[str, Any]]:
    """Return what the images of a field were found to be, band by band; None is not known.

    Parameters
    ----------
    files : FieldFiles
    cube : Dataset
        Made of them.
    """
    names = cube.band.values.tolist()
    columns = {key: cube.variables[key].values.tolist() for key in _TOLD}
    found = []
    for i, name in enumerate(names):
        told: dict[str, Any] = {"band": name, "unit": cube.sci.attrs["units"]}
        for key, values in columns.items():
            known = isinstance(values[i], str) or math.isfinite(values[i])
            told[key] = values[i] if known else None
        kind = files.bands[name].wht_kind or "ivar or exptime, by the pixels"
        found.append(told | {"weights": kind})
    return found
