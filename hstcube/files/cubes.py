"""Cubes out: per-band FITS that other programs read."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from hstcube import __version__
from hstcube.basics.digests import bytes_of
from hstcube.core.bands import cameras
from hstcube.core.cube import SCHEMA
from hstcube.core.grids import Grid
from hstcube.core.rules import (
    COVERAGE,
    PLANES,
    REPLACED,
    inverse_variance_unit,
    more_planes,
    taken,
)
from hstcube.core.state import attribute
from hstcube.fits.images import COVERAGE_UNIT, NOISE_UNIT, PSF_UNIT, REPLACED_UNIT
from hstcube.fits.units import hdu, history_cards
from hstcube.fits.writing import write_files
from hstcube.inputs.choices import require_choice
from hstcube.inputs.names import checked_name

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

    Card = tuple[str, Any, str]  # key, value (None: no card), comment

__all__ = ["Layout", "Noise", "product_files", "to_fits"]

Noise = Literal["wht", "variance"]
Layout = Literal["files", "mef"]

_JWST = ("NIRCAM", "NIRISS", "MIRI")


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
        ``{field}_{band}.fits`` with the extensions SCI, WHT (or VAR) and MASK. What
        `replace_neighbours` replaced is in an extension REPLACED beside the mask, the
        ``coverage`` of a matched cube in an extension COVERAGE.
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
    RecipeError
        If there is no such choice of `noise` or `layout`.
    """
    files, _ = product_files(cube, folder, noise=noise, layout=layout, apply_mask=apply_mask)
    return write_files(files, overwrite=overwrite)


def product_files(
    cube: xr.Dataset,
    folder: str | Path,
    *,
    noise: Noise = "wht",
    layout: Layout = "files",
    apply_mask: bool = False,
) -> tuple[dict[Path, bytes], str]:
    """Return what `to_fits` writes, and the id that all of it bears."""
    require_choice("noise", noise, Noise)
    require_choice("layout", layout, Layout)
    cube = taken(cube)
    name = checked_name(attribute(cube, "field"))
    folder = Path(folder)
    bands = [checked_name(band) for band in cube.band.values.tolist()]
    planes = {band: _planes(cube, i, noise, apply_mask) for i, band in enumerate(bands)}
    of_set = _id_of(cube, planes)
    common = [*Grid.of(cube).header_cards(), *_common_cards(cube, len(planes), of_set)]
    files: dict[Path, bytes] = {}
    for i, (band, images) in enumerate(planes.items()):
        units = _Units(images, _units_beside(cube, i))
        cards = {kind: [*_band_cards(cube, i, kind), *common] for kind in images}
        if layout == "files":
            for kind in images:
                files[folder / f"{name}_{band}_{kind}.fits"] = units.one(kind, cards[kind])
        else:
            files[folder / f"{name}_{band}.fits"] = units.together(name, cards)
    return files, of_set


class _Units(NamedTuple):
    """What goes to disk of one band: its images by their kinds, and the extensions beside two."""

    images: dict[str, NDArray[Any]]
    beside: dict[str, dict[str, bytes]]
    """By the image that they are beside, sci, wht (or var) or mask, and by their names."""

    def one(self, kind: str, cards: list[Card]) -> bytes:
        """Return a file of one image, and what is beside it."""
        beside = b"".join(self._of(kind).values())
        first: list[Card] = [("EXTEND", True, "extensions may follow")] if beside else []
        return hdu(self.images[kind], [*first, *cards, *self._beside(kind)]) + beside

    def _beside(self, kind: str) -> list[Card]:
        """Return the card that names the extensions that belong to an image, if there are some."""
        names = ",".join(self._of(kind))
        return [("BESIDE", names, "extension that belongs to this image")] if names else []

    def _of(self, kind: str) -> dict[str, bytes]:
        """Return the extensions that belong to an image, by their names."""
        return self.beside["wht" if kind == "var" else kind]

    def together(self, field: str, cards: dict[str, list[Card]]) -> bytes:
        """Return a file of all images."""
        units = [hdu(None, [("OBJECT", field, "field")])]
        for kind, image in self.images.items():
            units.append(hdu(image, [*cards[kind], *self._beside(kind)], extname=kind.upper()))
        return b"".join(
            [*units, *(unit for kind in self.images for unit in self._of(kind).values())]
        )


