"""Bins that are as large as the PSF, and bins below their target in every table and file."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from astropy import units as u
from astropy.table import Table
from everything import World

import hstcube
from hstcube.errors import HstCubeError, HstCubeWarning
from hstcube.jobs.fluxes import bin_cube, export_cube, phot_cube

if TYPE_CHECKING:
    from pathlib import Path

    import xarray as xr

pytestmark = pytest.mark.filterwarnings("ignore::hstcube.HstCubeWarning")


@pytest.fixture(scope="module")
def cube(tmp_path_factory: pytest.TempPathFactory) -> xr.Dataset:
    """Return a cube with a mask of one large piece, and an island of three pixels."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        world = World(tmp_path_factory.mktemp("bins"))
        keep = np.zeros(world.grid.shape, bool)
        keep[10:40, 10:50], keep[60, 60:63] = True, True
        # a bright flat object: every pixel reaches the target
        sci = (world.cube.sci + 50 / np.sqrt(world.cube.wht)).astype(np.float32)
        return hstcube.mask(world.cube.assign(sci=sci.assign_attrs(world.cube.sci.attrs)), keep)


def sizes_of(bins: xr.DataArray) -> Any:
    return np.bincount(bins.values.ravel())[1:]


def test_bins_are_at_least_as_large_as_the_psf(cube: xr.Dataset) -> None:
    free = sizes_of(hstcube.bin_pixels(cube, snr=5))
    assert free.min() == 1
    bins = hstcube.bin_pixels(cube, snr=5, min_area="psf")
    widest = float(cube.psf_fwhm.max())
    least = int(np.ceil(np.pi / 4 * widest**2 / 0.06**2))
    sizes, below = sizes_of(bins), np.array(bins.attrs["below_target"]) - 1
    assert bins.attrs["min_pixels"] == least
    assert sizes[below].tolist() == [3]  # the island
    assert np.delete(sizes, below).min() >= least
    assert np.median(sizes) < 2 * least
    assert sizes.sum() == free.sum()


def test_the_area_may_be_a_number(cube: xr.Dataset) -> None:
    bins = [hstcube.bin_pixels(cube, snr=5, min_area=area) for area in (0.036, 0.036 * u.arcsec**2)]
    np.testing.assert_array_equal(*bins)
    assert np.sort(sizes_of(bins[0]))[1] >= 10


def test_the_area_of_an_unknown_psf_is_refused(cube: xr.Dataset) -> None:
    unknown = cube.assign_coords(psf_fwhm=("band", [0.1, np.nan, 0.2]))
    with pytest.raises(HstCubeError, match="HC-P01") as caught:
        hstcube.bin_pixels(unknown, snr=5, min_area="psf")
    assert caught.value.band == "f850lp"
    assert "min_area=" in caught.value.fix


def test_a_job_tells_that_bins_may_be_smaller_than_an_unknown_psf(
    cube: xr.Dataset, tmp_path: Path
) -> None:
    unknown = cube.assign_coords(psf_fwhm=("band", [0.1, np.nan, 0.2]))
    hstcube.save_cube(unknown, tmp_path / "cube.nc")
    with pytest.warns(HstCubeWarning, match="HC-P17"):
        bins, _ = bin_cube(tmp_path / "cube.nc", tmp_path / "bins.fits", snr=5)
    assert sizes_of(bins).min() == 1


@pytest.mark.slow
def test_bins_below_their_target_are_flagged_in_every_table_and_export(
    cube: xr.Dataset, tmp_path: Path
) -> None:
    hstcube.save_cube(cube, tmp_path / "cube.nc")
    bins, _ = bin_cube(tmp_path / "cube.nc", tmp_path / "bins.fits", snr=5)
    low = bins.attrs["below_target"]
    assert len(low) == 1
    assert hstcube.open_labels(tmp_path / "bins.fits").attrs["below_target"] == low
    for ending in ("ecsv", "fits"):
        path = tmp_path / f"phot.{ending}"
        phot_cube(tmp_path / "cube.nc", path, groups=tmp_path / "bins.fits")
        table = Table.read(path)
        assert np.asarray(table["id"])[np.asarray(table["below_target"])].tolist() == low
    for code in ("eazy", "bagpipes", "prospector", "cigale", "lephare"):
        out = tmp_path / code
        export_cube(tmp_path / "cube.nc", code, out, snr=5)
        flags = Table.read(out / "below_target.txt", format="ascii.commented_header")
        assert flags["id"][flags["below_target"] == 1].tolist() == low
        assert "below_target.txt" in (out / "README").read_text()


def test_redshifts_are_taken_from_a_table_of_the_groups(cube: xr.Dataset, tmp_path: Path) -> None:
    hstcube.save_cube(cube, tmp_path / "cube.nc")
    groups = np.zeros((cube.sizes["y"], cube.sizes["x"]), np.int32)
    groups[20:25, 20:25], groups[30:35, 30:35], groups[11:14, 40:45] = 1, 2, 3
    (tmp_path / "z.csv").write_text("id,z\n2,0.7\n1,0.5\n")
    table = Table({"ID": [1, 2], "redshift": [0.5, 0.7]})
    for given in (table, Table.read(tmp_path / "z.csv")):
        with pytest.warns(HstCubeWarning, match="HC-E09.* 1 of 3 groups have no redshift: 3"):
            hstcube.to_sed(
                cube, "bagpipes", tmp_path / "b", groups=groups, redshift=given, overwrite=True
            )
        written = np.genfromtxt(tmp_path / "b" / "photometry.txt", names=True)
        np.testing.assert_array_equal(written["redshift"], [0.5, 0.7, np.nan])
    files = export_cube(tmp_path / "cube.nc", "eazy", tmp_path / "e", redshift="0.5")
    assert " 0.500000 " in files[0].with_name("catalogue.cat").read_text()


@pytest.mark.parametrize(
    "wrong",
    ["id,z\n7,0.5\n", "id,z\n1,0.5\n1,0.6\n", "id,z\n1,30\n", "id,v\n1,3\n", "id,z\na,0.5\n"],
)
def test_a_table_without_their_redshifts_is_refused(
    cube: xr.Dataset, tmp_path: Path, wrong: str
) -> None:
    hstcube.save_cube(cube, tmp_path / "cube.nc")
    (tmp_path / "z.csv").write_text(wrong)
    with pytest.raises(HstCubeError, match="HC-E03"):
        export_cube(tmp_path / "cube.nc", "eazy", tmp_path / "e", redshift=tmp_path / "z.csv")
    assert not (tmp_path / "e").exists()
