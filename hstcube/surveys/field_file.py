"""TOML files that people write: where a field's images are; and what any such file may hold."""

from __future__ import annotations

import difflib
import re
import tomllib
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from hstcube.core.bands import names_apart
from hstcube.errors import BandError, FileError, RecipeError
from hstcube.fits.local import read_text, require_local, split_extension
from hstcube.fits.opening import located
from hstcube.inputs.choices import require_choice
from hstcube.inputs.names import checked_name
from hstcube.surveys.names import BandFiles, FieldFiles

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from hstcube.fits.local import Extension

__all__ = [
    "COUNT",
    "FITS_NAMES",
    "IDS",
    "NUMBER",
    "NUMBER_OR_TEXT",
    "PHOTON_WORDS",
    "POSITIVE",
    "POSITIVE_OR_TEXT",
    "TABLE",
    "TEXT",
    "TEXTS",
    "TEXT_OR_COUNT",
    "YES_OR_NO",
    "Kind",
    "check_keys",
    "photon_setting",
    "read_field_file",
    "read_toml",
]

PHOTON_WORDS = ("auto", "none")  # what is to be done about photon noise; else times
FITS_NAMES = (".fits", ".fits.gz", ".fits.fz", ".fit", ".fit.gz")
_LARGEST = 2**20  # bytes of a TOML file that people write
_MOST = 1e300  # what no number of such a file reaches; whole numbers may have any number of digits
_DEEPEST = 100  # brackets of a TOML file within each other


def read_field_file(path: str | Path) -> FieldFiles:
    """Read a TOML file that says where a field's images are.

    Keys: ``name``; ``psf`` (a file for `open_psf`); ``poisson`` (as in `homogenize`); for each
    band ``[bands.f606w]`` (``[bands.f606w-uvis]`` where another camera has the filter, too) with
    ``sci``, ``wht``, and optionally ``hdu`` and ``wht_hdu`` (their extensions, by name or number;
    ``sci = "FILE[SCI,1]"`` says the same), ``wht_kind``, ``zeropoint``, ``psf_fwhm`` [arcsec],
    ``pivot`` [Angstrom] of a filter that no table has, ``psf`` (a file for `open_psf`,
    ``"FILE[EXT]"``; of a model in the frame of the detector also ``psf_angle`` [deg] and
    ``psf_drop``), ``sky`` (a level or a file), ``exposure`` (seconds, or a map of them: a FITS
    image on the band's pixels); ``[labels]`` with ``path``, ``hdu``, ``ids``, ``largest`` (keep the
    largest piece of an object only), ``neighbours`` (as in `homogenize`). Paths are relative to the
    file.

    Raises
    ------
    RecipeError
        If the file is not TOML, or holds an unknown key or a value of the wrong kind.
    """
    path = require_local(path)
    text = read_toml(path)
    check_keys(text, _FILE_KEYS, path, "")
    bands: dict[str, BandFiles] = {}
    entries = text.get("bands", {})
    for name, (said, entry) in zip(names_apart(entries), entries.items(), strict=True):
        check_keys(entry, _BAND_KEYS, path, f"bands.{said}.")
        if name in bands:
            raise BandError(
                "HC-B02", f"the band is there twice, as {said!r} too", "keep one", str(path), name
            )
        bands[name] = _band_files(entry, path.parent)
    if not bands:
        raise RecipeError(
            "HC-B16",
            "the field file names no bands",
            "add [bands.f160w] with sci and wht",
            file=str(path),
        )
    labels = text.get("labels", {})
    check_keys(labels, _LABELS_KEYS, path, "labels.")
    return FieldFiles(
        _name(text, path),
        "",
        bands,
        labels=path.parent / labels["path"] if "path" in labels else None,
        hdu=labels.get("hdu"),
        ids=tuple(labels.get("ids", ())),
        largest=labels.get("largest", False),
        neighbours=_neighbours(labels, path),
        psf=path.parent / text["psf"] if "psf" in text else None,
        poisson=photon_setting(text["poisson"], path) if "poisson" in text else None,
    )


