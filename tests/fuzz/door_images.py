"""Doors of single images: weights, segmentation and group maps, PSFs."""

from __future__ import annotations

import bz2
import gzip
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from damage import damaged, odd_path, prepare_odd_paths
from doors import Door
from plainfits import Unit, hdu, physical, units_of
from small import BANDS, OBJECT, SHAPE, pixels, small_cube, small_map, wcs_cards

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from doors import Lot

PIXEL = 1e-4  # grids closer than this are one


class Image(NamedTuple):
    """A file with an image, and what was done to it."""

    path: Any
    done: str
    good: bool = False
    more: Any = None


def unit_of(path: Any, choose: Callable[[list[Unit]], Unit] | None = None) -> Unit | None:
    """Return the image of a file, read by hand; None where that cannot be told."""
    data = Path(path).read_bytes()
    for mark, unpack in ((b"\x1f\x8b", gzip.decompress), (b"BZh", bz2.decompress)):
        data = unpack(data) if data.startswith(mark) else data
    try:
        units = [unit for unit in units_of(data) if len(unit.shape) > 1]
        return choose(units) if choose else units[0] if len(units) == 1 else None
    except (ValueError, IndexError, OverflowError, TypeError):
        return None


def values_of(unit: Unit | None) -> np.ndarray | None:
    if unit is None:
        return None
    try:
        values = physical(unit)
    except (ValueError, KeyError):
        return None
    while values.ndim > 2 and len(values) == 1:
        values = values[0]
    return values


def moved(unit: Unit, cards: dict[str, Any]) -> bool:
    """Say whether an image lies elsewhere than its plain grid, as far as plain cards tell."""
    apart = [abs(unit.number(f"CRPIX{i}") - cards[f"CRPIX{i}"]) for i in (1, 2)]
    apart += [abs(unit.number(f"CRVAL{i}") - cards[f"CRVAL{i}"]) * 6e4 for i in (1, 2)]
    return not max(apart) < 2 * PIXEL


def put(lot: Lot, place: Path, data: bytes, done: str, *, good: bool, more: Any = None) -> Image:
    """Write a file; sometimes packed, damaged, or something else in its place."""
    way = lot.random()
    if way < 0.06:
        packed, pack = lot.choice(((".gz", gzip.compress), (".bz2", bz2.compress)))
        place = place.with_name(place.name + packed)
        data, good = pack(data), False
    place.write_bytes(data)
    if way > 0.96:
        return Image(odd_path(lot, place.parent, place), "odd path", more=more)
    if way > 0.8:
        place.write_bytes(damaged(data, lot))
        return Image(place, f"{done}, damaged", more=more)
    return Image(place, done, good, more)


# -- what is done to pixels; each returns an array that FITS can hold, and cards


def as_integers(kind: str, zero: int | None = None) -> Any:
    def change(_: Lot, values: Any) -> tuple[Any, dict[str, Any]]:
        whole = np.rint(np.nan_to_num(values))
        if zero is None:
            return whole.astype(kind), {}
        return (whole.astype("i8") - zero).astype(kind), {"BSCALE": 1, "BZERO": zero}

    return change


def scaled(lot: Lot, values: Any) -> tuple[Any, dict[str, Any]]:
    scale, zero = (
        lot.choice((2.0, 0.5, 0.01, -1.0, 1e-5, 1e30)),
        lot.choice((0.0, 100.0, -5.0, 32768)),
    )
    stored = np.clip(np.nan_to_num((values - zero) / scale), -(2**31), 2**31 - 1)
    return np.rint(stored).astype("i4"), {"BSCALE": scale, "BZERO": zero}


def blanked(_: Lot, values: Any) -> tuple[Any, dict[str, Any]]:
    stored = np.nan_to_num(values).astype("i4")
    stored[3, 4:7] = -999
    return stored, {"BLANK": -999}


def with_pixels(value: float, number: int = 3) -> Any:
    def change(lot: Lot, values: Any) -> tuple[Any, dict[str, Any]]:
        told = values.copy()
        for _ in range(number):
            told[lot.randrange(SHAPE[0]), lot.randrange(SHAPE[1])] = value
        return told, {}

    return change


