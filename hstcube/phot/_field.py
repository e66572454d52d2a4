"""The pixels that bins are made of: their signal, noise and neighbours, and sums over bins.

Plain arrays. A bin is a number 0, 1, ... for each pixel of a list of pixels. Its noise is the
double sum of sigma_i sigma_j rho(i - j) over its pixels, as in `noise`, over the lags that matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[np.float64]
    Bins = NDArray[np.intp]

__all__ = ["SIDES", "Field", "Spectra", "Sums", "by_bin", "make_field"]

# correlations below this are no matter here; the bins are judged with all of them at the end
_SHORT = 0.01
# around a pixel, in order
_RING = np.array([(-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1)])
SIDES = (1, 3, 5, 7)  # of the eight around a pixel, those that share a side with it


class Sums(NamedTuple):
    """What bins hold: signal and variance (band, bin), and the number of pixels (bin,)."""

    signal: Values
    variance: Values
    size: Values

    def of(self, part: slice) -> Sums:
        """Return those of some of the bins."""
        return Sums(self.signal[:, part], self.variance[:, part], self.size[part])


@dataclass(frozen=True)
class Field:
    """Pixels to put into bins, in some bands.

    ``place`` is where each pixel is in ``index``, the flat padded frame that holds pixels' numbers
    (``size`` where there is none, which has sigma 0). ``offsets`` are those of the lags, one of
    each pair first, then their opposites.
    """

    rows: Bins
    columns: Bins
    place: Bins
    index: Bins
    width: int
    signal: Values  # (band, pixel)
    sigma: Values  # (band, pixel + 1)
    offsets: Bins
    acf: Values  # (band, lag)
    tails: Values  # (band, side): what the lags left out add to the variance of a square bin
    sky_error: Values  # (band,)
    any_band: bool  # one band has to reach the target; else all
    worth: float  # the S/N that a bin has at most, for each of its pixels: small ones do not count
    region: Bins  # (pixel + 1,): bins stay within one

    @property
    def size(self) -> int:
        """The number of pixels."""
        return self.rows.size

    def ratio(self, sums: Sums) -> Values:
        """Return what is judged: the S/N of the best band, or of the worst; (bin,).

        Of a bin that is too small it is what its pixels are worth.
        """
        count = sums.size
        variance = sums.variance * self.tails[:, np.rint(np.sqrt(count)).astype(np.intp)]
        noise = np.sqrt(np.maximum(variance + self.sky_error[:, None] ** 2 * count**2, 1e-300))
        each: Values = sums.signal / noise
        best = each.max(axis=0) if self.any_band else each.min(axis=0)
        return np.asarray(np.minimum(best, self.worth * np.maximum(count, 1e-300)))

    def ratio_of_bins(self, bins: Bins) -> Values:
        """Return the same of every bin."""
        return self.ratio(self.sums(bins, int(bins.max()) + 1))

    def ratio_of_pixels(self) -> Values:
        """Return the same of every pixel by itself."""
        return self.ratio(Sums(self.signal, self.sigma[:, :-1] ** 2, np.ones(self.size)))

    def sums(self, bins: Bins, number: int) -> Sums:
        """Return what `number` bins hold."""
        count = np.bincount(bins, minlength=number).astype(float)
        signal = by_bin(bins, self.signal, number)
        variance = by_bin(bins, self.sigma[:, :-1] ** 2, number)
        padded = np.append(bins, -1)
        for lag in range(self.offsets.size // 2):
            other = self.index[self.place + self.offsets[lag]]
            one = np.flatnonzero(padded[other] == bins)
            if one.size:
                pairs = self.sigma[:, one] * self.sigma[:, other[one]]
                variance += 2 * self.acf[:, [lag]] * by_bin(bins[one], pairs, number)
        return Sums(signal, variance, count)

    def around(self, pixels: Bins | int) -> Bins:
        """Return the neighbours of pixels within their regions; `size` for none.

        They are (pixel, 8), or (8,) of one pixel.
        """
        place, region = np.asarray(self.place[pixels]), np.asarray(self.region[pixels])
        near = self.index[place[..., None] + _RING @ (self.width, 1)]
        return np.asarray(np.where(self.region[near] == region[..., None], near, self.size))


class Spectra(NamedTuple):
    """Fluxes of pixels and their errors in all bands, (band, pixel)."""

    flux: Values
    noise: Values

    @staticmethod
    def apart(flux: Values, model: Values, noise: Values) -> Values:
        """Return the reduced chi square of spectra (band, ...) against models at their best scale.

        chi2 = sum (f - s g)^2 / sigma^2, s = sum(f g / sigma^2) / sum(g^2 / sigma^2) (Abdurro'uf et
        al. 2021, ApJS 254, 15); infinite where s < 0.
        """
        weight = noise**-2
        scale = (flux * model * weight).sum(axis=0) / (model**2 * weight).sum(axis=0)
        chi = ((flux - scale * model) ** 2 * weight).sum(axis=0)
        return np.asarray(np.where(scale > 0, chi / max(len(flux) - 1, 1), np.inf))


def by_bin(bins: Bins, values: NDArray[Any], number: int) -> Values:
    """Return sums of values (band, pixel) over bins, (band, bin)."""
    out = np.empty((len(values), number))
    for total, plane in zip(out, values, strict=True):
        total[:] = np.bincount(bins, plane, minlength=number)
    return out


def make_field(
    inside: NDArray[np.bool_],
    signal: Values,
    sigma: Values,
    acf: Values,
    sky_error: Values,
    *,
    any_band: bool,
    worth: float = np.inf,
) -> Field:
    """Collect the pixels of a mask.

    Parameters
    ----------
    inside : array of bool, (y, x)
    signal, sigma : array, (band, pixel)
    acf : array, (band, dy, dx)
        Autocorrelation of the noise.
    sky_error : array, (band,)
    any_band : bool
    worth : float
        The S/N that a bin has at most, for each of its pixels.
    """
    rows, columns = np.nonzero(inside)
    ry, rx = _middle(acf)
    lags = _lags(acf)
    margin = max(int(np.abs(lags).max(initial=0)), 1)
    y, x = rows - rows.min() + margin, columns - columns.min() + margin
    width = int(x.max()) + 1 + margin
    index = np.full((int(y.max()) + 1 + margin, width), rows.size)
    index[y, x] = np.arange(rows.size)
    return Field(
        rows=rows,
        columns=columns,
        place=y * width + x,
        index=index.ravel(),
        width=width,
        signal=signal,
        sigma=np.pad(sigma, ((0, 0), (0, 1))),
        offsets=lags[:, 0] * width + lags[:, 1],
        acf=acf[:, lags[:, 0] + ry, lags[:, 1] + rx],
        tails=_tails(acf, lags, int(np.ceil(np.sqrt(rows.size))) + 1),
        sky_error=sky_error,
        any_band=any_band,
        worth=worth,
        region=np.append(np.zeros(rows.size, np.intp), -1),
    )


def _middle(acf: Values) -> tuple[int, int]:
    """Return where the lag (0, 0) is."""
    return acf.shape[1] // 2, acf.shape[2] // 2


def _lags(acf: Values) -> Bins:
    """Return the lags (lag, 2) that matter: one of each pair first, then their opposites."""
    lags = np.argwhere(np.abs(acf).max(axis=0) >= _SHORT) - _middle(acf)
    lags = lags[(lags[:, 0] > 0) | ((lags[:, 0] == 0) & (lags[:, 1] > 0))]
    return np.concatenate([lags, -lags])


def _tails(acf: Values, lags: Bins, largest: int) -> Values:
    """Return the variance of square bins over that of the given lags alone.

    Bins are 0, 1, ..., `largest` pixels a side; (band, side).
    """
    kept = np.zeros(acf.shape[1:], bool)
    ry, rx = _middle(acf)
    kept[ry, rx] = True
    kept[lags[:, 0] + ry, lags[:, 1] + rx] = True
    y = np.abs(np.arange(acf.shape[1]) - ry)
    x = np.abs(np.arange(acf.shape[2]) - rx)
    out = np.ones((len(acf), largest + 1))
    for side in range(2, largest + 1):
        overlap = np.outer(np.clip(1 - y / side, 0, None), np.clip(1 - x / side, 0, None))
        out[:, side] = (acf * overlap).sum((1, 2)) / (acf * overlap * kept).sum((1, 2))
    return np.clip(out, 0.1, 10)
