"""Detection: a segmentation map made from the cube itself, where nobody made one."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import xarray as xr

from hstcube.basics.medians import Guess, Part, guesses, medians, part_of
from hstcube.basics.robust import MAD_TO_SIGMA, gaussian_mean, gaussian_weights
from hstcube.core.grids import Grid
from hstcube.core.rules import taken
from hstcube.inputs.choices import flag
from hstcube.inputs.quantities import number_in, whole_number
from hstcube.lazy.windows import common, over_windows, tiles, widened, within
from hstcube.sky.sources import connected, renumber, sizes_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from hstcube.lazy.windows import Window

    Image64 = NDArray[np.float64]
    Mask = NDArray[np.bool_]
    Labels = NDArray[np.integer[Any]]

__all__ = ["detect"]

# arcsec: tried on six real galaxies and twenty fields of known truth; wider ones join close pairs,
# narrower ones cut clumps off
KERNEL = 0.09
BACKGROUND = 1.2  # arcsec: the scale of the local background; galaxies are smaller, halos larger
AREA = 0.036  # arcsec^2: 10 pixels of 60 mas
FEWEST = 5  # pixels, whatever their scale
GROW = 2  # pixels around what the first look found that tell no background in the second
CONTRAST = 0.005  # of deblending: the share of its light that parts a piece from a source

_REACH = 4.0  # scales: how far a Gaussian reaches
_SAMPLE = 128  # pixels: the side of what is looked at of each tile first
_ROUNDING = 1e-9

_EMPTY = -1  # as in maps that cover part of a frame


def detect(
    cube: xr.Dataset,
    *,
    snr: float = 3.0,
    min_pixels: int | None = None,
    deblend: bool = True,
) -> xr.DataArray:
    """Detect sources, for want of a segmentation map.

    Parameters
    ----------
    cube : Dataset
        As `open_field` gives it; the sky may be in it.
    snr : float
        How far every pixel of a source stands above the local background, in standard deviations of
        the smoothed stack.
    min_pixels : int, optional
        Fewest pixels of a source that touch; 0.036 square arcsec, and at least 5, when not given.
    deblend : bool
        Part sources that touch.

    Returns
    -------
    DataArray of int32, (y, x)
        A segmentation map on the grid of the cube: 1, 2, ... for the sources, 0 sky, -1 no data.

    Raises
    ------
    RecipeError
        If `snr` is not above 0, or `min_pixels` is no number of pixels.
    CubeError
        If `cube` is none.

    Notes
    -----
    The bands are stacked by their signal to noise, sum(sci sqrt(wht)), as Szalay, Connolly &
    Szokoly (1999, AJ 117, 68) combine bands (they add squares; the sum tells sources from holes),
    and smoothed with a Gaussian of 0.09 arcsec. Its noise is the robust scatter of what is left
    beside the sources, which holds for correlated pixels and for faint halos, but no less than
    ``noise_scale`` and ``noise_acf`` tell where they are known. A second look measures the
    background (1.2 arcsec) beside what the first one found. Sources that touch are parted as Bertin
    & Arnouts (1996, A&AS 117, 393) do it, by `photutils.segmentation`.

    Large images are worked through in tiles, twice for each look, with the same result. The map is
    held whole, and the light of the sources.

    Examples
    --------
    >>> import numpy as np
    >>> import hstcube
    >>> grid = hstcube.Grid.around((53.16, -27.78), 3.6, scale=0.06)
    >>> y, x = np.indices(grid.shape)
    >>> image = np.random.default_rng(1).normal(size=(1, *grid.shape))
    >>> for row, column in ((15, 20), (40, 45)):
    ...     image += 30 * np.exp(-((y - row) ** 2 + (x - column) ** 2) / 8)
    >>> cube = hstcube.build(
    ...     image, np.ones(image.shape), bands=["f160w"], grid=grid, units="electron s-1"
    ... )
    >>> labels = hstcube.detect(cube)
    >>> labels.values[15, 20].item(), labels.values[40, 45].item(), labels.values.max().item()
    (1, 2, 2)
    """
    deblend = flag("deblend", deblend)
    cube = taken(cube)
    snr = number_in("", snr, "snr", above=0)
    grid = Grid.of(cube)
    if min_pixels is None:
        min_pixels = max(round(AREA / float(np.prod(grid.steps))), FEWEST)
    min_pixels = whole_number(min_pixels, "min_pixels")
    wanted = _Wanted(snr, min_pixels, _known_noise(cube))
    found = _looked_twice(cube, wanted, float(np.mean(grid.steps)))
    labels = found.labels
    if deblend and labels.any():
        labels = _deblended(found, min_pixels)
    labels[~found.there] = _EMPTY
    attrs = {
        "long_name": "segmentation map",
        "detected": f"{labels.max()} sources, snr {snr:g}, {min_pixels} pixels or more",
    }
    return xr.DataArray(labels, grid.coords(), ("y", "x"), "labels", attrs)


def _known_noise(cube: xr.Dataset) -> float:
    """Return the standard deviation of the smoothed stack that is known; 0 where it is not.

    A Gaussian's correlation with itself is a Gaussian of twice its variance.
    """
    if "noise_acf" not in cube.coords or "noise_scale" not in cube.coords:
        return 0.0
    dy, dx = cube.dy.values[:, None], cube.dx.values[None, :]
    lags = np.exp(-(dy**2 + dx**2) / (4 * KERNEL**2))
    pixel = float(np.prod(Grid.of(cube).steps))
    each = (cube.noise_acf.values * lags).sum((1, 2)) * pixel / (4 * np.pi * KERNEL**2)
    return float(np.sqrt(np.nansum(np.clip(each, 0, None) * cube.noise_scale.values**2)))


class _Wanted(NamedTuple):
    """What makes a source."""

    snr: float
    fewest: int
    noise: float
    """The least that it can be."""


class _Found(NamedTuple):
    """Sources, numbered, and how high their pixels stand above the background, tile by tile."""

    labels: Labels
    seen: Mask
    """What is high enough, whatever its size."""
    heights: list[Image64]
    """Of what is seen, row by row."""
    there: Mask


class _Look(NamedTuple):
    """How pixels are looked at: smoothed, and less the background beside what is not quiet.

    Widths are in pixels. Where nothing is known to be quiet, no background is taken off.
    """

    shape: tuple[int, int]
    kernel: float
    background: float
    quiet: Mask | None = None

    @property
    def rims(self) -> tuple[int, int]:
        """How far around a pixel the background looks, and the smoothing beyond that."""
        wide, narrow = (int(_REACH * one + 0.5) for one in (self.background, self.kernel))
        return 0 if self.quiet is None else wide, narrow

    def around(self, window: Window) -> Window:
        """Return the window that is needed for one."""
        return widened(window, sum(self.rims), self.shape)

    def image(self, window: Window, bands: Iterable[Any]) -> tuple[Image64, Mask]:
        """Return what a window shows, and where there is data; bands as `around` says."""
        stack, there = _stacked(bands)
        around, beside = self.around(window), widened(window, self.rims[0], self.shape)
        there_too = there[within(window, around)]
        image = _beside(stack, there, self.kernel)[within(beside, around)]
        if self.quiet is None:
            return image, there_too
        image = image - _beside(image, self.quiet[beside], self.background)
        return image[within(window, beside)], there_too


def _stacked(bands: Iterable[Any]) -> tuple[Image64, Mask]:
    """Return the sum of all bands in units of their noise, and where any band has data."""
    stack, there = np.float64(0), np.bool_(False)
    for sci, wht in bands:  # one in memory, where the cube is lazy
        stack = stack + np.nan_to_num(sci * np.sqrt(wht))
        there = there | (wht > 0)
    return np.asarray(stack), np.asarray(there)


def _beside(image: Image64, where: Mask, scale: float) -> Image64:
    """Return the Gaussian mean over some of the pixels around every pixel."""
    return gaussian_mean(np.where(where, image, 0), scale) / gaussian_weights(where, scale)


def _looked_twice(cube: xr.Dataset, wanted: _Wanted, scale: float) -> _Found:
    """Return the sources that stand above the background beside those of a first look."""
    from scipy import ndimage

    shape = (cube.sizes["y"], cube.sizes["x"])
    look = _Look(shape, KERNEL / scale, BACKGROUND / scale)
    found = _sources_in(cube, look, wanted)
    quiet = ~ndimage.binary_dilation(found.labels > 0, iterations=GROW)
    quiet &= found.there
    if not found.labels.any() or not quiet.any():
        return found
    del found
    return _sources_in(cube, look._replace(quiet=quiet), wanted)


def _sources_in(cube: xr.Dataset, look: _Look, wanted: _Wanted) -> _Found:
    """Return the sources above what is quiet."""
    arrays, parts = [cube.sci.data, cube.wht.data], tiles(look.shape)
    sample: Any = np.empty(0)
    if len(parts) > 1:
        sample = np.concatenate(_of_tiles(look, arrays, [*map(_middle, parts)]))
    for known in guesses(sample):
        scans = _of_tiles(look, arrays, parts, known, wanted)
        level = medians([scan.part for scan in scans], known)
        if level is not None:
            return _judged(scans, parts, look.shape, level, wanted)
    raise AssertionError  # pragma: no cover  all values have a median


class _Scan(NamedTuple):
    """What a tile holds: of its quiet pixels, and those that may belong to sources."""

    part: Part
    there: Mask
    seen: Mask
    values: Image64


def _of_tiles(
    look: _Look,
    arrays: list[Any],
    parts: list[Window],
    guess: Guess | None = None,
    wanted: _Wanted | None = None,
) -> list[Any]:
    """Return the scans of tiles; without a guess the values that are quiet."""

    def scan(i: int, bands: Iterable[Any]) -> Any:
        image, there = look.image(parts[i], bands)
        values = image[there if look.quiet is None else look.quiet[parts[i]]]
        if guess is None or wanted is None:
            return values
        least = guess.low + wanted.snr * max(MAD_TO_SIGMA * guess.near, wanted.noise)
        seen = there & (image > least - _ROUNDING * abs(least))
        return _Scan(part_of(values, guess), there, seen, image[seen])

    return over_windows(scan, arrays, [look.around(part) for part in parts])


def _middle(window: Window) -> Window:
    rows, columns = (
        slice(start, min(start + _SAMPLE, one.stop))
        for one in window
        for start in [max((one.start + one.stop - _SAMPLE) // 2, one.start)]
    )
    return rows, columns


def _judged(
    scans: list[_Scan],
    parts: list[Window],
    shape: tuple[int, int],
    level: tuple[float, float],
    wanted: _Wanted,
) -> _Found:
    """Return what is a source, of what may be."""
    limit = wanted.snr * max(float(MAD_TO_SIGMA * level[1]), wanted.noise)
    seen, there, heights = np.zeros(shape, bool), np.zeros(shape, bool), []
    for part in parts:
        scan = scans.pop(0)
        height = scan.values - level[0]
        high = height > limit
        scan.seen[scan.seen] = high
        seen[part], there[part] = scan.seen, scan.there
        heights.append(height[high])
    return _Found(connected(seen, fewest=wanted.fewest), seen, heights, there)


def _deblended(found: _Found, fewest: int) -> Labels:
    """Return the map in which what touches is parted, numbered as `deblend_sources` does it."""
    from scipy import ndimage

    labels, boxes = found.labels, ndimage.find_objects(found.labels)
    born: list[tuple[int, int, int]] = []
    top = len(boxes)
    for label, heights in _light_of(found, boxes, 2 * fewest):
        box = boxes[label - 1]
        mask = labels[box] == label
        pieces = _parted(heights, mask, fewest)
        number = int(pieces.max())
        if number > 1:
            labels[box][mask] = pieces[mask] + top
            born.append((label, top, number))
            top += number
    return renumber(labels, _numbers(len(boxes), sorted(born), top))


def _light_of(found: _Found, boxes: list[Window], least: int) -> Iterator[tuple[int, Image64]]:
    """Give sources of so many pixels in their boxes, each when all tiles with it have been seen."""
    left = sizes_of(found.labels)
    large = left >= least
    waiting: dict[int, Image64] = {}
    for part, heights in zip(tiles(found.seen.shape), found.heights, strict=True):
        tile, here = np.zeros(found.seen[part].shape), found.labels[part]
        tile[found.seen[part]] = heights
        numbers = np.unique(here)
        for label in numbers[(numbers > 0) & (numbers <= len(boxes))].tolist():
            if not large[label]:
                continue
            box = boxes[label - 1]
            both = common(part, box)
            if label not in waiting:
                waiting[label] = np.zeros(found.seen[box].shape)
            waiting[label][within(both, box)] = tile[within(both, part)]
            left[label] -= np.count_nonzero(here[within(both, part)] == label)
            if not left[label]:
                yield label, waiting.pop(label)


def _parted(height: Image64, mask: Mask, fewest: int) -> Labels:
    """Return the pieces of one source, 1, 2, ..."""
    from photutils.segmentation import SegmentationImage, deblend_sources

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what could not be parted its way
        parted = deblend_sources(
            height,
            SegmentationImage(mask.astype(np.int32)),
            fewest,
            contrast=CONTRAST,
            progress_bar=False,
        )
    return np.asarray(parted.data)


def _numbers(number: int, born: list[tuple[int, int, int]], top: int) -> NDArray[np.int32]:
    """Return new numbers: sources that stayed whole first, then the pieces of the others."""
    table = np.zeros(top + 1, np.int32)
    whole = np.ones(number + 1, bool)
    whole[[0, *(parent for parent, _, _ in born)]] = False
    last = int(whole.sum())
    table[: number + 1][whole] = np.arange(1, last + 1)
    for _, before, pieces in born:
        table[before + 1 : before + pieces + 1] = np.arange(last + 1, last + pieces + 1)
        last += pieces
    return table
