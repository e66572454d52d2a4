"""Grids that are one and the same in other cards: every step takes them for what they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from made import cube_on, images_on
from strategies import plain_grid

import hstcube
from hstcube.core.grids import Grid

if TYPE_CHECKING:
    from collections.abc import Callable

    import xarray as xr

SHAPE = (24, 20)


def other_cards(grid: Grid) -> Grid:
    """Return the grid with its matrix written as PC and CDELT."""
    header = grid.header()
    matrix = {key: header.pop(key) for key in ("CD1_1", "CD1_2", "CD2_1", "CD2_2")}
    header["CDELT1"] = header["CDELT2"] = 1.0
    for key, value in matrix.items():
        header[key.replace("CD", "PC")] = value
    return Grid.from_header(header, shape=grid.shape)


GRID = plain_grid(SHAPE)
OTHER = other_cards(GRID)
IMAGE = np.ones(SHAPE, "float32")
LABELS = np.zeros(SHAPE, "int32")
LABELS[8:16, 6:14], LABELS[1:3, 1:3] = 1, 2


def on_other(values: Any) -> xr.DataArray:
    return images_on(OTHER).sci.isel(band=0, drop=True).copy(data=values).drop_attrs(deep=False)


STEPS: dict[str, Callable[[xr.Dataset], Any]] = {
    "stack_bands": lambda cube: hstcube.stack_bands([cube, cube_on(OTHER, bands=("f814w",))]),
    "mask": lambda cube: hstcube.mask(cube, on_other(IMAGE > 0)),
    "subtract_sky": lambda cube: hstcube.subtract_sky(
        cube, on_other(IMAGE).expand_dims(band=cube.band.values), again=True
    ),
    "replace_neighbours": lambda cube: hstcube.replace_neighbours(cube, on_other(LABELS)),
    "add_poisson": lambda cube: hstcube.add_poisson(cube, exposure=on_other(IMAGE)),
}


def test_the_cards_differ_and_the_place_does_not() -> None:
    assert GRID.cards != OTHER.cards
    GRID.require(OTHER, what="the two")


@pytest.mark.filterwarnings("ignore::hstcube.HstCubeWarning")
@pytest.mark.parametrize("name", STEPS)
def test_the_result_knows_its_place(name: str) -> None:
    GRID.require(Grid.of(STEPS[name](cube_on(GRID))), what="cube and result")


def test_groups_on_the_same_place_are_summed() -> None:
    groups = on_other(IMAGE.astype("int32"))
    cube = cube_on(GRID)
    assert hstcube.group_errors(cube, groups).sizes["group"] == 1
    assert len(hstcube.photometry(cube, groups)) == 1
