"""The images of a field at one pixel scale, read as a cube: as observed, nothing done to them."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hstcube.core.bands import each_once, names_among
from hstcube.core.cube import build
from hstcube.core.state import record
from hstcube.errors import FileError, HstCubeError, HstCubeWarning, PSFError
from hstcube.files.headers import (
    band_state,
    camera_notes,
    common_survey,
    file_notes,
    photons_in,
    require_scale,
    said_width,
)
from hstcube.fits.images import Plane, read_header, read_plane
from hstcube.fits.opening import located
from hstcube.fits.sets import SET, apart, id_in, require_counts
from hstcube.fits.weights import (
    kind_by_pixels,
)
from hstcube.inputs.cards import card_text
from hstcube.lazy.arrays import lazy_stack
from hstcube.surveys.beside import SKY_SCALE
from hstcube.surveys.filters import require_band
from hstcube.surveys.known import told_oddities
from hstcube.surveys.models import with_survey_noise
from hstcube.surveys.names import chosen_fields
from hstcube.surveys.rates import (
    IN_ERR,
    BandImages,
    common_units,
    drizzled,
    exposure_times,
    in_rates,
    pixel_notes,
    weights_of,
)
from hstcube.surveys.releases import matched_notes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import xarray as xr
    from astropy.io import fits

    from hstcube.core.grids import Grid
    from hstcube.surveys.names import FieldFiles, ImageKind

__all__ = [
    "Observed",
    "by_unit",
    "grid_of",
    "of_headers",
    "open_stars",
    "read_images",
    "require_one_grid",
    "wanted_bands",
]


_OF_ERR = (
    "errors are taken from ERR, which holds all photon noise; WHT of JWST holds that of reading "
    "alone"
)
_ONTO = (
    "bring all to the grid of one: [[--onto {0}|onto='{0}']]; or cut the same pixels out of all "
    "with [[hstcube cutout|hstcube.cutout]]"
)
_TIMES = (
    "it holds exposure times by its median; what they are worth is measured by the scatter of the "
    "pixels"
)


class Observed(NamedTuple):
    """Images as they were found."""

    cube: xr.Dataset
    own: bool
    """They are a survey's own, so that its PSFs and noise hold for them, too."""
    widths: bool
    """A width of a PSF was given, by arguments, a field file or a header."""
    errors: tuple[str, ...] = ()
    """Bands whose weights are errors of JWST."""


def read_images(
    files: FieldFiles,
    *,
    bands: Sequence[str] | None = None,
    psf_fwhm: Mapping[str, float] | None = None,
    chunks: Mapping[str, int] | None = None,
) -> Observed:
    """Read the images of one pixel scale.

    Parameters
    ----------
    files : FieldFiles
        Of one scale.
    bands : sequence of str, optional
        Only these.
    psf_fwhm : mapping of band to float, optional
        FWHM of the PSF [arcsec]; else as files and tables say.
    chunks : mapping, optional
        Read lazily with dask, in chunks of so many pixels.

    Returns
    -------
    Observed

    Raises
    ------
    HstCubeError
        As `open_field`.
    """
    names = wanted_bands(files, bands)
    images = [_read_band(files, name, lazy=chunks is not None) for name in names]
    _require_one_set(files, images)
    grid = require_one_grid(files, {image.name: image.sci.grid for image in images})
    units = common_units(files, images)
    notes = [*file_notes(images), *camera_notes(files, images), *units.notes]
    notes += matched_notes({name: files.one(name, "sci") for name in names})
    widths = psf_fwhm or {}
    state = band_state(files, images, psf_fwhm=widths, units=units.unit, scale=grid.scale)
    notes += state.notes
    images = in_rates(images, units)
    weights = weights_of(files, images, units)
    if chunks is None:
        notes += pixel_notes(images, weights)
    survey, own = common_survey(images)
    cube = _built(
        files,
        _stacked([image.sci.data for image in images], chunks),
        _stacked(weights, chunks),
        bands=names,
        grid=grid,
        units=units.unit,
        field=files.field,
        zeropoint=state.zeropoint,
        psf_fwhm=state.psf_fwhm,
        pivot=state.pivot,
        exposure=state.exposure,
        instrument=state.instrument,
        detector=state.detector,
        survey=survey,
    )
    sources = "".join(f"; {table}" for table in sorted(state.tables))
    cube = _with_photons(cube, dict(zip(names, photons_in(images), strict=True)))
    cube = record(cube, f"open_field({files.field!r}, {', '.join(names)}){sources}")
    cube = told_oddities(cube, notes)
    said = any(said_width(files, image) is not None for image in images)
    errors = tuple(image.name for image in images if image.wht.header.get("POISSON") == IN_ERR)
    return Observed(cube, own, bool(widths) or said, errors)


