"""bagpipes on our export: it finds a mass and a spectrum for galaxy 37; its results come back."""

from __future__ import annotations

import subprocess
import sys
import warnings

import numpy as np
import pytest
from astropy.table import QTable
from astropy.units import uJy
from conftest import JWST, loaded, mutants, written

import hstcube
from hstcube.core.bands import cameras
from hstcube.sed import sed_files
from hstcube.sed.bagpipes import bagpipes_files

MASS = (8.4, 9.1)  # log10 of solar masses, of galaxy 37
CGS = 2.9979e-11  # erg s-1 cm-2 AA-1 of 1 uJy at 1 AA: bagpipes' own figure


def best_fit(files, folder, redshift, number=1):
    """Return bagpipes' galaxy, its best model [uJy], and log10 of the mass, for an export."""
    from scipy.optimize import differential_evolution

    export = loaded(written(files, folder) / "load_hst.py")
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # models older than the universe
        patch.chdir(folder)
        import bagpipes  # here: it makes folders where it is first imported

        galaxy = bagpipes.galaxy(
            number, export["load_hst"], spectrum_exists=False, filt_list=export["FILTERS"]
        )
        model = bagpipes.fit(galaxy, export["fit_instructions"](redshift)).fitted_model
        low, high = np.array(model.limits).T
        found = differential_evolution(
            lambda place: -model.lnlike(low + (high - low) * place), [(0, 1)] * low.size,
            seed=1, maxiter=40, popsize=8, tol=1e-6, polish=False,
        )  # fmt: skip
        likelihood = model.lnlike(low + (high - low) * found.x)
    assert np.isfinite(likelihood)
    wavelength = galaxy.photometry[:, 0]
    light = model.model_galaxy.photometry * wavelength**2 / CGS
    return galaxy, light, float(model.model_galaxy.sfh.stellar_mass)


def require_the_galaxy(result, galaxy):
    """Ask of a fit what must be right end to end: fluxes, every band, the mass."""
    seen, light, mass = result
    fluxes = seen.photometry[:, 1] * seen.photometry[:, 0] ** 2 / CGS
    for i, (band, true) in enumerate(galaxy.fluxes.items()):
        assert seen.filt_list[i].endswith(f"{band}.txt")
        assert fluxes[i] == pytest.approx(true, rel=0.1), band
        if galaxy.real:
            assert light[i] == pytest.approx(fluxes[i], rel=0.1), band
    if galaxy.real:
        assert MASS[0] < mass < MASS[1]


def of_galaxy(galaxy):
    return galaxy.redshift if galaxy.real else 1.0


def test_its_likelihood_finds_the_mass_and_every_band_near_the_model(galaxy, tmp_path):
    result = best_fit(
        bagpipes_files(galaxy.table, redshift=of_galaxy(galaxy)), tmp_path, of_galaxy(galaxy)
    )
    require_the_galaxy(result, galaxy)
    fluxes = result[0].photometry[:, 1] * result[0].photometry[:, 0] ** 2 / CGS
    ratios = (
        f"{band} {m / f - 1:+.1%}"
        for band, m, f in zip(galaxy.fluxes, result[1], fluxes, strict=True)
    )
    print(f"\nlog M* = {result[2]:.2f}; model / flux - 1:", ", ".join(ratios))


@pytest.mark.parametrize("fault", [0, 1, 2, 3, 4, 12, 21])
def test_a_fault_of_the_exporter_is_found(galaxy, tmp_path, fault):
    wrong = list(mutants(galaxy.table).values())[fault]
    with pytest.raises(AssertionError):
        require_the_galaxy(best_fit(bagpipes_files(wrong), tmp_path, of_galaxy(galaxy)), galaxy)


