"""The pixels of a cube for a page: which part is shown, as numbers in short text, as a picture."""

from __future__ import annotations

import base64
import math
import struct
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

    Array = NDArray[np.float32]
    Image = NDArray[np.float64]
    Colours = NDArray[np.uint8]

__all__ = [
    "Packed",
    "address",
    "colour_image",
    "middle",
    "pack_cube",
    "pack_numbers",
    "pack_whole",
    "png",
    "shown_part",
    "three_bands",
    "thumbnail",
]

MOST = 9 * 400 * 400  # values of an array: more make a page of more than 8 MB
EXACT = 200_000  # values of an array that are kept bit for bit: 9 bands of 148 x 148 pixels
_STEP = 1 / 2000  # of asinh(flux / noise), and of log(error): 0.05 % of bright pixels
_COARSE = 1 / 200  # of images that are for looking
_LARGEST = 32767  # of a 16-bit number; one below its negative says NaN

_FAINT, _TOP = 3.0, 99.7  # noises, and the percentile in the mask that is nearly white
_THUMB = 96  # pixels
_NO_DATA = 110  # grey level


class Packed(NamedTuple):
    """Arrays as the page's script reads them; ``loss`` is the largest change, in errors."""

    arrays: dict[str, dict[str, Any]]
    loss: float


