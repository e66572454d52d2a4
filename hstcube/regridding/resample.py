"""From one pixel grid to another: cubes with their errors and PSFs; labels and masks, by the nearest pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import xarray as xr

from hstcube.core.grids import Grid, sky_position
from hstcube.core.mappings import TOLERANCE, affine_mapping, pixel_mapping
from hstcube.core.rules import PLANES, validate
from hstcube.core.state import in_band_order, record, warn
from hstcube.errors import GridError, RecipeError
from hstcube.regridding import _weights
from hstcube.regridding._weights import COARSER, METHODS, Blur, Method

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["NOT_COVERED", "cutout", "rebin", "regrid", "regrid_labels", "regrid_mask"]

NOT_COVERED = -1

_NOWHERE = -1e9  # pixels: what lies beyond the horizon of a projection has no place on the map
_ROWS = 64  # rows mapped at a time: coordinates of a block stay in the processor's cache
_FWHM2_OF_VARIANCE = 8 * np.log(2)
_PER_BAND = ("sky", "sky_error")  # levels of sci, in its units

Conserve = Literal["flux", "surface_brightness"]


def regrid(
    cube: xr.Dataset,
    grid: Grid,
    *,
    method: Method = "adaptive",
    conserve: Conserve | None = None,
    min_coverage: float = 0.5,
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
    method : {"adaptive", "exact", "bilinear", "nearest"}
        How input pixels are weighted. ``"adaptive"``: by a Gaussian with a sigma of 0.65 pixels,
        the larger of the two (DeForest 2004, Solar Physics 219, 3). ``"exact"``: by the area they
        share with the output pixel. ``"bilinear"``: the four around its centre. ``"nearest"``: the
        one at its centre, which keeps neither fluxes nor places.
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
        ``psf``. ``psf_fwhm`` [arcsec] has the width of the weights added in quadrature. ``mask``
        and ``labels`` are those of the nearest pixels.

    Raises
    ------
    GridError
        If the two grids do not overlap.
    RecipeError
        If there is no such method, or nothing of that name to conserve.
    """
    validate(cube, data=False)
    _require_choice("method", method, METHODS)
    _require_choice("conserve", conserve, (None, *get_args(Conserve)))
    kept = conserve or _kept_by(cube.sci.attrs["units"])
    source = Grid.of(cube)
    step = f"regrid({_words(grid)}, method={method!r}, conserve={kept!r})"
    covered = _require_overlap(source, grid)
    if (shift := _whole_shift(source, grid)) is not None:
        planes = [
            _moved(cube[name].data, shift, grid.shape, fill)
            for name, fill in zip(PLANES, _EMPTY, strict=True)
        ]
        cube = _assembled(cube, grid, planes, {})
    else:
        planes = _regridded(
            cube, source, grid, method, flux=kept == "flux", min_coverage=min_coverage
        )
        cube = _assembled(
            cube, grid, planes, _carried_along(cube, source, grid, method, flux=kept == "flux")
        )
        if method == "bilinear" and grid.scale > COARSER * source.scale:
            text = f"bilinear to pixels {grid.scale / source.scale:.3g} times as large leaves most of the data unused"
            cube = warn(cube, "HC-W17", f"{text}; use method='adaptive' or 'exact'")
    if covered < 1:
        cube = warn(cube, "HC-W16", f"the images cover {covered:.1%} of the new grid")
    return record(cube, step)


