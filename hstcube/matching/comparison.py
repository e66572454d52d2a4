"""The PSFs of all bands beside the one that they are matched to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from hstcube.core.rules import taken
from hstcube.errors import PSFError
from hstcube.matching.choice import nearest_among
from hstcube.matching.quality import (
    ee_ratio,
    failing,
    measured_quality,
    predicted,
    unproven,
)
from hstcube.matching.targets import as_target, target_psf
from hstcube.psf.preparation import scale_of
from hstcube.psf.profiles import RADII

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Image64 = NDArray[np.float64]

__all__ = ["psf_quality"]


def psf_quality(cube: xr.Dataset | xr.DataArray, *, to: Any = None) -> xr.Dataset:
    """Compare the PSF of every band with the one that the cube is matched to.

    Parameters
    ----------
    cube : Dataset or DataArray
        With the coordinate ``psf``, as it is after `psf_match`; before, the table shows how unlike
        the bands are. Or PSFs (band, ky, kx) alone.
    to : str, Quantity or DataArray, optional
        What to compare with, as for `psf_match`; what ``matched_to`` says when not given, else
        the band that all others come nearest to.

    Returns
    -------
    Dataset
        ``ee_ratio`` (band, radius): encircled energy over the target's, both set to one at 1.2
        arcsec; on the band axis ``half_light_ratio``, ``residual``, ``negative`` (of the kernel
        that was used; NaN before matching), ``error`` (that of the encircled energies which the
        stars of both PSFs make, where they tell it) and ``verdict``: "good", "unverified" where
        one or two stars made a PSF, or what is wrong. ``colour_error`` is the systematic error of
        a flux over the target's, as a share: that of the match (``psf_ee_error``, or ``error``
        where nothing is matched), and those of the light beyond both frames, in quadrature; NaN
        where ``psf_energy`` is not known. `to_dataframe` makes a table of it.

    Raises
    ------
    PSFError
        If the cube has no PSF, or the target is not known.

    Examples
    --------
    >>> import hstcube
    >>> quality = hstcube.psf_quality(hstcube.example(matched=True))
    >>> bool(quality.colour_error.max() < 0.02)  # mag
    True
    """
    if not isinstance(cube, xr.DataArray):
        cube = taken(cube, pixels=False)
    psf = _psf_of(cube)
    scale = scale_of(psf)
    images = psf.transpose("band", "ky", "kx").values.astype(np.float64)
    if to is None:
        to = _matched_to(cube) or nearest_among(psf).name
    to = as_target(to, psf.band.values, pixel=scale)
    target = target_psf(psf, to, scale)
    unknown = np.full(len(images), np.nan)
    negative = cube.psf_negative.values if "psf_negative" in cube.coords else unknown
    identity = np.ones((1, 1))
    ratios, widths, residuals, verdicts = [], [], [], []
    errors, stars = predicted(psf, to, np.zeros(len(images)))
    rows = zip(images, np.nan_to_num(negative), errors, stars, strict=True)
    for image, share, error, number in rows:
        quality = measured_quality(image, target, identity, scale)
        ratios.append(ee_ratio(image, target, scale))
        widths.append(quality.half_light_ratio)
        residuals.append(quality.residual)
        failed = failing(quality.ee_error, quality.residual, share)
        verdicts.append(failed or unproven(error, number) or "good")
    return xr.Dataset(
        {
            "ee_ratio": (("band", "radius"), ratios),
            "half_light_ratio": ("band", widths),
            "residual": ("band", residuals),
            "negative": ("band", negative),
            "error": ("band", errors),
            "colour_error": ("band", _colour_errors(psf, to, errors)),
            "verdict": ("band", np.array(verdicts, object)),
        },
        {"band": psf.band.values, "radius": ("radius", list(RADII), {"units": "arcsec"})},
        {"to": to if isinstance(to, str) else str(to.name or "psf")},
    )


def _colour_errors(psf: xr.DataArray, to: Any, errors: Image64) -> Image64:
    """Return the systematic errors of colours with the target, (band,)."""
    if not {"psf_energy", "psf_energy_error"} <= {*psf.coords}:
        return np.full(errors.shape, np.nan)
    match = psf.psf_ee_error.values if "psf_ee_error" in psf.coords else np.nan_to_num(errors)
    beyond = psf.psf_energy_error.values / psf.psf_energy.values
    itself = psf.band.values == (to if isinstance(to, str) else None)
    of_target = float(beyond[itself][0]) if itself.any() else 0.0
    return np.where(itself, 0.0, np.sqrt(match**2 + beyond**2 + of_target**2))


def _psf_of(cube: xr.Dataset | xr.DataArray) -> xr.DataArray:
    if isinstance(cube, xr.DataArray):
        return cube
    if "psf" not in cube.coords:
        raise PSFError(
            "HC-P09",
            "the cube has no PSF",
            "give it one: [[--psf FILE|with_psf(cube, measure_psf(stars))]]",
        )
    psf: xr.DataArray = cube.psf
    return psf


def _matched_to(cube: xr.Dataset | xr.DataArray) -> str:
    return str(cube.matched_to.values[0]) if "matched_to" in cube.coords else ""
