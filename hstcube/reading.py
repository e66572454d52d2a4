"""FITS in: the images of a field as a cube, segmentation maps, sky levels, and our own products."""

from __future__ import annotations

import math
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import xarray as xr

from hstcube._fits import history_lines
from hstcube.bands import band as find_band
from hstcube.bands import band_name
from hstcube.cube import KNOWN_UNITS, build, record, warn
from hstcube.errors import BandError, CubeError, FileError, GridError, HstCubeError, LabelError, SkyError
from hstcube.grids import Grid
from hstcube.surveys import BandFiles, FieldFiles, checked_name, find_field, survey_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from astropy.io import fits
    from numpy.typing import NDArray

__all__ = ["open_bands", "open_field", "open_files", "open_labels", "read_levels"]

NOT_AN_INTEGER = -2

_UNITS = {"ELECTRONS/S": "electron s-1", "ELECTRON/S": "electron s-1", "E-/S": "electron s-1", "E/S": "electron s-1",
          "ELECTRON S-1": "electron s-1", "UJY": "uJy", "NJY": "nJy", "JY": "Jy", "MJY/SR": "MJy sr-1"}  # fmt: skip
_WEIGHTS = ("ivar", "rms", "variance")
_JY_OF_AB_ZERO = 3631.0
_PIXEL = re.compile(r"per pixel of ([0-9.]+) arcsec")  # what `hstcube sky` writes into its files
_LARGEST_ID = 2**24  # float32 holds integers exactly up to here


