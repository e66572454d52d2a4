"""What the page's script is given: pixels, bins, and how both lie on the sky."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hstcube.core.cube import variance
from hstcube.core.grids import Grid
from hstcube.errors import LabelError
from hstcube.phot.table import photometry
from hstcube.report.facts import FLUX, in_flux
from hstcube.report.pixels import colour_image, middle, pack_cube, pack_numbers, pack_whole

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

    from hstcube.report.facts import Given

__all__ = ["Viewer", "viewer_of"]

_BARS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60)  # arcsec
_MICRON = 1e4  # Angstrom
_SHOWN = 6  # columns of a fit that are told


class Viewer(NamedTuple):
    """The data of the script, the colour image (y, x, 3), and what packing changed, in errors."""

    data: dict[str, Any]
    colour: NDArray[np.uint8]
    loss: float


def viewer_of(given: Given) -> Viewer:
    """Return what the script of a page is given."""
    flux, unit = in_flux(given.cube)
    images = flux.sci.values
    errors = np.sqrt(variance(flux).values).astype(np.float32)
    inside = given.cube.mask.any("band").values
    before = None if given.before is None else in_flux(given.before)[0].sci.values
    packed = pack_cube(images, errors, before)
    arrays = packed.arrays | {"mask": pack_whole(inside)}
    noise = np.array([middle(one) or 1.0 for one in errors])
    ny, nx = inside.shape
    grid = Grid.of(flux)
    data: dict[str, Any] = {
        "nx": nx,
        "ny": ny,
        "bands": [str(name) for name in flux.band.values],
        "pivot": (flux.pivot.values / _MICRON).tolist(),
        "unit": unit,
        "noise": noise.tolist(),
        "top": [_top(*one, inside) for one in zip(images, noise, strict=True)],
        "matched": bool(str(flux.matched_to.values[0])),
        "start": _brightest(images[-1], inside),
        "origin": [int(flux.x.values[0]), int(flux.y.values[0])],
        "scale": grid.scale,
        "bar": max((one for one in _BARS if one < grid.scale * nx / 3), default=_BARS[0]),
        **_directions(grid),
    }
    if given.groups is not None and unit == FLUX:
        of_bins, data["groups"] = _bins(flux, given.groups, given.fit)
        arrays |= of_bins
    colour = colour_image(images, errors, inside, flux.pivot.values)
    return Viewer(data | {"arrays": arrays}, colour, packed.loss)


def _top(image: Any, noise: float, inside: Any) -> float:
    """Return what is drawn black, in noises: the 99.7th percentile in the mask, 10 at least."""
    chosen = image[inside & np.isfinite(image)]
    return max(float(np.percentile(chosen, 99.7)) / noise if chosen.size else 0.0, 10.0)


def _brightest(image: Any, inside: Any) -> list[int]:
    shown = np.where((inside if inside.any() else True) & np.isfinite(image), image, -np.inf)
    y, x = np.unravel_index(int(np.argmax(shown)), shown.shape)
    return [int(x), int(y)]


def _directions(grid: Grid) -> dict[str, Any]:
    """Return north and east as steps on the image, and the projection where it is a tangent one."""
    pixels = np.linalg.inv(grid.matrix)
    compass = {name: pixels @ one for name, one in (("N", [0, 1]), ("E", [1, 0]))}
    told: dict[str, Any] = {
        "compass": {name: (one / np.hypot(*one)).tolist() for name, one in compass.items()}
    }
    wcs = grid.wcs.wcs
    if all(str(kind).endswith("TAN") for kind in wcs.ctype) and wcs.lonpole in (180, 999):
        cards = {"crval": wcs.crval.tolist(), "crpix": (wcs.crpix - 1).tolist()}
        told["wcs"] = cards | {"cd": np.asarray(grid.wcs.pixel_scale_matrix).tolist()}
    return told


def _bins(
    flux: xr.Dataset, groups: NDArray[Any], fit: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the map of the bins, numbered from 1, with their fluxes; what is told of each."""
    table = photometry(flux, groups)
    ids = np.asarray(table["id"]).astype(int)
    names = [str(name) for name in flux.band.values]
    numbers = np.where(np.isin(groups, ids), np.searchsorted(ids, groups) + 1, 0)
    arrays = {"groups": pack_whole(numbers)}
    for kind in ("flux", "error"):
        values = np.stack([table[f"{kind}_{name}"].to_value(FLUX) for name in names])
        arrays[f"group_{kind}"] = pack_numbers(np.ma.filled(values, np.nan))
    told = {"id": ids.tolist(), "pixels": np.asarray(table["npix"]).tolist()}
    return arrays, told | _fitted(fit, ids, names)


def _fitted(fit: Any, ids: Any, names: list[str]) -> dict[str, Any]:
    """Return the model's fluxes and the first results of a fit, joined by its id."""
    if fit is None:
        return {}
    rows = {int(one): row for row, one in enumerate(fit["id"])}
    at = np.array([rows.get(one, -1) for one in ids.tolist()])
    if not (at >= 0).any():
        fix = "give the groups that were fitted"
        raise LabelError("HC-E08", "no id of the results is a group's", fix)

    def column(name: str) -> NDArray[np.float64]:
        values: Any = np.ma.filled(np.ma.asarray(fit[name], float), np.nan)
        return np.where(at >= 0, values[at], np.nan)

    models = [f"model_{name}" for name in names]
    told: dict[str, Any] = {}
    if {*models} & {*fit.colnames}:
        told["model"] = [
            _numbers_or_none(column(name) * _factor(fit[name]))
            if name in fit.colnames else [None] * ids.size
            for name in models
        ]  # fmt: skip
    results = [name for name in fit.colnames if _is_result(fit[name]) and name not in models]
    columns = [column(name) for name in results[:_SHOWN]]
    told["said"] = [
        "  ".join(f"{name} {value:.4g}" for name, value in zip(results, row, strict=False))
        for row in zip(*columns, strict=True)
    ]
    return told


def _is_result(column: Any) -> bool:
    return bool(column.dtype.kind == "f" and column.ndim == 1)


def _factor(column: Any) -> float:
    """Return what model fluxes are multiplied by; without a unit they are in uJy."""
    from astropy import units

    of = getattr(column, "unit", None) or units.uJy
    return float(units.Unit(of).to(FLUX))


def _numbers_or_none(values: Any) -> list[float | None]:
    """Return numbers as JSON has them: None for what is none."""
    return [value if np.isfinite(value) else None for value in np.asarray(values, float).tolist()]
