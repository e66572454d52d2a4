"""Every public function with good arguments, on one small field: for tests that walk them all."""

from __future__ import annotations

import itertools
import warnings
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.table import Table
from stamps import label_map, write_field

import hstcube
from hstcube.core.grids import Grid

if TYPE_CHECKING:
    from pathlib import Path

    import xarray as xr


class World:
    """One field, and what is made of it."""

    def __init__(self, folder: Path) -> None:
        warnings.simplefilter("ignore")
        self.folder = write_field(folder / "stamps", shape=(64, 68))
        self.out = (folder / f"out_{number}" for number in itertools.count())

    @cached_property
    def cube(self) -> xr.Dataset:
        return hstcube.open_field(self.folder, "1", psf="xdf")

    @cached_property
    def labels(self) -> xr.DataArray:
        return hstcube.open_labels(label_map(self.folder))

    @cached_property
    def seen(self) -> xr.DataArray:
        return hstcube.regrid_labels(self.labels, self.grid)

    @cached_property
    def grid(self) -> Grid:
        return Grid.of(self.cube)

    @cached_property
    def groups(self) -> xr.DataArray:
        return self.seen.clip(0).astype("int32") * (self.seen > 0)

    @cached_property
    def centre(self) -> tuple[float, float]:
        ny, nx = self.grid.shape
        sky = self.grid.wcs.pixel_to_world((nx - 1) / 2, (ny - 1) / 2)
        return float(sky.ra.deg), float(sky.dec.deg)

    @cached_property
    def stars(self) -> dict[str, xr.Dataset]:
        return {"a": self.cube, "b": self.cube}

    @cached_property
    def matched(self) -> xr.Dataset:
        level = np.zeros(self.cube.sizes["band"])
        return hstcube.psf_match(hstcube.subtract_sky(self.cube, level))

    @cached_property
    def line(self) -> xr.Dataset:
        """The map of a line on pixels three times as large: a round source in the middle."""
        grid = self.grid.coarsen(3)
        y, x = np.indices(grid.shape)
        light = np.exp(-((y - grid.shape[0] / 2) ** 2 + (x - grid.shape[1] / 2) ** 2) / 30)
        return hstcube.build(
            light[None], np.full((1, *grid.shape), 1e4), bands=["line"], grid=grid,
            units="1e-20 erg s-1 cm-2", pivot=[6000.0],
        )  # fmt: skip

    @cached_property
    def fit(self) -> xr.Dataset:
        return hstcube.fit_line(self.matched, self.line, psf="0.65arcsec", shift=(0.0, 0.0))

    def calls(self, cube: xr.Dataset) -> dict[str, tuple[tuple[Any, ...], dict[str, Any]]]:
        """Return positional and named arguments of every public function that takes a cube."""
        blank = (self.seen <= 0).values
        keep = self.seen > 0
        level = np.zeros(cube.sizes.get("band", 1))
        ids = np.unique(self.groups.values)[1:]
        fit = Table({"id": ids, "mass": np.ones(ids.size)})
        return {
            "add_poisson": ((cube,), {"exposure": 1200.0}),
            "annuli": ((cube, self.centre), {"edges": [0.0, 0.2, 0.4]}),
            "apertures": ((cube, [self.centre]), {"radius": 0.3}),
            "bin_pixels": ((cube,), {"snr": 20.0, "bands": ["f160w"]}),
            "calibrate_noise": ((cube,), {"background": blank}),
            "check_alignment": ((cube,), {}),
            "colour": ((cube, "f435w", "f160w"), {}),
            "common_mask": ((cube,), {}),
            "curve_of_growth": ((cube, self.centre), {"radii": [0.1, 0.3]}),
            "cutout": ((cube, self.centre, 1.2), {}),
            "deredden": ((cube, 0.02), {}),
            "describe": ((cube,), {}),
            "detect": ((cube,), {}),
            "find_stars": ((cube,), {}),
            "group_errors": ((cube, self.groups), {}),
            "homogenize": ((cube,), {"labels": self.labels}),
            "mask": ((cube, keep), {}),
            "measure_sky": ((cube,), {"background": blank}),
            "noise_check": ((cube,), {"background": blank, "sizes": (1, 2)}),
            "paint": ((cube, self.groups, np.ones(ids.size)), {}),
            "paint_fit": ((cube, self.groups, fit, "mass"), {}),
            "photometry": ((cube, self.groups), {}),
            "psf_match": ((cube,), {}),
            "psf_quality": ((cube,), {}),
            "radial_profile": ((cube, self.centre), {"edges": [0.0, 0.2, 0.4]}),
            "rebin": ((cube, 2), {}),
            "regrid": ((cube, self.grid.coarsen(2)), {}),
            "replace_neighbours": ((cube, self.seen), {"fill": "noise", "seed": 1}),
            "require_same_grid": ((cube, self.cube.sci), {}),
            "save_cube": ((cube, next(self.out) / "cube.nc"), {}),
            "sed_at": ((cube, 30.0, 20.0), {}),
            "stack_bands": (([cube.isel(band=[0]), cube.isel(band=[1, 2])],), {}),
            "star_stamps": ((cube, [(32.0, 34.0)]), {"size": 1.0}),
            "subtract_sky": ((cube, level), {}),
            "to_fits": ((cube, next(self.out)), {}),
            "to_flux": ((cube, "uJy"), {}),
            "to_magnitudes": ((cube,), {}),
            "to_nddata": ((cube.isel(band=[0]),), {}),
            "to_sed": ((cube, "eazy", next(self.out)), {"groups": self.groups}),
            "validate": ((cube,), {}),
            "variance": ((cube,), {}),
            "write_report": ((cube, next(self.out) / "1.html"), {}),
            "with_noise": ((cube,), {}),
        }

    def others(self) -> dict[str, tuple[tuple[Any, ...], dict[str, Any]]]:
        """Return the arguments of public functions that take something else, and have choices."""
        star = self.cube.sci.isel(band=2).values
        pair = (
            self.folder / "new_stamps" / f"1_60mas_f160w_{kind}.fits" for kind in ("sci", "wht")
        )
        return {
            "apply_shifts": ((self.cube, hstcube.check_alignment(self.cube)), {}),
            "fit_width": ((star[10:31, 12:33],), {}),
            "fit_line": ((self.matched, self.line), {"psf": "0.65arcsec"}),
            "grow": ((hstcube.object_mask(self.labels),), {}),
            "line_model": ((self.matched, self.fit), {}),
            "matching_kernels": ((self.cube.psf,), {}),
            "open_cube": ((hstcube.save_cube(self.cube, next(self.out).with_suffix(".nc")),), {}),
            "open_bands": (({"f160w": tuple(pair)},), {"field": "1"}),
            "open_field": ((self.folder, "1"), {}),
            "read_fit": (("eazy", self.folder / "nothing.fits"), {}),
            "register_map": (
                (self.matched.sel(band=["f160w"]), self.line),
                {"psf": "0.65arcsec"},
            ),
            "regrid_mask": ((hstcube.object_mask(self.labels), self.grid), {}),
        }
