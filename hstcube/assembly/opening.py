"""A field's images as one cube: read, given PSFs and noise, moved, and brought to one grid."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from hstcube.assembly.grids import Align, by_grid, open_on_several_grids, require_named
from hstcube.assembly.one_grid import How, open_on_one_grid
from hstcube.assembly.psfs import checked_choice, require_word
from hstcube.core.bands import each_once, names_apart, numbers_by_band, require_by_band
from hstcube.core.grids import Grid
from hstcube.errors import FileError, PSFError
from hstcube.files.fields import grid_of
from hstcube.files.headers import of_bands
from hstcube.files.products import find_products, open_products
from hstcube.fits.local import as_path, missing, split_extension
from hstcube.inputs.arrays import chunk_sizes
from hstcube.inputs.choices import require_choice
from hstcube.inputs.names import checked_name
from hstcube.inputs.quantities import short
from hstcube.phot.units import to_flux
from hstcube.regridding.resample import regrid
from hstcube.surveys.names import BandFiles, FieldFiles, find_field

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import xarray as xr

    from hstcube.assembly.psfs import PSFChoice
    from hstcube.fits.local import Extension

__all__ = ["Align", "open_bands", "open_field", "open_files"]


def open_field(
    folder: str | Path,
    field: str,
    *,
    scale: str | None = None,
    bands: Sequence[str] | None = None,
    psf_fwhm: Mapping[str, float] | None = None,
    psf: PSFChoice = "auto",
    chunks: Mapping[str, int] | int | Literal["auto"] | None = None,
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
    psf : "auto", "gaussian", name of a survey, path, DataArray, mapping of band to these, or None
        PSFs for the coordinate ``psf``: a file for `open_psf`, or what `measure_psf` returned; or
        one file a band, ``{"f606w": "FILE[EXT]"}``, with ``"others"`` for those that are not named
        (``"auto"``): models in the frame of the detector, as those of stpsf, are turned and
        drizzled as the header of the band's image says, and what was assumed is warned of.
        ``"auto"`` takes ``psf_{scale}.fits`` beside the images or the file that a field file names,
        else the table of the survey, unless widths are given, also by a field file or the card
        PSFFWHM. The name of a survey takes its table. ``"gaussian"`` and None: widths only. Where
        there are PSFs, ``psf_fwhm`` is their width.
    chunks : mapping, int or "auto", optional
        Open lazily with dask, in chunks of so many pixels: ``{"y": 1024, "x": 1024}``.
    images : str, optional
        Another place for the images; see `list_fields`.
    onto : str or Grid, optional
        The grid to bring the images to, by the area that pixels share (`regrid` with method
        "exact"): that of a band, ``"f160w"``, or of the images at a scale, ``"60mas"``, or any
        other. The coarsest scale there is, when not given, for "mixed"; images that lie on several
        grids are an error, else.
    align : {"report", "apply"}
        What to do about a band at one scale that lies elsewhere than itself at another
        (`check_alignment`): warn, or move the images of that scale (`apply_shifts`).
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

    Examples
    --------
    >>> import tempfile
    >>> import hstcube
    >>> folder = tempfile.mkdtemp()
    >>> _ = hstcube.to_fits(hstcube.example(), folder)
    >>> hstcube.open_field(folder, "demo", bands=["f606w", "f160w"]).sizes["band"]
    2
    """
    checked_name(field)
    require_choice("align", align, Align)
    require_word(psf)
    products = find_products(as_path(folder), field)
    try:
        files = find_field(folder, field, scale=scale, images=images)
    except FileError:
        if not products or images is not None:
            raise
        _require_no_psf(psf, psf_fwhm)
        cube = open_products(products, bands, chunk_sizes(chunks))
        if isinstance(onto, str):
            require_named(onto, cube.band.values.tolist(), Grid.of(cube))
        cube = regrid(cube, onto, method="exact") if isinstance(onto, Grid) else cube
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
    chunks: Mapping[str, int] | int | Literal["auto"] | None = None,
    onto: str | Grid | None = None,
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
    psf : "auto", "gaussian", name of a survey, path, DataArray, mapping of band to these, or None
        As in `open_field`.
    wht_kind : {"ivar", "rms", "variance", "exptime"}
        What the weight images hold; what times are worth is measured by the scatter of the pixels.
    hdu, wht_hdu : str, int or (str, int), optional
        The extensions of the images; else ``SCI`` and ``WHT`` where a file holds several, and
        ``ERR`` beside ``SCI`` in one file of JWST.
    chunks, onto, units
        As in `open_field`.

    Returns
    -------
    Dataset

    Raises
    ------
    HstCubeError
        As `open_field`.

    Examples
    --------
    >>> import tempfile
    >>> import hstcube
    >>> folder = tempfile.mkdtemp()
    >>> _ = hstcube.to_fits(hstcube.example(), folder)
    >>> pair = [f"{folder}/demo_f160w_{kind}.fits" for kind in ("sci", "wht")]
    >>> hstcube.open_bands({"f160w": tuple(pair)}, field="mine").zeropoint.item()
    25.94
    """
    require_by_band("files", files, "a science and a weight image")
    names = each_once(names_apart(files))
    by_name = partial(numbers_by_band, there=names)
    zeropoints = of_bands("zeropoint", by_name("mag", zeropoint, "zeropoint"), names)
    pivots = of_bands("pivot", by_name("AA", pivot, "pivot", above=0), names)
    times = of_bands("exposure", by_name("s", exposure, "exposure", above=0), names)
    entries = {}
    for name, pair in zip(names, files.values(), strict=True):
        sci, wht = _pair(name, pair)
        (sci_file, sci_hdu), (wht_file, own_hdu) = split_extension(sci), split_extension(wht)
        entries[name] = BandFiles(
            (sci_file,),
            (wht_file,),
            wht_kind if isinstance(wht_kind, str) else short(wht_kind),  # None is for releases
            hdu=sci_hdu if hdu is None else hdu,
            wht_hdu=own_hdu if wht_hdu is None else wht_hdu,
            zeropoint=zeropoints.get(name),
            pivot=pivots.get(name),
            exposure=times.get(name),
        )
    named = FieldFiles(checked_name(field), "", entries)
    return open_files(named, psf_fwhm=psf_fwhm, psf=psf, chunks=chunks, onto=onto, units=units)


def _pair(name: str, given: Any) -> tuple[str | Path, str | Path]:
    if isinstance(given, Sequence) and not isinstance(given, str) and len(given) == 2:  # noqa: PLR2004
        return given[0], given[1]
    reason = f"this is {short(given)}, not its science and its weight image"
    raise FileError("HC-F01", reason, f"give two paths[[|: {{'{name}': (sci, wht)}}]]", band=name)


def open_files(
    files: FieldFiles,
    *,
    bands: Sequence[str] | None = None,
    psf_fwhm: Mapping[str, float] | None = None,
    psf: PSFChoice = "auto",
    chunks: Mapping[str, int] | int | Literal["auto"] | None = None,
    onto: str | Grid | None = None,
    align: Align = "report",
    units: Any = None,
) -> xr.Dataset:
    """Open what `find_field` found, or a field file names; see `open_field`."""
    require_choice("align", align, Align)
    if not files.bands:
        what = f"image of field {files.field}: no band is named"
        raise missing(what, "name a band, with its sci and its wht image")
    psf = checked_choice(psf, list(files.bands))
    widths = numbers_by_band("arcsec", psf_fwhm, "psf_fwhm", there=files.bands, nan=True)
    how = How(widths, psf, chunk_sizes(chunks), units)
    if onto is not None:
        files = by_grid(files, bands, onto)
    if files.parts:
        return open_on_several_grids(files, bands, how, onto, align)
    if isinstance(onto, str):
        require_named(onto, list(files.bands), grid_of(files), files.scale)
    cube = open_on_one_grid(files, bands, how)
    return regrid(cube, onto, method="exact") if isinstance(onto, Grid) else cube


def _require_no_psf(psf: PSFChoice, psf_fwhm: Mapping[str, float] | None) -> None:
    """Refuse PSFs and widths of products, which hold those that they have."""
    if psf_fwhm or not (psf is None or (isinstance(psf, str) and psf in ("auto", "gaussian"))):
        raise PSFError(
            "HC-P09",
            "these are products of hstcube: their PSFs and widths are in their files",
            "give PSFs when the cube is made: [[run --psf FILE|open_field(IMAGES, field, psf=)]]",
        )
