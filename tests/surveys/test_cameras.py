"""Cameras: one filter of two of them in one cube, named, kept, told; filters of no table."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from astropy.io import fits
from made import code_of
from releases_made import DRESSES, Dress, write_release
from stamps import rewrite, stamp, write_field

import hstcube
from hstcube.core.bands import band_name, cameras, name_among, names_apart
from hstcube.core.stack import stack_bands
from hstcube.core.state import notes_of
from hstcube.errors import HstCubeError, HstCubeWarning

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import xarray as xr
    from commands import Said

pytestmark = pytest.mark.filterwarnings("ignore::hstcube.HstCubeWarning")

_ACS, _UVIS, _WFPC2 = ("ACS", "WFC"), ("WFC3", "UVIS"), ("WFPC2", "3")
GRIZLI = DRESSES["grizli"]


def cameras_of(cube: xr.Dataset) -> list[tuple[str, str, str]]:
    rows = zip(cube.band.values, cube.instrument.values, cube.detector.values, strict=True)
    return [(str(name), str(instrument), str(detector)) for name, instrument, detector in rows]


def two_cameras(folder: Path) -> Path:
    """Write what grizli writes of an F606W of ACS and one of UVIS, F115W of NIRCam and NIRISS."""
    for text, name, camera in (
        ("f606w", "f606w", _ACS),
        ("f606wu", "f606w", _UVIS),
        ("f115w-clear", "f115w", ("NIRCAM", "NRCA1")),
        ("f115wn-clear", "f115w", ("NIRISS", "NIS")),
    ):
        write_release(folder, replace(GRIZLI, bands={text: camera}, names=(name,)))
    next(folder.glob("psf*")).unlink()
    return folder


BOTH = [
    ("f606w-uvis", "WFC3", "UVIS"),
    ("f606w", "ACS", "WFC"),
    ("f115w", "NIRCAM", "NRCA1"),
    ("f115w-niriss", "NIRISS", "NIS"),
]


def test_one_filter_of_two_cameras_is_two_bands_of_one_cube(tmp_path: Path) -> None:
    cube = hstcube.open_field(two_cameras(tmp_path), "gds")
    assert cameras_of(cube) == BOTH
    assert cube.pivot.values.tolist() == [5889.2, 5921.9, 11540.8, 11569.2]
    hstcube.validate(cube)


def test_a_letter_picks_the_camera_and_a_plain_name_the_first(tmp_path: Path) -> None:
    folder = two_cameras(tmp_path)
    for wanted, name in (
        ("f606wu", "f606w-uvis"), ("F606W_UVIS", "f606w-uvis"), ("f606w", "f606w"),
        ("f115wn-clear", "f115w-niriss"), ("F115W-CLEAR", "f115w"),
    ):  # fmt: skip
        cube = hstcube.open_field(folder, "gds", bands=[wanted], psf_fwhm={wanted: 0.1})
        assert cube.band.values.tolist() == [name]
        assert cube.psf_fwhm.values.tolist() == [0.1]
    assert name_among("f606wu", ["f606w"]) == "f606w"  # it is the only one that there is


def test_the_camera_goes_through_every_file_and_step(tmp_path: Path) -> None:
    cube = hstcube.open_field(two_cameras(tmp_path / "in"), "gds")
    cube = cube.assign_coords(psf_fwhm=("band", np.linspace(0.08, 0.12, 4)))
    hstcube.to_fits(cube, tmp_path / "fits")
    hstcube.to_fits(cube, tmp_path / "mef", layout="mef")
    hstcube.save_cube(cube, tmp_path / "gds.nc")
    grid = hstcube.Grid.of(cube)
    later = {
        "fits": hstcube.open_field(tmp_path / "fits", "gds"),
        "mef": hstcube.open_field(tmp_path / "mef", "gds"),
        "netcdf": hstcube.open_cube(tmp_path / "gds.nc"),
        "stack": stack_bands([cube.isel(band=[1, 3]), cube.isel(band=[0, 2])]),
        "regrid": hstcube.regrid(cube, grid.coarsen(2), method="exact"),
        "rebin": hstcube.rebin(cube, 2),
        "psf_match": hstcube.psf_match(cube, to="0.3arcsec"),
        "sky": hstcube.subtract_sky(cube, 0.0),
        "flux": hstcube.to_flux(cube, "uJy"),
    }
    for step, same in later.items():
        assert cameras_of(same) == BOTH, step
    one = hstcube.open_field(tmp_path / "fits", "gds", bands=["f606wu"])
    assert cameras_of(one) == BOTH[:1]
    card = tmp_path / "fits" / "gds_f606w-uvis_sci.fits"
    header = fits.getheader(card)
    assert (header["TELESCOP"], header["INSTRUME"], header["DETECTOR"]) == ("HST", "WFC3", "UVIS")
    assert fits.getval(tmp_path / "fits" / "gds_f115w-niriss_sci.fits", "TELESCOP") == "JWST"


def test_a_cube_of_before_has_no_cameras_and_is_one_all_the_same(tmp_path: Path) -> None:
    cube = hstcube.open_field(two_cameras(tmp_path / "in"), "gds")
    old = cube.drop_vars(["instrument", "detector"]).isel(band=[1])
    hstcube.validate(old)
    hstcube.to_fits(old, tmp_path / "fits")
    assert cameras_of(hstcube.open_field(tmp_path / "fits", "gds")) == BOTH[1:2]
    both = stack_bands([old, cube.isel(band=[2])])
    assert cameras_of(both)[0] == ("f606w", "", "")
    hstcube.validate(both)


def test_the_commands_take_names_with_cameras(tmp_path: Path, call: Callable[..., Said]) -> None:
    folder = two_cameras(tmp_path / "in")
    assert "f606w-uvis f606w f115w f115w-niriss" in call("ls", folder).out
    how = ("--no-mask", "--sky", "none", "--to", "0.3arcsec", "-b", "f606wu", "-b", "f606w")
    how += ("--psf-fwhm", "f606w-uvis=0.1", "--psf-fwhm", "f606w=0.1")
    assert call("check", folder, *how).code == 0
    assert call("run", folder, "-o", tmp_path / "out", *how).code == 0
    assert cameras_of(hstcube.open_cube(tmp_path / "out" / "gds.nc")) == BOTH[:2]
    assert (tmp_path / "out" / "gds_f606w-uvis_sci.fits").exists()


def test_headers_tell_cameras_apart_where_names_do_not(tmp_path: Path) -> None:
    for camera, instrument in ((_ACS, "acs"), (_UVIS, "wfc3"), (_WFPC2, "wfpc2")):
        pattern = f"hst_1_01_{instrument}_x_{{band}}_j92c01_drc.fits"
        dress = Dress("1_01", 0.05, {"f606w": camera}, pattern, weight="exptime")
        write_release(tmp_path, dress)
    (files,) = hstcube.list_fields(tmp_path)
    assert list(files.bands) == ["f606w-uvis", "f606w", "f606w-wfpc2"]
    for name, band in files.bands.items():
        assert band.sci == band.wht
        assert {"f606w": "acs", "f606w-uvis": "wfc3"}.get(name, "wfpc2") in band.sci[0].name
    (tmp_path / "copies").mkdir()
    write_field(tmp_path / "copies")
    copy = stamp(tmp_path / "copies", "f435w")
    (copy.parent.parent / copy.name).write_bytes(copy.read_bytes())
    with pytest.raises(HstCubeError) as caught:  # the same camera: one of the two is a copy
        hstcube.open_field(tmp_path / "copies", "1")
    assert caught.value.code == "HC-B02"


def as_of(folder: Path, name: str, camera: tuple[str, str], **cards: Any) -> tuple[Path, Path]:
    """Return the images of a band with the cards of a camera."""
    said = {"FILTER": name.upper(), "INSTRUME": camera[0], "DETECTOR": camera[1], **cards}
    paths = tuple(stamp(folder, "f606w", kind) for kind in ("sci", "wht"))
    for path in paths:
        rewrite(path, cards=said)
    return paths[0], paths[1]


def test_a_band_of_another_camera_than_its_name_is_refused(tmp_path: Path) -> None:
    paths = as_of(write_field(tmp_path, bands=("f606w",)), "f606w", _UVIS)
    for name in ("f606w-wfc", "f606w-acs", "f606w-wfpc2", "f606w-hrc"):
        with pytest.raises(HstCubeError, match="the header says WFC3/UVIS") as caught:
            hstcube.open_bands({name: paths}, field="1")
        assert caught.value.code == "HC-B03"
        assert "f606w-uvis" in caught.value.fix
    cube = hstcube.open_bands({"f606w-wfc3": paths}, field="1")
    assert cameras_of(cube) == BOTH[:1]
    assert cameras_of(hstcube.open_bands({"f606wu": paths}, field="1")) == [
        ("f606w", "WFC3", "UVIS")
    ]


def test_a_file_that_is_of_another_camera_by_its_name_is_told(tmp_path: Path) -> None:
    dress = Dress("a", 0.06, {"f606w": _UVIS}, "hlsp_candels_hst_acs_a-60mas_{band}_v1.0_drz.fits",
                  "hlsp_candels_hst_acs_a-60mas_{band}_v1.0_wht.fits")  # fmt: skip
    with pytest.warns(HstCubeWarning, match="of ACS by its name, of WFC3 by its header"):
        cube = hstcube.open_field(write_release(tmp_path, dress), "a")
    assert cameras_of(cube) == [("f606w", "WFC3", "UVIS")]
    assert "HC-B04" in cube.attrs["warnings"]


def test_field_files_name_cameras(tmp_path: Path) -> None:
    folder = two_cameras(tmp_path)
    (files,) = hstcube.list_fields(folder)
    lines = ['name = "x"']
    for key, name in (("f606w", "f606w"), ("f606w_uvis", "f606w-uvis"), ("f115wn", "f115w-niriss")):
        band = files.bands[name]
        lines += [f"[bands.{key}]", f'sci = "{band.sci[0]}"', f'wht = "{band.wht[0]}"']
    path = tmp_path / "x.toml"
    path.write_text("\n".join(lines))
    from hstcube.surveys.field_file import read_field_file

    assert list(read_field_file(path).bands) == ["f606w", "f606w-uvis", "f115w"]
    path.write_text("\n".join(lines).replace("f606w_uvis", "F606W"))
    assert code_of(lambda: read_field_file(path)) == "HC-B02"


@pytest.mark.parametrize("name", sorted({one.name for one in cameras()}))
def test_every_filter_of_several_cameras_has_a_name_for_each(name: str) -> None:
    rows = cameras(name)
    for row in rows:
        of_one = f"{name}-{row.camera}"
        assert cameras(of_one) == (row,)
        assert band_name(of_one.upper()) == band_name(f"{name}_{row.camera}") == of_one
        assert hstcube.band(of_one, instrument="ACS", detector="WFC").pivot == row.pivot
    assert len({row.camera for row in rows}) == len(rows)
    assert names_apart([name, f"{name}-{rows[0].camera}"])[0] == name


def test_the_filters_of_hrc_have_the_pivots_of_synphot() -> None:
    hrc = {one.name: one.pivot for one in cameras() if one.detector == "HRC"}
    assert len(hrc) == 17
    # of the same filters in WFC; the CCDs differ, in the narrow and medium ones by next to nothing
    for name, pivot in hrc.items():
        wfc = [one.pivot for one in cameras(name) if one.detector == "WFC"]
        if wfc:
            assert pivot == pytest.approx(wfc[0], rel=3e-4 if name[-1] in "nm" else 0.013)


def no_filter(folder: Path) -> Path:
    for kind in ("sci", "wht"):
        rewrite(stamp(folder, "f606w", kind), cards={"FILTER": None, "PHOTPLAM": None})
        stamp(folder, "f606w", kind).rename(stamp(folder, "f999x", kind))
    return folder


def test_the_command_line_gives_a_pivot_to_a_band_of_no_table(
    tmp_path: Path, call: Callable[..., Said]
) -> None:
    folder = no_filter(write_field(tmp_path / "in", bands=("f606w", "f160w")))
    how = ("--no-mask", "--sky", "none", "--to", "0.3arcsec", "--psf-fwhm", "f999x=0.1")
    refused = call("check", folder, *how)
    assert "HC-B07" in refused.out
    assert "--pivot" in refused.out
    for said, pivot in (("f999x=9990", 9990.0), ("F999X=1.5um", 15000.0)):
        assert call("check", folder, *how, "--pivot", said).code == 0
        out = tmp_path / f"out{pivot}"
        assert call("run", folder, "-o", out, *how, "--pivot", said).code == 0
        cube = hstcube.open_cube(out / "1.nc")
        assert float(cube.pivot.sel(band="f999x")) == pytest.approx(pivot)
    wrong = call("run", folder, "-o", tmp_path / "no", *how, "--pivot", "f555w=5000")
    assert "HC-B01" in wrong.err
    assert call("run", folder, "-o", tmp_path / "no", *how, "--pivot", "f999x=-3").code != 0


def test_a_pivot_in_the_header_half_a_per_cent_off_is_told_and_used(tmp_path: Path) -> None:
    folder = write_field(tmp_path, bands=("f606w",))
    for said, used in ((5921.9 * 1.004, 5921.9), (5921.9 * 1.006, 5921.9 * 1.006)):
        rewrite(stamp(folder, "f606w"), cards={"PHOTPLAM": said})
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always", HstCubeWarning)
            cube = hstcube.open_field(folder, "1")
        assert float(cube.pivot[0]) == used
        assert any("HC-B35" in str(one.message) for one in told) == (used != 5921.9)


@pytest.mark.slow
def test_the_dresses_have_their_cameras(tmp_path: Path) -> None:
    for i, (name, dress) in enumerate(DRESSES.items()):
        cube = hstcube.open_field(write_release(tmp_path / str(i), dress), dress.field)
        wanted = {band: dress.bands[text][0] for band, text in dress.of_bands.items()}
        if name != "dja":  # whose second band has no header of its own
            assert dict(zip(cube.band.values, cube.instrument.values, strict=True)) == wanted, name


def test_hff_maps_of_exposure_times_are_used_and_those_of_other_grids_left_alone(
    tmp_path: Path, call: Callable[..., Said]
) -> None:
    dress = DRESSES["hff"]
    folder = write_release(tmp_path / "in", dress)
    (files,) = hstcube.list_fields(folder)
    assert {band.times.name[-8:] for band in files.bands.values() if band.times} == {"exp.fits"}
    how = ("--no-mask", "--sky", "none", "--to", "0.3arcsec")
    assert call("run", folder, "-o", tmp_path / "out", *how).code == 0
    cube = hstcube.open_cube(next((tmp_path / "out").glob("*.nc")))
    assert cube.attrs["poisson"] == "map"
    for band in files.bands.values():
        fits.PrimaryHDU(np.ones((7, 7), np.float32)).writeto(str(band.times), overwrite=True)
    assert call("run", folder, "-o", tmp_path / "other", *how).code == 0
    cube = hstcube.open_cube(next((tmp_path / "other").glob("*.nc")))
    assert cube.attrs["poisson"] == "6840 s"  # of the header
    assert not [code for code, _ in notes_of(cube.attrs["history"]) if code == "HC-N21"]


def test_binned_maps_of_exposure_times_are_spread_over_their_pixels(tmp_path: Path) -> None:
    cube = hstcube.open_field(write_release(tmp_path, DRESSES["candels"]), "egs-tot")
    coarse = hstcube.Grid.of(cube).coarsen(4)
    seconds = np.where(np.arange(coarse.shape[1]) < 6, 1000, 2000) * np.ones(coarse.shape)
    path = tmp_path / "exp.fits"
    fits.PrimaryHDU(seconds.astype(np.int32), coarse.header()).writeto(path)
    done = hstcube.homogenize(cube, sky=0.0, to="0.3arcsec", poisson=str(path))
    whole = np.repeat(np.repeat(seconds, 4, 0), 4, 1)
    by_hand = hstcube.homogenize(cube, sky=0.0, to="0.3arcsec", poisson=whole)
    np.testing.assert_array_equal(done.wht, by_hand.wht)
    assert done.wht.values.min() > 0


def test_a_pivot_that_is_given_for_a_known_filter_is_used_and_told_where_it_is_anothers(
    tmp_path: Path,
) -> None:
    folder = write_field(tmp_path, bands=("f606w",))
    files = {"f606w": (stamp(folder, "f606w"), stamp(folder, "f606w", "wht"))}
    hstcube.open_bands(files, field="1", pivot={"f606w": 5921.9 * 1.04})
    with pytest.warns(hstcube.HstCubeWarning, match="HC-B35 f606w: a pivot of 6514.1 Angstrom was"):
        cube = hstcube.open_bands(files, field="1", pivot={"f606w": 5921.9 * 1.1})
    assert cube.pivot.item() == pytest.approx(5921.9 * 1.1)
