"""The shift between a finer and a coarser image of one piece of sky, by least squares."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hstcube.core.grids import Grid
from hstcube.core.mappings import pixel_mapping
from hstcube.errors import GridError

if TYPE_CHECKING:
    from collections.abc import Callable

    import xarray as xr
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["LEAST_ERROR", "Shift", "inverse_of", "shift_between_scales"]

LEAST_ERROR = 0.02  # pixels of the coarser image: what differences of drizzling and of PSFs leave

_STARTS = (-0.7, 0.0, 0.7)  # shifts tried first, pixels of the coarser image
_BLURS = (0.01, 1.0)  # variances tried first, pixels squared of the coarser image
_SHARPER = -0.2  # the least variance: the finer image may be the blurrier one
_ROUNDS = 25
_CONVERGED = 1e-4  # pixels
_HOPELESS = 1e6  # damping of the steps with which the search ends
_LARGEST = 400  # pixels of the coarser image: of larger ones the middle of what they share is used
_FEWEST = 100  # pixels that are compared
_DRAWS = 64  # of the noise of the finer image
_EDGE = 4  # pixels of the coarser image, left out at the rim and beside holes
_WHOLE = 0.999  # share of data in what is interpolated, 1 but for rounding
_STEP = 0.02  # pixels: for derivatives


class Shift(NamedTuple):
    """By how much the contents of an image must be moved along (y, x), and its error."""

    value: Array
    error: Array


def shift_between_scales(one: xr.Dataset, other: xr.Dataset) -> Shift:
    """Return the shift that brings the contents of one image to where the other has them, arcsec.

    Parameters
    ----------
    one, other : Dataset, (y, x)
        One band of two cubes of one field.

    Returns
    -------
    Shift
        Along the axes of `one`.

    Raises
    ------
    GridError
        If they do not overlap.
    """
    mine, theirs = Grid.of(one), Grid.of(other)
    if mine.scale <= theirs.scale:
        found, coarse, sign = _fit(one, other), theirs, 1
    else:
        found, coarse, sign = _fit(other, one), mine, -1
    axes = np.linalg.solve(mine.matrix, coarse.matrix)[::-1, ::-1]
    along = axes * np.array(mine.steps)[:, None]
    return Shift(along @ found.value * sign, np.sqrt(along**2 @ found.error**2))


@dataclass(frozen=True, eq=False)
class _Pair:
    """A finer image on its own pixels, a coarser one with its pixels' places on the finer one."""

    fine: Array
    fine_weight: Array
    coarse: Array
    weight: Array
    y: Array
    x: Array
    jacobian: Array


@dataclass(frozen=True, eq=False)
class _Solution:
    """What fits best, and how the model changes there."""

    shift: Array
    derivatives: Array  # (pixel, parameter)
    modelled: Callable[[Array], Array]  # a fine image on the coarse pixels


def _fit(fine: xr.Dataset, coarse: xr.Dataset) -> Shift:
    """Return the shift of the finer image's contents, in coarse pixels along the coarse axes.

    Least squares of coarse = a + b S(K F), K a Gaussian times the coarse pixel, S the sampling at
    shifted places. Errors follow from the noise of both images through the linearised fit; that of
    the finer one is drawn.
    """
    pair = _paired(*_middles(fine, coarse))
    solution = _least_squares(pair)
    weighted = pair.weight.ravel()[:, None] * solution.derivatives
    gain = np.linalg.solve(solution.derivatives.T @ weighted, weighted.T)[:2]
    variance = _noise_scale(coarse) ** 2 * np.einsum(
        "ij,ij,j->i", gain, gain, inverse_of(pair.weight).ravel()
    )
    rng = np.random.default_rng(0)  # the same in every call
    sigma = _noise_scale(fine) * np.sqrt(inverse_of(pair.fine_weight))
    drawn = []
    for _ in range(_DRAWS):
        noise = rng.normal(size=sigma.shape) * sigma
        drawn.append(gain @ solution.modelled(noise).ravel())
    error = np.sqrt(variance + np.var(drawn, axis=0))
    return Shift(solution.shift, np.maximum(error, LEAST_ERROR))


def _noise_scale(cube: xr.Dataset) -> float:
    return float(cube.coords["noise_scale"]) if "noise_scale" in cube.coords else 1.0