def _with_photons(cube: xr.Dataset, told: Mapping[str, str]) -> xr.Dataset:
    """Return the cube that says what photon noise its weights hold, by band where that differs."""
    words = [told[name] for name in cube.band.values.tolist()]
    if all(words) or not any(words):
        return cube.assign_attrs(poisson="; ".join(dict.fromkeys(words)))
    return cube.assign_coords(photons=("band", np.array(words, object)))


def grid_of(files: FieldFiles, name: str = "") -> Grid:
    """Return the grid of a band's image, of the first if none is named; no pixels are read."""
    name = name or next(iter(files.bands))
    return read_plane(files.one(name, "sci"), "sci", lazy=True, hdu=files.bands[name].hdu).grid


def by_unit(files: FieldFiles, bands: Sequence[str] | None) -> dict[str, list[str]]:
    """Return the bands that were asked for by the unit that they are read in; headers are read.

    Raises
    ------
    HstCubeError
        As `open_field`.
    """
    groups: dict[str, list[str]] = {}
    for name in wanted_bands(files, bands):
        part = next((one for one in files.parts if name in one.bands), files)
        unit = common_units(part, [of_headers(part, name, kinds=("sci", "sci"))]).unit
        groups.setdefault(unit, []).append(name)
    return groups


def of_headers(
    files: FieldFiles, name: str, *, kinds: tuple[ImageKind, ImageKind] = ("sci", "wht")
) -> BandImages:
    """Return the images of a band without their pixels and grids; headers are read.

    Parameters
    ----------
    files : FieldFiles
    name : str
        The band.
    kinds : tuple
        What is read for sci and for wht.
    """
    nowhere: Any = None
    headers = [
        read_header(files.one(name, kind), kind, band=name, hdu=files.bands[name].extension(kind))
        for kind in dict.fromkeys(kinds)
    ]
    sci, wht = Plane(None, headers[0], nowhere), Plane(None, headers[-1], nowhere)
    return BandImages(name, sci, wht)


def wanted_bands(files: FieldFiles, bands: Sequence[str] | None) -> list[str]:
    """Return the names of the bands that were asked for; all that there are, if none were."""
    return each_once(names_among(bands, files.bands))


def _read_band(files: FieldFiles, name: str, *, lazy: bool) -> BandImages:
    """Read both images of a band, and see whether they belong together and to their names."""
    paths = [files.one(name, kind) for kind in ("sci", "wht")]
    said = files.bands[name]
    sci = read_plane(paths[0], "sci", band=name, lazy=lazy, hdu=said.hdu)
    all_in_one = paths[0] == paths[1] and said.wht_hdu is None
    jwst = card_text(sci.header, "TELESCOP").upper() == "JWST"
    errors = said.photons or (all_in_one and jwst)
    hdu = "ERR" if errors and all_in_one else said.wht_hdu
    wht = read_plane(paths[1], "wht", band=name, lazy=lazy, hdu=hdu, beside=sci.grid)
    with located(files.one(name, "sci"), name):
        require_band(name, sci.header)
        sci.grid.require(wht.grid, what="sci and wht")
        require_scale(files.scale, sci.grid)
    with located(files.one(name, "wht"), name):
        require_band(name, wht.header)
        _require_two_images(paths, sci, wht)
    if said.dead is not None and said.wht_kind in ("rms", "variance"):
        wht = wht._replace(data=wht.data * (sci.data != said.dead))  # its error may be anything
    if errors:
        weights = _weights_beside(paths[1], name, sci.grid, lazy=lazy) if all_in_one else None
        return _with_errors(BandImages(name, sci, wht, "rms"), weights)
    if said.wht_kind is None:
        return _of_kind_seen(BandImages(name, sci, wht))
    return BandImages(name, sci, wht, said.wht_kind)


def _require_two_images(paths: list[Path], sci: Plane, wht: Plane) -> None:
    """Refuse one image that stands for both: a file that holds no weights."""
    where = [(image.header.get("EXTNAME"), image.header.get("EXTVER")) for image in (sci, wht)]
    if paths[0] == paths[1] and where[0] == where[1]:
        reason = "holds one image, which cannot be its own weight image"
        raise FileError("HC-D14", reason, "give the file of the weights, or the extension")


