"""Bad input, each defect made once: what is done to a folder, and what the error says."""

from __future__ import annotations

import gzip
import os
import shutil
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import xarray as xr
from astropy.io import fits
from stamps import (
    BANDS,
    NEIGHBOUR,
    OBJECT,
    edit_bytes,
    label_map,
    rewrite,
    sky_file,
    stamp,
    write_field,
)

import hstcube
from hstcube.core import grids
from hstcube.errors import (
    BandError,
    CubeError,
    FileError,
    GridError,
    HstCubeError,
    LabelError,
    PSFError,
    RecipeError,
    SkyError,
)
from hstcube.pipeline import recipe as recipes
from hstcube.pipeline import runs
from hstcube.pipeline.options import Options
from hstcube.pipeline.plan import plan

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SCI, WHT = "1_60mas_f435w_sci.fits", "1_60mas_f435w_wht.fits"
MAP = "udf_mosaic_1_HST_SEGMAP.fits"
IN_SCI, IN_WHT, IN_BAND = (SCI, "f435w"), (WHT, "f435w"), ("", "f435w")
IN_MAP, IN_RECIPE, IN_FIELD = (MAP, ""), ("recipe.toml", ""), ("field.toml", "")


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
    options = Options(recipe=recipe or {}, netcdf=False, masked=places.pop("masked", True))
    targets = plan(source or folder, places.pop("fields", []), ids, scale="60mas", **places)
    for outcome in runs.run(targets, folder.parent / f"{folder.name}-out", options):
        if outcome.error:
            raise outcome.error


def opened(**options: Any) -> Callable[[Path], Any]:
    return lambda folder: hstcube.open_field(folder, "1", **options)


def matched(**options: Any) -> Callable[[Path], Any]:
    return lambda folder: hstcube.psf_match(open_it(folder), **options)


def homogenized(**options: Any) -> Callable[[Path], Any]:
    return lambda folder: homogenize(folder, **options)


def ran(**options: Any) -> Callable[[Path], Any]:
    return lambda folder: run(folder, **options)


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


def raw_card(key: str, value: str, instead_of: str = "") -> Callable[[Path], Any]:
    """Return what writes a card as it is, which no FITS library would, in place of another."""

    def make(folder: Path) -> None:
        path = stamp(folder, "f435w")
        data = path.read_bytes()
        at = data.index(f"{instead_of or key:<8}=".encode())
        path.write_bytes(data[:at] + f"{key:<8}={value}".encode().ljust(80) + data[at + 80 :])

    return make


NO_WCS = dict.fromkeys(
    [
        "WCSAXES",
        *(f"{key}{i}" for key in ("CTYPE", "CRVAL", "CRPIX") for i in (1, 2)),
        *(f"CD{i}_{j}" for i in (1, 2) for j in (1, 2)),
    ]
)


NO_CD = dict.fromkeys(f"CD{i}_{j}" for i in (1, 2) for j in (1, 2))


def damaged_end(folder: Path) -> None:
    edit_bytes(stamp(folder, "f435w"), b"END" + b" " * 77, b"END     = T".ljust(80))


# -- the catalogue


class Defect(NamedTuple):
    """How a good field is spoiled, and the error that must come of it when it is used."""

    error: type[HstCubeError]
    code: str
    said: str  # part of the reason: what was got
    make: Callable[[Path], Any] = nothing
    use: Callable[[Path], Any] = open_it
    at: tuple[str, str] = ("", "")  # file and band, where there is one to name


