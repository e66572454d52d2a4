"""The cards that products bear, of the cube and of each of its bands; and what they must say."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from hstcube import __version__
from hstcube.core.bands import cameras
from hstcube.core.cube import SCHEMA
from hstcube.core.rules import inverse_variance_unit
from hstcube.core.state import attribute
from hstcube.errors import BandError, FileError
from hstcube.fits.units import history_cards

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping, Sequence
    from pathlib import Path

    import xarray as xr

    Header = MutableMapping[str, Any]  # of astropy's, or a dict

    Card = tuple[str, Any, str]  # key, value (None: no card), comment

__all__ = [
    "AGAIN",
    "band_cards",
    "common_cards",
    "require_cards",
    "require_name",
    "require_numbers",
    "state_in",
]

AGAIN = "write the cube again[[: hstcube run FOLDER| with to_fits]]"
_NEEDED = ("CUBEID", "NBANDS", "OBJECT", "FILETYPE", "FILTER")
_NEEDED_OF_SCIENCE = ("BUNIT", "PHOTPLAM")
_WHOLE = ("HSTCUBE", "NBANDS")
_NUMBERS = (
    *_WHOLE,
    *("PSFFWHM", "PSFEEERR", "PSFNEG", "PSFENER", "PSFENERR", "PSFERR", "PSFSTARS"),
    *("SKY", "SKYERR", "ABZP", "PHOTPLAM", "EXTINCT", "NSCALE"),
    *("TEXPTIME", "ELECTRON"),
    *("PIXSCALE", "LAGX", "LAGY"),
)

_JWST = ("NIRCAM", "NIRISS", "MIRI")


def common_cards(cube: xr.Dataset, bands: int, of_set: str) -> list[Card]:
    """Return what all files of a cube say; `of_set` is its id."""
    history, warnings = attribute(cube, "history"), attribute(cube, "warnings")
    return [
        (
            "HSTCUBE",
            _schema_of(cube),
            "schema version of hstcube products",
        ),
        ("CUBEID", of_set, "the same in all files of one cube"),
        ("NBANDS", bands, "number of bands of the cube"),
        ("RECIPE", attribute(cube, "recipe") or None, "hstcube recipe"),
        ("SURVEY", attribute(cube, "survey") or None, "survey whose images these are"),
        (
            "POISSON",
            attribute(cube, "poisson") or None,
            "noise of the sources, added to the weights",
        ),
        ("TITLE", attribute(cube, "title") or None, ""),
        ("ORIGIN", f"hstcube {__version__}", "software"),
        *history_cards(history, warnings),
    ]


def _schema_of(cube: xr.Dataset) -> int:
    told = cube.attrs.get("hstcube_schema", SCHEMA)
    return int(told) if isinstance(told, int | np.integer) else SCHEMA


_FILETYPES = {
    "sci": "science image",
    "wht": "inverse variance, 0 = no data",
    "var": "variance",
    "mask": "1 = pixel to use",
}


def band_cards(cube: xr.Dataset, i: int, kind: str) -> list[Card]:
    """Return what an image of a band says of itself, and of the band."""
    name = str(cube.variables["band"].values[i])
    instrument, detector = _camera(cube, i)
    units = cube.variables["sci"].attrs["units"]
    unit = {"sci": units, "wht": inverse_variance_unit(units), "var": f"({units})2"}.get(kind)
    return [
        ("FILETYPE", kind.upper(), _FILETYPES[kind]),
        ("OBJECT", attribute(cube, "field"), "field"),
        ("TELESCOP", "JWST" if instrument in _JWST else "HST", "telescope"),
        ("INSTRUME", instrument or None, "instrument that has the filter"),
        ("DETECTOR", detector or None, "detector"),
        ("FILTER", name.upper(), "filter"),
        ("BUNIT", unit, "unit of a pixel"),
        ("PHOTPLAM", _number(cube, "pivot", i), "[Angstrom] pivot wavelength"),
        ("ABZP", _number(cube, "zeropoint", i), "AB magnitude of one unit of sci"),
        ("TEXPTIME", _number(cube, "exposure", i), "[s] exposure time"),
        ("ELECTRON", _number(cube, "electrons", i), "[electron/s] that one unit of sci is"),
        ("PHOTONS", _text(cube, "photons", i), "noise of photons that the weights hold"),
        ("PSFFWHM", _number(cube, "psf_fwhm", i), "[arcsec] FWHM of the PSF"),
        (
            "PSFEEERR",
            _number(cube, "psf_ee_error", i),
            "error of its encircled energy, after matching",
        ),
        (
            "PSFERR",
            _number(cube, "psf_error", i),
            "error of the PSF as it was measured, of the same",
        ),
        ("PSFSTARS", _number(cube, "psf_stars", i), "stars that it was measured from"),
        ("PSFNEG", _number(cube, "psf_negative", i), "negative part of the kernel that matched it"),
        ("PSFENER", _number(cube, "psf_energy", i), "share of a star's light in the PSF's frame"),
        ("PSFENERR", _number(cube, "psf_energy_error", i), "its error"),
        (
            "MATCHED",
            str(cube.variables["matched_to"].values[i]) or None,
            "what the PSF was matched to",
        ),
        ("SKY", _number(cube, "sky", i), "sky level subtracted, units of sci"),
        ("SKYERR", _number(cube, "sky_error", i), "its standard error"),
        ("EXTINCT", _number(cube, "extinction", i), "[mag] extinction that sci is corrected for"),
        ("NSCALE", _number(cube, "noise_scale", i), "sigma of one pixel times sqrt(wht)"),
    ]


def _number(cube: xr.Dataset, coordinate: str, i: int) -> float | None:
    """Return what a band remembers; None, which is no card, where it is not known."""
    known = cube.variables.get(coordinate)
    value = math.nan if known is None else float(known.values[i])
    return None if math.isnan(value) else value


def _text(cube: xr.Dataset, coordinate: str, i: int) -> str | None:
    known = cube.variables.get(coordinate)
    return None if known is None else str(known.values[i]) or None


def _camera(cube: xr.Dataset, i: int) -> tuple[str, str]:
    """Return instrument and detector of a band; '' where they are not known.

    Cubes of 0.1.0 do not say them: the camera's whose filter is nearest to the pivot wavelength.
    """
    if "instrument" in cube.coords and "detector" in cube.coords:
        both = (cube.variables[name].values[i] for name in ("instrument", "detector"))
        return str(next(both)), str(next(both))
    name, pivot = str(cube.variables["band"].values[i]), float(cube.pivot.values[i])
    near = min(cameras(name), key=lambda camera: abs(camera.pivot - pivot), default=None)
    return (near.instrument, near.detector) if near else ("", "")


# what a band remembers, by the card that says it
_OF_BANDS = {
    "psf_fwhm": "PSFFWHM",
    "sky": "SKY",
    "sky_error": "SKYERR",
    "zeropoint": "ABZP",
    "pivot": "PHOTPLAM",
    "exposure": "TEXPTIME",
}
_WORDS = {"matched_to": "MATCHED", "instrument": "INSTRUME", "detector": "DETECTOR"}


def state_in(headers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what the headers of products say of their bands, as `build` takes it."""
    numbers: dict[str, Any] = {
        name: [float(header.get(card, math.nan)) for header in headers]
        for name, card in _OF_BANDS.items()
    }
    words = {
        name: [str(header.get(card, "")) for header in headers] for name, card in _WORDS.items()
    }
    return numbers | words


