"""Mosaics of compressed images, or of integers: each image is read once, not by each block."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from astropy.io import fits
from mosaic_images import SIDE, write_images

import hstcube
from hstcube.errors import FileError
from hstcube.fits import images
from hstcube.fits.local import Copied
from hstcube.lazy import arrays

if TYPE_CHECKING:
    from pathlib import Path

CHUNKS = {"y": 100, "x": 77}


def written(path: Path, how: str) -> Path:
    """Write an image anew in some way; return its file."""
    with fits.open(path) as hdus:
        data, header = hdus[0].data.astype(np.float32), hdus[0].header.copy()
    path.unlink()
    for key in ("CHECKSUM", "DATASUM"):
        header.remove(key)
    if how == "gzip":
        path = path.with_suffix(".fits.gz")
        fits.writeto(path, data, header, checksum=True)
    elif how == "fpack":
        path = path.with_suffix(".fits.fz")
        unit = fits.CompImageHDU(data, header, compression_type="GZIP_2", quantize_level=0)
        fits.HDUList([fits.PrimaryHDU(), unit]).writeto(path, checksum=True)
    else:
        whole = fits.PrimaryHDU(np.where(np.isfinite(data), data, 0), header)
        whole.scale("int32", bscale=1e-7 if "sci" in path.name else 1e2)
        whole.writeto(path, checksum=True)
    return path


@pytest.fixture(params=["gzip", "fpack", "scaled"])
def folder(request: Any, tmp_path: Path) -> Path:
    place = write_images(tmp_path / "images")
    for path in sorted(place.iterdir()):
        written(path, request.param)
    return place


def test_each_image_is_read_once_and_gives_what_it_gives_in_memory(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = hstcube.open_field(folder, "mos")
    lazy = hstcube.open_field(folder, "mos", chunks=CHUNKS)
    assert all(arrays.region_of(lazy[name].data) is not None for name in ("sci", "wht", "mask"))
    read: list[Path] = []

    def noted(path: Path, *arguments: Any, **named: Any) -> Any:
        read.append(path)
        return given(path, *arguments, **named)

    given = images.read_plane
    monkeypatch.setattr(images, "read_plane", noted)
    for name in ("sci", "wht", "mask"):
        np.testing.assert_array_equal(lazy[name].values, whole[name].values)
    assert len(read) == len({*read}) == 6  # two images of three bands


@pytest.mark.slow
def test_a_mosaic_of_them_is_that_of_the_cube_in_memory(folder: Path, tmp_path: Path) -> None:
    lazy = hstcube.open_field(folder, "mos", chunks=CHUNKS).isel(band=[0, 2])
    whole = hstcube.open_field(folder, "mos").isel(band=[0, 2])
    made = hstcube.to_fits(lazy, tmp_path / "lazy")
    expected = hstcube.to_fits(whole, tmp_path / "eager")
    assert [path.read_bytes() for path in made] == [path.read_bytes() for path in expected]


def test_an_image_that_was_replaced_is_refused_when_it_is_read(folder: Path) -> None:
    lazy = hstcube.open_field(folder, "mos", chunks=CHUNKS)
    path = next(path for path in folder.iterdir() if "f814w_sci" in path.name)
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    other.replace(path)
    with pytest.raises(FileError, match="HC-F32"):
        lazy.sci.compute()


def test_pieces_are_those_of_the_image_whatever_their_shape_and_in_other_processes() -> None:
    image = np.random.default_rng(1).normal(size=(SIDE, 70)).astype(np.float32)
    times = []

    class Reader:
        def __call__(self) -> Any:
            times.append(1)
            return image

    copied = Copied(Reader(), image.shape)
    for key in (
        (slice(3, 9), slice(0, 70)),
        (slice(0, 300), slice(60, 90)),
        (slice(5, 5), slice(3)),
    ):
        np.testing.assert_array_equal(copied[key], image[key])
    assert len(times) == 1
    again = pickle.loads(pickle.dumps(Copied(np.zeros((3, 4), np.float32).copy, (3, 4))))
    np.testing.assert_array_equal(again[slice(1, 3), slice(0, 2)], np.zeros((2, 2)))


def test_a_plane_above_4_gib_is_read_by_blocks(tmp_path: Path) -> None:
    """Sparse files: 34,000 pixels a side, of which 100 x 100 are not zero."""
    side, at, n = 34_000, 33_500, 100
    shown = np.arange(n * n, dtype=np.float32).reshape(n, n) + 1
    source = write_images(tmp_path / "images") / "mos_60mas_f160w_sci.fits"
    with fits.open(source) as hdus:
        cards = hdus[0].header.copy()
    for key in ("CHECKSUM", "DATASUM"):
        cards.remove(key)
    cards["NAXIS1"] = cards["NAXIS2"] = side
    header = cards.tostring().encode()
    folder = tmp_path / "large"
    folder.mkdir()
    for kind in ("sci", "wht"):
        with (folder / f"mos_60mas_f160w_{kind}.fits").open("wb") as file:
            file.write(header)
            size = 4 * side * side
            file.truncate(len(header) + size + -size % 2880)
            for y, row in enumerate(shown, start=at):
                file.seek(len(header) + 4 * (y * side + at))
                file.write(row.astype(">f4").tobytes())
    cube = hstcube.open_field(folder, "mos", chunks={"y": 1024, "x": 1024})
    assert cube.sci.shape == (1, side, side)
    cut = cube.isel(y=slice(at - 1, at + n + 1), x=slice(at - 1, at + n + 1)).compute()
    np.testing.assert_array_equal(cut.sci.values[0, 1:-1, 1:-1], shown)
    np.testing.assert_array_equal(cut.wht.values[0], np.pad(shown, 1))
    assert not cut.mask.values[0, 0].any()
