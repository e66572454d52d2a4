"""Commands of cubes: export, bin, phot, noise, report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from hstcube.cli.asked import by_band
from hstcube.cli.options import (
    AsJson,
    Field,
    Fields,
    Folder,
    Groups,
    Overwrite,
    Scale,
    Source,
)
from hstcube.terminal.show import counted, say, show_json, show_reports, show_table, told_warnings

__all__ = ["bin_", "export", "noise", "phot", "report"]

MinArea = Annotated[
    str,
    typer.Option(
        "--min-area",
        metavar="auto|psf|none|ARCSEC2",
        help="Area that bins have at least: pi/4 FWHM^2 of the PSF (auto: if it is known), or so.",
    ),
]

_ROWS = 4  # groups of a table that are shown


def export(
    source: Source,
    code: Annotated[
        Literal["eazy", "bagpipes", "prospector", "cigale", "lephare", "pixedfit"],
        typer.Option(help="Which code."),
    ],
    field: Field = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The folder; named like the code if not given."),
    ] = None,
    bins: Annotated[
        float | None,
        typer.Option(
            "--bins",
            help="Bins that reach this signal to noise in every band, instead of one object.",
        ),
    ] = None,
    pixels: Annotated[
        bool, typer.Option("--pixels", help="Every pixel of the mask, instead of one object.")
    ] = False,
    groups: Groups = None,
    redshift: Annotated[
        str | None,
        typer.Option(help="Of the object; or the file of a table of the groups, with id and z."),
    ] = None,
    min_area: MinArea = "auto",
    floor: Annotated[
        float, typer.Option(help="Share of the flux that is added to its error.")
    ] = 0.05,
    curve: Annotated[
        list[str] | None,
        typer.Option(
            metavar="BAND=FILE",
            help="Throughput curve of a band: Angstrom, throughput; may be repeated.",
        ),
    ] = None,
    scale: Scale = None,
    overwrite: Overwrite = False,
) -> None:
    """Write what an SED-fitting code needs to start.

    The table of fluxes, filter curves, a script, a README.
    """
    from hstcube.jobs.fluxes import export_cube

    if sum((bins is not None, pixels, groups is not None)) > 1:
        msg = "choose one of --bins, --pixels and --groups"
        raise typer.BadParameter(msg, param_hint="--bins")
    out = Path(code) if out is None else out
    with told_warnings():
        files = export_cube(
            source,
            code,
            out,
            field=field,
            scale=scale,
            snr=bins,
            pixels=pixels,
            groups=groups,
            redshift=redshift,
            min_area=_area(min_area),
            floor=floor,
            curves=by_band(curve, "--curve"),
            overwrite=overwrite,
        )
    say(f"{len(files)} files for {code} in {out}; start with {out / 'README'}")


def _area(text: str) -> float | str | None:
    """Return what `bin_pixels` takes as `min_area`."""
    if text in ("auto", "psf", "none"):
        return None if text == "none" else text
    try:
        return float(text)
    except ValueError:
        return text  # with a unit, or refused there


def bin_(
    source: Source,
    field: Field = None,
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="The map of bins (FITS); beside it the picture (.png)."),
    ] = Path("bins.fits"),
    snr: Annotated[float, typer.Option(help="Signal to noise that every bin must reach.")] = 5.0,
    bands: Annotated[
        list[str] | None,
        typer.Option("--band", "-b", help="Where it must; all bands if not given."),
    ] = None,
    mode: Annotated[
        Literal["all", "any"], typer.Option(help="In all of these bands, or in any.")
    ] = "all",
    sed_shape: Annotated[
        float | None,
        typer.Option(help="Keep to one shape of spectrum, to this reduced chi square (e.g. 4)."),
    ] = None,
    min_area: MinArea = "auto",
    scale: Scale = None,
    overwrite: Overwrite = False,
) -> None:
    """Put pixels into bins that reach a signal to noise.

    The pixels of the mask.
    """
    import numpy as np

    from hstcube.jobs.fluxes import bin_cube

    with told_warnings():
        bins, (_, picture) = bin_cube(
            source,
            out,
            field=field,
            scale=scale,
            snr=snr,
            bands=bands,
            mode=mode,
            sed_shape=sed_shape,
            min_area=_area(min_area),
            overwrite=overwrite,
        )
    sizes = np.bincount(bins.values.ravel())[1:]
    single, below = int((sizes == 1).sum()), len(bins.attrs["below_target"])
    say(
        f"{sizes.size} bins of {sizes.sum()} pixels: {single} of one, the largest of {sizes.max()};"
        f" {below} islands below the target\nbins      {out}\npicture   {picture}"
    )


def phot(
    source: Source,
    field: Field = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The table: .ecsv, .csv, .fits or .parquet.")
    ] = Path("phot.ecsv"),
    groups: Annotated[
        Path | None,
        typer.Option(
            help="Map of groups on the cube's grid, as bin writes it; else the mask is one group."
        ),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Segmentation map, on its own grid: its objects.")
    ] = None,
    ebv: Annotated[
        float | None, typer.Option(help="E(B-V) of the Milky Way to correct for [mag].")
    ] = None,
    law: Annotated[Literal["F19", "CCM89"], typer.Option(help="Extinction law.")] = "F19",
    total: Annotated[
        bool, typer.Option("--total", help="Correct apertures to the total of a point source.")
    ] = False,
    partial: Annotated[
        bool, typer.Option("--partial", help="Give fluxes where a band has only part of a group.")
    ] = False,
    covariance: Annotated[
        bool, typer.Option("--covariance", help="Add the covariances of the groups, by band.")
    ] = False,
    scale: Scale = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Measure fluxes and errors.

    Of the object, of bins, or of all objects of a map.
    """
    from hstcube.jobs.fluxes import phot_cube

    if groups is not None and labels is not None:
        msg = "give one of --groups and --labels"
        raise typer.BadParameter(msg, param_hint="--labels")
    with told_warnings():
        table, _ = phot_cube(
            source,
            out,
            field=field,
            scale=scale,
            groups=groups,
            labels=labels,
            ebv=ebv,
            law=law,
            total=total,
            partial=partial,
            covariance=covariance,
            overwrite=overwrite,
        )
    found = [
        {
            "group": row["id"].item(),
            "pixels": row["npix"].item(),
            "band": band,
            "flux": row[f"flux_{band}"].value,
            "error": row[f"error_{band}"].value,
            "unit": "uJy",
        }
        for row in (table if as_json else table[:_ROWS])
        for band in table.meta["pivot"]
    ]
    if as_json:
        show_json(found)
        return
    rows = [
        (f"{one['group']}", f"{one['pixels']}", one["band"],
         f"{one['flux']:.4g}", f"{one['error']:.4g}")
        for one in found
    ]  # fmt: skip
    more = f"; the first {_ROWS} below" if len(table) > _ROWS else ""
    columns = ("group", "pixels", "band", "flux [uJy]", "error")
    show_table(columns, rows, title=f"fluxes of {counted(len(table), 'group')} in {out}{more}")


