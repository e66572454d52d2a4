"""What a survey's files are called, and what is known of its images: zero points and PSF widths."""

from __future__ import annotations

import dataclasses
import math
import re
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hstcube import shipped
from hstcube.core.bands import band_name, digits, pivot
from hstcube.errors import BandError, FileError, RecipeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ["BandFiles", "FieldFiles", "find_field", "list_fields", "read_field_file", "survey_of"]

IMAGES = "{field}_{scale}_{band}_{kind}.fits"
LABELS = "segment_maps/udf_mosaic_{field}_HST_SEGMAP.fits"
SKY = ("NEW_SKY/sky_{field}_{digits}.txt", "NEW_SKY/sky_{field}_{band}.txt")
PSF = "psf_{scale}.fits"
MIXED = "mixed"  # in place of the label of a pixel scale: each band at the finest one that there is
SKY_SCALE = "60mas"  # a level belongs to a pixel scale; the original measured it at this one

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # devices of Windows
_PARTS = {
    "field": r"(?P<field>.+?)",
    "scale": r"(?P<scale>[0-9.]+mas)",
    "band": r"(?P<band>[fF]?\d{3,4}[a-zA-Z]{0,2})",
    "digits": r"(?P<band>\d{3,4})",
    "kind": r"(?P<kind>sci|wht)",
}
_PACKED = r"(?:\.gz|\.fz)?"
_DEEPEST = 100  # brackets of a TOML file within each other


@dataclass(frozen=True)
class BandFiles:
    """Where one band's images are, and what their headers do not say. Two files of a kind are an error later."""

    sci: tuple[Path, ...] = ()
    wht: tuple[Path, ...] = ()
    wht_kind: str = "ivar"
    zeropoint: float | None = None
    psf_fwhm: float | None = None
    sky: float | Path | None = None


@dataclass(frozen=True)
class FieldFiles:
    """All that belongs to one field at one pixel scale; or at several, which are the `parts` then, the finest first."""

    field: str
    scale: str
    bands: dict[str, BandFiles] = dataclasses.field(default_factory=dict)
    labels: Path | None = None
    hdu: str | None = None
    ids: tuple[int, ...] = ()
    psf: Path | None = None
    parts: tuple[FieldFiles, ...] = ()

    def one(self, band: str, kind: str) -> Path:
        """Return the file of one band, `kind` being "sci" or "wht".

        Raises
        ------
        FileError
            If there is none, or more than one.
        """
        files = getattr(self.bands.get(band, BandFiles()), kind)
        if len(files) > 1:
            raise FileError(
                "HC-B02",
                f"two files for one band: {', '.join(map(str, files))}",
                "move one of them away, or name the right one in a field file",
                str(files[0]),
                band,
            )
        if not files:
            other = self.bands.get(band, BandFiles()).sci or self.bands.get(band, BandFiles()).wht
            beside = (
                f" beside {other[0].name}"
                if other
                else f"; there are {', '.join(self.bands) or 'none'}"
            )
            raise FileError(
                "HC-F01",
                f"field {self.field}: no {kind} image{beside}",
                "put the file in place, or choose the bands with bands=",
                band=band,
            )
        return Path(files[0])


