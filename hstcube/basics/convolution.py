"""Linear convolution of an image with a small kernel: float64, same size, zeros beyond the frame.

Overlap-save tiles (Oppenheim & Schafer, Discrete-Time Signal Processing, 8.7.3): work and memory
grow with the image, not with the next fast size of the whole frame, and the kernel is transformed
once for all tiles.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hstcube.basics.memory import remembered
from hstcube.errors import PSFError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Image = NDArray[np.floating]
    Image64 = NDArray[np.float64]

__all__ = ["convolver", "coverage_of_full_frame"]

TILE = 512  # pixels along one side of a tile's transform; 256 to 1024 are equally fast to 10 %


def convolver(kernel: Image64, shape: tuple[int, int]) -> Callable[[Image], Image64]:
    """Return the function that convolves images of one shape with `kernel`.

    Parameters
    ----------
    kernel : array, (ky, kx)
        Odd sizes, centred on the middle pixel.
    shape : (ny, nx)
        Shape of the images.

    Raises
    ------
    PSFError
        If a size of the kernel is even.
    """
    if kernel.ndim != 2 or kernel.shape[0] % 2 == 0 or kernel.shape[1] % 2 == 0:  # noqa: PLR2004
        raise PSFError(
            "HC-P04",
            f"the kernel has shape {kernel.shape}; its centre is not a pixel",
            "give kernels of odd sizes, centred on the middle pixel",
        )
    radius = (kernel.shape[0] // 2, kernel.shape[1] // 2)
    size = [_transform_size(n, r) for n, r in zip(shape, radius, strict=True)]
    kernel = np.ascontiguousarray(kernel, dtype=np.float64)
    small = size[0] * size[1] <= TILE**2  # larger transforms are used once
    transfer = (_kept_transfer if small else _transfer)(kernel, (size[0], size[1]))

    def convolve(image: Image) -> Image64:
        out = np.empty(shape)
        # every tile is written over the last one: fresh pages of memory cost more than the
        # transforms
        padded, spectrum = np.zeros(size), np.empty_like(transfer)
        for (y0, y1), (x0, x1) in _tiles(shape, size, radius):
            top, left = max(y0 - radius[0], 0), max(x0 - radius[1], 0)
            part = image[top : y1 + radius[0], left : x1 + radius[1]]
            rows, columns = part.shape
            padded[:rows, :columns] = part
            padded[:rows, columns:] = 0
            np.fft.rfft(padded[:rows], axis=1, out=spectrum[:rows])
            spectrum[rows:] = 0
            np.fft.fft(spectrum, axis=0, out=spectrum)
            np.multiply(spectrum, transfer, out=spectrum)
            np.fft.ifft(spectrum, axis=0, out=spectrum)
            inside = slice(y0 - top, y1 - top)
            whole = np.fft.irfft(spectrum[inside], size[1], axis=1, out=padded[inside])
            out[y0:y1, x0:x1] = whole[:, x0 - left : x1 - left]
        return out

    return convolve


def _transfer(kernel: Image64, size: tuple[int, int]) -> NDArray[np.complex128]:
    """Return the transform of a kernel whose middle pixel is moved to the origin."""
    from scipy import fft

    height, width = kernel.shape
    centred = np.zeros(size)
    centred[:height, :width] = kernel
    at_origin = np.roll(centred, (-(height // 2), -(width // 2)), axis=(0, 1))
    return np.asarray(fft.rfft2(at_origin))


# the bands of a cube, the squares of their kernels, and lags
_kept_transfer = remembered(maxsize=128)(_transfer)


def _transform_size(n: int, radius: int) -> int:
    """Return a fast length that holds n pixels and a radius of zeros, which serves both ends."""
    from scipy import fft

    whole = max(n + radius, 2 * radius + 1)  # a kernel may be larger than the image
    if whole <= 2 * TILE or 4 * radius >= TILE:
        return int(fft.next_fast_len(whole, real=True))
    return TILE


def _tiles(
    shape: tuple[int, int], size: list[int], radius: tuple[int, int]
) -> Iterator[tuple[tuple[int, int], ...]]:
    """Yield the output ranges (y0, y1), (x0, x1) that cover the image, one a transform."""
    spans = []
    for n, length, r in zip(shape, size, radius, strict=True):
        step = n if n + r <= length else length - 2 * r
        spans.append([(start, min(start + step, n)) for start in range(0, n, step)])
    yield from ((y, x) for y in spans[0] for x in spans[1])


def coverage_of_full_frame(kernel: Image64, shape: tuple[int, int]) -> Image64:
    """Return what `kernel` convolved with a frame of ones gives, exactly.

    1 inside, less within a radius of an edge.
    The sum of the kernel's part that falls inside the frame, read off its summed-area table (Crow
    1984, SIGGRAPH 18, 207).
    """
    table = np.zeros((kernel.shape[0] + 1, kernel.shape[1] + 1))
    table[1:, 1:] = kernel.cumsum(0).cumsum(1)
    y, y0, y1 = _reaches(shape[0], kernel.shape[0])
    x, x0, x1 = _reaches(shape[1], kernel.shape[1])
    rows = table[y1] - table[y0]
    return np.asarray((rows[:, x1] - rows[:, x0])[y[:, None], x[None, :]])


def _reaches(n: int, k: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Return each pixel's part of a kernel of length k: its number, and all parts [low, high)."""
    part = place = np.arange(n)
    if n > 2 * k:  # all pixels between see the whole kernel
        part = np.where(place < k, place, np.maximum(place - (n - 2 * k), k - 1))
        place = np.concatenate([place[:k], place[-k:]])
    return part, np.maximum(place - n + 1 + k // 2, 0), np.minimum(place + k // 2, k - 1) + 1
