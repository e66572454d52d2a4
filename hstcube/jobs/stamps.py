"""Stamps of many objects, cut out of mosaics, in the layout that `hstcube run` reads."""

from __future__ import annotations

import hashlib
import math
import re
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hstcube.core.bands import band_name, names_in
from hstcube.core.grids import Grid
from hstcube.errors import FileError, GridError
from hstcube.fits.images import image_shape, image_unit
from hstcube.fits.local import as_path, missing
from hstcube.fits.opening import located, opened_by_header
from hstcube.fits.reads import keeps, state_of
from hstcube.fits.sets import SET
from hstcube.fits.units import card
from hstcube.fits.writing import Parts, require_free_names
from hstcube.inputs.places import height_and_width
from hstcube.jobs.catalogue import Position, positions_of
from hstcube.regridding.stamp import spans_around
from hstcube.surveys.beside import LABELS
from hstcube.surveys.names import FieldFiles, list_fields
from hstcube.surveys.patterns import IMAGES, STAMPS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

__all__ = ["Stamp", "cut_stamps"]


_OF_THE_FILE = {  # what belongs to the mosaic's file, not to the pixels cut out of it
    "SIMPLE", "XTENSION", "BITPIX", "EXTEND", "PCOUNT", "GCOUNT", "CHECKSUM", "DATASUM",
    "BSCALE", "BZERO", "EXTNAME", "EXTVER", "EXTLEVEL", "HISTORY", "COMMENT", "", "CONTINUE", "END",
    "RAF_ID", "PARENT", "SETID", "SETN", "SETMAP", "SETWITH",
}  # fmt: skip
_PLACE = ("CRPIX1", "CRPIX2")
_AXIS = re.compile(r"NAXIS\d*")
_BLOCK = 2880


class Stamp(NamedTuple):
    """What became of a position: bands that were cut, the share inside the mosaic, the files."""

    name: str
    bands: tuple[str, ...]
    share: float
    files: tuple[Path, ...]


@keeps("catalogue")
def cut_stamps(
    folder: str | Path,
    catalogue: str | Path | Sequence[Position],
    out: str | Path,
    *,
    size: Any,
    scale: str | None = None,
    bands: Sequence[str] | None = None,
    images: str | None = None,
    labels: str | None = None,
    overwrite: bool = False,
) -> list[Stamp]:
    """Cut stamps of all bands out of mosaics, and pieces of their segmentation map.

    Only the rows that a stamp shows are read. Every stamp is written beside its place and renamed
    when all are there.

    Parameters
    ----------
    folder : path
        Holds the mosaics, named like stamps: ``{field}_{scale}_{filter}_{sci,wht}.fits``.
    catalogue : path, or sequence of Position
        See `read_catalogue`.
    out : path
        The stamps go to ``new_stamps/{id}_{scale}_{filter}_{sci,wht}.fits`` in it, maps to its
        ``segment_maps``.
    size : float, Quantity, or two of them
        Side of the stamps, or height and width [arcsec].
    scale, images, labels : str, optional
        See `list_fields`; all scales when not given.
    bands : sequence of str, optional
        Only these.
    overwrite : bool
        Replace stamps that exist.

    Returns
    -------
    list of Stamp
        In the order of the catalogue; without bands and files for positions that no mosaic shows.

    Raises
    ------
    FileError
        If there are no mosaics, or one of them is damaged, compressed, or lacks its counterpart.
    GridError
        If the size cannot be, or no position lies on any mosaic.
    WriteError
        If a stamp exists, or cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> import hstcube
    >>> from hstcube.demo.field import simulate
    >>> from hstcube.jobs.catalogue import Position
    >>> folder = tempfile.mkdtemp()
    >>> _ = simulate(folder)
    >>> places = [Position("a", 53.16, -27.78)]
    >>> made = hstcube.cut_stamps(folder, places, tempfile.mkdtemp(), size=1.2, scale="60mas")
    >>> [(one.name, len(one.bands)) for one in made]
    [('a', 9)]
    """
    out, sides = as_path(out), height_and_width(size)
    positions = positions_of(catalogue)
    chosen = [band_name(name) for name in names_in(bands)]
    sources = _sources(folder, chosen, scale=scale, images=images, labels=labels)
    pieces, shares = _planned(sources, positions, sides)
    if not pieces:
        raise GridError(
            "HC-W15",
            "no position of the catalogue lies on a mosaic",
            "check that ra and dec are in degrees, ICRS",
        )
    require_free_names([out / piece.path for piece in pieces], overwrite=overwrite)
    _write(pieces, out, _ids(pieces))
    cut: dict[str, list[Piece]] = {position.name: [] for position in positions}
    for piece in pieces:
        cut[piece.name].append(piece)
    return [_told(name, cut[name], shares.get(name, 0.0), out) for name, *_ in positions]


