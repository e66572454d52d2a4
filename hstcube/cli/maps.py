"""The command that makes segmentation maps: detect."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003  typer reads annotations
from typing import Annotated

import typer

from hstcube.cli.options import (  # noqa: TC001
    Fields,
    FolderOrFile,
    Images,
    Overwrite,
    Scale,
)
from hstcube.cli.show import show_table, told_warnings

__all__ = ["detect"]


def detect(
    source: FolderOrFile,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for the maps; `run --labels` reads it.")
    ],
    field: Fields = None,
    snr: Annotated[
        float, typer.Option(help="Standard deviations above the background that a source stands.")
    ] = 3.0,
    min_pixels: Annotated[
        int | None, typer.Option(help="Fewest pixels of a source; 0.036 arcsec2 when not given.")
    ] = None,
    no_deblend: Annotated[
        bool, typer.Option("--no-deblend", help="Leave sources that touch together.")
    ] = False,
    scale: Scale = "60mas",
    images: Images = None,
    overwrite: Overwrite = False,
) -> None:
    """Detect the sources of every field.

    Writes a segmentation map of each.
    """
    from hstcube.jobs.maps import detect_maps
    from hstcube.pipeline.plan import plan, require_outside

    require_outside(out, source, images=images)
    targets = plan(source, field or [], [], scale=scale, images=images)
    with told_warnings():
        found = detect_maps(
            targets,
            out,
            snr=snr,
            min_pixels=min_pixels,
            deblend=not no_deblend,
            overwrite=overwrite,
        )
    rows = [(one.field, str(one.sources), str(one.central or "none")) for one in found]
    show_table(("field", "sources", "at the centre"), rows, title=f"maps in {out}")
