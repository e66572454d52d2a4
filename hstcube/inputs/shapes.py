"""Shapes that people draw on images: those of the packages regions and photutils."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hstcube.errors import LabelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Shares = NDArray[np.float64]

__all__ = ["Drawn", "are_shapes", "drawn_on"]

_FINE = 10  # points along a pixel, where a shape does not know its share of pixels itself
_WHOLE = 1e-6  # of a pixel: what is beyond the frame by less is within


class Drawn(NamedTuple):
    """The shares of pixels that lie in each shape."""

    shares: list[Shares]
    """One image (y, x) for each."""
    cut: list[int]
    """Which of them, counted from 1, reach beyond the frame."""


def are_shapes(given: Any) -> bool:
    """Say whether something is a region or an aperture, or a list of them; no place is one."""
    if _is_shape(given):
        return True
    listed = isinstance(given, Sequence) or type(given).__name__ == "Regions"
    return listed and len(given) > 0 and all(map(_is_shape, given))


def _is_shape(one: Any) -> bool:
    drawn = hasattr(one, "to_pixel") or hasattr(one, "to_mask")
    return drawn and not hasattr(one, "transform_to")


def drawn_on(shapes: Any, wcs: Any, frame: tuple[int, int]) -> Drawn:
    """Return the shares of pixels that shapes hold.

    Parameters
    ----------
    shapes : region of `regions`, aperture of photutils, or list of them
        On the sky or in pixels, the first being (0, 0). Shapes that DS9 shows as excluded are
        holes in all the others; an aperture of several places is several.
    wcs : WCS
        Of the pixels.
    frame : (ny, nx)
        Their number.

    Raises
    ------
    LabelError
        If none is left, or one holds no pixel of the frame.
    """
    listed = [shapes] if _is_shape(shapes) else list(shapes)
    kept: list[Any] = []
    holes: list[Any] = []
    for shape in listed:
        drawn = shape.to_pixel(wcs) if hasattr(shape, "to_pixel") else shape
        (kept if _is_included(shape) else holes).extend(_single(drawn))
    if not kept:
        fix = "draw what is to be measured, too"
        raise LabelError("HC-S20", "all the regions are holes, of which none is in another", fix)
    open_ = np.ones(frame)
    for hole in holes:
        open_ -= np.minimum(open_, _shares(hole, frame)[0])
    found = [_shares(one, frame) for one in kept]
    for i, (shares, _) in enumerate(found, start=1):
        if not (shares * open_).any():
            fix = "draw it on these images; in sky coordinates, else its pixels must be theirs"
            raise LabelError("HC-S20", f"region {i} has no pixel in the frame", fix)
    cut = [i for i, (_, beyond) in enumerate(found, start=1) if beyond]
    return Drawn([shares * open_ for shares, _ in found], cut)


def _is_included(shape: Any) -> bool:
    """Say whether a region is one, not a hole; apertures have no such word."""
    return bool(getattr(shape, "meta", {}).get("include", True))


def _single(drawn: Any) -> list[Any]:
    """Return the apertures of several places one by one."""
    several = hasattr(drawn, "positions") and not drawn.isscalar
    return list(drawn) if several else [drawn]


def _shares(drawn: Any, frame: tuple[int, int]) -> tuple[Shares, bool]:
    """Return the shares of the frame's pixels, and whether the shape reaches beyond them."""
    how = "method" if hasattr(drawn, "positions") else "mode"
    try:
        found = drawn.to_mask(**{how: "exact"})
    except NotImplementedError:  # of rings, and of shapes made of others
        return _sampled(drawn, frame)
    image = found.to_image(frame)
    image = np.zeros(frame) if image is None else np.clip(image, 0, 1)  # 1.0000000000000002
    return image, float(found.data.sum() - image.sum()) > _WHOLE


def _sampled(drawn: Any, frame: tuple[int, int]) -> tuple[Shares, bool]:
    """Return the same of a region that says of points only whether they lie in it."""
    from regions import PixCoord

    box = drawn.bounding_box
    first = np.array([box.iymin, box.ixmin])
    size = np.array([box.iymax, box.ixmax]) - first
    steps = [
        (np.arange(n * _FINE) + 0.5) / _FINE - 0.5 + at for n, at in zip(size, first, strict=True)
    ]
    y, x = np.meshgrid(*steps, indexing="ij")
    inside = np.asarray(drawn.contains(PixCoord(x, y)), dtype=float)
    shares = inside.reshape(size[0], _FINE, size[1], _FINE).mean(axis=(1, 3))
    image = np.zeros(frame)
    low = np.clip(first, 0, frame)
    high = np.clip(first + size, low, frame)
    there = tuple(slice(*ends) for ends in zip(low - first, high - first, strict=True))
    image[low[0] : high[0], low[1] : high[1]] = shares[there]
    return image, bool(shares.sum() - image.sum() > _WHOLE)
