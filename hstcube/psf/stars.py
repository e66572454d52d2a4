"""PSFs from stars: which stars can be trusted where, and the mean of those that can.

`examine_stars` centres stamps of stars, cleans them of neighbours, and judges every star in every
band; `measure_psf` adds up what it trusts. In between is a table that can be read, and changed.
"""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xarray as xr

from hstcube.core.grids import Grid
from hstcube.core.rules import validate
from hstcube.errors import PSFError
from hstcube.psf.profiles import encircled_energy, fwhm, radius_map

if TYPE_CHECKING:
    from collections.abc import Mapping

    from astropy.table import QTable
    from numpy.typing import NDArray

    Image64 = NDArray[np.float64]

__all__ = ["examine_stars", "find_stars", "fit_width", "measure_psf", "star_stamps", "star_table"]

SIZE = 3.9  # arcsec, side of a PSF image: 65 pixels of 60 mas
APERTURE = 1.2  # arcsec: stars are compared, and scaled to one another, within it

# What tells a star that can be trusted; the XDF stars lie well on either side of each (docs/psf.md
# shows them)
FLATTENED = 1.17  # core width over that of the narrowest star: saturated, or broadened otherwise
DAMAGED = 3.0  # misfit of the core, over that of the best star
LOW_WEIGHT = 0.25  # least weight in the core, over the median of the stamp
EXTENDED = 0.95  # light within 0.45 arcsec, over that of the most compact star
FAINT = 30.0  # signal to noise within 0.3 arcsec
NO_WINGS = 300.0  # ... below which the wings are noise

_CORE = 1.2  # radius of the core, in FWHM of the sharpest star
_COMPACT = 0.45  # arcsec
_SCATTER = 0.05  # by which true PSFs differ from star to star, per pixel (of its value)
_PERFECT = 0.005  # misfit that no core falls below: noise is taken off it
_CLIP = 3.0


def measure_psf(
    stars: Mapping[str, xr.Dataset] | xr.Dataset, *, size: int | None = None
) -> xr.DataArray:
    """Measure the PSF of every band from stars.

    The mean of the stars that `examine_stars` trusts, weighted by their signal to noise (up to
    where true PSFs differ from star to star, 5 % of a pixel's value) and clipped at 3 sigma. Cores
    and wings are put together from different stars where they must: stars are scaled to one another
    by the light that they have in common.

    Parameters
    ----------
    stars : mapping of name to Dataset, or Dataset
        One cube a star, with the star near its middle; or what `examine_stars` returned, with
        verdicts changed or not.
    size : int, optional
        Side of the PSF, pixels, odd; 3.9 arcsec when not given.

    Returns
    -------
    DataArray, (band, ky, kx)
        Unit sum, centred on the middle pixel; ``ky``, ``kx`` are offsets in arcsec. Coordinates
        ``stars`` (band), the names of those used, and ``fwhm`` (band) [arcsec].

    Raises
    ------
    PSFError
        If no star shows the core, or none the wings, of a band.
    """
    looked_at = stars if isinstance(stars, xr.Dataset) else examine_stars(stars, size=size)
    scale = float(looked_at.attrs["scale"])
    planes, used = [], []
    for band in looked_at.band.values.tolist():
        one = looked_at.sel(band=band)
        core = [v in ("used", "core only") for v in one.verdict.values]
        wings = [v in ("used", "wings only") for v in one.verdict.values]
        if not any(core):
            reasons = "; ".join(
                f"{n}: {r}" for n, r in zip(one.star.values, one.reason.values, strict=True)
            )
            raise PSFError(
                "HC-P10",
                f"no star shows the core of its PSF ({reasons})",
                "give more stars",
                band=band,
            )
        if not any(wings):
            wings = core
        planes.append(_mean_star(one, np.array(core), np.array(wings), scale))
        used.append(
            " ".join(str(n) for n, c, w in zip(one.star.values, core, wings, strict=True) if c or w)
        )
    images = np.stack(planes)
    psf = xr.DataArray(
        images.astype(np.float32),
        {"band": looked_at.band.values, "ky": looked_at.ky.values, "kx": looked_at.kx.values},
        ("band", "ky", "kx"),
        "psf",
        {"long_name": "point spread function, unit sum"},
    )
    widths = [fwhm(image) * scale for image in images]
    return psf.assign_coords(
        stars=("band", np.array(used, object)), fwhm=("band", widths, {"units": "arcsec"})
    )


