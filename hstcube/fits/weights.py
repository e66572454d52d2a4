"""What a weight image holds: an inverse variance, or something else that is one in disguise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hstcube.basics.robust import robust_sigma
from hstcube.errors import CubeError, HstCubeError
from hstcube.inputs.choices import require_choice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from hstcube.errors import Note

__all__ = [
    "WhtKind",
    "apparent_noise",
    "grain",
    "inverse_variance",
    "kind_by_pixels",
    "odd_pixels",
    "odd_weights",
    "scatter",
]

WhtKind = Literal["ivar", "rms", "variance", "exptime"]

# times smaller or larger than the median; the edges of a drizzled image reach 1e3
_UNLIKELY_WEIGHT = 1e6
# times the noise; a star that just saturates reaches 1e5, a wrong bit of an exponent up to 1e38
_UNLIKELY_SIGNAL = 1e9

_EMPTY = 0.01  # of the pixels with a weight: so many zeros are no chance

_APART = 5  # pixels: beyond the noise's correlation, within the light's
_OF_SECOND = 6**0.5  # sigma of a - 2 b + c in those of its pixels
_SCATTERS = 4.0  # of what weights promise: 1.9 at most on stamps that a galaxy fills
_NO = {"ivar": "not an inverse variance", "rms": "not an rms", "variance": "not a variance"}
_SAME_TIME = 0.1  # relative; real inverse variances come as near as 1.17


def inverse_variance(
    wht: Any, kind: str, band: str, *, sci: Any = None, shrink: float = 1.0
) -> Any:
    """Return weights as inverse variance.

    Parameters
    ----------
    wht : array
    kind : {"ivar", "rms", "variance", "exptime"}
        What they are; 0 is no data in all of them.
    band : str
        Named in errors.
    sci : array, optional
        The image that they are the weights of: its scatter tells what an exposure time is worth.
    shrink : float
        Scatter of single pixels as a part of their error; see `apparent_noise`.

    Raises
    ------
    CubeError
        If there is no such kind.
    """
    try:
        require_choice("wht_kind", kind, WhtKind, code="HC-D13", error=CubeError)
    except HstCubeError as error:
        error.at(band=band)
        raise
    if kind == "ivar":
        return wht
    if kind == "exptime":
        ratio = scatter(np.asarray(sci), np.asarray(wht))
        return wht * np.float32((shrink / ratio) ** 2) if ratio > 0 else wht
    good = (wht > 0) & np.isfinite(wht)
    with np.errstate(all="ignore"):  # what float32 does not hold is refused
        inverse = 1 / np.where(good, wht, 1) ** (1 if kind == "variance" else 2)
    # negative, NaN and infinite ones stay what they are: `build` counts them
    return np.where(good, inverse, wht)


def odd_pixels(sci: Any, wht: Any) -> list[Note]:
    """Say where single weights or values cannot be what they are meant to be; they are kept.

    Parameters
    ----------
    sci : array, (y, x)
    wht : array, (y, x)
        Inverse variance.
    """
    notes = []
    most = float(wht.max())
    if not sci.all():
        weighed = wht > 0
        empty, number = int(np.sum(weighed & (sci == 0))), int(weighed.sum())
        if empty > _EMPTY * number:
            text = f"{empty} of {number} pixels that have a weight are exactly 0: have they data?"
            notes.append(("HC-D43", text))
    if float(wht.min()) * _UNLIKELY_WEIGHT < most < np.inf:
        positive = wht[wht > 0].astype(np.float64)
        middle = np.median(positive)
        unlikely = positive * _UNLIKELY_WEIGHT < middle
        unlikely |= positive > middle * _UNLIKELY_WEIGHT
        if odd := int(np.sum(unlikely)):
            times = f"{_UNLIKELY_WEIGHT:.0e} times smaller or larger than the median"
            notes.append(("HC-D12", f"{odd} weights are more than {times}"))
    if most > 0 and not max(sci.max(), -sci.min()) * most**0.5 <= _UNLIKELY_SIGNAL:
        good = np.isfinite(sci) & (wht > 0) & np.isfinite(wht)
        signal = np.abs(sci[good], dtype=np.float64) * np.sqrt(wht[good], dtype=np.float64)
        if wild := int(np.sum(signal > _UNLIKELY_SIGNAL)):
            text = f"{wild} pixels are more than {_UNLIKELY_SIGNAL:.0e} times their noise"
            notes.append(("HC-F06", text))
    return notes


def odd_weights(
    sci: Any,
    wht: Any,
    said: Any = None,
    *,
    times: Sequence[float],
    step: float,
    drop: float = 1.0,
    kind: str = "ivar",
) -> list[Note]:
    """Say where weights are exposure times, or not what they are taken for by the pixels' scatter.

    Parameters
    ----------
    sci, wht : array, (y, x)
        The image, and what is taken for its inverse variance.
    said : array, (y, x), optional
        What the file holds, where that is something else: in counts, say.
    times : sequence of float
        Exposure times that the header says [s].
    step : float
        Pixel of the image in pixels of the detector; NaN where that is not known.
    drop : float
        Size of the drops that it was drizzled with, in pixels of the detector.
    kind : {"ivar", "rms", "variance"}
        What the weights of the file are taken for.
    """
    good = wht if said is None else said
    good = good[(good > 0) & np.isfinite(good)]
    if not good.size:
        return []
    if time := _time_in(good, times, step):
        text = f"the weights are exposure times: their median is {np.median(good):.4g}, the time "
        return [("HC-D28", f"{text}{time:.6g} s")]
    ratio, least = scatter(sci, wht), apparent_noise(step, drop) / 2
    if ratio == 0 or least <= ratio <= _SCATTERS:
        return []
    text = f"the pixels scatter by {ratio:.3g} of what wht promises, not by {least:.2g} to "
    return [("HC-D24", f"{text}{_SCATTERS:g}: wht is {_NO[kind]}")]


def kind_by_pixels(wht: Any, *, times: Sequence[float], step: float) -> WhtKind:
    """Return "exptime" for weights that are exposure times by their median, else "ivar".

    Parameters
    ----------
    wht : array, (y, x)
    times, step
        As in `odd_weights`.
    """
    positive = np.asarray(wht)
    return "exptime" if _time_in(positive[positive > 0], times, step) else "ivar"


def _time_in(good: Any, times: Sequence[float], step: float) -> float:
    """Return which of the exposure times weights above 0 are, 0 for none."""
    middle = float(np.median(good)) if good.size else 0.0
    areas = (1.0, step**2) if step > 0 else (1.0,)
    near = (t for t in times for area in areas if abs(middle / (t * area) - 1) < _SAME_TIME)
    return next(near, 0.0)


def scatter(sci: NDArray[Any], wht: NDArray[Any]) -> float:
    """Return the robust scatter of pixels in units of their errors; 0 where it is not known.

    Of differences of pixels 5 apart, along both axes: what is smooth over them takes no part.
    """
    error = np.where((wht > 0) & np.isfinite(wht), wht, np.nan) ** -0.5
    pulls = []
    for axis in (0, 1):
        near = tuple(slice(None, -_APART) if i == axis else slice(None) for i in (0, 1))
        far = tuple(slice(_APART, None) if i == axis else slice(None) for i in (0, 1))
        pull = (sci[far] - sci[near]) / np.hypot(error[far], error[near])
        pulls.append(pull[np.isfinite(pull)])
    found = np.concatenate(pulls)
    return float(robust_sigma(found)) if found.size else 0.0


def grain(sci: NDArray[Any], wht: NDArray[Any]) -> float:
    """Return the robust scatter from pixel to pixel in units of their errors; 0 where not known.

    Of second differences along both axes: slopes take no part, and least of what is smooth.
    """
    error = np.where((wht > 0) & np.isfinite(wht), wht, np.nan) ** -0.5
    pulls = []
    for image, one in ((sci, error), (sci.T, error.T)):
        pull = np.diff(image, 2, axis=0) / (_OF_SECOND * one[1:-1])
        pulls.append(pull[np.isfinite(pull)])
    found = np.concatenate(pulls)
    return float(robust_sigma(found)) if found.size else 0.0


def apparent_noise(step: float, drop: float = 1.0) -> float:
    """Return the scatter of drizzled pixels as a part of their error: their noise is correlated.

    Fruchter & Hook 2002, PASP 114, 144, equations 9 and 10.

    Parameters
    ----------
    step, drop : float
        Pixel and drop in pixels of the detector; 1 where the pixel is not known.

    Examples
    --------
    >>> round(apparent_noise(0.06 / 0.1283, 0.8), 2)  # WFC3/IR at 60 mas
    0.47
    """
    if not step > 0:
        return 1.0
    ratio = drop / step
    return (1 - 1 / (3 * ratio)) / ratio if ratio >= 1 else 1 - ratio / 3
