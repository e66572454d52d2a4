"""What kernels of unit sum do not see: light beyond the frames of PSFs, and light in holes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from hstcube.basics.blocks import over_bands
from hstcube.basics.convolution import convolver, margin_of
from hstcube.basics.holes import LOOKS, judged, share_seen
from hstcube.core.grids import Grid
from hstcube.core.offsets import noise_scale
from hstcube.core.rules import COVERAGE, DIMS, TOLD
from hstcube.core.state import in_band_order, note
from hstcube.matching.solver import is_identity, trimmed
from hstcube.matching.targets import width_of
from hstcube.psf.energy import known_energy, wings
from hstcube.psf.preparation import on_one_frame

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Image64 = NDArray[np.float64]

__all__ = [
    "after_match",
    "energy_ratios",
    "given_ratios",
    "match_beyond",
    "ratios",
    "whole_kernel",
    "with_what_was_missed",
]

_LEAST = 0.02  # of the wings: where less sees data, the level beyond is not known


def energy_ratios(
    cube: xr.Dataset, to: str | xr.DataArray
) -> tuple[xr.Dataset, Image64, dict[str, Any]]:
    """Return what the light inside a band's frame is to be multiplied with, (band,), and the cube.

    And the coordinates ``psf_energy`` and ``psf_energy_error`` that it is to have.

    The target's share of a star's light inside the frame over the band's; 1 where one of them is
    not known, which is noted, and for bands that are at the target. A Gaussian, and a PSF that
    says nothing else, holds all light.
    """
    told = known_energy(cube)
    share = told["psf_energy"][1]
    name = to if isinstance(to, str) else str(to.name or "psf")
    done = cube.variables["matched_to"].values == name
    ratio = np.where(done, 1.0, ratios(share, (cube.variables["band"].values == name) | done, to))
    unknown = np.isnan(ratio)
    if unknown.any():
        listed = ", ".join(sorted(cube.variables["band"].values[unknown]))
        text = f"{listed}: how much of a star's light lies beyond the frame of its PSF is not known"
        cube = note(cube, "HC-P42", f"{text}; it is taken to be as much as in {name}")
    return cube, np.where(unknown, 1.0, ratio), told


def ratios(share: Image64, same: NDArray[np.bool_], to: str | xr.DataArray) -> Image64:
    """Return the target's share of a star's light inside the frame over that of bands, (band,).

    Parameters
    ----------
    share : array, (band,)
        Of the bands; NaN where it is not known.
    same : array of bool, (band,)
        Bands whose PSF is the target, where `to` names one.
    to : str or DataArray
        The target, as `as_target` gives it.
    """
    if not isinstance(to, str):
        aim = float(to.coords.get("psf_energy", 1.0))
    else:
        aim = 1.0 if width_of(to) else float(share[same][0])
    return np.where(same, 1.0, aim / share)


def after_match(cube: xr.Dataset, ratio: Image64, told: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``psf_energy`` and ``psf_energy_error`` (band) after a cube was matched.

    Before, they are those that are `told`, else the cube's own.
    """
    names = ("psf_energy", "psf_energy_error")
    known = {name: cube.variables[name].values for name in names if name in cube.variables}
    known |= {name: told[name][1] for name in names if name in told}
    return {name: values * ratio for name, values in known.items()}


