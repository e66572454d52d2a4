"""Headers as releases write them: filters, cameras, weights, leftovers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from stamps import BANDS, rewrite, sky_file, stamp, write_field

import hstcube
from hstcube.core.bands import band, band_name, cameras, digits, is_filter, plain
from hstcube.core.wcs_cards import checked_cards
from hstcube.errors import HstCubeError, HstCubeWarning
from hstcube.fits.local import split_extension
from hstcube.fits.weights import apparent_noise, odd_weights, scatter
from hstcube.surveys.filters import camera_of, filters_said, native_pixel

pytestmark = pytest.mark.filterwarnings("ignore:.*(HC-B04|HC-S04|HC-S14|HC-P12)")


@pytest.mark.parametrize(
    ("cards", "said"),
    [
        ({"FILTER": "F606W"}, ["f606w"]),
        ({"FILTER": "f160w"}, ["f160w"]),
        ({"FILTER": "F606W;CLEAR2L"}, ["f606w"]),
        ({"FILTER": "F160W-CLEAR"}, ["f160w"]),
        ({"FILTER1": "CLEAR1L", "FILTER2": "F814W"}, ["f814w"]),
        ({"FILTER1": 28, "FILTER2": 0, "PHOTMODE": "WFPC2,1,A2D7,F606W,,CAL"}, ["f606w"]),
        ({"FILTER": "CLEAR", "PUPIL": "F115W"}, ["f115w"]),  # NIRISS
        ({"FILTER": "F444W", "PUPIL": "F466N"}, ["f466n"]),  # NIRCam
        ({"FILTER": "F150W2", "PUPIL": "F162M"}, ["f162m"]),
        ({"FILTER": "F200W", "PUPIL": "CLEAR"}, ["f200w"]),
        ({"FILTER": "F850LP"}, ["f850lp"]),
        ({"FILTER": "rz"}, ["rz"]),
        ({"FILTER": "CLEAR"}, []),
        ({}, []),
    ],
)
def test_a_header_names_its_filter(cards: dict[str, Any], said: list[str]) -> None:
    assert filters_said(cards) == said


def test_a_wrong_filter_in_any_of_the_cards_is_refused(tmp_path: Path) -> None:
    folder = write_field(tmp_path)
    rewrite(
        stamp(folder, "f435w"), cards={"FILTER": None, "FILTER1": "CLEAR1L", "FILTER2": "F814W"}
    )
    with pytest.raises(HstCubeError, match="the header says F814W, the file name f435w") as caught:
        hstcube.open_field(folder, "1")
    assert caught.value.code == "HC-B03"


@pytest.mark.parametrize(
    ("name", "instrument", "detector", "pivot"),
    [
        ("f444w", "NIRCAM", "NRCBLONG", 44017),
        ("f444w", "NIRISS", "NIS", 44212),
        ("f770w", "MIRI", "MIRIMAGE", 76393),
        ("f606w", "WFPC2", "3", 6001),
        ("f606w", "WFC3", "UVIS", 5889),
        ("f606w", "", "", 5922),
        ("f763m", "WFC3", "UVIS", 7614),
        ("f164n", "NIRCAM", "MULTIPLE", 16446),
        ("f164n", "WFC3", "IR", 16403.5),
    ],
)
def test_a_filter_is_that_of_the_camera(
    name: str, instrument: str, detector: str, pivot: float
) -> None:
    assert band(name, instrument=instrument, detector=detector).pivot == pytest.approx(
        pivot, rel=1e-3
    )


@pytest.mark.parametrize(
    ("name", "pivot", "filter_"),
    [
        ("f606w-wfpc2", 6001, "f606w"), ("F606W-UVIS", 5889, "f606w"), ("f606w-acs", 5922, "f606w"),
        ("f115w-niriss", 11569, "f115w"), ("f164n-nircam", 16446, "f164n"),
    ],
)  # fmt: skip
def test_a_camera_behind_a_name_says_whose_filter_it_is(
    name: str, pivot: float, filter_: str
) -> None:
    (known,) = cameras(name)
    assert known == band(name)
    assert known.name == filter_
    assert known.pivot == pytest.approx(pivot, rel=1e-3)
    assert plain(band_name(name)) == filter_
    assert digits(name) == digits(filter_)


@pytest.mark.parametrize("name", ["f606w-niriss", "f606w-", "f606w-f606w", "x-acs", "-acs", "acs"])
def test_a_name_with_something_else_behind_it_is_no_filter(name: str) -> None:
    assert cameras(name) == () or "-" not in cameras(name)[0].name
    assert not is_filter(name)


@pytest.mark.parametrize("text", ["200", "444", "1130", "277"])
def test_digits_stand_for_wide_filters_of_acs_and_wfc3_alone(text: str) -> None:
    assert band_name(text) == text
    assert [band_name(digits) for digits in ("140", "606", "850", "390")] == [
        "f140w", "f606w", "f850lp", "f390w",
    ]  # fmt: skip


def test_every_camera_has_a_pixel() -> None:
    assert all(0.02 < native_pixel(one) < 0.2 for one in cameras())
    header = {"INSTRUME": "NIRCAM", "DETECTOR": "NRCALONG"}
    assert native_pixel(camera_of("f444w", header)) == 0.063
    assert np.isnan(native_pixel(camera_of("f999x", {})))


# -- the WCS

PLAIN = {
    "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 53.1, "CRVAL2": -27.8, "CRPIX1": 20.0,
    "CRPIX2": 20.0, "CD1_1": -1.6e-5, "CD1_2": 1e-6, "CD2_1": 1e-6, "CD2_2": 1.6e-5,
}  # fmt: skip
TWINS = {"PC1_1": -1.6, "PC1_2": 0.1, "PC2_1": 0.1, "PC2_2": 1.6, "CDELT1": 1e-5, "CDELT2": 1e-5}


def test_pc_that_says_what_cd_says_is_no_second_wcs() -> None:
    assert dict(checked_cards(PLAIN | TWINS)) == PLAIN
    with pytest.raises(HstCubeError, match="both CD and PC"):
        checked_cards(PLAIN | TWINS | {"PC2_2": 1.6001})


LEFT = {"A_ORDER": 4, "A_2_0": 1e-5, "D2IMDIS1": "LOOKUP", "CPDIS1": "LOOKUP", "WAT0_001": "system"}


def test_leftovers_of_distortions_move_nothing_unless_their_tables_are_there() -> None:
    assert dict(checked_cards(PLAIN | LEFT)) == PLAIN
    for wrong in ({"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP"}, {"PV2_3": 0.1}):
        with pytest.raises(HstCubeError) as caught:
            checked_cards(PLAIN | LEFT | wrong)
        assert caught.value.code in ("HC-W07", "HC-W12")
    with pytest.raises(HstCubeError, match="the WCS is distorted"):
        checked_cards(PLAIN | LEFT, tables=True)


@pytest.mark.parametrize("tables", [False, True])
def test_a_file_with_leftovers_is_noted_and_one_with_tables_refused(
    tmp_path: Path, tables: bool
) -> None:
    folder = write_field(tmp_path)
    path = stamp(folder, "f435w")
    with fits.open(path) as hdus:
        header, data = hdus[0].header.copy(), hdus[0].data.copy()
    for key, value in LEFT.items():
        header[key] = value
    units = [fits.PrimaryHDU(), fits.ImageHDU(data, header, name="SCI")]
    if tables:
        units.append(fits.ImageHDU(np.zeros((4, 4), np.float32), name="D2IMARR"))
    fits.HDUList(units).writeto(path, overwrite=True)
    if tables:
        with pytest.raises(HstCubeError, match="the WCS is distorted"):
            hstcube.open_field(folder, "1")
    else:
        cube = hstcube.open_field(folder, "1")
        assert "HC-W27 f435w sci" in cube.attrs["history"]
        assert "HC-W27" not in cube.attrs["warnings"]


# -- weights


def bare_weight(path: Path) -> Path:
    """Leave nothing but pixels in a weight image."""
    data = fits.getdata(path)
    fits.PrimaryHDU(data).writeto(path, overwrite=True)
    return path


def test_a_weight_without_wcs_lies_where_its_image_does(tmp_path: Path) -> None:
    folder = write_field(tmp_path)
    expected = hstcube.open_field(folder, "1")
    path = bare_weight(stamp(folder, "f435w", "wht"))
    cube = hstcube.open_field(folder, "1")
    np.testing.assert_array_equal(cube.wht, expected.wht)
    assert "HC-W28 f435w wht" in cube.attrs["history"]
    lazy = hstcube.open_field(folder, "1", chunks={"y": 20})
    np.testing.assert_array_equal(lazy.wht.compute(), expected.wht)
    fits.PrimaryHDU(fits.getdata(path)[:-1]).writeto(path, overwrite=True)
    with pytest.raises(HstCubeError, match="another shape"):
        hstcube.open_field(folder, "1")


def noise(sigma: float, shape: tuple[int, int] = (120, 120)) -> Any:
    return np.random.default_rng(3).normal(0, sigma, shape).astype(np.float32)


def test_what_is_no_inverse_variance_is_told_by_the_scatter() -> None:
    sci, step = noise(0.01), 1.0
    ivar = np.full(sci.shape, 1e4, np.float32)
    assert scatter(sci, ivar) == pytest.approx(1, rel=0.02)
    assert not odd_weights(sci, ivar, times=[], step=step)
    for wrong in (1 / np.sqrt(ivar), 1 / ivar, ivar * 20, ivar / 20):
        (found,) = odd_weights(sci, wrong, times=[], step=step)
        assert found[0] == "HC-D24"
    bright = sci + 0.3 * np.exp(-np.hypot(*np.indices(sci.shape) - 60) / 15)  # smooth light
    assert not odd_weights(bright, ivar, times=[], step=step)


@pytest.mark.parametrize("times_the_area", [1.0, (0.04 / 0.05) ** 2, 1.05])
def test_exposure_times_are_known_by_the_header(times_the_area: float) -> None:
    weights = np.full((120, 120), 12000 * times_the_area, np.float32)
    (found,) = odd_weights(noise(0.01), weights, times=[12000.0], step=0.04 / 0.05)
    assert found[0] == "HC-D28"


def test_an_inverse_variance_near_the_exposure_time_is_none() -> None:
    weights = np.full((120, 120), 1e4, np.float32)
    assert not odd_weights(noise(0.01), weights, times=[11700.0], step=1.0)


def test_apparent_noise_is_that_of_fruchter_and_hook() -> None:
    assert apparent_noise(0.06 / 0.1283, 0.8) == pytest.approx(0.47, abs=0.01)
    assert apparent_noise(1.0, 1.0) == pytest.approx(2 / 3)
    assert apparent_noise(np.nan) == 1


def test_exposure_times_as_weights_give_the_errors_that_the_pixels_show(tmp_path: Path) -> None:
    truth, times = noise(0.02), np.full((120, 120), 5000, np.float32)
    times[60:] = 20000
    truth[60:] /= 2
    header = fits.Header(PLAIN | {"INSTRUME": "ACS", "DETECTOR": "WFC", "BUNIT": "ELECTRONS/S"})
    header["CD1_2"] = header["CD2_1"] = 0.0
    header["CD1_1"], header["CD2_2"] = -0.05 / 3600, 0.05 / 3600
    for kind, data in (("sci", truth), ("wht", times)):
        fits.PrimaryHDU(data, header).writeto(tmp_path / f"{kind}.fits")
    files = {"f606w": (tmp_path / "sci.fits", tmp_path / "wht.fits")}
    cube = hstcube.open_bands(files, field="t", wht_kind="exptime")
    shrink = apparent_noise(1.0)  # white noise here, where drizzling would have shrunk it
    np.testing.assert_allclose(cube.wht[0, :60] ** -0.5, 0.02 / shrink, rtol=0.03)
    np.testing.assert_allclose(cube.wht[0, 60:] ** -0.5, 0.01 / shrink, rtol=0.03)


# -- extensions, cards of the primary header


def test_an_extension_may_stand_behind_a_path(tmp_path: Path) -> None:
    assert split_extension("a.fits[SCI,2]") == (Path("a.fits"), ("SCI", 2))
    assert split_extension("a.fits.gz[1]") == (Path("a.fits.gz"), 1)
    assert split_extension("a.fits") == (Path("a.fits"), None)
    odd = tmp_path / "a.fits[1]"
    odd.touch()
    assert split_extension(odd) == (odd, None)


def one_file(folder: Path, band: str) -> Path:
    """Put a band's images into one file, what tells of the exposure into its primary header."""
    with fits.open(stamp(folder, band)) as sci, fits.open(stamp(folder, band, "wht")) as wht:
        images = [(unit[0].data.copy(), unit[0].header.copy()) for unit in (sci, wht)]
    primary = fits.PrimaryHDU()
    for key in ("INSTRUME", "DETECTOR", "FILTER"):
        primary.header[key] = images[0][1][key]
    primary.header["TEXPTIME"] = 1234.5
    units = []
    for name, (data, header) in zip(("SCI", "WHT"), images, strict=True):
        for key in ("INSTRUME", "DETECTOR", "FILTER", "TEXPTIME", "EXPTIME"):
            header.remove(key, ignore_missing=True)
        units.append(fits.ImageHDU(data, header, name=name))
    path = folder / f"{band}.fits"
    fits.HDUList([primary, *units]).writeto(path)
    return path


