"""PSFs in and out."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import xarray as xr

from hstcube.core.bands import band_name, cameras
from hstcube.core.grids import Grid
from hstcube.core.offsets import UNIT_SUM, psf_array, psf_errors, with_errors
from hstcube.errors import BandError, FileError, PSFError, RecipeError, warn_caller
from hstcube.fits.images import chosen_unit, image_shape
from hstcube.fits.local import as_path, split_extension
from hstcube.fits.opening import located, opened
from hstcube.fits.sets import require_one_set
from hstcube.fits.units import hdu
from hstcube.fits.writing import write_files
from hstcube.inputs.cards import card_text, card_value
from hstcube.inputs.names import checked_name
from hstcube.inputs.quantities import number_in
from hstcube.psf.energy import energies_of
from hstcube.psf.preparation import checked_psf, on_one_frame, prepare_psf, scale_of
from hstcube.psf.profiles import fwhm

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from hstcube.fits.local import Extension

__all__ = ["MODELS", "Frame", "open_psf", "psf_bytes", "save_psf"]

# what stpsf calls its images, the best first: finer than pixels, distorted as the detector sees it
MODELS = ("OVERDIST", "OVERSAMP", "DET_DIST", "DET_SAMP")
_NO_BANDS = (*MODELS, "PRIMARY", "SCI", "PSF", "EPSF", "DATA", "IMAGE")  # names of extensions

_CARDS = {
    "PSFERR": ("psf_error", "error of its encircled energies"),
    "PSFSTARS": ("psf_stars", "stars that tell it"),
}
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

    Examples
    --------
    >>> import tempfile
    >>> import hstcube
    >>> path = hstcube.save_psf(hstcube.example().psf, tempfile.mkdtemp() + "/psf.fits")
    >>> path.name
    'psf.fits'
    """
    path = as_path(path)
    write_files({path: psf_bytes(psf)}, overwrite=overwrite)
    return path


def psf_bytes(psf: xr.DataArray) -> bytes:
    """Return PSFs as the FITS file that `save_psf` writes."""
    scale = scale_of(psf)
    units = [hdu(None, [("OBJECT", "PSF", "point spread functions, unit sum")])]
    for name in psf.band.values.tolist():
        one = psf.sel(band=name)
        image = np.ascontiguousarray(one.values, dtype=np.float32)
        known = psf_errors(psf, [name])
        cards = [
            ("FILTER", name.upper(), ""),
            ("PIXSCALE", scale, "[arcsec] size of a pixel"),
            ("PSFFWHM", fwhm(image.astype(float)) * scale, "[arcsec] FWHM of the profile"),
            (
                "STARS",
                str(one.stars.item()) if "stars" in one.coords else None,
                "stars it was measured from",
            ),
            *(
                (key, None if np.isnan(known[own][0]) else float(known[own][0]), said)
                for key, (own, said) in _CARDS.items()
            ),
            ("PSFENER", _energy(one), "share of a star's light in this frame"),
        ]
        units.append(hdu(image, cards, extname=name.upper()))
    return b"".join(units)


def _energy(psf: xr.DataArray) -> float | None:
    """Return the share of a star's light that a PSF says it holds, None where it says nothing."""
    share = float(psf.coords.get("psf_energy", np.nan))
    return None if np.isnan(share) else share


def _with_energy(psf: xr.DataArray, header: Any) -> xr.DataArray:
    """Return a PSF with the share of a star's light that its header says it holds."""
    share = card_value(header, "PSFENER")
    if share is None:
        return psf
    share = number_in("", share, "the card PSFENER", above=0, most=1, code="HC-P08", error=PSFError)
    return psf.assign_coords(psf_energy=share)


class Frame(NamedTuple):
    """How models of the detector's frame become PSFs of a mosaic; None: what is assumed.

    ``angle``: by how much the detector's y axis lies counter-clockwise of the mosaic's [deg], 0
    when not known. ``drop``: what drizzle leaves of the detector's pixel, its side as a share of
    the pixel's (pixfrac), 1 when not known.
    """

    angle: float | None = None
    drop: float | None = None


