"""Linear convolution of an image with a small kernel: float64, same size, zeros beyond the frame.

Overlap-save tiles (Oppenheim & Schafer, Discrete-Time Signal Processing, 8.7.3): work and memory
grow with the image, not with the next fast size of the whole frame, and the kernel is transformed
once for all tiles.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from hstcube.basics.memory import remembered
from hstcube.errors import PSFError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    Image = NDArray[np.floating] | NDArray[np.bool_]
    Image64 = NDArray[np.float64]

__all__ = ["convolver", "in_full", "margin_of", "parts_seen", "sum_convolver"]

TILE = 512  # pixels along one side of a tile's transform; 256 to 1024 are equally fast to 10 %
_MARGINS = 1.1  # of the length of one transform: tiles that lie in the cache are that much faster


def convolver(
    kernel: Image64, shape: tuple[int, int], margin: tuple[int, int] = (0, 0)
) -> Callable[[Image], Image64]:
    """Return the function that convolves images of one shape with `kernel`.

    Parameters
    ----------
    kernel : array, (ky, kx)
        Odd sizes, centred on the middle pixel.
    shape : (ny, nx)
        Shape of the images.
    margin : (int, int)
        Rows and columns on every side that the result is to lack.

    Raises
    ------
    PSFError
        If a size of the kernel is even.
    """
    summed = sum_convolver((kernel,), shape, margin)
    return lambda image: summed(lambda rows, columns: (image[rows, columns],))


def sum_convolver(
    kernels: Sequence[Image64], shape: tuple[int, int], margin: tuple[int, int] = (0, 0)
) -> Callable[[Callable[[slice, slice], Iterable[Image]]], Image64]:
    """Return the function that adds up images of one shape, each convolved with its own kernel.

    The sum is one of transforms, so that one transform back serves all. The function takes what
    cuts rows and columns out of the images, one after another in the order of the kernels: images
    that are made of others need not be there as a whole.

    Parameters
    ----------
    kernels : sequence of array, (ky, kx)
        Of one shape; odd sizes, centred on the middle pixel.
    shape : (ny, nx)
        Shape of the images.
    margin : (int, int)
        Rows and columns on every side that the result is to lack.

    Raises
    ------
    PSFError
        If a size of the kernels is even.
    """
    odd = kernels[0].shape
    if len(odd) != 2 or odd[0] % 2 == 0 or odd[1] % 2 == 0:  # noqa: PLR2004
        raise PSFError(
            "HC-P04",
            f"the kernel has shape {odd}; its centre is not a pixel",
            "give kernels of odd sizes, centred on the middle pixel",
        )
    radius = (odd[0] // 2, odd[1] // 2)
    inner = (shape[0] - 2 * margin[0], shape[1] - 2 * margin[1])
    beyond = (min(margin[0], radius[0]), min(margin[1], radius[1]))
    height, width = map(_transform_size, inner, radius, beyond)
    size = (height, width)
    transform = _kept_transfer if height * width <= TILE**2 else _transfer  # larger: used once
    transfers = [transform(np.ascontiguousarray(one, np.float64), size) for one in kernels]

    def convolve(cut: Callable[[slice, slice], Iterable[Image]]) -> Image64:
        out = np.empty(inner)
        # every tile is written over the last one: fresh pages of memory cost more than the
        # transforms
        padded, total = np.zeros(size), np.empty_like(transfers[0])
        other = total if len(transfers) == 1 else np.empty_like(total)
        for (y0, y1), (x0, x1) in _tiles(inner, size, radius, beyond):
            first, last = (y0 + margin[0], x0 + margin[1]), (y1 + margin[0], x1 + margin[1])
            top, left = max(first[0] - radius[0], 0), max(first[1] - radius[1], 0)
            rows = slice(top, min(last[0] + radius[0], shape[0]))
            columns = slice(left, min(last[1] + radius[1], shape[1]))
            for i, (part, transfer) in enumerate(zip(cut(rows, columns), transfers, strict=True)):
                spectrum = other if i else total
                _transformed(part, padded, spectrum)
                np.multiply(spectrum, transfer, out=spectrum)
                if i:
                    np.add(total, spectrum, out=total)
            np.fft.ifft(total, axis=0, out=total)
            inside = slice(first[0] - top, last[0] - top)
            whole = np.fft.irfft(total[inside], width, axis=1, out=padded[inside])
            out[y0:y1, x0:x1] = whole[:, first[1] - left : last[1] - left]
        return out

    return convolve


def margin_of(image: Any, inner: Any) -> tuple[int, int]:
    """Return how many rows and columns an image has around another one, on every side."""
    rows, columns = (
        (whole - part) // 2 for whole, part in zip(image.shape, inner.shape, strict=True)
    )
    return rows, columns


def _transformed(part: Image, padded: Image64, spectrum: NDArray[np.complex128]) -> None:
    """Write the transform of an image into `spectrum`, with zeros up to the shape of `padded`."""
    rows, columns = part.shape
    padded[:rows, :columns] = part
    padded[:rows, columns:] = 0
    np.fft.rfft(padded[:rows], axis=1, out=spectrum[:rows])
    spectrum[rows:] = 0
    np.fft.fft(spectrum, axis=0, out=spectrum)


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


def _transform_size(n: int, radius: int, beyond: int) -> int:
    """Return a fast length that holds n pixels and a radius of zeros, which serves both ends.

    Where there are pixels beyond both ends, it holds as many more.

    Or that of a tile: n is cut into as few equal parts as fit, unless their margins cost more.
    """
    from scipy import fft

    # a kernel may be larger than the image
    whole = int(fft.next_fast_len(max(n + radius + beyond, 2 * radius + 1), real=True))
    if whole <= TILE or 4 * radius >= TILE:
        return whole
    parts = math.ceil(n / (TILE - 2 * radius))
    tile = int(fft.next_fast_len(math.ceil(n / parts) + 2 * radius, real=True))
    return whole if whole <= 2 * TILE and parts * tile > _MARGINS * whole else tile


def _tiles(
    shape: tuple[int, int], size: tuple[int, int], radius: tuple[int, int], beyond: tuple[int, int]
) -> Iterator[tuple[tuple[int, int], ...]]:
    """Yield the output ranges (y0, y1), (x0, x1) that cover the image, one a transform."""
    spans = []
    for n, length, r, more in zip(shape, size, radius, beyond, strict=True):
        step = n if n + r + more <= length else length - 2 * r
        spans.append([(start, min(start + step, n)) for start in range(0, n, step)])
    yield from ((y, x) for y in spans[0] for x in spans[1])


@remembered(maxsize=64)  # one set of kernels serves thousands of stamps of one shape
def parts_seen(kernel: Image64, shape: tuple[int, int]) -> Image64:
    """Return the sums of the parts of a kernel that pixels of a frame see, each once.

    1 inside, less within a radius of an edge. `in_full` of that is what the kernel convolved with a
    frame of ones gives, exactly: read off the kernel's summed-area table (Crow 1984, SIGGRAPH 18,
    207).
    """
    table = np.zeros((kernel.shape[0] + 1, kernel.shape[1] + 1))
    table[1:, 1:] = kernel.cumsum(0).cumsum(1)
    y0, y1 = _reaches(shape[0], kernel.shape[0])
    x0, x1 = _reaches(shape[1], kernel.shape[1])
    rows = table[y1] - table[y0]
    return np.asarray(rows[:, x1] - rows[:, x0])


def in_full(parts: NDArray[Any], shape: tuple[int, int]) -> NDArray[Any]:
    """Return for every pixel of a frame, (y, x), what `parts_seen` found, or is made of that."""
    out = np.empty(shape, parts.dtype)
    for rows, of_rows in _stretches(shape[0], parts.shape[0]):
        for columns, of_columns in _stretches(shape[1], parts.shape[1]):
            out[rows, columns] = parts[of_rows, of_columns]
    return out


def _stretches(n: int, number: int) -> list[tuple[slice, slice]]:
    """Return the pixels of a row of n, in stretches, and those of the `number` parts they see."""
    if n == number:
        return [(slice(n), slice(n))]
    k = number // 2
    between = (slice(k, n - k), slice(k - 1, k))
    return [(slice(k), slice(k)), between, (slice(n - k, n), slice(k, number))]


def _reaches(n: int, k: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the parts [low, high) of a kernel of length k that pixels of a row of n see.

    Of a long row the first k and the last k pixels: all between see the whole kernel.
    """
    place = np.arange(n)
    if n > 2 * k:
        place = np.concatenate([place[:k], place[-k:]])
    return np.maximum(place - n + 1 + k // 2, 0), np.minimum(place + k // 2, k - 1) + 1
