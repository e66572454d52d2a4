"""Pictures of the noise of a cube."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hstcube.plots._drawing import BLUE, GREY, RED, panels

if TYPE_CHECKING:
    from astropy.table import Table
    from matplotlib.figure import Figure

__all__ = ["noise_curve"]


def noise_curve(check: Table) -> Figure:
    """Draw how empty apertures scatter, over what the noise of a cube predicts, against their size.

    Parameters
    ----------
    check : Table
        What `noise_check` returned.

    Returns
    -------
    Figure
        Blue: the local background removed; orange: a constant sky, where faint sources count as
        noise. 1 is right.
    """
    names = list(dict.fromkeys(check["band"]))
    figure, axes = panels(len(names), size=2.0)
    for name, axis in zip(names, axes, strict=True):
        rows = check[check["band"] == name]
        error = 1 / np.sqrt(2 * np.maximum(rows["number"], 1))  # of a standard deviation
        axis.axhline(1, color=GREY, lw=1)
        axis.errorbar(
            rows["size"], rows["ratio"], error * rows["ratio"], fmt="o-", color=BLUE, ms=3, lw=1
        )
        axis.plot(rows["size"], rows["constant"], "s--", color=RED, ms=3, lw=1)
        axis.set_title(name, fontsize=8)
        axis.set_ylim(0.5, 2)
        axis.tick_params(labelsize=6)
    figure.supxlabel("side of the aperture [pixels]", fontsize=8)
    figure.supylabel("scatter over prediction", fontsize=8)
    return figure
