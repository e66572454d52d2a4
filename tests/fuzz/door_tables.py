"""Doors of tables: catalogues of positions, and what EAZY and bagpipes found."""

from __future__ import annotations

import csv
import io
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from damage import CHANGES, WORDS, damaged, odd_path, prepare_odd_paths
from doors import Door
from plainfits import hdu, physical, read
from small import SCALE, small_cube, small_map, wcs_cards

if TYPE_CHECKING:
    from collections.abc import Iterator

    from doors import Lot

NOTHING = None  # a cell that means nothing: a row that holds it must be refused
ALIKE = 1e-9  # degrees


class Cell(NamedTuple):
    """What stands in a table, and what it may mean; nothing if it can mean nothing."""

    said: Any
    means: tuple[Any, ...]
    good: bool = False


class Table(NamedTuple):
    """A table as a file, and the cells that were written; without them it was damaged."""

    path: Any
    rows: list[tuple[Cell, ...]] | None
    good: bool
    more: Any = None

    def __repr__(self) -> str:
        data = b""
        if isinstance(self.path, Path) and self.path.is_file() and self.path.suffix != ".fits":
            data = self.path.read_bytes()[:1200]
        rows = [tuple(cell.said for cell in row) for row in self.rows or ()]
        return f"{str(self.path)[:200]!r} {rows} {data!r} {self.more!r}"


def number(said: Any, *means: float, good: bool = False) -> Cell:
    return Cell(said, means or (float(said),), good)


def plain(value: Any) -> Cell:
    return Cell(value, (value,), good=True)


# -- catalogues

TEXT_IDS = (
    *map(plain, ("a1", "b-2", "42", "NGC_7", "x.y", "001", "1e5", "0x10", "1_000", "7.0")),
    *(Cell(said, ()) for said in ("", " ", "../x", "/etc/x", "a b", "CON", "nul.fits", "x" * 70,
      "nan", "None", "NaN", "null", "--", "é", "a/b", "\x1b[31mred", "=cmd", "{field}", "a\0b")),
    Cell("1234567890123456789012", ("1234567890123456789012",)), Cell("+5", ("+5", "5")),
    Cell("-5", ("-5",)), Cell(" a7", ("a7",)), Cell("N/A", ()), Cell("inf", ()),
    Cell("True", ("True",)),
)  # fmt: skip
ODD_ANGLES = (
    *(Cell(said, ()) for said in ("", "nan", "inf", "-inf", "1e308", "1e400", "53,16", "--", "abc",
      "None", "5 3", "400", "-400", "0x35", "1_0.5", "53.16°")),
    Cell("03:32:38.4", (53.16, 3.544)), Cell("3h32m38.4s", (53.16,)), Cell("53d09m36s", (53.16,)),
    Cell("53:09:36", (53.16,)), number("5.316e1"), Cell("5.316d1", (53.16,)), number("+53.16"),
    number("53."),
)  # fmt: skip


