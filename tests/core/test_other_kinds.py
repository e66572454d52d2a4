"""What people hand over where one image, grid, PSF or table is wanted: taken, or refused by name.

Datasets, arrays of numpy, segmentation images of photutils, NaN and labels in masks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import xarray as xr

import hstcube
from hstcube.errors import CubeError, HstCubeError, LabelError, NoiseError

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.filterwarnings("ignore::hstcube.HstCubeWarning")


@pytest.fixture(scope="module")
def cube() -> xr.Dataset:
    return hstcube.example()


# ruff: noqa: ARG005, PLW0108
OTHERS: dict[str, Callable[[xr.Dataset], Any]] = {
    "a cube": lambda cube: cube,
    "a Dataset": lambda cube: cube[["labels"]],
    "an array": lambda cube: cube.sci.values,
    "None": lambda cube: None,
}
WANTED: dict[str, Callable[[xr.Dataset, Any], Any]] = {
    "object_mask": lambda cube, other: hstcube.object_mask(other, 101),
    "grow": lambda cube, other: hstcube.grow(other),
    "regrid_labels": lambda cube, other: hstcube.regrid_labels(other, hstcube.Grid.of(cube)),
    "regrid_mask": lambda cube, other: hstcube.regrid_mask(other, hstcube.Grid.of(cube)),
    "the grid of labels": lambda cube, other: hstcube.regrid_labels(cube.labels, other),
    "the grid of a mask": lambda cube, other: hstcube.regrid_mask(cube.labels == 0, other),
    "regrid": lambda cube, other: hstcube.regrid(cube, other),
    "mask": lambda cube, other: hstcube.mask(cube, other),
    "photometry": lambda cube, other: hstcube.photometry(cube, other),
    "group_errors": lambda cube, other: hstcube.group_errors(cube, other),
    "with_psf": lambda cube, other: hstcube.with_psf(cube, other),
    "save_psf": lambda cube, other: hstcube.save_psf(other, "never.fits"),
    "matching_kernels": lambda cube, other: hstcube.matching_kernels(other, to="f160w"),
    "replace_neighbours": lambda cube, other: hstcube.replace_neighbours(cube, other, keep=101),
    "apply_shifts": lambda cube, other: hstcube.apply_shifts(cube, other),
    "write_table": lambda cube, other: hstcube.write_table(other, "never.csv"),
    "band": lambda cube, other: hstcube.band(other),
}
# these take None for a word of their own
ALSO: dict[str, Callable[[xr.Dataset, Any], Any]] = {
    "measure_sky": lambda cube, other: hstcube.measure_sky(cube, background=other),
    "noise_check": lambda cube, other: hstcube.noise_check(cube, background=other),
    "calibrate_noise": lambda cube, other: hstcube.calibrate_noise(cube, background=other),
    "psf_match": lambda cube, other: hstcube.psf_match(cube, to=other),
    "psf_quality": lambda cube, other: hstcube.psf_quality(cube.psf, to=other),
    "homogenize": lambda cube, other: hstcube.homogenize(cube, labels=other),
}


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("wanted", [*WANTED, *ALSO])
def test_another_kind_of_thing_is_refused_by_name(
    cube: xr.Dataset, wanted: str, other: str
) -> None:
    if wanted in ALSO and other == "None":
        return
    with pytest.raises(HstCubeError):
        {**WANTED, **ALSO}[wanted](cube, OTHERS[other](cube))


def test_noise_that_is_none_is_refused_by_name(cube: xr.Dataset) -> None:
    for other in (cube, cube.sci, cube.sci.values):
        with pytest.raises(NoiseError, match=r"HC-N03 noise is .*, without noise_scale"):
            hstcube.with_noise(cube, other)


def test_words_say_what_to_give_instead(cube: xr.Dataset) -> None:
    def told(function: Callable[..., Any], *given: Any, **more: Any) -> str:
        with pytest.raises(HstCubeError) as caught:
            function(*given, **more)
        return str(caught.value)

    assert "hstcube.Grid.of(cube)" in told(hstcube.regrid, cube, cube)
    assert "labels=dataset.labels" in told(hstcube.object_mask, cube[["labels"]], 101)
    assert "hstcube.common_mask(cube)" in told(hstcube.photometry, cube, cube.mask)
    assert "give cube.psf" in told(hstcube.matching_kernels, cube, to="f160w")
    assert "xarray.DataArray(labels, " in told(hstcube.object_mask, cube.labels.values, 101)


def test_the_fix_for_plain_labels_works(cube: xr.Dataset) -> None:
    labels = xr.DataArray(cube.labels.values, hstcube.Grid.of(cube).coords(), ("y", "x"))
    assert hstcube.object_mask(labels, 101).equals(hstcube.object_mask(cube.labels, 101))


@pytest.mark.parametrize("function", ["grow", "regrid_mask"])
def test_a_mask_is_never_true_where_it_says_neither(cube: xr.Dataset, function: str) -> None:
    """A map's -1 and NaN are True to numpy: masks then spread over all that no map covers."""
    more = (hstcube.Grid.of(cube).coarsen(2),) if function == "regrid_mask" else ()
    call = getattr(hstcube, function)
    mask = cube.labels == 101
    right = call(mask, *more)
    assert call(mask.where(cube.labels != -1), *more).equals(right)  # NaN beyond the map
    assert call(mask.astype(int), *more).equals(right)
    assert call(mask.astype(float), *more).equals(right)
    with pytest.raises(LabelError, match=r"HC-S30 mask is an? .*int32"):
        call(cube.labels, *more)


@pytest.mark.slow
def test_homogenize_takes_labels_of_numpy_and_photutils_on_the_pixels_of_the_cube(
    cube: xr.Dataset,
) -> None:
    from photutils.segmentation import SegmentationImage

    few = cube.sel(band=["f606w", "f160w"])
    labels = cube.labels.clip(0)
    right = hstcube.homogenize(few, labels=labels, ids=[101])
    for given in (labels.values, SegmentationImage(labels.values), labels.values.tolist()):
        made = hstcube.homogenize(few, labels=given, ids=[101])
        assert made.mask.equals(right.mask)
        assert made.sci.equals(right.sci)
    masked = np.ma.masked_array(cube.labels.values, cube.labels.values == -1)
    assert hstcube.homogenize(few, labels=masked, ids=[101]).sci.equals(
        hstcube.homogenize(few, labels=cube.labels, ids=[101]).sci
    )
    with pytest.raises(HstCubeError, match="HC-D01"):
        hstcube.homogenize(few, labels=labels.values[:50], ids=[101])


def test_a_band_is_found_by_its_digits_as_a_number() -> None:
    number: Any = 160
    assert hstcube.band(number).name == "f160w"


def test_the_fix_for_a_mask_with_gaps_leaves_them_out(cube: xr.Dataset) -> None:
    """Converted to bool, NaN is True."""
    lost = cube.assign(mask=cube.mask.where(cube.labels == 101))
    with pytest.raises(CubeError, match=r"HC-C03(.|\n)*cube.assign\(mask=cube.mask == 1\)"):
        hstcube.validate(lost)
    mended = hstcube.validate(lost.assign(mask=lost.mask == 1))
    assert mended.mask.equals(hstcube.mask(cube, cube.labels == 101).mask)
