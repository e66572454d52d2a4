"""Reports on disk: the page of a field, its numbers and its picture beside it."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from hstcube.core.grids import Grid
from hstcube.core.rules import require_same_grid, taken
from hstcube.errors import HstCubeError, HstCubeWarning, LabelError, RecipeError
from hstcube.fits.local import as_path
from hstcube.fits.writing import require_free_names, write_files
from hstcube.inputs.arrays import several
from hstcube.noise.groups import group_map
from hstcube.phot.bins import bin_pixels
from hstcube.phot.groups import of_bands
from hstcube.regridding.labels import regrid_labels
from hstcube.report.facts import Given, edge_of, facts_of
from hstcube.report.page import numbers_of, page_of
from hstcube.report.pixels import png, shown_part, thumbnail
from hstcube.report.viewer import viewer_of
from hstcube.sky.subtraction import subtract_sky

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import xarray as xr
    from numpy.typing import NDArray


__all__ = ["report_files", "write_report"]

_SNR = 10.0  # of the bins, in every band
_FITTED = "give the groups that were fitted: [[--groups FILE|groups=]]"


def write_report(
    cube: xr.Dataset,
    path: str | Path,
    *,
    before: xr.Dataset | None = None,
    labels: xr.DataArray | None = None,
    groups: Any = None,
    fit: Any = None,
    record: Mapping[str, Any] | None = None,
    notes: Sequence[str] = (),
    overwrite: bool = False,
) -> list[Path]:
    """Write a page that says whether a cube is good, in words and pictures, and shows its pixels.

    One file of HTML that loads nothing: it can be sent, kept and opened anywhere. A click on a
    pixel shows its SED, or that of its bin.

    Parameters
    ----------
    cube : Dataset
        As `homogenize` returns it. Of more than nine bands of 400 x 400 pixels the page holds, and
        judges, those around the mask.
    path : path
        The page, ``.html``; beside it go its numbers (``.qa.json``) and its picture (``.png``).
    before : Dataset, optional
        The images as they were observed, on the grid of `cube`; the sky of `cube` is subtracted
        where they have theirs.
    labels : DataArray of int, (y, x), optional
        The segmentation map, on any grid: it tells where blank sky is, and where the map ends.
    groups : DataArray or array of int, (y, x), optional
        Bins whose SEDs are shown; those of a signal to noise of 10 in every band when not given.
    fit : Table, optional
        From `read_fit`, of these groups: its numbers are told beside their SEDs, and its columns
        ``model_f160w`` and so on [uJy], where it has them, are drawn as the model.
    record : mapping, optional
        What ``run.json`` keeps of the field: inputs and their SHA-256, versions, options.
    notes : sequence of str
        Sentences for below the viewer.
    overwrite : bool
        Replace files that exist.

    Returns
    -------
    list of Path
        The page, its numbers, its picture.

    Raises
    ------
    GridError
        If `before` or `groups` lie on other pixels.
    BandError
        If `before` lacks a band of the cube.
    LabelError
        If there is a fit, but no groups, or none that was fitted.
    WriteError
        If a file exists; nothing is computed then.

    Examples
    --------
    >>> import tempfile
    >>> import hstcube
    >>> path = tempfile.mkdtemp() + "/demo.html"
    >>> [one.suffix for one in hstcube.write_report(hstcube.example(matched=True), path)]
    ['.html', '.json', '.png']
    """
    path = as_path(path)
    names = report_files(path)
    require_free_names(names, overwrite=overwrite)
    if record is not None and not hasattr(record, "keys"):
        reason = f"record is {type(record).__name__}, not what run.json keeps of a field"
        raise RecipeError("HC-B30", reason, "give a mapping")
    if fit is not None and groups is None:
        raise LabelError("HC-E08", "there are results of a fit, but no groups", _FITTED)
    whole = taken(cube)
    on_grid = None if labels is None else regrid_labels(labels, Grid.of(whole))
    edge = edge_of(whole, on_grid)
    part = shown_part(whole)
    shown = whole.isel(part).compute()
    given = Given(
        shown,
        before=None if before is None else _before(before, whole).isel(part).compute(),
        labels=None if on_grid is None else on_grid.isel(part),
        groups=_bins(shown) if groups is None else group_map(whole, groups)[*part.values()],
        fit=fit,
        record=dict(record or {}),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HstCubeWarning)  # what is wrong, the page says
        facts, viewer = facts_of(given, edge), viewer_of(given)
    said = [*several(notes), *_notes(whole, shown, viewer.loss)]
    page = page_of(given, facts, viewer, notes=said, qa=names[1].name)
    contents = (page.encode(), numbers_of(given, facts), png(thumbnail(viewer.colour)))
    return write_files(dict(zip(names, contents, strict=True)), overwrite=overwrite)


def report_files(path: Path) -> list[Path]:
    """Return the files of a report: the page, its numbers, its picture."""
    return [path, path.with_suffix(".qa.json"), path.with_suffix(".png")]


def _before(before: xr.Dataset, cube: xr.Dataset) -> xr.Dataset:
    """Return the images as they were observed, with the bands of the cube and without the sky."""
    before = of_bands(taken(before), cube.band.values.tolist())
    require_same_grid(cube, before)
    levels = cube.sky.values
    if not np.isfinite(levels).all() or np.isfinite(before.sky.values).any():
        return before
    return subtract_sky(before, dict(zip(cube.band.values.tolist(), levels.tolist(), strict=True)))


def _bins(shown: xr.Dataset) -> NDArray[Any] | None:
    """Return bins where none are given; None without a mask that they can lie in."""
    if not shown.mask.values.any() or bool((shown.mask == (shown.wht > 0)).all()):
        return None
    try:
        return np.asarray(bin_pixels(shown, snr=_SNR))
    except HstCubeError:
        return None


def _notes(whole: xr.Dataset, shown: xr.Dataset, loss: float) -> list[str]:
    """Return what is to be said of a page that does not hold everything."""
    notes = []
    of_all, of_part = (f"{one.sizes['x']} x {one.sizes['y']}" for one in (whole, shown))
    if of_all != of_part:
        notes.append(
            f"Of {of_all} pixels this page holds and judges the {of_part} around the mask."
        )
    if loss:
        notes.append(
            f"Pixels are kept in steps, to save room: none is off by more than {loss:.2f} of its "
            "error, or, as it was observed, by 0.3 %. The cube itself has all digits."
        )
    return notes
