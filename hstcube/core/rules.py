"""The rules of the model: what a cube is, and what lies on the pixels of one."""

from __future__ import annotations

import contextlib
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from hstcube.basics.pixels import Planes, is_lazy, keep_the_rule, mended
from hstcube.core.grids import Grid, known_cards, known_labels
from hstcube.core.state import REQUIRED, require_coords, warn
from hstcube.errors import BandError, CubeError, GridError
from hstcube.inputs.arrays import shown
from hstcube.inputs.choices import flag
from hstcube.inputs.names import checked_name
from hstcube.inputs.units import KNOWN_UNITS, parsed_unit

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "inside",
    "inverse_variance_unit",
    "more_planes",
    "require_dataset",
    "require_distinct_bands",
    "require_same_grid",
    "taken",
    "usable",
    "validate",
]

PLANES = ("sci", "wht", "mask")
COVERAGE = "coverage"  # of matched cubes: the share of its kernel that a pixel saw
REPLACED = "replaced"  # of cubes whose neighbours were taken out
TOLD = {  # of the images that a cube may have beside sci, wht and mask
    REPLACED: {"long_name": "pixels of neighbours, replaced by sky"},
    COVERAGE: {"long_name": "share of its kernel that a pixel saw", "units": "1"},
}
DIMS = ("band", "y", "x")

_BOOL, _FLOAT = np.dtype(np.bool_), np.dtype(np.float32)
_INSIDE = ContextVar("inside", default=False)
_DTYPES = {"sci": _FLOAT, "wht": _FLOAT, "mask": _BOOL, REPLACED: _BOOL, COVERAGE: _FLOAT}


def taken(cube: xr.Dataset, *, pixels: bool = True) -> xr.Dataset:
    """Return a cube that came in from outside, as every step may trust it.

    What every public function that takes a cube calls first.

    Parameters
    ----------
    cube : Dataset
    pixels : bool
        Look at the pixels too. A value that is NaN or infinite where its weight is positive is no
        data: the weight becomes 0, the mask False, and their number is told (HC-D07). Chunked
        pixels are looked at in their blocks when they are computed.

    Returns
    -------
    Dataset
        The cube itself where nothing had to be done.

    Raises
    ------
    HstCubeError
        As `validate`; if no pixel of a band is left.
    """
    if _INSIDE.get():
        return cube
    cube = _with_bands_in_memory(validate(cube, data=False))
    given = _planes(cube)
    if not pixels or (not is_lazy(given) and keep_the_rule(given)):
        return cube
    names = cube.band.values.tolist()
    planes, lost = mended(given, names)
    if planes is given:
        return cube
    new = cube.copy()  # shallow: its own variables, the same arrays
    for name, plane in zip(PLANES, planes, strict=True):
        new.variables[name].data = plane
    for name, number in lost.items():
        if not (planes.wht[names.index(name)] > 0).any():
            reason = f"no pixel of the band has data: {number} with a weight are NaN or infinite"
            raise CubeError("HC-D08", reason, "leave the band out", band=name)
        text = f"{name}: {number} pixels are NaN or infinite; they have no data"
        new = warn(new, "HC-D07", text)
    return new


@contextlib.contextmanager
def inside() -> Iterator[None]:
    """Let steps take cubes as they are: those that other steps make of one that was looked at."""
    token = _INSIDE.set(True)
    try:
        yield
    finally:
        _INSIDE.reset(token)


def _with_bands_in_memory(cube: xr.Dataset) -> xr.Dataset:
    """Return the cube with what is told of its bands out of dask, where ``cube.chunk`` puts it."""
    chunked = [name for name, one in cube.coords.variables.items() if _is_chunked(one)]
    if not chunked:
        return cube
    new = cube.copy()  # shallow
    for name in chunked:
        new.variables[name].data = cube.variables[name].values
    return new


def _is_chunked(variable: xr.Variable) -> bool:
    # not `Variable.chunks` at once, which asks what the array can do: 20 us for each coordinate
    if isinstance(variable, xr.IndexVariable) or isinstance(variable.data, np.ndarray):
        return False
    return variable.chunks is not None


