"""The linear operators that take images from one pixel grid to another: which input pixels each output pixel sees.

One sparse matrix a tile of the output, shared by all bands. The squares of its elements carry the
variance, pixel by pixel: a constant factor would be wrong by up to 50 % where the two lattices
beat.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np

from hstcube.core.mappings import affine_mapping, pixel_mapping

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from hstcube.core.grids import Grid

    Array = NDArray[np.float64]

__all__ = [
    "COARSER",
    "METHODS",
    "Blur",
    "Method",
    "added_variance",
    "regrid_noise",
    "regrid_planes",
    "regrid_psf",
    "typical_blur",
]

Method = Literal["adaptive", "exact", "bilinear", "nearest"]

METHODS = get_args(Method)
COARSER = 1.5  # times the input's scale: output pixels larger than that see several input pixels

# pixels, the larger of the two: the default of reproject_adaptive, whose kernel_width is 2 sigma
_KERNEL_SIGMA = 0.65
_KERNEL_REACH = 4 * _KERNEL_SIGMA
_ELEMENTS = 2_000_000  # of the matrix of one tile
_TILE = 256  # pixels along one side of a tile, at most
_SNAP = 1e-9  # pixels: closer to a pixel's centre than that is on it
_PATCH = 24  # pixels along the side of the patch that shows the mean correlation of the noise
_PHASES = (-0.375, -0.125, 0.125, 0.375)  # places of a source inside its pixel, for the mean PSF
_FAINT = 1e-4  # correlations below this are left out at the rim


class Taps(NamedTuple):
    """Input pixels of each output pixel: rows, columns and weights, (pixel, tap); weights not normalised."""

    y: NDArray[np.int64]
    x: NDArray[np.int64]
    weight: Array


def regrid_planes(
    sci: Any,
    wht: Any,
    mask: Any,
    *,
    source: Grid,
    grid: Grid,
    method: Method,
    flux: bool,
    min_coverage: float,
) -> tuple[Any, Any, Any]:
    """Take images, weights and masks to another grid.

    Parameters
    ----------
    sci, wht, mask : array, (band, y, x)
        On `source`; wht = 0 is no data.
    source, grid : Grid
    method : str
        One of `METHODS`.
    flux : bool
        Multiply by the area of a pixel of `grid` in pixels of `source`.
    min_coverage : float
        A pixel has data where at least this share of its weights inside the frame saw data, its
        centre lies in the frame and, unless it is larger than 1.5 pixels of the input, on a pixel
        that has data.

    Returns
    -------
    tuple of array, (band, y, x)
        sci' = A (W v sci) / (W v) and wht' = (W v)^2 / (A^2 (W^2 v/wht)), with v = (wht > 0) and A
        = 1 or the area.
    """
    number = len(sci)
    out = (
        np.full((number, *grid.shape), np.nan, sci.dtype),
        np.zeros((number, *grid.shape), wht.dtype),
        np.zeros((number, *grid.shape), bool),
    )
    for tile, y, x, jacobian, area in _tiles(source, grid, method):
        window = _window(y, x, jacobian, method, source.shape)
        if window is None:
            continue
        (top, bottom), (left, right) = window
        planes = tuple(
            plane[:, top:bottom, left:right].reshape(number, -1).T for plane in (sci, wht, mask)
        )
        found = _regrid_tile(
            planes, (bottom - top, right - left), (y - top, x - left), jacobian, method, (min_coverage, source.shape,
            (top, left)),
        )  # fmt: skip
        factor = area.reshape(-1, 1) if flux else 1.0
        values, weights, used = found
        out[0][:, *tile] = (values * factor).T.reshape(number, *y.shape)
        out[1][:, *tile] = (weights / factor**2).T.reshape(number, *y.shape)
        out[2][:, *tile] = used.T.reshape(number, *y.shape)
    return out


def _regrid_tile(
    planes: tuple[Any, Any, Any], shape: tuple[int, int], place: tuple[Array, Array], jacobian: Array, method: Method,
    rule: tuple[float, tuple[int, int], tuple[int, int]],
) -> tuple[Array, Array, NDArray[np.bool_]]:  # fmt: skip
    """Regrid the bands of one tile: planes (input pixel, band) to (output pixel, band)."""
    sci, wht, mask = planes
    y, x = (axis.ravel() for axis in place)
    taps = _taps(y, x, jacobian, method)
    matrix, squared, total = _matrices(taps, shape)
    valid = wht > 0
    whole = bool(valid.all())
    noise = np.divide(1.0, wht, where=valid, out=np.zeros(wht.shape), dtype=float)
    seen = total[:, None] if whole else matrix @ valid.astype(float)
    signal = matrix @ (sci.astype(float) if whole else np.where(valid, sci, 0).astype(float))
    spread = squared @ noise
    min_coverage, frame, (top, left) = rule
    iy, ix = np.rint(y).astype(np.int64), np.rint(x).astype(np.int64)
    inside = (iy + top >= 0) & (iy + top < frame[0]) & (ix + left >= 0) & (ix + left < frame[1])
    centre = np.clip(iy, 0, shape[0] - 1) * shape[1] + np.clip(ix, 0, shape[1] - 1)
    keep = inside[:, None] & (seen >= (min_coverage - _SNAP) * total[:, None]) & (seen > 0)
    if not whole and abs(np.linalg.det(jacobian)) < COARSER**2:
        keep = keep & valid[centre]
    keep = np.broadcast_to(keep, signal.shape)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.where(keep, signal / seen, np.nan)
        weights = np.where(keep, seen**2 / spread, 0.0)
    return values, weights, keep & mask[centre]


def _matrices(taps: Taps, shape: tuple[int, int]) -> tuple[Any, Any, Array]:
    """Return the weights and their squares as sparse matrices, and the sum of the weights in the frame."""
    from scipy.sparse import csr_array

    ny, nx = shape
    inside = (taps.y >= 0) & (taps.y < ny) & (taps.x >= 0) & (taps.x < nx)
    whole = bool(inside.all())
    weight = taps.weight if whole else np.where(inside, taps.weight, 0.0)
    index = taps.y * nx + taps.x if whole else np.where(inside, taps.y * nx + taps.x, 0)
    size, number = weight.shape
    pointers = np.arange(0, size * number + 1, number, dtype=np.int32)
    index = index.astype(np.int32).ravel()
    matrices = (
        csr_array((w.ravel(), index, pointers), shape=(size, ny * nx)) for w in (weight, weight**2)
    )
    return *matrices, weight.sum(1)


# -- places


def _tiles(
    source: Grid, grid: Grid, method: Method
) -> Iterator[tuple[Any, Array, Array, Array, Array]]:
    """Yield tiles of `grid`: slices, the places (y, x) of the pixels on `source`, the Jacobian, the pixels' areas."""
    affine, mapping = affine_mapping(grid, source), pixel_mapping(grid, source)
    side = _TILE
    if affine is not None:
        taps = len(_offsets(affine[0], method)[0])
        side = int(np.clip(math.isqrt(_ELEMENTS // taps), 32, _TILE))
    for top in range(0, grid.shape[0], side):
        for left in range(0, grid.shape[1], side):
            tile = (
                slice(top, min(top + side, grid.shape[0])),
                slice(left, min(left + side, grid.shape[1])),
            )
            rows, columns = (np.arange(s.start - 1.0, s.stop + 1.0) for s in tile)
            if affine is not None:
                y, x = mapping(rows[1:-1, None], columns[None, 1:-1])
                yield (
                    tile,
                    _snapped(y),
                    _snapped(x),
                    affine[0],
                    np.full(y.shape, abs(np.linalg.det(affine[0]))),
                )
                continue
            y, x = mapping(rows[:, None], columns[None, :])
            slopes = np.array([[_slope(place, axis) for axis in (0, 1)] for place in (y, x)])
            area = np.abs(slopes[0, 0] * slopes[1, 1] - slopes[0, 1] * slopes[1, 0])
            if not np.isfinite(slopes).any(axis=(2, 3)).all():
                continue  # beyond the horizon of the projection
            y, x = (np.where(np.isfinite(area), place[1:-1, 1:-1], -1e9) for place in (y, x))
            yield tile, y, x, np.nanmedian(slopes, axis=(2, 3)), area


def _slope(place: Array, axis: int) -> Array:
    """Return central differences along an axis of the inner pixels."""
    inner = [slice(1, -1), slice(1, -1)]
    ahead, behind = list(inner), list(inner)
    ahead[axis], behind[axis] = slice(2, None), slice(None, -2)
    return np.asarray((place[tuple(ahead)] - place[tuple(behind)]) / 2)


def _snapped(place: Array) -> Array:
    """Return places with those that are a pixel's centre but for rounding put there: a shift by a pixel is exact."""
    nearest = np.rint(place)
    return np.where(
        np.abs(place - nearest) < _SNAP * np.maximum(1, np.abs(nearest)), nearest, place
    )


def _window(
    y: Array, x: Array, jacobian: Array, method: Method, shape: tuple[int, int]
) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Return the rows and columns of the input that a tile sees; None where it lies outside the frame."""
    reach = _reach(jacobian, method)
    spans = []
    for place, r, n in zip((y, x), reach, shape, strict=True):
        there = place[place > -1e8]  # noqa: PLR2004
        if not there.size:
            return None
        low, high = max(math.floor(there.min()) - r, 0), min(math.ceil(there.max()) + r + 1, n)
        if low >= high:
            return None
        spans.append((low, high))
    return spans[0], spans[1]


# -- weights


def _taps(y: Array, x: Array, jacobian: Array, method: Method) -> Taps:
    """Return the weights of the input pixels around each place.

    Parameters
    ----------
    y, x : array, (pixel,)
        Places on the input grid.
    jacobian : array, (2, 2)
        Change of (y, x) on the input for a step along y and along x of the output.
    method : str
        nearest; bilinear; exact: the shared area (as drizzle does it, Fruchter & Hook 2002, PASP
        114, 144); adaptive: a Gaussian of sigma 0.65 pixels, of the larger of the two in any
        direction (DeForest 2004, Solar Physics 219, 3).
    """
    offsets_y, offsets_x = _offsets(jacobian, method)
    corner = np.floor if method == "bilinear" else np.rint
    base_y, base_x = corner(y).astype(np.int64), corner(x).astype(np.int64)
    tap_y, tap_x = base_y[:, None] + offsets_y, base_x[:, None] + offsets_x
    if method == "nearest":
        return Taps(tap_y, tap_x, np.ones(tap_y.shape))
    away_y, away_x = tap_y - y[:, None], tap_x - x[:, None]
    if method == "bilinear":
        weight = (1 - np.abs(away_y)) * (1 - np.abs(away_x))
    elif method == "exact":
        weight = _shared_area(away_y, away_x, jacobian)
    else:
        inverse = _padded_inverse(jacobian)
        u = inverse[0, 0] * away_y + inverse[0, 1] * away_x
        v = inverse[1, 0] * away_y + inverse[1, 1] * away_x
        distance = u * u + v * v
        weight = np.exp(distance * (-0.5 / _KERNEL_SIGMA**2)) * (distance <= _KERNEL_REACH**2)
    return Taps(tap_y, tap_x, weight)


def _offsets(jacobian: Array, method: Method) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the pixels around the one nearest to a place (bilinear: below it) that can have a weight."""
    if method == "nearest":
        return np.zeros(1, np.int64), np.zeros(1, np.int64)
    if method == "bilinear":
        return np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    ry, rx = _reach(jacobian, method)
    dy, dx = (axis.ravel() for axis in np.mgrid[-ry : ry + 1, -rx : rx + 1])
    if (
        method == "exact"
    ):  # the pixel, moved by up to half a pixel, and the parallelogram must meet: separating axes
        inverse = np.linalg.inv(jacobian)
        u, v = inverse @ np.stack([dy, dx])
        slack = 0.5 + np.abs(inverse).sum(1)
        near = (np.abs(u) < slack[0]) & (np.abs(v) < slack[1])
    else:
        inverse = _padded_inverse(jacobian)
        u, v = inverse @ np.stack([dy, dx])
        near = np.hypot(u, v) < _KERNEL_REACH + math.sqrt(
            0.5
        )  # of the inverse no direction is longer than one
    return dy[near], dx[near]


def _reach(jacobian: Array, method: Method) -> tuple[int, int]:
    """Return how far along y and x the weights can reach from the nearest pixel."""
    if method in ("nearest", "bilinear"):
        return 1, 1
    if method == "exact":
        far = np.abs(jacobian).sum(1) / 2 + 1.0
    else:
        far = _KERNEL_REACH * np.linalg.norm(np.linalg.inv(_padded_inverse(jacobian)), axis=1) + 0.5
    return math.floor(far[0]), math.floor(far[1])


def _padded_inverse(jacobian: Array) -> Array:
    """Return the map from the input to the output, shrunk nowhere below one input pixel."""
    left, sizes, right = np.linalg.svd(jacobian)
    return np.asarray((right.T / np.maximum(sizes, 1.0)) @ left.T)


def _shared_area(away_y: Array, away_x: Array, jacobian: Array) -> Array:
    """Return the area that unit squares share with the image of an output pixel around the origin.

    The sum over the sides of that parallelogram of the signed area between the side and the
    square's lower edge.
    """
    along_y, along_x = jacobian[:, 0] / 2, jacobian[:, 1] / 2
    corners = [s * along_y + t * along_x for s, t in ((-1, -1), (-1, 1), (1, 1), (1, -1))]
    area = np.zeros(away_y.shape)
    low_y, low_x = away_y - 0.5, away_x - 0.5
    for (y0, x0), (y1, x1) in zip(corners, [*corners[1:], corners[0]], strict=True):
        if abs(x1 - x0) < _SNAP:
            continue  # an upright side has no area below it
        slope = (y1 - y0) / (x1 - x0)
        left, right = np.clip(x0 - low_x, 0, 1), np.clip(x1 - low_x, 0, 1)
        start, end = (y0 - low_y + slope * (edge + low_x - x0) for edge in (left, right))
        if abs(slope) < 1e-7:  # noqa: PLR2004  the difference below would lose its digits
            area += (right - left) * np.clip((start + end) / 2, 0, 1)
        else:
            area += (_below(end) - _below(start)) / slope
    return np.abs(area)


def _below(y: Array) -> Array:
    """Return the integral of clip(y, 0, 1) from 0 to y."""
    cut = np.clip(y, 0, 1)
    return np.asarray(cut * (y - cut / 2))


# -- what the operator does to noise and PSFs, on the average over the places of its pixels


class Blur(NamedTuple):
    """The operator near the middle of the output, on an input without edges.

    `jacobian` and `origin` place pixel (i, j) of the output around its middle at origin + jacobian
    (i, j) on the input.
    """

    jacobian: Array
    origin: Array
    method: Method

    def matrix(
        self, i: Array, j: Array, *, shift: tuple[float, float] = (0.0, 0.0)
    ) -> tuple[Any, Any]:
        """Return the operator for output pixels (i, j), rows of unit sum, and the input's (y, x) of its columns."""
        y, x = (
            _snapped(
                self.origin[k] + shift[k] + self.jacobian[k, 0] * i + self.jacobian[k, 1] * j
            ).ravel()
            for k in (0, 1)
        )
        taps = _taps(y, x, self.jacobian, self.method)
        low = (int(taps.y.min()), int(taps.x.min()))
        shape = (int(taps.y.max()) - low[0] + 1, int(taps.x.max()) - low[1] + 1)
        weight = taps.weight / taps.weight.sum(1, keepdims=True)
        matrix, _, _ = _matrices(Taps(taps.y - low[0], taps.x - low[1], weight), shape)
        return matrix, (low, shape)


def typical_blur(source: Grid, grid: Grid, method: Method) -> Blur:
    """Return the operator near the middle of what the two grids share."""
    mapping = pixel_mapping(grid, source)
    i, j = ((n - 1) // 2 for n in grid.shape)
    y, x = mapping(i + np.array([[-1.0, 0.0, 1.0]]).T, j + np.array([[-1.0, 0.0, 1.0]]))
    if not (np.isfinite(y).all() and np.isfinite(x).all()):
        step = np.asarray(np.linalg.solve(source.matrix, grid.matrix), dtype=np.float64)
        return Blur(step[::-1, ::-1], np.zeros(2), method)
    jacobian: Array = np.array([[(p[2, 1] - p[0, 1]) / 2, (p[1, 2] - p[1, 0]) / 2] for p in (y, x)])
    return Blur(jacobian, np.array([y[1, 1], x[1, 1]]), method)


def added_variance(blur: Blur) -> Array:
    """Return the second moments that the operator adds to a PSF along y and x, input pixels squared."""
    i, j = np.mgrid[:_PATCH, :_PATCH].astype(float)
    y, x = (blur.origin[k] + blur.jacobian[k, 0] * i + blur.jacobian[k, 1] * j for k in (0, 1))
    taps = _taps(y.ravel(), x.ravel(), blur.jacobian, blur.method)
    weight = taps.weight / taps.weight.sum(1, keepdims=True)
    return np.array(
        [
            np.mean(np.sum(weight * (taps.y - y.reshape(-1, 1)) ** 2, 1)),
            np.mean(np.sum(weight * (taps.x - x.reshape(-1, 1)) ** 2, 1)),
        ]
    )


def regrid_noise(acf: Array, blur: Blur) -> tuple[Array, Array]:
    """Carry correlated noise along.

    Parameters
    ----------
    acf : array, (band, 2m + 1, 2n + 1)
        Autocorrelation of the input's noise at lags of whole pixels, 1 in the middle.
    blur : Blur

    Returns
    -------
    array (band, 2M + 1, 2N + 1), array (band,)
        The mean autocorrelation of the output's noise at lags of its own pixels, and how much
        larger the sigma of a pixel is than without correlations in the input: C(a, b) = sum of
        w_a(j) w_b(k) rho(j - k), averaged over the pixels a of a patch.
    """
    lags = [n // 2 for n in acf.shape[1:]]
    inverse = np.abs(np.linalg.inv(blur.jacobian))
    ry, rx = (r + 1 for r in _reach(blur.jacobian, blur.method))
    reach = np.ceil(inverse @ np.array([lags[0] + 2 * ry, lags[1] + 2 * rx])).astype(int)
    i, j = np.mgrid[-reach[0] : _PATCH + reach[0], -reach[1] : _PATCH + reach[1]].astype(float)
    matrix, (_, shape) = blur.matrix(i, j)
    inner = (slice(reach[0], reach[0] + _PATCH), slice(reach[1], reach[1] + _PATCH))
    middle = np.arange(i.size).reshape(i.shape)[inner].ravel()
    known: dict[bytes, tuple[Array, float]] = {}
    for rho in acf:
        if rho.tobytes() not in known:
            known[rho.tobytes()] = _carried(
                rho, matrix, shape, middle, (i.shape, (int(reach[0]), int(reach[1])))
            )
    results = [known[rho.tobytes()] for rho in acf]
    stack = np.stack([result[0] for result in results])
    return _trimmed(stack), np.array([result[1] for result in results])


def _carried(
    rho: Array,
    matrix: Any,
    shape: tuple[int, int],
    middle: NDArray[Any],
    patch: tuple[Any, tuple[int, int]],
) -> tuple[Array, float]:
    """Return the mean correlation at every lag, and the ratio of sigmas, for one band."""
    from numpy.lib.stride_tricks import sliding_window_view

    frame, (reach_y, reach_x) = patch
    rows = matrix[middle]
    covariance = (_correlate_rows(rows, shape, rho) @ matrix.T).tocoo()
    sigma = np.sqrt((matrix * matrix).sum(1))  # of each pixel, as wht tells it
    (iy, ix), (jy, jx) = (
        np.divmod(index, frame[1]) for index in (middle[covariance.row], covariance.col)
    )
    dy, dx = jy - iy, jx - ix
    near = (np.abs(dy) <= reach_y) & (np.abs(dx) <= reach_x)
    total = np.zeros((2 * reach_y + 1, 2 * reach_x + 1))
    np.add.at(total, (dy[near] + reach_y, dx[near] + reach_x), covariance.data[near])
    # the ratio of sums, not the mean of ratios: with the sigmas of single pixels it gives sums
    # right on average
    there = sigma.reshape(frame)
    here = there[reach_y : reach_y + _PATCH, reach_x : reach_x + _PATCH]
    products = sliding_window_view(there, here.shape)
    total /= np.einsum("ijkl,kl->ij", products, here)
    square = total[reach_y, reach_x]
    return total / square, float(np.sqrt(square))


def _correlate_rows(matrix: Any, shape: tuple[int, int], rho: Array) -> Any:
    """Return the matrix times the correlation matrix of the input's pixels, sparse."""
    from scipy.sparse import diags_array

    ny, nx = shape
    middle_y, middle_x = rho.shape[0] // 2, rho.shape[1] // 2
    offsets, diagonals = [], []
    column = np.arange(ny * nx) % nx
    for (a, b), value in np.ndenumerate(rho):
        dy, dx = a - middle_y, b - middle_x
        if value == 0 or abs(dy) >= ny or abs(dx) >= nx:
            continue
        offsets.append(dy * nx + dx)
        inside = (column >= dx) & (column < nx + dx)  # scipy's diagonals are numbered by columns
        diagonals.append(np.where(inside, value, 0.0))
    if len(offsets) == 1:
        return matrix
    return matrix @ diags_array(diagonals, offsets=offsets, shape=(ny * nx, ny * nx)).tocsr()


def _trimmed(stack: Array) -> Array:
    """Return autocorrelations without a rim where they vanish in all bands."""
    cut = []
    for axis, n in ((1, stack.shape[1]), (2, stack.shape[2])):
        used = np.flatnonzero(np.any(np.abs(stack) > _FAINT, axis=tuple({0, 1, 2} - {axis})))
        cut.append(min(used[0], n - 1 - used[-1]) if used.size else n // 2)
    return stack[:, cut[0] : stack.shape[1] - cut[0], cut[1] : stack.shape[2] - cut[1]]


def regrid_psf(psf: Array, steps: tuple[float, float], blur: Blur) -> Array:
    """Return the PSF of the output: the mean over the places that a source can have inside a pixel.

    Parameters
    ----------
    psf : array, (band, ky, kx)
        Centred on its middle pixel.
    steps : (float, float)
        Size of its pixels along y and x, in pixels of the input grid.
    blur : Blur

    Returns
    -------
    array, (band, Ky, Kx)
        Unit sum, odd sizes.
    """
    from scipy import ndimage

    half = np.array([n // 2 * step for n, step in zip(psf.shape[1:], steps, strict=True)])
    ky, kx = np.ceil(np.abs(np.linalg.inv(blur.jacobian)) @ half).astype(int) + 1
    i, j = np.mgrid[-ky : ky + 1, -kx : kx + 1].astype(float)
    smooth = [ndimage.spline_filter(plane, order=3, mode="grid-constant") for plane in psf]
    total = np.zeros((i.size, len(psf)))
    for phase in [(a, b) for a in _PHASES for b in _PHASES]:
        matrix, (low, shape) = Blur(blur.jacobian, np.zeros(2), blur.method).matrix(
            i, j, shift=phase
        )
        y, x = (np.arange(low[k], low[k] + shape[k]) - phase[k] for k in (0, 1))
        place = np.meshgrid(
            y / steps[0] + psf.shape[1] // 2, x / steps[1] + psf.shape[2] // 2, indexing="ij"
        )
        seen = [
            ndimage.map_coordinates(plane, place, order=3, mode="grid-constant", prefilter=False)
            for plane in smooth
        ]
        total += matrix @ np.stack(seen).reshape(len(psf), -1).T
    total /= total.sum(0)
    return total.T.reshape(len(psf), *i.shape)
