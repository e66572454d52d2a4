"""Words that choose: the right one passes, all others are refused with the choices."""

from __future__ import annotations

from typing import Literal

import pytest

from hstcube.errors import RecipeError, SkyError
from hstcube.inputs.choices import require_choice

Shape = Literal["square", "diamond"]


@pytest.mark.parametrize("choices", [Shape, ("square", "diamond"), ["square", "diamond"]])
def test_a_choice_passes(choices):
    require_choice("shape", "diamond", choices)


@pytest.mark.parametrize("value", ["disk", "Square", "square ", "", None, 1, True, ["square"]])
def test_anything_else_is_refused(value):
    with pytest.raises(RecipeError, match="HC-B22") as refused:
        require_choice("shape", value, Shape)
    assert refused.value.reason == f"there is no shape {value!r}"
    assert "'square'" in refused.value.fix
    assert "'diamond'" in refused.value.fix


def test_the_nearest_choice_stands_first():
    with pytest.raises(RecipeError) as refused:
        require_choice("shape", "diamnod", Shape)
    assert refused.value.fix == "choose shape= from 'diamond', 'square'"


def test_the_code_and_class_of_the_error_are_those_of_the_caller():
    with pytest.raises(SkyError, match="HC-K12"):
        require_choice("method", "mean", ("clipped", "original"), code="HC-K12", error=SkyError)
