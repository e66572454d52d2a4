"""Neighbours: other sources that are taken out before the matching spreads their light."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import xarray as xr

from hstcube.core.bands import band_name
from hstcube.core.grids import Grid
from hstcube.core.offsets import noise_scale, pixel_acf
from hstcube.core.rules import DIMS, REPLACED, TOLD, require_same_grid, taken
from hstcube.core.state import attribute, note, updated
from hstcube.errors import LabelError, RecipeError, SkyError
from hstcube.inputs.arrays import keep_of, require_image, several, shown
from hstcube.inputs.choices import require_choice
from hstcube.inputs.quantities import whole_number
from hstcube.sky._ellipses import Profiles
from hstcube.sky._neighbours import correlated_noise, local_medians
from hstcube.sky.level import ENOUGH, FEWEST, sky_pixels
from hstcube.sky.masks import object_mask, repaired

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]

__all__ = ["Fill", "Wings", "replace_neighbours"]

Fill = Literal["sky", "noise"]
Wings = Literal["stay", "subtract"]

_SEEN = 30.0  # standard deviations of white noise: of less light no share is told
FAR = 2.4  # arcsec: how far wings are followed, 13 times the FWHM of F160W


def replace_neighbours(
    cube: xr.Dataset,
    labels: Any,
    *,
    keep: Any = (),
    fill: Fill = "sky",
    seed: int | None = None,
    wings: Wings = "stay",
) -> xr.Dataset:
    """Take other sources out, before `psf_match` spreads their light into the object's rim.

    Parameters
    ----------
    cube : Dataset
        Its sky subtracted, before `add_poisson` and `psf_match`.
    labels : DataArray or array of int, (y, x)
        Segmentation map on the cube's pixels: 0 sky, above it sources. A map on its own grid goes
        through `regrid_labels` first. Negative pixels stay as they are, but those that an
        interpolation left (-2) get the label that most of their neighbours have.
    keep : int or sequence of int, or DataArray or array of bool, (y, x)
        Labels of the object, several for a merger; or its pixels. The one at the centre of the map
        when not given. Every other source is replaced.
    fill : {"sky", "noise"}
        ``"sky"``: the level of the sky, which is 0 where it was subtracted, else that of the 500
        nearest pixels of blank sky. ``"noise"``: noise of the right variance and autocorrelation on
        top of it.
    seed : int, optional
        Of the noise; must be given for it.
    wings : {"stay", "subtract"}
        ``"stay"``: all other pixels stay as they are. ``"subtract"``: the light around the labels
        is subtracted within 2.4 arcsec of their centres, each source as its mean on ellipses on the
        side that is turned away from the object; and the replaced pixels get the mean of the object
        on its own ellipses, on top of the sky. For neighbours that overlap with the object.

    Returns
    -------
    Dataset
        The same cube. ``replaced`` (band, y, x) says which pixels were filled, and ``mask`` is
        False there. ``wht`` stays what it is: the weight of the sky, and no hole. Where photon
        noise was added to it before, it becomes that of the nearest blank sky. A note says which
        share of the neighbours' light lies around their labels, and so stays.

    Raises
    ------
    LabelError
        If `labels` is no map of integers, or has no object of that id.
    GridError
        If `labels` or `keep` lie on other pixels.
    RecipeError
        If the cube was matched, there is no such `fill`, or noise has no seed.
    SkyError
        If the sky was not subtracted and fewer than 100 blank pixels show its level.

    Notes
    -----
    With ``"sky"`` no random numbers enter the data. Sums over pixels whose kernels reached into
    replaced ones then scatter less than their errors say, for the variance is carried and the noise
    is not there; with ``"noise"`` they scatter as they should. What a neighbour's label leaves out
    stays: its wings, and its light under the object. Where that matters, fit models to all sources
    at once: GALFIT (Peng et al. 2010, AJ 139, 2097), T-PHOT (Merlin et al. 2015, A&A 582, A15).

    Examples
    --------
    >>> import hstcube
    >>> cube = hstcube.example().pipe(hstcube.subtract_sky, 0.0)
    >>> alone = hstcube.replace_neighbours(cube, cube.labels, keep=101)
    >>> int(alone.replaced.sel(band="f160w").sum()), bool((alone.mask & alone.replaced).any())
    (1079, False)
    """
    cube = taken(cube)
    require_choice("fill", fill, Fill)
    require_choice("wings", wings, Wings)
    seed = _seed_of(fill, seed)
    _require_early(cube)
    found = _map_on(cube, labels)
    there = _sources_of(cube, found, keep)
    where = xr.Variable(("y", "x"), there.numbers > 0)
    replaced = ((cube.wht.variable > 0) & where).transpose("band", "y", "x")
    around = sky_pixels(cube, background=there.blank, method="clipped") if _looks(cube) else None
    level = _levels(cube, there.numbers, around)
    weight = _weights(cube, there.numbers, around)
    light = None
    if wings == "subtract" or not cube.sci.chunks:
        light = _light(cube, there, level)
    sci = cube.sci.variable
    if light is not None and wings == "subtract":
        sci, level = _without_wings(cube, level, light)
    drawn = "" if seed is None else f", seed={seed}"
    new = updated(
        _with_replaced(cube, replaced),
        f"replace_neighbours(fill={fill!r}{drawn}, wings={wings!r})",
        sci=_filled(sci, replaced, level + _noise(cube, weight, seed)),
        wht=weight.data,
        mask=(cube.mask.variable & ~replaced).data,
    )
    told = _what_was_done(cube, there, light, wings)
    cube = new
    return note(cube, "HC-S50", told)


class _Sources(NamedTuple):
    """Sources to replace, numbered 1, 2, ... on the cube's pixels, and the object's pixels."""

    numbers: NDArray[np.intp]
    mine: Mask
    blank: Mask
    """The pixels of no source."""


def _seed_of(fill: Fill, seed: Any) -> int | None:
    """Return the seed where noise is wanted."""
    if fill == "sky":
        return None
    if seed is None:
        reason = "noise is to be filled in, and no seed was given that makes it the same again"
        raise RecipeError("HC-B17", reason, "give one[[|: seed=1]]")
    return whole_number(seed, "seed", least=0, code="HC-B17")


def _require_early(cube: xr.Dataset) -> None:
    """Refuse a cube whose neighbours were spread already."""
    if (cube.matched_to.values != "").any():
        raise RecipeError(
            "HC-S51",
            "the images were matched already: the light of neighbours lies in the object's rim",
            "replace neighbours first: [[--neighbours replace|replace_neighbours, then psf_match]]",
        )


def _map_on(cube: xr.Dataset, labels: Any) -> xr.DataArray:
    """Return a segmentation map on the cube's pixels, what an interpolation left in it repaired."""
    if isinstance(labels, xr.Dataset):
        require_image("labels", labels)
    require_same_grid(cube, labels)
    if isinstance(labels, xr.DataArray) and {*labels.dims} == {"y", "x"}:
        labels = labels.transpose("y", "x")
    values = np.asarray(labels)
    if values.dtype.kind not in "iu" or values.shape != cube.sci.shape[1:]:
        reason = f"labels are {shown(labels)}, not one integer for each pixel (y, x)"
        raise LabelError(
            "HC-S05", reason, "give a segmentation map[[|, such as open_labels returns]]"
        )
    return repaired(xr.DataArray(values, {"y": cube.y, "x": cube.x}, ("y", "x"), "labels"))