def _ids(pieces: list[Piece]) -> dict[tuple[str, str], list[str]]:
    """Return the cards that tie what is cut at one position, by position and scale ("" of maps).

    Mosaics are too large to be hashed: their names, sizes and times stand for what they hold.
    """
    states = {piece.source.path: state_of(piece.source.path.stat()) for piece in pieces}
    told: dict[tuple[str, str], list[str]] = {}
    for piece in pieces:
        path = piece.source.path
        said = (piece.path, piece.rows, piece.columns, path.name, *states[path][2:4])
        told.setdefault(piece.of_set, []).append(repr(said))
    ids = {
        key: hashlib.sha256("".join(said).encode()).hexdigest()[:16] for key, said in told.items()
    }
    cards = {}
    for (name, scale), of_set in ids.items():
        mine = cards[name, scale] = [card(SET, of_set, "the same in all that was cut together")]
        if scale:
            mine.append(card("SETN", len(told[name, scale]), "number of these files"))
        if scale and (name, "") in ids:
            mine.append(card("SETMAP", ids[name, ""], "id of their segmentation map"))
    return cards


def _write(pieces: list[Piece], out: Path, ids: dict[tuple[str, str], list[str]]) -> None:
    """Write all stamps, or none; they come source by source."""
    with Parts(out, sum(piece.size for piece in pieces)) as parts:
        for source, mine in groupby(pieces, key=attrgetter("source")):
            with located(source.path, source.band):
                pixels, header = source.pixels(), source.header()
            for piece in mine:
                parts.write(out / piece.path, *_stamp(piece, pixels, [*header, *ids[piece.of_set]]))


def _told(name: str, pieces: list[Piece], share: float, out: Path) -> Stamp:
    bands = dict.fromkeys(piece.source.band for piece in pieces if piece.source.band)
    return Stamp(name, tuple(bands), share, tuple(out / piece.path for piece in pieces))


class Scaling(NamedTuple):
    """How numbers in a file become values: BSCALE, BZERO, and BLANK for those that are none."""

    scale: float
    zero: float
    blank: float | None


class Source(NamedTuple):
    """An image to cut from: where its pixels lie in its file, and its grid.

    Without a band it is a segmentation map.
    """

    path: Path
    band: str
    kind: str
    scale: str
    grid: Grid
    offset: int
    dtype: str
    scaling: Scaling

    def pixels(self) -> Any:
        """Return the image as it is in the file, mapped into memory."""
        return np.memmap(self.path, self.dtype, "r", self.offset, self.grid.shape)

    def header(self) -> list[str]:
        """Return the cards that stamps keep, 80 characters each."""
        with opened_by_header(self.path) as hdus:
            unit = image_unit(hdus, self.kind, self.path)
            own = (*_PLACE, "BLANK") if self.scaled else _PLACE
            cards: list[str] = []
            for one in unit.header.cards:
                key = one.keyword
                if key in own or key in _OF_THE_FILE or _AXIS.fullmatch(key):
                    continue
                text = str(one)
                cards += [text[i : i + 80] for i in range(0, len(text), 80)]
        return [*cards, card("PARENT", self.path.name[:60], "cut out of")]

    @property
    def what(self) -> tuple[str, str, str]:
        """Band, kind and scale: a position has one of each; there is one map for all scales."""
        return (self.band, self.kind, self.scale if self.band else "")

    @property
    def scaled(self) -> bool:
        """Whether numbers in the file are not yet values."""
        return self.scaling[:2] != (1.0, 0.0)


