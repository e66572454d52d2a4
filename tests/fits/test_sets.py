"""Files that belong together are written together, and no job replaces what it reads."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from astropy.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fuzz"))
from kills import WAYS, prepare, tried

import hstcube
from hstcube import HstCubeError, HstCubeWarning
from hstcube.fits.sets import id_in, marked, set_id
from hstcube.fits.writing import write_files, write_set
from hstcube.jobs.fluxes import bin_cube, export_cube, phot_cube

if TYPE_CHECKING:
    from collections.abc import Callable

    from commands import Said

pytestmark = pytest.mark.filterwarnings("ignore::hstcube.errors.HstCubeWarning")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return prepare(tmp_path_factory.mktemp("inputs"))


@pytest.mark.slow
@pytest.mark.parametrize("command", ["run", "sky", "cutout", "bin", "export eazy", "to_fits"])
def test_no_mixture_of_a_killed_writer_goes_unnoticed(
    command: str, inputs: list[Path], tmp_path: Path
) -> None:
    found = tried(WAYS[command], inputs, tmp_path, range(1, 60, 2))
    assert found.mixtures > 0
    assert not found.unnoticed
    assert found.leftovers == 0


def test_files_of_a_set_bear_one_id_that_follows_from_what_they_hold(tmp_path: Path) -> None:
    files = {tmp_path / name: b"1\n" for name in ("README", "sky_1_f160w.txt", "photometry.txt")}
    write_set(files)
    first = {id_in(path) for path in files}
    assert len(first) == 1
    assert first != {""}
    write_set(dict.fromkeys(files, b"2\n"), overwrite=True)
    assert first.isdisjoint(id_in(path) for path in files)
    write_set(files, overwrite=True)
    assert {id_in(path) for path in files} == first


def test_a_picture_says_its_id_whatever_its_checksum_begins_with(tmp_path: Path) -> None:
    plain = next(plain for plain in map(picture, range(1000)) if digit_follows(plain))
    path = tmp_path / "a.png"
    (marked_data,) = marked({path: plain}).values()
    path.write_bytes(marked_data)
    assert id_in(path) == set_id({path: plain})


def picture(number: int) -> bytes:
    """Return what begins as a PNG file does."""
    return b"\x89PNG\r\n\x1a\n" + bytes(25) + str(number).encode()


def digit_follows(plain: bytes) -> bool:
    (data,) = marked({Path("a.png"): plain}).values()
    at = data.index(b"SETID\0") + 6 + 16
    return chr(data[at]) in "0123456789abcdef"


def test_tables_and_pictures_with_an_id_are_read_by_everybody(
    inputs: list[Path], tmp_path: Path
) -> None:
    pil = pytest.importorskip("PIL.Image")
    WAYS["bin"].write(inputs[0], tmp_path)
    with pil.open(tmp_path / "bins.png") as picture:
        picture.load()
        assert picture.text["SETID"] == id_in(tmp_path / "bins.fits")
    export_cube(inputs[0] / "cube.nc", "eazy", tmp_path / "eazy", snr=3)
    table = Table.read(tmp_path / "eazy" / "catalogue.cat", format="ascii.commented_header")
    assert len(table) == hstcube.open_labels(tmp_path / "eazy" / "groups.fits").max()


def test_any_writer_sweeps_what_a_killed_one_left(tmp_path: Path) -> None:
    gone = 2**22 + 1  # beyond the largest process id
    left = tmp_path / f".x.part-{gone}-0123abcd"
    ours = tmp_path / f".x.part-{os.getpid()}-0123abcd"
    for path in (left, ours):
        path.touch()
    write_files({tmp_path / "y": b""})
    assert not left.exists()
    assert ours.exists()


def replaces(call: Callable[..., Said], *arguments: object) -> bool:
    """Return whether a command is let to replace its input."""
    said = call(*arguments, "--overwrite")
    assert (said.code, "HC-O06" in said.err) in ((4, True), (0, False)), said
    return said.code == 0


@pytest.mark.parametrize("link", ["itself", "hard link", "by another folder"])
def test_no_command_replaces_the_cube_that_it_reads(
    link: str, inputs: list[Path], tmp_path: Path, call: Callable[..., Said]
) -> None:
    source = tmp_path / "cube.nc"
    source.write_bytes((inputs[0] / "cube.nc").read_bytes())
    out = source
    if link == "hard link":
        out = tmp_path / "other.nc"
        out.hardlink_to(source)
    elif link == "by another folder":
        (tmp_path / "there").symlink_to(tmp_path)
        out = tmp_path / "there" / "cube.nc"
    assert not replaces(call, "bin", source, "-o", out)
    table = tmp_path / "map.ecsv"
    table.hardlink_to(source)
    assert not replaces(call, "phot", source, "-o", table)
    assert source.read_bytes() == (inputs[0] / "cube.nc").read_bytes()


def test_no_job_replaces_a_file_that_it_came_to_read(inputs: list[Path], tmp_path: Path) -> None:
    hstcube.to_fits(hstcube.open_cube(inputs[0] / "cube.nc"), tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    for out in (tmp_path / "1_f160w_mask.fits", tmp_path / "1_f160w_sci.fits"):
        with pytest.raises(HstCubeError) as caught:
            bin_cube(tmp_path, out, field="1", snr=3, overwrite=True)
        assert caught.value.code == "HC-O06"
    bin_cube(tmp_path, tmp_path / "groups.fits", field="1", snr=3)
    with pytest.raises(HstCubeError) as caught:
        export_cube(inputs[0] / "cube.nc", "eazy", tmp_path, groups=tmp_path / "groups.fits",
                    overwrite=True)  # fmt: skip
    assert caught.value.code == "HC-O06"
    assert all(path.read_bytes() == data for path, data in before.items())


def test_a_cube_may_still_be_saved_where_it_came_from(inputs: list[Path], tmp_path: Path) -> None:
    path = tmp_path / "cube.nc"
    path.write_bytes((inputs[0] / "cube.nc").read_bytes())
    cube = hstcube.open_cube(path)
    assert hstcube.open_cube(hstcube.save_cube(cube, path, overwrite=True)).identical(cube)


def test_two_outputs_of_one_name_are_refused(inputs: list[Path], tmp_path: Path) -> None:
    with pytest.raises(HstCubeError) as caught:
        bin_cube(inputs[0] / "cube.nc", tmp_path / "bins.png")
    assert caught.value.code == "HC-O08"
    assert not list(tmp_path.iterdir())


def test_a_picture_of_another_version_is_told(inputs: list[Path], tmp_path: Path) -> None:
    for data, name in zip(inputs, ("a", "b"), strict=True):
        WAYS["bin"].write(data, tmp_path / name)
    (tmp_path / "b" / "bins.png").replace(tmp_path / "a" / "bins.png")
    with pytest.warns(HstCubeWarning, match="HC-O22"):
        hstcube.open_labels(tmp_path / "a" / "bins.fits")


def test_stamps_of_two_cuts_are_refused_only_where_one_replaced_another(
    inputs: list[Path], tmp_path: Path
) -> None:
    def cut(number: int, **how: object) -> None:
        data = inputs[number]
        hstcube.cut_stamps(data, data / "catalogue.csv", tmp_path, size=1.2, overwrite=True, **how)

    cut(0, bands=["f160w"])
    cut(1, bands=["f435w", "f850lp"])  # one after the other: each set is whole
    cube = hstcube.open_field(tmp_path, "7")
    assert cube.sizes["band"] == 3
    cut(0)
    cut(1, bands=["f160w"])
    with pytest.raises(HstCubeError) as caught:
        hstcube.open_field(tmp_path, "7")
    assert caught.value.code == "HC-O20"


def test_photometry_of_a_map_of_another_export_is_refused(
    inputs: list[Path], tmp_path: Path
) -> None:
    for data, name in zip(inputs, ("a", "b"), strict=True):
        WAYS["export eazy"].write(data, tmp_path / name)
    mixed = tmp_path / "a" / "groups.fits"
    (tmp_path / "b" / "groups.fits").replace(mixed)
    with pytest.raises(HstCubeError) as caught:
        phot_cube(inputs[0] / "cube.nc", tmp_path / "phot.ecsv", groups=mixed)
    assert caught.value.code == "HC-O20"