def _neighbours(
    labels: Mapping[str, Any], path: Path
) -> Literal["mask", "replace", "subtract"] | None:
    """Return what the table of the map says of other sources in it."""
    said: Literal["mask", "replace", "subtract"] | None = labels.get("neighbours")
    with located(path):
        if said is not None:
            require_choice("neighbours", said, ("mask", "replace", "subtract"))
    return said


def _band_files(entry: Mapping[str, Any], folder: Path) -> BandFiles:
    """Return what the table of a band says; paths are relative to the folder."""
    level, exposure = entry.get("sky"), entry.get("exposure")
    sci, hdu = _image(entry, "sci", "hdu", folder)
    wht, wht_hdu = _image(entry, "wht", "wht_hdu", folder)
    return BandFiles(
        sci=sci,
        wht=wht,
        hdu=hdu,
        wht_hdu=wht_hdu,
        wht_kind=entry.get("wht_kind", "ivar"),
        zeropoint=entry.get("zeropoint"),
        psf_fwhm=entry.get("psf_fwhm"),
        sky=folder / level if isinstance(level, str) else level,
        pivot=entry.get("pivot"),
        exposure=folder / exposure if isinstance(exposure, str) else exposure,
        psf=str(folder / entry["psf"]) if "psf" in entry else None,
        psf_angle=entry.get("psf_angle"),
        psf_drop=entry.get("psf_drop"),
    )


def _image(
    entry: Mapping[str, Any], key: str, hdu: str, folder: Path
) -> tuple[tuple[Path, ...], Extension | None]:
    """Return the file of an image, none where none is named, and its extension."""
    if key not in entry:
        return (), entry.get(hdu)
    path, extension = split_extension(folder / entry[key])
    return (path,), entry.get(hdu, extension)


def photon_setting(said: float | str, path: Path) -> float | str:
    """Return the `poisson` of a TOML file: a word, seconds, or a file by its place.

    Raises
    ------
    RecipeError
        If it is a text that is neither a word nor the name of a FITS file.
    """
    if not isinstance(said, str) or said in PHOTON_WORDS:
        return said
    if not said.lower().endswith(FITS_NAMES):
        with_near = difflib.get_close_matches(said, PHOTON_WORDS, n=1, cutoff=0.4)
        fix = f"write poisson = {(with_near or ['auto'])[0]!r}; or seconds without quotes, or a map"
        reason = f"poisson is {_short(said)}, not auto, none, seconds or a FITS file"
        raise RecipeError("HC-B17", reason, fix, str(path))
    return str(path.parent / said)


def _name(text: Mapping[str, Any], path: Path) -> str:
    try:
        return checked_name(str(text.get("name", path.stem)))
    except RecipeError as error:
        error.at(file=str(path))
        raise


