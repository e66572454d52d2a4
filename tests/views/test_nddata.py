"""What goes to astropy's NDData and back is the same image at the same place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.nddata import CCDData, NDData, StdDevUncertainty
from astropy.wcs import WCS

import hstcube
from hstcube import Grid, HstCubeError, HstCubeWarning

if TYPE_CHECKING:
    import xarray as xr

pytestmark = pytest.mark.filterwarnings("ignore::hstcube.HstCubeWarning")


@pytest.fixture(scope="module")
def matched() -> xr.Dataset:
    return hstcube.example(matched=True)


def code_of(do):
    with pytest.raises(HstCubeError) as caught:
        do()
    assert caught.value.fix
    return caught.value.code


def one(cube: xr.Dataset, band: str) -> xr.Dataset:
    return cube.sel(band=[band])


LOST = {"labels", "coverage", "noise_acf", "dy", "dx", "wcs"}


@pytest.mark.parametrize("state", [False, True], ids=["opened", "matched"])
@pytest.mark.parametrize("band", ["f435w", "f160w"])
def test_a_round_trip_keeps_the_band(band: str, state: bool) -> None:
    cube = one(hstcube.example(matched=state), band)
    back = hstcube.validate(hstcube.from_nddata(hstcube.to_nddata(cube)))
    for name in ("sci", "wht", "mask"):
        np.testing.assert_array_equal(back[name].values, cube[name].values)
    for name in set(cube.coords) - LOST:
        if cube[name].dtype.kind == "f":
            np.testing.assert_allclose(back[name].values, cube[name].values, rtol=1e-12, atol=1e-14)
        else:
            assert back[name].values.tolist() == cube[name].values.tolist(), name
    kept = ("field", "survey", "poisson", "recipe", "history")
    assert {key: back.attrs.get(key) for key in kept} == {key: cube.attrs.get(key) for key in kept}
    assert Grid.of(back).shift(Grid.of(cube)) < 1e-9
    hstcube.require_same_grid(cube, back.sci)


def test_bands_that_came_back_are_stacked(matched) -> None:
    bands = ["f435w", "f606w", "f160w"]
    back = [hstcube.from_nddata(hstcube.to_nddata(one(matched, band))) for band in bands]
    cube = hstcube.stack_bands(back)
    np.testing.assert_array_equal(cube.sci.values, matched.sel(band=bands).sci.values)


def test_a_file_of_ccddata_is_the_same(matched, tmp_path) -> None:
    cube = one(matched, "f160w")
    hstcube.to_nddata(cube).write(tmp_path / "f160w.fits")
    back = hstcube.from_nddata(CCDData.read(tmp_path / "f160w.fits"))
    for name in ("sci", "wht", "mask", "psf"):
        np.testing.assert_array_equal(back[name].values, cube[name].values)
    assert Grid.of(back).shift(Grid.of(cube)) < 1e-6


def test_a_slice_of_ccddata_keeps_its_place(matched) -> None:
    part = hstcube.to_nddata(one(matched, "f160w"))[10:60, 20:80]
    back, cube = hstcube.from_nddata(part), matched.isel(y=slice(10, 60), x=slice(20, 80))
    assert Grid.of(back).shift(Grid.of(cube)) < 1e-9
    np.testing.assert_array_equal(back.sci.values[0], cube.sci.sel(band="f160w").values)


def test_a_band_whose_axis_is_gone_is_taken_too(matched) -> None:
    image = hstcube.to_nddata(matched.sel(band="f160w"))
    other = hstcube.to_nddata(one(matched, "f160w"))
    np.testing.assert_array_equal(image.data, other.data)
    np.testing.assert_array_equal(image.psf, other.psf)
    assert image.meta == other.meta


def test_what_is_done_to_the_image_does_not_reach_the_cube(matched) -> None:
    image = hstcube.to_nddata(one(matched, "f160w"))
    image.data[:] = 0
    image.mask[:] = False
    image.wcs.wcs.crval = [0, 0]
    again = hstcube.to_nddata(one(matched, "f160w"))
    assert np.nanmax(again.data) > 0
    assert again.mask.any()
    assert again.wcs.wcs.crval[0] == 53.16


def test_chunked_pixels_are_computed(matched) -> None:
    image = hstcube.to_nddata(one(matched, "f160w").chunk({"y": 50}))
    np.testing.assert_array_equal(image.data, matched.sci.sel(band="f160w").values)


def test_photutils_measures_the_same_on_it(matched) -> None:
    """The mask is theirs, True where a pixel is not to be used; nothing else is counted."""
    from photutils.aperture import CircularAperture, aperture_photometry

    image = hstcube.to_nddata(hstcube.to_flux(one(matched, "f160w"), "uJy"))
    x, y = Grid.of(matched).wcs.world_to_pixel(SkyCoord(53.16, -27.78, unit="deg"))
    table = aperture_photometry(image, CircularAperture((x, y), 5))
    ours = hstcube.photometry(matched, (53.16, -27.78), radius=0.3)
    np.testing.assert_allclose(table["aperture_sum"].value, ours["flux_f160w"].value, rtol=1e-5)


def test_an_image_of_another_program_becomes_a_cube() -> None:
    wcs = WCS(Grid.around((53.16, -27.78), size=1.2, scale=0.06).header())
    data = np.ones((20, 20))
    data[0, 0] = np.nan
    mask = np.zeros((20, 20), bool)
    mask[5] = True
    image = NDData(
        data, uncertainty=StdDevUncertainty(np.full((20, 20), 0.5)), mask=mask, wcs=wcs,
        unit="electron / s", meta={"PHOTFLAM": 1.9275602e-20, "PHOTPLAM": 15369.176},
    )  # fmt: skip
    cube = hstcube.from_nddata(image, band="F160W", psf_fwhm=0.18, field="mine")
    assert cube.band.item() == "f160w"
    assert cube.attrs["field"] == "mine"
    assert cube.psf_fwhm.item() == 0.18
    # the zero point of WFC3/IR F160W (STScI, ISR 2020-10: 25.936)
    assert cube.zeropoint.item() == pytest.approx(25.946, abs=0.02)
    assert np.isnan(cube.sci.values[0, 0, 0])
    assert cube.wht.values[0, 0, 0] == 0
    assert (cube.wht.values[0, 1] == 4).all()
    assert not cube.mask.values[0, 5].any()
    assert (cube.wht.values[0, 5] == 4).all()


def test_what_is_missing_is_named() -> None:
    image = hstcube.to_nddata(one(hstcube.example(), "f160w"))
    assert code_of(lambda: hstcube.to_nddata(hstcube.example())) == "HC-B43"
    assert code_of(lambda: hstcube.from_nddata(np.ones((3, 3)))) == "HC-C01"
    del image.meta["FILTER"]
    assert code_of(lambda: hstcube.from_nddata(image)) == "HC-B43"
    image.uncertainty = None
    assert code_of(lambda: hstcube.from_nddata(image, band="f160w")) == "HC-D16"
    bare = NDData(np.ones((9, 9)), uncertainty=StdDevUncertainty(np.ones((9, 9))), unit="uJy")
    assert code_of(lambda: hstcube.from_nddata(bare, band="f160w")) == "HC-W01"
    bare = CCDData(np.ones((9, 9)), unit="adu", uncertainty=StdDevUncertainty(np.ones((9, 9))))
    bare.wcs = WCS(Grid.around((53.16, -27.78), size=0.54, scale=0.06).header())
    bare.wcs.wcs.ctype = ["RA---TPV", "DEC--TPV"]
    assert code_of(lambda: hstcube.from_nddata(bare, band="f160w")) == "HC-W07"


def test_a_lost_correlation_is_told(matched) -> None:
    image = hstcube.to_nddata(one(matched, "f160w"))
    with pytest.warns(HstCubeWarning, match="HC-N23"):
        hstcube.from_nddata(image)


def test_a_psf_on_other_pixels_is_left_out(matched) -> None:
    image = hstcube.to_nddata(one(matched, "f160w").isel(y=slice(None, None, 2)))
    assert image.psf is None
    assert "psf" not in hstcube.from_nddata(image).coords
