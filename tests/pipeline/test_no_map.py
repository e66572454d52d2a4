"""Fields without a map: detected sources, regions, maps that were interpolated, and ways out."""

from __future__ import annotations

import builtins
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made import code_of
from stamps import label_map, write_field

import hstcube
from hstcube.errors import HstCubeError
from hstcube.maps.objects import object_on
from hstcube.maps.regions import open_regions
from hstcube.pipeline.recipe import blank_pixels
from hstcube.sky.masks import repaired

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore::hstcube.errors.HstCubeWarning")


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """Return a field without map and levels."""
    return write_field(tmp_path / "bare", shape=(80, 80), labels=False, sky=False)


def centre_of(cube) -> tuple[float, float]:
    ny, nx = cube.sizes["y"], cube.sizes["x"]
    sky = hstcube.Grid.of(cube).wcs.pixel_to_world((nx - 1) / 2, (ny - 1) / 2)
    return float(sky.ra.deg), float(sky.dec.deg)


# -- sources that are detected


def test_the_word_detect_is_what_detect_gives(bare):
    cube = hstcube.open_field(bare, "1")
    labels = hstcube.detect(cube)
    by_word = hstcube.homogenize(cube, labels="detect", grow=0)
    by_map = hstcube.homogenize(cube, labels=labels, grow=0)
    assert by_word.identical(by_map)
    assert "HC-S40" in by_word.attrs["history"]
    level = hstcube.measure_sky(cube, background=labels == 0)
    np.testing.assert_array_equal(by_word.sky.values, level.values)
    seen = (hstcube.object_mask(labels) & (cube.wht > 0)).transpose("band", "y", "x")
    np.testing.assert_array_equal(by_word.mask.values, seen.values)
    assert code_of(lambda: hstcube.homogenize(cube, labels="detected")) == "HC-B22"


def test_what_the_messages_name_is_a_way_out(bare, tmp_path, call: Callable):
    """HC-S16 and HC-K01 name it; done as they say, the run, the sky and the check go through."""
    for command, code in (
        (("run", bare, "-o", tmp_path / "a"), "HC-S16"),
        (("run", bare, "-o", tmp_path / "n", "--no-mask"), "HC-K01"),
        (("sky", bare, "-o", tmp_path / "b"), "HC-K01"),
        (("check", bare), "HC-S16"),
    ):
        said = call(*command)
        told = said.out + said.err
        assert said.code == 3
        assert code in told
        assert "--labels detect" in " ".join(told.split())
        assert call(*command, "--labels", "detect").code == 0
    with pytest.raises(HstCubeError, match='labels="detect"'):
        hstcube.homogenize(hstcube.open_field(bare, "1"))
    record = json.loads((tmp_path / "a" / "run.json").read_text())
    assert "measured beside detected sources" in str(record)
    assert not any("detect" in name for name in record["targets"]["1"]["inputs"])


def test_maps_that_are_written_are_read_by_the_run(bare, tmp_path, call: Callable):
    maps = tmp_path / "maps"
    assert call("detect", bare, "-o", maps).code == 0
    (path,) = maps.iterdir()
    found = hstcube.detect(hstcube.open_field(bare, "1"))
    np.testing.assert_array_equal(hstcube.open_labels(path).values, found.values)
    for name, labels in (("a", maps), ("b", "detect")):
        assert call("run", bare, "-o", tmp_path / name, "--labels", labels).code == 0
    one, other = (hstcube.open_cube(tmp_path / name / "1.nc") for name in "ab")
    np.testing.assert_array_equal(one.mask.values, other.mask.values)
    np.testing.assert_array_equal(one.sci.values, other.sci.values)
    assert call("detect", bare, "-o", maps).code != 0  # it is there
    assert call("detect", bare, "-o", maps, "--snr", 50, "--overwrite").code == 0


