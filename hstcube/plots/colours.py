"""Pictures of colours: three bands as one image, and the ratio of two bands."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from hstcube.errors import BandError, RecipeError
from hstcube.inputs.choices import flag
from hstcube.inputs.quantities import number_in, numbers_in
from hstcube.phot.groups import of_bands
from hstcube.phot.units import to_flux
from hstcube.plots._drawing import (
    RED,
    field_name,
    image_panel,
    named,
    new_figure,
    on_axes,
    room_of,
    sides,
)  # fmt: skip
from hstcube.plots._sky_axes import (
    Place,
    colour_bar,
    compass,
    finish,
    outline,
    psf_circle,
    scale_bar,
)
from hstcube.plots.cube import plane, require_alike, sky_noise
from hstcube.views.colours import colours_of, tell_if_unmatched
from hstcube.views.overview import averages_of, overviews

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

__all__ = ["before_after", "colour_map", "rgb"]

_ONE = (4.6, 4.2)  # inches: a figure of one square image
_CHANNELS = 3  # red, green, blue
_FAINT, _TOP, _BRIGHT = 3.0, 99.7, 0.95  # noises, percentile, share of white: the stretch
_LUPTON = 0.1  # the share of white that `stretch` itself is drawn at, in Lupton's formula
_NO_DATA = 110  # grey level
_RANGE = (2, 98)  # percentiles of a colour map


def rgb(
    cube: xr.Dataset, bands: Sequence[str] | None = None, *, mask: bool = False, axes: Any = None
) -> Figure:
    """Draw three bands as one colour image.

    Parameters
    ----------
    cube : Dataset
        Matched, else the colours near edges are those of the PSFs: a warning says so.
    bands : sequence of three str, or two, optional
        The reddest is drawn red and the bluest blue, in whatever order they are given, and of two
        their mean green; when not given the first, the last, and the one between whose wavelength
        is nearest to the middle.
    mask : bool
        Draw the border of the mask.
    axes : matplotlib axes, optional
        A new figure when not given.

    Returns
    -------
    Figure
        Every band is divided by its flux inside the mask, so that the object as a whole is white,
        then drawn with the stretch of Lupton et al. (2004, PASP 116, 133), which keeps colours in
        bright parts: linear in the noise of the sky, nearly white at the 99.7th percentile inside
        the mask. Pixels without data are grey. A band with less light than noise in a pixel is
        divided by that noise.

    Raises
    ------
    BandError
        If they are not three bands, or two.
    """
    three = _three(cube, bands)
    tell_if_unmatched(three)
    (cube,) = overviews(three, of=[cube])
    place = Place.of(cube)
    figure, (axis,) = on_axes(axes, 1, lambda: image_panel(_ONE, place.tall))
    _draw_rgb(axis, cube, place, mask=mask)
    channels = "red green blue" if cube.sizes["band"] == _CHANNELS else "red blue"
    named(axis, cube, f"{' '.join(reversed(cube.band.values.tolist()))} as {channels}")
    return figure


def colour_map(
    cube: xr.Dataset,
    blue: str,
    red: str,
    *,
    snr: float = 3.0,
    limits: tuple[float, float] | None = None,
    axes: Any = None,
) -> Figure:
    """Draw the colour of every pixel, blue minus red in AB magnitudes.

    Parameters
    ----------
    cube : Dataset
        With zero points; matched, else the colours near edges are those of the PSFs: a warning
        says so.
    blue, red : str
        The two bands: the colour is the magnitude in the first minus that in the second.
    snr : float
        Pixels with less signal to noise in either band are grey, as are those outside the mask.
    limits : (float, float), optional
        Colours at the ends of the bar; the 2nd and 98th percentile when not given.
    axes : matplotlib axes, optional
        A new figure when not given.

    Returns
    -------
    Figure
        Red is red: a larger magnitude in the first band.

    Raises
    ------
    BandError
        If the cube has no such band, or no zero point of one.
    """
    (pair,) = overviews(of_bands(cube, [blue, red]), of=[cube])
    pair = to_flux(pair, "uJy")
    tell_if_unmatched(pair)
    place = Place.of(pair)
    figure, (axis,) = on_axes(axes, 1, lambda: image_panel(_ONE, place.tall))
    shown = _colours(pair, _bright(pair, snr))
    names = f"{pair.band.values[0]} - {pair.band.values[1]}"
    span = _limits(shown) if limits is None else _given_limits(limits)
    drawn = _draw_colours(axis, pair, shown, span, place)
    colour_bar(drawn, axis, _unit(names, place))
    named(axis, pair, names)
    return figure


def before_after(
    before: xr.Dataset,
    cube: xr.Dataset,
    bands: Sequence[str] | None = None,
    *,
    snr: float = 3.0,
    axes: Any = None,
) -> Figure:
    """Draw what matching does to colours: three bands as one image, and the ratio of two.

    Parameters
    ----------
    before, cube : Dataset
        The same bands and pixels, before and after, both with the sky subtracted.
    bands : sequence of three str, or two, optional
        As for `rgb`; the colour is the bluest minus the reddest.
    snr : float
        As for `colour_map`.
    axes : array of matplotlib axes, optional
        Four: colour images before and after, colour maps before and after.

    Returns
    -------
    Figure
        Both images have the scales of `cube`; both maps its limits, and its pixels.
    """
    require_alike(before, cube)
    after = _three(cube, bands)
    old = _three(before, after.band.values.tolist())
    after, old = overviews(after, old, of=[cube, before])
    old = old.assign(mask=after.mask)
    place, scales = Place.of(after), _scales(after)
    figure, four = on_axes(axes, 4, lambda: _two_by_two(place))
    names = f"{after.band.values[0]} - {after.band.values[-1]}"
    ends = [_pair(one, *after.band.values[[0, -1]].tolist()) for one in (old, after)]
    bright = _bright(ends[1], snr)
    shown = [_colours(one, bright) for one in ends]
    limits = _limits(shown[1])
    for i, (one, when) in enumerate(((old, "before"), (after, "after"))):
        _draw_rgb(four[i], one, place, mask=i == 1, scales=scales)
        four[i].set_title(f"{' '.join(reversed(one.band.values.tolist()))}, {when}", fontsize=8)
        drawn = _draw_colours(four[2 + i], ends[i], shown[i], limits, place)
        four[2 + i].set_title(f"{names}, {when}", fontsize=8)
    colour_bar(drawn, four[3], _unit(names, place))
    if axes is None:
        said = (field_name(after), averages_of(after))
        figure.suptitle("   ".join(filter(None, said)), fontsize=9)
        for axis in four:
            axis.label_outer()
    return figure


def _unit(names: str, place: Place) -> str:
    """Return what a bar of colours is called: the title has the names, a flat image no room."""
    return "AB mag" if place.flat else f"{names}  [AB mag]"


def _three(cube: xr.Dataset, bands: Sequence[str] | None) -> xr.Dataset:
    """Return the three bands, or two, the bluest first."""
    cube = of_bands(cube, bands)
    cube = cube.isel(band=np.argsort(cube.pivot.values, kind="stable"))
    number = cube.sizes["band"]
    if number > _CHANNELS and bands is None:
        middle = np.log(cube.pivot.values) - np.log(cube.pivot.values[[0, -1]]).mean()
        between = 1 + int(np.argmin(np.abs(middle[1:-1])))
        return cube.isel(band=[0, between, number - 1])
    if number not in (_CHANNELS - 1, _CHANNELS):
        reason = f"a colour image is made of three bands, or two, these are {number}"
        raise BandError("HC-B42", reason, "name three, or use [[the plot|hstcube.plot.quicklook]]")
    return cube


def _pair(cube: xr.Dataset, blue: str, red: str) -> xr.Dataset:
    """Return two bands in a flux density, in the order that they are named."""
    return to_flux(of_bands(cube, [blue, red]), "uJy")


def _scales(cube: xr.Dataset) -> list[float]:
    """Return what each band is divided by: its mean signal in the mask, at least its noise."""
    return [_scale(plane(cube, i)) for i in range(cube.sizes["band"])]


def _scale(one: xr.Dataset) -> float:
    inside = one.sci.values[one.mask.values & (one.wht.values > 0)]
    return max(float(inside.mean()) if inside.size else 0.0, sky_noise(one))


def _draw_rgb(
    axis: Any, cube: xr.Dataset, place: Place, *, mask: bool, scales: list[float] | None = None
) -> None:
    scales = scales or _scales(cube)
    image = lupton([plane(cube, i) for i in range(cube.sizes["band"])], scales)
    axis.imshow(image, origin="lower", extent=place.extent, interpolation="nearest")
    _furnish(axis, cube, place, ink="white")
    if flag("mask", mask):
        outline(axis, place, cube.mask.values.any(axis=0), colour=RED)


def lupton(planes: list[xr.Dataset], scales: list[float]) -> NDArray[np.uint8]:
    """Return an image (y, x, 3) of three bands, the bluest first; scales are drawn white.

    Of two bands the mean is drawn green.
    """
    from astropy.visualization import make_lupton_rgb

    images = [one.sci.values / scale for one, scale in zip(planes, scales, strict=True)]
    noise = max(sky_noise(one) / scale for one, scale in zip(planes, scales, strict=True))
    mean = np.mean(images, axis=0)
    seen = np.isfinite(mean)
    inside = mean[seen & np.any([one.mask.values for one in planes], axis=0)]
    inside = inside if inside.size else mean[seen]
    top = max(float(np.percentile(inside, _TOP)) if inside.size else 0.0, 2 * _FAINT * noise)
    # asinh(q x / stretch) / asinh(0.1 q) * 0.1: linear up to 3 noises, and nearly white at the top
    softening = 1 / (_FAINT * noise)
    q = math.sinh(_LUPTON * math.asinh(top * softening) / _BRIGHT) / _LUPTON
    blue, *between, red = (np.where(seen, image, 0.0) for image in images)
    green = between[0] if between else (blue + red) / 2
    with np.errstate(invalid="ignore"):  # where the three sum to zero it takes 0
        image = make_lupton_rgb(red, green, blue, minimum=0, stretch=q / softening, Q=q)
    return np.where(seen[..., None], image, np.uint8(_NO_DATA))


def _bright(pair: xr.Dataset, snr: float) -> NDArray[np.bool_]:
    """Say which pixels are in the masks and have so much signal to noise in both bands."""
    snr = number_in("", snr, "snr")
    both = [plane(pair, i) for i in range(2)]
    found = [
        one.mask.values & (np.nan_to_num(one.sci.values) * np.sqrt(one.wht.values) >= snr)
        for one in both
    ]
    return np.asarray(found[0] & found[1])


def _colours(pair: xr.Dataset, bright: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the colour of these pixels, NaN elsewhere and where a flux is not positive."""
    return np.where(bright, colours_of(pair).colour.values, np.nan)


