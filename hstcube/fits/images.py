"""One FITS image: found in its file, compared with its header, and read; or refused with reason."""

from __future__ import annotations

import contextlib
import math
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hstcube.core.grids import Grid
from hstcube.core.wcs_cards import leftovers
from hstcube.errors import FileError, GridError
from hstcube.fits.headers import notes_on_bytes
from hstcube.fits.local import Copied, Stored, changed, version_of
from hstcube.fits.opening import located, opened, plain_image, require_budget
from hstcube.fits.units import BLOCK
from hstcube.inputs.cards import card_text, card_value
from hstcube.lazy.arrays import lazily

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping, Sequence
    from pathlib import Path

    from astropy.io import fits
    from numpy.typing import NDArray

    from hstcube.errors import Note
    from hstcube.fits.local import Extension

    Header = MutableMapping[str, Any]  # of astropy's, or a dict

__all__ = [
    "Plane",
    "chosen_unit",
    "image_shape",
    "image_unit",
    "read_header",
    "read_plane",
    "require_whole",
    "stored",
]

# what our own weights and science images have beside them
NOISE_UNIT, PSF_UNIT = "NOISEACF", "PSFIMAGE"
REPLACED_UNIT, COVERAGE_UNIT = "REPLACED", "COVERAGE"
BESIDE = (NOISE_UNIT, PSF_UNIT, REPLACED_UNIT, COVERAGE_UNIT)

_NAMES: dict[str, tuple[str, ...]] = {  # of extensions
    "sci": ("SCI",),
    "wht": ("WHT", "VAR"),
    "labels": ("DATA", "SEGMAP", "SEG"),
    "mask": ("MASK",),
    "exposure": ("EXP", "EXPOSURE", "EXPTIME", "TIME"),
}
_NOT_SCIENCE = ("WHT", "VAR", "RMS")
# what drizzled and JWST images say in their primary header alone
_OF_THE_EXPOSURE = (
    *("TELESCOP", "INSTRUME", "DETECTOR", "FILTER", "FILTER1", "FILTER2", "PUPIL", "PHOTMODE"),
    *("EXPTIME", "TEXPTIME", "PHOTFLAM", "PHOTPLAM", "PHOTFNU", "D001OUUN", "D001PIXF", "FILETYPE"),
    *("BUNIT", "ABZP", "ZEROPNT", "MAGZERO"),
)
_IMAGE_AXES = 2
_LIKELY_FLOATS = (1e-20, 1e20)  # between these lie the pixels of images and weights in any unit


class Plane(NamedTuple):
    """An image as it is in its file: (y, x) float32, native byte order."""

    data: Any
    header: Header
    grid: Grid
    notes: tuple[Note, ...] = ()


def read_plane(
    path: Path,
    kind: str,
    *,
    band: str = "",
    lazy: bool = False,
    hdu: Extension | None = None,
    beside: Grid | None = None,
) -> Plane:
    """Read one image.

    Parameters
    ----------
    path : Path
    kind : {"sci", "wht", "mask", "exposure"}
        Which extension to take where a file has several.
    band : str
        Named in errors.
    lazy : bool
        Give the pixels as a dask array, which reads no more than is asked for; their checksum is
        compared by who reads all of them.
    hdu : str, int or (str, int), optional
        The extension to take, whatever `kind` says.
    beside : Grid, optional
        Of the image that this one is the weight of: its own where it has no WCS, and that shape.

    Raises
    ------
    FileError
        If the file is missing, damaged or foreign.
    GridError
        If its WCS cannot be used.
    """
    with located(path, band), _found(path, kind, hdu, lazy=lazy) as (hdus, unit, notes):
        header = unit.header
        source = stored(path, unit) if lazy else None
        shape = image_shape(unit)
        filetype = card_text(header, "FILETYPE").upper()
        if kind == "sci" and filetype in _NOT_SCIENCE:
            reason = f"is a {header['FILETYPE']} image by its FILETYPE, not a science image"
            raise FileError("HC-D14", reason, "swap sci and wht")
        header = _with_primary(hdus, unit)
        grid = _grid(hdus, header, shape, beside, notes)
        bits = _bits_of_integers(header) if kind != "mask" else 0
        if bits:
            integers = f"whole numbers of {bits} bits without a scale (BSCALE, BZERO)"
            notes.append(("HC-D15", f"its {kind} pixels are {integers}"))
        if lazy:
            pixels = lazily(source) if source else _lazy_pixels(path, kind, shape, hdu, beside)
            return Plane(pixels, header, grid, tuple(notes))
        _refuse_floats_as_integers(unit, bits)
        pixels = _pixels(unit, shape)
        if kind == "wht" and filetype == "SCI" and (pixels < 0).any():
            reason = "is a SCI image by its FILETYPE and its negative pixels"
            raise FileError("HC-D14", reason, "give the weight image")
        return Plane(pixels, header, grid, tuple(notes))


