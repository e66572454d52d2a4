"""What a cube is, on one screen: in a terminal, and as HTML in a notebook."""

from __future__ import annotations

import html
import math
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hstcube.basics.pixels import Planes, is_lazy
from hstcube.core.grids import Grid
from hstcube.core.rules import PLANES, taken
from hstcube.core.state import attribute

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Description", "describe"]

_WIDTH, _WORD = 78, 11  # characters: of a line, and of the words that begin them
_UP = 0.5  # deg: north is up
_MOST = 6  # warnings; the cube has the others
_COLUMNS = ("band", "camera", "FWHM", "matched to", "sky", "zero point", "no data")
_UNITS = ("", "", "arcsec", "", "unit of sci", "AB mag", "% of pixels")


@dataclass(frozen=True)
class Description:
    """What `describe` returns: it shows itself.

    ``lines`` are what is said, by what it is of; ``rows`` the table of bands; ``warnings`` those of
    the cube.
    """

    title: str
    lines: dict[str, str]
    rows: tuple[tuple[str, ...], ...]
    warnings: tuple[str, ...]

    def __str__(self) -> str:
        said = [self.title, ""]
        for word, text in self.lines.items():
            said += textwrap.wrap(
                f"{word:{_WORD}}{text}", _WIDTH, subsequent_indent=" " * _WORD
            )  # fmt: skip
        said += ["", *_aligned([_COLUMNS, _UNITS, *self.rows])]
        number = len(self.warnings)
        said += ["", f"{number or 'no'} warning{'' if number == 1 else 's'}"]
        for text in _few(self.warnings):
            said += textwrap.wrap(f"- {text}", _WIDTH, subsequent_indent="  ")
        return "\n".join(said)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        lines = "".join(
            f'<tr><th style="text-align:left">{html.escape(word)}</th>'
            f'<td style="text-align:left">{html.escape(text)}</td></tr>'
            for word, text in self.lines.items()
        )
        head = "".join(
            f"<th>{name}<br><small>{unit}</small></th>"
            for name, unit in zip(_COLUMNS, _UNITS, strict=True)
        )
        rows = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
            for row in self.rows
        )
        notes = "".join(f"<li>{html.escape(text)}</li>" for text in _few(self.warnings))
        told = f"<ul>{notes}</ul>" if notes else "<p>no warnings</p>"
        return (
            f"<div><h4>{html.escape(self.title)}</h4><table>{lines}</table>"
            f"<table><tr>{head}</tr>{rows}</table>{told}</div>"
        )


def describe(cube: xr.Dataset) -> Description:
    """Say on one screen what a cube is, and what was done to it.

    Is it matched? Is the sky off? In which unit is it, what is its noise, what was warned of, and
    where on the sky does it lie?

    Parameters
    ----------
    cube : Dataset
        Of chunked pixels none is computed.

    Returns
    -------
    Description
        Shows itself: as text of 78 columns where it is printed, as HTML at the end of a cell of a
        notebook.

    Raises
    ------
    CubeError
        If it is no cube.

    Examples
    --------
    >>> import hstcube
    >>> told = hstcube.describe(hstcube.example(matched=True))
    >>> told.title
    'demo: 9 bands, f435w to f160w, 100 x 100 pixels of 0.060 arcsec'
    >>> told.lines["matched"], told.lines["sky"]
    ('yes, all bands to f160w', 'subtracted in all bands')
    """
    cube = taken(cube, pixels=False)
    names = cube.band.values.tolist()
    grid = Grid.of(cube) if max(cube.sizes["y"], cube.sizes["x"]) > 1 else None
    scale = f" of {grid.scale:.3f} arcsec" if grid else ""
    bands = f"{len(names)} bands, {names[0]} to {names[-1]}" if len(names) > 1 else names[0]
    title = (
        f"{attribute(cube, 'field') or 'a cube'}: {bands}, "
        f"{cube.sizes['x']} x {cube.sizes['y']} pixels{scale}"
    )
    lines = {
        "where": _where(grid) if grid else "a single pixel",
        "matched": _matched(cube),
        "sky": _sky(cube),
        "unit": _unit(cube),
        "noise": _noise(cube),
        "PSF": _psf(cube),
        "mask": _mask(cube),
        "survey": attribute(cube, "survey") or "not known",
        "steps": _steps(cube),
    }
    warnings = tuple(attribute(cube, "warnings").splitlines())
    return Description(title, lines, tuple(_rows(cube)), warnings)


