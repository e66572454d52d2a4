"""Results that are kept, for functions of arrays: one set of PSFs serves thousands of targets."""

from __future__ import annotations

from functools import lru_cache, wraps
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["remembered"]

P = ParamSpec("P")
R = TypeVar("R")


def remembered(maxsize: int) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Keep the last results of a pure function whose arguments are arrays and hashable values.

    Arrays are told apart by their bytes, and reach the function read-only. Arrays that it returns
    (alone, or in tuples) are shared by all who ask, so they are read-only too. They lie in bytes
    objects, which remember their hash: a result that is asked with again costs next to nothing.

    Parameters
    ----------
    maxsize : int
        How many results are kept.
    """

    def decorated(function: Callable[P, R]) -> Callable[P, R]:
        @lru_cache(maxsize=maxsize)
        def kept(*arguments: Any, **named: Any) -> R:
            values = {name: _thawed(value) for name, value in named.items()}
            shared: R = _shared(function(*map(_thawed, arguments), **values))
            return shared

        @wraps(function)
        def asked(*arguments: P.args, **named: P.kwargs) -> R:
            keys = {name: _frozen(value) for name, value in named.items()}
            return kept(*map(_frozen, arguments), **keys)

        return asked

    return decorated


class _Frozen(NamedTuple):
    """An array that can be a key."""

    data: bytes
    shape: tuple[int, ...]
    dtype: str


def _frozen(value: Any) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    data: Any = value.base
    whole = isinstance(data, bytes) and len(data) == value.nbytes and value.flags.c_contiguous
    return _Frozen(data if whole else value.tobytes(), value.shape, value.dtype.str)


def _thawed(value: Any) -> Any:
    if isinstance(value, _Frozen):
        return np.ndarray(value.shape, value.dtype, value.data)
    return value


def _shared(result: Any) -> Any:
    if isinstance(result, tuple):
        parts = [_shared(part) for part in result]
        return type(result)(*parts) if hasattr(result, "_fields") else tuple(parts)
    if isinstance(result, np.ndarray) and result.dtype.hasobject:
        result.flags.writeable = False
        return result
    return _thawed(_frozen(result))
