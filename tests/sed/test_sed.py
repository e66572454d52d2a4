"""What SED-fitting codes get: their units, names and words for what is missing; results read back.

The golden texts follow the documented readers: EAZY's `PhotoZ.read_catalog`, `FilterFile`,
`TranslateFile`, bagpipes' `galaxy`, Prospector's `rectify_obs` (all of them run in tests/clients);
CIGALE's ObservationsManager and `pcigale-filters add`; LePHARE's list of keywords (CAT_FMT MEME,
CAT_TYPE LONG); piXedfit's `pixel_binning`.
"""

from __future__ import annotations

import importlib.util
import inspect
import io
import warnings

import numpy as np
import pytest
from astropy import units
from astropy.io import ascii as text_tables
from astropy.io import fits
from astropy.table import QTable, Table
from made import code_of, cube_on
from strategies import plain_grid

import hstcube
from hstcube.core.bands import cameras
from hstcube.sed import CODES, each_pixel, sed_files
from hstcube.sed.bagpipes import bagpipes_files
from hstcube.sed.catalogue import catalogue
from hstcube.sed.cigale import cigale_files
from hstcube.sed.curves import curve_file, curve_of, pivot_of, two_columns
from hstcube.sed.eazy import eazy_files
from hstcube.sed.lephare import lephare_files
from hstcube.sed.pixedfit import pixedfit_files
from hstcube.sed.prospector import prospector_files

BANDS = ("f435w", "f850lp", "f160w")
OF_TABLES = (eazy_files, bagpipes_files, prospector_files, cigale_files, lephare_files)
EAZY_NUMBERS = {
    "f435w": 233,
    "f606w": 236,
    "f775w": 238,
    "f814w": 239,
    "f850lp": 240,
    "f105w": 202,
    "f125w": 203,
    "f140w": 204,
    "f160w": 205,
}  # fmt: skip  FILTER.RES.latest
EAZY_WAVELENGTHS = {
    10: 2992.8, 11: 3359.5, 12: 4557.3, 13: 5442.9, 14: 6001.3, 15: 6917.1, 16: 7996.0, 307: 6717.5,
    201: 9866.8, 206: 2227.2, 207: 2370.7, 208: 2708.6, 209: 3353.7, 210: 3921.9, 211: 4325.6,
    212: 4771.5, 213: 5308.6, 214: 5892.5, 215: 6245.1, 216: 7657.6, 217: 8059.5, 235: 5361.0,
    237: 6311.4, 242: 4941.4, 243: 7450.5, 308: 9009.0, 309: 11495.0, 310: 14929.0, 311: 19926.0,
    312: 14035.0, 313: 15857.0,
}  # fmt: skip


def photometry(
    flux=((1.0, 2.0, 4.0), (-0.5, np.nan, 8.0)),
    error=((0.1, 0.2, 0.4), (0.25, np.nan, 0.8)),
    ids=(1, 7),
):
    """Return a table of photometry: the second object lacks light in one band, data in the next."""
    table = QTable(
        {"id": list(ids), "ra": [53.0, 53.5] * units.deg, "dec": [-27.0, -27.5] * units.deg}
    )
    for i, band in enumerate(BANDS):
        table[f"flux_{band}"] = [row[i] for row in flux] * units.uJy
        table[f"error_{band}"] = [row[i] for row in error] * units.uJy
    table.meta = {"field": "37", "pivot": {"f435w": 4329.9, "f850lp": 9031.5, "f160w": 15369.2}}
    return table


def galaxy(bands=BANDS, side=8, zeropoint=25.0, **state):
    sci = np.arange(1.0, len(bands) + 1)[:, None, None] * np.ones((len(bands), side, side))
    wht = np.full((len(bands), side, side), 100.0)
    cube = cube_on(plain_grid((side, side)), bands, sci, wht, **state)
    cube = cube.assign_coords(
        zeropoint=("band", [zeropoint] * len(bands)), sky=("band", [0.0] * len(bands))
    )
    keep = np.zeros((side, side), bool)
    keep[2:5, 2:6] = True
    return hstcube.mask(cube, keep)


def script(files, name, folder):
    """Write files into a folder, and load one of them as a module."""
    for file, data in files.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(data)
    spec = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# Curves


# of which neither sedpy nor pyphot has a whole curve: beyond 9600 Angstrom nothing says what the
# detector sees, below 2100 little
WITHOUT = {
    "wfc3_uvis_f200lp", "wfc3_uvis_f218w", "wfc3_uvis_f280n", "wfc3_uvis_f300x",
    "wfc3_uvis_f350lp", "wfc3_uvis_f600lp", "wfc3_uvis_f850lp", "wfpc2_f702w",
    "acs_wfc_f892n", *(curve_file(one) for one in cameras() if one.detector == "HRC"),
}  # fmt: skip
SHIPPED = [band for band in cameras() if curve_file(band) not in WITHOUT]


def names_of(band):
    return f"{band.name}-{band.words[-1]}"


@pytest.mark.parametrize("band", SHIPPED, ids=names_of)
def test_the_pivots_of_the_curves_are_those_of_stsci_to_two_thousandths(band):
    curve = curve_of(band.name, pivot=band.pivot)
    assert curve.band == band
    assert curve.file == curve_file(band)
    assert pivot_of(curve.wavelength, curve.throughput) == pytest.approx(band.pivot, rel=2e-3)
    assert curve.wavelength.size == 150
    assert (np.diff(curve.wavelength) > 0).all()
    assert curve.throughput[[0, -1]].tolist() == [0, 0]
    area = np.trapezoid(curve.throughput, curve.wavelength)
    assert band.width == pytest.approx(area / curve.throughput.max(), rel=2e-3)