@pytest.mark.parametrize("how", ["alone", "names", "keys", "field file"])
def test_both_images_of_a_band_may_be_in_one_file(tmp_path: Path, how: str) -> None:
    folder = write_field(tmp_path)
    expected = hstcube.open_field(folder, "1")
    paths = {name: one_file(folder, name) for name in BANDS}
    if how == "field file":
        lines = [
            f'[bands.{name}]\nsci = "{path.name}[SCI]"\nwht = "{path.name}"\nwht_hdu = "WHT"\n'
            for name, path in paths.items()
        ]
        (folder / "f.toml").write_text("\n".join(lines))
        from hstcube.assembly.opening import open_files
        from hstcube.surveys.field_file import read_field_file

        cube = open_files(read_field_file(folder / "f.toml"))
    elif how == "names":
        files = {name: (f"{path}[SCI,1]", f"{path}[2]") for name, path in paths.items()}
        cube = hstcube.open_bands(files, field="1")
    else:
        keys = {"hdu": 1, "wht_hdu": "WHT"} if how == "keys" else {}
        cube = hstcube.open_bands({n: (p, p) for n, p in paths.items()}, field="1", **keys)
    np.testing.assert_array_equal(cube.sci, expected.sci)
    np.testing.assert_array_equal(cube.wht, expected.wht)
    assert (cube.exposure == 1234.5).all()


