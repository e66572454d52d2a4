"""Widths, pivots, zero points, noise: what is said goes before tables, what lacks is told."""

from __future__ import annotations

import json

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from made import code_of
from stamps import edit_bytes, rewrite, stamp, write_field

import hstcube
from hstcube.files.levels import read_levels  # noqa: F401  opened with the package
from hstcube.psf.profiles import fwhm
from hstcube.surveys.field_file import read_field_file
from hstcube.surveys.known import known_survey

pytestmark = pytest.mark.filterwarnings("ignore::hstcube.HstCubeWarning")

BANDS = ("f606w", "f160w")
OWN = {"XDFVER": "Hubble eXtreme Deep Field V1.0"}


@pytest.fixture
def folder(tmp_path):
    return write_field(tmp_path / "stamps", bands=BANDS)


@pytest.fixture
def own(folder):
    for band in BANDS:
        rewrite(stamp(folder, band), cards=OWN)
    return folder


def paths(folder):
    return {band: (stamp(folder, band), stamp(folder, band, "wht")) for band in BANDS}


def field_file(folder, **more):
    """Write a field file; `more` are lines of a band."""
    lines = ['name = "1"']
    for band, (sci, wht) in paths(folder).items():
        lines += [f"[bands.{band}]", f'sci = "{sci}"', f'wht = "{wht}"', more.get(band, "")]
    path = folder / "field.toml"
    path.write_text("\n".join(lines))
    return path


def from_field_file(folder, **more):
    from hstcube.assembly.opening import open_files

    return open_files(read_field_file(field_file(folder, **more)))


# -- widths


def test_a_width_in_a_field_file_is_honoured_whatever_the_survey(own):
    assert "psf" in from_field_file(own).coords
    cube = from_field_file(own, f606w="psf_fwhm = 0.2", f160w="psf_fwhm = 0.2")
    assert "psf" not in cube.coords
    np.testing.assert_array_equal(cube.psf_fwhm, 0.2)
    matched = hstcube.psf_match(cube, to="f160w")
    np.testing.assert_array_equal(matched.sci, cube.sci)  # nothing was to do


def test_a_width_in_a_header_is_honoured_too(own):
    for band in BANDS:
        rewrite(stamp(own, band), cards={"PSFFWHM": 0.2})
    cube = hstcube.open_field(own, "1")
    assert "psf" not in cube.coords
    np.testing.assert_array_equal(cube.psf_fwhm, 0.2)


@pytest.mark.parametrize("width", [0.2, 200 * u.mas, 0.2 * u.arcsec])
def test_a_width_that_is_given_is_honoured_as_number_or_quantity(own, width):
    cube = hstcube.open_bands(paths(own), field="1", psf_fwhm={"F606W": width})
    assert "psf" not in cube.coords
    assert float(cube.psf_fwhm.sel(band="f606w")) == pytest.approx(0.2)


def test_images_that_were_given_beside_widths_go_before_them_and_it_is_told(own):
    cube = hstcube.open_field(own, "1", psf="xdf", psf_fwhm={"f606w": 0.3})
    assert "psf" in cube.coords
    assert (
        "HC-P31 PSF images were given and go before widths [arcsec]: f606w 0.300"
        in (cube.attrs["warnings"])
    )


def test_there_is_one_width_that_of_the_psf_image_where_there_is_one(own):
    cube = hstcube.open_field(own, "1")
    images = [fwhm(image.astype(float)) * 0.06 for image in cube.psf.values]
    np.testing.assert_allclose(cube.psf_fwhm, images, rtol=1e-12)
    matched = hstcube.psf_match(cube, to="f160w")
    target = {"band": "f160w"}
    assert float(matched.psf_fwhm.sel(target)) == pytest.approx(float(cube.psf_fwhm.sel(target)))
    np.testing.assert_array_equal(matched.sci.sel(target), cube.sci.sel(target))


def test_the_recipe_of_2022_keeps_the_widths_of_2022(own):
    labels = hstcube.open_labels(next((own / "segment_maps").iterdir()))
    cube = hstcube.open_field(own, "1")
    table = known_survey("xdf", 0.06).psf_fwhm
    widths = [table[band] for band in cube.band.values]
    how = {"labels": labels, "sky": 0.0, "recipe": "original"}
    today = hstcube.homogenize(cube, **how)
    then = hstcube.homogenize(hstcube.open_field(own, "1", psf=None), **how)
    assert widths != cube.psf_fwhm.values.tolist()
    for name in ("sci", "wht", "mask", "psf_fwhm"):
        np.testing.assert_array_equal(today[name], then[name])


# -- pivots


