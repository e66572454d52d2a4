"""Where an image of an IFU lies on a cube, and how broad its PSF is: continuum against band."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import xarray as xr

from hstcube.core.rules import taken
from hstcube.errors import GridError, RecipeError
from hstcube.forward.psfs import Moffat, as_psf
from hstcube.forward.solution import freedom
from hstcube.ifu.scenes import bands_of, correlated, kept, line_of, scene_of
from hstcube.inputs.arrays import several
from hstcube.inputs.quantities import short

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from hstcube.forward.scene import Scene

    Array = NDArray[np.float64]
    Bool = NDArray[np.bool_]

__all__ = ["register_map"]

Fitted = Literal["dy", "dx", "fwhm"]

_FAR = 0.9  # arcsec: the farthest shift
_WIDTHS = (0.4, 2.0)  # of the width that is expected: between these it is looked for
_STEP = 0.005  # arcsec, of differences
_STEPS = 40
_DONE = 1e-5  # arcsec
_SECTORS = 8
_EXPECTED = 0.15  # relative: how well the width of a PSF is known before
_AT_BOUND = 0.99


def register_map(
    cube: xr.Dataset,
    image: xr.Dataset,
    *,
    psf: Any,
    fit: Sequence[Fitted] = ("dy", "dx"),
    keep: Any = None,
) -> xr.Dataset:
    """Measure how far a cube is to be moved to lie on an image of an IFU, and the image's PSF.

    The image (the continuum beside a line) is fitted with one band, brought to its PSF and pixels,
    times a scale, on a constant background. Unlike the line, the continuum follows the light of a
    band at its wavelength.

    Parameters
    ----------
    cube : Dataset
        One band, its sky subtracted, with its PSF: that which covers the image's wavelength.
    image : Dataset
        One band in flux, as `line_map` gives the continuum: ``maps.sel(band=["continuum"])``.
    psf : str, Quantity or DataArray
        As for `fit_line`; a Moffat profile where its width is fitted, which is then expected to be
        this to 15 %: a faint continuum does not tell it better.
    fit : sequence of {"dy", "dx", "fwhm"}
        What is fitted besides scale and background.
    keep : array of bool, (y, x), optional
        Pixels of the cube whose light the image shows; all when not given, neighbours too.

    Returns
    -------
    Dataset
        ``dy``, ``dx``, ``fwhm`` [arcsec], ``scale`` [Angstrom] and ``background``, each with its
        ``_error``, the larger of what the image's noise gives, correlated as it is, and of what
        eight sectors left out in turn scatter by (jackknife: Efron & Stein 1981, Annals of
        Statistics 9, 586), and ``chi2`` by ``dof``; ``fwhm_alone``, what the image tells of the
        width without what is expected. The attribute ``psf`` is what `fit_line` takes.

    Raises
    ------
    HstCubeError
        As `fit_line`; if there is nothing of that name to fit.

    Examples
    --------
    >>> import hstcube
    >>> cube = hstcube.example(matched=True)
    >>> light = 1e3 * cube.sci.sel(band=["f606w"]).values  # a line that is as the light of a band
    >>> how = {"bands": ["line"], "pivot": [6000.0], "units": "1e-20 erg s-1 cm-2"}
    >>> line = hstcube.build(light, 0 * light + 1, grid=hstcube.Grid.of(cube), **how)
    >>> psf = cube.psf.sel(band="f160w")
    >>> found = hstcube.register_map(cube.sel(band=["f606w"]), line, psf=psf)
    >>> abs(found.dy.item()) < 0.01, abs(found.dx.item()) < 0.01
    (True, True)
    """
    cube = taken(cube)
    names = _names(fit)
    seen, profile = line_of(image), as_psf(psf)
    if "fwhm" in names and not isinstance(profile, Moffat):
        reason = "the width of an image of a PSF cannot be fitted"
        raise RecipeError("HC-L01", reason, "give a width in its place, for a Moffat profile")
    light = bands_of(cube, single=True)
    if len(light.names) != 1:
        reason = f"the cube has {len(light.names)} bands, and one is compared with the image"
        raise RecipeError("HC-L18", reason, "choose that at the image's wavelength")
    mask = np.ones(light.grid.shape, bool) if keep is None else kept(cube, keep)
    scene, used = scene_of(light, mask, seen, profile, whole=False)
    data, weight = seen.sci[used], 1 / seen.sigma[used] ** 2
    model = _Model(scene, profile, names)
    found = _fitted(model, data, weight, model.start)
    _require_within(found, model)
    scatter = np.maximum(
        _sandwich(model, (data, weight), found, correlated(seen, used)),
        _jackknife(model, data, weight, found, _sectors(used, weight, data)),
    )
    alone = _width_alone(model, found, scatter)
    found, scatter = _with_expected(model, (data, weight), found, scatter)
    best = _linear(model.at(found), data, weight)
    if not best[0] > 0:
        reason = f"the light of {light.names[0]} is not in the image: its scale is {best[0]:.3g}"
        raise GridError("HC-L11", reason, "check the WCS of both, and that they show one object")
    residual = data - best @ model.at(found)
    chi2 = float((weight * residual**2).sum())
    told = _told(model, (found, best), scatter, (chi2, data.size - found.size - 2), seen.name)
    return told.assign(alone)


def _sandwich(
    model: _Model, pixels: tuple[Array, Array], found: Array, noise: Callable[[Array], Array]
) -> Array:
    """Return the errors that the image's noise gives, correlated as it is, and its residuals."""
    data, weight = pixels
    design = model.at(found)
    best = _linear(design, data, weight)
    slopes = np.vstack([model.changes(found) * best[0], design])
    weighted = slopes * weight
    scale = np.sqrt((slopes * weighted).sum(1))
    normal = slopes @ weighted.T / np.multiply.outer(scale, scale)
    gain = np.linalg.pinv(normal, rcond=1e-10) @ (weighted / scale[:, None]) / scale[:, None]
    inverse = np.linalg.pinv(normal, rcond=1e-10) / np.multiply.outer(scale, scale)
    chi2 = float((weight * (data - best @ design) ** 2).sum())
    dof = freedom(weight, noise, weighted, inverse, slopes @ weighted.T)
    variance = np.einsum("pi,pi->p", noise(gain), gain) * max(chi2 / max(dof, 1.0), 1.0)
    return np.asarray(np.sqrt(variance))


