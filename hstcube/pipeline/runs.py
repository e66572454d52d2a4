"""Many targets in one go: read, homogenize, write. What `hstcube run` and `hstcube sky` do."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import xarray as xr

from hstcube.assembly.opening import open_files
from hstcube.assembly.psfs import psf_files
from hstcube.core.bands import names_among
from hstcube.core.grids import Grid
from hstcube.errors import HstCubeError, SkyError, WriteError
from hstcube.files.cubes import product_files
from hstcube.files.levels import level_factor, level_text
from hstcube.files.netcdf import netcdf_writer
from hstcube.fits.reads import keeps, remembering, same_file
from hstcube.fits.writing import require_free_names, write_files, write_set
from hstcube.inputs.choices import require_choice
from hstcube.maps.opening import without
from hstcube.pipeline.options import Options, SkyPlan, chosen_object, neighbours_of, plan_sky
from hstcube.pipeline.photons import photon_maps, photon_setting_of
from hstcube.pipeline.recipe import (
    ALL_PIXELS,
    blank_pixels,
    homogenize,
    measured_sky,
    no_map,
)
from hstcube.pipeline.record import (
    Note,
    Outcome,
    heard,
    inputs_of,
    read_record,
    record_of,
    require_writable,
    write_record,
)
from hstcube.pipeline.sources import Images, images_of, labels_of, refuse_align
from hstcube.sky.level import Method, measure_sky
from hstcube.sky.masks import mask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from hstcube.fits.writing import Content
    from hstcube.pipeline.plan import Target
    from hstcube.surveys.names import FieldFiles

__all__ = [
    "SOME_FAILED",
    "exit_code",
    "images_for",
    "measure_levels",
    "measure_skies",
    "require_free",
    "run",
    "sky_level_of",
    "sky_plan_of",
]

SOME_FAILED = 5


class _Field(NamedTuple):
    """A field that is open: targets of one field share it."""

    images: Images
    labels: xr.DataArray | None
    outside: xr.DataArray | None
    """Of regions that are left out."""
    notes: list[Note]


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
    RecipeError
        If scales are to be aligned, and a field has one only.
    WriteError
        If the folder cannot be written, or holds a ``run.json`` that is no record of a run; nothing
        is computed then.
    """
    out = Path(out)
    for target in targets:
        refuse_align(target.files, options.align)
    require_writable(out)
    known = read_record(out)
    outcomes = []
    opened: dict[str, _Field] = {}
    try:
        for target in targets:
            with remembering():
                outcomes.append(_attempt(target, out, options, opened))
            tell(outcomes[-1])
    finally:  # an interrupted run keeps the record of what it finished
        write_record(out, outcomes, known, overwrite=options.overwrite)
    return outcomes


@keeps()
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
    cube = open_files(files)
    labels = labels_of(files, cube)
    grid, units = Grid.of(cube), cube.sci.attrs["units"]
    background = blank_pixels(labels, grid, "original" if method == "original" else "default")
    levels = measure_sky(cube, background=background, method=method)
    texts = {}
    for band, (level, error) in _pairs(levels).items():
        text = level_text(
            level, error, field=files.field, band=band, units=units, scale=grid.scale, method=method
        )
        texts[names[band]] = text.encode()
    figure = sky_histograms(cube, background=background, levels=levels, method=method)
    return write_set({**texts, picture: figure_bytes(figure)}, overwrite=overwrite), levels


def measure_skies(
    targets: Sequence[Target],
    out: str | Path,
    *,
    method: Method = "clipped",
    overwrite: bool = False,
    tell: Callable[[Outcome], None] = lambda _: None,
) -> list[Outcome]:
    """Measure the sky of every target's field; a bad one does not stop the others.

    Parameters
    ----------
    targets : sequence of Target
        From `plan`.
    out, method, overwrite
        As in `measure_levels`.
    tell : callable
        Called with each outcome as it comes.

    Returns
    -------
    list of Outcome
        With ``levels`` (band,) and ``files``, or the error.
    """
    require_choice("method", method, Method, code="HC-K12", error=SkyError)
    outcomes = []
    for target in targets:
        outcome = Outcome(target)
        with heard() as outcome.notes:
            try:
                outcome.files, outcome.levels = measure_levels(
                    target.files, out, method=method, overwrite=overwrite
                )
            except HstCubeError as error:
                outcome.error = error
        outcomes.append(outcome)
        tell(outcome)
    return outcomes