def _sources_of(cube: xr.Dataset, labels: xr.DataArray, keep: Any) -> _Sources:
    """Return the sources of a map that are not the object's."""
    if isinstance(keep, xr.DataArray) or (not hasattr(keep, "data_vars") and np.ndim(keep) > 1):
        mine, _ = keep_of("keep", keep)
        require_same_grid(cube, mine)
        mine = np.asarray(mine.transpose("y", "x") if isinstance(mine, xr.DataArray) else mine)
    else:
        ids = several(keep)
        wrong: dict[str, Any] = {"code": "HC-S12", "error": LabelError}
        named = [whole_number(one, "keep", least=1, **wrong) for one in ids]
        mine = object_mask(labels, *named).values
    others = np.where(mine, 0, np.clip(labels.values, 0, None))
    _, numbers = np.unique(np.append(0, others.ravel()), return_inverse=True)
    blank = labels.values == 0
    return _Sources(numbers[1:].reshape(others.shape), mine, blank & ~mine)


def _with_replaced(cube: xr.Dataset, replaced: xr.Variable) -> xr.Dataset:
    """Return the cube with its replaced pixels, those of an earlier call included."""
    if REPLACED in cube.variables:
        replaced = replaced | cube.variables[REPLACED]
    replaced.attrs = TOLD[REPLACED]
    new = cube.copy()
    new[REPLACED] = replaced
    return new


