"""PSFs of IFUs: Moffat profiles, what headers say of them, and their transfer functions."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hstcube.core.offsets import psf_array
from hstcube.errors import PSFError
from hstcube.inputs.cards import card_value
from hstcube.inputs.quantities import number_in, short
from hstcube.psf.preparation import scale_of
from hstcube.psf.profiles import FWHM_OF_SIGMA, fwhm

if TYPE_CHECKING:
    from collections.abc import Mapping

    import xarray as xr
    from numpy.typing import NDArray

    Array = NDArray[np.floating]

__all__ = ["Moffat", "Sampled", "as_psf", "fsf_psf", "gaussian_transfer", "moffat"]

BETA = 2.8  # of ground-based PSFs with adaptive optics or without (Bacon et al. 2017, A&A 608, A1)

_NODES = 512  # of a transfer function along the frequency
_FARTHEST = 30.0  # of 2 pi k alpha: a transfer function is below 1e-11 there
_WIDEST = 60.0  # arcsec
_LARGEST = 500  # pixels from the middle of an image
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
_WRONG: dict[str, Any] = {"code": "HC-L01", "error": PSFError}
_SUB = 5  # points of a pixel along one side, where its light is added up
_TEXT = re.compile(r"\s*(?P<width>[^,]+?)\s*(?:,\s*beta\s*=\s*(?P<beta>[^,\s]+)\s*)?")
_FIX = "give a width with its unit, e.g. [[--psf|psf=]] '0.65arcsec,beta=2.8'"


class Moffat(NamedTuple):
    """A round PSF (1 + r^2/alpha^2)^-beta (Moffat 1969, A&A 3, 455); beta = inf is a Gaussian."""

    fwhm: float  # arcsec
    beta: float = BETA

    @property
    def alpha(self) -> float:
        """The scale length, arcsec."""
        return float(self.fwhm / 2 / math.sqrt(2 ** (1 / self.beta) - 1))

    def transfer(self, fy: Array, fx: Array) -> Array:
        """Return the Fourier transform at frequencies [1/arcsec]: 1 at zero.

        It is 2 (t/2)^(beta - 1) K_(beta - 1)(t) / Gamma(beta - 1) with t = 2 pi k alpha (Trujillo
        et al. 2001, MNRAS 328, 977), from a cubic through 512 values.
        """
        k = np.hypot(fy, fx)
        if math.isinf(self.beta):
            return gaussian_transfer(k, self.fwhm)
        from scipy import interpolate, special

        order = self.beta - 1
        nodes = np.linspace(0, 1, _NODES) ** 2 * _FARTHEST  # dense where it is steep
        values = np.ones(_NODES)
        t = nodes[1:]
        values[1:] = 2 * (t / 2) ** order * special.kv(order, t) / special.gamma(order)
        curve = interpolate.CubicSpline(np.sqrt(nodes), values)
        return np.asarray(curve(np.sqrt(np.minimum(2 * np.pi * k * self.alpha, _FARTHEST))))

    def profile(self, radius: Array) -> Array:
        """Return the light per arcsec2 at radii [arcsec], of a total of one."""
        if math.isinf(self.beta):
            sigma = self.fwhm / FWHM_OF_SIGMA
            return np.asarray(np.exp(-0.5 * (radius / sigma) ** 2) / (2 * np.pi * sigma**2))
        peak = (self.beta - 1) / (np.pi * self.alpha**2)
        return np.asarray(peak * (1 + (radius / self.alpha) ** 2) ** -self.beta)

    def __str__(self) -> str:
        return f"{self.fwhm:.4g}arcsec,beta={self.beta:.4g}"


class Sampled(NamedTuple):
    """A PSF that an image shows: (ky, kx), its pixels `step` arcsec, along the axes of the map."""

    image: Array
    step: float
    fwhm: float  # arcsec

    def __str__(self) -> str:
        return f"an image of {self.fwhm:.4g}arcsec"

    def transfer(self, fy: Array, fx: Array) -> NDArray[np.complex128]:
        """Return the Fourier transform at frequencies [1/arcsec], 0 beyond what the pixels tell.

        One polynomial in exp(-2 pi i f step) for each row, and one of these (Horner's scheme).
        """
        fy, fx = (np.asarray(f) * self.step for f in np.broadcast_arrays(fy, fx))
        known = (np.abs(fy) < 0.5) & (np.abs(fx) < 0.5)  # noqa: PLR2004  Nyquist
        y, x = (np.exp(-2j * np.pi * f[known]) for f in (fy, fx))
        total = np.zeros(y.shape, complex)
        for row in self.image[::-1]:
            along = np.zeros(x.shape, complex)
            for value in row[::-1]:
                along *= x
                along += value
            total *= y
            total += along
        middle_y, middle_x = (n // 2 for n in self.image.shape)
        out = np.zeros(fy.shape, complex)
        out[known] = total * y ** float(-middle_y) * x ** float(-middle_x)
        return out


def gaussian_transfer(k: Array, width: float) -> Array:
    """Return the transform of a Gaussian of that FWHM [arcsec] at frequencies [1/arcsec]."""
    return np.asarray(np.exp(-2 * (np.pi * k * width / FWHM_OF_SIGMA) ** 2))


def as_psf(psf: Any) -> Moffat | Sampled:
    """Return what was given as the PSF of a map.

    Parameters
    ----------
    psf : str, Quantity or DataArray (ky, kx)
        ``"0.65arcsec,beta=2.8"``, a Moffat profile; without beta it is 2.8, ``beta=inf`` is a
        Gaussian. Or an image, its offsets in arcsec along the axes of the map.

    Raises
    ------
    PSFError
        If it is none of these, has no unit, or cannot be.
    """
    if isinstance(psf, Moffat | Sampled):
        return psf
    if hasattr(psf, "dims"):
        return _sampled(psf)
    if not isinstance(psf, str):
        if not hasattr(psf, "unit"):
            raise PSFError("HC-L01", f"the PSF is {short(psf)}, which says no unit", _FIX)
        return Moffat(_width(psf, "the width of psf"), BETA)
    found = _TEXT.fullmatch(psf)
    if found is None:
        raise PSFError("HC-L01", f"{psf!r} is no PSF", _FIX)
    return Moffat(_width(found["width"], "the width of psf"), _beta(found["beta"]))


def _width(value: Any, name: str) -> float:
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        raise PSFError("HC-L01", f"{name} is {value!r}, without a unit", _FIX)
    return number_in("arcsec", value, name, above=0, most=_WIDEST, **_WRONG)


def _beta(text: str | None) -> float:
    """Return the slope that a text gives."""
    if text is None or text == "inf":
        return BETA if text is None else math.inf
    if not _NUMBER.fullmatch(text):
        raise PSFError("HC-L01", f"beta is {text!r}, no number", _FIX)
    return number_in("", float(text), "beta", above=1, **_WRONG)


def _sampled(psf: xr.DataArray) -> Sampled:
    if psf.dims != ("ky", "kx"):
        reason = f"the PSF has dims {psf.dims}, not ('ky', 'kx')"
        raise PSFError("HC-L01", reason, "give one image, or a width")
    image = np.asarray(psf.values, dtype=np.float64)
    step = scale_of(psf)
    if not np.isfinite(image).all() or image.sum() <= 0:
        raise PSFError("HC-L01", "the PSF's image holds no light, or NaN", "give another image")
    return Sampled(image, step, fwhm(image) * step)


def moffat(
    fwhm: Any, *, beta: Any = BETA, scale: Any, radius: Any, pixel: Any = None
) -> xr.DataArray:
    """Return the image of a Moffat profile.

    Parameters
    ----------
    fwhm : float, str or Quantity
        [arcsec].
    beta : float
        The slope of the wings, above 1.
    scale : float, str or Quantity
        Size of the pixels [arcsec].
    radius : float, str or Quantity
        How far the image reaches from the middle of its centre [arcsec].
    pixel : float, str or Quantity, optional
        Side of the square over which each value is averaged [arcsec]: the pixels' own size for what
        a detector sees; without it the profile itself, at the pixels' middles.

    Returns
    -------
    DataArray, (ky, kx)
        Of odd size. The total of the whole profile is one: what lies beyond `radius` is missing
        rather than pulled in (1.4 % lie more than 1.92 arcsec away where `fwhm` is 0.65 arcsec and
        `beta` 2.8).

    Raises
    ------
    PSFError
        If a number is impossible.

    Examples
    --------
    >>> import hstcube
    >>> image = hstcube.moffat(0.65, scale=0.2, radius=2, pixel=0.2)
    >>> image.shape, round(float(image.sum()), 2)
    ((21, 21), 0.99)
    """
    slope = number_in("", beta, "beta", above=1, **_WRONG)
    shape = Moffat(_width(fwhm, "fwhm"), slope)
    step = number_in("arcsec", scale, "scale", above=0, most=_WIDEST, **_WRONG)
    reach = number_in("arcsec", radius, "radius", least=step, most=_LARGEST * step, **_WRONG)
    half = int(round(reach / step, 6))
    offsets = np.arange(-half, half + 1) * step
    within = np.zeros(1)
    if pixel is not None:
        side = number_in("arcsec", pixel, "pixel", above=0, most=_WIDEST, **_WRONG)
        points, shares = np.polynomial.legendre.leggauss(_SUB)
        within = points * side / 2
        weight = np.multiply.outer(shares, shares) / 4
    else:
        weight = np.ones((1, 1))
    y = (offsets[:, None] + within).ravel()
    light = shape.profile(np.hypot(y[:, None], y[None, :])) * step**2
    n, m = offsets.size, within.size
    image = np.einsum("iajb,ab->ij", light.reshape(n, m, n, m), weight)
    return psf_array(image, step).rename("moffat")


def fsf_psf(header: Mapping[str, Any], wavelength: Any) -> str:
    """Return the PSF that the header of an IFU's cube gives at a wavelength.

    The cards are those of MPDAF (Piqueras et al. 2017, arXiv:1710.03554): FSFMODE 2, polynomials of
    FWHM and beta in the wavelength, scaled to -0.5 at FSFLB1 and 0.5 at FSFLB2, the highest power
    first; or FSFMODE 'MOFFAT1', a FWHM that is linear in it.

    Parameters
    ----------
    header : mapping of FITS cards
    wavelength : float, str or Quantity
        [Angstrom].

    Returns
    -------
    str
        What `fit_line` takes as its PSF: ``"0.62arcsec,beta=2.8"``.

    Raises
    ------
    PSFError
        If there are no such cards, or they cannot be.

    Examples
    --------
    >>> import hstcube
    >>> header = {"FSFMODE": "MOFFAT1", "FSF00BET": 2.8, "FSF00FWA": 0.7, "FSF00FWB": -2e-5}
    >>> hstcube.fsf_psf(header, 7000)
    '0.56arcsec,beta=2.8'
    """
    at = number_in("Angstrom", wavelength, "wavelength", above=0, **_WRONG)
    if not hasattr(header, "keys") or hasattr(header, "colnames"):
        reason = f"header is {type(header).__name__}, not the cards of a file"
        raise PSFError("HC-L01", reason, "give a header of astropy, or a mapping")
    for field in (*range(10), 99):
        said = f"FSF{field:02d}"
        if f"{said}FNC" in header:
            low, high = (_card(header, name) for name in ("FSFLB1", "FSFLB2"))
            place = (at - low) / (high - low) - 0.5
            found = [float(np.polyval(_polynomial(header, said + key), place)) for key in "FB"]
        elif f"{said}BET" in header:
            slope = _card(header, f"{said}FWB")
            found = [_card(header, f"{said}FWA") + slope * at, _card(header, f"{said}BET")]
        else:
            continue
        if not (0 < found[0] < _WIDEST and found[1] > 1):
            break
        return str(Moffat(float(found[0]), float(found[1])))
    raise PSFError(
        "HC-L02", "the header has no cards FSF.. that give a PSF at this wavelength", _FIX
    )


def _polynomial(header: Mapping[str, Any], said: str) -> list[float]:
    number = int(_card(header, f"{said}NC"))
    return [_card(header, f"{said}{i:02d}") for i in range(number)]


def _card(header: Mapping[str, Any], name: str) -> float:
    value = card_value(header, name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PSFError("HC-L02", f"the card {name} of the PSF is {value!r}, no number", _FIX)
    return float(value)
