"""Arrays as they come in: of numpy, with a numpy mask, of xarray, astropy, dask, or no arrays."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np

from hstcube.errors import CubeError, GridError, LabelError, RecipeError
from hstcube.lazy.arrays import SIDE

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "chunk_sizes",
    "filled",
    "in_unit",
    "inverse_variance_of",
    "keep_of",
    "require_image",
    "several",
    "shown",
]

_LINE = 60  # characters


def shown(value: Any) -> str:
    """Return what a value is, short enough for a message: arrays are never printed whole.

    Examples
    --------
    >>> shown(np.zeros((3, 4)))
    'an array of float64 of shape (3, 4)'
    >>> shown("f160w")
    "'f160w'"
    """
    if hasattr(value, "data_vars"):
        return f"a Dataset of {', '.join(map(str, value.data_vars)) or 'no variables'}"[:_LINE]
    if hasattr(value, "shape") and hasattr(value, "dtype") and np.ndim(value):
        kind = type(value).__name__
        what = "an array" if kind == "ndarray" else f"a {kind}"
        return f"{what} of {value.dtype} of shape {tuple(value.shape)}"
    text = " ".join(repr(value).split())
    return text if len(text) <= _LINE else f"{text[: _LINE - 3]}..."


def filled(array: Any, empty: Any = np.nan) -> Any:
    """Return an array in which what was masked is empty: NaN, False or 0.

    Masked by numpy (`numpy.ma`) or astropy (``NDData``, ``CCDData``, ``Masked``), or a list of
    these; of anything else the thing itself.
    """
    if isinstance(array, list | tuple) and any(map(_is_masked, array)):
        return np.stack([np.asarray(filled(one, empty)) for one in array])
    if not _is_masked(array):
        return array
    bare = np.ma.getdata(array) if isinstance(array, np.ma.MaskedArray) else _bare(array)
    return np.where(np.asarray(array.mask, dtype=bool), empty, bare)


def _is_masked(array: Any) -> bool:
    """Say whether an array brings a mask of its own, as those of numpy and astropy do."""
    if isinstance(array, np.ma.MaskedArray):
        return True
    own = hasattr(array, "uncertainty") or hasattr(array, "unmasked")
    return own and getattr(array, "mask", None) is not None


def _bare(array: Any) -> NDArray[Any]:
    return np.asarray(getattr(array, "unmasked", array.data))


def in_unit(what: str, array: Any, unit: str) -> Any:
    """Return an array without its unit, converted to one; what brings no unit is in it already.

    A ``Quantity``, ``NDData`` or ``CCDData``, or a list of these.

    Raises
    ------
    CubeError
        If its unit cannot be converted.
    """
    if isinstance(array, list | tuple) and any(_unit_of(one) is not None for one in array):
        return np.stack([np.asarray(filled(in_unit(what, one, unit))) for one in array])
    given = _unit_of(array)
    if given is None:
        return array
    from astropy.units import Unit, UnitConversionError

    try:
        factor = given.to(Unit(unit))
    except UnitConversionError as error:
        raise CubeError(
            "HC-C04",
            f"{what} is in {given}, which is no {unit}",
            f"convert it first[[|, or say units={str(given)!r}]]",
        ) from error
    plain = filled(array)
    plain = np.asarray(getattr(plain, "data" if hasattr(plain, "uncertainty") else "value", plain))
    return plain if factor == 1 else plain * factor


def _unit_of(array: Any) -> Any:
    """Return the unit that an array of astropy brings, None where there is none."""
    unit = getattr(array, "unit", None)
    return unit if hasattr(unit, "to") else None


def inverse_variance_of(weights: Any) -> Any:
    """Return an uncertainty of astropy, as ``NDData`` keep it, as inverse variances.

    Anything else is returned as it is.
    """
    if not hasattr(weights, "uncertainty_type"):
        return weights
    from astropy.nddata import InverseVariance

    try:
        same = weights.uncertainty_type == "ivar"  # else 1/(1/w), which rounds, and warns of 0
        converted = weights if same else weights.represent_as(InverseVariance)
    except (TypeError, AttributeError) as error:
        raise CubeError(
            "HC-D16",
            f"wht is an uncertainty of the kind {weights.uncertainty_type!r}, not a deviation",
            "give a StdDevUncertainty, VarianceUncertainty or InverseVariance",
        ) from error
    unit = getattr(converted, "unit", None)
    return converted.array if unit is None else converted.array * unit


def require_image(what: str, array: Any) -> None:
    """Raise GridError unless an array is a DataArray (y, x), which knows where its pixels lie."""
    dims = None if hasattr(array, "data_vars") else getattr(array, "dims", None)
    if dims is not None and {*dims} == {"y", "x"}:
        return
    if hasattr(array, "data_vars"):
        first = next(iter(array.data_vars), "labels")
        fix = f"give one of its variables[[|: {what}=dataset.{first}]]"
    elif dims is not None:
        fix = "give one image on the axes y and x"
    else:
        fix = (
            f"say where it lies[[|: {what}=xarray.DataArray({what}, "
            "hstcube.Grid.of(cube).coords(), ('y', 'x'))]]"
        )
    raise GridError("HC-D01", f"{what} is {shown(array)}, not a DataArray (y, x)", fix)


def several(given: Any) -> list[Any]:
    """Return what an argument holds that takes one thing or several; a cube is one thing.

    Examples
    --------
    >>> several(101), several(np.array([101, 102])), several("f160w"), several({101})
    ([101], [101, 102], ['f160w'], [101])
    """
    if given is None or hasattr(given, "data_vars"):
        return [given]
    if isinstance(given, set | frozenset):
        return [*given]
    return np.ravel(np.asarray(given, dtype=object)).tolist()


def keep_of(what: str, array: Any) -> tuple[Any, int]:
    """Return a map of True and False, and how many of its pixels were neither: NaN is False.

    Parameters
    ----------
    what : str
        The argument, as its caller knows it.
    array : DataArray or array of bool, or of the numbers 0 and 1
        Masked pixels are False. dask's stay with dask, and are not counted.

    Raises
    ------
    LabelError
        If it holds no such values.
    """
    plain = filled(array, 0)
    data = plain.data if _is_labelled(plain) else plain
    data = data if hasattr(data, "dask") else _as_array(data)
    if data.dtype.kind == "O" and data.ndim:
        data = _floats(data)
    if data.dtype.kind not in "biuf" or not data.ndim or _is_no_choice(data):
        raise LabelError(
            "HC-S30",
            f"{what} is {shown(array)}, not a map of True and False",
            f"give {what} as an array of bool on the cube's pixels[[|; of a segmentation map e.g. "
            f"{what}=labels == 0]]",
        )
    unknown = 0
    if data.dtype.kind == "f":
        unknown = 0 if hasattr(data, "dask") else int(np.count_nonzero(np.isnan(data)))
        data = data > 0  # NaN is not
    data = data.astype(bool)
    return (plain.copy(data=data) if _is_labelled(plain) else data), unknown


def _is_labelled(array: Any) -> bool:
    """Say whether an array is one of xarray, not a Dataset, which is many."""
    return hasattr(array, "dims") and not hasattr(array, "data_vars")


def _as_array(data: Any) -> NDArray[Any]:
    """Return an array of numpy; a Dataset, which is none, as a single object."""
    return np.array(None) if hasattr(data, "data_vars") else np.asarray(data)


def _is_no_choice(data: Any) -> bool:
    """Say whether numbers are there besides 0, 1 and NaN: those of objects, for example."""
    if data.dtype.kind == "b" or hasattr(data, "dask"):
        return False
    return not bool(((data == 0) | (data == 1) | np.isnan(data)).all())


def _floats(data: Any) -> Any:
    """Return Python objects as numbers where they are: xarray's where makes objects of bools."""
    try:
        return data.astype(np.float64)
    except (TypeError, ValueError):
        return data


def chunk_sizes(chunks: Any) -> dict[str, int] | None:
    """Return how many pixels a block has along each axis, of what xarray takes for chunks.

    Raises
    ------
    RecipeError
        If it is no number of pixels, no mapping of axes to such, nor "auto".

    Examples
    --------
    >>> chunk_sizes(512), chunk_sizes("auto")
    ({'y': 512, 'x': 512}, {'y': 1024, 'x': 1024})
    """
    if chunks is None:
        return None
    if isinstance(chunks, str) and chunks == "auto":
        chunks = SIDE
    given = chunks if isinstance(chunks, Mapping) else {"y": chunks, "x": chunks}
    whole = all(type(size) is not bool and isinstance(size, Integral) for size in given.values())
    if not whole or not all(size == -1 or size > 0 for size in given.values()):
        fix = "give numbers of pixels[[|: chunks={'y': 1024, 'x': 1024}]]"
        raise RecipeError("HC-B30", f"chunks is {shown(chunks)}, not understood", fix)
    if unknown := given.keys() - {"band", "y", "x"}:
        fix = "choose from band, y and x"
        raise RecipeError("HC-B30", f"chunks are along {min(map(str, unknown))}", fix)
    return {name: int(size) for name, size in given.items()}