# -- what is filled in


def _looks(cube: xr.Dataset) -> bool:
    """Say whether the sky itself must be looked at."""
    return bool(np.isnan(cube.sky.values).any() or attribute(cube, "poisson"))


def _levels(cube: xr.Dataset, numbers: NDArray[np.intp], blank: Mask | None) -> xr.Variable:
    """Return what replaces sources, (band, y, x) or (band,): the level of the sky."""
    unknown = np.isnan(cube.sky.values)
    if blank is None or not unknown.any():
        return xr.Variable("band", np.zeros(unknown.size))
    out = np.zeros(cube.sci.shape)
    names = cube.band.values.tolist()
    for i in np.flatnonzero(unknown).tolist():
        if (few := int(blank[i].sum())) < FEWEST:
            reason = f"only {few} blank pixels show the level of the sky, which is in the images"
            fix = "subtract it first: [[--sky FOLDER|subtract_sky(cube, level)]]"
            raise SkyError("HC-K11", reason, fix, band=names[i])
        sci = np.asarray(cube.sci.variable[i].values)
        out[i] = local_medians(sci, blank[i], numbers, ENOUGH)[numbers]
    return xr.Variable(("band", "y", "x"), out)


def _weights(cube: xr.Dataset, numbers: NDArray[np.intp], blank: Mask | None) -> xr.Variable:
    """Return the weights, those of sources without the noise of their own photons."""
    given: xr.Variable = cube.wht.variable
    if blank is None or not attribute(cube, "poisson"):
        return given
    planes = np.array(given.values)
    for plane, used in zip(planes, blank, strict=True):
        if used.sum() >= FEWEST:
            around = local_medians(plane, used, numbers, ENOUGH)[numbers]
            plane[...] = np.where((numbers > 0) & (plane > 0), around, plane)
    made = given.copy(data=planes)
    return made.chunk(given.chunksizes) if given.chunks else made


def _noise(cube: xr.Dataset, weight: xr.Variable, seed: int | None) -> xr.Variable | float:
    """Return noise as the sky has it, (band, y, x); of a band the same whatever the others are."""
    if seed is None:
        return 0.0
    shape = (cube.sizes["y"], cube.sizes["x"])
    drawn = [
        correlated_noise(acf, shape, np.random.default_rng([seed, *band_name(name).encode()]))
        for name, acf in zip(cube.band.values, pixel_acf(cube).values, strict=True)
    ]
    there = np.maximum(weight, np.finfo(np.float32).tiny)  # what has no data is not replaced
    noise: xr.Variable = noise_scale(cube) / np.sqrt(there) * xr.Variable(DIMS, np.stack(drawn))
    return noise


class _Light(NamedTuple):
    """Light above the sky, (band, y, x), and what of it are wings of the neighbours."""

    sci: NDArray[np.float64]
    wings: NDArray[np.float64]
    variance: NDArray[np.float64]
    """Of white noise, (band, y, x); 0 without data."""
    profiles: Profiles

    def within(self, region: Mask) -> tuple[NDArray[np.float64], Mask]:
        """Return the light in a region, (band,), and whether it stands far above the noise."""
        total = self.sci[:, region].sum(axis=1)
        return total, np.asarray(total > _SEEN * np.sqrt(self.variance[:, region].sum(axis=1)))


