"""The charts of a report as numbers of an SVG: the template writes them in the page's colours."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hstcube.report.facts import HISTOGRAM, MANY
from hstcube.report.verdict import LIMITS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hstcube.report.facts import Band, Facts

__all__ = ["Chart", "growth_chart", "noise_chart", "psf_charts", "ramp", "sky_charts"]

_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 8, 8, 34  # pixels around the axes
_TICKS = 5
_LEAST = 0.02  # of the encircled energy: what a panel shows at least on either side of one
_LOW = (420, 172)  # of two panels above one another

# from blue to red bands: each darker than the next on white, and brighter than it on black
_LIGHT = ((49, 54, 149), (36, 110, 160), (27, 138, 110), (176, 120, 0), (178, 24, 43))
_DARK = ((128, 148, 255), (84, 184, 232), (82, 204, 160), (240, 190, 70), (255, 118, 108))


class _Series(NamedTuple):
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


def psf_charts(facts: Facts) -> list[tuple[str, Chart]]:
    """Return the encircled energies over the target's, before and after the matching."""
    both = {"before": facts.ee_before, "after": facts.ee}
    known = {name: curves for name, curves in both.items() if np.isfinite(curves).any()}
    return [(name, _psf_chart(facts, name, curves)) for name, curves in known.items()]


def _psf_chart(facts: Facts, name: str, curves: list[list[float]]) -> Chart:
    off = np.nan_to_num(np.abs(np.array(curves) - 1))
    reach = min(max(float(off.max()) * 1.08, _LEAST), 0.6)
    far = off.max(axis=1)
    worst = facts.bands[int(np.argmax(far))].name
    return _chart(
        _of_bands(facts, facts.radius, curves),
        x=(0, facts.radius[-1]),
        y=(1 - reach, 1 + reach),
        labels=("radius [arcsec]", "ratio"),
        span=(1 - LIMITS.match, 1 + LIMITS.match),
        alt=f"Encircled energy over that of {facts.target or 'the target'}, {name} the matching: "
        f"farthest from one by {float(off.max()):.2%} in {worst}. Grey: 1 %.",
        size=_LOW,
    )


def noise_chart(facts: Facts) -> Chart | None:
    """Return the scatter of empty apertures over the prediction, against their size."""
    curves, sizes = [], [1]
    for i, band in enumerate(facts.bands):
        rows = [row for row in facts.noise if row["band"] == band.name and row["number"] >= MANY]
        sizes += [row["size"] for row in rows]
        ratios = [row["ratio"] for row in rows]
        curves.append(_Series(band.name, [row["size"] for row in rows], ratios, f"c{i}"))
    known = [value for curve in curves for value in curve.y if np.isfinite(value)]
    if not known:
        return None
    return _chart(
        curves,
        x=(0.5, max(*sizes, 2) + 0.5),
        y=(min(0.5, 0.95 * min(known)), max(1.5, 1.05 * max(known))),
        labels=("side of the aperture [pixels]", "scatter / error"),
        span=LIMITS.noise,
        alt=f"Scatter of empty apertures over their predicted errors, by size: between "
        f"{min(known):.2f} and {max(known):.2f}; one is right. Grey: 0.85 to 1.15.",
    )


def growth_chart(facts: Facts) -> Chart | None:
    """Return the light of the mask within a radius, over all of it."""
    if not np.isfinite(facts.growth).any():
        return None
    radius = [0.0, *facts.growth_radius]
    curves = [[0.0, *one] for one in facts.growth]
    half = [float(np.interp(0.5, one, radius)) for one in curves]
    top = min(max(1.1, float(np.nanmax(curves)) * 1.05), 2.0)
    return _chart(
        _of_bands(facts, radius, curves),
        x=(0, radius[-1]),
        y=(0, top),
        labels=("radius [arcsec]", "share of the flux in the mask"),
        alt=f"Growth of the light of the mask with the radius: half of it within {min(half):.2f} "
        f"to {max(half):.2f} arcsec, by band.",
    )


def sky_charts(facts: Facts) -> list[tuple[Band, Chart]]:
    """Return the histograms of the blank pixels of each band."""
    middle = (HISTOGRAM[1:] + HISTOGRAM[:-1]) / 2
    charts = []
    for i, (band, counts) in enumerate(zip(facts.bands, facts.histogram, strict=False)):
        ideal = np.exp(-(middle**2) / 2) * sum(counts) / np.sqrt(2 * np.pi) * np.diff(HISTOGRAM)
        top = 1.1 * max(*counts, float(ideal.max()), 1.0)
        edges, steps = np.repeat(HISTOGRAM, 2), [0, *np.repeat(counts, 2).tolist(), 0]
        curves = [
            _Series("a Gaussian of width one", middle.tolist(), ideal.tolist(), "ideal"),
            _Series(f"{sum(counts)} blank pixels", edges.tolist(), steps, f"c{i}"),
        ]
        alt = f"Histogram of {sum(counts)} blank pixels of {band.name}, in their errors."
        drawn = _chart(curves, x=(-5, 5), y=(0, top), labels=("", ""), alt=alt, size=(136, 84))
        charts.append((band, drawn))
    return charts


def _of_bands(facts: Facts, x: list[float], curves: list[list[float]]) -> list[_Series]:
    rows = zip(facts.bands, curves, strict=True)
    return [_Series(band.name, x, curve, f"c{i}") for i, (band, curve) in enumerate(rows)]


def ramp(number: int) -> list[tuple[str, str]]:
    """Return the colours of bands, from blue to red, on white and on black."""
    at = np.linspace(0, 1, number) if number > 1 else np.array([0.0])
    both = [_between(anchors, at) for anchors in (_LIGHT, _DARK)]
    return list(zip(*both, strict=True))


def _chart(
    curves: Sequence[_Series],
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


def _between(anchors: tuple[tuple[int, int, int], ...], at: Any) -> list[str]:
    known = np.linspace(0, 1, len(anchors))
    channels = [np.interp(at, known, values) for values in zip(*anchors, strict=True)]
    return [
        "#" + "".join(f"{round(value):02x}" for value in one) for one in zip(*channels, strict=True)
    ]


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
