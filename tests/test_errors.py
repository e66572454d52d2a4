"""Bad input: each defect is made here once, and must come out as one kind of error that says what, where and what to do."""

from __future__ import annotations

import gzip
import os
import pickle
import re
import shutil
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
import xarray as xr
from astropy.io import fits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stamps import BANDS, NEIGHBOUR, OBJECT, SKY, edit_bytes, label_map, rewrite, sky_file, stamp, write_field

import hstcube
from hstcube import grids, psf, recipes, runs, surveys
from hstcube.errors import (
    BandError,
    CubeError,
    FileError,
    GridError,
    HstCubeError,
    HstCubeWarning,
    LabelError,
    PSFError,
    RecipeError,
    SkyError,
    WriteError,
    codes,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings(
    "ignore::hstcube.errors.HstCubeWarning"
)  # every made-up field has a wrong camera

SCI, WHT = "1_60mas_f435w_sci.fits", "1_60mas_f435w_wht.fits"
MAP = "udf_mosaic_1_HST_SEGMAP.fits"


# -- what is done with a folder


def open_it(folder: Path) -> xr.Dataset:
    return hstcube.open_field(folder, "1")


def open_only(*bands: str) -> Callable[[Path], xr.Dataset]:
    return lambda folder: hstcube.open_field(folder, "1", bands=bands)


def open_map(folder: Path) -> xr.DataArray:
    return hstcube.open_labels(label_map(folder))


def open_map_hdu(hdu: str | int) -> Callable[[Path], xr.DataArray]:
    return lambda folder: hstcube.open_labels(label_map(folder), hdu=hdu)


def homogenize(folder: Path, **options: Any) -> xr.Dataset:
    return hstcube.homogenize(open_it(folder), labels=open_map(folder), **options)


def run(
    folder: Path,
    *,
    source: Path | None = None,
    ids: tuple[str, ...] = (),
    recipe: dict[str, Any] | None = None,
    **places: Any,
) -> None:
    """Run one field; raise what `hstcube run` records and shows."""
    options = runs.Options(recipe or {}, netcdf=False, masked=places.pop("masked", True))
    targets = runs.plan(source or folder, places.pop("fields", []), ids, scale="60mas", **places)
    for outcome in runs.run(targets, folder.parent / f"{folder.name}-out", options):
        if outcome.error:
            raise outcome.error


def run_field_file(text: str) -> Callable[[Path], None]:
    def use(folder: Path) -> None:
        (folder / "field.toml").write_text(text)
        run(folder, source=folder / "field.toml")

    return use


def read_recipe(text: str | bytes) -> Callable[[Path], Any]:
    def use(folder: Path) -> Any:
        (folder / "recipe.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
        return recipes.read_recipe(folder / "recipe.toml")

    return use


# -- what is spoiled


def spoil(band: str = "f435w", kind: str = "sci", **how: Any) -> Callable[[Path], Any]:
    return lambda folder: rewrite(stamp(folder, band, kind), **how)


def spoil_map(**how: Any) -> Callable[[Path], Any]:
    return lambda folder: rewrite(label_map(folder), **how)


def nothing(folder: Path) -> None:
    pass


def replace_by(data: bytes, kind: str = "sci") -> Callable[[Path], Any]:
    return lambda folder: stamp(folder, "f435w", kind).write_bytes(data)


def cut_to(size: int) -> Callable[[Path], Any]:
    return lambda folder: os.truncate(stamp(folder, "f435w"), size)


def flip_a_bit_of_the_pixels(folder: Path) -> None:
    path = rewrite(stamp(folder, "f435w"), checksum=True)
    data = bytearray(path.read_bytes())
    data[5000] ^= 1  # the header of a stamp is one block of 2880 bytes
    path.write_bytes(data)


def edit_after_the_checksum(folder: Path) -> None:
    edit_bytes(
        rewrite(stamp(folder, "f435w"), checksum=True),
        b"EXPTIME =                  1.0",
        b"EXPTIME =                  2.0",
    )


def write_sky(text: str) -> Callable[[Path], Any]:
    return lambda folder: sky_file(folder, "f435w").write_text(text)


def units_of(*units: tuple[fits.PrimaryHDU | fits.ImageHDU, ...]) -> Callable[[Path], Any]:
    return lambda folder: fits.HDUList(list(units)).writeto(stamp(folder, "f435w"), overwrite=True)


def three_chips(folder: Path) -> None:
    path = stamp(folder, "f435w")
    with fits.open(path, memmap=False) as hdus:
        chips = [fits.ImageHDU(hdus[0].data, hdus[0].header, name="SCI", ver=i) for i in (1, 2, 3)]
    fits.HDUList([fits.PrimaryHDU(), *chips]).writeto(path, overwrite=True)


def swap_sci_and_wht(folder: Path) -> None:
    sci, wht = stamp(folder, "f435w"), stamp(folder, "f435w", "wht")
    aside = folder / "aside.fits"
    sci.rename(aside)
    wht.rename(sci)
    aside.rename(wht)


def swap_sci_and_wht_that_do_not_say_what_they_are(folder: Path) -> None:
    for kind in ("sci", "wht"):
        rewrite(stamp(folder, "f435w", kind), cards={"FILETYPE": None})
    swap_sci_and_wht(folder)


def three_bands_of_which_one_is_compressed_too(folder: Path) -> None:
    path = stamp(folder, "f435w")
    path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))


def band_in_both_places(folder: Path) -> None:
    shutil.copy(stamp(folder, "f435w"), folder)


def band_under_two_spellings(folder: Path) -> None:
    for kind in ("sci", "wht"):
        shutil.copy(stamp(folder, "f435w", kind), stamp(folder, "F435W", kind))


def remove(*paths: Callable[[Path], Path]) -> Callable[[Path], Any]:
    def make(folder: Path) -> None:
        for path in paths:
            path(folder).unlink()

    return make


def put_directory(folder: Path) -> None:
    stamp(folder, "f435w").unlink()
    stamp(folder, "f435w").mkdir()


def put_fifo(folder: Path) -> None:
    stamp(folder, "f435w").unlink()
    os.mkfifo(stamp(folder, "f435w"))


def put_device(folder: Path) -> None:
    stamp(folder, "f435w").unlink()
    stamp(folder, "f435w").symlink_to("/dev/zero")


def put_link_to_itself(folder: Path) -> None:
    path = stamp(folder, "f435w")
    path.unlink()
    path.symlink_to(path)


def set_pixels(value: float, count: int = 10) -> Callable[[np.ndarray], np.ndarray]:
    def pixels(image: np.ndarray) -> np.ndarray:
        image = image.copy()
        image.flat[:count] = value
        return image

    return pixels


def move_by(pixels: float, kind: str = "sci", band: str = "f435w") -> Callable[[Path], Any]:
    def make(folder: Path) -> None:
        path = stamp(folder, band, kind)
        rewrite(path, cards={"CRPIX1": fits.getval(path, "CRPIX1") + pixels})

    return make


