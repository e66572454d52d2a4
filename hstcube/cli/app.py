"""The command line."""

from __future__ import annotations

import contextlib
import gc
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn, cast

import typer

from hstcube import __version__
from hstcube.errors import HstCubeError, HstCubeWarning, RecipeError, WriteError
from hstcube.surveys.known import SURVEYS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console

    from hstcube.pipeline.findings import Report
    from hstcube.pipeline.runs import Outcome

__all__ = ["app", "main"]

INTERNAL, USAGE, INTERRUPTED, TERMINATED = 1, 2, 130, 143

app = typer.Typer(
    name="hstcube",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="HST images of a field, in many bands, as one homogeneous cube: same pixels, same resolution, sky subtracted.",
)

Folder = Annotated[
    Path,
    typer.Argument(
        help="Folder of stamps ({field}_{scale}_{filter}_{sci,wht}.fits, in it or in its new_stamps)."
    ),
]
Fields = Annotated[
    list[str] | None,
    typer.Option("--field", "-f", help="A field; may be repeated. All when not given."),
]
Scale = Annotated[
    str,
    typer.Option(
        help="Label of the pixel scale in the file names; mixed: each band at the finest there is."
    ),
]
Images = Annotated[
    str | None,
    typer.Option(
        help="Where images are: a folder, or a pattern with {field}, {scale}, {band}, {kind}."
    ),
]
Labels = Annotated[
    str | None,
    typer.Option(help="Where segmentation maps are: a file, a folder, or a pattern with {field}."),
]
To = Annotated[
    str | None,
    typer.Option(help="What to match: a band, or a width such as 0.3arcsec; f160w when not given."),
]
PSF = Annotated[
    str,
    typer.Option(
        help="auto (psf_{scale}.fits beside the images, or the survey's table, or Gaussian "
        f"widths), {', '.join(SURVEYS)}, gaussian, or a FITS file of PSFs."
    ),
]
Strict = Annotated[bool, typer.Option("--strict", help="Take every warning for an error.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")]

_ROWS = 4  # groups of a table that are shown
_TOLD, _LISTED = 2, 8  # warnings of one kind, and targets of one warning, that the summary shows

# click's, or that of the copy of click that newer typers bring
_UsageError = cast(
    "type[typer.BadParameter]",
    next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException"),
)

_state = {"debug": False}


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"hstcube {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[  # noqa: ARG001  its callback answers
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    _state["debug"] = debug


@app.command("ls")
def list_(
    folder: Folder,
    scale: Annotated[str | None, typer.Option(help="Only this pixel scale.")] = None,
    images: Images = None,
    labels: Labels = None,
) -> None:
    """List the fields of a folder: bands, pixel scale, segmentation map, sky levels."""
    from hstcube.surveys.names import list_fields

    found = list_fields(folder, scale=scale, images=images, labels=labels)
    rows = []
    for files in found:
        whole = [name for name, band in files.bands.items() if len(band.sci) == len(band.wht) == 1]
        odd = [name for name in files.bands if name not in whole]
        levels = sum(
            isinstance(band.sky, Path) and band.sky.exists() for band in files.bands.values()
        )
        mapped = "yes" if files.labels and files.labels.exists() else "no"
        rows.append(
            (
                files.field,
                files.scale,
                " ".join(whole),
                ", ".join(f"{name}: check files" for name in odd),
                mapped,
                f"{levels}/{len(files.bands)}",
            )
        )
    if not rows:
        raise RecipeError(
            "HC-F01",
            f"no images in {folder}",
            "give the folder that holds the stamps, or --images PATTERN",
        )
    _table(
        ("field", "scale", "bands", "incomplete", "map", "sky"),
        rows,
        title=f"{len(rows)} in {folder}",
    )


