"""Fit the bands of a cube to the map of a line: weights, shift, their errors, what predicts it."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

import numpy as np
import xarray as xr

from hstcube.basics.convolution import convolver
from hstcube.core.rules import taken
from hstcube.core.state import warn
from hstcube.errors import CubeError, GridError
from hstcube.forward.psfs import Moffat, as_psf
from hstcube.forward.solution import Problem, blocks_of, covariance, nrms, sets_tried, solve
from hstcube.ifu.original import original_model
from hstcube.ifu.scenes import (
    bands_of,
    correlated,
    flux_density_at,
    kept,
    line_of,
    scene_of,
    total_fwhm,
)
from hstcube.inputs.choices import require_choice
from hstcube.inputs.quantities import number_in, numbers_in

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from hstcube.forward.psfs import Sampled
    from hstcube.forward.scene import Scene
    from hstcube.forward.solution import Solution, Tried
    from hstcube.ifu.scenes import Bands, Line

    Array = NDArray[np.float64]
    Bool = NDArray[np.bool_]

__all__ = ["Recipe", "fit_line"]

Recipe = Literal["default", "original"]

RIDGE = 0.01  # of unit-norm columns; docs/ifu.md shows what smaller and larger ones do

_BLOCK, _FOLDS, _DIVISIONS = 0.8, 5, 2  # arcsec; of the cross-validation
_FEWEST, _EACH = 30, 5  # pixels: of a map, and for each parameter
_FLOOR = 0.02  # arcsec: what a shift from a continuum is not known better than
_BETTER = 0.9  # of the residuals: a simpler set that is so much better is told
_AS_WELL = 1.05  # of the residuals: a simpler set predicts as well
_AS_EXPECTED = 1.25  # residuals over errors, rms
_CANCEL = 2.0  # times: terms that cancel so often are told of
_AT_BOUND = 0.99
_WIDTHS = 1.0  # FWHM of the map's PSF: the farthest shift
_FAR = 0.1  # arcsec from where the series was made


def fit_line(
    cube: xr.Dataset | Sequence[xr.Dataset],
    line: xr.Dataset,
    *,
    bands: Any = None,
    psf: Any,
    keep: Any = None,
    shift: Any = None,
    prior: Any = None,
    positive: bool = False,
    ridge: Any = RIDGE,
    recipe: Recipe = "default",
) -> xr.Dataset:
    """Fit the bands of a cube to the map of a line, at the map's resolution.

    The object's light in each band, in flux density, is brought to the PSF and the pixels of the
    map; a sum of the bands with weights [Angstrom], moved by a shift, is fitted to it by least
    squares. With free signs only the sum of the terms has a meaning.

    Parameters
    ----------
    cube : Dataset
        Matched, its sky subtracted, with zero points; corrected for dust only where the map is.
    line : Dataset
        As `open_map` or `line_map` gives it.
    bands : str or sequence of str, optional
        Bands to use; all when not given.
    psf : str, Quantity or DataArray (ky, kx)
        Of the map, without its pixels and what smoothed it: ``"0.65arcsec,beta=2.8"`` (a Moffat
        profile), or an image with offsets in arcsec along the map's axes.
    keep : array of bool, (y, x), optional
        Pixels of the cube whose light is the object's, all of it, without neighbours. When not
        given: the cube's mask, grown by 0.5 arcsec, without other labels.
    shift : (dy, dx) or Dataset, optional
        How far the cube's light is moved along the map's axes [arcsec], or what `register_map`
        found: it is then fixed. Fitted when not given.
    prior : (dy, dx, error) or Dataset, optional
        The shift that is expected, as `register_map` finds it: the map refines it, within an error
        of at least 0.02 arcsec.
    positive : bool
        Weights are zero or positive.
    ridge : float
        Holds down weights that cancel one another, in units of the norm of their columns.
    recipe : {"default", "original"}
        ``"original"``: the ten arrays of the companion pipeline of 2022, for comparison; `cube` is
        then two cubes of one band, each on its own pixels, and of the rest only `psf` counts.

    Returns
    -------
    Dataset
        ``weights`` and ``weight_error`` (band) [Angstrom], ``covariance`` (parameter, parameter2)
        of dy, dx and the weights; ``dy``, ``dx`` and their errors [arcsec]; ``chi2`` and the
        ``dof`` that noise, correlated as it is, would give; ``inflation`` of the errors; ``nrms``,
        rms residual over rms signal, ``correlation``, ``flux_ratio``; ``condition`` of the scaled
        columns; ``cancelling``, the sum of the terms' sizes over the size of their sum;
        ``equivalent_width`` [Angstrom]; ``model`` and ``residual`` (y, x) on the map; and a table
        along ``set``: ``set_nrms``, how well each set of bands predicts blocks of the map that it
        was not fitted to. The attribute ``verdict`` says it in words.

    Raises
    ------
    HstCubeError
        If cube and map do not belong together, or cannot be fitted; docs/ifu.md lists how.

    Examples
    --------
    >>> import hstcube
    >>> cube = hstcube.example(matched=True)
    >>> light = 1e3 * cube.sci.sel(band=["f606w"]).values  # a line that is as the light of a band
    >>> how = {"bands": ["line"], "pivot": [6000.0], "units": "1e-20 erg s-1 cm-2"}
    >>> line = hstcube.build(light, 0 * light + 1, grid=hstcube.Grid.of(cube), **how)
    >>> psf = cube.psf.sel(band="f160w")
    >>> fit = hstcube.fit_line(cube, line, bands=["f606w", "f160w"], psf=psf)
    >>> abs(fit.dy.item()) < 0.01, abs(fit.dx.item()) < 0.01  # it lies where the band does
    (True, True)
    """
    require_choice("recipe", recipe, Recipe)
    seen, profile = line_of(line), as_psf(psf)
    if recipe == "original":
        return original_model(cube, seen, profile.fwhm)
    cube = taken(cast("xr.Dataset", cube))
    light, mask = bands_of(cube, bands), kept(cube, keep)
    scene, used = scene_of(light, mask, seen, profile)
    ridge = number_in("", ridge, "ridge", least=0, most=1)
    fixed, expected = _shift_of(shift), _prior_of(prior)
    problem = _problem(scene, used, seen, profile, (fixed, expected, positive, ridge))
    _require_enough(problem)
    problem, found = _solved(scene, profile, problem)
    _require_within(problem, found)
    return _told(cube, _Fit(light, mask, seen, used, profile, scene, problem, found))


class _Fit(NamedTuple):
    light: Bands
    mask: Bool
    line: Line
    used: Bool
    psf: Moffat | Sampled
    scene: Scene
    problem: Problem
    found: Solution


def _shift_of(shift: Any) -> Array | None:
    """Return a fixed shift along y and x [arcsec]."""
    if shift is None:
        return None
    if hasattr(shift, "data_vars"):
        return np.array([float(shift["dy"]), float(shift["dx"])])
    return _numbers(shift, "shift", 2)


def _prior_of(prior: Any) -> tuple[Array, float]:
    """Return the expected shift along y and x, and its error, not below 0.02 [arcsec]."""
    if prior is None:
        return np.zeros(2), np.inf
    if hasattr(prior, "data_vars"):
        names = ("dy", "dx", "dy_error", "dx_error")
        dy, dx, *errors = (float(prior[name]) for name in names)
        return np.array([dy, dx]), max(*errors, _FLOOR)
    dy, dx, error = _numbers(prior, "prior", 3)
    return np.array([dy, dx]), max(float(error), _FLOOR)


def _numbers(value: Any, name: str, size: int) -> Array:
    numbers = numbers_in("arcsec", value, name, least=-60, most=60)
    if numbers.shape != (size,):
        words = {2: "(dy, dx)", 3: "(dy, dx, error)"}[size]
        raise CubeError("HC-L18", f"{name} holds {numbers.size} numbers", f"give {words} in arcsec")
    return numbers


def _problem(
    scene: Scene, used: Bool, line: Line, psf: Moffat | Sampled, how: tuple[Any, ...]
) -> Problem:
    fixed, expected, positive, ridge = how
    centre = expected[0] if fixed is None else fixed
    return Problem(
        line.sci[used],
        1 / line.sigma[used] ** 2,
        scene.expanded(psf, centre),
        ridge,
        positive,
        fixed is None,
        expected,
        float(np.abs(centre).max()) + _WIDTHS * total_fwhm(psf, line.smoothed),
    )


def _require_enough(problem: Problem) -> None:
    least = max(_FEWEST, _EACH * problem.number)
    if (pixels := problem.data.size) < least:
        reason = (
            f"the map has {pixels} pixels with data, and {problem.number} parameters are fitted"
        )
        fix = f"give a map of {least} pixels at least, or fewer bands: [[--bands|bands=]]"
        raise CubeError("HC-L09", reason, fix)
    if not (problem.basis.terms[0] != 0).any():
        raise GridError("HC-W15", "no light of the object lies near the map", "check keep and WCS")


def _solved(scene: Scene, psf: Moffat | Sampled, problem: Problem) -> tuple[Problem, Solution]:
    """Return the solution, and the problem expanded around it."""
    found = solve(problem)
    for _ in range(5):
        if np.hypot(*(found.shift - problem.basis.centre)) < _FAR:
            break
        problem = problem._replace(basis=scene.expanded(psf, found.shift))
        found = solve(problem)
    return problem, found


def _require_within(problem: Problem, found: Solution) -> None:
    if problem.free and np.abs(found.shift).max() > _AT_BOUND * problem.bound:
        dy, dx = found.shift
        reason = f"the shift, {dy:.2f} and {dx:.2f} arcsec, is at the end of its range"
        fix = "check the WCS of both, or give the shift: [[--continuum|shift=]]"
        raise GridError("HC-L11", reason, fix)


# -- what is told


def _told(cube: xr.Dataset, fit: _Fit) -> xr.Dataset:
    """Return the fit as a Dataset."""
    light, line, problem, found = fit.light, fit.line, fit.problem, fit.found
    residual = problem.data - found.model
    chi2 = float((problem.weight * residual**2).sum())
    errors = covariance(
        problem,
        found,
        correlated(line, fit.used),
        lambda dof: _inflation(chi2, dof, assumed=line.assumed),
        _from_bands(fit),
    )
    sets = sets_tried(problem, found.shift, light.names, _divisions(fit))
    spread = np.sqrt(np.clip(np.diag(errors.total), 0, None))
    total = light.sci[:, fit.mask].sum(1)
    terms = found.weights * total
    inflation = _inflation(chi2, errors.dof, assumed=line.assumed)
    density = flux_density_at(line.pivot, light.pivot, total)
    values: dict[str, Any] = {
        "weights": ("band", found.weights, {"units": "Angstrom"}),
        "weight_error": ("band", spread[2:], {"units": "Angstrom"}),
        "covariance": (("parameter", "parameter2"), errors.total),
        "dy": ((), found.shift[0], {"units": "arcsec"}),
        "dx": ((), found.shift[1], {"units": "arcsec"}),
        "dy_error": ((), spread[0], {"units": "arcsec"}),
        "dx_error": ((), spread[1], {"units": "arcsec"}),
        "chi2": ((), chi2),
        "dof": ((), errors.dof),
        "inflation": ((), np.sqrt(inflation)),
        "residual_rms": ((), np.sqrt(chi2 / errors.dof)),
        "nrms": ((), nrms(residual, problem.data)),
        "correlation": ((), float(np.corrcoef(problem.data, found.model)[0, 1])),
        "flux_ratio": ((), float(found.model.sum() / problem.data.sum())),
        "flux": ((), terms.sum(), {"units": "1e-20 erg s-1 cm-2"}),
        "flux_error": ((), _error_of(errors.total[2:, 2:], total), {"units": "1e-20 erg s-1 cm-2"}),
        "condition": ((), _condition(problem, found)),
        "cancelling": ((), float(np.abs(terms).sum() / max(abs(terms.sum()), 1e-300))),
        "equivalent_width": ((), terms.sum() / density, {"units": "Angstrom"}),
        "model": (("y", "x"), _on_map(found.model, fit.used)),
        "residual": (("y", "x"), _on_map(residual, fit.used)),
        "sigma": (("y", "x"), np.where(fit.used, line.sigma, np.nan)),
        "keep": (("row", "column"), fit.mask),
        "set_nrms": ("set", np.array([one.nrms for one in sets])),
        "set_bands": ("set", np.array([len(one.bands) for one in sets])),
    }
    names = ["dy", "dx", *light.names]
    coords = {
        "band": np.array(light.names, object),
        "parameter": np.array(names, object),
        "parameter2": np.array(names, object),
        "set": np.array([one.name for one in sets], object),
        **line.grid.coords(),
    }
    made = xr.Dataset(values, coords, _attributes(cube, fit))
    if isinstance(fit.psf, Moffat):
        made.attrs["psf"] = str(fit.psf)
    else:
        made["map_psf"] = (("ky", "kx"), fit.psf.image)
        made.attrs |= {"psf_step": fit.psf.step, "psf_fwhm": fit.psf.fwhm}
    return _judged(made, fit, sets)


def _attributes(cube: xr.Dataset, fit: _Fit) -> dict[str, Any]:
    return {
        "line": fit.line.name,
        "smoothed": fit.line.smoothed,
        "wavelength": fit.line.pivot,
        "matched_to": str(cube.matched_to.values[0]),
        "field": str(cube.attrs.get("field", "")),
        "shift": "fitted" if fit.problem.free else "given",
        "warnings": "",
        "history": str(cube.attrs.get("history", "")),
    }


def _inflation(chi2: float, dof: float, *, assumed: bool) -> float:
    """Return the factor of the map's variance that its residuals ask for; never below one.

    Where nobody gave errors it is all that is known of them.
    """
    ratio = chi2 / max(dof, 1.0)
    return ratio if assumed else max(ratio, 1.0)


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


def _from_bands(fit: _Fit) -> Callable[[Array], Array]:
    """Return what gives the covariance that the noise of the bands adds."""
    rows_, columns = fit.scene.box

    def added(gain: Array) -> Array:
        total = np.zeros((len(gain), len(gain)))
        for i, weight in enumerate(fit.found.weights):
            if not weight:
                continue
            seen = fit.scene.weighed(gain, fit.psf, fit.found.shift, i)
            noise = seen * (fit.light.sigma[i] * fit.mask)[rows_, columns] * weight
            spread = convolver(fit.light.acf[i], noise.shape[1:])
            correlated = np.stack([spread(one) for one in noise])
            total += np.einsum("pyx,qyx->pq", noise, correlated)
        return total

    return added


# -- the judgement


def _divisions(fit: _Fit) -> list[Any]:
    size = max(round(_BLOCK / fit.line.grid.scale), 1)
    rows, columns = np.nonzero(fit.used)
    return [blocks_of(rows, columns, size, _FOLDS, seed) for seed in range(_DIVISIONS)]


def _judged(made: xr.Dataset, fit: _Fit, sets: list[Tried]) -> xr.Dataset:
    """Return the fit with its verdict, and warnings where something is better done otherwise."""
    times, full = float(made.residual_rms), sets[0]
    said = [
        f"residuals are {times:.1f} times the errors"
        if times > _AS_EXPECTED
        else "residuals are what the errors expect",
        f"blocks left out are predicted to {full.nrms:.1%} of the signal",
    ]
    simpler = [one for one in sets if len(one.bands) < len(full.bands)]
    if simpler:
        best = min(simpler, key=attrgetter("nrms"))
        if best.nrms <= _BETTER * full.nrms:
            text = (
                f"{best.name} alone predicts the map better than all bands, to {best.nrms:.1%} of "
                f"the signal, not {full.nrms:.1%}: [[--bands {best.name}|bands={best.name!r}]]"
            )
            made = warn(made, "HC-L14", text)
        elif best.nrms <= _AS_WELL * full.nrms:
            said.append(f"{best.name} predicts it as well ({best.nrms:.1%})")
    if not fit.problem.free and not fit.problem.positive and len(full.bands) > 1:
        text = "weights of both signs can imitate a shift, and the shift was not fitted"
        made = warn(made, "HC-L15", text)
    if float(made.cancelling) > _CANCEL:
        said.append(
            f"the terms cancel {float(made.cancelling):.1f} times: only their sum has a meaning"
        )
    return made.assign_attrs(verdict="; ".join(said))
