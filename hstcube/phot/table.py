"""Fluxes and errors of groups of pixels, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hstcube import __version__
from hstcube.core.grids import Grid
from hstcube.core.rules import validate
from hstcube.core.state import warn
from hstcube.errors import PSFError
from hstcube.noise.groups import group_errors
from hstcube.phot.groups import Pixels, checked_groups, group_ids, group_sums
from hstcube.phot.units import pixel_area, to_flux

if TYPE_CHECKING:
    import xarray as xr
    from astropy.table import QTable
    from numpy.typing import NDArray

    Labels = NDArray[np.int64]

__all__ = ["photometry"]

UNIT = "uJy"


def photometry(
    cube: xr.Dataset,
    groups: Any,
    *,
    partial: bool = False,
    pixels: Pixels = "mask",
    total: bool = False,
) -> QTable:
    """Measure the flux of every group of pixels in every band.

    Parameters
    ----------
    cube : Dataset
        With zero points; sky subtracted.
    groups : DataArray or array of int, (y, x)
        Objects, bins or apertures on the cube's grid; 0 and negative values belong to none.
    partial : bool
        Give the flux of the pixels that there are, where a band lacks some of a group's; without it
        NaN.
    pixels : {"mask", "data"}
        The pixels of the cube's mask, or all that have data. A pixel that has data but is masked in
        all bands is left out of its group, and not missed.
    total : bool
        Divide flux and error by the share of the light of a point source, at the middle of the
        group, that the group holds: by the cube's ``psf``. It is the correction from an aperture to
        the total of a point source.

    Returns
    -------
    QTable
        A row for each group, by its number: ``id``; ``ra`` and ``dec`` [deg, ICRS] of the middle of
        its pixels; ``area`` [arcsec2] and ``npix``; then of each band ``flux_{band}`` and
        ``error_{band}`` [uJy] (the sum, negative where it is negative, and its 1 sigma error from
        `group_errors`) and ``npix_{band}``, the pixels that the band has. A group of which no pixel
        is left has npix 0 and NaN. ``meta`` says where the numbers come from.

    Raises
    ------
    BandError
        If a band has no zero point.
    CubeError
        If weights are negative or NaN, or do not agree with sci on where there is data.
    GridError
        If the groups lie on other pixels.
    NoiseError
        If the map holds no group, or no integers.
    PSFError
        If `total` is asked for and the cube has no ``psf``.
    """
    from astropy import units
    from astropy.table import QTable

    validate(cube)
    labels = checked_groups(cube, groups)
    ids = group_ids(labels)
    cube = _warned_of_sky(cube)
    flux = to_flux(cube, UNIT)
    wanted, had = _pixels(flux, labels, pixels)
    number = _counts(labels, ids, wanted)
    share = _share(flux, labels, ids, wanted) if total else np.ones((cube.sizes["band"], ids.size))
    cut = (
        np.isin(ids, getattr(groups, "attrs", {}).get("cut", ()))
        if not partial
        else np.zeros(ids.size, bool)
    )
    table = QTable({"id": ids, **_places(flux, labels, ids, wanted)})
    table["area"] = number * pixel_area(flux) * units.arcsec**2
    table["npix"] = number
    errors = _errors(flux, labels, ids, had)
    for i, band in enumerate(flux.band.values.tolist()):
        there = _counts(labels, ids, had[i])
        known = (there > 0) & (partial | ((there == number) & ~cut))
        total_flux = group_sums(np.where(had[i], labels, 0), ids, flux.sci.isel(band=i).values)
        table[f"flux_{band}"] = np.where(known, total_flux / share[i], np.nan) * units.uJy
        table[f"error_{band}"] = np.where(known, errors[i] / share[i], np.nan) * units.uJy
        table[f"npix_{band}"] = there
    table.meta = _meta(cube, flux, partial=partial, pixels=pixels, total=total)
    return table


def _warned_of_sky(cube: xr.Dataset) -> xr.Dataset:
    bare = cube.band.values[np.isnan(cube.sky.values)].tolist()
    return warn(cube, "HC-K13", f"no sky was subtracted in {', '.join(bare)}") if bare else cube


def _pixels(cube: xr.Dataset, labels: Labels, pixels: Pixels) -> tuple[Any, Any]:
    """Return the pixels (y, x) that belong to the groups, and those (band, y, x) that each band has of them.

    A pixel without data in any band belongs to its group, and is missed: nothing says that it was
    masked.
    """
    data = cube.wht.values > 0
    use = cube.mask.values if pixels == "mask" else data
    wanted = (labels > 0) & (use.any(axis=0) | ~data.any(axis=0))
    return wanted, use & wanted


def _counts(labels: Labels, ids: Labels, where: NDArray[np.bool_]) -> Labels:
    return np.bincount(np.searchsorted(ids, labels[where & (labels > 0)]), minlength=ids.size)


def _errors(cube: xr.Dataset, labels: Labels, ids: Labels, had: Any) -> NDArray[np.float64]:
    """Return the errors (band, group): all bands at once where they have the same pixels."""
    out = np.full((len(had), ids.size), np.nan)
    alike = bool((had == had[:1]).all())
    for bands in [slice(None)] if alike else [slice(i, i + 1) for i in range(len(had))]:
        used = np.where(had[bands][0], labels, 0)
        if (there := group_ids(used)).size:
            out[bands, np.searchsorted(ids, there)] = group_errors(
                cube.isel(band=bands), used
            ).values
    return out


def _places(cube: xr.Dataset, labels: Labels, ids: Labels, wanted: Any) -> dict[str, Any]:
    """Return RA and Dec of the middle of the pixels of each group; of all its pixels where none is left."""
    from astropy import units

    y, x = _middles(labels, ids, wanted)
    sky = Grid.of(cube).wcs.pixel_to_world(x, y).icrs
    return {"ra": sky.ra.deg * units.deg, "dec": sky.dec.deg * units.deg}


def _middles(labels: Labels, ids: Labels, wanted: Any) -> tuple[Any, Any]:
    kept = np.isin(labels, group_ids(np.where(wanted, labels, 0)))
    used = np.where(wanted | ~kept, labels, 0)
    rows, columns = (
        np.broadcast_to(axis, labels.shape)
        for axis in np.ogrid[: labels.shape[0], : labels.shape[1]]
    )
    number = _counts(used, ids, used > 0)
    return group_sums(used, ids, rows) / number, group_sums(used, ids, columns) / number


def _share(cube: xr.Dataset, labels: Labels, ids: Labels, wanted: Any) -> NDArray[np.float64]:
    """Return the share (band, group) of the PSF, put on the middle of each group, that falls on its pixels.

    The PSF is interpolated with cubic splines at the pixels' offsets; what lies beyond its stamp is
    0.
    """
    from scipy import ndimage

    if "psf" not in cube.coords:
        reason = "the cube has no PSF (coordinate psf), so the share of the light in an aperture is not known"
        raise PSFError(
            "HC-P20",
            reason,
            "assign it, unit sum: cube.assign_coords(psf=(('band', 'ky', 'kx'), psf))",
        )
    psf = cube.coords["psf"].transpose("band", "ky", "kx")
    y, x = _middles(labels, ids, wanted)
    rows, columns = np.nonzero(wanted)
    owner = np.searchsorted(ids, labels[rows, columns])
    fold = _folds(cube, psf)
    places = [
        (at - middle[owner]) * f + n // 2
        for at, middle, f, n in zip((rows, columns), (y, x), fold, psf.shape[1:], strict=True)
    ]
    share = np.stack(
        [
            np.bincount(
                owner,
                ndimage.map_coordinates(plane.astype(np.float64), places, order=3),
                minlength=ids.size,
            )
            for plane in psf.values
        ]
    )
    return np.where(share > 0, share * fold[0] * fold[1], np.nan)


def _folds(cube: xr.Dataset, psf: xr.DataArray) -> tuple[float, float]:
    """Return how many steps of the PSF's stamp a pixel has along y and x; 1 where the stamp does not say."""
    steps = Grid.of(cube).steps
    found = []
    for dim, step in zip(("ky", "kx"), steps, strict=True):
        labels = psf.coords[dim].values if dim in psf.coords else np.empty(0)
        found.append(step / float(labels[1] - labels[0]) if labels.size > 1 else 1.0)
    return found[0], found[1]


def _meta(cube: xr.Dataset, flux: xr.Dataset, **settings: Any) -> dict[str, Any]:
    """Say what the numbers are of, and what was done: plain strings and numbers, by band where they differ."""

    def by_band(name: str) -> dict[str, Any]:
        column = cube.coords[name]
        return {
            str(band): str(value) if column.dtype.kind in "OU" else float(value)
            for band, value in zip(cube.band.values, column.values, strict=True)
        }

    states = (
        "pivot",
        "zeropoint",
        "psf_fwhm",
        "matched_to",
        "sky",
        "sky_error",
        "extinction",
        "noise_scale",
    )
    return {
        "field": str(cube.attrs.get("field", "")),
        "software": f"hstcube {__version__}",
        "recipe": str(cube.attrs.get("recipe", "")),
        "units_of_sci": str(cube.sci.attrs["units"]),
        **{name: by_band(name) for name in states if name in cube.coords},
        "noise": "correlated" if "noise_acf" in cube.coords else "white",
        **settings,
        "history": flux.attrs["history"].splitlines(),
        "warnings": cube.attrs["warnings"].splitlines(),
    }
