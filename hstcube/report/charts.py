"""Line charts as numbers of an SVG: the template writes them, so that they follow the page."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Chart", "Series", "chart", "ramp"]

_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 8, 8, 34  # pixels around the axes
_TICKS = 5

# from blue to red bands: each darker than the next on white, and brighter than it on black
_LIGHT = ((49, 54, 149), (36, 110, 160), (27, 138, 110), (176, 120, 0), (178, 24, 43))
_DARK = ((128, 148, 255), (84, 184, 232), (82, 204, 160), (240, 190, 70), (255, 118, 108))


class Series(NamedTuple):
    """A curve; ``style`` is a class of the page's style sheet."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    style: str


class Chart(NamedTuple):
    """What the template draws; all lengths in units of its view box."""

    width: int
    height: int
    box: tuple[float, float, float, float]
    """Left, top, width, height of the axes."""
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    curves: list[tuple[str, str, str]]
    """Name, path, style."""
    span: tuple[float, float] | None
    """Top and height of the grey band."""
    x_label: str
    y_label: str
    alt: str


def chart(
    curves: Sequence[Series],
    *,
    x: tuple[float, float],
    y: tuple[float, float],
    labels: tuple[str, str],
    alt: str,
    span: tuple[float, float] | None = None,
    size: tuple[int, int] = (420, 250),
) -> Chart:
    """Lay out curves between the limits `x` and `y`; `span` is shaded from one y to another."""
    width, height = size
    left = _LEFT if labels[1] else 8
    bottom = _BOTTOM if labels[0] else 20
    box = (left, _TOP, width - left - _RIGHT, height - _TOP - bottom)

    def at_x(value: Any) -> Any:
        return box[0] + box[2] * (value - x[0]) / (x[1] - x[0])

    def at_y(value: Any) -> Any:
        return box[1] + box[3] * (y[1] - value) / (y[1] - y[0])

    drawn = []
    for one in curves:
        across, up = np.asarray(one.x, float), np.asarray(one.y, float)
        drawn.append((one.name, _path(at_x(across), at_y(up)), one.style))
    shaded = None
    if span is not None:
        low, high = max(span[0], y[0]), min(span[1], y[1])
        shaded = (float(at_y(high)), float(at_y(low) - at_y(high)))
    return Chart(
        width, height, box,
        [(float(at_x(value)), text) for value, text in _ticks(*x)],
        [(float(at_y(value)), text) for value, text in _ticks(*y)] if labels[1] else [],
        drawn, shaded, *labels, alt,
    )  # fmt: skip


def ramp(number: int) -> list[tuple[str, str]]:
    """Return the colours of bands, from blue to red, on white and on black."""
    at = np.linspace(0, 1, number) if number > 1 else np.array([0.0])
    both = [_between(anchors, at) for anchors in (_LIGHT, _DARK)]
    return list(zip(*both, strict=True))


def _between(anchors: tuple[tuple[int, int, int], ...], at: Any) -> list[str]:
    known = np.linspace(0, 1, len(anchors))
    channels = [np.interp(at, known, values) for values in zip(*anchors, strict=True)]
    return ["#" + "".join(f"{round(value):02x}" for value in one) for one in zip(*channels, strict=True)]


def _path(x: Any, y: Any) -> str:
    """Return the path through points; it is broken where one is no number."""
    parts, pen = [], "M"
    for across, up in zip(x.tolist(), y.tolist(), strict=True):
        if not math.isfinite(across + up):
            pen = "M"
            continue
        parts.append(f"{pen}{across:.1f} {up:.1f}")
        pen = "L"
    return "".join(parts)


def _ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Return round numbers between two limits, and how they are written."""
    rough = (high - low) / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    numbers = range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)
    return [(number * step, f"{number * step:.{digits}f}") for number in numbers]
