"""CIGALE (Boquien et al. 2019, A&A 622, A103). Its documented format; it is not run here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hstcube.sed.catalogue import Catalogue, TableWriter, curve_text, in_turn, rows

if TYPE_CHECKING:
    from hstcube.sed.curves import Curve

__all__ = ["cigale_files"]

MILLI_JANSKY = 1e-3  # of 1 uJy

_INI = """\
data_file = observations.txt
parameters_file =
sed_modules = sfhdelayed, bc03, nebular, dustatt_modified_starburst, redshifting
analysis_method = pdf_analysis
cores = 1
"""


_README = (
    "observations.txt: fluxes and errors in mJy; nan: no measurement, or a redshift to be fitted.",
    "Filters that your CIGALE lacks (pcigale-filters list): pcigale-filters add filters/NAME.dat.",
    "Run: pcigale genconf; edit pcigale.ini (additionalerror: 10 % is added); pcigale run.",
    "The format follows CIGALE's documentation; hstcube's tests do not run CIGALE.",
)


def _texts(source: Catalogue) -> dict[str, str]:
    """Return the files of CIGALE, by name.

    They are ``observations.txt`` (mJy; nan where there is no measurement, or no redshift),
    ``pcigale.ini`` and ``filters/*.dat`` (for ``pcigale-filters add``, which adds them under the
    names that the table has).
    """
    names = [_name(source, curve) for curve in source.curves]
    columns = [f"{name}{end}" for name in names for end in ("", "_err")]
    table = rows(
        source.id, source.redshift, in_turn(source.flux, source.error) * MILLI_JANSKY,
        formats=["%d", "%.6f", *["%.6e"] * len(columns)],
    )  # fmt: skip
    files = {
        "observations.txt": f"# id redshift {' '.join(columns)}\n{table}",
        "pcigale.ini": _INI,
    }
    for name, curve in zip(names, source.curves, strict=True):
        text = curve_text(curve, name, "photon", f"{curve.file}, from hstcube")
        files[f"filters/{name}.dat"] = text
    return files


def _name(source: Catalogue, curve: Curve) -> str:
    """Return what CIGALE calls a filter: what the user, what ``bands.csv`` says, or a new name.

    In ``bands.csv`` those of F850LP and F105W (``hst.wfc.F435W``, ``hst.wfc3.F160W``, ...) are not
    confirmed.
    """
    return source.names.get(curve.band.name) or curve.band.cigale or f"hstcube.{curve.file}"


cigale_files = TableWriter("CIGALE", _texts, _README, takes_names=True)
