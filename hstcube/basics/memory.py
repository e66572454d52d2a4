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
    (alone, or in a tuple) are shared by all who ask, so they are read-only too.

    Parameters
    ----------
    maxsize : int
        How many results are kept.
    """

    def decorated(function: Callable[P, R]) -> Callable[P, R]:
        @lru_cache(maxsize=maxsize)
        def kept(*arguments: Any, **named: Any) -> R:
            values = {name: _thawed(value) for name, value in named.items()}
            return _shared(function(*map(_thawed, arguments), **values))

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
    if isinstance(value, np.ndarray):
        return _Frozen(value.tobytes(), value.shape, value.dtype.str)
    return value


def _thawed(value: Any) -> Any:
    if isinstance(value, _Frozen):
        return np.frombuffer(value.data, value.dtype).reshape(value.shape)
    return value


def _shared(result: R) -> R:
    for part in result if isinstance(result, tuple) else (result,):
        if isinstance(part, np.ndarray):
            part.flags.writeable = False
    return result