def examine_stars(stars: Mapping[str, xr.Dataset], *, size: int | None = None) -> xr.Dataset:
    """Centre and clean stamps of stars, and say of each in every band what it can be used for.

    The local background is removed, and neighbours are taken out: a point source by its PSF (the
    median of other stars), anything else by what lies opposite it across the star. A star is

    - *rejected* when it is too faint, or more extended than the most compact star in any band;
    - *wings only* where its core is flatter than that of the narrowest star (saturated), misfits
      it, or has pixels of little or no weight;
    - *core only* where its wings drown in noise;
    - *used* otherwise.

    Parameters
    ----------
    stars : mapping of name to Dataset
        One cube a star, the star near its middle, all of the same bands and pixel scale.
    size : int, optional
        Side of the stamps that are returned, pixels, odd; 3.9 arcsec when not given.

    Returns
    -------
    Dataset, (star, band)
        ``verdict`` and ``reason`` in words; ``core_width`` (sigma of a Gaussian fitted to the core)
        and ``fwhm`` [arcsec], ``compactness`` (light within 0.45 arcsec over that within 1.2
        arcsec) and its error, ``misfit``, ``core_weight``, ``snr``, ``neighbours`` (their number),
        ``y``, ``x`` (pixels of the stamp); ``image`` (star, band, ky, kx), cleaned, centred, and
        scaled to unit light within 1.2 arcsec. `star_table` makes a table of it.

    Raises
    ------
    PSFError
        If there is no star, or their bands or scales differ.
    """
    names, bands, scale = _checked(stars)
    side = size or _odd(SIZE / scale)
    places = {(n, b): _Stamp(stars[n], b, scale) for n in names for b in bands}
    _clean(places, names, bands)
    for stamp in places.values():
        stamp.measure()
    columns = {
        key: np.array([[getattr(places[n, b], key) for b in bands] for n in names])
        for key in _COLUMNS
    }
    verdict, reason = _judged(columns, names, bands)
    offsets = (np.arange(side) - side // 2) * scale
    images = np.stack([[places[n, b].centred(side) for b in bands] for n in names])
    dims = ("star", "band")
    return xr.Dataset(
        {
            "verdict": (dims, verdict),
            "reason": (dims, reason),
            **{key: (dims, values, _COLUMNS[key]) for key, values in columns.items()},
            "image": ((*dims, "ky", "kx"), images.astype(np.float32)),
        },
        {
            "star": np.array(names, object),
            "band": np.array(bands, object),
            "ky": ("ky", offsets, {"units": "arcsec"}),
            "kx": ("kx", offsets, {"units": "arcsec"}),
        },
        {"scale": scale},
    )


def star_table(stars: xr.Dataset) -> QTable:
    """Return what `examine_stars` found as a table, one row a star and band.

    Parameters
    ----------
    stars : Dataset

    Returns
    -------
    QTable
        star, band, verdict, reason, and the measurements.
    """
    from astropy.table import QTable
    from astropy.units import Unit

    rows = [(star, band) for star in stars.star.values for band in stars.band.values]
    table = QTable(
        {"star": [str(star) for star, _ in rows], "band": [str(band) for _, band in rows]}
    )
    for key in ("verdict", "reason", *_COLUMNS):
        table[key] = (
            stars[key].values.ravel().astype(str if key in ("verdict", "reason") else float)
        )
        if unit := stars[key].attrs.get("units"):
            table[key] = table[key] * Unit(unit)
    return table


_COLUMNS = {
    "core_width": {"units": "arcsec"},
    "fwhm": {"units": "arcsec"},
    "compactness": {},
    "compactness_error": {},
    "misfit": {},
    "core_weight": {},
    "snr": {},
    "neighbours": {},
    "y": {"units": "pixel"},
    "x": {"units": "pixel"},
}


def fit_width(
    star: Any, mask: Any = None, *, method: Literal["original", "core", "profile"] = "original"
) -> float:
    """Return the width of a star, sigma in pixels (FWHM = 2.355 sigma).

    Parameters
    ----------
    star : array, (ny, nx)
    mask : array, (ny, nx), optional
        Pixels that are fitted (not 0); all when not given.
    method : {"original", "core", "profile"}
        ``"original"``: least squares of a circular Gaussian plus a constant, sampled at pixel
        centres, as in HST_data_processing (2022). Its result depends on the mask, as a Gaussian is
        no PSF. ``"core"``: a Gaussian integrated over the pixels, fitted within 1.2 FWHM.
        ``"profile"``: the FWHM of the azimuthal mean.

    Returns
    -------
    float

    Raises
    ------
    PSFError
        If there is no such method, or no star in the mask.
    """
    image = np.asarray(star, dtype=np.float64)
    use = np.ones(image.shape, bool) if mask is None else np.asarray(mask) > 0
    if method not in ("original", "core", "profile"):
        raise PSFError(
            "HC-P06", f"there is no method {method!r}", "choose 'original', 'core' or 'profile'"
        )
    if not np.isfinite(image[use]).all() or not use.any() or not image[use].max() > 0:
        raise PSFError(
            "HC-P08", "there is no star in the mask", "check that image and mask show one star"
        )
    peak = np.unravel_index(np.argmax(np.where(use, image, -np.inf)), image.shape)
    if method == "original":
        return _fitted_gaussian(image, use, (float(peak[0]), float(peak[1])), _sampled)[3]
    centre = _core_centre(np.where(use, image, 0), 2.0)
    shifted = _shifted(np.where(use, image, 0), centre, _odd(min(image.shape)))
    if method == "profile":
        return fwhm(shifted) / (2 * math.sqrt(2 * math.log(2)))
    return _core_fit(np.where(use, image, 0), _CORE * fwhm(shifted), centre)[3]


def star_stamps(
    cube: xr.Dataset, positions: Any, *, size: float = SIZE + 0.3
) -> dict[str, xr.Dataset]:
    """Cut stars out of a cube.

    Parameters
    ----------
    cube : Dataset
    positions : array, (n, 2), or SkyCoord
        (y, x) in pixels of the cube (0-based, of its own rows and columns), or places on the sky.
    size : float
        Side of the stamps, arcsec.

    Returns
    -------
    dict of name to Dataset
        Names are "1", "2", ...; stars nearer than half a stamp to the frame are left out.
    """
    grid = Grid.of(cube)
    if hasattr(positions, "ra"):
        x, y = grid.wcs.world_to_pixel(positions)
        positions = np.column_stack([np.atleast_1d(y), np.atleast_1d(x)])
    half = _odd(size / grid.scale) // 2
    stamps = {}
    for number, (y, x) in enumerate(np.atleast_2d(positions), 1):
        row, column = round(float(y)), round(float(x))
        inside = half <= row < grid.shape[0] - half and half <= column < grid.shape[1] - half
        if inside:
            cut = {
                "y": slice(row - half, row + half + 1),
                "x": slice(column - half, column + half + 1),
            }
            stamps[str(number)] = cube.isel(cut)
    return stamps


def find_stars(
    cube: xr.Dataset, *, band: str = "f160w", brightest: int = 20, isolation: float = 1.0
) -> Image64:
    """Find what looks like a star in one band of a cube; `examine_stars` tells in all bands whether it is one.

    Local maxima (photutils' DAOFIND, Stetson 1987, PASP 99, 191) whose light is as compact as that
    of the most compact bright sources, to 15 %, and without a brighter neighbour.

    Parameters
    ----------
    cube : Dataset
    band : str
    brightest : int
        So many at most.
    isolation : float
        Arcsec: nothing as bright may lie nearer.

    Returns
    -------
    array, (n, 2)
        (y, x) in pixels, the brightest first.

    Raises
    ------
    PSFError
        If there is none.
    """
    from photutils.detection import DAOStarFinder
    from photutils.utils.exceptions import NoDetectionsWarning

    scale = Grid.of(cube).scale
    plane = cube.sel(band=band)
    image = np.nan_to_num(plane.sci.values.astype(float))
    weight = plane.wht.values
    noise = 1 / math.sqrt(float(np.median(weight[weight > 0]))) if (weight > 0).any() else 1.0
    width = float(plane.psf_fwhm) if np.isfinite(plane.psf_fwhm) else 0.18
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NoDetectionsWarning)  # an error of ours follows
        found = DAOStarFinder(50 * noise, width / scale, min_separation=isolation / scale / 2)(
            image
        )
    if found is None:
        raise PSFError(
            "HC-P10", "nothing bright enough was found", "give the places of stars", band=band
        )
    names = (
        ("y_centroid", "x_centroid")
        if "y_centroid" in found.colnames
        else ("ycentroid", "xcentroid")
    )
    places = np.column_stack([np.asarray(found[name]) for name in names])
    near, far = (
        np.array([_light(image, place, radius / scale) for place in places])
        for radius in (0.15, APERTURE / 2)
    )
    ratio = np.divide(near, far, out=np.zeros_like(near), where=far > 0)
    compact = (ratio > 0.85 * np.quantile(ratio, 0.95)) & (far > 0)
    order = np.argsort(-far)
    kept: list[int] = []
    for i in order:
        apart = np.hypot(*(places - places[i]).T) * scale
        brighter = (apart < isolation) & (far >= 0.2 * far[i]) & (np.arange(len(far)) != i)
        if compact[i] and not brighter.any():
            kept.append(int(i))
    if not kept:
        raise PSFError(
            "HC-P10", "no compact source without a neighbour", "give the places of stars", band=band
        )
    return np.asarray(places[kept[:brightest]])


