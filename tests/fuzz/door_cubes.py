"""A door for edited cubes: each edit of `edits` through each public function that takes a cube."""

from __future__ import annotations

import copy
import math
import re
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import xarray as xr
from door_products import product
from doors import Door
from edits import EDITS, REFUSED
from small import NEIGHBOUR, OBJECT, small_cube, small_map, wcs_cards

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from doors import Lot

SIDE = (30, 32)
MIDDLE = (53.16 - 16 * 0.06 / 3600 / math.cos(math.radians(27.79)), -27.79 + 15 * 0.06 / 3600)
STRIDE = 7919  # a prime: the first inputs of a run are of all kinds


class Call(NamedTuple):
    """A function, and the edited cube that it gets."""

    edit: str
    function: str
    rich: bool
    cube: Any
    like: Any  # a cube whose results are right too, or REFUSED, or VALID
    before: Any
    folder: Path

    def __repr__(self) -> str:
        return f"{self.function}({'rich ' * self.rich}cube, edited: {self.edit})"


class Things:
    """Good arguments beside a cube."""

    def __init__(self) -> None:
        from hstcube import Grid, object_mask
        from hstcube.phot.table import photometry

        self.cube = small_cube(shape=SIDE)
        on_the_grid = {name: self.cube[name] for name in ("y", "x", "wcs")}
        self.labels = xr.DataArray(small_map(SIDE), on_the_grid, ("y", "x"), "labels")
        self.groups, self.keep = self.labels.values, object_mask(self.labels, OBJECT).values
        self.blank = self.labels.values == 0
        self.level = xr.DataArray([0.001, 0.002], {"band": self.cube.band}, ("band",))
        self.grid = Grid.from_header(wcs_cards(crpix=(1.4, 0.7)), shape=SIDE)
        y, x = np.indices((9, 9)) - 4
        images = [np.exp(-0.5 * (y**2 + x**2) / s**2) for s in (0.9, 1.3)]
        steps = (np.arange(9) - 4) * 0.06
        self.psf = xr.DataArray(
            np.stack([image / image.sum() for image in images]),
            {"band": self.cube.band, "ky": steps, "kx": steps}, ("band", "ky", "kx"),
        )  # fmt: skip
        self.shifts = xr.Dataset(
            {name: ("band", [0.02, 0.02]) for name in ("dy", "dx", "dy_error", "dx_error")},
            {"band": self.cube.band}, {"between": "scales"},
        )  # fmt: skip
        self.third = small_cube(("f814w",), shape=SIDE)
        self.fit = photometry(self.cube, self.groups)["id", "npix"]


@cache
def things() -> Things:
    return Things()


def saved(cube: Any, folder: Path) -> Any:
    """Save a cube and open it again, as other means see it."""
    from hstcube import save_cube

    path = save_cube(cube, folder / "cube.nc")
    with xr.open_dataset(path, engine="netcdf4") as opened:
        return opened.load().assign(mask=lambda c: c.mask.astype(bool))


def written(cube: Any, folder: Path, **how: Any) -> Any:
    """Write a cube as FITS and open it again."""
    from hstcube import open_field, to_fits

    to_fits(cube, folder, **how)
    return open_field(folder, cube.attrs["field"])


