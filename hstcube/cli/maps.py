"""The commands that make what `run` reads beside images: detect (maps) and sky (levels)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from hstcube.cli.options import (
    Fields,
    Folder,
    FolderOrFile,
    Images,
    Labels,
    Overwrite,
    Scale,
)
from hstcube.terminal.show import collect_again, show_failures, show_table, told_warnings

__all__ = ["detect", "sky"]


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


def sky(
    folder: Folder,
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="Folder for sky_{field}_{band}.txt and the pictures."),
    ],
    field: Fields = None,
    scale: Scale = None,
    images: Images = None,
    labels: Labels = None,
    method: Annotated[
        Literal["clipped", "original"],
        typer.Option(help="clipped, or original (the median of 2022)."),
    ] = "clipped",
    overwrite: Overwrite = False,
) -> None:
    """Measure the sky of every field and band.

    Writes levels that `run --sky` reads, and pictures of the histograms.
    """
    from hstcube.jobs.levels import measure_skies
    from hstcube.pipeline.plan import plan, require_outside
    from hstcube.pipeline.record import exit_code

    require_outside(out, folder, images=images)
    targets = plan(folder, field or [], [], scale=scale, images=images, labels=labels)
    outcomes = measure_skies(
        targets, out, method=method, overwrite=overwrite, tell=lambda _: collect_again()
    )
    rows: list[tuple[str, ...]] = []
    for outcome in outcomes:
        name, levels = outcome.target.name, outcome.levels
        if outcome.error:
            rows.append((name, "", "failed", outcome.error.code))
        for level in () if levels is None else levels:
            error = level.sky_error.item()
            rows.append((name, str(level.band.item()), f"{level.item():.4e}", f"{error:.1e}"))
    show_table(("field", "band", "level", "error"), rows, title=f"sky levels, per pixel, in {out}")
    show_failures(outcomes)
    raise typer.Exit(exit_code(outcomes))