@pytest.mark.parametrize("fault", ["nJy for uJy", "mJy for uJy", "f435w and f160w swapped"])
def test_wrong_units_and_swapped_bands_are_found_by_the_fit_alone(galaxy, tmp_path, fault):
    if not galaxy.real:
        pytest.skip("the demo galaxy has no mass")
    seen, light, mass = best_fit(
        bagpipes_files(mutants(galaxy.table)[fault]), tmp_path, galaxy.redshift
    )
    fluxes = seen.photometry[:, 1] * seen.photometry[:, 0] ** 2 / CGS
    assert not (MASS[0] < mass < MASS[1] and np.abs(light / fluxes - 1).max() < 0.1)


def test_a_band_without_data_takes_no_part_and_spoils_nothing(galaxy, tmp_path):
    table = galaxy.table.copy()
    table["flux_f775w"] = np.nan * uJy
    seen, light, mass = best_fit(bagpipes_files(table), tmp_path, of_galaxy(galaxy))
    assert np.isfinite(seen.photometry).all()
    assert light[2] == pytest.approx(galaxy.fluxes["f775w"], rel=0.2)  # it is predicted
    if galaxy.real:
        assert MASS[0] < mass < MASS[1]


def test_bands_of_nircam_niriss_and_miri_are_fitted(tmp_path):
    """A galaxy that bagpipes made itself, seen through our curves, comes back with its mass."""
    table = QTable({"id": [1]})
    for band in JWST:
        table[f"flux_{band}"], table[f"error_{band}"] = [1.0] * uJy, [0.01] * uJy
    export = loaded(written(bagpipes_files(table), tmp_path / "curves") / "load_hst.py")
    made = {
        "redshift": 1.0,
        "delayed": {"age": 3.0, "tau": 1.0, "massformed": 10.0, "metallicity": 1.0},
        "dust": {"type": "Calzetti", "Av": 0.3},
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        import bagpipes

        true = bagpipes.model_galaxy(made, filt_list=export["FILTERS"])
    pivots = np.array([cameras(band)[0].pivot for band in JWST])
    fluxes = true.photometry * pivots**2 / CGS
    for flux, band in zip(fluxes, JWST, strict=True):
        table[f"flux_{band}"], table[f"error_{band}"] = [flux] * uJy, [0.02 * flux] * uJy
    seen, light, mass = best_fit(bagpipes_files(table, floor=0), tmp_path, 1.0)
    assert seen.photometry[:, 0] == pytest.approx(pivots, rel=2e-3)
    ratios = light * CGS / seen.photometry[:, 0] ** 2 / seen.photometry[:, 1]
    print(
        "\nmodel / flux - 1:",
        ", ".join(f"{b} {r - 1:+.1%}" for b, r in zip(JWST, ratios, strict=True)),
    )
    print(f"log M* = {mass:.3f} against {float(true.sfh.stellar_mass):.3f}")
    assert ratios == pytest.approx(1, abs=0.05)
    assert mass == pytest.approx(float(true.sfh.stellar_mass), abs=0.05)


def test_a_catalogue_is_fitted_and_its_results_come_back_onto_the_pixels(galaxy, tmp_path):
    """Nested sampling of two halves of the galaxy by the export's script, with few live points."""
    halves = np.where(galaxy.cube.mask.any("band").values, 1, 0)
    halves[:, halves.shape[1] // 2 :] *= 2
    folder = written(
        sed_files(galaxy.cube, "bagpipes", groups=halves, redshift=of_galaxy(galaxy)), tmp_path
    )
    subprocess.run(
        [sys.executable, folder / "run_bagpipes.py", "100"], check=True, capture_output=True
    )
    fit = hstcube.read_fit("bagpipes", folder / "pipes" / "cats" / "hst.fits")
    assert sorted(fit["id"]) == [1, 2]
    painted = hstcube.paint_fit(galaxy.cube, halves, fit, "stellar_mass_50")
    assert np.array_equal(np.isfinite(painted.values), halves > 0)
    print("\nlog M* of two halves:", fit["stellar_mass_50"].tolist())
    if galaxy.real:
        assert MASS[0] < np.log10((10.0 ** fit["stellar_mass_50"]).sum()) < MASS[1]
