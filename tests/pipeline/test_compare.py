"""Products side by side."""

from __future__ import annotations

import numpy as np
import pytest
from stamps import rewrite, write_field
from typer.testing import CliRunner

import hstcube
from hstcube.cli.app import app
from hstcube.jobs.differences import compare

pytestmark = pytest.mark.filterwarnings("ignore::hstcube.HstCubeWarning")


@pytest.fixture
def products(tmp_path):
    cube = hstcube.open_field(write_field(tmp_path / "data"), "1")
    for name in ("a", "b"):
        hstcube.to_fits(cube, tmp_path / name)
        hstcube.save_cube(cube, tmp_path / name / "1.nc")
    return tmp_path / "a", tmp_path / "b"


def test_equal_products_have_nothing_between_them(products):
    found = compare(*products)
    assert len(found) == 9 + 9  # three files and three planes a band
    assert all(row.within(0) and not row.cards for row in found)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["1.nc", "1.zarr"])
def test_a_zarr_store_is_compared_as_any_saved_cube(products, name):
    for folder in products:
        hstcube.save_cube(hstcube.open_cube(folder / "1.nc"), folder / "1.zarr")
    found = compare(products[0] / "1.zarr", products[1] / name)
    assert len(found) == 9
    assert all(row.within(0) and not row.cards for row in found)
    assert len(compare(*products)) == 9 + 9 + 9
    cube = hstcube.open_cube(products[0] / "1.nc")
    (products[1] / "other").mkdir()
    other = hstcube.save_cube(cube.assign(sci=cube.sci * 2), products[1] / "other" / name)
    odd = [row.name for row in compare(products[0] / "1.zarr", other) if not row.within(0)]
    assert odd == [f"1.zarr {band} sci" for band in cube.band.values]


def test_one_pixel_and_one_card_are_found(products):
    def brighter(image):
        image = image.copy()
        image[3, 5] += np.abs(image).max() / 1000
        return image

    rewrite(
        products[1] / "1_f160w_sci.fits",
        pixels=brighter,
        cards={"PSFFWHM": 0.5, "CHECKSUM": None, "DATASUM": None},
    )
    odd = [row for row in compare(*products) if not row.within(1e-6)]
    assert [row.name for row in odd] == ["1_f160w_sci.fits"]
    assert odd[0].largest == pytest.approx(1e-3, rel=0.01)
    assert odd[0].cards == ("PSFFWHM",)
    assert odd[0].within(1.1e-3)


def test_unlike_support_is_never_within_a_tolerance(products):
    def holed(image):
        image = image.copy()
        image[:2] = np.nan
        return image

    rewrite(
        products[1] / "1_f435w_sci.fits", pixels=holed, cards={"CHECKSUM": None, "DATASUM": None}
    )
    odd = [row for row in compare(*products) if not row.within(1e9)]
    assert [(row.name, row.support) for row in odd] == [("1_f435w_sci.fits", 2 * 44)]


def test_a_missing_file_is_a_difference(products):
    (products[1] / "1_f435w_mask.fits").unlink()
    odd = [row for row in compare(*products) if not row.within(1)]
    assert [(row.name, row.lacking) for row in odd] == [("1_f435w_mask.fits", "second")]


def test_the_command_exits_with_zero_within_the_tolerance_only(products):
    runner = CliRunner()
    assert runner.invoke(app, ["compare", *map(str, products)]).exit_code == 0
    rewrite(
        products[1] / "1_f160w_sci.fits",
        pixels=lambda a: a * np.float32(1.001),
        cards={"CHECKSUM": None, "DATASUM": None},
    )
    assert runner.invoke(app, ["compare", *map(str, products)]).exit_code == 5
    assert runner.invoke(app, ["compare", *map(str, products), "--rtol", "0.01"]).exit_code == 0


@pytest.mark.parametrize(
    ("first", "second", "code"),
    [
        ("a", "nowhere", "HC-F01"),
        ("a", "a/1.nc", "HC-F27"),
        ("a/1.nc", "a/1_f160w_sci.fits", "HC-F27"),
    ],
)
def test_what_cannot_be_compared_is_refused(products, first, second, code):
    root = products[0].parent
    with pytest.raises(hstcube.HstCubeError, match=code):
        compare(root / first, root / second)
