"""The pixel grid of an image: its shape and the FITS cards that place it on the sky."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hstcube.basics.memory import remembered
from hstcube.core.mappings import TOLERANCE, pixel_mapping
from hstcube.core.wcs_cards import (
    checked_cards,
    fingerprint_of,
    matrix_of,
    plain_value,
    stepped_cards,
)
from hstcube.errors import GridError
from hstcube.inputs.arrays import shown
from hstcube.inputs.choices import require_choice
from hstcube.inputs.places import height_and_width, sky_position
from hstcube.inputs.quantities import number_in, whole_number

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import xarray as xr
    from astropy.io import fits
    from astropy.wcs import WCS
    from numpy.typing import NDArray

    from hstcube.core.wcs_cards import Card

__all__ = ["Frame", "Grid", "known_cards", "known_labels"]

_WIDEST_STEP = 1e5  # pixels: beyond, labels are of another kind
_NUMBERED = "take the labels from the parent cube, or number the pixels from 0"

Frame = Literal["ICRS", "FK5"]


@dataclass(frozen=True)
class Grid:
    """A rectangle of pixels on the sky: an immutable, hashable value.

    Attributes
    ----------
    shape : tuple of int
        Number of rows and columns, (ny, nx).
    cards : tuple of (str, value)
        The FITS cards of the celestial WCS, verbatim (Greisen & Calabretta 2002, A&A 395, 1061).

    Examples
    --------
    >>> import hstcube
    >>> grid = hstcube.Grid.of(hstcube.example())
    >>> grid.shape, round(grid.scale, 4)
    ((100, 100), 0.06)
    """

    shape: tuple[int, int]
    cards: tuple[Card, ...]

    @classmethod
    def from_header(
        cls,
        header: Mapping[str, Any],
        *,
        shape: tuple[int, int] | None = None,
        tables: bool = False,
    ) -> Grid:
        """Read the grid of an image from its header.

        Parameters
        ----------
        header : FITS header or any mapping of cards
        shape : (ny, nx), optional
            Taken from NAXIS2 and NAXIS1 when not given.
        tables : bool
            Whether the file holds the look-up tables of a distortion: without them its cards are
            leftovers of the exposures that the image was drizzled from.

        Raises
        ------
        GridError
            If the header has no celestial WCS, an impossible one, or one with distortions.
        """
        cards = checked_cards(header, tables=tables)
        return cls(shape or (int(header["NAXIS2"]), int(header["NAXIS1"])), cards)

    @classmethod
    def of(cls, cube: xr.Dataset | xr.DataArray) -> Grid:
        """Return the grid that a cube, or a slice of one, lies on.

        Parameters
        ----------
        cube : Dataset or DataArray
            With coordinates ``y``, ``x`` (pixel labels) and ``wcs``.

        Raises
        ------
        GridError
            If it has no WCS, or labels that are not evenly spaced.
        """
        if not hasattr(cube, "coords"):
            reason = f"a grid is that of a Dataset or DataArray, this is {shown(cube)}"
            raise GridError("HC-W01", reason, "give a cube, or a map on the pixels of one")
        # plain variables: a DataArray of each takes longer than all the rest
        there = cube.coords.variables
        for name in ("wcs", "y", "x"):
            if name not in there:
                raise GridError(
                    "HC-W01",
                    f"there is no coordinate {name!r}, so the pixels have no place on the sky",
                    "[[make it again: hstcube run FOLDER|"
                    "build the cube with hstcube.open_field, open_bands or build]]",
                )
        cards = known_cards(there["wcs"])
        y, x = (known_labels(there[dim], dim) for dim in ("y", "x"))
        return Grid((0, 0), cards).stepped((y[0], x[0]), _steps(y, x), (y.size, x.size))

    def stepped(
        self, start: tuple[float, float], step: tuple[float, float], shape: tuple[int, int]
    ) -> Grid:
        """Return the grid whose pixel (i, j) is centred on start + step * (i, j) of this one."""
        if tuple(start) == (0.0, 0.0) and tuple(step) == (1.0, 1.0):
            return Grid(shape, self.cards)
        return Grid(shape, stepped_cards(self.cards, start, step))

    def coarsen(self, factor: int) -> Grid:
        """Return the grid whose pixels are blocks of factor x factor pixels of this one.

        A remainder is left out.

        Raises
        ------
        GridError
            If the factor is not a whole number.
        """
        factor = whole_number(factor, "factor", code="HC-W25", error=GridError)
        middle = (factor - 1) / 2
        return self.stepped(
            (middle, middle), (factor, factor), (self.shape[0] // factor, self.shape[1] // factor)
        )

    @classmethod
    def around(
        cls,
        center: Any,
        size: float | tuple[float, float],
        scale: float,
        *,
        angle: float = 0.0,
        frame: Frame = "ICRS",
    ) -> Grid:
        """Return a gnomonic (TAN) grid around a position.

        Parameters
        ----------
        center : (ra, dec) in degrees, or SkyCoord
            The tangent point, in the middle of the grid.
        size : float, Quantity, or two of them
            Height and width [arcsec].
        scale : float or Quantity
            Pixel scale [arcsec].
        angle : float or Quantity
            Position angle of the y axis [deg], east of north.
        frame : {"ICRS", "FK5"}
            What (ra, dec) are given in. A SkyCoord says it itself.

        Raises
        ------
        GridError
            If position, size, scale or frame cannot be.
        """
        require_choice("frame", frame, Frame, code="HC-W06", error=GridError)
        ra, dec = sky_position(center, frame)
        wrong: dict[str, Any] = {"code": "HC-W25", "error": GridError}
        scale = number_in("arcsec", scale, "scale", above=0, **wrong)
        sides = height_and_width(size, scale)
        if min(sides) < scale:
            raise GridError(
                "HC-W25",
                f"a grid of {sides} arcsec with pixels of {scale} arcsec cannot be",
                "give both in arcsec, the size at least one pixel",
            )
        shape = (round(sides[0] / scale), round(sides[1] / scale))
        turn, step = math.radians(number_in("deg", angle, "angle", **wrong)), scale / 3600
        cards = {
            "WCSAXES": 2,
            "CTYPE1": "RA---TAN",
            "CTYPE2": "DEC--TAN",
            "CRPIX1": (shape[1] + 1) / 2,
            "CRPIX2": (shape[0] + 1) / 2,
            "CRVAL1": ra,
            "CRVAL2": dec,
            "CD1_1": -step * math.cos(turn),
            "CD1_2": step * math.sin(turn),
            "CD2_1": step * math.sin(turn),
            "CD2_2": step * math.cos(turn),
            "RADESYS": frame,
            **({"EQUINOX": 2000.0} if frame == "FK5" else {}),
        }
        return cls.from_header(cards, shape=shape)

    @classmethod
    def covering(cls, cubes: Iterable[Grid | xr.Dataset | xr.DataArray]) -> Grid:
        """Return the smallest grid with the pixels of the first of some cubes that covers all.

        Parameters
        ----------
        cubes : iterable of Grid, Dataset or DataArray
            Anything that lies on a grid. Pixels of the result are pixels of the first, continued.

        Raises
        ------
        GridError
            If there is none, or one of them lies where the projection of the first does not reach.
        """
        grids = [cube if isinstance(cube, cls) else cls.of(cube) for cube in cubes]  # type: ignore[arg-type]
        if not grids:
            raise GridError("HC-W25", "there is nothing to cover", "give at least one cube")
        places = np.concatenate([_outline(grid, grids[0]) for grid in grids], axis=1)
        if not np.isfinite(places).all():
            reason = "the cubes lie on opposite sides of the sky: no grid covers them"
            raise GridError("HC-W25", reason, "cover nearby fields only")
        (y0, x0), (y1, x1) = np.floor(places.min(1) + TOLERANCE), np.ceil(places.max(1) - TOLERANCE)
        return grids[0].stepped(
            (float(y0), float(x0)), (1.0, 1.0), (int(y1 - y0) + 1, int(x1 - x0) + 1)
        )

    @cached_property
    def matrix(self) -> NDArray[np.float64]:
        """The linear part, (2, 2): degrees on the sky per pixel; columns are x and y."""
        return matrix_of(dict(self.cards))

    @cached_property
    def steps(self) -> tuple[float, float]:
        """Size of a pixel along y and along x, arcsec."""
        x, y = np.hypot(*self.matrix) * 3600
        return float(y), float(x)

    @cached_property
    def scale(self) -> float:
        """Pixel scale, arcsec: the square root of the pixel's area."""
        return float(np.sqrt(abs(np.linalg.det(self.matrix))) * 3600)

    @cached_property
    def fingerprint(self) -> int:
        """The cards as one 64-bit number, the same in every process and after every round trip."""
        return fingerprint_of(self.cards)

    @cached_property
    def wcs(self) -> WCS:
        """The astropy WCS of this grid."""
        from astropy.wcs import WCS

        wcs = WCS(self.header())
        wcs.array_shape = self.shape
        return wcs

    def header(self) -> fits.Header:
        """Return the cards as a FITS header."""
        from astropy.io import fits

        return fits.Header(list(self.cards))

    def header_cards(self) -> list[tuple[str, float | str, str]]:
        """Return the cards as (keyword, value, comment)."""
        return [(key, value, "") for key, value in self.cards]

    def coords(self) -> dict[str, Any]:
        """Return the coordinates ``y``, ``x`` and ``wcs`` of a cube on this grid."""
        return {
            "y": ("y", np.arange(self.shape[0], dtype=float)),
            "x": ("x", np.arange(self.shape[1], dtype=float)),
            "wcs": ((), np.int64(self.fingerprint), dict(self.cards)),
        }

    def require(self, other: Grid, *, what: str = "the two images", fix: str = "") -> None:
        """Raise GridError unless `other` has the same shape and lies within 1e-4 pixels."""
        if self.shape != other.shape:
            raise GridError(
                "HC-D01",
                f"{what} have different shapes, {self.shape} and {other.shape}",
                fix or "cut them to the same pixels, or regrid one of them",
            )
        shift = self.shift(other)
        if not shift <= TOLERANCE:  # NaN: no place on the other's projection
            far = f"up to {shift:.4g} pixels" if np.isfinite(shift) else "more than 90 degrees"
            raise GridError(
                "HC-D02",
                f"{what} lie on different pixel grids, {far} apart",
                fix or "check the WCS of both files, or regrid one of them",
            )

    def shift(self, other: Grid) -> float:
        """Return the largest distance between equal corners of two grids, pixels."""
        if self.cards == other.cards:
            return 0.0
        bottom, right = self.shape[0] - 1.0, self.shape[1] - 1.0
        y, x = np.array([[0.0, 0.0], [bottom, bottom]]), np.array([[0.0, right], [0.0, right]])
        there_y, there_x = pixel_mapping(self, other)(y, x)
        return float(np.max(np.hypot(there_y - y, there_x - x)))


