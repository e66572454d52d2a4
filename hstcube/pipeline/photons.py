"""The noise of the sources' photons in a run: where it is added, by which times, what is said."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import xarray as xr

from hstcube.core.grids import Grid
from hstcube.core.rules import require_same_grid
from hstcube.core.state import attribute, note, warn
from hstcube.errors import HstCubeError, NoiseError, RecipeError
from hstcube.files.fields import grid_of
from hstcube.files.headers import of_bands
from hstcube.fits.images import read_plane
from hstcube.fits.local import as_path
from hstcube.fits.opening import located
from hstcube.inputs.quantities import number_in, numbers_in
from hstcube.inputs.units import RATE
from hstcube.noise.poisson import add_by_times, add_poisson, electrons_of, light_share
from hstcube.regridding.labels import regrid_labels
from hstcube.surveys.field_file import FITS_NAMES, PHOTON_WORDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hstcube.surveys.names import FieldFiles

__all__ = [
    "Photons",
    "added",
    "may_lack_photons",
    "photon_maps",
    "photon_option",
    "photon_setting_of",
    "photons_left_out",
    "planned_photons",
    "with_photons",
]

_WHOLE = 0.01  # relative: how near to a whole number a ratio of pixel scales is
_MATTERS = 1.1  # by what the light must raise the error of a pixel
_UNKNOWN = "no exposure time is known"
_WRONG: dict[str, Any] = {"code": "HC-N11", "error": NoiseError}


class Photons(NamedTuple):
    """What is to be added to a cube: exposure times for `add_poisson`, or nothing."""

    exposure: Any
    """None where nothing is added; a Variable is infinite where a band stays as it is."""
    left: str = ""
    """Which bands stay as they are, and why, where somebody may want to know."""
    lacking: str = ""
    """Which bands lack the noise, for nobody knows how many electrons their light is."""


def photon_setting_of(
    files: FieldFiles, recipe: Mapping[str, Any], bands: Sequence[str], *, moved: bool = False
) -> Any:
    """Return what a run is to do about photon noise, as `homogenize` takes it.

    What options and the recipe say goes before the field file. Where that is "auto", the maps of
    exposure times that the field file names are used, and those of a release that lie on the
    images' pixels, or on whole numbers of them.

    Parameters
    ----------
    files : FieldFiles
    recipe : mapping
        Keyword arguments of `homogenize`.
    bands : sequence of str
        Those of the cube.
    moved : bool
        Whether the cube is on another grid than the images.
    """
    said = recipe.get("poisson", "auto" if files.poisson is None else files.poisson)
    there = [(name, files.bands[name].exposure) for name in bands]
    maps = {name: exposure for name, exposure in there if isinstance(exposure, Path)}
    if not (moved or files.parts):
        maps = {name: path for name in bands if (path := _of_release(files, name))} | maps
    default = _is("auto", said) and recipe.get("recipe") != "original"
    return maps if default and maps else said


def _of_release(files: FieldFiles, name: str) -> Path | None:
    """Return a release's map of the exposure times of a band, None where there is none to use."""
    band = files.bands[name]
    if band.times is None or band.exposure is not None or band.photons:
        return None
    with contextlib.suppress(HstCubeError):
        grid = grid_of(files, name)
        plane = read_plane(band.times, "exposure", lazy=True, beside=grid)
        if plane.grid == grid or _binned(plane.grid, grid) > 1:
            return band.times
    return None


def photon_option(said: str) -> str | float:
    """Return what a text on the command line asks for: a word, a file, or seconds.

    Raises
    ------
    HstCubeError
        If it is none of them.
    """
    if said in PHOTON_WORDS or _names_a_file(said):
        return said
    return number_in("s", _time(said), "[[--poisson|poisson]]", above=0, **_WRONG)


def photon_maps(setting: Any) -> list[Path]:
    """Return the files of exposure times that a setting names."""
    said = [setting[key] for key in setting] if hasattr(setting, "keys") else [setting]
    return [Path(one) for one in said if isinstance(one, str | Path) and _names_a_file(one)]


