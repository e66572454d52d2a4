"""Fluxes of groups: sums and errors, missing pixels, totals, tables on disk, and truth."""

from __future__ import annotations

import errno
import warnings

import numpy as np
import pytest
import xarray as xr
from astropy.table import QTable
from hypothesis import given
from hypothesis import strategies as st
from made import FLUXES_37, code_of, cube_on, levels_of
from scipy import ndimage
from strategies import examples, plain_grid

import hstcube
from hstcube import Grid, HstCubeError, HstCubeWarning
from hstcube.files.tables import write_table
from hstcube.matching.kernels import gaussian_kernels
from hstcube.noise.description import with_noise
from hstcube.noise.poisson import add_poisson
from hstcube.pipeline.recipe import blank_pixels
from hstcube.plots.maps import bin_map
from hstcube.surveys.names import find_field

SHAPE = (24, 26)
BANDS = ("f435w", "f814w", "f160w")
AB = 23.9  # mag of 1 uJy


@pytest.fixture
def cube():
    rng = np.random.default_rng(3)
    shape = (3, *SHAPE)
    return cube_on(
        plain_grid(SHAPE),
        BANDS,
        rng.normal(size=shape),
        rng.uniform(1, 9, shape),
        zeropoint=[AB, AB, 25.0],
    )


@pytest.fixture
def groups():
    found = np.zeros(SHAPE, np.int32)
    found[2:8, 3:9], found[12:15, 12:20], found[20, 20] = 5, 2, 40
    return found


def table_equal(one, other):
    return one.colnames == other.colnames and all(
        np.allclose(np.asarray(one[name]), np.asarray(other[name]), rtol=1e-6, equal_nan=True)
        for name in one.colnames
    )


def test_a_row_is_a_group_in_the_order_of_their_numbers(cube, groups):
    table = hstcube.photometry(cube, groups)
    assert table["id"].tolist() == [2, 5, 40]
    assert table["npix"].tolist() == [24, 36, 1]
    assert table["area"].to_value("arcsec2") == pytest.approx(np.array([24, 36, 1]) * 0.06**2)
    middle = Grid.of(cube).wcs.pixel_to_world([15.5, 5.5, 20], [13.0, 4.5, 20])
    assert table["ra"].to_value("deg") == pytest.approx(middle.icrs.ra.deg)
    assert table["dec"].to_value("deg") == pytest.approx(middle.icrs.dec.deg)
    assert table.colnames == ["id", "ra", "dec", "area", "npix"] + [
        f"{kind}_{band}" for band in BANDS for kind in ("flux", "error", "npix")
    ]


def test_fluxes_are_sums_in_microjansky_and_errors_those_of_group_errors(cube, groups):
    table = hstcube.photometry(cube, groups)
    errors = hstcube.group_errors(cube, groups)
    for i, (band, factor) in enumerate(
        zip(BANDS, (1.0, 1.0, 10 ** (-0.4 * (25.0 - AB))), strict=True)
    ):
        sums = [
            cube.sci.values[i][groups == number].astype(float).sum() * factor
            for number in (2, 5, 40)
        ]
        assert table[f"flux_{band}"].to_value("uJy") == pytest.approx(np.array(sums), rel=1e-5)
        assert table[f"error_{band}"].to_value("uJy") == pytest.approx(
            errors.values[i] * factor, rel=1e-5
        )
    assert (
        np.concatenate([table[f"flux_{band}"].value for band in BANDS]) < 0
    ).any()  # negative where negative


def test_every_pixel_can_be_a_group(cube):
    table = hstcube.photometry(cube, np.arange(1, cube.sci[0].size + 1).reshape(SHAPE))
    assert np.allclose(table["flux_f435w"].value, cube.sci.values[0].ravel())
    assert np.allclose(table["error_f435w"].value ** -2, cube.wht.values[0].ravel(), rtol=1e-5)


