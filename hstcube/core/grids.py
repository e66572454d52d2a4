"""The pixel grid of an image: its shape and the FITS cards that place it on the sky."""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from hstcube.errors import GridError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import xarray as xr
    from astropy.io import fits
    from astropy.wcs import WCS
    from numpy.typing import NDArray

    Card = tuple[str, float | str]
    PixelMapping = Callable[[Any, Any], tuple[NDArray[np.float64], NDArray[np.float64]]]

__all__ = ["Grid", "affine_mapping", "pixel_mapping", "sky_position"]

TOLERANCE = 1e-4  # pixels: two grids closer than this are one

_TEXT = ("CTYPE1", "CTYPE2", "CUNIT1", "CUNIT2", "RADESYS")
_NUMBERS = (
    *("CRPIX1", "CRPIX2", "CRVAL1", "CRVAL2", "CDELT1", "CDELT2"),
    *("CD1_1", "CD1_2", "CD2_1", "CD2_2", "PC1_1", "PC1_2", "PC2_1", "PC2_2"),
    *("LONPOLE", "LATPOLE", "EQUINOX"),
)
CARDS = ("WCSAXES", *_TEXT, *_NUMBERS)
_DISTORTION = re.compile(
    r"(A|B|AP|BP)_ORDER|[AB]_\d_\d|PV\d+_\d+|PS\d+_\d+|CPDIS\d|DP\d|D2IM.*|WAT\d_\d+"
)
_BETWEEN = {  # what a card can say; beyond, it is damaged
    **dict.fromkeys(("CRPIX1", "CRPIX2"), 1e9),
    **dict.fromkeys(("CRVAL1", "CRVAL2", "LONPOLE"), 360.0),
    "LATPOLE": 90.0,
}
_YEARS = (1800.0, 2200.0)
_MOST_AXES = 9
_OLD_NAMES = {
    "RADESYS": "RADECSYS",
    "EQUINOX": "EPOCH",
}  # of FITS before 2002; wcslib reads them too
_ZENITHAL = ("TAN", "SIN", "STG", "ARC", "ZEA")
_LATITUDES = ("DEC-", "GLAT", "ELAT")
_PROJECTIONS = (
    *_ZENITHAL,
    "CAR",
    "CEA",
    "MER",
    "SFL",
    "PAR",
    "MOL",
    "AIT",
)  # those that need no further numbers
_BESIDE_THE_SKY = re.compile(
    r"(CD|PC)([12]_[3-9]|[3-9]_[12])"
)  # pixels along a third axis that move the sky
_SYSTEMS = {
    "RA": (0, 0),
    "DEC": (0, 1),
    "GLON": (1, 0),
    "GLAT": (1, 1),
    "ELON": (2, 0),
    "ELAT": (2, 1),
}  # system, axis
_FRAMES = ("ICRS", "FK5", "FK4", "FK4-NO-E")
_STEP = 64  # pixels between nodes
_SINGULAR = 1e-8  # of a matrix whose columns have unit length