def planned_photons(cube: xr.Dataset, poisson: Any, recipe: str = "default") -> Photons:
    """Decide what is added to a cube whose sky is subtracted.

    Parameters
    ----------
    cube : Dataset
    poisson, recipe
        As in `homogenize`.

    Raises
    ------
    HstCubeError
        If it is none of what it may be, or a map cannot be opened or is on other pixels.
    """
    if _is_none(poisson):
        return Photons(None)
    if _is("auto", poisson):
        done = attribute(cube, "poisson")
        return Photons(None) if done or recipe == "original" else _automatic(cube)
    if hasattr(poisson, "keys"):
        return _by_band(cube, poisson)
    if isinstance(poisson, str | Path) or not np.ndim(poisson):
        return Photons(_time_or_map(cube, poisson))
    return Photons(poisson)


def with_photons(cube: xr.Dataset, poisson: Any, recipe: str = "default") -> xr.Dataset:
    """Return a cube with the noise of its sources' photons, and notes on where it is not known.

    Parameters and errors are those of `planned_photons` and `add_poisson`.
    """
    planned = planned_photons(cube, poisson, recipe)
    if planned.left:
        cube = note(cube, "HC-N21", planned.left)
    if planned.lacking:
        cube = warn(cube, "HC-N13", planned.lacking)
    return cube if planned.exposure is None else added(cube, planned)


def added(cube: xr.Dataset, planned: Photons) -> xr.Dataset:
    """Return a cube to which was added what is planned."""
    if planned.exposure is _KNOWN:
        return add_poisson(cube)
    if isinstance(planned.exposure, xr.Variable):
        return add_by_times(cube, planned.exposure)
    return add_poisson(cube, exposure=planned.exposure)


def may_lack_photons(cube: xr.Dataset, poisson: Any, recipe: str = "default") -> bool:
    """Say whether a cube in memory could have the noise, and is not to get it."""
    if not _is_none(poisson) or recipe == "original" or attribute(cube, "poisson"):
        return False
    return not _hindrance(cube) and not cube.wht.chunks


def photons_left_out(
    cube: xr.Dataset, poisson: Any, recipe: str = "default", keep: Any = None
) -> list[tuple[str, str]]:
    """Say, as (code, text), where the object's light would raise errors by more than 10 %.

    Parameters
    ----------
    cube : Dataset
        Its sky subtracted, and nothing matched or added yet.
    poisson, recipe
        As in `homogenize`: nothing is said where the noise was added, or is not meant to be.
    keep : array of bool, (y, x), optional
        The pixels of the object; all when not given.
    """
    if not may_lack_photons(cube, poisson, recipe):
        return []
    told = []
    times = _times(cube) * electrons_of(cube).values
    planes = zip(cube.band.values, cube.sci.values, cube.wht.values, times, strict=True)
    for name, sci, wht, time in planes:
        there = (wht > 0) if keep is None else (wht > 0) & keep
        variance = 1 + light_share(sci[there].astype(float), wht[there].astype(float), time)
        if (number := int((variance > _MATTERS**2).sum())) > 0:
            told.append(f"{name} {number} pixels, by up to {np.sqrt(variance.max()) - 1:.0%}")
    if not told:
        return []
    text = "the object's own light would raise errors by more than 10 %, and its photon noise is "
    return [("HC-N13", f"{text}not in the weights: {'; '.join(told)}")]


_KNOWN = "the times that the cube knows"


def _automatic(cube: xr.Dataset) -> Photons:
    """Return the times that the cube knows, and a note on the bands that have none."""
    if why := _hindrance(cube):
        return Photons(None, _not_added(cube.band.values.tolist(), why))
    names, times = cube.band.values[_wanting(cube)].tolist(), _times(cube)[_wanting(cube)]
    electrons = electrons_of(cube).values[_wanting(cube)]
    unknown = [name for name, time in zip(names, times, strict=True) if np.isnan(time)]
    dark = [name for name, number in zip(names, electrons, strict=True) if np.isnan(number)]
    left = _not_added([name for name in unknown if name not in dark], _UNKNOWN)
    lacking = _not_added(dark, f"how many electrons one {cube.sci.attrs['units']} was is not known")
    if {*unknown, *dark} >= {*names}:
        return Photons(None, left, lacking)
    return Photons(_known_times(cube, dark) if dark else _KNOWN, left, lacking)


def _wanting(cube: xr.Dataset) -> Any:
    """Return which bands' weights have no noise of photons yet, (band,)."""
    photons = cube.coords.variables.get("photons")
    return np.ones(cube.sizes["band"], bool) if photons is None else photons.values == ""


