"""The commands on maps: detect (what `run` reads), sky (levels), line (models of line maps)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from hstcube.cli.options import (
    AsJson,
    Field,
    Fields,
    Folder,
    FolderOrFile,
    Images,
    Labels,
    Overwrite,
    Scale,
    Source,
)
from hstcube.terminal.show import (
    collect_again,
    say,
    show_failures,
    show_json,
    show_table,
    told_warnings,
)

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["detect", "line", "sky"]

_SHIFT = ("dy", "dx")


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


def line(
    cube: Source,
    maps: Annotated[
        list[Path], typer.Argument(metavar="MAP", help="Maps of the line; several are summed.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the products.")],
    psf: Annotated[
        str, typer.Option(help="Of the maps: 0.63arcsec,beta=2.8 (Moffat; beta=inf: Gaussian).")
    ],
    error: Annotated[
        list[Path] | None, typer.Option(help="Errors of the maps, in their order; repeated.")
    ] = None,
    unit: Annotated[
        str | None, typer.Option(help="What the maps are in, where BUNIT is wrong.")
    ] = None,
    smoothed: Annotated[
        str | None, typer.Option(help="FWHM of a Gaussian that smoothed the maps: 0.4arcsec.")
    ] = None,
    continuum: Annotated[
        Path | None, typer.Option(help="Image of the continuum by the IFU: tells the shift.")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Segmentation map: neighbours are left out by it.")
    ] = None,
    bands: Annotated[
        str | None, typer.Option(help="Bands to fit, with commas between: f435w,f160w.")
    ] = None,
    positive: Annotated[
        bool, typer.Option("--positive", help="Weights are zero or positive.")
    ] = False,
    wavelength: Annotated[
        str | None, typer.Option(help="Of the line as observed, for its equivalent width: 6036AA.")
    ] = None,
    field: Field = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Model the map of a line with the bands of a cube.

    Writes the line at the cube's resolution and at the map's, residual, table and picture.
    """
    from hstcube.core.state import notes_of
    from hstcube.ifu.products import fit_table, model_line

    with told_warnings():
        made = model_line(
            cube,
            maps,
            out,
            psf=psf,
            error=error or [],
            unit=unit,
            smoothed=smoothed,
            continuum=continuum,
            labels=labels,
            bands=bands.split(",") if bands else None,
            positive=positive,
            wavelength=wavelength,
            field=field,
            overwrite=overwrite,
        )
    if as_json:
        table = fit_table(made.fit)
        weights = [dict(zip(table.colnames, row, strict=True)) for row in table]
        show_json({"weights": weights, **table.meta, "files": made.paths})
        return
    fit = made.fit
    for code, text in notes_of(fit.attrs["history"]):
        if code.startswith("HC-L"):  # those of the cube were told when it was made
            say(f"note: {code} {text}")
    rows = [
        (one, f"{value:.2f}", "" if math.isnan(error) else f"{error:.2f}")
        for one, value, error in _numbers(fit)
    ]
    show_table(("", "value", "error"), rows, title=f"{fit.attrs['line']}, in {out}")
    tried = zip(fit["set"].values.tolist(), fit.set_nrms.values.tolist(), strict=True)
    sets = [(name, f"{left:.1%}") for name, left in tried]
    show_table(("set of bands", "left out"), sets, title="residual of what was left out")
    say(fit.attrs["verdict"])


def _numbers(fit: xr.Dataset) -> list[tuple[str, float, float]]:
    """Return the numbers of a fit with their errors: weights, shift, what they sum to.

    The last is the sum of the terms' sizes over the size of their sum, which has none.
    """
    names = [f"weight of {band} [A]" for band in fit.band.values.tolist()]
    weights = zip(names, fit.weights.values, fit.weight_error.values, strict=True)
    shift = [
        (f"{key} [mas]", 1e3 * float(fit[key]), 1e3 * float(fit[f"{key}_error"])) for key in _SHIFT
    ]
    flux, error, width = (float(fit[key]) for key in ("flux", "flux_error", "equivalent_width"))
    sums = [("flux [1e-20 erg s-1 cm-2]", flux, error)]
    if math.isfinite(width):
        sums.append(("equivalent width [A]", width, abs(width * error / flux)))
    return [*weights, *shift, *sums, ("cancelling", float(fit.cancelling), math.nan)]