def _width_alone(model: _Model, found: Array, scatter: Array) -> dict[str, Any]:
    """Return the width that the image alone tells, and its error."""
    if "fwhm" not in model.names:
        return {}
    place, attrs = model.names.index("fwhm"), {"units": "arcsec"}
    return {
        "fwhm_alone": ((), found[place], attrs),
        "fwhm_alone_error": ((), scatter[place], attrs),
    }


def _with_expected(
    model: _Model, pixels: tuple[Array, Array], found: Array, scatter: Array
) -> tuple[Array, Array]:
    """Return the parameters with the width's mean of what was measured and what is expected."""
    if "fwhm" not in model.names:
        return found, scatter
    place = model.names.index("fwhm")
    known, expected = scatter[place] ** -2.0, (_EXPECTED * model.psf.fwhm) ** -2.0
    width = (known * found[place] + expected * model.psf.fwhm) / (known + expected)
    held = _Model(model.scene, model.psf, model.names)
    held.low[place] = held.high[place] = width
    found, scatter = found.copy(), scatter.copy()
    found[place], scatter[place] = width, (known + expected) ** -0.5
    return _fitted(held, *pixels, found), scatter


class _Model:
    """The band at parameters: those of `names`, the others as they are at the start."""

    def __init__(self, scene: Scene, psf: Any, names: list[str]) -> None:
        self.scene, self.psf, self.names = scene, psf, names
        self.start = np.array([{"fwhm": psf.fwhm}.get(name, 0.0) for name in names])
        low, high = (psf.fwhm * factor for factor in _WIDTHS)
        self.low = np.array([low if name == "fwhm" else -_FAR for name in names])
        self.high = np.array([high if name == "fwhm" else _FAR for name in names])

    def at(self, values: Array) -> Array:
        """Return the band and a constant, (2, pixel)."""
        told = dict(zip(self.names, values, strict=True))
        psf = self.psf._replace(fwhm=told["fwhm"]) if "fwhm" in told else self.psf
        image = self.scene.seen(psf, (told.get("dy", 0.0), told.get("dx", 0.0)))[0]
        return np.stack([image, np.ones(image.size)])

    def changes(self, values: Array) -> Array:
        """Return how the band changes with each parameter, (parameter, pixel)."""
        if not values.size:
            return np.zeros((0, self.at(values).shape[1]))
        steps = np.eye(values.size) * _STEP
        return np.stack(
            [
                (self.at(values + step)[0] - self.at(values - step)[0]) / (2 * _STEP)
                for step in steps
            ]
        )


def _names(fit: Any) -> list[str]:
    names = several(fit)
    for name in names:
        if not isinstance(name, str) or name not in get_args(Fitted):
            reason = f"nothing called {short(name)} is fitted"
            raise RecipeError("HC-B22", reason, "choose [[from|fit= from]] 'dy', 'dx', 'fwhm'")
    return list(dict.fromkeys(names))


