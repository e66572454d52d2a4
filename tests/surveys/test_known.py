"""A survey is one folder's business: how it is recognised, and what is known of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from stamps import rewrite, stamp, write_field

import hstcube
from hstcube.surveys.known import SURVEYS, Recognised, known_survey, recognised, survey_of

PACKAGE = Path(hstcube.__file__).parent
FOLDERS = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))
BANDS = ("f606w", "f160w")

quiet = pytest.mark.filterwarnings("ignore::hstcube.HstCubeWarning")


@pytest.fixture
def stamps(tmp_path):
    return write_field(tmp_path / "stamps", bands=BANDS)


def own(folder: Path) -> Path:
    """Make the images the survey's own."""
    for band in BANDS:
        rewrite(stamp(folder, band), cards={"XDFVER": "Hubble eXtreme Deep Field V1.0"})
    return folder


def test_a_survey_is_recognised_by_its_card_and_its_own_images_by_the_words_in_it():
    assert recognised({"XDFVER": "Hubble eXtreme Deep Field V1.0"}) == Recognised("xdf", own=True)
    assert recognised({"XDFVER": "made up"}) == Recognised("xdf", own=False)
    assert recognised({"TELESCOP": "HST"}) == Recognised("", own=False)
    assert survey_of({"TELESCOP": "HST"}, 0.06) is None


def test_widths_belong_to_a_pixel_scale_and_zero_points_to_all():
    coarse, between = known_survey("xdf", 0.06), known_survey("xdf", 0.045)
    assert set(coarse.psf_fwhm) == set(coarse.zeropoint)
    assert not between.psf_fwhm
    assert between.zeropoint == coarse.zeropoint


@quiet
def test_a_cube_knows_its_survey_and_only_the_surveys_own_images_get_its_psfs(stamps):
    made_up = hstcube.open_field(stamps, "1")
    assert made_up.attrs["survey"] == "xdf"
    assert "psf" not in made_up.coords
    cube = hstcube.open_field(own(stamps), "1")
    assert cube.attrs["survey"] == "xdf"
    assert "psf" in cube.coords


@quiet
@pytest.mark.parametrize("bands", [BANDS[:1], BANDS])
def test_a_cube_has_no_survey_unless_all_its_bands_name_it(stamps, bands):
    for band in bands:
        rewrite(stamp(stamps, band), cards={"XDFVER": None})
    assert hstcube.open_field(stamps, "1").attrs["survey"] == ""


@quiet
@pytest.mark.parametrize("layout", ["files", "mef"])
def test_the_state_of_a_cube_comes_back_from_fits_and_netcdf(stamps, tmp_path, layout):
    cube = hstcube.open_field(own(stamps), "1").assign_attrs(recipe="default", poisson="1200 s")
    hstcube.to_fits(cube, tmp_path / layout, layout=layout)
    xr.testing.assert_identical(hstcube.open_field(tmp_path / layout, "1"), cube)
    hstcube.save_cube(cube, tmp_path / "1.nc")
    xr.testing.assert_identical(hstcube.open_cube(tmp_path / "1.nc"), cube)


@quiet
def test_cubes_without_a_word_of_their_state_are_written_and_open_with_empty_ones(stamps, tmp_path):
    cube = hstcube.open_field(stamps, "1")
    bare = cube.drop_attrs(deep=False).assign_attrs(field="1")
    hstcube.save_cube(bare, tmp_path / "1.nc")
    hstcube.to_fits(bare, tmp_path / "fits")
    for back in (hstcube.open_cube(tmp_path / "1.nc"), hstcube.open_field(tmp_path / "fits", "1")):
        assert (back.attrs["survey"], back.attrs["poisson"]) == ("", "")


@quiet
@pytest.mark.parametrize("survey", SURVEYS)
def test_the_psfs_of_a_survey_are_had_by_its_name(stamps, survey):
    cube = hstcube.open_field(stamps, "1", psf=survey)
    np.testing.assert_allclose(cube.psf.sum(("ky", "kx")), 1, atol=1e-6)
    assert f"psf of {survey}" in cube.attrs["history"]


@pytest.mark.parametrize("folder", sorted({*FOLDERS} - {"surveys", "demo"}))
def test_a_survey_is_named_in_its_folder_only(folder):
    for path in (PACKAGE / folder).rglob("*.*"):
        if path.suffix != ".pyc":
            text = path.read_text(encoding="utf-8").lower()
            assert not [name for name in SURVEYS if name in text], path
