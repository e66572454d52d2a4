"""Products come back as the cube that was written, or are refused: no file's name is trusted."""

from __future__ import annotations

import shutil
import warnings
from itertools import combinations
from typing import TYPE_CHECKING, Any

import netCDF4
import numpy as np
import pytest
from astropy.io import fits
from stamps import write_field

import hstcube
from hstcube import HstCubeError, HstCubeWarning
from hstcube.pipeline.options import Options
from hstcube.pipeline.plan import plan
from hstcube.pipeline.runs import run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import xarray as xr

pytestmark = pytest.mark.filterwarnings("ignore::hstcube.errors.HstCubeWarning")


@pytest.fixture(scope="module")
def cube(tmp_path_factory: pytest.TempPathFactory) -> xr.Dataset:
    """Return a cube that has beside its images all that a product can have."""
    small = hstcube.open_field(write_field(tmp_path_factory.mktemp("stamps")), "1")
    steps = np.arange(-2, 3) * 0.06
    psf = np.exp(-0.5 * (steps[:, None] ** 2 + steps**2) / 0.06**2)
    acf = np.zeros((3, 3, 3), np.float32)
    acf[:, 1, 1], acf[:, 1, 0], acf[:, 1, 2] = 1, 0.3, 0.3
    lags = np.arange(-1, 2) * 0.06
    return small.assign_coords(
        noise_scale=("band", [1.0, 0.5, 2.0]), noise_acf=(("band", "dy", "dx"), acf),
        dy=("dy", lags), dx=("dx", lags), ky=("ky", steps), kx=("kx", steps),
        psf=(("band", "ky", "kx"), np.stack([psf / psf.sum()] * 3).astype(np.float32)),
    )  # fmt: skip


@pytest.fixture(params=["files", "mef"])
def products(request: pytest.FixtureRequest, cube: xr.Dataset, tmp_path: Path) -> list[Path]:
    return hstcube.to_fits(cube, tmp_path / "products", layout=request.param)


def code(action: Callable[[], Any]) -> str:
    try:
        action()
    except HstCubeError as error:
        return error.code
    return ""


