"""What all pictures are drawn with: figures of panels, colours, labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["BLUE", "GREY", "RED", "bare", "colours", "labelled", "one_panel", "panels"]

GREY, BLUE, RED = "0.75", "#3465a4", "#cc0000"
_COLUMNS = 5


def panels(number: int, *, size: float) -> tuple[Figure, list[Any]]:
    """Return a figure of so many square panels, `size` inches wide."""
    from matplotlib.figure import Figure

    columns = min(number, _COLUMNS)
    rows = -(-number // columns)
    figure = Figure(figsize=(size * columns, size * rows), layout="constrained")
    axes = np.atleast_1d(figure.subplots(rows, columns)).ravel().tolist()
    for axis in axes[number:]:
        axis.remove()
    return figure, axes[:number]


def one_panel() -> tuple[Figure, Any]:
    """Return a figure of one panel for curves."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.5, 3.4), layout="constrained")
    return figure, figure.subplots()


def bare(axis: Any, title: str) -> None:
    """Give an image its title and no ticks."""
    axis.set_title(title, fontsize=8)
    axis.set_xticks([])
    axis.set_yticks([])


def labelled(axis: Any, x: str, y: str) -> None:
    """Name the axes of a panel of curves."""
    axis.set_xlabel(x, fontsize=8)
    axis.set_ylabel(y, fontsize=8)
    axis.tick_params(labelsize=7)


def colours(number: int) -> list[Any]:
    """Return colours from blue to red, as bands are."""
    from matplotlib import colormaps

    return [colormaps["turbo"](0.05 + 0.9 * i / max(number - 1, 1)) for i in range(number)]
