"""One resolution for every band: the choice of kernels, the matching of sci and its variance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hstcube.basics.blocks import over_bands
from hstcube.basics.choices import require_choice
from hstcube.basics.convolution import convolver, coverage_of_full_frame
from hstcube.core.bands import band_name
from hstcube.core.grids import Grid
from hstcube.core.rules import taken
from hstcube.core.state import in_band_order, updated, warn, warned_of_lost
from hstcube.errors import PSFError
from hstcube.noise.groups import pixel_acf, with_matched_noise
from hstcube.noise.spread import correlated_spread
from hstcube.psf.kernels import gaussian_kernels, matched_psfs, matching_kernels, target_width
from hstcube.psf.preparation import SAME_SCALE, prepare_psf, scale_of
from hstcube.psf.profiles import fwhm
from hstcube.psf.quality import failing, fwhm_of, target_psf, width_of
from hstcube.psf.solver import KernelMethod, is_identity, trimmed

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

    Image64 = NDArray[np.float64]

__all__ = ["choose_kernels", "knows_psfs", "match_plane", "psf_match"]

_SUM_TOLERANCE = 1e-6
_GAUSSIAN = (
    "no PSF images: matched with Gaussians of the bands' widths, which miss the wings; expect "
    "encircled energies in small apertures to be off by up to 20 % in ACS and 13 % in WFC3/IR"
)


def psf_match(
    cube: xr.Dataset,
    to: str | xr.DataArray = "f160w",
    *,
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
    cube = taken(cube)
    require_choice("method", method, KernelMethod, code="HC-P06", error=PSFError)
    to = _canonical(to)
    name = _name_of(to)
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
    psf = {"psf": matched_psfs(cube.psf, chosen)} if "psf" in cube.coords else {}
    matched = updated(
        with_matched_noise(cube, chosen),
        f"psf_match(to={name!r}, min_coverage={min_coverage})",
        sci=sci,
        wht=wht,
        mask=cube.mask.data & (wht > 0),
        psf_fwhm=np.full(number, _reached_width(to, cube, measured=measured)),
        matched_to=np.full(number, name, object),
        **psf,
    )
    return _warned_of_lost(cube, matched)


def _warned_of_lost(before: xr.Dataset, after: xr.Dataset) -> xr.Dataset:
    """Return the matched cube, with a warning where many pixels lost their data; not of dask's."""
    if before.wht.chunks or after.wht.chunks:
        return after
    had = before.wht.values > 0
    gone = had & ~(after.wht.values > 0)
    return warned_of_lost(after, had.sum((1, 2)), gone.sum((1, 2)))


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
    require_choice("method", method, KernelMethod, code="HC-P06", error=PSFError)
    to = _canonical(to)
    name = _name_of(to)
    done = cube.matched_to.values == name
    if knows_psfs(cube, to):
        _require_scale(cube)
        made = matching_kernels(cube.psf, to=to, method=method)
        return _gated(cube, made, name, done, allow), _identity_where(done, made.variable)
    chosen = gaussian_kernels(cube, to=_named(to, cube)).variable
    if chosen.size > chosen.sizes["band"]:
        cube = warn(cube, "HC-P12", _GAUSSIAN)
    return cube, _identity_where(done, chosen)


def knows_psfs(cube: xr.Dataset, to: str | xr.DataArray) -> bool:
    """Return whether kernels will come from PSFs: there are some, and something is to be done."""
    return "psf" in cube.coords and bool((cube.matched_to.values != _name_of(to)).any())


def _canonical(to: str | xr.DataArray) -> str | xr.DataArray:
    return to if not isinstance(to, str) or width_of(to) else band_name(to)


def _name_of(to: str | xr.DataArray) -> str:
    """Return what ``matched_to`` says of a target."""
    return to if isinstance(to, str) else str(to.name or "psf")


