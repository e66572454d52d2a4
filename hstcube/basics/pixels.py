"""Which pixels have data: one rule for images in memory, and for those that dask holds in blocks.

A weight is a finite number and not negative. A pixel has data where its weight is positive and its
value finite; without data its weight is 0, its value NaN, and no mask keeps it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hstcube.errors import CubeError, HstCubeWarning, warn_caller
from hstcube.lazy.arrays import as_read, pointwise

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]

__all__ = ["Planes", "is_lazy", "keep_the_rule", "mended", "require_held"]

_LOOKED_AT = re.compile(r"hstcube-(?:sci|wht|mask)-(.+)")


class Planes(NamedTuple):
    """Images, weights and mask, (band, y, x), of numpy or dask."""

    sci: Any
    wht: Any
    mask: Any


def is_lazy(planes: Planes) -> bool:
    """Say whether dask holds some of them."""
    return any(not isinstance(plane, np.ndarray) for plane in planes)


def keep_the_rule(planes: Planes) -> bool:
    """Say whether images in memory keep the rule on all of their pixels."""
    has_data = planes.wht > 0
    return (
        np.array_equal(np.isfinite(planes.sci), has_data)
        and 0 <= planes.wht.min() <= planes.wht.max() < np.inf
        and not (planes.mask > has_data).any()
    )


def mended(planes: Planes, names: Sequence[str]) -> tuple[Planes, dict[str, int]]:
    """Return images that keep the rule, and how many pixels of each band lost a weight by it.

    Parameters
    ----------
    planes : Planes
        Those of dask are looked at when they are computed: what is wrong is said then.
    names : sequence of str
        Of the bands, for messages.

    Raises
    ------
    CubeError
        If a weight that counts is negative, NaN or infinite.
    """
    if is_lazy(planes):
        return (planes, {}) if _were_looked_at(planes) else (_in_blocks(planes, _usable), {})
    lost = {}
    for name, sci, wht in zip(names, planes.sci, planes.wht, strict=True):
        require_weights(sci, wht, name)
        if number := _number_lost(sci, wht):
            lost[name] = number
    return _given(planes, (planes.wht > 0) & np.isfinite(planes.sci), np), lost


def require_weights(sci: Any, wht: Any, band: str = "") -> None:
    """Raise CubeError if weights are impossible where sci has a value."""
    possible = (wht >= 0) & (wht < np.inf)
    if bad := int(np.count_nonzero(~possible & np.isfinite(sci))):
        raise CubeError(
            "HC-D10",
            f"{bad} of {wht.size} weights are negative, NaN or infinite",
            "give inverse variances; 0 = no data[[|, e.g. wht.where(wht > 0, 0)]]",
            band=band,
        )


def _number_lost(sci: Any, wht: Any) -> int:
    return int(np.count_nonzero((wht > 0) & (wht < np.inf) & ~np.isfinite(sci)))


def _given(planes: Planes, usable: Any, library: Any) -> Planes:
    return Planes(
        library.where(usable, planes.sci, np.float32(np.nan)),
        library.where(usable, planes.wht, np.float32(0)),
        planes.mask & usable,
    )


@pointwise
def _usable(sci: Any, wht: Any) -> Mask:
    """Return the pixels of a block that have data, and say what is wrong with others."""
    require_weights(sci, wht)
    if number := _number_lost(sci, wht):
        text = f"{number} pixels of a block are NaN or infinite; they have no data"
        warn_caller(HstCubeWarning("HC-D07", text))
    return np.asarray((wht > 0) & np.isfinite(sci))


def require_held(planes: Planes, names: Sequence[str]) -> Planes:
    """Return what a step made, if it keeps the rule: not beyond what float32 holds.

    Raises
    ------
    CubeError
        If it does not; of dask's images when they are computed.
    """
    if is_lazy(planes):
        return _in_blocks(planes, _held)
    for name, sci, wht in zip(names, planes.sci, planes.wht, strict=True):
        _held(sci, wht, name)
    return planes


@pointwise
def _held(sci: Any, wht: Any, band: str = "") -> Mask:
    has_data = wht > 0
    bad = int(np.count_nonzero(np.isfinite(sci) != has_data))
    if bad or not np.max(wht, initial=0) < np.inf:
        raise CubeError(
            "HC-D40",
            f"values or weights of {max(bad, 1)} pixels are beyond what 32-bit numbers hold",
            "bring sci nearer to 1 first, and its weights with it: another unit, e.g. 'nJy'",
            band=band,
        )
    return np.asarray(has_data)


def _were_looked_at(planes: Planes) -> bool:
    """Say whether dask's images are as this module left them, so that one look is enough."""
    marks = {_LOOKED_AT.fullmatch(str(getattr(plane, "name", ""))) for plane in planes}
    return None not in marks and len({mark[1] for mark in marks if mark}) == 1


def _in_blocks(planes: Planes, look: Callable[[Any, Any], Mask]) -> Planes:
    """Return images that are looked at in their blocks; nothing is computed here."""
    import dask.array as da

    chunks = next(plane.chunks for plane in planes if not isinstance(plane, np.ndarray))
    sci, wht, mask = (da.asarray(plane).rechunk(chunks) for plane in planes)
    nothing = np.zeros((0, 0, 0), np.bool_)
    usable = da.map_blocks(look, sci, wht, dtype=np.bool_, meta=nothing)
    made = _given(Planes(sci, wht, mask), usable, da)
    return Planes(
        *(
            as_read(
                plane.map_blocks(
                    _same, name=f"hstcube-{name}-{usable.name}-{mask.name}", meta=plane
                )
            )
            for name, plane in zip(Planes._fields, made, strict=True)
        )
    )


@pointwise
def _same(block: Any) -> Any:
    return block