def _outline(grid: Grid, on: Grid) -> NDArray[np.float64]:
    """Return where the outer edges of a grid's pixels lie at most, (y and x, place), on another."""
    edge_y, edge_x = ([0.0, (n - 1) / 2, n - 1.0] for n in grid.shape)
    y, x = pixel_mapping(grid, on)(*np.meshgrid(edge_y, edge_x, indexing="ij"))
    # pixels have a size
    reach = np.abs(np.linalg.solve(on.matrix, grid.matrix)).sum(1)[::-1] / 2 - 0.5
    centres = np.stack([y, x]).reshape(2, -1)
    return np.concatenate([centres - reach[:, None], centres + reach[:, None]], axis=1)


@remembered(64)
def _steps(y: NDArray[np.float64], x: NDArray[np.float64]) -> tuple[float, float]:
    """Return the spacing of the labels; an axis with one label has the size of the other's."""
    sy, sx = _spacing("y", y), _spacing("x", x)
    if sy is None and sx is None:
        raise GridError(
            "HC-W22",
            "a single pixel does not tell the size of the pixels",
            "keep at least two pixels",
        )
    return (abs(sx or 1.0) if sy is None else sy), (abs(sy or 1.0) if sx is None else sx)


def _spacing(name: str, labels: NDArray[np.float64]) -> float | None:
    """Return the spacing of the labels of one axis, None where there is but one."""
    spacing = np.diff(labels)
    if not spacing.size:
        return None
    if spacing[0] == 0 or np.ptp(spacing) > 1e-9 * abs(spacing[0]):
        raise GridError(
            "HC-W22",
            f"the labels of {name} are not evenly spaced",
            "choose pixels with a slice, not with a list",
        )
    return float(spacing[0])


