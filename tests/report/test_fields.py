"""Reports of runs: what `run --report` and `hstcube report` write, keep and say."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from stamps import write_field

import hstcube

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore::hstcube.errors.HstCubeWarning")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for field in ("1", "2"):
        made = write_field(tmp_path / "stamps", field=field, shape=(64, 68))
    return made


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.suffix in (".html", ".json", ".png")}


def data_of(page: Path) -> dict:
    found = re.search(r'id="data">(.*?)</script>', page.read_text(encoding="utf-8"), re.DOTALL)
    return json.loads(found.group(1))


def test_a_run_writes_a_page_of_each_field_and_their_index(
    folder: Path, tmp_path: Path, call: Callable
) -> None:
    out = tmp_path / "out"
    said = call("run", folder, "--psf", "xdf", "-o", out, "--report")
    assert said.code == 0
    pages = {f"{field}{ending}" for field in "12" for ending in (".html", ".qa.json", ".png")}
    assert names(out) == {*pages, "reports.html", "run.json"}
    assert "reports of 2 fields" in said.out
    assert "before" in data_of(out / "1.html")["arrays"]
    told = json.loads((out / "1.qa.json").read_text())
    assert told["command"] == f"hstcube run {folder} --psf xdf"
    assert len(told["inputs"]) >= 6


def test_fields_that_were_done_before_keep_their_pages(
    folder: Path, tmp_path: Path, call: Callable
) -> None:
    out = tmp_path / "out"
    assert call("run", folder, "-f", "1", "-o", out, "--report").code == 0
    assert not (out / "reports.html").exists()
    (out / "1.html").write_text("looked at")
    assert call("run", folder, "-o", out, "--report").code == 0
    assert (out / "1.html").read_text() == "looked at"
    assert (out / "2.html").exists()


def test_a_report_of_a_folder_knows_what_its_cubes_were_made_of(
    folder: Path, tmp_path: Path, call: Callable
) -> None:
    out, pages = tmp_path / "out", tmp_path / "pages"
    call("run", folder, "--psf", "xdf", "-o", out)
    sci = next(folder.rglob("2_60mas_f160w_sci.fits"))
    sci.write_bytes(sci.read_bytes()[:-1] + b"x")
    assert call("report", out, "-o", pages).code == 0
    assert names(pages) >= {"1.html", "2.html", "reports.html"}
    assert "before" in data_of(pages / "1.html")["arrays"]
    assert "before" not in data_of(pages / "2.html")["arrays"]
    assert "or were changed since" in (pages / "2.html").read_text()


def test_the_same_page_is_made_with_the_run_and_after_it(
    folder: Path, tmp_path: Path, call: Callable
) -> None:
    out = tmp_path / "out"
    call("run", folder, "--psf", "xdf", "-f", "1", "-o", out, "--report")
    assert call("report", out / "1.nc", "-o", tmp_path / "1.html").code == 0
    assert (tmp_path / "1.html").read_bytes() == (out / "1.html").read_bytes()


def test_pages_that_are_there_are_kept_and_others_made(
    folder: Path, tmp_path: Path, call: Callable
) -> None:
    out = tmp_path / "out"
    call("run", folder, "-o", out)
    (out / "1.html").write_text("mine")
    said = call("report", out)
    assert said.code == 5
    assert "HC-O04" in said.err
    assert (out / "1.html").read_text() == "mine"
    assert (out / "2.html").exists()
    assert call("report", out, "--overwrite").code == 0
    assert (out / "1.html").read_text() != "mine"


def test_a_report_replaces_no_cube(folder: Path, tmp_path: Path, call: Callable) -> None:
    out = tmp_path / "out"
    call("run", folder, "-f", "1", "-o", out)
    before = (out / "1.nc").read_bytes()
    assert call("report", out / "1.nc", "-o", out / "1.nc", "--overwrite").code == 4
    assert (out / "1.nc").read_bytes() == before


def test_an_index_replaces_no_file_of_others(folder: Path, tmp_path: Path, call: Callable) -> None:
    out = tmp_path / "out"
    call("run", folder, "-o", out)
    (out / "reports.html").write_text("mine")
    assert "HC-O04" in call("report", out).err
    assert (out / "reports.html").read_text() == "mine"


def test_fits_products_without_a_saved_cube_are_reported(
    folder: Path, tmp_path: Path, call: Callable
) -> None:
    out = tmp_path / "out"
    call("run", folder, "-f", "1", "-o", out, "--no-netcdf")
    assert call("report", out).code == 0
    assert data_of(out / "1.html")["bands"][-1] == "f160w"


@pytest.mark.slow
@pytest.mark.parametrize(("named", "page"), [("reports", "reports/1.html"), ("a.html", "a.html")])
def test_a_page_of_a_cube_goes_where_it_is_told(
    named: str, page: str, folder: Path, tmp_path: Path, call: Callable
) -> None:
    out = tmp_path / "out"
    call("run", folder, "-f", "1", "-o", out)
    assert call("report", out / "1.nc", "-o", tmp_path / named).code == 0
    assert data_of(tmp_path / page)["bands"][-1] == "f160w"
    assert call("report", out / "1.nc", "-f", "1", "-o", tmp_path / "again.html").code == 0
    told = call("report", out / "1.nc", "-f", "2", "-o", tmp_path / "other.html")
    assert told.code != 0
    assert "only '1'" in told.out + told.err
    assert not (tmp_path / "other.html").exists()


def test_a_folder_without_cubes_is_refused(tmp_path: Path, call: Callable) -> None:
    assert "HC-F01" in call("report", tmp_path).err


def test_saved_cubes_without_a_record_are_reported(
    folder: Path, tmp_path: Path, call: Callable
) -> None:
    out = tmp_path / "out"
    call("run", folder, "-o", out)
    (out / "run.json").unlink()
    (out / "run.jsonl").unlink(missing_ok=True)
    assert call("report", out).code == 0
    assert {"1.html", "2.html", "reports.html"} <= {path.name for path in out.iterdir()}


def test_the_index_tells_of_a_field_that_cannot_be_reported_and_ignores_other_files(
    folder: Path, tmp_path: Path, call: Callable
) -> None:
    out = tmp_path / "out"
    call("run", folder, "-o", out, "--report")
    (out / "1.nc").write_bytes(b"broken <b>")
    (out / "mine.qa.json").write_text('{"half')
    (out / "other.qa.json").write_text('["of", "others"]')
    said = call("report", out, "--overwrite")
    assert said.code != 0
    assert "HC-F04" in said.err
    index = (out / "reports.html").read_text()
    assert "<h1>1 field</h1>" in index
    assert "<b>1</b>: HC-F04" in index
    assert 'href="2.html"' in index
    assert 'href="1.html"' not in index  # the page is of the cube that was there before


@pytest.mark.real
@pytest.mark.slow
def test_a_real_field_has_a_page_within_its_size(xdf: Path, tmp_path: Path, call: Callable) -> None:
    out = tmp_path / "out"
    assert call("run", xdf, "-f", "3", "-o", out, "--report").code == 0
    assert (out / "3.html").stat().st_size < 1.7e6
    told = json.loads((out / "3.qa.json").read_text())
    faults = [one["fault"] for one in told["answers"] if one["fault"]]
    assert faults == ["sky left over", "mask at the edge"]
    assert len(hstcube.open_cube(out / "3.nc").band) == len(told["bands"]) == 9