@pytest.mark.slow
@pytest.mark.parametrize("slope", [-3, 0, 3])
def test_resampling_changes_the_flux_of_steep_spectra_by_less_than_a_thousandth(slope):
    sedpy = pytest.importorskip("sedpy.observate")
    for band in (one for one in SHIPPED if one.sedpy):
        curve, whole = curve_of(band.name, pivot=band.pivot), sedpy.Filter(band.sedpy)
        ours, theirs = (
            np.trapezoid(t * w ** (slope - 1.0), w) / np.trapezoid(t / w, w)
            for w, t in (
                (curve.wavelength, curve.throughput),
                (whole.wavelength, whole.transmission),
            )
        )
        assert ours == pytest.approx(theirs, rel=1e-3), band


@pytest.mark.parametrize("band", [one for one in cameras() if curve_file(one) in WITHOUT])
def test_a_band_without_a_curve_says_so_with_its_camera(band):
    camera = (band.instrument, band.detector)
    with pytest.raises(hstcube.HstCubeError, match=rf"HC-E02.*of {band.instrument}"):
        curve_of(band.name, pivot=band.pivot, camera=camera)


def test_of_two_cameras_with_a_filter_of_one_name_the_one_with_the_cubes_pivot_is_taken():
    assert curve_of("f606w", pivot=5921.9).band.instrument == "ACS"
    assert curve_of("f606w", pivot=5889.2).file == "wfc3_uvis_f606w"
    assert curve_of("f606w", pivot=6001.3).file == "wfpc2_f606w"


def test_a_camera_behind_a_name_says_whose_curve_it_is():
    files = {
        "f606w": "acs_wfc_f606w",
        "f606w-wfpc2": "wfpc2_f606w",
        "F606W-UVIS": "wfc3_uvis_f606w",
        "f115w-niriss": "jwst_niriss_f115w",
        "f164n-nircam": "nircam_f164n",
    }
    assert {name: curve_of(name).file for name in files} == files
    assert curve_of("F606W-UVIS").band.name == "f606w-uvis"
    assert code_of(lambda: curve_of("f606w-niriss")) == "HC-E02"


def test_a_pivot_that_no_camera_has_for_a_filter_of_that_name_is_an_error():
    assert curve_of("f606w", pivot=6200.0).file == "wfpc2_f606w"
    assert code_of(lambda: curve_of("f606w", pivot=9000.0)) == "HC-E02"


@pytest.mark.parametrize("unit", [1e-4, 0.1, 10.0])
def test_a_curve_in_another_unit_or_of_another_band_is_an_error(tmp_path, unit):
    path = tmp_path / "hat.txt"
    edges = np.array([14000, 14100, 16600, 16700]) * unit
    path.write_text("".join(f"{at:.6f} {t}\n" for at, t in zip(edges, (0, 1, 1, 0), strict=True)))
    for band, pivot in (("f160w", np.nan), ("f160w", 15369.2), ("own", 15300.0)):
        with pytest.raises(hstcube.HstCubeError, match=r"HC-E05.*Angstrom"):
            curve_of(band, pivot=pivot, files={band: path})


def test_a_table_that_does_not_say_whose_filter_it_has_is_told_of():
    table = QTable({"id": [1]})
    for band in ("f606w", "f160w", "f115w-niriss"):
        table[f"flux_{band}"], table[f"error_{band}"] = [1.0] * units.uJy, [0.1] * units.uJy
    with pytest.warns(hstcube.HstCubeWarning, match=r"HC-E10.*: f606w as ACS/WFC's$"):
        catalogue(table)
    table.meta["pivot"] = {"f606w": 5889.2, "f160w": 15369.2, "f115w-niriss": 11569.2}
    assert [curve.file for curve in catalogue(table).curves] == [
        "wfc3_uvis_f606w", "wfc3_ir_f160w", "jwst_niriss_f115w",
    ]  # fmt: skip


def test_a_band_that_a_table_has_in_two_spellings_is_an_error():
    table = photometry()
    table["flux_F160W"], table["error_F160W"] = table["flux_f160w"], table["error_f160w"]
    assert code_of(lambda: catalogue(table)) == "HC-B02"


def test_a_band_without_a_curve_is_an_error_that_says_how_to_give_one(tmp_path):
    with pytest.raises(hstcube.HstCubeError) as error:
        curve_of("f702w")
    assert error.value.code == "HC-E02"
    assert "curves={'f702w': 'FILE'}" in error.value.fix
    assert code_of(lambda: curve_of("f218w")) == "HC-E02"  # sedpy has none either
    path = tmp_path / "f201w.txt"
    path.write_text("# a top hat\n17500 0\n17600 0.5\n22200 0.5\n22300 0\n", encoding="utf-8")
    curve = curve_of("f201w", files={"F201W": path})
    assert curve.file == "f201w"
    assert curve.band.pivot == pytest.approx(19800, rel=5e-3)


@pytest.mark.parametrize("text", ["", "1 2\n", "a b\n", "2 1\n1 1\n", "1 0\n2 0\n", "1 nan\n2 1\n"])
def test_a_file_that_is_no_curve_is_an_error(tmp_path, text):
    path = tmp_path / "curve.txt"
    path.write_text(text, encoding="utf-8")
    assert code_of(lambda: two_columns(path)) == "HC-E05"
    assert code_of(lambda: two_columns(tmp_path / "none.txt")) == "HC-E05"


