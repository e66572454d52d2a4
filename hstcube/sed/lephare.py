"""LePHARE (Arnouts et al. 1999; Ilbert et al. 2006). Its documented format; it is not run here."""

from __future__ import annotations

import re

import numpy as np

from hstcube.sed.catalogue import Catalogue, TableWriter, curve_text, in_turn, rows

__all__ = ["lephare_files"]

MISSING = -99.0
CGS = 1e-29  # erg s-1 cm-2 Hz-1 of 1 uJy

_PARA = """\
# LePHARE parameters of filters and catalogue: put them into your own .para file, with full paths.
FILTER_REP    ./filters
FILTER_LIST   {filters}
TRANS_TYPE    1            # photons
FILTER_CALIB  0
FILTER_FILE   filter_hst
CAT_IN        catalogue.in
INP_TYPE      F            # flux, erg/s/cm2/Hz
CAT_MAG       AB
CAT_FMT       MEME         # flux and error of each band in turn
CAT_TYPE      LONG         # then context, redshift, string
CAT_LINES     0,1000000000
ERR_SCALE     {none}
ERR_FACTOR    1.0
GLB_CONTEXT   0
"""


_README = (
    "catalogue.in: fluxes and errors in erg/s/cm2/Hz, context, redshift, field; -99: not known.",
    "hst.para: the lines of a configuration for this catalogue; filters/ holds the curves.",
    "Run: filter -c hst.para, then sedtolib, mag_gal and zphota with your own templates.",
    "The format follows LePHARE's documentation; hstcube's tests do not run LePHARE.",
)


def _texts(source: Catalogue) -> dict[str, str]:
    """Return the files of LePHARE, by name.

    They are ``catalogue.in`` (id, flux and error of each band in erg/s/cm2/Hz, context, redshift,
    field; -99 where there is no measurement or no redshift; the context is the sum of 2**i of the
    bands, from i = 0, that have one), ``filters/*.dat`` and ``hst.para``.
    """
    files = {f"filters/{curve.file}.dat": curve_text(curve, curve.file) for curve in source.curves}
    filters = ",".join(name.removeprefix("filters/") for name in files)
    none = ",".join(["0"] * len(files))
    return {
        "catalogue.in": _catalogue(source),
        "hst.para": _PARA.format(filters=filters, none=none),
        **files,
    }


def _catalogue(source: Catalogue) -> str:
    there = np.isfinite(source.flux)
    flux, error = (np.where(there, values * CGS, MISSING) for values in (source.flux, source.error))
    context = there.astype(np.int64) @ (1 << np.arange(len(source.curves), dtype=np.int64))
    known = np.where(np.isnan(source.redshift), MISSING, source.redshift)
    word = np.full(source.id.size, _word(source.field), dtype=object)
    names = source.columns("flux", "error")
    return f"# id {' '.join(names)} context redshift string\n" + rows(
        source.id, in_turn(flux, error), context, known, word,
        formats=["%d", *["%.6e"] * len(names), "%d", "%.6f", "%s"],
    )  # fmt: skip


def _word(text: str) -> str:
    """Return a text as the one word that LePHARE reads."""
    return re.sub(r"[^\w.+-]", "_", text) or "-"


lephare_files = TableWriter("LePHARE", _texts, _README)