class Catalogues(Door):
    """A table of positions, read for `cut_stamps`, and the stamps that are cut."""

    name = "catalogues"
    SIDE = (40, 44)

    def prepare(self, folder: Path) -> None:
        prepare_odd_paths(folder)
        self.folder = folder / "mosaics"
        self.folder.mkdir()
        rng = np.random.default_rng(1)
        self.pixels = rng.normal(0, 1, self.SIDE).astype(np.float32)
        for kind, image in (("sci", self.pixels), ("wht", np.ones_like(self.pixels))):
            cards = {**wcs_cards(), "FILTER": "F160W", "BUNIT": "ELECTRONS/S"}
            path = self.folder / f"m_60mas_f160w_{kind}.fits"
            path.write_bytes(hdu(image, cards))

    def angle(self, lot: Lot, axis: int, odd: float) -> Cell:
        if lot.random() < odd:
            return lot.choice(ODD_ANGLES)
        span = 0.06 / 3600 * 40
        middle = (53.16 - span / 2, -27.79 + span / 2)[axis]
        value = round(middle + span * lot.uniform(-0.5, 0.5), 7)
        return Cell(repr(value), (value,), good=True)

    def draw(self, lot: Lot, folder: Path) -> Table:
        odd = lot.choice((0.0, 0.0, 0.05, 0.2))
        number_of = lot.choice((1, 2, 3, 5))
        ids = [
            lot.choice(TEXT_IDS if lot.random() < odd else TEXT_IDS[:6]) for _ in range(number_of)
        ]
        if odd == 0:
            ids = [plain(f"{cell.said}{i}") for i, cell in enumerate(ids)]
        rows = [(cell, self.angle(lot, 0, odd), self.angle(lot, 1, odd)) for cell in ids]
        given = lot.choice((as_text, as_text, as_columns))(lot, folder, rows)
        cut = lot.random() < 0.3
        way = lot.random()
        if way < 0.06:
            return Table(odd_path(lot, folder, given.path), None, good=False, more=cut)
        if way < 0.2:
            given.path.write_bytes(damaged(given.path.read_bytes(), lot))
            return Table(given.path, None, good=False, more=cut)
        return given._replace(more=cut)

    def use(self, given: Table) -> Any:
        from hstcube import cut_stamps
        from hstcube.jobs.catalogue import read_catalogue

        positions, out = read_catalogue(given.path), None
        if given.more:
            out = Path(given.path).parent / "out"
            cut_stamps(self.folder, given.path, out, size=0.5)
        return positions, out

    def wrong(self, given: Table, result: Any) -> Iterator[str]:
        positions, out = result
        yield from impossible(positions)
        yield from self.wrong_stamps(positions, out)
        if given.rows is None:
            return
        if len(positions) != len(given.rows):
            yield f"other rows | {len(positions)} for {len(given.rows)}"
        for position, row in zip(positions, given.rows, strict=True):
            if position.name not in row[0].means:
                yield f"another id | {position.name!r} for {row[0].said!r}"
            for what, value, cell in zip(("ra", "dec"), position[1:3], row[1:], strict=True):
                if not any(abs(value - one) % 360 < ALIKE * max(1, abs(one)) for one in cell.means):
                    yield f"another {what} | {value} for {cell.said!r}"

    def wrong_stamps(self, positions: Any, out: Path | None) -> Iterator[str]:
        """Compare stamps with the mosaic: where their cards put them, and what they show."""
        for path in sorted((out / "new_stamps").glob("*_sci.fits")) if out else ():
            name = path.name.removesuffix("_60mas_f160w_sci.fits")
            position = next((one for one in positions if one[0] == name), None)
            unit = read(path)[0]
            left, low = (1 - unit.number(f"CRPIX{i}") for i in (1, 2))
            ny, nx = unit.shape
            rows, columns = slice(int(low), int(low) + ny), slice(int(left), int(left) + nx)
            if position is None or not np.array_equal(physical(unit), self.pixels[rows, columns]):
                yield f"another stamp | {path.name}"
            apart = (53.16 - position[1]) * math.cos(math.radians(27.79)), position[2] + 27.79
            x, y = (value * 3600 / SCALE for value in apart)
            whole = nx >= 8 and ny >= 8
            if whole and max(abs(left + (nx - 1) / 2 - x), abs(low + (ny - 1) / 2 - y)) > 1:
                yield f"a stamp of another place | {path.name}"

    def good(self, given: Table) -> bool:
        return given.good


def impossible(positions: Any) -> Iterator[str]:
    """Say which position cannot be one, whatever the file said."""
    names = [position.name for position in positions]
    if len({name.lower() for name in names}) != len(names) or not names:
        yield f"names that are not unique, or none | {names}"
    for position in positions:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}", position.name):
            yield f"a name that is no name of a file | {position.name!r}"
        if position.name.lower() in ("nan", "none", "masked"):
            yield f"a name that is none | {position.name!r}"
        if not (abs(position.ra) <= 361 and abs(position.dec) <= 90):
            yield f"a place that is none on the sky | {position}"


NAMES = (
    ("id", "ra", "dec"), ("id", "ra", "dec"), ("ID", "RA", "DEC"), ("name", "RAJ2000", "DEJ2000"),
    ("NUMBER", "ALPHA_J2000", "DELTA_J2000"),
)  # fmt: skip


