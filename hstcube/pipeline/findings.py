"""What a run would stumble over or assume, found before anything is computed or written."""

from __future__ import annotations

import dataclasses
import warnings
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np

from hstcube import __version__
from hstcube.core.grids import Grid
from hstcube.errors import HstCubeError, HstCubeWarning, LabelError
from hstcube.files.labels import open_labels
from hstcube.files.levels import read_levels
from hstcube.pipeline.assemble import open_files
from hstcube.pipeline.recipe import blank_sky
from hstcube.psf.match import choose_kernels
from hstcube.regridding.align import check_alignment, warn_of_shifts
from hstcube.regridding.labels import coverage, regrid_mask
from hstcube.sky.level import sky_pixels
from hstcube.sky.masks import object_mask, object_notes

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    import xarray as xr

    from hstcube.pipeline.runs import Target

__all__ = ["Finding", "Report", "check"]

NOISE_RATIO = (
    0.3,
    1.3,
)  # robust rms of the sky times sqrt(wht): 0.46 to 0.48 in drizzled WFC3/IR, 1.0 to 1.2 in ACS
LARGE = 2**24  # pixels: of larger images only the headers are read

_MAD_TO_SIGMA = 1.482602218505602


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
        From `hstcube.pipeline.runs.plan`.
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
    report = Report(target.name, target.files.field)
    everything = list(target.files.bands)
    cube = _attempt(report, partial(_open, target, everything, psf))
    if (
        cube is None
    ):  # then band by band, so that each says what is wrong with it, and those that are whole together
        whole = [
            band
            for band in everything
            if _attempt(report, partial(_open, target, [band], psf)) is not None
        ]
        cube = (
            _attempt(report, partial(_open, target, whole, psf))
            if 0 < len(whole) < len(everything)
            else None
        )
    if cube is None:
        return report
    report.bands = tuple(cube.band.values.tolist())
    report.findings += [
        Finding("warning", *line.split(" ", 1)) for line in cube.attrs["warnings"].splitlines()
    ]
    report.findings += [Finding("note", "", text) for text in _assumed(cube)]
    _attempt(report, lambda: _judge_places(report, cube))
    _attempt(report, lambda: _judge_resolution(report, cube, to))
    labels = _attempt(report, lambda: _labels(target, masked=masked))
    if labels is not None:
        _attempt(report, lambda: _judge_object(report, target, cube, labels))
    _attempt(report, lambda: _judge_sky(report, target, cube, labels))
    return report


def _attempt(report: Report, function: Callable[[], Any]) -> Any:
    """Return what the function returns; what it raises becomes a finding, once."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HstCubeWarning)
        try:
            return function()
        except HstCubeError as error:
            finding = Finding("error", error.code, error.reason, error.fix, error.file, error.band)
            if finding not in report.findings:
                report.findings.append(finding)
            return None


def _open(target: Target, bands: list[str], psf: str) -> xr.Dataset:
    size = max(
        path.stat().st_size
        for files in target.files.bands.values()
        for path in files.sci
        if path.exists()
    )
    return open_files(target.files, bands=bands, psf=psf, chunks={} if size > 4 * LARGE else None)


def _assumed(cube: xr.Dataset) -> list[str]:
    """Return what opening the files took from tables and from files beside them, each thing once."""
    lines = [
        line.removesuffix(f" (hstcube {__version__})")
        for line in cube.attrs["history"].splitlines()
    ]
    notes = [
        text
        for line in lines
        for text in (line.split("; ")[1:] if line.startswith("open_field") else [line])
    ]
    return list(dict.fromkeys(notes))


def _judge_resolution(report: Report, cube: xr.Dataset, to: str) -> None:
    """Say how the bands will be matched, and which of them cannot be."""
    seen, _ = choose_kernels(cube.assign_attrs(warnings=""), to=to)
    report.findings += [
        Finding("warning", *line.split(" ", 1)) for line in seen.attrs["warnings"].splitlines()
    ]


def _judge_places(report: Report, cube: xr.Dataset) -> None:
    """Say which bands lie elsewhere than their neighbours in wavelength."""
    if not cube.chunks:
        found = warn_of_shifts(cube.assign_attrs(warnings=""), check_alignment(cube))
        report.findings += [
            Finding("warning", *line.split(" ", 1)) for line in found.attrs["warnings"].splitlines()
        ]


def _labels(target: Target, *, masked: bool) -> xr.DataArray | None:
    if target.files.labels is not None:
        return open_labels(target.files.labels, hdu=target.files.hdu)
    if masked:
        reason = f"field {target.files.field} has no segmentation map"
        raise LabelError(
            "HC-S16", reason, "give one with --labels FILE, or take all pixels with --no-mask"
        )
    return None


def _judge_object(report: Report, target: Target, cube: xr.Dataset, labels: xr.DataArray) -> None:
    keep = object_mask(labels, *target.ids)
    seen = regrid_mask(keep, Grid.of(cube))
    if not seen.any():
        raise LabelError(
            "HC-S09",
            "no pixel of the cube belongs to the object",
            "check that map and images show one field",
        )
    report.findings.append(Finding("note", "", f"object of {int(seen.sum())} pixels, not grown"))
    if (share := coverage(Grid.of(labels), Grid.of(cube))) < 1:
        report.findings.append(
            Finding("warning", "HC-S14", f"the segmentation map covers {share:.1%} of the frame")
        )
    if interpolated := labels.attrs["interpolated"]:
        text = f"{interpolated / labels.size:.1%} of the map's pixels are not integers; they belong to no object"
        report.findings.append(Finding("warning", "HC-S04", text))
    report.findings += [Finding("warning", *note) for note in object_notes(labels, *target.ids)]


def _judge_sky(
    report: Report, target: Target, cube: xr.Dataset, labels: xr.DataArray | None
) -> None:
    """Compare the noise of the blank sky with the weights; say where levels will come from."""
    known = read_levels(target.files, report.bands, scale=Grid.of(cube).scale)
    if missing := [band for band in report.bands if band not in known]:
        blank_sky(labels, Grid.of(cube))  # raises when nothing tells the blank pixels
        report.findings.append(
            Finding("note", "", f"sky levels of {', '.join(missing)} will be measured")
        )
    if labels is None or cube.chunks:
        return
    used = sky_pixels(cube, background=blank_sky(labels, Grid.of(cube)), method="clipped")
    for band, sci, wht, there in zip(
        report.bands, cube.sci.values, cube.wht.values, used, strict=True
    ):
        ratio = _noise_ratio(sci[there], wht[there])
        if there.any() and not NOISE_RATIO[0] <= ratio <= NOISE_RATIO[1]:
            text = f"the sky's rms is {ratio:.3g} of 1/sqrt(wht); 0.4 to 1.2 is usual: wht is not an inverse variance"
            fix = "say what it is: wht_kind = 'rms' or 'variance' in a field file; exposure times must be converted first"
            report.findings.append(
                Finding("warning", "HC-D24", text, fix, str(target.files.one(band, "wht")), band)
            )


def _noise_ratio(sci: Any, wht: Any) -> float:
    """Return the robust rms of pixels in units of what their weights promise."""
    pull = (sci - np.median(sci)) * np.sqrt(wht, dtype=np.float64)
    return float(_MAD_TO_SIGMA * np.median(np.abs(pull)))
