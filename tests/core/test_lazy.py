"""Lazy = eager: chunked cubes give the same result, and building a graph computes nothing."""

from __future__ import annotations

import dask
import numpy as np
import pytest
import xarray as xr
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st
from strategies import (
    STEPS,
    a_folder,
    broadest,
    chosen,
    cubes,
    examples,
    label_maps,
    levels,
    peak_of,
    plain_grid,
    same_bits,
    same_to_float32,
    snapshot,
)

from hstcube import (
    Grid,
    build,
    homogenize,
    mask,
    measure_sky,
    open_bands,
    open_cube,
    open_field,
    psf_match,
    save_cube,
    stack_bands,
    subtract_sky,
    to_fits,
    validate,
    variance,
)
from hstcube.psf.profiles import FWHM_OF_SIGMA


def refuse(*args, **kwargs):
    """Stand in for a scheduler of dask, and compute nothing."""
    msg = "something was computed while the graph was built"
    raise AssertionError(msg)


def nothing_is_computed():
    return dask.config.set(scheduler=refuse)


@pytest.fixture(autouse=True)
def _one_thread():
    with dask.config.set(scheduler="synchronous"):
        yield


@st.composite
def chunks(draw, cube):
    """Sizes of chunks along band, y and x: one each, uneven ones, or whole axes."""
    return {
        "band": draw(st.sampled_from([1, 2, -1])),
        "y": draw(st.integers(3, 45)),
        "x": draw(st.sampled_from([-1, 4, 11, 17])),
    }


def chunked(cube, sizes):
    """Put the images in dask chunks; what describes the bands stays in memory."""
    return cube.assign({name: cube[name].chunk(sizes) for name in ("sci", "wht", "mask")})


def is_lazy(cube):
    return all(cube[name].chunks is not None for name in ("sci", "wht", "mask"))


# `known` is the cube in memory, for what a user would have measured before
LAZY_STEPS = {
    **{name: lambda cube, _, step=step: step(cube) for name, step in STEPS.items()},
    "subtract_sky": lambda cube, known: subtract_sky(cube, levels(known)),
    "subtract_sky with a map": lambda cube, known: subtract_sky(cube, levels(known) * chosen(cube)),
    "mask with axes in another order": lambda cube, _: mask(cube, chosen(cube).transpose("x", "y")),
    "mask with a band axis": lambda cube, known: mask(
        cube, chosen(cube) & xr.ones_like(levels(known), dtype=bool)
    ),
    "stack_bands": lambda cube, _: stack_bands(
        [cube.isel(band=[i]) for i in range(cube.sizes["band"])]
    ),
    "homogenize": lambda cube, known: homogenize(cube, sky=levels(known), to=broadest(cube)),
}
every_step = pytest.mark.parametrize("step", LAZY_STEPS.values(), ids=LAZY_STEPS)


@pytest.mark.slow
@every_step
@examples(12)
@given(cube=cubes(), data=st.data())
def test_a_chunked_cube_gives_the_same_result_and_is_computed_when_asked(step, cube, data):
    lazy = chunked(cube, data.draw(chunks(cube)))
    eager = step(cube, cube)
    before = snapshot(cube)
    with nothing_is_computed():
        later = validate(step(lazy, cube))
    assert is_lazy(later)
    for name in eager.data_vars:
        assert later[name].dims == eager[name].dims
        assert later[name].dtype == eager[name].dtype
    now = validate(later.compute())
    assert now.sci.dtype == np.float32
    same_to_float32(now, eager, peak=peak_of(cube))
    xr.testing.assert_identical(
        now.drop_vars(list(now.data_vars)), eager.drop_vars(list(eager.data_vars))
    )
    assert {name: now[name].attrs for name in now.data_vars} == {
        name: eager[name].attrs for name in eager.data_vars
    }
    assert snapshot(cube) == before


@pytest.mark.slow
@examples(6)
@given(cube=cubes(), data=st.data())
def test_a_cube_in_bands_gives_the_same_bits(cube, data):
    lazy = chunked(cube, {"band": data.draw(st.integers(1, 3)), "y": -1, "x": -1})
    for step in LAZY_STEPS.values():
        same_bits(step(lazy, cube).compute(), step(cube, cube))


