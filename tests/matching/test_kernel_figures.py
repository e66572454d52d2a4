"""What `matching_kernels` says of a kernel is what the kernel's own pixels say."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from telescope import SCALE, telescope

from hstcube import matching_kernels


@pytest.fixture(scope="module")
def kernels():
    """Kernels from PSFs with light on one side, up in F814W and to the right in F105W."""
    images = {band: telescope(band, sharp=False).copy() for band in ("f814w", "f105w", "f160w")}
    images["f814w"][32 + 3, 32] += 0.01
    images["f105w"][32, 32 + 3] += 0.01
    offsets = (np.arange(65) - 32) * SCALE
    stack = np.stack([image / image.sum() for image in images.values()])
    psf = xr.DataArray(
        stack, {"band": list(images), "ky": offsets, "kx": offsets}, ("band", "ky", "kx")
    )
    return matching_kernels(psf, to="f160w")


def test_centroids_are_along_y_and_along_x(kernels):
    y, x = ((kernels * kernels[axis]).sum(("ky", "kx")) for axis in ("ky", "kx"))
    np.testing.assert_allclose(kernels.centroid_y, y, atol=1e-6)
    np.testing.assert_allclose(kernels.centroid_x, x, atol=1e-6)
    up, right, _ = zip(kernels.centroid_y.values, kernels.centroid_x.values, strict=True)
    assert up[0] < -5e-4 > right[1]  # arcsec: against the light that is too much
    assert abs(up[1]) < 2e-4 > abs(right[0])


def test_sums_are_those_of_the_pixels(kernels):
    axes = ("ky", "kx")
    np.testing.assert_allclose(kernels.sum(axes), kernels["sum"], atol=1e-6)
    np.testing.assert_allclose((kernels**2).sum(axes), kernels.sum_of_squares, rtol=1e-5)
    np.testing.assert_allclose(
        -kernels.where(kernels < 0, 0).sum(axes), kernels.negative, atol=1e-6
    )
