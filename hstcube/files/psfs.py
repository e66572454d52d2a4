"""PSFs in and out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from hstcube.core.bands import band_name
from hstcube.core.grids import Grid
from hstcube.errors import BandError, FileError, PSFError
from hstcube.fits.images import image_shape
from hstcube.fits.opening import located, opened
from hstcube.fits.units import hdu
from hstcube.fits.writing import write_files
from hstcube.psf.kernels import prepare_psf
from hstcube.psf.profiles import fwhm
from hstcube.psf.solver import checked_psf, on_one_frame

__all__ = ["open_psf", "save_psf"]


def save_psf(psf: xr.DataArray, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write PSFs as FITS, one extension a band.

    Parameters
    ----------
    psf : DataArray, (band, ky, kx)
        As `measure_psf` returns it.
    path : path
    overwrite : bool

    Returns
    -------
    Path

    Raises
    ------
    WriteError
        If the file exists or cannot be written.
    """
    scale = float(psf.ky[1] - psf.ky[0])
    units = [hdu(None, [("OBJECT", "PSF", "point spread functions, unit sum")])]
    for name in psf.band.values.tolist():
        one = psf.sel(band=name)
        image = np.ascontiguousarray(one.values, dtype=np.float32)
        cards = [
            ("FILTER", name.upper(), ""),
            ("PIXSCALE", scale, "[arcsec] size of a pixel"),
            ("PSFFWHM", fwhm(image.astype(float)) * scale, "[arcsec] FWHM of the profile"),
            (
                "STARS",
                str(one.stars.item()) if "stars" in one.coords else None,
                "stars it was measured from",
            ),
        ]
        units.append(hdu(image, cards, extname=name.upper()))
    path = Path(path)
    write_files({path: b"".join(units)}, overwrite=overwrite)
    return path


def open_psf(path: str | Path, *, scale: float | None = None) -> xr.DataArray:
    """Open PSFs of any origin; whatever is not odd, centred and of unit sum is made so, and it is said.

    Parameters
    ----------
    path : path
        FITS with an image a band; a band is named by EXTNAME or the card FILTER.
    scale : float, optional
        Arcsec per pixel; else from the card PIXSCALE or the WCS.

    Returns
    -------
    DataArray, (band, ky, kx)
        ``attrs["notes"]`` says what was done to which.

    Raises
    ------
    FileError
        If the file is missing, damaged or foreign.
    PSFError
        If an image names no band, has no scale, or shows no PSF.
    """
    path = Path(path)
    images: dict[str, xr.DataArray] = {}
    notes = []
    with located(path), opened(path) as hdus:
        for unit in hdus:
            if unit.header.get("NAXIS", 0) != 2 or not hasattr(unit, "data"):  # noqa: PLR2004
                continue
            name = _band_of(unit.header, path)
            if name in images:
                raise BandError("HC-B02", "two PSFs for one band", "keep one", str(path), name)
            values = np.asarray(unit.data, dtype=np.float64).reshape(image_shape(unit))
            one = _one_psf(values, scale or _scale_of(unit.header, path))
            if one.attrs["notes"]:
                notes.append(f"{name}: {one.attrs['notes']}")
            images[name] = one
    if not images:
        raise FileError(
            "HC-F04", "holds no image", "give a FITS file with one PSF a band", str(path)
        )
    steps = {round(float(one.ky[1] - one.ky[0]), 6) for one in images.values()}
    if len(steps) > 1:
        raise PSFError(
            "HC-P11",
            f"the PSFs are on pixels of {sorted(steps)} arcsec",
            "give one scale a file",
            str(path),
        )
    return _stacked(images, {"source": path.name, "notes": "; ".join(notes)})


def _one_psf(values: Any, scale: float) -> xr.DataArray:
    """Return a PSF as it is where it can be used so, else made usable."""
    try:
        if abs(values.sum() - 1) > 1e-3:  # noqa: PLR2004
            return prepare_psf(values, scale=scale)
        image = checked_psf(values, "given")
    except PSFError:
        return prepare_psf(values, scale=scale)
    offset = (np.arange(len(image)) - len(image) // 2) * scale
    axis = {"units": "arcsec"}
    return xr.DataArray(
        image,
        {"ky": ("ky", offset, axis), "kx": ("kx", offset, axis)},
        ("ky", "kx"),
        attrs={"notes": ""},
    )


def _stacked(images: dict[str, xr.DataArray], attrs: dict[str, str]) -> xr.DataArray:
    """Return PSFs of one scale on one frame."""
    largest = max(images.values(), key=lambda one: one.sizes["ky"])
    return xr.DataArray(
        np.stack(on_one_frame(*(one.values for one in images.values()))).astype(np.float32),
        {"band": np.array(list(images), object), "ky": largest.ky, "kx": largest.kx},
        ("band", "ky", "kx"),
        "psf",
        {"long_name": "point spread function, unit sum", **attrs},
    )


def _band_of(header: Any, path: Path) -> str:
    for key in ("FILTER", "EXTNAME"):
        if said := str(header.get(key, "")).strip():
            return band_name(said)
    raise PSFError(
        "HC-P15", "an image names no band", "set EXTNAME or FILTER, e.g. to F160W", str(path)
    )


def _scale_of(header: Any, path: Path) -> float:
    said = header.get("PIXSCALE", header.get("PIXELSCL"))
    if isinstance(said, int | float) and 0 < said < 60:  # noqa: PLR2004
        return float(said)
    if "CTYPE1" in header:
        return Grid.from_header(header).scale
    raise PSFError(
        "HC-P15",
        "an image does not say the size of its pixels",
        "give it: scale=0.06 (arcsec)",
        str(path),
    )
