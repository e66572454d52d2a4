"""Cubes of one grid joined to one cube, band by band."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from hstcube.core.offsets import without_psf
from hstcube.core.rules import (
    COVERAGE,
    DIMS,
    REPLACED,
    require_dataset,
    require_distinct_bands,
    require_same_grid,
    taken,
    validate,
)
from hstcube.core.state import REQUIRED, STATE, attribute, record
from hstcube.errors import CubeError, NoiseError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["stack_bands"]

_PSF_AXES = ("ky", "kx")
_PSF_QUALITY = ("psf_ee_error", "psf_negative", "psf_energy", "psf_energy_error")
_NOISE = ("noise_scale", "noise_acf")
# of cubes that do not tell
_FILLED = {"extinction": 0.0, "electrons": np.nan, "photons": ""}
_FILLED |= {"psf_error": np.nan, "psf_stars": np.nan}
_FILLED |= {name: STATE[name][0] for name in STATE if name not in REQUIRED}


def stack_bands(cubes: Sequence[xr.Dataset]) -> xr.Dataset:
    """Join cubes of one grid along `band`.

    Parameters
    ----------
    cubes : sequence of Dataset
        On the same grid, in the same units, each band in one of them only.

    Returns
    -------
    Dataset
        Its attribute ``survey`` is that of all cubes, empty where they differ. Where their
        ``poisson`` differs all are listed, ``none`` for cubes without: `add_poisson` then refuses
        the whole, so add the term before stacking.

    Raises
    ------
    GridError
        If the grids differ.
    BandError
        If a band is in two of them.
    CubeError
        If units differ.

    Examples
    --------
    >>> import hstcube
    >>> cube = hstcube.example()
    >>> parts = [cube.sel(band=[name]) for name in ("f160w", "f606w")]
    >>> hstcube.stack_bands(parts).band.values.tolist()
    ['f606w', 'f160w']
    """
    if not isinstance(cubes, list | tuple):
        require_dataset(cubes)
        cubes = [cubes]  # type: ignore[list-item]
    if not cubes:
        raise CubeError("HC-C01", "there is no cube to stack", "give a list of cubes")
    cubes = [taken(cube) for cube in cubes]
    first = cubes[0]
    for other in cubes:
        require_same_grid(first, other)
        if other.sci.attrs["units"] != first.sci.attrs["units"]:
            raise CubeError(
                "HC-D21",
                f"units differ: {first.sci.attrs['units']} and {other.sci.attrs['units']}",
                "convert them to one unit first[[|: to_flux(cube, 'uJy')]]",
            )
    place = first.coords["wcs"]  # the same, in whatever cards the others say it
    cubes = [first, *(other.assign_coords(wcs=place) for other in cubes[1:])]
    joined = xr.concat(
        _with_planes_alike(_with_columns_alike(_with_psf_alike(_with_noise_alike(cubes)))),
        "band",
        data_vars="minimal",
        coords="minimal",
        compat="equals",
        join="exact",
        combine_attrs="override",
    ).assign_attrs(_joined_attributes(cubes))
    require_distinct_bands(joined)
    order = np.argsort(joined.pivot.values, kind="stable")
    return validate(record(joined.isel(band=order), "stack_bands"))


def _with_columns_alike(cubes: list[xr.Dataset]) -> list[xr.Dataset]:
    """Give all cubes the same coordinates along the bands.

    What no `deredden` saw has extinction 0; times and cameras that were not told are not known.

    Raises
    ------
    CubeError
        If a coordinate of the bands that this package does not know is in some of the cubes only.
    """
    names = {name for cube in cubes for name in cube.coords if "band" in cube[name].dims}
    partly = {name for name in names if not all(name in cube.coords for cube in cubes)}
    if foreign := sorted(map(str, partly - _FILLED.keys())):
        raise CubeError(
            "HC-C07",
            f"the coordinate {foreign[0]!r} is in some of the cubes only",
            f"drop it first[[|: cube.drop_vars({foreign[0]!r})]]",
        )
    for name in map(str, partly):
        attrs = next(cube[name].attrs for cube in cubes if name in cube.coords)
        cubes = [
            cube
            if name in cube.coords
            else cube.assign_coords({name: ("band", _filled(name, cube.sizes["band"]), attrs)})
            for cube in cubes
        ]
    return cubes


def _with_planes_alike(cubes: list[xr.Dataset]) -> list[xr.Dataset]:
    """Give all cubes the images that some have beside sci, wht and mask.

    In the others nothing was replaced, and pixels that have data have missed nothing.
    """
    for name in (REPLACED, COVERAGE):
        told = [cube.variables[name].attrs for cube in cubes if name in cube.variables]
        if told:
            cubes = [
                cube
                if name in cube.variables
                else cube.assign({name: (DIMS, _plane_of_none(name, cube), told[0])})
                for cube in cubes
            ]
    return cubes


def _plane_of_none(name: str, cube: xr.Dataset) -> Any:
    if name == REPLACED:
        return np.zeros(cube.sci.shape, bool)
    return (cube.wht.data > 0).astype(np.float32)


def _filled(name: str, number: int) -> NDArray[Any]:
    value = _FILLED[name]
    return np.full(number, value, object if isinstance(value, str) else np.float64)


def _joined_attributes(cubes: Sequence[xr.Dataset]) -> dict[str, str]:
    surveys = {attribute(cube, "survey") for cube in cubes}
    poisson = dict.fromkeys(attribute(cube, "poisson") for cube in cubes)
    return {
        "survey": surveys.pop() if len(surveys) == 1 else "",
        "poisson": "; ".join(text or "none" for text in poisson) if any(poisson) else "",
        "history": _joined_history([attribute(cube, "history").splitlines() for cube in cubes]),
        "warnings": _joined_warnings([attribute(cube, "warnings") for cube in cubes]),
    }


def _joined_warnings(texts: list[str]) -> str:
    """Return all lines, equal ones once."""
    return "\n".join(dict.fromkeys(line for text in texts for line in text.splitlines()))


def _joined_history(histories: list[list[str]]) -> str:
    """Return what all histories begin with, then what each adds; equal additions once."""
    common: list[str] = []
    for lines in zip(*histories, strict=False):
        if len(set(lines)) > 1:
            break
        common.append(lines[0])
    added = dict.fromkeys(tuple(history[len(common) :]) for history in histories)
    return "\n".join([*common, *(line for lines in added for line in lines)])


def _with_psf_alike(cubes: list[xr.Dataset]) -> list[xr.Dataset]:
    """Give all cubes PSFs on one frame, the largest.

    None of them has any where one has none, or one is on other pixels.
    """
    cubes = _with_quality_alike(cubes)
    told = [cube for cube in cubes if "psf" in cube.coords]
    if not told:
        return cubes
    largest = max(told, key=lambda cube: cube.sizes["ky"])
    if len(told) < len(cubes) or not all(_on_pixels_of(largest, cube) for cube in told):
        return [without_psf(cube) for cube in cubes]
    return [_in_frame_of(largest, cube) for cube in cubes]


def _with_quality_alike(cubes: list[xr.Dataset]) -> list[xr.Dataset]:
    partly = [name for name in _PSF_QUALITY if not all(name in cube.coords for cube in cubes)]
    return [cube.drop_vars(partly, errors="ignore") for cube in cubes]


def _on_pixels_of(largest: xr.Dataset, cube: xr.Dataset) -> bool:
    """Say whether the pixels of a cube's PSFs are those in the middle of the largest ones."""
    return all(
        np.allclose(
            _middle(largest[axis].values, cube.sizes[axis]), cube[axis].values, rtol=1e-6, atol=1e-9
        )
        for axis in _PSF_AXES
    )