def _planes(cube: xr.Dataset) -> Planes:
    return Planes(*(cube.variables[name].data for name in PLANES))


def more_planes(cube: xr.Dataset) -> list[str]:
    """Return which images a cube has beside sci, wht and mask: of each band, on its pixels."""
    return [name for name in (REPLACED, COVERAGE) if name in cube.variables]


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
        If it is no Dataset; if variables, dims, dtypes, units, coordinates or pixels break a rule;
        the message names it.
    GridError
        If the place of the pixels is lost, or is that of another cube.
    BandError, RecipeError
        If a band is there twice, or its name is none.

    Examples
    --------
    >>> import hstcube
    >>> cube = hstcube.example()
    >>> hstcube.validate(cube) is cube
    True
    >>> hstcube.validate(cube.drop_vars("wht"))
    Traceback (most recent call last):
    hstcube.errors.CubeError: HC-C01 there is no variable 'wht', so this is not a cube
      fix: see hstcube.build
    """
    require_dataset(cube)
    for name in (*PLANES, *more_planes(cube)):
        _validate_plane(cube, name)
    missing = [name for name in (*REQUIRED, "band", "wcs") if name not in cube.coords]
    if missing:
        raise CubeError(
            "HC-C07",
            f"the coordinate {missing[0]!r} is missing: this is not a whole cube "
            "(arithmetic on cubes does not keep their state)",
            "assign it again, e.g. from the parent cube",
        )
    _validate_bands(cube)
    require_coords(cube)
    _validate_place(cube)
    _validate_unit(cube.variables["sci"].attrs.get("units"))
    _validate_labels(cube)
    if flag("data", data) and not is_lazy(_planes(cube)):
        _validate_pixels(cube)
    return cube


def _validate_unit(unit: Any) -> None:
    if isinstance(unit, str) and unit in KNOWN_UNITS:
        return
    if not isinstance(unit, str):
        raise CubeError(
            "HC-C04",
            f"sci has units {shown(unit)}, not a text",
            "write [[BUNIT|cube.sci.attrs['units']]] as text, e.g. 'electron s-1'",
        )
    parsed_unit(unit)


def _validate_labels(cube: xr.Dataset) -> None:
    """Refuse a segmentation map inside the cube, `labels`, that is none."""
    if "labels" not in cube.variables:
        return
    labels = cube.variables["labels"]
    if set(labels.dims) != {"y", "x"} or labels.dtype.kind not in "iu":
        reason = f"labels is {labels.dtype} on {labels.dims}, not one integer for each pixel (y, x)"
        fix = "convert it, or leave it out[[|: cube.drop_vars('labels')]]"
        raise CubeError("HC-C02", reason, fix)


def require_dataset(cube: Any) -> None:
    """Raise CubeError unless this is a Dataset."""
    if isinstance(cube, xr.Dataset):
        return
    if isinstance(cube, xr.DataArray):
        given, fix = f"the DataArray {cube.name!r}", "give the whole cube, not one variable of it"
    else:
        given = shown(cube)
        fix = (
            "[[make one: hstcube run FOLDER|open one with hstcube.open_field or open_cube; "
            "arrays become one with hstcube.build]]"
        )
    raise CubeError("HC-C01", f"a cube is an xarray Dataset, this is {given}", fix)


def _validate_plane(cube: xr.Dataset, name: str) -> None:
    if name not in cube.data_vars:
        reason = f"there is no variable {name!r}, so this is not a cube"
        raise CubeError("HC-C01", reason, "[[make one: hstcube run FOLDER|see hstcube.build]]")
    plane = cube.variables[name]
    if plane.dims != DIMS:
        raise CubeError("HC-C02", f"{name} has dims {plane.dims}", _axes_back(cube[name], name))
    if plane.dtype != _DTYPES[name]:
        fix = f"convert it to {_DTYPES[name]}"
        if name in ("mask", REPLACED):  # to which NaN is True
            fix = f"set it to True and False[[|: cube.assign({name}=cube.{name} == 1)]]"
        raise CubeError("HC-C03", f"{name} is {plane.dtype}", fix)
    if not _is_plain(plane):
        reason = f"{name} holds {type(plane.data).__name__}, not an array of numpy or dask"
        fix = f"take the numbers[[|: np.asarray(cube.{name}.data)]]"
        raise CubeError("HC-C03", reason, fix)
    if not plane.size:
        lacking = next(dim for dim, size in plane.sizes.items() if not size)
        reason = f"the cube is empty: it has no {'band' if lacking == 'band' else 'pixel'}"
        raise CubeError("HC-C01", reason, f"select at least one along {lacking}")


def _is_plain(variable: xr.Variable) -> bool:
    """Say whether a variable holds an array of numpy or dask, not a Quantity or another kind."""
    if isinstance(variable.data, np.ndarray):
        return not hasattr(variable.data, "unit")
    return _is_chunked(variable)


def _axes_back(plane: xr.DataArray, name: str) -> str:
    """Return how lost axes are kept: a selection of one band or pixel drops its axis."""
    dims = plane.dims
    if "band" not in dims and {"y", "x"} <= {*dims}:
        there = "band" in plane.coords and plane.coords["band"].ndim == 0
        band = plane.coords["band"].item() if there else "f160w"
        return f"keep the axis of bands[[|: cube.sel(band=[{band!r}]), or cube.isel(band=[0])]]"
    if lost := [dim for dim in DIMS if dim not in dims]:
        return f"keep the axis {lost[0]}: select with a slice, not with one number"
    if {*dims} > {*DIMS}:
        extra = next(dim for dim in dims if dim not in DIMS)
        return f"a cube is one field on one grid: select one[[|, e.g. cube.isel({extra}=0)]]"
    return f"transpose {name} to ('band', 'y', 'x')"


def _validate_bands(cube: xr.Dataset) -> None:
    band = cube.variables["band"]
    if band.dims != ("band",):
        reason = f"the coordinate 'band' has dims {band.dims}"
        raise CubeError("HC-C02", reason, "keep the axis of bands[[|: cube.isel(band=[0])]]")
    for name in band.values.tolist():
        checked_name(name, what="a band's")
    require_distinct_bands(cube)


def _validate_place(cube: xr.Dataset) -> None:
    for dim in ("y", "x"):
        if dim not in cube.coords:
            reason = f"the coordinate {dim!r}, the labels of the pixels, is missing"
            raise CubeError("HC-C07", reason, "assign it again, e.g. from the parent cube")
        known_labels(cube.variables[dim], dim)
    known_cards(cube.variables["wcs"])


def require_distinct_bands(cube: xr.Dataset) -> None:
    """Raise BandError if a band is there twice."""
    names = cube.variables["band"].values.tolist()
    if len(set(names)) != len(names):
        raise BandError("HC-B02", f"a band is there twice: {names}", "keep one of the two")


def _validate_pixels(cube: xr.Dataset) -> None:
    sci, wht, mask = (cube[name].values for name in PLANES)
    has_data = wht > 0
    if not (np.isfinite(wht).all() and (wht >= 0).all()):
        raise CubeError(
            "HC-D10", "wht must be finite and not negative", "give inverse variances; 0 = no data"
        )
    if not np.array_equal(np.isfinite(sci), has_data):
        raise CubeError(
            "HC-C05",
            "sci must be finite where wht > 0 and NaN where wht = 0",
            "[[make the cube again: hstcube run FOLDER|use cube.sci.where(cube.wht > 0), "
            "or hstcube.build]]",
        )
    _validate_mask(mask, ~has_data, "without data")
    if REPLACED in cube.variables and not cube.variables[REPLACED].chunks:
        _validate_mask(mask, cube.variables[REPLACED].values, "of neighbours that were replaced")
    if COVERAGE in cube.variables and not cube.variables[COVERAGE].chunks:
        share = cube.variables[COVERAGE].values
        if not ((share >= 0) & (share <= 1)).all():
            reason = f"{COVERAGE} is the share of a kernel, but not from 0 to 1 everywhere"
            fix = "match the images again[[|, or leave it out: cube.drop_vars('coverage')]]"
            raise CubeError("HC-C09", reason, fix)


def _validate_mask(mask: Any, never: Any, what: str) -> None:
    """Refuse a mask that is True where it never may be."""
    if (mask & never).any():
        fix = "[[make the cube again: hstcube run FOLDER|use hstcube.mask(cube, keep)]]"
        raise CubeError("HC-C06", f"mask is True on pixels {what}", fix)


def usable(cube: xr.Dataset, wht: Any) -> Any:
    """Return where a mask may be True by new weights: on data, unless it was replaced."""
    there = wht > 0
    return there & ~cube.variables[REPLACED].data if REPLACED in cube.variables else there


def inverse_variance_unit(units: str) -> str:
    """Return the unit of the weights, e.g. 'electron-2 s2' for 'electron s-1'."""
    known = {"electron s-1": "electron-2 s2", "uJy": "uJy-2", "nJy": "nJy-2"}
    return known.get(units) or str((parsed_unit(units) ** -2).to_string())


def require_same_grid(cube: xr.Dataset | xr.DataArray, other: Any) -> None:
    """Raise GridError unless `other` lies on the pixels of the cube.

    A DataArray with the cube's labels is welcome, and so is a numpy array of the right shape.

    Examples
    --------
    >>> import hstcube
    >>> cube = hstcube.example()
    >>> hstcube.require_same_grid(cube, cube.labels)
    >>> hstcube.require_same_grid(cube, cube.labels[1:])  # raises
    Traceback (most recent call last):
    hstcube.errors.GridError: HC-D02 the labels of y differ from the cube's
      fix: select the same pixels of both, or use regrid_labels or regrid_mask
    """
    if not isinstance(cube, xr.DataArray):
        require_dataset(cube)
    if absent := [dim for dim in ("y", "x") if dim not in cube.coords or dim not in cube.dims]:
        reason = f"there are no labels along {absent[0]!r}, so this does not lie on a grid"
        raise GridError("HC-W01", reason, "give a cube, or a map made from one")
    if not isinstance(other, xr.DataArray | xr.Dataset):
        if other is None:
            reason = "None was given where an array on the cube's pixels is needed"
            raise GridError("HC-D01", reason, "give the array (y, x), or leave the step out")
        _require_shape_of_images(cube, _shape_of(other))
        return
    for dim in ("y", "x"):
        same_size = other.sizes.get(dim) == cube.sizes[dim] and dim in other.coords
        if not same_size or not np.array_equal(other[dim].values, cube[dim].values):
            raise GridError(
                "HC-D02",
                f"the labels of {dim} differ from the cube's",
                "select the same pixels of both[[|, or use regrid_labels or regrid_mask]]",
            )
    both_know = "wcs" in other.coords and "wcs" in cube.coords
    if not both_know:
        return
    known_cards(cube.coords.variables["wcs"])
    known_cards(other.coords.variables["wcs"])
    if int(other.coords["wcs"]) != int(cube.coords["wcs"]):
        Grid.of(cube).require(Grid.of(other), what="the cube and the other array")


def _require_shape_of_images(cube: xr.Dataset | xr.DataArray, shape: tuple[int, ...]) -> None:
    images = (cube.sizes["y"], cube.sizes["x"])
    if not shape:
        reason = f"there is a single value, where an array of the cube's pixels {images} is needed"
        raise GridError(
            "HC-D01", reason, "give an array (y, x); to leave a mask out, leave the step out"
        )
    if shape[-2:] != images:
        reason = f"the array has shape {shape}, the cube's images {images}"
        raise GridError("HC-D01", reason, "regrid it to the cube first")


def _shape_of(array: Any) -> tuple[int, ...]:
    try:
        return np.shape(array)
    except (TypeError, ValueError):  # Datasets, or rows of unequal lengths
        return ()