@dataclass(frozen=True)
class Grid:
    """A rectangle of pixels on the sky: an immutable, hashable value.

    Attributes
    ----------
    shape : tuple of int
        Number of rows and columns, (ny, nx).
    cards : tuple of (str, value)
        The FITS cards of the celestial WCS, verbatim (Greisen & Calabretta 2002, A&A 395, 1061).
    """

    shape: tuple[int, int]
    cards: tuple[Card, ...]

    @classmethod
    def from_header(
        cls, header: Mapping[str, Any], *, shape: tuple[int, int] | None = None
    ) -> Grid:
        """Read the grid of an image from its header.

        Parameters
        ----------
        header : FITS header or any mapping of cards
        shape : (ny, nx), optional
            Taken from NAXIS2 and NAXIS1 when not given.

        Raises
        ------
        GridError
            If the header has no celestial WCS, an impossible one, or one with distortions.
        """
        _refuse_distortion(header)
        if shape is None:
            shape = (int(header["NAXIS2"]), int(header["NAXIS1"]))
        names = {key: key if key in header else _OLD_NAMES.get(key, key) for key in CARDS}
        cards = {key: _plain(key, header[name]) for key, name in names.items() if name in header}
        _check(cards)
        if "WCSAXES" in cards:
            _require_two_axes(header, cards["WCSAXES"])
            cards["WCSAXES"] = 2
        return cls(shape, tuple(cards.items()))

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
        there = (
            cube.coords.variables
        )  # plain variables: a DataArray of each takes longer than all the rest
        for name in ("wcs", "y", "x"):
            if name not in there:
                raise GridError(
                    "HC-W01",
                    f"there is no coordinate {name!r}, so the pixels have no place on the sky",
                    "build the cube with hstcube.open_field, open_bands or build",
                )
        cards = tuple((key, _plain(key, value)) for key, value in there["wcs"].attrs.items())
        y, x = (np.asarray(there[dim].values, dtype=float) for dim in ("y", "x"))
        return Grid((0, 0), cards).stepped((y[0], x[0]), _steps(y, x), (y.size, x.size))

    def stepped(
        self, start: tuple[float, float], step: tuple[float, float], shape: tuple[int, int]
    ) -> Grid:
        """Return the grid whose pixel (i, j) is centred on pixel start + step * (i, j) of this one."""
        if tuple(start) == (0.0, 0.0) and tuple(step) == (1.0, 1.0):
            return Grid(shape, self.cards)
        cards: dict[str, float | str] = dict(self.cards)
        if not _has_cd(cards):  # the standard's defaults, which a step must scale too
            cards = {"PC1_1": 1.0, "PC2_2": 1.0, **cards}
        for axis, p0, s in ((1, start[1], step[1]), (2, start[0], step[0])):
            cards[f"CRPIX{axis}"] = (float(cards[f"CRPIX{axis}"]) - 1 - p0) / s + 1
            for key in (f"{kind}{i}_{axis}" for kind in ("CD", "PC") for i in (1, 2)):
                if key in cards:
                    cards[key] = float(cards[key]) * s
        return Grid(shape, tuple(cards.items()))

    def coarsen(self, factor: int) -> Grid:
        """Return the grid whose pixels are blocks of factor x factor pixels of this one; a remainder is left out."""
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
        frame: str = "ICRS",
    ) -> Grid:
        """Return a gnomonic (TAN) grid around a position.

        Parameters
        ----------
        center : (ra, dec) in degrees, or SkyCoord
            The tangent point, in the middle of the grid.
        size : float or (float, float)
            Height and width, arcsec.
        scale : float
            Pixel scale, arcsec.
        angle : float
            Position angle of the y axis, degrees east of north.
        frame : {"ICRS", "FK5"}
            What (ra, dec) are given in. A SkyCoord says it itself.

        Raises
        ------
        GridError
            If position, size or scale cannot be.
        """
        ra, dec = sky_position(center, frame)
        sides = tuple(float(side) for side in np.broadcast_to(size, 2))
        if not (0 < scale < math.inf and all(scale <= side < math.inf for side in sides)):
            raise GridError(
                "HC-W25",
                f"a grid of {sides} arcsec with pixels of {scale} arcsec cannot be",
                "give both in arcsec, the size at least one pixel",
            )
        shape = (round(sides[0] / scale), round(sides[1] / scale))
        turn, step = math.radians(angle), scale / 3600
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
        """Return the smallest grid with the pixels of the first of some cubes that covers all of them.

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
        corners = []
        for grid in grids:
            edge_y, edge_x = ([0.0, (n - 1) / 2, n - 1.0] for n in grid.shape)
            y, x = pixel_mapping(grid, grids[0])(*np.meshgrid(edge_y, edge_x, indexing="ij"))
            reach = (
                np.abs(np.linalg.solve(grids[0].matrix, grid.matrix)).sum(1)[::-1] / 2 - 0.5
            )  # pixels have a size
            corners += [np.stack([y, x]).reshape(2, -1) + sign * reach[:, None] for sign in (-1, 1)]
        places = np.concatenate(corners, axis=1)
        if not np.isfinite(places).all():
            raise GridError(
                "HC-W25",
                "the cubes lie on opposite sides of the sky: no grid covers them",
                "cover nearby fields only",
            )
        (y0, x0), (y1, x1) = np.floor(places.min(1) + TOLERANCE), np.ceil(places.max(1) - TOLERANCE)
        return grids[0].stepped(
            (float(y0), float(x0)), (1.0, 1.0), (int(y1 - y0) + 1, int(x1 - x0) + 1)
        )

    @cached_property
    def matrix(self) -> NDArray[np.float64]:
        """The linear part, (2, 2): degrees on the sky per pixel; columns are x and y."""
        return _matrix(dict(self.cards))

    @cached_property
    def steps(self) -> tuple[float, float]:
        """Size of a pixel along y and along x, arcsec."""
        x, y = np.hypot(*self.matrix) * 3600
        return float(y), float(x)

    @property
    def scale(self) -> float:
        """Pixel scale, arcsec: the square root of the pixel's area."""
        return float(np.sqrt(abs(np.linalg.det(self.matrix))) * 3600)

    @cached_property
    def fingerprint(self) -> int:
        """The cards as one 64-bit number, the same in every process and after every round trip."""
        text = "\n".join(
            f"{key}={value.strip() if isinstance(value, str) else repr(float(value) + 0.0)}"
            for key, value in self.cards
        )
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big", signed=True)

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

    def require(self, other: Grid, *, what: str = "the two images") -> None:
        """Raise GridError unless `other` has the same shape and lies within 1e-4 pixels of this grid."""
        if self.shape != other.shape:
            raise GridError(
                "HC-D01",
                f"{what} have different shapes, {self.shape} and {other.shape}",
                "cut them to the same pixels, or regrid one of them",
            )
        shift = self.shift(other)
        if not shift <= TOLERANCE:
            raise GridError(
                "HC-D02",
                f"{what} lie on different pixel grids, up to {shift:.4g} pixels apart",
                "check the WCS of both files, or regrid one of them",
            )

    def shift(self, other: Grid) -> float:
        """Return the largest distance between equal corners of two grids, pixels."""
        if self.cards == other.cards:
            return 0.0
        y, x = (
            np.array([[0.0, 0.0], [self.shape[0] - 1, self.shape[0] - 1]]),
            np.array([[0.0, self.shape[1] - 1]] * 2),
        )
        there_y, there_x = pixel_mapping(self, other)(y, x)
        return float(np.max(np.hypot(there_y - y, there_x - x)))


