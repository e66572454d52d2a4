"""Weights and a shift by least squares, their errors, and how well they predict what was left out.

Plain arrays. A map d with errors sigma is modelled as sum over bands of w B(shift). Weights follow
from the shift by linear least squares with a ridge; the shift by Gauss-Newton steps in both
(variable projection: Golub & Pereyra 2003, Inverse Problems 19, R1).
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from hstcube.forward.scene import Expansion

    Array = NDArray[np.float64]
    Bool = NDArray[np.bool_]

__all__ = [
    "Problem",
    "Solution",
    "Tried",
    "blocks_of",
    "covariance",
    "freedom",
    "nrms",
    "predicted",
    "sets_tried",
    "solve",
]

_PAIR = 2  # bands: of no more than these a pair is all
_STEPS = 30
_HALVES = 8
_DONE = 1e-5  # arcsec
_FAR = 0.15  # arcsec, the least of what a step may be at once


class Problem(NamedTuple):
    """What is fitted.

    ``data`` and ``weight`` (1/sigma^2) are (pixel,); ``prior`` is the shift that is expected and
    its error [arcsec], infinite where nothing is; ``bound`` is the farthest shift.
    """

    data: Array
    weight: Array
    basis: Expansion
    ridge: float = 0.0
    positive: bool = False
    free: bool = True
    prior: tuple[Array, float] = (np.zeros(2), np.inf)
    bound: float = 0.6

    def part(self, keep: Bool) -> Problem:
        """Return the same with some of the pixels."""
        terms = self.basis.terms[:, :, keep]
        basis = self.basis._replace(terms=terms)
        return self._replace(data=self.data[keep], weight=self.weight[keep], basis=basis)

    def of_bands(self, bands: Any) -> Problem:
        """Return the same with some of the bands."""
        return self._replace(basis=self.basis._replace(terms=self.basis.terms[:, bands]))

    @property
    def number(self) -> int:
        """How many parameters there are."""
        return int(self.basis.terms.shape[1]) + 2 * self.free


class Solution(NamedTuple):
    """Weights (band,) and shift (2,) [arcsec]; the model (pixel,) that they make."""

    weights: Array
    shift: Array
    model: Array


def solve(problem: Problem, start: Any = None) -> Solution:
    """Return the weights, and the shift where it is free, that fit best."""
    shift = np.array(problem.basis.centre if start is None else start, dtype=float)
    weights, model, cost = _weights_at(problem, shift)
    if not problem.free:
        return Solution(weights, shift, model)
    for _ in range(_STEPS):
        step = _step(problem, shift, weights, model)
        length = float(np.hypot(*step))
        step *= min(1.0, _FAR / max(length, 1e-12))
        for _ in range(_HALVES):  # half of it where it leads uphill
            tried = _within(shift + step, problem)
            found = _weights_at(problem, tried)
            if found[2] <= cost:
                break
            step /= 2
        else:
            break
        moved = float(np.hypot(*(tried - shift)))
        shift, (weights, model, cost) = tried, found
        if moved < _DONE:
            break
    return Solution(weights, shift, model)


def _within(shift: Array, problem: Problem) -> Array:
    return np.asarray(np.clip(shift, -problem.bound, problem.bound))


def _weights_at(problem: Problem, shift: Array) -> tuple[Array, Array, float]:
    """Return the best weights at a shift, the model, and what is minimised."""
    images = problem.basis.at(shift)
    root = np.sqrt(problem.weight)
    columns, data = images * root, problem.data * root
    norm = np.sqrt((columns**2).sum(1))
    norm[norm == 0] = 1.0
    columns = columns / norm[:, None]
    if problem.positive:
        found = _positive(columns, data, problem.ridge)
    else:
        normal = columns @ columns.T
        normal[np.diag_indices_from(normal)] += problem.ridge**2 + 1e-12
        found = np.linalg.solve(normal, columns @ data)
    expected, error = problem.prior
    cost = float(((data - found @ columns) ** 2).sum() + (problem.ridge**2 * found**2).sum())
    cost += float((((shift - expected) / error) ** 2).sum())
    weights = found / norm
    return weights, weights @ images, cost


def _positive(columns: Array, data: Array, ridge: float) -> Array:
    from scipy import optimize

    number = len(columns)
    matrix = np.vstack([columns.T, ridge * np.eye(number)]) if np.any(ridge) else columns.T
    target = np.concatenate([data, np.zeros(number)]) if np.any(ridge) else data
    return np.asarray(optimize.nnls(matrix, target, maxiter=100 * number)[0])


def _step(problem: Problem, shift: Array, weights: Array, model: Array) -> Array:
    """Return the step of the shift that leads to the minimum of a linear model."""
    design, penalty = _design(problem, shift, weights)
    expected, error = problem.prior
    pull = np.concatenate([(expected - shift) / error**2, np.zeros(weights.size)])
    pull[2:] = -penalty[2:] * weights
    normal = (design * problem.weight) @ design.T + np.diag(penalty)
    toward = design @ (problem.weight * (problem.data - model)) + pull
    scale = np.sqrt(np.diag(normal))
    scale = np.where(scale > 0, scale, 1.0)
    normal, toward = normal / np.multiply.outer(scale, scale), toward / scale
    normal[np.diag_indices_from(normal)] += 1e-10
    used = np.ones(toward.size, bool)
    if problem.positive:
        used[2:] = weights != 0
    found = np.zeros(toward.size)
    found[used] = np.linalg.solve(normal[np.ix_(used, used)], toward[used])
    return np.asarray((found / scale)[:2])


def _design(problem: Problem, shift: Array, weights: Array) -> tuple[Array, Array]:
    """Return what the parameters (dy, dx, weights) do to the map, and the penalties on them."""
    images = problem.basis.at(shift)
    slopes = problem.basis.slope(shift, weights)
    norms = (images**2 * problem.weight).sum(1)
    prior = np.full(2, problem.prior[1] ** -2.0)
    return np.vstack([slopes, images]), np.concatenate([prior, problem.ridge**2 * norms])


class Errors(NamedTuple):
    """What the parameters' errors are made of; see `covariance`."""

    total: Array
    """Covariance of (dy, dx, weights)."""
    gain: Array
    """(parameter, pixel): the change of the parameters with the map."""
    dof: float
    """What sum of (residual / sigma)^2 is expected."""


