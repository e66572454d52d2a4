"""What ``hstcube line`` writes and says, of a made-up galaxy."""

from __future__ import annotations

import json

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from line_scene import UNIT, Truth, cube, grids, line, seen

import hstcube
from hstcube.files.tables import read_table

PSF = "0.65arcsec,beta=2.8"


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """Return a folder with a cube, a map smoothed like the truth, and its errors."""
    folder = tmp_path_factory.mktemp("line")
    hstcube.save_cube(cube(0.02, np.random.default_rng(1)), folder / "made.nc")
    header = fits.Header([*grids(Truth())[1].cards, ("BUNIT", UNIT)])
    clean = seen(Truth())
    fits.PrimaryHDU(clean.astype(np.float32), header).writeto(folder / "map.fits")
    error = np.full_like(clean, clean.max() / 100, dtype=np.float32)
    fits.PrimaryHDU(error, header).writeto(folder / "err.fits")
    return folder


def asked(folder, out, *more):
    paths = (folder / "made.nc", folder / "map.fits", "--error", folder / "err.fits")
    return ("line", *paths, "--psf", PSF, "--smoothed", "0.4arcsec", "-o", out, *more)


def place_of_peak(path, extension):
    """Return where the brightest part of an image lies on the sky."""
    with fits.open(path) as hdus:
        data, wcs = np.nan_to_num(hdus[extension].data), WCS(hdus[extension].header)
    light = np.clip(data - 0.5 * data.max(), 0, None)
    rows, columns = np.indices(data.shape)
    return wcs.pixel_to_world(
        (light * columns).sum() / light.sum(), (light * rows).sum() / light.sum()
    )


@pytest.mark.slow
def test_the_models_lie_where_the_map_does_and_say_what_they_are(given, tmp_path, call):
    assert call(*asked(given, tmp_path)).code == 0
    there = place_of_peak(given / "map.fits", 0)
    for kind in ("line_map", "line_fine"):
        path = tmp_path / f"made_{kind}.fits"
        assert place_of_peak(path, "SCI").separation(there).arcsec < 0.05, kind
    for kind in ("line_map", "line_fine", "line_hst", "residual"):
        header = fits.getheader(tmp_path / f"made_{kind}.fits", "SCI")
        assert header["BUNIT"] == UNIT
        steps = [str(line) for line in header["HISTORY"]]
        for step in ("open_map(", "fit_line(", "line_model("):
            assert any(step in line for line in steps), (kind, step)
    assert fits.getheader(tmp_path / "made_line_map.fits", "SCI")["PSFFWHM"] > 0.7


def test_the_picture_is_in_arcsec_with_scale_north_and_psf():
    fit = hstcube.fit_line(cube(), line(Truth(), 100), psf=PSF, keep=np.ones((100, 100), bool))
    figure = hstcube.plot.line(fit)
    shown = [axis for axis in figure.axes if axis.images]
    assert [axis.get_title() for axis in shown] == ["map", "model", "residual / error"]
    first = shown[0]
    used = np.isfinite(fit.model.values)
    rows = np.flatnonzero(used.any(1))
    assert np.ptp(first.get_ylim()) == pytest.approx(0.2 * (np.ptp(rows) + 5))  # 2 pixels around
    (circle,) = [one for one in first.patches if one.get_gid() == "PSF"]
    assert 2 * circle.radius == pytest.approx(np.hypot(0.65, 0.4))
    assert {"N", "E", "1″"} <= {one.get_text() for one in first.texts}
    data = np.ma.filled(first.images[0].get_array().astype(float), np.nan)
    assert np.nanmax(data) == pytest.approx(float((fit.model + fit.residual).max()))
    limits = {axis.images[0].get_clim() for axis in shown[:2]}
    assert len(limits) == 1
    assert shown[2].images[0].get_clim() == (-5, 5)
    assert hstcube.plot.figure_bytes(figure).startswith(b"\x89PNG")


@pytest.mark.slow
def test_what_is_found_is_printed_as_json_too(given, tmp_path, call):
    said = call(*asked(given, tmp_path, "--json", "--positive"))
    assert said.code == 0
    found = json.loads(said.out)
    table = read_table(tmp_path / "made_fit.ecsv")
    assert [one["band"] for one in found["weights"]] == table["band"].tolist()
    assert [one["weight"] for one in found["weights"]] == table["weight"].tolist()
    assert all(one["weight"] >= 0 for one in found["weights"])
    assert found["verdict"] == table.meta["verdict"]
    assert found["equivalent_width"] is None  # no wavelength was given
    assert len(found["files"]) == 6


def test_flux_and_equivalent_width_are_printed_with_their_errors(given, tmp_path, call):
    said = call(*asked(given, tmp_path, "--wavelength", "6000AA"))
    meta = read_table(tmp_path / "made_fit.ecsv").meta
    shown = " ".join(said.out.split())
    assert f"flux [1e-20 erg s-1 cm-2] {meta['flux']:.2f} {meta['flux_error']:.2f}" in shown
    width = meta["equivalent_width"]
    error = width * meta["flux_error"] / meta["flux"]
    assert f"equivalent width [A] {width:.2f} {error:.2f}" in shown
    assert f"cancelling {meta['cancelling']:.2f}" in shown
    # the line is 40 and 10 Angstrom of two bands, and the continuum lies between them
    assert 10 < width < 70


@pytest.mark.slow
def test_a_sum_of_maps_is_told(given, tmp_path, call):
    more = (given / "map.fits", "--error", given / "err.fits")
    said = call(*asked(given, tmp_path, *more))
    assert "note: HC-L07 2 maps are summed" in said.out


@pytest.mark.slow
def test_nothing_is_left_when_one_file_cannot_be_written(given, tmp_path, call, monkeypatch):
    from hstcube.fits import writing

    real, written = writing.write_verified, []

    def full(path, data):
        if len(written) == 3:
            raise OSError(28, "No space left on device")
        written.append(path)
        real(path, data)

    monkeypatch.setattr(writing, "write_verified", full)
    assert call(*asked(given, tmp_path / "out")).code != 0
    assert len(written) == 3
    assert not list((tmp_path / "out").iterdir())