def rebin(cube: xr.Dataset, factor: int) -> xr.Dataset:
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
        have; those without are taken for the mean of the others. ``mask`` and ``labels`` are those
        of one pixel at the middle of the block.

    Raises
    ------
    GridError
        If `factor` is not a whole number from 1 to the size of the images.
    """
    validate(cube, data=False)
    source = Grid.of(cube)
    if factor != int(factor) or not 1 <= factor <= min(source.shape):
        raise GridError(
            "HC-W25",
            f"images of {source.shape} pixels have no blocks of {factor}",
            "give a whole number, e.g. 2",
        )
    if factor == 1:
        return record(cube, "rebin(1)")
    grid, flux = source.coarsen(int(factor)), _kept_by(cube.sci.attrs["units"]) == "flux"
    planes = _lazily(
        cube, grid.shape, lambda sci, wht, mask: _block_sums(sci, wht, mask, int(factor), flux=flux)
    )
    out = _assembled(cube, grid, planes, _carried_along(cube, source, grid, "exact", flux=flux))
    if "labels" in cube:
        out["labels"] = (
            ("y", "x"),
            _middles(cube.labels.values, int(factor), *grid.shape),
            cube.labels.attrs,
        )
    return record(out, f"rebin({factor})")


def cutout(cube: xr.Dataset, position: Any, size: float | tuple[float, float]) -> xr.Dataset:
    """Cut a rectangle of pixels around a place on the sky; pixels keep their values and their labels.

    Parameters
    ----------
    cube : Dataset
    position : (ra, dec) in degrees, or SkyCoord
        The middle of the piece, to the nearest pixel.
    size : float or (float, float)
        Height and width, arcsec.

    Returns
    -------
    Dataset
        Smaller, with a warning, where the piece reaches beyond the frame.

    Raises
    ------
    GridError
        If no part of it lies in the frame.
    """
    validate(cube, data=False)
    source, (ra, dec) = Grid.of(cube), sky_position(position)
    spans, wanted = spans_around(source, np.array([ra]), np.array([dec]), size)
    rows, columns = spans[0].tolist()
    if rows[0] >= rows[1] or columns[0] >= columns[1]:
        raise GridError(
            "HC-W15",
            f"the images do not show the position ({ra:.6f}, {dec:.6f})",
            "give (ra, dec) in degrees, ICRS",
        )
    cube = record(
        cube.isel(y=slice(*rows), x=slice(*columns)),
        f"cutout(({ra:.6f}, {dec:.6f}), {size} arcsec)",
    )
    if (share := (rows[1] - rows[0]) * (columns[1] - columns[0]) / (wanted[0] * wanted[1])) < 1:
        cube = warn(cube, "HC-W16", f"{share:.0%} of the piece lie in the frame")
    return cube


def spans_around(
    grid: Grid, ra: NDArray[np.float64], dec: NDArray[np.float64], size: float | tuple[float, float]
) -> tuple[NDArray[np.int64], tuple[int, int]]:
    """Return the pixels of pieces of one size around positions.

    Parameters
    ----------
    grid : Grid
    ra, dec : array, (piece,)
        Degrees, ICRS.
    size : float or (float, float)
        Height and width, arcsec.

    Returns
    -------
    array of int, (piece, 2, 2)
        First and last + 1 of rows and columns, cut at the frame: not in order where the piece lies
        outside.
    (int, int)
        Rows and columns of a whole piece.

    Raises
    ------
    GridError
        If the size cannot be.
    """
    from astropy.coordinates import SkyCoord

    sides = [float(side) for side in np.broadcast_to(size, 2)]
    if not all(0 < side < np.inf for side in sides):
        raise GridError(
            "HC-W25", f"a piece of {size} arcsec cannot be", "give its size in arcsec, e.g. 6.0"
        )
    x, y = grid.wcs.world_to_pixel(SkyCoord(ra, dec, unit="deg", frame="icrs"))
    wanted = tuple(max(round(side / step), 1) for side, step in zip(sides, grid.steps, strict=True))
    spans = []
    for place, n, length in zip((y, x), wanted, grid.shape, strict=True):
        start = (
            np.rint(np.nan_to_num(place, nan=_NOWHERE) - (n - 1) / 2)
            .clip(-1e9, 1e9)
            .astype(np.int64)
        )
        spans.append(np.stack([np.clip(start, 0, None), np.clip(start + n, None, length)], axis=-1))
    return np.stack(spans, axis=-2), (wanted[0], wanted[1])


def regrid_labels(labels: xr.DataArray, grid: Grid) -> xr.DataArray:
    """Look labels up on another grid, by the nearest pixel. Labels are names: they are never averaged.

    Parameters
    ----------
    labels : DataArray of int, (y, x)
        On its own grid, as `open_labels` gives it.
    grid : Grid
        Where the labels are wanted.

    Returns
    -------
    DataArray of int32, (y, x)
        On `grid`; -1 outside the map.

    Raises
    ------
    GridError
        If the two grids do not overlap at all.
    """
    labels = labels.transpose("y", "x")
    found = _nearest(
        np.asarray(labels.values, dtype=np.int32),
        Grid.of(labels),
        grid,
        outside=np.int32(NOT_COVERED),
    )
    return xr.DataArray(found, grid.coords(), ("y", "x"), name="labels", attrs=labels.attrs)


def regrid_mask(
    mask: xr.DataArray, grid: Grid, *, outside: Literal["uncovered", "nearest"] = "uncovered"
) -> xr.DataArray:
    """Look a mask up on another grid, by the nearest pixel.

    Parameters
    ----------
    mask : DataArray of bool, (y, x)
        On its own grid.
    grid : Grid
        Where the mask is wanted.
    outside : {"uncovered", "nearest"}
        What pixels outside the map get: False, or the map's nearest pixel (which is what the
        original pipeline did).

    Returns
    -------
    DataArray of bool, (y, x)
        On `grid`.

    Raises
    ------
    GridError
        If the two grids do not overlap at all.
    """
    mask = mask.transpose("y", "x")
    values = np.asarray(mask.values, dtype=bool)
    found = _nearest(
        values, Grid.of(mask), grid, outside=None if outside == "nearest" else np.False_
    )
    return xr.DataArray(found, grid.coords(), ("y", "x"), name=mask.name)


def coverage(source: Grid, grid: Grid) -> float:
    """Return the share of the pixels of `grid` whose centres lie on `source`."""
    return float(
        _nearest(np.ones(source.shape, dtype=bool), source, grid, outside=np.False_).mean()
    )


# -- cubes

_EMPTY = (np.nan, 0, False)


def _require_choice(name: str, value: Any, choices: tuple[Any, ...]) -> None:
    if value not in choices:
        listed = ", ".join(repr(choice) for choice in choices if choice)
        raise RecipeError(
            "HC-B22", f"there is no {name} {value!r}", f"choose {name}= from {listed}"
        )


def _kept_by(units: str) -> Conserve:
    """Return what a unit says that regridding keeps."""
    from astropy.units import Unit, rad

    base = Unit(units).decompose()
    powers = dict(zip(base.bases, base.powers, strict=True))
    return "surface_brightness" if powers.get(rad, 0) == -2 else "flux"  # noqa: PLR2004  sr is rad2


def _words(grid: Grid) -> str:
    return f"{grid.shape[0]}x{grid.shape[1]} pixels of {grid.scale:.4g} arcsec"


def _require_overlap(source: Grid, grid: Grid) -> float:
    """Return the share of the new pixels that lie on the images, from at most 256 x 256 of them; 1 but for a rim."""
    if source == grid:
        return 1.0
    rows, columns = (np.unique(np.linspace(0, n - 1, min(n, 256)).round()) for n in grid.shape)
    y, x = pixel_mapping(grid, source)(rows[:, None], columns[None, :])
    with np.errstate(invalid="ignore"):
        inside = [
            (p > -0.5 - TOLERANCE) & (p < n - 0.5 + TOLERANCE)
            for p, n in zip((y, x), source.shape, strict=True)
        ]
    share = float(np.mean(inside[0] & inside[1]))
    if share == 0:
        here, there = (
            g.wcs.pixel_to_world((g.shape[1] - 1) / 2, (g.shape[0] - 1) / 2) for g in (source, grid)
        )
        apart = here.transform_to(there.frame).separation(there).arcsec
        raise GridError(
            "HC-W15",
            f"the images and the new grid do not overlap on the sky; their middles are {apart:.4g} arcsec apart",
            "check that both belong to one field, or make a grid with Grid.covering([cube])",
        )
    rim = np.abs(_weights.typical_blur(source, grid, "nearest").jacobian).sum(1)  # one new pixel
    with np.errstate(invalid="ignore"):
        near = [
            (p > -0.5 - r) & (p < n - 0.5 + r)
            for p, n, r in zip((y, x), source.shape, rim, strict=True)
        ]
    return 1.0 if (near[0] & near[1]).all() else share


def _whole_shift(source: Grid, grid: Grid) -> tuple[int, int] | None:
    """Return the place of the first new pixel where the two grids differ by whole pixels, to 1e-4 of them."""
    affine = affine_mapping(grid, source)
    if affine is None:
        return None
    matrix, origin = affine
    corners = np.array([[0, 0, 1, 1], [0, 1, 0, 1]]) * (np.array(grid.shape)[:, None] - 1)
    moved = matrix @ corners + origin[:, None] - corners
    shift = np.rint(moved[:, 0])
    return (
        (int(shift[0]), int(shift[1])) if np.abs(moved - shift[:, None]).max() < TOLERANCE else None
    )


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


def _regridded(
    cube: xr.Dataset, source: Grid, grid: Grid, method: Method, *, flux: bool, min_coverage: float
) -> Any:
    def work(*planes: Any) -> Any:
        return _weights.regrid_planes(
            *planes, source=source, grid=grid, method=method, flux=flux, min_coverage=min_coverage
        )

    return _lazily(cube, grid.shape, work)


def _lazily(
    cube: xr.Dataset, shape: tuple[int, int], work: Callable[..., tuple[Any, ...]]
) -> list[Any]:
    """Apply a function of (band, y, x) planes to sci, wht and mask; band by band and later, where they are chunked."""
    planes = [cube[name].data for name in PLANES]
    if not any(cube[name].chunks for name in PLANES):
        return list(work(*planes))
    da = _dask()
    whole = [da.asarray(plane).rechunk({0: 1, 1: -1, 2: -1}) for plane in planes]
    chunks = (1,) * cube.sizes["band"], (shape[0],), (shape[1],)

    def one(
        sci: Any, wht: Any, mask: Any
    ) -> Any:  # one array of objects would not be sliced by dask: three floats are
        return np.stack([np.asarray(plane, dtype=np.float32) for plane in work(sci, wht, mask)])

    stacked = da.map_blocks(
        one, *whole, new_axis=0, chunks=((3,), *chunks), dtype=np.float32, meta=np.empty(())
    )
    return [stacked[i].astype(cube[name].dtype) for i, name in enumerate(PLANES)]


def _block_sums(sci: Any, wht: Any, mask: Any, n: int, *, flux: bool) -> tuple[Any, Any, Any]:
    shape = (len(sci), sci.shape[1] // n, n, sci.shape[2] // n, n)
    values, weights = (
        plane[:, : shape[1] * n, : shape[3] * n].reshape(shape) for plane in (sci, wht)
    )
    valid = weights > 0
    noise = np.divide(1.0, weights, where=valid, out=np.zeros(shape), dtype=float)
    number = valid.sum((2, 4))
    total, spread = np.where(valid, values, 0).sum((2, 4), dtype=float), noise.sum((2, 4))
    keep = 2 * number >= n * n
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = (n * n if flux else 1.0) / number
        out = np.where(keep, total * scale, np.nan), np.where(keep, 1 / (spread * scale**2), 0)
    chosen = _middles(mask, n, shape[1], shape[3])
    return out[0].astype(sci.dtype), out[1].astype(wht.dtype), keep & chosen


def _middles(plane: Any, n: int, rows: int, columns: int) -> Any:
    """Return one pixel at the middle of every block: the nearest to it, or one of the nearest."""
    return plane[..., n // 2 :: n, n // 2 :: n][..., :rows, :columns]


def _carried_along(
    cube: xr.Dataset, source: Grid, grid: Grid, method: Method, *, flux: bool
) -> dict[str, Any]:
    """Return the coordinates that change with the pixels."""
    blur = _weights.typical_blur(source, grid, method)
    steps = np.array(source.steps)
    widening = float(np.mean(_weights.added_variance(blur) * steps**2)) * _FWHM2_OF_VARIANCE
    new: dict[str, Any] = {"psf_fwhm": np.sqrt(cube.psf_fwhm.values**2 + widening)}
    if flux:
        area = (grid.scale / source.scale) ** 2
        new |= {name: cube[name].values * area for name in _PER_BAND}
    if "noise_scale" in cube.coords or "noise_acf" in cube.coords:
        new |= _noise(cube, grid, blur)
    if "psf" in cube.coords:
        new |= _psf(cube, source, grid, blur)
    return new


def _noise(cube: xr.Dataset, grid: Grid, blur: Blur) -> dict[str, Any]:
    """Carry scale and autocorrelation of the noise along; without the latter the noise is taken for white."""
    number = cube.sizes["band"]
    acf = np.ones((number, 1, 1))
    if "noise_acf" in cube.coords:
        variable = in_band_order(cube, cube.noise_acf).transpose("band", "dy", "dx")
        acf = np.nan_to_num(variable.values.astype(np.float64))
    after, widened = _weights.regrid_noise(acf, blur)
    scale = cube.noise_scale.values if "noise_scale" in cube.coords else np.ones(number)
    lags = {dim: (dim, (np.arange(n) - n // 2) * step, {"units": "arcsec", "long_name": f"lag along {dim[1]}"})
            for dim, n, step in zip(("dy", "dx"), after.shape[1:], grid.steps, strict=True)}  # fmt: skip
    return {
        "noise_scale": scale * widened,
        "noise_acf": (("band", "dy", "dx"), after.astype(np.float32)),
        **lags,
    }


def _psf(cube: xr.Dataset, source: Grid, grid: Grid, blur: Blur) -> dict[str, Any]:
    variable = in_band_order(cube, cube.psf).transpose("band", "ky", "kx")
    steps = [
        float(np.diff(cube[dim].values).mean()) / step
        if dim in cube.coords and cube.sizes[dim] > 1
        else 1.0
        for dim, step in zip(("ky", "kx"), source.steps, strict=True)
    ]
    psf = _weights.regrid_psf(variable.values.astype(np.float64), (steps[0], steps[1]), blur)
    offsets = {dim: (dim, (np.arange(n) - n // 2) * step, {"units": "arcsec"})
               for dim, n, step in zip(("ky", "kx"), psf.shape[1:], grid.steps, strict=True)}  # fmt: skip
    return {"psf": (("band", "ky", "kx"), psf.astype(np.float32)), **offsets}


def _assembled(cube: xr.Dataset, grid: Grid, planes: list[Any], new: dict[str, Any]) -> xr.Dataset:
    """Return a cube on `grid`: new planes, the coordinates in `new`, and all others that have no pixels."""
    variables: dict[str, Any] = {
        name: (("band", "y", "x"), plane, cube[name].attrs)
        for name, plane in zip(PLANES, planes, strict=True)
    }
    if "labels" in cube:
        variables["labels"] = (
            ("y", "x"),
            regrid_labels(cube.labels, grid).values,
            cube.labels.attrs,
        )
    coords: dict[str, Any] = {}
    replaced = {"noise_acf": ("dy", "dx"), "psf": ("ky", "kx")}
    dropped = {dim for name, dims in replaced.items() if name in new for dim in (name, *dims)} | {
        "wcs",
        "y",
        "x",
    }
    for name, variable in cube.coords.variables.items():
        if not {"y", "x"} & set(variable.dims) and name not in dropped:
            coords[str(name)] = variable
    for name, value in new.items():
        coords[name] = (
            value
            if isinstance(value, tuple)
            else (("band",), value, cube[name].attrs if name in cube else {})
        )
    return xr.Dataset(variables, {**coords, **grid.coords()}, cube.attrs)


# -- labels and masks


def _nearest(values: NDArray[Any], source: Grid, grid: Grid, *, outside: Any) -> NDArray[Any]:
    """Return values[nearest pixel]; `outside` beyond the map, or the clipped look-up where it is None."""
    if source == grid:
        return values.copy()
    mapping = pixel_mapping(grid, source)
    ny, nx = source.shape
    out = np.empty(grid.shape, dtype=values.dtype)
    columns = np.arange(grid.shape[1], dtype=float)
    flat = values.ravel()
    touched = False
    for top in range(0, grid.shape[0], _ROWS):
        rows = np.arange(top, min(top + _ROWS, grid.shape[0]), dtype=float)
        y, x = (
            np.nan_to_num(place, nan=_NOWHERE) for place in mapping(rows[:, None], columns[None, :])
        )
        iy, ix = np.rint(y).astype(np.int64), np.rint(x).astype(np.int64)
        near_y, near_x = np.clip(iy, 0, ny - 1), np.clip(ix, 0, nx - 1)
        block = flat[near_y * nx + near_x]
        inside = (near_y == iy) & (near_x == ix)
        touched = touched or bool(inside.any())
        out[top : top + len(rows)] = block if outside is None else np.where(inside, block, outside)
    if not touched:
        raise GridError(
            "HC-W15",
            "the map and the images do not overlap on the sky",
            "check that the map belongs to this field",
        )
    return out
