"""Values of groups, put back on their pixels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from hstcube.core.rules import taken
from hstcube.errors import LabelError
from hstcube.inputs.arrays import shown
from hstcube.noise.groups import group_ids, group_map

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["paint"]

_EACH = "give one value for each group, in the order of their numbers"


def paint(cube: xr.Dataset, groups: Any, values: Any, *, first: int = 1) -> xr.DataArray:
    """Put one value for each group back on the pixels.

    Parameters
    ----------
    cube : Dataset
    groups : DataArray or array of int, (y, x)
    values : array, Quantity, table column or mapping
        One value for each group, in the order of their numbers (that of the rows of `photometry`);
        or a mapping from number to value.
    first : {1, 0}
        The least number that is a group; see `photometry`.

    Returns
    -------
    DataArray of float64, (y, x)
        NaN where there is no group; ``attrs["units"]`` are those of a Quantity.

    Raises
    ------
    LabelError
        If there is not one value for each group.

    Examples
    --------
    >>> import hstcube
    >>> cube = hstcube.example(matched=True)
    >>> bins = hstcube.bin_pixels(cube, snr=50, bands=["f160w"])
    >>> flux = hstcube.paint(cube, bins, hstcube.photometry(cube, bins)["flux_f160w"])
    >>> flux.attrs["units"], bool(flux.notnull().equals(bins > 0))
    ('uJy', True)
    """
    cube = taken(cube, pixels=False)
    labels = group_map(cube, groups, first=first)
    ids = group_ids(labels)
    named = ids + first - 1
    column = _named(named, values) if isinstance(values, Mapping) else _in_order(named, values)
    painted = np.full(labels.shape, np.nan)
    inside = labels > 0
    painted[inside] = column[np.searchsorted(ids, labels[inside])]
    attrs = {"units": str(values.unit)} if getattr(values, "unit", None) is not None else {}
    coords = {name: cube.coords[name] for name in ("y", "x", "wcs")}
    name = getattr(values, "name", None)
    return xr.DataArray(painted, coords, ("y", "x"), name=name, attrs=attrs)


def _named(ids: NDArray[np.int64], values: Mapping[Any, Any]) -> NDArray[np.float64]:
    """Return the values of the groups from a mapping."""
    found = [values[number] for number in ids.tolist() if number in values]
    if len(found) < ids.size:
        raise _wrong_number(ids, len(found))
    return _in_order(ids, found)


def _in_order(ids: NDArray[np.int64], values: Any) -> NDArray[np.float64]:
    """Return the values of the groups from an array, a Quantity or a column; NaN where masked."""
    try:
        plain: Any = np.ma.asarray(getattr(values, "value", values), dtype=float)
    except (TypeError, ValueError) as error:
        reason = f"values are {shown(values)}, not one number for each group"
        raise LabelError("HC-S23", reason, _EACH) from error
    column: NDArray[np.float64] = np.ma.filled(plain, np.nan)
    if column.shape != ids.shape:
        raise _wrong_number(ids, column.size)
    return column


def _wrong_number(ids: NDArray[np.int64], number: int) -> LabelError:
    return LabelError("HC-S23", f"there are {ids.size} groups, but {number} values", _EACH)