def covariance(
    problem: Problem,
    found: Solution,
    correlated: Callable[[Array], Array],
    inflate: Callable[[float], float],
    of_bands: Callable[[Array], Array],
) -> Errors:
    """Return the errors of a solution (a sandwich: White 1980, Econometrica 48, 817).

    H^-1 J W C W J' H^-1 with C the map's covariance and H the normal matrix with its penalties;
    and what the noise of the bands adds, and the bias of the ridge.

    Parameters
    ----------
    problem, found
    correlated : function of array (row, pixel)
        Rows times C.
    inflate : function of float
        The factor of the map's variance, for the sum that is expected of (residual / sigma)^2.
    of_bands : function of array (parameter, pixel)
        The covariance that the noise of the bands gives, for the gain of each parameter.
    """
    design, penalty = _design(problem, found.shift, found.weights)
    if not problem.free:
        design[:2] = 0
        penalty[:2] = np.inf
    if problem.positive:  # what is held at zero has no error of its own
        off = np.concatenate([[False, False], found.weights == 0])
        design[off] = 0
        penalty[off] = np.inf
    free = np.isfinite(penalty)
    weighted = design[free] * problem.weight
    normal = weighted @ design[free].T
    inverse = _inverted(normal + np.diag(penalty[free]))
    gain = np.zeros(design.shape)
    gain[free] = inverse @ weighted
    middle = correlated(gain) @ gain.T
    dof = freedom(problem.weight, correlated, weighted, inverse, normal)
    bias = np.zeros(penalty.size)
    held = np.concatenate([[0.0, 0.0], found.weights])[free] * penalty[free]
    held[: 2 * problem.free] = 0  # a prior is no bias: its error is in the penalty
    bias[free] = inverse @ held
    prior = np.zeros_like(middle)
    if problem.free and np.isfinite(problem.prior[1]):
        pull = gain_of_prior(inverse, penalty[free])
        prior[np.ix_(free, free)] = pull
    total = inflate(dof) * middle + of_bands(gain) + np.multiply.outer(bias, bias) + prior
    return Errors(total, gain, dof)


