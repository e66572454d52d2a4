"""A field's images as one cube: read, given PSFs and noise, moved, and brought to one grid."""

from __future__ import annotations

import warnings
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import xarray as xr

from hstcube.core.bands import names_apart, numbers_by_band
from hstcube.core.grids import Grid
from hstcube.core.rules import PLANES
from hstcube.core.stack import stack_bands
from hstcube.core.state import note
from hstcube.errors import FileError, HstCubeWarning
from hstcube.files.fields import by_unit, each_once, grid_of, read_images, wanted_bands
from hstcube.files.headers import of_bands
from hstcube.files.products import find_products, open_products
from hstcube.files.psfs import open_psf
from hstcube.fits.local import as_path, missing, split_extension
from hstcube.fits.opening import located
from hstcube.inputs.choices import require_choice
from hstcube.inputs.names import checked_name
from hstcube.noise.poisson import with_electrons
from hstcube.phot.units import to_flux
from hstcube.psf.preparation import told_widths, with_psf
from hstcube.regridding.align import apply_shifts, check_alignment, warn_of_shifts
from hstcube.regridding.resample import regrid
from hstcube.surveys.known import SURVEYS
from hstcube.surveys.models import with_noise_of_errors, with_survey_noise, with_survey_psf
from hstcube.surveys.names import BandFiles, FieldFiles, find_field

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from hstcube.files.fields import Observed
    from hstcube.fits.local import Extension

__all__ = ["PSF_WORDS", "Align", "PSFChoice", "open_bands", "open_field", "open_files"]

PSFChoice = str | Path | xr.DataArray | None
PSF_WORDS = ("auto", "gaussian", *SURVEYS)
Align = Literal["report", "apply"]


class _How(NamedTuple):
    """How the images of one scale are opened; see `open_field`."""

    psf_fwhm: Mapping[str, float] | None = None
    psf: PSFChoice = None
    chunks: Mapping[str, int] | None = None
    units: Any = None


def open_field(
    folder: str | Path,
    field: str,
    *,
    scale: str | None = None,
    bands: Sequence[str] | None = None,
    psf_fwhm: Mapping[str, float] | None = None,
    psf: PSFChoice = "auto",
    chunks: Mapping[str, int] | None = None,
    images: str | None = None,
    onto: str | Grid | None = None,
    align: Align = "report",
    units: Any = None,
) -> xr.Dataset:
    """Open the images of one field as a cube.

    Parameters
    ----------
    folder : path
        Holds ``{field}_{scale}_{filter}_{sci,wht}.fits`` (or .gz, .fz), itself or in its
        ``new_stamps``; or files with the names of a release, or is one (see `list_fields`); or
        products of `to_fits`, which come back as the cube that was written.
    field : str
        What the file names begin with.
    scale : str, optional
        The label of the pixel scale in the file names, which must be that of the WCS: "60mas" when
        not given, or a release's only one. "mixed" takes each band at its finest, on one grid.
    bands : sequence of str, optional
        Only these.
    psf_fwhm : mapping of band to float or Quantity, optional
        FWHM of the PSF [arcsec]; else from the header or the table of the survey, or NaN.
    psf : "auto", "gaussian", name of a survey, path, DataArray or None
        PSFs for the coordinate ``psf``: a file for `open_psf`, or what `measure_psf` returned.
        ``"auto"`` takes ``psf_{scale}.fits`` beside the images or the file that a field file names,
        else the table of the survey, unless widths are given, also by a field file or the card
        PSFFWHM. The name of a survey takes its table. ``"gaussian"`` and None: widths only. Where
        there are PSFs, ``psf_fwhm`` is their width.
    chunks : mapping, optional
        Open lazily with dask, in chunks of so many pixels: ``{"y": 1024, "x": 1024}``.
    images : str, optional
        Another place for the images; see `list_fields`.
    onto : str or Grid, optional
        The grid to bring the images to, by the area that pixels share (`regrid` with method
        "exact"): that of the images at a scale, such as ``"60mas"``, or any other. The coarsest
        scale there is, when not given, for "mixed".
    align : {"report", "apply"}
        What to do about images at one scale that lie elsewhere than those at another
        (`check_alignment`): warn, or move them (`apply_shifts`).
    units : str or unit of astropy, optional
        The unit of the cube, a flux density such as "uJy", by the zero points (`to_flux`): bands of
        different units become one cube. As the files are, when not given.

    Returns
    -------
    Dataset
        ``sci`` [units of the files, per pixel], ``wht`` (inverse variance) and ``mask`` (has data).

    Raises
    ------
    FileError
        If a file is missing, damaged or foreign.
    BandError, GridError, CubeError
        If bands, grids or pixels do not make a cube.
    RecipeError
        If there is no such choice of `psf` or `align`.
    """
    checked_name(field)
    _require_choices(psf, align)
    products = find_products(as_path(folder), field)
    try:
        files = find_field(folder, field, scale=scale, images=images)
    except FileError:
        if not products or images is not None:
            raise
        cube = _chunked(open_products(products, bands), chunks)
        return cube if units is None else to_flux(cube, units)
    return open_files(
        files,
        bands=bands,
        psf_fwhm=psf_fwhm,
        psf=psf,
        chunks=chunks,
        onto=onto,
        align=align,
        units=units,
    )