HTML = b"<!DOCTYPE html><html><body>404</body></html>"
FILES = {
    "missing science image": Defect(
        FileError, "HC-F01", WHT, remove(lambda f: stamp(f, "f435w")), at=IN_BAND
    ),
    "missing weight image": Defect(
        FileError, "HC-F01", SCI, remove(lambda f: stamp(f, "f435w", "wht")), at=IN_BAND
    ),
    "missing band": Defect(
        FileError, "HC-F01", "f435w, f850lp, f160w", use=open_only("f125w"), at=("", "f125w")
    ),
    "missing field": Defect(FileError, "HC-F01", "1", use=lambda f: hstcube.open_field(f, "7")),
    "missing scale": Defect(FileError, "HC-F01", "60mas", use=opened(scale="30mas")),
    "missing folder": Defect(
        FileError,
        "HC-F01",
        "folder",
        use=lambda f: hstcube.open_field(f / "nowhere", "1"),
        at=("nowhere", ""),
    ),
    "truncated pixels": Defect(FileError, "HC-F02", "6000 of", cut_to(6000), at=IN_SCI),
    "truncated header": Defect(FileError, "HC-F04", "no END", cut_to(1000), at=IN_SCI),
    "empty": Defect(FileError, "HC-F04", "empty", replace_by(b""), at=IN_SCI),
    "web page": Defect(FileError, "HC-F04", "<!DOCTYPE", replace_by(HTML), at=IN_SCI),
    "web page as weights": Defect(
        FileError, "HC-F04", "<!DOCTYPE", replace_by(HTML, "wht"), at=IN_WHT
    ),
    "foreign": Defect(
        FileError, "HC-F04", "PNG", replace_by(b"\x89PNG\r\n\x1a\n" + bytes(5000)), at=IN_SCI
    ),
    "directory": Defect(FileError, "HC-F24", "regular file", put_directory, at=IN_SCI),
    "fifo": Defect(FileError, "HC-F24", "regular file", put_fifo, at=IN_SCI),
    "device": Defect(FileError, "HC-F24", "regular file", put_device, at=IN_SCI),
    "link to itself": Defect(FileError, "HC-F01", "no such file", put_link_to_itself, at=IN_SCI),
    "flipped bit": Defect(FileError, "HC-F05", "DATASUM", flip_a_bit_of_the_pixels, at=IN_SCI),
    "edited header": Defect(FileError, "HC-F05", "CHECKSUM", edit_after_the_checksum, at=IN_SCI),
    "1.2 TB declared": Defect(
        FileError,
        "HC-F02",
        "of 1200000002880 bytes",
        lambda f: edit_bytes(
            stamp(f, "f435w"), b"NAXIS1  =                   44", b"NAXIS1  =           7500000000"
        ),
        at=IN_SCI,
    ),
    "negative size": Defect(
        FileError,
        "HC-F04",
        "",
        lambda f: edit_bytes(
            stamp(f, "f435w"), b"NAXIS1  =                   44", b"NAXIS1  =                  -44"
        ),
        at=IN_SCI,
    ),
    "billions of axes": Defect(
        FileError, "HC-F04", "NAXIS = 2147483648", raw_card("NAXIS", " 2147483648"), at=IN_SCI
    ),
    "negative size, which astropy never ends to read": Defect(
        FileError, "HC-F04", "NAXIS2 is '-40'", raw_card("NAXIS2", " -40"), at=IN_SCI
    ),
    "size that is no whole number": Defect(
        FileError, "HC-F04", "NAXIS2 is '40.0'", raw_card("NAXIS2", " 40.0"), at=IN_SCI
    ),
    "two numbers of axes, of which astropy takes either": Defect(
        FileError,
        "HC-F04",
        "NAXIS is there in two ways",
        raw_card("NAXIS", " 9", "EXPTIME"),
        at=IN_SCI,
    ),
    "scale of the pixels that is no number": Defect(
        FileError,
        "HC-F04",
        "BSCALE is not a number",
        raw_card("BSCALE", " F", "EXPTIME"),
        at=IN_SCI,
    ),
    "damaged END": Defect(FileError, "HC-F04", "END alone", damaged_end, at=IN_SCI),
    "several chips": Defect(FileError, "HC-F12", "3 images", three_chips, at=IN_SCI),
    "cube of five planes": Defect(
        FileError, "HC-F13", "(5, 40, 44)", spoil(pixels=lambda a: np.stack([a] * 5)), at=IN_SCI
    ),
    "one axis": Defect(
        FileError, "HC-F13", "(99,)", units_of(fits.PrimaryHDU(np.ones(99))), at=IN_SCI
    ),
    "table": Defect(
        FileError,
        "HC-F14",
        "no image",
        units_of(fits.PrimaryHDU(), fits.BinTableHDU(np.array([(1, 2.0)], "i4,f4"))),
        at=IN_SCI,
    ),
    "no pixels": Defect(FileError, "HC-F14", "no image", units_of(fits.PrimaryHDU()), at=IN_SCI),
    "swapped sci and wht": Defect(FileError, "HC-D14", "WHT", swap_sci_and_wht, at=IN_SCI),
    "science image as weights": Defect(
        FileError,
        "HC-D14",
        "SCI",
        lambda f: shutil.copy(stamp(f, "f435w"), stamp(f, "f435w", "wht")),
        at=IN_WHT,
    ),
    "swapped without a word": Defect(
        CubeError, "HC-D10", "negative", swap_sci_and_wht_that_do_not_say_what_they_are, at=IN_WHT
    ),
}

PIXELS = {
    "other shape of wht": Defect(
        GridError,
        "HC-D01",
        "(40, 44) and (38, 41)",
        spoil(kind="wht", pixels=lambda a: a[:-2, :-3]),
        at=IN_SCI,
    ),
    "other shape of a band": Defect(
        GridError,
        "HC-D01",
        "(40, 44) and (40, 41)",
        lambda f: [
            rewrite(stamp(f, "f160w", kind), pixels=lambda a: a[:, :-3]) for kind in ("sci", "wht")
        ],
        at=("1_60mas_f160w_sci.fits", "f160w"),
    ),
    "other grid of wht": Defect(
        GridError, "HC-D02", "0.0002 pixels", move_by(0.0002, "wht"), at=IN_SCI
    ),
    "other grid of a band": Defect(
        GridError,
        "HC-D02",
        "7 pixels",
        lambda f: [move_by(7, kind, "f160w")(f) for kind in ("sci", "wht")],
        at=("1_60mas_f160w_sci.fits", "f160w"),
    ),
    "nothing but NaN": Defect(
        CubeError, "HC-D08", "no pixel", spoil(pixels=lambda a: a * np.nan), at=IN_SCI
    ),
    "nothing but weights of zero": Defect(
        CubeError, "HC-D08", "no pixel", spoil(kind="wht", pixels=np.zeros_like), at=IN_SCI
    ),
    "negative weights": Defect(
        CubeError, "HC-D10", "10 of 1760", spoil(kind="wht", pixels=set_pixels(-1)), at=IN_WHT
    ),
    "weights of NaN": Defect(
        CubeError, "HC-D10", "10 of 1760", spoil(kind="wht", pixels=set_pixels(np.nan)), at=IN_WHT
    ),
    "infinite weights": Defect(
        CubeError, "HC-D10", "10 of 1760", spoil(kind="wht", pixels=set_pixels(np.inf)), at=IN_WHT
    ),
    "unknown unit": Defect(
        CubeError,
        "HC-C04",
        "BANANAS",
        lambda f: [rewrite(stamp(f, band), cards={"BUNIT": "BANANAS"}) for band in BANDS],
        at=IN_SCI,
    ),
    "different units": Defect(
        CubeError,
        "HC-D21",
        "'f435w': 'nJy', 'f850lp': 'electron s-1'",
        spoil(cards={"BUNIT": "nJy"}),
    ),
    "unknown kind of weights": Defect(
        CubeError,
        "HC-D13",
        "exposure",
        use=lambda f: hstcube.open_bands(
            {"f435w": (stamp(f, "f435w"), stamp(f, "f435w", "wht"))}, field="1", wht_kind="exposure"
        ),
        at=IN_WHT,
    ),
}

