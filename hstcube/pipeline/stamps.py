"""Stamps of many objects, cut out of mosaics, in the layout that `hstcube run` reads."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hstcube.core.bands import band_name
from hstcube.core.grids import Grid
from hstcube.errors import FileError, GridError, RecipeError
from hstcube.fits.images import image_shape, image_unit
from hstcube.fits.opening import located, opened
from hstcube.fits.writing import Parts, require_free_names, sweep
from hstcube.regridding.stamp import spans_around
from hstcube.surveys.names import IMAGES, LABELS, FieldFiles, checked_name, list_fields

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

__all__ = ["Position", "Stamp", "cut_stamps", "read_catalogue"]

STAMPS = "new_stamps"

_ID = ("id", "name", "field", "number", "source_id", "objid")
_RA, _DEC = (
    ("ra", "ra_deg", "raj2000", "alpha_j2000"),
    ("dec", "dec_deg", "dej2000", "decj2000", "delta_j2000"),
)
_OF_THE_FILE = {  # what belongs to the mosaic's file, not to the pixels cut out of it
    "SIMPLE", "XTENSION", "BITPIX", "NAXIS", "EXTEND", "PCOUNT", "GCOUNT", "CHECKSUM", "DATASUM", "BSCALE", "BZERO",
    "EXTNAME", "EXTVER", "EXTLEVEL", "HISTORY", "COMMENT", "", "CONTINUE", "END", "RAF_ID", "PARENT",
}  # fmt: skip
_BLOCK = 2880


class Position(NamedTuple):
    """A row of a catalogue: the name of the stamps, and where they are wanted, degrees ICRS."""

    name: str
    ra: float
    dec: float


class Stamp(NamedTuple):
    """What became of a position: the bands that were cut, the share of the stamp inside the mosaic, the files."""

    name: str
    bands: tuple[str, ...]
    share: float
    files: tuple[Path, ...]


def cut_stamps(
    folder: str | Path,
    catalogue: str | Path | Sequence[Position],
    out: str | Path,
    *,
    size: float,
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
    size : float
        Side of the stamps, arcsec.
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
    """
    out = Path(out)
    positions = read_catalogue(catalogue) if isinstance(catalogue, str | Path) else list(catalogue)
    mosaics = list_fields(folder, scale=scale, images=images, labels=labels)
    if not mosaics:
        raise FileError(
            "HC-F01",
            "there are no mosaics",
            f"name them {IMAGES}, or give --images PATTERN",
            file=str(folder),
        )
    chosen = [band_name(name) for name in bands or ()]
    sources = [source for files in mosaics for source in _sources(files, chosen)]
    pieces, shares = _planned(sources, positions, size)
    if not pieces:
        raise GridError(
            "HC-W15",
            "no position of the catalogue lies on a mosaic",
            "check that ra and dec are in degrees, ICRS",
        )
    require_free_names([out / piece.path for piece in pieces], overwrite=overwrite)
    for place in {(out / piece.path).parent for piece in pieces}:
        sweep(place)
    with Parts(out, sum(piece.size for piece in pieces)) as parts:
        for source, mine in groupby(
            pieces, key=lambda piece: piece.source
        ):  # they come source by source
            with located(source.path, source.band):
                pixels, header = source.pixels(), source.header()
            for piece in mine:
                parts.write(out / piece.path, *_stamp(piece, pixels, header))
    cut: dict[str, list[Piece]] = {}
    for piece in pieces:
        cut.setdefault(piece.name, []).append(piece)
    return [_told(position.name, cut.get(position.name, []), shares, out) for position in positions]


def _told(name: str, pieces: list[Piece], shares: dict[str, float], out: Path) -> Stamp:
    bands = dict.fromkeys(piece.source.band for piece in pieces if piece.source.band)
    return Stamp(
        name, tuple(bands), shares.get(name, 0.0), tuple(out / piece.path for piece in pieces)
    )


