"""Bins, photometry, noise and SED input of a cube: what the commands of these names do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hstcube.core.state import warn
from hstcube.errors import RecipeError
from hstcube.files.tables import read_table, table_bytes, write_table
from hstcube.fits.local import as_path
from hstcube.fits.reads import keeps
from hstcube.fits.writing import require_free_names, write_set
from hstcube.inputs.choices import require_choice
from hstcube.noise.calibration import calibrate_noise
from hstcube.noise.description import with_noise
from hstcube.noise.empty_apertures import noise_check
from hstcube.phot.bins import Mode, bin_pixels
from hstcube.phot.groups import of_bands
from hstcube.phot.table import photometry
from hstcube.phot.units import Law, deredden
from hstcube.pipeline.sources import groups_bytes, open_groups, open_source, open_with_maps
from hstcube.sed import Code, each_pixel, sed_files
from hstcube.sed.catalogue import FLOOR

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import xarray as xr
    from astropy.table import QTable, Table

    from hstcube.phot.groups import Pixels

__all__ = ["Bins", "NoiseTest", "Photometry", "bin_cube", "check_noise", "export_cube", "phot_cube"]


class Bins(NamedTuple):
    """A map of bins (y, x), and the files that were written."""

    bins: xr.DataArray
    files: list[Path]


class Photometry(NamedTuple):
    """A table of fluxes, a row a group, and its file."""

    table: QTable
    files: list[Path]


class NoiseTest(NamedTuple):
    """A table of `noise_check`, the number of fields in it, and the files that were written."""

    table: Table
    fields: int
    files: list[Path]


@keeps("source")
def bin_cube(
    source: str | Path,
    out: str | Path = "bins.fits",
    *,
    field: str | None = None,
    scale: str | None = None,
    snr: float = 5.0,
    bands: Sequence[str] | None = None,
    mode: Mode = "all",
    sed_shape: float | None = None,
    min_area: Any = "auto",
    overwrite: bool = False,
) -> Bins:
    """Put the pixels of a cube's mask into bins; write their map and a picture.

    Parameters
    ----------
    source, field, scale
        As in `open_source`.
    out : path
        The map of bins (FITS); beside it the picture (.png).
    snr, bands, mode, sed_shape, min_area
        As in `bin_pixels`; "auto" makes bins as large as the PSF, where its width is known.
    overwrite : bool
        Replace files that exist.

    Returns
    -------
    Bins

    Raises
    ------
    HstCubeError
        As `open_source` and `bin_pixels`.
    WriteError
        If a file exists; nothing is computed then.
    """
    from hstcube.plots.cube import figure_bytes
    from hstcube.plots.maps import bin_map

    out = as_path(out)
    picture = out.with_suffix(".png")
    require_free_names([out, picture], overwrite=overwrite)
    cube = open_source(source, field=field, scale=scale)
    bins = bin_pixels(
        cube,
        snr=snr,
        bands=bands,
        mode=mode,
        sed_shape=sed_shape,
        min_area=_area(cube, bands, min_area),
    )
    files = {out: groups_bytes(bins), picture: figure_bytes(bin_map(cube, bins))}
    return Bins(bins, write_set(files, overwrite=overwrite))


@keeps("source", "groups", "labels")
def phot_cube(
    source: str | Path,
    out: str | Path = "phot.ecsv",
    *,
    field: str | None = None,
    scale: str | None = None,
    groups: str | Path | None = None,
    labels: str | Path | None = None,
    ebv: float | None = None,
    law: Law = "F19",
    total: bool = False,
    partial: bool = False,
    covariance: bool = False,
    overwrite: bool = False,
) -> Photometry:
    """Measure fluxes and errors of the object, of bins, or of all objects of a map; write a table.

    Parameters
    ----------
    source, field, scale
        As in `open_source`.
    out : path
        The table, as in `write_table`.
    groups, labels : path, optional
        One of them, as in `open_groups`; objects of `labels` are measured beyond the mask too.
    ebv, law
        Dust of the Milky Way to correct for, as in `deredden`.
    total, partial, covariance : bool
        As in `photometry`.
    overwrite : bool
        Replace a file that exists.

    Returns
    -------
    Photometry

    Raises
    ------
    HstCubeError
        As `open_source`, `open_groups` and `photometry`.
    WriteError
        If the file exists; nothing is computed then.
    """
    require_choice("law", law, Law, code="HC-B30")
    require_free_names([as_path(out)], overwrite=overwrite)
    cube = open_source(source, field=field, scale=scale)
    chosen = open_groups(cube, groups=groups, labels=labels)
    cube = cube if ebv is None else deredden(cube, ebv, law=law)
    pixels: Pixels = "mask" if labels is None else "data"
    how: dict[str, Any] = {"partial": partial, "total": total, "covariance": covariance}
    table = photometry(cube, chosen, pixels=pixels, **how)
    return Photometry(table, [write_table(table, out, overwrite=overwrite)])


@keeps("folder")
def check_noise(
    folder: str | Path,
    out: str | Path = "noise.png",
    *,
    fields: Sequence[str] = (),
    scale: str | None = None,
    measure: bool = False,
    overwrite: bool = False,
) -> NoiseTest:
    """Compare the noise that is known of fields with empty apertures; write a table and a picture.

    Parameters
    ----------
    folder : path
        Of stamps.
    out : path
        The picture; beside it the table (.ecsv).
    fields : sequence of str
        All of the folder when empty.
    scale : str, optional
        As in `open_field`.
    measure : bool
        Measure the noise on these fields (`calibrate_noise`); else it is that of their cubes, as a
        run has it: of their survey where it is known, else white.
    overwrite : bool
        Replace files that exist.

    Returns
    -------
    NoiseTest

    Raises
    ------
    HstCubeError
        As `open_field`, `with_noise` and `noise_check`.
    WriteError
        If a file exists; nothing is computed then.
    """
    from hstcube.plots.cube import figure_bytes
    from hstcube.plots.sky import noise_curve

    out = as_path(out)
    listed = out.with_suffix(".ecsv")
    require_free_names([out, listed], overwrite=overwrite)
    cubes, maps = open_with_maps(folder, fields=fields, scale=scale)
    if measure:
        known = calibrate_noise(cubes, background=maps)
        cubes = [with_noise(cube, known) for cube in cubes]
    table = noise_check(cubes, background=maps)
    files = {out: figure_bytes(noise_curve(table)), listed: table_bytes(table, listed)}
    return NoiseTest(table, len(cubes), write_set(files, overwrite=overwrite))


@keeps("source", "groups")
def export_cube(
    source: str | Path,
    code: Code,
    out: str | Path | None = None,
    *,
    field: str | None = None,
    scale: str | None = None,
    snr: float | None = None,
    pixels: bool = False,
    groups: str | Path | None = None,
    redshift: Any = None,
    min_area: Any = "auto",
    floor: float = FLOOR,
    curves: Mapping[str, str | Path] | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Write what an SED-fitting code needs to start, and the map of the groups that it fits.

    Parameters
    ----------
    source, field, scale
        As in `open_source`.
    code, floor, curves
        As in `to_sed`.
    redshift : float or path, optional
        As in `to_sed`; or the file of a table with columns id and z.
    out : path, optional
        The folder; named like the code when not given.
    snr : float, optional
        Fit bins that reach this signal to noise in every band, instead of one object,
    min_area
        and this area, as in `bin_pixels`;
    pixels : bool
        or every pixel of the mask;
    groups : path, optional
        or the groups of a map on the cube's grid. One of the three at most.
    overwrite : bool
        Replace files that exist.

    Returns
    -------
    list of Path
        What was written.

    Raises
    ------
    RecipeError
        If there is no such code, or more than one of `snr`, `pixels` and `groups` is given.
    HstCubeError
        As `open_source` and `to_sed`.
    """
    require_choice("code", code, Code, code="HC-B30")
    if sum((snr is not None, pixels, groups is not None)) > 1:
        raise RecipeError(
            "HC-B22", "there are several choices of what is to be fitted", "choose one of them"
        )
    if snr is None and min_area != "auto":
        reason = "an area that bins have at least is asked for, and no bins"
        raise RecipeError("HC-B22", reason, "ask for some with [[--bins|snr=]]")
    out = Path(code) if out is None else as_path(out)
    redshift = _redshifts(redshift)
    cube = open_source(source, field=field, scale=scale)
    if snr is not None:
        chosen = bin_pixels(cube, snr=snr, min_area=_area(cube, None, min_area))
    else:
        chosen = each_pixel(cube) if pixels else open_groups(cube, groups=groups)
    require_free_names([out / "groups.fits"], overwrite=overwrite)
    files = sed_files(cube, code, groups=chosen, redshift=redshift, floor=floor, curves=curves)
    files["groups.fits"] = groups_bytes(chosen)
    return write_set({out / name: data for name, data in files.items()}, overwrite=overwrite)


def _redshifts(given: Any) -> Any:
    """Return what `to_sed` takes: the table of a file."""
    if not isinstance(given, str | Path):
        return given
    try:
        return float(str(given))
    except ValueError:
        return read_table(given)


def _area(cube: xr.Dataset, bands: Sequence[str] | None, min_area: Any) -> Any:
    """Return what `bin_pixels` takes: the PSF's area, or none, with a word, if that is unknown."""
    if not (isinstance(min_area, str) and min_area == "auto"):
        return min_area
    widths = of_bands(cube, bands).psf_fwhm
    if bool(widths.notnull().all()):
        return "psf"
    names = ", ".join(widths.band.values[widths.isnull().values])
    text = f"bins may be smaller than the PSF, whose width is not known in {names}"
    warn(cube, "HC-P17", text)
    return None
