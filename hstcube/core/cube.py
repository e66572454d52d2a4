"""The cube: one field, many bands, one pixel grid, as an xarray Dataset.

    Dimensions   band, y, x
    Coordinates  band (object, ordered by pivot wavelength), y and x (0-based pixel centres),
                 wcs (the FITS cards), psf_fwhm [arcsec], matched_to, sky and sky_error [units of
                 sci], zeropoint [AB mag], pivot [Angstrom], exposure [s], instrument, detector
    Variables    sci (float32), wht (float32, inverse variance of sci, 0 = no data),
                 mask (bool, True = use)
    Attributes   field, title, survey, poisson, Conventions, hstcube_schema, history, warnings

Where there is no data ``wht`` is 0 and ``sci`` is NaN, and nowhere else.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from hstcube.core.bands import band as find_band
from hstcube.core.bands import band_name, names_in
from hstcube.core.mappings import require_grid
from hstcube.core.rules import DIMS, inverse_variance_unit, taken, validate
from hstcube.core.state import STATE, warn
from hstcube.errors import BandError, CubeError
from hstcube.inputs.arrays import filled, in_unit, inverse_variance_of, keep_of, shown
from hstcube.inputs.quantities import numbers_in
from hstcube.inputs.units import is_surface_brightness, read_unit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from hstcube.core.grids import Grid
    from hstcube.errors import Note

__all__ = ["build", "told_of_gaps", "variance"]

SCHEMA = 1

_TOO_MANY_BAD_WEIGHTS = 1e-3  # share of pixels whose weight cannot be one

# of what each band remembers; sky levels are in the unit of sci
_UNITS = {
    "psf_fwhm": "arcsec",
    "zeropoint": "mag",
    "pivot": "Angstrom",
    "exposure": "s",
}
_POSITIVE = {"psf_fwhm", "pivot", "exposure"}


def build(
    sci: Any,
    wht: Any,
    *,
    bands: Sequence[str],
    grid: Grid,
    units: str,
    mask: Any = None,
    field: str = "",
    title: str = "",
    survey: str = "",
    **band_coords: Any,
) -> xr.Dataset:
    """Make a cube from arrays.

    Parameters
    ----------
    sci : array, (band, y, x)
        Science images [units per pixel]; NaN or infinite where there is no data.
    wht : array, (band, y, x)
        Inverse variance [units**-2]; 0 where there is no data.
    bands : sequence of str
        Filter names; the cube is ordered by their pivot wavelengths.
    grid : Grid
        Where the pixels lie on the sky.
    units : str
        Unit of `sci`, as astropy.units reads it; see `hstcube.inputs.units.read_unit`.
    mask : array of bool, (band, y, x), optional
        Pixels to use; all that have data when not given.
    field, title : str, optional
        Names for people.
    survey : str, optional
        The release that the images come from; its noise is known by that name.
    **band_coords : sequence, one value a band, or mapping of band to value; Quantities too
        ``psf_fwhm`` [arcsec], ``zeropoint`` [AB mag], ``pivot`` [Angstrom], ``exposure``
        [s], ``sky`` and ``sky_error`` [units], ``matched_to``; ``instrument`` and ``detector``, of
        the first camera that has the filter where neither they nor pivots are given.

    Returns
    -------
    Dataset
        A cube that passes `validate`. Pixels without a finite `sci` and a positive, finite `wht`
        have no data. Its attribute ``poisson`` is empty: `add_poisson` says there what it added.

    Raises
    ------
    CubeError
        If shapes do not fit, or more than 0.1 % of a band's weights are negative or not finite, or
        a band has no data.
    BandError
        If a band is there twice, or unknown and without a pivot wavelength.

    Examples
    --------
    >>> import numpy as np
    >>> import hstcube
    >>> grid = hstcube.Grid.around((53.16, -27.78), size=1.2, scale=0.06)
    >>> images = np.ones((2, 20, 20))
    >>> cube = hstcube.build(images, images, bands=["f160w", "f606w"], grid=grid, units="uJy")
    >>> cube.band.values.tolist()  # by wavelength
    ['f606w', 'f160w']
    """
    names, units = names_in(bands), read_unit(units)
    require_grid(grid)
    _require_names(names)
    sci, wht = _plain_images(sci, wht, units)
    mask = None if mask is None else keep_of("mask", mask)[0]
    shape = (len(names), *grid.shape)
    _require_shape("sci", sci, shape)
    _require_shape("wht", wht, shape)
    _require_real("sci", sci)
    _require_real("wht", wht)
    if mask is not None:
        _require_shape("mask", mask, shape)
    if band_coords.get("pivot") is None:
        found = [find_band(name) for name in names]
        band_coords["pivot"] = [one.pivot for one in found]
        for camera in {"instrument", "detector"} - band_coords.keys():
            band_coords[camera] = [getattr(one, camera) for one in found]
    sci, wht, notes = _without_bad_pixels(sci, wht, names)
    has_data = wht > 0
    weight = {"units": inverse_variance_unit(units), "long_name": "inverse variance of sci"}
    cube = xr.Dataset(
        {
            "sci": (DIMS, sci, {"units": units}),
            "wht": (DIMS, wht, weight),
            "mask": (DIMS, has_data if mask is None else _as_mask(mask) & has_data),
        },
        {
            "band": ("band", np.array(names, dtype=object)),
            **_band_state(band_coords, names, units),
            **grid.coords(),
        },
        _attributes(field, title, survey),
    )
    order = np.argsort(cube.pivot.values, kind="stable")
    if (np.diff(order) < 0).any():
        cube = cube.isel(band=order)
    for code, note in notes:
        cube = warn(cube, code, note)
    return validate(cube)


def _as_mask(mask: Any) -> Any:
    return mask.astype(bool) if hasattr(mask, "dask") else np.asarray(mask, dtype=bool)


def _plain_images(sci: Any, wht: Any, units: str) -> tuple[Any, Any]:
    """Return images and weights as arrays in `units` and its inverse square; masked is no data."""
    own = getattr(sci, "uncertainty", None)
    if own is not None and own is not wht:
        raise CubeError(
            "HC-D16",
            "sci brings an uncertainty of its own, and wht is another",
            "[[give one of the two|give wht=sci.uncertainty, or sci without it: sci.data]]",
        )
    weights = in_unit("wht", inverse_variance_of(wht), inverse_variance_unit(units))
    return _array(filled(in_unit("sci", sci, units))), _array(filled(weights, 0))


def _array(images: Any) -> Any:
    """Return images as an array of numpy or dask."""
    if hasattr(images, "dims") and hasattr(images, "data"):
        images = images.data
    images = getattr(images, "data", images) if hasattr(images, "uncertainty") else images
    if hasattr(images, "data_vars"):
        fix = "give one of its variables[[|: dataset.sci]]"
        raise CubeError("HC-C01", f"this is {shown(images)}, not images (band, y, x)", fix)
    return images if hasattr(images, "dask") else np.asarray(images)


def _require_names(names: list[str]) -> None:
    if twice := [name for name, n in Counter(names).items() if n > 1]:
        raise BandError(
            "HC-B02", f"the band {twice[0]} is there twice", "keep one of the two", band=twice[0]
        )
    if not names:
        raise CubeError(
            "HC-C01",
            "a cube needs at least one band",
            "give bands, sci and wht with the same length",
        )


def _require_shape(what: str, array: Any, shape: tuple[int, ...]) -> None:
    if np.shape(array) != shape:
        raise CubeError(
            "HC-C02",
            f"{what} has shape {np.shape(array)}, but bands and grid say {shape}",
            "give one value a band and pixel",
        )


def _require_real(what: str, array: Any) -> None:
    kind = array.dtype if hasattr(array, "dtype") else np.asarray(array).dtype
    if kind.kind not in "fiu":
        raise CubeError(
            "HC-D17", f"{what} holds {kind}, not real numbers", f"convert {what} to float32"
        )


def _attributes(field: str, title: str, survey: str) -> dict[str, Any]:
    return {
        "field": field,
        "title": title,
        "survey": survey,
        "poisson": "",
        "Conventions": "CF-1.11",
        "hstcube_schema": SCHEMA,
        "history": "",
        "warnings": "",
    }


def _band_state(given: dict[str, Any], names: list[str], units: str) -> dict[str, Any]:
    coords, number = {}, len(names)
    for name, (default, attrs) in STATE.items():
        values = given.pop(name, None)
        if hasattr(values, "keys"):  # by band
            known = {band_name(str(key)): values[key] for key in values}
            values = [known.get(band_name(band), default) for band in names]
        if values is None:
            column = np.full(number, default, object if isinstance(default, str) else np.float64)
        elif isinstance(default, str):
            column = np.array(list(values), object)
        else:
            above = 0 if name in _POSITIVE else None
            column = numbers_in(_UNITS.get(name, units), values, name, above=above, nan=True)
        _require_shape(name, column, (number,))
        coords[name] = ("band", column, attrs)
    if given:
        reason = f"bands have no coordinate {min(given)!r}"
        raise CubeError("HC-C01", reason, f"choose from {', '.join(STATE)}")
    return coords


def _without_bad_pixels(sci: Any, wht: Any, names: list[str]) -> tuple[Any, Any, list[Note]]:
    """Give pixels that cannot be used neither value nor weight; count what was wrong with them."""
    good = (wht > 0) & np.isfinite(wht) & np.isfinite(sci)
    if not isinstance(sci, np.ndarray) or not isinstance(wht, np.ndarray):
        import dask.array as da

        lazy_sci, lazy_wht = da.where(good, sci, np.nan), da.where(good, wht, 0)
        return lazy_sci.astype(np.float32), lazy_wht.astype(np.float32), []
    if good.all():
        return sci.astype(np.float32), wht.astype(np.float32), []
    notes: list[Note] = []
    for band_sci, band_wht, usable, name in zip(sci, wht, good, names, strict=True):
        notes += _judged(band_sci, band_wht, usable, name)
    sci, wht = np.where(good, sci, np.nan), np.where(good, wht, 0)
    return sci.astype(np.float32), wht.astype(np.float32), notes


def _judged(sci: NDArray[Any], wht: NDArray[Any], good: NDArray[np.bool_], name: str) -> list[Note]:
    """Say what is wrong with some pixels of a band; refuse it if that is too much."""
    notes = []
    # what is NaN in both images is how other programs write "no data"
    nothing = np.isnan(sci) & ~np.isfinite(wht)
    bad = int(np.sum((~(wht >= 0) | np.isinf(wht)) & ~nothing))
    if bad > _TOO_MANY_BAD_WEIGHTS * wht.size:
        raise CubeError(
            "HC-D10",
            f"{bad} of {wht.size} weights are negative, NaN or infinite",
            "give inverse variances; 0, not NaN or infinity, is no data",
            band=name,
        )
    if bad:
        text = f"{name}: {bad} negative, NaN or infinite weights; these pixels have no data"
        notes.append(("HC-D10", text))
    if not good.any():
        reason = "no pixel of the band has data"
        fix = "leave the band out: name the others with [[--band|bands=]]"
        raise CubeError("HC-D08", reason, fix, band=name)
    if lost := int(np.sum(~np.isfinite(sci) & (wht > 0))):
        text = f"{name}: {lost} pixels are NaN or infinite; they have no data"
        notes.append(("HC-D07", text))
    return notes


def variance(cube: xr.Dataset) -> xr.DataArray:
    """Return the variance of single pixels [units of sci squared]; NaN where there is no data.

    Examples
    --------
    >>> import hstcube
    >>> cube = hstcube.to_flux(hstcube.example(), "uJy")
    >>> f"{float(hstcube.variance(cube).sel(band='f160w').median()) ** 0.5:.1e} uJy in a pixel"
    '1.4e-04 uJy in a pixel'
    """
    cube = taken(cube)
    wht = cube.wht.astype(np.float64)
    scale = cube.coords.get("noise_scale", 1.0)
    single = (scale**2 / wht.where(wht > 0)).astype(np.float32)
    units = cube.sci.attrs["units"]
    result: xr.DataArray = single.assign_attrs(units=f"({units})2").rename("variance")
    return result


def told_of_gaps(cube: xr.Dataset) -> xr.Dataset:
    """Return the cube, with a warning where its pixels are every second one, or fewer, of a grid.

    What is per solid angle stands for the pixels between, what is per pixel does not. Steps of
    this package number their pixels anew: only selections of others leave gaps.
    """
    labels = (cube.variables[dim].values for dim in ("y", "x"))
    step = max((abs(float(each[1] - each[0])) for each in labels if each.size > 1), default=1.0)
    if step < 1.5 or is_surface_brightness(cube.sci.attrs["units"]):  # noqa: PLR2004
        return cube
    text = (
        f"along y or x the cube has one of {step:.0f} pixels: fluxes are sums of those that are "
        "left; for all the light [[keep all pixels|select without steps, or use hstcube.rebin]]"
    )
    return warn(cube, "HC-W29", text)