@pytest.mark.parametrize("kind", ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8"])
def test_any_integers_name_the_groups(cube, groups, kind):
    expected = hstcube.photometry(cube, groups)
    found = hstcube.photometry(cube, groups.astype(kind))
    assert found["id"].tolist() == expected["id"].tolist()
    assert table_equal(found, expected)
    assert hstcube.group_errors(cube, groups.astype(kind)).group.values.tolist() == [2, 5, 40]
    bin_map(cube, groups.astype(kind))


def test_a_cube_from_zarr_is_measured_like_any_other(cube, groups, tmp_path):
    cube.to_zarr(tmp_path / "cube.zarr", consolidated=False)
    again = xr.open_zarr(tmp_path / "cube.zarr", consolidated=False).load()
    one, other = (hstcube.photometry(which, groups) for which in (cube, again))
    assert table_equal(one, other)
    assert str(one.meta) == str(other.meta)  # NaN is not equal to itself


def test_the_unit_of_the_cube_does_not_matter(cube, groups):
    one = hstcube.photometry(cube, groups)
    for unit in ("nJy", "1e-20 erg s-1 cm-2 AA-1", "MJy sr-1"):
        assert table_equal(hstcube.photometry(hstcube.to_flux(cube, unit), groups), one)


@examples(15)
@given(order=st.permutations(range(3)), factor=st.floats(0.1, 10))
def test_bands_are_measured_each_for_itself_and_fluxes_scale(order, factor):
    rng = np.random.default_rng(3)
    sci, wht = rng.normal(size=(3, *SHAPE)), rng.uniform(1, 9, (3, *SHAPE))
    groups = rng.integers(-1, 4, SHAPE)
    one = hstcube.photometry(cube_on(plain_grid(SHAPE), BANDS, sci, wht), groups)
    scaled = cube_on(
        plain_grid(SHAPE), [BANDS[i] for i in order], sci[order] * factor, wht[order] / factor**2
    )
    other = hstcube.photometry(scaled, groups)
    for band in BANDS:
        for kind in ("flux", "error"):
            assert np.allclose(other[f"{kind}_{band}"], one[f"{kind}_{band}"] * factor, rtol=1e-5)


def test_a_band_that_has_part_of_a_group_or_nothing_of_it_gives_nan(cube, groups):
    wht = cube.wht.values.copy()
    wht[0, 2:4, 3:9] = 0  # part of group 5
    wht[1, 12:15] = 0  # all of group 2
    made = cube_on(
        Grid.of(cube), BANDS, np.where(wht > 0, cube.sci, np.nan), wht, zeropoint=[AB] * 3
    )
    table = hstcube.photometry(made, groups)
    assert table["npix_f435w"].tolist() == [24, 24, 1]
    assert table["npix_f814w"].tolist() == [0, 36, 1]
    assert np.isnan(table["flux_f435w"].value).tolist() == [False, True, False]
    assert np.isnan(table["error_f814w"].value).tolist() == [True, False, False]
    some = hstcube.photometry(made, groups, partial=True)
    assert some["flux_f435w"].value[1] == pytest.approx(
        cube.sci.values[0, 4:8, 3:9].sum(), rel=1e-5
    )
    assert np.isnan(some["flux_f814w"].value).tolist() == [True, False, False]


def test_a_group_that_the_mask_leaves_out_is_empty_and_one_that_it_cuts_is_smaller(cube, groups):
    keep = np.ones(SHAPE, bool)
    keep[12:15], keep[2:4] = False, False
    table = hstcube.photometry(hstcube.mask(cube, keep), groups)
    assert table["npix"].tolist() == [0, 24, 1]
    assert table["area"].value[0] == 0
    assert np.isnan(table["flux_f160w"].value).tolist() == [True, False, False]
    assert np.isfinite(table["ra"].value).all()
    whole = hstcube.photometry(hstcube.mask(cube, keep), groups, pixels="data")
    assert table_equal(whole, hstcube.photometry(cube, groups))


def test_pixels_that_no_band_has_are_missed(cube, groups):
    wht = cube.wht.values.copy()
    wht[:, 3, 4] = 0
    made = cube_on(
        Grid.of(cube), BANDS, np.where(wht > 0, cube.sci, np.nan), wht, zeropoint=[AB] * 3
    )
    table = hstcube.photometry(made, groups)
    assert table["npix"].tolist() == [24, 36, 1]
    assert np.isnan(table["flux_f160w"].value).tolist() == [False, True, False]


def test_an_aperture_beyond_the_frame_is_a_part(cube):
    centre = Grid.of(cube).wcs.pixel_to_world(1, 12)
    rings = hstcube.apertures(cube, centre, radius=0.4)
    assert np.isnan(hstcube.photometry(cube, rings)["flux_f160w"].value).all()
    assert np.isfinite(hstcube.photometry(cube, rings, partial=True)["flux_f160w"].value).all()


def test_a_band_without_a_zero_point_is_an_error(cube, groups):
    unknown = cube.assign_coords(zeropoint=("band", [AB, np.nan, AB], cube.zeropoint.attrs))
    with pytest.raises(HstCubeError, match="HC-D30 band f814w"):
        hstcube.photometry(unknown, groups)


@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
def test_pixels_of_negative_or_undefined_weight_make_no_cube(bad, cube):
    wht = cube.wht.values.copy()
    wht[0, :5] = bad
    with pytest.raises(HstCubeError, match="HC-D10"):
        cube_on(Grid.of(cube), BANDS, cube.sci.values, wht)


@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
def test_weights_that_were_spoiled_by_hand_are_refused(bad, cube, groups):
    wht = cube.wht.values.copy()
    wht[0, 3, 4] = bad
    spoiled = cube.assign(wht=cube.wht.copy(data=wht))
    assert code_of(lambda: hstcube.photometry(spoiled, groups)) == "HC-D10"
    assert code_of(lambda: hstcube.bin_pixels(spoiled)) == "HC-D10"
    odd = cube.assign_coords(noise_scale=("band", [1.0, bad, 1.0]))
    assert code_of(lambda: hstcube.photometry(odd, groups)) == "HC-N03"


def test_lazy_cubes_give_the_same_table(cube, groups):
    assert table_equal(
        hstcube.photometry(cube.chunk({"y": 7, "x": 9}), groups), hstcube.photometry(cube, groups)
    )


def test_a_sky_that_was_not_subtracted_is_told(cube, groups):
    bare = cube.assign_coords(sky=("band", [0.0, np.nan, np.nan], cube.sky.attrs))
    with pytest.warns(HstCubeWarning, match="HC-K13 no sky was subtracted in f814w, f160w"):
        table = hstcube.photometry(bare, groups)
    assert "HC-K13" in table.meta["warnings"][0]


def test_an_aperture_is_corrected_to_the_total_of_a_point_source():
    """A Gaussian star of sigma 1.5 px at a sub-pixel place: every aperture gives its flux."""
    y, x = np.indices((41, 41)) - 20.0
    n = np.arange(-15, 16)
    psf = np.exp(-0.5 * (n[:, None] ** 2 + n**2) / 1.5**2)
    psf /= psf.sum()
    for shift in (0.0, 0.3):
        star = np.exp(-0.5 * ((y - shift) ** 2 + (x + shift) ** 2) / 1.5**2)
        star *= 7.0 / star.sum()
        made = cube_on(plain_grid((41, 41)), ("f160w",), star[None], zeropoint=[AB])
        made = made.assign_coords(psf=(("band", "ky", "kx"), psf[None].astype(np.float32)))
        centre = Grid.of(made).wcs.pixel_to_world(20 - shift, 20 + shift)
        for radius in (0.15, 0.3, 0.6):
            rings = hstcube.apertures(made, centre, radius=radius)
            raw, total = (hstcube.photometry(made, rings, total=flag) for flag in (False, True))
            assert total["flux_f160w"].value[0] == pytest.approx(7.0, rel=0.02)
            gain = total["flux_f160w"] / raw["flux_f160w"]
            assert total["error_f160w"] / raw["error_f160w"] == pytest.approx(gain)
    fine = made.drop_vars("psf").assign_coords(
        psf=(("band", "ky", "kx"), _halved(psf)[None]),
        ky=np.arange(-30, 31) * 0.03,
        kx=np.arange(-30, 31) * 0.03,
    )
    twice = hstcube.photometry(fine, rings, total=True)
    assert twice["flux_f160w"].value == pytest.approx(total["flux_f160w"].value, rel=1e-3)
    assert code_of(lambda: hstcube.photometry(made.drop_vars("psf"), rings, total=True)) == "HC-P20"


def _halved(psf):
    n = np.arange(-30, 31) / 2
    fine = np.exp(-0.5 * (n[:, None] ** 2 + n**2) / 1.5**2)
    return fine / fine.sum()


def test_the_table_says_where_its_numbers_come_from(cube, groups):
    cube = hstcube.deredden(cube, 0.01).assign_attrs(recipe="default")
    meta = hstcube.photometry(cube, groups).meta
    assert meta["zeropoint"] == {"f435w": AB, "f814w": AB, "f160w": 25.0}
    assert meta["software"] == f"hstcube {hstcube.__version__}"
    assert meta["recipe"] == "default"
    assert meta["field"] == "made up"
    assert list(meta["extinction"]) == list(BANDS)
    assert set(meta) >= {"psf_fwhm", "matched_to", "sky", "pivot", "history", "warnings"}


@pytest.mark.parametrize("ending", ["ecsv", "fits", "parquet"])
def test_tables_come_back_from_disk(cube, groups, tmp_path, ending):
    table = hstcube.photometry(cube, groups)
    table["flux_f435w"][1] = np.nan
    path = write_table(table, tmp_path / f"fluxes.{ending}")
    back = QTable.read(path)
    assert table_equal(back, table)
    for name in ("flux_f160w", "error_f160w", "area", "ra"):
        assert back[name].unit == table[name].unit
    meta = back.meta
    said = meta["zeropoint f160w"] if ending == "fits" else meta["zeropoint"]["f160w"]
    assert said == 25.0
    assert "to_flux" in "".join(meta["HISTORY"] if ending == "fits" else meta["history"])
    with pytest.raises(HstCubeError, match="HC-O04"):
        write_table(table, path)
    before = path.read_bytes()
    write_table(table, path, overwrite=True)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_a_table_that_cannot_be_written_leaves_nothing(cube, groups, tmp_path, monkeypatch):
    table = hstcube.photometry(cube, groups)
    assert code_of(lambda: write_table(table, tmp_path / "fluxes.txt")) == "HC-O30"
    monkeypatch.setattr("hstcube.files.tables.find_spec", {}.get)
    assert code_of(lambda: write_table(table, tmp_path / "fluxes.parquet")) == "HC-O31"

    def full(part, data):
        part.write_bytes(data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("hstcube.fits.writing.write_verified", full)
    assert code_of(lambda: write_table(table, tmp_path / "fluxes.ecsv")) == "HC-O02"
    assert not list(tmp_path.iterdir())


# -- truth


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """Return the native demo field, its blank sky, its noise, and its noise-free images before and after matching."""  # noqa: E501
    from hstcube.basics.convolution import convolver
    from hstcube.demo.field import IR_RMS, IR_TAP, simulate

    folder = tmp_path_factory.mktemp("demo")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HstCubeWarning)
        truth = simulate(folder, seed=3)
        native = hstcube.open_field(folder, "demo")
        labels = hstcube.open_labels(find_field(folder, "demo").labels)
    names = native.band.values.tolist()
    with xr.open_dataset(truth) as opened:
        true = opened.sel(band=names).native.astype(float).load()
    margin = slice(int(true.attrs["margin"]), -int(true.attrs["margin"]))
    kernels = gaussian_kernels(native, to="f160w").values
    matched = np.stack(
        [convolver(k, plane.shape)(plane) for k, plane in zip(kernels, true.values, strict=True)]
    )
    # the noise that simulate makes: white, or white noise through [p, 1, p] x [p, 1, p]
    p = IR_TAP
    along = np.array([p * p, 2 * p, 1 + 2 * p * p, 2 * p, p * p]) / (1 + 2 * p * p)
    white = np.zeros((5, 5))
    white[2, 2] = 1
    infrared = [float(value) > 1e4 for value in native.pivot]
    lags = np.arange(-2, 3) * 0.06
    noise = xr.Dataset(
        {
            "noise_scale": ("band", [IR_RMS if ir else 1.0 for ir in infrared]),
            "noise_acf": (
                ("band", "dy", "dx"),
                np.stack([np.outer(along, along) if ir else white for ir in infrared]),
            ),
        },
        {"band": names, "dy": lags, "dx": lags},
    )
    blank = blank_pixels(labels, Grid.of(native)).values
    return native, blank, noise, true.values[:, margin, margin], matched[:, margin, margin]


@pytest.mark.slow
def test_recovered_fluxes_scatter_around_the_truth_as_their_errors_say(demo):
    """30 exposures of one field: noise, photons and sky made anew, each with its own sky measured, 100 boxes of 8x8."""  # noqa: E501
    from hstcube.demo.field import BANDS as CAMERAS
    from hstcube.demo.field import _unit_noise

    native, blank, noise, scene, matched = demo
    rng = np.random.default_rng(5)
    wht = native.wht.values.astype(float)
    sigma = np.divide(1, np.sqrt(wht), where=wht > 0, out=np.zeros(wht.shape))
    groups = np.zeros(wht.shape[1:], np.int32)
    groups[10:90, 10:90] = 1 + np.kron(np.arange(100).reshape(10, 10), np.ones((8, 8), int))
    names = native.band.values.tolist()
    factor = 10 ** (-0.4 * (native.zeropoint.values - AB))
    true = [
        ndimage.sum_labels(image, groups, np.arange(1, 101)) * f
        for image, f in zip(matched, factor, strict=True)
    ]
    exposure = {name: camera.exposure for name, camera in CAMERAS.items()}
    pulls = []
    for _ in range(30):
        sci = np.stack([
            image + _unit_noise(rng, image.shape, infrared=float(pivot) > 1e4) * noise_map
            + CAMERAS[name].sky
            + rng.normal(size=image.shape) * np.sqrt(np.clip(image, 0, None) / exposure[name])
            for name, pivot, image, noise_map in zip(names, native.pivot, scene, sigma, strict=True)
        ])  # fmt: skip
        cube = native.assign(
            sci=native.sci.copy(data=np.where(wht > 0, sci, np.nan).astype(np.float32))
        )
        cube = cube.pipe(hstcube.subtract_sky, hstcube.measure_sky(cube, background=blank)).pipe(
            with_noise, noise
        )
        cube = cube.pipe(add_poisson, exposure=exposure).pipe(hstcube.psf_match, to="f160w")
        table = hstcube.photometry(cube, groups)
        pulls.append([
            (table[f"flux_{name}"].value - sums) / table[f"error_{name}"].value
            for name, sums in zip(names, true, strict=True)
        ])  # fmt: skip
    widths = dict(zip(names, np.nanstd(np.array(pulls), axis=(0, 2)), strict=True))
    assert all(0.9 < width < 1.1 for width in widths.values()), widths


@pytest.mark.real
@pytest.mark.filterwarnings("ignore::hstcube.HstCubeWarning")
def test_the_fluxes_of_galaxy_37_are_those_of_science(xdf):
    """SCIENCE.md 2: 794 px, the bare label, NEW_SKY levels, unmatched [uJy]; to 1 %."""
    files = find_field(xdf, "37")
    cube, labels = hstcube.open_field(xdf, "37"), hstcube.open_labels(files.labels)
    cube = hstcube.subtract_sky(cube, levels_of(cube, files))
    keep = hstcube.regrid_mask(hstcube.object_mask(labels), Grid.of(cube))
    row = hstcube.photometry(cube, keep.astype(np.int32))[0]
    assert row["npix"] == 794
    for band, wanted in FLUXES_37.items():
        assert row[f"flux_{band}"].to_value("uJy") == pytest.approx(wanted, rel=0.01), band
        assert 0 < row[f"error_{band}"].to_value("uJy") < 0.1 * wanted


@pytest.mark.parametrize("axis", ["y", "x"])
def test_sums_over_every_second_pixel_are_told(cube, axis):
    """Half the light is between them; the cube knows its place, and nothing else would say it."""
    place = Grid.of(cube).wcs.pixel_to_world(12, 12)
    cube = hstcube.subtract_sky(cube, 0.0, again=True) if cube.sky.notnull().all() else cube
    thinned = cube.isel({axis: slice(None, None, -2)})
    for measured in (
        lambda: hstcube.photometry(thinned, place, radius="200mas"),
        lambda: hstcube.curve_of_growth(thinned, place, radii=["200mas"]),
        lambda: hstcube.regrid(thinned, Grid.of(cube)),
        lambda: hstcube.rebin(thinned, 2),
    ):
        with pytest.warns(HstCubeWarning, match="HC-W29 along y or x the cube has one of 2 pixels"):
            measured()


def test_flipped_cubes_and_brightnesses_are_not_told_of_gaps(cube):
    place = Grid.of(cube).wcs.pixel_to_world(12, 12)
    flipped = cube.isel(y=slice(None, None, -1))
    bright = cube.isel(x=slice(None, None, 2))
    bright = bright.assign(sci=bright.sci.assign_attrs(units="MJy sr-1"))
    for one in (flipped, bright, cube.isel(x=[3])):
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            hstcube.curve_of_growth(one, place, radii=[2.0])
        assert not [each for each in told if "HC-W29" in str(each.message)]
