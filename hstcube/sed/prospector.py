"""Prospector (Johnson et al. 2021, ApJS 254, 22)."""

from __future__ import annotations

from hstcube.sed.catalogue import Catalogue, TableWriter, curve_files, in_turn, rows

__all__ = ["prospector_files"]

MAGGIE = 3631e6  # uJy: the flux of AB magnitude 0

_SCRIPT = '''\
"""Make Prospector's obs dictionary of an object: obs = build_obs(ID).

It needs: pip install astro-prospector astro-sedpy.
"""

from pathlib import Path

import numpy as np
from sedpy.observate import Filter

HERE = Path(__file__).resolve().parent
BANDS = {bands!r}
FILTERS = {filters!r}  # sedpy's names
OURS = {ours!r}  # filters that sedpy does not have: their files
_TABLE = np.genfromtxt(
    HERE / "photometry.txt", names=True, deletechars="", dtype=None, ndmin=1, encoding="utf-8"
)
_ROW = {{int(number): i for i, number in enumerate(_TABLE["id"])}}
IDS = list(_ROW)


def load_filters():
    """Return the filters, as sedpy has them or from the files beside."""
    return [load_filter(name) for name in FILTERS]


def load_filter(name):
    if name in OURS:
        return Filter(name, data=tuple(np.loadtxt(HERE / OURS[name]).T))
    return Filter(name)


def build_obs(ID, **extras):
    """Return the obs dictionary: fluxes in maggies; phot_mask: where there is a measurement."""
    row = _TABLE[_ROW[int(ID)]]
    maggies = np.array([row[f"maggies_{{band}}"] for band in BANDS], float)
    unc = np.array([row[f"unc_{{band}}"] for band in BANDS], float)
    there = np.isfinite(maggies) & (unc > 0)
    return {{
        "objid": int(ID),
        "redshift": float(row["redshift"]) if np.isfinite(row["redshift"]) else None,
        "filters": load_filters(),
        "maggies": np.where(there, maggies, 0.0),
        "maggies_unc": np.where(there, unc, 1.0),
        "phot_mask": there,
        "wavelength": None,
        "spectrum": None,
        "unc": None,
    }}
'''


_README = (
    "photometry.txt: fluxes and errors in maggies (over 3631 Jy); nan: missing, or no redshift.",
    "Run: pip install astro-prospector astro-sedpy; in this folder: from obs import build_obs.",
    "obs = prospect.utils.obsutils.fix_obs(build_obs(ID)): filters, maggies, errors, redshift.",
    "Models need FSPS and its data, see Prospector's documentation; obs.py needs neither.",
)


def _texts(source: Catalogue) -> dict[str, str]:
    """Return the files of Prospector, by name.

    They are ``photometry.txt`` (maggies, the flux over 3631 Jy; nan where there is no measurement),
    ``obs.py`` (``build_obs(ID)``) and ``filters/*.txt``. Filters have sedpy's names and sedpy's
    curves; those that sedpy does not have, and those that were given, come from the files.
    """
    names = source.columns("maggies", "unc")
    table = rows(
        source.id, source.redshift, in_turn(source.flux / MAGGIE, source.error / MAGGIE),
        formats=["%d", "%.6f", *["%.6e"] * len(names)],
    )  # fmt: skip
    filters = [curve.file for curve in source.curves]
    own = [curve.file for curve in source.curves if curve.given or not curve.band.sedpy]
    ours = {name: f"filters/{name}.txt" for name in own}
    return {
        "photometry.txt": f"# id redshift {' '.join(names)}\n{table}",
        "obs.py": _SCRIPT.format(bands=source.bands, filters=filters, ours=ours),
        **curve_files(source.curves),
    }


prospector_files = TableWriter("Prospector", _texts, _README)
