"""One FITS image: found in its file, compared with what its header declares, and read; or refused with the reason."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hstcube.core.grids import Grid
from hstcube.errors import CubeError, FileError
from hstcube.fits.opening import located, notes_on_bytes, opened, require_budget

if TYPE_CHECKING:
    from pathlib import Path

    from astropy.io import fits
    from numpy.typing import NDArray

    Note = tuple[str, str]  # code and text of a warning

__all__ = [
    "Plane",
    "chosen_unit",
    "image_unit",
    "inverse_variance",
    "odd_pixels",
    "read_plane",
    "require_whole",
]

NOISE_UNIT, PSF_UNIT = (
    "NOISEACF",
    "PSFIMAGE",
)  # what our own weights and science images have beside them

_BESIDE = (NOISE_UNIT, PSF_UNIT)
_WEIGHTS = ("ivar", "rms", "variance")
_BLOCK = 2880  # bytes
_LIKELY_FLOATS = (1e-20, 1e20)  # between these lie the pixels of images and weights in any unit
_UNLIKELY_WEIGHT = (
    1e6  # times smaller or larger than the median; the edges of a drizzled image reach 1e3
)
# times the noise; a star that just saturates reaches 1e5, a wrong bit of an exponent up to 1e38
_UNLIKELY_SIGNAL = 1e9


class Plane(NamedTuple):
    """An image as it is in its file: (y, x) float32, native byte order."""

    data: Any
    header: fits.Header
    grid: Grid
    notes: tuple[Note, ...] = ()


def read_plane(path: Path, kind: str, *, band: str = "", lazy: bool = False) -> Plane:
    """Read one image.

    Parameters
    ----------
    path : Path
    kind : {"sci", "wht", "mask"}
        Which extension to take where a file has several.
    band : str
        Named in errors.
    lazy : bool
        Give the pixels as a dask array.

    Raises
    ------
    FileError
        If the file is missing, damaged or foreign.
    GridError
        If its WCS cannot be used.
    """
    with located(path, band), opened(path) as hdus:
        unit = image_unit(hdus, kind, path)
        header = unit.header
        # astropy mends the cards that it can, and refuses the file for those that it cannot
        header.tostring()
        notes = require_whole(path, unit)
        shape = image_shape(unit)
        if kind == "sci" and str(header.get("FILETYPE", "")).strip().upper() in (
            "WHT",
            "VAR",
            "RMS",
        ):
            raise FileError(
                "HC-D14",
                f"is a {header['FILETYPE']} image by its FILETYPE, not a science image",
                "swap sci and wht",
            )
        grid = Grid.from_header(header, shape=shape)
        bits = _bits_of_integers(header) if kind != "mask" else 0
        if bits:
            text = f"its {kind} pixels are whole numbers of {bits} bits without a scale (BSCALE, BZERO)"
            notes.append(("HC-D15", text))
        if lazy:
            return Plane(_lazy_pixels(path, kind, shape), header, grid, tuple(notes))
        _refuse_floats_as_integers(unit, bits)
        pixels = _pixels(unit, shape)
        if (
            kind == "wht"
            and str(header.get("FILETYPE", "")).strip().upper() == "SCI"
            and (pixels < 0).any()
        ):
            raise FileError(
                "HC-D14",
                "is a SCI image by its FILETYPE and its negative pixels",
                "give the weight image",
            )
        return Plane(pixels, header, grid, tuple(notes))


def image_unit(hdus: fits.HDUList, kind: str, path: Path) -> Any:
    """Return the unit that holds the image: the only one, or the one that is named so."""
    if (
        path.suffix != ".fz"
        and hdus[0].header.get("NAXIS", 0) > 0
        and hdus[0].is_image
        and kind != "labels"
    ):
        place = hdus[
            0
        ].fileinfo()  # the usual case: looking for more units would read the file twice
        if place["file"].size - place["datLoc"] - place["datSpan"] < _BLOCK:
            return hdus[0]
    images = [
        unit for unit in hdus if unit.is_image and len(unit.shape) >= 2 and unit.name not in _BESIDE
    ]
    names = {
        "sci": ("SCI",),
        "wht": ("WHT", "VAR"),
        "labels": ("DATA", "SEGMAP", "SEG"),
        "mask": ("MASK",),
    }[kind]
    if len(images) == 1:
        return images[0]
    if not images:
        raise FileError("HC-F14", "holds no image", "give a file with a 2-d image")
    named = [unit for unit in images if unit.name in names]
    if len(named) != 1:
        raise FileError(
            "HC-F12",
            f"holds {len(images)} images ({', '.join(unit.name or 'unnamed' for unit in images)}) and "
            f"{len(named)} of them are called {names[0]}",
            "split the file, or name the extension",
        )
    return named[0]


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
    while len(shape) > 2 and shape[0] == 1:  # noqa: PLR2004
        shape = shape[1:]
    if len(shape) != 2 or 0 in shape or (1 in shape and "HSTCUBE" not in unit.header):  # noqa: PLR2004  a cut cube may
        raise FileError(
            "HC-F13",
            f"holds an array of shape {unit.shape}, not an image",
            "give one 2-d image a file",
        )
    return shape


def chosen_unit(hdus: fits.HDUList, hdu: str | int) -> Any:
    """Return the unit of that name or number."""
    try:
        return hdus[hdu]
    except (KeyError, IndexError) as error:
        raise FileError(
            "HC-F12", f"has no extension {hdu!r}", f"choose from {[unit.name for unit in hdus]}"
        ) from error


def require_whole(path: Path, unit: Any) -> list[Note]:
    """Compare what the header declares with what the file holds, before anything is allocated; verify checksums.

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
    depth, pixels = (
        abs(int(header.get("BITPIX", 8))) // 8,
        math.prod(unit.shape if unit.is_image else ()),
    )
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
    """Say whether the tables in which a file keeps compressed images are whole, and whether pixels were rounded."""
    notes: list[Note] = []
    with opened(path, disable_image_compression=True) as hdus:
        for table in (unit for unit in hdus if unit.header.get("ZIMAGE")):
            notes += notes_on_bytes(table.fileinfo())
            names = {
                str(value).strip() for key, value in table.header.items() if key.startswith("TTYPE")
            }
            options = [
                f"ZVAL{key[5:]}"
                for key, value in table.header.items()
                if (key[:5], value) == ("ZNAME", "SCALE")
            ]
            if "ZSCALE" in names or any(
                float(table.header.get(key, 0)) > 0 for key in options
            ):  # the latter: HCOMPRESS
                notes.append(
                    ("HC-F15", "its pixels were rounded when the file was compressed (fpack -q)")
                )
    return notes