def gain_of_prior(inverse: Array, penalty: Array) -> Array:
    """Return the covariance that the error of the expected shift gives."""
    rows = inverse[:, :2]
    return np.asarray((rows * penalty[:2]) @ rows.T)


def _inverted(normal: Array) -> Array:
    """Return the inverse of a normal matrix whose parameters have units of their own."""
    scale = np.sqrt(np.diag(normal))
    scale = np.where(scale > 0, scale, 1.0)
    inverse = np.linalg.pinv(normal / np.multiply.outer(scale, scale), rcond=1e-12, hermitian=True)
    return np.asarray(inverse / np.multiply.outer(scale, scale))


def freedom(
    weight: Array,
    correlated: Callable[[Array], Array],
    weighted: Array,
    inverse: Array,
    normal: Array,
) -> float:
    """Return the sum of (residual / sigma)^2 that noise alone gives, correlated as it is.

    The trace of (1 - A) C (1 - A)' / sigma^2, A the linear map from the data to the model.
    """
    middle = correlated(weighted) @ weighted.T
    first, second = inverse @ middle, inverse @ normal @ inverse @ middle
    return float(weight.size - 2 * np.trace(first) + np.trace(second))


# -- how well it predicts


def blocks_of(rows: Any, columns: Any, size: int, folds: int, seed: int) -> NDArray[np.intp]:
    """Return which fold each pixel belongs to: square blocks, dealt out at random.

    Parameters
    ----------
    rows, columns : array of int, (pixel,)
    size : int
        Of a block [pixels].
    folds : int
    seed : int
        Of the division.
    """
    numbers = np.asarray(rows) // size * 100_000 + np.asarray(columns) // size
    ids, place = np.unique(numbers, return_inverse=True)
    dealt = np.random.default_rng(seed).permutation(ids.size) % folds
    return np.asarray(dealt[place], dtype=np.intp)


def predicted(problem: Problem, folds: NDArray[np.intp], start: Array) -> Array:
    """Return each pixel as weights and shift predict it that were fitted without its fold."""
    model = np.empty(problem.data.size)
    for fold in np.unique(folds):
        out = folds == fold
        found = solve(problem.part(~out), start)
        model[out] = found.weights @ problem.part(out).basis.at(found.shift)
    return model


def nrms(residual: Array, data: Array) -> float:
    """Return the rms residual over the rms signal."""
    return float(np.sqrt((residual**2).sum() / (data**2).sum()))


class Tried(NamedTuple):
    """A set of bands, and how well it predicts what it was not fitted to."""

    name: str
    bands: tuple[int, ...]
    nrms: float


def sets_tried(
    problem: Problem, start: Array, names: list[str], divisions: list[NDArray[np.intp]]
) -> list[Tried]:
    """Return how well sets of bands predict what they were not fitted to; all bands come first.

    All without a shift of their own, all with positive weights, each alone, and the best of these
    with each other.
    """
    every = tuple(range(len(names)))

    def tried(name: str, bands: tuple[int, ...], case: Problem, first: Array = start) -> Tried:
        part = case if bands == every else case.of_bands(list(bands))
        return Tried(name, bands, _predicts(part, divisions, first))

    label = "all" if len(every) > 1 else names[0]
    sets = [tried(label, every, problem)]
    if problem.free:
        still = problem._replace(free=False)
        sets.append(tried(f"{label}, shift not fitted", every, still, problem.prior[0]))
    if len(every) == 1:
        return sets
    if not problem.positive:
        sets.append(tried(f"{label}, positive", every, problem._replace(positive=True)))
    alone = [tried(names[i], (i,), problem) for i in every]
    best = min(alone, key=attrgetter("nrms")).bands[0]
    pairs = [(min(best, i), max(best, i)) for i in every if i != best and len(every) > _PAIR]
    return [
        *sets,
        *alone,
        *(tried(",".join(names[i] for i in pair), pair, problem) for pair in pairs),
    ]


def _predicts(problem: Problem, divisions: list[NDArray[np.intp]], start: Array) -> float:
    """Return rms residual over rms signal of what was left out, mean over the divisions."""
    found = [
        nrms(problem.data - predicted(problem, folds, start), problem.data)
        for folds in divisions
        if np.unique(folds).size > 1
    ]
    return float(np.mean(found)) if found else np.nan
