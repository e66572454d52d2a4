"""What is said of maps, what a run hears, and where the sky comes from."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import xarray as xr
from stamps import BANDS, label_map, write_field
from strategies import plain_grid

import hstcube
from hstcube.errors import HstCubeError, HstCubeWarning
from hstcube.jobs.levels import measure_skies
from hstcube.maps.objects import map_notes, object_on
from hstcube.pipeline.options import Options, plan_sky
from hstcube.pipeline.plan import plan
from hstcube.pipeline.record import Note, heard
from hstcube.pipeline.runs import run

SIDES = {"top": (9, 4), "bottom": (0, 4), "left": (4, 0), "right": (4, 9)}


def labels_with(*places: tuple[int, int]) -> xr.DataArray:
    """Return a map of 10 by 10 pixels whose object 7 is these (y, x)."""
    values = np.zeros((10, 10), np.int32)
    for place in places:
        values[place] = 7
    return xr.DataArray(values, plain_grid((10, 10)).coords(), ("y", "x"), "labels")


def notes_of(labels: xr.DataArray) -> dict[str, str]:
    grid = hstcube.Grid.of(labels)
    return dict(map_notes(labels, [7], object_on(grid, labels, [7], grow=0), grid))


@pytest.mark.parametrize("side", SIDES)
def test_the_side_that_the_object_reaches_is_named(side: str) -> None:
    """Row 9 is the top, and column 9 the right: y grows upwards."""
    said = notes_of(labels_with(SIDES[side]))["HC-S08"]
    assert said == f"the object reaches the {side} of the frame: part of it may be missing"


def test_all_sides_that_the_object_reaches_are_named() -> None:
    assert "the top and left of" in notes_of(labels_with((9, 0)))["HC-S08"]
    assert "HC-S08" not in notes_of(labels_with((4, 4)))


@pytest.mark.filterwarnings("ignore::hstcube.errors.HstCubeWarning")
def test_a_run_tells_what_its_cube_carries(tmp_path) -> None:
    """Two targets of one field: the warnings of opening it belong to both."""
    folder = write_field(tmp_path / "data")
    targets = plan(folder, [], ["again=1:4001"], scale="60mas")
    outcomes = run(targets, tmp_path / "out", Options())
    assert [outcome.error for outcome in outcomes] == [None, None]
    for outcome in outcomes:
        cube = hstcube.open_cube(tmp_path / "out" / f"{outcome.target.name}.nc")
        assert list(map(str, outcome.notes)) == cube.attrs["warnings"].splitlines()
        assert "HC-P12" in {note.code for note in outcome.notes}


def test_warnings_are_heard_as_data_and_those_of_others_pass() -> None:
    with pytest.warns(UserWarning, match="of others"), heard() as notes:  # noqa: PT031
        for _ in range(2):
            warnings.warn(HstCubeWarning("HC-B04", "what is odd", "a field"), stacklevel=1)
        warnings.warn("of others", UserWarning, stacklevel=1)
    assert notes == [Note("HC-B04", "what is odd")]


@pytest.mark.parametrize("align", ["report", "apply"])
def test_one_scale_cannot_be_aligned(tmp_path, align) -> None:
    targets = plan(write_field(tmp_path / "data"), [], [], scale="60mas")
    with pytest.raises(HstCubeError, match="align= needs scale='mixed'") as caught:
        run(targets, tmp_path / "out", Options(align=align))
    assert caught.value.code == "HC-B22"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["sky", "noise", "layout", "align"])
def test_options_refuse_words_that_are_misspelt(name) -> None:
    with pytest.raises(HstCubeError, match="nonsense") as caught:
        Options(**{name: "nonsense"})
    assert caught.value.code == "HC-B22"


def test_where_the_sky_comes_from_is_decided_at_once(tmp_path) -> None:
    files = plan(write_field(tmp_path), [], [], scale="60mas")[0].files
    labels = hstcube.open_labels(label_map(tmp_path))
    read = plan_sky(files, BANDS, None, scale=0.06)
    assert (set(read.known), read.missing, read.origin) == ({*BANDS}, (), "from files")
    measured = plan_sky(files, BANDS, labels, scale=0.06, setting="measure")
    assert (measured.known, measured.missing) == ({}, BANDS)
    given = plan_sky(files, BANDS, None, scale=0.06, setting=2.0)
    assert {level for level, _ in given.known.values()} == {2.0}
    assert plan_sky(files, BANDS, None, scale=0.06, sky="none") is None
    with pytest.raises(HstCubeError, match="HC-K01"):
        plan_sky(files, BANDS, None, scale=0.06, sky="measure")


@pytest.mark.filterwarnings("ignore::hstcube.errors.HstCubeWarning")
def test_the_sky_of_a_bad_field_does_not_stop_the_others(tmp_path) -> None:
    folder = write_field(write_field(tmp_path / "data"), "2")
    label_map(folder, "2").unlink()
    outcomes = measure_skies(plan(folder, [], [], scale="60mas"), tmp_path / "out")
    assert [outcome.error and outcome.error.code for outcome in outcomes] == [None, "HC-K01"]
    assert outcomes[0].levels.sizes == {"band": len(BANDS)}