@app.command()
def sky(
    folder: Folder,
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="Folder for sky_{field}_{band}.txt and the pictures."),
    ],
    field: Fields = None,
    scale: Scale = "60mas",
    images: Images = None,
    labels: Labels = None,
    method: Annotated[
        Literal["clipped", "original"],
        typer.Option(help="clipped, or original (the median of 2022)."),
    ] = "clipped",
    overwrite: Overwrite = False,
) -> None:
    """Measure the sky of every field and band; write levels that `run --sky` reads, and pictures of the histograms."""
    import warnings

    from hstcube.pipeline.runs import Outcome, exit_code, measure_levels, plan

    _require_outside(out, folder)
    outcomes, rows = [], []
    for target in plan(folder, field or [], [], scale=scale, images=images, labels=labels):
        outcome = Outcome(target)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", HstCubeWarning)
                outcome.files, levels = measure_levels(
                    target.files, out, method=method, overwrite=overwrite
                )
            rows += [
                (target.name, band, f"{level:.4e}", f"{error:.1e}")
                for band, level, error in zip(
                    levels.band.values, levels.values, levels.sky_error.values, strict=True
                )
            ]
        except HstCubeError as error:
            outcome.error = error
            rows.append((target.name, "", "failed", error.code))
        outcomes.append(outcome)
        _collect_again()
    _table(("field", "band", "level", "error"), rows, title=f"sky levels, per pixel, in {out}")
    _list_failures(outcomes)
    raise typer.Exit(exit_code(outcomes))


@app.command()
def run(
    source: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Folder of stamps, or a field file (.toml).")
    ],
    field: Fields = None,
    ids: Annotated[
        list[str] | None,
        typer.Option(
            help="Labels of a target: 943=22950,22951, or a further one: m3=3:24353,24350."
        ),
    ] = None,
    recipe: Annotated[
        str,
        typer.Option(
            help="default, original (what the pipeline of 2022 did), or a recipe file (.toml)."
        ),
    ] = "default",
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the products.")] = Path(
        "hstcube_out"
    ),
    no_mask: Annotated[
        bool, typer.Option("--no-mask", help="Use all pixels that have data.")
    ] = False,
    apply_mask: Annotated[
        bool,
        typer.Option("--apply-mask", help="Leave pixels outside the mask out of the FITS images."),
    ] = False,
    no_netcdf: Annotated[bool, typer.Option("--no-netcdf", help="Write FITS only.")] = False,
    noise: Annotated[
        Literal["wht", "variance"] | None,
        typer.Option(help="wht (inverse variance) or variance; variance for the original recipe."),
    ] = None,
    layout: Annotated[
        Literal["files", "mef"], typer.Option(help="files (three a band), or mef (one a band).")
    ] = "files",
    bands: Annotated[
        list[str] | None, typer.Option("--band", "-b", help="Only this band; may be repeated.")
    ] = None,
    scale: Scale = "60mas",
    onto: Annotated[
        str | None,
        typer.Option(
            help="Grid of the products: that of the images at a scale, or labels (that of the map)."
        ),
    ] = None,
    align: Annotated[
        Literal["report", "apply"],
        typer.Option(help="Of mixed scales that lie apart: report, or apply the shift."),
    ] = "report",
    images: Images = None,
    labels: Labels = None,
    sky: Annotated[
        str | None,
        typer.Option(help="Where levels are: a folder or a pattern; or measure; or none."),
    ] = None,
    to: To = None,
    psf: PSF = "auto",
    allow: Annotated[
        list[str] | None,
        typer.Option(help="A band that may miss the resolution of the others; may be repeated."),
    ] = None,
    strict: Strict = False,
    overwrite: Overwrite = False,
) -> None:
    """Make the homogeneous cube of every field: FITS by band, netCDF, and a record of the run."""
    from hstcube.pipeline.recipe import read_recipe
    from hstcube.pipeline.runs import Options, exit_code, plan
    from hstcube.pipeline.runs import run as run_targets

    if recipe not in ("default", "original") and not recipe.endswith(".toml"):
        msg = f"{recipe!r} is not one of default, original, or the name of a .toml file"
        raise typer.BadParameter(msg, param_hint="--recipe")
    settings: dict[str, Any] = (
        read_recipe(recipe) if recipe.endswith(".toml") else {"recipe": recipe}
    )
    settings |= {"to": to} if to else {}
    settings |= {"allow": list(allow)} if allow else {}
    _require_outside(out, source)
    place = None if sky in ("measure", "none") else sky
    targets = plan(
        source, field or [], ids or [], scale=scale, images=images, labels=labels, sky=place
    )
    options = Options(
        settings,
        tuple(bands or ()),
        not no_mask,
        sky if place is None else None,
        noise,
        layout,
        apply_mask,
        not no_netcdf,
        overwrite,
        strict,
        psf,
        onto,
        align,
    )
    with _Progress(len(targets)) as tell:
        outcomes = run_targets(targets, out, options, tell=tell)
    rows = [_row(outcome) for outcome in outcomes]
    done = sum(outcome.error is None for outcome in outcomes)
    _table(
        ("target", "result", "bands", "pixels", "sky", "warnings"),
        rows,
        title=f"{done} of {len(rows)} targets in {out}",
    )
    _list_failures(outcomes)
    raise typer.Exit(exit_code(outcomes))


