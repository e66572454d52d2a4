"""Line maps as they come: a 2-d map of a line's flux with its errors, or several to be summed."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hstcube.core.cube import build
from hstcube.core.grids import Grid
from hstcube.core.offsets import with_noise_coords
from hstcube.core.state import note, record, warn
from hstcube.errors import CubeError, FileError
from hstcube.fits.images import chosen_unit, image_shape, require_whole
from hstcube.fits.local import as_path
from hstcube.fits.opening import located, opened
from hstcube.inputs.cards import card_text
from hstcube.inputs.quantities import number_in
from hstcube.inputs.units import parsed_unit, read_unit
from hstcube.psf.profiles import FWHM_OF_SIGMA

if TYPE_CHECKING:
    from pathlib import Path

    import xarray as xr
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = [
    "FLUX",
    "FLUX_DENSITY",
    "SMOOTHED",
    "Image",
    "alike",
    "celestial",
    "factor_to",
    "open_map",
    "read_image",
    "variance_beside",
    "with_smoothing",
    "without_errors",
]

FLUX = "1e-20 erg s-1 cm-2"  # of a line in a pixel; what IFUs count in
FLUX_DENSITY = f"{FLUX} AA-1"
_CALLED = {FLUX: "a line's flux", FLUX_DENSITY: "a flux density per wavelength"}
SMOOTHED = "smoothed"  # the coordinate: FWHM [arcsec] of a Gaussian that smoothed a map

_ERRORS = ("STAT", "VAR", "ERR", "ERROR")  # extensions beside a map; the first two are variances
_MAP = 2  # axes
_PER_PIXEL = re.compile(
    r"\s*(/\s*(spaxel|pixel|pix)|[ .*]\s*(spaxel|pixel|pix)\s*(\*\*|\^)?\s*\(?-1\)?)\b",
    re.IGNORECASE,
)
_SQUARE = re.compile(r"\((?P<inside>.*)\)\s*(\*\*|\^)?\s*\(?2\)?")
_FAR = 4.0  # standard deviations: how far the correlations of smoothed noise are described


class Image(NamedTuple):
    """An array of a file, (y, x) or (channel, y, x), with its header and its unit."""

    data: Array
    header: Any
    unit: str
    stale: bool  # its checksum is not that of its pixels
    errors: str | None  # the extension with its errors


def open_map(
    path: Any,
    *,
    error: Any = None,
    hdu: Any = None,
    unit: Any = None,
    smoothed: Any = None,
    wavelength: Any = None,
    name: str = "line",
) -> xr.Dataset:
    """Open the map of a line's flux, or the sum of several.

    Parameters
    ----------
    path : path, or sequence of paths
        2-d maps on one grid; several are summed (the lines of a doublet). A pixel that is NaN in
        one of them has no data.
    error : path, or sequence of paths, optional
        Their errors, one file each: standard deviations, or variances where the unit is squared.
        When not given: the extension STAT or VAR (variances), ERR or ERROR of the map's own file;
        where there is none, all pixels count alike, with a warning.
    hdu : str or int, optional
        The extension of the maps; DATA, or the first image, when not given.
    unit : str, optional
        What the values are in, where the header is wrong: maps cut from cubes often say per
        Angstrom although they were integrated.
    smoothed : float, str or Quantity, optional
        FWHM of a Gaussian that smoothed the map before it was measured [arcsec]: the model is
        smoothed likewise, and the noise of the map is correlated.
    wavelength : float, str or Quantity, optional
        Of the line as it is observed [Angstrom]: `fit_line` then tells its equivalent width.
    name : str
        The line's, which the band is called.

    Returns
    -------
    Dataset
        A cube with one band, in 1e-20 erg s-1 cm-2 per pixel.

    Raises
    ------
    CubeError
        If the maps have no flux of a line as their unit, errors of another shape, or errors that
        are zero or negative where the map has a value; if no pixel has data.
    GridError, FileError
        If they lie on different grids; if a file cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> from astropy.io import fits
    >>> import hstcube
    >>> cube = hstcube.example(matched=True)
    >>> header = hstcube.Grid.of(cube).header()
    >>> header["BUNIT"] = "1e-20 erg s-1 cm-2"
    >>> light = 1e3 * cube.sci.sel(band="f606w").values  # a line that is as the light of a band
    >>> units = [fits.ImageHDU(light, header, "DATA"), fits.ImageHDU(0 * light + 1, header, "STAT")]
    >>> path = tempfile.mkdtemp() + "/line.fits"
    >>> fits.HDUList([fits.PrimaryHDU(), *units]).writeto(path)
    >>> line = hstcube.open_map(path)
    >>> line.band.item(), line.sci.attrs["units"]
    ('line', '1e-20 erg s-1 cm-2')
    """
    paths = [path] if not isinstance(path, list | tuple) else [*path]
    errors = [error] if not isinstance(error, list | tuple) else [*error]
    if error is None:
        errors = [None] * len(paths)
    if not paths or len(errors) != len(paths):
        reason = f"{len(paths)} maps and {len(errors)} errors"
        raise CubeError("HC-L03", reason, "give one file of errors for each map")
    opened_ = [_opened(one, beside, hdu, unit) for one, beside in zip(paths, errors, strict=True)]
    grid = opened_[0].grid
    for one in opened_[1:]:
        grid.require(one.grid, what="the maps", fix="sum maps of one grid only")
    total = np.sum([one.values for one in opened_], axis=0)
    variance = np.sum([one.variance for one in opened_], axis=0)
    bare = [str(path) for path, one in zip(paths, opened_, strict=True) if one.bare]
    stale = sum(one.stale for one in opened_)
    pivot = math.nan
    if wavelength is not None:
        pivot = number_in("Angstrom", wavelength, "wavelength", above=0)
    cube = _built(total, variance, grid, name, pivot, paths[0])
    width = 0.0
    if smoothed is not None:
        width = number_in("arcsec", smoothed, "smoothed", least=0, pixel=grid.scale)
    cube = with_smoothing(cube, width)
    if bare:
        cube = without_errors(cube, ", ".join(bare))
    if stale:
        text = f"the checksum of {stale} maps is not that of their pixels: edited, or damaged"
        cube = warn(cube, "HC-L19", text)
    if len(paths) > 1:
        text = f"{len(paths)} maps are summed, their errors taken for independent"
        cube = note(cube, "HC-L07", text)
    return record(cube, f"open_map({len(paths)} maps, smoothed={smoothed!r})")


class _Map(NamedTuple):
    """One file, in 1e-20 erg s-1 cm-2."""

    values: Array
    variance: Array
    grid: Grid
    bare: bool  # nobody gave errors
    stale: bool


def _opened(path: Any, beside: Any, hdu: Any, unit: str | None) -> _Map:
    """Return a map with its variance."""
    image = read_image(path, hdu)
    if image.data.ndim != _MAP:
        reason = f"{path}: holds an array of shape {image.data.shape}, and a map is (y, x)"
        fix = "give [[the map of a line, not a cube of spectra|what line_map makes of it]]"
        raise CubeError("HC-L05", reason, fix)
    grid = Grid.from_header(celestial(image.header), shape=image.data.shape)
    factor = factor_to(FLUX, unit or image.unit, path, grid)
    noise = variance_beside(path, beside, image, unit)
    values = image.data * factor
    variance = alike(values) if noise is None else noise * factor**2
    return _Map(values, variance, grid, noise is None, image.stale)


def _built(
    total: Array, variance: Array, grid: Grid, name: str, pivot: float, path: Any
) -> xr.Dataset:
    """Return the cube of one band."""
    good = np.isfinite(total) & np.isfinite(variance)
    if not good.any():
        reason = f"{path}: no pixel of the map has both a value and an error"
        raise CubeError("HC-L05", reason, "give a map with data, and errors that belong to it")
    wht = np.divide(1.0, variance, where=good, out=np.zeros(total.shape))
    sci = np.where(good, total, np.nan)
    return build(sci[None], wht[None], bands=[name], grid=grid, units=FLUX, pivot=[pivot])


def without_errors(cube: xr.Dataset, path: Any) -> xr.Dataset:
    """Return a map that says, and warns, that nobody gave its errors."""
    text = f"{path}: has no errors: all pixels count alike, and the fit's residuals tell them"
    return warn(cube, "HC-L06", text).assign_attrs(errors="assumed")


def with_smoothing(cube: xr.Dataset, width: float) -> xr.Dataset:
    """Return a map that says which Gaussian, FWHM [arcsec], smoothed it, and how its noise is."""
    told = ("band", np.full(cube.sizes["band"], width), {"units": "arcsec"})
    cube = cube.assign_coords({SMOOTHED: told})
    if not width:
        return cube
    steps = Grid.of(cube).steps
    spread = np.sqrt(2) * width / FWHM_OF_SIGMA  # of the autocorrelation
    lags = [np.arange(-n, n + 1) for n in (int(np.ceil(_FAR * spread / step)) for step in steps)]
    down, along = (
        np.exp(-0.5 * (n * step / spread) ** 2) for n, step in zip(lags, steps, strict=True)
    )
    acf = np.repeat(np.multiply.outer(down, along)[None], cube.sizes["band"], axis=0)
    return with_noise_coords(cube, np.ones(cube.sizes["band"]), acf, steps)


def read_image(
    path: str | Path, hdu: Any = None, names: tuple[str, ...] = ("DATA", "SCI")
) -> Image:
    """Read one extension: that of a name, or the first image of the file.

    Raises
    ------
    FileError
        If the file is missing, damaged or foreign.
    """
    path = as_path(path)
    with located(path), opened(path) as hdus:
        named = [one.name for one in hdus if one.is_image and len(one.shape) > 1]
        wanted, errors = (next((q for q in of if q in named), None) for of in (names, _ERRORS))
        first = next((i for i, one in enumerate(hdus) if one.is_image and len(one.shape) > 1), 0)
        unit = chosen_unit(hdus, hdu if hdu is not None else wanted or first)
        stale = _is_stale(path, unit)
        if len(unit.shape) != 3:  # noqa: PLR2004  a cube of spectra
            image_shape(unit)  # refuses what is no image
        data = np.asarray(unit.data, dtype=np.float64)
        if data.shape[0] == 1 and data.ndim > _MAP:  # a map on three axes
            data = data[0]
        header = unit.header.copy()
    return Image(data, header, card_text(header, "BUNIT"), stale, errors)


def _is_stale(path: Path, unit: Any) -> bool:
    """Say whether an image's checksum is not its own; refuse what else is wrong with it.

    Programs that blank the faint pixels of a map often leave the sum of the map before.
    """
    try:
        require_whole(path, unit)
    except FileError as error:
        if error.code != "HC-F05":
            raise
        return True
    return False


def variance_beside(path: Any, beside: Any, image: Image, said: str | None) -> Array | None:
    """Return the variances of values [their unit squared]; NaN where there is no data.

    Parameters
    ----------
    path, beside : path
        Of the values, and of their errors, where these have a file of their own; None is returned
        where nobody gives errors.
    image : Image
        The values.
    said : str, optional
        What they are in, by the user, who is believed where the unit of the errors tells nothing.

    Raises
    ------
    CubeError
        If they are no errors of these values.
    """
    squared = None
    if beside is None:
        if image.errors is None:
            return None
        noise, squared = read_image(path, image.errors), image.errors in _ERRORS[:2]
    else:
        noise = read_image(beside, None, ("DATA", *_ERRORS))
    try:
        by_unit, factor = _kind(noise.unit, image.unit or said or "", beside or path)
    except CubeError:
        if not said:
            raise
        by_unit, factor = bool(squared), 1.0
    if squared not in (None, by_unit):  # the card of the values, copied
        by_unit, factor = not by_unit, 1.0
    variance = _variance_of(noise.data, image.data, squared=by_unit, path=beside or path)
    return variance * factor ** (1 if by_unit else 2)


def _kind(unit: str, of: str, path: Any) -> tuple[bool, float]:
    """Return whether a unit of errors is the square of that of the values, and what one of it is.

    Errors without a unit are standard deviations, in the unit of the values.
    """
    if not unit:
        return False, 1.0
    if whole := _SQUARE.fullmatch(unit.strip()):  # which astropy does not read with a number inside
        squared, factor = _kind(whole["inside"], of, path)
        return not squared, factor**2
    one, other = _read(unit, path), _read(of, path)
    for squared in (False, True):
        if one.is_equivalent(other ** (1 + squared)):
            return squared, float(one.to(other ** (1 + squared)))
    reason = f"{path}: the errors are in {unit!r}, the values in {of!r}"
    raise CubeError("HC-L03", reason, "give standard deviations or variances in the unit's square")


def _variance_of(noise: Array, data: Array, *, squared: bool, path: Any) -> Array:
    """Return variances, NaN where there is no data."""
    if noise.shape != data.shape:
        reason = f"{path}: the errors have the shape {noise.shape}, the map {data.shape}"
        raise CubeError("HC-L03", reason, "give the errors of this map")
    known = np.isfinite(data) & (data != 0)
    if wrong := int(np.sum(known & (noise <= 0))):
        reason = f"{path}: {wrong} of {int(known.sum())} errors are zero or negative"
        raise CubeError("HC-L03", reason, "give standard deviations or variances; NaN is no data")
    good = np.isfinite(noise) & (noise > 0)
    return np.where(good, noise if squared else noise**2, np.nan)


def alike(values: Array) -> Array:
    """Return one variance for all pixels: the mean square, which its errors do not exceed."""
    known = np.isfinite(values)
    spread = float(np.mean(values[known] ** 2)) if known.any() else 0.0
    return np.full(values.shape, spread or np.nan)


def factor_to(wanted: str, unit: str, path: Any, grid: Grid, at: Any = None) -> Any:
    """Return what one `unit`, of a pixel or of a solid angle, is in a unit of pixels.

    Parameters
    ----------
    wanted : {FLUX, FLUX_DENSITY}
    unit : str
    path : path
        Where it was said.
    grid : Grid
        Of the pixels.
    at : array, optional
        Wavelengths [Angstrom], where a density may be per frequency.

    Raises
    ------
    CubeError
        If it is none.
    """
    from astropy import units

    target = parsed_unit(wanted)
    one = _read(unit, path) if unit else None
    pixel = units.Unit(float(np.prod(grid.steps)) * units.arcsec**2)
    for found in () if one is None else (one, one * pixel):
        if found.is_equivalent(target):
            return float(found.to(target))
        if at is not None and found.is_equivalent(units.Jy):
            return found.to(target, np.ones(len(at)), units.spectral_density(at * units.AA))
    reason = f"{path}: the unit is {unit or 'not said'!r}, not that of {_CALLED[wanted]}"
    if one is not None and wanted == FLUX and one.is_equivalent(target / units.Angstrom):
        reason = f"{path}: the unit {unit!r} is per wavelength, and the map of a line is integrated"
    fix = f"say what the values are: [[--unit '{wanted}'|unit='{wanted}']]"
    raise CubeError("HC-L04", reason, fix)


def _read(unit: str, path: Any) -> Any:
    """Return a unit, without the pixel that each value is of anyway."""
    try:
        return parsed_unit(read_unit(_PER_PIXEL.sub("", unit).strip()))
    except CubeError as error:
        reason = f"{path}: the unit {unit!r} is not read"
        fix = f"say what the values are: [[--unit '{FLUX}'|unit='{FLUX}']]"
        raise CubeError("HC-L04", reason, fix) from error


def celestial(header: Any) -> dict[str, Any]:
    """Return the cards of a header without those of a third axis, which no map has."""
    kept = {key: header[key] for key in header if not _is_spectral(str(key))}
    if "WCSAXES" in kept:
        kept["WCSAXES"] = 2
    return kept


def _is_spectral(key: str) -> bool:
    third = key.startswith(("CTYPE3", "CUNIT3", "CRVAL3", "CRPIX3", "CDELT3", "NAXIS3"))
    return third or (key[:2] in ("CD", "PC") and "3" in key[2:].split("_"))