# What all codes have in common


def test_the_floor_adds_its_share_of_the_flux_to_the_errors():
    assert catalogue(photometry()).error[0] == pytest.approx(
        np.hypot([0.1, 0.2, 0.4], 0.05 * np.array([1, 2, 4]))
    )
    assert catalogue(photometry(), floor=0).error[0].tolist() == [0.1, 0.2, 0.4]
    one = catalogue(photometry(), floor={"f160w": 0.1}).error
    assert one[0] == pytest.approx([0.1, 0.2, np.hypot(0.4, 0.4)])
    assert one[1, 0] == 0.25
    for wrong in (-0.1, 1.0, np.nan):
        assert code_of(lambda wrong=wrong: catalogue(photometry(), floor=wrong)) == "HC-B31"
    assert code_of(lambda: catalogue(photometry(), floor={"f606w": 0.1})) == "HC-B01"


def test_fluxes_in_another_unit_are_converted():
    table = photometry()
    for name in table.colnames[3:]:
        table[name] = table[name].to("nJy")
    assert catalogue(table).flux[0] == pytest.approx([1, 2, 4])


def test_redshifts_are_of_all_of_each_or_of_those_that_are_named():
    assert np.isnan(catalogue(photometry()).redshift).all()
    assert catalogue(photometry(), redshift=0.98).redshift.tolist() == [0.98, 0.98]
    assert catalogue(photometry(), redshift=[0.98, 1.1]).redshift.tolist() == [0.98, 1.1]
    named = catalogue(photometry(), redshift={7: 1.1}).redshift
    assert np.isnan(named[0])
    assert named[1] == 1.1
    for wrong in ([1.0], [1.0, 2.0, 3.0], -0.1, 300000.0, [0.1, np.inf]):
        assert code_of(lambda wrong=wrong: catalogue(photometry(), redshift=wrong)) == "HC-E03"
    assert catalogue(photometry(), redshift=19.99).redshift.tolist() == [19.99, 19.99]
    assert code_of(lambda: catalogue(photometry(), redshift=20.0)) == "HC-E03"


@pytest.mark.parametrize("files", OF_TABLES)
def test_ids_that_are_not_unique_are_an_error(files):
    assert code_of(lambda: files(photometry(ids=(3, 3)))) == "HC-E01"


def test_a_table_of_something_else_is_an_error():
    assert code_of(lambda: catalogue(QTable({"id": [1]}))) == "HC-E07"


def test_an_error_of_zero_or_of_nan_is_no_measurement():
    table = photometry(error=((0.0, np.nan, 0.4), (0.25, np.inf, 0.8)))
    for floor in (0, 0.05):
        assert np.isnan(catalogue(table, floor=floor).flux).tolist() == [
            [True, True, False],
            [False, True, False],
        ]


def test_an_upper_limit_in_the_way_of_one_code_is_refused_and_no_flux_is_clipped():
    with pytest.raises(hstcube.HstCubeError, match=r"HC-E11 band f850lp: 1 fluxes.*\n.*limit / n"):
        catalogue(photometry(error=((0.1, -1.0, 0.4), (0.25, np.nan, 0.8))))
    table = photometry(flux=((0.0, -3.0, 0.2), (-99.0, np.nan, 8.0)))
    source = catalogue(table, floor=0)
    assert source.flux[0].tolist() == [0.0, -3.0, 0.2]  # 0 +- limit / n, and two non-detections
    assert source.error[0].tolist() == [0.1, 0.2, 0.4]
    assert source.flux[1, 0] == -99.0
    none = photometry(flux=((-99.0, 2.0, 4.0),) * 2, error=((-99.0, 0.2, 0.4),) * 2)
    assert np.isnan(catalogue(none).flux[:, 0]).all()  # as catalogues write what is missing


@pytest.mark.parametrize("low", [-0.5, -89.0, -99.0, -1500.0])
def test_no_flux_is_below_the_threshold_under_which_eazy_takes_fluxes_for_missing(low):
    files = eazy_files(photometry(flux=((1.0, 2.0, 4.0), (low, np.nan, 8.0))))
    (line,) = [line for line in files["zphot.param"].decode().splitlines() if "NOT_OBS" in line]
    threshold = float(line.split()[1])
    second = [float(cell) for cell in files["catalogue.cat"].decode().splitlines()[2].split()]
    assert second[4] == low > threshold  # it counts
    assert max(second[6:8]) < threshold  # this does not


@pytest.mark.parametrize("files", OF_TABLES)
def test_the_table_is_left_as_it_was(files):
    table = photometry()
    files(table, redshift=1.0)
    assert table.colnames == photometry().colnames
    assert np.array_equal(table["error_f435w"].value, photometry()["error_f435w"].value)


@pytest.mark.parametrize("code", CODES)
def test_every_readme_has_five_lines(code):
    text = sed_files(galaxy(), code)["README"].decode()
    assert len(text.splitlines()) == 5
    assert max(map(len, text.splitlines())) < 200


# One code after the other