def test_a_filter_of_no_table_opens_with_its_pivot(folder):
    files = {"f999x": paths(folder)["f606w"], "f160w": paths(folder)["f160w"]}
    for kind in ("sci", "wht"):
        rewrite(stamp(folder, "f606w", kind), cards={"FILTER": "F999X"})
    with pytest.raises(hstcube.HstCubeError, match="HC-B07") as caught:
        hstcube.open_bands(files, field="1")
    assert "pivot= in open_bands" in caught.value.fix
    for pivot in (20000.0, 2 * u.micron):
        cube = hstcube.open_bands(files, field="1", pivot={"F999X": pivot})
        assert cube.band.values.tolist() == ["f160w", "f999x"]
        assert float(cube.pivot[1]) == pytest.approx(20000.0)
    path = field_file(folder, f606w="pivot = 20000.0")
    path.write_text(path.read_text().replace("bands.f606w", "bands.f999x"))
    assert read_field_file(path).bands["f999x"].pivot == 20000.0


@pytest.mark.parametrize("what", ["pivot", "zeropoint", "psf_fwhm"])
def test_what_is_said_of_a_band_that_is_not_there_is_refused(folder, what):
    said = {what: {"f814w": 9.0}}
    assert code_of(lambda: hstcube.open_bands(paths(folder), field="1", **said)) == "HC-B01"


# -- zero points


@pytest.mark.parametrize("given", [25.5, 25.5 * u.mag, 25.5 * u.ABmag])
def test_zero_points_come_as_numbers_or_magnitudes_by_any_name_of_the_band(folder, given):
    cube = hstcube.open_bands(paths(folder), field="1", zeropoint={"F606W": given})
    assert float(cube.zeropoint.sel(band="f606w")) == 25.5


@pytest.mark.parametrize("said", ["N/A", "", None, "INDEF?"])
def test_a_card_that_says_nothing_beside_a_good_zero_point_does_no_harm(folder, said):
    rewrite(stamp(folder, "f160w"), cards={"ABZP": 25.94, "PHOTFNU": said})
    cube = hstcube.open_field(folder, "1")
    assert float(cube.zeropoint.sel(band="f160w")) == 25.94
    assert ("HC-D22" in cube.attrs["warnings"]) == (said == "INDEF?")


ZERO = {
    "XDFVER": None,
    "ABZP": None,
    "PHOTFLAM": 10 ** (-0.4 * (25.0 + 21.10)) * (6563.0 / 5921.9) ** -2,
}


@pytest.mark.parametrize("factor", [1.0, 0.1, 2.5])
def test_the_wavelength_of_another_filter_makes_no_zero_point(folder, factor):
    """It was told that PHOTPLAM is not used, and the zero point was made with it: 5 mag off."""
    cards = {**ZERO, "PHOTPLAM": 5921.9 * factor}
    rewrite(stamp(folder, "f606w"), cards=cards)
    rewrite(stamp(folder, "f606w", "wht"), cards=cards)
    cube = hstcube.open_field(folder, "1", bands=["f606w"])
    assert np.isfinite(cube.zeropoint.item()) == (factor == 1)
    assert ("HC-B35" in cube.attrs["warnings"]) == (factor != 1)
    assert ("nor is PHOTFLAM" in cube.attrs["warnings"]) == (factor != 1)


def in_extension(path, name, keys=()):
    """Move an image into an extension; its cards `keys` stay in the primary header."""
    with fits.open(path, memmap=False) as hdus:
        image, header = hdus[0].data.copy(), hdus[0].header.copy()
    primary = fits.PrimaryHDU()
    for key in keys:
        if key in header:
            primary.header[key] = header.pop(key)
    units = [primary, fits.ImageHDU(image, header, name=name)]
    fits.HDUList(units).writeto(path, overwrite=True)


@pytest.mark.parametrize("cards", [{"BUNIT": "nJy"}, {"ABZP": 25.1}, {"ZEROPNT": 25.2}])
def test_units_and_zero_points_of_an_image_may_stand_in_the_primary_header(folder, cards):
    for name in ("sci", "wht"):
        rewrite(stamp(folder, "f606w", name), cards={"XDFVER": None, "ABZP": None, **cards})
    known = hstcube.open_field(folder, "1", bands=["f606w"])
    for name in ("sci", "wht"):
        in_extension(stamp(folder, "f606w", name), name.upper(), cards)
    assert hstcube.open_field(folder, "1", bands=["f606w"]).identical(known)


# -- what weights are called


