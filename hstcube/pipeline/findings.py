"""What a run would stumble over or assume, found before anything is computed or written."""

from __future__ import annotations

import dataclasses
from functools import partial
from itertools import filterfalse
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

import numpy as np

from hstcube import __version__
from hstcube.assembly.psfs import of_these
from hstcube.core.bands import name_among, names_among
from hstcube.core.grids import Grid
from hstcube.core.state import attribute, notes_of
from hstcube.errors import HstCubeError, codes, spoken
from hstcube.files.labels import open_labels
from hstcube.fits.weights import scatter
from hstcube.fleet.ledger import read_record
from hstcube.maps.objects import map_notes, object_on, objects_of
from hstcube.maps.opening import detection_meant, made_here, no_map, without
from hstcube.matching.choice import OF_SURVEYS
from hstcube.matching.match import choose_kernels
from hstcube.pipeline.options import Options, chosen_object, require_object_or_all
from hstcube.pipeline.original import kernels_of_the_original
from hstcube.pipeline.photons import (
    added,
    may_lack_photons,
    photon_setting_of,
    photons_left_out,
    planned_photons,
)
from hstcube.pipeline.plan import require_free, require_outside, target_of
from hstcube.pipeline.recipe import ALL_PIXELS, blank_pixels
from hstcube.pipeline.record import Finding, Report, heard, require_writable
from hstcube.pipeline.runs import images_for, sky_level_of, sky_plan_of
from hstcube.pipeline.sources import (
    Images,
    labels_of,
    of_band,
    of_levels,
    refuse_align,
    with_own_noise,
)
from hstcube.regridding.align import check_alignment, warn_of_shifts
from hstcube.sky.level import sky_pixels
from hstcube.sky.subtraction import subtract_sky
from hstcube.surveys.known import facts, traits

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import xarray as xr

    from hstcube.assembly.psfs import PSFChoice
    from hstcube.pipeline.plan import Target
    from hstcube.surveys.names import FieldFiles

__all__ = ["check", "examine", "refused_output"]

T = TypeVar("T")

# robust rms of the sky times sqrt(wht): 0.46 to 0.48 in drizzled WFC3/IR, 1.0 to 1.2 in ACS
NOISE_RATIO = (0.3, 1.3)
_DARK = "choose bands whose images count electrons; nothing to do if the weights hold it already"
LARGE = 2**26  # bytes, 16 million pixels: of larger images only the headers are read
_FIXES = {  # of warnings on which options act
    "HC-S11": "keep the largest piece alone: [[--largest|largest=True]]; or choose the ids that "
    "belong together: [[--ids FIELD=ID,ID|ids=]]"
}


def check(
    target: Target | FieldFiles,
    *,
    masked: bool = True,
    to: str | None = None,
    psf: PSFChoice = "auto",
) -> Report:
    """Look at everything that a run of this target would look at; write nothing.

    Parameters
    ----------
    target : FieldFiles or Target
        One of what `list_fields` returns; or of `hstcube.pipeline.plan.plan`, with ids of its own.
    masked : bool
        Whether the run is to use a segmentation map.
    to : str, optional
        What the bands are to be matched to; as in `homogenize` when not given.
    psf : str
        As in `open_field`.

    Returns
    -------
    Report

    Examples
    --------
    >>> import tempfile
    >>> import hstcube
    >>> from hstcube.demo.field import simulate
    >>> _ = simulate(folder := tempfile.mkdtemp())
    >>> files = hstcube.list_fields(folder, scale="60mas")[0]
    >>> hstcube.check(files).fails()
    False
    """
    return examine(target_of(target), Options(masked=masked, psf=psf, recipe={"to": to}))