def open_psf(
    path: str | Path,
    *,
    scale: Any = None,
    band: str | None = None,
    angle: Any = None,
    drop: Any = None,
) -> xr.DataArray:
    """Open PSFs of any origin; what is not odd, centred and of unit sum is made so, and it is said.

    Parameters
    ----------
    path : path
        FITS with an image a band; a band is named by EXTNAME or the card FILTER, or else by the
        file's name. An extension may stand behind it: ``"F444W.fits[OVERDIST]"``. Of the four that
        stpsf writes, OVERDIST is taken when none is named.
    scale : float or Quantity, optional
        Size of a pixel [arcsec]; else from the cards PIXSCALE or PIXELSCL, or the WCS.
    band : str, optional
        The band that it is of, where the file does not say it, or holds several.
    angle : float or Quantity, optional
        By how much the image is to be turned counter-clockwise [deg]; 0 when not given. For a model
        in the frame of the detector: by how much its y axis lies so from that of the mosaic.
    drop : float, optional
        Of such models: pixfrac of the drizzle that made the images; 1 when not given. What stpsf
        calls OVERSAMP and OVERDIST knows no pixels: it is convolved with the detector's and the
        drop (`prepare_psf`); DET_SAMP and DET_DIST hold one exposure's pixel already.

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
    BandError
        If it is of another band than `band`.
    RecipeError
        If `scale`, `angle` or `drop` cannot be.

    Examples
    --------
    >>> import tempfile
    >>> import hstcube
    >>> path = hstcube.save_psf(hstcube.example().psf, tempfile.mkdtemp() + "/psf.fits")
    >>> hstcube.open_psf(path).sizes["band"]
    9
    """
    if scale is not None:
        scale = number_in("arcsec", scale, "scale", above=0, most=_LARGEST_PIXEL)
    frame = Frame(
        None if angle is None else number_in("deg", angle, "angle"),
        None if drop is None else number_in("", drop, "drop", above=0, most=1),
    )
    return read_psf(path, scale=scale, band=band, given=frame)


_NOTHING = Frame()


def read_psf(
    path: str | Path,
    *,
    scale: float | None = None,
    band: str | None = None,
    given: Frame = _NOTHING,
    known: Frame = _NOTHING,
) -> xr.DataArray:
    """Return what `open_psf` does; what is not given is as it is known, of models only.

    ``attrs["assumed"]`` says what was neither.
    """
    wanted = None if band is None else band_name(band)
    path, extension = split_extension(path)
    images: dict[str, xr.DataArray] = {}
    told: dict[str, list[float]] = {}
    with located(path), opened(path) as hdus:
        of_set = require_one_set(path, hdus[0].header)
        for unit in _units(hdus, extension):
            header = _with_filter(unit.header, hdus[0].header)
            name = _band_of(header, path, wanted)
            if name in images:
                raise BandError("HC-B02", "two PSFs for one band", "keep one", str(path), name)
            values = np.asarray(unit.data, dtype=np.float64).reshape(image_shape(unit))
            usable = _usable(values, header, path, scale, (given, known))
            images[name] = _with_energy(usable, header)
            told[name] = [_known(header, key) for key in _CARDS]
    for warning in of_set:
        warn_caller(warning)
    if not images:
        raise FileError(
            "HC-F04", "holds no image", "give a FITS file with one PSF a band", str(path)
        )
    if wanted and wanted not in images:
        there = " and ".join(images)
        fix = f"give it for {there}, or repair the card FILTER"
        raise BandError("HC-B03", f"is of {there}, not of {wanted}", fix, str(path), wanted)
    found = _of_all_bands({wanted: images[wanted]} if wanted else images, path)
    return with_errors(found, *zip(*(told[name] for name in found.band.values), strict=True))


def _units(hdus: Any, extension: Extension | None) -> list[Any]:
    """Return the units that hold PSFs: the named one, the best of stpsf's, else all images."""
    if extension is not None:
        return [chosen_unit(hdus, extension)]
    images = [u for u in hdus if u.header.get("NAXIS", 0) == 2 and hasattr(u, "data")]  # noqa: PLR2004
    models = [unit for name in MODELS for unit in images if unit.name == name]
    return models[:1] or images


def _with_filter(header: Any, primary: Any) -> Any:
    """Return a header that names the filter, as the primary one does where it does not."""
    if "FILTER" in header or "FILTER" not in primary:
        return header
    header = header.copy()
    header["FILTER"] = primary["FILTER"]
    return header


