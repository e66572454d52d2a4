"""Many targets in one go: read, homogenize, write. What `hstcube run` does."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import chain, groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

import numpy as np
import xarray as xr

from hstcube.errors import HstCubeError, HstCubeWarning, warn_caller
from hstcube.files.cubes import product_files, told_by_products
from hstcube.files.levels import level_factor
from hstcube.files.netcdf import netcdf_writer
from hstcube.fits.local import as_path
from hstcube.fits.reads import remembering
from hstcube.fits.writing import require_free_names, write_files
from hstcube.fleet.cluster import NO_CLUSTER
from hstcube.fleet.ledger import Ledger
from hstcube.fleet.proof import asked, hashes, why_not_done
from hstcube.fleet.spread import spread
from hstcube.fleet.workers import processes
from hstcube.maps.opening import no_map, without
from hstcube.mosaics.kept import kept_blocks
from hstcube.pipeline.options import (
    Options,
    SkyPlan,
    chosen_object,
    neighbours_of,
    plan_sky,
    require_object_or_all,
)
from hstcube.pipeline.photons import photon_maps, photon_setting_of
from hstcube.pipeline.plan import products_of, require_free
from hstcube.pipeline.recipe import ALL_PIXELS, homogenize, measured_sky
from hstcube.pipeline.record import (
    Note,
    Outcome,
    done_before,
    heard,
    inputs_of,
    job_of,
    record_of,
    require_writable,
)
from hstcube.pipeline.sources import Images, images_of, labels_of, refuse_align, with_own_noise
from hstcube.sky.masks import mask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from hstcube.fits.writing import Content
    from hstcube.pipeline.plan import Target
    from hstcube.surveys.names import FieldFiles

__all__ = [
    "images_for",
    "pairs",
    "run",
    "sky_level_of",
    "sky_plan_of",
]


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
    jobs: int = 1,
    scheduler: Any = None,
    resume: bool = False,
    command: str = "",
) -> list[Outcome]:
    """Make and write the cube of every target; a bad one does not stop the others.

    A target of which the record proves that the same was asked, of the same files, and that its
    products are whole, is done before, and not made again (unless ``options.overwrite``).

    Parameters
    ----------
    targets : sequence of Target
        From `plan`.
    out : path
        Folder for the products and for ``run.json`` and ``run.jsonl``, the record.
    options : Options
    tell : callable
        Called with each outcome as it comes.
    jobs : int
        Processes; 0 for one a core.
    scheduler : str or dask.distributed.Client, optional
        Of a cluster whose workers make the fields; they share the file system.
    resume : bool
        Go on where a run ended: products that earlier runs into this folder made of a target, and
        that are not proven to be what is asked for now, are replaced.
    command : str
        What was typed, for the record.

    Returns
    -------
    list of Outcome
        In the order of the targets.

    Raises
    ------
    RecipeError
        If scales are to be aligned, and a field has one only; if `jobs` is no number.
    WriteError
        If the folder cannot be written, or holds a ``run.json`` that is no record of a run; nothing
        is computed then.
    """
    out = as_path(out)
    for target in targets:
        refuse_align(target.files, options.align)
    jobs = processes(jobs)
    require_writable(out)
    ledger = Ledger(out)
    outcomes: dict[str, Outcome] = {}
    fields = [list(group) for _, group in groupby(targets, lambda target: target.files.field)]
    work = _Work(out, options, resume, uuid4().hex, scheduler is not None, command)
    try:
        how: dict[str, Any] = {"jobs": jobs, "scheduler": scheduler, "in_blocks": work.in_blocks}
        alone = jobs == 1 and scheduler is None
        with spread(work.one_by_one if alone else work, fields, **how) as made:
            for outcome in chain.from_iterable(made):
                outcomes[outcome.target.name] = outcome
                tell(outcome)
    finally:  # an interrupted run keeps the record of what it, and its processes, finished
        ledger.close()
    return [outcomes[target.name] for target in targets]


@dataclass(frozen=True)
class _Work:
    """What is done with the targets of a field, in this process or in another."""

    out: Path
    options: Options
    resume: bool
    run: str
    """Each process reads the ledger once a run."""
    again: bool = False
    """Whether a target is tried again when the process that was at it has died."""
    command: str = ""

    def __call__(self, targets: list[Target]) -> list[Outcome]:
        return list(self.one_by_one(targets))

    def in_blocks(self, targets: list[Target]) -> bool:
        """Say whether the images of a field are opened in blocks."""
        return self.options.blocks_for(targets[0].files) is not None

    def one_by_one(self, targets: list[Target]) -> Iterator[Outcome]:
        """Yield what becomes of each target; what the ledger keeps of them is dropped here."""
        ledger = _ledger_of(self.out, self.run)
        opened: dict[str, _Field] = {}
        for target in targets:
            with remembering():
                outcome = self._made(target, ledger, opened)
            outcome.record = {"notes": outcome.record.get("notes", [])}
            outcome.files = []  # the ledger has their names, too: 30 kB a field
            yield outcome

    def _made(self, target: Target, ledger: Ledger, opened: dict[str, _Field]) -> Outcome:
        question, why = _asked(target, self.options), ""
        if not self.options.overwrite:
            known = ledger.told(target.name)
            why = why_not_done(known, question, self.out)
            if not why:
                return done_before(target, known, self.out)
        outcome = _attempt(target, self, ledger, opened)
        outcome.why = why if self.resume else ""
        if outcome.error is None:
            ledger.done(target.name, {"status": "ok", **outcome.record, "asked": question})
        else:
            told = {"status": "failed", "code": outcome.error.code, "message": str(outcome.error)}
            told["field"] = target.files.field
            ledger.done(target.name, told, replaces=self.options.overwrite)
        return outcome


def _asked(target: Target, options: Options) -> str:
    settings = {"recipe": options.kind, **options.recipe}
    return asked(replace(options, overwrite=False, recipe=settings), target)


@lru_cache(maxsize=1)
def _ledger_of(out: Path, _: str) -> Ledger:
    return Ledger(out)


def images_for(
    files: FieldFiles, options: Options, *, chunks: Mapping[str, int] | None = None
) -> Images:
    """Open the images of a field as a run wants them; see `images_of`.

    In blocks where the options say so, or with `chunks`.
    """
    if chunks is None:
        chunks = options.blocks_for(files)
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


def _attempt(target: Target, work: _Work, ledger: Ledger, opened: dict[str, _Field]) -> Outcome:
    outcome, options = Outcome(target), work.options
    try:
        if not options.overwrite and _may_replace(target, work, ledger):
            options = replace(options, overwrite=True)
        with heard() as notes:  # they are in the cube, the record and the summary
            _one_target(outcome, replace(work, options=options), ledger, opened, notes)
    except HstCubeError as error:
        if error.code in NO_CLUSTER:
            raise
        outcome.error = error
    return outcome


def _may_replace(target: Target, work: _Work, ledger: Ledger) -> bool:
    """Say whether all that is there of a target is ours to replace: of a run that goes on.

    Raises
    ------
    WriteError
        If the run goes on, but something there is somebody's work.
    """
    there = [path for path in products_of(target, work.out, work.options) if os.path.lexists(path)]
    if not there or not (work.resume or ledger.began(target.name, work.run)):
        return False
    others = [path for path in there if not ledger.may_replace(target.name, path)]
    require_free_names(others, overwrite=False)
    return True


def _one_target(
    outcome: Outcome,
    work: _Work,
    ledger: Ledger,
    opened: dict[str, _Field],
    notes: list[Note],
) -> None:
    """Make and write the cube of a target; `notes` fill while it is made."""
    target, out, options = outcome.target, work.out, work.options
    require_free(target, out, options)
    require_object_or_all(target, options)
    if options.masked and target.files.labels is None:
        what = f"field {target.files.field}"
        raise no_map(what, ALL_PIXELS)
    field = opened.get(target.files.field)
    if field is None:
        opened.clear()  # one field at a time in memory
        images = images_for(target.files, options)
        cube = images.cube
        lost = "the field is made in blocks: no netCDF is written"
        lost += ", but FITS, one file a band" if options.layout == "netcdf" else ""
        for code, text in [("HC-O33", lost)] if cube.sci.chunks and options.netcdf else []:
            warn_caller(HstCubeWarning(code, text))
        labels, outside = without(labels_of(target.files, cube), cube, options.exclude)
        if options.measure_noise:
            images = images._replace(cube=with_own_noise(cube, labels))
        field = opened[target.files.field] = _Field(images, labels, outside, list(notes))
    outcome.sky, level = sky_level_of(target.files, field.images, field.labels, options)
    settings = dict(options.recipe)
    settings["sky"] = level
    settings |= chosen_object(target, options)
    settings = (neighbours_of(target.files) if options.masked else {}) | settings
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
    made = _written(cube, work, ledger, job_of(_asked(target, options), inputs, cube))
    outcome.files, outcome.pixels, outcome.blocks = made.files, made.pixels, made.blocks
    outcome.notes = said
    outcome.bands = tuple(cube.band.values.tolist())
    told = record_of(outcome, cube, options, command=work.command)
    outcome.record = {"set": made.of_set, **told, "inputs": inputs}
    outcome.record["sha256"] = made.sha256


class _Written(NamedTuple):
    """The products of a target, the id that all of them bear, and the number of pixels to use."""

    files: list[Path]
    sha256: dict[str, str]
    of_set: str
    pixels: int
    blocks: str
    """How many of them were there, where some were."""


def _written(cube: xr.Dataset, work: _Work, ledger: Ledger, job: str) -> _Written:
    """Write a cube as FITS and netCDF, all or nothing; blocks of a job are kept for the next."""
    out, options, name = work.out, work.options, cube.attrs["field"]
    go_on = work.resume or ledger.began(name, work.run)
    with kept_blocks(out, name, job, go_on=go_on) as kept:
        files, of_set = product_files(
            cube,
            out,
            noise=options.noise or ("variance" if options.kind == "original" else "wht"),
            layout=options.layout,
            apply_mask=options.apply_mask,
            kept=kept,
        )
        everything: dict[Path, Content] = dict(files)
        if options.netcdf and of_set:
            place = out / f"{name}.nc"
            everything[place] = netcdf_writer(cube, place, of_set=of_set)
        ledger.begin(name, list(everything), work.run if work.again else "")
        written = write_files(everything, overwrite=options.overwrite)
    sha256 = hashes(written, everything)  # what was written was compared with what is on disk
    if of_set:
        return _Written(written, sha256, of_set, int(cube.mask.values.any(axis=0).sum()), "")
    blocks = f"{kept.found} of {kept.blocks} blocks" if kept and kept.found else ""
    return _Written(written, sha256, *told_by_products(written), blocks)


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
        known, attrs = known | pairs(found), found.attrs
    level, error = np.array([known[name] for name in names]).T
    coords = {"band": cube.band.values, "sky_error": ("band", error)}
    return planned.origin, xr.DataArray(level, coords, ("band",), "sky", attrs)


def pairs(levels: xr.DataArray) -> dict[str, tuple[float, float]]:
    """Return band to (level, standard error)."""
    rows = zip(levels.values.tolist(), levels.sky_error.values.tolist(), strict=True)
    return dict(zip(levels.band.values.tolist(), rows, strict=True))
