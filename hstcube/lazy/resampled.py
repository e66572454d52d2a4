"""Images that dask holds in blocks, on other pixels: a block is made of a window of the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hstcube.lazy.arrays import arrays_of, region_of
from hstcube.lazy.nodes import At, Held, Node
from hstcube.lazy.windows import SIDE, within

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hstcube.lazy.nodes import Memo
    from hstcube.lazy.windows import Window

__all__ = ["Cut", "resampled"]


class Cut:
    """A window of images (band, y, x), which is sliced as if it were whole."""

    def __init__(self, pixels: Any, window: Window) -> None:
        self.pixels, self.window, self.dtype = pixels, window, pixels.dtype

    def __len__(self) -> int:
        """Return the number of bands."""
        return len(self.pixels)

    def __getitem__(self, index: tuple[slice, slice, slice]) -> Any:
        """Return what lies in some bands, rows and columns of the whole."""
        bands, *place = index
        return self.pixels[(bands, *within((place[0], place[1]), self.window))]


class _Like(NamedTuple):
    """What the arrays look like."""

    chunks: tuple[tuple[int, ...], ...]
    dtype: np.dtype[Any]


def resampled(
    function: Callable[[list[Cut], int, Window], Sequence[Any]],
    arrays: Sequence[Any],
    sees: Callable[[Window], Window | None],
    side: int,
    shape: tuple[int, int],
) -> tuple[Any, ...] | None:
    """Return what a function makes of images on other pixels, as arrays of dask of float32.

    Parameters
    ----------
    function : callable
        Takes windows of all arrays in one band, the number of the band, and a block of the new
        pixels; returns as many images (1, y, x) of that block.
    arrays : sequence of array, (band, y, x)
    sees : callable
        Takes a block, and returns which rows and columns of the arrays it is made of, or None.
    side : int
        Blocks begin at multiples of so many pixels, and end there or at the end of the images.
    shape : (int, int)
        Of the new images.

    Returns
    -------
    tuple of array, (band, y, x)
        None where one of the arrays cannot be read in regions.
    """
    nodes = [
        region_of(array) if hasattr(array, "dask") else Held(np.asarray(array)) for array in arrays
    ]
    known = [node for node in nodes if node is not None]
    if len(known) < len(nodes):
        return None
    step = side * max(SIDE // side, 1)
    sizes = [(step,) * (n // step) + ((n % step,) if n % step else ()) for n in shape]
    like = _Like(((1,) * len(arrays[0]), *sizes), np.dtype(np.float32))
    return arrays_of(_Resampled(function, known, sees, side, shape), like)


class _Resampled(Node):
    """The images that a function makes."""

    def __init__(
        self, function: Any, planes: list[Node], sees: Any, side: int, shape: tuple[int, int]
    ) -> None:
        self.function, self.planes, self.sees = function, planes, sees
        self.side, self.shape, self.outputs = side, shape, len(planes)

    def below(self) -> list[Node]:
        """Return what it is made of."""
        return self.planes

    def looks_around(self) -> bool:
        """Say whether a pixel is made of others than itself."""
        return True

    def asks(self, at: At) -> list[tuple[Node, At]]:
        """Return what it asks of others for a region."""
        rows, columns = self._window(self._block(at))
        where = At(at.band, rows.start, rows.stop, columns.start, columns.stop)
        return [(plane, where) for plane in self.planes]

    def _block(self, at: At) -> Window:
        """Return the whole blocks that a region lies in."""
        rows, columns = (
            slice(start // self.side * self.side, min(-(-stop // self.side) * self.side, n))
            for start, stop, n in zip(at[1::2], at[2::2], self.shape, strict=True)
        )
        return rows, columns

    def _window(self, block: Window) -> Window:
        return self.sees(block) or (slice(0, 1), slice(0, 1))

    def made(self, at: At, memo: Memo) -> Any:
        """Return the pixels of a region."""
        block = self._block(at)
        window, asked = self._window(block), self.asks(at)
        cuts = [Cut(memo.given(plane, where), window) for plane, where in asked]
        rows, columns = within((slice(*at[1:3]), slice(*at[3:])), block)
        return tuple(
            np.ascontiguousarray(one[:, rows, columns]).astype(np.float32, copy=False)
            for one in self.function(cuts, at.band, block)
        )
