"""Is the noise of a cube what it says? Predicted errors against the scatter of empty apertures."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hstcube.basics.robust import CLIP, MAD_TO_SIGMA, clipped, without_background
from hstcube.core.grids import Grid
from hstcube.core.offsets import noise_scale, pixel_acf, with_noise_coords
from hstcube.inputs.quantities import whole_number
from hstcube.noise._autocorrelation import pair_sums, removal_bias
from hstcube.noise.blank import blank_skies
from hstcube.noise.correlation import resized
from hstcube.noise.groups import group_errors
from hstcube.sky.sources import BACKGROUND

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    import xarray as xr
    from astropy.table import Table
    from numpy.typing import NDArray

    from hstcube.noise.blank import BlankSky

    Image64 = NDArray[np.float64]
    Mask = NDArray[np.bool_]

__all__ = ["noise_check"]

SIZES = (1, 2, 3, 5, 7, 10, 15)  # pixels: the sides of empty apertures

_FEWEST = 20  # apertures, half of which overlap the others


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
        gradients make it larger. NaN where there are fewer than 10 apertures.
    """
    from astropy.table import Table

    sides = tuple(whole_number(size, "sizes") for size in np.ravel(np.asarray(sizes)))
    skies = blank_skies(cubes, background)
    rows = [
        (name, size, *_scatter(pulls)) for (name, size), pulls in _collected(skies, sides).items()
    ]
    table = Table(rows=rows, names=("band", "size", "number", "predicted", "ratio", "constant"))
    units = skies[0].cube.sci.attrs["units"]
    table["predicted"].unit = units.replace("electron s-1", "electron / s")
    return table


class _Pulls(NamedTuple):
    """Of empty apertures: predicted errors, and the sums over them without and with background."""

    predicted: Image64
    local: Image64
    constant: Image64


def _collected(
    skies: list[BlankSky], sizes: tuple[int, ...]
) -> dict[tuple[str, int], list[_Pulls]]:
    """Return what the apertures of all cubes show, by band and size."""
    names = skies[0].cube.band.values.tolist()
    pulls: dict[tuple[str, int], list[_Pulls]] = {
        (name, size): [] for name in names for size in sizes
    }
    for cube, blank in skies:
        flat, lowered = _without_local_background(cube, blank, max(sizes))
        for size in sizes:
            for name, found in _aperture_pulls(cube, flat, lowered, blank, size):
                if name in names:
                    pulls[name, size].append(found)
    return pulls


def _scatter(pulls: list[_Pulls]) -> tuple[int, float, float, float]:
    """Return number, predicted error, and the two ratios of a row of the table."""
    if not pulls:
        return 0, np.nan, np.nan, np.nan
    errors, local, constant = (np.concatenate(part) for part in zip(*pulls, strict=True))
    predicted = float(np.median(errors)) if errors.size else np.nan
    return errors.size // 2, predicted, _width(local), _width(constant)


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


def _without_local_background(
    cube: xr.Dataset, blank: Mask, largest: int
) -> tuple[xr.Dataset, xr.Dataset]:
    """Return the cube without its local background; and one with the noise that this leaves."""
    acf, steps = pixel_acf(cube).values, Grid.of(cube).steps
    scale = BACKGROUND / float(np.mean(steps))
    reach = (largest - 1, largest - 1)
    sci, lowered, amplitude = [], [], []
    for i in range(cube.sizes["band"]):
        wht = cube.wht.values[i].astype(np.float64)
        noise = np.nan_to_num(cube.sci.values[i] * np.sqrt(wht))
        used = clipped(noise, blank & (wht > 0), scale)
        rest = without_background(noise, used, scale)
        sci.append(np.divide(rest, np.sqrt(wht), where=used, out=np.full(wht.shape, np.nan)))
        pairs = np.maximum(pair_sums(noise, used, reach)[1], 1)
        before = resized(acf[i][None], reach)[0]
        left = before - removal_bias(used, scale, reach) / pairs * acf[i].sum()
        amplitude.append(np.sqrt(left[reach]))
        lowered.append(left / left[reach])
    flat = cube.assign(sci=cube.sci.copy(data=np.stack(sci).astype(np.float32)))
    return flat, with_noise_coords(
        cube, noise_scale(cube).values * amplitude, np.stack(lowered), steps
    )


def _aperture_pulls(
    cube: xr.Dataset, flat: xr.Dataset, lowered: xr.Dataset, blank: Mask, size: int
) -> Iterator[tuple[str, _Pulls]]:
    """Yield what the empty apertures of every band show, on two grids of apertures."""
    cube, lowered = _without_sky_error(cube), _without_sky_error(lowered)
    for i, name in enumerate(cube.band.values.tolist()):
        used = np.isfinite(flat.sci.values[i])
        level = np.median(cube.sci.values[i][used]) if used.any() else 0.0
        for offset in (0, size // 2):
            groups = _apertures(used & blank, size, offset)
            if not groups.any():
                continue
            predicted = group_errors(cube.isel(band=[i]), groups).values[0]
            left = group_errors(lowered.isel(band=[i]), groups).values[0]
            local = _sums(flat.sci.values[i], groups) / left
            constant = _sums(cube.sci.values[i] - level, groups) / predicted
            yield name, _Pulls(predicted, local, constant)


def _without_sky_error(cube: xr.Dataset) -> xr.Dataset:
    return cube.assign_coords(sky_error=("band", np.full(cube.sizes["band"], np.nan)))


def _apertures(blank: Mask, size: int, offset: int) -> NDArray[np.int64]:
    """Return a map that numbers the squares of a grid of which every pixel is blank."""
    ny, nx = ((n - offset) // size for n in blank.shape)
    inside = (slice(offset, offset + ny * size), slice(offset, offset + nx * size))
    empty = blank[inside].reshape(ny, size, nx, size).all(axis=(1, 3))
    number = np.where(empty, np.cumsum(empty).reshape(empty.shape), 0)
    groups = np.zeros(blank.shape, np.int64)
    groups[inside] = number.repeat(size, axis=0).repeat(size, axis=1)
    return groups


def _sums(image: NDArray[np.floating], groups: NDArray[np.int64]) -> Image64:
    inside = groups > 0
    return np.asarray(
        np.bincount(groups[inside], weights=image[inside].astype(np.float64))[1:], dtype=np.float64
    )
