"""Every block of the cookbook runs as it stands, in at most three lines, and gives something."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest
import xarray as xr

import hstcube

PAGE = (Path(__file__).parents[1] / "docs" / "cookbook.md").read_text(encoding="utf-8")
BEGIN, *BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
THINGS = 61  # of docs/TASKS.md of the project, each a line that people typed


@pytest.fixture(scope="module")
def names() -> dict[str, Any]:
    """Return what the first block defines."""
    found: dict[str, Any] = {}
    exec(BEGIN, found)
    return found


def name_of(block: str) -> str:
    return block.splitlines()[-1][:60]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::hstcube.HstCubeWarning")
@pytest.mark.parametrize("block", BLOCKS, ids=map(name_of, BLOCKS))
def test_a_block_runs_as_it_stands(
    block: str, names: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import matplotlib.pyplot as plt

    monkeypatch.chdir(tmp_path)
    before = names["cube"].copy(deep=True)
    *first, last = ast.parse(block).body
    space = dict(names)
    exec(compile(ast.Module(first, []), "cookbook", "exec"), space)
    if isinstance(last, ast.Expr):
        found = eval(compile(ast.Expression(last.value), "cookbook", "eval"), space)
        assert found is not None or [*tmp_path.iterdir()]
        if isinstance(found, xr.Dataset) and "wht" in found and found.sci.ndim == 3:
            hstcube.validate(found)
    else:
        exec(compile(ast.Module([last], []), "cookbook", "exec"), space)
    plt.close("all")
    assert names["cube"].identical(before)


def test_each_thing_is_there_in_at_most_three_lines() -> None:
    assert len(BLOCKS) >= THINGS
    assert len(set(BLOCKS)) == len(BLOCKS)
    for block in BLOCKS:
        lines = [line for line in block.splitlines() if line.strip()]
        assert len(lines) <= 3, block
        assert max(map(len, lines)) <= 110, block


def test_no_other_block_is_on_the_page() -> None:
    assert set(re.findall(r"^```(\w+)", PAGE, re.MULTILINE)) == {"python"}


@pytest.mark.filterwarnings("ignore:In a future version of xarray:FutureWarning")
def test_what_is_said_of_fields_that_are_joined_holds(names: dict[str, Any]) -> None:
    cube = names["cube"]
    grid = hstcube.Grid.around((53.2, -27.7), size=6.0, scale=0.06)
    both = xr.concat([cube, cube.assign_coords(grid.coords())], "field")
    with pytest.raises(hstcube.GridError, match="HC-W26"):
        hstcube.photometry(both.isel(field=1), (53.2, -27.7), radius=0.3)