def _light(image: Image64, place: Image64, radius: float) -> float:
    """Return the sum within a circle around (y, x)."""
    half = math.ceil(radius) + 1
    row, column = round(float(place[0])), round(float(place[1]))
    top, left = max(row - half, 0), max(column - half, 0)
    cut = image[top : row + half + 1, left : column + half + 1]
    return (
        float(encircled_energy(cut, [radius], (place[0] - top, place[1] - left))[0])
        if cut.size
        else 0.0
    )


def _checked(stars: Mapping[str, xr.Dataset]) -> tuple[list[str], list[str], float]:
    if not stars:
        raise PSFError(
            "HC-P10", "there are no stars", "give stamps of stars: examine_stars({'1': cube, ...})"
        )
    names = list(stars)
    bands, scale = stars[names[0]].band.values.tolist(), Grid.of(stars[names[0]]).scale
    for name in names:
        validate(stars[name], data=False)
        if (has := stars[name].band.values.tolist()) != bands:
            raise PSFError(
                "HC-P11",
                f"star {name} has bands {has}, star {names[0]} {bands}",
                "open them with the same bands",
            )
        if abs(Grid.of(stars[name]).scale / scale - 1) > 1e-3:  # noqa: PLR2004
            raise PSFError(
                "HC-P11", f"star {name} is on pixels of another size", "measure one scale at a time"
            )
    return names, bands, scale


