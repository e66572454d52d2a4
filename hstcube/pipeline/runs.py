"""Many targets in one go: read, homogenize, write, and keep a record. What `hstcube run` and `hstcube sky` do."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from hstcube import __version__
from hstcube.core.bands import band_name
from hstcube.core.grids import Grid
from hstcube.errors import HstCubeError, HstCubeWarning, LabelError, RecipeError, WriteError
from hstcube.files.cubes import Layout, Noise, save_cube, to_fits
from hstcube.files.labels import open_labels
from hstcube.files.levels import level_text, read_levels
from hstcube.fits.writing import require_free_names, sweep, write_files
from hstcube.pipeline.assemble import PSF_WORDS, Align, open_files
from hstcube.pipeline.recipe import blank_sky, homogenize
from hstcube.regridding.resample import regrid
from hstcube.sky.level import Method, measure_sky
from hstcube.surveys.field_file import read_field_file
from hstcube.surveys.names import (
    SKY_SCALE,
    FieldFiles,
    checked_name,
    find_field,
    list_fields,
    scale_of_label,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = ["Options", "Outcome", "Target", "exit_code", "measure_levels", "plan", "run"]

RECORD = "run.json"
LABELS = "labels"  # in place of a pixel scale: the grid of the segmentation map
SOME_FAILED = 5

_TARGET = re.compile(r"(?P<name>[^=]+)=(?:(?P<field>[^:]+):)?(?P<ids>\d+(?:,\d+)*)")


@dataclass(frozen=True)
class Target:
    """An object to make a cube of: a name, the files of its field, and its labels' ids (none: the central one)."""

    name: str
    files: FieldFiles
    ids: tuple[int, ...] = ()


@dataclass(frozen=True)
class Options:
    """How a run is done; `recipe` holds keyword arguments of `homogenize`."""

    recipe: dict[str, Any] = dataclasses.field(default_factory=dict)
    bands: tuple[str, ...] = ()
    masked: bool = True
    sky: str | None = None
    noise: Noise | None = None
    layout: Layout = "files"
    apply_mask: bool = False
    netcdf: bool = True
    overwrite: bool = False
    strict: bool = False
    psf: str = "auto"
    onto: str | None = None
    align: Align = "report"


@dataclass
class Outcome:
    """What became of a target."""

    target: Target
    error: HstCubeError | None = None
    files: list[Path] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)
    bands: tuple[str, ...] = ()
    pixels: int = 0
    sky: str = ""
    record: dict[str, Any] = dataclasses.field(default_factory=dict)


def plan(
    source: str | Path,
    fields: Sequence[str],
    ids: Sequence[str],
    *,
    scale: str,
    **places: str | None,
) -> list[Target]:
    """Return the targets of a run.

    Parameters
    ----------
    source : path
        A folder of stamps, or a field file.
    fields : sequence of str
        Names of fields; all of the folder when empty.
    ids : sequence of str
        ``"943=22950,22951"`` gives the ids of field 943; ``"m3=3:24353,24350"`` makes a further
        target, m3, of field 3.
    scale : str
        Label of the pixel scale in file names, or "mixed"; see `list_fields`.
    **places : str, optional
        ``images``, ``labels``, ``sky``; see `list_fields`.

    Raises
    ------
    FileError
        If a field is not there.
    RecipeError
        If `ids` cannot be understood, or two targets have one name.
    """
    if Path(source).suffix == ".toml":
        files = read_field_file(source)
        found = {files.field: files}
    else:
        found = {files.field: files for files in list_fields(source, scale=scale, **places)}
    wanted = list(fields) or list(found)
    targets = {name: Target(name, _files_of(found, name, source, scale, places)) for name in wanted}
    targets = {name: replace(target, ids=target.files.ids) for name, target in targets.items()}
    for text in ids:
        name, of, labels = _parse_ids(text)
        if of is None and name not in targets and fields:
            raise RecipeError(
                "HC-B21",
                f"--ids {text} names the field {name}, which is not in this run",
                f"add -f {name}",
            )
        if of is not None and (name in targets or name.lower() in map(str.lower, targets)):
            raise RecipeError(
                "HC-O07", f"two targets are called {name}", "give the new target another name"
            )
        targets[name] = Target(name, _files_of(found, of or name, source, scale, places), labels)
    if alike := [
        name for name in targets if sum(name.lower() == other.lower() for other in targets) > 1
    ]:
        raise RecipeError(
            "HC-O07",
            f"targets {' and '.join(alike)} differ in upper and lower case only: some disks take them for one",
            "choose one with -f, or rename the files of the other",
        )
    if not targets:
        raise RecipeError(
            "HC-F01", f"no images at {scale} in {source}", f"see what is there: hstcube ls {source}"
        )
    return list(targets.values())