def _sources(
    folder: str | Path, chosen: list[str], *, scale: str | None, **places: str | None
) -> list[Source]:
    """Return all images that stamps can be cut from."""
    mosaics = list_fields(folder, scale=scale, **places)
    if not mosaics:
        fix = f"name them {IMAGES}, or give [[--images PATTERN|images=]]"
        raise missing("mosaics", fix, file=folder, verb="are")
    return [source for files in mosaics for source in _sources_of(files, chosen)]


def _sources_of(files: FieldFiles, chosen: list[str]) -> Iterator[Source]:
    """Yield the images of a mosaic, and its map."""
    for name in files.bands:
        if chosen and name not in chosen:
            continue
        _require_pair(files, name)
        sci = _source(files.one(name, "sci"), name, "sci", files.scale)
        wht = _source(files.one(name, "wht"), name, "wht", files.scale)
        with located(sci.path, name):
            sci.grid.require(wht.grid, what="sci and wht")
        yield from (sci, wht)
    if files.labels is not None and files.labels.exists():
        yield _source(files.labels, "", "labels", files.scale)


def _require_pair(files: FieldFiles, name: str) -> None:
    """Refuse weights that stamps do not hold."""
    band = files.bands[name]
    if files.one(name, "sci") == files.one(name, "wht"):
        reason = "holds both images of its band; stamps are cut out of files of one image"
    elif band.wht_kind != "ivar":
        kind = band.wht_kind or "exposure times, maybe"
        reason = f"its weights are no inverse variances ({kind}); those of stamps are"
    else:
        return
    fix = (
        "work on the whole images; or write two files a band, with inverse variances, and cut those"
    )
    raise FileError("HC-D45", reason, fix, str(files.one(name, "wht")), name)


def _source(path: Path, band: str, kind: str, scale: str) -> Source:
    with located(path, band), opened_by_header(path) as hdus:
        unit = image_unit(hdus, kind, path)
        if type(unit).__name__ == "CompImageHDU":
            raise FileError(
                "HC-F28", "is compressed: its pixels cannot be read piece by piece", "funpack it"
            )
        header = unit.header
        grid = Grid.from_header(header, shape=image_shape(unit))
        dtype = _dtype(int(header["BITPIX"]))
        place = unit.fileinfo()["datLoc"]
        if path.stat().st_size < place + math.prod(grid.shape) * np.dtype(dtype).itemsize:
            raise FileError("HC-F02", "is truncated", "get it again")
        scaling = Scaling(
            float(header.get("BSCALE", 1)), float(header.get("BZERO", 0)), header.get("BLANK")
        )
        return Source(path, band, kind, scale, grid, place, dtype, scaling)


def _dtype(bits: int) -> str:
    """Return the type of numbers in a FITS file by its BITPIX."""
    if bits < 0:
        return f">f{-bits // 8}"
    return f">i{bits // 8}" if bits > 8 else ">u1"  # noqa: PLR2004  bits of a byte


