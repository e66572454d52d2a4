"""Reports of what runs made: of one cube, or of all fields of a folder, with their index."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hstcube.core.state import attribute
from hstcube.errors import HstCubeError, HstCubeWarning
from hstcube.files.netcdf import open_cube
from hstcube.fits.local import missing
from hstcube.fits.reads import keeps
from hstcube.fits.writing import require_free_names
from hstcube.fleet.ledger import read_record
from hstcube.pipeline.sources import open_groups, open_source
from hstcube.report.index import write_index
from hstcube.report.sources import observed, observed_of_record
from hstcube.report.writing import report_files, write_report
from hstcube.sed.results import read_fit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import xarray as xr

    from hstcube.pipeline.options import Options
    from hstcube.pipeline.record import Outcome
    from hstcube.report.sources import Observed
    from hstcube.sed.results import Fitted

__all__ = ["Made", "report_run", "report_source"]

ENDING = ".html"
INDEX = "reports.html"


class Made(NamedTuple):
    """What became of one report."""

    field: str
    page: Path | None = None
    state: str = ""
    headline: str = ""
    bad: tuple[str, ...] = ()
    """The questions whose answer is bad."""
    error: HstCubeError | None = None


@keeps("source", "groups", "fit")
def report_source(
    source: str | Path,
    out: str | Path | None = None,
    *,
    fields: Sequence[str] = (),
    groups: str | Path | None = None,
    fit: tuple[Fitted, str | Path] | None = None,
    tell: Callable[[Made], None] = lambda _: None,
    overwrite: bool = False,
) -> list[Made]:
    """Write the report of a saved cube, or of the fields of a folder of products and their index.

    Parameters
    ----------
    source : path
        A cube (.nc or .zarr), or the folder of a run.
    out : path, optional
        The page of a cube; the folder for the pages of a folder. Beside the cube when not given.
    fields : sequence of str
        Of a folder; all that its record says are made when not given.
    groups, fit : path; code and path, optional
        A map of bins and what was fitted to them, as in `write_report`; of one cube.
    tell : callable
        Called with what became of each report, as it comes.
    overwrite : bool
        Replace pages that exist.

    Returns
    -------
    list of Made
        A field that cannot be reported has its error there, and stops no other.

    Raises
    ------
    FileError
        If there is no such cube or folder, or nothing was made in it.
    """
    source = Path(source)
    if source.suffix in (".nc", ".zarr"):
        page = Path(out) if out is not None else source.with_suffix(ENDING)
        cube = open_cube(source)
        record = _record_of(source.parent).get(attribute(cube, "field"), {})
        made = [_of_cube(cube, page, record, groups=groups, fit=fit, overwrite=overwrite)]
        tell(made[0])
        return made
    known = _record_of(source)
    names = list(fields) or [name for name, told in known.items() if told.get("status") == "ok"]
    if not names:
        raise missing("field that was made", "give the folder of a run, or a cube", file=source)
    folder = source if out is None else Path(out)
    reports = []
    for name in names:
        try:
            cube = _product(source, name)
            page = folder / f"{name}{ENDING}"
            made = _of_cube(
                cube, page, known.get(name, {}), groups=groups, fit=fit, overwrite=overwrite
            )
        except HstCubeError as error:
            made = Made(name, error=error)
        reports.append(made)
        tell(made)
    if len(names) > 1:
        write_index(folder / INDEX)
    return reports


def report_run(
    outcomes: Sequence[Outcome], out: Path, options: Options, *, tell: Callable[[Made], None]
) -> list[Made]:
    """Write the reports of what a run made, and their index, into its folder.

    Those of targets that were done before are kept, where they are there.
    """
    reports, known = [], read_record(out)
    for outcome in outcomes:
        name = outcome.target.name
        page = out / f"{name}{ENDING}"
        if outcome.error or (outcome.before and page.exists()):
            continue
        try:
            cube = _product(out, name)
            seen = observed(cube, outcome.target.files, options)
            made = _written(cube, page, seen, record=known.get(name, {}), overwrite=True)
        except HstCubeError as error:
            made = Made(name, error=error)
        reports.append(made)
        tell(made)
    if len(outcomes) > 1:
        write_index(out / INDEX)
    return reports


def _record_of(folder: Path) -> dict[str, dict[str, Any]]:
    """Return what run.json tells of the targets of a folder; nothing where there is none."""
    return dict(read_record(folder)) if (folder / "run.json").exists() else {}


def _product(folder: Path, name: str) -> xr.Dataset:
    """Open the cube of a field of a run: the saved one, else its FITS files."""
    for ending in (".nc", ".zarr"):
        if (folder / f"{name}{ending}").exists():
            return open_cube(folder / f"{name}{ending}")
    return open_source(folder, field=name)


def _of_cube(
    cube: xr.Dataset,
    page: Path,
    record: dict[str, Any],
    *,
    groups: str | Path | None,
    fit: tuple[Fitted, str | Path] | None,
    overwrite: bool,
) -> Made:
    require_free_names(report_files(page), overwrite=overwrite)
    how: dict[str, Any] = {}
    if groups is not None:
        how["groups"] = open_groups(cube, groups=groups)
    if fit is not None:
        how["fit"] = read_fit(*fit)
    seen = observed_of_record(cube, record)
    return _written(cube, page, seen, record=record, overwrite=overwrite, **how)


def _written(cube: xr.Dataset, page: Path, seen: Observed, **how: Any) -> Made:
    notes = [f"The images as they were observed {seen.why}: they are not shown."] if seen.why else []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HstCubeWarning)  # the cube's own are on the page
        files = write_report(
            cube, page, before=seen.before, labels=seen.labels, notes=notes, **how
        )
    told = json.loads(files[1].read_bytes())
    bad = tuple(one["question"] for one in told["answers"] if one["state"] == "bad")
    return Made(told["field"], files[0], told["verdict"], told["headline"], bad)