# -- one star in one band


class _Stamp:
    """A star in one band while it is looked at; lengths in pixels unless they end in _as (arcsec)."""

    def __init__(self, cube: xr.Dataset, band: str, scale: float) -> None:
        plane = cube.sel(band=band)
        self.weight = plane.wht.values.astype(np.float64)
        self.raw = np.where(self.weight > 0, plane.sci.values.astype(np.float64), 0.0)
        self.scale = scale
        self.noise = (
            1 / math.sqrt(float(np.median(self.weight[self.weight > 0])))
            if (self.weight > 0).any()
            else math.inf
        )
        centre = _core_centre(self.raw, 0.1 / scale)
        self.sharpness = fwhm(_shifted(self.raw, centre, _odd(1.0 / scale)))
        self.neighbours = 0
        self.image = self.raw
        self.fit = (*centre, 0.0, math.nan, 0.0)
        self.misfit = math.inf

    def fit_core(self, radius: float) -> None:
        self.core = radius
        self.fit = _core_fit(self.raw, radius, (self.fit[0], self.fit[1]))
        model = (
            self.fit[2] * _integrated(np.indices(self.raw.shape), *self.fit[:2], self.fit[3])
            + self.fit[4]
        )
        inside = self.distance <= radius
        unexplained = max(float(np.mean((self.raw - model)[inside] ** 2)) - self.noise**2, 0.0)
        self.misfit = math.sqrt(unexplained) / float(self.raw[inside].max(initial=1e-30))

    @property
    def y(self) -> float:
        return self.fit[0]

    @property
    def x(self) -> float:
        return self.fit[1]

    @property
    def distance(self) -> Image64:
        return radius_map((self.raw.shape[0], self.raw.shape[1]), self.fit[:2])

    @property
    def outermost(self) -> NDArray[np.bool_]:
        """The ring that tells the background."""
        return np.asarray((self.distance > 0.85 * min(self.raw.shape) / 2) & (self.weight > 0))

    def opposite(self) -> Image64:
        """Return the stamp turned by 180 degrees about the star; NaN where that lies beyond the frame."""
        from scipy import ndimage

        rows, columns = np.indices(self.raw.shape)
        places = [2 * self.y - rows, 2 * self.x - columns]
        return np.asarray(
            ndimage.map_coordinates(self.raw, places, order=3, mode="constant", cval=math.nan)
        )

    def excess(self) -> NDArray[np.bool_]:
        """Return pixels that are twice as bright as those across the star."""
        from scipy import ndimage

        smooth = ndimage.gaussian_filter(self.raw, 1.0)
        across = np.nan_to_num(self.opposite(), nan=math.inf)
        across = np.where(np.isfinite(across), across, smooth.max())
        across = ndimage.gaussian_filter(across, 1.0)
        odd = (
            (smooth - across > 3 * self.noise)
            & (smooth > 2 * across)
            & (self.distance > 2 * self.core)
        )
        return np.asarray(ndimage.binary_opening(odd, np.ones((3, 3))))

    def measure(self) -> None:
        """Measure what the verdict needs, on the cleaned stamp."""
        image, centre = self.image, (self.y, self.x)
        self.aperture = min(APERTURE / self.scale, min(*self.raw.shape) / 2 - 1)
        self.total, inner, near = encircled_energy(
            image, [self.aperture, _COMPACT / self.scale, 0.3 / self.scale], centre
        )
        self.compactness = inner / self.total if self.total > 0 else 0.0
        area = math.pi * self.aperture**2
        level = 1.25 / math.sqrt(max(int(self.outermost.sum()), 1))  # of the background, a median
        self.compactness_error = (
            self.noise * math.hypot(math.sqrt(area), area * level) / max(self.total, 1e-30)
        )
        self.snr = near / (self.noise * math.sqrt(math.pi) * 0.3 / self.scale)
        self.fwhm = self.sharpness * self.scale
        self.core_width = self.fit[3] * self.scale
        inside = self.distance <= self.core
        positive = self.weight[self.weight > 0]
        self.core_weight = (
            float(self.weight[inside].min() / np.median(positive)) if positive.size else 0.0
        )

    def centred(self, side: int) -> Image64:
        return _shifted(self.image, (self.y, self.x), side) / (
            self.total if self.total > 0 else 1.0
        )


