"""Our own FITS products, read back to the cube that was written."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hstcube.core.bands import names_among
from hstcube.core.cube import SCHEMA, build
from hstcube.core.offsets import with_errors, with_noise_coords, with_psf_coords
from hstcube.core.rules import COVERAGE, DIMS, PLANES, REPLACED, TOLD
from hstcube.core.state import require_coords, warn
from hstcube.errors import BandError, FileError, HstCubeError
from hstcube.fits.images import (
    COVERAGE_UNIT,
    NOISE_UNIT,
    PSF_UNIT,
    REPLACED_UNIT,
    Plane,
    read_plane,
    require_whole,
)
from hstcube.fits.local import entries, missing, read_text
from hstcube.fits.opening import located, opened
from hstcube.fits.sets import id_in
from hstcube.fits.units import history_lines
from hstcube.fits.weights import inverse_variance
from hstcube.mosaics.cards import state_in
from hstcube.phot.units import with_extinction

if TYPE_CHECKING:
    from collections.abc import Sequence, Sized
    from pathlib import Path

    import xarray as xr
    from astropy.io import fits

    from hstcube.core.grids import Grid

    Planes = dict[str, Plane]  # by what they hold

__all__ = ["find_products", "open_products", "recorded_id"]

_NEEDED = ("CUBEID", "NBANDS", "OBJECT", "FILETYPE", "FILTER")
_NEEDED_OF_SCIENCE = ("BUNIT", "PHOTPLAM")
_WHOLE = ("HSTCUBE", "NBANDS")
_NUMBERS = (
    *_WHOLE,
    *("PSFFWHM", "PSFEEERR", "PSFNEG", "PSFENER", "PSFENERR", "PSFERR", "PSFSTARS"),
    *("SKY", "SKYERR", "ABZP", "PHOTPLAM", "EXTINCT", "NSCALE"),
    *("TEXPTIME", "ELECTRON"),
    *("PIXSCALE", "LAGX", "LAGY"),
)
_LARGEST_PIXEL = 60.0  # arcsec
_AGAIN = "write the cube again[[: hstcube run FOLDER| with to_fits]]"
_BESIDE = {
    "sci": {"psf": PSF_UNIT},
    "wht": {"noise": NOISE_UNIT},
    "mask": {REPLACED: REPLACED_UNIT, COVERAGE: COVERAGE_UNIT},
}
_OF_PSFS = (  # what is told of PSFs: cards that stand together, and the coordinates
    {"PSFEEERR": "psf_ee_error", "PSFNEG": "psf_negative"},
    {"PSFENER": "psf_energy", "PSFENERR": "psf_energy_error"},
)
_CARDS_BESIDE = {PSF_UNIT: ("PIXSCALE",), NOISE_UNIT: ("LAGX", "LAGY")}
_HOLDS = {
    "sci": ("sci",),
    "wht": ("wht",),
    "var": ("wht",),
    "mask": ("mask",),
    "": ("sci", "wht", "mask"),
}


def find_products(folder: Path, field: str) -> dict[str, dict[str, Path]]:
    """Return the files that `to_fits` wrote for a field.

    Returns
    -------
    dict of band to dict of kind to Path
        The kind is "sci", "wht", "var" or "mask"; "" for a file that holds all three images.
    """
    found: dict[str, dict[str, Path]] = {}
    for path in entries(folder):
        name, _, kind = path.name[len(field) + 1 : -5].partition("_")
        named = path.name.startswith(f"{field}_f") and path.suffix == ".fits"
        if named and kind in _HOLDS:
            found.setdefault(name, {})[kind] = path
    return found


def open_products(products: dict[str, dict[str, Path]], bands: Sequence[str] | None) -> xr.Dataset:
    """Open what `find_products` found; see `hstcube.open_field`."""
    names = names_among(bands or (), products)
    folder = next(iter(next(iter(products.values())).values())).parent
    found = [_read_band(name, products.get(name, {}), folder) for name in names]
    planes = [band.planes for band in found]
    cubes = set().union(*(band.cubes for band in found))
    _require_one_cube(planes[0], cubes, products, folder)
    with located(folder):
        _require_alike(planes)
        cube = _cube_of(names, planes)
        require_coords(cube)
    return _compared(cube, folder, *cubes)


def _compared(cube: xr.Dataset, folder: Path, of_set: str) -> xr.Dataset:
    """Return the cube, with a warning where what a run wrote beside it tells of another version."""
    whole, record = folder / f"{cube.attrs['field']}.nc", folder / "run.json"
    if id_in(whole) not in ("", of_set):
        cube = warn(cube, "HC-O22", f"{whole.name} beside these files holds another version")
    if record.is_file() and recorded_id(record, cube.attrs["field"]) not in ("", of_set):
        cube = warn(cube, "HC-O22", "run.json beside these files tells of another version")
    return cube


def recorded_id(record: Path, target: str) -> str:
    """Return the id of a target's products as run.json tells it; "" where it does not."""
    try:
        told = json.loads(read_text(record))["targets"][target]["set"]
    except (HstCubeError, ValueError, KeyError, TypeError, RecursionError):
        return ""
    return str(told)


