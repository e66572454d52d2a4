"""Do images lie where their headers say? Shifts between pixel scales, and between bands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import xarray as xr

from hstcube.basics.robust import MAD_TO_SIGMA
from hstcube.core.grids import Grid
from hstcube.core.rules import taken
from hstcube.core.stack import stack_bands
from hstcube.core.state import record, warn
from hstcube.errors import BandError, GridError
from hstcube.inputs.arrays import shown
from hstcube.inputs.choices import require_choice
from hstcube.regridding._weights import Method
from hstcube.regridding.image_shifts import LEAST_ERROR, Shift, inverse_of, shift_between_scales
from hstcube.regridding.resample import regrid

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

__all__ = ["apply_shifts", "check_alignment", "warn_of_shifts"]

Between = Literal["scales", "bands"]

# pixels, of the least shift that means anything: between bands the colour gradients inside sources
# mimic shifts as large as that
MEANINGFUL: dict[Between, float] = {"scales": LEAST_ERROR, "bands": 0.3}
SIGNIFICANT = 3.0  # standard errors
FEWEST = 3  # sources for a shift between bands

# sigma of the detection image, its smoothing, and the window of centroids [pixels]
_DETECT, _SMOOTH, _WINDOW = 5.0, 1.5, 2.0
_SMALLEST = 5  # pixels of a source: less is noise
_REACH = int(4 * _WINDOW)
_OFFSETS = np.arange(-_REACH, _REACH + 1)
_STILL = 1e-3  # pixels: a centroid that moves by less has arrived


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

    Examples
    --------
    >>> import hstcube
    >>> shifts = hstcube.check_alignment(hstcube.example())
    >>> bool(shifts.shifted.any()), bool(shifts.pixels.max() < 0.1)
    (False, True)
    """
    cube = taken(cube)
    if other is None:
        return _between_bands(cube)
    other = taken(other)
    shared = [name for name in cube.band.values.tolist() if name in other.band.values.tolist()]
    if not shared:
        raise BandError(
            "HC-B01", "the two cubes share no band", "compare cubes that have a band at both scales"
        )
    shifts = [shift_between_scales(cube.sel(band=name), other.sel(band=name)) for name in shared]
    scale = max(Grid.of(cube).scale, Grid.of(other).scale)
    return _table(shared, shifts, [0] * len(shared), scale, "scales")


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
        by = f"{_mas(dy, dx)}, {float(shifts.pixels.median()):.2f} pixels"
        text = f"the images at {scales[0]} lie elsewhere than those at {scales[1]}"
        fix = "[[run with --align apply|open the field with align='apply', or use apply_shifts]]"
        return warn(cube, "HC-W20", f"{text}: to be moved by {by}; {fix}")
    for name in shifts.band.values[shifts.shifted.values].tolist():
        row = shifts.sel(band=name)
        by = f"{_mas(float(row.dy), float(row.dx))}, {float(row.pixels):.2f} pixels"
        text = f"{name} lies elsewhere than its bluer neighbour: to be moved by {by}"
        cube = warn(cube, "HC-W20", f"{text} ({int(row.sources)} sources)")
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
    method : {"adaptive", "exact", "bilinear", "nearest"}
        For bands that are resampled; see `regrid`.

    Returns
    -------
    Dataset
        The cube, with the shift in its history.

    Raises
    ------
    BandError
        If shifts between bands lack a band of the cube.
    GridError
        If `shifts` are not what `check_alignment` gives.
    RecipeError
        If there is no such method.

    Examples
    --------
    >>> import hstcube
    >>> cube = hstcube.example()
    >>> shifts = hstcube.check_alignment(cube)
    >>> hstcube.apply_shifts(cube, shifts).sci.equals(cube.sci)  # nothing was shifted
    True
    """
    cube = taken(cube)
    require_choice("method", method, Method)
    grid = Grid.of(cube)
    if not isinstance(shifts, xr.Dataset) or not {"dy", "dx", "shifted"} <= {*shifts.variables}:
        reason = f"shifts are {shown(shifts)}, without dy, dx and shifted"
        raise GridError("HC-W25", reason, "[[measure them anew|give what check_alignment found]]")
    if shifts.attrs.get("between") != "bands":
        dy, dx = _mean_shift(shifts)
        return _moved(cube, grid, dy, dx, "all bands")
    names = cube.band.values.tolist()
    if missing := [name for name in names if name not in shifts.band.values.tolist()]:
        raise BandError(
            "HC-B01",
            "the shifts have no such band",
            "[[choose another band|check_alignment(cube) gives them all]]",
            band=missing[0],
        )
    steps = shifts.sel(band=names)
    used = np.where(steps.shifted.values, np.stack([steps.dy.values, steps.dx.values]), 0.0)
    total = np.cumsum(used, axis=1)
    if not total.any():
        return cube
    pieces = []
    for i, name in enumerate(names):
        piece = cube.isel(band=[i])
        if total[:, i].any():
            piece = regrid(_moved(piece, grid, total[0, i], total[1, i], name), grid, method=method)
        pieces.append(piece.assign_coords(grid.coords()))
    return stack_bands(pieces)


def _moved(cube: xr.Dataset, grid: Grid, dy: float, dx: float, what: str) -> xr.Dataset:
    """Return a cube whose contents lie (dy, dx) arcsec further along its axes.

    The grid moves under its pixels.
    """
    moved = grid.stepped((dy / grid.steps[0], dx / grid.steps[1]), (1.0, 1.0), grid.shape)
    return record(cube.assign_coords(moved.coords()), f"apply_shifts({what}: {_mas(dy, dx)})")


def _mean_shift(shifts: xr.Dataset) -> Array:
    values = np.stack([shifts.dy.values, shifts.dx.values])
    weight = np.stack([shifts.dy_error.values, shifts.dx_error.values]) ** -2.0
    return np.asarray((values * weight).sum(1) / weight.sum(1))


def _table(
    names: list[str], shifts: list[Shift], sources: list[int], scale: float, between: Between
) -> xr.Dataset:
    """Return what `check_alignment` returns; `scale` is the coarser image's."""
    shift = np.array([one.value for one in shifts])
    error = np.array([one.error for one in shifts])
    larger = np.abs(shift).max(1) / scale
    meaningful = np.abs(shift) > MEANINGFUL[between] * scale
    significant = (np.abs(shift) > SIGNIFICANT * error) & meaningful
    arcsec = {"units": "arcsec"}
    return xr.Dataset(
        {
            "dy": ("band", shift[:, 0], arcsec),
            "dx": ("band", shift[:, 1], arcsec),
            "dy_error": ("band", error[:, 0], arcsec),
            "dx_error": ("band", error[:, 1], arcsec),
            "pixels": ("band", larger),
            "sources": ("band", np.array(sources)),
            "shifted": ("band", np.nan_to_num(significant).any(1)),
        },
        {"band": np.array(names, dtype=object)},
        {"between": between},
    )


