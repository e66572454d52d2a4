"""Small folders of made-up stamps like those of the XDF, and hooks to spoil one thing in them.

    write_field(folder)                                              a good field, "1"
    rewrite(stamp(folder, "f435w"), cards={"FILTER": "F606W"})        one card is wrong
    rewrite(stamp(folder, "f435w", "wht"), pixels=lambda a: -a)       all weights are negative

Each image shows an object (label `OBJECT`) at its centre and a neighbour (`NEIGHBOUR`) on a sky of
level `SKY[band]`. The segmentation map has pixels of 30 mas, is rotated by 42 degrees, leaves the
corners of the frame uncovered, and was interpolated: the borders of its labels are not integers.
Everything follows from the arguments; nothing is random.
"""

from __future__ import annotations

import warnings
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

ALL_BANDS = ("f435w", "f606w", "f775w", "f814w", "f850lp", "f105w", "f125w", "f140w", "f160w")
BANDS = ("f435w", "f850lp", "f160w")
OBJECT, NEIGHBOUR = 4001, 4002
SKY = {band: 2e-4 * (i + 1) for i, band in enumerate(ALL_BANDS)}  # electron/s per pixel of 60 mas
NOISE = 1e-3  # electron/s per pixel of 60 mas

_POINTING = (53.122751, -27.805089)  # RA and Dec of the tangent point, degrees
_MAP_STEP, _MAP_SIDE, _MAP_ANGLE = 0.03, 84, 42.0  # arcsec, pixels, degrees
_SHAPES = {
    OBJECT: (0.0, 0.0, 0.24),
    NEIGHBOUR: (0.60, 0.45, 0.15),
}  # x, y, radius of a label, arcsec from the centre