def exit_code(outcomes: Iterable[Outcome]) -> int:
    """Return 0 when all is well, 5 when some targets failed, else what the first failure says."""
    outcomes = list(outcomes)
    failed = [outcome.error for outcome in outcomes if outcome.error]
    if not failed:
        return 0
    return SOME_FAILED if len(failed) < len(outcomes) else failed[0].exit_code


def images_for(
    files: FieldFiles, options: Options, *, chunks: Mapping[str, int] | None = None
) -> Images:
    """Open the images of a field as a run wants them; see `images_of`."""
    return images_of(
        files,
        bands=options.bands or None,
        psf=options.psf,
        psf_fwhm=options.psf_fwhm or None,
        onto=options.onto,
        align=options.align or "report",
        chunks=chunks,
        units=options.units,
    )


def sky_plan_of(
    files: FieldFiles, images: Images, labels: xr.DataArray | None, options: Options
) -> SkyPlan | None:
    """Decide where the sky levels of an open field come from; see `plan_sky`.

    Raises
    ------
    SkyError
        If a level in a file cannot be brought to the unit of the cube.
    """
    return plan_sky(
        files,
        images.cube.band.values.tolist(),
        labels,
        scale=images.scale,
        to=images.to,
        sky=options.sky,
        setting=options.recipe.get("sky"),
        factor=partial(level_factor, files, images.cube, options.units is not None),
    )


def _attempt(target: Target, out: Path, options: Options, opened: dict[str, _Field]) -> Outcome:
    outcome = Outcome(target)
    try:
        with heard() as notes:  # they are in the cube, the record and the summary
            _one_target(outcome, out, options, opened, notes)
    except HstCubeError as error:
        outcome.error = error
    return outcome


def _one_target(
    outcome: Outcome, out: Path, options: Options, opened: dict[str, _Field], notes: list[Note]
) -> None:
    """Make and write the cube of a target; `notes` fill while it is made."""
    target = outcome.target
    require_free(target, out, options)
    if options.masked and target.files.labels is None:
        what = f"field {target.files.field}"
        raise no_map(what, ALL_PIXELS)
    field = opened.get(target.files.field)
    if field is None:
        opened.clear()  # one field at a time in memory
        images = images_for(target.files, options)
        cube = images.cube
        labels, outside = without(labels_of(target.files, cube), cube, options.exclude)
        field = opened[target.files.field] = _Field(images, labels, outside, list(notes))
    outcome.sky, level = sky_level_of(target.files, field.images, field.labels, options)
    settings = dict(options.recipe)
    settings["sky"] = level
    settings |= chosen_object(target, options)
    settings = neighbours_of(target.files) | settings
    names = field.images.cube.band.values.tolist()
    moved = options.onto is not None
    settings["poisson"] = photon_setting_of(target.files, options.recipe, names, moved=moved)
    cube = homogenize(
        field.images.cube, labels=field.labels if options.masked else None, **settings
    )
    if field.outside is not None:
        cube = mask(cube, cube.mask.values & field.outside.values)
    cube = cube.assign_attrs(field=target.name)
    maps = photon_maps(settings["poisson"])
    maps += [] if options.exclude is None else [Path(options.exclude)]
    inputs = inputs_of(target.files, cube.band.values.tolist(), options.psf, maps)
    said = list(dict.fromkeys([*field.notes, *notes]))
    if options.strict and said:
        raise HstCubeError(
            "HC-R01",
            f"{len(said)} warnings, and the run is strict: {'; '.join(map(str, said))}",
            "mend what they say, or run without [[--strict|strict=True]]",
        )
    outcome.files, of_set = _written(cube, out, options)
    outcome.notes = said
    outcome.bands = tuple(cube.band.values.tolist())
    outcome.pixels = int(cube.mask.values.any(axis=0).sum())
    outcome.record = {"set": of_set, **record_of(outcome, cube, options), "inputs": inputs}


