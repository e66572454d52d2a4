"""Commands of fields: ls, run, check."""

from __future__ import annotations

import dataclasses
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hstcube.cli.asked import options_of, targets_of
from hstcube.cli.options import (
    PSF,
    AlignOf,
    Allow,
    ApplyMask,
    AsJson,
    Bands,
    ChunksOf,
    Exclude,
    FieldList,
    Fields,
    Folder,
    FolderOrFile,
    Ids,
    Images,
    Jobs,
    Labels,
    Largest,
    LayoutOf,
    Levels,
    MeasureNoise,
    NeighboursOf,
    NoiseOf,
    NoMask,
    NoNetcdf,
    Onto,
    Overwrite,
    Pivots,
    Poisson,
    PSFWidths,
    Recipe,
    ReportOf,
    Resume,
    Scale,
    Scheduler,
    Strict,
    To,
    Units,
)
from hstcube.errors import HstCubeError
from hstcube.terminal import panels
from hstcube.terminal.show import (
    Progress,
    collect_again,
    of_outcome,
    show_json,
    show_outcomes,
    show_report,
    show_reports,
    show_table,
    typed,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hstcube.pipeline.record import Report
    from hstcube.surveys.names import FieldFiles

__all__ = ["check", "ls", "run"]


def ls(
    folder: Folder,
    scale: Annotated[str | None, typer.Option(help="Only this pixel scale.")] = None,
    images: Images = None,
    labels: Labels = None,
    as_json: AsJson = False,
) -> None:
    """List the fields of a folder.

    Their bands, pixel scale, segmentation map and sky levels; the release whose names they bear.
    """
    from hstcube.surveys.names import list_fields
    from hstcube.surveys.releases import no_images

    found = list_fields(folder, scale=scale, images=images, labels=labels)
    if not found:
        raise no_images(folder, images)
    listed = [_listed(files) for files in found]
    if as_json:
        show_json(listed)
        return
    rows = []
    for one in listed:
        odd = ", ".join(f"{name}: check files" for name in one["incomplete"])
        sky = f"{len(one['sky'])}/{len(one['bands']) + len(one['incomplete'])}"
        mapped = "yes" if one["labels"] else "no"
        bands = " ".join(one["bands"])
        rows.append((one["field"], one["scale"], bands, odd, mapped, sky, one["release"]))
    columns = ("field", "scale", "bands", "incomplete", "map", "sky", "release")
    show_table(columns, rows, title=f"{len(rows)} in {folder}")


def _listed(files: FieldFiles) -> dict[str, Any]:
    """Return what there is to say of a field: bands that are whole, and what lies beside them."""
    whole = [name for name, one in files.bands.items() if len(one.sci) == len(one.wht) == 1]
    levels = [
        name for name, one in files.bands.items() if isinstance(one.sky, Path) and one.sky.exists()
    ]
    return {
        "field": files.field,
        "scale": files.scale,
        "bands": whole,
        "incomplete": [name for name in files.bands if name not in whole],
        "labels": str(files.labels) if files.labels and files.labels.exists() else None,
        "sky": levels,
        "release": files.release,
    }


def run(
    source: FolderOrFile,
    field: Fields = None,
    ids: Ids = None,
    recipe: Recipe = "default",
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="Folder for the products.", rich_help_panel=panels.OUTPUT),
    ] = Path("hstcube_out"),
    largest: Largest = False,
    neighbours: NeighboursOf = None,
    no_mask: NoMask = False,
    apply_mask: ApplyMask = False,
    no_netcdf: NoNetcdf = False,
    noise: NoiseOf = None,
    layout: LayoutOf = "files",
    bands: Bands = None,
    scale: Scale = None,
    onto: Onto = None,
    align: AlignOf = None,
    images: Images = None,
    labels: Labels = None,
    exclude: Exclude = None,
    sky: Levels = None,
    to: To = None,
    psf: PSF = None,
    psf_fwhm: PSFWidths = None,
    pivot: Pivots = None,
    allow: Allow = None,
    poisson: Poisson = None,
    measure_noise: MeasureNoise = False,
    units: Units = None,
    chunks: ChunksOf = "auto",
    strict: Strict = False,
    overwrite: Overwrite = False,
    fields: FieldList = None,
    jobs: Jobs = 1,
    scheduler: Scheduler = None,
    resume: Resume = False,
    report: ReportOf = False,
    as_json: AsJson = False,
) -> None:
    """Make the homogeneous cube of every field.

    FITS by band, netCDF, and a record of the run.
    """
    from hstcube.fleet.start import dask_when_needed
    from hstcube.pipeline.plan import require_outside
    from hstcube.pipeline.record import exit_code
    from hstcube.pipeline.runs import run as run_targets

    dask_when_needed()
    options = options_of(
        recipe=recipe,
        to=to,
        allow=allow,
        largest=largest,
        neighbours=neighbours,
        bands=bands,
        sky=sky,
        poisson=poisson,
        measure_noise=measure_noise,
        units=units,
        masked=not no_mask,
        psf=psf,
        psf_fwhm=psf_fwhm,
        onto=onto,
        align=align,
        exclude=exclude,
        chunks=chunks,
        strict=strict,
        noise=noise,
        layout=layout,
        apply_mask=apply_mask,
        netcdf=not no_netcdf,
        overwrite=overwrite,
    )
    require_outside(out, source, images=images)
    how: dict[str, Any] = {"scale": scale, "images": images, "labels": labels, "pivot": pivot}
    how["fields"] = fields
    targets = targets_of(source, field, ids, sky=sky, **how)
    with Progress(len(targets)) as tell:
        several: dict[str, Any] = {"jobs": jobs, "scheduler": scheduler, "resume": resume}
        several["command"] = typed()
        outcomes = run_targets(targets, out, options, tell=tell, **several)
    if as_json:
        show_json([of_outcome(outcome) for outcome in outcomes])
    else:
        show_outcomes(outcomes, out)
    if report:
        from hstcube.report.fields import report_run

        made = report_run(outcomes, out, options)
        if not as_json:
            show_reports(made, out)
    raise typer.Exit(exit_code(outcomes))