def test_one_file_of_jwst_gives_err_and_its_photons_are_not_added_again(tmp_path: Path) -> None:
    header = fits.Header(PLAIN | {"BUNIT": "MJy/sr"})
    header["CD1_2"] = header["CD2_1"] = 0.0
    primary = fits.PrimaryHDU()
    primary.header.update(
        {"TELESCOP": "JWST", "INSTRUME": "NIRCAM", "FILTER": "F444W", "PUPIL": "CLEAR"}
    )
    errors = np.full((120, 120), 0.02, np.float32)
    units = [
        primary,
        fits.ImageHDU(noise(0.02), header, name="SCI"),
        fits.ImageHDU(errors, name="ERR"),
        fits.ImageHDU(errors * 0 + 7, name="WHT"),
    ]
    path = tmp_path / "jw_i2d.fits"
    fits.HDUList(units).writeto(path)
    cube = hstcube.open_bands({"f444w": (path, path)}, field="t", exposure={"f444w": 1000.0})
    np.testing.assert_allclose(cube.wht, 2500, rtol=1e-5)
    assert "HC-D42" in cube.attrs["history"]
    assert cube.attrs["poisson"] == "in ERR"
    assert float(cube.pivot[0]) == pytest.approx(44017, rel=1e-4)
    with pytest.raises(HstCubeError, match="HC-N10"):
        hstcube.add_poisson(cube)


