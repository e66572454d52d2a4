"""Errors that hold for any group of pixels: what noise is like, and what it does to sums.

A cube describes its noise by the standard deviation of single pixels, noise_scale/sqrt(wht), and by
the autocorrelation ``noise_acf``, the same everywhere in a band; drizzled images and matched ones
have correlated pixels (Casertano et al. 2000, AJ 120, 2747; Fruchter & Hook 2002, PASP 114, 144).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from hstcube.core.grids import Grid
from hstcube.core.offsets import direction, noise_scale, pixel_acf, with_noise_coords
from hstcube.core.rules import require_same_grid, taken
from hstcube.core.state import warn
from hstcube.errors import NoiseError
from hstcube.inputs.choices import flag
from hstcube.inputs.quantities import short, whole_number
from hstcube.inputs.shapes import are_shapes, drawn_on
from hstcube.lazy.windows import lazily_at
from hstcube.noise.correlation import (
    Groups,
    covariances,
    find_groups,
    find_shares,
    parted_groups,
    propagated,
    resized,
    variances,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    Image64 = NDArray[np.float64]

__all__ = [
    "errors_of",
    "group_errors",
    "group_ids",
    "group_map",
    "group_parts",
    "groups_in",
    "of_shapes",
    "shares_map",
    "with_matched_noise",
]

_LARGEST = 2**62  # of the numbers of groups
_LOST = (
    "the map of groups has -1, 0, 1, ...: 0 looks like a group, but is none; where groups are "
    "numbered from 0, [[add 1|say first=0]]"
)

REACH = 0.96  # arcsec: so far the autocorrelation of matched images is kept at least
NEGLIGIBLE = 1e-3  # and as far as it is larger than this

_AS_EQUAL = 1e-3  # of a pixel: what is so near a whole number of them is one


def group_errors(
    cube: xr.Dataset, groups: Any, *, covariance: bool = False, first: int = 1
) -> xr.DataArray:
    """Return the error of the sum of sci over every group of pixels.

    The variance of a sum is the double sum of sigma_i sigma_j rho(i - j) over the group's pixels,
    sigma = noise_scale/sqrt(wht) and rho = noise_acf, plus N^2 times the variance of the sky level,
    which all N pixels have in common. Without ``noise_acf`` the pixels are independent. In a
    matched cube this agrees with the exact form, the sum of var_j (K^T 1_group)_j^2 over the pixels
    j before matching, to some percent.

    Parameters
    ----------
    cube : Dataset
    groups : DataArray or array of int or bool, (y, x)
        The group each pixel belongs to: bins, apertures, objects. 0 and negative values belong to
        no group; what is True in a mask is group 1. Or the shares of pixels (group, y, x) that
        `apertures` gives with ``overlap="exact"``: sigma is then weighted with them. Or regions,
        as in `photometry`.
    covariance : bool
        Return the covariances of all groups instead. For some of them, set the others to 0.
    first : {1, 0}
        The least number that is a group; see `photometry`.

    Returns
    -------
    DataArray, (band, group) [units of sci]
        1 sigma. ``group`` holds the map's values, increasing. Pixels without data in a band are no
        part of the sum; NaN where a group has none that has data. With `covariance`: (band, group,
        other) [units of sci squared].

    Raises
    ------
    GridError
        If `groups` lies on other pixels.
    NoiseError
        If `groups` is no map of integers, or holds no group at all; if ``noise_scale`` or
        ``noise_acf`` are impossible.

    Examples
    --------
    >>> import hstcube
    >>> cube = hstcube.example(matched=True)
    >>> disc = hstcube.apertures(cube, (53.16, -27.78), radius=0.3)
    >>> error = hstcube.group_errors(cube, disc).sel(band="f435w").item()
    >>> alone = float(hstcube.variance(cube).sel(band="f435w").where(disc > 0).sum()) ** 0.5
    >>> round(error / alone, 1)  # matched pixels are correlated: independent ones would give 1
    3.6
    """
    cube = taken(cube)
    if flag("covariance", covariance):
        parts = [groups_in(cube, groups, first=first)]
    else:
        parts = [*group_parts(cube, groups, first=first)]
    values = [errors_of(cube, part, covariance=covariance) for part in parts]
    ids = np.concatenate([part.ids for part in parts])
    errors = values[0]
    if len(parts) > 1:
        order = np.argsort(ids)
        joined: Any = xr.Variable.concat  # untyped
        errors, ids = joined(values, "group")[:, order], ids[order]
    units = cube.sci.attrs["units"]
    dims = ["group", "other"] if covariance else ["group"]
    return xr.DataArray(
        errors,
        {"band": cube.band.values, **{dim: (dim, ids + first - 1) for dim in dims}},
        ("band", *dims),
        name="covariance" if covariance else "error",
        attrs={"units": f"({units})2" if covariance else units},
    )


def errors_of(
    cube: xr.Dataset, found: Groups, *, covariance: bool = False, wht: Any = None
) -> xr.Variable:
    """Return what `group_errors` does, of groups whose pixels are known; `wht` (band, pixel) too.

    Lazily where the cube is lazy, and `wht` is not given.
    """
    if wht is None:
        wht = lazily_at(cube.wht.data, found.rows, found.columns)
    dims = ["group", "other"] if covariance else ["group"]
    function = _covariances if covariance else _errors
    acf = pixel_acf(cube)
    values: xr.Variable = xr.apply_ufunc(
        lambda *pixels: function(found, *pixels),
        xr.Variable(("band", "pixel"), wht),
        noise_scale(cube),
        acf,
        xr.Variable("band", np.nan_to_num(cube.sky_error.values)),
        input_core_dims=[["pixel"], [], ["dy", "dx"], []],
        output_core_dims=[dims],
        vectorize=True,
        dask="parallelized",
        output_dtypes=[np.float64],
        dask_gufunc_kwargs={
            "output_sizes": dict.fromkeys(dims, found.ids.size),
            "allow_rechunk": True,
        },
    )
    return values


def groups_in(cube: xr.Dataset, groups: Any, *, first: int = 1) -> Groups:
    """Return the pixels of the groups of a map, or of shares of pixels (group, y, x).

    Parameters
    ----------
    cube : Dataset
    groups : DataArray or array
        As `group_map`, which takes maps; or a DataArray of float, (group, y, x), from 0 to 1.
    first : {1, 0}
        As in `group_map`.

    Raises
    ------
    GridError, NoiseError, RecipeError
        As `group_map`; if shares are below 0 or above 1, or two groups have one number.
    """
    groups = of_shapes(cube, groups) if are_shapes(groups) else groups
    if not _are_shares(groups):
        return find_groups(group_map(cube, groups, first=first))
    whole_number(first, "first", least=0, most=1)
    require_same_grid(cube, groups)
    shares = np.asarray(groups.transpose("group", "y", "x").values, dtype=np.float64)
    ids = groups.coords["group"].values if "group" in groups.coords else np.empty(0)
    distinct = ids.dtype.kind in "iu" and np.unique(ids).size == len(shares)
    if not (distinct and bool(((shares >= 0) & (shares <= 1)).all())):
        reason = "the shares of pixels are not from 0 to 1, of groups that have a number each"
        raise NoiseError("HC-N01", reason, "make them anew[[|: apertures(..., overlap='exact')]]")
    if not shares.any():
        reason = "no group holds a share of a pixel"
        raise NoiseError("HC-N02", reason, "give each group the shares of pixels that are its own")
    return find_shares(shares, ids.astype(np.int64) + 1 - first)


def group_parts(cube: xr.Dataset, groups: Any, *, first: int = 1) -> Iterable[Groups]:
    """Return what `groups_in` does; of a map beside a lazy cube in parts, tile by tile."""
    if are_shapes(groups) or _are_shares(groups) or not cube.wht.chunks:
        return [groups_in(cube, groups, first=first)]
    return parted_groups(group_map(cube, groups, first=first))


def of_shapes(cube: xr.Dataset, shapes: Any) -> xr.DataArray:
    """Return regions or apertures as shares of pixels, (group, y, x), which may overlap.

    Parameters
    ----------
    cube : Dataset
    shapes : region of `regions`, aperture of photutils, or list of them
        Numbered 1, 2, ... in their order; see `hstcube.inputs.shapes.drawn_on`.

    Raises
    ------
    LabelError
        If one holds no pixel of the frame.
    """
    grid = Grid.of(cube)
    drawn = drawn_on(shapes, grid.wcs, grid.shape)
    return shares_map(cube, drawn.shares, drawn.cut, "regions")


def shares_map(cube: xr.Dataset, found: list[Any], cut: list[int], name: str) -> xr.DataArray:
    """Return the shares of pixels that lie in groups, (group, y, x); `cut` are beyond the frame."""
    coords: dict[str, Any] = {key: cube.coords[key] for key in ("y", "x", "wcs")}
    coords["group"] = np.arange(1, len(found) + 1)
    attrs = {"cut": cut} if cut else {}
    return xr.DataArray(np.stack(found), coords, ("group", "y", "x"), name=name, attrs=attrs)


def _are_shares(groups: Any) -> bool:
    return isinstance(groups, xr.DataArray) and {*groups.dims} == {"group", "y", "x"}


def group_map(cube: xr.Dataset, groups: Any, *, first: int = 1) -> NDArray[np.signedinteger[Any]]:
    """Return a group map as a plain array in which what is above 0 names a group.

    Parameters
    ----------
    cube : Dataset
    groups : DataArray or array of int or bool, (y, x)
        On the cube's pixels. What is True in a mask is group 1; masked pixels are in no group.
    first : {1, 0}
        The least number that is a group: 1 is added to the numbers of a map that begins with 0.

    Raises
    ------
    GridError
        If it lies on other pixels.
    NoiseError
        If it is no (y, x) map of integers, or holds no group.
    RecipeError
        If there is no such `first`.
    """
    whole_number(first, "first", least=0, most=1)
    _require_map(groups)
    require_same_grid(cube, groups)
    if isinstance(groups, xr.DataArray) and {*groups.dims} == {"y", "x"}:
        groups = groups.transpose("y", "x")
    values = _whole_numbers(groups, first)
    if first == 1 and _begins_with_0(values):
        warn(cube, "HC-N12", _LOST)
    if not (values > 0).any():
        reason = f"the map has no group: no value above {first - 1}"
        raise NoiseError("HC-N02", reason, "number the groups from 1; 0 is for pixels of none")
    return values


def group_ids(labels: NDArray[np.signedinteger[Any]]) -> NDArray[np.int64]:
    """Return the numbers of the groups of a map, increasing."""
    return np.unique(labels[labels > 0]).astype(np.int64)


def _require_map(groups: Any) -> None:
    """Refuse what stands for groups elsewhere, and say how a map is made of it."""
    if hasattr(groups, "transform_to"):
        what = "a place"
        fix = (
            "give a radius, too[[|: photometry(cube, sky, radius=0.3)]]; or make a map[[|: "
            "hstcube.apertures(cube, sky, radius=0.3)]]"
        )
    elif hasattr(groups, "to_pixel"):
        what = "a region or an aperture on the sky"
        fix = (
            "make a map[[|: region.to_pixel(hstcube.Grid.of(cube).wcs).to_mask().to_image("
            "(cube.sizes['y'], cube.sizes['x'])) > 0.5]]"
        )
    elif hasattr(groups, "to_mask"):
        what = "a region or an aperture in pixels"
        fix = "make a map[[|: region.to_mask().to_image((cube.sizes['y'], cube.sizes['x'])) > 0.5]]"
    elif isinstance(groups, xr.Dataset) or np.ndim(groups) == 0:
        what, fix = short(groups), "give integers (y, x)[[|, e.g. those of hstcube.apertures]]"
    else:
        return
    raise NoiseError("HC-N01", f"the map of groups is {what}, no map", fix)


def _whole_numbers(groups: Any, first: int) -> NDArray[np.signedinteger[Any]]:
    """Return the numbers of a map, those of groups above 0; pixels that are masked are 0."""
    masked = getattr(groups, "mask", None)
    values = np.asarray(groups if masked is None else groups.data)
    if _are_shares(groups):
        reason = "the groups are shares of pixels (group, y, x), where whole pixels are needed"
        raise NoiseError("HC-N01", reason, "give whole pixels[[|: overlap='center']]")
    if values.ndim != 2 or values.dtype.kind not in "iub":  # noqa: PLR2004
        reason = (
            f"the map of groups holds {values.dtype} of shape {values.shape}, "
            "not one integer for each pixel (y, x)"
        )
        fix = "convert it[[ to integers|: groups.astype('int32')]]; 0 is for pixels of no group"
        if values.ndim != 2:  # noqa: PLR2004
            fix = "give one map for all bands[[|, of the cube's mask hstcube.common_mask(cube)]]"
        raise NoiseError("HC-N01", reason, fix)
    if values.size and not -_LARGEST < int(values.max()) < _LARGEST:
        reason = f"the map of groups holds the number {values.max()}"
        raise NoiseError("HC-N01", reason, "number the groups anew: 1, 2, ...")
    shift = 0 if values.dtype == bool else 1 - first
    numbers = values if values.dtype.kind == "i" and not shift else values.astype(np.int64) + shift
    return numbers if masked is None else np.where(masked, 0, numbers)


def _begins_with_0(values: NDArray[np.signedinteger[Any]]) -> bool:
    """Return whether 0 looks like a group: the first of several, of their size, in one piece.

    Vorbin and powerbin number bins from 0, and pixels outside are -1. In a segmentation map 0 is
    the sky, and negative numbers are pixels that are not known.
    """
    if not values.size or int(values.min()) >= 0:
        return False
    numbers, sizes = np.unique(values[values >= 0], return_counts=True)
    in_turn = numbers.size > 1 and np.array_equal(numbers, np.arange(numbers.size))
    if not in_turn or sizes[0] > sizes[1:].max():
        return False
    from scipy import ndimage

    return int(ndimage.label(values == 0, np.ones((3, 3)))[1]) == 1


def _errors(groups: Groups, wht: Any, scale: Any, acf: Image64, sky_error: Any) -> Image64:
    variance = variances(_sigma(wht, scale), groups, acf)
    number = _pixels_with_data(groups, wht)
    # a correlation that is no correlation gives a negative variance, hence NaN
    with np.errstate(invalid="ignore"):
        return np.where(number > 0, np.sqrt(variance + (number * sky_error) ** 2), np.nan)


def _covariances(groups: Groups, wht: Any, scale: Any, acf: Image64, sky_error: Any) -> Image64:
    number = _pixels_with_data(groups, wht)
    both = np.outer(number, number)
    return np.where(
        both > 0, covariances(_sigma(wht, scale), groups, acf) + both * sky_error**2, np.nan
    )


def _sigma(wht: Any, scale: float) -> Image64:
    out = np.zeros(wht.shape)
    there = wht > 0
    out[there] = scale / np.sqrt(wht[there], dtype=np.float64)
    return out


def _pixels_with_data(groups: Groups, wht: Any) -> Image64:
    """Return how many pixels of each group have data, in shares where it holds such."""
    return groups.sums((wht > 0).astype(np.float64))


def with_matched_noise(cube: xr.Dataset, kernels: xr.Variable, **others: Any) -> xr.Dataset:
    """Return the cube with the noise that its images have once they are convolved with the kernels.

    ``noise_acf`` becomes (rho conv C)/(rho conv C)(0), C = K corr K, and ``noise_scale`` grows by
    the square root of (rho conv C)(0)/C(0): where the weights are constant, those that K^2 gives
    stay what they are for white noise.

    Parameters
    ----------
    cube : Dataset
        Before the convolution.
    kernels : Variable, (band, ky, kx)
        Unit sum, odd sizes.
    **others
        Further coordinates that the cube gets.
    """
    acf, gain = propagated(kernels.values.astype(np.float64), pixel_acf(cube).values)
    steps = Grid.of(cube).steps
    reach = (_kept_reach(acf, 1, steps[0]), _kept_reach(acf, 2, steps[1]))
    acf = resized(acf, reach)[:, :: direction(cube, "y"), :: direction(cube, "x")]
    return with_noise_coords(cube, noise_scale(cube).values * np.sqrt(gain), acf, steps, **others)


def _kept_reach(acf: Image64, axis: int, step: float) -> int:
    """Return how many pixels of lag are worth keeping along one axis."""
    profile = np.abs(acf).max(axis=(0, 3 - axis))
    far = np.flatnonzero(profile > NEGLIGIBLE)
    return max(math.ceil(REACH / step - _AS_EQUAL), int(profile.size // 2 - far[0]))