def known_cards(wcs: xr.Variable) -> tuple[Card, ...]:
    """Return the FITS cards that the coordinate ``wcs`` holds, if it is that of one grid.

    Raises
    ------
    GridError
        If it is not one number, has lost its cards, or they are not those whose fingerprint it is:
        joining cubes of other fields keeps the cards of the first of them alone.
    """
    if wcs.ndim:
        raise GridError(
            "HC-W26",
            f"wcs lies along {', '.join(map(str, wcs.dims))}: the pixels come from different grids",
            "regrid all cubes to one grid, and join bands[[| with hstcube.stack_bands]]",
        )
    if not wcs.attrs:
        raise GridError(
            "HC-W01",
            "the coordinate wcs has lost its attributes, the FITS cards",
            "take it from the parent cube[[|: cube.assign_coords(wcs=parent.wcs)]]",
        )
    cards = tuple((key, plain_value(key, value)) for key, value in wcs.attrs.items())
    if wcs.dtype.kind not in "iu" or int(wcs.values) != fingerprint_of(cards):
        raise GridError(
            "HC-W26",
            "the fingerprint in wcs is not that of its cards: they belong to another grid",
            "place the cube anew[[|: cube.assign_coords(grid.coords()) with the Grid it lies on]]",
        )
    return cards


def known_labels(axis: xr.Variable, name: str) -> NDArray[np.float64]:
    """Return the labels of the pixels along y or x.

    Raises
    ------
    GridError
        If they are not finite numbers and evenly spaced, or there is no pixel.
    """
    if axis.dims != (name,) or not axis.size:
        raise GridError("HC-W22", f"there is no pixel along {name}", "select at least one pixel")
    return _known_labels(axis.values if axis.dtype.kind in "iuf" else np.full(1, np.nan), name)


@remembered(64)  # every step asks
def _known_labels(values: NDArray[Any], name: str) -> NDArray[np.float64]:
    labels = np.asarray(values, dtype=float)
    if not np.isfinite(labels).all():
        reason = f"the labels of {name} are not finite numbers"
        raise GridError("HC-W22", reason, _NUMBERED)
    if abs(_spacing(name, labels) or 1.0) > _WIDEST_STEP:
        reason = f"the labels of {name} are {labels[1] - labels[0]:.3g} pixels apart"
        raise GridError("HC-W22", reason, _NUMBERED)
    return labels