def _clean(places: dict[tuple[str, str], _Stamp], names: list[str], bands: list[str]) -> None:
    """Fit the cores, take neighbours out, and subtract the background of every stamp."""
    for band in bands:
        sharpest = min(places[n, band].sharpness for n in names)
        for name in names:
            places[name, band].fit_core(_CORE * sharpest)
    masks = {name: _neighbours([places[name, b] for b in bands]) for name in names}
    for key, stamp in places.items():
        spots, mask = masks[key[0]]
        stamp.neighbours = len(spots)
        stamp.image = _without_background(_mended(stamp, stamp.raw, mask), stamp, mask)
    for band in bands:
        template = _template([places[n, band] for n in names if not masks[n][0]])
        for name in names:
            spots, mask = masks[name]
            if template is not None and spots:
                stamp = places[name, band]
                rest, left = _without_companions(stamp, template, spots, mask)
                stamp.image = _without_background(_mended(stamp, rest, left), stamp, mask)


def _neighbours(stamps: list[_Stamp]) -> tuple[list[tuple[float, float]], NDArray[np.bool_]]:
    """Return places (y, x), relative to the star, and pixels of neighbours: what exceeds its opposite in two bands.

    Bands of one star are offset by their own centres, as stamps of different cameras may be.
    """
    from scipy import ndimage

    needed = 1 if len(stamps) == 1 else 2
    shape = stamps[0].raw.shape
    votes = np.zeros(shape)
    for stamp in stamps:
        shift = (stamps[0].y - stamp.y, stamps[0].x - stamp.x)
        votes += ndimage.shift(
            ndimage.binary_dilation(stamp.excess()).astype(float), shift, order=0
        )
    odd = votes >= needed
    labels, number = ndimage.label(odd, np.ones((3, 3)))
    light = sum(np.clip(stamp.raw, 0, None) / stamp.noise for stamp in stamps)
    spots = [
        (float(y) - stamps[0].y, float(x) - stamps[0].x)
        for y, x in ndimage.maximum_position(light, labels, range(1, number + 1))
    ]
    return spots, np.asarray(ndimage.binary_dilation(odd, iterations=2))