def reshaped(change: Any) -> Any:
    return lambda _, values: (np.ascontiguousarray(change(values)), {})


def with_cards(**cards: Any) -> Any:
    return lambda _, values: (
        values,
        {key.replace("__", "-"): value for key, value in cards.items()},
    )


SHAPES = {
    "three axes": reshaped(lambda v: v[None]),
    "five planes": reshaped(lambda v: np.stack([v] * 5)),
    "one row": reshaped(lambda v: v[:1]),
    "one axis": reshaped(lambda v: v.ravel()),
    "cut": reshaped(lambda v: v[:-1]),
    "turned": reshaped(lambda v: v.T),
    "no pixels": reshaped(lambda v: v[:0]),
}
PLACES = {
    "a pixel off": with_cards(CRPIX1=2.0),
    "nearly there": with_cards(CRPIX1=1.00001),
    "elsewhere": with_cards(CRVAL1=200.0),
    "another scale": with_cards(CD1_1=-0.03 / 3600),
    "no projection": with_cards(CTYPE1="LINEAR"),
    "no place": with_cards(CRVAL1="53.16"),
    "impossible place": with_cards(CRPIX1=b"                 NaN"),
}
KINDS = {
    "float64": lambda _, values: (values.astype("f8"), {}),
    "int16": as_integers("i2"),
    "int32": as_integers("i4"),
    "int64": as_integers("i8"),
    "uint8": as_integers("u1"),
    "uint16": as_integers("i2", 32768),
    "uint32": as_integers("i4", 2**31),
    "int8": as_integers("u1", -128),
    "scaled": scaled,
    "blanked": blanked,
}


