"""What a report tells of a cube, as numbers: they stand on its page and in its qa.json."""

from __future__ import annotations

import dataclasses
import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hstcube.core.cube import variance
from hstcube.core.grids import Grid
from hstcube.core.state import attribute
from hstcube.errors import HstCubeError
from hstcube.matching.comparison import psf_quality
from hstcube.noise.blank import blank_skies
from hstcube.noise.empty_apertures import SIZES, noise_check
from hstcube.noise.groups import group_errors
from hstcube.phot.groups import common_mask
from hstcube.phot.table import photometry
from hstcube.phot.units import to_flux
from hstcube.regridding.align import check_alignment
from hstcube.report.pixels import middle
from hstcube.sky.level import measure_sky

if TYPE_CHECKING:
    from collections.abc import Callable

    import xarray as xr
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]

__all__ = ["HISTOGRAM", "MANY", "Band", "Edge", "Facts", "Given", "edge_of", "facts_of", "in_flux"]

FLUX = "nJy"
_APERTURE = 0.36  # arcsec: the diameter in which depths are told
_DEPTHS = 40  # apertures that are looked at
MANY = 100  # empty apertures: of fewer the scatter is hardly known
_RADII = 16
HISTOGRAM = np.linspace(-5, 5, 41)  # in errors of a pixel
_AB = 31.4  # mag of 1 nJy

_UNKNOWN = float("nan")


@dataclass(frozen=True)
class Given:
    """What a report is made of.

    `before`: the images as they were observed, without their sky, on the cube's grid; `labels`:
    the segmentation map on it; `record`: what run.json keeps of the target.
    """

    cube: xr.Dataset
    before: xr.Dataset | None = None
    labels: xr.DataArray | None = None
    groups: NDArray[Any] | None = None
    fit: Any = None
    record: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclass
class Band:
    """One band; lengths in arcsec, fluxes in the unit that `Facts` tells, NaN: not known."""

    name: str
    pivot: float
    zeropoint: float = _UNKNOWN
    fwhm_before: float = _UNKNOWN
    fwhm: float = _UNKNOWN
    match_error: float = _UNKNOWN
    psf: str = ""
    """The verdict of `psf_quality`; "" without PSFs."""
    noise: float = _UNKNOWN
    """Scatter of empty apertures over the predicted one."""
    noise_error: float = _UNKNOWN
    sky_left: float = _UNKNOWN
    sky_left_error: float = _UNKNOWN
    shift: float = _UNKNOWN
    shifted: bool = False
    depth: float = _UNKNOWN
    """5 sigma in an aperture of 0.36 arcsec diameter [AB mag]."""
    flux: float = _UNKNOWN
    error: float = _UNKNOWN

    @property
    def sky_pull(self) -> float:
        """The sky left over, in its errors."""
        return self.sky_left / self.sky_left_error if self.sky_left_error > 0 else _UNKNOWN


class Edge(NamedTuple):
    """Where the mask ends because nothing is known beyond; pixels of it that lie there."""

    frame: int
    data: int
    """Beside pixels without data in any band."""
    labels: int | None
    """Beside pixels that the segmentation map does not cover; None without a map."""
    everything: bool
    """The mask is all that has data: none was made."""


@dataclass
class Facts:
    """All numbers of a report."""

    field: str
    unit: str
    target: str
    """What the bands are matched to."""
    pixels: int
    edge: Edge
    bands: list[Band]
    noise: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    """Rows of `noise_check`: band, size, number, ratio."""
    radius: list[float] = dataclasses.field(default_factory=list)
    """Arcsec, of the two that follow: encircled energy over the target's, by band."""
    ee_before: list[list[float]] = dataclasses.field(default_factory=list)
    ee: list[list[float]] = dataclasses.field(default_factory=list)
    growth_radius: list[float] = dataclasses.field(default_factory=list)
    growth: list[list[float]] = dataclasses.field(default_factory=list)
    """Flux of the mask's pixels within a radius, over that of all of them, by band."""
    histogram: list[list[int]] = dataclasses.field(default_factory=list)
    """Blank pixels by band, in 40 bins from -5 to 5 errors of a pixel."""
    why_not: dict[str, str] = dataclasses.field(default_factory=dict)
    """What could not be measured, and why."""


