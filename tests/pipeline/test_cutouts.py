"""Stamps cut out of mosaics: the pixels of the mosaic, at their place, in the layout that a run reads."""  # noqa: E501

from __future__ import annotations

import gzip
import os

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import Table
from stamps import BANDS, label_map, rewrite, stamp, write_field, write_labels

from hstcube import Grid, HstCubeError, cut_stamps, open_field, open_labels
from hstcube.core.mappings import pixel_mapping
from hstcube.fits import writing as _files
from hstcube.jobs.catalogue import Position, read_catalogue

pytestmark = pytest.mark.filterwarnings("ignore:.*HC-(B04|W16|D15|D07):hstcube.HstCubeWarning")

SHAPE = (120, 130)


@pytest.fixture(scope="module")
def mosaics(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mosaics")
    return write_field(folder, "udf", shape=SHAPE, sky=False)


def grid_of(folder, **how):
    return Grid.of(open_field(folder, "udf", **how))


def positions(folder, places, **how):
    """Return the sky positions of pixels (y, x)."""
    y, x = np.array(places).T
    sky = grid_of(folder, **how).wcs.pixel_to_world(x, y)
    return [Position(f"g{i}", float(p.ra.deg), float(p.dec.deg)) for i, p in enumerate(sky)]


def test_stamps_hold_the_pixels_of_the_mosaic_at_their_place(mosaics, tmp_path):
    whole = open_field(mosaics, "udf")
    cut = cut_stamps(mosaics, positions(mosaics, [(50.2, 60.4), (80, 40)]), tmp_path, size=1.2)
    assert [stamp.bands for stamp in cut] == [BANDS, BANDS]
    assert [stamp.share for stamp in cut] == [1, 1]
    assert all(path.is_file() for stamp in cut for path in stamp.files)
    made = open_field(tmp_path, "g0")
    top, left = 41, 51  # 20 pixels around (50.2, 60.4)
    np.testing.assert_array_equal(
        made.sci.values, whole.sci.values[:, top : top + 20, left : left + 20]
    )
    np.testing.assert_array_equal(
        made.wht.values, whole.wht.values[:, top : top + 20, left : left + 20]
    )
    y, x = pixel_mapping(Grid.of(made), Grid.of(whole))(0, 0)
    assert (float(y), float(x)) == pytest.approx((top, left), abs=1e-8)
    header = fits.getheader(tmp_path / "new_stamps" / "g0_60mas_f160w_sci.fits")
    assert header["PARENT"] == "udf_60mas_f160w_sci.fits"
    assert header["FILTER"] == "f160w"
    assert "CHECKSUM" not in header


def test_the_map_is_cut_so_that_it_holds_the_stamp(mosaics, tmp_path):
    cut_stamps(mosaics, positions(mosaics, [(59.5, 64.5)]), tmp_path, size=1.2)
    labels, cube = open_labels(label_map(tmp_path, "g0")), open_field(tmp_path, "g0")
    y, x = pixel_mapping(Grid.of(cube), Grid.of(labels))(*np.meshgrid([0.0, 19.0], [0.0, 19.0]))
    assert y.min() > 0
    assert x.min() > 0
    assert y.max() < labels.sizes["y"] - 1
    assert x.max() < labels.sizes["x"] - 1
    parent = open_labels(label_map(mosaics, "udf"))
    py, px = pixel_mapping(Grid.of(labels), Grid.of(parent))(0, 0)
    place = round(float(py)), round(float(px))
    np.testing.assert_array_equal(
        labels.values,
        parent.values[
            place[0] : place[0] + labels.sizes["y"], place[1] : place[1] + labels.sizes["x"]
        ],
    )


def test_stamps_at_the_edge_are_smaller_and_those_outside_are_not_cut(mosaics, tmp_path):
    wanted = [*positions(mosaics, [(5, 60), (50, 60)]), Position("away", 10.0, 10.0)]
    cut = cut_stamps(mosaics, wanted, tmp_path, size=1.2)
    assert [stamp.share for stamp in cut] == [15 / 20, 1, 0]
    assert cut[2].bands == cut[2].files == ()
    assert open_field(tmp_path, "g0").sizes == {"band": 3, "y": 15, "x": 20}
    with pytest.raises(HstCubeError, match="HC-W15"):
        cut_stamps(mosaics, wanted[2:], tmp_path / "none", size=1.2)
    with pytest.raises(HstCubeError, match="HC-W25"):
        cut_stamps(mosaics, wanted, tmp_path / "none", size=-1.0)
    assert not (tmp_path / "none").exists()


def test_bands_and_scales_are_those_that_are_asked_for(mosaics, tmp_path):
    write_field(tmp_path / "in", "udf", shape=SHAPE, sky=False)
    write_field(
        tmp_path / "in",
        "udf",
        scale="30mas",
        bands=["f435w"],
        shape=(240, 260),
        sky=False,
        labels=False,
    )
    place = positions(mosaics, [(50, 60)])
    cut = cut_stamps(tmp_path / "in", place, tmp_path / "all", size=1.2)
    assert len(cut[0].files) == 2 * 4 + 1  # three bands at 60 mas, one at 30 mas, one map
    assert open_field(tmp_path / "all", "g0", scale="30mas").sizes["y"] == 40
    cut = cut_stamps(
        tmp_path / "in", place, tmp_path / "one", size=1.2, scale="60mas", bands=["160"]
    )
    assert cut[0].bands == ("f160w",)


def test_the_first_mosaic_that_shows_a_position_is_used(tmp_path):
    for name in ("a", "b"):
        write_field(tmp_path / "in", name, shape=SHAPE, sky=False, labels=False, bands=["f160w"])
    grid = Grid.of(open_field(tmp_path / "in", "b"))
    sky = grid.wcs.pixel_to_world(60, 60)
    cut_stamps(
        tmp_path / "in", [Position("g", sky.ra.deg, sky.dec.deg)], tmp_path / "out", size=0.6
    )
    header = fits.getheader(tmp_path / "out" / "new_stamps" / "g_60mas_f160w_sci.fits")
    assert header["PARENT"] in ("a_60mas_f160w_sci.fits", "b_60mas_f160w_sci.fits")


@pytest.mark.parametrize("kind", ["scaled integers", "extension", "three axes"])
def test_mosaics_of_other_kinds_give_the_same_stamps(mosaics, tmp_path, kind):
    folder = write_field(
        tmp_path / "in", "udf", shape=SHAPE, bands=["f160w"], sky=False, labels=False
    )
    path = stamp(folder, "f160w", field="udf")
    image, header = fits.getdata(path), fits.getheader(path)
    if kind == "scaled integers":
        unit = fits.PrimaryHDU(np.rint(image / 1e-6).astype(np.int32), header)
        unit.header["BSCALE"], unit.header["BLANK"] = 1e-6, -(2**31)
        unit.data[40, 50] = -(2**31)
        path.unlink()
        raw = unit.header.tostring().encode() + unit.data.astype(">i4").tobytes()
        path.write_bytes(raw + bytes(-len(raw) % 2880))
    elif kind == "extension":
        unit = fits.ImageHDU(image, header, name="SCI")
        fits.HDUList([fits.PrimaryHDU(), unit]).writeto(
            path, overwrite=True, output_verify="silentfix"
        )
    else:
        rewrite(path, pixels=lambda a: a[None])
    cut_stamps(folder, positions(mosaics, [(45, 55)]), tmp_path / "out", size=1.2)
    made, whole = open_field(tmp_path / "out", "g0"), open_field(folder, "udf")
    np.testing.assert_array_equal(made.sci.values, whole.sci.values[:, 35:55, 45:65])
    assert bool(np.isnan(made.sci.values).any()) == (kind == "scaled integers")


def test_damaged_mosaics_and_compressed_ones_are_refused(mosaics, tmp_path):
    place = positions(mosaics, [(45, 55)])

    def refused(folder, code):
        with pytest.raises(HstCubeError, match=code):
            cut_stamps(folder, place, tmp_path / "out", size=1.2)
        assert not (tmp_path / "out").exists()

    folder = write_field(
        tmp_path / "cut", "udf", shape=SHAPE, bands=["f160w"], sky=False, labels=False
    )
    path = stamp(folder, "f160w", "wht", field="udf")
    path.write_bytes(path.read_bytes()[:20000])
    refused(folder, "HC-F02")
    path.unlink()
    refused(folder, "HC-F01")
    refused(tmp_path, "HC-F01 .*there are no mosaics")
    folder = write_field(
        tmp_path / "packed", "udf", shape=SHAPE, bands=["f160w"], sky=False, labels=False
    )
    path = stamp(folder, "f160w", field="udf")
    path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
    image, header = fits.getdata(path), fits.getheader(path)
    path.unlink()
    refused(folder, "HC-F28")
    path.with_name(path.name + ".gz").unlink()
    fits.CompImageHDU(image, header).writeto(path)
    refused(folder, "HC-F28")
    folder = write_field(
        tmp_path / "moved", "udf", shape=SHAPE, bands=["f160w"], sky=False, labels=False
    )
    rewrite(stamp(folder, "f160w", "wht", field="udf"), cards={"CRPIX1": 3.0})
    refused(folder, "HC-D02")


def test_stamps_that_exist_are_not_replaced_unasked(mosaics, tmp_path):
    place = positions(mosaics, [(45, 55)])
    cut_stamps(mosaics, place, tmp_path, size=1.2)
    with pytest.raises(HstCubeError, match="HC-O04"):
        cut_stamps(mosaics, place, tmp_path, size=0.6)
    cut_stamps(mosaics, place, tmp_path, size=0.6, overwrite=True)
    assert open_field(tmp_path, "g0").sizes["y"] == 10


def test_an_error_half_way_leaves_no_stamp(mosaics, tmp_path, monkeypatch):
    write = _files.Parts.write

    def broken(self, path, *pieces):
        if len(self.parts) == 3:
            raise OSError(28, os.strerror(28), str(path))
        write(self, path, *pieces)

    monkeypatch.setattr(_files.Parts, "write", broken)
    with pytest.raises((HstCubeError, OSError)):
        cut_stamps(mosaics, positions(mosaics, [(45, 55)]), tmp_path, size=1.2)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_disk_that_refuses_is_an_error_of_ours(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(HstCubeError, match="HC-O01"), _files.Parts(tmp_path / "file" / "x", 1):
        pass
    with pytest.raises(HstCubeError, match="HC-O01"), _files.Parts(tmp_path, 1) as parts:
        parts.write(tmp_path / "file" / "x" / "y", b"")


# -- catalogues


@pytest.mark.parametrize("name", ["cat.ecsv", "cat.csv", "cat.fits"])
def test_catalogues_are_tables_with_id_ra_dec(tmp_path, name):
    table = Table({"ID": [3, 15], "RA": [53.1, 53.2], "Dec": [-27.8, -27.9], "z": [1.0, 2.0]})
    table.write(tmp_path / name)
    assert read_catalogue(tmp_path / name) == [
        Position("3", 53.1, -27.8),
        Position("15", 53.2, -27.9),
    ]


def test_units_of_a_catalogue_are_heeded(tmp_path):
    sky = SkyCoord([53.1], [-27.8], unit="deg")
    table = Table({"name": ["a"], "ra": sky.ra.to("hourangle"), "dec": sky.dec.to("arcmin")})
    table.write(tmp_path / "cat.ecsv")
    (found,) = read_catalogue(tmp_path / "cat.ecsv")
    assert found[1:] == pytest.approx((53.1, -27.8))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("id,ra\n3,53.1\n", "HC-B23"), ("id,ra,dec\n", "HC-B23"), ("id,ra,dec\n3,53.1,-97\n", "HC-B23"),  # noqa: E501
        ("id,ra,dec\n3,x,y\n", "HC-B23"), ("id,ra,dec\n../3,53.1,-27\n", "HC-B12"),
        ("id,ra,dec\na,53.1,-27\nA,53.2,-27\n", "HC-O07"), ("what is this", "HC-F04"), (None, "HC-F01"),  # noqa: E501
    ],
)  # fmt: skip
def test_catalogues_that_cannot_be_used_are_refused(tmp_path, text, code):
    path = tmp_path / ("cat.xyz" if code == "HC-F04" else "cat.csv")
    if text is not None:
        path.write_text(text)
    with pytest.raises(HstCubeError, match=code) as caught:
        read_catalogue(path)
    assert caught.value.file == str(path)


