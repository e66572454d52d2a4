"""LePHARE on our export, as it is: template fluxes and galaxy 37 come out at their redshifts."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
import pytest
from astropy.io import ascii as text_tables
from astropy.table import QTable, Table, vstack
from astropy.units import uJy
from conftest import JWST, mutants, written
from spectra import NUMBER, band_fluxes, lephare_data, template

from hstcube.sed.lephare import lephare_files

if TYPE_CHECKING:
    from pathlib import Path

if find_spec("lephare") is None:
    pytest.skip("lephare is not installed", allow_module_level=True)

NINE = ("f435w", "f606w", "f775w", "f814w", "f850lp", "f105w", "f125w", "f140w", "f160w")
WHOLE, AGAIN = "run_lephare.py", "again.py"


class Runner:
    """LePHARE on exports in the same bands; templates are integrated by the first alone."""

    def __init__(self, data, factory) -> None:
        self.data, self.factory, self.work = data, factory, None

    def __call__(self, table, change=lambda files: files, **options) -> Table:
        folder = written(change(lephare_files(table, **options)), self.factory.mktemp("a folder"))
        if self.work is not None:  # only the fit: the last line of the script
            script = (folder / WHOLE).read_text(encoding="utf-8").splitlines()
            steps = ("lephare.Filter", "lephare.Sedtolib", "lephare.MagGal")
            kept = [line for line in script if not line.startswith(steps)]
            (folder / WHOLE).write_text("\n".join(kept), encoding="utf-8")
            (folder / "lephare_work").symlink_to(self.work)
        run(folder, self.data)
        self.work = self.work or folder / "lephare_work"
        return results(folder / "zphot.out")


def run(folder: Path, data: Path) -> None:
    """Run the script that an export brought."""
    out = subprocess.run(
        [sys.executable, folder / WHOLE], env={**os.environ, "LEPHAREDIR": str(data)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert out.returncode == 0, out.stdout[-2000:] + out.stderr[-2000:]


def results(path: Path) -> Table:
    """Return what LePHARE found, by the names of its columns."""
    lines = path.read_text(encoding="utf-8").splitlines()
    head = [line for line in lines if line.startswith("#")][-1]
    names = head.strip("# ").split()
    return text_tables.read(
        [line for line in lines if line[:1] != "#"], names=names, format="no_header"
    )


@pytest.fixture(scope="module")
def lephare(templates, tmp_path_factory):
    return Runner(lephare_data(tmp_path_factory.mktemp("lephare"), templates), tmp_path_factory)


def table_of(fluxes, bands=NINE, share=0.01):
    """Return a table of fluxes (object, band) [uJy] with errors of a share of them."""
    table = QTable({"id": np.arange(1, len(fluxes) + 1)})
    for i, band in enumerate(bands):
        table[f"flux_{band}"] = fluxes[:, i] * uJy
        table[f"error_{band}"] = share * fluxes[:, i] * uJy
    return table


def require_the_templates(lephare, templates, redshifts, bands):
    """Fit fluxes made of the templates in turn, and ask for redshift and template of each."""
    models = 1 + np.arange(len(redshifts)) % NUMBER
    fluxes = np.stack([
        band_fluxes(*template(templates, number), z, bands)
        for number, z in zip(models, redshifts, strict=True)
    ])  # fmt: skip
    found = lephare(table_of(fluxes / fluxes[:, -1:], bands), floor=0)
    off = np.abs(found["Z_BEST"] - redshifts) / (1 + redshifts)
    print(f"\n|dz|/(1+z): median {np.median(off):.5f}, at most {off.max():.5f}")
    assert off.max() <= 0.005
    assert found["MOD_BEST"].tolist() == models.tolist()


def test_redshifts_and_templates_come_back_from_fluxes_made_of_the_templates(lephare, templates):
    require_the_templates(lephare, templates, np.linspace(0.35, 1.9, 4 * NUMBER), NINE)


def test_redshifts_come_back_from_bands_of_nircam_niriss_and_miri(
    lephare, templates, tmp_path_factory
):
    other = Runner(lephare.data, tmp_path_factory)
    require_the_templates(other, templates, np.linspace(0.5, 1.5, NUMBER), JWST)


def require_the_galaxy(row, galaxy):
    """Ask of a fit what must be right end to end: magnitudes, and the redshift."""
    for i, (band, flux) in enumerate(galaxy.fluxes.items()):
        assert NINE[i] == band
        assert row[f"MAG_OBS{i}"] == pytest.approx(23.9 - 2.5 * np.log10(flux), abs=0.1), band
    if galaxy.real:
        assert abs(row["Z_BEST"] - galaxy.redshift) / (1 + galaxy.redshift) < 0.05


def test_a_galaxy_comes_out_at_its_redshift(lephare, galaxy):
    row = lephare(galaxy.table, redshift=galaxy.redshift)[0]
    require_the_galaxy(row, galaxy)
    print(
        f"\nz = {row['Z_BEST']} ({row['Z_BEST68_LOW']} to {row['Z_BEST68_HIGH']}) against "
        f"{galaxy.redshift}; chi2 {row['CHI_BEST']:.1f}, template {row['MOD_BEST']}"
    )
    off = [10 ** (0.4 * (row[f"MAG_OBS{i}"] - row[f"MAG_MOD{i}"])) - 1 for i in range(9)]
    print("model / flux - 1:", ", ".join(f"{b} {v:+.1%}" for b, v in zip(NINE, off, strict=True)))


def test_faults_of_the_exporter_are_found(lephare, galaxy):
    wrong = mutants(galaxy.table)
    table = vstack([*wrong.values()], metadata_conflicts="silent")
    table["id"] = np.arange(1, len(table) + 1)
    for name, row in zip(wrong, lephare(table), strict=True):
        with pytest.raises(AssertionError):
            require_the_galaxy(row, galaxy)
        print(name)


def test_a_non_detection_counts_and_a_band_without_data_does_not(lephare, galaxy):
    table = vstack([galaxy.table] * 4, metadata_conflicts="silent")
    table["id"] = [1, 2, 3, 4]
    table["flux_f775w"][1:] = np.nan * uJy
    table["flux_f435w"][1] = -0.01 * uJy
    table["flux_f435w"][2] = np.nan * uJy
    for band in NINE:
        table[f"flux_{band}"][3] = np.nan * uJy
    whole, negative, without, nothing = lephare(table, redshift=[galaxy.redshift, *[np.nan] * 3])
    assert [row["NBAND_USED"] for row in (whole, negative, without)] == [9, 8, 7]
    assert [row["ZSPEC"] < 0 for row in (negative, without)] == [True, True]
    assert negative["CHI_BEST"] > without["CHI_BEST"] + 1  # it speaks: the galaxy is seen there
    assert nothing["NBAND_USED"] == 0  # its redshift, 0, means nothing, as the README says


def test_a_band_that_only_the_context_leaves_out_is_left_out(lephare, galaxy):
    def but_f814w(files):
        text = files["catalogue.in"].decode()
        assert " 511 " in text
        return files | {"catalogue.in": text.replace(" 511 ", " 503 ").encode()}

    assert lephare(galaxy.table, but_f814w)["NBAND_USED"].tolist() == [8]


@pytest.mark.parametrize("line", ["Z_RANGE", "GLB_CONTEXT"])
def test_lines_that_lephare_does_not_miss_but_needs_are_needed(lephare, galaxy, line):
    """Without Z_RANGE all is at redshift 0, a context of 0 is that of all bands: untold."""

    def without(files):
        para = files["hst.para"].decode().splitlines()
        kept = [one for one in para if not one.startswith(line)]
        assert len(kept) == len(para) - 1
        instead = ["GLB_CONTEXT 0"] if line == "GLB_CONTEXT" else []
        text = files["catalogue.in"].decode().replace(" 511 ", " 503 ")
        return files | {
            "hst.para": "\n".join([*kept, *instead]).encode(),
            "catalogue.in": text.encode(),
        }

    row = lephare(galaxy.table, without)[0]
    silent = row["Z_BEST"] == 0 if line == "Z_RANGE" else row["NBAND_USED"] == 9
    assert silent, "LePHARE has changed: see whether the export still needs the line"


def test_a_curve_that_is_not_there_stops_it(lephare, galaxy, tmp_path):
    files = lephare_files(galaxy.table)
    del files["filters/acs_wfc_f606w.dat"]
    with pytest.raises(AssertionError, match="acs_wfc_f606w"):
        run(written(files, tmp_path), lephare.data)