@app.command()
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
    bands: Annotated[
        list[str] | None, typer.Option("--band", "-b", help="Only this band; may be repeated.")
    ] = None,
    images: Images = None,
    labels: Labels = None,
    overwrite: Overwrite = False,
) -> None:
    """Cut stamps of all bands out of mosaics, for every position of a catalogue."""
    from hstcube.pipeline.runs import SOME_FAILED
    from hstcube.pipeline.stamps import cut_stamps

    _require_outside(out, mosaics)
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
    lost = [stamp for stamp in stamps if not stamp.bands]
    rows = [
        (stamp.name, str(len(stamp.bands)) if stamp.bands else "on no mosaic", f"{stamp.share:.0%}")
        for stamp in stamps
        if stamp.share < 1
    ]
    title = f"stamps of {len(stamps) - len(lost)} of {len(stamps)} positions in {out}"
    if rows:
        _table(("id", "bands", "inside"), rows, title=title)
    else:
        typer.echo(_plain(title))
    raise typer.Exit(SOME_FAILED if lost else 0)


@app.command()
def check(
    source: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Folder of stamps, or a field file (.toml).")
    ],
    field: Fields = None,
    ids: Annotated[list[str] | None, typer.Option(help="As in run.")] = None,
    no_mask: Annotated[bool, typer.Option("--no-mask", help="As in run.")] = False,
    scale: Scale = "60mas",
    images: Images = None,
    labels: Labels = None,
    sky: Annotated[
        str | None, typer.Option(help="Where levels are: a folder or a pattern.")
    ] = None,
    to: To = None,
    psf: PSF = "auto",
    strict: Strict = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Find what a run would stumble over or assume; write nothing."""
    from hstcube.pipeline.findings import check as check_target
    from hstcube.pipeline.runs import SOME_FAILED, plan

    targets = plan(
        source, field or [], ids or [], scale=scale, images=images, labels=labels, sky=sky
    )
    reports = [
        check_target(target, masked=not no_mask, to=to or "f160w", psf=psf) for target in targets
    ]
    failed = [report for report in reports if report.fails(strict=strict)]
    if as_json:
        import dataclasses
        import json

        typer.echo(json.dumps([dataclasses.asdict(report) for report in reports], indent=1))
    else:
        for report in reports:
            _tell_report(report, failed=report in failed)
    code = (
        0
        if not failed
        else (HstCubeError.exit_code if len(failed) == len(reports) else SOME_FAILED)
    )
    raise typer.Exit(code)


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(help="A FITS file, a netCDF cube, or a folder of them.")],
    second: Annotated[Path, typer.Argument(help="Its counterpart.")],
    rtol: Annotated[
        float, typer.Option(help="Largest difference allowed, of the maximum of the image.")
    ] = 0.0,
) -> None:
    """Compare two products: exit 0 when all images agree within --rtol on the same pixels."""
    from hstcube.pipeline.differences import compare as compare_products
    from hstcube.pipeline.runs import SOME_FAILED

    found = compare_products(first, second)
    apart = [difference for difference in found if not difference.within(rtol)]
    rows = [
        (row.name, f"not in the {row.lacking}" if row.lacking else f"{row.largest:.3g}",
         str(row.support or ""), " ".join(row.cards))
        for row in found if row in apart or row.cards
    ]  # fmt: skip
    title = (
        f"{len(found) - len(apart)} of {len(found)} images agree within {rtol:g} of their maximum"
    )
    if rows:
        _table(
            ("image", "largest difference", "unlike support [px]", "unlike cards"),
            rows,
            title=title,
        )
    else:
        typer.echo(f"{title}, with the same cards")
    raise typer.Exit(SOME_FAILED if apart else 0)


psf_app = typer.Typer(no_args_is_help=True, help="Measure PSFs from stars, and look at them.")
app.add_typer(psf_app, name="psf")


@psf_app.command("measure")
def psf_measure(
    stars: Annotated[
        Path,
        typer.Argument(help="Folder of stamps of stars: {star}_{scale}_{filter}_{sci,wht}.fits."),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The FITS file; a picture and a table go beside it.")
    ],
    scale: Scale = "60mas",
    bands: Annotated[
        list[str] | None, typer.Option("--band", "-b", help="Only this band; may be repeated.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Measure the PSF of every band; say of every star what it was used for, and why not."""
    import io

    from hstcube.files.psfs import save_psf
    from hstcube.files.stars import open_stars
    from hstcube.fits.writing import require_free_names, write_files
    from hstcube.plots.cube import figure_bytes
    from hstcube.plots.psf import stars as draw_stars
    from hstcube.psf.stars import examine_stars, measure_psf, star_table

    picture, listing = out.with_suffix(".png"), out.with_suffix(".ecsv")
    require_free_names([out, picture, listing], overwrite=overwrite)
    examined = examine_stars(open_stars(stars, scale=scale, bands=bands))
    psf = measure_psf(examined)
    text = io.StringIO()
    star_table(examined).write(text, format="ascii.ecsv")
    save_psf(psf, out, overwrite=overwrite)
    write_files(
        {picture: figure_bytes(draw_stars(examined)), listing: text.getvalue().encode()},
        overwrite=overwrite,
    )
    names = examined.star.values.tolist()
    rows = []
    for i, name in enumerate(names):
        groups: dict[tuple[str, str], list[str]] = {}
        for band, verdict, reason in zip(
            examined.band.values, examined.verdict.values[i], examined.reason.values[i], strict=True
        ):
            groups.setdefault((verdict, reason), []).append(band)
        rows += [
            (name, verdict, " ".join(members), reason)
            for (verdict, reason), members in groups.items()
        ]
    _table(("star", "verdict", "bands", "why"), rows, title=f"{len(names)} stars")
    cells = [
        (band, f"{width:.3f}", used)
        for band, width, used in zip(
            psf.band.values, psf.fwhm.values, psf.stars.values, strict=True
        )
    ]
    _table(
        ("band", "FWHM [arcsec]", "stars"),
        cells,
        title=f"PSFs in {out}, stamps in {picture}, table in {listing}",
    )


