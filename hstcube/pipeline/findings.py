"""What a run would stumble over or assume, found before anything is computed or written."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np

from hstcube import __version__
from hstcube.basics.robust import MAD_TO_SIGMA
from hstcube.core.bands import band_name
from hstcube.core.grids import Grid
from hstcube.core.state import attribute, notes_of
from hstcube.errors import HstCubeError, codes, spoken
from hstcube.pipeline.original import kernels_of_the_original
from hstcube.pipeline.photons import (
    added,
    may_lack_photons,
    photon_setting_of,
    photons_left_out,
    planned_photons,
)
from hstcube.pipeline.plan import Options, chosen_object
from hstcube.pipeline.recipe import (
    ALL_PIXELS,
    blank_pixels,
    detection_meant,
    map_notes,
    no_map,
    object_on,
)
from hstcube.pipeline.record import heard
from hstcube.pipeline.runs import images_for, sky_level_of, sky_plan_of
from hstcube.pipeline.sources import labels_of, refuse_align, without
from hstcube.psf.match import choose_kernels
from hstcube.regridding.align import check_alignment, warn_of_shifts
from hstcube.sky.level import sky_pixels, subtract_sky
from hstcube.surveys.known import traits

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    import xarray as xr

    from hstcube.pipeline.plan import Target
    from hstcube.pipeline.sources import Images
    from hstcube.surveys.names import FieldFiles

__all__ = ["Finding", "Report", "check", "examine"]

T = TypeVar("T")

# robust rms of the sky times sqrt(wht): 0.46 to 0.48 in drizzled WFC3/IR, 1.0 to 1.2 in ACS
NOISE_RATIO = (0.3, 1.3)
LARGE = 2**24  # pixels: of larger images only the headers are read
BYTES = 4  # of a pixel
_FIXES = {  # of warnings on which options act
    "HC-S11": "keep the largest piece alone: [[--largest|largest=True]]; or choose the ids that "
    "belong together: [[--ids FIELD=ID,ID|ids=]]"
}


@dataclass(frozen=True)
class Finding:
    """One thing found: an error, a warning, or what will be assumed (kind "note")."""

    kind: Literal["error", "warning", "note"]
    code: str
    text: str
    fix: str = ""
    file: str = ""
    band: str = ""


@dataclass
class Report:
    """What is known of a target before its run."""

    target: str
    field: str
    bands: tuple[str, ...] = ()
    findings: list[Finding] = dataclasses.field(default_factory=list)

    def of(self, kind: str) -> list[Finding]:
        """Return the findings of a kind."""
        return [finding for finding in self.findings if finding.kind == kind]

    def fails(self, *, strict: bool = False) -> bool:
        """Return whether a run would refuse this target."""
        return bool(self.of("error") or (strict and self.of("warning")))


def check(target: Target, *, masked: bool = True, to: str = "f160w", psf: str = "auto") -> Report:
    """Look at everything that a run of this target would look at; write nothing.

    Parameters
    ----------
    target : Target
        From `hstcube.pipeline.plan.plan`.
    masked : bool
        Whether the run is to use a segmentation map.
    to : str
        What the bands are to be matched to.
    psf : str
        As in `open_field`.

    Returns
    -------
    Report
    """
    return examine(target, Options(masked=masked, psf=psf, recipe={"to": to}))


def examine(target: Target, options: Options) -> Report:
    """Look at everything that a run with these options would look at; see `check`.

    Parameters
    ----------
    target : Target
    options : Options
        Those of the run; what they say of products is not looked at.

    Returns
    -------
    Report
    """
    report = Report(target.name, target.files.field)
    _attempt(report, lambda: refuse_align(target.files, options.align))
    images = _opened(report, target, options)
    if images is None:
        return report
    cube = images.cube
    report.bands = tuple(cube.band.values.tolist())
    report.findings += [Finding("note", "", text) for text in _assumed(cube)]
    usual = traits(attribute(cube, "survey"))
    for code, text in notes_of(cube.attrs["history"]):
        fix = "" if code in usual else codes()[code].fix
        report.findings.append(Finding("note", code, text, fix))
    _attempt(report, lambda: _judge_places(cube))
    _attempt(report, lambda: _judge_resolution(cube, options))
    if cube.chunks and detection_meant(target.files.labels):
        text = "sources will be detected; images as large as these are not read here"
        report.findings.append(Finding("note", "", text))
        return report
    labels = _attempt(report, lambda: _labels(target, cube, options))
    if labels is not None:
        _attempt(report, lambda: _judge_object(report, target, cube, labels, options))
    _attempt(report, lambda: _judge_sky(report, target, images, labels, options))
    _attempt(report, lambda: _judge_photons(report, target, images, labels, options))
    if labels is not None and not cube.chunks:
        _attempt(report, lambda: _judge_weights(report, target, cube, labels))
    return report


def _attempt(report: Report, function: Callable[[], T], *, warned: bool = True) -> T | None:
    """Return what the function returns; what it raises becomes a finding, and what it warns of."""
    with heard() as notes:
        try:
            found = function()
        except HstCubeError as error:
            finding = Finding("error", error.code, error.reason, error.fix, error.file, error.band)
            if finding not in report.findings:
                report.findings.append(finding)
            return None
    if warned:
        report.findings += [Finding("warning", *note) for note in notes]
    return found


def _opened(report: Report, target: Target, options: Options) -> Images | None:
    """Open all bands together; else those that can be opened, and each that cannot is a finding."""
    everything = tuple(band_name(name) for name in options.bands) or tuple(target.files.bands)
    images = _attempt(report, partial(_open, target, everything, options))
    if images is not None:
        return images
    whole = []
    for band in everything:  # what there is to warn of is said when all of them are opened together
        alone = partial(_open, target, (band,), options)
        if _attempt(report, alone, warned=False) is not None:
            whole.append(band)
    if not 0 < len(whole) < len(everything):
        return None
    return _attempt(report, partial(_open, target, tuple(whole), options))


def _open(target: Target, bands: tuple[str, ...], options: Options) -> Images:
    options = dataclasses.replace(options, bands=bands)
    return images_for(target.files, options, chunks={} if _is_large(target.files) else None)


def _is_large(files: FieldFiles) -> bool:
    paths = [path for band in files.bands.values() for path in band.sci]
    sizes = [path.stat().st_size for path in paths if path.exists()]
    return max(sizes, default=0) > BYTES * LARGE


def _assumed(cube: xr.Dataset) -> list[str]:
    """Return what opening the files took from tables and files beside them, each thing once."""
    notes: list[str] = []
    for line in cube.attrs["history"].splitlines():
        if notes_of(line):
            continue
        said = line.removesuffix(f" (hstcube {__version__})")
        notes += said.split("; ")[1:] if said.startswith("open_field") else [said]
    return list(dict.fromkeys(notes))


def _judge_resolution(cube: xr.Dataset, options: Options) -> None:
    """Warn of how the bands will be matched, and raise where one cannot be."""
    to = options.recipe.get("to", "f160w")
    if options.kind == "original":
        kernels_of_the_original(cube, to)
    else:
        choose_kernels(cube, to=to, allow=options.recipe.get("allow", ()))


def _judge_places(cube: xr.Dataset) -> None:
    """Warn of bands that lie elsewhere than their neighbours in wavelength."""
    if not cube.chunks:
        warn_of_shifts(cube, check_alignment(cube))


def _labels(target: Target, cube: xr.Dataset, options: Options) -> xr.DataArray | None:
    if options.masked and target.files.labels is None:
        what = f"field {target.files.field}"
        raise no_map(what, ALL_PIXELS)
    return without(labels_of(target.files, cube), cube, options.exclude)[0]


def _judge_object(
    report: Report, target: Target, cube: xr.Dataset, labels: xr.DataArray, options: Options
) -> None:
    """Say how large the object is, and what is odd about it and its map."""
    grid, kind = Grid.of(cube), options.kind
    chosen = chosen_object(target, options)
    ids, largest = chosen["ids"], chosen["largest"]
    seen = object_on(grid, labels, ids, grow=0, largest=largest, recipe=kind)
    keep = object_on(grid, labels, recipe=kind, **chosen)
    used = keep.values  # what has data in no band is no pixel of the cube
    if not cube.chunks:
        used = used & (cube.wht.values > 0).any(axis=0)
    text = f"object of {int(seen.sum())} pixels, not grown; the cube's mask has {int(used.sum())}"
    text += f", grown by {chosen['grow']}"
    report.findings.append(Finding("note", "", text))
    notes = map_notes(labels, ids, keep, grid, largest=largest, recipe=kind)
    usual = traits(attribute(cube, "survey"))
    for code, said in notes:
        harmless = code in usual or codes()[code].kind == "N"
        told: Literal["note", "warning"] = "note" if harmless else "warning"
        report.findings.append(Finding(told, code, said, spoken(_FIXES.get(code, ""))))


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


def _judge_photons(
    report: Report,
    target: Target,
    images: Images,
    labels: xr.DataArray | None,
    options: Options,
) -> None:
    """Say where photon noise will be added, where it cannot be, and where it should be."""
    cube, kind, files = images.cube, options.kind, target.files
    poisson = photon_setting_of(files, options.recipe, report.bands)
    planned = planned_photons(cube, poisson, kind)
    if planned.left:
        code = "HC-N21"
        report.findings.append(Finding("note", code, planned.left, spoken(codes()[code].fix)))
    if planned.exposure is not None:
        told = attribute(added(cube, planned), "poisson")
        report.findings.append(Finding("note", "", f"photon noise will be added: {told}"))
    if not may_lack_photons(cube, poisson, kind):
        return
    _, level = sky_level_of(files, images, labels, options)
    observed = cube if level is None else subtract_sky(cube, level)
    chosen = chosen_object(target, options)
    keep = (
        None if labels is None else object_on(Grid.of(cube), labels, recipe=kind, **chosen).values
    )
    for code, text in photons_left_out(observed, poisson, kind, keep):
        report.findings.append(Finding("warning", code, text, spoken(codes()[code].fix)))


def _judge_weights(report: Report, target: Target, cube: xr.Dataset, labels: xr.DataArray) -> None:
    """Compare the noise of the blank sky with the weights."""
    used = sky_pixels(cube, background=blank_pixels(labels, Grid.of(cube)), method="clipped")
    for band, sci, wht, there in zip(
        report.bands, cube.sci.values, cube.wht.values, used, strict=True
    ):
        ratio = _noise_ratio(sci[there], wht[there])
        if there.any() and not NOISE_RATIO[0] <= ratio <= NOISE_RATIO[1]:
            text = f"the sky's rms is {ratio:.3g} of 1/sqrt(wht); 0.4 to 1.2 is usual"
            text += ": wht is not an inverse variance"
            fix = "say what it is: wht_kind = 'rms' or 'variance' in a field file"
            fix += "; exposure times must be converted first"
            place = str(target.files.one(band, "wht"))
            report.findings.append(Finding("warning", "HC-D24", text, fix, place, band))


def _noise_ratio(sci: Any, wht: Any) -> float:
    """Return the robust rms of pixels in units of what their weights promise."""
    pull = (sci - np.median(sci)) * np.sqrt(wht, dtype=np.float64)
    return float(MAD_TO_SIGMA * np.median(np.abs(pull)))