class Weights(Door):
    """A weight image, opened beside a good science image."""

    name = "weights"
    long = 3000
    CHANGES: dict[str, Any] = {  # noqa: RUF012  never changed
        "nothing": lambda _, values: (values, {}),
        "one negative": with_pixels(-1.0, 1),
        "some NaN": with_pixels(math.nan),
        "some infinite": with_pixels(math.inf),
        "minus infinite": with_pixels(-math.inf),
        "some zero": with_pixels(0.0, 9),
        "some huge": with_pixels(3e38),
        "some tiny": with_pixels(1e-40),
        "minus zero": with_pixels(-0.0),
        "all zero": lambda _, values: (values * 0, {}),
        "all negative": lambda _, values: (-values, {}),
        "all NaN": lambda _, values: (values * np.nan, {}),
        "all beyond float32": lambda _, values: (values.astype("f8") * 1e40, {}),
        "all below float32": lambda _, values: (values.astype("f8") * 1e-60, {}),
        "NaN as in sci": lambda _, values: (np.where(values == 0, np.nan, values), {}),
        "called science": with_cards(FILETYPE="SCI"),
        "another filter": with_cards(FILTER="F606W"),
        "another unit": with_cards(BUNIT="s"),
        "BLANK of floats": with_cards(BLANK=-999),
        "BSCALE of floats": with_cards(BSCALE=2.0),
        "BSCALE 0": with_cards(BSCALE=0.0),
        "BSCALE NaN": with_cards(BSCALE="NaN"),
        **KINDS, **SHAPES, **PLACES,
    }  # fmt: skip
    GOOD = ("nothing", "NaN as in sci", "float64", "nearly there", "some zero")

    def prepare(self, folder: Path) -> None:
        prepare_odd_paths(folder)
        self.cards = {**wcs_cards(), "FILTER": "F160W", "BUNIT": "ELECTRONS/S", "FILETYPE": "SCI"}
        (self.sci,), (self.wht,) = (stack[:1] for stack in pixels())
        self.path = folder / "a_sci.fits"
        self.path.write_bytes(hdu(self.sci, self.cards))

    def draw(self, lot: Lot, folder: Path) -> Image:
        done = lot.choice(tuple(self.CHANGES))
        image, cards = self.CHANGES[done](lot, self.wht)
        if lot.random() < 0.2 and done not in SHAPES and done not in KINDS:
            more = lot.choice(tuple(KINDS))
            with np.errstate(all="ignore"):
                image, others = KINDS[more](lot, np.clip(image, -1e9, 1e9))
            done, cards = f"{done}, {more}", {**cards, **others}
        kind = lot.choice(("ivar",) * 5 + ("rms", "variance", "exptime"))
        data = hdu(image, {**self.cards, "FILETYPE": "WHT", "BUNIT": "", **cards})
        good = done in self.GOOD and kind == "ivar"
        return put(lot, folder / "a_wht.fits", data, done, good=good, more=kind)

    def use(self, given: Image) -> Any:
        from hstcube import open_bands

        return open_bands({"f160w": (self.path, given.path)}, field="1", wht_kind=given.more)

    def wrong(self, given: Image, cube: Any) -> Iterator[str]:
        from hstcube import validate

        validate(cube)
        unit = unit_of(given.path)
        values = values_of(unit)
        if values is None or "damaged" in given.done:
            return  # what is left of a damaged file may be anything that validates
        if values.shape != SHAPE or moved(unit, self.cards) or unit.text("CTYPE1") != "RA---TAN":
            yield f"weights of other pixels | {given.done}"
        bad = ~(values >= 0) | np.isinf(values)
        bad &= ~np.isnan(self.sci)
        if bad.sum() > 0.01 * bad.size:
            yield f"took {bad.sum()} weights that are none | {given.done}"
        with np.errstate(all="ignore"):
            inverse = values ** {"ivar": 1, "rms": -2, "variance": -1, "exptime": 1}[given.more]
            if given.more == "exptime":  # by the scatter of the pixels: one factor for all
                there = cube.wht.values[0] > 0
                inverse = inverse * np.median(cube.wht.values[0][there] / values[there])
            expected = np.where(bad | ~(values > 0) | np.isnan(self.sci), 0, inverse).astype("f4")
        if not np.allclose(cube.wht.values[0], expected, rtol=1e-5, atol=0):
            yield f"other weights | {given.done}, {given.more}"
        sci = np.where(expected > 0, self.sci, np.nan)
        if not np.array_equal(cube.sci.values[0], sci, equal_nan=True):
            yield f"other pixels | {given.done}, {given.more}"

    def good(self, given: Image) -> bool:
        return given.good


