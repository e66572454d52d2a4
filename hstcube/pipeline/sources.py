"""What `hstcube bin`, `phot` and `noise` do: open a field or a saved cube, and find its groups."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hstcube.core.grids import Grid
from hstcube.errors import FileError, RecipeError
from hstcube.files.cubes import open_cube
from hstcube.files.labels import open_labels
from hstcube.fits.units import hdu
from hstcube.pipeline.assemble import open_field, open_files
from hstcube.regridding.labels import regrid_labels
from hstcube.surveys.names import find_field, list_fields

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr

__all__ = ["groups_bytes", "open_groups", "open_source", "open_with_maps"]


def open_source(
    source: str | Path,
    *,
    field: str | None = None,
    bands: Sequence[str] | None = None,
    scale: str = "60mas",
) -> xr.Dataset:
    """Open a saved cube (.nc), or a field of a folder of stamps or products.

    Parameters
    ----------
    source : path
    field : str, optional
        Which field of a folder; the only one when not given.
    bands : sequence of str, optional
        Only these of a folder's.
    scale : str
        As in `open_field`.

    Raises
    ------
    RecipeError
        If a folder has several fields and none is named.
    HstCubeError
        As `open_cube` and `open_field` raise it.
    """
    source = Path(source)
    if source.suffix == ".nc":
        return open_cube(source)
    if field is None:
        saved = sorted(source.glob("*.nc"))
        names = [files.field for files in list_fields(source, scale=scale)] or [
            path.stem for path in saved
        ]
        if len(names) != 1:
            there = ", ".join(names[:12]) or "none"
            raise RecipeError(
                "HC-B32",
                f"{source} does not hold one field, but {there}",
                "choose one with -f FIELD",
            )
        field = names[0]
    return open_field(source, field, scale=scale, bands=bands)


def open_groups(
    cube: xr.Dataset, *, groups: str | Path | None = None, labels: str | Path | None = None
) -> xr.DataArray:
    """Return a group map for a cube.

    Parameters
    ----------
    cube : Dataset
    groups : path, optional
        A FITS map of integers on the cube's grid, such as `hstcube bin` writes.
    labels : path, optional
        A segmentation map on a grid of its own; each of its objects is a group. Without either the
        pixels that the mask holds in any band are group 1.

    Raises
    ------
    GridError
        If `groups` lies on another grid.
    """
    if groups is not None:
        found = open_labels(groups)
        Grid.of(cube).require(Grid.of(found), what=f"the cube and {groups}")
        return found.assign_coords({name: cube.coords[name] for name in ("y", "x", "wcs")})
    if labels is not None:
        return regrid_labels(open_labels(labels), Grid.of(cube)).assign_coords(
            {name: cube.coords[name] for name in ("y", "x", "wcs")}
        )
    masked: xr.DataArray = cube.mask.any("band").astype(np.int32).drop_attrs(deep=False)
    return masked


def open_with_maps(
    folder: str | Path, *, fields: Sequence[str] = (), scale: str = "60mas"
) -> tuple[list[xr.Dataset], list[xr.DataArray | None]]:
    """Open fields of a folder of stamps, and their segmentation maps on the same pixels (None where there is none).

    Raises
    ------
    FileError
        If a field is not there.
    """
    found = list_fields(folder, scale=scale)
    names = list(fields) or [files.field for files in found]
    chosen = [find_field(folder, name, scale=scale) for name in names]
    cubes = [open_files(files) for files in chosen]
    maps = [
        regrid_labels(open_labels(files.labels), Grid.of(cube))
        if files.labels and files.labels.exists()
        else None
        for files, cube in zip(chosen, cubes, strict=True)
    ]
    if not cubes:
        raise FileError(
            "HC-F01",
            "there are no images",
            "give the folder that holds the stamps",
            file=str(folder),
        )
    return cubes, maps


def groups_bytes(groups: xr.DataArray) -> bytes:
    """Return a group map as FITS, which `open_groups` and `open_labels` read."""
    cards = [("FILETYPE", "GROUPS", "0 = no group"), *Grid.of(groups).header_cards()]
    return hdu(groups.values.astype(np.int32), cards)
