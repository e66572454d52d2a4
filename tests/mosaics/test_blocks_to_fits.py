"""Cubes that dask holds, written block by block."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from astropy.io import fits
from mosaic_images import write_images

import hstcube
from hstcube.lazy import arrays
from hstcube.lazy.nodes import At

if TYPE_CHECKING:
    from pathlib import Path

    import xarray as xr

BLOCKS = ({"y": 128, "x": 128}, {"y": 77, "x": 300}, {"y": 300, "x": 91}, {"y": 150, "x": 150})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("mosaics") / "images")


@pytest.fixture(scope="module")
def matched(folder: Path) -> Any:
    return hstcube.homogenize(hstcube.open_field(folder, "mos"), sky=[1e-4, 0, 2e-4])


def lazily(folder: Path, **chunks: int) -> xr.Dataset:
    return hstcube.open_field(folder, "mos", chunks=chunks)


@pytest.mark.slow
@pytest.mark.parametrize("chunks", BLOCKS)
def test_a_homogeneous_mosaic_is_made_of_regions_and_equals_the_one_in_memory(
    folder: Path, matched: Any, chunks: dict[str, int]
) -> None:
    lazy = hstcube.homogenize(lazily(folder, **chunks), sky=[1e-4, 0, 2e-4])
    for name in ("sci", "wht", "mask", "coverage"):
        assert arrays.region_of(lazy[name].data) is not None, name
    found = lazy.compute()
    assert np.array_equal(np.isnan(found.sci), np.isnan(matched.sci))
    off = np.abs(found.sci.values - matched.sci.values)
    assert np.nanmax(off * np.sqrt(matched.wht.values)) < 1e-6  # of sigma
    assert np.allclose(found.wht, matched.wht, rtol=1e-6)
    assert np.allclose(found.coverage, matched.coverage, atol=1e-6)


def test_what_several_arrays_are_made_of_is_made_once_a_block() -> None:
    made: list[tuple[int, ...]] = []

    @arrays.pointwise
    def counted(block: Any) -> Any:
        made.append(block.shape)
        return block + 1.0

    class Source:
        in_regions, ndim, shape, dtype = True, 2, (40, 60), np.dtype(float)

        def __getitem__(self, key: Any) -> Any:
            return np.arange(2400.0).reshape(self.shape)[key]

    plane = arrays.lazy_stack([arrays.lazily(Source())], {"y": 20, "x": 30})
    same = plane.map_blocks(counted, dtype=float)
    made.clear()  # dask tries it
    found = arrays.evaluated(lambda at, *blocks: (at, blocks), [same * 2, same - plane])
    assert made == [(1, 20, 30)] * 4
    for at, (twice, one) in found:
        whole = np.arange(2400.0).reshape(40, 60)[at.top : at.bottom, at.left : at.right]
        np.testing.assert_array_equal(twice[0], 2 * (whole + 1))
        np.testing.assert_array_equal(one[0], np.ones(whole.shape))


def test_of_what_pixels_are_judged_by_only_the_image_before_has_a_margin(folder: Path) -> None:
    """Else margins of three steps add up, and with them work and memory."""
    lazy = hstcube.homogenize(lazily(folder, y=100, x=100), sky=[0.0] * 3)
    node: Any = arrays.region_of(lazy["sci"].data)
    at = At(0, 100, 200, 100, 200)
    (judged,) = node.below()
    assert judged.function.__name__ == "_judged_band"
    after, weights, *before = (place for _, place in judged.asks(at))
    assert after == weights == at
    assert all(place.top < at.top and place.right > at.right for place in before)
    beyond = judged.planes[0].below()[0]
    assert [place for _, place in beyond.asks(at)][:2] == [at, at]


@pytest.mark.parametrize("dims", [("y", "x"), ("band", "y", "x")])
def test_what_is_chosen_by_a_map_in_memory_is_read_in_regions(folder: Path, dims: Any) -> None:
    lazy = lazily(folder, y=77, x=300)
    sizes = [lazy.sizes[dim] for dim in dims]
    keep = np.random.default_rng(1).random(sizes) < 0.5
    for one in (keep, lazy.sci[0].drop_vars("band").copy(data=keep) if len(dims) < 3 else keep):
        chosen = hstcube.mask(lazy, one)
        assert arrays.region_of(chosen["mask"].data) is not None
        whole = np.broadcast_to(keep, lazy.sci.shape) & (lazy.wht.values > 0)
        np.testing.assert_array_equal(chosen["mask"], whole)
        np.testing.assert_array_equal(chosen["mask"][1, 70:90, 5:9], whole[1, 70:90, 5:9])


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["files", "mef"])
@pytest.mark.parametrize("noise", ["wht", "variance"])
@pytest.mark.parametrize("chunks", [BLOCKS[1]])
def test_what_is_streamed_is_byte_for_byte_what_is_written_from_memory(
    folder: Path, tmp_path: Path, layout: Any, noise: Any, chunks: dict[str, int]
) -> None:
    lazy = hstcube.homogenize(lazily(folder, **chunks), sky=[1e-4, 0, 2e-4])
    how = {"layout": layout, "noise": noise, "apply_mask": noise == "variance"}
    streamed = hstcube.to_fits(lazy, tmp_path / "lazy", **how)
    whole = hstcube.to_fits(lazy.compute(), tmp_path / "whole", **how)
    assert [path.name for path in streamed] == [path.name for path in whole]
    for one, other in zip(streamed, whole, strict=True):
        assert one.read_bytes() == other.read_bytes(), one.name
    back = hstcube.open_field(tmp_path / "lazy", "mos")
    assert np.array_equal(back.mask, lazy.mask)


def test_every_pixel_of_a_block_is_computed_once(folder: Path, monkeypatch: Any) -> None:
    from hstcube.lazy.nodes import Stage

    made = Stage.made
    asked: list[tuple[int, At]] = []

    def counted(self: Stage, at: At, memo: Any) -> Any:
        asked.append((id(self), at))
        return made(self, at, memo)

    monkeypatch.setattr(Stage, "made", counted)
    lazy = hstcube.homogenize(lazily(folder, y=150, x=150), sky=[0.0] * 3)
    planes = [lazy[name].data for name in ("sci", "wht", "mask", "coverage")]
    arrays.evaluated(lambda at, *_: at, planes)
    stages = {stage for stage, _ in asked}
    assert len(asked) == len(stages) * 3 * 4  # bands, blocks


def test_a_streamed_product_is_whole_or_absent(folder: Path, tmp_path: Path) -> None:
    cube = lazily(folder, y=128, x=128)

    def broken(block: Any) -> Any:
        raise OSError(28, "No space left on device")

    cube["sci"] = cube.sci.copy(data=cube.sci.data.map_blocks(broken, dtype=np.float32))
    with pytest.raises(hstcube.HstCubeError, match="HC-O02"):
        hstcube.to_fits(cube, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_a_damaged_source_is_refused_where_all_of_it_is_read(tmp_path: Path) -> None:
    images = write_images(tmp_path / "images")
    path = images / "mos_60mas_f814w_sci.fits"
    with path.open("r+b") as file:
        file.seek(-5000, os.SEEK_END)
        file.write(b"\x3f")
    with pytest.raises(hstcube.HstCubeError, match=r"HC-F05.*f814w"):
        hstcube.to_fits(lazily(images, y=128, x=128), tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_a_file_that_was_replaced_since_is_refused(tmp_path: Path) -> None:
    images = write_images(tmp_path / "images")
    cube = lazily(images, y=128, x=128)
    os.utime(images / "mos_60mas_f160w_wht.fits", (1, 1))
    with pytest.raises(hstcube.HstCubeError, match="HC-F32"):
        cube.compute()


def test_a_cut_reads_no_more_than_its_blocks(folder: Path, monkeypatch: Any) -> None:
    from hstcube.fits.local import Stored

    read, seen = Stored.__getitem__, []

    def counted(self: Stored, key: Any) -> Any:
        pixels = read(self, key)
        seen.append(pixels.size)
        return pixels

    cube = lazily(folder, y=50, x=50)
    monkeypatch.setattr(Stored, "__getitem__", counted)
    cube.sci[:, 60:80, 60:80].compute()
    assert 0 < sum(seen) <= 3 * 2 * 50 * 50  # sci and wht


def test_what_cannot_be_read_in_regions_goes_through_overlaps(folder: Path, matched: Any) -> None:
    lazy = lazily(folder, y=150, x=150).persist()
    assert arrays.region_of(lazy.sci.data) is None
    found = hstcube.homogenize(lazy, sky=[1e-4, 0, 2e-4]).compute()
    assert np.allclose(found.wht, matched.wht, rtol=1e-6)


def test_a_function_that_may_look_around_is_not_taken_for_one_of_single_pixels(
    folder: Path,
) -> None:
    cube = lazily(folder, y=150, x=150)
    assert arrays.region_of(cube.sci.data * 2) is not None
    assert arrays.region_of(cube.sci.data.map_blocks(np.cumsum, axis=1)) is None
    assert arrays.region_of(cube.sci.data[:, 1:]) is None


@pytest.mark.slow
def test_a_plane_above_4_gib_is_read_in_pieces(tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    side = 33000  # 4.06 GiB, sparse
    small = write_images(tmp_path / "small")
    for kind in ("sci", "wht"):
        name = f"mos_60mas_f160w_{kind}.fits"
        header = fits.getheader(small / name)
        header["NAXIS1"] = header["NAXIS2"] = side
        for key in ("CHECKSUM", "DATASUM"):
            del header[key]
        with (images / name).open("wb") as file:
            file.write(header.tostring().encode())
            start = file.tell()
            file.seek(start + 4 * (side * (side - 1) + side - 2))
            file.write(np.array([2, 3], ">f4").tobytes())
            file.truncate(start + 4 * side**2 + -(4 * side**2) % 2880)
    cube = hstcube.open_field(images, "mos", chunks={"y": 1024, "x": 1024})
    corner = cube.isel(y=slice(-2, None), x=slice(-2, None)).compute()
    assert corner.wht.values[0, 1].tolist() == [2, 3]
    assert corner.sci.values[0, 1].tolist() == [2, 3]
