"""The files of releases: found by the patterns of ``releases.csv``, each with its role."""

from __future__ import annotations

import contextlib
import re
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from hstcube import shipped
from hstcube.core.bands import band_name, cameras, is_filter, names_apart
from hstcube.core.grids import Grid
from hstcube.errors import FileError, HstCubeError
from hstcube.fits.local import as_path, entries, kind_of, missing, not_there
from hstcube.fits.opening import headers_of, located
from hstcube.fits.sets import fields_of_products
from hstcube.inputs.cards import card_text
from hstcube.surveys.filters import camera_of, filters_said
from hstcube.surveys.patterns import (
    IMAGES,
    STAMPS,
    expression,
    of_both_kinds,
    release_expression,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = [
    "MAP", "SCI", "TIMES", "Image", "bandless", "images_in", "matched_notes", "no_folder",
    "no_images", "preferred",
]  # fmt: skip

SCI, MAP = "sci", "map"
TIMES = "exp"  # a map of exposure times
_EACH = "each"  # every extension is an image of a band
_ENDINGS = (".fits", ".fits.gz", ".fits.fz")
_MATCHED = re.compile(
    r"(?<![a-z])(?:psf)?-?match(?:ed)?(?![a-z])|(?<![a-z])(?:convolved|homogeni[sz]ed)(?![a-z])",
    re.IGNORECASE,
)


class Image(NamedTuple):
    """One image of a release."""

    path: Path
    field: str
    scale: str
    """A label such as "40mas"; '' where neither name nor header says it."""
    band: str
    """'' of a map."""
    role: str
    """"sci", "map", or what a weight is: see ``releases.csv``."""
    rank: int = 0
    """Of several weights that of the lowest is taken."""
    release: str = ""
    hdu: int | None = None
    stem: str = ""
    """What both images of a band have in common: their names without the word for their role."""
    text: str = ""
    """The band as the name has it."""
    zero: str = ""
    """What says the zero point that the release means; '' for the usual order."""
    dead: float | None = None
    """The value of pixels without data in a science image."""


class _Row(NamedTuple):
    """A pattern of a release: what a word in place of {kind} is, in the order of preference."""

    release: str
    pattern: re.Pattern[str]
    roles: tuple[tuple[str, str], ...]
    zero: str
    dead: float | None


class _Named(NamedTuple):
    """What the name of a file says."""

    path: Path
    row: _Row
    parts: Mapping[str, str]

    @property
    def roles(self) -> list[tuple[int, str]]:
        """What is in the file, with the place in the order of preference."""
        kind = self.parts.get("kind", "").lower()
        return [(i, role) for i, (word, role) in enumerate(self.row.roles) if word == kind]

    @property
    def field(self) -> str:
        """The word for it in the name; else the file that holds all its images, or the folder."""
        if any(role == _EACH for _, role in self.roles):
            return self.path.name.split(".fits")[0]
        return self.parts.get("field") or self.path.absolute().parent.name

    @property
    def stem(self) -> str:
        """The name without the word that tells sci from wht: both images of a band have one."""
        return _stem(self.path, self.parts.get("kind", ""))


def _stem(path: Path, kind: str) -> str:
    name = path.name.split(".fits")[0]
    return "".join(name.rsplit(kind, 1)) if kind else name


def images_in(folder: Path, images: str | None = None, field: str = "") -> list[Image]:
    """Return the images with the usual names; where there are none, those of releases.

    Headers are read of a release's science images whose names say no pixel scale, or no band.

    Parameters
    ----------
    folder : Path
        Or one file, which has the name of a release.
    images : str, optional
        Another place, or the pattern of other names; see `list_fields`.
    field : str, optional
        What is of other fields may be left out.
    """
    if images is None and kind_of(folder) == "file":
        return _images_of_releases([folder])
    found = list(_usual_images(folder, images, field))
    if found or images is not None or (field and any(_usual_images(folder, images))):
        return told_apart(found)
    return _images_of_releases([*entries(folder), *entries(folder / STAMPS)], field)


def no_folder(path: Path) -> FileError:
    """Return the error for what should be a folder of images, or one file of all images."""
    if kind_of(path) != "file":
        return not_there(str(path), FileNotFoundError(), "folder")
    fix = "give the folder that holds the images; "
    fix += "a field file is read by [[hstcube check and hstcube run|hstcube.run_fields]]"
    return FileError("HC-F04", "is a file, and by its name no images of a field", fix, str(path))


def no_images(folder: Path, pattern: str | None = None) -> FileError:
    """Return the error for a folder in which no image was found by its name."""
    there = [path for path in entries(folder) if path.name.lower().endswith(_ENDINGS)]
    if pattern is not None:
        fix = f"check it against a name, e.g. {there[0].name}" if there else "check the folder"
        return missing(f"images like {pattern}", fix, file=folder, verb="are")
    if not there:
        return missing("images", "give the folder that holds the stamps", file=folder, verb="are")
    if products := fields_of_products(folder):
        what = f"images as they were observed, only products of hstcube, of {', '.join(products)}"
        fix = (
            f"open them: [[hstcube info {folder} -f {products[0]}|"
            f"hstcube.open_field({str(folder)!r}, {products[0]!r})]]"
        )
        return missing(what, fix, file=folder, verb="are")
    fix = "say how they are named, with [[--images|images=]] and e.g. "
    fix += "'{field}_{band}_{kind}.fits' (kind: sci or wht); or name each in a field file (.toml)"
    what = "images with names of a known kind: "
    what += f"{len(there)} FITS files, {there[0].name} and others" if there[1:] else there[0].name
    return missing(what, fix, file=folder, verb="are")


def _usual_images(folder: Path, images: str | None, field: str = "") -> Iterator[Image]:
    """Yield each image whose name holds that of a field, and what it says: band, kind and scale.

    A pattern is relative to the working folder, else to that of the images.
    """
    if images is None:
        places, pattern = [folder, folder / STAMPS], IMAGES
    elif kind_of(as_path(images)) == "folder":
        places, pattern = [as_path(images)], IMAGES
    else:
        places, pattern = [as_path(images).parent], of_both_kinds(as_path(images).name)
    names = expression(pattern)
    if images and not any(names.fullmatch(path.name) for path in entries(places[0])):
        places = [folder / places[0], folder / STAMPS / places[0]]
    for place in places:
        for path in entries(place, field):
            if match := names.fullmatch(path.name):
                said = {"scale": "", **match.groupdict()}
                role = SCI if said["kind"] == "sci" else "ivar"
                band, stem = said["band"], _stem(path, said["kind"])
                yield Image(
                    path, said["field"], said["scale"], band_name(band), role, stem=stem, text=band
                )


def _images_of_releases(paths: list[Path], field: str = "") -> list[Image]:
    named = [one for one in _named(paths) if field in ("", one.field)]
    said = {one.stem: _header_says(one) for one in named if _needs_header(one)}
    images: list[Image] = []
    for one in named:
        images += _images(one, *said.get(one.stem, ("", "")))
    return told_apart(_with_scales(images))


def told_apart(images: list[Image]) -> list[Image]:
    """Name the camera behind a filter that several have, where a field has it of two.

    The plain name is that of the first camera in the table. Headers of these images are read.
    """
    twice: dict[tuple[str, str, str], list[Image]] = {}
    for image in images:
        if image.role == SCI:
            twice.setdefault((image.field, image.scale, image.band), []).append(image)
    names: dict[tuple[str, ...], str] = {}
    for key, group in twice.items():
        found = [_with_camera(image) for image in group] if len(group) > 1 else []
        if len(set(found)) > 1:
            names |= {(*key, one.stem): name for one, name in zip(group, found, strict=True)}
    if not names:
        return images
    mine = [names.get((one.field, one.scale, one.band, one.stem), one.band) for one in images]
    return [one._replace(band=name) for one, name in zip(images, mine, strict=True)]


def _with_camera(image: Image) -> str:
    """Return the name of an image's band with its camera, as its name or its header says it."""
    of_letter = names_apart([image.band, image.text])[1]  # f606wu, beside an f606w
    if of_letter != image.band or not (known := cameras(image.band)):
        return of_letter
    owner = None
    with contextlib.suppress(HstCubeError), located(image.path):
        owner = camera_of(image.band, _header_of_image(image.path, image.hdu))
    if owner is None or owner == known[0]:
        return image.band
    return f"{owner.name}-{owner.camera}"


def preferred(images: list[Image]) -> list[Image]:
    """Return the weights among images of one band: of several kinds that of the lowest rank."""
    weights = [image for image in images if image.role not in (SCI, TIMES)]
    best = min((image.rank for image in weights), default=0)
    return [image for image in weights if image.rank == best]


def bandless(folder: Path) -> list[tuple[str, Path]]:
    """Return the files of a folder with names of a release that tell no band, and their fields."""
    return [
        (one.field, one.path)
        for one in _named([*entries(folder), *entries(folder / STAMPS)])
        if "band" not in one.parts and any(role != MAP for _, role in one.roles)
    ]


def matched_notes(images: Mapping[str, Path]) -> list[tuple[str, str]]:
    """Say which bands' science images are matched to one resolution already, by their names.

    Parameters
    ----------
    images : mapping of band to Path
    """
    bands = [band for band, path in images.items() if _MATCHED.search(path.name)]
    if not bands:
        return []
    text = f"{', '.join(bands)}: {images[bands[0]].name} may be matched to another band already"
    return [("HC-P33", f"{text}, by its name")]


def _named(paths: list[Path]) -> Iterator[_Named]:
    rows = _rows()
    for path in paths:
        if not path.name.lower().endswith(_ENDINGS):
            continue
        for row in rows:
            if match := row.pattern.fullmatch(path.name):
                yield _Named(path, row, match.groupdict())
                break


@cache
def _rows() -> tuple[_Row, ...]:
    rows = []
    for row in shipped.table("hstcube.surveys", "releases.csv"):
        tokens = [token.partition("=") for token in row["roles"].split()]
        roles = tuple((word.lower(), role) for word, _, role in tokens)
        kinds = tuple(dict.fromkeys(word for word, _ in roles))
        pattern, dead = release_expression(row["pattern"], kinds), row["dead"]
        value = float(dead) if dead else None
        rows.append(_Row(row["release"], pattern, roles, row["zero"], value))
    return tuple(rows)


def _needs_header(one: _Named) -> bool:
    complete = "scale" in one.parts and "band" in one.parts
    return not complete and any(role == SCI for _, role in one.roles)


def _header_says(one: _Named) -> tuple[str, str]:
    """Return pixel scale and band as a header says them, '' for what it does not."""
    with contextlib.suppress(HstCubeError), located(one.path):  # it is refused when it is opened
        header = _header_of_image(one.path)
        said = filters_said(header)
        return _scale_said(header) if header else "", said[0] if said else ""
    return "", ""


def _header_of_image(path: Path, hdu: int | None = None) -> dict[str, Any]:
    """Return the header of an image, the first of a file; the primary's cards stand behind."""
    primary: dict[str, Any] = {}
    for number, header in enumerate(headers_of(path)):
        cards = {**primary, **header}
        if number < (hdu or 0):
            primary = primary or dict(header)
            continue
        if header.get("NAXIS", 0) > 1 and ("ZIMAGE" in header or card_text(header, "CTYPE1")):
            return cards
        primary = primary or dict(header)
    return {}


def _scale_said(header: Mapping[str, Any]) -> str:
    """Return the label of the pixel scale of a header's WCS."""
    shape = tuple(int(header.get(f"ZNAXIS{i}", header[f"NAXIS{i}"])) for i in (2, 1))
    return _label(Grid.from_header(header, shape=(shape[0], shape[1])).scale * 1000)


def _label(mas: float) -> str:
    return f"{float(f'{mas:.3g}'):g}mas"


def _images(one: _Named, scale: str, band: str) -> Iterator[Image]:
    parts, row = one.parts, one.row
    text = parts.get("band") or band
    band = band_name(text)
    if "scale" in parts:
        scale = _label(float(parts["scale"].lower().removesuffix("mas")))
    for rank, role in one.roles:
        if role == _EACH:
            yield from _of_one_file(one)
        elif band or role == MAP:
            of = "" if role == MAP else band
            yield Image(
                *(one.path, one.field, scale, of, role, rank, row.release, None),
                *(one.stem, text, row.zero, row.dead),
            )


def _of_one_file(one: _Named) -> list[Image]:
    """Return the images of a file whose extensions are named after bands, sci or wht in EXTVER."""
    images: list[Image] = []
    path, row = one.path, one.row
    with contextlib.suppress(HstCubeError), located(path):
        for hdu, header in enumerate(headers_of(path)):
            text = card_text(header, "EXTNAME")
            band = band_name(text)
            kind = card_text(header, "EXTVER").upper()
            if is_filter(band) and kind in ("SCI", "WHT"):
                role = SCI if kind == "SCI" else "ivar"
                images.append(
                    Image(
                        *(path, one.field, _scale_said(header), band, role, 0, row.release, hdu),
                        *(text, text, row.zero, row.dead),
                    )
                )
    return images


def _with_scales(images: list[Image]) -> list[Image]:
    """Give weights whose scale nothing says that of their science image."""
    known = {(one.field, one.band): one.scale for one in images if one.role == SCI}
    return [
        one if one.scale else one._replace(scale=known.get((one.field, one.band), ""))
        for one in images
    ]
