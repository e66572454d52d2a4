"""The catalogue of bad input.

Each row is refused, warned of or handled, as docs/catalogue.md says of it.

A row is tested here, by a function that spoils a good field and uses it, or it names the test that
does so elsewhere. Classes: E an error with its code; W a warning with its code, kept in the cube; H
handled, and the result is right; "later" concerns what is not built yet.
"""

from __future__ import annotations

import bz2
import gzip
import importlib.util
import json
import lzma
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import tracemalloc
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import pytest
import xarray as xr
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from astropy.wcs.utils import fit_wcs_from_points
from defects import DEFECTS, homogenize, open_it, open_map, ran, run, run_field_file, set_pixels
from stamps import (
    BANDS,
    NEIGHBOUR,
    OBJECT,
    SKY,
    edit_bytes,
    label_map,
    rewrite,
    sky_file,
    stamp,
    write_field,
)

import hstcube
from hstcube.errors import HstCubeError, HstCubeWarning, codes
from hstcube.pipeline import runs
from hstcube.pipeline.options import Options
from hstcube.pipeline.plan import plan

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.filterwarnings("ignore::hstcube.errors.HstCubeWarning")

TESTS = Path(__file__).parent
GIB = 2**30


class Row(NamedTuple):
    """One case: what is wrong, its class, what happens here, and what shows it."""

    case: str
    kind: Literal["E", "W", "H", "later"]
    here: str
    code: str = ""
    do: Callable[[Path], Any] | None = None
    see: tuple[str, ...] = ()


# -- what is done, file by file


def codes_of(cube: xr.Dataset) -> set[str]:
    """Return the codes of the warnings that a cube keeps."""
    return {line.split()[0] for line in cube.attrs["warnings"].splitlines()}


def pair(folder: Path, band: str = "f435w") -> tuple[Path, Path]:
    return stamp(folder, band), stamp(folder, band, "wht")


def open_pair(*paths: Path, band: str = "f435w") -> xr.Dataset:
    return hstcube.open_bands({band: paths}, field="1")


