"""Folders that may not be looked into."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from stamps import write_field

import hstcube
from hstcube.errors import FileError
from hstcube.fits.local import entries, kind_of

if TYPE_CHECKING:
    from collections.abc import Iterator

NOBODY = 65534


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[Path]:
    """Return a field in a folder that whoever asks may not enter (the superuser may everything)."""
    folder = write_field(tmp_path / "data")
    tmp_path.chmod(0)
    who = os.geteuid()
    if who == 0:
        os.seteuid(NOBODY)
    yield folder
    if who == 0:
        os.seteuid(who)
    tmp_path.chmod(0o700)


def test_a_folder_that_may_not_be_entered_is_refused_as_such(closed: Path) -> None:
    reads = [
        lambda: hstcube.list_fields(closed),
        lambda: hstcube.open_field(closed, "1"),
        lambda: hstcube.list_fields("/", images=str(closed / "{field}_{band}_{kind}.fits")),
        lambda: entries(closed),
        lambda: kind_of(closed / "file"),
    ]
    for read in reads:
        with pytest.raises(FileError, match="Permission denied") as caught:
            read()
        assert caught.value.code == "HC-F01"


def test_what_is_not_there_holds_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert entries(tmp_path / "nowhere") == entries(tmp_path / "file") == []
    assert [kind_of(tmp_path / name) for name in ("", "file", "nowhere")] == ["folder", "file", ""]
    assert kind_of(Path("/dev/null")) == "other"
