"""The laws of place: a cut, strided, flipped or coarsened cube knows its place on the sky."""

from __future__ import annotations

import math

import numpy as np
import pytest
import xarray as xr
from astropy.io import fits
from astropy.wcs import WCS
from astropy.wcs.utils import pixel_to_pixel
from hypothesis import given
from hypothesis import strategies as st
from strategies import (
    SEEDS,
    SIDES,
    a_folder,
    chosen,
    cubes,
    examples,
    grids,
    grids_over,
    label_maps,
    plain_grid,
    read_only,
    same_bits,
    snapshot,
)

from hstcube import (
    Grid,
    HstCubeError,
    mask,
    open_cube,
    open_field,
    regrid_labels,
    regrid_mask,
    require_same_grid,
    save_cube,
    stack_bands,
    to_fits,
)
from hstcube.core.mappings import pixel_mapping
from hstcube.errors import GridError
from hstcube.fits.units import hdu

SHAPES = st.tuples(st.integers(20, 60), st.integers(20, 60))
ULP_OF_360_DEG = (
    math.ulp(360.0) * 3.6e6
)  # mas: right ascensions are doubles, 2.0e-7 mas apart at worst
SKY = 1e-6  # mas: five of those


def apart(one, other):
    """Largest distance between positions (ra, dec) in degrees, mas."""
    (ra, dec), (ra2, dec2) = one, other
    dra = (np.asarray(ra) - ra2 + 180) % 360 - 180
    return float(np.max(np.hypot(dra * np.cos(np.deg2rad(dec)), np.asarray(dec) - dec2))) * 3.6e6


def sky_of(wcs, y, x):
    """(ra, dec) of the pixels at all y and all x."""
    return wcs.pixel_to_world_values(*np.meshgrid(x, y))


def plane_on(grid):
    return xr.DataArray(np.zeros(grid.shape, dtype=np.float32), grid.coords(), ("y", "x"))