def edit(path: Path, unit: int | str, key: str, value: Any) -> None:
    """Change a card, or remove it (None), and renew the checksums."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with fits.open(path, memmap=False) as hdus:
            for one in hdus:
                assert one.data is None or one.data.size
            if value is None:
                del hdus[unit].header[key]
            else:
                hdus[unit].header[key] = value
            hdus.writeto(path, overwrite=True, checksum=True, output_verify="ignore")


def test_no_two_files_can_be_exchanged(products: list[Path]) -> None:
    folder = products[0].parent
    for one, other in combinations(products, 2):
        kept = one.read_bytes(), other.read_bytes()
        one.write_bytes(kept[1])
        other.write_bytes(kept[0])
        said = code(lambda: hstcube.open_field(folder, "1"))
        assert said in ("HC-B03", "HC-D14"), (one.name, other.name, said)
        one.write_bytes(kept[0])
        other.write_bytes(kept[1])
    hstcube.open_field(folder, "1")


@pytest.mark.parametrize(("old", "new"), [("_f435w", "_f775w"), ("1_", "2_")])
def test_a_name_that_the_cards_contradict_is_refused(
    old: str, new: str, products: list[Path]
) -> None:
    for path in products:
        path.rename(path.with_name(path.name.replace(old, new, 1)))
    field = new[0] if old == "1_" else "1"
    assert code(lambda: hstcube.open_field(products[0].parent, field)) == "HC-B03"


IMPOSSIBLE = [
    ("PSFFWHM", -0.3), ("SKYERR", -0.5), ("PHOTPLAM", 0.0), ("PHOTPLAM", None), ("PHOTPLAM", 1e300),
    ("ABZP", 1e5), ("NBANDS", 2.5), ("HSTCUBE", 99), ("BUNIT", "uJy"), ("EXTINCT", -1e5),
    ("CUBEID", 3), ("FILETYPE", "RMS"), ("OBJECT", "../x"),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("key", "value"), IMPOSSIBLE)
def test_a_card_with_what_cannot_be_is_refused(key: str, value: Any, products: list[Path]) -> None:
    path = next(path for path in products if path.stem in ("1_f435w_sci", "1_f435w"))
    edit(path, "SCI" if path.stem == "1_f435w" else 0, key, value)
    assert code(lambda: hstcube.open_field(path.parent, "1"))


@pytest.mark.parametrize(
    ("kind", "unit", "key", "value"),
    [("sci", "PSFIMAGE", "PIXSCALE", -0.06), ("sci", "PSFIMAGE", "PIXSCALE", None),
     ("wht", "NOISEACF", "LAGX", -0.06), ("wht", "NOISEACF", "LAGY", None),
     ("wht", "NOISEACF", "LAGY", 0.03), ("wht", 0, "NSCALE", 0.0), ("wht", 0, "NSCALE", -1.0),
     ("wht", 0, "NSCALE", None), ("sci", "PSFIMAGE", "EXTNAME", "X"),
     ("wht", "NOISEACF", "EXTNAME", "X")],
)  # fmt: skip
def test_what_one_band_has_lost_beside_its_image_is_not_lost_by_all(
    kind: str, unit: int | str, key: str, value: Any, cube: xr.Dataset, tmp_path: Path
) -> None:
    hstcube.to_fits(cube, tmp_path)
    edit(tmp_path / f"1_f435w_{kind}.fits", unit, key, value)
    assert code(lambda: hstcube.open_field(tmp_path, "1"))


def test_a_whole_product_comes_back(products: list[Path], cube: xr.Dataset) -> None:
    again = hstcube.open_field(products[0].parent, "1")
    for name in ("sci", "wht", "psf", "noise_acf", "noise_scale", "pivot", "zeropoint"):
        np.testing.assert_array_equal(again[name], cube[name])


def test_fits_beside_a_netcdf_or_a_record_of_another_version_are_told(tmp_path: Path) -> None:
    data, out = write_field(tmp_path / "data"), tmp_path / "out"
    targets = plan(data, [], [], scale="60mas")
    run(targets, out, Options())
    shutil.copytree(out, tmp_path / "old")
    run(targets, out, Options(recipe={"sky": 0.0}, overwrite=True))
    with warnings.catch_warnings():
        warnings.simplefilter("error", HstCubeWarning)
        hstcube.open_field(out, "1")
    for name in ("1.nc", "run.json"):
        kept = (out / name).read_bytes()
        shutil.copy(tmp_path / "old" / name, out)
        with pytest.warns(HstCubeWarning, match="HC-O22"):
            hstcube.open_field(out, "1")
        (out / name).write_bytes(kept)


# -- netCDF


def test_a_netcdf_without_digests_opens_with_a_note(cube: xr.Dataset, tmp_path: Path) -> None:
    cube.to_netcdf(tmp_path / "plain.nc", engine="netcdf4")
    with pytest.warns(HstCubeWarning, match="HC-F31"):
        found = hstcube.open_cube(tmp_path / "plain.nc")
    assert "HC-F31" in found.attrs["warnings"]
    np.testing.assert_array_equal(found.sci, cube.sci)


@pytest.mark.parametrize("chunks", [None, {"y": 7}])
@pytest.mark.parametrize("change", ["pixel", "unit", "place", "fingerprint", "history", "width"])
def test_an_edited_netcdf_is_refused(
    change: str, chunks: Any, cube: xr.Dataset, tmp_path: Path
) -> None:
    path = hstcube.save_cube(cube, tmp_path / "cube.nc")
    with netCDF4.Dataset(path, "a") as file:
        file.set_auto_maskandscale(False)
        if change == "pixel":
            file["sci"][0, 5, 5] = 77.0
        elif change == "unit":
            file["sci"].units = "nJy"
        elif change == "place":
            file["wcs"].CTYPE1 = "LINEAR"
        elif change == "fingerprint":
            file["wcs"].assignValue(7)
        elif change == "history":
            file.delncattr("history")
        else:
            file["psf_fwhm"][0] = -0.3
    assert code(lambda: hstcube.open_cube(path, chunks=chunks).compute()) == "HC-F05"


@pytest.mark.parametrize("change", ["place", "fingerprint", "width", "band"])
def test_what_cannot_be_is_refused_in_a_netcdf_of_another_program(
    change: str, cube: xr.Dataset, tmp_path: Path
) -> None:
    path = tmp_path / "plain.nc"
    cube.to_netcdf(path, engine="netcdf4")
    with netCDF4.Dataset(path, "a") as file:
        if change == "place":
            file["wcs"].CTYPE1 = "LINEAR"
        elif change == "fingerprint":
            file["wcs"].assignValue(7)
        elif change == "width":
            file["psf_fwhm"][0] = -0.3
        else:
            file["band"][0] = "../x"
    expected = {"place": "HC-W", "fingerprint": "HC-W26", "width": "HC-C08", "band": "HC-B12"}
    assert code(lambda: hstcube.open_cube(path)).startswith(expected[change])


def test_a_lazy_cube_whose_file_was_replaced_is_refused(cube: xr.Dataset, tmp_path: Path) -> None:
    path = hstcube.save_cube(cube, tmp_path / "cube.nc")
    lazy = hstcube.open_cube(path, chunks={"y": 10})
    hstcube.save_cube(cube.assign_attrs(title="another"), path, overwrite=True)
    assert code(lazy.compute) == "HC-F32"


def test_what_netcdf_cannot_hold_is_an_error_of_ours(cube: xr.Dataset, tmp_path: Path) -> None:
    odd = cube.assign_attrs(title=object())
    assert code(lambda: hstcube.save_cube(odd, tmp_path / "cube.nc")) == "HC-O21"
    assert not list(tmp_path.iterdir())