def centre_of_the_map(value: float) -> Callable[[np.ndarray], np.ndarray]:
    def pixels(labels: np.ndarray) -> np.ndarray:
        labels = labels.copy()
        labels[labels.shape[0] // 2, labels.shape[1] // 2] = value
        return labels

    return pixels


def map_of_another_field(folder: Path) -> None:
    write_field(folder, "2", bands=("f160w",))
    shutil.copy(label_map(folder, "2"), label_map(folder, "1"))


def cards(**values: Any) -> Callable[[Path], Any]:
    return spoil(cards=values)


NO_WCS = dict.fromkeys(
    [
        "WCSAXES",
        *(f"{key}{i}" for key in ("CTYPE", "CRVAL", "CRPIX") for i in (1, 2)),
        *(f"CD{i}_{j}" for i in (1, 2) for j in (1, 2)),
    ]
)


# -- the catalogue


class Defect(NamedTuple):
    """How a good field is spoiled, and the error that must come of it when it is used."""

    make: Callable[[Path], Any]
    error: type[HstCubeError]
    code: str
    said: str  # part of the reason: what was got
    file: str = ""  # where there is one to name
    band: str = ""
    use: Callable[[Path], Any] = open_it


HTML = b"<!DOCTYPE html><html><body>404</body></html>"
FILES = {
    "missing science image": Defect(remove(lambda f: stamp(f, "f435w")), FileError, "HC-F01", WHT, band="f435w"),
    "missing weight image": Defect(remove(lambda f: stamp(f, "f435w", "wht")), FileError, "HC-F01", SCI, band="f435w"),
    "missing band": Defect(nothing, FileError, "HC-F01", "f435w, f850lp, f160w", band="f125w", use=open_only("f125w")),
    "missing field": Defect(nothing, FileError, "HC-F01", "1", use=lambda f: hstcube.open_field(f, "7")),
    "missing scale": Defect(
        nothing, FileError, "HC-F01", "60mas", use=lambda f: hstcube.open_field(f, "1", scale="30mas")
    ),
    "missing folder": Defect(
        nothing, FileError, "HC-F01", "folder", "nowhere", use=lambda f: hstcube.open_field(f / "nowhere", "1")
    ),
    "truncated pixels": Defect(cut_to(6000), FileError, "HC-F02", "6000 of", SCI, "f435w"),
    "truncated header": Defect(cut_to(1000), FileError, "HC-F04", "corrupt", SCI, "f435w"),
    "empty": Defect(replace_by(b""), FileError, "HC-F04", "empty", SCI, "f435w"),
    "web page": Defect(replace_by(HTML), FileError, "HC-F04", "<!DOCTYPE", SCI, "f435w"),
    "web page as weights": Defect(replace_by(HTML, "wht"), FileError, "HC-F04", "<!DOCTYPE", WHT, "f435w"),
    "foreign": Defect(replace_by(b"\x89PNG\r\n\x1a\n" + bytes(5000)), FileError, "HC-F04", "PNG", SCI, "f435w"),
    "directory": Defect(put_directory, FileError, "HC-F24", "regular file", SCI, "f435w"),
    "fifo": Defect(put_fifo, FileError, "HC-F24", "regular file", SCI, "f435w"),
    "device": Defect(put_device, FileError, "HC-F24", "regular file", SCI, "f435w"),
    "link to itself": Defect(put_link_to_itself, FileError, "HC-F01", "no such file", SCI, "f435w"),
    "flipped bit": Defect(flip_a_bit_of_the_pixels, FileError, "HC-F05", "DATASUM", SCI, "f435w"),
    "edited header": Defect(edit_after_the_checksum, FileError, "HC-F05", "CHECKSUM", SCI, "f435w"),
    "1.2 TB declared": Defect(
        lambda f: edit_bytes(stamp(f, "f435w"), b"NAXIS1  =                   44", b"NAXIS1  =           7500000000"),
        FileError,
        "HC-F02",
        "of 1200000002880 bytes",
        SCI,
        "f435w",
    ),
    "negative size": Defect(
        lambda f: edit_bytes(stamp(f, "f435w"), b"NAXIS1  =                   44", b"NAXIS1  =                  -44"),
        FileError,
        "HC-F04",
        "",
        SCI,
        "f435w",
    ),
    "several chips": Defect(three_chips, FileError, "HC-F12", "3 images", SCI, "f435w"),
    "cube of five planes": Defect(
        spoil(pixels=lambda a: np.stack([a] * 5)), FileError, "HC-F13", "(5, 40, 44)", SCI, "f435w"
    ),
    "one axis": Defect(units_of(fits.PrimaryHDU(np.ones(99))), FileError, "HC-F13", "(99,)", SCI, "f435w"),
    "table": Defect(
        units_of(fits.PrimaryHDU(), fits.BinTableHDU(np.array([(1, 2.0)], "i4,f4"))),
        FileError,
        "HC-F14",
        "no image",
        SCI,
        "f435w",
    ),
    "no pixels": Defect(units_of(fits.PrimaryHDU()), FileError, "HC-F14", "no image", SCI, "f435w"),
    "swapped sci and wht": Defect(swap_sci_and_wht, FileError, "HC-D14", "WHT", SCI, "f435w"),
    "science image as weights": Defect(
        lambda f: shutil.copy(stamp(f, "f435w"), stamp(f, "f435w", "wht")),
        FileError,
        "HC-D14",
        "SCI",
        WHT,
        "f435w",
    ),
    "swapped without a word": Defect(
        swap_sci_and_wht_that_do_not_say_what_they_are,
        CubeError,
        "HC-D10",
        "negative",
        WHT,
        "f435w",
    ),
}

PIXELS = {
    "other shape of wht": Defect(
        spoil(kind="wht", pixels=lambda a: a[:-2, :-3]), GridError, "HC-D01", "(40, 44) and (38, 41)", SCI, "f435w"
    ),
    "other shape of a band": Defect(
        lambda f: [rewrite(stamp(f, "f160w", kind), pixels=lambda a: a[:, :-3]) for kind in ("sci", "wht")],
        GridError,
        "HC-D01",
        "(40, 44) and (40, 41)",
        "1_60mas_f160w_sci.fits",
        "f160w",
    ),
    "other grid of wht": Defect(move_by(2e-4, "wht"), GridError, "HC-D02", "0.0002 pixels", SCI, "f435w"),
    "other grid of a band": Defect(
        lambda f: [move_by(7, kind, "f160w")(f) for kind in ("sci", "wht")],
        GridError,
        "HC-D02",
        "7 pixels",
        "1_60mas_f160w_sci.fits",
        "f160w",
    ),
    "nothing but NaN": Defect(spoil(pixels=lambda a: a * np.nan), CubeError, "HC-D08", "no pixel", SCI, "f435w"),
    "nothing but weights of zero": Defect(
        spoil(kind="wht", pixels=np.zeros_like), CubeError, "HC-D08", "no pixel", SCI, "f435w"
    ),
    "negative weights": Defect(
        spoil(kind="wht", pixels=set_pixels(-1)), CubeError, "HC-D10", "10 of 1760", WHT, "f435w"
    ),
    "weights of NaN": Defect(
        spoil(kind="wht", pixels=set_pixels(np.nan)), CubeError, "HC-D10", "10 of 1760", WHT, "f435w"
    ),
    "infinite weights": Defect(
        spoil(kind="wht", pixels=set_pixels(np.inf)), CubeError, "HC-D10", "10 of 1760", WHT, "f435w"
    ),
    "unknown unit": Defect(
        lambda f: [rewrite(stamp(f, band), cards={"BUNIT": "BANANAS"}) for band in BANDS],
        CubeError,
        "HC-C04",
        "BANANAS",
    ),
    "different units": Defect(
        spoil(cards={"BUNIT": "nJy"}), CubeError, "HC-D21", "'f435w': 'nJy', 'f850lp': 'electron s-1'"
    ),
    "unknown kind of weights": Defect(
        nothing,
        CubeError,
        "HC-D13",
        "exposure",
        WHT,
        "f435w",
        use=lambda f: hstcube.open_bands(
            {"f435w": (stamp(f, "f435w"), stamp(f, "f435w", "wht"))}, field="1", wht_kind="exposure"
        ),
    ),
}

NAMES = {
    "compressed twin": Defect(
        three_bands_of_which_one_is_compressed_too, FileError, "HC-B02", f"{SCI}.gz", SCI, "f435w"
    ),
    "band in both folders": Defect(band_in_both_places, FileError, "HC-B02", f"new_stamps/{SCI}", SCI, "f435w"),
    "band spelled twice": Defect(
        band_under_two_spellings, FileError, "HC-B02", "F435W", "1_60mas_F435W_sci.fits", "f435w"
    ),
    "band asked for twice": Defect(
        nothing, BandError, "HC-B02", "twice", band="f435w", use=open_only("f435w", "F435W")
    ),
    "band given twice": Defect(
        nothing,
        BandError,
        "HC-B02",
        "twice",
        band="f435w",
        use=lambda f: hstcube.open_bands(
            dict.fromkeys(["435", "F435W"], (stamp(f, "f435w"), stamp(f, "f435w", "wht"))), field="1"
        ),
    ),
    "wrong FILTER": Defect(cards(FILTER="F606W"), BandError, "HC-B03", "F606W", SCI, "f435w"),
    "wrong FILTER of the weights": Defect(
        spoil(kind="wht", cards={"FILTER": "F606W"}), BandError, "HC-B03", "F606W", WHT, "f435w"
    ),
    "filter no camera has": Defect(
        lambda f: [
            rewrite(stamp(f, "f435w", kind), cards={"FILTER": "F436W"}, to=stamp(f, "f436w", kind))
            for kind in ("sci", "wht")
        ],
        BandError,
        "HC-B07",
        "f436w",
        band="f436w",
    ),
    "width of a band that is not there": Defect(
        nothing,
        BandError,
        "HC-B01",
        "f606w",
        band="f606w",
        use=lambda f: hstcube.open_field(f, "1", psf_fwhm={"f606w": 0.1}),
    ),
    "label of another scale": Defect(
        lambda f: [
            path.rename(path.with_name(path.name.replace("60mas", "30mas"))) for path in (f / "new_stamps").iterdir()
        ],
        GridError,
        "HC-W23",
        "60.00 mas",
        "1_30mas_f435w_sci.fits",
        "f435w",
        use=lambda f: hstcube.open_field(f, "1", scale="30mas"),
    ),
    **{
        f"field {name[:9]!r}": Defect(
            nothing, RecipeError, "HC-B12", name[:20] or "''", use=lambda f, name=name: hstcube.open_field(f, name)
        )
        for name in ("../1", "/etc/passwd", "a/b", "a:b", "-rf", "", "x" * 65, "1*", ".hidden", "a b")
    },
    "field with a NUL": Defect(nothing, RecipeError, "HC-B12", r"a\x00", use=lambda f: hstcube.open_field(f, "a\0")),
    "field of open_bands": Defect(
        nothing,
        RecipeError,
        "HC-B12",
        "../x",
        use=lambda f: hstcube.open_bands({"f435w": (stamp(f, "f435w"), stamp(f, "f435w", "wht"))}, field="../x"),
    ),
    "target that escapes": Defect(nothing, RecipeError, "HC-B12", "../m3", use=lambda f: run(f, ids=("../m3=1:4001",))),
    "cube that escapes": Defect(
        nothing,
        RecipeError,
        "HC-B12",
        "../x",
        use=lambda f: hstcube.to_fits(open_it(f).assign_attrs(field="../x"), f / "out"),
    ),
    "two targets of one name": Defect(nothing, RecipeError, "HC-O07", "1", use=lambda f: run(f, ids=("1=1:4001",))),
    "two further targets of one name": Defect(
        nothing, RecipeError, "HC-O07", "called M", use=lambda f: run(f, ids=("m=1:4001", "M=1:4002"))
    ),
    "ids that are no numbers": Defect(nothing, RecipeError, "HC-B20", "1=a", use=lambda f: run(f, ids=("1=a",))),
    "ids of a field that is not in the run": Defect(
        lambda f: write_field(f, "2", bands=("f160w",)),
        RecipeError,
        "HC-B21",
        "2",
        use=lambda f: run(f, fields=["1"], ids=("2=4001",)),
    ),
    "pattern without a band": Defect(
        nothing,
        RecipeError,
        "HC-B18",
        "{field}_sci.fits",
        use=lambda f: run(f, images=str(f / "{field}_sci.fits")),
    ),
    "pattern with a kind alone": Defect(
        nothing,
        RecipeError,
        "HC-B18",
        "{kind}.fits",
        use=lambda f: run(f, images=str(f / "{kind}.fits")),
    ),
    "pattern with an unknown part": Defect(
        nothing,
        RecipeError,
        "HC-B18",
        "{filter}",
        use=lambda f: run(f, images=str(f / "{field}_{band}_{filter}_sci.fits")),
    ),
}

WCS = {
    "no WCS": Defect(spoil(cards=NO_WCS), GridError, "HC-W02", "CTYPE", SCI, "f435w"),
    "no CTYPE": Defect(cards(CTYPE1=None, CTYPE2=None), GridError, "HC-W02", "CTYPE", SCI, "f435w"),
    "no CRVAL": Defect(cards(CRVAL1=None), GridError, "HC-W01", "CRVAL1", SCI, "f435w"),
    "CD of zeros": Defect(cards(CD1_1=0.0, CD2_2=0.0), GridError, "HC-W03", "singular", SCI, "f435w"),
    "singular CD": Defect(
        cards(CD1_2=1.6666666666667e-5, CD2_1=-1.6666666666667e-5), GridError, "HC-W03", "singular", SCI, "f435w"
    ),
    "CD against CDELT": Defect(cards(CDELT1=-1e-3, CDELT2=1e-3), GridError, "HC-W05", "CDELT1", SCI, "f435w"),
    "CD with PC": Defect(cards(PC1_1=1.0), GridError, "HC-W05", "PC", SCI, "f435w"),
    "CRVAL that is text": Defect(cards(CRVAL1="53.1"), GridError, "HC-W06", "'53.1'", SCI, "f435w"),
    "CRVAL of NaN": Defect(
        lambda f: edit_bytes(stamp(f, "f435w"), b"CRVAL1  =            53.122751", b"CRVAL1  =                  NaN"),
        GridError,
        "HC-W06",
        "NaN",
        SCI,
        "f435w",
    ),
    "CRVAL beyond numbers": Defect(
        lambda f: edit_bytes(stamp(f, "f435w"), b"CRVAL1  =            53.122751", b"CRVAL1  =               1E+999"),
        GridError,
        "HC-W06",
        "inf",
        SCI,
        "f435w",
    ),
    "radians": Defect(cards(CUNIT1="rad", CUNIT2="rad"), GridError, "HC-W06", "rad", SCI, "f435w"),
    "SIP": Defect(
        cards(CTYPE1="RA---TAN-SIP", CTYPE2="DEC--TAN-SIP", A_ORDER=2, A_2_0=1e-5),
        GridError,
        "HC-W07",
        "SIP",
        SCI,
        "f435w",
    ),
    "SIP coefficients without a word": Defect(
        cards(A_ORDER=2, A_2_0=1e-5, B_ORDER=2), GridError, "HC-W07", "A_2_0", SCI, "f435w"
    ),
    "a word of SIP without coefficients": Defect(
        cards(CTYPE1="RA---TAN-SIP", CTYPE2="DEC--TAN-SIP"), GridError, "HC-W07", "SIP", SCI, "f435w"
    ),
    "TPV": Defect(cards(CTYPE1="RA---TPV", CTYPE2="DEC--TPV", PV1_1=1.01), GridError, "HC-W07", "TPV", SCI, "f435w"),
    "two systems": Defect(cards(CTYPE1="GLON-TAN", CTYPE2="DEC--TAN"), GridError, "HC-W12", "GLON-TAN", SCI, "f435w"),
    "two latitudes": Defect(cards(CTYPE1="DEC--TAN"), GridError, "HC-W12", "DEC--TAN", SCI, "f435w"),
    "two projections": Defect(cards(CTYPE1="RA---SIN"), GridError, "HC-W12", "RA---SIN", SCI, "f435w"),
    "spectral axis": Defect(cards(CTYPE1="WAVE"), GridError, "HC-W12", "WAVE", SCI, "f435w"),
    "map without WCS": Defect(
        spoil_map(cards={"CTYPE1": None, "CTYPE2": None}), GridError, "HC-W02", "CTYPE", MAP, use=open_map
    ),
    "map elsewhere on the sky": Defect(map_of_another_field, GridError, "HC-W15", "overlap", use=homogenize),
    "cube without a place": Defect(
        nothing,
        GridError,
        "HC-W01",
        "wcs",
        use=lambda f: grids.Grid.of(xr.DataArray(np.zeros((3, 3)), dims=("y", "x"))),
    ),
    "uneven labels": Defect(
        nothing, GridError, "HC-W22", "labels of x", use=lambda f: grids.Grid.of(open_it(f).isel(x=[0, 1, 5]))
    ),
    "single pixel": Defect(
        nothing, GridError, "HC-W22", "single pixel", use=lambda f: grids.Grid.of(open_it(f).isel(x=[0], y=[0]))
    ),
}

LABELS = {
    "missing map": Defect(remove(label_map), FileError, "HC-F01", "no such file", MAP, use=open_map),
    "truncated map": Defect(
        lambda f: os.truncate(label_map(f), 9000), FileError, "HC-F02", "9000 of", MAP, use=open_map
    ),
    "web page as a map": Defect(
        lambda f: label_map(f).write_bytes(HTML), FileError, "HC-F04", "<!DOCTYPE", MAP, use=open_map
    ),
    "directory as a map": Defect(
        nothing, FileError, "HC-F24", "regular file", "NEW_SKY", use=lambda f: hstcube.open_labels(f / "NEW_SKY")
    ),
    "no such extension": Defect(nothing, FileError, "HC-F12", "'SEG'", MAP, use=open_map_hdu("SEG")),
    "no such number": Defect(nothing, FileError, "HC-F12", "7", MAP, use=open_map_hdu(7)),
    "extension without pixels": Defect(nothing, FileError, "HC-F14", "no image", MAP, use=open_map_hdu(0)),
    "map of three axes": Defect(
        spoil_map(pixels=lambda a: np.stack([a, a])), FileError, "HC-F13", "(2, 84, 84)", MAP, use=open_map
    ),
    "ids beyond float32": Defect(spoil_map(pixels=lambda a: a * 1e5), LabelError, "HC-S05", "400", MAP, use=open_map),
    "sky at the centre": Defect(
        spoil_map(pixels=centre_of_the_map(0)),
        LabelError,
        "HC-S01",
        f"is 0 (sky); the map has the objects {OBJECT} (",
        use=homogenize,
    ),
    "interpolated centre": Defect(
        spoil_map(pixels=centre_of_the_map(0.5)),
        LabelError,
        "HC-S01",
        f"is -2 (an interpolated edge, not an integer in the file); the map has the objects {OBJECT} (",
        use=homogenize,
    ),
    "NaN at the centre": Defect(
        spoil_map(pixels=centre_of_the_map(np.nan)),
        LabelError,
        "HC-S01",
        "is -1 (not covered by the map)",
        use=homogenize,
    ),
    "uncovered centre": Defect(
        nothing,
        LabelError,
        "HC-S01",
        "is -1 (not covered by the map); the map has",
        use=lambda f: hstcube.object_mask(open_map(f) * 0 + xr.where(open_map(f) == NEIGHBOUR, NEIGHBOUR, -1)),
    ),
    "empty map": Defect(spoil_map(pixels=np.zeros_like), LabelError, "HC-S01", "no object at all", use=homogenize),
    "wrong label": Defect(
        nothing,
        LabelError,
        "HC-S12",
        f"no object 4003; it has the objects {OBJECT} (",
        use=lambda f: homogenize(f, ids=[4003]),
    ),
    "wrong label of a run": Defect(
        nothing, LabelError, "HC-S12", "no object 24353", use=lambda f: run(f, ids=("m3=1:4001,24353",))
    ),
    "grown by less than nothing": Defect(nothing, RecipeError, "HC-B17", "-1", use=lambda f: homogenize(f, grow=-1)),
    "negative label": Defect(nothing, LabelError, "HC-S12", "no object -2", use=lambda f: homogenize(f, ids=[-2])),
    "object outside the frame": Defect(
        nothing,
        LabelError,
        "HC-S09",
        "no pixel",
        use=lambda f: hstcube.homogenize(open_it(f).isel(x=slice(0, 8)), labels=open_map(f), sky=0.0, ids=[NEIGHBOUR]),
    ),
    "no map for the recipe of 2022": Defect(
        nothing, LabelError, "HC-S16", "map", use=lambda f: hstcube.homogenize(open_it(f), sky=0.0, recipe="original")
    ),
    "no map for a run": Defect(remove(label_map), LabelError, "HC-S16", "field 1", use=run),
    "map on other pixels than the cube": Defect(
        nothing,
        GridError,
        "HC-D02",
        "labels",
        use=lambda f: hstcube.mask(open_it(f).isel(x=slice(0, 9)), open_it(f).mask),
    ),
    "mask of another shape": Defect(
        nothing, GridError, "HC-D01", "(3, 4)", use=lambda f: hstcube.mask(open_it(f), np.ones((3, 4), bool))
    ),
}

SKIES = {
    "no sky and no map": Defect(
        nothing, SkyError, "HC-K01", "no sky level", use=lambda f: hstcube.homogenize(open_it(f))
    ),
    "no sky and no map in a run": Defect(
        lambda f: [label_map(f).unlink(), sky_file(f, "f435w").unlink()],
        SkyError,
        "HC-K01",
        "no sky level",
        use=lambda f: run(f, masked=False),
    ),
    "missing sky file": Defect(
        nothing,
        FileError,
        "HC-F01",
        "",
        "nowhere_f435w.txt",
        "f435w",
        use=lambda f: run(f, sky=str(f / "nowhere_{band}.txt")),
    ),
    "directory as sky": Defect(
        lambda f: [sky_file(f, "f435w").unlink(), sky_file(f, "f435w").mkdir()],
        FileError,
        "HC-F01",
        "",
        "sky_1_435.txt",
        "f435w",
        use=run,
    ),
    **{
        name: Defect(write_sky(text), SkyError, code, said, "sky_1_435.txt", "f435w", use=run)
        for name, text, code, said in (
            ("empty sky file", "", "HC-K02", "0 values"),
            ("sky file of comments", "# measured\n# twice\n", "HC-K02", "0 values"),
            ("two levels", "1e-6 2e-6\n", "HC-K02", "2 values"),
            ("as many levels as columns", "\n".join(["1e-6"] * 100), "HC-K02", "100 values"),
            ("level of NaN", "nan\n", "HC-K03", "nan"),
            ("infinite level", "-inf\n", "HC-K03", "-inf"),
            ("decimal comma", "-1,6e-6\n", "HC-K06", "-1,6e-6"),
            ("word for a level", "none\n", "HC-K06", "none"),
            ("bytes for a level", "\x00\x01\x02", "HC-K06", r"\x00"),
            ("level of other pixels", "# electron s-1 per pixel of 0.03 arcsec\n1e-6\n", "HC-K07", "0.03 arcsec"),
            ("pixels of no size", "# electron s-1 per pixel of 0.0 arcsec\n1e-6\n", "HC-K07", "0.0 arcsec"),
            (
                "pixels of a size that is no number",
                "# electron s-1 per pixel of 0.0.6 arcsec\n1e-6\n",
                "HC-K06",
                "0.0.6",
            ),
            ("error that is no number", "# standard error: small\n1e-6\n", "HC-K06", "small"),
            ("error that is not there", "# standard error:\n1e-6\n", "HC-K06", "''"),
        )
    },
    "level missing for a band": Defect(
        nothing,
        SkyError,
        "HC-K08",
        "no sky level",
        band="f160w",
        use=lambda f: hstcube.subtract_sky(open_it(f), {"f435w": 0.0, "f850lp": 0.0}),
    ),
    "level of NaN in Python": Defect(
        nothing,
        SkyError,
        "HC-K03",
        "not a finite number",
        band="f850lp",
        use=lambda f: hstcube.subtract_sky(open_it(f), dict.fromkeys(BANDS, 0.0) | {"f850lp": np.nan}),
    ),
    "word for a level in Python": Defect(
        nothing, SkyError, "HC-K03", "'mesure'", use=lambda f: homogenize(f, sky="mesure")
    ),
    "sky subtracted twice": Defect(
        nothing,
        SkyError,
        "HC-K10",
        "already",
        band="f435w",
        use=lambda f: hstcube.subtract_sky(hstcube.subtract_sky(open_it(f), 1e-6), 1e-6),
    ),
    "too little blank sky": Defect(
        nothing,
        SkyError,
        "HC-K11",
        "blank pixels",
        band="f435w",
        use=lambda f: hstcube.measure_sky(open_it(f), background=np.zeros((40, 44), bool)),
    ),
    "unknown method": Defect(
        nothing,
        SkyError,
        "HC-K12",
        "mode",
        use=lambda f: hstcube.measure_sky(open_it(f), background=np.ones((40, 44), bool), method="mode"),
    ),
}


def kernels(shape: tuple[int, int], total: float = 1.0) -> xr.DataArray:
    values = np.full((len(BANDS), *shape), 1 / np.prod(shape))
    values[1] *= total
    return xr.DataArray(values, {"band": list(BANDS)}, ("band", "ky", "kx"))


def of_no_survey(folder: Path) -> None:
    for band in BANDS:
        rewrite(stamp(folder, band), cards={"XDFVER": None})


RESOLUTIONS = {
    "unknown widths": Defect(
        of_no_survey, PSFError, "HC-P01", "width", band="f435w", use=lambda f: hstcube.psf_match(open_it(f))
    ),
    "target sharper than a band": Defect(
        nothing,
        PSFError,
        "HC-B06",
        "cannot match f850lp (FWHM 0.120 arcsec) to the sharper f435w (0.110 arcsec)",
        band="f850lp",
        use=lambda f: hstcube.psf_match(hstcube.open_field(f, "1", bands=["f435w", "f850lp"]), to="f435w"),
    ),
    "width sharper than a band": Defect(
        nothing,
        PSFError,
        "HC-B06",
        "0.100arcsec",
        band="f435w",
        use=lambda f: hstcube.psf_match(open_it(f), to="0.100arcsec"),
    ),
    "target absent": Defect(
        nothing,
        PSFError,
        "HC-B05",
        "'f140w' is not in the cube",
        use=lambda f: hstcube.psf_match(open_it(f), to="f140w"),
    ),
    "target that is nothing": Defect(
        nothing, PSFError, "HC-B05", "'sharpest'", use=lambda f: hstcube.psf_match(open_it(f), to="sharpest")
    ),
    "width that is no number": Defect(
        nothing, PSFError, "HC-B05", "0.2.2arcsec", use=lambda f: hstcube.psf_match(open_it(f), to="0.2.2arcsec")
    ),
    "negative width": Defect(
        nothing,
        PSFError,
        "HC-P02",
        "-0.1 arcsec",
        SCI,
        "f435w",
        use=lambda f: hstcube.open_field(f, "1", psf_fwhm={"f435w": -0.1}),
    ),
    "negative width in a header": Defect(cards(PSFFWHM=-0.1), PSFError, "HC-P02", "-0.1 arcsec", SCI, "f435w"),
    "width of zero": Defect(
        nothing, PSFError, "HC-B05", "0arcsec", use=lambda f: hstcube.psf_match(open_it(f), to="0arcsec")
    ),
    "even kernel": Defect(
        nothing, PSFError, "HC-P04", "(5, 4)", use=lambda f: hstcube.psf_match(open_it(f), kernels=kernels((5, 4)))
    ),
    "kernel that loses flux": Defect(
        nothing,
        PSFError,
        "HC-P05",
        "0.01",
        band="f850lp",
        use=lambda f: hstcube.psf_match(open_it(f), kernels=kernels((5, 5), 0.99)),
    ),
    "kernel of NaN": Defect(
        nothing,
        PSFError,
        "HC-P05",
        "nan",
        band="f850lp",
        use=lambda f: hstcube.psf_match(open_it(f), kernels=kernels((5, 5), np.nan)),
    ),
    "kernel missing for a band": Defect(
        nothing,
        BandError,
        "HC-B01",
        "kernels",
        band="f160w",
        use=lambda f: hstcube.psf_match(open_it(f), kernels=kernels((5, 5)).isel(band=[0, 1])),
    ),
}

PATHS = 'sci = "new_stamps/1_60mas_f435w_sci.fits"\nwht = "new_stamps/1_60mas_f435w_wht.fits"\n'
MAPPED = f'[labels]\npath = "segment_maps/{MAP}"\n'
TEXTS = {
    "unknown recipe key": Defect(
        nothing, RecipeError, "HC-B15", "unknown key grwo", "recipe.toml", use=read_recipe("grwo = 1")
    ),
    "recipe key of a field file": Defect(
        nothing, RecipeError, "HC-B15", "unknown key bands", "recipe.toml", use=read_recipe("[bands.f435w]")
    ),
    "recipe that is not TOML": Defect(
        nothing, RecipeError, "HC-B15", "not TOML", "recipe.toml", use=read_recipe("grow: 1")
    ),
    "recipe that is not text": Defect(
        nothing, RecipeError, "HC-B15", "not TOML", "recipe.toml", use=read_recipe(b"\xff\xfe\x00")
    ),
    "recipe of a thousand brackets": Defect(
        nothing, RecipeError, "HC-B15", "not TOML", "recipe.toml", use=read_recipe("ids = " + "[" * 5000)
    ),
    "recipe key given twice": Defect(
        nothing, RecipeError, "HC-B15", "not TOML", "recipe.toml", use=read_recipe("grow = 1\ngrow = 2")
    ),
    "missing recipe file": Defect(
        nothing, FileError, "HC-F01", "", "nowhere.toml", use=lambda f: recipes.read_recipe(f / "nowhere.toml")
    ),
    "unknown recipe": Defect(
        nothing, RecipeError, "HC-B19", "orignal", "recipe.toml", use=read_recipe('recipe = "orignal"')
    ),
    "unknown recipe in Python": Defect(
        nothing, RecipeError, "HC-B19", "orignal", use=lambda f: homogenize(f, recipe="orignal")
    ),
    **{
        f"recipe with {text}": Defect(
            nothing, RecipeError, "HC-B17", text.split(" = ")[0], "recipe.toml", use=read_recipe(text)
        )
        for text in (
            'grow = "1"',
            "grow = 1.5",
            "grow = true",
            "grow = -1",
            "ids = 4001",
            'ids = ["4001"]',
            "ids = [4001.0]",
            "ids = [true]",
            "to = 0.3",
            'sky = "measured"',
            "sky = true",
            'sky = "1,5"',
            "sky = nan",
            "recipe = 2022",
        )
    },
    "field file without bands": Defect(
        nothing, RecipeError, "HC-B16", "no bands", "field.toml", use=run_field_file('name = "x"')
    ),
    "unknown key of a field": Defect(
        nothing, RecipeError, "HC-B15", "unknown key nmae", "field.toml", use=run_field_file('nmae = "x"')
    ),
    "unknown key of a band": Defect(
        nothing,
        RecipeError,
        "HC-B15",
        "unknown key bands.f435w.wth",
        "field.toml",
        use=run_field_file('[bands.f435w]\nwth = "a"'),
    ),
    "unknown key of a map": Defect(
        nothing,
        RecipeError,
        "HC-B15",
        "unknown key labels.file",
        "field.toml",
        use=run_field_file(f"[bands.f435w]\n{PATHS}[labels]\nfile = 'a'"),
    ),
    "band that is no table": Defect(
        nothing, RecipeError, "HC-B15", "bands.f435w", "field.toml", use=run_field_file("[bands]\nf435w = 1")
    ),
    "bands that are a list": Defect(
        nothing, RecipeError, "HC-B17", "bands", "field.toml", use=run_field_file("bands = ['f435w']")
    ),
    "name that escapes": Defect(
        nothing,
        RecipeError,
        "HC-B12",
        "../x",
        "field.toml",
        use=run_field_file(f'name = "../x"\n[bands.f435w]\n{PATHS}'),
    ),
    "band named twice": Defect(
        nothing,
        BandError,
        "HC-B02",
        "twice",
        "field.toml",
        "f435w",
        use=run_field_file(f"[bands.f435w]\n{PATHS}[bands.F435W]\n{PATHS}"),
    ),
    **{
        f"band with {text}": Defect(
            nothing,
            RecipeError,
            "HC-B17",
            f"bands.f435w.{text.split(' = ')[0]}",
            "field.toml",
            use=run_field_file(f"[bands.f435w]\n{text}"),
        )
        for text in (
            'zeropoint = "25,7"',
            "zeropoint = true",
            "psf_fwhm = '0.1'",
            "sci = 1",
            "sky = []",
            "wht_kind = 1",
            "zeropoint = nan",
            "psf_fwhm = 0.0",
            "psf_fwhm = -0.1",
        )
    },
    "ids of a map that are text": Defect(
        nothing,
        RecipeError,
        "HC-B17",
        "labels.ids",
        "field.toml",
        use=run_field_file(f'[bands.f435w]\n{PATHS}{MAPPED}ids = ["4001"]'),
    ),
    "band without weights": Defect(
        nothing,
        FileError,
        "HC-F01",
        "no wht",
        band="f435w",
        use=run_field_file('[bands.f435w]\nsci = "new_stamps/1_60mas_f435w_sci.fits"\n' + MAPPED),
    ),
    "image that is not there": Defect(
        nothing,
        FileError,
        "HC-F01",
        "no such file",
        "a.fits",
        "f435w",
        use=run_field_file('[bands.f435w]\nsci = "a.fits"\nwht = "a.fits"\n' + MAPPED),
    ),
    "unknown wht_kind": Defect(
        nothing,
        CubeError,
        "HC-D13",
        "exposure",
        WHT,
        "f435w",
        use=run_field_file(f'[bands.f435w]\n{PATHS}wht_kind = "exposure"\n{MAPPED}'),
    ),
}


def product(folder: Path, name: str = "x", **options: Any) -> Path:
    hstcube.to_fits(open_it(folder).assign_attrs(field=name), folder / "out", **options)
    return folder / "out"


def open_product(folder: Path) -> xr.Dataset:
    return hstcube.open_field(folder / "out", "x")


def spoiled_product(kind: str, **how: Any) -> Callable[[Path], Any]:
    return lambda folder: rewrite(product(folder) / f"x_f435w_{kind}.fits", **how)


PRODUCTS = {
    "product without its mask": Defect(
        lambda f: (product(f) / "x_f435w_mask.fits").unlink(),
        FileError,
        "HC-F01",
        "no mask",
        "out",
        "f435w",
        use=open_product,
    ),
    "product without a band": Defect(
        lambda f: [path.unlink() for path in product(f).glob("x_f435w_*")],
        FileError,
        "HC-O20",
        "2 bands of 3",
        "out",
        use=open_product,
    ),
    "product without its card": Defect(
        spoiled_product("sci", cards={"HSTCUBE": None, "CHECKSUM": None}),
        FileError,
        "HC-F26",
        "HSTCUBE",
        "x_f435w_sci.fits",
        "f435w",
        use=open_product,
    ),
    "mask that is no product": Defect(
        spoiled_product("mask", cards={"CUBEID": None, "HSTCUBE": None, "CHECKSUM": None}),
        FileError,
        "HC-F26",
        "HSTCUBE",
        "x_f435w_mask.fits",
        "f435w",
        use=open_product,
    ),
    "product without its unit": Defect(
        spoiled_product("sci", cards={"BUNIT": None, "CHECKSUM": None}),
        FileError,
        "HC-F04",
        "BUNIT",
        "x_f435w_sci.fits",
        "f435w",
        use=open_product,
    ),
    "product in two layouts": Defect(
        lambda f: [
            product(f),
            hstcube.to_fits(open_it(f).assign_attrs(field="x", history="of before"), f / "out", layout="mef"),
        ],
        FileError,
        "HC-O20",
        "2 versions",
        "out",
        use=open_product,
    ),
    "product with two kinds of noise": Defect(
        lambda f: [
            product(f),
            hstcube.to_fits(open_it(f).assign_attrs(field="x"), f / "out", noise="variance", overwrite=True),
        ],
        FileError,
        "HC-O20",
        "2 versions",
        "out",
        use=open_product,
    ),
    "product that was edited": Defect(
        lambda f: edit_bytes(product(f) / "x_f435w_sci.fits", b"FILTER  = 'F435W   '", b"FILTER  = 'F606W   '"),
        FileError,
        "HC-F05",
        "CHECKSUM",
        "x_f435w_sci.fits",
        "f435w",
        use=open_product,
    ),
    "product in part": Defect(
        lambda f: os.truncate(product(f) / "x_f435w_wht.fits", 9000),
        FileError,
        "HC-F02",
        "9000 of",
        "x_f435w_wht.fits",
        "f435w",
        use=open_product,
    ),
    "no such cube": Defect(
        nothing, FileError, "HC-F01", "no such file", "x.nc", use=lambda f: hstcube.open_cube(f / "x.nc")
    ),
    "web page as a cube": Defect(
        lambda f: (f / "x.nc").write_bytes(HTML),
        FileError,
        "HC-F04",
        "netCDF",
        "x.nc",
        use=lambda f: hstcube.open_cube(f / "x.nc"),
    ),
    "cube in part": Defect(
        lambda f: [hstcube.save_cube(open_it(f), f / "x.nc"), os.truncate(f / "x.nc", 9000)],
        FileError,
        "HC-F04",
        "netCDF",
        "x.nc",
        use=lambda f: hstcube.open_cube(f / "x.nc"),
    ),
    "netCDF of something else": Defect(
        lambda f: xr.Dataset({"t": ("time", [1.0, 2.0])}).to_netcdf(f / "x.nc"),
        CubeError,
        "HC-C01",
        "'sci'",
        "x.nc",
        use=lambda f: hstcube.open_cube(f / "x.nc"),
    ),
}


def changed(change: Callable[[xr.Dataset], xr.Dataset]) -> Callable[[Path], Any]:
    return lambda folder: hstcube.validate(change(open_it(folder)))


def with_pixel(name: str, value: Any) -> Callable[[xr.Dataset], xr.Dataset]:
    def change(cube: xr.Dataset) -> xr.Dataset:
        values = cube[name].values.copy()
        values[0, 0, 0] = value
        return cube.assign({name: cube[name].copy(data=values)})

    return change


def built(**changes: Any) -> Callable[[Path], Any]:
    def use(folder: Path) -> Any:
        cube = open_it(folder)
        whole = {
            "sci": cube.sci.values,
            "wht": cube.wht.values,
            "bands": BANDS,
            "grid": grids.Grid.of(cube),
            "units": "electron s-1",
        }
        return hstcube.build(**(whole | changes))

    return use


CUBES = {
    "no bands": Defect(nothing, CubeError, "HC-C01", "at least one band", use=built(bands=())),
    "unknown state": Defect(nothing, CubeError, "HC-C01", "gain", use=built(gain=[1, 2, 3])),
    "too few bands": Defect(nothing, CubeError, "HC-C02", "sci has shape (3, 40, 44)", use=built(bands=BANDS[:2])),
    "band built twice": Defect(
        nothing, BandError, "HC-B02", "twice", band="f435w", use=built(bands=("f435w", "f435w", "f160w"))
    ),
    "band built without a wavelength": Defect(
        nothing, BandError, "HC-B07", "f999x", band="f999x", use=built(bands=("f435w", "f999x", "f160w"))
    ),
    "state of too few bands": Defect(
        nothing, CubeError, "HC-C02", "psf_fwhm has shape (2,)", use=built(psf_fwhm=[0.1, 0.2])
    ),
    "mask of another size": Defect(
        nothing, CubeError, "HC-C02", "mask has shape (40, 44)", use=built(mask=np.ones((40, 44), bool))
    ),
    "not a cube": Defect(nothing, CubeError, "HC-C01", "'sci'", use=lambda f: hstcube.psf_match(xr.Dataset())),
    "an array": Defect(nothing, CubeError, "HC-C01", "'sci'", use=lambda f: hstcube.psf_match(np.zeros((3, 4, 5)))),
    "turned": Defect(
        nothing, CubeError, "HC-C02", "('y', 'x', 'band')", use=changed(lambda c: c.transpose("y", "x", "band"))
    ),
    "float64": Defect(
        nothing, CubeError, "HC-C03", "float64", use=changed(lambda c: c.assign(sci=c.sci.astype(float)))
    ),
    "no unit": Defect(
        nothing,
        CubeError,
        "HC-C04",
        "BANANAS",
        use=changed(lambda c: c.assign(sci=c.sci.assign_attrs(units="BANANAS"))),
    ),
    "hole with weight": Defect(
        nothing, CubeError, "HC-C05", "finite where wht > 0", use=changed(with_pixel("sci", np.nan))
    ),
    "pixel without weight": Defect(
        nothing, CubeError, "HC-C05", "finite where wht > 0", use=changed(with_pixel("wht", 0))
    ),
    "weight of infinity": Defect(nothing, CubeError, "HC-D10", "finite", use=changed(with_pixel("wht", np.inf))),
    "mask without data": Defect(
        nothing,
        CubeError,
        "HC-C06",
        "without data",
        use=changed(lambda c: with_pixel("mask", True)(with_pixel("wht", 0)(with_pixel("sci", np.nan)(c)))),  # noqa: FBT003
    ),
    "difference of cubes": Defect(
        nothing,
        CubeError,
        "HC-C07",
        "is missing",
        use=lambda f: hstcube.psf_match(
            (lambda a, b: (a[["sci", "wht"]] - b[["sci", "wht"]]).assign(mask=a.mask.drop_vars("sky")))(
                hstcube.subtract_sky(open_it(f), 1e-6), open_it(f)
            )
        ),
    ),
    "band stacked twice": Defect(
        nothing, BandError, "HC-B02", "twice", use=lambda f: hstcube.stack_bands([open_it(f), open_it(f)])
    ),
    "stack of different units": Defect(
        nothing,
        CubeError,
        "HC-D21",
        "nJy",
        use=lambda f: hstcube.stack_bands(
            [
                open_it(f).isel(band=[0]),
                (lambda c: c.assign(sci=c.sci.assign_attrs(units="nJy")))(open_it(f).isel(band=[1])),
            ]
        ),
    ),
    "stack of different grids": Defect(
        nothing,
        GridError,
        "HC-D02",
        "y",
        use=lambda f: hstcube.stack_bands([open_it(f).isel(band=[0]), open_it(f).isel(band=[1], y=slice(1, None))]),
    ),
}

DEFECTS = {**FILES, **PIXELS, **NAMES, **WCS, **LABELS, **SKIES, **RESOLUTIONS, **TEXTS, **PRODUCTS, **CUBES}


@pytest.mark.parametrize("defect", DEFECTS.values(), ids=DEFECTS)
def test_a_defect_says_what_and_where_and_what_to_do(defect: Defect, tmp_path: Path) -> None:
    folder = write_field(tmp_path / "data")
    defect.make(folder)
    with pytest.raises(HstCubeError) as caught:
        defect.use(folder)
    error = caught.value
    assert (type(error), error.code) == (defect.error, defect.code), error
    assert defect.said in error.reason
    assert error.band == defect.band
    if defect.file:
        assert error.file.rpartition("/")[2] == defect.file, error
    assert error.fix
    assert error.code in codes()
    assert str(error).startswith(error.code)
    assert str(error).endswith(f"fix: {error.fix}")
    assert vars(pickle.loads(pickle.dumps(error))) == vars(error)  # an error crosses from a worker's process


def test_the_nearest_known_key_is_proposed(tmp_path: Path) -> None:
    for text, proposed in (
        ("grwo = 1", "grow"),
        ("recpie = 'original'", "recipe"),
        ("sku = 0.0", "sky"),
        ("id = [1]", "ids"),
    ):
        with pytest.raises(RecipeError, match="unknown key") as caught:
            read_recipe(text)(tmp_path)
        assert f"did you mean {proposed!r}?" in caught.value.fix


def test_a_missing_label_is_answered_with_the_nearest_one(tmp_path: Path) -> None:
    folder = write_field(tmp_path)
    with pytest.raises(LabelError) as caught:
        hstcube.object_mask(open_map(folder), 40011)
    assert caught.value.fix == f"did you mean {OBJECT}?"


def test_a_failed_write_has_its_own_exit_code(tmp_path: Path) -> None:
    assert (WriteError("HC-O01", "x").exit_code, FileError("HC-F01", "x").exit_code) == (4, 3)


# -- what is unusual, and read all the same


def write_raw(path: Path, array: np.ndarray, **more: Any) -> None:
    """Replace the pixels of a stamp by integers as they are, with the cards that say what they mean."""
    header = fits.getheader(path)
    header["BITPIX"] = 8 * array.itemsize
    for key, value in more.items():
        header[key] = value
    body = array.astype(array.dtype.newbyteorder(">")).tobytes()
    path.write_bytes(header.tostring().encode() + body + bytes(-len(body) % 2880))


@pytest.mark.parametrize(
    ("dtype", "zero", "scale"), [("i2", 10.0, 0.5), ("i2", 32768.0, 1.0), ("i4", 0.0, 1e-6), ("u1", -1.0, 0.25)]
)
def test_integers_are_read_with_their_scale_and_zero(tmp_path: Path, dtype: str, zero: float, scale: float) -> None:
    folder = write_field(tmp_path, bands=("f435w",))
    stored = np.arange(1760).reshape(40, 44).astype(dtype)
    write_raw(stamp(folder, "f435w"), stored, BZERO=zero, BSCALE=scale)
    cube = open_it(folder)
    assert cube.sci.dtype == np.float32
    np.testing.assert_array_equal(cube.sci.values[0], (zero + scale * stored.astype(float)).astype(np.float32))


def test_blank_integers_have_no_data(tmp_path: Path) -> None:
    folder = write_field(tmp_path, bands=("f435w",))
    stored = np.full((40, 44), 6, "i2")
    stored[3, 5] = -32768
    write_raw(stamp(folder, "f435w"), stored, BZERO=10.0, BSCALE=0.5, BLANK=-32768)
    with pytest.warns(HstCubeWarning, match="HC-D07 f435w: 1 pixel"):
        cube = open_it(folder)
    expected = np.full((40, 44), 13.0)
    expected[3, 5] = np.nan
    np.testing.assert_array_equal(cube.sci.values[0], expected)
    assert cube.wht.values[0, 3, 5] == 0
    assert not cube.mask.values[0, 3, 5]


def two_units(folder: Path, *kinds: str) -> Path:
    """Write sci and wht of a band into one file, in that order, after an empty primary header."""
    units = []
    for kind in kinds:
        with fits.open(stamp(folder, "f435w", kind), memmap=False) as hdus:
            units.append(fits.ImageHDU(hdus[0].data, hdus[0].header, name=kind.upper()))
    path = folder / "both.fits"
    fits.HDUList([fits.PrimaryHDU(), *units]).writeto(path)
    return path


def compressed(folder: Path) -> None:
    for path in list((folder / "new_stamps").iterdir()):
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()


def fpacked(folder: Path) -> None:
    for path in list((folder / "new_stamps").iterdir()):
        with fits.open(path, memmap=False) as hdus:
            unit = fits.CompImageHDU(hdus[0].data, hdus[0].header, compression_type="GZIP_2", quantize_level=0)
        fits.HDUList([fits.PrimaryHDU(), unit]).writeto(path.with_name(path.name + ".fz"))
        path.unlink()


def in_an_extension(folder: Path) -> None:
    for path in list((folder / "new_stamps").iterdir()):
        with fits.open(path, memmap=False) as hdus:
            fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(hdus[0].data, hdus[0].header)]).writeto(path, overwrite=True)


