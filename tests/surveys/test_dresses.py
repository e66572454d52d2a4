"""One scene in the dress of every release: the same fluxes and errors, and the commands work."""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING

import numpy as np
import pytest
from releases_made import DEAD, DRESSES, observed, scene, sigma, write_release

import hstcube
from hstcube.errors import HstCubeError, HstCubeWarning

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import xarray as xr
    from commands import Said

every_dress = pytest.mark.parametrize("name", DRESSES)


def opened(folder: Path, field: str, **how: str) -> tuple[xr.Dataset, set[str]]:
    """Return a cube, and the codes of what is warned of."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", HstCubeWarning)
        cube = hstcube.open_field(folder, field, **how)
    return cube, {one.message.code for one in told if isinstance(one.message, HstCubeWarning)}


@every_dress
def test_one_scene_has_one_flux_and_its_errors_in_every_dress(name: str, tmp_path: Path) -> None:
    dress = DRESSES[name]
    write_release(tmp_path, dress)
    (files,) = hstcube.list_fields(tmp_path)
    assert files.field == dress.field
    assert files.release in (name.split()[0], "drizzlepac")
    cube, told = opened(tmp_path, files.field)
    assert told == dress.told
    assert cube.band.values.tolist() == list(dress.of_bands)
    flux = hstcube.to_flux(cube, "uJy")
    # exposure times say how errors go from pixel to pixel; how large they are the scatter of the
    # 2064 pairs of pixels 5 apart says, of each axis
    within = 0.06 if dress.weight == "exptime" else 0.01
    for band in dress.of_bands:
        mine, weights = flux.sci.sel(band=band).values, flux.wht.sel(band=band).values
        peak = scene(dress, band).max()
        there = np.isfinite(mine)
        np.testing.assert_allclose(
            mine[there], observed(dress, band)[there], rtol=0, atol=1e-5 * peak
        )
        np.testing.assert_allclose(weights[there] ** -0.5, sigma(dress)[there], rtol=within)
        assert there.sum() == there.size - (dress.weight == "ERR")
        assert there[DEAD] == (dress.weight != "ERR")


@every_dress
def test_the_commands_find_every_release(
    name: str, tmp_path: Path, call: Callable[..., Said]
) -> None:
    dress = DRESSES[name]
    folder = write_release(tmp_path / "images", dress)
    listed = call("ls", folder)
    assert listed.code == 0
    row = next(line for line in listed.out.splitlines() if dress.field in line)
    assert all(band in row for band in dress.of_bands)
    assert name.split()[0] in row or name == "wfpc2"
    refused = call("check", folder)
    assert "HC-S16" in refused.out
    assert "--no-mask" in refused.out
    to = list(dress.of_bands)[-1]
    how = ("--no-mask", "--sky", "none", "--to", to)
    checked = call("check", folder, "--json", *how)
    (report,) = json.loads(checked.out)
    assert checked.code == 0, report
    ran = call("run", folder, "-o", tmp_path / "out", *how)
    assert ran.code == 0, ran.err
    cube = hstcube.open_cube(next((tmp_path / "out").glob("*.nc")))
    flux = hstcube.to_flux(cube, "uJy").sci.sel(band=to).values
    there = np.isfinite(flux)
    np.testing.assert_allclose(
        flux[there], observed(dress, to)[there], rtol=0, atol=1e-5 * scene(dress, to).max()
    )
