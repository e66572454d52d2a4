"""Kernels between two PSFs, kept: a survey has one set of PSFs for thousands of targets."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hstcube.basics.memory import remembered
from hstcube.matching.quality import Quality, measured_quality
from hstcube.matching.solver import matching_kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hstcube.matching.solver import KernelMethod

    Image64 = NDArray[np.float64]

__all__ = ["Pair", "pair", "same_pair"]


class Pair(NamedTuple):
    """The kernel between two PSFs, and what it does."""

    kernel: Image64
    quality: Quality


def same_pair(image: Image64, target: Image64, scale: float) -> Pair:
    """Return the pair of a PSF that is the target, or is left as it is: the identity."""
    identity = np.ones((1, 1))
    return Pair(identity, measured_quality(image, target, identity, scale))


@remembered(128)
def pair(
    image: Image64,
    target: Image64,
    scale: float,
    method: KernelMethod = "mge-wiener",
    regularization: float | None = None,
) -> Pair:
    """Return the kernel from a PSF to a target, both on pixels of `scale` [arcsec]."""
    kernel = matching_kernel(image, target, method=method, regularization=regularization)
    return Pair(kernel, measured_quality(image, target, kernel, scale))
