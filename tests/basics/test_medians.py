"""Medians of values that come in parts are those of all of them, or none where the guess is bad."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hstcube.basics.medians import guesses, medians, part_of

VALUES = arrays(np.float64, st.integers(1, 200), elements=st.floats(-1e6, 1e6, width=32))


def both_of(values: np.ndarray) -> tuple[float, float]:
    middle = float(np.median(values))
    return middle, float(np.median(np.abs(values - middle)))


@given(values=VALUES, cuts=st.integers(1, 7), step=st.integers(1, 9))
def test_medians_are_those_of_all_values_or_not_known(values, cuts, step):
    parts = np.array_split(values, cuts)
    for guess in guesses(values[::step]):
        found = medians([part_of(part, guess) for part in parts], guess)
        assert found in (None, both_of(values))
    assert found is not None


def test_a_good_guess_keeps_few_of_the_values():
    values = np.random.default_rng(1).normal(5, 2, 100_000)
    guess, *_ = guesses(values[::20])
    parts = [part_of(part, guess) for part in np.array_split(values, 8)]
    assert medians(parts, guess) == both_of(values)
    assert sum(part.middle.size + part.edges.size for part in parts) < 0.2 * values.size


def test_a_bad_guess_is_found_out():
    values = np.random.default_rng(1).normal(size=1000)
    for sample in (values + 3, values * 4, values / 4):
        first, *_, last = guesses(sample)
        assert medians([part_of(values, first)], first) is None
        assert medians([part_of(values, last)], last) == both_of(values)


def test_values_that_are_all_the_same_have_a_median():
    values = np.full(100, 2.5)
    guess, *_ = guesses(values[:10])
    assert medians([part_of(values, guess)], guess) == (2.5, 0.0)
