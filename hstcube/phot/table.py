"""Fluxes and errors of groups of pixels, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hstcube import __version__
from hstcube.core.cube import told_of_gaps
from hstcube.core.grids import Grid
from hstcube.core.rules import COVERAGE, taken
from hstcube.core.state import attribute, warn
from hstcube.errors import PSFError
from hstcube.inputs.choices import flag, require_choice
from hstcube.inputs.shapes import are_shapes
from hstcube.lazy.windows import at_pixels
from hstcube.noise.correlation import part_of
from hstcube.noise.groups import errors_of, group_parts, groups_in, of_shapes
from hstcube.phot.groups import Pixels, apertures
from hstcube.phot.units import pixel_area, to_flux

if TYPE_CHECKING:
    from collections.abc import Iterable

    import xarray as xr
    from astropy.table import QTable
    from numpy.typing import NDArray

    from hstcube.noise.correlation import Groups

__all__ = ["photometry"]

UNIT = "uJy"
_SEEN = 0.9  # of their kernels: pixels of a group that saw less on average are told
# the columns of the bands of a cube that say where the fluxes come from
_STATES = ("instrument", "detector", "pivot", "zeropoint", "psf_fwhm", "psf_ee_error",
           "psf_energy", "psf_energy_error", "matched_to", "sky", "sky_error", "extinction",
           "noise_scale")  # fmt: skip


def photometry(
    cube: xr.Dataset,
    groups: Any,
    *,
    radius: Any = None,
    partial: bool = False,
    pixels: Pixels = "mask",
    total: bool = False,
    covariance: bool = False,
    first: int = 1,
) -> QTable:
    """Measure the flux of every group of pixels in every band.

    Parameters
    ----------
    cube : Dataset
        With zero points; sky subtracted.
    groups : DataArray or array of int or bool, (y, x)
        Objects, bins or apertures on the cube's grid; 0 and negative values belong to none. What is
        True in a mask is group 1. Or shares of pixels (group, y, x), as `apertures` gives them with
        ``overlap="exact"``: ``npix`` and ``area`` are then sums of shares. Or regions of the
        package `regions`, those of a DS9 file for example, or apertures of photutils, on the sky
        or in pixels, by their shares of pixels. Or, with `radius`, places on the sky. Regions and
        apertures may overlap.
    radius : float or Quantity, or one for each place
        Of circular apertures around `groups`, which are then places as in `apertures` [arcsec; a
        Quantity may be in pixels], by their shares of pixels.
    partial : bool
        Give the flux of the pixels that there are, where a band lacks some of a group's; without it
        NaN.
    pixels : {"mask", "data"}
        The pixels of the cube's mask, or all that have data. A pixel that has data but is masked in
        all bands is left out of its group, and not missed.
    total : bool
        Divide flux and error by the share of the light of a point source, at the middle of the
        group, that the group holds: by the cube's ``psf``, and ``psf_energy`` for what lies beyond
        its frame. It is the correction from an aperture to the total of a point source.
    covariance : bool
        Add ``covariance_{band}`` [uJy2], a row of as many numbers as there are groups: the
        covariances of the errors of this group with those of all, in the order of the rows. As an
        array it is the covariance matrix of the band. Errors of different bands are independent.
    first : {1, 0}
        The least number that is a group: 0 for maps numbered from 0 with -1 outside, as vorbin and
        powerbin make them.

    Returns
    -------
    QTable
        A row for each group, by its number: ``id``; ``ra`` and ``dec`` [deg, ICRS] of the middle of
        its pixels; ``area`` [arcsec2] and ``npix``; then of each band ``flux_{band}`` and
        ``error_{band}`` [uJy] (the sum, negative where it is negative, and its 1 sigma error from
        `group_errors`) and ``npix_{band}``, the pixels that the band has. A group of which no pixel
        is left has npix 0 and NaN. Of a matched cube also ``low_coverage``: in some band the
        group's pixels saw less than 90 % of their kernels, on average, because of holes or the
        frame. ``meta`` says where the numbers come from.

    Raises
    ------
    BandError
        If a band has no zero point.
    CubeError
        If weights are negative or NaN, or do not agree with sci on where there is data.
    GridError
        If the groups lie on other pixels.
    LabelError
        If an aperture or a region has no pixel in the frame.
    NoiseError
        If the map holds no group, or no integers.
    PSFError
        If `total` is asked for and the cube has no ``psf``.
    RecipeError
        If there are no such `pixels`, or the radius is none.

    Examples
    --------
    >>> import hstcube
    >>> cube = hstcube.example(matched=True)
    >>> table = hstcube.photometry(cube, (53.16, -27.78), radius=0.3)
    >>> table["flux_f160w"].round(2)
    <Quantity [3.34] uJy>
    >>> bins = hstcube.bin_pixels(cube, snr=50, bands=["f160w"])
    >>> len(hstcube.photometry(cube, bins)) == bins.max().item()
    True
    """
    from astropy.table import QTable

    require_choice("pixels", pixels, Pixels)
    partial, total = flag("partial", partial), flag("total", total)
    covariance = flag("covariance", covariance)
    cube = taken(cube)
    if radius is not None:
        groups = apertures(cube, groups, radius=radius, overlap="exact")
    elif are_shapes(groups):
        groups = of_shapes(cube, groups)
    if covariance:
        parts: Iterable[Groups] = [groups_in(cube, groups, first=first)]
    else:
        parts = group_parts(cube, groups, first=first)
    cube = told_of_gaps(_warned_of_sky(cube))
    flux = to_flux(cube, UNIT)
    attrs = getattr(groups, "attrs", {})
    asked = _Asked(pixels, partial, total, covariance, np.array(attrs.get("cut", ())) + 1 - first)
    columns = _joined([_measured(cube, flux, found, asked) for found in parts])
    named = columns["id"] + first - 1
    table = QTable({**columns, "id": named})
    if "below_target" in attrs:
        low = np.isin(named, attrs["below_target"])
        table.add_column(low, table.colnames.index("npix") + 1, name="below_target")
    table.meta = _meta(cube, flux, partial=partial, pixels=pixels, total=total)
    return table


class _Asked(NamedTuple):
    """What is to be measured of groups, and which reach beyond the frame."""

    pixels: Pixels
    partial: bool
    total: bool
    covariance: bool
    cut: NDArray[Any]


def _joined(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the columns of all parts, their rows by number."""
    if len(parts) == 1:
        return parts[0]
    order = np.argsort(np.concatenate([part["id"] for part in parts]))
    return {name: np.concatenate([part[name] for part in parts])[order] for name in parts[0]}