def one_file(folder, **planes):
    """Return a file that holds an image and others beside it, by the names of the extensions."""
    with fits.open(stamp(folder, "f606w")) as sci, fits.open(stamp(folder, "f606w", "wht")) as wht:
        header, weights = sci[0].header.copy(), wht[0].data.copy()
        units = [fits.PrimaryHDU(), fits.ImageHDU(sci[0].data.copy(), header, name="SCI")]
    header.remove("FILETYPE", ignore_missing=True)
    for name, power in planes.items():
        units.append(fits.ImageHDU((weights**power).astype("f4"), header, name=name))
    path = folder / "one.fits"
    fits.HDUList(units).writeto(path, overwrite=True)
    return str(path)


@pytest.mark.parametrize(
    ("name", "power", "kind"),
    [("VAR", -1, "variance"), ("ERR", -0.5, "rms"), ("RMS", -0.5, "rms")],
)
def test_weights_are_not_taken_for_another_kind_than_they_are_called(folder, name, power, kind):
    """A variance beside an image was taken for its inverse: errors a million times too large."""
    known = hstcube.open_field(folder, "1", bands=["f606w"])
    path = one_file(folder, **{name: power})
    files = {"f606w": (path, f"{path}[{name}]")}
    with pytest.raises(hstcube.HstCubeError, match=f"HC-D13 .* called {name}") as caught:
        hstcube.open_bands(files, field="1")
    assert f"wht_kind={kind!r}" in str(caught.value)
    cube = hstcube.open_bands(files, field="1", wht_kind=kind)
    np.testing.assert_allclose(cube.wht, known.wht, rtol=1e-5)


def test_weights_go_before_the_variance_beside_them(folder):
    known = hstcube.open_field(folder, "1", bands=["f606w"])
    path = one_file(folder, VAR=-1, WHT=1)
    cube = hstcube.open_bands({"f606w": (path, path)}, field="1")
    np.testing.assert_array_equal(cube.wht, known.wht)


@pytest.mark.parametrize("unit", ["uJy", "MJy/sr", "nJy", "1e-9 Jy", "NJY", "N/A", None])
def test_errors_in_another_unit_than_their_image_are_refused(folder, unit):
    rewrite(stamp(folder, "f606w"), cards={"BUNIT": "nJy"})
    rewrite(
        stamp(folder, "f606w", "wht"),
        cards={"BUNIT": unit},
        pixels=lambda wht: np.where(wht > 0, wht, np.inf) ** -0.5,
    )
    files = {"f606w": paths(folder)["f606w"]}
    if unit in ("uJy", "MJy/sr"):
        assert code_of(lambda: hstcube.open_bands(files, field="1", wht_kind="rms")) == "HC-D21"
    else:
        assert hstcube.open_bands(files, field="1", wht_kind="rms").sizes["band"] == 1


@pytest.mark.parametrize("kind", ["ivar", "rms"])
def test_weights_that_float32_does_not_hold_are_refused_with_the_way_out(folder, kind):
    """It was said that they are negative, NaN or infinite, and numpy warned."""
    power = {"ivar": 1, "rms": -0.5}[kind]
    files = {"f606w": paths(folder)["f606w"]}
    sci, wht = files["f606w"]
    rewrite(wht, pixels=lambda a: np.where(a > 0, a, np.nan).astype(float) ** power)
    flam = "erg s-1 cm-2 Angstrom-1"
    for factor, unit in ((1e-21, flam), (1e20, f"1e-20 {flam}")):
        of_wht = factor ** (-2 * power)
        rewrite(sci, cards={"BUNIT": unit}, pixels=lambda a, f=factor: a.astype(float) * f)
        rewrite(wht, pixels=lambda a, f=of_wht: np.nan_to_num(a.astype(float) * f))
        how = {"field": "1", "wht_kind": kind}
        if factor < 1:
            with pytest.raises(hstcube.HstCubeError, match=r"HC-D40 .* float32") as caught:
                hstcube.open_bands(files, **how)
            assert f"BUNIT = '1e-20 {flam}'" in str(caught.value)
        else:
            assert hstcube.open_bands(files, **how).sci.attrs["units"] == unit


@pytest.mark.parametrize(("rows", "told"), [(40, True), (4, True), (0, False)])
@pytest.mark.parametrize("weight", [1.0, 0.0])
def test_zeros_that_have_a_weight_are_told(folder, rows, told, weight):
    """A band of zeros was measured without a word: its flux is 0, with the error of an image."""

    def cut(image, value):
        image = image.copy()
        image[:rows] *= value
        return image

    rewrite(stamp(folder, "f606w"), pixels=lambda sci: cut(sci, 0))
    if weight == 0 and rows < 40:
        rewrite(stamp(folder, "f606w", "wht"), pixels=lambda wht: cut(wht, 0))
        told = False
    cube = hstcube.open_field(folder, "1")
    assert ("HC-D43 f606w: " in cube.attrs["warnings"]) == told


