"""Noise that no table knows, measured on a field's own blank sky: as true, told, and only there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

import hstcube
from hstcube.core.state import notes_of
from hstcube.demo.field import IR_RMS, IR_TAP, simulate
from hstcube.errors import HstCubeWarning
from hstcube.pipeline.findings import examine
from hstcube.pipeline.options import Options
from hstcube.pipeline.plan import plan
from hstcube.pipeline.runs import run
from hstcube.pipeline.sources import labels_of, with_own_noise
from hstcube.regridding.labels import regrid_labels

if TYPE_CHECKING:
    from pathlib import Path

    import xarray as xr

    from hstcube.pipeline.plan import Target

BANDS = ("f606w", "f160w")


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Target:
    folder = tmp_path_factory.mktemp("noise")
    simulate(folder)
    return plan(folder, [], [], scale="60mas")[0]


@pytest.fixture(scope="module")
def folder(target: Target) -> Path:
    return target.files.labels.parents[1]


@pytest.fixture(scope="module")
def cube(folder: Path) -> xr.Dataset:
    return hstcube.open_field(folder, "demo", bands=BANDS)


def codes(cube: xr.Dataset) -> set[str]:
    return {code for code, _ in notes_of(cube.attrs["history"])}


def test_the_noise_is_found_that_was_put_in(target: Target, cube: xr.Dataset) -> None:
    """To 8 %, as `calibrate_noise` says of a stamp of 3000 blank pixels, and 0.1 in correlations.

    White in ACS; in the IR white noise was convolved with [p, 1, p] both ways.
    """
    found = with_own_noise(cube, labels_of(target.files, cube))
    assert found.noise_scale.values == pytest.approx([1, IR_RMS], rel=0.08)
    middle = [size // 2 for size in found.noise_acf.shape[1:]]
    acs, infrared = found.noise_acf.values[:, middle[0] :, middle[1] :]
    along = np.array([1, 2 * IR_TAP, IR_TAP**2]) / np.array([1, *2 * [1 + 2 * IR_TAP**2]])
    assert infrared[:3, :3] == pytest.approx(np.outer(along, along), abs=0.1)
    assert acs[:3, :3] == pytest.approx(np.outer([1, 0, 0], [1, 0, 0]), abs=0.05)
    assert {"HC-N24"} == codes(found) & {"HC-N20", "HC-N24"}
    for name in ("sci", "wht", "mask"):
        np.testing.assert_array_equal(found[name].values, cube[name].values)


@pytest.mark.slow
def test_a_run_that_measures_it_gives_errors_that_hold(target: Target, tmp_path: Path) -> None:
    scatter = {}
    for measured in (False, True):
        out = tmp_path / str(measured)
        (outcome,) = run([target], out, Options(bands=BANDS, measure_noise=measured))
        assert outcome.error is None
        made = hstcube.open_cube(out / "demo.nc")
        blank = regrid_labels(labels_of(target.files, made), hstcube.Grid.of(made))
        table = hstcube.noise_check(made, background=blank)
        pixels = table[(table["band"] == "f160w") & (table["size"] <= 3)]
        scatter[measured] = np.array(pixels["ratio"])
    assert scatter[True] == pytest.approx(1, abs=0.1)
    assert scatter[False].max() < 0.95
    assert scatter[False].min() < 0.6


def test_what_is_known_is_not_measured(cube: xr.Dataset, target: Target) -> None:
    known = hstcube.with_noise(cube, "white").assign_attrs(history="open_field")
    assert with_own_noise(known, labels_of(target.files, cube)) is known


def test_a_table_goes_before_what_a_stamp_says(xdf: Path) -> None:
    cube = hstcube.open_field(xdf, "3")
    labels = hstcube.open_labels(xdf / "segment_maps" / "udf_mosaic_3_HST_SEGMAP.fits")
    assert with_own_noise(cube, labels) is cube


def test_without_blank_sky_it_stays_white_and_says_so(cube: xr.Dataset) -> None:
    full = hstcube.object_mask(cube.isel(band=0).wht >= 0, 1).astype("int32")
    with pytest.warns(HstCubeWarning, match="HC-N25 the noise is taken as white.*pixels are blank"):
        found = with_own_noise(cube, full)
    assert "noise_scale" not in found.coords
    assert "HC-N20" in codes(found)


def test_where_other_bands_are_known_it_stays_white_and_says_so(
    cube: xr.Dataset, target: Target
) -> None:
    known = hstcube.with_noise(cube, "white")  # as a stack of both kinds has it
    with pytest.warns(HstCubeWarning, match="HC-N25 .* other bands is known"):
        found = with_own_noise(known, labels_of(target.files, cube))
    np.testing.assert_array_equal(found.noise_scale.values, known.noise_scale.values)


def test_on_other_pixels_it_is_that_of_those_pixels(cube: xr.Dataset, target: Target) -> None:
    moved = hstcube.regrid(cube, hstcube.Grid.around((53.16, -27.78), 5.0, 0.06, angle=10))
    labels = labels_of(target.files, moved)
    found = with_own_noise(moved, labels)
    table = hstcube.noise_check(found, background=regrid_labels(labels, hstcube.Grid.of(moved)))
    assert np.array(table["ratio"][table["size"] <= 3]) == pytest.approx(1, abs=0.1)


def test_check_says_what_a_run_would_measure(target: Target) -> None:
    said = {one.code for one in examine(target, Options(measure_noise=True)).of("note")}
    assert {"HC-N24"} == said & {"HC-N20", "HC-N24"}
    said = {one.code for one in examine(target, Options()).of("note")}
    assert {"HC-N20"} == said & {"HC-N20", "HC-N24"}
