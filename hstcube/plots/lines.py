"""Pictures of a line's map beside what the bands of a cube make of it."""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np

from hstcube.core.grids import Grid
from hstcube.plots._drawing import BLUE, GREY, RED, labelled, new_figure, require_made
from hstcube.plots._sky_axes import Place, colour_bar, compass, finish, psf_circle, scale_bar

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

__all__ = ["line"]

_ROWS = 12  # of the table of sets
_RIM = 2  # pixels around what was fitted
_TOP = 99.5  # percentile of the map that is drawn brightest
_LONGEST = 140  # letters of a line above the pictures


def line(fit: xr.Dataset) -> Figure:
    """Draw a fit of bands to the map of a line.

    Parameters
    ----------
    fit : Dataset
        What `fit_line` returned.

    Returns
    -------
    Figure
        The map and its model on one scale, the residual over the errors from -5 to 5, with the
        map's PSF, a scale bar, north and east; the weights with their errors; the shift; and how
        well sets of bands predict what was left out.
    """
    require_made(fit, {"model", "weights", "set"}, "[[|: hstcube.fit_line]]")
    figure = new_figure(10.5, 6.6)
    above, below = figure.subplots(2, 3)
    _images(above, _cut(fit))
    _weights(below[0], fit)
    _shift(below[1], fit)
    _sets(below[2], fit)
    name = f"{fit.attrs.get('field', '')} {fit.attrs['line']}: {fit.attrs['verdict']}"
    figure.suptitle("\n".join(wrap(name, _LONGEST)), fontsize=8)
    return figure


def _cut(fit: xr.Dataset) -> xr.Dataset:
    """Return the part of the map that was fitted, with a rim."""
    used = np.isfinite(fit.model.values)
    rows, columns = (np.flatnonzero(used.any(axis)) for axis in (1, 0))
    y, x = (slice(max(int(n[0]) - _RIM, 0), int(n[-1]) + _RIM + 1) for n in (rows, columns))
    return fit.isel(y=y, x=x)


def _images(axes: Any, fit: xr.Dataset) -> None:
    """Draw map and model on one scale, and what the model leaves over the errors."""
    model, residual = fit.model.values, fit.residual.values
    data = model + residual
    place = Place.around(Grid.of(fit), data, np.isfinite(data))
    top = float(np.nanpercentile(data, _TOP)) or 1.0
    flux = {"vmin": min(-0.05 * top, top), "vmax": max(-0.05 * top, top), "cmap": "viridis"}
    over = {"vmin": -5, "vmax": 5, "cmap": "RdBu_r"}
    drawn = (("map", data, flux), ("model", model, flux), ("residual / error", residual, over))
    for axis, (title, image, how) in zip(axes, drawn, strict=True):
        one = image / fit.sigma.values if how is over else image
        shown = axis.imshow(one, origin="lower", extent=place.extent, **how)
        finish(axis, place, title=title, label=False)
        colour_bar(shown, axis, "" if how is over else "10⁻²⁰ erg s⁻¹ cm⁻²", below=True)
    axes[0].set_ylabel("arcsec from the line's middle", fontsize=8)
    scale_bar(axes[0], place)
    compass(axes[0], place)
    psf_circle(axes[0], place, float(fit.attrs.get("fwhm", np.nan)))


def _weights(axis: Any, fit: xr.Dataset) -> None:
    places = np.arange(fit.sizes["band"])
    axis.axhline(0, color=GREY, lw=1)
    axis.errorbar(places, fit.weights, fit.weight_error, fmt="o", color=BLUE, ms=4, lw=1)
    axis.set_xticks(places, fit.band.values.tolist(), rotation=60)
    labelled(axis, "", "weight [Angstrom]")


def _shift(axis: Any, fit: xr.Dataset) -> None:
    axis.axhline(0, color=GREY, lw=1)
    axis.axvline(0, color=GREY, lw=1)
    dy, dx, up, along = (float(fit[name]) for name in ("dy", "dx", "dy_error", "dx_error"))
    axis.errorbar(dx, dy, up, along, fmt="o", color=RED, ms=4)
    reach = 1.1 * max(abs(dx) + along, abs(dy) + up, 0.1)
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
    axis.tick_params(axis="y", labelsize=6)
