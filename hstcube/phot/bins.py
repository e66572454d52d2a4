"""Bins: groups of neighbouring pixels that together reach a signal to noise."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import xarray as xr

from hstcube.core.cube import variance
from hstcube.core.grids import Grid
from hstcube.core.offsets import pixel_acf
from hstcube.core.rules import taken
from hstcube.errors import LabelError, PSFError
from hstcube.inputs.choices import require_choice
from hstcube.inputs.quantities import number_in
from hstcube.lazy.windows import at_pixels
from hstcube.noise.correlation import sorted_groups
from hstcube.noise.groups import errors_of, group_map, group_parts
from hstcube.phot._field import Field, Spectra, by_bin, make_field
from hstcube.phot._growing import merged, pieces, regions_alike, taken_in, whole
from hstcube.phot._tessellation import tessellated
from hstcube.phot._trading import freed, halved, traded
from hstcube.phot.groups import common_mask, of_bands

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from numpy.typing import NDArray

    from hstcube.phot._field import Bins

__all__ = ["bin_pixels", "group_snr"]

Mode = Literal["all", "any"]

_ROUNDING = 1e-9
# over the target: what the noise of groups may exceed what is counted here
_MARGINS = (1.004, 1.02)
_NO_AREA = "[[--min-area ARCSEC2 or none|min_area= in arcsec2]]"
_TIMES = 2  # that bins trade, merge and are halved


def bin_pixels(
    cube: xr.Dataset,
    *,
    snr: float = 5.0,
    bands: Sequence[str] | str | None = None,
    mode: Mode = "all",
    sed_shape: float | None = None,
    min_area: Any = None,
) -> xr.DataArray:
    """Put the pixels of the mask into bins that reach a signal to noise.

    Weighted Voronoi tessellation (Diehl & Statler 2006, MNRAS 368, 497), from seeds as dense as the
    boxes that reach the target are large; then bins trade pixels of their rims, and those below the
    target go to their neighbours. The noise is that of `group_errors`: pixels are correlated, and
    twice the pixels are less than sqrt(2) times better.

    Parameters
    ----------
    cube : Dataset
        The pixels are those that the mask holds in all of the bands. Mask sky out: without signal
        there is no bin.
    snr : float
        Signal to noise that every bin must reach.
    bands : str or sequence of str, optional
        Where it must; all bands when not given.
    mode : {"all", "any"}
        In each of the bands, or in one at least.
    sed_shape : float, optional
        Bins also keep to one shape of spectrum, as those of Abdurro'uf et al. 2021 (ApJS 254, 15)
        do: the mask is cut into regions in which the reduced chi square, in all bands of the cube,
        between the scaled spectra of a pixel and of the brightest one is at most this (4 is what
        they take), and no bin is in two regions. Regions that do not reach the target go to the
        most alike of those around them.
    min_area : "psf", float or Quantity, optional
        Area that every bin must have [arcsec2]. ``"psf"`` is that of the PSF, pi/4 FWHM^2 of the
        broadest of the bands: the light of smaller bins is that of their neighbours, too.

    Returns
    -------
    DataArray of int32, (y, x)
        Bins 1, 2, ..., each in one piece (pixels touch at sides or corners); 0 outside the mask.
        Every pixel of the mask is in one. ``attrs["below_target"]`` lists the bins that do not
        reach the target, or are smaller than `min_area`: they lie on islands of the mask that do
        not reach it with all their pixels.

    Raises
    ------
    BandError
        If a band is not in the cube.
    CubeError
        If weights are negative or NaN, or do not agree with sci on where there is data.
    LabelError
        If no pixel is in the mask of all the bands.
    PSFError
        If the area is to be that of the PSF, and its width is not known in one of the bands.
    RecipeError
        If `snr`, `sed_shape` or `min_area` is not positive, or there is no such mode.

    Examples
    --------
    >>> import hstcube
    >>> cube = hstcube.example(matched=True)
    >>> bins = hstcube.bin_pixels(cube, snr=50, bands=["f160w"])
    >>> int((bins > 0).sum()) == int(hstcube.common_mask(cube, bands=["f160w"]).sum())
    True
    """
    snr = number_in("", snr, "snr", above=0)
    if sed_shape is not None:
        sed_shape = number_in("", sed_shape, "sed_shape", above=0)
    require_choice("mode", mode, Mode, code="HC-B30")
    cube = taken(cube)
    judged = of_bands(cube, bands)
    least = _least_pixels(judged, min_area)
    inside = _inside(judged if sed_shape is None else cube)
    values = _values(judged, inside)
    walls = field = _field(judged, inside, values, mode, worth=_MARGINS[0] * snr / least)
    spectra = None
    if sed_shape is not None:
        spectra = Spectra(*_values(cube, inside)[:2])
        regions = merged(field, regions_alike(field, spectra, sed_shape), snr, spectra=spectra)
        walls = _walled(field, regions)
    hopeless = _hopeless(field, snr)
    for margin in _MARGINS:
        bins, kept = _compact(walls, margin * snr, hopeless=hopeless)
        if not (_below(judged, values.wht, field, bins, snr)[bins] & ~hopeless).any():
            break
    bins, low = _judged(judged, values.wht, _walled(field, kept), bins, snr, spectra)
    found = _map(cube, field, bins, low).assign_attrs(
        snr=snr, bands=" ".join(judged.band.values), mode=mode
    )
    return found.assign_attrs(min_pixels=least) if least > 1 else found


def group_snr(cube: xr.Dataset, groups: Any, *, first: int = 1) -> xr.DataArray:
    """Return the signal to noise of every group, (band, group).

    It is the group's sum over its error from `group_errors`.
    """
    cube = taken(cube)
    ids, ratios = [], []
    for found in group_parts(cube, group_map(cube, groups, first=first)):
        sci, wht = at_pixels([cube.sci.data, cube.wht.data], found.rows, found.columns)
        sums = [found.sums(np.nan_to_num(one.astype(np.float64))) for one in sci]
        ids.append(found.ids)
        ratios.append(np.array(sums) / errors_of(cube, found, wht=wht).values)
    numbers = np.concatenate(ids)
    order = np.argsort(numbers)
    coords = {"band": cube.band.values, "group": numbers[order] + first - 1}
    ratio = np.concatenate(ratios, axis=1)[:, order]
    return xr.DataArray(ratio, coords, ("band", "group"), name="snr")


def _least_pixels(cube: xr.Dataset, area: Any) -> int:
    """Return how many pixels a bin has at least; 1 where no area is asked for."""
    if area is None:
        return 1
    if isinstance(area, str) and area == "psf":
        widths = cube.psf_fwhm.values
        if not np.isfinite(widths).all():
            raise PSFError(
                "HC-P01",
                "the width of its PSF is not known, so bins cannot be as large as the PSF",
                f"give {_NO_AREA}, or the width when the images are opened: "
                "[[hstcube run --psf-fwhm BAND=ARCSEC|psf_fwhm={...}]]",
                band=str(cube.band.values[~np.isfinite(widths)][0]),
            )
        area = np.pi / 4 * float(widths.max()) ** 2
    pixel = Grid.of(cube).scale
    return max(math.ceil(number_in("arcsec2", area, "min_area", above=0) / pixel**2 - _ROUNDING), 1)


def _inside(cube: xr.Dataset) -> NDArray[np.bool_]:
    """Return the pixels that the mask holds in all bands."""
    inside: NDArray[np.bool_] = common_mask(cube).values
    if not inside.any():
        reason = f"no pixel is in the mask of all of {', '.join(cube.band.values)}"
        raise LabelError("HC-S24", reason, "choose other bands, or another mask")
    return inside


def _walled(field: Field, regions: Any) -> Field:
    """Return the field in which no bin is in two regions."""
    return replace(field, region=np.append(regions, -1))


class _Values(NamedTuple):
    """What pixels hold, (band, pixel): sci and its noise, 0 where there is no data; weights."""

    signal: NDArray[np.float64]
    sigma: NDArray[np.float64]
    wht: NDArray[np.float32]


def _values(cube: xr.Dataset, inside: NDArray[np.bool_]) -> _Values:
    """Return what the pixels of a mask hold; of the images no more than the box around it."""
    places = np.nonzero(inside)
    # one pixel more on all sides: a cube of a single one has lost its steps
    starts = [max(int(one.min()) - 1, 0) for one in places]
    box = [slice(start, int(one.max()) + 2) for start, one in zip(starts, places, strict=True)]
    near = cube.isel(y=box[0], x=box[1])
    rows, columns = (one - start for one, start in zip(places, starts, strict=True))
    arrays = [near.sci.data, variance(near).data, near.wht.data]
    signal, noise, wht = at_pixels(arrays, rows, columns)
    sigma = np.nan_to_num(np.sqrt(noise.astype(np.float64)))
    return _Values(np.nan_to_num(signal.astype(np.float64)), sigma, wht)


def _field(
    cube: xr.Dataset, inside: NDArray[np.bool_], values: _Values, mode: Mode, *, worth: float
) -> Field:
    sky_error = np.nan_to_num(cube.sky_error.values)
    return make_field(
        inside,
        values.signal,
        values.sigma,
        pixel_acf(cube).values,
        sky_error,
        any_band=mode == "any",
        worth=worth,
    )


def _hopeless(field: Field, target: float) -> NDArray[np.bool_]:
    """Return the pixels of islands of the mask that do not reach the target as a whole."""
    island = pieces(field, np.zeros(field.size, np.intp))
    return np.asarray(field.ratio_of_bins(island) < target)[island]


def _compact(
    field: Field, target: float, *, hopeless: NDArray[np.bool_]
) -> tuple[Bins, NDArray[np.bool_]]:
    """Return the bins; and the pixels of good bins on hopeless islands.

    The others must not pull those down.
    """
    bins = traded(field, whole(field, tessellated(field, target), target), target)
    good = field.ratio_of_bins(bins) >= target
    kept = hopeless & good[bins]
    if kept.any():
        field = _walled(field, 2 * field.region[:-1] + kept)
    for _ in range(_TIMES):
        bins = merged(field, traded(field, bins, target), target)
        bins = whole(field, halved(field, freed(field, bins, target), target), target)
    return freed(field, merged(field, bins, target), target), kept


def _judged(
    cube: xr.Dataset, wht: Any, field: Field, bins: Bins, target: float, spectra: Spectra | None
) -> tuple[Bins, NDArray[np.bool_]]:
    """Return the bins after those below the target by the exact error went to others.

    And which of them are still below: islands.
    """
    without_walls = _walled(field, np.zeros(field.size, np.intp))
    while True:
        bins = _in_order(bins)
        low = _below(cube, wht, field, bins, target)
        if not low.any():
            return bins, low
        after = merged(field, bins, target, below=low, spectra=spectra)
        if np.array_equal(after, bins):
            after = _in_order(taken_in(without_walls, bins, low, target))
        if np.array_equal(after, bins):
            return bins, low
        bins = after


def _below(
    cube: xr.Dataset, wht: Any, field: Field, bins: Bins, target: float
) -> NDArray[np.bool_]:
    """Return which bins are too small, or do not reach the target by `group_errors`."""
    order = np.argsort(bins, kind="stable")
    found = sorted_groups(bins[order], field.rows[order], field.columns[order])
    sums = by_bin(bins, field.signal, found.ids.size)
    each = sums / errors_of(cube, found, wht=wht[:, order]).values
    reached = each.max(axis=0) if field.any_band else each.min(axis=0)
    enough = np.bincount(bins) * field.worth >= target
    return np.asarray((reached < target * (1 - _ROUNDING)) | ~enough)


def _in_order(bins: Bins) -> Bins:
    """Return the bins numbered by their first pixels."""
    _, first, place = np.unique(bins, return_index=True, return_inverse=True)
    return np.asarray(np.argsort(np.argsort(first))[place])


def _labels(cube: xr.Dataset, field: Field, bins: Bins) -> NDArray[np.int32]:
    labels = np.zeros((cube.sizes["y"], cube.sizes["x"]), np.int32)
    labels[field.rows, field.columns] = bins + 1
    return labels


def _map(cube: xr.Dataset, field: Field, bins: Bins, low: NDArray[np.bool_]) -> xr.DataArray:
    coords = {name: cube.coords[name] for name in ("y", "x", "wcs")}
    attrs = {"below_target": (np.flatnonzero(low) + 1).tolist()}
    return xr.DataArray(_labels(cube, field, bins), coords, ("y", "x"), name="bins", attrs=attrs)