def pixel_mapping(source: Grid, target: Grid) -> PixelMapping:
    """Return the function that takes pixel coordinates (y, x) on `source` to (y, x) on `target`, both 0-based.

    Two grids with one projection and one reference point are tied by an exact affine map; any other
    pair goes through the sky with astropy: for the rows and columns of a large image at nodes 64
    pixels apart, interpolated where that is good to 1e-4 pixels. ICRS and FK5 are told apart.
    """
    affine = affine_mapping(source, target)
    if affine is None:
        return _through_the_sky(source, target)
    ((yy, yx), (xy, xx)), (y0, x0) = affine
    return lambda y, x: (yx * x + yy * y + y0, xx * x + xy * y + x0)


def affine_mapping(
    source: Grid, target: Grid
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Return matrix and origin that take (y, x) on `source` to (y, x) on `target`, exactly.

    None for grids whose projections or reference points differ: those are tied by the sky only.
    """
    if _projection(source) != _projection(target):
        return None
    a, b = dict(source.cards), dict(target.cards)
    step = np.asarray(np.linalg.solve(target.matrix, source.matrix), dtype=np.float64)
    start, end = (
        np.array([float(cards.get(f"CRPIX{i}", 0.0)) - 1 for i in (1, 2)]) for cards in (a, b)
    )
    return step[::-1, ::-1], (end - step @ start)[::-1]


def _through_the_sky(source: Grid, target: Grid) -> PixelMapping:
    from astropy.wcs.utils import pixel_to_pixel

    def exact(y: Any, x: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        there_x, there_y = pixel_to_pixel(source.wcs, target.wcs, *np.broadcast_arrays(x, y))
        return there_y, there_x

    return exact if min(source.shape) < 2 * _STEP else _interpolated(exact, source.shape)


def _interpolated(exact: PixelMapping, shape: tuple[int, int]) -> PixelMapping:
    """Return `exact` for rows and columns of a large image, bilinear between nodes; itself where that is not enough."""
    y, x = (np.arange(-1.0, n + _STEP, _STEP) for n in shape)
    nodes = exact(y[:, None], x[None, :])

    def mapping(rows: Any, columns: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        if np.shape(rows)[1:] != (1,) or np.shape(columns)[:1] != (1,):
            return exact(rows, columns)
        left = np.clip(1 - np.abs(rows - y[None, :]) / _STEP, 0, None)
        right = np.clip(1 - np.abs(x[:, None] - columns) / _STEP, 0, None)
        return left @ nodes[0] @ right, left @ nodes[1] @ right

    def good(rows: Any, columns: Any) -> bool:
        return all(
            np.abs(near - true).max() < TOLERANCE
            for near, true in zip(mapping(rows, columns), exact(rows, columns), strict=True)
        )

    half = _STEP / 2  # at the middles of a cell's sides each of the two curvatures shows alone
    sides = ((y[:, None], x[None, :-1] + half), (y[:-1, None] + half, x[None, :]))
    return mapping if all(good(*side) for side in sides) else exact


def sky_position(center: Any, frame: str = "ICRS") -> tuple[float, float]:
    """Return right ascension and declination in degrees of a SkyCoord or of (ra, dec), in `frame`.

    Raises
    ------
    GridError
        If it is no place on the sky.
    """
    if hasattr(center, "transform_to"):
        there = center.transform_to(frame.lower())
        center = (there.ra.deg, there.dec.deg)
    try:
        ra, dec = (float(value) for value in center)
    except (TypeError, ValueError):
        ra = dec = math.nan
    if not (math.isfinite(ra) and abs(dec) <= 90):  # noqa: PLR2004
        raise GridError(
            "HC-W25",
            f"{center!r} is no position on the sky",
            "give (ra, dec) in degrees, e.g. (53.16, -27.79)",
        )
    return ra % 360, dec


def _projection(grid: Grid) -> tuple[object, ...]:
    """All that fixes the map from the tangent plane to the sky, with the standard's defaults."""
    cards = dict(grid.cards)
    types = (str(cards["CTYPE1"]).strip(), str(cards["CTYPE2"]).strip())
    latitude = cards["CRVAL2"] if types[0].startswith(("RA", "GLON", "ELON")) else cards["CRVAL1"]
    zenithal = types[0][5:8] in _ZENITHAL
    pole = 0.0 if float(latitude) >= (90.0 if zenithal else 0.0) else 180.0
    return (
        *types,
        cards["CRVAL1"],
        cards["CRVAL2"],
        cards.get("LONPOLE", pole),
        None if zenithal else cards.get("LATPOLE"),
        _frame(cards),
        _equinox(cards),
    )


def _equinox(cards: Mapping[str, float | str]) -> float | None:
    """EQUINOX, or what the standard assumes without it; None where it has no meaning."""
    if _frame(cards) == "ICRS":
        return None
    return float(cards.get("EQUINOX", 2000.0 if _frame(cards) == "FK5" else 1950.0))


def _frame(cards: Mapping[str, float | str]) -> str:
    """RADESYS, or what the standard assumes without it."""
    if "RADESYS" in cards:
        return str(cards["RADESYS"]).strip().upper()
    if "EQUINOX" not in cards:
        return "ICRS"
    return "FK5" if float(cards["EQUINOX"]) >= 1984.0 else "FK4"  # noqa: PLR2004  the standard's year


def _plain(key: str, value: Any) -> float | str:
    """Return the value of a card as a plain Python number or string."""
    value = value.item() if isinstance(value, np.generic) else value
    if key in _TEXT:
        return str(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise GridError(
            "HC-W06", f"the WCS card {key} is {value!r}, not a finite number", "repair the header"
        )
    return value


def _check(cards: dict[str, float | str]) -> None:
    types = [str(cards.get(f"CTYPE{i}", "")).rstrip() for i in (1, 2)]
    if not any(types):
        raise GridError(
            "HC-W02",
            "the header has no CTYPE1, CTYPE2: it does not say what its axes are",
            "give the image a celestial WCS, e.g. CTYPE1 = 'RA---TAN'",
        )
    systems = sorted(_SYSTEMS.get(t[:5].rstrip("-"), (-1, 0)) for t in types)
    if (
        systems[0][0] != systems[1][0]
        or [axis for _, axis in systems] != [0, 1]
        or types[0][5:] != types[1][5:]
    ):
        raise GridError(
            "HC-W12",
            f"CTYPE1, CTYPE2 = {types} are not a longitude and a latitude of one system and projection",
            "give the image a celestial WCS, e.g. 'RA---TAN', 'DEC--TAN'",
        )
    if types[0][5:] not in _PROJECTIONS:
        known = ", ".join(_PROJECTIONS)
        raise GridError(
            "HC-W12",
            f"CTYPE1, CTYPE2 = {types} name no projection that is known",
            f"there are {known}",
        )
    if missing := [key for key in ("CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2") if key not in cards]:
        raise GridError("HC-W01", f"the WCS lacks {', '.join(missing)}", "repair the header")
    if not any(
        key.startswith(("CD", "PC")) for key in cards
    ):  # the standard's default is a degree a pixel
        raise GridError(
            "HC-W01", "the WCS has no pixel scale: no CD, and no CDELT", "repair the header"
        )
    units = {str(cards.get(f"CUNIT{i}", "deg")).strip().lower() or "deg" for i in (1, 2)}
    if not units <= {"deg", "degree", "degrees"}:
        raise GridError(
            "HC-W06",
            f"the WCS is in {sorted(units)}, not in degrees",
            "write CRVAL and CD in degrees",
        )
    if (frame := _frame(cards)) not in _FRAMES:
        raise GridError(
            "HC-W06",
            f"RADESYS is {frame!r}",
            f"choose from {', '.join(_FRAMES)}, or remove the card",
        )
    _require_possible(
        cards, latitude=2 if systems[0] == _SYSTEMS.get(types[0][:5].rstrip("-")) else 1
    )
    matrix = _matrix(cards)
    sizes = np.hypot(*matrix)
    if not (
        np.isfinite(matrix).all()
        and (sizes > 0).all()
        and abs(np.linalg.det(matrix / sizes)) > _SINGULAR
    ):
        raise GridError(
            "HC-W03",
            f"the CD (or PC, CDELT) matrix is singular: {matrix.tolist()}",
            "repair the header: no pixel scale can be read from it",
        )
    _refuse_contradiction(cards)


def _require_possible(cards: Mapping[str, float | str], *, latitude: int) -> None:
    """Refuse numbers that no image can have: wcslib computes with them, or drops them, without a word."""
    bounds = {**{key: (-most, most) for key, most in _BETWEEN.items()}, "EQUINOX": _YEARS}
    bounds[f"CRVAL{latitude}"] = (-90.0, 90.0)
    for key, (low, high) in bounds.items():
        if key in cards and not low <= float(cards[key]) <= high:
            reason = f"the WCS card {key} is {cards[key]}, not between {low:g} and {high:g}"
            raise GridError("HC-W06", reason, "repair the header")


def _require_two_axes(header: Mapping[str, Any], number: float | str) -> None:
    """Refuse a number of axes that cannot be, and further axes that the sky depends on."""
    if number not in range(2, _MOST_AXES + 1):
        raise GridError(
            "HC-W06",
            f"WCSAXES is {number}: an image has two axes",
            "write WCSAXES = 2, or remove it",
        )
    if tied := [
        key for key in header if _BESIDE_THE_SKY.fullmatch(str(key)) and header[key] not in (0, 0.0)
    ]:
        raise GridError(
            "HC-W06", f"{tied[0]} ties the sky to a third axis", "remove the third axis"
        )


def _refuse_contradiction(cards: dict[str, float | str]) -> None:
    """CD with PC, or CD with a CDELT of another size: which one is right cannot be known."""
    has_cd = _has_cd(cards)
    if has_cd and any(key.startswith("PC") for key in cards):
        raise GridError(
            "HC-W05", "the header holds both CD and PC cards", "remove the one that is not meant"
        )
    sizes = np.hypot(*_matrix(cards))
    for size, key in zip(sizes, ("CDELT1", "CDELT2"), strict=True):
        delta = abs(float(cards.get(key, 1.0)))
        if has_cd and delta != 1.0 and abs(delta / size - 1) > 1e-6:  # noqa: PLR2004
            raise GridError(
                "HC-W05",
                f"{key} = {delta} contradicts the CD matrix, whose pixel is {size:.6g} deg",
                f"remove {key}, or repair the CD cards",
            )


def _refuse_distortion(header: Mapping[str, Any]) -> None:
    if any(header.get(key, 0) not in (0, 0.0) for key in ("CROTA1", "CROTA2")):
        raise GridError(
            "HC-W24",
            "the WCS is rotated by CROTA, which the standard gave up",
            "write CD cards instead",
        )
    types = [str(header.get(f"CTYPE{i}", "")).strip().upper() for i in (1, 2)]
    found = [t for t in types if len(t) > 8] + [
        t for t in types if t.endswith(("TPV", "TNX", "ZPX", "ZPN", "DSS"))
    ]
    found += [
        key
        for key in header
        if _DISTORTION.fullmatch(str(key)) and _has_effect(key, header[key], types)
    ]
    if found:
        raise GridError(
            "HC-W07",
            f"the WCS is distorted ({', '.join(found[:3])})",
            "drizzle the image onto an undistorted grid first",
        )


def _has_effect(key: str, value: Any, types: list[str]) -> bool:
    """Say whether a number of a distortion or projection moves pixels; that of a PV card may do so when it is 0."""
    if value not in (0, 0.0) or not key.startswith("PV"):
        return value not in (0, 0.0)
    harmless = {
        i
        for i, kind in enumerate(types, start=1)
        if kind[:4] in _LATITUDES and kind[5:] in _ZENITHAL
    }
    return not any(key.startswith(f"PV{i}_") for i in harmless)


def _has_cd(cards: Mapping[str, float | str]) -> bool:
    return any(key.startswith(("CD1_", "CD2_")) for key in cards)


def _matrix(cards: Mapping[str, float | str]) -> NDArray[np.float64]:
    def element(kind: str, i: int, j: int, default: float) -> float:
        return float(cards.get(f"{kind}{i}_{j}", default))

    if _has_cd(cards):
        return np.array([[element("CD", i, j, 0.0) for j in (1, 2)] for i in (1, 2)])
    return np.array(
        [
            [
                float(cards.get(f"CDELT{i}", 1.0)) * element("PC", i, j, float(i == j))
                for j in (1, 2)
            ]
            for i in (1, 2)
        ]
    )


def _steps(y: NDArray[np.float64], x: NDArray[np.float64]) -> tuple[float, float]:
    """Return the spacing of the labels; an axis with one label has the size of the other's."""
    found = []
    for name, labels in (("y", y), ("x", x)):
        spacing = np.diff(labels)
        if spacing.size and (spacing[0] == 0 or np.ptp(spacing) > 1e-9 * abs(spacing[0])):
            raise GridError(
                "HC-W22",
                f"the labels of {name} are not evenly spaced",
                "choose pixels with a slice, not with a list",
            )
        found.append(float(spacing[0]) if spacing.size else None)
    sy, sx = found
    if sy is None and sx is None:
        raise GridError(
            "HC-W22",
            "a single pixel does not tell the size of the pixels",
            "keep at least two pixels",
        )
    return (abs(sx or 1.0) if sy is None else sy), (abs(sy or 1.0) if sx is None else sx)
