"""One resolution for every band: matching kernels, the matching of sci and its variance, and what it achieved."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from hstcube._blocks import over_bands
from hstcube._convolution import convolver, coverage_of_full_frame
from hstcube._correlation import correlated_spread
from hstcube._profiles import centroid, encircled_energy, fwhm, half_light_radius, radius_map
from hstcube.bands import band_name
from hstcube.cube import in_band_order, updated, validate, warn
from hstcube.errors import PSFError
from hstcube.grids import Grid
from hstcube.kernels import FWHM_OF_SIGMA, checked_psf, convolved, gaussian_kernel, matching_kernel, on_one_frame
from hstcube.kernels import Method as KernelMethod
from hstcube.noise import pixel_acf, with_matched_noise

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Image64 = NDArray[np.float64]

__all__ = [
    "gaussian_kernel",
    "gaussian_kernels",
    "matched_psf",
    "matching_kernel",
    "matching_kernels",
    "prepare_psf",
    "psf_match",
    "psf_quality",
    "with_psf",
]

RADII = (0.06, 0.09, 0.12, 0.18, 0.24, 0.3, 0.36, 0.45, 0.6, 0.75, 0.9, 1.05, 1.2)  # arcsec, of encircled energies

# A band passes when it agrees with the target as well as real HST stars agree with one another (docs/psf.md)
LARGEST_EE_ERROR = 0.025  # at 0.18 arcsec and beyond
LARGEST_RESIDUAL = 0.12
LARGEST_NEGATIVE = 1.0

_REACH = 8.5  # a Gaussian is cut at this many sigma: 1e-16 of its peak
_SUM_TOLERANCE = 1e-6
_AS_NARROW = 1e-9  # arcsec: widths closer than this are equal
_SAME_SCALE = 1e-3  # relative
_NEAR = 0.18  # arcsec: from here outwards encircled energies decide
_GAUSSIAN = (
    "no PSF images: matched with Gaussians of the bands' widths, which miss the wings; expect encircled energies in "
    "small apertures to be off by up to 20 % in ACS and 13 % in WFC3/IR"
)


def psf_match(
    cube: xr.Dataset,
    *,
    to: str | xr.DataArray = "f160w",
    kernels: xr.DataArray | None = None,
    min_coverage: float = 0.25,
    method: KernelMethod = "mge-wiener",
    allow: Any = (),
) -> xr.Dataset:
    """Bring every band to one resolution.

    With the PSFs of the cube (coordinate ``psf``), kernels come from `matching_kernels`, and a band whose kernel does
    not reach the target is an error. Without them, Gaussian kernels come from ``psf_fwhm``, with a warning: they miss
    the wings.

    Each image is convolved with its kernel and each variance with the squared kernel, both normalised by the part of
    the kernel that saw data (Knutsson & Westin 1993, CVPR, 515), so that a constant stays constant at edges and beside
    holes; correlations of the noise are carried along. Holes are not filled. Bands that are matched to the target
    already pass through bit for bit.

    Parameters
    ----------
    cube : Dataset
    to : str or DataArray
        The band to match; or a width: ``"0.6arcsec"`` is a Gaussian of that FWHM; or a PSF (ky, kx) with offsets in
        arcsec, as `prepare_psf` gives it, for cubes that have PSFs.
    kernels : DataArray, (band, ky, kx), optional
        Unit sum, odd sizes, on the cube's pixels; `to` then names what they lead to.
    min_coverage : float
        A pixel keeps its data when at least this share of the kernel's absolute sum saw data. A corner of the frame
        sees 0.3 or more.
    method : {"mge-wiener", "wiener", "gaussian"}
        How `matching_kernels` makes kernels from PSFs.
    allow : sequence of str, or "all"
        Bands that may miss the target; it is recorded.

    Returns
    -------
    Dataset
        The same cube at one resolution: new ``sci``, ``wht``, ``psf`` if there was one, ``psf_fwhm`` [arcsec] and
        ``matched_to``; ``noise_scale`` and ``noise_acf`` say how the matching correlated the pixels, ``psf_ee_error``
        and ``psf_negative`` (band) how good measured kernels are.

    Raises
    ------
    PSFError
        If the target is not in the cube, a width is unknown, a band is broader than the target, a band misses it with
        measured PSFs, or a kernel is even or does not sum to one.
    """
    validate(cube, data=False)
    to = _canonical(to)
    name = to if isinstance(to, str) else str(to.name or "psf")
    measured = kernels is None and knows_psfs(cube, to)
    if kernels is None:
        cube, chosen = choose_kernels(cube, to=to, method=method, allow=allow)
    else:
        chosen = _identity_where(cube.matched_to.values == name, _checked(kernels, cube))
    sci, wht = over_bands(
        lambda sci, wht, kernel, acf: match_plane(sci, wht, kernel, min_coverage, acf),
        cube.sci.variable,
        cube.wht.variable,
        parameters=(chosen, pixel_acf(cube)),
        outputs=2,
        halo=(chosen.sizes["ky"] // 2, chosen.sizes["kx"] // 2),
    )
    number = cube.sizes["band"]
    width = _psf_width(to, cube) if measured or not isinstance(to, str) else _target_width(cube, to)
    psf = {"psf": _matched_psfs(cube.psf, chosen)} if "psf" in cube.coords else {}
    return updated(
        with_matched_noise(cube, chosen),
        f"psf_match(to={name!r}, min_coverage={min_coverage})",
        sci=sci,
        wht=wht,
        mask=cube.mask.data & (wht > 0),
        psf_fwhm=np.full(number, width),
        matched_to=np.full(number, name, object),
        **psf,
    )


def choose_kernels(
    cube: xr.Dataset, *, to: str | xr.DataArray, method: KernelMethod = "mge-wiener", allow: Any = ()
) -> tuple[xr.Dataset, xr.Variable]:
    """Return the kernels that `psf_match` takes, and the cube with what there is to say about them.

    Raises
    ------
    PSFError
        As `psf_match`.
    """
    to = _canonical(to)
    name = to if isinstance(to, str) else str(to.name or "psf")
    done = cube.matched_to.values == name
    if knows_psfs(cube, to):
        _require_scale(cube)
        cube, made = _gated(cube, matching_kernels(cube.psf, to=to, method=method), name, done, allow)
        return cube, _identity_where(done, made.variable)
    chosen = gaussian_kernels(cube, to=_named(to, cube)).variable
    if chosen.size > chosen.sizes["band"]:
        cube = warn(cube, "HC-P12", _GAUSSIAN)
    return cube, _identity_where(done, chosen)


def knows_psfs(cube: xr.Dataset, to: str | xr.DataArray) -> bool:
    """Return whether kernels will come from PSFs: there are some, and something is to be done."""
    name = to if isinstance(to, str) else str(to.name or "psf")
    return "psf" in cube.coords and bool((cube.matched_to.values != name).any())


def _canonical(to: str | xr.DataArray) -> str | xr.DataArray:
    return to if not isinstance(to, str) or _width(to) else band_name(to)


def matching_kernels(
    psf: xr.DataArray,
    *,
    to: str | xr.DataArray = "f160w",
    method: KernelMethod = "mge-wiener",
    regularization: float | None = None,
) -> xr.DataArray:
    """Return the kernels that bring PSFs to one resolution, and say how well they do it.

    Parameters
    ----------
    psf : DataArray, (band, ky, kx)
        PSFs of odd size with offsets ``ky``, ``kx`` [arcsec], as `measure_psf` gives them.
    to : str or DataArray
        A band; a width such as ``"0.6arcsec"``, a Gaussian of that FWHM; or a PSF (ky, kx) with offsets in arcsec, of
        any scale.
    method, regularization
        As for `matching_kernel`, which has the sources.

    Returns
    -------
    DataArray, (band, ky, kx)
        Unit sum; the identity for the target's own band. Coordinates on the band axis: ``sum``, ``negative`` (minus the
        sum of the negative pixels), ``sum_of_squares``, ``centroid_y`` and ``centroid_x`` [arcsec], ``residual`` (sum
        of |K * S - T| within 1.2 arcsec), ``half_light_ratio``, and ``ee_error``: the largest error of the encircled
        energy at 0.18 arcsec and beyond.

    Raises
    ------
    PSFError
        If the target is not there, or a PSF is even, not centred, or empty.
    """
    scale = _scale_of(psf)
    target = _target_psf(psf, to, scale)
    bands = psf.band.values.tolist()
    identity = np.ones((1, 1))
    pairs = [
        (identity, _measured(image, target, identity, scale))
        if isinstance(to, str) and band == to
        else _pair(image, target, scale, method, regularization)
        for band, image in zip(bands, psf.transpose("band", "ky", "kx").values.astype(np.float64), strict=True)
    ]
    stack = np.stack(on_one_frame(*(kernel for kernel, _ in pairs)))
    offsets = (np.arange(stack.shape[1]) - stack.shape[1] // 2) * scale
    coords = {
        "band": psf.band.values,
        "ky": ("ky", offsets, {"units": "arcsec"}),
        "kx": ("kx", offsets, {"units": "arcsec"}),
        **{key: ("band", [quality[key] for _, quality in pairs]) for key in pairs[0][1]},
    }
    return xr.DataArray(stack, coords, ("band", "ky", "kx"), "kernels", {"method": method})


def psf_quality(cube: xr.Dataset | xr.DataArray, *, to: str | xr.DataArray | None = None) -> xr.Dataset:
    """Compare the PSF of every band with the one that the cube is matched to.

    Parameters
    ----------
    cube : Dataset or DataArray
        With the coordinate ``psf``, as it is after `psf_match`; before, the table shows how unlike the bands are. Or
        PSFs (band, ky, kx) alone.
    to : str or DataArray, optional
        What to compare with, as for `psf_match`; what ``matched_to`` says when not given, else F160W or the broadest
        band.

    Returns
    -------
    Dataset
        ``ee_ratio`` (band, radius): encircled energy over the target's, both set to one at 1.2 arcsec; on the band axis
        ``half_light_ratio``, ``residual``, ``negative`` (of the kernel that was used; NaN before matching) and
        ``verdict``. `to_dataframe` makes a table of it.

    Raises
    ------
    PSFError
        If the cube has no PSF, or the target is not known.
    """
    if isinstance(cube, xr.Dataset) and "psf" not in cube.coords:
        raise PSFError("HC-P09", "the cube has no PSF", "give it one: with_psf(cube, measure_psf(stars))")
    psf = cube.psf if isinstance(cube, xr.Dataset) else cube
    scale = _scale_of(psf)
    images = psf.transpose("band", "ky", "kx").values.astype(np.float64)
    if to is None:
        matched, names = str(cube.matched_to.values[0]) if "matched_to" in cube.coords else "", psf.band.values.tolist()
        to = matched or ("f160w" if "f160w" in names else names[int(np.argmax([fwhm(image) for image in images]))])
    target = _target_psf(psf, to, scale)
    identity = np.ones((1, 1))
    qualities = [_measured(image, target, identity, scale) for image in images]
    negative = cube.psf_negative.values if "psf_negative" in cube.coords else np.full(len(images), np.nan)
    worst = [q["ee_error"] for q in qualities]
    residual = [q["residual"] for q in qualities]
    verdict = [
        _failing(ee, rest, n) or "good" for ee, rest, n in zip(worst, residual, np.nan_to_num(negative), strict=True)
    ]
    return xr.Dataset(
        {
            "ee_ratio": (("band", "radius"), [_ee_ratio(image, target, scale) for image in images]),
            "half_light_ratio": ("band", [q["half_light_ratio"] for q in qualities]),
            "residual": ("band", residual),
            "negative": ("band", negative),
            "verdict": ("band", np.array(verdict, object)),
        },
        {"band": psf.band.values, "radius": ("radius", list(RADII), {"units": "arcsec"})},
        {"to": to if isinstance(to, str) else str(to.name or "psf")},
    )


def with_psf(cube: xr.Dataset, psf: xr.DataArray) -> xr.Dataset:
    """Return the cube with its PSFs, resampled to its pixels where they must be.

    Parameters
    ----------
    cube : Dataset
        Not yet matched.
    psf : DataArray, (band, ky, kx)
        With offsets ``ky``, ``kx`` [arcsec]; one for each band of the cube, others are left out.

    Returns
    -------
    Dataset
        With the coordinate ``psf``; ``psf_fwhm`` [arcsec] is the FWHM of the PSFs' profiles.

    Raises
    ------
    BandError
        If a band has no PSF.
    PSFError
        If a PSF is even, not centred, or empty.
    """
    cube = attached(cube, psf)
    widths = np.array([fwhm(image.astype(float)) for image in cube.psf.values]) * _scale_of(cube.psf)
    return updated(cube, f"with_psf({psf.attrs.get('source', 'PSFs that were given')})", psf_fwhm=widths)


def attached(cube: xr.Dataset, psf: xr.DataArray) -> xr.Dataset:
    """Return the cube with its PSFs on its own pixels; see `with_psf`. Widths stay as they are."""
    validate(cube, data=False)
    if any(cube.matched_to.values != ""):
        raise PSFError("HC-P09", "the cube is matched already: its native PSFs are gone", "give PSFs before psf_match")
    chosen = in_band_order(cube, psf.rename("psf")).transpose("band", "ky", "kx").values
    have, want = _scale_of(psf), Grid.of(cube).scale
    if abs(have / want - 1) > _SAME_SCALE:
        chosen = np.stack([prepare_psf(image, scale=have, to_scale=want).values for image in chosen])
    images = np.stack([checked_psf(image, band) for image, band in zip(chosen, cube.band.values, strict=True)])
    stale = [name for name in ("psf", "ky", "kx", "psf_ee_error", "psf_negative") if name in cube.coords]
    return with_psf_coords(cube.drop_vars(stale) if stale else cube, images.astype(np.float32), want)


def with_psf_coords(cube: xr.Dataset, images: NDArray[np.float32], scale: float) -> xr.Dataset:
    """Return the cube with the coordinates ``psf``, ``ky``, ``kx``, of images (band, ky, kx) on pixels of `scale`."""
    ky, kx = ((np.arange(n) - n // 2) * scale for n in images.shape[1:])
    return cube.assign_coords(
        ky=("ky", ky, {"units": "arcsec"}),
        kx=("kx", kx, {"units": "arcsec"}),
        psf=(("band", "ky", "kx"), images, {"long_name": "point spread function, unit sum"}),
    )


def prepare_psf(
    image: Any, *, scale: float, to_scale: float | None = None, size: int | None = None, name: str = "psf"
) -> xr.DataArray:
    """Make a PSF that can be used of any image of one: cut, centre, resample, normalise; say what was done.

    Parameters
    ----------
    image : array, (ny, nx)
        Odd or even, the PSF somewhere near the brightest pixel.
    scale : float
        Arcsec per pixel.
    to_scale : float, optional
        Of the result; a PSF is summed, not sampled, on coarser pixels. The same when not given.
    size : int, optional
        Side of the result in its pixels, odd; as much as the image shows on all sides when not given.
    name : str
        What cubes that are matched to it will say.

    Returns
    -------
    DataArray, (ky, kx)
        Unit sum, odd, centred to 0.01 pixels; offsets in arcsec; ``attrs["notes"]`` says what was done to the image.

    Raises
    ------
    PSFError
        If the image is not of two dimensions, holds NaN, or no light.
    """
    from scipy import ndimage

    given = np.asarray(image, dtype=np.float64)
    if given.ndim != 2 or not np.isfinite(given).all() or not given.sum() > 0 or min(given.shape) < 3:  # noqa: PLR2004
        raise PSFError(
            "HC-P08", f"the PSF image {given.shape} holds NaN or no light, or is no image", "repair the image", band=""
        )
    to_scale = to_scale or scale
    peak = np.unravel_index(np.argmax(ndimage.gaussian_filter(given, 1.0)), given.shape)
    centre = centroid(given, (float(peak[0]), float(peak[1])), max(2.0, 0.1 / scale))
    if not np.isfinite(centre).all():
        raise PSFError("HC-P08", "the PSF image has no peak", "cut the image around the star", band="")
    reach = min(centre[0], centre[1], given.shape[0] - 1 - centre[0], given.shape[1] - 1 - centre[1])
    largest = 2 * int((reach + 0.5) * scale / to_scale - 0.5) + 1
    side = max(largest if size is None else size, 3)
    offset = np.arange(side) - side // 2
    fold = max(round(3 * to_scale / scale), 1) if to_scale > scale * (1 + _SAME_SCALE) else 1
    fine = ((np.arange(side * fold) + 0.5) / fold - 0.5 - side // 2) * to_scale / scale
    places = np.meshgrid(centre[0] + fine, centre[1] + fine, indexing="ij")
    values = ndimage.map_coordinates(given, places, order=5, mode="constant")
    values = values.reshape(side, fold, side, fold).sum((1, 3))
    off = float(np.hypot(centre[0] - (given.shape[0] - 1) / 2, centre[1] - (given.shape[1] - 1) / 2))
    notes = [f"moved by {off:.2f} pixels"] if off > 0.01 else []  # noqa: PLR2004
    notes += [f"resampled from {scale:.4g} to {to_scale:.4g} arcsec"] if abs(to_scale / scale - 1) > _SAME_SCALE else []
    notes += [f"cut from {given.shape} to {(side, side)}"] if (side, side) != given.shape else []
    notes += [f"sum {given.sum():.4g} set to 1"] if abs(given.sum() - 1) > 1e-3 else []  # noqa: PLR2004
    if (negative := -values[values < 0].sum() / values.sum()) > 0.01:  # noqa: PLR2004
        notes.append(f"{negative:.1%} of its light is negative")
    axis = {"units": "arcsec"}
    return xr.DataArray(
        values / values.sum(),
        {"ky": ("ky", offset * to_scale, axis), "kx": ("kx", offset * to_scale, axis)},
        ("ky", "kx"),
        name,
        {"notes": "; ".join(notes)},
    )


def gaussian_kernels(cube: xr.Dataset, *, to: str, sampled: bool = False) -> xr.DataArray:
    """Return the Gaussian kernels that widen every band to the target.

    Parameters
    ----------
    cube : Dataset
        With ``psf_fwhm`` [arcsec].
    to : str
        A band of the cube, or a width such as ``"0.6arcsec"``.
    sampled : bool
        Sample the Gaussian as it is, as the original pipeline did, even where it is too narrow for the pixels.

    Returns
    -------
    DataArray, (band, ky, kx)
        Unit sum, odd sizes; the identity for a band as broad as the target.

    Raises
    ------
    PSFError
        If a width is unknown, or a band is broader than the target.
    """
    target = _target_width(cube, to)
    fwhm = np.where(cube.matched_to.values == to, target, cube.psf_fwhm.values)
    if (unknown := np.isnan(fwhm)).any() or np.isnan(target):
        name = str(cube.band.values[unknown][0]) if unknown.any() else to
        raise PSFError(
            "HC-P01",
            "the width of its PSF is not known (the survey is in no table)",
            f"give it: psf_fwhm={{'{name}': 0.18}} (FWHM in arcsec), or psf_fwhm in a field file",
            band=name,
        )
    if (broader := fwhm > target + _AS_NARROW).any():
        name, width = str(cube.band.values[broader][0]), fwhm[broader][0]
        widest = str(cube.band.values[np.argmax(fwhm)])
        raise PSFError(
            "HC-B06",
            f"cannot match {name} (FWHM {width:.3f} arcsec) to the sharper {to} ({target:.3f} arcsec): "
            "that is a deconvolution",
            f"choose to={widest!r}, or leave the band out",
            band=name,
        )
    extra = np.sqrt(np.clip(target**2 - fwhm**2, 0, None)) / FWHM_OF_SIGMA
    extra[target - fwhm <= _AS_NARROW] = 0.0
    steps = Grid.of(cube).steps
    pairs = [(width / steps[0], width / steps[1]) for width in extra.tolist()]
    reach = [tuple(int(np.ceil(_REACH * sigma)) for sigma in pair) for pair in pairs]  # of each band for itself
    radius = np.max(reach, axis=0)
    stack = np.zeros((len(pairs), *(2 * radius + 1)))
    for plane, pair, (ry, rx) in zip(stack, pairs, reach, strict=True):
        inner = (slice(radius[0] - ry, radius[0] + ry + 1), slice(radius[1] - rx, radius[1] + rx + 1))
        plane[inner] = gaussian_kernel(pair, (ry, rx), sampled=sampled)
    return xr.DataArray(stack, dims=("band", "ky", "kx"), coords={"band": cube.band})


def match_plane(
    sci: Any, wht: Any, kernel: Image64, min_coverage: float = 0.25, acf: Image64 | None = None
) -> tuple[Any, Any]:
    """Match one image: the convolution of sci, and the weights whose variance is convolved with the squared kernel.

    Parameters
    ----------
    sci, wht : array, (y, x)
        Image and inverse variance; wht = 0 is no data.
    kernel : array, (ky, kx)
        Unit sum, odd sizes.
    min_coverage : float
        See `psf_match`.
    acf : array, (dy, dx), optional
        Autocorrelation of the noise, where it is not white.

    Returns
    -------
    tuple of array, (y, x)
        sci' = (K conv v sci)/(K conv v) and wht' = (K conv v)^2/(K^2 conv v/wht), with v = (wht > 0); NaN and 0 where
        there is no data. For correlated noise `correlated_spread` stands for K^2 conv v/wht. The inputs themselves
        when the kernel is the identity.
    """
    kernel = _trimmed(kernel)  # so that the kernels of other bands do not change its rounding
    if _is_identity(kernel):
        return sci, wht
    valid = wht > 0
    whole = bool(valid.all())
    signed = bool((kernel < 0).any())
    convolve = convolver(kernel, sci.shape)
    if whole:
        seen = coverage_of_full_frame(kernel, sci.shape)
        share = coverage_of_full_frame(np.abs(kernel), sci.shape) if signed else seen
        signal, noise = sci, 1 / wht.astype(np.float64)
    else:
        seen = convolve(valid)
        share = convolver(np.abs(kernel), sci.shape)(valid) if signed else seen
        signal, noise = np.where(valid, sci, 0), np.divide(1.0, wht, where=valid, out=np.zeros(sci.shape), dtype=float)
    keep = valid & (share >= min_coverage * np.abs(kernel).sum()) & (seen > 0)
    matched = convolve(signal)
    spread = convolver(kernel**2, sci.shape)(noise) if acf is None else correlated_spread(noise, kernel, acf)
    least = noise.min(where=valid, initial=np.inf) / kernel.size
    with np.errstate(divide="ignore", invalid="ignore"):
        np.divide(matched, seen, out=matched)
        np.square(seen, out=seen)
        # Cauchy-Schwarz: K^2 conv var >= min(var) (K conv v)^2 / size. Below it is the rounding of a transform.
        np.maximum(spread, np.multiply(seen, least, out=noise), out=spread)
        weights = np.divide(seen, spread, out=spread)
    drop = ~keep
    matched[drop], weights[drop] = np.nan, 0
    return matched.astype(sci.dtype, copy=False), weights.astype(wht.dtype, copy=False)


def _trimmed(kernel: Image64) -> Image64:
    """Return the kernel without its borders of zeros, centred as before."""
    cut = []
    for axis, n in enumerate(kernel.shape):
        used = np.flatnonzero(kernel.any(axis=1 - axis))
        cut.append(int(min(used[0], n - 1 - used[-1])) if used.size and n % 2 else 0)
    return kernel[cut[0] : kernel.shape[0] - cut[0], cut[1] : kernel.shape[1] - cut[1]]


def _is_identity(kernel: Image64) -> bool:
    middle = kernel[kernel.shape[0] // 2, kernel.shape[1] // 2]
    return bool(middle == 1.0 and np.count_nonzero(kernel) == 1)


def _identity_where(done: NDArray[np.bool_], kernels: xr.Variable) -> xr.Variable:
    """Replace the kernels of finished bands: a band that is at the target already passes through."""
    values = kernels.values.astype(np.float64)
    values[done] = 0
    values[done, values.shape[1] // 2, values.shape[2] // 2] = 1
    return kernels.copy(data=values)


def _checked(kernels: xr.DataArray, cube: xr.Dataset) -> xr.Variable:
    stack = in_band_order(cube, kernels.rename("kernels")).transpose("band", "ky", "kx")
    if stack.sizes["ky"] % 2 == 0 or stack.sizes["kx"] % 2 == 0:
        raise PSFError(
            "HC-P04",
            f"the kernels have shape {stack.shape[1:]}; their centre is not a pixel",
            "give kernels of odd sizes, centred on the middle pixel",
        )
    errors = np.abs(stack.values.astype(np.float64).sum((1, 2)) - 1)
    if not np.all(errors < _SUM_TOLERANCE):
        worst = int(np.argmax(np.nan_to_num(errors, nan=np.inf)))
        raise PSFError(
            "HC-P05",
            f"the kernel's sum is {errors[worst]:.3g} away from 1, so it does not keep the flux",
            "divide it by its sum",
            band=str(cube.band.values[worst]),
        )
    return stack


def _pair(
    image: Image64, target: Image64, scale: float, method: KernelMethod, regularization: float | None
) -> tuple[Image64, dict[str, float]]:
    """Return the kernel of one pair and what it does; a survey has one set of PSFs for thousands of targets."""
    arrays = (np.ascontiguousarray(image, dtype=np.float64), np.ascontiguousarray(target, dtype=np.float64))
    return _remembered(*((a.tobytes(), a.shape[0]) for a in arrays), scale, method, regularization)


@lru_cache(maxsize=64)
def _remembered(
    source: tuple[bytes, int],
    target: tuple[bytes, int],
    scale: float,
    method: KernelMethod,
    regularization: float | None,
) -> tuple[Image64, dict[str, float]]:
    one, other = (np.frombuffer(data).reshape(n, n) for data, n in (source, target))
    kernel = matching_kernel(one, other, method=method, regularization=regularization)
    return kernel, _measured(one, other, kernel, scale)


def _measured(source: Image64, target: Image64, kernel: Image64, scale: float) -> dict[str, float]:
    """Return what `matching_kernels` says of a kernel."""
    source, target = on_one_frame(source / source.sum(), target / target.sum())
    made = convolved(source, kernel)
    outer = _outer(target, scale)
    made, target = (image / encircled_energy(image, outer)[0] for image in (made, target))
    radii = np.array(RADII)
    inside = radius_map((target.shape[0], target.shape[1])) <= outer
    offset = (np.arange(kernel.shape[0]) - kernel.shape[0] // 2) * scale
    return {
        "sum": float(kernel.sum()),
        "negative": float(np.abs(kernel[kernel < 0].sum())),
        "sum_of_squares": float((kernel**2).sum()),
        "centroid_y": float(kernel.sum(1) @ offset),
        "centroid_x": float(kernel.sum(0) @ offset),
        "ee_error": float(np.abs(_ee_ratio(made, target, scale) - 1)[radii >= _NEAR].max()),
        "residual": float(np.abs(made - target)[inside].sum()),
        "half_light_ratio": half_light_radius(made, outer) / half_light_radius(target, outer),
    }


def _ee_ratio(made: Image64, target: Image64, scale: float) -> Any:
    """Return encircled energies over the target's at RADII, both set to one at 1.2 arcsec."""
    made, target = on_one_frame(made, target)
    radii = np.minimum(np.array(RADII) / scale, _outer(target, scale))
    ee, aim = encircled_energy(made, radii), encircled_energy(target, radii)
    return ee / ee[-1] / (aim / aim[-1])


