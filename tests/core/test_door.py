"""The door of cubes: what is no cube is refused, and NaN where there is weight is no data."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import xarray as xr
from everything import World

import hstcube
from hstcube.errors import CubeError, GridError, HstCubeError, HstCubeWarning, LabelError

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(scope="module")
def cube(tmp_path_factory: pytest.TempPathFactory) -> xr.Dataset:
    with warnings.catch_warnings():
        return World(tmp_path_factory.mktemp("world")).cube


def along_bands(cube: xr.Dataset) -> xr.Dataset:
    """Join bands as xarray does it: wcs gets an axis."""
    one, other = cube.isel(band=[0]), cube.isel(band=[1])
    other = other.assign_coords(wcs=other.wcs + 1)
    return xr.concat([one, other], "band", coords="all", data_vars="all", compat="equals")


def with_cards_of_another(cube: xr.Dataset) -> xr.Dataset:
    wcs = cube.wcs.copy()
    wcs.attrs["CRVAL1"] = wcs.attrs["CRVAL1"] + 0.01
    return cube.assign_coords(wcs=wcs)


@pytest.mark.parametrize(
    ("edit", "error", "code"),
    [
        (lambda _: None, CubeError, "HC-C01"),
        (lambda _: np.zeros((3, 4, 5)), CubeError, "HC-C01"),
        (lambda cube: cube.sci, CubeError, "HC-C01"),
        (lambda cube: cube.isel(band=0), CubeError, "HC-C02"),
        (along_bands, GridError, "HC-W26"),
        (with_cards_of_another, GridError, "HC-W26"),
        (
            lambda cube: cube.assign_coords(psf_fwhm=("band", [-0.1, 0.1, 0.1])),
            CubeError,
            "HC-C08",
        ),
    ],
)
@pytest.mark.parametrize("step", [hstcube.psf_match, hstcube.variance, hstcube.common_mask])
def test_what_is_no_cube_is_refused_by_every_step(
    edit: Callable[[xr.Dataset], Any],
    error: type[Exception],
    code: str,
    step: Callable[[Any], Any],
    cube: xr.Dataset,
) -> None:
    with pytest.raises(error) as caught:
        step(edit(cube))
    assert caught.value.code == code  # type: ignore[attr-defined]


def test_a_nan_with_a_weight_is_no_data_and_told(cube: xr.Dataset) -> None:
    sci = cube.sci.copy(deep=True)
    sci[0, 30, 30] = np.nan
    with pytest.warns(HstCubeWarning, match="HC-D07 f435w: 1 pixels"):
        matched = hstcube.psf_match(cube.assign(sci=sci))
    assert np.isfinite(matched.sci.values[0]).sum() > 0.9 * matched.sci[0].size
    assert matched.wht.values[0, 30, 30] == 0
    assert not matched.mask.values[0, 30, 30]


def test_nan_in_a_mask_is_false_and_told(cube: xr.Dataset) -> None:
    keep = xr.ones_like(cube.sci.isel(band=0, drop=True))
    keep[:3] = np.nan
    with pytest.warns(HstCubeWarning, match="HC-S31"):
        masked = hstcube.mask(cube, keep)
    assert not masked.mask.values[:, :3].any()
    assert masked.mask.values[:, 3:].any()


@pytest.mark.parametrize("keep", [None, "sky", object()])
def test_what_is_no_mask_is_refused(keep: Any, cube: xr.Dataset) -> None:
    with pytest.raises(LabelError) as caught:
        hstcube.mask(cube, keep)
    assert caught.value.code == "HC-S30"


def test_a_reddening_that_cannot_be_is_refused(cube: xr.Dataset) -> None:
    with pytest.raises(HstCubeError, match="HC-D35"):
        hstcube.deredden(cube, 100.0)
