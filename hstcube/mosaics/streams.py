"""FITS files that are made block by block: no image is ever whole in memory.

The files have their full size from the start, under their temporary names. Each block of each band
is computed once, and written to its place in all of them. Then every image is read back in order:
its sum is compared with what was written, the id of the cube is made of it, and the headers, which
hold both, are written last.
"""

from __future__ import annotations

import errno
import hashlib
import os
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hstcube.basics.digests import bytes_of
from hstcube.fits.units import BLOCK, checksummed, ones_sum, words_sum
from hstcube.lazy.arrays import evaluated, sources_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from hstcube.lazy.nodes import At

    Card = tuple[str, Any, str]
    Made = dict[str, Any]  # images of a block, by their names

__all__ = ["ID", "Image", "Plan", "streamed"]

_PIECE = 2**22  # bytes that are read back at once: of whole rows of 2880 bytes or not
ID = "CUBEID"


class Image(NamedTuple):
    """A header-data unit whose pixels come in blocks."""

    band: int
    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, int]
    cards: list[Card]
    extname: str = ""

    def header(self, of_set: str, datasum: int) -> bytes:
        """Return its header; `of_set` stands in the card of the cube's id, where it has one."""
        cards = [(key, of_set if key == ID else value, text) for key, value, text in self.cards]
        return checksummed((self.dtype, self.shape), cards, datasum, extname=self.extname)

    @property
    def size(self) -> int:
        """Bytes of its pixels."""
        return self.dtype.itemsize * self.shape[0] * self.shape[1]


class Plan(NamedTuple):
    """What is to be written."""

    files: Mapping[Path, Sequence[bytes | Image]]
    """Units in their order; those of bytes are whole."""
    planes: Mapping[str, Any]
    """Arrays (band, y, x) that the images are made of."""
    images_of: Callable[..., Made]
    """Makes the images of a block, by their names, of what the planes hold there."""
    identity: Sequence[bytes | tuple[int, str]]
    """What the id of the cube is made of, in this order: bytes, and images (band, name)."""


class _Place(NamedTuple):
    """Where an image lies on disk."""

    path: Path
    start: int
    """Of its header."""
    data: int
    image: Image


def streamed(plan: Plan) -> dict[Path, Callable[[Path], None]]:
    """Return, for `write_files`, what makes each file; all are made when the last one is asked for.

    Raises
    ------
    FileError
        When they are made, if a file that the pixels come from is not what its checksum says.
    """
    parts: dict[Path, Path] = {}
    return {path: partial(_take, plan, parts, path) for path in plan.files}


def _take(plan: Plan, parts: dict[Path, Path], path: Path, part: Path) -> None:
    part.touch(exist_ok=False)
    parts[path] = part
    if len(parts) < len(plan.files):
        return
    places = _prepared(plan, parts)
    for source in sources_of(plan.planes.values()):
        source.require_sum()
    sums = _written(plan, places)
    of_set = _verified(plan, places, sums)
    for key, place in places.items():
        header = place.image.header(of_set, sums[key])
        _write_back(place.path, header, place.start)
    for each in parts.values():
        with each.open("rb") as file:
            os.fsync(file.fileno())


def _prepared(plan: Plan, parts: dict[Path, Path]) -> dict[tuple[int, str], _Place]:
    """Make the files in their full size, with all that is known; return where images lie."""
    places: dict[tuple[int, str], _Place] = {}
    for path, units in plan.files.items():
        part, at = parts[path], 0
        with part.open("r+b") as file:
            for unit in units:
                if isinstance(unit, bytes):
                    _reserve(file.fileno(), at, len(unit))
                    os.pwrite(file.fileno(), unit, at)
                    at += len(unit)
                    continue
                length = len(unit.header("0" * 16, 0))
                places[unit.band, unit.name] = _Place(part, at, at + length, unit)
                size = length + unit.size + -unit.size % BLOCK
                _reserve(file.fileno(), at, size)
                at += size
    return places


