"""Do images lie where their headers say? Shifts between pixel scales, and between bands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import xarray as xr

from hstcube.basics.robust import MAD_TO_SIGMA
from hstcube.core.grids import Grid
from hstcube.core.rules import taken
from hstcube.core.stack import stack_bands
from hstcube.core.state import record, warn
from hstcube.errors import BandError
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
    RecipeError
        If there is no such method.
    """
    cube = taken(cube)
    require_choice("method", method, Method)
    grid = Grid.of(cube)
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
    for i in range(1, len(sci)):
        two = slice(i - 1, i + 1)
        moved = _of_sources(sci[two].astype(np.float64), wht[two].astype(np.float64))
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


def _of_sources(sci: Array, wht: Array) -> Array:
    """Return by how much the sources of the redder of two images must move, pixels, (source, 2)."""
    valid = (wht[0] > 0) & (wht[1] > 0)
    if not valid.any():
        return np.zeros((0, 2))
    signal = [np.where(valid, image - np.median(image[valid]), 0) for image in sci]
    noise = [np.where(valid, inverse_of(weight), 0) for weight in wht]
    # a source is one that both bands show
    seen = _detected(signal[0], noise[0], valid) & _detected(signal[1], noise[1], valid)
    shifts = []
    for start in _sources(signal[0] + signal[1], seen):
        bluer, redder = _place(signal[0], start), _place(signal[1], start)
        if bluer is not None and redder is not None:
            shifts.append(bluer - redder)
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
    reach = int(4 * _WINDOW)
    place: Array = start
    for _ in range(20):
        y0, x0 = (int(np.rint(p)) for p in place)
        if min(y0, x0) < reach or y0 >= image.shape[0] - reach or x0 >= image.shape[1] - reach:
            return None
        box = (slice(y0 - reach, y0 + reach + 1), slice(x0 - reach, x0 + reach + 1))
        y, x = np.mgrid[box]
        window = np.exp(-((y - place[0]) ** 2 + (x - place[1]) ** 2) / (2 * _WINDOW**2))
        light = window * image[box]
        total = light.sum()
        if total <= 0:
            return None
        moment = np.array([(light * (y - place[0])).sum(), (light * (x - place[1])).sum()])
        step = 2 * moment / total
        place = place + np.clip(step, -1, 1)
        if np.abs(step).max() < _STILL:
            return place
    return None