ROWS = {
    "eazy": (
        "1 53.0000000 -27.0000000 0.980000 1.000000e+00 1.118034e-01 2.000000e+00 2.236068e-01 "
        "4.000000e+00 4.472136e-01\n"
        "7 53.5000000 -27.5000000 -99.000000 -5.000000e-01 2.512469e-01 -9.900000e+01 "
        "-9.900000e+01 8.000000e+00 8.944272e-01\n"
    ),
    "bagpipes": (
        "1 0.980000 1.000000e+00 1.118034e-01 2.000000e+00 2.236068e-01 4.000000e+00 4.472136e-01\n"
        "7 nan -5.000000e-01 2.512469e-01 0.000000e+00 9.900000e+99 8.000000e+00 8.944272e-01\n"
    ),
    "prospector": (
        "1 0.980000 2.754062e-10 3.079135e-11 5.508124e-10 6.158270e-11 1.101625e-09 1.231654e-10\n"
        "7 nan -1.377031e-10 6.919496e-11 nan nan 2.203250e-09 2.463308e-10\n"
    ),
    "cigale": (
        "1 0.980000 1.000000e-03 1.118034e-04 2.000000e-03 2.236068e-04 4.000000e-03 4.472136e-04\n"
        "7 nan -5.000000e-04 2.512469e-04 nan nan 8.000000e-03 8.944272e-04\n"
    ),
    "lephare": (
        "1 1.000000e-29 1.118034e-30 2.000000e-29 2.236068e-30 4.000000e-29 4.472136e-30 "
        "7 0.980000 37\n"
        "7 -5.000000e-30 2.512469e-30 -9.900000e+01 -9.900000e+01 8.000000e-29 8.944272e-30 "
        "5 -99.000000 37\n"
    ),
}
HEADS = {
    "eazy": (
        "# id ra dec z_spec flux_f435w error_f435w flux_f850lp error_f850lp "
        "flux_f160w error_f160w\n"
    ),
    "bagpipes": (
        "# id redshift flux_f435w error_f435w flux_f850lp error_f850lp flux_f160w error_f160w\n"
    ),
    "prospector": (
        "# id redshift maggies_f435w unc_f435w maggies_f850lp unc_f850lp maggies_f160w unc_f160w\n"
    ),
    "cigale": (
        "# id redshift hst.wfc.F435W hst.wfc.F435W_err hst.wfc.F850LP hst.wfc.F850LP_err "
        "hst.wfc3.F160W hst.wfc3.F160W_err\n"
    ),
    "lephare": (
        "# id flux_f435w error_f435w flux_f850lp error_f850lp flux_f160w error_f160w "
        "context redshift string\n"
    ),
}
TABLES = {
    "eazy": (eazy_files, "catalogue.cat"),
    "bagpipes": (bagpipes_files, "photometry.txt"),
    "prospector": (prospector_files, "photometry.txt"),
    "cigale": (cigale_files, "observations.txt"),
    "lephare": (lephare_files, "catalogue.in"),
}


@pytest.mark.parametrize("code", TABLES)
def test_a_detection_a_non_detection_and_a_band_without_data_are_written_as_the_code_reads_them(
    code,
):
    files, name = TABLES[code]
    assert files(photometry(), redshift={1: 0.98})[name].decode() == HEADS[code] + ROWS[code]


def test_eazy_finds_its_curves_by_number_in_our_file_and_in_its_own():
    files = eazy_files(photometry())
    assert files["zphot.translate"].decode().splitlines() == [
        "flux_f435w F1", "error_f435w E1", "flux_f850lp F2", "error_f850lp E2",
        "flux_f160w F3", "error_f160w E3",
    ]  # fmt: skip
    assert "flux_f850lp F240\nerror_f850lp E240\n" in files["zphot.translate.latest"].decode()
    assert {name: cameras(name)[0].eazy for name in EAZY_NUMBERS} == EAZY_NUMBERS
    curves = files["hst.filters.res"].decode().splitlines()
    assert [line.split()[:2] for line in curves if "lambda_c" in line] == [
        ["150", "acs_wfc_f435w"], ["150", "acs_wfc_f850lp"], ["150", "wfc3_ir_f160w"],
    ]  # fmt: skip
    assert len(curves) == 3 * 151
    assert curves[2] == "     2 3523.00 4.991030e-05"


def test_eazy_is_told_that_fluxes_are_in_micro_jansky_and_gets_no_path_with_fits():
    files = eazy_files(photometry())
    param = dict(
        line.split()[:2]
        for line in files["zphot.param"].decode().splitlines()
        if not line.startswith("#")
    )
    assert param["PRIOR_ABZP"] == "23.9"  # -2.5 log10(1e-29) - 48.6
    assert param["MAGNITUDES"] == "n"
    assert float(param["NOT_OBS_THRESHOLD"]) > -99
    for key in ("CATALOG_FILE", "FILTERS_RES", "TEMP_ERR_FILE"):
        assert param[key] in files
        assert "fits" not in param[key]


def test_a_band_without_a_number_in_eazys_file_is_left_out_of_its_translation_and_told_of():
    table = QTable(
        {"id": [1], "ra": [1.0], "dec": [1.0], "flux_f770w": [1.0], "error_f770w": [0.1]}
    )
    files = eazy_files(table)
    assert files["zphot.translate"] == b"flux_f770w F1\nerror_f770w E1\n"
    assert files["zphot.translate.latest"] == b""
    assert b"leaves out f770w" in files["README"]
    assert b"leaves out" not in eazy_files(photometry())["README"]


def test_the_filters_of_eazys_numbers_are_those_of_the_bands():
    """Held against the wavelengths [Angstrom] that FILTER.RES.latest.info says of the numbers."""
    numbered = {band.eazy: band for band in cameras() if band.eazy}
    assert len(numbered) == sum(band.eazy > 0 for band in cameras())
    for number, at in EAZY_WAVELENGTHS.items():
        assert numbered[number].pivot == pytest.approx(at, rel=7e-3), number


