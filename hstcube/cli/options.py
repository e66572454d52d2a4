"""Arguments and options that commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from hstcube.terminal import panels

__all__ = [
    "PSF",
    "AlignOf",
    "Allow",
    "ApplyMask",
    "AsJson",
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
    "Jobs",
    "Labels",
    "Largest",
    "LayoutOf",
    "Levels",
    "MeasureNoise",
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
    "ReportOf",
    "Resume",
    "Scale",
    "Scheduler",
    "Source",
    "Strict",
    "To",
    "Units",
]

ChunksOf = Annotated[
    str,
    typer.Option(
        "--chunks",
        help="Make fields in blocks of so many pixels a side; auto: of 1024 where the images would "
        "fill a quarter of the memory; none: whole.",
        metavar="PIXELS",
        rich_help_panel=panels.RUNNING,
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
Field = Annotated[
    str | None,
    typer.Option(
        "--field",
        "-f",
        help="Which field of a folder.",
        metavar="FIELD",
        rich_help_panel=panels.WHICH,
    ),
]
Fields = Annotated[
    list[str] | None,
    typer.Option(
        "--field",
        "-f",
        help="A field; may be repeated. All when not given.",
        metavar="FIELD",
        rich_help_panel=panels.WHICH,
    ),
]
FieldList = Annotated[
    Path | None,
    typer.Option(
        "--fields",
        help="A file of fields: one a line, or a table with a column id.",
        metavar="FILE",
        rich_help_panel=panels.WHICH,
    ),
]
Ids = Annotated[
    list[str] | None,
    typer.Option(
        help="Labels of a target: 943=22950,22951, or a further one: m3=3:24353,24350.",
        metavar="LABELS",
        rich_help_panel=panels.WHICH,
    ),
]
Bands = Annotated[
    list[str] | None,
    typer.Option(
        "--band",
        "-b",
        help="Only this band; may be repeated.",
        metavar="BAND",
        rich_help_panel=panels.WHICH,
    ),
]
Scale = Annotated[
    str | None,
    typer.Option(
        help="Label of the pixel scale in the file names; mixed: each band at the finest there is. "
        "60mas when not given, or the only one of a release.",
        metavar="SCALE",
        rich_help_panel=panels.WHICH,
    ),
]
Images = Annotated[
    str | None,
    typer.Option(
        help="Where images are: a folder, or a pattern with {field}, {scale}, {band}, {kind}.",
        metavar="WHERE",
        rich_help_panel=panels.INPUTS,
    ),
]
Labels = Annotated[
    str | None,
    typer.Option(
        help="Where segmentation maps are: a file, a folder, or a pattern with {field}; DS9 "
        "regions (.reg); or detect: the sources are found in the images.",
        metavar="WHERE",
        rich_help_panel=panels.INPUTS,
    ),
]
Exclude = Annotated[
    str | None,
    typer.Option(
        help="DS9 regions (.reg) that are neither object nor sky.",
        metavar="FILE",
        rich_help_panel=panels.INPUTS,
    ),
]
Groups = Annotated[
    Path | None,
    typer.Option(
        help="Map of groups on the cube's grid, as bin writes it.",
        metavar="FILE",
        rich_help_panel=panels.INPUTS,
    ),
]
Recipe = Annotated[
    str,
    typer.Option(
        help="default, original (what the pipeline of 2022 did), or a recipe file (.toml).",
        metavar="NAME",
        rich_help_panel=panels.RUNNING,
    ),
]
Largest = Annotated[
    bool,
    typer.Option(
        "--largest", help="Keep only the largest piece of an object.", rich_help_panel=panels.MASK
    ),
]
NeighboursOf = Annotated[
    Literal["mask", "replace", "subtract"] | None,
    typer.Option(
        help="Other sources of the map: mask (after the matching, as if not given); replace by sky "
        "before it, which else spreads their light into the object; or subtract, the light around "
        "them too.",
        rich_help_panel=panels.MASK,
    ),
]
NoMask = Annotated[
    bool,
    typer.Option("--no-mask", help="Use all pixels that have data.", rich_help_panel=panels.MASK),
]
Onto = Annotated[
    str | None,
    typer.Option(
        help="Grid of the products: that of a band (f160w), of the images at a scale (60mas), or "
        "labels (that of the map).",
        metavar="GRID",
        rich_help_panel=panels.GRID,
    ),
]
AlignOf = Annotated[
    Literal["report", "apply"] | None,
    typer.Option(
        help="Of mixed scales that lie apart: report (as if not given), or apply the shift.",
        rich_help_panel=panels.GRID,
    ),
]
Levels = Annotated[
    str | None,
    typer.Option(
        help="Where levels are: a folder or a pattern; or measure; or none.",
        metavar="WHERE",
        rich_help_panel=panels.INPUTS,
    ),
]
To = Annotated[
    str | None,
    typer.Option(
        help="What to match: a band, or a width such as 0.3arcsec; when not given, f160w for HST "
        "surveys, else the band that all others can be matched to.",
        metavar="BAND|WIDTH",
        rich_help_panel=panels.PSF,
    ),
]
Units = Annotated[
    str | None,
    typer.Option(
        help="Unit of the cube, e.g. uJy: bands of different units become one cube.",
        metavar="UNIT",
        rich_help_panel=panels.GRID,
    ),
]
PSF = Annotated[
    list[str] | None,
    typer.Option(
        help="auto (psf_{scale}.fits beside the images, or the survey's table, or Gaussian "
        "widths; as if not given), the name of a survey, gaussian, or a FITS file of PSFs; "
        "BAND=FILE or BAND=FILE[EXT] for the PSF of one band, may be repeated.",
        metavar="PSF",
        rich_help_panel=panels.PSF,
    ),
]
PSFWidths = Annotated[
    list[str] | None,
    typer.Option(
        "--psf-fwhm",
        metavar="BAND=ARCSEC",
        help="FWHM of the PSF of a band, e.g. f160w=0.18; may be repeated.",
        rich_help_panel=panels.PSF,
    ),
]
Pivots = Annotated[
    list[str] | None,
    typer.Option(
        "--pivot",
        metavar="BAND=ANGSTROM",
        help="Pivot wavelength of a filter that no table has, e.g. f999x=15000; may be repeated.",
        rich_help_panel=panels.INPUTS,
    ),
]
Allow = Annotated[
    list[str] | None,
    typer.Option(
        help="A band that may miss the resolution of the others; may be repeated.",
        metavar="BAND",
        rich_help_panel=panels.PSF,
    ),
]
ApplyMask = Annotated[
    bool,
    typer.Option(
        "--apply-mask",
        help="Leave pixels outside the mask out of the FITS images.",
        rich_help_panel=panels.OUTPUT,
    ),
]
NoNetcdf = Annotated[
    bool, typer.Option("--no-netcdf", help="Write FITS only.", rich_help_panel=panels.OUTPUT)
]
NoiseOf = Annotated[
    Literal["wht", "variance"] | None,
    typer.Option(
        help="wht (inverse variance) or variance; variance for the original recipe.",
        rich_help_panel=panels.OUTPUT,
    ),
]
LayoutOf = Annotated[
    Literal["files", "mef", "netcdf"],
    typer.Option(
        help="FITS: files (three a band), or mef (one a band); or netcdf, one a field.",
        rich_help_panel=panels.OUTPUT,
    ),
]
Poisson = Annotated[
    str | None,
    typer.Option(
        help="Photon noise of the sources: auto (where the exposure time is known), none, seconds, "
        "or a FITS map of them; none for the original recipe.",
        metavar="SECONDS|FILE",
        rich_help_panel=panels.GRID,
    ),
]
MeasureNoise = Annotated[
    bool,
    typer.Option(
        "--measure-noise",
        help="Measure on its own blank sky how the noise of a field is correlated, where no table "
        "knows it; else it is taken as white.",
        rich_help_panel=panels.GRID,
    ),
]
Strict = Annotated[
    bool,
    typer.Option(
        "--strict", help="Take every warning for an error.", rich_help_panel=panels.RUNNING
    ),
]
Jobs = Annotated[
    int,
    typer.Option("--jobs", "-j", help="Processes; 0: one a core.", rich_help_panel=panels.RUNNING),
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        help="Of a dask cluster that makes the fields, as tcp://host:8786.",
        metavar="ADDRESS",
        rich_help_panel=panels.RUNNING,
    ),
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Go on where a run ended: make what is not done.",
        rich_help_panel=panels.RUNNING,
    ),
]
ReportOf = Annotated[
    bool,
    typer.Option(
        "--report",
        help="A page for each field too; see `hstcube report`.",
        rich_help_panel=panels.OUTPUT,
    ),
]
AsJson = Annotated[
    bool,
    typer.Option(
        "--json", help="Print what was found as JSON, instead.", rich_help_panel=panels.OUTPUT
    ),
]
Overwrite = Annotated[
    bool,
    typer.Option("--overwrite", help="Replace files that exist.", rich_help_panel=panels.OUTPUT),
]