def in_flux(cube: xr.Dataset) -> tuple[xr.Dataset, str]:
    """Return the cube in nJy, or as it is where a zero point is not known; and the unit."""
    try:
        return to_flux(cube, FLUX), FLUX
    except HstCubeError:
        return cube, str(cube.sci.attrs.get("units", ""))


def facts_of(given: Given, edge: Edge) -> Facts:
    """Measure what a report tells of a cube; the edge is that of all of it."""
    cube = given.cube
    flux, unit = in_flux(cube)
    inside = common_mask(cube).values
    bands = [
        Band(str(name), float(pivot), float(zero), fwhm=float(width))
        for name, pivot, zero, width in zip(
            cube.band.values, cube.pivot.values, cube.zeropoint.values, cube.psf_fwhm.values,
            strict=True,
        )
    ]  # fmt: skip
    facts = Facts(
        field=attribute(cube, "field"),
        unit=unit,
        target=str(cube.matched_to.values[0]),
        pixels=int(cube.mask.any("band").values.sum()),
        edge=edge,
        bands=bands,
    )
    background = None if given.labels is None else given.labels.values == 0
    blank = blank_skies(flux, background).parts[0].blank
    measures: dict[str, Callable[[], None]] = {
        "psf": lambda: _add_psfs(facts, given),
        "noise": lambda: _add_noise(facts, cube, background),
        "sky": lambda: _add_sky(facts, flux, background, blank),
        "shifts": lambda: _add_shifts(facts, cube),
        "depth": lambda: _add_depths(facts, flux, blank),
        "flux": lambda: _add_fluxes(facts, flux, inside),
        "growth": lambda: _add_growth(facts, flux, inside),
    }
    for name, add in measures.items():
        try:
            add()
        except HstCubeError as error:
            facts.why_not[name] = error.reason
    return facts


def edge_of(cube: xr.Dataset, labels: xr.DataArray | None) -> Edge:
    """Count the pixels of the mask beside which nothing is known."""
    from scipy import ndimage

    inside = cube.mask.any("band").values
    data = (cube.wht > 0).any("band").values
    around = np.ones((3, 3), bool)
    rim = np.zeros_like(inside)
    rim[[0, -1]] = rim[:, [0, -1]] = True
    empty = ndimage.binary_dilation(~data, around)
    uncovered = None
    if labels is not None:
        uncovered = ndimage.binary_dilation(labels.values == -1, around)
    return Edge(
        frame=int((inside & rim).sum()),
        data=int((inside & empty).sum()),
        labels=None if uncovered is None else int((inside & uncovered).sum()),
        everything=bool(np.array_equal(inside, data)),
    )


def _add_psfs(facts: Facts, given: Given) -> None:
    cube, before = given.cube, given.before
    if before is not None:
        for band, width in zip(facts.bands, before.psf_fwhm.values.tolist(), strict=True):
            band.fwhm_before = width
    quality = psf_quality(cube)
    errors = quality.error.values
    if "psf_ee_error" in cube.coords:
        errors = np.fmax(cube.psf_ee_error.values, errors)
    for band, error, verdict in zip(facts.bands, errors, quality.verdict.values, strict=True):
        band.match_error, band.psf = float(error), str(verdict)
    facts.radius = quality.radius.values.tolist()
    facts.ee = quality.ee_ratio.values.tolist()
    if before is not None and "psf" in before.coords and facts.target:
        was = psf_quality(before, to=facts.target)
        facts.ee_before = was.ee_ratio.values.tolist()


def _add_noise(facts: Facts, cube: xr.Dataset, background: Any) -> None:
    with warnings.catch_warnings():  # of a sky so small that its background is all there is
        warnings.simplefilter("ignore", RuntimeWarning)
        sizes = [size for size in SIZES if size <= min(cube.sci.shape[1:])]
        table = noise_check(cube, background=background, sizes=sizes)
    facts.noise = [
        {"band": str(row["band"]), "size": int(row["size"]), "number": int(row["number"]),
         "ratio": float(row["ratio"]), "error": float(row["error"])}
        for row in table
    ]  # fmt: skip
    for band in facts.bands:
        known = [
            (row["ratio"], row["error"])
            for row in facts.noise
            if row["band"] == band.name and row["number"] >= MANY and np.isfinite(row["ratio"])
        ]
        if known:
            band.noise, band.noise_error = np.median(known, axis=0).tolist()
    if all(np.isnan(band.noise) for band in facts.bands):
        facts.why_not["noise"] = f"there are fewer than {MANY} empty apertures"