def with_a_third_axis(folder: Path) -> None:
    for path in (folder / "new_stamps").iterdir():
        rewrite(path, pixels=lambda image: image[None])


def without_padding(folder: Path) -> None:
    for path in (folder / "new_stamps").iterdir():
        os.truncate(path, 2880 + 40 * 44 * 4)


def as_float64(folder: Path) -> None:
    for path in (folder / "new_stamps").iterdir():
        rewrite(path, pixels=lambda image: image.astype(float))


def named_by_digits(folder: Path) -> None:
    for path in (folder / "new_stamps").iterdir():
        path.rename(path.with_name(path.name.replace("_f", "_").replace("lp", "").replace("w_", "_")))


def in_the_folder_itself(folder: Path) -> None:
    for path in (folder / "new_stamps").iterdir():
        path.rename(folder / path.name)


def almost_on_one_grid(folder: Path) -> None:
    move_by(5e-5, "wht")(folder)


@pytest.mark.parametrize(
    "change",
    [
        compressed,
        fpacked,
        in_an_extension,
        with_a_third_axis,
        without_padding,
        as_float64,
        named_by_digits,
        in_the_folder_itself,
        almost_on_one_grid,
    ],
    ids=lambda change: change.__name__,
)
def test_the_same_pixels_in_another_dress_are_the_same_cube(change: Callable[[Path], None], tmp_path: Path) -> None:
    folder = write_field(tmp_path)
    before = open_it(folder)
    change(folder)
    xr.testing.assert_identical(open_it(folder), before)


