"""What a match that reaches its target leaves to be said: of its PSFs, and of their stars."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hstcube.core.state import note, warn
from hstcube.matching.quality import UNVERIFIED, unproven

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr
    from numpy.typing import NDArray

__all__ = ["with_doubts"]


def with_doubts(cube: xr.Dataset, kernels: xr.DataArray, done: NDArray[np.bool_]) -> xr.Dataset:
    """Return the cube with what is to be said of the PSFs that kernels were made of.

    A warning where they may be wrong by more than the gate allows of a kernel; a note where too few
    stars tell it.

    Parameters
    ----------
    cube : Dataset
        With its PSFs.
    kernels : DataArray, (band, ky, kx)
        As `matching_kernels` returns them.
    done : array, (band,)
        Bands that are matched already.
    """
    few = []
    rows = zip(
        cube.band.values.tolist(), done, kernels.predicted_error.values,
        kernels.ee_error.values, kernels.fewest_stars.values, strict=True,
    )  # fmt: skip
    for band, finished, error, of_kernel, stars in rows:
        said = "" if finished else unproven(error if error > of_kernel else 0.0, stars, stars)
        if said == UNVERIFIED:
            few.append(f"{band} ({stars:.0f})")
        elif said:
            cube = warn(cube, "HC-P40", f"{band}: {said}")
    if few:
        text = f"{UNVERIFIED}: PSFs of one or two stars tell little of their own errors: "
        cube = note(cube, "HC-P41", text + ", ".join(sorted(few)))
    return cube
