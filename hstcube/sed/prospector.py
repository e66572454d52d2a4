"""Prospector (Johnson et al. 2021, ApJS 254, 22)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hstcube.sed.catalogue import FLOOR, catalogue, curve_text, readme, rows

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from astropy.table import QTable

__all__ = ["prospector_files"]

MAGGIE = 3631e6  # uJy: the flux of AB magnitude 0

_SCRIPT = '''\
"""Make Prospector's obs dictionary of an object: obs = build_obs(ID) (pip install astro-prospector astro-sedpy)."""

from pathlib import Path

import numpy as np
from sedpy.observate import Filter

HERE = Path(__file__).resolve().parent
BANDS = {bands!r}
FILTERS = {filters!r}  # sedpy's names
OURS = {ours!r}  # filters that sedpy does not have: their files
_TABLE = np.genfromtxt(HERE / "photometry.txt", names=True, dtype=None, ndmin=1, encoding="utf-8")
_ROW = {{int(number): i for i, number in enumerate(_TABLE["id"])}}
IDS = list(_ROW)


def load_filters():
    """Return the filters, as sedpy has them or from the files beside."""
    return [
        Filter(name, data=tuple(np.loadtxt(HERE / OURS[name]).T)) if name in OURS else Filter(name) for name in FILTERS
    ]


def build_obs(ID, **extras):
    """Return the obs dictionary: fluxes in maggies; phot_mask is False where there is no measurement."""
    row = _TABLE[_ROW[int(ID)]]
    maggies, unc = (np.array([row[f"{{what}}_{{band}}"] for band in BANDS], float) for what in ("maggies", "unc"))
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


def prospector_files(
    table: QTable,
    *,
    redshift: Any = None,
    floor: float | Mapping[str, float] = FLOOR,
    curves: Mapping[str, str | Path] | None = None,
) -> dict[str, bytes]:
    """Return the input of Prospector for the rows of a table of photometry.

    Parameters
    ----------
    table, redshift, floor, curves
        As for `to_sed`.

    Returns
    -------
    dict of str to bytes
        By file name: ``photometry.txt`` (maggies, the flux over 3631 Jy; nan where there is no
        measurement), ``obs.py`` (``build_obs(ID)``), ``filters/*.txt`` and ``README``. Filters have
        sedpy's names and sedpy's curves; those that sedpy does not have, and those given in
        `curves`, come from the files.
    """
    source = catalogue(table, redshift=redshift, floor=floor, curves=curves)
    names = [f"{what}_{band}" for band in source.bands for what in ("maggies", "unc")]
    text = f"# id redshift {' '.join(names)}\n" + rows(
        source.id, source.redshift,
        np.stack([source.flux / MAGGIE, source.error / MAGGIE], axis=2).reshape(source.id.size, -1),
        formats=["%d", "%.6f", *["%.6e"] * len(names)],
    )  # fmt: skip
    given = set(curves or {})
    own = {
        curve.file: f"filters/{curve.file}.txt"
        for curve in source.curves
        if not curve.band.sedpy or curve.band.name in given
    }
    files = {
        "photometry.txt": text,
        "obs.py": _SCRIPT.format(
            bands=source.bands, filters=[curve.file for curve in source.curves], ours=own
        ),
        **{f"filters/{curve.file}.txt": curve_text(curve) for curve in source.curves},
    }
    lines = (
        "photometry.txt: fluxes and errors in maggies (over 3631 Jy); nan: no measurement, or no redshift.",
        "Run: pip install astro-prospector astro-sedpy; then in Python, in this folder: from obs import build_obs.",
        "obs = prospect.utils.obsutils.fix_obs(build_obs(ID)): filters, maggies, maggies_unc, phot_mask, redshift.",
        "Models need FSPS and its data, see Prospector's documentation; obs.py needs neither.",
    )
    return {name: text.encode() for name, text in files.items()} | {
        "README": readme(source, "Prospector", *lines)
    }