class _Found(NamedTuple):
    """What the files of a band hold."""

    planes: Planes
    """By kind: "sci", "wht", "mask"; "psf", "noise", "replaced", "coverage" where told."""
    cubes: set[str]
    """The identities of the cubes that the files belong to."""


def _require_one_cube(first: Planes, cubes: set[str], products: Sized, folder: Path) -> None:
    """Refuse files that were written from several cubes, or not all that one had."""
    header = first["sci"].header
    number = header["NBANDS"]
    if len(cubes) > 1 or number != len(products):
        raise FileError(
            "HC-O20",
            f"the files of field {header['OBJECT']} do not belong to one cube "
            f"({len(products)} bands of {number}, {len(cubes)} versions)",
            "write the cube into an empty folder, or again with "
            "[[--overwrite|overwrite=True]] and the older files removed",
            file=str(folder),
        )


def _read_band(name: str, files: dict[str, Path], folder: Path) -> _Found:
    found = _Found({}, set())
    for role, path in files.items():
        for kind in _HOLDS[role]:
            _read_image(found, path, kind, name)
    planes = found.planes
    if absent := [kind for kind in PLANES if kind not in planes]:
        what = f"{absent[0]} image of the product"
        raise missing(what, _AGAIN, file=folder, band=name)
    for kind in ("wht", "mask"):
        planes["sci"].grid.require(planes[kind].grid, what=f"sci and {kind} of {name}")
    return found


def _read_image(found: _Found, path: Path, kind: str, band: str) -> None:
    """Add an image, and what is beside it, to what was found of its band."""
    plane = read_plane(path, kind, band=band)
    with located(path, band):
        if "HSTCUBE" not in plane.header:
            reason = "has the name of a product of hstcube but no card HSTCUBE"
            raise FileError("HC-F26", reason, "give the folder of the stamps")
        _require_cards(plane.header)
        _require_name(plane.header, path, kind, band)
    found.cubes.add(plane.header["CUBEID"])
    found.planes.setdefault(kind, plane)
    named = str(plane.header.get("BESIDE", "")).split(",")
    for key, unit in _BESIDE[kind].items():
        more = _plane_beside(path, band, plane.grid, unit)
        if more is not None:
            found.planes[key] = more
        elif unit in named:
            raise FileError("HC-O20", f"has lost its extension {unit}", _AGAIN, str(path), band)


def _require_name(header: fits.Header, path: Path, kind: str, band: str) -> None:
    """Refuse a file whose cards say another band, field or kind of image than its name."""
    if str(header["FILTER"]).strip().lower() != band.lower():
        reason = f"the header says FILTER = {header['FILTER']!r}, the file name {band}"
        raise BandError("HC-B03", reason, "give the file its own name again")
    start, _, end = path.name.removesuffix(".fits").rpartition(f"_{band}")
    if str(header["OBJECT"]) != start:
        reason = f"the header says OBJECT = {header['OBJECT']!r}, the file name {start}"
        raise BandError("HC-B03", reason, "give the file its own name again; or write it again")
    meant = {"sci": ("SCI",), "mask": ("MASK",), "wht": ("WHT", "VAR")}[kind]
    if end:
        meant = (end[1:].upper(),)
    if header["FILETYPE"] not in meant:
        reason = f"is a {header['FILETYPE']} image by its FILETYPE, not {' or '.join(meant)}"
        raise FileError("HC-D14", reason, "give the file its own name again")


