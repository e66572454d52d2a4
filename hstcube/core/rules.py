"""The rules of the model: what a cube is, and what lies on the pixels of one."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import xarray as xr

from hstcube.core.grids import Grid
from hstcube.errors import BandError, CubeError, GridError

__all__ = [
    "inverse_variance_unit",
    "parsed_unit",
    "require_distinct_bands",
    "require_possible_state",
    "require_same_grid",
    "validate",
]

PLANES = ("sci", "wht", "mask")
DIMS = ("band", "y", "x")
KNOWN_UNITS = ("electron s-1", "uJy", "nJy", "Jy", "electron", "MJy sr-1")

# what each band remembers: default and attributes
STATE: dict[str, tuple[Any, dict[str, str]]] = {
    "psf_fwhm": (np.nan, {"units": "arcsec", "long_name": "FWHM of the PSF"}),
    "matched_to": ("", {"long_name": "what sci was matched to"}),
    "sky": (np.nan, {"long_name": "sky level already subtracted, units of sci"}),
    "sky_error": (np.nan, {"long_name": "standard error of the sky level, units of sci"}),
    "zeropoint": (np.nan, {"units": "mag(AB)", "long_name": "AB magnitude of one unit of sci"}),
    "pivot": (np.nan, {"units": "Angstrom", "long_name": "pivot wavelength"}),
}

_DTYPES = {"sci": np.float32, "wht": np.float32, "mask": np.bool_}


def validate(cube: xr.Dataset, *, data: bool = True) -> xr.Dataset:
    """Return the cube if it keeps the rules of the model.

    Parameters
    ----------
    cube : Dataset
    data : bool
        Look at the pixels too (never at chunked ones, which are not computed here).

    Raises
    ------
    CubeError
        If variables, dims, dtypes, units, bands or pixels break a rule; the message names it.
    """
    for name in PLANES:
        _validate_plane(cube, name)
    missing = [name for name in (*STATE, "band", "wcs") if name not in cube.coords]
    if missing:
        raise CubeError(
            "HC-C07",
            f"the coordinate {missing[0]!r} is missing: this is not a whole cube "
            "(arithmetic on cubes does not keep their state)",
            "assign it again, e.g. from the parent cube",
        )
    require_distinct_bands(cube)
    if cube.sci.attrs.get("units") not in KNOWN_UNITS:
        parsed_unit(cube.sci.attrs.get("units"))
    if data and not any(cube[name].chunks for name in PLANES):
        _validate_pixels(cube)
    return cube


def _validate_plane(cube: xr.Dataset, name: str) -> None:
    if name not in getattr(cube, "data_vars", ()):
        reason = f"there is no variable {name!r}, so this is not a cube"
        raise CubeError("HC-C01", reason, "see hstcube.build")
    plane = cube[name]
    if plane.dims != DIMS:
        fix = f"transpose {name} to ('band', 'y', 'x')"
        raise CubeError("HC-C02", f"{name} has dims {plane.dims}", fix)
    if plane.dtype != _DTYPES[name]:
        fix = f"convert it to {np.dtype(_DTYPES[name])}"
        raise CubeError("HC-C03", f"{name} is {plane.dtype}", fix)


def require_distinct_bands(cube: xr.Dataset) -> None:
    """Raise BandError if a band is there twice."""
    names = cube.band.values.tolist()
    if len(set(names)) != len(names):
        raise BandError("HC-B02", f"a band is there twice: {names}", "keep one of the two")


def _validate_pixels(cube: xr.Dataset) -> None:
    sci, wht, mask = (cube[name].values for name in PLANES)
    has_data = wht > 0
    if not np.array_equal(np.isfinite(sci), has_data):
        raise CubeError(
            "HC-C05",
            "sci must be finite where wht > 0 and NaN where wht = 0",
            "use cube.sci.where(cube.wht > 0), or hstcube.build",
        )
    if not (np.isfinite(wht).all() and (wht >= 0).all()):
        raise CubeError(
            "HC-D10", "wht must be finite and not negative", "give inverse variances; 0 = no data"
        )
    if (mask & ~has_data).any():
        raise CubeError(
            "HC-C06", "mask is True on pixels without data", "use hstcube.mask(cube, keep)"
        )


# what a state can be: name, least and largest value, whether the least itself is one
_POSSIBLE: tuple[tuple[Any, ...], ...] = (
    ("psf_fwhm", 0.0, 60.0, False),
    ("psf_ee_error", 0.0, 1e3, True),
    ("sky", -1e30, 1e30, True),
    ("sky_error", 0.0, 1e30, True),
    ("zeropoint", -100.0, 100.0, True),
    ("pivot", 0.0, 1e7, False),
    ("noise_scale", 0.0, 1e6, False),
    ("extinction", 0.0, 100.0, True),
)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")


def require_possible_state(cube: xr.Dataset) -> xr.Dataset:
    """Return the cube if its bands remember nothing that cannot be; NaN is what is not known.

    Raises
    ------
    CubeError
        Naming the state.
    """
    for name, *bounds in _POSSIBLE:
        if name in cube.coords:
            _require_between(cube[name], *bounds)
    for axis in ("ky", "kx", "dy", "dx"):
        if axis in cube.coords and not (np.diff(cube[axis].values) > 0).all():
            reason = f"the labels of {axis} do not increase"
            raise _impossible(reason)
    for name in cube.band.values.tolist():
        if not _NAME.fullmatch(str(name)):
            reason = f"a band is called {name!r}"
            raise _impossible(reason)
    return cube


def _require_between(state: xr.DataArray, least: float, most: float, itself: bool) -> None:
    values = np.atleast_1d(state.values)
    inside = (values > least) & (values < most) | np.isnan(values)
    inside |= itself & (values == least)
    if not inside.all():
        reason = f"{state.name} of {values[~inside][0]:g} cannot be"
        raise _impossible(reason)


def _impossible(reason: str) -> CubeError:
    return CubeError("HC-C08", reason, "get the file again, or write it again from the cube")


def inverse_variance_unit(units: str) -> str:
    """Return the unit of the weights, e.g. 'electron-2 s2' for 'electron s-1'."""
    known = {"electron s-1": "electron-2 s2", "uJy": "uJy-2", "nJy": "nJy-2"}
    return known.get(units) or str((parsed_unit(units) ** -2).to_string())


def parsed_unit(units: Any) -> Any:
    """Return the astropy unit.

    Raises
    ------
    CubeError
        If astropy does not read it.
    """
    from astropy.units import Unit

    try:
        return Unit(units)
    except (ValueError, TypeError) as error:
        raise CubeError(
            "HC-C04",
            f"sci has units {units!r}, which astropy does not read",
            "write e.g. BUNIT, or cube.sci.attrs['units'], as 'electron s-1'",
        ) from error


def require_same_grid(cube: xr.Dataset | xr.DataArray, other: Any) -> None:
    """Raise GridError unless `other` lies on the pixels of the cube.

    A DataArray with the cube's labels is welcome, and so is a numpy array of the right shape.
    """
    if not isinstance(other, xr.DataArray | xr.Dataset):
        _require_shape_of_images(cube, np.shape(other))
        return
    for dim in ("y", "x"):
        same_size = other.sizes.get(dim) == cube.sizes[dim]
        if not same_size or not np.array_equal(other[dim].values, cube[dim].values):
            raise GridError(
                "HC-D02",
                f"the labels of {dim} differ from the cube's",
                "select the same pixels of both, or use regrid_labels or regrid_mask",
            )
    both_know = "wcs" in other.coords and "wcs" in cube.coords
    if both_know and int(other.coords["wcs"]) != int(cube.coords["wcs"]):
        Grid.of(cube).require(Grid.of(other), what="the cube and the other array")


def _require_shape_of_images(cube: xr.Dataset | xr.DataArray, shape: tuple[int, ...]) -> None:
    images = (cube.sizes["y"], cube.sizes["x"])
    if shape[-2:] != images:
        reason = f"the array has shape {shape}, the cube's images {images}"
        raise GridError("HC-D01", reason, "regrid it to the cube first")
