"""Doors of small texts: sky levels, recipes, field files, the record of a run, filter curves."""

from __future__ import annotations

import gzip
import json
import math
import os
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from damage import NUMBERS, damaged, mutated, odd_path, prepare_odd_paths
from doors import Door
from plainfits import physical, read
from small import BANDS, NEIGHBOUR, OBJECT, SHAPE, small_cube, small_map
from stamps import write_field

if TYPE_CHECKING:
    from collections.abc import Iterator

    from doors import Lot

STAMPS = "../../../prepared"  # as seen from the folder of a run


class Text(NamedTuple):
    """A text file, or what was given in place of one."""

    path: Any
    good: bool

    @property
    def data(self) -> bytes:
        return Path(self.path).read_bytes()

    def __repr__(self) -> str:
        file = isinstance(self.path, str | Path) and "\0" not in str(self.path)
        try:
            said = self.data[:1500] if file and Path(self.path).is_file() else b""
        except OSError:
            said = b""
        return f"{self.path!r:.200}: {said!r}"


def written(lot: Lot, place: Path, text: str, *, good: bool = False) -> Text:
    """Write a text, damaged in most cases; `good` says whether it is before."""
    way = lot.random()
    data = text.encode() if way < 0.1 else mutated(text, lot)
    if 0.9 < way < 0.95:
        data = damaged(data, lot)
    place.write_bytes(data)
    if way > 0.95:
        return Text(odd_path(lot, place.parent, place), good=False)
    return Text(place, good=good and data == text.encode())


def decoded(data: bytes) -> str | None:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None


def toml_of(data: bytes) -> dict[str, Any] | None:
    """Return what a TOML file says; None if it is none."""
    text = decoded(data)
    try:
        return (
            None if text is None else tomllib.loads(text.replace("\r\n", "\n").replace("\r", "\n"))
        )
    except (tomllib.TOMLDecodeError, RecursionError):
        return None


def same(one: Any, other: Any, *, rtol: float = 1e-6) -> bool:
    return np.allclose(one, other, rtol=rtol, atol=0, equal_nan=True)


class Levels(Door):
    """A sky file, read by `read_levels`: one finite number, or refused."""

    name = "levels"

    def prepare(self, folder: Path) -> None:
        from hstcube.files.levels import level_text

        prepare_odd_paths(folder)
        self.text = level_text(
            -1.25e-5, 3e-7, field="1", band="f435w", units="electron s-1", scale=0.06,
            method="clipped",
        )  # fmt: skip

    def draw(self, lot: Lot, folder: Path) -> Text:
        text = self.text
        for said in ("-1.25e-05", "3e-07", "0.06"):
            if lot.random() < 0.15:
                text = text.replace(said, lot.choice(NUMBERS))
        text = lot.choice((text, text, text.splitlines()[-1], "-1.250000000000000000e-05\n"))
        return written(lot, folder / "sky.txt", text, good="-1.25" in text and "\n" not in text)

    def use(self, given: Text) -> Any:
        from hstcube.files.levels import read_levels
        from hstcube.surveys.names import BandFiles, FieldFiles

        path = Path(given.path) if isinstance(given.path, str) else given.path
        if not isinstance(path, Path):  # a number is a level
            path = Path("none")
        files = FieldFiles("1", "60mas", {"f435w": BandFiles(sky=path)})
        return read_levels(files, ["f435w"], scale=0.06)["f435w"]

    def wrong(self, given: Text, result: Any) -> Iterator[str]:
        level, error = result
        text = given.data.decode("utf-8-sig", "replace")
        lines = text.splitlines()
        words = [word for line in lines for word in line.split("#")[0].split()]
        if len(words) != 1 or not math.isfinite(level) or level != float(words[0]):
            yield f"another level | {level} from {words}"
        if not (math.isnan(error) or 0 <= error < math.inf):
            yield f"an error that cannot be | {error}"
        said = [line.partition(":")[2] for line in lines if line.startswith("# standard error:")]
        if said and error != float(said[0]) and not math.isnan(float(said[0])):
            yield f"another error | {error} from {said}"
        pixel = re.search(r"per pixel of (\S+) arcsec", text)
        if pixel and abs(float(pixel[1]) / 0.06 - 1) > 0.011:
            yield f"a level of another scale | {pixel[1]}"


