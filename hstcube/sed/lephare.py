"""LePHARE (Arnouts et al. 1999; Ilbert et al. 2006). The format follows its documentation; it is not run here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hstcube.sed.catalogue import FLOOR, catalogue, curve_text, readme, rows

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from astropy.table import QTable

__all__ = ["lephare_files"]

MISSING = -99.0
CGS = 1e-29  # erg s-1 cm-2 Hz-1 of 1 uJy

_PARA = """\
# LePHARE parameters of filters and catalogue; put them into your own .para file, and give paths in full.
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


def lephare_files(
    table: QTable,
    *,
    redshift: Any = None,
    floor: float | Mapping[str, float] = FLOOR,
    curves: Mapping[str, str | Path] | None = None,
) -> dict[str, bytes]:
    """Return the input of LePHARE for the rows of a table of photometry.

    Parameters
    ----------
    table, redshift, floor, curves
        As for `to_sed`.

    Returns
    -------
    dict of str to bytes
        By file name: ``catalogue.in`` (id, flux and error of each band in erg/s/cm2/Hz, context,
        redshift, field; -99 where there is no measurement or no redshift; the context is the sum of
        2**i of the bands, from i = 0, that have one), ``filters/*.dat``, ``hst.para`` and
        ``README``.
    """
    source = catalogue(table, redshift=redshift, floor=floor, curves=curves)
    there = np.isfinite(source.flux)
    context = there.astype(np.int64) @ (1 << np.arange(len(source.curves), dtype=np.int64))
    measured = [np.where(there, values * CGS, MISSING) for values in (source.flux, source.error)]
    known = np.where(np.isnan(source.redshift), MISSING, source.redshift)
    names = [f"{what}_{band}" for band in source.bands for what in ("flux", "error")]
    word = "".join(c if c.isalnum() or c in "._+-" else "_" for c in source.field) or "-"
    text = f"# id {' '.join(names)} context redshift string\n" + rows(
        source.id, np.stack(measured, axis=2).reshape(source.id.size, -1), context, known,
        np.full(source.id.size, word, dtype=object),
        formats=["%d", *["%.6e"] * len(names), "%d", "%.6f", "%s"],
    )  # fmt: skip
    files = {
        "catalogue.in": text,
        "hst.para": _PARA.format(
            filters=",".join(f"{curve.file}.dat" for curve in source.curves),
            none=",".join("0" for _ in source.curves),
        ),
        **{f"filters/{curve.file}.dat": curve_text(curve, curve.file) for curve in source.curves},
    }
    lines = (
        "catalogue.in: flux and error of each band in erg/s/cm2/Hz, context, redshift, field; -99: not known.",
        "hst.para: the lines of a LePHARE configuration that belong to this catalogue; filters/ holds the curves.",
        "Run: filter -c hst.para, then sedtolib, mag_gal and zphota with your own templates.",
        "The format follows LePHARE's documentation; hstcube's tests do not run LePHARE.",
    )
    return {name: text.encode() for name, text in files.items()} | {
        "README": readme(source, "LePHARE", *lines)
    }
