"""Commands that look and write nothing: info, compare."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from hstcube.cli.options import AsJson, Field
from hstcube.terminal.show import say, show_json, show_table, told_warnings

__all__ = ["compare", "info"]


def info(
    source: Annotated[
        Path, typer.Argument(metavar="FILE", help="A FITS file, a saved cube, or a folder of one.")
    ],
    field: Field = None,
    as_json: AsJson = False,
) -> None:
    """Say what a file holds, and what was done to it.

    Of an image by its headers; of a cube: matched? sky off? units? noise? warnings?
    """
    from hstcube.assembly.contents import contents_of
    from hstcube.pipeline.sources import open_source
    from hstcube.views.summary import describe

    if ".fits" in source.suffixes and not source.is_dir():
        units = contents_of(source)
        if as_json:
            show_json(units)
            return
        named = {"scale": "arcsec/pixel", "zeropoint": "AB zero point"}
        rows = []
        for one in units:
            shape = " x ".join(map(str, one["shape"] or ()))
            cells = {**one, "shape": shape}.values()
            rows.append(tuple("" if cell is None else str(cell) for cell in cells))
        columns = tuple(named.get(name, name) for name in units[0])
        show_table(columns, rows, title=f"{len(units)} units in {source}")
        return
    with told_warnings():
        told = describe(open_source(source, field=field))
    if as_json:
        show_json(dataclasses.asdict(told))
    else:
        say(str(told))


def compare(
    first: Annotated[
        Path, typer.Argument(help="A FITS file, a saved cube (.nc, .zarr), or a folder of them.")
    ],
    second: Annotated[Path, typer.Argument(help="Its counterpart.")],
    rtol: Annotated[
        float, typer.Option(help="Largest difference allowed, of the maximum of the image.")
    ] = 0.0,
    as_json: AsJson = False,
) -> None:
    """Compare two products.

    Exit 0 when all images agree within --rtol on the same pixels.
    """
    from hstcube.jobs.differences import compare as compare_products
    from hstcube.pipeline.record import SOME_FAILED

    found = compare_products(first, second)
    apart = sum(not row.within(rtol) for row in found)
    if as_json:
        show_json([{**row._asdict(), "within": row.within(rtol)} for row in found])
        raise typer.Exit(SOME_FAILED if apart else 0)
    rows = []
    for row in found:
        if row.cards or not row.within(rtol):
            largest = f"not in the {row.lacking}" if row.lacking else f"{row.largest:.3g}"
            rows.append((row.name, largest, str(row.support or ""), " ".join(row.cards)))
    title = f"{len(found) - apart} of {len(found)} images agree within {rtol:g} of their maximum"
    if rows:
        columns = ("image", "largest difference", "unlike support [px]", "unlike cards")
        show_table(columns, rows, title=title)
    else:
        say(f"{title}, with the same cards")
    raise typer.Exit(SOME_FAILED if apart else 0)