def list_fields(
    folder: str | Path,
    *,
    scale: str | None = None,
    images: str | None = None,
    labels: str | None = None,
    sky: str | None = None,
) -> list[FieldFiles]:
    """List the fields of a folder by their file names; nothing is opened.

    Parameters
    ----------
    folder : path
        Images are looked for in it and in its ``new_stamps``; nowhere below.
    scale : str, optional
        Only this label of the file names, e.g. ``"60mas"``; or ``"mixed"``: each band at the finest
        scale there is.
    images, labels, sky : str, optional
        Other places: patterns with ``{field}``, ``{scale}``, ``{band}`` (or ``{digits}``) and, for
        images, ``{kind}`` (sci or wht); relative to the working folder. A folder will do where the
        names are the usual ones.

    Returns
    -------
    list of FieldFiles
        By field, then scale.

    Raises
    ------
    FileError
        If the folder does not exist.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileError("HC-F01", "there is no such folder", "check the path", file=str(folder))
    found: dict[tuple[str, str], dict[str, dict[str, list[Path]]]] = {}
    for path, parts in _scan(folder, images):
        if scale in (None, MIXED, parts["scale"]):
            kinds = found.setdefault((parts["field"], parts["scale"]), {}).setdefault(
                band_name(parts["band"]), {}
            )
            kinds.setdefault(parts["kind"], []).append(path)
    fields = [
        _field_files(folder, name, label, bands, labels, sky)
        for (name, label), bands in sorted(
            found.items(), key=lambda item: (_natural(item[0][0]), item[0][1])
        )
    ]
    return _mixed(fields) if scale == MIXED else fields


def _mixed(fields: list[FieldFiles]) -> list[FieldFiles]:
    """Join what belongs to one field at several scales."""
    groups: dict[str, list[FieldFiles]] = {}
    for files in fields:
        groups.setdefault(files.field, []).append(files)
    return [
        _joined(sorted(parts, key=lambda part: scale_of_label(part.scale)))
        for parts in groups.values()
    ]


def _joined(parts: list[FieldFiles]) -> FieldFiles:
    """Take every band from the finest part that has it, its sky level from any."""
    bands: dict[str, BandFiles] = {}
    for part in parts:
        for name, files in part.bands.items():
            known = bands.get(name, files)
            bands[name] = replace(known, sky=files.sky) if known.sky is None else known
    ordered = dict(sorted(bands.items(), key=lambda item: pivot(item[0])))
    labels = next((part.labels for part in parts if part.labels), None)
    return FieldFiles(parts[0].field, MIXED, ordered, labels, parts=tuple(parts))


def scale_of_label(label: str) -> float:
    """Return the pixel scale [arcsec] that a label such as "60mas" says; NaN for any other."""
    try:
        return float(label.removesuffix("mas")) / 1000
    except ValueError:
        return math.nan


def find_field(
    folder: str | Path, name: str, *, scale: str = "60mas", **places: str | None
) -> FieldFiles:
    """Return the files of one field; see `list_fields`.

    Raises
    ------
    FileError
        If the folder has no images of that field at that scale.
    """
    checked_name(name)
    found = list_fields(folder, **places)
    for files in [*found, *_mixed(found)]:
        if (files.field, files.scale) == (name, scale):
            return files
    scales = [files.scale for files in found if files.field == name]
    known = sorted({files.field for files in found}, key=_natural)
    if scales:
        raise FileError(
            "HC-F01",
            f"field {name} has no images at {scale}, only at {', '.join(scales)}",
            f"choose scale={scales[0]!r}",
            file=str(folder),
        )
    listed = ", ".join(known[:20]) or "none"
    raise FileError(
        "HC-F01",
        f"no images of field {name!r} (looked for {name}_{scale}_*_sci.fits); there are fields {listed}",
        f"list them: hstcube ls {folder}",
        file=str(folder),
    )


def checked_name(name: str) -> str:
    """Return the name of a field or target if it can be part of a file's name.

    Raises
    ------
    RecipeError
        If it holds anything but letters, digits and ._+- or is longer than 64 characters.
    """
    if not _NAME.fullmatch(name) or _RESERVED.fullmatch(name):
        raise RecipeError(
            "HC-B12",
            f"{name[:70]!r} cannot be a field's name",
            "use letters, digits and ._+- only, at most 64",
        )
    return name


class Survey(NamedTuple):
    """What is known of a survey's images at one pixel scale: per band the PSF's FWHM [arcsec] and the zero point."""

    name: str
    psf_fwhm: dict[str, float]
    zeropoint: dict[str, float]


def survey_of(header: Mapping[str, Any], scale: float) -> Survey | None:
    """Return the survey that an image's header names, or None.

    Parameters
    ----------
    header : FITS header
    scale : float
        Pixel scale, arcsec; widths are given for the scale they were measured on.
    """
    if "XDFVER" not in header:
        return None
    rows = [
        row for row in shipped.table("hstcube.surveys", "surveys.csv") if row["survey"] == "xdf"
    ]
    here = [row for row in rows if abs(float(row["scale"]) / scale - 1) < 0.01]  # noqa: PLR2004
    to_fwhm = 2.3548200450309493  # 2 sqrt(2 ln 2)
    return Survey(
        "xdf",
        {row["band"]: float(row["sigma"]) * to_fwhm * float(row["scale"]) for row in here},
        {row["band"]: float(row["zeropoint"]) for row in rows},
    )


def read_field_file(path: str | Path) -> FieldFiles:
    """Read a TOML file that says where a field's images are.

    Keys: ``name``; ``psf`` (a file for `open_psf`); for each band ``[bands.f606w]`` with ``sci``,
    ``wht``, and optionally ``wht_kind``, ``zeropoint``, ``psf_fwhm`` [arcsec], ``sky`` (a level or
    a file); ``[labels]`` with ``path``, ``hdu``, ``ids``. Paths are relative to the file.

    Raises
    ------
    RecipeError
        If the file is not TOML, or holds an unknown key or a value of the wrong kind.
    """
    path = Path(path)
    text = read_toml(path)
    check_keys(text, {"name": TEXT, "bands": TABLE, "labels": TABLE, "psf": TEXT}, path, "")
    bands: dict[str, BandFiles] = {}
    for said, entry in text.get("bands", {}).items():
        check_keys(entry, _BAND_KEYS, path, f"bands.{said}.")
        name, level = band_name(said), entry.get("sky")
        if name in bands:
            raise BandError(
                "HC-B02", f"the band is there twice, as {said!r} too", "keep one", str(path), name
            )
        sci, wht = (
            (path.parent / entry[kind],) if kind in entry else () for kind in ("sci", "wht")
        )
        sky = path.parent / level if isinstance(level, str) else level
        kind = entry.get("wht_kind", "ivar")
        bands[name] = BandFiles(sci, wht, kind, entry.get("zeropoint"), entry.get("psf_fwhm"), sky)
    if not bands:
        raise RecipeError(
            "HC-B16",
            "the field file names no bands",
            "add [bands.f160w] with sci= and wht=",
            file=str(path),
        )
    labels = text.get("labels", {})
    check_keys(labels, {"path": TEXT, "hdu": TEXT_OR_COUNT, "ids": IDS}, path, "labels.")
    place = path.parent / labels["path"] if "path" in labels else None
    try:
        name = checked_name(str(text.get("name", path.stem)))
    except RecipeError as error:
        error.at(file=str(path))
        raise
    psf = path.parent / text["psf"] if "psf" in text else None
    return FieldFiles(name, "", bands, place, labels.get("hdu"), tuple(labels.get("ids", ())), psf)


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises
    ------
    FileError
        If it cannot be opened.
    RecipeError
        If it is not TOML.
    """
    try:
        text = path.read_text(encoding="utf-8")
        if _nesting(text) > _DEEPEST:
            raise RecipeError(
                "HC-B15",
                f"is not TOML that can be read: brackets nest {_nesting(text)} deep",
                "close them",
                file=str(path),
            )
        return tomllib.loads(text)
    except OSError as error:
        raise FileError(
            "HC-F01", f"cannot be read: {error.strerror}", "check the path", file=str(path)
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(
            "HC-B15", f"is not TOML: {error}", "see the examples in the README", file=str(path)
        ) from error


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
    allows: Callable[[Any], bool]


TEXT = Kind("text", lambda value: isinstance(value, str))
TABLE = Kind("a table", lambda value: isinstance(value, dict))
NUMBER = Kind("a finite number", lambda value: _is_number(value) and math.isfinite(value))
POSITIVE = Kind("a positive number", lambda value: _is_number(value) and 0 < value < math.inf)
COUNT = Kind("a whole number, 0 or more", lambda value: _is_whole(value) and value >= 0)
IDS = Kind(
    "a list of whole numbers", lambda value: isinstance(value, list) and all(map(_is_whole, value))
)
TEXTS = Kind(
    "a list of texts", lambda value: isinstance(value, list) and all(map(TEXT.allows, value))
)
NUMBER_OR_TEXT = Kind("a number or text", lambda value: TEXT.allows(value) or NUMBER.allows(value))
TEXT_OR_COUNT = Kind(
    "text or a whole number", lambda value: TEXT.allows(value) or COUNT.allows(value)
)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return _is_whole(value) or isinstance(value, float)


_BAND_KEYS = {
    "sci": TEXT, "wht": TEXT, "wht_kind": TEXT, "zeropoint": NUMBER, "psf_fwhm": POSITIVE, "sky": NUMBER_OR_TEXT,
}  # fmt: skip


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
            import difflib

            close = difflib.get_close_matches(key, known, n=1, cutoff=0.4)
            hint = f"did you mean {close[0]!r}?" if close else f"the keys are {', '.join(known)}"
            raise RecipeError("HC-B15", f"unknown key {prefix}{key}", hint, file=str(path))
        wanted = known[key]
        if not wanted.allows(value):
            fix = "write numbers without quotes, with a point"
            raise RecipeError(
                "HC-B17", f"{prefix}{key} is {value!r}, not {wanted.name}", fix, file=str(path)
            )


def _scan(folder: Path, images: str | None) -> Iterable[tuple[Path, dict[str, str]]]:
    if images is None:
        places = [(place, IMAGES) for place in (folder, folder / "new_stamps") if place.is_dir()]
    elif Path(images).is_dir():
        places = [(Path(images), IMAGES)]
    else:
        places = [(Path(images).parent, _with_kind(Path(images).name))]
    for place, pattern in places:
        expression = _expression(pattern)
        for path in sorted(place.iterdir()) if place.is_dir() else ():
            if match := expression.fullmatch(path.name):
                yield path, {"scale": "", **match.groupdict()}


def _with_kind(pattern: str) -> str:
    """Return a pattern of science images as one of both kinds: the wht file has 'wht' where the other has 'sci'."""
    told = "{kind}" in pattern or "sci" in pattern
    if not (told and "{field}" in pattern and ("{band}" in pattern or "{digits}" in pattern)):
        raise RecipeError(
            "HC-B18",
            f"the pattern {pattern!r} does not tell field, band, and sci from wht",
            "write e.g. '{field}_{band}_{kind}.fits'",
        )
    if "{kind}" in pattern:
        return pattern
    return "{kind}".join(pattern.rsplit("sci", 1))


def _expression(pattern: str) -> re.Pattern[str]:
    stem = re.sub(r"(\.gz|\.fz)$", "", pattern)
    pieces = re.split(r"\{(\w+)\}", stem)
    if unknown := [name for name in pieces[1::2] if name not in _PARTS]:
        raise RecipeError(
            "HC-B18", f"the pattern {pattern!r} holds {{{unknown[0]}}}", f"use {', '.join(_PARTS)}"
        )
    seen: set[str] = set()
    text = ""
    for i, piece in enumerate(pieces):
        if i % 2 == 0:
            text += re.escape(piece)
        else:
            text += f"(?P={piece})" if piece in seen else _PARTS[piece]
            seen.add(piece)
    return re.compile(text + _PACKED)


def _field_files(
    folder: Path,
    name: str,
    scale: str,
    bands: dict[str, dict[str, list[Path]]],
    labels: str | None,
    sky: str | None,
) -> FieldFiles:
    found = {
        band: BandFiles(
            tuple(kinds.get("sci", ())),
            tuple(kinds.get("wht", ())),
            sky=_sky_file(folder, name, scale, band, sky),
        )
        for band, kinds in sorted(bands.items(), key=lambda item: pivot(item[0]))
    }
    files = FieldFiles(name, scale, found, psf=_first(folder / _filled(Path(PSF), name, scale)))
    if labels is not None:
        inside = Path(labels).is_dir()
        place = _filled(Path(Path(LABELS).name if inside else labels), name, scale)
        return replace(files, labels=Path(labels) / place if inside else place)
    usual = _first(folder / _filled(Path(LABELS), name, scale))
    return replace(files, labels=usual)


def _sky_file(folder: Path, name: str, scale: str, band: str, sky: str | None) -> Path | None:
    if sky is None:
        places = [
            folder / _filled(Path(pattern), name, scale, band)
            for pattern in SKY
            if scale == SKY_SCALE
        ]
    elif Path(sky).is_dir():
        places = [
            Path(sky) / _filled(Path(Path(pattern).name), name, scale, band) for pattern in SKY
        ]
    else:
        return _filled(Path(sky), name, scale, band)
    return next((path for place in places if (path := _first(place))), None)


def _filled(pattern: Path, name: str, scale: str, band: str = "") -> Path:
    text = str(pattern)
    for key, value in (("field", name), ("scale", scale), ("band", band), ("digits", digits(band))):
        text = text.replace(f"{{{key}}}", value)
    return Path(text)


def _first(path: Path) -> Path | None:
    return next(
        (
            p
            for p in (path, *(path.with_name(path.name + end) for end in (".gz", ".fz")))
            if p.exists()
        ),
        None,
    )


def _natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """Sort 3 before 15."""
    return tuple(
        (0, int(part), "") if part.isdigit() else (1, 0, part)
        for part in re.split(r"(\d+)", text)
        if part
    )