@pytest.mark.parametrize("extension", ["", "[SCI]"])
def test_one_image_is_not_its_own_weight(tmp_path: Path, extension: str) -> None:
    folder = write_field(tmp_path)
    path = one_file(folder, "f435w")
    with fits.open(path) as hdus:
        fits.HDUList([hdus[0], hdus["SCI"]]).writeto(folder / "alone_drz.fits")
    alone = f"{folder / 'alone_drz.fits'}{extension}"
    with pytest.raises(HstCubeError) as caught:
        hstcube.open_bands({"f435w": (alone, alone)}, field="1")
    assert caught.value.code == "HC-D14"
    with pytest.raises(HstCubeError) as caught:
        hstcube.open_bands({"f435w": (stamp(folder, "f435w"), stamp(folder, "f435w"))}, field="1")
    assert caught.value.code == "HC-D14"


# -- pivots and zero points


@pytest.mark.parametrize(
    ("said", "taken"), [(4335.0, 4329.9), (4400.0, 4400.0), (8046.0, 4329.9), (-1.0, 4329.9)]
)
def test_a_pivot_of_the_header_is_used_where_it_is_of_the_filter(
    tmp_path: Path, said: float, taken: float
) -> None:
    folder = write_field(tmp_path)
    rewrite(stamp(folder, "f435w"), cards={"PHOTPLAM": said})
    with pytest.warns(HstCubeWarning) if abs(said / 4329.9 - 1) > 0.005 and said > 0 else _quiet():
        cube = hstcube.open_field(folder, "1")
    assert float(cube.pivot.sel(band="f435w")) == taken
    assert ("HC-B35" in cube.attrs["warnings"]) == (said > 0 and said != 4335.0)


