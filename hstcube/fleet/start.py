"""What a process of ours leaves out at its start."""

from __future__ import annotations

import os
import sys
from typing import Any

__all__ = ["dask_when_needed", "one_thread"]

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class _Dask:
    """dask as xarray knows it: the type of its arrays, none of which is there before dask.array."""

    available = True

    @property
    def module(self) -> Any:
        import dask

        return dask

    @property
    def version(self) -> Any:
        from packaging.version import Version

        return Version(self.module.__version__)

    @property
    def type(self) -> tuple[Any, ...]:
        kind = getattr(sys.modules.get("dask.array"), "Array", None)
        return () if kind is None else (kind,)


def dask_when_needed() -> None:
    """Let xarray load dask.array when it meets an array of it, not with its first variable.

    That takes a fifth of the start, and most fields need none. For processes that are ours alone;
    of an xarray that keeps its list of such modules elsewhere nothing is changed.
    """
    from xarray.namedarray import pycompat

    known = getattr(pycompat, "_cached_duck_array_modules", None)
    if isinstance(known, dict):
        known.setdefault("dask", _Dask())


def one_thread() -> tuple[str, ...]:
    """Let the BLAS of what is started or loaded now use one thread; return the variables it set.

    Our matrices are small: threads that wait for the next one took a quarter of the CPU of a field.
    What the environment says stays.
    """
    ours = tuple(name for name in _THREADS if name not in os.environ)
    os.environ.update(dict.fromkeys(ours, "1"))
    return ours
