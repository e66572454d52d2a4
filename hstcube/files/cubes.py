"""Cubes out: per-band FITS that other programs read, and netCDF that keeps the whole Dataset."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hstcube import __version__
from hstcube.core.bands import band as find_band
from hstcube.core.grids import Grid
from hstcube.core.rules import validate
from hstcube.errors import FileError, HstCubeError, WriteError
from hstcube.fits.images import NOISE_UNIT, PSF_UNIT
from hstcube.fits.units import hdu, history_cards
from hstcube.fits.writing import require_room_after_all, write_files, written_whole
from hstcube.surveys.names import checked_name

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

__all__ = ["open_cube", "save_cube", "to_fits"]

Noise = Literal["wht", "variance"]
Layout = Literal["files", "mef"]


def to_fits(
    cube: xr.Dataset,
    folder: str | Path,
    *,
    noise: Noise = "wht",
    layout: Layout = "files",
    apply_mask: bool = False,
    overwrite: bool = False,
) -> list[Path]:
    """Write a cube as FITS, band by band.

    Parameters
    ----------
    cube : Dataset
        Its attribute ``field`` begins the file names.
    folder : path
        Made when it does not exist.
    noise : {"wht", "variance"}
        Write inverse variances (``_wht.fits``, 0 = no data) or variances of the weights
        (``_var.fits``, NaN = no data).
    layout : {"files", "mef"}
        ``{field}_{band}_sci.fits``, ``_wht.fits`` and ``_mask.fits`` (uint8, 1 = use), or one
        ``{field}_{band}.fits`` with the extensions SCI, WHT (or VAR) and MASK.
    apply_mask : bool
        Leave out the pixels that the mask leaves out: NaN in sci, no data in wht.
    overwrite : bool
        Replace files that exist. Without it nothing is written when one does.

    Returns
    -------
    list of Path
        What was written. All files are on disk and verified before the first gets its name.
        `open_field` reads them back to an equal cube.

    Raises
    ------
    WriteError
        If a file exists or cannot be written.
    """
    validate(cube)
    name = checked_name(str(cube.attrs["field"]))
    folder = Path(folder)
    kinds = ("sci", "wht" if noise == "wht" else "var", "mask")
    planes = {
        band: _planes(cube, i, noise, apply_mask)
        for i, band in enumerate(cube.band.values.tolist())
    }
    common = [*Grid.of(cube).header_cards(), *_common_cards(cube, planes)]
    files: dict[Path, bytes] = {}
    for band in planes:
        checked_name(band)
    for i, (band, images) in enumerate(planes.items()):
        cards = {kind: [*_band_cards(cube, i, kind), *common] for kind in kinds}
        beside = {"sci": _psf_unit(cube, i), kinds[1]: _noise_unit(cube, i)}
        if layout == "files":
            for kind, image in zip(kinds, images, strict=True):
                more = beside.get(kind, b"")
                first = [("EXTEND", True, "extensions may follow")] if more else []
                files[folder / f"{name}_{band}_{kind}.fits"] = (
                    hdu(image, [*first, *cards[kind]]) + more
                )
        else:
            units = [
                hdu(image, cards[kind], extname=kind.upper())
                for kind, image in zip(kinds, images, strict=True)
            ]
            empty = hdu(None, [("OBJECT", name, "field")])
            files[folder / f"{name}_{band}.fits"] = b"".join([empty, *units, *beside.values()])
    return write_files(files, overwrite=overwrite)


def save_cube(cube: xr.Dataset, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write a cube as one netCDF file, compressed without loss.

    Parameters
    ----------
    cube : Dataset
    path : path
        Ends in ``.nc``.
    overwrite : bool
        Replace a file that exists.

    Raises
    ------
    WriteError
        If the file exists or cannot be written.
    """
    validate(cube)
    path = Path(path)
    encoding = {name: {"zlib": True, "complevel": 1, "shuffle": True} for name in cube.data_vars}
    cube = _with_plain_attrs(cube)

    def write(part: Path) -> None:
        try:
            cube.to_netcdf(part, engine="netcdf4", encoding=encoding)
            whole = open_cube(part).identical(cube.compute())
        except (
            OSError,
            RuntimeError,
            FileError,
        ) as error:  # the HDF5 library's words do not tell a full disk
            require_room_after_all(part.parent)
            reason = f"cannot be written: {error}"
            raise WriteError(
                "HC-O02", reason, "make room, or choose another folder", str(path)
            ) from error
        if not whole:
            raise WriteError(
                "HC-O21",
                "what was read back differs from the cube",
                "report it; write FITS instead",
                str(path),
            )

    return written_whole(path, write, overwrite=overwrite)


