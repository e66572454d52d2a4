"""HST images of a field, in many bands, as one homogeneous cube.

    FITS -> open_field -> subtract_sky -> psf_match -> mask -> to_fits

Every step takes a Dataset and returns a new one. Names are loaded when they are first used, so that ``import hstcube``
and ``hstcube --help`` cost nothing.

docs/architecture.md draws the layers of the modules.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

_MODULE_OF = {
    "Grid": "grids",
    "HstCubeError": "errors",
    "HstCubeWarning": "errors",
    "add_poisson": "calibration",
    "annuli": "groups",
    "apertures": "groups",
    "apply_shifts": "alignment",
    "band": "bands",
    "bin_pixels": "bins",
    "build": "cube",
    "calibrate_noise": "calibration",
    "check_alignment": "alignment",
    "common_mask": "groups",
    "curve_of_growth": "groups",
    "cut_stamps": "cutouts",
    "cutout": "resample",
    "deredden": "units",
    "examine_stars": "stars",
    "find_stars": "stars",
    "fit_width": "stars",
    "group_errors": "noise",
    "grow": "masks",
    "homogenize": "recipes",
    "list_fields": "surveys",
    "mask": "masks",
    "matching_kernels": "matching",
    "measure_psf": "stars",
    "measure_sky": "sky",
    "noise_check": "emptiness",
    "object_mask": "masks",
    "open_bands": "reading",
    "open_cube": "export",
    "open_field": "reading",
    "open_labels": "reading",
    "open_psf": "psfs",
    "open_stars": "reading",
    "paint": "groups",
    "paint_fit": "sed",
    "photometry": "fluxes",
    "prepare_psf": "matching",
    "psf_match": "psf",
    "psf_quality": "matching",
    "radial_profile": "groups",
    "read_fit": "sed",
    "rebin": "resample",
    "regrid": "resample",
    "regrid_labels": "resample",
    "regrid_mask": "resample",
    "require_same_grid": "cube",
    "save_cube": "export",
    "save_psf": "psfs",
    "stack_bands": "cube",
    "star_stamps": "stars",
    "star_table": "stars",
    "subtract_sky": "sky",
    "to_fits": "export",
    "to_flux": "units",
    "to_sed": "sed",
    "validate": "cube",
    "variance": "cube",
    "with_noise": "calibration",
    "with_psf": "psf",
    "write_table": "tables",
}

_MODULES = (
    "alignment",
    "bands",
    "bins",
    "calibration",
    "check",
    "compare",
    "cube",
    "cutouts",
    "demo",
    "emptiness",
    "errors",
    "export",
    "fluxes",
    "grids",
    "groups",
    "kernels",
    "levels",
    "masks",
    "matching",
    "noise",
    "plot",
    "psf",
    "psfs",
    "reading",
    "recipes",
    "resample",
    "runs",
    "sed",
    "simulate",
    "sky",
    "stars",
    "surveys",
    "tables",
    "units",
)

__all__ = ["__version__", *_MODULE_OF]  # noqa: PLE0604  the keys are strings

if TYPE_CHECKING:
    from hstcube.alignment import apply_shifts as apply_shifts
    from hstcube.alignment import check_alignment as check_alignment
    from hstcube.bands import band as band
    from hstcube.bins import bin_pixels as bin_pixels
    from hstcube.calibration import add_poisson as add_poisson
    from hstcube.calibration import calibrate_noise as calibrate_noise
    from hstcube.calibration import with_noise as with_noise
    from hstcube.cube import build as build
    from hstcube.cube import require_same_grid as require_same_grid
    from hstcube.cube import stack_bands as stack_bands
    from hstcube.cube import validate as validate
    from hstcube.cube import variance as variance
    from hstcube.cutouts import cut_stamps as cut_stamps
    from hstcube.emptiness import noise_check as noise_check
    from hstcube.errors import HstCubeError as HstCubeError
    from hstcube.errors import HstCubeWarning as HstCubeWarning
    from hstcube.export import open_cube as open_cube
    from hstcube.export import save_cube as save_cube
    from hstcube.export import to_fits as to_fits
    from hstcube.fluxes import photometry as photometry
    from hstcube.grids import Grid as Grid
    from hstcube.groups import annuli as annuli
    from hstcube.groups import apertures as apertures
    from hstcube.groups import common_mask as common_mask
    from hstcube.groups import curve_of_growth as curve_of_growth
    from hstcube.groups import paint as paint
    from hstcube.groups import radial_profile as radial_profile
    from hstcube.masks import grow as grow
    from hstcube.masks import mask as mask
    from hstcube.masks import object_mask as object_mask
    from hstcube.matching import matching_kernels as matching_kernels
    from hstcube.matching import prepare_psf as prepare_psf
    from hstcube.matching import psf_quality as psf_quality
    from hstcube.noise import group_errors as group_errors
    from hstcube.psf import psf_match as psf_match
    from hstcube.psf import with_psf as with_psf
    from hstcube.psfs import open_psf as open_psf
    from hstcube.psfs import save_psf as save_psf
    from hstcube.reading import open_bands as open_bands
    from hstcube.reading import open_field as open_field
    from hstcube.reading import open_labels as open_labels
    from hstcube.reading import open_stars as open_stars
    from hstcube.recipes import homogenize as homogenize
    from hstcube.resample import cutout as cutout
    from hstcube.resample import rebin as rebin
    from hstcube.resample import regrid as regrid
    from hstcube.resample import regrid_labels as regrid_labels
    from hstcube.resample import regrid_mask as regrid_mask
    from hstcube.sed import paint_fit as paint_fit
    from hstcube.sed import read_fit as read_fit
    from hstcube.sed import to_sed as to_sed
    from hstcube.sky import measure_sky as measure_sky
    from hstcube.sky import subtract_sky as subtract_sky
    from hstcube.stars import examine_stars as examine_stars
    from hstcube.stars import find_stars as find_stars
    from hstcube.stars import fit_width as fit_width
    from hstcube.stars import measure_psf as measure_psf
    from hstcube.stars import star_stamps as star_stamps
    from hstcube.stars import star_table as star_table
    from hstcube.surveys import list_fields as list_fields
    from hstcube.tables import write_table as write_table
    from hstcube.units import deredden as deredden
    from hstcube.units import to_flux as to_flux


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