def read_catalogue(path: str | Path) -> list[Position]:
    """Read names and positions from a table: ECSV, or whatever astropy reads by the file's ending.

    Columns: ``id`` (or ``name``), ``ra`` and ``dec`` in degrees or in the unit that the table says;
    ICRS.

    Raises
    ------
    FileError
        If the file is missing or no table.
    RecipeError
        If it lacks a column, or a name or position cannot be used.
    """
    from astropy.table import Table
    from astropy.units import UnitConversionError, deg

    path = Path(path)
    if not path.is_file():
        raise FileError("HC-F01", "there is no such catalogue", "check the path", file=str(path))
    try:
        table = Table.read(path)
    except Exception as error:  # what a reader raises for what is not its table is anything
        raise FileError(
            "HC-F04",
            f"is no table ({type(error).__name__}: {error})",
            "write an ECSV file with id, ra, dec",
            str(path),
        ) from error
    columns = {name.lower(): name for name in table.colnames}
    found = [
        next((columns[name] for name in names if name in columns), None)
        for names in (_ID, _RA, _DEC)
    ]
    if None in found:
        raise RecipeError(
            "HC-B23",
            f"the catalogue has the columns {', '.join(table.colnames)}; one for id, ra or dec is missing",
            "name them id, ra and dec (degrees)",
            file=str(path),
        )
    names = [str(value) for value in table[found[0]]]
    try:
        ra, dec = (np.asarray(table[name].quantity.to_value(deg) if table[name].unit else table[name], dtype=float)
                   for name in found[1:])  # fmt: skip
    except (UnitConversionError, ValueError, TypeError) as error:
        raise RecipeError(
            "HC-B23", f"ra and dec are not angles: {error}", "give them in degrees", file=str(path)
        ) from error
    return _checked(
        [Position(*row) for row in zip(names, ra.tolist(), dec.tolist(), strict=True)], path
    )


def _checked(positions: list[Position], path: Path) -> list[Position]:
    seen: dict[str, str] = {}
    for position in positions:
        try:
            checked_name(position.name)
        except RecipeError as error:
            error.at(file=str(path))
            raise
        if position.name.lower() in seen:
            raise RecipeError(
                "HC-O07",
                f"two rows are called {position.name}",
                "give every row an id of its own",
                file=str(path),
            )
        seen[position.name.lower()] = position.name
        if not (np.isfinite(position.ra) and abs(position.dec) <= 90):  # noqa: PLR2004
            raise RecipeError(
                "HC-B23",
                f"{position.name} is at ({position.ra}, {position.dec})",
                "give ra and dec in degrees",
                file=str(path),
            )
    if not positions:
        raise RecipeError(
            "HC-B23", "the catalogue is empty", "give it at least one row", file=str(path)
        )
    return positions


class Source(NamedTuple):
    """An image to cut from: where its pixels lie in its file, and its grid. Without a band: a segmentation map."""

    path: Path
    band: str
    kind: str
    scale: str
    grid: Grid
    offset: int
    dtype: str
    factor: tuple[float, float, float | None]  # BSCALE, BZERO, BLANK

    def pixels(self) -> Any:
        """Return the image as it is in the file, mapped into memory."""
        return np.memmap(self.path, self.dtype, "r", self.offset, self.grid.shape)

    def header(self) -> list[str]:
        """Return the cards that stamps keep, 80 characters each."""
        from astropy.io import fits

        with opened_by_header(self.path) as hdus:
            unit = image_unit(hdus, self.kind, self.path)
            cards = []
            for card in unit.header.cards:
                key = (
                    card.keyword.rstrip("0123456789")
                    if card.keyword.startswith("NAXIS")
                    else card.keyword
                )
                if key in _OF_THE_FILE or card.keyword in (
                    "CRPIX1",
                    "CRPIX2",
                    *(("BLANK",) if self.scaled else ()),
                ):
                    continue
                text = str(card)
                cards += [text[i : i + 80] for i in range(0, len(text), 80)]
        return [*cards, str(fits.Card("PARENT", self.path.name[:60], "cut out of"))]

    @property
    def scaled(self) -> bool:
        """Whether numbers in the file are not yet values."""
        return self.factor[:2] != (1.0, 0.0)


