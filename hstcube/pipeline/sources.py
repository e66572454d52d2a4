"""What jobs begin with: images of a field or a saved cube, its map, its groups of pixels."""

from __future__ import annotations

import contextlib
import textwrap
import warnings
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np

from hstcube.assembly.grids import by_grid
from hstcube.assembly.opening import open_field, open_files
from hstcube.core.grids import Grid
from hstcube.core.state import attribute, note, notes_of, warn, without_notes
from hstcube.errors import FileError, HstCubeError, HstCubeWarning, NoiseError, RecipeError
from hstcube.files.fields import grid_of, of_headers
from hstcube.files.headers import band_state
from hstcube.files.labels import open_labels
from hstcube.files.levels import read_levels
from hstcube.files.netcdf import CUBES, open_cube
from hstcube.files.products import find_products
from hstcube.fits.images import read_header, read_plane
from hstcube.fits.local import entries, missing
from hstcube.fits.opening import located
from hstcube.fits.sets import fields_of_products
from hstcube.fits.units import hdu
from hstcube.maps.opening import made_here, no_map, open_segmentation
from hstcube.noise.calibration import calibrate_noise
from hstcube.noise.description import with_noise
from hstcube.regridding.labels import regrid_labels
from hstcube.surveys.beside import SKY_SCALE, other_scale, scale_of_label
from hstcube.surveys.filters import require_band
from hstcube.surveys.names import (
    chosen_fields,
    find_field,
    list_fields,
)
from hstcube.surveys.rates import common_units
from hstcube.surveys.releases import no_images

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import xarray as xr
    from astropy.io import fits

    from hstcube.assembly.opening import Align
    from hstcube.assembly.psfs import PSFChoice
    from hstcube.surveys.names import FieldFiles

__all__ = [
    "Images",
    "groups_bytes",
    "images_of",
    "labels_of",
    "of_band",
    "of_levels",
    "open_groups",
    "open_source",
    "open_with_maps",
    "refuse_align",
    "with_own_noise",
]

_CARD = 48  # characters of text in a card, beside its comment

Kind = Literal["sci", "wht"]

LABELS = "labels"  # in place of a pixel scale: the grid of the segmentation map


class Images(NamedTuple):
    """A field's images as a cube, and the pixel scales [arcsec] that its sky levels belong to.

    ``scale`` is that of levels that do not say theirs; ``to`` that of the cube, where levels are
    to be brought to it.
    """

    cube: xr.Dataset
    scale: float | Mapping[str, float]
    to: float | None


def images_of(
    files: FieldFiles,
    *,
    bands: Sequence[str] | None = None,
    psf: PSFChoice = "auto",
    psf_fwhm: Mapping[str, float] | None = None,
    onto: str | None = None,
    align: Align = "report",
    chunks: Mapping[str, int] | None = None,
    units: str | None = None,
) -> Images:
    """Open the images of a field on the grid that a run wants them on.

    Parameters
    ----------
    files : FieldFiles
    onto : str, optional
        "labels" takes the grid of the segmentation map.
    bands, psf, psf_fwhm, align, chunks, units
        As in `open_field`.

    Raises
    ------
    LabelError
        If the grid is to be that of the segmentation map, and there is none.
    HstCubeError
        As `open_field`.
    """
    how: dict[str, Any] = {"bands": bands, "psf": psf, "psf_fwhm": psf_fwhm, "chunks": chunks}
    how |= {"units": units, "align": align}
    grid = _grid_of_map(files) if onto == LABELS else onto
    parted = files if grid is None else by_grid(files, bands, grid)
    cube = open_files(parted, onto=grid, **how)
    to = Grid.of(cube).scale
    if files.parts:
        return Images(cube, scale_of_label(SKY_SCALE), to)
    own = {name: grid_of(part, name).scale for part in parted.parts for name in part.bands}
    scale = to if onto is None else own or grid_of(files).scale
    return Images(cube, scale, None if onto is None else to)


def labels_of(files: FieldFiles, cube: xr.Dataset) -> xr.DataArray | None:
    """Open the segmentation map of a field, or detect it in its cube; None where it has none."""
    return None if files.labels is None else open_segmentation(files.labels, cube, hdu=files.hdu)