class Recipes(Door):
    """A recipe file, read by `read_recipe`, and done by `homogenize`."""

    name = "recipes"
    VALUES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {  # noqa: RUF012  never changed
        "sky": (('"measure"', "0.001", "0", "-1e-3"), ('"zero"', "nan", "inf", "[0.1]", "true",
                '"sky.txt"', '"/dev/zero"', "1e300", '"0.001"', "{a = 1}", "1e-400", '"Measure"')),
        "ids": (("[7]", "[7, 9]", "[9]", "[]"), ("[0]", "[-1]", "[-2]", "[8]", "7", "[7.0]",
                '["7"]', "[true]", "[99999999999999999999]", "[7, 7]", "[[7]]", "[nan]")),
        "grow": (("0", "1", "2", "30"), ("-1", "1.5", "10000000000000000000000", "true", '"1"',
                 "inf", "1000000000", "0x2", "99999", "2147483648", "9223372036854775808")),
        "to": (('"f160w"', '"0.3arcsec"', '"F160W"', '"0.5 arcsec"'), ('"f435w"', '"1000arcsec"',
               '"30arcsec"', '"nanarcsec"', '"-1arcsec"', '"0arcsec"', '"infarcsec"', '"300mas"',
               '""', "160", "0.3", '"1e22arcsec"', '"3arcsec"', '"0.01arcsec"', '"f999w"', '"../x"',
               '"0.3"', '"0,3arcsec"', '"0.3deg"', '"0.3 Arcsec"', '"1e-300arcsec"', '"psf"')),
        "recipe": (('"default"', '"original"'), ('"Default"', '"none"', "1", '""', "[]")),
        "allow": (("[]", '["f435w"]'), ('["all"]', '"all"', '["f105w"]', "[1]", '[""]', '["../x"]',
                  '["F435W"]')),
        "poisson": (('"auto"', '"none"', "1200", "3.3e5"), ('"Auto"', '""', "0", "-5", "true",
                    "inf", "nan", '"1200"', "[1200.0]", '"x.fits"', '"/dev/zero"', "1e-400")),
    }  # fmt: skip

    def prepare(self, folder: Path) -> None:
        import xarray as xr

        prepare_odd_paths(folder)
        self.cube = small_cube()
        self.labels = xr.DataArray(
            small_map(), {name: self.cube[name] for name in ("y", "x", "wcs")}, ("y", "x"), "labels"
        )

    def draw(self, lot: Lot, folder: Path) -> Text:
        odd = lot.random() < 0.5
        lines = []
        for key, (fit, unfit) in self.VALUES.items():
            if lot.random() < 0.5:
                choice = unfit if odd and lot.random() < 0.5 else fit
                lines.append(f"{key} = {lot.choice(choice)}")
        if odd and lot.random() < 0.2:
            key = lot.choice(("Sky", "grwo", "psf", "bands", "", "a.b", '"sky "', "labels"))
            lines.append(f"{key} = 1")
        text = "\n".join(lines) + "\n"
        good = not odd and "original" not in text  # which finds no sky on so small a frame
        if lot.random() < 0.6:
            path = folder / "recipe.toml"
            path.write_text(text)
            return Text(path, good=good)
        return written(lot, folder / "recipe.toml", text, good=good)

    def use(self, given: Text) -> Any:
        from hstcube import homogenize
        from hstcube.pipeline.recipe import read_recipe

        settings = read_recipe(given.path)
        return settings, homogenize(self.cube, labels=self.labels, **settings)

    def wrong(self, given: Text, result: Any) -> Iterator[str]:
        from scipy import ndimage

        from hstcube import validate

        settings, cube = result
        told = toml_of(given.data)
        if told is None or set(told) - set(self.VALUES):
            yield f"a recipe from what is none | {settings}"
        if any(settings.get(key) != value for key, value in told.items()):
            yield f"another recipe | {settings} for {told}"
        validate(cube)
        yield from self.wrong_photons(cube.attrs["poisson"], told.get("poisson", "auto"))
        level = told.get("sky", "measure")
        if not np.isfinite(cube.sky.values).all():
            yield f"no sky level | {cube.sky.values}"
        if level != "measure" and not same(cube.sky.values, float(level)):
            yield f"another sky | {cube.sky.values}"
        ids, times = told.get("ids") or [OBJECT], told.get("grow", 1)
        if not set(ids) <= {OBJECT, NEIGHBOUR}:
            yield f"objects that are not there | {ids}"
        if type(times) is not int or times < 0:
            yield f"grown by what cannot be | {times!r}"
        keep = np.isin(small_map(), ids)
        if times:
            times = min(times, max(SHAPE))
            keep = ndimage.binary_dilation(keep, np.ones((3, 3)), iterations=times)
        if not np.array_equal(cube.mask.values, keep & (cube.wht.values > 0)):
            yield f"another mask | {cube.mask.values.sum()} pixels for {keep.sum()}"
        to = str(told.get("to", "f160w")).replace(" ", "").lower()
        to = {"300mas": "0.3arcsec"}.get(to, to)
        if any(str(name).replace(" ", "") != to for name in cube.matched_to.values):
            yield f"matched to something else | {cube.matched_to.values} for {to}"

    @staticmethod
    def wrong_photons(added: str, said: Any) -> Iterator[str]:
        """Yield what is wrong with the photon noise of a cube that knows no exposure time."""
        if added != (f"{said:g} s" if isinstance(said, int | float) else ""):
            yield f"other photons | {added!r} for {said!r}"

    def good(self, given: Text) -> bool:
        return given.good


