"""What the files of a field are called, and where they are."""

from __future__ import annotations

import dataclasses
import math
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from hstcube.core.bands import band_name, digits, pivot
from hstcube.errors import FileError, RecipeError
from hstcube.fits.local import as_path, entries, kind_of, missing
from hstcube.inputs.names import checked_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hstcube.fits.local import Extension

__all__ = [
    "IMAGES",
    "LABELS",
    "MIXED",
    "SKY_SCALE",
    "BandFiles",
    "FieldFiles",
    "ImageKind",
    "find_field",
    "list_fields",
    "scale_of_label",
]

IMAGES = "{field}_{scale}_{band}_{kind}.fits"
LABELS = "segment_maps/udf_mosaic_{field}_HST_SEGMAP.fits"
SKY = ("NEW_SKY/sky_{field}_{digits}.txt", "NEW_SKY/sky_{field}_{band}.txt")
PSF = "psf_{scale}.fits"
MIXED = "mixed"  # in place of the label of a pixel scale: each band at the finest one that there is
SKY_SCALE = "60mas"  # a level belongs to a pixel scale; the original measured it at this one

_PARTS = {
    "field": r"(?P<field>.+?)",
    "scale": r"(?P<scale>[0-9.]+mas)",
    "band": r"(?P<band>[fF]?\d{3,4}[a-zA-Z]{0,2})",
    "digits": r"(?P<band>\d{3,4})",
    "kind": r"(?P<kind>sci|wht)",
}
_PACKED = r"(?:\.gz|\.fz)?"

ImageKind = Literal["sci", "wht"]


@dataclass(frozen=True)
class BandFiles:
    """Where one band's images are, and what their headers do not say."""

    sci: tuple[Path, ...] = ()
    """More than one is an error later, when the band is opened; so with `wht`."""
    wht: tuple[Path, ...] = ()
    wht_kind: str = "ivar"
    """What the weights are: "ivar", "rms", "variance" or "exptime"."""
    zeropoint: float | None = None
    """AB magnitude of one unit of the image; None: as its header or the survey says."""
    psf_fwhm: float | None = None
    """Arcsec; None: as its header or the survey says."""
    sky: float | Path | None = None
    """A level, or the file that holds it."""
    pivot: float | None = None
    """Angstrom, of a filter that no table has."""
    exposure: float | Path | None = None
    """Seconds, or a map of them; None: as its header says."""
    hdu: Extension | None = None
    """The extension of `sci`, and `wht_hdu` that of `wht`; None: the one that is named so."""
    wht_hdu: Extension | None = None

    def extension(self, kind: ImageKind) -> Extension | None:
        """Return the extension of an image; None: the one that is named so."""
        return self.hdu if kind == "sci" else self.wht_hdu


@dataclass(frozen=True)
class FieldFiles:
    """All that belongs to one field at one pixel scale; or at several, which are its `parts`."""

    field: str
    scale: str
    """A label of file names, such as "60mas"; "mixed" for several, '' where names say none."""
    bands: dict[str, BandFiles] = dataclasses.field(default_factory=dict)
    """By name, ordered by pivot wavelength where they were found by their file names."""
    labels: Path | None = None
    """The segmentation map, `hdu` its extension, `ids` the objects to keep (none: the central)."""
    hdu: str | None = None
    ids: tuple[int, ...] = ()
    largest: bool = False
    """Whether only the largest piece of an object is kept; see `object_mask`."""
    psf: Path | None = None
    """PSFs for `open_psf`."""
    poisson: str | float | None = None
    """What `homogenize` is to do about photon noise; None: as it does by itself."""
    parts: tuple[FieldFiles, ...] = ()
    """The finest scale first."""

    def one(self, band: str, kind: ImageKind) -> Path:
        """Return the file of one band.

        Raises
        ------
        FileError
            If there is none, or more than one.
        """
        known = self.bands.get(band)
        here = known or BandFiles()
        files = here.sci if kind == "sci" else here.wht
        if len(files) > 1:
            raise FileError(
                "HC-B02",
                f"two files for one band: {', '.join(map(str, files))}",
                "move one of them away, or name the right one in a field file",
                str(files[0]),
                band,
            )
        if not files:
            other = here.sci or here.wht
            listed = (
                f"; there are {', '.join(self.bands) or 'none'}"
                if known is None
                else " of this band"
            )
            where = f" beside {other[0].name}" if other else listed
            fix = "put the file in place, or choose the bands with [[--band BAND|bands=]]"
            what = f"{kind} image of field {self.field}{where}"
            raise missing(what, fix, band=band)
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
    folder = as_path(folder)
    if kind_of(folder) != "folder":
        raise missing("such folder", "check the path", file=folder)
    found: dict[tuple[str, str], dict[str, _Paths]] = {}
    for path, parts in _scan(folder, images):
        if scale in (None, MIXED, parts["scale"]):
            bands = found.setdefault((parts["field"], parts["scale"]), {})
            bands.setdefault(band_name(parts["band"]), _Paths([], [])).add(parts["kind"], path)
    places = _Places(folder, labels, sky)
    fields = [
        _field_files(places, name, label, found[name, label])
        for name, label in sorted(found, key=_by_field_and_scale)
    ]
    return _mixed(fields) if scale == MIXED else fields


