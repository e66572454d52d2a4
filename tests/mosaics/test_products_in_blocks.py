"""What `to_fits` wrote of a mosaic, opened in blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import xarray as xr
from astropy.io import fits
from mosaic_images import write_images

import hstcube
from hstcube.errors import FileError
from hstcube.fits import local
from hstcube.lazy import arrays

if TYPE_CHECKING:
    from pathlib import Path

CHUNKS = {"y": 128, "x": 77}
IMAGES = ("sci", "wht", "mask", "coverage", "replaced")


@pytest.fixture(scope="module")
def cube(tmp_path_factory: pytest.TempPathFactory) -> xr.Dataset:
    folder = write_images(tmp_path_factory.mktemp("products") / "images")
    made = hstcube.homogenize(hstcube.open_field(folder, "mos"), sky=[0.0] * 3)
    replaced = xr.zeros_like(made.mask)
    replaced[:, 40:60, 30:50] = True
    return made.assign(replaced=replaced, mask=made.mask & ~replaced)


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["files", "mef"])
@pytest.mark.parametrize("noise", ["wht", "variance"])
def test_products_come_back_in_blocks_as_they_do_in_memory(
    cube: xr.Dataset, tmp_path: Path, layout: Any, noise: Any
) -> None:
    hstcube.to_fits(cube, tmp_path, layout=layout, noise=noise)
    whole = hstcube.open_field(tmp_path, "mos")
    lazy = hstcube.open_field(tmp_path, "mos", chunks=CHUNKS)
    for name in IMAGES:
        assert lazy[name].data.chunksize == (1, 128, 77), name
        assert arrays.region_of(lazy[name].data) is not None, name
    xr.testing.assert_identical(lazy.compute(), whole)


def test_a_cut_of_products_reads_its_own_pixels_alone(
    cube: xr.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hstcube.to_fits(cube, tmp_path)
    lazy = hstcube.open_field(tmp_path, "mos", chunks=CHUNKS)
    read = []

    def noted(self: Any, key: Any) -> Any:
        made = given(self, key)
        read.append(made.size)
        return made

    given = local.Stored.__getitem__
    monkeypatch.setattr(local.Stored, "__getitem__", noted)
    cut = lazy.sci[:, 130:140, 80:110]
    np.testing.assert_array_equal(cut, cube.sci[:, 130:140, 80:110])
    assert sum(read) == 3 * 2 * 10 * 30  # bands, sci and wht


def test_products_in_blocks_are_written_again_as_they_were(
    cube: xr.Dataset, tmp_path: Path
) -> None:
    first = hstcube.to_fits(cube, tmp_path / "one")
    lazy = hstcube.open_field(tmp_path / "one", "mos", chunks=CHUNKS)
    again = hstcube.to_fits(lazy, tmp_path / "two")
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in first]


def test_a_mask_that_was_damaged_is_found_when_all_of_it_is_read(
    cube: xr.Dataset, tmp_path: Path
) -> None:
    """Its bytes are summed in words of four, of which the last is filled up with zeros."""
    odd = cube.isel(y=slice(1, 300), x=slice(0, 299)).drop_vars(["replaced", "coverage"])
    hstcube.to_fits(odd, tmp_path / "one")
    lazy = hstcube.open_field(tmp_path / "one", "mos", chunks=CHUNKS)
    hstcube.to_fits(lazy, tmp_path / "two")
    path = tmp_path / "one" / "mos_f814w_mask.fits"
    with fits.open(path) as hdus:
        start = hdus[0].fileinfo()["datLoc"]
    data = bytearray(path.read_bytes())
    data[start + 299 * 299 - 1] ^= 1  # the last pixel
    path.write_bytes(data)
    lazy = hstcube.open_field(tmp_path / "one", "mos", chunks=CHUNKS)
    with pytest.raises(FileError, match="HC-F05"):
        hstcube.to_fits(lazy, tmp_path / "three")


def test_shares_that_are_none_are_refused_when_they_are_read(
    cube: xr.Dataset, tmp_path: Path
) -> None:
    hstcube.to_fits(cube, tmp_path)
    path = tmp_path / "mos_f814w_mask.fits"
    with fits.open(path, mode="update") as hdus:
        hdus["COVERAGE"].data[200, 200] = 1.5
        for key in ("CHECKSUM", "DATASUM"):
            hdus["COVERAGE"].header.remove(key)
    lazy = hstcube.open_field(tmp_path, "mos", chunks=CHUNKS)
    with pytest.raises(FileError, match="HC-O20"):
        lazy.coverage.compute()
