"""What a map of groups is: the same for every function that takes one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import xarray as xr
from everything import World

import hstcube
from hstcube.errors import HstCubeError, HstCubeWarning
from hstcube.phot.bins import group_snr

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.filterwarnings("ignore:.*(HC-B04|HC-S04|HC-K13|HC-P12)")

TAKES: dict[str, Callable[[World, Any], Any]] = {
    "photometry": lambda world, map_: hstcube.photometry(world.cube, map_)["flux_f160w"].value,
    "group_errors": lambda world, map_: hstcube.group_errors(world.cube, map_).values,
    "group_snr": lambda world, map_: group_snr(world.cube, map_).values,
    "paint": lambda world, map_: hstcube.paint(world.cube, map_, {1: 2.0, 2: 3.0}).values,
    "to_sed": lambda world, map_: next(
        path
        for path in hstcube.to_sed(world.cube, "eazy", next(world.out), groups=map_)
        if path.name == "catalogue.cat"
    ).read_text(),
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    world = World(tmp_path_factory.mktemp("groups"))
    assert world.cube is not None
    return world


@pytest.fixture(scope="module")
def squares(world: World) -> Any:
    """Two squares, 1 and 2."""
    found = np.zeros(world.grid.shape, np.int32)
    found[20:26, 20:26], found[30:36, 30:38] = 1, 2
    return found


def on_cube(world: World, values: Any) -> xr.DataArray:
    return xr.DataArray(values, {name: world.cube[name] for name in ("y", "x", "wcs")}, ("y", "x"))


@pytest.mark.parametrize("name", TAKES)
def test_all_types_of_whole_numbers_are_one_map(world: World, squares: Any, name: str) -> None:
    expected = TAKES[name](world, squares)
    others = [squares.astype(kind) for kind in ("u1", "u2", "u4", "u8", "i1", "i2", "i8", ">i4")]
    others += [on_cube(world, squares), on_cube(world, squares).transpose("x", "y")]
    others += [np.ma.array(squares, mask=False), squares.tolist()]
    for other in others:
        np.testing.assert_array_equal(TAKES[name](world, other), expected)


@pytest.mark.parametrize("name", TAKES)
def test_a_mask_is_one_group(world: World, squares: Any, name: str) -> None:
    expected = TAKES[name](world, (squares == 1).astype(int))
    for mask in (squares == 1, on_cube(world, squares == 1), np.ma.array(squares == 1, mask=False)):
        np.testing.assert_array_equal(TAKES[name](world, mask), expected)


@pytest.mark.parametrize("name", TAKES)
def test_masked_pixels_are_in_no_group(world: World, squares: Any, name: str) -> None:
    masked = np.ma.array(np.where(squares == 0, 1, squares), mask=squares == 0)
    np.testing.assert_array_equal(TAKES[name](world, masked), TAKES[name](world, squares))


@pytest.mark.parametrize("name", TAKES)
@pytest.mark.parametrize(
    ("made", "code", "words"),
    [
        (lambda map_: map_ * 1.0, "HC-N01", "astype('int32')"),
        (lambda map_: np.where(map_ > 0, map_, np.nan), "HC-N01", "astype('int32')"),
        (lambda map_: map_.astype("U1"), "HC-N01", "int32"),
        (lambda map_: map_[None], "HC-N01", "(y, x)"),
        (lambda map_: map_[1:], "HC-D01", ""),
        (lambda map_: map_ * 0, "HC-N02", ""),
        (lambda map_: map_.astype("u8") * 2**63, "HC-N01", "anew"),
        (lambda _: None, "HC-N01", "apertures"),
        (lambda _: 1, "HC-N01", "apertures"),
    ],
)  # fmt: skip
def test_what_is_no_map_is_refused_in_one_way(
    world: World, squares: Any, name: str, made: Callable[[Any], Any], code: str, words: str
) -> None:
    if name == "to_sed" and made(squares) is None:
        pytest.skip("None is the whole mask there")
    with pytest.raises(HstCubeError) as caught:
        TAKES[name](world, made(squares))
    assert caught.value.code == code
    assert words in str(caught.value)


def test_bins_numbered_from_0_are_told_of_and_taken_with_first(world: World, squares: Any) -> None:
    """Vorbin and powerbin number bins from 0; pixels outside are -1 in a map of theirs."""
    theirs = squares - 1
    with pytest.warns(HstCubeWarning, match="HC-N12") as told:
        hstcube.photometry(world.cube, theirs)
    assert "first=0" in str(told[0].message)
    table = hstcube.photometry(world.cube, theirs, first=0)
    expected = hstcube.photometry(world.cube, squares)
    assert table["id"].tolist() == [0, 1]
    for name in expected.colnames[1:]:
        np.testing.assert_array_equal(table[name], expected[name])
    errors = hstcube.group_errors(world.cube, theirs, first=0)
    assert errors.group.values.tolist() == [0, 1]
    painted = hstcube.paint(world.cube, theirs, {0: 5.0, 1: 6.0}, first=0).values
    np.testing.assert_array_equal(painted, hstcube.paint(world.cube, squares, [5.0, 6.0]).values)


def test_a_segmentation_map_is_not_taken_for_bins(world: World, squares: Any) -> None:
    sky = squares.copy()
    sky[:5] = -1  # not covered
    hstcube.photometry(world.cube, sky)  # a warning would be an error
