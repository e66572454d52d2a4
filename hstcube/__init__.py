"""HST images of a field, in many bands, as one homogeneous cube.

    FITS -> open_field -> subtract_sky -> psf_match -> mask -> to_fits

Every step takes a Dataset and returns a new one. Names are loaded when they are first used, so that
``import hstcube`` and ``hstcube --help`` cost nothing; ``__init__.pyi`` beside this file tells
editors and mypy the same names.

docs/architecture.md shows the folders.
"""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module

__version__ = "0.1.0"

_MODULE_OF = {
    "BandError": "errors",
    "CubeError": "errors",
    "FileError": "errors",
    "Grid": "core.grids",
    "GridError": "errors",
    "HstCubeError": "errors",
    "HstCubeWarning": "errors",
    "LabelError": "errors",
    "NoiseError": "errors",
    "PSFError": "errors",
    "RecipeError": "errors",
    "SkyError": "errors",
    "WriteError": "errors",
    "add_poisson": "noise.poisson",
    "annuli": "phot.groups",
    "apertures": "phot.groups",
    "apply_shifts": "regridding.align",
    "band": "core.bands",
    "bin_pixels": "phot.bins",
    "build": "core.cube",
    "calibrate_noise": "noise.calibration",
    "check": "pipeline.findings",
    "check_alignment": "regridding.align",
    "colour": "views.colours",
    "common_mask": "phot.groups",
    "compare": "jobs.differences",
    "curve_of_growth": "phot.profiles",
    "cut_stamps": "jobs.stamps",
    "cutout": "regridding.stamp",
    "deredden": "phot.units",
    "describe": "views.summary",
    "detect": "sky.detection",
    "examine_stars": "psf.stars",
    "example": "demo.cube",
    "fetch": "jobs.fetching",
    "find_stars": "psf.star_search",
    "fit_line": "ifu.fitting",
    "fit_width": "psf.profiles",
    "from_nddata": "views.nddata",
    "fsf_psf": "forward.psfs",
    "group_errors": "noise.groups",
    "grow": "sky.masks",
    "homogenize": "pipeline.recipe",
    "line_map": "ifu.spectra",
    "line_model": "ifu.models",
    "list_fields": "surveys.names",
    "mask": "sky.masks",
    "matching_kernels": "matching.kernels",
    "measure_psf": "psf.stars",
    "measure_sky": "sky.level",
    "moffat": "forward.psfs",
    "noise_check": "noise.empty_apertures",
    "object_mask": "sky.masks",
    "open_bands": "assembly.opening",
    "open_cube": "files.netcdf",
    "open_field": "assembly.opening",
    "open_labels": "files.labels",
    "open_map": "ifu.maps",
    "open_psf": "files.psfs",
    "open_stars": "files.fields",
    "paint": "views.painting",
    "paint_fit": "sed.results",
    "photometry": "phot.table",
    "prepare_psf": "psf.preparation",
    "psf_match": "matching.match",
    "psf_quality": "matching.comparison",
    "radial_profile": "phot.profiles",
    "read_fit": "sed.results",
    "rebin": "regridding.resample",
    "register_map": "ifu.registration",
    "regrid": "regridding.resample",
    "regrid_labels": "regridding.labels",
    "regrid_mask": "regridding.labels",
    "replace_neighbours": "sky.neighbours",
    "require_same_grid": "core.rules",
    "run_fields": "jobs.fields",
    "save_cube": "files.netcdf",
    "save_psf": "files.psfs",
    "sed_at": "views.places",
    "stack_bands": "core.stack",
    "star_stamps": "psf.star_search",
    "star_table": "psf.stars",
    "subtract_sky": "sky.subtraction",
    "to_fits": "files.cubes",
    "to_flux": "phot.units",
    "to_magnitudes": "views.magnitudes",
    "to_nddata": "views.nddata",
    "to_sed": "sed",
    "validate": "core.rules",
    "variance": "core.cube",
    "with_noise": "noise.description",
    "with_psf": "psf.preparation",
    "write_report": "report.writing",
    "write_table": "files.tables",
}

_FOLDERS = (
    "assembly", "basics", "cli", "core", "demo", "errors", "files", "fits", "fleet", "forward",
    "ifu", "inputs", "jobs", "maps", "matching", "noise", "phot", "pipeline", "plots", "psf",
    "regridding", "remote", "report", "sed", "sky", "surveys", "terminal", "views",
)  # fmt: skip

__all__ = ["__version__", "plot", *_MODULE_OF]  # noqa: PLE0604  the keys are strings


def __getattr__(name: str) -> object:
    if name in _FOLDERS:
        return import_module(f"{__name__}.{name}")
    if name == "plot":
        return import_module(f"{__name__}.plots")
    if name not in _MODULE_OF:
        near = get_close_matches(name.lower(), __all__, n=3, cutoff=0.5)
        hint = f"did you mean {', '.join(near)}?" if near else "dir(hstcube) lists what there is"
        msg = f"module {__name__!r} has no attribute {name!r}; {hint}"
        raise AttributeError(msg)
    value = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
