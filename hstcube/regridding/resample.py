"""Cubes on another pixel grid, with their errors and all that changes with the pixels."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hstcube.core.cube import told_of_gaps
from hstcube.core.grids import Grid
from hstcube.core.mappings import TOLERANCE, affine_mapping, pixel_mapping, require_grid
from hstcube.core.rules import taken
from hstcube.core.state import record, tell_of_lost, warn
from hstcube.errors import GridError
from hstcube.inputs.choices import require_choice
from hstcube.inputs.quantities import number_in, whole_number
from hstcube.lazy.resampled import resampled
from hstcube.noise.spread import Noise, gain_of_blocks
from hstcube.regridding._averages import typical_blur
from hstcube.regridding._planes import regrid_planes, side_of_tiles, window_of
from hstcube.regridding._weights import COARSER, Method
from hstcube.regridding.coordinates import assembled, carried_along, noise_before, planes_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import xarray as xr
    from numpy.typing import NDArray

__all__ = ["Conserve", "rebin", "regrid"]

Conserve = Literal["flux", "surface_brightness"]

_EMPTY = (np.nan, 0, False, 0)  # sci, wht, mask and coverage where there is no data
_EVEN = 1.1  # the largest variance over the least, in a block whose pixels count as alike
_MUCH_COARSER = 2.5  # times the input's scale
_PROBES = 256  # pixels along one side that tell whether images and grid overlap, at most


def regrid(
    cube: xr.Dataset,
    grid: Grid,
    *,
    method: Method | None = None,
    conserve: Conserve | None = None,
    min_coverage: Any = 0.5,
) -> xr.Dataset:
    """Take a cube to another pixel grid, with its errors, sky levels, resolution and PSFs.

    Each output pixel is a weighted mean of input pixels, times its area where fluxes are conserved;
    its variance is the mean with the squared weights. Equal grids pass through bit for bit, and a
    shift by whole pixels moves pixels.

    Parameters
    ----------
    cube : Dataset
    grid : Grid
        Where the pixels are wanted; see `Grid.of`, `Grid.around`, `Grid.covering`.
    method : {"adaptive", "exact", "bilinear", "nearest"}, optional
        How input pixels are weighted; ``"adaptive"`` when not given, but ``"exact"`` where the new
        pixels are more than 2.5 times as large, which the Gaussian would blur. ``"adaptive"``: by a
        Gaussian with a sigma of 0.65 pixels, the larger of the two (DeForest 2004, Solar Physics
        219, 3). ``"exact"``: by the area they share with it. ``"bilinear"``: the four around its
        centre. ``"nearest"``: the one at its centre, which keeps neither fluxes nor places.
    conserve : {"flux", "surface_brightness"}, optional
        By the unit when not given: what is per solid angle keeps its values, all else its sums.
        Zero points never change.
    min_coverage : float
        A pixel has data when at least this share of its weights (inside the frame) saw data, when
        its centre lies in the frame and, unless it is larger than 1.5 pixels of the input, on a
        pixel that has data: holes are not filled.

    Returns
    -------
    Dataset
        On `grid`. ``wht`` is the inverse variance of single pixels for white noise of the input;
        ``noise_scale`` and ``noise_acf`` are carried along where the cube has them, and so is
        ``psf``. ``psf_fwhm`` [arcsec] has the width of the weights added in quadrature. ``mask``,
        ``replaced`` and ``labels`` are those of the nearest pixels, ``coverage`` is averaged as the
        images are.

    Raises
    ------
    GridError
        If the two grids do not overlap, or there is no grid.
    RecipeError
        If there is no such method, or nothing of that name to conserve.

    Examples
    --------
    >>> import hstcube
    >>> cube = hstcube.example()
    >>> coarse = hstcube.regrid(cube, hstcube.Grid.of(cube).coarsen(2))
    >>> round(hstcube.Grid.of(coarse).scale, 4), coarse.sizes["x"]
    (0.12, 50)
    """
    cube = told_of_gaps(taken(cube))
    require_grid(grid)
    source = Grid.of(cube)
    if method is None:
        method = "exact" if grid.scale > _MUCH_COARSER * source.scale else "adaptive"
    require_choice("method", method, Method)
    if conserve is not None:
        require_choice("conserve", conserve, Conserve)
    min_coverage = number_in("", min_coverage, "min_coverage", least=0, most=1)
    kept = conserve or _kept_by(cube.sci.attrs["units"])
    flux = kept == "flux"
    covered = _require_overlap(source, grid)
    if (shift := _whole_shift(source, grid)) is not None:
        planes = []
        for plane, fill in zip(planes_of(cube), _EMPTY, strict=False):
            planes.append(_moved(plane, shift, grid.shape, fill))
        cube = assembled(cube, grid, planes, {})
    else:
        new = carried_along(cube, source, grid, method, flux=flux)
        work = partial(
            regrid_planes, source=source, grid=grid, method=method, flux=flux,
            min_coverage=min_coverage,
        )  # fmt: skip
        noise = noise_before(cube, new)
        planes = _in_blocks(cube, source, grid, method, work, noise) or _lazily(
            cube, grid.shape, lambda some, one: work(*some, noise=one), noise
        )
        made = assembled(cube, grid, planes, new)
        _tell_of_lost(cube, made, source, grid)
        cube = _warned_of_gaps(made, source, grid, method)
    if covered < 1:
        cube = warn(cube, "HC-W16", f"the images cover {covered:.1%} of the new grid")
    size = f"{grid.shape[0]}x{grid.shape[1]} pixels of {grid.scale:.4g} arcsec"
    return record(cube, f"regrid({size}, method={method!r}, conserve={kept!r})")


def _warned_of_gaps(cube: xr.Dataset, source: Grid, grid: Grid, method: Method) -> xr.Dataset:
    """Return the cube with a warning where four pixels of the input stand for many more."""
    larger = grid.scale / source.scale
    if method != "bilinear" or larger <= COARSER:
        return cube
    text = f"bilinear to pixels {larger:.3g} times as large leaves most of the data unused"
    return warn(cube, "HC-W17", f"{text}; use [[smaller pixels|method='adaptive' or 'exact']]")


def _tell_of_lost(before: xr.Dataset, after: xr.Dataset, source: Grid, grid: Grid) -> None:
    """Say where many pixels beside holes lost their data; not of dask's.

    A new pixel had data where its centre lies on a pixel that has; the rim of the frame, where a
    part of it is seen only, does not count.
    """
    if before.wht.chunks or (valid := before.wht.values > 0).all():
        return
    y, x = pixel_mapping(grid, source)(*np.ogrid[: grid.shape[0], : grid.shape[1]])
    y, x = np.broadcast_arrays(y, x)
    rim = 2 + np.abs(typical_blur(source, grid, "nearest").jacobian).sum(1)
    inside = _within(y, x, source.shape, (-rim[0], -rim[1]))
    rows, columns = np.rint(y[inside]).astype(int), np.rint(x[inside]).astype(int)
    had = valid[:, rows, columns]
    lost = had & ~(after.wht.values[:, inside] > 0)
    tell_of_lost(after, had.sum(1), lost.sum(1))


def _tell_of_lost_blocks(before: xr.Dataset, after: xr.Dataset, n: int) -> None:
    """Say where many pixels lie in blocks without data; not of dask's."""
    if before.wht.chunks or (valid := before.wht.values > 0).all():
        return
    rows, columns = after.sizes["y"], after.sizes["x"]
    blocks = valid[:, : rows * n, : columns * n].reshape(len(valid), rows, n, columns, n)
    number = blocks.sum((2, 4))
    lost = np.where(after.wht.values > 0, 0, number)
    tell_of_lost(after, number.sum((1, 2)), lost.sum((1, 2)))