def test_a_zero_point_that_is_given_goes_before_a_header_that_lies(folder):
    rewrite(stamp(folder, "f160w"), cards={"ABZP": "FK5"})
    assert code_of(lambda: hstcube.open_field(folder, "1")) == "HC-D22"
    cube = hstcube.open_bands(paths(folder), field="1", zeropoint={"f160w": 25.94})
    assert float(cube.zeropoint.sel(band="f160w")) == 25.94


# -- noise


def test_noise_that_no_table_knows_is_said_to_be_white_by_cube_check_and_run(folder, tmp_path):
    from hstcube.pipeline.findings import check
    from hstcube.pipeline.options import Options
    from hstcube.pipeline.plan import plan
    from hstcube.pipeline.runs import run

    cube = hstcube.open_field(folder, "1")
    assert "noise_scale" not in cube.coords
    assert "note HC-N20 f606w, f160w: the noise is taken as white" in cube.attrs["history"]
    (target,) = plan(folder, ["1"], [], scale="60mas")
    assert "HC-N20" in {finding.code for finding in check(target).of("note")}
    run([target], tmp_path / "out", Options())
    (record,) = json.loads((tmp_path / "out" / "run.json").read_text())["targets"].values()
    assert any(note.startswith("HC-N20") for note in record["notes"])


def test_noise_that_a_table_knows_is_no_news(own):
    assert "HC-N20" not in hstcube.open_field(own, "1").attrs["history"]


def test_the_test_of_noise_judges_what_the_cubes_have(tmp_path):
    from hstcube.jobs.fluxes import check_noise
    from hstcube.noise.empty_apertures import noise_check
    from hstcube.pipeline.sources import open_with_maps

    folder = write_field(tmp_path / "stamps", bands=BANDS, shape=(90, 90))
    cubes, maps = open_with_maps(folder)
    white = noise_check(cubes, background=maps)
    table = check_noise(folder, tmp_path / "noise.png").table
    np.testing.assert_array_equal(table["predicted"], white["predicted"])


# -- cards of the WCS


def test_cards_of_the_wcs_without_a_value_are_as_if_they_were_not_there(folder):
    known = hstcube.open_field(folder, "1")
    for band in BANDS:
        for kind in ("sci", "wht"):
            path = stamp(folder, band, kind)
            rewrite(path, cards={"RADESYS": "", "LONPOLE": None})
            data = path.read_bytes()
            old = b"EQUINOX =               2000.0"
            assert data.count(old) == 1
            path.write_bytes(data.replace(old, b"EQUINOX =" + b" " * (len(old) - 9)))
    cube = hstcube.open_field(folder, "1")
    places = [hstcube.Grid.of(one).wcs.pixel_to_world(10, 12) for one in (known, cube)]
    # without EQUINOX and RADESYS the system is ICRS, with EQUINOX = 2000 it is FK5
    assert places[0].separation(places[1]).arcsec < 0.05
    np.testing.assert_array_equal(cube.sci, known.sci)


def test_a_coordinate_without_a_value_is_missing_and_no_object_is_shown(folder):
    edit_bytes(stamp(folder, "f606w"), b"CRVAL1  =            53.122751", b"CRVAL1  =" + b" " * 21)
    with pytest.raises(hstcube.HstCubeError, match=r"HC-W01 .*lacks CRVAL1") as caught:
        hstcube.open_field(folder, "1")
    assert "object at" not in str(caught.value)


def test_a_right_ascension_beyond_the_circle_is_the_same_place():
    cards = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL2": -27.8, "CRPIX1": 5.0,
             "CRPIX2": 5.0, "CD1_1": -1.7e-5, "CD2_2": 1.7e-5}  # fmt: skip
    near, beyond = (
        hstcube.Grid.from_header({**cards, "CRVAL1": ra}, shape=(9, 9)) for ra in (0.0005, 360.0005)
    )
    places = [grid.wcs.pixel_to_world(0, 0) for grid in (near, beyond)]
    assert places[0].separation(places[1]).arcsec < 1e-6
    near.require(beyond)
    assert (
        code_of(lambda: hstcube.Grid.from_header({**cards, "CRVAL1": 1000.0}, shape=(9, 9)))
        == "HC-W06"
    )


# -- weights


def with_weights(folder, change, **how):
    rewrite(stamp(folder, "f606w", "wht"), pixels=change)
    files = {"f606w": paths(folder)["f606w"]}
    return hstcube.open_bands(files, field="1", **how)


