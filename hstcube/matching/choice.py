"""The band that all others can be matched to, where nobody names one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hstcube.core.bands import cameras
from hstcube.core.state import attribute
from hstcube.errors import PSFError
from hstcube.matching.pairs import pair
from hstcube.matching.quality import shortfall
from hstcube.matching.targets import fwhm_of, target_psf
from hstcube.psf.preparation import scale_of
from hstcube.psf.profiles import half_light_radius

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import xarray as xr
    from numpy.typing import NDArray

    from hstcube.matching.solver import KernelMethod

    Image64 = NDArray[np.float64]

__all__ = ["OF_SURVEYS", "Choice", "Nearest", "chosen_among", "chosen_target", "nearest_among"]

OF_SURVEYS = "f160w"  # what the images of HST's surveys are matched to
_NEARLY = 0.8  # of the largest: a PSF narrower than this, in core and half light, is no target
_WIDENED = np.arange(1.05, 2.01, 0.05)  # times the broadest: targets that are offered


class Choice(NamedTuple):
    """What to match, and why: ``why`` is empty where there was nothing to choose."""

    name: str
    why: str = ""


def chosen_target(
    cube: xr.Dataset, *, allow: Collection[str] = (), method: KernelMethod = "mge-wiener"
) -> Choice:
    """Return what a cube is to be matched to, where nobody says it.

    What it is matched to already; F160W, for a known survey; the broadest band that all others
    reach by their kernels, where there are PSFs (`chosen_among`), else the broadest by its width.
    Bands of MIRI are targets only when they are named, or alone: one of them takes all to 0.28 to
    0.8 arcsec.

    Raises
    ------
    PSFError
        If there are PSFs, and no band is one that all others can be matched to.
    """
    names = [str(name) for name in cube.band.values]
    done = {str(name) for name in cube.matched_to.values} - {""}
    if len(done) == 1:
        return Choice(done.pop())
    if attribute(cube, "survey") and OF_SURVEYS in names:
        return Choice(OF_SURVEYS)
    if len(names) == 1:
        return Choice(names[0])
    if "psf" in cube.coords and not done:
        return chosen_among(cube.psf, allow=allow, method=method)
    able = _able(names)
    widths = dict(zip(names, cube.psf_fwhm.values.tolist(), strict=True))
    known = [name for name in able if not math.isnan(widths[name])]
    return Choice(max(known or able[-1:], key=widths.__getitem__), "the broadest by its width")


def chosen_among(
    psf: xr.DataArray, *, allow: Collection[str] = (), method: KernelMethod = "mge-wiener"
) -> Choice:
    """Return the broadest band whose PSF all others can be brought to by their kernels.

    Widths alone order wrongly: F160W has the broader core, F444W more light in its wings, and
    measured cores of F105W may be 1 % broader than those of F160W. Bands are tried as targets
    from the largest half-light radius on, and what the gate says of the kernels decides.

    Parameters
    ----------
    psf : DataArray, (band, ky, kx)
    allow : collection of str
        Bands that may miss the target.
    method : str
        As in `matching_kernels`.

    Raises
    ------
    PSFError
        If no band serves; a Gaussian that does is offered.
    """
    found = nearest_among(psf, allow=allow, method=method)
    if found.figure > 1:
        raise _none_serves(psf, found, allow, method)
    if not found.other:
        return Choice(found.name)
    share = f"{found.other} with {found.figure:.0%} of the error allowed"
    return Choice(found.name, f"the broadest that all others reach, {share}")


class Nearest(NamedTuple):
    """A band as a target, and which of the others is farthest from it."""

    name: str
    figure: float = 0.0
    """How far: the worst figure of its match, as a share of what is allowed."""
    other: str = ""


def nearest_among(
    psf: xr.DataArray, *, allow: Collection[str] = (), method: KernelMethod = "mge-wiener"
) -> Nearest:
    """Return the broadest band that all others reach, else the one that they come nearest to.

    See `chosen_among`.
    """
    scale, images = scale_of(psf), _images(psf, allow)
    tried = []
    for name in _broad(images, scale):
        figure, other = _furthest(images, name, images[name], scale, method)
        tried.append(Nearest(name, figure, other))
        if figure <= 1:
            return tried[-1]
    return min(tried, key=lambda found: found.figure)


def _images(psf: xr.DataArray, allow: Collection[str]) -> dict[str, Image64]:
    """Return the PSFs that a target is chosen among, and by."""
    names = [str(name) for name in psf.band.values]
    images = dict(zip(names, psf.transpose("band", "ky", "kx").values.astype(float), strict=True))
    return {name: images[name] for name in _able([n for n in names if n not in allow] or names)}


def _able(names: Sequence[str]) -> list[str]:
    """Return the bands that may become the target unasked: those of MIRI only among themselves."""
    others = [name for name in names if not _of_miri(name)]
    return others or list(names)


def _of_miri(name: str) -> bool:
    return {camera.instrument for camera in cameras(name)} == {"MIRI"}


def _broad(images: dict[str, Image64], scale: float) -> list[str]:
    """Return the bands that are nearly as broad as the broadest, in core or half light.

    Those with the largest half-light radius come first.
    """
    cores = {name: fwhm_of(image) for name, image in images.items()}
    radius = 1.2 / scale
    halves = {
        name: half_light_radius(image, min(radius, image.shape[0] // 2))
        for name, image in images.items()
    }
    least = _NEARLY * max(cores.values()), _NEARLY * max(halves.values())
    able = [name for name in images if cores[name] > least[0] or halves[name] > least[1]]
    return sorted(able, key=halves.__getitem__, reverse=True)


def _furthest(
    images: dict[str, Image64], to: str, target: Image64, scale: float, method: KernelMethod
) -> tuple[float, str]:
    """Return how far the band that misses a target most is from it, and its name."""
    found = [(0.0, "")]
    for name, image in images.items():
        if name != to:
            quality = pair(image, target, scale, method).quality
            found.append((shortfall(quality.ee_error, quality.residual, quality.negative), name))
    return max(found)


def _none_serves(
    psf: xr.DataArray, found: Nearest, allow: Collection[str], method: KernelMethod
) -> PSFError:
    """Return the error for PSFs of which none serves, with the narrowest Gaussian that does."""
    scale, images = scale_of(psf), _images(psf, allow)
    broadest = max(fwhm_of(image) for image in images.values()) * scale
    fix = "leave a band out, or let it miss: "
    for width in np.ceil(broadest * _WIDENED * 100) / 100:
        wide = f"{width:.12g}arcsec"
        if _furthest(images, "", target_psf(psf, wide, scale), scale, method)[0] <= 1:
            fix = f"choose the Gaussian [[--to {wide}|to={wide!r}]], which all reach; or "
            break
    reason = f"no band is one that all others can be matched to: {found.other} misses {found.name}"
    fix += f"[[--allow {found.other}|allow=['{found.other}']]]"
    return PSFError("HC-P34", reason, fix)