def as_text(lot: Lot, folder: Path, rows: list[tuple[Cell, ...]]) -> Table:
    """Write a table as people do; the plain form is a CSV file."""
    plain_form = lot.random() < 0.6
    names = lot.choice(NAMES)
    ending, delimiter = ".csv", ","
    if not plain_form:
        ending = lot.choice((".csv", ".csv", ".txt", ".dat", ".tsv", ".cat"))
        delimiter = lot.choice(",,;\t| ")
    buffer = io.StringIO()
    writer = csv.writer(
        buffer, delimiter=delimiter, lineterminator=lot.choice(("\n", "\n", "\r\n"))
    )
    writer.writerow(names)
    writer.writerows([cell.said for cell in row] for row in rows)
    text, told = buffer.getvalue(), rows
    if not plain_form and lot.random() < 0.6:
        change = lot.choice(CHANGES)
        text = change(text, lot, WORDS)
        told = rows_of(text) if delimiter == "," else None
    if lot.random() < 0.05:
        text = f"\ufeff{text}"
    path = folder / f"cat{ending}"
    path.write_bytes(text.encode("utf-8", "replace"))
    unique = len({row[0].said.strip().lower() for row in rows}) == len(rows)
    good = plain_form and unique and all(cell.good for row in rows for cell in row)
    return Table(path, told, good)


def rows_of(text: str) -> list[tuple[Cell, ...]] | None:
    """Read a CSV file that has been edited; None if it is not a plain one any more."""
    if any(mark in text for mark in "#\"'\0\x1b\u202e;\t|") or not text.isascii():
        return None
    plain = text.replace("\r\n", "\n").replace("\r", "\n")  # lines of old Macs
    lines = [row for row in csv.reader(io.StringIO(plain)) if row]
    if not lines or len({len(row) for row in lines}) > 1:
        return None
    head = [name.strip().lower() for name in lines[0]]
    at = [
        next((head.index(name) for name in names if name in head), None)
        for names in (
            ("id", "name", "number"),
            ("ra", "raj2000", "alpha_j2000"),
            ("dec", "dej2000", "delta_j2000"),
        )
    ]  # fmt: skip
    if None in at or len(set(head)) < len(head):
        return None
    return [
        (Cell(row[at[0]], (row[at[0]].strip(),)), *(angle_of(row[i]) for i in at[1:]))
        for row in lines[1:]
    ]


def angle_of(text: str) -> Cell:
    """Return what a text means in degrees, if it is one number; or what it may mean as an angle."""
    known = [cell.means for cell in ODD_ANGLES if cell.said == text.strip()]
    if known:
        return Cell(text, known[0])
    try:
        return Cell(text, (float(text),)) if "_" not in text else Cell(text, ())
    except ValueError:
        parts = re.fullmatch(r" *([-+]?\d+)[:h](\d+)[:m]([\d.]+)s? *", text)
        if not parts:
            return Cell(text, ())
        hours = float(parts[1]) + float(parts[2]) / 60 + float(parts[3]) / 3600
        return Cell(text, (hours, hours * 15))


def as_columns(lot: Lot, folder: Path, rows: list[tuple[Cell, ...]]) -> Table:
    """Write a table whose columns have types, units and masks: ECSV or FITS."""
    from astropy.table import Table as AstropyTable

    n = len(rows)
    ids, id_means, fine = lot.choice(ID_COLUMNS)(lot, n)
    columns, means, good = {"id": ids}, [id_means], fine
    for axis, name in enumerate(("ra", "dec"), start=1):
        values = np.array(
            [cell.means[0] if cell.means else 0.0 for row in rows for cell in row[axis : axis + 1]]
        )
        way = lot.choice(("plain",) * 4 + tuple(ANGLE_COLUMNS))
        column, told, fit = (
            ANGLE_COLUMNS[way](lot, values) if way != "plain" else (values, values, True)
        )
        columns[name] = column
        means.append([NOTHING] * n if told is None else list(told))
        good = good and fit and bool((np.abs(values) < (361, 90)[axis - 1]).all())
        good = good and bool(np.all(values))  # no mosaic lies at 0
    try:
        table = AstropyTable(columns, masked=None)
        path = folder / lot.choice(("cat.ecsv", "cat.fits", "cat.fits"))
        table.write(path)
    except Exception:  # what astropy cannot write is no input
        return as_text(lot, folder, rows)
    cells = [
        tuple(
            Cell(f"{name}[{i}]={columns[name][i]!r}", () if m[i] is NOTHING else as_tuple(m[i]))
            for name, m in zip(columns, means, strict=True)
        )
        for i in range(n)
    ]
    return Table(path, cells, good, None)