def shown_part(cube: xr.Dataset) -> dict[str, slice]:
    """Return which rows and columns a page can hold: all, or those of a square around the mask."""
    side = math.isqrt(MOST // cube.sizes["band"])
    inside = cube.mask.any("band").values
    where = np.argwhere(inside if inside.any() else np.ones_like(inside))
    middle = (where.min(axis=0) + where.max(axis=0)) // 2
    cuts = {}
    for dim, centre in zip(("y", "x"), middle.tolist(), strict=True):
        start = min(max(centre - side // 2, 0), max(cube.sizes[dim] - side, 0))
        cuts[dim] = slice(start, start + side)
    return cuts


def pack_cube(flux: Array, error: Array, before: Array | None) -> Packed:
    """Pack fluxes and errors (band, y, x): bit for bit where they are few, else in steps."""
    if flux.size <= EXACT:
        arrays = {"flux": pack_numbers(flux), "error": pack_numbers(error)}
        return Packed(arrays | ({} if before is None else {"before": pack_numbers(before)}), 0.0)
    noise = np.array([middle(one) or 1.0 for one in error])[:, None, None]
    arrays = {"flux": _stepped(np.arcsinh(flux / noise), "asinh", noise)}
    arrays["error"] = _stepped(np.log(error / noise), "log", noise)
    if before is not None:
        arrays["before"] = _stepped(np.arcsinh(before / noise), "asinh", noise, _COARSE)
    step = arrays["flux"]["step"]
    kept = noise * np.sinh(np.round(np.arcsinh(flux / noise).astype(np.float64) / step) * step)
    return Packed(arrays, float(np.nanmax(np.abs(kept - flux) / error, initial=0.0)))


def pack_numbers(values: NDArray[Any]) -> dict[str, Any]:
    """Pack numbers as they are, in single precision."""
    return {"kind": "float", "data": _planes(values.astype("<f4"))}


def middle(values: Any) -> float:
    """Return the median of the numbers among values, 0 where there is none."""
    known = np.asarray(values)[np.isfinite(values)]
    return float(np.median(known)) if known.size else 0.0


def pack_whole(numbers: NDArray[Any]) -> dict[str, Any]:
    """Pack whole numbers from zero on, such as a map of bins or a mask."""
    return {"kind": "whole", "data": _planes(numbers.astype("<u4"))}


def _stepped(
    values: NDArray[Any], kind: str, noise: NDArray[Any], least: float = _STEP
) -> dict[str, Any]:
    """Return numbers in equal steps, as 16 bits each."""
    known = np.isfinite(values)
    step = max(least, float(np.abs(values[known]).max(initial=0.0)) / _LARGEST)
    steps = np.round(np.where(known, values, 0).astype(np.float64) / step)
    whole = np.where(known, steps, -_LARGEST - 1).astype("<i2")
    return {"kind": kind, "step": step, "noise": noise.ravel().tolist(), "data": _planes(whole)}


def _planes(values: NDArray[Any]) -> str:
    """Return the first bytes of all numbers, then their second bytes, and so on, compressed."""
    octets = np.ascontiguousarray(values).reshape(-1, 1).view(np.uint8)
    return base64.b64encode(zlib.compress(octets.T.tobytes(), 6)).decode("ascii")


def three_bands(pivot: Any) -> list[int]:
    """Return which bands are red, green and blue: the last, one in the middle, and the first."""
    order = np.argsort(pivot, kind="stable")
    lengths = np.log(np.asarray(pivot, float)[order])
    middle = int(np.argmin(np.abs(lengths - lengths[[0, -1]].mean())))
    return [int(i) for i in order[[-1, middle, 0]]]


def colour_image(flux: Any, error: Any, inside: Any, pivot: Any) -> Colours:
    """Return three bands as one image, (y, x, 3).

    Each is divided by its flux in the mask, so that the object as a whole is white; drawn as Lupton
    et al. (2004, PASP 116, 133) do, which keeps colours in bright parts. Of two bands the mean is
    green.
    """
    planes = np.stack([_scaled(flux[i], error[i], inside) for i in three_bands(pivot)])
    if len(pivot) == 2:  # noqa: PLR2004
        planes[1] = (planes[0] + planes[2]) / 2
    light = planes.mean(axis=0)
    noise = max(1.4826 * middle(np.abs(light - middle(light))), 1e-9)
    chosen = light[inside & np.isfinite(light)]
    top = max(float(np.percentile(chosen, _TOP)) if chosen.size else 0.0, 10 * noise)
    above = np.maximum(light + noise, 1e-9)
    brightness = np.arcsinh(above / (_FAINT * noise)) / np.arcsinh(top / (_FAINT * noise))
    shown = np.clip((planes + noise) * brightness / above, 0, None)
    shown = shown / np.maximum(shown.max(axis=0), 1)  # keep the colour where a channel is full
    grey = np.where(np.isfinite(shown), shown * 255, _NO_DATA)
    return np.moveaxis(grey, 0, -1).astype(np.uint8)


def _scaled(flux: Image, error: Image, inside: Any) -> Image:
    """Return a band over its mean flux in the mask; over its noise where that is larger."""
    used = inside & np.isfinite(flux)
    mean = float(flux[used].mean()) if used.any() else 0.0
    if not np.isfinite(flux).any():
        return np.zeros(flux.shape)
    return np.asarray(flux / max(mean, middle(error), 1e-30), np.float64)


def thumbnail(image: Colours) -> Colours:
    """Return an image of at most 96 pixels a side: means of its pixels."""
    step = -(-max(image.shape[:2]) // _THUMB)
    ny, nx = (side // step * step for side in image.shape[:2])
    parts = image[:ny, :nx].reshape(ny // step, step, nx // step, step, 3)
    small: Colours = parts.mean(axis=(1, 3)).astype(np.uint8)
    return small


def png(image: Colours) -> bytes:
    """Return a PNG of an image whose first row is the lowest."""
    ny, nx = image.shape[:2]
    rows = np.zeros((ny, 1 + 3 * nx), np.uint8)
    upright = image[::-1].reshape(ny, nx * 3)
    rows[:, 0] = 1  # each pixel as the difference from its left neighbour
    rows[:, 1:4] = upright[:, :3]
    rows[:, 4:] = upright[:, 3:] - upright[:, :-3]
    head = struct.pack(">IIBBBBB", nx, ny, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows.tobytes(), 6)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(map(_chunk, chunks))


def _chunk(chunk: tuple[bytes, bytes]) -> bytes:
    kind, data = chunk
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def address(picture: bytes) -> str:
    """Return a PNG as an address that holds it."""
    return f"data:image/png;base64,{base64.b64encode(picture).decode('ascii')}"
