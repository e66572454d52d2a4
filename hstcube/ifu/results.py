"""What a fit of bands to the map of a line tells: numbers, their errors, and a verdict in words."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import xarray as xr

from hstcube.basics.convolution import convolver
from hstcube.core.state import record, warn
from hstcube.forward.psfs import Moffat
from hstcube.forward.solution import blocks_of, covariance, nrms, sets_tried
from hstcube.ifu.maps import FLUX
from hstcube.ifu.scenes import correlated, flux_density_at, total_fwhm

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hstcube.forward.psfs import Sampled
    from hstcube.forward.scene import Scene
    from hstcube.forward.solution import Errors, Problem, Solution, Tried
    from hstcube.ifu.scenes import Bands, Line

    Array = NDArray[np.float64]
    Bool = NDArray[np.bool_]

__all__ = ["Fit", "results"]

_BLOCK, _FOLDS, _DIVISIONS = 0.8, 5, 2  # arcsec; of the cross-validation
_BETTER = 0.9  # of the residuals: another set that is so much better is told
_AS_WELL = 1.05  # of the residuals: a simpler set predicts as well
_AS_EXPECTED = 1.25  # residuals over errors, rms
_LITTLE = 0.5  # of the signal: residuals as large say that the bands do not show the line
_AWAY = 3.0  # errors: a shift so far from the one that was expected is told
_CANCEL = 2.0  # times: terms that cancel so often are told of


class Fit(NamedTuple):
    """All that a fit was made of, and what was found."""

    light: Bands
    mask: Bool
    neighbours: int
    """Pixels of the mask that belong to others."""
    line: Line
    used: Bool
    psf: Moffat | Sampled
    scene: Scene
    problem: Problem
    found: Solution


def results(fit: Fit, before: dict[str, str], step: str) -> xr.Dataset:
    """Return a fit as a Dataset, with its verdict.

    Parameters
    ----------
    fit : Fit
    before : dict
        Attributes of what was fitted: of these it keeps history and warnings.
    step : str
        What its history says of it.
    """
    sets = sets_tried(fit.problem, fit.found.shift, fit.light.names, _divisions(fit))
    values = _numbers(fit) | {
        "set_nrms": ("set", np.array([one.nrms for one in sets])),
        "set_bands": ("set", np.array([len(one.bands) for one in sets])),
    }
    names = ["dy", "dx", *fit.light.names]
    coords = {
        "band": np.array(fit.light.names, object),
        "parameter": np.array(names, object),
        "parameter2": np.array(names, object),
        "set": np.array([one.name for one in sets], object),
        **fit.line.grid.coords(),
    }
    attrs = {
        **before,
        "line": fit.line.name,
        "smoothed": fit.line.smoothed,
        "fwhm": total_fwhm(fit.psf, fit.line.smoothed),
        "wavelength": fit.line.pivot,
        "shift": "fitted" if fit.problem.free else "given",
    }
    made = record(xr.Dataset(values, coords, attrs), step)
    if isinstance(fit.psf, Moffat):
        made.attrs["psf"] = str(fit.psf)
    else:
        made["map_psf"] = (("ky", "kx"), fit.psf.image)
        made.attrs |= {"psf_step": fit.psf.step, "psf_fwhm": fit.psf.fwhm}
    return _warned(made.assign_attrs(verdict=_verdict(made, fit, sets)), fit, sets)


# -- numbers


def _numbers(fit: Fit) -> dict[str, Any]:
    """Return all that is told but the sets, as variables of a Dataset."""
    light, line, problem, found = fit.light, fit.line, fit.problem, fit.found
    residual = problem.data - found.model
    chi2 = float((problem.weight * residual**2).sum())
    errors = _errors(fit, chi2)
    spread = np.sqrt(np.clip(np.diag(errors.total), 0, None))
    total = light.sci[:, fit.mask].sum(1)
    terms = found.weights * total
    return {
        "weights": ("band", found.weights, {"units": "Angstrom"}),
        "weight_error": ("band", spread[2:], {"units": "Angstrom"}),
        "covariance": (("parameter", "parameter2"), errors.total),
        "dy": ((), found.shift[0], {"units": "arcsec"}),
        "dx": ((), found.shift[1], {"units": "arcsec"}),
        "dy_error": ((), spread[0], {"units": "arcsec"}),
        "dx_error": ((), spread[1], {"units": "arcsec"}),
        "chi2": ((), chi2),
        "dof": ((), errors.dof),
        "inflation": ((), np.sqrt(_inflation(chi2, errors.dof, assumed=line.assumed))),
        "residual_rms": ((), np.sqrt(chi2 / errors.dof)),
        "nrms": ((), nrms(residual, problem.data)),
        "correlation": ((), float(np.corrcoef(problem.data, found.model)[0, 1])),
        "flux_ratio": ((), float(found.model.sum() / problem.data.sum())),
        "flux": ((), terms.sum(), {"units": FLUX}),
        "flux_error": ((), _error_of(errors.total[2:, 2:], total), {"units": FLUX}),
        "condition": ((), _condition(problem, found)),
        "cancelling": ((), float(np.abs(terms).sum() / max(abs(terms.sum()), 1e-300))),
        "equivalent_width": (
            (), terms.sum() / flux_density_at(line.pivot, light.pivot, total), {"units": "Angstrom"}
        ),
        "model": (("y", "x"), _on_map(found.model, fit.used)),
        "residual": (("y", "x"), _on_map(residual, fit.used)),
        "sigma": (("y", "x"), np.where(fit.used, line.sigma, np.nan)),
        "keep": (("row", "column"), fit.mask),
    }  # fmt: skip


def _errors(fit: Fit, chi2: float) -> Errors:
    """Return the covariance of shift and weights."""
    return covariance(
        fit.problem,
        fit.found,
        correlated(fit.line, fit.used),
        lambda dof: _inflation(chi2, dof, assumed=fit.line.assumed),
        lambda gain: _from_bands(fit, gain),
    )


def _inflation(chi2: float, dof: float, *, assumed: bool) -> float:
    """Return the factor of the map's variance that its residuals ask for; never below one.

    Where nobody gave errors it is all that is known of them.
    """
    ratio = chi2 / max(dof, 1.0)
    return ratio if assumed else max(ratio, 1.0)


def _from_bands(fit: Fit, gain: Array) -> Array:
    """Return the covariance that the noise of the bands adds, for the gain of each parameter."""
    rows, columns = fit.scene.box
    total = np.zeros((len(gain), len(gain)))
    for i, weight in enumerate(fit.found.weights):
        if not weight:
            continue
        seen = fit.scene.weighed(gain, fit.psf, fit.found.shift, i)
        noise = seen * (fit.light.sigma[i] * fit.mask)[rows, columns] * weight
        spread = convolver(fit.light.acf[i], noise.shape[1:])
        correlated_ = np.stack([spread(one) for one in noise])
        total += np.einsum("pyx,qyx->pq", noise, correlated_)
    return total


def _error_of(matrix: Array, factors: Array) -> float:
    return float(np.sqrt(np.clip(factors @ matrix @ factors, 0, None)))


def _on_map(values: Array, used: Bool) -> Array:
    out = np.full(used.shape, np.nan)
    out[used] = values
    return out


def _condition(problem: Problem, found: Solution) -> float:
    columns = problem.basis.at(found.shift) * np.sqrt(problem.weight)
    norm = np.sqrt((columns**2).sum(1, keepdims=True))
    norm[norm == 0] = 1.0
    return float(np.linalg.cond(columns / norm))


# -- the judgement


def _divisions(fit: Fit) -> list[Any]:
    size = max(round(_BLOCK / fit.line.grid.scale), 1)
    rows, columns = np.nonzero(fit.used)
    return [blocks_of(rows, columns, size, _FOLDS, seed) for seed in range(_DIVISIONS)]


def _verdict(made: xr.Dataset, fit: Fit, sets: list[Tried]) -> str:
    """Return in words what a fit is worth."""
    times, full = float(made.residual_rms), sets[0]
    said = ["residuals are what the errors expect"]
    if fit.line.assumed:
        said = ["the errors are what the residuals tell"]
    elif not 1 / _AS_EXPECTED < times < _AS_EXPECTED:
        said = [f"residuals are {times:.1f} times the errors"]
    if np.isnan(full.nrms):
        said.append("the map is too small to leave blocks of it out")
    else:
        said.append(f"blocks left out are predicted to {full.nrms:.1%} of the signal")
    if full.nrms > _LITTLE:
        said.append("the bands do not show what the line looks like")
    fewer = [one for one in sets if len(one.bands) < len(full.bands)]
    best = min(fewer, key=attrgetter("nrms"), default=full)
    if _BETTER * full.nrms < best.nrms <= _AS_WELL * full.nrms and fewer:
        said.append(f"{best.name} predicts it as well ({best.nrms:.1%})")
    if float(made.cancelling) > _CANCEL:
        times = float(made.cancelling)
        said.append(f"the terms cancel {times:.1f} times: only their sum has a meaning")
    expected, error = fit.problem.prior
    away = float(np.hypot(*(fit.found.shift - expected)))
    if fit.problem.free and away > _AWAY * error:
        said.append(f"the line lies {away:.2f} arcsec from where it was expected")
    if float(made.flux) < 0:
        said.append("the line is negative: absorbed, or the map has the wrong sign")
    return "; ".join(said)


def _warned(made: xr.Dataset, fit: Fit, sets: list[Tried]) -> xr.Dataset:
    """Return the fit with warnings: neighbours, a better set, a shift that could be imitated."""
    if fit.neighbours:
        text = (
            f"{fit.neighbours} pixels of neighbours are among those kept: their light is modelled "
            "too"
        )
        made = warn(made, "HC-L13", text)
    full, best = sets[0], min(sets, key=attrgetter("nrms"))
    if best.nrms <= _BETTER * full.nrms:
        text = (
            f"{best.name} predicts the map better than what was fitted, to {best.nrms:.1%} of the "
            f"signal, not {full.nrms:.1%}: {_how_to(best, full)}"
        )
        made = warn(made, "HC-L14", text)
    if not (fit.problem.free or fit.problem.positive or len(full.bands) == 1):
        text = "weights of both signs can imitate a shift, and the shift was not fitted"
        made = warn(made, "HC-L15", text)
    return made


def _how_to(best: Tried, full: Tried) -> str:
    """Return how another set is fitted."""
    if best.bands != full.bands:
        return f"[[--bands {best.name}|bands={best.name.split(',')}]]"
    if best.name.endswith("positive"):
        return "[[--positive|positive=True]]"
    return "give the shift: [[--continuum|shift=]]"
