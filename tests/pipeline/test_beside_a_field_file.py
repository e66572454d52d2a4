"""What is asked for beside a field file is done, or refused: never passed over."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from stamps import label_map, write_field

import hstcube

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FIELD = """
name = "mine"
[bands.f606w]
sci = "new_stamps/1_60mas_f606w_sci.fits"
wht = "new_stamps/1_60mas_f606w_wht.fits"
"""


@pytest.fixture
def said(tmp_path: Path) -> Path:
    """Return a field file without map and levels."""
    path = write_field(tmp_path / "data", bands=["f606w"]) / "mine.toml"
    path.write_text(FIELD)
    return path


def test_a_map_is_taken_from_where_it_is_said(said: Path, tmp_path: Path, call: Callable) -> None:
    usual = label_map(said.parent)
    assert call("run", said, "-o", tmp_path / "none").code != 0
    pixels = {}
    for name, labels in (("file", usual), ("detected", "detect")):
        assert call("run", said, "-o", tmp_path / name, "--labels", labels).code == 0
        pixels[name] = int(hstcube.open_cube(tmp_path / name / "mine.nc").mask.sum())
    assert pixels["file"] != pixels["detected"]
    with said.open("a") as file:  # and goes before what the file says
        file.write('[labels]\npath = "nowhere.fits"\n')
    assert call("run", said, "-o", tmp_path / "x").code != 0
    assert call("run", said, "-o", tmp_path / "x", "--labels", usual).code == 0


def test_levels_are_read_from_where_they_are_said(
    said: Path, tmp_path: Path, call: Callable
) -> None:
    (tmp_path / "mine_f606w.txt").write_text("0.00321\n")
    pattern = str(tmp_path / "{field}_{band}.txt")
    out = tmp_path / "out"
    assert call("run", said, "-o", out, "--labels", "detect", "--sky", pattern).code == 0
    assert hstcube.open_cube(out / "mine.nc").sky.values == pytest.approx([0.00321])
    assert "HC-F01" in call("check", said, "--labels", "detect", "--sky", tmp_path / "no.txt").out


@pytest.mark.parametrize(
    ("option", "value", "code"),
    [
        ("--images", "elsewhere", "HC-B44"),
        ("--scale", "30mas", "HC-B44"),
        ("--field", "1", "HC-F01"),
        ("--ids", "7=1", "HC-F01"),
        ("--band", "f999w", "HC-F01"),
    ],
)
def test_what_has_no_meaning_is_refused(
    said: Path, tmp_path: Path, call: Callable, option: str, value: str, code: str
) -> None:
    for command in (("check",), ("run", "-o", str(tmp_path / "out"))):
        told = call(*command, said, option, value, "--no-mask", "--sky", "none")
        assert told.code != 0
        assert code in told.out + told.err
        assert "internal" not in told.err


def test_the_label_of_the_scale_that_it_has_is_no_mistake(said: Path, call: Callable) -> None:
    for scale in ("60mas", "mixed"):
        assert "HC-B44" not in call("check", said, "--scale", scale, "--labels", "detect").err


def test_a_band_that_is_not_there_is_named_with_those_that_are(said: Path, call: Callable) -> None:
    told = call("check", said.parent, "-b", "f999w")
    assert "there are f606w" in told.out