def rebin(cube: xr.Dataset, factor: Any) -> xr.Dataset:
    """Sum blocks of factor x factor pixels (average them, where units are per solid angle).

    Parameters
    ----------
    cube : Dataset
    factor : int
        A remainder of rows and columns is left out.

    Returns
    -------
    Dataset
        On ``Grid.of(cube).coarsen(factor)``. A block has data where at least half of its pixels
        have; those without are taken for the mean of the others, and the variance is that of the
        correlated pixels that there are. ``mask``, ``replaced`` and
        ``labels`` are those of one pixel at the middle of the block, ``coverage`` is the mean.

    Raises
    ------
    GridError
        If `factor` is not a whole number from 1 to the size of the images.

    Examples
    --------
    >>> import hstcube
    >>> cube = hstcube.example().sel(band=["f160w"])
    >>> half = hstcube.rebin(cube, 2)
    >>> half.sizes["x"], round(float(half.sci.sum() / cube.sci.sum()), 4)
    (50, 1.0)
    """
    cube = told_of_gaps(taken(cube))
    source = Grid.of(cube)
    whole = isinstance(factor, float) and factor.is_integer()  # 2.0 is 2
    n = whole_number(
        int(factor) if whole else factor,
        "factor",
        most=min(source.shape),
        code="HC-W25",
        error=GridError,
    )
    if factor == 1:
        return record(cube, "rebin(1)")
    grid, flux = source.coarsen(n), _kept_by(cube.sci.attrs["units"]) == "flux"
    new = carried_along(cube, source, grid, "exact", flux=flux)

    def work(planes: Sequence[Any], noise: Noise) -> list[Any]:
        return _block_sums(planes, noise, n, flux=flux)

    planes = _lazily(cube, grid.shape, work, noise_before(cube, new))
    out = assembled(cube, grid, planes, new)
    if "labels" in cube:
        found = _middles(cube.labels.values, n, *grid.shape)
        out["labels"] = (("y", "x"), found, cube.labels.attrs)
    _tell_of_lost_blocks(cube, out, n)
    return record(out, f"rebin({n})")


