"""EAZY on our export: galaxy 37 comes out at its redshift, fluxes made from templates at theirs."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.table import QTable, Table
from astropy.units import uJy
from conftest import loaded, mutants, written

import hstcube
from hstcube.sed.curves import curve_of
from hstcube.sed.eazy import eazy_files

GRID = {"Z_MIN": 0.05, "Z_MAX": 3.0}
NINE = ("f435w", "f606w", "f775w", "f814w", "f850lp", "f105w", "f125w", "f140w", "f160w")


class Runner:
    """EAZY on exports in the same bands, whose templates it integrates only once."""

    def __init__(self, templates, factory) -> None:
        self.templates, self.factory, self.tempfilt = templates, factory, None

    def __call__(self, table, **options):
        folder = written(eazy_files(table, **options), self.factory.mktemp("eazy"))
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            script = loaded(folder / "run_eazy.py")
            photz = script["fit"](self.templates, tempfilt=self.tempfilt, **GRID)
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


def template_fluxes(templates, mix, redshift):
    """Return fluxes (band,) of a sum of templates, 1 uJy in F160W: mean f_nu, photons counted."""
    spectra = [
        np.loadtxt(templates.parent / f"fsps_QSF_12_v3_{number:03d}.dat").T for number in mix
    ]
    out = []
    for band in NINE:
        curve = curve_of(band)
        total = 0.0
        for wavelength, light in spectra:
            shape = light / np.interp(5500.0, wavelength, light)
            at = np.union1d(wavelength * (1 + redshift), curve.wavelength)
            through = np.interp(at, curve.wavelength, curve.throughput, left=0, right=0)
            flux = np.interp(at, wavelength * (1 + redshift), shape)
            total += np.trapezoid(flux * through * at, at) / np.trapezoid(through / at, at)
        out.append(total)
    return np.array(out) / out[-1]


def test_redshifts_come_back_from_fluxes_made_of_the_templates(eazy, templates):
    true = np.array([0.3, 0.6, 0.8, 0.98, 1.3, 1.7, 2.1])
    mixes = [(2, 7), (3, 9), (2, 8), (7, 11), (2, 3), (7, 10), (3, 8)]
    fluxes = np.stack(
        [template_fluxes(templates, mix, z) for mix, z in zip(mixes, true, strict=True)]
    )
    table = QTable({"id": np.arange(1, 8), "ra": np.full(7, 53.0), "dec": np.full(7, -27.0)})
    for i, band in enumerate(NINE):
        table[f"flux_{band}"] = fluxes[:, i] * uJy
        table[f"error_{band}"] = 1e-3 * fluxes[:, i] * uJy
    _, fit = eazy(table, floor=0.01)
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
