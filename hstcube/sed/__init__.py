"""Input of SED-fitting codes, one module a code, from a table of photometry; results read back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import xarray as xr

from hstcube.core.bands import require_by_band
from hstcube.core.rules import taken
from hstcube.fits.local import as_path
from hstcube.fits.writing import write_set
from hstcube.inputs.choices import require_choice
from hstcube.phot.table import photometry
from hstcube.sed.bagpipes import bagpipes_files
from hstcube.sed.catalogue import FLOOR, no_names
from hstcube.sed.cigale import cigale_files
from hstcube.sed.eazy import eazy_files
from hstcube.sed.lephare import lephare_files
from hstcube.sed.pixedfit import pixedfit_files
from hstcube.sed.prospector import prospector_files
from hstcube.sed.results import paint_fit, read_fit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = [
    "CODES",
    "bagpipes_files",
    "cigale_files",
    "each_pixel",
    "eazy_files",
    "lephare_files",
    "paint_fit",
    "pixedfit_files",
    "prospector_files",
    "read_fit",
    "sed_files",
    "to_sed",
]

Code = Literal["eazy", "bagpipes", "prospector", "cigale", "lephare", "pixedfit"]
CODES: tuple[str, ...] = get_args(Code)
_WRITERS = {
    "eazy": eazy_files,
    "bagpipes": bagpipes_files,
    "prospector": prospector_files,
    "cigale": cigale_files,
    "lephare": lephare_files,
}


def to_sed(
    cube: xr.Dataset,
    code: Code,
    folder: str | Path,
    *,
    groups: Any = None,
    redshift: Any = None,
    floor: float | Mapping[str, float] = FLOOR,
    curves: Mapping[str, str | Path] | None = None,
    names: Mapping[str, str] | None = None,
    overwrite: bool = False,
    first: int = 1,
) -> list[Path]:
    """Measure groups of pixels, and write what an SED-fitting code needs to start.

    Parameters
    ----------
    cube : Dataset
        With zero points; sky subtracted, bands matched to one resolution.
    code : {"eazy", "bagpipes", "prospector", "cigale", "lephare", "pixedfit"}
    folder : path
        Gets the table of fluxes, the curves of the filters, a configuration or a script, and a
        README.
    groups : DataArray or array of int, (y, x), optional
        Objects or bins, as for `photometry`; each is a row. All the pixels of the mask are one
        object, id 1, when it is not given; `each_pixel` makes every pixel a row.
    redshift : float, sequence, mapping of id to float, or table with id and z, optional
        Of all rows, of each, or of those that are named (a table that lacks some is told of); NaN,
        or no word, where it is not known:
        EAZY and LePHARE get -99, CIGALE nan, bagpipes' model leaves it free, Prospector gets None.
    floor : float, or mapping of band to float
        Share of the flux that is added to its error in quadrature: 0.05 in every band, unless you
        say otherwise. Zero points, PSFs and templates are not better than that. None in bands that
        a mapping does not name, and none for piXedfit.
    curves : mapping of band to path, optional
        Throughput curves, files of two columns (wavelength in Angstrom, throughput), for bands
        whose curve neither the package nor sedpy has, or instead of those.
    names : mapping of band to str, optional
        What CIGALE calls the filters, where it differs from ``bands.csv``.
    overwrite : bool
        Replace files that exist.
    first : {1, 0}
        The least number that is a group; see `photometry`.

    Returns
    -------
    list of Path
        What was written: all of it, or nothing.

    Raises
    ------
    BandError
        If a band has no zero point, or no curve.
    FileError
        If a curve cannot be read.
    RecipeError
        If there is no such code, or a redshift or a floor is impossible.
    WriteError
        If a file exists or cannot be written.

    Notes
    -----
    A non-detection keeps its flux, negative or not, and its error. A band without data in a
    group is missing, in the way of each code: EAZY and LePHARE -99, bagpipes flux 0 with error
    9.9e99, Prospector phot_mask False, CIGALE nan.

    Examples
    --------
    >>> import tempfile
    >>> import hstcube
    >>> cube = hstcube.example(matched=True)
    >>> bins = hstcube.bin_pixels(cube, snr=50, bands=["f160w"])
    >>> [path.name for path in hstcube.to_sed(cube, "eazy", tempfile.mkdtemp(), groups=bins)][:2]
    ['README', 'catalogue.cat']
    """
    files = sed_files(
        cube,
        code,
        groups=groups,
        redshift=redshift,
        floor=floor,
        curves=curves,
        names=names,
        first=first,
    )
    return write_set(
        {as_path(folder) / name: data for name, data in files.items()}, overwrite=overwrite
    )


def sed_files(
    cube: xr.Dataset,
    code: Code,
    *,
    groups: Any = None,
    redshift: Any = None,
    floor: float | Mapping[str, float] = FLOOR,
    curves: Mapping[str, str | Path] | None = None,
    names: Mapping[str, str] | None = None,
    first: int = 1,
) -> dict[str, bytes]:
    """Return what `to_sed` writes, by file name, the README first."""
    cube = taken(cube)
    require_choice("code", code, Code, code="HC-B30")
    for argument, given, what in (("curves", curves, "a file"), ("names", names, "a name")):
        if given is not None:
            require_by_band(argument, given, what)
    if names and code != "cigale":
        raise no_names(code)
    if groups is None:
        groups = cube.mask.any("band").astype(np.int32).drop_attrs(deep=False)
    if code == "pixedfit":
        files = pixedfit_files(cube, groups, redshift=redshift, curves=curves, first=first)
    else:
        table = photometry(cube, groups, first=first)
        files = _WRITERS[code](table, redshift=redshift, floor=floor, curves=curves, names=names)
    return dict(sorted(files.items(), key=lambda file: file[0] != "README"))


def each_pixel(cube: xr.Dataset) -> xr.DataArray:
    """Return a group map (y, x) in which every pixel that is in any band's mask is a group."""
    cube = taken(cube)
    inside = cube.mask.any("band").values
    numbers = np.zeros(inside.shape, np.int32)
    numbers[inside] = np.arange(1, inside.sum() + 1)
    coords = {name: cube.coords[name] for name in ("y", "x", "wcs")}
    return xr.DataArray(numbers, coords, ("y", "x"), name="pixels")
