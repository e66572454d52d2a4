"""The sky levels of many fields, measured and written: what `hstcube sky` does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hstcube.assembly.opening import open_files
from hstcube.core.grids import Grid
from hstcube.errors import HstCubeError, SkyError
from hstcube.files.levels import level_text
from hstcube.fits.local import as_path
from hstcube.fits.reads import keeps
from hstcube.fits.writing import require_free_names, write_set
from hstcube.inputs.choices import require_choice
from hstcube.pipeline.recipe import blank_pixels
from hstcube.pipeline.record import Outcome, heard
from hstcube.pipeline.runs import pairs
from hstcube.pipeline.sources import labels_of
from hstcube.sky.level import Method, measure_sky

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import xarray as xr

    from hstcube.pipeline.plan import Target
    from hstcube.surveys.names import FieldFiles

__all__ = ["measure_levels", "measure_skies"]


@keeps()
def measure_levels(
    files: FieldFiles, out: str | Path, *, method: Method = "clipped", overwrite: bool = False
) -> tuple[list[Path], xr.DataArray]:
    """Measure the sky of a field; write a text file a band and a picture of the histograms.

    Parameters
    ----------
    files : FieldFiles
    out : path
        Folder for ``sky_{field}_{band}.txt`` and ``sky_{field}.png``.
    method : {"clipped", "original"}
        See `measure_sky`.
    overwrite : bool

    Returns
    -------
    list of Path, DataArray (band,)
        What was written; the levels with their errors [units of the images].

    Raises
    ------
    HstCubeError
        If the field cannot be opened, or nothing tells its blank pixels.
    """
    from hstcube.plots.cube import figure_bytes
    from hstcube.plots.sky import sky_histograms

    out = as_path(out)
    names = {band: out / f"sky_{files.field}_{band}.txt" for band in files.bands}
    picture = out / f"sky_{files.field}.png"
    require_free_names([*names.values(), picture], overwrite=overwrite)
    cube = open_files(files)
    labels = labels_of(files, cube)
    grid, units = Grid.of(cube), cube.sci.attrs["units"]
    background = blank_pixels(labels, grid, "original" if method == "original" else "default")
    levels = measure_sky(cube, background=background, method=method)
    texts = {}
    for band, (level, error) in pairs(levels).items():
        text = level_text(
            level, error, field=files.field, band=band, units=units, scale=grid.scale, method=method
        )
        texts[names[band]] = text.encode()
    figure = sky_histograms(cube, background=background, levels=levels, method=method)
    return write_set({**texts, picture: figure_bytes(figure)}, overwrite=overwrite), levels


def measure_skies(
    targets: Sequence[Target],
    out: str | Path,
    *,
    method: Method = "clipped",
    overwrite: bool = False,
    tell: Callable[[Outcome], None] = lambda _: None,
) -> list[Outcome]:
    """Measure the sky of every target's field; a bad one does not stop the others.

    Parameters
    ----------
    targets : sequence of Target
        From `plan`.
    out, method, overwrite
        As in `measure_levels`.
    tell : callable
        Called with each outcome as it comes.

    Returns
    -------
    list of Outcome
        With ``levels`` (band,) and ``files``, or the error.
    """
    require_choice("method", method, Method, code="HC-K12", error=SkyError)
    outcomes = []
    for target in targets:
        outcome = Outcome(target)
        with heard() as outcome.notes:
            try:
                outcome.files, outcome.levels = measure_levels(
                    target.files, out, method=method, overwrite=overwrite
                )
            except HstCubeError as error:
                outcome.error = error
        outcomes.append(outcome)
        tell(outcome)
    return outcomes
