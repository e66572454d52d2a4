"""Ellipses on pixels: which pixels lie in one, and what share of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Window = tuple[slice, slice]

__all__ = ["Ellipses"]

# the corners of a pixel, (row, column), around it
_CORNERS = ((-0.5, -0.5), (-0.5, 0.5), (0.5, 0.5), (0.5, -0.5))


@dataclass(frozen=True)
class Ellipses:
    """Concentric ellipses of one shape, each named by its semi-major axis.

    ``basis`` (2, 2): how far a step of one column, and one of one row (second index), go along the
    major and the minor axis (first index); ``shape`` of the frame (y, x); ``centre`` in pixels (y,
    x); ``ratio`` of the minor to the major axis.
    """

    basis: Array
    shape: tuple[int, int]
    centre: tuple[float, float]
    ratio: float

    def distance(self, window: Window) -> Array:
        """Return the ellipse that the centre of each pixel of a part of the frame lies on."""
        major, minor = self._places(*self._offsets(window))
        return np.asarray(np.hypot(major, minor / self.ratio))

    def shares(self, reach: float) -> Array:
        """Return the share of each pixel of the frame that lies in an ellipse, (y, x).

        A pixel is a parallelogram where the ellipse is the unit circle: the area that they share is
        the sum over its sides, each a triangle with the centre where it lies within the circle, and
        a sector where it does not.
        """
        out = np.zeros(self.shape)
        if reach == 0:
            return out
        window = self.window(reach)
        rows, columns = self._offsets(window)
        corners = []
        for dy, dx in _CORNERS:
            major, minor = self._places(rows + dy, columns + dx)
            corners.append((major / reach, minor / (self.ratio * reach)))
        area = sum(
            _under_side(*start, *end)
            for start, end in zip(corners, [*corners[1:], corners[0]], strict=True)
        )
        whole = abs(np.linalg.det(self.basis)) / (self.ratio * reach**2)
        out[window] = np.clip(np.abs(area) / whole, 0, 1)
        return out

    def window(self, reach: float) -> Window:
        """Return the part of the frame that an ellipse reaches."""
        low, high = self._limits(reach)
        first = np.clip(low - 1, 0, self.shape).astype(int)
        last = np.clip(high + 3, 0, self.shape).astype(int)
        return slice(int(first[0]), int(last[0])), slice(int(first[1]), int(last[1]))

    def lies_within(self, reach: float) -> bool:
        """Return whether the pixels whose centres an ellipse may hold lie within the frame."""
        low, high = self._limits(reach)
        return bool((low > -1).all() and (high < self.shape).all())

    def is_whole(self, reach: float) -> bool:
        """Return whether all of the area of an ellipse lies within the frame."""
        low, high = self._limits(reach)
        return bool((low + 0.5 >= 0).all() and (high + 0.5 <= np.array(self.shape)).all())

    def _offsets(self, window: Window) -> tuple[Any, Any]:
        y, x = window
        rows = np.arange(y.start, y.stop)[:, None] - self.centre[0]
        return rows, np.arange(x.start, x.stop)[None, :] - self.centre[1]

    def _places(self, rows: Any, columns: Any) -> tuple[Any, Any]:
        """Turn offsets in pixels into offsets along and across the major axis."""
        one, other = (self.basis[k, 0] * columns + self.basis[k, 1] * rows for k in (0, 1))
        return np.asarray(one, dtype=float), np.asarray(other, dtype=float)

    def _limits(self, reach: float) -> tuple[Any, Any]:
        """Return the least and the largest pixel coordinates (y, x) of an ellipse."""
        turn = np.linspace(0, 2 * np.pi, 721)
        ellipse = np.stack([reach * np.cos(turn), reach * self.ratio * np.sin(turn)])
        places = np.linalg.solve(self.basis, ellipse)[::-1]
        return self.centre + places.min(axis=1), self.centre + places.max(axis=1)


def _under_side(x0: Array, y0: Array, x1: Array, y1: Array) -> Array:
    """Return the signed area between a side and the origin, as far as the unit circle reaches."""
    dx, dy = x1 - x0, y1 - y0
    square, along = dx * dx + dy * dy, -(x0 * dx + y0 * dy)
    inside = along**2 - square * (x0 * x0 + y0 * y0 - 1)
    root = np.sqrt(np.maximum(inside, 0))
    enter, leave = (np.clip((along + sign * root) / square, 0, 1) for sign in (-1, 1))
    xa, ya, xb, yb = x0 + enter * dx, y0 + enter * dy, x0 + leave * dx, y0 + leave * dy
    return np.asarray((_angle(x0, y0, xa, ya) + (xa * yb - xb * ya) + _angle(xb, yb, x1, y1)) / 2)


def _angle(x0: Array, y0: Array, x1: Array, y1: Array) -> Array:
    """Return the angle from one place to another, as seen from the origin."""
    return np.asarray(np.arctan2(x0 * y1 - x1 * y0, x0 * x1 + y0 * y1))