def corner(value, size):
    def change(image):
        image = image.copy()
        image[:size, :size] = value
        return image

    return change


@pytest.mark.parametrize("kind", ["ivar", "rms", "variance"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_in_both_images_is_no_data(folder, kind, value):
    rewrite(stamp(folder, "f606w"), pixels=corner(np.nan, 10))
    cube = with_weights(folder, corner(value, 10), wht_kind=kind)
    assert not (cube.wht[0, :10, :10] > 0).any()
    assert "HC-D10" not in cube.attrs["warnings"]


@pytest.mark.parametrize("kind", ["ivar", "rms", "variance"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0])
def test_weights_of_every_kind_that_cannot_be_are_counted(folder, kind, value):
    one = with_weights(folder, corner(value, 1), wht_kind=kind)
    assert "HC-D10 f606w: 1 negative, NaN or infinite" in one.attrs["warnings"]
    assert code_of(lambda: with_weights(folder, corner(value, 10), wht_kind=kind)) == "HC-D10"


# -- PSF images


@pytest.mark.parametrize("shape", ["constant", "constant, dark at a side", "ring"])
def test_what_has_no_peak_is_no_psf(shape):
    radius = np.hypot(*(np.indices((31, 31)) - 15))
    image = np.exp(-((radius - 9) ** 2) / 2) if shape == "ring" else np.ones((31, 31))
    if "dark" in shape:
        image[0, :9] = -1
    assert code_of(lambda: hstcube.prepare_psf(image, scale=0.06)) == "HC-P08"


def test_a_psf_names_a_band_that_can_be_part_of_a_files_name(tmp_path):
    from astropy.io import fits

    y, x = np.indices((31, 31)) - 15
    unit = fits.PrimaryHDU(np.exp(-(x**2 + y**2) / 8.0))
    unit.header["FILTER"], unit.header["PIXSCALE"] = "../../evil", 0.06
    unit.writeto(tmp_path / "psf.fits")
    assert code_of(lambda: hstcube.open_psf(tmp_path / "psf.fits")) == "HC-P15"


# -- paths


@pytest.mark.parametrize(
    "path",
    [None, 3, b"a.fits", "a\0.fits", "a" * 20_000],
    ids=["None", "number", "bytes", "NUL", "long"],
)
def test_what_names_no_file_is_not_there(folder, path):
    actions = (
        lambda: hstcube.open_bands({"f606w": (path, path)}, field="1"),
        lambda: hstcube.open_labels(path),
        lambda: hstcube.open_psf(path),
        lambda: hstcube.open_field(path, "1"),
    )
    for action in actions:
        with pytest.raises(hstcube.HstCubeError, match="HC-F01") as caught:
            action()
        assert len(str(caught.value)) < 2000


# -- our own mistakes


def test_a_slip_of_ours_is_not_passed_off_as_a_damaged_file(folder, monkeypatch):
    monkeypatch.setattr("hstcube.fits.images._bits_of_integers", None)
    with pytest.raises(TypeError, match="NoneType"):
        hstcube.open_field(folder, "1")


def test_a_filter_of_two_cameras_is_opened_under_two_names(folder, tmp_path):
    other = write_field(tmp_path / "other", bands=("f606w",))
    for kind in ("sci", "wht"):
        rewrite(stamp(other, "f606w", kind), cards={"INSTRUME": "WFC3", "DETECTOR": "UVIS"})
    twice = {"f606w": paths(folder)["f606w"]}
    twice["f606w-uvis"] = (stamp(other, "f606w"), stamp(other, "f606w", "wht"))
    cube = hstcube.open_bands(twice, field="1", zeropoint={"f606w": 26.5, "f606w-uvis": 26.1})
    assert cube.band.values.tolist() == ["f606w-uvis", "f606w"]
    assert cube.pivot.values.tolist() == [5889.2, 5921.9]
    table = hstcube.photometry(cube, np.ones(cube.sci.shape[1:], int))
    assert {"flux_f606w", "flux_f606w-uvis"} <= {*table.colnames}


def test_a_camera_behind_a_name_that_the_header_contradicts_is_refused(folder):
    for kind in ("sci", "wht"):
        cards = {"INSTRUME": "ACS", "DETECTOR": "WFC", "XDFVER": None}
        rewrite(stamp(folder, "f606w", kind), cards=cards)
    with pytest.raises(hstcube.HstCubeError, match="the header says ACS/WFC") as caught:
        hstcube.open_bands(
            {"f606w-uvis": paths(folder)["f606w"]}, field="1", zeropoint={"f606w-uvis": 26}
        )
    assert caught.value.code == "HC-B03"
