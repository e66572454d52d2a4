"""Where a segmentation map comes from: a file, regions, or the images themselves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hstcube.core.grids import Grid
from hstcube.errors import LabelError
from hstcube.files.labels import open_labels
from hstcube.maps.regions import IN_NO_REGION, open_regions
from hstcube.regridding.labels import regrid_mask
from hstcube.sky.detection import detect

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["DETECT", "detection_meant", "made_here", "no_map", "open_segmentation", "without"]

DETECT = "detect"  # in place of a map
REGIONS = ".reg"


def detection_meant(path: Path | None) -> bool:
    """Say whether a place of a map is the word that asks to detect the sources."""
    return path is not None and path.name == DETECT and not path.exists()


def made_here(path: Path) -> bool:
    """Say whether a map is made on the grid of the cube, for want of one of its own."""
    return detection_meant(path) or path.suffix == REGIONS


def open_segmentation(
    path: str | Path, cube: xr.Dataset, *, hdu: str | None = None
) -> xr.DataArray:
    """Return the segmentation map for a cube that a place stands for, on its own grid.

    Parameters
    ----------
    path : path
        A FITS map; or DS9 regions (.reg), see `open_regions`, beside which sources that `detect`
        finds are no sky; or the word "detect": what it finds in the cube.
    cube : Dataset
    hdu : str, optional
        The extension of the map.

    Raises
    ------
    HstCubeError
        As `open_labels`, `open_regions` and `detect` raise it.
    """
    path = Path(path)
    if detection_meant(path):
        return detect(cube)
    if path.suffix != REGIONS:
        return open_labels(path, hdu=hdu)
    labels = open_regions(path, Grid.of(cube))
    others = (detect(cube, deblend=False).values > 0) & (labels.values == 0)
    return labels.copy(data=np.where(others, np.int32(IN_NO_REGION), labels.values))


def without(
    labels: xr.DataArray | None, cube: xr.Dataset, regions: str | Path | None
) -> tuple[xr.DataArray | None, xr.DataArray | None]:
    """Return a map less the regions of a DS9 file, and the pixels of the cube outside of them.

    What lies in a region is neither object nor sky. Without a file there are no such pixels.

    Parameters
    ----------
    labels : DataArray of int, (y, x), or None
        On its own grid.
    cube : Dataset
    regions : path, optional
        See `open_regions`.
    """
    if regions is None:
        return labels, None
    outside = open_regions(regions, Grid.of(cube)) == 0
    if labels is not None:
        out = regrid_mask(~outside, Grid.of(labels)).values
        labels = labels.copy(data=np.where(out, np.int32(IN_NO_REGION), labels.values))
    return labels, outside


def no_map(where: str, other: str, *, detected: bool = True) -> LabelError:
    """Return the error for a segmentation map that is needed and not there.

    Parameters
    ----------
    where : str
        Where it is needed.
    other : str
        What to do instead of giving one.
    detected : bool
        Whether a map of detected sources will do.
    """
    fix = "give one: [[--labels FILE|labels=open_labels(FILE)]]; "
    if detected:
        fix += 'or detect the sources: [[--labels detect|labels="detect"]]; '
    fix += f"or {other}"
    return LabelError("HC-S16", f"there is no segmentation map: {where}", fix)