def _light(cube: xr.Dataset, there: _Sources, level: xr.Variable) -> _Light:
    """Return the light of the sources, and how far it reaches beyond their labels."""
    wht = np.asarray(cube.wht.values)
    base = level.values.reshape(len(wht), *(level.shape[1:] or (1, 1)))
    sci = np.where(wht > 0, np.asarray(cube.sci.values, np.float64) - base, 0.0)
    profiles = Profiles.of(
        (sci * np.sqrt(wht)).sum(axis=0),
        np.asarray((wht > 0).any(axis=0)),
        there.numbers,
        there.blank,
        there.mine,
        max(round(FAR / Grid.of(cube).scale), 1),
    )
    pairs = zip(sci, wht, strict=True)
    wings = [profiles.wings(plane, weight > 0) for plane, weight in pairs]
    variance = np.divide(1.0, wht, out=np.zeros(sci.shape), where=wht > 0)
    return _Light(sci, np.stack(wings), variance, profiles)


def _without_wings(
    cube: xr.Dataset, level: xr.Variable, light: _Light
) -> tuple[xr.Variable, xr.Variable]:
    """Return images without the wings of sources, and what stands in these: the object's light."""
    valid = np.asarray(cube.wht.values) > 0
    pairs = zip(light.sci - light.wings, valid, strict=True)
    under = [light.profiles.under(plane, seen) for plane, seen in pairs]
    less, more = xr.Variable(DIMS, light.wings), xr.Variable(DIMS, np.stack(under))
    return cube.sci.variable - less, level + more


def _filled(sci: xr.Variable, replaced: xr.Variable, value: Any) -> Any:
    """Return the images with a value in the replaced pixels."""
    filled = xr.apply_ufunc(np.where, replaced, value, sci, dask="allowed")
    return filled.transpose("band", "y", "x").data.astype(np.float32)


# -- what stays


def _what_was_done(cube: xr.Dataset, there: _Sources, light: _Light | None, wings: Wings) -> str:
    """Say what was replaced, and which share of the neighbours' light lies beyond."""
    number = int(there.numbers.max(initial=0))
    count = "1 neighbour is" if number == 1 else f"{number} neighbours are"
    text = f"{count} replaced by the level of the sky"
    if (unknown := np.isnan(cube.sky.values)).any():
        names = ", ".join(sorted(cube.band.values[unknown].tolist()))
        text += f", measured around them, for it is not subtracted in {names}"
    if not number:
        return text
    after = {
        "stay": "it stays; where that matters subtract it[[: --neighbours subtract|: "
        "wings='subtract']], or fit models: GALFIT, T-PHOT",
        "subtract": "it is subtracted, each source as its mean on ellipses",
    }[wings]
    if light is None:
        return f"{text}; of their light around their labels {after}"
    left, shared = (_largest(cube, shares) for shares in _shares(there, light))
    text += f"; of their light up to {left} lies within {FAR} arcsec but outside their labels, and "
    return f"{text}is up to {shared} of what the object's pixels hold: {after}"


def _shares(there: _Sources, light: _Light) -> tuple[Any, Any]:
    """Return which share of the neighbours' light lies beyond, and what it is of the object's."""
    beyond = np.clip(light.wings.sum(axis=(1, 2)), 0, None)
    under = np.clip(light.wings[:, there.mine].sum(axis=1), 0, None)
    inside, sure = light.within(there.numbers > 0)
    mine, seen = light.within(there.mine)
    return _share(beyond, inside + beyond, sure), _share(under, mine, seen)


def _share(part: Any, whole: Any, sure: Mask) -> Any:
    """Return shares, (band,); 0 in bands that show too little to have a share of."""
    return np.divide(part, whole, out=np.zeros(len(part)), where=sure).clip(0, 1)


def _largest(cube: xr.Dataset, shares: Any) -> str:
    """Return the largest share of a band in words, with its name."""
    names = sorted(zip(cube.band.values.tolist(), shares.tolist(), strict=True))
    name, share = max(names, key=lambda one: one[1])
    return f"{share:.1%} ({name})"