def _add_sky(facts: Facts, flux: xr.Dataset, background: Any, blank: Mask) -> None:
    levels = measure_sky(flux, background=background)
    rows = zip(facts.bands, levels.values, levels.sky_error.values, strict=True)
    for band, level, error in rows:
        band.sky_left, band.sky_left_error = float(level), float(error)
    pulls = flux.sci.values / np.sqrt(variance(flux).values)
    facts.histogram = [
        np.histogram(pull[blank & np.isfinite(pull)], HISTOGRAM)[0].tolist() for pull in pulls
    ]


def _add_shifts(facts: Facts, cube: xr.Dataset) -> None:
    found = check_alignment(cube)
    for band, pixels, shifted in zip(
        facts.bands, found.pixels.values, found.shifted.values, strict=True
    ):
        band.shift, band.shifted = float(pixels), bool(shifted)
    if not np.isfinite(found.pixels.values[1:]).any():
        facts.why_not["shifts"] = "no two bands have enough sources in common"


def _add_depths(facts: Facts, flux: xr.Dataset, blank: Mask) -> None:
    """Add what empty apertures of 0.36 arcsec diameter can show at 5 sigma."""
    if facts.unit != FLUX:
        facts.why_not["depth"] = "a zero point is not known"
        return
    groups = _discs(blank, Grid.of(flux).scale)
    if not groups.any():
        facts.why_not["depth"] = "there is no blank sky for an aperture"
        return
    errors = [middle(one) for one in group_errors(flux, groups).values]
    for band, error in zip(facts.bands, errors, strict=True):
        band.depth = _AB - 2.5 * math.log10(5 * error) if error > 0 else _UNKNOWN


def _discs(blank: NDArray[np.bool_], scale: float) -> NDArray[np.int32]:
    """Return apertures that are blank as groups, spread over the image."""
    reach = int(_APERTURE / 2 / scale)
    y, x = np.indices((2 * reach + 1, 2 * reach + 1)) - reach
    disc = np.hypot(y, x) * scale <= _APERTURE / 2
    places = [
        (i, j)
        for i in range(0, blank.shape[0] - 2 * reach, 2 * reach + 2)
        for j in range(0, blank.shape[1] - 2 * reach, 2 * reach + 2)
        if blank[i : i + 2 * reach + 1, j : j + 2 * reach + 1][disc].all()
    ]
    groups = np.zeros(blank.shape, np.int32)
    for number, (i, j) in enumerate(places[:: max(1, len(places) // _DEPTHS)], start=1):
        groups[i : i + 2 * reach + 1, j : j + 2 * reach + 1][disc] = number
    return groups


def _add_fluxes(facts: Facts, flux: xr.Dataset, inside: NDArray[np.bool_]) -> None:
    if not inside.any():
        facts.why_not["flux"] = "no pixel of the mask has data in all bands"
        return
    row = photometry(flux, inside.astype(np.int32))[0]
    for band in facts.bands:
        band.flux = float(row[f"flux_{band.name}"].to_value(FLUX))
        band.error = float(row[f"error_{band.name}"].to_value(FLUX))


def _add_growth(facts: Facts, flux: xr.Dataset, inside: NDArray[np.bool_]) -> None:
    """Add how the light of the mask's pixels grows with the radius from their centre of light."""
    if not inside.any():
        return
    images = flux.sci.values[:, inside].astype(np.float64)
    y, x = np.nonzero(inside)
    light = images[-1].clip(0) if (images[-1] > 0).any() else np.ones(y.size)
    centre = np.average([y, x], axis=1, weights=light)
    far = np.hypot(y - centre[0], x - centre[1]) * Grid.of(flux).scale
    order = np.argsort(far, kind="stable")
    radii = np.linspace(0, far.max(), _RADII + 1)[1:] if y.size > 1 else np.array([1.0])
    within = np.searchsorted(far[order], radii, side="right") - 1
    grown = np.cumsum(images[:, order], axis=1)
    facts.growth_radius = radii.tolist()
    with np.errstate(invalid="ignore", divide="ignore"):  # of a band without light
        facts.growth = np.where(within >= 0, grown[:, within] / grown[:, -1:], 0).tolist()