def test_bagpipes_loads_fluxes_errors_and_filters_in_one_order(tmp_path):
    loader = script(bagpipes_files(photometry(), redshift={1: 0.98}), "load_hst", tmp_path)
    assert loader.IDS == ["1", "7"]
    assert loader.load_hst("1") == pytest.approx(
        np.array([[1, 0.1118034], [2, 0.2236068], [4, 0.4472136]])
    )
    second = loader.load_hst("7")
    assert second[1].tolist() == [0, 9.9e99]
    assert np.isfinite(second).all()
    for name, curve in zip(
        loader.FILTERS, ("acs_wfc_f435w", "acs_wfc_f850lp", "wfc3_ir_f160w"), strict=True
    ):
        assert name.endswith(f"filters/{curve}.txt")
        assert np.loadtxt(name).shape == (150, 2)
    assert loader.REDSHIFTS["1"] == 0.98
    assert loader.fit_instructions(0.98)["redshift"] == 0.98
    assert loader.fit_instructions(loader.REDSHIFTS["7"])["redshift"] == (0.0, 10.0)


def test_one_object_alone_is_loaded_too(tmp_path):
    loader = script(bagpipes_files(photometry()[:1]), "load_hst", tmp_path)
    assert loader.load_hst(1).shape == (3, 2)


def test_prospector_gets_maggies_and_a_mask(tmp_path):
    pytest.importorskip("sedpy")
    obs = script(prospector_files(photometry(), redshift={1: 0.98}), "obs", tmp_path)
    first, second = obs.build_obs(1), obs.build_obs(7)
    assert -2.5 * np.log10(first["maggies"][0]) == pytest.approx(23.9, abs=1e-3)  # 1 uJy
    assert [one.name for one in first["filters"]] == [
        "acs_wfc_f435w",
        "acs_wfc_f850lp",
        "wfc3_ir_f160w",
    ]
    assert first["redshift"] == 0.98
    assert second["redshift"] is None
    assert second["phot_mask"].tolist() == [True, False, True]
    assert np.isfinite(second["maggies"]).all()


def test_prospector_takes_the_curve_of_a_band_that_sedpy_lacks_from_its_file(tmp_path):
    pytest.importorskip("sedpy")
    path = tmp_path / "hat.txt"
    path.write_text("17500 0\n17600 0.5\n22200 0.5\n22300 0\n", encoding="utf-8")
    table = QTable(
        {"id": [1], "ra": [1.0], "dec": [1.0], "flux_f200w": [1.0], "error_f200w": [0.1]}
    )
    obs = script(prospector_files(table, curves={"f200w": path}), "obs", tmp_path)
    assert obs.load_filters()[0].wave_pivot == pytest.approx(19800, rel=5e-3)


def test_a_curve_that_is_given_comes_before_sedpys_however_its_band_is_written(tmp_path):
    path = tmp_path / "f160w.txt"
    path.write_text("14000 0\n15000 1\n16000 0\n")
    for name in ("f160w", "F160W"):
        text = prospector_files(photometry(), curves={name: path})["obs.py"].decode()
        assert "OURS = {'wfc3_ir_f160w': 'filters/wfc3_ir_f160w.txt'}" in text


def test_cigale_reads_its_table_and_gets_filters_under_the_same_names():
    files = cigale_files(photometry(), redshift={1: 0.98})
    table = text_tables.read(
        files["observations.txt"].decode(), format="commented_header", delimiter=r"\s"
    )
    assert table.colnames[:3] == ["id", "redshift", "hst.wfc.F435W"]
    assert np.isnan(table["redshift"][1])  # to be fitted
    assert np.isnan(table["hst.wfc.F850LP"][1])
    head = files["filters/hst.wfc3.F160W.dat"].decode().splitlines()
    assert head[:3] == ["# hst.wfc3.F160W", "# photon", "# wfc3_ir_f160w, from hstcube"]
    assert len(head[3].split()) == 2
    assert b"data_file = observations.txt\n" in files["pcigale.ini"]


@pytest.mark.parametrize("code", ["eazy", "bagpipes", "prospector", "lephare", "pixedfit"])
def test_names_of_filters_are_for_cigale_alone(code):
    assert code_of(lambda: sed_files(galaxy(), code, names={"f850lp": "x"})) == "HC-B30"
    if code != "pixedfit":
        writer = getattr(hstcube.sed, f"{code}_files")
        assert code_of(lambda: writer(photometry(), names={"f850lp": "x"})) == "HC-B30"


@pytest.mark.parametrize("files", OF_TABLES, ids=lambda writer: writer.code)
def test_all_writers_of_tables_take_the_same_arguments(files):
    given = {"redshift": 0.98, "floor": 0.1, "curves": {}, "names": None}
    assert [*inspect.signature(files).parameters] == ["table", *given]
    assert "README" in files(photometry(), **given)


def test_names_that_cigale_has_otherwise_can_be_given():
    files = cigale_files(photometry(), names={"F850LP": "hst.acs.F850LP"})
    assert "hst.acs.F850LP hst.acs.F850LP_err" in files["observations.txt"].decode()
    assert "filters/hst.acs.F850LP.dat" in files
    assert code_of(lambda: sed_files(galaxy(), "eazy", names={"f850lp": "x"})) == "HC-B30"


