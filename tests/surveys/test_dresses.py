"""One scene in the dress of every release: the same fluxes and errors, and the commands work."""

from __future__ import annotations

import json
import shutil
import time
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from releases_made import CENTRE, DEAD, DRESSES, observed, scene, sigma, write_release
from stamps import write_field

import hstcube
from hstcube.core.bands import band_name
from hstcube.core.state import notes_of
from hstcube.errors import HstCubeError, HstCubeWarning
from hstcube.fits.opening import headers_of
from hstcube.jobs.catalogue import Position
from hstcube.surveys import names, releases
from hstcube.surveys.releases import images_in, matched_notes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import xarray as xr
    from commands import Said
    from releases_made import Dress

every_dress = pytest.mark.parametrize("name", DRESSES)


def opened(folder: Path, field: str, **how: Any) -> tuple[xr.Dataset, set[str]]:
    """Return a cube, and the codes of what is warned of."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", HstCubeWarning)
        cube = hstcube.open_field(folder, field, **how)
    return cube, {one.message.code for one in told if isinstance(one.message, HstCubeWarning)}


@pytest.mark.slow
@every_dress
def test_one_scene_has_one_flux_and_its_errors_in_every_dress(name: str, tmp_path: Path) -> None:
    dress = DRESSES[name]
    write_release(tmp_path, dress)
    (files,) = hstcube.list_fields(tmp_path)
    assert files.field == dress.field
    assert files.release in (name.partition(" ")[0], "drizzlepac")
    cube, told = opened(tmp_path, files.field)
    assert told == dress.told
    assert cube.band.values.tolist() == list(dress.of_bands)
    flux = hstcube.to_flux(cube, "uJy")
    # exposure times say how errors go from pixel to pixel; how large they are the scatter of the
    # 2064 pairs of pixels 5 apart says, of each axis
    within = 0.06 if dress.weight == "exptime" else 0.01
    for band in dress.of_bands:
        mine, weights = flux.sci.sel(band=band).values, flux.wht.sel(band=band).values
        peak = scene(dress, band).max()
        there = np.isfinite(mine)
        np.testing.assert_allclose(
            mine[there], observed(dress, band)[there], rtol=0, atol=1e-5 * peak
        )
        np.testing.assert_allclose(weights[there] ** -0.5, sigma(dress)[there], rtol=within)
        assert there.sum() == there.size - (dress.weight == "ERR")
        assert there[DEAD] == (dress.weight != "ERR")
    assert_sky_of_the_scene(flux, dress)


def assert_sky_of_the_scene(flux: xr.Dataset, dress: Dress) -> None:
    """Compare the measured level with that of the scene as it was before it was dressed."""
    bands = dress.of_bands
    blank = np.all([scene(dress, band) < 1e-3 * scene(dress, band).max() for band in bands], axis=0)
    bare = flux.copy()
    seen = np.stack([observed(dress, band) for band in flux.band.values])
    bare["sci"] = flux.sci.copy(data=np.where(np.isfinite(flux.sci), seen, np.nan).astype("f4"))
    for one, other in zip(
        hstcube.measure_sky(flux, background=blank).values,
        hstcube.measure_sky(bare, background=blank).values,
        strict=True,
    ):
        assert one == pytest.approx(other, abs=1e-4 * np.nanmedian(sigma(dress)))


@pytest.mark.slow
@every_dress
def test_the_commands_find_every_release(
    name: str, tmp_path: Path, call: Callable[..., Said]
) -> None:
    dress = DRESSES[name]
    folder = write_release(tmp_path / "images", dress)
    listed = call("ls", folder)
    assert listed.code == 0
    row = next(line for line in listed.out.splitlines() if dress.field in line)
    assert all(band in row for band in dress.of_bands)
    assert name.partition(" ")[0] in row or name == "wfpc2"
    refused = call("check", folder)
    assert "HC-S16" in refused.out
    assert "--no-mask" in refused.out
    to = list(dress.of_bands)[-1]
    how = ("--no-mask", "--sky", "none", "--to", to)
    checked = call("check", folder, "--json", *how)
    (report,) = json.loads(checked.out)
    assert checked.code == 0, report
    ran = call("run", folder, "-o", tmp_path / "out", *how)
    assert ran.code == 0, ran.err
    cube = hstcube.open_cube(next((tmp_path / "out").glob("*.nc")))
    flux = hstcube.to_flux(cube, "uJy").sci.sel(band=to).values
    there = np.isfinite(flux)
    np.testing.assert_allclose(
        flux[there], observed(dress, to)[there], rtol=0, atol=1e-5 * scene(dress, to).max()
    )


def test_images_that_are_matched_already_are_told_by_their_names(tmp_path: Path) -> None:
    write_release(tmp_path, DRESSES["uncover"])
    cube, told = opened(tmp_path, "abell2744clu")
    assert told == {"HC-P33"}
    assert "f115w, f444w: uncover_v7.2_abell2744clu_f115w" in cube.attrs["warnings"]
    path = next(tmp_path.glob("*f115w*sci*"))
    for name, matched in (
        ("a_psfmatched_sci", True), ("matched-a", True), ("a_convolved", True),
        ("a_homogenised", True), ("unmatched", False), ("matching_field", False),
        ("rematched3", False), ("a_convolvedness", False),
    ):  # fmt: skip
        assert bool(matched_notes({"f115w": path.with_name(f"{name}.fits")})) == matched, name


def test_weights_that_are_times_by_their_median_are_noted(tmp_path: Path) -> None:
    write_release(tmp_path, DRESSES["drizzlepac"])
    cube, told = opened(tmp_path, "ngc1")
    assert not told
    assert "HC-D44" in {code for code, _ in notes_of(cube.attrs["history"])}
    lazy, _ = opened(tmp_path, "ngc1", chunks={"y": 16})
    np.testing.assert_array_equal(lazy.wht.compute(), cube.wht)


def test_a_release_at_two_scales_asks_for_one_and_opens_mixed(
    tmp_path: Path, call: Callable[..., Said]
) -> None:
    grizli = DRESSES["grizli"]
    fine = replace(grizli, scale=0.02, bands={"f115wn-clear": ("NIRISS", "NIS")}, names=("f115w",))
    coarse = replace(grizli, bands={"f444w-clear": ("NIRCAM", "NRCALONG")}, names=("f444w",))
    for dress in (fine, coarse):
        write_release(tmp_path, dress)
    assert [files.scale for files in hstcube.list_fields(tmp_path)] == ["20mas", "40mas"]
    with pytest.raises(HstCubeError, match="field gds has images at 20mas and 40mas") as caught:
        hstcube.open_field(tmp_path, "gds")
    assert caught.value.code == "HC-B41"
    assert "--scale 40mas" in str(call("check", tmp_path).err)
    assert opened(tmp_path, "gds", scale="20mas")[0].band.values.tolist() == ["f115w"]
    both, _ = opened(tmp_path, "gds", scale="mixed")
    assert both.band.values.tolist() == ["f115w", "f444w"]


def test_one_file_of_all_images_is_a_field(tmp_path: Path, call: Callable[..., Said]) -> None:
    for name in ("dja", "hap"):
        write_release(tmp_path / name, DRESSES[name])
    thumb = next((tmp_path / "dja").glob("*thumb*"))
    (files,) = hstcube.list_fields(thumb)
    assert (files.field, list(files.bands)) == (DRESSES["dja"].field, ["f115w", "f444w"])
    assert call("ls", thumb).code == 0
    one = next((tmp_path / "hap").glob("*f606w*"))
    assert [list(files.bands) for files in hstcube.list_fields(one)] == [["f606w"]]
    with pytest.raises(HstCubeError, match="by its name no images of a field"):
        hstcube.list_fields(next((tmp_path / "hap").glob("psf*")))


def test_of_several_weights_the_first_of_the_release_is_taken(tmp_path: Path) -> None:
    folder = write_release(tmp_path, DRESSES["hff"])
    (files,) = hstcube.list_fields(folder)
    assert {band.wht[0].name[-8:] for band in files.bands.values()} == {"wht.fits"}
    for path in folder.glob("*_wht.fits"):
        path.unlink()
    (files,) = hstcube.list_fields(folder)
    assert {band.wht_kind for band in files.bands.values()} == {"rms"}
    cube, told = opened(folder, files.field)
    assert not told
    flux = hstcube.to_flux(cube, "uJy").wht.values[0] ** -0.5
    np.testing.assert_allclose(flux, sigma(DRESSES["hff"]), rtol=1e-5)


def test_a_map_of_a_release_is_that_of_its_field(tmp_path: Path) -> None:
    folder = write_release(tmp_path, DRESSES["grizli"])
    (folder / "gds-grizli-v7.2-ir_seg.fits.gz").touch()
    (folder / "gds-grizli-v7.2-ir_drc_sci.fits.gz").touch()  # a detection image: left alone
    (files,) = hstcube.list_fields(folder)
    assert files.labels == folder / "gds-grizli-v7.2-ir_seg.fits.gz"


def test_filters_that_no_name_says_stand_in_the_header(tmp_path: Path) -> None:
    folder = write_release(tmp_path, DRESSES["drizzlepac"])
    path = folder / "ngc1_f475w_drc.fits"
    path.rename(folder / "j8xx01010_drc.fits")
    (folder / "broken_drc.fits").write_bytes(b"no FITS at all")
    found = {files.field: list(files.bands) for files in hstcube.list_fields(folder)}
    assert found == {"j8xx01010": ["f475w"], "ngc1": ["f814w"]}


def test_stamps_are_cut_of_pairs_of_images_and_inverse_variances_alone(tmp_path: Path) -> None:
    position = [Position("1", *CENTRE)]
    for name, said in (("hap", "both images"), ("candels", "no inverse variances .rms.")):
        write_release(tmp_path / name, DRESSES[name])
        with pytest.raises(HstCubeError, match=said) as caught:
            hstcube.cut_stamps(tmp_path / name, position, tmp_path / "out", size=1)
        assert caught.value.code == "HC-D45"
    folder = write_release(tmp_path / "relics", DRESSES["relics"])
    hstcube.cut_stamps(folder, position, tmp_path / "out", size=1)
    cut, _ = opened(tmp_path / "out", "1")
    whole, _ = opened(folder, "abell1758")
    assert cut.sizes["y"] < whole.sizes["y"]
    assert float(cut.wht.max()) == float(whole.wht.max())
    assert cut.zeropoint.values.tolist() == whole.zeropoint.values.tolist()


@pytest.mark.parametrize(
    ("name", "band"),
    [
        ("F606W", "f606w"), ("606", "f606w"), ("f606wu", "f606w"), ("f115wn-clear", "f115w"),
        ("F150W-CLEAR", "f150w"), ("clear-f090w", "f090w"), ("f444w-f470n", "f470n"),
        ("f405n-f444w", "f405n"), ("f150w2-f162m", "f162m"), ("f164n", "f164n"),
        ("f850lpu", "f850lp"), ("f140m", "f140m"), ("f999x", "f999x"), ("f999xu", "f999xu"),
    ],
)  # fmt: skip
def test_bands_are_understood_as_releases_write_them(name: str, band: str) -> None:
    assert band_name(name) == band


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("hlsp_xdf_hst_wfc3ir-60mas_hudf_f105w_v1_rms", "xdf hudf 60mas f105w rms"),
        ("hlsp_hlf_hst_acs-30mas_goodss_f606w_v2.0_culled_sci", "hlf goodss 30mas f606w sci"),
        ("hlsp_candels_hst_wfc3_gs-tot_f160w_v1.0_drz", "candels gs-tot - f160w sci"),
        ("hlsp_candels_hst_wfc3_egs-tot-60mas_f160w_v1.0_wht", "candels egs-tot 60mas f160w ivar"),
        ("cos_2epoch_wfc3_f160w_060mas_v1.0_drz", "candels cos_2epoch 60mas f160w sci"),
        ("aegis_3dhst.v4.0.F125W_orig_sci", "3dhst aegis - f125w sci"),
        ("aegis_3dhst.v4.0.F125W_F140W_F160W_det", ""),
        ("goodsn_3dhst.v4.0.F160W_seg", "3dhst goodsn - - map"),
        ("goodss-F105W-astrodrizzle-v4.4_drz_sci", "3dhst goodss - f105w sci"),
        ("hlsp_clash_hst_wfc3uvis-65mas_a209_f275w_v1_drz", "clash a209 65mas f275w sci"),
        ("hlsp_relics_hst_acs-wfc3ir-60mas_a_multi_v1_segm", "relics a 60mas - map"),
        ("hlsp_relics_hst_wfc3ir-60mas_a_f105w_v1_drc", "relics a 60mas f105w sci"),
        ("hlsp_frontier_hst_wfc3-60mas-bkgdcor_a-hffpar_f105w_v1.0-epoch1_drz",
         "hff a-hffpar 60mas f105w sci"),
        ("hlsp_frontier_hst_wfc3-60mas_a_f105w_v1.0_exp", "hff a 60mas f105w exp"),
        ("hlsp_phangs-hst_hst_acs-wfc_n1_f435w_v1_exp-drc-sci", "phangs n1 - f435w sci"),
        ("hlsp_phangs-hst_hst_acs-wfc_n1_f435w_v1_err-drc-wht", "phangs n1 - f435w ivar"),
        ("hlsp_phangs-hst_hst_acs-wfc_n1_f435w_v1_err-drc-sci", "phangs n1 - f435w sci"),
        ("hlsp_phangs-hst_hst_acs-wfc_n1_f435w_v1_exp-drc-wht", "phangs n1 - f435w see"),
        ("hlsp_hduv_hst_wfc3-uvis-60mas_g_f275w_v1.0_drz", "hlsp g 60mas f275w sci"),
        ("hst_10265_01_acs_wfc_f606w_j92c01_drc",
         "hap 10265_01 - f606w sci, hap 10265_01 - f606w exptime"),
        ("hst_10265_01_acs_wfc_f606w_j92c01ic_drc", ""),  # of one exposure
        ("hst_10265_01_acs_wfc_total_j92c01_drc", ""),
        ("gds-grizli-v7.2-f444w-f470n_drc_sci", "grizli gds - f470n sci"),
        ("gds-grizli-v7.2-f606wu_drc_exp", "grizli gds - f606w exp"),
        ("ceers_nircam4_f200w_v0.51_i2d",
         "ceers nircam4 - f200w sci, ceers nircam4 - f200w err"),
        ("hlsp_jades_jwst_nircam_goods-s_segmentation_v2.0_drz", "jades goods-s - - map"),
        ("hlsp_jades_jwst_nircam_goods-s_photometry_v2.0_catalog", ""),
        ("mosaic_nircam_f444w_COSMOS-Web_60mas_B10_v1.0_i2d",
         "cosmos-web B10 60mas f444w sci, cosmos-web B10 60mas f444w err"),
        ("uncover_v7.2_a_f115w_block40_bcgs_wht_f444w-matched", "uncover a - f115w ivar"),
        ("jw01288-o015_t001_miri_f1130w-brightsky_i2d",
         "jwst 01288-o015_t001 - f1130w sci, jwst 01288-o015_t001 - f1130w err"),
        ("f814w_drc_sci", "drizzlepac data - f814w sci"),
        ("1_f160w_sci", ""),  # of our own products
    ],
)  # fmt: skip
def test_names_are_those_of_their_release(name: str, said: str, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    for ending in (".fits", ".fits.gz"):
        folder.mkdir(exist_ok=True)
        path = folder / f"{name}{ending}"
        path.touch()
        found = [
            f"{one.release} {one.field} {one.scale or '-'} {one.band or '-'} {one.role}"
            for one in images_in(folder)
        ]
        assert ", ".join(found) == said
        path.unlink()


def test_a_folder_of_many_files_is_listed_quickly(tmp_path: Path) -> None:
    for i in range(3000):
        (tmp_path / f"catalogue_of_some_field_{i}_v1.0_with_words.fits").touch()
    start = time.process_time()
    assert not hstcube.list_fields(tmp_path)
    assert time.process_time() - start < 1.5


def test_one_field_of_many_is_found_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("1", "11", "111", "21"):
        write_field(tmp_path, name, shape=(40, 40))
    listed = {files.field: files for files in hstcube.list_fields(tmp_path)}
    built = []
    monkeypatch.setattr(names, "psf_file", lambda _, name, __: built.append(name))
    for name, files in listed.items():
        assert names.find_field(tmp_path, name) == files
        assert names.chosen_fields(tmp_path, fields=[name]) == [files]
    assert built == [name for name in listed for _ in range(2)]
    with pytest.raises(HstCubeError, match="there are fields 1, 11, 21, 111"):
        names.find_field(tmp_path, "2")


def test_of_a_release_no_header_of_another_field_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_release(tmp_path, DRESSES["dja"])
    thumb = next(tmp_path.glob("*thumb*"))
    other = thumb.with_name(thumb.name.replace(".fits", "_b.fits"))
    shutil.copy(thumb, other)
    listed = {files.field: files for files in hstcube.list_fields(tmp_path)}
    assert len(listed) > 1
    opened = []
    monkeypatch.setattr(
        releases, "headers_of", lambda path: opened.append(path) or headers_of(path)
    )
    assert names.find_field(tmp_path, DRESSES["dja"].field) == listed[DRESSES["dja"].field]
    assert other not in opened