NAMES = {
    "compressed twin": Defect(
        FileError, "HC-B02", f"{SCI}.gz", three_bands_of_which_one_is_compressed_too, at=IN_SCI
    ),
    "band in both folders": Defect(
        FileError, "HC-B02", f"new_stamps/{SCI}", band_in_both_places, at=IN_SCI
    ),
    "band spelled twice": Defect(
        FileError,
        "HC-B02",
        "F435W",
        band_under_two_spellings,
        at=("1_60mas_F435W_sci.fits", "f435w"),
    ),
    "band asked for twice": Defect(
        BandError, "HC-B02", "twice", use=open_only("f435w", "F435W"), at=IN_BAND
    ),
    "band given twice": Defect(
        BandError,
        "HC-B02",
        "twice",
        use=lambda f: hstcube.open_bands(
            dict.fromkeys(["435", "F435W"], (stamp(f, "f435w"), stamp(f, "f435w", "wht"))),
            field="1",
        ),
        at=IN_BAND,
    ),
    "wrong FILTER": Defect(BandError, "HC-B03", "F606W", cards(FILTER="F606W"), at=IN_SCI),
    "wrong FILTER of the weights": Defect(
        BandError, "HC-B03", "F606W", spoil(kind="wht", cards={"FILTER": "F606W"}), at=IN_WHT
    ),
    "filter no camera has": Defect(
        BandError,
        "HC-B07",
        "f436w",
        lambda f: [
            rewrite(stamp(f, "f435w", kind), cards={"FILTER": "F436W"}, to=stamp(f, "f436w", kind))
            for kind in ("sci", "wht")
        ],
        at=("", "f436w"),
    ),
    "width of a band that is not there": Defect(
        BandError, "HC-B01", "f606w", use=opened(psf_fwhm={"f606w": 0.1}), at=("", "f606w")
    ),
    "label of another scale": Defect(
        GridError,
        "HC-W23",
        "60.00 mas",
        lambda f: [
            path.rename(path.with_name(path.name.replace("60mas", "30mas")))
            for path in (f / "new_stamps").iterdir()
        ],
        use=opened(scale="30mas"),
        at=("1_30mas_f435w_sci.fits", "f435w"),
    ),
    **{
        f"field {name[:9]!r}": Defect(
            RecipeError,
            "HC-B12",
            name[:20] or "''",
            use=lambda f, name=name: hstcube.open_field(f, name),
        )
        for name in (
            "../1",
            "/etc/passwd",
            "a/b",
            "a:b",
            "-rf",
            "",
            "x" * 65,
            "1*",
            ".hidden",
            "a b",
        )
    },
    "field with a NUL": Defect(
        RecipeError, "HC-B12", "a\\x00", use=lambda f: hstcube.open_field(f, "a\x00")
    ),
    "field of open_bands": Defect(
        RecipeError,
        "HC-B12",
        "../x",
        use=lambda f: hstcube.open_bands(
            {"f435w": (stamp(f, "f435w"), stamp(f, "f435w", "wht"))}, field="../x"
        ),
    ),
    "target that escapes": Defect(RecipeError, "HC-B12", "../m3", use=ran(ids=("../m3=1:4001",))),
    "cube that escapes": Defect(
        RecipeError,
        "HC-B12",
        "../x",
        use=lambda f: hstcube.to_fits(open_it(f).assign_attrs(field="../x"), f / "out"),
    ),
    "two targets of one name": Defect(RecipeError, "HC-O07", "1", use=ran(ids=("1=1:4001",))),
    "two further targets of one name": Defect(
        RecipeError, "HC-O07", "called M", use=ran(ids=("m=1:4001", "M=1:4002"))
    ),
    "ids that are no numbers": Defect(RecipeError, "HC-B20", "1=a", use=ran(ids=("1=a",))),
    "ids of a field that is not in the run": Defect(
        RecipeError,
        "HC-B21",
        "2",
        lambda f: write_field(f, "2", bands=("f160w",)),
        use=ran(fields=["1"], ids=("2=4001",)),
    ),
    "pattern without a band": Defect(
        RecipeError,
        "HC-B18",
        "{field}_sci.fits",
        use=lambda f: run(f, images=str(f / "{field}_sci.fits")),
    ),
    "pattern with a kind alone": Defect(
        RecipeError, "HC-B18", "{kind}.fits", use=lambda f: run(f, images=str(f / "{kind}.fits"))
    ),
    "pattern with an unknown part": Defect(
        RecipeError,
        "HC-B18",
        "{filter}",
        use=lambda f: run(f, images=str(f / "{field}_{band}_{filter}_sci.fits")),
    ),
}