def open_cube(path: str | Path, *, chunks: Any = None) -> xr.Dataset:
    """Open a cube that `save_cube` wrote.

    Parameters
    ----------
    path : path
    chunks : mapping, optional
        Open lazily with dask.

    Raises
    ------
    FileError
        If the file is missing, damaged or foreign.
    CubeError
        If it holds no cube.
    """
    import xarray as xr

    path = Path(path)
    if not path.is_file():
        raise FileError("HC-F01", "there is no such file", "check the path", file=str(path))
    try:
        if chunks is None:
            with xr.open_dataset(path, engine="netcdf4") as opened:
                cube = opened.load()
        else:
            cube = xr.open_dataset(path, engine="netcdf4", chunks=chunks)
    except (OSError, RuntimeError, ValueError) as error:
        raise FileError(
            "HC-F04",
            f"is not a netCDF file that can be read ({error})",
            "write it again with save_cube",
            file=str(path),
        ) from error
    state = {
        name: coord.compute() for name, coord in cube.coords.items()
    }  # never chunked: every step looks at it
    texts = {name: coord.astype(object) for name, coord in state.items() if coord.dtype.kind == "U"}
    cube = cube.assign_coords(state | texts)
    holders: tuple[Any, ...] = (cube, *cube.variables.values())
    for holder in holders:
        holder.encoding = {}
        holder.attrs = {
            key: value.item() if isinstance(value, np.generic) else value
            for key, value in holder.attrs.items()
        }
    try:
        return validate(cube.assign(mask=cube.mask.astype(bool)) if "mask" in cube else cube)
    except HstCubeError as error:
        error.at(file=str(path))
        raise


def _with_plain_attrs(cube: xr.Dataset) -> xr.Dataset:
    """Return the cube with attributes that netCDF cannot hold (None, True, a dict) as JSON text."""
    plain = cube.copy()  # shallow
    holders: tuple[Any, ...] = (plain, *plain.variables.values())
    for holder in holders:
        holder.attrs = {
            key: json.dumps(value, default=str)
            if value is None or isinstance(value, bool | dict)
            else value
            for key, value in holder.attrs.items()
        }
    return plain


def _planes(
    cube: xr.Dataset, i: int, noise: Noise, apply_mask: bool
) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.uint8]]:
    """Return the three images of one band as they go to disk."""
    sci, wht, mask = (np.asarray(cube[name].values[i]) for name in ("sci", "wht", "mask"))
    if apply_mask:
        sci, wht = np.where(mask, sci, np.float32(np.nan)), np.where(mask, wht, np.float32(0))
    empty = wht == 0
    error = wht
    if noise == "variance":
        with np.errstate(divide="ignore"):
            error = np.where(
                empty, np.float32(np.nan), (1.0 / wht.astype(np.float64)).astype(np.float32)
            )
    if cube.attrs.get("recipe") == "original":  # which wrote zeros where others write NaN
        sci, error = np.where(empty, np.float32(0), sci), np.where(empty, np.float32(0), error)
    return sci, error, mask.astype(np.uint8)


def _common_cards(cube: xr.Dataset, planes: dict[str, Any]) -> list[tuple[str, Any, str]]:
    digest = hashlib.sha256(
        "".join([cube.attrs["history"], cube.attrs["warnings"], *planes]).encode()
    )
    for images in planes.values():
        for image in images:
            digest.update(image.tobytes())
    return [
        ("HSTCUBE", int(cube.attrs["hstcube_schema"]), "schema version of hstcube products"),
        ("CUBEID", digest.hexdigest()[:16], "the same in all files of one cube"),
        ("NBANDS", len(planes), "number of bands of the cube"),
        ("RECIPE", cube.attrs.get("recipe"), "hstcube recipe"),
        ("TITLE", cube.attrs.get("title") or None, ""),
        ("ORIGIN", f"hstcube {__version__}", "software"),
        *history_cards(cube.attrs["history"], cube.attrs["warnings"]),
    ]