def para_of(files):
    """Return the parameters of LePHARE, by name."""
    lines = [line.split() for line in files["hst.para"].decode().splitlines()]
    return {name: value for name, value, *_ in lines if name != "#"}


def test_the_context_of_lephare_is_the_sum_of_powers_of_two_of_the_bands_with_data():
    lines = lephare_files(photometry())["catalogue.in"].decode().splitlines()[1:]
    assert [int(line.split()[-3]) for line in lines] == [1 + 2 + 4, 1 + 4]
    assert int(para_of(lephare_files(photometry()))["GLB_CONTEXT"]) < 0  # else it stands for them


def test_a_context_that_has_no_bit_for_every_band_is_that_of_all():
    bands = sorted(SHIPPED, key=lambda band: band.pivot)[:64]
    table = QTable({"id": [1]})
    for band in bands:
        name = names_of(band)
        table[f"flux_{name}"], table[f"error_{name}"] = [1.0] * units.uJy, [0.1] * units.uJy
    assert lephare_files(table)["catalogue.in"].decode().splitlines()[1].split()[-3] == "0"


def test_lephare_is_told_of_units_and_formats_and_of_what_it_is_silent_about():
    para = para_of(lephare_files(photometry()))
    assert para["FILTER_LIST"] == "acs_wfc_f435w.dat,acs_wfc_f850lp.dat,wfc3_ir_f160w.dat"
    told = {"INP_TYPE": "F", "CAT_MAG": "AB", "MAGTYPE": "AB", "CAT_FMT": "MEME",
            "CAT_TYPE": "LONG", "TRANS_TYPE": "1", "FILTER_CALIB": "0"}  # fmt: skip
    assert told.items() <= para.items()
    low, high = map(float, para["Z_RANGE"].split(","))  # without it: redshift 0 only
    _, first, last = map(float, para["Z_STEP"].split(","))
    assert low <= first < last <= high
    assert float(para["MAG_ABS"].split(",")[1]) >= 0  # only limits below 0 are limits
    assert para["GAL_LIB_IN"] == para["GAL_LIB"]
    assert para["ZPHOTLIB"] == para["GAL_LIB_OUT"]


def test_all_files_that_lephares_parameters_name_are_there():
    files = lephare_files(photometry())
    para = para_of(files)
    assert {para["CAT_IN"], para["PARA_OUT"]} <= files.keys()
    assert {f"filters/{name}" for name in para["FILTER_LIST"].split(",")} <= files.keys()


# Bands of all cameras, in every code

CAMERAS = {
    name: [band for band in SHIPPED if (band.detector or band.instrument) == name]
    for name in ("WFC", "UVIS", "IR", "WFPC2", "NIRCAM", "NIRISS", "MIRI")
}
TOGETHER = ["f606w", "f606w-uvis", "f606w-wfpc2", "f115w", "f115w-niriss", "f164n", "f164n-nircam"]


def cube_of(bands):
    """Return a cube of bands (Band), each of a flux of its own."""
    bands = sorted(bands, key=lambda band: band.pivot)
    pivots = [band.pivot for band in bands]
    return bands, galaxy([band.name for band in bands], zeropoint=23.9, pivot=pivots)


def two_columns_of(text):
    return np.loadtxt(io.StringIO(text)).T


def curves_in_eazy(files, folder):
    res = files["hst.filters.res"].decode().splitlines()
    heads = [i for i, line in enumerate(res) if "lambda_c" in line]
    curves = [np.loadtxt(res[i + 1 : i + 1 + int(res[i].split()[0])]).T[1:] for i in heads]
    translated = [line.split() for line in files["zphot.translate"].decode().splitlines()[::2]]
    head = files["catalogue.cat"].decode().splitlines()[0].split()
    columns = [name for name in head if name.startswith("flux_")]
    assert [name for name, _ in translated] == columns
    return [curves[int(number[1:]) - 1] for _, number in translated]


def curves_in_bagpipes(files, folder):
    return [np.loadtxt(name).T for name in script(files, "load_hst", folder).FILTERS]


def curves_in_prospector(files, folder):
    pytest.importorskip("sedpy")
    obs = script(files, "obs", folder)
    return [(one.wavelength, one.transmission) for one in obs.load_filters()]


def curves_in_cigale(files, folder):
    head = files["observations.txt"].decode().splitlines()[0].split()
    return [two_columns_of(files[f"filters/{name}.dat"].decode()) for name in head[3::2]]


def curves_in_lephare(files, folder):
    para = dict(
        line.split()[:2]
        for line in files["hst.para"].decode().splitlines()
        if not line.startswith("#")
    )
    names = para["FILTER_LIST"].split(",")
    assert len(para["ERR_SCALE"].split(",")) == len(names)
    return [two_columns_of(files[f"filters/{name}"].decode()) for name in names]


def curves_in_pixedfit(files, folder):
    with fits.open(io.BytesIO(files["fluxmap.fits"])) as opened:
        head = opened[0].header
    own = {band.pixedfit: curve_file(band) for band in cameras() if band.pixedfit}
    names = [head[f"fil{i}"] for i in range(head["nfilters"])]
    return [two_columns_of(files[f"filters/{own.get(name, name)}.txt"].decode()) for name in names]


@pytest.mark.slow
@pytest.mark.parametrize("camera", CAMERAS)
@pytest.mark.parametrize("code", CODES)
def test_every_code_gets_the_curve_of_every_band_of_every_camera_in_the_tables_order(
    code, camera, tmp_path
):
    bands, cube = cube_of(CAMERAS[camera])
    curves = globals()[f"curves_in_{code}"](sed_files(cube, code), tmp_path)
    assert [pivot_of(*curve) for curve in curves] == pytest.approx(
        [band.pivot for band in bands], rel=2e-3
    )


