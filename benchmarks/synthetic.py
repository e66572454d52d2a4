"""Made-up stamps with the names, shapes and cards of the XDF's, where those are not at hand."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
from astropy.io import fits

if TYPE_CHECKING:
    from pathlib import Path

FIELDS = {
    "3": 253,
    "15": 167,
    "37": 167,
    "912": 167,
    "919": 167,
    "982": 253,
}  # side of the map, as in the real ones
OBJECT, NEIGHBOUR = 24353, 24350  # ids in every map; those of the real merger m3
FILTERS = ("f435w", "f606w", "f775w", "f814w", "f850lp", "f105w", "f125w", "f140w", "f160w")

POINTING = (53.122751, -27.805089)  # degrees
# the card that makes the package's PSFs and noise of the XDF those of these images, too (whose own
# noise is white): a field then costs what a real one does
RELEASE = "Hubble eXtreme Deep Field (ACS/WFC) V1.0. 22 March 2013"
SIDE, STEP, MAP_STEP, ANGLE = 100, 0.06, 0.03, 42.0  # pixels, arcsec, arcsec, degrees
SKY, NOISE = 5e-5, 1e-3  # electron/s in a pixel


def write_stamps(folder: Path) -> Path:
    """Write six fields into new_stamps, segment_maps and NEW_SKY; return the folder."""
    for name in ("new_stamps", "segment_maps", "NEW_SKY"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for i, (field, side) in enumerate(FIELDS.items()):
        rng = np.random.default_rng(i)
        middle = np.array([-30.0, 20.0]) * (i + 1) / 3600  # of the field, degrees from the pointing
        for name in FILTERS:
            write_band(folder, field, name, middle, rng)
        write_map(folder / "segment_maps" / f"udf_mosaic_{field}_HST_SEGMAP.fits", side, middle)
    return folder


def wcs_cards(step: float, angle: float, side: int, middle: np.ndarray) -> dict[str, float | str]:
    """Return the WCS of a square image.

    Arcsec per pixel, turned by degrees, its middle so far from the pointing.
    """
    turn = np.deg2rad(angle)
    matrix = np.array([[-np.cos(turn), np.sin(turn)], [np.sin(turn), np.cos(turn)]]) * step / 3600
    pixel = (side + 1) / 2 - np.linalg.solve(matrix, middle)
    return {
        "CTYPE1": "RA---TAN",
        "CTYPE2": "DEC--TAN",
        "CRVAL1": POINTING[0],
        "CRVAL2": POINTING[1],
        "EQUINOX": 2000.0,
        "CRPIX1": pixel[0],
        "CRPIX2": pixel[1],
        "CD1_1": matrix[0, 0],
        "CD1_2": matrix[0, 1],
        "CD2_1": matrix[1, 0],
        "CD2_2": matrix[1, 1],
    }


def write_band(
    folder: Path, field: str, name: str, middle: np.ndarray, rng: np.random.Generator
) -> None:
    """Write one band: two Gaussian blobs on a sky with white noise, its weights, its level."""
    y, x = np.indices((SIDE, SIDE)) - (SIDE - 1) / 2
    blobs = np.exp(-(x**2 + y**2) / 150) + 0.5 * np.exp(-((x - 20) ** 2 + (y - 15) ** 2) / 60)
    sci = SKY + 0.05 * blobs + NOISE * rng.normal(size=(SIDE, SIDE))
    wht = (1 + 0.1 * rng.random((SIDE, SIDE))) / NOISE**2
    for kind, image in (("sci", sci), ("wht", wht)):
        cards = {
            "FILETYPE": kind.upper(),
            "TELESCOP": "HST",
            "INSTRUME": "WFC3",
            "DETECTOR": "IR",
            "FILTER": name,
            "BUNIT": "ELECTRONS/S",
            "EXPTIME": 1.0,
            "XDFVER": RELEASE,
            **wcs_cards(STEP, 0.0, SIDE, middle),
        }
        path = folder / "new_stamps" / f"{field}_60mas_{name}_{kind}.fits"
        fits.PrimaryHDU(image.astype(np.float32), fits.Header(list(cards.items()))).writeto(path)
    (folder / "NEW_SKY" / f"sky_{field}_{name[1:4]}.txt").write_text(
        f"{SKY:.18e}\n", encoding="utf-8"
    )


def write_map(path: Path, side: int, middle: np.ndarray) -> None:
    """Write a segmentation map.

    The object, its neighbour, and pixels that an interpolation left between two labels.
    """
    y, x = np.indices((side, side)) - side // 2
    labels = np.zeros((side, side), np.float32)
    labels[np.hypot(x - 45, y) < 14] = NEIGHBOUR
    labels[np.hypot(x, y) < 30] = OBJECT
    labels[np.abs(np.hypot(x, y) - 30) < 0.7] = OBJECT / 3
    cards = {"RADESYS": "FK5", **wcs_cards(MAP_STEP, ANGLE, side, middle)}
    unit = fits.ImageHDU(labels, fits.Header(list(cards.items())), name="DATA")
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # BLANK is illegal with real numbers, and all the real maps carry it
        unit.header["BLANK"] = -(2**31)
        fits.HDUList([fits.PrimaryHDU(), unit]).writeto(path, output_verify="ignore")
