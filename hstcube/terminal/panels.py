"""Help of a command: its options under what they are about, and lines that can be pasted."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand

__all__ = ["GRID", "INPUTS", "MASK", "OUTPUT", "PSF", "RUNNING", "WHICH", "with_examples"]

WHICH = "Which fields and bands"
INPUTS = "Inputs"
MASK = "Object and mask"
PSF = "PSF and matching"
GRID = "Grid, units, noise"
OUTPUT = "Output"
RUNNING = "How it runs"

_ORDER = ("Arguments", WHICH, INPUTS, MASK, PSF, GRID, OUTPUT, RUNNING, "Options")


def with_examples(*lines: str) -> type[TyperCommand]:
    """Return what a command is made of whose help ends with these lines.

    They run as they stand, on what ``hstcube demo`` made.
    """
    return type("Command", (_Command,), {"examples": lines})


class _Command(TyperCommand):
    examples: tuple[str, ...] = ()

    def format_options(self, ctx: Any, formatter: Any) -> None:
        panels: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                panels.setdefault(_panel_of(param), []).append(
                    (record[0].replace("list[Path]", "path"), record[1])
                )
        for name in sorted(panels, key=_ORDER.index):
            with formatter.section(name):
                formatter.write_dl(panels[name])

    def format_epilog(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002  click's signature
        if self.examples:
            with formatter.section("Examples"):
                for line in self.examples:
                    formatter.write(f"  {line}\n")


def _panel_of(param: Any) -> str:
    if param.param_type_name == "argument":
        return "Arguments"
    usual = OUTPUT if "--out" in param.opts else "Options"
    return getattr(param, "rich_help_panel", None) or usual
