"""The door of the steps: every public function, with a cube that somebody edited by hand.

All pairs of an edit and a function come once in as many runs as there are pairs:

    python tests/fuzz/doors.py cubes --runs 6600

Right is a refusal, or a result whose cubes keep the rules of the model; in both cases the edited
cube is afterwards as it was before.
"""

from __future__ import annotations

import copy
import itertools
import math
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import xarray as xr
from doors import Door

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from doors import Lot

    Edit = Callable[[xr.Dataset], Any]

PLANES = ("sci", "wht", "mask")
COLUMNS = ("psf_fwhm", "matched_to", "sky", "sky_error", "zeropoint", "pivot", "noise_scale")
SQUARE = (slice(20, 26), slice(30, 36))


def with_values(name: str, change: Callable[[Any], None]) -> Edit:
    """Change values of a variable in a copy of them."""

    def edit(cube: xr.Dataset) -> xr.Dataset:
        values = cube[name].values.copy()
        change(values)
        return with_array(cube, name, values)

    return edit


def with_array(cube: xr.Dataset, name: str, values: Any, dims: Any = None) -> xr.Dataset:
    old = cube[name].variable
    dims = old.dims if dims is None else dims
    new = (dims, values, old.attrs)
    return cube.assign({name: new}) if name in cube.data_vars else cube.assign_coords({name: new})


def put(value: Any, where: Any) -> Callable[[Any], None]:
    def change(values: Any) -> None:
        values[where] = value

    return change


def times(name: str, factor: float) -> Edit:
    def edit(cube: xr.Dataset) -> xr.Dataset:
        with np.errstate(over="ignore", under="ignore"):
            return with_array(cube, name, (cube[name].values * factor).astype(cube[name].dtype))

    return edit


def both(first: Edit, second: Edit) -> Edit:
    return lambda cube: second(first(cube))


def cards(**changes: Any) -> Edit:
    """Change cards of the WCS, and leave its fingerprint; None removes one."""

    def edit(cube: xr.Dataset) -> xr.Dataset:
        kept = {key: value for key, value in (cube.wcs.attrs | changes).items() if value is not None}
        return cube.assign_coords(wcs=((), cube.wcs.values, kept))

    return edit


def column(name: str, value: Any) -> Edit:
    """Put a value in the place of that of the first band."""

    def edit(cube: xr.Dataset) -> xr.Dataset:
        values = cube[name].values.copy()
        values = values.astype(object) if isinstance(value, str | None) else values
        values[0] = value
        return with_array(cube, name, values)

    return edit


def renamed(*names: Any) -> Edit:
    """Give the bands other names, in their order."""

    def edit(cube: xr.Dataset) -> xr.Dataset:
        array = np.empty(len(names), object)
        array[:] = names
        return cube.assign_coords(band=("band", array))

    return edit


def attribute(name: str, value: Any) -> Edit:
    return lambda cube: cube.assign_attrs({name: value})


def chunked(cube: xr.Dataset) -> xr.Dataset:
    chunks = {"y": 30, "x": 68}
    return cube.assign({name: cube[name].chunk(chunks) for name in PLANES})


def correlated(cube: xr.Dataset) -> xr.Dataset:
    """Say that neighbouring pixels are correlated."""
    acf = np.zeros((cube.sizes["band"], 3, 3), np.float32)
    acf[:, 1] = 0.3, 1, 0.3
    lags = (np.arange(3) - 1) * 0.06
    scale = ("band", np.ones(cube.sizes["band"]))
    return cube.assign_coords(
        noise_scale=scale, noise_acf=(("band", "dy", "dx"), acf), dy=lags, dx=lags
    )


def joined(cube: xr.Dataset) -> xr.Dataset:
    """Join a cube and the same field elsewhere on the sky, as xarray does, and take the second."""
    from hstcube import Grid

    cards = dict(Grid.of(cube).cards) | {"CRVAL1": cube.wcs.attrs["CRVAL1"] + 0.01}
    other = cube.assign_coords(Grid.from_header(cards, shape=Grid.of(cube).shape).coords())
    return xr.concat(
        [cube, other], "field", data_vars="all", coords="different", compat="equals"
    ).isel(field=1)  # fmt: skip