def examine(target: Target, options: Options, *, out: Path | None = None) -> Report:
    """Look at everything that a run with these options would look at; see `check`.

    Parameters
    ----------
    target : Target
    options : Options
        Those of the run.
    out : Path, optional
        Folder for its products; they are not looked at when not given.

    Returns
    -------
    Report
    """
    report = Report(target.name, target.files.field)
    _attempt(report, lambda: refuse_align(target.files, options.align))
    _attempt(report, lambda: require_object_or_all(target, options))
    if out is not None:
        _attempt(report, lambda: require_free(target, out, options))
    found = _opened(report, target, options)
    labels = _attempt(report, lambda: _labels(target, found, options))
    _judge_levels(report, target, options)
    if found is not None:
        found = _with_noise(report, found, labels, options)
        _judge_cube(report, target, found, labels, options)
    return report


def _with_noise(
    report: Report, found: _Opened, labels: xr.DataArray | None, options: Options
) -> _Opened:
    """Return images with the noise that a run would measure on them."""
    if not options.measure_noise:
        return found
    images = found.images
    if images.cube.chunks:
        text = "noise that no table knows will be measured; images as large as these are not read"
        report.findings.append(Finding("note", "", f"{text} here"))
        return found
    cube = _attempt(report, lambda: with_own_noise(images.cube, labels))
    return found if cube is None else found._replace(images=images._replace(cube=cube))


def refused_output(report: Report, out: Path, source: Path, *, images: str | None = None) -> None:
    """Look whether the folder of a run may be written, and write nothing."""
    _attempt(report, lambda: require_outside(out, source, images=images))
    _attempt(report, lambda: require_writable(out, write=False))
    _attempt(report, lambda: read_record(out))


def _judge_cube(
    report: Report, target: Target, found: _Opened, labels: xr.DataArray | None, options: Options
) -> None:
    """Look at what a run would make of the images that could be opened."""
    cube = found.images.cube
    report.bands = tuple(cube.band.values.tolist())
    report.found = facts(target.files, cube)
    report.findings += [Finding("note", "", text) for text in _assumed(cube)]
    usual = traits(attribute(cube, "survey"))
    for code, text in notes_of(cube.attrs["history"]):
        fix = "" if code in usual else spoken(codes()[code].fix)
        report.findings.append(Finding("note", code, text, fix))
    _attempt(report, lambda: _judge_places(cube))
    if found.whole:
        _attempt(report, lambda: _judge_resolution(report, cube, options))
    if cube.chunks and detection_meant(target.files.labels):
        text = "sources will be detected; images as large as these are not read here"
        report.findings.append(Finding("note", "", text))
        return
    if labels is not None and options.masked:
        _attempt(report, lambda: _judge_object(report, target, cube, labels, options))
    _attempt(report, lambda: _judge_sky(report, target, found.images, labels, options))
    _attempt(report, lambda: _judge_photons(report, target, found.images, labels, options))
    if labels is not None and not cube.chunks:
        _attempt(report, lambda: _judge_weights(report, target, cube, labels))


def _attempt(report: Report, function: Callable[[], T], *, warned: bool = True) -> T | None:
    """Return what the function returns; what it raises becomes a finding, and what it warns of."""
    with heard() as notes:
        try:
            found = function()
        except HstCubeError as error:
            report.refuse(error)
            return None
    if warned:
        report.findings += [Finding("warning", *note) for note in notes]
    return found


class _Opened(NamedTuple):
    """Images that can be opened; ``whole`` is whether they are all that a run would open, so."""

    images: Images
    whole: bool


def _opened(report: Report, target: Target, options: Options) -> _Opened | None:
    """Open all bands together; else those that can be opened, and each that cannot is a finding."""
    everything = tuple(names_among(options.bands, target.files.bands))
    images = _attempt(report, partial(_open, target, everything, options))
    if images is not None:
        return _Opened(images, whole=True)
    # what is wrong with the files, whatever they are to be brought to, and with each piece of them
    plain = dataclasses.replace(options, psf="gaussian", psf_fwhm={}, onto=None, align=None)
    kept = _kept(report, target, everything, plain)
    if not kept:
        return None
    images = _attempt(report, partial(_open, target, tuple(kept), _for(kept, options)))
    if images is None:  # because of what is asked for
        images = _open(target, tuple(kept), plain)
    return _Opened(images, whole=False)


