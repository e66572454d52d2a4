"""What `run`, `homogenize`, recipes and field files do about other sources of a map."""

from __future__ import annotations

import json

import numpy as np
import pytest
from made import code_of
from stamps import BANDS, NEIGHBOUR, SKY, label_map, sky_file, stamp, write_field

import hstcube
from hstcube.core.state import notes_of
from hstcube.pipeline.recipe import read_recipe
from hstcube.surveys.field_file import read_field_file

pytestmark = pytest.mark.filterwarnings("ignore::hstcube.HstCubeWarning")


@pytest.fixture
def folder(tmp_path):
    return write_field(tmp_path / "data")


def of_neighbour(folder, cube):
    labels = hstcube.open_labels(label_map(folder))
    return hstcube.regrid_labels(labels, hstcube.Grid.of(cube)).values == NEIGHBOUR


def steps_of(cube):
    return [
        line.split("(")[0].strip() for line in cube.history.splitlines() if "note" not in line[:5]
    ]


@pytest.mark.parametrize("how", ["replace", "subtract"])
def test_a_run_replaces_neighbours_between_the_sky_and_the_matching(call, folder, tmp_path, how):
    said = call("run", folder, "--neighbours", how, "-o", tmp_path / "out")
    assert said.code == 0, said.err
    cube = hstcube.open_cube(tmp_path / "out" / "1.nc")
    seen = of_neighbour(folder, cube)
    assert seen.any()
    assert cube.replaced.values[:, seen].all()
    assert not cube.mask.values[:, seen].any()
    steps = steps_of(cube)
    assert steps.index("subtract_sky") < steps.index("replace_neighbours")
    assert steps.index("replace_neighbours") < steps.index("psf_match")
    record = json.loads((tmp_path / "out" / "run.json").read_text())["targets"]["1"]
    assert record["options"]["neighbours"] == how
    assert any(note.startswith("HC-S50") for note in record["notes"])
    products = hstcube.open_field(tmp_path / "out", "1")
    np.testing.assert_array_equal(products.replaced, cube.replaced)


def test_a_run_masks_them_when_it_is_not_told(call, folder, tmp_path):
    assert call("run", folder, "-o", tmp_path / "a").code == 0
    assert call("run", folder, "--neighbours", "mask", "-o", tmp_path / "b").code == 0
    one, other = (hstcube.open_cube(tmp_path / name / "1.nc") for name in "ab")
    assert "replaced" not in one
    assert one.sci.values.tobytes() == other.sci.values.tobytes()
    assert "HC-S50" not in one.history


def test_photon_noise_is_added_to_what_is_left(folder):
    cube = hstcube.open_field(folder, "1")
    labels = hstcube.open_labels(label_map(folder))
    how = {"labels": labels, "sky": SKY_OF, "poisson": 1000.0}
    kept, alone = (hstcube.homogenize(cube, neighbours=n, **how) for n in ("mask", "replace"))
    assert steps_of(alone).index("replace_neighbours") < steps_of(alone).index("add_poisson")
    middle = of_neighbour(folder, cube)
    assert (alone.wht.values[2][middle] > 1.2 * kept.wht.values[2][middle]).any()
    ((_, text),) = [one for one in notes_of(alone.history) if one[0] == "HC-S50"]
    assert "of what the object's pixels hold" in text


SKY_OF = {band: SKY[band] for band in BANDS}


def test_a_recipe_says_it_and_an_option_goes_before_it(call, folder, tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('neighbours = "replace"\n')
    assert read_recipe(recipe) == {"neighbours": "replace"}
    assert call("run", folder, "--recipe", recipe, "-o", tmp_path / "a").code == 0
    assert "replaced" in hstcube.open_cube(tmp_path / "a" / "1.nc")
    how = ("--recipe", recipe, "--neighbours", "mask")
    assert call("run", folder, *how, "-o", tmp_path / "b").code == 0
    assert "replaced" not in hstcube.open_cube(tmp_path / "b" / "1.nc")
    recipe.write_text('neighbours = "remove"\n')
    assert code_of(lambda: read_recipe(recipe)) == "HC-B22"


def field_file(folder, said):
    lines = ['name = "1"']
    for band in BANDS:
        lines += [f"[bands.{band}]", f'sci = "{stamp(folder, band)}"']
        lines += [f'wht = "{stamp(folder, band, "wht")}"', f"sky = {SKY[band]}"]
        lines += [f"psf_fwhm = {0.1 + 0.05 * BANDS.index(band):.2f}"]
    lines += ["[labels]", f'path = "{label_map(folder)}"', f'neighbours = "{said}"']
    path = folder.parent / "field.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_field_file_says_it_and_an_option_goes_before_it(call, folder, tmp_path):
    path = field_file(folder, "replace")
    assert read_field_file(path).neighbours == "replace"
    said = call("run", path, "-o", tmp_path / "a")
    assert said.code == 0, said.err
    assert "replaced" in hstcube.open_cube(tmp_path / "a" / "1.nc")
    record = json.loads((tmp_path / "a" / "run.json").read_text())["targets"]["1"]
    assert record["options"]["neighbours"] == "replace"
    assert call("run", path, "--neighbours", "mask", "-o", tmp_path / "b").code == 0
    assert "replaced" not in hstcube.open_cube(tmp_path / "b" / "1.nc")
    assert code_of(lambda: read_field_file(field_file(folder, "remove"))) == "HC-B22"


def test_what_cannot_be_is_refused_before_anything_is_done(call, folder, tmp_path):
    for command in ("run", "check"):
        said = call(command, folder, "--recipe", "original", "--neighbours", "replace")
        assert said.code != 0
        assert "HC-S51" in said.out + said.err
    said = call("run", folder, "--no-mask", "--neighbours", "replace", "-o", tmp_path / "out")
    assert "HC-S16" in said.out + said.err
    assert not list((tmp_path / "out").glob("*.nc"))


def test_detected_sources_are_replaced_too(folder):
    cube = hstcube.open_field(folder, "1")
    alone = hstcube.homogenize(cube, labels="detect", sky=SKY_OF, neighbours="replace")
    seen = of_neighbour(folder, cube)
    assert alone.replaced.values[0][seen].mean() > 0.5
    assert sky_file(folder, BANDS[0]).exists()
