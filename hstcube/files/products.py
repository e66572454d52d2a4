"""Our own FITS products, read back to the cube that was written."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from hstcube.core.bands import band_name
from hstcube.core.cube import build
from hstcube.core.psf_coords import with_psf_coords
from hstcube.errors import FileError
from hstcube.fits.images import (
    NOISE_UNIT,
    PSF_UNIT,
    Plane,
    inverse_variance,
    read_plane,
    require_whole,
)
from hstcube.fits.opening import located, opened
from hstcube.fits.units import history_lines
from hstcube.noise.groups import with_noise_coords
from hstcube.phot.units import with_extinction

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import xarray as xr

    from hstcube.core.grids import Grid

__all__ = ["find_products", "open_products"]

_NUMBERS = ("HSTCUBE", "NBANDS", "PSFFWHM", "SKY", "SKYERR", "ABZP", "PHOTPLAM")
_HOLDS = {
    "sci": ("sci",),
    "wht": ("wht",),
    "var": ("wht",),
    "mask": ("mask",),
    "": ("sci", "wht", "mask"),
}


def find_products(folder: Path, field: str) -> dict[str, dict[str, Path]]:
    """Return the files that `to_fits` wrote for a field: band to kind ("" holds all three images) to path."""
    found: dict[str, dict[str, Path]] = {}
    for path in sorted(folder.glob(f"{field}_f*.fits")):
        name, _, kind = path.name[len(field) + 1 : -5].partition("_")
        if kind in _HOLDS:
            found.setdefault(name, {})[kind] = path
    return found


def open_products(products: dict[str, dict[str, Path]], bands: Sequence[str] | None) -> xr.Dataset:
    """Open what `find_products` found; see `hstcube.open_field`."""
    names = [band_name(name) for name in bands] if bands else list(products)
    folder = next(path for kinds in products.values() for path in kinds.values()).parent
    read = {name: _read_band(name, products.get(name, {}), folder) for name in names}
    planes = [planes for planes, _ in read.values()]
    versions = set().union(*(ids for _, ids in read.values()))
    number = int(planes[0]["sci"].header["NBANDS"])
    if len(versions) > 1 or number != len(products):
        raise FileError(
            "HC-O20",
            f"the files of field {planes[0]['sci'].header['OBJECT']} do not belong to one cube "
            f"({len(products)} bands of {number}, {len(versions)} versions)",
            "write the cube into an empty folder, or again with overwrite=True and the older files removed",
            file=str(folder),
        )
    return _cube_of(names, planes)


def _read_band(
    name: str, files: dict[str, Path], folder: Path
) -> tuple[dict[str, Plane], set[str]]:
    """Return the three images of a band, and the identities of the cubes that its files belong to."""
    planes: dict[str, Plane] = {}
    cubes = set()
    for role, path in files.items():
        for kind in _HOLDS[role]:
            plane = read_plane(path, kind, band=name)
            with located(path, name):
                if "HSTCUBE" not in plane.header:
                    reason = "has the name of a product of hstcube but no card HSTCUBE"
                    raise FileError("HC-F26", reason, "give the folder of the stamps")
                _require_cards(plane)
            cubes.add(plane.header["CUBEID"])
            planes.setdefault(kind, plane)
            if kind == "wht" and "NSCALE" in plane.header:
                planes |= _plane_beside(path, name, plane.grid, "noise", NOISE_UNIT)
            if kind == "sci":
                planes |= _plane_beside(path, name, plane.grid, "psf", PSF_UNIT)
    if missing := [kind for kind in ("sci", "wht", "mask") if kind not in planes]:
        reason = f"the product has no {missing[0]} image"
        raise FileError("HC-F01", reason, "write the cube again with to_fits", str(folder), name)
    for kind in ("wht", "mask"):
        planes["sci"].grid.require(planes[kind].grid, what=f"sci and {kind} of {name}")
    return planes, cubes


def _plane_beside(path: Path, band: str, grid: Grid, key: str, name: str) -> dict[str, Plane]:
    """Return what an extension of that name holds; nothing where there is none."""
    with located(path, band), opened(path) as hdus:
        unit = next((unit for unit in hdus if unit.name == name), None)
        if unit is None:
            return {}
        require_whole(path, unit)
        return {key: Plane(np.asarray(unit.data, np.float32), unit.header, grid)}


def _with_psf(cube: xr.Dataset, bands: list[dict[str, Plane]]) -> xr.Dataset:
    """Return the cube with the PSFs that its files hold."""
    if not all("psf" in band for band in bands):
        return cube
    images = np.stack([band["psf"].data for band in bands])
    cube = with_psf_coords(cube, images, float(bands[0]["psf"].header["PIXSCALE"]))
    headers = [band["sci"].header for band in bands]
    if not all(card in header for card in ("PSFEEERR", "PSFNEG") for header in headers):
        return cube
    quality = {"psf_ee_error": "PSFEEERR", "psf_negative": "PSFNEG"}
    return cube.assign_coords(
        {
            key: ("band", [float(header[card]) for header in headers])
            for key, card in quality.items()
        }
    )


def _with_noise(cube: xr.Dataset, bands: list[dict[str, Plane]]) -> xr.Dataset:
    """Return the cube with the noise that its files tell of."""
    if not all("NSCALE" in band["wht"].header for band in bands):
        return cube
    scales = [float(band["wht"].header["NSCALE"]) for band in bands]
    if not all("noise" in band for band in bands):
        return cube.assign_coords(noise_scale=("band", scales))
    cards = bands[0]["noise"].header
    acf = np.stack([band["noise"].data for band in bands])
    return with_noise_coords(cube, scales, acf, (float(cards["LAGY"]), float(cards["LAGX"])))


def _require_cards(plane: Plane) -> None:
    needed = (
        "CUBEID",
        "NBANDS",
        "OBJECT",
        "FILETYPE",
        *(("BUNIT",) if plane.header.get("FILETYPE") == "SCI" else ()),
    )
    if lost := [key for key in needed if key not in plane.header]:
        raise FileError(
            "HC-F04", f"has lost the card {lost[0]}", "write the cube again with to_fits"
        )
    for key in (key for key in _NUMBERS if key in plane.header):
        if isinstance(value := plane.header[key], bool) or not isinstance(value, int | float):
            raise FileError(
                "HC-F04",
                f"has a card {key} of {value!r}, not a number",
                "write the cube again with to_fits",
            )


def _cube_of(names: list[str], planes: list[dict[str, Plane]]) -> xr.Dataset:
    headers = [band["sci"].header for band in planes]
    wht = [
        inverse_variance(
            band["wht"].data,
            "variance" if band["wht"].header["FILETYPE"] == "VAR" else "ivar",
            name,
        )
        for name, band in zip(names, planes, strict=True)
    ]

    def column(key: str) -> list[float]:
        return [float(header.get(key, math.nan)) for header in headers]

    cube = build(
        np.stack([band["sci"].data for band in planes]),
        np.stack(wht),
        mask=np.stack([band["mask"].data > 0 for band in planes]),
        bands=names,
        grid=planes[0]["sci"].grid,
        units=headers[0]["BUNIT"],
        field=headers[0]["OBJECT"],
        title=headers[0].get("TITLE", ""),
        psf_fwhm=column("PSFFWHM"),
        sky=column("SKY"),
        sky_error=column("SKYERR"),
        zeropoint=column("ABZP"),
        pivot=column("PHOTPLAM"),
        matched_to=[header.get("MATCHED", "") for header in headers],
    )
    ordered = [planes[names.index(name)] for name in cube.band.values]
    cube = _with_psf(_with_noise(cube, ordered), ordered)
    if (extinction := dict(zip(names, column("EXTINCT"), strict=True))) and not any(
        map(math.isnan, extinction.values())
    ):
        cube = with_extinction(cube, [extinction[name] for name in cube.band.values])
    history, notes = history_lines(headers[0].get("HISTORY", ()))
    extra = {"recipe": headers[0]["RECIPE"]} if "RECIPE" in headers[0] else {}
    return cube.assign_attrs(
        history=history, warnings=notes, hstcube_schema=int(headers[0]["HSTCUBE"]), **extra
    )
