"""The command that makes up a field and does the whole job on it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hstcube.cli.options import Overwrite  # noqa: TC001  typer reads annotations
from hstcube.cli.show import show_table

__all__ = ["demo"]


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
try next:
  hstcube check {stamps}
  hstcube run {stamps} --recipe original -o {out / "original"}
  python -c "import hstcube; print(hstcube.open_field('{products}', 'demo'))\""""
    )
