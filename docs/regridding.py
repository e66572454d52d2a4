"""Measure what docs/regridding.md says, and write its tables.

HSTCUBE_XDF=FOLDER python docs/regridding.py.

Each table of the page stands between two marks that bear its name; the text around them stays.
Without the stamps the tables that need them are left as they are.
"""

from __future__ import annotations

import os
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import hstcube
from hstcube import Grid, build, check_alignment, regrid
from hstcube.core.mappings import pixel_mapping

if TYPE_CHECKING:
    from collections.abc import Callable

    import xarray as xr

PAGE = Path(__file__).with_suffix(".md")
PLACE = (53.122751, -27.805089)
METHODS = ("adaptive", "exact", "bilinear", "nearest")
PAIRS = {
    "30 mas turned by 42 degrees to 60": (0.03, 42, 0.06, 0),
    "60 turned to 60": (0.06, 42, 0.06, 0),
    "60 to 30 turned": (0.06, 0, 0.03, 42),
}
GALAXIES = ("3", "15", "37", "912", "919", "982")


def main() -> None:
    """Measure, and put the tables into the page."""
    warnings.simplefilter("ignore")
    text = PAGE.read_text(encoding="utf-8")
    for name, table in TABLES.items():
        if table in NEED_STAMPS and not os.environ.get("HSTCUBE_XDF"):
            print(f"{name}: left as it is, HSTCUBE_XDF is not set")
            continue
        lines = "\n".join("| " + " | ".join(row) + " |" for row in table())
        marked = rf"(<!-- {name} -->\n).*?(<!-- end -->)"
        text = re.sub(
            marked,
            lambda found, lines=lines: f"{found[1]}{lines}\n{found[2]}",
            text,
            flags=re.DOTALL,
        )
        print(f"{name}\n{lines}\n")
    PAGE.write_text(text, encoding="utf-8")


def sources() -> list[tuple[str, ...]]:
    """Return how well fluxes and places of Gaussian sources are kept.

    The worst of 25 places in a pixel.
    """
    rows = [
        (
            "pair",
            "method",
            "FWHM 0.18 arcsec: flux",
            "place [px]",
            "FWHM 0.12 arcsec: flux",
            "place [px]",
        ),
        ("---",) * 6,
    ]
    for pair, method in cases():
        source, grid = grids_of(PAIRS[pair], 40)
        cells = []
        for fwhm in (0.18, 0.12):
            worst = np.zeros(2)
            for dy, dx in np.ndindex(5, 5):
                place = [n / 2 + (d - 2) / 5 for n, d in zip(source.shape, (dy, dx), strict=True)]
                made = regrid(
                    cube_on(source, gaussian(source, *place, fwhm)), grid, method=method
                ).sci.values[0]
                image = np.nan_to_num(made.astype(float))
                y, x = np.indices(image.shape)
                centre = np.array([(image * y).sum(), (image * x).sum()]) / image.sum()
                gap = np.abs(centre - np.array(pixel_mapping(source, grid)(*place))).max()
                worst = np.maximum(worst, [abs(image.sum() - 1), gap])
            cells += [f"{worst[0]:.0e}", f"{worst[1]:.4f}"]
        rows.append((pair, method, *cells))
    return rows


def errors() -> list[tuple[str, ...]]:
    """Return how well errors of pixels and boxes are known, against the probed operator."""
    rows = [
        (
            "pair",
            "method",
            "sigma of a pixel",
            "one constant factor instead",
            "5x5 boxes, worst",
            "as if white",
        ),
        ("---",) * 6,
    ]
    for pair, method in cases():
        source, grid = grids_of(PAIRS[pair], 20)
        matrix = operator(source, grid, method)
        made = regrid(with_white_noise(cube_on(source)), grid, method=method)
        sigma = made.wht.values[0] ** -0.5
        true = np.sqrt((matrix**2).sum(-1))
        boxes, white = [], []
        for y, x in np.ndindex(16, 16):
            exact = np.sqrt((matrix[y : y + 5, x : x + 5].sum((0, 1)) ** 2).sum())
            cut = sigma[y : y + 5, x : x + 5]
            boxes.append(box_sigma(cut, made.noise_acf.values[0]) / exact - 1)
            white.append(np.sqrt((cut**2).sum()) / exact - 1)
        constant = np.sqrt(np.mean(true**2)) / true - 1
        rows.append(
            (
                pair,
                method,
                percent(sigma / true - 1),
                percent(constant),
                percent(boxes),
                f"{np.mean(white):+.0%}",
            )
        )
    return rows


def stamps() -> list[tuple[str, ...]]:
    """Return where the XDF's 30 mas stamps lie, in pixels of those of 60, by pixels alone."""
    rows = [
        ("galaxy", "header", *(f"{band} (y, x)" for band in ("F606W", "F775W", "F814W", "F850LP"))),
        ("---",) * 6,
    ]
    for name in GALAXIES:
        fine, coarse = (
            hstcube.open_field(os.environ["HSTCUBE_XDF"], name, scale=scale)
            for scale in ("30mas", "60mas")
        )
        found = check_alignment(fine, coarse)
        said = [float(p) for p in pixel_mapping(Grid.of(fine), Grid.of(coarse))(0.5, 0.5)]
        places = zip(
            found.dy.values / 0.06 + said[0], found.dx.values / 0.06 + said[1], strict=True
        )
        rows.append(
            (name, f"{said[0]:.2f}, {said[1]:.2f}", *(f"{y:.3f}, {x:.3f}" for y, x in places))
        )
    return rows


