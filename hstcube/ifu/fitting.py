"""Fit the bands of a cube to the map of a line: weights, shift, their errors, what predicts it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from hstcube.core.rules import taken
from hstcube.core.state import attribute, note
from hstcube.errors import CubeError, GridError
from hstcube.forward.psfs import as_psf
from hstcube.forward.solution import Problem, solve
from hstcube.ifu.original import original_model
from hstcube.ifu.results import Fit, results
from hstcube.ifu.scenes import bands_of, kept, line_of, neighbours_in, scene_of, total_fwhm
from hstcube.inputs.arrays import shown
from hstcube.inputs.choices import flag, require_choice
from hstcube.inputs.quantities import number_in, numbers_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr
    from numpy.typing import NDArray

    from hstcube.forward.psfs import Moffat, Sampled
    from hstcube.forward.scene import Scene
    from hstcube.forward.solution import Solution
    from hstcube.ifu.scenes import Line

    Array = NDArray[np.float64]
    Bool = NDArray[np.bool_]

__all__ = ["Recipe", "fit_line"]

Recipe = Literal["default", "original"]

RIDGE = 0.015  # of unit-norm columns; docs/ifu.md shows what smaller and larger ones do

_FEWEST, _EACH = 30, 5  # pixels: of a map, and for each parameter
_FLOOR = 0.02  # arcsec: what a shift from a continuum is not known better than
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
    how = _shift_of(shift), _prior_of(prior), flag("positive", positive), ridge
    problem = _problem(scene, used, seen, profile, how)
    _require_enough(problem)
    problem, found = _solved(scene, profile, problem)
    _require_within(problem, found)
    others = neighbours_in(cube, mask)
    fit = Fit(light, mask, others, seen, used, profile, scene, problem, found)
    step = f"fit_line({', '.join(light.names)}, psf={str(profile)!r}, ridge={ridge:g}"
    made = results(fit, _before(cube, line), step + (", positive)" if positive else ")"))
    if keep is None and "labels" not in cube.variables:
        text = "nothing says which pixels are neighbours': [[--labels|keep=]]"
        made = note(made, "HC-L20", text)
    return made


def _shift_of(shift: Any) -> Array | None:
    """Return a fixed shift along y and x [arcsec]."""
    if shift is None:
        return None
    if hasattr(shift, "data_vars"):
        return np.array(_found(shift, "shift", "dy", "dx"))
    return _numbers(shift, "shift", 2)


def _prior_of(prior: Any) -> tuple[Array, float]:
    """Return the expected shift along y and x, and its error, not below 0.02 [arcsec]."""
    if prior is None:
        return np.zeros(2), np.inf
    if hasattr(prior, "data_vars"):
        dy, dx, *errors = _found(prior, "prior", "dy", "dx", "dy_error", "dx_error")
        return np.array([dy, dx]), max(*errors, _FLOOR)
    dy, dx, error = _numbers(prior, "prior", 3)
    return np.array([dy, dx]), max(float(error), _FLOOR)


def _found(given: xr.Dataset, name: str, *wanted: str) -> list[float]:
    """Return numbers of what `register_map` found."""
    if missing := [one for one in wanted if one not in given.data_vars]:
        fix = "give numbers[[|, or what hstcube.register_map returns]]"
        raise CubeError("HC-L18", f"{name} is {shown(given)}, without {missing[0]}", fix)
    return [float(given[one]) for one in wanted]


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


def _before(cube: xr.Dataset, line: xr.Dataset) -> dict[str, str]:
    """Return what a fit keeps of the attributes of both: what was done to them, and told."""
    told = {
        key: "\n".join(filter(None, (attribute(one, key) for one in (cube, line))))
        for key in ("history", "warnings")
    }
    matched = str(cube.matched_to.values[0])
    return {"field": attribute(cube, "field"), "matched_to": matched, **told}