def draw_chain(data, plane, length):
    """Slice, stride, flip, coarsen at random; return that, and its pixels on the parent by hand."""
    centres = {dim: np.arange(plane.sizes[dim], dtype=float) for dim in ("y", "x")}
    for _ in range(length):
        dim = data.draw(st.sampled_from(["y", "x"]))
        now = centres[dim]
        if data.draw(st.booleans()):
            cut = data.draw(st.slices(len(now)))
            after = now[cut]
            step = plane.isel({dim: cut})
        else:
            factor = data.draw(st.integers(2, 4))
            if len(now) < 2 * factor:
                continue
            after = now[: len(now) // factor * factor].reshape(-1, factor).mean(axis=1)
            step = plane.coarsen({dim: factor}, boundary="trim").mean()
        if len(after) > 1:  # a single pixel does not tell its size
            plane, centres[dim] = step, after
    return plane, centres


# -- slice then WCS = WCS then slice


@pytest.mark.slow
@examples(120)
@given(data=st.data(), shape=SHAPES, turned=st.sampled_from([42.0, None]))
def test_a_chain_of_cuts_keeps_its_place_on_the_sky(data, shape, turned):
    grid = data.draw(grids(shape=shape, angle=turned))
    plane, centres = draw_chain(data, plane_on(grid), data.draw(st.integers(1, 5)))
    there = Grid.of(plane)
    assert there.shape == plane.shape
    rows, columns = np.arange(there.shape[0]), np.arange(there.shape[1])
    expected = sky_of(WCS(grid.header()), centres["y"], centres["x"])
    assert apart(sky_of(there.wcs, rows, columns), expected) < SKY
    assert apart(sky_of(WCS(there.header()), rows, columns), expected) < SKY


@examples(40)
@given(data=st.data(), shape=SHAPES)
def test_a_cut_of_the_array_is_a_cut_of_the_astropy_wcs(data, shape):
    grid = data.draw(grids(shape=shape))
    # of blocks, not of strided pixels: what astropy calls a stride is a mean over pixels, half a
    # pixel away from ours
    cut = tuple(
        slice(data.draw(st.integers(0, n - 8)), data.draw(st.integers(n - 5, n))) for n in shape
    )
    there = Grid.of(plane_on(grid).isel(y=cut[0], x=cut[1]))
    astropy = WCS(grid.header()).slice(cut)
    rows, columns = (np.arange(n) for n in there.shape)
    assert apart(sky_of(there.wcs, rows, columns), sky_of(astropy, rows, columns)) < SKY


@examples(30)
@given(data=st.data(), shape=SHAPES, factor=st.integers(1, 5))
def test_a_coarse_grid_has_the_place_of_a_coarsened_image(data, shape, factor):
    grid = data.draw(grids(shape=shape))
    coarse = grid.coarsen(factor)
    of_image = Grid.of(plane_on(grid).coarsen(y=factor, x=factor, boundary="trim").mean())
    assert coarse.shape == of_image.shape
    assert coarse.shift(of_image) < 1e-9
    assert coarse.scale == pytest.approx(factor * grid.scale, rel=1e-12)


@pytest.mark.slow
@examples(6)
@given(data=st.data(), cube=cubes(sides=st.integers(12, 40), kinds=["none", "islands"]))
def test_files_of_a_cut_cube_show_the_same_sky(data, cube):
    for dim in ("y", "x"):
        start, step = data.draw(st.integers(0, 4)), data.draw(st.sampled_from([1, 2, -1, -2]))
        cube = cube.isel({dim: slice(start, None)}).isel({dim: slice(None, None, step)})
    if not (cube.wht > 0).any(("y", "x")).all():
        return  # a band without data cannot be read
    grid = Grid.of(cube)
    rows, columns = (np.arange(n) for n in grid.shape)
    expected = sky_of(grid.wcs, rows, columns)
    with a_folder() as folder:
        paths = to_fits(cube, folder)
        read = open_field(folder, "f1")
        same_bits(read, cube)
        assert apart(sky_of(Grid.of(read).wcs, rows, columns), expected) < SKY
        for path in paths:  # and to a program that knows nothing of hstcube
            with fits.open(path, checksum=True) as hdus:
                assert apart(sky_of(WCS(hdus[0].header), rows, columns), expected) < SKY
        kept = open_cube(save_cube(cube, folder / "f1.nc"))
        xr.testing.assert_identical(kept, cube)
        assert Grid.of(kept) == grid
        cube.to_zarr(folder / "f1.zarr", consolidated=False)
        assert Grid.of(xr.open_zarr(folder / "f1.zarr", consolidated=False)) == grid


# -- the value


@examples(60)
@given(grid=grids())
def test_a_grid_is_a_value_that_its_header_and_its_coordinates_give_back(grid):
    again = Grid.from_header(grid.header(), shape=grid.shape)
    text = fits.Header.fromstring(
        hdu(None, grid.header_cards())
    )  # the cards as our files hold them
    assert again == Grid.from_header(text, shape=grid.shape) == Grid.of(plane_on(grid)) == grid
    assert hash(again) == hash(grid)
    assert again.fingerprint == grid.fingerprint
    assert len({grid, again}) == 1
    assert -(2**63) <= grid.fingerprint < 2**63


@examples(40)
@given(grid=grids(), data=st.data())
def test_a_grid_that_lies_elsewhere_has_another_fingerprint(grid, data):
    key = data.draw(st.sampled_from(["CRPIX1", "CRPIX2", "CRVAL1", "CRVAL2"]))
    cards = dict(grid.cards)
    moved = Grid.from_header(cards | {key: np.nextafter(cards[key], 1e9)}, shape=grid.shape)
    assert moved != grid
    assert moved.fingerprint != grid.fingerprint


def test_a_zero_has_no_sign():
    # an image without rotation has CD1_2 = -0.0 as often as 0.0, a flip changes it, and astropy
    # reads both as 0.0
    plain = plain_grid((9, 8))
    minus = Grid.from_header(dict(plain.cards) | {"CD1_2": -0.0, "CD2_1": -0.0}, shape=plain.shape)
    assert minus == plain
    assert minus.fingerprint == plain.fingerprint
    flipped = Grid.of(plane_on(plain).isel(y=slice(None, None, -1)))
    read = Grid.from_header(
        fits.Header.fromstring(hdu(None, flipped.header_cards())), shape=flipped.shape
    )
    assert read.fingerprint == flipped.fingerprint


def test_what_is_remembered_of_a_wcs_changes_no_other():
    cards = dict(Grid.around((53.0, -27.0), 6.0, 0.06).cards)
    for crval in (53.0, 53, 53.0):  # one number, in two types: cards are kept verbatim
        grid = Grid.from_header({**cards, "CRVAL1": crval}, shape=(100, 100))
        assert type(dict(grid.cards)["CRVAL1"]) is type(crval)
    for _ in range(2):
        with pytest.raises(GridError, match="HC-W06"):
            Grid.from_header({**cards, "CRVAL2": 91.0}, shape=(100, 100))
        with pytest.raises(GridError, match="HC-W07"):
            Grid.from_header({**cards, "PV2_1": 1.0}, shape=(100, 100))
        Grid.from_header({**cards, "PV2_1": 0.0}, shape=(100, 100))


@examples(40)
@given(grid=grids())
def test_scale_and_steps_are_those_of_astropy(grid):
    wcs = WCS(grid.header())
    np.testing.assert_allclose(grid.matrix, wcs.pixel_scale_matrix, rtol=1e-12, atol=1e-20)
    assert grid.scale == pytest.approx(
        np.sqrt(abs(np.linalg.det(wcs.pixel_scale_matrix))) * 3600, rel=1e-12
    )
    np.testing.assert_allclose(grid.steps, [grid.scale] * 2, rtol=1e-9)
    assert grid.wcs.array_shape == grid.shape


def test_a_rotation_given_by_crota_is_not_lost():
    header = {
        "CTYPE1": "RA---TAN",
        "CTYPE2": "DEC--TAN",
        "CRPIX1": 5.0,
        "CRPIX2": 5.0,
        "CRVAL1": 53.0,
        "CRVAL2": -27.0,
        "CDELT1": -1e-5,
        "CDELT2": 1e-5,
        "CROTA2": 42.0,
    }
    try:
        grid = Grid.from_header(header, shape=(10, 10))
    except GridError:
        return  # saying no is as good
    rows = np.arange(10)
    assert (
        apart(
            sky_of(grid.wcs, rows, rows), sky_of(WCS(fits.Header(list(header.items()))), rows, rows)
        )
        < SKY
    )


@examples(30)
@given(grid=grids(shape=(12, 15)), data=st.data(), shift=st.floats(-0.4, 0.4))
def test_grids_are_one_within_a_ten_thousandth_of_a_pixel(grid, data, shift):
    y, x = (data.draw(st.floats(-1, 1)) for _ in "yx")
    moved = grid.stepped((y * shift, x * shift), (1.0, 1.0), grid.shape)
    distance = abs(shift) * np.hypot(y, x)
    assert grid.shift(moved) == pytest.approx(distance, abs=1e-9)
    if distance < 0.99e-4:
        grid.require(moved)
    if distance > 1.01e-4:
        with pytest.raises(GridError, match="HC-D02"):
            grid.require(moved)
    with pytest.raises(GridError, match="HC-D01"):
        grid.require(Grid((15, 12), grid.cards))


@examples(15)
@given(
    grid=grids(shape=(12, 15)),
    labels=st.lists(st.integers(0, 14), min_size=3, max_size=6, unique=True),
)
def test_pixels_that_are_not_evenly_spaced_are_no_grid(grid, labels):
    picked = plane_on(grid).isel(x=labels)
    if len(set(np.diff(labels))) == 1:
        assert Grid.of(picked).shape == (12, len(labels))
    else:
        with pytest.raises(GridError, match="HC-W22"):
            Grid.of(picked)


@examples(20)
@given(grid=grids(shape=(12, 15)), step=st.integers(-3, 3).filter(bool), row=st.integers(0, 11))
def test_a_single_row_has_the_step_of_the_columns(grid, step, row):
    one = Grid.of(plane_on(grid).isel(y=[row], x=slice(None, None, step)))
    assert one.shape[0] == 1
    np.testing.assert_allclose(one.steps, [abs(step) * grid.scale] * 2, rtol=1e-9)
    columns = np.arange(15.0)[::step]
    assert (
        apart(sky_of(one.wcs, [0], np.arange(len(columns))), sky_of(grid.wcs, [row], columns)) < SKY
    )
    with pytest.raises(GridError, match="HC-W22"):
        Grid.of(plane_on(grid).isel(y=[row], x=[3]))


# -- one grid for all


@examples(15)
@given(
    cube=cubes(bands=(2, 3), sides=st.integers(8, 20)),
    dim=st.sampled_from(["y", "x"]),
    data=st.data(),
)
def test_arrays_of_other_pixels_are_refused(cube, dim, data):
    joining = (
        require_same_grid,
        lambda one, two: mask(one, chosen(two)),
        lambda one, two: stack_bands([one.isel(band=[0]), two.isel(band=[1])]),
    )
    other = cube.isel(
        {dim: data.draw(st.sampled_from([slice(1, None), slice(None, -1), slice(None, None, -1)]))}
    )
    for refuse in joining:
        with pytest.raises(GridError):
            refuse(cube, other)
    moved = Grid.of(cube).stepped((0.0, 0.01), (1.0, 1.0), (cube.sizes["y"], cube.sizes["x"]))
    elsewhere = cube.assign_coords(moved.coords())  # the same labels, a hundredth of a pixel away
    for refuse in joining:
        with pytest.raises(GridError, match="HC-D02"):
            refuse(cube, elsewhere)
    require_same_grid(cube, chosen(cube).drop_vars("wcs"))
    require_same_grid(cube, chosen(cube).values)


# -- from grid to grid


@examples(60)
@given(data=st.data(), source=grids())
def test_the_affine_mapping_is_the_way_through_the_sky(data, source):
    target = data.draw(grids_over(source))
    y, x = np.meshgrid(
        np.linspace(-3, source.shape[0] + 3, 7),
        np.linspace(-3, source.shape[1] + 3, 7),
        indexing="ij",
    )
    got_y, got_x = pixel_mapping(source, target)(y, x)
    expected_x, expected_y = pixel_to_pixel(WCS(source.header()), WCS(target.header()), x, y)
    # positions on the sky are doubles; their spacing in pixels bounds how well astropy can agree
    bound = 10 * ULP_OF_360_DEG / (target.scale * 1000)
    assert np.max(np.hypot(got_y - expected_y, got_x - expected_x)) < bound
    back_y, back_x = pixel_mapping(target, source)(got_y, got_x)
    np.testing.assert_allclose(back_y, y, atol=1e-9)
    np.testing.assert_allclose(back_x, x, atol=1e-9)


@examples(20)
@given(data=st.data(), source=grids(shape=(30, 31)))
def test_another_frame_or_reference_point_goes_through_the_sky(data, source):
    cards = dict(source.cards)
    other = data.draw(
        st.sampled_from(
            [
                {"RADESYS": "FK5", "EQUINOX": 2000.0},
                {"RADESYS": "FK5", "EQUINOX": 1990.0},
                {"LONPOLE": 150.0},
                {"CRVAL2": cards["CRVAL2"] + 0.01},
                {"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN"},
            ]
        )
    )
    target = Grid.from_header(cards | other, shape=source.shape)
    y, x = np.meshgrid([0.0, 14.0, 29.0], [0.0, 15.0, 30.0], indexing="ij")
    got_y, got_x = pixel_mapping(source, target)(y, x)
    expected_x, expected_y = pixel_to_pixel(WCS(source.header()), WCS(target.header()), x, y)
    bound = 10 * ULP_OF_360_DEG / (target.scale * 1000)
    assert np.max(np.hypot(got_y - expected_y, got_x - expected_x)) < bound


@pytest.mark.parametrize(
    "cards",
    [
        {"LONPOLE": 180.0},
        {"RADESYS": "ICRS"},
        {"CUNIT1": "deg", "CUNIT2": "deg"},
        {"LATPOLE": -27.79},
        {"WCSAXES": 2},
    ],
    ids=str,
)
def test_a_card_that_says_the_default_moves_nothing(cards):
    bare = plain_grid((20, 21))
    said = Grid.from_header(dict(bare.cards) | cards, shape=bare.shape)
    assert bare.shift(said) == 0
    y, x = np.meshgrid([0.0, 19.0], [0.0, 20.0], indexing="ij")
    expected_x, expected_y = pixel_to_pixel(WCS(bare.header()), WCS(said.header()), x, y)
    np.testing.assert_allclose(pixel_mapping(bare, said)(y, x), (expected_y, expected_x), atol=1e-7)


@pytest.mark.parametrize(
    ("old", "now"),
    [
        ({"RADECSYS": "FK5"}, {"RADESYS": "FK5"}),
        ({"EPOCH": 1990.0}, {"EQUINOX": 1990.0}),
        ({"WCSAXES": 3}, {"WCSAXES": 2}),
        ({"RADECSYS": "FK4", "RADESYS": "FK5"}, {"RADESYS": "FK5"}),
        ({"PV2_1": 0.0, "CD3_3": 1.0}, {}),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore::astropy.wcs.FITSFixedWarning")
def test_a_card_of_an_old_name_or_of_a_third_axis_is_read_as_wcslib_reads_it(old, now):
    bare = plain_grid((20, 21))
    said = fits.Header(dict(bare.cards) | old)
    read = Grid.from_header(said, shape=bare.shape)
    assert (
        read.fingerprint == Grid.from_header(dict(bare.cards) | now, shape=bare.shape).fingerprint
    )
    y, x = np.meshgrid([0.0, 19.0], [0.0, 20.0], indexing="ij")
    expected_x, expected_y = pixel_to_pixel(WCS(bare.header()), WCS(said).celestial, x, y)
    np.testing.assert_allclose(pixel_mapping(bare, read)(y, x), (expected_y, expected_x), atol=1e-6)


def nearest_by_astropy(source, target):
    """Nearest pixel of `source` for each of `target`, and which rounding does not decide."""
    x, y = np.meshgrid(np.arange(target.shape[1]), np.arange(target.shape[0]))
    there_x, there_y = pixel_to_pixel(WCS(target.header()), WCS(source.header()), x, y)
    clear = (abs(there_x % 1 - 0.5) > 1e-6) & (abs(there_y % 1 - 0.5) > 1e-6)
    return np.rint(there_y).astype(int), np.rint(there_x).astype(int), clear


def regridded(function, *args, **kwargs):
    """Return the result, or None where the two do not overlap."""
    try:
        return function(*args, **kwargs)
    except GridError as error:
        assert error.code == "HC-W15"  # noqa: PT017  the law below says when
        return None


@examples(60)
@given(data=st.data(), labels=label_maps())
def test_regridded_labels_are_those_of_the_nearest_pixels(data, labels):
    source, before = Grid.of(labels), snapshot(labels)
    target = data.draw(grids_over(source))
    rows, columns, clear = nearest_by_astropy(source, target)
    inside = (rows >= 0) & (rows < source.shape[0]) & (columns >= 0) & (columns < source.shape[1])
    clipped = labels.values[rows.clip(0, source.shape[0] - 1), columns.clip(0, source.shape[1] - 1)]
    found = regridded(regrid_labels, read_only(labels), target)
    assert snapshot(labels) == before
    if found is None:
        assert not (inside & clear).any()
        return
    assert found.dims == ("y", "x")
    assert found.dtype == np.int32
    assert Grid.of(found) == target
    assert set(np.unique(found)) <= {-1, *np.unique(labels)}
    np.testing.assert_array_equal(found.values[clear], np.where(inside, clipped, -1)[clear])

    keep = regrid_mask(labels == 3, target)
    np.testing.assert_array_equal(keep.values, found.values == 3)
    assert keep.dtype == bool
    beyond = regrid_mask(labels == 3, target, outside="nearest")
    np.testing.assert_array_equal(beyond.values[clear], (clipped == 3)[clear])
    assert not (keep & ~beyond).any()


@examples(30)
@given(labels=label_maps(), data=st.data())
def test_a_shift_by_whole_pixels_moves_labels_as_they_are(labels, data):
    source = Grid.of(labels)
    dy, dx = (data.draw(st.integers(-n // 2, n // 2)) for n in source.shape)
    moved = regrid_labels(labels, source.stepped((dy, dx), (1, 1), source.shape))
    expected = labels.shift(y=-dy, x=-dx, fill_value=-1)
    np.testing.assert_array_equal(moved.values, expected.values)
    back = regrid_labels(moved, source).values
    np.testing.assert_array_equal(back, expected.shift(y=dy, x=dx, fill_value=-1).values)


@examples(20)
@given(labels=label_maps())
def test_labels_on_their_own_grid_stay_bit_for_bit(labels):
    same = regrid_labels(labels, Grid.of(labels))
    xr.testing.assert_identical(same, labels)
    assert not np.shares_memory(same.values, labels.values)
    xr.testing.assert_identical(
        regrid_mask(labels == 3, Grid.of(labels)), (labels == 3).drop_attrs(deep=False)
    )


@examples(20)
@given(data=st.data(), labels=label_maps())
def test_labels_are_regridded_once(data, labels):
    target = data.draw(grids_over(Grid.of(labels)))
    once = regridded(regrid_labels, labels, target)
    if once is not None:
        xr.testing.assert_identical(regrid_labels(once, target), once)


@examples(20)
@given(data=st.data(), labels=label_maps(sides=st.just(14)))
def test_the_dims_of_a_map_have_names_their_order_does_not_matter(data, labels):
    target = data.draw(grids_over(Grid.of(labels)))
    turned = labels.transpose("x", "y")
    first, then = (regridded(regrid_labels, array, target) for array in (labels, turned))
    assert (first is None) == (then is None)
    if first is not None:
        xr.testing.assert_identical(then, first)
        xr.testing.assert_identical(
            regrid_mask(turned == 3, target), regrid_mask(labels == 3, target)
        )


@examples(30)
@given(data=st.data(), source=grids(shape=(41, 41)), seed=SEEDS)
def test_an_object_keeps_its_area_to_a_pixel_of_its_rim(data, source, seed):
    y, x = np.indices(source.shape)
    radius = 6 + 6 * np.random.default_rng(seed).random()
    labels = xr.DataArray(
        (np.hypot(y - 20, x - 20) < radius).astype(np.int32), source.coords(), ("y", "x"), "labels"
    )
    drawn = data.draw(grids_over(source))
    cards = dict(drawn.cards)
    there_y, there_x = pixel_mapping(source, drawn)(20.0, 20.0)
    side = (
        int(60 * source.scale / drawn.scale) + 1
    )  # large enough to hold the whole map at any angle
    cards["CRPIX1"] += side / 2 - float(there_x)
    cards["CRPIX2"] += side / 2 - float(there_y)
    target = Grid.from_header(cards, shape=(side, side))
    found = regrid_labels(labels, target)
    size = (target.scale / source.scale) ** 2
    rim = 2 * np.pi * (radius + 1) * max(1, target.scale / source.scale)
    assert abs(float((found == 1).sum()) * size - float(labels.sum())) < rim


@examples(15)
@given(labels=label_maps(), away=st.floats(1.0, 90.0))
def test_a_map_of_another_piece_of_sky_is_refused(labels, away):
    source = Grid.of(labels)
    ny, nx = source.shape
    elsewhere = source.stepped((ny + 60.0 * away, 0.0), (1.0, 1.0), (ny, nx))
    for function in (regrid_labels, regrid_mask):
        with pytest.raises(HstCubeError, match="HC-W15"):
            function(labels, elsewhere)


@examples(15)
@given(grid=grids(shape=(9, 7)), sides=st.tuples(SIDES, SIDES))
def test_every_pixel_of_the_map_reaches_half_a_pixel_beyond_its_centre(grid, sides):
    labels = xr.DataArray(
        np.arange(63, dtype=np.int32).reshape(9, 7) + 1, grid.coords(), ("y", "x"), "labels"
    )
    n = (
        2 * (sides[0] // 2) + 1
    )  # an odd number of fine pixels a pixel, so that none straddles a border
    fine = grid.stepped((-0.5 + 0.5 / n, -0.5 + 0.5 / n), (1 / n, 1 / n), (9 * n, 7 * n))
    blocks = np.kron(labels.values, np.ones((n, n), dtype=int))
    np.testing.assert_array_equal(regrid_labels(labels, fine).values, blocks)


def test_grids_on_opposite_parts_of_the_sky_are_told_apart_in_degrees():
    here, there = (Grid.around((ra, -27.8), 3.0, 0.06) for ra in (53.0, 233.0))
    with pytest.raises(GridError, match="more than 90 degrees apart"):
        here.require(there)
    with pytest.raises(GridError, match=r"up to [0-9.]+ pixels apart"):
        here.require(Grid.around((53.001, -27.8), 3.0, 0.06))
