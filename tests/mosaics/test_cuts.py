"""Pieces cut out of images that dask holds: as numpy cuts them, and no more is read for them."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
import pytest
from mosaic_images import SIDE, write_images

import hstcube
from hstcube.fits import local

if TYPE_CHECKING:
    from pathlib import Path

    import xarray as xr

CUTS: tuple[Any, ...] = (
    (slice(None), slice(120, 190), slice(90, 161)),
    (slice(None), slice(-60, -1), slice(None, 40)),
    (slice(1, 3), slice(7, 8), slice(None)),
    (slice(None, None, -1), slice(100, 250), slice(100, 250)),
    (np.int64(1), slice(100, 250), slice(250, 400)),
    (-1, slice(0, 300), slice(299, 300)),
    (slice(None), slice(0, 300, 7), slice(10, 20)),  # from here on as dask cuts
    (slice(None), slice(20, 10, -1), slice(10, 20)),
    (slice(None), slice(20, 10), slice(10, 20)),
    (slice(None), 17, slice(10, 20)),
    (slice(None), [3, 200, 5], slice(10, 20)),
    (slice(None), slice(None), slice(None)),
    (..., slice(10, 20)),
    1,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("cuts") / "images")


@pytest.fixture
def lazy(folder: Path) -> xr.Dataset:
    return hstcube.open_field(folder, "mos", chunks={"y": 128, "x": 77})


@pytest.mark.slow
@pytest.mark.parametrize("index", CUTS, ids=str)
def test_pieces_are_those_that_numpy_cuts(folder: Path, lazy: xr.Dataset, index: Any) -> None:
    whole = hstcube.open_field(folder, "mos")
    for name in ("sci", "wht", "mask"):
        found = lazy[name].data[index]
        expected = whole[name].values[index]
        assert found.shape == expected.shape
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found.compute(), expected)


def test_a_cut_reads_its_own_pixels_alone(
    lazy: xr.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []

    def noted(self: Any, key: Any) -> Any:
        made = given(self, key)
        read.append(made.size)
        return made

    given = local.Stored.__getitem__
    monkeypatch.setattr(local.Stored, "__getitem__", noted)
    lazy.sci[:, 130:140, 80:110].compute()
    assert sum(read) == 3 * 2 * 10 * 30  # bands, sci and wht
    read.clear()
    lazy.isel(y=slice(120, 130), x=slice(75, 78)).compute()
    assert sum(read) == 3 * 2 * 10 * 3 * 3  # sci, wht and mask each look at both


@pytest.mark.slow
def test_a_cut_is_matched_as_the_same_cut_in_memory_is(folder: Path, lazy: xr.Dataset) -> None:
    at = {"y": slice(60, 240), "x": slice(20, SIDE)}
    found = hstcube.homogenize(lazy.isel(at), sky=[0.0] * 3)
    whole = hstcube.homogenize(hstcube.open_field(folder, "mos").isel(at), sky=[0.0] * 3)
    np.testing.assert_array_equal(found.mask.values, whole.mask.values)
    off = np.abs(found.sci.values - whole.sci.values) * np.sqrt(whole.wht.values)
    assert np.nanmax(off) < 1e-6
    assert np.allclose(found.coverage, whole.coverage, atol=1e-6)


@pytest.mark.slow
def test_a_cut_of_a_matched_cube_is_that_of_the_whole(lazy: xr.Dataset) -> None:
    found = hstcube.homogenize(lazy, sky=[0.0] * 3)
    at = {"y": slice(100, 180), "x": slice(130, 170)}
    whole, cut = found.compute().isel(at), found.isel(at)
    for name in ("sci", "wht", "mask", "coverage"):
        np.testing.assert_allclose(cut[name].values, whole[name].values, rtol=1e-5, atol=1e-9)


def test_what_can_be_cut_goes_to_other_processes(lazy: xr.Dataset) -> None:
    plane = lazy.sci.data
    again = pickle.loads(pickle.dumps(plane))
    assert isinstance(again, da.Array)
    np.testing.assert_array_equal(again[:, 3:9, 2:8].compute(), plane[:, 3:9, 2:8].compute())