def _known_times(cube: xr.Dataset, dark: list[str]) -> xr.Variable:
    """Return the times that a cube knows, infinite where nothing can be made of them."""
    times = _times(cube)
    lost = np.isnan(times) | np.isin(cube.band.values.astype(str), dark)
    return xr.Variable("band", np.where(lost, np.inf, times))


def _not_added(bands: list[str], why: str) -> str:
    return f"{', '.join(bands)}: photon noise is not added to the weights, for {why}" * bool(bands)


def _hindrance(cube: xr.Dataset) -> str:
    """Say why the noise cannot be added to a cube, "" where it can."""
    if cube.sci.attrs["units"] != RATE and "electrons" not in cube.coords:
        return f"sci is in {cube.sci.attrs['units']!r}, not in {RATE!r}"
    return "the images were matched before" if (cube.matched_to.values != "").any() else ""


def _is_none(poisson: Any) -> bool:
    return poisson is None or _is("none", poisson)


def _is(word: str, said: Any) -> bool:
    return isinstance(said, str) and said == word


def _times(cube: xr.Dataset) -> Any:
    """Return the exposure times that the cube knows, (band,); NaN where it does not."""
    known = cube.coords.variables.get("exposure")
    return np.full(cube.sizes["band"], np.nan) if known is None else known.values


def _by_band(cube: xr.Dataset, given: Mapping[Any, Any]) -> Photons:
    """Return the times of all bands: those that were given, as numbers or maps, else the known."""
    names = cube.band.values.tolist()
    known = dict(zip(names, _times(cube).tolist(), strict=True))
    said = of_bands("poisson", {str(name): given[name] for name in [*given.keys()]}, names)
    known |= {name: _time_or_map(cube, said[name]) for name in said}
    missing = [name for name, time in known.items() if np.ndim(time) == 0 and np.isnan(time)]
    times = (known | dict.fromkeys(missing, np.inf)).values()
    left = _not_added(missing, _UNKNOWN)
    if not any(map(np.ndim, times)):
        return Photons(xr.Variable("band", np.array([*times], dtype=float)), left)
    planes = [np.broadcast_to(time, Grid.of(cube).shape) for time in times]
    return Photons(xr.Variable(("band", "y", "x"), np.stack(planes)), left)


def _time_or_map(cube: xr.Dataset, said: Any) -> Any:
    """Return seconds, or a map of them, (y, x), 0 where it has none."""
    if isinstance(said, str | Path) and _names_a_file(said):
        return _map_in(as_path(said), Grid.of(cube))
    if isinstance(said, str):
        said = _time(said)
    if np.ndim(said):
        require_same_grid(cube, said)
        said = numbers_in("s", np.ma.filled(said, 0.0), "poisson", nan=True, **_WRONG)
        return np.nan_to_num(said)
    return number_in("s", said, "poisson", above=0, **_WRONG)


def _names_a_file(said: str | Path) -> bool:
    return isinstance(said, Path) or said.lower().endswith(FITS_NAMES)


def _time(said: str) -> float | str:
    """Return a text that says a time: a number, or one with its unit."""
    try:
        return float(said)
    except ValueError:
        if said.strip()[:1].isdigit():
            return said
    fix = "choose [[--poisson|poisson=]] from auto, none, seconds, or the name of a FITS file"
    raise RecipeError("HC-B22", f"there is no poisson {said!r}", fix)


def _map_in(path: Path, grid: Grid) -> Any:
    """Return the exposure times [s] that an image holds, (y, x)."""
    plane = read_plane(path, "exposure", beside=grid)
    times = np.nan_to_num(plane.data, nan=0.0, posinf=0.0, neginf=0.0).astype(np.float64)
    if _binned(plane.grid, grid) > 1:
        whole = xr.DataArray(np.rint(times).astype(np.int32), plane.grid.coords(), ("y", "x"))
        return np.maximum(regrid_labels(whole, grid).values, 0).astype(np.float64)
    with located(path):
        grid.require(plane.grid, what="the cube and the map of exposure times")
    return times


def _binned(coarse: Grid, fine: Grid) -> int:
    """Return how many pixels of one grid a pixel of a map spans along an axis; 0 for no number."""
    ratio = coarse.scale / fine.scale
    return round(ratio) if abs(ratio - round(ratio)) < _WHOLE * ratio else 0