def _quiet() -> Any:
    import contextlib

    return contextlib.nullcontext()


def test_a_plain_no_table_has_the_pivot_of_its_header(tmp_path: Path) -> None:
    folder = write_field(tmp_path)
    image = stamp(folder, "f435w")
    rewrite(image, cards={"FILTER": "F999X", "PHOTPLAM": 9990.0, "PHOTFLAM": 1e-19})
    rewrite(stamp(folder, "f435w", "wht"), cards={"FILTER": "F999X"})
    files = {"f999x": (image, stamp(folder, "f435w", "wht"))}
    with pytest.warns(HstCubeWarning, match="HC-B35"):
        cube = hstcube.open_bands(files, field="1")
    assert cube.pivot.values.tolist() == [9990.0]


def test_the_zero_point_of_hlf_is_that_of_its_own_card(tmp_path: Path) -> None:
    folder = write_field(tmp_path)
    image, weight = stamp(folder, "f435w"), stamp(folder, "f435w", "wht")
    rewrite(image, cards={"XDFVER": None, "PHOTZPT": -21.1})
    rewrite(weight, cards={"ZEROPNT": 25.69})
    cube = hstcube.open_bands({"f435w": (image, weight)}, field="1")
    assert cube.zeropoint.values.tolist() == [25.69]


# -- units


def mixed(tmp_path: Path) -> Path:
    """Return a field whose F160W is in nJy, by the zero point of the survey's table."""
    folder = write_field(tmp_path / "data", sky=False)
    factor = float(10 ** (-0.4 * (25.94 - 31.4)))  # nJy of one electron per second
    rewrite(stamp(folder, "f160w"), cards={"BUNIT": "nJy"}, pixels=lambda sci: sci * factor)
    rewrite(stamp(folder, "f160w", "wht"), pixels=lambda wht: wht / factor**2)
    return folder