@pytest.mark.parametrize("order", [("sci", "wht"), ("wht", "sci")])
def test_extensions_are_found_by_name_not_by_order(order: tuple[str, str], tmp_path: Path) -> None:
    folder = write_field(tmp_path)
    path = two_units(folder, *order)
    cube = hstcube.open_bands({"f435w": (path, path)}, field="1")
    xr.testing.assert_identical(cube.drop_attrs(deep=False), open_only("f435w")(folder).drop_attrs(deep=False))


@pytest.mark.parametrize(("kind", "power"), [("rms", -0.5), ("variance", -1.0), ("ivar", 1.0)])
@pytest.mark.parametrize("chunks", [None, {"y": 16, "x": 16}])
def test_weights_of_any_kind_become_inverse_variances(
    kind: str, power: float, chunks: dict[str, int] | None, tmp_path: Path
) -> None:
    folder = write_field(tmp_path)
    expected = open_only("f435w")(folder).wht.values
    rewrite(stamp(folder, "f435w", "wht"), pixels=lambda wht: wht**power)
    files = {"f435w": (stamp(folder, "f435w"), stamp(folder, "f435w", "wht"))}
    cube = hstcube.open_bands(files, field="1", wht_kind=kind, chunks=chunks)
    np.testing.assert_allclose(cube.wht.values, expected, rtol=4e-7)  # twice the rounding of float32


