"""bagpipes (Carnall et al. 2018, MNRAS 480, 4379)."""

from __future__ import annotations

import numpy as np

from hstcube.sed.catalogue import Catalogue, TableWriter, curve_files, in_turn, rows

__all__ = ["bagpipes_files"]

NO_ERROR = 9.9e99  # of a flux of 0 that is no measurement: bagpipes' own number for masked data

_LOADER = '''\
"""Load photometry.txt for bagpipes: fluxes and errors (band, 2) in uJy, in the order of FILTERS."""

from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
BANDS = {bands!r}
FILTERS = [str(HERE / "filters" / name) for name in {files!r}]
_TABLE = np.genfromtxt(
    HERE / "photometry.txt", names=True, deletechars="", dtype=None, ndmin=1, encoding="utf-8"
)
_ROW = {{str(number): i for i, number in enumerate(_TABLE["id"])}}
IDS = list(_ROW)
REDSHIFTS = {{str(row["id"]): float(row["redshift"]) for row in _TABLE}}  # nan: not known


def load_hst(ID):
    """Return fluxes and errors (band, 2) of an object; 0 with error 9.9e99 if not measured."""
    row = _TABLE[_ROW[str(ID)]]
    return np.array([[row[f"flux_{{band}}"], row[f"error_{{band}}"]] for band in BANDS], float)


def fit_instructions(redshift=float("nan")):
    """Return a delayed tau model with Calzetti dust: a start, to be changed."""
    return {{
        "redshift": (0.0, 10.0) if np.isnan(redshift) else redshift,
        "delayed": {{
            "age": (0.1, 15.0),
            "tau": (0.3, 10.0),
            "massformed": (5.0, 13.0),
            "metallicity": (0.1, 2.5),
        }},
        "dust": {{"type": "Calzetti", "Av": (0.0, 2.0)}},
    }}
'''

_SCRIPT = '''\
"""Fit all objects with bagpipes, into pipes/cats/hst.fits: python run_bagpipes.py [LIVE_POINTS]."""

import os
import sys
from pathlib import Path

import numpy as np

os.chdir(Path(__file__).resolve().parent)  # bagpipes writes where it is first imported

import bagpipes
from load_hst import FILTERS, IDS, REDSHIFTS, fit_instructions, load_hst

redshifts = np.array([REDSHIFTS[ID] for ID in IDS])
known = bool(np.isfinite(redshifts).all())
instructions = fit_instructions(0.0 if known else float("nan"))
bagpipes.fit_catalogue(
    IDS, instructions, load_hst, spectrum_exists=False, cat_filt_list=FILTERS, run="hst",
    redshifts=redshifts if known else None,
).fit(verbose=False, n_live=int((*sys.argv, "400")[1]))
'''


_README = (
    "photometry.txt: fluxes and errors in uJy; 0 with error 9.9e99: missing. Redshift nan: fitted.",
    "Run: pip install bagpipes; python run_bagpipes.py fits the model of load_hst.py to all.",
    "By hand: bagpipes.galaxy(ID, load_hst, spectrum_exists=False, filt_list=FILTERS).",
    "Results: hstcube.read_fit('bagpipes', 'pipes/cats/hst.fits'), painted by hstcube.paint_fit.",
)


def _texts(source: Catalogue) -> dict[str, str]:
    """Return the files of bagpipes, by name.

    They are ``photometry.txt`` (uJy; flux 0 and error 9.9e99 where there is no measurement, since
    one NaN makes every likelihood NaN), ``filters/*.txt``, ``load_hst.py`` (what `bagpipes.galaxy`
    asks for, and a model to start from) and ``run_bagpipes.py``.
    """
    missing = np.isnan(source.flux)
    flux, error = np.where(missing, 0.0, source.flux), np.where(missing, NO_ERROR, source.error)
    names = source.columns("flux", "error")
    table = rows(
        source.id, source.redshift, in_turn(flux, error),
        formats=["%d", "%.6f", *["%.6e"] * len(names)],
    )  # fmt: skip
    files = [f"{curve.file}.txt" for curve in source.curves]
    return {
        "photometry.txt": f"# id redshift {' '.join(names)}\n{table}",
        "load_hst.py": _LOADER.format(bands=source.bands, files=files),
        "run_bagpipes.py": _SCRIPT,
        **curve_files(source.curves),
    }


bagpipes_files = TableWriter("bagpipes", _texts, _README)
