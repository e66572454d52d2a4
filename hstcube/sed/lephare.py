"""LePHARE (Arnouts et al. 1999, MNRAS 310, 540; Ilbert et al. 2006, A&A 457, 841)."""

from __future__ import annotations

import numpy as np

from hstcube.sed.catalogue import Catalogue, TableWriter, curve_text, in_turn, rows
from hstcube.sed.curves import word

__all__ = ["lephare_files"]

MISSING = -99.0
CGS = 1e-29  # erg s-1 cm-2 Hz-1 of 1 uJy
_BITS = 62  # of a context; of more bands it is 0, all: those that are missing say so themselves

# Z_RANGE must be there: without it LePHARE 1.0 keeps the models at redshift 0 only, and says
# nothing. Where GLB_CONTEXT is 0 or more, it stands for the context of every row.
_PARA = """\
# LePHARE parameters, complete: set LEPHAREDIR, and run run_lephare.py in this folder; or by hand
# filter, sedtolib -t G, mag_gal -t G, zphota, each with -c hst.para.
# filter: the curves of these bands
FILTER_REP    ./filters
FILTER_LIST   {filters}
TRANS_TYPE    1            # of photons
FILTER_CALIB  0            # f_nu is constant
FILTER_FILE   filter_hst
# sedtolib, mag_gal: templates and dust as in Ilbert et al. 2009, a start; give your own
GAL_SED       $LEPHAREDIR/sed/GAL/COSMOS_SED/COSMOS_MOD.list
GAL_FSCALE    1.
GAL_LIB       SED_HST
GAL_LIB_IN    SED_HST
GAL_LIB_OUT   GAL_HST
MAGTYPE       AB
COSMOLOGY     70,0.3,0.7
Z_STEP        0.01,0.,6.   # step, from, to
EXTINC_LAW    SMC_prevot.dat,SB_calzetti.dat,SB_calzetti_bump1.dat,SB_calzetti_bump2.dat
MOD_EXTINC    18,26,26,33,26,33,26,33  # first and last template of each law
EB_V          0.,0.1,0.2,0.3,0.4,0.5
EM_LINES      NO           # EMP_UV for templates without lines
LIB_ASCII     NO
# zphota
CAT_IN        catalogue.in
INP_TYPE      F            # flux, erg/s/cm2/Hz
CAT_MAG       AB
CAT_FMT       MEME         # flux and error of each band in turn
CAT_TYPE      LONG         # then context, redshift, string
CAT_LINES     0,1000000000
CAT_OUT       zphot.out
PARA_OUT      output.para  # the columns of zphot.out
ZPHOTLIB      GAL_HST
ADD_EMLINES   0,0
ERR_SCALE     {none}  # the errors have their floor
ERR_FACTOR    1.0
GLB_CONTEXT   -1           # that of each row counts
FORB_CONTEXT  -1
Z_RANGE       0.,99.99
EBV_RANGE     0.,9.
MAG_ABS       0.,0.        # no limits: a pixel may be faint
MAG_REF       1
NZ_PRIOR      -1
ZFIX          NO           # YES: the redshifts of the catalogue, where it has them
Z_INTERP      YES
Z_METHOD      BEST
AUTO_ADAPT    NO
SPEC_OUT      NO
CHI2_OUT      NO
PDZ_OUT       NONE
"""

_COLUMNS = (
    "IDENT", "Z_BEST", "Z_BEST68_LOW", "Z_BEST68_HIGH", "Z_MED", "Z_MED68_LOW", "Z_MED68_HIGH",
    "CHI_BEST", "MOD_BEST", "EBV_BEST", "SCALE_BEST", "NBAND_USED", "CONTEXT", "ZSPEC",
    "MAG_OBS()", "ERR_MAG_OBS()", "MAG_MOD()",
)  # fmt: skip

_SCRIPT = '''\
"""Fit catalogue.in with LePHARE (pip install lephare), and write zphot.out.

LEPHAREDIR must name the folder of LePHARE's data.
"""

import os
import sys
from pathlib import Path

os.chdir(Path(__file__).resolve().parent)
if "LEPHAREDIR" not in os.environ:
    sys.exit("set LEPHAREDIR to the folder of LePHARE's data, which has sed, opa, ext and vega")
work = Path("lephare_work").resolve()
for name in ("filt", "lib_bin", "lib_mag"):
    (work / name).mkdir(parents=True, exist_ok=True)
os.environ["LEPHAREWORK"] = str(work)  # LePHARE reads it where it is imported

import lephare

lephare.Filter(config_file="hst.para").run()
lephare.Sedtolib(config_file="hst.para").run(typ="GAL")
lephare.MagGal(config_file="hst.para").run(typ="GAL")
lephare.Zphota(config_file="hst.para").run()
'''

_README = (
    "catalogue.in: fluxes and errors in erg/s/cm2/Hz, context, redshift, field; -99: not known.",
    "hst.para: a whole configuration, output.para: the columns of the results; filters/: curves.",
    "Run: pip install lephare; LEPHAREDIR=FOLDER python run_lephare.py (its data are in FOLDER).",
    "Results: zphot.out. Where NBAND_USED is 0 nothing was measured: the redshift means nothing.",
)


def _texts(source: Catalogue) -> dict[str, str]:
    """Return the files of LePHARE, by name.

    They are ``catalogue.in`` (id, flux and error of each band in erg/s/cm2/Hz, context, redshift,
    field; -99 where there is no measurement or no redshift; the context is the sum of 2**i of the
    bands, from i = 0, that have one, or 0 of more than 62 bands), ``filters/*.dat``, ``hst.para``,
    ``output.para`` and ``run_lephare.py``.
    """
    files = {f"filters/{curve.file}.dat": curve_text(curve, curve.file) for curve in source.curves}
    filters = ",".join(name.removeprefix("filters/") for name in files)
    none = ",".join(["0"] * len(files))
    return {
        "catalogue.in": _catalogue(source),
        "hst.para": _PARA.format(filters=filters, none=none),
        "output.para": "".join(f"{name}\n" for name in _COLUMNS),
        "run_lephare.py": _SCRIPT,
        **files,
    }


def _catalogue(source: Catalogue) -> str:
    there = np.isfinite(source.flux)
    flux, error = (np.where(there, values * CGS, MISSING) for values in (source.flux, source.error))
    bits = 1 << np.arange(len(source.curves), dtype=np.int64)
    context = there @ bits if bits.size <= _BITS else np.zeros(source.id.size, np.int64)
    known = np.where(np.isnan(source.redshift), MISSING, source.redshift)
    field = np.full(source.id.size, word(source.field), dtype=object)
    names = source.columns("flux", "error")
    return f"# id {' '.join(names)} context redshift string\n" + rows(
        source.id, in_turn(flux, error), context, known, field,
        formats=["%d", *["%.6e"] * len(names), "%d", "%.6f", "%s"],
    )  # fmt: skip


lephare_files = TableWriter("LePHARE", _texts, _README)
