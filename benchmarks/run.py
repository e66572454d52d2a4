"""How fast hstcube is, as ratios of CPU time measured in one run.

See README.md beside this file.
"""

from __future__ import annotations

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = (
        "1"  # before numpy is loaded; child processes inherit it: one thread for both sides
    )

import argparse  # noqa: E402
import json  # noqa: E402
import platform  # noqa: E402
import shutil  # noqa: E402
import statistics  # noqa: E402
import subprocess  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
import warnings  # noqa: E402
from dataclasses import asdict, dataclass  # noqa: E402
from importlib.metadata import version  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import TYPE_CHECKING, Any  # noqa: E402

import numpy as np  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).parent
REPEATS = 3
SIDE = 4096  # pixels along the large images
FIELDS = ("3", "15", "37", "912", "919", "982")
MERGER = "m3=3:24353,24350"
LIBRARIES = ("numpy", "scipy", "astropy", "xarray", "reproject", "hstcube")
HEAVY = ("xarray", "astropy", "matplotlib", "photutils", "reproject", "dask", "zarr", "netCDF4")


@dataclass
class Row:
    """One line of the table.

    Times in `unit`; `bound` and `aim` are what the ratio peer/ours must and should reach.

    Without a peer they are limits that `ours` itself must stay below.
    """

    what: str
    ours: float
    peer: float | None = None
    bound: float | None = None
    aim: float | None = None
    unit: str = "s"
    remark: str = ""

    @property
    def ratio(self) -> float | None:
        """How many times faster than the peer."""
        return None if self.peer is None else self.peer / self.ours

    def reaches(self, limit: float | None) -> bool | None:
        """Whether the limit is kept; None where there is none."""
        if limit is None:
            return None
        return self.ours <= limit if self.ratio is None else self.ratio >= limit


