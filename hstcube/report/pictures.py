"""The colour image of a page as PNG, and its thumbnail."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Image = NDArray[np.float64]
    Colours = NDArray[np.uint8]

__all__ = ["address", "colour_image", "png", "three_bands", "thumbnail"]

_FAINT, _TOP = 3.0, 99.7  # noises, and the percentile in the mask that is nearly white
_THUMB = 96  # pixels
_NO_DATA = 110  # grey level


def three_bands(pivot: Any) -> list[int]:
    """Return which bands are red, green and blue: the last, one in the middle, and the first."""
    order = np.argsort(pivot, kind="stable")
    lengths = np.log(np.asarray(pivot, float)[order])
    middle = int(np.argmin(np.abs(lengths - lengths[[0, -1]].mean())))
    return [int(i) for i in order[[-1, middle, 0]]]


def colour_image(flux: Any, error: Any, inside: Any, pivot: Any) -> Colours:
    """Return three bands as one image, (y, x, 3).

    Each is divided by its flux in the mask, so that the object as a whole is white; drawn as Lupton
    et al. (2004, PASP 116, 133) do, which keeps colours in bright parts.
    """
    planes = np.stack([_scaled(flux[i], error[i], inside) for i in three_bands(pivot)])
    light = planes.mean(axis=0)
    noise = max(1.4826 * float(np.nanmedian(np.abs(light - np.nanmedian(light)))), 1e-9)
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
    noise = float(np.nanmedian(error)) if np.isfinite(error).any() else 1.0
    return np.asarray(flux / max(mean, noise, 1e-30), np.float64)


def thumbnail(image: Colours) -> Colours:
    """Return an image of at most 96 pixels a side: means of its pixels."""
    step = -(-max(image.shape[:2]) // _THUMB)
    ny, nx = (side // step * step for side in image.shape[:2])
    parts = image[:ny, :nx].reshape(ny // step, step, nx // step, step, 3)
    return parts.mean(axis=(1, 3)).astype(np.uint8)


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
