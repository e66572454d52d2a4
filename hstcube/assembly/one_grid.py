"""The images of a field on one pixel grid, with the noise and the PSFs that are known of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import xarray as xr

from hstcube.core.bands import band_name
from hstcube.core.stack import stack_bands
from hstcube.core.state import note, warn
from hstcube.files.fields import by_unit, read_images
from hstcube.files.psfs import open_psf
from hstcube.fits.opening import located
from hstcube.phot.units import to_flux
from hstcube.psf.preparation import with_psf
from hstcube.surveys.known import SURVEYS
from hstcube.surveys.models import with_survey_noise, with_survey_psf

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hstcube.files.fields import Observed
    from hstcube.surveys.names import FieldFiles

__all__ = ["How", "PSFChoice", "open_on_one_grid"]

PSFChoice = str | Path | xr.DataArray | None

_WIDTHS_AGREE = 0.01  # relative


class How(NamedTuple):
    """How images are opened; see `open_field`."""

    psf_fwhm: Mapping[str, float] | None = None
    psf: PSFChoice = None
    chunks: Mapping[str, int] | None = None
    units: Any = None

    def of(self, names: Sequence[str]) -> How:
        """Return the same with the widths of these bands only."""
        widths = {band_name(name): width for name, width in (self.psf_fwhm or {}).items()}
        return self._replace(psf_fwhm={name: widths[name] for name in names if name in widths})


def open_on_one_grid(files: FieldFiles, bands: Sequence[str] | None, how: How) -> xr.Dataset:
    """Open images of one pixel grid, in the units of the files or in those that are wanted."""
    if how.units is None:
        return _open_alike(files, bands, how)
    pieces = [
        to_flux(_open_alike(files, names, how.of(names)), how.units)
        for names in by_unit(files, bands).values()
    ]
    return pieces[0] if len(pieces) == 1 else stack_bands(pieces)


def _open_alike(files: FieldFiles, bands: Sequence[str] | None, how: How) -> xr.Dataset:
    """Open images of one unit, with the noise and the PSFs that are known of them."""
    observed = read_images(files, bands=bands, psf_fwhm=how.psf_fwhm, chunks=how.chunks)
    cube = _with_noise(observed)
    psf = how.psf
    if isinstance(psf, str) and psf == "auto":
        psf = files.psf if files.psf is not None and not how.psf_fwhm else None
        if psf is None and observed.own and not observed.widths:
            return with_survey_psf(cube, cube.attrs["survey"], required=False)
    if psf is None:
        return cube
    known = with_psf(cube, psf) if isinstance(psf, xr.DataArray) else _with_chosen_psf(cube, psf)
    return _told_widths(known, cube) if observed.widths else known


def _with_noise(observed: Observed) -> xr.Dataset:
    """Return a cube with the noise that is known of its survey's own images, or say it is white."""
    cube = with_survey_noise(observed.cube) if observed.own else observed.cube
    if "noise_scale" in cube.coords:
        return cube
    bands = ", ".join(cube.band.values)
    return note(cube, "HC-N20", f"{bands}: the noise is taken as white, for no table knows it")


def _told_widths(cube: xr.Dataset, before: xr.Dataset) -> xr.Dataset:
    """Say which widths that were given are not those of the PSF images that were given, too."""
    both = zip(cube.band.values, before.psf_fwhm.values, cube.psf_fwhm.values, strict=True)
    apart = [
        f"{name} {width:.3f}, now {image:.3f}"
        for name, width, image in both
        if abs(width / image - 1) > _WIDTHS_AGREE
    ]
    if not apart:
        return cube
    text = f"PSF images were given and go before widths [arcsec]: {', '.join(apart)}"
    return warn(cube, "HC-P31", text)


def _with_chosen_psf(cube: xr.Dataset, psf: str | Path) -> xr.Dataset:
    """Return the cube with the PSFs that a word or a file stands for."""
    if psf == "gaussian":
        return cube
    if psf in SURVEYS:
        return with_survey_psf(cube, str(psf), required=True)
    with located(Path(psf)):
        return with_psf(cube, open_psf(psf))