def test_a_map_of_detected_sources_keeps_what_has_no_data(tmp_path):
    from hstcube.jobs.maps import map_bytes

    cube = hstcube.open_field(write_field(tmp_path / "field"), "1")
    wht = cube.wht.copy(data=np.where(np.indices(cube.sci.shape)[1] < 9, 0, cube.wht.values))
    labels = hstcube.detect(cube.assign(wht=wht, mask=wht > 0))
    (tmp_path / "map.fits").write_bytes(map_bytes(labels))
    assert (labels.values[:9] == -1).all()
    np.testing.assert_array_equal(hstcube.open_labels(tmp_path / "map.fits").values, labels.values)


def test_a_detected_map_has_no_grid_of_its_own(bare, tmp_path, call: Callable):
    said = call("run", bare, "-o", tmp_path / "a", "--labels", "detect", "--onto", "labels")
    assert said.code == 3
    assert "HC-S16" in said.err
    said = call("cutout", bare, "--catalogue", "x", "-o", tmp_path / "c", "--labels", "detect")
    assert said.code == 2


# -- maps that were interpolated


def labels_of(values):
    grid = hstcube.Grid.around((53.16, -27.78), np.shape(values)[0] * 0.06, scale=0.06)
    coords = grid.coords()
    import xarray as xr

    return xr.DataArray(np.asarray(values, np.int32), coords, ("y", "x"), "labels")


def test_pixels_between_get_the_label_of_most_neighbours():
    values = np.zeros((9, 9), int)
    values[:, 5:] = 7
    values[:, 4] = -2
    values[0, 0] = -2
    mended = repaired(labels_of(values))
    assert mended.attrs["repaired"] == 10
    assert mended.values[0, 0] == 0
    assert (mended.values[:, 4] == 7).all()  # as many of each: what holds light is no sky
    wide = values.copy()
    wide[:, 2:5] = -2
    assert (repaired(labels_of(wide)).values >= 0).all()
    nothing = labels_of(np.full((4, 4), -2))
    np.testing.assert_array_equal(repaired(nothing).values, nothing.values)


@given(
    seed=st.integers(0, 999),
    share=st.floats(0, 0.4),
)
def test_only_what_was_interpolated_is_repaired(seed, share):
    rng = np.random.default_rng(seed)
    values = rng.choice([0, 0, 0, 3, 8, -1], (12, 12))
    values[rng.random(values.shape) < share] = -2
    mended = repaired(labels_of(values)).values
    whole = values != -2
    np.testing.assert_array_equal(mended[whole], values[whole])
    assert set(np.unique(mended)) <= set(np.unique(values))


def test_a_map_is_repaired_in_the_default_recipe_only_and_the_count_is_told(tmp_path):
    folder = write_field(tmp_path / "field", shape=(80, 80))
    cube, labels = hstcube.open_field(folder, "1"), hstcube.open_labels(label_map(folder))
    number = labels.attrs["interpolated"]
    assert number > 0
    grid = hstcube.Grid.of(cube)
    plain = object_on(grid, labels, (), recipe="original").values.sum()
    assert object_on(grid, labels, ()).values.sum() > plain
    default = hstcube.homogenize(cube, labels=labels)
    assert f"HC-S04 {number} of the map's pixels" in str(default.attrs)
    original = hstcube.homogenize(cube, labels=labels, recipe="original")
    assert original.mask.values[0].sum() == plain
    assert "HC-S04" not in str(original.attrs)
    # what holds light is no blank sky
    raw = hstcube.regrid_labels(labels, grid).values == 0
    np.testing.assert_array_equal(blank_pixels(labels, grid).values, raw)


# -- regions


def written(path, *lines):
    path.write_text("\n".join(["# Region file format: DS9 version 4.1", *lines]) + "\n")
    return path


