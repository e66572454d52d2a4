"""What people do to a cube between two calls: xarray's own verbs, slips, and hostile values.

An edit takes a cube and random numbers, and returns the edited cube and what is right of it:
another cube, whose results are right for the edited one too; `REFUSED`, if no function may take
it; or `VALID`, if it may be taken or refused, so long as what comes out is valid.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    Edit = Callable[[xr.Dataset, Random], tuple[Any, Any]]

__all__ = ["EDITS", "REFUSED", "SAME", "VALID"]

REFUSED, VALID, SAME = "must be refused", "must be valid", "must be as it was"
BANDED, PLANES = ("psf_fwhm", "sky", "sky_error", "zeropoint", "pivot"), ("sci", "wht", "mask")
NAN, INF = math.nan, math.inf

EDITS: dict[str, Edit] = {}


def add(name: str, right: Any, change: Callable[[xr.Dataset], Any]) -> None:
    """Add an edit that needs no random numbers."""
    EDITS[name] = lambda cube, _: (change(cube), cube if right == SAME else right)


# -- structure

for name in PLANES:
    add(f"drop {name}", REFUSED, lambda c, n=name: c.drop_vars(n))
    add(f"rename {name}", REFUSED, lambda c, n=name: c.rename({n: f"{n}_old"}))
    add(
        f"{name} turned", REFUSED, lambda c, n=name: c.assign({n: c[n].transpose("y", "x", "band")})
    )
    add(f"{name} of one band", REFUSED, lambda c, n=name: c.assign({n: c[n].isel(band=0)}))
    add(f"{name} as objects", REFUSED, lambda c, n=name: c.assign({n: c[n].astype(object)}))
    add(f"{name} complex", REFUSED, lambda c, n=name: c.assign({n: c[n].astype(complex)}))
    add(f"{name} as integers", REFUSED, lambda c, n=name: c.assign({n: c[n].fillna(0).astype(int)}))
for name in ("sci", "wht"):
    add(f"{name} in float64", REFUSED, lambda c, n=name: c.assign({n: c[n].astype(float)}))
    add(f"{name} in float16", REFUSED, lambda c, n=name: c.assign({n: c[n].astype("f2")}))
    add(f"{name} big-endian", VALID, lambda c, n=name: c.assign({n: c[n].astype(">f4")}))
for name in ("wcs", "band", "matched_to", *BANDED):
    add(f"drop {name}", REFUSED, lambda c, n=name: c.drop_vars(n))
for name in ("y", "x"):
    add(f"drop {name}", REFUSED, lambda c, n=name: c.drop_vars(n))
    add(f"{name} without index", VALID, lambda c, n=name: c.drop_indexes(n))
    add(f"rename {name}", REFUSED, lambda c, n=name: c.rename({n: "lat"}))
    add(f"no {name}", REFUSED, lambda c, n=name: c.isel({n: []}))
    add(f"one {name}", VALID, lambda c, n=name: c.isel({n: [3]}))
    add(f"{name} chosen away", REFUSED, lambda c, n=name: c.isel({n: 3}))
    add(f"{name} reversed", VALID, lambda c, n=name: c.isel({n: slice(None, None, -1)}))
    add(f"every third {name}", VALID, lambda c, n=name: c.isel({n: slice(None, None, 3)}))
    add(f"{name} shuffled", REFUSED, lambda c, n=name: c.isel({n: [3, 1, 2, 9, 0, 4, 5]}))
    add(f"{name} twice", REFUSED, lambda c, n=name: c.isel({n: [3, 3, 4, 4, 5, 5]}))
    for value in (NAN, INF, 1e300):
        add(f"{name} with {value}", REFUSED, lambda c, n=name, v=value: with_label(c, n, v))
    add(
        f"{name} as text",
        REFUSED,
        lambda c, n=name: c.assign_coords({n: [f"{v}" for v in c[n].values]}),
    )
    add(f"{name} as integers", VALID, lambda c, n=name: c.assign_coords({n: c[n].astype(int)}))
    add(f"{name} uneven", REFUSED, lambda c, n=name: with_label(c, n, 0.4))
add("no band", REFUSED, lambda c: c.isel(band=[]))
add("band chosen away", REFUSED, lambda c: c.isel(band=0))
add("one band", VALID, lambda c: c.isel(band=[1]))
add("bands turned round", VALID, lambda c: c.isel(band=[1, 0]))
add("a band twice", REFUSED, lambda c: c.isel(band=[0, 0]))
add("bands as numpy text", SAME, lambda c: c.assign_coords(band=c.band.values.astype(str)))
add("rename band", REFUSED, lambda c: c.rename(band="filter"))
for value in ("../../x", "", "a/b", "/etc/x", "a\0b", "x" * 300, "..", "a\nb", "\x1b[31m"):
    add(
        f"band {value[:9]!r}", REFUSED, lambda c, v=value: c.assign_coords(band=objects(v, "f160w"))
    )
for value in (None, 3, 3.5, NAN, b"f435w", ("f", "4"), True):
    add(f"band {value!r}", REFUSED, lambda c, v=value: c.assign_coords(band=objects(v, "f160w")))
for value in ("F435W", " f435w", "f999w", "<script>", "435", "nul", "=f435w", "f435w;clear"):
    add(f"band {value!r}", VALID, lambda c, v=value: c.assign_coords(band=objects(v, "f160w")))
add("bands as bytes", VALID, lambda c: c.assign_coords(band=c.band.values.astype("S9")))
add("bands as integers", REFUSED, lambda c: c.assign_coords(band=[435, 160]))
add("all turned", REFUSED, lambda c: c.transpose("x", "y", "band", ...))
add("two more axes", REFUSED, lambda c: c.expand_dims("field"))
add("y and x stacked", REFUSED, lambda c: c.stack(pixel=("y", "x")))
add("nothing in it", REFUSED, lambda _: xr.Dataset())
for name, value in (("None", None), ("a text", "cube.nc"), ("a number", 3), ("a list", [])):
    add(name, REFUSED, lambda _, v=value: v)
add("a dict", REFUSED, lambda c: {n: c[n] for n in c.variables})
add("numpy", REFUSED, lambda c: c.sci.values)
add("sci alone", REFUSED, lambda c: c.sci)
add("one array of all", REFUSED, lambda c: c[["sci", "wht"]].to_array())
add("a list of cubes", REFUSED, lambda c: [c])

# -- arithmetic and joining

add("twice itself", REFUSED, lambda c: c * 2)
add("everything in float", REFUSED, lambda c: c.astype(float))
add("where mask", REFUSED, lambda c: c.where(c.mask))
add("filled with 0", REFUSED, lambda c: c.fillna(0))
add("padded", REFUSED, lambda c: c.pad(y=2))
add("shifted", REFUSED, lambda c: c.shift(x=3))
add("rolled", REFUSED, lambda c: c.roll(x=3, roll_coords=True))
add("coarsened", REFUSED, lambda c: c.coarsen(y=2, x=2).mean())
add("interpolated", REFUSED, lambda c: c.interp(x=np.arange(0.5, 9.0)))
add("mean of the bands", REFUSED, lambda c: c.mean("band"))
add("reindexed", REFUSED, lambda c: c.reindex(x=np.arange(-3.0, 40.0)))
add("sorted by brightness", VALID, lambda c: c.sortby("zeropoint", ascending=False))
add("joined with another grid", REFUSED, lambda c: xr.concat(
    [c.isel(band=[0]), moved(c.isel(band=[1]), 7)], "band", data_vars="minimal", coords="different",
    compat="equals", join="override", combine_attrs="override"))  # fmt: skip
add("fields joined, one chosen", REFUSED, lambda c: xr.concat(
    [c, moved(c, 90)], "field", combine_attrs="override").isel(field=1))  # fmt: skip
add("joined with itself", REFUSED, lambda c: xr.concat([c, c], "band"))
add(
    "fields joined",
    REFUSED,
    lambda c: xr.concat([c, moved(c, 90)], "field", combine_attrs="override"),
)

# -- the place on the sky


def wcs_edit(**cards: Any) -> Callable[[xr.Dataset], xr.Dataset]:
    def change(cube: xr.Dataset) -> xr.Dataset:
        new = cube.copy()
        attrs = {**cube.wcs.attrs, **cards}
        new["wcs"] = cube.wcs.copy()
        new["wcs"].attrs = {key: value for key, value in attrs.items() if value is not None}
        return new

    return change


for name, cards in {
    "CRPIX1 + 7": {"CRPIX1": 8.0}, "CRPIX1 + 0.01": {"CRPIX1": 1.01}, "no CRPIX1": {"CRPIX1": None},
    "CRVAL1 NaN": {"CRVAL1": NAN}, "CRVAL1 text": {"CRVAL1": "53.16"}, "CD1_1 0": {"CD1_1": 0.0},
    "CD2_2 inf": {"CD2_2": INF}, "CTYPE1 nonsense": {"CTYPE1": "NONSENSE"},
    "CTYPE1 3": {"CTYPE1": 3}, "another projection": {"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN"},
    "a SIP card": {"A_ORDER": 2}, "CRVAL2 95": {"CRVAL2": 95.0},
    "CRPIX1 array": {"CRPIX1": np.array([1.0, 2.0])},
    "WCSAXES 1000": {"WCSAXES": 1000}, "CRVAL1 None": {"CRVAL1": "None"},
}.items():  # fmt: skip
    add(f"wcs {name}", REFUSED, wcs_edit(**cards))
add("wcs a card of the mapping", VALID, wcs_edit(grid_mapping_name="unknown", note=None))
add("wcs without cards", REFUSED, lambda c: c.assign_coords(wcs=((), c.wcs.values)))
add(
    "wcs along band",
    REFUSED,
    lambda c: c.assign_coords(wcs=("band", [int(c.wcs)] * 2, c.wcs.attrs)),
)
for value in (7, 3.5, NAN, "text", None):
    add(f"wcs {value!r}", REFUSED, lambda c, v=value: c.assign_coords(wcs=((), v, c.wcs.attrs)))

# -- what the bands remember

for name in (*BANDED, "exposure"):
    for value in (NAN, INF, -INF, -1.0, 0.0, 1e308):
        add(
            f"{name} {value}",
            VALID,
            lambda c, n=name, v=value: c.assign_coords({n: ("band", [v, 0.2])}),
        )
    add(f"{name} as text", VALID, lambda c, n=name: c.assign_coords({n: ("band", ["a", "b"])}))
    add(f"{name} as objects", VALID, lambda c, n=name: c.assign_coords({n: c[n].astype(object)}))
    add(
        f"{name} None", VALID, lambda c, n=name: c.assign_coords({n: ("band", objects(None, None))})
    )
    add(f"{name} in float32", VALID, lambda c, n=name: c.assign_coords({n: c[n].astype("f4")}))
    add(f"{name} complex", VALID, lambda c, n=name: c.assign_coords({n: c[n].astype(complex)}))
    add(f"{name} of no band", REFUSED, lambda c, n=name: c.assign_coords({n: 0.2}))
    add(
        f"{name} along y",
        REFUSED,
        lambda c, n=name: c.assign_coords({n: ("y", np.ones(c.sizes["y"]))}),
    )
    add(f"{name} of pixels", REFUSED, lambda c, n=name: c.assign_coords({n: c.sci * 0 + 0.2}))
    add(f"{name} masked", VALID, lambda c, n=name: c.assign_coords(
        {n: ("band", np.ma.array([0.1, 0.2], mask=[True, False]))}))  # fmt: skip
for value in (None, NAN, 3, "f160w", "0.5arcsec", "../x", "nonsense", "\0"):
    add(f"matched_to {value!r}", VALID, lambda c, v=value: c.assign_coords(
        matched_to=("band", objects(v, v))))  # fmt: skip

# -- attributes

for value in (
    None,
    "",
    "nonsense",
    3,
    ["uJy"],
    "mJy/sr",
    "m",
    "electron",
    b"uJy",
    {"a": 1},
    "1e5 uJy",
):
    right = VALID if value in ("", "mJy/sr", "m", "electron", "1e5 uJy") else REFUSED
    add(f"unit {value!r}", right, lambda c, v=value: with_attr(c, "sci", "units", v))
add("no unit", REFUSED, lambda c: c.assign(sci=c.sci.drop_attrs()))
add("unit object", VALID, lambda c: with_attr(c, "sci", "units", unit("uJy")))
add("no unit of wht", VALID, lambda c: c.assign(wht=c.wht.drop_attrs()))
add("another unit of wht", VALID, lambda c: with_attr(c, "wht", "units", "uJy"))
add("no attributes", VALID, lambda c: c.drop_attrs(deep=False))
add("no attributes at all", REFUSED, lambda c: c.drop_attrs())
for name in ("history", "warnings", "field", "hstcube_schema", "title", "Conventions"):
    add(f"no {name}", VALID, lambda c, n=name: c.assign_attrs({n: ""}) and without_attr(c, n))
    for value in (None, 3, NAN, ["a"], b"a", {"a": 1}):
        add(f"{name} {value!r}", VALID, lambda c, n=name, v=value: c.assign_attrs({n: v}))
for value in ("../x", "", "a/b", "x" * 300, "a\0b", "CON", "\x1b[31m"):
    add(f"field {value[:9]!r}", VALID, lambda c, v=value: c.assign_attrs(field=v))
add(
    "attributes of all kinds",
    SAME,
    lambda c: c.assign_attrs(a=None, b=True, c={"d": [1]}, e=np.ones(3)),
)
add(
    "a long history",
    SAME,
    lambda c: c.assign_attrs(history=c.attrs["history"] + "\nmeasured" * 2000),
)
add(
    "encodings",
    SAME,
    lambda c: with_encoding(c, dtype="int16", scale_factor=0.1, _FillValue=-9, zlib=True),
)
add(
    "encodings of chunks",
    SAME,
    lambda c: with_encoding(c, chunksizes=(1, 999, 999), source="/x", complevel=9),
)

# -- arrays of other kinds

add("read-only", SAME, lambda c: frozen(c.copy(deep=True)))
add("of Fortran's order", SAME, lambda c: c.assign(
    {n: (c[n].dims, np.asfortranarray(c[n].values), c[n].attrs) for n in PLANES}))  # fmt: skip
add("with strides", SAME, lambda c: c.assign(
    {n: (c[n].dims, c[n].values.repeat(2, 2)[..., ::2], c[n].attrs) for n in PLANES}))  # fmt: skip
for sizes in ({}, {"y": 7}, {"band": 1, "x": 9}, {"band": 1, "y": 7, "x": 9}):
    add(f"in chunks {sizes}", SAME, lambda c, s=sizes: c.chunk(s))
add("sci in chunks", SAME, lambda c: c.assign(sci=c.sci.chunk({"y": 7})))
add("mask in chunks", SAME, lambda c: c.assign(mask=c.mask.chunk({"y": 7})))
add("masked array", VALID, lambda c: c.assign(sci=(
    c.sci.dims, np.ma.masked_greater(c.sci.values, 0.5), c.sci.attrs)))  # fmt: skip
add(
    "Quantity", VALID, lambda c: c.assign(sci=(c.sci.dims, c.sci.values * unit("uJy"), c.sci.attrs))
)
add("a subclass", SAME, lambda c: Cube(c.data_vars, c.coords, c.attrs))
add(
    "one more coordinate",
    SAME,
    lambda c: c.assign_coords(spatial_ref=0, seen=("y", np.arange(c.sizes["y"]))),
)
add("one more image", SAME, lambda c: c.assign(flat=(("y", "x"), np.ones(c.sci.shape[1:], "f4"))))
add("a time", VALID, lambda c: c.assign_coords(time=np.datetime64("2020-01-01T00:00", "ns")))
add("one more axis", VALID, lambda c: c.assign(spectrum=("wave", np.arange(5.0))))
add("one more object", VALID, lambda c: c.assign(thing=((), objects({"a": 1}, 3)[0])))

# -- pixels: (edited, mended), where what was damaged has no data


def add_pixels(name: str, plane: str, value: float, where: Any, *, chunks: Any = None) -> None:
    def edit(cube: xr.Dataset, random: Random) -> tuple[Any, Any]:
        at = where(cube, random)
        told, mended = cube.copy(deep=True), cube.copy(deep=True)
        told[plane].values[at & (cube.wht.values > 0)] = value
        bad = at & (cube.wht.values > 0)
        mended.sci.values[bad], mended.wht.values[bad], mended.mask.values[bad] = NAN, 0, False
        return (told if chunks is None else told.chunk(chunks)), mended

    EDITS[name] = edit


def one_pixel(cube: xr.Dataset, random: Random) -> Any:
    at = np.zeros(cube.sci.shape, bool)
    at[tuple(random.randrange(n) for n in at.shape)] = True
    at[1, at.shape[1] // 2, at.shape[2] // 2] = True
    return at


def a_row(cube: xr.Dataset, random: Random) -> Any:
    at = np.zeros(cube.sci.shape, bool)
    at[random.randrange(len(at)), random.randrange(at.shape[1])] = True
    return at


for what, where in (("one pixel", one_pixel), ("a row", a_row)):
    add_pixels(f"NaN in {what} of sci", "sci", NAN, where)
    add_pixels(f"infinite in {what} of sci", "sci", INF, where)
    add_pixels(f"NaN in {what} of wht", "wht", NAN, where)
    add_pixels(f"infinite in {what} of wht", "wht", INF, where)
    add_pixels(f"negative in {what} of wht", "wht", -1.0, where)
add_pixels("NaN in one pixel of sci, in chunks", "sci", NAN, one_pixel, chunks={"y": 7})
add_pixels("negative in one pixel of wht, in chunks", "wht", -1.0, one_pixel, chunks={"y": 7})
add("mask where there is no data", VALID, lambda c: c.assign(mask=c.mask | True))
add(
    "sci where there is no data",
    VALID,
    lambda c: c.assign(sci=c.sci.fillna(0.0).assign_attrs(c.sci.attrs)),
)
add("minus 0 weights", SAME, lambda c: c.assign(wht=c.wht.where(c.wht > 0, np.float32(-0.0))))
add("a band without data", VALID, lambda c: emptied(c, [0]))
add("the target without data", VALID, lambda c: emptied(c, [1]))
add("no data at all", VALID, lambda c: emptied(c, [0, 1]))
add("no mask", VALID, lambda c: c.assign(mask=c.mask & False))
add("a mask of one band", VALID, lambda c: c.assign(mask=c.mask & (c.band == "f160w")))
for factor in (1e38, 1e30, 1e-30, 1e-42):
    add(f"sci times {factor}", VALID, lambda c, f=factor: scaled_sci(c, f))
    add(f"wht times {factor}", VALID, lambda c, f=factor: scaled_wht(c, f))

# -- PSFs and noise, where a cube has them

for name in ("psf", "noise_acf"):
    add(f"{name} NaN", VALID, lambda c, n=name: beside(c, n, c.get(n, c.sci) * NAN))
    add(f"{name} 0", VALID, lambda c, n=name: beside(c, n, c.get(n, c.sci) * 0))
    add(f"{name} negative", VALID, lambda c, n=name: beside(c, n, -c.get(n, c.sci)))
    add(f"{name} twice", VALID, lambda c, n=name: beside(c, n, c.get(n, c.sci) * 2))
    add(
        f"{name} turned",
        VALID,
        lambda c, n=name: c.assign_coords({n: c[n].transpose()}) if n in c else c,
    )
    add(
        f"{name} alone",
        VALID,
        lambda c, n=name: c.drop_vars([v for v in axes_of(n) if v in c.coords]),
    )
    add(
        f"{name} of one band",
        VALID,
        lambda c, n=name: beside(c, n, c[n].variable[0] if n in c else 0),
    )
    add(
        f"{name} even",
        VALID,
        lambda c, n=name: c.isel({axes_of(n)[0]: slice(1, None)}) if n in c else c,
    )
    add(f"{name} other steps", VALID, lambda c, n=name: (
        c.assign_coords({axes_of(n)[0]: c[axes_of(n)[0]] * 3}) if n in c else c))  # fmt: skip
    add(f"{name} NaN steps", VALID, lambda c, n=name: (
        c.assign_coords({axes_of(n)[0]: c[axes_of(n)[0]] * NAN}) if n in c else c))  # fmt: skip
    add(f"{name} as objects", VALID, lambda c, n=name: beside(c, n, c.get(n, c.sci).astype(object)))
for value in (NAN, 0.0, -1.0, INF, 1e300):
    add(
        f"noise_scale {value}",
        VALID,
        lambda c, v=value: c.assign_coords(noise_scale=("band", [v, 1.0])),
    )
add(
    "labels of floats",
    VALID,
    lambda c: c.assign(labels=(("y", "x"), np.full(c.sci.shape[1:], 0.5))),
)
add("labels of another shape", VALID, lambda c: c.assign(labels=(("a", "b"), np.ones((3, 4), int))))
add("extinction text", VALID, lambda c: c.assign_coords(extinction=("band", ["a", "b"])))


# -- helpers


class Cube(xr.Dataset):
    """What some people make of a Dataset."""

    __slots__ = ()


def axes_of(name: str) -> tuple[str, str]:
    return ("ky", "kx") if name == "psf" else ("dy", "dx")


def beside(cube: xr.Dataset, name: str, value: Any) -> xr.Dataset:
    return cube.assign_coords({name: value}) if name in cube.coords else cube


def objects(*values: Any) -> np.ndarray:
    told = np.empty(len(values), object)
    for i, value in enumerate(values):
        told[i] = value
    return told


def unit(name: str) -> Any:
    from astropy import units

    return units.Unit(name)


def with_label(cube: xr.Dataset, dim: str, value: float) -> xr.Dataset:
    labels = cube[dim].values.astype(float)
    labels[2] = value
    return cube.assign_coords({dim: labels})


def with_attr(cube: xr.Dataset, name: str, key: str, value: Any) -> xr.Dataset:
    new = cube.copy()
    new[name] = cube[name].copy(deep=False)
    new[name].attrs = {**cube[name].attrs, key: value}
    return new


def without_attr(cube: xr.Dataset, key: str) -> xr.Dataset:
    new = cube.copy()
    new.attrs = {k: v for k, v in cube.attrs.items() if k != key}
    return new


def with_encoding(cube: xr.Dataset, **encoding: Any) -> xr.Dataset:
    new = cube.copy()
    for name in ("sci", "wht"):
        new[name].encoding = dict(encoding)
    return new


def frozen(cube: xr.Dataset) -> xr.Dataset:
    for name, variable in cube.variables.items():
        if name not in cube.indexes:
            variable.values.flags.writeable = False
    return cube


def moved(cube: xr.Dataset, pixels: float) -> xr.Dataset:
    """Return the cube on a grid that lies elsewhere, as a cube of its own."""
    from hstcube import Grid

    cards = {**cube.wcs.attrs, "CRPIX1": cube.wcs.attrs["CRPIX1"] + pixels}
    grid = Grid.from_header(cards, shape=cube.sci.shape[1:])
    return cube.assign_coords(wcs=grid.coords()["wcs"], x=cube.x, y=cube.y)


def emptied(cube: xr.Dataset, bands: list[int]) -> xr.Dataset:
    new = cube.copy(deep=True)
    new.sci.values[bands], new.wht.values[bands], new.mask.values[bands] = NAN, 0, False
    return new


def scaled_sci(cube: xr.Dataset, factor: float) -> xr.Dataset:
    with np.errstate(all="ignore"):
        values = np.where(cube.wht.values > 0, cube.sci.values * np.float32(factor), np.nan)
    values = np.where(np.isinf(values), np.float32(3e38), values).astype("f4")
    return cube.assign(sci=(cube.sci.dims, values, cube.sci.attrs))


def scaled_wht(cube: xr.Dataset, factor: float) -> xr.Dataset:
    with np.errstate(all="ignore"):
        values = cube.wht.values.astype(float) * factor
    values = np.clip(values, np.where(values > 0, 1.5e-45, 0), 3e38).astype("f4")
    return cube.assign(wht=(cube.wht.dims, values, cube.wht.attrs))
