"""What the files of a field are called, and where they are."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from hstcube.core.bands import pivot
from hstcube.errors import FileError, RecipeError
from hstcube.fits.local import as_path, kind_of, missing
from hstcube.inputs.names import checked_name
from hstcube.surveys.beside import (
    SKY_SCALE,
    Places,
    labels_file,
    psf_file,
    scale_of_label,
    sky_file,
)
from hstcube.surveys.releases import MAP, SCI, TIMES, images_in, no_folder, preferred

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hstcube.fits.local import Extension
    from hstcube.surveys.releases import Image

__all__ = [
    "MIXED",
    "BandFiles",
    "FieldFiles",
    "ImageKind",
    "chosen_fields",
    "find_field",
    "list_fields",
    "usual_scale",
]

MIXED = "mixed"  # in place of the label of a pixel scale: each band at the finest one that there is

ImageKind = Literal["sci", "wht"]


@dataclass(frozen=True)
class BandFiles:
    """Where one band's images are, and what their headers do not say."""

    sci: tuple[Path, ...] = ()
    """More than one is an error later, when the band is opened; so with `wht`."""
    wht: tuple[Path, ...] = ()
    wht_kind: str | None = "ivar"
    """What the weights are: "ivar", "rms", "variance" or "exptime"; None for the pixels to tell."""
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
    psf: str | None = None
    """File of its PSF for `open_psf`, an extension may stand behind it."""
    psf_angle: float | None = None
    """Of a PSF model in the frame of the detector: degrees; `psf_drop`: pixfrac of the drizzle."""
    psf_drop: float | None = None
    photons: bool = False
    """The weights hold the noise of all photons, those of sources too: ERR of JWST."""
    zero: str = ""
    """What says the zero point that a release means, e.g. "PHOTFNU"; '' for the usual order."""
    dead: float | None = None
    """The value of `sci` that marks pixels without data, beside a weight of 0."""
    times: Path | None = None
    """A map of exposure times [s] of a release."""

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
    neighbours: Literal["mask", "replace", "subtract"] | None = None
    """What `homogenize` is to do about other sources of the map; None: as it does by itself."""
    psf: Path | None = None
    """PSFs for `open_psf`."""
    poisson: str | float | None = None
    """What `homogenize` is to do about photon noise; None: as it does by itself."""
    parts: tuple[FieldFiles, ...] = ()
    """The finest scale first."""
    release: str = ""
    """Whose names the files bear, as in ``releases.csv``; '' for the usual ones."""

    def with_pivots(self, pivots: Mapping[str, float]) -> FieldFiles:
        """Return the same files, their bands with the pivot wavelengths [Angstrom] given."""
        bands = {
            name: replace(band, pivot=pivots.get(name, band.pivot))
            for name, band in self.bands.items()
        }
        parts = tuple(part.with_pivots(pivots) for part in self.parts)
        return replace(self, bands=bands, parts=parts)

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
    """List the fields of a folder by their file names.

    Names are the usual ones, or those of a release (``releases.csv``). Nothing is opened but the
    headers of a release's images whose names do not say their pixel scale.

    Parameters
    ----------
    folder : path
        Images are looked for in it and in its ``new_stamps``; nowhere below. Or one FITS file that
        holds all images of a field.
    scale : str, optional
        Only this label of the file names, e.g. ``"60mas"``; or ``"mixed"``: each band at the finest
        scale there is.
    images, labels, sky : str, optional
        Other places: patterns with ``{field}``, ``{scale}``, ``{band}`` (or ``{digits}``) and, for
        images, ``{kind}`` (sci or wht); relative to the working folder, or to `folder` where that
        has none like it. A folder will do where the names are the usual ones.

    Returns
    -------
    list of FieldFiles
        By field, then scale.

    Raises
    ------
    FileError
        If the folder does not exist.

    Examples
    --------
    >>> import tempfile
    >>> import hstcube
    >>> from hstcube.demo.field import simulate
    >>> folder = tempfile.mkdtemp()
    >>> _ = simulate(folder)
    >>> fields = hstcube.list_fields(folder)
    >>> fields[0].field, len(fields[0].bands)
    ('demo', 4)
    """
    return _listed(as_path(folder), "", scale, images, labels, sky)