def _plane_beside(path: Path, band: str, grid: Grid, name: str) -> Plane | None:
    """Return what an extension of that name holds, if there is one."""
    with located(path, band), opened(path) as hdus:
        unit = next((unit for unit in hdus if unit.name == name), None)
        if unit is None:
            return None
        require_whole(path, unit)
        _require_numbers(unit.header)
        if (said := str(unit.header.get("FILTER", band)).strip().lower()) != band.lower():
            reason = f"its {name} is that of {said}"
            raise BandError("HC-B03", reason, _AGAIN)
        for key in _CARDS_BESIDE.get(name, ()):
            if not 0 < unit.header.get(key, 0) < _LARGEST_PIXEL:
                reason = f"has a card {key} of {unit.header.get(key)!r}, not a size of pixels"
                raise FileError("HC-F04", reason, _AGAIN)
        return Plane(np.asarray(unit.data, np.float32), unit.header, grid)


def _require_cards(header: fits.Header) -> None:
    science = header.get("FILETYPE") == "SCI"
    for key in (*_NEEDED, *(_NEEDED_OF_SCIENCE if science else ())):
        if key not in header:
            raise FileError("HC-F04", f"has lost the card {key}", _AGAIN)
    _require_numbers(header)
    if not 1 <= header["HSTCUBE"] <= SCHEMA:
        reason = f"is of version {header['HSTCUBE']} of the schema; {SCHEMA} is the newest known"
        raise FileError("HC-F04", reason, "get a newer hstcube, or write the cube again")


def _require_numbers(header: fits.Header) -> None:
    for key in _NUMBERS:
        value = header.get(key, 1)
        kinds = int if key in _WHOLE else int | float
        if isinstance(value, bool) or not isinstance(value, kinds) or not math.isfinite(value):
            raise FileError("HC-F04", f"has a card {key} of {value!r}, not a number", _AGAIN)


def _require_alike(planes: list[Planes]) -> None:
    """Refuse bands of which one has lost what the others have, or that say what one cube cannot."""
    headers = _headers(planes)
    scales = [band["wht"].header for band in planes]
    for key, where in (
        ("NSCALE", scales),
        ("EXTINCT", headers),
        ("psf", planes),
        ("noise", planes),
        (REPLACED, planes),
        (COVERAGE, planes),
    ):
        if 0 < sum(key in there for there in where) < len(where):
            reason = f"some bands have {key} in their files and some have not"
            raise _unlike(reason)
    _require_equal(headers, ("BUNIT", "TITLE", "RECIPE", "SURVEY", "POISSON", "HSTCUBE"))
    for kind, keys in (("psf", ("PIXSCALE",)), ("noise", ("LAGX", "LAGY"))):
        if kind in planes[0]:
            _require_equal([band[kind].header for band in planes], keys)
    for band in planes[1:]:
        planes[0]["sci"].grid.require(band["sci"].grid, what="two bands of one cube")


def _require_equal(headers: list[fits.Header], keys: tuple[str, ...]) -> None:
    for key in keys:
        if len({header.get(key) for header in headers}) > 1:
            reason = f"the bands differ in their card {key}"
            raise _unlike(reason)


def _unlike(reason: str) -> FileError:
    return FileError("HC-O20", reason, _AGAIN)


def _cube_of(names: list[str], planes: list[Planes]) -> xr.Dataset:
    """Build the cube of what was found of each band."""
    headers = _headers(planes)
    cube = build(
        _stack(planes, "sci"),
        np.stack([_weights(band) for band in planes]),
        mask=_stack(planes, "mask") > 0,
        bands=names,
        grid=planes[0]["sci"].grid,
        units=headers[0]["BUNIT"],
        field=headers[0]["OBJECT"],
        title=headers[0].get("TITLE", ""),
        **state_in(headers),
    )
    ordered = [planes[names.index(name)] for name in cube.band.values]
    cube = _with_extinction(_with_psf(_with_noise(cube, ordered), ordered), ordered)
    cube = _with_photons(_with_planes(cube, ordered), _headers(ordered))
    history, notes = history_lines(headers[0].get("HISTORY", ()))
    schema = int(headers[0]["HSTCUBE"])
    cube = cube.assign_attrs(history=history, warnings=notes, hstcube_schema=schema)
    for key in ("RECIPE", "SURVEY", "POISSON"):
        if key in headers[0]:
            cube = cube.assign_attrs({key.lower(): str(headers[0][key])})
    return cube