def read_toml(path: str | Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises
    ------
    FileError
        If it cannot be opened, or is no regular file or no text.
    RecipeError
        If it is not TOML.
    """
    try:
        text = read_text(path, most=_LARGEST)
    except FileError as error:
        if error.code != "HC-F30":  # text in another encoding, or none: no TOML
            raise
        raise _no_toml(path, error.reason) from error
    if (deep := _nesting(text)) > _DEEPEST:
        reason = f"is not TOML that can be read: brackets nest {deep} deep"
        raise RecipeError("HC-B15", reason, "close them", str(path))
    try:
        return tomllib.loads(text)
    except ValueError as error:  # TOMLDecodeError, and that of a number of 5000 digits
        raise _no_toml(path, str(error)) from error


def _no_toml(path: str | Path, why: str) -> RecipeError:
    reason = f"is not TOML: {why[:200]}"
    return RecipeError("HC-B15", reason, "see the examples in the README", str(path))


def _nesting(text: str) -> int:
    """Return how deep brackets nest; those in texts and comments are counted too.

    tomllib goes one call deeper for each; a RecursionError that is caught may come back in whatever
    runs next.
    """
    depth = deepest = 0
    for mark in re.findall(r"[][{}]", text):
        depth = depth + 1 if mark in "[{" else max(depth - 1, 0)
        deepest = max(deepest, depth)
    return deepest


class Kind(NamedTuple):
    """What a key of a TOML file may hold."""

    name: str
    """In words, for messages."""
    allows: Callable[[Any], bool]


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_table(value: Any) -> bool:
    return isinstance(value, dict)


def _is_finite(value: Any) -> bool:
    return _is_number(value) and abs(value) < _MOST


def _is_positive(value: Any) -> bool:
    return _is_number(value) and 0 < value < _MOST


def _is_count(value: Any) -> bool:
    return _is_whole(value) and value >= 0


def _is_list_of(is_one: Callable[[Any], bool], value: Any) -> bool:
    return isinstance(value, list) and all(map(is_one, value))


def _is_share(value: Any) -> bool:
    return _is_number(value) and 0 < value <= 1


TEXT = Kind("text", _is_text)
TABLE = Kind("a table", _is_table)
NUMBER = Kind("a finite number", _is_finite)
POSITIVE = Kind("a positive number", _is_positive)
SHARE = Kind("a number above 0, up to 1", _is_share)
COUNT = Kind("a whole number, 0 or more", _is_count)
IDS = Kind("a list of whole numbers", partial(_is_list_of, _is_whole))
YES_OR_NO = Kind("true or false", lambda value: isinstance(value, bool))
TEXTS = Kind("a list of texts", partial(_is_list_of, _is_text))
NUMBER_OR_TEXT = Kind("a number or text", lambda value: _is_text(value) or _is_finite(value))
POSITIVE_OR_TEXT = Kind(
    "a positive number or text", lambda value: _is_text(value) or _is_positive(value)
)
TEXT_OR_COUNT = Kind("text or a whole number", lambda value: _is_text(value) or _is_count(value))

_FILE_KEYS = {
    "name": TEXT,
    "bands": TABLE,
    "labels": TABLE,
    "psf": TEXT,
    "poisson": POSITIVE_OR_TEXT,
}
_LABELS_KEYS = {
    "path": TEXT,
    "hdu": TEXT_OR_COUNT,
    "ids": IDS,
    "largest": YES_OR_NO,
    "neighbours": TEXT,
}
_BAND_KEYS = {
    "sci": TEXT,
    "wht": TEXT,
    "hdu": TEXT_OR_COUNT,
    "wht_hdu": TEXT_OR_COUNT,
    "wht_kind": TEXT,
    "zeropoint": NUMBER,
    "psf_fwhm": POSITIVE,
    "pivot": POSITIVE,
    "sky": NUMBER_OR_TEXT,
    "exposure": POSITIVE_OR_TEXT,
    "psf": TEXT,
    "psf_angle": NUMBER,
    "psf_drop": SHARE,
}


def check_keys(table: Any, known: Mapping[str, Kind], path: Path, prefix: str) -> None:
    """Refuse keys that are not known, naming the nearest one that is, and values of the wrong kind.

    Raises
    ------
    RecipeError
        Naming the key.
    """
    if not isinstance(table, dict):
        raise RecipeError(
            "HC-B15", f"{prefix.rstrip('.')} must be a table", "see the README", file=str(path)
        )
    for key, value in table.items():
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1, cutoff=0.4)
            hint = f"did you mean {close[0]!r}?" if close else f"the keys are {', '.join(known)}"
            raise RecipeError("HC-B15", f"unknown key {prefix}{key[:60]}", hint, file=str(path))
        wanted = known[key]
        if not wanted.allows(value):
            fix = "write numbers without quotes, with a point"
            raise RecipeError(
                "HC-B17", f"{prefix}{key} is {_short(value)}, not {wanted.name}", fix, str(path)
            )


def _short(value: Any) -> str:
    """Return a value for a message; Python refuses to write numbers of 5000 digits."""
    try:
        text = repr(value)
    except ValueError:
        return "a number of thousands of digits"
    return text if len(text) <= 60 else f"{text[:57]}..."  # noqa: PLR2004  a line
