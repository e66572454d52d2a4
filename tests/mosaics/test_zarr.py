"""Cubes in zarr stores: as netCDF gives them back, block by block, whole or absent."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
import xarray as xr
from mosaic_images import write_images
from typer.testing import CliRunner

import hstcube
from hstcube.cli.app import app
from hstcube.errors import CubeError, FileError, WriteError
from hstcube.fits.reads import remembering
from hstcube.lazy import arrays
from hstcube.lazy.nodes import Stage
from hstcube.mosaics import stored, zarr_store

pytestmark = pytest.mark.filterwarnings("ignore::hstcube.errors.HstCubeWarning")

SKY = [1e-4, 0, 2e-4]
BLOCK = "sci/c/1/2/0"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("zarr") / "images")


@pytest.fixture(scope="module")
def whole(folder: Path) -> xr.Dataset:
    """Return a matched cube with labels, a number a band, and attributes of all kinds."""
    cube = hstcube.homogenize(hstcube.open_field(folder, "mos"), sky=SKY)
    cube = cube.assign(
        labels=(("y", "x"), np.arange(300 * 300, dtype=np.int32).reshape(300, 300)),
        depth=("band", [1.5, np.nan, np.inf]),
    )
    told = {"flag": True, "none": None, "few": [1, 2], "share": 0.1, "number": np.int64(7)}
    return cube.assign_attrs(told)


@pytest.fixture
def store(whole: xr.Dataset, tmp_path: Path) -> Path:
    return hstcube.save_cube(whole.chunk({"y": 128, "x": 128}), tmp_path / "x.zarr")


def lazily(folder: Path, **chunks: int) -> xr.Dataset:
    return hstcube.homogenize(hstcube.open_field(folder, "mos", chunks=chunks), sky=SKY)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def files(folder: Path) -> dict[str, bytes]:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@pytest.mark.slow
@pytest.mark.parametrize("blocks", [None, {"y": 128, "x": 128}, {"band": 3, "y": 77, "x": 300}])
def test_it_comes_back_as_netcdf_gives_it_back(
    whole: xr.Dataset, blocks: dict[str, int] | None, tmp_path: Path
) -> None:
    hstcube.save_cube(whole, tmp_path / "x.nc")
    hstcube.save_cube(whole.chunk(blocks) if blocks else whole, tmp_path / "x.zarr")
    expected = hstcube.open_cube(tmp_path / "x.nc")
    found = hstcube.open_cube(tmp_path / "x.zarr")
    xr.testing.assert_identical(found, expected)
    assert list(found.data_vars) == list(expected.data_vars)
    for name, variable in expected.variables.items():
        assert found[name].dtype == variable.dtype, name
    lazy = hstcube.open_cube(tmp_path / "x.zarr", chunks={"y": 100, "x": 70})
    assert lazy.sci.chunks == ((3,), (100,) * 3, (70, 70, 70, 70, 20))
    xr.testing.assert_identical(lazy.compute(), expected)
    assert names(tmp_path) == ["x.nc", "x.zarr"]


def test_other_programs_read_it(whole: xr.Dataset, store: Path) -> None:
    with xr.open_zarr(store, consolidated=False) as plain:
        for name, image in whole.data_vars.items():
            np.testing.assert_array_equal(plain[name], image)
        assert plain.sci.encoding["chunks"] == (1, 128, 128)


def test_any_cut_of_it_is_that_of_the_cube(whole: xr.Dataset, store: Path) -> None:
    lazy = hstcube.open_cube(store, chunks={"y": 100, "x": 100})
    for cut in (
        {"band": 1, "y": slice(250, 10, -7), "x": [3, 200, 5]},
        {"band": [2, 0], "y": 130, "x": slice(120, 131)},
        {"y": slice(5, 5)},
    ):
        for name in ("sci", "mask", "labels"):
            own = {dim: key for dim, key in cut.items() if dim in whole[name].dims}
            np.testing.assert_array_equal(lazy[name].isel(own), whole[name].isel(own))


@pytest.mark.slow
def test_a_lazy_mosaic_is_written_as_it_computes_each_block_once(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, asked = Stage.made, []

    def counted(self: Stage, at: Any, memo: Any) -> Any:
        asked.append((id(self), at))
        return made(self, at, memo)

    monkeypatch.setattr(Stage, "made", counted)
    cube = lazily(folder, y=150, x=150)
    hstcube.save_cube(cube, tmp_path / "x.zarr")
    assert len(asked) == len({stage for stage, _ in asked}) * 3 * 4  # bands, blocks
    monkeypatch.undo()
    xr.testing.assert_identical(hstcube.open_cube(tmp_path / "x.zarr"), cube.compute())


def test_a_lazy_store_is_read_in_regions_and_matched_as_in_memory(
    folder: Path, tmp_path: Path
) -> None:
    cube = hstcube.open_field(folder, "mos")
    hstcube.save_cube(cube, tmp_path / "x.zarr")
    lazy = hstcube.homogenize(
        hstcube.open_cube(tmp_path / "x.zarr", chunks={"band": 1, "y": 150, "x": 150}), sky=SKY
    )
    assert all(arrays.region_of(lazy[name].data) is not None for name in ("sci", "wht", "mask"))
    matched = hstcube.homogenize(cube, sky=SKY)
    off = np.abs(lazy.sci.values - matched.sci.values) * np.sqrt(matched.wht.values)
    assert np.nanmax(off) < 1e-6  # of sigma


# -- whole or absent


SLOW = """
import os, pathlib, sys, time, warnings
warnings.simplefilter("ignore")
import hstcube
from hstcube.mosaics import zarr_store
store, number = zarr_store.write_verified, 0
def slow(path, data):
    global number
    number += 1
    if number > 5:
        os.write(1, b"now\\n")  # in one piece: several threads write
        time.sleep(60)
    store(path, data)
