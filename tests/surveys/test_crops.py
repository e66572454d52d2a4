"""Crops of real images of other surveys, each with what is odd about it."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import pytest
from astropy.io import fits

import hstcube
from hstcube.core.state import notes_of
from hstcube.errors import HstCubeError, HstCubeWarning

if TYPE_CHECKING:
    from pathlib import Path

    import xarray as xr

pytestmark = pytest.mark.real


def opened(
    files: dict[str, tuple[Path | str, Path | str]], **how: str
) -> tuple[xr.Dataset, set[str]]:
    """Return a cube, and the codes of what is warned of."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", HstCubeWarning)
        cube = hstcube.open_bands(files, field="t", **how)
    return cube, {one.message.code for one in told if isinstance(one.message, HstCubeWarning)}


def noted(cube: xr.Dataset) -> set[str]:
    return {code for code, _ in notes_of(cube.attrs["history"])}


def zero(cube: xr.Dataset) -> list[float]:
    return cube.zeropoint.values.round(2).tolist()


def cameras(cube: xr.Dataset) -> list[str]:
    pairs = zip(cube.instrument.values, cube.detector.values, strict=True)
    return ["/".join(filter(None, pair)) for pair in pairs]


def flat_weight(image: Path, place: Path, unit: str | int = 0) -> Path:
    """Write a weight of ones with the science image's own header."""
    with fits.open(image) as hdus:
        header = hdus[unit].header.copy()
        ones = np.ones(hdus[unit].data.shape, np.float32)
    fits.PrimaryHDU(ones, header).writeto(place, output_verify="ignore")
    return place


def test_xdf_cut_outs_with_equal_cd_and_pc_open_with_their_rms(crops: Path) -> None:
    name = "hlsp_xdf_hst_wfc3ir-60mas_hudf_{}_v1_{}.fits"
    files = {
        band: (crops / name.format(band, "sci"), crops / name.format(band, "rms"))
        for band in ("f105w", "f160w")
    }
    cube, told = opened(files, wht_kind="rms")
    assert zero(cube) == [26.27, 25.94]
    assert cameras(cube) == ["WFC3/IR", "WFC3/IR"]
    assert cube.sci.attrs["units"] == "electron s-1"
    assert not told
    assert "HC-D24" in opened(files)[1]  # an rms taken for an inverse variance: errors x 37,000


@pytest.mark.parametrize(("galaxy", "apart"), [(5082, "0.942"), (6729, "0.745")])
def test_hlf_pairs_in_two_frames_are_refused(crops: Path, galaxy: int, apart: str) -> None:
    name = "hlsp_hlf_hst_acs-60mas_goodss_f775w_v2.0_{}_id{}_cutout.fits"
    files = {"f775w": tuple(crops / name.format(kind, galaxy) for kind in ("sci", "wht"))}
    with pytest.raises(HstCubeError, match=f"up to {apart} pixels apart"):
        opened(files)


def test_a_frontier_field_opens_with_an_rms_that_has_no_wcs(crops: Path) -> None:
    name = "abell_2744_dwarf_galaxy_f105w{}.fits.gz"
    files = {"f105w": (crops / name.format(""), crops / name.format("_rms"))}
    cube, told = opened(files, wht_kind="rms")
    assert cameras(cube) == ["WFC3/IR"]
    assert zero(cube) == [26.27]  # never PHOTZPT
    assert not told
    assert "HC-W28" in noted(cube)