@psf_app.command("show")
def psf_show(
    file: Annotated[
        Path,
        typer.Argument(help=f"FITS file of PSFs, or {', '.join(SURVEYS)} for a survey's table."),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Picture: PSFs, kernels, and curves of growth.")
    ] = Path("kernels.png"),
    to: Annotated[
        str, typer.Option(help="The band, or the width (0.6arcsec), to match.")
    ] = "f160w",
    overwrite: Overwrite = False,
) -> None:
    """Show what matching with these PSFs achieves: a table of the kernels, and a picture."""
    from hstcube.core.bands import band_name
    from hstcube.files.psfs import open_psf
    from hstcube.fits.writing import write_files
    from hstcube.plots.cube import figure_bytes
    from hstcube.plots.psf import growth, images
    from hstcube.psf.kernels import matched_psf, matching_kernels
    from hstcube.psf.quality import psf_quality
    from hstcube.surveys.models import survey_psf

    known = survey_psf(str(file), 0.06) if str(file) in SURVEYS else None
    psf = open_psf(file) if known is None else known
    to = to if to.endswith("arcsec") else band_name(to)
    kernels = matching_kernels(psf, to=to)
    rows = [
        (band, f"{values[0]:.2%}", f"{values[1]:.1%}", f"{values[2]:.2f}", f"{values[3]:.3f}")
        for band, *values in zip(
            psf.band.values,
            kernels.ee_error.values,
            kernels.residual.values,
            kernels.negative.values,
            kernels.half_light_ratio.values,
            strict=True,
        )
    ]
    curves = out.with_stem(f"{out.stem}_growth")
    ratios = growth(psf_quality(psf, to=to), psf_quality(matched_psf(psf, kernels), to=to))
    pictures = {out: images(psf, kernels), curves: ratios}
    write_files(
        {path: figure_bytes(figure) for path, figure in pictures.items()}, overwrite=overwrite
    )
    _table(
        ("band", "encircled energy off by", "residual", "negative part", "half-light ratio"),
        rows,
        title=f"matched to {to} (encircled energy at 0.18 arcsec and beyond); pictures in {out} and {curves}",
    )