def test_bands_of_different_units_become_one_cube(tmp_path: Path) -> None:
    folder = mixed(tmp_path)
    with pytest.raises(HstCubeError) as caught:
        hstcube.open_field(folder, "1")
    assert caught.value.code == "HC-D21"
    assert "units='uJy'" in caught.value.fix
    plain = hstcube.to_flux(hstcube.open_field(write_field(tmp_path / "plain"), "1"), "uJy")
    for how in ({}, {"chunks": {"y": 20}}):
        cube = hstcube.open_field(folder, "1", units="uJy", **how)
        assert cube.sci.attrs["units"] == "uJy"
        np.testing.assert_allclose(cube.zeropoint, 23.9)
        np.testing.assert_allclose(cube.sci, plain.sci, rtol=1e-5)
        np.testing.assert_allclose(cube.wht, plain.wht, rtol=1e-5)
    assert cube.band.values.tolist() == plain.band.values.tolist()


def test_a_run_makes_one_cube_of_different_units(tmp_path: Path, call: Any) -> None:
    folder, out = mixed(tmp_path), tmp_path / "out"
    said = call("run", folder, "-o", out)
    assert "HC-D21" in said.err
    assert "--units uJy" in said.err
    assert call("check", folder, "--units", "uJy").code == 0
    assert call("run", folder, "-o", out, "--units", "uJy").code == 0
    assert hstcube.open_cube(out / "1.nc").sci.attrs["units"] == "uJy"


def ran(call: Any, folder: Path, out: Path, *how: str) -> Any:
    done = call("run", folder, "-o", out, *how)
    assert done.code == 0, done.err
    return hstcube.open_cube(out / "1.nc")


@pytest.mark.slow
@pytest.mark.parametrize("unit", ["uJy", "MJy/sr", "nJy", "1e-20 erg s-1 cm-2 AA-1"])
@pytest.mark.parametrize("moved", [(), ("--onto", "labels")])
def test_levels_in_files_are_brought_to_the_unit_of_the_cube(
    tmp_path: Path, call: Any, unit: str, moved: tuple[str, ...]
) -> None:
    folder = write_field(tmp_path / "data")
    plain = ran(call, folder, tmp_path / "plain", *moved)
    cube = ran(call, folder, tmp_path / "flux", "--units", unit, *moved)
    wanted = hstcube.to_flux(plain, unit)
    np.testing.assert_allclose(cube.sky, wanted.sky, rtol=1e-5)
    good = wanted.wht.values > 0
    largest = np.abs(wanted.sci.values[good]).max()
    np.testing.assert_allclose(cube.sci.values[good], wanted.sci.values[good], atol=1e-5 * largest)
    # levels that say their unit are in that: to electrons per second, and to others
    for name in plain.band.values:
        level = float(wanted.sky.sel(band=name))
        if moved:  # of a pixel of 60 mas; what is per solid angle is the same in any
            area = (0.06 / hstcube.Grid.of(plain).scale) ** 2
            level *= 1 if "sr" in unit else area
        text = f"# sky of field 1, {name}: {wanted.sci.units} per pixel of 0.06 arcsec, by hand\n"
        sky_file(folder, name).write_text(f"{text}{level!r}\n")
    for name, how in (("back", ()), ("same", ("--units", unit)), ("other", ("--units", "Jy"))):
        again = ran(call, folder, tmp_path / name, *how, *moved)
        np.testing.assert_allclose(
            again.sky, (hstcube.to_flux(plain, how[1]) if how else plain).sky, rtol=1e-4
        )


def test_a_level_that_no_zero_point_ties_to_the_cube_is_refused(tmp_path: Path, call: Any) -> None:
    folder = write_field(tmp_path / "levels")
    text = "# sky of field 1, f435w: DN s-1 per pixel of 0.06 arcsec, by hand\n"
    sky_file(folder, "f435w").write_text(f"{text}0.001\n")
    for how in ((), ("--units", "uJy")):
        said = call("run", folder, "-o", tmp_path / "other", *how)
        assert "HC-K14" in said.err
        assert "f435w" in said.err
        assert "HC-K14" in call("check", folder, *how).out
        ran(call, folder, tmp_path / f"out{len(how)}", *how, "--sky", "measure")