def with_own_noise(cube: xr.Dataset, labels: xr.DataArray | None) -> xr.Dataset:
    """Return a cube with the noise that its own blank sky shows, where it was taken as white.

    One whose noise is known, by the table of its survey or by the errors of JWST, comes back as it
    is; so does one on which it cannot be measured, which then warns.

    Parameters
    ----------
    cube : Dataset
        As observed.
    labels : DataArray of int, (y, x), or None
        Segmentation map on its own grid: 0 is blank, and so is what it does not cover, where
        nothing is detected.
    """
    if "HC-N20" not in dict(notes_of(attribute(cube, "history"))):
        return cube
    if "noise_scale" in cube.coords:
        why = "that of other bands is known"
        return warn(cube, "HC-N25", f"the noise is taken as white, and was not measured: {why}")
    background = None if labels is None else regrid_labels(labels, Grid.of(cube))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", HstCubeWarning)  # of few pixels: it is told how many
            noise = calibrate_noise(cube, background=background)
    except NoiseError as error:
        why = f"{error.band}: {error.reason}"
        return warn(cube, "HC-N25", f"the noise is taken as white, and was not measured: {why}")
    few = int(noise.pixels.min())
    cube = with_noise(without_notes(cube, "HC-N20"), noise)
    return note(cube, "HC-N24", f"the noise was measured on {few} blank pixels or more of a band")


def refuse_align(files: FieldFiles, align: Align | None) -> None:
    """Refuse to align the images of a field that are all at one pixel scale.

    Raises
    ------
    RecipeError
        If `align` is given all the same.
    """
    if align is not None and not files.parts:
        raise RecipeError(
            "HC-B22",
            f"there is nothing to align: the images of field {files.field} are at one pixel scale",
            "[[--align needs --scale mixed: add it, or leave --align out|"
            "align= needs scale='mixed': give it, or leave align= out]]",
        )


def open_source(
    source: str | Path,
    *,
    field: str | None = None,
    scale: str | None = None,
) -> xr.Dataset:
    """Open a saved cube (.nc or .zarr), or a field of a folder of stamps, products or saved cubes.

    Parameters
    ----------
    source : path
    field : str, optional
        Which field of a folder; the only one when not given. A saved cube has to be of it.
    scale : str, optional
        As in `open_field`; a saved cube has to have it.

    Raises
    ------
    RecipeError
        If a folder has several fields and none is named.
    FileError
        If a saved cube is another than was asked for.
    HstCubeError
        As `open_cube` and `open_field` raise it.
    """
    source = Path(source)
    if source.suffix in CUBES:
        return _as_asked(open_cube(source), source, field, scale)
    if source.is_file():
        reason = "is neither a saved cube (.nc, .zarr) nor a folder"
        raise FileError("HC-F04", reason, "name one of them", str(source))
    field = _the_only_field(source, scale) if field is None else field
    saved = [path for ending in CUBES if (path := source / f"{field}{ending}").exists()]
    if saved and not find_products(source, field) and not list_fields(source):
        return _as_asked(open_cube(saved[0]), saved[0], None, scale)
    return open_field(source, field, scale=scale)


def cubes_in(folder: Path) -> list[str]:
    """Return the names of the cubes that a folder holds: saved ones, and those written as FITS."""
    saved = {path.stem for path in entries(folder) if path.suffix in CUBES}
    return sorted({*saved, *fields_of_products(folder)})


def _as_asked(cube: xr.Dataset, source: Path, field: str | None, scale: str | None) -> xr.Dataset:
    """Return a saved cube; refuse it where another field or pixel scale was asked for."""
    known, step = attribute(cube, "field"), Grid.of(cube).scale
    if field and known and field != known:
        what = f"field {field!r}, only {known!r}"
        raise missing(what, "name the cube that is meant", file=source)
    if other_scale(scale, step):
        what = f"image at {scale}, only at {1000 * step:.3g} mas"
        raise missing(what, "name the cube that is meant", file=source)
    return cube


def open_groups(
    cube: xr.Dataset, *, groups: str | Path | None = None, labels: str | Path | None = None
) -> xr.DataArray:
    """Return a group map for a cube.

    Parameters
    ----------
    cube : Dataset
    groups : path, optional
        A FITS map of integers on the cube's grid, such as `hstcube bin` writes.
    labels : path, optional
        A segmentation map on a grid of its own, as in `open_segmentation`; each of its objects is a
        group.
        Without either the pixels that the mask holds in any band are group 1.

    Raises
    ------
    GridError
        If `groups` lies on another grid.
    """
    if groups is not None:
        found = open_labels(groups)
        Grid.of(cube).require(Grid.of(found), what=f"the cube and {groups}")
        return found.assign_coords({name: cube.coords[name] for name in ("y", "x", "wcs")})
    if labels is not None:
        return regrid_labels(open_segmentation(labels, cube), Grid.of(cube)).assign_coords(
            {name: cube.coords[name] for name in ("y", "x", "wcs")}
        )
    masked: xr.DataArray = cube.mask.any("band").astype(np.int32).drop_attrs(deep=False)
    return masked