def _given_limits(limits: Any) -> tuple[float, float]:
    low_and_high = numbers_in("mag", limits, "limits")
    if low_and_high.shape != (2,):
        reason = f"limits holds {low_and_high.size} numbers"
        raise RecipeError("HC-B42", reason, "give the lowest and the highest colour [mag]")
    return float(low_and_high[0]), float(low_and_high[1])


def _limits(shown: NDArray[Any]) -> tuple[float, float]:
    """Return the ends of a bar of colours, at least 0.2 mag apart."""
    seen = shown[np.isfinite(shown)]
    if not seen.size:
        return -0.5, 0.5
    low, high = np.percentile(seen, _RANGE)
    short = max(0.2 - (high - low), 0) / 2
    return float(low - short), float(high + short)


def _draw_colours(
    axis: Any, pair: xr.Dataset, shown: Any, limits: tuple[float, float], place: Place
) -> Any:
    from matplotlib import colormaps

    drawn = axis.imshow(
        shown, origin="lower", extent=place.extent, interpolation="nearest", vmin=limits[0],
        vmax=limits[1], cmap=colormaps["RdYlBu_r"].with_extremes(bad="0.85"),
    )  # fmt: skip
    _furnish(axis, pair, place)
    return drawn


def _furnish(axis: Any, cube: xr.Dataset, place: Place, *, ink: str = "black") -> None:
    """Draw ticks, scale bar, compass, and the widest of the PSFs."""
    finish(axis, place)
    scale_bar(axis, place, ink=ink)
    compass(axis, place, ink=ink)
    widths = cube.psf_fwhm.values
    psf_circle(axis, place, float(widths.max()), ink=ink)


def _two_by_two(place: Place) -> Any:
    wide, high = sides(3.3, place.tall)
    high += room_of(place.tall)
    figure = new_figure(2 * wide + 1.0, 2 * high + 0.4, "compressed")  # no gap before the bar
    return figure, figure.subplots(2, 2).ravel().tolist()
