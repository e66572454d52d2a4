"""Words that choose are checked where they come in, whatever else is asked for."""

from __future__ import annotations

import pytest
from stamps import write_field

import hstcube

pytestmark = pytest.mark.filterwarnings("ignore::hstcube.HstCubeWarning")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_field(tmp_path_factory.mktemp("choices"))


@pytest.mark.parametrize("choice", [{"align": "reprot"}, {"psf": "gausian"}])
def test_a_misspelt_choice_is_refused_on_opening(folder, tmp_path, choice):
    (name,) = choice
    with pytest.raises(hstcube.HstCubeError, match=f"HC-B22 there is no {name}"):
        hstcube.open_field(folder, "1", **choice)
    hstcube.to_fits(hstcube.open_field(folder, "1"), tmp_path)
    with pytest.raises(hstcube.HstCubeError, match=f"HC-B22 there is no {name}"):
        hstcube.open_field(tmp_path, "1", **choice)


@pytest.mark.parametrize("choice", [{"noise": "rms"}, {"layout": "mfe"}])
def test_a_misspelt_choice_writes_nothing(folder, tmp_path, choice):
    cube = hstcube.open_field(folder, "1")
    with pytest.raises(hstcube.HstCubeError, match="HC-B22"):
        hstcube.to_fits(cube, tmp_path, **choice)
    assert not list(tmp_path.iterdir())


def test_psfs_in_a_file_that_is_not_there_are_a_missing_file(folder):
    with pytest.raises(hstcube.HstCubeError, match="HC-F01"):
        hstcube.open_field(folder, "1", psf="psf.fits")
