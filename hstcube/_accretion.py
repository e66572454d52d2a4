"""Bins whose pixels have spectra of one shape: grown from bright pixels over neighbours that are alike.

Plain arrays; `bins` has the public function.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hstcube._tessellation import Bins, Field, Spectra

__all__ = ["grown_alike"]


def grown_alike(field: Field, spectra: Spectra, target: float, limit: float) -> Bins:
    """Return bins of pixels alike, and -1 for pixels that found none.

    The brightest free pixel begins a bin, which takes, nearest first, free pixels that touch it and whose spectra have
    the shape of the first one's, until the target is reached: the scheme of Abdurro'uf et al. 2021, ApJS 254, 15, who
    grow circles. Where the target is out of reach the pixels stay free, for other bins to take.

    Parameters
    ----------
    field : Field
    spectra : Spectra
        In all bands.
    target : float
        S/N of a bin.
    limit : float
        Largest reduced chi square between spectra of one shape.

    Returns
    -------
    array of int, (pixel,)
    """
    bins = np.append(np.full(field.size, -1), -2)  # the last stands for what is beyond the mask
    brightness = (spectra.flux / spectra.noise).sum(axis=0)
    around = field.around(np.arange(field.size))
    failed = np.zeros(field.size, bool)
    number = 0
    for first in np.argsort(-brightness, kind="stable").tolist():
        if bins[first] == -1 and not failed[first]:
            taken, reached = _grown(field, spectra, around, bins, first, number, target, limit)
            if reached:
                number += 1
            else:
                bins[taken], failed[taken] = -1, True
    return bins[:-1]


def _grown(
    field: Field, spectra: Spectra, around: Bins, bins: Bins, first: int, number: int, target: float, limit: float
) -> tuple[list[int], bool]:
    """Grow one bin in place; return its pixels, and whether they reach the target."""
    signal, variance = np.zeros(len(field.acf)), np.zeros(len(field.acf))
    taken: list[int] = []
    seen = {first}
    front = [(0, first)]
    while front:
        pixel = heapq.heappop(front)[1]
        near = field.index[field.place[pixel] + field.offsets]
        there = bins[near] == number
        own = field.sigma[:, pixel]
        common = (field.sigma[:, near[there]] * field.acf[:, there]).sum(axis=1) * own
        signal, variance = signal + field.signal[:, pixel], variance + own**2 + 2 * common
        bins[pixel] = number
        taken.append(pixel)
        if field.ratio_of_one(signal, variance, len(taken)) >= target:
            return taken, True
        fresh = [other for other in around[pixel].tolist() if bins[other] == -1 and other not in seen]
        seen.update(fresh)
        for other in _alike(spectra, first, np.array(fresh, dtype=np.intp), limit).tolist():
            far = (field.rows[other] - field.rows[first]) ** 2 + (field.columns[other] - field.columns[first]) ** 2
            heapq.heappush(front, (int(far), other))
    return taken, False


def _alike(spectra: Spectra, first: int, others: Bins, limit: float) -> NDArray[np.intp]:
    """Return those of the pixels whose spectra have the shape of the first one's."""
    noise = np.hypot(spectra.noise[:, others], spectra.noise[:, [first]])
    return others[spectra.apart(spectra.flux[:, others], spectra.flux[:, [first]], noise) <= limit]
