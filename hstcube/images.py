"""One FITS image: opened, checked against what its header declares, and read; or refused with file and reason."""

from __future__ import annotations

import errno
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hstcube.errors import CubeError, FileError, HstCubeError
from hstcube.grids import Grid

if TYPE_CHECKING:
    from pathlib import Path

    from astropy.io import fits
    from numpy.typing import NDArray

__all__ = ["Plane", "chosen_unit", "image_unit", "inverse_variance", "located", "opened", "read_plane", "require_whole"]

_WEIGHTS = ("ivar", "rms", "variance")
_BLOCK = 2880  # bytes
_OF_THE_SYSTEM = (
    errno.ENOENT,
    errno.EACCES,
    errno.EPERM,
    errno.EISDIR,
    errno.ENOTDIR,
    errno.ELOOP,
    errno.EIO,
    errno.EMFILE,
)


class Plane(NamedTuple):
    """An image as it is in its file: (y, x) float32, native byte order."""

    data: Any
    header: fits.Header
    grid: Grid


def read_plane(path: Path, kind: str, *, band: str = "", lazy: bool = False) -> Plane:
    """Read one image.

    Parameters
    ----------
    path : Path
    kind : {"sci", "wht", "mask"}
        Which extension to take where a file has several.
    band : str
        Named in errors.
    lazy : bool
        Give the pixels as a dask array.

    Raises
    ------
    FileError
        If the file is missing, damaged or foreign.
    GridError
        If its WCS cannot be used.
    """
    with located(path, band), opened(path) as hdus:
        unit = image_unit(hdus, kind, path)
        header = unit.header
        require_whole(path, unit)
        shape = image_shape(unit)
        if kind == "sci" and str(header.get("FILETYPE", "")).strip().upper() in ("WHT", "VAR", "RMS"):
            raise FileError(
                "HC-D14", f"is a {header['FILETYPE']} image by its FILETYPE, not a science image", "swap sci and wht"
            )
        grid = Grid.from_header(header, shape=shape)
        if lazy:
            return Plane(_lazy_pixels(path, kind, shape), header, grid)
        pixels = _pixels(unit, shape)
        if kind == "wht" and str(header.get("FILETYPE", "")).strip().upper() == "SCI" and (pixels < 0).any():
            raise FileError("HC-D14", "is a SCI image by its FILETYPE and its negative pixels", "give the weight image")
        return Plane(pixels, header, grid)


class located:  # noqa: N801  a context manager, used like a function
    """Add file and band to errors of ours, and turn what astropy and the system raise into them."""

    def __init__(self, path: Path, band: str = "") -> None:
        self.path = path
        self.band = band

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, HstCubeError):
            error.at(file=str(self.path), band=self.band)
        elif isinstance(error, OSError) and error.errno in _OF_THE_SYSTEM:
            raise FileError(
                "HC-F01",
                f"cannot be read: {error.strerror}",
                "check the path and its permissions",
                str(self.path),
                self.band,
            ) from error
        elif isinstance(error, Exception):
            raise FileError(
                "HC-F04",
                f"is not a FITS file that can be read ({type(error).__name__}: {error})",
                "open it with astropy.io.fits, or get it again",
                str(self.path),
                self.band,
            ) from error


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
        self.handle = self.path.open("rb")  # ours to close: astropy leaves it open when it fails
        start = self.handle.read(80)
        self.handle.seek(0)
        if not start.startswith((b"SIMPLE  =", b"\x1f\x8b", b"BZh", b"\xfd7zXZ")):
            self.handle.close()
            said = f"starts with {start[:20]!r}" if start else "is empty"
            raise FileError("HC-F04", f"is not a FITS file ({said})", "get it again")
        self.quiet.__enter__()
        warnings.simplefilter("ignore")
        try:
            self.hdus = fits.open(self.handle, memmap=False, lazy_load_hdus=True)
        except BaseException:
            self._close()
            raise
        return self.hdus

    def __exit__(self, *error: object) -> None:
        try:
            self.hdus.close()
        finally:
            self._close()

    def _close(self) -> None:
        self.handle.close()
        self.quiet.__exit__(None, None, None)


