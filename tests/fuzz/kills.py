"""Kill what writes at every renaming: no mixture of old and new files may go unnoticed.

    python tests/fuzz/kills.py [--most 60] [COMMAND ...]

For each command: old outputs are made of one input; then a child that is to replace them by those
of another input is killed at its n-th renaming, for n = 0, 1, ... What is there is read as hstcube
reads it. A mixture is noticed if that is refused or told (HC-O20, HC-O22); files that hstcube never
reads must bear ids that differ. The next command into the folder must leave no leftovers.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import sys
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

FIELD = "1"


class Way(NamedTuple):
    """A command: what writes into `out` from the inputs in `data`, and what reads it again."""

    write: Callable[[Path, Path], Any]
    read: Callable[[Path, Path], Any] | None = None


def prepare(folder: Path) -> list[Path]:
    """Return two folders of stamps, each with a saved cube and a catalogue.

    The second differs from the first in everything that is measured.
    """
    from stamps import rewrite, stamp, write_field

    from hstcube import Grid, open_cube

    found = []
    for number, factor in ((1, 1.0), (2, 1.5)):
        data = write_field(folder / f"data{number}", FIELD)
        for path in (stamp(data, band) for band in ("f435w", "f850lp", "f160w")):
            rewrite(path, pixels=lambda image, factor=factor: image * factor)
        run_on(data, folder / f"cubes{number}")
        shutil.copy(folder / f"cubes{number}" / f"{FIELD}.nc", data / "cube.nc")
        middle = Grid.of(open_cube(data / "cube.nc")).wcs.pixel_to_world(21, 19)
        (data / "catalogue.csv").write_text(f"id,ra,dec\n7,{middle.ra.deg},{middle.dec.deg}\n")
        found.append(data)
    return found


def run_on(data: Path, out: Path, **how: Any) -> None:
    from hstcube.pipeline.options import Options
    from hstcube.pipeline.plan import plan
    from hstcube.pipeline.runs import run

    for outcome in run(plan(data, [], [], scale="60mas"), out, Options(overwrite=True, **how)):
        if outcome.error:
            raise outcome.error


def sky(data: Path, out: Path) -> None:
    from hstcube.jobs.levels import measure_levels
    from hstcube.surveys.names import find_field

    method = "original" if data.name.endswith("2") else "clipped"
    measure_levels(find_field(data, FIELD), out, method=method, overwrite=True)


def read_sky(data: Path, out: Path) -> None:
    from hstcube.files.levels import read_levels
    from hstcube.surveys.names import list_fields

    files = list_fields(data, scale="60mas", sky=str(out))[0]
    read_levels(files, files.bands)


def cut(data: Path, out: Path) -> None:
    from hstcube import cut_stamps

    cut_stamps(data, data / "catalogue.csv", out, size=1.2, overwrite=True)


def cut_wide(data: Path, out: Path) -> None:
    from hstcube import cut_stamps

    size = 1.2 if data.name.endswith("1") else 1.5
    cut_stamps(data, data / "catalogue.csv", out, size=size, overwrite=True)


def read_field(name: str) -> Callable[[Path, Path], Any]:
    def read(_: Path, out: Path) -> None:
        from hstcube import open_field

        open_field(out, name)

    return read


def bins(data: Path, out: Path) -> None:
    from hstcube.jobs.fluxes import bin_cube

    bin_cube(data / "cube.nc", out / "bins.fits", snr=3, overwrite=True)


def read_map(name: str) -> Callable[[Path, Path], Any]:
    def read(data: Path, out: Path) -> None:
        from hstcube import open_cube
        from hstcube.pipeline.sources import open_groups

        open_groups(open_cube(data / "cube.nc"), groups=out / name)

    return read


def export(code: str) -> Callable[[Path, Path], Any]:
    def write(data: Path, out: Path) -> None:
        from hstcube.jobs.fluxes import export_cube

        snr = 3 if data.name.endswith("1") else 6
        export_cube(data / "cube.nc", code, out, snr=snr, overwrite=True)

    return write


def phot(data: Path, out: Path) -> None:
    from hstcube.jobs.fluxes import phot_cube

    phot_cube(data / "cube.nc", out / "phot.ecsv", overwrite=True)


def noise(data: Path, out: Path) -> None:
    from hstcube.jobs.fluxes import check_noise

    check_noise(data, out / "noise.png", overwrite=True)


def psf_measure(data: Path, out: Path) -> None:
    from hstcube.jobs.psfs import measure_psfs

    measure_psfs(data / "psf_stars", out / "psf.fits", overwrite=True)


def read_psf(_: Path, out: Path) -> None:
    from hstcube import open_psf

    open_psf(out / "psf.fits")


def psf_show(data: Path, out: Path) -> None:
    from hstcube.jobs.psfs import show_psfs

    show_psfs("xdf", out / "kernels.png", to="f160w" if data.name.endswith("1") else "0.3arcsec",
              overwrite=True)  # fmt: skip


def fits(data: Path, out: Path) -> None:
    from hstcube import open_cube, to_fits

    to_fits(open_cube(data / "cube.nc"), out, overwrite=True)


def netcdf(data: Path, out: Path) -> None:
    from hstcube import open_cube, save_cube

    save_cube(open_cube(data / "cube.nc"), out / "x.nc", overwrite=True)


WAYS = {
    "run": Way(run_on, read_field(FIELD)),
    "sky": Way(sky, read_sky),
    "cutout": Way(cut, read_field("7")),
    "cutout of another size": Way(cut_wide, read_field("7")),
    "bin": Way(bins, read_map("bins.fits")),
    "export eazy": Way(export("eazy"), read_map("groups.fits")),
    "export bagpipes": Way(export("bagpipes"), read_map("groups.fits")),
    "export cigale": Way(export("cigale"), read_map("groups.fits")),
    "export pixedfit": Way(export("pixedfit"), read_map("groups.fits")),
    "phot": Way(phot),
    "to_fits": Way(fits, read_field(FIELD)),
    "save_cube": Way(netcdf),
    "psf show": Way(psf_show),
    "psf measure": Way(psf_measure, read_psf),
    "noise": Way(noise),
}
OF_STARS = ("psf measure", "noise")  # they need more than the small field: that of the demo


# what is appended as it happens, and the table that is made of run.json anew by every run
JOURNAL = ("run.jsonl", "summary.ecsv")


def contents(folder: Path) -> dict[str, bytes]:
    """Return all files below a folder but those of unfinished writers."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".part-" not in path.name and path.name not in JOURNAL
    }


