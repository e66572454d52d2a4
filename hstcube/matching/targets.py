"""What the bands of a cube may be brought to: a band, a width, a PSF."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from hstcube.basics.memory import remembered
from hstcube.core.bands import name_among
from hstcube.core.grids import Grid
from hstcube.core.state import warn
from hstcube.errors import PSFError, RecipeError
from hstcube.inputs.quantities import number_in, short
from hstcube.matching.solver import gaussian_kernel
from hstcube.psf.preparation import prepare_psf, scale_of
from hstcube.psf.profiles import FWHM_OF_SIGMA, fwhm

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    Image64 = NDArray[np.float64]

__all__ = [
    "as_target",
    "fwhm_of",
    "require_width",
    "target_psf",
    "told_of_fine_pixels",
    "width_of",
]

_FINEST = 16.0  # pixels of the narrowest PSF; 10 are usual at most (0.2 arcsec on 20 mas)
_LARGE = 2**18  # pixels of an image: of smaller ones even that takes seconds
_STAMPS = 4  # sides of the PSFs' images: targets are not wider

_NUMBER = re.compile(r"\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*")
_LENGTH = re.compile(rf"({_NUMBER.pattern})([A-Za-z]\w*)\s*")


def target_psf(psf: xr.DataArray, to: str | xr.DataArray, scale: float) -> Image64:
    """Return the target on pixels of `scale`."""
    if not isinstance(to, str):
        given = prepare_psf(to.values, scale=scale_of(to), to_scale=scale)
        return np.asarray(given.values, dtype=np.float64)
    if width := width_of(to):
        side = max(psf.sizes["ky"], psf.sizes["kx"]) * scale
        require_width(
            width, _STAMPS * side, f"{_STAMPS} times the PSFs' images, {side:.3g} arcsec,"
        )
        sigma = width / scale / FWHM_OF_SIGMA
        half = max(psf.sizes["ky"] // 2, int(np.ceil(5 * sigma)))
        return gaussian_kernel((sigma, sigma), (half, half))
    names = psf.band.values.tolist()
    if to not in names:
        raise PSFError(
            "HC-B05",
            f"the target {to!r} has no PSF here",
            f"choose [[--to|to=]] from {', '.join(map(str, names))}, or a width, e.g. '0.3arcsec'",
        )
    return np.asarray(psf.isel(band=names.index(to)).values, dtype=np.float64)


def require_width(width: float, most: float, what: str) -> None:
    """Refuse a target so wide that its image would fill the memory, and show nothing.

    Raises
    ------
    PSFError
        If the FWHM, `width`, is above `most` [arcsec].
    """
    if width > most:
        reason = f"a target of {width:g} arcsec FWHM is wider than {what} which show nothing of it"
        raise PSFError("HC-P19", reason, f"choose a width below {most:.3g} arcsec")


def told_of_fine_pixels(cube: xr.Dataset, name: str) -> xr.Dataset:
    """Return the cube, with a warning where its pixels are so fine that matching takes long.

    A small image, or bands that are matched to the target `name` already, take no time.
    """
    width, scale = float(np.min(cube.psf_fwhm.values)), Grid.of(cube).scale
    small = cube.sizes["y"] * cube.sizes["x"] < _LARGE
    if small or not width > _FINEST * scale or (cube.matched_to.values == name).all():
        return cube
    text = (
        f"the narrowest PSF is {width / scale:.0f} pixels wide: that takes long; match on the "
        "pixels of the images, then regrid"
    )
    return warn(cube, "HC-P44", text)


@remembered(64)
def fwhm_of(image: Image64) -> float:
    """Return the FWHM of a PSF, pixels; kept, for it takes as long as a step of the recipe."""
    return fwhm(image)


def as_target(
    to: Any, bands: Iterable[str] = (), *, pixel: float | None = None
) -> str | xr.DataArray:
    """Return a target of the matching as it is remembered.

    Parameters
    ----------
    to : str, Quantity or DataArray
        A band; a width, ``0.3 * u.arcsec``, ``"300mas"``; or a PSF.
    bands : iterable of str
        The bands that there are: F160W and f160w are one.
    pixel : float, optional
        Arcsec of a pixel, where there is one.

    Returns
    -------
    str or DataArray
        The name of a band, ``"0.3arcsec"``, or the PSF.

    Raises
    ------
    RecipeError
        If it is a number without a unit, or none of these.
    """
    if isinstance(to, xr.DataArray) and "ky" in to.dims:
        return to
    if isinstance(to, str):
        there = [str(name) for name in bands]
        name = name_among(to, there)
        if name in there or not _is_width(to):
            return name
        if width_of(to):
            return to  # as it was written
    bare = isinstance(to, str) and _NUMBER.fullmatch(to)
    if bare or (not _unit_of(to) and _is_number(to)):
        fix = f'say the unit: [[--to {to}arcsec|to="{to}arcsec"]]'
        raise RecipeError("HC-B33", f"to is {to}, a number without a unit", fix)
    if not isinstance(to, str) and not _unit_of(to):
        fix = 'give a band, "0.3arcsec"[[|, or a PSF with offsets: prepare_psf(image, scale=0.06)]]'
        raise RecipeError("HC-B31", f"to is {short(to)}, no target", fix)
    width = number_in("arcsec", to, "to", pixel=pixel, above=0)
    return f"{width:.12g}arcsec"


def _is_number(to: Any) -> bool:
    single = not isinstance(to, xr.Dataset) and np.ndim(to) == 0
    return single and np.asarray(to).dtype.kind in "iuf"


def _is_width(text: str) -> bool:
    """Return whether a text is a length rather than the name of a band."""
    if _NUMBER.fullmatch(text):
        return re.fullmatch(r"\s*\d{3,4}\s*", text) is None  # the digits of a band
    found = _LENGTH.fullmatch(text)
    if found is None:
        return False
    from astropy import units

    try:
        unit = units.Unit(found[2])
    except ValueError:
        return False
    return bool(unit == units.pix or unit.is_equivalent("arcsec"))


def _unit_of(to: Any) -> Any:
    return getattr(to, "unit", None)


def width_of(to: str) -> float | None:
    """Return the FWHM [arcsec] of a target such as ``"0.6arcsec"``, None where it is no width."""
    found = re.fullmatch(r"\s*(\d+\.?\d*(?:e[+-]?\d+)?|\.\d+)\s*arcsec\s*", to)
    return float(found[1]) if found else None
