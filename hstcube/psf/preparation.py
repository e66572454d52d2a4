"""PSF images made fit for use: cut, centred, resampled, checked, and given to a cube."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from hstcube.basics.memory import remembered
from hstcube.core.grids import Grid
from hstcube.core.offsets import (
    psf_array,
    psf_errors,
    with_errors,
    with_psf_coords,
    without_psf,
)
from hstcube.core.rules import taken
from hstcube.core.state import in_band_order, updated, warn
from hstcube.errors import PSFError
from hstcube.inputs.arrays import shown
from hstcube.inputs.quantities import number_in, whole_number
from hstcube.psf.energy import known_energy
from hstcube.psf.known import told_doubts
from hstcube.psf.profiles import as_image, centroid, fwhm

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Image64 = NDArray[np.float64]

__all__ = [
    "SAME_SCALE",
    "attached",
    "checked_psf",
    "on_one_frame",
    "prepare_psf",
    "scale_of",
    "told_widths",
    "with_psf",
]

SAME_SCALE = 1e-3  # relative
_WIDTHS_AGREE = 0.01  # relative

_BRIGHTEST = 1e30  # of any pixel, in any unit: beyond, it is damaged
_LARGEST = 20_000  # pixels a side
_LARGEST_PIXEL = 60  # arcsec: what says more is no size of a pixel
_PREPARE = "centre and resample it[[| with hstcube.prepare_psf(image, ...)]]"
_OFF_CENTRE = 0.25  # pixels
_CENTRAL = 0.5  # of the brightest pixel: what a PSF has at least at its centre
_ELSEWHERE = 0.8  # of the brightest pixel: what no PSF has twice as far out as its half light
_ABOVE_SIDES = 1.05  # times the median along the sides of the image
_NOTED = 0.01  # pixels that a PSF is moved by, and share of its light that is negative


def prepare_psf(
    image: Any,
    *,
    scale: Any,
    to_scale: Any = None,
    size: int | None = None,
    pixel: Any = 0.0,
    drop: Any = 0.0,
    angle: Any = 0.0,
    name: str = "psf",
) -> xr.DataArray:
    """Make a PSF that can be used of any image of one: cut, centre, resample, normalise.

    A model of what the optics do, in the frame of the detector, becomes the PSF of a drizzled
    mosaic when it is convolved with the detector's `pixel` and with the `drop` that drizzle makes
    of it (Fruchter & Hook 2002, PASP 114, 144, section 3), turned, and summed on the pixels of the
    mosaic.

    Parameters
    ----------
    image : array, (ny, nx)
        Odd or even, the PSF somewhere near the brightest pixel.
    scale : float or Quantity
        Size of a pixel [arcsec].
    to_scale : float or Quantity, optional
        Of the result; a PSF is summed, not sampled, on coarser pixels. The same when not given.
    size : int, optional
        Side of the result in its pixels, odd; as much as the image shows on all sides when not
        given.
    pixel, drop : float or Quantity
        Side of the detector's pixel, and of what drizzle leaves of it (pixfrac times the pixel)
        [arcsec], where the image does not hold them yet.
    angle : float or Quantity
        By how much the image is turned counter-clockwise [deg].
    name : str
        What cubes that are matched to it will say.

    Returns
    -------
    DataArray, (ky, kx)
        Unit sum, odd, centred to 0.01 pixels; offsets in arcsec; ``attrs["notes"]`` says what was
        done to the image.

    Raises
    ------
    PSFError
        If the image is not of two dimensions, holds NaN, or no light, or has offsets ``ky``,
        ``kx`` of another scale; or the result would be larger than any PSF is.
    RecipeError
        If a scale or the size cannot be.

    Examples
    --------
    >>> import numpy as np
    >>> import hstcube
    >>> y, x = np.mgrid[-40:41, -40:41] * 0.0075
    >>> optics = np.exp(-(x**2 + y**2) / 0.03**2)
    >>> hstcube.prepare_psf(optics, scale=0.0075, to_scale=0.03, pixel=0.03, drop=0.024).shape
    (19, 19)
    """
    given = _seen(image)
    scale = number_in("arcsec", scale, "scale", above=0)
    _require_scale(image, scale)
    to_scale = scale if to_scale is None else number_in("arcsec", to_scale, "to_scale", above=0)
    boxes = [number_in("arcsec", side, what, least=0, most=_LARGEST_PIXEL)
             for what, side in (("pixel", pixel), ("drop", drop))]  # fmt: skip
    angle = number_in("deg", angle, "angle")
    given = _through(given, [box / scale for box in boxes])
    ny, nx = given.shape
    y, x = _peak(given, max(2.0, 0.1 / scale))
    reach = min(y, x, ny - 1 - y, nx - 1 - x)
    largest = 2 * int((reach + 0.5) * scale / to_scale - 0.5) + 1
    side = max(largest if size is None else whole_number(size, "size", least=3), 3)
    if side * max(to_scale / scale, 1) > _LARGEST:
        reason = f"a PSF of {side} pixels of {to_scale:.4g} arcsec, from {scale:.4g}, is too large"
        raise PSFError("HC-P14", reason, "give scale and to_scale in arcsec, e.g. 0.06")
    values = _resampled(given, (y, x), side, scale, to_scale, math.radians(angle))
    off = float(np.hypot(y - (ny - 1) / 2, x - (nx - 1) / 2))
    negative = -values[values < 0].sum() / values.sum()
    notes = {
        f"seen by pixels of {boxes[0]:.4g} arcsec": boxes[0] > 0,
        f"drizzled with drops of {boxes[1]:.4g} arcsec": boxes[1] > 0,
        f"turned by {angle:.1f} deg": angle != 0,
        f"moved by {off:.2f} pixels": off > _NOTED,
        f"resampled from {scale:.4g} to {to_scale:.4g} arcsec": not _alike(to_scale, scale),
        f"cut from {given.shape} to {(side, side)}": (side, side) != given.shape,
        f"sum {given.sum():.4g} set to 1": not _alike(given.sum(), 1),
        f"{negative:.1%} of its light is negative": negative > _NOTED,
    }
    said = "; ".join(note for note, true in notes.items() if true)
    return psf_array(values / values.sum(), to_scale, name=name, attrs={"notes": said})


def _seen(image: Any) -> Image64:
    """Return an image that may show a PSF as float64."""
    given = as_image("the PSF image", image)
    shown = min(given.shape) >= 3  # noqa: PLR2004
    if not shown or not (np.abs(given) < _BRIGHTEST).all() or not given.sum() > 0:
        raise PSFError(
            "HC-P08",
            f"the PSF image {given.shape} holds NaN, no light or far too much, or is no image",
            "repair the image",
            band="",
        )
    return given


def _require_scale(image: Any, scale: float) -> None:
    """Refuse a scale that is not that of the offsets which an image has."""
    coords = getattr(image, "coords", {})
    if "ky" not in coords or "kx" not in coords or _alike(step := scale_of(image), scale):
        return
    raise PSFError(
        "HC-P14",
        f"the offsets ky, kx of the PSF are {step:.4g} arcsec apart, scale is {scale:.4g}",
        f"give the scale that it has[[|: scale={step:.4g}, to_scale={scale:.4g} to resample it; "
        "or its values alone, where its offsets are wrong]]",
    )


def _peak(image: Image64, width: float) -> tuple[float, float]:
    """Return the centroid (y, x) near the brightest pixel, under a window of that sigma."""
    from scipy import ndimage

    start = np.unravel_index(np.argmax(ndimage.gaussian_filter(image, 1.0)), image.shape)
    centre = centroid(image, (float(start[0]), float(start[1])), width)
    if not np.isfinite(centre).all():
        raise PSFError(
            "HC-P08", "the PSF image has no peak", "cut the image around the star", band=""
        )
    _require_peak(image, centre, "")
    return centre


def _require_peak(image: Image64, centre: tuple[float, float], what: str) -> None:
    """Refuse what is about as bright elsewhere as at its centre, as no star is: a ring, a plain."""
    from scipy import ndimage

    if _has_peak(image, centre) or _has_peak(ndimage.gaussian_filter(image, 1.0), centre):
        return  # smoothing, which takes time, forgives single bright pixels
    reason = f"the {what} PSF has no peak at its centre".replace("  ", " ")
    raise PSFError("HC-P08", reason, "give an image of a star, or measure the PSF anew")


def _has_peak(image: Image64, centre: tuple[float, float]) -> bool:
    y, x = (max(round(place), 0) for place in centre)
    near = image[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2].max()
    sides = np.median(np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]]))
    most = image.max()
    out = 2 * math.sqrt(np.count_nonzero(image > most / 2) / math.pi) + 1
    bright = np.argwhere(image > _ELSEWHERE * most) - centre
    elsewhere = bool((np.hypot(*bright.T) > out).any())
    return bool(near >= _CENTRAL * most and near > _ABOVE_SIDES * sides) and not elsewhere


def _through(image: Image64, sides: list[float]) -> Image64:
    """Return an image convolved with square boxes of these sides [pixels], whole or not."""
    if not any(sides):
        return image
    from scipy import fft

    rim = math.ceil(sum(sides)) + 1  # what would come in from the other side
    shape = [fft.next_fast_len(n + 2 * rim) for n in image.shape]
    cycles = fft.fftfreq(shape[0])[:, None], fft.rfftfreq(shape[1])
    transfer = fft.rfft2(image, shape)
    for side in sides:
        for axis in cycles:
            transfer *= np.sinc(axis * side)
    return np.asarray(fft.irfft2(transfer, shape)[: image.shape[0], : image.shape[1]])


def _resampled(
    image: Image64,
    centre: tuple[float, float],
    side: int,
    scale: float,
    to_scale: float,
    angle: float = 0.0,
) -> Image64:
    """Return (side, side) pixels of another size around `centre`: sums of samples when coarser.

    The image is turned counter-clockwise by `angle` [radian].
    """
    from scipy import ndimage

    coarser = to_scale > scale * (1 + SAME_SCALE)
    fold = max(round(3 * to_scale / scale), 1) if coarser else 1
    fine = ((np.arange(side * fold) + 0.5) / fold - 0.5 - side // 2) * to_scale / scale
    y, x = np.meshgrid(fine, fine, indexing="ij")
    sine, cosine = math.sin(angle), math.cos(angle)
    places = [centre[0] + cosine * y - sine * x, centre[1] + sine * y + cosine * x]
    values = ndimage.map_coordinates(image, places, order=5, mode="constant")
    return np.asarray(values.reshape(side, fold, side, fold).sum((1, 3)))


def on_one_frame(*images: Image64) -> list[Image64]:
    """Return centred images on the frame of the largest."""
    size = max(image.shape[0] for image in images)
    return [np.pad(image, (size - image.shape[0]) // 2) for image in images]


def _alike(one: float, other: float) -> bool:
    return abs(one / other - 1) <= SAME_SCALE


def checked_psf(image: Any, what: str) -> Image64:
    """Return a PSF as float64 with unit sum.

    Raises
    ------
    PSFError
        If it is not square and odd, not centred to a quarter of a pixel, or holds NaN or no light.
    """
    psf = np.asarray(image, dtype=np.float64)
    if psf.ndim != 2 or psf.shape[0] != psf.shape[1] or psf.shape[0] % 2 == 0:  # noqa: PLR2004
        raise PSFError(
            "HC-P07", f"the {what} PSF has shape {psf.shape}, not square and odd", _PREPARE
        )
    if not np.isfinite(psf).all() or not psf.sum() > 0:
        raise PSFError(
            "HC-P08",
            f"the {what} PSF holds NaN or no light",
            "repair the image, or measure the PSF anew",
        )
    return _centred(psf, what)


@remembered(64)
def _centred(image: Image64, what: str) -> Image64:
    """Return a PSF with unit sum, once it is seen to be centred and to have a peak there."""
    psf = image / image.sum()
    y, x = centroid(psf)
    distance = math.hypot(y - psf.shape[0] // 2, x - psf.shape[1] // 2)
    if not distance <= _OFF_CENTRE:
        reason = f"the {what} PSF is {distance:.2f} pixels off the middle pixel"
        raise PSFError("HC-P07", reason, _PREPARE)
    if min(psf.shape) > 1:
        _require_peak(psf, (y, x), what)
    return np.asarray(psf)


def scale_of(psf: xr.DataArray) -> float:
    """Return the size of a PSF's pixels [arcsec].

    Raises
    ------
    PSFError
        If its offsets do not say it.
    """
    given: Any = psf
    fix = (
        "make it [[again: hstcube psf measure STARS -o psf.fits|"
        "with prepare_psf(image, scale=0.06), or give cube.psf]]"
    )
    if not isinstance(given, xr.DataArray):
        raise PSFError("HC-P14", f"the PSF is {shown(given)}, not a DataArray on ky, kx", fix)
    for axis in ("ky", "kx"):
        if axis not in psf.coords or psf.sizes.get(axis, 0) < 3:  # noqa: PLR2004
            raise PSFError("HC-P14", f"the PSF has no offsets {axis} in arcsec", fix)
    steps = [np.diff(psf[axis].values) for axis in ("ky", "kx")]
    step = float(steps[0].mean())
    if not step > 0 or any(np.abs(s / step - 1).max() > SAME_SCALE for s in steps):
        raise PSFError("HC-P14", "the offsets ky, kx of the PSF are not even", fix)
    return step


def with_psf(cube: xr.Dataset, psf: xr.DataArray) -> xr.Dataset:
    """Return the cube with its PSFs, resampled to its pixels where they must be.

    Parameters
    ----------
    cube : Dataset
        Not yet matched.
    psf : DataArray, (band, ky, kx)
        With offsets ``ky``, ``kx`` [arcsec]; one for each band of the cube, others are left out. A
        coordinate ``psf_energy`` (band) says what share of a star's light the images hold, 1 if
        all.

    Returns
    -------
    Dataset
        With the coordinate ``psf``; ``psf_fwhm`` [arcsec] is the FWHM of the PSFs' profiles,
        ``psf_energy`` the share of a star's light inside their frame, with ``psf_energy_error``:
        as given, else as STScI lists it for the band in its camera, NaN where neither is known.

    Raises
    ------
    BandError
        If a band has no PSF.
    PSFError
        If a PSF is even, not centred, or empty.

    Examples
    --------
    >>> import hstcube
    >>> cube = hstcube.example()
    >>> hstcube.with_psf(cube, cube.psf).psf_fwhm.round(2).values[[0, -1]].tolist()  # arcsec
    [0.11, 0.19]
    """
    cube = attached(cube, psf)
    widths = np.array([fwhm(image.astype(float)) for image in cube.psf.values]) * scale_of(cube.psf)
    source = psf.attrs.get("source", "PSFs that were given")
    cube = updated(cube, f"with_psf({source})", psf_fwhm=widths)
    return told_doubts(cube)


def attached(cube: xr.Dataset, psf: xr.DataArray) -> xr.Dataset:
    """Return the cube with its PSFs on its own pixels; see `with_psf`. Widths stay as they are."""
    cube = taken(cube)
    if any(cube.matched_to.values != ""):
        raise PSFError(
            "HC-P09",
            "the cube is matched already: its native PSFs are gone",
            "give PSFs before [[the images are matched|psf_match]]",
        )
    have, want = scale_of(psf), Grid.of(cube).scale
    chosen = in_band_order(cube, psf.rename("psf")).transpose("band", "ky", "kx").values
    images = []
    for image, band in zip(chosen, cube.band.values, strict=True):
        same = _alike(have, want)
        fit = image if same else prepare_psf(image, scale=have, to_scale=want).values
        images.append(checked_psf(fit, band))
    alike = np.stack(on_one_frame(*images)).astype(np.float32)
    cube = with_psf_coords(without_psf(cube), alike, want)
    cube = cube.assign_coords(known_energy(cube, psf))
    return with_errors(cube, *psf_errors(psf, cube.band.values.tolist()).values())


def told_widths(cube: xr.Dataset, before: xr.Dataset) -> xr.Dataset:
    """Say which widths that were given are not those of the PSF images that were given, too."""
    both = zip(cube.band.values, before.psf_fwhm.values, cube.psf_fwhm.values, strict=True)
    apart = [
        f"{name} {width:.3f}, now {image:.3f}"
        for name, width, image in both
        if abs(width / image - 1) > _WIDTHS_AGREE
    ]
    if not apart:
        return cube
    text = f"PSF images were given and go before widths [arcsec]: {', '.join(apart)}"
    return warn(cube, "HC-P31", text)