def main() -> None:
    """Measure everything, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the figures to this file, too")
    parser.add_argument("--quick", action="store_true", help="whole runs and recipes only")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")  # notes on the data: they are not what is looked at here
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        stamps, golden, origin = find_stamps(Path(folder))
        rows: list[Row] = []
        quick = (command_line, whole_run, in_memory)
        large = (mask_look_up, regridding, cut_outs, convolution)
        for part in quick if arguments.quick else (*quick, *large):
            say(f"{part.__name__.replace('_', ' ')} ...")
            rows += part(Path(folder), stamps, golden)
    facts = {"stamps": origin, **machine(), "wall_seconds": round(time.monotonic() - began)}
    print(table(rows))
    print("\n" + "; ".join(f"{key} {value}" for key, value in facts.items()))
    if arguments.json:
        figures = [
            asdict(row) | {"ratio": row.ratio, "met": row.reaches(row.bound)} for row in rows
        ]
        arguments.json.write_text(
            json.dumps({"machine": facts, "rows": figures}, indent=1) + "\n", encoding="utf-8"
        )


# -- the parts


def command_line(_folder: Path, _stamps: Path, _golden: Path | None) -> list[Row]:
    """Return what `--help` costs, and how many heavy packages `import hstcube` loads."""
    code = f"import sys, hstcube; print(sum(name in sys.modules for name in {HEAVY!r}))"
    loaded = int(
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, check=True, text=True
        ).stdout
    )
    shown = median_of([sys.executable, "-m", "hstcube", "--help"])
    return [
        Row("hstcube --help", shown, bound=0.5),
        Row(
            "heavy packages that import hstcube loads",
            loaded,
            bound=0,
            unit="",
            remark=", ".join(HEAVY),
        ),
    ]


def whole_run(folder: Path, stamps: Path, golden: Path | None) -> list[Row]:
    """Time `hstcube run --recipe original` of 11 targets and of one against that of 2022."""
    more = [f"n{field}={field}:{central_id(stamps, field)}" for field in FIELDS[1:5]]
    named = [MERGER, *more]
    commands = {
        "ours": run_command(stamps, folder / "ours", FIELDS, named),
        "peer": peer_command(stamps, folder / "peer", FIELDS, named),
        "ours, one": run_command(stamps, folder / "ours_one", FIELDS[:1], []),
        "peer, one": peer_command(stamps, folder / "peer_one", FIELDS[:1], []),
    }
    for name in ("ours, one", "peer, one"):
        cpu_of(commands[name])  # byte code and files are in the cache afterwards
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(REPEATS):
        for name, command in commands.items():
            times[name].append(cpu_of(command))
    middle = {name: statistics.median(values) for name, values in times.items()}
    targets = len(FIELDS) + len(named)
    further = {
        who: (middle[who] - middle[f"{who}, one"]) / (targets - 1) for who in ("ours", "peer")
    }
    start = {who: middle[f"{who}, one"] - further[who] for who in ("ours", "peer")}
    share = share_of_time(commands["peer"])
    return [
        Row(
            f"hstcube run of {targets} targets",
            middle["ours"],
            middle["peer"],
            2.5,
            4,
            remark=f"the peer's: {share}",
        ),
        Row("  of that, start-up (one target less a further one)", start["ours"], start["peer"]),
        Row(
            f"  each further target, against the peer's total / {targets}",
            further["ours"],
            middle["peer"] / targets,
            4,
            10,
        ),
        Row(
            "  each further target, against a further one of the peer",
            further["ours"],
            further["peer"],
        ),
        *agreement(folder, [text.split("=")[0] for text in (*FIELDS, *named)], golden),
    ]


def in_memory(_folder: Path, stamps: Path, _golden: Path | None) -> list[Row]:
    """Time the default recipe on one field in memory."""
    import hstcube
    from hstcube.core.rules import taken

    cube = hstcube.open_field(stamps, "37")
    labels = hstcube.open_labels(map_of(stamps, "37"))
    blank = hstcube.regrid_labels(labels, hstcube.Grid.of(cube)) == 0
    levels = hstcube.measure_sky(cube, background=blank)
    measured = cpu_in_process(lambda: hstcube.homogenize(cube, labels=labels), repeats=30)
    bare = without_psf_and_noise(cube)
    given, plain = in_turns(
        *(
            lambda one=one: hstcube.homogenize(one, labels=labels, sky=levels)
            for one in (cube, bare)
        ),
        repeats=30,
    )
    look = cpu_in_process(lambda: taken(cube), repeats=100)
    match = cpu_in_process(lambda: hstcube.psf_match(cube), repeats=30)
    what = "default recipe in memory, 9 bands of {}x{}, sky {{}}".format(
        cube.sizes["y"], cube.sizes["x"]
    )
    return [
        Row(what.format("measured"), measured * 1000, bound=30, aim=12, unit="ms"),
        Row(what.format("given"), given * 1000, bound=30, aim=12, unit="ms"),
        Row(
            "  the same, against one without PSFs and noise",
            given * 1000,
            plain * 1000,
            0.4,
            unit="ms",
        ),
        Row(
            "the look at the cube at the door, of psf_match", 100 * look / match, bound=4, unit="%"
        ),
    ]


def without_psf_and_noise(cube: Any) -> Any:
    """Return a cube that knows only widths, in the order in which Gaussians can match them."""
    told = [name for name in cube.coords if name.startswith(("psf_e", "noise_"))]
    bare = cube.drop_vars([*told, "psf", "ky", "kx", "dy", "dx"], errors="ignore")
    return bare.assign_coords(psf_fwhm=("band", np.sort(cube.psf_fwhm.values)))


def mask_look_up(_folder: Path, _stamps: Path, _golden: Path | None) -> list[Row]:
    """Time the look-up of a map that is turned by 42 degrees.

    A label in every pixel, so that no error hides.
    """
    import xarray as xr
    from reproject import reproject_interp

    import hstcube

    turned, upright, elsewhere = (
        tangent_grid(42.0),
        tangent_grid(0.0),
        tangent_grid(0.0, shift=0.01),
    )
    values = np.arange(SIDE * SIDE, dtype=np.int32).reshape(SIDE, SIDE)
    labels = xr.DataArray(values, turned.coords(), ("y", "x"))

    def theirs(grid: Any, **settings: Any) -> Any:
        return reproject_interp(
            (values, turned.wcs),
            grid.wcs,
            shape_out=grid.shape,
            order="nearest-neighbor",
            return_footprint=False,
            **settings,
        )

    rows = []
    for where, grid, how, settings in (
        ("one tangent point", upright, "", {}),
        (
            "one tangent point",
            upright,
            " without its round-trip check",
            {"roundtrip_coords": False},
        ),
        ("tangent points 36 arcsec apart", elsewhere, "", {}),
    ):
        found = hstcube.regrid_labels(labels, grid)
        ours = cpu_in_process(lambda grid=grid: hstcube.regrid_labels(labels, grid))
        start = time.process_time()
        image = theirs(grid, **settings)
        peer = time.process_time() - start
        other = np.where(np.isnan(image), -1, image).astype(np.int32)
        inside, differ = float(np.mean(found.values >= 0)), int(np.sum(other != found.values))
        remark = f"{differ} of {SIDE**2} pixels differ; {inside:.0%} of them lie on the map"
        what = f"mask look-up at {SIDE}x{SIDE}, {where}, against reproject{how}"
        rows.append(Row(what, ours, peer, None if how else 10, remark=remark))
    return rows


def regridding(_folder: Path, _stamps: Path, _golden: Path | None) -> list[Row]:
    """Time the regridding of a cube of one band against reproject on the image alone."""
    from reproject import reproject_interp

    import hstcube

    turned, upright, elsewhere = (
        tangent_grid(42.0),
        tangent_grid(0.0),
        tangent_grid(0.0, shift=0.01),
    )
    image = np.random.default_rng(1).normal(size=(1, SIDE, SIDE)).astype(np.float32)
    cube = hstcube.build(image, np.ones_like(image), bands=["f160w"], grid=turned, units="MJy sr-1")
    rows = []
    for where, grid in (
        ("one tangent point", upright),
        ("tangent points 36 arcsec apart", elsewhere),
    ):
        for method, order in (("bilinear", "bilinear"), ("nearest", "nearest-neighbor")):
            ours = cpu_in_process(
                lambda grid=grid, method=method: hstcube.regrid(cube, grid, method=method)
            )
            made = hstcube.regrid(cube, grid, method=method).sci.values[0]
            start = time.process_time()
            other = reproject_interp(
                (image[0], turned.wcs),
                grid.wcs,
                shape_out=grid.shape,
                order=order,
                return_footprint=False,
            )
            peer = time.process_time() - start
            apart, most = np.abs(made - other), float(np.abs(image).max())
            told = f"{np.nanmax(apart) / most:.0e} of the peak apart" if method == "bilinear" else (
                f"{int((apart > 0).sum())} of {SIDE**2} pixels differ")  # fmt: skip
            lone = int((np.isnan(made) != np.isnan(other)).sum())
            what = f"regrid of sci, wht and mask at {SIDE}x{SIDE}, {method}, {where}"
            rows.append(
                Row(
                    what,
                    ours,
                    peer,
                    3,
                    remark=f"{told}; {lone} pixels have data in one of them only",
                )
            )
    spent = {
        m: cpu_in_process(lambda m=m: hstcube.regrid(cube, upright, method=m), repeats=1)
        for m in ("exact", "adaptive")
    }
    return [
        *rows,
        *(
            Row(f"  the same, {method}, one tangent point", seconds)
            for method, seconds in spent.items()
        ),
    ]


def cut_outs(folder: Path, _stamps: Path, _golden: Path | None) -> list[Row]:
    """Time 1,000 cut-outs of nine bands from mosaics of 6144x6144, in a process of its own."""
    from astropy.io import fits

    import hstcube

    side = 6144
    grid = hstcube.Grid.around((53.12, -27.8), side * 0.06, 0.06)
    image = np.random.default_rng(0).normal(size=(side, side)).astype(">f4")
    (folder / "mosaics").mkdir()
    for band in ("f435w", "f606w", "f775w", "f814w", "f850lp", "f105w", "f125w", "f140w", "f160w"):
        for kind in ("sci", "wht"):
            header = grid.header()
            header["FILTER"], header["BUNIT"] = band, "ELECTRONS/S"
            path = folder / "mosaics" / f"udf_60mas_{band}_{kind}.fits"
            fits.writeto(path, image if kind == "sci" else np.abs(image), header)
    del image
    ra, dec = np.random.default_rng(1).uniform(-0.03, 0.03, (2, 1000)) + np.array(
        [[53.12], [-27.8]]
    )
    lines = [f"{i},{a:.7f},{d:.7f}" for i, (a, d) in enumerate(zip(ra, dec, strict=True))]
    (folder / "catalogue.csv").write_text("\n".join(["id,ra,dec", *lines]) + "\n", encoding="utf-8")
    code = (
        "import sys, time; from hstcube import cut_stamps; start = time.perf_counter(); "
        "cut_stamps(sys.argv[1], sys.argv[2], sys.argv[3], size=6.0); "
        "wall = time.perf_counter() - start; "
        "peak = [line.split()[1] for line in open('/proc/self/status') "
        "if line.startswith('VmHWM')]; "
        # the peak that wait4 tells is that of the parent, too
        "print(wall, time.process_time(), int(peak[0]) * 1024)"
    )
    places = [str(folder / name) for name in ("mosaics", "catalogue.csv", "cut")]
    told = subprocess.run(
        [sys.executable, "-c", code, *places], capture_output=True, check=True, text=True
    ).stdout
    wall, cpu, memory = map(float, told.split())
    number = len(list((folder / "cut" / "new_stamps").glob("*.fits")))
    shutil.rmtree(folder / "mosaics")
    shutil.rmtree(folder / "cut")
    remark = f"{number} files; {wall:.1f} s by the clock"
    return [
        Row(
            "1,000 cut-outs of 9 bands, sci and wht, from mosaics of 6144x6144",
            cpu,
            bound=20,
            remark=remark,
        ),
        Row("  their memory", memory / 1e6, bound=500, unit="MB"),
    ]


def convolution(_folder: Path, _stamps: Path, _golden: Path | None) -> list[Row]:
    """Time a 51x51 convolution of a large image, and the matching of such a plane."""
    from astropy.convolution import convolve_fft

    from hstcube.basics.convolution import convolver
    from hstcube.matching.match import match_plane

    rng = np.random.default_rng(1)
    image = rng.normal(size=(SIDE, SIDE)).astype(np.float32)
    wht = np.ones((SIDE, SIDE), np.float32)
    kernel = gaussian_51(4.0)

    def theirs(image: Any) -> Any:
        return convolve_fft(
            image,
            kernel,
            boundary="fill",
            fill_value=0,
            nan_treatment="fill",
            normalize_kernel=False,
            allow_huge=True,
        )

    def ours(image: Any) -> Any:
        return convolver(kernel, image.shape)(image)

    a, b = ours(image), theirs(image)
    apart = float(np.abs(a - b).max() / np.abs(b).max())
    del a, b
    mine, peer = in_turns(lambda: ours(image), lambda: theirs(image))
    speed = f"{SIDE**2 / 1e6 / mine:.0f} Mpix/s, kernel's transform included"
    remark = f"{speed}; they differ by {apart:.0e} of the peak"
    rows = [
        Row(
            f"51x51 convolution at {SIDE}x{SIDE}, against convolve_fft",
            mine,
            peer,
            5,
            remark=remark,
        )
    ]
    holed, weights = image.copy(), wht.copy()
    weights[1000:1100, 1000:1100] = 0
    holed[weights == 0] = np.nan
    for what, planes in (("all pixels valid", (image, wht)), ("with a hole", (holed, weights))):
        spent = cpu_in_process(lambda planes=planes: match_plane(*planes, kernel))
        rows.append(
            Row(f"match_plane (sci and wht), {what}, against two convolve_fft", spent, 2 * peer)
        )
    return [*rows, *far_from_a_star(ours, theirs, kernel, rng)]


def far_from_a_star(
    ours: Callable[..., Any], theirs: Callable[..., Any], kernel: Any, rng: Any
) -> list[Row]:
    """Return how wrong blank sky is, in units of its noise, 60 to 220 pixels from a star.

    Against a direct sum.
    """
    noise, star = 1.0, (SIDE // 2, SIDE // 2)
    image = rng.normal(size=(SIDE, SIDE)) * noise
    image[star] += 1e5
    part = (slice(star[0] + 60, star[0] + 220), slice(star[1] + 60, star[1] + 220))
    exact = direct(image, kernel, part)
    left = noise * np.sqrt(np.sum(kernel**2))  # of the convolved image
    error = [
        float(np.abs(function(image)[part] - exact).max() / left) for function in (ours, theirs)
    ]
    return [
        Row(
            "largest error far from a star of 1e5 counts, noise 1 a pixel",
            error[0],
            bound=1e-6,
            unit="of the noise",
            remark=f"noise of the convolved image; convolve_fft has {error[1]:.1e}",
        )
    ]


# -- what the runs produced


def agreement(folder: Path, targets: list[str], golden: Path | None) -> list[Row]:
    """Compare the products of both sides, and the peer's with the original's, if at hand."""
    from astropy.io import fits

    def worst(pairs: list[tuple[Any, Any]]) -> float:
        gaps = [np.abs(a - b).max() / np.abs(b).max() for a, b in pairs]
        same = all(np.array_equal(a != 0, b != 0) for a, b in pairs)
        return float(max(gaps)) if same else float("inf")

    pairs, originals = [], []
    for target in targets:
        saved = golden / f"{target}_lowres.npz" if golden else None
        record = np.load(saved) if saved and saved.exists() else None
        for i, band in enumerate(("105", "125", "140", "435", "606", "775", "814", "850")):
            filt = f"f{band}{'lp' if band == '850' else 'w'}"
            for kind, end in (("sci", ""), ("var", "_variance")):
                peer = fits.getdata(folder / "peer" / f"{target}_{band}{end}_lowres.fits")
                pairs.append(
                    (
                        fits.getdata(folder / "ours" / f"{target}_{filt}_{kind}.fits").astype(
                            float
                        ),
                        peer,
                    )
                )
                if record is not None:
                    originals.append((peer, record["sci" if kind == "sci" else "variance"][i]))
    rows = [
        Row(
            "  products against the peer's, and their support",
            worst(pairs),
            bound=2e-7,
            unit="of the maximum",
        )
    ]
    if originals:
        rows.append(
            Row(
                "  the peer's against the original's own",
                worst(originals),
                bound=2e-7,
                unit="of the maximum",
            )
        )
    return rows


def share_of_time(command: list[str]) -> str:
    """Run the peer once more and return where its time went."""
    output = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    spent = json.loads(output.splitlines()[-1])
    return ", ".join(
        f"{part} {value / spent['total']:.0%}" for part, value in spent.items() if part != "total"
    )


def direct(image: Any, kernel: Any, part: tuple[slice, slice]) -> Any:
    """Return the convolution of a part of an image as a plain sum of shifted copies, float64."""
    radius = kernel.shape[0] // 2
    rows, columns = part
    total = np.zeros((rows.stop - rows.start, columns.stop - columns.start))
    for dy in range(-radius, radius + 1):
        for dx in range(-radius, radius + 1):
            shifted = image[
                rows.start - dy : rows.stop - dy, columns.start - dx : columns.stop - dx
            ]
            total += kernel[radius + dy, radius + dx] * shifted
    return total


# -- inputs


def find_stamps(folder: Path) -> tuple[Path, Path | None, str]:
    """Return the folder of stamps, that of the original's output (or None), and their names."""
    named = os.environ.get("HSTCUBE_XDF")
    if named:
        golden = Path(named) / "golden"
        return Path(named), golden if golden.is_dir() else None, "real, XDF"
    sys.path.insert(0, str(HERE))
    from synthetic import write_stamps

    return write_stamps(folder / "stamps"), None, "made up (HSTCUBE_XDF is not set)"