def open_bands(
    files: Mapping[str, tuple[str | Path, str | Path]],
    *,
    field: str,
    zeropoint: Mapping[str, Any] | None = None,
    psf_fwhm: Mapping[str, Any] | None = None,
    pivot: Mapping[str, Any] | None = None,
    exposure: Mapping[str, Any] | None = None,
    psf: PSFChoice = "auto",
    wht_kind: str = "ivar",
    hdu: Extension | None = None,
    wht_hdu: Extension | None = None,
    chunks: Mapping[str, int] | None = None,
    units: Any = None,
) -> xr.Dataset:
    """Open images with names of their own as a cube.

    Parameters
    ----------
    files : mapping
        Filter name to the paths of the science and the weight image, which may be one file; the
        extension may stand behind them: ``"jw_i2d.fits[SCI,1]"``. Of one filter of two cameras the
        other than the table's first is named with its camera: ``"f606w"`` and ``"f606w-uvis"``.
    field : str
        Name of the field.
    zeropoint : mapping, optional
        AB magnitude of one unit of the images (of one electron per second, where they are in
        electrons), a number or a Quantity; else from the header or the survey's table.
    psf_fwhm : mapping, optional
        FWHM [arcsec], numbers or Quantities.
    pivot : mapping, optional
        Pivot wavelengths [Angstrom], numbers or Quantities, of filters that no table has.
    exposure : mapping, optional
        Exposure times [s], numbers or Quantities; else from the header: TEXPTIME, or EXPTIME. The
        photon noise that `homogenize` adds is by them, and images in electrons are divided by them.
    psf : "auto", "gaussian", name of a survey, path, DataArray or None
        As in `open_field`.
    wht_kind : {"ivar", "rms", "variance", "exptime"}
        What the weight images hold; what times are worth is measured by the scatter of the pixels.
    hdu, wht_hdu : str, int or (str, int), optional
        The extensions of the images; else ``SCI`` and ``WHT`` where a file holds several, and
        ``ERR`` beside ``SCI`` in one file of JWST.
    chunks, units
        As in `open_field`.

    Returns
    -------
    Dataset

    Raises
    ------
    HstCubeError
        As `open_field`.
    """
    names = each_once(names_apart(files))
    by_name = partial(numbers_by_band, there=names)
    zeropoints = of_bands("zeropoint", by_name("mag", zeropoint, "zeropoint"), names)
    pivots = of_bands("pivot", by_name("AA", pivot, "pivot", above=0), names)
    times = of_bands("exposure", by_name("s", exposure, "exposure", above=0), names)
    entries = {}
    for name, (sci, wht) in zip(names, files.values(), strict=True):
        (sci_file, sci_hdu), (wht_file, own_hdu) = split_extension(sci), split_extension(wht)
        entries[name] = BandFiles(
            (sci_file,),
            (wht_file,),
            str(wht_kind),  # None is for releases
            hdu=sci_hdu if hdu is None else hdu,
            wht_hdu=own_hdu if wht_hdu is None else wht_hdu,
            zeropoint=zeropoints.get(name),
            pivot=pivots.get(name),
            exposure=times.get(name),
        )
    named = FieldFiles(checked_name(field), "", entries)
    return open_files(named, psf_fwhm=psf_fwhm, psf=psf, chunks=chunks, units=units)


def open_files(
    files: FieldFiles,
    *,
    bands: Sequence[str] | None = None,
    psf_fwhm: Mapping[str, float] | None = None,
    psf: PSFChoice = "auto",
    chunks: Mapping[str, int] | None = None,
    onto: str | Grid | None = None,
    align: Align = "report",
    units: Any = None,
) -> xr.Dataset:
    """Open what `find_field` found, or a field file names; see `open_field`."""
    _require_choices(psf, align)
    if not files.bands:
        what = f"image of field {files.field}: no band is named"
        raise missing(what, "name a band, with its sci and its wht image")
    widths = numbers_by_band("arcsec", psf_fwhm, "psf_fwhm", there=files.bands, nan=True)
    how = _How(widths, psf, chunks, units)
    if files.parts:
        return _open_mixed(files, bands, how, onto, align)
    if isinstance(onto, str) and onto != files.scale:
        raise _no_such_scale(onto, [files.scale] if files.scale else [])
    cube = _open_scale(files, bands, how)
    return regrid(cube, onto, method="exact") if isinstance(onto, Grid) else cube


def _require_choices(psf: PSFChoice, align: str) -> None:
    require_choice("align", align, Align)
    if isinstance(psf, str) and not _may_be_a_file(psf):
        require_choice("psf", psf, PSF_WORDS)


