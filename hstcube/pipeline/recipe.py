"""From an opened field to a homogeneous cube, in one call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xarray as xr

from hstcube.core.grids import Grid
from hstcube.core.rules import inside, require_same_grid, taken
from hstcube.errors import RecipeError, SkyError
from hstcube.fits.local import require_local
from hstcube.fits.opening import located
from hstcube.inputs.arrays import filled, require_image, several
from hstcube.inputs.choices import require_choice
from hstcube.inputs.quantities import whole_number
from hstcube.maps.neighbours import Neighbours, without_neighbours
from hstcube.maps.objects import map_notes, object_on, objects_of
from hstcube.maps.opening import DETECT, no_map
from hstcube.matching.choice import OF_SURVEYS
from hstcube.matching.match import psf_match
from hstcube.matching.targets import as_target
from hstcube.pipeline.original import as_the_original
from hstcube.pipeline.photons import photons_left_out, with_photons
from hstcube.regridding.labels import NOT_COVERED, regrid_labels, regrid_mask
from hstcube.sky.detection import detect
from hstcube.sky.level import Method, left_over, measure_sky
from hstcube.sky.masks import mask as apply_mask
from hstcube.sky.subtraction import subtract_sky
from hstcube.surveys.field_file import (
    COUNT,
    IDS,
    NUMBER_OR_TEXT,
    POSITIVE_OR_TEXT,
    TEXT,
    TEXTS,
    YES_OR_NO,
    check_keys,
    photon_setting,
    read_toml,
)
from hstcube.surveys.known import told_oddities

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = [
    "ALL_PIXELS",
    "Recipe",
    "blank_pixels",
    "homogenize",
    "measured_sky",
    "read_recipe",
    "require_map",
    "require_recipe",
]

Recipe = Literal["default", "original"]
ALL_PIXELS = "take all pixels with [[--no-mask|labels=None]]"

_LEAVE = "leave them to the mask: [[--neighbours mask|neighbours='mask']]"
_ALL = "take all pixels, without [[--ids and --largest|ids= and largest=]]"
_KEYS = {
    "sky": NUMBER_OR_TEXT,
    "ids": IDS,
    "grow": COUNT,
    "largest": YES_OR_NO,
    "to": TEXT,
    "recipe": TEXT,
    "allow": TEXTS,
    "poisson": POSITIVE_OR_TEXT,
    "neighbours": TEXT,
}


def homogenize(
    cube: xr.Dataset,
    *,
    sky: Any = "measure",
    labels: xr.DataArray | Literal["detect"] | None = None,
    ids: Sequence[int] = (),
    grow: int = 1,
    largest: bool = False,
    to: Any = None,
    recipe: Recipe = "default",
    allow: Sequence[str] = (),
    poisson: Any = "auto",
    neighbours: Neighbours = "mask",
) -> xr.Dataset:
    """Subtract the sky, bring all bands to one resolution, and choose the object's pixels.

    Parameters
    ----------
    cube : Dataset
        As `open_field` gives it.
    sky : "measure", level or None
        Measure it on the pixels that `labels` calls sky; or a level for `subtract_sky`; or leave it
        as it is.
    labels : DataArray of int, (y, x), or array on the cube's pixels, or "detect", optional
        Segmentation map on its own grid; or what `detect` finds in the cube. Without it the mask is
        all that has data.
    ids : sequence of int
        Labels of the object, several for a merger; the one at the centre of the map when empty.
    grow : int
        How often the object is dilated with a 3x3 square on the map's grid.
    largest : bool
        Keep only the largest piece of the object before it is dilated; see `object_mask`.
    to : str, Quantity or DataArray, optional
        What to match, as in `psf_match`: a band, or a width such as "0.6arcsec"; the band that all
        others can be matched to when not given, and F160W in the original recipe.
    recipe : {"default", "original"}
        ``"default"`` matches whole images, then masks. ``"original"`` does exactly what
        HST_data_processing (2022) did: mask, then convolve with Gaussians, without regard to edges
        and missing data, and empty sci and wht outside the mask.
    allow : sequence of str
        Bands that may miss the resolution of the others; see `psf_match`.
    poisson : "auto", "none", float or Quantity, path, mapping of band to these, or array
        The noise of the sources' own photons, which weights of drizzled images leave out
        (`add_poisson`), is added after the sky is subtracted. ``"auto"`` adds it where the
        coordinate ``exposure`` knows the time, and notes where it does not; to a cube that has it
        already, and in the original recipe, it adds nothing. An exposure time [s], or a map of
        them (an array, or a FITS image on the cube's pixels), goes before that coordinate; bands
        that a mapping does not name are as ``"auto"``.
    neighbours : {"mask", "replace", "subtract"}
        ``"replace"`` puts sky in the place of all other sources of the map before the matching
        (`replace_neighbours`), which else spreads their light into the object's rim. ``"subtract"``
        takes away the light around them, too: for those that overlap with the object.

    Returns
    -------
    Dataset
        The homogeneous cube.

    Raises
    ------
    SkyError
        If the sky is to be measured and nothing tells the blank pixels.
    NoiseError
        If times were given for a cube to which the noise cannot be added.
    LabelError, PSFError, GridError
        As the steps raise them.

    Examples
    --------
    >>> import hstcube
    >>> cube = hstcube.example()
    >>> done = hstcube.homogenize(cube, labels=cube.labels, ids=[101], to="f160w")
    >>> set(done.matched_to.values.tolist()), bool(done.sky.notnull().all())
    ({'f160w'}, True)
    """
    cube = taken(cube)
    require_recipe(recipe, neighbours)
    grid = Grid.of(cube)
    grow = whole_number(grow, "grow", least=0, code="HC-B17")
    if to is not None:
        to = as_target(to, [*cube.band.values, *cube.matched_to.values], pixel=grid.scale)
    ids = several(ids)
    labels = _map_of(cube, labels)
    if labels is None and (ids or largest):
        why = "an object is chosen from one"
        raise no_map(why, _ALL)
    chosen: dict[str, Any] = {"largest": largest, "recipe": recipe}
    with inside():
        cube = _without_sky(cube, sky, labels, recipe)
        if neighbours != "mask":
            found = _required(labels, "neighbours come from one", _LEAVE)
            cube = without_neighbours(cube, found, ids, neighbours)
        observed, cube = cube, with_photons(cube, poisson, recipe)
        chosen["objects"] = None if labels is None else objects_of(labels, recipe)
        if recipe == "original":
            labels = _required(labels, "this recipe needs one", "choose another recipe")
            keep = object_on(grid, labels, ids, grow=grow, **chosen)
            cube = as_the_original(cube, keep, OF_SURVEYS if to is None else to)
        else:
            cube = psf_match(cube, to=to, allow=allow)
            cube.attrs["recipe"] = "default"
            if labels is None:
                return told_oddities(cube, photons_left_out(observed, poisson, recipe))
            keep = object_on(grid, labels, ids, grow=grow, **chosen)
            cube = apply_mask(cube, keep.values)
    notes = map_notes(labels, ids, keep, grid, **chosen)
    notes += photons_left_out(observed, poisson, recipe, keep.values)
    return told_oddities(cube, notes)


def require_recipe(recipe: Recipe, neighbours: Neighbours = "mask") -> None:
    """Raise RecipeError if there are no such choices, or they do not go together."""
    require_choice("recipe", recipe, Recipe, code="HC-B19")
    require_choice("neighbours", neighbours, Neighbours)
    if recipe == "original" and neighbours != "mask":
        fix = "leave one out: [[--recipe or --neighbours|recipe= or neighbours=]]"
        raise RecipeError("HC-S51", "the original recipe masks before it matches", fix)


def _map_of(cube: xr.Dataset, labels: Any) -> xr.DataArray | None:
    """Return a map that was given, or detected where that is asked for."""
    if isinstance(labels, str):
        require_choice("labels", labels, (DETECT,))
        return detect(cube)
    if labels is None or isinstance(labels, xr.DataArray):
        return labels
    if isinstance(labels, xr.Dataset) or np.ndim(labels) != 2:  # noqa: PLR2004
        require_image("labels", labels)
    require_same_grid(cube, labels)  # of numpy or photutils: on the pixels of the cube
    values = np.asarray(filled(labels, NOT_COVERED))
    return xr.DataArray(values, Grid.of(cube).coords(), ("y", "x"), name="labels")


def require_map(labels: xr.DataArray | None) -> xr.DataArray:
    """Return the segmentation map that tells the blank pixels.

    Raises
    ------
    SkyError
        If there is none.
    """
    if labels is None:
        raise SkyError(
            "HC-K01",
            "no sky level, and no segmentation map that tells the blank pixels",
            "give one of them: [[--sky FOLDER or --labels FILE|sky= or labels=]]; or detect the "
            'sources: [[--labels detect|labels="detect"]]',
        )
    return labels


def blank_pixels(
    labels: xr.DataArray | None, grid: Grid, recipe: Recipe = "default"
) -> xr.DataArray:
    """Return the pixels that a segmentation map calls sky, (y, x) bool, on the cube's grid.

    The original looked beyond the map at its nearest pixel; by default nothing is known there.

    Raises
    ------
    SkyError
        If there is no map.
    """
    labels = require_map(labels)
    if recipe == "original":
        return regrid_mask(labels == 0, grid, outside="nearest")
    return regrid_labels(labels, grid) == 0


def measured_sky(
    cube: xr.Dataset, labels: xr.DataArray | None, recipe: Recipe = "default"
) -> xr.DataArray:
    """Return the sky level of every band, (band,), measured in the manner of a recipe.

    Raises
    ------
    SkyError
        If there is no map, or too few pixels are blank.
    """
    background = blank_pixels(labels, Grid.of(cube), recipe)
    method: Method = "original" if recipe == "original" else "clipped"
    # plain: a slice of a cube keeps the labels of its pixels
    return measure_sky(cube, background=background.values, method=method)


def _required(labels: xr.DataArray | None, why: str, other: str) -> xr.DataArray:
    if labels is None:
        raise no_map(why, other)
    return labels


def _without_sky(
    cube: xr.Dataset, sky: Any, labels: xr.DataArray | None, recipe: Recipe
) -> xr.Dataset:
    """Subtract the level that is given, or measured; say where a given one leaves sky behind."""
    if sky is None:
        return cube
    if isinstance(sky, str) and sky == "measure":
        return subtract_sky(cube, measured_sky(cube, labels, recipe))
    cube = subtract_sky(cube, sky)
    if labels is None or cube.sci.chunks:
        return cube
    blank = blank_pixels(labels, Grid.of(cube)).values
    return told_oddities(cube, left_over(cube, background=blank))


def read_recipe(path: str | Path) -> dict[str, Any]:
    """Read a recipe file: TOML with arguments of `homogenize`, nothing else.

    They are ``sky``, ``ids``, ``grow``, ``largest``, ``to``, ``recipe``, ``allow``,
    ``neighbours`` and ``poisson`` (a word, seconds, or a file).

    Raises
    ------
    RecipeError
        If it holds an unknown key, or a value of the wrong kind.
    """
    path = require_local(path)
    settings = read_toml(path)
    check_keys(settings, _KEYS, path, "")
    with located(path):
        require_recipe(settings.get("recipe", "default"), settings.get("neighbours", "mask"))
    if isinstance(settings.get("sky"), str) and settings["sky"] != "measure":
        raise RecipeError(
            "HC-B17",
            f'sky is {settings["sky"]!r}, neither "measure" nor a number',
            'write sky = "measure"',
            file=str(path),
        )
    if "poisson" in settings:
        settings["poisson"] = photon_setting(settings["poisson"], path)
    return settings