def _kept(report: Report, target: Target, bands: tuple[str, ...], plain: Options) -> list[str]:
    """Return the bands that can be opened together; of the others each piece is looked at.

    What there is to warn of is said when all of them are opened together.
    """
    kept: list[str] = []
    for band in bands:
        if _attempt(report, partial(_open, target, (band,), plain), warned=False) is None:
            for look in of_band(target.files, band, lazy=_is_large(target.files)):
                _attempt(report, look, warned=False)
        elif _attempt(report, partial(_open, target, (*kept, band), plain), warned=False):
            kept.append(band)
    return kept


def _for(bands: list[str], options: Options) -> Options:
    """Return the options of a run of some bands: what is said of the others is no mistake."""
    widths = {k: one for k, one in options.psf_fwhm.items() if name_among(k, bands) in bands}
    return dataclasses.replace(options, psf_fwhm=widths, psf=of_these(options.psf, bands))


def _open(target: Target, bands: tuple[str, ...], options: Options) -> Images:
    options = dataclasses.replace(options, bands=bands)
    return images_for(target.files, options, chunks={} if _is_large(target.files) else None)


def _is_large(files: FieldFiles) -> bool:
    paths = [path for band in files.bands.values() for path in band.sci]
    sizes = [path.stat().st_size for path in paths if path.exists()]
    return max(sizes, default=0) > LARGE


def _assumed(cube: xr.Dataset) -> list[str]:
    """Return what opening the files took from tables and files beside them, each thing once."""
    notes: list[str] = []
    for line in cube.attrs["history"].splitlines():
        if notes_of(line):
            continue
        said = line.removesuffix(f" (hstcube {__version__})")
        notes += said.split("; ")[1:] if said.startswith("open_field") else [said]
    return list(dict.fromkeys(notes))


def _judge_resolution(report: Report, cube: xr.Dataset, options: Options) -> None:
    """Say how the bands will be matched, and raise where one cannot be."""
    to = options.recipe.get("to")
    if options.kind == "original":
        kernels_of_the_original(cube, OF_SURVEYS if to is None else to)
    else:
        matched, *_ = choose_kernels(cube, to=to, allow=options.recipe.get("allow", ()))
        known = notes_of(cube.attrs["history"])
        told = [one for one in notes_of(matched.attrs["history"]) if one not in known]
        report.findings += [Finding("note", c, text, spoken(codes()[c].fix)) for c, text in told]


def _judge_places(cube: xr.Dataset) -> None:
    """Warn of bands that lie elsewhere than their neighbours in wavelength."""
    if not cube.chunks:
        warn_of_shifts(cube, check_alignment(cube))


def _labels(target: Target, found: _Opened | None, options: Options) -> xr.DataArray | None:
    """Return the map; None where it is made of images that are not there, or too large to read."""
    if options.masked and target.files.labels is None:
        what = f"field {target.files.field}"
        raise no_map(what, ALL_PIXELS)
    path, cube = target.files.labels, None if found is None else found.images.cube
    if cube is None or (cube.chunks and detection_meant(path)):
        if path is None or made_here(path):
            return None
        return open_labels(path, hdu=target.files.hdu)
    return without(labels_of(target.files, cube), cube, options.exclude)[0]


def _judge_object(
    report: Report, target: Target, cube: xr.Dataset, labels: xr.DataArray, options: Options
) -> None:
    """Say how large the object is, and what is odd about it and its map."""
    grid, kind = Grid.of(cube), options.kind
    chosen = chosen_object(target, options)
    ids, largest = chosen["ids"], chosen["largest"]
    how: dict[str, Any] = {"recipe": kind, "objects": objects_of(labels, kind)}
    seen = object_on(grid, labels, ids, grow=0, largest=largest, **how)
    keep = object_on(grid, labels, **chosen, **how)
    used = keep.values  # what has data in no band is no pixel of the cube
    if not cube.chunks:
        used = used & (cube.wht.values > 0).any(axis=0)
    text = f"object of {int(seen.sum())} pixels, not grown; the cube's mask has {int(used.sum())}, "
    report.findings.append(Finding("note", "", f"{text}grown by {chosen['grow']}"))
    notes = map_notes(labels, ids, keep, grid, largest=largest, **how)
    usual = traits(attribute(cube, "survey"))
    for code, said in notes:
        harmless = code in usual or codes()[code].kind == "N"
        told: Literal["note", "warning"] = "note" if harmless else "warning"
        fix = _FIXES.get(code, codes()[code].fix if harmless and code not in usual else "")
        report.findings.append(Finding(told, code, said, spoken(fix)))


