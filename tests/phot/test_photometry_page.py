"""Every block of docs/photometry.md runs, in its order, on the demo field."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from commands import hstcube

PAGE = (Path(__file__).parents[2] / "docs" / "photometry.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("page")
    hstcube("demo", "hstcube_demo", folder=place)
    return place


def test_the_commands_run(folder):
    lines = [line[2:] for name, block in BLOCKS if name == "console" for line in block.splitlines()]
    assert len(lines) == 4
    for line in lines:
        name, *arguments = line.split()
        assert name == "hstcube"
        assert hstcube(*arguments, folder=folder).strip()
    for product in ("bins.fits", "bins.png", "bins.ecsv", "galaxy.fits", "noise.png", "noise.ecsv"):
        assert (folder / product).is_file()


def test_the_python_blocks_run_one_after_the_other(folder):
    script = "\n".join(block for name, block in BLOCKS if name == "python")
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "flux_f160w" in done.stdout
    for product in ("demo_bins.ecsv", "snr.png", "sed.png", "growth.png"):
        assert (folder / product).is_file()


def test_no_block_is_left_out():
    assert {name for name, _ in BLOCKS} == {"console", "python"}
