"""What a cube is matched to where nobody names a target."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import xarray as xr
from strategies import plain_grid
from telescope import telescope

import hstcube
from hstcube import matching_kernels, psf_match, psf_quality, with_psf
from hstcube.core.offsets import psf_array
from hstcube.core.state import notes_of
from hstcube.errors import PSFError
from hstcube.surveys.models import survey_psf

BOTH = ("f606w", "f160w", "f150w", "f444w")
SCALE = 0.04


def psfs(*bands: str) -> xr.DataArray:
    images = np.stack([telescope(band, scale=SCALE) for band in bands]).astype("f4")
    return psf_array(images, SCALE, bands=np.array(bands, object), name="psf", attrs={})


def cube_of(*bands: str, **state: object) -> xr.Dataset:
    grid = plain_grid((41, 41), scale=SCALE)
    sci = np.random.default_rng(1).normal(size=(len(bands), 41, 41))
    return hstcube.build(sci, sci * 0 + 1, bands=bands, grid=grid, units="uJy", **state)


def target_of(cube: xr.Dataset, **how: object) -> str:
    return str(psf_match(cube, **how).matched_to.values[0])


@pytest.mark.slow
def test_of_hst_and_jwst_f160w_serves_all_although_f444w_has_more_light_far_out():
    cube = with_psf(cube_of(*BOTH), psfs(*BOTH))
    matched = psf_match(cube)
    assert set(matched.matched_to.values) == {"f160w"}
    ((code, told),) = [one for one in notes_of(matched.attrs["history"]) if one[0] == "HC-P35"]
    width = cube.psf_fwhm.sel(band="f160w").item()
    assert code == "HC-P35"
    assert told.startswith(f"matched to f160w, FWHM {width:.3f} arcsec")
    assert (psf_quality(matched).verdict == "good").all()


def test_without_the_broadest_the_next_is_chosen():
    assert target_of(with_psf(cube_of("f606w", "f150w", "f444w"), psfs(*BOTH))) == "f444w"
    assert target_of(with_psf(cube_of("f606w", "f150w"), psfs(*BOTH))) == "f606w"


def test_a_band_that_may_miss_is_not_asked():
    cube = with_psf(cube_of(*BOTH), psfs(*BOTH))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert target_of(cube, allow=["f160w"]) == "f444w"


def test_kernels_and_their_quality_agree_on_the_target():
    stack = psfs(*BOTH)
    kernels = matching_kernels(stack)
    assert kernels.negative.sel(band="f160w").item() == 0
    assert psf_quality(stack).attrs["to"] == "f160w"


@pytest.mark.slow
def test_the_table_of_the_xdf_leads_to_f160w_by_its_psfs_too():
    table = survey_psf("xdf", 0.06)
    assert psf_quality(table).attrs["to"] == "f160w"


def test_a_cube_that_is_matched_stays_so():
    bands = ("f606w", "f150w", "f444w")
    cube = psf_match(with_psf(cube_of(*bands), psfs(*bands)), to="f444w")
    again = psf_match(cube)
    assert set(again.matched_to.values) == {"f444w"}
    xr.testing.assert_identical(again.sci, cube.sci)


def test_widths_decide_where_there_are_no_psfs_but_never_for_miri():
    widths = {"f150w": 0.065, "f444w": 0.15, "f770w": 0.28}
    cube = cube_of(*widths, psf_fwhm=list(widths.values()))
    with pytest.raises(PSFError, match="f770w") as caught:
        psf_match(cube)
    assert caught.value.code == "HC-B06"
    assert "to='f770w'" in caught.value.fix
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Gaussians
        assert target_of(cube, to="f770w") == "f770w"
        assert target_of(cube.isel(band=[0, 1])) == "f444w"
        assert target_of(cube_of("f770w", "f1500w", psf_fwhm=[0.28, 0.5])) == "f1500w"


def crossed() -> xr.DataArray:
    """Two PSFs that are each narrower than the other, along one axis."""
    y, x = np.mgrid[-32:33, -32:33] * SCALE
    images = np.stack(
        [np.exp(-((y / a) ** 2 + (x / b) ** 2) / 2) for a, b in ((0.12, 0.05), (0.05, 0.12))]
    )
    images /= images.sum((1, 2), keepdims=True)
    bands = np.array(["f277w", "f444w"], object)
    return psf_array(images.astype("f4"), SCALE, bands=bands, name="psf", attrs={})


@pytest.mark.slow
def test_where_no_band_serves_the_narrowest_gaussian_that_does_is_offered():
    cube = with_psf(cube_of("f277w", "f444w"), crossed())
    with pytest.raises(PSFError) as caught:
        psf_match(cube)
    assert caught.value.code == "HC-P34"
    offered = caught.value.fix.split("to='")[1].split("'")[0]
    assert target_of(cube, to=offered) == offered
    narrower = f"{float(offered.removesuffix('arcsec')) * 0.93:.2f}arcsec"
    with pytest.raises(PSFError):
        psf_match(cube, to=narrower)


def test_a_band_alone_needs_no_width_and_stays_as_it_is():
    cube = cube_of("f770w")
    matched = psf_match(cube)
    assert matched.matched_to.values.tolist() == ["f770w"]
    np.testing.assert_array_equal(matched.sci, cube.sci)
    with pytest.raises(PSFError) as caught:
        psf_match(cube_of("f606w", "f770w", psf_fwhm=[np.nan, 0.28]), to="f770w")
    assert (caught.value.code, caught.value.band) == ("HC-P01", "f606w")
    with pytest.raises(PSFError) as caught:
        psf_match(cube_of("f606w", "f770w", psf_fwhm=[0.1, np.nan]), to="f770w")
    assert (caught.value.code, caught.value.band) == ("HC-P01", "f770w")