def as_tuple(means: Any) -> tuple[Any, ...]:
    return means if isinstance(means, tuple) else (means,)


def masked(lot: Lot, values: Any) -> Any:
    hidden = np.zeros(len(values), bool)
    hidden[lot.randrange(len(values))] = True
    return np.ma.array(values, mask=hidden), hidden


def masked_ids(lot: Lot, n: int) -> tuple[Any, list[Any], bool]:
    kind = lot.choice((np.int64, np.int32, "U4", float))
    column, hidden = masked(lot, np.arange(1, n + 1).astype(kind))
    return (
        column,
        [
            NOTHING if h else (str(v), str(int(float(v))))
            for v, h in zip(column.data, hidden, strict=True)
        ],
        False,
    )


def float_ids(lot: Lot, n: int) -> tuple[Any, list[Any], bool]:
    values = np.arange(1.0, n + 1)
    values[lot.randrange(n)] = lot.choice((1.0, 7.5, math.nan, math.inf, 1e22, 1e5, -0.0))
    return (
        values,
        [
            NOTHING
            if not math.isfinite(v)
            else (str(v), str(int(v)) if v == int(v) else str(v), repr(float(v)))
            for v in values
        ],
        False,
    )


ID_COLUMNS = (
    *(lambda _, n: (np.arange(1, n + 1), [str(i) for i in range(1, n + 1)], True),) * 4,
    lambda _, n: (np.array([f"g{i}" for i in range(n)]), [f"g{i}" for i in range(n)], True),
    lambda _, n: (np.array([f"00{i}" for i in range(n)]), [f"00{i}" for i in range(n)], True),
    masked_ids,
    float_ids,
    lambda _, n: (np.ones((n, 2), int), [NOTHING] * n, False),
    lambda _, n: (np.zeros(n, bool), [("False",)] * n, False),
    lambda _, n: (np.arange(n) + 1j, [NOTHING] * n, False),
    lambda _, n: (
        np.array([2**63 + i for i in range(n)], np.uint64),
        [str(2**63 + i) for i in range(n)],
        False,
    ),
    lambda _, n: (-np.arange(1, n + 1), [str(-i) for i in range(1, n + 1)], False),
    lambda _, n: (np.array([""] * n), [NOTHING] * n, False),
)


def with_unit(unit: str, factor: float | None) -> Any:
    def column(_: Lot, values: Any) -> tuple[Any, Any, bool]:
        from astropy.table import Column

        said = values / (factor or 1.0)
        return Column(said, unit=unit), None if factor is None else values, False

    return column


def spoilt_values(_: Lot, values: Any, with_what: float) -> tuple[Any, Any, bool]:
    told = values.copy()
    told[0] = with_what
    return told, [NOTHING, *values[1:]], False


def masked_angles(lot: Lot, values: Any) -> tuple[Any, Any, bool]:
    column, hidden = masked(lot, values)
    return column, [NOTHING if h else v for v, h in zip(values, hidden, strict=True)], False


ANGLE_COLUMNS: dict[str, Any] = {
    "deg": with_unit("deg", 1.0),
    "rad": with_unit("rad", 180 / math.pi),
    "arcsec": with_unit("arcsec", 1 / 3600),
    "hours": with_unit("hourangle", 15.0),
    "metres": with_unit("m", None),
    "seconds": with_unit("s", None),
    "pixels": with_unit("pix", None),
    "nonsense": with_unit("degres", None),
    "masked": masked_angles,
    "nan": lambda lot, values: spoilt_values(lot, values, math.nan),
    "inf": lambda lot, values: spoilt_values(lot, values, math.inf),
    "huge": lambda lot, values: spoilt_values(lot, values, 1e308),
    "vector": lambda _, values: (np.stack([values, values], 1), None, False),
    "one element": lambda _, values: (values[:, None], values, False),
    "text": lambda _, values: (values.astype("U20"), values, False),
    "bool": lambda _, values: (values > 0, None, False),
    "complex": lambda _, values: (values + 1j, None, False),
    "integers": lambda _, values: (values.astype(np.int32), values.astype(np.int32), False),
    "single": lambda _, values: (values.astype(np.float32), values.astype(np.float32), True),
    "big-endian": lambda _, values: (values.astype(">f8"), values, True),
}