def _kept_by(units: str) -> Conserve:
    """Return what a unit says that regridding keeps."""
    from astropy.units import Unit, rad

    base = Unit(units).decompose()
    powers = dict(zip(base.bases, base.powers, strict=True))
    return "surface_brightness" if powers.get(rad, 0) == -2 else "flux"  # noqa: PLR2004  sr is rad2


def _require_overlap(source: Grid, grid: Grid) -> float:
    """Return the share of the new pixels that lie on the images, 1 where but a rim does not.

    It is counted on at most 256 x 256 of them.
    """
    if source == grid:
        return 1.0
    rows, columns = (np.unique(np.linspace(0, n - 1, min(n, _PROBES)).round()) for n in grid.shape)
    y, x = pixel_mapping(grid, source)(rows[:, None], columns[None, :])
    share = float(np.mean(_within(y, x, source.shape, (TOLERANCE, TOLERANCE))))
    if share == 0:
        raise GridError(
            "HC-W15",
            "the images and the new grid do not overlap on the sky; their middles are "
            f"{_apart(source, grid):.4g} arcsec apart",
            "check that both belong to one field[[|, or make a grid with Grid.covering([cube])]]",
        )
    one_pixel = np.abs(typical_blur(source, grid, "nearest").jacobian).sum(1)  # a new one
    return 1.0 if _within(y, x, source.shape, (one_pixel[0], one_pixel[1])).all() else share


def _within(y: Any, x: Any, shape: tuple[int, int], rim: tuple[float, float]) -> NDArray[np.bool_]:
    """Return which places lie on images of that shape, or on a rim around them."""
    with np.errstate(invalid="ignore"):
        rows = (y > -0.5 - rim[0]) & (y < shape[0] - 0.5 + rim[0])
        columns = (x > -0.5 - rim[1]) & (x < shape[1] - 0.5 + rim[1])
    return np.asarray(rows & columns)


def _apart(one: Grid, other: Grid) -> float:
    """Return the distance between the middles of two grids, arcsec."""
    here, there = (
        grid.wcs.pixel_to_world((grid.shape[1] - 1) / 2, (grid.shape[0] - 1) / 2)
        for grid in (one, other)
    )
    return float(here.transform_to(there.frame).separation(there).arcsec)


def _whole_shift(source: Grid, grid: Grid) -> tuple[int, int] | None:
    """Return the place of the first new pixel where two grids differ by whole pixels, to 1e-4."""
    affine = affine_mapping(grid, source)
    if affine is None:
        return None
    matrix, origin = affine
    corners = np.array([[0, 0, 1, 1], [0, 1, 0, 1]]) * (np.array(grid.shape)[:, None] - 1)
    moved = matrix @ corners + origin[:, None] - corners
    shift = np.rint(moved[:, 0])
    if not np.abs(moved - shift[:, None]).max() < TOLERANCE:
        return None
    return int(shift[0]), int(shift[1])


def _moved(plane: Any, shift: tuple[int, int], shape: tuple[int, int], fill: Any) -> Any:
    """Return the pixels from `shift` on, as many as `shape` says; `fill` outside the frame."""
    cuts, pads = [slice(None)] * (plane.ndim - 2), [(0, 0)] * (plane.ndim - 2)
    for start, n, length in zip(shift, shape, plane.shape[-2:], strict=True):
        low, high = min(max(start, 0), length), min(max(start + n, 0), length)
        cuts.append(slice(low, high))
        pads.append((low - start, start + n - high))
    piece = plane[tuple(cuts)]
    if not any(sum(pad) for pad in pads):
        return piece.copy()
    pad = np.pad if isinstance(plane, np.ndarray) else _dask().pad
    return pad(piece, pads, constant_values=fill)


