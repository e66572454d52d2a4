"""Pictures of what was measured refuse a cube, or another thing, by name."""

from __future__ import annotations

from typing import Any

import pytest

import hstcube
from hstcube.errors import RecipeError

MADE_BY = {
    "growth_curve": "curve_of_growth",
    "radial_profile": "radial_profile",
    "kernels": "matching_kernels",
    "psf_curves": "psf_quality",
    "noise_curve": "noise_check",
    "sed": "photometry",
    "line": "fit_line",
}


@pytest.mark.parametrize("name", MADE_BY)
def test_a_picture_says_what_it_is_made_of(name: str) -> None:
    cube = hstcube.example()
    pixel = hstcube.sed_at(cube, 50, 50) if name != "sed" else None
    for other in (cube, cube.sci, cube.sci.values, None, pixel):
        draw: Any = getattr(hstcube.plot, name)
        with pytest.raises(RecipeError, match=f"HC-B42 .*\n.*hstcube.{MADE_BY[name]}"):
            draw(other)


def test_sky_levels_are_those_of_measure_sky() -> None:
    cube = hstcube.example()
    levels: Any
    for levels in (cube, cube.sky.drop_vars("sky_error"), None):
        with pytest.raises(RecipeError, match="HC-B42"):
            hstcube.plot.sky_histograms(cube, background=cube.labels == 0, levels=levels)


def test_the_spectrum_of_a_pixel_is_drawn_as_it_is() -> None:
    pixel = hstcube.sed_at(hstcube.example(matched=True), 48, 51)
    (axis,) = hstcube.plot.sed(pixel).axes
    line, *_ = axis.lines
    assert line.get_xdata() == pytest.approx(pixel.pivot.values / 1e4)
    assert line.get_ydata() == pytest.approx(pixel.flux.values)
    assert axis.get_legend().get_title().get_text() == "pixel"
    assert axis.get_legend().get_texts()[0].get_text() == "x 48, y 51"