def inverse_of(weight: Array) -> Array:
    """Return 1 / weight, 0 where there is none."""
    return np.divide(1.0, weight, where=weight > 0, out=np.zeros(weight.shape))


# -- what is compared


def _paired(fine: xr.Dataset, coarse: xr.Dataset) -> _Pair:
    """Return two images with the pixels of the coarser one that are far from edges and holes."""
    from scipy import ndimage

    a, b = Grid.of(fine), Grid.of(coarse)
    mapping = pixel_mapping(b, a)
    y, x = mapping(np.arange(b.shape[0])[:, None], np.arange(b.shape[1])[None, :])
    jacobian = np.asarray(np.linalg.solve(a.matrix, b.matrix), dtype=np.float64)[::-1, ::-1]
    fine_weight, weight = _plane(fine.wht), _plane(coarse.wht)
    margin = int(np.ceil(_EDGE * np.abs(jacobian).sum(1).max()))
    known = ndimage.binary_erosion(fine_weight > 0, iterations=margin).astype(float)
    share = ndimage.map_coordinates(known, [y, x], order=1, cval=0.0, mode="constant")
    inside = (share > _WHOLE) & (weight > 0)
    if inside.sum() < _FEWEST:
        raise GridError(
            "HC-W15",
            f"the two cubes share {int(inside.sum())} pixels only",
            "check that both show one field",
        )
    return _Pair(
        fine=np.nan_to_num(_plane(fine.sci)),
        fine_weight=fine_weight,
        coarse=np.nan_to_num(_plane(coarse.sci)),
        weight=np.where(inside, weight, 0.0),
        y=y,
        x=x,
        jacobian=jacobian,
    )


def _plane(image: xr.DataArray) -> Array:
    return np.asarray(image.values, dtype=np.float64)


def _middles(fine: xr.Dataset, coarse: xr.Dataset) -> tuple[xr.Dataset, xr.Dataset]:
    """Return the middle of what two large images share; small ones as they are."""
    a, b = Grid.of(fine), Grid.of(coarse)
    if max(b.shape) > _LARGEST:
        middle = _middle_of_shared(a, b)
        coarse = coarse.isel(y=_around(middle[0]), x=_around(middle[1]))
        b = Grid.of(coarse)
    if max(a.shape) <= _LARGEST * b.scale / a.scale:
        return fine, coarse
    rows, columns = (np.array([-_EDGE, n + _EDGE]) for n in b.shape)
    y, x = pixel_mapping(b, a)(rows[:, None], columns[None, :])
    cuts = (_covering(y), _covering(x))
    if cuts[0].start < a.shape[0] and cuts[1].start < a.shape[1]:
        fine = fine.isel(y=cuts[0], x=cuts[1])
    return fine, coarse


def _middle_of_shared(a: Grid, b: Grid) -> tuple[float, float]:
    """Return the middle of the pixels of `b` that lie on `a`; of all where there are none."""
    rows, columns = (np.linspace(0, n - 1, 64) for n in b.shape)
    y, x = pixel_mapping(b, a)(rows[:, None], columns[None, :])
    with np.errstate(invalid="ignore"):
        shared = (y > 0) & (y < a.shape[0]) & (x > 0) & (x < a.shape[1])
    i, j = np.nonzero(shared) if shared.any() else (np.array([32]), np.array([32]))
    return float(rows[i].mean()), float(columns[j].mean())


def _around(middle: float) -> slice:
    return slice(max(int(middle - _LARGEST / 2), 0), int(middle + _LARGEST / 2))


def _covering(places: Array) -> slice:
    """Return the pixels from the first to the last place, and some more."""
    return slice(max(int(np.nanmin(places)) - 8, 0), max(int(np.nanmax(places)) + 9, 1))


# -- the fit: p is (dy, dx, variance of the blur); factor and constant follow from it