@app.command()
def demo(
    out: Annotated[Path, typer.Argument(help="Folder for stamps, products and picture.")] = Path(
        "hstcube_demo"
    ),
    seed: Annotated[int, typer.Option(help="Of what is random in the field.")] = 1,
    overwrite: Overwrite = False,
) -> None:
    """Make up a field, do the whole job on it, and compare the result with the truth."""
    from hstcube.demo.truth import demo as run_demo

    rows, places = run_demo(out, seed=seed, overwrite=overwrite)
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
    columns = ("band", "flux / truth", "rim bias [mag]", "masked first", "flux / scene", "rim / scene [mag]",
               "core / scene", "with Gaussians")  # fmt: skip
    _table(columns, cells, title="the galaxy of the demo field against its truth")
    typer.echo(
        "truth: noise-free images, convolved with the same kernels, then masked; scene: the true scene at the true"
    )
    typer.echo(
        "PSF of F160W; rim: colour of the mask's outermost ring, against F160W; core: within 0.18 arcsec"
    )
    typer.echo(f"stamps    {places['stamps']}    (truth.nc: noise-free images, PSFs, fluxes)")
    typer.echo(f"products  {places['products']}\npicture   {places['picture']}")
    typer.echo("try next:")
    typer.echo(f"  hstcube check {places['stamps']}")
    typer.echo(f"  hstcube run {places['stamps']} --recipe original -o {out / 'original'}")
    typer.echo(
        f"  python -c \"import hstcube; print(hstcube.open_field('{places['products']}', 'demo'))\""
    )


Source = Annotated[
    Path,
    typer.Argument(
        metavar="SOURCE",
        help="A saved cube (.nc), or a folder of products or stamps (with -f FIELD).",
    ),
]
Field = Annotated[str | None, typer.Option("--field", "-f", help="Which field of a folder.")]