def _judge_levels(report: Report, target: Target, options: Options) -> None:
    """Read the sky level of each band, unless none is wanted from files."""
    if options.sky is None and options.recipe.get("sky") is None:
        names = names_among(options.bands, target.files.bands)
        for look in of_levels(target.files, names):
            _attempt(report, look)


def _judge_sky(
    report: Report,
    target: Target,
    images: Images,
    labels: xr.DataArray | None,
    options: Options,
) -> None:
    """Say which sky levels will be measured; raise where they cannot be, or cannot be read."""
    planned = sky_plan_of(target.files, images, labels, options)
    if planned and planned.missing:
        text = f"sky levels of {', '.join(planned.missing)} will be measured"
        report.findings.append(Finding("note", "", text))
    if planned and not images.cube.chunks:
        sky_level_of(target.files, images, labels, options)


def _judge_photons(
    report: Report,
    target: Target,
    images: Images,
    labels: xr.DataArray | None,
    options: Options,
) -> None:
    """Say where photon noise will be added, where it cannot be, and where it should be."""
    cube, kind, files = images.cube, options.kind, target.files
    moved = options.onto is not None
    poisson = photon_setting_of(files, options.recipe, report.bands, moved=moved)
    planned = planned_photons(cube, poisson, kind)
    if planned.left:
        code = "HC-N21"
        report.findings.append(Finding("note", code, planned.left, spoken(codes()[code].fix)))
    if planned.lacking:
        code = "HC-N13"
        report.findings.append(Finding("warning", code, planned.lacking, spoken(_DARK)))
    if planned.exposure is not None:
        told = attribute(added(cube, planned), "poisson")
        report.findings.append(Finding("note", "", f"photon noise will be added: {told}"))
    if not may_lack_photons(cube, poisson, kind):
        return
    _, level = sky_level_of(files, images, labels, options)
    observed = cube if level is None else subtract_sky(cube, level)
    chosen = chosen_object(target, options)
    keep = None if labels is None else object_on(Grid.of(cube), labels, recipe=kind, **chosen)
    for code, text in photons_left_out(observed, poisson, kind, getattr(keep, "values", None)):
        report.findings.append(Finding("warning", code, text, spoken(codes()[code].fix)))


def _judge_weights(report: Report, target: Target, cube: xr.Dataset, labels: xr.DataArray) -> None:
    """Compare the noise of the blank sky with the weights."""
    used = sky_pixels(cube, background=blank_pixels(labels, Grid.of(cube)), method="clipped")
    for band, sci, wht, there in zip(
        report.bands, cube.sci.values, cube.wht.values, used, strict=True
    ):
        ratio = scatter(np.where(there, sci, np.nan), wht)
        if there.any() and not NOISE_RATIO[0] <= ratio <= NOISE_RATIO[1]:
            text = f"the sky's rms is {ratio:.3g} of 1/sqrt(wht); 0.4 to 1.2 is usual"
            text += ": wht is not an inverse variance"
            fix = "say what it is: wht_kind = 'rms', 'variance' or 'exptime' in a field file"
            place = str(target.files.one(band, "wht"))
            place = str(target.files.one(band, "wht"))
            better = Finding("warning", "HC-D24", text, fix, place, band)
            report.findings = [*filterfalse(partial(_is_of, band), report.findings), better]


def _is_of(band: str, finding: Finding) -> bool:
    """Say whether a finding is what opening alone could tell of a band's weights."""
    return finding.code == "HC-D24" and finding.text.startswith(f"{band}: ")