def colours() -> list[tuple[str, ...]]:
    """Return the fluxes of mixed cubes in units of those of 60 mas cubes, default recipe."""
    rows = [("galaxy", "shift", "F606W", "F775W", "F814W", "F850LP"), ("---",) * 6]
    for name in GALAXIES[:3]:
        labels = hstcube.open_labels(
            Path(os.environ["HSTCUBE_XDF"]) / f"segment_maps/udf_mosaic_{name}_HST_SEGMAP.fits"
        )
        plain = flux_of(hstcube.open_field(os.environ["HSTCUBE_XDF"], name), labels)
        for align in ("report", "apply"):
            mixed = hstcube.open_field(os.environ["HSTCUBE_XDF"], name, scale="mixed", align=align)
            share = flux_of(mixed, labels) / plain
            rows.append(
                (
                    name,
                    "applied" if align == "apply" else "reported",
                    *(f"{value:.4f}" for value in share[1:5]),
                )
            )
    return rows


TABLES: dict[str, Callable[[], list[tuple[str, ...]]]] = {
    "sources": sources, "errors": errors, "stamps": stamps, "colours": colours,
}  # fmt: skip
NEED_STAMPS = (stamps, colours)


def cases() -> list[tuple[str, str]]:
    """Return all pairs of grids with all methods."""
    return [(pair, method) for pair in PAIRS for method in METHODS]


def grids_of(pair: tuple[float, float, float, float], side: int) -> tuple[Grid, Grid]:
    """Return an input grid that holds the output grid of `side` pixels."""
    scale, angle, to, turned = pair
    enough = round(1.5 * side * to / scale) + 4
    return (
        Grid.around(PLACE, enough * scale, scale, angle=angle),
        Grid.around(PLACE, side * to, to, angle=turned),
    )


def cube_on(grid: Grid, image: np.ndarray | float = 0.0) -> xr.Dataset:
    """Return a cube of one band with weights of one."""
    sci = np.broadcast_to(image, (1, *grid.shape)).astype(float)
    return build(sci, np.ones(sci.shape), bands=["f160w"], grid=grid, units="electron s-1")


def with_white_noise(cube: xr.Dataset) -> xr.Dataset:
    """Return a cube that says that its noise is white."""
    return cube.assign_coords(
        noise_acf=(("band", "dy", "dx"), np.ones((1, 1, 1), np.float32)), dy=[0.0], dx=[0.0]
    )


def gaussian(grid: Grid, y: float, x: float, fwhm: float) -> np.ndarray:
    """Return a source of unit flux, integrated over the pixels."""
    from scipy.special import erf

    sigma = fwhm / grid.scale / 2.3548
    edges = (np.arange(n + 1) - 0.5 - at for n, at in zip(grid.shape, (y, x), strict=True))
    rows, columns = (np.diff(erf(edge / sigma / np.sqrt(2))) / 2 for edge in edges)
    return np.outer(rows, columns)


def operator(source: Grid, grid: Grid, method: str) -> np.ndarray:
    """Return the weight of every input pixel in every output pixel, (Y, X, input pixel)."""
    number = source.shape[0] * source.shape[1]
    planes = []
    for start in range(0, number, 500):
        stack = np.eye(min(500, number - start), number, start).reshape(-1, *source.shape)
        names = [f"b{i}" for i in range(len(stack))]
        cube = build(
            stack,
            np.ones(stack.shape),
            bands=names,
            pivot=range(1, len(stack) + 1),
            grid=source,
            units="electron s-1",
        )
        planes.append(regrid(cube, grid, method=method).sci.values)
    return np.moveaxis(np.concatenate(planes), 0, -1).astype(float)


def box_sigma(sigma: np.ndarray, acf: np.ndarray) -> float:
    """Return sigma of the sum of a box from that of its pixels and the correlation at every lag."""
    n, total = len(sigma), 0.0
    for (i, j), rho in np.ndenumerate(acf):
        dy, dx = i - acf.shape[0] // 2, j - acf.shape[1] // 2
        if abs(dy) < n and abs(dx) < n:
            one = sigma[max(0, -dy) : n - max(0, dy), max(0, -dx) : n - max(0, dx)]
            total += (
                rho * (one * sigma[max(0, dy) : n + min(0, dy), max(0, dx) : n + min(0, dx)]).sum()
            )
    return float(np.sqrt(total))


def flux_of(cube: xr.Dataset, labels: xr.DataArray) -> np.ndarray:
    """Return the flux of the central object in every band."""
    made = hstcube.homogenize(cube, labels=labels)
    return made.sci.where(made.mask).sum(("y", "x")).values


def percent(values: np.ndarray | list[float]) -> str:
    """Return the largest of some relative errors."""
    worst = float(np.abs(values).max())
    return f"{worst:.1%}" if worst > 0.001 else f"{worst:.0e}"  # noqa: PLR2004


if __name__ == "__main__":
    main()