def match_beyond(
    cube: xr.Dataset, sci: Any, wht: Any, ratio: NDArray[np.float64], kernels: xr.Variable
) -> tuple[Any, Any]:
    """Bring the light beyond the frames of PSFs to the target, too.

    With p and q the parts of a band's PSF and of the target's inside the frame, unit sums, of which
    a star's light has the shares e and f, w the wings beyond (`wings`), and k the kernel that makes
    q of p: the kernel (f/e) k + (1 - f/e) w, of unit sum, makes f q + (1 - f) w of e p + (1 - e) w,
    but for w convolved with k and with p, which is w to 1 part in 100 of that light.

    Parameters
    ----------
    cube : Dataset
        Before it was matched.
    sci, wht : array, (band, y, x)
        What kernels of unit sum made of it.
    ratio : array, (band,)
        f/e.
    kernels : Variable, (band, ky, kx)
        Those of unit sum; ``frame`` among their attributes is the side of the PSFs' frames.

    Returns
    -------
    tuple of array, (band, y, x)
        Where the sky is subtracted, what lies beyond the frame of the images counts as sky, for
        wings normalised by what they see would undo the half of it: in a stamp of 6 arcsec they
        see mostly the object's own surroundings. Where it is not, they are so normalised, and a
        constant stays one. Errors are those of the part inside the frame: that of w adds less than
        1e-6 of the variance.
    """
    if (ratio == 1).all():
        return sci, wht
    grid = Grid.of(cube)
    kernel = wings(_frame(cube, kernels) // 2, grid.scale)
    level = xr.Variable("band", np.isnan(cube.variables["sky"].values).astype(float))
    new = over_bands(
        lambda sci, wht, before, seen, ratio, level: _plane(
            sci, wht, before, seen, kernel=kernel, ratio=float(ratio), level=bool(level)
        ),
        xr.Variable(DIMS, sci),
        xr.Variable(DIMS, wht),
        cube.variables["sci"],
        cube.variables["wht"],
        parameters=(xr.Variable("band", ratio), level),
        outputs=2,
        halo=(kernel.shape[0] // 2,) * 2,
        alone=2,
    )
    return new[0], new[1]


def _frame(cube: xr.Dataset, kernels: xr.Variable) -> int:
    """Return the side of the PSFs' frames in pixels: where a cube has none, as its kernels say."""
    said = kernels.attrs.get("frame", kernels.sizes["ky"])
    return int(cube.sizes["ky"] if "psf" in cube.coords else said)


def _plane(
    sci: Any, wht: Any, before: Any, seen: Any, *, kernel: Image64, ratio: float, level: bool
) -> tuple[Any, Any]:
    if ratio == 1:
        return sci, wht
    valid = seen > 0
    convolve = convolver(kernel, before.shape, margin_of(before, sci))
    beyond = convolve(np.where(valid, before, 0))
    if level:
        share = convolve(valid)
        enough = share > _LEAST
        beyond = np.where(enough, beyond / np.where(enough, share, 1), sci)
    made = ratio * sci.astype(np.float64) + (1 - ratio) * beyond
    return made.astype(sci.dtype, copy=False), (wht / ratio**2).astype(wht.dtype, copy=False)


def whole_kernel(kernel: Image64, ratio: float, half: int, scale: float) -> Image64:
    """Return the one kernel that `match_beyond` stands for, (ky, kx), unit sum.

    Parameters
    ----------
    kernel : array, (ky, kx)
        Inside the frame, unit sum.
    ratio : float
        The target's share of a star's light inside the frame over the band's.
    half : int
        Pixels between the middle of the PSFs' frame and its sides.
    scale : float
        Size of a pixel [arcsec].
    """
    inside, beyond = on_one_frame(kernel, wings(half, scale))
    return ratio * inside + (1 - ratio) * beyond


def given_ratios(cube: xr.Dataset, kernels: xr.DataArray) -> Image64:
    """Return the ratios (band,) that kernels of `matching_kernels` come with; 1 with others."""
    if "energy_ratio" not in kernels.coords:
        return np.ones(cube.sizes["band"])
    ratio = in_band_order(cube, kernels.coords["energy_ratio"]).values
    return np.where(np.isnan(ratio), 1.0, ratio)


# -- holes


def with_what_was_missed(
    before: xr.Dataset, after: xr.Dataset, kernels: xr.Variable, ratio: Image64
) -> xr.Dataset:
    """Return a matched cube that tells of the light which kernels may have missed in holes.

    In its errors, or by dropping pixels: see `judged`. ``coverage``, (band, y, x), is the share of
    its kernel's absolute sum that a pixel saw, wings beyond the PSFs' frames left out: 1 where
    nothing was missed, 0 where there is no data. What a cube had missed before counts too.

    Parameters
    ----------
    before, after : Dataset
        Not yet convolved, and convolved.
    kernels : Variable, (band, ky, kx)
    ratio : array, (band,)
        As in `match_beyond`.
    """
    new = after.copy()  # shallow
    if before.variables["wht"].chunks or not bool((before.variables["wht"].values > 0).all()):
        sci, wht = _judged(before, after, _with_wings(before, kernels, ratio))
        new.variables["sci"].data, new.variables["wht"].data = sci, wht
        new.variables["mask"].data = after.variables["mask"].data & (wht > 0)
    told = COVERAGE in before.variables
    seen = before[COVERAGE].variable.astype(np.float32) if told else before.variables["wht"]
    look = _seen_by if told else _seen_by_data
    (share,) = over_bands(look, seen, parameters=(kernels,), halo=_half(kernels))
    has = new.variables["wht"].data > 0
    if before.variables["wht"].chunks or after.variables["wht"].chunks or not has.all():
        share = share * has
    new[COVERAGE] = (DIMS, share, TOLD[COVERAGE])
    return new


def _half(kernels: xr.Variable) -> tuple[int, int]:
    return kernels.sizes["ky"] // 2, kernels.sizes["kx"] // 2


def _with_wings(cube: xr.Dataset, kernels: xr.Variable, ratio: Image64) -> xr.Variable:
    """Return the kernels with their wings beyond the frames of PSFs, where there are such."""
    if (ratio == 1).all():
        return kernels
    scale, half = Grid.of(cube).scale, _frame(cube, kernels) // 2
    pairs = zip(kernels.values, ratio, strict=True)
    whole = [whole_kernel(kernel, float(one), half, scale) for kernel, one in pairs]
    return xr.Variable(kernels.dims, np.stack(whole))


def _judged(before: xr.Dataset, after: xr.Dataset, kernels: xr.Variable) -> tuple[Any, ...]:
    """Return images and weights of what is kept."""
    half = _half(kernels)
    inside = before.variables["wht"] * 0 + 1  # blocks have margins of 0 beyond the frame
    return over_bands(
        _judged_band,
        *(
            after.variables["sci"],
            after.variables["wht"],
            before.variables["sci"],
            before.variables["wht"],
            inside,
        ),
        parameters=(kernels, noise_scale(before), noise_scale(after)),
        outputs=2,
        halo=(half[0] + LOOKS, half[1] + LOOKS),
        alone=2,
    )


def _judged_band(
    matched: Any, weights: Any, sci: Any, wht: Any, inside: Any, *parameters: Any
) -> tuple[Any, Any]:
    kernel, scale, scale_after = parameters
    kernel = trimmed(kernel)
    if is_identity(kernel):
        return matched, weights
    return judged(matched, weights, sci, wht, inside, kernel, float(scale), float(scale_after))


def _seen_by(seen: Any, kernel: Image64) -> Any:
    kernel = trimmed(kernel)
    return seen if is_identity(kernel) else share_seen(seen, kernel)


def _seen_by_data(wht: Any, kernel: Image64) -> Any:
    return np.asarray(_seen_by(wht > 0, kernel), dtype=np.float32)
