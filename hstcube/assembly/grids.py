"""Images of a field that lie on several pixel grids, brought to one."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from hstcube.assembly.one_grid import How, open_on_one_grid
from hstcube.core.bands import name_among
from hstcube.core.grids import Grid
from hstcube.core.stack import stack_bands
from hstcube.errors import GridError, HstCubeWarning
from hstcube.files.fields import grid_of, wanted_bands
from hstcube.fits.local import missing
from hstcube.regridding.align import apply_shifts, check_alignment, warn_of_shifts
from hstcube.regridding.resample import regrid
from hstcube.surveys.beside import scale_of_label

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import xarray as xr

    from hstcube.errors import FileError
    from hstcube.surveys.names import FieldFiles

__all__ = ["Align", "by_grid", "open_on_several_grids", "require_named"]

Align = Literal["report", "apply"]

_ONE_SCALE = 0.005  # relative: a pixel scale is that of a label such as "60mas"


def by_grid(files: FieldFiles, bands: Sequence[str] | None, onto: str | Grid) -> FieldFiles:
    """Return the files of a field with the bands of each pixel grid as a part, the finest first.

    Headers are read. Files of one grid stay as they are.

    Parameters
    ----------
    files : FieldFiles
    bands : sequence of str, optional
        Only these are looked at, and the one that `onto` names.
    onto : str or Grid
        See `open_field`.

    Raises
    ------
    HstCubeError
        As `open_field`.
    """
    home = name_among(onto, list(files.bands)) if isinstance(onto, str) else ""
    wanted = {*wanted_bands(files, bands), home}
    parts = [piece for part in files.parts or (files,) for piece in _on_one_grid(part, wanted)]
    return replace(files, parts=tuple(parts)) if len(parts) > 1 else files


def _on_one_grid(files: FieldFiles, wanted: set[str]) -> list[FieldFiles]:
    """Return the wanted bands of each pixel grid by themselves, the finest first.

    Files whose wanted bands are all on one grid stay as they are.
    """
    groups: list[tuple[Grid, list[str]]] = []
    for name in files.bands:
        if name not in wanted:
            continue
        grid = grid_of(files, name)
        same = next((names for known, names in groups if _is_one(known, grid)), None)
        if same is None:
            groups.append((grid, [name]))
        else:
            same.append(name)
    if len(groups) <= 1:
        return [files]
    groups.sort(key=lambda group: group[0].scale)
    return [
        replace(files, bands={name: files.bands[name] for name in names}) for _, names in groups
    ]


def _is_one(one: Grid, other: Grid) -> bool:
    try:
        one.require(other)
    except GridError:
        return False
    return True


def open_on_several_grids(
    files: FieldFiles,
    bands: Sequence[str] | None,
    how: How,
    onto: str | Grid | None = None,
    align: Align = "report",
) -> xr.Dataset:
    """Open each band at its finest scale, see whether the parts agree on the sky, and regrid.

    Parameters
    ----------
    files : FieldFiles
        With parts.
    bands : sequence of str, optional
        Only these.
    how, onto, align
        See `open_field`.
    """
    names = wanted_bands(files, bands)
    home = _home(files, onto)
    pieces = []
    for part, mine in _shares(files, names):
        cube = open_on_one_grid(part, mine, how.of(mine))
        if part is not home and how.chunks is None:
            cube = _aligned(cube, part, home, names, align)
        pieces.append(cube)
    grid = onto if isinstance(onto, Grid) else grid_of(home)
    return stack_bands([regrid(cube, grid, method="exact") for cube in pieces])


def _home(files: FieldFiles, onto: str | Grid | None) -> FieldFiles:
    """Return the part that others are compared with: the one whose grid is wanted, or the last.

    A grid is named by a band that lies on it, or by its scale.
    """
    if not isinstance(onto, str):
        return files.parts[-1]
    band, scale = name_among(onto, list(files.bands)), scale_of_label(onto)
    for part in files.parts:
        if band in part.bands or part.scale == onto:
            return part
    for part in files.parts:
        if abs(grid_of(part).scale / scale - 1) < _ONE_SCALE:
            return part
    labels = dict.fromkeys(part.scale for part in files.parts if part.scale)
    raise _no_such_grid(onto, list(files.bands), list(labels))


def require_named(onto: str, bands: Sequence[str], grid: Grid, label: str = "") -> None:
    """Refuse a name of a grid that is not that of the only one there is.

    Raises
    ------
    FileError
        If it is neither a band, nor the label or the size of the pixels.
    """
    named = onto == label or name_among(onto, bands) in bands
    if not named and not abs(grid.scale / scale_of_label(onto) - 1) < _ONE_SCALE:
        raise _no_such_grid(onto, bands, [label] if label else [])


def _no_such_grid(onto: str, bands: Sequence[str], labels: Sequence[str]) -> FileError:
    """Return the error for a grid that is named neither by a band nor by a scale of the field."""
    listed = ", ".join(map(repr, [*labels, *bands]))
    fix = f"choose [[--onto|onto=]] from {listed}[[, or labels|; or give a Grid]]"
    return missing(f"image at {onto!r} to take the grid from", fix)


def _shares(files: FieldFiles, names: list[str]) -> Iterator[tuple[FieldFiles, list[str]]]:
    """Yield the parts, and the bands that are taken from each."""
    left = names
    for part in files.parts:
        mine = [name for name in left if name in part.bands]
        left = [name for name in left if name not in part.bands]
        if mine:
            yield part, mine
    if left:
        files.one(left[0], "sci")  # raises, saying what there is


def _aligned(
    cube: xr.Dataset, part: FieldFiles, home: FieldFiles, names: list[str], align: Align
) -> xr.Dataset:
    """Say whether one scale lies elsewhere than another, or move it.

    They are compared in the bands of `names` that are there at both scales; in any, else.
    """
    both = part.bands.keys() & home.bands.keys()
    if not both:
        return cube
    shared = both & {*names} or both
    shifts = _shifts(part, home, [name for name in part.bands if name in shared])
    if align == "apply" and shifts.shifted.any():
        return apply_shifts(cube, shifts)
    return warn_of_shifts(cube, shifts, scales=(part.scale, home.scale))


def _shifts(fine: FieldFiles, coarse: FieldFiles, bands: list[str]) -> xr.Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HstCubeWarning)  # of images that are only compared
        return check_alignment(
            open_on_one_grid(fine, bands, How()), open_on_one_grid(coarse, bands, How())
        )