def _may_be_a_file(word: str) -> bool:
    """Say whether a word is a path, rather than a choice that is misspelt."""
    path = Path(word)
    return path.name != word or path.suffix != "" or path.exists()


def _chunked(cube: xr.Dataset, chunks: Mapping[str, int] | None) -> xr.Dataset:
    return cube.assign({name: cube[name].chunk(chunks) for name in PLANES} if chunks else {})


# -- images at one scale


def _open_scale(files: FieldFiles, bands: Sequence[str] | None, how: _How) -> xr.Dataset:
    """Open the images of one pixel scale, in the units of the files or in those that are wanted."""
    if how.units is None:
        return _open_alike(files, bands, how)
    groups = by_unit(files, bands).values()
    pieces = [_open_alike(files, names, _of_bands(how, names)) for names in groups]
    fluxes = [to_flux(piece, how.units) for piece in with_electrons(pieces)]
    return fluxes[0] if len(fluxes) == 1 else stack_bands(fluxes)


def _open_alike(files: FieldFiles, bands: Sequence[str] | None, how: _How) -> xr.Dataset:
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
    return told_widths(known, cube) if observed.widths else known


def _with_noise(observed: Observed) -> xr.Dataset:
    """Return a cube with the noise that is known of its survey's own images, or say it is white."""
    cube = with_survey_noise(observed.cube) if observed.own else observed.cube
    if "noise_scale" not in cube.coords:
        cube = with_noise_of_errors(cube, observed.errors)
    if "noise_scale" in cube.coords:
        return cube
    bands = ", ".join(cube.band.values)
    return note(cube, "HC-N20", f"{bands}: the noise is taken as white, for no table knows it")


def _with_chosen_psf(cube: xr.Dataset, psf: str | Path) -> xr.Dataset:
    """Return the cube with the PSFs that a word or a file stands for."""
    if psf == "gaussian":
        return cube
    if psf in SURVEYS:
        return with_survey_psf(cube, str(psf), required=True)
    with located(Path(psf)):
        return with_psf(cube, open_psf(psf))


# -- images at several scales


def _open_mixed(
    files: FieldFiles,
    bands: Sequence[str] | None,
    how: _How,
    onto: str | Grid | None,
    align: Align,
) -> xr.Dataset:
    """Open each band at its finest scale, see whether the scales agree on the sky, and regrid."""
    names = wanted_bands(files, bands)
    home = _home(files, onto)
    pieces = []
    for part, mine in _shares(files, names):
        cube = _open_scale(part, mine, _of_bands(how, mine))
        if part is not home and how.chunks is None:
            cube = _aligned(cube, part, home, names, align)
        pieces.append(cube)
    grid = onto if isinstance(onto, Grid) else grid_of(home)
    return stack_bands([regrid(cube, grid, method="exact") for cube in pieces])


def _home(files: FieldFiles, onto: str | Grid | None) -> FieldFiles:
    """Return the part that others are compared with: the one whose grid is wanted, or the last."""
    if not isinstance(onto, str):
        return files.parts[-1]
    for part in files.parts:
        if part.scale == onto:
            return part
    raise _no_such_scale(onto, [part.scale for part in files.parts])


def _shares(files: FieldFiles, names: list[str]) -> Iterator[tuple[FieldFiles, list[str]]]:
    """Yield the parts, and the bands that are taken from each."""
    left = names
    for part in files.parts:
        mine = [name for name in left if name in part.bands]
        left = [name for name in left if name not in part.bands]
        if mine:
            yield part, mine
    if left:
        files.one(left[0], "sci")  # raises, saying what there is


def _of_bands(how: _How, names: list[str]) -> _How:
    """Return `how` with the widths of these bands only."""
    widths = how.psf_fwhm or {}
    return how._replace(psf_fwhm={name: widths[name] for name in names if name in widths})


def _aligned(
    cube: xr.Dataset, part: FieldFiles, home: FieldFiles, names: list[str], align: Align
) -> xr.Dataset:
    """Say whether one scale lies elsewhere than another, or move it.

    They are compared in the bands of `names` that are there at both scales; in any, else.
    """
    both = part.bands.keys() & home.bands.keys()
    if not both:
        return cube
    shared = both & {*names} or both
    shifts = _shifts(part, home, [name for name in part.bands if name in shared])
    if align == "apply" and shifts.shifted.any():
        return apply_shifts(cube, shifts)
    return warn_of_shifts(cube, shifts, scales=(part.scale, home.scale))


def _shifts(fine: FieldFiles, coarse: FieldFiles, bands: list[str]) -> xr.Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HstCubeWarning)  # of images that are only compared
        return check_alignment(_open_scale(fine, bands, _How()), _open_scale(coarse, bands, _How()))


def _no_such_scale(onto: str, labels: list[str]) -> FileError:
    listed = ", ".join(repr(label) for label in labels) or "a Grid"
    fix = f"choose [[--onto|onto=]] from {listed}"
    return missing(f"image at {onto!r} to take the grid from", fix)