class Piece(NamedTuple):
    """A stamp to be: rows and columns of a source."""

    name: str
    source: Source
    rows: tuple[int, int]
    columns: tuple[int, int]

    @property
    def path(self) -> Path:
        """Where it goes, in the folder of the stamps' field."""
        if not self.source.band:
            return Path(LABELS.format(field=self.name))
        source = self.source
        return Path(STAMPS) / IMAGES.format(
            field=self.name, scale=source.scale, band=source.band, kind=source.kind
        )

    @property
    def of_set(self) -> tuple[str, str]:
        """What it is cut together with: its position, and the scale; none for maps."""
        return self.name, self.source.what[2]

    @property
    def shape(self) -> tuple[int, int]:
        """Its numbers of rows and columns."""
        return self.rows[1] - self.rows[0], self.columns[1] - self.columns[0]

    @property
    def size(self) -> int:
        """Bytes, about."""
        return math.prod(self.shape) * 8 + 2 * _BLOCK


def _planned(
    sources: list[Source], positions: list[Position], sides: tuple[float, float]
) -> tuple[list[Piece], dict[str, float]]:
    """Return the pieces of all sources, and the share of each position's stamps that lies inside.

    Each band and scale of a position comes from the first mosaic that shows it.
    """
    ra, dec = (np.array([position[i] for position in positions]) for i in (1, 2))
    known: dict[tuple[Grid, bool], tuple[NDArray[np.int64], tuple[int, int]]] = {}
    pieces: dict[tuple[int, str, str, str], Piece] = {}
    shares: dict[str, float] = {}
    for source in sources:
        key = (source.grid, bool(source.band))
        if key not in known:  # a map that is turned must reach as far as the stamp's corners
            reach = 1.0 if source.band else _reach(source, sources)
            known[key] = spans_around(source.grid, ra, dec, (sides[0] * reach, sides[1] * reach))
        spans, wanted = known[key]
        for i in np.flatnonzero((spans[:, :, 0] < spans[:, :, 1]).all(axis=1)):
            name, (rows, columns) = positions[i].name, spans[i].tolist()
            piece = Piece(name, source, tuple(rows), tuple(columns))
            if pieces.setdefault((int(i), *source.what), piece) is piece and source.band:
                share = math.prod(piece.shape) / math.prod(wanted)
                shares[name] = min(share, shares.get(name, 1.0))
    return list(pieces.values()), shares


def _reach(source: Source, sources: list[Source]) -> float:
    """Return how much larger than the stamps a piece of the map must be, to hold them turned."""
    reach = 1.0
    for other in sources:
        if other.band:
            matrix = np.linalg.solve(source.grid.matrix, other.grid.matrix)
            reach = max(
                reach, float((np.abs(matrix).sum(1) * source.grid.scale / other.grid.scale).max())
            )
    return reach


def _stamp(piece: Piece, pixels: Any, header: list[str]) -> tuple[bytes, bytes]:
    """Return the header and the data of a stamp, as they are in a FITS file."""
    source = piece.source
    data = pixels[slice(*piece.rows), slice(*piece.columns)]
    if source.scaled:
        scale, zero, blank = source.scaling
        gone = data == blank if blank is not None else np.zeros(data.shape, dtype=bool)
        data = np.where(gone, np.nan, data.astype(np.float64) * scale + zero).astype(">f4")
    raw = data.tobytes()
    kinds = {"f": -8, "i": 8, "u": 8}
    cards = dict(source.grid.cards)
    start = [
        f"{'SIMPLE':8}= {'T':>20}",
        f"{'BITPIX':8}= {kinds[data.dtype.kind] * data.dtype.itemsize:>20}",
        f"{'NAXIS':8}= {2:>20}",
        f"{'NAXIS1':8}= {data.shape[1]:>20}",
        f"{'NAXIS2':8}= {data.shape[0]:>20}",
        f"{'CRPIX1':8}= {float(cards['CRPIX1']) - piece.columns[0]:>20.13G}",
        f"{'CRPIX2':8}= {float(cards['CRPIX2']) - piece.rows[0]:>20.13G}",
    ]
    text = "".join(line.ljust(80) for line in (*start, *header, "END"))
    return text.ljust(len(text) + -len(text) % _BLOCK).encode("ascii"), raw + bytes(
        -len(raw) % _BLOCK
    )