@pytest.mark.slow
@examples(12)
@given(cube=cubes(kinds=["none", "islands"]), data=st.data())
def test_a_band_at_the_target_passes_bit_for_bit_in_chunks_too(cube, data):
    lazy = chunked(cube, data.draw(chunks(cube)))
    equal = (cube.psf_fwhm == cube.psf_fwhm.max()).values
    matched = psf_match(lazy, to=broadest(cube)).compute()
    same_bits(matched.isel(band=equal), cube.isel(band=equal))


@examples(12)
@given(cube=cubes(), data=st.data())
def test_the_variance_of_a_chunked_cube_is_lazy(cube, data):
    with nothing_is_computed():
        later = variance(chunked(cube, data.draw(chunks(cube))))
    assert later.chunks is not None
    xr.testing.assert_identical(later.compute(), variance(cube))


@examples(12)
@given(cube=cubes(kinds=["none", "islands"]), data=st.data())
def test_a_cube_is_built_from_chunks_without_a_look_at_them(cube, data):
    lazy = chunked(cube, data.draw(chunks(cube)))
    how = {
        "bands": cube.band.values,
        "grid": Grid.of(cube),
        "units": "uJy",
        "psf_fwhm": cube.psf_fwhm.values,
    }
    with nothing_is_computed():
        later = build(lazy.sci.data, lazy.wht.data, **how)
    assert is_lazy(later)
    xr.testing.assert_identical(later.compute(), build(cube.sci.values, cube.wht.values, **how))


@pytest.mark.parametrize("method", ["clipped", "original"])
@examples(6)
@given(cube=cubes(sides=st.integers(31, 40), kinds=["none"]), data=st.data())
def test_the_sky_of_a_chunked_cube_is_that_of_the_cube(method, cube, data):
    lazy = chunked(cube, data.draw(chunks(cube)))
    blank = ~((cube.y < 5) & (cube.x < 7))
    level = measure_sky(lazy, background=blank, method=method)
    xr.testing.assert_identical(level, measure_sky(cube, background=blank, method=method))


