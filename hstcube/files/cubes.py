"""Cubes out: per-band FITS that other programs read."""

from __future__ import annotations

import hashlib
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

import numpy as np

from hstcube.basics.digests import bytes_of
from hstcube.core.grids import Grid
from hstcube.core.rules import (
    COVERAGE,
    PLANES,
    REPLACED,
    more_planes,
    taken,
)
from hstcube.core.state import attribute
from hstcube.fits.images import COVERAGE_UNIT, NOISE_UNIT, PSF_UNIT, REPLACED_UNIT
from hstcube.fits.local import as_path
from hstcube.fits.units import hdu
from hstcube.fits.writing import write_files
from hstcube.inputs.choices import flag, require_choice
from hstcube.inputs.names import checked_name
from hstcube.mosaics.cards import band_cards, common_cards
from hstcube.mosaics.streams import ID, Image, Plan, streamed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import xarray as xr
    from numpy.typing import NDArray

    from hstcube.fits.writing import Content
    from hstcube.mosaics.kept import Kept

    Card = tuple[str, Any, str]  # key, value (None: no card), comment
    Images = dict[str, Any]  # arrays, or images whose pixels come later, by their kinds

__all__ = ["Layout", "Noise", "Products", "product_files", "to_fits", "told_by_products"]

_ROWS = 1024  # of images that are read at once

