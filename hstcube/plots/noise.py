"""Pictures of the noise of a cube."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hstcube.plots._drawing import BLUE, GREY, RED, labelled, on_axes, panels

if TYPE_CHECKING:
    from astropy.table import Table
    from matplotlib.figure import Figure

__all__ = ["noise_curve"]

_SIDE, _SCATTER = "side of the aperture [pixels]", "scatter over prediction"


def noise_curve(check: Table, *, axes: Any = None) -> Figure:
    """Draw how empty apertures scatter, over what the noise of a cube predicts, against their size.

    Parameters
    ----------
    check : Table
        What `noise_check` returned.
    axes : array of matplotlib axes, optional
        One for each band; a new figure when not given.

    Returns
    -------
    Figure
        Blue: the local background removed; orange: a constant sky, where faint sources count as
        noise. 1 is right.
    """
    names = list(dict.fromkeys(check["band"]))
    figure, all_axes = on_axes(axes, len(names), lambda: panels(len(names), size=2.0))
    for name, axis in zip(names, all_axes, strict=True):
        rows = check[check["band"] == name]
        error = 1 / np.sqrt(2 * np.maximum(rows["number"], 1))  # of a standard deviation
        axis.axhline(1, color=GREY, lw=1)
        axis.errorbar(
            rows["size"],
            rows["ratio"],
            error * rows["ratio"],
            fmt="o-",
            color=BLUE,
            ms=3,
            lw=1,
            label="local background off",
        )
        axis.plot(
            rows["size"], rows["constant"], "s--", color=RED, ms=3, lw=1, label="constant sky"
        )
        axis.set_title(name, fontsize=8)
        axis.set_ylim(0.5, 2)
        axis.tick_params(labelsize=7)
        if axes is None:
            axis.tick_params(labelleft=axis.get_subplotspec().is_first_col())
        else:
            labelled(axis, _SIDE, _SCATTER)
    all_axes[0].legend(fontsize=6.5, frameon=False, loc="upper left")
    if axes is None:
        figure.supxlabel(_SIDE, fontsize=8)
        figure.supylabel(_SCATTER, fontsize=8)
    return figure
