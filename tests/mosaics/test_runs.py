"""Runs that make fields in blocks: the same files as of whole images."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from stamps import write_field

import hstcube
from hstcube.pipeline import options
from hstcube.pipeline.options import Options
from hstcube.pipeline.plan import plan

BANDS = ("f850lp", "f160w")


@pytest.fixture
def folder(tmp_path):
    write_field(tmp_path / "images", "1", bands=BANDS)
    return tmp_path / "images"


@pytest.mark.parametrize("layout", ["files", "mef"])
@pytest.mark.parametrize("recipe", ["default", "original"])
def test_blocks_change_nothing_but_that_there_is_no_netcdf(folder, tmp_path, recipe, layout):
    how = {"recipe": {"recipe": recipe}, "layout": layout}
    whole = hstcube.run_fields(folder, tmp_path / "whole", chunks=None, **how)
    blocks = hstcube.run_fields(folder, tmp_path / "blocks", chunks=64, **how)
    assert blocks["pixels"].tolist() == whole["pixels"].tolist()
    told = {*blocks["warnings"][0].split()} - {*whole["warnings"][0].split()}
    assert told == {"HC-O33"}
    names = sorted(path.name for path in (tmp_path / "whole").glob("*.fits"))
    assert names == sorted(path.name for path in (tmp_path / "blocks").glob("*.fits"))
    for name in names:
        with (
            fits.open(tmp_path / "whole" / name) as one,
            fits.open(tmp_path / "blocks" / name) as other,
        ):
            for a, b in zip(one, other, strict=True):
                if a.data is not None:
                    np.testing.assert_allclose(a.data, b.data, rtol=1e-6, atol=1e-9)
    assert set(hstcube.run_fields(folder, tmp_path / "blocks", chunks=64, **how)["status"]) == {
        "before"
    }


def test_blocks_are_chosen_by_the_memory(folder, monkeypatch):
    (target,) = plan(folder, [], [])
    files = target.files
    size = sum(path.stat().st_size for path in folder.rglob("1_60mas_*.fits"))
    monkeypatch.setattr(options, "physical_memory", lambda: 4 * size + 4)
    assert Options().blocks_for(files) is None
    monkeypatch.setattr(options, "physical_memory", lambda: 4 * size - 4)
    assert Options().blocks_for(files) == {}
    assert Options(bands=BANDS[:1]).blocks_for(files) is None
    assert Options(chunks=None).blocks_for(files) is None
    assert Options(chunks=512).blocks_for(files) == {"y": 512, "x": 512}


@pytest.mark.parametrize("chunks", ["none", 5, 100.5, True])
def test_blocks_of_no_size_are_refused(chunks):
    with pytest.raises(hstcube.HstCubeError):
        Options(chunks=chunks)