def run(
    targets: Sequence[Target],
    out: str | Path,
    options: Options,
    *,
    tell: Callable[[Outcome], None] = lambda _: None,
) -> list[Outcome]:
    """Make and write the cube of every target; a bad one does not stop the others.

    Parameters
    ----------
    targets : sequence of Target
        From `plan`.
    out : path
        Folder for the products and for ``run.json``.
    options : Options
    tell : callable
        Called with each outcome as it comes.

    Returns
    -------
    list of Outcome

    Raises
    ------
    WriteError
        If the folder cannot be written; nothing is computed then.
    """
    out = Path(out)
    _require_writable(out)
    sweep(out)
    outcomes = []
    opened: dict[str, Any] = {}
    try:
        for target in targets:
            outcomes.append(_attempt(target, out, options, opened))
            tell(outcomes[-1])
    finally:  # an interrupted run keeps the record of what it finished
        _write_record(out, outcomes, options)
    return outcomes


def measure_levels(
    files: FieldFiles, out: str | Path, *, method: Method = "clipped", overwrite: bool = False
) -> tuple[list[Path], xr.DataArray]:
    """Measure the sky of a field; write a text file a band and a picture of the histograms.

    Parameters
    ----------
    files : FieldFiles
    out : path
        Folder for ``sky_{field}_{band}.txt`` and ``sky_{field}.png``.
    method : {"clipped", "original"}
        See `measure_sky`.
    overwrite : bool

    Returns
    -------
    list of Path, DataArray (band,)
        What was written; the levels with their errors [units of the images].

    Raises
    ------
    HstCubeError
        If the field cannot be opened, or nothing tells its blank pixels.
    """
    from hstcube.plots.cube import figure_bytes
    from hstcube.plots.sky import sky_histograms

    out = Path(out)
    names = {band: out / f"sky_{files.field}_{band}.txt" for band in files.bands}
    picture = out / f"sky_{files.field}.png"
    require_free_names([*names.values(), picture], overwrite=overwrite)
    cube, labels = open_files(files), _labels_of(files)
    background = blank_sky(labels, Grid.of(cube), "original" if method == "original" else "default")
    levels = measure_sky(cube, background=background, method=method)
    units, scale = cube.sci.attrs["units"], Grid.of(cube).scale
    texts = {
        names[band]: level_text(
            level, error, field=files.field, band=band, units=units, scale=scale, method=method
        ).encode()
        for band, level, error in zip(
            levels.band.values.tolist(),
            levels.values.tolist(),
            levels.sky_error.values.tolist(),
            strict=True,
        )
    }
    figure = sky_histograms(cube, background=background, levels=levels, method=method)
    return write_files({**texts, picture: figure_bytes(figure)}, overwrite=overwrite), levels


def exit_code(outcomes: Iterable[Outcome]) -> int:
    """Return 0 when all is well, 5 when some targets failed, else what the first failure says."""
    outcomes = list(outcomes)
    failed = [outcome.error for outcome in outcomes if outcome.error]
    if not failed:
        return 0
    return SOME_FAILED if len(failed) < len(outcomes) else failed[0].exit_code


def _attempt(target: Target, out: Path, options: Options, opened: dict[str, Any]) -> Outcome:
    outcome = Outcome(target)
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", HstCubeWarning
        )  # they are in the cube, the record and the summary
        try:
            _one_target(outcome, out, options, opened)
        except HstCubeError as error:
            outcome.error = error
    return outcome