def _planes(cube: xr.Dataset, i: int, noise: Noise, apply_mask: bool) -> dict[str, NDArray[Any]]:
    """Return the three images of one band as they go to disk, by the kinds of their files."""
    sci, wht, mask = (np.asarray(cube.variables[name].values[i]) for name in PLANES)
    if apply_mask:
        sci, wht = np.where(mask, sci, np.float32(np.nan)), np.where(mask, wht, np.float32(0))
    empty = wht == 0
    error = wht if noise == "wht" else _variance(wht)
    if attribute(cube, "recipe") == "original":  # which wrote zeros where others write NaN
        sci, error = np.where(empty, np.float32(0), sci), np.where(empty, np.float32(0), error)
    kind = "wht" if noise == "wht" else "var"
    return {"sci": sci, kind: error, "mask": mask.astype(np.uint8)}


def _variance(wht: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the variance of the weights, NaN where there is no data."""
    with np.errstate(divide="ignore"):
        variance = (1.0 / wht.astype(np.float64)).astype(np.float32)
    return np.where(wht == 0, np.float32(np.nan), variance)


def _id_of(cube: xr.Dataset, planes: dict[str, dict[str, NDArray[Any]]]) -> str:
    """Return the id of a cube: of its images as written, and of what its bands remember."""
    said = [attribute(cube, "history"), attribute(cube, "warnings"), *planes]
    digest = hashlib.sha256("".join(said).encode())
    for images in planes.values():
        for image in images.values():
            digest.update(image.tobytes())
    for name in sorted(map(str, [*cube.coords, *more_planes(cube)])):
        digest.update(bytes_of(cube.variables[name].values))
    return digest.hexdigest()[:16]


def _common_cards(cube: xr.Dataset, bands: int, of_set: str) -> list[Card]:
    history, warnings = attribute(cube, "history"), attribute(cube, "warnings")
    return [
        (
            "HSTCUBE",
            _schema_of(cube),
            "schema version of hstcube products",
        ),
        ("CUBEID", of_set, "the same in all files of one cube"),
        ("NBANDS", bands, "number of bands of the cube"),
        ("RECIPE", attribute(cube, "recipe") or None, "hstcube recipe"),
        ("SURVEY", attribute(cube, "survey") or None, "survey whose images these are"),
        (
            "POISSON",
            attribute(cube, "poisson") or None,
            "noise of the sources, added to the weights",
        ),
        ("TITLE", attribute(cube, "title") or None, ""),
        ("ORIGIN", f"hstcube {__version__}", "software"),
        *history_cards(history, warnings),
    ]


def _schema_of(cube: xr.Dataset) -> int:
    told = cube.attrs.get("hstcube_schema", SCHEMA)
    return int(told) if isinstance(told, int | np.integer) else SCHEMA


_FILETYPES = {
    "sci": "science image",
    "wht": "inverse variance, 0 = no data",
    "var": "variance",
    "mask": "1 = pixel to use",
}


def _band_cards(cube: xr.Dataset, i: int, kind: str) -> list[Card]:
    name = str(cube.variables["band"].values[i])
    instrument, detector = _camera(cube, i)
    units = cube.variables["sci"].attrs["units"]
    unit = {"sci": units, "wht": inverse_variance_unit(units), "var": f"({units})2"}.get(kind)
    return [
        ("FILETYPE", kind.upper(), _FILETYPES[kind]),
        ("OBJECT", attribute(cube, "field"), "field"),
        ("TELESCOP", "JWST" if instrument in _JWST else "HST", "telescope"),
        ("INSTRUME", instrument or None, "instrument that has the filter"),
        ("DETECTOR", detector or None, "detector"),
        ("FILTER", name.upper(), "filter"),
        ("BUNIT", unit, "unit of a pixel"),
        ("PHOTPLAM", _number(cube, "pivot", i), "[Angstrom] pivot wavelength"),
        ("ABZP", _number(cube, "zeropoint", i), "AB magnitude of one unit of sci"),
        ("TEXPTIME", _number(cube, "exposure", i), "[s] exposure time"),
        ("ELECTRON", _number(cube, "electrons", i), "[electron/s] that one unit of sci is"),
        ("PHOTONS", _text(cube, "photons", i), "noise of photons that the weights hold"),
        ("PSFFWHM", _number(cube, "psf_fwhm", i), "[arcsec] FWHM of the PSF"),
        (
            "PSFEEERR",
            _number(cube, "psf_ee_error", i),
            "error of its encircled energy, after matching",
        ),
        (
            "PSFERR",
            _number(cube, "psf_error", i),
            "error of the PSF as it was measured, of the same",
        ),
        ("PSFSTARS", _number(cube, "psf_stars", i), "stars that it was measured from"),
        ("PSFNEG", _number(cube, "psf_negative", i), "negative part of the kernel that matched it"),
        ("PSFENER", _number(cube, "psf_energy", i), "share of a star's light in the PSF's frame"),
        ("PSFENERR", _number(cube, "psf_energy_error", i), "its error"),
        (
            "MATCHED",
            str(cube.variables["matched_to"].values[i]) or None,
            "what the PSF was matched to",
        ),
        ("SKY", _number(cube, "sky", i), "sky level subtracted, units of sci"),
        ("SKYERR", _number(cube, "sky_error", i), "its standard error"),
        ("EXTINCT", _number(cube, "extinction", i), "[mag] extinction that sci is corrected for"),
        ("NSCALE", _number(cube, "noise_scale", i), "sigma of one pixel times sqrt(wht)"),
    ]


def _number(cube: xr.Dataset, coordinate: str, i: int) -> float | None:
    """Return what a band remembers; None, which is no card, where it is not known."""
    known = cube.variables.get(coordinate)
    value = math.nan if known is None else float(known.values[i])
    return None if math.isnan(value) else value


def _text(cube: xr.Dataset, coordinate: str, i: int) -> str | None:
    known = cube.variables.get(coordinate)
    return None if known is None else str(known.values[i]) or None


def _units_beside(cube: xr.Dataset, i: int) -> dict[str, dict[str, bytes]]:
    """Return the extensions of a band, by the image that they are beside, and by their names."""
    planes = {name: _PLANES_BESIDE[name] for name in more_planes(cube)}
    units = {
        "sci": {PSF_UNIT: _psf_unit(cube, i)},
        "wht": {NOISE_UNIT: _noise_unit(cube, i)},
        "mask": {unit: _plane_unit(cube, i, name) for name, (unit, _, _) in planes.items()},
    }
    return {
        kind: {name: unit for name, unit in some.items() if unit} for kind, some in units.items()
    }


def _noise_unit(cube: xr.Dataset, i: int) -> bytes:
    """Return the autocorrelation of a band's noise as an extension; nothing where none is known."""
    if "noise_acf" not in cube.coords:
        return b""
    acf = cube.variables["noise_acf"].isel(band=i).transpose("dy", "dx")
    steps = {axis: _step_of(cube.variables[f"d{axis}"].values) for axis in "xy"}
    cards = [
        ("FILETYPE", "ACF", "autocorrelation of the noise, zero lag in the middle"),
        ("LAGX", steps["x"], "[arcsec] lag of one pixel along x"),
        ("LAGY", steps["y"], "[arcsec] lag of one pixel along y"),
    ]
    return hdu(acf.values, cards, extname=NOISE_UNIT)


def _psf_unit(cube: xr.Dataset, i: int) -> bytes:
    """Return the PSF of a band as an extension; nothing where none is known."""
    if "psf" not in cube.coords:
        return b""
    image = cube.variables["psf"].isel(band=i).transpose("ky", "kx")
    cards = [
        ("FILETYPE", "PSF", "point spread function, unit sum"),
        ("FILTER", str(cube.variables["band"].values[i]).upper(), "filter"),
        ("PIXSCALE", _step_of(cube.variables["ky"].values), "[arcsec] size of a pixel"),
    ]
    return hdu(image.values, cards, extname=PSF_UNIT)


# by the variable: the extension, what its values are on disk, and what they say
_PLANES_BESIDE = {
    REPLACED: (REPLACED_UNIT, np.uint8, "1 = pixel of a neighbour, replaced by sky"),
    COVERAGE: (COVERAGE_UNIT, np.float32, "share of its kernel that a pixel saw"),
}


def _plane_unit(cube: xr.Dataset, i: int, name: str) -> bytes:
    """Return what else is told of each pixel of a band as an extension."""
    unit, kind, what = _PLANES_BESIDE[name]
    cards = [
        ("FILETYPE", unit, what),
        ("FILTER", str(cube.variables["band"].values[i]).upper(), "filter"),
    ]
    return hdu(np.asarray(cube.variables[name].values[i], kind), cards, extname=unit)


def _step_of(lags: NDArray[np.floating]) -> float:
    return float(lags[lags.size // 2 + 1]) if lags.size > 1 else 0.0


def _camera(cube: xr.Dataset, i: int) -> tuple[str, str]:
    """Return instrument and detector of a band; '' where they are not known.

    Cubes of 0.1.0 do not say them: the camera's whose filter is nearest to the pivot wavelength.
    """
    if "instrument" in cube.coords and "detector" in cube.coords:
        both = (cube.variables[name].values[i] for name in ("instrument", "detector"))
        return str(next(both)), str(next(both))
    name, pivot = str(cube.variables["band"].values[i]), float(cube.pivot.values[i])
    near = min(cameras(name), key=lambda camera: abs(camera.pivot - pivot), default=None)
    return (near.instrument, near.detector) if near else ("", "")