WCS = {
    "no WCS": Defect(GridError, "HC-W02", "CTYPE", spoil(cards=NO_WCS), at=IN_SCI),
    "no CTYPE": Defect(GridError, "HC-W02", "CTYPE", cards(CTYPE1=None, CTYPE2=None), at=IN_SCI),
    "no CRVAL": Defect(GridError, "HC-W01", "CRVAL1", cards(CRVAL1=None), at=IN_SCI),
    "CD of zeros": Defect(GridError, "HC-W03", "singular", cards(CD1_1=0.0, CD2_2=0.0), at=IN_SCI),
    "singular CD": Defect(
        GridError,
        "HC-W03",
        "singular",
        cards(CD1_2=1.6666666666667e-05, CD2_1=-1.6666666666667e-05),
        at=IN_SCI,
    ),
    "CD against CDELT": Defect(
        GridError, "HC-W05", "CDELT1", cards(CDELT1=-0.001, CDELT2=0.001), at=IN_SCI
    ),
    "CD with PC": Defect(GridError, "HC-W05", "PC", cards(PC1_1=1.0), at=IN_SCI),
    "CRVAL that is text": Defect(GridError, "HC-W06", "'53.1'", cards(CRVAL1="53.1"), at=IN_SCI),
    "CRVAL of NaN": Defect(
        GridError,
        "HC-W06",
        "NaN",
        lambda f: edit_bytes(
            stamp(f, "f435w"), b"CRVAL1  =            53.122751", b"CRVAL1  =                  NaN"
        ),
        at=IN_SCI,
    ),
    "CRVAL beyond numbers": Defect(
        GridError,
        "HC-W06",
        "inf",
        lambda f: edit_bytes(
            stamp(f, "f435w"), b"CRVAL1  =            53.122751", b"CRVAL1  =               1E+999"
        ),
        at=IN_SCI,
    ),
    "two axes of 102": Defect(GridError, "HC-W06", "WCSAXES is 102", cards(WCSAXES=102), at=IN_SCI),
    "sky tied to a third axis": Defect(
        GridError, "HC-W06", "CD1_3", cards(WCSAXES=3, CD1_3=1e-05), at=IN_SCI
    ),
    "equinox in the far future": Defect(
        GridError, "HC-W06", "EQUINOX is 20000", cards(EQUINOX=20000), at=IN_SCI
    ),
    "equinox of another day": Defect(
        GridError, "HC-D02", "5.902 pixels", cards(EQUINOX=2000.01), at=IN_SCI
    ),
    "latitude of 120 degrees": Defect(
        GridError, "HC-W06", "CRVAL2", cards(CRVAL2=120.0), at=IN_SCI
    ),
    "pole at 1000 degrees": Defect(
        GridError, "HC-W06", "LONPOLE", cards(LONPOLE=1000.0), at=IN_SCI
    ),
    "bytes that are no text": Defect(
        GridError,
        "HC-W06",
        "EQUINOX is shifted, or holds bytes",
        raw_card("EQUINOX", " 2000.0 \n\r"),
        at=IN_SCI,
    ),
    "shifted card, which astropy reads and wcslib does not": Defect(
        GridError,
        "HC-W06",
        "CD2_2 is shifted",
        lambda f: edit_bytes(stamp(f, "f435w"), b"CD2_2   =", b"CD2_2  = "),
        at=IN_SCI,
    ),
    "no pixel scale": Defect(GridError, "HC-W01", "no pixel scale", cards(**NO_CD), at=IN_SCI),
    "projection that nobody knows": Defect(
        GridError, "HC-W12", "RA---XXX", cards(CTYPE1="RA---XXX", CTYPE2="DEC--XXX"), at=IN_SCI
    ),
    "small letters": Defect(
        GridError, "HC-W12", "ra---tan", cards(CTYPE1="ra---tan", CTYPE2="dec--tan"), at=IN_SCI
    ),
    "number of a projection": Defect(GridError, "HC-W07", "PV1_1", cards(PV1_1=1.0), at=IN_SCI),
    "zero of a projection": Defect(GridError, "HC-W07", "PV1_2", cards(PV1_2=0.0), at=IN_SCI),
    "radians": Defect(GridError, "HC-W06", "rad", cards(CUNIT1="rad", CUNIT2="rad"), at=IN_SCI),
    "rotation by CROTA": Defect(GridError, "HC-W24", "CROTA", cards(CROTA2=42.0), at=IN_SCI),
    "SIP": Defect(
        GridError,
        "HC-W07",
        "SIP",
        cards(CTYPE1="RA---TAN-SIP", CTYPE2="DEC--TAN-SIP", A_ORDER=2, A_2_0=1e-05),
        at=IN_SCI,
    ),
    "a word of SIP without coefficients": Defect(
        GridError, "HC-W07", "SIP", cards(CTYPE1="RA---TAN-SIP", CTYPE2="DEC--TAN-SIP"), at=IN_SCI
    ),
    "TPV": Defect(
        GridError,
        "HC-W07",
        "TPV",
        cards(CTYPE1="RA---TPV", CTYPE2="DEC--TPV", PV1_1=1.01),
        at=IN_SCI,
    ),
    "two systems": Defect(
        GridError, "HC-W12", "GLON-TAN", cards(CTYPE1="GLON-TAN", CTYPE2="DEC--TAN"), at=IN_SCI
    ),
    "two latitudes": Defect(GridError, "HC-W12", "DEC--TAN", cards(CTYPE1="DEC--TAN"), at=IN_SCI),
    "two projections": Defect(GridError, "HC-W12", "RA---SIN", cards(CTYPE1="RA---SIN"), at=IN_SCI),
    "spectral axis": Defect(GridError, "HC-W12", "WAVE", cards(CTYPE1="WAVE"), at=IN_SCI),
    "map without WCS": Defect(
        GridError,
        "HC-W02",
        "CTYPE",
        spoil_map(cards={"CTYPE1": None, "CTYPE2": None}),
        use=open_map,
        at=IN_MAP,
    ),
    "map elsewhere on the sky": Defect(
        GridError, "HC-W15", "overlap", map_of_another_field, use=homogenize
    ),
    "cube without a place": Defect(
        GridError,
        "HC-W01",
        "wcs",
        use=lambda _: grids.Grid.of(xr.DataArray(np.zeros((3, 3)), dims=("y", "x"))),
    ),
    "uneven labels": Defect(
        GridError,
        "HC-W22",
        "labels of x",
        use=lambda f: grids.Grid.of(open_it(f).isel(x=[0, 1, 5])),
    ),
    "single pixel": Defect(
        GridError,
        "HC-W22",
        "single pixel",
        use=lambda f: grids.Grid.of(open_it(f).isel(x=[0], y=[0])),
    ),
}