def open_with_maps(
    folder: str | Path, *, fields: Sequence[str] = (), scale: str | None = None
) -> tuple[list[xr.Dataset], list[xr.DataArray | None]]:
    """Open fields of a folder of stamps, and their segmentation maps on the same pixels.

    A map is None where there is none.

    Raises
    ------
    FileError
        If a field is not there.
    """
    named = [find_field(folder, name, scale=scale) for name in fields]
    chosen = named or chosen_fields(folder, scale=scale)
    cubes = [open_files(files) for files in chosen]
    if not cubes:
        raise no_images(Path(folder))
    return cubes, [_map_on(cube, files) for cube, files in zip(cubes, chosen, strict=True)]


def groups_bytes(groups: xr.DataArray) -> bytes:
    """Return a group map as FITS, which `open_groups` and `open_labels` read."""
    attrs = groups.attrs
    cards = [
        ("FILETYPE", "GROUPS", "0 = no group"),
        ("SNRMIN", attrs.get("snr"), "signal to noise that was asked for"),
        ("NPIXMIN", attrs.get("min_pixels"), "pixels that were asked for"),
        *_below_cards(attrs.get("below_target")),
        *Grid.of(groups).header_cards(),
    ]
    return hdu(groups.values.astype(np.int32), cards)


def _below_cards(below: Sequence[int] | None) -> list[tuple[str, Any, str]]:
    """Return the numbers of bins below their target as cards, BELOW1 and so on."""
    if below is None:
        return []
    lines = textwrap.wrap(" ".join(map(str, below)), _CARD)
    cards: list[tuple[str, Any, str]] = [
        ("NBELOW", len(below), "bins below target, in BELOW1, ...")
    ]
    return cards + [(f"BELOW{i}", line, "their numbers") for i, line in enumerate(lines, 1)]


def _the_only_field(source: Path, scale: str | None) -> str:
    """Return the name of the field that a folder holds."""
    stamps = [files.field for files in chosen_fields(source, scale=scale)]
    names = stamps or cubes_in(source)
    if len(names) == 1:
        return names[0]
    if not names:
        raise no_images(source)
    reason = f"{source} does not hold one field, but {', '.join(names[:12])}"
    raise RecipeError("HC-B32", reason, "choose one with [[-f FIELD|field=]]")


def _map_on(cube: xr.Dataset, files: FieldFiles) -> xr.DataArray | None:
    if files.labels is None or not files.labels.exists():
        return None
    return regrid_labels(open_labels(files.labels), Grid.of(cube))


def _grid_of_map(files: FieldFiles) -> Grid:
    if files.labels is None or made_here(files.labels):
        what = f"field {files.field}, whose grid is to be taken"
        raise no_map(what, "choose another [[--onto|onto=]]", detected=False)
    return Grid.of(open_labels(files.labels, hdu=files.hdu))


# -- the pieces that a field is read from, each by itself: one that is bad does not hide another


def of_band(files: FieldFiles, name: str, *, lazy: bool = False) -> Iterator[Callable[[], Any]]:
    """Yield functions that each look at one thing of a band, and raise what is wrong with it.

    Parameters
    ----------
    files : FieldFiles
    name : str
        The band.
    lazy : bool
        Look at headers only.
    """
    part = next((one for one in files.parts if name in one.bands), files)
    if name not in part.bands:
        yield partial(part.one, name, "sci")  # which says what bands there are
        return
    for kind in get_args(Kind):
        yield partial(_plane, part, name, kind, lazy=lazy)
        yield partial(_name, part, name, kind)
    yield partial(_numbers, part, name)


def of_levels(files: FieldFiles, names: list[str]) -> Iterator[Callable[[], Any]]:
    """Yield functions that each read the sky level of one band."""
    scale = None if files.parts else scale_of_label(files.scale)
    for name in names:
        if name in files.bands:
            yield partial(read_levels, files, [name], scale=scale if scale and scale > 0 else None)


def _plane(files: FieldFiles, name: str, kind: Kind, *, lazy: bool) -> None:
    beside = None
    if kind == "wht":  # which may have no WCS; what is wrong with the image is said by itself
        with contextlib.suppress(HstCubeError):
            beside = grid_of(files, name)
    where = files.bands[name].extension(kind)
    read_plane(files.one(name, kind), kind, band=name, lazy=lazy, hdu=where, beside=beside)


def _name(files: FieldFiles, name: str, kind: Kind) -> None:
    """Look whether an image is of the band that it is named after."""
    header = _header(files, name, kind)
    with located(files.one(name, kind), name):
        require_band(name, header)


def _numbers(files: FieldFiles, name: str) -> None:
    """Look at the unit, the zero point and the width that a header says, wherever its WCS leads."""
    image = of_headers(files, name, kinds=("sci", "sci"))
    units = common_units(files, [image]).unit
    band_state(files, [image], psf_fwhm={}, units=units, scale=scale_of_label(files.scale))


def _header(files: FieldFiles, name: str, kind: Kind) -> fits.Header:
    where = files.bands[name].extension(kind)
    return read_header(files.one(name, kind), kind, band=name, hdu=where)
