"""The PSFs and the noise of a survey, from its tables."""

from __future__ import annotations

import contextlib
import warnings
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from hstcube.core.bands import band, cameras
from hstcube.core.grids import Grid
from hstcube.core.offsets import UNIT_SUM, psf_array
from hstcube.core.state import attribute, replaced, updated
from hstcube.errors import BandError, HstCubeWarning, NoiseError, PSFError
from hstcube.fits.weights import apparent_noise, grain, scatter
from hstcube.inputs.units import RATE
from hstcube.noise.calibration import calibrate_noise
from hstcube.noise.description import WHITE, joined_noise, with_noise
from hstcube.psf.known import gaussian_models, model_image
from hstcube.psf.preparation import attached
from hstcube.psf.profiles import fwhm
from hstcube.surveys.filters import native_pixel
from hstcube.surveys.known import known_survey, told_oddities

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr
    from numpy.typing import NDArray

    from hstcube.errors import Note


__all__ = [
    "survey_psf",
    "survey_widths",
    "with_noise_of_errors",
    "with_recipe_widths",
    "with_survey_noise",
    "with_survey_psf",
]

_HALF = 32 * 0.06  # arcsec: half the frame, as that of the stars it was made of
_MOST = 1024  # pixels a side of what noise is measured on
_SCATTERS = 4.0  # of their errors, at most
_STRUCTURED = 3.5  # times more over 5 pixels than from one to the next; noise: 1 to 2.5
_CAMERA = ("instrument", "detector")


@lru_cache(maxsize=32)
def survey_psf(
    survey: str, scale: float, bands: tuple[str, ...] | None = None
) -> xr.DataArray | None:
    """Return the PSFs of a survey, or None where the table has not all of them.

    Circular multi-Gaussian models (Emsellem, Monnet & Bacon 1994, A&A 285, 723) of PSFs that
    `measure_psf` made of stars; ``psf_surveys.csv`` says of which.

    Parameters
    ----------
    survey : str
    scale : float
        Arcsec per pixel.
    bands : tuple of str, optional
        All of the table when not given.

    Returns
    -------
    DataArray, (band, ky, kx), or None
    """
    models = gaussian_models(survey, scale)
    bands = tuple(models) if bands is None else bands
    if not bands or not models.keys() >= set(bands):
        return None
    half = round(_HALF / scale)
    offset = np.arange(-half, half + 1) * scale
    images = [model_image(models[name], offset, scale) for name in bands]
    return psf_array(
        np.stack(images).astype(np.float32),
        scale,
        bands=np.array(bands, object),
        name="psf",
        attrs={"long_name": UNIT_SUM, "source": f"PSFs of {survey}"},
    )


@lru_cache(maxsize=32)
def survey_widths(survey: str, scale: float, bands: tuple[str, ...]) -> NDArray[np.float64]:
    """Return the FWHM [arcsec] of the PSFs that `survey_psf` gives, (band,)."""
    known = survey_psf(survey, scale, bands)
    if known is None:
        return np.empty(0)
    return np.array([fwhm(image.astype(float)) * scale for image in known.values])


def with_recipe_widths(cube: xr.Dataset) -> xr.Dataset:
    """Return a cube with the widths that the pipeline of 2022 had for the PSFs of a survey.

    It knew Gaussians only. Widths that do not come from the survey's PSFs stay as they are.
    """
    survey, scale = attribute(cube, "survey"), Grid.of(cube).scale
    bands = tuple(cube.band.values.tolist())
    if survey_psf(survey, scale, bands) is None:
        return cube
    of_images, table = survey_widths(survey, scale, bands), known_survey(survey, scale).psf_fwhm
    known = cube.psf_fwhm.values
    old = [table.get(name, width) for name, width in zip(bands, known.tolist(), strict=True)]
    return replaced(cube, psf_fwhm=np.where(known == of_images, old, known))