class FieldFileDoor(Door):
    """A field file, and what it names: images, levels, a map."""

    name = "fieldfiles"
    PATHS = (
        '"odd.fits"', '"/dev/zero"', '""', '"."', '"http://127.0.0.1:9/a.fits"', "1",
        f'"{STAMPS}/bomb.fits"', f'"{STAMPS}/pipe"', r'"a\u0000b"', "[]",
    )  # fmt: skip
    FIT: dict[str, tuple[str, ...]] = {  # noqa: RUF012  never changed
        "zeropoint": ("25.68", "26"),
        "psf_fwhm": ("0.1", "0.2"),
        "exposure": ("1200", "3.3e5"),
        "wht_kind": ('"ivar"', '"rms"', '"variance"'),
    }
    UNFIT: dict[str, tuple[str, ...]] = {  # noqa: RUF012  never changed
        "name": ('"../x"', '""', '"a/b"', '"con"', "[1]"),
        "band": ("f999w", '"../x"', '""', "f435w", '"a b"'),
        "zeropoint": ('"25.68"', "-1e5", "1e5"),
        "psf_fwhm": ("-0.1", '"0.1arcsec"', "1e5"),
        "exposure": ("0", "-1200", "true", "1e12"),
        "wht_kind": ('"RMS"', '"wht"', "1"),
        "hdu": ('"SEGMAP"', "7", "-1", '""', "true"),
        "ids": ("[1.5]", '["a"]', "4001"),
    }

    def prepare(self, folder: Path) -> None:
        prepare_odd_paths(folder)
        os.mkfifo(folder / "pipe")
        write_field(folder, bands=BANDS, shape=SHAPE)

    def text(self, lot: Lot) -> tuple[str, bool]:
        """Return a field file and whether all of it is as it should be."""
        good = lot.random() < 0.3

        def value(key: str, *fit: str) -> str:
            odd = not good and lot.random() < 0.12
            return lot.choice((*self.UNFIT.get(key, self.PATHS), *NUMBERS) if odd else fit)

        names = ('"mine"', '"m-1"')
        lines = [f"name = {value('name', *names)}"]
        for band in BANDS:
            lines.append(f"[bands.{value('band', band, band.upper(), band[1:-1])}]")
            for kind in ("sci", "wht"):
                place = f'"{STAMPS}/new_stamps/1_60mas_{band}_{kind}.fits"'
                lines.append(f"{kind} = {value(kind, place)}")
            sky = f'"{STAMPS}/NEW_SKY/sky_1_{band[1:-1]}.txt"'
            for key, fit in {**self.FIT, "sky": (sky, "0.001", "0", "-1e-4")}.items():
                if lot.random() < 0.4:
                    lines.append(f"{key} = {value(key, *fit)}")
        if lot.random() < 0.6:
            place = f'"{STAMPS}/segment_maps/udf_mosaic_1_HST_SEGMAP.fits"'
            lines += ["[labels]", f"path = {value('path', place)}"]
            for key, fit in (("hdu", ("1", '"DATA"')), ("ids", ("[4001]", "[]", "[4001, 4002]"))):
                if lot.random() < 0.4:
                    lines.append(f"{key} = {value(key, *fit)}")
        return "\n".join(lines) + "\n", good

    def draw(self, lot: Lot, folder: Path) -> Text:
        text, good = self.text(lot)
        path = folder / "field.toml"
        if lot.random() < 0.7:
            path.write_text(text)
            return Text(path, good=good)
        return written(lot, path, text, good=good)

    def use(self, given: Text) -> Any:
        from hstcube.assembly.opening import open_files
        from hstcube.files.labels import open_labels
        from hstcube.files.levels import read_levels
        from hstcube.surveys.field_file import read_field_file

        files = read_field_file(given.path)
        cube = open_files(files, psf="gaussian")
        levels = read_levels(files, files.bands, scale=0.06)
        labels = open_labels(files.labels, hdu=files.hdu) if files.labels else None
        return files, cube, levels, labels

    def wrong(self, given: Text, result: Any) -> Iterator[str]:
        files, cube, levels, labels = result
        told = toml_of(given.data)
        if told is None:
            yield f"a field from what is no TOML | {files}"
        folder = Path(given.path).parent
        bands = {self.band(said): entry for said, entry in told["bands"].items()}
        if set(bands) != set(cube.band.values) or len(bands) != len(told["bands"]):
            yield f"other bands | {cube.band.values} for {list(bands)}"
        for i, name in enumerate(cube.band.values):
            yield from self.wrong_band(folder, bands[name], cube.isel(band=i), levels.get(name))
        if files.field != str(told.get("name", Path(given.path).stem)):
            yield f"another name | {files.field}"
        said = told.get("labels", {})
        if list(files.ids) != said.get("ids", []) or (labels is None) != ("path" not in said):
            yield f"other ids or no map | {files.ids}"

    @staticmethod
    def wrong_band(folder: Path, entry: Any, one: Any, level: Any) -> Iterator[str]:
        """Yield what is wrong with one band."""
        name = one.band.item()
        sci, wht = (physical(read(folder / entry[kind])[0]) for kind in ("sci", "wht"))
        if not same(one.sci.values, sci):
            yield f"other pixels | {name}"
        power = {"ivar": 1, "rms": -2, "variance": -1}[entry.get("wht_kind", "ivar")]
        if not same(one.wht.values, wht**power, rtol=1e-5):
            yield f"other weights | {name}, {entry.get('wht_kind')}"
        for key in ("zeropoint", "psf_fwhm", "exposure"):
            if key in entry and one[key].item() != float(entry[key]):
                yield f"another {key} | {one[key].item()}"
        sky = entry.get("sky")
        number = (folder / sky).read_text() if isinstance(sky, str) else sky
        if (level is None) != (sky is None) or (level and level[0] != float(number)):
            yield f"another level | {level} for {sky}"

    def good(self, given: Text) -> bool:
        return given.good

    @staticmethod
    def band(said: str) -> str:
        name = said.strip().lower()
        return {band[1:-1]: band for band in BANDS}.get(name, name)