def _band_cards(cube: xr.Dataset, i: int, kind: str) -> list[tuple[str, Any, str]]:
    name = str(cube.band.values[i])
    pivot = float(cube.pivot.values[i])
    owner = _camera(name, pivot)
    units = cube.sci.attrs["units"]
    unit = {"sci": units, "wht": cube.wht.attrs["units"], "var": f"({units})2", "mask": None}[kind]

    def number(coordinate: str) -> float | None:
        if coordinate not in cube.coords:
            return None
        value = float(cube[coordinate].values[i])
        return None if math.isnan(value) else value

    return [
        (
            "FILETYPE",
            kind.upper(),
            {
                "sci": "science image",
                "wht": "inverse variance, 0 = no data",
                "var": "variance",
                "mask": "1 = pixel to use",
            }[kind],
        ),
        ("OBJECT", str(cube.attrs["field"]), "field"),
        ("TELESCOP", "HST", "telescope"),
        ("INSTRUME", owner.instrument if owner else None, "instrument that has the filter"),
        ("DETECTOR", owner.detector if owner else None, "detector"),
        ("FILTER", name.upper(), "filter"),
        ("BUNIT", unit, "unit of a pixel"),
        ("PHOTPLAM", number("pivot"), "[Angstrom] pivot wavelength"),
        ("ABZP", number("zeropoint"), "AB magnitude of one unit of sci"),
        ("PSFFWHM", number("psf_fwhm"), "[arcsec] FWHM of the PSF"),
        ("PSFEEERR", number("psf_ee_error"), "error of its encircled energy, after matching"),
        ("PSFNEG", number("psf_negative"), "negative part of the kernel that matched it"),
        ("MATCHED", str(cube.matched_to.values[i]) or None, "what the PSF was matched to"),
        ("SKY", number("sky"), "sky level subtracted, units of sci"),
        ("SKYERR", number("sky_error"), "its standard error"),
        ("EXTINCT", number("extinction"), "[mag] extinction that sci is corrected for"),
        ("NSCALE", number("noise_scale"), "sigma of one pixel times sqrt(wht)"),
    ]


def _noise_unit(cube: xr.Dataset, i: int) -> bytes:
    """Return the autocorrelation of a band's noise as an extension, which stands beside its weights; or nothing."""
    if "noise_acf" not in cube.coords:
        return b""
    acf = cube.noise_acf.isel(band=i).transpose("dy", "dx")
    steps = {axis: _step_of(cube[f"d{axis}"].values) for axis in "xy"}
    cards = [
        ("FILETYPE", "ACF", "autocorrelation of the noise, zero lag in the middle"),
        ("LAGX", steps["x"], "[arcsec] lag of one pixel along x"),
        ("LAGY", steps["y"], "[arcsec] lag of one pixel along y"),
    ]
    return hdu(acf.values, cards, extname=NOISE_UNIT)


def _psf_unit(cube: xr.Dataset, i: int) -> bytes:
    """Return the PSF of a band as an extension, which stands beside its science image; or nothing."""
    if "psf" not in cube.coords:
        return b""
    image = cube.psf.isel(band=i).transpose("ky", "kx")
    cards = [
        ("FILETYPE", "PSF", "point spread function, unit sum"),
        ("FILTER", str(cube.band.values[i]).upper(), "filter"),
        ("PIXSCALE", _step_of(cube.ky.values), "[arcsec] size of a pixel"),
    ]
    return hdu(image.values, cards, extname=PSF_UNIT)


def _step_of(lags: NDArray[np.floating]) -> float:
    return float(lags[lags.size // 2 + 1]) if lags.size > 1 else 0.0


def _camera(name: str, pivot: float) -> Any:
    """Return the camera whose filter of that name has that pivot wavelength; the first one when none has."""
    from hstcube.errors import BandError

    try:
        cameras = [
            find_band(name, instrument=i, detector=d)
            for i, d in (("ACS", "WFC"), ("WFC3", "UVIS"), ("WFC3", "IR"))
        ]
    except BandError:
        return None
    return min(cameras, key=lambda camera: abs(camera.pivot - pivot))
