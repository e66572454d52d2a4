"""Pictures, as figures of matplotlib: what ``hstcube.plot`` is."""

from __future__ import annotations

from importlib import import_module

_MODULE_OF = {
    "bands": "cube",
    "bin_map": "fluxes",
    "figure_bytes": "cube",
    "growth": "fluxes",
    "homogeneous": "cube",
    "line": "line",
    "noise_curve": "noise",
    "sed": "fluxes",
    "sky_histograms": "sky",
    "snr_map": "fluxes",
}

__all__ = [*_MODULE_OF]  # noqa: PLE0604  the keys are strings


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        msg = f"module {__name__!r} has no attribute {name!r}; there are {', '.join(_MODULE_OF)}"
        raise AttributeError(msg)
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