class Maps(Door):
    """A segmentation map, opened on its own grid, and an object of it."""

    name = "maps"
    long = 3000
    CHANGES: dict[str, Any] = {  # noqa: RUF012  never changed
        "nothing": lambda _, values: (values, {}),
        "float32": lambda _, values: (values.astype("f4"), {}),
        "NaN": lambda lot, values: with_pixels(math.nan)(lot, values.astype("f4")),
        "infinite": lambda lot, values: with_pixels(math.inf)(lot, values.astype("f4")),
        "between": lambda lot, values: with_pixels(7.5)(lot, values.astype("f4")),
        "nearly whole": lambda lot, values: with_pixels(7.000001)(lot, values.astype("f8")),
        "negative": with_pixels(-1),
        "negative floats": lambda lot, values: with_pixels(-3.0)(lot, values.astype("f4")),
        "beyond float32": lambda _, values: (values.astype("f4") + np.float32(2**25), {}),
        "as far as float32": lambda lot, values: with_pixels(2.0**24)(lot, values.astype("f4")),
        "beyond int32": lambda lot, values: with_pixels(2**31)(lot, values.astype("i8")),
        "lowest int64": lambda lot, values: with_pixels(-(2**63))(lot, values.astype("i8")),
        "lowest int32": with_pixels(-(2**31)),
        "huge": lambda lot, values: with_pixels(1e30)(lot, values.astype("f8")),
        "no object": lambda _, values: (values * 0, {}),
        "all one": lambda _, values: (values * 0 + OBJECT, {}),
        "RAF_ID": with_cards(RAF_ID="7"),
        "RAF_ID of another": with_cards(RAF_ID="9"),
        "RAF_ID odd": with_cards(RAF_ID="٣"),
        "BLANK of floats": lambda _, values: (values.astype("f4"), {"BLANK": 7}),
        "BLANK a label": with_cards(BLANK=7),
        **KINDS, **SHAPES, **PLACES,
    }  # fmt: skip
    GOOD = (
        "nothing", "float32", "NaN", "between", "int16", "int32", "int64", "uint8", "uint16",
        "uint32", "float64", "int8", "RAF_ID", "as far as float32",
    )  # fmt: skip

    def prepare(self, folder: Path) -> None:
        prepare_odd_paths(folder)
        self.cards, self.cube = wcs_cards(), small_cube()

    def draw(self, lot: Lot, folder: Path) -> Image:
        done = lot.choice(tuple(self.CHANGES))
        image, cards = self.CHANGES[done](lot, small_map())
        cards = {**self.cards, **cards}
        layout = lot.choice(("primary",) * 4 + ("DATA", "SEGMAP", "two", "unnamed"))
        data = hdu(image, cards) if layout == "primary" else hdu()
        if layout in ("DATA", "SEGMAP"):
            data += hdu(image, cards, name=layout)
        elif layout == "two":
            data += hdu(image + 1, cards, name="OTHER") + hdu(image, cards, name="SEG")
        elif layout == "unnamed":
            data += hdu(image + 1, cards, name="A") + hdu(image, cards, name="B")
        good = done in self.GOOD and layout != "unnamed"
        return put(lot, folder / "map.fits", data, f"{done}, {layout}", good=good)

    def use(self, given: Image) -> Any:
        from hstcube import Grid, object_mask, open_labels, regrid_labels

        labels = open_labels(given.path)
        found = object_mask(labels, OBJECT) if (labels.values == OBJECT).any() else None
        return labels, found, regrid_labels(labels, Grid.of(labels))

    def wrong(self, given: Image, result: Any) -> Iterator[str]:
        labels, found, again = result
        if labels.dtype != np.int32 or labels.dims != ("y", "x") or "wcs" not in labels.coords:
            yield f"no map | {labels.dtype}, {labels.dims}"
        if not np.array_equal(labels.values, again.values):
            yield "another map on its own grid | "
        if found is not None and not np.array_equal(found.values, labels.values == OBJECT):
            yield "another object | "
        values = None if "damaged" in given.done else values_of(unit_of(given.path, self.chosen))
        if values is not None:
            yield from wrong_labels(labels, values, given.done)

    @staticmethod
    def chosen(units: list[Unit]) -> Unit:
        named = [unit for unit in units if unit.text("EXTNAME") in ("DATA", "SEGMAP", "SEG")]
        return (named if len(units) > 1 else units)[0]

    def good(self, given: Image) -> bool:
        return given.good


def wrong_labels(labels: Any, values: np.ndarray, done: str) -> Iterator[str]:
    """Compare labels with the numbers of the file."""
    if labels.shape != values.shape:
        yield f"other pixels | {labels.shape} for {values.shape}, {done}"
    known = np.isfinite(values)
    whole = known & (values == np.rint(np.where(known, values, 0.5))) & (values >= 0)
    if (values[known] > np.iinfo(np.int32).max).any():
        yield f"labels beyond what they can be | {done}"
    if not np.array_equal(labels.values[whole], values[whole].astype(int)):
        yield f"other labels | {done}"
    if (labels.values[~whole] >= 0).any() or (labels.values[np.isnan(values)] != -1).any():
        yield f"labels from what is none | {done}"
    between = known & (values != np.rint(np.where(known, values, 0)))
    if (told := labels.attrs.get("interpolated", between.sum())) != between.sum():
        yield f"another count of pixels between labels | {told}, {done}"