def open_field(
    folder: str | Path,
    field: str,
    *,
    scale: str = "60mas",
    bands: Sequence[str] | None = None,
    psf_fwhm: Mapping[str, float] | None = None,
    chunks: Mapping[str, int] | None = None,
    images: str | None = None,
) -> xr.Dataset:
    """Open the images of one field as a cube.

    Parameters
    ----------
    folder : path
        Holds ``{field}_{scale}_{filter}_{sci,wht}.fits`` (or .gz, .fz), itself or in its ``new_stamps``; or products of
        `to_fits`, which come back as the cube that was written.
    field : str
        What the file names begin with.
    scale : str
        The label of the pixel scale in the file names. The scale itself is read from the WCS and must agree.
    bands : sequence of str, optional
        Only these.
    psf_fwhm : mapping of band to float, optional
        FWHM of the PSF [arcsec]; else from the header or the table of the survey, or NaN.
    chunks : mapping, optional
        Open lazily with dask, in chunks of so many pixels: ``{"y": 1024, "x": 1024}``.
    images : str, optional
        Another place for the images; see `list_fields`.

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
        return _open_products(products, bands)
    return open_files(files, bands=bands, psf_fwhm=psf_fwhm, chunks=chunks)


def open_bands(
    files: Mapping[str, tuple[str | Path, str | Path]],
    *,
    field: str,
    zeropoint: Mapping[str, float] | None = None,
    psf_fwhm: Mapping[str, float] | None = None,
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
    names = [band_name(name) for name in files]
    if len(set(names)) != len(names):
        raise BandError("HC-B02", f"a band is there twice: {names}", "keep one of the two")
    entries = {
        band_name(name): BandFiles((Path(sci),), (Path(wht),), wht_kind, (zeropoint or {}).get(name))
        for name, (sci, wht) in files.items()
    }
    return open_files(FieldFiles(checked_name(field), "", entries), psf_fwhm=psf_fwhm, chunks=chunks)


def open_files(
    files: FieldFiles,
    *,
    bands: Sequence[str] | None = None,
    psf_fwhm: Mapping[str, float] | None = None,
    chunks: Mapping[str, int] | None = None,
) -> xr.Dataset:
    """Open what `find_field` found, or a field file names; see `open_field`."""
    names = [band_name(name) for name in bands] if bands else list(files.bands)
    planes, notes = [], []
    for name in names:
        sci = read_plane(files.one(name, "sci"), "sci", lazy=chunks is not None)
        wht = read_plane(files.one(name, "wht"), "wht", lazy=chunks is not None)
        with _located(files.one(name, "sci"), name):
            _check_band(name, sci.header)
            sci.grid.require(wht.grid, what="sci and wht")
            _check_scale(files.scale, sci.grid)
        planes.append((name, sci, wht))
    grid = planes[0][1].grid
    for name, sci, _ in planes:
        with _located(files.one(name, "sci"), name):
            grid.require(sci.grid, what=f"{name} and {names[0]}")
    units, unit_notes = _common_units([(name, sci.header) for name, sci, _ in planes])
    notes += [*_camera_notes([(name, sci.header) for name, sci, _ in planes]), *unit_notes]
    state, sources = _band_state(files, planes, grid, psf_fwhm or {}, units)
    weights = [_as_inverse_variance(wht.data, files.bands[name].wht_kind, name) for name, _, wht in planes]
    cube = build(*_stacked([sci.data for _, sci, _ in planes], weights, chunks),
                 bands=names, grid=grid, units=units, field=files.field, **state)  # fmt: skip
    cube = record(cube, f"open_field({files.field!r}, {', '.join(names)}){sources}")
    for code, note in notes:
        cube = warn(cube, code, note)
    return cube


class Plane(NamedTuple):
    """An image as it is in its file: (y, x) float32, native byte order."""

    data: Any
    header: fits.Header
    grid: Grid


def read_plane(path: Path, kind: str, *, lazy: bool = False) -> Plane:
    """Read one image.

    Parameters
    ----------
    path : Path
    kind : {"sci", "wht", "mask"}
        Which extension to take where a file has several.
    lazy : bool
        Give the pixels as a dask array.

    Raises
    ------
    FileError
        If the file is missing, damaged or foreign.
    GridError
        If its WCS cannot be used.
    """
    with _located(path), opened(path) as hdus:
        unit = _image_of(hdus, kind, path)
        header = unit.header
        _require_whole(path, unit, header)
        shape = tuple(n for n in unit.shape if n > 1) if len(unit.shape) > 2 else tuple(unit.shape)  # noqa: PLR2004
        if len(shape) != 2 or 0 in shape:  # noqa: PLR2004
            raise FileError("HC-F13", f"holds an array of shape {unit.shape}, not an image", "give one 2-d image a file")
        if kind == "sci" and str(header.get("FILETYPE", "")).strip().upper() in ("WHT", "VAR", "RMS"):
            raise FileError("HC-D14", f"is a {header['FILETYPE']} image by its FILETYPE, not a science image", "swap sci and wht")
        grid = Grid.from_header(header, shape=shape)
        if lazy:
            return Plane(_lazy_pixels(path, kind, shape), header, grid)
        return Plane(_pixels(unit, shape), header, grid)


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
        0 is sky. Values that are not integers (maps that were interpolated) become -2 and are counted in
        ``attrs["interpolated"]``: they belong to nobody.

    Raises
    ------
    FileError
        If the file is missing, damaged or foreign.
    LabelError
        If it holds NaN or ids too large to be told apart.
    GridError
        If its WCS cannot be used.
    """
    path = Path(path)
    with _located(path), opened(path) as hdus:
        unit = _image_of(hdus, "labels", path) if hdu is None else _chosen(hdus, hdu)
        _require_whole(path, unit, unit.header)
        values = np.asarray(unit.data)
        grid = Grid.from_header(unit.header, shape=values.shape)
        bad = ~np.isfinite(values)
        whole = np.where(bad, 0.5, values)
        if np.abs(whole).max(initial=0) > (_LARGEST_ID if values.dtype.itemsize < 8 and values.dtype.kind == "f" else 2**31 - 1):  # noqa: PLR2004
            raise LabelError("HC-S05", f"holds ids up to {whole.max():.0f}, beyond what {values.dtype} tells apart",
                             "store the map as int32")  # fmt: skip
        labels = np.rint(whole).astype(np.int32)
        interpolated = labels != whole
        labels[interpolated] = NOT_AN_INTEGER
    attrs = {"interpolated": int(interpolated.sum()), "long_name": "segmentation map"}
    return xr.DataArray(labels, grid.coords(), ("y", "x"), "labels", attrs)


