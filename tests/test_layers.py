"""The layers of docs/architecture.md.

Imports run downwards only, and heavy ones happen where they are needed.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import hstcube

PACKAGE = Path(hstcube.__file__).parent
DRAWING = Path(__file__).parents[1] / "docs" / "architecture.md"
HEAVY = {
    "xarray",
    "astropy",
    "matplotlib",
    "photutils",
    "reproject",
    "dask",
    "zarr",
    "netCDF4",
    "scipy",
    "pandas",
    "skimage",
}


WITH_A_DISK = {
    "fits",
    "mosaics",
    "files",
    "remote",
    "surveys",
    "maps",
    "sed",
    "ifu",
    "assembly",
    "fleet",
    "pipeline",
    "jobs",
    "report",
    "demo",
    "terminal",
    "cli",
}


def drawn_order() -> list[str]:
    """Return the folders from the lowest to the highest, as the page lists them."""
    return re.findall(r"^    (\w+) {2,}\S", DRAWING.read_text(encoding="utf-8"), re.MULTILINE)[::-1]


def files_of(name: str) -> list[Path]:
    """Return the files of a folder, or the one module of that name."""
    return sorted((PACKAGE / name).glob("*.py")) or [PACKAGE / f"{name}.py"]


def imported(path: Path) -> set[str]:
    """Return the modules of this package that a file imports anywhere, type checking left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body:  # before the walk, which looks at what a node holds before it gives it
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            node.body = []
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "hstcube":
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def loaded_by(statement: str) -> set[str]:
    shown = "print(json.dumps([name.split('.')[0] for name in sys.modules]))"
    code = f"{statement}\nimport json, sys\n{shown}"
    return set(
        json.loads(
            subprocess.run(
                [sys.executable, "-c", code], check=True, capture_output=True, text=True
            ).stdout
        )
    )


def test_the_page_lists_every_folder_once():
    folders = [path.parent.name for path in PACKAGE.glob("*/__init__.py")]
    modules = [path.stem for path in PACKAGE.glob("*.py") if not path.stem.startswith("__")]
    assert sorted(drawn_order()) == sorted(folders + modules)


def test_imports_run_downwards_only():
    order = drawn_order()
    for name in order:
        for path in files_of(name):
            for other in {module.split(".")[1] for module in imported(path)} & {*order} - {name}:
                assert order.index(other) < order.index(name), f"{path} imports {other}"


def test_no_module_of_a_folder_imports_one_that_imports_it():
    for name in drawn_order():
        uses = {
            path.stem: {
                module.split(".")[2]
                for module in imported(path)
                if module.startswith(f"hstcube.{name}.")
            }
            for path in files_of(name)
        }
        while uses:
            free = [
                module for module, others in uses.items() if not others & uses.keys() - {module}
            ]
            assert free, f"in {name}, {sorted(uses)} import one another in a circle"
            uses = {module: others for module, others in uses.items() if module not in free}


def test_what_another_folder_uses_is_public():
    for name in drawn_order():
        for path in files_of(name):
            for module in imported(path):
                private = [
                    part
                    for part in module.split(".")
                    if part.startswith("_") and part != "__version__"
                ]
                assert not private or module.split(".")[1] == name, f"{path} imports {module}"


def test_folders_stay_narrow_and_files_short():
    for name in drawn_order():
        assert len(files_of(name)) <= 10, name
        for path in files_of(name):
            assert len(path.read_text(encoding="utf-8").splitlines()) <= 400, path


def test_no_folder_or_module_hides_a_public_function():
    for path in PACKAGE.rglob("*.py"):
        names = path.relative_to(PACKAGE).with_suffix("").parts
        assert names[-1] not in hstcube.__all__, f"{path} is called like hstcube.{names[-1]}"
        assert names[0] not in hstcube.__all__


def test_folders_below_the_files_know_no_disk_clock_or_terminal():
    known = re.compile(
        r"^\s*(import|from) (os|time|datetime|sys|pathlib|logging)\b|\bopen\(|\bprint\(",
        re.MULTILINE,
    )
    for name in set(drawn_order()) - WITH_A_DISK:
        for path in files_of(name):
            assert not known.search(path.read_text(encoding="utf-8")), path


def test_importing_the_package_loads_nothing_heavy():
    assert not loaded_by("import hstcube") & HEAVY
    assert not loaded_by("import hstcube.cli.app") & HEAVY


def test_importing_every_module_loads_neither_plots_nor_photometry_nor_storage():
    modules = [
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        for path in PACKAGE.rglob("*.py")
        if not path.stem.startswith("__")
    ]
    statement = "import warnings; warnings.simplefilter('ignore')\n" + "\n".join(
        f"import {name}" for name in modules
    )
    assert not loaded_by(statement) & {
        "matplotlib",
        "photutils",
        "reproject",
        "dask",
        "zarr",
        "netCDF4",
    }


def test_every_public_name_exists_and_says_what_it_does():
    for name in hstcube.__all__:
        assert hasattr(hstcube, name)
        if callable(getattr(hstcube, name)):
            assert (getattr(hstcube, name).__doc__ or "").strip(), name
    assert set(hstcube.__all__) <= set(dir(hstcube))