@contextlib.contextmanager
def _found(
    path: Path, kind: str, hdu: Extension | None, *, lazy: bool
) -> Iterator[tuple[Sequence[Any], Any, list[Note]]]:
    """Open a file; give its units, the one that holds the image, and what is odd in its bytes."""
    plain = None if lazy or hdu is not None else plain_image(path)
    if plain is not None:
        yield (plain,), plain, []
        return
    with opened(path) as hdus:
        unit = image_unit(hdus, kind, path) if hdu is None else chosen_unit(hdus, hdu)
        # astropy mends the cards that it can, and refuses the file for those that it cannot
        unit.header.tostring()
        later = lazy and stored(path, unit) is not None  # who reads all of it compares its sum
        yield hdus, unit, notes_on_bytes(unit.fileinfo()) if later else require_whole(path, unit)


def read_header(path: Path, kind: str, *, band: str = "", hdu: Extension | None = None) -> Header:
    """Return the header that `read_plane` goes by, wherever its WCS leads.

    Raises
    ------
    FileError
        As `read_plane`.
    """
    plain = plain_image(path, pixels=False) if hdu is None else None
    if plain is not None:
        return plain.header
    with located(path, band), opened(path) as hdus:
        unit = image_unit(hdus, kind, path) if hdu is None else chosen_unit(hdus, hdu)
        unit.header.tostring()  # astropy mends the cards that it can
        return _with_primary(hdus, unit)


def _with_primary(hdus: Sequence[Any], unit: Any) -> Header:
    """Return the header of a unit, with what the primary alone says of the exposure."""
    primary = hdus[0].header
    if unit is hdus[0] or primary.get("NAXIS", 0) > 0:  # an image of its own, of another band
        own: Header = unit.header
        return own
    header: Header = unit.header.copy()
    for key in _OF_THE_EXPOSURE:
        if key in primary and card_value(header, key) is None:
            header[key] = primary[key]
    return header


def _grid(
    hdus: Sequence[Any],
    header: Header,
    shape: tuple[int, int],
    beside: Grid | None,
    notes: list[Note],
) -> Grid:
    """Return where an image lies; note what its header says that has no effect."""
    if beside is not None and not any(card_text(header, f"CTYPE{axis}") for axis in (1, 2)):
        if shape != beside.shape:
            reason = f"has no WCS, and another shape than its science image: {shape}"
            raise GridError("HC-D01", reason, f"give a weight image of {beside.shape} pixels")
        notes.append(("HC-W28", "it has no WCS; it lies where its science image does"))
        return beside
    unused = leftovers(header)
    tables = bool(unused) and any(one.name in ("WCSDVARR", "D2IMARR") for one in hdus[1:])
    grid = Grid.from_header(header, shape=shape, tables=tables)
    if unused:
        said = f"{', '.join(unused[:3])}{', ...' if len(unused) > 3 else ''}"  # noqa: PLR2004
        notes.append(("HC-W27", f"cards of the exposures' distortions have no effect: {said}"))
    return grid