def image_unit(hdus: fits.HDUList, kind: str, path: Path) -> Any:
    """Return the unit that holds the image: the only one, or the one that is named so."""
    if (
        path.suffix not in (".gz", ".fz")
        and hdus[0].header.get("NAXIS", 0) > 0
        and hdus[0].is_image
        and kind != "labels"
    ):
        size = _bytes_of(hdus[0].header)  # the usual case: looking for more units would read the file twice
        if path.stat().st_size - len(hdus[0].header.tostring()) - size < 2880 * 2:
            return hdus[0]
    images = [unit for unit in hdus if unit.is_image and len(unit.shape) >= 2]  # noqa: PLR2004
    names = {"sci": ("SCI",), "wht": ("WHT", "VAR"), "labels": ("DATA", "SEGMAP", "SEG"), "mask": ("MASK",)}[kind]
    if len(images) == 1:
        return images[0]
    if not images:
        raise FileError("HC-F14", "holds no image", "give a file with a 2-d image")
    named = [unit for unit in images if unit.name in names]
    if len(named) != 1:
        raise FileError(
            "HC-F12",
            f"holds {len(images)} images ({', '.join(unit.name or 'unnamed' for unit in images)}) and "
            f"{len(named)} of them are called {names[0]}",
            "split the file, or name the extension",
        )
    return named[0]


def image_shape(unit: Any) -> tuple[int, int]:
    """Return (ny, nx) of a unit, axes of length one beyond the first two left out.

    Raises
    ------
    FileError
        If it holds anything but one image.
    """
    if not unit.is_image or len(unit.shape) == 0:
        raise FileError("HC-F14", "holds no image there", "give the extension with a 2-d image")
    shape = tuple(unit.shape)
    while len(shape) > 2 and shape[0] == 1:  # noqa: PLR2004
        shape = shape[1:]
    if len(shape) != 2 or 0 in shape:  # noqa: PLR2004
        raise FileError("HC-F13", f"holds an array of shape {unit.shape}, not an image", "give one 2-d image a file")
    return shape


def chosen_unit(hdus: fits.HDUList, hdu: str | int) -> Any:
    """Return the unit of that name or number."""
    try:
        return hdus[hdu]
    except (KeyError, IndexError) as error:
        raise FileError("HC-F12", f"has no extension {hdu!r}", f"choose from {[unit.name for unit in hdus]}") from error


def _bytes_of(header: fits.Header) -> int:
    size = abs(int(header.get("BITPIX", 8))) // 8
    for axis in range(1, int(header.get("NAXIS", 0)) + 1):
        size *= int(header[f"NAXIS{axis}"])
    return size


def require_whole(path: Path, unit: Any) -> None:
    """Compare what the header declares with what the file holds, before anything is allocated; verify checksums."""
    header = unit.header
    if path.suffix not in (".gz", ".fz") and type(unit).__name__ != "CompImageHDU":
        declared, there = unit.fileinfo()["datLoc"] + _bytes_of(header), path.stat().st_size
        if declared > there:
            raise FileError("HC-F02", f"is truncated: {there} of {declared} bytes", "get it again")
    if "DATASUM" in header and not unit.verify_datasum():
        raise FileError("HC-F05", "is damaged: DATASUM does not agree with the pixels", "get it again")
    if "CHECKSUM" in header and not unit.verify_checksum():
        raise FileError("HC-F05", "is damaged or was edited: CHECKSUM does not agree with the file", "get it again")


def _pixels(unit: Any, shape: tuple[int, ...]) -> NDArray[np.float32]:
    return np.ascontiguousarray(unit.data.reshape(shape), dtype=np.float32)


def _lazy_pixels(path: Path, kind: str, shape: tuple[int, ...]) -> Any:
    import dask
    import dask.array

    plane = dask.delayed(lambda: read_plane(path, kind).data, pure=False)()
    return dask.array.from_delayed(plane, shape, dtype=np.float32)


def inverse_variance(wht: Any, kind: str, band: str) -> Any:
    """Return weights as inverse variance; `kind` says what they are: "ivar", "rms" or "variance"."""
    if kind == "ivar":
        return wht
    if kind not in _WEIGHTS:
        raise CubeError("HC-D13", f"wht_kind is {kind!r}", f"choose from {', '.join(_WEIGHTS)}", band=band)
    with np.errstate(divide="ignore"):
        inverse = 1.0 / (wht if kind == "variance" else wht**2)
    inverse[~np.isfinite(wht) | (wht <= 0)] = 0
    return inverse
