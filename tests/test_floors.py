"""The oldest versions that pyproject.toml allows are those that were run."""

from __future__ import annotations

import re
import tomllib
from itertools import chain
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[1]


def bare(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_floors_of_pyproject_are_the_versions_that_are_run():
    lines = (ROOT / "tests" / "floors.txt").read_text(encoding="utf-8").splitlines()
    run = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    run = {bare(name): Version(version) for name, version in run.items()}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = chain(*project["optional-dependencies"].values())
    for needed in map(Requirement, [*project["dependencies"], *extras]):
        for bound in needed.specifier:
            assert bound.operator == ">=", f"{needed}: no version is too new until it is seen to be"
            assert run[bare(needed.name)] == Version(bound.version), needed