def _reserve(file: int, start: int, size: int) -> None:
    """Take room on the disk, so that a full one says so before anything is computed."""
    try:
        os.posix_fallocate(file, start, size)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
            raise
        os.ftruncate(file, start + size)


def _written(plan: Plan, places: dict[tuple[int, str], _Place]) -> dict[tuple[int, str], int]:
    """Compute all blocks, each once, and write them; return the sums of the images' words."""
    names = list(plan.planes)
    write = partial(_write_block, names, plan.images_of, places)
    totals = dict.fromkeys(places, 0)
    for sums in evaluated(write, [plan.planes[name] for name in names]):
        for key, value in sums.items():
            totals[key] += value
    return {key: ones_sum(value) for key, value in totals.items()}


def _write_block(
    names: list[str],
    images_of: Callable[..., Made],
    places: dict[tuple[int, str], _Place],
    at: At,
    *blocks: Any,
) -> dict[tuple[int, str], int]:
    made = images_of(**{name: block[0] for name, block in zip(names, blocks, strict=True)})
    sums = {}
    for name, image in made.items():
        place = places[at.band, name]
        pixels = np.ascontiguousarray(image, place.image.dtype.newbyteorder(">"))
        _write_pixels(place, pixels, at)
        sums[at.band, name] = words_sum(pixels, at.top, at.left, place.image.shape[1])
    return sums


def _write_pixels(place: _Place, pixels: Any, at: At) -> None:
    width, depth = place.image.shape[1], pixels.dtype.itemsize
    file = os.open(place.path, os.O_WRONLY)
    try:
        start = place.data + depth * (at.top * width + at.left)
        if pixels.shape[1] == width:
            _write_all(file, memoryview(pixels).cast("B"), start)
            return
        for row in pixels:
            _write_all(file, memoryview(row).cast("B"), start)
            start += depth * width
    finally:
        os.close(file)


def _write_all(file: int, data: memoryview, start: int) -> None:
    """Write bytes to their place: the system may take them in several parts."""
    while data:
        number = os.pwrite(file, data, start)
        data, start = data[number:], start + number


def _verified(
    plan: Plan, places: dict[tuple[int, str], _Place], sums: dict[tuple[int, str], int]
) -> str:
    """Read all images back, compare them with what was written, and return the cube's id."""
    digest = hashlib.sha256()
    for part in plan.identity:
        if isinstance(part, bytes):
            digest.update(part)
            continue
        place = places[part]
        plain = part[1] in plan.planes and part[1] not in ("sci", "wht", "mask")
        if _sum_on_disk(place, digest, one_nan=plain) != sums[part]:
            reason = "what was read back differs from what was written"
            raise OSError(errno.EIO, reason, str(place.path))
    return digest.hexdigest()[:16]


def _sum_on_disk(place: _Place, digest: Any, *, one_nan: bool) -> int:
    """Return the sum of the words of an image, and add its pixels to a digest."""
    total, left = 0, place.image.size
    kind = place.image.dtype
    with place.path.open("rb", buffering=0) as file:
        file.seek(place.data)
        while left:
            piece = file.read(min(left, _PIECE))
            if not piece or len(piece) % kind.itemsize:
                raise OSError(errno.EIO, "is shorter than what was written", str(place.path))
            left -= len(piece)
            total += int(np.frombuffer(piece + b"\0" * (-len(piece) % 4), ">u4").sum(dtype="u8"))
            pixels = np.frombuffer(piece, kind.newbyteorder(">")).astype(kind)
            digest.update(bytes_of(pixels) if one_nan else pixels)
    return ones_sum(total)


def _write_back(path: Path, data: bytes, start: int) -> None:
    """Write bytes, and see that they are there."""
    file = os.open(path, os.O_RDWR)
    try:
        _write_all(file, memoryview(data), start)
        if os.pread(file, len(data), start) != data:
            raise OSError(errno.EIO, "what was read back differs from what was written", str(path))
    finally:
        os.close(file)
