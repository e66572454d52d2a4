"""The made-up field as a cube, without files: what the examples of the documentation run on."""

from __future__ import annotations

import warnings
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from hstcube.core.cube import build
from hstcube.core.grids import Grid
from hstcube.core.offsets import psf_array
from hstcube.demo.cameras import BANDS, SCALE
from hstcube.demo.field import TARGET, images_of, stamp_grid
from hstcube.errors import HstCubeWarning
from hstcube.inputs.choices import flag
from hstcube.pipeline.recipe import homogenize
from hstcube.psf.preparation import with_psf
from hstcube.regridding.labels import regrid_labels
from hstcube.sky.masks import NOT_AN_INTEGER
from hstcube.surveys.known import known_survey

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["example"]


def example(*, matched: bool = False) -> xr.Dataset:
    """Return the made-up field of ``hstcube demo`` as a cube, to try things on.

    Nine bands of 100x100 pixels of 60 mas, as the XDF has them: a galaxy (label 101) with a
    companion (102), three neighbours and a star.

    Parameters
    ----------
    matched : bool
        Also subtract the sky, match all bands to F160W and mask the galaxy, as `homogenize` does.

    Returns
    -------
    Dataset
        With the true PSFs, and the segmentation map as ``labels`` (y, x). A copy each time: what is
        done to it changes no other.

    Examples
    --------
    >>> import hstcube
    >>> cube = hstcube.example()
    >>> dict(cube.sizes)["band"], cube.band.values[[0, -1]].tolist()
    (9, ['f435w', 'f160w'])
    >>> hstcube.example(matched=True).matched_to.values[0]
    'f160w'
    """
    cube, labels = _opened()
    seen = regrid_labels(labels, Grid.of(cube))
    return (_matched() if flag("matched", matched) else cube).copy(deep=True).assign(labels=seen)


@lru_cache(maxsize=1)
def _opened() -> tuple[xr.Dataset, xr.DataArray]:
    """Return the cube as it is opened, and the segmentation map on its own."""
    names = [*BANDS]
    sci, wht, psf, labels = images_of(names)
    survey = known_survey("xdf", SCALE)
    cube = build(
        sci,
        wht,
        bands=names,
        grid=stamp_grid(sci.shape[1:], SCALE),
        units="electron s-1",
        field="demo",
        survey="xdf",
        zeropoint=[survey.zeropoint[name] for name in names],
        exposure=[BANDS[name].exposure for name in names],
    )
    cube = with_psf(cube, psf_array(psf, SCALE, bands=names))
    return cube, _whole(labels)


def _whole(labels: xr.DataArray) -> xr.DataArray:
    """Return the labels as `open_labels` does: what is no integer is nobody's."""
    values = labels.values
    whole = np.where(np.rint(values) == values, values, NOT_AN_INTEGER)
    return labels.copy(data=whole.astype(np.int32))


@lru_cache(maxsize=1)
def _matched() -> xr.Dataset:
    cube, labels = _opened()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HstCubeWarning)  # the cube keeps them
        return homogenize(cube, labels=labels, ids=[TARGET])