def _mended(stamp: _Stamp, image: Image64, mask: NDArray[np.bool_]) -> Image64:
    """Replace neighbours by what lies opposite them, if that is no neighbour itself."""
    if not mask.any():
        return image
    across = stamp.opposite()
    return np.where(
        mask, np.fmin(across, image), image
    )  # the fainter of the two: the other may be a neighbour too


def _without_background(image: Image64, stamp: _Stamp, mask: NDArray[np.bool_]) -> Image64:
    """Subtract the median of the outermost ring."""
    far = stamp.outermost & ~mask
    return image - (float(np.median(image[far])) if far.any() else 0.0)


def _template(stamps: list[_Stamp]) -> Image64 | None:
    """Return a first PSF, of stars without neighbours: the median of those with narrow cores."""
    if not stamps:
        return None
    side = _odd(min(*stamps[0].raw.shape) - 2)
    narrowest = min(stamp.fit[3] for stamp in stamps)
    good = [stamp for stamp in stamps if stamp.fit[3] <= FLATTENED * narrowest]
    images = [_shifted(stamp.image, (stamp.y, stamp.x), side) for stamp in good]
    return np.asarray(np.median([image / image.sum() for image in images], axis=0))


def _without_companions(
    stamp: _Stamp, template: Image64, spots: list[tuple[float, float]], mask: NDArray[np.bool_]
) -> tuple[Image64, NDArray[np.bool_]]:
    """Subtract neighbours that are point sources; return the rest, and the pixels of those that are not."""
    from scipy import ndimage, optimize

    rest, left = stamp.raw.copy(), mask.copy()
    flux = stamp.image.sum()
    labels, _ = ndimage.label(mask, np.ones((3, 3)))
    rows, columns = np.indices(stamp.raw.shape)
    own = flux * _placed(template, (stamp.y, stamp.x), stamp.raw.shape)
    for spot in spots:
        start = np.array([stamp.y + spot[0], stamp.x + spot[1]])
        near = np.hypot(rows - start[0], columns - start[1]) <= 2 * stamp.core

        def misfit(p: Any, near: Any = near) -> Any:
            model = p[3] * own + p[2] * flux * _placed(template, (p[0], p[1]), stamp.raw.shape)
            return ((stamp.raw - model)[near] / flux).ravel()

        free = [start - 2 * stamp.core / 2, start + 2 * stamp.core / 2]
        fit = optimize.least_squares(
            misfit,
            [*start, 0.03, 1.0],
            bounds=([*free[0], 0, 0.5], [*free[1], 1, 1.5]),
            x_scale=[1, 1, 0.03, 1],
        )
        companion = fit.x[2] * flux * _placed(template, (fit.x[0], fit.x[1]), stamp.raw.shape)
        good = np.abs(misfit(fit.x)).sum() * flux < 0.25 * companion[near].sum()
        if good:
            rest -= companion
            if _inside(start, labels.shape):
                left &= labels != labels[round(start[0]), round(start[1])]
    return rest, left


