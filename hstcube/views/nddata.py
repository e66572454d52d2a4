"""One band as astropy's CCDData, and back."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from hstcube.core.bands import band_name
from hstcube.core.cube import build
from hstcube.core.grids import Grid
from hstcube.core.offsets import with_psf_coords
from hstcube.core.rules import inverse_variance_unit, taken
from hstcube.core.state import warn
from hstcube.errors import BandError, CubeError, GridError
from hstcube.fits.units import history_lines
from hstcube.inputs.arrays import filled, inverse_variance_of, shown
from hstcube.inputs.units import read_unit
from hstcube.mosaics.cards import band_cards, common_cards, state_in
from hstcube.phot.units import header_zeropoints

if TYPE_CHECKING:
    from collections.abc import Mapping

    import xarray as xr
    from astropy.nddata import CCDData, NDData

__all__ = ["from_nddata", "to_nddata"]

_PLANES = ("sci", "wht", "mask", "replaced", "coverage")
_OF_CUBES = ("RECIPE", "SURVEY", "POISSON", "TITLE", "HISTORY")
_OF_FILES = ("FILETYPE", "BUNIT")  # CCDData writes its own
_CORRELATED = "CORRNOIS"  # the noise was correlated, which NDData has no place for
_ALSO = {
    "electrons": "ELECTRON",
    "extinction": "EXTINCT",
    "noise_scale": "NSCALE",
    "psf_ee_error": "PSFEEERR",
    "psf_negative": "PSFNEG",
    "psf_error": "PSFERR",
    "psf_stars": "PSFSTARS",
    "psf_energy": "PSFENER",
    "psf_energy_error": "PSFENERR",
}
_SAME = 1e-3  # of a pixel: steps of a PSF that are the image's


def to_nddata(cube: xr.Dataset) -> CCDData:
    """Return one band as astropy's ``CCDData``, as photutils and ccdproc take it.

    Parameters
    ----------
    cube : Dataset
        Of one band: ``cube.sel(band="f160w")``, or ``cube.sel(band=["f160w"])``. Chunked pixels are
        computed.

    Returns
    -------
    CCDData
        With ``data``, NaN where there is none, and ``unit``; ``uncertainty``, an
        ``InverseVariance`` (wht); ``mask``, True on pixels that are not to be used, the opposite of
        the cube's; ``wcs``; ``psf``; and as ``meta`` the cards that `to_fits` writes. The noise of
        single pixels is noise_scale/sqrt(wht), card NSCALE; that it is correlated NDData has no
        place for.

    Raises
    ------
    BandError
        If there are several bands.
    CubeError
        If it is no cube.

    Examples
    --------
    >>> import hstcube
    >>> image = hstcube.to_nddata(hstcube.example().sel(band="f160w"))
    >>> image.shape, str(image.unit), image.meta["FILTER"], image.wcs.axis_type_names
    ((100, 100), 'electron / s', 'F160W', ['RA', 'DEC'])
    """
    from astropy.io import fits
    from astropy.nddata import CCDData, InverseVariance
    from astropy.units import Unit

    cube = taken(_with_band_axis(cube))
    if cube.sizes["band"] != 1:
        reason = f"the cube has {cube.sizes['band']} bands, where one image is wanted"
        raise BandError("HC-B43", reason, "choose one[[|: cube.sel(band='f160w')]]")
    sci, wht, mask = (np.array(cube[name].values[0]) for name in ("sci", "wht", "mask"))
    unit = Unit(cube.sci.attrs["units"])
    header = fits.Header()
    cards = [card for card in common_cards(cube, 1, "") if card[0] in _OF_CUBES]
    for key, value, comment in [*band_cards(cube, 0, "sci"), *cards]:
        if key == "HISTORY":
            header.add_history(value)
        elif value is not None and key not in _OF_FILES:
            header[key] = (value, comment)
    if "noise_acf" in cube.coords:
        header[_CORRELATED] = (True, "errors of groups need the correlation")
    weights = InverseVariance(wht, unit=Unit(inverse_variance_unit(cube.sci.attrs["units"])))
    image = CCDData(sci, uncertainty=weights, mask=~mask, unit=unit, meta=header)
    image.wcs, image.psf = copy.deepcopy(Grid.of(cube).wcs), _psf(cube)
    return image


def from_nddata(
    image: NDData, *, band: str | None = None, field: str | None = None, **band_coords: Any
) -> xr.Dataset:
    """Make a cube of one band from astropy's ``NDData`` or ``CCDData``.

    Several become a cube of several bands by `stack_bands`.

    Parameters
    ----------
    image : NDData or CCDData
        With ``unit``, ``wcs`` and ``uncertainty`` (of any kind that is a deviation, or its square).
        Masked pixels have data, but are not used; NaN is no data.
    band : str, optional
        Filter; the card FILTER of ``meta`` when not given.
    field : str, optional
        Name for people; the card OBJECT when not given.
    **band_coords : value, or Quantity
        As in `build`, one each: ``zeropoint``, ``psf_fwhm``, ``exposure``, ...; they go before what
        the cards of ``meta`` say.

    Returns
    -------
    Dataset
        Of what `to_nddata` gave it is the same cube but for the correlation of its noise (a warning
        says so) and its segmentation map.

    Raises
    ------
    BandError
        If no filter is named, or the one that is, is unknown and has no pivot wavelength.
    CubeError
        If it is no NDData, or has no unit or no uncertainty.
    GridError
        If it has no WCS, or one that is distorted.

    Examples
    --------
    >>> import hstcube
    >>> cube = hstcube.example().sel(band=["f160w"])
    >>> back = hstcube.from_nddata(hstcube.to_nddata(cube))
    >>> bool((back.sci.values == cube.sci.values).all()), back.zeropoint.item()
    (True, 25.94)
    """
    if not hasattr(image, "uncertainty"):
        fix = "give NDData or CCDData[[|; arrays become a cube with hstcube.build]]"
        raise CubeError("HC-C01", f"this is {shown(image)}, no NDData", fix)
    meta: Mapping[str, Any] = getattr(image, "meta", None) or {}
    name = band_name(str(meta.get("FILTER") or _no_band()) if band is None else band)
    units = read_unit(image.unit)
    sci, grid = np.asarray(image.data), _grid_of(image)
    state = {key: known[0] for key, known in state_in([meta]).items() if _is_known(known[0])}
    found = header_zeropoints(meta, units, state.get("pivot", math.nan))
    state |= {"zeropoint": next(iter(found.values()))} if found else {}
    state |= {key: value for key, value in band_coords.items() if value is not None}
    if image.uncertainty is None:
        fix = "give StdDevUncertainty, VarianceUncertainty or InverseVariance"
        raise CubeError("HC-D16", "the image has no uncertainty, so that its noise is unknown", fix)
    wht = np.asarray(filled(inverse_variance_of(image.uncertainty), 0))
    mask = None if image.mask is None else ~np.broadcast_to(image.mask, sci.shape)[None]
    cube = build(
        np.nan_to_num(sci, nan=np.nan)[None],
        np.where(np.isfinite(sci), wht, 0)[None],
        bands=[name],
        grid=grid,
        units=units,
        mask=mask,
        field=str(meta.get("OBJECT", "") if field is None else field),
        title=str(meta.get("TITLE", "")),
        survey=str(meta.get("SURVEY", "")),
        **{key: [value] for key, value in state.items()},
    )
    return _with_what_else(cube, image, meta)


def _no_band() -> str:
    raise BandError("HC-B43", "the image names no filter", "name it[[|: band='f160w']]")


def _is_known(value: Any) -> bool:
    return bool(value) if isinstance(value, str) else not math.isnan(value)


def _with_band_axis(cube: xr.Dataset) -> xr.Dataset:
    """Return a cube whose axis of bands was dropped, by the choice of one, with it again."""
    if not hasattr(cube, "data_vars") or "band" not in cube.coords or cube.band.ndim:
        return cube
    own = {*_PLANES, *cube.coords} - {"y", "x", "wcs", "ky", "kx", "dy", "dx"}
    return cube.assign_coords(
        {name: cube.variables[name].expand_dims("band") for name in own & {*cube.coords}}
    ).assign({name: cube.variables[name].expand_dims("band") for name in own & {*cube.data_vars}})


def _psf(cube: xr.Dataset) -> Any:
    """Return the PSF, where it is sampled as the image is."""
    if "psf" not in cube.coords:
        return None
    for dim, step in zip(("ky", "kx"), Grid.of(cube).steps, strict=True):
        offsets = cube.coords[dim].values
        if offsets.size > 1 and abs(offsets[1] - offsets[0] - step) > _SAME * step:
            return None
    return np.array(cube.psf.values[0])


def _grid_of(image: Any) -> Grid:
    """Return the grid of an image's WCS, by its numbers: a header of it would round them."""
    wcs = getattr(image.wcs, "wcs", None)
    if wcs is None or not hasattr(image.wcs, "to_header"):
        reason = f"the image's wcs is {shown(image.wcs)}, not an astropy.wcs.WCS"
        raise GridError("HC-W01", reason, "give it one; slices of CCDData keep theirs")
    if image.wcs.has_distortion:
        fix = "drizzle the image onto an undistorted grid first"
        raise GridError("HC-W07", "the WCS is distorted", fix)
    cards: dict[str, Any] = {"WCSAXES": wcs.naxis}
    for i, axis in enumerate("12"):
        cards[f"CTYPE{axis}"] = str(wcs.ctype[i])
        cards[f"CRPIX{axis}"], cards[f"CRVAL{axis}"] = float(wcs.crpix[i]), float(wcs.crval[i])
        if not wcs.has_cd():
            cards[f"CDELT{axis}"] = float(wcs.cdelt[i])
        kind, matrix = ("CD", wcs.cd) if wcs.has_cd() else ("PC", wcs.get_pc())
        cards |= {f"{kind}{axis}_{j + 1}": float(matrix[i, j]) for j in (0, 1)}
    cards |= {"RADESYS": wcs.radesys} if wcs.radesys else {}
    numbers = {"EQUINOX": wcs.equinox, "LONPOLE": wcs.lonpole, "LATPOLE": wcs.latpole}
    cards |= {key: float(value) for key, value in numbers.items() if np.isfinite(value)}
    cards |= {f"PV{axis}_{m}": float(value) for axis, m, value in wcs.get_pv()}
    return Grid.from_header(cards, shape=(image.data.shape[0], image.data.shape[1]))


def _with_what_else(cube: xr.Dataset, image: Any, meta: Mapping[str, Any]) -> xr.Dataset:
    """Return the cube with its PSF, and what else the cards of a product tell."""
    told = {name: float(meta[card]) for name, card in _ALSO.items() if card in meta}
    if (psf := getattr(image, "psf", None)) is not None:
        cube = with_psf_coords(cube, np.asarray(psf, np.float32)[None], Grid.of(cube).steps)
    else:
        told = {name: value for name, value in told.items() if not name.startswith("psf_")}
    cube = cube.assign_coords({name: ("band", [value]) for name, value in told.items()})
    if "PHOTONS" in meta:
        cube = cube.assign_coords(photons=("band", np.array([str(meta["PHOTONS"])], object)))
    history, notes = history_lines(meta.get("HISTORY", ()))
    words = {key.lower(): str(meta[key]) for key in ("RECIPE", "POISSON") if key in meta}
    cube = cube.assign_attrs(words | {"history": history, "warnings": notes})
    if _CORRELATED in meta:
        text = (
            "the noise was correlated, which NDData does not tell: errors of groups are too small"
        )
        cube = warn(cube, "HC-N23", text)
    return cube