def with_survey_noise(cube: xr.Dataset) -> xr.Dataset:
    """Return a cube of a survey's own images with their noise, where the table has it.

    Parameters
    ----------
    cube : Dataset
        As observed; its attribute ``survey`` says whose images they are. It comes back as it is
        where the table has not its pixel scale, or not all of its bands.
    """
    survey = attribute(cube, "survey")
    if survey and cube.sci.attrs["units"] == RATE:
        with contextlib.suppress(NoiseError, BandError):
            return with_noise(cube, survey)
    return cube


def with_survey_psf(cube: xr.Dataset, survey: str, *, required: bool) -> xr.Dataset:
    """Return the cube with the PSFs of a survey's table.

    Parameters
    ----------
    cube : Dataset
    survey : str
    required : bool
        Whether it is an error that the table has none; else the cube comes back as it is.

    Raises
    ------
    PSFError
        If they are required and not there.
    """
    scale, bands = Grid.of(cube).scale, cube.band.values.tolist()
    known = survey_psf(survey, scale, tuple(bands))
    if known is not None:
        widths = survey_widths(survey, scale, tuple(bands))
        return updated(attached(cube, known), f"psf of {survey}, from the table", psf_fwhm=widths)
    if not required:
        return cube
    raise PSFError(
        "HC-P16",
        f"the table has no PSFs of {survey.upper()} for {', '.join(bands)} "
        f"at {scale * 1000:.3g} mas",
        "measure them: [[hstcube psf measure STARS -o psf.fits, then --psf psf.fits|"
        "psf=measure_psf(stars)]]",
    )


def with_noise_of_errors(cube: xr.Dataset, bands: Sequence[str]) -> xr.Dataset:
    """Return the cube with the noise of bands whose weights are errors of JWST, as their sky shows.

    ERR is the error of a pixel as if it were alone: it holds no correlation, and does not scale
    with the output pixel. Of other bands the noise is white.

    Parameters
    ----------
    cube : Dataset
        As observed.
    bands : sequence of str
        Whose weights are such errors; where there are none, or the cube is not in memory, it comes
        back as it is, as it does where too little sky is blank.
    """
    if not bands or cube.sci.chunks:
        return cube
    found = {name: noise for name in bands if (noise := _noise_of(cube, name)) is not None}
    notes = [note for name, noise in found.items() for note in _judged(cube, name, noise)]
    if found:
        white = with_noise(cube, WHITE).isel(band=[n not in found for n in cube.band.values])
        others = white[["noise_scale", "noise_acf"]].reset_coords()
        cube = with_noise(cube, joined_noise([*found.values(), others]))
    return told_oddities(cube, notes)


def _judged(cube: xr.Dataset, name: str, noise: xr.Dataset) -> list[Note]:
    """Say how large the noise of a band is in units of its errors, and whether that can be."""
    camera = {key: str(cube[key].sel(band=name).item()) for key in _CAMERA}
    row = band(name, **camera) if cameras(name) else None
    least = apparent_noise(Grid.of(cube).scale / native_pixel(row)) / 2
    ratio = noise.noise_scale.item()
    text = f"{name}: pixels of blank sky scatter by {ratio:.3g} of ERR"
    if not least <= ratio <= _SCATTERS:
        return [("HC-D24", f"{text}, not by {least:.2g} to {_SCATTERS:g}: ERR is of other images")]
    return [("HC-N22", f"{text} and are correlated, measured on {noise.pixels.item()} of them")]


def _noise_of(cube: xr.Dataset, name: str) -> xr.Dataset | None:
    """Return what the noise of a band is like by its blank sky; None where there is too little."""
    y, x = (slice(max((cube.sizes[axis] - _MOST) // 2, 0), None) for axis in ("y", "x"))
    one = cube.isel(band=[cube.band.values.tolist().index(name)])
    part = one.isel(y=y, x=x).isel(y=slice(_MOST), x=slice(_MOST))
    sci, wht = part.sci.values[0], part.wht.values[0]
    if not scatter(sci, wht) <= _STRUCTURED * grain(sci, wht):
        return None  # a nebula, say: what varies from pixel to pixel is not noise alone
    with warnings.catch_warnings(), contextlib.suppress(NoiseError):
        warnings.simplefilter("ignore", HstCubeWarning)  # of few pixels: it is told how many
        return calibrate_noise(part)
    return None
