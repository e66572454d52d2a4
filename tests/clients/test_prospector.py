"""Prospector takes our obs dictionary, without FSPS or its data."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.units import uJy
from conftest import loaded, mutants, written

from hstcube.sed.prospector import prospector_files


def fixed(table, folder, **options):
    from prospect.utils.obsutils import fix_obs

    return fix_obs(
        loaded(written(prospector_files(table, **options), folder) / "obs.py")["build_obs"](1)
    )


def require_the_galaxy(obs, galaxy):
    for name, maggies, true in zip(
        obs["filternames"], obs["maggies"], galaxy.fluxes.items(), strict=True
    ):
        assert name.endswith(true[0])
        assert -2.5 * np.log10(maggies) == pytest.approx(23.9 - 2.5 * np.log10(true[1]), abs=0.1)


def test_its_own_check_accepts_the_obs_dictionary(galaxy, tmp_path):
    obs = fixed(galaxy.table, tmp_path, redshift=galaxy.redshift)
    assert obs["ndof"] == 9
    assert obs["phot_mask"].all()
    require_the_galaxy(obs, galaxy)


def test_a_band_without_data_is_masked_and_a_non_detection_is_not(galaxy, tmp_path):
    table = galaxy.table.copy()
    table["flux_f775w"], table["flux_f435w"] = np.nan * uJy, -0.01 * uJy
    obs = fixed(table, tmp_path)
    assert obs["ndof"] == 8
    assert not obs["phot_mask"][2]
    assert obs["maggies"][0] == pytest.approx(-0.01 / 3631e6)


@pytest.mark.parametrize("fault", range(22))
def test_a_fault_of_the_exporter_is_found(galaxy, tmp_path, fault):
    with pytest.raises(AssertionError):
        require_the_galaxy(fixed(list(mutants(galaxy.table).values())[fault], tmp_path), galaxy)
