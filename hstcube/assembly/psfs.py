"""The PSFs of a field's bands: from the table of its survey, from one file, or from one a band."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import xarray as xr

from hstcube.core.bands import name_among
from hstcube.core.grids import Grid
from hstcube.core.offsets import UNIT_SUM, psf_array, psf_errors, with_errors
from hstcube.core.state import record, warn
from hstcube.errors import BandError, PSFError
from hstcube.files.headers import of_bands
from hstcube.files.psfs import Frame, open_psf, read_psf
from hstcube.fits.images import read_header
from hstcube.fits.local import split_extension
from hstcube.fits.opening import located
from hstcube.inputs.cards import card_value
from hstcube.inputs.choices import require_choice
from hstcube.psf.energy import energies_of
from hstcube.psf.preparation import (
    SAME_SCALE,
    on_one_frame,
    prepare_psf,
    scale_of,
    told_widths,
    with_psf,
)
from hstcube.surveys.filters import drop_said
from hstcube.surveys.known import SURVEYS
from hstcube.surveys.models import with_survey_psf

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hstcube.files.fields import Observed
    from hstcube.surveys.names import FieldFiles

__all__ = [
    "OTHERS",
    "PSFChoice",
    "checked_choice",
    "of_these",
    "psf_files",
    "require_word",
    "with_psfs",
]

PSFChoice = str | Path | xr.DataArray | Mapping[str, Any] | None
_WORDS = ("auto", "gaussian", *SURVEYS)
_TABLE = object()  # the PSFs of the survey that the images are of, where it has all bands
OTHERS = "others"  # among the names of bands: all that are not named


def checked_choice(psf: PSFChoice, bands: Sequence[str]) -> PSFChoice:
    """Return a choice of PSFs, its bands by their own names; refuse what can be none.

    Raises
    ------
    RecipeError
        If a word is no choice.
    BandError
        If a band is named that is not there.
    """
    require_word(psf)
    if not isinstance(psf, Mapping):
        return psf
    others, single = _parted(psf)
    return {**of_bands("psf", single, bands), OTHERS: others}


def require_word(psf: PSFChoice) -> None:
    """Refuse a word for all bands that is neither a choice nor a file.

    Raises
    ------
    RecipeError
    """
    word, _ = _parted(psf)
    if isinstance(word, str) and not _may_be_a_file(word):
        require_choice("psf", word, _WORDS)


def _may_be_a_file(word: str) -> bool:
    """Say whether a word is a path, rather than a choice that is misspelt."""
    path = Path(word)
    return path.name != word or path.suffix != "" or path.exists()


def of_these(psf: PSFChoice, bands: Sequence[str]) -> PSFChoice:
    """Return the choice for some of the bands that it was made for."""
    if not isinstance(psf, Mapping):
        return psf
    kept = {OTHERS, *bands}
    return {name: one for name, one in psf.items() if name_among(name, kept) in kept}


def _parted(psf: PSFChoice) -> tuple[PSFChoice, dict[str, Any]]:
    """Return what is chosen for all bands, and for single ones."""
    if not isinstance(psf, Mapping):
        return psf, {}
    single = {str(name): one for name, one in psf.items() if name != OTHERS}
    return psf.get(OTHERS, "auto"), single


def psf_files(files: FieldFiles, bands: Sequence[str], psf: PSFChoice) -> list[Path]:
    """Return the files of PSFs: what is neither is the name of a survey, or "gaussian"."""
    psf, single = _parted(psf)
    named = {name_among(name, bands): one for name, one in single.items()}
    if psf == "auto":
        named = {name: files.bands[name].psf for name in bands} | named
        psf = files.psf
    places = [psf, *(named[name] for name in named if name in bands)]
    paths = [split_extension(one)[0] for one in places if isinstance(one, str | Path)]
    return [path for path in paths if path.is_file()]


def with_psfs(
    cube: xr.Dataset,
    observed: Observed,
    files: FieldFiles,
    psf: PSFChoice,
    psf_fwhm: Mapping[str, float] | None,
) -> xr.Dataset:
    """Return a cube as it was observed with the PSFs that are chosen; see `open_field`."""
    psf, given = _parted(psf)
    names = cube.band.values.tolist()
    if isinstance(psf, str) and psf == "auto":
        said = {name: files.bands[name].psf for name in names}
        given = {name: one for name, one in said.items() if one is not None} | given
        psf = files.psf if files.psf is not None and not psf_fwhm else None
        if psf is None and observed.own and not observed.widths:
            psf = cast("Any", _TABLE)
    if not given:
        known = _with_chosen(cube, psf)
    else:
        rest = [i for i, name in enumerate(names) if name not in given]
        known = _with_given(cube, given, _with_chosen(cube.isel(band=rest), psf), files)
    return told_widths(known, cube) if observed.widths and "psf" in known.coords else known


def _with_chosen(cube: xr.Dataset, psf: Any) -> xr.Dataset:
    """Return the cube with the PSFs that a word or a file stands for."""
    if psf is None or cube.sizes["band"] == 0 or (isinstance(psf, str) and psf == "gaussian"):
        return cube
    if isinstance(psf, xr.DataArray):
        return with_psf(cube, psf)
    if psf is _TABLE:
        return with_survey_psf(cube, cube.attrs["survey"], required=False)
    if isinstance(psf, str) and psf in SURVEYS:
        return with_survey_psf(cube, str(psf), required=True)
    with located(split_extension(psf)[0]):
        return with_psf(cube, open_psf(psf))


def _with_given(
    cube: xr.Dataset, given: Mapping[str, Any], others: xr.Dataset, files: FieldFiles
) -> xr.Dataset:
    """Return the cube with the PSFs of single bands that are given, and those of the others."""
    bands = cube.band.values.tolist()
    lacking = [] if "psf" in others.coords else [name for name in bands if name not in given]
    if lacking:
        raise PSFError(
            "HC-P36",
            f"PSFs are given for {', '.join(given)}, and there is none of {', '.join(lacking)}",
            f"give them all: [[--psf {lacking[0]}=FILE|psf={{'{lacking[0]}': FILE}}]], or leave "
            f"the band out",
            band=lacking[0],
        )
    scale, images, told, own = Grid.of(cube).scale, [], [], []
    known = psf_errors(others, bands)
    for name in bands:
        if name not in given:
            own.append(others.psf.sel(band=name))
            images.append(own[-1].values)
            continue
        one = _of_band(given[name], name, files, cube)
        for key, values in psf_errors(one.expand_dims(band=[name]), [name]).items():
            known[key][bands.index(name)] = values[0]
        own.append(one)
        images.append(_on_pixels(one, scale))
        told.append((name, one))
    stack = np.stack(on_one_frame(*images)).astype(np.float32)
    attrs = {"long_name": UNIT_SUM, "source": f"given for {', '.join(given)}"}
    psfs = psf_array(stack, scale, bands=cube.band.values, name="psf", attrs=attrs)
    psfs = with_errors(psfs.assign_coords(energies_of(own)), *known.values())
    cube = with_psf(cube, psfs)
    for name, one in told:
        cube = _told(cube, name, one)
    return cube


def _on_pixels(psf: xr.DataArray, scale: float) -> Any:
    """Return a PSF (ky, kx) on pixels of `scale`."""
    have = scale_of(psf)
    if abs(have / scale - 1) <= SAME_SCALE:
        return psf.values
    return prepare_psf(psf.values, scale=have, to_scale=scale).values


def _of_band(said: Any, name: str, files: FieldFiles, cube: xr.Dataset) -> xr.DataArray:
    """Return the PSF (ky, kx) of one band, from a file or as it was given."""
    if isinstance(said, xr.DataArray):
        return _named(said, name)
    own = files.bands[name]
    how: dict[str, Any] = {"band": name, "given": Frame(own.psf_angle, own.psf_drop)}
    how["known"] = _frame_of(files, name, Grid.of(cube))
    try:
        found = read_psf(said, **how)
    except PSFError as error:
        if error.code != "HC-P15":
            raise
        scale = Grid.of(cube).scale
        found = read_psf(said, scale=scale, **how)
        text = f"its pixels are taken for those of the images, {scale:.4g} arcsec"
        notes = "; ".join(filter(None, [text, found.attrs["notes"]]))
        found = found.assign_attrs(notes=notes, assumed=text)
    return found.isel(band=0)


def _named(psfs: xr.DataArray, name: str) -> xr.DataArray:
    """Return the PSF (ky, kx) of a band, of one that is its or names none, or of several."""
    if "band" not in psfs.coords:
        return psfs
    there = [str(one) for one in np.ravel(psfs.band.values)]
    if name not in there:
        reason = f"the PSF that is given for it is of {' and '.join(there)}"
        raise BandError("HC-B03", reason, "give that of the band", band=name)
    chosen = psfs.isel(band=there.index(name)) if "band" in psfs.dims else psfs
    return chosen.drop_vars("band")


def _frame_of(files: FieldFiles, name: str, grid: Grid) -> Frame:
    """Return what the header of a mosaic says of how detectors lie in it, and of its drizzle.

    PA_APER is the position angle of the y axis of the first exposure; it says no angle in a mosaic
    that shows the sky mirrored.
    """
    header = read_header(files.one(name, "sci"), "sci", band=name, hdu=files.bands[name].hdu)
    angle, drop = card_value(header, "PA_APER"), drop_said(header)
    known = isinstance(angle, int | float) and math.isfinite(angle)
    if not known or np.linalg.det(grid.matrix) > 0:
        return Frame(None, drop)
    return Frame((angle - _position_angle(grid) + 180) % 360 - 180, drop)


def _position_angle(grid: Grid) -> float:
    """Return the position angle of the y axis of a grid, from north to east [deg]."""
    to_east, to_north = grid.matrix[:, 1]
    return math.degrees(math.atan2(to_east, to_north))


def _told(cube: xr.Dataset, name: str, psf: xr.DataArray) -> xr.Dataset:
    """Write down where the PSF of a band is from, and warn of what was assumed of it."""
    source, notes = psf.attrs.get("source", "what was given"), psf.attrs.get("notes", "")
    cube = record(cube, f"psf of {name} from {source}" + (f" ({notes})" if notes else ""))
    if assumed := psf.attrs.get("assumed", ""):
        cube = warn(cube, "HC-P37", f"{name}, PSF of {source}: {assumed} assumed")
    return cube
