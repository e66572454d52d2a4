"""State is data: a step does the same where history, warnings and all other free text are gone."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import xarray as xr
from everything import World

import hstcube

if TYPE_CHECKING:
    from collections.abc import Callable

TEXT = ("history", "warnings", "title", "Conventions")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"))


def emptied(cube: xr.Dataset) -> xr.Dataset:
    return cube.assign_attrs(dict.fromkeys(TEXT, ""))


def without(cube: xr.Dataset) -> xr.Dataset:
    kept = {key: value for key, value in cube.attrs.items() if key not in TEXT}
    return cube.drop_attrs(deep=False).assign_attrs(kept)


def outcome(function: str, cube: xr.Dataset, world: World) -> Any:
    arguments, named = world.calls(cube)[function]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return getattr(hstcube, function)(*arguments, **named)
        except hstcube.HstCubeError as error:
            return error.code


def same(one: Any, other: Any) -> bool:
    if isinstance(one, xr.Dataset | xr.DataArray):
        return bool(one.drop_attrs(deep=False).identical(other.drop_attrs(deep=False)))
    if hasattr(one, "colnames"):
        return one.colnames == other.colnames and all(
            np.array_equal(one[name], other[name], equal_nan=one[name].dtype.kind == "f")
            for name in one.colnames
        )
    return one == other if isinstance(one, str) else type(one) is type(other)


@pytest.mark.slow
@pytest.mark.parametrize("free", [emptied, without], ids=["emptied", "gone"])
def test_no_step_reads_prose(free: Callable[[xr.Dataset], xr.Dataset], world: World) -> None:
    for state in (world.cube, hstcube.psf_match(world.cube)):
        for function in world.calls(state):
            if state is not world.cube and function in (
                "add_poisson",
                "calibrate_noise",
                "with_noise",
            ):
                continue  # refused on what is matched
            expected = outcome(function, state, world)
            assert same(expected, outcome(function, free(state), world)), function


def test_what_was_done_is_known_without_its_history(world: World) -> None:
    once = without(hstcube.add_poisson(world.cube, exposure=1200.0))
    with pytest.raises(hstcube.HstCubeError, match="HC-N10"):
        hstcube.add_poisson(once, exposure=1200.0)
