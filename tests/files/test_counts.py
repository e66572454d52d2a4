"""Images in counts: made rates where it is known how, told; refused with a way out where not."""

from __future__ import annotations

import numpy as np
import pytest
from made import code_of
from stamps import rewrite, stamp, write_field

import hstcube

pytestmark = pytest.mark.filterwarnings("ignore::hstcube.HstCubeWarning")

BAND = "f160w"
SECONDS = 1200.0
NONE = {"TEXPTIME": None, "EXPTIME": None}


@pytest.fixture
def folder(tmp_path):
    return write_field(tmp_path, bands=(BAND,))


def in_counts(folder, unit, **cards):
    """Write the images again as they would be in counts."""
    rewrite(
        stamp(folder, BAND),
        cards={**NONE, "BUNIT": unit, **cards},
        pixels=lambda sci: (sci * SECONDS).astype("f4"),
    )
    rewrite(stamp(folder, BAND, "wht"), pixels=lambda wht: (wht / SECONDS**2).astype("f4"))


def opened(folder, **how):
    files = {BAND: (stamp(folder, BAND), stamp(folder, BAND, "wht"))}
    return hstcube.open_bands(files, field="1", **how)


@pytest.mark.parametrize("unit", ["electron", "electrons", "ELECTRONS", "e-"])
@pytest.mark.parametrize("chunks", [None, {}])
def test_electrons_are_divided_by_the_exposure_time_and_it_is_told(folder, unit, chunks):
    rates = opened(folder, chunks=chunks).compute()  # before its files change
    in_counts(folder, unit, EXPTIME=SECONDS)
    cube = opened(folder, chunks=chunks)
    np.testing.assert_allclose(cube.sci, rates.sci, rtol=1e-6)
    np.testing.assert_allclose(cube.wht, rates.wht, rtol=1e-6)
    assert cube.sci.attrs["units"] == "electron s-1"
    assert "HC-D27 f160w: sci was divided by EXPTIME = 1200 s" in cube.attrs["warnings"]
    flux, known = hstcube.to_flux(cube), hstcube.to_flux(rates)
    np.testing.assert_allclose(flux.sci, known.sci, rtol=1e-6)


def test_the_total_exposure_time_goes_before_that_of_one_image(folder):
    in_counts(folder, "ELECTRONS", EXPTIME=300.0, TEXPTIME=SECONDS)
    assert "divided by TEXPTIME = 1200 s" in opened(folder).attrs["warnings"]
    rewrite(stamp(folder, BAND), cards={"TEXPTIME": 1.0, "EXPTIME": SECONDS})
    assert "divided by EXPTIME = 1200 s" in opened(folder).attrs["warnings"]


@pytest.mark.parametrize("kind", ["rms", "variance"])
def test_weights_of_any_kind_become_those_of_rates(folder, kind):
    power = {"rms": -0.5, "variance": -1}[kind]
    known = opened(folder)
    in_counts(folder, "ELECTRONS", EXPTIME=SECONDS)
    rewrite(stamp(folder, BAND, "wht"), pixels=lambda wht: (wht**power).astype("f4"))
    np.testing.assert_allclose(opened(folder, wht_kind=kind).wht, known.wht, rtol=1e-5)


@pytest.mark.parametrize("value", [1.0, 0.0, -1200.0, "1200", True, 1e12, None])
def test_what_is_no_exposure_time_is_none_and_the_fix_works(folder, value):
    in_counts(folder, "ELECTRONS", EXPTIME=value)
    with pytest.raises(hstcube.HstCubeError, match=r"TEXPTIME = 1200\.0") as caught:
        opened(folder)
    assert caught.value.code == "HC-D26"
    assert caught.value.band == BAND
    assert caught.value.file.endswith("f160w_sci.fits")
    rewrite(stamp(folder, BAND), cards={"TEXPTIME": SECONDS})
    assert opened(folder).sci.attrs["units"] == "electron s-1"


@pytest.mark.parametrize("unit", ["DN", "COUNTS", "count", "counts/s", "DN/s", "ADU", "cps"])
def test_counts_of_unknown_gain_are_refused_whatever_the_header_says_of_fluxes(folder, unit):
    rewrite(
        stamp(folder, BAND), cards={"BUNIT": unit, "EXPTIME": SECONDS, "PHOTFLAM": 1.9275602e-20}
    )
    assert code_of(lambda: opened(folder)) == "HC-D26"
    cube = opened(folder, zeropoint={BAND: 25.0})  # the second way out that the message names
    assert float(cube.zeropoint[0]) == 25.0
    assert cube.sci.attrs["units"].endswith(" s-1")


def test_a_unit_that_is_another_number_of_electrons_needs_its_zero_point(folder):
    rewrite(stamp(folder, BAND), cards={"BUNIT": "1000 electron/s", "ABZP": 25.94})
    assert code_of(lambda: opened(folder)) == "HC-D26"


def test_milli_is_not_mega(folder):
    """1 Jy/sr is 2.35e-11 Jy per arcsec2."""
    fluxes = {}
    for unit in ("mJy/sr", "MJy/sr", "MJY/SR"):
        rewrite(stamp(folder, BAND), cards={"BUNIT": unit})
        fluxes[unit] = float(hstcube.to_flux(opened(folder), "uJy").sci[0, 20, 20])
    assert fluxes["MJy/sr"] == pytest.approx(1e9 * fluxes["mJy/sr"])
    assert fluxes["MJY/SR"] == fluxes["MJy/sr"]
    rewrite(stamp(folder, BAND), cards={"BUNIT": "MJY"})
    with pytest.raises(hstcube.HstCubeError, match=r"HC-D25 .*'MJy' or 'mJy'"):
        opened(folder)


@pytest.mark.parametrize("said", ["N/A", "UNKNOWN", "", None])
def test_a_header_that_says_no_unit_is_told_of(folder, said):
    rewrite(stamp(folder, BAND), cards={"BUNIT": said})
    cube = opened(folder)
    assert "HC-D20" in cube.attrs["warnings"]
    assert cube.sci.attrs["units"] == "electron s-1"


@pytest.mark.parametrize("said", ["counts", "COUNTS", "cps", None])
def test_a_header_without_a_unit_may_say_that_the_image_was_drizzled_to_counts(folder, said):
    known = opened(folder)
    if str(said).lower() == "counts":
        in_counts(folder, None, EXPTIME=SECONDS, D001OUUN=said)
    else:
        rewrite(stamp(folder, BAND), cards={"BUNIT": None, "D001OUUN": said})
    cube = opened(folder)
    assert "HC-D20" in cube.attrs["warnings"]
    assert ("HC-D27" in cube.attrs["warnings"]) == (str(said).lower() == "counts")
    np.testing.assert_allclose(cube.sci, known.sci, rtol=1e-6)
    np.testing.assert_allclose(cube.wht, known.wht, rtol=1e-6)