LABELS = {
    "missing map": Defect(
        FileError, "HC-F01", "no such file", remove(label_map), use=open_map, at=IN_MAP
    ),
    "truncated map": Defect(
        FileError,
        "HC-F02",
        "9000 of",
        lambda f: os.truncate(label_map(f), 9000),
        use=open_map,
        at=IN_MAP,
    ),
    "web page as a map": Defect(
        FileError,
        "HC-F04",
        "<!DOCTYPE",
        lambda f: label_map(f).write_bytes(HTML),
        use=open_map,
        at=IN_MAP,
    ),
    "directory as a map": Defect(
        FileError,
        "HC-F24",
        "regular file",
        use=lambda f: hstcube.open_labels(f / "NEW_SKY"),
        at=("NEW_SKY", ""),
    ),
    "no such extension": Defect(FileError, "HC-F12", "'SEG'", use=open_map_hdu("SEG"), at=IN_MAP),
    "no such number": Defect(FileError, "HC-F12", "7", use=open_map_hdu(7), at=IN_MAP),
    "extension without pixels": Defect(
        FileError, "HC-F14", "no image", use=open_map_hdu(0), at=IN_MAP
    ),
    "map of three axes": Defect(
        FileError,
        "HC-F13",
        "(2, 84, 84)",
        spoil_map(pixels=lambda a: np.stack([a, a])),
        use=open_map,
        at=IN_MAP,
    ),
    "ids beyond float32": Defect(
        LabelError,
        "HC-S05",
        "400",
        spoil_map(pixels=lambda a: a * 100000.0),
        use=open_map,
        at=IN_MAP,
    ),
    "sky at the centre": Defect(
        LabelError,
        "HC-S01",
        f"is 0 (sky); the map has the objects {OBJECT} (",
        spoil_map(pixels=centre_of_the_map(0)),
        use=homogenize,
    ),
    "interpolated centre": Defect(
        LabelError,
        "HC-S01",
        "is -2 (an interpolated edge, not an integer in the file); "
        f"the map has the objects {OBJECT} (",
        spoil_map(pixels=centre_of_the_map(0.5)),
        use=homogenize,
    ),
    "NaN at the centre": Defect(
        LabelError,
        "HC-S01",
        "is -1 (not covered by the map)",
        spoil_map(pixels=centre_of_the_map(np.nan)),
        use=homogenize,
    ),
    "uncovered centre": Defect(
        LabelError,
        "HC-S01",
        "is -1 (not covered by the map); the map has",
        use=lambda f: hstcube.object_mask(
            open_map(f) * 0 + xr.where(open_map(f) == NEIGHBOUR, NEIGHBOUR, -1)
        ),
    ),
    "empty map": Defect(
        LabelError, "HC-S01", "no object at all", spoil_map(pixels=np.zeros_like), use=homogenize
    ),
    "wrong label": Defect(
        LabelError,
        "HC-S12",
        f"no object 4003; it has the objects {OBJECT} (",
        use=homogenized(ids=[4003]),
    ),
    "wrong label of a run": Defect(
        LabelError, "HC-S12", "no object 24353", use=ran(ids=("m3=1:4001,24353",))
    ),
    "neighbours of matched images": Defect(
        RecipeError,
        "HC-S51",
        "matched already",
        use=lambda f: hstcube.replace_neighbours(
            homogenize(f), hstcube.regrid_labels(open_map(f), hstcube.Grid.of(open_it(f)))
        ),
    ),
    "neighbours in the original recipe": Defect(
        RecipeError,
        "HC-S51",
        "masks before",
        use=homogenized(recipe="original", neighbours="replace"),
    ),
    "grown by less than nothing": Defect(RecipeError, "HC-B17", "-1", use=homogenized(grow=-1)),
    "negative label": Defect(LabelError, "HC-S12", "no object -2", use=homogenized(ids=[-2])),
    "object outside the frame": Defect(
        LabelError,
        "HC-S09",
        "no pixel",
        use=lambda f: hstcube.homogenize(
            open_it(f).isel(x=slice(0, 8)), labels=open_map(f), sky=0.0, ids=[NEIGHBOUR]
        ),
    ),
    "no map for the recipe of 2022": Defect(
        LabelError,
        "HC-S16",
        "map",
        use=lambda f: hstcube.homogenize(open_it(f), sky=0.0, recipe="original"),
    ),
    "no map for a run": Defect(LabelError, "HC-S16", "field 1", remove(label_map), use=run),
    "map on other pixels than the cube": Defect(
        GridError,
        "HC-D02",
        "labels",
        use=lambda f: hstcube.mask(open_it(f).isel(x=slice(0, 9)), open_it(f).mask),
    ),
    "mask of another shape": Defect(
        GridError, "HC-D01", "(3, 4)", use=lambda f: hstcube.mask(open_it(f), np.ones((3, 4), bool))
    ),
}