class _Paths(NamedTuple):
    """The images of one band that were found."""

    sci: list[Path]
    wht: list[Path]

    def add(self, kind: str, path: Path) -> None:
        (self.sci if kind == "sci" else self.wht).append(path)


class _Places(NamedTuple):
    """Where to look for what belongs to images; see `list_fields`."""

    folder: Path
    labels: str | None
    sky: str | None


def _by_field_and_scale(found: tuple[str, str]) -> tuple[tuple[tuple[int, int, str], ...], str]:
    return _natural(found[0]), found[1]


def _mixed(fields: list[FieldFiles]) -> list[FieldFiles]:
    """Join what belongs to one field at several scales."""
    groups: dict[str, list[FieldFiles]] = {}
    for files in fields:
        groups.setdefault(files.field, []).append(files)
    return [_joined(parts) for parts in groups.values()]


def _joined(parts: list[FieldFiles]) -> FieldFiles:
    """Take every band from the finest part that has it, its sky level from any."""
    parts = sorted(parts, key=lambda part: scale_of_label(part.scale))
    bands: dict[str, BandFiles] = {}
    for part in parts:
        for name, files in part.bands.items():
            known = bands.get(name, files)
            bands[name] = replace(known, sky=files.sky) if known.sky is None else known
    ordered = {name: bands[name] for name in sorted(bands, key=pivot)}
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
    raise _no_such_field(folder, name, scale, found)


def _no_such_field(folder: str | Path, name: str, scale: str, found: list[FieldFiles]) -> FileError:
    scales = [files.scale for files in found if files.field == name]
    if scales:
        what = f"image of field {name} at {scale}, only at {', '.join(scales)}"
        return missing(what, f"choose [[--scale {scales[0]}|scale={scales[0]!r}]]", file=folder)
    known = sorted({files.field for files in found}, key=_natural)
    what = f"image of field {name!r} (looked for {name}_{scale}_*_sci.fits); "
    what += f"there are fields {', '.join(known[:20]) or 'none'}"
    return missing(
        what,
        f"list them: [[hstcube ls {folder}|hstcube.list_fields({str(folder)!r})]]",
        file=folder,
    )


def _scan(folder: Path, images: str | None) -> Iterator[tuple[Path, dict[str, str]]]:
    """Yield each image, and what its name says: field, scale ('' for none), band and kind."""
    if images is None:
        places, pattern = [folder, folder / "new_stamps"], IMAGES
    elif kind_of(Path(images)) == "folder":
        places, pattern = [Path(images)], IMAGES
    else:
        places, pattern = [Path(images).parent], _with_kind(Path(images).name)
    expression = _expression(pattern)
    for place in places:
        for path in entries(place):
            if match := expression.fullmatch(path.name):
                yield path, {"scale": "", **match.groupdict()}


def _with_kind(pattern: str) -> str:
    """Return a pattern of science images as one of both kinds: 'wht' stands where 'sci' does."""
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
    text = re.escape(pieces[0])
    seen: set[str] = set()
    for name, literal in zip(pieces[1::2], pieces[2::2], strict=True):
        text += f"(?P={name})" if name in seen else _PARTS[name]
        text += re.escape(literal)
        seen.add(name)
    return re.compile(text + _PACKED)


def _field_files(places: _Places, name: str, scale: str, found: dict[str, _Paths]) -> FieldFiles:
    bands = {}
    for band in sorted(found, key=pivot):
        sky = _sky_file(places, name, scale, band)
        bands[band] = BandFiles(tuple(found[band].sci), tuple(found[band].wht), sky=sky)
    psf = _first(places.folder / _filled(Path(PSF), name, scale))
    return FieldFiles(name, scale, bands, _labels_file(places, name, scale), psf=psf)


def _labels_file(places: _Places, name: str, scale: str) -> Path | None:
    """Return the segmentation map: the usual one if it exists, one that was named anyway."""
    if places.labels is None:
        return _first(places.folder / _filled(Path(LABELS), name, scale))
    place = Path(places.labels)
    if kind_of(place) == "folder":
        return place / _filled(Path(Path(LABELS).name), name, scale)
    return _filled(place, name, scale)


def _sky_file(places: _Places, name: str, scale: str, band: str) -> Path | None:
    """Return the file of a band's sky: a usual one if it exists, one that was named anyway."""
    usual = [_filled(Path(pattern), name, scale, band) for pattern in SKY]
    if places.sky is None:
        candidates = [places.folder / path for path in usual if scale == SKY_SCALE]
    elif kind_of(Path(places.sky)) == "folder":
        candidates = [Path(places.sky) / path.name for path in usual]
    else:
        return _filled(Path(places.sky), name, scale, band)
    return next(filter(None, map(_first, candidates)), None)


def _filled(pattern: Path, name: str, scale: str, band: str = "") -> Path:
    text = str(pattern)
    for key, value in (("field", name), ("scale", scale), ("band", band), ("digits", digits(band))):
        text = text.replace(f"{{{key}}}", value)
    return Path(text)


def _first(path: Path) -> Path | None:
    """Return the file, or its compressed form, whichever exists."""
    for ending in ("", ".gz", ".fz"):
        if kind_of(found := path.with_name(path.name + ending)):
            return found
    return None


def _natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """Sort 3 before 15."""
    return tuple(
        (0, int(part), "") if part.isdigit() else (1, 0, part)
        for part in re.split(r"(\d+)", text)
        if part
    )