def test_a_pixel_without_weight_has_no_data(tmp_path: Path) -> None:
    folder = write_field(tmp_path)
    before = open_it(folder)
    rewrite(stamp(folder, "f850lp", "wht"), pixels=set_pixels(0, count=7))
    after = open_it(folder)
    assert np.isnan(after.sci.values[1].flat[:7]).all()
    assert not after.mask.values[1].flat[:7].any()
    assert after.attrs["warnings"] == before.attrs["warnings"]  # that is what a weight of zero is for
    has_data = after.wht.values > 0
    assert (~has_data).sum() == 7
    np.testing.assert_array_equal(after.sci.values[has_data], before.sci.values[has_data])


@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf])
def test_one_impossible_weight_in_a_thousand_is_a_pixel_without_data(value: float, tmp_path: Path) -> None:
    folder = write_field(tmp_path)
    rewrite(stamp(folder, "f850lp", "wht"), pixels=set_pixels(value, count=1))  # of 1760
    with pytest.warns(HstCubeWarning, match="HC-D10 f850lp: 1 "):
        cube = open_it(folder)
    assert cube.wht.values[1, 0, 0] == 0
    assert np.isnan(cube.sci.values[1, 0, 0])
    assert sum("HC-D10" in line for line in cube.attrs["warnings"].splitlines()) == 1