@pytest.mark.slow
@examples(8)
@given(data=st.data(), cube=cubes(sides=st.integers(20, 40), kinds=["none", "islands"]))
def test_a_whole_chain_is_built_before_it_is_computed(data, cube):
    labels = data.draw(label_maps(grid=Grid.of(cube)))
    labels[: cube.sizes["y"] // 4] = 3
    lazy = chunked(cube, data.draw(chunks(cube)))

    def chain(cube):
        cube = subtract_sky(cube, levels_of_cube)
        return mask(psf_match(cube, to=broadest(cube)), labels == 3)

    levels_of_cube = levels(cube)
    with nothing_is_computed():
        later = chain(lazy)
    same_to_float32(
        later.compute(), chain(cube), peak=peak_of(cube) + abs(levels_of_cube.values)[:, None, None]
    )


def test_a_kernel_larger_than_the_frame_and_its_chunks_is_no_obstacle():
    rng = np.random.default_rng(3)
    grid = plain_grid((17, 12))
    sci = rng.normal(size=(1, 17, 12))
    cube = build(sci, np.ones(sci.shape), bands=["f606w"], grid=grid, units="uJy", psf_fwhm=[0.1])
    eager = psf_match(cube, to="1.5arcsec", min_coverage=0.0)
    for sizes in ({"y": 5, "x": 5}, {"y": 17, "x": 4}, {"y": 1, "x": 1}):
        lazy = psf_match(chunked(cube, sizes), to="1.5arcsec", min_coverage=0.0)
        same_to_float32(lazy.compute(), eager, peak=peak_of(cube))


def test_the_sky_beside_a_star_in_another_chunk_is_right_to_a_millionth_of_the_noise():
    rng = np.random.default_rng(4)
    sci = rng.normal(size=(1, 90, 95))
    sci[0, 40, 47] = 1e5
    cube = build(
        sci,
        np.ones(sci.shape),
        bands=["f606w"],
        grid=plain_grid((90, 95)),
        units="uJy",
        psf_fwhm=[0.1],
    )
    eager = psf_match(cube, to="0.5arcsec").sci.values[0].astype(float)
    lazy = psf_match(chunked(cube, {"y": 30, "x": 32}), to="0.5arcsec").sci.values[0]
    y, x = np.indices(eager.shape)
    far = (
        np.maximum(abs(y - 40), abs(x - 47)) > 8.5 * 0.5 / FWHM_OF_SIGMA / 0.06 + 1
    )  # the kernel ends at 8.5 sigma
    noise = np.std(eager[far])
    assert far.sum() > 1000
    assert abs(lazy - eager)[far].max() < 1e-6 * noise


# -- files


def write_stamps(folder, cube):
    """Write a cube as stamps of a survey: primary images named by field, scale, band and kind."""
    for name in cube.band.values:
        for kind in ("sci", "wht"):
            header = Grid.of(cube).header()
            header["FILTER"], header["BUNIT"] = str(name).upper(), "ELECTRONS/S"
            plane = cube[kind].sel(band=name).values
            fits.writeto(folder / f"f1_60mas_{name}_{kind}.fits", plane, header)


@pytest.mark.slow
@examples(6)
@given(
    data=st.data(),
    shape=st.tuples(st.integers(5, 40), st.integers(5, 40)),
    seed=st.integers(0, 999),
)
def test_a_field_is_opened_lazily_and_holds_the_same(data, shape, seed):
    rng = np.random.default_rng(seed)
    sci, wht = rng.normal(size=(2, *shape)), rng.random((2, *shape)) + 0.1
    wht[:, 1:3, 2:4] = 0
    cube = build(sci, wht, bands=["f606w", "f160w"], grid=plain_grid(shape), units="electron s-1")
    widths = {"f606w": 0.1, "f160w": 0.18}
    with a_folder() as folder:
        write_stamps(folder, cube)
        eager = open_field(folder, "f1", psf_fwhm=widths)
        same_bits(eager, cube)
        with nothing_is_computed():
            lazy = open_field(
                folder, "f1", psf_fwhm=widths, chunks={"y": data.draw(st.integers(4, 40)), "x": 7}
            )
            matched = psf_match(lazy, to="f160w")
        assert is_lazy(lazy)
        xr.testing.assert_identical(lazy.compute(), eager)
        same_to_float32(matched.compute(), psf_match(eager, to="f160w"), peak=peak_of(cube))


@pytest.mark.parametrize("kind", ["ivar", "rms", "variance"])
def test_weights_of_any_kind_are_read_lazily(kind):
    rng = np.random.default_rng(2)
    sci, wht = rng.normal(size=(1, 9, 8)), rng.random((1, 9, 8)) + 0.1
    wht[0, 2, 3] = 0
    cube = build(sci, wht, bands=["f606w"], grid=plain_grid((9, 8)), units="electron s-1")
    with a_folder() as folder:
        write_stamps(folder, cube)
        files = {"f606w": (folder / "f1_60mas_f606w_sci.fits", folder / "f1_60mas_f606w_wht.fits")}
        eager = open_bands(files, field="f1", wht_kind=kind)
        with nothing_is_computed():
            lazy = open_bands(files, field="f1", wht_kind=kind, chunks={"y": 4})
        assert is_lazy(lazy)
        xr.testing.assert_identical(lazy.compute(), eager)


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore:The specified chunks separate the stored chunks:UserWarning"
)  # slow, not wrong
@examples(6)
@given(cube=cubes(), data=st.data())
def test_a_chunked_cube_is_written_like_any_other(cube, data):
    lazy = chunked(cube, data.draw(chunks(cube)))
    with a_folder() as folder:
        for one, other in zip(
            to_fits(lazy, folder / "lazy"), to_fits(cube, folder / "eager"), strict=True
        ):
            assert one.read_bytes() == other.read_bytes()
        save_cube(lazy, folder / "f1.nc")
        xr.testing.assert_identical(open_cube(folder / "f1.nc"), cube)
        with open_cube(folder / "f1.nc", chunks={"band": 1, "y": 9, "x": 9}) as opened:
            with nothing_is_computed():
                later = psf_match(opened, to=broadest(opened))
            assert is_lazy(later)
            same_to_float32(later.compute(), psf_match(cube, to=broadest(cube)), peak=peak_of(cube))


@examples(6)
@given(cube=cubes(kinds=["none", "islands"]), layout=st.sampled_from(["files", "mef"]))
def test_a_product_is_opened_lazily_when_asked(cube, layout):
    with a_folder() as folder:
        to_fits(cube, folder, layout=layout)
        with nothing_is_computed():
            lazy = open_field(folder, "f1", chunks={"y": 9, "x": 9})
        assert is_lazy(lazy)
        xr.testing.assert_identical(lazy.compute(), cube)
