"""The light beyond the frame of a PSF: how much it is, and where it is taken to be."""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hstcube import shipped
from hstcube.basics.memory import remembered
from hstcube.core.bands import band as find_band
from hstcube.core.state import in_band_order
from hstcube.errors import BandError, PSFError
from hstcube.inputs.quantities import numbers_in

if TYPE_CHECKING:
    from collections.abc import Iterable

    import xarray as xr
    from numpy.typing import NDArray

    Image64 = NDArray[np.float64]

__all__ = ["Energy", "energies_of", "energy_inside", "half_side", "known_energy", "wings"]

WINGS_END = 6.0  # arcsec: what STScI calls all light ends at 5.5 to 6
_LONGER = 1.5  # times half the side of a frame that reaches as far as that itself
_ANGLES = 64


class Energy(NamedTuple):
    """The share of a star's light inside a frame, and its error; NaN where no table knows it."""

    share: float
    error: float


UNKNOWN = Energy(math.nan, math.nan)


def energy_inside(name: str, half: float, *, instrument: str = "", detector: str = "") -> Energy:
    """Return the share of the light of a star inside a square.

    The encircled energies that STScI lists are interpolated in 1/r, as wings that fall like r^-3
    make them, from the smallest listed radius to the one that is called all light. Of a profile
    that is the same in all directions, a square holds the mean over the angle of what circles
    through its sides hold.

    Parameters
    ----------
    name : str
        Band.
    half : float
        Half the side of the square [arcsec].
    instrument, detector : str
        Of the camera; by default the one that the band's name stands for.

    Returns
    -------
    Energy
        Share and error; NaN for a band of no list, and for squares smaller than the lists begin.

    Notes
    -----
    ``energy_cameras.csv`` has the source of each list and what it calls all light. The error is
    that of the list's share outside, so it shrinks with it.
    """
    try:
        of = find_band(name, instrument=instrument, detector=detector)
    except BandError:
        return UNKNOWN
    curve = _curves().get((of.instrument, of.detector, of.name))
    if curve is None or half < curve.radii[0]:
        return UNKNOWN
    edge = half / np.cos((np.arange(_ANGLES) + 0.5) / _ANGLES * np.pi / 4)
    outside = float(np.interp(1 / edge, curve.inverse, curve.outside).mean())
    listed = float(np.interp(1 / curve.radii[-1], curve.inverse, curve.outside))
    return Energy(1 - outside, curve.error * min(outside / listed, 1.0))


class _Curve(NamedTuple):
    """The light outside circles of growing 1/radius [arcsec^-1]."""

    radii: tuple[float, ...]
    inverse: Image64
    outside: Image64
    error: float


@cache
def _curves() -> dict[tuple[str, str, str], _Curve]:
    cameras = {
        (row["instrument"], row["detector"]): row
        for row in shipped.table("hstcube.psf", "energy_cameras.csv")
    }
    curves = {}
    for row in shipped.table("hstcube.psf", "energies.csv"):
        camera = cameras[row["instrument"], row["detector"]]
        radii = tuple(map(float, row["radii"].split()))
        inverse = [1 / float(camera["total"]), *(1 / r for r in reversed(radii))]
        outside = [0.0, *(1 - float(share) for share in reversed(row["shares"].split()))]
        curves[row["instrument"], row["detector"], row["name"]] = _Curve(
            radii, np.array(inverse), np.array(outside), float(camera["error"])
        )
    return curves


def half_side(image: NDArray[np.floating], scale: float) -> float:
    """Return half the side [arcsec] of the square that a PSF's image fills.

    Images of smaller frames have zeros around them when they are stacked with larger ones.
    """
    filled = image != 0
    middle = image.shape[0] // 2
    reach = max(
        (int(np.abs(np.flatnonzero(filled.any(axis)) - middle).max(initial=0)) for axis in (0, 1)),
        default=0,
    )
    return (reach + 0.5) * scale


def energies_of(psfs: Iterable[xr.DataArray]) -> dict[str, Any]:
    """Return the coordinate ``psf_energy`` (band) of PSFs (ky, kx) that are to be stacked.

    It is theirs where they have it, NaN elsewhere; there is none where no PSF has it.
    """
    told = [float(psf.coords.get("psf_energy", math.nan)) for psf in psfs]
    return {} if all(map(math.isnan, told)) else {"psf_energy": ("band", told)}


def known_energy(cube: xr.Dataset, psf: xr.DataArray | None = None) -> dict[str, Any]:
    """Return the coordinates ``psf_energy`` and ``psf_energy_error`` (band) of a cube.

    Parameters
    ----------
    cube : Dataset
        With PSFs.
    psf : DataArray, (band, ky, kx), optional
        Those that are given; by default the cube's own.

    Returns
    -------
    dict of str to (dims, array)
        What the PSFs say of themselves, else what the lists say of the band in its camera and of
        the frame that the PSF fills; NaN where neither does.

    Raises
    ------
    PSFError
        If what the PSFs say is no share.
    """
    psf = cube.psf if psf is None else psf
    number, scale = cube.sizes["band"], float(np.diff(cube.ky.values[:2])[0])
    share = _told(cube, psf, "psf_energy", math.nan, above=0, most=1)
    error = _told(cube, psf, "psf_energy_error", 0.0, least=0, most=1)
    cameras = [
        cube[name].values.tolist() if name in cube.coords else [""] * number
        for name in ("instrument", "detector")
    ]
    images = cube.variables["psf"].transpose("band", "ky", "kx").values
    for i, name in enumerate(cube.band.values.tolist()):
        if math.isnan(share[i]):
            half = half_side(images[i], scale)
            of = {"instrument": cameras[0][i], "detector": cameras[1][i]}
            share[i], error[i] = energy_inside(name, half, **of)
    return {"psf_energy": ("band", share), "psf_energy_error": ("band", error)}


def _told(cube: xr.Dataset, psf: xr.DataArray, name: str, default: float, **limits: Any) -> Image64:
    """Return a coordinate (band) of PSFs, in the order of the cube's bands."""
    told = psf.coords.get(name)
    if told is None:
        return np.full(cube.sizes["band"], default)
    values = told.values if told.ndim == 0 else in_band_order(cube, told).values
    limits |= {"nan": True, "code": "HC-P08", "error": PSFError}
    return np.broadcast_to(numbers_in("", values, name, **limits), cube.sizes["band"]).copy()


@remembered(16)
def wings(half: int, scale: float) -> Image64:
    """Return what PSFs are like beyond their frames, (ky, kx), unit sum.

    Surface brightness falls as r^-3, from the sides of the frame to 6 arcsec (or half as far again
    as a frame that reaches that far): scattering by a mirror's roughness, and the mean of
    diffraction rings (King 1971, PASP 83, 199; Krist 1995, ASP Conf. 77, 349).

    Parameters
    ----------
    half : int
        Pixels between the middle of the frame and its sides.
    scale : float
        Size of a pixel [arcsec].
    """
    reach = max(math.ceil(WINGS_END / scale), math.ceil(_LONGER * half))
    offset = np.arange(-reach, reach + 1)
    square = offset[:, None] ** 2 + offset[None, :] ** 2
    beyond = np.maximum(np.abs(offset)[:, None], np.abs(offset)[None, :]) > half
    light = np.where(beyond & (square <= reach**2), np.maximum(square, 1) ** -1.5, 0.0)
    return np.asarray(light / light.sum())