def codes_in(told: list[warnings.WarningMessage]) -> list[str]:
    return [code for warning in told for code in re.findall(r"HC-\w\d\d", str(warning.message))]


def test_a_wrong_camera_is_corrected_and_told_once(tmp_path: Path) -> None:
    folder = write_field(tmp_path)
    with pytest.warns(HstCubeWarning) as told:
        cube = open_it(folder)
    assert codes_in(told) == ["HC-B04"]
    assert "f435w, f850lp: the headers say WFC3/IR" in cube.attrs["warnings"]
    assert cube.pivot.values.tolist() == [4329.9, 9031.5, 15369.2]  # bands.csv: ACS/WFC, ACS/WFC, WFC3/IR


def test_a_missing_unit_is_assumed_and_told(tmp_path: Path) -> None:
    folder = write_field(tmp_path)
    for band in BANDS:
        rewrite(stamp(folder, band), cards={"BUNIT": None})
    with pytest.warns(HstCubeWarning, match="HC-D20 f435w"):
        cube = open_it(folder)
    assert cube.sci.attrs["units"] == "electron s-1"


def test_what_a_map_leaves_open_is_told(tmp_path: Path) -> None:
    folder = write_field(tmp_path)
    rewrite(label_map(folder), pixels=lambda labels: np.where(labels == NEIGHBOUR, 0, labels))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        cube = hstcube.homogenize(open_it(folder).isel(x=slice(0, 24)), labels=open_map(folder))
    assert sorted(codes_in(told)) == ["HC-B04", "HC-S04", "HC-S08", "HC-S14"]
    assert "reaches the right of the frame" in cube.attrs["warnings"]