def _written(cube: xr.Dataset, out: Path, options: Options) -> tuple[list[Path], str]:
    """Write a cube as FITS and netCDF, all of it or nothing; return the id that both bear, too."""
    files, of_set = product_files(
        cube,
        out,
        noise=options.noise or ("variance" if options.kind == "original" else "wht"),
        layout=options.layout,
        apply_mask=options.apply_mask,
    )
    everything: dict[Path, Content] = dict(files)
    if options.netcdf:
        place = out / f"{cube.attrs['field']}.nc"
        everything[place] = netcdf_writer(cube, place, of_set=of_set)
    return write_files(everything, overwrite=options.overwrite), of_set


def sky_level_of(
    files: FieldFiles, images: Images, labels: xr.DataArray | None, options: Options
) -> tuple[str, xr.DataArray | None]:
    """Return where the sky level comes from, in words, and the level; measured where it must be."""
    planned = sky_plan_of(files, images, labels, options)
    if planned is None:
        return "not subtracted", None
    cube, known, attrs = images.cube, dict(planned.known), {}
    names = cube.band.values.tolist()
    if planned.missing:
        part = cube.isel(band=[names.index(name) for name in planned.missing])
        found = measured_sky(part, labels, options.kind)
        known, attrs = known | _pairs(found), found.attrs
    level, error = np.array([known[name] for name in names]).T
    coords = {"band": cube.band.values, "sky_error": ("band", error)}
    return planned.origin, xr.DataArray(level, coords, ("band",), "sky", attrs)


def _pairs(levels: xr.DataArray) -> dict[str, tuple[float, float]]:
    """Return band to (level, standard error)."""
    rows = zip(levels.values.tolist(), levels.sky_error.values.tolist(), strict=True)
    return dict(zip(levels.band.values.tolist(), rows, strict=True))


def require_free(target: Target, out: Path, options: Options) -> None:
    """Look before computing whether the products may be written, and replace no input.

    Raises
    ------
    WriteError
        If one is there already, or is an input of the run.
    """
    bands = names_among(options.bands, target.files.bands)
    whole = out / f"{target.name}.nc"
    _refuse_inputs([whole, *_images_named(target.name, bands, out)], target.files, options)
    end = "" if options.layout == "mef" else "_sci"
    paths = [out / f"{target.name}_{band}{end}.fits" for band in bands]
    paths += [whole] if options.netcdf else []
    require_free_names(paths, overwrite=options.overwrite)


def _refuse_inputs(paths: list[Path], files: FieldFiles, options: Options) -> None:
    """Keep `overwrite` from replacing an input, whatever links lead to it."""
    if (path := same_file(paths, _inputs(files, options))) is not None:
        raise WriteError(
            "HC-O06",
            "is an input of this run",
            "choose another folder with [[-o|out=]]",
            file=str(path),
        )


def _inputs(files: FieldFiles, options: Options) -> list[Path]:
    paths = [path for band in files.bands.values() for path in (*band.sci, *band.wht, band.sky)]
    moved = options.onto is not None
    maps = photon_maps(photon_setting_of(files, options.recipe, list(files.bands), moved=moved))
    maps += psf_files(files, list(files.bands), options.psf)
    return [path for path in (*paths, files.labels, files.psf, *maps) if isinstance(path, Path)]


def _images_named(name: str, bands: Iterable[str], out: Path) -> list[Path]:
    """Return every name that `to_fits` could give to an image of these bands."""
    ends = ("", "_sci", "_wht", "_var", "_mask")
    return [out / f"{name}_{band}{end}.fits" for band in bands for end in ends]