def _outer(image: Image64, scale: float) -> float:
    """Return the radius at which light is set to one, pixels: 1.2 arcsec, or what the image shows."""
    return float(min(RADII[-1] / scale, (image.shape[0] - 1) / 2))


def _failing(ee_error: float, residual: float, negative: float) -> str:
    """Return what is wrong with a match, "" if nothing is."""
    if not ee_error <= LARGEST_EE_ERROR:
        return f"encircled energy off by {ee_error:.1%} at 0.18 arcsec or beyond"
    if not residual <= LARGEST_RESIDUAL:
        return f"{residual:.0%} of the light is in the wrong place"
    if not negative <= LARGEST_NEGATIVE:
        return f"the kernel's negative part is {negative:.2f}: it sharpens"
    return ""


def _gated(
    cube: xr.Dataset, kernels: xr.DataArray, name: str, done: NDArray[np.bool_], allow: Any
) -> tuple[xr.Dataset, xr.DataArray]:
    """Refuse bands that miss the target, unless they are allowed to; write down how good the others are."""
    allowed = cube.band.values.tolist() if allow in ("all", True) else [band_name(band) for band in allow]
    columns = (kernels.ee_error.values, kernels.residual.values, kernels.negative.values)
    for band, finished, *values in zip(cube.band.values, done, *columns, strict=True):
        wrong = "" if finished else _failing(*values)
        if wrong and band not in allowed:
            raise PSFError(
                "HC-P13",
                f"cannot be matched to {name}: {wrong}",
                f"choose a broader target, leave the band out, or accept it with allow=['{band}']",
                band=str(band),
            )
        if wrong:
            cube = warn(cube, "HC-P13", f"{band}: matched to {name} although {wrong}")
    quality = {"psf_ee_error": kernels.ee_error.values, "psf_negative": kernels.negative.values}
    return cube.assign_coords({key: ("band", values) for key, values in quality.items()}), kernels


