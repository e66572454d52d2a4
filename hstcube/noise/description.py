"""A cube's description of its noise: measured, from the table of a survey, or white."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from hstcube import shipped
from hstcube.core.grids import Grid
from hstcube.core.offsets import pixel_acf, with_noise_coords
from hstcube.core.rules import taken
from hstcube.core.state import attribute, in_band_order, record
from hstcube.errors import NoiseError
from hstcube.inputs.arrays import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["WHITE", "joined_noise", "survey_noise", "with_noise"]

WHITE = "white"

_SAME_SCALE = 0.01  # of a pixel scale: a header's need not have all digits


def with_noise(cube: xr.Dataset, noise: xr.Dataset | str | None = None) -> xr.Dataset:
    """Describe the noise of a cube: `psf_match` carries it along and `group_errors` uses it.

    Parameters
    ----------
    cube : Dataset
        As observed: before `psf_match`.
    noise : Dataset or str, optional
        What `calibrate_noise` measured, the name of a survey in the package's table, or
        ``"white"``. When not given: the survey that the attribute ``survey`` of the cube names,
        else white noise.

    Returns
    -------
    Dataset
        The same cube, with ``noise_scale`` and ``noise_acf``.

    Raises
    ------
    NoiseError
        If the cube was matched already, the table has no such survey or pixel scale, or `noise`
        describes none.
    BandError
        If `noise` lacks a band.

    Examples
    --------
    >>> import hstcube
    >>> cube = hstcube.with_noise(hstcube.example())  # as its survey has it
    >>> cube.noise_scale.sel(band=["f606w", "f160w"]).round(2).values.tolist()
    [1.03, 0.49]
    """
    cube = taken(cube)
    _refuse_matched(cube)
    if noise is None:
        noise = attribute(cube, "survey") or WHITE
    what = noise if isinstance(noise, str) else "measured"
    if isinstance(noise, str):
        noise = _white(cube) if noise == WHITE else survey_noise(noise, Grid.of(cube))
    if not isinstance(noise, xr.Dataset) or not {"noise_scale", "noise_acf"} <= {*noise.variables}:
        raise NoiseError(
            "HC-N03",
            f"noise is {shown(noise)}, without noise_scale and noise_acf",
            "[[measure it: hstcube noise|give what calibrate_noise measured]]",
        )
    scale = in_band_order(cube, noise.noise_scale).values
    acf = in_band_order(cube, noise.noise_acf).transpose("band", "dy", "dx").values
    dy, dx = (
        float(np.diff(noise[lag].values[:2]).sum()) or step
        for lag, step in zip(("dy", "dx"), Grid.of(cube).steps, strict=True)
    )
    described = with_noise_coords(cube, scale, acf, (dy, dx))
    pixel_acf(described)  # refuses lags that are not those of the pixels
    return record(described, f"with_noise({what})")


def joined_noise(noises: Sequence[xr.Dataset]) -> xr.Dataset:
    """Return the noise of several bands, each measured apart, at the lags of the longest."""
    lags = {dim: max((noise[dim] for noise in noises), key=len) for dim in ("dy", "dx")}
    whole = [
        noise.pad(
            {dim: ((len(lags[dim]) - noise.sizes[dim]) // 2,) * 2 for dim in lags},
            constant_values=0,
        ).assign_coords(lags)
        for noise in (one[["noise_scale", "noise_acf"]] for one in noises)
        if noise.sizes["band"]
    ]
    return xr.concat(whole, "band", data_vars="minimal", coords="minimal", compat="override")


def _refuse_matched(cube: xr.Dataset) -> None:
    matched = cube.matched_to.values != ""
    if matched.any():
        raise NoiseError(
            "HC-N07",
            f"the images were matched to {cube.matched_to.values[matched][0]}",
            "describe their noise before [[the images are matched|"
            "psf_match, which carries it along]]",
            band=str(cube.band.values[matched][0]),
        )


def _white(cube: xr.Dataset) -> xr.Dataset:
    number = cube.sizes["band"]
    return with_noise_coords(cube, np.ones(number), np.ones((number, 1, 1)), (0.0, 0.0))


def survey_noise(survey: str, grid: Grid) -> xr.Dataset:
    """Return the noise of a survey at the pixel scale of a grid, from the package's table."""
    table = shipped.table("hstcube.surveys", "noise.csv")
    known = dict.fromkeys((row["survey"], row["scale"]) for row in table)
    scales = tuple(scale for name, scale in known if name == survey and _is_of(scale, grid))
    if not scales:
        tables = sorted(f"{name} at {scale} arcsec" for name, scale in known)
        raise NoiseError(
            "HC-N09",
            f"no table has the noise of {survey!r} at {grid.scale:.3g} arcsec per pixel, only "
            f"{', '.join(tables)}",
            "measure it: [[hstcube noise FOLDER --measure|"
            "with_noise(cube, calibrate_noise(cube, background=labels == 0))]]",
        )
    # a copy: what is remembered is for the next field, whatever becomes of this one
    return _of_table(survey, scales).copy(deep=True)


@cache
def _of_table(survey: str, scales: tuple[str, ...]) -> xr.Dataset:
    table = shipped.table("hstcube.surveys", "noise.csv")
    rows = [row for row in table if row["survey"] == survey and row["scale"] in scales]
    step = float(rows[0]["scale"])
    names = list(dict.fromkeys(row["band"] for row in rows))
    reach = max(abs(int(row[lag])) for row in rows for lag in ("dy", "dx"))
    scale, acf = np.zeros(len(names)), np.zeros((len(names), 2 * reach + 1, 2 * reach + 1))
    for row in rows:
        i, dy, dx = names.index(row["band"]), int(row["dy"]), int(row["dx"])
        scale[i] = float(row["noise_scale"])
        acf[i, reach + dy, reach + dx] = acf[i, reach - dy, reach - dx] = float(row["rho"])
    return with_noise_coords(_bands_alone(names), scale, acf, (step, step))


def _is_of(scale: str, grid: Grid) -> bool:
    return abs(float(scale) / grid.scale - 1) < _SAME_SCALE


def _bands_alone(names: Iterable[str]) -> xr.Dataset:
    return xr.Dataset(coords={"band": np.array(list(names), object)})
