"""PSFs in and out."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from hstcube.core.bands import band_name
from hstcube.core.grids import Grid
from hstcube.core.psf_coords import UNIT_SUM, psf_array
from hstcube.errors import BandError, FileError, PSFError, RecipeError
from hstcube.fits.images import image_shape
from hstcube.fits.local import as_path
from hstcube.fits.opening import located, opened
from hstcube.fits.sets import require_one_set
from hstcube.fits.units import hdu
from hstcube.fits.writing import write_files
from hstcube.inputs.cards import card_text, card_value
from hstcube.inputs.names import checked_name
from hstcube.inputs.quantities import number_in
from hstcube.psf.preparation import checked_psf, on_one_frame, prepare_psf, scale_of
from hstcube.psf.profiles import fwhm

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["open_psf", "psf_bytes", "save_psf"]

_UNIT_SUM = 1e-3  # what a sum may be off
_LARGEST_PIXEL = 60  # arcsec: what says more is no size of a pixel


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
    path = Path(path)
    write_files({path: psf_bytes(psf)}, overwrite=overwrite)
    return path


def psf_bytes(psf: xr.DataArray) -> bytes:
    """Return PSFs as the FITS file that `save_psf` writes."""
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
    return b"".join(units)


def open_psf(path: str | Path, *, scale: Any = None) -> xr.DataArray:
    """Open PSFs of any origin; what is not odd, centred and of unit sum is made so, and it is said.

    Parameters
    ----------
    path : path
        FITS with an image a band; a band is named by EXTNAME or the card FILTER.
    scale : float or Quantity, optional
        Size of a pixel [arcsec]; else from the card PIXSCALE or the WCS.

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
    RecipeError
        If `scale` is no size of a pixel.
    """
    if scale is not None:
        scale = number_in("arcsec", scale, "scale", above=0, most=_LARGEST_PIXEL)
    path = as_path(path)
    images: dict[str, xr.DataArray] = {}
    with located(path), opened(path) as hdus:
        of_set = require_one_set(path, hdus[0].header)
        for unit in hdus:
            if unit.header.get("NAXIS", 0) != 2 or not hasattr(unit, "data"):  # noqa: PLR2004
                continue
            name = _band_of(unit.header, path)
            if name in images:
                raise BandError("HC-B02", "two PSFs for one band", "keep one", str(path), name)
            values = np.asarray(unit.data, dtype=np.float64).reshape(image_shape(unit))
            images[name] = _usable(values, scale or _scale_of(unit.header, path))
    for warning in of_set:
        warnings.warn(warning, stacklevel=2)
    if not images:
        raise FileError(
            "HC-F04", "holds no image", "give a FITS file with one PSF a band", str(path)
        )
    return _of_all_bands(images, path)


def _usable(values: NDArray[np.float64], scale: float) -> xr.DataArray:
    """Return a PSF as it is where it can be used so, else made usable."""
    try:
        if abs(values.sum() - 1) <= _UNIT_SUM:
            return psf_array(checked_psf(values, "given"), scale, attrs={"notes": ""})
    except PSFError:
        pass  # not odd, or not centred: what else it lacks is found now
    return prepare_psf(values, scale=scale)


def _of_all_bands(images: dict[str, xr.DataArray], path: Path) -> xr.DataArray:
    """Return PSFs on one frame, that of the largest; they have pixels of one size."""
    steps = {round(scale_of(one), 6) for one in images.values()}
    if len(steps) > 1:
        raise PSFError(
            "HC-P11",
            f"the PSFs are on pixels of {sorted(steps)} arcsec",
            "give one scale a file",
            str(path),
        )
    notes = [f"{name}: {one.attrs['notes']}" for name, one in images.items() if one.attrs["notes"]]
    largest = max(images.values(), key=lambda one: one.sizes["ky"])
    alike = np.stack(on_one_frame(*(one.values for one in images.values()))).astype(np.float32)
    return xr.DataArray(
        alike,
        {"band": np.array(list(images), object), "ky": largest.ky, "kx": largest.kx},
        ("band", "ky", "kx"),
        "psf",
        {"long_name": UNIT_SUM, "source": path.name, "notes": "; ".join(notes)},
    )


def _band_of(header: Any, path: Path) -> str:
    for key in ("FILTER", "EXTNAME"):
        if said := card_text(header, key):
            return _checked_band(band_name(said), path)
    raise PSFError(
        "HC-P15", "an image names no band", "set EXTNAME or FILTER, e.g. to F160W", str(path)
    )


def _checked_band(name: str, path: Path) -> str:
    """Refuse a name that no band can have: it becomes part of the names of files."""
    try:
        return checked_name(name)
    except RecipeError as error:
        reason = f"an image names the band {name[:70]!r}"
        raise PSFError("HC-P15", reason, "set FILTER, e.g. to F160W", str(path)) from error


def _scale_of(header: Any, path: Path) -> float:
    for key in ("PIXSCALE", "PIXELSCL"):
        said = card_value(header, key)
        if isinstance(said, int | float) and 0 < said < _LARGEST_PIXEL:
            return float(said)
    if "CTYPE1" in header:
        return Grid.from_header(header).scale
    raise PSFError(
        "HC-P15",
        "an image does not say the size of its pixels",
        "give it: [[the card PIXSCALE|scale=0.06]] (arcsec)",
        str(path),
    )