def matched_psf(psf: xr.DataArray, kernels: xr.DataArray) -> xr.DataArray:
    """Return PSFs convolved with their kernels, (band, ky, kx), as they are in a cube after `psf_match`."""
    return psf.transpose("band", "ky", "kx").copy(data=_matched_psfs(psf, kernels.variable))


def _matched_psfs(psf: xr.DataArray, kernels: xr.Variable) -> Any:
    images = psf.transpose("band", "ky", "kx").values
    pairs = zip(images, kernels.values, strict=True)
    return np.stack(
        [_matched_psf(image.tobytes(), image.shape[0], kernel.tobytes(), kernel.shape) for image, kernel in pairs]
    )


@lru_cache(maxsize=64)
def _matched_psf(psf: bytes, size: int, kernel: bytes, shape: tuple[int, int]) -> Any:
    image = np.frombuffer(psf, np.float32).reshape(size, size)
    matrix = _trimmed(np.frombuffer(kernel).reshape(shape))
    if _is_identity(matrix):
        return image
    square = on_one_frame(matrix, np.zeros((1, 1)))[0] if matrix.shape[0] == matrix.shape[1] else _squared(matrix)
    made = convolved(image.astype(np.float64), square)
    return (made / made.sum()).astype(np.float32)


def _squared(kernel: Image64) -> Image64:
    side = max(kernel.shape)
    return np.pad(kernel, [((side - n) // 2, (side - n) // 2) for n in kernel.shape])


def _target_psf(psf: xr.DataArray, to: str | xr.DataArray, scale: float) -> Image64:
    """Return the target on pixels of `scale`."""
    if not isinstance(to, str):
        _scale_of(to)
        return np.asarray(prepare_psf(to.values, scale=_scale_of(to), to_scale=scale).values, dtype=np.float64)
    if width := _width(to):
        sigma = width / scale / FWHM_OF_SIGMA
        half = max(psf.sizes["ky"] // 2, int(np.ceil(5 * sigma)))
        return gaussian_kernel((sigma, sigma), (half, half))
    names = psf.band.values.tolist()
    if to not in names:
        raise PSFError(
            "HC-B05",
            f"the target {to!r} has no PSF here",
            f"choose to= from {', '.join(map(str, names))}, or a width such as '0.3arcsec'",
        )
    return np.asarray(psf.isel(band=names.index(to)).values, dtype=np.float64)


def _scale_of(psf: xr.DataArray) -> float:
    """Return the size of a PSF's pixels [arcsec].

    Raises
    ------
    PSFError
        If its offsets do not say it.
    """
    for axis in ("ky", "kx"):
        if axis not in psf.coords or psf.sizes.get(axis, 0) < 3:  # noqa: PLR2004
            raise PSFError(
                "HC-P14", f"the PSF has no offsets {axis} in arcsec", "make it with prepare_psf(image, scale=0.06)"
            )
    steps = [np.diff(psf[axis].values) for axis in ("ky", "kx")]
    step = float(steps[0].mean())
    if not step > 0 or any(np.abs(s / step - 1).max() > _SAME_SCALE for s in steps):
        raise PSFError(
            "HC-P14", "the offsets ky, kx of the PSF are not even", "make it with prepare_psf(image, scale=0.06)"
        )
    return step


def _require_scale(cube: xr.Dataset) -> None:
    """Require that the PSFs are sampled, and turned, as the images are: a cube may have been thinned out or flipped."""
    have, steps = _scale_of(cube.psf), Grid.of(cube).steps
    flipped = [axis for axis in ("y", "x") if cube.sizes[axis] > 1 and cube[axis].values[1] < cube[axis].values[0]]
    if flipped or any(abs(step / have - 1) > _SAME_SCALE for step in steps):
        found = f"the images are flipped in {flipped[0]}" if flipped else f"the images on pixels of {steps[0]:.4g}"
        raise PSFError(
            "HC-P14",
            f"the PSFs are on pixels of {have:.4g} arcsec, {found}",
            "match first, thin out later; or give PSFs for these pixels: with_psf(cube, psf)",
        )


def _psf_width(to: str | xr.DataArray, cube: xr.Dataset) -> float:
    """Return the FWHM of a target that is known as a PSF [arcsec]."""
    if isinstance(to, str):
        return _width(to) or _fwhm_of(_target_psf(cube.psf, to, scale := _scale_of(cube.psf))) * scale
    return fwhm(prepare_psf(to.values, scale=_scale_of(to)).values) * _scale_of(to)


def _fwhm_of(image: Image64) -> float:
    return _remembered_fwhm(np.ascontiguousarray(image, dtype=np.float64).tobytes(), (image.shape[0], image.shape[1]))


@lru_cache(maxsize=64)
def _remembered_fwhm(image: bytes, shape: tuple[int, int]) -> float:
    return fwhm(np.frombuffer(image).reshape(shape))


def _named(to: str | xr.DataArray, cube: xr.Dataset) -> str:
    if isinstance(to, str):
        return to
    name = str(to.name or "psf")
    if (cube.matched_to.values == name).all():
        return name
    raise PSFError("HC-P09", "matching to a PSF image needs the PSFs of the bands", "give them: with_psf(cube, psf)")


def _target_width(cube: xr.Dataset, to: str) -> float:
    if width := _width(to):
        return width
    if to in (names := cube.band.values.tolist()):
        return float(cube.psf_fwhm.values[names.index(to)])
    if (already := cube.matched_to.values == to).any():
        return float(cube.psf_fwhm.values[already][0])
    known = ", ".join(cube.band.values)
    raise PSFError(
        "HC-B05", f"the target {to!r} is not in the cube", f"choose to= from {known}, or a width such as '0.3arcsec'"
    )


def _width(to: str) -> float | None:
    found = re.fullmatch(r"\s*(\d+\.?\d*|\.\d+)\s*arcsec\s*", to)
    return float(found[1]) if found else None
