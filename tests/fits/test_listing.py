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
    from collections.abc import Callable, Iterator

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


def test_a_pattern_is_relative_to_the_working_folder_else_to_that_of_the_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, pattern = write_field(tmp_path / "data"), "{field}_{scale}_{band}_{kind}.fits"
    (stamps,) = {files.bands["f160w"].sci[0].parent for files in hstcube.list_fields(folder)}
    monkeypatch.chdir(tmp_path)
    for images in (pattern, f"{stamps.relative_to(folder)}/{pattern}", f"{stamps}/{pattern}"):
        (found,) = hstcube.list_fields(folder, images=images)
        assert found.bands["f160w"].sci[0].parent == stamps
    assert hstcube.list_fields(folder, images="no_{field}_{band}_{kind}.fits") == []
    monkeypatch.chdir(write_field(tmp_path / "here", "7"))  # what the working folder has goes first
    (tmp_path / "here" / "new_stamps").rename(tmp_path / "there")
    monkeypatch.chdir(tmp_path / "there")
    assert [files.field for files in hstcube.list_fields(folder, images=pattern)] == ["7"]


def test_images_whose_names_say_nothing_are_not_called_absent(
    tmp_path: Path, call: Callable
) -> None:
    for name in ("galaxy_blue.fits", "galaxy_red.fits"):
        (tmp_path / name).touch()
    for command in ("ls", "check", "noise"):
        told = call(command, tmp_path)
        assert told.code != 0
        assert "2 FITS files, galaxy_blue.fits and others" in " ".join(told.err.split())
        assert "--images" in told.err
    told = call("ls", tmp_path, "--images", "{field}_{band}_{kind}.fits")
    assert "no images like {field}_{band}_{kind}.fits" in told.err
    assert "e.g. galaxy_blue.fits" in told.err


def test_what_is_not_there_holds_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert entries(tmp_path / "nowhere") == entries(tmp_path / "file") == []
    assert [kind_of(tmp_path / name) for name in ("", "file", "nowhere")] == ["folder", "file", ""]
    assert kind_of(Path("/dev/null")) == "other"