def _one_target(outcome: Outcome, out: Path, options: Options, opened: dict[str, Any]) -> None:
    target = outcome.target
    noise: Noise = options.noise or (
        "variance" if options.recipe.get("recipe") == "original" else "wht"
    )
    bands = [band_name(name) for name in options.bands] or list(target.files.bands)
    _refuse_inputs(target, out, bands)
    _require_free(target.name, bands, out, options)
    if options.masked and target.files.labels is None:
        raise LabelError(
            "HC-S16",
            f"field {target.files.field} has no segmentation map",
            "give one with --labels FILE, or take all pixels with --no-mask",
        )
    if target.files.field not in opened:
        opened.clear()  # one field at a time in memory
        opened[target.files.field] = _opened(target.files, options)
    cube, labels, scale = opened[target.files.field]
    outcome.sky, level = _level(cube, labels, target.files, options, scale)
    settings = dict(options.recipe)
    settings["sky"] = level
    settings["ids"] = target.ids or tuple(settings.get("ids", ()))
    cube = homogenize(cube, labels=labels if options.masked else None, **settings)
    cube = cube.assign_attrs(field=target.name)
    if options.strict and (notes := cube.attrs["warnings"].splitlines()):
        raise HstCubeError(
            "HC-R01",
            f"{len(notes)} warnings, and the run is strict: {'; '.join(notes)}",
            "mend what they say, or run without --strict",
        )
    outcome.files = to_fits(
        cube,
        out,
        noise=noise,
        layout=options.layout,
        apply_mask=options.apply_mask,
        overwrite=options.overwrite,
    )
    if options.netcdf:
        outcome.files.append(
            save_cube(cube, out / f"{target.name}.nc", overwrite=options.overwrite)
        )
    outcome.bands = tuple(cube.band.values.tolist())
    outcome.pixels = int(cube.mask.values.any(axis=0).sum())
    outcome.notes = cube.attrs["warnings"].splitlines()
    outcome.record = _record_of(outcome, cube, options)


def _opened(files: FieldFiles, options: Options) -> tuple[xr.Dataset, xr.DataArray | None, float]:
    """Return the cube, the map, and the pixel scale [arcsec] of sky levels that do not say theirs."""
    labels, bands = _labels_of(files), options.bands or None
    onto: str | Grid | None = options.onto
    if onto == LABELS:
        if labels is None:
            raise LabelError(
                "HC-S16",
                f"field {files.field} has no segmentation map whose grid could be taken",
                "give one with --labels FILE, or another --onto",
            )
        onto = Grid.of(labels)
    if files.parts:
        cube = open_files(files, bands=bands, psf=options.psf, onto=onto, align=options.align)
        return cube, labels, scale_of_label(SKY_SCALE)
    cube = open_files(
        files, bands=bands, psf=options.psf, onto=None if isinstance(onto, Grid) else onto
    )
    scale = Grid.of(cube).scale
    return regrid(cube, onto, method="exact") if isinstance(onto, Grid) else cube, labels, scale


def _require_free(name: str, bands: list[str], out: Path, options: Options) -> None:
    """Look before computing whether the products may be written."""
    end = "" if options.layout == "mef" else "_sci"
    paths = [out / f"{name}_{band}{end}.fits" for band in bands] + (
        [out / f"{name}.nc"] if options.netcdf else []
    )
    require_free_names(paths, overwrite=options.overwrite)


def _refuse_inputs(target: Target, out: Path, bands: list[str]) -> None:
    """Keep `overwrite` from replacing an input, whatever links lead to it."""
    files = [
        path for band in target.files.bands.values() for path in (*band.sci, *band.wht, band.sky)
    ]
    inputs = {path.resolve() for path in (*files, target.files.labels) if isinstance(path, Path)}
    ends = [f"_{band}{end}.fits" for band in bands for end in ("", "_sci", "_wht", "_var", "_mask")]
    for path in (out / f"{target.name}{end}" for end in (*ends, ".nc")):
        if path.exists() and path.resolve() in inputs:
            raise WriteError(
                "HC-O06", "is an input of this run", "choose another folder with -o", file=str(path)
            )


def _level(
    cube: xr.Dataset, labels: xr.DataArray | None, files: FieldFiles, options: Options, scale: float
) -> tuple[str, Any]:
    """Return where the sky level comes from, in words, and the level: from files, measured where there is none."""
    if options.sky == "none":
        return "not subtracted", None
    bands = cube.band.values.tolist()
    constant = options.recipe.get("sky")
    if isinstance(constant, int | float):
        return "from the recipe", dict.fromkeys(bands, float(constant))
    known = (
        {}
        if options.sky == "measure" or constant == "measure"
        else read_levels(
            files,
            bands,
            scale=scale,
            to=Grid.of(cube).scale if files.parts or options.onto else None,
        )
    )
    if missing := [band for band in bands if band not in known]:
        recipe = options.recipe.get("recipe", "default")
        background = blank_sky(labels, Grid.of(cube), recipe)
        part = cube.isel(band=[bands.index(band) for band in missing])
        measured = measure_sky(
            part, background=background, method="original" if recipe == "original" else "clipped"
        )
        known |= dict(
            zip(
                missing,
                zip(measured.values.tolist(), measured.sky_error.values.tolist(), strict=True),
                strict=True,
            )
        )
    level, error = np.array([known[band] for band in bands]).T
    array = xr.DataArray(
        level, {"band": cube.band.values, "sky_error": ("band", error)}, ("band",), "sky"
    )
    if not missing:
        return "from files", array
    return (
        "measured"
        if len(missing) == len(bands)
        else f"measured in {', '.join(missing)}, else from files"
    ), array