# -- results


class Results(Door):
    """Tables of results, read by `read_fit` and put on the pixels by `paint_fit`."""

    name = "results"

    def prepare(self, folder: Path) -> None:
        prepare_odd_paths(folder)
        self.cube, self.map = small_cube(), small_map()

    def draw(self, lot: Lot, folder: Path) -> Table:
        from astropy.table import Table as AstropyTable

        code = lot.choice(("eazy", "bagpipes"))
        key, n = {"eazy": "id", "bagpipes": "#ID"}[code], lot.choice((2, 2, 2, 3))
        ids = [7, 9, 12][:n]
        lot.shuffle(ids)
        column, means, good = lot.choice(FIT_IDS)(lot, ids)
        values = np.array([lot.uniform(-3, 3) for _ in ids])
        data, told, fit = lot.choice(FIT_VALUES)(lot, values)
        name = lot.choice(("z_phot", "z_phot", "stellar_mass_50", "id", key, "nothing"))
        columns = {key: column, "z_phot": data, "stellar_mass_50": data}
        if lot.random() < 0.04:
            del columns[key]
            good, means = False, [NOTHING] * n
        path = folder / lot.choice(("photz.zout.fits",) * 6 + ("run.ecsv", "run.csv", "run.vot"))
        try:
            table = AstropyTable(columns)
            table.write(path) if path.suffix != ".vot" else table.write(path, format="votable")
        except Exception:  # what astropy cannot write is no input
            column, means, good = np.array(ids), list(ids), True
            data, told, fit = values, values, True
            path = folder / "photz.zout.fits"
            AstropyTable({key: column, "z_phot": data, "stellar_mass_50": data}).write(path)
        good = good and fit and path.suffix == ".fits" and name != "nothing"
        told = [NOTHING] * n if told is None else told
        rows = [
            (Cell(repr(column[i]), () if m is NOTHING else as_tuple(m)), Cell(repr(v), (v,)))
            for i, (m, v) in enumerate(zip(means, told, strict=True))
        ]
        more = (code, name, told is None or all(v is NOTHING for v in told))
        way = lot.random()
        if way < 0.06:
            return Table(odd_path(lot, folder, path), None, good=False, more=more)
        if way < 0.2:
            path.write_bytes(damaged(path.read_bytes(), lot))
            return Table(path, None, good=False, more=more)
        return Table(path, rows, good and len(set(ids)) == n, more)

    def use(self, given: Table) -> Any:
        from hstcube import paint_fit, read_fit

        code, name, _ = given.more
        fit = read_fit(code, given.path)
        return fit, paint_fit(self.cube, self.map, fit, name)

    def wrong(self, given: Table, result: Any) -> Iterator[str]:
        fit, painted = result
        _, name, hopeless = given.more
        numbers = np.asarray(fit["id"])
        if numbers.dtype.kind not in "iu" or numbers.ndim != 1 or np.ma.is_masked(fit["id"]):
            yield f"ids that are no whole numbers | {numbers}"
        if len(set(numbers.tolist())) < len(numbers):
            yield f"ids that are not unique | {numbers}"
        if given.rows is None:
            return
        if len(numbers) != len(given.rows):
            yield f"other rows | {numbers}"
        expected = np.full(self.map.shape, np.nan)
        for one, (key, value) in zip(numbers.tolist(), given.rows, strict=True):
            if one not in key.means:
                yield f"another id | {one} for {key.said}"
            if name not in ("id", "#ID") and hopeless:
                yield f"painted what is no number | {value.said}"
            number_there = one if name in ("id", "#ID") else value.means[0]
            expected[self.map == one] = np.nan if number_there is NOTHING else number_there
        if not np.allclose(painted.values, expected, rtol=1e-6, equal_nan=True):
            yield f"painted otherwise | {np.unique(painted.values)} for {np.unique(expected)}"

    def good(self, given: Table) -> bool:
        return given.good