def run_command(stamps: Path, out: Path, fields: tuple[str, ...], named: list[str]) -> list[str]:
    """Return the command line of ours."""
    chosen = [part for field in fields for part in ("-f", field)] + [
        part for text in named for part in ("--ids", text)
    ]
    return [
        sys.executable,
        "-m",
        "hstcube",
        "run",
        str(stamps),
        "--recipe",
        "original",
        "--no-netcdf",
        "--overwrite",
        *chosen,
        "-o",
        str(out),
    ]


def peer_command(stamps: Path, out: Path, fields: tuple[str, ...], named: list[str]) -> list[str]:
    """Return the command line of the pipeline of 2022."""
    return [sys.executable, str(HERE / "peer_2022.py"), str(stamps), str(out), *fields, *named]


def map_of(stamps: Path, field: str) -> Path:
    """Return the path of a field's segmentation map."""
    return stamps / "segment_maps" / f"udf_mosaic_{field}_HST_SEGMAP.fits"


def central_id(stamps: Path, field: str) -> int:
    """Return the label in the middle of a field's map."""
    from astropy.io import fits

    labels = fits.getdata(map_of(stamps, field), "DATA")
    return int(labels[labels.shape[0] // 2, labels.shape[1] // 2])


def tangent_grid(angle: float, shift: float = 0.0) -> Any:
    """Return a grid of 60 mas, turned by `angle` degrees.

    Its tangent point is `shift` degrees north of its middle.
    """
    from hstcube import Grid

    step = 0.06 / 3600
    c, s = np.cos(np.deg2rad(angle)) * step, np.sin(np.deg2rad(angle)) * step
    cards = {
        "CTYPE1": "RA---TAN",
        "CTYPE2": "DEC--TAN",
        "CRVAL1": 53.122751,
        "CRVAL2": -27.805089 + shift,
        "CRPIX1": (SIDE + 1) / 2,
        "CRPIX2": (SIDE + 1) / 2 + shift / step,
        "CD1_1": -c,
        "CD1_2": s,
        "CD2_1": s,
        "CD2_2": c,
        "RADESYS": "ICRS",
    }
    return Grid.from_header(cards, shape=(SIDE, SIDE))


def gaussian_51(sigma: float) -> Any:
    """Return a Gaussian kernel of 51x51 pixels, unit sum."""
    n = np.arange(-25, 26)
    kernel = np.exp(-0.5 * (n[:, None] ** 2 + n**2) / sigma**2)
    return kernel / kernel.sum()


# -- clocks


def cpu_of(command: list[str]) -> float:
    """Run a command; return the CPU seconds, user and system, of it and its children."""
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            errors.seek(0)
            sys.exit(
                f"{' '.join(command)} ended with {process.returncode}:\n{errors.read().decode()}"
            )
    return usage.ru_utime + usage.ru_stime


def median_of(command: list[str]) -> float:
    """Return the median CPU seconds of a command, run once before to warm up."""
    cpu_of(command)
    return statistics.median(cpu_of(command) for _ in range(REPEATS))


def cpu_in_process(function: Callable[[], Any], repeats: int = REPEATS) -> float:
    """Return the median CPU seconds, user and system, all threads, of a function.

    Warmed up by one call.
    """
    return in_turns(function, repeats=repeats)[0]


def in_turns(*functions: Callable[[], Any], repeats: int = REPEATS) -> list[float]:
    """Return the median CPU seconds of functions called in turns, on the same machine."""
    for function in functions:
        function()
    times: list[list[float]] = [[] for _ in functions]
    for _ in range(repeats):
        for function, spent in zip(functions, times, strict=True):
            start = time.process_time()
            function()
            spent.append(time.process_time() - start)
    return [statistics.median(spent) for spent in times]


# -- the table


def table(rows: list[Row]) -> str:
    """Return the rows as a Markdown table, remarks below."""
    head = ("what", "ours", "peer", "peer / ours", "bound", "met", "aim", "met")
    lines = [head, *(cells(row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    lines.insert(1, tuple("-" * width for width in widths))
    text = [
        f"| {' | '.join(cell.ljust(n) for cell, n in zip(line, widths, strict=True))} |"
        for line in lines
    ]
    remarks = [f"- {row.what.strip()}: {row.remark}" for row in rows if row.remark]
    return "\n".join([*text, "", *remarks])


def cells(row: Row) -> tuple[str, ...]:
    """Return one line of the table as text."""
    sign = "at most" if row.peer is None else "at least"
    limit = {value: "" if value is None else f"{sign} {value:g}" for value in (row.bound, row.aim)}
    yes = {True: "yes", False: "NO", None: ""}
    return (
        row.what,
        f"{row.ours:.3g} {row.unit}".strip(),
        "" if row.peer is None else f"{row.peer:.3g} {row.unit}",
        "" if row.ratio is None else f"{row.ratio:.1f}",
        limit[row.bound],
        yes[row.reaches(row.bound)],
        limit[row.aim],
        yes[row.reaches(row.aim)],
    )


def machine() -> dict[str, Any]:
    """Return what the figures were taken on, without names."""
    return {
        "cores": os.cpu_count(),
        "threads": 1,
        "system": f"{platform.system()} {platform.machine()}",
        "Python": platform.python_version(),
        **{name: version(name) for name in LIBRARIES},
    }


def say(text: str) -> None:
    """Tell what is going on, on stderr: the table alone goes to stdout."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
