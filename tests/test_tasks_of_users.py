"""What people type at a cube: it works, or the answer says what to type instead."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from everything import World

import hstcube
from hstcube.errors import HstCubeError

if TYPE_CHECKING:
    from collections.abc import Callable

    import xarray as xr

pytestmark = pytest.mark.filterwarnings("ignore::hstcube.HstCubeWarning")


class Desk(World):
    """A field as its user has it: a cube, groups, places, a folder."""

    @property
    def sky(self) -> SkyCoord:
        return SkyCoord(*self.centre, unit="deg")

    @property
    def lazy(self) -> xr.Dataset:
        return self.cube.chunk({"y": 50})

    def saved(self, name: str) -> Any:
        return next(self.out).with_name(f"{name}_{next(self.out).name}.nc")


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk(tmp_path_factory.mktemp("desk"))


def written_and_read(desk: Desk) -> xr.Dataset:
    path = desk.saved("x")
    desk.cube.to_netcdf(path)
    return hstcube.open_cube(path)


def saved_twice(desk: Desk) -> Any:
    path = desk.saved("y")
    hstcube.save_cube(desk.cube, path)
    return hstcube.save_cube(desk.cube, path, overwrite=True)


WORKS: dict[str, Callable[[Desk], Any]] = {
    "one band": lambda desk: desk.cube.sel(band="f160w").sci,
    "a grid that can be read": lambda desk: repr(hstcube.Grid.of(desk.cube)),
    "the place of a pixel": lambda desk: desk.grid.wcs.pixel_to_world(50, 50),
    "the spectrum of a pixel": lambda desk: desk.cube.sel(y=50, x=50),
    "its fluxes": lambda desk: hstcube.to_flux(desk.cube, "uJy").sci.isel(x=50, y=50).values,
    "nJy": lambda desk: hstcube.to_flux(desk.cube, "nJy"),
    "MJy/sr": lambda desk: hstcube.to_flux(desk.cube, "MJy/sr"),
    "the grid of a slice": lambda desk: hstcube.Grid.of(
        desk.cube.isel(x=slice(20, 60), y=slice(30, 60))
    ),
    "every second pixel": lambda desk: hstcube.Grid.of(desk.cube.isel(x=slice(None, None, 2))),
    "a cutout": lambda desk: hstcube.cutout(desk.cube, desk.centre, 1.0),
    "a cutout of a Quantity": lambda desk: hstcube.cutout(desk.cube, desk.sky, 1000 * u.mas),
    "a table of pixels": lambda desk: desk.cube[["sci", "wht"]].to_dataframe(),
    "fluxes in pandas": lambda desk: hstcube.photometry(desk.cube, desk.groups).to_pandas(),
    "netCDF of xarray": written_and_read,
    "a cube saved again": saved_twice,
    "pickle": lambda desk: pickle.loads(pickle.dumps(desk.cube)),
    "a deep copy": lambda desk: desk.cube.copy(deep=True),
    "bands put together": lambda desk: hstcube.stack_bands(
        [desk.cube.isel(band=[0]), desk.cube.isel(band=[2])]
    ),
    "chunks": lambda desk: hstcube.open_field(desk.folder, "1", chunks={"y": 50, "x": 50}),
    "a lazy match": lambda desk: hstcube.psf_match(desk.lazy, to="f160w"),
    "apertures by SkyCoord": lambda desk: hstcube.apertures(desk.cube, desk.sky, radius=0.3),
    "apertures by Quantities": lambda desk: hstcube.apertures(
        desk.cube, (desk.sky.ra, desk.sky.dec), radius=0.3 * u.arcsec
    ),
    "apertures of a table": lambda desk: hstcube.apertures(
        desk.cube, hstcube.photometry(desk.cube, desk.groups), radius=0.1, overlap="nearest"
    ),
    "an aperture of a row": lambda desk: hstcube.apertures(
        desk.cube, hstcube.photometry(desk.cube, desk.groups)[0], radius=0.3
    ),
    "radii in pixels": lambda desk: hstcube.apertures(desk.cube, desk.sky, radius=6 * u.pix),
    "radii in mas": lambda desk: hstcube.apertures(desk.cube, desk.sky, radius=360 * u.mas),
    "overlapping apertures": lambda desk: hstcube.apertures(
        desk.cube, [desk.centre, desk.centre], radius=[0.3, 0.4], overlap="nearest"
    ),
    "a width in its unit": lambda desk: hstcube.psf_match(desk.cube, to=0.3 * u.arcsec),
    "to as the second argument": lambda desk: hstcube.psf_match(desk.cube, "f160w"),
    "to in capitals": lambda desk: hstcube.psf_match(desk.cube, to="F160W"),
    "bands in capitals": lambda desk: hstcube.bin_pixels(desk.cube, snr=20, bands=["F160W"]),
    "a mask of numpy": lambda desk: hstcube.mask(desk.cube, desk.cube.sci.isel(band=0).values > 0),
    "the mean of the bands": lambda desk: desk.cube.mean("band"),
    "the sum in the mask": lambda desk: desk.cube.where(desk.cube.mask).sci.sum(("y", "x")),
    "twice the images": lambda desk: desk.cube.sci * 2,
    "one band that is a cube": lambda desk: hstcube.photometry(
        desk.cube.sel(band=["f160w"]), desk.groups
    ),
    "a radius around places": lambda desk: hstcube.photometry(
        desk.cube, desk.sky, radius=0.3 * u.arcsec
    ),
    "an aperture of photutils": lambda desk: hstcube.photometry(desk.cube, circle(desk)),
    "a colour": lambda desk: hstcube.colour(desk.cube, "F435W", "f160w"),
    "the spectrum at a pixel": lambda desk: hstcube.sed_at(desk.cube, 50, 50),
    "the spectrum at a place": lambda desk: hstcube.sed_at(desk.cube, desk.sky),
    "a band as NDData": lambda desk: hstcube.to_nddata(desk.cube.sel(band="f160w")),
    "all of the cube on a screen": lambda desk: hstcube.describe(desk.cube),
    "a profile": lambda desk: hstcube.radial_profile(desk.cube, desk.sky, edges=[0, 0.2, 0.4]),
    "growth": lambda desk: hstcube.plot.growth(
        hstcube.curve_of_growth(desk.cube, desk.sky, radii=[0.2, 0.4] * u.arcsec)
    ),
    "FITS": lambda desk: hstcube.to_fits(desk.cube, next(desk.out), overwrite=True),
    "the spectrum of a bin": lambda desk: hstcube.plot.sed(
        hstcube.photometry(desk.cube, hstcube.bin_pixels(desk.cube, snr=20)), 1
    ),
    "the flux of a mask": lambda desk: hstcube.photometry(
        desk.cube, desk.cube.mask.sel(band="f160w")
    ),
    "the error of a mask": lambda desk: hstcube.group_errors(
        desk.cube, desk.cube.mask.sel(band="f160w").values
    ),
}

# what is typed, and words of the answer
ANSWERED: dict[str, tuple[Callable[[Desk], Any], tuple[str, ...]]] = {
    "magnitudes": (
        lambda desk: hstcube.to_flux(desk.cube, "ABmag"), ("-2.5 log10(flux)", "ABmag", "uJy")
    ),
    "pixels as places": (
        lambda desk: hstcube.apertures(desk.cube, [(45, 50)], radius=0.3),
        ("hstcube.Grid.of(cube).wcs.pixel_to_world(x, y)",),
    ),
    "a cutout around a pixel": (
        lambda desk: hstcube.cutout(desk.cube, (45, 50), 1.0),
        ("hstcube.Grid.of(cube).wcs.pixel_to_world(x, y)",),
    ),
    "pixels beyond the pole": (
        lambda desk: hstcube.apertures(desk.cube, [(45, 150)], radius=0.3),
        ("hstcube.Grid.of(cube).wcs.pixel_to_world(x, y)",),
    ),
    "overlapping apertures": (
        lambda desk: hstcube.apertures(desk.cube, [desk.centre, desk.centre], radius=0.36),
        ("overlap='nearest'",),
    ),
    "a width without a unit": (
        lambda desk: hstcube.psf_match(desk.cube, to=0.3), ('to="0.3arcsec"',)
    ),
    "one band": (
        lambda desk: hstcube.photometry(desk.cube.sel(band="f160w"), desk.groups),
        ("sel(band=['f160w'])",),
    ),
    "one band by number": (
        lambda desk: hstcube.psf_match(desk.cube.isel(band=0)), ("sel(band=['f435w'])",)
    ),
    "photometry at a place": (
        lambda desk: hstcube.photometry(desk.cube, desk.sky),
        ("hstcube.apertures(cube, sky, radius=0.3)",),
    ),
    "a map of a region": (
        lambda desk: hstcube.paint(desk.cube, circle(desk), [1.0]),
        ("region.to_pixel(hstcube.Grid.of(cube).wcs).to_mask().to_image(",),
    ),
    "groups of real numbers": (
        lambda desk: hstcube.photometry(desk.cube, desk.groups * 1.0), ("groups.astype('int32')",)
    ),
    "no such function": (lambda desk: hstcube.photmetry, ("photometry",)),  # noqa: ARG005
    "no such picture": (lambda desk: hstcube.plot.profiles, ("growth", "sed")),  # noqa: ARG005
}  # fmt: skip


def circle(desk: Desk) -> Any:
    from photutils.aperture import SkyCircularAperture

    return SkyCircularAperture(desk.sky, r=0.3 * u.arcsec)


@pytest.mark.slow
@pytest.mark.parametrize("task", WORKS)
def test_what_is_typed_works(desk: Desk, task: str) -> None:
    assert WORKS[task](desk) is not None


@pytest.mark.parametrize("task", ANSWERED)
def test_what_does_not_work_says_what_to_type(desk: Desk, task: str) -> None:
    typed, words = ANSWERED[task]
    with pytest.raises((HstCubeError, AttributeError)) as caught:
        typed(desk)
    for word in words:
        assert word in str(caught.value)


def test_what_the_answers_say_can_be_typed(desk: Desk) -> None:
    cube, region = desk.cube, circle(desk)
    shape = cube.sizes["y"], cube.sizes["x"]
    chosen = region.to_pixel(hstcube.Grid.of(cube).wcs).to_mask().to_image(shape) > 0.5
    assert len(hstcube.photometry(cube, chosen)) == 1
    place = hstcube.Grid.of(cube).wcs.pixel_to_world(30, 32)
    assert hstcube.apertures(cube, place, radius=0.3).values[32, 30] == 1
    column = hstcube.photometry(hstcube.to_flux(cube, "uJy"), chosen)["flux_f160w"]
    magnitude = -2.5 * np.log10(column.value) + 23.9
    np.testing.assert_allclose(column.to(u.ABmag).value, magnitude, atol=1e-3)
