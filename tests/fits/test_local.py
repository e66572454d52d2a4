"""The door for files of every kind: nothing that a path can name hangs a reader or fills memory."""

from __future__ import annotations

import gzip
import os
from typing import TYPE_CHECKING, Any

import pytest

from hstcube.errors import FileError
from hstcube.fits.local import read_bytes, read_text, require_local

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def pipe(folder: Path) -> Path:
    os.mkfifo(folder / "pipe")
    return folder / "pipe"


def written(name: str, data: bytes) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(data)
        return folder / name

    return write


@pytest.mark.parametrize(
    ("made", "code"),
    [
        (pipe, "HC-F24"),
        (lambda folder: folder, "HC-F24"),
        (lambda _: "/dev/zero", "HC-F24"),
        (lambda _: "http://somewhere/levels.txt", "HC-F21"),
        (lambda _: "s3://bucket/levels.txt", "HC-F21"),
        (lambda _: "a\0b", "HC-F01"),
        (lambda _: "x" * 6000, "HC-F01"),
        (lambda _: None, "HC-F01"),
        (lambda folder: folder / "nowhere", "HC-F01"),
        (written("long", b"1" * 2000), "HC-F29"),
        (written("bomb.gz", gzip.compress(b"0" * 10_000_000)), "HC-F29"),
        (written("cut.gz", gzip.compress(os.urandom(500))[:-60]), "HC-F02"),
        (written("broken.gz", b"\x1f\x8b\x08\0\0\0\0\0\0\0" + b"no deflate"), "HC-F02"),
        (written("picture", b"\x89PNG\xff\xfe"), "HC-F30"),
    ],
)
def test_what_is_no_small_local_text_is_refused(
    made: Callable[[Path], Any], code: str, tmp_path: Path
) -> None:
    with pytest.raises(FileError) as caught:
        read_text(made(tmp_path), most=1000, unpack=True)
    assert caught.value.code == code
    assert caught.value.fix


def test_text_is_read_whatever_its_packing_mark_and_ends_of_lines(tmp_path: Path) -> None:
    for name, data in (("plain", b"a\r\nb\n"), ("marked", b"\xef\xbb\xbfa\nb\n")):
        assert read_text(written(name, data)(tmp_path)) == "a\nb\n"
        packed = written(f"{name}.gz", gzip.compress(data))(tmp_path)
        assert read_text(packed, unpack=True) == "a\nb\n"
        assert read_bytes(packed).startswith(b"\x1f\x8b")
        assert require_local(str(packed)) == packed
