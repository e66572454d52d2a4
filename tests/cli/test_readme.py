"""Every block of the README runs, in its order, as a new user would run it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from stamps import ALL_BANDS, write_field

from hstcube.demo.field import simulate

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(
    r"^```(\w+)\n(.*?)^```",
    (ROOT / "README.md").read_text(encoding="utf-8"),
    re.MULTILINE | re.DOTALL,
)


def blocks(language: str) -> list[str]:
    return [text for name, text in BLOCKS if name == language]


def hstcube(*arguments: str, folder: Path) -> str:
    command = [sys.executable, "-m", "hstcube", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("readme")
    write_field(place / "stamps", "37", bands=ALL_BANDS, shape=(80, 80))
    simulate(place / "made_up")
    (place / "made_up" / "psf_stars").rename(place / "stamps" / "psf_stars")
    return place


def test_no_block_is_left_out():
    assert {name for name, _ in BLOCKS} == {"sh", "text", "console", "python", "toml"}


def test_the_test_command_is_the_one_that_ci_runs():
    assert blocks("sh") == ["make demo\nmake test\n"]
    assert "\nmake test\n" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_the_commands_run(folder):
    lines = [line[2:] for block in blocks("console") for line in block.splitlines()]
    assert len(lines) == 16
    for line in lines:
        name, *arguments = line.split()
        assert name == "hstcube"
        assert hstcube(*arguments, folder=folder).strip()
    for product in (
        "37_f435w_sci.fits",
        "37_f435w_wht.fits",
        "37_f435w_mask.fits",
        "37.nc",
        "run.json",
    ):
        assert (folder / "hstcube_out" / product).is_file()
    assert (folder / "out_pair" / "pair_f160w_sci.fits").is_file()
    assert (folder / "out_original" / "37_f160w_var.fits").is_file()


def test_the_python_blocks_run_one_after_the_other(folder):
    script = "\n".join(blocks("python"))
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (folder / "products" / "37_f160w_sci.fits").is_file()


def test_the_field_file_and_the_recipe_file_are_understood(folder):
    for block in blocks("toml"):
        (folder / block.split()[1]).write_text(block, encoding="utf-8")
    assert "measured in f160w" in hstcube("run", "field.toml", "-o", "out_file", folder=folder)
    hstcube("run", "stamps", "--recipe", "recipe.toml", "-o", "out_recipe", folder=folder)


def test_the_demo_prints_what_the_readme_shows(folder):
    told = [line.rstrip() for line in hstcube("demo", "hstcube_demo", folder=folder).splitlines()]
    assert told == blocks("text")[0].splitlines()
