"""The pixels of a cube for a page: which part of it is shown, and its numbers as short text."""

from __future__ import annotations

import base64
import math
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

__all__ = ["Packed", "pack_cube", "pack_whole", "shown_part"]

MOST = 9 * 400 * 400  # values of an array: more make a page of more than 8 MB
EXACT = 200_000  # values of an array that are kept bit for bit: 9 bands of 148 x 148 pixels
_STEP = 1 / 2000  # of asinh(flux / noise), and of log(error): 0.05 % of bright pixels
_LARGEST = 32767  # of a 16-bit number; one below its negative says NaN


class Packed(NamedTuple):
    """Arrays as the page's script reads them; ``loss`` is the largest change, in errors."""

    arrays: dict[str, dict[str, Any]]
    loss: float


def shown_part(cube: xr.Dataset) -> xr.Dataset:
    """Return what a page can hold of a cube: all of it, or a square around its mask."""
    side = math.isqrt(MOST // cube.sizes["band"])
    inside = cube.mask.any("band").values
    where = np.argwhere(inside if inside.any() else np.ones_like(inside))
    middle = (where.min(axis=0) + where.max(axis=0)) // 2
    cuts = {}
    for dim, centre in zip(("y", "x"), middle.tolist(), strict=True):
        start = min(max(centre - side // 2, 0), max(cube.sizes[dim] - side, 0))
        cuts[dim] = slice(start, start + side)
    return cube.isel(cuts).compute()


def pack_cube(flux: Array, error: Array, before: Array | None) -> Packed:
    """Pack fluxes and errors (band, y, x): bit for bit where they are few, else in steps."""
    if flux.size <= EXACT:
        arrays = {"flux": _exact(flux), "error": _exact(error)}
        return Packed(arrays | ({} if before is None else {"before": _exact(before)}), 0.0)
    noise = np.nanmedian(error, axis=(1, 2))
    noise = np.where(np.isfinite(noise) & (noise > 0), noise, 1.0)
    arrays = {"flux": _stepped(np.arcsinh(flux / noise[:, None, None]), "asinh", noise)}
    arrays["error"] = _stepped(np.log(error / noise[:, None, None]), "log", noise)
    kept = noise[:, None, None] * np.sinh(_rounded(np.arcsinh(flux / noise[:, None, None])) * _STEP)
    loss = float(np.nanmax(np.abs(kept - flux) / error, initial=0.0))
    if before is not None:
        arrays["before"] = _stepped(np.arcsinh(before / noise[:, None, None]), "asinh", noise)
    return Packed(arrays, loss)


def pack_whole(numbers: NDArray[Any]) -> dict[str, Any]:
    """Pack whole numbers from zero on, such as a map of bins or a mask."""
    return {"kind": "whole", "data": _planes(numbers.astype("<u4"))}


def _exact(values: Array) -> dict[str, Any]:
    return {"kind": "float", "data": _planes(values.astype("<f4"))}


def _stepped(values: NDArray[Any], kind: str, noise: NDArray[Any]) -> dict[str, Any]:
    steps = _rounded(values)
    whole = np.where(np.isfinite(steps), steps, -_LARGEST - 1).astype("<i2")
    return {"kind": kind, "step": _STEP, "noise": noise.tolist(), "data": _planes(whole)}


def _rounded(values: NDArray[Any]) -> NDArray[Any]:
    return np.clip(np.round(values.astype(np.float64) / _STEP), -_LARGEST, _LARGEST)


def _planes(values: NDArray[Any]) -> str:
    """Return the first bytes of all numbers, then their second bytes, and so on, compressed."""
    octets = np.ascontiguousarray(values).reshape(-1, 1).view(np.uint8)
    return base64.b64encode(zlib.compress(octets.T.tobytes(), 6)).decode("ascii")
