"""Every block of the README and of docs/photometry.md runs, in order, as a new user would run it."""  # noqa: E501

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from commands import hstcube

ROOT = Path(__file__).parents[2]
_FENCED = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks_of(page: str) -> list[tuple[str, str]]:
    """Return language and text of the fenced blocks of a page."""
    return _FENCED.findall((ROOT / page).read_text(encoding="utf-8"))


README, PHOTOMETRY = blocks_of("README.md"), blocks_of("docs/photometry.md")


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
    command = [sys.executable, "-c", "\n".join(blocks(page, "python"))]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> tuple[Path, str]:
    """Run the demo once, for all pages; the folder that holds it, and what it printed."""
    place = tmp_path_factory.mktemp("pages")
    return place, hstcube("demo", "hstcube_demo", folder=place)


@pytest.fixture(scope="module")
def folder(demo) -> Path:
    """Return the folder in which the README's lines are typed: that of the demo."""
    return demo[0]


# -- the README


def test_no_block_of_the_readme_is_left_out():
    assert {name for name, _ in README} == {"sh", "text", "console", "python", "toml"}


def test_the_test_command_is_the_one_that_ci_runs():
    assert blocks(README, "sh") == ["make demo\nmake test\n"]
    assert "\nmake test\n" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_commands_of_the_readme_run(folder):
    assert run_commands(README, folder) == 16
    for product in (
        "demo_f435w_sci.fits",
        "demo_f435w_wht.fits",
        "demo_f435w_mask.fits",
        "demo.nc",
        "run.json",
    ):
        assert (folder / "hstcube_out" / product).is_file()
    assert (folder / "out_pair" / "pair_f160w_sci.fits").is_file()
    assert (folder / "out_original" / "demo_f160w_var.fits").is_file()


@pytest.mark.slow
def test_the_python_blocks_of_the_readme_run_one_after_the_other(folder):
    run_python(README, folder)
    assert (folder / "products" / "demo_f160w_sci.fits").is_file()


@pytest.mark.slow
def test_the_field_file_and_the_recipe_file_are_understood(folder):
    for block in blocks(README, "toml"):
        (folder / block.split()[1]).write_text(block, encoding="utf-8")
    assert "measured in f160w" in hstcube("run", "field.toml", "-o", "out_file", folder=folder)
    hstcube("run", "hstcube_demo/stamps", "--recipe", "recipe.toml", "-o", "out_r", folder=folder)


@pytest.mark.slow
def test_the_demo_prints_what_the_readme_shows(demo):
    told = [line.rstrip() for line in demo[1].splitlines()]
    assert told == blocks(README, "text")[0].splitlines()


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


def link(place: Path, folder: Path) -> None:
    """Show the demo's folder in another one, so that what two pages write does not meet."""
    (folder / "hstcube_demo").symlink_to(place / "hstcube_demo", target_is_directory=True)
