"""PSFs of a folder of stars, measured or shown: what `hstcube psf` does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hstcube.core.bands import band_name
from hstcube.files.fields import open_stars
from hstcube.files.psfs import open_psf, psf_bytes
from hstcube.files.tables import table_bytes
from hstcube.fits.local import as_path
from hstcube.fits.reads import keeps
from hstcube.fits.writing import require_free_names, write_set
from hstcube.matching.choice import chosen_among
from hstcube.matching.comparison import psf_quality
from hstcube.matching.kernels import matched_psf, matching_kernels
from hstcube.psf.stars import examine_stars, measure_psf, star_table
from hstcube.surveys.models import survey_psf

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr


__all__ = ["Kernels", "PSFs", "measure_psfs", "show_psfs"]

_SCALE = 0.06  # arcsec per pixel: of PSFs of which only the survey is named


class PSFs(NamedTuple):
    """PSFs (band, ky, kx), the stars that were examined for them, and the files written."""

    psf: xr.DataArray
    stars: xr.Dataset
    files: list[Path]


class Kernels(NamedTuple):
    """Kernels (band, ky, kx), the band or width that they match to, and the files written."""

    kernels: xr.DataArray
    to: str
    files: list[Path]


@keeps("stars")
def measure_psfs(
    stars: str | Path,
    out: str | Path,
    *,
    scale: str | None = None,
    bands: Sequence[str] | None = None,
    overwrite: bool = False,
) -> PSFs:
    """Measure the PSF of every band from stamps of stars; write PSFs, a picture and a table.

    Parameters
    ----------
    stars : path
        Folder of stamps, as for `open_stars`.
    out : path
        The FITS file of PSFs; beside it the stamps (.png), and what each star was used for (.ecsv).
    scale, bands
        As in `open_stars`.
    overwrite : bool
        Replace files that exist.

    Returns
    -------
    PSFs
        As `measure_psf` and `examine_stars` return them.

    Raises
    ------
    PSFError
        If no star can be used.
    WriteError
        If a file exists; nothing is computed then.
    """
    from hstcube.plots.cube import figure_bytes
    from hstcube.plots.psf import stars as draw_stars

    out = as_path(out)
    picture, listing = out.with_suffix(".png"), out.with_suffix(".ecsv")
    require_free_names([out, picture, listing], overwrite=overwrite)
    examined = examine_stars(open_stars(stars, scale=scale, bands=bands))
    psf = measure_psf(examined)
    files = {
        out: psf_bytes(psf),
        picture: figure_bytes(draw_stars(examined)),
        listing: table_bytes(star_table(examined), listing),
    }
    return PSFs(psf, examined, write_set(files, overwrite=overwrite))


@keeps("source")
def show_psfs(
    source: str | Path,
    out: str | Path = "kernels.png",
    *,
    to: str | None = None,
    overwrite: bool = False,
) -> Kernels:
    """Draw what matching with these PSFs achieves.

    Parameters
    ----------
    source : path
        FITS file of PSFs, or the name of a survey that the table that ships has PSFs of.
    out : path
        Picture of PSFs and kernels; beside it that of the curves of growth (``_growth``).
    to : str, optional
        The band, or the width ("0.6arcsec"), to match; the band that all others can be matched to
        when not given.
    overwrite : bool
        Replace files that exist.

    Returns
    -------
    Kernels
        As `matching_kernels` returns them.

    Raises
    ------
    FileError
        If there is neither such a file nor such a survey.
    PSFError
        As `matching_kernels`.
    """
    from hstcube.plots.cube import figure_bytes
    from hstcube.plots.psf import images, psf_curves

    out = as_path(out)
    curves = out.with_stem(f"{out.stem}_growth")
    require_free_names([out, curves], overwrite=overwrite)
    table = None if Path(source).exists() else survey_psf(str(source), _SCALE)
    psf = open_psf(source) if table is None else table
    if to is None:
        to = chosen_among(psf).name
    to = to if to.endswith("arcsec") else band_name(to)
    kernels = matching_kernels(psf, to=to)
    ratios = psf_curves(psf_quality(psf, to=to), psf_quality(matched_psf(psf, kernels), to=to))
    pictures = {out: figure_bytes(images(psf, kernels)), curves: figure_bytes(ratios)}
    return Kernels(kernels, to, write_set(pictures, overwrite=overwrite))