# -- nothing but our own errors comes out of damaged input


def opens_or_is_refused(use: Callable[[], Any]) -> bool:
    """Return whether it opened; anything but an HstCubeError comes through."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", RuntimeWarning
            )  # a flipped exponent overflows: the pixel is not finite then
            use()
    except HstCubeError as error:
        assert error.code in codes()
        assert error.fix
        return False
    return True


def test_any_byte_of_a_header_may_be_wrong(tmp_path: Path) -> None:
    folder = write_field(tmp_path, bands=("f435w",))
    path = stamp(folder, "f435w")
    whole = path.read_bytes()
    end = whole.index(b"END" + b" " * 77)
    rng = np.random.default_rng(1)
    opened = 0
    for position in rng.integers(0, end, 250).tolist():
        damaged = bytearray(whole)
        damaged[position] = int(rng.choice(list(b" 0'=/\x00\xffE-9")))
        path.write_bytes(damaged)
        opened += opens_or_is_refused(lambda: open_it(folder))
    assert 50 < opened < 250  # comments may change, keywords may not


def test_a_file_may_end_anywhere(tmp_path: Path) -> None:
    folder = write_field(tmp_path, bands=("f435w",))
    path = stamp(folder, "f435w")
    whole = path.read_bytes()
    needed = 2880 + 40 * 44 * 4
    for size in [*range(0, len(whole), 397), needed - 1, needed, len(whole)]:
        path.write_bytes(whole[:size])
        assert opens_or_is_refused(lambda: open_it(folder)) == (size >= needed)


def test_any_byte_of_a_map_may_be_wrong(tmp_path: Path) -> None:
    folder = write_field(tmp_path, bands=("f435w",))
    path = label_map(folder)
    whole = path.read_bytes()
    cube = open_it(folder)
    rng = np.random.default_rng(2)
    for position in rng.integers(0, 2 * 2880, 150).tolist():
        damaged = bytearray(whole)
        damaged[position] = int(rng.choice(list(b" 0'=/\x00\xffE-9")))
        path.write_bytes(damaged)
        opens_or_is_refused(lambda: hstcube.homogenize(cube, labels=open_map(folder), sky=0.0))


def test_a_wrong_byte_of_a_product_is_refused_or_of_no_consequence(tmp_path: Path) -> None:
    folder = product(write_field(tmp_path / "data", bands=("f435w",)))
    cube = hstcube.open_field(folder, "x")
    path = folder / "x_f435w_wht.fits"
    whole = path.read_bytes()
    rng = np.random.default_rng(3)
    for position in rng.integers(0, len(whole), 100).tolist():
        damaged = bytearray(whole)
        damaged[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        if opens_or_is_refused(lambda: hstcube.open_field(folder, "x")):  # the blanks after END mean nothing
            xr.testing.assert_identical(hstcube.open_field(folder, "x"), cube)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.text(st.characters(codec="utf-8"), max_size=40) | st.from_regex(r"[-+0-9.,einf#\n ]{0,12}", fullmatch=True)
)
def test_any_text_is_a_level_or_a_sky_error(text: str, tmp_path: Path) -> None:
    path = tmp_path / "sky.txt"
    path.write_bytes(text.encode())
    files = surveys.FieldFiles("1", "60mas", {"f435w": surveys.BandFiles(sky=path)})
    try:
        level, _ = hstcube.levels.read_levels(files, ["f435w"], scale=0.06)["f435w"]
    except SkyError as error:
        assert (error.file, error.band) == (str(path), "f435w")
    else:
        assert np.isfinite(level)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.text(max_size=70))
def test_a_name_is_safe_or_refused(name: str, tmp_path: Path) -> None:
    try:
        checked = surveys.checked_name(name)
    except RecipeError as error:
        assert error.code == "HC-B12"
    else:
        assert (tmp_path / f"{checked}_f160w_sci.fits").resolve().parent == tmp_path.resolve()
