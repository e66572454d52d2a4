"""Lengths, angles, times and fluxes: taken in every unit that can be meant, else refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from astropy import units as u

from hstcube.errors import RecipeError
from hstcube.inputs.quantities import number_in, numbers_in


@pytest.mark.parametrize(
    ("given", "pixel", "arcsec"),
    [
        (0.36, None, 0.36),
        (np.float32(0.5), None, 0.5),
        (360 * u.mas, None, 0.36),
        ("360mas", None, 0.36),
        (0.0001 * u.deg, None, 0.36),
        (6 * u.pix, 0.06, 0.36),
        (np.array(2), None, 2.0),
    ],
)
def test_a_length_is_taken_in_whatever_unit_it_comes(given: Any, pixel: Any, arcsec: float) -> None:
    assert number_in("arcsec", given, "radius", pixel=pixel) == pytest.approx(arcsec, rel=1e-12)


@pytest.mark.parametrize(
    "given", [[0.12, 0.36], (120 * u.mas, 0.36), [120, 360] * u.mas, np.array([0.12, 0.36])]
)
def test_several_lengths_are_taken_together_or_each_in_its_unit(given: Any) -> None:
    np.testing.assert_allclose(numbers_in("arcsec", given, "radii"), [0.12, 0.36], rtol=1e-12)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (6 * u.pix, "HC-B33"),
        (3 * u.s, "HC-B33"),
        ("0.36", "HC-B33"),
        ("wide", "HC-B33"),
        ([1 * u.s, 2.0], "HC-B33"),
        (True, "HC-B31"),
        (None, "HC-B31"),
        (object(), "HC-B31"),
        (1j, "HC-B31"),
        (np.ma.array([1.0, 2.0], mask=[False, True]), "HC-B31"),
        (np.array(["a"]), "HC-B31"),
        ([[1.0, 2.0], [3.0]], "HC-B31"),
    ],
)
def test_what_is_no_length_is_refused_by_the_argument_s_name(given: Any, code: str) -> None:
    with pytest.raises(RecipeError, match="radius") as caught:
        numbers_in("arcsec", given, "radius")
    assert caught.value.code == code
    assert "arcsec" in caught.value.fix


def test_one_number_is_not_several() -> None:
    with pytest.raises(RecipeError, match="2 numbers"):
        number_in("arcsec", [1.0, 2.0], "radius")