Noise = Literal["wht", "variance"]
Layout = Literal["files", "mef"]
Products = Literal[Layout, "netcdf"]


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

    Examples
    --------
    >>> import tempfile
    >>> import hstcube
    >>> folder = tempfile.mkdtemp()
    >>> [path.name for path in hstcube.to_fits(hstcube.example().sel(band=["f160w"]), folder)]
    ['demo_f160w_sci.fits', 'demo_f160w_wht.fits', 'demo_f160w_mask.fits']
    """
    require_choice("layout", layout, Layout)
    only = flag("apply_mask", apply_mask)
    files, _ = product_files(cube, folder, noise=noise, layout=layout, apply_mask=only)
    return write_files(files, overwrite=overwrite)


def product_files(
    cube: xr.Dataset,
    folder: str | Path,
    *,
    noise: Noise = "wht",
    layout: Products = "files",
    apply_mask: bool = False,
    kept: Kept | None = None,
) -> tuple[Mapping[Path, Content], str]:
    """Return what `to_fits` writes, and the id that all products bear.

    Nothing of a cube in memory of which netCDF alone is wanted. The id of a cube in blocks is "":
    it is known when they have been written, in `kept` or anew; netCDF does not hold such, but FITS,
    one file a band.
    """
    cube = _asked(cube, noise, layout)
    if any(variable.chunks for variable in cube.data_vars.variables.values()):
        plan = _plan(cube, as_path(folder), noise=noise, layout=layout, apply_mask=apply_mask)
        return {**streamed(plan, kept)}, ""
    images = partial(_images, noise=noise, apply_mask=apply_mask, zeros=_has_zeros(cube))
    planes = {
        band: images(*(np.asarray(cube.variables[name].values[i]) for name in PLANES))
        for i, band in enumerate(_bands(cube))
    }
    digest = hashlib.sha256()
    for part in _identity(cube, planes):
        digest.update(part)
    of_set = digest.hexdigest()[:16]
    if layout == "netcdf":
        return {}, of_set
    units = _files(cube, as_path(folder), planes, of_set, layout)
    whole = {path: b"".join(cast("list[bytes]", some)) for path, some in units.items()}
    return whole, of_set


def _plan(
    cube: xr.Dataset, folder: Path, *, noise: Noise, layout: Products, apply_mask: bool
) -> Plan:
    """Return what is to be written block by block, of a cube that dask holds."""
    images = partial(_images, noise=noise, apply_mask=apply_mask, zeros=_has_zeros(cube))
    more = {name: _PLANES_BESIDE[name][1] for name in more_planes(cube)}

    def images_of(sci: Any, wht: Any, mask: Any, **others: Any) -> dict[str, Any]:
        return {**images(sci, wht, mask), **{n: np.asarray(others[n], more[n]) for n in more}}

    nothing = np.zeros((0, 0), np.float32)
    kinds = {name: one.dtype for name, one in images(nothing, nothing, nothing > 0).items()}
    planes = {
        band: {kind: _blank(cube, i, kind, dtype) for kind, dtype in kinds.items()}
        for i, band in enumerate(_bands(cube))
    }
    arrays = {name: cube.variables[name].data for name in (*PLANES, *more)}
    files = _files(cube, folder, planes, "0" * 16, layout)
    return Plan(files, arrays, images_of, [*_identity(cube, planes)])


def _blank(cube: xr.Dataset, i: int, name: str, kind: Any) -> Image:
    """Return an image whose pixels come later."""
    return Image(i, name, np.dtype(kind), (cube.sizes["y"], cube.sizes["x"]), [])


def _asked(cube: xr.Dataset, noise: Noise, layout: Products) -> xr.Dataset:
    require_choice("noise", noise, Noise)
    require_choice("layout", layout, Products)
    return taken(cube)


def _bands(cube: xr.Dataset) -> list[str]:
    return [checked_name(band) for band in cube.band.values.tolist()]


def _files(
    cube: xr.Dataset, folder: Path, planes: dict[str, Images], of_set: str, layout: Products
) -> dict[Path, list[bytes | Image]]:
    """Return the header-data units of every file, in their order."""
    name = checked_name(attribute(cube, "field"))
    common = [*Grid.of(cube).header_cards(), *common_cards(cube, len(planes), of_set)]
    files: dict[Path, list[bytes | Image]] = {}
    for i, (band, images) in enumerate(planes.items()):
        units = _Units(images, _units_beside(cube, i))
        cards = {kind: [*band_cards(cube, i, kind), *common] for kind in images}
        if layout == "files":
            for kind in images:
                files[folder / f"{name}_{band}_{kind}.fits"] = units.one(kind, cards[kind])
        else:
            files[folder / f"{name}_{band}.fits"] = units.together(name, cards)
    return files


class _Units(NamedTuple):
    """What goes to disk of one band: its images by their kinds, and the extensions beside two."""

    images: Images
    beside: dict[str, dict[str, bytes | Image]]
    """By the image that they are beside, sci, wht (or var) or mask, and by their names."""

    def one(self, kind: str, cards: list[Card]) -> list[bytes | Image]:
        """Return a file of one image, and what is beside it."""
        beside = [*self._of(kind).values()]
        first: list[Card] = [("EXTEND", True, "extensions may follow")] if beside else []
        return [_unit(self.images[kind], [*first, *cards, *self._beside(kind)]), *beside]

    def _beside(self, kind: str) -> list[Card]:
        """Return the card that names the extensions that belong to an image, if there are some."""
        names = ",".join(self._of(kind))
        return [("BESIDE", names, "extension that belongs to this image")] if names else []

    def _of(self, kind: str) -> dict[str, bytes | Image]:
        """Return the extensions that belong to an image, by their names."""
        return self.beside["wht" if kind == "var" else kind]

    def together(self, field: str, cards: dict[str, list[Card]]) -> list[bytes | Image]:
        """Return a file of all images."""
        units: list[bytes | Image] = [hdu(None, [("OBJECT", field, "field")])]
        for kind, image in self.images.items():
            units.append(_unit(image, [*cards[kind], *self._beside(kind)], extname=kind.upper()))
        return [*units, *(unit for kind in self.images for unit in self._of(kind).values())]


def _unit(image: Any, cards: list[Card], *, extname: str = "") -> bytes | Image:
    """Return a header-data unit: whole, or with pixels that come later."""
    if isinstance(image, Image):
        return image._replace(cards=cards, extname=extname)
    return hdu(image, cards, extname=extname)


def _has_zeros(cube: xr.Dataset) -> bool:
    """Say whether 0 stands where others write NaN: so wrote the original."""
    return attribute(cube, "recipe") == "original"


def _images(
    sci: Any, wht: Any, mask: Any, *, noise: Noise, apply_mask: bool, zeros: bool
) -> dict[str, NDArray[Any]]:
    """Return the three images of one band as they go to disk, by the kinds of their files."""
    if apply_mask:
        sci, wht = np.where(mask, sci, np.float32(np.nan)), np.where(mask, wht, np.float32(0))
    empty = wht == 0
    error = wht if noise == "wht" else _variance(wht)
    if zeros:
        sci, error = np.where(empty, np.float32(0), sci), np.where(empty, np.float32(0), error)
    kind = "wht" if noise == "wht" else "var"
    return {"sci": sci, kind: error, "mask": mask.astype(np.uint8)}


def _variance(wht: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the variance of the weights, NaN where there is no data."""
    with np.errstate(divide="ignore"):
        variance = (1.0 / wht.astype(np.float64)).astype(np.float32)
    return np.where(wht == 0, np.float32(np.nan), variance)


