"""Pictures, as figures of matplotlib: what ``hstcube.plot`` is."""

from __future__ import annotations

from importlib import import_module

_MODULE_OF = {
    "bands": "cube",
    "before_after": "colours",
    "bin_map": "maps",
    "bins": "maps",
    "colour_map": "colours",
    "compare": "cube",
    "figure_bytes": "cube",
    "growth": "fluxes",
    "growth_curve": "fluxes",
    "homogeneous": "cube",
    "kernels": "psf",
    "mask_overlay": "maps",
    "line": "lines",
    "noise_curve": "sky",
    "psf_curves": "psf",
    "quicklook": "cube",
    "radial_profile": "fluxes",
    "rgb": "colours",
    "sed": "fluxes",
    "sky_histograms": "sky",
    "snr_map": "maps",
    "snr_maps": "maps",
}

__all__ = [*_MODULE_OF]  # noqa: PLE0604  the keys are strings


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        msg = f"module {__name__!r} has no attribute {name!r}; there are {', '.join(_MODULE_OF)}"
        raise AttributeError(msg)
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