@app.command()
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
    groups: Annotated[
        Path | None, typer.Option(help="Map of groups on the cube's grid, as bin writes it.")
    ] = None,
    redshift: Annotated[
        float | None, typer.Option(help="Of the object, where it is known.")
    ] = None,
    floor: Annotated[
        float, typer.Option(help="Share of the flux that is added to its error.")
    ] = 0.05,
    scale: Scale = "60mas",
    overwrite: Overwrite = False,
) -> None:
    """Write what an SED-fitting code needs to start: the table of fluxes, filter curves, a script, a README."""
    from hstcube.fits.writing import require_free_names, write_files
    from hstcube.phot.bins import bin_pixels
    from hstcube.pipeline.sources import groups_bytes, open_groups, open_source
    from hstcube.sed import each_pixel, to_sed

    if sum((bins is not None, pixels, groups is not None)) > 1:
        msg = "choose one of --bins, --pixels and --groups"
        raise typer.BadParameter(msg, param_hint="--bins")
    out = Path(code) if out is None else out
    with _told_warnings():
        cube = open_source(source, field=field, scale=scale)
        if bins is not None:
            chosen = bin_pixels(cube, snr=bins)
        else:
            chosen = each_pixel(cube) if pixels else open_groups(cube, groups=groups)
        require_free_names([out / "groups.fits"], overwrite=overwrite)
        files = to_sed(
            cube, code, out, groups=chosen, redshift=redshift, floor=floor, overwrite=overwrite
        )
        files += write_files({out / "groups.fits": groups_bytes(chosen)}, overwrite=overwrite)
    typer.echo(_plain(f"{len(files)} files for {code} in {out}; start with {out / 'README'}"))


@app.command("bin")
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
    scale: Scale = "60mas",
    overwrite: Overwrite = False,
) -> None:
    """Put the pixels of the mask into bins that reach a signal to noise."""
    import numpy as np

    from hstcube.fits.writing import require_free_names, write_files
    from hstcube.phot.bins import bin_pixels
    from hstcube.pipeline.sources import groups_bytes, open_source
    from hstcube.plots.cube import figure_bytes
    from hstcube.plots.fluxes import bin_map

    picture = out.with_suffix(".png")
    require_free_names([out, picture], overwrite=overwrite)
    with _told_warnings():
        cube = open_source(source, field=field, scale=scale)
        bins = bin_pixels(cube, snr=snr, bands=bands, mode=mode, sed_shape=sed_shape)
        files = {out: groups_bytes(bins), picture: figure_bytes(bin_map(cube, bins))}
    write_files(files, overwrite=overwrite)
    sizes = np.bincount(bins.values.ravel())[1:]
    typer.echo(
        f"{sizes.size} bins of {sizes.sum()} pixels: {int((sizes == 1).sum())} of one, the largest of {sizes.max()}; "
        f"{len(bins.attrs['below_target'])} islands below S/N {snr:g}"
    )
    typer.echo(_plain(f"bins      {out}\npicture   {picture}"))


@app.command()
def phot(
    source: Source,
    field: Field = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The table: .ecsv, .fits or .parquet.")
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
    scale: Scale = "60mas",
    overwrite: Overwrite = False,
) -> None:
    """Measure fluxes and errors of the object, of bins, or of all objects of a map."""
    from hstcube.files.tables import write_table
    from hstcube.fits.writing import require_free_names
    from hstcube.phot.table import photometry
    from hstcube.phot.units import deredden
    from hstcube.pipeline.sources import open_groups, open_source

    if groups is not None and labels is not None:
        msg = "give one of --groups and --labels"
        raise typer.BadParameter(msg, param_hint="--labels")
    require_free_names([out], overwrite=overwrite)
    with _told_warnings():
        cube = open_source(source, field=field, scale=scale)
        chosen = open_groups(cube, groups=groups, labels=labels)
        cube = cube if ebv is None else deredden(cube, ebv, law=law)
        table = photometry(
            cube,
            chosen,
            partial=partial,
            pixels="data" if labels is not None else "mask",
            total=total,
        )
    write_table(table, out, overwrite=overwrite)
    rows = [
        (
            str(row["id"]),
            str(row["npix"]),
            name,
            *(f"{row[f'{kind}_{name}'].value:.4g}" for kind in ("flux", "error")),
        )
        for row in table[:_ROWS]
        for name in table.meta["pivot"]
    ]
    more = f"; the first {_ROWS} below" if len(table) > _ROWS else ""
    title = f"fluxes of {len(table)} groups in {out}{more}"
    _table(("group", "pixels", "band", "flux [uJy]", "error"), rows, title=title)


