"""EAZY (Brammer, van Dokkum & Coppi 2008, ApJ 686, 1503), as the Python package eazy reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hstcube.sed.catalogue import Catalogue, TableWriter, in_turn, rows

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hstcube.sed.curves import Curve

__all__ = ["eazy_files"]

MISSING = -99.0
UNSEEN = -90.0  # uJy: the threshold, below which a flux is none, where no flux comes near it
ABZP = 23.9  # AB magnitude of 1 uJy

_PARAM = """\
# EAZY parameters; what is not here has EAZY's default. Fluxes are in uJy.
# Paths are relative: run EAZY in this folder.
FILTERS_RES          hst.filters.res    # curves of these bands; zphot.translate counts from 1
CATALOG_FILE         catalogue.cat      # EAZY takes a path that contains 'fits' for a FITS file
CATALOG_FORMAT       ascii.commented_header
MAGNITUDES           n
NOT_OBS_THRESHOLD    {threshold:<18g} # missing: flux and error are below it
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
"""Fit catalogue.cat with EAZY (pip install eazy), and write photz.zout.fits.

Run it as python run_eazy.py TEMPLATES.param.
"""

import os
import sys
from pathlib import Path

from astropy.table import Table
from eazy.photoz import PhotoZ

N_PROC = -1  # in this process; 0 takes all cores
BANDS = {bands!r}


def fit(templates, tempfilt=None, **params):
    """Return EAZY's PhotoZ, fitted.

    The params are those of zphot.param, tempfilt that of a fit in the same bands.
    """
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
    """Copy a list of templates with paths that exist: as written, or beside the list."""
    lines = []
    for line in listed.read_text().splitlines():
        number, name, *rest = line.split()
        path = Path(name) if Path(name).exists() else listed.parent / Path(name).name
        lines.append(" ".join((number, str(path), *rest)))
    out.write_text("\\n".join(lines) + "\\n")


def results(photz):
    """Return a table with EAZY's names for its columns, and the fluxes of the best model [uJy]."""
    low, middle, high = photz.pz_percentiles([16, 50, 84]).T
    columns = {{"id": photz.OBJID, "z_spec": photz.ZSPEC, "nusefilt": photz.nusefilt}}
    columns |= {{"z_phot": photz.zbest, "z_phot_chi2": photz.chi2_best}}
    columns |= {{"z160": low, "z500": middle, "z840": high}}
    columns |= {{f"model_{{band}}": flux for band, flux in zip(BANDS, photz.fmodel.T)}}
    return Table(columns)


if __name__ == "__main__":
    results(fit(sys.argv[1])).write("photz.zout.fits", overwrite=True)
'''


_README = (
    "catalogue.cat: fluxes and errors in uJy; -99 or less in both: missing. Negative fluxes count.",
    "Run: pip install eazy matplotlib; python run_eazy.py TEMPLATES.param (fsps_QSF_12_v3.param).",
    "EAZY's own curves: FILTERS_RES FILTER.RES.latest in zphot.param, and zphot.translate.latest.",
    "Results: hstcube.read_fit('eazy', 'photz.zout.fits'), painted by hstcube.paint_fit.",
)


def _texts(source: Catalogue) -> dict[str, str]:
    """Return the files of EAZY, by name.

    They are ``catalogue.cat`` (fluxes and errors in uJy, -99 in both where there is no measurement,
    or less where a flux comes near that; z_spec -99 where it is not known), ``hst.filters.res``
    (curves), ``zphot.translate`` (their numbers there), ``zphot.translate.latest`` (their numbers
    in EAZY's own FILTER.RES.latest), ``zphot.param``, ``template_error.txt`` and ``run_eazy.py``.
    """
    number = len(source.curves)
    own = [curve.band.eazy for curve in source.curves]
    return {
        "catalogue.cat": _catalogue(source),
        "hst.filters.res": "".join(map(_filter, source.curves)),
        "zphot.translate": _translate(source.bands, range(1, number + 1)),
        "zphot.translate.latest": _translate(source.bands, own),
        "zphot.param": _PARAM.format(zeropoint=ABZP, reddest=number, threshold=_threshold(source)),
        "template_error.txt": "100 1\n10000 1\n1000000 1\n",
        "run_eazy.py": _SCRIPT.format(bands=source.bands),
    }


def _catalogue(source: Catalogue) -> str:
    names = source.columns("flux", "error")
    measured = in_turn(source.flux, source.error)
    measured = np.where(np.isnan(measured), MISSING / UNSEEN * _threshold(source), measured)
    redshift = np.where(np.isnan(source.redshift), MISSING, source.redshift)
    return f"# id ra dec z_spec {' '.join(names)}\n" + rows(
        source.id, source.ra, source.dec, redshift, measured,
        formats=["%d", "%.7f", "%.7f", "%.6f", *["%.6e"] * len(names)],
    )  # fmt: skip


def _threshold(source: Catalogue) -> float:
    """Return a flux [uJy] that is well below all that were measured."""
    return min(UNSEEN, 2 * float(np.nan_to_num(source.flux).min(initial=0.0)))


def _filter(curve: Curve) -> str:
    """Return a curve as EAZY's file of filters has it: a line of its size, then numbered points."""
    lines = [f"{curve.wavelength.size:6d} {curve.file} lambda_c= {curve.band.pivot:.1f}\n"]
    for i, at in enumerate(curve.wavelength):
        lines.append(f"{i + 1:6d} {at:.2f} {curve.throughput[i]:.6e}\n")
    return "".join(lines)


def _translate(bands: Iterable[str], numbers: Iterable[int]) -> str:
    """Return the numbers of the filters of the columns; bands whose number is 0 are left out."""
    lines = []
    for band, number in zip(bands, numbers, strict=True):
        if number:
            lines.append(f"flux_{band} F{number}\nerror_{band} E{number}\n")
    return "".join(lines)


def _notes(source: Catalogue) -> list[str]:
    """Say which bands the translation into EAZY's own curves leaves out."""
    unknown = [name for name, curve in zip(source.bands, source.curves, strict=True)
               if not curve.band.eazy]  # fmt: skip
    if not unknown:
        return []
    return [f"zphot.translate.latest leaves out {', '.join(unknown)}: their numbers are not known."]


eazy_files = TableWriter("EAZY", _texts, _README, notes=_notes)
