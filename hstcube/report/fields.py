"""Reports of what runs made: of one cube, or of all fields of a folder, with their index."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hstcube.core.state import attribute
from hstcube.errors import HstCubeError, WriteError
from hstcube.files.netcdf import CUBES, open_cube
from hstcube.fits.local import as_path, missing
from hstcube.fits.reads import keeps
from hstcube.fits.writing import require_free_names
from hstcube.fleet.ledger import read_record
from hstcube.fleet.proof import hashes
from hstcube.pipeline.options import Options
from hstcube.pipeline.runs import images_for
from hstcube.pipeline.sources import cubes_in, labels_of, open_groups, open_source
from hstcube.report.index import write_index
from hstcube.report.writing import report_files, write_report
from hstcube.sed.results import read_fit
from hstcube.surveys.names import BandFiles, FieldFiles

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import xarray as xr

    from hstcube.fleet.ledger import Targets
    from hstcube.pipeline.record import Outcome
    from hstcube.sed.results import Fitted

__all__ = ["Made", "report_run", "report_source"]

ENDING = ".html"
_PAGES = (ENDING, ".htm")
INDEX = "reports.html"
_KEPT = ("psf", "psf_fwhm", "onto", "units")  # options of a record that opening takes


class Made(NamedTuple):
    """What became of one report."""

    field: str
    page: Path | None = None
    state: str = ""
    headline: str = ""
    faults: tuple[str, ...] = ()
    error: HstCubeError | None = None


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
        The folder for the pages, or the page of a cube (.html). Beside the cube when not given.
    fields : sequence of str
        Of a folder; all that its record says are made, else all cubes in it, when not given.
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
    # the record first: `keeps` would take it for an input, which read_record refuses
    record = _record_of(source if source.is_dir() else source.parent)
    pages = _pages(source, None if out is None else as_path(out), fields, record)
    reports = []
    for name, page in pages.items():
        try:
            made = _report(source, name, page, record, groups=groups, fit=fit, overwrite=overwrite)
        except HstCubeError as error:
            made = Made(name or str(source), error=error)
        reports.append(made)
        tell(made)
    if len(pages) > 1:
        write_index(page.with_name(INDEX), failed=_failed(reports))
    return reports


@keeps("source", "groups")
def _report(
    source: Path,
    name: str,
    page: Path,
    record: Targets,
    *,
    groups: str | Path | None,
    fit: tuple[Fitted, str | Path] | None,
    overwrite: bool,
) -> Made:
    """Write the report of one cube."""
    require_free_names(report_files(page), overwrite=overwrite)
    cube = _product(source, name)
    told = record.get(name or attribute(cube, "field"), {})
    how: dict[str, Any] = {"record": told, "overwrite": overwrite}
    how["groups"] = None if groups is None else open_groups(cube, groups=groups)
    how["fit"] = None if fit is None else read_fit(*fit)
    return _written(cube, page, _observed_of_record(cube, told), **how)


def _pages(
    source: Path, out: Path | None, fields: Sequence[str], record: Targets
) -> dict[str, Path]:
    """Return the page of each field; that of a single cube has no name where none is asked for."""
    if source.suffix in CUBES:
        page = source.with_suffix(ENDING)
        if out is not None:
            page = out if out.suffix.lower() in _PAGES else out / page.name
        return dict.fromkeys(fields or [""], page)
    names = list(fields) or [name for name, told in record.items() if told.get("status") == "ok"]
    names = names or cubes_in(source)
    if not names:
        what = "cube of a run"
        raise missing(what, "give a saved cube, or the folder of a run", file=source)
    return {name: (source if out is None else out) / f"{name}{ENDING}" for name in names}


def _failed(reports: Sequence[Made]) -> dict[str, str]:
    """Return why fields have no report, by their names."""
    return {made.field: str(made.error) for made in reports if made.error}


def report_run(outcomes: Sequence[Outcome], out: Path, options: Options) -> list[Made]:
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
            seen = _observed(cube, outcome.target.files, options)
            made = _written(cube, page, seen, record=known.get(name, {}), overwrite=True)
        except HstCubeError as error:
            made = Made(name, error=error)
        reports.append(made)
    if len(outcomes) > 1:
        write_index(out / INDEX, failed=_failed(reports))
    return reports


def _record_of(folder: Path) -> Targets:
    """Return what the record of a folder tells of its targets; nothing where there is none."""
    try:
        return read_record(folder)
    except WriteError:  # somebody else's run.json
        return {}


def _product(source: Path, name: str) -> xr.Dataset:
    """Open a saved cube, or that of a field of a run: the saved one, else its FITS files."""
    if source.suffix not in CUBES:
        for path in (source / f"{name}{ending}" for ending in CUBES):
            if path.exists():
                return open_cube(path)
    return open_source(source, field=name or None)


def _written(cube: xr.Dataset, page: Path, seen: _Observed, **how: Any) -> Made:
    notes = (
        [f"The images as they were observed {seen.why}: they are not shown."] if seen.why else []
    )
    files = write_report(cube, page, before=seen.before, labels=seen.labels, notes=notes, **how)
    told = json.loads(files[1].read_bytes())
    faults = tuple(one["fault"] for one in told["answers"] if one["fault"])
    return Made(told["field"], files[0], told["verdict"], told["headline"], faults)


class _Observed(NamedTuple):
    """Images as they were observed, the segmentation map, and why the images are not there."""

    before: xr.Dataset | None
    labels: xr.DataArray | None
    why: str = ""


def _observed(cube: xr.Dataset, files: FieldFiles, options: Options) -> _Observed:
    """Open what a cube was made of, as the run did."""
    try:
        before = images_for(files, options).cube
        labels = labels_of(files, before)
    except HstCubeError as error:
        return _Observed(None, None, f"cannot be opened: {error.reason}")
    bands = cube.band.values.tolist()
    if not {*bands} <= {*before.band.values.tolist()}:
        return _Observed(None, labels, "have other bands")
    before = before.sel(band=bands)
    if not _alike(before, cube):
        return _Observed(None, labels, "open on other pixels or in other units now")
    return _Observed(before, labels)


def _observed_of_record(cube: xr.Dataset, record: dict[str, Any]) -> _Observed:
    """Open what a cube was made of, as the record of its run tells it, if it is what it was."""
    inputs = {Path(path): told for path, told in record.get("inputs", {}).items()}
    bands = [str(name) for name in record.get("bands", ())]
    if not inputs or len(inputs) < 2 * len(bands):
        return _Observed(None, None, "are not in the record of the run")
    now = hashes(inputs)
    if any(now.get(path.name) != told for path, told in inputs.items()):
        return _Observed(None, None, "are not there any more, or were changed since")
    paths = iter(inputs)
    images = {name: BandFiles(sci=(next(paths),), wht=(next(paths),)) for name in bands}
    told = record.get("labels")
    files = FieldFiles(
        field=str(record.get("field", "")), scale="", bands=images,
        labels=None if told is None else Path(told),
    )  # fmt: skip
    said = record.get("options", {})
    try:
        options = Options(**{name: said[name] for name in _KEPT if name in said})
    except (HstCubeError, TypeError):
        return _Observed(None, None, "are not in the record of the run")
    return _observed(cube, files, options)


def _alike(before: xr.Dataset, cube: xr.Dataset) -> bool:
    """Say whether images lie on the pixels of a cube, and one unit of them means the same."""
    same = [np.array_equal(before[dim], cube[dim]) for dim in ("y", "x")]
    same.append(int(before.wcs) == int(cube.wcs))
    same.append(before.sci.attrs.get("units") == cube.sci.attrs.get("units"))
    same.append(np.allclose(before.zeropoint, cube.zeropoint, atol=1e-6, equal_nan=True))
    return all(same)