def _inside(place: Any, shape: tuple[int, ...]) -> bool:
    return bool(0 <= round(place[0]) < shape[0] and 0 <= round(place[1]) < shape[1])


# -- verdicts, and the mean


def _judged(columns: dict[str, Any], names: list[str], bands: list[str]) -> tuple[Any, Any]:
    """Return verdicts and reasons, (star, band)."""
    verdict = np.full((len(names), len(bands)), "used", object)
    reason = np.full((len(names), len(bands)), "", object)
    compactness, error = columns["compactness"], _CLIP * columns["compactness_error"]
    most = (compactness - error).max(0)
    ratio = compactness / most
    for i in range(len(names)):
        if (wide := compactness[i] + error[i] < EXTENDED * most).any():
            worst = int(np.argmin(np.where(wide, ratio[i], np.inf)))
            verdict[i] = "rejected"
            reason[i] = (
                f"extended: in {', '.join(b for b, w in zip(bands, wide, strict=True) if w)}; in {bands[worst]} it has "
                f"{1 - ratio[i, worst]:.0%} less light within {_COMPACT} arcsec than the most compact star"
            )
    stars = verdict[:, 0] != "rejected"
    for j in range(len(bands)):
        sound = (
            stars & (columns["core_weight"][:, j] >= LOW_WEIGHT) & (columns["snr"][:, j] >= FAINT)
        )
        best = max(
            np.nanmin(np.where(sound, columns["misfit"][:, j], np.nan), initial=math.inf), _PERFECT
        )
        sound &= columns["misfit"][:, j] <= DAMAGED * best
        narrowest = np.nanmin(
            np.where(sound, columns["core_width"][:, j], np.nan), initial=math.inf
        )
        for i in map(int, np.flatnonzero(stars)):
            verdict[i, j], reason[i, j] = _verdict(
                columns["core_width"][i, j] / narrowest,
                columns["misfit"][i, j] / best,
                columns["core_weight"][i, j],
                columns["snr"][i, j],
                int(columns["neighbours"][i, j]),
            )
    return verdict, reason


def _verdict(
    width: float, misfit: float, weight: float, snr: float, neighbours: int
) -> tuple[str, str]:
    if not snr >= FAINT:
        return "rejected", f"too faint: signal to noise {snr:.0f} within 0.3 arcsec"
    if weight < LOW_WEIGHT:
        return "wings only", f"damaged core: a pixel has {weight:.0%} of the usual weight"
    if not width <= FLATTENED:
        return (
            "wings only",
            f"flattened core, as saturation makes it: {width - 1:.0%} wider than the narrowest star's",
        )
    if misfit > DAMAGED:
        return "wings only", f"damaged core: its misfit is {misfit:.1f} times that of the best star"
    mended = f"{neighbours} neighbour{'s' * (neighbours > 1)} taken out" if neighbours else ""
    if snr < NO_WINGS:
        return "core only", f"signal to noise {snr:.0f} within 0.3 arcsec" + (
            f"; {mended}" if mended else ""
        )
    return "used", mended


def _mean_star(
    one: xr.Dataset, core: NDArray[np.bool_], wings: NDArray[np.bool_], scale: float
) -> Image64:
    """Return the mean of the stars in one band: weighted, clipped, core and wings from those that show them."""
    images = one.image.values.astype(np.float64)
    distance = radius_map(images.shape[1:])
    inner = (
        2 * _CORE * float(np.nanmin(one.fwhm.values[core])) / scale
    )  # beyond, a saturated star is sound
    reference = images[core].mean(0)
    ring = (distance > inner) & (distance <= APERTURE / scale)
    for i in np.flatnonzero(wings & ~core):
        images[i] *= reference[ring].sum() / images[i][ring].sum()
    sound = np.where(distance <= inner, core[:, None, None], wings[:, None, None])
    noise = np.maximum(1 / one.snr.values, 1e-6)[:, None, None] / (math.sqrt(math.pi) * 0.3 / scale)
    spread = np.hypot(noise, _SCATTER * np.abs(reference))
    sound &= np.any(sound, 0) & np.isfinite(images)
    for _ in range(3):
        weight = sound / spread**2
        mean = (weight * images).sum(0) / np.maximum(weight.sum(0), 1e-300)
        clipped = sound & (np.abs(images - mean) <= _CLIP * spread)
        sound = np.where(clipped.any(0), clipped, sound)
    mean = np.where(sound.any(0), mean, 0.0)
    return np.asarray(mean / mean.sum())


