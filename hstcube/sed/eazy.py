"""EAZY (Brammer, van Dokkum & Coppi 2008, ApJ 686, 1503), as the Python package eazy reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hstcube.sed.catalogue import FLOOR, Catalogue, catalogue, readme, rows

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from astropy.table import QTable

__all__ = ["eazy_files"]

MISSING = -99.0  # below NOT_OBS_THRESHOLD
ABZP = 23.9  # AB magnitude of 1 uJy

_PARAM = """\
# EAZY parameters; what is not here has EAZY's default. Fluxes are in uJy. Paths are relative: run EAZY in this folder.
FILTERS_RES          hst.filters.res    # the curves of these bands; zphot.translate counts them from 1
CATALOG_FILE         catalogue.cat      # EAZY takes a path that contains 'fits' for a FITS file
CATALOG_FORMAT       ascii.commented_header
MAGNITUDES           n
NOT_OBS_THRESHOLD    -90                # missing: -99 in flux and error
N_MIN_COLORS         3
PRIOR_ABZP           {zeropoint}
PRIOR_FILTER         {reddest}
APPLY_PRIOR          n
TEMPLATES_FILE       templates/fsps_full/fsps_QSF_12_v3.param
TEMP_ERR_FILE        template_error.txt # none: the errors have their floor
TEMP_ERR_A2          0
SYS_ERR              0
MW_EBV               0
CAT_HAS_EXTCORR      y
Z_MIN                0.01
Z_MAX                6.0
Z_STEP               0.01
FIX_ZSPEC            n
MAIN_OUTPUT_FILE     photz
"""

_SCRIPT = '''\
"""Fit catalogue.cat with EAZY, and write photz.zout.fits: python run_eazy.py TEMPLATES.param (pip install eazy)."""

import os
import sys
from pathlib import Path

from astropy.table import Table
from eazy.photoz import PhotoZ

N_PROC = -1  # in this process; 0 takes all cores
BANDS = {bands!r}


def fit(templates, tempfilt=None, **params):
    """Return EAZY's PhotoZ, fitted; params are those of zphot.param, tempfilt that of a fit in the same bands."""
    listed = Path(templates).resolve()
    os.chdir(Path(__file__).resolve().parent)
    local_templates(listed, Path("spectra.param"))
    params = {{"TEMPLATES_FILE": "spectra.param", **params}}
    photz = PhotoZ(
        param_file="zphot.param", translate_file="zphot.translate", params=params, load_prior=False,
        tempfilt=tempfilt, n_proc=N_PROC,
    )
    photz.fit_catalog(n_proc=N_PROC)
    return photz


def local_templates(listed, out):
    """Copy a list of templates with the paths of files that are there: as written, or beside the list."""
    lines = []
    for line in listed.read_text().splitlines():
        number, name, *rest = line.split()
        path = Path(name) if Path(name).exists() else listed.parent / Path(name).name
        lines.append(" ".join((number, str(path), *rest)))
    out.write_text("\\n".join(lines) + "\\n")


def results(photz):
    """Return a table with EAZY's names for its columns, and the fluxes of the best model [uJy]."""
    low, middle, high = photz.pz_percentiles([16, 50, 84]).T
    columns = {{"id": photz.OBJID, "z_spec": photz.ZSPEC, "nusefilt": photz.nusefilt, "z_phot": photz.zbest}}
    columns |= {{"z_phot_chi2": photz.chi2_best, "z160": low, "z500": middle, "z840": high}}
    columns |= {{f"model_{{band}}": flux for band, flux in zip(BANDS, photz.fmodel.T)}}
    return Table(columns)


if __name__ == "__main__":
    results(fit(sys.argv[1])).write("photz.zout.fits", overwrite=True)
'''


def eazy_files(
    table: QTable,
    *,
    redshift: Any = None,
    floor: float | Mapping[str, float] = FLOOR,
    curves: Mapping[str, str | Path] | None = None,
) -> dict[str, bytes]:
    """Return the input of EAZY for the rows of a table of photometry.

    Parameters
    ----------
    table, redshift, floor, curves
        As for `to_sed`.

    Returns
    -------
    dict of str to bytes
        By file name: ``catalogue.cat`` (fluxes and errors in uJy, -99 in both where there is no
        measurement, z_spec -99 where it is not known), ``hst.filters.res`` (curves),
        ``zphot.translate`` (their numbers there), ``zphot.translate.latest`` (their numbers in
        EAZY's own FILTER.RES.latest), ``zphot.param``, ``template_error.txt``, ``run_eazy.py`` and
        ``README``.
    """
    source = catalogue(table, redshift=redshift, floor=floor, curves=curves)
    files = {
        "catalogue.cat": _catalogue(source, table),
        "hst.filters.res": "".join(
            f"{curve.wavelength.size:6d} {curve.file} lambda_c= {curve.band.pivot:.1f}\n"
            + "".join(
                f"{i:6d} {at:.2f} {value:.6e}\n"
                for i, (at, value) in enumerate(
                    zip(curve.wavelength, curve.throughput, strict=True), start=1
                )
            )
            for curve in source.curves
        ),
        "zphot.translate": _translate(source.bands, range(1, len(source.curves) + 1)),
        "zphot.translate.latest": _translate(
            source.bands, [curve.band.eazy for curve in source.curves]
        ),
        "zphot.param": _PARAM.format(zeropoint=ABZP, reddest=len(source.curves)),
        "template_error.txt": "100 1\n10000 1\n1000000 1\n",
        "run_eazy.py": _SCRIPT.format(bands=source.bands),
    }
    lines = (
        "catalogue.cat: fluxes and errors in uJy; -99 in both: no measurement. A negative flux is a non-detection.",
        "Run: pip install eazy matplotlib; python run_eazy.py TEMPLATES.param, e.g. grizli's fsps_QSF_12_v3.param.",
        "With EAZY's own curves: FILTERS_RES FILTER.RES.latest in zphot.param, and zphot.translate.latest.",
        "Results: hstcube.read_fit('eazy', 'photz.zout.fits'), painted on the pixels by hstcube.paint_fit.",
    )
    return {name: text.encode() for name, text in files.items()} | {
        "README": readme(source, "EAZY", *lines)
    }


def _catalogue(source: Catalogue, table: QTable) -> str:
    measured = np.stack([source.flux, source.error], axis=2).reshape(source.id.size, -1)
    names = [f"{what}_{band}" for band in source.bands for what in ("flux", "error")]
    places = [
        np.asarray(getattr(table[name], "value", table[name]), float) for name in ("ra", "dec")
    ]
    return f"# id ra dec z_spec {' '.join(names)}\n" + rows(
        source.id, *places, _or_missing(source.redshift), _or_missing(measured),
        formats=["%d", "%.7f", "%.7f", "%.6f", *["%.6e"] * len(names)],
    )  # fmt: skip


def _or_missing(values: Any) -> Any:
    return np.where(np.isnan(values), MISSING, values)


def _translate(bands: Any, numbers: Any) -> str:
    return "".join(
        f"flux_{band} F{number}\nerror_{band} E{number}\n"
        for band, number in zip(bands, numbers, strict=True)
        if number
    )