def _labels_of(files: FieldFiles) -> xr.DataArray | None:
    return None if files.labels is None else open_labels(files.labels, hdu=files.hdu)


def _files_of(
    found: dict[str, FieldFiles],
    name: str,
    source: str | Path,
    scale: str,
    places: dict[str, str | None],
) -> FieldFiles:
    if name in found:
        return found[name]
    return find_field(source, name, scale=scale, **places)  # raises, saying what there is


def _parse_ids(text: str) -> tuple[str, str | None, tuple[int, ...]]:
    match = _TARGET.fullmatch(text.replace(" ", ""))
    if not match:
        raise RecipeError(
            "HC-B20",
            f"--ids {text!r} is not understood",
            "write --ids 943=22950,22951 or --ids m3=3:24353,24350",
        )
    return (
        checked_name(match["name"]),
        match["field"],
        tuple(int(part) for part in match["ids"].split(",")),
    )


def _require_writable(out: Path) -> None:
    """Make the folder and try it, before anything is computed."""
    if out.exists() and not out.is_dir():
        raise WriteError("HC-O01", "is not a folder", "choose another place with -o", file=str(out))
    probe = out / f".{RECORD}.probe"
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise WriteError(
            "HC-O01",
            f"cannot be written: {error.strerror}",
            "choose another folder with -o",
            file=str(out),
        ) from error


# -- the record


def _record_of(outcome: Outcome, cube: xr.Dataset, options: Options) -> dict[str, Any]:
    files = outcome.target.files
    inputs = [files.one(band, kind) for band in outcome.bands for kind in ("sci", "wht")]
    inputs += [files.labels] if files.labels else []
    inputs += [psf] if (psf := _psf_file(files, options)) else []
    inputs += [place for band in outcome.bands if isinstance(place := files.bands[band].sky, Path)]
    return {
        "field": files.field,
        "ids": list(outcome.target.ids),
        "bands": list(outcome.bands),
        "pixels": outcome.pixels,
        "sky": {
            "origin": outcome.sky,
            "levels": dict(zip(outcome.bands, map(_number, cube.sky.values), strict=True)),
        },
        "inputs": {str(path): _sha256(path) for path in inputs},
        "outputs": [path.name for path in outcome.files],
        "warnings": outcome.notes,
        "options": {
            "bands": list(options.bands),
            "masked": options.masked,
            "noise": options.noise,
            "layout": options.layout,
            "apply_mask": options.apply_mask,
            "psf": options.psf,
            "onto": options.onto,
            "align": options.align,
            **options.recipe,
        },
        "versions": _versions(),
    }


def _psf_file(files: FieldFiles, options: Options) -> Path | None:
    if options.psf == "auto":
        return files.psf
    return None if options.psf in PSF_WORDS else Path(options.psf)


def _write_record(out: Path, outcomes: list[Outcome], options: Options) -> None:
    """Add this run's targets to run.json, beside those of earlier runs into the same folder."""
    path = out / RECORD
    try:
        targets = json.loads(path.read_text(encoding="utf-8"))["targets"]
    except (OSError, ValueError, KeyError, TypeError):
        targets = {}
    for outcome in outcomes:
        if outcome.error is None:
            targets[outcome.target.name] = {"status": "ok", **outcome.record}
        elif targets.get(outcome.target.name, {}).get("status") != "ok" or options.overwrite:
            error = {
                "code": outcome.error.code,
                "message": str(outcome.error),
                "field": outcome.target.files.field,
            }
            targets[outcome.target.name] = {"status": "failed", **error}
    text = json.dumps({"hstcube": __version__, "targets": targets}, indent=1)
    write_files({path: text.encode()}, overwrite=True)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _versions() -> dict[str, str]:
    import platform

    import astropy
    import scipy

    modules = {"numpy": np, "xarray": xr, "astropy": astropy, "scipy": scipy}
    return {
        "hstcube": __version__,
        "python": platform.python_version(),
        **{name: module.__version__ for name, module in modules.items()},
    }