def _measured(cube: xr.Dataset, flux: xr.Dataset, found: Groups, asked: _Asked) -> dict[str, Any]:
    """Return the columns of some groups."""
    from astropy import units

    values = _values(cube, flux, found)
    wanted, had = _pixels(values, asked.pixels)
    number = _counts(found, wanted)
    share = np.ones((cube.sizes["band"], number.size))
    if asked.total:
        share = _share(flux, found, wanted)
    cut = np.isin(found.ids, asked.cut)
    columns = {"id": found.ids, **_places(flux, found, wanted)}
    columns["area"] = number * pixel_area(flux) * units.arcsec**2
    columns["npix"] = number
    if COVERAGE in cube.variables:
        columns["low_coverage"] = _saw_little(values, found, had)
    errors = _errors(flux, found, had, values["wht"])
    for i, band in enumerate(flux.band.values.tolist()):
        there, missed = _counts(found, had[i]), _counts(found, wanted & ~had[i])
        known = (there > 0) & (asked.partial | ((missed == 0) & ~cut))
        sums = found.sums(np.where(had[i], values["sci"][i].astype(np.float64), 0.0))
        columns[f"flux_{band}"] = np.where(known, sums / share[i], np.nan) * units.uJy
        columns[f"error_{band}"] = np.where(known, errors[i] / share[i], np.nan) * units.uJy
        columns[f"npix_{band}"] = there
        if asked.covariance:
            one = _covariances(flux.isel(band=[i]), found, had[i], values["wht"][[i]])
            both = np.where(np.outer(known, known), one / np.outer(share[i], share[i]), np.nan)
            columns[f"covariance_{band}"] = both * units.uJy**2
    return columns


def _values(cube: xr.Dataset, flux: xr.Dataset, found: Groups) -> dict[str, Any]:
    """Return what the pixels of groups hold, (band, pixel)."""
    images = {"sci": flux.sci.data, "wht": flux.wht.data}
    images |= {"there": cube.wht.data, "mask": cube["mask"].data}
    if COVERAGE in cube.variables:
        images[COVERAGE] = cube[COVERAGE].data
    values = at_pixels([*images.values()], found.rows, found.columns)
    return dict(zip(images, values, strict=True))


def _warned_of_sky(cube: xr.Dataset) -> xr.Dataset:
    bare = cube.band.values[np.isnan(cube.sky.values)].tolist()
    return warn(cube, "HC-K13", f"no sky was subtracted in {', '.join(bare)}") if bare else cube


def _pixels(values: dict[str, Any], pixels: Pixels) -> tuple[Any, Any]:
    """Return which of the groups' pixels are theirs, and which (band, pixel) each band has.

    A pixel without data in any band belongs to its group, and is missed: nothing says that it was
    masked.
    """
    data = values["there"] > 0
    use = values["mask"] if pixels == "mask" else data
    wanted = use.any(axis=0) | ~data.any(axis=0)
    return wanted, use & wanted


def _counts(found: Groups, where: NDArray[np.bool_]) -> NDArray[Any]:
    """Return how many of the groups' pixels these are: whole numbers, unless they are shares."""
    number = found.sums(where.astype(np.float64))
    return number.astype(np.int64) if found.weight is None else number


def _errors(cube: xr.Dataset, found: Groups, had: Any, wht: Any) -> NDArray[np.float64]:
    """Return the errors (band, group): all bands at once where they have the same pixels."""
    out = np.full((len(had), found.ids.size), np.nan)
    step = len(had) if bool((had == had[:1]).all()) else 1
    for first in range(0, len(had), step):
        bands = slice(first, first + step)
        used = part_of(found, had[first])
        if used.ids.size:
            weights = wht[bands][:, had[first]]
            errors = errors_of(cube.isel(band=bands), used, wht=weights).values
            out[bands, np.searchsorted(found.ids, used.ids)] = errors
    return out


