"""Pictures of cubes, as matplotlib figures; they touch no global state."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from hstcube.core.rules import require_same_grid, taken
from hstcube.errors import BandError
from hstcube.plots._drawing import RED, bare, panels

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

__all__ = ["bands", "figure_bytes", "homogeneous"]


def bands(cube: xr.Dataset, *, outline: bool = True) -> Figure:
    """Draw every band of a cube, with the outline of its mask.

    Parameters
    ----------
    cube : Dataset
    outline : bool
        Draw the border of the mask.

    Returns
    -------
    Figure
        Grey levels are asinh of the signal over the noise of the sky, the same in all bands.
    """
    cube = taken(cube)
    figure, axes = panels(cube.sizes["band"], size=2.0)
    for i, axis in enumerate(axes):
        one = cube.isel(band=i)
        _draw_band(axis, one, reference=one)
        if outline and one.mask.values.any() and not one.mask.values.all():
            axis.contour(one.mask.values.astype(float), [0.5], colors=RED, linewidths=0.8)
    return figure


def homogeneous(native: xr.Dataset, cube: xr.Dataset) -> Figure:
    """Draw every band as observed above the same band made homogeneous, with its mask.

    Parameters
    ----------
    native, cube : Dataset
        The same bands and pixels, before and after.

    Returns
    -------
    Figure
    """
    native, cube = taken(native), taken(cube)
    require_same_grid(cube, native)
    if native.band.values.tolist() != cube.band.values.tolist():
        raise BandError(
            "HC-B01", "the two cubes have other bands", "give one cube before and after"
        )
    from matplotlib.figure import Figure

    number = cube.sizes["band"]
    figure = Figure(figsize=(1.5 * number, 3.4), layout="constrained")
    above, below = figure.subplots(2, number, squeeze=False)
    above[0].set_ylabel("as observed", fontsize=8)
    below[0].set_ylabel("homogeneous", fontsize=8)
    for i in range(number):
        reference = native.isel(band=i)
        _draw_band(above[i], reference, reference=reference)
        _draw_band(below[i], cube.isel(band=i), reference=reference)
        below[i].contour(cube.mask.values[i].astype(float), [0.5], colors=RED, linewidths=0.7)
    return figure


def figure_bytes(figure: Figure) -> bytes:
    """Return a figure as PNG, the same bytes for the same figure."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120, metadata={"Software": None})
    return buffer.getvalue()


def _draw_band(axis: Any, one: xr.Dataset, reference: xr.Dataset) -> None:
    """Draw one image in grey; `reference` sets the noise that is one step of grey."""
    noise = 1 / np.sqrt(np.median(reference.wht.values[reference.wht.values > 0]))
    image = np.arcsinh(one.sci.values / noise / 2)
    axis.imshow(image, origin="lower", cmap="gray_r", vmin=-1, vmax=5, interpolation="nearest")
    bare(axis, f"{one.band.item()}  {float(one.psf_fwhm):.2f}″")
