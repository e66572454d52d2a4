"""The layers of docs/architecture.md: imports run downwards only, and heavy ones happen where they are needed."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import hstcube

PACKAGE = Path(hstcube.__file__).parent
DRAWING = PACKAGE.parent / "docs" / "architecture.md"
HEAVY = {"xarray", "astropy", "matplotlib", "photutils", "reproject", "dask", "zarr", "netCDF4", "scipy", "pandas"}


def drawn_order() -> list[str]:
    """Return the modules from the lowest to the highest, as the page draws them."""
    lines = re.findall(r"^    [0-7]  (.+)$", DRAWING.read_text(encoding="utf-8"), re.MULTILINE)
    return [name for line in reversed(lines) for name in line.split()]


def drawn_inside(package: str) -> list[str]:
    """Return the modules of a package within the package, as the page draws them: imports run to the left."""
    return re.findall(rf"^    {package}: (.+)$", DRAWING.read_text(encoding="utf-8"), re.MULTILINE)[0].split()


def imported_modules(path: Path, *, inside: str = "hstcube.") -> set[str]:
    """Return the modules of this package that a file imports anywhere, type checking left out."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = []
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(inside):
            found.add(node.module.removeprefix(inside).split(".")[0])
    return found


def files_of(name: str) -> list[Path]:
    """Return the files of a module, or of a package within the package."""
    return sorted((PACKAGE / name).glob("*.py")) or [PACKAGE / f"{name}.py"]


def loaded_by(statement: str) -> set[str]:
    code = f"{statement}\nimport json, sys\nprint(json.dumps([name.split('.')[0] for name in sys.modules]))"
    return set(
        json.loads(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)
    )


def test_the_drawing_shows_every_module_once():
    modules = [path.stem for path in PACKAGE.glob("*.py") if path.stem != "__init__"]
    packages = [path.parent.name for path in PACKAGE.glob("*/__init__.py")]
    assert sorted(drawn_order()) == sorted(modules + packages)
    for package in packages:
        inside = sorted(path.stem for path in files_of(package) if path.stem != "__init__")
        assert sorted(drawn_inside(package)) == inside


def test_imports_run_downwards_only():
    order = drawn_order()
    for name in order:
        for other in set().union(*map(imported_modules, files_of(name))) - (
            {name} if len(files_of(name)) > 1 else set()
        ):
            assert order.index(other) < order.index(name), f"{name} imports {other}"


def test_imports_inside_a_package_run_to_the_left():
    for package in (path.parent.name for path in PACKAGE.glob("*/__init__.py")):
        order = drawn_inside(package)
        for name in order:
            for other in imported_modules(PACKAGE / package / f"{name}.py", inside=f"hstcube.{package}."):
                assert order.index(other) < order.index(name), f"{package}.{name} imports {other}"


def test_layers_below_the_files_know_no_disk_clock_or_terminal():
    order = drawn_order()
    for name in order[: order.index("surveys")]:
        text = (PACKAGE / f"{name}.py").read_text(encoding="utf-8")
        assert not re.search(
            r"^\s*(import|from) (os|time|datetime|sys|pathlib|logging)\b|\bopen\(|\bprint\(", text, re.MULTILINE
        ), name


def test_importing_the_package_loads_nothing_heavy():
    assert not loaded_by("import hstcube") & HEAVY
    assert not loaded_by("import hstcube.cli") & HEAVY


def test_importing_every_module_loads_neither_plots_nor_photometry_nor_storage():
    statement = "import warnings; warnings.simplefilter('ignore')\n" + "\n".join(
        f"import hstcube.{name}" for name in drawn_order() if name != "__main__"
    )
    assert not loaded_by(statement) & {"matplotlib", "photutils", "reproject", "dask", "zarr", "netCDF4"}


def test_every_public_name_exists_and_says_what_it_does():
    for name in hstcube.__all__:
        assert hasattr(hstcube, name)
        if callable(getattr(hstcube, name)):
            assert (getattr(hstcube, name).__doc__ or "").strip(), name
    assert set(hstcube.__all__) <= set(dir(hstcube))
