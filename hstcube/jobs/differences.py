"""Two products side by side: files, folders or cubes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hstcube.core.rules import PLANES, more_planes
from hstcube.errors import FileError
from hstcube.files.netcdf import CUBES, open_cube
from hstcube.fits.images import BESIDE
from hstcube.fits.local import as_path, entries, missing
from hstcube.fits.opening import located, opened

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["Difference", "compare"]

_NEVER_EQUAL = ("CHECKSUM", "DATASUM", "CUBEID", "DATE", "HISTORY", "COMMENT", "")


# share of pixels that are exactly zero: more are no chance but pixels without data, as of old
_EMPTY = 0.01


class Difference(NamedTuple):
    """What one image of the first product has against its counterpart in the second.

    ``largest`` is the largest difference over the largest absolute value of the two, where both
    have data; ``support`` counts pixels where only one of them has a value (finite and, where zeros
    stand for missing data, not zero); ``cards`` lists header cards, or attributes, that differ;
    ``lacking`` says which side lacks the image.
    """

    name: str
    largest: float
    support: int
    cards: tuple[str, ...]
    lacking: str = ""

    def within(self, rtol: float) -> bool:
        """Return whether the two agree to `rtol` of the maximum, on the same pixels."""
        return not self.lacking and not self.support and self.largest <= rtol


def compare(first: str | Path, second: str | Path) -> list[Difference]:
    """Compare two FITS files, two saved cubes, or all of these in two folders, by name.

    Parameters
    ----------
    first, second : path
        A cube may be netCDF (.nc) or a zarr store (.zarr), one of each, too.

    Returns
    -------
    list of Difference
        One for each image (for each band of a cube, sci, wht and mask).

    Raises
    ------
    FileError
        If one of them does not exist or cannot be read, or they are of different kinds.

    Examples
    --------
    >>> import tempfile
    >>> import hstcube
    >>> folder = tempfile.mkdtemp()
    >>> _ = hstcube.to_fits(hstcube.example(), folder)
    >>> max(one.largest for one in hstcube.compare(folder, folder))
    0.0
    """
    first, second = as_path(first), as_path(second)
    _require_alike(first, second)
    if _kind(first) != "folder":
        return _images_compared(first.name, _images(first), _images(second))
    found = []
    for name in _products(first, second):
        a, b = first / name, second / name
        if a.exists() and b.exists():
            found += _images_compared(name, _images(a), _images(b))
        else:
            found.append(Difference(name, np.nan, 0, (), "second" if a.exists() else "first"))
    return found


def _require_alike(first: Path, second: Path) -> None:
    """Refuse what is not there, and a file beside a folder or a file of another kind."""
    for path in (first, second):
        if not path.exists():
            what = "such file or folder"
            raise missing(what, "check the path", file=path)
    if _kind(first) != _kind(second):
        raise FileError(
            "HC-F27",
            f"is not of one kind with {second}",
            "give two files or two folders",
            file=str(first),
        )


def _kind(path: Path) -> str:
    if path.suffix in CUBES:
        return "cube"
    return "folder" if path.is_dir() else "file"


def _products(first: Path, second: Path) -> list[str]:
    """Return the names of products that either of two folders holds."""
    paths = [*entries(first), *entries(second)]
    names = sorted({path.name for path in paths if _is_product(path)})
    if not names:
        what = f"FITS file or saved cube in it, nor in {second}"
        raise missing(what, "check the paths", file=first)
    return names


def _is_product(path: Path) -> bool:
    if path.name.startswith("."):
        return False
    return path.suffix in CUBES or (path.is_file() and path.name.endswith((".fits", ".fits.gz")))


class _Image(NamedTuple):
    """An image, and the cards of its header or, in a cube, the state of its band."""

    values: NDArray[Any]
    cards: dict[str, Any]


def _images(path: Path) -> dict[str, _Image]:
    """Return the images of a file by a name that tells them apart."""
    if path.suffix in CUBES:
        return _images_of_cube(path)
    with located(path), opened(path) as hdus:
        units = [unit for unit in hdus if unit.is_image and len(unit.shape) > 0]
        alone = sum(unit.name not in BESIDE for unit in units) <= 1
        found = {}
        for unit in units:
            name = "" if alone and unit.name not in BESIDE else unit.name
            found[name] = _Image(np.asarray(unit.data), dict(unit.header.items()))
        return found


def _images_of_cube(path: Path) -> dict[str, _Image]:
    cube = open_cube(path)
    states = [name for name in cube.coords if name != "band" and cube[name].dims == ("band",)]
    found = {}
    for i, band in enumerate(cube.band.values.tolist()):
        cards = {str(name): cube[name].values[i] for name in states}
        for name in (*PLANES, *more_planes(cube)):
            found[f"{band} {name}"] = _Image(cube[name].values[i], cards)
    return found


def _images_compared(
    name: str, first: dict[str, _Image], second: dict[str, _Image]
) -> list[Difference]:
    rows = []
    for key in {**first, **second}:
        label = f"{name} {key}".strip()
        if key in first and key in second:
            rows.append(_compared(label, first[key], second[key]))
        else:
            rows.append(Difference(label, np.nan, 0, (), "second" if key in first else "first"))
    return rows


def _compared(name: str, first: _Image, second: _Image) -> Difference:
    cards = _unlike_cards(first.cards, second.cards)
    a, b = first.values, second.values
    if a.shape != b.shape:
        return Difference(name, np.inf, abs(a.size - b.size) or a.size, cards)
    a, b = a.astype(np.float64), b.astype(np.float64)
    empty = any(np.mean(image == 0) > _EMPTY for image in (a, b))
    support = int((_has_value(a, empty=empty) != _has_value(b, empty=empty)).sum())
    both = np.isfinite(a) & np.isfinite(b)
    scale = max(np.abs(a[both]).max(initial=0), np.abs(b[both]).max(initial=0))
    largest = np.abs(a[both] - b[both]).max(initial=0) / scale if scale else 0.0
    return Difference(name, float(largest), support, cards)


def _has_value(image: NDArray[np.float64], *, empty: bool) -> NDArray[np.bool_]:
    """Return which pixels have a value; where zeros stand for empty pixels they have none."""
    return np.isfinite(image) & (image != 0) if empty else np.isfinite(image)


def _unlike_cards(first: dict[str, Any], second: dict[str, Any]) -> tuple[str, ...]:
    keys = [key for key in {**first, **second} if key not in _NEVER_EQUAL]
    return tuple(key for key in keys if not _equal(first.get(key), second.get(key)))


def _equal(a: Any, b: Any) -> bool:
    return bool(a == b or (a != a and b != b))  # noqa: PLR0124  NaN is unlike itself
