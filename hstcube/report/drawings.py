"""The charts of a report: PSFs, noise, growth of light, sky."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hstcube.report.charts import Chart, Series, chart
from hstcube.report.facts import HISTOGRAM, MANY
from hstcube.report.verdict import LIMITS

if TYPE_CHECKING:
    from hstcube.report.facts import Band, Facts

__all__ = ["growth_chart", "noise_chart", "psf_charts", "sky_charts"]

_LEAST = 0.02  # of the encircled energy: what a panel shows at least on either side of one
_LOW = (420, 190)  # of two panels above one another


def psf_charts(facts: Facts) -> list[tuple[str, Chart]]:
    """Return the encircled energies over the target's, before and after the matching."""
    both = {"before": facts.ee_before, "after": facts.ee}
    return [(name, _psf_chart(facts, name, curves)) for name, curves in both.items() if curves]


def _psf_chart(facts: Facts, name: str, curves: list[list[float]]) -> Chart:
    off = np.abs(np.array(curves) - 1)
    reach = min(max(float(np.nanmax(off)) * 1.08, _LEAST), 0.6)
    far = off.max(axis=1)
    worst = facts.bands[int(np.nanargmax(far))].name
    return chart(
        _of_bands(facts, facts.radius, curves),
        x=(0, facts.radius[-1]),
        y=(1 - reach, 1 + reach),
        labels=("radius [arcsec]", "ratio"),
        span=(1 - LIMITS.match, 1 + LIMITS.match),
        alt=f"Encircled energy over that of {facts.target or 'the target'}, {name} the matching: "
        f"farthest from one by {float(np.nanmax(off)):.2%} in {worst}. Grey: 1 %.",
        size=_LOW,
    )


def noise_chart(facts: Facts) -> Chart | None:
    """Return the scatter of empty apertures over the prediction, against their size."""
    curves, sizes = [], [1]
    for i, band in enumerate(facts.bands):
        rows = [row for row in facts.noise if row["band"] == band.name and row["number"] >= MANY]
        sizes += [row["size"] for row in rows]
        ratios = [row["ratio"] for row in rows]
        curves.append(Series(band.name, [row["size"] for row in rows], ratios, f"c{i}"))
    known = [value for curve in curves for value in curve.y if np.isfinite(value)]
    if not known:
        return None
    return chart(
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
    if not facts.growth:
        return None
    radius = [0.0, *facts.growth_radius]
    curves = [[0.0, *one] for one in facts.growth]
    half = [float(np.interp(0.5, one, radius)) for one in curves]
    top = min(max(1.1, float(np.nanmax(curves)) * 1.05), 2.0)
    return chart(
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
            Series("a Gaussian of width one", middle.tolist(), ideal.tolist(), "ideal"),
            Series(f"{sum(counts)} blank pixels", edges.tolist(), steps, f"c{i}"),
        ]
        alt = f"Histogram of {sum(counts)} blank pixels of {band.name}, in their errors."
        drawn = chart(curves, x=(-5, 5), y=(0, top), labels=("", ""), alt=alt, size=(200, 110))
        charts.append((band, drawn))
    return charts


def _of_bands(facts: Facts, x: list[float], curves: list[list[float]]) -> list[Series]:
    rows = zip(facts.bands, curves, strict=True)
    return [Series(band.name, x, curve, f"c{i}") for i, (band, curve) in enumerate(rows)]