def functions() -> dict[str, Callable[[Any, Path], Any]]:
    """Return what is called, by name: the function, its other arguments good."""
    import hstcube as h
    from hstcube import sed

    t = things()
    circle, edges = {"radius": 0.4}, [0.0, 0.2, 0.5]
    return {
        "Grid.of": lambda c, _: h.Grid.of(c),
        "add_poisson": lambda c, _: h.add_poisson(c, exposure=1000.0),
        "annuli": lambda c, _: h.annuli(c, MIDDLE, edges=edges),
        "apertures": lambda c, _: h.apertures(c, [MIDDLE], **circle),
        "apply_shifts": lambda c, _: h.apply_shifts(c, t.shifts),
        "bin_pixels": lambda c, _: h.bin_pixels(c, snr=20),
        "calibrate_noise": lambda c, _: h.calibrate_noise(c, background=t.blank),
        "check_alignment": lambda c, _: h.check_alignment(c),
        "check_alignment, first": lambda c, _: h.check_alignment(c, t.cube),
        "check_alignment, second": lambda c, _: h.check_alignment(t.cube, c),
        "common_mask": lambda c, _: h.common_mask(c),
        "curve_of_growth": lambda c, _: h.curve_of_growth(c, MIDDLE, radii=[0.2, 0.4]),
        "cutout": lambda c, _: h.cutout(c, MIDDLE, 0.6),
        "deredden": lambda c, _: h.deredden(c, 0.1),
        "find_stars": lambda c, _: h.find_stars(c, band="f160w"),
        "group_errors": lambda c, _: h.group_errors(c, t.groups),
        "group_errors, covariance": lambda c, _: h.group_errors(c, t.groups, covariance=True),
        "homogenize": lambda c, _: h.homogenize(c, labels=t.labels, to="0.3arcsec"),
        "homogenize, original": lambda c, _: h.homogenize(
            c, labels=t.labels, sky=0.001, recipe="original"),
        "mask": lambda c, _: h.mask(c, t.keep),
        "measure_sky": lambda c, _: h.measure_sky(c, background=t.blank),
        "measure_sky, original": lambda c, _: h.measure_sky(
            c, background=t.blank, method="original"),
        "noise_check": lambda c, _: h.noise_check(c, background=t.blank, sizes=(1, 2, 3)),
        "paint": lambda c, _: h.paint(c, t.groups, {OBJECT: 1.0, NEIGHBOUR: 2.0}),
        "paint_fit": lambda c, _: h.paint_fit(c, t.groups, t.fit, "npix"),
        "photometry": lambda c, _: h.photometry(c, t.groups),
        "photometry of data": lambda c, _: h.photometry(c, t.groups, pixels="data", partial=True),
        "psf_match": lambda c, _: h.psf_match(c, to="f160w", allow="all"),
        "psf_match to a width": lambda c, _: h.psf_match(c, to="0.3arcsec", allow="all"),
        "psf_match with kernels": lambda c, _: h.psf_match(c, to="f160w", kernels=t.psf),
        "psf_quality": lambda c, _: h.psf_quality(c),
        "radial_profile": lambda c, _: h.radial_profile(c, MIDDLE, edges=edges),
        "rebin": lambda c, _: h.rebin(c, 2),
        "regrid": lambda c, _: h.regrid(c, t.grid),
        "regrid by area": lambda c, _: h.regrid(c, t.grid, method="exact"),
        "require_same_grid": lambda c, _: h.require_same_grid(c, t.cube),
        "require_same_grid, second": lambda c, _: h.require_same_grid(t.cube, c),
        "save_cube": saved,
        "stack_bands": lambda c, _: h.stack_bands([c, t.third]),
        "star_stamps": lambda c, _: h.star_stamps(c, [[15, 16]], size=0.9).get("1"),
        "measure_psf": lambda c, _: h.measure_psf({"1": c}),
        "examine_stars": lambda c, _: h.examine_stars({"1": c}),
        "subtract_sky": lambda c, _: h.subtract_sky(c, t.level),
        "subtract_sky, a number": lambda c, _: h.subtract_sky(c, 0.001),
        "to_fits": written,
        "to_fits, mef": lambda c, f: written(c, f, layout="mef", noise="variance"),
        "to_flux": lambda c, _: h.to_flux(c),
        "to_flux, nJy": lambda c, _: h.to_flux(c, "nJy"),
        **{f"to_sed, {code}": lambda c, _, code=code: sed.sed_files(c, code, groups=t.groups)
           for code in ("eazy", "bagpipes", "prospector", "lephare", "cigale", "pixedfit")},
        "to_sed": lambda c, f: h.to_sed(c, "eazy", f / "sed"),
        "validate": lambda c, _: h.validate(c),
        "variance": lambda c, _: h.variance(c),
        "with_noise": lambda c, _: h.with_noise(c, "xdf"),
        "with_noise, white": lambda c, _: h.with_noise(c, None),
        "with_psf": lambda c, _: h.with_psf(c, t.psf),
    }  # fmt: skip


