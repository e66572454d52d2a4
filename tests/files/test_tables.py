"""Tables in: formats by content, cells as they stand, columns that hold what they should."""

from __future__ import annotations

import gzip
import os

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Column, MaskedColumn, QTable, Table

from hstcube import HstCubeError
from hstcube.files.tables import column, read_table


def code_of(call):
    with pytest.raises(HstCubeError) as caught:
        call()
    assert caught.value.fix
    return caught.value.code


def written(path, text):
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


TEXTS = {
    "csv": "id,ra,dec\n001,53.1,-27\n1e5,,0\n",
    "excel": "\ufeffid,ra,dec\r\n001,53.1,-27\r\n1e5,,0\r\n",
    "semicolons": "id;ra;dec\n001;53.1;-27\n1e5;;0\n",
    "tabs": "id\tra\tdec\n001\t53.1\t-27\n1e5\t\t0\n",
    "spaces": "id  ra dec\n001 53.1   -27\n1e5  -- 0\n",
    "a commented header": "# of the UDF\n# id  ra dec\n001 53.1   -27\n1e5  nan 0\n",
    "comments": "# of the UDF\nid, ra, dec\n# a row:\n001, 53.1, -27\n\n1e5, , 0\n",
    "quotes": 'id,ra,dec\n"001","53.1",-27\n"1e5","",0\n',
    "ecsv": "# %ECSV 1.0\n# ---\n# datatype:\n# - {name: id, datatype: string}\n"
    "# - {name: ra, datatype: float64}\n# - {name: dec, datatype: float64}\n"
    'id ra dec\n001 53.1 -27\n1e5 "" 0\n',
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_cells_of_text_stay_as_they_stand_and_empty_ones_stay_missing(tmp_path, text):
    table = read_table(written(tmp_path / "cat.txt", text))
    assert column(table, "ID", "text").tolist() == ["001", "1e5"]
    assert column(table, "ra", "numbers").tolist() == [53.1, None]
    assert column(table, ("nothing", "dec"), "whole numbers").tolist() == [-27, 0]


def test_a_packed_table_is_unpacked(tmp_path):
    packed = written(tmp_path / "cat.csv.gz", gzip.compress(TEXTS["csv"].encode()))
    assert len(read_table(packed)) == 2


def test_fits_and_ecsv_keep_their_types_units_and_masks(tmp_path):
    ids = MaskedColumn([3, 4, 5], mask=[False, True, False])
    table = Table({"id": ids, "ra": Column([1.0, 2.0, np.nan], unit="rad"), "n": ["a ", "", "c"]})
    for name in ("cat.fits", "cat.ecsv"):
        table.write(tmp_path / name)
        found = read_table(tmp_path / name)
        assert column(found, "id", "whole numbers").tolist() == [3, None, 5]
        assert column(found, "id", "text").tolist() == ["3", None, "5"]
        degrees = column(found, "ra", "numbers", unit="deg")
        assert degrees.tolist() == [pytest.approx(57.29578), pytest.approx(114.59156), None]
        assert column(found, "n", "text").tolist() == ["a", None, "c"]
        assert code_of(lambda found=found: column(found, "ra", "numbers", unit="s")) == "HC-F35"


def test_a_quantity_is_a_column_too(tmp_path):
    QTable({"z": Column([1.0, 2.0], unit="Angstrom").quantity}).write(tmp_path / "t.ecsv")
    found = column(read_table(tmp_path / "t.ecsv"), "z", "numbers", unit="nm")
    assert found.tolist() == pytest.approx([0.1, 0.2])


BAD = {
    "1.7": [1, 1.7],
    "inf": [1.0, np.inf],
    "2**53": [1.0, 2.0**53],
    "uint64": np.array([1, 2**63], np.uint64),
    "text": ["1", "two"],
    "1.5 as text": ["1", "1.5"],
    "underscores": ["1", "1_0"],
    "vectors": np.ones((2, 2), int),
    "one element": np.ones((2, 1), int),
    "bool": [True, False],
    "complex": [1j, 2],
    "single": np.array([1, 2**24], np.float32),
    "objects": np.array([1, {}], object),
    "22 digits": ["1", "1" * 22],
}


@pytest.mark.parametrize("values", BAD.values(), ids=BAD)
def test_what_is_no_whole_number_is_refused_not_rounded(values):
    table = Table({"id": values})
    assert code_of(lambda: column(table, "id", "whole numbers")) == "HC-F35"


def test_the_row_is_named():
    with pytest.raises(HstCubeError, match=r"its column ra is '53,16' in row 2.*\n.*53\.16"):
        column(Table({"ra": ["1", "53,16"]}), "ra", "numbers")
    with pytest.raises(HstCubeError, match=r"its column id is 1\.7 in row 2"):
        column(Table({"id": [1, 1.7]}), "id", "whole numbers")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "HC-F04"),
        ("id,ra\n1,2,3\n", "HC-F04"),
        ("id,id\n1,2\n", "HC-F04"),
        ('id,ra\n"1,2\n', "HC-F04"),
        (b"\xff\xfei\0d\0", "HC-F30"),
        ("# %ECSV 1.0\n# ---\n# {[", "HC-F04"),
        ("a" * 10**6 + "\n", "HC-F35"),
        ("id,ra\n" * 1_000_001, "HC-F04"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path, text, code):
    path = written(tmp_path / "cat.csv", text)
    assert code_of(lambda: column(read_table(path), "ra", "numbers")) == code


def test_fits_tables_are_whole_checked_and_alone(tmp_path):
    hdu = fits.BinTableHDU(Table({"id": np.arange(2000)}))
    path = tmp_path / "cat.fits"
    hdu.writeto(path, checksum=True)
    data = path.read_bytes()
    assert column(read_table(path), "id", "whole numbers").sum() == 1999000
    assert code_of(lambda: read_table(written(path, data[:-5760]))) == "HC-F02"
    flipped = bytearray(data)
    flipped[-4000] ^= 1
    assert code_of(lambda: read_table(written(path, flipped))) == "HC-F05"
    fits.HDUList([fits.PrimaryHDU(), hdu, hdu.copy()]).writeto(path, overwrite=True)
    assert code_of(lambda: read_table(path)) == "HC-F04"
    fits.PrimaryHDU(np.ones((3, 3))).writeto(path, overwrite=True)
    assert code_of(lambda: read_table(path)) == "HC-F04"


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("http://localhost:1/cat.fits", "HC-F21"),
        ("/dev/zero", "HC-F24"),
        ("no/such.csv", "HC-F01"),
        (None, "HC-F01"),
        (3, "HC-F01"),
        ("a\0b", "HC-F01"),
        ("x" * 20000, "HC-F01"),
        (".", "HC-F24"),
    ],
)
def test_only_files_of_this_machine_are_read(path, code):
    assert code_of(lambda: read_table(path)) == code


def test_a_pipe_makes_nobody_wait(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    assert code_of(lambda: read_table(tmp_path / "pipe.csv")) == "HC-F24"
