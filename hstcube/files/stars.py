"""Stamps of stars, for `examine_stars` and `measure_psf`."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from hstcube.core.bands import band_name
from hstcube.errors import HstCubeWarning, PSFError
from hstcube.files.fields import read_images
from hstcube.surveys.models import with_survey_noise
from hstcube.surveys.names import list_fields

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import xarray as xr

    from hstcube.surveys.names import FieldFiles

__all__ = ["open_stars"]


def open_stars(
    folder: str | Path, *, scale: str = "60mas", bands: Sequence[str] | None = None
) -> dict[str, xr.Dataset]:
    """Open stamps of stars: files ``{star}_{scale}_{filter}_{sci,wht}.fits``, as those of fields.

    Parameters
    ----------
    folder : path
    scale : str
        Label of the pixel scale in the file names.
    bands : sequence of str, optional
        Only these; else those that every star has.

    Returns
    -------
    dict of name to Dataset
        For `examine_stars` and `measure_psf`.

    Raises
    ------
    PSFError
        If there are none, or no band that all of them have.
    """
    found = list_fields(folder, scale=scale)
    if not found:
        raise PSFError(
            "HC-P10",
            f"no stamps of stars at {scale}",
            "name them STAR_60mas_f160w_sci.fits and _wht.fits",
            str(folder),
        )
    names = [band_name(name) for name in bands] if bands else _common_bands(found)
    if not names:
        raise PSFError(
            "HC-P11", "there is no band that all stars have", "choose stars and bands=", str(folder)
        )
    stars = {}
    with warnings.catch_warnings():
        # of units and cameras: they are those of the fields
        warnings.simplefilter("ignore", HstCubeWarning)
        for files in found:
            star = read_images(files, bands=names)
            stars[files.field] = with_survey_noise(star.cube) if star.own else star.cube
    return stars


def _common_bands(found: list[FieldFiles]) -> list[str]:
    """Return the bands that all stars have, in the order of the first."""
    return [name for name in found[0].bands if all(name in files.bands for files in found)]