def _linear(design: Array, data: Array, weight: Array) -> Array:
    """Return the scale and the background that fit best."""
    columns = design * np.sqrt(weight)
    return np.asarray(np.linalg.lstsq(columns.T, data * np.sqrt(weight), rcond=None)[0])


def _fitted(model: _Model, data: Array, weight: Array, start: Array) -> Array:
    """Return the parameters that fit best, by Gauss-Newton steps in them, scale and background."""
    values = start.copy()

    def cost_of(values: Array) -> tuple[float, Array, Array]:
        design = model.at(values)
        best = _linear(design, data, weight)
        return float((weight * (data - best @ design) ** 2).sum()), design, best

    cost, design, best = cost_of(values)
    for _ in range(_STEPS if values.size else 0):
        slopes = np.vstack([model.changes(values) * best[0], design]) * np.sqrt(weight)
        slopes[: values.size][model.low == model.high] = 0  # held
        residual = (data - best @ design) * np.sqrt(weight)
        norm = np.sqrt((slopes**2).sum(1))
        norm = np.where(norm > 0, norm, 1.0)
        step = np.linalg.lstsq((slopes / norm[:, None]).T, residual, rcond=1e-10)[0] / norm
        step = np.clip(step[: values.size], -0.2, 0.2)
        moved = 0.0
        for _ in range(8):
            tried = np.clip(values + step, model.low, model.high)
            found = cost_of(tried)
            if found[0] <= cost:
                moved = float(np.abs(tried - values).max())
                values, (cost, design, best) = tried, found
                break
            step /= 2
        if moved < _DONE:
            break
    return values


def _require_within(found: Array, model: _Model) -> None:
    middle, half = (model.low + model.high) / 2, (model.high - model.low) / 2
    if found.size and (np.abs(found - middle) > _AT_BOUND * half).any():
        place = int(np.argmax(np.abs(found - middle) / half))
        reason = f"{model.names[place]} = {found[place]:.2f} arcsec is at the end of its range"
        fix = "check the WCS of both, and that they show one object"
        raise GridError("HC-L11", reason, fix)


def _sectors(used: Bool, weight: Array, data: Array) -> NDArray[np.intp]:
    """Return which of eight sectors around the light's middle each pixel lies in."""
    rows, columns = np.nonzero(used)
    light = np.clip(data, 0, None) * (weight > 0)
    total = max(float(light.sum()), 1e-300)
    y, x = float((rows * light).sum()) / total, float((columns * light).sum()) / total
    angle = np.arctan2(rows - y, columns - x) + np.pi
    found = (angle / (2 * np.pi) * _SECTORS).astype(np.intp)
    return np.asarray(np.minimum(found, _SECTORS - 1), dtype=np.intp)


def _jackknife(
    model: _Model, data: Array, weight: Array, found: Array, sectors: NDArray[np.intp]
) -> Array:
    """Return the errors of the parameters, the scale and the background."""
    values = []
    for sector in np.unique(sectors):
        part = np.where(sectors == sector, 0.0, weight)
        here = _fitted(model, data, part, found)
        values.append(np.concatenate([here, _linear(model.at(here), data, part)]))
    spread = np.array(values) - np.mean(values, axis=0)
    return np.asarray(np.sqrt((len(values) - 1) / len(values) * (spread**2).sum(0)))


def _told(
    model: _Model,
    found: tuple[Array, Array],
    scatter: Array,
    quality: tuple[float, float],
    name: str,
) -> xr.Dataset:
    names = [*model.names, "scale", "background"]
    values = dict(zip(names, np.concatenate(found), strict=True))
    errors = dict(zip(names, scatter, strict=True))
    still = {"dy": 0.0, "dx": 0.0, "fwhm": model.psf.fwhm}
    units = {"scale": "Angstrom", "background": "1e-20 erg s-1 cm-2"}
    told: dict[str, Any] = {"chi2": ((), quality[0]), "dof": ((), quality[1])}
    for key in ("dy", "dx", "fwhm", "scale", "background"):
        attrs = {"units": units.get(key, "arcsec")}
        told[key] = ((), values.get(key, still.get(key)), attrs)
        told[f"{key}_error"] = ((), errors.get(key, 0.0), attrs)
    beta = getattr(model.psf, "beta", np.nan)
    psf = f"{values.get('fwhm', model.psf.fwhm):.4g}arcsec"
    attrs = {"image": name, "fitted": " ".join(model.names)}
    if np.isfinite(beta):
        attrs["psf"] = f"{psf},beta={beta:.4g}"
    return xr.Dataset(told, attrs=attrs)
