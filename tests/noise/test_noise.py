"""Errors of groups of pixels: against double sums, the exact form and simulations."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy.signal import fftconvolve
from strategies import plain_grid

import hstcube
from hstcube.core.offsets import with_noise_coords
from hstcube.errors import HstCubeWarning, NoiseError
from hstcube.matching.match import match_plane
from hstcube.matching.solver import gaussian_kernel
from hstcube.noise._autocorrelation import pair_sums, removal_bias
from hstcube.noise.correlation import covariances, find_groups, propagated, variances
from hstcube.noise.description import survey_noise
from hstcube.noise.empty_apertures import noise_check
from hstcube.sky.sources import detect_sources

SIDE = 80
# [p, 1, p] x [p, 1, p]: rho(0,1) = 0.55, rho(1,1) = 0.30, rho(0,2) = 0.09, as in XDF WFC3/IR
TAP = 0.335
WHITE = np.ones((1, 1))


def drizzle():
    """Return what makes white noise correlated like a drizzled image, of unit variance."""
    tap = np.outer([TAP, 1, TAP], [TAP, 1, TAP])
    return tap / np.sqrt((tap**2).sum())


def acf_of(tap):
    return propagated(tap[None], np.ones((1, 1, 1)))[0][0]


def ring(radius=12):
    """Return a kernel with a sharp core and a negative ring, as measured PSFs give them."""
    core, wide = (
        gaussian_kernel((0.7, 0.7), (radius,) * 2),
        gaussian_kernel((2.0, 2.0), (radius,) * 2),
    )
    return 1.3 * core - 0.5 * wide + 0.2 * gaussian_kernel((1.4, 1.4), (radius,) * 2)


def gaussian(sigma):
    return gaussian_kernel((sigma, sigma), (int(np.ceil(8.5 * sigma)),) * 2)


def cube_of(wht, *, tap=WHITE, scale=1.0, sci=None, **state):
    wht = np.asarray(wht, float)
    sci = np.zeros(wht.shape) if sci is None else sci
    cube = hstcube.build(
        sci[None],
        wht[None],
        bands=["f435w"],
        grid=plain_grid(wht.shape),
        units="electron s-1",
        field="f1",
        psf_fwhm=[0.1],
        **state,
    )
    return (
        with_noise_coords(cube, [scale], acf_of(tap)[None], (0.06, 0.06))
        if tap is not WHITE
        else cube
    )


def matched(cube, kernel):
    kernels = xr.DataArray(kernel[None], dims=("band", "ky", "kx"), coords={"band": ["f435w"]})
    return hstcube.psf_match(cube, to="0.3arcsec", kernels=kernels)


def numbered(masks):
    """Return a map for every mask: groups may overlap."""
    return [mask.astype(int) for mask in masks]


# -- sums


def double_sum(sigma, labels, acf):
    ids = np.unique(labels[labels > 0])
    out = np.zeros((ids.size, ids.size))
    ry, rx = acf.shape[0] // 2, acf.shape[1] // 2
    places = [np.argwhere(labels == i) for i in ids]
    for a, first in enumerate(places):
        for b, second in enumerate(places):
            dy, dx = np.moveaxis(first[:, None] - second[None], -1, 0)
            near = (abs(dy) <= ry) & (abs(dx) <= rx)
            rho = np.where(near, acf[np.where(near, dy + ry, 0), np.where(near, dx + rx, 0)], 0)
            out[a, b] = sigma[tuple(first.T)] @ rho @ sigma[tuple(second.T)]
    return out


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_variances_and_covariances_are_the_double_sum(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(5, 40, 2))
    sigma = rng.uniform(0, 2, shape) * (rng.uniform(size=shape) > 0.1)
    acf = acf_of(rng.normal(size=tuple(2 * rng.integers(0, 4, 2) + 1)))
    scattered = rng.integers(-1, 4, shape)
    compact = np.arange(shape[0])[:, None] // 3 * 20 + np.arange(shape[1]) // rng.integers(1, 9)
    for labels in (scattered, compact):
        groups, exact = find_groups(labels), double_sum(sigma, labels, acf)
        np.testing.assert_allclose(variances(sigma, groups, acf), np.diag(exact), atol=1e-9)
        np.testing.assert_allclose(covariances(sigma, groups, acf), exact, atol=1e-9)


def test_independent_pixels_add_in_quadrature():
    rng = np.random.default_rng(1)
    wht = rng.uniform(1, 9, (30, 31))
    groups = rng.integers(0, 6, wht.shape)
    errors = hstcube.group_errors(cube_of(wht), groups)
    assert errors.dims == ("band", "group")
    assert errors.group.values.tolist() == [1, 2, 3, 4, 5]
    np.testing.assert_allclose(
        errors[0], [np.sqrt((1 / wht[groups == i]).sum()) for i in range(1, 6)], rtol=1e-6
    )


def test_one_pixel_has_the_error_of_its_variance():
    cube = matched(cube_of(np.full((40, 40), 2.0), tap=drizzle(), scale=0.5), gaussian(1.0))
    errors = hstcube.group_errors(cube, np.arange(1, 1601).reshape(40, 40))
    np.testing.assert_allclose(errors[0], np.sqrt(hstcube.variance(cube).values.ravel()), rtol=1e-6)


def test_the_error_of_the_sky_level_adds_as_the_number_of_pixels():
    groups = np.repeat([[1, 2, 2, 2]], 4, axis=0)
    cube = cube_of(np.full((4, 4), 1e12), sky_error=[0.5])
    np.testing.assert_allclose(hstcube.group_errors(cube, groups)[0], [2, 6], rtol=1e-6)
    covariance = hstcube.group_errors(cube, groups, covariance=True)
    assert covariance.dims == ("band", "group", "other")
    np.testing.assert_allclose(covariance[0], [[4, 12], [12, 36]], rtol=1e-6)


def test_covariances_hold_the_errors_on_their_diagonal():
    cube = matched(cube_of(np.full((40, 40), 2.0), tap=drizzle(), sky_error=[0.1]), gaussian(1.0))
    groups = np.arange(40)[:, None] // 5 * 8 + np.arange(40) // 5 + 1
    covariance = hstcube.group_errors(cube, groups, covariance=True)[0].values
    np.testing.assert_allclose(
        np.sqrt(np.diag(covariance)), hstcube.group_errors(cube, groups)[0], rtol=1e-9
    )
    assert np.linalg.eigvalsh(covariance).min() > 0


def test_pixels_without_data_are_no_part_of_a_sum():
    wht = np.full((6, 6), 4.0)
    wht[:3] = 0
    groups = np.array([[1] * 6, [1] * 6, [2] * 6, [2] * 6, [3] * 6, [0] * 6])
    errors = hstcube.group_errors(cube_of(wht, sci=np.where(wht > 0, 0, np.nan)), groups)[0]
    np.testing.assert_allclose(errors, [np.nan, np.sqrt(6) / 2, np.sqrt(6) / 2], rtol=1e-6)


@pytest.mark.parametrize(
    "cut", [{"y": slice(None, None, -1)}, {"x": slice(None, None, -1)}, {"y": slice(3, 30)}]
)
def test_a_cut_or_flipped_cube_has_the_errors_of_its_pixels(cut):
    tap = np.array([[0.0, 0, 0.6], [0, 1, 0], [0, 0, 0]])  # neighbours along one diagonal
    tap /= np.sqrt((tap**2).sum())
    cube = cube_of(np.full((40, 40), 2.0), tap=tap)
    groups = xr.DataArray(
        np.arange(40)[:, None] // 3 * 14 + np.arange(40) // 3 + 1,
        {"y": cube.y, "x": cube.x},
        ("y", "x"),
    )
    part = hstcube.group_errors(cube.isel(cut), groups.isel(cut))
    whole = hstcube.group_errors(cube, groups.where(groups.isin(groups.isel(cut)), 0))
    inside = slice(1, -1) if cut["y" if "y" in cut else "x"].start else slice(None)
    chosen = part.group.values[14:-14] if inside.start else part.group.values
    np.testing.assert_allclose(part.sel(group=chosen), whole.sel(group=chosen), rtol=1e-12)
    flipped_twice = matched(cube.isel(cut), gaussian(1.0)).isel(
        {name: s for name, s in cut.items() if s.step}
    )
    again = matched(cube, gaussian(1.0))
    np.testing.assert_allclose(flipped_twice.noise_acf, again.noise_acf, atol=1e-7)


def test_a_strided_cube_has_the_correlations_of_its_pixels():
    cube = cube_of(np.full((40, 40), 2.0), tap=drizzle())
    every_second = cube.isel(y=slice(None, None, 2), x=slice(None, None, 2))
    groups = np.ones((20, 20), int)
    step = slice(cube.sizes["dy"] // 2 % 2, None, 2)
    thinned = cube.noise_acf.values[0][step, step]
    lags = (20 - np.abs(np.arange(-1, 2)))[:, None] * (20 - np.abs(np.arange(-1, 2)))
    np.testing.assert_allclose(
        hstcube.group_errors(every_second, groups)[0, 0] ** 2, (lags * thinned).sum() / 2, rtol=1e-6
    )


def test_errors_of_lazy_cubes_are_those_of_eager_ones():
    pytest.importorskip("dask")
    cube = matched(cube_of(np.full((40, 40), 2.0), tap=drizzle()), gaussian(1.0))
    groups = np.arange(40)[:, None] // 5 * 8 + np.arange(40) // 5 + 1
    lazy = hstcube.group_errors(cube.chunk(y=16, x=16), groups)
    assert lazy.chunks
    xr.testing.assert_allclose(lazy.compute(), hstcube.group_errors(cube, groups))


# -- matching, against the exact form


def weights(kind):
    wht = np.full((SIDE, SIDE), 4.0)
    if kind in ("step", "hole and step"):
        wht[:, 40:] *= 10
    if kind in ("hole", "hole and step"):
        wht[55:63, 55:60] = 0
    return wht


def places(kind):
    """Return masks by name: boxes, rings, odd groups; in the middle, at edges, hole and step."""
    y, x = np.mgrid[:SIDE, :SIDE]
    masks = {}
    corners = {"middle": (20, 10), "edge": (0, 10)} | (
        {} if kind == "constant" else {"corner": (0, 0), "hole": (52, 52)}
    )
    for size in (1, 2, 3, 5, 7, 10, 15, 20):
        for name, (top, left) in {
            **corners,
            **({"step": (30, 40 - size // 2)} if "step" in kind else {}),
        }.items():
            masks[f"{name} {size}"] = (
                (y >= top) & (y < top + size) & (x >= left) & (x < left + size)
            )
    for radius in (5, 12, 20):
        masks[f"ring {radius}"] = abs(np.hypot(y - 40, x - 40) - radius) < 2
    rng = np.random.default_rng(3)
    walk = np.cumsum(rng.integers(-1, 2, (150, 2)), axis=0) + 30
    masks["walk"] = np.zeros((SIDE, SIDE), bool)
    masks["walk"][tuple(np.clip(walk, 0, SIDE - 1).T)] = True
    masks["scattered"] = rng.uniform(size=(SIDE, SIDE)) < 0.02
    return {name: mask for name, mask in masks.items() if (mask & (weights(kind) > 0)).any()}


def exact_error(mask, wht, tap, kernel):
    """Return sqrt(sum_j var_j (K^T 1_group)_j^2), normalised as matching; `tap` makes noise."""
    seen = wht > 0
    sigma = np.where(seen, 1 / np.sqrt(np.where(seen, wht, 1)), 0)
    weight = (mask & seen) / np.where(seen, fftconvolve(seen.astype(float), kernel, "same"), 1)
    before = fftconvolve(weight, kernel[::-1, ::-1], "same") * sigma
    return np.sqrt((fftconvolve(before, tap[::-1, ::-1], "full") ** 2).sum())


KERNELS = {
    "narrow": gaussian(0.6),
    "F435W to F160W": gaussian(1.35),
    "wide": gaussian(3.0),
    "with a ring": ring(),
}
NOISE = {"white": WHITE, "drizzled": drizzle()}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["constant", "hole", "step", "hole and step"])
@pytest.mark.parametrize("noise", NOISE)
@pytest.mark.parametrize("kernel", KERNELS)
def test_errors_after_matching_agree_with_the_exact_form(kernel, noise, kind):
    """3 % for constant weights, 6 % at corners, holes and steps of x10; single pixels 1 %."""
    wht, tap = weights(kind), NOISE[noise]
    cube = matched(cube_of(wht, tap=tap, sci=np.where(wht > 0, 0, np.nan)), KERNELS[kernel])
    bound = 0.03 if kind == "constant" else 0.06
    for name, mask in places(kind).items():
        exact = exact_error(mask, wht, tap, KERNELS[kernel])
        found = hstcube.group_errors(cube, mask.astype(int)).item()
        assert abs(found / exact - 1) < bound, (name, found / exact)
        if mask.sum() == 1:
            assert abs(np.sqrt(hstcube.variance(cube).values[0][mask].item()) / exact - 1) < 0.01, (
                name
            )


@pytest.mark.parametrize("kernel", ["F435W to F160W", "with a ring"])
@pytest.mark.parametrize(
    "pixel", [(0, 0), (0, 40), (40, 39), (40, 40), (54, 57), (58, 54), (54, 54), (63, 60)]
)
def test_the_variance_of_a_pixel_is_right_at_edges_holes_and_steps(kernel, pixel):
    wht, mask = weights("hole and step"), np.zeros((SIDE, SIDE), bool)
    mask[pixel] = True
    cube = matched(cube_of(wht, tap=drizzle(), sci=np.where(wht > 0, 0, np.nan)), KERNELS[kernel])
    exact = exact_error(mask, wht, drizzle(), KERNELS[kernel])
    assert np.sqrt(hstcube.variance(cube).values[0][mask].item()) == pytest.approx(exact, rel=0.01)


def test_white_noise_keeps_the_weights_that_the_squared_kernel_gives():
    rng = np.random.default_rng(2)
    sci, wht = rng.normal(size=(2, 40, 41)).astype(np.float32)
    wht = (np.abs(wht) + 0.1).astype(np.float32)
    kernel = gaussian(1.35)
    plain, white = (
        match_plane(sci, wht, kernel),
        match_plane(sci, wht, kernel, 0.25, np.ones((1, 1))),
    )
    np.testing.assert_array_equal(plain[0], white[0])
    np.testing.assert_array_equal(plain[1], white[1])


@pytest.mark.parametrize("noise", NOISE)
def test_500_realisations_scatter_as_predicted(noise):
    """Pooled over 36 groups of 1x1 to 9x9 pixels and a matched cube: 2 %."""
    rng, number, tap = np.random.default_rng(7), 500, NOISE[noise]
    wht = np.full((48, 48), 4.0)
    wht[:, 24:] *= 2
    kernel = gaussian(1.35)
    side = np.array([1, 2, 3, 5, 7, 9])
    groups = np.zeros(wht.shape, int)
    for i in range(36):
        size, top, left = side[i % 6], 8 * (i // 6), 8 * (i % 6)
        groups[top : top + size, left : left + size] = i + 1
    sums = np.empty((number, 36))
    for k in range(number):
        white = rng.normal(size=(52, 52))
        image = fftconvolve(white, tap, "same")[2:-2, 2:-2] / np.sqrt(wht)
        sci = match_plane(image, wht, kernel)[0]
        sums[k] = np.bincount(groups.ravel(), weights=sci.ravel())[1:]
    cube = matched(cube_of(wht, tap=tap), kernel)
    pulls = sums / hstcube.group_errors(cube, groups).values
    assert np.sqrt((pulls**2).mean()) == pytest.approx(1, abs=0.02)


def test_a_quadrature_sum_is_a_quarter_of_the_true_error():
    """SCIENCE 3: after F435W -> F160W, 10x10 pixels; the purpose of it all."""
    cube = matched(cube_of(np.full((40, 40), 4.0)), gaussian(1.35))
    box = np.zeros((40, 40), int)
    box[15:25, 15:25] = 1
    plain = np.sqrt(hstcube.variance(cube).values[0][box > 0].sum())
    assert plain / hstcube.group_errors(cube, box).item() == pytest.approx(0.25, abs=0.02)


def test_matching_twice_keeps_the_noise_and_a_second_matching_adds_to_it():
    cube = cube_of(np.full((60, 60), 4.0), tap=drizzle(), scale=0.5)
    once = matched(cube, gaussian(1.0))
    xr.testing.assert_identical(matched(once, gaussian(1.0)).noise_acf, once.noise_acf)
    together = matched(cube, gaussian(np.hypot(1.0, 1.0)))
    twice = matched(once.assign_coords(matched_to=("band", np.array([""], object))), gaussian(1.0))
    np.testing.assert_allclose(twice.noise_acf, together.noise_acf, atol=2e-4)
    inner = {"y": slice(20, 40), "x": slice(20, 40)}
    np.testing.assert_allclose(
        hstcube.variance(twice.isel(inner)), hstcube.variance(together.isel(inner)), rtol=2e-3
    )


def test_bands_with_and_without_a_description_of_their_noise_are_stacked():
    native = hstcube.build(
        np.zeros((2, 30, 30)),
        np.ones((2, 30, 30)),
        bands=["f435w", "f160w"],
        grid=plain_grid((30, 30)),
        units="electron s-1",
        psf_fwhm=[0.1, 0.2],
    )
    cube = hstcube.psf_match(native)
    mixed = hstcube.stack_bands([native.isel(band=[1]), cube.isel(band=[0])])
    assert mixed.noise_acf.sel(band="f160w").values.sum() == 1
    xr.testing.assert_identical(mixed.noise_acf.sel(band="f435w"), cube.noise_acf.sel(band="f435w"))
    parts = hstcube.stack_bands([cube.isel(band=[i]) for i in (0, 1)])
    xr.testing.assert_identical(parts.noise_acf, cube.noise_acf)


def test_files_keep_the_noise(tmp_path):
    cube = matched(cube_of(np.full((40, 40), 4.0), tap=drizzle(), scale=0.5), gaussian(1.0))
    xr.testing.assert_identical(
        hstcube.open_cube(hstcube.save_cube(cube, tmp_path / "f1.nc")), cube
    )
    for layout in ("files", "mef"):
        hstcube.to_fits(cube, tmp_path / layout, layout=layout)
        xr.testing.assert_identical(hstcube.open_field(tmp_path / layout, "f1"), cube)
    zarr = pytest.importorskip("zarr")
    assert zarr
    plain = cube.drop_vars(["band", "matched_to"])  # texts: not what is looked at here
    plain.to_zarr(tmp_path / "f1.zarr", consolidated=False)
    with xr.open_zarr(tmp_path / "f1.zarr", consolidated=False) as again:
        np.testing.assert_array_equal(again.noise_acf, cube.noise_acf)


def test_a_damaged_description_of_the_noise_is_refused(tmp_path):
    cube = matched(cube_of(np.full((40, 40), 4.0)), gaussian(1.0))
    path = next(path for path in hstcube.to_fits(cube, tmp_path) if path.name.endswith("_wht.fits"))
    content = bytearray(path.read_bytes())
    content[-2880 - 1000] ^= 1  # in the pixels of the last extension
    path.write_bytes(content)
    with pytest.raises(hstcube.HstCubeError, match="HC-F05"):
        hstcube.open_field(tmp_path, "f1")


# -- measuring


def noise_image(rng, tap, shape=(100, 100)):
    pad = tap.shape[0]
    return fftconvolve(rng.normal(size=(shape[0] + 2 * pad, shape[1] + 2 * pad)), tap, "same")[
        pad:-pad, pad:-pad
    ]


def made_up_masks(rng, number=6):
    y, x = np.mgrid[:100, :100]
    masks = []
    for _ in range(number):
        blank = np.ones((100, 100), bool)
        for _ in range(8):
            cy, cx, r = *rng.uniform(0, 100, 2), rng.uniform(4, 12)
            blank &= np.hypot(y - cy, x - cx) > r
        masks.append(blank)
    return masks


def test_what_removing_the_background_takes_away_is_exact():
    """Against the covariance of white noise after the removal, written as a matrix."""
    y, x = np.mgrid[:44, :44]
    blank, scale, reach = (
        (np.hypot(y - 10, x - 30) > 7) & (np.hypot(y - 35, x - 12) > 9),
        5.0,
        (3, 3),
    )
    place = np.argwhere(blank)
    dy, dx = np.moveaxis(place[:, None] - place[None], -1, 0)
    weight = np.where(
        np.maximum(abs(dy), abs(dx)) <= 4 * scale, np.exp(-(dy**2 + dx**2) / (2 * scale**2)), 0
    )
    removal = np.eye(len(place)) - weight / weight.sum(axis=1, keepdims=True)
    covariance = removal @ removal.T
    pairs = pair_sums(np.zeros(blank.shape), blank, reach)[1]
    found = -removal_bias(blank, scale, reach) / pairs
    found[3, 3] += 1
    for lag in np.ndindex(7, 7):
        exact = covariance[(dy == lag[0] - 3) & (dx == lag[1] - 3)].mean()
        assert found[lag] == pytest.approx(exact, abs=5e-5), lag


def check_calibration(maps, noise):
    """Mean of 20 trials of six stamps pooled: f1 to 2 %, rho to 0.02, f1 sqrt(sum rho) to 4 %."""
    rng, tap, f1 = np.random.default_rng(11), NOISE[noise], 0.47
    scales, acfs = [], []
    for _ in range(20):
        cubes = [
            cube_of(np.full((100, 100), 4.0), sci=f1 / 2 * noise_image(rng, tap)) for _ in maps
        ]
        cubes = [cube.assign_coords(band=np.array(["f160w"], object)) for cube in cubes]
        found = hstcube.calibrate_noise(cubes, background=maps)
        scales.append(found.noise_scale.item())
        acfs.append(found.noise_acf.values[0])
    acf, true = np.mean(acfs, axis=0), np.zeros((7, 7))
    inner = acf_of(tap)
    reach = inner.shape[0] // 2
    true[3 - reach : 4 + reach, 3 - reach : 4 + reach] = inner
    assert np.mean(scales) == pytest.approx(f1, rel=0.02)
    np.testing.assert_allclose(acf, true, atol=0.02)
    large = np.mean([scale * np.sqrt(rho.sum()) for scale, rho in zip(scales, acfs, strict=True)])
    assert large == pytest.approx(f1 * np.sqrt(true.sum()), rel=0.04)


@pytest.mark.slow
@pytest.mark.parametrize("noise", NOISE)
def test_the_noise_of_six_stamps_is_measured(noise):
    check_calibration(made_up_masks(np.random.default_rng(6)), noise)


def test_one_stamp_alone_warns(recwarn):
    rng = np.random.default_rng(1)
    with pytest.warns(HstCubeWarning, match="HC-N06"):
        found = hstcube.calibrate_noise(
            cube_of(np.ones((100, 100)), sci=noise_image(rng, WHITE)),
            background=made_up_masks(rng, 1)[0],
        )
    assert "HC-N06" in found.attrs["warnings"]
    assert found.noise_scale.item() == pytest.approx(1, abs=0.05)


def test_sources_are_found_where_no_map_covers_the_sky():
    rng = np.random.default_rng(4)
    y, x = np.mgrid[:100, :100]
    source = 30 * np.exp(-0.5 * ((y - 30) ** 2 + (x - 70) ** 2) / 4**2)
    cube = cube_of(np.ones((100, 100)), sci=noise_image(rng, WHITE) + source)
    found = detect_sources(cube).values
    assert found[source > 1].mean() > 0.9
    assert found[source < 1e-3].mean() < 0.01
    beside = np.where(x < 50, 0, -1)  # the map covers the left half
    noise = [
        hstcube.calibrate_noise([cube, cube], background=maps) for maps in ([beside] * 2, None)
    ]
    for one in noise:
        assert one.noise_scale.item() == pytest.approx(1, abs=0.04)


def test_empty_apertures_scatter_as_predicted():
    rng = np.random.default_rng(8)
    maps = made_up_masks(rng)
    cubes = [
        cube_of(np.full((100, 100), 4.0), tap=drizzle(), sci=noise_image(rng, drizzle()) / 2)
        for _ in maps
    ]
    table = noise_check(cubes, background=maps)
    assert table["size"].tolist() == [1, 2, 3, 5, 7, 10, 15]
    for row in table[:5]:
        assert row["ratio"] == pytest.approx(1, abs=3 / np.sqrt(row["number"]) + 0.02), row["size"]
        assert row["constant"] == pytest.approx(1, abs=3 / np.sqrt(row["number"]) + 0.02), row[
            "size"
        ]


def test_the_noise_curve_is_drawn():
    from matplotlib.figure import Figure

    from hstcube.plots.sky import noise_curve

    rng = np.random.default_rng(8)
    table = noise_check(
        cube_of(np.ones((60, 60)), sci=noise_image(rng, WHITE, (60, 60))), sizes=(1, 3, 5)
    )
    assert isinstance(noise_curve(table), Figure)


# -- giving


def xdf_like():
    return cube_of(np.full((40, 40), 4.0), survey="xdf")


def test_the_noise_of_a_known_survey_is_there():
    assert hstcube.with_noise(xdf_like()).noise_scale.item() == pytest.approx(1.17, abs=0.02)
    assert hstcube.with_noise(cube_of(np.ones((9, 9)))).noise_scale.item() == 1
    table = survey_noise("xdf", hstcube.Grid.of(xdf_like()))
    assert table.sizes == {"band": 9, "dy": 11, "dx": 11}
    infrared = table.isel(dy=5, dx=6).noise_acf.sel(band=["f105w", "f125w", "f140w", "f160w"])
    assert ((infrared > 0.5) & (infrared < 0.65)).all()  # SCIENCE 2: 0.54
    assert hstcube.with_noise(xdf_like(), "white").noise_acf.values.sum() == 1


def test_what_becomes_of_a_table_changes_no_later_one():
    grid = hstcube.Grid.of(xdf_like())
    once = survey_noise("xdf", grid)
    kept = once.copy(deep=True)
    once.noise_acf.values[:] = 7
    once.noise_scale[:] = 7
    once.dy.attrs["units"] = once.attrs["title"] = "furlong"
    xr.testing.assert_identical(survey_noise("xdf", grid), kept)


def test_measured_noise_is_put_on_a_cube():
    rng = np.random.default_rng(3)
    cube = cube_of(np.ones((100, 100)), sci=noise_image(rng, drizzle()))
    noise = hstcube.calibrate_noise([cube, cube])
    described = hstcube.validate(hstcube.with_noise(cube, noise))
    np.testing.assert_array_equal(described.noise_acf, noise.noise_acf)
    assert described.attrs["history"].splitlines()[-1].startswith("with_noise(measured)")


def test_sources_add_the_noise_of_their_photons():
    """100 photons in 50 s: 2 +- 0.2 electrons per second."""
    cube = cube_of(np.full((4, 4), 1e9), sci=np.where(np.eye(4) > 0, 2.0, -1e-6))
    for exposure in (
        50.0,
        {"f435w": 50},
        np.full((4, 4), 50.0),
        xr.DataArray([50.0], {"band": ["f435w"]}, ("band",)),
    ):
        error = np.sqrt(hstcube.variance(hstcube.add_poisson(cube, exposure=exposure)).values[0])
        np.testing.assert_allclose(error[np.eye(4) > 0], 0.2, rtol=1e-3)
        np.testing.assert_allclose(error[np.eye(4) == 0], 1e-9**0.5, rtol=1e-3)


# -- refusing


def plain():
    return cube_of(np.ones((30, 30)))


def noisy(acf, step=0.06):
    return with_noise_coords(plain(), [1.0], np.asarray(acf, float)[None], (step, step))


ONE = np.ones((30, 30), int)
LOPSIDED = np.array([[0.0, 0, 0], [0, 1, 0.5], [0, 0, 0]])
REFUSED = {
    "groups that are real numbers": ("HC-N01", lambda: hstcube.group_errors(plain(), ONE * 1.0)),
    "groups with a band axis": ("HC-N01", lambda: hstcube.group_errors(plain(), ONE[None])),
    "no group": ("HC-N02", lambda: hstcube.group_errors(plain(), ONE * 0)),
    "an impossible noise_scale": (
        "HC-N03",
        lambda: hstcube.group_errors(plain().assign_coords(noise_scale=("band", [-1.0])), ONE),
    ),
    "a correlation above 1 at zero lag": (
        "HC-N03",
        lambda: hstcube.group_errors(noisy([[2.0]]), ONE),
    ),
    "a correlation that is NaN": ("HC-N03", lambda: hstcube.group_errors(noisy([[np.nan]]), ONE)),
    "a correlation of even size": (
        "HC-N03",
        lambda: hstcube.group_errors(noisy(np.ones((3, 3))).isel(dy=[0, 1]), ONE),
    ),
    "a lopsided correlation": ("HC-N03", lambda: hstcube.group_errors(noisy(LOPSIDED), ONE)),
    "lags of other pixels": (
        "HC-N04",
        lambda: hstcube.group_errors(noisy(acf_of(drizzle()), 0.05), ONE),
    ),
    "cubes of two scales": (
        "HC-N04",
        lambda: hstcube.calibrate_noise([plain(), plain().isel(y=slice(None, None, 2))]),
    ),
    "stacked lags of two scales": (
        "HC-N04",
        lambda: hstcube.stack_bands(
            [noisy(acf_of(drizzle())), other_band(noisy(acf_of(drizzle()), 0.05))]
        ),
    ),
    "no blank sky": ("HC-N05", lambda: hstcube.calibrate_noise(plain(), background=ONE * 3)),
    "measuring after matching": (
        "HC-N07",
        lambda: hstcube.calibrate_noise(matched(plain(), gaussian(1.0)), background=ONE * 0),
    ),
    "describing after matching": (
        "HC-N07",
        lambda: hstcube.with_noise(matched(plain(), gaussian(1.0))),
    ),
    "one map for two cubes": (
        "HC-N08",
        lambda: hstcube.calibrate_noise([plain(), plain()], background=[ONE * 0]),
    ),
    "a survey without a table": ("HC-N09", lambda: hstcube.with_noise(plain(), "goods")),
    "photons after matching": (
        "HC-N10",
        lambda: hstcube.add_poisson(matched(plain(), gaussian(1.0)), exposure=1.0),
    ),
    "photons twice": (
        "HC-N10",
        lambda: hstcube.add_poisson(hstcube.add_poisson(plain(), exposure=1.0), exposure=1.0),
    ),
    "no exposure time": ("HC-N11", lambda: hstcube.add_poisson(plain(), exposure=0.0)),
    "photons of microjansky": ("HC-N11", lambda: hstcube.add_poisson(in_ujy(), exposure=1.0)),
}


def other_band(cube):
    return cube.assign_coords(band=np.array(["f606w"], object))


def in_ujy():
    cube = plain()
    return cube.assign(sci=cube.sci.assign_attrs(units="uJy"))


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_refused(case):
    code, do = REFUSED[case]
    with pytest.raises(NoiseError) as caught:
        do()
    assert caught.value.code == code
    assert caught.value.fix


def test_groups_on_other_pixels_are_refused():
    with pytest.raises(hstcube.HstCubeError, match="HC-D01"):
        hstcube.group_errors(plain(), np.ones((30, 31), int))
    moved = xr.DataArray(ONE, {"y": np.arange(30.0) + 1, "x": np.arange(30.0)}, ("y", "x"))
    with pytest.raises(hstcube.HstCubeError, match="HC-D02"):
        hstcube.group_errors(plain(), moved)


def test_a_negative_variance_is_nan():
    """Four neighbours at -0.5 cannot be: a checkerboard would cancel more than there is."""
    acf = np.array([[0, -0.5, 0], [-0.5, 1, -0.5], [0, -0.5, 0]])
    assert np.isnan(hstcube.group_errors(noisy(acf), ONE).item())


# -- the XDF


@pytest.fixture(scope="module")
def stamps(xdf):
    from hstcube.surveys.names import find_field

    cubes, maps = [], []
    for field in ("3", "15", "37", "912", "919", "982"):
        cubes.append(hstcube.open_field(xdf, field))
        labels = hstcube.open_labels(find_field(xdf, field).labels)
        maps.append(hstcube.regrid_labels(labels, hstcube.Grid.of(cubes[-1])).values)
    return cubes, maps


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.filterwarnings("ignore::hstcube.HstCubeWarning")
@pytest.mark.parametrize("noise", NOISE)
def test_the_noise_is_measured_through_the_real_masks(stamps, noise):
    check_calibration(stamps[1], noise)


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.filterwarnings("ignore::hstcube.HstCubeWarning")
def test_the_sky_of_the_xdf_scatters_as_its_noise_predicts(stamps):
    """8 % for 1x1 and 3x3 pixels, 12 % (ACS) and 15 % (IR) for 5x5, as for synthetic noise."""
    cubes, maps = stamps
    noise = hstcube.calibrate_noise(cubes, background=maps)
    described = [hstcube.with_noise(cube, noise) for cube in cubes]
    real = noise_check(described, background=maps, sizes=(1, 3, 5))
    rng = np.random.default_rng(9)
    sources = [detect_sources(cube).values for cube in cubes]
    blank = [((sky == 0) | (sky == -1)) & ~found for sky, found in zip(maps, sources, strict=True)]
    made = [
        noise_check([synthetic(rng, cube) for cube in described], background=blank, sizes=(1, 3, 5))
        for _ in range(3)
    ]
    for i, row in enumerate(real):
        bound = (
            0.08 if row["size"] < 5 else 0.12 if row["band"] < "f1" or row["band"] > "f2" else 0.15
        )
        expected = np.mean([table["ratio"][i] for table in made])
        assert row["ratio"] / expected == pytest.approx(1, abs=bound), (row["band"], row["size"])


def synthetic(rng, cube):
    """Return noise of the cube's description: random phases, on a larger circle of pixels."""
    images = []
    for i in range(cube.sizes["band"]):
        acf, circle = cube.noise_acf.values[i].astype(float), np.zeros((128, 128))
        r = acf.shape[0] // 2
        circle[np.ix_(np.arange(-r, r + 1), np.arange(-r, r + 1))] = acf
        power = np.clip(np.fft.fft2(circle).real, 0, None)
        image = np.fft.ifft2(np.fft.fft2(rng.normal(size=circle.shape)) * np.sqrt(power)).real[
            :100, :100
        ]
        images.append(image * cube.noise_scale.values[i] / np.sqrt(cube.wht.values[i]))
    return cube.assign(sci=cube.sci.copy(data=np.array(images, np.float32)))
