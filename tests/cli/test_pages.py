"""Every block of the README and the pages runs, in order, as a new user would run it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from commands import hstcube, python
from typer.main import get_command

from hstcube.cli.app import app

ROOT = Path(__file__).parents[2]
_FENCED = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks_of(page: str) -> list[tuple[str, str]]:
    """Return language and text of the fenced blocks of a page."""
    return _FENCED.findall((ROOT / page).read_text(encoding="utf-8"))


README, GUIDE = blocks_of("README.md"), blocks_of("docs/guide.md")
PHOTOMETRY = blocks_of("docs/photometry.md")


def blocks(page: list[tuple[str, str]], language: str) -> list[str]:
    return [text for name, text in page if name == language]


def run_commands(page: list[tuple[str, str]], folder: Path) -> int:
    """Run the console's lines in a folder, each of which prints something; return their number."""
    lines = [line[2:] for block in blocks(page, "console") for line in block.splitlines()]
    for line in lines:
        name, *arguments = line.split()
        assert name == "hstcube"
        assert hstcube(*arguments, folder=folder).strip()
    return len(lines)


def run_python(page: list[tuple[str, str]], folder: Path) -> str:
    """Run the Python blocks as one script; return what it printed."""
    return python("\n".join(blocks(page, "python")), folder=folder)


@pytest.fixture(scope="module")
def folder(demo, tmp_path_factory) -> Path:
    """Return the folder in which the guide's lines are typed."""
    place = tmp_path_factory.mktemp("guide")
    link(demo[0], place)
    return place


# -- the README


def test_no_block_of_the_readme_is_left_out():
    assert {name for name, _ in README} == {"sh", "text", "console", "python"}
    assert {name for name, _ in GUIDE} == {"console", "python", "toml"}


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120


def test_the_test_command_is_the_one_that_ci_runs():
    assert blocks(README, "sh") == ["make demo\nmake test\n"]
    assert "\nmake test " in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_blocks_of_the_readme_run_one_after_the_other(demo, tmp_path):
    link(demo[0], tmp_path)
    assert run_commands(README, tmp_path) == 4
    run_python(README, tmp_path)
    for product in (
        "hstcube_out/demo_f435w_sci.fits",
        "hstcube_out/demo_f435w_wht.fits",
        "hstcube_out/demo_f435w_mask.fits",
        "hstcube_out/demo.nc",
        "hstcube_out/run.json",
        "fluxes.csv",
        "colour.png",
        "products/demo_f160w_sci.fits",
    ):
        assert (tmp_path / product).is_file()


@pytest.mark.slow
def test_the_demo_prints_what_the_readme_shows(demo):
    told = [line.rstrip() for line in demo[1].splitlines()]
    assert told == blocks(README, "text")[0].splitlines()


# -- docs/guide.md, on the demo field


@pytest.mark.slow
def test_the_commands_of_the_guide_run(folder):
    assert run_commands(GUIDE, folder) == 16
    assert (folder / "out_pair" / "pair_f160w_sci.fits").is_file()
    assert (folder / "out_original" / "demo_f160w_var.fits").is_file()


@pytest.mark.slow
def test_the_python_blocks_of_the_guide_run_one_after_the_other(folder):
    run_python(GUIDE, folder)
    assert (folder / "products" / "demo_f160w_sci.fits").is_file()


@pytest.mark.slow
def test_the_field_file_and_the_recipe_file_are_understood(folder):
    for block in blocks(GUIDE, "toml"):
        (folder / block.split()[1]).write_text(block, encoding="utf-8")
    assert "measured in f160w" in hstcube("run", "field.toml", "-o", "out_file", folder=folder)
    hstcube("run", "hstcube_demo/stamps", "--recipe", "recipe.toml", "-o", "out_r", folder=folder)


# -- docs/photometry.md, on the demo field


def test_no_block_of_the_photometry_page_is_left_out():
    assert {name for name, _ in PHOTOMETRY} == {"console", "python"}


@pytest.mark.slow
def test_the_commands_of_the_photometry_page_run(demo, tmp_path):
    link(demo[0], tmp_path)
    assert run_commands(PHOTOMETRY, tmp_path) == 4
    for product in ("bins.fits", "bins.png", "bins.ecsv", "galaxy.fits", "noise.png", "noise.ecsv"):
        assert (tmp_path / product).is_file()


@pytest.mark.slow
def test_the_python_blocks_of_the_photometry_page_run_one_after_the_other(demo, tmp_path):
    link(demo[0], tmp_path)
    assert "flux_f160w" in run_python(PHOTOMETRY, tmp_path)
    for product in ("demo_bins.ecsv", "snr.png", "sed.png", "growth.png"):
        assert (tmp_path / product).is_file()


def link(made: Path, folder: Path) -> None:
    """Show the demo's folder in another one, so that what two pages write does not meet."""
    (folder / "hstcube_demo").symlink_to(made, target_is_directory=True)


# -- what pages name in passing

PAGES = ["README.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))]
_INLINE = re.compile(r"`(?:[A-Z_]+=\S+ )?((?:hstcube|make|python) [^`]+)`")


def named_in_passing() -> list[tuple[str, str]]:
    """Return page and text of commands between single backticks, each once."""
    found = []
    for page in PAGES:
        text = _FENCED.sub("", (ROOT / page).read_text(encoding="utf-8"))
        found += [(page, " ".join(match.split())) for match in _INLINE.findall(text)]
    return list(dict.fromkeys(found))


def test_pages_name_commands_in_passing():
    assert len(named_in_passing()) > 10


@pytest.mark.parametrize(("page", "command"), named_in_passing())
def test_a_command_named_in_passing_exists(page: str, command: str):
    name, *words = shlex.split(command)
    if name == "make":
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        assert re.search(rf"^{words[0]}: ", makefile, re.MULTILINE), page
        variables = [word.partition("=")[0] for word in words[1:]]
        assert all(f"$({variable})" in makefile for variable in variables), page
        return
    if name == "python":
        assert (ROOT / words[0]).is_file(), page
        return
    known: Any = get_command(app)
    while words and hasattr(known, "commands"):
        assert words[0] in known.commands, page
        known = known.commands[words.pop(0)]
    options = {option for parameter in known.params for option in parameter.opts}
    given = [word.strip("[]") for word in words if word.strip("[]").startswith("-")]
    assert options.issuperset(given), page


# -- other names


@pytest.mark.slow
def test_the_line_on_other_names_runs_on_the_demo(demo, tmp_path):
    line = next(
        text for page, text in named_in_passing() if page == "docs/guide.md" and "{kind}" in text
    )
    stamps = demo[0] / "stamps"
    places = {"data": tmp_path / "data", "maps": tmp_path / "maps"}
    for place in places.values():
        place.mkdir()
    for image in stamps.glob("new_stamps/demo_60mas_*.fits"):
        field, _, band, kind = image.stem.split("_")
        (places["data"] / f"{field}_{band}_{kind}.fits").write_bytes(image.read_bytes())
    (chart,) = stamps.glob("segment_maps/*.fits")
    (places["maps"] / "demo.fits").write_bytes(chart.read_bytes())
    hstcube("sky", "hstcube_demo/stamps", "-o", str(tmp_path / "levels"), folder=demo[0].parent)
    _, *words = shlex.split(line)
    assert "demo" in hstcube(*words, folder=tmp_path)