def leftovers(folder: Path) -> list[Path]:
    return [path for path in folder.rglob(".*.part-*") if path.is_file()]


def killed_at(renaming: int, action: Callable[[], Any]) -> bool:
    """Run `action` in a child that kills itself before its n-th renaming; return whether it did."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside idle threads
        child = os.fork()
    if child == 0:
        left, works = renaming, Path.replace

        def dying(self: Path, target: Path) -> Path:
            nonlocal left
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
            return works(self, target)

        Path.replace = dying
        with contextlib.suppress(BaseException):
            action()
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def noticed(way: Way, data: Path, out: Path) -> str:
    """Say how a mixture is noticed; "" if it is not."""
    from hstcube.errors import HstCubeError, HstCubeWarning
    from hstcube.fits.sets import id_in

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            if way.read is not None:
                way.read(data, out)
        except HstCubeError as error:
            return error.code
    told = [one.message.code for one in caught if isinstance(one.message, HstCubeWarning)]
    if "HC-O22" in told:
        return "HC-O22"
    ids = {id_in(out / name) for name in contents(out)} - {""}
    return "ids that differ" if len(ids) > 1 else ""


class Counts(NamedTuple):
    """Of the kills of one command: how many, how many left a mixture, and how it was noticed."""

    kills: int
    mixtures: int
    unnoticed: list[int]
    leftovers: int
    ways: dict[str, int]


def tried(way: Way, inputs: list[Path], folder: Path, events: range) -> Counts:
    """Kill the command at these renamings."""
    old, new = folder / "old", folder / "new"
    for data, out in zip(inputs, (old, new), strict=True):
        out.mkdir(parents=True)
        way.write(data, out)
    before, after = contents(old), contents(new)
    kills = mixtures = left = 0
    unnoticed: list[int] = []
    ways: dict[str, int] = {}
    for event in events:
        out = folder / f"out{event}"
        shutil.copytree(old, out)
        if not killed_at(event, lambda out=out: way.write(inputs[1], out)):
            break
        kills += 1
        there = contents(out)
        alike = [name for name in before if before[name] == after.get(name)]
        told = {name: data for name, data in there.items() if name not in alike}
        if told not in (
            {name: data for name, data in before.items() if name not in alike},
            {name: data for name, data in after.items() if name not in alike},
        ):
            mixtures += 1
            how = noticed(way, inputs[0], out)
            ways[how] = ways.get(how, 0) + 1
            unnoticed += [] if how else [event]
        way.write(inputs[1], out)
        left += len(leftovers(out))
    return Counts(kills, mixtures, unnoticed, left, ways)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("commands", nargs="*", default=list(WAYS))
    parser.add_argument("--most", type=int, default=60, help="kills a command, at most")
    asked = parser.parse_args()
    bad = 0
    for command, found in counted(asked.commands, asked.most):
        print(f"{command:24} {found}", flush=True)  # noqa: T201
        bad += len(found.unnoticed) + found.leftovers
    print(f"{bad} mixtures that nobody notices, and leftovers")  # noqa: T201
    return bool(bad)


def counted(commands: Iterable[str], most: int) -> Iterator[tuple[str, Counts]]:
    """Kill each command at every renaming, at most so many; yield what was found."""
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        inputs = prepare(folder)
        if {*commands} & {*OF_STARS}:
            add_stars(inputs)
        for command in commands:
            mine = [data / "demo" for data in inputs] if command == "noise" else inputs
            yield command, tried(WAYS[command], mine, folder / command, range(most))


def add_stars(inputs: list[Path]) -> None:
    """Put a demo field, and its stars, into each folder of inputs."""
    from hstcube.demo.field import simulate

    for seed, data in enumerate(inputs, start=1):
        simulate(data / "demo", seed=seed)
        shutil.copytree(data / "demo" / "psf_stars", data / "psf_stars")


if __name__ == "__main__":
    sys.exit(main())