def raw_header(path: Path) -> tuple[bytes, bytes]:
    """Return the cards before END, and the pixels with their padding."""
    data = path.read_bytes()
    end = data.index(b"END" + b" " * 77)
    return data[:end], data[(end // 2880 + 1) * 2880 :]


def with_cards(path: Path, *cards: bytes) -> bytes:
    """Return a file with further cards at the end of its header, as they are."""
    start, pixels = raw_header(path)
    header = b"".join([start, *(card.ljust(80) for card in cards), b"END".ljust(80)])
    return header.ljust(len(header) + -len(header) % 2880) + pixels


def cut_in_the_compressed_data(folder: Path) -> Any:
    path = stamp(folder, "f435w")
    packed = gzip.compress(path.read_bytes())
    path.with_name(path.name + ".gz").write_bytes(packed[: len(packed) // 2])
    path.unlink()
    return open_it(folder)


def cut_in_the_padding(folder: Path) -> xr.Dataset:
    whole = open_it(folder)
    os.truncate(stamp(folder, "f435w"), 2880 + 40 * 44 * 4 + 10)
    xr.testing.assert_equal(open_it(folder), whole)
    return open_it(folder)


def one_flipped_bit(folder: Path) -> xr.Dataset:
    path = stamp(folder, "f435w")
    data = bytearray(path.read_bytes())
    data[2880] ^= 0x40  # the highest bit of the exponent of the first pixel
    path.write_bytes(data)
    cube = open_it(folder)
    assert "f435w: 1 pixels" in cube.attrs["warnings"]
    return cube


def larger_than_the_memory(folder: Path) -> Any:
    """Make a file that is as large as its header says, and takes no room on the disk."""
    side = 40_000
    path = stamp(folder, "f435w")
    edit_bytes(path, b"NAXIS1  =                   44", b"NAXIS1  =                40000")
    edit_bytes(path, b"NAXIS2  =                   40", b"NAXIS2  =                40000")
    os.truncate(path, 2880 + 4 * side**2)
    return open_it(folder)


def larger_than_the_memory_once_unpacked(folder: Path) -> Any:
    path = stamp(folder, "f435w")
    edit_bytes(path, b"NAXIS1  =                   44", b"NAXIS1  =           2000000000")
    path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    return open_it(folder)


def rows_lost_in_the_header(folder: Path) -> xr.Dataset:
    for band in BANDS:
        for path in pair(folder, band):
            edit_bytes(path, b"NAXIS2  =                   40", b"NAXIS2  =                   39")
    return open_it(folder)


def half_of_bitpix(folder: Path) -> Any:
    edit_bytes(
        stamp(folder, "f435w"), b"BITPIX  =                  -32", b"BITPIX  =                   16"
    )
    return open_it(folder)


def minus_lost(kind: str, bits: int = 32) -> Callable[[Path], Any]:
    def do(folder: Path) -> Any:
        path = stamp(folder, "f435w", kind)
        if bits == 64:
            rewrite(path, pixels=lambda image: image.astype(float))
        edit_bytes(
            path, b"BITPIX  =                  -%d" % bits, b"BITPIX  =                   %d" % bits
        )
        return open_it(folder)

    return do


def packed_with_loss(folder: Path) -> xr.Dataset:
    path = stamp(folder, "f435w")
    with fits.open(path, memmap=False) as hdus:
        unit = fits.CompImageHDU(
            hdus[0].data, hdus[0].header, compression_type="RICE_1", quantize_level=16
        )
    path.unlink()
    fits.HDUList([fits.PrimaryHDU(), unit]).writeto(path.with_name(path.name + ".fz"))
    cube = open_it(folder)
    assert "f435w sci: its pixels were rounded" in cube.attrs["warnings"]
    return cube


def any_packing(folder: Path) -> None:
    plain = open_pair(*pair(folder))
    for pack in (gzip.compress, bz2.compress, lzma.compress):
        packed = [folder / path.name for path in pair(folder)]
        for path, place in zip(pair(folder), packed, strict=True):
            place.write_bytes(pack(path.read_bytes()))
        xr.testing.assert_identical(open_pair(*packed), plain)


def bomb(folder: Path) -> Any:
    """64 MB of zeros behind the pixels: refused without unpacking them."""
    path = stamp(folder, "f435w")
    path.with_name(path.name + ".gz").write_bytes(
        gzip.compress(path.read_bytes() + bytes(64 * 2**20), 1)
    )
    path.unlink()
    tracemalloc.start()
    try:
        return open_it(folder)
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 16 * 2**20


def long_header(folder: Path) -> None:
    plain = open_it(folder)
    path = stamp(folder, "f435w")
    path.write_bytes(with_cards(path, *[b"HISTORY again"] * 20_000))
    start = time.process_time()
    xr.testing.assert_identical(open_it(folder), plain)
    assert time.process_time() - start < 5


def huge_header(*, end: bool, packed: bool) -> Callable[[Path], Any]:
    def do(folder: Path) -> Any:
        path = stamp(folder, "f435w")
        data = with_cards(path, *[b"HISTORY again"] * (12 * 2**20 // 80))
        data = data if end else data.replace(b"END".ljust(80), b"".ljust(80))
        path.unlink()
        if packed:
            path.with_name(path.name + ".gz").write_bytes(gzip.compress(data, 1))
        else:
            path.write_bytes(data)
        return open_it(folder)

    return do


def letters_beyond_ascii(folder: Path) -> xr.Dataset:
    plain = open_it(folder)
    path = stamp(folder, "f435w")
    path.write_bytes(with_cards(path, "OBSERVER= 'Hernández'".encode("latin-1")))
    cube = open_it(folder)
    assert "OBSERVER" in cube.attrs["warnings"]
    xr.testing.assert_equal(cube, plain)
    return cube


def card_there_twice(folder: Path) -> xr.Dataset:
    plain = open_it(folder)
    path = stamp(folder, "f435w")
    path.write_bytes(with_cards(path, b"CRPIX1  = 7.0", b"EXPTIME = 2.0"))
    cube = open_it(folder)
    assert "CRPIX1, EXPTIME" in cube.attrs["warnings"]
    xr.testing.assert_equal(cube, plain)  # the first one counts
    return cube


def address(url: str) -> Callable[[Path], Any]:
    return lambda folder: open_pair(Path(url), stamp(folder, "f435w", "wht"))


def odd_paths(folder: Path) -> None:
    plain = open_it(folder)
    for name in ("two words", "grün", "-rf", "line\nfeed", "a[1]*?", "it's", "{field}"):
        there = folder.parent / name
        shutil.copytree(folder, there)
        xr.testing.assert_identical(open_it(there), plain)
        run(there)
        assert hstcube.open_field(folder.parent / f"{name}-out", "1").sci.sizes == plain.sci.sizes


def links(folder: Path) -> None:
    plain = open_it(folder)
    for path in list((folder / "new_stamps").iterdir()):
        place = folder.parent / path.name
        path.rename(place)
        path.symlink_to(place)
    xr.testing.assert_identical(open_it(folder), plain)
    (folder.parent / "link").symlink_to(folder)
    xr.testing.assert_identical(open_it(folder.parent / "link"), plain)


def not_permitted(_: Path) -> Any:
    """Read as a user who may not (the superuser may read everything)."""
    with tempfile.TemporaryDirectory() as name:
        folder = write_field(Path(name))
        Path(name).chmod(0o755)
        stamp(folder, "f435w").chmod(0)
        nobody = 65534
        before = os.geteuid()
        if before == 0:
            os.seteuid(nobody)
        try:
            return open_it(folder)
        finally:
            if before == 0:
                os.seteuid(before)


# -- pixels


def quiet_about_blank(folder: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        labels = open_map(folder)
    assert b"BLANK   =" in label_map(folder).read_bytes()
    assert labels.dtype == np.int32


def native_order(folder: Path) -> None:
    cube = open_it(folder)
    labels = open_map(folder)
    assert fits.getdata(stamp(folder, "f435w")).dtype.byteorder == ">"
    assert cube.sci.dtype.isnative
    assert cube.wht.dtype.isnative
    assert labels.dtype.isnative
    hstcube.save_cube(cube, folder / "cube.nc")
    xr.testing.assert_identical(hstcube.open_cube(folder / "cube.nc"), cube)


def one_nan(folder: Path) -> xr.Dataset:
    rewrite(stamp(folder, "f435w"), pixels=set_pixels(np.nan, count=1))
    cube = open_it(folder)
    matched = hstcube.psf_match(cube)
    for made in (cube, matched):
        assert int(np.isnan(made.sci).sum()) == 1
        assert int((made.wht == 0).sum()) == 1
        assert not made.mask.values[0, 0, 0]
    return cube


def one_weight_of(factor: float) -> Callable[[Path], xr.Dataset]:
    def do(folder: Path) -> xr.Dataset:
        def pixels(wht: np.ndarray) -> np.ndarray:
            wht = wht.copy()
            wht[5, 5] *= factor
            return wht

        rewrite(stamp(folder, "f435w", "wht"), pixels=pixels)
        cube = open_it(folder)
        assert "HC-D12 f435w: 1 weights" in cube.attrs["warnings"]
        return cube

    return do


def integers(folder: Path) -> xr.Dataset:
    for path, values in zip(pair(folder), (np.arange(1760) % 200, np.full(1760, 7)), strict=True):
        fits.writeto(
            path, values.reshape(40, 44).astype(np.uint8), fits.getheader(path), overwrite=True
        )
    cube = open_it(folder)
    assert "whole numbers of 8 bits" in cube.attrs["warnings"]
    return cube


def built_of(kind: Any) -> Callable[[Path], Any]:
    def do(folder: Path) -> Any:
        cube = open_it(folder)
        return hstcube.build(
            cube.sci.values.astype(kind),
            cube.wht.values,
            bands=BANDS,
            grid=hstcube.Grid.of(cube),
            units="electron s-1",
        )

    return do


def unknown_depth(folder: Path) -> Any:
    edit_bytes(
        stamp(folder, "f435w"), b"BITPIX  =                  -32", b"BITPIX  =                  -16"
    )
    return open_it(folder)


def half_and_double_precision(folder: Path) -> None:
    cube = open_it(folder)
    for kind in (np.float16, np.float64, np.longdouble, np.int32):
        made = built_of(kind)(folder)
        assert made.sci.dtype == np.float32
        np.testing.assert_array_equal(made.sci, cube.sci.values.astype(kind).astype(np.float32))


def of_shape(ny: int, nx: int) -> Callable[[Path], Any]:
    def do(folder: Path) -> Any:
        for path in pair(folder):
            header = fits.getheader(path)
            fits.writeto(path, np.ones((ny, nx), np.float32), header, overwrite=True)
            if 0 in (ny, nx):
                fits.setval(path, "NAXIS1", value=nx)
        return open_pair(*pair(folder))

    return do


def odd_sizes(folder: Path) -> None:
    there = write_field(folder / "odd", shape=(39, 43))
    whole = hstcube.psf_match(open_it(there))
    assert whole.sci.shape == (3, 39, 43)
    assert (whole.wht > 0).all()


def zero_points_of_the_survey(folder: Path) -> None:
    cube = open_it(folder)
    assert "zero points of xdf" in cube.attrs["history"]
    assert np.isfinite(cube.zeropoint).all()
    for band in BANDS:
        rewrite(stamp(folder, band), cards={"XDFVER": None})
    assert np.isnan(open_it(folder).zeropoint).all()  # of no survey: unknown, not assumed


# -- bands, names


def any_case(folder: Path) -> None:
    plain = hstcube.open_field(folder, "1", bands=["f160w", "f435w"])
    for names in (["F160W", "F435W"], ["160", "435"], [" f160w", "F435w"]):
        xr.testing.assert_identical(hstcube.open_field(folder, "1", bands=names), plain)
    xr.testing.assert_identical(
        hstcube.psf_match(plain, to="F160W"), hstcube.psf_match(plain, to="f160w")
    )


def two_scales(folder: Path) -> Any:
    write_field(folder, "2", scale="30mas", bands=("f606w",))
    files = {
        "f160w": pair(folder, "f160w"),
        "f606w": tuple(
            stamp(folder, "f606w", kind, field="2", scale="30mas") for kind in ("sci", "wht")
        ),
    }
    return hstcube.open_bands(files, field="1")


def device_of_windows(folder: Path) -> Any:
    return hstcube.open_field(folder, "CON")


def band_that_escapes(folder: Path) -> Any:
    cube = open_it(folder).isel(band=[0])
    cube = cube.assign_coords(band=np.array(["/../../x"], object))
    return hstcube.to_fits(cube, folder / "out")


def width_without_a_unit(folder: Path) -> Any:
    return hstcube.psf_match(open_it(folder), to="0.3")


def width_as_a_table(folder: Path) -> Any:
    return run_field_file('[bands.f435w]\npsf_fwhm = {fwhm = 0.1, unit = "px"}')(folder)


# -- WCS


def same_mask_with_the_map(change: Callable[[Path], Any]) -> Callable[[Path], None]:
    """Give a test: after its change the map still shows the same object on the images' pixels."""

    def do(folder: Path) -> None:
        def mask() -> np.ndarray:
            labels = open_map(folder)
            return hstcube.regrid_mask(
                hstcube.object_mask(labels, OBJECT), hstcube.Grid.of(open_it(folder))
            ).values

        before = mask()
        assert before.sum() > 10
        change(label_map(folder))
        np.testing.assert_array_equal(mask(), before)

    return do


def fitted_anew(frame: str, projection: str) -> Callable[[Path], Any]:
    """Give the map another WCS that puts its pixels where they were."""

    def change(path: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            data, header = fits.getdata(path, 1), fits.getheader(path, 1)
            y, x = np.indices(data.shape)[:, ::9, ::9].reshape(2, -1)
            sky = WCS(header).pixel_to_world(x, y)
            centre = WCS(header).pixel_to_world(*(np.array(data.shape[::-1]) / 2))
            sky, centre = (SkyCoord(point.transform_to(frame)) for point in (sky, centre))
            header = fit_wcs_from_points(
                (x, y), sky, proj_point=centre, projection="TAN"
            ).to_header()
        for key in ("CTYPE1", "CTYPE2"):
            header[key] = header[key].replace(
                "TAN", projection
            )  # within 2 arcsec of its centre it is the same
        fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(data, header, name="DATA")]).writeto(
            path, overwrite=True
        )

    return change


def at_the_place(ra: float, dec: float) -> Callable[[Path], None]:
    """Move images and map to another place on the sky, then give the map a WCS of its own there."""

    def do(folder: Path) -> None:
        for path in [*(folder / "new_stamps").iterdir(), label_map(folder)]:
            rewrite(path, cards={"CRVAL1": ra, "CRVAL2": dec, "LATPOLE": None})
        same_mask_with_the_map(fitted_anew("fk5", "TAN"))(folder)

    return do


def swapped_axes(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data, header = fits.getdata(path, 1), fits.getheader(path, 1)
    other = fits.Header()
    for i, j in ((1, 2), (2, 1)):
        for key in ("CTYPE", "CRVAL", "CUNIT", "CDELT", "CRPIX"):
            other[f"{key}{i}"] = header[f"{key}{j}"]
        for k, m in ((1, 2), (2, 1)):
            other[f"PC{i}_{k}"] = header[f"PC{j}_{m}"]
    other["RADESYS"], other["EQUINOX"] = "FK5", 2000.0
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(data.T, other, name="DATA")]).writeto(
        path, overwrite=True
    )


def upside_down(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data, header = fits.getdata(path, 1), fits.getheader(path, 1)
        header["CRPIX2"] = data.shape[0] + 1 - header["CRPIX2"]
        header["PC1_2"], header["PC2_2"] = -header["PC1_2"], -header["PC2_2"]
        del header["BLANK"]
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(data[::-1], header, name="DATA")]).writeto(
        path, overwrite=True
    )


def unknown_frame(folder: Path) -> Any:
    rewrite(stamp(folder, "f435w"), cards={"RADESYS": "FK7"})
    return open_it(folder)


def regridded_elsewhere(folder: Path) -> xr.Dataset:
    return hstcube.regrid(open_it(folder), hstcube.Grid.around((10.0, 10.0), 3.0, 0.06))


def impossible_date(folder: Path) -> None:
    cube = open_it(folder)
    assert fits.getval(stamp(folder, "f435w"), "DATE") == "2013-03-22T012:00:00"
    assert not codes_of(cube)


# -- segmentation


def negative_labels(folder: Path) -> xr.Dataset:
    """Make pixels -1, which is `not covered` in a cube, and -5.

    They belong to nobody, and are no sky.
    """
    rewrite(label_map(folder), pixels=lambda labels: np.where(labels == NEIGHBOUR, -1, labels))
    rewrite(label_map(folder), pixels=set_pixels(-5, count=3))
    labels = open_map(folder)
    assert (labels.values.flat[:3] == -2).all()
    assert not (labels == -1).any()
    assert not (labels == NEIGHBOUR).any()
    return homogenize(folder)


def unsigned_labels(folder: Path) -> None:
    before = open_map(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        header = fits.getheader(label_map(folder), 1)
        del header["BLANK"]
    for kind in (np.uint16, np.int16, np.int32, np.int64, np.uint32):
        unit = fits.ImageHDU(np.where(before > 0, before, 0).astype(kind), header, name="DATA")
        fits.HDUList([fits.PrimaryHDU(), unit]).writeto(label_map(folder), overwrite=True)
        np.testing.assert_array_equal(open_map(folder), np.where(before > 0, before, 0))


def other_central_object(folder: Path) -> xr.Dataset:
    path = label_map(folder)
    path.write_bytes(with_cards(path, b"RAF_ID  = '%d'" % NEIGHBOUR))
    assert "HC-S07" not in codes_of(homogenize(folder, ids=[OBJECT]))  # who names it means it
    return homogenize(folder)


def object_everywhere(folder: Path) -> xr.Dataset:
    rewrite(label_map(folder), pixels=lambda labels: np.full_like(labels, OBJECT))
    inside = open_it(folder).isel(y=slice(12, 28), x=slice(14, 30))  # all of it on the map
    return hstcube.homogenize(inside, labels=open_map(folder), sky=0.0)


def object_in_two_pieces(folder: Path) -> xr.Dataset:
    def with_a_gap(labels: np.ndarray) -> np.ndarray:
        labels = labels.copy()
        labels[labels.shape[0] // 2 + 2] = 0
        return labels

    assert "HC-S11" not in codes_of(homogenize(folder))
    rewrite(label_map(folder), pixels=with_a_gap)
    cube = homogenize(folder)
    assert f"object {OBJECT} is in 2 pieces" in cube.attrs["warnings"]
    return cube


# -- sky


def level_of_another_unit(folder: Path) -> xr.Dataset:
    right = {band: SKY[band] for band in BANDS}
    assert "HC-K09" not in codes_of(homogenize(folder, sky=right))
    sky_file(folder, "f850lp").write_text(f"{SKY['f850lp'] * 1000}\n")
    run(folder)
    cube = hstcube.open_field(folder.parent / f"{folder.name}-out", "1")
    assert "HC-K09 f850lp" in cube.attrs["warnings"]
    return homogenize(folder, sky=right | {"f850lp": SKY["f850lp"] * 1000})


# -- output


def output_over_an_input(folder: Path) -> None:
    """Write into the folder where the images lie under the names of products."""
    place = folder / "here"
    place.mkdir()
    text = ""
    for band in BANDS:
        for kind in ("sci", "wht"):
            shutil.copy(stamp(folder, band, kind), place / f"x_{band}_{kind}.fits")
        text += f'[bands.{band}]\nsci = "x_{band}_sci.fits"\nwht = "x_{band}_wht.fits"\n'
    shutil.copy(label_map(folder), place / "map.fits")
    (place / "field.toml").write_text(f'name = "x"\n{text}[labels]\npath = "map.fits"\n')
    before = (place / "x_f435w_sci.fits").read_bytes()
    targets = plan(place / "field.toml", [], [], scale="60mas")
    (outcome,) = runs.run(targets, place, Options(overwrite=True, netcdf=False))
    assert (place / "x_f435w_sci.fits").read_bytes() == before
    raise outcome.error


def fields_alike(folder: Path) -> Any:
    write_field(folder, "m", bands=("f160w",))
    write_field(folder, "M", bands=("f160w",))
    return ran()(folder)


def two_writers(folder: Path) -> None:
    """Whatever two writers leave is one of the two cubes, or is refused as a mixture."""
    first = open_it(folder)
    second = first.assign(sci=first.sci * np.float32(2)).assign_attrs(history="of the second")
    out = folder / "out"
    failures: list[BaseException] = []

    def write(cube: xr.Dataset) -> None:
        try:
            for _ in range(8):
                hstcube.to_fits(cube, out, overwrite=True)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=[cube]) for cube in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert not list(out.glob(".*"))
    try:
        left = hstcube.open_field(out, "1")
    except HstCubeError as error:
        assert error.code == "HC-O20"  # noqa: PT017
    else:
        assert any(
            left.sci.equals(cube.sci) and left.wht.equals(cube.wht) for cube in (first, second)
        )


def attributes_of_any_kind(folder: Path) -> None:
    cube = open_it(folder).assign_attrs(a=None, b=True, c={"d": [1, None]}, e="text", f=1.5)
    path = hstcube.save_cube(cube, folder / "cube.nc")
    back = hstcube.open_cube(path)
    assert [json.loads(back.attrs[key]) for key in "abc"] == [None, True, {"d": [1, None]}]
    assert (back.attrs["e"], back.attrs["f"]) == ("text", 1.5)
    xr.testing.assert_equal(back, cube)
    assert cube.attrs["a"] is None  # the cube itself stays as it was


def marks_in_a_header(folder: Path) -> None:
    script = "<script>alert(1)</script>"
    for band in BANDS:
        rewrite(stamp(folder, band), cards={"OBJECT": script, "INSTRUME": script})
    cube = open_it(folder).assign_attrs(title=script)
    with xr.set_options(display_expand_attrs=True):
        assert script not in cube._repr_html_()
    for path in hstcube.to_fits(cube, folder / "out"):
        assert fits.getval(path, "OBJECT") == "1"


def escape_codes_in_a_header(folder: Path) -> Any:
    edit_bytes(stamp(folder, "f435w"), b"INSTRUME= 'WFC3    '", b"INSTRUME= '\x1b[31mred'")
    command = [
        sys.executable,
        "-m",
        "hstcube",
        "run",
        str(folder),
        "-o",
        str(folder.parent / "out"),
        "--no-netcdf",
    ]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 3
    assert b"HC-F04" in done.stderr
    assert b"\x1b" not in done.stdout + done.stderr
    return open_it(folder)


def formula_as_a_name(folder: Path) -> Any:
    return hstcube.to_fits(open_it(folder).assign_attrs(field="=cmd"), folder / "out")


def long_texts(folder: Path) -> None:
    for title in ("x" * 68, "x" * 69, "it''s " * 40 + "'", "'" * 90, "a b  " * 50 + "z"):
        cube = open_it(folder).assign_attrs(title=title)
        out = folder / f"out{len(title)}"
        for path in hstcube.to_fits(cube, out):
            with fits.open(path, checksum=True) as hdus:  # warnings are errors here
                assert hdus[0].header["TITLE"] == title
        xr.testing.assert_identical(hstcube.open_field(out, "1"), cube)


def little_memory(folder: Path) -> Any:
    """Open an image of 1 GB in a process that may take half a GB."""
    side = 16_000
    path = stamp(folder, "f435w")
    for axis, old in ((1, 44), (2, 40)):
        edit_bytes(path, b"NAXIS%d  = %20d" % (axis, old), b"NAXIS%d  = %20d" % (axis, side))
    os.truncate(path, 2880 + 4 * side**2)
    program = f"""
import resource, sys
import hstcube, hstcube.files.fields, astropy.io.fits, pickle
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + {GIB // 2}, used + {GIB // 2}))
try:
    hstcube.open_field({str(folder)!r}, "1", bands=["f435w"])
except hstcube.HstCubeError as error:
    sys.stdout.buffer.write(pickle.dumps(error))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    raise pickle.loads(done.stdout)


# -- the table


ERRORS, FAULTS, CLI, LAWS, GRIDS = (
    "test_errors.py",
    "test_faults.py",
    "test_cli.py",
    "test_laws.py",
    "test_grids.py",
)
REGRID, ALIGNMENT = "test_regrid.py", "test_alignment.py"
SAME_PIXELS = f"{ERRORS}::test_the_same_pixels_in_another_dress_are_the_same_cube"

ROWS = {
    # files and containers
    "F01": Row("file missing", "E", "names the file that should be there", "HC-F01", see=(
        "missing science image", "missing weight image", "missing band", "missing field", "missing folder")),
    "F02": Row("truncated in the pixels", "E", "size there and size declared", "HC-F02", see=(
        "truncated pixels", "truncated map", "product in part")),
    "F02 packed": Row("truncated, compressed", "E", "as plain files", "HC-F02", cut_in_the_compressed_data),
    "F03": Row("truncated in the padding", "W", "all pixels are read", "HC-F03", cut_in_the_padding),
    "F04": Row("empty, no FITS file, a web page", "E", "says what it starts with", "HC-F04", see=(
        "empty", "web page", "foreign", "truncated header")),
    "F05": Row("CHECKSUM or DATASUM does not agree", "E", "refused", "HC-F05", see=("flipped bit", "edited header")),
    "F06": Row("flipped bit, no checksum", "W", "pixels of 1e9 times their noise are counted", "HC-F06",
               one_flipped_bit),
    "F07": Row("header declares 1.2 TB", "E", "refused before anything is allocated", "HC-F02", see=(
        "1.2 TB declared",)),
    "F07 sparse": Row("a file of 6.4 GB", "E", "more than the budget for one image, 4 GiB", "HC-F07",
                      larger_than_the_memory),
    "F07 packed": Row("compressed, header declares 320 GB", "E", "refused before it is unpacked", "HC-F07",
                      larger_than_the_memory_once_unpacked),
    "F08": Row("NAXIS negative", "E", "not a FITS file that can be read", "HC-F04", see=("negative size",)),
    "F08 rows": Row("NAXIS too small in all files", "W", "what follows the pixels is no padding", "HC-F08",
                    rows_lost_in_the_header),
    "F08 depth": Row("BITPIX too small", "E", "what follows the pixels is no header", "HC-F04", half_of_bitpix),
    "F09": Row("BITPIX has lost its sign, sci", "E", "the bits are those of real numbers", "HC-F09",
               minus_lost("sci")),
    "F09 wht": Row("BITPIX has lost its sign, wht", "E", "the bits are those of real numbers", "HC-F09",
                   minus_lost("wht")),
    "F09 64": Row("BITPIX has lost its sign, 64 bits", "E", "the bits are those of real numbers", "HC-F09",
                  minus_lost("sci", 64)),
    "F10": Row("empty primary header, image in an extension", "H", "found", see=(SAME_PIXELS,)),
    "F11": Row("WHT before SCI in one file", "H", "found by EXTNAME", see=(
        f"{ERRORS}::test_extensions_are_found_by_name_not_by_order",)),
    "F12": Row("several SCI extensions", "E", "lists them", "HC-F12", see=("several chips",)),
    "F13": Row("three axes", "E", "shape named", "HC-F13", see=("cube of five planes", "map of three axes")),
    "F13 length 1": Row("a third axis of length 1", "H", "left out", see=(SAME_PIXELS,)),
    "F14": Row("a table", "E", "no image", "HC-F14", see=("table", "no pixels")),
    "F14 one axis": Row("one axis", "E", "shape named", "HC-F13", see=("one axis",)),
    "F15": Row("fpack, pixels rounded", "W", "read, with the warning", "HC-F15", packed_with_loss),
    "F15 lossless": Row("fpack without loss", "H", "the same cube", see=(SAME_PIXELS,)),
    "F16": Row("gzip, bzip2, xz", "H", "the same cube", do=any_packing),
    "F17": Row("gzip bomb", "E", "unpacked as far as the header declares, no further", "HC-F17", bomb),
    "F18": Row("20,000 HISTORY cards", "H", "the same cube", do=long_header),
    "F18 huge": Row("header of 12 MB", "E", "refused above 10 MB", "HC-F18", huge_header(end=True, packed=False)),
    "F18 endless": Row("header of 12 MB without END", "E", "refused above 10 MB", "HC-F18",
                       huge_header(end=False, packed=False)),
    "F18 packed": Row("header of 12 MB, compressed", "E", "refused above 10 MB", "HC-F18",
                      huge_header(end=True, packed=True)),
    "F19": Row("bytes that are no ASCII in a header", "W", "read as '?', cards listed", "HC-F19",
               letters_beyond_ascii),
    "F20": Row("keyword there twice", "W", "the first one counts, keywords listed", "HC-F20", card_there_twice),
    "F21": Row("URL in place of a file", "E", "nothing is fetched", "HC-F21", address("https://a.b/1.fits")),
    "F21 s3": Row("s3:// in place of a file", "E", "nothing is fetched", "HC-F21", address("s3://a/1.fits")),
    "F21 folder": Row("URL in place of a folder", "E", "nothing is fetched", "HC-F21",
                      lambda _: hstcube.open_field("https://a.b/c", "1")),
    "F22": Row("spaces, letters, dash, line feed, brackets in a path", "H", "works, in and out", do=odd_paths),
    "F23": Row("symbolic links", "H", "followed", do=links),
    "F23 loop": Row("a link to itself", "E", "no such file", "HC-F01", see=("link to itself",)),
    "F24": Row("pipe, device or folder as a file", "E", "not opened", "HC-F24", see=(
        "fifo", "device", "directory", "directory as a map")),
    "F25": Row("permission denied", "E", "what the system says", "HC-F01", not_permitted),
    # pixels and weights
    "D01": Row("sci and wht of different shapes", "E", "both shapes", "HC-D01", see=(
        "other shape of wht", "other shape of a band")),
    "D02": Row("bands on different grids", "E", "how many pixels apart", "HC-D02", see=(
        "other grid of wht", "other grid of a band")),
    "D03": Row("int16 with BSCALE, BZERO, BLANK", "H", "float32; BLANK has no data", see=(
        f"{ERRORS}::test_integers_are_read_with_their_scale_and_zero", f"{ERRORS}::test_blank_integers_have_no_data")),
    "D04": Row("unsigned 16 bit", "H", "float32", see=(f"{ERRORS}::test_integers_are_read_with_their_scale_and_zero",)),
    "D04 map": Row("segmentation maps of any integers", "H", "int32", do=unsigned_labels),
    "D05": Row("BLANK on real numbers", "H", "quiet", do=quiet_about_blank),
    "D06": Row("big-endian arrays", "H", "native order, netCDF gives it back", do=native_order),
    "D07": Row("NaN in sci", "W", "that pixel has no data, before and after matching; no other", "HC-D07", one_nan),
    "D08": Row("band without data", "E", "refused", "HC-D08", see=("nothing but NaN", "nothing but weights of zero")),
    "D09": Row("wht = 0", "H", "no data", see=(f"{ERRORS}::test_a_pixel_without_weight_has_no_data",)),
    "D10": Row("wht < 0 in more than 0.1 %", "E", "counted", "HC-D10", see=("negative weights",)),
    "D10 few": Row("wht < 0 in less", "W", "no data there", "HC-D10", see=(
        f"{ERRORS}::test_one_impossible_weight_in_a_thousand_is_a_pixel_without_data",)),
    "D11": Row("wht NaN or infinite", "E", "as negative ones", "HC-D10", see=("weights of NaN", "infinite weights")),
    "D12": Row("one tiny positive weight", "W", "counted", "HC-D12", one_weight_of(1e-9)),
    "D12 huge": Row("one huge weight", "W", "counted", "HC-D12", one_weight_of(1e9)),
    "D13": Row("wht is an rms, a variance, an exposure time", "W", "`hstcube check` compares it with the sky's rms",
               "HC-D24", see=("test_check.py::test_weights_that_are_something_else_are_noticed",)),
    "D14": Row("sci and wht exchanged", "E", "FILETYPE, or negative weights", "HC-D14", see=(
        "swapped sci and wht", "science image as weights")),
    "D14 silent": Row("exchanged, no FILETYPE", "E", "negative weights", "HC-D10", see=("swapped without a word",)),
    "D15": Row("integers without a scale", "W", "read as they are", "HC-D15", integers),
    "D16": Row("saturation, a pedestal under the sky", "later", "needs a comparison of the levels of all bands"),
    "D17": Row("complex pixels", "E", "refused", "HC-D17", built_of(complex)),
    "D17 object": Row("Python objects", "E", "refused", "HC-D17", built_of(object)),
    "D17 bool": Row("truth values", "E", "refused", "HC-D17", built_of(bool)),
    "D17 depth": Row("BITPIX = -16", "E", "no FITS file that can be read", "HC-F04", unknown_depth),
    "D17 real": Row("float16, float64, long double, int32", "H", "float32", do=half_and_double_precision),
    "D18": Row("an image of one row", "E", "shape named", "HC-F13", of_shape(1, 44)),
    "D18 column": Row("an image of one column", "E", "shape named", "HC-F13", of_shape(40, 1)),
    "D18 empty": Row("an image of no pixels", "E", "no image", "HC-F14", see=("no pixels",)),
    "D19": Row("odd sizes", "H", "matched, every pixel kept", do=odd_sizes, see=(
        f"{LAWS}::test_nothing_is_shifted_at_any_parity",)),
    "D20": Row("no BUNIT", "W", "electron/s assumed", "HC-D20", see=(
        f"{ERRORS}::test_a_missing_unit_is_assumed_and_told",)),
    "D20 unknown": Row("a unit that nobody knows", "E", "names it", "HC-C04", see=("unknown unit",)),
    "D21": Row("bands in different units", "E", "lists them", "HC-D21", see=("different units",)),
    "D22": Row("no PHOTFLAM", "H", "zero points of the survey's table, in the history; unknown without a survey",
               do=zero_points_of_the_survey),
    # bands, names, recipes
    "B01": Row("band not there", "E", "lists those that are", "HC-F01", see=("missing band",)),
    "B02": Row("band twice", "E", "both files", "HC-B02", see=(
        "compressed twin", "band in both folders", "band spelled twice", "band stacked twice")),
    "B03": Row("FILTER against the file's name", "E", "both", "HC-B03", see=(
        "wrong FILTER", "wrong FILTER of the weights")),
    "B04": Row("INSTRUME has no such filter", "W", "the camera that has it", "HC-B04", see=(
        f"{ERRORS}::test_a_wrong_camera_is_corrected_and_told_once",)),
    "B05": Row("target band not there", "E", "lists the bands", "HC-B05", see=("target absent",)),
    "B06": Row("band broader than the target", "E", "both widths", "HC-B06", see=("target sharper than a band",)),
    "B07": Row("band as broad as the target", "H", "bit for bit", see=(
        f"{LAWS}::test_bands_as_broad_as_the_target_pass_bit_for_bit",)),
    "B08": Row("kernel narrower than a pixel", "H", "its second moment is right", see=(
        f"{LAWS}::test_a_gaussian_kernel_has_the_second_moment_it_is_asked_for",)),
    "B09": Row("width without a unit", "E", "asks for '0.3arcsec'", "HC-B33", width_without_a_unit),
    "B09 table": Row("width in a unit of its own", "E", "widths are in arcsec", "HC-B17", width_as_a_table),
    "B10": Row("kernel that loses flux", "E", "its sum", "HC-P05", see=("kernel that loses flux", "kernel of NaN")),
    "B10 even": Row("kernel of even size", "E", "its shape", "HC-P04", see=("even kernel",)),
    "B10 star": Row("images of stars as PSFs", "later", "PSFs are Gaussians or given kernels so far"),
    "B11": Row("30 and 60 mas in one cube", "E", "different grids", "HC-D02", two_scales),
    "B12": Row("../, absolute, NUL, colon, 65 letters as a name", "E", "refused", "HC-B12", see=(
        "field '../1'", "field '/etc/pass'", "field 'a:b'", "field with a NUL", "target that escapes",
        "name that escapes", "cube that escapes", "field of open_bands")),
    "B12 device": Row("CON as a name", "E", "refused", "HC-B12", device_of_windows),
    "B12 band": Row("a band's name with ../", "E", "refused before it is a path", "HC-B12", band_that_escapes),
    "B13": Row("glob marks in a name", "E", "refused", "HC-B12", see=("field '1*'",)),
    "B14": Row("F160W, f160w, 160", "H", "one band", do=any_case),
    "B15": Row("unknown or repeated keys, no TOML, nesting", "E", "the nearest key", "HC-B15", see=(
        "unknown recipe key", "recipe key given twice", "recipe of a thousand brackets", "recipe that is not TOML")),
    "B16": Row("pickled arrays as a PSF", "later", "no PSF files are read so far"),
    "B17": Row("'1,5' for a number", "E", "names the key", "HC-B17", see=(
        'recipe with sky = "1,5"', 'band with zeropoint = "25,7"')),
    # WCS
    "W01": Row("no WCS", "E", "refused", "HC-W02", see=("no WCS",)),
    "W02": Row("no CTYPE", "E", "refused", "HC-W02", see=("no CTYPE", "map without WCS")),
    "W03": Row("CD of zeros", "E", "refused", "HC-W03", see=("CD of zeros",)),
    "W04": Row("singular CD", "E", "refused", "HC-W03", see=("singular CD",)),
    "W05": Row("CD against PC or CDELT", "E", "refused", "HC-W05", see=("CD against CDELT", "CD with PC")),
    "W06": Row("CRVAL NaN, infinite or text", "E", "names the card", "HC-W06", see=(
        "CRVAL of NaN", "CRVAL beyond numbers", "CRVAL that is text")),
    "W07": Row("SIP coefficients, TPV", "E", "drizzle first", "HC-W07", see=(
        "SIP", "TPV")),
    "W07 left": Row("SIP coefficients under a CTYPE without -SIP", "H", "leftovers of drizzling: noted", see=(
        "test_releases.py::test_leftovers_of_distortions_move_nothing_unless_their_tables_are_there",)),
    "W08": Row("-SIP without coefficients", "E", "drizzle first", "HC-W07", see=(
        "a word of SIP without coefficients",)),
    "W09": Row("map in SIN", "H", "the same mask", do=same_mask_with_the_map(fitted_anew("fk5", "SIN"))),
    "W09 images": Row("images to SIN, ARC, STG, CAR", "H", "the same fluxes", see=(
        f"{REGRID}::test_grids_with_other_reference_points_and_projections_get_the_same_image",)),
    "W10 images": Row("images flipped, axes exchanged, in Galactic coordinates", "H", "the same pixels", see=(
        f"{REGRID}::test_flipped_and_exchanged_axes_and_other_frames_change_nothing",)),
    "W10": Row("map with its axes exchanged", "H", "the same mask", do=same_mask_with_the_map(swapped_axes)),
    "W10 flip": Row("map upside down", "H", "the same mask", do=same_mask_with_the_map(upside_down)),
    "W11": Row("map in Galactic coordinates", "H", "the same mask",
               do=same_mask_with_the_map(fitted_anew("galactic", "TAN"))),
    "W11 unknown": Row("a frame that nobody knows", "E", "names it", "HC-W06", unknown_frame),
    "W12": Row("axes of two systems", "E", "both", "HC-W12", see=("two systems", "two latitudes", "spectral axis")),
    "W13": Row("field across RA = 0", "H", "the same mask", do=at_the_place(0.0, -27.8)),
    "W14": Row("field at the pole", "H", "the same mask", do=at_the_place(53.0, 89.9995)),
    "W13 images": Row("images across RA = 0 and at the poles", "H", "the same fluxes", see=(
        f"{REGRID}::test_sources_at_the_edges_of_the_coordinates_keep_their_flux",)),
    "W15 images": Row("images and new grid apart", "E", "how far", "HC-W15", do=regridded_elsewhere),
    "W15": Row("map elsewhere on the sky", "E", "no overlap", "HC-W15", see=("map elsewhere on the sky",)),
    "W16": Row("map covers part of the frame", "W", "its share", "HC-S14", see=(
        f"{ERRORS}::test_what_a_map_leaves_open_is_told",)),
    "W16 images": Row("images cover part of a new grid", "W", "their share", "HC-W16", see=(
        f"{REGRID}::test_partial_cover_and_wasted_data_are_told",)),
    "W17": Row("another pixel scale", "H", "flux or surface brightness, by the unit or as asked", see=(
        f"{REGRID}::test_surface_brightness_stays_where_the_unit_is_per_solid_angle",
        f"{REGRID}::test_a_source_keeps_its_flux_and_its_place")),
    "W17 coarser": Row("bilinear to much larger pixels", "W", "leaves data unused", "HC-W17", see=(
        f"{REGRID}::test_partial_cover_and_wasted_data_are_told",)),
    "W18": Row("NaN while regridding", "H", "costs one or two pixels", see=(
        f"{REGRID}::test_one_pixel_without_data_costs_the_pixels_that_lie_on_it",
        f"{REGRID}::test_a_constant_stays_constant_beside_holes_and_holes_are_not_filled")),
    "W19": Row("labels between pixels", "H", "the nearest pixel, never a mean", see=(
        f"{GRIDS}::test_regridded_labels_are_those_of_the_nearest_pixels",)),
    "W20": Row("fractions of CRPIX differ between map and images", "H", "the nearest pixel", see=(
        f"{GRIDS}::test_regridded_labels_are_those_of_the_nearest_pixels",)),
    "W20 scales": Row("one pixel scale lies elsewhere than another", "W", "by how much", "HC-W20", see=(
        f"{ALIGNMENT}::test_a_shift_is_told_in_words_and_kept_in_the_cube",)),
    "W21": Row("DATE that is no date", "H", "not read", do=impossible_date),
    # segmentation
    "S01": Row("sky at the centre", "E", "lists the objects", "HC-S01", see=("sky at the centre",)),
    "S02": Row("NaN at the centre", "E", "lists the objects", "HC-S01", see=("NaN at the centre",)),
    "S03": Row("interpolated edge at the centre", "E", "lists the objects", "HC-S01", see=("interpolated centre",)),
    "S04": Row("labels that are no integers", "W", "the label of most neighbours; their number", "HC-S04", see=(
        f"{ERRORS}::test_what_a_map_leaves_open_is_told",)),
    "S05": Row("float32 ids above 2**24", "E", "refused", "HC-S05", see=("ids beyond float32",)),
    "S06": Row("negative labels", "W", "belong to nobody, and are no sky", "HC-S06", negative_labels),
    "S06 huge": Row("ids beyond int32", "E", "refused", "HC-S05", see=("ids beyond float32",)),
    "S07": Row("RAF_ID is not the central id", "W", "both", "HC-S07", other_central_object),
    "S08": Row("object reaches the edge", "W", "names the side", "HC-S08", see=(
        f"{ERRORS}::test_what_a_map_leaves_open_is_told",)),
    "S09": Row("no pixel left after the look-up", "E", "refused", "HC-S09", see=("object outside the frame",)),
    "S10": Row("object fills the frame", "W", "told", "HC-S10", object_everywhere),
    "S11": Row("object in pieces", "W", "if more than 1 % lies outside the largest", "HC-S11",
               object_in_two_pieces),
    "S12": Row("id not in the map", "E", "lists the ids, proposes one", "HC-S12", see=(
        "wrong label", "negative label", f"{ERRORS}::test_a_missing_label_is_answered_with_the_nearest_one")),
    "S13": Row("merger of two ids", "H", "--ids", see=(
        f"{CLI}::test_ids_choose_the_object_or_make_a_further_target",)),
    "S14": Row("map smaller than the stamp", "W", "its share; nothing is masked in outside", "HC-S14", see=(
        f"{ERRORS}::test_what_a_map_leaves_open_is_told",)),
    "S15": Row("grown on which grid", "H", "pixels of the map, grow= says how many", see=(
        f"{LAWS}::test_growing_reaches_so_many_pixels_and_no_more",)),
    # sky
    "K01": Row("no level and no map", "E", "two ways out", "HC-K01", see=("no sky and no map in a run",)),
    "K02": Row("empty, or comments only", "E", "refused", "HC-K02", see=("empty sky file", "sky file of comments")),
    "K03": Row("NaN or infinite", "E", "refused", "HC-K03", see=("level of NaN", "infinite level")),
    "K04": Row("two numbers", "E", "counted", "HC-K02", see=("two levels",)),
    "K05": Row("as many numbers as columns", "E", "counted", "HC-K02", see=("as many levels as columns",)),
    "K06": Row("decimal comma", "E", "writes it with a point", "HC-K06", see=("decimal comma",)),
    "K07": Row("level of another pixel scale", "E", "the factor", "HC-K07", see=("level of other pixels",)),
    "K08": Row("band without a level", "E", "names the band", "HC-K08", see=("level missing for a band",)),
    "K09": Row("level far from the blank sky", "W", "by more than the noise of a pixel", "HC-K09",
               level_of_another_unit),
    "K10": Row("subtracted twice", "E", "refused", "HC-K10", see=("sky subtracted twice",)),
    # output and environment
    "O01": Row("folder cannot be written", "E", "before anything is computed", "HC-O01", see=(
        f"{FAULTS}::test_a_run_into_a_file_computes_nothing",)),
    "O02": Row("disk full", "E", "old files stay", "HC-O02", see=(
        f"{FAULTS}::test_a_full_disk_leaves_the_old_files", f"{FAULTS}::test_a_run_on_a_full_disk_ends_with_four")),
    "O03": Row("killed while writing", "H", "old or new; the next run sweeps", see=(
        f"{FAULTS}::test_a_writer_that_is_killed_at_any_step_leaves_whole_files",
        f"{FAULTS}::test_the_next_run_sweeps_what_a_killed_one_left")),
    "O03 blocks": Row("killed in a mosaic", "H", "goes on with the blocks that are there", see=(
        "test_going_on.py::test_after_a_kill_at_any_moment_the_files_are_the_same",
        "test_going_on.py::test_what_is_of_another_job_is_not_gone_on_with",
        "test_going_on.py::test_a_block_that_is_damaged_is_made_anew",
    )),
    "O04": Row("outputs exist", "E", "none is written", "HC-O04", see=(
        f"{FAULTS}::test_one_file_that_exists_keeps_all_others_from_being_written",)),
    "O05": Row("output is a symbolic link", "E", "link and target stay", "HC-O05", see=(
        f"{FAULTS}::test_a_link_is_not_replaced",)),
    "O06": Row("output is an input", "E", "input stays", "HC-O06", output_over_an_input),
    "O06 folder": Row("output inside the input's folder", "E", "refused", "HC-O06", see=(
        f"{FAULTS}::test_nothing_is_written_into_the_folder_of_the_input",)),
    "O07": Row("fields m and M", "E", "both", "HC-O07", fields_alike, see=(
        "two targets of one name", "two further targets of one name")),
    "O08": Row("two writers", "H", "one of the two cubes, or refused as a mixture (HC-O20)", do=two_writers),
    "O09": Row("None, True or a dict as an attribute", "H", "JSON text in netCDF", do=attributes_of_any_kind),
    "O10": Row("markup in a header", "H", "escaped or not taken over", do=marks_in_a_header),
    "O11": Row("escape codes in a header", "E", "no FITS; the message shows them as text", "HC-F04",
               escape_codes_in_a_header),
    "O11 path": Row("escape codes in a path", "H", "not printed", see=(
        f"{CLI}::test_a_name_cannot_write_on_the_terminal",)),
    "O12": Row("=cmd as a name", "E", "refused", "HC-B12", formula_as_a_name),
    "O13": Row("texts longer than a card", "H", "CONTINUE cards; read back", do=long_texts),
    "O14": Row("NaN in a table for SED codes", "later", "no such tables are written so far"),
    "O15": Row("memory at its limit", "E", "says so", "HC-O15", little_memory),
    "O16": Row("interrupted", "H", "130 or 143, files whole", see=(
        f"{FAULTS}::test_an_interrupted_run_says_so_and_leaves_whole_files",)),
    "O17": Row("time zone, language, threads", "H", "the same bytes", see=(
        f"{CLI}::test_results_do_not_depend_on_time_zone_language_or_home",)),
    "O18": Row("no HOME, no terminal, NO_COLOR", "H", "the same bytes", see=(
        f"{CLI}::test_results_do_not_depend_on_time_zone_language_or_home",)),
}  # fmt: skip

NUMBERS = {
    "F": 25,
    "D": 22,
    "B": 17,
    "W": 21,
    "S": 15,
    "K": 10,
    "O": 18,
}  # cases of the catalogue, by their letter


@pytest.mark.slow
@pytest.mark.parametrize(
    "row", [row for row in ROWS.values() if row.do], ids=[key for key in ROWS if ROWS[key].do]
)
def test_a_row_is_of_its_class(row: Row, tmp_path: Path) -> None:
    folder = write_field(tmp_path / "data")
    assert row.do
    if row.kind == "E":
        with pytest.raises(HstCubeError) as caught:
            row.do(folder)
        assert caught.value.code == row.code, caught.value
        assert caught.value.fix
    elif row.kind == "W":
        with pytest.warns(HstCubeWarning, match=row.code):
            cube = row.do(folder)
        assert row.code in codes_of(cube)
    else:
        row.do(folder)


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_what_a_row_refers_to_shows_it(row: Row) -> None:
    for name in row.see:
        if "::" in name:
            file, function = name.split("::")
            text = next(TESTS.rglob(file)).read_text(encoding="utf-8")
            assert f"def {function}(" in text, name
            assert row.kind != "W" or row.code in text, name
        else:
            assert row.kind == "E", name
            assert DEFECTS[name].code == row.code or row.do, name


def test_every_row_is_shown_by_a_test_unless_it_comes_later() -> None:
    for key, row in ROWS.items():
        assert bool(row.do or row.see) == (row.kind != "later"), key
        assert bool(row.code) == (row.kind in ("E", "W")), key
        assert not row.code or row.code in codes(), key


def test_no_row_is_left_out() -> None:
    wanted = {f"{letter}{i:02}" for letter, number in NUMBERS.items() for i in range(1, number + 1)}
    assert {key.split()[0] for key in ROWS} == wanted


@pytest.mark.parametrize("page", ["errors.md", "catalogue.md"])
def test_the_pages_are_up_to_date(page: str) -> None:
    docs = TESTS.parent / "docs"
    spec = importlib.util.spec_from_file_location("make_errors", docs / "make_errors.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    text = {"errors.md": module.errors_page(), "catalogue.md": module.catalogue_page(ROWS)}[page]
    assert (docs / page).read_text(encoding="utf-8") == text, "run: python docs/make_errors.py"
