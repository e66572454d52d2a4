"""The mistakes that `make mutants` makes are where and what they are said to be."""

from __future__ import annotations

import pytest
from mutants import ROOT, Search, candidates, drawn

CODE = '''"""Words + words."""
__all__ = ["first"]
LIMIT = 3 * 4.0


def first(y, x, *, power: int = 2 + 1) -> float:
    """Say 1 + 1."""
    if not (y > 0):
        raise ValueError(f"{y + 1}", x - 1)
    require_same(y, x)
    return -(y**2) * max(x, y) + x[0:2]
'''


@pytest.fixture(scope="module")
def of_core():
    return candidates(("core",))


def test_code_is_broken_and_words_are_not(tmp_path):
    path = tmp_path / "made_up.py"
    path.write_text(CODE, encoding="utf-8")
    made = [
        (one.kind, CODE[one.start : one.end], one.new) for one in Search(path, tmp_path).mutants
    ]
    assert sorted(set(made)) == sorted(
        [
            ("times for by", "*", "/"),
            ("a dropped factor", "* 4.0", ""),
            ("a wrong sign", "+", "-"),
            ("an off-by-one", "2", "3"),
            ("an off-by-one", "1", "2"),
            ("a skipped check", "not (y > 0)", "False"),
            ("not left out", "not ", ""),
            (">= for >", ">", ">="),
            ("an off-by-one", "0", "1"),
            ("x for y", "y", "x"),
            ("x for y", "x", "y"),
            ("a skipped check", "require_same(y, x)", "pass"),
            ("a wrong sign", "-", ""),
            ("a dropped power", "**2", ""),
            ("a dropped factor", "* max(x, y)", ""),
            ("an extreme for its other", "max", "min"),
        ]
    )


def test_a_draw_follows_from_the_seed_and_from_the_code_alone(of_core):
    first = drawn(of_core, 1, 20)
    assert len(set(first)) == 20
    assert first == drawn(list(reversed(of_core)), 1, 20)
    assert first != drawn(of_core, 2, 20)
    fewer = [mutant for mutant in of_core if mutant != first[0]]
    assert drawn(fewer, 1, 19) == first[1:]


def test_an_edit_changes_one_line_or_a_part_of_one_expression(of_core):
    for mutant in drawn(of_core, 3, 20):
        before, after = mutant.change()
        assert before != after
        assert mutant.text() != (ROOT / mutant.path).read_text(encoding="utf-8")