def image_unit(hdus: fits.HDUList, kind: str, path: Path) -> Any:
    """Return the unit that holds the image: the only one, or the one that is named so."""
    if path.suffix != ".fz" and kind != "labels" and _fills_its_file(hdus[0]):
        return hdus[0]  # the usual case: looking for more units would read the file twice
    images = [unit for unit in hdus if _is_image(unit)]
    if not images:
        raise FileError("HC-F14", "holds no image", "give a file with a 2-d image")
    named = [unit for unit in images if unit.name in _NAMES[kind]]
    if kind == "wht" and len(named) > 1:  # VAR is what others call the variance beside it
        named = [unit for unit in named if unit.name == _NAMES[kind][0]]
    for meant in (images, named):
        if len(meant) == 1:
            return meant[0]
    fix = (
        "split the file into one image each, or name the extensions: [[hdu, wht_hdu and wht_kind "
        "of the band in a field file|hdu=, wht_hdu= and wht_kind= of open_bands]]"
    )
    if kind == "labels":
        fix = "split it, or name the extension: [[hdu in the part labels of a field file|hdu=]]"
    raise FileError(
        "HC-F12",
        f"holds {len(images)} images ({_listed(images)}) and {len(named)} of them are called "
        f"{_NAMES[kind][0]}",
        fix,
    )


def _fills_its_file(unit: Any) -> bool:
    """Say whether a unit is an image after which its file ends."""
    if unit.header.get("NAXIS", 0) == 0 or not unit.is_image:
        return False
    place = unit.fileinfo()
    return bool(place["file"].size - place["datLoc"] - place["datSpan"] < BLOCK)


def _listed(units: list[Any]) -> str:
    return ", ".join(unit.name or "unnamed" for unit in units)


def _is_image(unit: Any) -> bool:
    shape = getattr(unit, "shape", ())  # a damaged unit has none
    return unit.is_image and len(shape) >= _IMAGE_AXES and unit.name not in BESIDE


def image_shape(unit: Any) -> tuple[int, int]:
    """Return (ny, nx) of a unit, axes of length one beyond the first two left out.

    Raises
    ------
    FileError
        If it holds anything but one image.
    """
    if not unit.is_image or len(unit.shape) == 0:
        raise FileError("HC-F14", "holds no image there", "give the extension with a 2-d image")
    shape = tuple(unit.shape)
    while len(shape) > _IMAGE_AXES and shape[0] == 1:
        shape = shape[1:]
    shortest = 1 if "HSTCUBE" in unit.header else 2  # a cut cube may have one row
    if len(shape) != _IMAGE_AXES or min(shape) < shortest:
        reason = f"holds an array of shape {unit.shape}, not an image"
        raise FileError("HC-F13", reason, "give one 2-d image a file")
    return shape[0], shape[1]


def chosen_unit(hdus: fits.HDUList, hdu: Extension) -> Any:
    """Return the unit of that name, number, or name and version."""
    try:
        return hdus[hdu]
    except (KeyError, IndexError) as error:
        raise FileError(
            "HC-F12", f"has no extension {hdu!r}", f"choose from {[unit.name for unit in hdus]}"
        ) from error


def require_whole(path: Path, unit: Any) -> list[Note]:
    """Compare what the header declares with what the file holds, before anything is allocated.

    Checksums are verified.

    Parameters
    ----------
    path : Path
    unit : HDU
        An image of that file.

    Returns
    -------
    list of (code, text)
        What is odd, but does no harm to the pixels.

    Raises
    ------
    FileError
        If the file is cut off or damaged, or the image too large.
    """
    header = unit.header
    depth = abs(int(header.get("BITPIX", 8))) // 8
    pixels = math.prod(unit.shape) if unit.is_image else 1
    packed = type(unit).__name__ == "CompImageHDU"
    notes = _stored_notes(path) if packed else notes_on_bytes(unit.fileinfo())
    require_budget(pixels * max(depth, 4), "the header declares an image of")
    if "DATASUM" in header and not unit.verify_datasum():
        raise FileError(
            "HC-F05", "is damaged: DATASUM does not agree with the pixels", "get it again"
        )
    if "CHECKSUM" in header and not unit.verify_checksum():
        raise FileError(
            "HC-F05",
            "is damaged or was edited: CHECKSUM does not agree with the file",
            "get it again",
        )
    return notes


