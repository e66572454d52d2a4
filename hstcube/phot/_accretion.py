"""Regions whose pixels have spectra of one shape: grown from bright pixels over neighbours that are alike.

Plain arrays; `bins` has the public function.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from hstcube.phot._tessellation import Bins, Field, Spectra

__all__ = ["regions_alike"]


def regions_alike(field: Field, spectra: Spectra, limit: float) -> Bins:
    """Return connected regions of pixels whose spectra have the shape of that of the region's brightest pixel.

    The brightest free pixel begins a region, which takes all free pixels that touch it and are
    alike. Like the bins of Abdurro'uf et al. 2021, ApJS 254, 15, but without regard to signal to
    noise: that is for bins within a region.

    Parameters
    ----------
    field : Field
    spectra : Spectra
        In all bands.
    limit : float
        Largest reduced chi square between spectra of one shape.

    Returns
    -------
    array of int, (pixel,)
    """
    regions = np.append(np.full(field.size, -1), -2)  # the last stands for what is beyond the mask
    brightness = (spectra.flux / spectra.noise).sum(axis=0)
    around = field.around(np.arange(field.size))
    number = 0
    for first in np.argsort(-brightness, kind="stable").tolist():
        if regions[first] != -1:
            continue
        regions[first] = number
        front = np.array([first])
        looked_at = {first}
        while front.size:
            near = np.unique(around[front])
            near = near[regions[near] == -1]
            fresh = np.array(
                [pixel for pixel in near.tolist() if pixel not in looked_at], dtype=np.intp
            )
            looked_at.update(fresh.tolist())
            front = _alike(spectra, first, fresh, limit)
            regions[front] = number
        number += 1
    return regions[:-1]


def _alike(spectra: Spectra, first: int, others: Bins, limit: float) -> Bins:
    """Return those of the pixels whose spectra have the shape of the first one's."""
    noise = np.hypot(spectra.noise[:, others], spectra.noise[:, [first]])
    return others[spectra.apart(spectra.flux[:, others], spectra.flux[:, [first]], noise) <= limit]
