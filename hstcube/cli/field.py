"""Commands of fields: ls, run, check, cutout, compare."""

from __future__ import annotations

import dataclasses
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hstcube.cli.options import (
    PSF,
    AlignOf,
    Allow,
    ApplyMask,
    Bands,
    ChunksOf,
    Exclude,
    FieldList,
    Fields,
    Folder,
    FolderOrFile,
    Ids,
    Images,
    Labels,
    Largest,
    LayoutOf,
    Levels,
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
    Scale,
    Strict,
    To,
    Units,
    options_of,
    targets_of,
)
from hstcube.cli.show import (
    Progress,
    collect_again,
    say,
    show_outcomes,
    show_report,
    show_table,
)
from hstcube.errors import HstCubeError
from hstcube.fits.local import missing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hstcube.pipeline.record import Report

__all__ = ["check", "compare", "cutout", "ls", "run"]


def ls(
    folder: Folder,
    scale: Annotated[str | None, typer.Option(help="Only this pixel scale.")] = None,
    images: Images = None,
    labels: Labels = None,
) -> None:
    """List the fields of a folder.

    Their bands, pixel scale, segmentation map and sky levels; the release whose names they bear.
    """
    from hstcube.surveys.names import list_fields

    rows = []
    found = list_fields(folder, scale=scale, images=images, labels=labels)
    for files in found:
        whole, odd, levels = [], [], 0
        for name, band in files.bands.items():
            if len(band.sci) == len(band.wht) == 1:
                whole.append(name)
            else:
                odd.append(f"{name}: check files")
            levels += isinstance(band.sky, Path) and band.sky.exists()
        mapped = "yes" if files.labels and files.labels.exists() else "no"
        sky = f"{levels}/{len(files.bands)}"
        row = (files.field, files.scale, " ".join(whole), ", ".join(odd), mapped, sky)
        rows.append((*row, files.release) if any(one.release for one in found) else row)
    if not rows:
        fix = "give the folder that holds the stamps, or --images PATTERN"
        raise missing("images", fix, file=folder, verb="are")
    columns = ("field", "scale", "bands", "incomplete", "map", "sky", "release")
    show_table(columns[: len(rows[0])], rows, title=f"{len(rows)} in {folder}")


def run(
    source: FolderOrFile,
    field: Fields = None,
    ids: Ids = None,
    recipe: Recipe = "default",
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the products.")] = Path(
        "hstcube_out"
    ),
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
    units: Units = None,
    chunks: ChunksOf = "auto",
    strict: Strict = False,
    overwrite: Overwrite = False,
    fields: FieldList = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", help="Processes; 0: one a core.")] = 1,
    scheduler: Annotated[
        str | None,
        typer.Option(help="Of a dask cluster that makes the fields, as tcp://host:8786."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where a run ended: make what is not done.")
    ] = False,
) -> None:
    """Make the homogeneous cube of every field.

    FITS by band, netCDF, and a record of the run.
    """
    from hstcube.pipeline.plan import require_outside
    from hstcube.pipeline.record import exit_code
    from hstcube.pipeline.runs import run as run_targets

    options = options_of(
        recipe=recipe,
        to=to,
        allow=allow,
        largest=largest,
        neighbours=neighbours,
        bands=bands,
        sky=sky,
        poisson=poisson,
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
        outcomes = run_targets(targets, out, options, tell=tell, **several)
    show_outcomes(outcomes, out)
    raise typer.Exit(exit_code(outcomes))


def cutout(
    mosaics: Annotated[
        Path, typer.Argument(help="Folder of mosaics ({field}_{scale}_{filter}_{sci,wht}.fits).")
    ],
    catalogue: Annotated[
        Path, typer.Option("--catalogue", help="Table (ECSV, CSV, FITS): id, ra, dec in degrees.")
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for the stamps; `run` reads it.")
    ],
    size: Annotated[float, typer.Option(help="Side of the stamps, arcsec.")] = 6.0,
    scale: Annotated[str | None, typer.Option(help="Only this pixel scale.")] = None,
    bands: Bands = None,
    images: Images = None,
    labels: Labels = None,
    overwrite: Overwrite = False,
) -> None:
    """Cut stamps out of mosaics.

    Of all bands, for every position of a catalogue.
    """
    from hstcube.jobs.stamps import cut_stamps
    from hstcube.pipeline.plan import require_outside
    from hstcube.pipeline.record import SOME_FAILED

    if labels == "detect":
        msg = (
            "there is nothing to cut; detect the sources of the stamps: hstcube run --labels detect"
        )
        raise typer.BadParameter(msg, param_hint="--labels")
    require_outside(out, mosaics, images=images)
    stamps = cut_stamps(
        mosaics,
        catalogue,
        out,
        size=size,
        scale=scale,
        bands=bands,
        images=images,
        labels=labels,
        overwrite=overwrite,
    )
    rows = []
    for stamp in stamps:
        if stamp.share < 1:
            number = str(len(stamp.bands)) if stamp.bands else "on no mosaic"
            rows.append((stamp.name, number, f"{stamp.share:.0%}"))
    cut = sum(bool(stamp.bands) for stamp in stamps)
    title = f"stamps of {cut} of {len(stamps)} positions in {out}"
    if rows:
        show_table(("id", "bands", "inside"), rows, title=title)
    else:
        say(title)
    raise typer.Exit(0 if cut == len(stamps) else SOME_FAILED)


def check(
    source: FolderOrFile,
    field: Fields = None,
    ids: Ids = None,
    recipe: Recipe = "default",
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder for the products; looked at if it is given."),
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
    units: Units = None,
    chunks: ChunksOf = "auto",
    strict: Strict = False,
    overwrite: Overwrite = False,
    fields: FieldList = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Find what a run would stumble over or assume.

    Takes what `run` takes. Nothing is written.
    """
    from hstcube.pipeline.findings import examine, refused_output
    from hstcube.pipeline.record import Report

    options = options_of(
        recipe=recipe,
        to=to,
        allow=allow,
        largest=largest,
        neighbours=neighbours,
        bands=bands,
        sky=sky,
        poisson=poisson,
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
        import json

        typer.echo(json.dumps(listed, indent=1))
    if True not in results:
        return 0
    return SOME_FAILED if False in results else HstCubeError.exit_code


def compare(
    first: Annotated[Path, typer.Argument(help="A FITS file, a netCDF cube, or a folder of them.")],
    second: Annotated[Path, typer.Argument(help="Its counterpart.")],
    rtol: Annotated[
        float, typer.Option(help="Largest difference allowed, of the maximum of the image.")
    ] = 0.0,
) -> None:
    """Compare two products.

    Exit 0 when all images agree within --rtol on the same pixels.
    """
    from hstcube.jobs.differences import compare as compare_products
    from hstcube.pipeline.record import SOME_FAILED

    found = compare_products(first, second)
    rows, apart = [], 0
    for row in found:
        apart += not row.within(rtol)
        if row.cards or not row.within(rtol):
            largest = f"not in the {row.lacking}" if row.lacking else f"{row.largest:.3g}"
            rows.append((row.name, largest, str(row.support or ""), " ".join(row.cards)))
    title = f"{len(found) - apart} of {len(found)} images agree within {rtol:g} of their maximum"
    if rows:
        columns = ("image", "largest difference", "unlike support [px]", "unlike cards")
        show_table(columns, rows, title=title)
    else:
        typer.echo(f"{title}, with the same cards")
    raise typer.Exit(SOME_FAILED if apart else 0)