zarr_store.write_verified = slow
cube = hstcube.open_field(sys.argv[1], "mos", chunks={"y": 100, "x": 100})
hstcube.save_cube(cube, sys.argv[2], overwrite=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("before", [False, True])
def test_a_killed_writer_leaves_what_was_there_and_the_next_one_sweeps(
    before: bool, folder: Path, whole: xr.Dataset, tmp_path: Path
) -> None:
    path = tmp_path / "x.zarr"
    if before:
        hstcube.save_cube(whole, path)
    old = files(path)
    command = [sys.executable, "-c", SLOW, str(folder), str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"now\n"
        process.send_signal(signal.SIGKILL)
    left = [name for name in names(tmp_path) if ".part-" in name]
    assert len(left) == 1
    assert files(path) == old
    # under its name, too, what was left is no store
    (tmp_path / left[0]).rename(tmp_path / "half.zarr")
    for chunks in (None, {"y": 100, "x": 100}):
        with pytest.raises(FileError) as caught:
            hstcube.open_cube(tmp_path / "half.zarr", chunks=chunks)
        assert (caught.value.code, caught.value.file) == ("HC-F36", str(tmp_path / "half.zarr"))
    (tmp_path / "half.zarr").rename(tmp_path / left[0])
    hstcube.save_cube(whole, path, overwrite=True)
    assert names(tmp_path) == ["x.zarr"]


@pytest.mark.slow
@pytest.mark.parametrize("before", [False, True])
def test_a_full_disk_leaves_what_was_there(
    before: bool, folder: Path, whole: xr.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.zarr"
    if before:
        hstcube.save_cube(whole, path)
    old, sync = files(path), os.fsync

    def full(file: int) -> None:
        if str(Path(f"/proc/self/fd/{file}").readlink()).endswith(BLOCK):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(file)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WriteError) as caught:
        hstcube.save_cube(lazily(folder, y=100, x=100), path, overwrite=True)
    assert (caught.value.code, caught.value.file) == ("HC-O02", str(path))
    time.sleep(0.2)  # threads that were at work
    assert files(path) == old
    assert names(tmp_path) == (["x.zarr"] if before else [])


def test_what_reads_back_otherwise_is_not_kept(
    whole: xr.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.read_bytes
    monkeypatch.setattr(
        Path, "read_bytes", lambda path: real(path) + b"x" * str(path).endswith("sci/c/1/0/0")
    )
    with pytest.raises(WriteError) as caught:
        hstcube.save_cube(whole, tmp_path / "x.zarr")
    assert caught.value.code == "HC-O01"
    assert names(tmp_path) == []


def test_what_json_cannot_hold_is_said(whole: xr.Dataset, tmp_path: Path) -> None:
    with pytest.raises(WriteError) as caught:
        hstcube.save_cube(whole.assign_attrs(odd=object()), tmp_path / "x.zarr")
    assert (caught.value.code, caught.value.file) == ("HC-O21", str(tmp_path / "x.zarr"))
    assert names(tmp_path) == []


def test_only_a_store_is_replaced_and_only_when_asked(
    whole: xr.Dataset, store: Path, tmp_path: Path
) -> None:
    old = files(store)
    with pytest.raises(WriteError) as caught:
        hstcube.save_cube(whole, store)
    assert (caught.value.code, caught.value.file) == ("HC-O04", str(store))
    assert files(store) == old
    other = whole.assign_attrs(title="another")
    hstcube.save_cube(other, store, overwrite=True)
    assert hstcube.open_cube(store).title == "another"
    (tmp_path / "mine.zarr").mkdir()
    (tmp_path / "mine.zarr" / "notes").write_text("mine")
    (tmp_path / "link.zarr").symlink_to(store)
    for name, code in (("mine.zarr", "HC-O01"), ("link.zarr", "HC-O05")):
        with pytest.raises(WriteError) as caught:
            hstcube.save_cube(whole, tmp_path / name, overwrite=True)
        assert caught.value.code == code
    assert files(tmp_path / "mine.zarr") == {"notes": b"mine"}


def test_a_store_that_this_job_reads_is_not_replaced(store: Path) -> None:
    with remembering():
        cube = hstcube.open_cube(store)
        with pytest.raises(WriteError) as caught:
            hstcube.save_cube(cube, store, overwrite=True)
    assert caught.value.code == "HC-O06"


def test_a_lazy_cube_may_replace_its_own_store_and_is_then_told_to_be_opened_again(
    whole: xr.Dataset, store: Path
) -> None:
    lazy = hstcube.open_cube(store, chunks={"y": 100, "x": 100})
    hstcube.save_cube(lazy, store, overwrite=True)
    np.testing.assert_array_equal(hstcube.open_cube(store).sci, whole.sci)
    with pytest.raises(FileError) as caught:
        lazy.sci.compute()
    assert caught.value.code == "HC-F32"


# -- what is damaged, foreign or too large


def spoil(store: Path, change: str) -> None:
    if change == "no marker":
        (store / zarr_store.MARKER).unlink()
    elif change.startswith("no "):
        (store / change[3:]).unlink()
    elif change.startswith("cut "):
        os.truncate(store / change[4:], 20)
    else:
        data = bytearray((store / change).read_bytes())
        data[len(data) // 2] ^= 4
        (store / change).write_bytes(data)


CHANGES = [
    ("no marker", "HC-F36"),
    ("no zarr.json", "HC-F04"),
    (f"no {BLOCK}", "HC-F05"),
    (f"cut {BLOCK}", "HC-F05"),
    ("no zeropoint/c/0", "HC-F05"),
    ("zeropoint/c/0", "HC-F05"),
    ("sci/zarr.json", "HC-F05"),
    ("wcs/zarr.json", "HC-F05"),
    ("zarr.json", "HC-F05"),
    (zarr_store.MARKER, "HC-F05"),
]


@pytest.mark.parametrize("chunks", [None, {"y": 100, "x": 100}])
@pytest.mark.parametrize(("change", "code"), CHANGES, ids=[change for change, _ in CHANGES])
def test_what_is_not_what_was_written_is_refused_when_it_is_opened(
    change: str, code: str, chunks: Any, store: Path
) -> None:
    spoil(store, change)
    with pytest.raises(FileError) as caught:
        hstcube.open_cube(store, chunks=chunks)
    assert (caught.value.code, caught.value.file) == (code, str(store))
    assert caught.value.fix


def test_a_flipped_bit_of_a_block_is_refused_when_it_is_read(store: Path) -> None:
    spoil(store, BLOCK)
    with pytest.raises(FileError) as caught:
        hstcube.open_cube(store)
    assert caught.value.code == "HC-F05"
    lazy = hstcube.open_cube(store, chunks={"y": 128, "x": 128})
    lazy.sci[0].compute()
    with pytest.raises(FileError, match=BLOCK) as caught:
        lazy.sci[1].compute()
    assert (caught.value.code, caught.value.file) == ("HC-F05", str(store))


def test_a_store_of_another_version_is_not_guessed_at(store: Path) -> None:
    line, _, data = (store / zarr_store.MARKER).read_bytes().partition(b"\n")
    data = json.dumps(json.loads(data) | {"version": 99}).encode()
    line = json.dumps({"sha256": hashlib.sha256(data).hexdigest()}).encode()
    (store / zarr_store.MARKER).write_bytes(line + b"\n" + data)
    with pytest.raises(FileError, match="99"):
        hstcube.open_cube(store)


def test_what_other_programs_wrote_is_no_cube_or_not_vouched_for(
    whole: xr.Dataset, tmp_path: Path
) -> None:
    xr.Dataset({"t": ("time", [1.0, 2.0])}).to_zarr(tmp_path / "t.zarr", consolidated=False)
    with pytest.raises(CubeError) as caught:
        hstcube.open_cube(tmp_path / "t.zarr")
    assert (caught.value.code, caught.value.file) == ("HC-C01", str(tmp_path / "t.zarr"))
    plain = whole.drop_attrs(deep=False)
    plain.to_zarr(tmp_path / "plain.zarr", consolidated=False)
    with pytest.raises(FileError) as found:
        hstcube.open_cube(tmp_path / "plain.zarr")
    assert found.value.code == "HC-F36"
    (tmp_path / "empty.zarr").mkdir()
    with pytest.raises(FileError) as found:
        hstcube.open_cube(tmp_path / "empty.zarr")
    assert found.value.code == "HC-F04"
    with pytest.raises(FileError) as found:
        hstcube.open_cube(tmp_path / "none.zarr")
    assert found.value.code == "HC-F01"


def test_one_that_is_too_large_is_opened_in_chunks(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "LARGEST", 1000)
    with pytest.raises(FileError) as caught:
        hstcube.open_cube(store)
    assert caught.value.code == "HC-F07"
    assert hstcube.open_cube(store, chunks={"y": 100, "x": 100}).sizes["y"] == 300


def test_threads_and_one_thread_write_the_same_bytes(whole: xr.Dataset, tmp_path: Path) -> None:
    lazy = whole.chunk({"y": 60, "x": 60})
    made = []
    for scheduler in ("synchronous", "threads"):
        with dask.config.set(scheduler=scheduler):
            made.append(files(hstcube.save_cube(lazy, tmp_path / f"{scheduler}.zarr")))
    marker = zarr_store.MARKER
    told = [json.loads(one.pop(marker).partition(b"\n")[2]) for one in made]
    assert told[0] == told[1]
    assert made[0] == made[1]


def test_commands_take_a_store_as_a_saved_cube(store: Path, tmp_path: Path) -> None:
    said = CliRunner().invoke(app, ["phot", str(store), "-o", str(tmp_path / "x.ecsv")])
    assert said.exit_code == 0, said.output
    assert "f814w" in (tmp_path / "x.ecsv").read_text()