def match_plane(
    sci: Any, wht: Any, kernel: Image64, min_coverage: float = 0.25, acf: Image64 | None = None
) -> tuple[Any, Any]:
    """Match one image: sci is convolved with the kernel, its variance with the squared kernel.

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
    convolve = convolver(kernel, sci.shape)
    seen, share = _shares_seen(kernel, valid)
    if valid.all():
        signal, noise = sci, 1 / wht.astype(np.float64)
    else:
        signal = np.where(valid, sci, 0)
        noise = np.divide(1.0, wht, where=valid, out=np.zeros(sci.shape), dtype=float)
    keep = valid & (share >= min_coverage * np.abs(kernel).sum()) & (seen > 0)
    matched = convolve(signal)
    if acf is None:
        spread = convolver(kernel**2, sci.shape)(noise)
    else:
        spread = correlated_spread(noise, kernel, acf)
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


def _shares_seen(kernel: Image64, valid: Any) -> tuple[Image64, Image64]:
    """Return the sums of the kernel, and of its absolute values, over the pixels with data."""
    absolute = np.abs(kernel)
    signed = bool((kernel < 0).any())
    if valid.all():
        seen = coverage_of_full_frame(kernel, valid.shape)
        return seen, coverage_of_full_frame(absolute, valid.shape) if signed else seen
    seen = convolver(kernel, valid.shape)(valid)
    return seen, convolver(absolute, valid.shape)(valid) if signed else seen


def _identity_where(done: NDArray[np.bool_], kernels: xr.Variable) -> xr.Variable:
    """Replace the kernels of finished bands: what is at the target already passes through."""
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
) -> xr.Dataset:
    """Refuse bands that miss the target, unless they may; write down how good the others are."""
    everything = allow in ("all", True)
    allowed = cube.band.values.tolist() if everything else [band_name(band) for band in allow]
    figures = (kernels.ee_error.values, kernels.residual.values, kernels.negative.values)
    for band, finished, *values in zip(cube.band.values, done, *figures, strict=True):
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
    return cube.assign_coords(
        psf_ee_error=("band", kernels.ee_error.values),
        psf_negative=("band", kernels.negative.values),
    )


def _require_scale(cube: xr.Dataset) -> None:
    """Require PSFs that lie as the images do: a cube may have been thinned out or flipped."""
    have, steps = scale_of(cube.psf), Grid.of(cube).steps
    flipped = [axis for axis in ("y", "x") if _is_flipped(cube[axis].values)]
    if flipped:
        found = f"the images are flipped in {flipped[0]}"
    elif any(abs(step / have - 1) > SAME_SCALE for step in steps):
        found = f"the images on pixels of {steps[0]:.4g}"
    else:
        return
    raise PSFError(
        "HC-P14",
        f"the PSFs are on pixels of {have:.4g} arcsec, {found}",
        "match first, thin out later; or give PSFs for these pixels: with_psf(cube, psf)",
    )


def _is_flipped(places: NDArray[np.float64]) -> bool:
    return len(places) > 1 and bool(places[1] < places[0])


def _reached_width(to: str | xr.DataArray, cube: xr.Dataset, *, measured: bool) -> float:
    """Return the FWHM [arcsec] after matching: of the target's PSF, where that is known."""
    if not isinstance(to, str):
        return fwhm(prepare_psf(to.values, scale=scale_of(to)).values) * scale_of(to)
    if not measured:
        return target_width(cube, to)
    scale = scale_of(cube.psf)
    return width_of(to) or fwhm_of(target_psf(cube.psf, to, scale)) * scale


def _named(to: str | xr.DataArray, cube: xr.Dataset) -> str:
    """Return the name of a target that Gaussians can reach: a PSF is none, unless all is done."""
    name = _name_of(to)
    if isinstance(to, str) or (cube.matched_to.values == name).all():
        return name
    raise PSFError(
        "HC-P09",
        "matching to a PSF image needs the PSFs of the bands",
        "give them: with_psf(cube, psf)",
    )
