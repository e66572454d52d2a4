"""The recipe of 2022, as it was: mask, then convolve with Gaussians."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hstcube.basics.blocks import over_bands
from hstcube.basics.convolution import convolver
from hstcube.core.bands import band_name
from hstcube.core.rules import usable
from hstcube.core.state import updated
from hstcube.errors import RecipeError
from hstcube.matching.kernels import gaussian_kernels, target_width
from hstcube.noise.groups import with_matched_noise
from hstcube.surveys.models import with_recipe_widths

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["as_the_original", "kernels_of_the_original"]


def as_the_original(cube: xr.Dataset, keep: xr.DataArray, to: Any) -> xr.Dataset:
    """Mask, convolve, mask: M (K conv M sci), M (K^2 conv 1/wht), zeros beyond the frame.

    Basto Pineda & Epinat 2022.
    """
    if not isinstance(to, str):
        fix = 'choose a band: [[--to|to=]]; or [[--recipe default|recipe="default"]]'
        raise RecipeError("HC-B39", "the original recipe matches no PSF images", fix)
    cube = with_recipe_widths(cube)
    to, kernels = kernels_of_the_original(cube, to)
    inside = keep.values

    def one_band(sci: Any, wht: Any, kernel: Any) -> tuple[Any, Any]:
        has_data = wht > 0
        noise = np.divide(1.0, wht, where=has_data, out=np.zeros(wht.shape), dtype=np.float64)
        signal = convolver(kernel, sci.shape)(np.where(inside & has_data, sci, 0))
        spread = convolver(kernel**2, sci.shape)(noise)
        use = inside & has_data
        return (
            np.where(use, signal, np.nan).astype(sci.dtype),
            np.divide(1.0, spread, where=use, out=np.zeros(wht.shape)).astype(wht.dtype),
        )

    sci, wht = over_bands(one_band, *_in_one_chunk(cube), parameters=(kernels.variable,), outputs=2)
    number = cube.sizes["band"]
    width = target_width(cube, to)
    return updated(
        with_matched_noise(cube, kernels.variable).assign_attrs(recipe="original"),
        f"original(to={to!r})",
        sci=sci,
        wht=wht,
        mask=usable(cube, wht),
        psf_fwhm=np.full(number, width),
        matched_to=np.full(number, to, object),
    )


def kernels_of_the_original(cube: xr.Dataset, to: str) -> tuple[str, xr.DataArray]:
    """Return the band that the recipe of 2022 matches, and its kernels, (band, ky, kx).

    Raises
    ------
    RecipeError
        If `to` is a width: that recipe knew bands only.
    PSFError
        If it is no band of the cube, or another band is broader.
    """
    to = band_name(to)
    kernels = gaussian_kernels(with_recipe_widths(cube), to=to, sampled=True)
    if to not in cube.band.values:
        widest = str(cube.band.values[np.argmax(cube.psf_fwhm.values)])
        raise RecipeError(
            "HC-B39",
            f"the recipe 'original' matches a band; to={to!r} is a width",
            f"choose [[--to {widest}|to={widest!r}]], or [[--recipe default|recipe='default']]",
        )
    return to, kernels


def _in_one_chunk(cube: xr.Dataset) -> tuple[xr.Variable, xr.Variable]:
    """Return sci and wht with whole images in a chunk: this recipe knows nothing of edges."""
    planes = (cube.sci.variable, cube.wht.variable)
    return tuple(plane.chunk({"y": -1, "x": -1}) if plane.chunks else plane for plane in planes)
