"""Arguments and options that commands share, and what is made of those of `run` and `check`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from hstcube.errors import HstCubeError
    from hstcube.pipeline.options import Chunks, Options, Sky
    from hstcube.pipeline.plan import Target

__all__ = [
    "PSF",
    "AlignOf",
    "Allow",
    "ApplyMask",
    "Bands",
    "ChunksOf",
    "Exclude",
    "Field",
    "FieldList",
    "Fields",
    "Folder",
    "FolderOrFile",
    "Groups",
    "Ids",
    "Images",
    "Labels",
    "Largest",
    "LayoutOf",
    "Levels",
    "NeighboursOf",
    "NoMask",
    "NoNetcdf",
    "NoiseOf",
    "Onto",
    "Overwrite",
    "PSFWidths",
    "Pivots",
    "Poisson",
    "Recipe",
    "Scale",
    "Source",
    "Strict",
    "To",
    "Units",
    "by_band",
    "options_of",
    "targets_of",
]

ChunksOf = Annotated[
    str,
    typer.Option(
        "--chunks",
        help="Make fields in blocks of so many pixels a side; auto: of 1024 where the images would "
        "fill a quarter of the memory; none: whole.",
    ),
]
Folder = Annotated[
    Path,
    typer.Argument(
        help="Folder of images ({field}_{scale}_{filter}_{sci,wht}.fits, or as a release calls "
        "them), in it or in its new_stamps."
    ),
]
FolderOrFile = Annotated[
    Path, typer.Argument(metavar="FOLDER", help="Folder of images, or a field file (.toml).")
]
Source = Annotated[
    Path,
    typer.Argument(
        metavar="SOURCE",
        help="A saved cube (.nc or .zarr), or a folder of products or stamps (with -f FIELD).",
    ),
]
Field = Annotated[str | None, typer.Option("--field", "-f", help="Which field of a folder.")]
Fields = Annotated[
    list[str] | None,
    typer.Option("--field", "-f", help="A field; may be repeated. All when not given."),
]
FieldList = Annotated[
    Path | None,
    typer.Option("--fields", help="A file of fields: one a line, or a table with a column id."),
]
Ids = Annotated[
    list[str] | None,
    typer.Option(help="Labels of a target: 943=22950,22951, or a further one: m3=3:24353,24350."),
]
Bands = Annotated[
    list[str] | None, typer.Option("--band", "-b", help="Only this band; may be repeated.")
]
Scale = Annotated[
    str | None,
    typer.Option(
        help="Label of the pixel scale in the file names; mixed: each band at the finest there is. "
        "60mas when not given, or the only one of a release."
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
    typer.Option(
        help="Where segmentation maps are: a file, a folder, or a pattern with {field}; DS9 "
        "regions (.reg); or detect: the sources are found in the images."
    ),
]
Exclude = Annotated[
    str | None,
    typer.Option(help="DS9 regions (.reg) that are neither object nor sky."),
]
Groups = Annotated[
    Path | None, typer.Option(help="Map of groups on the cube's grid, as bin writes it.")
]
Recipe = Annotated[
    str,
    typer.Option(
        help="default, original (what the pipeline of 2022 did), or a recipe file (.toml)."
    ),
]
Largest = Annotated[
    bool, typer.Option("--largest", help="Keep only the largest piece of an object.")
]
NeighboursOf = Annotated[
    Literal["mask", "replace", "subtract"] | None,
    typer.Option(
        help="Other sources of the map: mask (after the matching, as if not given); replace by sky "
        "before it, which else spreads their light into the object; or subtract, the light around "
        "them too."
    ),
]
NoMask = Annotated[bool, typer.Option("--no-mask", help="Use all pixels that have data.")]
Onto = Annotated[
    str | None,
    typer.Option(
        help="Grid of the products: that of a band (f160w), of the images at a scale (60mas), or "
        "labels (that of the map)."
    ),
]
AlignOf = Annotated[
    Literal["report", "apply"] | None,
    typer.Option(
        help="Of mixed scales that lie apart: report (as if not given), or apply the shift."
    ),
]
Levels = Annotated[
    str | None,
    typer.Option(help="Where levels are: a folder or a pattern; or measure; or none."),
]
To = Annotated[
    str | None,
    typer.Option(
        help="What to match: a band, or a width such as 0.3arcsec; when not given, f160w for HST "
        "surveys, else the band that all others can be matched to."
    ),
]
Units = Annotated[
    str | None,
    typer.Option(help="Unit of the cube, e.g. uJy: bands of different units become one cube."),
]
PSF = Annotated[
    list[str] | None,
    typer.Option(
        help="auto (psf_{scale}.fits beside the images, or the survey's table, or Gaussian "
        "widths; as if not given), the name of a survey, gaussian, or a FITS file of PSFs; "
        "BAND=FILE or BAND=FILE[EXT] for the PSF of one band, may be repeated."
    ),
]
PSFWidths = Annotated[
    list[str] | None,
    typer.Option(
        "--psf-fwhm",
        metavar="BAND=ARCSEC",
        help="FWHM of the PSF of a band, e.g. f160w=0.18; may be repeated.",
    ),
]
Pivots = Annotated[
    list[str] | None,
    typer.Option(
        "--pivot",
        metavar="BAND=ANGSTROM",
        help="Pivot wavelength of a filter that no table has, e.g. f999x=15000; may be repeated.",
    ),
]
Allow = Annotated[
    list[str] | None,
    typer.Option(help="A band that may miss the resolution of the others; may be repeated."),
]
ApplyMask = Annotated[
    bool,
    typer.Option("--apply-mask", help="Leave pixels outside the mask out of the FITS images."),
]
NoNetcdf = Annotated[bool, typer.Option("--no-netcdf", help="Write FITS only.")]
NoiseOf = Annotated[
    Literal["wht", "variance"] | None,
    typer.Option(help="wht (inverse variance) or variance; variance for the original recipe."),
]
LayoutOf = Annotated[
    Literal["files", "mef", "netcdf"],
    typer.Option(help="FITS: files (three a band), or mef (one a band); or netcdf, one a field."),
]
Poisson = Annotated[
    str | None,
    typer.Option(
        help="Photon noise of the sources: auto (where the exposure time is known), none, seconds, "
        "or a FITS map of them; none for the original recipe."
    ),
]
Strict = Annotated[bool, typer.Option("--strict", help="Take every warning for an error.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")]


_OF_A_BAND = re.compile(r"[\w-]+=")  # a path before = would have a point or a slash


def targets_of(
    source: Path,
    field: list[str] | None,
    ids: list[str] | None,
    *,
    sky: str | None,
    fields: Path | None = None,
    pivot: list[str] | None = None,
    refuse: Callable[[HstCubeError], None] | None = None,
    **places: Any,
) -> list[Target]:
    """Return the targets of `run` and `check`; `sky` may be a place where levels are."""
    from hstcube.pipeline.plan import plan, with_pivots

    if fields is not None:
        from hstcube.jobs.fields import field_names

        field = [*(field or ()), *field_names(fields)]
    place = None if sky in ("measure", "none") else sky
    targets = plan(source, field or [], ids or [], sky=place, refuse=refuse, **places)
    pivots = {band: _number(text) for band, text in by_band(pivot, "--pivot").items()}
    return with_pivots(targets, pivots) if pivots else targets


def options_of(
    *,
    recipe: str,
    to: str | None,
    allow: list[str] | None,
    largest: bool,
    bands: list[str] | None,
    sky: str | None,
    psf: list[str] | None,
    psf_fwhm: list[str] | None,
    poisson: str | None,
    neighbours: str | None = None,
    chunks: str = "auto",
    **how: Any,
) -> Options:
    """Return what `run` and `check` were asked for; options go before what a recipe file says."""
    from hstcube.pipeline.options import Options
    from hstcube.pipeline.photons import photon_option

    settings = _recipe(recipe)
    settings |= {"to": to} if to else {}
    settings |= {"allow": list(allow)} if allow else {}
    settings |= {"largest": True} if largest else {}
    settings |= {} if poisson is None else {"poisson": photon_option(poisson)}
    settings |= {} if neighbours is None else {"neighbours": neighbours}
    level = cast("Sky", sky) if sky in ("measure", "none") else None
    widths = {band: _arcsec(text) for band, text in by_band(psf_fwhm, "--psf-fwhm").items()}
    return Options(
        recipe=settings,
        bands=tuple(bands or ()),
        sky=level,
        psf=_psfs(psf),
        psf_fwhm=widths,
        chunks=_chunks(chunks),
        **how,
    )


def _chunks(text: str) -> Chunks:
    if text in ("auto", "none"):
        return "auto" if text == "auto" else None
    try:
        return int(text)
    except ValueError:
        msg = f"{text!r} is not auto, none, or a number of pixels"
        raise typer.BadParameter(msg, param_hint="--chunks") from None


def _psfs(given: list[str] | None) -> str | dict[str, str]:
    """Return what --psf says: a word or a file for all bands, and files of single ones."""
    alone = [text for text in given or () if not _OF_A_BAND.match(text)]
    if len(alone) > 1:
        msg = f"{' and '.join(alone)} are each for all bands; name the bands, as in f160w=FILE"
        raise typer.BadParameter(msg, param_hint="--psf")
    named = by_band([text for text in given or () if text not in alone], "--psf")
    others = alone[0] if alone else "auto"
    return named | {"others": others} if named else others


def by_band(given: list[str] | None, option: str) -> dict[str, str]:
    """Return what an option says of each band, of texts such as f160w=0.18."""
    pairs = [text.partition("=")[::2] for text in given or ()]
    for text, (band, said) in zip(given or (), pairs, strict=True):
        if not band or not said:
            msg = f"{text!r} is not a band and what is said of it, as in f160w=..."
            raise typer.BadParameter(msg, param_hint=option)
    return dict(pairs)


def _number(text: str) -> float | str:
    """Return a number, or a text that has a unit: 15000, 1.5um."""
    try:
        return float(text)
    except ValueError:
        return text


def _arcsec(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        msg = f"{text!r} is not a number [arcsec]"
        raise typer.BadParameter(msg, param_hint="--psf-fwhm") from None


def _recipe(name: str) -> dict[str, Any]:
    from hstcube.pipeline.recipe import read_recipe

    if name.endswith(".toml"):
        return read_recipe(name)
    if name not in ("default", "original"):
        msg = f"{name!r} is not one of default, original, or the name of a .toml file"
        raise typer.BadParameter(msg, param_hint="--recipe")
    return {"recipe": name}
