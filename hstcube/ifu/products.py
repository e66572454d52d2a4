"""The model of a line from a cube and a map, as files: what ``hstcube line`` does."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hstcube.core.cube import build
from hstcube.core.grids import Grid
from hstcube.core.state import attribute
from hstcube.files.cubes import product_files
from hstcube.files.tables import table_bytes
from hstcube.fits.local import as_path
from hstcube.fits.reads import keeps
from hstcube.fits.writing import require_free_names, write_files
from hstcube.ifu.fitting import fit_line
from hstcube.ifu.maps import FLUX, open_map
from hstcube.ifu.models import line_model
from hstcube.ifu.registration import register_map
from hstcube.inputs.names import checked_name
from hstcube.maps.opening import open_segmentation
from hstcube.pipeline.sources import open_source
from hstcube.regridding.labels import regrid_labels
from hstcube.sky.masks import repaired

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import xarray as xr
    from astropy.table import Table

__all__ = ["Modelled", "fit_table", "model_line"]

_KINDS = ("line_hst", "line_fine", "line_map", "residual")


class Modelled(NamedTuple):
    """A fit, and the files that were written."""

    fit: xr.Dataset
    paths: list[Path]


@keeps("source", "continuum", "labels")
def model_line(
    source: str | Path,
    maps: Sequence[str | Path],
    out: str | Path,
    *,
    psf: Any,
    error: Sequence[str | Path] = (),
    unit: str | None = None,
    smoothed: Any = None,
    continuum: str | Path | None = None,
    labels: str | Path | None = None,
    bands: Sequence[str] | None = None,
    positive: bool = False,
    wavelength: Any = None,
    field: str | None = None,
    overwrite: bool = False,
) -> Modelled:
    """Fit a cube to the map of a line; write models, residual, table and picture.

    Parameters
    ----------
    source, field
        A saved cube, matched, or a folder of products, as in `open_source`.
    maps, error, unit, smoothed, wavelength
        As in `open_map`; `error` may be empty.
    out : path
        The folder.
    psf, bands, positive
        As in `fit_line`.
    continuum : path, optional
        An image of the continuum by the same IFU: the shift that `register_map` finds on it is
        expected of the line.
    labels : path, optional
        A segmentation map, or what `run --labels` takes: the light of its other objects is left
        out.
    overwrite : bool
        Replace files that exist.

    Returns
    -------
    Modelled

    Raises
    ------
    HstCubeError
        As these raise it; nothing is written then.
    """
    cube = open_source(source, field=field)
    name = checked_name(attribute(cube, "field") or Path(source).stem)
    out = as_path(out)
    planned = [out / f"{name}_{kind}.fits" for kind in _KINDS]
    planned += [out / f"{name}_fit.ecsv", out / f"{name}_line.png"]
    require_free_names(planned, overwrite=overwrite)
    if labels is not None:
        seen = regrid_labels(repaired(open_segmentation(labels, cube)), Grid.of(cube))
        cube = cube.assign(labels=(("y", "x"), seen.values))
    given: dict[str, Any] = {"unit": unit, "smoothed": smoothed, "wavelength": wavelength}
    line = open_map([*maps], error=[*error] or None, **given)
    prior = None
    if continuum is not None:
        prior = _registered(cube, open_map(continuum, unit=FLUX), psf, float(line.pivot[0]))
    fit = fit_line(cube, line, psf=psf, bands=bands, positive=positive, prior=prior)
    return Modelled(fit, write_files(_files(cube, line, fit, name, out), overwrite=overwrite))


def _registered(cube: xr.Dataset, image: xr.Dataset, psf: Any, wavelength: float) -> xr.Dataset:
    """Return the shift by the band nearest to the line, or by that which fits best."""
    names = cube.band.values.tolist()
    if math.isfinite(wavelength):
        names = [names[int(np.argmin(np.abs(cube.pivot.values - wavelength)))]]
    found = [register_map(cube.sel(band=[name]), image, psf=psf) for name in names]
    return min(found, key=lambda one: float(one.chi2 / one.dof))


def _files(
    cube: xr.Dataset, line: xr.Dataset, fit: xr.Dataset, name: str, out: Path
) -> Mapping[Path, Any]:
    from hstcube.plots.cube import figure_bytes
    from hstcube.plots.lines import line as drawn

    products = [line_model(cube, fit, onto=onto) for onto in ("hst", "fine", "map")]
    products.append(_residual(line, fit).assign_attrs(products[-1].attrs))
    files: dict[Path, Any] = {}
    for kind, product in zip(_KINDS, products, strict=True):
        named = product.assign_coords(band=("band", np.array([kind], object)))
        made, _ = product_files(named.assign_attrs(field=name), out, layout="mef")
        files |= made
    table = out / f"{name}_fit.ecsv"
    files[table] = table_bytes(fit_table(fit), table)
    files[out / f"{name}_line.png"] = figure_bytes(drawn(fit))
    return files


def _residual(line: xr.Dataset, fit: xr.Dataset) -> xr.Dataset:
    """Return what the model leaves of the map, with the map's errors."""
    wht = np.nan_to_num(fit.sigma.values**-2.0)[None]
    return build(
        fit.residual.values[None],
        wht,
        bands=["residual"],
        grid=Grid.of(line),
        units=FLUX,
        pivot=[float(line.pivot[0])],
    )


def fit_table(fit: xr.Dataset) -> Table:
    """Return the weights as a table; all else is in its metadata."""
    from astropy.table import Table

    table = Table(
        {
            "band": fit.band.values.astype(str),
            "weight": fit.weights.values,
            "weight_error": fit.weight_error.values,
        },
        units={"weight": "Angstrom", "weight_error": "Angstrom"},
    )
    scalars = {str(key): float(one) for key, one in fit.data_vars.items() if not one.dims}
    table.meta = {
        "line": str(fit.attrs["line"]),
        "verdict": str(fit.attrs["verdict"]),
        "warnings": str(fit.attrs["warnings"]),
        "psf": str(fit.attrs.get("psf", "")),
        "shift": str(fit.attrs["shift"]),
        **scalars,
        "parameters": [str(one) for one in fit.parameter.values],
        "covariance": fit.covariance.values.tolist(),
        "cross_validation": dict(
            zip(map(str, fit["set"].values), fit.set_nrms.values.tolist(), strict=True)
        ),
    }
    return table