@pytest.mark.parametrize("code", CODES)
def test_filters_that_two_cameras_have_are_told_apart_in_every_code(code, tmp_path):
    bands, cube = cube_of([cameras(name)[0]._replace(name=name) for name in TOGETHER])
    files = sed_files(cube, code)
    curves = globals()[f"curves_in_{code}"](files, tmp_path)
    assert [pivot_of(*curve) for curve in curves] == pytest.approx(
        [band.pivot for band in bands], rel=2e-3
    )
    fluxes = {  # as the code reads them, in its units, in the order of the curves
        "eazy": lambda: column(files["catalogue.cat"], 4),
        "bagpipes": lambda: script(files, "load_hst", tmp_path).load_hst(1)[:, 0],
        "prospector": lambda: script(files, "obs", tmp_path).build_obs(1)["maggies"] * 3631e6,
        "cigale": lambda: column(files["observations.txt"], 2) * 1e3,
        "lephare": lambda: column(files["catalogue.in"], 1)[: len(bands)] * 1e29,
        "pixedfit": lambda: pixedfit_fluxes(files["fluxmap.fits"], bands),
    }[code]()
    assert fluxes == pytest.approx(12.0 * np.arange(1, len(bands) + 1), rel=1e-5)  # 12 pixels


def column(data, first):
    """Return the fluxes of the first row of a table, each before its error."""
    cells = data.decode().splitlines()[1].split()
    return np.array(cells[first::2][: len(TOGETHER)], float)


def pixedfit_fluxes(data, bands):
    with fits.open(io.BytesIO(data)) as opened:
        sums = opened["flux"].data.sum(axis=(1, 2), dtype=float) * float(opened[0].header["unit"])
    return [
        (one * units.Unit("erg s-1 cm-2 AA-1")).to_value(
            "uJy", units.spectral_density(band.pivot * units.AA)
        )
        for one, band in zip(sums, bands, strict=True)
    ]


def test_bands_of_jwst_have_the_names_that_the_codes_have_for_them():
    _, cube = cube_of(
        [cameras(name)[0]._replace(name=name) for name in ("f115w-niriss", "f444w", "f770w")]
    )
    assert "hstcube.jwst_niriss_f115w" in sed_files(cube, "cigale")["observations.txt"].decode()
    head = sed_files(cube, "cigale")["observations.txt"].decode().split("\n")[0]
    assert "jwst.nircam.F444W jwst.nircam.F444W_err jwst.miri.F770W jwst.miri.F770W_err" in head
    with fits.open(io.BytesIO(sed_files(cube, "pixedfit")["fluxmap.fits"])) as opened:
        names = [opened[0].header[f"fil{i}"] for i in range(3)]
    assert names == ["jwst_niriss_f115w", "jwst_nircam_f444w", "jwst_miri_f770w"]
    obs = sed_files(cube, "prospector")["obs.py"].decode()
    assert "FILTERS = ['jwst_niriss_f115w', 'jwst_f444w', 'jwst_f770w']" in obs
    assert "OURS = {}" in obs
    latest = sed_files(cube, "eazy")["zphot.translate.latest"].decode()
    assert "flux_f115w-niriss F309\n" in latest
    assert "flux_f444w F377\n" in latest


def test_a_band_of_any_name_is_one_word_in_every_table(tmp_path):
    path = tmp_path / "own.txt"
    path.write_text("14000 0\n14100 1\n16600 1\n16700 0\n", encoding="utf-8")
    table = QTable({"id": [1], "ra": [1.0], "dec": [1.0]})
    table["flux_my band, h"], table["error_my band, h"] = [2.0] * units.uJy, [0.1] * units.uJy
    given = {"my band, h": path}
    assert "flux_my_band__h F1\n" in eazy_files(table, curves=given)["zphot.translate"].decode()
    para = lephare_files(table, curves=given)["hst.para"].decode()
    assert "FILTER_LIST   my_band__h.dat\n" in para
    loader = script(bagpipes_files(table, curves=given), "load_hst", tmp_path)
    assert loader.load_hst(1)[0, 0] == 2.0


def test_pixedfit_gets_maps_in_flux_per_wavelength():
    cube = galaxy(zeropoint=23.9)  # sci is in uJy
    files = pixedfit_files(cube, cube.mask.any("band").astype("int32"), redshift=0.98)
    with fits.open(io.BytesIO(files["fluxmap.fits"]), checksum=True) as opened:
        assert [one.name for one in opened] == ["FLUX", "FLUX_ERR", "GALAXY_REGION", "STAMP_IMAGE"]
        head = opened[0].header
        assert (head["nfilters"], head["specphot"], head["z"], head["struct"]) == (
            3,
            0,
            0.98,
            "(band,y,x)",
        )
        assert [head[f"fil{i}"] for i in range(3)] == [
            "hst_acs_f435w",
            "hst_acs_f850lp",
            "hst_wfc3_ir_f160w",
        ]
        region = opened["galaxy_region"].data
        assert region.sum() == 12
        micro_jansky = units.uJy.to(
            "erg s-1 cm-2 AA-1", equivalencies=units.spectral_density(15369.2 * units.AA)
        )
        # in units of the card: pytest's absolute tolerance, 1e-12, is more than any flux in erg
        one = micro_jansky / float(head["unit"])
        assert opened["flux"].data[2][region == 1] == pytest.approx(3 * one, rel=1e-6)
        assert opened["flux_err"].data[2][region == 1] == pytest.approx(0.1 * one, rel=1e-6)
        assert (opened["flux"].data[:, region == 0] == 0).all()
        assert opened["stamp_image"].header["CTYPE1"] == "RA---TAN"


