"""FITS files that are made block by block: no image is ever whole in memory.

The files have their full size from the start, under their temporary names. Each block of each band
is computed once, and written to its place in all of them. Then every image is read back in order:
its sum is compared with what was written, the id of the cube is made of it, and the headers, which
hold both, are written last.

A run that is killed in between goes on with the blocks that it had written; see `kept_blocks`.
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
from hstcube.lazy.arrays import blocks_of, evaluated, sources_of
from hstcube.mosaics.kept import digest_of, note_block

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from hstcube.lazy.nodes import At
    from hstcube.mosaics.kept import Kept

    Card = tuple[str, Any, str]
    Made = dict[str, Any]  # images of a block, by their names
    Sums = dict[tuple[int, str], int]  # of words, by the band and the name of an image
    Places = dict[tuple[int, str], "_Place"]

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


def streamed(plan: Plan, kept: Kept | None = None) -> dict[Path, Callable[[Path], None]]:
    """Return, for `write_files`, what makes each file; all are made when the last one is asked for.

    With `kept` they are made in that folder, and blocks that are there already are not made again.

    Raises
    ------
    FileError
        When they are made, if a file that the pixels come from is not what its checksum says.
    """
    parts: dict[Path, Path] = {}
    return {path: partial(_take, plan, kept, parts, path) for path in plan.files}


def _take(plan: Plan, kept: Kept | None, parts: dict[Path, Path], path: Path, part: Path) -> None:
    part.touch(exist_ok=False)
    parts[path] = part
    if len(parts) < len(plan.files):
        return
    if kept is None:
        _make(plan, parts, None)
        return
    files = {each: kept.file(each) for each in parts}
    try:
        _make(plan, files, kept)
    except OSError as error:
        names = {str(file): str(each) for each, file in files.items()}
        error.filename = names.get(str(error.filename), error.filename)
        raise
    for each, file in files.items():
        file.replace(parts[each])


def _make(plan: Plan, files: dict[Path, Path], kept: Kept | None) -> None:
    """Make all files, at other places than their own."""
    places = _prepared(plan, files)
    for source in sources_of(plan.planes.values()):
        source.require_sum()
    sums = _written(plan, places, kept)
    of_set = _verified(plan, places, sums)
    for key, place in places.items():
        header = place.image.header(of_set, sums[key])
        _write_back(place.path, header, place.start)
    for each in files.values():
        with each.open("rb") as file:
            os.fsync(file.fileno())


def _prepared(plan: Plan, files: dict[Path, Path]) -> Places:
    """Make the files in their full size, with all that is known; return where images lie.

    In those that are there already, only pixels and headers are left as they are.
    """
    places: Places = {}
    for path, units in plan.files.items():
        part, at = files[path], 0
        part.touch()
        with part.open("r+b") as file:
            for unit in units:
                if isinstance(unit, bytes):
                    _reserve(file.fileno(), at, len(unit))
                    os.pwrite(file.fileno(), unit, at)
                    at += len(unit)
                    continue
                length = len(unit.header("0" * 16, 0))
                places[unit.band, unit.name] = _Place(part, at, at + length, unit)
                end = at + length + unit.size
                _reserve(file.fileno(), at, end + -unit.size % BLOCK - at)
                os.pwrite(file.fileno(), bytes(-unit.size % BLOCK), end)
                at = end + -unit.size % BLOCK
            file.truncate(at)
    return places


def _reserve(file: int, start: int, size: int) -> None:
    """Take room on the disk, so that a full one says so before anything is computed."""
    try:
        os.posix_fallocate(file, start, size)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
            raise
        if os.fstat(file).st_size < start + size:
            os.ftruncate(file, start + size)


def _written(plan: Plan, places: Places, kept: Kept | None) -> Sums:
    """Compute all blocks, each once, and write them; return the sums of the images' words."""
    names, arrays = list(plan.planes), list(plan.planes.values())
    done = {} if kept is None else _still_there(arrays, places, kept)
    journal = None if kept is None else kept.journal
    write = partial(_write_block, names, plan.images_of, places, journal)
    made = evaluated(write, arrays, leave=done)
    if kept is not None:
        kept.found, kept.blocks = len(done), len(done) + len(made)
    totals = dict.fromkeys(places, 0)
    for sums in (*done.values(), *made):
        for key, value in sums.items():
            totals[key] += value
    return {key: ones_sum(value) for key, value in totals.items()}


def _still_there(arrays: list[Any], places: Places, kept: Kept) -> dict[At, Sums]:
    """Return the blocks that are on disk as the journal tells, with the sums of their words."""
    told, found = kept.told(), {}
    for at in blocks_of(arrays) if told else ():
        if at in told:
            images = {
                name: _pixels_at(place, at)
                for (band, name), place in places.items()
                if band == at.band
            }
            if digest_of(at, images) == told[at]:
                found[at] = _sums_of(images, at, places)
    return found


def _pixels_at(place: _Place, at: At) -> NDArray[Any]:
    width, kind = place.image.shape[1], place.image.dtype.newbyteorder(">")
    pixels = np.empty((at.bottom - at.top, at.right - at.left), kind)
    with place.path.open("rb", buffering=0) as file:
        for number, row in enumerate(pixels, at.top):
            start = place.data + kind.itemsize * (number * width + at.left)
            if os.preadv(file.fileno(), [row], start) < row.nbytes:
                row[...] = 0  # its digest is another one
    return pixels


def _write_block(
    names: list[str],
    images_of: Callable[..., Made],
    places: Places,
    journal: Path | None,
    at: At,
    *blocks: Any,
) -> Sums:
    made = images_of(**{name: block[0] for name, block in zip(names, blocks, strict=True)})
    images = {}
    for name, image in made.items():
        place = places[at.band, name]
        kind = place.image.dtype.newbyteorder(">")
        images[name] = np.ascontiguousarray(image, kind)
        _write_pixels(place, images[name], at)
    if journal is not None:
        note_block(journal, at, digest_of(at, images))
    return _sums_of(images, at, places)


def _sums_of(images: Made, at: At, places: Places) -> Sums:
    return {
        (at.band, name): words_sum(pixels, at.top, at.left, places[at.band, name].image.shape[1])
        for name, pixels in images.items()
    }


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


def _verified(plan: Plan, places: Places, sums: Sums) -> str:
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
