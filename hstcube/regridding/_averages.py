"""What regridding does to noise and PSFs, on the average over the places of its pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hstcube.core.mappings import TOLERANCE, pixel_mapping
from hstcube.regridding._weights import Method, Taps, reach_of, snapped, sparse_weights, taps_around

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hstcube.core.grids import Grid

    Array = NDArray[np.float64]

__all__ = ["Blur", "added_variance", "regrid_noise", "regrid_psf", "typical_blur"]

_PATCH = 24  # pixels along the side of the patch that shows the mean correlation of the noise
_PARTS = 4  # of an input pixel, along each side: places in one part are one, for the mean PSF
_MANY_LAGS = (
    1000  # of noise correlated over many pixels: a matrix with as many diagonals is too large
)
_ROWS_AT_ONCE = 32  # output pixels: 10 MB
_FAINT = 1e-4  # correlations below this are left out at the rim


class Operator(NamedTuple):
    """The weights of output pixels, a sparse matrix with rows of unit sum."""

    matrix: Any
    low: tuple[int, int]  # (y, x) of the input pixel of the first column
    shape: tuple[int, int]  # rows and columns of the input that its columns are


class Blur(NamedTuple):
    """The operator near the middle of the output, on an input without edges.

    `jacobian` and `origin` place pixel (i, j) of the output around its middle at origin + jacobian
    (i, j) on the input.
    """

    jacobian: Array
    origin: Array
    method: Method

    def places(self, i: Array, j: Array) -> tuple[Array, Array]:
        """Return (y, x) on the input of output pixels (i, j)."""
        y, x = (self.origin[k] + self.jacobian[k, 0] * i + self.jacobian[k, 1] * j for k in (0, 1))
        return y, x

    def weights(self, y: Array, x: Array) -> Taps:
        """Return the input pixels around places, with weights of unit sum."""
        taps = taps_around(y.ravel(), x.ravel(), self.jacobian, self.method)
        return taps._replace(weight=taps.weight / taps.weight.sum(1, keepdims=True))

    def operator(self, i: Array, j: Array) -> Operator:
        """Return the operator for output pixels (i, j)."""
        y, x = self.places(i, j)
        taps = self.weights(snapped(y), snapped(x))
        low = (int(taps.y.min()), int(taps.x.min()))
        shape = (int(taps.y.max()) - low[0] + 1, int(taps.x.max()) - low[1] + 1)
        moved = Taps(taps.y - low[0], taps.x - low[1], taps.weight)
        return Operator(sparse_weights(moved, shape)[0], low, shape)


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
    """Return the second moments that regridding adds to PSFs along (y, x), input pixels squared."""
    i, j = np.mgrid[:_PATCH, :_PATCH].astype(float)
    y, x = blur.places(i, j)
    taps = blur.weights(y, x)
    along_y = np.sum(taps.weight * (taps.y - y.reshape(-1, 1)) ** 2, 1)
    along_x = np.sum(taps.weight * (taps.x - x.reshape(-1, 1)) ** 2, 1)
    return np.array([np.mean(along_y), np.mean(along_x)])


# -- noise


class _Patch(NamedTuple):
    """Output pixels whose noise is averaged, amid all those that are correlated with them."""

    operator: Operator
    frame: tuple[int, int]  # rows and columns of all of them
    reach: tuple[int, int]  # of the correlations, along y and x
    inner: NDArray[np.int64]  # numbers of the averaged pixels


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
    patch = _patch(blur, (acf.shape[1] // 2, acf.shape[2] // 2))
    known: dict[bytes, tuple[Array, float]] = {}  # many bands have the same
    after, widened = [], []
    for rho in acf:
        key = rho.tobytes()
        if key not in known:
            known[key] = _carried(rho, patch)
        after.append(known[key][0])
        widened.append(known[key][1])
    return _trimmed(np.stack(after)), np.array(widened)


def _patch(blur: Blur, lags: tuple[int, int]) -> _Patch:
    """Return a patch for noise that is correlated over so many input pixels."""
    inverse = np.abs(np.linalg.inv(blur.jacobian))
    ry, rx = (r + 1 for r in reach_of(blur.jacobian, blur.method))
    far = np.ceil(inverse @ np.array([lags[0] + 2 * ry, lags[1] + 2 * rx]))
    reach_y, reach_x = int(far[0]), int(far[1])
    i, j = np.mgrid[-reach_y : _PATCH + reach_y, -reach_x : _PATCH + reach_x].astype(float)
    numbers = np.arange(i.size).reshape(i.shape)
    inner = numbers[reach_y : reach_y + _PATCH, reach_x : reach_x + _PATCH].ravel()
    frame = (i.shape[0], i.shape[1])
    return _Patch(blur.operator(i, j), frame, (reach_y, reach_x), inner)


def _carried(rho: Array, patch: _Patch) -> tuple[Array, float]:
    """Return the mean correlation at every lag, and the ratio of sigmas, for one band."""
    wide = np.count_nonzero(rho) > _MANY_LAGS
    total = _sums_pixel_by_pixel(rho, patch) if wide else _sums(rho, patch)
    # the ratio of sums, not the mean of ratios: with the sigmas of single pixels it gives sums
    # right on average
    total /= _products_of_sigmas(patch)
    total = (total + total[::-1, ::-1]) / 2  # what a sees of b, b sees of a: no patch shows all
    middle_y, middle_x = patch.reach
    square = total[middle_y, middle_x]
    return total / square, float(np.sqrt(square))


def _sums(rho: Array, patch: _Patch) -> Array:
    """Return the sums of covariances at every lag."""
    matrix, (reach_y, reach_x) = patch.operator.matrix, patch.reach
    rows = _correlate_rows(matrix[patch.inner], patch.operator.shape, rho)
    covariance = (rows @ matrix.T).tocoo()
    iy, ix = np.divmod(patch.inner[covariance.row], patch.frame[1])
    jy, jx = np.divmod(covariance.col, patch.frame[1])
    dy, dx = jy - iy, jx - ix
    near = (np.abs(dy) <= reach_y) & (np.abs(dx) <= reach_x)
    total = np.zeros((2 * reach_y + 1, 2 * reach_x + 1))
    np.add.at(total, (dy[near] + reach_y, dx[near] + reach_x), covariance.data[near])
    return total


def _sums_pixel_by_pixel(rho: Array, patch: _Patch) -> Array:
    """Return `_sums` for noise that is correlated over many pixels.

    The weights of one output pixel times the correlation of the input's are an image around it,
    which all the others see: nothing is as large as the number of pixels times that of lags.
    """
    matrix, (reach_y, reach_x) = patch.operator.matrix, patch.reach
    ny, nx = patch.operator.shape
    ry, rx = rho.shape[0] // 2, rho.shape[1] // 2
    total = np.zeros((2 * reach_y + 1, 2 * reach_x + 1))
    for start in range(0, patch.inner.size, _ROWS_AT_ONCE):
        members = patch.inner[start : start + _ROWS_AT_ONCE]
        fields, corners = _correlated_taps(matrix[members], nx, rho)
        image = np.zeros((members.size, ny + 2 * ry, nx + 2 * rx))
        height, width = fields.shape[1:]
        for one, field, (top, left) in zip(image, fields, corners, strict=True):
            one[top : top + height, left : left + width] = field
        image = image[:, ry : ry + ny, rx : rx + nx].reshape(members.size, -1)
        seen = (matrix @ image.T).T.reshape(-1, *patch.frame)
        for i, j, one in zip(*np.divmod(members, patch.frame[1]), seen, strict=True):
            total += one[i - reach_y : i + reach_y + 1, j - reach_x : j + reach_x + 1]
    return total


def _correlated_taps(rows: Any, nx: int, rho: Array) -> tuple[Array, NDArray[np.int64]]:
    """Return the weights of output pixels, convolved with the correlation, and where they begin.

    The input pixels of all of them lie alike around the first.
    """
    number = int(rows.indptr[1])
    weight = rows.data.reshape(-1, number)
    y, x = np.divmod(rows.indices.reshape(-1, number), nx)
    corners = np.stack([y.min(1), x.min(1)], axis=1)
    down, along = y[0] - corners[0, 0], x[0] - corners[0, 1]
    height, width = rho.shape
    out = np.zeros((len(weight), height + down.max(), width + along.max()))
    for i, j, one in zip(down, along, weight.T, strict=True):
        out[:, i : i + height, j : j + width] += one[:, None, None] * rho
    return out, corners


def _products_of_sigmas(patch: _Patch) -> Array:
    """Return the sums of sigma times sigma at every lag, with the sigmas that wht tells."""
    from numpy.lib.stride_tricks import sliding_window_view

    matrix, (reach_y, reach_x) = patch.operator.matrix, patch.reach
    there = np.sqrt((matrix * matrix).sum(1)).reshape(patch.frame)
    here = there[reach_y : reach_y + _PATCH, reach_x : reach_x + _PATCH]
    return np.asarray(np.einsum("ijkl,kl->ij", sliding_window_view(there, here.shape), here))


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


# -- PSFs


def regrid_psf(psf: Array, steps: tuple[float, float], blur: Blur) -> Array:
    """Return the PSF of the output: the mean over where its pixels lie on those of the input.

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
        Unit sum, odd sizes; square, as PSFs are wherever kernels are made of them.
    """
    from scipy import ndimage

    half = np.array([n // 2 * step for n, step in zip(psf.shape[1:], steps, strict=True)])
    reach = np.abs(np.linalg.inv(blur.jacobian)) @ half
    k = int(np.ceil(reach.max() - TOLERANCE)) + 1
    i, j = np.mgrid[-k : k + 1, -k : k + 1].astype(float)
    smooth = [ndimage.spline_filter(plane, order=3, mode="grid-constant") for plane in psf]
    total = np.zeros((i.size, len(psf)))
    for phase, share in _phases(blur):
        operator = Blur(blur.jacobian, phase, blur.method).operator(i, j)
        y = np.arange(operator.low[0], operator.low[0] + operator.shape[0]) - phase[0]
        x = np.arange(operator.low[1], operator.low[1] + operator.shape[1]) - phase[1]
        rows, columns = y / steps[0] + psf.shape[1] // 2, x / steps[1] + psf.shape[2] // 2
        place = np.meshgrid(rows, columns, indexing="ij")
        seen = [
            ndimage.map_coordinates(plane, place, order=3, mode="grid-constant", prefilter=False)
            for plane in smooth
        ]
        total += share * (operator.matrix @ np.stack(seen).reshape(len(psf), -1).T)
    total /= total.sum(0)
    return total.T.reshape(len(psf), *i.shape)


def _phases(blur: Blur) -> list[tuple[Array, float]]:
    """Return where output pixels lie inside those of the input, (y, x), and each place's share.

    Of grids that lie alike everywhere, shifted or nested ones, it is one place; of most it is all.
    """
    i, j = np.mgrid[:_PATCH, :_PATCH].astype(float)
    places = np.stack([place.ravel() for place in blur.places(i, j)])
    inside = places - np.rint(places)
    parts = np.floor((inside + 0.5) * _PARTS).clip(0, _PARTS - 1)
    number = (parts[0] * _PARTS + parts[1]).astype(int)
    known = np.unique(number)
    # the nearest pixel is off by up to a half: on the average over all places it is not
    if known.size == _PARTS**2 or blur.method == "nearest":
        middles = (np.arange(_PARTS) + 0.5) / _PARTS - 0.5
        return [(np.array([y, x]), _PARTS**-2) for y in middles for x in middles]
    return [(inside[:, number == part].mean(1), float(np.mean(number == part))) for part in known]
