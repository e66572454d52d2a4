"""Help: options under what they are about, examples that run, JSON that is read, completion."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from commands import hstcube, leaves

from hstcube.terminal import panels

if TYPE_CHECKING:
    from pathlib import Path

COMMANDS = leaves()
EXAMPLES = [line for command in COMMANDS.values() for line in command.examples]
WITHOUT = {("cutout",), ("fetch",)}  # no mosaic, no store is in the demo


@pytest.fixture(scope="module")
def folder(demo: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("help")
    (place / "hstcube_demo").symlink_to(demo[0], target_is_directory=True)
    return place


def test_every_option_of_run_stands_under_what_it_is_about() -> None:
    text = hstcube("run", "--help", folder=".")
    for panel in (
        panels.WHICH,
        panels.INPUTS,
        panels.MASK,
        panels.PSF,
        panels.GRID,
        panels.OUTPUT,
        panels.RUNNING,
    ):
        assert f"\n{panel}:\n" in text
    rest = text.partition("\nOptions:\n")[2].partition("\nExamples:\n")[0]
    assert rest.split()[0] == "-h,"
    assert rest.count("--") == 1
    assert "<list" not in text


@pytest.mark.slow
@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_shows_examples_that_fit_80_columns(words: tuple[str, ...]) -> None:
    examples = COMMANDS[words].examples
    assert bool(examples) != (words in WITHOUT)
    assert all(len(line) <= 78 for line in examples)
    text = hstcube(*words, "--help", folder=".")
    assert all(f"  {line}\n" in text for line in examples)
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.slow
def test_the_examples_of_the_help_run_one_after_the_other(folder: Path) -> None:
    order = ("ls", "check", "sky", "run", "bin")  # what others need is made before them
    rank = {name: i for i, name in enumerate(order)}
    for line in sorted(EXAMPLES, key=lambda line: rank.get(line.split()[1], len(rank))):
        if line.split()[1] == "demo":  # the folder itself
            continue
        _, *words = shlex.split(line)
        assert hstcube(*words, folder=folder).strip(), line


@pytest.mark.slow
def test_json_holds_what_the_tables_show(folder: Path) -> None:
    def told(line: str) -> Any:
        return json.loads(hstcube(*line.split(), "--json", folder=folder))

    listed = told("ls hstcube_demo/stamps --scale 60mas")
    assert [len(one["bands"]) for one in listed] == [9]
    (done,) = told("run hstcube_demo/stamps -b f606w -b f160w -o out")
    assert done["result"] == "ok"
    assert done["bands"] == ["f606w", "f160w"]
    assert all((folder / name).is_file() for name in done["files"])
    fluxes = told("phot out/demo.nc -o out.csv")
    assert [one["band"] for one in fluxes] == ["f606w", "f160w"]
    assert all(one["flux"] > 100 * one["error"] > 0 for one in fluxes)
    assert all(one["within"] for one in told("compare out out"))
    psf = told("psf measure hstcube_demo/stamps/psf_stars -o measured.fits")
    assert {one["band"] for one in psf["psfs"]} == {one["band"] for one in psf["stars"]}
    kernels = told("psf show measured.fits -o shown.png")
    assert {one["matched_to"] for one in kernels} == {"f160w"}
    (report,) = told("check hstcube_demo/stamps")
    assert len(report["bands"]) == 9


@pytest.mark.slow
def test_json_tells_why_a_field_failed(folder: Path) -> None:
    line = ["run", "hstcube_demo/stamps", "-b", "f606w", "-o", "bad", "--psf-fwhm", "f606w=0.9"]
    command = [sys.executable, "-m", "hstcube", *line, "--to", "0.3arcsec", "--json"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    (told,) = json.loads(done.stdout)
    assert done.returncode != 0
    assert told["result"] == "failed"
    assert told["error"]["code"] in told["error"]["text"]


def test_numbers_that_are_none_are_null_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    import numpy as np

    from hstcube.terminal.show import show_json

    show_json({"a": np.float32("nan"), "b": (np.int64(1), True, None), "c": float("inf")})
    assert json.loads(capsys.readouterr().out) == {"a": None, "b": [1, True, None], "c": None}


def test_the_shell_completes_commands_and_options() -> None:
    def offered(line: str) -> list[str]:
        words = line.split(" ")
        asked = {"_HSTCUBE_COMPLETE": "complete_bash", "COMP_WORDS": line}
        asked["COMP_CWORD"] = str(len(words) - 1)
        code = "import sys; sys.argv = ['hstcube']; from hstcube.cli.app import main; main()"
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | asked,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout.split()

    assert "phot" in offered("hstcube ph")
    assert "--neighbours" in offered("hstcube run --nei")