def write_field(
    folder: Path,
    field: str = "1",
    *,
    scale: str = "60mas",
    bands: Sequence[str] = BANDS,
    shape: tuple[int, int] = (40, 44),
    labels: bool = True,
    sky: bool = True,
) -> Path:
    """Write a good field into `folder`: new_stamps, segment_maps, NEW_SKY. Return the folder."""
    step = float(scale.removesuffix("mas")) / 1000
    for name in ("new_stamps", "segment_maps", "NEW_SKY"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for band in bands:
        for kind, image in zip(("sci", "wht"), images(field, band, shape, step), strict=True):
            header = _image_header(field, band, kind, shape, step)
            fits.PrimaryHDU(image, header).writeto(
                stamp(folder, band, kind, field=field, scale=scale), overwrite=True
            )
        if sky:
            sky_file(folder, band, field=field).write_text(f"{SKY[band]:.18e}\n")
    if labels:
        write_labels(label_map(folder, field), field, shape, step)
    return folder


def stamp(
    folder: Path, band: str, kind: str = "sci", *, field: str = "1", scale: str = "60mas"
) -> Path:
    """Return the path of one image."""
    return folder / "new_stamps" / f"{field}_{scale}_{band}_{kind}.fits"


def label_map(folder: Path, field: str = "1") -> Path:
    """Return the path of a field's segmentation map."""
    return folder / "segment_maps" / f"udf_mosaic_{field}_HST_SEGMAP.fits"


def sky_file(folder: Path, band: str, *, field: str = "1") -> Path:
    """Return the path of one band's sky level."""
    return folder / "NEW_SKY" / f"sky_{field}_{''.join(filter(str.isdigit, band))}.txt"


def rewrite(
    path: Path,
    *,
    cards: Mapping[str, Any] | None = None,
    pixels: Callable[[np.ndarray], np.ndarray] | None = None,
    to: Path | None = None,
    checksum: bool = False,
) -> Path:
    """Write a file again, or to `to`, with other cards (None removes one) and other pixels."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with fits.open(path, memmap=False) as hdus:
            unit = next(unit for unit in hdus if unit.data is not None)
            if pixels is not None:
                unit.data = pixels(unit.data)
            for key, value in (cards or {}).items():
                if value is None:
                    unit.header.remove(key, ignore_missing=True)
                else:
                    unit.header[key] = value
            hdus.writeto(to or path, overwrite=True, checksum=checksum, output_verify="ignore")
    return to or path


def edit_bytes(path: Path, old: bytes, new: bytes) -> Path:
    """Replace bytes that occur once, by as many others: what no FITS library would write."""
    data = path.read_bytes()
    assert data.count(old) == 1, f"{old!r} occurs {data.count(old)} times in {path.name}"
    assert len(old) == len(new)
    path.write_bytes(data.replace(old, new))
    return path


def images(
    field: str, band: str, shape: tuple[int, int], step: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the science image and the weights of one band, float32."""
    rng = np.random.default_rng([zlib.crc32(field.encode()), ALL_BANDS.index(band)])
    y, x = np.indices(shape)
    area = (step / 0.06) ** 2  # of a pixel, in units of those that SKY and NOISE are given for
    noise = NOISE * np.sqrt(area) * (1 + 0.1 * x / shape[1])
    sci = SKY[band] * area + rng.normal(size=shape) * noise
    for label, (x0, y0, radius) in _SHAPES.items():
        distance = (
            np.hypot(x - (shape[1] - 1) / 2 - x0 / step, y - (shape[0] - 1) / 2 - y0 / step) * step
        )
        peak = 0.02 if label == OBJECT else 0.01
        sci += (
            area
            * peak
            * (1 + 0.2 * ALL_BANDS.index(band))
            * np.exp(-0.5 * (distance / (0.6 * radius)) ** 2)
        )
    return sci.astype(np.float32), (1 / noise**2).astype(np.float32)


def write_labels(
    path: Path, field: str = "1", shape: tuple[int, int] = (40, 44), step: float = 0.06
) -> Path:
    """Write the segmentation map of a field whose images have that shape and step [arcsec]."""
    turn = np.deg2rad(_MAP_ANGLE)
    matrix = (
        np.array([[-np.cos(turn), np.sin(turn)], [np.sin(turn), np.cos(turn)]]) * _MAP_STEP / 3600
    )
    middle = _offset(field) + (step / 3600) * np.array(
        [0.5, 0.5]
    )  # half a pixel: as ill-aligned as the real ones
    header = fits.Header()
    header["WCSAXES"] = 2
    for i in (1, 2):
        header[f"CRPIX{i}"] = (_MAP_SIDE + 1) / 2 - np.linalg.solve(matrix, middle)[i - 1]
        header[f"CDELT{i}"] = 1.0
        header[f"CUNIT{i}"] = "deg"
        header[f"CTYPE{i}"] = ("RA---TAN", "DEC--TAN")[i - 1]
        header[f"CRVAL{i}"] = _POINTING[i - 1]
        for j in (1, 2):
            header[f"PC{i}_{j}"] = matrix[i - 1, j - 1]
    header["LONPOLE"], header["LATPOLE"] = 180.0, _POINTING[1]
    header["RADESYS"], header["EQUINOX"] = "FK5", 2000.0
    unit = fits.ImageHDU(_interpolated_labels(turn), header, name="DATA")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        unit.header["BLANK"] = -(
            2**31
        )  # illegal with real numbers, and there in every one of the originals
        fits.HDUList([fits.PrimaryHDU(), unit]).writeto(
            path, overwrite=True, output_verify="ignore"
        )
    return path


def _interpolated_labels(turn: float) -> np.ndarray:
    """Return the labels as a linear interpolation leaves them, float32."""

    def at(shift: float) -> np.ndarray:
        y, x = (np.indices((_MAP_SIDE, _MAP_SIDE)) - (_MAP_SIDE - 1) / 2 + shift) * _MAP_STEP
        east, north = -np.cos(turn) * x + np.sin(turn) * y, np.sin(turn) * x + np.cos(turn) * y
        found = np.zeros((_MAP_SIDE, _MAP_SIDE))
        for label, (x0, y0, radius) in _SHAPES.items():
            found[np.hypot(east + x0, north - y0) < radius] = label
        return found

    return (at(0.0) * 0.7 + at(1.0) * 0.3).astype(np.float32)


def _offset(field: str) -> np.ndarray:
    """Return how far a field's centre is from the tangent point, east and north, degrees."""
    number = zlib.crc32(field.encode())
    return np.array([(number % 1000) - 500, (number // 1000 % 1000) - 500]) / 3600 * 0.2


def _image_header(
    field: str, band: str, kind: str, shape: tuple[int, int], step: float
) -> fits.Header:
    """Return the cards of an XDF stamp.

    The camera is wrong for ACS bands, and DATE is no legal date.
    """
    east, north = _offset(field) * 3600 / step
    cards = [
        ("DATE", "2013-03-22T012:00:00"),
        ("FILETYPE", kind.upper()),
        ("TELESCOP", "HST"),
        ("INSTRUME", "WFC3"),
        ("EQUINOX", 2000.0),
        ("EXPTIME", 1.0),
        ("OBSTYPE", "IMAGING"),
        ("DETECTOR", "IR"),
        ("FILTER", band),
        ("BUNIT", "ELECTRONS/S"),
        ("WCSAXES", 2),
        ("CRPIX1", (shape[1] + 1) / 2 + east),
        ("CRPIX2", (shape[0] + 1) / 2 - north),
        ("CRVAL1", _POINTING[0]),
        ("CRVAL2", _POINTING[1]),
        ("CTYPE1", "RA---TAN"),
        ("CTYPE2", "DEC--TAN"),
        ("CD1_1", -step / 3600),
        ("CD1_2", 0.0),
        ("CD2_1", 0.0),
        ("CD2_2", step / 3600),
        ("ORIENTAT", 0.0),
        ("XDFVER", "made up in the manner of the XDF V1.0"),
        ("TEXPTIME", 195429.0),
    ]
    return fits.Header(cards)
