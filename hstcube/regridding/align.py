"""Do images lie where their headers say? Shifts between pixel scales, and between the bands of a cube."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import xarray as xr

from hstcube.core.grids import Grid
from hstcube.core.mappings import pixel_mapping
from hstcube.core.rules import validate
from hstcube.core.stack import stack_bands
from hstcube.core.state import record, warn
from hstcube.errors import BandError, GridError
from hstcube.regridding.resample import regrid

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from hstcube.regridding._weights import Method

    Array = NDArray[np.float64]

__all__ = ["apply_shifts", "check_alignment", "warn_of_shifts"]

LEAST_ERROR = 0.02  # pixels of the coarser image: what differences of drizzling and of PSFs leave
NO_VERDICT = (
    0.3  # pixels: colour gradients inside sources mimic shifts as large as that between bands
)
SIGNIFICANT = 3.0  # standard errors
FEWEST = 3  # sources for a shift between bands

_STARTS = (-0.7, 0.0, 0.7)  # shifts tried first, pixels of the coarser image
_BLURS = (0.01, 1.0)  # variances tried first, pixels squared of the coarser image
_ROUNDS = 25
_CONVERGED = 1e-4  # pixels
_LARGEST = (
    400  # pixels of the coarser image: of larger ones the middle of what they share is compared
)
_DRAWS = 64  # of the noise of the finer image
_EDGE = 4  # pixels of the coarser image, left out at the rim and beside holes
_STEP = 0.02  # pixels: for derivatives
_DETECT, _SMOOTH, _WINDOW = (
    5.0,
    1.5,
    2.0,
)  # sigma of the detection image, its smoothing, and the window of centroids [px]
_MAD_TO_SIGMA = 1.482602218505602


def check_alignment(cube: xr.Dataset, other: xr.Dataset | None = None) -> xr.Dataset:
    """Measure how far images lie from where their headers put them.

    With `other`, a cube of the same field at another pixel scale: for every band in both, the image
    of the finer one is fitted to that of the coarser one by its shift, a blur, a factor and a
    constant (a peak of their correlation misses by up to 0.14 pixels: the two have different PSFs
    and pixels). Without it: each band against its neighbour in wavelength, by the centroids of the
    sources in both.

    Parameters
    ----------
    cube : Dataset
    other : Dataset, optional
        On any grid that overlaps the cube's.

    Returns
    -------
    Dataset
        ``dy``, ``dx`` with ``dy_error``, ``dx_error``: by how much the contents of `cube` must be
        moved along y and x, arcsec, so that they lie where `other`, or the next bluer band, has
        them. Along ``band``; for the bluest band alone they are zero. ``pixels``: the larger of the
        two, in pixels of the coarser image; ``sources``: how many were compared (0: the whole
        image); ``shifted``: whether it is more than three errors and more than what means anything,
        0.02 pixels between scales (which is also the least error), 0.3 pixels between bands, where
        the colours inside the sources mimic shifts.

    Raises
    ------
    BandError
        If the two cubes share no band.
    GridError
        If they do not overlap.

    See Also
    --------
    apply_shifts
    """
    validate(cube, data=False)
    if other is None:
        return _between_bands(cube)
    validate(other, data=False)
    shared = [name for name in cube.band.values.tolist() if name in other.band.values.tolist()]
    if not shared:
        raise BandError(
            "HC-B01", "the two cubes share no band", "compare cubes that have a band at both scales"
        )
    one, two = Grid.of(cube), Grid.of(other)
    finer_first = one.scale <= two.scale
    rows = []
    for name in shared:
        fine, coarse = (c.sel(band=name) for c in ((cube, other) if finer_first else (other, cube)))
        found = _fit(fine, coarse)
        rows.append(_on_the_axes_of(one, two, found, finer_first=finer_first))
    return _table(shared, rows, [0] * len(shared), max(one.scale, two.scale), least=LEAST_ERROR)


def warn_of_shifts(
    cube: xr.Dataset, shifts: xr.Dataset, *, scales: tuple[str, str] = ("", "")
) -> xr.Dataset:
    """Return the cube with a warning for what `check_alignment` found to be shifted.

    Parameters
    ----------
    cube : Dataset
    shifts : Dataset
        From `check_alignment`.
    scales : (str, str)
        What the two cubes are called that were compared, for shifts between scales.
    """
    if not shifts.shifted.any():
        return cube
    if shifts.attrs["between"] == "scales":
        dy, dx = _mean_shift(shifts)
        text = f"the images at {scales[0]} lie elsewhere than those at {scales[1]}: to be moved by"
        fix = "open the field with align='apply', or use apply_shifts"
        return warn(
            cube,
            "HC-W20",
            f"{text} {_mas(dy, dx)}, {float(shifts.pixels.median()):.2f} pixels; {fix}",
        )
    for name in shifts.band.values[shifts.shifted.values].tolist():
        row = shifts.sel(band=name)
        text = f"{name} lies elsewhere than its bluer neighbour: to be moved by {_mas(float(row.dy), float(row.dx))}"
        cube = warn(
            cube, "HC-W20", f"{text}, {float(row.pixels):.2f} pixels ({int(row.sources)} sources)"
        )
    return cube


def _mas(dy: float, dx: float) -> str:
    return f"dy {dy * 1000:+.1f} mas, dx {dx * 1000:+.1f} mas"


def apply_shifts(
    cube: xr.Dataset, shifts: xr.Dataset, *, method: Method = "adaptive"
) -> xr.Dataset:
    """Move the contents of a cube by what `check_alignment` found.

    Parameters
    ----------
    cube : Dataset
    shifts : Dataset
        With ``dy``, ``dx`` [arcsec, along y and x of the cube] and their errors, along ``band``.
        Those between scales become one for all bands, their mean weighted by their errors, which
        moves the grid: no pixel changes. Shifts between bands (``attrs["between"] == "bands"``) add
        up from the bluest band on, as far as they are ``shifted``; such bands are resampled.
    method : str
        For bands that are resampled; see `regrid`.

    Returns
    -------
    Dataset
        The cube, with the shift in its history.

    Raises
    ------
    BandError
        If shifts between bands lack a band of the cube.
    """
    validate(cube, data=False)
    grid = Grid.of(cube)
    if shifts.attrs.get("between") != "bands":
        (dy, dx), words = _mean_shift(shifts), "all bands"
        return _moved(cube, grid, dy, dx, words)
    names = cube.band.values.tolist()
    if missing := [name for name in names if name not in shifts.band.values.tolist()]:
        raise BandError(
            "HC-B01",
            "the shifts have no such band",
            "check_alignment(cube) gives them all",
            band=missing[0],
        )
    steps = shifts.sel(band=names)
    used = np.where(steps.shifted.values, np.stack([steps.dy.values, steps.dx.values]), 0.0)
    total = np.cumsum(used, axis=1)
    pieces = []
    for i, name in enumerate(names):
        piece = cube.isel(band=[i])
        if total[:, i].any():
            piece = regrid(_moved(piece, grid, total[0, i], total[1, i], name), grid, method=method)
        pieces.append(piece)
    return (
        stack_bands([piece.assign_coords(grid.coords()) for piece in pieces])
        if total.any()
        else cube
    )


def _moved(cube: xr.Dataset, grid: Grid, dy: float, dx: float, what: str) -> xr.Dataset:
    """Return a cube whose contents lie (dy, dx) arcsec further along its axes: the grid moves under its pixels."""
    moved = grid.stepped((dy / grid.steps[0], dx / grid.steps[1]), (1.0, 1.0), grid.shape)
    return record(cube.assign_coords(moved.coords()), f"apply_shifts({what}: {_mas(dy, dx)})")


def _mean_shift(shifts: xr.Dataset) -> Array:
    values = np.stack([shifts.dy.values, shifts.dx.values])
    weight = np.stack([shifts.dy_error.values, shifts.dx_error.values]) ** -2.0
    return np.asarray((values * weight).sum(1) / weight.sum(1))


def _table(
    names: list[str],
    rows: list[tuple[Array, Array]],
    sources: list[int],
    scale: float,
    least: float,
) -> xr.Dataset:
    shift, error = (np.array([row[i] for row in rows]) for i in (0, 1))
    larger = np.abs(shift).max(1) / scale
    significant = (np.abs(shift) > SIGNIFICANT * error) & (np.abs(shift) > least * scale)
    columns = {
        "dy": shift[:, 0],
        "dx": shift[:, 1],
        "dy_error": error[:, 0],
        "dx_error": error[:, 1],
    }
    attrs = {"units": "arcsec"}
    return xr.Dataset(
        {name: ("band", column, attrs) for name, column in columns.items()}
        | {
            "pixels": ("band", larger),
            "sources": ("band", np.array(sources)),
            "shifted": ("band", np.nan_to_num(significant).any(1)),
        },
        {"band": np.array(names, dtype=object)},
        {"between": "scales" if least == LEAST_ERROR else "bands"},
    )


# -- between scales: one image fitted to the other


class _Pair(NamedTuple):
    """A finer image on its own pixels, and a coarser one with the places of its pixels on the finer one."""

    fine: Array
    known: NDArray[np.bool_]
    coarse: Array
    weight: Array
    y: Array
    x: Array
    jacobian: Array


def _fit(fine: xr.Dataset, coarse: xr.Dataset) -> tuple[Array, Array]:
    """Return the shift of the finer image's contents, in coarse pixels along the coarse axes, and its errors.

    Least squares of coarse = a + b S(K F), K a Gaussian times the coarse pixel, S the sampling at
    shifted places. Errors follow from the noise of both images through the linearised fit; that of
    the finer one is drawn.
    """
    from scipy import ndimage

    fine, coarse = _middles(fine, coarse)
    a, b = Grid.of(fine), Grid.of(coarse)
    mapping = pixel_mapping(b, a)
    y, x = mapping(np.arange(b.shape[0])[:, None], np.arange(b.shape[1])[None, :])
    jacobian = np.asarray(np.linalg.solve(a.matrix, b.matrix), dtype=np.float64)[::-1, ::-1]
    planes = [
        np.asarray(p.values, dtype=np.float64) for p in (fine.sci, fine.wht, coarse.sci, coarse.wht)
    ]
    margin = int(np.ceil(_EDGE * np.abs(jacobian).sum(1).max()))
    known = ndimage.binary_erosion(planes[1] > 0, iterations=margin)
    inside = (
        ndimage.map_coordinates(known.astype(float), [y, x], order=1, cval=0.0, mode="constant")
        > 0.999
    )
    inside &= planes[3] > 0
    if inside.sum() < 100:  # noqa: PLR2004
        raise GridError(
            "HC-W15",
            f"the two cubes share {int(inside.sum())} pixels only",
            "check that both show one field",
        )
    pair = _Pair(
        np.nan_to_num(planes[0]), planes[1] > 0, np.nan_to_num(planes[2]), np.where(inside, planes[3], 0.0), y, x,
        jacobian,
    )  # fmt: skip
    solution, jac, sampled = _least_squares(pair)
    hessian = jac.T @ (pair.weight.ravel()[:, None] * jac)
    gain = np.linalg.solve(hessian, (pair.weight.ravel()[:, None] * jac).T)[:2]
    own = _scale_of(coarse) ** 2 * np.einsum(
        "ij,ij,j->i", gain, gain, _inverse(pair.weight).ravel()
    )
    rng = np.random.default_rng(0)  # the same in every call
    sigma = _scale_of(fine) * np.sqrt(_inverse(planes[1]))
    drawn = np.array(
        [gain @ sampled(rng.normal(size=sigma.shape) * sigma).ravel() for _ in range(_DRAWS)]
    )
    error = np.sqrt(own + drawn.var(0))
    return solution[:2], np.maximum(error, LEAST_ERROR)


def _middles(fine: xr.Dataset, coarse: xr.Dataset) -> tuple[xr.Dataset, xr.Dataset]:
    """Return the middle of what two large images share; small ones as they are."""
    a, b = Grid.of(fine), Grid.of(coarse)
    if max(b.shape) > _LARGEST:
        rows, columns = (np.linspace(0, n - 1, 64) for n in b.shape)
        y, x = pixel_mapping(b, a)(rows[:, None], columns[None, :])
        with np.errstate(invalid="ignore"):
            shared = (y > 0) & (y < a.shape[0]) & (x > 0) & (x < a.shape[1])
        i, j = np.nonzero(shared) if shared.any() else (np.array([32]), np.array([32]))
        spans = [
            slice(max(int(at - _LARGEST / 2), 0), int(at + _LARGEST / 2))
            for at in (rows[i].mean(), columns[j].mean())
        ]
        coarse = coarse.isel(y=spans[0], x=spans[1])
        b = Grid.of(coarse)
    if max(a.shape) > _LARGEST * b.scale / a.scale:
        edges = [np.array([-_EDGE, n + _EDGE]) for n in b.shape]
        corners = pixel_mapping(b, a)(edges[0][:, None], edges[1][None, :])
        cuts = [
            slice(max(int(np.nanmin(p)) - 8, 0), max(int(np.nanmax(p)) + 9, 1)) for p in corners
        ]
        if all(cut.start < n for cut, n in zip(cuts, a.shape, strict=True)):
            fine = fine.isel(y=cuts[0], x=cuts[1])
    return fine, coarse


def _scale_of(cube: xr.Dataset) -> float:
    return float(cube.coords["noise_scale"]) if "noise_scale" in cube.coords else 1.0


def _inverse(weight: Array) -> Array:
    return np.divide(1.0, weight, where=weight > 0, out=np.zeros(weight.shape))


def _least_squares(pair: _Pair) -> tuple[Array, Array, Callable[[Array], Array]]:
    """Return (dy, dx, variance of the blur, factor, constant), the derivatives by them, and the map of fine noise."""
    start = min(
        (np.array([dy, dx, blur]) for blur in _BLURS for dy in _STARTS for dx in _STARTS),
        key=lambda p: _misfit(pair, p),
    )
    damping, best = 1e-3, _misfit(pair, start)
    p = start
    for _ in range(_ROUNDS):
        jac, residual, _ = _linearised(pair, p)
        w = pair.weight.ravel()
        normal, gradient = jac.T @ (w[:, None] * jac), jac.T @ (w * residual)
        step = np.linalg.solve(normal + damping * np.diag(np.diag(normal)), gradient)[:3]
        trial = p + np.clip(step, -0.5, 0.5)
        trial[2] = max(
            trial[2], -0.2
        )  # a little sharpening: the finer image may be the blurrier one
        found = _misfit(pair, trial)
        if found < best:
            small = np.abs(trial - p)[:2].max() < _CONVERGED
            p, best, damping = trial, found, damping / 10
            if small:
                break
        else:
            damping *= 10
            if damping > 1e6:  # noqa: PLR2004
                break
    jac, _, (factor, constant) = _linearised(pair, p)
    sample = _sampler(pair, p[2])
    return np.array([*p, factor, constant]), jac, lambda noise: factor * sample(noise, p[:2])


def _misfit(pair: _Pair, p: Array) -> float:
    model = _sampler(pair, p[2])(pair.fine, p[:2])
    factor, constant = _line(pair, model)
    return float((pair.weight * (pair.coarse - factor * model - constant) ** 2).sum())


def _line(pair: _Pair, model: Array) -> tuple[float, float]:
    total = pair.weight.sum()
    mean_m, mean_c = (pair.weight * model).sum() / total, (pair.weight * pair.coarse).sum() / total
    away = model - mean_m
    factor = float(
        (pair.weight * away * (pair.coarse - mean_c)).sum() / (pair.weight * away**2).sum()
    )
    return factor, float(mean_c - factor * mean_m)


def _linearised(pair: _Pair, p: Array) -> tuple[Array, Array, tuple[float, float]]:
    """Return the derivatives of the model by all five parameters, and what the model leaves."""
    model = _sampler(pair, p[2])(pair.fine, p[:2])
    factor, constant = _line(pair, model)
    columns = []
    for i in range(3):
        ends = []
        for sign in (-1, 1):
            q = p.copy()
            q[i] += sign * _STEP
            ends.append(_sampler(pair, q[2])(pair.fine, q[:2]))
        columns.append(factor * (ends[1] - ends[0]) / (2 * _STEP))
    jac = np.stack([*columns, model, np.ones(model.shape)], axis=-1).reshape(-1, 5)
    return jac, (pair.coarse - factor * model - constant).ravel(), (factor, constant)


def _sampler(pair: _Pair, blur: float) -> Callable[[Array, Array], Array]:
    """Return the function that blurs an image on the fine pixels and samples it at the coarse ones, shifted.

    Moving the contents by s along the coarse axes is looking s earlier.
    """
    from scipy import fft, ndimage

    ny, nx = pair.fine.shape
    size = [fft.next_fast_len(n + 2 * _EDGE * 2, real=True) for n in (ny, nx)]
    ky, kx = fft.fftfreq(size[0])[:, None], fft.rfftfreq(size[1])[None, :]
    u, v = (
        pair.jacobian[0, i] * ky + pair.jacobian[1, i] * kx for i in (0, 1)
    )  # along the coarse axes
    transfer = np.sinc(u) * np.sinc(v) * np.exp(-2 * np.pi**2 * blur * (u * u + v * v))

    def sample(image: Array, shift: Array) -> Array:
        smooth = fft.irfft2(fft.rfft2(image, size) * transfer, size)
        dy, dx = pair.jacobian @ shift
        return np.asarray(
            ndimage.map_coordinates(smooth, [pair.y - dy, pair.x - dx], order=3, mode="grid-wrap")
        )

    return sample


def _on_the_axes_of(
    one: Grid, two: Grid, found: tuple[Array, Array], *, finer_first: bool
) -> tuple[Array, Array]:
    """Return a shift of the finer image's contents, in coarse pixels, as one of the contents of `one`, arcsec."""
    coarse = two if finer_first else one
    shift, error = found
    along = np.linalg.solve(one.matrix, coarse.matrix)[::-1, ::-1] * np.array(one.steps)[:, None]
    moved = along @ shift * (1 if finer_first else -1)
    return moved, np.sqrt(along**2 @ error**2)


