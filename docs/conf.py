"""The documentation site: what is generated for it, and how sphinx builds it."""

from __future__ import annotations

import inspect
import shutil
import sys
from pathlib import Path
from typing import Any

import typer.main

import hstcube
from hstcube.cli.app import app

HERE = Path(__file__).parent
MADE = HERE / "_made"  # never in git

project = "hstcube"
author = "the developers of hstcube"
release = version = hstcube.__version__
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "numpydoc",
    "myst_nb",
]
exclude_patterns = ["_build", "mutants.md"]
default_role = "py:obj"
html_theme = "furo"
html_title = "hstcube"
html_static_path: list[str] = []
templates_path: list[str] = []
add_module_names = False
autodoc_typehints = "none"  # the docstrings say what is given, in the field's words
autosummary_generate = True
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_timeout = 600
nb_execution_raise_on_error = True
suppress_warnings = ["misc.highlighting_failure"]

# folders of the package, and what their public functions are for
GROUPS = {
    "assembly files surveys jobs demo": "Open, save, run",
    "core": "The cube and its grid",
    "pipeline report": "The whole job",
    "views": "Look at a cube",
    "sky": "Sky, sources, masks",
    "psf": "PSFs",
    "matching": "One resolution",
    "regridding": "Pixels",
    "noise": "Noise",
    "phot": "Photometry",
    "sed": "SED codes",
    "ifu forward": "Lines of IFUs",
    "plots": "Pictures",
    "errors": "Errors",
}


def _api() -> str:
    """Return the page of all public names, by what they are for."""
    lines = ["# Python", "", "Each is `hstcube.NAME`; pictures are `hstcube.plot.NAME`.", ""]
    left = dict(hstcube._MODULE_OF)  # noqa: SLF001  the one table of public names
    for folders, title in GROUPS.items():
        names = sorted(name for name in left if left[name].split(".")[0] in folders.split())
        if folders == "plots":
            names += [f"plot.{name}" for name in sorted(hstcube.plot.__all__)]
        lines += [f"## {title}", "", "```{eval-rst}", ".. currentmodule:: hstcube", ""]
        lines += [".. autosummary::", "   :toctree: api", ""]
        lines += [f"   {name}" for name in names]
        lines += ["```", ""]
        left = {name: home for name, home in left.items() if name not in names}
    if left:
        msg = f"no group of docs/conf.py has {', '.join(left)}"
        raise ValueError(msg)
    return "\n".join(lines)


def _commands() -> str:
    """Return the page of the command line: the help of every command."""
    lines = ["# Command line", ""]
    for words, command in _leaves(typer.main.get_command(app)):
        lines += [f"## hstcube {words}", "", "```text", _help(words, command), "```", ""]
    return "\n".join(lines)


def _leaves(group: Any, before: str = "") -> list[tuple[str, Any]]:
    found = []
    for name, command in group.commands.items():
        words = f"{before} {name}".strip()
        found += _leaves(command, words) if hasattr(command, "commands") else [(words, command)]
    return found


def _help(words: str, command: Any) -> str:
    with command.make_context(f"hstcube {words}", [], resilient_parsing=True) as context:
        context.terminal_width = context.max_content_width = 80
        return inspect.cleandoc(command.get_help(context))


def _notebooks() -> None:
    """Copy the notebooks to where sphinx looks; they are run there."""
    for path in sorted((HERE.parent / "notebooks").glob("*.ipynb")):
        shutil.copy(path, MADE / path.name)


def _make() -> None:
    MADE.mkdir(exist_ok=True)
    for name, text in (("api.md", _api()), ("commands.md", _commands())):
        (MADE / name).write_text(text, encoding="utf-8")
    _notebooks()


sys.modules["hstcube.plot"] = hstcube.plot  # as it is called; its folder is `plots`
_make()
