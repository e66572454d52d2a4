"""The images of a field on one pixel grid, with the noise and the PSFs that are known of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from hstcube.assembly.psfs import PSFChoice, of_these, with_psfs
from hstcube.core.stack import stack_bands
from hstcube.core.state import note
from hstcube.files.fields import by_unit, grid_of, read_images, require_one_grid
from hstcube.noise.poisson import with_electrons
from hstcube.phot.units import to_flux
from hstcube.surveys.models import with_noise_of_errors, with_survey_noise

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import xarray as xr

    from hstcube.files.fields import Observed
    from hstcube.surveys.names import FieldFiles

__all__ = ["How", "open_on_one_grid"]


class How(NamedTuple):
    """How images are opened; see `open_field`."""

    psf_fwhm: Mapping[str, float] | None = None
    psf: PSFChoice = None
    chunks: Mapping[str, int] | None = None
    units: Any = None

    def of(self, names: Sequence[str]) -> How:
        """Return the same with the widths and PSFs of these bands only."""
        widths = self.psf_fwhm or {}
        mine = {name: widths[name] for name in names if name in widths}
        return self._replace(psf_fwhm=mine, psf=of_these(self.psf, names))


def open_on_one_grid(files: FieldFiles, bands: Sequence[str] | None, how: How) -> xr.Dataset:
    """Open images of one pixel grid, in the units of the files or in those that are wanted."""
    if how.units is None:
        return _open_alike(files, bands, how)
    groups = by_unit(files, bands).values()
    if len(groups) > 1:
        require_one_grid(files, {names[0]: grid_of(files, names[0]) for names in groups})
    pieces = [_open_alike(files, names, how.of(names)) for names in groups]
    fluxes = [to_flux(piece, how.units) for piece in with_electrons(pieces)]
    return fluxes[0] if len(fluxes) == 1 else stack_bands(fluxes)


def _open_alike(files: FieldFiles, bands: Sequence[str] | None, how: How) -> xr.Dataset:
    """Open images of one unit, with the noise and the PSFs that are known of them."""
    observed = read_images(files, bands=bands, psf_fwhm=how.psf_fwhm, chunks=how.chunks)
    return with_psfs(_with_noise(observed), observed, files, how.psf, how.psf_fwhm)


def _with_noise(observed: Observed) -> xr.Dataset:
    """Return a cube with the noise that is known of its survey's own images, or say it is white."""
    cube = with_survey_noise(observed.cube) if observed.own else observed.cube
    if "noise_scale" not in cube.coords:
        cube = with_noise_of_errors(cube, observed.errors)
    if "noise_scale" in cube.coords:
        return cube
    bands = ", ".join(cube.band.values)
    return note(cube, "HC-N20", f"{bands}: the noise is taken as white, for no table knows it")