def _weights_beside(path: Path, name: str, grid: Grid, *, lazy: bool) -> Any:
    """Return the weights that lie beside errors in one file, None where there are none."""
    try:
        return read_plane(path, "wht", band=name, lazy=lazy, hdu="WHT", beside=grid).data
    except FileError as error:
        if error.code == "HC-F12":  # no such extension
            return None
        raise


def _with_errors(image: BandImages, weights: Any) -> BandImages:
    """Return a band whose errors are those of JWST: they hold photon noise.

    A pixel without data has weight 0, and an error that may be anything.
    """
    wht = image.wht
    wht.header["POISSON"] = IN_ERR
    notes = [*wht.notes]
    notes.append(("HC-D42", _OF_ERR))
    data = wht.data if weights is None else wht.data * (weights > 0)
    return image._replace(wht=wht._replace(data=data, notes=tuple(notes)))


def _of_kind_seen(image: BandImages) -> BandImages:
    """Return a band with the kind of weights that its pixels show."""
    step, _ = drizzled(image)
    times = exposure_times(image.sci.header)
    kind = kind_by_pixels(image.wht.data, times=times, step=step)
    notes = [*image.wht.notes]
    if kind == "exptime":
        notes.append(("HC-D44", _TIMES))
    return image._replace(wht=image.wht._replace(notes=tuple(notes)), wht_kind=kind)


def _require_one_set(files: FieldFiles, images: list[BandImages]) -> None:
    """Refuse stamps that were cut together in part only; those that do not say so are not known."""
    headers = [plane.header for image in images for plane in (image.sci, image.wht)]
    if not any(SET in header for header in headers):
        return
    everything = [path for band in files.bands.values() for path in (*band.sci, *band.wht)]
    require_counts(headers, everything, files.one(images[0].name, "sci").parent)
    _require_their_map(files, headers)


def _require_their_map(files: FieldFiles, headers: list[fits.Header]) -> None:
    maps = {str(header["SETMAP"]) for header in headers if "SETMAP" in header}
    if maps and files.labels is not None and id_in(files.labels) not in ("", *maps):
        raise apart(files.labels, "was not cut together with the images of its field")


def require_one_grid(files: FieldFiles, grids: Mapping[str, Grid]) -> Grid:
    """Return the grid that the images of all bands lie on.

    Raises
    ------
    GridError
        If one lies on another.
    """
    first, home = next(iter(grids.items()))
    for name, grid in grids.items():
        with located(files.one(name, "sci"), name):
            home.require(grid, what=f"{name} and {first}", fix=_ONTO.format(first))
    return home


def _stacked(planes: list[Any], chunks: Mapping[str, int] | None) -> Any:
    if chunks is None:
        return np.stack(planes)
    return lazy_stack(planes, chunks)


def _built(files: FieldFiles, sci: Any, wht: Any, **how: Any) -> xr.Dataset:
    """Build the cube; an error of a band's pixels names the file that they are in."""
    try:
        return build(sci, wht, **how)
    except HstCubeError as error:
        if error.band:
            error.at(file=str(files.one(error.band, "wht" if error.code == "HC-D10" else "sci")))
        raise


def open_stars(
    folder: str | Path, *, scale: str | None = None, bands: Sequence[str] | None = None
) -> dict[str, xr.Dataset]:
    """Open stamps of stars: files ``{star}_{scale}_{filter}_{sci,wht}.fits``, as those of fields.

    Parameters
    ----------
    folder : path
    scale : str, optional
        Label of the pixel scale in the file names; as in `open_field`, when not given.
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

    Examples
    --------
    >>> import tempfile
    >>> import hstcube
    >>> from hstcube.demo.field import simulate
    >>> folder = tempfile.mkdtemp()
    >>> _ = simulate(folder)
    >>> stars = hstcube.open_stars(folder + "/psf_stars")
    >>> sorted(stars), stars["1"].sizes["band"]
    (['1', '2', '3'], 9)
    """
    found = chosen_fields(folder, scale=scale)
    if not found:
        raise PSFError(
            "HC-P10",
            f"no stamps of stars at {SKY_SCALE if scale is None else scale}",
            "name them STAR_60mas_f160w_sci.fits and _wht.fits",
            str(folder),
        )
    names = names_among(bands, _common_bands(found))
    if not names:
        fix = "choose stars that have a band in common"
        raise PSFError("HC-P11", "there is no band that all stars have", fix, str(folder))
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
