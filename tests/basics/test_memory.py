"""Results that are kept: asked for once for each different array, and shared read-only."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from hstcube.basics.memory import remembered


def counted(function, maxsize=8):
    """Return a remembered function, and the list of the arguments it was really called with."""
    calls = []

    def watched(*arguments, **named):
        calls.append((arguments, named))
        return function(*arguments, **named)

    return remembered(maxsize)(watched), calls


def test_the_same_arrays_give_the_same_object():
    doubled, calls = counted(lambda image: 2 * image)
    image = np.arange(6.0).reshape(2, 3)
    first = doubled(image)
    assert doubled(image.copy()) is first
    assert len(calls) == 1
    np.testing.assert_array_equal(first, 2 * image)


def test_an_array_that_was_changed_is_another_one():
    total, _ = counted(lambda image: image.sum())
    image = np.ones(3)
    assert total(image) == 3
    image[0] = 5
    assert total(image) == 7


@pytest.mark.parametrize(
    "other",
    [
        np.zeros(4, np.float32).view(np.int32),
        np.zeros((2, 2), np.float32),
        np.zeros((1, 4), np.float32),
        np.zeros(2, np.float64),
        np.zeros(4, ">f4"),
    ],
    ids=["type", "shape", "axes", "width", "order"],
)
def test_equal_bytes_are_told_apart_by_type_and_shape(other):
    described, calls = counted(lambda array: (array.dtype.str, array.shape))
    one = np.zeros(4, np.float32)
    assert one.tobytes() == other.tobytes()
    assert described(one) == (one.dtype.str, one.shape)
    assert described(other) == (other.dtype.str, other.shape)
    assert len(calls) == 2


def test_arguments_and_results_are_read_only():
    both, calls = counted(lambda image, *, factor: (factor * image, image.copy(), "text"))
    results = both(np.ones((3, 3)), factor=2.0)
    ((image,), _) = calls[0]
    for array in (image, *results[:2]):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 7


def test_views_are_taken_as_what_they_show():
    shown, calls = counted(lambda image: image.tolist())
    image = np.arange(6).reshape(2, 3)
    assert shown(image.T) == image.T.tolist()
    assert shown(image[:, ::-1]) == image[:, ::-1].tolist()
    assert len(calls) == 2


def test_names_and_values_count_too():
    scaled, calls = counted(lambda image, factor=1: factor * image)
    image = np.ones(2)
    for factor in (2, 3, 2):
        np.testing.assert_array_equal(scaled(image, factor=factor), factor * image)
    assert len(calls) == 2


def test_the_oldest_result_is_forgotten():
    total, calls = counted(lambda image: image.sum(), maxsize=2)
    for size in (1, 2, 3, 1):
        total(np.ones(size))
    assert len(calls) == 4


class Both(NamedTuple):
    """What a function may return: an array, and others in a tuple."""

    one: np.ndarray
    others: tuple


@pytest.mark.parametrize("shape", [(2, 3), (0, 3), ()], ids=["full", "empty", "one number"])
def test_arrays_inside_tuples_are_shared_read_only_and_the_same(shape):
    image = np.arange(np.prod(shape, dtype=int), dtype=">f4").reshape(shape)
    made, _ = counted(lambda image: Both(image + 1, (image.T, ("text", image[..., None]))))
    result = made(image)
    assert isinstance(result, Both)
    wanted = [image + 1, image.T, image[..., None]]
    found = [result.one, result.others[0], result.others[1][1]]
    for array, expected in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(array, expected, strict=True)
        assert not array.flags.writeable


def test_a_result_is_told_apart_from_its_own_parts():
    image, _ = counted(lambda number: np.arange(number, dtype=float).reshape(2, -1))
    shown, calls = counted(lambda array: array.tolist())
    whole = image(8)
    for part in (whole, whole.T, whole[:, ::-1], whole[0], whole[1:], whole.ravel()):
        assert shown(part) == part.tolist()
    assert len(calls) == 6


def test_a_result_that_is_asked_with_is_not_copied():
    image, _ = counted(np.zeros)
    shared, _ = counted(lambda array: array)
    whole = image(4)
    assert np.shares_memory(shared(whole), whole)