# -- fits


def _core_centre(image: Image64, width: float) -> tuple[float, float]:
    """Return a first centre: the peak nearest to the middle of what is smoothed by `width`."""
    from scipy import ndimage

    smooth = ndimage.gaussian_filter(image, max(width, 1.0))
    rows, columns = np.indices(image.shape)
    away = np.hypot(rows - (image.shape[0] - 1) / 2, columns - (image.shape[1] - 1) / 2)
    peak = np.unravel_index(
        np.argmax(np.where(away <= min(image.shape) / 4, smooth, -np.inf)), image.shape
    )
    return float(peak[0]), float(peak[1])


def _core_fit(
    image: Image64, radius: float, start: tuple[float, float]
) -> tuple[float, float, float, float, float]:
    """Fit (y, x, flux, sigma, constant) of a Gaussian integrated over pixels, within `radius` of its centre."""
    centre = start
    for _ in range(3):
        use = radius_map((image.shape[0], image.shape[1]), centre) <= radius
        fit = _fitted_gaussian(image, use, centre, _integrated)
        centre = (fit[0], fit[1])
    return fit


def _fitted_gaussian(
    image: Image64, use: NDArray[np.bool_], start: tuple[float, float], shape: Any
) -> tuple[float, float, float, float, float]:
    from scipy import optimize

    places, values = np.nonzero(use), image[use]
    peak = float(values.max())

    def misfit(p: Any) -> Any:
        return p[2] * shape(places, p[0], p[1], p[3]) + p[4] - values / peak

    bounds = ([start[0] - 3, start[1] - 3, 0, 0.2, -1], [start[0] + 3, start[1] + 3, 1e3, 30, 1])
    fit = optimize.least_squares(
        misfit, [*start, 1.0, 1.2, 0.0], bounds=bounds, xtol=1e-12, ftol=1e-12, gtol=1e-12
    )
    y, x, amplitude, sigma, constant = map(float, fit.x)
    return y, x, amplitude * peak, sigma, constant * peak


def _sampled(places: Any, y: float, x: float, sigma: float) -> Any:
    return np.exp(-0.5 * ((places[0] - y) ** 2 + (places[1] - x) ** 2) / sigma**2)


def _integrated(places: Any, y: float, x: float, sigma: float) -> Any:
    from scipy.special import erf

    def share(offset: Any) -> Any:
        return 0.5 * (
            erf((offset + 0.5) / (math.sqrt(2) * sigma))
            - erf((offset - 0.5) / (math.sqrt(2) * sigma))
        )

    return share(places[0] - y) * share(places[1] - x)


def _shifted(image: Image64, centre: tuple[float, float], side: int) -> Image64:
    """Return (side, side) pixels with `centre` in the middle, by a quintic spline; zero beyond the frame."""
    from scipy import ndimage

    offset = np.arange(side) - side // 2
    places = np.meshgrid(centre[0] + offset, centre[1] + offset, indexing="ij")
    return np.asarray(ndimage.map_coordinates(image, places, order=5, mode="constant"))


def _placed(psf: Image64, centre: tuple[float, float], shape: tuple[int, ...]) -> Image64:
    """Return a PSF at `centre` of an empty frame."""
    from scipy import ndimage

    rows, columns = np.indices(shape)
    half = psf.shape[0] // 2
    places = [rows - centre[0] + half, columns - centre[1] + half]
    return np.asarray(ndimage.map_coordinates(psf, places, order=3, mode="constant"))


def _odd(n: float) -> int:
    return 2 * round((n - 1) / 2) + 1