def _where(grid: Grid) -> str:
    ny, nx = grid.shape
    middle = grid.wcs.pixel_to_world((nx - 1) / 2, (ny - 1) / 2).icrs
    up = grid.wcs.pixel_to_world((nx - 1) / 2, (ny - 1) / 2 + 1).icrs
    turn = (middle.position_angle(up).deg + 180) % 360 - 180
    sizes = " x ".join(f"{side:.1f}" for side in (nx * grid.steps[1], ny * grid.steps[0]))
    words = middle.to_string("hmsdms", precision=1)
    north = f"y is {abs(turn):.0f} deg {'west' if turn < 0 else 'east'} of north"
    north = north if abs(turn) >= _UP else "north is up"
    return f"RA {middle.ra.deg:.5f} Dec {middle.dec.deg:+.5f} ({words}), {sizes} arcsec, {north}"


def _matched(cube: xr.Dataset) -> str:
    done = cube.matched_to.values.tolist()
    if set(done) == {""}:
        widths = cube.psf_fwhm.values
        known = widths[np.isfinite(widths)]
        spread = f": FWHM {known.min():.3f} to {known.max():.3f} arcsec" if known.size else ""
        return f"no{spread}; psf_match does it"
    if len(set(done)) == 1:
        return f"yes, all bands to {done[0]}"
    own = [name for name, to in zip(cube.band.values.tolist(), done, strict=True) if not to]
    if own:
        return f"not all: {', '.join(own)} are not"
    return f"to different resolutions: {', '.join(sorted(set(done)))}"


def _sky(cube: xr.Dataset) -> str:
    bare = cube.band.values[np.isnan(cube.sky.values)].tolist()
    if not bare:
        return "subtracted in all bands"
    all_of_them = len(bare) == cube.sizes["band"]
    return f"not subtracted{'' if all_of_them else ' in ' + ', '.join(bare)}; subtract_sky does it"


def _unit(cube: xr.Dataset) -> str:
    bare = cube.band.values[np.isnan(cube.zeropoint.values)].tolist()
    points = f"no zero point of {', '.join(bare)}" if bare else "zero points of all bands"
    dust = "; corrected for the Milky Way's dust" if "extinction" in cube.coords else ""
    return f"{cube.sci.attrs['units']}, in a pixel; {points}{dust}"


def _noise(cube: xr.Dataset) -> str:
    kind = "correlated, as noise_acf says" if "noise_acf" in cube.coords else "taken as white"
    added = "added" if attribute(cube, "poisson") else "not added"
    return f"{kind}; photon noise of the sources {added}"


def _psf(cube: xr.Dataset) -> str:
    if "psf" not in cube.coords:
        return "no images, widths only"
    return f"images of {cube.sizes['kx']} x {cube.sizes['ky']}"


def _is_chunked(cube: xr.Dataset) -> bool:
    return is_lazy(Planes(*(cube.variables[name].data for name in PLANES)))


def _mask(cube: xr.Dataset) -> str:
    if _is_chunked(cube):
        return "not looked at: the pixels are in chunks"
    common = int(cube.mask.values.all(axis=0).sum())
    total = cube.sizes["y"] * cube.sizes["x"]
    share = f"{common} of {total} pixels in all bands"
    whole = bool((cube.mask.values == (cube.wht.values > 0)).all())
    return f"{share}{': all that have data' if whole else ''}"


def _steps(cube: xr.Dataset) -> str:
    steps = [line.partition("(")[0].strip() for line in attribute(cube, "history").splitlines()]
    return ", ".join(step for step in steps if step and not step.startswith("note ")) or "none"


def _rows(cube: xr.Dataset) -> list[tuple[str, ...]]:
    """Return the table of bands; what is not known is a dash."""
    chunked = _is_chunked(cube)
    camera = cube.coords.get("detector")
    rows: list[tuple[str, ...]] = []
    for i, name in enumerate(cube.band.values.tolist()):
        lost = math.nan if chunked else 100 * float((cube.wht.values[i] == 0).mean())
        rows.append(
            (
                name,
                str(camera.values[i]) if camera is not None and camera.values[i] else "-",
                _shown(cube.psf_fwhm.values[i], ".3f"),
                str(cube.matched_to.values[i]) or "-",
                _shown(cube.sky.values[i], ".2e"),
                _shown(cube.zeropoint.values[i], ".2f"),
                _shown(lost, ".1f"),
            )
        )
    return rows


def _shown(value: float, how: str) -> str:
    return "-" if math.isnan(value) else format(value, how)


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _few(warnings: tuple[str, ...]) -> list[str]:
    if len(warnings) <= _MOST:
        return [*warnings]
    return [*warnings[: _MOST - 1], f"and {len(warnings) - _MOST + 1} more: cube.attrs['warnings']"]