def _headers(planes: list[Planes]) -> list[fits.Header]:
    return [band["sci"].header for band in planes]


def _stack(planes: list[Planes], kind: str) -> Any:
    return np.stack([band[kind].data for band in planes])


def _weights(band: Planes) -> Any:
    data, header = band["wht"].data, band["wht"].header
    return inverse_variance(data, "variance" if header["FILETYPE"] == "VAR" else "ivar", "")


def _column(headers: list[fits.Header], key: str) -> list[float]:
    return [float(header.get(key, math.nan)) for header in headers]


def _words(headers: list[fits.Header], key: str) -> list[str]:
    return [str(header.get(key, "")) for header in headers]


def _with_photons(cube: xr.Dataset, headers: list[fits.Header]) -> xr.Dataset:
    """Return the cube with what its files tell of the photons that its bands counted."""
    if any("ELECTRON" in header for header in headers):
        cube = cube.assign_coords(electrons=("band", _column(headers, "ELECTRON")))
    if any("PHOTONS" in header for header in headers):
        told = np.array(_words(headers, "PHOTONS"), object)
        cube = cube.assign_coords(photons=("band", told))
    return cube


def _with_noise(cube: xr.Dataset, bands: list[Planes]) -> xr.Dataset:
    """Return the cube with the noise that its files tell of."""
    if not all("NSCALE" in band["wht"].header for band in bands):
        if any("noise" in band for band in bands):
            reason = "the card NSCALE is lost, which the images NOISEACF go with"
            raise FileError("HC-O20", reason, _AGAIN)
        return cube
    scales = [float(band["wht"].header["NSCALE"]) for band in bands]
    if not all("noise" in band for band in bands):
        return cube.assign_coords(noise_scale=("band", scales))
    cards = bands[0]["noise"].header
    acf = _stack(bands, "noise")
    return with_noise_coords(cube, scales, acf, (float(cards["LAGY"]), float(cards["LAGX"])))


def _with_psf(cube: xr.Dataset, bands: list[Planes]) -> xr.Dataset:
    """Return the cube with the PSFs that its files hold."""
    if not all("psf" in band for band in bands):
        return cube
    images = _stack(bands, "psf")
    cube = with_psf_coords(cube, images, float(bands[0]["psf"].header["PIXSCALE"]))
    headers = _headers(bands)
    for pair in _OF_PSFS:
        if any(card in header for card in pair for header in headers):
            told = {name: ("band", _column(headers, card)) for card, name in pair.items()}
            cube = cube.assign_coords(told)
    return with_errors(cube, _column(headers, "PSFERR"), _column(headers, "PSFSTARS"))


def _with_planes(cube: xr.Dataset, bands: list[Planes]) -> xr.Dataset:
    """Return the cube with what its files tell else of each pixel."""
    for name, unit in _BESIDE["mask"].items():
        if all(name in band for band in bands):
            cube = cube.assign({name: (DIMS, _plane_of(name, unit, bands), TOLD[name])})
    if REPLACED in cube.variables:
        cube = cube.assign(mask=cube.mask & ~cube[REPLACED])
    return cube


def _plane_of(name: str, unit: str, bands: list[Planes]) -> Any:
    """Return the images of an extension, of all bands."""
    if any(band[name].data.shape != band["mask"].data.shape for band in bands):
        reason = f"an image {unit} has another shape than the mask beside it"
        raise FileError("HC-O20", reason, _AGAIN)
    plane = _stack(bands, name)
    if name == REPLACED:
        return plane > 0
    if not ((plane >= 0) & (plane <= 1)).all():
        raise FileError("HC-O20", f"an image {unit} holds more than shares, 0 to 1", _AGAIN)
    return plane


def _with_extinction(cube: xr.Dataset, bands: list[Planes]) -> xr.Dataset:
    """Return the cube with the extinction that it is corrected for, where all files tell it."""
    extinction = _column(_headers(bands), "EXTINCT")
    return cube if np.isnan(extinction).any() else with_extinction(cube, extinction)