def edits() -> dict[str, Edit]:
    """Return the edits by name."""
    everywhere, pixel, band = ..., (0, 30, 30), 0
    made: dict[str, Edit] = {
        "nothing": lambda cube: cube,
        "None": lambda _: None,
        "a number": lambda _: 3.0,
        "a text": lambda _: "cube.nc",
        "an array": lambda cube: cube.sci.values,
        "a list": lambda cube: [cube],
        "a mapping": lambda cube: dict(cube.data_vars),
        "sci": lambda cube: cube.sci,
        "to_array": lambda cube: cube[["sci", "wht"]].to_dataarray(),
        "an empty Dataset": lambda _: xr.Dataset(),
        "one band as a number": lambda cube: cube.isel(band=0),
        "one row as a number": lambda cube: cube.isel(y=5),
        "one pixel": lambda cube: cube.isel(y=[5], x=[5]),
        "one row": lambda cube: cube.isel(y=[5]),
        "one band": lambda cube: cube.isel(band=[2]),
        "no band": lambda cube: cube.isel(band=[]),
        "no row": lambda cube: cube.isel(y=slice(0, 0)),
        "no column": lambda cube: cube.isel(x=slice(0, 0)),
        "bands turned": lambda cube: cube.isel(band=[2, 1, 0]),
        "a band twice": lambda cube: cube.isel(band=[0, 1, 1]),
        "rows flipped": lambda cube: cube.isel(y=slice(None, None, -1)),
        "every second pixel": lambda cube: cube.isel(y=slice(0, None, 2), x=slice(0, None, 2)),
        "every second row": lambda cube: cube.isel(y=slice(0, None, 2)),
        "uneven rows": lambda cube: cube.isel(y=[0, 1, 5, 6]),
        "a row twice": lambda cube: cube.isel(y=[3, 3, 4, 5]),
        "transposed": lambda cube: cube.transpose("y", "x", "band", ...),
        "transposed within": lambda cube: cube.transpose("band", "x", "y", ...),
        "an axis more": lambda cube: cube.expand_dims(field=2),
        "an axis more of length 1": lambda cube: cube.expand_dims("field"),
        "axes renamed": lambda cube: cube.rename(y="row", x="column"),
        "bands as a variable": lambda cube: cube.reset_coords("psf_fwhm"),
        "plus itself": lambda cube: cube + cube,
        "coarsened": lambda cube: cube.coarsen(y=2, x=2).mean(),
        "mean of bands": lambda cube: cube.mean("band"),
        "where": lambda cube: cube.where(cube.wht > 2),
        "no attributes": lambda cube: cube.drop_attrs(deep=False),
        "no attributes at all": lambda cube: cube.drop_attrs(),
        "compute": lambda cube: chunked(cube).compute(),
        "chunked": chunked,
        "all chunked": lambda cube: cube.chunk({"band": 1, "y": 30}),
        "sci chunked only": lambda cube: cube.assign(sci=cube.sci.chunk({"y": 20})),
        "joined with another field": joined,
    }
    for name in PLANES:
        made |= {
            f"{name} dropped": lambda cube, name=name: cube.drop_vars(name),
            f"{name} float64": lambda cube, name=name: cube.assign({name: cube[name].astype("f8")}),
            f"{name} int": lambda cube, name=name: cube.assign(
                {name: cube[name].fillna(0).astype(int)}
            ),
            f"{name} object": lambda cube, name=name: cube.assign(
                {name: cube[name].astype(object)}
            ),
            f"{name} one image": lambda cube, name=name: cube.assign({name: cube[name][0]}),
            f"{name} big-endian": lambda cube, name=name: with_array(
                cube, name, cube[name].values.astype(cube[name].dtype.newbyteorder(">"))
            ),
        }
    for value in (np.nan, np.inf, -np.inf):
        made |= {
            f"sci {value} in a pixel": with_values("sci", put(value, pixel)),
            f"sci {value} in a square": with_values("sci", put(value, (..., *SQUARE))),
            f"sci {value} in a band": with_values("sci", put(value, band)),
            f"wht {value} in a pixel": with_values("wht", put(value, pixel)),
            f"wht {value} in a band": with_values("wht", put(value, band)),
        }
    made |= {
        "sci NaN in a pixel, chunked": both(made["sci nan in a pixel"], chunked),
        "wht negative, chunked": both(with_values("wht", put(-1, pixel)), chunked),
        "wht NaN, chunked": both(made["wht nan in a pixel"], chunked),
        "sci NaN everywhere": with_values("sci", put(np.nan, everywhere)),
        "sci 0": with_values("sci", put(0, everywhere)),
        "sci constant": with_values("sci", put(1, everywhere)),
        "wht negative in a pixel": with_values("wht", put(-1, pixel)),
        "wht negative": times("wht", -1),
        "wht 0 in a square": with_values("wht", put(0, (..., *SQUARE))),
        "wht 0 in a band": with_values("wht", put(0, band)),
        "wht 0": with_values("wht", put(0, everywhere)),
        "wht 0 and sci NaN": both(
            with_values("wht", put(0, everywhere)), with_values("sci", put(np.nan, everywhere))
        ),
        "wht and sci NaN in a square": both(
            with_values("wht", put(np.nan, (..., *SQUARE))), made["sci nan in a square"]
        ),
        "one pixel with data": with_values(
            "wht", lambda values: values.__imul__(np.eye(1, 64 * 68, 2074).reshape(64, 68))
        ),
        "every second pixel with data": with_values(
            "wht", lambda values: values.__imul__(np.indices((64, 68)).sum(0) % 2)
        ),
        "mask True everywhere": with_values("mask", put(True, everywhere)),  # noqa: FBT003
        "mask False everywhere": with_values("mask", put(False, everywhere)),  # noqa: FBT003
        "wht in a column infinite": with_values("wht", put(np.inf, (0, slice(None), 3))),
    }
    for power in (-44, -38, -30, 20, 30, 37):
        made[f"sci x 1e{power}"] = times("sci", 10.0**power)
        made[f"wht x 1e{power}"] = times("wht", 10.0**power)
    made |= {
        "sci x 1e15, wht x 1e-30": both(times("sci", 1e15), times("wht", 1e-30)),
        "sci x 1e-18, wht x 1e36": both(times("sci", 1e-18), times("wht", 1e36)),
    }
    for name in COLUMNS:
        made |= {
            f"{name} dropped": lambda cube, name=name: cube.drop_vars(name),
            f"{name} without bands": lambda cube, name=name: cube.assign_coords(
                {name: cube[name].values[0]}
            ),
            f"{name} a text": column(name, "f160w/../x"),
            f"{name} None": column(name, None),
        }
        if name != "matched_to":
            made |= {
                f"{name} {value}": column(name, value)
                for value in (np.nan, np.inf, -1.0, 0.0, 1e300, 1e-300)
            }
    for dim in ("y", "x", "band", "wcs", "ky", "dy"):
        made[f"{dim} dropped"] = lambda cube, dim=dim: cube.drop_vars(dim)
    made |= {
        "y as text": lambda cube: cube.assign_coords(y=[f"{i}" for i in range(cube.sizes["y"])]),
        "y NaN": lambda cube: cube.assign_coords(y=np.full(cube.sizes["y"], np.nan)),
        "y uneven": lambda cube: cube.assign_coords(y=cube.y.values**2),
        "y all 0": lambda cube: cube.assign_coords(y=np.zeros(cube.sizes["y"])),
        "y shifted": lambda cube: cube.assign_coords(y=cube.y.values + 7),
        "y x 1e9": lambda cube: cube.assign_coords(y=cube.y.values * 1e9),
        "band ../x": renamed("../../../evil", "f606w", "f160w"),
        "band empty": renamed("", "f606w", "f160w"),
        "band None": renamed(None, "f606w", "f160w"),
        "band numbers": renamed(1, 2, 3),
        "band NUL": renamed("f\0", "f606w", "f160w"),
        "band unknown": renamed("f001w", "f606w", "f160w"),
        "band long": renamed("f" * 300, "f606w", "f160w"),
        "bands of one name": renamed("f606w", "f606w", "f160w"),
        "wcs along bands": lambda cube: cube.assign_coords(
            wcs=("band", np.full(cube.sizes["band"], int(cube.wcs)), cube.wcs.attrs)
        ),
        "wcs 0": lambda cube: cube.assign_coords(wcs=((), 0, cube.wcs.attrs)),
        "wcs text": lambda cube: cube.assign_coords(wcs=((), "wcs", cube.wcs.attrs)),
        "wcs without cards": lambda cube: cube.assign_coords(wcs=((), cube.wcs.values)),
        "CRVAL1 moved": cards(CRVAL1=10.0),
        "CRVAL1 NaN": cards(CRVAL1=math.nan),
        "CRVAL1 text": cards(CRVAL1="here"),
        "CRVAL1 gone": cards(CRVAL1=None),
        "CTYPE1 gone": cards(CTYPE1=None),
        "psf dropped": lambda cube: cube.drop_vars(["psf", "ky", "kx"]),
        "psf 0": with_values("psf", put(0, everywhere)),
        "psf negative": times("psf", -1),
        "psf NaN": with_values("psf", put(np.nan, (0, 3, 3))),
        "psf constant": with_values("psf", put(1, everywhere)),
        "psf a ring": with_values("psf", put(0, (..., slice(5, -5), slice(5, -5)))),
        "psf off centre": lambda cube: with_array(cube, "psf", np.roll(cube.psf.values, 9, axis=1)),
        "psf x 1e30": times("psf", 1e30),
        "psf noise": with_values(
            "psf", lambda values: np.copyto(values, np.random.default_rng(1).normal(size=values.shape))
        ),
        "psf transposed": lambda cube: cube.assign_coords(psf=cube.psf.transpose("ky", "kx", "band")),
        "psf of one pixel": lambda cube: cube.isel(
            ky=[cube.sizes["ky"] // 2], kx=[cube.sizes["kx"] // 2]
        ),
        "psf even": lambda cube: cube.isel(ky=slice(1, None), kx=slice(1, None)),
        "ky uneven": lambda cube: cube.assign_coords(ky=cube.ky.values**3),
        "ky of other pixels": lambda cube: cube.assign_coords(ky=cube.ky.values * 2),
        "noise_acf dropped": lambda cube: cube.drop_vars("noise_acf"),
        "noise_acf 0": with_values("noise_acf", put(0, everywhere)),
        "noise_acf NaN": with_values("noise_acf", put(np.nan, everywhere)),
        "noise_acf 1": with_values("noise_acf", put(1, everywhere)),
        "noise_acf even": lambda cube: cube.isel(dy=slice(1, None)),
        "dy of other pixels": lambda cube: cube.assign_coords(dy=cube.dy.values * 1.7),
        "no units": lambda cube: cube.assign(sci=cube.sci.drop_attrs()),
        "units text": lambda cube: cube.assign(sci=cube.sci.assign_attrs(units="no unit")),
        "units None": lambda cube: cube.assign(sci=cube.sci.assign_attrs(units=None)),
        "units metres": lambda cube: cube.assign(sci=cube.sci.assign_attrs(units="m")),
        "units uJy": lambda cube: cube.assign(sci=cube.sci.assign_attrs(units="uJy")),
        "field ../x": attribute("field", "../../../evil"),
        "field None": attribute("field", None),
        "field a list": attribute("field", ["1", "2"]),
        "history an array": attribute("history", np.arange(3)),
        "warnings None": attribute("warnings", None),
        "survey a mapping": attribute("survey", {"a": 1}),
        "survey unknown": attribute("survey", "no such survey"),
        "survey none": attribute("survey", ""),
        "poisson a number": attribute("poisson", 3.0),
        "recipe an array": attribute("recipe", np.arange(2)),
        "labels of text": lambda cube: cube.assign(labels=(("y", "x"), np.full((64, 68), "a"))),
        "labels along bands": lambda cube: cube.assign(labels=("band", [1, 2, 3])),
        "extinction negative": lambda cube: cube.assign_coords(extinction=("band", [-1.0, 0, 0])),
        "extinction a number": lambda cube: cube.assign_coords(extinction=0.1),
    }  # fmt: skip
    noise = [name for name in made if name.startswith(("noise", "dy"))]
    return made | {name: both(correlated, made[name]) for name in noise}


class Given(NamedTuple):
    """An edited cube, what it was, and what is called with it."""

    edit: str
    function: str
    cube: Any
    before: Any
    world: Any

    def __repr__(self) -> str:
        return f"{self.function}: {self.edit}"


class Cubes(Door):
    """A Dataset that is no cube, or no longer, in the hands of every public function."""

    name = "cubes"

    def prepare(self, folder: Path) -> None:
        import hstcube
        from everything import World

        folder.mkdir(exist_ok=True)
        self.world = World(folder)
        self.world.cube.load()
        self.edits = edits()
        self.other = hstcube.psf_match(self.world.cube)
        self.fewer = self.world.cube.isel(band=[0]).assign_coords(band=("band", ["f775w"]))
        shifts = hstcube.check_alignment(self.world.cube)
        levels = hstcube.measure_sky(self.world.cube, background=(self.world.seen <= 0).values)
        bins = self.world.groups
        self.more = {
            "Grid.of": lambda cube: hstcube.Grid.of(cube),
            "with_psf": lambda cube: hstcube.with_psf(cube, self.world.cube.psf),
            "with_psf of it": lambda cube: hstcube.with_psf(self.world.cube, cube.psf),
            "apply_shifts": lambda cube: hstcube.apply_shifts(cube, shifts),
            "check_alignment of two": lambda cube: hstcube.check_alignment(self.world.cube, cube),
            "examine_stars": lambda cube: hstcube.examine_stars({"a": cube, "b": self.world.cube}),
            "measure_psf": lambda cube: hstcube.measure_psf({"a": cube, "b": cube}),
            "psf_match to 0.3arcsec": lambda cube: hstcube.psf_match(cube, to="0.3arcsec"),
            "stack_bands": lambda cube: hstcube.stack_bands([self.fewer, cube]),
            "require_same_grid the other way": lambda cube: hstcube.require_same_grid(
                self.world.cube, cube
            ),
            "calibrate_noise of two": lambda cube: hstcube.calibrate_noise([self.world.cube, cube]),
            "deredden by 100": lambda cube: hstcube.deredden(cube, 100.0),
            "plot.bands": lambda cube: hstcube.plot.bands(cube),
            "plot.homogeneous": lambda cube: hstcube.plot.homogeneous(self.world.cube, cube),
            "plot.snr_map": lambda cube: hstcube.plot.snr_map(cube),
            "plot.bin_map": lambda cube: hstcube.plot.bin_map(cube, bins),
            "plot.sky_histograms": lambda cube: hstcube.plot.sky_histograms(
                cube, background=(self.world.seen <= 0), levels=levels
            ),
        }
        self.functions = [*dict.fromkeys([*self.world.calls(self.world.cube), *self.more])]
        self.pairs = list(itertools.product(self.edits, self.functions))
        self.stride = next(n for n in itertools.count(1009) if math.gcd(n, len(self.pairs)) == 1)

    def draw(self, lot: Lot, folder: Path) -> Given:
        """Every pair comes once in as many runs as there are pairs."""
        edit, function = self.pairs[lot.number * self.stride % len(self.pairs)]
        with np.errstate(all="ignore"), xr.set_options(keep_attrs=True):
            cube = self.edits[edit](self.world.cube.copy(deep=True))
        self.world.out = (folder / f"out_{number}" for number in itertools.count())
        return Given(edit, function, cube, copy.deepcopy(cube), self.world)

    def use(self, given: Given) -> Any:
        import hstcube

        if given.function in self.more:
            if "of it" in given.function and not isinstance(given.cube, xr.Dataset):
                return None
            if given.function == "with_psf of it" and "psf" not in given.cube.coords:
                return None
            result = self.more[given.function](given.cube)
        else:
            args, kwargs = self.world.calls(self.world.cube)[given.function]
            args = tuple(given.cube if one is self.world.cube else one for one in args)
            result = getattr(hstcube, given.function)(*args, **kwargs)
        return [cube.compute() for cube in cubes_in(result)]

    def wrong(self, _: Given, result: Any) -> str:
        from hstcube import HstCubeError, validate

        for cube in result or ():
            try:
                validate(cube)
            except HstCubeError as error:
                return f"a cube that validate refuses: {error.code} | {error}"
        return ""

    def good(self, given: Given) -> bool:
        return given.edit == "nothing" and given.function not in (
            "deredden by 100", "with_noise", "find_stars", "measure_psf", "with_psf of it",
            "examine_stars",
        )  # fmt: skip

    def spoilt(self, given: Given) -> str:
        return "" if alike(given.cube, given.before) else "the input is not what it was"


def cubes_in(result: Any) -> list[xr.Dataset]:
    """Return the cubes of a result; every other array of xarray is computed too."""
    if isinstance(result, xr.Dataset):
        return [result] if {*PLANES} & {*result} else [result.compute()][:0]
    if isinstance(result, xr.DataArray):
        result.compute()
    if isinstance(result, dict):
        return [cube for one in result.values() for cube in cubes_in(one)]
    return []


def alike(one: Any, other: Any) -> bool:
    """Say whether two things are the same, data and attributes of every variable."""
    if isinstance(one, xr.Dataset | xr.DataArray):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return type(one) is type(other) and one.identical(other)
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
    if isinstance(one, list):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    return bool(one == other)


DOORS = [Cubes()]