@pytest.mark.parametrize(
    ("name", "band", "pivot"),
    [
        ("jw01288015001_04101_00001", "f1130w", 113085),
        ("jw01288015001_26101_00003", "f770w", 76393),
        ("jw01288016001_34101_00002", "f1500w", 150635),
    ],
)
def test_an_i2d_of_miri_gives_its_err(crops: Path, name: str, band: str, pivot: float) -> None:
    path = crops / f"{name}_mirimage_i2d.fits.gz"
    cube, told = opened({band: (path, path)})
    assert cube.sci.attrs["units"] == "MJy sr-1"
    assert zero(cube) == [20.47]
    assert cameras(cube) == ["MIRI/MIRIMAGE"]
    area = hstcube.Grid.of(cube).scale ** 2  # arcsec2: the zero point of a pixel
    assert float(cube.zeropoint[0]) - 2.5 * np.log10(area) == pytest.approx(25.27, abs=0.01)
    assert "noise_scale" not in cube.coords  # a nebula everywhere: no sky is blank
    assert "HC-D42" in noted(cube)
    assert float(cube.pivot[0]) == pytest.approx(pivot, rel=1e-4)
    assert not told
    with fits.open(path) as hdus:
        np.testing.assert_allclose(cube.wht[0], hdus["ERR"].data ** -2.0, rtol=1e-5)
    by_name, _ = opened({band: (f"{path}[SCI,1]", f"{path}[ERR]")}, wht_kind="rms")
    np.testing.assert_array_equal(by_name.wht, cube.wht)
    flux = hstcube.to_flux(cube, "uJy")
    assert float(flux.zeropoint[0]) == pytest.approx(23.9)
    with pytest.raises(HstCubeError, match=f"the header says {band.upper()}"):
        opened({"f560w": (path, path)})


def test_one_drizzled_file_gives_camera_filter_and_its_weights_are_times(
    crops: Path, tmp_path: Path
) -> None:
    path = tmp_path / "a_drc.fits"
    with fits.open(crops / "rxj1131_acs_wfc_f814w_drz.fits") as hdus:
        primary, sci = hdus[0].header, hdus["SCI"]
        weight = sci.header.copy()
        del weight["BUNIT"]
        times = np.full(sci.data.shape, 1980, np.float32)
        fits.HDUList(
            [
                fits.PrimaryHDU(None, primary),
                fits.ImageHDU(sci.data, sci.header, name="SCI"),
                fits.ImageHDU(times, weight, name="WHT"),
                fits.ImageHDU(np.ones(times.shape, np.int32), sci.header, name="CTX"),
            ]
        ).writeto(path, output_verify="ignore")
    cube, told = opened({"f814w": (path, path)})
    assert told == {"HC-D28"}
    assert "HC-W27" in noted(cube)
    assert zero(cube) == [25.95]
    assert cameras(cube) == ["ACS/WFC"]
    assert float(cube.exposure[0]) == 1980
    with pytest.raises(HstCubeError, match="the header says F814W"):
        opened({"f606w": (path, path)})
    measured, told = opened({"f814w": (path, path)}, wht_kind="exptime")
    assert not told
    sky = measured.sci.values[0, :12]  # a corner without the lens
    pull = (sky - np.median(sky)) * np.sqrt(measured.wht.values[0, :12])
    assert 0.5 < 1.4826 * np.median(np.abs(pull)) < 2


def test_uvis_leftovers_of_distortions_are_noted(crops: Path, tmp_path: Path) -> None:
    image = crops / "frb180924_wfc3_uvis_f300x_drc_sci.fits"
    cube, told = opened({"f300x": (image, flat_weight(image, tmp_path / "wht.fits"))})
    assert cameras(cube) == ["WFC3/UVIS"]
    assert cube.sci.attrs["units"] == "electron s-1"
    assert zero(cube) == [24.99]  # by PHOTFLAM and PHOTPLAM; 25.03 by PHOTFNU is told
    assert told == {"HC-D31", "HC-D24"}  # weights of 1 are no inverse variance
    assert float(cube.pivot[0]) == pytest.approx(2815.4, rel=1e-3)


def test_wfpc2_names_its_filter_in_photmode(crops: Path, tmp_path: Path) -> None:
    image = crops / "hdfs_wfpc2_f606w_drz.fits.gz"
    weight = flat_weight(image, tmp_path / "wht.fits", "DATA")
    cube, told = opened({"f606w": (image, weight)})
    assert "HC-D24" in told
    assert zero(cube) == [23.0]
    assert cameras(cube)[0].startswith("WFPC2")
    assert float(cube.pivot[0]) == pytest.approx(6001.3)
    with pytest.raises(HstCubeError, match="the header says F606W"):
        opened({"f814w": (image, weight)})
