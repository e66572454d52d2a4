"""One resolution for every band: the choice of kernels, and the matching of sci and its variance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from hstcube.basics.blocks import over_bands
from hstcube.basics.convolution import convolver, coverage_of_full_frame
from hstcube.core.bands import band_name
from hstcube.core.grids import Grid
from hstcube.core.rules import validate
from hstcube.core.state import in_band_order, updated, warn
from hstcube.errors import PSFError
from hstcube.noise.groups import pixel_acf, with_matched_noise
from hstcube.noise.spread import correlated_spread
from hstcube.psf.kernels import (
    SAME_SCALE,
    failing,
    fwhm_of,
    matched_psfs,
    matching_kernels,
    prepare_psf,
    psf_quality,
    scale_of,
    target_psf,
    width_of,
)
from hstcube.psf.profiles import fwhm
from hstcube.psf.solver import (
    FWHM_OF_SIGMA,
    checked_psf,
    gaussian_kernel,
    is_identity,
    matching_kernel,
    trimmed,
)
from hstcube.psf.solver import Method as KernelMethod

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Image64 = NDArray[np.float64]

__all__ = [
    "gaussian_kernel",
    "gaussian_kernels",
    "matching_kernel",
    "matching_kernels",
    "prepare_psf",
    "psf_match",
    "psf_quality",
    "with_psf",
]

_REACH = 8.5  # a Gaussian is cut at this many sigma: 1e-16 of its peak
_SUM_TOLERANCE = 1e-6
_AS_NARROW = 1e-9  # arcsec: widths closer than this are equal
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

    With the PSFs of the cube (coordinate ``psf``), kernels come from `matching_kernels`, and a band
    whose kernel does not reach the target is an error. Without them, Gaussian kernels come from
    ``psf_fwhm``, with a warning: they miss the wings.

    Each image is convolved with its kernel and each variance with the squared kernel, both
    normalised by the part of the kernel that saw data (Knutsson & Westin 1993, CVPR, 515), so that
    a constant stays constant at edges and beside holes; correlations of the noise are carried
    along. Holes are not filled. Bands that are matched to the target already pass through bit for
    bit.

    Parameters
    ----------
    cube : Dataset
    to : str or DataArray
        The band to match; or a width: ``"0.6arcsec"`` is a Gaussian of that FWHM; or a PSF (ky, kx)
        with offsets in arcsec, as `prepare_psf` gives it, for cubes that have PSFs.
    kernels : DataArray, (band, ky, kx), optional
        Unit sum, odd sizes, on the cube's pixels; `to` then names what they lead to.
    min_coverage : float
        A pixel keeps its data when at least this share of the kernel's absolute sum saw data. A
        corner of the frame sees 0.3 or more.
    method : {"mge-wiener", "wiener", "gaussian"}
        How `matching_kernels` makes kernels from PSFs.
    allow : sequence of str, or "all"
        Bands that may miss the target; it is recorded.

    Returns
    -------
    Dataset
        The same cube at one resolution: new ``sci``, ``wht``, ``psf`` if there was one,
        ``psf_fwhm`` [arcsec] and ``matched_to``; ``noise_scale`` and ``noise_acf`` say how the
        matching correlated the pixels, ``psf_ee_error`` and ``psf_negative`` (band) how good
        measured kernels are.

    Raises
    ------
    PSFError
        If the target is not in the cube, a width is unknown, a band is broader than the target, a
        band misses it with measured PSFs, or a kernel is even or does not sum to one.
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
    psf = {"psf": matched_psfs(cube.psf, chosen)} if "psf" in cube.coords else {}
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
    cube: xr.Dataset,
    *,
    to: str | xr.DataArray,
    method: KernelMethod = "mge-wiener",
    allow: Any = (),
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
        cube, made = _gated(
            cube, matching_kernels(cube.psf, to=to, method=method), name, done, allow
        )
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
    return to if not isinstance(to, str) or width_of(to) else band_name(to)


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
    widths = np.array([fwhm(image.astype(float)) for image in cube.psf.values]) * scale_of(cube.psf)
    return updated(
        cube, f"with_psf({psf.attrs.get('source', 'PSFs that were given')})", psf_fwhm=widths
    )


def attached(cube: xr.Dataset, psf: xr.DataArray) -> xr.Dataset:
    """Return the cube with its PSFs on its own pixels; see `with_psf`. Widths stay as they are."""
    validate(cube, data=False)
    if any(cube.matched_to.values != ""):
        raise PSFError(
            "HC-P09",
            "the cube is matched already: its native PSFs are gone",
            "give PSFs before psf_match",
        )
    chosen = in_band_order(cube, psf.rename("psf")).transpose("band", "ky", "kx").values
    have, want = scale_of(psf), Grid.of(cube).scale
    if abs(have / want - 1) > SAME_SCALE:
        chosen = np.stack(
            [prepare_psf(image, scale=have, to_scale=want).values for image in chosen]
        )
    images = np.stack(
        [checked_psf(image, band) for image, band in zip(chosen, cube.band.values, strict=True)]
    )
    stale = [
        name for name in ("psf", "ky", "kx", "psf_ee_error", "psf_negative") if name in cube.coords
    ]
    return with_psf_coords(
        cube.drop_vars(stale) if stale else cube, images.astype(np.float32), want
    )


def with_psf_coords(cube: xr.Dataset, images: NDArray[np.float32], scale: float) -> xr.Dataset:
    """Return the cube with the coordinates ``psf``, ``ky``, ``kx``, of images (band, ky, kx) on pixels of `scale`."""
    ky, kx = ((np.arange(n) - n // 2) * scale for n in images.shape[1:])
    return cube.assign_coords(
        ky=("ky", ky, {"units": "arcsec"}),
        kx=("kx", kx, {"units": "arcsec"}),
        psf=(("band", "ky", "kx"), images, {"long_name": "point spread function, unit sum"}),
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
        Sample the Gaussian as it is, as the original pipeline did, even where it is too narrow for
        the pixels.

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
    reach = [
        tuple(int(np.ceil(_REACH * sigma)) for sigma in pair) for pair in pairs
    ]  # of each band for itself
    radius = np.max(reach, axis=0)
    stack = np.zeros((len(pairs), *(2 * radius + 1)))
    for plane, pair, (ry, rx) in zip(stack, pairs, reach, strict=True):
        inner = (
            slice(radius[0] - ry, radius[0] + ry + 1),
            slice(radius[1] - rx, radius[1] + rx + 1),
        )
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
        sci' = (K conv v sci)/(K conv v) and wht' = (K conv v)^2/(K^2 conv v/wht), with v = (wht >
        0); NaN and 0 where there is no data. For correlated noise `correlated_spread` stands for
        K^2 conv v/wht. The inputs themselves when the kernel is the identity.
    """
    kernel = trimmed(kernel)  # so that the kernels of other bands do not change its rounding
    if is_identity(kernel):
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
        signal, noise = (
            np.where(valid, sci, 0),
            np.divide(1.0, wht, where=valid, out=np.zeros(sci.shape), dtype=float),
        )
    keep = valid & (share >= min_coverage * np.abs(kernel).sum()) & (seen > 0)
    matched = convolve(signal)
    spread = (
        convolver(kernel**2, sci.shape)(noise)
        if acf is None
        else correlated_spread(noise, kernel, acf)
    )
    least = noise.min(where=valid, initial=np.inf) / kernel.size
    with np.errstate(divide="ignore", invalid="ignore"):
        np.divide(matched, seen, out=matched)
        np.square(seen, out=seen)
        # Cauchy-Schwarz: K^2 conv var >= min(var) (K conv v)^2 / size. Below it is the rounding of
        # a transform.
        np.maximum(spread, np.multiply(seen, least, out=noise), out=spread)
        weights = np.divide(seen, spread, out=spread)
    drop = ~keep
    matched[drop], weights[drop] = np.nan, 0
    return matched.astype(sci.dtype, copy=False), weights.astype(wht.dtype, copy=False)


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


