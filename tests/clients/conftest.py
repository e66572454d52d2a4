"""Tests that run the SED-fitting codes, in an environment of their own: `make test-clients`.

HSTCUBE_CLIENTS names the folder with EAZY's templates; without it nothing here is collected.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import xarray as xr
from astropy.table import QTable

import hstcube
from hstcube.demo.field import simulate
from hstcube.surveys.names import find_field

# of both telescopes, and two cameras that have a filter of one name
JWST = ("f606w", "f606w-wfpc2", "f814w-uvis", "f115w", "f115w-niriss", "f200w", "f444w", "f560w",
        "f770w")  # fmt: skip
REDSHIFT = 0.981254  # of galaxy 37: MUSE, Bacon et al. 2017, A&A 608, A1
# uJy of galaxy 37 in the pixels of its label, measured apart from this package; its grown label has
# 2 to 3 % more
FLUXES = {
    "f435w": 0.268, "f606w": 0.283, "f775w": 0.450, "f814w": 0.454, "f850lp": 0.565,
    "f105w": 0.601, "f125w": 0.623, "f140w": 0.629, "f160w": 0.582,
}  # fmt: skip


class Galaxy(NamedTuple):
    """A galaxy in a cube, its known fluxes [uJy] and redshift, NaN for the made-up one."""

    cube: xr.Dataset
    table: QTable
    fluxes: dict[str, float]
    redshift: float

    @property
    def real(self) -> bool:
        return bool(np.isfinite(self.redshift))


@pytest.fixture(scope="session")
def galaxy(tmp_path_factory) -> Galaxy:
    """Return galaxy 37 of the XDF, or the demo galaxy where HSTCUBE_XDF names no stamps."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if name := os.environ.get("HSTCUBE_XDF"):
            cube = homogeneous(Path(name), "37")
            table = hstcube.photometry(cube, whole(cube))
            return Galaxy(cube, table, FLUXES, REDSHIFT)
        folder = tmp_path_factory.mktemp("demo")
        with xr.open_dataset(simulate(folder), engine="netcdf4") as truth:
            light, margin = truth.at_f160w.values, truth.native.attrs["margin"]
        cube = homogeneous(folder, "demo")
        flux = hstcube.to_flux(cube, "uJy")
        scale = 10 ** (-0.4 * (cube.zeropoint.values - 23.9))
        inside = light[:, margin:-margin, margin:-margin]
        fluxes = {
            band: float(scale[i] * inside[i][flux.mask.values[i]].sum())
            for i, band in enumerate(cube.band.values)
        }
        return Galaxy(cube, hstcube.photometry(cube, whole(cube)), fluxes, np.nan)


def homogeneous(folder: Path, field: str) -> xr.Dataset:
    labels = hstcube.open_labels(find_field(folder, field).labels)
    return hstcube.homogenize(hstcube.open_field(folder, field), labels=labels)


def whole(cube: xr.Dataset) -> xr.DataArray:
    return hstcube.common_mask(cube).astype(np.int32)


@pytest.fixture(scope="session")
def templates() -> Path:
    """Return the list of the 12 FSPS templates that come with grizli."""
    path = Path(os.environ["HSTCUBE_CLIENTS"]).resolve() / "fsps_QSF_12_v3.param"
    assert path.is_file(), f"{path} is not there: run make test-clients"
    return path


def written(files: dict[str, bytes], folder: Path) -> Path:
    """Write the files of an export."""
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def loaded(path: Path) -> dict:
    """Run a script that an export brought, as a module, and return its names."""
    import runpy

    return runpy.run_path(str(path), run_name="export")


def mutants(table: QTable) -> dict[str, QTable]:
    """Return tables as an exporter with a fault would take them."""
    bands = [name.removeprefix("flux_") for name in table.colnames if name.startswith("flux_")]

    def changed(factors: dict[str, float], order: dict[str, str]) -> QTable:
        out = table.copy()
        for band in bands:
            for kind in ("flux", "error"):
                out[f"{kind}_{band}"] = table[f"{kind}_{order.get(band, band)}"] * factors.get(
                    band, 1.0
                )
        return out

    return {
        "nJy for uJy": changed(dict.fromkeys(bands, 1000.0), {}),
        "mJy for uJy": changed(dict.fromkeys(bands, 0.001), {}),
        "f435w and f160w swapped": changed({}, {"f435w": "f160w", "f160w": "f435w"}),
        "f606w and f125w swapped": changed({}, {"f606w": "f125w", "f125w": "f606w"}),
        **{
            f"{band} off by {off} mag": changed({band: 10 ** (-0.4 * off)}, {})
            for band in bands
            for off in (-0.75, 0.75)
        },
    }
