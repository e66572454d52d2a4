"""Headers that lie: whatever is written into one, the field is refused, or the cube is right.

What right is, is judged by `tests/fuzz/fuzz_headers.py`; here hypothesis makes the headers, and
shrinks what it finds.
"""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import examples

from hstcube.files import fields as reading

sys.path.insert(0, str(Path(__file__).parents[1] / "fuzz"))
from fuzz_headers import Target, from_text, shown
from mutations import (
    HUGE,
    KEYS,
    NOT_NUMBERS,
    OF_ANOTHER_TYPE,
    card_of,
    cards_of,
    header_of,
    mutated,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.filterwarnings("ignore")

NUMBERS = st.one_of(st.integers(), st.floats()).map(lambda value: repr(value).upper().encode())
TEXTS = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20).map(
    lambda text: f"'{text}'".encode()
)
VALUES = st.one_of(NUMBERS, TEXTS, st.sampled_from([*OF_ANOTHER_TYPE, *HUGE, *NOT_NUMBERS]))
CARDS = st.builds(card_of, st.sampled_from(KEYS), VALUES)
CHANGES = st.lists(
    st.tuples(st.floats(0, 1), st.sampled_from(["replace", "insert", "delete"]), CARDS), max_size=4
)
BYTES = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=4)


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("HSTCUBE_XDF", raising=False)  # the same headers on every machine
        patch.setattr(
            reading, "read_plane", reading.read_plane
        )  # a target sets its own; this one comes back
        yield Target(tmp_path_factory.mktemp("headers"))


def changed(header: bytes, changes: list[tuple[float, str, bytes]]) -> bytes:
    """Return a header with cards replaced, deleted or inserted, at fractions of its length."""
    cards = cards_of(header)
    for where, how, card in changes:
        at = min(int(where * len(cards)), len(cards) - 1)
        cards[at : at + (how != "insert")] = [] if how == "delete" else [card]
    return header_of(cards)


def overwritten(header: bytes, changes: list[tuple[float, int]]) -> bytes:
    raw = bytearray(header)
    for where, byte in changes:
        raw[min(int(where * len(raw)), len(raw) - 1)] = byte
    return bytes(raw)


@pytest.mark.slow
@examples(400)
@given(place=st.integers(0, 5), cards=CHANGES, some_bytes=BYTES)
def test_cards_and_bytes_of_any_kind_are_refused_or_do_no_harm(target, place, cards, some_bytes):
    header = overwritten(changed(target.corpus[place][1:], cards), some_bytes)
    finding = target.run(bytes([place]) + header)
    assert finding is None, shown(finding)


@pytest.mark.slow
@examples(300)
@given(place=st.integers(0, 5), seed=st.integers(0, 2**32 - 1))
def test_mutations_as_programs_and_disks_make_them_are_refused_or_do_no_harm(target, place, seed):
    finding = target.run(bytes([place]) + mutated(Random(seed), target.corpus[place][1:]))
    assert finding is None, shown(finding)


# -- the judge is no fool


def a_header(target, **cards):
    """Return the input of the first place, with other values in some cards."""
    header = []
    for card in cards_of(target.corpus[0][1:]):
        key = card[:8].strip().decode()
        header.append(card_of(key.encode(), cards[key]) if key in cards else card)
    return target.corpus[0][:1] + header_of(header)


def another_zeropoint(*_):
    return {"ABZP": 25.0}


def twice_the_pixels(unit, _):
    return unit.data * 2


def nothing(*_, **__):
    return None


@pytest.mark.parametrize(
    ("where", "what", "card", "kind"),
    [
        ("core.grids.Grid.require", nothing, {"CRPIX1": b"7.0"}, "WRONG: the cube lies elsewhere"),
        ("files.headers.header_zeropoints", another_zeropoint, {}, "WRONG: another zeropoint"),
        ("fits.images._pixels", twice_the_pixels, {}, "WRONG: other pixels"),
        ("fits.images._bits_of_integers", None, {}, "FINDING: TypeError in read_plane"),
    ],
    ids=["grid", "zero point", "pixels", "slip"],
)
def test_a_cube_made_wrong_is_a_finding(target, monkeypatch, where, what, card, kind):
    monkeypatch.setattr(f"hstcube.{where}", what)
    finding = target.run(a_header(target, **card))
    assert finding is not None
    assert finding.kind.startswith(kind)
    assert from_text(finding.replay) == a_header(target, **card)


def test_an_untouched_header_gives_the_same_cube(target):
    for data in target.corpus:
        assert target.outcome(data) == "right: the same cube"