def _stored_notes(path: Path) -> list[Note]:
    """Judge the tables in which a file keeps compressed images: are they whole, are they exact."""
    notes: list[Note] = []
    with opened(path, disable_image_compression=True) as hdus:
        for table in (unit for unit in hdus if unit.header.get("ZIMAGE")):
            notes += notes_on_bytes(table.fileinfo())
            if _is_rounded(table.header):
                text = "its pixels were rounded when the file was compressed (fpack -q)"
                notes.append(("HC-F15", text))
    return notes


def _is_rounded(header: fits.Header) -> bool:
    """Say whether the pixels of a compressed image were rounded: a scale is kept with them."""
    for key, value in header.items():
        if key.startswith("TTYPE") and str(value).strip() == "ZSCALE":
            return True
        scale = (key[:5], value) == ("ZNAME", "SCALE")  # of HCOMPRESS
        if scale and float(header.get(f"ZVAL{key[5:]}", 0)) > 0:
            return True
    return False


def _bits_of_integers(header: Header) -> int:
    """Return BITPIX of an image of integers that no card gives a meaning to, else 0."""
    bits = int(header["BITPIX"])
    return 0 if bits < 0 or "BSCALE" in header or "BZERO" in header else bits


def _refuse_floats_as_integers(unit: Any, bits: int) -> None:
    """Raise FileError where BITPIX has lost its minus sign: real numbers read as huge integers."""
    if bits not in (32, 64):
        return
    low, high = np.array(_LIKELY_FLOATS, f"f{bits // 8}").view(f"i{bits // 8}").tolist()
    set_pixels = unit.data[unit.data != 0].astype(np.float64)
    without_sign = set_pixels % 2.0 ** (bits - 1)
    if set_pixels.size and low < np.median(without_sign) < high:
        reason = f"BITPIX is {bits}, but the pixels are real numbers by their bits"
        fix = f"write BITPIX = -{bits} into the header, or get the file again"
        raise FileError("HC-F09", reason, fix)


def _pixels(unit: Any, shape: tuple[int, ...]) -> NDArray[np.float32]:
    return np.ascontiguousarray(unit.data.reshape(shape), dtype=np.float32)


def stored(path: Path, unit: Any) -> Stored | None:
    """Return the pixels of a plain image of real numbers or bytes where they lie; else None."""
    header, place = unit.header, unit.fileinfo()
    kind = {-32: ">f4", -64: ">f8", 8: "u1"}.get(header.get("BITPIX", 0))
    packed = type(unit).__name__ == "CompImageHDU" or getattr(place["file"], "name", "") != str(
        path
    )
    if packed or kind is None or {"BSCALE", "BZERO", "BLANK"} & {*header}:
        return None
    said = str(header.get("DATASUM", "")).strip()
    return Stored(path, place["datLoc"], image_shape(unit), kind, said)


def _lazy_pixels(
    path: Path, kind: str, shape: tuple[int, int], hdu: Extension | None, beside: Grid | None
) -> Any:
    """Return an image that is compressed, or of integers: it is read whole when it is asked for."""
    return lazily(Copied(partial(_whole, path, version_of(path.stat()), kind, hdu, beside), shape))


def _whole(
    path: Path,
    version: tuple[int, int, int],
    kind: str,
    hdu: Extension | None,
    beside: Grid | None,
) -> NDArray[np.float32]:
    if version_of(path.stat()) != version:
        raise changed(path)
    pixels: NDArray[np.float32] = read_plane(path, kind, hdu=hdu, beside=beside).data
    return pixels