@app.command()
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
            help="Measure the noise on these fields, instead of taking the survey's table.",
        ),
    ] = False,
    scale: Scale = "60mas",
    overwrite: Overwrite = False,
) -> None:
    """Compare what the noise of single pixels and of groups should be with empty apertures on the sky."""
    from hstcube.files.tables import write_table
    from hstcube.fits.writing import require_free_names, write_files
    from hstcube.noise.calibration import calibrate_noise
    from hstcube.noise.description import with_noise
    from hstcube.noise.empty_apertures import noise_check
    from hstcube.pipeline.sources import open_with_maps
    from hstcube.plots.cube import figure_bytes
    from hstcube.plots.noise import noise_curve

    listed = out.with_suffix(".ecsv")
    require_free_names([out, listed], overwrite=overwrite)
    with _told_warnings():
        cubes, maps = open_with_maps(folder, fields=field or (), scale=scale)
        known = calibrate_noise(cubes, background=maps) if measure else None
        table = noise_check([with_noise(cube, known) for cube in cubes], background=maps)
        picture = figure_bytes(noise_curve(table))
    write_table(table, listed, overwrite=overwrite)
    write_files({out: picture}, overwrite=overwrite)
    rows = [
        (row["band"], f"{row['size']}x{row['size']}", str(row["number"]), f"{row['predicted']:.3g}",
         f"{row['ratio']:.2f}", f"{row['constant']:.2f}")
        for row in table
    ]  # fmt: skip
    columns = ("band", "pixels", "apertures", "error", "scatter / error", "with a constant sky")
    _table(columns, rows, title=f"noise of {len(cubes)} fields, in {out} and {listed}")


@contextlib.contextmanager
def _told_warnings() -> Iterator[None]:
    """Say warnings in one line each, on stderr."""
    import warnings

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for text in dict.fromkeys(
        str(one.message) for one in caught if issubclass(one.category, HstCubeWarning)
    ):
        print(_plain(f"warning: {text}"), file=sys.stderr)  # noqa: T201


def main() -> NoReturn:
    """Run the command line; errors become one message and an exit code."""
    # until the first target is done: looking through what modules load takes a quarter of the start
    gc.disable()
    signal.signal(signal.SIGTERM, _terminate)
    try:
        result = app(standalone_mode=False)
    except HstCubeError as error:
        _fail(error, error.exit_code)
    except _UsageError as error:
        error.show()
        sys.exit(USAGE)
    except (KeyboardInterrupt, typer.Abort):
        print("interrupted; files that are there are whole", file=sys.stderr)  # noqa: T201
        sys.exit(INTERRUPTED)
    except Exception as error:
        _fail(error, INTERNAL)
    sys.exit(result if isinstance(result, int) else 0)