# -- the command


def test_the_command_cuts_what_run_reads(call, tmp_path):
    folder = write_field(tmp_path / "in", "1", shape=(100, 100))
    grid = Grid.of(open_field(folder, "1"))
    sky = grid.wcs.pixel_to_world([49.5, -40.0], [49.5, 5.0])
    Table({"id": ["obj", "off"], "ra": sky.ra, "dec": sky.dec}).write(tmp_path / "cat.ecsv")
    done = call(
        "cutout",
        folder,
        "--catalogue",
        tmp_path / "cat.ecsv",
        "-o",
        tmp_path / "out",
        "--size",
        "3.6",
    )
    assert done.code == 5
    assert "stamps of 1 of 2 positions" in done.out
    assert "off" in done.out
    done = call("run", tmp_path / "out", "-o", tmp_path / "products")
    assert done.code == 0, done.err
    Table({"id": ["obj"], "ra": sky.ra[:1], "dec": sky.dec[:1]}).write(tmp_path / "one.ecsv")
    done = call("cutout", folder, "--catalogue", tmp_path / "one.ecsv", "-o", tmp_path / "two")
    assert done.code == 0
    assert "stamps of 1 of 1 positions" in done.out


def test_the_command_writes_nothing_into_the_folder_of_the_mosaics(call, mosaics, tmp_path):
    done = call("cutout", mosaics, "--catalogue", tmp_path / "none.ecsv", "-o", mosaics / "stamps")
    assert done.code == 4
    assert "HC-O06" in done.err
    write_labels(label_map(mosaics, "udf"), "udf", SHAPE)  # unchanged, and still there