def _in_frame_of(largest: xr.Dataset, cube: xr.Dataset) -> xr.Dataset:
    """Return the cube with its PSFs in the frame of the largest ones, zeros around them."""
    psf = cube.psf.variable
    axes = {axis: largest[axis].variable for axis in _PSF_AXES}
    width = {axis: (offsets.size - psf.sizes[axis]) // 2 for axis, offsets in axes.items()}
    if any(width.values()):
        psf = psf.pad({axis: (n, n) for axis, n in width.items()}, constant_values=0)
    return cube.drop_vars(["psf", *axes]).assign_coords({**axes, "psf": psf})


def _middle(offsets: NDArray[Any], size: int) -> NDArray[Any]:
    start = (offsets.size - size) // 2
    return offsets[start : start + size]


def _with_noise_alike(cubes: Sequence[xr.Dataset]) -> list[xr.Dataset]:
    """Give all cubes the coordinates of the noise, at the same lags, if one of them has them.

    The noise of the others is white.
    """
    attrs = {name: cube[name].attrs for cube in cubes for name in _NOISE if name in cube.coords}
    if not attrs:
        return list(cubes)
    lags: dict[Any, Any] = {dim: _longest_lags(cubes, dim) for dim in ("dy", "dx")}
    return [_with_noise_at(cube, lags, attrs) for cube in cubes]


def _longest_lags(cubes: Sequence[xr.Dataset], dim: str) -> xr.Variable:
    told = [cube[dim].variable for cube in cubes if "noise_acf" in cube.coords]
    longest = max(told, key=lambda lags: lags.size, default=xr.Variable(dim, np.zeros(1)))
    for lags in told:
        if not np.allclose(_middle(longest.values, lags.size), lags.values, rtol=1e-6, atol=0):
            raise NoiseError(
                "HC-N04",
                f"the lags {dim} of noise_acf differ between the cubes",
                "measure the noise of all of them on images of one scale, or drop it",
            )
    return longest


def _with_noise_at(
    cube: xr.Dataset, lags: dict[Any, Any], attrs: dict[str, dict[str, Any]]
) -> xr.Dataset:
    number = cube.sizes["band"]
    acf = np.zeros((number, lags["dy"].size, lags["dx"].size), np.float32)
    given = np.ones((number, 1, 1), np.float32)
    if "noise_acf" in cube.coords:
        given = cube.noise_acf.transpose("band", "dy", "dx").values
    top, left = ((n - m) // 2 for n, m in zip(acf.shape[1:], given.shape[1:], strict=True))
    acf[:, top : top + given.shape[1], left : left + given.shape[2]] = given
    scale = cube.noise_scale.values if "noise_scale" in cube.coords else np.ones(number)
    return cube.drop_vars([*_NOISE, "dy", "dx"], errors="ignore").assign_coords(
        noise_scale=("band", scale, attrs.get("noise_scale")),
        noise_acf=(("band", "dy", "dx"), acf, attrs.get("noise_acf")),
        **lags,
    )