def read_levels(files: FieldFiles, bands: Iterable[str], *, scale: float | None = None) -> dict[str, tuple[float, float]]:
    """Read the sky levels of a field: band to (level, standard error), NaN for an error that the file does not give.

    Parameters
    ----------
    files : FieldFiles
    bands : iterable of str
        Those without a level are left out.
    scale : float, optional
        Pixel scale of the images, arcsec: a level that says that it belongs to another one is refused.

    Raises
    ------
    SkyError
        If a file does not hold one finite number, or belongs to another pixel scale.
    """
    levels = {}
    for name in bands:
        place = files.bands[name].sky
        if isinstance(place, Path):
            levels[name] = _read_level(place, name, scale)
        elif place is not None:
            levels[name] = (float(place), math.nan)
    return levels


def _read_level(path: Path, band: str, scale: float | None) -> tuple[float, float]:
    with _located(path, band):
        text = path.read_text(encoding="utf-8", errors="replace")
        comments = [line for line in text.splitlines() if line.lstrip().startswith("#")]
        numbers = " ".join(line.split("#")[0] for line in text.splitlines()).split()
        if len(numbers) != 1:
            raise SkyError("HC-K02", f"holds {len(numbers)} values, not one sky level", "write one number, or measure the sky again")
        try:
            level = float(numbers[0])
        except ValueError as error:
            comma = "," in numbers[0]
            fix = f"decimal comma? write {numbers[0].replace(',', '.')}" if comma else "write one number"
            raise SkyError("HC-K06", f"holds {numbers[0]!r}, not a number", fix) from error
        if not math.isfinite(level):
            raise SkyError("HC-K03", f"the sky level is {level}", "measure the sky again: hstcube sky FOLDER")
        said = _PIXEL.search("\n".join(comments))
        if said and scale and abs(float(said[1]) / scale - 1) > 0.01:  # noqa: PLR2004
            raise SkyError("HC-K07", f"is the level of a pixel of {said[1]} arcsec, the images have {scale:.4g}",
                           f"measure it at this scale; or multiply it by {(scale / float(said[1])) ** 2:.4g}")  # fmt: skip
    told = [line.split(":")[1] for line in comments if line.startswith("# standard error:")]
    return level, float(told[0].split()[0]) if told else math.nan


# -- one file


class _Located:
    """Add file and band to errors of ours, and turn what astropy and the system raise into them."""

    def __init__(self, path: Path, band: str = "") -> None:
        self.path = path
        self.band = band

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, HstCubeError):
            error.file = error.file or str(self.path)
            error.band = error.band or self.band
            error.args = (error.code, error.reason, error.fix, error.file, error.band)
        elif isinstance(error, OSError) and error.errno is not None:
            raise FileError("HC-F01", f"cannot be read: {error.strerror}", "check the path and its permissions",
                            str(self.path), self.band) from error  # fmt: skip
        elif isinstance(error, Exception):
            raise FileError("HC-F04", f"is not a FITS file that can be read ({type(error).__name__}: {error})",
                            "open it with astropy.io.fits, or get it again", str(self.path), self.band) from error  # fmt: skip


_located = _Located