def _covariances(
    cube: xr.Dataset, found: Groups, had: NDArray[np.bool_], wht: Any
) -> NDArray[np.float64]:
    """Return the covariances (group, group) of one band."""
    out = np.full((found.ids.size, found.ids.size), np.nan)
    used = part_of(found, had)
    if used.ids.size:
        there = np.searchsorted(found.ids, used.ids)
        both = errors_of(cube, used, covariance=True, wht=wht[:, had]).values
        out[np.ix_(there, there)] = both[0]
    return out


def _saw_little(values: dict[str, Any], found: Groups, had: Any) -> NDArray[np.bool_]:
    """Return which groups saw too little of their kernels in any band."""
    little = np.zeros(found.ids.size, bool)
    for share, there in zip(values[COVERAGE], had, strict=True):
        seen = np.where(there, share, 0).astype(np.float64)
        little |= found.sums(seen) < _SEEN * found.sums(there.astype(np.float64))
    return little


def _places(cube: xr.Dataset, found: Groups, wanted: Any) -> dict[str, Any]:
    """Return RA and Dec of the middle of each group."""
    from astropy import units

    y, x = _middles(found, wanted)
    sky = Grid.of(cube).wcs.pixel_to_world(x, y).icrs
    return {"ra": sky.ra.deg * units.deg, "dec": sky.dec.deg * units.deg}


def _middles(found: Groups, wanted: Any) -> tuple[Any, Any]:
    """Return the middles (y, x) of the groups' pixels; of all of them where none is wanted."""
    none_left = _counts(found, wanted) == 0
    used = (wanted | none_left[found.owner]).astype(np.float64)
    number = found.sums(used)
    return found.sums(used * found.rows) / number, found.sums(used * found.columns) / number


def _share(cube: xr.Dataset, found: Groups, wanted: Any) -> NDArray[np.float64]:
    """Return the share (band, group) of the PSF that falls on the pixels of each group.

    The PSF is put on the middle of the group, and interpolated with cubic splines at the pixels'
    offsets; what lies beyond its stamp is 0.
    """
    from scipy import ndimage

    if "psf" not in cube.coords:
        reason = (
            "the cube has no PSF (coordinate psf), "
            "so the share of the light in an aperture is not known"
        )
        fix = (
            "[[measure a cube that was made with --psf FILE|assign it, unit sum: "
            "cube.assign_coords(psf=(('band', 'ky', 'kx'), psf))]]"
        )
        raise PSFError("HC-P20", reason, fix)
    psf = cube.coords["psf"].transpose("band", "ky", "kx")
    y, x = _middles(found, wanted)
    rows, columns, owner = found.rows, found.columns, found.owner
    fold_y, fold_x = _folds(cube, psf)
    places = [
        (rows - y[owner]) * fold_y + psf.sizes["ky"] // 2,
        (columns - x[owner]) * fold_x + psf.sizes["kx"] // 2,
    ]
    share = np.empty((psf.sizes["band"], found.ids.size))
    for i, plane in enumerate(psf.values):
        light = ndimage.map_coordinates(plane.astype(np.float64), places, order=3)
        share[i] = found.sums(np.where(wanted, light, 0.0))
    if "psf_energy" in cube.coords:  # else taken to be all in the frame
        share *= np.nan_to_num(cube.psf_energy.values, nan=1.0)[:, None]
    return np.where(share > 0, share * fold_y * fold_x, np.nan)


def _folds(cube: xr.Dataset, psf: xr.DataArray) -> tuple[float, float]:
    """Return how many steps of the PSF's stamp a pixel has along y and x; 1 if it does not say."""
    steps = Grid.of(cube).steps
    return _fold(psf, "ky", steps[0]), _fold(psf, "kx", steps[1])


def _fold(psf: xr.DataArray, dim: str, step: float) -> float:
    labels = psf.coords[dim].values if dim in psf.coords else np.empty(0)
    return step / float(labels[1] - labels[0]) if labels.size > 1 else 1.0


def _meta(cube: xr.Dataset, flux: xr.Dataset, **settings: Any) -> dict[str, Any]:
    """Say what the numbers are of, and what was done; by band where bands differ."""
    return {
        "field": str(cube.attrs.get("field", "")),
        "software": f"hstcube {__version__}",
        "recipe": str(cube.attrs.get("recipe", "")),
        "units_of_sci": str(cube.sci.attrs["units"]),
        **{name: _by_band(cube, name) for name in _STATES if name in cube.coords},
        "noise": "correlated" if "noise_acf" in cube.coords else "white",
        **settings,
        "history": attribute(flux, "history").splitlines(),
        "warnings": attribute(cube, "warnings").splitlines(),
    }


def _by_band(cube: xr.Dataset, name: str) -> dict[str, Any]:
    column = cube.coords[name]
    plain = str if column.dtype.kind in "OUT" else float
    return dict(zip(map(str, cube.band.values), map(plain, column.values), strict=True))
