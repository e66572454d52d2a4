"""PSFs from stars: which stars can be trusted where, and the mean of those that can.

`examine_stars` centres stamps of stars, cleans them of neighbours, and judges every star in every
band; `measure_psf` adds up what it trusts. In between is a table that can be read, and changed.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from hstcube.core.grids import Grid
from hstcube.core.offsets import psf_offsets, with_errors
from hstcube.core.rules import taken
from hstcube.core.state import attribute
from hstcube.errors import PSFError, RecipeError
from hstcube.inputs.arrays import shown
from hstcube.inputs.quantities import whole_number
from hstcube.psf.known import tell_doubts
from hstcube.psf.mean import error_of, mean_star
from hstcube.psf.measures import BRIGHT, COMPACT, measured
from hstcube.psf.one_star import FLATTENED, cleaned
from hstcube.psf.profiles import fwhm, odd

if TYPE_CHECKING:
    from collections.abc import Mapping

    from astropy.table import QTable
    from numpy.typing import NDArray

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
ELONGATED = 0.1  # (a^2 - b^2)/(a^2 + b^2) of the core: real stars have up to 0.053
NO_WINGS = 300.0  # ... below which the wings are noise

_PERFECT = 0.005  # misfit that no core falls below: noise is taken off it
_CLIP = 3.0
_MOMENTS = 5.0  # over the signal to noise: three sigma of an elongation


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
        ``stars`` (band), the names of those used, and ``fwhm`` (band) [arcsec]; ``psf_error``
        (band), the standard error of the encircled energy relative to that within 1.2 arcsec, the
        largest at 0.18 arcsec and beyond, by the stars left out one at a time, or by their noise
        and the difference of two; ``psf_stars`` (band), how many stars it was made of.

    Raises
    ------
    PSFError
        If no star shows the core, or none the wings, of a band.

    Examples
    --------
    >>> import tempfile
    >>> import hstcube
    >>> from hstcube.demo.field import simulate
    >>> folder = tempfile.mkdtemp()
    >>> _ = simulate(folder)
    >>> stars = hstcube.open_stars(folder + "/psf_stars", bands=["f160w"])
    >>> hstcube.measure_psf(stars).fwhm.round(2).values.tolist()  # arcsec
    [0.19]
    """
    looked_at = stars if isinstance(stars, xr.Dataset) else examine_stars(stars, size=size)
    _require_looked_at(looked_at)
    scale = float(looked_at.attrs["scale"])
    ones = [looked_at.sel(band=band) for band in looked_at.band.values]
    means = [mean_star(one, scale) for one in ones]
    errors = [error_of(one, mean, scale) for one, mean in zip(ones, means, strict=True)]
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
    psf = psf.assign_coords(stars=("band", used), fwhm=("band", widths, {"units": "arcsec"}))
    psf = with_errors(psf, [e.error for e in errors], [e.stars for e in errors])
    tell_doubts(psf, looked_at.attrs.get("survey", ""))
    return psf


def examine_stars(stars: Mapping[str, xr.Dataset], *, size: int | None = None) -> xr.Dataset:
    """Centre and clean stamps of stars, and say of each in every band what it can be used for.

    The local background is removed, and neighbours are taken out: a point source by its PSF (the
    median of other stars), anything else by what lies opposite it across the star. A star is

    - *rejected* when it is too faint, or more extended than the most compact star in any band, or
      in a band in which its core is elongated as no PSF's is (another star, a galaxy);
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
        ``elongation`` of the core, (a^2 - b^2)/(a^2 + b^2) of its axes, ``spread`` (the scatter of
        sums over 5x5 pixels, over what the weights say), ``y``, ``x`` (pixels of the stamp);
        ``image`` (star, band, ky, kx), cleaned, centred, and
        scaled to unit light within 1.2 arcsec. `star_table` makes a table of it.

    Raises
    ------
    PSFError
        If there is no star, or their bands or scales differ.

    Examples
    --------
    >>> import tempfile
    >>> import hstcube
    >>> from hstcube.demo.field import simulate
    >>> folder = tempfile.mkdtemp()
    >>> _ = simulate(folder)
    >>> stars = hstcube.open_stars(folder + "/psf_stars", bands=["f160w"])
    >>> hstcube.examine_stars(stars).verdict.sel(band="f160w").values.tolist()
    ['used', 'used', 'used']
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
        {"scale": scale, "survey": attribute(stars[names[0]], "survey")},
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

    Examples
    --------
    >>> import tempfile
    >>> import hstcube
    >>> from hstcube.demo.field import simulate
    >>> folder = tempfile.mkdtemp()
    >>> _ = simulate(folder)
    >>> stars = hstcube.open_stars(folder + "/psf_stars", bands=["f160w"])
    >>> table = hstcube.star_table(hstcube.examine_stars(stars))
    >>> table.colnames[:3]
    ['star', 'band', 'verdict']
    """
    from astropy.table import QTable
    from astropy.units import Unit

    if "star" not in getattr(stars, "dims", ()):
        fix = "give [[stars|what hstcube.examine_stars returns]]"
        raise PSFError("HC-P10", f"stars is {shown(stars)}, not stars that were examined", fix)
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
    "elongation": {},
    "spread": {},
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
                one["elongation"][i],
            )
    return verdict, reason


def _extended(columns: dict[str, Any], bands: list[str]) -> list[str]:
    """Return of every star in which bands it is no point source, "" where it is one."""
    compactness, error = columns["compactness"], _CLIP * columns["compactness_error"]
    most = (compactness - error).max(0)
    wide = compactness + error < EXTENDED * most
    wide &= columns["core_weight"] >= LOW_WEIGHT  # light is missing from a core with a hole
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


def _no_point(snr: float, elongation: float) -> str:
    """Return why a source shows nothing of a PSF, "" where it may."""
    if not snr >= FAINT:
        return f"too faint: signal to noise {snr:.0f} within {BRIGHT} arcsec"
    if elongation > ELONGATED + _MOMENTS / snr:
        return f"blended core: it is elongated by {elongation:.0%}, as no PSF is"
    return ""


def _verdict(
    width: float, misfit: float, weight: float, snr: float, neighbours: int, elongation: float
) -> tuple[str, str]:
    """Return the verdict on a point source in one band, and its reason."""
    if weight < LOW_WEIGHT and snr >= FAINT:  # a hole makes any core look elongated
        return "wings only", f"damaged core: a pixel has {weight:.0%} of the usual weight"
    if why := _no_point(snr, elongation):
        return "rejected", why
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
