"""Commands that bring images to work on: of a made-up field, or from a store on the network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hstcube.cli.options import Bands, FieldList, Fields, Overwrite  # noqa: TC001  typer reads them
from hstcube.cli.show import Progress, say, show_table

__all__ = ["demo", "fetch"]


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
            f"{row.rim:+.3f}",
            f"{row.rim_masked_first:+.3f}",
            f"{row.scene:.4f}",
            f"{row.scene_rim:+.3f}",
            f"{row.core:.3f}",
            f"{row.core_gaussian:.3f}",
        )
        for row in rows
    ]
    columns = ("band", "flux / truth", "rim bias [mag]", "masked first", "flux / scene",
               "rim / scene [mag]", "core / scene", "with Gaussians")  # fmt: skip
    show_table(columns, cells, title="the galaxy of the demo field against its truth")
    stamps, products = places["stamps"], places["products"]
    typer.echo(
        f"""\
truth: noise-free images, convolved with the same kernels, then masked;
scene: the true scene at the true PSF of F160W; rim: colour of the mask's
outermost ring, against F160W; core: within 0.18 arcsec
stamps    {stamps}    (truth.nc: noise-free images, PSFs, fluxes)
products  {products}
picture   {places["picture"]}
report    {places["report"]}    (open it in a browser: is the cube good?)
try next:
  hstcube check {stamps}
  hstcube run {stamps} --recipe original -o {out / "original"}
  python -c "import hstcube; print(hstcube.open_field('{products}', 'demo'))\""""
    )


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
