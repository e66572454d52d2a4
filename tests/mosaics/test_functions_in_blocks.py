"""What is measured on cubes in blocks is what it is in memory, and no plane is held for it."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING, Any
from unittest import mock

import dask
import numpy as np
import pytest
import xarray as xr
from made import images_on
from mosaic_images import write_images
from strategies import plain_grid

import hstcube
from hstcube.lazy import resampled, windows
from hstcube.lazy.arrays import lazily
from hstcube.phot.bins import group_snr
from hstcube.regridding import _planes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SHAPE, TILE, LARGE = (210, 260), 64, 2048
BANDS = ("f606w", "f160w")
CHUNKS: list[dict[str, int]] = [
    {"band": 1, "y": 64, "x": 64},  # tiles are 52 or 53 pixels
    {"band": 1, "y": 100, "x": 17},
    {"band": 2, "y": 210, "x": 60},
    {"band": 1, "y": 210, "x": 260},
]
pytestmark = pytest.mark.filterwarnings("ignore::hstcube.HstCubeWarning")


@pytest.fixture(autouse=True)
def small_tiles() -> Iterator[None]:
    with mock.patch.object(windows, "SIDE", TILE):
        yield


def a_scene(shape: tuple[int, int] = SHAPE, seed: int = 1) -> xr.Dataset:
    """Return sources on a lattice of steps that no tile has, pairs that touch, a hole, and a rim.

    One is as wide as two tiles.
    """
    rng = np.random.default_rng(seed)
    y, x = np.indices(shape)
    light = np.zeros(shape)
    for row in range(20, shape[0], 53):
        for column in range(24, shape[1], 53):
            for aside, width, height in ((0, 2.0, 40.0), (7, 1.7, 25.0)):
                square = (y - row) ** 2 + (x - column - aside) ** 2
                light += height * np.exp(-square / (2 * width**2))
    light += 20 * np.exp(-((y - 110) ** 2 + 0.1 * (x - 130) ** 2) / (2 * 8**2))
    sci = light + rng.normal(size=(2, *shape))
    wht = np.ones((2, *shape))
    wht[:, 104:108, 60:140] = 0
    wht[0, :, :3] = 0
    grid = plain_grid(shape)
    return images_on(
        grid, sci, wht, bands=BANDS, zeropoint=[25.0, 26.0], psf_fwhm=[0.2, 0.2],
        sky=[0.0, 0.0], sky_error=[0.01, 0.02], matched_to=["f160w"] * 2,
    )  # fmt: skip


@pytest.fixture(scope="module")
def cube() -> xr.Dataset:
    return a_scene()


@pytest.fixture(scope="module")
def labels(cube: xr.Dataset) -> xr.DataArray:
    with mock.patch.object(windows, "SIDE", 10_000):
        return hstcube.detect(cube)


@pytest.mark.slow
@pytest.mark.parametrize("deblend", [True, False])
@pytest.mark.parametrize("chunks", CHUNKS, ids=str)
def test_the_same_sources_are_found(
    cube: xr.Dataset, labels: xr.DataArray, chunks: dict[str, int], deblend: bool
) -> None:
    with mock.patch.object(windows, "SIDE", 10_000):
        expected = labels if deblend else hstcube.detect(cube, deblend=False)
    assert expected.max() > 15
    for given in (cube, cube.chunk(chunks)):
        xr.testing.assert_identical(hstcube.detect(given, deblend=deblend), expected)


@pytest.mark.slow
def test_sources_are_found_where_the_first_tiles_tell_nothing_of_the_noise() -> None:
    """Half of the frame is deeper: the guess is wrong, and all values are looked at."""
    cube = a_scene()
    level = np.where(np.arange(SHAPE[1]) % 53 < 20, 0.0, 50.0)
    cube = cube.assign(sci=cube.sci + level.astype(np.float32))
    cube = cube.assign(sci=cube.sci.assign_attrs(units="electron s-1"))
    found = hstcube.detect(cube.chunk({"y": 64, "x": 64}))
    with mock.patch.object(windows, "SIDE", 10_000):
        xr.testing.assert_identical(found, hstcube.detect(cube))


def test_images_without_light_hold_no_source() -> None:
    cube = images_on(plain_grid(SHAPE), 0.0, 1.0)
    assert not hstcube.detect(cube.chunk({"y": 64, "x": 64})).any()


@pytest.mark.slow
@pytest.mark.parametrize("chunks", CHUNKS, ids=str)
def test_the_same_fluxes_and_errors_are_measured(
    cube: xr.Dataset, labels: xr.DataArray, chunks: dict[str, int]
) -> None:
    rng = np.random.default_rng(3)  # numbers in no order, with gaps
    names = np.append(0, rng.permutation(1000)[: int(labels.max())] + 1)
    groups = labels.copy(data=np.where(labels > 0, names[labels.values.clip(0)], labels))
    lazy = cube.chunk(chunks)
    for how in ({}, {"pixels": "data", "partial": True}, {"covariance": True}):
        found, expected = (hstcube.photometry(one, groups, **how) for one in (lazy, cube))
        assert found.colnames == expected.colnames
        for name in found.colnames:
            np.testing.assert_allclose(found[name], expected[name], rtol=1e-12, err_msg=name)
    errors = hstcube.group_errors(lazy, groups)
    assert errors.chunks
    xr.testing.assert_allclose(errors.compute(), hstcube.group_errors(cube, groups), rtol=1e-12)
    found = group_snr(lazy, groups)
    xr.testing.assert_allclose(found, group_snr(cube, groups), rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("how", [{"snr": 20.0}, {"snr": 9.0, "bands": ["f160w"], "sed_shape": 4}])
@pytest.mark.parametrize("chunks", CHUNKS[:3], ids=str)
def test_the_same_bins_are_made(
    cube: xr.Dataset, labels: xr.DataArray, chunks: dict[str, int], how: dict[str, Any]
) -> None:
    wide = hstcube.mask(cube, labels == labels[110, 130])
    assert wide.mask.sum() > 1000
    found = hstcube.bin_pixels(wide.chunk(chunks), **how)
    xr.testing.assert_identical(found, hstcube.bin_pixels(wide, **how))


@pytest.mark.parametrize("place", [(0, 0), (209, 259), (100, 100)])
def test_a_mask_of_one_pixel_is_one_bin(cube: xr.Dataset, place: tuple[int, int]) -> None:
    keep = np.zeros(SHAPE, bool)
    keep[place] = True
    one = hstcube.mask(cube, keep)
    if not one.mask.values.all(axis=0).any():
        one = one.isel(band=[1])
    found = hstcube.bin_pixels(one.chunk({"y": 50, "x": 50}))
    assert found.values[place] == found.values.sum() == 1


@pytest.mark.slow
def test_matched_images_of_files_give_what_they_give_in_memory(tmp_path: Path) -> None:
    """To rounding: transforms of other sizes round otherwise."""
    folder = write_images(tmp_path / "images")
    made = []
    for chunks in (None, {"y": 128, "x": 77}):
        cube = hstcube.open_field(folder, "mos", chunks=chunks)
        made.append(hstcube.homogenize(cube, sky=[0.0] * 3))
    maps = [hstcube.detect(one) for one in made]
    xr.testing.assert_identical(*maps)
    tables = [hstcube.photometry(one, maps[0], pixels="data") for one in made]
    for name in tables[0].colnames:
        np.testing.assert_allclose(tables[1][name], tables[0][name], rtol=1e-5, err_msg=name)


class Made:
    """An image (band, y, x) that is made where it is read: a tile, again and again."""

    in_regions, ndim = True, 3

    def __init__(self, tile: Any, side: int) -> None:
        self.tile, self.dtype, self.shape = tile, tile.dtype, (len(tile), side, side)

    def __getitem__(self, index: tuple[slice, slice, slice]) -> Any:
        bands, rows, columns = (np.arange(n)[one] for n, one in zip(self.shape, index, strict=True))
        return self.tile[np.ix_(bands, rows % SHAPE[0], columns % SHAPE[1])]


def a_mosaic() -> xr.Dataset:
    small, grid = a_scene(), plain_grid((LARGE, LARGE))
    shape = (2, LARGE, LARGE)
    nothing = np.broadcast_to(np.float32(1), shape)
    cube = images_on(grid, nothing, nothing, bands=BANDS).assign_coords(
        {name: small[name] for name in ("zeropoint", "sky", "sky_error", "matched_to", "psf_fwhm")}
    )
    images = {
        name: (cube[name].dims, lazily(Made(small[name].values, LARGE)), cube[name].attrs)
        for name in ("sci", "wht", "mask")
    }
    return cube.assign(images)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["adaptive", "nearest"])
def test_files_in_blocks_are_regridded_to_the_same_pixels(tmp_path: Path, method: Any) -> None:
    folder = write_images(tmp_path / "images")
    whole = hstcube.open_field(folder, "mos")
    lazy = hstcube.open_field(folder, "mos", chunks={"y": 128, "x": 77})
    grid = hstcube.Grid.of(whole)
    corner = tuple(grid.wcs.wcs_pix2world(290, 150, 0))  # half of it lies beyond the frame
    with mock.patch.object(resampled, "SIDE", 2 * TILE), mock.patch.object(_planes, "_TILE", 90):
        for new in (grid.coarsen(2), hstcube.Grid.around(corner, 12.0, scale=0.047)):
            found = hstcube.regrid(lazy, new, method=method)
            assert len(found.sci.chunks[1]) > 1
            expected = hstcube.regrid(whole, new, method=method)
            for name in ("sci", "wht", "mask"):
                np.testing.assert_array_equal(found[name].values, expected[name].values)
        twice, again = (
            hstcube.regrid(one.drop_vars(["noise_acf", "dy", "dx"]), grid, method="nearest")
            for one in (found, expected)
        )
        np.testing.assert_array_equal(twice.sci.values, again.sci.values)


def drawn(draw: Callable[..., Any]) -> Callable[..., Any]:
    def picture(cube: xr.Dataset, _: Any) -> None:
        with mock.patch("hstcube.views.overview.LARGEST", 256):
            draw(cube)

    return picture


# beside labels, in planes of one band in float64: the images that are given would take three
HELD: dict[str, tuple[Callable[..., Any], float]] = {
    "detect": (lambda cube, _: hstcube.detect(cube), 3.0),
    "photometry": (hstcube.photometry, 0.5),
    "group_errors": (lambda cube, labels: hstcube.group_errors(cube, labels).values, 0.9),
    "group_snr": (group_snr, 0.9),
    # its map alone, int32, is half a plane
    "bin_pixels": (lambda cube, _: hstcube.bin_pixels(one_object(cube), snr=20), 0.9),
    "regrid": (lambda cube, _: one_plane_regridded(cube), 0.9),
    "quicklook": (drawn(hstcube.plot.quicklook), 0.5),
    "snr_maps": (drawn(hstcube.plot.snr_maps), 0.5),
    "colour_map": (drawn(lambda cube: hstcube.plot.colour_map(cube, *BANDS)), 0.5),
    "mask_overlay": (drawn(hstcube.plot.mask_overlay), 0.5),
    "compare": (drawn(lambda cube: hstcube.plot.compare(cube, cube)), 0.5),
}


def one_plane_regridded(cube: xr.Dataset) -> Any:
    """By `nearest`: the matrices of other methods are larger than these images."""
    with mock.patch.object(resampled, "SIDE", 128):
        return (
            hstcube.regrid(cube, hstcube.Grid.of(cube).coarsen(2), method="nearest").sci[0].values
        )


def one_object(cube: xr.Dataset) -> xr.Dataset:
    keep = np.zeros((cube.sizes["y"], cube.sizes["x"]), bool)
    keep[100:140, 100:130] = True
    return hstcube.mask(cube, keep)


@pytest.mark.slow
@pytest.mark.parametrize("name", HELD)
def test_no_plane_of_a_large_cube_is_held(name: str) -> None:
    function, planes = HELD[name]
    cells = np.pad(np.ones((20, 20), np.int32), 22)
    labels = np.kron(np.arange(1, 1025, dtype=np.int32).reshape(32, 32), cells)
    cube, few = a_mosaic(), {"y": slice(400, 700), "x": slice(400, 700)}
    function(cube.isel(few).compute(), labels[400:700, 400:700])  # loads what is needed
    tracemalloc.start()
    try:
        with dask.config.set(scheduler="synchronous"), mock.patch.object(windows, "SIDE", 256):
            function(cube, labels)
        held = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert held / (8 * labels.size) < planes