def _collect_again() -> None:
    """Look for garbage again, after the first target: what is loaded by then stays, and is not looked through."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()


def _fail(error: Exception, code: int) -> NoReturn:
    if _state["debug"]:
        raise error
    said = (
        str(error)
        if isinstance(error, HstCubeError)
        else f"internal: {type(error).__name__}: {error} (--debug shows where; please report it)"
    )
    print(_plain(f"error: {said}"), file=sys.stderr)  # noqa: T201
    sys.exit(code)


def _terminate(*_: object) -> NoReturn:
    sys.exit(TERMINATED)


def _require_outside(out: Path, source: Path) -> None:
    folder = source.resolve().parent if source.suffix == ".toml" else source.resolve()
    if source.suffix != ".toml" and (out.resolve() == folder or folder in out.resolve().parents):
        raise WriteError(
            "HC-O06",
            f"the output folder {out} lies inside {source}",
            "choose another one with -o",
            file=str(out),
        )


def _tell_report(report: Report, *, failed: bool) -> None:
    """Print what was found of one target: errors with their fixes, warnings, assumptions."""
    result = "will fail" if failed else "ok"
    typer.echo(
        _plain(f"{report.target}: {result}; {len(report.bands)} bands: {' '.join(report.bands)}")
    )
    for kind in ("error", "warning", "note"):
        for finding in report.of(kind):
            where = ", ".join(filter(None, (finding.file, finding.band and f"band {finding.band}")))
            code = f"{finding.code} " if finding.code else ""
            typer.echo(_plain(f"  {kind}: {code}{where}{': ' * bool(where)}{finding.text}"))
            if finding.fix:
                typer.echo(_plain(f"    fix: {finding.fix}"))


def _row(outcome: Outcome) -> tuple[str, ...]:
    if outcome.error:
        return (outcome.target.name, "failed", "", "", "", outcome.error.code)
    counts = ", ".join(sorted({note.split()[0] for note in outcome.notes}))
    return (
        outcome.target.name,
        "ok",
        str(len(outcome.bands)),
        str(outcome.pixels),
        outcome.sky,
        counts,
    )


def _list_failures(outcomes: list[Outcome]) -> None:
    """Say why targets failed, and what was assumed: of each kind the first few, the rest is in the record."""
    notes: dict[str, dict[str, list[str]]] = {}
    for outcome in outcomes:
        if outcome.error:
            print(_plain(f"{outcome.target.name}: {outcome.error}"), file=sys.stderr)  # noqa: T201
        for note in outcome.notes:
            notes.setdefault(note.split()[0], {}).setdefault(note, []).append(outcome.target.name)
    for code, texts in notes.items():
        for note, names in list(texts.items())[:_TOLD]:
            listed = ", ".join(names[:_LISTED]) + (
                f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
            )
            print(_plain(f"warning: {note} [{listed}]"), file=sys.stderr)  # noqa: T201
        if len(texts) > _TOLD:
            print(
                f"warning: {code} in {len(texts) - _TOLD} more forms, see run.json", file=sys.stderr
            )


def _plain(text: str) -> str:
    """Return text without control characters: headers and file names may hold escape codes."""
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in text)


def _console(file: Any) -> Console:
    from rich.console import Console

    return Console(
        file=file, width=None if file.isatty() else 160, highlight=False, soft_wrap=False
    )


def _table(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]], *, title: str) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    keep = [i for i in range(len(columns)) if any(row[i] for row in rows)]
    table = Table(*(columns[i] for i in keep), box=box.SIMPLE_HEAD)
    for row in rows:
        table.add_row(*(Text(_plain(row[i])) for i in keep))
    print(_plain(title))  # noqa: T201  a table folds its own title to its width
    _console(sys.stdout).print(table)


class _Progress:
    """A bar on a terminal, a line for each target otherwise; to stderr."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.done = 0
        self.bar: Any = None

    def __enter__(self) -> Any:
        if sys.stderr.isatty():
            from rich.progress import (
                BarColumn,
                MofNCompleteColumn,
                Progress,
                TextColumn,
                TimeRemainingColumn,
            )

            self.bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                console=_console(sys.stderr),
                transient=True,
            )
            self.task = self.bar.add_task("targets", total=self.total)
            self.bar.start()
        return self.tell

    def tell(self, outcome: Outcome) -> None:
        self.done += 1
        _collect_again()
        if self.bar is not None:
            self.bar.update(self.task, advance=1, description=f"{outcome.target.name}")
        else:
            said = f"failed, {outcome.error.code}" if outcome.error else "ok"
            print(
                f"[{self.done}/{self.total}] {_plain(outcome.target.name)}: {said}",
                file=sys.stderr,
                flush=True,
            )

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.stop()
