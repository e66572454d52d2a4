"""The map of a line from a small cube of spectra: a sum of channels, the continuum taken off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hstcube.core.cube import build
from hstcube.core.grids import Grid
from hstcube.core.state import record
from hstcube.errors import CubeError
from hstcube.ifu.maps import (
    FLUX,
    FLUX_DENSITY,
    Image,
    alike,
    celestial,
    factor_to,
    read_image,
    variance_beside,
    with_smoothing,
    without_errors,
)
from hstcube.inputs.cards import card_text, card_value
from hstcube.inputs.quantities import number_in, numbers_in
from hstcube.inputs.units import parsed_unit, read_unit

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["line_map"]

_WRONG: dict[str, Any] = {"code": "HC-L16", "error": CubeError}
_HALF = 0.5  # of a channel: what a side band holds of one that counts
_ROUNDED = 1e-6
_FEWEST = 2  # channels on all side bands together, for a straight line


def line_map(
    cube3d: Any,
    wavelength: Any,
    width: Any,
    continuum: Any,
    *,
    error: Any = None,
    unit: Any = None,
    name: str = "line",
) -> xr.Dataset:
    """Make the map of a line from a cube of spectra and its variance.

    In each pixel a straight line is fitted to the channels beside the line, all of one weight, and
    what lies above it within `width` is summed, parts of channels as parts. So the flux is a sum of
    channels with the same factors everywhere: linear in the data, unbiased also where the signal is
    faint, its variance that of the sum.

    Parameters
    ----------
    cube3d : path
        (channel, y, x), a flux density per wavelength; of extensions the one called DATA.
    wavelength : float, str or Quantity
        Of the line as it is observed [Angstrom]; of a doublet the middle.
    width : float, str or Quantity
        Of the window that is summed [Angstrom].
    continuum : pairs of float
        Wavelengths [Angstrom] between which there is continuum only: ((6000, 6020), (6060, 6080)).
    error : path, optional
        The variance (or standard deviation, by its unit) of each value; when not given, the
        extension STAT, VAR, ERR or ERROR, as of `open_map`.
    unit : str, optional
        What the values are in, where the header is wrong.
    name : str
        The line's.

    Returns
    -------
    Dataset
        A cube with two bands in 1e-20 erg s-1 cm-2 per pixel: the line, and ``"continuum"``, the
        continuum's flux within the window; ``pivot`` is the wavelength. Pixels that lack a channel
        have no data.

    Raises
    ------
    CubeError
        If channels are missing, or the unit is no flux density.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from astropy.io import fits
    >>> import hstcube
    >>> header = hstcube.Grid.around((53.16, -27.78), size=2, scale=0.2).header()
    >>> header.update(WCSAXES=3, CTYPE3="WAVE", CUNIT3="Angstrom", CRPIX3=1.0, CRVAL3=6000.0)
    >>> header.update(CD3_3=1.25, BUNIT="1e-20 erg s-1 cm-2 Angstrom-1")
    >>> light = np.full((80, 10, 10), 2.0)  # the continuum
    >>> light[38:42] += 5  # the line, 5 Angstrom wide
    >>> units = [fits.ImageHDU(light, header, "DATA"), fits.ImageHDU(light * 0 + 1, header, "STAT")]
    >>> path = tempfile.mkdtemp() + "/cube.fits"
    >>> fits.HDUList([fits.PrimaryHDU(), *units]).writeto(path)
    >>> maps = hstcube.line_map(path, 6049.4, 12.5, ((6005, 6035), (6065, 6095)))
    >>> maps.sci.sel(band="line").mean().round(1).item()  # 5 x 5
    25.0
    """
    image = read_image(cube3d)
    if image.data.ndim != 3:  # noqa: PLR2004
        reason = f"{cube3d}: holds an array of shape {image.data.shape}, not (channel, y, x)"
        raise CubeError(
            "HC-L16", reason, "give a cube of spectra; of a map [[use line|use open_map]]"
        )
    grid = Grid.from_header(celestial(image.header), shape=image.data.shape[1:])
    channels = _channels(image)
    middle = number_in("Angstrom", wavelength, "wavelength", above=0, **_WRONG)
    whole = number_in("Angstrom", width, "width", above=0, **_WRONG)
    line, beneath = _factors(channels, middle, whole, _ranges(continuum))
    factor = factor_to(FLUX_DENSITY, unit or image.unit, cube3d, grid, channels[0])
    variance = variance_beside(cube3d, error, image, unit)
    sci, wht = [], []
    for factors in (line * factor, beneath * factor):
        used = np.flatnonzero(factors)
        sci.append(np.tensordot(factors[used], image.data[used], 1))
        if variance is None:
            spread = alike(sci[-1])
        else:
            spread = np.tensordot(factors[used] ** 2, variance[used], 1)
        wht.append(np.where(np.isfinite(spread) & np.isfinite(sci[-1]), 1 / spread, 0))
    if not np.any(wht[0]):
        reason = f"{cube3d}: no pixel has all channels"
        raise CubeError("HC-L05", reason, "choose others, or another cube")
    made = build(
        np.array(sci), np.array(wht), bands=[name, "continuum"], grid=grid, units=FLUX,
        pivot=[middle, middle],
    )  # fmt: skip
    if variance is None:
        made = without_errors(made, cube3d)
    return record(with_smoothing(made, 0.0), f"line_map(wavelength={middle:g}, width={whole:g})")


def _channels(image: Image) -> tuple[Array, float]:
    """Return the middles of the channels and their width [Angstrom]."""
    header = image.header
    step = card_value(header, "CD3_3") or card_value(header, "CDELT3")
    start, place = card_value(header, "CRVAL3"), card_value(header, "CRPIX3")
    unit = card_text(header, "CUNIT3") or "m"
    if not all(isinstance(one, int | float) for one in (step, start, place)) or not step:
        reason = "the header does not say the wavelengths: CRVAL3, CRPIX3, and CD3_3 or CDELT3"
        raise CubeError("HC-L16", reason, "give a cube with a linear axis of wavelengths")
    one = parsed_unit(read_unit(unit))
    if not one.is_equivalent("Angstrom"):
        reason = f"the third axis is in {unit!r}, no wavelength"
        raise CubeError("HC-L16", reason, "give a cube with a linear axis of wavelengths")
    scale = float(one.to("Angstrom"))
    number = np.arange(1, image.data.shape[0] + 1)
    return (float(start) + (number - float(place)) * float(step)) * scale, abs(step * scale)


def _ranges(continuum: Any) -> Array:
    pairs = numbers_in("Angstrom", continuum, "continuum", above=0, **_WRONG)
    if pairs.ndim == 1:
        pairs = pairs[None]
    if pairs.ndim != 2 or pairs.shape[1] != 2 or not (pairs[:, 1] > pairs[:, 0]).all():  # noqa: PLR2004
        reason = "continuum holds no pairs of wavelengths, the lower one first"
        raise CubeError("HC-L16", reason, "give e.g. ((6000, 6020), (6060, 6080))")
    return pairs


def _factors(
    channels: tuple[Array, float], middle: float, width: float, ranges: Array
) -> tuple[Array, Array]:
    """Return what each channel is multiplied by, for the line and for the continuum beneath it."""
    places, step = channels
    window = _share(places, step, middle - width / 2, middle + width / 2)
    beside = np.zeros(places.size, bool)
    for low, high in ranges:
        beside |= _share(places, step, low, high) > _HALF - _ROUNDED
    if window.sum() * step < width * (1 - _ROUNDED) or (beside & (window > 0)).any():
        reason = (
            f"the window of {width:g} Angstrom around {middle:g} is not within the cube, "
            f"{places.min():.1f} to {places.max():.1f}, or meets the continuum"
        )
        raise CubeError("HC-L16", reason, "choose a smaller width, or other wavelengths")
    if beside.sum() < _FEWEST:
        reason = f"{int(beside.sum())} channels lie within the ranges of the continuum"
        raise CubeError("HC-L16", reason, "choose ranges beside the line, within the cube")
    design = np.stack([np.ones(places.size), (places - middle) / width], axis=1)
    line_of = np.linalg.pinv(design[beside])  # (2, channel): what makes the straight line
    beneath = np.zeros(places.size)
    beneath[beside] = step * (window @ design) @ line_of
    return step * window - beneath, beneath


def _share(places: Array, step: float, low: float, high: float) -> Array:
    """Return the share of each channel that lies between two wavelengths."""
    inside = np.minimum(places + step / 2, high) - np.maximum(places - step / 2, low)
    return np.clip(inside / step, 0, 1)