class Cubes(Door):
    """Edited cubes through every function: refused, or right; and never changed."""

    name = "cubes"
    long = 3000

    def prepare(self, _: Path) -> None:
        things()
        self.functions = functions()
        self.plain, self.rich = things().cube, product(things().cube)
        self.results: dict[Any, Any] = {}

    def draw(self, lot: Lot, folder: Path) -> Call:
        total = len(EDITS) * len(self.functions)
        edit, function = divmod(lot.number * STRIDE % total, len(self.functions))
        edit, function = list(EDITS)[edit], list(self.functions)[function]
        rich = (lot.number // total + lot.number) % 2 == 1
        base = self.rich if rich else self.plain
        cube, like = EDITS[edit](base, lot)
        return Call(edit, function, rich, cube, like, snapshot(cube), folder)

    def use(self, given: Call) -> Any:
        return computed(self.functions[given.function](given.cube, given.folder))

    def wrong(self, given: Call, result: Any) -> Iterator[str]:
        from hstcube import validate

        if refused(given) and not harmless(given, result):
            yield f"takes what is no cube: {given.edit} | {given.function}"
        for cube in result.values() if isinstance(result, dict) else [result]:
            if given.function == "validate":  # does not look at chunked pixels
                continue
            if isinstance(cube, xr.Dataset) and {"sci", "wht", "mask"} <= {*cube.data_vars}:
                try:
                    validate(cube)
                except ValueError as error:
                    yield f"a cube that is none, by {given.function} | {given.edit}: {error}"
        if isinstance(given.like, str) or harmless(given, result):
            return
        expected = self.expected(given)
        if isinstance(expected, Exception):
            return
        apart = differing(result, expected)
        if apart:
            yield f"another result of {given.function}: {apart} | {given.edit}"

    def expected(self, given: Call) -> Any:
        """Return what comes out for a cube that is right too, or the error."""
        key = given.function, given.rich
        plain = given.like is (self.rich if given.rich else self.plain)
        if plain and key in self.results:
            return self.results[key]
        with tempfile.TemporaryDirectory() as place:
            try:
                result = computed(self.functions[given.function](given.like, Path(place)))
            except Exception as error:
                result = error
        if plain:
            self.results[key] = result
        return result

    def good(self, given: Call) -> bool:
        if isinstance(given.like, str) or given.like is not (
            self.rich if given.rich else self.plain
        ):
            return False
        return not isinstance(self.expected(given), Exception)

    def spoilt(self, given: Call) -> str:
        after = snapshot(given.cube)
        if after != given.before:
            return f"{given.function} changed its input | {given.edit}"
        return ""


def refused(given: Call) -> bool:
    return isinstance(given.like, str) and given.like == REFUSED


def harmless(given: Call, result: Any) -> bool:
    """Say whether what was wrong is none of this function's business."""
    if given.function == "Grid.of" and given.edit.startswith("band "):
        return True
    if given.function == "Grid.of" and not re.search(
        r"(?<!along )\b[xy]\b|wcs|another grid|fields", given.edit
    ):
        return True
    of_a_list = given.edit == "a list of cubes" and given.function in (
        "calibrate_noise",
        "noise_check",
    )
    if given.edit == "None" and given.function == "check_alignment, second":
        return True  # it compares the bands of the first
    if given.function == "validate" and "chunks" in given.edit:
        return True  # it does not look at chunked pixels
    of_an_array = given.function.startswith("require_same_grid") and result is None
    return of_a_list or of_an_array


def computed(result: Any) -> Any:
    return result.compute() if hasattr(result, "compute") else result


def snapshot(cube: Any) -> Any:
    """Return everything that a Dataset holds, to be compared with what it holds later."""
    if not isinstance(cube, xr.Dataset):
        return repr(cube)
    parts = {
        name: (
            variable.dims, str(variable.dtype), bits(variable), repr(variable.attrs),
            repr(variable.encoding),
        )
        for name, variable in cube.variables.items()
    }  # fmt: skip
    return copy.deepcopy((parts, repr(cube.attrs), repr(cube.encoding), list(cube.indexes)))


def bits(variable: Any) -> Any:
    values = variable.values
    return repr(values.tolist()) if values.dtype == object else hash(values.tobytes())


def differing(one: Any, other: Any) -> str:
    """Say in what two results differ: pixels, coordinates, columns, texts."""
    mine, told = parts_of(one), parts_of(other)
    missing = told.keys() - mine.keys()
    return ", ".join(sorted(n for n in told if n in missing or not alike(mine[n], told[n])))


def parts_of(result: Any) -> dict[str, Any]:
    """Return what a result is made of, as arrays by name; a README tells the history, too."""
    if isinstance(result, dict):
        parts = {name: parts_of(part) for name, part in result.items() if name != "README"}
        return {f"{a} {b}": part for a, some in parts.items() for b, part in some.items()}
    if isinstance(result, xr.Dataset):
        return {str(name): variable.values for name, variable in result.variables.items()}
    if hasattr(result, "colnames"):
        columns = {name: result[name] for name in result.colnames}
        return {n: np.asarray(getattr(one, "value", one)) for n, one in columns.items()}
    if isinstance(result, list):  # of what was written
        return {}
    return {"values": np.asarray(getattr(result, "values", result))}


def alike(one: Any, other: Any) -> bool:
    if one.shape != other.shape:
        return False
    if one.dtype.kind not in "fiubc":
        return [str(v) for v in one.ravel()] == [str(v) for v in other.ravel()]
    size = np.nanmax(np.abs(other), initial=0.0) if other.size else 0.0
    size = size if np.isfinite(size) else 1.0
    return np.allclose(one, other, rtol=2e-6, atol=1e-6 * size, equal_nan=True)


DOORS = [Cubes()]