def _bits_of_integers(header: fits.Header) -> int:
    """Return BITPIX of an image of integers that no card gives a meaning to, else 0."""
    bits = int(header["BITPIX"])
    return 0 if bits < 0 or "BSCALE" in header or "BZERO" in header else bits


def _refuse_floats_as_integers(unit: Any, bits: int) -> None:
    """Raise FileError where a header has lost the minus sign of BITPIX: real numbers read as huge integers."""
    if bits not in (32, 64):
        return
    low, high = np.array(_LIKELY_FLOATS, f"f{bits // 8}").view(f"i{bits // 8}").tolist()
    set_pixels = unit.data[unit.data != 0].astype(np.float64)
    if (
        set_pixels.size and low < np.median(set_pixels % 2.0 ** (bits - 1)) < high
    ):  # without the sign
        reason = f"BITPIX is {bits}, but the pixels are real numbers by their bits"
        raise FileError(
            "HC-F09", reason, f"write BITPIX = -{bits} into the header, or get the file again"
        )


def _pixels(unit: Any, shape: tuple[int, ...]) -> NDArray[np.float32]:
    return np.ascontiguousarray(unit.data.reshape(shape), dtype=np.float32)


def _lazy_pixels(path: Path, kind: str, shape: tuple[int, ...]) -> Any:
    import dask
    import dask.array

    plane = dask.delayed(lambda: read_plane(path, kind).data, pure=False)()
    return dask.array.from_delayed(plane, shape, dtype=np.float32)


def inverse_variance(wht: Any, kind: str, band: str) -> Any:
    """Return weights as inverse variance; `kind` says what they are: "ivar", "rms" or "variance"."""
    if kind == "ivar":
        return wht
    if kind not in _WEIGHTS:
        raise CubeError(
            "HC-D13", f"wht_kind is {kind!r}", f"choose from {', '.join(_WEIGHTS)}", band=band
        )
    good = (wht > 0) & np.isfinite(wht)
    return np.where(good, 1 / np.where(good, wht, 1) ** (1 if kind == "variance" else 2), 0)


def odd_pixels(sci: Any, wht: Any) -> list[Note]:
    """Say where single weights or values cannot be what they are meant to be; they are kept as they are.

    Parameters
    ----------
    sci : array, (y, x)
    wht : array, (y, x)
        Inverse variance.
    """
    notes = []
    most = float(wht.max())
    if float(wht.min()) * _UNLIKELY_WEIGHT < most < np.inf:
        positive = wht[wht > 0].astype(np.float64)
        middle = np.median(positive)
        if odd := int(
            np.sum((positive * _UNLIKELY_WEIGHT < middle) | (positive > middle * _UNLIKELY_WEIGHT))
        ):
            text = f"{odd} weights are more than {_UNLIKELY_WEIGHT:.0e} times smaller or larger than the median"
            notes.append(("HC-D12", text))
    if most > 0 and not max(sci.max(), -sci.min()) * most**0.5 <= _UNLIKELY_SIGNAL:
        good = np.isfinite(sci) & (wht > 0) & np.isfinite(wht)
        signal = np.abs(sci[good], dtype=np.float64) * np.sqrt(wht[good], dtype=np.float64)
        if wild := int(np.sum(signal > _UNLIKELY_SIGNAL)):
            notes.append(
                ("HC-F06", f"{wild} pixels are more than {_UNLIKELY_SIGNAL:.0e} times their noise")
            )
    return notes
