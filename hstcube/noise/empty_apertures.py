"""Is the noise of a cube what it says? Predicted errors against the scatter of empty apertures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hstcube.basics.robust import CLIP, MAD_TO_SIGMA, clipped, without_background
from hstcube.core.grids import Grid
from hstcube.core.offsets import noise_scale, pixel_acf
from hstcube.errors import RecipeError
from hstcube.inputs.arrays import several
from hstcube.inputs.quantities import whole_number
from hstcube.noise._autocorrelation import pair_sums, removal_bias
from hstcube.noise.blank import blank_skies
from hstcube.noise.correlation import find_groups, resized, variances
from hstcube.noise.spread import gain_of_weights
from hstcube.sky.sources import BACKGROUND

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr
    from astropy.table import Table
    from numpy.typing import NDArray

    from hstcube.noise.blank import BlankSky

    Image64 = NDArray[np.float64]
    Mask = NDArray[np.bool_]

__all__ = ["SIZES", "noise_check"]

SIZES = (1, 2, 3, 5, 7, 10, 15)  # pixels: the sides of empty apertures

_COLUMNS = ("band", "size", "number", "predicted", "ratio", "constant", "error")
_FEWEST = 20  # apertures, half of which overlap the others
_SMALL = 20  # pixels along a side: of larger apertures there are too many pairs of pixels


def noise_check(
    cubes: xr.Dataset | Sequence[xr.Dataset],
    *,
    background: Any = None,
    sizes: Sequence[int] = SIZES,
) -> Table:
    """Compare the errors that the noise of cubes predicts with the scatter of empty apertures.

    Parameters
    ----------
    cubes : Dataset, or sequence of Dataset
        Of the same bands; with the noise that is to be tested.
    background : array of bool or int, (y, x), or one for each cube, optional
        As in `calibrate_noise`.
    sizes : sequence of int
        Sides of the square apertures, pixels.

    Returns
    -------
    Table
        One row a band and size: ``number`` of apertures; ``predicted``, the median of
        `group_errors` [units of sci]; ``ratio``, the scatter of the sums over what is predicted,
        once the local background is removed from the images and what that takes away is removed
        from the prediction, too; ``constant``, the same with a constant sky: faint sources and
        gradients make it larger; ``error`` of the ratio, from the number of apertures and how alike
        their sums are. NaN where there are fewer than 10 apertures. Of an image of more than a
        million pixels a sample is looked at, as in `calibrate_noise`; ``meta["sample"]`` says so.

    Examples
    --------
    >>> import hstcube
    >>> cube = hstcube.with_noise(hstcube.example())
    >>> found = hstcube.noise_check(cube, background=cube.labels == 0, sizes=(1, 2))
    >>> bool((abs(found["ratio"] - 1) < 0.2).all())
    True
    """
    from astropy.table import Table

    sides = tuple(whole_number(size, "sizes") for size in several(sizes))
    if not sides:
        raise RecipeError("HC-B30", "no size is named", "name some[[|: sizes=(1, 2, 5)]]")
    skies = blank_skies(cubes, background)
    rows = [
        (name, size, *_scatter(pulls))
        for (name, size), pulls in _collected(skies.parts, sides).items()
    ]
    table = Table(rows=rows, names=_COLUMNS)
    units = skies.parts[0].cube.sci.attrs["units"]
    if skies.sample:
        table.meta["sample"] = skies.sample
    table["predicted"].unit = units.replace("electron s-1", "electron / s")
    return table


class _Pulls(NamedTuple):
    """Of empty apertures: predicted errors, and the sums over them without and with background."""

    predicted: Image64
    local: Image64
    constant: Image64
    alike: float
    """How many apertures of both grids say what one that stands alone would."""


def _collected(
    skies: list[BlankSky], sizes: tuple[int, ...]
) -> dict[tuple[str, int], list[_Pulls]]:
    """Return what the apertures of all cubes show, by band and size."""
    names = skies[0].cube.band.values.tolist()
    pulls: dict[tuple[str, int], list[_Pulls]] = {
        (name, size): [] for name in names for size in sizes
    }
    for sky in skies:
        bands = [_band(sky, i, max(sizes)) for i in range(sky.cube.sizes["band"])]
        for size in sizes:
            for name, band in zip(sky.cube.band.values.tolist(), bands, strict=True):
                if name in names:
                    pulls[name, size] += _aperture_pulls(band, size)
    return pulls


def _scatter(pulls: list[_Pulls]) -> tuple[int, float, float, float, float]:
    """Return number, predicted error, the two ratios and the first's error of a row of the table.

    The error of a standard deviation of N alike Gaussian numbers of correlation rho is its own
    1/sqrt(2 N / sum rho^2): Bartlett 1946, J. R. Statist. Soc. Suppl. 8, 27.
    """
    if not pulls:
        return 0, np.nan, np.nan, np.nan, np.nan
    *columns, alike = zip(*pulls, strict=True)
    errors, local, constant = (np.concatenate(part) for part in columns)
    predicted = float(np.median(errors)) if errors.size else np.nan
    independent = sum(one.size / part for one, part in zip(columns[0], alike, strict=True))
    ratio = _width(local)
    return errors.size // 2, predicted, ratio, _width(constant), ratio / np.sqrt(2 * independent)


def _width(pulls: Image64) -> float:
    """Return the standard deviation of what lies within 4 of it.

    As in `clipped`, on which the prediction rests.
    """
    if pulls.size < _FEWEST:
        return float("nan")
    for _ in range(3):
        far = np.abs(pulls - np.median(pulls))
        pulls = pulls[far <= CLIP * MAD_TO_SIGMA * np.median(far)]
    return float(pulls.std())


class _Band(NamedTuple):
    """One band on blank sky: images without and with background, and the noise of both."""

    used: Mask
    flat: NDArray[np.float32]
    sci: NDArray[np.float32]
    sigma: Image64
    """1/sqrt(wht)."""
    noise: tuple[float, Image64]
    """``noise_scale``, and the autocorrelation at lags of pixels."""
    left: tuple[float, Image64]
    """The same, once the local background is removed."""


def _band(sky: BlankSky, i: int, largest: int) -> _Band:
    """Return a band without its local background, and the noise that its removal leaves."""
    cube, steps = sky.cube, Grid.of(sky.cube).steps
    acf, scale = pixel_acf(cube).values[i], float(noise_scale(cube).values[i])
    width = BACKGROUND / float(np.mean(steps))
    reach = (largest - 1, largest - 1)
    sci, wht = cube.sci.values[i], cube.wht.values[i].astype(np.float64)
    noise = np.nan_to_num(sci * np.sqrt(wht))
    used = clipped(noise, sky.blank & (wht > 0), width)
    rest = without_background(noise, used, width)
    sigma = np.divide(1, np.sqrt(wht), where=used, out=np.zeros(wht.shape))
    pairs = np.maximum(pair_sums(noise, used, reach)[1], 1)
    left = resized(acf[None], reach)[0] - removal_bias(used, width, reach) / pairs * acf.sum()
    level = np.median(sci[used]) if used.any() else np.float32(0)
    left_scale = scale * float(np.sqrt(left[reach]))
    return _Band(
        used,
        (rest * sigma).astype(np.float32),
        sci - level,
        sigma,
        (scale, acf),
        (left_scale, left / left[reach]),
    )


def _aperture_pulls(band: _Band, size: int) -> list[_Pulls]:
    """Return what the empty apertures of a band show, on two grids of apertures."""
    pulls = []
    for offset in (0, size // 2):
        empty = _squares(band.used, size, offset).all(axis=(2, 3))
        if not empty.any():
            continue
        sigma = _squares(band.sigma, size, offset)[empty]
        predicted, left = (scale * _of_sums(sigma, acf) for scale, acf in (band.noise, band.left))
        local, constant = (
            _squares(image, size, offset)[empty].sum(axis=(1, 2), dtype=np.float64)
            for image in (band.flat, band.sci)
        )
        alike = _alike(band.noise[1], size)
        pulls.append(_Pulls(predicted, local / left, constant / predicted, alike))
    return pulls


def _alike(acf: Image64, size: int) -> float:
    """Return the sum of the squared correlations of an aperture's sum with all of both grids."""
    from scipy import ndimage

    reach = (acf.shape[0] // 2 + size - 1, acf.shape[1] // 2 + size - 1)
    sums, side = resized(acf[None], reach)[0], size - np.abs(np.arange(1 - size, size))
    for axis in (0, 1):
        sums = ndimage.convolve1d(sums, side.astype(np.float64), axis=axis, mode="constant")
    squared = (sums / sums[reach]) ** 2
    grids = [
        [np.arange((middle + offset) % size, 2 * middle + 1, size) for middle in reach]
        for offset in (0, size // 2)
    ]
    return float(sum(squared[np.ix_(*grid)].sum() for grid in grids))


def _squares(image: NDArray[Any], size: int, offset: int) -> NDArray[Any]:
    """Return the squares of a grid, (row, column, size, size)."""
    ny, nx = ((n - offset) // size for n in image.shape)
    inside = image[offset : offset + ny * size, offset : offset + nx * size]
    return inside.reshape(ny, size, nx, size).swapaxes(1, 2)


def _of_sums(sigma: Image64, acf: Image64) -> Image64:
    """Return the standard deviations of sums over squares of pixels, (square, size, size)."""
    number, size, _ = sigma.shape
    if size > _SMALL:
        row = sigma.transpose(1, 0, 2).reshape(size, number * size)
        groups = find_groups(np.tile(np.repeat(np.arange(1, number + 1), size), (size, 1)))
        variance = variances(row, groups, acf)
    else:
        flat = sigma.reshape(number, size**2)
        places = np.divmod(np.arange(size**2), size)
        variance = gain_of_weights(flat, places, acf) * np.einsum("pi,pi->p", flat, flat)
    with np.errstate(invalid="ignore"):  # of a correlation that is none
        return np.sqrt(variance)