def _identity(cube: xr.Dataset, planes: dict[str, Images]) -> Iterator[Any]:
    """Yield what the id of a cube is made of: its images as written, and what its bands remember.

    Images whose pixels come later are named: (band, name).
    """
    yield "".join([attribute(cube, "history"), attribute(cube, "warnings"), *planes]).encode()
    for images in planes.values():
        for image in images.values():
            yield image[:2] if isinstance(image, Image) else image.tobytes()
    lazy = any(isinstance(image, Image) for image in next(iter(planes.values())).values())
    more = more_planes(cube) if lazy else ()
    for name in sorted(map(str, [*cube.coords, *more_planes(cube)])):
        if name in more:
            yield from ((i, name) for i in range(len(planes)))
        else:
            yield bytes_of(cube.variables[name].values)


def _units_beside(cube: xr.Dataset, i: int) -> dict[str, dict[str, bytes | Image]]:
    """Return the extensions of a band, by the image that they are beside, and by their names."""
    planes = {name: _PLANES_BESIDE[name] for name in more_planes(cube)}
    units: dict[str, dict[str, bytes | Image]] = {
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
    acf = cube.variables["noise_acf"].transpose("band", "dy", "dx").values[i]
    steps = {axis: _step_of(cube.variables[f"d{axis}"].values) for axis in "xy"}
    cards = [
        ("FILETYPE", "ACF", "autocorrelation of the noise, zero lag in the middle"),
        ("LAGX", steps["x"], "[arcsec] lag of one pixel along x"),
        ("LAGY", steps["y"], "[arcsec] lag of one pixel along y"),
    ]
    return hdu(acf, cards, extname=NOISE_UNIT)


def _psf_unit(cube: xr.Dataset, i: int) -> bytes:
    """Return the PSF of a band as an extension; nothing where none is known."""
    if "psf" not in cube.coords:
        return b""
    image = cube.variables["psf"].transpose("band", "ky", "kx").values[i]
    cards = [
        ("FILETYPE", "PSF", "point spread function, unit sum"),
        ("FILTER", str(cube.variables["band"].values[i]).upper(), "filter"),
        ("PIXSCALE", _step_of(cube.variables["ky"].values), "[arcsec] size of a pixel"),
    ]
    return hdu(image, cards, extname=PSF_UNIT)


# by the variable: the extension, what its values are on disk, and what they say
_PLANES_BESIDE = {
    REPLACED: (REPLACED_UNIT, np.uint8, "1 = pixel of a neighbour, replaced by sky"),
    COVERAGE: (COVERAGE_UNIT, np.float32, "share of its kernel that a pixel saw"),
}


def _plane_unit(cube: xr.Dataset, i: int, name: str) -> bytes | Image:
    """Return what else is told of each pixel of a band as an extension."""
    unit, kind, what = _PLANES_BESIDE[name]
    cards = [
        ("FILETYPE", unit, what),
        ("FILTER", str(cube.variables["band"].values[i]).upper(), "filter"),
    ]
    if cube.variables["sci"].chunks or cube.variables[name].chunks:
        return _unit(_blank(cube, i, name, kind), cards, extname=unit)
    return hdu(np.asarray(cube.variables[name].values[i], kind), cards, extname=unit)


def _step_of(lags: NDArray[np.floating]) -> float:
    return float(lags[lags.size // 2 + 1]) if lags.size > 1 else 0.0


def told_by_products(files: Sequence[Path]) -> tuple[str, int]:
    """Return the id of a cube that was written in blocks, and the pixels of its masks together."""
    from astropy.io import fits

    with ExitStack() as stack:
        images = [stack.enter_context(fits.open(path)) for path in files]
        units = [
            unit for image in images for unit in image if unit.header.get("FILETYPE") == "MASK"
        ]
        of_set = str(units[0].header[ID])
        height, pixels = units[0].shape[0], 0
        for top in range(0, height, _ROWS):
            rows = [unit.section[top : top + _ROWS] > 0 for unit in units]
            pixels += int(np.logical_or.reduce(rows).sum())
    return of_set, pixels