class Record(NamedTuple):
    """A run into a folder where a file called run.json is already."""

    out: Path
    before: bytes | None  # None: it is no file
    fails: bool
    overwrite: bool


class Records(Door):
    """run.json of an earlier run, met by the next one."""

    name = "records"

    def prepare(self, folder: Path) -> None:
        prepare_odd_paths(folder)
        write_field(folder, bands=("f160w",), shape=(12, 14))
        self.folder = folder
        old = {"status": "ok", "field": "9", "ids": [1], "bands": ["f160w"], "pixels": 4}
        self.good_text = json.dumps({"hstcube": "0.1.0", "targets": {"old": old, "1": old}})

    def draw(self, lot: Lot, folder: Path) -> Record:
        out = folder / "out"
        out.mkdir()
        path = out / "run.json"
        odd = (
            "null", "[]", "3", '"x"', "{}", '{"targets": null}', '{"targets": []}', "[[" * 5000,
            '{"targets": {"1": 3}}', '{"targets": {"1": null}}', '{"targets": {"1": []}}',
            '{"targets": "x"}', '{"targets": {"old": NaN}}', '{"targets": {"": {"status": 1}}}',
            "", '{"targets": {"1": {"status": ["ok"]}}}', '{"targets": {"1": {"status": {}}}}',
        )  # fmt: skip
        text = lot.choice(odd) if lot.random() < 0.3 else self.good_text
        given = written(lot, path, text)
        if given.path is not None and str(given.path) != str(path):  # another kind of thing
            path.unlink()
            try:
                odd_one = Path(given.path)
                if odd_one.is_symlink() or odd_one.exists():
                    odd_one.rename(path)
            except (TypeError, ValueError, OSError):
                pass
        regular = path.is_file() and not path.is_symlink()
        before = path.read_bytes() if regular else None
        return Record(out, before, lot.random() < 0.8, lot.random() < 0.7)

    def use(self, given: Record) -> Any:
        from hstcube.pipeline.options import Options
        from hstcube.pipeline.plan import plan
        from hstcube.pipeline.runs import run

        target = plan(self.folder, ["1"], [], scale="60mas")[0]
        recipe = {"sky": None, "ids": [77 if given.fails else 4001]}
        options = Options(
            recipe=recipe, netcdf=False, masked=not given.fails, overwrite=given.overwrite,
            bands=("f999w",) if given.fails else (), psf="gaussian",
        )  # fmt: skip
        return run([target], given.out, options)

    def wrong(self, given: Record, result: Any) -> Iterator[str]:
        path = given.out / "run.json"
        if not path.is_file():
            if not given.fails:
                yield "products without a record | "
            return
        try:
            record = json.loads(path.read_bytes())
            mine = record["targets"]["1"]
        except (ValueError, KeyError, TypeError) as error:
            yield f"no record of this run | {error}"
        old = self.targets(given.before)
        if (mine["status"] == "ok") == given.fails and "1" not in old:
            yield f"another record of this run | {mine['status']}, {result[0].error}"
        lost = [name for name in old if name != "1" and record["targets"].get(name) != old[name]]
        if lost:
            yield f"lost the record of other targets | {lost}"

    def spoilt(self, given: Record) -> str:
        products = [path for path in given.out.iterdir() if path.suffix == ".fits"]
        path = given.out / "run.json"
        if products and not path.exists():
            return "products without a record | "
        if self.targets(given.before) and not path.is_file():
            return "the record of earlier runs is gone | "
        return ""

    @staticmethod
    def targets(data: bytes | None) -> dict[str, Any]:
        """Return the targets of a record that can be read."""
        try:
            found = json.loads(decoded(data or b"") or "")["targets"]
        except (ValueError, KeyError, TypeError, RecursionError):
            return {}
        return {k: v for k, v in found.items() if v == v} if isinstance(found, dict) else {}  # noqa: PLR0124  NaN


