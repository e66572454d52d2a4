"""Our own FITS products, read back to the cube that was written."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hstcube.core.bands import names_among
from hstcube.core.cube import build
from hstcube.core.offsets import with_errors, with_noise_coords, with_psf_coords
from hstcube.core.rules import COVERAGE, DIMS, PLANES, REPLACED, TOLD, taken
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
    stored,
)
from hstcube.fits.local import entries, missing, read_text
from hstcube.fits.opening import located, opened
from hstcube.fits.sets import id_in
from hstcube.fits.units import history_lines
from hstcube.fits.weights import inverse_variance
from hstcube.lazy.arrays import lazily, lazy_stack, pointwise
from hstcube.mosaics.cards import AGAIN, require_cards, require_name, require_numbers, state_in
from hstcube.phot.units import with_extinction

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence, Sized
    from pathlib import Path

    import xarray as xr
    from astropy.io import fits

    from hstcube.core.grids import Grid

    Planes = dict[str, Plane]  # by what they hold
    Chunks = Mapping[str, int] | None

__all__ = ["find_products", "open_products", "recorded_id"]

_LARGEST_PIXEL = 60.0  # arcsec
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
    for path in entries(folder, field):
        name, _, kind = path.name[len(field) + 1 : -5].partition("_")
        named = path.name.startswith(f"{field}_f") and path.suffix == ".fits"
        if named and kind in _HOLDS:
            found.setdefault(name, {})[kind] = path
    return found


def open_products(
    products: dict[str, dict[str, Path]], bands: Sequence[str] | None, chunks: Chunks = None
) -> xr.Dataset:
    """Open what `find_products` found; see `hstcube.open_field`."""
    names = names_among(bands, products)
    folder = next(iter(next(iter(products.values())).values())).parent
    lazy = chunks is not None
    found = [_read_band(name, products.get(name, {}), folder, lazy=lazy) for name in names]
    planes = [band.planes for band in found]
    cubes = set().union(*(band.cubes for band in found))
    _require_one_cube(planes[0], cubes, products, folder)
    with located(folder):
        _require_alike(planes)
        # ordered before they are stacked: blocks that dask has moved cannot be read in regions
        order = np.argsort(_column(_headers(planes), "PHOTPLAM"), kind="stable")
        cube = _cube_of([names[i] for i in order], [planes[i] for i in order], chunks)
        require_coords(cube)
    return _compared(cube if chunks is None else taken(cube), folder, *cubes)


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


def _read_band(name: str, files: dict[str, Path], folder: Path, *, lazy: bool) -> _Found:
    found = _Found({}, set())
    for role, path in files.items():
        for kind in _HOLDS[role]:
            _read_image(found, path, kind, name, lazy=lazy)
    planes = found.planes
    if absent := [kind for kind in PLANES if kind not in planes]:
        what = f"{absent[0]} image of the product"
        raise missing(what, AGAIN, file=folder, band=name)
    for kind in ("wht", "mask"):
        planes["sci"].grid.require(planes[kind].grid, what=f"sci and {kind} of {name}")
    return found


def _read_image(found: _Found, path: Path, kind: str, band: str, *, lazy: bool) -> None:
    """Add an image, and what is beside it, to what was found of its band."""
    plane = read_plane(path, kind, band=band, lazy=lazy)
    with located(path, band):
        if "HSTCUBE" not in plane.header:
            reason = "has the name of a product of hstcube but no card HSTCUBE"
            raise FileError("HC-F26", reason, "give the folder of the stamps")
        require_cards(plane.header)
        require_name(plane.header, path, kind, band)
    found.cubes.add(plane.header["CUBEID"])
    found.planes.setdefault(kind, plane)
    named = str(plane.header.get("BESIDE", "")).split(",")
    for key, unit in _BESIDE[kind].items():
        in_blocks = lazy and kind == "mask"  # what is beside others is small
        more = _plane_beside(path, band, plane.grid, unit, lazy=in_blocks)
        if more is not None:
            found.planes[key] = more
        elif unit in named:
            raise FileError("HC-O20", f"has lost its extension {unit}", AGAIN, str(path), band)


def _plane_beside(path: Path, band: str, grid: Grid, name: str, *, lazy: bool) -> Plane | None:
    """Return what an extension of that name holds, if there is one."""
    with located(path, band), opened(path) as hdus:
        unit = next((unit for unit in hdus if unit.name == name), None)
        if unit is None:
            return None
        source = stored(path, unit) if lazy else None
        if source is None:
            require_whole(path, unit)
        require_numbers(unit.header)
        if (said := str(unit.header.get("FILTER", band)).strip().lower()) != band.lower():
            reason = f"its {name} is that of {said}"
            raise BandError("HC-B03", reason, AGAIN)
        for key in _CARDS_BESIDE.get(name, ()):
            if not 0 < unit.header.get(key, 0) < _LARGEST_PIXEL:
                reason = f"has a card {key} of {unit.header.get(key)!r}, not a size of pixels"
                raise FileError("HC-F04", reason, AGAIN)
        pixels = lazily(source) if source else np.asarray(unit.data, np.float32)
        return Plane(pixels, unit.header, grid)


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
    return FileError("HC-O20", reason, AGAIN)


def _cube_of(names: list[str], planes: list[Planes], chunks: Chunks) -> xr.Dataset:
    """Build the cube of what was found of each band."""
    headers = _headers(planes)
    cube = build(
        _stacked([band["sci"].data for band in planes], chunks),
        _stacked([_weights(band) for band in planes], chunks),
        mask=_stacked([band["mask"].data for band in planes], chunks) > 0,
        bands=names,
        grid=planes[0]["sci"].grid,
        units=headers[0]["BUNIT"],
        field=headers[0]["OBJECT"],
        title=headers[0].get("TITLE", ""),
        **state_in(headers),
    )
    ordered = [planes[names.index(name)] for name in cube.band.values]
    cube = _with_extinction(_with_psf(_with_noise(cube, ordered), ordered), ordered)
    cube = _with_photons(_with_planes(cube, ordered, chunks), _headers(ordered))
    history, notes = history_lines(headers[0].get("HISTORY", ()))
    schema = int(headers[0]["HSTCUBE"])
    cube = cube.assign_attrs(history=history, warnings=notes, hstcube_schema=schema)
    for key in ("RECIPE", "SURVEY", "POISSON"):
        if key in headers[0]:
            cube = cube.assign_attrs({key.lower(): str(headers[0][key])})
    return cube


def _headers(planes: list[Planes]) -> list[fits.Header]:
    return [band["sci"].header for band in planes]


def _stacked(images: list[Any], chunks: Chunks = None) -> Any:
    return np.stack(images) if chunks is None else lazy_stack(images, chunks)


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
            raise FileError("HC-O20", reason, AGAIN)
        return cube
    scales = [float(band["wht"].header["NSCALE"]) for band in bands]
    if not all("noise" in band for band in bands):
        return cube.assign_coords(noise_scale=("band", scales))
    cards = bands[0]["noise"].header
    acf = _stacked([band["noise"].data for band in bands])
    return with_noise_coords(cube, scales, acf, (float(cards["LAGY"]), float(cards["LAGX"])))


def _with_psf(cube: xr.Dataset, bands: list[Planes]) -> xr.Dataset:
    """Return the cube with the PSFs that its files hold."""
    if not all("psf" in band for band in bands):
        return cube
    images = _stacked([band["psf"].data for band in bands])
    cube = with_psf_coords(cube, images, float(bands[0]["psf"].header["PIXSCALE"]))
    headers = _headers(bands)
    for pair in _OF_PSFS:
        if any(card in header for card in pair for header in headers):
            told = {name: ("band", _column(headers, card)) for card, name in pair.items()}
            cube = cube.assign_coords(told)
    return with_errors(cube, _column(headers, "PSFERR"), _column(headers, "PSFSTARS"))


def _with_planes(cube: xr.Dataset, bands: list[Planes], chunks: Chunks) -> xr.Dataset:
    """Return the cube with what its files tell else of each pixel."""
    for name, unit in _BESIDE["mask"].items():
        if all(name in band for band in bands):
            cube = cube.assign({name: (DIMS, _plane_of(name, unit, bands, chunks), TOLD[name])})
    if REPLACED in cube.variables:
        cube = cube.assign(mask=cube.mask & ~cube[REPLACED])
    return cube


def _plane_of(name: str, unit: str, bands: list[Planes], chunks: Chunks) -> Any:
    """Return the images of an extension, of all bands."""
    if any(band[name].data.shape != band["mask"].data.shape for band in bands):
        reason = f"an image {unit} has another shape than the mask beside it"
        raise FileError("HC-O20", reason, AGAIN)
    plane = _stacked([band[name].data for band in bands], chunks)
    if name == REPLACED:
        return plane > 0
    return _shares(plane) if chunks is None else plane.map_blocks(_shares, dtype=plane.dtype)


@pointwise
def _shares(plane: Any) -> Any:
    if not ((plane >= 0) & (plane <= 1)).all():
        reason = f"an image {COVERAGE_UNIT} holds more than shares, 0 to 1"
        raise FileError("HC-O20", reason, AGAIN)
    return plane


def _with_extinction(cube: xr.Dataset, bands: list[Planes]) -> xr.Dataset:
    """Return the cube with the extinction that it is corrected for, where all files tell it."""
    extinction = _column(_headers(bands), "EXTINCT")
    return cube if np.isnan(extinction).any() else with_extinction(cube, extinction)