class Groups(Maps):
    """A map of groups of pixels, which must lie on the grid of the cube."""

    name = "groups"
    long = 3000
    GOOD = (*(one for one in Maps.GOOD if one != "between"), "nearly there")

    def use(self, given: Image) -> Any:
        from hstcube.pipeline.sources import open_groups

        return open_groups(self.cube, groups=given.path)

    def wrong(self, given: Image, groups: Any) -> Iterator[str]:
        if "damaged" in given.done or given.path is None:  # None: no map is given
            return
        unit = unit_of(given.path, self.chosen)
        values = values_of(unit)
        if values is None:
            return
        if groups.shape != SHAPE or moved(unit, self.cards):
            yield f"groups on other pixels | {given.done}"
        if abs(unit.number("CD1_1") / self.cards["CD1_1"] - 1) > 1e-5:
            yield f"groups on other pixels | {given.done}"
        yield from wrong_labels(groups, values, given.done)


class PSFs(Door):
    """A file of PSFs, opened and put on a cube."""

    name = "psfs"
    long = 3000
    SIZE = 15

    def prepare(self, folder: Path) -> None:
        prepare_odd_paths(folder)
        self.cube = small_cube()

    def gaussian(self, size: int, shift: tuple[float, float] = (0, 0), width: float = 1.3) -> Any:
        y, x = np.indices((size, size)) - size // 2
        image = np.exp(-0.5 * ((y - shift[0]) ** 2 + (x - shift[1]) ** 2) / width**2)
        return image / image.sum()

    CHANGES: dict[str, Any] = {  # noqa: RUF012  never changed
        "nothing": lambda _, v: (v.astype("f4"), {}),
        "float64": lambda _, v: (v, {}),
        "times 1000": lambda _, v: (v * 1000, {}),
        "times 1e-30": lambda _, v: (v * 1e-30, {}),
        "times 1e30": lambda _, v: (v * 1e30, {}),
        "moved": lambda _, v: (np.roll(v, (1, -2), (0, 1)), {}),
        "even": lambda _, v: (v[1:, 1:], {}),
        "oblong": lambda _, v: (v[2:-2], {}),
        "whole numbers": lambda _, v: (np.rint(v * 1e6).astype("i4"), {"BSCALE": 1e-6}),
        "NaN": lambda lot, v: (with_one(lot, v, np.nan), {}),
        "infinite": lambda lot, v: (with_one(lot, v, np.inf), {}),
        "one negative": lambda lot, v: (with_one(lot, v, -1.0), {}),
        "one huge": lambda lot, v: (with_one(lot, v, 1e30), {}),
        "all zero": lambda _, v: (v * 0, {}),
        "all negative": lambda _, v: (-v, {}),
        "all NaN": lambda _, v: (v * np.nan, {}),
        "constant": lambda _, v: (v * 0 + 1, {}),
        "pedestal": lambda _, v: (v + 0.01, {}),
        "ring": lambda _, v: (v.max() - v, {}),
        "in a corner": lambda _, v: (np.roll(v, 7, (0, 1)), {}),
        "one pixel": lambda _, v: (v[7:8, 7:8], {}),
        "three pixels": lambda _, v: (v[6:9, 6:9], {}),
        "a delta": lambda _, v: ((v == v.max()) * 1.0, {}),
        "large": lambda _, v: (np.pad(v, 143), {}),
        "three axes": lambda _, v: (v[None], {}),
        "two planes": lambda _, v: (np.stack([v, v]), {}),
        **{f"scale {said!r}": with_cards(PIXSCALE=said) for said in
           (0.06, "0.06", 0, -0.06, 1e-12, 59.0, 1e30, True, b"NaN", "", 0.03, 60000)},
        "no scale": with_cards(PIXSCALE=""),
        "two scales": with_cards(PIXSCALE=0.03),
        **{f"filter {said!r}": with_cards(FILTER=said) for said in
           ("f160w", "160", "../x", "", "F999W", 160, "x" * 60, "F435W;CLEAR2L", "a/b", True)},
        "a WCS": with_cards(**wcs_cards()),
        "unit": with_cards(BUNIT="counts"),
    }  # fmt: skip
    GOOD = (
        "nothing",
        "float64",
        "times 1000",
        "moved",
        "even",
        "scale 0.06",
        "whole numbers",
        "unit",
    )

    def draw(self, lot: Lot, folder: Path) -> Image:
        done = lot.choice(tuple(self.CHANGES))
        data, which = hdu(), lot.randrange(2)
        for i, band in enumerate(BANDS):
            image, cards = self.gaussian(self.SIZE, width=1.3 + 0.4 * i), {"PIXSCALE": 0.06}
            if lot.random() < 0.7:
                cards["FILTER"] = band.upper()
            if i == which:
                with np.errstate(all="ignore"):
                    image, more = self.CHANGES[done](lot, image)
                cards = {**cards, **more}
            data += hdu(image, cards, name=band.upper() if lot.random() < 0.9 else f"X{i}")
        good = done in self.GOOD and data.count(b"F435W") + data.count(b"F160W") == 4
        given = put(lot, folder / "psf.fits", data, done, good=good)
        return given._replace(
            more=lot.choice((None,) * 8 + (0.06, 0.03, 0, -1, math.nan, "0.06", 1e30))
        )

    def use(self, given: Image) -> Any:
        from hstcube import open_psf, with_psf

        psf = open_psf(given.path, scale=given.more)
        there = set(psf.band.values) >= set(BANDS)
        return psf, with_psf(self.cube, psf) if there else None

    def wrong(self, given: Image, result: Any) -> Iterator[str]:
        from hstcube import validate

        psf, cube = result
        if cube is not None:
            validate(cube)
            if not np.isfinite(cube.psf_fwhm.values).all() or (cube.psf_fwhm.values <= 0).any():
                yield f"a width that cannot be | {cube.psf_fwhm.values}, {given.done}"
        if len(set(psf.band.values)) < psf.sizes["band"]:
            yield f"two PSFs of a band | {psf.band.values}"
        if any("/" in name or not name for name in psf.band.values):
            yield f"a band that cannot be | {psf.band.values}, {given.done}"
        steps = [np.diff(psf[axis].values) for axis in ("ky", "kx")]
        if any(not (step > 0).all() or not np.isfinite(step).all() for step in steps):
            yield f"pixels of an impossible size | {steps[0][:3]}, {given.done}"
        for name, image in zip(psf.band.values, psf.values.astype(float), strict=True):
            yield from self.wrong_image(given, str(name), image)
        said = 0.06 if given.more is None else given.more
        if given.good and steps[0].size and abs(steps[0][0] / float(said) - 1) > 1e-6:
            yield f"another scale | {steps[0][0]}, {given.done}"

    def wrong_image(self, given: Image, name: str, image: Any) -> Iterator[str]:
        """Yield what is wrong with one PSF."""
        ny, nx = image.shape
        if ny != nx or ny % 2 == 0 or not np.isfinite(image).all():
            yield f"a PSF that cannot be | {name}, {image.shape}, {given.done}"
        if abs(image.sum() - 1) > 2e-3:
            yield f"a PSF without unit sum | {image.sum()}, {given.done}"
        peak = np.unravel_index(image.argmax(), image.shape)
        if max(abs(peak[0] - ny // 2), abs(peak[1] - nx // 2)) > 1:
            yield f"a PSF that is not centred | {peak} of {image.shape}, {given.done}"
        if given.good and name in BANDS:
            truth = self.gaussian(ny, width=1.3 + 0.4 * BANDS.index(name))
            if abs(image - truth).max() > 0.03 * truth.max():
                apart = abs(image - truth).max() / truth.max()
                yield f"another PSF | {name}: {apart:.3f} of the peak, {given.done}"

    def good(self, given: Image) -> bool:
        return given.good and given.more in (None, 0.06)


def with_one(lot: Lot, values: Any, value: float) -> Any:
    told = values.copy()
    told[lot.randrange(len(told)), lot.randrange(len(told))] = value
    return told


DOORS = [Weights(), Maps(), Groups(), PSFs()]