# -- what is read


def require_name(header: Header, path: Path, kind: str, band: str) -> None:
    """Refuse a file whose cards say another band, field or kind of image than its name."""
    if str(header["FILTER"]).strip().lower() != band.lower():
        reason = f"the header says FILTER = {header['FILTER']!r}, the file name {band}"
        raise BandError("HC-B03", reason, "give the file its own name again")
    start, _, end = path.name.removesuffix(".fits").rpartition(f"_{band}")
    if str(header["OBJECT"]) != start:
        reason = f"the header says OBJECT = {header['OBJECT']!r}, the file name {start}"
        raise BandError("HC-B03", reason, "give the file its own name again; or write it again")
    meant = {"sci": ("SCI",), "mask": ("MASK",), "wht": ("WHT", "VAR")}[kind]
    if end:
        meant = (end[1:].upper(),)
    if header["FILETYPE"] not in meant:
        reason = f"is a {header['FILETYPE']} image by its FILETYPE, not {' or '.join(meant)}"
        raise FileError("HC-D14", reason, "give the file its own name again")


def require_cards(header: Header) -> None:
    """Refuse a product that has lost what it must say, or is of a later version."""
    science = header.get("FILETYPE") == "SCI"
    for key in (*_NEEDED, *(_NEEDED_OF_SCIENCE if science else ())):
        if key not in header:
            raise FileError("HC-F04", f"has lost the card {key}", AGAIN)
    require_numbers(header)
    if not 1 <= header["HSTCUBE"] <= SCHEMA:
        reason = f"is of version {header['HSTCUBE']} of the schema; {SCHEMA} is the newest known"
        raise FileError("HC-F04", reason, "get a newer hstcube, or write the cube again")


def require_numbers(header: Header) -> None:
    """Refuse a card that holds no number where it must."""
    for key in _NUMBERS:
        value = header.get(key, 1)
        kinds = int if key in _WHOLE else int | float
        if isinstance(value, bool) or not isinstance(value, kinds) or not math.isfinite(value):
            raise FileError("HC-F04", f"has a card {key} of {value!r}, not a number", AGAIN)