class Curves(Door):
    """The throughput of a filter: a text of two columns, given as `curves=`."""

    name = "curves"

    def prepare(self, folder: Path) -> None:
        prepare_odd_paths(folder)
        points = [(3500 + 50 * i, math.exp(-0.5 * ((i - 20) / 8) ** 2)) for i in range(40)]
        self.text = "# wavelength throughput\n" + "".join(f"{w:.1f} {t:.5f}\n" for w, t in points)
        from hstcube import photometry

        self.cube = small_cube()
        self.table = photometry(self.cube, small_map())

    def draw(self, lot: Lot, folder: Path) -> Text:
        text = self.text
        if lot.random() < 0.3:
            words = text.split()
            at = lot.randrange(3, len(words))
            text = text.replace(words[at], lot.choice(NUMBERS), 1)
        elif lot.random() < 0.2:
            text = lot.choice((text.replace(" ", ","), text.replace("\n", "\r\n"),
                               text.replace(" ", "  7 "), text.replace(".", ",")))  # fmt: skip
        given = written(lot, folder / "curve.txt", text, good=text == self.text)
        if given.path == folder / "curve.txt" and lot.random() < 0.1:
            packed = folder / "curve.txt.gz"
            packed.write_bytes(gzip.compress(given.data))
            return Text(packed, good=False)
        return given

    def use(self, given: Text) -> Any:
        from hstcube.sed.curves import curve_of
        from hstcube.sed.eazy import eazy_files

        files = {"f435w": given.path}
        curve = curve_of("f435w", files=files)
        return curve, eazy_files(self.table, redshift=0.5, floor=0.05, curves=files)

    def wrong(self, given: Text, result: Any) -> Iterator[str]:
        curve, files = result
        data = given.data
        text = decoded(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)
        if text is None:
            yield "a curve from what is not text | "
        rows = [line.split("#")[0].split() for line in text.replace("\r", "\n").split("\n")]
        rows = [row for row in rows if row]
        if any(len(row) < 2 for row in rows):
            yield "a curve from lines that are not two columns | "
        points = np.array([[float(cell) for cell in row[:2]] for row in rows])
        if not np.array_equal(points, np.transpose([curve.wavelength, curve.throughput])):
            yield f"another curve | {len(points)} points, {len(curve.wavelength)} came out"
        wavelength, throughput = points.T
        if not (np.diff(wavelength) > 0).all() or not np.isfinite(points).all():
            yield "a curve that cannot be | wavelengths do not increase, or are not finite"
        # measured wings may go a little below zero
        if (
            wavelength[0] <= 0
            or throughput.min() < -0.1 * throughput.max()
            or throughput.max() > 1e30
        ):
            yield (
                f"a curve that cannot be | {wavelength[0]}, {throughput.min()}..{throughput.max()}"
            )
        lines = files["hst.filters.res"].decode().splitlines()[1 : len(points) + 1]
        mine = np.array([line.split()[1:] for line in lines], float)
        if not np.allclose(mine, points, rtol=1e-5, atol=0.006):
            yield "another curve in EAZY's file | "

    def good(self, given: Text) -> bool:
        return given.good


DOORS = [Levels(), Recipes(), FieldFileDoor(), Records(), Curves()]
