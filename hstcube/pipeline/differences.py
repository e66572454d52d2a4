"""Two products side by side: files, folders or cubes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hstcube.errors import FileError
from hstcube.files.cubes import open_cube
from hstcube.fits.images import NOISE_UNIT, PSF_UNIT
from hstcube.fits.opening import located, opened

if TYPE_CHECKING:
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
    """Compare two FITS files, two netCDF cubes, or all such files of two folders, by name.

    Parameters
    ----------
    first, second : path

    Returns
    -------
    list of Difference
        One for each image (for each band of a cube, sci, wht and mask).

    Raises
    ------
    FileError
        If one of them does not exist or cannot be read, or they are of different kinds.
    """
    first, second = Path(first), Path(second)
    for path in (first, second):
        if not path.exists():
            raise FileError(
                "HC-F01", "there is no such file or folder", "check the path", file=str(path)
            )
    if first.is_dir() != second.is_dir() or (first.is_file() and first.suffix != second.suffix):
        raise FileError(
            "HC-F27",
            f"is not of one kind with {second}",
            "give two files or two folders",
            file=str(first),
        )
    if first.is_file():
        return _images_compared(first.name, _images(first), _images(second))
    found = []
    names = sorted(
        {path.name for folder in (first, second) for path in folder.iterdir() if _is_product(path)}
    )
    if not names:
        raise FileError(
            "HC-F01",
            f"there are no FITS or netCDF files in it, nor in {second}",
            "check the paths",
            str(first),
        )
    for name in names:
        lacking = [
            side
            for side, folder in (("first", first), ("second", second))
            if not (folder / name).exists()
        ]
        if lacking:
            found.append(Difference(name, np.nan, 0, (), lacking[0]))
        else:
            found += _images_compared(name, _images(first / name), _images(second / name))
    return found


def _is_product(path: Path) -> bool:
    return (
        path.is_file()
        and not path.name.startswith(".")
        and path.name.endswith((".fits", ".fits.gz", ".nc"))
    )


def _images(path: Path) -> dict[str, tuple[Any, dict[str, Any]]]:
    """Return the images of a file and their cards, by a name that tells them apart."""
    if path.suffix == ".nc":
        cube = open_cube(path)
        state = {
            name: coord
            for name, coord in cube.coords.items()
            if coord.dims == ("band",) and name != "band"
        }
        return {
            f"{band} {name}": (
                cube[name].values[i],
                {str(key): coord.values[i] for key, coord in state.items()},
            )
            for i, band in enumerate(cube.band.values.tolist())
            for name in ("sci", "wht", "mask")
        }
    with located(path), opened(path) as hdus:
        units = [unit for unit in hdus if unit.is_image and len(unit.shape) > 0]
        beside = (NOISE_UNIT, PSF_UNIT)
        several = sum(unit.name not in beside for unit in units) > 1
        names = [unit.name if several or unit.name in beside else "" for unit in units]
        return {
            name: (np.asarray(unit.data), dict(unit.header.items()))
            for name, unit in zip(names, units, strict=True)
        }


def _images_compared(name: str, first: dict[str, Any], second: dict[str, Any]) -> list[Difference]:
    rows = []
    for key in [*first, *(key for key in second if key not in first)]:
        label = f"{name} {key}".strip()
        if key in first and key in second:
            rows.append(_compared(label, *first[key], *second[key]))
        else:
            rows.append(Difference(label, np.nan, 0, (), "second" if key in first else "first"))
    return rows


def _compared(
    name: str, a: NDArray[Any], a_cards: Any, b: NDArray[Any], b_cards: Any
) -> Difference:
    keys = [key for key in {**a_cards, **b_cards} if key not in _NEVER_EQUAL]
    cards = tuple(key for key in keys if not _equal(a_cards.get(key), b_cards.get(key)))
    if a.shape != b.shape:
        return Difference(name, np.inf, abs(a.size - b.size) or a.size, cards)
    a, b = a.astype(np.float64), b.astype(np.float64)
    empty = any(np.mean(image == 0) > _EMPTY for image in (a, b))
    has_a, has_b = (np.isfinite(image) & ((image != 0) | (not empty)) for image in (a, b))
    both = np.isfinite(a) & np.isfinite(b)
    scale = max(np.abs(a[both]).max(initial=0), np.abs(b[both]).max(initial=0))
    largest = np.abs(a[both] - b[both]).max(initial=0) / scale if scale else 0.0
    return Difference(name, float(largest), int((has_a != has_b).sum()), cards)


def _equal(a: Any, b: Any) -> bool:
    return bool(a == b or (a != a and b != b))  # noqa: PLR0124  NaN is unlike itself