def _least_squares(pair: _Pair) -> _Solution:
    """Return the solution of Levenberg and Marquardt's method, from the best of several starts."""
    grid = itertools.product(_BLURS, _STARTS, _STARTS)
    starts = [np.array([dy, dx, blur]) for blur, dy, dx in grid]
    misfits = [_misfit(pair, start) for start in starts]
    first = int(np.argmin(misfits))
    p, best, damping = starts[first], misfits[first], 1e-3
    for _ in range(_ROUNDS):
        trial = _trial(pair, p, damping)
        found = _misfit(pair, trial)
        if not found < best:
            damping *= 10
            if damping > _HOPELESS:
                break
            continue
        moved = np.abs(trial - p)[:2].max()
        p, best, damping = trial, found, damping / 10
        if moved < _CONVERGED:
            break
    there = _linearised(pair, p)
    sample = _sampler(pair, p[2])
    return _Solution(p[:2], there.derivatives, lambda image: there.factor * sample(image, p[:2]))


def _trial(pair: _Pair, p: Array, damping: float) -> Array:
    """Return the parameters after one step."""
    here = _linearised(pair, p)
    w, jac = pair.weight.ravel(), here.derivatives
    normal, gradient = jac.T @ (w[:, None] * jac), jac.T @ (w * here.residual)
    try:
        step = np.linalg.solve(normal + damping * np.diag(np.diag(normal)), gradient)[:3]
    except np.linalg.LinAlgError:  # nothing in the images tells where they lie
        return p
    trial: Array = p + np.clip(step, -0.5, 0.5)
    trial[2] = max(trial[2], _SHARPER)
    return trial


def _misfit(pair: _Pair, p: Array) -> float:
    model = _sampler(pair, p[2])(pair.fine, p[:2])
    factor, constant = _line(pair, model)
    return float((pair.weight * (pair.coarse - factor * model - constant) ** 2).sum())


def _line(pair: _Pair, model: Array) -> tuple[float, float]:
    """Return the factor and the constant that bring a model nearest to the coarser image."""
    total = pair.weight.sum()
    mean_m, mean_c = (pair.weight * model).sum() / total, (pair.weight * pair.coarse).sum() / total
    away = model - mean_m
    product = (pair.weight * away * (pair.coarse - mean_c)).sum()
    factor = float(product / (pair.weight * away**2).sum())
    return factor, float(mean_c - factor * mean_m)


class _Linearised(NamedTuple):
    """The model around some parameters."""

    derivatives: Array  # (pixel, parameter), by dy, dx, the blur, the factor and the constant
    residual: Array  # what the model leaves
    factor: float


def _linearised(pair: _Pair, p: Array) -> _Linearised:
    model = _sampler(pair, p[2])(pair.fine, p[:2])
    factor, constant = _line(pair, model)
    columns = []
    for i in range(3):
        step = _STEP * np.eye(3)[i]
        before, after = p - step, p + step
        low = _sampler(pair, before[2])(pair.fine, before[:2])
        high = _sampler(pair, after[2])(pair.fine, after[:2])
        columns.append(factor * (high - low) / (2 * _STEP))
    derivatives = np.stack([*columns, model, np.ones(model.shape)], axis=-1).reshape(-1, 5)
    residual = (pair.coarse - factor * model - constant).ravel()
    return _Linearised(derivatives, residual, factor)


def _sampler(pair: _Pair, blur: float) -> Callable[[Array, Array], Array]:
    """Return the function that blurs a fine image and samples it at the coarse pixels, shifted.

    Moving the contents by s along the coarse axes is looking s earlier.
    """
    from scipy import fft, ndimage

    ny, nx = pair.fine.shape
    size = [fft.next_fast_len(n + 2 * _EDGE * 2, real=True) for n in (ny, nx)]
    ky, kx = fft.fftfreq(size[0])[:, None], fft.rfftfreq(size[1])[None, :]
    u = pair.jacobian[0, 0] * ky + pair.jacobian[1, 0] * kx  # along the coarse axes
    v = pair.jacobian[0, 1] * ky + pair.jacobian[1, 1] * kx
    transfer = np.sinc(u) * np.sinc(v) * np.exp(-2 * np.pi**2 * blur * (u * u + v * v))

    def sample(image: Array, shift: Array) -> Array:
        smooth = fft.irfft2(fft.rfft2(image, size) * transfer, size)
        dy, dx = pair.jacobian @ shift
        places: list[Any] = [pair.y - dy, pair.x - dx]
        return np.asarray(ndimage.map_coordinates(smooth, places, order=3, mode="grid-wrap"))

    return sample