def _listed(
    folder: Path,
    field: str,
    scale: str | None = None,
    images: str | None = None,
    labels: str | None = None,
    sky: str | None = None,
) -> list[FieldFiles]:
    """List one field, all where none is named: of a folder of ten thousand that takes a while."""
    scale = None if scale is None else str(scale)
    there = images_in(folder, images, field)
    if not there and kind_of(folder) != "folder":
        raise no_folder(folder)
    found: dict[tuple[str, str], list[Image]] = {}
    for image in there:
        wanted = field in ("", image.field) and scale in (None, MIXED, image.scale)
        if wanted and image.role != MAP:
            found.setdefault((image.field, image.scale), []).append(image)
    places = Places(folder, labels, sky, [image for image in there if image.role == MAP])
    fields = [
        _field_files(places, name, label, found[name, label])
        for name, label in sorted(found, key=_by_field_and_scale)
    ]
    return _mixed(fields) if scale == MIXED else fields


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
    first = parts[0]
    return FieldFiles(
        first.field, MIXED, ordered, labels, parts=tuple(parts), release=first.release
    )


def find_field(
    folder: str | Path, name: str, *, scale: str | None = None, **places: str | None
) -> FieldFiles:
    """Return the files of one field; see `list_fields`.

    Parameters
    ----------
    folder : path
    name : str
    scale : str, optional
        Label of the pixel scale, or "mixed"; see `usual_scale`, when not given.
    **places : str, optional
        ``images``, ``labels``, ``sky``.

    Raises
    ------
    FileError
        If the folder has no images of that field at that scale.
    RecipeError
        If it has some at several, and none is chosen.
    """
    checked_name(name)
    found = _listed(as_path(folder), name, **places)
    scale = usual_scale(found) if scale is None else str(scale)
    for files in [*found, *_mixed(found)]:
        if files.scale == scale:
            return files
    raise _no_such_field(folder, name, scale, found or list_fields(folder, **places))


def chosen_fields(
    folder: str | Path,
    *,
    scale: str | None = None,
    fields: Sequence[str] = (),
    **places: str | None,
) -> list[FieldFiles]:
    """List each field of a folder once: at the scale that is chosen, else at its usual one.

    Parameters
    ----------
    folder, scale, **places
        See `find_field`.
    fields : sequence of str
        Only these; all when empty.

    Raises
    ------
    FileError, RecipeError
        As `find_field`.
    """
    by_name: dict[str, list[FieldFiles]] = {}
    only = fields[0] if len(fields) == 1 else ""
    for files in _listed(as_path(folder), only, scale, **places):
        if not fields or files.field in fields:
            by_name.setdefault(files.field, []).append(files)
    chosen = []
    for parts in by_name.values():
        label = usual_scale(parts) if scale is None else parts[0].scale
        chosen += [part for part in parts if part.scale == label]
    return chosen


def usual_scale(parts: list[FieldFiles]) -> str:
    """Return the pixel scale that is taken of a field's where none is chosen.

    "60mas" of files with the usual names; the only one of a release's, or of names without any.

    Raises
    ------
    RecipeError
        If a release has several of the field.
    """
    labels = [part.scale for part in parts]
    if labels == [""] or (len(labels) == 1 and parts[0].release):
        return labels[0]
    if not any(part.release for part in parts):
        return SKY_SCALE
    raise RecipeError(
        "HC-B41",
        f"field {parts[0].field} has images at {' and '.join(labels)}",
        f"choose one: [[--scale {labels[-1]}|scale={labels[-1]!r}]]; or the finest of each band: "
        "[[--scale mixed|scale='mixed']]",
    )


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


def _field_files(places: Places, name: str, scale: str, found: list[Image]) -> FieldFiles:
    by_band: dict[str, list[Image]] = {}
    for image in found:
        by_band.setdefault(image.band, []).append(image)
    bands = {}
    for band in sorted(by_band, key=pivot):
        files = _band_files(by_band[band])
        bands[band] = replace(files, sky=sky_file(places, name, scale, band))
    psf = psf_file(places, name, scale)
    release = " ".join(dict.fromkeys(image.release for image in found))
    labels = labels_file(places, name, scale)
    return FieldFiles(name, scale, bands, labels, psf=psf, release=release)


def _band_files(images: list[Image]) -> BandFiles:
    """Return the images of a band; of its weights those that its release prefers."""
    sci = [image for image in images if image.role == SCI]
    wht = preferred(images)
    role = wht[0].role if wht else "ivar"
    return BandFiles(
        tuple(image.path for image in sci),
        tuple(image.path for image in wht),
        {"see": None, "err": "rms"}.get(role, role),
        hdu=sci[0].hdu if sci else None,
        wht_hdu=wht[0].hdu if wht else None,
        photons=role == "err",
        zero=sci[0].zero if sci else "",
        dead=sci[0].dead if sci else None,
        times=next((image.path for image in images if image.role == TIMES), None),
    )


def _natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """Sort 3 before 15."""
    return tuple(
        (0, int(part), "") if part.isdigit() else (1, 0, part)
        for part in re.split(r"(\d+)", text)
        if part
    )
