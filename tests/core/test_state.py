"""State is data: no step reads prose, and none fails where free text or all attributes are gone."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import xarray as xr
from strategies import plain_grid

import hstcube
from hstcube.core.state import attribute, record, warn
from hstcube.errors import GridError, HstCubeWarning, NoiseError, SkyError

SIDE = 48
BANDS = ("f435w", "f606w")


def observed(**state):
    """Return two bands of noise around a source, with a survey, a history and a warning."""
    rng = np.random.default_rng(5)
    y, x = np.indices((SIDE, SIDE)) - SIDE // 2
    source = 40 * np.exp(-(y**2 + x**2) / 18)
    cube = hstcube.build(
        (rng.normal(size=(2, SIDE, SIDE)) + source).astype(np.float32),
        np.ones((2, SIDE, SIDE), np.float32),
        bands=BANDS,
        grid=plain_grid((SIDE, SIDE)),
        units="electron s-1",
        field="f1",
        psf_fwhm=[0.09, 0.1],
        survey="xdf",
        **state,
    )
    return cube.assign_attrs(history="add_poisson; zero points of hudf", warnings="HC-N06 few")


def without_prose(cube):
    return cube.assign_attrs(history="", warnings="")


def with_other_prose(cube):
    return cube.assign_attrs(history="PSF widths of Hubble\nadd_poisson (x)", warnings="odd")


def without_free_text(cube):
    kept = {name: cube.attrs[name] for name in ("survey", "poisson")}
    return cube.drop_attrs(deep=False).assign_attrs(kept)


def apart(cube):
    return [cube.isel(band=[0]), cube.isel(band=[1])]


def groups():
    return np.indices((SIDE, SIDE)).sum(0) // 8


BLANK = np.hypot(*(np.indices((SIDE, SIDE)) - SIDE // 2)) > 9
STEPS = {
    "with_noise": hstcube.with_noise,
    "add_poisson": lambda cube: hstcube.add_poisson(cube, exposure=1000.0),
    "calibrate_noise": lambda cube: hstcube.calibrate_noise([cube] * 8, background=[BLANK] * 8),
    "noise_check": lambda cube: hstcube.noise_check(cube, sizes=(1, 2)),
    "group_errors": lambda cube: hstcube.group_errors(hstcube.with_noise(cube), groups()),
    "measure_sky": lambda cube: hstcube.measure_sky(cube, background=BLANK),
    "subtract_sky": lambda cube: hstcube.subtract_sky(cube, 0.1),
    "mask": lambda cube: hstcube.mask(cube, BLANK),
    "psf_match": lambda cube: hstcube.psf_match(hstcube.with_noise(cube), to="0.2arcsec"),
    "stack_bands": lambda cube: hstcube.stack_bands(apart(cube)),
    "variance": hstcube.variance,
    "validate": hstcube.validate,
}


def same(one, other):
    """Say whether two results hold the same numbers."""
    if hasattr(one, "colnames"):
        return all(np.array_equal(one[name], other[name]) for name in one.colnames)
    return one.drop_attrs(deep=False).identical(other.drop_attrs(deep=False))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::hstcube.errors.HstCubeWarning")
@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
@pytest.mark.parametrize("changed", [without_prose, with_other_prose, without_free_text])
def test_no_step_reads_what_is_written_for_people(step, changed):
    cube = observed()
    assert same(step(changed(cube)), step(cube))


@pytest.mark.filterwarnings("ignore::hstcube.errors.HstCubeWarning")
@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_no_step_fails_where_all_attributes_are_gone(step):
    cube = observed()
    bare = step(cube.drop_attrs(deep=False))
    assert same(bare, step(cube.assign_attrs(survey="")))
    if isinstance(bare, xr.Dataset) and "sci" in bare:
        assert "survey" not in bare.attrs or bare.attrs["survey"] == ""


def test_history_and_warnings_begin_anew_where_they_are_gone():
    bare = observed().drop_attrs(deep=False)
    assert record(bare, "step").attrs["history"].startswith("step (hstcube ")
    with pytest.warns(HstCubeWarning, match="^HC-N06 few"):
        assert warn(bare, "HC-N06", "few").attrs["warnings"] == "HC-N06 few"
    assert attribute(bare, "field") == ""


def test_the_survey_says_whose_noise_it_is():
    cube = observed()
    assert cube.attrs["survey"] == "xdf"
    known, white = hstcube.with_noise(cube), hstcube.with_noise(cube.assign_attrs(survey=""))
    assert (known.noise_scale > 1.02).all()
    assert (white.noise_scale == 1).all()
    with pytest.raises(NoiseError, match="HC-N09"):
        hstcube.with_noise(cube.assign_attrs(survey="nowhere"))


@pytest.mark.parametrize(
    ("exposure", "told"),
    [
        (1200, "1200 s"),
        (1200.5, "1200.5 s"),
        ({"f606w": 900.0, "f435w": 1200.0}, "1200 s, 900 s"),
        ({"f606w": 900.0, "f435w": 900.0}, "900 s"),
        (xr.DataArray([900.0, 1200.0], {"band": list(BANDS)}), "900 s, 1200 s"),
        (np.full((SIDE, SIDE), 1200.0), "map"),
        (np.full((2, SIDE, SIDE), 1200.0), "map"),
    ],
)
def test_the_noise_of_the_sources_is_told_and_added_once(exposure, told):
    cube = observed()
    assert cube.attrs["poisson"] == ""
    noisier = hstcube.add_poisson(cube, exposure=exposure)
    assert noisier.attrs["poisson"] == told
    for later in (noisier, without_prose(noisier), noisier.isel(band=[1], y=slice(4, 40))):
        with pytest.raises(NoiseError, match="HC-N10"):
            hstcube.add_poisson(later, exposure=exposure)


def test_steps_keep_survey_and_poisson():
    cube = hstcube.add_poisson(hstcube.with_noise(observed()), exposure=1000.0)
    for step in ("subtract_sky", "mask", "stack_bands", "psf_match"):
        later = (
            STEPS[step](cube) if step != "psf_match" else hstcube.psf_match(cube, to="0.2arcsec")
        )
        assert (later.attrs["survey"], later.attrs["poisson"]) == ("xdf", "1000 s"), step
    smaller = hstcube.regrid(cube, hstcube.Grid.of(cube).coarsen(2))
    assert (smaller.attrs["survey"], smaller.attrs["poisson"]) == ("xdf", "1000 s")


def test_stacked_bands_tell_what_differs():
    first, second = apart(observed())
    noisier = hstcube.add_poisson(second, exposure=1000.0)
    stacked = hstcube.stack_bands([first, noisier])
    assert stacked.attrs["poisson"] == "none; 1000 s"
    with pytest.raises(NoiseError, match="HC-N10"):
        hstcube.add_poisson(stacked, exposure=1000.0)
    both = [hstcube.add_poisson(first, exposure=1000.0), noisier]
    assert hstcube.stack_bands(both).attrs["poisson"] == "1000 s"
    other = second.assign_attrs(survey="hudf")
    assert hstcube.stack_bands([first, second]).attrs["survey"] == "xdf"
    assert hstcube.stack_bands([first, other]).attrs["survey"] == ""
    assert hstcube.stack_bands([first, second.drop_attrs(deep=False)]).attrs["survey"] == ""


def test_choices_of_grids_and_levels_are_checked():
    with pytest.raises(GridError, match=r"HC-W06 there is no frame 'FK4'"):
        hstcube.Grid.around((53.16, -27.79), 3.0, 0.06, frame="FK4")
    with pytest.raises(SkyError, match="HC-K12 there is no method 'mean'"):
        hstcube.measure_sky(observed(), background=BLANK, method="mean")


def test_a_warning_is_of_the_line_that_called_and_is_shown_for_each():
    image = hstcube.to_nddata(hstcube.with_noise(hstcube.example().sel(band=["f160w"])))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("default")  # as Python does for a script: once for each line
        hstcube.from_nddata(image)
        hstcube.from_nddata(image)
    assert [one.message.code for one in told] == ["HC-N23", "HC-N23"]
    assert {one.filename for one in told} == {__file__}
    assert told[1].lineno == told[0].lineno + 1
