"""Sums of convolutions, and what a frame sees of a kernel, against direct sums."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from scipy import signal

from hstcube.basics.convolution import convolver, in_full, parts_seen, sum_convolver

SHAPES = [(20, 31), (64, 9), (90, 70)]


@pytest.mark.parametrize("tile", [32, 512])  # several tiles; one transform
@pytest.mark.parametrize("shape", SHAPES)
def test_a_sum_of_convolutions_is_the_sum_of_direct_ones(shape, tile):
    rng = np.random.default_rng(1)
    images, kernels = rng.normal(size=(3, *shape)), rng.normal(size=(3, 7, 5))
    with mock.patch("hstcube.basics.convolution.TILE", tile):
        summed = sum_convolver(list(kernels), shape)
        got = summed(lambda rows, columns: (image[rows, columns] for image in images))
    pairs = zip(images, kernels, strict=True)
    direct = sum(signal.convolve2d(image, kernel, mode="same") for image, kernel in pairs)
    np.testing.assert_allclose(got, direct, rtol=0, atol=1e-12)


@pytest.mark.parametrize("tile", [32, 512])
@pytest.mark.parametrize("margin", [(1, 0), (3, 2), (0, 9), (9, 4)])  # kernels reach 3 and 2 pixels
@pytest.mark.parametrize("shape", [(20, 31), (90, 70)])
def test_without_its_margin_a_convolution_is_the_middle_of_the_whole(shape, margin, tile):
    rng = np.random.default_rng(3)
    image, kernel = rng.normal(size=shape), rng.normal(size=(7, 5))
    with mock.patch("hstcube.basics.convolution.TILE", tile):
        got = convolver(kernel, shape, margin)(image)
    rows, columns = (slice(n, size - n) for n, size in zip(margin, shape, strict=True))
    direct = signal.convolve2d(image, kernel, mode="same")[rows, columns]
    np.testing.assert_allclose(got, direct, rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [(1, 1), (5, 9), (31, 33)])
def test_a_frame_sees_of_a_kernel_what_a_frame_of_ones_shows(shape, size):
    kernel = np.random.default_rng(2).normal(size=size)
    inside = signal.convolve2d(np.ones(shape), kernel, mode="full")
    y, x = (n // 2 for n in size)
    direct = inside[y : y + shape[0], x : x + shape[1]]
    got = in_full(parts_seen(kernel, shape), shape)
    np.testing.assert_allclose(got, direct, rtol=0, atol=1e-12)
    assert got.shape == shape
