"""PSFs from stars: which stars can be trusted where, and the mean of those that can.

`examine_stars` centres stamps of stars, cleans them of neighbours, and judges every star in every
band; `measure_psf` adds up what it trusts. In between is a table that can be read, and changed.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import xarray as xr

from hstcube.core.grids import Grid
from hstcube.core.offsets import psf_offsets
from hstcube.core.rules import taken
from hstcube.errors import PSFError, RecipeError
from hstcube.inputs.arrays import shown
from hstcube.inputs.quantities import whole_number
from hstcube.psf.one_star import APERTURE, BRIGHT, COMPACT, FLATTENED, cleaned, measured
from hstcube.psf.profiles import CORE, fwhm, odd, radius_map

if TYPE_CHECKING:
    from collections.abc import Mapping

    from astropy.table import QTable
    from numpy.typing import NDArray

    Image64 = NDArray[np.float64]
    Mask = NDArray[np.bool_]

__all__ = ["examine_stars", "measure_psf", "star_table"]

_SIDES = 4095  # pixels of a PSF image at most
SIZE = 3.9  # arcsec, side of a PSF image: 65 pixels of 60 mas

# What tells a star that can be trusted, with FLATTENED; the stars of docs/psf.md lie well on either
# side of each
DAMAGED = 3.0  # misfit of the core, over that of the best star
LOW_WEIGHT = 0.25  # least weight in the core, over the median of the stamp
EXTENDED = 0.95  # light within 0.45 arcsec, over that of the most compact star
FAINT = 30.0  # signal to noise within 0.3 arcsec
NO_WINGS = 300.0  # ... below which the wings are noise

_SCATTER = 0.05  # by which true PSFs differ from star to star, per pixel (of its value)
_PERFECT = 0.005  # misfit that no core falls below: noise is taken off it
_CLIP = 3.0


def measure_psf(
    stars: Mapping[str, xr.Dataset] | xr.Dataset, *, size: int | None = None
) -> xr.DataArray:
    """Measure the PSF of every band from stars.

    The mean of the stars that `examine_stars` trusts, weighted by their signal to noise (up to
    where true PSFs differ from star to star, 5 % of a pixel's value) and clipped at 3 sigma. Cores
    and wings are put together from different stars where they must: stars are scaled to one another
    by the light that they have in common.

    Parameters
    ----------
    stars : mapping of name to Dataset, or Dataset
        One cube a star, with the star near its middle; or what `examine_stars` returned, with
        verdicts changed or not.
    size : int, optional
        Side of the PSF, pixels, odd; 3.9 arcsec when not given.

    Returns
    -------
    DataArray, (band, ky, kx)
        Unit sum, centred on the middle pixel; ``ky``, ``kx`` are offsets in arcsec. Coordinates
        ``stars`` (band), the names of those used, and ``fwhm`` (band) [arcsec].

    Raises
    ------
    PSFError
        If no star shows the core, or none the wings, of a band.
    """
    looked_at = stars if isinstance(stars, xr.Dataset) else examine_stars(stars, size=size)
    _require_looked_at(looked_at)
    scale = float(looked_at.attrs["scale"])
    means = [_mean_star(looked_at.sel(band=band), scale) for band in looked_at.band.values]
    images = np.stack([mean.image for mean in means])
    psf = xr.DataArray(
        images.astype(np.float32),
        {"band": looked_at.band.values, "ky": looked_at.ky.values, "kx": looked_at.kx.values},
        ("band", "ky", "kx"),
        "psf",
        {"long_name": "point spread function, unit sum"},
    )
    widths = [fwhm(image) * scale for image in images]
    used = np.array([mean.stars for mean in means], object)
    return psf.assign_coords(stars=("band", used), fwhm=("band", widths, {"units": "arcsec"}))


def examine_stars(stars: Mapping[str, xr.Dataset], *, size: int | None = None) -> xr.Dataset:
    """Centre and clean stamps of stars, and say of each in every band what it can be used for.

    The local background is removed, and neighbours are taken out: a point source by its PSF (the
    median of other stars), anything else by what lies opposite it across the star. A star is

    - *rejected* when it is too faint, or more extended than the most compact star in any band;
    - *wings only* where its core is flatter than that of the narrowest star (saturated), misfits
      it, or has pixels of little or no weight;
    - *core only* where its wings drown in noise;
    - *used* otherwise.

    Parameters
    ----------
    stars : mapping of name to Dataset
        One cube a star, the star near its middle, all of the same bands and pixel scale.
    size : int, optional
        Side of the stamps that are returned, pixels, odd; 3.9 arcsec when not given.

    Returns
    -------
    Dataset, (star, band)
        ``verdict`` and ``reason`` in words; ``core_width`` (sigma of a Gaussian fitted to the core)
        and ``fwhm`` [arcsec], ``compactness`` (light within 0.45 arcsec over that within 1.2
        arcsec) and its error, ``misfit``, ``core_weight``, ``snr``, ``neighbours`` (their number),
        ``y``, ``x`` (pixels of the stamp); ``image`` (star, band, ky, kx), cleaned, centred, and
        scaled to unit light within 1.2 arcsec. `star_table` makes a table of it.

    Raises
    ------
    PSFError
        If there is no star, or their bands or scales differ.
    """
    stars, bands, scale = _checked(stars)
    names = list(stars)
    clean = cleaned(stars, bands, scale)
    found = [measured(clean[name, band]) for name in names for band in bands]
    shape = (len(names), len(bands))
    columns = {}
    for key in _COLUMNS:
        columns[key] = np.array([getattr(one, key) for one in found]).reshape(shape)
    verdict, reason = _judged(columns, names, bands)
    side = odd(SIZE / scale) if size is None else whole_number(size, "size", least=3, most=_SIDES)
    if side % 2 == 0:
        reason = f"size is {side}, whose middle is no pixel"
        raise RecipeError("HC-B31", reason, f"give an odd number, e.g. [[|size=]]{side + 1}")
    images = np.stack([one.image(side) for one in found])
    dims = ("star", "band")
    return xr.Dataset(
        {
            "verdict": (dims, verdict),
            "reason": (dims, reason),
            **{key: (dims, values, _COLUMNS[key]) for key, values in columns.items()},
            "image": ((*dims, "ky", "kx"), images.astype(np.float32).reshape(*shape, side, side)),
        },
        {
            "star": np.array(names, object),
            "band": np.array(bands, object),
            **psf_offsets((side, side), scale),
        },
        {"scale": scale},
    )


def star_table(stars: xr.Dataset) -> QTable:
    """Return what `examine_stars` found as a table, one row a star and band.

    Parameters
    ----------
    stars : Dataset

    Returns
    -------
    QTable
        star, band, verdict, reason, and the measurements.
    """
    from astropy.table import QTable
    from astropy.units import Unit

    number = stars.sizes["star"], stars.sizes["band"]
    table = QTable(
        {
            "star": np.repeat(stars.star.values.astype(str), number[1]),
            "band": np.tile(stars.band.values.astype(str), number[0]),
        }
    )
    for key in ("verdict", "reason"):
        table[key] = stars[key].values.ravel().astype(str)
    for key in _COLUMNS:
        table[key] = stars[key].values.ravel().astype(float)
        if unit := stars[key].attrs.get("units"):
            table[key] = table[key] * Unit(unit)
    return table


_COLUMNS = {
    "core_width": {"units": "arcsec"},
    "fwhm": {"units": "arcsec"},
    "compactness": {},
    "compactness_error": {},
    "misfit": {},
    "core_weight": {},
    "snr": {},
    "neighbours": {},
    "y": {"units": "pixel"},
    "x": {"units": "pixel"},
}


def _checked(stars: Any) -> tuple[dict[str, xr.Dataset], list[str], float]:
    if isinstance(stars, xr.Dataset) or not hasattr(stars, "keys"):
        given = "one Dataset" if isinstance(stars, xr.Dataset) else shown(stars)
        fix = (
            "give a name to each[[|: examine_stars({'1': cube, ...}), or "
            "star_stamps(cube, places)]]"
        )
        raise PSFError("HC-P10", f"stars are a mapping of name to cube, this is {given}", fix)
    if not stars:
        fix = "give stamps of stars[[|: examine_stars({'1': cube, ...})]]"
        raise PSFError("HC-P10", "there are no stars", fix)
    stars = {str(name): taken(cube) for name, cube in stars.items()}
    names = list(stars)
    bands, scale = stars[names[0]].band.values.tolist(), Grid.of(stars[names[0]]).scale
    for name in names:
        if (has := stars[name].band.values.tolist()) != bands:
            raise PSFError(
                "HC-P11",
                f"star {name} has bands {has}, star {names[0]} {bands}",
                "open them with the same bands",
            )
        if abs(Grid.of(stars[name]).scale / scale - 1) > 1e-3:  # noqa: PLR2004
            raise PSFError(
                "HC-P11", f"star {name} is on pixels of another size", "measure one scale at a time"
            )
    return stars, bands, scale


def _require_looked_at(stars: Any) -> None:
    """Raise PSFError unless this is what `examine_stars` returns."""
    if isinstance(stars, xr.Dataset) and "scale" in stars.attrs and "verdict" in stars:
        return
    raise PSFError(
        "HC-P10",
        f"examined stars are needed, this is {shown(stars)}",
        "[[examine the stars first|give what examine_stars({'1': cube, ...}) returns]]",
    )


# -- verdicts


def _judged(columns: dict[str, Any], names: list[str], bands: list[str]) -> tuple[Any, Any]:
    """Return verdicts and reasons, (star, band)."""
    shape = (len(names), len(bands))
    verdict, reason = np.full(shape, "used", object), np.full(shape, "", object)
    extended = _extended(columns, bands)
    for i, why in enumerate(extended):
        if why:
            verdict[i], reason[i] = "rejected", why
    stars = np.array([not why for why in extended])
    for j in range(len(bands)):
        one = {key: values[:, j] for key, values in columns.items()}
        best, narrowest = _best_core(one, stars)
        for i in map(int, np.flatnonzero(stars)):
            verdict[i, j], reason[i, j] = _verdict(
                one["core_width"][i] / narrowest,
                one["misfit"][i] / best,
                one["core_weight"][i],
                one["snr"][i],
                int(one["neighbours"][i]),
            )
    return verdict, reason


def _extended(columns: dict[str, Any], bands: list[str]) -> list[str]:
    """Return of every star in which bands it is no point source, "" where it is one."""
    compactness, error = columns["compactness"], _CLIP * columns["compactness_error"]
    most = (compactness - error).max(0)
    wide = compactness + error < EXTENDED * most
    reasons = []
    for ratio, where in zip(compactness / most, wide, strict=True):
        if not where.any():
            reasons.append("")
            continue
        worst = int(np.argmin(np.where(where, ratio, np.inf)))
        listed = ", ".join(np.array(bands)[where].tolist())
        reasons.append(
            f"extended: in {listed}; in {bands[worst]} it has {1 - ratio[worst]:.0%} less light "
            f"within {COMPACT} arcsec than the most compact star"
        )
    return reasons


def _best_core(one: dict[str, Any], stars: Mask) -> tuple[float, float]:
    """Return the least misfit, and the least width, of the sound cores in one band."""
    sound = stars & (one["core_weight"] >= LOW_WEIGHT) & (one["snr"] >= FAINT)
    least = np.nanmin(np.where(sound, one["misfit"], np.nan), initial=math.inf)
    best = max(least, _PERFECT)
    sound &= one["misfit"] <= DAMAGED * best
    narrowest = np.nanmin(np.where(sound, one["core_width"], np.nan), initial=math.inf)
    return best, narrowest


def _verdict(
    width: float, misfit: float, weight: float, snr: float, neighbours: int
) -> tuple[str, str]:
    """Return the verdict on a point source in one band, and its reason."""
    if not snr >= FAINT:
        return "rejected", f"too faint: signal to noise {snr:.0f} within {BRIGHT} arcsec"
    if weight < LOW_WEIGHT:
        return "wings only", f"damaged core: a pixel has {weight:.0%} of the usual weight"
    if not width <= FLATTENED:
        wider = f"{width - 1:.0%} wider than the narrowest star's"
        return "wings only", f"flattened core, as saturation makes it: {wider}"
    if misfit > DAMAGED:
        return "wings only", f"damaged core: its misfit is {misfit:.1f} times that of the best star"
    mended = f"{neighbours} neighbour{'s' * (neighbours > 1)} taken out" if neighbours else ""
    if snr < NO_WINGS:
        faint = f"signal to noise {snr:.0f} within {BRIGHT} arcsec"
        return "core only", f"{faint}; {mended}" if mended else faint
    return "used", mended


# -- the mean


class _Mean(NamedTuple):
    """The PSF of one band."""

    image: Image64  # unit sum
    stars: str  # the names of those used


def _mean_star(one: xr.Dataset, scale: float) -> _Mean:
    """Return the mean of the stars in one band: core and wings from those that show them."""
    verdict = one.verdict.values
    core = (verdict == "used") | (verdict == "core only")
    wings = (verdict == "used") | (verdict == "wings only")
    if not core.any():
        raise PSFError(
            "HC-P10",
            f"no star shows the core of its PSF ({_reasons(one)})",
            "give more stars",
            band=str(one.band.item()),
        )
    if not wings.any():
        wings = core
    images = one.image.values.astype(np.float64)
    distance = radius_map(images.shape[1:])
    # beyond, a saturated star is sound
    inner = 2 * CORE * float(np.nanmin(one.fwhm.values[core])) / scale
    reference = images[core].mean(0)
    ring = (distance > inner) & (distance <= APERTURE / scale)
    for i in np.flatnonzero(wings & ~core):
        images[i] *= reference[ring].sum() / images[i][ring].sum()
    noise = np.maximum(1 / one.snr.values, 1e-6) / (math.sqrt(math.pi) * BRIGHT / scale)
    spread = np.hypot(noise[:, None, None], _SCATTER * np.abs(reference))
    sound = np.where(distance <= inner, core[:, None, None], wings[:, None, None])
    mean = _clipped_mean(images, spread, sound & np.isfinite(images))
    return _Mean(mean / mean.sum(), " ".join(map(str, one.star.values[core | wings])))


def _reasons(one: xr.Dataset) -> str:
    pairs = zip(one.star.values, one.reason.values, strict=True)
    return "; ".join(f"{name}: {reason}" for name, reason in pairs)


def _clipped_mean(images: Image64, spread: Image64, sound: Mask) -> Image64:
    """Return the weighted mean of images where they are sound, without what is 3 sigma off it."""
    for _ in range(3):
        weight = sound / spread**2
        mean = (weight * images).sum(0) / np.maximum(weight.sum(0), 1e-300)
        clipped = sound & (np.abs(images - mean) <= _CLIP * spread)
        sound = np.where(clipped.any(0), clipped, sound)
    return np.where(sound.any(0), mean, 0.0)