SKIES = {
    "no sky and no map": Defect(
        SkyError, "HC-K01", "no sky level", use=lambda f: hstcube.homogenize(open_it(f))
    ),
    "no sky and no map in a run": Defect(
        SkyError,
        "HC-K01",
        "no sky level",
        lambda f: [label_map(f).unlink(), sky_file(f, "f435w").unlink()],
        use=ran(masked=False),
    ),
    "missing sky file": Defect(
        FileError,
        "HC-F01",
        "",
        use=lambda f: run(f, sky=str(f / "nowhere_{band}.txt")),
        at=("nowhere_f435w.txt", "f435w"),
    ),
    "directory as sky": Defect(
        FileError,
        "HC-F01",
        "",
        lambda f: [sky_file(f, "f435w").unlink(), sky_file(f, "f435w").mkdir()],
        use=run,
        at=("sky_1_435.txt", "f435w"),
    ),
    **{
        name: Defect(SkyError, code, said, write_sky(text), use=run, at=("sky_1_435.txt", "f435w"))
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
            (
                "level of other pixels",
                "# electron s-1 per pixel of 0.03 arcsec\n1e-6\n",
                "HC-K07",
                "0.03 arcsec",
            ),
            (
                "pixels of no size",
                "# electron s-1 per pixel of 0.0 arcsec\n1e-6\n",
                "HC-K07",
                "0.0 arcsec",
            ),
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
        SkyError,
        "HC-K08",
        "no sky level",
        use=lambda f: hstcube.subtract_sky(open_it(f), {"f435w": 0.0, "f850lp": 0.0}),
        at=("", "f160w"),
    ),
    "level of NaN in Python": Defect(
        SkyError,
        "HC-K03",
        "is nan",
        use=lambda f: hstcube.subtract_sky(
            open_it(f), dict.fromkeys(BANDS, 0.0) | {"f850lp": np.nan}
        ),
        at=("", "f850lp"),
    ),
    "word for a level in Python": Defect(
        SkyError, "HC-K03", "'mesure'", use=homogenized(sky="mesure")
    ),
    "sky subtracted twice": Defect(
        SkyError,
        "HC-K10",
        "already",
        use=lambda f: hstcube.subtract_sky(hstcube.subtract_sky(open_it(f), 1e-06), 1e-06),
        at=IN_BAND,
    ),
    "too little blank sky": Defect(
        SkyError,
        "HC-K11",
        "blank pixels",
        use=lambda f: hstcube.measure_sky(open_it(f), background=np.zeros((40, 44), bool)),
        at=IN_BAND,
    ),
    "unknown method": Defect(
        SkyError,
        "HC-K12",
        "mode",
        use=lambda f: hstcube.measure_sky(
            open_it(f), background=np.ones((40, 44), bool), method="mode"
        ),
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
    "unknown widths": Defect(PSFError, "HC-P01", "width", of_no_survey, use=matched(), at=IN_BAND),
    "target sharper than a band": Defect(
        PSFError,
        "HC-B06",
        "cannot match f850lp (FWHM 0.120 arcsec) to the sharper f435w (0.110 arcsec)",
        use=lambda f: hstcube.psf_match(
            hstcube.open_field(f, "1", bands=["f435w", "f850lp"]), to="f435w"
        ),
        at=("", "f850lp"),
    ),
    "width sharper than a band": Defect(
        PSFError, "HC-B06", "0.100 arcsec", use=matched(to="0.100arcsec"), at=IN_BAND
    ),
    "target absent": Defect(
        PSFError, "HC-B05", "'f140w' is not in the cube", use=matched(to="f140w")
    ),
    "target that is nothing": Defect(PSFError, "HC-B05", "'sharpest'", use=matched(to="sharpest")),
    "width that is no number": Defect(
        PSFError, "HC-B05", "0.2.2arcsec", use=matched(to="0.2.2arcsec")
    ),
    "negative width": Defect(
        PSFError, "HC-P02", "-0.1 arcsec", use=opened(psf_fwhm={"f435w": -0.1}), at=IN_SCI
    ),
    "zero point that is text": Defect(
        CubeError, "HC-D22", "ABZP is 'FK5'", cards(ABZP="FK5"), at=IN_SCI
    ),
    "zero point that is true": Defect(
        CubeError, "HC-D22", "ABZP is True", cards(ABZP=True), at=IN_SCI
    ),
    "zero point of NaN": Defect(
        CubeError, "HC-D22", "ABZP is 'NaN'", raw_card("ABZP", " NaN", "EXPTIME"), at=IN_SCI
    ),
    "zero point beyond numbers": Defect(
        CubeError, "HC-D22", "1e+38 mag by ABZP", cards(ABZP=1e38), at=IN_SCI
    ),
    "flux of the zero point that is text": Defect(
        CubeError, "HC-D22", "PHOTFNU", cards(PHOTFNU="SCI"), at=IN_SCI
    ),
    "negative width in a header": Defect(
        PSFError, "HC-P02", "-0.1 arcsec", cards(PSFFWHM=-0.1), at=IN_SCI
    ),
    "width of zero": Defect(RecipeError, "HC-B31", "0arcsec", use=matched(to="0arcsec")),
    "even kernel": Defect(PSFError, "HC-P04", "(5, 4)", use=matched(kernels=kernels((5, 4)))),
    "kernel that loses flux": Defect(
        PSFError, "HC-P05", "0.01", use=matched(kernels=kernels((5, 5), 0.99)), at=("", "f850lp")
    ),
    "kernel of NaN": Defect(
        PSFError, "HC-P05", "nan", use=matched(kernels=kernels((5, 5), np.nan)), at=("", "f850lp")
    ),
    "kernel missing for a band": Defect(
        BandError,
        "HC-B01",
        "kernels",
        use=matched(kernels=kernels((5, 5)).isel(band=[0, 1])),
        at=("", "f160w"),
    ),
}

PATHS = 'sci = "new_stamps/1_60mas_f435w_sci.fits"\nwht = "new_stamps/1_60mas_f435w_wht.fits"\n'
MAPPED = f'[labels]\npath = "segment_maps/{MAP}"\n'
TEXTS = {
    "unknown recipe key": Defect(
        RecipeError, "HC-B15", "unknown key grwo", use=read_recipe("grwo = 1"), at=IN_RECIPE
    ),
    "recipe key of a field file": Defect(
        RecipeError, "HC-B15", "unknown key bands", use=read_recipe("[bands.f435w]"), at=IN_RECIPE
    ),
    "recipe that is not TOML": Defect(
        RecipeError, "HC-B15", "not TOML", use=read_recipe("grow: 1"), at=IN_RECIPE
    ),
    "recipe that is not text": Defect(
        RecipeError, "HC-B15", "not TOML", use=read_recipe(b"\xff\xfe\x00"), at=IN_RECIPE
    ),
    "recipe of a thousand brackets": Defect(
        RecipeError, "HC-B15", "not TOML", use=read_recipe("ids = " + "[" * 5000), at=IN_RECIPE
    ),
    "recipe key given twice": Defect(
        RecipeError, "HC-B15", "not TOML", use=read_recipe("grow = 1\ngrow = 2"), at=IN_RECIPE
    ),
    "missing recipe file": Defect(
        FileError,
        "HC-F01",
        "",
        use=lambda f: recipes.read_recipe(f / "nowhere.toml"),
        at=("nowhere.toml", ""),
    ),
    "unknown recipe": Defect(
        RecipeError, "HC-B19", "orignal", use=read_recipe('recipe = "orignal"'), at=IN_RECIPE
    ),
    "unknown recipe in Python": Defect(
        RecipeError, "HC-B19", "orignal", use=homogenized(recipe="orignal")
    ),
    **{
        f"recipe with {text}": Defect(
            RecipeError, "HC-B17", text.split(" = ")[0], use=read_recipe(text), at=IN_RECIPE
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
        RecipeError, "HC-B16", "no bands", use=run_field_file('name = "x"'), at=IN_FIELD
    ),
    "unknown key of a field": Defect(
        RecipeError, "HC-B15", "unknown key nmae", use=run_field_file('nmae = "x"'), at=IN_FIELD
    ),
    "unknown key of a band": Defect(
        RecipeError,
        "HC-B15",
        "unknown key bands.f435w.wth",
        use=run_field_file('[bands.f435w]\nwth = "a"'),
        at=IN_FIELD,
    ),
    "unknown key of a map": Defect(
        RecipeError,
        "HC-B15",
        "unknown key labels.file",
        use=run_field_file(f"[bands.f435w]\n{PATHS}[labels]\nfile = 'a'"),
        at=IN_FIELD,
    ),
    "band that is no table": Defect(
        RecipeError, "HC-B15", "bands.f435w", use=run_field_file("[bands]\nf435w = 1"), at=IN_FIELD
    ),
    "bands that are a list": Defect(
        RecipeError, "HC-B17", "bands", use=run_field_file("bands = ['f435w']"), at=IN_FIELD
    ),
    "name that escapes": Defect(
        RecipeError,
        "HC-B12",
        "../x",
        use=run_field_file(f'name = "../x"\n[bands.f435w]\n{PATHS}'),
        at=IN_FIELD,
    ),
    "band named twice": Defect(
        BandError,
        "HC-B02",
        "twice",
        use=run_field_file(f"[bands.f435w]\n{PATHS}[bands.F435W]\n{PATHS}"),
        at=("field.toml", "f435w"),
    ),
    **{
        f"band with {text}": Defect(
            RecipeError,
            "HC-B17",
            f"bands.f435w.{text.split(' = ')[0]}",
            use=run_field_file(f"[bands.f435w]\n{text}"),
            at=IN_FIELD,
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
        RecipeError,
        "HC-B17",
        "labels.ids",
        use=run_field_file(f'[bands.f435w]\n{PATHS}{MAPPED}ids = ["4001"]'),
        at=IN_FIELD,
    ),
    "band without weights": Defect(
        FileError,
        "HC-F01",
        "no wht",
        use=run_field_file('[bands.f435w]\nsci = "new_stamps/1_60mas_f435w_sci.fits"\n' + MAPPED),
        at=IN_BAND,
    ),
    "image that is not there": Defect(
        FileError,
        "HC-F01",
        "no such file",
        use=run_field_file('[bands.f435w]\nsci = "a.fits"\nwht = "a.fits"\n' + MAPPED),
        at=("a.fits", "f435w"),
    ),
    "unknown wht_kind": Defect(
        CubeError,
        "HC-D13",
        "exposure",
        use=run_field_file(f'[bands.f435w]\n{PATHS}wht_kind = "exposure"\n{MAPPED}'),
        at=IN_WHT,
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
        FileError,
        "HC-F01",
        "no mask",
        lambda f: (product(f) / "x_f435w_mask.fits").unlink(),
        use=open_product,
        at=("out", "f435w"),
    ),
    "product without a band": Defect(
        FileError,
        "HC-O20",
        "2 bands of 3",
        lambda f: [path.unlink() for path in product(f).glob("x_f435w_*")],
        use=open_product,
        at=("out", ""),
    ),
    "product without its card": Defect(
        FileError,
        "HC-F26",
        "HSTCUBE",
        spoiled_product("sci", cards={"HSTCUBE": None, "CHECKSUM": None}),
        use=open_product,
        at=("x_f435w_sci.fits", "f435w"),
    ),
    "mask that is no product": Defect(
        FileError,
        "HC-F26",
        "HSTCUBE",
        spoiled_product("mask", cards={"CUBEID": None, "HSTCUBE": None, "CHECKSUM": None}),
        use=open_product,
        at=("x_f435w_mask.fits", "f435w"),
    ),
    "product without its unit": Defect(
        FileError,
        "HC-F04",
        "BUNIT",
        spoiled_product("sci", cards={"BUNIT": None, "CHECKSUM": None}),
        use=open_product,
        at=("x_f435w_sci.fits", "f435w"),
    ),
    "product in two layouts": Defect(
        FileError,
        "HC-O20",
        "2 versions",
        lambda f: [
            product(f),
            hstcube.to_fits(
                open_it(f).assign_attrs(field="x", history="of before"), f / "out", layout="mef"
            ),
        ],
        use=open_product,
        at=("out", ""),
    ),
    "product with two kinds of noise": Defect(
        FileError,
        "HC-O20",
        "2 versions",
        lambda f: [
            product(f),
            hstcube.to_fits(
                open_it(f).assign_attrs(field="x"), f / "out", noise="variance", overwrite=True
            ),
        ],
        use=open_product,
        at=("out", ""),
    ),
    "product that was edited": Defect(
        FileError,
        "HC-F05",
        "CHECKSUM",
        lambda f: edit_bytes(
            product(f) / "x_f435w_sci.fits", b"FILTER  = 'F435W   '", b"FILTER  = 'F606W   '"
        ),
        use=open_product,
        at=("x_f435w_sci.fits", "f435w"),
    ),
    "product in part": Defect(
        FileError,
        "HC-F02",
        "9000 of",
        lambda f: os.truncate(product(f) / "x_f435w_wht.fits", 9000),
        use=open_product,
        at=("x_f435w_wht.fits", "f435w"),
    ),
    "no such cube": Defect(
        FileError,
        "HC-F01",
        "no such file",
        use=lambda f: hstcube.open_cube(f / "x.nc"),
        at=("x.nc", ""),
    ),
    "web page as a cube": Defect(
        FileError,
        "HC-F04",
        "netCDF",
        lambda f: (f / "x.nc").write_bytes(HTML),
        use=lambda f: hstcube.open_cube(f / "x.nc"),
        at=("x.nc", ""),
    ),
    "cube in part": Defect(
        FileError,
        "HC-F04",
        "netCDF",
        lambda f: [hstcube.save_cube(open_it(f), f / "x.nc"), os.truncate(f / "x.nc", 9000)],
        use=lambda f: hstcube.open_cube(f / "x.nc"),
        at=("x.nc", ""),
    ),
    "netCDF of something else": Defect(
        CubeError,
        "HC-C01",
        "'sci'",
        lambda f: xr.Dataset({"t": ("time", [1.0, 2.0])}).to_netcdf(f / "x.nc"),
        use=lambda f: hstcube.open_cube(f / "x.nc"),
        at=("x.nc", ""),
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


def in_njy(cube: xr.Dataset) -> xr.Dataset:
    return cube.assign(sci=cube.sci.assign_attrs(units="nJy"))


def difference(one: xr.Dataset, other: xr.Dataset) -> xr.Dataset:
    planes = one[["sci", "wht"]] - other[["sci", "wht"]]  # xarray drops the levels, which differ
    return planes.assign(mask=one.mask.drop_vars("sky"))


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
    "no bands": Defect(CubeError, "HC-C01", "at least one band", use=built(bands=())),
    "unknown state": Defect(CubeError, "HC-C01", "gain", use=built(gain=[1, 2, 3])),
    "too few bands": Defect(
        CubeError, "HC-C02", "sci has shape (3, 40, 44)", use=built(bands=BANDS[:2])
    ),
    "band built twice": Defect(
        BandError, "HC-B02", "twice", use=built(bands=("f435w", "f435w", "f160w")), at=IN_BAND
    ),
    "band built without a wavelength": Defect(
        BandError, "HC-B07", "f999x", use=built(bands=("f435w", "f999x", "f160w")), at=("", "f999x")
    ),
    "state of too few bands": Defect(
        CubeError, "HC-C02", "psf_fwhm has shape (2,)", use=built(psf_fwhm=[0.1, 0.2])
    ),
    "mask of another size": Defect(
        CubeError, "HC-C02", "mask has shape (40, 44)", use=built(mask=np.ones((40, 44), bool))
    ),
    "not a cube": Defect(
        CubeError, "HC-C01", "'sci'", use=lambda _: hstcube.psf_match(xr.Dataset())
    ),
    "an array": Defect(
        CubeError, "HC-C01", "an array", use=lambda _: hstcube.psf_match(np.zeros((3, 4, 5)))
    ),
    "turned": Defect(
        CubeError,
        "HC-C02",
        "('y', 'x', 'band')",
        use=changed(lambda c: c.transpose("y", "x", "band")),
    ),
    "float64": Defect(
        CubeError, "HC-C03", "float64", use=changed(lambda c: c.assign(sci=c.sci.astype(float)))
    ),
    "no unit": Defect(
        CubeError,
        "HC-C04",
        "BANANAS",
        use=changed(lambda c: c.assign(sci=c.sci.assign_attrs(units="BANANAS"))),
    ),
    "hole with weight": Defect(
        CubeError, "HC-C05", "finite where wht > 0", use=changed(with_pixel("sci", np.nan))
    ),
    "pixel without weight": Defect(
        CubeError, "HC-C05", "finite where wht > 0", use=changed(with_pixel("wht", 0))
    ),
    "weight of infinity": Defect(
        CubeError, "HC-D10", "finite", use=changed(with_pixel("wht", np.inf))
    ),
    "mask without data": Defect(
        CubeError,
        "HC-C06",
        "without data",
        use=changed(
            lambda c: with_pixel("mask", True)(with_pixel("wht", 0)(with_pixel("sci", np.nan)(c)))
        ),
    ),
    "difference of cubes": Defect(
        CubeError,
        "HC-C07",
        "is missing",
        use=lambda f: hstcube.psf_match(
            difference(hstcube.subtract_sky(open_it(f), 1e-6), open_it(f))
        ),
    ),
    "band stacked twice": Defect(
        BandError, "HC-B02", "twice", use=lambda f: hstcube.stack_bands([open_it(f), open_it(f)])
    ),
    "stack of different units": Defect(
        CubeError,
        "HC-D21",
        "nJy",
        use=lambda f: hstcube.stack_bands(
            [open_it(f).isel(band=[0]), in_njy(open_it(f).isel(band=[1]))]
        ),
    ),
    "stack of different grids": Defect(
        GridError,
        "HC-D02",
        "y",
        use=lambda f: hstcube.stack_bands(
            [open_it(f).isel(band=[0]), open_it(f).isel(band=[1], y=slice(1, None))]
        ),
    ),
}

DEFECTS = {
    **FILES,
    **PIXELS,
    **NAMES,
    **WCS,
    **LABELS,
    **SKIES,
    **RESOLUTIONS,
    **TEXTS,
    **PRODUCTS,
    **CUBES,
}