def noise(
    folder: Folder,
    field: Fields = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The picture (.png); beside it the table (.ecsv).")
    ] = Path("noise.png"),
    measure: Annotated[
        bool,
        typer.Option(
            "--measure",
            help="Measure the noise on these fields, instead of judging what a run takes it for.",
        ),
    ] = False,
    scale: Scale = None,
    overwrite: Overwrite = False,
) -> None:
    """Compare the noise with empty apertures on the sky.

    That of single pixels, and of groups of pixels.
    """
    from hstcube.jobs.fluxes import check_noise

    with told_warnings():
        table, fields, (_, listed) = check_noise(
            folder, out, fields=field or (), scale=scale, measure=measure, overwrite=overwrite
        )
    rows = [
        (
            row["band"],
            f"{row['size']}x{row['size']}",
            str(row["number"]),
            f"{row['predicted']:.3g}",
            f"{row['ratio']:.2f} ± {row['error']:.2f}",
            f"{row['constant']:.2f}",
        )
        for row in table
    ]
    columns = ("band", "pixels", "apertures", "error", "scatter / error", "with a constant sky")
    show_table(columns, rows, title=f"noise of {counted(fields, 'field')}, in {out} and {listed}")


def report(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="CUBE|OUT", help="A saved cube (.nc or .zarr), or the folder of a run."
        ),
    ],
    field: Fields = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Folder for the pages, or a page (.html) of a cube; beside it if not given.",
        ),
    ] = None,
    groups: Groups = None,
    fit: Annotated[
        str | None,
        typer.Option(
            metavar="CODE=FILE", help="What was fitted to the groups: eazy=photz.zout.fits."
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Make a page that says whether a cube is good.

    And shows its pixels: a click shows an SED. Many fields get an index, the bad ones first.
    """
    from hstcube.pipeline.record import SOME_FAILED
    from hstcube.report.fields import report_source

    told: list[Any] = [*by_band([fit] if fit else None, "--fit").items()]
    with told_warnings():
        made = report_source(
            source,
            out,
            fields=field or (),
            groups=groups,
            fit=told[0] if told else None,
            overwrite=overwrite,
        )
    failed = [one.error for one in made if one.error]
    show_reports(made, out or source)
    if failed:
        raise typer.Exit(SOME_FAILED if len(failed) < len(made) else failed[0].exit_code)
