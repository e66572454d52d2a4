"""A unit is read as it stands; its case is folded only where that is no unit."""

from __future__ import annotations

import pytest
from made import code_of

import hstcube
from hstcube.inputs.cards import card_text, card_value
from hstcube.inputs.units import KNOWN_UNITS, RATE, Counts, counts_in, read_unit


@pytest.mark.parametrize(
    ("said", "unit"),
    [
        ("mJy/sr", "mJy/sr"),
        ("MJy/sr", "MJy sr-1"),
        ("MJy / sr", "MJy sr-1"),
        ("MJY/SR", "MJy sr-1"),
        ("mJy", "mJy"),
        ("MJy", "MJy"),
        ("pJy", "pJy"),
        ("PJy", "PJy"),
        ("UJY", "uJy"),
        ("ujy", "uJy"),
        ("NJY", "nJy"),
        ("JY", "Jy"),
        ("ELECTRONS/S", RATE),
        ("Electrons / sec", RATE),
        ("e-/s", RATE),
        ("electron/S", RATE),  # siemens, as astropy reads it
        ("s-1 electron", RATE),
        ("erg/s/cm2/A", "erg/s/cm2/Angstrom"),  # ampere, as astropy reads it
        ("ERG/S/CM**2/HZ", "erg/s/cm**2/Hz"),
        ("1E-20 ERG/S/CM2/ANGSTROM", "1E-20 erg/s/cm2/Angstrom"),
    ],
)
def test_a_unit_is_read_as_it_stands_first(said, unit):
    assert read_unit(said) == unit


@pytest.mark.parametrize("said", ["MJY", "mjy", "PJY", "pjy", "Mjy", "mjy/sr", "ZJY", "YJY/SR"])
def test_a_unit_whose_case_decides_a_power_of_ten_is_asked_for(said):
    assert code_of(lambda: read_unit(said)) == "HC-D25"


@pytest.mark.parametrize("said", ["BANANAS", "-", 3, None, "counts of light"])
def test_what_is_no_unit_is_refused(said):
    assert code_of(lambda: read_unit(said)) == "HC-C04"


@pytest.mark.parametrize("unit", KNOWN_UNITS)
def test_units_that_are_known_keep_their_spelling(unit):
    assert read_unit(unit) == read_unit(f" {unit} ") == unit


@pytest.mark.parametrize(
    ("said", "counts"),
    [
        ("ELECTRONS", Counts("electron", per_second=False)),
        ("e-", Counts("electron", per_second=False)),
        ("COUNTS", Counts("ct", per_second=False)),
        ("counts/sec", Counts("ct", per_second=True)),
        ("cps", Counts("ct", per_second=True)),
        ("DN", Counts("DN", per_second=False)),
        ("DN/s", Counts("DN", per_second=True)),
        ("ADU", Counts("adu", per_second=False)),
        ("photons/s", Counts("ph", per_second=True)),
        ("1000 electron/s", Counts("electron", per_second=True, scale=1000)),
        ("uJy", None),
        ("MJY/SR", None),
        ("erg s-1 cm-2 AA-1", None),
    ],
)
def test_counts_are_told_from_flux_densities(said, counts):
    assert counts_in(read_unit(said)) == counts


def test_a_card_without_a_value_says_as_much_as_none():
    from astropy.io import fits

    header = fits.Header([("EMPTY", None), ("BLANK", "  "), ("ZERO", 0), ("TEXT", " a ")])
    assert [card_value(header, key) for key in ("EMPTY", "BLANK", "GONE")] == [None] * 3
    assert [card_text(header, key) for key in ("EMPTY", "ZERO", "TEXT")] == ["", "0", "a"]


def test_arrays_and_conversions_read_units_by_the_same_function(tmp_path):
    from made import images_on
    from strategies import plain_grid

    cube = images_on(plain_grid((8, 8)), 1.0, units="UJY")
    assert cube.sci.attrs["units"] == "uJy"
    factor = {unit: float(hstcube.to_flux(cube, unit).sci[0, 0, 0]) for unit in ("NJY", "mJy")}
    assert factor == pytest.approx({"NJY": 1000.0, "mJy": 1e-3})
    assert code_of(lambda: hstcube.to_flux(cube, "MJY")) == "HC-D25"
    sharp = hstcube.to_flux(cube, "mJy/sr").sci / hstcube.to_flux(cube, "MJY/SR").sci
    assert float(sharp[0, 0, 0]) == pytest.approx(1e9)
