"""Doors of our own products: sets of FITS files, and netCDF."""

from __future__ import annotations

import json
import math
import shutil
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from damage import NOT_FILES, damaged, odd_path, prepare_odd_paths
from doors import Door
from small import SCALE, small_cube

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import xarray as xr
    from doors import Lot

OF_BANDS = ("psf_fwhm", "matched_to", "sky", "sky_error", "zeropoint", "pivot", "noise_scale",
           "exposure")  # fmt: skip
PIXELS = ("sci", "wht", "mask", "noise_acf", "psf")
AXES = ("band", "y", "x", "ky", "kx", "dy", "dx")


def product(cube: xr.Dataset) -> xr.Dataset:
    """Return a cube with everything that products hold."""
    n = 5
    acf = np.zeros((2, 3, 3), np.float32)
    acf[:, 1, 1], acf[:, 1, 0], acf[:, 1, 2] = 1, 0.3, 0.3
    y, x = np.indices((n, n)) - n // 2
    psf = np.exp(-0.5 * (y**2 + x**2) / 1.2)
    lags, steps = (np.arange(3) - 1) * SCALE, (np.arange(n) - n // 2) * SCALE
    return cube.assign_coords(
        noise_scale=("band", [1.0, 0.5]), noise_acf=(("band", "dy", "dx"), acf),
        dy=("dy", lags), dx=("dx", lags), ky=("ky", steps), kx=("kx", steps),
        psf=(("band", "ky", "kx"), np.stack([psf / psf.sum()] * 2).astype(np.float32)),
    )  # fmt: skip


def differences(cube: xr.Dataset, other: xr.Dataset) -> list[str]:
    """Return what differs between a cube that was read and the one that was written."""
    if set(cube.band.values) == set(other.band.values):  # an edited pivot wavelength may turn them
        cube = cube.sel(band=other.band.values)
    found = [
        name
        for name in (*AXES, *OF_BANDS, *PIXELS)
        if (name in cube.variables) != (name in other.variables)
        or (name in cube.variables and not same(cube[name].values, other[name].values))
    ]
    if {k: str(v) for k, v in cube.wcs.attrs.items()} != {
        k: str(v) for k, v in other.wcs.attrs.items()
    }:
        found.append("place")
    if int(cube.wcs) != int(other.wcs):
        found.append("fingerprint")
    found += [
        key for key in ("field", "history", "warnings") if cube.attrs[key] != other.attrs[key]
    ]
    if cube.sci.attrs["units"] != other.sci.attrs["units"]:
        found.append("units")
    return found


def same(one: Any, other: Any) -> bool:
    if one.shape != other.shape:
        return False
    if one.dtype.kind not in "fiub":
        return [str(v) for v in one.ravel()] == [str(v) for v in other.ravel()]
    # variances are rounded once more than weights
    rtol = 3e-7 if one.dtype == np.float32 else 1e-9
    return np.allclose(one, other, rtol=rtol, atol=1e-12, equal_nan=True)


class Set(NamedTuple):
    """A folder with products, and what was done to them; `may` differ by the files' own words."""

    folder: Any
    field: str
    done: str
    good: bool = False
    may: tuple[str, ...] = ()
    value: Any = None


class Products(Door):
    """A set of FITS products, read back as the cube that was written, or refused."""

    name = "products"
    long = 3000

    def prepare(self, folder: Path) -> None:
        from hstcube import subtract_sky, to_fits

        prepare_odd_paths(folder)
        self.cube = product(subtract_sky(small_cube(), 0.001))
        self.other = self.cube.assign(sci=self.cube.sci * 2)
        self.other.sci.attrs = dict(self.cube.sci.attrs)
        self.folders = {layout: folder / layout for layout in ("files", "mef", "variance")}
        to_fits(self.cube, self.folders["files"])
        to_fits(self.cube, self.folders["mef"], layout="mef")
        to_fits(self.cube, self.folders["variance"], noise="variance")
        self.second = folder / "second"
        to_fits(self.other, self.second)

    def draw(self, lot: Lot, folder: Path) -> Set:
        layout = lot.choice(tuple(self.folders))
        out = folder / "out"
        shutil.copytree(self.folders[layout], out)
        files = sorted(out.iterdir())
        way = lot.choice(
            ("nothing", "damage", "damage", "damage", "card", "card", "card", "pixel", "exchange",
             "rename", "rename", "lose", "mix", "add", "odd", "two layouts")
        )  # fmt: skip
        given = Set(out, "f1", f"{way} {layout}")
        return getattr(self, way.replace(" ", "_"))(lot, given, files)

    def nothing(self, _: Lot, given: Set, __: list[Path]) -> Set:
        return given._replace(good=True)

    def damage(self, lot: Lot, given: Set, files: list[Path]) -> Set:
        path = lot.choice(files)
        path.write_bytes(damaged(path.read_bytes(), lot))
        return given._replace(done=f"{given.done} of {path.name}")

    def exchange(self, lot: Lot, given: Set, files: list[Path]) -> Set:
        one, other = lot.sample(files, 2)
        data = one.read_bytes()
        one.write_bytes(other.read_bytes())
        other.write_bytes(data)
        return given._replace(done=f"exchange {one.name} {other.name}")

    def rename(self, lot: Lot, given: Set, files: list[Path]) -> Set:
        old = lot.choice(("f435w", "f160w"))
        new = lot.choice(("f775w", "f606w", "f1000w", "f435w2", "f150w"))
        if lot.random() < 0.2:
            for path in files:
                path.rename(path.with_name(path.name.replace("f1_", "f2_")))
            return given._replace(field="f2", done="rename the field", may=("field",), value="f2")
        chosen = [path for path in files if f"_{old}" in path.name]
        for path in lot.choice((chosen, chosen, chosen[:1])):
            path.rename(path.with_name(path.name.replace(old, new)))
        return given._replace(done=f"rename {old} to {new}")

    def lose(self, lot: Lot, given: Set, files: list[Path]) -> Set:
        for path in lot.sample(files, lot.choice((1, 1, 2))):
            path.unlink()
        return given._replace(done="lose a file")

    def mix(self, lot: Lot, given: Set, files: list[Path]) -> Set:
        for path in lot.sample(files, lot.choice((1, 1, 2))):
            if (other := self.second / path.name).exists():
                shutil.copy(other, path)
            else:
                path.unlink()
        return given._replace(done="mix with another cube")

    def add(self, lot: Lot, given: Set, files: list[Path]) -> Set:
        path = lot.choice(files)
        shutil.copy(
            path, path.with_name(path.name.replace("f435w", "f606w").replace("f160w", "f606w"))
        )
        return given._replace(done="add a copy under another band's name")

    def odd(self, lot: Lot, given: Set, files: list[Path]) -> Set:
        path = lot.choice(files)
        if lot.random() < 0.2:
            return given._replace(
                folder=odd_path(lot, given.folder.parent, path), done="odd folder"
            )
        place = given.folder.parent / "odd.fits"
        lot.choice(NOT_FILES)(lot, place, path)
        path.unlink()
        if place.is_symlink() or place.exists():
            place.rename(path)
        return given._replace(done=f"something else in place of {path.name}")

    def two_layouts(self, lot: Lot, given: Set, _: list[Path]) -> Set:
        for layout in ("files", "mef"):
            shutil.copytree(self.folders[layout], given.folder, dirs_exist_ok=True)
        if lot.random() < 0.5:
            return given._replace(done="two layouts of one cube")
        for path in self.second.iterdir():
            shutil.copy(path, given.folder)
        return given._replace(done="two layouts of two cubes")

    def pixel(self, lot: Lot, given: Set, files: list[Path]) -> Set:
        """Change a pixel, and renew the checksums."""
        path = lot.choice(files)
        value = lot.choice((math.nan, math.inf, -1.0, 0.0, 5.0, 1e38))
        with rewritten(path) as hdus:
            unit = lot.choice([unit for unit in hdus if unit.data is not None])
            where = tuple(lot.randrange(n) for n in unit.data.shape)
            with np.errstate(all="ignore"):
                unit.data[where] = np.array([value]).astype(unit.data.dtype)[0]
        return given._replace(
            done=f"pixel of {path.name} [{unit.name}] = {value}", may=PIXELS, value=value
        )

    CARDS: dict[str, tuple[tuple[str, ...], tuple[Any, ...]]] = {  # noqa: RUF012  never changed
        "ABZP": (("zeropoint",), (25.0, 1e5, -5.0, "25", True, 0)),
        "PSFFWHM": (("psf_fwhm",), (0.3, -0.3, 0.0, 1e9, "0.3")),
        "SKY": (("sky",), (0.5, "x", 1e300)),
        "SKYERR": (("sky_error",), (0.5, -0.5)),
        "PHOTPLAM": (("pivot", "band", "zeropoint"), (4000.0, -1.0, 0.0, 1e300, 99999.0)),
        "MATCHED": (("matched_to",), ("f160w", "0.3arcsec", "../x", "f999w", 3)),
        "BUNIT": (("units",), ("uJy", "nonsense", "mJy/sr", "", "electron", 3)),
        "FILTER": ((), ("F775W", "F160W", "F435W", "", "../x", 3)),
        "NBANDS": ((), (1, 3, 0, -2, 2.5, "2")),
        "HSTCUBE": ((), (0, 2, 99, -1, "1", 1.5)),
        "CUBEID": ((), ("0" * 16, "", 3)),
        "OBJECT": (("field",), ("f2", "../x", "", 3, "a b")),
        "NSCALE": (("noise_scale",), (2.0, -1.0, 0.0, "x", 1e300)),
        "EXTINCT": (("extinction",), (1.0, -1e5, "x")),
        "FILETYPE": ((), ("WHT", "SCI", "VAR", "MASK", "", "RMS", 3)),
        "BSCALE": (PIXELS, (2.0, 0.0, "x")),
        "BZERO": (PIXELS, (1.0, -1e30)),
        "BLANK": ((), (0, -1)),
        "CRPIX1": (("place", "x"), (5.0, 1.00001, 1e30, "x")),
        "CRVAL2": (("place",), (10.0, 95.0, -27.79000001)),
        "CD1_1": (("place",), (1e-5, 0.0, -1.66667e-5)),
        "CTYPE1": ((), ("GLON-TAN", "RA---SIN", "LINEAR", "")),
        "PIXSCALE": (("ky", "kx"), (0.03, 0.0, -0.06, "x")),
        "LAGX": (("dx",), (0.03, 0.0, -0.06, "x")),
        "TITLE": ((), ("another", 3)),
        "RECIPE": ((), ("original", "default", 3)),
        "EXTNAME": ((), ("SCI", "WHT", "PSFIMAGE", "NOISEACF", "X")),
    }  # fmt: skip

    def card(self, lot: Lot, given: Set, files: list[Path]) -> Set:
        """Change a card, and renew the checksums."""
        key = lot.choice(tuple(self.CARDS))
        may, values = self.CARDS[key]
        value = lot.choice((*values, None))
        everywhere = lot.random() < 0.3
        for path in files if everywhere else [lot.choice(files)]:
            with rewritten(path) as hdus:
                for unit in hdus:
                    if key in unit.header and value is None:
                        del unit.header[key]
                    elif key in unit.header or unit is hdus[0]:
                        unit.header[key] = value
        where = "all" if everywhere else path.name
        return given._replace(done=f"card {key} = {value!r} of {where}", may=may, value=value)

    def use(self, given: Set) -> Any:
        from hstcube import open_field

        return open_field(given.folder, given.field)

    def wrong(self, given: Set, cube: Any) -> Iterator[str]:
        from hstcube import validate

        validate(cube)
        apart = [
            name for name in differences(cube, self.cube) if name not in ("history", "warnings")
        ]
        if given.done == "two layouts of two cubes" and not differences(cube, self.other):
            return
        yield from impossible_states(cube, given.done)
        if "fingerprint" in apart and {"place", "x"} & {*apart}:
            apart.remove("fingerprint")
        apart = [name for name in apart if name not in given.may]
        if apart:
            yield f"another cube: {', '.join(apart)} | {given.done}"

    def good(self, given: Set) -> bool:
        return given.good


def impossible_states(cube: xr.Dataset, done: str) -> Iterator[str]:
    """Say which state of a cube cannot be."""
    if not all(0 < value < 60 for value in cube.psf_fwhm.values if not np.isnan(value)):
        yield f"a PSF of an impossible width | {done}"
    if not all(0 < value < 1e7 for value in cube.pivot.values):
        yield f"an impossible pivot wavelength | {done}"
    if not all(abs(value) < 100 for value in cube.zeropoint.values if not np.isnan(value)):
        yield f"an impossible zero point | {done}"
    if not all(value >= 0 for value in cube.sky_error.values if not np.isnan(value)):
        yield f"an impossible error of the sky | {done}"
    if "noise_scale" in cube.coords and not (cube.noise_scale.values > 0).all():
        yield f"an impossible scale of the noise | {done}"
    for axis in ("ky", "kx", "dy", "dx"):
        if axis in cube.coords and not (np.diff(cube[axis].values) > 0).all():
            yield f"pixels of an impossible size | {done}"
    if any("/" in str(name) for name in (cube.attrs["field"], *cube.band.values)):
        yield f"a name that leads out of a folder | {done}"


class rewritten:  # noqa: N801  a context manager, used like a function
    """Edit a FITS file with astropy, and renew its checksums."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> Any:
        from astropy.io import fits

        self.hdus = fits.open(self.path, memmap=False, do_not_scale_image_data=True)
        for unit in self.hdus:
            assert unit.data is None or unit.data.size
        return self.hdus

    def __exit__(self, *_: object) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.hdus.writeto(self.path, overwrite=True, checksum=True, output_verify="ignore")
        self.hdus.close()


class NetCDF(NamedTuple):
    """A netCDF file, and what was done to it."""

    path: Any
    done: str
    good: bool
    chunks: Any


class NetCDFs(Door):
    """A netCDF product, opened as the cube that was saved, or refused."""

    name = "netcdf"
    long = 3000

    def prepare(self, folder: Path) -> None:
        from hstcube import save_cube, subtract_sky

        prepare_odd_paths(folder)
        cube = subtract_sky(small_cube(), 0.001)
        self.cube, self.path = product(cube), folder / "cube.nc"
        save_cube(self.cube, self.path)
        self.data = self.path.read_bytes()

    def draw(self, lot: Lot, folder: Path) -> NetCDF:
        path = folder / "cube.nc"
        chunks = lot.choice((None, None, None, {"y": 7, "x": 22}))
        way, good = lot.random(), False
        path.write_bytes(self.data)
        if way < 0.08:
            done, good = "nothing", True
        elif way < 0.55:
            raw = bytearray(self.data)
            for _ in range(lot.choice((1, 1, 1, 2, 9))):
                raw[lot.randrange(len(raw))] ^= 1 << lot.randrange(8)
            path.write_bytes(bytes(raw))
            done = "flipped bits"
        elif way < 0.68:
            path.write_bytes(damaged(self.data, lot))
            done = "damaged"
        elif way < 0.74:
            path, done = odd_path(lot, folder, path), "odd path"
        elif way < 0.92:
            done = lot.choice(EDITS)(lot, path)
        else:
            done = foreign(lot, path)
        return NetCDF(path, done, good, chunks)

    def use(self, given: NetCDF) -> Any:
        from hstcube import open_cube

        return open_cube(given.path, chunks=given.chunks).compute()

    def wrong(self, given: NetCDF, cube: Any) -> Iterator[str]:
        from hstcube import validate

        validate(cube)
        if given.done.startswith("foreign"):
            yield from impossible_states(cube, given.done)
            return
        apart = differences(cube, self.cube)
        if given.done.startswith("harmless") and not set(apart) - {"history"}:
            return
        if apart:
            yield f"another cube: {', '.join(apart)} | {given.done}"

    def good(self, given: NetCDF) -> bool:
        return given.good


def edited(what: str, change: Any) -> Any:
    """Return an edit that is made with netCDF4, as people make it."""

    def edit(lot: Lot, path: Path) -> str:
        import netCDF4

        with netCDF4.Dataset(path, "a") as file:
            file.set_auto_maskandscale(False)
            change(lot, file)
        return what

    return edit


def set_values(name: str, value: Any) -> Any:
    def change(lot: Lot, file: Any) -> None:
        values = file[name][...]
        values[tuple(lot.randrange(n) for n in values.shape)] = value
        file[name][...] = values

    return change


EDITS = (
    edited("a pixel of sci", set_values("sci", 5.0)),
    edited("NaN in sci", set_values("sci", math.nan)),
    edited("a negative weight", set_values("wht", -1.0)),
    edited("an infinite weight", set_values("wht", math.inf)),
    edited("another zero point", set_values("zeropoint", 20.0)),
    edited("another width", set_values("psf_fwhm", -0.3)),
    edited("another label of x", set_values("x", 0.0)),
    edited("another band", set_values("band", "f775w")),
    edited("a band that leads out", set_values("band", "../../evil")),
    edited("another unit", lambda _, file: file["sci"].setncattr("units", "uJy")),
    edited("another reference pixel", lambda _, file: file["wcs"].setncattr("CRPIX1", 9.0)),
    edited("an impossible projection", lambda _, file: file["wcs"].setncattr("CTYPE1", "LINEAR")),
    edited("no reference pixel", lambda _, file: file["wcs"].delncattr("CRPIX1")),
    edited("another fingerprint", lambda _, file: file["wcs"].assignValue(7)),
    edited("another field", lambda _, file: file.setncattr("field", "../x")),
    edited("no history", lambda _, file: file.delncattr("history")),
    edited("a variable renamed", lambda _, file: file.renameVariable("wht", "weight")),
    edited("a dimension renamed", lambda _, file: file.renameDimension("y", "row")),
    edited("scaled", lambda _, file: file["sci"].setncattr("scale_factor", 2.0)),
    edited("filled", lambda _, file: file["wht"].setncattr("missing_value", np.float32(0))),
    edited("harmless: one more attribute", lambda _, file: file.setncattr("note", "mine")),
)


def by_xarray(change: Any, **how: Any) -> Any:
    return lambda lot, path: change(small_cube(), lot).to_netcdf(path, engine="netcdf4", **how)


def by_netcdf4(fill: Any) -> Any:
    def write(_: Lot, path: Path) -> None:
        import netCDF4

        with netCDF4.Dataset(path, "w") as file:
            fill(file)

    return write


def texts_for_images(file: Any) -> None:
    file.createDimension("band", 2)
    file.createVariable("sci", str, ("band",))[:] = np.array(["a", "b"], object)


def enormous(file: Any) -> None:
    for name, size in (("band", 3), ("y", 10**6), ("x", 10**5)):
        file.createDimension(name, size)
    for name, kind in (("sci", "f4"), ("wht", "f4"), ("mask", "i1")):
        file.createVariable(name, kind, ("band", "y", "x"), zlib=True, chunksizes=(1, 9, 9))


def with_digests(cube: xr.Dataset, lot: Lot) -> xr.Dataset:
    said = lot.choice(({}, [], 3, {"sci": 3}, {"sci": "0" * 64}))
    return cube.assign_attrs(hstcube_digests=json.dumps(said))


FOREIGN = {
    "xarray": by_xarray(lambda cube, _: cube),
    "xarray without wcs": by_xarray(lambda cube, _: cube.drop_vars("wcs")),
    "another dataset": by_xarray(lambda cube, _: cube[["zeropoint"]].rename(zeropoint="t2m")),
    "digests of nothing": by_xarray(with_digests),
    "netCDF-3": by_xarray(
        lambda cube, _: cube.drop_vars("mask").assign_coords(wcs=0), format="NETCDF3_64BIT"
    ),
    "groups": by_netcdf4(lambda file: file.createGroup("a/b/c")),
    "empty": by_netcdf4(lambda _: None),
    "texts": by_netcdf4(texts_for_images),
    "enormous": by_netcdf4(enormous),
}


def foreign(lot: Lot, path: Path) -> str:
    """Write a netCDF file that is none of ours: what xarray or others write, or claim."""
    path.unlink()
    what = lot.choice(tuple(FOREIGN))
    FOREIGN[what](lot, path)
    return f"foreign: {what}"


DOORS = [Products(), NetCDFs()]