def check(
    source: FolderOrFile,
    field: Fields = None,
    ids: Ids = None,
    recipe: Recipe = "default",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Folder for the products; looked at if it is given.",
            rich_help_panel=panels.OUTPUT,
        ),
    ] = None,
    largest: Largest = False,
    neighbours: NeighboursOf = None,
    no_mask: NoMask = False,
    apply_mask: ApplyMask = False,
    no_netcdf: NoNetcdf = False,
    noise: NoiseOf = None,
    layout: LayoutOf = "files",
    bands: Bands = None,
    scale: Scale = None,
    onto: Onto = None,
    align: AlignOf = None,
    images: Images = None,
    labels: Labels = None,
    exclude: Exclude = None,
    sky: Levels = None,
    to: To = None,
    psf: PSF = None,
    psf_fwhm: PSFWidths = None,
    pivot: Pivots = None,
    allow: Allow = None,
    poisson: Poisson = None,
    measure_noise: MeasureNoise = False,
    units: Units = None,
    chunks: ChunksOf = "auto",
    strict: Strict = False,
    overwrite: Overwrite = False,
    fields: FieldList = None,
    as_json: AsJson = False,
) -> None:
    """Find what a run would stumble over or assume.

    Takes what `run` takes. Nothing is written.
    """
    from hstcube.fleet.start import dask_when_needed
    from hstcube.pipeline.findings import examine, refused_output
    from hstcube.pipeline.record import Report

    dask_when_needed()
    options = options_of(
        recipe=recipe,
        to=to,
        allow=allow,
        largest=largest,
        neighbours=neighbours,
        bands=bands,
        sky=sky,
        poisson=poisson,
        measure_noise=measure_noise,
        units=units,
        masked=not no_mask,
        psf=psf,
        psf_fwhm=psf_fwhm,
        onto=onto,
        align=align,
        exclude=exclude,
        chunks=chunks,
        strict=strict,
        noise=noise,
        layout=layout,
        apply_mask=apply_mask,
        netcdf=not no_netcdf,
        overwrite=overwrite,
    )
    common = Report(str(source), "")
    targets = targets_of(
        source,
        field,
        ids,
        sky=sky,
        fields=fields,
        pivot=pivot,
        scale=scale,
        images=images,
        labels=labels,
        refuse=common.refuse,
    )
    if out is not None:
        refused_output(common, out, source, images=images)
    each = (examine(target, options, out=out) for target in targets)
    reports = chain(each, [common] if common.findings else [])
    raise typer.Exit(_show_reports(reports, strict=strict, as_json=as_json))


def _show_reports(reports: Iterable[Report], *, strict: bool, as_json: bool) -> int:
    """Print what was found of each target as it comes, JSON at the end; return the exit code."""
    from hstcube.pipeline.record import SOME_FAILED

    listed: list[dict[str, Any]] = []
    results: set[bool] = set()
    for report in reports:
        results.add(report.fails(strict=strict))
        if as_json:
            listed.append(dataclasses.asdict(report))
        else:
            show_report(report, failed=report.fails(strict=strict))
        collect_again()
    if as_json:
        show_json(listed)
    if True not in results:
        return 0
    return SOME_FAILED if False in results else HstCubeError.exit_code
