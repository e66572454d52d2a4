"""netCDF that says when it is damaged, and that threads cannot crash."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections import Counter
from random import Random
from typing import TYPE_CHECKING

import netCDF4
import numpy as np
import pytest
import xarray as xr
from stamps import write_field

import hstcube
from hstcube.errors import FileError
from hstcube.files import netcdf

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore::hstcube.errors.HstCubeWarning")


@pytest.fixture
def cube(tmp_path: Path) -> xr.Dataset:
    return hstcube.open_field(write_field(tmp_path / "stamps"), "1")


def outcome(path: Path, cube: xr.Dataset) -> str:
    """Say what came out of a file: the cube, vouched for or not, another, or an error."""
    try:
        found, vouched = netcdf.read(path)
    except (FileError, OSError, RuntimeError, ValueError) as error:
        return type(error).__name__
    except Exception as error:
        return f"unexpected {type(error).__name__}"
    same = found.identical(cube)
    return ("the cube" if same else "another") + (" vouched for" if vouched else "")


def test_a_cube_comes_back_and_is_vouched_for(cube: xr.Dataset, tmp_path: Path) -> None:
    assert netcdf.write(cube, tmp_path / "cube.nc")
    assert outcome(tmp_path / "cube.nc", cube) == "the cube vouched for"
    with xr.open_dataset(tmp_path / "cube.nc") as plain:  # and for who has no hstcube
        np.testing.assert_array_equal(plain.sci, cube.sci)


def test_a_cube_from_zarr_is_written_like_any_other(cube: xr.Dataset, tmp_path: Path) -> None:
    cube.to_zarr(tmp_path / "cube.zarr", consolidated=False)
    again = xr.open_zarr(tmp_path / "cube.zarr", consolidated=False).load()
    assert netcdf.write(again, tmp_path / "cube.nc")
    assert outcome(tmp_path / "cube.nc", cube) == "the cube vouched for"


def test_no_flipped_bit_is_silent(cube: xr.Dataset, tmp_path: Path) -> None:
    netcdf.write(cube, tmp_path / "cube.nc")
    data, draw = (tmp_path / "cube.nc").read_bytes(), Random(2030)
    seen: Counter[str] = Counter()
    for _ in range(150):
        damaged = bytearray(data)
        bit = draw.randrange(8 * len(data))
        damaged[bit // 8] ^= 1 << bit % 8
        (tmp_path / "damaged.nc").write_bytes(damaged)
        seen[outcome(tmp_path / "damaged.nc", cube)] += 1
    assert not {kind for kind in seen if "another" in kind or "unexpected" in kind}, seen
    assert seen["FileError"] > 0


def edit(path: Path, change: str) -> None:
    with netCDF4.Dataset(path, "a") as file:
        file.set_auto_maskandscale(False)
        if change == "pixel":
            file.variables["sci"][0, 5, 5] = 77.0
        elif change == "coordinate":
            file.variables["zeropoint"][0] = 20.0
        elif change == "unit":
            file.variables["sci"].units = "nJy"
        elif change == "card":
            file.variables["wcs"].CRVAL1 = 10.0
        elif change == "attribute":
            file.field = "2"
        elif change == "digests":
            file.setncattr(netcdf.DIGESTS, "{")


@pytest.mark.parametrize("change", ["pixel", "coordinate", "unit", "card", "attribute", "digests"])
def test_an_edit_is_found_wherever_it_is(change: str, cube: xr.Dataset, tmp_path: Path) -> None:
    netcdf.write(cube, tmp_path / "cube.nc")
    edit(tmp_path / "cube.nc", change)
    with pytest.raises(FileError) as caught:
        netcdf.read(tmp_path / "cube.nc")
    assert caught.value.code == "HC-F05"


def test_a_file_without_digests_opens_and_is_not_vouched_for(
    cube: xr.Dataset, tmp_path: Path
) -> None:
    cube.to_netcdf(tmp_path / "plain.nc", engine="netcdf4")
    assert outcome(tmp_path / "plain.nc", cube) == "the cube"


def test_chunks_stay_on_disk_and_come_as_they_were(cube: xr.Dataset, tmp_path: Path) -> None:
    netcdf.write(cube, tmp_path / "cube.nc")
    lazy, vouched = netcdf.read(tmp_path / "cube.nc", chunks={"y": 20})
    assert vouched
    assert len(lazy.sci.chunks[1]) > 1
    assert lazy.compute().identical(cube)


def test_a_file_that_declares_terabytes_is_refused_before_they_are_taken(tmp_path: Path) -> None:
    with netCDF4.Dataset(tmp_path / "bomb.nc", "w") as file:
        for name, size in (("band", 9), ("y", 200_000), ("x", 200_000)):
            file.createDimension(name, size)
        file.createVariable("sci", "f4", ("band", "y", "x"), zlib=True, chunksizes=(1, 1000, 1000))
    for chunks in (None, {"y": 1000, "x": 1000}):
        with pytest.raises(FileError) as caught:
            netcdf.read(tmp_path / "bomb.nc", chunks=chunks)
        assert caught.value.code == "HC-F17"


@pytest.mark.slow
def test_threads_that_write_and_read_do_not_end_the_process(
    cube: xr.Dataset, tmp_path: Path
) -> None:
    wrong = []

    def work(number: int) -> None:
        for i in range(4):
            path = tmp_path / f"{number}_{i}.nc"
            whole = netcdf.write(cube, path)
            lazy = netcdf.read(path, chunks={"y": 20})[0].compute()
            if not (whole and lazy.identical(cube) and outcome(path, cube).startswith("the cube")):
                wrong.append(path)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert json.loads(json.dumps(netcdf.digests_of(cube)))


def test_a_slip_of_ours_is_not_passed_off_as_a_damaged_file(
    cube: xr.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = hstcube.save_cube(cube, tmp_path / "cube.nc")
    for name in ("with_state", "as_written"):
        with monkeypatch.context() as one:
            one.setattr(netcdf, name, None)
            with pytest.raises(TypeError, match="NoneType"):
                hstcube.open_cube(path)


def test_a_damaged_file_is_told_before_the_library_may_crash_on_it(
    cube: xr.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netcdf.write(cube, tmp_path / "cube.nc")
    data = bytearray((tmp_path / "cube.nc").read_bytes())
    monkeypatch.setattr(xr, "open_dataset", lambda *_, **__: pytest.fail("the library was asked"))
    for place in range(0, len(data) - 100, 997):
        damaged = data.copy()
        damaged[place] ^= 16
        (tmp_path / "damaged.nc").write_bytes(damaged)
        for chunks in (None, {"y": 20}):
            with pytest.raises(FileError) as caught:
                netcdf.read(tmp_path / "damaged.nc", chunks=chunks)
            assert caught.value.code == "HC-F05"


INTERRUPTED = """
import signal, sys
import hstcube
from xarray.backends import locks

cube = hstcube.open_cube(sys.argv[1])
number, calls = int(sys.argv[2]), 0

def interrupted(self, *given, **named):
    global calls
    calls += 1
    for i, lock in enumerate(self.locks):
        lock.acquire()
        if calls == number and i == 0:
            signal.raise_signal(getattr(signal, sys.argv[4]))
    return True

locks.CombinedLock.acquire = interrupted
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGTERM, signal.default_int_handler)
try:
    hstcube.save_cube(cube, sys.argv[3])
except KeyboardInterrupt:
    print("interrupted", calls)
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("call", [1, 2])
def test_an_interrupt_between_two_locks_does_not_hang(
    cube: xr.Dataset, tmp_path: Path, call: int, name: str
) -> None:
    """Of several one of them stayed taken, and closing the file waited for it."""
    path = hstcube.save_cube(cube, tmp_path / "cube.nc")
    words = [sys.executable, "-c", INTERRUPTED, path, str(call), tmp_path / "copy.nc", name]
    done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("interrupted")
    assert {one.name for one in tmp_path.iterdir()} <= {"cube.nc", "stamps"}
