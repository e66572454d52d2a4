"""EAZY on our export: galaxy 37 comes out at its redshift, fluxes made from templates at theirs."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.table import QTable, Table, vstack
from astropy.units import uJy
from conftest import JWST, loaded, mutants, written
from spectra import band_fluxes, template

import hstcube
from hstcube.core.bands import cameras
from hstcube.sed.eazy import eazy_files

GRID = {"Z_MIN": 0.05, "Z_MAX": 3.0}
NINE = ("f435w", "f606w", "f775w", "f814w", "f850lp", "f105w", "f125w", "f140w", "f160w")


class Runner:
    """EAZY on exports in the same bands, whose templates it integrates only once."""

    def __init__(self, templates, factory, grid=GRID) -> None:
        self.templates, self.factory, self.grid, self.tempfilt = templates, factory, grid, None

    def __call__(self, table, **options):
        folder = written(eazy_files(table, **options), self.factory.mktemp("eazy"))
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            script = loaded(folder / "run_eazy.py")
            photz = script["fit"](self.templates, tempfilt=self.tempfilt, **self.grid)
            script["results"](photz).write(folder / "photz.zout.fits")
        self.tempfilt = photz.tempfilt
        return photz, hstcube.read_fit("eazy", folder / "photz.zout.fits")


@pytest.fixture(scope="module")
def eazy(templates, tmp_path_factory):
    return Runner(templates, tmp_path_factory)


def require_the_galaxy(photz, fit, galaxy):
    """Ask of a fit what must be right end to end: magnitudes, every band, the redshift."""
    zeropoint = photz.param["PRIOR_ABZP"]
    for i, (number, true) in enumerate(zip(photz.f_numbers, galaxy.fluxes.items(), strict=True)):
        band, flux = true
        assert photz.RES[number].name.split()[0].endswith(band)
        magnitude = zeropoint - 2.5 * np.log10(photz.fnu[0, i])
        assert magnitude == pytest.approx(23.9 - 2.5 * np.log10(flux), abs=0.1), band
        if galaxy.real:
            assert fit[f"model_{band}"][0] == pytest.approx(photz.fnu[0, i], rel=0.1), band
    if galaxy.real:
        z = fit["z_phot"][0]
        assert abs(z - galaxy.redshift) / (1 + galaxy.redshift) < 0.05


def require_the_fit(fit, table, redshift):
    """Ask what needs no known magnitudes: every band within 10 % of the model, and the redshift."""
    for name in table.colnames:
        if name.startswith("flux_"):
            assert fit[name.replace("flux", "model")][0] == pytest.approx(
                table[name][0].value, rel=0.1
            ), name
    assert abs(fit["z_phot"][0] - redshift) / (1 + redshift) < 0.05


def test_a_galaxy_comes_out_at_its_redshift_and_every_band_near_the_model(eazy, galaxy):
    photz, fit = eazy(galaxy.table, redshift=galaxy.redshift)
    require_the_galaxy(photz, fit, galaxy)
    print(
        f"\nz = {fit['z_phot'][0]:.4f} against {galaxy.redshift}; chi2 {fit['z_phot_chi2'][0]:.2f}"
    )
    ratios = [
        f"{band} {fit[f'model_{band}'][0] / photz.fnu[0, i] - 1:+.1%}"
        for i, band in enumerate(NINE)
    ]
    print("model / flux - 1:", ", ".join(ratios))


@pytest.mark.parametrize("fault", range(22))
def test_a_fault_of_the_exporter_is_found(eazy, galaxy, fault):
    name, wrong = list(mutants(galaxy.table).items())[fault]
    with pytest.raises(AssertionError):
        require_the_galaxy(*eazy(wrong), galaxy)
    print(name)


@pytest.mark.parametrize("fault", ["f435w and f160w swapped", "f606w and f125w swapped"])
def test_swapped_bands_are_found_by_the_fit_alone(eazy, galaxy, fault):
    if not galaxy.real:
        pytest.skip("the demo galaxy has no redshift")
    wrong = mutants(galaxy.table)[fault]
    with pytest.raises(AssertionError):
        require_the_fit(eazy(wrong)[1], wrong, galaxy.redshift)


def template_fluxes(templates, mix, redshift, bands=NINE):
    """Return fluxes (band,) of a sum of templates, 1 uJy in the reddest band."""
    total = 0.0
    for number in mix:
        wavelength, light = template(templates, number)
        total = total + band_fluxes(
            wavelength, light / np.interp(5500.0, wavelength, light), redshift, bands
        )
    return total / total[-1]


def table_of(fluxes, bands=NINE, share=1e-3):
    """Return a table of fluxes (object, band) [uJy] with errors of a share of them."""
    number = len(fluxes)
    table = QTable({"id": np.arange(1, number + 1)})
    table["ra"], table["dec"] = np.full(number, 53.0), np.full(number, -27.0)
    for i, band in enumerate(bands):
        table[f"flux_{band}"] = fluxes[:, i] * uJy
        table[f"error_{band}"] = share * fluxes[:, i] * uJy
    return table


def test_redshifts_come_back_from_fluxes_made_of_the_templates(eazy, templates):
    true = np.array([0.3, 0.6, 0.8, 0.98, 1.3, 1.7, 2.1])
    mixes = [(2, 7), (3, 9), (2, 8), (7, 11), (2, 3), (7, 10), (3, 8)]
    fluxes = np.stack(
        [template_fluxes(templates, mix, z) for mix, z in zip(mixes, true, strict=True)]
    )
    _, fit = eazy(table_of(fluxes), floor=0.01)
    print("\n", Table({"z": true, "z_phot": fit["z_phot"], "chi2": fit["z_phot_chi2"]}))
    assert np.abs(fit["z_phot"] - true).max() < 0.02


def test_a_band_without_data_a_non_detection_and_an_unknown_redshift_are_understood(eazy, galaxy):
    table = galaxy.table.copy()
    table["flux_f775w"] = np.nan * uJy
    table["flux_f435w"] = -0.01 * uJy
    photz, fit = eazy(table)
    assert fit["nusefilt"][0] == 8
    assert photz.ok_data[0].tolist() == [band != "f775w" for band in NINE]
    assert photz.fnu[0, 0] == pytest.approx(-0.01)
    assert photz.ZSPEC[0] == -99


def test_a_flux_far_below_0_counts(eazy, galaxy):
    table = vstack([galaxy.table] * 2, metadata_conflicts="silent")
    table["id"] = [1, 2]
    table["flux_f435w"][0], table["error_f435w"][0] = -150 * uJy, 100 * uJy
    table["flux_f775w"][1] = np.nan * uJy
    photz, fit = eazy(table)
    assert fit["nusefilt"].tolist() == [9, 8]
    assert photz.fnu[0, 0] == -150


def test_bands_of_nircam_niriss_and_miri_are_fitted(templates, tmp_path_factory):
    """Four mixes of templates come back at their redshifts; other cameras of HST are among them."""
    true = np.array([0.6, 0.98, 1.3, 1.45])
    mixes = [(3, 9), (7, 11), (2, 3), (3, 8)]
    fluxes = np.stack([
        template_fluxes(templates, mix, z, JWST) for mix, z in zip(mixes, true, strict=True)
    ])  # fmt: skip
    eazy = Runner(templates, tmp_path_factory, {"Z_MIN": 0.5, "Z_MAX": 1.5})
    photz, fit = eazy(table_of(fluxes, JWST), floor=0.01)
    print("\n", Table({"z": true, "z_phot": fit["z_phot"], "chi2": fit["z_phot_chi2"]}))
    assert photz.nusefilt.tolist() == [len(JWST)] * 4
    assert np.abs(fit["z_phot"] - true).max() < 0.02
    for i, band in enumerate(JWST):
        seen = photz.RES[int(photz.f_numbers[i])]
        assert seen.pivot == pytest.approx(cameras(band)[0].pivot, rel=2e-3), band
        assert fit[f"model_{band}"] == pytest.approx(fluxes[:, i], rel=0.02), band
