"""What a cube remembers, and how a step notes what it did.

State is data: what a step must know (survey, Poisson term, what was matched) is an attribute or a
coordinate of its own. `history` and `warnings` are for people, and no step reads them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hstcube import __version__
from hstcube.basics.memory import remembered
from hstcube.basics.pixels import Planes, require_held
from hstcube.core.bands import name_among
from hstcube.errors import (
    BandError,
    CubeError,
    HstCubeError,
    HstCubeWarning,
    NoiseError,
    spoken,
    warn_caller,
)

if TYPE_CHECKING:
    import xarray as xr

__all__ = [
    "REQUIRED",
    "STATE",
    "attribute",
    "held",
    "in_band_order",
    "is_autocorrelation",
    "note",
    "notes_of",
    "record",
    "replaced",
    "require_coords",
    "tell_of_lost",
    "updated",
    "warn",
    "without_notes",
]

_NOTE = "note "  # begins a line of the history

# what each band remembers: default and attributes
STATE: dict[str, tuple[Any, dict[str, str]]] = {
    "psf_fwhm": (np.nan, {"units": "arcsec", "long_name": "FWHM of the PSF"}),
    "matched_to": ("", {"long_name": "what sci was matched to"}),
    "sky": (np.nan, {"long_name": "sky level already subtracted, units of sci"}),
    "sky_error": (np.nan, {"long_name": "standard error of the sky level, units of sci"}),
    "zeropoint": (np.nan, {"units": "mag(AB)", "long_name": "AB magnitude of one unit of sci"}),
    "pivot": (np.nan, {"units": "Angstrom", "long_name": "pivot wavelength"}),
    "exposure": (np.nan, {"units": "s", "long_name": "exposure time"}),
    "instrument": ("", {"long_name": "camera: its instrument"}),
    "detector": ("", {"long_name": "camera: its detector"}),
}
_LATER = ("exposure", "instrument", "detector")  # cubes of 0.1.0 do not tell them
REQUIRED = tuple(name for name in STATE if name not in _LATER)


# what else lies along the bands: the dims it has, where it is there
_OPTIONAL = {
    "extinction": ("band",),
    "electrons": ("band",),
    "photons": ("band",),
    "noise_scale": ("band",),
    "noise_acf": ("band", "dy", "dx"),
    "psf": ("band", "ky", "kx"),
    "psf_ee_error": ("band",),
    "psf_negative": ("band",),
    "psf_error": ("band",),
    "psf_stars": ("band",),
    "psf_energy": ("band",),
    "psf_energy_error": ("band",),
}
_TEXTS = ("photons",)
_NONE = float(np.nextafter(0, -1))  # below 0 by so little that 0 itself is inside
# between what their numbers lie, the ends left out: a degree, 1 mm, what float32 holds
_LIMITS = {
    "psf_fwhm": (0.0, 3600.0),
    "pivot": (0.0, 1e7),
    "exposure": (0.0, 1e9),
    "electrons": (0.0, 1e38),
    "noise_scale": (0.0, 1e6),
    "sky": (-3e38, 3e38),
    "sky_error": (_NONE, 3e38),
    "zeropoint": (-100.0, 100.0),
    "extinction": (_NONE, 100.0),
    "psf_ee_error": (_NONE, 1e3),
    "psf_error": (_NONE, 1e3),
    "psf_stars": (_NONE, 1e6),
    "psf_energy": (0.0, 1.0 + 1e-6),
    "psf_energy_error": (_NONE, 1.0),
}
_BEYOND_ALL = (-1e3, 1e3)  # shares
_FEW_LOST = 0.01  # share of the pixels with data that a step may leave without any, and not say it
_AS_EVEN = 1e-3  # of a step


def require_coords(cube: xr.Dataset) -> None:
    """Raise CubeError unless what is told of the bands has their axis, and values that can be."""
    for name, (default, _) in STATE.items():
        if name not in cube.coords and name not in REQUIRED:
            continue
        _require_column(cube.variables[name], name, text=isinstance(default, str))
    for name, dims in _OPTIONAL.items():
        if name not in cube.coords:
            continue
        variable = cube.variables[name]
        if len(dims) == 1:
            _require_column(variable, name, text=name in _TEXTS)
        else:
            _require_images(cube, variable, name, dims)


def _require_column(variable: xr.Variable, name: str, *, text: bool = False) -> None:
    """Require one value a band: text, or a number that may be NaN where it is not known."""
    if variable.dims != ("band",):
        raise CubeError(
            "HC-C02",
            f"the coordinate {name!r} has dims {variable.dims}, not ('band',)",
            "give it one value for each band",
        )
    if hasattr(variable.data, "unit"):
        reason = f"the coordinate {name!r} is a Quantity in {variable.data.unit}"
        raise CubeError(
            "HC-C03", reason, "give the numbers: its .value in the unit that the cube has"
        )
    if variable.dtype.kind not in ("OUT" if text else "iuf"):
        fix = f"give {'a text' if text else 'a number'} for each band"
        raise CubeError("HC-C03", f"the coordinate {name!r} is {variable.dtype}", fix)
    values = variable.values
    if text:
        wrong = [value for value in values.tolist() if not isinstance(value, str)]
    else:
        wrong = values[~_possible(values, name)].tolist()
    if wrong:
        error, code = _ERRORS.get(name, (CubeError, "HC-C08"))
        raise error(
            code, f"the coordinate {name!r} is {str(wrong[0])[:60]!r} in a band", _WANTED[text]
        )


# of what describes the noise, as the steps that use it say it
_ERRORS: dict[str, tuple[type[HstCubeError], str]] = {
    "noise_scale": (NoiseError, "HC-N03"),
    "noise_acf": (NoiseError, "HC-N03"),
}
_WANTED = {
    True: "give texts; '' where a band is not matched, or its camera is not known",
    False: "give possible numbers; NaN where one is not known",
}


def _possible(values: Any, name: str) -> Any:
    """Return which numbers can be: widths and wavelengths are positive; NaN is not known."""
    low, high = _LIMITS.get(name, _BEYOND_ALL)
    return ((values > low) & (values < high)) | np.isnan(values)


def _require_images(
    cube: xr.Dataset, variable: xr.Variable, name: str, dims: tuple[str, ...]
) -> None:
    """Require images of a PSF or of correlations, a band each, on offsets in arcsec."""
    if set(variable.dims) != set(dims) or (name == "psf" and variable.dims != dims):
        raise CubeError(
            "HC-C02",
            f"the coordinate {name!r} has dims {variable.dims}, not {dims}",
            _dropped(name),
        )
    if variable.dtype.kind != "f":
        fix = f"convert it to float32, or drop it: {_dropped(name)}"
        raise CubeError("HC-C03", f"the coordinate {name!r} is {variable.dtype}", fix)
    for dim in dims[1:]:
        offsets = cube.variables.get(dim)
        if offsets is None and name == "psf":
            continue  # on the pixels of the images: cube.assign_coords(psf=...)
        if offsets is None or offsets.dims != (dim,) or not _are_offsets(offsets.values):
            error, code = _ERRORS.get(name, (CubeError, "HC-C08"))
            raise error(
                code,
                f"the offsets {dim!r} [arcsec] of {name!r} are missing, or do not increase evenly "
                "around 0",
                _dropped(name),
            )
    if name == "noise_acf" and not is_autocorrelation(variable.transpose(*dims).values):
        raise NoiseError(
            "HC-N03",
            "noise_acf is no autocorrelation: of odd sizes, finite, 1 at zero lag, the same at "
            "opposite lags",
            _dropped(name),
        )
    if name == "psf" and not _are_psfs(variable.values):
        raise CubeError(
            "HC-C08", "an image of 'psf' has no finite, positive maximum", _dropped(name)
        )


@remembered(16)  # every step asks
def is_autocorrelation(values: Any) -> bool:
    """Say whether each is of odd sizes, finite, 1 at zero lag and the same at opposite lags."""
    _, ny, nx = values.shape
    if ny % 2 == 0 or nx % 2 == 0 or not np.isfinite(values).all():
        return False
    off = np.abs(values[:, ny // 2, nx // 2] - 1).max()
    uneven = np.abs(values - values[:, ::-1, ::-1]).max()
    return bool(off <= _AS_EVEN and uneven <= _AS_EVEN)


def _dropped(name: str) -> str:
    if name == "psf":
        return (
            "make [[the cube again: hstcube run FOLDER|it anew with with_psf(cube, psf), or drop "
            "it: cube.drop_vars(['psf', 'ky', 'kx'])]]"
        )
    return (
        "make [[the cube again: hstcube run FOLDER|it anew with calibrate_noise, or drop it: "
        "cube.drop_vars(['noise_acf', 'dy', 'dx'])]]"
    )


def _are_offsets(values: Any) -> bool:
    return values.dtype.kind in "iuf" and values.size % 2 == 1 and _are_even(values)


@remembered(16)
def _are_even(values: Any) -> bool:
    values = np.asarray(values, dtype=float)
    step = np.diff(values)
    even = bool((step > 0).all() and np.ptp(step) <= _AS_EVEN * step[0]) if step.size else True
    return even and abs(values[values.size // 2]) <= _AS_EVEN * (step[0] if step.size else 1)


def _are_psfs(images: Any) -> bool:
    return bool(np.isfinite(images).all() and (images.max(axis=(1, 2)) > 0).all())


def attribute(cube: xr.Dataset | xr.DataArray, name: str) -> str:
    """Return an attribute as text, empty where the cube has lost it: xarray drops them easily."""
    return str(cube.attrs.get(name, ""))


def record(cube: xr.Dataset, step: str) -> xr.Dataset:
    """Return the cube with one more line in its history: a step, its arguments, the version."""
    return cube.assign_attrs(history=_with_step(cube, step))


def _with_step(cube: xr.Dataset, step: str) -> str:
    return _line(attribute(cube, "history"), f"{step} (hstcube {__version__})")


def note(cube: xr.Dataset, code: str, text: str) -> xr.Dataset:
    """Return the cube with a note in its history: what was assumed, and no reason to worry."""
    return cube.assign_attrs(
        history=_line(attribute(cube, "history"), f"{_NOTE}{code} {spoken(text)}")
    )


def notes_of(history: str) -> list[tuple[str, str]]:
    """Return the notes, as (code, text), that a history holds, each once."""
    lines = [line for line in history.splitlines() if line.startswith(_NOTE)]
    told = [line.removeprefix(_NOTE).partition(" ") for line in dict.fromkeys(lines)]
    return [(code, text) for code, _, text in told]


def without_notes(cube: xr.Dataset, code: str) -> xr.Dataset:
    """Return the cube without the notes of a code: what they say is no longer so."""
    lines = attribute(cube, "history").splitlines()
    kept = [line for line in lines if not line.startswith(f"{_NOTE}{code} ")]
    return cube.assign_attrs(history="\n".join(kept))


def warn(cube: xr.Dataset, code: str, text: str) -> xr.Dataset:
    """Return the cube with one more line in its warnings, and issue it as `HstCubeWarning`."""
    text = spoken(text)
    line, told = f"{code} {text}", attribute(cube, "warnings")
    if line in told.splitlines():
        return cube
    warn_caller(HstCubeWarning(code, text, attribute(cube, "field")))
    return cube.assign_attrs(warnings=_line(told, line))


def _line(text: str, line: str) -> str:
    return f"{text}\n{line}" if text else line


def updated(cube: xr.Dataset, step: str, **data: Any) -> xr.Dataset:
    """Return a cube with new arrays in some of its variables, and `step` in its history.

    The arrays have the dims and keep the attributes of those they replace. (`Dataset.assign` aligns
    and merges every coordinate again: 2 ms a step, where the arithmetic takes less.)

    Raises
    ------
    CubeError
        If new values or weights are beyond what float32 holds.
    """
    new = replaced(cube, **data)
    new.attrs["history"] = _with_step(cube, step)
    return held(new) if data.keys() & {"sci", "wht"} else new


def replaced(cube: xr.Dataset, **data: Any) -> xr.Dataset:
    """Return a cube with new arrays in some of its variables, and no word of it; see `updated`."""
    new = cube.copy()  # shallow: its own variables, the same arrays
    for name, array in data.items():
        new.variables[name].data = array
    return new


def held(cube: xr.Dataset) -> xr.Dataset:
    """Return a cube that a step has just made, if its new pixels keep the rule.

    Raises
    ------
    CubeError
        If values or weights are beyond what float32 holds; of dask's pixels when they are computed.
    """
    made = Planes(*(cube.variables[name].data for name in Planes._fields))
    looked_at = require_held(made, cube.variables["band"].values.tolist())
    if looked_at is not made:
        for name, plane in zip(Planes._fields, looked_at, strict=True):
            cube.variables[name].data = plane
    return cube


def tell_of_lost(cube: xr.Dataset, had: Any, lost: Any) -> None:
    """Issue a warning where a step leaves many pixels without data that had some.

    It is not among the cube's ``warnings``: how many they are is known of pixels in memory only,
    and a chunked cube is the same as another in all that it says.

    Parameters
    ----------
    cube : Dataset
    had, lost : sequence of int, (band,)
        How many pixels had data before the step, and how many of these have none now.
    """
    told = [
        f"{name} {gone} of {number}"
        for name, number, gone in zip(cube.band.values.tolist(), had, lost, strict=True)
        if gone > _FEW_LOST * number
    ]
    if told:
        text = "pixels that had data have none now, for too little around them has: "
        warn(cube, "HC-D41", text + ", ".join(told))  # the cube with this line is not kept


def in_band_order(cube: xr.Dataset, array: xr.DataArray) -> xr.Variable:
    """Return the variable of an array with a `band` axis, its bands those of the cube in order.

    Raises
    ------
    BandError
        Naming the band that `array` lacks.
    """
    wanted = cube.variables["band"].values.tolist()
    if "band" not in array.coords:
        reason = f"the {array.name or 'array'} names no bands"
        fix = "give it a coordinate 'band'[[|: xr.DataArray(values, {'band': names}, 'band')]]"
        raise BandError("HC-B01", reason, fix, band=wanted[0])
    there = np.atleast_1d(array.coords["band"].values).tolist()
    meant = wanted if wanted == there else [name_among(str(name), there) for name in wanted]
    if missing := [name for name, to in zip(wanted, meant, strict=True) if to not in there]:
        raise BandError(
            "HC-B01",
            f"the {array.name or 'array'} has no such band, only {', '.join(map(str, there))}",
            "give one value for each band",
            band=missing[0],
        )
    variable = array.variable if "band" in array.dims else array.expand_dims("band").variable
    if wanted == there:
        return variable
    return variable.isel(band=[there.index(name) for name in meant])