# -- between bands: the centroids of sources


def _between_bands(cube: xr.Dataset) -> xr.Dataset:
    """Compare each band with the next bluer one, source by source."""
    grid = Grid.of(cube)
    sci, wht = cube.sci.values, cube.wht.values
    shifts, counts = [Shift(np.zeros(2), np.zeros(2))], [0]
    redder: _Seen | None = None
    for i in range(1, len(sci)):
        valid = (wht[i - 1] > 0) & (wht[i] > 0)
        # mostly the redder image of the pair before, on the same pixels: it is the bluer one now
        same = redder is not None and np.array_equal(valid, redder.valid)
        bluer = redder if redder and same else _seen(sci[i - 1], wht[i - 1], valid)
        redder = _seen(sci[i], wht[i], valid)
        moved = _of_sources(bluer, redder)
        shifts.append(_median_shift(moved, np.array(grid.steps)))
        counts.append(len(moved))
    return _table(cube.band.values.tolist(), shifts, counts, grid.scale, "bands")


def _median_shift(moved: Array, steps: Array) -> Shift:
    """Return the median of the sources' shifts, its error from their scatter; NaN of too few."""
    if len(moved) < FEWEST:
        return Shift(np.full(2, np.nan), np.full(2, np.inf))
    middle = np.median(moved, axis=0)
    scatter = MAD_TO_SIGMA * np.median(np.abs(moved - middle), axis=0)
    error = np.maximum(1.25 * scatter / np.sqrt(len(moved)), LEAST_ERROR)
    return Shift(middle * steps, error * steps)


