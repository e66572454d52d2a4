"""Runs that leave one file a field: netCDF alone."""

from __future__ import annotations

import json

import pytest
import xarray as xr
from stamps import write_field

import hstcube
from hstcube.errors import RecipeError
from hstcube.pipeline.options import Options

BANDS = ("f850lp", "f160w")
RECORD = {"run.json", "run.jsonl", "summary.ecsv"}


@pytest.fixture
def folder(tmp_path):
    for name in ("1", "2"):
        write_field(tmp_path / "images", name, bands=BANDS)
    return tmp_path / "images"


def names(folder):
    return {path.name for path in folder.iterdir()} - RECORD


@pytest.mark.parametrize("recipe", ["default", "original"])
def test_it_holds_the_cube_that_goes_with_the_fits_files(folder, tmp_path, recipe):
    alone, beside = tmp_path / "alone", tmp_path / "beside"
    how = {"recipe": {"recipe": recipe}}
    assert [*hstcube.run_fields(folder, alone, layout="netcdf", **how)["status"]] == ["ok", "ok"]
    hstcube.run_fields(folder, beside, **how)
    assert names(alone) == {"1.nc", "2.nc"}
    for name in ("1", "2"):
        cube = hstcube.open_cube(alone / f"{name}.nc")
        xr.testing.assert_identical(cube, hstcube.open_cube(beside / f"{name}.nc"))
        sets = [json.loads((out / "run.json").read_text()) for out in (alone, beside)]
        one, other = (told["targets"][name] for told in sets)
        assert (one["set"], one["pixels"]) == (other["set"], other["pixels"])
        assert [*one["sha256"]] == one["outputs"] == [f"{name}.nc"]


def test_it_is_done_once_and_made_again_where_it_was_spoilt(folder, tmp_path):
    out, how = tmp_path / "out", {"layout": "netcdf", "resume": True}
    hstcube.run_fields(folder, out, **how)
    assert [*hstcube.run_fields(folder, out, **how)["status"]] == ["before", "before"]
    (out / "2.nc").unlink()
    assert [*hstcube.run_fields(folder, out, **how)["status"]] == ["before", "ok"]
    (out / "1.nc").write_bytes(b"somebody's")
    table = hstcube.run_fields(folder, out, **how)
    assert [*table["code"]] == ["HC-O04", ""]
    assert (out / "1.nc").read_bytes() == b"somebody's"


def test_without_netcdf_it_is_no_choice():
    with pytest.raises(RecipeError) as caught:
        Options(layout="netcdf", netcdf=False)
    assert caught.value.code == "HC-B22"
    assert "netcdf" not in caught.value.fix


def test_a_field_in_blocks_becomes_one_file_a_band(folder, tmp_path):
    out, how = tmp_path / "out", {"layout": "netcdf", "chunks": 64, "resume": True}
    table = hstcube.run_fields(folder, out, fields=["1"], **how)
    assert "HC-O33" in table["warnings"][0]
    assert names(out) == {f"1_{band}.fits" for band in BANDS}
    assert [*hstcube.run_fields(folder, out, fields=["1"], **how)["status"]] == ["before"]
