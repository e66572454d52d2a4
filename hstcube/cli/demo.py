"""Commands that bring images to work on: made up, cut out of mosaics, or from a store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hstcube.cli.options import Bands, FieldList, Fields, Images, Labels, Overwrite
from hstcube.terminal.show import Progress, say, show_table

__all__ = ["cutout", "demo", "fetch"]


def demo(
    out: Annotated[Path, typer.Argument(help="Folder for stamps, products and picture.")] = Path(
        "hstcube_demo"
    ),
    seed: Annotated[int, typer.Option(help="Of what is random in the field.")] = 1,
    overwrite: Overwrite = False,
) -> None:
    """Do the whole job on a made-up field.

    And compare the result with the truth.
    """
    from hstcube.demo.truth import demonstrate

    rows, places = demonstrate(out, seed=seed, overwrite=overwrite)
    cells = [
        (
            row.band,
            f"{row.flux:.4f} ± {row.noise:.4f}",
            f"{row.scene_rim:+.3f}",
            f"{row.core:.3f}",
        )
        for row in rows
    ]
    columns = ("band", "flux / truth", "rim [mag]", "core / truth")
    show_table(columns, cells, title="the galaxy of the demo field against its truth")
    rim = max(abs(row.rim_masked_first) for row in rows)
    core = max(abs(row.core_gaussian - 1) for row in rows)
    stamps, products = places["stamps"], places["products"]
    say(
        f"""\
flux: the light inside the mask, with its error; rim: how far the colour of
the outermost pixels of the mask is off, band minus F160W; core: the light
within 0.18 arcsec of the centre. Masked first and matched with Gaussians, as
was done in 2022, the rim would be off by {rim:.2f} mag, the core by {core:.1%}.
stamps    {stamps}
products  {products}
picture   {places["picture"]}
report    {places["report"]}    (open it: is the cube good?)
numbers   {places["table"]}
try next:"""
    )
    say(
        f"""\
  hstcube check {stamps}
  hstcube info {products / "demo.nc"}
  hstcube phot {products / "demo.nc"} -o {out / "fluxes.csv"}""",
        folded=False,
    )


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


def fetch(
    address: Annotated[
        list[str],
        typer.Argument(
            metavar="ADDRESS",
            help="A folder of a store (s3://BUCKET/FOLDER), or files (https://SERVER/FILE); a "
            "field file brings what it names.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the copies.")],
    field: Fields = None,
    fields: FieldList = None,
    bands: Bands = None,
    anon: Annotated[
        bool, typer.Option("--anon", help="Of a store that is open to all: without keys.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Copy fields from a store on the network into a folder.

    Copies that are whole are kept: run it again after it broke off. Nothing else uses a network.
    """
    from hstcube.jobs.fetching import fetch_told
    from hstcube.jobs.fields import field_names

    wanted = [*(field or ()), *(field_names(fields) if fields else ())]
    progress = Progress(0)
    with progress:
        table = fetch_told(
            address,
            out,
            fields=wanted,
            bands=bands or (),
            overwrite=overwrite,
            storage={"anon": True} if anon else {},
            tell=progress.tell_file,
        )
    kept = sum(table["status"] == "kept")
    size = sum(table["size"]) / 1e6
    say(f"{len(table)} files in {out}, {size:.1f} MB: {len(table) - kept} fetched, {kept} kept")
