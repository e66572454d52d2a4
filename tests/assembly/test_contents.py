"""What a file holds is told by its headers, as an image of it would be read."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import numpy as np
from astropy.io import fits
from made import code_of
from releases_made import DRESSES, write_release

from hstcube.assembly.contents import contents_of

if TYPE_CHECKING:
    from pathlib import Path


def test_an_image_says_band_unit_scale_and_zero_point(tmp_path: Path) -> None:
    folder = write_release(tmp_path / "candels", DRESSES["candels"])
    (path,) = folder.glob("*f606w*_drz.fits")
    (one,) = contents_of(path)
    assert (one["kind"], one["shape"], one["filter"]) == ("image", [48, 48], "f606w")
    assert one["camera"] == "ACS/WFC"
    assert np.isclose(one["scale"], 0.06)
    assert abs(one["zeropoint"] - 26.5) < 0.05
    packed = tmp_path / "packed.fits.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert contents_of(packed) == [one]


def test_units_of_a_file_of_jwst_have_the_cards_of_the_first(tmp_path: Path) -> None:
    folder = write_release(tmp_path / "nircam", DRESSES["jwst"])
    units = contents_of(next(folder.glob("*f277w*.fits")))
    named = {one["name"]: one for one in units}
    assert named["PRIMARY"]["kind"] == "header alone"
    assert named["SCI"]["filter"] == named["ERR"]["filter"] == "f277w"
    assert named["SCI"]["by"] == "its unit"


def test_a_table_and_what_is_no_fits_file(tmp_path: Path) -> None:
    rows = fits.BinTableHDU.from_columns([fits.Column("A", "E", array=np.ones(3))], name="STARS")
    fits.HDUList([fits.PrimaryHDU(), rows]).writeto(tmp_path / "t.fits")
    assert [one["kind"] for one in contents_of(tmp_path / "t.fits")] == ["header alone", "table"]
    (tmp_path / "no.fits").write_text("no FITS at all")
    assert code_of(lambda: contents_of(tmp_path / "no.fits")).startswith("HC-F")
    assert code_of(lambda: contents_of(tmp_path / "missing.fits")) == "HC-F01"