class opened:  # noqa: N801  a context manager, used like a function
    """Open a FITS file; what astropy warns of is either judged here or of no consequence."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.quiet = warnings.catch_warnings()

    def __enter__(self) -> fits.HDUList:
        from astropy.io import fits

        if not self.path.exists():
            raise FileError("HC-F01", "there is no such file", "check the path")
        if not self.path.is_file():
            raise FileError("HC-F24", "is not a regular file", "give a FITS file")
        with self.path.open("rb") as file:
            start = file.read(80)
        if not start.startswith((b"SIMPLE  =", b"\x1f\x8b", b"BZh", b"\xfd7zXZ")):
            said = f"starts with {start[:20]!r}" if start else "is empty"
            raise FileError("HC-F04", f"is not a FITS file ({said})", "get it again")
        self.quiet.__enter__()
        warnings.simplefilter("ignore")
        try:
            self.hdus = fits.open(self.path, memmap=False, lazy_load_hdus=True)
        except BaseException:
            self.quiet.__exit__(None, None, None)
            raise
        return self.hdus

    def __exit__(self, *error: object) -> None:
        try:
            self.hdus.close()
        finally:
            self.quiet.__exit__(None, None, None)


def _image_of(hdus: fits.HDUList, kind: str, path: Path) -> Any:
    """Return the unit that holds the image: the only one, or the one that is named so."""
    if path.suffix not in (".gz", ".fz") and hdus[0].header.get("NAXIS", 0) > 0 and hdus[0].is_image and kind != "labels":
        size = _bytes_of(hdus[0].header)  # the usual case: looking for more units would read the file twice
        if path.stat().st_size - len(hdus[0].header.tostring()) - size < 2880 * 2:  # noqa: PLR2004
            return hdus[0]
    images = [unit for unit in hdus if unit.is_image and len(unit.shape) >= 2]  # noqa: PLR2004
    names = {"sci": ("SCI",), "wht": ("WHT", "VAR"), "labels": ("DATA", "SEGMAP", "SEG"), "mask": ("MASK",)}[kind]
    if len(images) == 1:
        return images[0]
    if not images:
        raise FileError("HC-F14", "holds no image", "give a file with a 2-d image")
    named = [unit for unit in images if unit.name in names]
    if len(named) != 1:
        raise FileError("HC-F12", f"holds {len(images)} images ({', '.join(unit.name or 'unnamed' for unit in images)}) and "
                        f"{len(named)} of them are called {names[0]}", "split the file, or name the extension")  # fmt: skip
    return named[0]


def _chosen(hdus: fits.HDUList, hdu: str | int) -> Any:
    try:
        return hdus[hdu]
    except (KeyError, IndexError) as error:
        raise FileError("HC-F12", f"has no extension {hdu!r}", f"choose from {[unit.name for unit in hdus]}") from error


def _bytes_of(header: fits.Header) -> int:
    size = abs(int(header.get("BITPIX", 8))) // 8
    for axis in range(1, int(header.get("NAXIS", 0)) + 1):
        size *= int(header[f"NAXIS{axis}"])
    return size


def _require_whole(path: Path, unit: Any, header: fits.Header) -> None:
    """Compare what the header declares with what the file holds, before anything is allocated; verify checksums."""
    if path.suffix not in (".gz", ".fz") and type(unit).__name__ != "CompImageHDU":
        declared, there = unit.fileinfo()["datLoc"] + _bytes_of(header), path.stat().st_size
        if declared > there:
            raise FileError("HC-F02", f"is truncated: {there} of {declared} bytes", "get it again")
    if "DATASUM" in header and not unit.verify_datasum():
        raise FileError("HC-F05", "is damaged: DATASUM does not agree with the pixels", "get it again")
    if "CHECKSUM" in header and not unit.verify_checksum():
        raise FileError("HC-F05", "is damaged or was edited: CHECKSUM does not agree with the file", "get it again")


def _pixels(unit: Any, shape: tuple[int, ...]) -> NDArray[np.float32]:
    data = unit.data
    if data.dtype.kind not in "fiu":
        raise FileError("HC-D17", f"holds {data.dtype} pixels", "give real numbers")
    return np.ascontiguousarray(data.reshape(shape), dtype=np.float32)


def _lazy_pixels(path: Path, kind: str, shape: tuple[int, ...]) -> Any:
    import dask
    import dask.array

    plane = dask.delayed(lambda: read_plane(path, kind).data, pure=False)()
    return dask.array.from_delayed(plane, shape, dtype=np.float32)


# -- what the headers say


def _check_band(name: str, header: fits.Header) -> None:
    said = str(header.get("FILTER", "")).strip()
    if said and band_name(said) != name:
        raise BandError("HC-B03", f"the header says FILTER = {said!r}, the file name {name}", "rename the file, or repair the card")


def _check_scale(label: str, grid: Grid) -> None:
    if label.endswith("mas"):
        said = float(label[:-3])
        if abs(grid.scale * 1000 / said - 1) > 0.01:  # noqa: PLR2004
            raise GridError("HC-W23", f"the name says {label}, the WCS {grid.scale * 1000:.2f} mas per pixel",
                            "rename the file, or repair its WCS")  # fmt: skip


def _camera_notes(headers: list[tuple[str, fits.Header]]) -> list[tuple[str, str]]:
    """Say which bands name a camera that has no such filter."""
    wrong: dict[tuple[str, str], list[str]] = {}
    for name, header in headers:
        said = tuple(str(header.get(key, "")).strip().upper() for key in ("INSTRUME", "DETECTOR"))
        owner = find_band(name, instrument=said[0], detector=said[1])
        if said[0] and (said[0] != owner.instrument or said[1] not in ("", owner.detector)):
            wrong.setdefault(("/".join(filter(None, said)), f"{owner.instrument}/{owner.detector}"), []).append(name)
    return [("HC-B04", f"{', '.join(names)}: the headers say {said}, which has no such filter; taken as {owner}")
            for (said, owner), names in wrong.items()]  # fmt: skip


def _common_units(headers: list[tuple[str, fits.Header]]) -> tuple[str, list[tuple[str, str]]]:
    units, notes = {}, []
    for name, header in headers:
        said = " ".join(str(header.get("BUNIT", "")).split())
        units[name] = _UNITS.get(said.upper(), said)
        if not said:
            units[name] = KNOWN_UNITS[0]
            notes.append(("HC-D20", f"{name}: no BUNIT; taken as {KNOWN_UNITS[0]}"))
    if len(set(units.values())) > 1:
        raise CubeError("HC-D21", f"bands are in different units: {units}", "convert them to one unit first")
    return next(iter(units.values())), notes


def _band_state(
    files: FieldFiles, planes: list[tuple[str, Plane, Plane]], grid: Grid, psf_fwhm: Mapping[str, float], units: str
) -> tuple[dict[str, list[Any]], str]:
    """Return zero points, widths and pivots of the bands, and a remark on where they come from."""
    given = {band_name(name): float(width) for name, width in psf_fwhm.items()}
    if unknown := sorted(set(given) - {name for name, _, _ in planes}):
        raise BandError("HC-B01", f"psf_fwhm names {unknown[0]}, which is not in the cube", f"there are {', '.join(files.bands)}")
    zeropoints, widths, pivots, tables = [], [], [], set()
    for name, sci, _ in planes:
        header, survey, said = sci.header, survey_of(sci.header, grid.scale), files.bands[name]
        zeropoint = said.zeropoint if said.zeropoint is not None else _zeropoint(header)
        if zeropoint is None and survey and name in survey.zeropoint and units == KNOWN_UNITS[0]:
            zeropoint = survey.zeropoint[name]
            tables.add(f"; zero points of {survey.name}")
        width = given.get(name, said.psf_fwhm if said.psf_fwhm is not None else header.get("PSFFWHM"))
        if width is None and survey and name in survey.psf_fwhm:
            width = survey.psf_fwhm[name]
            tables.add(f"; PSF widths of {survey.name}")
        zeropoints.append(math.nan if zeropoint is None else float(zeropoint))
        widths.append(math.nan if width is None else float(width))
        pivots.append(find_band(name, instrument=str(header.get("INSTRUME", "")), detector=str(header.get("DETECTOR", ""))).pivot)
    return {"zeropoint": zeropoints, "psf_fwhm": widths, "pivot": pivots}, "".join(sorted(tables))


def _zeropoint(header: fits.Header) -> float | None:
    """Return the AB zero point that a header gives: ABZP, PHOTFNU [Jy s/e-], or PHOTFLAM and PHOTPLAM (STScI)."""
    if "ABZP" in header:
        return float(header["ABZP"])
    if float(header.get("PHOTFNU", 0)) > 0:
        return -2.5 * math.log10(float(header["PHOTFNU"]) / _JY_OF_AB_ZERO)
    if float(header.get("PHOTFLAM", 0)) > 0 and float(header.get("PHOTPLAM", 0)) > 0:
        return -2.5 * math.log10(float(header["PHOTFLAM"])) - 5 * math.log10(float(header["PHOTPLAM"])) - 2.408
    return None


def _as_inverse_variance(wht: Any, kind: str, band: str) -> Any:
    if kind == "ivar":
        return wht
    if kind not in _WEIGHTS:
        raise CubeError("HC-D13", f"wht_kind is {kind!r}", f"choose from {', '.join(_WEIGHTS)}", band=band)
    with np.errstate(divide="ignore"):
        inverse = 1.0 / (wht if kind == "variance" else wht**2)
    inverse[~np.isfinite(wht) | (wht <= 0)] = 0
    return inverse


def _stacked(sci: list[Any], wht: list[Any], chunks: Mapping[str, int] | None) -> tuple[Any, Any]:
    if chunks is None:
        return np.stack(sci), np.stack(wht)
    import dask.array

    sizes = {0: chunks.get("band", 1), 1: chunks.get("y", -1), 2: chunks.get("x", -1)}
    return tuple(dask.array.stack(planes).rechunk(sizes) for planes in (sci, wht))  # type: ignore[return-value]


# -- our own products


def find_products(folder: Path, field: str) -> dict[str, dict[str, Path]]:
    """Return the files that `to_fits` wrote for a field: band to kind to path."""
    found: dict[str, dict[str, Path]] = {}
    for path in sorted(folder.glob(f"{field}_f*.fits")):
        name, _, kind = path.name[len(field) + 1 : -5].partition("_")
        if kind in ("sci", "wht", "var", "mask", ""):
            found.setdefault(name, {})[kind] = path
    return found


def _open_products(products: dict[str, dict[str, Path]], bands: Sequence[str] | None) -> xr.Dataset:
    names = [band_name(name) for name in bands] if bands else list(products)
    planes, state, runs = [], [], set()
    for name in names:
        kinds = products.get(name, {})
        paths = {kind: kinds.get("", kinds.get(kind)) for kind in ("sci", "wht", "mask")}
        paths["wht"] = paths["wht"] or kinds.get("var")
        if missing := [kind for kind, path in paths.items() if path is None]:
            raise FileError("HC-F01", f"the product has no {missing[0]} image", "write the cube again with to_fits", band=name)
        read = {kind: read_plane(path, kind) for kind, path in paths.items() if path is not None}
        header = read["sci"].header
        if "HSTCUBE" not in header:
            raise FileError("HC-F26", "has the name of a product of hstcube but no card HSTCUBE", "give the folder of the stamps",
                            file=str(paths["sci"]), band=name)  # fmt: skip
        for kind, plane in read.items():
            runs.add(plane.header["CUBEID"])
            read["sci"].grid.require(plane.grid, what=f"sci and {kind} of {name}")
        wht = read["wht"].data
        if read["wht"].header["FILETYPE"] == "VAR":
            wht = _as_inverse_variance(wht, "variance", name)
        planes.append((read["sci"], wht, read["mask"].data > 0))
        state.append(header)
    if len(runs) > 1 or int(state[0]["NBANDS"]) != len(products):
        raise FileError("HC-O20", f"the files of field {state[0]['OBJECT']} do not belong to one cube ({len(products)} bands of "
                        f"{state[0]['NBANDS']}, {len(runs)} versions): a writer was stopped", "write the cube again with overwrite=True",
                        file=str(next(iter(products[names[0]].values())).parent))  # fmt: skip
    return _product_cube(names, planes, state)


def _product_cube(names: list[str], planes: list[Any], headers: list[fits.Header]) -> xr.Dataset:
    def column(key: str) -> list[float]:
        return [float(header.get(key, math.nan)) for header in headers]

    cube = build(
        *(np.stack(arrays) for arrays in zip(*((sci.data, wht) for sci, wht, _ in planes), strict=True)),
        mask=np.stack([mask for _, _, mask in planes]), bands=names, grid=planes[0][0].grid,
        units=_UNITS.get(headers[0]["BUNIT"].upper(), headers[0]["BUNIT"]),
        field=headers[0]["OBJECT"], title=headers[0].get("TITLE", ""),
        psf_fwhm=column("PSFFWHM"), sky=column("SKY"), sky_error=column("SKYERR"), zeropoint=column("ABZP"),
        pivot=column("PHOTPLAM"), matched_to=[header.get("MATCHED", "") for header in headers],
    )  # fmt: skip
    history, notes = history_lines(headers[0].get("HISTORY", ()))
    extra = {"recipe": headers[0]["RECIPE"]} if "RECIPE" in headers[0] else {}
    return cube.assign_attrs(history=history, warnings=notes, hstcube_schema=int(headers[0]["HSTCUBE"]), **extra)
