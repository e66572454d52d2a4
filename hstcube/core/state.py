"""What a cube remembers, and how a step notes what it did.

State is data: what a step must know (survey, Poisson term, what was matched) is an attribute or a
coordinate of its own. `history` and `warnings` are for people, and no step reads them.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from hstcube import __version__
from hstcube.errors import BandError, HstCubeWarning

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["attribute", "in_band_order", "record", "updated", "warn"]


def attribute(cube: xr.Dataset | xr.DataArray, name: str) -> str:
    """Return an attribute as text, empty where the cube has lost it: xarray drops them easily."""
    return str(cube.attrs.get(name, ""))


def record(cube: xr.Dataset, step: str) -> xr.Dataset:
    """Return the cube with one more line in its history: a step, its arguments, the version."""
    line = f"{step} (hstcube {__version__})"
    return cube.assign_attrs(history=_line(attribute(cube, "history"), line))


def warn(cube: xr.Dataset, code: str, text: str) -> xr.Dataset:
    """Return the cube with one more line in its warnings, and issue it as `HstCubeWarning`."""
    line, told = f"{code} {text}", attribute(cube, "warnings")
    if line in told.splitlines():
        return cube
    warnings.warn(HstCubeWarning(code, text, attribute(cube, "field")), stacklevel=3)
    return cube.assign_attrs(warnings=_line(told, line))


def _line(text: str, line: str) -> str:
    return f"{text}\n{line}" if text else line


def updated(cube: xr.Dataset, step: str, **data: Any) -> xr.Dataset:
    """Return a cube with new arrays in some of its variables, and `step` in its history.

    The arrays have the dims and keep the attributes of those they replace. (`Dataset.assign` aligns
    and merges every coordinate again: 2 ms a step, where the arithmetic takes less.)
    """
    new = cube.copy()  # shallow: its own variables, the same arrays
    for name, array in data.items():
        new.variables[name].data = array
    return record(new, step)


def in_band_order(cube: xr.Dataset, array: xr.DataArray) -> xr.Variable:
    """Return the variable of an array with a `band` axis, its bands those of the cube in order.

    Raises
    ------
    BandError
        Naming the band that `array` lacks.
    """
    wanted = cube.band.values.tolist()
    there = np.atleast_1d(array.coords["band"].values).tolist()
    if missing := [name for name in wanted if name not in there]:
        raise BandError(
            "HC-B01",
            f"the {array.name or 'array'} has no such band, only {', '.join(map(str, there))}",
            "give one value for each band",
            band=missing[0],
        )
    variable = array.variable if "band" in array.dims else array.expand_dims("band").variable
    if wanted == there:
        return variable
    return variable.isel(band=[there.index(name) for name in wanted])