def _dask() -> Any:
    import dask.array

    return dask.array


def _in_blocks(
    cube: xr.Dataset, source: Grid, grid: Grid, method: Method, work: Any, noise: Noise
) -> list[Any] | None:
    """Apply `regrid_planes` to each block, and what it sees; None where it cannot be read so."""
    planes = planes_of(cube)
    if not cube.sci.chunks:
        return None

    def one(parts: list[Any], band: int, block: Any) -> list[Any]:
        own = Noise(noise.acf[[band]], noise.gain[[band]])
        made: list[Any] = work(*parts, noise=own, block=block)
        return made

    sees, side = partial(window_of, source, grid, method), side_of_tiles(source, grid, method)
    made = resampled(one, planes, sees, side, grid.shape)
    pairs = zip(made or (), planes, strict=made is not None)
    return [new.astype(plane.dtype) for new, plane in pairs]


def _lazily(
    cube: xr.Dataset,
    shape: tuple[int, int],
    work: Callable[[Sequence[Any], Noise], list[Any]],
    noise: Noise,
) -> list[Any]:
    """Apply a function of (band, y, x) planes to those of a cube, and to what their noise is.

    Where they are chunked that is done later, band by band.
    """
    planes = planes_of(cube)
    if all(isinstance(plane, np.ndarray) for plane in planes):
        return work(planes, noise)
    da = _dask()
    whole = [da.asarray(plane).rechunk({0: 1, 1: -1, 2: -1}) for plane in planes]
    chunks = (1,) * cube.sizes["band"], (shape[0],), (shape[1],)

    def one(*parts: Any) -> Any:
        # dask slices an array of floats, but not one of several objects
        *some, acf, gain = parts
        made = work(some, Noise(acf, gain.ravel()))
        return np.stack([np.asarray(plane, dtype=np.float32) for plane in made])

    whole += [
        da.from_array(part, chunks=(1, -1, -1)) for part in (noise.acf, noise.gain[:, None, None])
    ]
    stacked = da.map_blocks(
        one,
        *whole,
        new_axis=0,
        chunks=((len(planes),), *chunks),
        dtype=np.float32,
        meta=np.empty(()),
    )
    return [stacked[i].astype(plane.dtype) for i, plane in enumerate(planes)]


def _block_sums(planes: Sequence[Any], correlated: Noise, n: int, *, flux: bool) -> list[Any]:
    sci, wht, mask, *share = planes
    shape = (len(sci), sci.shape[1] // n, n, sci.shape[2] // n, n)
    values, weights, *shares = (
        plane[:, : shape[1] * n, : shape[3] * n].reshape(shape) for plane in (sci, wht, *share)
    )
    valid = weights > 0
    noise = np.divide(1.0, weights, where=valid, out=np.zeros(shape), dtype=float)
    number = valid.sum((2, 4))
    total, spread = np.where(valid, values, 0).sum((2, 4), dtype=float), noise.sum((2, 4))
    keep = 2 * number >= n * n
    uneven = noise.max((2, 4)) > _EVEN * noise.min((2, 4))  # beside pixels without data too
    partly = keep & uneven
    for i in np.flatnonzero(partly.any((1, 2))):
        gain = gain_of_blocks(noise[i], partly[i], correlated.acf[i])
        spread[i][partly[i]] *= gain[partly[i]] / correlated.gain[i]
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = (n * n if flux else 1.0) / number
        out = np.where(keep, total * scale, np.nan), np.where(keep, 1 / (spread * scale**2), 0)
    chosen = _middles(mask, n, shape[1], shape[3])
    flags = np.where(keep, chosen, chosen.dtype.type(0))
    means = [_mean_share(one, valid, keep) for one in shares]
    return [out[0].astype(sci.dtype), out[1].astype(wht.dtype), flags, *means]


def _mean_share(share: Any, valid: Any, keep: Any) -> Any:
    """Return the mean coverage of the pixels of a block that have data."""
    number = np.maximum(valid.sum((2, 4)), 1)
    mean = np.where(valid, share, 0).sum((2, 4), dtype=float) / number
    return np.where(keep, mean, 0).astype(share.dtype)


def _middles(plane: Any, n: int, rows: int, columns: int) -> Any:
    """Return one pixel at the middle of every block: the nearest to it, or one of the nearest."""
    return plane[..., n // 2 :: n, n // 2 :: n][..., :rows, :columns]
