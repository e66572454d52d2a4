"""FITS in: the images of a field as a cube, segmentation maps, sky levels, and our own products."""

from __future__ import annotations

import contextlib
import math
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import xarray as xr

from hstcube.core.bands import band as find_band
from hstcube.core.bands import band_name
from hstcube.core.cube import build
from hstcube.core.grids import Grid
from hstcube.core.rules import KNOWN_UNITS, PLANES
from hstcube.core.stack import stack_bands
from hstcube.core.state import record, warn
from hstcube.errors import (
    BandError,
    CubeError,
    FileError,
    GridError,
    HstCubeError,
    HstCubeWarning,
    LabelError,
    NoiseError,
    PSFError,
    RecipeError,
)
from hstcube.files.products import find_products, open_products
from hstcube.files.psfs import open_psf, survey_psf
from hstcube.fits.images import (
    Plane,
    chosen_unit,
    image_shape,
    image_unit,
    inverse_variance,
    odd_pixels,
    read_plane,
    require_whole,
)
from hstcube.fits.opening import located, opened
from hstcube.noise.description import with_noise
from hstcube.phot.units import AGREE, header_zeropoints
from hstcube.psf.preparation import attached, with_psf
from hstcube.regridding.align import apply_shifts, check_alignment, warn_of_shifts
from hstcube.regridding.labels import NOT_COVERED
from hstcube.regridding.resample import regrid
from hstcube.surveys.names import (
    BandFiles,
    FieldFiles,
    checked_name,
    find_field,
    list_fields,
    survey_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from astropy.io import fits

__all__ = [
    "Align",
    "PSFChoice",
    "open_bands",
    "open_field",
    "open_files",
    "open_labels",
    "open_stars",
]

NOT_AN_INTEGER = -2

PSFChoice = str | Path | xr.DataArray | None
Align = Literal["report", "apply"]

_UNITS = {
    "ELECTRONS/S": "electron s-1",
    "ELECTRON/S": "electron s-1",
    "E-/S": "electron s-1",
    "E/S": "electron s-1",
    "ELECTRON S-1": "electron s-1",
    "UJY": "uJy",
    "NJY": "nJy",
    "JY": "Jy",
    "MJY/SR": "MJy sr-1",
}
_LARGEST_FLOAT32_ID = 2**24  # beyond, neighbouring ids are one number


def open_field(
    folder: str | Path,
    field: str,
    *,
    scale: str = "60mas",
    bands: Sequence[str] | None = None,
    psf_fwhm: Mapping[str, float] | None = None,
    psf: PSFChoice = "auto",
    chunks: Mapping[str, int] | None = None,
    images: str | None = None,
    onto: str | Grid | None = None,
    align: Align = "report",
) -> xr.Dataset:
    """Open the images of one field as a cube.

    Parameters
    ----------
    folder : path
        Holds ``{field}_{scale}_{filter}_{sci,wht}.fits`` (or .gz, .fz), itself or in its
        ``new_stamps``; or products of `to_fits`, which come back as the cube that was written.
    field : str
        What the file names begin with.
    scale : str
        The label of the pixel scale in the file names. The scale itself is read from the WCS and
        must agree. ``"mixed"`` takes each band at the finest scale there is, and brings all to one
        grid.
    bands : sequence of str, optional
        Only these.
    psf_fwhm : mapping of band to float, optional
        FWHM of the PSF [arcsec]; else from the header or the table of the survey, or NaN.
    psf : "auto", "gaussian", "xdf", path, DataArray or None
        PSFs for the coordinate ``psf``: a file for `open_psf`, or what `measure_psf` returned.
        ``"auto"`` takes ``psf_{scale}.fits`` beside the images or the file that a field file names,
        else the table of the survey (which leaves ``psf_fwhm`` as it is), unless widths are given.
        ``"gaussian"`` and None: widths only.
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
    """
    checked_name(field)
    products = find_products(Path(folder), field)
    try:
        files = find_field(folder, field, scale=scale, images=images)
    except FileError:
        if not products or images is not None:
            raise
        cube = open_products(products, bands)
        return (
            cube
            if chunks is None
            else cube.assign({name: cube[name].chunk(chunks) for name in PLANES})
        )
    return open_files(
        files, bands=bands, psf_fwhm=psf_fwhm, psf=psf, chunks=chunks, onto=onto, align=align
    )


def open_bands(
    files: Mapping[str, tuple[str | Path, str | Path]],
    *,
    field: str,
    zeropoint: Mapping[str, float] | None = None,
    psf_fwhm: Mapping[str, float] | None = None,
    psf: PSFChoice = "auto",
    wht_kind: str = "ivar",
    chunks: Mapping[str, int] | None = None,
) -> xr.Dataset:
    """Open images with names of their own as a cube.

    Parameters
    ----------
    files : mapping
        Filter name to the paths of the science and the weight image.
    field : str
        Name of the field.
    zeropoint : mapping, optional
        AB magnitude of one unit of the images; else from the header or the survey's table.
    psf_fwhm : mapping, optional
        FWHM [arcsec].
    psf : "auto", "gaussian", "xdf", path, DataArray or None
        As in `open_field`.
    wht_kind : {"ivar", "rms", "variance"}
        What the weight images hold.
    chunks : mapping, optional
        As in `open_field`.

    Returns
    -------
    Dataset

    Raises
    ------
    HstCubeError
        As `open_field`.
    """
    _each_once([band_name(name) for name in files])
    entries = {
        band_name(name): BandFiles(
            (Path(sci),), (Path(wht),), wht_kind, (zeropoint or {}).get(name)
        )
        for name, (sci, wht) in files.items()
    }
    return open_files(
        FieldFiles(checked_name(field), "", entries), psf_fwhm=psf_fwhm, psf=psf, chunks=chunks
    )


def open_files(
    files: FieldFiles,
    *,
    bands: Sequence[str] | None = None,
    psf_fwhm: Mapping[str, float] | None = None,
    psf: PSFChoice = "auto",
    chunks: Mapping[str, int] | None = None,
    onto: str | Grid | None = None,
    align: Align = "report",
) -> xr.Dataset:
    """Open what `find_field` found, or a field file names; see `open_field`."""
    if files.parts:
        return _open_mixed(files, bands, psf_fwhm, psf, chunks, onto, align)
    if onto is None or onto == files.scale:
        return _open_scale(files, bands, psf_fwhm, psf, chunks)
    if isinstance(onto, str):
        raise _no_such_scale(onto, [files.scale] if files.scale else [])
    return regrid(_open_scale(files, bands, psf_fwhm, psf, chunks), onto, method="exact")


def _open_mixed(
    files: FieldFiles,
    bands: Sequence[str] | None,
    psf_fwhm: Mapping[str, float] | None,
    psf: PSFChoice,
    chunks: Mapping[str, int] | None,
    onto: str | Grid | None,
    align: Align,
) -> xr.Dataset:
    """Open each band at its finest scale, compare the scales where bands are there at both, and regrid."""
    if align not in get_args(Align):
        raise RecipeError(
            "HC-B22", f"there is no align {align!r}", "choose align= from 'report', 'apply'"
        )
    names = _each_once([band_name(name) for name in bands] if bands else list(files.bands))
    labels = [part.scale for part in files.parts]
    if isinstance(onto, str) and onto not in labels:
        raise _no_such_scale(onto, labels)
    home = files.parts[
        labels.index(onto) if isinstance(onto, str) else -1
    ]  # what the others are compared with
    widths = {band_name(name): width for name, width in (psf_fwhm or {}).items()}
    left, pieces = list(names), []
    for part in files.parts:
        mine = [name for name in left if name in part.bands]
        left = [name for name in left if name not in mine]
        if not mine:
            continue
        cube = _open_scale(
            part, mine, {name: widths[name] for name in mine if name in widths}, psf, chunks
        )
        both = [name for name in part.bands if name in home.bands]
        if part is not home and both and chunks is None:
            shared = [name for name in both if name in names] or both
            cube = _aligned(cube, part, home, shared, align)
        pieces.append(cube)
    if left:
        files.one(left[0], "sci")  # raises, saying what there is
    if not isinstance(onto, Grid):
        place = home.one(next(iter(home.bands)), "sci")
        onto = read_plane(place, "sci", lazy=True).grid
    return stack_bands([regrid(cube, onto, method="exact") for cube in pieces])


def _aligned(
    cube: xr.Dataset, part: FieldFiles, home: FieldFiles, bands: list[str], align: Align
) -> xr.Dataset:
    """Say whether one scale lies elsewhere than another, or move it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HstCubeWarning)  # of images that are only compared
        shifts = check_alignment(
            *(_open_scale(files, bands, None, None, None) for files in (part, home))
        )
    if align == "apply" and shifts.shifted.any():
        return apply_shifts(cube, shifts)
    return warn_of_shifts(cube, shifts, scales=(part.scale, home.scale))


def _no_such_scale(onto: str, labels: list[str]) -> FileError:
    listed = ", ".join(repr(label) for label in labels) or "a Grid"
    return FileError(
        "HC-F01",
        f"there are no images at {onto!r} to take the grid from",
        f"choose onto= from {listed}",
    )


def _open_scale(
    files: FieldFiles,
    bands: Sequence[str] | None,
    psf_fwhm: Mapping[str, float] | None,
    psf: PSFChoice,
    chunks: Mapping[str, int] | None,
) -> xr.Dataset:
    """Open the images of one pixel scale."""
    names = _each_once([band_name(name) for name in bands] if bands else list(files.bands))
    planes, notes = [], []
    for name in names:
        sci = read_plane(files.one(name, "sci"), "sci", band=name, lazy=chunks is not None)
        wht = read_plane(files.one(name, "wht"), "wht", band=name, lazy=chunks is not None)
        with located(files.one(name, "sci"), name):
            _check_band(name, sci.header)
            sci.grid.require(wht.grid, what="sci and wht")
            _check_scale(files.scale, sci.grid)
        with located(files.one(name, "wht"), name):
            _check_band(name, wht.header)
        planes.append((name, sci, wht))
    grid = planes[0][1].grid
    for name, sci, _ in planes:
        with located(files.one(name, "sci"), name):
            grid.require(sci.grid, what=f"{name} and {names[0]}")
    units, unit_notes = _common_units([(name, sci.header) for name, sci, _ in planes])
    notes += [
        *_file_notes(planes),
        *_camera_notes([(name, sci.header) for name, sci, _ in planes]),
        *unit_notes,
    ]
    state, sources, said = _band_state(files, planes, grid, psf_fwhm or {}, units)
    notes += said
    weights = []
    for name, _, wht in planes:
        with located(files.one(name, "wht"), name):
            weights.append(inverse_variance(wht.data, files.bands[name].wht_kind, name))
    if chunks is None:
        pairs = zip(planes, weights, strict=True)
        notes += [
            (code, f"{name}: {text}")
            for (name, sci, _), wht in pairs
            for code, text in odd_pixels(sci.data, wht)
        ]
    cube = _built(
        files,
        *_stacked([sci.data for _, sci, _ in planes], weights, chunks),
        bands=names,
        grid=grid,
        units=units,
        field=files.field,
        **state,
    )
    cube = record(cube, f"open_field({files.field!r}, {', '.join(names)}){sources}")
    for code, note in notes:
        cube = warn(cube, code, note)
    headers = [sci.header for _, sci, _ in planes]
    cube = _with_known_noise(cube, headers)
    if isinstance(psf, str) and psf == "auto" and psf_fwhm:
        return cube
    return _with_chosen_psf(cube, psf, files, headers)


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
    common = [name for name in found[0].bands if all(name in files.bands for files in found)]
    names = [band_name(name) for name in bands] if bands else common
    if not names:
        raise PSFError(
            "HC-P11", "there is no band that all stars have", "choose stars and bands=", str(folder)
        )
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", HstCubeWarning
        )  # of units and cameras: they are those of the fields
        return {files.field: open_files(files, bands=names, psf=None) for files in found}


def _with_known_noise(cube: xr.Dataset, headers: list[fits.Header]) -> xr.Dataset:
    """Return the cube with the noise of its survey, where the table has it at this pixel scale and for these bands."""
    if _is_xdf(headers) and cube.sci.attrs["units"] == KNOWN_UNITS[0]:
        with contextlib.suppress(NoiseError, BandError):
            return with_noise(cube, "xdf")
    return cube


def _is_xdf(headers: list[fits.Header]) -> bool:
    return all("eXtreme Deep Field" in str(header.get("XDFVER", "")) for header in headers)


def _with_chosen_psf(
    cube: xr.Dataset, psf: PSFChoice, files: FieldFiles, headers: list[fits.Header]
) -> xr.Dataset:
    """Return the cube with the PSFs that were asked for, or that are known of its files."""
    if isinstance(psf, xr.DataArray):
        return with_psf(cube, psf)
    if psf is None or psf == "gaussian":
        return cube
    if psf == "auto" and files.psf is not None:
        psf = files.psf
    if psf not in ("auto", "xdf"):
        with located(Path(psf)):
            return with_psf(cube, open_psf(psf))
    of_xdf = psf == "xdf" or _is_xdf(headers)
    known = (
        survey_psf("xdf", Grid.of(cube).scale, tuple(cube.band.values.tolist())) if of_xdf else None
    )
    if known is None and psf == "xdf":
        raise PSFError(
            "HC-P16",
            f"the table has no PSFs of XDF for {', '.join(cube.band.values)} at {Grid.of(cube).scale * 1000:.3g} mas",
            "measure them: hstcube psf measure STARS -o psf.fits, then --psf psf.fits",
        )
    return cube if known is None else record(attached(cube, known), "psf of xdf, from the table")


def _each_once(names: list[str]) -> list[str]:
    for name in names:
        if names.count(name) > 1:
            raise BandError(
                "HC-B02", f"the band is there twice: {', '.join(names)}", "name it once", band=name
            )
    return names


def _built(files: FieldFiles, *planes: Any, **how: Any) -> xr.Dataset:
    try:
        return build(*planes, **how)
    except HstCubeError as error:
        if error.band:
            error.at(file=str(files.one(error.band, "wht" if error.code == "HC-D10" else "sci")))
        raise


def open_labels(path: str | Path, *, hdu: str | int | None = None) -> xr.DataArray:
    """Open a segmentation map on its own grid.

    Parameters
    ----------
    path : path
    hdu : str or int, optional
        The extension; the only image, or the one called DATA, SEGMAP or SEG, when not given.

    Returns
    -------
    DataArray of int32, (y, x)
        0 is sky. Values that are not integers (maps that were interpolated) become -2 and are
        counted in ``attrs["interpolated"]``: they belong to nobody. NaN becomes -1, not covered.

    Raises
    ------
    FileError
        If the file is missing, damaged or foreign.
    LabelError
        If it holds ids too large to be told apart.
    GridError
        If its WCS cannot be used.
    """
    path = Path(path)
    with located(path), opened(path) as hdus:
        unit = image_unit(hdus, "labels", path) if hdu is None else chosen_unit(hdus, hdu)
        notes = require_whole(path, unit)
        shape = image_shape(unit)
        values = np.asarray(unit.data).reshape(shape)
        grid = Grid.from_header(unit.header, shape=shape)
        whole = np.where(np.isfinite(values), values, NOT_COVERED)
        largest = _LARGEST_FLOAT32_ID if values.dtype.name == "float32" else np.iinfo(np.int32).max
        if np.abs(whole).max(initial=0) > largest:
            raise LabelError(
                "HC-S05",
                f"holds ids up to {np.abs(whole).max():.0f}, beyond what {values.dtype.name} tells apart",
                "store the map as int32",
            )
        labels = np.rint(whole).astype(np.int32)
        interpolated = labels != whole
        negative = whole < 0
        labels[negative & np.isfinite(values)] = NOT_AN_INTEGER  # -1 has a meaning of ours
        labels[interpolated] = NOT_AN_INTEGER
        told = str(unit.header.get("RAF_ID", hdus[0].header.get("RAF_ID", ""))).strip()
    attrs: dict[str, Any] = {
        "interpolated": int(interpolated.sum()),
        "long_name": "segmentation map",
    }
    attrs |= {"central_id": int(told)} if told.isdecimal() else {}
    if lost := int((negative & np.isfinite(values)).sum()):
        notes.append(
            ("HC-S06", f"{lost} pixels of the map have negative labels; they belong to no object")
        )
    attrs |= {"notes": "\n".join(f"{code} {text}" for code, text in notes)} if notes else {}
    return xr.DataArray(labels, grid.coords(), ("y", "x"), "labels", attrs)


def _check_band(name: str, header: fits.Header) -> None:
    said = str(header.get("FILTER", "")).strip()
    if said and band_name(said) != name:
        raise BandError(
            "HC-B03",
            f"the header says FILTER = {said!r}, the file name {name}",
            "rename the file, or repair the card",
        )


def _check_scale(label: str, grid: Grid) -> None:
    if label.endswith("mas"):
        said = float(label[:-3])
        if abs(grid.scale * 1000 / said - 1) > 0.01:  # noqa: PLR2004
            raise GridError(
                "HC-W23",
                f"the name says {label}, the WCS {grid.scale * 1000:.2f} mas per pixel",
                "rename the file, or repair its WCS",
            )


def _file_notes(planes: list[tuple[str, Plane, Plane]]) -> list[tuple[str, str]]:
    """Say what is odd about the files, each thing once with the bands it was found in."""
    found: dict[tuple[str, str], list[str]] = {}
    for name, *images in planes:
        for kind, plane in zip(("sci", "wht"), images, strict=True):
            for note in plane.notes:
                found.setdefault(note, []).append(f"{name} {kind}")
    return [(code, f"{', '.join(images)}: {text}") for (code, text), images in found.items()]


def _camera_notes(headers: list[tuple[str, fits.Header]]) -> list[tuple[str, str]]:
    """Say which bands name a camera that has no such filter."""
    wrong: dict[tuple[str, str], list[str]] = {}
    for name, header in headers:
        said = tuple(str(header.get(key, "")).strip().upper() for key in ("INSTRUME", "DETECTOR"))
        owner = find_band(name, instrument=said[0], detector=said[1])
        if said[0] and (said[0] != owner.instrument or said[1] not in ("", owner.detector)):
            wrong.setdefault(
                ("/".join(filter(None, said)), f"{owner.instrument}/{owner.detector}"), []
            ).append(name)
    return [
        (
            "HC-B04",
            f"{', '.join(names)}: the headers say {said}, which has no such filter; taken as {owner}",
        )
        for (said, owner), names in wrong.items()
    ]


def _common_units(headers: list[tuple[str, fits.Header]]) -> tuple[str, list[tuple[str, str]]]:
    units, notes = {}, []
    for name, header in headers:
        said = " ".join(str(header.get("BUNIT", "")).split())
        units[name] = _UNITS.get(said.upper(), said)
        if not said:
            units[name] = KNOWN_UNITS[0]
            notes.append(("HC-D20", f"{name}: no BUNIT; taken as {KNOWN_UNITS[0]}"))
    if len(set(units.values())) > 1:
        raise CubeError(
            "HC-D21", f"bands are in different units: {units}", "convert them to one unit first"
        )
    return next(iter(units.values())), notes


def _band_state(
    files: FieldFiles,
    planes: list[tuple[str, Plane, Plane]],
    grid: Grid,
    psf_fwhm: Mapping[str, float],
    units: str,
) -> tuple[dict[str, Any], str, list[tuple[str, str]]]:
    """Return zero points, widths and pivots of the bands, a remark on their sources, and what is odd about them."""
    given = {band_name(name): width for name, width in psf_fwhm.items()}
    if unknown := sorted(set(given) - {name for name, _, _ in planes}):
        reason = f"psf_fwhm names {unknown[0]}, which is not in the cube"
        raise BandError("HC-B01", reason, f"there are {', '.join(files.bands)}", band=unknown[0])
    zeropoints, widths, pivots, tables = [], [], [], set()
    notes: list[tuple[str, str]] = []
    for name, sci, _ in planes:
        header, survey, said = sci.header, survey_of(sci.header, grid.scale), files.bands[name]
        camera = {
            "instrument": str(header.get("INSTRUME", "")),
            "detector": str(header.get("DETECTOR", "")),
        }
        pivots.append(find_band(name, **camera).pivot)
        with located(files.one(name, "sci"), name):
            known = header_zeropoints(header, units, pivots[-1])
        if survey and name in survey.zeropoint and units == KNOWN_UNITS[0]:
            tables |= (
                set()
                if known or said.zeropoint is not None
                else {f"; zero points of {survey.name}"}
            )
            known[f"the table of {survey.name}"] = survey.zeropoint[name]
        notes += _zeropoint_notes(name, known) if said.zeropoint is None else []
        zeropoint = (
            said.zeropoint if said.zeropoint is not None else next(iter(known.values()), None)
        )
        width = given.get(
            name, said.psf_fwhm if said.psf_fwhm is not None else header.get("PSFFWHM")
        )
        if width is not None and not _is_positive(width):
            reason = f"the FWHM of its PSF is {width!r} arcsec"
            raise PSFError(
                "HC-P02", reason, "give a positive number", str(files.one(name, "sci")), name
            )
        if width is None and survey and name in survey.psf_fwhm:
            width = survey.psf_fwhm[name]
            tables.add(f"; PSF widths of {survey.name}")
        zeropoints.append(math.nan if zeropoint is None else float(zeropoint))
        widths.append(math.nan if width is None else float(width))
    return (
        {"zeropoint": zeropoints, "psf_fwhm": widths, "pivot": pivots},
        "".join(sorted(tables)),
        notes,
    )


def _is_positive(width: Any) -> bool:
    return isinstance(width, int | float) and 0 < width < math.inf


def _zeropoint_notes(name: str, found: Mapping[str, float]) -> list[tuple[str, str]]:
    """Say which zero points disagree with the one that is taken, the first."""
    taken, value = next(iter(found.items()), ("", 0.0))
    apart = [
        f"{source} {other:.2f}" for source, other in found.items() if abs(other - value) > AGREE
    ]
    return (
        [("HC-D31", f"{name}: the zero point by {taken} is {value:.2f}, by {', '.join(apart)}")]
        if apart
        else []
    )


def _stacked(sci: list[Any], wht: list[Any], chunks: Mapping[str, int] | None) -> tuple[Any, Any]:
    if chunks is None:
        return np.stack(sci), np.stack(wht)
    import dask.array

    sizes = {0: chunks.get("band", 1), 1: chunks.get("y", -1), 2: chunks.get("x", -1)}
    return tuple(dask.array.stack(planes).rechunk(sizes) for planes in (sci, wht))
