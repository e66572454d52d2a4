"""Pictures of a line's map beside what the bands of a cube make of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hstcube.plots._drawing import BLUE, GREY, RED, bare, labelled

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

__all__ = ["line"]

_ROWS = 12  # of the table of sets


def line(fit: xr.Dataset) -> Figure:
    """Draw a fit of bands to the map of a line.

    Parameters
    ----------
    fit : Dataset
        What `fit_line` returned.

    Returns
    -------
    Figure
        The map and its model on one scale, the residual over the errors from -5 to 5; the weights
        with their errors; the shift; and how well sets of bands predict what was left out.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 6.0), layout="constrained")
    above, below = figure.subplots(2, 3)
    data = fit.model.values + fit.residual.values
    top = float(np.nanpercentile(data, 99.5))
    for axis, image, title in zip(
        above,
        (data, fit.model.values, fit.residual.values / fit.sigma.values),
        _TITLES,
        strict=True,
    ):
        over = title == _TITLES[-1]
        low, high, name = (-5, 5, "RdBu_r") if over else (-0.05 * top, top, "viridis")
        shown = axis.imshow(image, origin="lower", vmin=low, vmax=high, cmap=name)
        bare(axis, title)
        figure.colorbar(shown, ax=axis, shrink=0.8).ax.tick_params(labelsize=6)
    _weights(below[0], fit)
    _shift(below[1], fit)
    _sets(below[2], fit)
    figure.suptitle(
        f"{fit.attrs.get('field', '')} {fit.attrs['line']}: {fit.attrs['verdict']}", fontsize=7
    )
    return figure


_TITLES = ("map", "model", "residual / error")


def _weights(axis: Any, fit: xr.Dataset) -> None:
    places = np.arange(fit.sizes["band"])
    axis.axhline(0, color=GREY, lw=1)
    axis.errorbar(places, fit.weights, fit.weight_error, fmt="o", color=BLUE, ms=4, lw=1)
    axis.set_xticks(places, fit.band.values.tolist(), rotation=60)
    labelled(axis, "", "weight [Angstrom]")


def _shift(axis: Any, fit: xr.Dataset) -> None:
    axis.axhline(0, color=GREY, lw=1)
    axis.axvline(0, color=GREY, lw=1)
    place = (float(fit.dx), float(fit.dy))
    axis.errorbar(*place, float(fit.dy_error), float(fit.dx_error), fmt="o", color=RED, ms=4)
    reach = 1.3 * max(*map(abs, place), float(fit.dy_error), float(fit.dx_error), 0.1)
    axis.set_xlim(-reach, reach)
    axis.set_ylim(-reach, reach)
    axis.set_aspect("equal")
    labelled(axis, f"shift along x [arcsec], {fit.attrs['shift']}", "along y [arcsec]")


def _sets(axis: Any, fit: xr.Dataset) -> None:
    order = np.argsort(fit.set_nrms.values)[:_ROWS][::-1]
    names = [str(fit["set"].values[i]) for i in order]
    axis.barh(np.arange(order.size), 100 * fit.set_nrms.values[order], color=BLUE, height=0.7)
    axis.set_yticks(np.arange(order.size), names)
    labelled(axis, "rms residual of what was left out [% of the signal]", "")
    axis.tick_params(axis="y", labelsize=5)
