"""CIGALE (Boquien et al. 2019, A&A 622, A103). The format follows its documented reader; it is not run here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hstcube.core.bands import band_name
from hstcube.sed.catalogue import FLOOR, catalogue, curve_text, readme, rows

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from astropy.table import QTable

__all__ = ["cigale_files"]

MILLI_JANSKY = 1e-3  # of 1 uJy

_INI = """\
data_file = observations.txt
parameters_file =
sed_modules = sfhdelayed, bc03, nebular, dustatt_modified_starburst, redshifting
analysis_method = pdf_analysis
cores = 1
"""


def cigale_files(
    table: QTable,
    *,
    redshift: Any = None,
    floor: float | Mapping[str, float] = FLOOR,
    curves: Mapping[str, str | Path] | None = None,
    names: Mapping[str, str] | None = None,
) -> dict[str, bytes]:
    """Return the input of CIGALE for the rows of a table of photometry.

    Parameters
    ----------
    table, redshift, floor, curves
        As for `to_sed`.
    names : mapping of band to str, optional
        What CIGALE calls the filters, where its installation differs from ``bands.csv``
        (``hst.wfc.F435W``, ``hst.wfc3.F160W``, ...). F850LP and F105W are not confirmed.

    Returns
    -------
    dict of str to bytes
        By file name: ``observations.txt`` (mJy; nan where there is no measurement, or no redshift),
        ``pcigale.ini``, ``filters/*.dat`` (for ``pcigale-filters add``, which adds them under the
        same names) and ``README``.
    """
    source = catalogue(table, redshift=redshift, floor=floor, curves=curves)
    given = {band_name(band): name for band, name in (names or {}).items()}
    called = [
        given.get(curve.band.name) or curve.band.cigale or f"hstcube.{curve.file}"
        for curve in source.curves
    ]
    columns = [f"{name}{end}" for name in called for end in ("", "_err")]
    text = f"# id redshift {' '.join(columns)}\n" + rows(
        source.id, source.redshift,
        np.stack([source.flux, source.error], axis=2).reshape(source.id.size, -1) * MILLI_JANSKY,
        formats=["%d", "%.6f", *["%.6e"] * len(columns)],
    )  # fmt: skip
    files = {
        "observations.txt": text,
        "pcigale.ini": _INI,
        **{
            f"filters/{name}.dat": curve_text(curve, name, "photon", f"{curve.file}, from hstcube")
            for name, curve in zip(called, source.curves, strict=True)
        },
    }
    lines = (
        "observations.txt: fluxes and errors in mJy; nan: no measurement, or a redshift that CIGALE is to fit.",
        "Filters that your CIGALE lacks (pcigale-filters list): pcigale-filters add filters/NAME.dat.",
        "Run: pcigale genconf; edit pcigale.ini (additionalerror: CIGALE adds 10 % to the errors); pcigale run.",
        "The format follows CIGALE's documentation; hstcube's tests do not run CIGALE.",
    )
    return {name: text.encode() for name, text in files.items()} | {
        "README": readme(source, "CIGALE", *lines)
    }