class _Seen(NamedTuple):
    """An image above its median, 0 where it or its neighbour has no data, and what stands out."""

    signal: Array
    found: NDArray[np.bool_]
    valid: NDArray[np.bool_]


def _seen(image: NDArray[Any], weight: NDArray[Any], valid: NDArray[np.bool_]) -> _Seen:
    if not valid.any():
        return _Seen(np.zeros(valid.shape), valid, valid)
    image = image.astype(np.float64)
    signal = np.where(valid, image - np.median(image[valid]), 0)
    variance = np.where(valid, inverse_of(weight.astype(np.float64)), 0)
    return _Seen(signal, _detected(signal, variance, valid), valid)


def _of_sources(bluer: _Seen, redder: _Seen) -> Array:
    """Return by how much the sources of the redder of two images must move, pixels, (source, 2)."""
    shifts = []
    # a source is one that both bands show
    for start in _sources(bluer.signal + redder.signal, bluer.found & redder.found):
        one, other = _place(bluer.signal, start), _place(redder.signal, start)
        if one is not None and other is not None:
            shifts.append(one - other)
    return np.array(shifts).reshape(-1, 2)


def _sources(image: Array, seen: NDArray[np.bool_]) -> list[Array]:
    """Return the centres of light of the connected pixels that are seen."""
    from scipy import ndimage

    pieces, number = ndimage.label(seen)
    centres = []
    for k, box in enumerate(ndimage.find_objects(pieces, number), start=1):
        mine = pieces[box] == k
        if mine.sum() >= _SMALLEST:
            place = ndimage.center_of_mass(np.where(mine, image[box], 0))
            centres.append(np.array(place) + [side.start for side in box])
    return centres


def _detected(image: Array, variance: Array, valid: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the pixels that stand out of the noise of a smoothed image."""
    from scipy import ndimage

    smooth = ndimage.gaussian_filter(image, _SMOOTH)
    quiet = MAD_TO_SIGMA * np.median(np.abs(smooth[valid]))
    sigma = np.sqrt(np.maximum(quiet**2, variance / (4 * np.pi * _SMOOTH**2)))
    return np.asarray(smooth > _DETECT * sigma)


def _place(image: Array, start: Array) -> Array | None:
    """Return the centroid of a source; None where it is not near `start`."""
    place = _centroid(image, start)
    if place is None or not np.hypot(*(place - start)) < 2 * _WINDOW:
        return None
    return place


def _centroid(image: Array, start: Array) -> Array | None:
    """Return the windowed centroid near a place, or None where there is none.

    That is XWIN_IMAGE of SExtractor (Bertin & Arnouts 1996).
    """
    y, x = start.tolist()
    for _ in range(20):
        row, column = round(y), round(x)
        box = image[row - _REACH : row + _REACH + 1, column - _REACH : column + _REACH + 1]
        if min(row, column) < _REACH or box.size < len(_OFFSETS) ** 2:
            return None
        dy, dx = (_OFFSETS + (row - y))[:, None], _OFFSETS + (column - x)
        light = np.exp((dy**2 + dx**2) / (-2 * _WINDOW**2)) * box
        total = float(light.sum())
        if total <= 0:
            return None
        step = (2 * float((light * dy).sum()) / total, 2 * float((light * dx).sum()) / total)
        y, x = (p + min(max(s, -1.0), 1.0) for p, s in zip((y, x), step, strict=True))
        if max(map(abs, step)) < _STILL:
            return np.array([y, x])
    return None
