"""A plain file is read without astropy: what comes out is what astropy would have given."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from astropy.io import fits

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fuzz"))
from mutations import card_of, header_of, mutated
from stamps import rewrite, write_field

from hstcube.errors import HstCubeError
from hstcube.fits import images
from hstcube.fits.images import read_header, read_plane
from hstcube.fits.opening import plain_image
from hstcube.fits.reads import read_as, remembering

if TYPE_CHECKING:
    from collections.abc import Callable

BLOCK = 2880
NUMBER = "{:<8}= {:>20}"  # of a card, its value in its place
RUNS = 1500


@pytest.fixture
def stamp(tmp_path: Path) -> Path:
    return next(write_field(tmp_path, bands=("f160w",)).rglob("*_sci.fits"))


def header_in(path: Path) -> tuple[list[bytes], bytes]:
    """Return the cards of a stamp, and what is behind its header."""
    raw = path.read_bytes()
    end = next(at for at in range(0, len(raw), 80) if raw[at : at + 80].rstrip() == b"END")
    start = end + 80 + -(end + 80) % BLOCK
    return [raw[at : at + 80] for at in range(0, end, 80)], raw[start:]


def seen(path: Path, kind: str, *, lazy: bool = False) -> Any:
    """Return all that a reader tells of a file, to the bit; or its error."""
    told = []
    for read in (read_header, lambda *what: read_plane(*what, lazy=lazy)):
        try:
            found = read(path, kind)
        except HstCubeError as error:
            told.append((error.code, str(error)))
            continue
        cards = [(key, repr(value), type(value)) for key, value in cards_of(found)]
        told.append((cards, *rest_of(found)))
    return told


def cards_of(found: Any) -> list[tuple[str, Any]]:
    return list(getattr(found, "header", found).items())


def rest_of(found: Any) -> tuple[Any, ...]:
    if not hasattr(found, "grid"):
        return ()
    pixels = np.asarray(found.data)
    return found.grid.shape, repr(found.grid.cards), found.notes, pixels.dtype, pixels.tobytes()


def seen_by_astropy(path: Path, kind: str, **how: Any) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(images, "plain_image", lambda *_, **__: None)
        return seen(path, kind, **how)


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("kind", ["sci", "wht"])
def test_a_stamp_is_read_as_astropy_reads_it(kind: str, lazy: bool, stamp: Path) -> None:
    path = stamp.with_name(stamp.name.replace("_sci", f"_{kind}"))
    assert plain_image(path) is not None
    assert seen(path, kind, lazy=lazy) == seen_by_astropy(path, kind, lazy=lazy)


@pytest.mark.slow
def test_damaged_headers_are_read_or_refused_as_by_astropy(stamp: Path) -> None:
    rng, (cards, pixels) = Random(15), header_in(stamp)
    plain = 0
    for _ in range(RUNS):
        stamp.write_bytes(mutated(rng, header_of(cards)) + pixels)
        if plain_image(stamp, pixels=False) is not None:
            plain += 1
            assert seen(stamp, "sci") == seen_by_astropy(stamp, "sci")
    assert plain > RUNS / 20  # else nothing was compared


VALUES = (
    *(
        "1",
        "-0",
        "+7",
        "007",
        "-00012",
        "123456789012345678",
        "1.",
        ".5",
        "-1.5E+03",
        "1D5",
        "2E-3",
    ),
    *("1.5D-07", "1E400", "-0.0", "0", "T", "F", "'a'", "'a  '", "'  a'", "''", "'        '"),
    *("'a / b'", "'10:20'", "'DEC--TAN'", "'[deg]'", "'f160w   '"),
)
FOREIGN = (  # read by astropy in ways of its own
    *("'it''s'", "'AXIS.1: 2'", "'open", "(1.0, 2.0)", "1e5", "1.5d3", "1 2", "- 1", "NaN", "t"),
    *("1234567890123456789", "", "'a'b", "'\x01'", "0x10", "1_000", "1.2.3", "1E", "."),
)


@pytest.mark.slow
@pytest.mark.parametrize("comment", ["", "/", "/ what it is", "/it", " / 'quoted' / twice"])
@pytest.mark.parametrize("value", [*VALUES, *FOREIGN])
def test_any_value_is_that_of_astropy(value: str, comment: str, stamp: Path) -> None:
    cards, pixels = header_in(stamp)
    cards.append(card_of(b"ODD-1_2", value.encode(), comment.encode()))
    stamp.write_bytes(header_of(cards) + pixels)
    if value in FOREIGN:
        assert plain_image(stamp) is None
    elif not comment.startswith(" "):
        assert plain_image(stamp) is not None
    assert seen(stamp, "sci") == seen_by_astropy(stamp, "sci")


@pytest.mark.parametrize(
    "card",
    [
        *(b"BSCALE  =                  2.0", b"BZERO   =                  1.0"),
        *(b"BLANK   =                   -1", b"PCOUNT  =                    0"),
        *(b"GCOUNT  =                    1", b"GROUPS  =                    T"),
        *(b"NAXIS3  =                    1", b"XTENSION= 'IMAGE   '", b"EXTNAME = 'SCI     '"),
        *(b"HISTORY of it", b"COMMENT = 'a'", b"HIERARCH a b = 1", b"CONTINUE  'a'"),
        *(b"DATASUM = '0'", b"CHECKSUM= '0000000000000000'", b"BITPIX  =                  -32"),
        *(b"END     =                    1", b"ENDING", b"odd     = 1", b"ODD     =1", b"ODD"),
        *(b" ODD    = 1", b"O DD    = 1", b"ODD     = '\xe9'", b"ODD = 1", b"        = 1", b""),
        b"EXPTIME =                  1.0",
    ],
)
def test_what_is_not_plain_is_left_to_astropy(card: bytes, stamp: Path) -> None:
    cards, pixels = header_in(stamp)
    stamp.write_bytes(header_of([*cards, card.ljust(80)]) + pixels)
    assert plain_image(stamp) is None


def with_card(key: str, old: str, new: str) -> Callable[[bytes], bytes]:
    old, new = (NUMBER.format(key, value) for value in (old, new))
    return lambda raw: raw.replace(old.encode(), new.encode(), 1)


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: raw[:-1],
        lambda raw: raw + b"\0",
        lambda raw: raw + bytes(BLOCK),
        lambda raw: raw[:-1] + b"\1",
        lambda raw: raw[:-BLOCK],
        lambda raw: raw[:BLOCK],
        lambda raw: raw[:79],
        lambda _: b"",
        lambda raw: raw.replace(
            b"NAXIS   =                    2", b"NAXIS   =                   2 ", 1
        ),
        lambda raw: raw.replace(
            b"BITPIX  =                  -32", b"BITPIX  =                   32", 1
        ),
        lambda raw: raw.replace(
            b"SIMPLE  =                    T", b"SIMPLE  =                    F", 1
        ),
        lambda raw: raw.replace(b"END" + b" " * 77, b"END" + b" " * 76 + b"x", 1),
        lambda raw: raw.replace(b"END" + b" " * 77, b" " * 80, 1),
    ],
)
def test_a_file_of_another_size_or_kind_is_left_to_astropy(change: Any, stamp: Path) -> None:
    raw = stamp.read_bytes()
    assert change(raw) != raw
    stamp.write_bytes(change(raw))
    assert plain_image(stamp) is None
    assert plain_image(stamp, pixels=False) is None


def test_bits_of_pixels_stay_what_they_are(stamp: Path) -> None:
    cards, pixels = header_in(stamp)
    odd = np.array([0x7F800001, 0x7FC00123, 0xFF800000, 0x80000000, 1], ">u4").tobytes()
    stamp.write_bytes(header_of(cards) + odd + pixels[len(odd) :])
    assert seen(stamp, "sci") == seen_by_astropy(stamp, "sci")
    found = plain_image(stamp)
    assert found is not None
    assert found.data.astype(">f4").tobytes()[: len(odd)] == odd


def test_what_is_no_file_is_left_to_the_door(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.fits")
    for path in (tmp_path, tmp_path / "pipe.fits", tmp_path / "none.fits", Path("a\0b")):
        assert plain_image(path) is None


def test_a_plain_file_counts_as_read(stamp: Path) -> None:
    with remembering():
        read_plane(stamp, "sci")
        assert read_as(stamp) is not None


def test_a_header_that_is_told_more_tells_no_other_reader(stamp: Path) -> None:
    read_header(stamp, "sci")["POISSON"] = "told"
    assert "POISSON" not in read_header(stamp, "sci")


def test_a_larger_image_than_memory_allows_is_refused_as_ever(
    stamp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hstcube.fits.opening.LARGEST_PLANE", 100)
    assert plain_image(stamp) is None
    with pytest.raises(HstCubeError, match="HC-F07"):
        read_plane(stamp, "sci")


def test_astropy_writes_plain_files(stamp: Path) -> None:
    rewrite(stamp, cards={"NEW": 1.5})
    assert plain_image(stamp).header == dict(fits.getheader(stamp))
