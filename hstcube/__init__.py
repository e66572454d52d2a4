"""HST images of a field, in many bands, as one homogeneous cube.

    FITS -> open_field -> subtract_sky -> psf_match -> mask -> to_fits

Every step takes a Dataset and returns a new one. Names are loaded when they are first used, so that ``import hstcube``
and ``hstcube --help`` cost nothing.

Layers, from the bottom; imports run downwards only:

    errors < grids bands < cube < _convolution _regridding _blocks < resample alignment masks sky psf plot
           < surveys _files _fits images levels products reading export
           < recipes simulate cutouts runs check compare demo < cli
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

_MODULE_OF = {
    "Grid": "grids",
    "HstCubeError": "errors",
    "HstCubeWarning": "errors",
    "apply_shifts": "alignment",
    "band": "bands",
    "build": "cube",
    "grow": "masks",
    "check_alignment": "alignment",
    "cut_stamps": "cutouts",
    "cutout": "resample",
    "homogenize": "recipes",
    "list_fields": "surveys",
    "mask": "masks",
    "measure_sky": "sky",
    "object_mask": "masks",
    "open_bands": "reading",
    "open_cube": "export",
    "open_field": "reading",
    "open_labels": "reading",
    "psf_match": "psf",
    "rebin": "resample",
    "regrid": "resample",
    "regrid_labels": "resample",
    "regrid_mask": "resample",
    "require_same_grid": "cube",
    "save_cube": "export",
    "stack_bands": "cube",
    "subtract_sky": "sky",
    "to_fits": "export",
    "validate": "cube",
    "variance": "cube",
}

_MODULES = (
    "alignment",
    "bands",
    "check",
    "compare",
    "cube",
    "cutouts",
    "demo",
    "errors",
    "export",
    "grids",
    "levels",
    "masks",
    "plot",
    "psf",
    "reading",
    "recipes",
    "resample",
    "runs",
    "simulate",
    "sky",
    "surveys",
)

__all__ = ["__version__", *_MODULE_OF]  # noqa: PLE0604  the keys are strings

if TYPE_CHECKING:
    from hstcube.alignment import apply_shifts as apply_shifts
    from hstcube.alignment import check_alignment as check_alignment
    from hstcube.bands import band as band
    from hstcube.cube import build as build
    from hstcube.cube import require_same_grid as require_same_grid
    from hstcube.cube import stack_bands as stack_bands
    from hstcube.cube import validate as validate
    from hstcube.cube import variance as variance
    from hstcube.cutouts import cut_stamps as cut_stamps
    from hstcube.errors import HstCubeError as HstCubeError
    from hstcube.errors import HstCubeWarning as HstCubeWarning
    from hstcube.export import open_cube as open_cube
    from hstcube.export import save_cube as save_cube
    from hstcube.export import to_fits as to_fits
    from hstcube.grids import Grid as Grid
    from hstcube.masks import grow as grow
    from hstcube.masks import mask as mask
    from hstcube.masks import object_mask as object_mask
    from hstcube.psf import psf_match as psf_match
    from hstcube.reading import open_bands as open_bands
    from hstcube.reading import open_field as open_field
    from hstcube.reading import open_labels as open_labels
    from hstcube.recipes import homogenize as homogenize
    from hstcube.resample import cutout as cutout
    from hstcube.resample import rebin as rebin
    from hstcube.resample import regrid as regrid
    from hstcube.resample import regrid_labels as regrid_labels
    from hstcube.resample import regrid_mask as regrid_mask
    from hstcube.sky import measure_sky as measure_sky
    from hstcube.sky import subtract_sky as subtract_sky
    from hstcube.surveys import list_fields as list_fields


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    if name not in _MODULE_OF:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