def opened_by_header(path: Path) -> Any:
    """Open a FITS file for its headers; refuse one whose pixels cannot be found without unpacking it.

    Raises
    ------
    FileError
        If it is compressed.
    """
    if path.suffix in (".gz", ".fz", ".bz2", ".xz"):
        raise FileError(
            "HC-F28",
            "is compressed: its pixels cannot be read piece by piece",
            f"unpack it: {path.stem}",
        )
    return opened(path)


def _sources(files: FieldFiles, chosen: list[str]) -> Iterator[Source]:
    """Yield the images of a mosaic, and its map."""
    for name in files.bands:
        if not chosen or name in chosen:
            pair = [
                _source(files.one(name, kind), name, kind, files.scale) for kind in ("sci", "wht")
            ]
            with located(pair[0].path, name):
                pair[0].grid.require(pair[1].grid, what="sci and wht")
            yield from pair
    if files.labels is not None and files.labels.exists():
        yield _source(files.labels, "", "labels", files.scale)


def _source(path: Path, band: str, kind: str, scale: str) -> Source:
    with located(path, band), opened_by_header(path) as hdus:
        unit = image_unit(hdus, kind, path)
        if type(unit).__name__ == "CompImageHDU":
            raise FileError(
                "HC-F28", "is compressed: its pixels cannot be read piece by piece", "funpack it"
            )
        header, shape = unit.header, image_shape(unit)
        grid = Grid.from_header(header, shape=shape)
        bits = int(header["BITPIX"])
        dtype = f">{'f' if bits < 0 else 'i' if bits > 8 else 'u'}{abs(bits) // 8}"  # noqa: PLR2004
        place = unit.fileinfo()["datLoc"]
        if path.stat().st_size < place + grid.shape[0] * grid.shape[1] * abs(bits) // 8:
            raise FileError("HC-F02", "is truncated", "get it again")
        factor = (
            float(header.get("BSCALE", 1)),
            float(header.get("BZERO", 0)),
            header.get("BLANK"),
        )
        return Source(path, band, kind, scale, grid, place, dtype, factor)


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
    def size(self) -> int:
        """Bytes, about."""
        return (self.rows[1] - self.rows[0]) * (self.columns[1] - self.columns[0]) * 8 + 2 * _BLOCK


def _planned(
    sources: list[Source], positions: list[Position], size: float
) -> tuple[list[Piece], dict[str, float]]:
    """Return the pieces of all sources; each band and scale of a position comes from the first mosaic that shows it."""
    ra, dec = (np.array([position[i] for position in positions]) for i in (1, 2))
    known: dict[tuple[Grid, bool], tuple[NDArray[np.int64], tuple[int, int]]] = {}
    pieces: list[Piece] = []
    shares: dict[str, float] = {}
    taken: set[tuple[int, str, str, str]] = set()
    for source in sources:
        key = (source.grid, bool(source.band))
        if key not in known:  # a map that is turned must reach as far as the stamp's corners
            known[key] = spans_around(
                source.grid, ra, dec, size if source.band else size * _reach(source, sources)
            )
        spans, wanted = known[key]
        inside = (spans[:, :, 0] < spans[:, :, 1]).all(axis=1)
        for i in np.flatnonzero(inside):
            mine = (int(i), "" if not source.band else source.scale, source.band, source.kind)
            if mine in taken:
                continue
            taken.add(mine)
            (top, bottom), (left, right) = spans[i].tolist()
            pieces.append(Piece(positions[i].name, source, (top, bottom), (left, right)))
            if source.band:
                share = (bottom - top) * (right - left) / (wanted[0] * wanted[1])
                shares[positions[i].name] = min(share, shares.get(positions[i].name, 1.0))
    return pieces, shares


def _reach(source: Source, sources: list[Source]) -> float:
    """Return how much larger a piece of the map must be than the stamps, to hold them when it is turned."""
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
        scale, zero, blank = source.factor
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