def _gated(
    cube: xr.Dataset, kernels: xr.DataArray, name: str, done: NDArray[np.bool_], allow: Any
) -> tuple[xr.Dataset, xr.DataArray]:
    """Refuse bands that miss the target, unless they are allowed to; write down how good the others are."""
    allowed = (
        cube.band.values.tolist() if allow in ("all", True) else [band_name(band) for band in allow]
    )
    columns = (kernels.ee_error.values, kernels.residual.values, kernels.negative.values)
    for band, finished, *values in zip(cube.band.values, done, *columns, strict=True):
        wrong = "" if finished else failing(*values)
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


def _require_scale(cube: xr.Dataset) -> None:
    """Require that the PSFs are sampled, and turned, as the images are: a cube may have been thinned out or flipped."""
    have, steps = scale_of(cube.psf), Grid.of(cube).steps
    flipped = [
        axis
        for axis in ("y", "x")
        if cube.sizes[axis] > 1 and cube[axis].values[1] < cube[axis].values[0]
    ]
    if flipped or any(abs(step / have - 1) > SAME_SCALE for step in steps):
        found = (
            f"the images are flipped in {flipped[0]}"
            if flipped
            else f"the images on pixels of {steps[0]:.4g}"
        )
        raise PSFError(
            "HC-P14",
            f"the PSFs are on pixels of {have:.4g} arcsec, {found}",
            "match first, thin out later; or give PSFs for these pixels: with_psf(cube, psf)",
        )


def _psf_width(to: str | xr.DataArray, cube: xr.Dataset) -> float:
    """Return the FWHM of a target that is known as a PSF [arcsec]."""
    if isinstance(to, str):
        return (
            width_of(to) or fwhm_of(target_psf(cube.psf, to, scale := scale_of(cube.psf))) * scale
        )
    return fwhm(prepare_psf(to.values, scale=scale_of(to)).values) * scale_of(to)


def _named(to: str | xr.DataArray, cube: xr.Dataset) -> str:
    if isinstance(to, str):
        return to
    name = str(to.name or "psf")
    if (cube.matched_to.values == name).all():
        return name
    raise PSFError(
        "HC-P09",
        "matching to a PSF image needs the PSFs of the bands",
        "give them: with_psf(cube, psf)",
    )


def _target_width(cube: xr.Dataset, to: str) -> float:
    if width := width_of(to):
        return width
    if to in (names := cube.band.values.tolist()):
        return float(cube.psf_fwhm.values[names.index(to)])
    if (already := cube.matched_to.values == to).any():
        return float(cube.psf_fwhm.values[already][0])
    known = ", ".join(cube.band.values)
    raise PSFError(
        "HC-B05",
        f"the target {to!r} is not in the cube",
        f"choose to= from {known}, or a width such as '0.3arcsec'",
    )