def _usable(
    values: NDArray[np.float64],
    header: Any,
    path: Path,
    scale: float | None,
    frames: tuple[Frame, Frame],
) -> xr.DataArray:
    """Return a PSF as it is where it can be used so, else made usable."""
    scale, (given, known) = scale or _scale_of(header, path), frames
    if _model_of(header):
        angle = known.angle if given.angle is None else given.angle
        drop = known.drop if given.drop is None else given.drop
        return _of_model(values, header, scale, Frame(angle, drop))
    if given.angle:
        return prepare_psf(values, scale=scale, angle=given.angle)
    try:
        if abs(values.sum() - 1) <= _UNIT_SUM:
            return psf_array(checked_psf(values, "given"), scale, attrs={"notes": ""})
    except PSFError:
        pass  # not odd, or not centred: what else it lacks is found now
    return prepare_psf(values, scale=scale)


def _model_of(header: Any) -> str:
    """Return which of the images of stpsf it is, '' for none."""
    name = card_text(header, "EXTNAME").upper()
    return name if name in MODELS else ""


def _of_model(values: NDArray[np.float64], header: Any, scale: float, frame: Frame) -> xr.DataArray:
    """Return the PSF of a drizzled mosaic, of a model in the frame of the detector."""
    name = _model_of(header)
    fold = card_value(header, "DET_SAMP") if name.startswith("OVER") else 1
    pixel = scale * (fold if isinstance(fold, int | float) and fold >= 1 else 1)
    angle, drop = frame.angle or 0.0, frame.drop or 1.0
    psf = prepare_psf(
        values,
        scale=scale,
        pixel=pixel if name.startswith("OVER") else 0.0,
        drop=drop * pixel,
        angle=angle,
    )
    assumed = [
        said
        for said, known in (("angle 0", frame.angle), ("pixfrac 1", frame.drop))
        if known is None
    ]
    said = f"{name}, a model in the frame of the detector"
    said += f", {' and '.join(assumed)} assumed" if assumed else ""
    notes = "; ".join([said, *filter(None, [psf.attrs["notes"]])])
    return psf.assign_attrs(notes=notes, assumed=" and ".join(assumed))


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
    found = dict.fromkeys(one.attrs.get("assumed", "") for one in images.values())
    assumed = {"assumed": "; ".join(filter(None, found))} if any(found) else {}
    largest = max(images.values(), key=lambda one: one.sizes["ky"])
    alike = np.stack(on_one_frame(*(one.values for one in images.values()))).astype(np.float32)
    return xr.DataArray(
        alike,
        {
            "band": np.array(list(images), object),
            "ky": largest.ky,
            "kx": largest.kx,
            **energies_of(images.values()),
        },
        ("band", "ky", "kx"),
        "psf",
        {"long_name": UNIT_SUM, "source": path.name, "notes": "; ".join(notes), **assumed},
    )


def _band_of(header: Any, path: Path, wanted: str | None) -> str:
    """Return the band that an image is of: as it says, else `wanted`, else by the file's name."""
    said = ""
    for key in ("FILTER", "EXTNAME"):
        found = card_text(header, key)
        if found and not (key == "EXTNAME" and found.upper() in _NO_BANDS):
            said = band_name(found)
            break
    if wanted and (not said or not cameras(said)):  # EXTNAME may be any word
        return wanted
    if said:
        return _checked_band(said, path)
    named = [band_name(word) for word in re.split(r"[^0-9a-zA-Z]+", path.name)]
    if found_in_name := [name for name in named if not name.isdigit() and cameras(name)]:
        return found_in_name[0]
    raise PSFError(
        "HC-P15",
        "an image names no band",
        "say it: [[--psf f160w=FILE, or set FILTER|band='f160w', or set FILTER]]",
        str(path),
    )


def _checked_band(name: str, path: Path) -> str:
    """Refuse a name that no band can have: it becomes part of the names of files."""
    try:
        return checked_name(name)
    except RecipeError as error:
        reason = f"an image names the band {name[:70]!r}"
        raise PSFError("HC-P15", reason, "set FILTER, e.g. to F160W", str(path)) from error


def _known(header: Any, key: str) -> float:
    """Return a number that is not negative; NaN where a header does not say it."""
    said = card_value(header, key)
    there = isinstance(said, int | float) and not isinstance(said, bool)
    return float(said) if there and 0 <= said < np.inf else float("nan")


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