def test_pixels_that_lack_a_band_are_not_in_pixedfits_region():
    cube = galaxy()
    sci, wht = cube.sci.values.copy(), cube.wht.values.copy()
    sci[0, 2, 2], wht[0, 2, 2] = np.nan, 0
    holed = cube.assign(
        sci=cube.sci.copy(data=sci), wht=cube.wht.copy(data=wht), mask=cube.mask & (wht > 0)
    )
    region = holed.mask.any("band").astype("int32")
    with fits.open(io.BytesIO(pixedfit_files(holed, region)["fluxmap.fits"])) as opened:
        assert opened["galaxy_region"].data.sum() == 11
    assert code_of(lambda: pixedfit_files(holed, region, redshift=[0.1, 0.2])) == "HC-E03"
    nowhere = holed.assign(
        sci=cube.sci.where(cube.band != "f435w"), wht=cube.wht.where(cube.band != "f435w", 0),
        mask=cube.mask & (cube.band != "f435w"),
    )  # fmt: skip
    nowhere["mask"] = nowhere.mask.transpose("band", "y", "x")
    assert code_of(lambda: pixedfit_files(nowhere, region)) == "HC-S24"


# From the cube to files


@pytest.mark.parametrize("code", CODES)
def test_to_sed_writes_all_files_or_none(code, tmp_path):
    cube = galaxy()
    written = hstcube.to_sed(cube, code, tmp_path / code, redshift=0.98)
    assert sorted(path.relative_to(tmp_path / code).as_posix() for path in written) == sorted(
        sed_files(cube, code)
    )
    assert code_of(lambda: hstcube.to_sed(cube, code, tmp_path / code)) == "HC-O04"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "README").mkdir()
    with pytest.raises(hstcube.HstCubeError):
        hstcube.to_sed(cube, code, tmp_path / "other")
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["README"]


def test_the_object_is_one_row_pixels_are_rows_and_bins_are_rows():
    cube = galaxy(zeropoint=23.9)
    whole = text_tables.read(
        sed_files(cube, "eazy")["catalogue.cat"].decode(), format="commented_header"
    )
    assert whole["flux_f160w"].tolist() == pytest.approx([36.0])  # 12 pixels of 3 uJy
    pixels = sed_files(cube, "eazy", groups=each_pixel(cube))["catalogue.cat"].decode()
    assert len(pixels.splitlines()) == 13
    bins = np.zeros((8, 8), int)
    bins[2:5, 2:4], bins[2:5, 4:6] = 4, 9
    table = text_tables.read(
        sed_files(cube, "eazy", groups=bins)["catalogue.cat"].decode(), format="commented_header"
    )
    assert table["id"].tolist() == [4, 9]
    assert table["flux_f435w"].tolist() == pytest.approx([6.0, 6.0])


def test_a_code_that_is_not_known_is_an_error():
    assert code_of(lambda: sed_files(galaxy(), "hyperz")) == "HC-B30"


def test_a_cube_without_zero_points_is_an_error():
    cube = galaxy()
    assert (
        code_of(lambda: sed_files(cube.assign_coords(zeropoint=cube.zeropoint * np.nan), "eazy"))
        == "HC-D30"
    )


# Back from the fit


def results(path, ids=(2, 1), name="id"):
    table = Table(
        {name: [str(i) for i in ids] if name == "#ID" else list(ids), "z_phot": [2.5, 1.5]}
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the sign in bagpipes' "#ID"
        table.write(path)
    return path


def test_results_are_joined_by_id_and_painted_on_the_pixels(tmp_path):
    cube = galaxy()
    bins = np.zeros((8, 8), int)
    bins[2], bins[3], bins[4] = 1, 2, 3
    for code, name in (("eazy", "id"), ("bagpipes", "#ID")):
        fit = hstcube.read_fit(code, results(tmp_path / f"{code}.fits", name=name))
        painted = hstcube.paint_fit(cube, bins, fit, "z_phot")
        assert painted.dims == ("y", "x")
        assert painted.values[[2, 3], 0].tolist() == [1.5, 2.5]
        assert np.isnan(painted.values[[0, 4], 0]).all()  # no group; a group without a result
    assert code_of(lambda: hstcube.paint_fit(cube, bins, fit, "mass")) == "HC-B30"
    assert code_of(lambda: hstcube.paint_fit(cube, bins * 100, fit, "z_phot")) == "HC-E08"
    fit["id"] = 1
    assert code_of(lambda: hstcube.paint_fit(cube, bins, fit, "z_phot")) == "HC-E01"


def test_a_file_that_holds_no_results_is_an_error(tmp_path):
    assert code_of(lambda: hstcube.read_fit("eazy", tmp_path / "none.fits")) == "HC-E06"
    assert (
        code_of(lambda: hstcube.read_fit("bagpipes", results(tmp_path / "eazy.fits"))) == "HC-E06"
    )
    assert code_of(lambda: hstcube.read_fit("cigale", tmp_path / "eazy.fits")) == "HC-B30"
    assert (
        code_of(lambda: hstcube.read_fit("eazy", results(tmp_path / "twice.fits", ids=(1, 1))))
        == "HC-E01"
    )