# -- between bands: the centroids of sources


def _between_bands(cube: xr.Dataset) -> xr.Dataset:
    """Compare each band with the next bluer one, source by source; errors from the scatter between sources."""
    names, grid = cube.band.values.tolist(), Grid.of(cube)
    steps = np.array(grid.steps)
    rows, counts = [(np.zeros(2), np.zeros(2))], [0]
    for i in range(1, len(names)):
        bluer, redder = (np.asarray(cube.sci.values[k], dtype=np.float64) for k in (i - 1, i))
        weights = [np.asarray(cube.wht.values[k], dtype=np.float64) for k in (i - 1, i)]
        shifts = _of_sources(bluer, redder, weights)
        counts.append(len(shifts))
        if len(shifts) < FEWEST:
            rows.append((np.full(2, np.nan), np.full(2, np.inf)))
            continue
        middle = np.median(shifts, axis=0)
        scatter = _MAD_TO_SIGMA * np.median(np.abs(shifts - middle), axis=0)
        rows.append(
            (middle * steps, np.maximum(1.25 * scatter / np.sqrt(len(shifts)), LEAST_ERROR) * steps)
        )
    return _table(names, rows, counts, grid.scale, least=NO_VERDICT)


def _of_sources(bluer: Array, redder: Array, weights: list[Array]) -> Array:
    """Return by how much the sources of the redder image must move, pixels, (source, 2)."""
    from scipy import ndimage

    valid = (weights[0] > 0) & (weights[1] > 0)
    if not valid.any():
        return np.zeros((0, 2))
    signal = [np.where(valid, image - np.median(image[valid]), 0) for image in (bluer, redder)]
    noise = [np.where(valid, _inverse(weight), 0) for weight in weights]
    seen = np.ones(valid.shape, dtype=bool)
    for image, variance in zip(signal, noise, strict=True):  # a source is one that both bands show
        smooth = ndimage.gaussian_filter(image, _SMOOTH)
        quiet = _MAD_TO_SIGMA * np.median(np.abs(smooth[valid]))
        sigma = np.sqrt(np.maximum(quiet**2, variance / (4 * np.pi * _SMOOTH**2)))
        seen &= smooth > _DETECT * sigma
    pieces, number = ndimage.label(seen)
    found = []
    for k, box in enumerate(ndimage.find_objects(pieces, number), start=1):
        mine = pieces[box] == k
        if mine.sum() < 5:  # noqa: PLR2004  less is noise
            continue
        start = np.array(ndimage.center_of_mass(np.where(mine, signal[0][box] + signal[1][box], 0)))
        start = start + [s.start for s in box]
        places = [_centroid(image, start) for image in signal]
        if all(place is not None and np.hypot(*(place - start)) < 2 * _WINDOW for place in places):
            found.append(places[0] - places[1])
    return np.array(found).reshape(-1, 2)


def _centroid(image: Array, start: Array) -> Any:
    """Return the windowed centroid near a place (XWIN_IMAGE of SExtractor, Bertin & Arnouts 1996), or None."""
    reach = int(4 * _WINDOW)
    place = start
    for _ in range(20):
        y0, x0 = (int(np.rint(p)) for p in place)
        if min(y0, x0) < reach or y0 >= image.shape[0] - reach or x0 >= image.shape[1] - reach:
            return None
        y, x = np.mgrid[y0 - reach : y0 + reach + 1, x0 - reach : x0 + reach + 1]
        window = np.exp(-((y - place[0]) ** 2 + (x - place[1]) ** 2) / (2 * _WINDOW**2))
        light = window * image[y0 - reach : y0 + reach + 1, x0 - reach : x0 + reach + 1]
        total = light.sum()
        if total <= 0:
            return None
        step = (
            2 * np.array([(light * (y - place[0])).sum(), (light * (x - place[1])).sum()]) / total
        )
        place = place + np.clip(step, -1, 1)
        if np.abs(step).max() < 1e-3:  # noqa: PLR2004
            return place
    return None
