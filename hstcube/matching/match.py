"""One resolution for every band: the choice of kernels, the matching of sci and its variance."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from hstcube.basics.blocks import over_bands
from hstcube.basics.convolution import convolver
from hstcube.basics.holes import sums_seen
from hstcube.core.bands import name_among, names_in
from hstcube.core.grids import Grid
from hstcube.core.offsets import pixel_acf, without_psf
from hstcube.core.rules import taken
from hstcube.core.state import note, tell_of_lost, updated, warn
from hstcube.errors import PSFError
from hstcube.inputs.choices import require_choice
from hstcube.inputs.quantities import number_in
from hstcube.matching.beyond import (
    after_match,
    energy_ratios,
    given_ratios,
    match_beyond,
    with_what_was_missed,
)
from hstcube.matching.choice import chosen_target
from hstcube.matching.kernels import (
    checked_kernels,
    gaussian_kernels,
    kernels_of,
    matched_psfs,
    reached_widths,
    require_in_frame,
    require_scale,
    target_width,
)
from hstcube.matching.quality import failing, with_doubts
from hstcube.matching.solver import KernelMethod, is_identity, trimmed
from hstcube.matching.targets import (
    as_target,
    fwhm_of,
    target_psf,
    told_of_fine_pixels,
    width_of,
)
from hstcube.noise.groups import with_matched_noise
from hstcube.noise.spread import correlated_spread
from hstcube.psf.preparation import prepare_psf, scale_of
from hstcube.psf.profiles import fwhm

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Image64 = NDArray[np.float64]

__all__ = ["choose_kernels", "knows_psfs", "match_plane", "psf_match"]

_FRAMES = 4  # sides of the frame: PSFs are cut to that
_GAUSSIAN = (
    "no PSF images: matched with Gaussians of the bands' widths, which miss the wings; expect "
    "encircled energies in small apertures to be off by up to 20 % in ACS and 13 % in WFC3/IR"
)


def psf_match(
    cube: xr.Dataset,
    to: Any = None,
    *,
    kernels: xr.DataArray | None = None,
    min_coverage: Any = 0.25,
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
    along. Holes are not filled; beside them errors hold the light that a kernel may have missed
    there, and pixels that may have missed the core of a star are dropped. What ``psf_energy`` says
    lies beyond the frames of the PSFs is brought to the target's share by wings that fall like r^-3
    (`match_beyond`). Bands that are matched to the target already pass through bit for bit.

    Parameters
    ----------
    cube : Dataset
    to : str, Quantity or DataArray, optional
        The band to match; or a width: ``"0.6arcsec"`` or ``600 * u.mas`` is a Gaussian of that
        FWHM; or a PSF (ky, kx) with offsets in arcsec, as `prepare_psf` gives it, for cubes that
        have PSFs. When not given: what the cube is matched to, F160W for a survey of HST, else the
        broadest band that all others reach, which is noted; bands of MIRI only when named.
    kernels : DataArray, (band, ky, kx), optional
        Unit sum, odd sizes, on the cube's pixels, which their offsets ``ky``, ``kx`` [arcsec] must
        say where they have some; `to` then names what they lead to. Where they have none, and a
        band is far from the target by the width of its kernel, ``psf_fwhm`` and ``warnings`` say
        so.
    min_coverage : float
        A pixel keeps its data when at least this share of the kernel's absolute sum saw data. A
        corner of the frame sees 0.3 or more.
    method : {"mge-wiener", "wiener", "gaussian"}
        How `matching_kernels` makes kernels from PSFs.
    allow : str, sequence of str, or "all"
        Bands that may miss the target; it is recorded.

    Returns
    -------
    Dataset
        The same cube at one resolution: new ``sci``, ``wht``, ``psf`` if there was one,
        ``psf_fwhm`` [arcsec] and ``matched_to``; ``noise_scale`` and ``noise_acf`` say how the
        matching correlated the pixels, ``psf_ee_error`` and ``psf_negative`` (band) how good
        measured kernels are, ``coverage`` (band, y, x) what share of its kernel each pixel saw.

    Raises
    ------
    PSFError
        If the target is not in the cube, a width is unknown, a band is broader than the target, a
        band misses it with measured PSFs, or a kernel is even, does not sum to one, or is on pixels
        of another size; if the target is much wider than the frame.
    RecipeError
        If `to` is no target, or `min_coverage` no share.

    Examples
    --------
    >>> import hstcube
    >>> matched = hstcube.psf_match(hstcube.example(), to="f160w")
    >>> matched.psf_fwhm.round(3).values.tolist()[:2]
    [0.195, 0.195]
    """
    cube = taken(cube)
    require_choice("method", method, KernelMethod, code="HC-P06", error=PSFError)
    min_coverage = number_in("", min_coverage, "min_coverage", least=0, most=1)
    cube, to = _chosen(cube, to, allow, method, given=kernels is not None)
    name = _name_of(to)
    cube = told_of_fine_pixels(cube, name)
    measured = kernels is None and knows_psfs(cube, to)
    missed: dict[str, float] = {}
    told: dict[str, Any] = {}
    if kernels is None:
        cube, chosen, ratio, told = choose_kernels(cube, to=to, method=method, allow=allow)
    else:
        stack, ratio = checked_kernels(kernels, cube), given_ratios(cube, kernels)
        if isinstance(to, str) and not {"ky", "kx"} <= {*kernels.coords}:
            missed = reached_widths(cube, to, stack)
        cube = _noted(cube, missed, name)
        chosen = _identity_where(cube.variables["matched_to"].values == name, stack)
    sci, wht = over_bands(
        lambda sci, wht, kernel, acf: match_plane(sci, wht, kernel, min_coverage, acf),
        cube.variables["sci"],
        cube.variables["wht"],
        parameters=(chosen, pixel_acf(cube)),
        outputs=2,
        halo=(chosen.sizes["ky"] // 2, chosen.sizes["kx"] // 2),
    )
    sci, wht = match_beyond(cube, sci, wht, ratio, chosen)
    psf = {}
    if "psf" in cube.coords:
        psf = {"psf": matched_psfs(cube.psf, chosen), **after_match(cube, ratio, told)}
    matched = updated(
        with_matched_noise(cube, chosen, **told),
        f"psf_match(to={name!r}, min_coverage={min_coverage})",
        sci=sci,
        wht=wht,
        mask=cube.variables["mask"].data & (wht > 0),
        psf_fwhm=_reached(cube, _reached_width(to, cube, measured=measured), missed),
        matched_to=np.full(ratio.size, name, object),
        **psf,
    )
    matched = with_what_was_missed(cube, matched, chosen, ratio)
    _tell_of_lost(cube, matched)
    return matched


def _tell_of_lost(before: xr.Dataset, after: xr.Dataset) -> None:
    """Say where many pixels lost their data; not of dask's, which are not computed here."""
    if not (before.variables["wht"].chunks or after.variables["wht"].chunks):
        had = before.variables["wht"].values > 0
        gone = had & ~(after.variables["wht"].values > 0)
        tell_of_lost(after, had.sum((1, 2)), gone.sum((1, 2)))


def choose_kernels(
    cube: xr.Dataset,
    *,
    to: Any,
    method: KernelMethod = "mge-wiener",
    allow: Any = (),
) -> tuple[xr.Dataset, xr.Variable, Image64, dict[str, Any]]:
    """Return the cube with what there is to say of its match, the kernels of unit sum, the ratios.

    The ratios (band,) are those of the light inside the frames of PSFs: see `energy_ratios`. Last
    come the coordinates that the match gives to the cube.

    Raises
    ------
    PSFError
        As `psf_match`.
    """
    require_choice("method", method, KernelMethod, code="HC-P06", error=PSFError)
    cube, to = _chosen(cube, to, allow, method)
    name = _name_of(to)
    done = cube.variables["matched_to"].values == name
    if knows_psfs(cube, to):
        require_scale(cube)
        if isinstance(to, str):
            require_in_frame(cube, width_of(to) or 0.0)
        else:
            to = _near_frame(to, cube)
        psf = _near_frame(cube.psf, cube)
        made, figures = kernels_of(psf, to, method)
        cube, ratio, told = energy_ratios(_gated(cube, figures, name, done, allow), to)
        told = {
            "psf_ee_error": ("band", figures["predicted_error"]),
            "psf_negative": ("band", figures["negative"].copy()),
        } | told
        stack = xr.Variable(("band", "ky", "kx"), made, {"frame": psf.sizes["ky"]})
        return cube, _identity_where(done, stack), ratio, told
    chosen = gaussian_kernels(cube, to=_named(to, cube)).variable
    if chosen.size > chosen.sizes["band"]:
        cube = warn(cube, "HC-P12", _GAUSSIAN)
    return cube, _identity_where(done, chosen), np.ones(done.size), {}


def knows_psfs(cube: xr.Dataset, to: str | xr.DataArray) -> bool:
    """Return whether kernels will come from PSFs: there are some, and something is to be done."""
    return "psf" in cube.coords and bool((cube.matched_to.values != _name_of(to)).any())


def _chosen(
    cube: xr.Dataset, to: Any, allow: Any, method: KernelMethod, *, given: bool = False
) -> tuple[xr.Dataset, str | xr.DataArray]:
    """Return the target as it is remembered, and the cube, which notes how it was chosen.

    Where kernels are given, PSFs decide nothing.
    """
    if to is not None:
        there = [*cube.variables["band"].values, *cube.variables["matched_to"].values]
        return cube, as_target(to, there, pixel=Grid.of(cube).scale)
    allowed = _allowed(allow, cube.variables["band"].values.tolist())
    choice = chosen_target(without_psf(cube) if given else cube, allow=allowed, method=method)
    if not choice.why:
        return cube, choice.name
    text = f"matched to {choice.name}, FWHM {_width_of(cube, choice.name):.3f} arcsec: {choice.why}"
    return note(cube, "HC-P35", text), choice.name


def _width_of(cube: xr.Dataset, name: str) -> float:
    return float(cube.psf_fwhm.values[cube.band.values.tolist().index(name)])


def _noted(cube: xr.Dataset, widths: dict[str, float], name: str) -> xr.Dataset:
    """Write down which bands miss the target by the widths of the kernels that were given.

    It is no error: who gives kernels of any shape says that they lead there.
    """
    if not widths:
        return cube
    listed = ", ".join(f"{band} {width:.3g} arcsec" for band, width in widths.items())
    text = f"by their kernels' widths these are not at {name}: {listed}; are kernels on the pixels?"
    lines = str(cube.attrs.get("warnings", "")).splitlines()
    lines += [" ".join(note) for note in [("HC-P18", text)]]
    return cube.assign_attrs(warnings="\n".join(dict.fromkeys(lines)))


def _near_frame(psf: xr.DataArray, cube: xr.Dataset) -> xr.DataArray:
    """Cut PSFs that reach far beyond the images, which see nothing of that; most are smaller."""
    grid = Grid.of(cube)
    half = math.ceil(_FRAMES / 2 * max(grid.shape) * max(grid.steps) / scale_of(psf))
    middles = {dim: psf.sizes[dim] // 2 for dim in ("ky", "kx")}
    if max(middles.values()) <= half:
        return psf
    return psf.isel({dim: slice(max(n - half, 0), n + half + 1) for dim, n in middles.items()})


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
    seen, enough = sums_seen(kernel, valid, min_coverage)
    if valid.all():
        signal, noise = sci, 1 / wht.astype(np.float64)
        least = noise.min() / kernel.size
    else:
        signal = np.where(valid, sci, 0)
        noise = np.divide(1.0, wht, where=valid, out=np.zeros(sci.shape), dtype=float)
        least = noise.min(where=valid, initial=np.inf) / kernel.size
    matched = convolver(kernel, sci.shape)(signal)
    if acf is None:
        spread = convolver(kernel**2, sci.shape)(noise)
    else:
        spread = correlated_spread(noise, kernel, acf)
    with np.errstate(divide="ignore", invalid="ignore"):
        np.divide(matched, seen, out=matched)
        np.square(seen, out=seen)
        # Cauchy-Schwarz: K^2 conv var >= min(var) (K conv v)^2 / size. Below it is the rounding of
        # a transform.
        np.maximum(spread, np.multiply(seen, least, out=noise), out=spread)
        weights = np.divide(seen, spread, out=spread)
    if not enough.all():
        drop = ~enough
        matched[drop], weights[drop] = np.nan, 0
    return matched.astype(sci.dtype, copy=False), weights.astype(wht.dtype, copy=False)


def _identity_where(done: NDArray[np.bool_], kernels: xr.Variable) -> xr.Variable:
    """Replace the kernels of finished bands: what is at the target already passes through."""
    values = kernels.values.astype(np.float64)
    values[done] = 0
    values[done, values.shape[1] // 2, values.shape[2] // 2] = 1
    return kernels.copy(data=values)


def _gated(
    cube: xr.Dataset, figures: dict[str, Any], name: str, done: NDArray[np.bool_], allow: Any
) -> xr.Dataset:
    """Refuse bands that miss the target, unless they may; write down which others may be wrong."""
    allowed = _allowed(allow, cube.variables["band"].values.tolist())
    judged = (figures[key] for key in ("ee_error", "residual", "negative"))
    for band, finished, *values in zip(cube.variables["band"].values, done, *judged, strict=True):
        wrong = "" if finished else failing(*values)
        if wrong and band not in allowed:
            raise PSFError(
                "HC-P13",
                f"cannot be matched to {name}: {wrong}",
                "choose a broader target, leave the band out, or accept it: "
                f"[[--allow {band}|allow=['{band}']]]",
                band=str(band),
            )
        if wrong:
            cube = warn(cube, "HC-P13", f"{band}: matched to {name} although {wrong}")
    return with_doubts(cube, figures, done)


def _allowed(allow: Any, bands: list[str]) -> list[str]:
    """Return the bands that may miss the target."""
    if allow is True or (isinstance(allow, str) and allow == "all"):
        return bands
    return [name_among(name, bands) for name in names_in(allow, "allow")]


def _reached_width(to: str | xr.DataArray, cube: xr.Dataset, *, measured: bool) -> float:
    """Return the FWHM [arcsec] after matching: of the target's PSF, where that is known."""
    if not isinstance(to, str):
        return fwhm(prepare_psf(to.values, scale=scale_of(to)).values) * scale_of(to)
    if not measured:
        return target_width(cube, to)
    scale = scale_of(cube.psf)
    return width_of(to) or fwhm_of(target_psf(cube.psf, to, scale)) * scale


def _reached(cube: xr.Dataset, width: float, missed: dict[str, float]) -> NDArray[np.float64]:
    """Return the FWHM [arcsec] of every band: that of the target, unless it was missed."""
    return np.array([missed.get(name, width) for name in cube.variables["band"].values.tolist()])


def _named(to: str | xr.DataArray, cube: xr.Dataset) -> str:
    """Return the name of a target that Gaussians can reach: a PSF is none, unless all is done."""
    name = _name_of(to)
    if isinstance(to, str) or (cube.variables["matched_to"].values == name).all():
        return name
    raise PSFError(
        "HC-P09",
        "matching to a PSF image needs the PSFs of the bands",
        "give them: [[--psf FILE|with_psf(cube, psf)]]",
    )