def test_sky_and_image_coordinates_are_one_region_and_holes_are_left_out(bare, tmp_path):
    cube = hstcube.open_field(bare, "1")
    grid = hstcube.Grid.of(cube)
    ra, dec = centre_of(cube)
    ny, nx = grid.shape
    sky = written(tmp_path / "a.reg", "icrs", f'circle({ra},{dec},0.9")')
    image = written(tmp_path / "b.reg", "image", f"circle({(nx + 1) / 2},{(ny + 1) / 2},15)")
    a, b = (open_regions(path, grid).values for path in (sky, image))
    assert np.mean(a != b) < 0.005  # the rim
    assert a.sum() == pytest.approx(np.pi * 15**2, rel=0.02)
    holed = written(
        tmp_path / "c.reg", "icrs", f'circle({ra},{dec},0.9")', f'-circle({ra},{dec},0.3")'
    )
    c = open_regions(holed, grid).values
    assert c[ny // 2, nx // 2] == 0
    assert c.sum() == pytest.approx(np.pi * (15**2 - 5**2), rel=0.03)


def test_regions_are_numbered_by_their_texts_or_by_their_order(bare, tmp_path):
    grid = hstcube.Grid.of(hstcube.open_field(bare, "1"))
    lines = ["circle(20,20,5)", "box(60,60,9,9,30)"]
    numbered = written(tmp_path / "a.reg", "image", *lines)
    named = written(
        tmp_path / "b.reg", "image", f"{lines[0]} # text={{24353}}", f"{lines[1]} # text={{7}}"
    )
    assert open_regions(numbered, grid).values[19, 19] == 1
    assert open_regions(numbered, grid).values[59, 59] == 2
    assert open_regions(named, grid).values[19, 19] == 24353
    assert open_regions(named, grid).values[59, 59] == 7


def test_a_run_takes_regions_for_object_and_leaves_others_out(bare, tmp_path, call: Callable):
    cube = hstcube.open_field(bare, "1")
    ra, dec = centre_of(cube)
    object_ = written(tmp_path / "o.reg", "icrs", f'circle({ra},{dec},0.9")')
    hole = written(tmp_path / "h.reg", "icrs", f'circle({ra},{dec},0.3")')
    out = [tmp_path / name for name in "abc"]
    assert call("run", bare, "-o", out[0], "--labels", object_).code == 0
    said = call("run", bare, "-o", out[1], "--labels", object_, "--exclude", hole, "--ids", "1=1")
    assert said.code == 0
    whole, holed = (hstcube.open_cube(one / "1.nc").mask.values[-1] for one in out[:2])
    assert whole[40, 40]
    assert not holed[40, 40]
    assert 60 < whole.sum() - holed.sum() < 90
    assert str(hole) in (out[1] / "run.json").read_text()
    assert call("check", bare, "--labels", object_).code == 0
    said = call("run", bare, "-o", out[2], "--no-mask", "--sky", "none", "--exclude", hole)
    assert said.code == 0
    assert not hstcube.open_cube(out[2] / "1.nc").mask.values[-1][40, 40]


def test_sources_in_no_region_are_no_blank_sky(bare, tmp_path):
    from hstcube.maps.opening import open_segmentation

    cube = hstcube.open_field(bare, "1")
    region = written(tmp_path / "a.reg", "image", "circle(5,5,4)")
    labels = open_segmentation(region, cube)
    seen = hstcube.detect(cube, deblend=False).values > 0
    assert (labels.values[seen & (labels.values != 1)] < 0).all()
    assert set(np.unique(labels.values)) == {-3, 0, 1}


@pytest.mark.parametrize(
    "lines", [("hello",), ("icrs", "circle(10,-80,1)"), ("image", "circle(5,5"), ()]
)
def test_files_that_hold_no_region_of_the_images_are_refused(bare, tmp_path, lines):
    grid = hstcube.Grid.of(hstcube.open_field(bare, "1"))
    path = written(tmp_path / "a.reg", *lines)
    assert code_of(lambda: open_regions(path, grid)) == "HC-S42"


def test_without_the_package_the_message_says_what_to_install(bare, tmp_path, monkeypatch):
    grid = hstcube.Grid.of(hstcube.open_field(bare, "1"))
    path = written(tmp_path / "a.reg", "image", "circle(20,20,5)")
    real = builtins.__import__

    def lacking(name, *rest, **named):
        if name == "regions":
            raise ImportError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", lacking)
    with pytest.raises(HstCubeError, match=r"HC-S41(.|\n)*pip install"):
        open_regions(path, grid)