def fit_ids(change: Any, means: Any = None, *, good: bool = False) -> Any:
    """Return a way to write ids: changed, and what they mean then."""

    def column(_: Lot, ids: list[int]) -> tuple[Any, list[Any], bool]:
        told = change(np.array(ids))
        return told, [NOTHING] * len(ids) if means is None else means(ids), good

    return column


def same_ids(ids: list[int]) -> list[Any]:
    return list(ids)


def first_is(value: Any) -> Any:
    def change(ids: Any) -> Any:
        told = ids.astype(type(value) if isinstance(value, float) else np.int64)
        told[0] = value
        return told

    return fit_ids(change, lambda ids: [NOTHING, *ids[1:]])


def hidden_ids(lot: Lot, ids: list[int]) -> tuple[Any, list[Any], bool]:
    column, hidden = masked(lot, np.array(ids, lot.choice((np.int64, np.int32, float, "U3"))))
    return column, [NOTHING if h else i for i, h in zip(ids, hidden, strict=True)], False


FIT_IDS = (
    *(fit_ids(np.asarray, same_ids, good=True),) * 6,
    fit_ids(lambda ids: ids.astype(np.int16), same_ids, good=True),
    fit_ids(lambda ids: ids.astype("U5"), same_ids),
    fit_ids(lambda ids: ids.astype("S5"), same_ids),
    fit_ids(lambda ids: ids.astype(float), same_ids),
    fit_ids(lambda ids: np.array([f"{i}.0" for i in ids]), same_ids),
    fit_ids(lambda ids: np.array([f"g{i}" for i in ids])),
    fit_ids(lambda ids: ids + 0.7),
    fit_ids(lambda ids: np.stack([ids, ids], 1)),
    fit_ids(lambda ids: ids[:, None], same_ids),
    fit_ids(lambda ids: ids > 0),
    fit_ids(lambda ids: ids + 1j),
    fit_ids(lambda ids: ids * 0 + 7),
    fit_ids(lambda ids: ids * 1e300),
    fit_ids(lambda ids: np.array([" "] * len(ids))),
    fit_ids(lambda ids: ids + 2**40, lambda ids: [i + 2**40 for i in ids]),
    fit_ids(lambda ids: -ids, lambda ids: [-i for i in ids]),
    first_is(1.7), first_is(math.nan), first_is(math.inf), first_is(1e30), first_is(-1e30),
    hidden_ids, hidden_ids,
)  # fmt: skip


def hidden_values(lot: Lot, values: Any) -> tuple[Any, Any, bool]:
    column, hidden = masked(lot, lot.choice((values, np.rint(values).astype(int))))
    return column, [NOTHING if h else v for v, h in zip(column.data, hidden, strict=True)], True


def units_of_mass(_: Lot, values: Any) -> tuple[Any, Any, bool]:
    from astropy.table import Column

    return Column(values, unit="Msun"), values, True


FIT_VALUES = (
    *(lambda _, values: (values, values, True),) * 4,
    hidden_values, hidden_values, units_of_mass,
    lambda _, values: (values.astype(np.float32), values, True),
    lambda _, values: (np.rint(values).astype(int), np.rint(values), True),
    lambda _, values: (values > 0, values > 0, False),
    lambda _, values: (values.astype("U8"), values.astype("U8").astype(float), False),
    lambda _, values: (np.array(["star"] * len(values)), None, False),
    lambda _, values: (np.stack([values] * 5, 1), None, False),
    lambda _, values: (values[:, None], values, False),
    lambda _, values: (values + 1j, None, False),
    lambda _, values: (*(np.where(values > 0, np.nan, values),) * 2, True),
    lambda _, values: (*(np.where(values > 0, np.inf, values),) * 2, True),
)  # fmt: skip


DOORS = [Catalogues(), Results()]
